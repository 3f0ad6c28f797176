"""The feed: what happened under the awards that a key opens, as CloudEvents, for whoever wants to hear of it as it comes.

The same documents go out by webhook. Who asks keeps the position up to which it has heard, and goes on from there: nothing is
lost by being away, and a document that is asked for again is the same.
"""

import asyncio
import base64
from collections.abc import AsyncIterator
from datetime import date, datetime
from fnmatch import fnmatchcase
from typing import Annotated, Final, Self

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.failing_webhooks import FailingWebhook, failing_webhooks
from api.identity import Caller
from api.problems import HeaderIsWrong, RequestIsWrong
from api.readings import EVERYBODY, LIMIT, Limit, MomentIsAhead, Reading, TheHistory, question
from api.telling import note
from domain.award import NoSuchAward
from domain.money import Money
from domain.reference import canonical
from domain.refusal import Fault
from domain.webhook import never_told
from ledger.checkpoints import Checkpoints, Signed
from projections.notices import TOLD, Notice, Page

router = APIRouter(prefix="/v1/feed", tags=["feed"])

_WAIT_MOST_S: Final = 3_600
_LOOK_S: Final = 1.0
"""How long a wait goes on before it is looked whether the service stops."""
_AGAIN_MS: Final = 1_000
"""When a client whose stream ended should come again."""
_DIGITS: Final = 15
"""Of a position, at most."""


class NoticeContent(BaseModel):
    """What the notice says."""

    position: int = Field(description="The position of the entry in the log, as `as_of` takes it")
    award: str
    stream: str
    recorded_at: datetime
    effective_on: date
    sentence: str
    amounts: dict[str, Money] = Field(description="What it comes to, each amount by what it is")
    allotted: dict[str, Money] = Field(description="What an assessment made due from each payer, less what it took back")


class ToldNotice(BaseModel):
    """A notice, as CloudEvents 1.0 has events in JSON. `source` and `id` name it for ever."""

    specversion: str = "1.0"
    id: str = Field(description="The position in the log", examples=["1042"])
    source: str = Field(examples=["/v1/awards/INDIGO-POJ-0175"])
    type: str = Field(examples=["payment.settled"])
    subject: str = Field(description="The stream of the entry", examples=["award/INDIGO-POJ-0175/payment/7/GB-LAE-KIR"])
    time: datetime
    datacontenttype: str = "application/json"
    data: NoticeContent


class TheCheckpoint(BaseModel):
    """A signed checkpoint of the log: how far it had come, and what it was."""

    size: int = Field(description="How many entries it is of")
    root: str = Field(description="The root over them (RFC 6962), in base64 as in `GET /v1/log/checkpoint`")

    @classmethod
    def of(cls, signed: Signed) -> Self:
        """A checkpoint as it is told."""
        return cls(size=signed.size, root=base64.b64encode(signed.root).decode())


class Feed(BaseModel):
    """Notices, in the order of their positions."""

    rows: tuple[ToldNotice, ...]
    checkpoint: TheCheckpoint | None = Field(description="The newest that is signed: what it covers is proved by its note")
    failing_webhooks: tuple[FailingWebhook, ...] = Field(
        description="Those of the key's party that do not take what they are told, as they are now"
    )
    next: int = Field(description="Give it as `after` to go on: all there is up to this position has been told")


class Wanted(BaseModel):
    """What of the feed is asked for, as far as the key opens it."""

    after: int
    awards: frozenset[str] | None
    types: frozenset[str]


async def _wanted(
    asked: TheHistory,
    award: Annotated[list[str] | None, Query(max_length=100, description="Only of these awards")] = None,
    type_: Annotated[
        list[str] | None,
        Query(alias="type", max_length=50, description="Only of these types, with * for any", examples=["payment.*"]),
    ] = None,
    after: Annotated[int, Query(ge=0, le=10**_DIGITS, description="The position up to which all was heard")] = 0,
) -> Wanted:
    """What is asked for; refuses awards that the key does not open, types of which there are no notices, and what lies ahead."""
    types = frozenset(each for each in TOLD for pattern in type_ or ["*"] if fnmatchcase(each, pattern))
    if unknown := never_told(type_ or (), TOLD):
        raise RequestIsWrong([Fault("type", each) for each in unknown])
    return Wanted(after=_heard(asked, after), awards=_awards(asked.caller, award), types=types)


TheWanted = Annotated[Wanted, Depends(_wanted)]


async def _resumed(
    asked: TheHistory,
    wanted: TheWanted,
    last: Annotated[str | None, Header(alias="Last-Event-ID", description="The position up to which all was heard")] = None,
) -> Wanted:
    """What is asked for, from where a stream broke off."""
    if last is None:
        return wanted
    if not (last.isascii() and last.isdigit() and len(last) <= _DIGITS):
        raise HeaderIsWrong([Fault("Last-Event-ID", "must be a position, such as 1042")])
    return wanted.model_copy(update={"after": _heard(asked, int(last))})


@router.get("", **question(EVERYBODY, NoSuchAward))
async def page(
    request: Request,
    asked: TheHistory,
    wanted: TheWanted,
    wait: Annotated[
        int, Query(ge=0, le=_WAIT_MOST_S, description="Seconds to wait, if there is nothing yet; a setting may allow fewer")
    ] = 0,
    limit: Limit = LIMIT,
) -> Feed:
    """What happened after a position under the awards that the key opens; with `wait`, as soon as something does."""
    until = _until(request, wait if asked.as_of is None else 0)
    found = await _page(asked, wanted, asked.position, limit)
    while not found.rows and await _more(request, found.looked, until):
        wanted = wanted.model_copy(update={"after": found.looked})
        found = await _page(asked, wanted, None, limit)
    asked.response.headers["Ledger-Position"] = str(found.looked)
    note(rows=len(found.rows))
    return Feed(
        rows=tuple(told(each) for each in found.rows),
        checkpoint=await _newest(request, asked.as_of),
        failing_webhooks=await failing_webhooks(request.app.state, asked) or (),
        next=found.looked,
    )


@router.get("/stream", response_class=EventSourceResponse, **question(EVERYBODY, NoSuchAward))
async def stream(
    request: Request, asked: TheHistory, wanted: Annotated[Wanted, Depends(_resumed)]
) -> AsyncIterator[ServerSentEvent]:
    """What happens, as it happens, as server-sent events.

    It ends after a while (`LCLEDGER_FEED_WAIT_S`). Clients then come again by themselves, and their key is looked at again.
    The newest signed checkpoint comes as an event `checkpoint` (size and root, no id), whenever there is another one, and as an
    event `failing-webhooks` those of the key's party that do not take what they are told: at the beginning, also if there are
    none, as some may have recovered since the last stream, and whenever they are others.
    """
    until, rows, before = _until(request, _WAIT_MOST_S), 0, None
    failed: tuple[FailingWebhook, ...] | None = None
    yield ServerSentEvent(retry=_AGAIN_MS)
    while True:
        found = await _page(asked, wanted, asked.as_of, LIMIT)
        for each in found.rows:
            yield ServerSentEvent(data=told(each), event=each.type, id=str(each.position))
        if (checkpoint := await _newest(request, asked.as_of)) not in (None, before):
            yield ServerSentEvent(data=checkpoint, event="checkpoint")
            before = checkpoint
        if (failing := await failing_webhooks(request.app.state, asked)) != failed:
            yield ServerSentEvent(data=failing, event="failing-webhooks")
            failed = failing
        rows += len(found.rows)
        note(rows=rows)
        wanted = wanted.model_copy(update={"after": found.looked})
        if found.looked == asked.as_of or not await _more(request, found.looked, until):
            return


async def _newest(request: Request, as_of: int | None) -> TheCheckpoint | None:
    """The newest checkpoint that is signed, by a position if one is given."""
    checkpoints: Checkpoints = request.app.state.checkpoints
    signed = await run_in_threadpool(checkpoints.last, as_of)
    return None if signed is None else TheCheckpoint.of(signed)


async def _page(asked: Reading, wanted: Wanted, upto: int | None, limit: int) -> Page:
    def look() -> Page:
        last = asked.ledger.head().size if upto is None else upto
        return asked.views.notices.page(wanted.after, last, asked.limited(limit), wanted.awards, wanted.types)

    return await run_in_threadpool(look)


def _until(request: Request, wait_s: float) -> float:
    """When a wait ends that may last so long."""
    most_s: float = request.app.state.settings.feed_wait_s
    return asyncio.get_running_loop().time() + min(wait_s, most_s)


async def _more(request: Request, looked: int, until: float) -> bool:
    """Whether there are entries beyond those that were looked at; waits for them until a time, or until the service stops."""
    loop, state = asyncio.get_running_loop(), request.app.state
    while True:
        left = until - loop.time()
        if await state.views.come_beyond(looked, max(min(left, _LOOK_S), 0.0)):
            return True
        if left <= 0 or state.stops():
            return False


def _heard(asked: Reading, after: int) -> int:
    """A position up to which somebody may have heard all: one beyond the log was heard of another log, or of lost entries."""
    if after > asked.position:
        raise MomentIsAhead(after=after, position=asked.position)
    return after


def _awards(caller: Caller, award: list[str] | None) -> frozenset[str] | None:
    """The awards whose notices are wanted, in capitals; nothing: all there are."""
    if award is None:
        return caller.only
    for each in award:
        caller.expect(EVERYBODY, each)
    return frozenset(map(canonical, award))


def told(notice: Notice) -> ToldNotice:
    """A notice as it is told."""
    return ToldNotice(
        id=str(notice.position),
        source=f"/v1/awards/{notice.award}",
        type=notice.type,
        subject=notice.stream,
        time=notice.recorded_at,
        data=NoticeContent(
            position=notice.position,
            award=notice.award,
            stream=notice.stream,
            recorded_at=notice.recorded_at,
            effective_on=notice.effective_on,
            sentence=notice.sentence,
            amounts=dict(notice.amounts),
            allotted=dict(notice.allotted),
        ),
    )
