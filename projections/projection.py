"""What a projection is: which row does an entry touch, and what does the row become.

The same code serves following, rebuilding and answering as of a moment. A row stands for one stream and is made of that stream's
entries alone, so that a row as of a moment can be made again by itself. There are two other kinds: a `Journal` has rows that
entries add, and that never change; a `Tally` has sums that entries add to.
"""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from hashlib import sha256
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar, get_args, get_type_hints

import orjson
from pydantic import TypeAdapter

from domain.aggregate import PersonId
from domain.assessment import Allotment, AssessedLine, Curtailment
from domain.claim import ClaimLine, DecidedLine
from domain.event import Event
from domain.postings import Account, sums
from domain.record import Record
from ledger import entry
from ledger.entry import EventUnknown, Registry, moment_of, written
from ledger.reading import Reader, read

_dumps: Final = orjson.dumps
_number: Final = int.from_bytes


class Happened:
    """A stored entry, read only as far as somebody asks."""

    __slots__ = ("_event", "_of", "_said", "_sums", "award", "position", "recorded", "stream", "type", "version")

    def __init__(self, row: entry.Row | entry.Seen, registry: Registry) -> None:
        """Raise `EventUnknown` for a type that this release does not know: nobody can say that it would not have mattered."""
        of = registry.get(row.type)
        if of is None:
            raise EventUnknown(f"{EventUnknown.__doc__} ({row.type} at {row.position})")
        self.position = row.position
        self.stream = row.stream
        self.award = row.award
        self.version = row.version
        self.type = row.type
        self.recorded = row.recorded_at
        self._of = of
        self._said: Any = row.state
        self._event: Event | None = None
        self._sums: dict[Account, int] | None = None

    _read = staticmethod(read)

    @property
    def event(self) -> Any:
        """What happened."""
        if self._event is None:
            self._event = self._read(self._of, self.said["event"])
        return self._event

    @property
    def sums(self) -> dict[Account, int]:
        """Its postings, as pence by account and effective date (`domain.postings`)."""
        if self._sums is None:
            self._sums = sums(self.event)
        return self._sums

    @property
    def said(self) -> Any:
        """The stored state as it was written, with the event's fields under `event`."""
        if isinstance(self._said, bytes):
            self._said = orjson.loads(self._said)
        return self._said

    @property
    def person(self) -> PersonId:
        """Who did it."""
        return PersonId(self.said["person"])

    @property
    def recorded_at(self) -> datetime:
        """When the ledger learned of it."""
        return moment_of(self.recorded)


ASKED: Final[Mapping[type[Record], frozenset[str]]] = {
    ClaimLine: frozenset({"outcome", "achieved_on", "value"}),
    DecidedLine: frozenset({"outcome", "achieved_on", "accepted", "accepted_value", "rejected_value", "deferred_value"}),
    AssessedLine: frozenset({"outcome", "achieved_on", "accepted", "limits", "assessed", "allotments", "unfunded"}),
    Curtailment: frozenset({"limit", "curtailed"}),
    Allotment: frozenset({"payer", "allotted"}),
}
"""What models ask of the records of which there are most: an assessed line alone has forty values."""


class Skimmed(Happened):
    """A stored entry as models fold it: of lines, only what they ask is read, and nothing else is there."""

    __slots__ = ()
    _read = staticmethod(Reader(ASKED).read)


# Rows -----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Row:
    """What every row of a stream says of where it comes from. It has no slots: `moved` takes it over as a whole."""

    stream: str
    first: int
    """The position of the stream's first entry: rows are listed in this order."""
    position: int
    """The position of the last entry that the row is made of."""
    version: int
    """The stream's version after that entry (a strong ETag)."""
    changed_at: datetime
    """When the last entry was recorded."""


R = TypeVar("R", bound=Row)


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some rows in order, and what to give as `after` to get the following ones; nothing if there are none."""

    rows: tuple[R, ...]
    after: str | None


class UnknownCursor(ValueError):
    """This is not a cursor that a page of this list gave."""


Stored = tuple[Any, ...]
"""A row as its table holds it: whole numbers and texts, the same on both databases."""
Key = tuple[Any, ...]
"""What a row of sums is found by."""


class Column(NamedTuple):
    """How a field of a row is stored."""

    name: str
    kind: str
    store: Callable[[Any], Any]
    load: Callable[[Any], Any]


def hash_of(values: Any) -> int:
    """The SHA-256 of stored values, as a number."""
    return _number(sha256(_dumps(values)).digest())


def unchanged(value: Any) -> Any:
    """A value that is stored as it is."""
    return value


def _column(name: str, hint: Any) -> Column:
    options = [option for option in get_args(hint) if option is not type(None)]
    optional = len(options) < len(get_args(hint)) and len(options) == 1
    of = options[0] if optional else hint
    kind, store, load = _codec(of)
    if optional:
        return Column(name, kind, _unless_none(store), _unless_none(load))
    return Column(name, kind, store, load)


def _unless_none(change: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return lambda value: None if value is None else change(value)


def _codec(of: Any) -> tuple[str, Callable[[Any], Any], Callable[[Any], Any]]:  # noqa: PLR0911 (a case for every kind)
    if of is str or getattr(of, "__supertype__", None) is str:
        return "text", unchanged, unchanged
    if isinstance(of, type) and issubclass(of, bool):
        return "bigint", int, bool
    if isinstance(of, type) and issubclass(of, int):
        return "bigint", int, of
    if isinstance(of, type) and issubclass(of, StrEnum):
        return "text", str, of
    if of is datetime:
        return "text", written, moment_of
    if of is date:
        return "text", date.isoformat, date.fromisoformat
    adapter: TypeAdapter[Any] = TypeAdapter(of)
    return "text", lambda value: adapter.dump_json(value).decode(), adapter.validate_json


# Projections ----------------------------------------------------------------------------------------------------------


class Model(ABC):
    """A read model: a table that is made of entries. A change of what its rows mean needs a new `version`."""

    name: ClassVar[str]
    version: ClassVar[int]
    folds: ClassVar[frozenset[str]]
    """The types of the entries that touch its rows."""
    columns: ClassVar[tuple[Column, ...]]
    key: ClassVar[tuple[str, ...]]
    indexes: ClassVar[tuple[tuple[str, ...], ...]] = ()

    @property
    def view(self) -> str:
        """The name under which the rows can be read, whichever table they are in."""
        return f"{self.name}_v{self.version}"

    def digest_of(self, *rows: Stored) -> int:
        """What rows add to the model's digest."""
        return sum(map(hash_of, rows))


class Projection(Model, Generic[R]):
    """A row for each stream of a kind."""

    row: ClassVar[type[Row]]
    key: ClassVar[tuple[str, ...]] = ("stream",)
    _otherwise: ClassVar[tuple[tuple[int, Callable[[Any], Any]], ...]]
    """The columns whose values are not stored as they are."""
    _values: "ClassVar[attrgetter[tuple[Any, ...]]]"
    """A row's values, in the order of the columns."""

    def __init_subclass__(cls, **of: Any) -> None:
        super().__init_subclass__(**of)
        hints = get_type_hints(cls.row)
        cls.columns = tuple(_column(field.name, hints[field.name]) for field in dataclasses.fields(cls.row))
        cls.indexes = tuple(dict.fromkeys((("first",), *cls.indexes)))
        cls._values = attrgetter(*(each.name for each in cls.columns))
        cls._otherwise = tuple((place, each.store) for place, each in enumerate(cls.columns) if each.store is not unchanged)

    @abstractmethod
    def become(self, before: R | None, happened: Happened) -> R:
        """The row of the entry's stream after the entry; before the stream's first entry there is none."""

    def store(self, row: R) -> Stored:
        """A row as its table holds it."""
        values = list(self._values(row))
        for place, store in self._otherwise:
            values[place] = store(values[place])
        return tuple(values)

    def load(self, stored: Stored) -> R:
        """A stored row."""
        return self.row(**{column.name: column.load(value) for column, value in zip(self.columns, stored, strict=True)})  # type: ignore[return-value]


class Journal(Model):
    """Rows that entries add, as they are stored; they are keyed by award and position and never change.

    `digest_of` is asked entry by entry, of all rows that one added, in the order of their keys.
    """

    @abstractmethod
    def made(self, happened: Happened) -> list[Stored]:
        """The rows that an entry adds."""


def by_entry(rows: Iterable[Stored]) -> Iterator[tuple[Stored, ...]]:
    """A journal's rows in the order of their keys, of which award and position come first, as what each entry added."""
    return (tuple(added) for _, added in groupby(rows, itemgetter(0, 1)))


class Tally(Model):
    """Sums of postings, in whole numbers: a row is its key's columns, and in the last one the sum.

    What is added need not be looked up before: the table adds it to what it has, and a row's part of the digest is its key's
    hash times its sum, so that it grows by what is added as well. A row stays when its sum comes to nothing.
    """

    @abstractmethod
    def key_of(self, award: str | None, account: Account) -> Key:
        """To which sum the postings of an award's account are added."""

    def added(self, happened: Happened) -> Iterator[tuple[Key, int]]:
        """What an entry adds to which sums."""
        return ((self.key_of(happened.award, account), amount) for account, amount in happened.sums.items())

    def digest_of(self, *rows: Stored) -> int:
        """What rows, or what is added to them, add to the model's digest."""
        return sum([hash_of(row[:-1]) * row[-1] for row in rows])


def names_of(union: Any) -> frozenset[str]:
    """The types of the events of a union, or of one event."""
    events: tuple[type[Event], ...] = get_args(union) or (union,)
    return frozenset(name for kind in events for name in _names(kind))


def _names(kind: type[Event]) -> Iterable[str]:
    default = kind.model_fields["type"].default
    return (default,) if isinstance(default, str) else (name for each in kind.__subclasses__() for name in _names(each))


def traced(happened: Happened) -> dict[str, Any]:
    """What the first entry of a stream says of where its row comes from."""
    return {
        "stream": happened.stream,
        "first": happened.position,
        "position": happened.position,
        "version": happened.version,
        "changed_at": happened.recorded_at,
    }


def moved(row: R, happened: Happened, **changes: Any) -> R:
    """A row after an entry, with what it changes."""
    # Not dataclasses.replace, which takes the fields one by one: nothing is done more often than this.
    made = object.__new__(type(row))
    made.__dict__.update(
        row.__dict__, position=happened.position, version=happened.version, changed_at=happened.recorded_at, **changes
    )
    return made
