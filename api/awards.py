"""Awards: registered by one person, agreed by another; their terms, version by version."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import date
from functools import partial
from typing import Annotated, Any, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.commands import Effect, Foreseen, Reassessed, Recorded, TheAsk, address, command, sent
from api.names import AwardName, VersionNumber
from api.readings import EVERYBODY, LIMIT, SEE_TEXTS, After, Limit, Page, Reading, TheListing, TheReading, paged, question
from domain import award as awards
from domain import closing, variation
from domain.aggregate import Commitment
from domain.award import Award, AwardRegistered, NoSuchAward, ProposedStep, Status, Step, TermsProposed, award_stream
from domain.claim import Note, Sha256
from domain.key import Role
from domain.money import Money
from domain.reference import Reference
from domain.terms import NoTermsInForce, Terms, TermsContradictThemselves, Title

router = APIRouter(prefix="/v1", tags=["awards"])
ADMINISTRATOR = frozenset({Role.ADMINISTRATOR})


class Registration(BaseModel):
    """An award with the first version of its terms."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reference: Reference = Field(examples=["INDIGO-POJ-0175"])
    title: Title
    sources: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=500)], ...], Field(max_length=20)] = ()
    terms: Terms


class Proposal(BaseModel):
    """A further version of the terms, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    terms: Terms
    reason: Note
    document_sha256: Sha256 | None = None
    decommitment: Annotated[bool, Field(strict=True, description="Lowers limits under what stands, and changes nothing else")] = (
        False
    )


class Stepping(BaseModel):
    """A step in an award's life that a second person must agree: pause it, resume it, or reopen it after its closing."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    step: Step
    reason: Note
    document_sha256: Sha256 | None = None


class ToldStep(BaseModel):
    """A step that waits for a second person."""

    step: Step
    proposed_by: str
    reason: str | None = Field(description="Shown to those who see claims' texts")
    document_sha256: str | None


class ToldVersion(BaseModel):
    """A version of the terms."""

    number: int
    proposed_by: str
    agreed_by: str | None
    reason: str | None = Field(description="Shown to those who see claims' texts")
    document_sha256: str | None
    decommitment: bool
    terms: Terms


class ToldStanding(BaseModel):
    """What the award's assessments have consumed so far."""

    assessed: Money
    others: Money = Field(description="Paid otherwise than for outcomes; it counts in `years` and `allotted` (M10)")
    unfunded: Money
    outcomes: dict[str, Money]
    years: dict[str, Money]
    allotted: dict[str, Money]


class ToldAward(BaseModel):
    """An award with all that was agreed."""

    reference: str
    title: str
    status: Status
    sources: tuple[str, ...]
    registered_by: str
    versions: tuple[ToldVersion, ...]
    agreed: tuple[int, ...] = Field(
        description="Versions in the order of agreement: in force on a day is the one with the latest `effective_from` by then,"
        " of equal ones the one agreed last"
    )
    in_force: int | None = Field(description="The version in force on `effective_on`, else at `as_of`, else today; nothing: none")
    step: ToldStep | None = Field(description="The step that is proposed, if one is")
    claims_waiting: tuple[str, ...]
    claims_deferred: tuple[str, ...]
    assessments: int
    standing: ToldStanding

    @classmethod
    def of(cls, award: Award, in_force: int | None, words: Mapping[Commitment, str]) -> Self:
        """An award as it is told, with the words behind its reasons, as far as they may be told."""
        stands = award.standing
        return cls(
            reference=award.reference,
            title=award.title,
            status=award.status,
            sources=award.sources,
            registered_by=award.registered_by,
            versions=tuple(
                ToldVersion(**{**dict(each), "reason": each.reason and words.get(each.reason)}) for each in award.versions
            ),
            agreed=award.agreed,
            in_force=in_force,
            step=_told_step(award.proposed_step, words),
            claims_waiting=tuple(sorted(award.open_claims)),
            claims_deferred=tuple(sorted(award.deferred_claims)),
            assessments=award.assessments,
            standing=ToldStanding(
                assessed=stands.assessed,
                others=stands.others,
                unfunded=stands.unfunded,
                outcomes=dict(stands.outcomes),
                years=dict(stands.years),
                allotted=dict(stands.allotted),
            ),
        )


def _told_step(step: ProposedStep | None, words: Mapping[Commitment, str]) -> ToldStep | None:
    return ToldStep(**{**asdict(step), "reason": words.get(step.reason)}) if step else None


class AwardInList(BaseModel):
    """What a list shows of an award."""

    reference: str
    title: str
    status: Status
    award_amount: Money | None = Field(description="Nothing as of the position at which its terms are not recorded yet")
    lead_commissioner: str | None
    claims: int
    claims_waiting: int
    assessed: Money
    curtailed: Money
    unfunded: Money
    illustrative: bool


@router.post("/awards", **command(ADMINISTRATOR, awards.AwardExists, TermsContradictThemselves, body=Registration, on_one=False))
async def register(registration: Annotated[Registration, sent(Registration)], ask: TheAsk) -> Recorded:
    """Register an award with the first version of its terms; it means nothing until a second person agrees."""
    event = AwardRegistered(reference=registration.reference, title=registration.title, sources=registration.sources)
    decide = partial(awards.register, registration=event, terms=registration.terms)
    done = await ask.done(decide)
    return ask.tell(done, award_stream(event.reference), new=address("awards", event.reference))


@router.get("/awards", **question(EVERYBODY))
def page(asked: TheListing, after: After = None, limit: Limit = LIMIT) -> Page[AwardInList]:
    """The awards that the key opens, in order of registration."""

    def rows(start: str | None) -> Any:
        return asked.views.awards.page(start, asked.limited(limit), asked.caller.only, **asked.axes)

    return paged(rows, after, _in_list)


def _in_list(row: Any) -> AwardInList:
    terms = row.terms
    return AwardInList(
        reference=row.reference,
        title=row.title,
        status=row.status,
        award_amount=terms and terms.award_amount,
        lead_commissioner=terms and terms.lead_commissioner,
        claims=row.claims,
        claims_waiting=row.open_claims,
        assessed=row.assessed,
        curtailed=row.curtailed,
        unfunded=row.unfunded,
        illustrative=terms is not None and terms.illustrative,
    )


@router.get("/awards/{award}", **question(EVERYBODY, NoSuchAward, one=True))
def show(award: AwardName, asked: TheReading) -> ToldAward:
    """An award: its parties, terms and standing."""
    found, version = asked.look(award_stream(award))
    in_force = _in_force(found, asked.day)
    # Which version is in force changes with the day alone: an answer that says another one is another answer.
    latest = found.agreed[-1] if found.agreed else None
    asked.tag(str(version) if in_force == latest else f"{version}.{in_force or 0}")
    return ToldAward.of(found, in_force, _words(found, asked))


def _words(award: Award, asked: Reading) -> Mapping[Commitment, str]:
    """The reasons of its terms and of the step that is proposed, for those who see texts."""
    reasons = [version.reason for version in award.versions if version.reason]
    reasons += [award.proposed_step.reason] if award.proposed_step else []
    return asked.ledger.reveal(reasons) if asked.caller.has(SEE_TEXTS, award.reference) else {}


def _in_force(award: Award, day: date) -> int | None:
    try:
        return award.agreement.on(day).number
    except NoTermsInForce:
        return None


@router.post("/awards/{award}/agreement", **command(ADMINISTRATOR, NoSuchAward, awards.AwardIsAgreed, awards.ProposerMayNotAgree))
async def agree(award: AwardName, ask: TheAsk) -> Recorded:
    """Agree an award's registration and first terms, as a second person (L1)."""
    return await ask.change(award_stream(award), lambda registered: registered.agree(ask.by))


_AGREED = (NoSuchAward, awards.AwardIsNotAgreed)
_TAKES_CLAIMS = (*_AGREED, awards.AwardIsClosedToClaims, awards.AwardIsCompleted)
_REASSESSED = (variation.OutcomeWasUsed, variation.ClaimsWouldBeTooLarge)
_UNACCEPTABLE = (*_TAKES_CLAIMS, awards.DecommitmentChangesMore, awards.LimitsUnderWhatStands)


@router.post(
    "/awards/{award}/terms",
    **command(ADMINISTRATOR, *_UNACCEPTABLE, TermsContradictThemselves, *_REASSESSED, body=Proposal, answer=Foreseen),
)
async def propose(award: AwardName, proposal: Annotated[Proposal, sent(Proposal)], ask: TheAsk) -> Foreseen:
    """Propose a further version of the terms, for a day that lies ahead, or a back-dated one (M9).

    With `dry_run=true` the answer tells every line that would change if it were agreed today, and the net for each payer; and it
    is refused where that would be.
    """
    today, stream = ask.today, award_stream(award)

    def decide(facts: Any) -> Any:
        under = facts[stream]
        reason = facts.conceal(proposal.reason, under.reference)
        proposed = under.propose(
            proposal.terms,
            today=today,
            reason=reason,
            document_sha256=proposal.document_sha256,
            decommitment=proposal.decommitment,
        )
        return {stream: (proposed,)}

    done = await ask.done(decide, stream)
    foreseen: Effect | None = None
    if ask.dry_run and not done.repeated:
        proposed = next(each.event for each in done.entries if isinstance(each.event, TermsProposed))
        foreseen = await ask.foresee(partial(variation.foresee, award=award, proposed=proposed, by=ask.by, today=today), stream)
    return Foreseen(**dict(ask.tell(done, stream, new=address("awards", award))), effect=foreseen)


@router.post(
    "/awards/{award}/terms/{version}/agreement",
    **command(
        ADMINISTRATOR,
        *_UNACCEPTABLE,
        awards.NoSuchVersion,
        awards.VersionIsAgreed,
        awards.ProposerMayNotAgree,
        *_REASSESSED,
        answer=Reassessed,
    ),
)
async def agree_terms(award: AwardName, version: VersionNumber, ask: TheAsk) -> Reassessed:
    """Agree a further version of the terms, as a second person (L1); a back-dated one reassesses what it changes (M9).

    With `dry_run=true` the answer tells, before anybody agrees, every line that will change and the net for each payer.
    """
    decide = partial(variation.agree, award=award, number=version, by=ask.by, today=ask.today)
    return await ask.reassess(decide, award_stream(award))


@router.post("/awards/{award}/closing", **command(ADMINISTRATOR, *_TAKES_CLAIMS, awards.AwardIsPaused, awards.ClaimsAreOpen))
async def close(award: AwardName, ask: TheAsk) -> Recorded:
    """Take no more claims: what is deferred lapses (M4), and the unused commitment goes back to the fund."""
    return await ask.record(partial(closing.close, award=award, today=ask.today), award_stream(award))


@router.post(
    "/awards/{award}/completion",
    **command(ADMINISTRATOR, *_AGREED, awards.AwardIsNotClosed, awards.AwardIsCompleted, awards.AwardIsNotDone),
)
async def complete(award: AwardName, ask: TheAsk) -> Recorded:
    """Complete an award that is closed to claims: all is paid, netted off, recovered or written off, and no proposal waits."""
    return await ask.record(partial(closing.complete, award=award, today=ask.today), award_stream(award))


@router.post(
    "/awards/{award}/step",
    **command(ADMINISTRATOR, *_AGREED, awards.StepDoesNotFit, awards.StepIsProposed, body=Stepping),
)
async def propose_step(award: AwardName, stepping: Annotated[Stepping, sent(Stepping)], ask: TheAsk) -> Recorded:
    """Propose to pause, resume or reopen an award; nothing changes until a second person agrees."""
    decide = partial(
        closing.propose_step,
        award=award,
        step=stepping.step,
        reason=stepping.reason,
        document_sha256=stepping.document_sha256,
    )
    return await ask.record(decide, award_stream(award))


@router.post(
    "/awards/{award}/step/agreement",
    **command(ADMINISTRATOR, *_AGREED, awards.NoStepIsProposed, awards.StepDoesNotFit, awards.ProposerMayNotAgree),
)
async def agree_step(award: AwardName, ask: TheAsk) -> Recorded:
    """Pause, resume or reopen an award, as a second person (L1)."""
    today = ask.today
    return await ask.change(award_stream(award), lambda under: under.agree_step(ask.by, today=today))


@router.post("/awards/{award}/step/withdrawal", **command(ADMINISTRATOR, NoSuchAward, awards.NoStepIsProposed))
async def withdraw_step(award: AwardName, ask: TheAsk) -> Recorded:
    """Withdraw the step that was proposed, or turn it down."""
    return await ask.change(award_stream(award), lambda under: under.withdraw_step())
