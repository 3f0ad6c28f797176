"""Reconsiderations: a row for each, with what became of it."""

from dataclasses import dataclass
from typing import ClassVar

from domain.aggregate import PersonId
from domain.money import Money
from domain.proposal import Status
from domain.reconsideration import (
    ReconsiderationAgreed,
    ReconsiderationEvent,
    ReconsiderationProposed,
    ReconsiderationWithdrawn,
)
from domain.reference import canonical
from projections.models import ListingOfAward
from projections.projection import Happened, Projection, Row, moved, names_of, traced


@dataclass(frozen=True, kw_only=True)
class ReconsiderationRow(Row):
    """Curtailed lines that are to be assessed anew. `award` is in capitals."""

    award: str
    reconsideration: str
    lines: int
    """How many lines it names."""
    status: Status
    proposed_by: PersonId
    agreed_by: PersonId | None = None
    assessment: int | None = None
    gained: Money | None = None


class ReconsiderationsProjection(Projection[ReconsiderationRow]):
    """Folds the entries of reconsiderations' streams."""

    name: ClassVar[str] = "reconsiderations"
    version: ClassVar[int] = 1
    row = ReconsiderationRow
    folds = names_of(ReconsiderationEvent)
    indexes = (("award", "first"),)

    def become(self, before: ReconsiderationRow | None, happened: Happened) -> ReconsiderationRow:
        """The reconsideration after an entry."""
        event: ReconsiderationEvent = happened.event
        if isinstance(event, ReconsiderationProposed):
            return ReconsiderationRow(
                **traced(happened),
                award=canonical(event.award),
                reconsideration=event.reconsideration,
                lines=len(event.lines),
                status=Status.PROPOSED,
                proposed_by=happened.person,
            )
        if before is None:
            raise LookupError(f"{event.type} before reconsideration.proposed")
        match event:
            case ReconsiderationWithdrawn():
                return moved(before, happened, status=Status.WITHDRAWN)
            case ReconsiderationAgreed(assessment=number, gained=amount):
                agreed = {"agreed_by": happened.person, "assessment": number, "gained": amount}
                return moved(before, happened, status=Status.AGREED, **agreed)


class Reconsiderations(ListingOfAward[ReconsiderationRow]):
    """What can be asked of reconsiderations."""
