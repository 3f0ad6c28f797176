"""The frame in which tests of the rules are told: given what happened, when somebody asks, then this is what follows.

One stream: `given(Payment, (FELL_DUE, THE_VERIFIER)).when(lambda due: due.approve(BY, today=TODAY)).then(APPROVED)`.
Several streams: `MemoryFacts`, a ledger without a log, on which whole histories can be played.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Generic, TypeVar, cast

from domain.aggregate import Aggregate, Command, Commitment, Decision, Facts, PersonId, Stream, Token, fold
from domain.event import Event
from domain.reference import canonical
from domain.refusal import Refused

S = TypeVar("S", bound=Aggregate)
Happened = tuple[Event, PersonId]


def commitment(text: str) -> Commitment:
    """What `MemoryFacts.conceal` makes of a text: always the same, so that tests can name it."""
    return Commitment(sha256(text.encode()).hexdigest())


@dataclass
class MemoryFacts:
    """Facts in memory. `streams` has the events of each stream in order, each with the person whose deed it was."""

    streams: dict[str, list[Happened]] = field(default_factory=dict)
    pseudonyms: dict[tuple[str, str], Token] = field(default_factory=dict)
    texts: dict[Commitment, str] = field(default_factory=dict)
    awards: dict[Commitment, str | None] = field(default_factory=dict)
    """The award of each text that there ever was."""
    erased: set[tuple[str, Token]] = field(default_factory=set)
    """Awards and tokens of participants whose references are gone."""
    read: set[str] = field(default_factory=set)
    """The names of the streams that were read."""
    _states: dict[str, tuple[int, Aggregate]] = field(default_factory=dict)

    def __getitem__(self, stream: Stream[S], /) -> S:
        state = self.get(stream)
        if state is None:
            raise stream.of.missing(named=stream.name)
        return state

    def get(self, stream: Stream[S], /) -> S | None:
        self.read.add(stream.name)
        happened = self.streams.get(stream.name, [])
        seen, state = self._states.get(stream.name, (0, None))
        known = state if isinstance(state, stream.of) else None
        folded = fold(stream.of, happened[seen if known else 0 :], known)
        if folded is not None:
            self._states[stream.name] = len(happened), folded
        return folded

    def prefetch(self, streams: Iterable[Stream[Any]], /) -> None:
        self.read.update(stream.name for stream in streams)

    def after(self, stream: Stream[S], events: Sequence[Event], by: PersonId, /) -> S:
        return cast("S", fold(stream.of, ((event, by) for event in events), self.get(stream)))

    def expect_participants(self, award: str, references: Iterable[str], /) -> None:
        """They are all at hand."""

    def pseudonym(self, award: str, reference: str, /) -> Token:
        name = canonical(award), canonical(reference)
        return self.pseudonyms.setdefault(name, Token(f"participant-{len(self.pseudonyms) + 1}"))

    def conceal(self, text: str, award: str | None = None, /) -> Commitment:
        self.texts[commitment(text)] = text
        self.awards[commitment(text)] = award
        return commitment(text)

    def reveal(self, commitment: Commitment, /) -> str | None:
        return self.texts.get(commitment)

    def events(self, stream: Stream[Any], /) -> Iterable[Event]:
        self.read.add(stream.name)
        return self.happened(stream.name)

    def recognised(self, award: str, reference: str, /) -> Token | None:
        return self.pseudonyms.get((canonical(award), canonical(reference)))

    def met(self, award: str, tokens: Iterable[Token], /) -> frozenset[Token]:
        known = {token for (of, _), token in self.pseudonyms.items() if of == canonical(award)}
        return frozenset(known.intersection(tokens))

    def kept(self, texts: Iterable[Commitment], /) -> Mapping[Commitment, str | None]:
        return {each: self.awards.get(each) for each in texts if each in self.awards}

    def erase(self, texts: Iterable[Commitment], /) -> None:
        for each in texts:
            self.texts.pop(each, None)

    def erase_participants(self, award: str, tokens: Iterable[Token], /) -> None:
        self.erased.update((canonical(award), token) for token in tokens)

    def erase_marks(self, award: str, /) -> None:
        erased = {token for of, token in self.erased if of == canonical(award)}
        gone = [name for name, token in self.pseudonyms.items() if name[0] == canonical(award) and token in erased]
        for name in gone:
            del self.pseudonyms[name]

    def record(self, decision: Decision, by: PersonId) -> Decision:
        """Add what was decided to the streams, as the deed of a person, and give it back; its ends can be stored."""
        for stream, events in decision.items():
            for event in (*events[:1], *events[-1:]):
                assert type(event).model_validate_json(event.model_dump_json()) == event
            self.streams.setdefault(stream.name, []).extend((event, by) for event in events)
        return decision

    def play(self, command: Command, by: PersonId) -> Decision:
        """Decide a command and record the decision."""
        return self.record(command(self), by)

    def happened(self, name: str) -> list[Event]:
        """The events of a stream, in order."""
        return [event for event, _ in self.streams.get(name, [])]


_IS_FACTS: type[Facts] = MemoryFacts
"""Says to the type checker that memory serves as facts."""


@dataclass(frozen=True)
class When:
    """What came of a command: events or a refusal."""

    events: tuple[Event, ...] = ()
    refused: Refused | None = None

    def then(self, *expected: Event) -> None:
        """Exactly these events follow, and each survives being stored."""
        if self.refused:
            raise self.refused
        assert self.events == expected
        for event in self.events:
            assert type(event).model_validate_json(event.model_dump_json()) == event

    def then_refused(self, refusal: type[Refused]) -> Refused:
        """The command is refused for exactly this reason, which is given back."""
        assert self.refused is not None, f"allowed: {self.events}"
        assert type(self.refused) is refusal, f"refused as {self.refused!r}"
        return self.refused


@dataclass(frozen=True)
class Given(Generic[S]):
    """A state, made of what happened."""

    state: S

    def when(self, command: Callable[[S], Event | Sequence[Event]]) -> When:
        """Somebody asks for a command."""
        try:
            answer = command(self.state)
        except Refused as refused:
            return When(refused=refused)
        return When((answer,) if isinstance(answer, Event) else tuple(answer))


def given(of: type[S], *happened: Happened) -> Given[S]:
    """This happened before, each event with the person whose deed it was."""
    state = fold(of, happened)
    assert state is not None, "nothing happened"
    return Given(state)
