"""What a command may know, and a note of what it read.

A decision is made on what was committed (and, in the writer's turn, on what the batch decided before it). The note says which
streams were read at which version, also those that were absent, and which participants were taken for new: the writer checks all
of it again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import groupby, islice
from operator import is_
from typing import Any, Final, Protocol, TypeVar, cast

from domain.aggregate import Commitment, PersonId, S, Stream, Token, fold
from domain.calendar import london_day
from domain.event import Event, in_effect
from ledger.entry import Registry, Row, moment_of, reader
from ledger.log import Erasure, Participant, Reads, Text
from ledger.states import ABSENT, Known, States
from ledger.vault import Seals

F = TypeVar("F")

_AT_ONCE: Final = 500
"""Streams that are read by one statement."""
_SINGLY: Final = 8
"""References that are looked up one by one before all of an award are."""
MOST_BRIEFLY: Final = 32
"""Entries that are read and folded while an event loop waits: a thousandth of a second, or less."""


class Streams(Protocol):
    """Where streams can be read: a ledger, or what is being restored."""

    def load(self, stream: Stream[S], /) -> tuple[S, int]:
        """A stream's state and version; its kind's `missing` if it has no entries."""


class NotYetWritten(Exception):
    """A decision that was made on what waits to be written asked the log itself, which does not have it yet."""


class TakesLong(Exception):
    """More would have to be read than an event loop should wait for."""


class Shelf(Protocol):
    """Where folded streams are looked for before they are read."""

    @property
    def ahead(self) -> Mapping[str, Known[Any]]:
        """The streams that were given as they will be when what waits is written."""

    def known(self, stream: Stream[Any], /) -> Known[Any] | None:
        """The stream as it is now, as far as is known without reading."""

    def base(self, stream: Stream[Any], /) -> Known[Any] | None:
        """The stream as it once was."""

    def expect(self, streams: Iterable[str], /) -> None:
        """Hear which streams will be looked for."""

    def settle(self) -> None:
        """Hear that the log itself is asked, so that all must be as it is there; raises `NotYetWritten` if it is not."""


class Remembered:
    """What this process remembers, taken as it is, and what it is about to write, as if it were written: the writer checks both.

    Of commands that wait together on one stream each is decided on what the one before it made of the stream. So none of them
    need be decided again in the writer's turn, as long as all goes well.
    """

    def __init__(self, states: States, waiting: Mapping[str, Known[Any]]) -> None:
        self._states = states
        self._waiting = waiting
        self.ahead: dict[str, Known[Any]] = {}

    def known(self, stream: Stream[Any], /) -> Known[Any] | None:
        """What waits, or is remembered."""
        found = self._waiting.get(stream.name)
        if found is None:
            return self._states.get(stream.name)
        self.ahead[stream.name] = found
        return found

    def base(self, stream: Stream[Any], /) -> Known[Any] | None:
        """What is remembered."""
        return self._states.get(stream.name)

    def expect(self, streams: Iterable[str], /) -> None:
        """What is remembered needs no preparation."""

    def settle(self) -> None:
        """Give nothing more that waits; refuse if something was given."""
        if self.ahead:
            raise NotYetWritten
        self._waiting = {}


class Folder:
    """Reads streams and folds them."""

    def __init__(self, reads: Reads, registry: Registry, states: States, placed: Sequence[Row] = ()) -> None:
        """`placed` are the entries of the turn that are not written yet."""
        self._reads = reads
        self._placed = placed
        self._read = reader(registry)
        self._states = states

    def fold(self, stream: Stream[S], base: Known[S] | None, upto: int | None = None) -> Known[S]:
        """A stream as it is now, or after the log's first so many entries, from as it once was."""
        base = base or ABSENT
        found = self._found(stream.name, base.version, upto)
        known = self._folded(stream, base, found)
        if upto is None:
            self._states.put(stream.name, known)
        return known

    def _found(self, stream: str, after: int, upto: int | None) -> list[tuple[int, bytes]]:
        return self._reads.states(stream, after, upto)

    def _found_of(self, streams: Iterable[str]) -> list[tuple[str, int, bytes]]:
        return self._reads.states_of(streams)

    def fold_effective(self, stream: Stream[S], on: date, upto: int | None = None) -> Known[S]:
        """A stream as it was in effect by the end of a day, of all that is recorded or of the log's first so many entries."""
        state: S | None = None
        version = weight = 0
        for row, event, by in in_effect(self._dated(stream, upto), on):
            state = stream.of.evolve(state, event, by)
            version, weight = row.version, weight + len(row.state)
        return Known(state, version, weight)

    def _dated(self, stream: Stream[Any], upto: int | None) -> Iterator[tuple[tuple[Row, Event, PersonId], Event, date]]:
        """What happened, each with the London day on which it was recorded."""
        for row in self._reads.walk(stream=stream.name, upto=upto, at_once=_AT_ONCE):
            event, said = self._read(row.state)
            yield (row, event, PersonId(said["person"])), event, london_day(moment_of(row.recorded_at))

    def events(self, stream: Stream[Any]) -> Iterator[Event]:
        """What happened to a stream, in order."""
        for row in self._reads.walk(stream=stream.name, at_once=_AT_ONCE):
            yield self._read(row.state)[0]
        for row in tuple(self._placed):
            if row.stream == stream.name:
                yield self._read(row.state)[0]

    def fold_all(self, streams: Iterable[Stream[Any]]) -> dict[str, Known[Any]]:
        """Many streams as they are now, in few statements."""
        known: dict[str, Known[Any]] = {}
        for some in _portions(streams):
            by_name = {stream.name: stream for stream in some}
            known.update(dict.fromkeys(by_name, ABSENT))
            for name, states in groupby(self._found_of(by_name), key=lambda found: found[0]):
                known[name] = self._folded(by_name[name], ABSENT, [(version, state) for _, version, state in states])
                self._states.put(name, known[name])
        return known

    def _folded(self, stream: Stream[S], base: Known[S], found: list[tuple[int, bytes]]) -> Known[S]:
        if not found:
            return base
        state = fold(stream.of, self._happened(state for _, state in found), base.state)
        return Known(state, found[-1][0], base.weight + sum(len(state) for _, state in found))

    def _happened(self, states: Iterable[bytes]) -> Iterator[tuple[Event, PersonId]]:
        for state in states:
            event, said = self._read(state)
            yield event, PersonId(said["person"])


class BriefFolder(Folder):
    """Reads few entries at once: `TakesLong` where there are more."""

    def _found(self, stream: str, after: int, upto: int | None) -> list[tuple[int, bytes]]:
        return _few(self._reads.states(stream, after, upto, limit=MOST_BRIEFLY + 1))

    def _found_of(self, streams: Iterable[str]) -> list[tuple[str, int, bytes]]:
        return _few(self._reads.states_of(streams, limit=MOST_BRIEFLY + 1))


def _few(found: list[F]) -> list[F]:
    if len(found) > MOST_BRIEFLY:
        raise TakesLong
    return found


class NotedFacts:
    """The facts of one decision, as `domain.aggregate.Facts` has them."""

    def __init__(
        self, shelf: Shelf, folder: Folder, reads: Reads, seals: Seals, met: Mapping[str, Participant] | None = None
    ) -> None:
        self._shelf = shelf
        self._folder = folder
        self._reads = reads
        self._seals = seals
        self._met = met or {}
        """Whom the batch met before this decision, by mark."""
        self._tokens: dict[str, str] = {}
        self._expected: dict[str, str | None] = {}
        """The tokens of those who were expected, by mark; nothing for those who are new."""
        self._awards_known: dict[str, Mapping[str, str] | int] = {}
        self._concealed: dict[str, str] = {}
        self._after: dict[tuple[str, PersonId], tuple[tuple[Event, ...], Any]] = {}
        """By stream and person, events that the decision adds and what the stream is after them."""
        self.known: dict[str, Known[Any]] = {}
        """Every stream that was read."""
        self.strangers: dict[str, Participant] = {}
        """Participants who were taken for new, by mark."""
        self.made: list[Text] = []
        self.erasure = Erasure()
        """What goes from the vault with the decision."""

    def __getitem__(self, stream: Stream[S], /) -> S:
        state = self.get(stream)
        if state is None:
            raise stream.of.missing(name=stream.last)
        return state

    def get(self, stream: Stream[S], /) -> S | None:
        """The state of a stream, or nothing if it has no events."""
        return self.look(stream).state

    def look(self, stream: Stream[S], /) -> Known[S]:
        """The state of a stream and its version."""
        found = self.known.get(stream.name)
        if found is None:
            found = self._shelf.known(stream) or self._folder.fold(stream, self._shelf.base(stream))
            self.known[stream.name] = found
        return cast("Known[S]", found)

    def after(self, stream: Stream[S], events: Sequence[Event], by: PersonId, /) -> S:
        """The state of a stream after one or more events that the decision adds to it; what was folded is not folded again."""
        folded, state = self._after.get((stream.name, by)) or ((), self.get(stream))
        if len(folded) > len(events) or not all(map(is_, folded, events)):
            folded, state = (), self.get(stream)
        state = fold(stream.of, ((event, by) for event in events[len(folded) :]), state)
        self._after[stream.name, by] = tuple(events), state
        return cast("S", state)

    @property
    def ahead(self) -> Mapping[str, Known[Any]]:
        """Those of the streams that were read as they will be when what waits is written."""
        return self._shelf.ahead

    def prefetch(self, streams: Iterable[Stream[Any]], /) -> None:
        """Read streams that will be asked for, at once."""
        unknown = []
        unread = [stream for stream in streams if stream.name not in self.known]
        if not unread:
            return
        self._shelf.expect(stream.name for stream in unread)
        for stream in unread:
            found = self._shelf.known(stream)
            if found is None:
                unknown.append(stream)
            else:
                self.known[stream.name] = found
        self.known.update(self._folder.fold_all(unknown))

    def expect_participants(self, award: str, references: Iterable[str], /) -> None:
        """Look participants of an award up at once."""
        marks = {self._seals.mark(award, reference) for reference in set(references)}
        if len(marks) > 1:
            self._expected.update(dict.fromkeys(marks))
            self._expected.update(self._reads.recognised(marks))

    def pseudonym(self, award: str, reference: str, /) -> Token:
        """The token of a participant of an award, known or new."""
        mark = self._seals.mark(award, reference)
        token = self._tokens.get(mark) or self._recognised(award, mark)
        if token is None:
            stranger = self._seals.meet(award, reference, mark)
            self.strangers[mark] = stranger
            token = stranger.token
        self._tokens[mark] = token
        return Token(token)

    def conceal(self, text: str, award: str | None = None, /) -> Commitment:
        """Put a text into the vault, together with the decision."""
        kept = self._seals.conceal(text, award)
        self.made.append(kept)
        self._concealed[kept.commitment] = text
        return Commitment(kept.commitment)

    def reveal(self, commitment: Commitment, /) -> str | None:
        """The text behind a commitment, or nothing if it was erased."""
        if commitment in self._concealed:
            return self._concealed[commitment]
        self._shelf.settle()
        for kept in self._reads.texts([commitment]):
            return self._seals.reveal(kept)
        return None

    def events(self, stream: Stream[Any], /) -> Iterable[Event]:
        """What happened to a stream, in order."""
        self._shelf.settle()
        self.look(stream)
        return self._folder.events(stream)

    def recognised(self, award: str, reference: str, /) -> Token | None:
        """The token of a participant of an award, if the reference is recognised."""
        self._shelf.settle()
        token = self._recognised(award, self._seals.mark(award, reference))
        return None if token is None else Token(token)

    def met(self, award: str, tokens: Iterable[Token], /) -> frozenset[Token]:
        """Those of the tokens that are an award's participants."""
        self._shelf.settle()
        wanted = list(tokens)
        here = (each.token for each in self._met.values() if each.award == award and each.token in wanted)
        return frozenset(map(Token, (*here, *(each.token for each in self._reads.participants(award, wanted)))))

    def kept(self, texts: Iterable[Commitment], /) -> Mapping[Commitment, str | None]:
        """The award of each of these texts, or that it is of none, where the vault knows it."""
        self._shelf.settle()
        return {Commitment(each.commitment): each.award for each in self._reads.texts(texts)}

    def erase(self, texts: Iterable[Commitment], /) -> None:
        """Let texts go from the vault, together with the decision."""
        self.erasure.texts += texts

    def erase_participants(self, award: str, tokens: Iterable[Token], /) -> None:
        """Let an award's participants' references go from the vault, together with the decision; they stay recognised."""
        self.erasure.participants += ((award, token) for token in tokens)

    def erase_marks(self, award: str, /) -> None:
        """Let the marks of an award's erased participants go, together with the decision: they are recognised no more."""
        self.erasure.marks.append(award)

    def _recognised(self, award: str, mark: str) -> str | None:
        if mark in self._met:
            return self._met[mark].token
        if mark in self._expected:
            return self._expected[mark]
        known = self._awards_known.get(award, 0)
        if isinstance(known, int):
            if known < _SINGLY:
                self._awards_known[award] = known + 1
                return self._reads.recognised([mark]).get(mark)
            # A claim names thousands: one statement for all of the award is quicker than one for each.
            known = self._awards_known[award] = self._reads.recognised_in(award)
        return known.get(mark)


def _portions(streams: Iterable[Stream[Any]]) -> Iterator[list[Stream[Any]]]:
    rest = iter({stream.name: stream for stream in streams}.values())
    while some := list(islice(rest, _AT_ONCE)):
        yield some
