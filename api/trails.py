"""The audit trail of an award: its entries in order, each with who, when, what in a sentence, and the amounts moved."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.claims import sees_lines
from api.names import AwardName
from api.readings import EVERYBODY, LIMIT, SEE_TEXTS, Limit, TheHistory, question
from api.telling import note
from domain.aggregate import Commitment
from domain.award import NoSuchAward, award_stream
from domain.key import Role
from domain.money import Money
from projections.trails import TrailRow

router = APIRouter(prefix="/v1", tags=["trail"])
_TOTALS: Final = ("award.", "payment.")
_TOTALS_OF_CLAIMS: Final = frozenset(
    {"claim.submitted", "claim.withdrawn", "claim.verified", "claim.certified", "claim.declined", "claim.receipt-confirmed"}
)


class ToldStep(BaseModel):
    """One thing that happened under the award."""

    position: int
    sequence: int = Field(description="Counts the award's entries from 1, without gaps; investors are shown those of totals")
    recorded_at: datetime
    person: str | None = Field(description="Who did it; not told to investors")
    stream: str
    version: int
    type: str
    sentence: str
    amounts: dict[str, Money] = Field(description="What each stage gained, or lost where negative; they sum to 0.00")
    words: dict[str, str | None] = Field(
        description="What somebody wrote (reason, note, question, answer); null where it is not for you, or was erased"
    )


class ToldTrail(BaseModel):
    """Some of an award's trail."""

    rows: tuple[ToldStep, ...]
    next: int | None = Field(description="Give it as `after` to go on; nothing: the trail goes no further")


@router.get("/awards/{award}/trail", **question(EVERYBODY, NoSuchAward))
def show(
    award: AwardName,
    asked: TheHistory,
    after: Annotated[int, Query(ge=0, le=10**15, description="The position after which to begin")] = 0,
    limit: Limit = LIMIT,
) -> ToldTrail:
    """What happened under an award, in order. Investors see totals, and not who."""
    asked.ledger.load(award_stream(award), asked.as_of)
    most = asked.limited(limit)
    found = asked.views.trail.page(award, after, most + 1, asked.position)
    whole = sees_lines(asked.caller, award)
    shown = [row for row in found[:most] if whole or is_total(row.type)]
    open_to = {row.position for row in shown if asked.caller.has(_readers(row.type), award)}
    words = asked.ledger.reveal(each for row in shown if row.position in open_to for each in row.words.values())
    rows = tuple(_told(row, words, whole=whole) for row in shown)
    note(rows=len(rows))
    return ToldTrail(rows=rows, next=found[most - 1].position if len(found) > most else None)


def _readers(kind: str) -> frozenset[Role]:
    """Who may read what was written: of payments, also those who let money go."""
    return SEE_TEXTS | {Role.APPROVER, Role.RELEASER} if kind.startswith("payment.") else SEE_TEXTS


def is_total(kind: str) -> bool:
    """Whether an entry of this type says nothing but totals, and so may be told to investors."""
    return kind.startswith(_TOTALS) or kind in _TOTALS_OF_CLAIMS


def _told(row: TrailRow, words: Mapping[Commitment, str], *, whole: bool) -> ToldStep:
    return ToldStep(
        position=row.position,
        sequence=row.sequence,
        recorded_at=row.recorded_at,
        person=row.person if whole else None,
        stream=row.stream,
        version=row.version,
        type=row.type,
        sentence=row.sentence,
        amounts=dict(row.amounts),
        words={name: words.get(each) for name, each in row.words.items()},
    )
