"""Numbers for whoever watches the service, in Prometheus' format. They need an auditor's or administrator's key.

Not open on loopback: behind a proxy everybody comes from there.
"""

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.concurrency import run_in_threadpool

from api.readings import OVERSEERS, question

router = APIRouter(tags=["health"])
_ROUTE = question(OVERSEERS)
_ROUTE["responses"][200] = {"description": "Numbers", "content": {"text/plain": {"schema": {"type": "string"}}}}


@router.get("/metrics", response_class=Response, **_ROUTE)
async def show(request: Request) -> Response:
    """Requests, commands and positions, for a Prometheus that shows a key."""
    state = request.app.state
    return Response(await run_in_threadpool(state.metrics.written, state), media_type=CONTENT_TYPE_LATEST)
