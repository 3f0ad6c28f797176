"""Rechecking: every decision in the log is decided again, and what comes of it is compared with what was recorded.

The log is walked once, in order. Each stream is kept folded as it was just before the decision that is looked at, as long as
there is room; what is forgotten is read again. So the cost grows with the log, and memory does not.
"""

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final, NamedTuple, overload

from pydantic import BaseModel

from domain.aggregate import Commitment, PersonId, S, Stream, fold
from domain.award import AwardAgreed, TermsAgreed
from domain.calendar import london_day
from domain.event import Event
from domain.money import Money
from domain.redecision import LEADING, STATED, PastFacts, Recorded, alone, redecide
from domain.refusal import Refused
from ledger.entry import Registry, Row, award_named, moment_of, reader
from ledger.log import Reads
from ledger.vault import Seals

_BATCH: Final = 1_000
_BEFORE: Final = 100
"""Entries that are read at once in search of where a decision began."""
_KEPT_BYTES: Final = 48 * 1024 * 1024
"""How many stored bytes may stand behind the streams that are kept folded."""
_MOST_NAMED: Final = 1_000
_NOTHING: Final = "nothing"

LATER: Final = frozenset({("receivable.written-off", "authority"), ("award.closed-to-claims", "released")})
"""Fields that entries have had since a later release: where one says nothing, it was recorded before."""
LATER_ENTRIES: Final = frozenset({"award.proposal-opened", "award.proposal-concluded"})
"""Entries that decisions have had since a later release."""

Progress = Callable[[int, int], None]
"""Told how many entries are done, and of how many."""


class Difference(NamedTuple):
    """An amount, or anything else that was recorded, that is another when it is worked out again."""

    award: str | None
    position: int
    type: str
    field: str
    recorded: str
    recomputed: str

    def __str__(self) -> str:
        where = f"{self.award}, entry {self.position}" if self.award else f"entry {self.position}"
        return f"{where}, {self.type}, {self.field}: recorded {self.recorded}, recomputed {self.recomputed}"


@dataclass(slots=True)
class Rechecked:
    """What was worked out again, how much, and where it differs."""

    entries: int = 0
    decisions: int = 0
    amounts: int = 0
    """Amounts that were worked out again."""
    postings: int = 0
    """What they come to in the journal; an entry's sum to nothing."""
    stated: int = 0
    """Amounts that somebody stated, and nobody can work out: prices, limits, sums proposed or recovered."""
    terms: int = 0
    """Versions of terms that were agreed, the first with the award: each is what was proposed, as agreeing repeats none of it."""
    awards: set[str] = field(default_factory=set)
    differences: list[Difference] = field(default_factory=list)
    unnamed: int = 0
    """Further differences, beyond those that are named."""

    def note(self, entry: Recorded, where: str, recorded: Any, recomputed: Any) -> None:
        """Keep a difference."""
        if len(self.differences) < _MOST_NAMED:
            said = entry.position, entry.event.type, where, _told(recorded), _told(recomputed)
            self.differences.append(Difference(award_named(entry.stream), *said))
        else:
            self.unnamed += 1


def recheck(
    reads: Reads,
    registry: Registry,
    *,
    balance: Callable[[Event], Mapping[Any, int]],
    size: int,
    seals: Seals | None = None,
    award: str | None = None,
    progress: Progress | None = None,
) -> Rechecked:
    """Decide again all that was decided in the log's first `size` entries, or what touched one award.

    `balance` gives the postings of an event. Without the vault's `seals`, the SHA-256 of runs' files is taken as it stands.
    """
    read = _reader(registry)
    streams = _Streams(reads, registry, seals, award)
    checking = _Checking(streams, balance)
    groups = _groups(reads, read, size) if award is None else _groups_of(reads, read, award, size)
    for group in groups:
        checking.check(group)
        if progress is not None:
            progress(group[-1].position, size)
    return checking.done


# Walking --------------------------------------------------------------------------------------------------------------


class _Read(NamedTuple):
    """An entry, and what it has in common with the others of its request."""

    request: tuple[Any, ...]
    entry: Recorded
    bytes: int


_Reader = Callable[[Row], _Read]


def _reader(registry: Registry) -> _Reader:
    read = reader(registry)

    def read_row(row: Row) -> _Read:
        event, said = read(row.state)
        person = PersonId(said["person"])
        entry = Recorded(row.position, row.stream, event, person, london_day(moment_of(row.recorded_at)))
        return _Read((row.recorded_at, person, said.get("correlation"), said.get("causation")), entry, len(row.state))

    return read_row


class _Following(Sequence[Recorded]):
    """Entries of a request from one of them on, without a copy of them."""

    def __init__(self, entries: Sequence[Recorded], at: int = 0) -> None:
        self._entries = entries
        self._at = at

    def __len__(self) -> int:
        return len(self._entries) - self._at

    @overload
    def __getitem__(self, at: int) -> Recorded: ...
    @overload
    def __getitem__(self, at: slice) -> Sequence[Recorded]: ...
    def __getitem__(self, at: int | slice) -> Recorded | Sequence[Recorded]:
        if isinstance(at, slice):
            if at.stop is None and at.step is None:
                return _Following(self._entries, self._at + (at.start or 0))
            return self._entries[self._at + (at.start or 0) : self._at + at.stop]
        return self._entries[self._at + at]

    def __iter__(self) -> Iterator[Recorded]:
        return (self._entries[at] for at in range(self._at, len(self._entries)))


class _Group(list[Recorded]):
    """The entries of one request, which may have come to several decisions; with how many bytes each has."""

    def __init__(self, found: Iterable[_Read]) -> None:
        known = list(found)
        super().__init__(each.entry for each in known)
        self.bytes = [each.bytes for each in known]


def _groups(reads: Reads, read: _Reader, size: int) -> Iterator[_Group]:
    group: list[_Read] = []
    for found in map(read, reads.walk(upto=size)):
        if group and group[-1].request != found.request:
            yield _Group(group)
            group = []
        group.append(found)
    if group:
        yield _Group(group)


def _groups_of(reads: Reads, read: _Reader, award: str, size: int) -> Iterator[_Group]:
    """Those with entries of an award; whole, as a run's stand beside those of other awards."""
    after = 0
    while rows := reads.rows(after, _BATCH, award=award, upto=size):
        for row in rows:
            if row.position > after:
                group = _Group(_around(reads, read, row, size))
                after = group[-1].position
                yield group
        after = max(after, rows[-1].position)


def _around(reads: Reads, read: _Reader, row: Row, size: int) -> list[_Read]:
    group = [read(row)]
    request = group[0].request
    first = row.position
    while first > 1:
        before = reads.rows(max(first - 1 - _BEFORE, 0), _BEFORE, upto=first - 1)
        same = [found for found in map(read, before) if found.request == request]
        together = same[-_together(same, first) :] if _together(same, first) else []
        group = [*together, *group]
        first -= len(together)
        if len(together) < len(before):
            break
    last = row.position
    while last < size and (rows := reads.rows(last, _BEFORE, upto=size)):
        for found in map(read, rows):
            if found.request != request:
                return group
            group.append(found)
        last = rows[-1].position
    return group


def _together(found: Sequence[_Read], before: int) -> int:
    """How many of the last ones stand together, right before a position."""
    many = 0
    while many < len(found) and found[-1 - many].entry.position == before - 1 - many:
        many += 1
    return many


@dataclass(slots=True)
class _Kept:
    """A stream as far as it was folded, and what happened since."""

    state: Any = None
    version: int = 0
    bytes: int = 0
    happened: list[tuple[Event, PersonId]] = field(default_factory=list)


class _Streams:
    """Streams as they were just before a position, as `domain.redecision.Past` has them."""

    def __init__(self, reads: Reads, registry: Registry, seals: Seals | None, award: str | None) -> None:
        self._reads = reads
        self._read = reader(registry)
        self._seals = seals
        self._award = award
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._bytes = 0
        self._forgotten: set[str] = set()
        self.upto = 0
        """The position of the last entry that has happened."""

    def get(self, stream: Stream[S], /) -> S | None:
        """The state of a stream, or nothing if it had no events."""
        name = stream.name
        kept = self._kept.get(name)
        if not self._walked(name) or (kept is None and name in self._forgotten):
            kept = self._read_on(name, kept or _Kept())
        if kept is None:
            return None
        if kept.happened:
            kept.state = fold(stream.of, kept.happened, kept.state)
            kept.happened = []
        state: S | None = kept.state
        return state

    def reveal(self, commitment: Commitment, /) -> str | None:
        """The text behind a commitment, or nothing if the vault does not have it, or nobody has its key."""
        if self._seals is not None:
            for kept in self._reads.texts([commitment]):
                return self._seals.reveal(kept)
        return None

    def take(self, entry: Recorded, weight: int) -> None:
        """Let an entry have happened."""
        self.upto = entry.position
        if not self._walked(entry.stream) or entry.stream in self._forgotten:
            return  # It is read from the log when somebody asks for it.
        kept = self._kept.get(entry.stream) or self._keep(entry.stream, _Kept())
        kept.happened.append((entry.event, entry.person))
        kept.version += 1
        self._weigh(entry.stream, kept, weight)

    def _walked(self, stream: str) -> bool:
        """Whether all entries of a stream come by here."""
        return self._award is None or award_named(stream) == self._award

    def _read_on(self, name: str, kept: _Kept) -> _Kept:
        """Read what happened to a stream since it was read, up to here."""
        states = self._reads.states(name, kept.version, self.upto)
        for _, stored in states:
            event, said = self._read(stored)
            kept.happened.append((event, PersonId(said["person"])))
        kept.version += len(states)
        self._forgotten.discard(name)
        if name not in self._kept:
            self._keep(name, kept)
        self._weigh(name, kept, sum(len(stored) for _, stored in states))
        return kept

    def _keep(self, name: str, kept: _Kept) -> _Kept:
        self._kept[name] = kept
        return kept

    def _weigh(self, name: str, kept: _Kept, more: int) -> None:
        kept.bytes += more
        self._bytes += more
        self._kept.move_to_end(name)
        while self._bytes > _KEPT_BYTES and len(self._kept) > 1:
            gone, forgotten = self._kept.popitem(last=False)
            self._bytes -= forgotten.bytes
            self._forgotten.add(gone)


# Comparing ------------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Checking:
    """Decisions being decided again."""

    streams: _Streams
    balance: Callable[[Event], Mapping[Any, int]]
    done: Rechecked = field(default_factory=Rechecked)
    _lists: dict[Commitment, str] = field(default_factory=dict)

    def check(self, group: _Group) -> None:
        """Decide again what a request came to."""
        at = 0
        while at < len(group):
            many = self._decide(_Following(group, at))
            for number in range(at, at + many):
                entry = group[number]
                self._count(entry)
                self.streams.take(entry, group.bytes[number])
            at += many

    def _count(self, entry: Recorded) -> None:
        done = self.done
        done.entries += 1
        if award := award_named(entry.stream):
            done.awards.add(award)
        amounts = _amounts_in(entry.event)
        done.terms += isinstance(entry.event, (AwardAgreed, TermsAgreed))
        if type(entry.event) in STATED:
            done.stated += amounts
        else:
            done.amounts += amounts
        postings = self.balance(entry.event)
        done.postings += len(postings)
        if over := sum(postings.values()):
            done.note(entry, "postings", Money(over), Money(0))

    def _decide(self, entries: _Following) -> int:
        """Decide again what the first entry leads; how many entries that is."""
        first = entries[0]
        self.streams.upto = first.position - 1
        facts = PastFacts(self.streams, self._lists)
        try:
            decision = redecide(facts, entries)
        except Refused as refused:
            return self._cannot(entries, f"would be refused today: {refused.message}")
        except Exception as error:  # noqa: BLE001 (a log that was changed may fail anything that reads it)
            return self._cannot(entries, f"cannot be worked out: {type(error).__name__}: {error}")
        if decision is None:
            if not alone(first.event):
                self.done.note(first, "entry", "recorded", "no decision gives it")
            return 1
        self.done.decisions += 1
        made = [(stream.name, event) for stream, events in decision.items() for event in events]
        return self._compare(entries, made, lacks_accounts=facts.lacks_accounts)

    def _cannot(self, entries: _Following, why: str) -> int:
        self.done.note(entries[0], "decision", "recorded", why)
        return _extent(entries)

    def _compare(self, entries: _Following, made: list[tuple[str, Event]], *, lacks_accounts: bool) -> int:
        pairs = _paired(entries, made)
        if pairs is None:
            return self._compare_misfit(entries, made)
        for entry, event in pairs:
            if entry.event != event:
                self._differ(entry, event, lacks_accounts=lacks_accounts)
        return max(len(pairs), 1)

    def _differ(self, entry: Recorded, event: Event, *, lacks_accounts: bool) -> None:
        recorded, recomputed = dict(_leaves(entry.event)), dict(_leaves(event))
        for where in dict.fromkeys((*recorded, *recomputed)):
            is_, must = recorded.get(where), recomputed.get(where)
            if is_ == must or (is_ is None and (event.type, where) in LATER):
                continue
            if lacks_accounts and where == "file_sha256":
                continue
            self.done.note(entry, where, is_, must)

    def _compare_misfit(self, entries: _Following, made: list[tuple[str, Event]]) -> int:
        """Entries that are others than would be decided: those of a stream and type are compared one by one."""
        extent = _extent(entries)
        numbers: Counter[tuple[str, str]] = Counter()
        wanted: dict[tuple[str, str, int], Event] = {}
        for stream, event in made:
            numbers[stream, event.type] += 1
            wanted[stream, event.type, numbers[stream, event.type]] = event
        numbers.clear()
        for entry in entries[:extent]:
            kind = entry.stream, entry.event.type
            numbers[kind] += 1
            event_made = wanted.pop((*kind, numbers[kind]), None)
            if event_made is None:
                self.done.note(entry, "entry", "recorded", "would not be decided today")
            elif event_made != entry.event:
                self._differ(entry, event_made, lacks_accounts=False)
        for (stream, _, _), event in wanted.items():
            if event.type not in LATER_ENTRIES:
                said = "; ".join(f"{where} {each}" for where, each in _leaves(event) if isinstance(each, Money))
                self.done.note(entries[0], f"{event.type} of {stream}", _NOTHING, said or "an entry")
        return extent


def _paired(entries: _Following, made: list[tuple[str, Event]]) -> list[tuple[Recorded, Event]] | None:
    """Each entry with what it would be today, if they are of the same streams and kinds in the same order."""
    pairs: list[tuple[Recorded, Event]] = []
    for stream, event in made:
        entry = entries[len(pairs)] if len(pairs) < len(entries) else None
        if entry is not None and entry.stream == stream and entry.event.type == event.type:
            pairs.append((entry, event))
        elif event.type not in LATER_ENTRIES:
            return None
    return pairs


def _extent(entries: _Following) -> int:
    """How many entries belong to a decision, as far as they say: until something begins that is decided by itself."""
    many = 1
    while many < len(entries) and type(entries[many].event) not in LEADING and not alone(entries[many].event):
        many += 1
    return many


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """What a value says, piece by piece, each with where it stands."""
    inner: Iterable[tuple[Any, Any]]
    if isinstance(value, BaseModel):
        inner = ((name, getattr(value, name)) for name in type(value).model_fields)
    elif isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, tuple):
        inner = enumerate(value, 1)
    else:
        yield path, value
        return
    yield from chain.from_iterable(_leaves(each, f"{path}.{name}" if path else str(name)) for name, each in inner)


def _amounts_in(value: Any) -> int:
    """How many amounts a value says."""
    if isinstance(value, BaseModel):
        return sum(map(_amounts_in, value.__dict__.values()))
    if isinstance(value, dict):
        return sum(map(_amounts_in, value.values()))
    if isinstance(value, tuple):
        return sum(map(_amounts_in, value))
    return isinstance(value, Money)


def _told(value: Any) -> str:
    return _NOTHING if value is None else str(value)
