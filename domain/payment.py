"""A payment: what one payer owes its payee by one assessment, from falling due until the bank has settled it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from typing import ClassVar, Literal

from domain.aggregate import Actor, Aggregate, Commitment, Decision, Facts, PersonId, Stream
from domain.award import award_stream
from domain.bank_details import expect_agreed
from domain.calendar import Day, FinancialYear
from domain.event import Event
from domain.money import NOTHING, Money, total
from domain.reference import OrganisationId, Reference, canonical
from domain.refusal import Absent, FourEyes, Invalid, Refused
from domain.settlement import BankReference

# Events ---------------------------------------------------------------------------------------------------------------


class Stage(StrEnum):
    """Where a payment is on its way to the payee."""

    DUE = "due"
    HELD = "held"
    APPROVED = "approved"
    IN_RUN = "in-run"
    SENT = "sent"
    PAID = "paid"
    RETURNED = "returned"
    NETTED_OFF = "netted-off"
    """Nothing is left to pay: receivables took all of it."""


class ReturnReason(StrEnum):
    """Why the money came back; a closed list."""

    ACCOUNT_CLOSED = "account-closed"
    ACCOUNT_DETAILS_WRONG = "account-details-wrong"
    REFUSED_BY_PAYEE = "refused-by-payee"
    OTHER = "other"


class PaymentFellDue(Event):
    """An assessment makes a payer owe its payee an amount; the claim's own events post it as due, line by line."""

    type: Literal["payment.fell-due"] = "payment.fell-due"
    award: Reference
    assessment: int
    payer: OrganisationId
    payee: OrganisationId
    amount: Money
    years: dict[FinancialYear, Money]
    due_on: Day
    on: Day
    claim: Reference | None = None
    """The claim that it is for; nothing for adjustments and other payments, which may be about several or none."""
    claimed_by: PersonId
    verified_by: tuple[PersonId, ...]
    pays: Literal["through-runs", "by-itself"]

    def takes_effect(self) -> date:
        """On the day of its assessment."""
        return self.on


class PaymentMoved(Event):
    """What every step of a payment says: whose money moves, how much for each year of achievement, and in effect from when."""

    leads_to: ClassVar[Stage]
    """Where the payment is after this step."""

    payer: OrganisationId
    years: dict[FinancialYear, Money]
    on: Day

    @property
    def amount(self) -> Money:
        """What moves: the whole payment."""
        return total(self.years.values())

    def takes_effect(self) -> date:
        """On the day on which the money is at its next stage: a value date, where there is one."""
        return self.on


class PaymentHeld(PaymentMoved):
    """Somebody stops the payment for a reason."""

    type: Literal["payment.held"] = "payment.held"
    leads_to: ClassVar[Stage] = Stage.HELD
    reason: Commitment


class PaymentHoldLifted(PaymentMoved):
    """The reason for the hold is gone; the payment is due again."""

    type: Literal["payment.hold-lifted"] = "payment.hold-lifted"
    leads_to: ClassVar[Stage] = Stage.DUE


class PaymentApproved(PaymentMoved):
    """Somebody who neither claimed nor verified lets the payment go forward."""

    type: Literal["payment.approved"] = "payment.approved"
    leads_to: ClassVar[Stage] = Stage.APPROVED
    bank_details: int | None = None
    """The number of the payee's bank details for which it was approved."""


class PaymentDrawnUp(PaymentMoved):
    """The payment is in a run that waits for its release."""

    type: Literal["payment.drawn-up"] = "payment.drawn-up"
    leads_to: ClassVar[Stage] = Stage.IN_RUN
    run: Reference


class PaymentTakenOffRun(PaymentMoved):
    """The run was cancelled; the payment is approved, as before."""

    type: Literal["payment.taken-off-run"] = "payment.taken-off-run"
    leads_to: ClassVar[Stage] = Stage.APPROVED
    run: Reference


class PaymentStopped(PaymentMoved):
    """The payee's bank details are no longer those for which the payment was approved; it is due, and needs a new approval."""

    type: Literal["payment.stopped"] = "payment.stopped"
    leads_to: ClassVar[Stage] = Stage.DUE
    was: Literal[Stage.APPROVED, Stage.IN_RUN]
    run: Reference | None = None


class PaymentSent(PaymentMoved):
    """The run was released to the bank."""

    type: Literal["payment.sent"] = "payment.sent"
    leads_to: ClassVar[Stage] = Stage.SENT
    run: Reference


class PaymentSettled(PaymentMoved):
    """The bank settled the payment; `on` is the bank's value date."""

    type: Literal["payment.settled"] = "payment.settled"
    leads_to: ClassVar[Stage] = Stage.PAID
    run: Reference
    bank_reference: BankReference

    @property
    def value_date(self) -> date:
        """The day on which the money moved."""
        return self.on


class PaymentReturned(PaymentMoved):
    """The money came back, or never arrived; `on` is the day that the bank states."""

    type: Literal["payment.returned"] = "payment.returned"
    leads_to: ClassVar[Stage] = Stage.RETURNED
    was: Literal[Stage.SENT, Stage.PAID]
    reason: ReturnReason
    note: Commitment | None = None


class PaymentReissued(PaymentMoved):
    """A returned payment is due again, and needs a new approval."""

    type: Literal["payment.reissued"] = "payment.reissued"
    leads_to: ClassVar[Stage] = Stage.DUE
    due_on: Day


class PaymentNettedOff(Event):
    """A receivable from the same payee is taken off what is to be paid, in whole or in part (M8)."""

    type: Literal["payment.netted-off"] = "payment.netted-off"
    payer: OrganisationId
    years: dict[FinancialYear, Money]
    on: Day
    was: Stage
    receivable: int
    """The assessment that the receivable comes from."""

    @property
    def amount(self) -> Money:
        """What is taken off."""
        return total(self.years.values())

    def takes_effect(self) -> date:
        """On the day of the decision."""
        return self.on


class PaymentReported(Event):
    """A payer that pays by itself says that it paid; it counts as paid when a second person confirms it."""

    type: Literal["payment.reported"] = "payment.reported"
    reference: BankReference
    value_date: Day

    def takes_effect(self) -> date:
        """On the value date that is reported."""
        return self.value_date


class PaymentReportWithdrawn(Event):
    """The report was wrong; another may follow."""

    type: Literal["payment.report-withdrawn"] = "payment.report-withdrawn"


class PaymentReportConfirmed(PaymentMoved):
    """A second person confirms that the payer paid; `on` is the value date that was reported."""

    type: Literal["payment.report-confirmed"] = "payment.report-confirmed"
    leads_to: ClassVar[Stage] = Stage.PAID
    reference: BankReference

    @property
    def value_date(self) -> date:
        """The day on which the money moved."""
        return self.on


PaymentStep = (
    PaymentHeld
    | PaymentHoldLifted
    | PaymentApproved
    | PaymentDrawnUp
    | PaymentTakenOffRun
    | PaymentStopped
    | PaymentSent
    | PaymentSettled
    | PaymentReturned
    | PaymentReissued
    | PaymentReportConfirmed
)
PaymentEvent = PaymentFellDue | PaymentStep | PaymentNettedOff | PaymentReported | PaymentReportWithdrawn


# Refusals -------------------------------------------------------------------------------------------------------------


class NoSuchPayment(Absent):
    """There is no payment by this payer for this assessment."""


class PaymentAtWrongStage(Refused):
    """The payment is not at the stage from which this can be done."""


class PayerPaysByItself(Refused):
    """This payer pays by itself: it reports what it paid, without approval or a run."""


class PayerPaysThroughRuns(Refused):
    """This payer pays through the ledger's runs, so its payments are approved and released, never reported."""


class ApproverTookPart(FourEyes):
    """The approver submitted or verified the claim that this payment is for."""


class ReturnNeedsNote(Invalid):
    """A return for another reason than the listed ones needs a note that says which."""


class DateBeforeLastStep(Invalid):
    """The date lies before the payment's last step."""


class DateAhead(Invalid):
    """The date lies in the future."""


class DueDateHasPassed(Invalid):
    """The new due date lies in the past."""


class PaymentIsReported(Refused):
    """The payment has been reported as paid already; confirm that report or withdraw it."""


class PaymentIsNotReported(Refused):
    """Nobody has reported this payment as paid."""


class ReporterMayNotConfirm(FourEyes):
    """Whoever reported the payment may not confirm it; a second person must."""


# The payment ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Report:
    """What a payer that pays by itself says it paid."""

    reference: str
    value_date: date
    reported_by: PersonId


@dataclass(frozen=True, slots=True)
class Payment(Aggregate):
    """What one payer owes by one assessment, `amount` after netting. `since` is the day on which its last step took effect."""

    missing = NoSuchPayment

    award: str
    assessment: int
    payer: str
    payee: str
    amount: Money
    years: Mapping[FinancialYear, Money]
    due_on: date
    since: date
    claim: str | None
    claimed_by: PersonId
    verified_by: tuple[PersonId, ...]
    pays_by_itself: bool
    stage: Stage = Stage.DUE
    approved_by: PersonId | None = None
    bank_details: int | None = None
    """The number of the payee's bank details for which it is approved."""
    run: str | None = None
    report: Report | None = None
    netted: tuple[tuple[int, Money], ...] = ()
    """What was taken off, with the assessment that each receivable comes from."""

    @property
    def gross(self) -> Money:
        """What fell due, before anything was netted off."""
        return self.amount + total(amount for _, amount in self.netted)

    @property
    def can_be_netted(self) -> bool:
        """Whether something may still be taken off: nobody has drawn it up, sent it, or reported it as paid (M8)."""
        return self.stage in {Stage.DUE, Stage.HELD, Stage.APPROVED} and self.report is None

    def net_off(self, amount: Money, receivable: int, *, today: date) -> PaymentNettedOff:
        """Take a receivable off what is to be paid: all, or of the oldest years first."""
        years = dict(self.years) if amount == self.amount else dict(taken_off(self.years, amount))
        return PaymentNettedOff(payer=self.payer, years=years, on=today, was=self.stage, receivable=receivable)

    def hold(self, reason: Commitment, *, today: date) -> PaymentHeld:
        """Stop a payment that is due and has not been reported as paid."""
        self._expect(Stage.DUE)
        self._expect_unreported()
        return PaymentHeld(payer=self.payer, years=dict(self.years), on=today, reason=reason)

    def lift_hold(self, *, today: date) -> PaymentHoldLifted:
        """Let a held payment be due again."""
        self._expect(Stage.HELD)
        return PaymentHoldLifted(payer=self.payer, years=dict(self.years), on=today)

    def approve(self, by: Actor, *, today: date, bank_details: int | None = None) -> PaymentApproved:
        """Let the payment go forward to the payee's bank details of a number, as somebody who had no part in the claim (L1)."""
        self._expect_through_runs()
        self._expect(Stage.DUE)
        if by.person == self.claimed_by or by.person in self.verified_by:
            raise ApproverTookPart
        return PaymentApproved(payer=self.payer, years=dict(self.years), on=today, bank_details=bank_details)

    def draw_up(self, run: str, *, today: date) -> PaymentDrawnUp:
        """Put an approved payment into a run; it is in one live run at most (L2)."""
        self._expect_through_runs()
        self._expect(Stage.APPROVED)
        return PaymentDrawnUp(payer=self.payer, years=dict(self.years), on=today, run=run)

    def take_off_run(self, *, today: date) -> PaymentTakenOffRun:
        """Take the payment off a run that is cancelled."""
        self._expect(Stage.IN_RUN)
        return PaymentTakenOffRun(payer=self.payer, years=dict(self.years), on=today, run=self._its_run())

    def stop(self, *, today: date) -> PaymentStopped:
        """Take the approval back, because it was given for other bank details."""
        self._expect(Stage.APPROVED, Stage.IN_RUN)
        was: Literal[Stage.APPROVED, Stage.IN_RUN] = Stage.IN_RUN if self.stage is Stage.IN_RUN else Stage.APPROVED
        return PaymentStopped(payer=self.payer, years=dict(self.years), on=today, was=was, run=self.run)

    def send(self, *, today: date) -> PaymentSent:
        """Let the payment go to the bank with its run."""
        self._expect(Stage.IN_RUN)
        return PaymentSent(payer=self.payer, years=dict(self.years), on=today, run=self._its_run())

    def settle(self, bank_reference: str, *, value_date: date, today: date) -> PaymentSettled:
        """Record that the bank settled the payment."""
        self._expect(Stage.SENT)
        self._expect_possible(value_date, today)
        return PaymentSettled(
            payer=self.payer, years=dict(self.years), on=value_date, run=self._its_run(), bank_reference=bank_reference
        )

    def give_back(self, reason: ReturnReason, note: Commitment | None = None, *, on: date, today: date) -> PaymentReturned:
        """Record that the money came back on a day, whether the bank had settled it before or not."""
        self._expect(Stage.SENT, Stage.PAID)
        if reason is ReturnReason.OTHER and note is None:
            raise ReturnNeedsNote
        self._expect_possible(on, today)
        was: Literal[Stage.SENT, Stage.PAID] = Stage.SENT if self.stage is Stage.SENT else Stage.PAID
        return PaymentReturned(payer=self.payer, years=dict(self.years), on=on, was=was, reason=reason, note=note)

    def reissue(self, *, due_on: date, today: date) -> PaymentReissued:
        """Make a returned payment due again."""
        self._expect(Stage.RETURNED)
        if due_on < today:
            raise DueDateHasPassed(due_on=due_on, today=today)
        return PaymentReissued(payer=self.payer, years=dict(self.years), on=today, due_on=due_on)

    def report_paid(self, reference: str, *, value_date: date, today: date) -> PaymentReported:
        """Report that a payer that pays by itself paid."""
        self._expect_by_itself()
        self._expect(Stage.DUE)
        self._expect_unreported()
        self._expect_possible(value_date, today)
        return PaymentReported(reference=reference, value_date=value_date)

    def withdraw_report(self) -> PaymentReportWithdrawn:
        """Withdraw a report that nobody has confirmed."""
        self._expect_by_itself()
        self._expect_reported()
        return PaymentReportWithdrawn()

    def confirm_report(self, by: Actor) -> PaymentReportConfirmed:
        """Confirm a report, as a second person."""
        self._expect_by_itself()
        report = self._expect_reported()
        if by.person == report.reported_by:
            raise ReporterMayNotConfirm
        return PaymentReportConfirmed(payer=self.payer, years=dict(self.years), on=report.value_date, reference=report.reference)

    def _expect(self, *stages: Stage) -> None:
        if self.stage not in stages:
            raise PaymentAtWrongStage(
                award=self.award, assessment=self.assessment, payer=self.payer, stage=self.stage, must_be=" or ".join(stages)
            )

    def _expect_through_runs(self) -> None:
        if self.pays_by_itself:
            raise PayerPaysByItself(payer=self.payer)

    def _expect_by_itself(self) -> None:
        if not self.pays_by_itself:
            raise PayerPaysThroughRuns(payer=self.payer)

    def _expect_unreported(self) -> None:
        if self.report:
            raise PaymentIsReported(reference=self.report.reference)

    def _expect_reported(self) -> Report:
        if self.report is None:
            raise PaymentIsNotReported
        return self.report

    def _expect_possible(self, day: date, today: date) -> None:
        if day > today:
            raise DateAhead(date=day, today=today)
        if day < self.since:
            raise DateBeforeLastStep(date=day, last_step=self.since)

    def _its_run(self) -> str:
        if self.run is None:
            raise LookupError(f"a payment that is {self.stage} has no run")
        return self.run

    @classmethod
    def evolve(cls, state: "Payment | None", event: PaymentEvent, by: PersonId) -> "Payment":
        """The payment after an event."""
        if isinstance(event, PaymentFellDue):
            return _fallen_due(event)
        if state is None:
            raise LookupError(f"{event.type} before payment.fell-due")
        if isinstance(event, PaymentMoved):
            return _moved(replace(state, stage=event.leads_to, since=event.on), event, by)
        match event:
            case PaymentReported(reference=reference, value_date=value_date):
                return replace(state, report=Report(reference, value_date, reported_by=by))
            case PaymentReportWithdrawn():
                return replace(state, report=None)
            case PaymentNettedOff():
                return _netted_off(state, event)


def _moved(payment: Payment, event: PaymentStep, by: PersonId) -> Payment:  # noqa: PLR0911 (a case for every step)
    match event:
        case PaymentHeld() | PaymentHoldLifted() | PaymentSent() | PaymentSettled():
            return payment
        case PaymentApproved(bank_details=number):
            return replace(payment, approved_by=by, bank_details=number)
        case PaymentDrawnUp(run=run):
            return replace(payment, run=run)
        case PaymentTakenOffRun():
            return replace(payment, run=None)
        case PaymentReturned() | PaymentStopped():
            return replace(payment, run=None, approved_by=None, bank_details=None)
        case PaymentReissued(due_on=due_on):
            return replace(payment, due_on=due_on)
        case PaymentReportConfirmed():
            return replace(payment, report=None)


def _netted_off(payment: Payment, event: PaymentNettedOff) -> Payment:
    left = payment.amount - event.amount
    return replace(
        payment,
        amount=left,
        years={year: payment.years[year] - event.years.get(year, NOTHING) for year in payment.years} if left else {},
        netted=(*payment.netted, (event.receivable, event.amount)),
        stage=payment.stage if left else Stage.NETTED_OFF,
        since=event.on,
    )


def taken_off(years: Mapping[FinancialYear, Money], amount: Money) -> Iterator[tuple[FinancialYear, Money]]:
    """An amount as it is taken off years, the oldest first; there must be as much in those that have something."""
    for year in sorted(years):
        if taken := min(max(years[year], NOTHING), amount):
            yield year, taken
            amount -= taken


def _fallen_due(event: PaymentFellDue) -> Payment:
    return Payment(
        award=event.award,
        assessment=event.assessment,
        payer=event.payer,
        payee=event.payee,
        amount=event.amount,
        years=event.years,
        due_on=event.due_on,
        since=event.on,
        claim=event.claim,
        claimed_by=event.claimed_by,
        verified_by=event.verified_by,
        pays_by_itself=event.pays == "by-itself",
    )


def payment_stream(award: str, assessment: int, payer: str) -> Stream[Payment]:
    """The stream of what a payer owes by an assessment of an award."""
    return Stream(f"award/{canonical(award)}/assessment/{assessment}/payment/{canonical(payer)}", Payment)


def approve(facts: Facts, payment: Stream[Payment], *, by: Actor, today: date) -> Decision:
    """Let a payment go forward to the account that its payee has now, unless its award is paused.

    One that was approved for other bank details, and is in no run, is stopped and approved anew.
    """
    due = facts[payment]
    facts[award_stream(due.award)].expect_not_paused()
    if due.stage is not Stage.APPROVED or expect_agreed(facts, due.payee).number == due.bank_details:
        return {payment: (_approved(facts, due, by, today),)}
    stopped = due.stop(today=today)
    return {payment: (stopped, _approved(facts, Payment.evolve(due, stopped, by.person), by, today))}


def _approved(facts: Facts, due: Payment, by: Actor, today: date) -> PaymentApproved:
    due.approve(by, today=today)  # What is wrong with the payment itself is told first.
    return due.approve(by, today=today, bank_details=expect_agreed(facts, due.payee).number)


def hold(facts: Facts, payment: Stream[Payment], reason: str, *, today: date) -> Decision:
    """Hold a payment for a reason in words, which go into the vault (L5)."""
    due = facts[payment]
    return {payment: (due.hold(facts.conceal(reason, due.award), today=today),)}
