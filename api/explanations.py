"""Explanations: why a line was assessed at an amount, and why a payer owes one, step by step and in plain English."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.assessments import NoSuchAssessment, moved
from api.claims import sees_lines
from api.names import AssessmentNumber, AwardName, PayerName
from api.readings import EVERYBODY, NOT_INVESTORS, Reading, TheReading, question
from domain.aggregate import Stream
from domain.assessment import Kind
from domain.award import Award, AwardAssessed, NoSuchAward, award_stream
from domain.calendar import london_day
from domain.claim import ClaimCertified, ClaimReceiptConfirmed, ClaimSubmitted, ClaimVerified, claim_stream
from domain.event import Event
from domain.explanation import (
    AssessmentsMade,
    Explanation,
    Moved,
    Step,
    Told,
    explain,
    explain_payment,
    explain_stated,
    stood_before,
)
from domain.money import Money
from domain.other_payment import OtherPaymentAgreed
from domain.payment import NoSuchPayment, payment_stream
from domain.reference import Reference, canonical
from domain.refusal import Absent, Invalid
from domain.wording import day, pounds
from ledger.entry import Entry, decode
from projections.trails import sentence

router = APIRouter(prefix="/awards/{award}", tags=["explanations"])
_AT_ONCE: Final = 500
_NEAR: Final = 1_000
"""Within so many entries of a payment's first one stands what it was agreed by: one decision is recorded in one go."""
LineNumber = Annotated[int, Path(alias="line", ge=1, le=999_999, description="The line's number in its claim")]


class LineWasNotMoved(Absent):
    """The assessment moved no line of this number."""


class LineIsInSeveralClaims(Invalid):
    """The assessment moved lines of this number in several claims; say in which by `claim`."""


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
    before, made = _assessment(asked, award, assessment)
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
        all_moved=[each for _, _, each in everything],
    )
    name = of.submitted.claim
    entries = tuple(_told_entry(each, whole=True) for each in _about(asked, claim_stream(award, name), line, assessment))
    title = f"Line {line} of claim {name} in assessment {assessment} of {before.reference}"
    return _told(explain(told), before, assessment, title, entries, claim=name, line=line)


@router.get("/payments/{assessment}/{payer}/explanation", **question(EVERYBODY, NoSuchAward, NoSuchPayment))
def of_payment(award: AwardName, assessment: AssessmentNumber, payer: PayerName, asked: TheReading) -> ToldExplanation:
    """Why a payer owes what it owes by an assessment: what claims allotted it, what was taken back, what was netted off."""
    stream = payment_stream(award, assessment, payer)
    payment, _ = asked.look(stream)
    before, made = _assessment(asked, award, assessment)
    entries = list(_entries(asked, stream))
    stated = _stated(asked, before, made, entries[0].position) if made.kind is Kind.OTHER_PAYMENT else None
    lines = (Moved(of.submitted.claim, each) for of, _, each in moved(asked, before, made))
    whole = sees_lines(asked.caller, award)
    told = tuple(_told_entry(each, whole=whole) for each in entries)
    title = f"What {payment.payer} owes by assessment {assessment} of {before.reference}"
    explanation = explain_payment(payment, lines if stated is None else (), stated, by_line=whole)
    return _told(explanation, before, assessment, title, told, payer=payment.payer)


def _assessment(asked: Reading, award: str, assessment: int) -> tuple[Award, AwardAssessed]:
    """The award as it was before an assessment, and the assessment."""
    asked.look(award_stream(award))
    # As of a position, because what is remembered under this name is an award.
    found, _ = asked.ledger.load(Stream(award_stream(award).name, AssessmentsMade), asked.position, asked.effective_on)
    if assessment > len(found.made):
        raise NoSuchAssessment(name=assessment)
    return found.made[assessment - 1]


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
    after = 0
    while rows := asked.ledger.log.reads.rows(after, _AT_ONCE, stream=stream.name, upto=asked.position):
        yield from (decode(row, asked.ledger.registry) for row in rows)
        after = rows[-1].position


def _about(asked: Reading, claim: Stream[Any], line: int, assessment: int) -> Iterator[Entry]:
    """What happened to a line of a claim, up to an assessment of it and with that."""
    for each in _entries(asked, claim):
        number = getattr(each.event, "assessment", None)
        if number is not None and number > assessment:
            return
        if isinstance(each.event, _OF_ALL_LINES) or _names(each.event, line):
            yield each


_OF_ALL_LINES: Final = (ClaimSubmitted, ClaimReceiptConfirmed, ClaimVerified, ClaimCertified)


def _names(event: Event, line: int) -> bool:
    lines = getattr(event, "lines", ())
    return isinstance(lines, tuple) and any(getattr(each, "line", each) == line for each in lines)


def _told_entry(entry: Entry, *, whole: bool) -> EntryStoodOn:
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
    steps = (f"{number}. {step.says} ({step.rule})" for number, step in enumerate(explanation.steps, 1))
    stood_on = (f"  entry {each.position}, {day(london_day(each.recorded_at))}: {each.sentence}" for each in entries)
    text = "\n".join((f"{title}: {pounds(explanation.amount)}", "", *steps, "", "It stands on:", *stood_on, ""))
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
        text=text,
    )
