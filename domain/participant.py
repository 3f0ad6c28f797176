"""What stands accepted and assessed for one participant of an award, known only by a token (L5, M5)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Literal

from domain.aggregate import Aggregate, PersonId, Stream, Token
from domain.calendar import Day
from domain.event import Event
from domain.money import NONE, NOTHING, Money, Quantity
from domain.record import Record
from domain.reference import canonical


class Achievement(Record):
    """A quantity of an outcome that stands accepted for the participant by one line of a claim."""

    line: int
    outcome: str
    achieved_on: Day
    quantity: Quantity


class EarlierAchievement(Record):
    """A quantity of an outcome that was accepted for the participant where the award ran before, and what it was assessed at."""

    outcome: str
    achieved_on: Day
    quantity: Quantity
    assessed: Money


class ParticipantRecognised(Event):
    """A verification accepted outcomes of the participant."""

    type: Literal["participant.recognised"] = "participant.recognised"
    claim: str
    achievements: tuple[Achievement, ...]


class ParticipantRecognisedBefore(Event):
    """Outcomes of the participant stood accepted where the award ran before; they count here, and no claim has them."""

    type: Literal["participant.recognised-before"] = "participant.recognised-before"
    achievements: tuple[EarlierAchievement, ...]


class ParticipantReleased(Event):
    """What the verification had accepted no longer counts: it was declined by the certifier, or clawed back."""

    type: Literal["participant.released"] = "participant.released"
    claim: str
    achievements: tuple[Achievement, ...]


class ParticipantAssessed(Event):
    """An assessment assessed an amount for the participant; it counts against `participant_amount`."""

    type: Literal["participant.assessed"] = "participant.assessed"
    assessment: int
    amount: Money


class Ground(StrEnum):
    """Why something is erased (L5)."""

    DATA_SUBJECT_REQUEST = "data-subject-request"
    RETENTION_ENDED = "retention-ended"
    ENTERED_IN_ERROR = "entered-in-error"


class ParticipantErased(Event):
    """The vault no longer has the participant's reference; what was counted stands, and counts (L5)."""

    type: Literal["participant.erased"] = "participant.erased"
    reason: Ground


ParticipantEvent = (
    ParticipantRecognised | ParticipantRecognisedBefore | ParticipantReleased | ParticipantAssessed | ParticipantErased
)


@dataclass(frozen=True, slots=True)
class Participant(Aggregate):
    """What stands accepted, by outcome and day of achievement and by claim and line, and the amount assessed."""

    quantities: Mapping[str, Mapping[date, Quantity]] = field(default_factory=dict)
    achievements: Mapping[tuple[str, int], Achievement] = field(default_factory=dict)
    assessed: Money = NOTHING
    erased: bool = False

    def accepted(self, outcome: str, *, by: date | None = None) -> Quantity:
        """How much of an outcome stands accepted; with `by`, as achieved on that day or before."""
        days = self.quantities.get(canonical(outcome), {})
        return sum((quantity for day, quantity in days.items() if by is None or day <= by), NONE)

    def lacking(self, wanted: Iterable[str], *, by: date) -> Iterator[str]:
        """Those of the outcomes of which nothing stands accepted, as achieved on that day or before."""
        return (each for each in wanted if not self.accepted(each, by=by))

    def recognising(self, achievements: Iterable[Achievement | EarlierAchievement]) -> "Participant":
        """The participant with further achievements, or fewer, where their quantities are negative."""
        quantities = {code: dict(days) for code, days in self.quantities.items()}
        for each in achievements:
            days = quantities.setdefault(canonical(each.outcome), {})
            days[each.achieved_on] = days.get(each.achieved_on, NONE) + each.quantity
        return replace(self, quantities=quantities)

    @classmethod
    def evolve(cls, state: "Participant | None", event: ParticipantEvent, by: PersonId) -> "Participant":  # noqa: ARG003 (whoever it was)
        """The participant after an event."""
        state = state or cls()
        match event:
            case ParticipantRecognised(achievements=achievements):
                return _counted(state, event.claim, achievements)
            case ParticipantRecognisedBefore(achievements=earlier):
                amount = sum((each.assessed for each in earlier), state.assessed)
                return replace(state.recognising(earlier), assessed=amount)
            case ParticipantReleased(achievements=achievements):
                less = [each.model_copy(update={"quantity": -each.quantity}) for each in achievements]
                return _counted(state, event.claim, less)
            case ParticipantAssessed(amount=amount):
                return replace(state, assessed=state.assessed + amount)
            case ParticipantErased():
                return replace(state, erased=True)


def _counted(participant: Participant, claim: str, achievements: Sequence[Achievement]) -> Participant:
    stand = dict(participant.achievements)
    for each in achievements:
        name = canonical(claim), each.line
        before = stand.pop(name, None)
        quantity = each.quantity + (before.quantity if before else NONE)
        if quantity:
            stand[name] = each.model_copy(update={"quantity": quantity}) if before else each
    return replace(participant.recognising(achievements), achievements=stand)


def participant_stream(award: str, token: Token) -> Stream[Participant]:
    """The stream of a participant of an award."""
    return Stream(f"award/{canonical(award)}/participant/{token}", Participant)
