"""Webhooks that do not get through, told to their party beside the feed: what is sent by them is not where to tell it."""

from datetime import datetime
from typing import Any, Self

from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from api.readings import OVERSEERS, Reading
from api.webhooks import READERS, keeper
from domain.webhook import Reason
from ledger.ledger import Ledger
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
    def of(cls, row: WebhookRow, noted: datetime | None, parked: int) -> Self:
        """A webhook as it is told, with what its queue notes; it may be one that does not fail."""
        since = None if row.since is None else datetime.fromisoformat(row.since)
        return cls(webhook=row.webhook, host=row.host, reason=row.reason, failing_since=noted or since, parked=parked)

    @property
    def fails(self) -> bool:
        """Whether its party has to hear of it."""
        return bool(self.reason or self.failing_since or self.parked)


def enabled_at(ledger: Ledger, row: WebhookRow) -> datetime:
    """Since when a webhook is told."""
    (enabled,) = ledger.log.reads.rows((row.enabled_at or row.first) - 1, 1)
    return datetime.fromisoformat(enabled.recorded_at)


def fails_since(noted: datetime, enabled: datetime) -> datetime:
    """Since when a webhook fails: what is noted may be of before it was enabled, and how long it fails is counted from then."""
    return max(noted, enabled)


async def failing_webhooks(state: Any, asked: Reading) -> tuple[FailingWebhook, ...] | None:
    """Those of the caller's party that the caller may see, as they are now; nothing, if it sees none or asks of the past."""
    if asked.as_of is not None or asked.caller.key.roles.isdisjoint(READERS):
        return None
    return await run_in_threadpool(_look, state.deliveries, asked)


def _look(deliveries: Deliveries, asked: Reading) -> tuple[FailingWebhook, ...]:
    by = keeper(asked.caller, OVERSEERS)
    kept = [row for row in asked.views.webhooks.of_party(by.party) if by.keeps(row) and row.reason is not Reason.ASKED]
    if not kept:
        return ()
    queues, counts = deliveries.queues(), deliveries.counts([row.webhook for row in kept], (Waits.PARKED,))
    told = (
        FailingWebhook.of(row, _noted(queues.get(row.webhook), row, asked), counts.get(row.webhook, {}).get(Waits.PARKED, 0))
        for row in kept
    )
    return tuple(each for each in told if each.fails)


def _noted(queue: Queue | None, row: WebhookRow, asked: Reading) -> datetime | None:
    """Since when a webhook fails as its queue has it, if it does."""
    if queue is None or queue.failing_since is None:
        return None
    return fails_since(datetime.fromisoformat(queue.failing_since), enabled_at(asked.ledger, row))
