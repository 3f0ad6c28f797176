"""What our log is measured beside, for `lcledger bench`: the floor under it, and the `eventsourcing` library's own recorder.

Nothing here is on the way of a command. All of it works in databases that are made for the measurement and removed after it.
"""

import secrets
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

from eventsourcing.persistence import ApplicationRecorder, InfrastructureFactory
from eventsourcing.utils import Environment
from sqlalchemy import URL

from ledger import schema, store
from ledger.entry import Row
from ledger.inspection.runs import Runs
from ledger.log import ENTRY, HEAD, Log, Statements
from ledger.snapshot import snapshot

_AT_ONCE: Final = 5_000
_POOL: Final = 16
_PATIENCE_S: Final = 60
"""How long a writer of the library waits for a connection or a lock: many writers must not end as refusals."""


class LibraryUnfit(RuntimeError):
    """The library's recorder for PostgreSQL needs the package `psycopg-pool`, which is not installed."""


# Databases to measure in ------------------------------------------------------------------------------------------------


class Scratch:
    """Makes databases to measure in: files in a folder, or databases of a PostgreSQL server."""

    def __init__(self, folder: Path, server: URL | None = None) -> None:
        self.folder = folder
        self._server = server
        self._numbers = count(1)
        self._mark = f"lcledger_bench_{secrets.token_hex(4)}"
        self._made: list[str] = []

    def make(self) -> str:
        """The address of a new database, which is empty."""
        name = f"{self._mark}_{next(self._numbers)}"
        if self._server is None:
            return f"sqlite:///{self.folder / name}.db"
        self._say(f'CREATE DATABASE "{name}"')
        self._made.append(name)
        return self._server.set(database=name).render_as_string(hide_password=False)

    def make_ledger(self) -> str:
        """The address of a new database with the log's tables."""
        url = self.make()
        engine = store.engine(url, pool_size=1)
        try:
            schema.migrate(engine)
        finally:
            engine.dispose()
        return url

    def drop(self) -> None:
        """Remove what a server was given; files go with their folder."""
        for name in self._made:
            self._say(f'DROP DATABASE "{name}" WITH (FORCE)')

    def _say(self, statement: str) -> None:
        assert self._server is not None  # noqa: S101 (only a server has something to be told)
        engine = store.engine(self._server, pool_size=1)
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
        finally:
            engine.dispose()


@contextmanager
def scratch(folder: Path, server: str | None = None) -> Iterator[Scratch]:
    """Databases for as long as somebody measures. `server` is any database of a PostgreSQL on which more may be made."""
    made = Scratch(folder, None if server is None else store.database(server))
    try:
        yield made
    finally:
        made.drop()


def described(log: Log) -> tuple[str, dict[str, str]]:
    """The version of a log's database, and the settings on which its durability depends, as the log's connections have them."""
    with log.engine.connect() as connection:
        if log.statements.sqlite:
            return f"SQLite {sqlite3.sqlite_version}", store.durability(connection)
        version = str(connection.exec_driver_sql("SHOW server_version").scalar())
        return f"PostgreSQL {version.partition(' ')[0]}", store.durability(connection)


# The floor --------------------------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """What one commit of ours wrote: entries, and the head that seals them."""

    rows: list[Row]
    head: tuple[int, bytes, bytes, str]


def committed(log: Log, after: int) -> Iterator[Batch]:
    """What was committed to a log after a position, commit by commit."""
    while heads := log.reads.full_heads(after, _AT_ONCE):
        for head in heads:
            yield Batch(log.reads.rows(after, head[0] - after, upto=head[0]), head)
            after = head[0]


class Floor:
    """The least that appending can cost: rows that are made already, put by the driver into the same tables, in as many commits.

    Nothing is looked up, checked, hashed or guarded by triggers; the durability is ours.
    """

    def __init__(self, url: str) -> None:
        """`url` has the log's tables already, and nothing in them."""
        self._engine = store.engine(url, pool_size=1)
        self._sqlite = store.is_sqlite(self._engine.url)
        self._statements = Statements(self._engine.dialect.name)
        self._connection = self._engine.connect()
        for statement in (
            [f"DROP TRIGGER {trigger}" for trigger in schema.protections("sqlite")]
            if self._sqlite
            else [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in ("entries", "heads")]
        ):
            self._connection.exec_driver_sql(statement)
        store.assert_durable(self._connection)

    def write(self, batches: Iterable[Batch]) -> int:
        """Write batches, each in a transaction of its own; how many entries they hold."""
        raw: Any = self._connection.connection.driver_connection
        cursor = raw.cursor()
        entries = 0
        for batch in batches:
            if self._sqlite:
                self._write(cursor, batch)
            else:
                with raw.pipeline():
                    self._write(cursor, batch)
            entries += len(batch.rows)
        return entries

    def _write(self, cursor: Any, batch: Batch) -> None:
        cursor.execute("BEGIN IMMEDIATE" if self._sqlite else "BEGIN")
        for table, columns, rows in (("entries", ENTRY, batch.rows), ("heads", HEAD, [batch.head])):
            for sql, parameters in self._statements.insertions(table, columns, rows):
                (cursor.executemany if self._sqlite else cursor.execute)(sql, parameters)
        cursor.execute("COMMIT")

    def durability(self) -> dict[str, str]:
        """The settings on which durability depends, as this connection has them."""
        return store.durability(self._connection)

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
        self._engine.dispose()


def hashed(log: Log) -> int:
    """The least that verifying can cost: all stored bytes are read in as many runs, and hashed; how many entries they are."""
    with snapshot(log) as reads, reads.ahead():
        return sum(len(run.hashed()) for run, _ in Runs(reads))


# The library ------------------------------------------------------------------------------------------------------------


class Library:
    """The `eventsourcing` library's own recorder of an application, with as many connections as it may want.

    Raises `LibraryUnfit` where it cannot be used on PostgreSQL.
    """

    def __init__(self, url: str) -> None:
        address = store.database(url)
        if not store.is_sqlite(address) and find_spec("psycopg_pool") is None:
            raise LibraryUnfit(LibraryUnfit.__doc__)
        self._sqlite = store.is_sqlite(address)
        self._factory: Any = InfrastructureFactory.construct(Environment("bench", environment_of(address)))
        self.recorder: ApplicationRecorder = self._factory.application_recorder()

    def durability(self) -> dict[str, str]:
        """The settings on which durability depends, as the library's own connections have them."""
        asked = store.SQLITE_ASKED if self._sqlite else store.POSTGRESQL_ASKED
        with self._factory.datastore.transaction(commit=False) as cursor:
            return {question.split()[-1]: _answer(cursor, question) for question in asked}

    def close(self) -> None:
        """Close every connection."""
        self._factory.close()


def environment_of(address: URL) -> dict[str, str]:
    """What the library is told of a database: where it is, and to be patient."""
    if store.is_sqlite(address):
        return {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "ORIGINATOR_ID_TYPE": "text",
            "SQLITE_DBNAME": str(address.database),
            "SQLITE_LOCK_TIMEOUT": str(_PATIENCE_S),
            "SQLITE_POOL_SIZE": str(_POOL),
            "SQLITE_MAX_OVERFLOW": str(_POOL * 4),
            "SQLITE_POOL_TIMEOUT": str(_PATIENCE_S),
        }
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "ORIGINATOR_ID_TYPE": "text",
        "POSTGRES_DBNAME": str(address.database),
        "POSTGRES_HOST": str(address.query.get("host") or address.host or ""),
        "POSTGRES_PORT": str(address.query.get("port") or address.port or ""),
        "POSTGRES_USER": address.username or "",
        "POSTGRES_PASSWORD": address.password or "",
        "POSTGRES_POOL_SIZE": str(_POOL),
        "POSTGRES_MAX_OVERFLOW": str(_POOL * 4),
        "POSTGRES_CONNECT_TIMEOUT": str(_PATIENCE_S),
    }


def _answer(cursor: Any, question: str) -> str:
    cursor.execute(question)
    row = cursor.fetchone()
    (value,) = row.values() if isinstance(row, dict) else tuple(row)
    return str(value).lower()
