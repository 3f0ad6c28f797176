"""Claims: submitted by a provider, queried and answered, decided by somebody else, and signed off where the terms want it."""

from collections.abc import Collection, Iterable
from datetime import datetime
from functools import partial
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Depends, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api import tables
from api.awards import ADMINISTRATOR
from api.commands import JSON, Recorded, TheAsk, address, command, expect_media_type, read_as, sent
from api.identity import Caller
from api.names import AwardName, ClaimName
from api.problems import RequestIsWrong
from api.readings import (
    EVERYBODY,
    LIMIT,
    SEE_TEXTS,
    After,
    Limit,
    Page,
    Reading,
    TheListing,
    TheReading,
    cursor,
    offset,
    paged,
    question,
)
from domain import award as awards
from domain import certification, verification
from domain import claim as claims
from domain.aggregate import Commitment, Token
from domain.assessment import AssessedLine, ReversedLine
from domain.calendar import Day
from domain.certification import Certificate
from domain.claim import (
    Claim,
    ClaimAnswered,
    ClaimQueried,
    Line,
    NoSuchClaim,
    Note,
    ReasonCode,
    Status,
    Submission,
    claim_stream,
)
from domain.events import BY_NAME
from domain.key import Role
from domain.money import Money, Quantity
from domain.refusal import Fault, NotAllowed
from domain.terms import NoTermsInForce, Window
from domain.verification import Verification
from ledger.entry import decode

router = APIRouter(prefix="/v1/awards/{award}/claims", tags=["claims"])
CLAIMANT = frozenset({Role.CLAIMANT})
VERIFIER = frozenset({Role.VERIFIER})
CERTIFIER = frozenset({Role.CERTIFIER})
CSV: Final = "text/csv"
_SAID: Final = frozenset({"claim.queried", "claim.answered"})
_FEW_LINES: Final = 32
"""So few are decided on before an event loop could do much else."""
_MOST_ENTRIES: Final = 10_000
"""Of one claim's stream: more than its lines can make."""


class ClaimantOfAnotherParty(NotAllowed):
    """A claimant claims for the party that it belongs to; only an administrator may bring in another's claim."""


class BacklogIsForAdministrators(NotAllowed):
    """Only an administrator may state that a claim was received on an earlier day (M2)."""


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Withdrawal(_Words):
    """Why a claim is taken back."""

    reason: Note


class Query_(_Words):  # noqa: N801 (FastAPI has a Query of its own)
    """What somebody who may decide asks the claimant, perhaps about some lines."""

    model_config = ConfigDict(title="ClaimQuery")

    question: Note
    lines: Annotated[tuple[Annotated[int, Field(strict=True, ge=1, le=claims.MOST_LINES)], ...], Field(max_length=500)] = ()


class Answer(_Words):
    """What the claimant answers."""

    answer: Note


# Claims as they are told ----------------------------------------------------------------------------------------------


class ToldEvidence(BaseModel):
    """Evidence: its owner has the document; the title is told to those who may see it."""

    sha256: str
    title: str | None


class ToldDecision(BaseModel):
    """One decision on a line."""

    accepted: Quantity
    rejected: Quantity
    deferred: Quantity
    reason: ReasonCode | None
    note: str | None


class ToldAssessment(BaseModel):
    """What an assessment made of a line, or took back of it, with everything that it follows from."""

    assessment: int
    explanation: AssessedLine | None = None
    reversal: ReversedLine | None = None

    @classmethod
    def of(cls, number: int, made: AssessedLine | ReversedLine) -> Self:
        """One of the two, as it is told."""
        if isinstance(made, ReversedLine):
            return cls(assessment=number, reversal=made)
        return cls(assessment=number, explanation=made)


class ToldLine(BaseModel):
    """A line and what became of it."""

    line: int
    outcome: str
    participant: str | None = Field(description="The provider's reference, to those who may see it; nothing once it is erased")
    participant_token: str | None = Field(description="What the log knows the participant by, to those who may see references")
    participant_erased: bool = Field(description="Whether the reference has been erased, to those who might have seen it")
    quantity: Quantity
    achieved_on: Day
    value: Money
    evidence: tuple[ToldEvidence, ...]
    note: str | None
    accepted: Quantity
    rejected: Quantity
    deferred: Quantity
    assessed: Money
    curtailed: Money
    decisions: tuple[ToldDecision, ...]
    assessments: tuple[ToldAssessment, ...]


class ToldQuery(BaseModel):
    """What was asked of the claimant, and what the claimant answered; the words are told to those who may see them."""

    asked_by: str
    asked_at: datetime
    lines: tuple[int, ...] = Field(description="The lines that it is about; none: the claim as a whole")
    question: str | None
    answered_by: str | None = None
    answered_at: datetime | None = None
    answer: str | None = None


class ToldClaim(BaseModel):
    """A claim, with a page of its lines."""

    award: str
    claim: str
    claimant: str
    status: Status
    period: Window
    received_on: Day
    receipt_confirmed: bool
    query_open: bool
    submitted_by: str
    verified_by: tuple[str, ...]
    count: int = Field(description="How many lines the claim has")
    value: Money
    accepted: Money
    rejected: Money
    deferred: Money
    awaiting: Money
    declined: Money
    assessed: Money
    curtailed: Money
    assessments: tuple[int, ...]
    queries: tuple[ToldQuery, ...] | None = Field(description="In order; nothing where the caller may not see lines")
    lines: tuple[ToldLine, ...] | None = Field(description="Nothing where the caller may not see lines")
    next: str | None = Field(description="Give it as `after` to get the following lines")


class ClaimInList(BaseModel):
    """What a list shows of a claim."""

    claim: str
    claimant: str
    status: Status
    period: Window
    received_on: Day
    count: int
    value: Money
    accepted: Money
    rejected: Money
    deferred: Money
    assessed: Money
    curtailed: Money


# Commands -------------------------------------------------------------------------------------------------------------

_SUBMITTED = (
    awards.NoSuchAward,
    awards.AwardIsNotAgreed,
    awards.AwardIsClosedToClaims,
    awards.AwardIsCompleted,
    awards.AwardIsPaused,
    claims.ClaimExists,
    claims.ReceivedInTheFuture,
    claims.PeriodEndsBeforeItBegins,
    claims.ClaimIsTooLate,
    claims.ClaimantIsNotProvider,
    claims.LinesCannotBeClaimed,
    claims.ClaimIsTooLarge,
    NoTermsInForce,
    ClaimantOfAnotherParty,
    BacklogIsForAdministrators,
)


async def submission(
    request: Request,
    claim: Annotated[str | None, Query(description="With CSV: the claim's reference")] = None,
    period_first: Annotated[str | None, Query(description="With CSV: first day of the claim's period")] = None,
    period_last: Annotated[str | None, Query(description="With CSV: last day of the claim's period")] = None,
    claimant: Annotated[str | None, Query(description="With CSV: the provider or SPV; your own party unless said")] = None,
) -> Submission:
    """A claim, as JSON, or as CSV lines with the rest in the address."""
    asked = {"claim": claim, "period_first": period_first, "period_last": period_last, "claimant": claimant}
    if expect_media_type(request, {JSON, CSV}) == CSV:
        return await run_in_threadpool(tables.submission, await request.body(), asked)
    if wrong := [Fault(name, "stands in the body, where that is JSON") for name, given in asked.items() if given is not None]:
        raise RequestIsWrong(wrong)
    return await read_as(Submission, request)


@router.post("", **command(CLAIMANT | ADMINISTRATOR, *_SUBMITTED, body=Submission, csv=True, on_one=False))
async def submit(award: AwardName, submitted: Annotated[Submission, Depends(submission)], ask: TheAsk) -> Recorded:
    """Submit a claim of up to 5,000 lines, all or nothing.

    As CSV its columns are outcome, participant, quantity, achieved_on, evidence_sha256, evidence_title, note.
    """
    if not ask.caller.has(ADMINISTRATOR):
        if submitted.backlog:
            raise BacklogIsForAdministrators
        if submitted.claimant not in {None, ask.by.party}:
            raise ClaimantOfAnotherParty(claimant=submitted.claimant)
    decide = partial(claims.submit, award=award, submission=submitted, by=ask.by, today=ask.today)
    done = await ask.done(decide, quick=len(submitted.lines) <= _FEW_LINES)
    return ask.tell(done, claim_stream(award, submitted.claim), new=address("awards", award, "claims", submitted.claim))


_NAMED = (awards.NoSuchAward, NoSuchClaim)
_WAITING = (*_NAMED, claims.ClaimIsWithdrawn, claims.ClaimIsDecided)


@router.post(
    "/{claim}/receipt-confirmation",
    **command(ADMINISTRATOR | VERIFIER, *_NAMED, claims.ReceiptIsNotInDoubt, claims.StaterMayNotConfirm),
)
async def confirm_receipt(award: AwardName, claim: ClaimName, ask: TheAsk) -> Recorded:
    """Confirm, as a second person, the earlier day on which a claim was received (M2)."""
    return await ask.change(claim_stream(award, claim), lambda submitted: submitted.confirm_receipt(ask.by))


@router.post("/{claim}/withdrawal", **command(CLAIMANT, *_WAITING, claims.NotTheClaimant, body=Withdrawal))
async def withdraw(
    award: AwardName, claim: ClaimName, withdrawal: Annotated[Withdrawal, sent(Withdrawal)], ask: TheAsk
) -> Recorded:
    """Take a claim back before it is verified."""
    decide = partial(claims.withdraw, award=award, claim=claim, reason=withdrawal.reason, by=ask.by)
    return await ask.record(decide, claim_stream(award, claim))


@router.post(
    "/{claim}/query",
    **command(VERIFIER | CERTIFIER, *_WAITING, claims.ClaimantMayNotDecide, claims.NoSuchLine, body=Query_),
)
async def query(award: AwardName, claim: ClaimName, asked: Annotated[Query_, sent(Query_)], ask: TheAsk) -> Recorded:
    """Ask the claimant; until the answer nothing is decided."""
    decide = partial(claims.query, award=award, claim=claim, question=asked.question, lines=asked.lines, by=ask.by)
    return await ask.record(decide, claim_stream(award, claim))


@router.post("/{claim}/answer", **command(CLAIMANT, *_WAITING, claims.NoQueryIsOpen, claims.NotTheClaimant, body=Answer))
async def answer(award: AwardName, claim: ClaimName, given: Annotated[Answer, sent(Answer)], ask: TheAsk) -> Recorded:
    """Answer the open query."""
    decide = partial(claims.answer, award=award, claim=claim, text=given.answer, by=ask.by)
    return await ask.record(decide, claim_stream(award, claim))


_DECIDED = (*_NAMED, claims.ClaimIsWithdrawn, claims.ReceiptIsNotConfirmed, claims.QueryIsOpen, claims.ClaimantMayNotDecide)


@router.post(
    "/{claim}/verification",
    **command(
        VERIFIER,
        *_DECIDED,
        verification.CertifierMayNotVerify,
        verification.NothingToDecide,
        verification.DecisionsDoNotFit,
        verification.ParticipantLimitsBroken,
        body=Verification,
    ),
)
async def verify(
    award: AwardName, claim: ClaimName, decisions: Annotated[Verification, sent(Verification)], ask: TheAsk
) -> Recorded:
    """Decide on a claim's lines, or later on those that were deferred (M4)."""
    decide = partial(verification.verify, award=award, claim=claim, verification=decisions, by=ask.by, today=ask.today)
    on = claim_stream(award, claim)
    return await ask.record(decide, on, quick=len(decisions.lines) <= _FEW_LINES and ask.ledger.is_short(on))


@router.post(
    "/{claim}/certification",
    **command(
        CERTIFIER,
        *_NAMED,
        claims.ClaimantMayNotDecide,
        certification.VerifierMayNotCertify,
        certification.NothingToCertify,
        certification.PrerequisiteNoLongerStands,
        awards.AwardIsClosedToClaims,
        awards.AwardIsCompleted,
        body=Certificate,
    ),
)
async def certify(
    award: AwardName, claim: ClaimName, certificate: Annotated[Certificate, sent(Certificate)], ask: TheAsk
) -> Recorded:
    """Sign off what was verified of a claim, or decline it."""
    decide = partial(certification.certify, award=award, claim=claim, certificate=certificate, by=ask.by, today=ask.today)
    return await ask.record(decide, claim_stream(award, claim))


# Questions ------------------------------------------------------------------------------------------------------------


@router.get("", **question(EVERYBODY, awards.NoSuchAward))
def page(award: AwardName, asked: TheListing, after: After = None, limit: Limit = LIMIT) -> Page[ClaimInList]:
    """An award's claims, in order of submission."""
    asked.ledger.load(awards.award_stream(award), asked.as_of)
    return paged(lambda start: asked.views.claims.page(award, start, asked.limited(limit), **asked.axes), after, _in_list)


def _in_list(row: Any) -> ClaimInList:
    return ClaimInList(
        claim=row.reference,
        claimant=row.claimant,
        status=row.status,
        period=Window(first=row.period_first, last=row.period_last),
        received_on=row.received_on,
        count=row.lines,
        value=row.claimed,
        accepted=row.accepted,
        rejected=row.rejected,
        deferred=row.deferred,
        assessed=row.assessed,
        curtailed=row.curtailed,
    )


@router.get("/{claim}", **question(EVERYBODY, *_NAMED, one=True))
def show(award: AwardName, claim: ClaimName, asked: TheReading, after: After = None, limit: Limit = LIMIT) -> ToldClaim:
    """A claim with its lines, decisions and assessments. Investors see its totals."""
    found, version = asked.look(claim_stream(award, claim))
    asked.tag(str(version))
    begin = offset(after, claims.MOST_LINES)
    lines = found.lines[begin : begin + asked.limited(limit)] if sees_lines(asked.caller, award) else None
    more = lines is not None and begin + len(lines) < len(found.lines)
    texts = Texts(asked, found, award, lines or ())
    return ToldClaim(
        award=found.submitted.award,
        claim=found.submitted.claim,
        claimant=found.submitted.claimant,
        status=found.status,
        period=found.submitted.period,
        received_on=found.submitted.received_on,
        receipt_confirmed=found.receipt_confirmed,
        query_open=found.open_query,
        submitted_by=found.submitted_by,
        verified_by=found.verified_by,
        count=len(found.lines),
        value=found.value,
        accepted=_sum(line.accepted_value for line in found.lines),
        rejected=_sum(line.rejected_value for line in found.lines),
        deferred=_sum(line.deferred_value for line in found.lines),
        awaiting=_sum(line.awaiting_value for line in found.lines),
        declined=_sum(line.declined_value for line in found.lines),
        assessed=_sum(line.assessed for line in found.lines),
        curtailed=_sum(line.curtailed for line in found.lines),
        assessments=found.assessments,
        queries=None if lines is None else texts.queries(claim_stream(award, claim).name, version),
        lines=None if lines is None else tuple(texts.told(line) for line in lines),
        next=cursor(str(begin + len(lines))) if lines is not None and more else None,
    )


def sees_lines(caller: Caller, award: str) -> bool:
    """Whether the caller may see lines at all: investors see totals."""
    return caller.has(frozenset(Role) - {Role.INVESTOR}, award)


def _sum(amounts: Iterable[Money]) -> Money:
    return sum(amounts, Money(0))


class Texts:
    """What the vault holds of some lines, for those who may see it (L5)."""

    def __init__(self, asked: Reading, claim: Claim, award: str, lines: Collection[Line]) -> None:
        caller = asked.caller
        sees = caller.has(SEE_TEXTS, award) or (caller.has(CLAIMANT, award) and caller.party == claim.submitted.claimant)
        self._asked, self._sees = asked, sees
        self._texts: dict[Commitment, str] = asked.ledger.reveal(_commitments(lines)) if sees else {}
        tokens = {line.claimed.participant for line in lines if line.claimed.participant}
        self._references: dict[Token, str] = asked.ledger.references(claim.submitted.award, tokens) if sees else {}

    def told(self, line: Line) -> ToldLine:
        """A line as it is told."""
        claimed = line.claimed
        return ToldLine(
            line=claimed.line,
            outcome=claimed.outcome,
            participant=self._references.get(claimed.participant) if claimed.participant else None,
            participant_token=claimed.participant if self._sees else None,
            participant_erased=self._sees and claimed.participant is not None and claimed.participant not in self._references,
            quantity=claimed.quantity,
            achieved_on=claimed.achieved_on,
            value=claimed.value,
            evidence=tuple(ToldEvidence(sha256=each.sha256, title=self._texts.get(each.title)) for each in claimed.evidence),
            note=self._text(claimed.note),
            accepted=line.accepted,
            rejected=line.rejected,
            deferred=line.deferred,
            assessed=line.assessed,
            curtailed=line.curtailed,
            decisions=tuple(
                ToldDecision(
                    accepted=each.accepted,
                    rejected=each.rejected,
                    deferred=each.deferred,
                    reason=each.reason,
                    note=self._text(each.note),
                )
                for each in line.decisions
            ),
            assessments=tuple(ToldAssessment.of(number, each) for number, each in line.assessments),
        )

    def queries(self, stream: str, upto: int) -> tuple[ToldQuery, ...]:
        """What was asked and answered by a version, from the claim's entries: what becomes of it does not depend on this."""
        rows = self._asked.ledger.log.reads.rows(0, _MOST_ENTRIES, stream=stream, upto=self._asked.position)
        told: list[ToldQuery] = []
        for entry in (decode(row, BY_NAME) for row in rows if row.type in _SAID and row.version <= upto):
            by, at = entry.person, entry.recorded_at
            match entry.event:
                case ClaimQueried(question=words, lines=about):
                    told.append(ToldQuery(asked_by=by, asked_at=at, lines=about, question=self._revealed(words)))
                case ClaimAnswered(answer=words):
                    answered = {"answered_by": by, "answered_at": at, "answer": self._revealed(words)}
                    told[-1] = told[-1].model_copy(update=answered)
                case _:
                    continue
        return tuple(told)

    def _revealed(self, commitment: Commitment) -> str | None:
        return self._asked.ledger.reveal([commitment]).get(commitment) if self._sees else None

    def _text(self, commitment: Commitment | None) -> str | None:
        return None if commitment is None else self._texts.get(commitment)


def _commitments(lines: Iterable[Line]) -> set[Commitment]:
    found: set[Commitment | None] = set()
    for line in lines:
        found.add(line.claimed.note)
        found.update(each.title for each in line.claimed.evidence)
        found.update(each.note for each in line.decisions)
    return {each for each in found if each is not None}
