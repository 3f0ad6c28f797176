"""The tables of the log: made by migrations, one process at a time, and looked over at every start.

The embedded default (SQLite) migrates itself. A PostgreSQL database is migrated by its owner, and the service refuses to start
until that is done; the service's own role need not own anything: `migrate(engine, grant_to="lcl_service")` lets that role read
and insert in the log, work in the vault, and own what it makes in the schema of the read models.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, Connection, Engine, inspect

from ledger import failures, store
from ledger.lock_file import LockFile

REVISION: Final = "0004"
"""The last step of the migrations that this release brings."""
MIGRATIONS: Final = Path(__file__).parent / "migrations"
BESIDE: Final[Mapping[store.Part, str]] = {"disclosures": "0001", "deliveries": "0002"}
"""The last step of the line of migrations that each part beside the log has of its own, as it is a database of its own."""
_MIGRATING: Final = 0x6C636C_01
"""The key of PostgreSQL's advisory lock round migrations."""

_SQLITE_TRIGGERS: Final = frozenset({
    "entries_never_change", "entries_never_vanish", "entries_are_dense", "entries_replace_nothing",
    "heads_never_change", "heads_never_vanish", "heads_go_on",
    "receipts_never_change", "receipts_never_vanish", "receipts_replace_nothing",
    "checkpoints_never_change", "checkpoints_never_vanish", "checkpoints_go_on",
    "cosignatures_never_change", "cosignatures_never_vanish", "cosignatures_replace_nothing",
    "subtrees_never_change", "subtrees_never_vanish", "subtrees_replace_nothing",
    "pack_signatures_never_change", "pack_signatures_never_vanish", "pack_signatures_replace_nothing",
})  # fmt: skip
_POSTGRESQL_TRIGGERS: Final = frozenset(name for name in _SQLITE_TRIGGERS if not name.endswith("_replace_nothing"))
_ROLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_$-]{0,62}")

_GRANTS: Final = """
GRANT USAGE ON SCHEMA log TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA log TO {role};
GRANT INSERT ON log.entries, log.heads, log.receipts, log.vault_key, log.texts, log.participants, log.tracking TO {role};
GRANT INSERT ON log.checkpoints, log.cosignatures, log.subtrees, log.pack_signatures TO {role};
GRANT UPDATE, DELETE ON log.texts, log.participants, log.tracking TO {role};
GRANT USAGE, CREATE ON SCHEMA views TO {role};
GRANT USAGE ON SCHEMA disclosures TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA disclosures TO {role};
GRANT INSERT, DELETE ON disclosures.disclosures TO {role};
GRANT USAGE ON SCHEMA deliveries TO {role};
GRANT SELECT ON ALL TABLES IN SCHEMA deliveries TO {role};
GRANT INSERT, UPDATE ON deliveries.queues, deliveries.deliveries TO {role};
GRANT INSERT ON deliveries.attempts TO {role};
GRANT DELETE ON deliveries.deliveries, deliveries.attempts TO {role}
"""


class NotMigrated(RuntimeError):
    """The database has not the tables of this release; run `lcledger migrate` as their owner."""


class Unprotected(RuntimeError):
    """The triggers that keep the log from being changed are not all there; the ledger does not start on it."""


def migrate(engine: Engine, *, grant_to: str | None = None) -> None:
    """Bring the log's tables up to this release; several processes may do it at once, and one does.

    `grant_to` names the PostgreSQL role of the service where that is not the owner of the tables.
    """
    if grant_to is None and _is_migrated(engine):
        return
    with migrating(engine) as connection:
        found = revision(connection)
        if found != REVISION:
            try:
                upgrade(connection, MIGRATIONS)
            except CommandError as error:
                raise _not_migrated(found) from error
        if connection.dialect.name != "sqlite":
            for part in BESIDE:
                connection.exec_driver_sql(f"SET LOCAL search_path TO {part}")
                upgrade(connection, MIGRATIONS, MIGRATIONS / part)
        if grant_to is not None:
            grant(connection, grant_to)


def migrate_beside(engine: Engine, part: store.Part) -> None:
    """Bring the SQLite file of a part beside the log up to this release. On PostgreSQL `migrate` does it, in its schema."""
    if not _is_migrated(engine, BESIDE[part]):
        with migrating(engine) as connection:
            upgrade(connection, MIGRATIONS, MIGRATIONS / part)


@contextmanager
def migrating(engine: Engine) -> Iterator[Connection]:
    """A connection in a transaction that no other process is in: everything that is said on it happens, or nothing does."""
    if engine.dialect.name == "sqlite":
        path = store.file_of(engine.url)
        path.parent.mkdir(parents=True, exist_ok=True)
        # A lock of our own, because switching to WAL does not wait for the database's.
        with LockFile(path.with_name(path.name + ".migrating")), engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
            with _transaction(connection, "BEGIN IMMEDIATE"):
                yield connection
        return
    with engine.connect() as connection, _transaction(connection, f"BEGIN; SELECT pg_advisory_xact_lock({_MIGRATING})"):
        for schema in ("log", "views", *BESIDE):
            connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        yield connection


def upgrade(connection: Connection, migrations: Path, versions: Path | None = None) -> None:
    """Run a folder of alembic migrations on a connection that is in a transaction; `versions` names another line of them."""
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    if versions is not None:
        config.set_main_option("version_locations", str(versions).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def grant(connection: Connection, role: str) -> None:
    """Let a role that owns nothing do what the service does, and no more."""
    if connection.dialect.name == "sqlite":
        raise ValueError("an SQLite file knows no roles: leave --grant-to out")
    if not _ROLE.fullmatch(role):
        raise ValueError(f"{role!r} is no name of a role")
    for statement in _GRANTS.format(role=f'"{role}"').split(";"):
        connection.exec_driver_sql(statement)


def revision(connection: Connection) -> str | None:
    """The last step that was taken on this database."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return None if found is None else str(found)


def check(connection: Connection) -> None:
    """Refuse a database that is not of this release, or whose log is not protected; `NotMigrated` or `Unprotected`."""
    expect_release(connection)
    missing = unprotected(connection)
    if missing:
        raise Unprotected(f"{Unprotected.__doc__} (missing: {', '.join(sorted(missing))})")


def open_beside(url: str | URL, part: store.Part, *, pool_size: int = store.POOL_SIZE) -> Engine:
    """Connections to a part beside the log, after looking it over: its tables and its durability.

    An SQLite file is made and migrated if need be; `NotMigrated` says that PostgreSQL's tables are not.
    """
    engine = store.engine(url, part, pool_size=pool_size)
    try:
        with failures.told():
            if engine.dialect.name == "sqlite":
                migrate_beside(engine, part)
            with engine.connect() as connection:
                check_beside(connection, part)
                store.assert_durable(connection)
    except BaseException:
        engine.dispose()
        raise
    return engine


def check_beside(connection: Connection, part: store.Part) -> None:
    """Refuse a database of which a part beside the log is not of this release; `NotMigrated`."""
    found = revision(connection)
    if found != BESIDE[part]:
        raise _not_migrated(found)


def _is_migrated(engine: Engine, wanted: str = REVISION) -> bool:
    """Whether there is nothing to do, without a lock: a command beside a busy service need not wait for it."""
    if engine.dialect.name == "sqlite" and not store.file_of(engine.url).exists():
        return False
    with engine.connect() as connection:
        return revision(connection) == wanted and (
            engine.dialect.name == "sqlite" or all(_has(connection, part) for part in BESIDE)
        )


def _has(connection: Connection, part: store.Part) -> bool:
    """Whether PostgreSQL's schema of a part beside the log is of this release too."""
    if not inspect(connection).has_table("alembic_version", schema=part):
        return False
    found = connection.exec_driver_sql(f"SELECT version_num FROM {part}.alembic_version").scalar()  # noqa: S608 (one of ours)
    return found == BESIDE[part]


def _not_migrated(found: str | None) -> NotMigrated:
    return NotMigrated(f"{NotMigrated.__doc__} (it is at {found or 'nothing'}, this release at {REVISION})")


def expect_release(connection: Connection) -> None:
    """Refuse a database that is not of this release; `NotMigrated`."""
    found = revision(connection)
    if found != REVISION:
        raise _not_migrated(found)


def unprotected(connection: Connection) -> frozenset[str]:
    """The triggers that should keep the log as it is, and are not there, or are switched off."""
    return protections(connection.dialect.name) - _triggers(connection)


def protections(dialect: str) -> frozenset[str]:
    """The triggers without which a log is not started on."""
    return _SQLITE_TRIGGERS if dialect == "sqlite" else _POSTGRESQL_TRIGGERS


def _triggers(connection: Connection) -> set[str]:
    asked = (
        "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        if connection.dialect.name == "sqlite"
        else "SELECT tgname FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid "
        "WHERE NOT tgisinternal AND tgenabled IN ('O', 'A') AND relnamespace = to_regnamespace('log')"
    )
    return {str(name) for (name,) in connection.exec_driver_sql(asked)}


@contextmanager
def _transaction(connection: Connection, begin: str) -> Iterator[None]:
    connection.exec_driver_sql(begin, execution_options={"no_parameters": True})
    try:
        yield
    except BaseException:
        connection.exec_driver_sql("ROLLBACK")
        raise
    connection.exec_driver_sql("COMMIT")
