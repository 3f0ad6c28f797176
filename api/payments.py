"""Payments: what one payer owes by one assessment, until the bank has settled it or the payer has reported it."""

from functools import partial
from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.awards import ADMINISTRATOR
from api.commands import Recorded, TheAsk, command, sent
from api.names import AskedPayer, AssessmentNumber, AwardName, PayerName
from api.readings import EVERYBODY, LIMIT, After, Limit, Page, TheListing, TheReading, listed, question
from domain import obligation
from domain import payment as payments
from domain.award import AwardIsPaused, NoSuchAward, award_stream
from domain.bank_details import PayeeHasNoBankDetails
from domain.calendar import Day, FinancialYear
from domain.claim import Note
from domain.key import Role
from domain.money import Money
from domain.payment import NoSuchPayment, Payment, PaymentAtWrongStage, ReturnReason, Stage, payment_stream
from domain.run import give_back
from domain.settlement import BankReference

router = APIRouter(prefix="/v1/awards/{award}/payments", tags=["payments"])
APPROVER = frozenset({Role.APPROVER})


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Hold(_Words):
    """Why a payment is stopped."""

    reason: Note


class Return(_Words):
    """That the money came back, when and why."""

    reason: ReturnReason
    note: Note | None = None
    on: Day


class Reissue(_Words):
    """When a returned payment is due again."""

    due_on: Day


class ReportedPayment(_Words):
    """What a payer that pays by itself says it paid."""

    reference: BankReference
    value_date: Day


class ToldReport(BaseModel):
    """A report that waits for a second person."""

    reference: str
    value_date: Day
    reported_by: str


class ToldNetting(BaseModel):
    """What was taken off a payment."""

    assessment: int = Field(description="The assessment by which the payee owes it back")
    amount: Money


class ToldPayment(BaseModel):
    """A payment and where it is."""

    award: str
    assessment: int
    payer: str
    payee: str
    gross: Money = Field(description="What fell due")
    netted: tuple[ToldNetting, ...] = Field(description="What was taken off because the payee owes it back")
    amount: Money = Field(description="Net: what is to be paid, or was")
    years: dict[FinancialYear, Money]
    stage: Stage
    due_on: Day
    since: Day
    claim: str | None
    pays_by_itself: bool
    approved_by: str | None
    bank_details: int | None = Field(description="The number of the payee's bank details for which it is approved")
    run: str | None
    report: ToldReport | None

    @classmethod
    def of(cls, payment: Payment) -> Self:
        """A payment as it is told."""
        report = payment.report
        return cls(
            award=payment.award,
            assessment=payment.assessment,
            payer=payment.payer,
            payee=payment.payee,
            gross=payment.gross,
            netted=tuple(ToldNetting(assessment=number, amount=amount) for number, amount in payment.netted),
            amount=payment.amount,
            years=dict(payment.years),
            stage=payment.stage,
            due_on=payment.due_on,
            since=payment.since,
            claim=payment.claim,
            pays_by_itself=payment.pays_by_itself,
            approved_by=payment.approved_by,
            bank_details=payment.bank_details,
            run=payment.run,
            report=ToldReport(reference=report.reference, value_date=report.value_date, reported_by=report.reported_by)
            if report
            else None,
        )


class PaymentInList(BaseModel):
    """What a list shows of a payment."""

    award: str
    assessment: int
    payer: str
    payee: str
    amount: Money
    stage: Stage
    due_on: Day
    claim: str | None
    run: str | None


@router.get("", **question(EVERYBODY, NoSuchAward))
def page(
    award: AwardName,
    asked: TheListing,
    *,
    payer: AskedPayer = None,
    stage: Stage | None = None,
    after: After = None,
    limit: Limit = LIMIT,
) -> Page[PaymentInList]:
    """An award's payments, in the order in which they fell due; those of a payer, those at a stage."""
    asked.ledger.load(award_stream(award), asked.as_of)
    rows = partial(asked.views.payments.page, award, payer=payer, stage=stage)
    return listed(rows, PaymentInList, asked, after, limit)


@router.get("/{assessment}/{payer}", **question(EVERYBODY, NoSuchAward, NoSuchPayment, one=True))
def show(award: AwardName, assessment: AssessmentNumber, payer: PayerName, asked: TheReading) -> ToldPayment:
    """What a payer owes by an assessment."""
    return ToldPayment.of(asked.load(payment_stream(award, assessment, payer)))


_NAMED = (NoSuchAward, NoSuchPayment, PaymentAtWrongStage)


@router.post("/{assessment}/{payer}/hold", **command(ADMINISTRATOR, *_NAMED, payments.PaymentIsReported, body=Hold))
async def hold(
    award: AwardName, assessment: AssessmentNumber, payer: PayerName, held: Annotated[Hold, sent(Hold)], ask: TheAsk
) -> Recorded:
    """Stop a payment that is due."""
    stream = payment_stream(award, assessment, payer)
    return await ask.record(partial(payments.hold, payment=stream, reason=held.reason, today=ask.today), stream)


@router.post("/{assessment}/{payer}/hold-release", **command(ADMINISTRATOR, *_NAMED))
async def lift_hold(award: AwardName, assessment: AssessmentNumber, payer: PayerName, ask: TheAsk) -> Recorded:
    """Let a held payment be due again."""
    today = ask.today
    return await ask.change(payment_stream(award, assessment, payer), lambda held: held.lift_hold(today=today))


@router.post(
    "/{assessment}/{payer}/approval",
    **command(APPROVER, *_NAMED, payments.PayerPaysByItself, payments.ApproverTookPart, AwardIsPaused, PayeeHasNoBankDetails),
)
async def approve(award: AwardName, assessment: AssessmentNumber, payer: PayerName, ask: TheAsk) -> Recorded:
    """Let a payment that is due go forward, as somebody who had no part in its claim (L1).

    It goes to the bank details that the payee has now. If they change before the release, approve it again.
    """
    stream = payment_stream(award, assessment, payer)
    return await ask.record(partial(payments.approve, payment=stream, by=ask.by, today=ask.today), stream)


_DATES = (payments.DateAhead, payments.DateBeforeLastStep)


@router.post("/{assessment}/{payer}/return", **command(ADMINISTRATOR, *_NAMED, *_DATES, payments.ReturnNeedsNote, body=Return))
async def return_(
    award: AwardName, assessment: AssessmentNumber, payer: PayerName, returned: Annotated[Return, sent(Return)], ask: TheAsk
) -> Recorded:
    """Record that the money came back, with the bank's reason."""
    stream = payment_stream(award, assessment, payer)
    decide = partial(give_back, payment=stream, reason=returned.reason, note=returned.note, on=returned.on, today=ask.today)
    return await ask.record(decide, stream)


@router.post("/{assessment}/{payer}/reissue", **command(ADMINISTRATOR, *_NAMED, payments.DueDateHasPassed, body=Reissue))
async def reissue(
    award: AwardName, assessment: AssessmentNumber, payer: PayerName, again: Annotated[Reissue, sent(Reissue)], ask: TheAsk
) -> Recorded:
    """Make a returned payment due again; it needs a new approval."""
    stream = payment_stream(award, assessment, payer)
    return await ask.record(partial(obligation.reissue, payment=stream, due_on=again.due_on, today=ask.today), stream)


@router.post(
    "/{assessment}/{payer}/reported-payment",
    **command(ADMINISTRATOR, *_NAMED, *_DATES, payments.PayerPaysThroughRuns, payments.PaymentIsReported, body=ReportedPayment),
)
async def report(
    award: AwardName,
    assessment: AssessmentNumber,
    payer: PayerName,
    paid: Annotated[ReportedPayment, sent(ReportedPayment)],
    ask: TheAsk,
) -> Recorded:
    """Report that a payer which pays by itself has paid."""
    today = ask.today
    return await ask.change(
        payment_stream(award, assessment, payer),
        lambda due: due.report_paid(paid.reference, value_date=paid.value_date, today=today),
    )


_REPORTED = (NoSuchAward, NoSuchPayment, payments.PayerPaysThroughRuns, payments.PaymentIsNotReported)


@router.post(
    "/{assessment}/{payer}/reported-payment-confirmation",
    **command(ADMINISTRATOR | APPROVER, *_REPORTED, payments.ReporterMayNotConfirm),
)
async def confirm_report(award: AwardName, assessment: AssessmentNumber, payer: PayerName, ask: TheAsk) -> Recorded:
    """Confirm, as a second person, that the payer paid."""
    return await ask.change(payment_stream(award, assessment, payer), lambda reported: reported.confirm_report(ask.by))


@router.post("/{assessment}/{payer}/reported-payment-withdrawal", **command(ADMINISTRATOR, *_REPORTED))
async def withdraw_report(award: AwardName, assessment: AssessmentNumber, payer: PayerName, ask: TheAsk) -> Recorded:
    """Withdraw a report that nobody has confirmed."""
    stream = payment_stream(award, assessment, payer)
    return await ask.record(partial(obligation.withdraw_report, payment=stream, today=ask.today), stream)
