"""What is shipped for three machines says what it must: nothing is acknowledged that only one of them has."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from pydantic import SecretStr

from api.settings import Settings

TOP: Final = Path(__file__).parent.parent
HERE: Final = TOP / "docker" / "patroni"
PATRONI: Final[dict[str, Any]] = yaml.safe_load((HERE / "patroni.yaml").read_text("utf-8"))
COMPOSE: Final[dict[str, Any]] = yaml.safe_load((HERE / "compose.yaml").read_text("utf-8"))
SERVICES: Final[dict[str, Any]] = COMPOSE["services"]
OURS: Final = ("migrate", "api", "worker")


class TestPatroni:
    DCS: Final[dict[str, Any]] = PATRONI["bootstrap"]["dcs"]

    def test_has_no_primary_that_commits_alone(self) -> None:
        assert (self.DCS["synchronous_mode"], self.DCS["synchronous_mode_strict"]) == (True, True)
        assert self.DCS["synchronous_node_count"] == 1

    @pytest.mark.parametrize("setting", ["fsync", "full_page_writes", "synchronous_commit"])
    def test_has_every_commit_on_disk(self, setting: str) -> None:
        assert self.DCS["postgresql"]["parameters"][setting] == "on"
        assert {"data-checksums"} <= {each for each in PATRONI["bootstrap"]["initdb"] if isinstance(each, str)}

    def test_makes_a_standby_without_waiting_for_a_checkpoint_that_takes_minutes(self) -> None:
        assert {"checkpoint": "fast"} in PATRONI["postgresql"]["basebackup"]

    def test_gives_a_lease_in_which_it_can_be_renewed_twice(self) -> None:
        assert self.DCS["ttl"] >= self.DCS["loop_wait"] + 2 * self.DCS["retry_timeout"]

    def test_lets_nobody_in_without_a_password_that_is_not_said(self) -> None:
        assert all(rule.endswith(" scram-sha-256") for rule in PATRONI["postgresql"]["pg_hba"])
        assert "password:" not in (HERE / "patroni.yaml").read_text("utf-8")

    def test_makes_the_roles_by_a_script_that_a_shell_can_read(self) -> None:
        script = HERE / PATRONI["bootstrap"]["post_bootstrap"]
        for each in (script, HERE / "ledger-database.sh"):
            assert os.access(each, os.X_OK)
            assert subprocess.run(["sh", "-n", each], check=False).returncode == 0
        assert re.findall(r"CREATE ROLE (\w+) LOGIN", script.read_text("utf-8")) == ["ledger_owner", "ledger_service"]


class TestCompose:
    def test_has_on_each_machine_what_elects_what_keeps_and_what_serves(self) -> None:
        assert set(SERVICES) == {"etcd", "database", *OURS}
        assert SERVICES["api"]["command"][0] == "serve"
        assert SERVICES["worker"]["command"] == ["worker"]

    @pytest.mark.parametrize("name", OURS)
    def test_finds_the_primary_among_all_machines(self, name: str) -> None:
        url = SERVICES[name]["environment"]["LCLEDGER_DATABASE_URL"]
        hosts = [f"${{{each}}}:5432" for each in ("FIRST", "SECOND", "THIRD")]
        assert parse_qs(urlsplit(url).query) == {"host": hosts, "target_session_attrs": ["read-write"]}
        named = url.replace("${", "").replace("}", "")
        ours = Settings(database_url=SecretStr(named), database_password=SecretStr("of the role"))
        assert ours.log_url == named.replace("@", ":of%20the%20role@", 1)

    def test_serves_as_a_role_that_owns_nothing_of_the_log(self) -> None:
        roles = [urlsplit(SERVICES[name]["environment"]["LCLEDGER_DATABASE_URL"]).username for name in OURS]
        assert roles == ["ledger_owner", "ledger_service", "ledger_service"]
        assert all("owner_password" not in SERVICES[name]["secrets"] for name in ("api", "worker"))

    def test_takes_secrets_from_files_that_are_not_committed(self) -> None:
        assert all(secret["file"].startswith("./secrets/") for secret in COMPOSE["secrets"].values())
        assert "/docker/patroni/secrets/" in (TOP / ".gitignore").read_text("utf-8").splitlines()
        for service in SERVICES.values():
            assert set(service.get("secrets", ())) <= set(COMPOSE["secrets"])

    def test_is_of_images_that_are_here(self) -> None:
        assert {SERVICES["etcd"]["image"], SERVICES["database"]["image"]} == {"lcledger-database:0.1.0"}
        hadolint = Path(sys.executable).with_name("hadolint")
        command = [str(hadolint), "--failure-threshold", "style", str(HERE / "Dockerfile")]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        copied = re.findall(r"^COPY (.+) \S+$", (HERE / "Dockerfile").read_text("utf-8"), re.MULTILINE)
        assert all((HERE / name).is_file() for names in copied for name in names.split())

    def test_is_built_once_and_from_nothing_but_what_it_copies(self) -> None:
        assert [name for name, service in SERVICES.items() if "build" in service] == ["etcd"]
        copied = re.findall(r"^COPY (.+) \S+$", (HERE / "Dockerfile").read_text("utf-8"), re.MULTILINE)
        sent = [line for line in (HERE / ".dockerignore").read_text("utf-8").splitlines() if not line.startswith("#")]
        assert sent == ["*", *(f"!{name}" for names in copied for name in names.split())]

    def test_keeps_everything_in_volumes_that_have_names(self) -> None:
        """What the image before has as a volume is kept as that; nothing is made in there when ours is built."""
        image = (HERE / "Dockerfile").read_text("utf-8")
        before = "/var/lib/postgresql"
        assert re.findall(r"DATA_DIR=(\S+)", image) == [f"{before}/ledger"]
        assert not any(before in step for step in re.findall(r"^RUN (?:.*\\\n)*.*$", image, re.MULTILINE))
        volumes = {before, *re.findall(r'"(/var/lib/\w+)"', image)}
        for name, kept in (("database", before), ("etcd", "/var/lib/etcd")):
            assert SERVICES[name]["volumes"] == [f"{name}:{kept}"]
            assert set(SERVICES[name]["tmpfs"]) == volumes - {kept}
        for name in ("migrate", "worker"):
            assert "/var/lib/lcledger:mode=1777" in SERVICES[name]["tmpfs"]
        assert SERVICES["api"]["volumes"] == ["first-key:/var/lib/lcledger"]


class TestDrill:
    def test_runs_what_is_shipped(self) -> None:
        done = subprocess.run([sys.executable, HERE / "drill.py", "--help"], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout.startswith("usage: drill.py")) == (0, True), done.stderr
        text = (HERE / "drill.py").read_text("utf-8")
        for name in re.findall(r'"(PATRONI_\w+)"', text):
            asked_for = (HERE / "compose.yaml").read_text("utf-8") + (HERE / "Dockerfile").read_text("utf-8")
            assert name in asked_for + (HERE / "ledger-database.sh").read_text("utf-8"), name
        assert 'self.folder / "patroni" / "patroni.yaml"' in text
