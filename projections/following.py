"""Following: entries in batches, folded in memory, written with how far they go in one transaction."""

import logging
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from threading import Lock
from typing import Any, Final, Protocol

from sqlalchemy import Connection

from ledger.entry import Registry, Seen
from ledger.failures import Unavailable
from ledger.garbage import not_looked_for, nothing_old
from ledger.ledger import Ledger
from ledger.log import Log
from projections.folding import Folding, folding
from projections.models import Moved, Standing, Tables
from projections.projection import Skimmed, Stored

_LOG: Final = logging.getLogger(__name__)
BATCH_LIVE: Final = 500
BATCH_CATCHING_UP: Final = 5_000


@contextmanager
def sparing_what_stays() -> Iterator[None]:
    """Let nobody look for garbage but whoever asks for it between two batches, and then only in what came into being here.

    What a batch makes goes by itself when it is done. Python would look through all of it several times meanwhile.
    """
    with nothing_old(), not_looked_for():
        yield


class Source(Protocol):
    """Where entries come from: a ledger, or as much of one."""

    @property
    def log(self) -> Log:
        """Its log."""

    @property
    def registry(self) -> Registry:
        """The events that are known."""


class Rows(Protocol):
    """Where the rows are that models have: their tables, or what is about to be written there too."""

    def fetch(self, connection: Connection | None, standing: Standing, streams: Collection[str]) -> dict[str, Stored]:
        """The stored rows of streams."""


def fold(
    rows: Rows, source: Source, standings: Sequence[Standing], entries: range, connection: Connection | None = None
) -> list[Folding[Any]]:
    """Take each model through the entries of some positions. Nothing is written; one that fails stops, and the others go on."""

    def before(standing: Standing, streams: Collection[str]) -> dict[str, Stored]:
        return rows.fetch(connection, standing, streams)

    foldings = [folding(standing, before) for standing in standings]
    known, unknown = _read(source, foldings, entries)
    streams = _streams(known)
    for each in foldings:
        each.expect(streams)
    routes = {kind: [each for each in foldings if kind in each.was.model.folds] for kind in streams}
    for seen in known:
        # One at a time: a batch of events kept in memory would cost more in garbage collection than in folding.
        happened = Skimmed(seen, source.registry)
        for each in routes[seen.type]:
            each.take(happened)
    if unknown is not None:
        for each in foldings:
            each.fail(*unknown)
    return foldings


def _read(source: Source, foldings: Sequence[Folding[Any]], entries: range) -> tuple[Sequence[Seen], tuple[int, str] | None]:
    """The entries that matter to somebody; and where there is one of which nobody can say whether it does, if there is."""
    matter = frozenset[str]().union(*(each.was.model.folds for each in foldings))
    found = source.log.reads.seen(entries.start - 1, entries.stop - 1, passing=source.registry.keys() - matter)
    for number, seen in enumerate(found):
        if seen.type not in source.registry:
            why = f"{seen.type} at {seen.position}: this release does not know such events"
            return found[:number], (seen.position, why)
    return found, None


def _streams(entries: Sequence[Seen]) -> dict[str, set[str]]:
    """The streams of entries, by type."""
    streams: dict[str, set[str]] = {}
    for each in entries:
        streams.setdefault(each.type, set()).add(each.stream)
    return streams


class Follower:
    """Takes the models from batch to batch. `step` is for one thread at a time, in as many processes as there are."""

    def __init__(self, tables: Tables, ledger: Ledger) -> None:
        self._tables = tables
        self._ledger = ledger
        self._stepping = Lock()
        self._standings: list[Standing] = []
        self.position = 0

    def look(self) -> None:
        """See how far the models have come."""
        self._keep(self._tables.standings())

    def retry(self) -> None:
        """Let models that failed try again: this process may know better. Those that are not of this log stop."""
        with self._stepping, self._tables.turn() as connection:
            found = self._tables.standings(connection, keep=True)
            now = [replace(each, failed=self._strange(each)) for each in found]
            moved = [(was, each) for was, each in zip(found, now, strict=True) if was != each]
            if moved:
                self._tables.note(connection, moved)
            self._keep(now)
        for _, each in moved:
            if each.failed is not None:
                _LOG.error("the read model %s has stopped: %s", each.model.name, each.failed)

    def _strange(self, standing: Standing) -> str | None:
        """Why a model cannot go on from where it stands, if so: as where the log was put back to before, and it was not."""
        if standing.position == 0:
            return None
        known = self._ledger.log.reads.heads(standing.position - 1, 1)
        if known and standing.root in {None, *(root.hex() for size, root in known if size == standing.position)}:
            return None
        return f"the log ends before {standing.position}, or is another one: `lcledger rebuild` makes this model anew"

    def step(self, limit: int) -> bool:
        """Fold the next entries, at most so many; whether there may be more."""
        with self._stepping:
            running = [each for each in self._standings if each.failed is None]
            head = self._ledger.head()
            start = min((each.position for each in running), default=head.size)
            if start >= head.size:
                return False
            last = min(start + limit, head.size)
            foldings = fold(
                self._tables, self._ledger, [each for each in running if each.position < last], range(start + 1, last + 1)
            )
            try:
                self._write([(each, each.finish(last, head.root.hex() if last == head.size else None)) for each in foldings])
            except Moved:
                self.look()  # Somebody else went on, or rebuilt: from there, then.
                return True
            now = {each.was.model.view: each.now for each in foldings}
            self._keep([now.get(each.model.view, each) for each in self._standings])
            return True

    def _write(self, folded: Sequence[tuple[Folding[Any], list[Stored]]]) -> None:
        try:
            self._write_together(folded)
        except (Moved, Unavailable):
            raise
        except Exception:
            # One of them cannot be written, and must not stop the others: each by itself tells which.
            if len(folded) == 1:
                raise
            for each in folded:
                self._write_alone(*each)

    def _write_together(self, folded: Sequence[tuple[Folding[Any], list[Stored]]]) -> None:
        with self._tables.turn() as connection:
            self._tables.note(connection, [(each.was, each.now) for each, _ in folded])
            for each, rows in folded:
                self._tables.put(connection, each.was, rows)
        for each, _ in folded:
            if each.now.failed is not None:
                _LOG.error("the read model %s has stopped: %s", each.was.model.name, each.now.failed)

    def _write_alone(self, alone: Folding[Any], rows: list[Stored]) -> None:
        try:
            self._write_together([(alone, rows)])
        except (Moved, Unavailable):
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, it is this model's failure and nobody else's)
            alone.now = replace(alone.was, failed=f"after {alone.was.position}: {type(error).__name__}: {error}")
            self._write_together([(alone, [])])

    def _keep(self, standings: list[Standing]) -> None:
        self._standings = standings
        running = [each.position for each in standings if each.failed is None]
        self.position = min(running or [each.position for each in standings], default=0)
