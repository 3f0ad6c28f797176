"""Assessments: what the terms made of accepted lines, as it was worked out and stored."""

from dataclasses import dataclass, replace
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from api.names import AssessmentNumber, AwardName
from api.readings import NOT_INVESTORS, Reading, TheReading, question
from domain.aggregate import Aggregate, PersonId, Stream
from domain.assessment import AssessedLine, Kind
from domain.award import AwardAssessed, NoSuchAward, award_stream
from domain.calendar import Day
from domain.claim import claim_stream
from domain.money import Money, Quantity
from domain.refusal import Absent

router = APIRouter(tags=["assessments"])


class NoSuchAssessment(Absent):
    """The award has no assessment of this number."""


class ToldAssessment(BaseModel):
    """An assessment: each line explained, and what all of them added to what the award has consumed."""

    award: str
    assessment: int
    kind: Kind
    claim: str
    on: Day
    assessed: Money
    curtailed: Money
    quantities: dict[str, Quantity]
    outcomes: dict[str, Money]
    years: dict[str, Money]
    allotted: dict[str, Money]
    unfunded: Money
    lines: tuple[AssessedLine, ...]


@router.get("/awards/{award}/assessments/{assessment}", **question(NOT_INVESTORS, NoSuchAward, NoSuchAssessment))
def show(award: AwardName, assessment: AssessmentNumber, asked: TheReading) -> ToldAssessment:
    """An assessment, line by line: price, limits, parts, shortfalls, allotments."""
    under, _ = asked.ledger.load(award_stream(award), asked.as_of)
    if assessment > under.assessments:
        raise NoSuchAssessment(name=assessment)
    made = _made(asked, award, assessment)
    claim, _ = asked.ledger.load(claim_stream(award, made.claim), asked.as_of)
    lines = tuple(each for line in claim.lines for number, each in line.assessments if number == assessment)
    return ToldAssessment(
        award=under.reference,
        assessment=assessment,
        kind=made.kind,
        claim=made.claim,
        on=made.on,
        assessed=made.assessed,
        curtailed=made.curtailed,
        quantities=made.quantities,
        outcomes=made.outcomes,
        years=made.years,
        allotted=made.allotted,
        unfunded=made.unfunded,
        lines=lines,
    )


@dataclass(frozen=True, slots=True)
class _Assessments(Aggregate):
    """An award's own entries of its assessments: its stream is short, and holds one for each."""

    made: tuple[AwardAssessed, ...] = ()

    @classmethod
    def evolve(cls, state: "_Assessments | None", event: Any, by: PersonId) -> "_Assessments":  # noqa: ARG003 (whoever)
        before = state or cls()
        return replace(before, made=(*before.made, event)) if isinstance(event, AwardAssessed) else before


def _made(asked: Reading, award: str, assessment: int) -> AwardAssessed:
    # As of a position, because what is remembered under this name is an award.
    found, _ = asked.ledger.load(Stream(award_stream(award).name, _Assessments), asked.position)
    return next(event for event in found.made if event.assessment == assessment)
