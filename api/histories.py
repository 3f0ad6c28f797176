"""The history of an award in figures: event by event, and as the causes of what differs between two moments."""

from datetime import date, datetime
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.claims import sees_lines
from api.names import AwardName
from api.readings import EVERYBODY, LIMIT, After, Limit, Page, TheSpan, TheSpanOnADay, onward, question, stretch
from api.telling import note
from api.trails import is_total
from domain.award import NoSuchAward
from domain.reference import canonical
from projections.balances import Totals
from projections.histories import Change, Move, Step, Told

router = APIRouter(prefix="/v1", tags=["histories"])


class ToldEntry(BaseModel):
    """An entry of the award. Investors are not told who, and of one that says more than totals nothing but what it moved."""

    position: int
    recorded_at: datetime
    person: str | None = Field(description="Whose deed it was; not told to investors")
    stream: str | None
    type: str | None
    sentence: str | None
    effective_on: tuple[date, ...] = Field(
        description="The days on which it takes effect: those of its postings; of what moves nothing, that of its own account"
    )


class ToldReplayStep(ToldEntry):
    """An entry, with what the award came to before and after it."""

    before: Totals = Field(description="The award as a whole; limits are those in force on the entry's day of recording")
    after: Totals = Field(description="The same after the entry, as `/balances` has it `as_of` its position")
    changes: tuple[Change, ...] = Field(
        description="What it changed: of the award, and of outcomes, payers and years by their names"
    )


class ToldCause(ToldEntry):
    """An entry that moved figures, and by how much."""

    moves: tuple[Move, ...] = Field(description="What figures gained, or lost where negative")


class Replay(Page[ToldReplayStep]):
    """Some steps of an award's history, in order."""

    award: str
    begin: int = Field(description="The position after which it begins: that of `from`")
    end: int = Field(description="The position up to which it goes: that of `to`")


class Difference(Page[ToldCause]):
    """What differs between two moments, as a whole, and some of its causes, in order; all of them add up to it."""

    award: str
    begin: int = Field(description="The position of `from`")
    end: int = Field(description="The position of `to`")
    effective_on: date | None
    changes: tuple[Change, ...] = Field(description="Every figure that is another; the same on every page")


@router.get("/awards/{award}/replay", **question(EVERYBODY, NoSuchAward))
def replay(award: AwardName, asked: TheSpan, after: After = None, limit: Limit = LIMIT) -> Replay:
    """Step through an award event by event: what it came to before and after each, and what changed.

    A step is of one entry that was recorded after `from` and by `to`; whatever `from` shows as `as_of` lies before the first.
    All pages go up to where the first one went, whatever is recorded meanwhile.
    """
    most = asked.limited(limit)
    start, end = stretch(after, asked)
    found = asked.views.histories.replay(award, start, end, most + 1)
    whole = sees_lines(asked.caller, award)
    shown = found[:most]
    note(rows=len(shown))
    return Replay(
        award=canonical(award),
        begin=asked.begin,
        end=end,
        rows=tuple(_step(each, whole=whole) for each in shown),
        next=onward(shown[-1].position, end) if len(found) > most else None,
    )


@router.get("/awards/{award}/difference", **question(EVERYBODY, NoSuchAward))
def difference(award: AwardName, asked: TheSpanOnADay, after: After = None, limit: Limit = LIMIT) -> Difference:
    """What differs between the balances as of `from` and as of `to`, and its causes: each entry that moved figures, and how.

    The causes add up to the difference exactly. Limits are not in it, as they are terms and move with the day. With
    `effective_on`, figures are as accounts were posted: what is owed back is not set apart from what is due, as balances do.
    """
    start, end = stretch(after, asked)
    histories, day = asked.views.histories, asked.effective_on
    changes = histories.changes(award, asked.begin, end, day, goes_on=after is not None)
    found, goes_on = histories.causes(award, start, end, asked.limited(limit), day)
    whole = sees_lines(asked.caller, award)
    note(rows=len(found))
    return Difference(
        award=canonical(award),
        begin=asked.begin,
        end=end,
        effective_on=day,
        changes=changes,
        rows=tuple(ToldCause(**_entry(each, whole=whole), moves=each.moves) for each in found),
        next=None if goes_on is None else onward(goes_on, end),
    )


def _step(step: Step, *, whole: bool) -> ToldReplayStep:
    return ToldReplayStep(**_entry(step, whole=whole), before=step.before, after=step.after, changes=step.changes)


def _entry(told: Told, *, whole: bool) -> dict[str, Any]:
    is_open = whole or is_total(told.type)
    return {
        "position": told.position,
        "recorded_at": told.recorded_at,
        "person": told.person if whole else None,
        "stream": told.stream if is_open else None,
        "type": told.type if is_open else None,
        "sentence": told.sentence if is_open else None,
        "effective_on": told.effective_on if is_open else (),
    }
