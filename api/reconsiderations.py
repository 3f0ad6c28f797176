"""Reconsiderations: curtailed lines are assessed anew against today's headroom, proposed by one, agreed by another (M5)."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel

from api.awards import ADMINISTRATOR
from api.claims import CERTIFIER
from api.commands import Reassessed, Recorded, TheAsk, address, command, sent
from api.names import AwardName, ReconsiderationName
from api.proposals import Withdrawal
from api.readings import LIMIT, NOT_INVESTORS, SEE_TEXTS, After, Limit, Page, TheListing, TheReading, listed, question
from domain import reconsideration as reconsiderations
from domain.award import AwardIsClosedToClaims, AwardIsCompleted, AwardIsNotAgreed, AwardIsPaused, NoSuchAward, award_stream
from domain.claim import NamedLine, NoSuchClaim
from domain.money import Money
from domain.proposal import Status
from domain.reconsideration import NoSuchReconsideration, Reconsidering, reconsideration_stream

router = APIRouter(prefix="/v1/awards/{award}/reconsiderations", tags=["reconsiderations"])


class ReconsiderationInList(BaseModel):
    """What a list shows of a reconsideration; `lines` counts them."""

    reconsideration: str
    status: Status
    lines: int
    proposed_by: str
    agreed_by: str | None
    assessment: int | None
    gained: Money | None


class ToldReconsideration(BaseModel):
    """A reconsideration, and what became of it. The reason is shown to those who see claims' texts."""

    reconsideration: str
    status: Status
    proposed_by: str
    agreed_by: str | None
    reason: str | None
    lines: tuple[NamedLine, ...]
    assessment: int | None
    gained: Money | None


_NAMED = (NoSuchAward, NoSuchReconsideration, reconsiderations.ReconsiderationIsConcluded)
_OPEN = (AwardIsNotAgreed, AwardIsPaused, AwardIsClosedToClaims, AwardIsCompleted)
_LINES = (NoSuchClaim, reconsiderations.LinesCannotBeReconsidered)


@router.get("", **question(NOT_INVESTORS, NoSuchAward))
def page(award: AwardName, asked: TheListing, after: After = None, limit: Limit = LIMIT) -> Page[ReconsiderationInList]:
    """An award's reconsiderations, in the order in which they were proposed."""
    asked.look(award_stream(award))
    return listed(partial(asked.views.reconsiderations.page, award), ReconsiderationInList, asked, after, limit)


@router.post(
    "",
    **command(
        ADMINISTRATOR | CERTIFIER,
        NoSuchAward,
        *_OPEN,
        *_LINES,
        reconsiderations.ReconsiderationExists,
        body=Reconsidering,
    ),
)
async def propose(award: AwardName, reconsidering: Annotated[Reconsidering, sent(Reconsidering)], ask: TheAsk) -> Recorded:
    """Propose that curtailed lines be assessed anew; nothing moves until a second person agrees."""
    decide = partial(reconsiderations.propose, award=award, reconsidering=reconsidering)
    new = address("awards", award, "reconsiderations", reconsidering.reconsideration)
    return await ask.record(decide, reconsideration_stream(award, reconsidering.reconsideration), new=new)


@router.get("/{reconsideration}", **question(NOT_INVESTORS, NoSuchAward, NoSuchReconsideration, one=True))
def show(award: AwardName, reconsideration: ReconsiderationName, asked: TheReading) -> ToldReconsideration:
    """A reconsideration, and what became of it."""
    found = asked.load(reconsideration_stream(award, reconsideration))
    proposed, agreed = found.proposed, found.agreed
    sees = asked.caller.has(SEE_TEXTS, award)
    return ToldReconsideration(
        reconsideration=proposed.reconsideration,
        status=found.status,
        proposed_by=found.proposed_by,
        agreed_by=found.agreed_by,
        reason=asked.ledger.reveal([proposed.reason]).get(proposed.reason) if sees else None,
        lines=proposed.lines,
        assessment=agreed.assessment if agreed else None,
        gained=agreed.gained if agreed else None,
    )


@router.post(
    "/{reconsideration}/agreement",
    **command(
        ADMINISTRATOR | CERTIFIER,
        *_NAMED,
        *_OPEN,
        *_LINES,
        reconsiderations.NothingIsGained,
        reconsiderations.ReconsiderationWouldTake,
        reconsiderations.ProposerMayNotReconsider,
        reconsiderations.ClaimantMayNotReconsider,
        answer=Reassessed,
    ),
)
async def agree(award: AwardName, reconsideration: ReconsiderationName, ask: TheAsk) -> Reassessed:
    """Agree a reconsideration, as a second person (L1): its lines are assessed anew, and what they gain becomes due."""
    decide = partial(reconsiderations.agree, award=award, reconsideration=reconsideration, by=ask.by, today=ask.today)
    return await ask.reassess(decide, reconsideration_stream(award, reconsideration))


@router.post("/{reconsideration}/withdrawal", **command(ADMINISTRATOR | CERTIFIER, *_NAMED, body=Withdrawal))
async def withdraw(
    award: AwardName, reconsideration: ReconsiderationName, withdrawal: Annotated[Withdrawal, sent(Withdrawal)], ask: TheAsk
) -> Recorded:
    """Withdraw a reconsideration that waits for its second person, or turn it down."""
    decide = partial(reconsiderations.withdraw, award=award, reconsideration=reconsideration, reason=withdrawal.reason)
    return await ask.record(decide, reconsideration_stream(award, reconsideration))
