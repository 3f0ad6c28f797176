"""How the rules see the world: streams of events, folded into states, read through facts.

A command is a function of facts that returns a decision, or raises a refusal. It does nothing else: no clock, no database, no
randomness. Whoever keeps the log gives the facts and records the decision.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, NewType, Protocol, Self, TypeVar

from domain.event import Event
from domain.refusal import Absent, Refused

PersonId = NewType("PersonId", str)
"""Who acts, as an opaque name; never a person's own name (L5)."""
Token = NewType("Token", str)
"""What the log knows of a participant: a random name whose meaning is in the vault (L5)."""
Commitment = NewType("Commitment", str)
"""SHA-256, in hexadecimal, of a salt and a text that is in the vault (L5)."""


@dataclass(frozen=True, slots=True)
class Actor:
    """The person who asks, and the party that the person acts for."""

    person: PersonId
    party: str


class Aggregate:
    """A state that is made of one stream's events. Subclasses are frozen dataclasses."""

    __slots__ = ()

    missing: ClassVar[type[Refused]] = Absent
    """The refusal that says that there is none of this name."""

    @classmethod
    def evolve(cls, state: Self | None, event: Any, by: PersonId) -> Self:
        """The state after an event of a person. It checks nothing: the event already happened."""
        raise NotImplementedError


S = TypeVar("S", bound=Aggregate)


@dataclass(frozen=True, slots=True)
class Stream(Generic[S]):
    """The name under which the events of one aggregate stand, such as `award/INDIGO-POJ-0175/claim/2021-Q3`."""

    name: str
    of: type[S] = field(compare=False)

    def __hash__(self) -> int:
        """That of the name, without the tuple that dataclasses would make of it each time."""
        return hash(self.name)

    @property
    def award(self) -> str | None:
        """The award to whose history the stream belongs, if it belongs to one."""
        return award_of(self.name)

    @property
    def last(self) -> str:
        """What the stream is called within its kind."""
        return self.name.rsplit("/", 1)[-1]


def award_of(stream: str) -> str | None:
    """The award that a stream's name names first."""
    kind, _, rest = stream.partition("/")
    return rest.split("/", 1)[0] if kind == "award" and rest else None


Decision = Mapping[Stream[Any], Sequence[Event]]
"""The events that a command adds, by stream, in order; recorded together or not at all (L3)."""


class Facts(Protocol):
    """What a command may know. Everything that it reads is checked again when its decision is recorded."""

    def __getitem__(self, stream: Stream[S], /) -> S:
        """The state of a stream; its kind's `missing` refusal if it has no events."""

    def get(self, stream: Stream[S], /) -> S | None:
        """The state of a stream, or nothing if it has no events; that it has none is checked again too."""

    def after(self, stream: Stream[S], events: Sequence[Event], by: PersonId, /) -> S:
        """The state of a stream after one or more events that the decision adds to it as the deed of a person."""

    def prefetch(self, streams: Iterable[Stream[Any]], /) -> None:
        """Say which streams will be read, so that they are read at once."""

    def expect_participants(self, award: str, references: Iterable[str], /) -> None:
        """Say which participants of an award will be named, so that they are looked up at once."""

    def pseudonym(self, award: str, reference: str, /) -> Token:
        """The token of a participant of an award, known or new; references are the same without regard to case."""

    def conceal(self, text: str, award: str | None = None, /) -> Commitment:
        """Put a text into the vault, together with the decision, and get the commitment that may stand in the log."""

    def reveal(self, commitment: Commitment, /) -> str | None:
        """The text behind a commitment, or nothing if it was erased."""

    def events(self, stream: Stream[Any], /) -> Iterable[Event]:
        """What happened to a stream, in order: for what its state does not keep."""

    def recognised(self, award: str, reference: str, /) -> Token | None:
        """The token of a participant of an award, if the reference is known there."""

    def met(self, award: str, tokens: Iterable[Token], /) -> frozenset[Token]:
        """Those of the tokens that are participants whom the vault knows in an award."""

    def kept(self, texts: Iterable[Commitment], /) -> Mapping[Commitment, str | None]:
        """The award of each of these texts, or that it is of none; those that the vault never had are left out."""

    def erase(self, texts: Iterable[Commitment], /) -> None:
        """Let texts go from the vault, together with the decision, for good."""

    def erase_participants(self, award: str, tokens: Iterable[Token], /) -> None:
        """Let participants' references go from the vault, together with the decision; named again, they are recognised."""

    def erase_marks(self, award: str, /) -> None:
        """Let go also by what an award's erased participants are recognised, together with the decision."""


Command = Callable[[Facts], Decision]


def fold(of: type[S], happened: Iterable[tuple[Event, PersonId]], state: S | None = None) -> S | None:
    """The state after events, each with the person whose deed it was."""
    for event, by in happened:
        state = of.evolve(state, event, by)
    return state


def joined(first: Decision, then: Decision) -> Decision:
    """Both decisions as one, the first one's events before the other's in each stream."""
    return {stream: (*first.get(stream, ()), *then.get(stream, ())) for stream in (*first, *(s for s in then if s not in first))}
