"""The tables of the read models, and what can be asked of them.

Each model is one table of one generation, read through a view of the model's name and version: a rebuild fills the table of the
next generation and then lets the view show it. The table `models` says of each how far it has come, on which root of the log, and
the digest of its rows: the sum of their SHA-256, so that it grows with them and their order does not matter (a `Tally` and the
postings have it a little otherwise). Where two processes follow at once, the `models` row decides: whoever does not find the
position there that it folded from starts again from there.
"""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, ClassVar, Final, Generic

import orjson
from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.exc import SQLAlchemyError

from domain.calendar import london_day
from domain.event import in_effect
from domain.reference import canonical
from ledger import failures, store
from ledger.lock_file import LockFile
from ledger.log import Statements
from projections.projection import Happened, Journal, Model, Page, Projection, R, Stored, Tally, UnknownCursor

_PREPARING: Final = 0x6C636C_03
"""The key of PostgreSQL's advisory lock round the making of tables."""
_MOST_ROWS_A_PAGE: Final = 1_000
_MOST_DIGITS: Final = 15
"""Of a cursor: databases take no number of any length."""

_ESCAPED: Final = re.compile(rb'\\[^"\\]')
"""What JSON escapes in a way of its own, such as a new line; and some of what it does not."""

_MODELS: Final = """
CREATE TABLE IF NOT EXISTS models (
    name text NOT NULL, version bigint NOT NULL, generation bigint NOT NULL, position bigint NOT NULL,
    root text, digest text NOT NULL, failed text, PRIMARY KEY (name, version)
)
"""
_CHECKS: Final = """
CREATE TABLE IF NOT EXISTS checks (
    name text NOT NULL, version bigint NOT NULL, position bigint NOT NULL,
    root text, digest text NOT NULL, checked_at text, differences text NOT NULL, PRIMARY KEY (name, version)
)
"""
_ROUNDS: Final = "CREATE TABLE IF NOT EXISTS rounds (id bigint PRIMARY KEY, stands text NOT NULL)"
"""Where comparing stands that did not come to its end."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a model has come. `root` is the log's there, where a commit ended there; `failed` says why it stopped."""

    model: Model
    generation: int
    position: int = 0
    root: str | None = None
    digest: int = 0
    failed: str | None = None

    @property
    def table(self) -> str:
        """The table in which the rows are."""
        return f"{self.model.view}_g{self.generation}"


class Moved(RuntimeError):
    """Somebody else moved a model on, or put another table in its place."""


class Tables:
    """The database of the read models."""

    def __init__(self, engine: Engine, models: Sequence[Model]) -> None:
        self.engine = engine
        self.models = tuple(models)
        self.sql = Statements(engine.dialect.name)
        self._begin = "BEGIN IMMEDIATE" if self.sql.sqlite else "BEGIN"

    def prepare(self) -> None:
        """Make the tables that are not there yet."""
        with self._alone() as connection:
            connection.exec_driver_sql(_MODELS)
            connection.exec_driver_sql(_CHECKS)
            connection.exec_driver_sql(_ROUNDS)
            known = {standing.model.view for standing in self.standings(connection)}
            for model in self.models:
                if model.view not in known:
                    fresh = Standing(model, 1)
                    self.make(connection, fresh)
                    self.index(connection, fresh)
                    self.show(connection, fresh)
                    self._insert_model(connection, fresh)

    @contextmanager
    def _alone(self) -> Iterator[Connection]:
        if self.sql.sqlite:
            path = store.file_of(self.engine.url)
            path.parent.mkdir(parents=True, exist_ok=True)
            # A lock of our own, because switching to WAL does not wait for the database's.
            with LockFile(path.with_name(path.name + ".preparing")), self.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                with self.within(connection):
                    yield connection
            return
        with self.turn() as connection:
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_PREPARING})")
            yield connection

    @contextmanager
    def turn(self) -> Iterator[Connection]:
        """A connection in a transaction: all that is said on it happens, or nothing does."""
        with failures.told(), self.engine.connect() as connection, self.within(connection):
            yield connection

    @contextmanager
    def turn_to_read(self) -> Iterator[Connection]:
        """A connection that sees the tables as they are at its first question, whatever the follower does meanwhile."""
        with failures.told(), self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN" if self.sql.sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            try:
                yield connection
            finally:
                _roll_back(connection)

    @contextmanager
    def within(self, connection: Connection) -> Iterator[None]:
        """A transaction on a connection."""
        connection.exec_driver_sql(self._begin)
        try:
            yield
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            _roll_back(connection)
            raise

    def ask(self, sql: str, parameters: Sequence[Any] = (), connection: Connection | None = None) -> list[tuple[Any, ...]]:
        """The rows that answer a question; `?` is a parameter, `{any}` a list of texts."""
        if connection is None:
            with failures.told(), self.engine.connect() as own:
                return self.ask(sql, parameters, own)
        with failures.told():
            return connection.exec_driver_sql(self.sql(sql), tuple(parameters)).fetchall()  # type: ignore[return-value]

    # How far each model has come.

    def standings(self, connection: Connection | None = None, *, keep: bool = False) -> list[Standing]:
        """How far each model has come; with `keep`, nobody moves them on until the transaction ends."""
        lock = " FOR UPDATE" if keep and not self.sql.sqlite else ""
        asked = "SELECT name, version, generation, position, root, digest, failed FROM models" + lock  # noqa: S608 (our own words)
        found = self.ask(asked, (), connection)
        rows = {(name, version): rest for name, version, *rest in found}
        return [
            Standing(model, generation, position, root, int(digest, 16), failed)
            for model in self.models
            if (model.name, model.version) in rows
            for generation, position, root, digest, failed in [rows[model.name, model.version]]
        ]

    def _insert_model(self, connection: Connection, standing: Standing) -> None:
        self.ask_nothing(
            connection,
            "INSERT INTO models (name, version, generation, position, root, digest, failed) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [(standing.model.name, standing.model.version, standing.generation, *_noted(standing))],
        )

    def note(self, connection: Connection, moves: Sequence[tuple[Standing, Standing]]) -> None:
        """Record how far models have come, from where they were; `Moved` if one is not there any more."""
        done = self.ask_nothing(
            connection,
            "UPDATE models SET position = ?, root = ?, digest = ?, failed = ?, generation = ? "
            "WHERE name = ? AND version = ? AND generation = ? AND position = ?",
            [
                (*_noted(after), after.generation, was.model.name, was.model.version, was.generation, was.position)
                for was, after in moves
            ],
        )
        if done != len(moves):
            raise Moved

    def ask_nothing(self, connection: Connection, sql: str, rows: Sequence[tuple[Any, ...]]) -> int:
        """Say a statement for each of many parameters; how many rows it changed."""
        return connection.exec_driver_sql(self.sql(sql), list(rows)).rowcount if rows else 0

    # The tables of one generation.

    def make(self, connection: Connection, standing: Standing) -> None:
        """Make an empty table."""
        model = standing.model
        # The order of bytes, so that texts sort alike on both databases and in Python.
        order = "" if self.sql.sqlite else ' COLLATE "C"'
        columns = ", ".join(f"{each.name} {each.kind}{order if each.kind == 'text' else ''}" for each in model.columns)
        clustered = " WITHOUT ROWID" if self.sql.sqlite else ""
        connection.exec_driver_sql(f"CREATE TABLE {standing.table} ({columns}, PRIMARY KEY ({', '.join(model.key)})){clustered}")

    def index(self, connection: Connection, standing: Standing) -> None:
        """Make the indexes of a table."""
        for columns in standing.model.indexes:
            name = f"{standing.table}_by_{'_'.join(columns)}"
            connection.exec_driver_sql(f"CREATE INDEX {name} ON {standing.table} ({', '.join(columns)})")

    def show(self, connection: Connection, standing: Standing) -> None:
        """Let the model's view show a table."""
        connection.exec_driver_sql(f"DROP VIEW IF EXISTS {standing.model.view}")
        names = ", ".join(column.name for column in standing.model.columns)
        connection.exec_driver_sql(f"CREATE VIEW {standing.model.view} AS SELECT {names} FROM {standing.table}")  # noqa: S608 (our names)

    def drop(self, connection: Connection, standing: Standing) -> None:
        """Remove a table that nobody shows."""
        connection.exec_driver_sql(f"DROP TABLE IF EXISTS {standing.table}")

    def leftovers(self) -> list[Standing]:
        """Tables of generations that were never shown: of rebuilds that did not end."""
        tables = set(inspect(self.engine).get_table_names())
        return [
            replace(standing, generation=int(table.rpartition("_g")[2]))
            for standing in self.standings()
            for table in tables
            if table.startswith(f"{standing.model.view}_g") and table != standing.table
        ]

    def fetch(self, connection: Connection | None, standing: Standing, streams: Collection[str]) -> dict[str, Stored]:
        """The stored rows of streams."""
        names = ", ".join(column.name for column in standing.model.columns)
        found = self.ask(
            f"SELECT {names} FROM {standing.table} WHERE stream IN {{any}}",  # noqa: S608 (our own names)
            (self.sql.texts(streams),),
            connection,
        )
        return {row[0]: tuple(row) for row in found}

    def put(self, connection: Connection, standing: Standing, rows: Sequence[Stored]) -> None:
        """Write rows, in the place of those of the same key; sums are added to those that there are."""
        if rows:
            connection.exec_driver_sql(*self._written(standing, rows))

    def _written(self, standing: Standing, rows: Sequence[Stored]) -> tuple[str, Any]:
        model = standing.model
        names = ", ".join(column.name for column in model.columns)
        conflict = _conflict(standing)
        if self.sql.sqlite:
            marks = ", ".join("?" * len(model.columns))
            return f"INSERT INTO {standing.table} ({names}) VALUES ({marks}){conflict}", list(rows)  # noqa: S608 (our own names)
        arrays = ", ".join(f"%s::{column.kind}[]" for column in model.columns)
        sql = f"INSERT INTO {standing.table} ({names}) SELECT * FROM unnest({arrays}){conflict}"  # noqa: S608 (our own names)
        return sql, tuple(_array(column) for column in zip(*rows, strict=True))


def _array(values: Sequence[Any]) -> Any:
    """Numbers and texts as PostgreSQL reads an array, which the driver would write one by one in ten times the time.

    It is JSON in other brackets, where nothing is escaped but quotes and backslashes: those stand for themselves in both.
    """
    said = orjson.dumps(values)
    return list(values) if _ESCAPED.search(said) else f"{{{said[1:-1].decode()}}}"


def _roll_back(connection: Connection) -> None:
    try:
        connection.exec_driver_sql("ROLLBACK")
    except SQLAlchemyError:  # It is lost, or SQLite has rolled back already: either way nobody should be given it again.
        connection.invalidate()


def _noted(standing: Standing) -> tuple[int, str | None, str, str | None]:
    return standing.position, standing.root, f"{standing.digest:064x}", standing.failed


def _conflict(standing: Standing) -> str:
    """What becomes of a row that is there already."""
    model = standing.model
    if isinstance(model, Journal):
        return ""
    names = [column.name for column in model.columns if column.name not in model.key]
    was = f"{standing.table}.{{0}} + " if isinstance(model, Tally) else ""
    changes = ", ".join(f"{name} = {was.format(name)}excluded.{name}" for name in names)
    return f" ON CONFLICT ({', '.join(model.key)}) DO UPDATE SET {changes}"


class Listing(Generic[R]):
    """The rows of a projection as lists, in the order of their streams' first entries, now or as of a moment.

    `as_of` is a position of the log that the model has come to (wait for it): a row that was changed later is folded again from
    its own stream, by the same code. So is a row of which something took effect after `effective_on`: it shows the beginning of
    its stream that had taken effect by then (`domain.event.took_effect`). `limit` is at most 1,000. `after` is what the page
    before gave; `UnknownCursor` otherwise.
    """

    changing: ClassVar[frozenset[str]] = frozenset()
    """The columns to select by that change in a row's life: as of a moment they are looked at after folding."""

    def __init__(self, tables: Tables, projection: Projection[R], past: Callable[[str, int], Iterable[Happened]]) -> None:
        self._tables = tables
        self._projection = projection
        self._past = past

    def _page(
        self, where: Mapping[str, Any], after: str | None, limit: int, as_of: int | None, effective_on: date | None = None
    ) -> Page[R]:
        limit = max(1, min(limit, _MOST_ROWS_A_PAGE))
        now = as_of is None and effective_on is None
        wanted = {name: each for name, each in where.items() if each is not None}
        fixed = {name: each for name, each in wanted.items() if now or name not in self.changing}
        rows: list[R] = []
        last: int | None = _cursor(after)
        while last is not None and len(rows) <= limit:
            found = self._rows(fixed, last, limit + 1, as_of)
            last = found[-1].first if len(found) > limit else None
            rows += found if now else self._then(found, wanted, as_of, effective_on or date.max)
        more = len(rows) > limit
        return Page(tuple(rows[:limit]), str(rows[limit - 1].first) if more else None)

    def _rows(self, where: Mapping[str, Any], after: int, limit: int, upto: int | None) -> list[R]:
        names = ", ".join(column.name for column in self._projection.columns)
        conditions, parameters = ["first > ?"], [after]
        if upto is not None:
            conditions.append("first <= ?")
            parameters.append(upto)
        for name, wanted in where.items():
            several = isinstance(wanted, (set, frozenset))
            conditions.append(f"{name} IN {{any}}" if several else f"{name} = ?")
            parameters.append(self._tables.sql.texts(wanted) if several else wanted)
        found = self._tables.ask(
            f"SELECT {names} FROM {self._projection.view} WHERE {' AND '.join(conditions)} ORDER BY first LIMIT ?",  # noqa: S608 (ours)
            (*parameters, limit),
        )
        return [self._projection.load(tuple(row)) for row in found]

    def _then(self, rows: Iterable[R], wanted: Mapping[str, Any], as_of: int | None, effective_on: date) -> Iterator[R]:
        for row in rows:
            upto = row.position if as_of is None else min(as_of, row.position)
            # Nothing takes effect after the day of its recording: such a row is as it was.
            as_it_was = upto == row.position and london_day(row.changed_at) <= effective_on
            then = row if as_it_was else self._folded(row.stream, upto, effective_on)
            if then is not None and all(getattr(then, name) == wanted[name] for name in self.changing & wanted.keys()):
                yield then

    def _folded(self, stream: str, upto: int, effective_on: date) -> R | None:
        row: R | None = None
        dated = ((happened, happened.event, london_day(happened.recorded_at)) for happened in self._past(stream, upto))
        for happened in in_effect(dated, effective_on):
            row = self._projection.become(row, happened)
        return row


class ListingOfAward(Listing[R]):
    """What can be asked of rows that each belong to an award."""

    def page(
        self,
        award: str,
        after: str | None = None,
        limit: int = 100,
        *,
        as_of: int | None = None,
        effective_on: date | None = None,
    ) -> Page[R]:
        """An award's rows in the order in which they began."""
        return self._page({"award": canonical(award)}, after, limit, as_of, effective_on)


def _cursor(after: str | None) -> int:
    if after is None:
        return 0
    if not (after.isascii() and after.isdecimal() and len(after) <= _MOST_DIGITS):
        raise UnknownCursor(UnknownCursor.__doc__)
    return int(after)
