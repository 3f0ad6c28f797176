"""Other payments: sums that are not for outcomes, proposed by one person and agreed by another (M10)."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel

from api.awards import ADMINISTRATOR
from api.claims import CERTIFIER
from api.commands import Recorded, TheAsk, address, command, sent
from api.names import AwardName, OtherPaymentName
from api.proposals import Withdrawal
from api.readings import LIMIT, NOT_INVESTORS, SEE_TEXTS, After, Limit, Page, TheListing, TheReading, listed, question
from domain import other_payment as other_payments
from domain.assessment import StatedAmount
from domain.award import AwardIsClosedToClaims, AwardIsCompleted, AwardIsNotAgreed, AwardIsPaused, NoSuchAward, award_stream
from domain.calendar import Day
from domain.money import Money
from domain.other_payment import NoSuchOtherPayment, OtherPaying, PaymentType, other_payment_stream
from domain.payment import DateAhead
from domain.proposal import Status
from domain.terms import NoTermsInForce

router = APIRouter(prefix="/v1/awards/{award}/other-payments", tags=["other payments"])


class OtherPaymentInList(BaseModel):
    """What a list shows of an other payment."""

    other_payment: str
    payment_type: PaymentType
    amount: Money
    dated: Day
    status: Status
    proposed_by: str
    agreed_by: str | None
    assessment: int | None


class ToldOtherPayment(OtherPaymentInList):
    """An other payment, and how it was split and allotted. The reason is shown to those who see claims' texts."""

    reason: str | None
    document_sha256: str | None
    split: StatedAmount | None


_OPEN = (NoSuchAward, AwardIsNotAgreed, AwardIsPaused, AwardIsClosedToClaims, AwardIsCompleted)
_NAMED = (NoSuchOtherPayment, other_payments.OtherPaymentIsConcluded)
_SUM = (NoTermsInForce, other_payments.OtherPaymentOverLimit)


@router.get("", **question(NOT_INVESTORS, NoSuchAward))
def page(award: AwardName, asked: TheListing, after: After = None, limit: Limit = LIMIT) -> Page[OtherPaymentInList]:
    """An award's other payments, in the order in which they were proposed."""
    asked.look(award_stream(award))
    return listed(partial(asked.views.other_payments.page, award), OtherPaymentInList, asked, after, limit)


@router.post(
    "",
    **command(ADMINISTRATOR | CERTIFIER, *_OPEN, *_SUM, DateAhead, other_payments.OtherPaymentExists, body=OtherPaying),
)
async def propose(award: AwardName, paying: Annotated[OtherPaying, sent(OtherPaying)], ask: TheAsk) -> Recorded:
    """Propose to pay a sum otherwise than for outcomes; nothing moves until a second person agrees."""
    decide = partial(other_payments.propose, award=award, paying=paying, today=ask.today)
    new = address("awards", award, "other-payments", paying.other_payment)
    return await ask.record(decide, other_payment_stream(award, paying.other_payment), new=new)


@router.get("/{other_payment}", **question(NOT_INVESTORS, NoSuchAward, NoSuchOtherPayment, one=True))
def show(award: AwardName, other_payment: OtherPaymentName, asked: TheReading) -> ToldOtherPayment:
    """An other payment, and what became of it: parts, shortfalls, allotments."""
    found = asked.load(other_payment_stream(award, other_payment))
    proposed, agreed = found.proposed, found.agreed
    sees = asked.caller.has(SEE_TEXTS, award)
    return ToldOtherPayment(
        other_payment=proposed.other_payment,
        payment_type=proposed.payment_type,
        amount=proposed.amount,
        dated=proposed.dated,
        status=found.status,
        proposed_by=found.proposed_by,
        agreed_by=found.agreed_by,
        assessment=agreed.assessment if agreed else None,
        reason=asked.ledger.reveal([proposed.reason]).get(proposed.reason) if sees else None,
        document_sha256=proposed.document_sha256,
        split=agreed.split if agreed else None,
    )


@router.post(
    "/{other_payment}/agreement",
    **command(
        ADMINISTRATOR | CERTIFIER,
        *_NAMED,
        *_OPEN,
        *_SUM,
        other_payments.ProposerMayNotPay,
        other_payments.BeneficiaryMayNotPay,
    ),
)
async def agree(award: AwardName, other_payment: OtherPaymentName, ask: TheAsk) -> Recorded:
    """Agree an other payment, as a second person (L1): what payers are allotted of it falls due."""
    decide = partial(other_payments.agree, award=award, other_payment=other_payment, by=ask.by, today=ask.today)
    return await ask.record(decide, other_payment_stream(award, other_payment))


@router.post("/{other_payment}/withdrawal", **command(ADMINISTRATOR | CERTIFIER, NoSuchAward, *_NAMED, body=Withdrawal))
async def withdraw(
    award: AwardName, other_payment: OtherPaymentName, withdrawal: Annotated[Withdrawal, sent(Withdrawal)], ask: TheAsk
) -> Recorded:
    """Withdraw an other payment that waits for its second person, or turn it down."""
    decide = partial(other_payments.withdraw, award=award, other_payment=other_payment, reason=withdrawal.reason)
    return await ask.record(decide, other_payment_stream(award, other_payment))
