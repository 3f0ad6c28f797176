"""Receivables: what payees owe back to payers, until it is netted off, recovered or written off (M8)."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, ConfigDict, Field

from api.awards import ADMINISTRATOR
from api.commands import Recorded, TheAsk, command, sent
from api.names import AssessmentNumber, AwardName, PayeeName, PayerName
from api.readings import EVERYBODY, LIMIT, After, Limit, Page, TheListing, TheReading, listed, question
from domain import receivable as receivables
from domain.award import NoSuchAward, award_stream
from domain.calendar import Day, FinancialYear
from domain.claim import Note
from domain.money import Money, PositiveAmount
from domain.payment import DateAhead
from domain.receivable import NoSuchReceivable, NothingIsOpen, receivable_stream
from domain.reference import Reference
from domain.settlement import BankReference

router = APIRouter(prefix="/v1/awards/{award}/receivables", tags=["receivables"])


class Recovery(BaseModel):
    """That the payee paid back on an invoice: what, by which reference, and on which value date."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    amount: PositiveAmount
    reference: BankReference
    value_date: Day


class WriteOff(BaseModel):
    """By which authority, and why, what is open should be given up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    authority: Reference
    reason: Note


class ReceivableInList(BaseModel):
    """A receivable as a list shows it: amount = open + netted off + recovered + written off."""

    assessment: int
    payer: str
    payee: str
    opened_on: Day
    amount: Money
    open: Money
    netted_off: Money
    recovered: Money
    written_off: Money
    write_off_proposed_by: str | None
    write_off_agreed_by: str | None = Field(description="Nothing while the write-off waits for a second person")
    authority: str | None = Field(description="By which a write-off is proposed, or was agreed")


class ToldReceivable(ReceivableInList):
    """A receivable, and of which financial years what is open is."""

    award: str
    years: dict[FinancialYear, Money]


Open = Annotated[bool | None, Query(alias="open", description="Only those of which something is open, or only the others")]


@router.get("", **question(EVERYBODY, NoSuchAward))
def page(
    award: AwardName, asked: TheListing, *, is_open: Open = None, after: After = None, limit: Limit = LIMIT
) -> Page[ReceivableInList]:
    """What payees owe back under an award, and what became of it, oldest first."""
    asked.look(award_stream(award))
    return listed(partial(asked.views.receivables.page, award, is_open=is_open), ReceivableInList, asked, after, limit)


@router.get("/{assessment}/{payer}/{payee}", **question(EVERYBODY, NoSuchAward, NoSuchReceivable, one=True))
def show(award: AwardName, assessment: AssessmentNumber, payer: PayerName, payee: PayeeName, asked: TheReading) -> ToldReceivable:
    """What a payee owes a payer by an assessment."""
    found = asked.load(receivable_stream(award, assessment, payer, payee))
    write_off = found.proposal or found.given_up
    return ToldReceivable(
        award=found.opened.award,
        assessment=found.opened.assessment,
        payer=found.opened.payer,
        payee=found.opened.payee,
        opened_on=found.opened.on,
        amount=found.opened.amount,
        open=found.open,
        years=dict(found.years),
        netted_off=found.netted_off,
        recovered=found.recovered,
        written_off=found.written_off,
        write_off_proposed_by=write_off.proposed_by if write_off else None,
        write_off_agreed_by=write_off.agreed_by if write_off else None,
        authority=write_off.authority if write_off else None,
    )


_NAMED = (NoSuchAward, NoSuchReceivable)
_RECOVERED = (
    *_NAMED,
    NothingIsOpen,
    receivables.ReceiptIsRecorded,
    receivables.MoreThanIsOpen,
    receivables.RecoveredBeforeOpened,
    DateAhead,
)


@router.post("/{assessment}/{payer}/{payee}/recovery", **command(ADMINISTRATOR, *_RECOVERED, body=Recovery))
async def recover(
    award: AwardName,
    assessment: AssessmentNumber,
    payer: PayerName,
    payee: PayeeName,
    *,
    paid: Annotated[Recovery, sent(Recovery)],
    ask: TheAsk,
) -> Recorded:
    """Record that the payee paid back, in whole or in part; the payer's maximum gets it back as headroom."""
    stream = receivable_stream(award, assessment, payer, payee)
    back = partial(receivables.recover, receivable=stream, amount=paid.amount, reference=paid.reference)
    return await ask.record(partial(back, value_date=paid.value_date, today=ask.today), stream)


@router.post(
    "/{assessment}/{payer}/{payee}/write-off",
    **command(ADMINISTRATOR, *_NAMED, NothingIsOpen, receivables.WriteOffIsProposed, body=WriteOff),
)
async def propose_write_off(
    award: AwardName,
    assessment: AssessmentNumber,
    payer: PayerName,
    payee: PayeeName,
    *,
    proposed: Annotated[WriteOff, sent(WriteOff)],
    ask: TheAsk,
) -> Recorded:
    """Propose to give up what is open; a second person must agree."""
    stream = receivable_stream(award, assessment, payer, payee)
    decide = partial(receivables.propose_write_off, receivable=stream, authority=proposed.authority, reason=proposed.reason)
    return await ask.record(decide, stream)


@router.post(
    "/{assessment}/{payer}/{payee}/write-off-agreement",
    **command(ADMINISTRATOR, *_NAMED, NothingIsOpen, receivables.NoWriteOffIsProposed, receivables.ProposerMayNotWriteOff),
)
async def write_off(award: AwardName, assessment: AssessmentNumber, payer: PayerName, payee: PayeeName, ask: TheAsk) -> Recorded:
    """Agree a write-off, as a second person (L1); the payer's maximum gets no headroom back."""
    stream = receivable_stream(award, assessment, payer, payee)
    return await ask.record(partial(receivables.write_off, receivable=stream, by=ask.by, today=ask.today), stream)


@router.post(
    "/{assessment}/{payer}/{payee}/write-off-withdrawal",
    **command(ADMINISTRATOR, *_NAMED, receivables.NoWriteOffIsProposed),
)
async def withdraw_write_off(
    award: AwardName, assessment: AssessmentNumber, payer: PayerName, payee: PayeeName, ask: TheAsk
) -> Recorded:
    """Withdraw the proposal to write off, or turn it down."""
    stream = receivable_stream(award, assessment, payer, payee)
    return await ask.change(stream, lambda owed: owed.withdraw_write_off())
