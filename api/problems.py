"""How a "no" is told: every refusal becomes an RFC 9457 problem, here and nowhere else.

A problem's `type` is `/problems/` and the refusal's name, for ever; behind that address stands what it means. Its `title` is the
rule, its `detail` the rule with what broke it, its `faults` say where and what, one by one.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar, Final

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException
from starlette.routing import Match

from api import logs
from domain.refusal import Fault, Kind, Refused
from ledger.failures import OutcomeUnknown, Unavailable
from ledger.log import Damaged
from ledger.writer import Closed, Overloaded, TooManyOfOne, VersionHasMoved

MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER_S: Final = 1
RETRY_LATER_S: Final = 5
"""After a failure that passes by itself only when somebody restarts or frees something."""
_METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
_FAILED: Final = 500
_NOT_TAKEN: Final = 405
_STATUS: Final = {Kind.INVALID: 422, Kind.NOT_ALLOWED: 403, Kind.ABSENT: 404, Kind.CONFLICT: 409}
_MOMENTS: Final = ("as_of", "to", "effective_on")
"""By which a question says as of when it is asked."""
_WHERE_NOT: Final = frozenset({"body", "query", "header", "path"})
log = logs.logger(__name__)


class TurnedAway(Refused):
    """The service does not take this request."""

    status: ClassVar[int] = 400
    headers: ClassVar[Mapping[str, str]] = {}


class RequestIsWrong(TurnedAway):
    """The request is not as it must be; each fault says where and what. Nothing was recorded."""

    status = 422


class HeaderIsWrong(TurnedAway):
    """A header of the request cannot be understood."""


class NothingHere(TurnedAway):
    """Nothing is at this address."""

    status = 404


class MethodNotTaken(TurnedAway):
    """This address does not take this method; the header Allow says which it takes."""

    status = 405


class BodyIsTooLarge(TurnedAway):
    """The body is larger than the service takes."""

    status = 413


class BodyIsTooSlow(TurnedAway):
    """The body did not come in time. Nothing was recorded; send it again, with the same key."""

    status = 408


class BodyBrokeOff(TurnedAway):
    """The body ended before it was whole. Nothing was recorded; send it again, with the same key."""


class HeadIsTooSlow(TurnedAway):
    """The headers of the request did not come in time; nothing was recorded."""

    status = 408


class HeadIsTooLarge(TurnedAway):
    """The headers of the request are larger than the service takes."""

    status = 431


class MediaTypeNotTaken(TurnedAway):
    """The body is of a media type that is not taken here."""

    status = 415


class TooManyRequests(TurnedAway):
    """Too many requests in too short a time; try again later."""

    status = 429
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": str(RETRY_AFTER_S)}


class TooManyOfYours(TooManyRequests):
    """You have as many commands under way as one person may have. Nothing was recorded; send it again, with the same key."""


class ServiceFailed(TurnedAway):
    """The service failed, which is a defect of it. What was asked may or may not be recorded: repeat it with the same key."""

    status = 500


class LogIsDamaged(TurnedAway):
    """What is stored is not what was sealed: something other than the ledger wrote to the log. `lcledger verify` names it."""

    status = 500


class NotNow(TurnedAway):
    """The service cannot answer now; try again in a moment."""

    status = 503
    headers: ClassVar[Mapping[str, str]] = {"Retry-After": str(RETRY_AFTER_S)}


class TooManyConnections(NotNow):
    """More connections are open than the service takes. Nothing was recorded; send it again, with the same key."""


class TooManyBodies(NotNow):
    """More is being sent to the service at once than it takes. Nothing was recorded; send it again, with the same key."""


class LedgerIsBusy(NotNow):
    """More commands are waiting than the ledger takes in. Nothing was recorded; send it again, with the same key."""


class LedgerIsClosing(NotNow):
    """The service is shutting down and takes nothing more in. Nothing was recorded; send it again, with the same key."""


class DatabaseUnavailable(NotNow):
    """The ledger's database cannot be used at the moment. Nothing was recorded; send it again, with the same key."""

    headers: ClassVar[Mapping[str, str]] = {"Retry-After": str(RETRY_LATER_S)}


class OutcomeNotKnown(NotNow):
    """The database failed while recording: send the same again, with the same Idempotency-Key, which tells what became of it."""

    headers: ClassVar[Mapping[str, str]] = {"Retry-After": str(RETRY_LATER_S)}


class ToldFault(BaseModel):
    """One thing that is wrong."""

    where: str = Field(examples=["lines.3.quantity"], description="Lines are counted from 1, as the ledger numbers them")
    what: str = Field(examples=["must be more than 0"])


class Problem(BaseModel):
    """Why the ledger refuses (RFC 9457)."""

    type: str = Field(description="The stable name of the rule, as an address that explains it")
    title: str
    status: int
    detail: str
    faults: tuple[ToldFault, ...] = ()
    details: dict[str, Any] = Field(default_factory=dict, description="What broke the rule, for programs")


def status_of(refusal: type[Refused]) -> int:
    """The HTTP status of a refusal."""
    if issubclass(refusal, TurnedAway):
        return refusal.status
    if issubclass(refusal, VersionHasMoved):
        return 412
    return _STATUS[refusal.kind]


def type_of(refusal: type[Refused]) -> str:
    """The stable address of a refusal."""
    return f"/problems/{refusal.slug()}"


def title_of(refusal: type[Refused]) -> str:
    """The rule itself."""
    return " ".join((refusal.__doc__ or "").split())


def problem(refused: Refused) -> Problem:
    """A refusal as it is told."""
    kind = type(refused)
    return Problem(
        type=type_of(kind),
        title=title_of(kind),
        status=status_of(kind),
        detail=refused.message,
        faults=tuple(ToldFault(where=fault.where, what=fault.what) for fault in refused.faults),
        details={name: _plain(value) for name, value in refused.details.items()},
    )


def answer(refused: Refused, headers: Mapping[str, str] | None = None) -> Response:
    """A refusal as a response."""
    told = problem(refused)
    kept = {**(refused.headers if isinstance(refused, TurnedAway) else {}), **(headers or {})}
    return Response(told.model_dump_json(), told.status, kept, MEDIA_TYPE)


def known(of: type[Refused] = Refused) -> Iterable[type[Refused]]:
    """Every refusal that there is."""
    for kind in of.__subclasses__():
        yield kind
        yield from known(kind)


def faults(errors: Iterable[ErrorDetails], sent: Any = None) -> list[Fault]:
    """What Pydantic found, as faults, without what was sent."""
    return [Fault(_where(error["loc"], sent), _what(error)) for error in errors]


def install(app: FastAPI) -> None:
    """Have everything that goes wrong told as a problem."""

    @app.exception_handler(Refused)
    async def refuse(request: Request, refused: Refused) -> Response:
        if refused.kind is Kind.ABSENT:  # What there is now may not have been there at the moment that is asked for.
            refused.details.update({name: request.query_params[name] for name in _MOMENTS if name in request.query_params})
        return answer(refused)

    @app.exception_handler(RequestValidationError)
    async def refuse_wrong(_request: Request, wrong: RequestValidationError) -> Response:
        errors = wrong.errors()
        if any(error["loc"][0] == "path" for error in errors):
            return answer(NothingHere())
        return answer(RequestIsWrong(faults(errors)))

    @app.exception_handler(HTTPException)
    async def refuse_plain(request: Request, refused: HTTPException) -> Response:
        if refused.status_code == _NOT_TAKEN:
            return answer(MethodNotTaken(), {"Allow": ", ".join(_taken(request))})
        kind = _BY_STATUS.get(refused.status_code, ServiceFailed if refused.status_code >= _FAILED else HeaderIsWrong)
        return answer(kind(), refused.headers)

    @app.exception_handler(Exception)
    async def tell_failure(_request: Request, failure: Exception) -> Response:
        # Told here, because a program that sets up no logs of its own would print every frame's variables, with keys in them.
        log.error("request failed", **logs.told(failure))
        return answer(ServiceFailed())

    _install_ledger(app)


def _install_ledger(app: FastAPI) -> None:
    """What the ledger itself says when it takes nothing, or cannot."""

    @app.exception_handler(Overloaded)
    async def refuse_busy(_request: Request, _refused: Overloaded) -> Response:
        return answer(LedgerIsBusy())

    @app.exception_handler(TooManyOfOne)
    async def refuse_too_many(_request: Request, _refused: TooManyOfOne) -> Response:
        return answer(TooManyOfYours())

    @app.exception_handler(Unavailable)
    async def tell_unavailable(request: Request, failure: Unavailable) -> Response:
        log.warning("the database cannot be used", reason=failure.reason)
        request.app.state.metrics.database_failed(failure.reason)
        return answer((OutcomeNotKnown if isinstance(failure, OutcomeUnknown) else DatabaseUnavailable)(reason=failure.reason))

    @app.exception_handler(Damaged)
    async def tell_damage(_request: Request, damage: Damaged) -> Response:
        log.error("the log is damaged", reason=str(damage))
        return answer(LogIsDamaged())

    @app.exception_handler(Closed)
    async def refuse_closing(_request: Request, _refused: Closed) -> Response:
        return answer(LedgerIsClosing())


_BY_STATUS: Final[Mapping[int, type[TurnedAway]]] = {
    404: NothingHere,
    413: BodyIsTooLarge,
    415: MediaTypeNotTaken,
    429: TooManyRequests,
    503: NotNow,
}


def _taken(request: Request) -> list[str]:
    """The methods that an address takes, of all its routes."""
    return [
        method
        for method in _METHODS
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.router.routes)
    ]


def _where(location: tuple[int | str, ...], sent: Any) -> str:
    """Where a fault is, with lines counted as the ledger numbers them: a decision by the line that it decides."""
    parts = list(location[1:] if location and location[0] in _WHERE_NOT else location)
    if len(parts) > 1 and parts[0] == "lines" and isinstance(parts[1], int):
        parts[1] = _line(sent, parts[1])
    return ".".join(map(str, parts)) or "body"


def _line(sent: Any, index: int) -> int:
    lines = sent.get("lines") if isinstance(sent, dict) else None
    named = lines[index].get("line") if isinstance(lines, list) and isinstance(lines[index], dict) else None
    return named if isinstance(named, int) else index + 1


def _what(error: ErrorDetails) -> str:
    said = error["msg"].removeprefix("Value error, ")
    return {"extra_forbidden": "is not known here", "missing": "is missing"}.get(error["type"], said)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(each) for each in value]
    return value if type(value) in {int, bool, str} else str(value)
