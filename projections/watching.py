"""Watching: while the service runs, the read models are compared with the log again and again, little by little.

A round goes through the log twice. By position: each stream that begins in a window is folded anew, and compared with its rows.
By award: its entries are posted anew, and compared with its journals and sums. Nothing is held on to in between: rows and how far
their model has come are read in one transaction, and what the log says up to there never changes. So neither whoever follows nor
a rebuild need wait, and a round is the same whatever they do meanwhile. Where it stands is kept beside the models, so that the
next process goes on there.
"""

import logging
from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from itertools import chain
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from ledger.entry import Registry, moment_of, written
from ledger.failures import Unavailable
from ledger.ledger import Ledger
from ledger.log import Reads
from projections.models import Standing, Tables
from projections.projection import Happened, Journal, Key, Model, Projection, Stored, Tally, by_entry

_LOG: Final = logging.getLogger(__name__)
_WINDOW: Final = 250
"""Positions of the log in which streams begin that are looked for at once."""
_AT_ONCE: Final = 100
"""Entries that are folded or posted at once."""
_A_LOOK: Final = 10
"""What looking costs where nothing is found, in entries."""
_KEPT_EVERY: Final = 1_000
"""After so many entries it is kept where a round stands: a process that ends does as many in vain at most."""
_MOST: Final = 2**63 - 1
_MOST_NAMED: Final = 20
_MODULUS: Final = 2**256


class Pace(NamedTuple):
    """How much is compared, and how often."""

    entries_a_second: float
    """At most so many entries of the log; 0: none."""
    every_s: float
    """A round begins so long after the last one began, or when that has ended."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What the last round says of a model. `differences` name rows, at most 20; they are told before the round has ended."""

    position: int
    """Up to there the model was compared."""
    root: str | None
    """Of the log, where the model said which one it was made from."""
    digest: str
    """Of the rows that were compared, in hexadecimal."""
    at: datetime | None
    """When the round ended; nothing: none has."""
    differences: tuple[str, ...]


NEVER: Final = Watched(0, None, f"{0:064x}", None, ())


class Checks:
    """What rounds say, in a table beside the models, so that every process can tell it."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def last(self) -> dict[str, Watched]:
        """What the last round says of each model, by the name of its view."""
        found = self._tables.ask("SELECT name, version, position, root, digest, checked_at, differences FROM checks")
        return {
            f"{name}_v{version}": Watched(position, root, digest, at and moment_of(at), tuple(orjson.loads(differences)))
            for name, version, position, root, digest, at, differences in found
        }

    def note(self, model: Model, watched: Watched) -> None:
        """Keep what a round says of a model."""
        at, differences = watched.at and written(watched.at), orjson.dumps(watched.differences).decode()
        with self._tables.turn() as connection:
            self._tables.ask_nothing(
                connection,
                "INSERT INTO checks (name, version, position, root, digest, checked_at, differences) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) "
                "ON CONFLICT (name, version) DO UPDATE SET position = excluded.position, root = excluded.root, "
                "digest = excluded.digest, checked_at = excluded.checked_at, differences = excluded.differences",
                [(model.name, model.version, watched.position, watched.root, watched.digest, at, differences)],
            )

    def left(self) -> Any:
        """Where the round stands that did not come to its end, as it was kept; nothing if there is none."""
        found = self._tables.ask("SELECT stands FROM rounds")
        return orjson.loads(found[0][0]) if found else None

    def keep(self, stands: Any) -> None:
        """Keep where a round stands, so that another process can go on there."""
        with self._tables.turn() as connection:
            self._tables.ask_nothing(
                connection,
                "INSERT INTO rounds (id, stands) VALUES (1, ?) ON CONFLICT (id) DO UPDATE SET stands = excluded.stands",
                [(orjson.dumps(stands).decode(),)],
            )

    def forget(self) -> None:
        """Let the next round begin anew."""
        with self._tables.turn() as connection:
            connection.exec_driver_sql("DELETE FROM rounds")


@dataclass(slots=True)
class _Watching:
    """A model in a round."""

    begun: Standing
    """How far the model had come when the round began."""
    digest: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def kept(self) -> dict[str, Any]:
        """All of it, as JSON can say it."""
        at = {"generation": self.begun.generation, "position": self.begun.position, "root": self.begun.root}
        return {"at": at, "recorded": f"{self.begun.digest:x}", "digest": f"{self.digest % _MODULUS:x}", "faults": self.faults}

    def going_on(self, kept: Any) -> "_Watching":
        """The model as it was watched when that was kept."""
        begun = replace(self.begun, **kept["at"], digest=int(kept["recorded"], 16))
        return _Watching(begun, int(kept["digest"], 16), kept["faults"])


class _Comparing(ABC):
    """Models that have not stopped, being compared with the log."""

    def __init__(self, tables: Tables, reads: Reads, registry: Registry) -> None:
        self._tables = tables
        self._reads = reads
        self._registry = registry
        self._models: dict[str, _Watching] = {}
        self._after: int | None = 0
        """The position up to which streams have begun that were compared; nothing: all were."""
        self._award = ""
        """The last award that was compared."""

    def _begin(self) -> None:
        with self._tables.turn_to_read() as connection:
            self._models = {name: _Watching(each) for name, each in self._standings(connection).items()}

    @abstractmethod
    def _fault(self, at: Standing, what: str) -> None:
        """Hear of a row that is not what the log says."""

    def _passed(self) -> None:  # noqa: B027 (whoever compares all at once has nowhere to go on)
        """Hear that everything up to here was compared."""

    def _standings(self, connection: Connection) -> dict[str, Standing]:
        """How far those models are that are compared; one that stopped meanwhile is looked at no more."""
        found = {each.model.view: each for each in self._tables.standings(connection) if each.failed is None}
        return {name: each for name, each in found.items() if not self._models or name in self._models}

    # By position: rows that stand for streams.

    def _by_position(self) -> Iterator[int]:
        while (after := self._after) is not None:
            with self._tables.turn_to_read() as connection:
                standings = self._standings(connection)
                upto = after + _WINDOW
                last = upto >= max((each.position for each in standings.values()), default=0)
                # In the end also rows that say that they begin where there is nothing yet.
                rows = {
                    name: self._stored(connection, at, "first > ? AND first <= ?", after, _MOST if last else upto)
                    for name, at in standings.items()
                    if isinstance(at.model, Projection)
                }
            begun = self._reads.begun(after, upto)
            for name, found in rows.items():
                at, stored = standings[name], {row[0]: row for row in found}
                begins = [stream for position, stream, kind in begun if kind in at.model.folds and position <= at.position]
                for stream in dict.fromkeys((*begins, *stored)):
                    if isinstance(at.model, Projection):
                        yield from self._compare_row(at, at.model, stream, stored.get(stream))
            self._after = None if last else upto
            self._passed()
            yield _A_LOOK

    def _compare_row(self, at: Standing, model: Projection[Any], stream: str, stored: Stored | None) -> Iterator[int]:
        row: Any = None
        try:
            for entries in self._entries(at, stream=stream):
                for happened in entries:
                    row = model.become(row, happened)
                yield len(entries)
        except (Unavailable, SQLAlchemyError):
            raise
        except Exception as error:  # noqa: BLE001 (whatever it is, it is what is wrong with this row)
            self._fault(at, f"{stream}: cannot be folded: {type(error).__name__}: {error}")
            return
        if stored is not None:
            self._models[model.view].digest += model.digest_of(stored)
        if row is None:
            self._fault(at, f"{stream}: the log knows no such row")
        elif stored is None:
            self._fault(at, f"{stream}: the row is missing")
        elif wrong := [
            f"{column.name} is {is_!r}, must be {must!r}"
            for column, is_, must in zip(model.columns, stored, model.store(row), strict=True)
            if is_ != must
        ]:
            self._fault(at, f"{stream}: {'; '.join(wrong)}")

    def _entries(self, at: Standing, **of: str) -> Iterator[list[Happened]]:
        """Those of a stream that touch a model, up to where it has come."""
        after = 0
        while rows := self._reads.rows(after, _AT_ONCE, upto=at.position, **of):
            yield [Happened(row, self._registry) for row in rows if row.type in at.model.folds]
            after = rows[-1].position

    # By award: journals and sums.

    def _by_award(self) -> Iterator[int]:
        while (award := self._next_award(self._award)) is not None:
            yield from self._compare_award(award)
            self._award = award
            self._passed()

    def _next_award(self, after: str) -> str | None:
        with self._tables.turn_to_read() as connection:
            found = [
                name
                for at in self._standings(connection).values()
                if not isinstance(at.model, Projection)
                for (name,) in self._tables.ask(f"SELECT min(award) FROM {at.table} WHERE award > ?", (after,), connection)  # noqa: S608 (ours)
            ]
        found.append(self._reads.award_after(after))
        return min((name for name in found if name is not None), default=None)

    def _compare_award(self, award: str) -> Iterator[int]:
        sums: dict[str, Counter[Key]] = {}
        after, last = 0, False
        while not last:
            with self._tables.turn_to_read() as connection:
                standings = [at for at in self._standings(connection).values() if not isinstance(at.model, Projection)]
                upto = min((at.position for at in standings), default=0)
                rows = self._reads.rows(after, _AT_ONCE, award=award, upto=upto)
                last = len(rows) < _AT_ONCE
                until = upto if last else rows[-1].position
                entries = [Happened(row, self._registry) for row in rows if row.type in self._registry]
                for at in standings:
                    mine = [each for each in entries if each.type in at.model.folds]
                    if isinstance(at.model, Journal):
                        stored = self._stored(connection, at, "award = ? AND position > ? AND position <= ?", award, after, until)
                        self._compare_journal(at, at.model, mine, stored)
                    elif isinstance(at.model, Tally):
                        so_far = sums.setdefault(at.model.view, Counter())
                        for happened in mine:
                            for key, amount in at.model.added(happened):
                                so_far[key] += amount
                        if last and at.position == upto:
                            self._compare_sums(at, so_far, self._stored(connection, at, "award = ?", award))
            after = until
            yield max(len(rows), _A_LOOK)

    def _compare_journal(self, at: Standing, model: Journal, entries: Sequence[Happened], stored: Sequence[Stored]) -> None:
        must = {row[: len(model.key)]: row for each in entries for row in model.made(each)}
        is_ = {row[: len(model.key)]: row for row in stored}
        self._models[model.view].digest += sum(model.digest_of(*added) for added in by_entry(sorted(stored)))
        for key in sorted(is_.keys() | must.keys()):
            if is_.get(key) != must.get(key):
                self._fault(at, f"{_told(key)}: is {is_.get(key, 'missing')}, must be {must.get(key, 'no row')}")

    def _compare_sums(self, at: Standing, must: Mapping[Key, int], stored: Sequence[Stored]) -> None:
        model = at.model
        self._models[model.view].digest += sum(map(model.digest_of, stored))
        is_ = {row[:-1]: row[-1] for row in stored}
        for key in sorted(is_.keys() | must.keys()):
            if is_.get(key) != must.get(key):
                self._fault(at, f"{_told(key)}: is {is_.get(key, 'missing')}, must be {must.get(key, 'no row')}")

    def _stored(self, connection: Connection, at: Standing, where: str, *parameters: Any) -> list[Stored]:
        names = ", ".join(column.name for column in at.model.columns)
        found = self._tables.ask(f"SELECT {names} FROM {at.table} WHERE {where}", parameters, connection)  # noqa: S608 (our own names)
        return [tuple(row) for row in found]


class AwardsRows(_Comparing):
    """The rows of one award, compared at once. `differences` name models and rows."""

    def __init__(self, tables: Tables, reads: Reads, registry: Registry) -> None:
        super().__init__(tables, reads, registry)
        self.differences: list[tuple[str, str]] = []

    def compare(self, award: str) -> dict[str, int]:
        """Compare all that stands in the models of an award; the models, each with the position that it has come to."""
        self._begin()
        streams = self._reads.streams_of(award)
        for name in self._models:
            with self._tables.turn_to_read() as connection:
                at = self._standings(connection)[name]
                if not isinstance(at.model, Projection):
                    continue
                within = "stream = ? OR (stream > ? AND stream < ?)"  # Between the slash and what comes after it.
                stored = self._stored(connection, at, within, f"award/{award}", f"award/{award}/", f"award/{award}0")
            rows = {row[0]: row for row in stored}
            begins = (stream for position, stream, kind in streams if kind in at.model.folds and position <= at.position)
            for stream in dict.fromkeys((*begins, *rows)):
                deque(self._compare_row(at, at.model, stream, rows.get(stream)), maxlen=0)
        deque(self._compare_award(award), maxlen=0)
        return {each.begun.model.name: each.begun.position for each in self._models.values()}

    def _fault(self, at: Standing, what: str) -> None:
        self.differences.append((at.model.name, what))


class Round(_Comparing):
    """One round over all models that have not stopped."""

    def __init__(self, tables: Tables, ledger: Ledger, before: Mapping[str, Watched]) -> None:
        super().__init__(tables, ledger.log.reads, ledger.registry)
        self._now = ledger.now
        self._checks = Checks(tables)
        self._before = before
        self._since = 0
        """Entries that were compared since it was kept where the round stands."""

    def slices(self) -> Iterator[int]:
        """Compare, slice by slice; after each, how many entries it took. What it comes to is noted in the end.

        A round that did not come to its end goes on where it stood.
        """
        self._begin()
        for entries in chain(self._by_position(), self._by_award()):
            self._since += entries
            yield entries
        self._end()
        self._checks.forget()

    def _begin(self) -> None:
        super()._begin()
        left = self._checks.left()
        if left is not None and (both := self._models.keys() & left["models"].keys()):
            self._models = {name: each.going_on(left["models"][name]) for name, each in self._models.items() if name in both}
            self._after, self._award = left["after"], left["award"]

    def _passed(self) -> None:
        if self._since >= _KEPT_EVERY:
            models = {name: each.kept for name, each in self._models.items()}
            self._checks.keep({"after": self._after, "award": self._award, "models": models})
            self._since = 0

    def _fault(self, at: Standing, what: str) -> None:
        """Tell it at once, to the log and to those who ask, and do not wait for the round's end."""
        name, watching = at.model.view, self._models[at.model.view]
        if len(watching.faults) >= _MOST_NAMED:
            return
        watching.faults.append(what)
        before = self._before.get(name, NEVER)
        if what not in before.differences:
            _LOG.error("the read model %s is not what the log says: %s", at.model.name, what)
        told = tuple(dict.fromkeys((*watching.faults, *before.differences)))[:_MOST_NAMED]
        self._checks.note(at.model, Watched(before.position, before.root, before.digest, before.at, told))

    def _end(self) -> None:
        with self._tables.turn_to_read() as connection:
            standings = self._standings(connection)
        for name, now in standings.items():
            watching = self._models[name]
            if self._is_of_another_log(now):
                self._fault(now, f"it was made from another log: at {now.position} its root is {now.root}")
            digest = watching.digest % _MODULUS
            if now == watching.begun and digest != now.digest and not watching.faults:
                self._fault(now, "its recorded digest is not that of its rows")
            done = Watched(watching.begun.position, watching.begun.root, f"{digest:064x}", self._now(), tuple(watching.faults))
            self._checks.note(now.model, done)

    def _is_of_another_log(self, standing: Standing) -> bool:
        if standing.root is None:
            return False
        heads = self._reads.heads(standing.position - 1, 1)
        return not heads or (heads[0][0], heads[0][1].hex()) != (standing.position, standing.root)


def _told(key: Key) -> str:
    return " ".join(map(str, key))
