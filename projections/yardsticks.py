"""What rebuilding is measured beside, for `lcledger bench`: the floor under it, and the `eventsourcing` library's own runner.

Nothing here is on the way of a read model. All of it works in databases that are made for the measurement and removed after it.
"""

import pickle
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from threading import Event as Signal
from time import perf_counter
from typing import Any, ClassVar, Final, NamedTuple, cast

import orjson
from eventsourcing.application import Application
from eventsourcing.persistence import Tracking, TrackingRecorder
from eventsourcing.projection import Projection as LibrarysProjection
from eventsourcing.projection import ProjectionRunner
from sqlalchemy import Connection

from domain.aggregate import PersonId
from domain.event import Event
from ledger import persistence, store
from ledger.ledger import Ledger
from ledger.log import Log
from projections.models import Standing, Tables
from projections.payments import PaymentsProjection
from projections.projection import Happened, Stored
from projections.rebuilding import rebuild
from projections.views import Views, all_models

_PATIENCE_S: Final = 600
_NO_MOMENT: Final = datetime(2024, 4, 1, tzinfo=UTC)


class Done(NamedTuple):
    """Work that was done: entries, in how many seconds, and the most memory that its process had by then."""

    entries: int
    seconds: float
    most_bytes: int | None


def _done(entries: int, seconds: float) -> Done:
    return Done(entries, seconds, _most_bytes())


def _most_bytes() -> int | None:
    """The most memory that this process ever had at once, where the system says so."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text("ascii").splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


# Ours -------------------------------------------------------------------------------------------------------------------


def rebuilt(url: str, vault_key: bytes, processes: int = 1) -> Done:
    """Rebuild all read models of a ledger, as `lcledger rebuild` does; of two processes the memory is this one's."""
    with Ledger.open(url, vault_key=vault_key) as ledger, Views.open(url, ledger) as views:
        begun = perf_counter()
        entries = views.rebuild(processes=processes)
        return _done(entries, perf_counter() - begun)


def noted(url: str, vault_key: bytes, to: Path) -> int:
    """Rebuild all read models, and note in a file which rows were put when, for `laid`; the position that was reached."""
    with (
        Ledger.open(url, vault_key=vault_key) as ledger,
        closing(_Noting(url, to)) as tables,
    ):
        tables.prepare()
        return rebuild(tables, ledger, lambda done, _: tables.note_that(done))


class _Noting(Tables):
    """Tables that note what is put into them: rows by model, and after each batch how far it went."""

    def __init__(self, url: str, to: Path) -> None:
        super().__init__(store.engine(url, "views"), all_models())
        self._file = to.open("wb")

    def put(self, connection: Connection, standing: Standing, rows: Sequence[Stored]) -> None:
        super().put(connection, standing, rows)
        self.note_that((standing.model.name, list(rows)))

    def note_that(self, what: Any) -> None:
        pickle.dump(what, self._file, pickle.HIGHEST_PROTOCOL)

    def close(self) -> None:
        self._file.close()
        self.engine.dispose()


# The floor --------------------------------------------------------------------------------------------------------------


def laid(url: str, noted_in: Path) -> Done:
    """The least that rebuilding can cost: the entries that matter are read and decoded, and rows that are made already are put.

    The rows are those that a rebuild made, in as many batches, into tables like its own, with the same indexes; nothing is
    folded, looked up or added up. What the notes cost to read is not counted.
    """
    tables, log = Tables(store.engine(url, "views"), all_models()), Log(store.engine(url))
    try:
        return _laid(tables, log, noted_in)
    finally:
        tables.engine.dispose()
        log.close()


def _laid(tables: Tables, log: Log, noted_in: Path) -> Done:
    matter = log.statements.texts(set().union(*(each.folds for each in tables.models)))
    sql = log.statements("SELECT state FROM entries WHERE position > ? AND position <= ? AND type IN {any}")
    new = {each.model.name: replace(each, generation=each.generation + 1) for each in tables.standings()}
    entries, took = 0, 0.0
    with tables.turn() as connection:
        for each in new.values():
            tables.make(connection, each)
    with log.engine.connect() as reading:
        for last, rows in _batches(noted_in):
            begun = perf_counter()
            for (state,) in reading.exec_driver_sql(sql, (entries, last, matter)).fetchall():
                orjson.loads(state)
            with tables.turn() as connection:
                for name, some in rows:
                    tables.put(connection, new[name], some)
            entries, took = last, took + perf_counter() - begun
    begun = perf_counter()
    with tables.turn() as connection:
        for each in new.values():
            tables.index(connection, each)
    took += perf_counter() - begun
    with tables.turn() as connection:
        for each in new.values():
            tables.drop(connection, each)
    return _done(entries, took)


def _batches(noted_in: Path) -> Iterator[tuple[int, list[tuple[str, list[Stored]]]]]:
    rows: list[tuple[str, list[Stored]]] = []
    with noted_in.open("rb") as notes:
        while True:
            try:
                told = pickle.load(notes)  # noqa: S301 (our own file, made a moment ago)
            except EOFError:
                return
            if isinstance(told, int):
                if rows:
                    yield told, rows
                rows = []
            else:
                rows.append(told)


# The library ------------------------------------------------------------------------------------------------------------


def run_by_library(url: str, upto: int) -> Done:
    """Let the library's runner follow a log's payments up to a position, into a table like ours; the entries that it folded.

    It meets no other entries than those of payments, and its rows are as durable as ours: what differs is that each entry has a
    transaction of its own, with one question for the row before, one for the row, and one for how far it has come.
    """
    entries, last = _payments(url, upto)
    env = {"PERSISTENCE_MODULE": "ledger.persistence", "LEDGER_URL": url}
    begun = perf_counter()
    with ProjectionRunner(application_class=Application[str], projection_class=_Paying, view_class=_Paid, env=env) as runner:
        runner.view.expected = last
        if not runner.view.arrived.wait(_PATIENCE_S):
            raise TimeoutError(f"the library's runner has not come to {last} in {_PATIENCE_S} s")
        took = perf_counter() - begun
    runner.view.close()
    return _done(entries, took)


def _payments(url: str, upto: int) -> tuple[int, int]:
    """How many entries of payments there are up to a position, and where the last one is."""
    log = Log(store.engine(url))
    try:
        sql = log.statements("SELECT count(*), max(position) FROM entries WHERE position <= ? AND type IN {any}")
        with log.engine.connect() as connection:
            found = connection.exec_driver_sql(sql, (upto, log.statements.texts(PaymentsProjection.folds))).one()
    finally:
        log.close()
    return found[0], found[1]


class _PaymentsOfTheLibrary(PaymentsProjection):
    name: ClassVar[str] = "payments_of_the_library"


@dataclass(frozen=True, slots=True)
class _Seen:
    """What our projection wants of an entry, as far as the library tells it; of the moment it tells nothing."""

    position: int
    stream: str
    version: int
    event: Event
    person: PersonId
    recorded_at: datetime


class _Paid(TrackingRecorder):
    """A view of the library's kind: a table of payments like ours, and how far it has come."""

    def __init__(self, log: Log) -> None:
        super().__init__()
        self._log = log
        self._projection = _PaymentsOfTheLibrary()
        self._tables = Tables(store.engine(log.engine.url, "views"), [self._projection])
        self._tables.prepare()
        (self._standing,) = self._tables.standings()
        self.arrived = Signal()
        self.expected = 0

    def take(self, happened: persistence.Happened, tracking: Tracking) -> None:
        """Fold one entry, in a transaction with how far that goes."""
        stream, position = happened.originator_id, tracking.notification_id
        seen = _Seen(position, stream, happened.originator_version, happened.event, happened.person, _NO_MOMENT)
        with self._tables.turn() as connection:
            stored = self._tables.fetch(connection, self._standing, [stream]).get(stream)
            before = None if stored is None else self._projection.load(stored)
            row = self._projection.become(before, cast("Happened", seen))
            self._tables.put(connection, self._standing, [self._projection.store(row)])
            self._track(connection, position)
        if position == self.expected:
            self.arrived.set()

    def insert_tracking(self, tracking: Tracking) -> None:
        """Record how far it has come."""
        with self._tables.turn() as connection:
            self._track(connection, tracking.notification_id)

    def _track(self, connection: Connection, position: int) -> None:
        now = replace(self._standing, position=position)
        self._tables.note(connection, [(self._standing, now)])
        self._standing = now

    def max_tracking_id(self, application_name: str) -> int | None:  # noqa: ARG002 (there is one log)
        """How far it has come."""
        return self._standing.position or None

    def close(self) -> None:
        """Remove the table, and close every connection."""
        with self._tables.turn() as connection:
            connection.exec_driver_sql(f"DROP VIEW {self._projection.view}")
            self._tables.drop(connection, self._standing)
            self._tables.ask_nothing(connection, "DELETE FROM models WHERE name = ?", [(self._projection.name,)])
        self._tables.engine.dispose()
        self._log.close()


class _Paying(LibrarysProjection[_Paid]):
    """A projection of the library's kind that does what ours does."""

    name: Final = "paying"
    topics = tuple(PaymentsProjection.folds)

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        """Fold one entry."""
        self.view.take(domain_event, tracking)
