"""What goes wrong, made to."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest
from sqlalchemy import Engine, event, exc, make_url

from ledger import log, store
from ledger.ledger import Ledger
from ledger.wire import Wire

LONG_S: Final = 60
SOMEBODY_ELSE: Final = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.read()
"""


@contextmanager
def cut_in_commit(ledger: Ledger, *, stored: bool) -> Iterator[None]:
    """The log's first commit fails, and from then on nothing can be said to it at all, and nobody reaches it."""
    with pytest.MonkeyPatch.context() as patch, failing_commit(stored=stored, then=lambda: _cut_off(patch, ledger)):
        yield


@contextmanager
def failing_commit(*, stored: bool, then: Callable[[], None] = lambda: None) -> Iterator[None]:
    """The first commit of a turn fails, before it is stored or after it, and the next ones do not.

    Who read what is committed elsewhere, whenever that comes, and is none of it.
    """
    commit, failed = Wire.commit, False

    def fail(self: Wire, statements: Iterable[tuple[str, Any]]) -> None:
        nonlocal failed
        statements = list(statements)
        if failed or any("INTO disclosures" in statement for statement, _ in statements):
            return commit(self, statements)
        failed = True
        if stored:
            commit(self, statements)
        else:
            self.roll_back()
        then()
        raise _lost()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wire, "commit", fail)
        yield


def _cut_off(patch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    def refuse(*_: object) -> Any:
        raise _lost()

    def refuse_ours(connect: Callable[[Engine], Any]) -> Callable[[Engine], Any]:
        return lambda engine: refuse() if engine is ledger.log.engine else connect(engine)

    patch.setattr(Engine, "connect", refuse_ours(Engine.connect))
    patch.setattr(Engine, "raw_connection", refuse_ours(Engine.raw_connection))
    for said in ("begin", "commit", "ask", "say"):
        patch.setattr(Wire, said, refuse)
    patch.setattr(Wire, "roll_back", lambda _: False)


async def until(there: Callable[[], bool]) -> None:
    """Wait for what another thread brings about."""
    async with asyncio.timeout(LONG_S):
        while not there():  # noqa: ASYNC110 (another thread makes it so)
            await asyncio.sleep(0.01)


# A database that takes no writes for a while --------------------------------------------------------------------------


def be_impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a ledger from now on waits a fifth of a second for others, rather than half a minute."""
    impatient = tuple(each.replace(f"{store.BUSY_TIMEOUT_S}s", "200ms") for each in log._POSTGRESQL_BEGIN)
    monkeypatch.setattr(log, "_POSTGRESQL_BEGIN", impatient)
    monkeypatch.setattr(store, "BUSY_TIMEOUT_S", 0.2)


@contextmanager
def full(ledger: Ledger, url: str) -> Iterator[None]:
    """Its disk is full, as far as the database can tell."""
    if ledger.log.statements.sqlite:
        with ledger.log.turn() as turn:
            pages = turn.connection.exec_driver_sql("PRAGMA page_count").scalar()
            turn.connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")
        yield
        with ledger.log.turn() as turn:
            turn.connection.exec_driver_sql("PRAGMA max_page_count = 1073741823")
        return
    with own_connection(url) as connection:
        connection.execute(
            "CREATE FUNCTION full_() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$"
        )
        for table in ("heads", "tracking"):
            connection.execute(f"CREATE TRIGGER full_ BEFORE INSERT ON {table} EXECUTE FUNCTION full_()".encode())
        yield
        for table in ("heads", "tracking"):
            connection.execute(f"DROP TRIGGER full_ ON {table}".encode())


@contextmanager
def read_only(ledger: Ledger, url: str) -> Iterator[None]:
    """It can only be read: as a standby, or a file on a disk that has become so."""
    if ledger.log.statements.sqlite:

        def refuse(connection: sqlite3.Connection, _record: object = None) -> None:
            connection.execute("PRAGMA query_only = 1").close()

        with ledger.log.turn() as turn:
            refuse(turn.connection.connection.driver_connection)  # type: ignore[arg-type]
        event.listen(ledger.log.engine, "connect", refuse)
        ledger.log.engine.dispose()
        yield
        event.remove(ledger.log.engine, "connect", refuse)
        ledger.log.engine.dispose()
        with ledger.log.turn() as turn:
            turn.connection.exec_driver_sql("PRAGMA query_only = 0")
        return
    name = make_url(url).database
    with own_connection(url) as connection:
        for read_only in ("on", "off"):
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {read_only}".encode())
            end_others(connection)
            if read_only == "on":
                yield


@contextmanager
def locked(_ledger: Ledger, url: str) -> Iterator[None]:
    """Another process holds the turn to write."""
    address = make_url(url)
    if not store.is_sqlite(address):
        with own_connection(url) as connection, connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (log._TURN,))
            yield
        return
    command = [sys.executable, "-c", SOMEBODY_ELSE, str(address.database)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        yield
        other.kill()


@contextmanager
def crowded(_ledger: Ledger, url: str) -> Iterator[None]:
    """PostgreSQL takes no more connections of the service's role, and has none."""
    role = make_url(url).username
    with own_connection(make_url(url).set(username="postgres").render_as_string()) as connection:
        for most in (0, -1):
            connection.execute(f"ALTER ROLE {role} CONNECTION LIMIT {most}".encode())
            end_others(connection)
            if most == 0:
                yield


@contextmanager
def small_disk(folder: Path, mib: int = 8) -> Iterator[Path]:
    """A disk of a few MiB in memory; skips the test where none may be mounted."""
    disk = folder / "disk"
    disk.mkdir()
    mount: list[str | Path] = ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", disk]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode != 0:
        pytest.skip(f"whoever runs the tests may not mount a disk: {mounted.stderr.strip()}")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@contextmanager
def only_read(disk: Path) -> Iterator[None]:
    """What is opened on a disk while this lasts can only be read."""
    with ExitStack() as stack:
        for file in disk.glob("*/*.sqlite3"):  # Or SQLite would tidy up as the last connection ends, and find nothing to read.
            stack.enter_context(closing(sqlite3.connect(file))).execute("SELECT count(*) FROM sqlite_master").close()
        subprocess.run(["mount", "--bind", disk, disk], check=True)
        stack.callback(lambda: subprocess.run(["umount", "--lazy", disk], check=True))
        subprocess.run(["mount", "-o", "remount,ro,bind", disk], check=True)
        yield


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """A disk without a byte left."""
    rest = disk / "rest"
    with rest.open("wb", buffering=0) as out, suppress(OSError):
        while True:
            out.write(bytes(1024))
    yield
    rest.unlink()


def end_others(connection: "psycopg.Connection[tuple[Any, ...]]") -> None:
    """End every other connection to the same database."""
    connection.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database() "
        "AND pid <> pg_backend_pid()"
    )


def own_connection(url: str) -> "psycopg.Connection[tuple[Any, ...]]":
    """A connection of a test's own, which commits at once."""
    address = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(address, autocommit=True, options="-csearch_path=log")


def _lost() -> Exception:
    return exc.OperationalError("COMMIT", None, OSError("the connection is lost"))
