"""Whether the service lives and can serve, for whoever runs it. No key is needed, and nothing of an award is told."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api import logs
from ledger.ledger import Ledger

router = APIRouter(prefix="/health", tags=["health"])
log = logs.logger(__name__)


class Live(BaseModel):
    """The process answers."""

    live: bool = True


class Model(BaseModel):
    """How far a read model has come."""

    name: str
    position: int
    failed: bool


class Ready(BaseModel):
    """What the service needs, and whether it has it."""

    ready: bool
    log_writable: bool
    triggers_present: bool
    position: int
    views_position: int
    views_lag: Annotated[int, Field(description="How many entries the read models are behind")]
    models: tuple[Model, ...]


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
    models = tuple(Model(name=each.name, position=each.position, failed=each.failed is not None) for each in state.views.health())
    position, views_position = state.ledger.head().size, state.views.position
    guarded, writable = _try(state.ledger.log.start), _try(partial(_take_turn, state.ledger))
    failed = any(each.failed for each in models)
    return Ready(
        ready=guarded and writable and not failed,
        log_writable=writable,
        triggers_present=guarded,
        position=position,
        views_position=views_position,
        views_lag=max(position - views_position, 0),
        models=models,
    )


def _try(look: Any) -> bool:
    try:
        look()
    except Exception:
        log.exception("not ready")
        return False
    return True


def _take_turn(ledger: Ledger) -> None:
    """Take the turn to write, and write nothing."""
    with ledger.log.turn():
        return
