"""Payments: a row for each, with the stage at which it is."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar

from domain.aggregate import PersonId
from domain.money import NOTHING, Money
from domain.payment import (
    PaymentApproved,
    PaymentDrawnUp,
    PaymentEvent,
    PaymentFellDue,
    PaymentHeld,
    PaymentHoldLifted,
    PaymentNettedOff,
    PaymentReissued,
    PaymentReportConfirmed,
    PaymentReported,
    PaymentReportWithdrawn,
    PaymentReturned,
    PaymentSent,
    PaymentSettled,
    PaymentStep,
    PaymentStopped,
    PaymentTakenOffRun,
    ReturnReason,
    Stage,
)
from domain.reference import canonical
from projections.models import Listing
from projections.projection import Happened, Page, Projection, Row, moved, names_of, traced


@dataclass(frozen=True, kw_only=True)
class PaymentRow(Row):
    """What one payer owes its payee by one assessment. `award`, `claim` and `payer_key` are in capitals."""

    award: str
    assessment: int
    payer: str
    payer_key: str
    payee: str
    amount: Money
    """What is to be paid: what fell due, less what was netted off."""
    netted: Money = NOTHING
    years: dict[str, Money]
    claim: str | None
    pays: str
    """`through-runs` or `by-itself`."""
    stage: Stage
    fell_due_on: date
    due_on: date
    since: date
    """The day on which its last step took effect."""
    approved_by: PersonId | None = None
    run: str | None = None
    reported_by: PersonId | None = None
    reported_reference: str | None = None
    reported_value_date: date | None = None
    bank_reference: str | None = None
    """The reference of the bank, or of a payer that pays by itself, under which it was paid."""
    paid_on: date | None = None
    return_reason: ReturnReason | None = None


class PaymentsProjection(Projection[PaymentRow]):
    """Folds the entries of payments' streams."""

    name: ClassVar[str] = "payments"
    version: ClassVar[int] = 2
    row = PaymentRow
    folds = names_of(PaymentEvent)
    indexes = (("award", "first"), ("payer_key", "stage", "first"))

    def become(self, before: PaymentRow | None, happened: Happened) -> PaymentRow:
        """The payment after an entry."""
        event: PaymentEvent = happened.event
        if isinstance(event, PaymentFellDue):
            return _fallen_due(event, happened)
        if before is None:
            raise LookupError(f"{event.type} before payment.fell-due")
        match event:
            case PaymentReported(reference=reference, value_date=value_date):
                return moved(
                    before,
                    happened,
                    reported_by=happened.person,
                    reported_reference=reference,
                    reported_value_date=value_date,
                )
            case PaymentReportWithdrawn():
                return moved(before, happened, **_UNREPORTED)
            case PaymentNettedOff():
                return _netted_off(before, event, happened)
            case _:
                return moved(before, happened, stage=event.leads_to, since=event.on, **_step(event, happened))


_UNREPORTED: dict[str, Any] = {"reported_by": None, "reported_reference": None, "reported_value_date": None}


def _step(event: PaymentStep, happened: Happened) -> dict[str, Any]:  # noqa: PLR0911 (a case for every step)
    match event:
        case PaymentHeld() | PaymentHoldLifted() | PaymentSent():
            return {}
        case PaymentApproved():
            return {"approved_by": happened.person}
        case PaymentDrawnUp(run=run):
            return {"run": run}
        case PaymentTakenOffRun():
            return {"run": None}
        case PaymentStopped():
            return {"run": None, "approved_by": None}
        case PaymentSettled(bank_reference=reference, on=on):
            return {"bank_reference": reference, "paid_on": on}
        case PaymentReturned(reason=reason):
            return {"run": None, "approved_by": None, "bank_reference": None, "paid_on": None, "return_reason": reason}
        case PaymentReissued(due_on=due_on):
            return {"due_on": due_on, "return_reason": None}
        case PaymentReportConfirmed(reference=reference, on=on):
            return {**_UNREPORTED, "bank_reference": reference, "paid_on": on}


def _netted_off(before: PaymentRow, event: PaymentNettedOff, happened: Happened) -> PaymentRow:
    left = before.amount - event.amount
    return moved(
        before,
        happened,
        amount=left,
        netted=before.netted + event.amount,
        years={year: before.years[year] - event.years.get(year, NOTHING) for year in before.years} if left else {},
        stage=before.stage if left else Stage.NETTED_OFF,
        since=event.on,
    )


def _fallen_due(event: PaymentFellDue, happened: Happened) -> PaymentRow:
    return PaymentRow(
        **traced(happened),
        award=canonical(event.award),
        assessment=event.assessment,
        payer=event.payer,
        payer_key=canonical(event.payer),
        payee=event.payee,
        amount=event.amount,
        years=event.years,
        claim=event.claim and canonical(event.claim),
        pays=event.pays,
        stage=Stage.DUE,
        fell_due_on=event.on,
        due_on=event.due_on,
        since=event.on,
    )


class Payments(Listing[PaymentRow]):
    """What can be asked of payments."""

    changing = frozenset({"stage", "run"})

    def page(
        self,
        award: str | None = None,
        payer: str | None = None,
        stage: Stage | None = None,
        after: str | None = None,
        limit: int = 100,
        *,
        only: Collection[str] | None = None,
        run: str | None = None,
        as_of: int | None = None,
        effective_on: date | None = None,
    ) -> Page[PaymentRow]:
        """Payments in the order in which they fell due: of an award or of `only` some, of a payer, at a stage, in a run."""
        awards = None if only is None else {canonical(each) for each in only}
        if award is not None:
            awards = {canonical(award)} if awards is None else awards & {canonical(award)}
        where = {"award": awards, "payer_key": payer and canonical(payer), "stage": stage and str(stage), "run": run}
        return self._page(where, after, limit, as_of, effective_on)
