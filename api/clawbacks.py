"""Clawbacks: what was accepted in error is taken back, proposed by one person and agreed by another (M8)."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel

from api.awards import ADMINISTRATOR
from api.claims import CERTIFIER, VERIFIER
from api.commands import Reassessed, Recorded, TheAsk, address, command, sent
from api.names import AwardName, ClawbackName
from api.proposals import Withdrawal
from api.readings import LIMIT, NOT_INVESTORS, SEE_TEXTS, After, Limit, Page, TheListing, TheReading, listed, question
from domain import clawback as clawbacks
from domain.award import AwardIsCompleted, AwardIsNotAgreed, NoSuchAward, award_stream
from domain.claim import NamedLine, NoSuchClaim, ReasonCode
from domain.clawback import ClawedLine, Clawing, NoSuchClawback, clawback_stream
from domain.money import Money
from domain.proposal import Status

router = APIRouter(prefix="/v1/awards/{award}/clawbacks", tags=["clawbacks"])


class ClawbackInList(BaseModel):
    """What a list shows of a clawback; `lines` counts them."""

    clawback: str
    status: Status
    reason: ReasonCode
    lines: int
    proposed_by: str
    agreed_by: str | None
    assessment: int | None
    reversed: Money | None


class ToldClawback(BaseModel):
    """A clawback, and what became of it. The note is shown to those who see claims' texts."""

    clawback: str
    status: Status
    proposed_by: str
    agreed_by: str | None
    reason: ReasonCode
    note: str | None
    lines: tuple[ClawedLine, ...]
    assessment: int | None
    reversed: Money | None
    dependants: tuple[NamedLine, ...]
    dependants_went_too: bool


_UNDER = (AwardIsNotAgreed, AwardIsCompleted)
_LINES = (NoSuchAward, NoSuchClaim, clawbacks.LinesCannotBeClawedBack)
_NAMED = (NoSuchAward, NoSuchClawback, clawbacks.ClawbackIsConcluded)


@router.get("", **question(NOT_INVESTORS, NoSuchAward))
def page(award: AwardName, asked: TheListing, after: After = None, limit: Limit = LIMIT) -> Page[ClawbackInList]:
    """An award's clawbacks, in the order in which they were raised."""
    asked.look(award_stream(award))
    return listed(partial(asked.views.clawbacks.page, award), ClawbackInList, asked, after, limit)


@router.post(
    "",
    **command(ADMINISTRATOR | VERIFIER | CERTIFIER, *_LINES, *_UNDER, clawbacks.ClawbackExists, body=Clawing),
)
async def raise_(award: AwardName, clawing: Annotated[Clawing, sent(Clawing)], ask: TheAsk) -> Recorded:
    """Raise a clawback; nothing moves until a second person agrees."""
    decide = partial(clawbacks.raise_clawback, award=award, clawing=clawing)
    new = address("awards", award, "clawbacks", clawing.clawback)
    return await ask.record(decide, clawback_stream(award, clawing.clawback), new=new)


@router.get("/{clawback}", **question(NOT_INVESTORS, NoSuchAward, NoSuchClawback, one=True))
def show(award: AwardName, clawback: ClawbackName, asked: TheReading) -> ToldClawback:
    """A clawback, and what became of it."""
    found = asked.load(clawback_stream(award, clawback))
    raised, agreed = found.proposed, found.agreed
    sees = raised.note is not None and asked.caller.has(SEE_TEXTS, award)
    return ToldClawback(
        clawback=raised.clawback,
        status=found.status,
        proposed_by=found.proposed_by,
        agreed_by=found.agreed_by,
        reason=raised.reason,
        note=asked.ledger.reveal([raised.note]).get(raised.note) if sees and raised.note else None,
        lines=raised.lines,
        assessment=agreed.assessment if agreed else None,
        reversed=agreed.reversed if agreed else None,
        dependants=agreed.dependants if agreed else (),
        dependants_went_too=agreed is not None and agreed.dependants_went_too,
    )


@router.post(
    "/{clawback}/agreement",
    **command(
        ADMINISTRATOR | CERTIFIER,
        *_NAMED,
        NoSuchClaim,
        *_UNDER,
        clawbacks.LinesCannotBeClawedBack,
        clawbacks.RaiserMayNotAgree,
        clawbacks.ClaimantMayNotAgree,
        answer=Reassessed,
    ),
)
async def agree(award: AwardName, clawback: ClawbackName, ask: TheAsk) -> Reassessed:
    """Agree a clawback, as a second person (L1): its lines are taken back, and what was paid for them becomes receivable.

    The answer, also to `dry_run=true`, tells the net for each payer.
    """
    decide = partial(clawbacks.agree, award=award, clawback=clawback, by=ask.by, today=ask.today)
    return await ask.reassess(decide, clawback_stream(award, clawback))


@router.post("/{clawback}/withdrawal", **command(ADMINISTRATOR | VERIFIER | CERTIFIER, *_NAMED, body=Withdrawal))
async def withdraw(
    award: AwardName, clawback: ClawbackName, withdrawal: Annotated[Withdrawal, sent(Withdrawal)], ask: TheAsk
) -> Recorded:
    """Withdraw a clawback that waits for its second person, or turn it down."""
    decide = partial(clawbacks.withdraw, award=award, clawback=clawback, reason=withdrawal.reason)
    return await ask.record(decide, clawback_stream(award, clawback))
