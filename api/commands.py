"""A request becomes a command: who asks, under which key, from which version on; and what was recorded becomes the answer.

Every command is a POST or DELETE with an `Idempotency-Key`. Its body is read only when it is known who asks.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date
from email.message import Message
from hashlib import sha256
from typing import Annotated, Any, Final, TypedDict, TypeVar
from urllib.parse import quote

import orjson
from fastapi import Depends, Header, Query, Request, Response
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from api.counters import Metrics
from api.identity import Caller, caller_of, opened_by
from api.openapi import refused_with, sent_as
from api.problems import (
    BodyIsTooLarge,
    BodyIsTooSlow,
    HeaderIsWrong,
    LedgerIsBusy,
    LedgerIsClosing,
    MediaTypeNotTaken,
    NothingHere,
    OutcomeNotKnown,
    RequestIsWrong,
    TooManyBodies,
    TooManyOfYours,
    TurnedAway,
    faults,
)
from api.telling import NothingIsToldNow, expect_room, note
from domain.aggregate import Actor, Command, S, Stream
from domain.calendar import london_day
from domain.event import Event
from domain.key import Role
from domain.money import Money
from domain.reassessment import effect
from domain.refusal import Fault, Refused
from ledger.entry import Entry, EntryTooLong
from ledger.ledger import Ledger
from ledger.ledger import Recorded as Done
from ledger.ledger import Request as LedgerRequest
from ledger.writer import KeySpent, VersionHasMoved

B = TypeVar("B", bound=BaseModel)

JSON: Final = "application/json"
_TAG: Final = re.compile(r'"([0-9]{1,15})(?:\.[0-9]{1,9})?"', re.ASCII)
"""A version; an award's ETag may also say which terms were in force, which no change depends on."""
_SMALL_BYTES: Final = 16 * 1024
_MOST_NOTED: Final = 10_000
_MOST_TOLD: Final = 500
"""Entries that an answer lists; a large claim makes more, and the trail has them all."""


class IdempotencyKeyIsMissing(TurnedAway):
    """Every command needs the header Idempotency-Key: 1 to 128 letters, digits, dots, underscores, colons, hyphens."""


class NothingToMatch(TurnedAway):
    """If-Match names a version, but what this command is about has none: it does not exist yet, or is several things."""

    status = 412


ALWAYS: Final[tuple[type[Refused], ...]] = (IdempotencyKeyIsMissing, HeaderIsWrong, KeySpent, RequestIsWrong, NothingHere)
BUSY: Final[tuple[type[Refused], ...]] = (LedgerIsBusy, LedgerIsClosing, OutcomeNotKnown, TooManyOfYours, NothingIsToldNow)
OF_EVERY_BODY: Final[tuple[type[Refused], ...]] = (BodyIsTooLarge, BodyIsTooSlow, TooManyBodies)
OF_BODIES: Final[tuple[type[Refused], ...]] = (*OF_EVERY_BODY, MediaTypeNotTaken, EntryTooLong)


class ToldEntry(BaseModel):
    """An entry that the command made."""

    position: int
    stream: str
    version: int
    type: str
    event: dict[str, Any] | None = Field(default=None, description="What the entry would say; only in a dry run")


class Recorded(BaseModel):
    """What became of a command. A dry run tells what would have been recorded, had it been one."""

    position: int = Field(description="The log's position with this command; give it as Ledger-Min-Position to read what follows")
    count: int = Field(description="How many entries the command made")
    entries: tuple[ToldEntry, ...] = Field(description="The first 500 of them, those of participants left out")
    dry_run: bool


class ChangedLine(BaseModel):
    """A line whose assessed amount is worked out anew: what stands before, and what stands then."""

    claim: str
    line: int
    outcome: str
    achieved_on: date
    before: Money
    after: Money


class Effect(BaseModel):
    """What a reassessment changes of the past, line by line, and on balance for each payer."""

    lines: tuple[ChangedLine, ...] = Field(description="Every line that is assessed anew")
    net: dict[str, Money] = Field(description="By payer: what becomes due, or, less than nothing, is owed back")


class Reassessed(Recorded):
    """What became of a command that may assess lines anew. A dry run tells what its doing would."""

    effect: Effect


class Foreseen(Recorded):
    """What became of a proposal. A dry run tells what it would come to if a second person agreed it today."""

    effect: Effect | None = Field(description="Only in a dry run")


class OwnWrites:
    """The position of what each person wrote last through this process, so that they read it."""

    def __init__(self) -> None:
        self._last: OrderedDict[str, int] = OrderedDict()

    def note(self, person: str, position: int) -> None:
        """A person wrote."""
        self._last[person] = max(position, self.of(person))
        self._last.move_to_end(person)
        while len(self._last) > _MOST_NOTED:
            self._last.popitem(last=False)

    def of(self, person: str) -> int:
        """What the person wrote last."""
        return self._last.get(person, 0)


@dataclass(frozen=True, slots=True)
class Ask:
    """A command on its way in."""

    ledger: Ledger
    caller: Caller
    response: Response
    own_writes: OwnWrites
    metrics: Metrics
    key: str
    fingerprint: str
    correlation: str
    match: int | None
    """The version at which the caller wants the one stream of the command."""
    dry_run: bool

    @property
    def by(self) -> Actor:
        """Who asks."""
        return self.caller.actor

    @property
    def today(self) -> date:
        """The business day on which the command is decided."""
        return london_day(self.ledger.now())

    async def record(
        self, decide: Command, on: Stream[Any] | None = None, *, new: str | None = None, quick: bool = False
    ) -> Recorded:
        """Record a command on one stream, or on several; `new` is the address of what it makes. `quick`: as `Ledger.record`."""
        done = await self.done(decide, on, quick=quick)
        return self.tell(done, on, new=new)

    async def change(self, stream: Stream[S], method: Callable[[S], Event | Sequence[Event]]) -> Recorded:
        """Let a stream's state say what happens next."""

        def decide(facts: Any) -> Mapping[Stream[S], Sequence[Event]]:
            decided = method(facts[stream])
            return {stream: (decided,) if isinstance(decided, Event) else tuple(decided)}

        return await self.record(decide, stream, quick=self.ledger.is_short(stream))

    async def done(self, decide: Command, on: Stream[Any] | None = None, *, quick: bool = False) -> Done:
        """Record a command; what the ledger says of it."""
        if self.match is not None and on is None:
            raise NothingToMatch
        request = LedgerRequest(
            actor=self.by,
            key=self.key,
            fingerprint=self.fingerprint,
            correlation=self.correlation,
            expected={on.name: self.match} if on is not None and self.match is not None else {},
        )
        if self.dry_run:
            note(is_dry_run=True)
        return await self.ledger.record(decide, request, dry_run=self.dry_run, quick=quick)

    def expect_version(self, version: int) -> None:
        """Refuse unless the one stream of the command is at the version that the caller wants, as far as can be seen now."""
        if self.match not in {None, version}:
            raise VersionHasMoved(expected=self.match, now=version)

    @property
    def spent(self) -> bool:
        """Whether a request of this key was recorded before: then nothing is to be done again that is not recorded."""
        return self.ledger.has_spent(self.caller.person, self.key)

    async def reassess(self, decide: Command, on: Stream[Any]) -> Reassessed:
        """Record a command that may assess lines anew, and tell what it came to."""
        done = await self.done(decide, on)
        return Reassessed(**dict(self.tell(done, on)), effect=_effect(done))

    async def foresee(self, decide: Command, on: Stream[Any]) -> Effect:
        """What a command would come to that may assess lines anew; nothing of it is recorded."""
        return _effect(await replace(self, dry_run=True).done(decide, on))

    def tell(self, done: Done, on: Stream[Any] | None = None, *, new: str | None = None) -> Recorded:
        """The answer, derived from the entries alone, so that a repeat gets the same."""
        headers = self.response.headers
        if self.dry_run:
            self.response.status_code = 200
        else:
            headers["Ledger-Position"] = str(done.last)
            self.own_writes.note(self.caller.person, done.last)
            if on is not None and (version := max((each.version for each in done.entries if each.stream == on.name), default=0)):
                headers["ETag"] = f'"{version}"'
            if new is not None:
                headers["Location"] = new
        self.metrics.command("tried" if self.dry_run else "repeated" if done.repeated else "recorded", len(done.entries))
        if done.repeated:
            headers["Idempotency-Hit"] = "true"
        told = (each for each in done.entries if "/participant/" not in each.stream)
        return Recorded(
            position=done.last,
            count=len(done.entries),
            entries=tuple(_told(each, dry_run=self.dry_run) for each, _ in zip(told, range(_MOST_TOLD), strict=False)),
            dry_run=self.dry_run,
        )


def _effect(done: Done) -> Effect:
    found = effect((each.stream, each.event) for each in done.entries)
    return Effect(lines=tuple(ChangedLine(**asdict(each)) for each in found.lines), net=dict(found.net))


def address(*parts: str | int) -> str:
    """The address of something, from its names."""
    return "/v1/" + "/".join(quote(str(part), safe="") for part in parts)


def _told(entry: Entry, *, dry_run: bool) -> ToldEntry:
    event = entry.event.model_dump(mode="json", exclude_none=True) if dry_run else None
    return ToldEntry(position=entry.position, stream=entry.stream, version=entry.version, type=entry.type, event=event)


# What every command carries -------------------------------------------------------------------------------------------

_KEY: Final = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)


async def ask(
    request: Request,
    response: Response,
    *,
    idempotency_key: Annotated[
        str | None,
        Header(description="Names this request: the same key again gives the same answer, and records nothing twice"),
    ] = None,
    if_match: Annotated[str | None, Header(description="The ETag from which on the change is wanted; 412 if it moved")] = None,
    dry_run: Annotated[bool, Query(description="Do everything, but record nothing")] = False,
) -> Ask:
    """The command of a request, all but what it is about."""
    if idempotency_key is None or not _KEY.fullmatch(idempotency_key):
        raise IdempotencyKeyIsMissing
    if dry_run:
        expect_room(request.app.state.disclosures)
    return Ask(
        ledger=request.app.state.ledger,
        caller=caller_of(request),
        response=response,
        own_writes=request.app.state.own_writes,
        metrics=request.app.state.metrics,
        key=idempotency_key,
        fingerprint=await _fingerprint(request),
        correlation=request.scope["request_id"],
        match=_match(if_match),
        dry_run=dry_run,
    )


TheAsk = Annotated[Ask, Depends(ask)]


def _match(if_match: str | None) -> int | None:
    if if_match is None or if_match.strip() == "*":
        return None
    if if_match.strip().startswith("W/"):
        raise VersionHasMoved(expected=if_match.strip()[:40])  # A weak tag never matches (RFC 9110, 13.1.1).
    found = _TAG.fullmatch(if_match.strip())
    if found is None:
        raise HeaderIsWrong([Fault("If-Match", 'must be one ETag as it was given, such as "7", or *')])
    return int(found[1])


async def _fingerprint(request: Request) -> str:
    """What makes another request of it: where, how and with what, but not whether it was tried first.

    Bodies name participants and accounts (L5), so what is kept is an HMAC that nobody makes without the vault's key.
    """
    asked = sorted((name, value) for name, value in request.query_params.multi_items() if name != "dry_run")
    hashed = sha256(f"{request.method} {request.url.path} {asked} {media_type(request)}\n".encode())
    hashed.update(await request.body())
    fingerprint: str = request.app.state.ledger.vault.seals.fingerprint(hashed.digest())
    return fingerprint


# Bodies ---------------------------------------------------------------------------------------------------------------


def media_type(request: Request) -> str:
    """The media type of the body, in small letters, without parameters."""
    said = request.headers.get("content-type", "")
    if said in {"", JSON}:
        return said
    told = Message()
    told["content-type"] = said
    return told.get_content_type()


def parsed(of: type[B], body: bytes) -> B:
    """A JSON body, or a refusal that lists every fault."""
    try:
        return of.model_validate_json(body)
    except ValidationError as wrong:
        try:
            sent = orjson.loads(body)
        except orjson.JSONDecodeError:
            sent = None
        raise RequestIsWrong(faults(wrong.errors(include_url=False, include_input=False, include_context=False), sent)) from None


async def read_as(of: type[B], request: Request) -> B:
    """The JSON body of a request; a large one is read in a thread of its own, for a small one that would take longer."""
    body = await request.body()
    return parsed(of, body) if len(body) <= _SMALL_BYTES else await run_in_threadpool(parsed, of, body)


def sent(of: type[B]) -> Any:
    """The JSON body of a command, read once it is known who asks."""

    async def read(request: Request) -> B:
        expect_media_type(request, {JSON})
        return await read_as(of, request)

    return Depends(read)


def expect_media_type(request: Request, taken: Collection[str]) -> str:
    """The body's media type, if it is one of those."""
    if (found := media_type(request)) not in taken:
        raise MediaTypeNotTaken(taken=sorted(taken), sent=found[:80])
    return found


# Routes ---------------------------------------------------------------------------------------------------------------


class Route(TypedDict):
    """What a route says of itself."""

    status_code: int
    dependencies: list[Any]
    responses: dict[int | str, dict[str, Any]]
    openapi_extra: dict[str, Any]


def command(
    roles: Iterable[Role],
    *refusals: type[Refused],
    body: type[BaseModel] | None = None,
    csv: bool = False,
    on_one: bool = True,
    answer: type[Recorded] = Recorded,
) -> Route:
    """A command's route: who may ask, how it may be refused, what it is sent. `on_one`: it is about one stream, with an ETag."""
    moved: tuple[type[Refused], ...] = (VersionHasMoved,) if on_one else ()
    bodies = OF_BODIES if body else OF_EVERY_BODY
    responses = refused_with(*ALWAYS, *BUSY, NothingToMatch, *moved, *bodies, *refusals)
    responses[200] = {"model": answer, "description": "A dry run: what would be recorded"}
    responses[201] = {"headers": _HEADERS}
    extra: dict[str, Any] = {}
    if body is not None:
        content: dict[str, Any] = {JSON: {"schema": sent_as(body)}}
        if csv:
            content["text/csv"] = {"schema": {"type": "string"}}
        extra["requestBody"] = {"required": True, "content": content}
    return Route(status_code=201, dependencies=[Depends(opened_by(frozenset(roles)))], responses=responses, openapi_extra=extra)


_HEADERS: Final = {
    "Ledger-Position": {"schema": {"type": "integer"}, "description": "The log's position with this command"},
    "ETag": {"schema": {"type": "string"}, "description": "The version of what was changed, where it is one thing"},
    "Location": {"schema": {"type": "string"}, "description": "Where what was made can be read"},
    "Idempotency-Hit": {"schema": {"type": "string"}, "description": "`true` if this answers a repeat"},
}
