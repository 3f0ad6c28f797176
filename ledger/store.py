"""The databases: the log with its vault, the read models, the disclosures, and the deliveries of webhooks.

With SQLite these are files, side by side: `ledger.db`, `ledger-views.db` and so on; with PostgreSQL schemas of one database,
`log`, `views`, `disclosures` and `deliveries`. Several, because in one file those who write stand in each other's way.
"""

from pathlib import Path
from typing import Any, Final, Literal, Protocol

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url

from ledger.failures import READ_ONLY, Unavailable

Part = Literal["log", "views", "disclosures", "deliveries"]

BUSY_TIMEOUT_S: Final = 30
POOL_SIZE: Final = 8
POOL_TIMEOUT_S: Final = 10
"""How long a reader waits at most for a connection that others have."""
_POSTGRESQL: Final = {
    "connect_timeout": 5,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""When a server counts as gone, unless the address says otherwise: a machine that dies closes no connection."""
_SESSION: Final = {"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3"}
"""When we count as gone, for the server: what a process of a dead machine had locked is free then."""
_CHECKPOINT_PAGES: Final = 8_192
"""After so many pages (32 MiB) SQLite copies its write-ahead log into the file: seldom, as most pages of a log are hot."""
SQLITE_ASKED: Final = ("PRAGMA journal_mode", "PRAGMA synchronous")
POSTGRESQL_ASKED: Final = ("SHOW fsync", "SHOW full_page_writes", "SHOW synchronous_commit")
_SAFE: Final = {
    "journal_mode": {"wal"},
    "synchronous": {"2", "3"},
    "fsync": {"on"},
    "full_page_writes": {"on"},
    "synchronous_commit": {"on", "remote_apply"},
}
"""The answers with which a commit outlives the machine."""


class NotDurable(Unavailable):
    """The database could lose what it said it had written; the ledger does not write to it."""


class _Cursor(Protocol):
    def execute(self, statement: str, /) -> Any: ...
    def close(self) -> None: ...


class _Connection(Protocol):
    def cursor(self) -> _Cursor: ...


def database(url: str | URL) -> URL:
    """The address of a database with the driver that we use: `sqlite:///…` or `postgresql://…`."""
    address = make_url(url)
    if address.drivername in {"postgresql", "postgres"}:
        return address.set(drivername="postgresql+psycopg")
    if address.drivername not in {"sqlite", "sqlite+pysqlite", "postgresql+psycopg"}:
        raise ValueError(f"a ledger is kept in SQLite or PostgreSQL, not in {address.drivername!r}")
    if is_sqlite(address) and address.database in {None, "", ":memory:"}:
        raise ValueError("a ledger is kept in a file: give a path, such as sqlite:///ledger.db")
    return address


def is_sqlite(address: URL) -> bool:
    """Whether an address is that of an SQLite file."""
    return address.get_backend_name() == "sqlite"


def file_of(address: URL, part: Part = "log") -> Path:
    """The SQLite file of a part: the others stand beside the log."""
    path = Path(address.database or "")
    return path if part == "log" else path.with_name(f"{path.stem}-{part}{path.suffix}")


def engine(url: str | URL, part: Part = "log", *, pool_size: int = POOL_SIZE) -> Engine:
    """Connections to a part of the ledger, in autocommit: who wants several statements at once says BEGIN."""
    address = database(url)
    if is_sqlite(address):
        return _sqlite(address.set(database=str(file_of(address, part))), part, pool_size)
    return create_engine(
        address,
        isolation_level="AUTOCOMMIT",
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=POOL_TIMEOUT_S,
        pool_pre_ping=True,
        connect_args={name: value for name, value in _POSTGRESQL.items() if name not in address.query}
        | {"options": _options({"search_path": part} | _SESSION)},
    )


def _options(settings: dict[str, str]) -> str:
    return " ".join(f"-c{name}={value}" for name, value in settings.items())


def _sqlite(address: URL, part: Part, pool_size: int) -> Engine:
    made = create_engine(
        address,
        isolation_level="AUTOCOMMIT",
        pool_size=2 * pool_size,  # Kept, as a new connection reads the whole schema before it answers anything.
        max_overflow=0,
        pool_timeout=POOL_TIMEOUT_S,
        connect_args={"check_same_thread": False, "timeout": BUSY_TIMEOUT_S},
    )
    # Read models can be made again from the log: they need not wait for the disk at every commit.
    synchronous = "NORMAL" if part == "views" else "FULL"

    @event.listens_for(made, "connect")
    def _settle(connection: _Connection, _record: object) -> None:
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA synchronous={synchronous}")
        cursor.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
        if part != "views":  # What goes from the vault (L5) or is past its time is overwritten, not left in free space.
            cursor.execute("PRAGMA secure_delete=ON")
        cursor.close()

    return made


def assert_durable(connection: Connection) -> None:
    """Refuse a connection of the writer on which a commit could be lost; `NotDurable` says which setting."""
    for name, answer in durability(connection).items():
        safe = _SAFE[name]
        if answer not in safe:
            raise NotDurable(f"{name} is {answer}, must be {' or '.join(sorted(safe))}")


def assert_writable(connection: Connection) -> None:
    """Refuse a connection of the writer to a standby, or to a primary that has become one."""
    if connection.dialect.name != "sqlite" and connection.exec_driver_sql("SHOW transaction_read_only").scalar() == "on":
        raise Unavailable(READ_ONLY)


def confirm(connection: Connection) -> None:
    """Have the standby confirm what can be seen on a connection, where commits wait for one; it takes as long as they do.

    When PostgreSQL cuts a commit that waits for the standby, as it does when it stops, everybody sees afterwards what was to be
    committed, whether the standby has it or not. Whatever is committed after it is not done before the standby has both.
    """
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql("SELECT pg_logical_emit_message(true, 'lcledger', '')")


def durability(connection: Connection) -> dict[str, str]:
    """What a connection says of each setting on which it depends whether a commit outlives the machine, by name."""
    asked = SQLITE_ASKED if connection.dialect.name == "sqlite" else POSTGRESQL_ASKED
    return {question.split()[-1]: str(connection.exec_driver_sql(question).scalar()).lower() for question in asked}
