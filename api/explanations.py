"""Explanations: why a line was assessed at an amount, and why a payer owes one, step by step and in plain English.

And what became of any line that was claimed, also if nothing follows for it: who decided what, when, and for which reason.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.assessments import NoSuchAssessment, assessment_made, moved
from api.claims import sees_lines
from api.commands import address
from api.names import AssessmentNumber, AwardName, ClaimName, PayerName
from api.readings import EVERYBODY, NOT_INVESTORS, Reading, TheReading, question
from domain.aggregate import Actor, Stream
from domain.assessment import AssessedLine, Kind
from domain.award import Award, AwardAssessed, NoSuchAward, award_stream
from domain.calendar import london_day
from domain.claim import (
    Claim,
    ClaimAnswered,
    ClaimCertified,
    ClaimDeclined,
    ClaimQueried,
    ClaimReceiptConfirmed,
    ClaimSubmitted,
    ClaimVerified,
    ClaimWithdrawn,
    Line,
    NoSuchClaim,
    claim_stream,
)
from domain.course import Act, trace
from domain.event import Event
from domain.explanation import (
    Explanation,
    Moved,
    Step,
    Told,
    explain,
    explain_payment,
    explain_stated,
    given_before,
    stood_before,
)
from domain.money import Money, total
from domain.other_payment import OtherPaymentAgreed
from domain.payment import NoSuchPayment, payment_stream
from domain.person import person_stream
from domain.reference import Reference, canonical
from domain.refusal import Absent, Invalid
from domain.wording import day, pounds
from ledger.entry import Entry, decode
from projections.trails import sentence

router = APIRouter(prefix="/v1/awards/{award}", tags=["explanations"])
_AT_ONCE: Final = 500
_NEAR: Final = 1_000
"""Within so many entries of a payment's first one stands what it was agreed by: one decision is recorded in one go."""
LineNumber = Annotated[int, Path(alias="line", ge=1, le=999_999, description="The line's number in its claim")]


class LineWasNotMoved(Absent):
    """The assessment moved no line of this number."""


class LineIsInSeveralClaims(Invalid):
    """The assessment moved lines of this number in several claims; say in which by `claim`."""


class NoSuchClaimedLine(Absent):
    """The claim has no line of this number."""


class EntryStoodOn(BaseModel):
    """An entry of the log that an explanation stands on."""

    position: int
    type: str
    recorded_at: datetime
    person: str | None = Field(description="Who did it; not told to investors")
    sentence: str


class ToldExplanation(BaseModel):
    """Why an amount is what it is. The last step ends in it."""

    award: str
    assessment: int
    claim: str | None = Field(description="The claim of the line, if a line is explained")
    line: int | None
    payer: str | None = Field(description="The payer, if a payment is explained")
    amount: Money = Field(description="What is explained: what the assessment changed of the line, or what the payer owes")
    version: int = Field(description="The version of the terms by which it is priced and split")
    entries: tuple[EntryStoodOn, ...]
    steps: tuple[Step, ...]
    text: str = Field(description="All of it as plain text, for people")


class MovedBy(BaseModel):
    """An assessment that moved a line, and where it is explained."""

    assessment: int
    amount: Money = Field(description="What it changed of the line")
    explanation: str = Field(description="The address of its explanation")


class ToldCourse(BaseModel):
    """What became of a claimed line. The last step ends in what stands assessed of it, which may be nothing."""

    award: str
    claim: str
    line: int
    amount: Money = Field(description="What stands assessed of the line")
    version: int = Field(description="The version of the terms by which it is priced")
    assessments: tuple[MovedBy, ...] = Field(description="The assessments that moved it; none: no amount follows")
    entries: tuple[EntryStoodOn, ...]
    steps: tuple[Step, ...]
    text: str = Field(description="All of it as plain text, for people")


@router.get(
    "/assessments/{assessment}/lines/{line}/explanation",
    **question(NOT_INVESTORS, NoSuchAward, NoSuchAssessment, LineWasNotMoved, LineIsInSeveralClaims),
)
def of_line(
    award: AwardName,
    assessment: AssessmentNumber,
    line: LineNumber,
    asked: TheReading,
    claim: Annotated[Reference | None, Query(description="The line's claim, where the assessment is about several")] = None,
) -> ToldExplanation:
    """Why an assessment changed a line by an amount: terms, price, limits, parts and allotments, each step with its rule."""
    before, made = assessment_made(asked, award, assessment)
    everything = list(moved(asked, before, made))
    wanted = None if claim is None else canonical(claim)
    found = [(of, its) for of, its, each in everything if each.line == line and wanted in {None, canonical(of.submitted.claim)}]
    if not found:
        raise LineWasNotMoved(name=line)
    if len({of.submitted.claim for of, _ in found}) > 1:
        raise LineIsInSeveralClaims(claims=sorted({of.submitted.claim for of, _ in found}))
    of, its = found[0]
    told = Told(
        award=before,
        on=made.on,
        received_on=of.submitted.received_on,
        before=stood_before(its, assessment),
        moved=[each for number, each in its.assessments if number == assessment],
        given=given_before(before, (each for _, _, each in everything)),
    )
    name = of.submitted.claim
    entries = tuple(told_entry(each, whole=True) for each in _about(asked, claim_stream(award, name), line, assessment))
    title = title_of_line(before.reference, name, line, assessment)
    return _told(explain(told), before, assessment, title, entries, claim=name, line=line)


@router.get("/claims/{claim}/lines/{line}/explanation", **question(NOT_INVESTORS, NoSuchAward, NoSuchClaim, NoSuchClaimedLine))
def of_claimed_line(award: AwardName, claim: ClaimName, line: LineNumber, asked: TheReading) -> ToldCourse:
    """What became of a line of a claim: who decided what, when and for which reason, and why an amount follows or none."""
    stream = claim_stream(award, claim)
    asked.look(award_stream(award))
    found, version = asked.look(stream)
    if line > len(found.lines):
        raise NoSuchClaimedLine(name=line)
    its, name = found.lines[line - 1], found.submitted.claim
    entries = [each for each in _entries(asked, stream) if each.version <= version and _says_of(each.event, line)]
    under, _ = asked.ledger.load(award_stream(award), entries[0].position)  # The terms of the day on which it was submitted.
    explanation = trace(found, line, under.agreement.on(its.claimed.achieved_on), _acts(asked, entries))
    assessments = tuple(_moved_by(under.reference, found, its))
    told = tuple(told_entry(each, whole=True) for each in entries)
    explained = [f"  assessment {each.assessment}, {pounds(each.amount)}: {each.explanation}" for each in assessments]
    more = ("", "Explained by themselves:", *explained) if explained else ()
    return ToldCourse(
        award=under.reference,
        claim=name,
        line=line,
        amount=explanation.amount,
        version=explanation.version,
        assessments=assessments,
        entries=told,
        steps=explanation.steps,
        text=text_of(title_of_line(under.reference, name, line), explanation, told, more),
    )


def _moved_by(award: str, claim: Claim, line: Line) -> Iterator[MovedBy]:
    for number in dict.fromkeys(number for number, _ in line.assessments):
        moves = [each for of, each in line.assessments if of == number]
        amounts = [each.assessed if isinstance(each, AssessedLine) else Money(-each.reversed) for each in moves]
        path = address("awards", award, "assessments", number, "lines", line.claimed.line, "explanation")
        yield MovedBy(assessment=number, amount=total(amounts), explanation=f"{path}?claim={claim.submitted.claim}")


def _acts(asked: Reading, entries: Iterable[Entry]) -> Iterator[Act]:
    @cache
    def actor(person: str) -> Actor:
        return asked.ledger.load(person_stream(person), asked.as_of)[0].actor

    return (Act(each.event, actor(each.person), london_day(each.recorded_at)) for each in entries)


@router.get("/payments/{assessment}/{payer}/explanation", **question(EVERYBODY, NoSuchAward, NoSuchPayment))
def of_payment(award: AwardName, assessment: AssessmentNumber, payer: PayerName, asked: TheReading) -> ToldExplanation:
    """Why a payer owes what it owes by an assessment: what claims allotted it, what was taken back, what was netted off."""
    stream = payment_stream(award, assessment, payer)
    payment, _ = asked.look(stream)
    before, made = assessment_made(asked, award, assessment)
    entries = list(_entries(asked, stream))
    stated = _stated(asked, before, made, entries[0].position) if made.kind is Kind.OTHER_PAYMENT else None
    lines = (Moved(of.submitted.claim, each) for of, _, each in moved(asked, before, made))
    whole = sees_lines(asked.caller, award)
    told = tuple(told_entry(each, whole=whole) for each in entries)
    title = title_of_payment(before.reference, payment.payer, assessment)
    explanation = explain_payment(payment, lines if stated is None else (), stated, by_line=whole)
    return _told(explanation, before, assessment, title, told, payer=payment.payer)


def _stated(asked: Reading, before: Award, made: AwardAssessed, position: int) -> Explanation | None:
    """How the sum was split that two persons agreed to pay otherwise than for outcomes."""
    rows = asked.ledger.log.reads.rows(max(position - _NEAR, 0), 2 * _NEAR, award=before.reference, upto=asked.position)
    for row in rows:
        if row.type == OtherPaymentAgreed.model_fields["type"].default:
            event = decode(row, asked.ledger.registry).event
            if isinstance(event, OtherPaymentAgreed) and event.assessment == made.assessment:
                return explain_stated(event.split, before, made.on, event.dated)
    return None


# The entries that an explanation stands on ----------------------------------------------------------------------------


def _entries(asked: Reading, stream: Stream[Any]) -> Iterator[Entry]:
    rows = asked.ledger.log.reads.walk(stream=stream.name, upto=asked.position, at_once=_AT_ONCE)
    return (decode(row, asked.ledger.registry) for row in rows)


def _about(asked: Reading, claim: Stream[Any], line: int, assessment: int) -> Iterator[Entry]:
    """What happened to a line of a claim, up to an assessment of it and with that."""
    for each in _entries(asked, claim):
        number = getattr(each.event, "assessment", None)
        if number is not None and number > assessment:
            return
        if isinstance(each.event, OF_ALL_LINES) or _names(each.event, line):
            yield each


OF_ALL_LINES: Final = (ClaimSubmitted, ClaimReceiptConfirmed, ClaimVerified, ClaimCertified)
"""What happens to a claim as a whole, on the way to an assessment of any of its lines."""


OF_ITS_CLAIM: Final = (*OF_ALL_LINES, ClaimWithdrawn, ClaimDeclined, ClaimQueried, ClaimAnswered)
"""What happens to a claim as a whole."""


def _says_of(event: Event, line: int) -> bool:
    """Whether an event says something of a line, or of its claim as a whole."""
    return isinstance(event, OF_ITS_CLAIM) or _names(event, line)


def _names(event: Event, line: int) -> bool:
    lines = getattr(event, "lines", ())
    return isinstance(lines, tuple) and any(getattr(each, "line", each) == line for each in lines)


def told_entry(entry: Entry, *, whole: bool) -> EntryStoodOn:
    """An entry as an explanation stands on it."""
    return EntryStoodOn(
        position=entry.position,
        type=entry.type,
        recorded_at=entry.recorded_at,
        person=entry.person if whole else None,
        sentence=sentence(entry.event, entry.stream),
    )


def _told(
    explanation: Explanation,
    award: Award,
    assessment: int,
    title: str,
    entries: tuple[EntryStoodOn, ...],
    *,
    claim: str | None = None,
    line: int | None = None,
    payer: str | None = None,
) -> ToldExplanation:
    return ToldExplanation(
        award=award.reference,
        assessment=assessment,
        claim=claim,
        line=line,
        payer=payer,
        amount=explanation.amount,
        version=explanation.version,
        entries=entries,
        steps=explanation.steps,
        text=text_of(title, explanation, entries),
    )


def title_of_line(award: str, claim: str, line: int, assessment: int | None = None) -> str:
    """What is explained: what an assessment did to a line, or what became of it."""
    return f"Line {line} of claim {claim}{f' in assessment {assessment}' if assessment else ''} of {award}"


def title_of_payment(award: str, payer: str, assessment: int) -> str:
    """What is explained: what a payer owes."""
    return f"What {payer} owes by assessment {assessment} of {award}"


def text_of(title: str, explanation: Explanation, entries: Iterable[EntryStoodOn], more: Iterable[str] = ()) -> str:
    """An explanation for people: what it comes to, its steps, and the entries that it stands on."""
    steps = (f"{number}. {step.says} ({step.rule})" for number, step in enumerate(explanation.steps, 1))
    stood_on = (f"  entry {each.position}, {day(london_day(each.recorded_at))}: {each.sentence}" for each in entries)
    return "\n".join((f"{title}: {pounds(explanation.amount)}", "", *steps, "", "It stands on:", *stood_on, *more, ""))
