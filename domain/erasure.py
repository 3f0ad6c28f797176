"""What has to go goes from the vault, and the log says that it went (L5).

A participant's reference is named as the provider named it, or by the token that the log knows; a text by its commitment, which
stands in the entry that says it, or by the claim all of whose texts are to go. Lists of payments and bank details belong to no
award, and are records of payment: they are not erased here. What was counted for a participant stands and goes on counting, and
the reference, named again, is recognised, until the award is completed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Annotated, Any, Final, Literal, NewType, get_args

from pydantic import BaseModel, ConfigDict, Field

from domain.aggregate import Aggregate, Commitment, Decision, Facts, PersonId, Stream, Token
from domain.award import Status, award_stream
from domain.claim import claim_stream
from domain.event import Event
from domain.participant import Ground, ParticipantErased, participant_stream
from domain.record import Record
from domain.reference import Reference, canonical
from domain.refusal import Absent, Fault, Invalid, Refused

MOST_NAMED: Final = 500
"""How many of a kind one request may name."""
_A_CHUNK: Final = 400
"""Names that one entry holds: an entry has at most 60 KiB."""

ErasedText = NewType("ErasedText", str)
"""The commitment of a text that is gone."""
TextName = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", examples=["5c" * 32])]
TokenName = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$", examples=["a7" * 16])]


class Erasing(Record):
    """What is to go, and why. Erasing cannot be undone: try it as a dry run first."""

    model_config = ConfigDict(hide_input_in_errors=True)

    reason: Ground
    participants: tuple[Reference, ...] = Field(
        default=(), max_length=MOST_NAMED, repr=False, description="References, as the provider gave them", examples=[["YP-0042"]]
    )
    tokens: tuple[TokenName, ...] = Field(
        default=(), max_length=MOST_NAMED, description="Participants, by the tokens that claims' lines show"
    )
    texts: tuple[TextName, ...] = Field(
        default=(), max_length=MOST_NAMED, description="Texts, by the commitments that the award's list of texts shows"
    )
    claims: tuple[Reference, ...] = Field(default=(), max_length=50, description="Claims of which every text is to go")


# Events and refusals --------------------------------------------------------------------------------------------------


class ErasureRecorded(Event):
    """The vault let these participants' references and these texts go. Many names take several entries of one number."""

    type: Literal["erasure.recorded"] = "erasure.recorded"
    erasure: int
    reason: Ground
    participants: tuple[Token, ...] = ()
    texts: tuple[ErasedText, ...] = ()


ErasureEvent = ErasureRecorded


class NoSuchErasure(Absent):
    """Nothing was erased under this award by this number."""


class NothingToErase(Invalid):
    """Name what is to go: participants, tokens, texts or claims."""


class CannotBeErased(Invalid):
    """Some of this is not there, or not to be erased; nothing of it was."""


class ErasedAlready(Refused):
    """Some of this has been erased before; nothing more was."""


# The erasures of an award ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Erased:
    """One erasure: who, why and what."""

    number: int
    reason: Ground
    by: PersonId
    participants: tuple[Token, ...]
    texts: tuple[ErasedText, ...]


@dataclass(frozen=True, slots=True)
class Erasures(Aggregate):
    """All that was erased under an award, in order."""

    missing = NoSuchErasure

    recorded: tuple[Erased, ...] = ()
    texts: frozenset[str] = field(default=frozenset())

    def numbered(self, number: int) -> Erased:
        """An erasure by its number."""
        if not 1 <= number <= len(self.recorded):
            raise NoSuchErasure(erasure=number)
        return self.recorded[number - 1]

    @classmethod
    def evolve(cls, state: "Erasures | None", event: ErasureEvent, by: PersonId) -> "Erasures":
        """The erasures after an event."""
        before = state or cls()
        if event.erasure <= len(before.recorded):
            *others, begun = before.recorded
            participants, texts = (*begun.participants, *event.participants), (*begun.texts, *event.texts)
            recorded = (*others, replace(begun, participants=participants, texts=texts))
        else:
            erased = Erased(event.erasure, event.reason, by, event.participants, event.texts)
            recorded = (*before.recorded, erased)
        return cls(recorded, before.texts | set(event.texts))


def erasures_stream(award: str) -> Stream[Erasures]:
    """The stream of an award's erasures."""
    return Stream(f"award/{canonical(award)}/erasures", Erasures)


# The command ----------------------------------------------------------------------------------------------------------


def erase(facts: Facts, award: str, erasing: Erasing) -> Decision:
    """Let participants' references and texts go from the vault, all that is named or nothing."""
    under = facts[award_stream(award)]
    stream = erasures_stream(award)
    before = facts.get(stream) or Erasures()
    if not (erasing.participants or erasing.tokens or erasing.texts or erasing.claims):
        raise NothingToErase
    tokens = _participants(facts, under.reference, erasing)
    texts = _texts(facts, under.reference, erasing, before)
    facts.erase(texts)
    facts.erase_participants(under.reference, tokens)
    if under.status is Status.COMPLETED:
        facts.erase_marks(under.reference)
    erased = ParticipantErased(reason=erasing.reason)
    recorded = tuple(_recorded(len(before.recorded) + 1, erasing.reason, tokens, [ErasedText(each) for each in texts]))
    return {stream: recorded, **{participant_stream(award, token): (erased,) for token in tokens}}


def _participants(facts: Facts, award: str, erasing: Erasing) -> list[Token]:
    named = {f"participants.{at}": facts.recognised(award, each) for at, each in enumerate(erasing.participants)}
    given = {f"tokens.{at}": Token(each) for at, each in enumerate(erasing.tokens)}
    streams = {token: participant_stream(award, token) for token in (*named.values(), *given.values()) if token}
    facts.prefetch(streams.values())
    gone = {token for token, stream in streams.items() if (found := facts.get(stream)) and found.erased}
    known = facts.met(award, given.values()) | gone
    unknown = [where for where, token in named.items() if token is None]
    unknown += [where for where, token in given.items() if token not in known]
    if unknown:
        raise CannotBeErased(Fault(where, "is known to no participant of this award") for where in unknown)
    if gone:
        raise ErasedAlready(Fault(where, "has been erased") for where, token in (named | given).items() if token in gone)
    return list(streams)


def _texts(facts: Facts, award: str, erasing: Erasing, before: Erasures) -> list[Commitment]:
    named = {Commitment(each): f"texts.{at}" for at, each in enumerate(erasing.texts)}
    if unfit := tuple(_unfit(facts.kept(named), named, canonical(award))):
        raise CannotBeErased(unfit)
    gone = [Fault(where, "has been erased") for text, where in named.items() if text in before.texts]
    wanted = dict.fromkeys(named)
    for at, claim in enumerate(erasing.claims):
        stream = claim_stream(award, claim)
        facts[stream]
        said = {text for event in facts.events(stream) for _, text in texts_of(event)}
        if not said - before.texts:
            gone.append(Fault(f"claims.{at}", "has no text that has not been erased"))
        wanted |= dict.fromkeys(sorted(said - before.texts))
    if gone:
        raise ErasedAlready(gone)
    return list(wanted)


def _unfit(kept: Mapping[Commitment, str | None], named: Mapping[Commitment, str], award: str) -> Iterator[Fault]:
    for text, where in named.items():
        if text in kept and kept[text] is None:
            yield Fault(
                where,
                "belongs to a payment run, bank details or a person, whose records stay, or to a webhook, with which it goes",
            )
        elif text not in kept or canonical(kept[text] or "") != award:
            yield Fault(where, "is no text of this award")


def _recorded(number: int, reason: Ground, tokens: list[Token], texts: list[ErasedText]) -> Iterator[ErasureRecorded]:
    for start in range(0, max(len(tokens), len(texts)), _A_CHUNK):
        end = start + _A_CHUNK
        yield ErasureRecorded(erasure=number, reason=reason, participants=tuple(tokens[start:end]), texts=tuple(texts[start:end]))


# Where texts stand ----------------------------------------------------------------------------------------------------


def texts_of(said: BaseModel, within: str = "") -> Iterator[tuple[str, Commitment]]:
    """The texts that an event commits to, each with where it stands in it, such as `lines.3.note`."""
    for name, is_text in _fields(type(said)):
        value = getattr(said, name)
        if value is None:
            continue
        where = f"{within}{name}"
        several = isinstance(value, tuple)
        for at, each in enumerate(value if several else (value,)):
            place = f"{where}.{getattr(each, 'line', at)}" if several else where
            if is_text:
                yield place, each
            elif isinstance(each, BaseModel):
                yield from texts_of(each, f"{place}.")


@cache
def _fields(of: type[BaseModel]) -> tuple[tuple[str, bool], ...]:
    """The fields of a model in which texts are committed to: by themselves, or by models within."""
    found = ((name, set(_leaves(field.annotation))) for name, field in of.model_fields.items())
    return tuple((name, Commitment in leaves) for name, leaves in found if Commitment in leaves or _has_texts(leaves))


def _has_texts(leaves: Iterable[Any]) -> bool:
    return any(isinstance(leaf, type) and issubclass(leaf, BaseModel) and _fields(leaf) for leaf in leaves)


def _leaves(annotation: Any) -> Iterator[Any]:
    arguments = get_args(annotation)
    if not arguments:
        yield annotation
    for each in arguments:
        yield from _leaves(each)
