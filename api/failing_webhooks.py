"""Webhooks that do not get through, told to their party beside the feed: what is sent by them is not where to tell it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.readings import OVERSEERS, Reading
from api.webhooks import READERS, keeper
from domain.webhook import Reason
from projections.deliveries import Deliveries, Queue
from projections.deliveries import State as Waits
from projections.webhooks import WebhookRow


class FailingWebhook(BaseModel):
    """A webhook that does not take what it is told: by `GET /v1/webhooks/{webhook}/deliveries` it is seen why."""

    webhook: str
    host: str
    reason: Reason | None = Field(description="Why it is disabled, if it is and nobody asked for that")
    failing_since: datetime | None = Field(description="Since when nothing that it was sent was taken")
    parked: int = Field(description="How many deliveries were not taken at their last try")

    @classmethod
    def of(cls, row: WebhookRow, queue: Queue | None, counted: Mapping[Waits, int]) -> Self:
        """A webhook as it is told; it may be one that does not fail."""
        since = row.since if queue is None or queue.failing_since is None else queue.failing_since
        return cls(
            webhook=row.webhook,
            host=row.host,
            reason=None if row.reason is Reason.ASKED else row.reason,
            failing_since=None if since is None else datetime.fromisoformat(since),
            parked=counted.get(Waits.PARKED, 0),
        )

    @property
    def fails(self) -> bool:
        """Whether its party has to hear of it."""
        return bool(self.reason or self.failing_since or self.parked)


async def failing_webhooks(state: Any, asked: Reading) -> tuple[FailingWebhook, ...]:
    """Those of the caller's party that the caller may see, as they are now; none of the past."""
    if asked.as_of is not None or asked.caller.key.roles.isdisjoint(READERS):
        return ()
    return await run_in_threadpool(_look, state.deliveries, asked)


def _look(deliveries: Deliveries, asked: Reading) -> tuple[FailingWebhook, ...]:
    by = keeper(asked.caller, OVERSEERS)
    kept = [row for row in asked.views.webhooks.of_party(by.party) if by.keeps(row)]
    if not kept:
        return ()
    queues, counts = deliveries.queues(), deliveries.counts()
    told = (FailingWebhook.of(row, queues.get(row.webhook), counts.get(row.webhook, {})) for row in kept)
    return tuple(each for each in told if each.fails)
