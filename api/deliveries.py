"""What webhooks were sent, what came of it, and sending it again.

Sending again is no entry of the log, as it changes nothing of what there is: asked for twice, a delivery waits as it did, and
goes out under the id that it always had.
"""

from datetime import datetime
from typing import Annotated, ClassVar, Final, Self

from fastapi import APIRouter, Path, Query, Request
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.awards import ADMINISTRATOR
from api.challenges import of_webhook
from api.commands import Route
from api.identity import caller_of
from api.names import AskedAward, WebhookName
from api.problems import TurnedAway
from api.readings import LIMIT, OVERSEERS, After, Limit, Page, cursor, offset, position_of, question
from api.telling import note
from api.webhooks import KEEPERS, READERS, keeper
from domain.reference import canonical
from domain.refusal import Absent, Refused
from domain.webhook import NoSuchWebhook, WebhookIsRemoved, webhook_stream
from domain.webhook import State as WebhookState
from ledger.ledger import Ledger
from projections.deliveries import Attempt, Deliveries, Delivery, Gone, State

router = APIRouter(prefix="/v1/webhooks/{webhook}", tags=["webhooks"])
_MOST: Final = 10**15
"""No delivery has a higher number."""
Sequence = Annotated[int, Path(ge=1, le=_MOST, description="The delivery's number in the sequence of the webhook")]


class NoSuchDelivery(Absent):
    """The webhook has no delivery of this number."""


class NothingWasQueued(TurnedAway):
    """The webhook has been told nothing yet; what it is to hear is queued a second after it is confirmed, at the latest."""

    status: ClassVar[int] = 409


class IsKeptNoLonger(TurnedAway):
    """Something of that was delivered so long ago that it is kept no longer; ask from `after`, or the feed."""

    status: ClassVar[int] = 410


class BothAreSaid(TurnedAway):
    """Say from when everything is to be sent again, or that what failed is; not both."""

    status: ClassVar[int] = 422


class ToldAttempt(BaseModel):
    """A call, and what came of it."""

    number: int
    at: datetime
    status: int | None = Field(description="What was answered, as in HTTP; nothing: no answer came")
    failure: str | None = Field(description="Why no answer came")
    duration_ms: int
    answer: str = Field(description="The beginning of what was answered")


class ToldDelivery(BaseModel):
    """A notice, or a test, that a webhook is sent."""

    sequence: int = Field(description="Its number: the webhook's sequence has no holes")
    id: str = Field(description="`webhook-id`, the same at each attempt")
    type: str
    position: int | None = Field(description="Of its entry in the log; a test has none")
    award: str | None
    state: State
    queued_at: datetime
    due_at: datetime | None = Field(description="When it is tried next, if it waits and nothing before it does")
    ended_at: datetime | None = Field(description="When it was taken, or parked")
    attempts: tuple[ToldAttempt, ...]

    @classmethod
    def of(cls, delivery: Delivery, attempts: list[Attempt]) -> Self:
        """A delivery as it is told."""
        said = {name: value for name, value in delivery._asdict().items() if name in cls.model_fields}
        due_at = delivery.due_at if delivery.state is State.WAITING else None
        return cls.model_validate({**said, "due_at": due_at, "attempts": [each._asdict() for each in attempts]})


class Waiting(BaseModel):
    """What waits to be sent."""

    webhook: str
    deliveries: int = Field(description="How many wait again at once; what was never queued follows from the log")
    after: int | None = Field(default=None, description="Of a replay: everything after this position of the log is sent")
    sequence: int | None = Field(default=None, description="The number of the one, if it is one")


def _sending(*refusals: type[Refused]) -> Route:
    """The route of what sends something again."""
    route = question(KEEPERS, NoSuchWebhook, WebhookIsRemoved, *refusals)
    del route["responses"][200]
    route["status_code"] = 202
    return route


@router.get("/deliveries", **question(READERS, NoSuchWebhook, of_log=False))
def page(
    webhook: WebhookName,
    request: Request,
    *,
    state: Annotated[State | None, Query(description="In this state only")] = None,
    award: AskedAward = None,
    after: After = None,
    limit: Limit = LIMIT,
) -> Page[ToldDelivery]:
    """What a webhook was sent or is to be, the newest first, with every attempt."""
    known, _ = _ledger(request).load(webhook_stream(webhook))
    if not keeper(caller_of(request), OVERSEERS).keeps(known):
        raise NoSuchWebhook(name=webhook)
    deliveries, most = _deliveries(request), min(limit, request.app.state.settings.page_size_most)
    found = deliveries.page(
        webhook, before=offset(after, _MOST) or None, limit=most, state=state, award=award and canonical(award)
    )
    attempts = deliveries.attempts(webhook, found[-1].sequence, found[0].sequence) if found else []
    by_sequence: dict[int, list[Attempt]] = {}
    for each in attempts:
        by_sequence.setdefault(each.sequence, []).append(each)
    note(rows=len(found))
    goes_on = len(found) == most and found[-1].sequence > 1
    return Page(
        rows=tuple(ToldDelivery.of(each, by_sequence.get(each.sequence, [])) for each in found),
        next=cursor(str(found[-1].sequence)) if goes_on else None,
    )


@router.post("/deliveries/{sequence}/resend", **_sending(NoSuchDelivery, IsKeptNoLonger))
async def resend(webhook: WebhookName, sequence: Sequence, request: Request) -> Waiting:
    """Send one delivery again, under its id. What comes after it of the same award waits until it is taken or parked."""
    await run_in_threadpool(_expect_kept, request, webhook)
    found = await run_in_threadpool(_deliveries(request).resend, webhook, sequence, _ledger(request).now())
    if found is None:
        await run_in_threadpool(_expect_kept_still, request, webhook, sequence)
        raise NoSuchDelivery(name=str(sequence))
    return Waiting(webhook=webhook, deliveries=1, sequence=sequence)


@router.post("/replay", **_sending(NothingWasQueued, BothAreSaid, IsKeptNoLonger))
async def replay(
    webhook: WebhookName,
    request: Request,
    *,
    begin: Annotated[
        str | None,
        Query(alias="from", description="Everything recorded after then: a position, or an RFC 3339 time", examples=["1042"]),
    ] = None,
    parked: Annotated[bool, Query(description="Only what was parked, as it was not taken at the last try")] = False,
) -> Waiting:
    """Send everything again since a moment, or what was parked; and for the first time what was recorded before the webhook was.

    Everything is sent under the ids that it had. Without `from` and `parked` it is everything that there is. What was delivered
    long ago is kept no longer (`LCLEDGER_DELIVERIES_KEPT_DAYS`) and cannot be sent again: the feed has it.
    """
    await run_in_threadpool(_expect_kept, request, webhook)
    if parked and begin is not None:
        raise BothAreSaid
    deliveries, now = _deliveries(request), _ledger(request).now()
    if parked:
        return Waiting(webhook=webhook, deliveries=await run_in_threadpool(deliveries.retry_parked, webhook, now))
    queue = await run_in_threadpool(deliveries.queue, webhook)
    if queue is None:
        raise NothingWasQueued
    after = queue.forgotten if begin is None else await run_in_threadpool(_position, _ledger(request), begin)
    try:
        waiting = await run_in_threadpool(deliveries.replay, webhook, after, now)
    except Gone as gone:
        raise IsKeptNoLonger(after=gone.after) from None
    return Waiting(webhook=webhook, deliveries=waiting, after=after)


@router.post("/test", **_sending(NothingWasQueued))
async def test(webhook: WebhookName, request: Request) -> Waiting:
    """Send a test, of type `webhook.test`, under the next number of the sequence; what came of it is among the deliveries."""
    await run_in_threadpool(_expect_kept, request, webhook)
    try:
        queued = await run_in_threadpool(_deliveries(request).test, webhook, tried, _ledger(request).now())
    except LookupError:
        raise NothingWasQueued from None
    return Waiting(webhook=webhook, deliveries=1, sequence=queued.sequence)


def tried(delivery: Delivery) -> bytes:
    """What a test says."""
    data = {"webhook": delivery.webhook, "sequence": delivery.sequence}
    return of_webhook(delivery.webhook, delivery.id, delivery.type, delivery.queued_at, data)


def _expect_kept_still(request: Request, webhook: str, sequence: int) -> None:
    """Refuse a delivery that there was, and that is kept no longer."""
    queue = _deliveries(request).queue(webhook)
    if queue is not None and sequence <= queue.sequence:
        raise IsKeptNoLonger(after=queue.forgotten)


def _position(ledger: Ledger, begin: str) -> int:
    return position_of(ledger, begin, ledger.head().size, "from")


def _expect_kept(request: Request, webhook: str) -> None:
    """Refuse whoever does not manage a webhook, as if there were none, and one that is removed."""
    known, _ = _ledger(request).load(webhook_stream(webhook))
    if not keeper(caller_of(request), ADMINISTRATOR).keeps(known):
        raise NoSuchWebhook(name=webhook)
    if known.state is WebhookState.REMOVED:
        raise WebhookIsRemoved(webhook=webhook)


def _deliveries(request: Request) -> Deliveries:
    found: Deliveries = request.app.state.deliveries
    return found


def _ledger(request: Request) -> Ledger:
    found: Ledger = request.app.state.ledger
    return found
