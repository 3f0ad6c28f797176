"""The service: what it opens when it starts, what it closes when it stops, and its routes."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import Final

from fastapi import FastAPI, Request, Response

from api import (
    assessments,
    audit_packs,
    awards,
    balances,
    bank_details,
    checkpoints,
    claims,
    clawbacks,
    counters,
    deliveries,
    disclosures,
    entries,
    erasures,
    events,
    explanations,
    feed,
    health,
    histories,
    identity,
    keys,
    me,
    metrics,
    openapi,
    opening_positions,
    other_payments,
    parties,
    payment_runs,
    payments,
    people,
    problems,
    receivables,
    reconsiderations,
    refusals,
    requests,
    statements,
    tokens,
    trails,
    webhooks,
)
from api.commands import OwnWrites
from api.openapi import refused_with
from api.readings import NotModified
from api.settings import Settings, vault_key
from api.witnesses import Asking
from ledger.checkpoints import Checkpoints
from ledger.disclosures import Disclosures
from ledger.ledger import Ledger
from projections.deliveries import Deliveries
from projections.views import Views
from projections.watching import Pace

VERSION: Final = "0.1.0"

_KNOWN = refused_with(
    identity.KeyIsMissing,
    identity.KeyIsWrong,
    *tokens.REFUSALS,
    identity.RoleIsMissing,
    problems.NotNow,
    problems.TooManyConnections,
    problems.DatabaseUnavailable,
    problems.LogIsDamaged,
)
_ROUTERS: Final = (
    audit_packs,
    awards,
    claims,
    assessments,
    explanations,
    payments,
    clawbacks,
    reconsiderations,
    other_payments,
    opening_positions,
    receivables,
    balances,
    statements,
    trails,
    histories,
    erasures,
    payment_runs,
    parties,
    bank_details,
    people,
    keys,
    me,
    entries,
    checkpoints,
    events,
    feed,
    webhooks,
    deliveries,
    disclosures,
)


def create_app(
    settings: Settings,
    ledger: Ledger | None = None,
    views: Views | None = None,
    clock: Callable[[], datetime] | None = None,
    *,
    follow: bool = True,
    origin: str | None = None,
) -> FastAPI:
    """The service. A ledger or views that are given stay open when it stops; others it opens and closes itself.

    Without a `ledger` it opens the one of the settings, and registers the first administrator if there is none. With `follow`,
    it keeps the read models up to date, if no other process does. `origin` says from where requests come that come from no
    network address.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        opened = await asyncio.to_thread(_open, settings, ledger, views, clock)
        app.state.checkpoints = Checkpoints(opened[0], settings.log_name)
        app.state.asking = Asking(settings.known_witnesses, opened[0].now)
        app.state.ledger, app.state.views, app.state.disclosures, app.state.deliveries = opened
        app.state.registering = asyncio.Lock()  # One webhook is registered after the other.
        app.state.metrics.watch(opened[0], opened[2])
        pace = Pace(settings.views_check_entries_per_s, settings.views_check_every_s)
        following = asyncio.create_task(opened[1].follow(pace)) if follow else None
        try:
            async with tokens.Issuer.of(settings, lambda: opened[0].now().timestamp()) as app.state.issuer:
                yield
        finally:
            if following is not None:
                following.cancel()
                with suppress(asyncio.CancelledError):
                    await following
            await asyncio.to_thread(_close, opened, ledger, views)

    app = FastAPI(
        title="Life Chances Ledger",
        version=VERSION,
        lifespan=life,
        openapi_url="/v1/openapi.json",
        docs_url=None,  # their pages load programs from elsewhere
        redoc_url=None,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.checkpointing = None
    app.state.origin = origin
    app.state.own_writes = OwnWrites()
    app.state.stops = lambda: False
    """Whether the service stops, and who waits for something that may come should wait no longer."""
    app.state.metrics = counters.Metrics()
    for noun in _ROUTERS:
        app.router.routes.extend(noun.router.routes)  # As they are: to include them is to make each anew for every application.
    for watched in (health, metrics):
        app.include_router(watched.router, prefix="/v1")
        app.include_router(watched.router, include_in_schema=False)  # where those who watch services look first
    app.include_router(refusals.router)
    problems.install(app)
    openapi.install(app, _KNOWN)

    @app.exception_handler(NotModified)
    async def not_modified(_request: Request, same: NotModified) -> Response:
        return Response(status_code=304, headers={"ETag": same.etag})

    app.add_middleware(requests.Requests, metrics=app.state.metrics, limits=settings)
    return app


def _open(
    settings: Settings, ledger: Ledger | None, views: Views | None, clock: Callable[[], datetime] | None
) -> tuple[Ledger, Views, Disclosures, Deliveries]:
    if ledger is not None:
        return _open_beside(settings, ledger, views)
    found = Ledger.open(
        settings.log_url,
        vault_key=vault_key(settings),
        clock=clock,
        serving=True,
        most_waiting=settings.queue_most,
        most_of_one_person=settings.commands_per_person_most,
    )
    try:
        identity.first_administrator(found, settings)
        return _open_beside(settings, found, views)
    except BaseException:
        found.close()
        raise


def _open_beside(settings: Settings, ledger: Ledger, views: Views | None) -> tuple[Ledger, Views, Disclosures, Deliveries]:
    """A ledger and what stands beside it."""
    views = views or Views.open(settings.log_url, ledger)
    return ledger, views, open_disclosures(settings, ledger.now), Deliveries.open(settings.log_url)


def open_disclosures(settings: Settings, clock: Callable[[], datetime]) -> Disclosures:
    """The disclosures of a ledger, as they are to be kept."""
    return Disclosures.open(
        settings.log_url, clock, most_waiting=settings.disclosures_waiting_most, kept_days=settings.disclosures_kept_days
    )


def _close(opened: tuple[Ledger, Views, Disclosures, Deliveries], ledger: Ledger | None, views: Views | None) -> None:
    opened[2].close()
    opened[3].close()
    if views is None:
        opened[1].close()
    if ledger is None:
        opened[0].close()
