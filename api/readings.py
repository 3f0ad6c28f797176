"""A request becomes a question: as of which moment, after which position, and whether the caller has the answer already."""

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Annotated, Any, Final, Generic, TypedDict, TypeVar

from fastapi import Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field

from api.commands import Route
from api.identity import Caller, caller_of, opened_by
from api.lookups import look_up
from api.openapi import refused_with
from api.problems import HeaderIsWrong, NothingHere, NotNow, RequestIsWrong, TurnedAway
from api.telling import NothingIsToldNow, note
from domain.aggregate import S, Stream
from domain.calendar import london_day
from domain.key import Role
from domain.refusal import Fault, Refused
from ledger.ledger import Ledger
from projections.projection import UnknownCursor
from projections.views import Views, ViewsLag

T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M", bound=BaseModel)

_POSITION: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_STRETCH: Final = re.compile(r"([0-9]{1,15})-([0-9]{1,15})", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LOOK_EVERY_S: Final = 0.05
_LIMIT: Final = 100


class PositionNotReached(NotNow):
    """What can be read has not reached the position that was asked for; ask again in a moment."""


class MomentIsAhead(TurnedAway):
    """The moment that is asked for lies ahead of the log: what will be recorded by then is not known yet."""

    status = 422


class NotModified(Exception):
    """The caller has the answer already."""

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag


class Axes(TypedDict):
    """When it was recorded, as a position, and when it was in effect; nothing: now."""

    as_of: int | None
    effective_on: date | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A question on its way in."""

    ledger: Ledger
    views: Views
    caller: Caller
    response: Response
    as_of: int | None
    """The position as of which it is asked, if not now."""
    position: int
    """The position that the answer shows."""
    had: frozenset[str]
    """The ETags that the caller has."""
    most: int
    effective_on: date | None = None
    """The day on which what is shown had taken effect, if that was asked."""
    begin: int = 0
    """The position after which what is shown was recorded, if that was asked."""

    def load(self, stream: Stream[S]) -> S:
        """One stream's state, with its ETag; raises `NotModified`, or the refusal of what there is not."""
        state, version = self.look(stream)
        self.tag(str(version))
        return state

    def look(self, stream: Stream[S]) -> tuple[S, int]:
        """One stream's state and version, as of what was asked on both axes; raises the refusal of what there is not."""
        return self.ledger.load(stream, self.as_of, self.effective_on)

    def tag(self, shown: str) -> None:
        """Give the answer its ETag; raises `NotModified` if the caller has it already."""
        etag = f'"{shown}"'
        if etag in self.had or "*" in self.had:
            raise NotModified(etag)
        self.response.headers["ETag"] = etag

    @property
    def axes(self) -> "Axes":
        """Both moments that it is asked for, as lists take them."""
        return {"as_of": self.as_of, "effective_on": self.effective_on}

    @property
    def day(self) -> date:
        """The day that the answer is about: that of `effective_on`, else that of the last entry by `as_of`, else today."""
        if self.effective_on is not None:
            return self.effective_on
        last = self.ledger.entries(self.as_of - 1, 1) if self.as_of else ()
        return london_day(last[0].recorded_at if last else self.ledger.now())

    def limited(self, limit: int) -> int:
        """How many rows the answer may have."""
        return min(limit, self.most)


class Page(BaseModel, Generic[T]):
    """Some of a list, in order."""

    rows: tuple[T, ...]
    next: str | None = Field(default=None, description="Give it as `after` to get the following ones; nothing: there are none")


def cursor(after: str | None) -> str | None:
    """Where a list goes on, as callers are given it: it means nothing to them."""
    return None if after is None else base64.urlsafe_b64encode(after.encode()).rstrip(b"=").decode()


def opened(given: str | None) -> str | None:
    """What a cursor means."""
    if given is None:
        return None
    try:
        return base64.b64decode(given + "=" * (-len(given) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise RequestIsWrong([_NO_CURSOR]) from None


def offset(after: str | None, most: int) -> int:
    """Where a list that is told from one state goes on: after so many of at most so many rows."""
    start = opened(after) or "0"
    if not (start.isascii() and start.isdigit() and len(start) <= len(str(most))):
        raise RequestIsWrong([_NO_CURSOR])
    return int(start)


def stretch(after: str | None, asked: Reading) -> tuple[int, int]:
    """Between which positions a page of what lies between two moments goes on.

    It goes up to where the first page went, so that all of them are of one stretch, whatever is recorded meanwhile.
    """
    if after is None:
        return asked.begin, asked.position
    found = _STRETCH.fullmatch(opened(after) or "")
    if found is None:
        raise RequestIsWrong([_NO_CURSOR])
    start, end = map(int, found.groups())
    end = max(min(end, asked.position), asked.begin)
    asked.response.headers["Ledger-Position"] = str(end)
    return max(start, asked.begin), end


def onward(start: int, end: int) -> str | None:
    """What goes on after a position, as `stretch` reads it."""
    return cursor(f"{start}-{end}")


_NO_CURSOR: Final = Fault("after", "is no cursor that an answer of this list gave as `next`")


def paged(page: Callable[[str | None], Any], after: str | None, told: Callable[[Any], T]) -> Page[T]:
    """A page of a read model, as callers are given it."""
    try:
        found = page(opened(after))
    except UnknownCursor:
        raise RequestIsWrong([_NO_CURSOR]) from None
    note(rows=len(found.rows))
    return Page(rows=tuple(told(row) for row in found.rows), next=cursor(found.after))


def listed(page: Callable[..., Any], told: type[M], asked: Reading, after: str | None, limit: int) -> Page[M]:
    """A page of a read model whose rows have every field that is told, by the same name."""

    def rows(start: str | None) -> Any:
        return page(after=start, limit=asked.limited(limit), **asked.axes)

    return paged(rows, after, lambda row: told.model_validate(row, from_attributes=True))


# What every question carries ------------------------------------------------------------------------------------------

_MOMENT: Final = "a position of the log, or an RFC 3339 time"
_MOMENTS: Final = ["1042", "2021-11-05T10:00:00Z"]
AsOf = Annotated[
    str | None,
    Query(description=f"As recorded then: {_MOMENT}", examples=_MOMENTS),
]
EffectiveOn = Annotated[
    str | None,
    Query(
        description="As in effect on that day, of what is recorded or was by `as_of`: steps that had taken effect by its end, on"
        " their own date (received, value date), or else on the London day of their recording. Nothing takes effect later than"
        " that, so today and any later day mean: as now",
        examples=["2022-03-31"],
    ),
]
MinPosition = Annotated[
    str | None,
    Header(alias="Ledger-Min-Position", description="Answer with this position of the log or later; waits for it, then 503"),
]
NoneMatch = Annotated[str | None, Header(alias="If-None-Match", description="ETags that the caller has; 304 if one still holds")]


async def history(
    request: Request,
    response: Response,
    *,
    as_of: AsOf = None,
    least: MinPosition = None,
    if_none_match: NoneMatch = None,
) -> Reading:
    """A question of what was recorded, and when: that has one axis."""
    state = request.app.state
    wanted, wait_s = _least(least), state.settings.min_position_wait_s
    head = await look_up(state.ledger, state.ledger.head)
    until = asyncio.get_running_loop().time() + wait_s
    while head.size < wanted:
        if asyncio.get_running_loop().time() > until:
            raise PositionNotReached(wanted=wanted, reached=head.size)
        await asyncio.sleep(_LOOK_EVERY_S)
        head = await look_up(state.ledger, state.ledger.head)
    moment = None if as_of is None else await look_up(state.ledger, position_of, state.ledger, as_of, head.size)
    note(as_of=moment)
    position = head.size if moment is None else moment
    response.headers["Ledger-Position"] = str(position)
    had = frozenset(tag.strip() for tag in (if_none_match or "").split(",") if tag.strip())
    return Reading(state.ledger, state.views, caller_of(request), response, moment, position, had, state.settings.page_size_most)


TheHistory = Annotated[Reading, Depends(history)]


async def reading(asked: TheHistory, effective_on: EffectiveOn = None) -> Reading:
    """A question of state, that the log itself answers."""
    day = _day(effective_on)
    note(effective_on=day and day.isoformat())
    return replace(asked, effective_on=day)


TheReading = Annotated[Reading, Depends(reading)]


async def listing(request: Request, asked: TheReading, response: Response, least: MinPosition = None) -> Reading:
    """A question that a read model answers, after what the caller wrote last."""
    state = request.app.state
    wanted = max(_least(least), state.own_writes.of(asked.caller.person), asked.as_of or 0)
    try:
        await asked.views.wait(wanted, state.settings.min_position_wait_s)
    except ViewsLag:
        raise PositionNotReached(wanted=wanted, reached=asked.views.position) from None
    if asked.as_of is None:
        response.headers["Ledger-Position"] = str(asked.views.position)
    return asked


TheListing = Annotated[Reading, Depends(listing)]
From = Annotated[
    str | None,
    Query(alias="from", description=f"What was recorded after then: {_MOMENT}. Not said: from the beginning", examples=_MOMENTS),
]
To = Annotated[
    str | None, Query(alias="to", description=f"What was recorded by then: {_MOMENT}. Not said: up to now", examples=_MOMENTS)
]


async def spanning(
    request: Request, response: Response, *, begin: From = None, end: To = None, least: MinPosition = None
) -> Reading:
    """A question of what was recorded between two moments, that the log and a read model answer together."""
    asked = await history(request, response, least=least)
    first, last = [
        None if given is None else await look_up(asked.ledger, position_of, asked.ledger, given, asked.position, name)
        for name, given in (("from", begin), ("to", end))
    ]
    note(begin=first, as_of=last)
    await listing(request, replace(asked, as_of=first if last is None else last), response, least)
    until = asked.views.position if last is None else last
    if (first or 0) > until:
        raise RequestIsWrong([Fault("from", "must not lie after `to`")])
    response.headers["Ledger-Position"] = str(until)
    return replace(asked, as_of=until, position=until, begin=first or 0)


TheSpan = Annotated[Reading, Depends(spanning)]


async def spanning_on(asked: TheSpan, effective_on: EffectiveOn = None) -> Reading:
    """Such a question, of what had taken effect on a day."""
    return await reading(asked, effective_on)


TheSpanOnADay = Annotated[Reading, Depends(spanning_on)]
After = Annotated[str | None, Query(max_length=512, description="The `next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=10_000, description="Most rows of the answer; a setting may allow fewer")]
LIMIT: Final = _LIMIT


def _least(given: str | None) -> int:
    if given is None:
        return 0
    if not _POSITION.fullmatch(given.strip()):
        raise HeaderIsWrong([Fault("Ledger-Min-Position", "must be a position, such as 1042")])
    return int(given)


def _day(given: str | None) -> date | None:
    try:
        day = date.fromisoformat(given) if given is not None else None
    except ValueError:
        day = None
    if given is not None and (day is None or day.isoformat() != given):
        raise RequestIsWrong([Fault("effective_on", "must be a day such as 2022-03-31")])
    return day


def position_of(ledger: Ledger, given: str, head: int, name: str = "as_of") -> int:
    """The position that a position or a time means; refuses what lies ahead of the log or of the clock, or is neither."""
    if _POSITION.fullmatch(given):
        if int(given) > head:
            raise MomentIsAhead(**{name: given}, position=head)
        return int(given)
    text = given.replace(" ", "+").upper()  # A plus sign that was not quoted comes as a blank.
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC) if _TIME.fullmatch(text) else None
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise RequestIsWrong([Fault(name, "must be a position such as 1042, or a time such as 2021-11-05T10:00:00Z")])
    if moment > ledger.now():
        raise MomentIsAhead(**{name: given}, now=ledger.now().isoformat())
    return ledger.size_at(moment)


ASKED: Final[tuple[type[Refused], ...]] = (
    RequestIsWrong,
    HeaderIsWrong,
    NothingHere,
    MomentIsAhead,
    PositionNotReached,
    NothingIsToldNow,
)


def question(roles: Iterable[Role], *refusals: type[Refused], one: bool = False, of_log: bool = True) -> Route:
    """A question's route: who may ask, and how it may be refused.

    `one`: it is about one stream, with an ETag; without `of_log` it is about nothing of the log, and shows no position.
    """
    responses = refused_with(*ASKED, *refusals)
    headers: dict[str, Any] = {}
    if of_log:
        headers["Ledger-Position"] = {"schema": {"type": "integer"}, "description": "The position that the answer shows"}
    if one:
        headers["ETag"] = {"schema": {"type": "string"}, "description": "The version of what is shown"}
        responses[304] = {"description": "The caller has the answer already"}
    responses[200] = {"headers": headers}
    return Route(status_code=200, dependencies=[Depends(opened_by(frozenset(roles)))], responses=responses, openapi_extra={})


EVERYBODY: Final = frozenset(Role)
NOT_INVESTORS: Final = EVERYBODY - {Role.INVESTOR}
OVERSEERS: Final = frozenset({Role.ADMINISTRATOR, Role.AUDITOR})
SEE_TEXTS: Final = frozenset({Role.ADMINISTRATOR, Role.VERIFIER, Role.CERTIFIER, Role.AUDITOR})
