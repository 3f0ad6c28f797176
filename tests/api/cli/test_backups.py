"""Backing up a service that runs, losing it, and going on from the backup: on both databases, by the commands themselves."""

import json
import shutil
import signal
import sqlite3
from base64 import b64encode
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from api.cli import app
from ledger import schema, store
from tests import postgres
from tests.api.cli.conftest import OPEN, registration, run, serving

VAULT_KEY = b64encode(b"thirty-two bytes of a test's key").decode()
ROLE = "ledger_restorer"


@dataclass
class Place:
    """Where a ledger may be, as the command line is told of it."""

    folder: Path
    more: dict[str, str] = field(default_factory=dict)

    def ask(self, *arguments: str, **more: str) -> Any:
        done = self._run(*arguments, "--json", **more)
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def refused(self, *arguments: str, **more: str) -> str:
        done = self._run(*arguments, **more)
        assert done.exit_code == 1, done.output
        return " ".join(done.stderr.split())

    def pack(self, file: Path, key: str | None = None, as_of: int | None = None) -> bytes:
        """The audit pack of the award that is open."""
        of = () if as_of is None else ("--as-of", str(as_of))
        done = self._run("audit-pack", OPEN, "--output", str(file), "--key", key or self.key, *of)
        assert done.exit_code == 0, done.output
        return file.read_bytes()

    def _run(self, *arguments: str, **more: str) -> Any:
        return CliRunner().invoke(app, arguments, env={"LCLEDGER_DATA_DIR": str(self.folder), **self.more, **more})

    @property
    def key(self) -> str:
        return (self.folder / "first-administrator.key").read_text("utf-8").strip()


@pytest.fixture(params=["sqlite", "postgres"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Place, Place]]:
    """Where a ledger is lost, and where it is restored; on PostgreSQL by a role that owns nothing of the log."""
    lost, restored = Place(tmp_path / "lost"), Place(tmp_path / "restored")
    if request.param == "sqlite":
        yield lost, restored
        return
    server: postgres.Server = request.getfixturevalue("postgres_server")
    names = [server.create(), server.create()]
    with server.connect() as connection:
        connection.execute(f"DROP ROLE IF EXISTS {ROLE}".encode())
        connection.execute(f"CREATE ROLE {ROLE} LOGIN".encode())
    for name, place in zip(names, (lost, restored), strict=True):
        owner = store.engine(server.url(name))
        schema.migrate(owner, grant_to=ROLE)
        owner.dispose()
        place.more |= {"LCLEDGER_DATABASE_URL": server.url(name, ROLE), "LCLEDGER_VAULT_KEY": VAULT_KEY}
    yield lost, restored
    for name in names:
        server.drop(name)
    with server.connect() as connection:
        connection.execute(f"DROP ROLE {ROLE}".encode())


def register(address: str, key: str, number: int) -> int:
    """Register a party; the position of its entry."""
    body = {"party": f"GB-COH-{number:08}", "name": f"Provider {number}"}
    headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": f"party-{number}"}
    done = httpx.post(f"{address}/v1/parties", json=body, headers=headers, timeout=60)
    assert done.is_success, done.text
    return int(done.json()["position"])


class TestBackup:
    def test_makes_the_folder_that_it_is_told_or_the_file(self, served: Path, tmp_path: Path) -> None:
        here = Place(served)
        in_folder = Path(here.ask("backup", str(tmp_path / "kept" / "nightly"))["file"])
        assert in_folder.parent == tmp_path / "kept" / "nightly"
        named = tmp_path / "moves" / "before.lcledger"
        assert Path(here.ask("backup", str(named))["file"]) == named
        assert named.is_file()


class TestRestore:
    def test_goes_on_from_a_backup_of_a_service_under_load(self, places: tuple[Place, Place], tmp_path: Path) -> None:
        lost, restored = places
        head_file = str(tmp_path / "elsewhere" / "head.json")
        with serving(lost.folder, LCLEDGER_HEAD_FILE=head_file, **lost.more) as (process, address):
            enough, stop = Event(), Event()

            def load() -> int:
                for number in range(100_000):
                    register(address, lost.key, number)
                    if number > 20:
                        enough.set()
                    if stop.is_set():
                        return number
                raise AssertionError

            with ThreadPoolExecutor(1) as thread:
                loading = thread.submit(load)
                assert enough.wait(60)
                made = lost.ask("backup", str(tmp_path / "ledger.lcledger"))
                stop.set()
                number = loading.result()
            acknowledged = register(address, lost.key, number + 1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        published = json.loads(Path(head_file).read_text())
        assert published["size"] == acknowledged > made["size"] > 20
        if not restored.more:
            restored.folder.mkdir()
            shutil.copy(lost.folder / "vault.key", restored.folder)

        done = restored.ask("restore", made["file"], "--key", lost.key, LCLEDGER_HEAD_FILE=head_file)
        assert done["lost"] == published
        assert done["restored"]["size"] == made["size"] + 1
        assert restored.ask("verify")["root"] == json.loads(Path(head_file).read_text())["root"] == done["restored"]["root"]
        assert all(model["differences"] == [] for model in restored.ask("check")["models"])
        assert "There is a ledger here already" in restored.refused("restore", made["file"], "--key", lost.key)

        # What is in the backup is known, what is not is taken in anew, and an auditor reads why.
        with serving(restored.folder, LCLEDGER_HEAD_FILE=head_file, **restored.more) as (process, address):
            assert register(address, lost.key, 0) < made["size"]
            assert register(address, lost.key, number + 1) == done["restored"]["size"] + 1
            page = httpx.get(
                f"{address}/v1/entries?after={made['size']}&limit=1", headers={"Authorization": f"Bearer {lost.key}"}, timeout=60
            )
            (entry,) = page.json()["rows"]
            assert entry["type"] == "log.restored"
            assert entry["event"]["lost"] == published
            assert entry["event"]["head"]["root"] == made["root"]
            assert entry["person"]

    def test_keeps_packs_as_they_were_whichever_key_signs_the_log_since(
        self, places: tuple[Place, Place], tmp_path: Path
    ) -> None:
        lost, restored = places
        with serving(lost.folder, **lost.more) as (process, _):
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        if lost.more:  # On PostgreSQL the signing key is whoever serves's to keep.
            (tmp_path / "old.key").write_text(b64encode(bytes(range(32))).decode())
            lost.more["LCLEDGER_SIGNING_KEY_FILE"] = str(tmp_path / "old.key")
        lost.ask("import", "award", str(registration(tmp_path)))
        first = lost.ask("log", "checkpoint")["size"]
        before = lost.pack(tmp_path / "before.zip")
        new = ("--new-key-file", str(tmp_path / "new.key"))
        assert lost.ask("log", "rotate-key", *new)["size"] > first
        if lost.more:
            lost.more["LCLEDGER_SIGNING_KEY_FILE"] = str(tmp_path / "new.key")
        last = lost.ask("log", "checkpoint")["size"]
        after = lost.pack(tmp_path / "after.zip")
        assert before != after
        assert lost.pack(tmp_path / "again.zip", as_of=first) == before
        made = lost.ask("backup", str(tmp_path / "ledger.lcledger"))

        if lost.more:
            restored.more["LCLEDGER_SIGNING_KEY_FILE"] = str(tmp_path / "new.key")
        else:
            restored.folder.mkdir()
            shutil.copy(lost.folder / "vault.key", restored.folder)
            shutil.copy(tmp_path / "new.key", restored.folder / "signing.key")
        assert restored.ask("restore", made["file"], "--key", lost.key)["restored"]["size"] > last
        for key in (new[1], str(tmp_path / "newest.key")):
            restored.more["LCLEDGER_SIGNING_KEY_FILE"] = key
            for as_of, pack in ((first, before), (last, after)):
                assert restored.pack(tmp_path / "restored.zip", lost.key, as_of=as_of) == pack
            if key == new[1]:
                restored.ask("log", "rotate-key", "--new-key-file", str(tmp_path / "newest.key"), "--key", lost.key)

    def test_leaves_nothing_of_a_damaged_backup(self, served: Path, tmp_path: Path) -> None:
        file = tmp_path / "cut.lcledger"
        assert run("backup", str(file), "--data-dir", str(served)).exit_code == 0
        file.write_bytes(file.read_bytes()[:-9])
        fresh = Place(tmp_path / "fresh")
        assert "damaged or cut off" in fresh.refused("restore", str(file), "--key", Place(served).key)
        assert not fresh.folder.exists()

    def test_wants_the_vault_key_and_an_administrator(self, served: Path, tmp_path: Path) -> None:
        made = Place(served).ask("backup", str(tmp_path))
        assert Path(made["file"]).parent == tmp_path
        fresh = Place(tmp_path / "fresh")
        key = Place(served).key
        assert "The vault's key is needed" in fresh.refused("restore", made["file"], "--key", key)
        fresh.folder.mkdir(exist_ok=True)
        shutil.copy(served / "vault.key", fresh.folder)
        assert "must be one" in fresh.refused("restore", made["file"], "--key", key[:-1] + ("A" if key[-1] != "A" else "B"))
        left = [file.name for file in fresh.folder.iterdir() if file.stat().st_size]
        assert left == ["vault.key"], "of a restore that was refused no database is left, only empty locks"
        assert fresh.ask("restore", made["file"], "--key", key)["restored"]["size"] == made["size"] + 1


class TestServe:
    def test_refuses_a_database_that_is_behind_what_it_published(self, served: Path, tmp_path: Path) -> None:
        """The disk is put back to an older image, the published head is not."""
        old = tmp_path / "old"
        shutil.copytree(served, old)
        with serving(served) as (process, address):
            register(address, Place(served).key, 1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        shutil.copy(served / "published-head.json", old)
        said = Place(old).refused("serve", "--port", "0")
        assert "entries that others were told of are gone" in said
        assert "`lcledger restore`" in said
        with sqlite3.connect(old / "ledger.sqlite3") as database:
            assert database.execute("SELECT max(position) FROM entries").fetchone() == (3,)

    def test_makes_nothing_in_a_database_that_was_emptied_so_that_it_can_be_restored(
        self, places: tuple[Place, Place], tmp_path: Path
    ) -> None:
        """The key that opens the backup stays where it is, too: a new administrator's would have taken its place."""
        lost, other = places
        with serving(lost.folder, **lost.more) as (process, address):
            register(address, lost.key, 1)
            made = lost.ask("backup", str(tmp_path / "ledger.lcledger"))
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0
        key, emptied = lost.key, Place(lost.folder, other.more)
        for file in lost.folder.glob("ledger*.sqlite3*"):
            file.unlink()
        for more in ((), ("--workers", "2")) if other.more else ((),):
            assert "entries that others were told of are gone" in emptied.refused("serve", "--port", "0", *more)
        assert emptied.key == key
        done = emptied.ask("restore", made["file"])
        assert (done["restored"]["size"], done["lost"]) == (made["size"] + 1, None)
        with serving(emptied.folder, **emptied.more) as (_, address):
            assert register(address, key, 2) == made["size"] + 2
