"""The database itself keeps the log as it is, and says so at every start."""

import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, make_url
from sqlalchemy.exc import DBAPIError

from ledger import schema, store
from ledger.ledger import Ledger, Request
from tests import postgres
from tests.ledger.conftest import VAULT_KEY, Opening
from tests.ledger.pots import KIRKLEES, POTS, Pot, nothing_to_balance, open_pot, pot

ASKED = Request(KIRKLEES, key="k")
LOG_TABLES = ("entries", "heads", "receipts")
COPY = (
    "INSERT {or_replace} INTO entries "
    "SELECT {position}, {stream}, {version}, type, recorded_at, award, {sequence}, header, state, leaf "
    "FROM entries WHERE position = 1"
)


@pytest.fixture
def engine(opening: Opening) -> Engine:
    ledger = opening()
    ledger.record_now(open_pot, ASKED)
    ledger.change_now(pot("2021-Q3"), Pot.fill, Request(KIRKLEES, key="k2"))
    return ledger.log.engine


def refused(engine: Engine, statement: str) -> bool:
    with engine.connect() as connection:
        before = [connection.exec_driver_sql(f"SELECT * FROM {table}").fetchall() for table in LOG_TABLES]
        try:
            connection.exec_driver_sql(statement)
        except DBAPIError as error:
            told = "never change" in str(error) or "vanish" in str(error) or "no gaps" in str(error) or "once" in str(error)
        else:
            told = False
        after = [connection.exec_driver_sql(f"SELECT * FROM {table}").fetchall() for table in LOG_TABLES]
    return told and before == after


class TestTheLogNeverChanges:
    @pytest.mark.parametrize("table", LOG_TABLES)
    def test_update_is_refused(self, engine: Engine, table: str) -> None:
        column = {"entries": "state", "heads": "root", "receipts": "fingerprint"}[table]
        assert refused(engine, f"UPDATE {table} SET {column} = {column}")

    @pytest.mark.parametrize("table", LOG_TABLES)
    def test_delete_is_refused(self, engine: Engine, table: str) -> None:
        assert refused(engine, f"DELETE FROM {table}")

    @pytest.mark.parametrize("table", LOG_TABLES)
    def test_truncate_is_refused(self, engine: Engine, table: str) -> None:
        if engine.dialect.name == "sqlite":
            pytest.skip("SQLite has no TRUNCATE; its DELETE without WHERE is refused above")
        assert refused(engine, f"TRUNCATE {table} CASCADE")

    @pytest.mark.parametrize("position", [0, -1, 4, 100])
    def test_a_wrong_position_is_refused(self, engine: Engine, position: int) -> None:
        assert refused(engine, COPY.format(or_replace="", position=position, stream="'x'", version=9, sequence=9))

    def test_the_next_position_is_taken(self, engine: Engine) -> None:
        with engine.connect() as connection:
            connection.exec_driver_sql(COPY.format(or_replace="", position=3, stream="'x'", version=9, sequence=9))

    @pytest.mark.parametrize(
        ("position", "stream", "version", "sequence"),
        [(1, "stream", 1, 1), (3, "stream", 1, 9), (3, "'x'", 9, 1)],
        ids=["its position", "its stream and version", "its number in the award"],
    )
    def test_insert_or_replace_is_refused(self, engine: Engine, position: int, stream: str, version: int, sequence: int) -> None:
        if engine.dialect.name != "sqlite":
            pytest.skip("PostgreSQL has no INSERT OR REPLACE; its ON CONFLICT DO UPDATE is an UPDATE")
        assert refused(
            engine, COPY.format(or_replace="OR REPLACE", position=position, stream=stream, version=version, sequence=sequence)
        )

    def test_on_conflict_do_update_is_refused(self, engine: Engine) -> None:
        insert = COPY.format(or_replace="", position=1, stream="stream", version=1, sequence=1)
        statement = f"{insert} ON CONFLICT (position) DO UPDATE SET state = excluded.state"
        with engine.connect() as connection, pytest.raises(DBAPIError):
            connection.exec_driver_sql(statement)

    def test_another_head_for_the_same_entry_is_refused(self, engine: Engine) -> None:
        assert refused(engine, "INSERT INTO heads SELECT size + 1, frontier, root, recorded_at FROM heads WHERE size = 2")
        replace = "OR REPLACE" if engine.dialect.name == "sqlite" else ""
        assert refused(engine, f"INSERT {replace} INTO heads SELECT size, frontier, root, recorded_at FROM heads WHERE size = 2")

    def test_a_receipt_is_not_replaced(self, engine: Engine) -> None:
        if engine.dialect.name != "sqlite":
            pytest.skip("PostgreSQL has no INSERT OR REPLACE")
        assert refused(engine, "INSERT OR REPLACE INTO receipts SELECT person, key, 'another', first, last FROM receipts")


class TestStart:
    def test_refuses_a_log_that_is_not_protected(self, engine: Engine, opening: Opening) -> None:
        on = "" if engine.dialect.name == "sqlite" else " ON entries"
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP TRIGGER entries_never_vanish{on}")
        with pytest.raises(schema.Unprotected, match="entries_never_vanish"):
            opening()

    def test_refuses_a_trigger_that_is_switched_off(self, postgres_url: str) -> None:
        engine = store.engine(postgres_url)
        with engine.connect() as connection:
            connection.exec_driver_sql("ALTER TABLE entries DISABLE TRIGGER entries_never_vanish")
        engine.dispose()
        with pytest.raises(schema.Unprotected, match="entries_never_vanish"):
            Ledger.open(postgres_url, vault_key=VAULT_KEY, registry=POTS)

    def test_refuses_a_postgres_that_is_not_migrated(self, postgres_server: postgres.Server) -> None:
        name = postgres_server.create(template="template1")
        try:
            with pytest.raises(schema.NotMigrated):
                Ledger.open(postgres_server.url(name), vault_key=VAULT_KEY, registry=POTS)
        finally:
            postgres_server.drop(name)

    def test_refuses_a_database_of_a_later_release(self, opening: Opening) -> None:
        ledger = opening()
        with ledger.log.engine.connect() as connection:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
        with pytest.raises(schema.NotMigrated, match="9999"):
            opening()


class TestMigrate:
    def test_the_last_step_is_this_release_s(self) -> None:
        assert ScriptDirectory(str(schema.MIGRATIONS)).get_current_head() == schema.REVISION

    def test_six_processes_at_once_on_sqlite(self, sqlite_url: str) -> None:
        _six_at_once(sqlite_url)

    def test_six_processes_at_once_on_postgres(self, postgres_server: postgres.Server) -> None:
        name = postgres_server.create(template="template1")
        _six_at_once(postgres_server.url(name))
        postgres_server.drop(name)

    def test_six_processes_at_once_from_the_first_release(self, postgres_server: postgres.Server, tmp_path: Path) -> None:
        name = postgres_server.create(template="template1")
        engine = store.engine(postgres_server.url(name))
        shutil.copy(schema.MIGRATIONS / "versions" / "0001_log.py", tmp_path)
        with schema.migrating(engine) as connection:
            schema.upgrade(connection, schema.MIGRATIONS, tmp_path)
        engine.dispose()
        _six_at_once(postgres_server.url(name))
        postgres_server.drop(name)

    def test_lets_the_service_own_nothing(self, postgres_server: postgres.Server, postgres_url: str) -> None:
        name = str(make_url(postgres_url).database)
        with postgres_server.connect() as connection:
            connection.execute("DROP ROLE IF EXISTS lcl_service")
            connection.execute("CREATE ROLE lcl_service LOGIN")
        owner = store.engine(postgres_url)
        schema.migrate(owner, grant_to="lcl_service")
        with Ledger.open(
            postgres_server.url(name, "lcl_service"), vault_key=VAULT_KEY, registry=POTS, balance_check=nothing_to_balance
        ) as ledger:
            ledger.record_now(open_pot, ASKED)
            with ledger.log.engine.connect() as connection:
                for statement in (
                    "ALTER TABLE entries DISABLE TRIGGER ALL",
                    "DROP TABLE entries",
                    "DROP TRIGGER entries_never_change ON entries",
                    "DELETE FROM entries",
                ):
                    with pytest.raises(DBAPIError, match=r"must be owner|permission denied"):
                        connection.exec_driver_sql(statement)
        with owner.connect() as connection:
            connection.exec_driver_sql("DROP OWNED BY lcl_service")
            connection.exec_driver_sql("DROP ROLE lcl_service")
        owner.dispose()

    def test_refuses_a_role_that_is_none(self, sqlite_url: str, postgres_url: str) -> None:
        with pytest.raises(ValueError, match="no roles"):
            schema.migrate(store.engine(sqlite_url), grant_to="lcl_service")
        engine = store.engine(postgres_url)
        with pytest.raises(ValueError, match="no name of a role"):
            schema.migrate(engine, grant_to='x"; DROP SCHEMA log; --')
        engine.dispose()


MIGRATE = "import sys; from ledger import schema, store; schema.migrate(store.engine(sys.argv[1]))"


def _six_at_once(url: str) -> None:
    start = partial(
        subprocess.Popen, [sys.executable, "-c", MIGRATE, url], stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    processes = [start() for _ in range(6)]
    told = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 6, told
    engine = store.engine(url)
    with engine.connect() as connection:
        schema.check(connection)
    engine.dispose()
