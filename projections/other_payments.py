"""Other payments: a row for each, with what became of it."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from domain.aggregate import PersonId
from domain.money import Money
from domain.other_payment import (
    OtherPaymentAgreed,
    OtherPaymentEvent,
    OtherPaymentProposed,
    OtherPaymentWithdrawn,
    PaymentType,
)
from domain.proposal import Status
from domain.reference import canonical
from projections.models import ListingOfAward
from projections.projection import Happened, Projection, Row, moved, names_of, traced


@dataclass(frozen=True, kw_only=True)
class OtherPaymentRow(Row):
    """A sum that is not for outcomes. `award` is in capitals."""

    award: str
    other_payment: str
    payment_type: PaymentType
    amount: Money
    dated: date
    status: Status
    proposed_by: PersonId
    agreed_by: PersonId | None = None
    assessment: int | None = None


class OtherPaymentsProjection(Projection[OtherPaymentRow]):
    """Folds the entries of other payments' streams."""

    name: ClassVar[str] = "other_payments"
    version: ClassVar[int] = 1
    row = OtherPaymentRow
    folds = names_of(OtherPaymentEvent)
    indexes = (("award", "first"),)

    def become(self, before: OtherPaymentRow | None, happened: Happened) -> OtherPaymentRow:
        """The other payment after an entry."""
        event: OtherPaymentEvent = happened.event
        if isinstance(event, OtherPaymentProposed):
            return OtherPaymentRow(
                **traced(happened),
                award=canonical(event.award),
                other_payment=event.other_payment,
                payment_type=event.payment_type,
                amount=event.amount,
                dated=event.dated,
                status=Status.PROPOSED,
                proposed_by=happened.person,
            )
        if before is None:
            raise LookupError(f"{event.type} before other-payment.proposed")
        match event:
            case OtherPaymentWithdrawn():
                return moved(before, happened, status=Status.WITHDRAWN)
            case OtherPaymentAgreed(assessment=number):
                return moved(before, happened, status=Status.AGREED, agreed_by=happened.person, assessment=number)


class OtherPayments(ListingOfAward[OtherPaymentRow]):
    """What can be asked of other payments."""
