"""Assessments: what the terms made of accepted lines, as it was worked out and stored."""

from collections.abc import Iterator

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.names import AssessmentNumber, AwardName
from api.readings import NOT_INVESTORS, Reading, TheReading, question
from domain.aggregate import Stream
from domain.assessment import AssessedLine, Kind, ReversedLine
from domain.award import Award, AwardAssessed, NoSuchAward, award_stream
from domain.calendar import Day
from domain.claim import Claim, Line, claim_stream
from domain.explanation import AssessmentsMade
from domain.money import NOTHING, Money, Quantity
from domain.refusal import Absent

router = APIRouter(prefix="/v1", tags=["assessments"])


class NoSuchAssessment(Absent):
    """The award has no assessment of this number."""


class ToldLine(AssessedLine):
    """A line as it was assessed, with its claim."""

    claim: str


class ToldReversal(ReversedLine):
    """What was taken back of a line, with its claim."""

    claim: str


class ToldAssessment(BaseModel):
    """An assessment: each line explained, and what all of them added to what the award has consumed."""

    award: str
    assessment: int
    kind: Kind
    claim: str | None = Field(description="The claim that it is about, where it is about one")
    on: Day
    assessed: Money
    others: Money = Field(description="What it is, if it is a payment other than for outcomes, which explains itself (M10)")
    curtailed: Money
    quantities: dict[str, Quantity]
    outcomes: dict[str, Money]
    years: dict[str, Money]
    allotted: dict[str, Money]
    paid_before: dict[str, Money] = Field(description="What payers had paid elsewhere, if it opens the award's position")
    unfunded: Money
    reversed: dict[str, Money] = Field(description="What became receivable, by payer")
    lines: tuple[ToldLine, ...]
    reversals: tuple[ToldReversal, ...] = Field(description="What was taken back, line by line")


@router.get("/awards/{award}/assessments/{assessment}", **question(NOT_INVESTORS, NoSuchAward, NoSuchAssessment))
def show(award: AwardName, assessment: AssessmentNumber, asked: TheReading) -> ToldAssessment:
    """An assessment, line by line: price, limits, parts, shortfalls, allotments."""
    _, made = assessment_made(asked, award, assessment)
    under, _ = asked.look(award_stream(award))
    told = list(_lines(asked, under, made))
    return ToldAssessment(
        award=under.reference,
        assessment=assessment,
        kind=made.kind,
        claim=made.claim,
        on=made.on,
        assessed=made.assessed,
        others=made.others or NOTHING,
        curtailed=made.curtailed,
        quantities=made.quantities,
        outcomes=made.outcomes,
        years=made.years,
        allotted=made.allotted,
        paid_before=made.paid_before or {},
        unfunded=made.unfunded,
        reversed=made.reversed or {},
        lines=tuple(each for each in told if isinstance(each, ToldLine)),
        reversals=tuple(each for each in told if isinstance(each, ToldReversal)),
    )


def _lines(asked: Reading, award: Award, made: AwardAssessed) -> Iterator[ToldLine | ToldReversal]:
    for claim, _, each in moved(asked, award, made):
        kind = ToldLine if isinstance(each, AssessedLine) else ToldReversal
        yield kind.model_construct(claim=claim.submitted.claim, **dict(each))


def moved(asked: Reading, award: Award, made: AwardAssessed) -> Iterator[tuple[Claim, Line, AssessedLine | ReversedLine]]:
    """What an assessment did, line by line; one that is about several claims is looked for in all of them."""
    for name in award.claims if made.claim is None else (made.claim,):
        claim, _ = asked.look(claim_stream(award.reference, name))
        for line in claim.lines:
            for number, each in line.assessments:
                if number == made.assessment:
                    yield claim, line, each


def assessment_made(asked: Reading, award: str, assessment: int) -> tuple[Award, AwardAssessed]:
    """The award as it was before an assessment, and the assessment."""
    asked.look(award_stream(award))
    # As of a position, because what is remembered under this name is an award.
    found, _ = asked.ledger.load(Stream(award_stream(award).name, AssessmentsMade), asked.position, asked.effective_on)
    if assessment > len(found.made):
        raise NoSuchAssessment(name=assessment)
    return found.made[assessment - 1]
