"""A request becomes a question: as of which moment, after which position, and whether the caller has the answer already."""

import asyncio
import base64
import binascii
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, Generic, TypeVar

from fastapi import Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.commands import Route
from api.identity import Caller, TheCaller, opened_by
from api.openapi import refused_with
from api.problems import HeaderIsWrong, NothingHere, NotNow, RequestIsWrong, TurnedAway
from domain.aggregate import S, Stream
from domain.key import Role
from domain.refusal import Fault, Refused
from ledger.ledger import Ledger
from projections.projection import UnknownCursor
from projections.views import Views, ViewsLag

T = TypeVar("T")
R = TypeVar("R")

_POSITION: Final = re.compile(r"[0-9]{1,15}", re.ASCII)
_TIME: Final = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,6})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LOOK_EVERY_S: Final = 0.05
_LIMIT: Final = 100


class PositionNotReached(NotNow):
    """What can be read has not reached the position that was asked for; ask again in a moment."""


class MomentIsAhead(TurnedAway):
    """The moment of `as_of` lies ahead of the log: what will be recorded by then is not known yet."""

    status = 422


class NotModified(Exception):
    """The caller has the answer already."""

    def __init__(self, etag: str) -> None:
        super().__init__(etag)
        self.etag = etag


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

    def load(self, stream: Stream[S]) -> S:
        """One stream's state, with its ETag; raises `NotModified`, or the refusal of what there is not."""
        state, version = self.ledger.load(stream, self.as_of)
        etag = f'"{version}"'
        if etag in self.had or "*" in self.had:
            raise NotModified(etag)
        self.response.headers["ETag"] = etag
        return state

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


_NO_CURSOR: Final = Fault("after", "is no cursor that an answer of this list gave as `next`")


def paged(page: Callable[[str | None], Any], after: str | None, told: Callable[[Any], T]) -> Page[T]:
    """A page of a read model, as callers are given it."""
    try:
        found = page(opened(after))
    except UnknownCursor:
        raise RequestIsWrong([_NO_CURSOR]) from None
    return Page(rows=tuple(told(row) for row in found.rows), next=cursor(found.after))


# What every question carries ------------------------------------------------------------------------------------------

AsOf = Annotated[
    str | None,
    Query(description="As recorded then: a position of the log, or an RFC 3339 time", examples=["1042", "2021-11-05T10:00:00Z"]),
]
MinPosition = Annotated[
    str | None,
    Header(alias="Ledger-Min-Position", description="Answer with this position of the log or later; waits for it, then 503"),
]
NoneMatch = Annotated[str | None, Header(alias="If-None-Match", description="ETags that the caller has; 304 if one still holds")]


async def reading(
    request: Request,
    response: Response,
    caller: TheCaller,
    *,
    as_of: AsOf = None,
    least: MinPosition = None,
    if_none_match: NoneMatch = None,
) -> Reading:
    """A question that the log itself answers."""
    state = request.app.state
    wanted, wait_s = _least(least), state.settings.min_position_wait_s
    head = await run_in_threadpool(state.ledger.head)
    until = asyncio.get_running_loop().time() + wait_s
    while head.size < wanted:
        if asyncio.get_running_loop().time() > until:
            raise PositionNotReached(wanted=wanted, reached=head.size)
        await asyncio.sleep(_LOOK_EVERY_S)
        head = await run_in_threadpool(state.ledger.head)
    moment = None if as_of is None else await run_in_threadpool(_moment, state.ledger, as_of, head.size)
    position = head.size if moment is None else moment
    response.headers["Ledger-Position"] = str(position)
    had = frozenset(tag.strip() for tag in (if_none_match or "").split(",") if tag.strip())
    return Reading(state.ledger, state.views, caller, response, moment, position, had, state.settings.page_size_most)


TheReading = Annotated[Reading, Depends(reading)]


async def listing(
    request: Request, asked: TheReading, response: Response, caller: TheCaller, least: MinPosition = None
) -> Reading:
    """A question that a read model answers, after what the caller wrote last."""
    state = request.app.state
    wanted = max(_least(least), state.own_writes.of(caller.person), asked.as_of or 0)
    try:
        await asked.views.wait(wanted, state.settings.min_position_wait_s)
    except ViewsLag:
        raise PositionNotReached(wanted=wanted, reached=asked.views.position) from None
    if asked.as_of is None:
        response.headers["Ledger-Position"] = str(asked.views.position)
    return asked


TheListing = Annotated[Reading, Depends(listing)]
After = Annotated[str | None, Query(max_length=512, description="The `next` of the page before")]
Limit = Annotated[int, Query(ge=1, le=10_000, description="Most rows of the answer; a setting may allow fewer")]
LIMIT: Final = _LIMIT


def _least(given: str | None) -> int:
    if given is None:
        return 0
    if not _POSITION.fullmatch(given.strip()):
        raise HeaderIsWrong([Fault("Ledger-Min-Position", "must be a position, such as 1042")])
    return int(given)


def _moment(ledger: Ledger, as_of: str, head: int) -> int:
    if _POSITION.fullmatch(as_of):
        if int(as_of) > head:
            raise MomentIsAhead(as_of=as_of, position=head)
        return int(as_of)
    text = as_of.replace(" ", "+").upper()  # A plus sign that was not quoted comes as a blank.
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC) if _TIME.fullmatch(text) else None
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise RequestIsWrong([Fault("as_of", "must be a position such as 1042, or a time such as 2021-11-05T10:00:00Z")])
    if moment > ledger.now():
        raise MomentIsAhead(as_of=as_of, now=ledger.now().isoformat())
    return ledger.size_at(moment)


ASKED: Final[tuple[type[Refused], ...]] = (RequestIsWrong, HeaderIsWrong, NothingHere, MomentIsAhead, PositionNotReached)


def question(roles: Iterable[Role], *refusals: type[Refused], one: bool = False) -> Route:
    """A question's route: who may ask, and how it may be refused. `one`: it is about one stream, with an ETag."""
    responses = refused_with(*ASKED, *refusals)
    headers = {"Ledger-Position": {"schema": {"type": "integer"}, "description": "The position that the answer shows"}}
    if one:
        headers["ETag"] = {"schema": {"type": "string"}, "description": "The version of what is shown"}
        responses[304] = {"description": "The caller has the answer already"}
    responses[200] = {"headers": headers}
    return Route(status_code=200, dependencies=[Depends(opened_by(frozenset(roles)))], responses=responses, openapi_extra={})


EVERYBODY: Final = frozenset(Role)
NOT_INVESTORS: Final = EVERYBODY - {Role.INVESTOR}
OVERSEERS: Final = frozenset({Role.ADMINISTRATOR, Role.AUDITOR})
