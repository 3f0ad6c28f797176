"""Two databases, and none of them forgets what it said it had written."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from ledger import store
from ledger.ledger import Ledger
from ledger.lock_file import LockFile, ServedElsewhere
from ledger.log import Damaged
from tests import postgres
from tests.ledger.conftest import VAULT_KEY, Opening
from tests.ledger.pots import POTS


class TestAddress:
    def test_names_the_driver(self) -> None:
        assert store.database("postgresql://lcl@/ledger").drivername == "postgresql+psycopg"

    @pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://lcl@localhost/ledger"])
    def test_refuses_what_cannot_keep_a_ledger(self, url: str) -> None:
        with pytest.raises(ValueError, match="a ledger is kept in"):
            store.database(url)

    def test_read_models_stand_beside_the_log(self) -> None:
        address = make_url("sqlite:////var/lib/lcl/ledger.db")
        assert store.file_of(address, "views") == Path("/var/lib/lcl/ledger-views.db")

    def test_read_models_have_a_schema_of_their_own(self, postgres_url: str) -> None:
        for part in ("log", "views"):
            engine = store.engine(postgres_url, part)
            with engine.connect() as connection:
                assert connection.exec_driver_sql("SELECT current_schema()").scalar() == part
            engine.dispose()


class TestDurable:
    def test_the_writer_s_connection_waits_for_the_disk(self, opening: Opening) -> None:
        ledger = opening()
        with ledger.log.turn() as turn:
            store.assert_durable(turn.connection)

    @pytest.mark.parametrize(
        ("setting", "value"), [("synchronous", "NORMAL"), ("synchronous", "OFF"), ("journal_mode", "DELETE")]
    )
    def test_refuses_an_sqlite_that_does_not(self, sqlite_url: str, setting: str, value: str) -> None:
        engine = store.engine(sqlite_url)
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            connection.exec_driver_sql(f"PRAGMA {setting}={value}")
            with pytest.raises(store.NotDurable, match=setting):
                store.assert_durable(connection)
        engine.dispose()

    @pytest.mark.parametrize("value", ["off", "local", "remote_write"])
    def test_refuses_a_postgres_that_does_not(self, postgres_server: postgres.Server, postgres_url: str, value: str) -> None:
        with postgres_server.connect() as connection:
            name = make_url(postgres_url).database
            connection.execute(f"ALTER DATABASE {name} SET synchronous_commit = {value}".encode())
        with pytest.raises(store.NotDurable, match="synchronous_commit"):
            Ledger.open(postgres_url, vault_key=VAULT_KEY, registry=POTS)


class TestServing:
    def test_keeps_a_second_server_out(self, sqlite_url: str) -> None:
        with Ledger.open(sqlite_url, vault_key=VAULT_KEY, registry=POTS, serving=True):
            with pytest.raises(ServedElsewhere):
                Ledger.open(sqlite_url, vault_key=VAULT_KEY, registry=POTS, serving=True)
            Ledger.open(sqlite_url, vault_key=VAULT_KEY, registry=POTS).close()
        Ledger.open(sqlite_url, vault_key=VAULT_KEY, registry=POTS, serving=True).close()

    def test_a_lock_is_let_go_of(self, tmp_path: Path) -> None:
        lock = LockFile(tmp_path / "lock").take()
        with pytest.raises(ServedElsewhere):
            LockFile(tmp_path / "lock").take()
        lock.release()
        with LockFile(tmp_path / "lock"):
            pass


def test_refuses_a_log_whose_head_does_not_fit(opening: Opening) -> None:
    ledger = opening()
    with ledger.log.engine.connect() as connection:
        connection.exec_driver_sql(
            "INSERT INTO entries (position, stream, version, type, recorded_at, header, state, leaf) "
            "VALUES (1, 'x', 1, 'x', 'x', 'x', 'x', 'x')"
        )
    with pytest.raises(Damaged):
        opening()
