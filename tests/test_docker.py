"""What the containers of `docker/` run, run without containers: as their files say it, on a real PostgreSQL.

Images are built by whoever has a daemon; what is ours in them (settings, roles, scripts, health) is tried here.
"""

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import pytest
import yaml

from tests import postgres
from tests.api import server
from tests.api.server import Place

DOCKER: Final = Path(__file__).parent.parent / "docker"
SERVICES: Final[dict[str, Any]] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))["services"]
IMAGE: Final = (DOCKER / "Dockerfile").read_text("utf-8").rpartition("\nFROM ")[2]


@dataclass(frozen=True)
class Container(Place):
    """What a service of compose.yaml is told, with the database and the secrets where they are here."""

    told: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Nothing but what it is told, and where Python is."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("LCLEDGER_")}
        return ours | dict(self.told) | {"LCLEDGER_DATA_DIR": str(self.folder), "LCLEDGER_PORT": "0"}


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    """Made as the head of compose.yaml says."""
    folder = tmp_path / "secrets"
    folder.mkdir()
    for name in ("owner_password", "service_password"):
        (folder / name).write_text(os.urandom(32).hex() + "\n", "ascii")
    for name in ("vault_key", "signing_key"):
        (folder / name).write_bytes(base64.b64encode(os.urandom(32)) + b"\n")
    return folder


@pytest.fixture
def database(own_server: postgres.Server, secrets: Path) -> postgres.Server:
    """A server as the image of PostgreSQL leaves it: its first role and database, and then the script that is shipped."""
    with own_server.connect() as connection:
        connection.execute("CREATE ROLE ledger_owner LOGIN SUPERUSER")
        connection.execute("CREATE DATABASE ledger OWNER ledger_owner")
    said = {
        "POSTGRES_USER": "ledger_owner",
        "POSTGRES_DB": "ledger",
        "PGHOST": str(own_server.folder),
        "LEDGER_SECRETS": str(secrets),
    }
    path = f"{postgres.programs()}{os.pathsep}{os.environ['PATH']}"
    subprocess.run([DOCKER / "service-role.sh"], env=said | {"PATH": path}, check=True, capture_output=True)
    return own_server


def container(name: str, database: postgres.Server, secrets: Path, folder: Path) -> Container:
    """A service of compose.yaml."""
    told = {key: str(value).replace("/run/secrets", str(secrets)) for key, value in SERVICES[name]["environment"].items()}
    address = urlsplit(told["LCLEDGER_DATABASE_URL"])
    assert address.username is not None
    told["LCLEDGER_DATABASE_URL"] = database.url(address.path[1:], address.username)
    return Container(folder / name, told=told | {"LCLEDGER_HOST": "127.0.0.1"})


def is_healthy(port: int) -> bool:
    """What the image's health check says of whoever serves at a port."""
    (command,) = re.findall(r"^HEALTHCHECK .*\\\n\s+CMD (\[.*\])$", IMAGE, re.MULTILINE)
    program, *arguments = json.loads(command)
    assert program == "python"
    asked = subprocess.run([sys.executable, *arguments], env={"LCLEDGER_PORT": str(port)}, check=False, capture_output=True)
    return asked.returncode == 0


class TestTheContainers:
    def test_migrate_serve_and_follow(self, database: postgres.Server, secrets: Path, tmp_path: Path) -> None:
        migrate, api, worker = (container(name, database, secrets, tmp_path) for name in ("migrate", "api", "worker"))
        with server.forked(migrate, *SERVICES["migrate"]["command"]) as migrating:
            assert migrating.process.wait(server.START_TIMEOUT_S) == 0, migrating.log.read_text("utf-8")
        with (
            server.forked(api, *SERVICES["api"]["command"]) as serving,
            server.forked(worker, *SERVICES["worker"]["command"]) as other,
        ):
            other.wait("standing by")
            port = urlsplit(serving.address).port
            assert port is not None
            assert is_healthy(port)
            assert (api.folder / "first-administrator.key").exists(), "the volume of the key is where it is made"
        assert not is_healthy(port)

    def test_serve_as_a_role_that_cannot_change_the_log(self, database: postgres.Server, secrets: Path, tmp_path: Path) -> None:
        with server.forked(container("migrate", database, secrets, tmp_path), *SERVICES["migrate"]["command"]) as migrating:
            assert migrating.process.wait(server.START_TIMEOUT_S) == 0
        with database.connect("ledger") as connection:
            for statement in (
                "DROP TRIGGER entries_never_change ON log.entries",
                "DELETE FROM log.entries",
                "TRUNCATE log.heads",
            ):
                connection.execute("SET ROLE ledger_service")
                with pytest.raises(Exception, match=r"must be owner|permission denied"):
                    connection.execute(statement.encode())

    def test_keep_what_they_must_in_volumes(self) -> None:
        (folder,) = re.findall(r"LCLEDGER_DATA_DIR=(\S+)", IMAGE)
        assert f'VOLUME ["{folder}"]' in IMAGE
        assert f"first-key:{folder}" in SERVICES["api"]["volumes"]

    @pytest.mark.parametrize("name", ["migrate", "worker"])
    def test_leave_no_volume_behind_of_those_who_keep_nothing(self, name: str) -> None:
        (folder,) = re.findall(r"LCLEDGER_DATA_DIR=(\S+)", IMAGE)
        assert f"{folder}:mode=1777" in SERVICES[name]["tmpfs"], (
            "the folder of the image is one user's only, that of a tmpfs root's"
        )

    def test_begin_with_a_folder_that_has_nothing_in_it(self) -> None:
        assert "--no-create-home" in IMAGE, "a home begins with the files of a shell"
        assert "install --directory --mode 0700 --owner ledger --group ledger /var/lib/lcledger" in IMAGE
