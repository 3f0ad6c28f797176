"""What can be set, from where, and what is refused."""

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from api.settings import KEY_BYTES, NotSetUp, VaultKeyIsMissing, described, settings, vault_key

KEY = base64.b64encode(b"kirklees-calderdale-social-prime"[:KEY_BYTES]).decode()
POSTGRESQL = "postgresql+psycopg://ledger@db.test:5432/ledger"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("LCLEDGER_")]:
        monkeypatch.delenv(name)


class TestSettings:
    def test_are_sqlite_in_one_folder_when_nothing_is_set(self) -> None:
        found = settings()
        assert found.embedded
        assert found.log_url == "sqlite:///lcledger-data/ledger.sqlite3"
        assert found.views_url == "sqlite:///lcledger-data/views.sqlite3"
        assert found.host == "127.0.0.1"

    def test_come_from_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LCLEDGER_PORT", "8321")
        monkeypatch.setenv("LCLEDGER_LOG_LEVEL", "WARNING")
        assert settings().port == 8321
        assert settings().log_level == "warning"

    def test_given_by_name_win(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LCLEDGER_PORT", "8321")
        assert settings(port=0).port == 0

    @pytest.mark.parametrize(
        "address", ["https://login.test/v2.0", "http://127.0.0.1:8080/realms/staff", "http://[::1]:1", "http://localhost"]
    )
    def test_take_a_provider_that_nobody_can_pretend_to_be(self, address: str) -> None:
        assert settings(oidc_issuer=address, oidc_audience="ledger", oidc_jwks_url=address).oidc_issuer == address

    @pytest.mark.parametrize(
        "address",
        [
            *(
                "http://login.test",
                "ftp://login.test",
                "login.test",
                "https://",
                "https://me:pass@login.test",
                "https://a.test/#b",
            ),
            *(
                "https://a.test:port",
                "https://a.test/ b",
                "http://127.0.0.1.login.test",
                "http://localhost@login.test",
                "https://[a",
            ),
        ],
    )
    def test_refuse_a_provider_that_others_could_answer_for(self, address: str) -> None:
        with pytest.raises(NotSetUp, match="oidc_issuer must be an https address"):
            settings(oidc_issuer=address, oidc_audience="ledger")
        with pytest.raises(NotSetUp, match="oidc_jwks_url must be an https address"):
            settings(oidc_issuer="https://login.test", oidc_audience="ledger", oidc_jwks_url=address)

    def test_say_where_webhooks_may_go(self) -> None:
        assert settings().webhook_ports_taken == {443}
        assert settings().webhook_networks_taken == ()
        found = settings(webhook_ports="443, 8443", webhook_networks="10.7.0.0/16, fd12:3456::/32")
        assert found.webhook_ports_taken == {443, 8443}
        assert found.webhook_networks_taken == (ip_network("10.7.0.0/16"), ip_network("fd12:3456::/32"))

    @pytest.mark.parametrize("given", [{"webhook_ports": each} for each in ("https", "0", "65536", "443,,", " ", "-1")])
    def test_refuse_ports_that_are_none(self, given: dict[str, str]) -> None:
        with pytest.raises(NotSetUp, match="webhook_ports must be numbers from 1 to 65535"):
            settings(**given)

    @pytest.mark.parametrize("given", ["10.7.0.1/16", "ten", "10.0.0.0/33"])
    def test_refuse_networks_that_are_none(self, given: str) -> None:
        with pytest.raises(NotSetUp, match="webhook_networks: "):
            settings(webhook_networks=given)

    @pytest.mark.parametrize(
        "given", [{"oidc_issuer": "https://a.test"}, {"oidc_audience": "b"}, {"oidc_jwks_url": "https://a.test"}]
    )
    def test_refuse_half_a_provider(self, given: dict[str, str]) -> None:
        with pytest.raises(NotSetUp, match="oidc_"):
            settings(**given)

    def test_do_not_change(self) -> None:
        with pytest.raises(ValidationError, match="frozen"):
            settings().port = 1  # type: ignore[misc]

    def test_take_postgresql_for_the_log_and_the_read_models(self) -> None:
        found = settings(database_url=POSTGRESQL.replace("+psycopg", ""), database_password="p@ss/word")
        assert found.log_url == found.views_url == "postgresql+psycopg://ledger:p%40ss%2Fword@db.test:5432/ledger"
        assert not found.embedded

    def test_take_several_hosts(self) -> None:
        several = "postgresql+psycopg://ledger@/ledger?host=a.test:5432&host=b.test:5432"
        assert settings(database_url=several).log_url == several
        assert settings(database_url=several, database_password="x").log_url == several.replace("ledger@", "ledger:x@")

    def test_take_a_secret_from_the_file_that_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "password").write_text("hunter2\n")
        found = settings(database_url=POSTGRESQL, database_password_file=tmp_path / "password")
        assert found.log_url == POSTGRESQL.replace("ledger@", "ledger:hunter2@")

    def test_take_a_secret_from_the_folder_of_secrets(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "lcledger_vault_key").write_text(KEY)
        monkeypatch.setenv("LCLEDGER_SECRETS_DIR", str(tmp_path))
        assert len(vault_key(settings())) == KEY_BYTES

    def test_do_not_show_secrets(self) -> None:
        shown = repr(settings(database_url=POSTGRESQL.replace("ledger@", "ledger:hunter2@"), vault_key=KEY))
        assert "hunter2" not in shown
        assert KEY not in shown

    def test_refuse_a_secret_that_is_set_twice(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(KEY)
        with pytest.raises(NotSetUp, match="vault_key and vault_key_file are both set"):
            settings(vault_key=KEY, vault_key_file=tmp_path / "key")
        with pytest.raises(NotSetUp, match="both hold a password"):
            settings(database_url=POSTGRESQL.replace("ledger@", "ledger:hunter2@"), database_password="hunter2")

    def test_refuse_a_secret_file_that_is_not_there(self, tmp_path: Path) -> None:
        with pytest.raises(NotSetUp, match="cannot read the secret file"):
            settings(vault_key_file=tmp_path / "nowhere")

    def test_refuse_another_database(self) -> None:
        with pytest.raises(NotSetUp, match="must begin with postgresql"):
            settings(database_url="mysql://ledger@db.test/ledger")

    def test_name_every_fault_by_its_variable_and_no_value(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LCLEDGER_PORT", "seventy")
        monkeypatch.setenv("LCLEDGER_QUEUE_MOST", "0")
        with pytest.raises(NotSetUp) as refused:
            settings()
        assert [line.split(":")[0] for line in str(refused.value).splitlines()] == ["LCLEDGER_PORT", "LCLEDGER_QUEUE_MOST"]
        assert "seventy" not in str(refused.value)

    def test_are_each_described(self) -> None:
        for one in described():
            assert one.description.endswith("."), one.variable


class TestVaultKey:
    def test_is_made_on_the_first_start_for_its_owner_only(self, tmp_path: Path) -> None:
        here = settings(data_dir=tmp_path / "ledger")
        key = vault_key(here)
        assert len(key) == KEY_BYTES
        assert vault_key(here) == key
        assert [file.name for file in here.data_dir.iterdir()] == ["vault.key"]
        assert stat.S_IMODE((here.data_dir / "vault.key").stat().st_mode) == 0o600

    def test_is_one_when_several_start_together(self, tmp_path: Path) -> None:
        here = settings(data_dir=tmp_path / "ledger")
        with ThreadPoolExecutor(16) as starters:
            assert len(set(starters.map(lambda _: vault_key(here), range(64)))) == 1

    def test_refuses_a_ledger_whose_key_is_gone(self, tmp_path: Path) -> None:
        here = settings(data_dir=tmp_path)
        vault_key(here)
        here.log_file.touch()
        (tmp_path / "vault.key").unlink()
        with pytest.raises(VaultKeyIsMissing, match="Put the key file back"):
            vault_key(here)
        assert not (tmp_path / "vault.key").exists()

    def test_must_be_given_with_postgresql(self) -> None:
        with pytest.raises(NotSetUp, match="LCLEDGER_VAULT_KEY_FILE"):
            vault_key(settings(database_url=POSTGRESQL))

    @pytest.mark.parametrize("wrong", ["", "short", base64.b64encode(bytes(31)).decode(), base64.b64encode(bytes(33)).decode()])
    def test_refuses_what_is_no_key(self, wrong: str, tmp_path: Path) -> None:
        (tmp_path / "key").write_text(wrong)
        with pytest.raises(NotSetUp, match="must be 32 bytes in base64"):
            vault_key(settings(vault_key_file=tmp_path / "key"))
