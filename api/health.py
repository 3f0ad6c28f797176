"""Whether the service lives and can serve, for whoever runs it. No key is needed, and nothing of an award is told."""

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api import logs
from api.witnesses import Refusal
from ledger.failures import Unavailable
from ledger.ledger import Ledger
from projections.deliveries import Deliveries, State

router = APIRouter(prefix="/health", tags=["health"])
log = logs.logger(__name__)


class Live(BaseModel):
    """The process answers."""

    live: bool = True


class Model(BaseModel):
    """How far a read model has come, and what comparing it with the log in the background found."""

    name: str
    position: int
    failed: bool
    checked: Annotated[int, Field(description="Up to which entry it was compared with the log last")] = 0
    checked_at: Annotated[datetime | None, Field(description="When that was done; nothing: not yet")] = None
    root: Annotated[str | None, Field(description="Of the log there, where the model said so")] = None
    digest: Annotated[str, Field(description="Of the rows that were compared")] = ""
    differences: Annotated[int, Field(description="Rows that are not what the log says; the service's log names them")] = 0


class Witness(BaseModel):
    """A witness that is asked to cosign checkpoints."""

    name: str
    cosigned: Annotated[int, Field(description="Of how many entries the last checkpoint is that it cosigned; 0: none is")]
    refused_at: Annotated[
        datetime | None, Field(description="When it was asked last and did not cosign; nothing once it does again")
    ] = None
    refusal: Annotated[
        str | None, Field(description="Why it did not, in its words or ours; told by the process that asks it, as of its start")
    ] = None


class Ready(BaseModel):
    """What the service needs, and whether it has it. What cannot be asked of the database is not told."""

    ready: bool
    reasons: Annotated[tuple[str, ...], Field(description="Why it is not ready")] = ()
    log_writable: bool = False
    triggers_present: bool = False
    position: int | None = None
    views_position: int | None = None
    views_lag: Annotated[int | None, Field(description="How many entries the read models are behind")] = None
    models: tuple[Model, ...] = ()
    checkpoint: Annotated[
        int | None, Field(description="How many entries the last signed checkpoint is of; nothing: none is")
    ] = None
    witnesses: tuple[Witness, ...] = ()
    webhooks_failing: Annotated[int, Field(description="Webhooks that did not take the last that they were sent")] = 0
    webhooks_parked: Annotated[
        int, Field(description="Deliveries that were not taken at their last try; `GET /v1/webhooks` says whose")
    ] = 0
    disclosures_waiting: Annotated[int, Field(description="Reads that wait to be written down as told")] = 0
    disclosures_failing: Annotated[
        str | None, Field(description="Why they cannot be written; reads go on until too many wait, commands go on in any case")
    ] = None


@router.get("/live")
async def live() -> Live:
    """Whether the process answers."""
    return Live()


@router.get("/ready", responses={503: {"model": Ready, "description": "Something that is needed is missing"}})
async def ready(request: Request, response: Response) -> Ready:
    """Whether the log can be written, its triggers stand, and the read models follow."""
    found = await run_in_threadpool(_look, request.app.state)
    response.status_code = 200 if found.ready else 503
    response.headers["Cache-Control"] = "no-store"
    return found


def _look(state: Any) -> Ready:
    try:
        models = tuple(
            Model(
                name=each.name,
                position=each.position,
                failed=each.failed is not None,
                checked=each.watched.position,
                checked_at=each.watched.at,
                root=each.watched.root,
                digest=each.watched.digest,
                differences=len(each.watched.differences),
            )
            for each in state.views.health()
        )
        position, views_position = state.ledger.head().size, state.views.position
        checkpoint = state.checkpoints.last()
        cosigned = state.checkpoints.cosigned(each.verifier for each in state.settings.known_witnesses)
        failing, parked = _untaken(state.deliveries)
    except Unavailable as failure:
        return Ready(ready=False, reasons=(_told(failure),))
    guarded, writable = _try(state.ledger.log.start), _try(partial(_take_turn, state.ledger))
    failed = tuple(f"the read model {each.name} has stopped" for each in models if each.failed)
    signing = state.checkpointing and state.checkpointing.fault
    unsigned = f"no checkpoint is signed: {_words(signing)}" if signing else None
    full = None if state.disclosures.has_room else "no more reads can be written down as told"
    reasons = tuple(dict.fromkeys(reason for reason in (guarded, writable, *failed, unsigned, full) if reason is not None))
    return Ready(
        ready=not reasons,
        reasons=reasons,
        log_writable=writable is None,
        triggers_present=guarded is None,
        position=position,
        views_position=views_position,
        views_lag=max(position - views_position, 0),
        models=models,
        checkpoint=checkpoint and checkpoint.size,
        witnesses=tuple(_witness(name, size, state.asking.refusals.get(name)) for name, size in cosigned.items()),
        webhooks_failing=failing,
        webhooks_parked=parked,
        disclosures_waiting=state.disclosures.waiting,
        disclosures_failing=state.disclosures.failing,
    )


def _witness(name: str, cosigned: int, refusal: Refusal | None) -> Witness:
    if refusal is None:
        return Witness(name=name, cosigned=cosigned)
    return Witness(name=name, cosigned=cosigned, refused_at=refusal.at, refusal=refusal.why)


def _untaken(deliveries: Deliveries) -> tuple[int, int]:
    """How many webhooks fail, and how much was parked."""
    failing = sum(queue.failing_since is not None for queue in deliveries.queues().values())
    return failing, sum(counted.get(State.PARKED, 0) for counted in deliveries.counts().values())


def _try(look: Callable[[], object]) -> str | None:
    """Why it fails, if it does."""
    try:
        look()
    except Unavailable as failure:
        return _told(failure)
    except Exception as failure:  # noqa: BLE001 (whatever it is, the service is not ready)
        log.error("not ready", **logs.told(failure))  # noqa: TRY400 (its frames' variables are not for everybody's logs)
        return _words(failure)
    return None


def _words(failure: Exception) -> str:
    """What may be said of a failure to everybody."""
    return " ".join((type(failure).__doc__ or type(failure).__name__).split()) if _is_ours(failure) else "the service failed"


def _told(failure: Unavailable) -> str:
    log.warning("not ready", reason=failure.reason)
    return f"the database cannot be used: {failure.reason}"


def _is_ours(failure: Exception) -> bool:
    """Whether its first words are ours, with nothing of anybody's in them."""
    return type(failure).__module__.startswith(("ledger.", "api.settings"))


def _take_turn(ledger: Ledger) -> None:
    """Take the turn to write, and write nothing; but something, if the last command could not be written.

    A full disk, or a file that can only be read, shows in nothing else. It is not told of for longer than it lasts.
    """
    if ledger.failing is not None:
        ledger.try_writing()
        return
    with ledger.log.turn():
        return
