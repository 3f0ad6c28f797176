"""The log itself, for those who check it: every entry exactly as it is stored, and what it says."""

from datetime import datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api.readings import LIMIT, OVERSEERS, Limit, TheHistory, question
from api.telling import note
from domain.events import BY_NAME
from ledger.entry import Row, decode

router = APIRouter(prefix="/v1", tags=["the log"])
_BYTES_MOST: Final = 2 * 1024 * 1024
"""How much of the log one answer holds, beyond its first entry."""


class RawEntry(BaseModel):
    """An entry. Its bytes are `header` in ASCII followed by `state` in UTF-8; its leaf is SHA-256(0x00 ‖ those bytes)."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: datetime
    award: str | None
    person: str
    header: str
    state: str
    leaf: str = Field(description="In hexadecimal")
    event: dict[str, Any]


class Entries(BaseModel):
    """Entries in order of position."""

    rows: tuple[RawEntry, ...]
    next: int | None = Field(description="Give it as `after`; nothing: the log goes no further now")


@router.get("/entries", **question(OVERSEERS))
def page(
    asked: TheHistory,
    after: Annotated[int, Query(ge=0, le=10**15, description="The position after which to begin")] = 0,
    limit: Limit = LIMIT,
) -> Entries:
    """Entries after a position, as they are stored. The participants' references, names and notes are not in the log."""
    stored = asked.ledger.log.reads.rows(after, asked.limited(limit), upto=asked.position)
    kept: list[RawEntry] = []
    weight = 0
    for row in stored:
        weight += len(row.state)
        if kept and weight > _BYTES_MOST:
            break
        kept.append(_raw(row))
    note(rows=len(kept))
    return Entries(rows=tuple(kept), next=kept[-1].position if kept and kept[-1].position < asked.position else None)


def _raw(row: Row) -> RawEntry:
    entry = decode(row, BY_NAME)
    return RawEntry(
        position=entry.position,
        stream=entry.stream,
        version=entry.version,
        type=entry.type,
        recorded_at=entry.recorded_at,
        award=entry.award,
        person=entry.person,
        header=row.header.decode("ascii"),
        state=row.state.decode(),
        leaf=row.leaf.hex(),
        event=entry.event.model_dump(mode="json", exclude_none=True),
    )
