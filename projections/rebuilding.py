"""Rebuilding: new tables beside the old ones, filled from the log while the service runs, and shown in one transaction."""

import gc
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy import Connection

from ledger import store
from ledger.ledger import Ledger
from ledger.lock_file import LockFile
from projections import abreast
from projections.folding import Folding
from projections.following import Rows, Source, fold, sparing_what_stays
from projections.models import Standing, Tables
from projections.projection import Projection, Stored

Progress = Callable[[int, int], None]
"""Told how many entries are done, and of how many."""

_Folded = list[tuple[Folding[Any], list[Stored]]]
"""Models after a batch, each with the rows to write."""

_REBUILDING: Final = 0x6C636C_05
"""The key of PostgreSQL's advisory lock round a rebuild."""


_AT_ONCE: Final = 10_000
"""Entries of a batch. Each commit writes the pages that it touched, most of which the next one touches again: in batches of 5,000
a rebuild takes 4 % longer; in batches of 20,000 it takes 2 % less, and a quarter more memory."""


class RebuildFailed(RuntimeError):
    """A projection failed while it was rebuilt; what was there before stays in its place."""


def rebuild(tables: Tables, ledger: Ledger, progress: Progress, only: Collection[str] | None = None, processes: int = 1) -> int:
    """Make models anew, catch up, and put them in the place of the old ones; the position that was reached.

    With two processes or more, postings are made in one and the others in another, where the log is long enough for that.
    """
    with _alone(tables), sparing_what_stays():
        _tidy(tables)
        new = _begin(tables, only)
        if processes > 1 and ledger.head().size >= abreast.WORTH_IT:
            try:
                new = _abreast(tables, ledger, new, progress)
            except abreast.Fallen as fallen:
                raise RebuildFailed(f"{fallen}") from None
        new = _catch_up(tables, ledger, new, progress)
        with tables.turn() as connection:
            for each in new:
                tables.index(connection, each)
        with tables.turn() as connection:
            new = _swap(tables, ledger, connection, new)
        _expect_sound(tables, new)
        progress(_done(new), _done(new))
        return _done(new)


def _abreast(tables: Tables, ledger: Ledger, new: list[Standing], progress: Progress) -> list[Standing]:
    here, there = abreast.halves(new)
    if not here or not there:
        return new
    size = ledger.head().size
    with abreast.elsewhere(_step, ledger, there, size) as other:
        while _done(new) < size:
            if _done(here) < size:
                here = _step(tables, ledger, here)
                other.look()
            else:
                other.wait()
            new = [*here, *other.standings]
            _expect_sound(tables, new)
            progress(_done(new), size)
    return new


def _done(new: list[Standing]) -> int:
    return min((each.position for each in new), default=0)


def _begin(tables: Tables, only: Collection[str] | None) -> list[Standing]:
    with tables.turn() as connection:
        old = tables.standings(connection)
        new = [Standing(each.model, each.generation + 1) for each in old if only is None or each.model.name in only]
        for each in new:
            tables.make(connection, each)
    return new


def _catch_up(tables: Tables, ledger: Ledger, new: list[Standing], progress: Progress) -> list[Standing]:
    with _Writing(tables) as writing:
        while (size := ledger.head().size) > _done(new):
            folded = _folded(writing, ledger, new)
            if writing.finish():
                progress(_done(new), size)
            new = _now(folded)
            _expect_sound(tables, new)
            writing.begin(folded)
        if writing.finish():
            progress(_done(new), size)
    return new


class _Writing:
    """Writes a batch while the next one is folded: PostgreSQL puts its rows in for two fifths of the time that both take.

    A thread waits for it, with one batch and its transaction at a time, in their order. What fails there is raised by `finish`,
    and at the end of the block at the latest. SQLite would wait for the interpreter after every row: for it nothing is folded
    meanwhile.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="rebuilder")
        self._under_way: Future[None] | None = None
        self._rows: dict[str, dict[str, Stored]] = {}
        """What is being written of each table with a row a stream: it may not be seen there yet."""

    def fetch(self, connection: Connection | None, standing: Standing, streams: Collection[str]) -> dict[str, Stored]:
        """The rows of streams, as they will be when all is written."""
        written = self._rows.get(standing.table, {})
        known = {stream: written[stream] for stream in streams if stream in written}
        return self._tables.fetch(connection, standing, [each for each in streams if each not in known]) | known

    def begin(self, folded: _Folded) -> None:
        """Write a batch, when the one before is finished."""
        self._rows = {
            each.now.table: {row[0]: row for row in rows} for each, rows in folded if isinstance(each.now.model, Projection)
        }
        self._under_way = self._thread.submit(_write, self._tables, folded)
        if self._tables.sql.sqlite:
            wait([self._under_way])

    def finish(self) -> bool:
        """Wait until what was begun is written, or raise why it cannot be; whether anything was begun."""
        begun, self._under_way = self._under_way, None
        if begun is None:
            return False
        begun.result()
        return True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.shutdown()
        if error is None:
            self.finish()


def _step(tables: Tables, source: Source, new: list[Standing], connection: Connection | None = None) -> list[Standing]:
    folded = _folded(tables, source, new, connection)
    _write(tables, folded, connection)
    return _now(folded)


def _folded(rows: Rows, source: Source, new: list[Standing], connection: Connection | None = None) -> _Folded:
    gc.collect()  # Nobody does it meanwhile, and there is next to nothing between two batches.
    head = source.log.head()
    done = _done(new)
    last = min(done + _AT_ONCE, head.size)
    return [
        (each, each.finish(last, head.root.hex() if last == head.size else None))
        for each in fold(rows, source, new, range(done + 1, last + 1), connection)
    ]


def _write(tables: Tables, folded: _Folded, connection: Connection | None = None) -> None:
    with tables.turn() if connection is None else nullcontext(connection) as on:
        for each, changed in folded:
            tables.put(on, each.was, changed)


def _now(folded: _Folded) -> list[Standing]:
    return [each.now for each, _ in folded]


def _swap(tables: Tables, ledger: Ledger, connection: Connection, new: list[Standing]) -> list[Standing]:
    """Catch up while nobody moves the old ones, and let the views show the new ones."""
    old = {each.model.view: each for each in tables.standings(connection, keep=True)}
    while ledger.head().size > _done(new) and not any(each.failed for each in new):
        new = _step(tables, ledger, new, connection)
    sound = [each for each in new if each.failed is None]
    for each in sound:
        tables.show(connection, each)
        tables.drop(connection, old[each.model.view])
    tables.note(connection, [(old[each.model.view], each) for each in sound])
    return new


def _expect_sound(tables: Tables, new: list[Standing]) -> None:
    failed = [each for each in new if each.failed is not None]
    if failed:
        with tables.turn() as connection:
            for each in new:
                if each.generation not in {
                    shown.generation for shown in tables.standings(connection) if shown.model is each.model
                }:
                    tables.drop(connection, each)
        raise RebuildFailed("; ".join(f"{each.model.name}: {each.failed}" for each in failed))


def _tidy(tables: Tables) -> None:
    left = tables.leftovers()
    if left:
        with tables.turn() as connection:
            for each in left:
                tables.drop(connection, replace(each))


@contextmanager
def _alone(tables: Tables) -> Iterator[None]:
    if tables.sql.sqlite:
        path = store.file_of(tables.engine.url)
        with LockFile(path.with_name(path.name + ".rebuilding")):
            yield
        return
    with tables.engine.connect() as connection:
        connection.exec_driver_sql(f"SELECT pg_advisory_lock({_REBUILDING})")
        try:
            yield
        finally:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({_REBUILDING})")
