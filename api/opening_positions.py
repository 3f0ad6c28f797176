"""Opening positions: where an award that began elsewhere stood, proposed by one person and agreed by another (section 3)."""

from functools import partial
from typing import Annotated, Any, Final

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, model_validator

from api.awards import ADMINISTRATOR
from api.claims import CERTIFIER
from api.commands import Recorded, TheAsk, address, command, sent
from api.names import AwardName
from api.proposals import Withdrawal
from api.readings import LIMIT, NOT_INVESTORS, SEE_TEXTS, After, Limit, Page, TheReading, cursor, offset, question
from api.tables import rows
from domain import opening_position as opening_positions
from domain.award import AwardIsClosedToClaims, AwardIsCompleted, AwardIsNotAgreed, AwardIsPaused, NoSuchAward, award_stream
from domain.brought_forward import MOST_LINES, EarlierAllotment, EarlierOutcome, EarlierSplit, EarlierYear
from domain.calendar import Day
from domain.money import Money, Quantity, total
from domain.opening_position import NoSuchOpeningPosition, Opening, OpeningLine, opening_position_stream
from domain.proposal import Status

router = APIRouter(prefix="/v1/awards/{award}/opening-position", tags=["opening positions"])
COLUMNS: Final = tuple(OpeningLine.model_fields)
"""Of lines as CSV."""


class Proposal(Opening):
    """An opening position. What participants had accepted comes as `lines`, or as CSV with a heading, in `lines_csv`."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "stands_on": "2021-09-30",
                "outcomes": [{"outcome": "ENTRY", "year": "2020-21", "quantity": "2", "assessed": "2800.00"}],
                "payers": [
                    {"payer": "GB-LAE-KIR", "year": "2020-21", "allotted": "1985.78", "paid": "1500.00", "due": "485.78"},
                    {"payer": "GB-GOR-D5", "year": "2020-21", "allotted": "814.22", "paid": "814.22"},
                ],
                "splits": [{"version": 1, "split": "2800.00", "parts": {"GB-LAE-KIR": "1985.78", "GB-GOR-D5": "814.22"}}],
                "lines_csv": "participant,outcome,quantity,achieved_on,assessed\n"
                "KIR-0001,ENTRY,1,2020-06-01,1400.00\nKIR-0002,ENTRY,1,2020-09-14,1400.00\n",
                "reason": "Kept in spreadsheets until September 2021.",
            }
        }
    )

    lines_csv: str | None = Field(default=None, description=f"Instead of `lines`: a table with the columns {', '.join(COLUMNS)}")

    @model_validator(mode="before")
    @classmethod
    def _read(cls, said: Any) -> Any:
        """Rows become lines before anything is looked at, so that what is wrong with them is told with all the rest."""
        table = said.get("lines_csv") if isinstance(said, dict) else None
        if not isinstance(table, str):
            return said
        if said.get("lines"):
            raise ValueError("says `lines` and `lines_csv`, of which one stands for the other")
        return {**said, "lines_csv": None, "lines": list(rows(table.removeprefix("\ufeff"), COLUMNS, COLUMNS))}


class ToldOpeningPosition(BaseModel):
    """An opening position, and what became of it. The reason is shown to those who see claims' texts."""

    status: Status
    stands_on: Day
    proposed_by: str
    agreed_by: str | None
    assessment: int | None = Field(description="The assessment that opened it, by which fell due what was not paid")
    reason: str | None
    document_sha256: str | None
    assessed: Money
    other_payments: Money
    unfunded: Money
    allotted: Money
    paid: Money
    due: Money
    owed_back: Money
    outcomes: tuple[EarlierOutcome, ...]
    payers: tuple[EarlierAllotment, ...]
    years: tuple[EarlierYear, ...]
    splits: tuple[EarlierSplit, ...]
    lines: int = Field(description="How many lines of participants it has")


class ToldLine(BaseModel):
    """What was accepted for a participant, who is told to those who may see references."""

    line: int
    participant: str | None = Field(description="The provider's reference; nothing once it is erased")
    participant_token: str | None
    outcome: str
    quantity: Quantity
    achieved_on: Day
    assessed: Money


_UNDER = (NoSuchAward, AwardIsNotAgreed, AwardIsPaused, AwardIsClosedToClaims, AwardIsCompleted, opening_positions.AwardHasBegun)
_NAMED = (NoSuchOpeningPosition, opening_positions.NoOpeningPositionIsProposed)


@router.post(
    "",
    **command(
        ADMINISTRATOR,
        *_UNDER,
        opening_positions.OpeningPositionIsProposed,
        opening_positions.OpeningPositionIsAgreed,
        opening_positions.OpeningPositionDoesNotFit,
        body=Proposal,
    ),
)
async def propose(award: AwardName, opening: Annotated[Proposal, sent(Proposal)], ask: TheAsk) -> Recorded:
    """Say where an award stood that ran elsewhere, before anything is claimed here; a second person must agree.

    Everything that is wrong is told at once, and nothing of it recorded: try it as a dry run.
    """
    decide = partial(opening_positions.propose, award=award, opening=opening, today=ask.today)
    return await ask.record(decide, opening_position_stream(award), new=address("awards", award, "opening-position"))


@router.get("", **question(NOT_INVESTORS, NoSuchAward, NoSuchOpeningPosition, one=True))
def show(award: AwardName, asked: TheReading) -> ToldOpeningPosition:
    """The opening position that was proposed last, and what became of it."""
    asked.look(award_stream(award))
    found = asked.load(opening_position_stream(award))
    said, figures = found.proposed, found.figures
    sees = asked.caller.has(SEE_TEXTS, award)
    return ToldOpeningPosition(
        status=found.status,
        stands_on=said.stands_on,
        proposed_by=found.proposed_by,
        agreed_by=found.agreed_by,
        assessment=found.agreed.assessment if found.agreed else None,
        reason=asked.ledger.reveal([said.reason]).get(said.reason) if sees else None,
        document_sha256=said.document_sha256,
        assessed=said.assessed,
        other_payments=said.others,
        unfunded=said.unfunded,
        allotted=total(each.allotted for each in figures.payers),
        paid=total(each.paid for each in figures.payers),
        due=total(each.due for each in figures.payers),
        owed_back=total(each.owed_back for each in figures.payers),
        outcomes=figures.outcomes,
        payers=figures.payers,
        years=figures.years,
        splits=figures.splits,
        lines=len(found.lines),
    )


@router.get("/lines", **question(NOT_INVESTORS, NoSuchAward, NoSuchOpeningPosition, one=True))
def lines(award: AwardName, asked: TheReading, after: After = None, limit: Limit = LIMIT) -> Page[ToldLine]:
    """What participants had accepted, by the opening position that was proposed last."""
    under, _ = asked.look(award_stream(award))
    found = asked.load(opening_position_stream(award))
    begin = offset(after, MOST_LINES)
    shown = found.lines[begin : begin + asked.limited(limit)]
    sees = asked.caller.has(SEE_TEXTS, award)
    references = asked.ledger.references(under.reference, {each.participant for each in shown}) if sees else {}
    end = begin + len(shown)
    return Page(
        rows=tuple(
            ToldLine(
                line=number,
                participant=references.get(each.participant),
                participant_token=each.participant if sees else None,
                outcome=each.outcome,
                quantity=each.quantity,
                achieved_on=each.achieved_on,
                assessed=each.assessed,
            )
            for number, each in enumerate(shown, begin + 1)
        ),
        next=cursor(str(end)) if end < len(found.lines) else None,
    )


@router.post(
    "/agreement",
    **command(
        ADMINISTRATOR | CERTIFIER,
        *_UNDER,
        *_NAMED,
        opening_positions.OpeningPositionDoesNotFit,
        opening_positions.ProposerMayNotOpen,
        opening_positions.BeneficiaryMayNotOpen,
    ),
)
async def agree(award: AwardName, ask: TheAsk) -> Recorded:
    """Agree an award's opening position, as a second person (L1): from now on it counts, and what is due falls due here."""
    decide = partial(opening_positions.agree, award=award, by=ask.by, today=ask.today)
    return await ask.record(decide, opening_position_stream(award))


@router.post("/withdrawal", **command(ADMINISTRATOR | CERTIFIER, NoSuchAward, *_NAMED, body=Withdrawal))
async def withdraw(award: AwardName, withdrawal: Annotated[Withdrawal, sent(Withdrawal)], ask: TheAsk) -> Recorded:
    """Withdraw an opening position that waits for its second person, or turn it down; another one may be proposed."""
    decide = partial(opening_positions.withdraw, award=award, reason=withdrawal.reason)
    return await ask.record(decide, opening_position_stream(award))
