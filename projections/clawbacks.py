"""Clawbacks: a row for each, with what became of it."""

from dataclasses import dataclass
from typing import ClassVar

from domain.aggregate import PersonId
from domain.claim import ReasonCode
from domain.clawback import ClawbackAgreed, ClawbackEvent, ClawbackRaised, ClawbackWithdrawn
from domain.money import Money
from domain.proposal import Status
from domain.reference import canonical
from projections.models import ListingOfAward
from projections.projection import Happened, Projection, Row, moved, names_of, traced


@dataclass(frozen=True, kw_only=True)
class ClawbackRow(Row):
    """What was accepted in error and is to be taken back. `award` is in capitals."""

    award: str
    clawback: str
    reason: ReasonCode
    lines: int
    """How many lines it names."""
    status: Status
    proposed_by: PersonId
    agreed_by: PersonId | None = None
    assessment: int | None = None
    reversed: Money | None = None


class ClawbacksProjection(Projection[ClawbackRow]):
    """Folds the entries of clawbacks' streams."""

    name: ClassVar[str] = "clawbacks"
    version: ClassVar[int] = 2
    row = ClawbackRow
    folds = names_of(ClawbackEvent)
    indexes = (("award", "first"),)

    def become(self, before: ClawbackRow | None, happened: Happened) -> ClawbackRow:
        """The clawback after an entry."""
        event: ClawbackEvent = happened.event
        if isinstance(event, ClawbackRaised):
            return ClawbackRow(
                **traced(happened),
                award=canonical(event.award),
                clawback=event.clawback,
                reason=event.reason,
                lines=len(event.lines),
                status=Status.PROPOSED,
                proposed_by=happened.person,
            )
        if before is None:
            raise LookupError(f"{event.type} before clawback.raised")
        match event:
            case ClawbackWithdrawn():
                return moved(before, happened, status=Status.WITHDRAWN)
            case ClawbackAgreed(assessment=number, reversed=amount):
                agreed = {"agreed_by": happened.person, "assessment": number, "reversed": amount}
                return moved(before, happened, status=Status.AGREED, **agreed)


class Clawbacks(ListingOfAward[ClawbackRow]):
    """What can be asked of clawbacks."""
