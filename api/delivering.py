"""Webhooks go out: whoever has registered one is sent each notice that is for it, at least once, in order for each award.

A queue follows the log; its deliveries wait in lines, one for each webhook, and in a line those of an award one behind the other.
So one award's notices arrive in order, awards go side by side, and who is slow or away keeps nobody else waiting. What came of an
attempt is on disk before the next of the same award is sent: whatever dies when, what was in flight is sent again under the same
id, and nothing else is.
"""

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from heapq import heappop, heappush
from threading import Event, Thread
from typing import Any, Final, Self

import orjson
from pydantic import Field

from api import webhook_signatures
from api.challenges import MEDIUM
from api.deliveries import tried
from api.failing_webhooks import enabled_at, fails_since
from api.feed import NoticeContent, TheCheckpoint, ToldNotice, told
from api.outgoing import AGENT, Answer, Limits, Outgoing, Rules, tls
from api.settings import Settings
from api.webhook_signatures import Key, PrivateKey
from domain.aggregate import Actor, PersonId
from domain.webhook import (
    Reason,
    Secret,
    Webhook,
    WebhookDisabled,
    WebhookHasMoved,
    WebhookIsDisabled,
    WebhookIsRemoved,
    webhook_stream,
)
from ledger.alone import BackOff, alone
from ledger.bell import LOOK_EVERY_S
from ledger.checkpoints import Checkpoints
from ledger.entry import written
from ledger.failures import Unavailable
from ledger.ledger import Ledger, Request
from projections.deliveries import MOST_WAITING, TEST, Attempt, Coming, Deliveries, Delivery, Moved, Outcome, Queue, State, id_of
from projections.notices import Notice, notice_of
from projections.views import Views
from projections.webhooks import Told, WebhookRow

_LOG: Final = logging.getLogger(__name__)
_DELIVERING: Final = 0x6C636C_06
"""The key of the advisory lock under which one process delivers on PostgreSQL."""
_PAGE: Final = 500
_LOOK_S: Final = 1.0
"""How often it is looked for what is asked of webhooks: new ones, other secrets, deliveries to be sent again."""
_AGAIN_S: Final = 1.0
_AGAIN_MOST_S: Final = 5.0
"""After failures in a row."""
_GRACE_S: Final = 5.0
"""What calls under way have to end when the service stops."""
BURST_S: Final = 0.25
"""For how long a line that had nothing to send may catch up beyond its rate."""
_BODIES: Final = 50
"""How many deliveries are read at once, with what they say, when one of them is to be sent."""
_HELD_MOST: Final = 250
"""Of how many deliveries of a webhook it is held what they say."""
_FORGET_EVERY_S: Final = 3_600.0
_FORGOTTEN_AT_ONCE: Final = 500
_CUT: Final = 500
"""How many characters of an answer are kept."""
_GONE: Final = 410
ITSELF: Final = Actor(PersonId("the-service"), "the-service")
"""Who disables a webhook that takes nothing."""


class DeliveredContent(NoticeContent):
    """What a webhook says: what the feed does, and where in its own sequence it stands."""

    sequence: int = Field(description="Goes up by one from each delivery of the webhook to the next: a hole is a loss")
    checkpoint: TheCheckpoint | None = Field(
        description="The newest signed one when it was queued: with a signature `v1a`, what was told is evidence"
    )


class DeliveredNotice(ToldNotice):
    """A notice as a webhook is sent it."""

    data: DeliveredContent


def as_told(notice: Notice) -> dict[str, Any]:
    """A notice as JSON has it, without what is different for each webhook."""
    return told(notice).model_dump(mode="json")


def body(said: Mapping[str, Any], delivery: Delivery, checkpoint: TheCheckpoint | None) -> bytes:
    """What a webhook is sent of a notice (`DeliveredNotice`)."""
    signed = None if checkpoint is None else checkpoint.model_dump()
    return orjson.dumps({**said, "data": {**said["data"], "sequence": delivery.sequence, "checkpoint": signed}})


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a delivery that failed is tried again, and when nobody is thought to be there any more."""

    pauses_s: tuple[float, ...]
    """From each try to the next; after the last it is parked."""
    jitter: float
    """By how much of itself a pause is longer or shorter, at random."""
    retry_after_most_s: float
    failing_s: float

    def again_at(self, tries: int, answer: Answer, now: datetime) -> datetime | None:
        """When it is tried again that failed so often; nothing, if that was the last time."""
        if tries > len(self.pauses_s):
            return None
        pause = self.pauses_s[tries - 1] * random.uniform(1 - self.jitter, 1 + self.jitter)  # noqa: S311 (nobody guesses it)
        return now + timedelta(seconds=max(pause, self.asked_s(answer, now)))

    def asked_s(self, answer: Answer, now: datetime) -> float:
        """For how long whoever answered wants to be left alone, in seconds, as far as we do."""
        return min(retry_after_s(answer.retry_after, now), self.retry_after_most_s)


def retry_after_s(said: str | None, now: datetime) -> float:
    """What `Retry-After` says, in seconds: a number of them, or a date (RFC 9110, 10.2.3); 0 where it says nothing."""
    if said is None:
        return 0.0
    if said.strip().isascii() and said.strip().isdigit():
        return float(said.strip()[:9])
    try:
        moment = parsedate_to_datetime(said)
    except ValueError:
        return 0.0
    return max((moment.replace(tzinfo=moment.tzinfo or UTC) - now).total_seconds(), 0.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How webhooks are sent."""

    rules: Rules
    limits: Limits
    schedule: Schedule
    kept_days: float = 2_192
    """How long it is kept what was delivered."""


def manner(settings: Settings) -> Manner:
    """How the settings want webhooks to be sent."""
    return Manner(
        rules=Rules.of(settings),
        limits=Limits(
            connect_s=settings.webhook_connect_timeout_s,
            whole_s=settings.webhook_timeout_s,
            connections=settings.webhook_connections_most,
        ),
        schedule=Schedule(
            pauses_s=settings.webhook_pauses_taken_s,
            jitter=settings.webhook_jitter,
            retry_after_most_s=settings.webhook_retry_after_most_s,
            failing_s=settings.webhook_failing_days * 86_400,
        ),
        kept_days=settings.deliveries_kept_days,
    )


class Delivering:
    """Sends webhooks from its beginning to its end, in a thread of its own; on PostgreSQL, when no other process does."""

    def __init__(self, ledger: Ledger, views: Views, deliveries: Deliveries, checkpoints: Checkpoints, manner: Manner) -> None:
        self._of = (ledger, views, deliveries, checkpoints, manner)
        self._deliveries = deliveries
        self._stop = Event()
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[None] | None = None
        self._thread = Thread(target=self._go_on, name="webhooks", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with suppress(RuntimeError):  # It has ended before.
            self._loop.call_soon_threadsafe(lambda: self._task and self._task.cancel())
        self._thread.join()

    def _go_on(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner, suppress(asyncio.CancelledError):
            runner.run(self._keep_on())

    async def _keep_on(self) -> None:
        self._task = asyncio.current_task()
        pauses = BackOff(_AGAIN_S, _AGAIN_MOST_S)
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                with alone(self._deliveries.engine, _DELIVERING) as still:
                    if still is not None:
                        _LOG.info("this process sends webhooks now")
                        await Round(*self._of).go_on(still)
                pause_s = pauses.well()
            except Exception as failure:  # noqa: BLE001 (whatever it is, what was not delivered waits, and is tried again)
                _complain(failure)
                pause_s = pauses.failed() if time.monotonic() - begun < _AGAIN_MOST_S else pauses.well()
            await asyncio.sleep(pause_s)


def _complain(failure: Exception) -> None:
    """Say why nothing is sent at the moment."""
    away = failure.split(Unavailable)[0] if isinstance(failure, ExceptionGroup) else failure
    if isinstance(away, Unavailable | ExceptionGroup):
        first = away.exceptions[0] if isinstance(away, ExceptionGroup) else away
        _LOG.warning("webhooks go on when the database is back: %s", getattr(first, "reason", first))
        return
    _LOG.error("webhooks failed, and go on in a moment", exc_info=failure)


@dataclass(frozen=True, slots=True)
class Known:
    """What has to be known of a webhook beside what everybody may read of it."""

    url: str | None
    """Nothing, if it is not in the vault any more."""
    keys: dict[int, tuple[Key, Key]]
    """What signs, by its number, as far as the vault has it."""
    enabled_at: datetime
    """Since when it is told: how long it fails is counted from then at most."""


class Round:
    """Sending while nobody else does: from what stands in the queues, until something fails or it is cancelled."""

    def __init__(self, ledger: Ledger, views: Views, deliveries: Deliveries, checkpoints: Checkpoints, manner: Manner) -> None:
        self.ledger = ledger
        self.manner = manner
        self.recording = _Recording(deliveries)
        self._views = views
        self._deliveries = deliveries
        self._checkpoints = checkpoints
        self._lines: dict[str, Line] = {}
        self._changing = asyncio.Lock()
        """Held by whoever puts something into lines: what is new must not be put there twice."""
        self._disabled_at: dict[str, int] = {}
        """The positions at which webhooks were disabled here: what the read models say of them may be of before that."""
        self._foreign: set[str] = set()
        """Webhooks whose queues are of another log, as was said once."""
        self._unreadable: set[str] = set()
        """Webhooks of which the vault has what cannot be read, as was said once."""
        self._tls = tls()

    async def go_on(self, still: Callable[[], None]) -> None:
        """Queue and send, for as long as `still` says that nobody else does."""
        recording = asyncio.create_task(self.recording.go_on())
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._look_again(still))
                group.create_task(self._queue())
                group.create_task(self._forget())
        finally:
            await self._end()
            recording.cancel()

    def bodies(self, first: Delivery) -> dict[int, bytes]:
        """What a delivery says, and what some after it do that wait: as it was when they were queued, byte by byte."""
        found = self._deliveries.bodies(first.webhook, first.sequence, _BODIES)
        if first.sequence not in found:  # It was queued by a release that did not keep it.
            found[first.sequence] = self._body(first)
        return found

    def _body(self, delivery: Delivery) -> bytes:
        if delivery.position is None:
            return tried(delivery)
        (row,) = self.ledger.log.reads.rows(delivery.position - 1, 1)
        checkpoint = None if delivery.checkpoint is None else self._checkpoint(delivery.checkpoint)
        return body(as_told(notice_of(row, self.ledger)), delivery, checkpoint)

    async def disable(self, row: WebhookRow, reason: Reason, since: datetime | None = None) -> None:
        """Have a webhook told nothing any more, as an entry of the log that says why; not one that got another address since."""

        def give_up(known: Webhook) -> WebhookDisabled:
            return known.give_up(row.url, reason, since)

        with suppress(WebhookHasMoved, WebhookIsDisabled, WebhookIsRemoved):
            stream = webhook_stream(row.webhook)
            recorded = await asyncio.to_thread(self.ledger.change_now, stream, give_up, Request(ITSELF))
            self._disabled_at[row.webhook] = recorded.last
            _LOG.error("the webhook %s is disabled: %s", row.webhook, reason.value)
        await asyncio.to_thread(self._deliveries.forget_failing, row.webhook)

    # What is asked of webhooks.

    async def _look_again(self, still: Callable[[], None]) -> None:
        while True:
            await asyncio.to_thread(still)
            async with self._changing:
                await self._look()
            await asyncio.sleep(_LOOK_S)

    async def _look(self) -> None:
        """Have a line for each webhook that is to be told, and for no other, with everything in it that waits."""
        wanted = {each.row.webhook: each for each in await asyncio.to_thread(self._views.webhooks.told) if self._is_new(each)}
        for webhook, known in [*self._lines.items()]:
            known.expect_well()
            if webhook not in wanted or known.has_ended:  # One that was disabled may be enabled again by now.
                await self._lines.pop(webhook).end()
                await asyncio.to_thread(self._deliveries.forget_failing, webhook)
        queues = await asyncio.to_thread(self._deliveries.queues)
        for webhook, each in wanted.items():
            if webhook not in queues:
                await asyncio.to_thread(self._deliveries.begin, webhook, each.row.told_after or 0)
                queues = await asyncio.to_thread(self._deliveries.queues)
            if webhook not in self._lines and not await asyncio.to_thread(self._is_of_this_log, queues[webhook], each.row):
                continue
            await self._look_at(each, queues[webhook])

    async def _look_at(self, each: Told, queue: Queue) -> None:
        """Have a webhook's line be as the webhook is now; one of which something cannot be read keeps nobody else waiting."""
        line = self._lines.get(queue.webhook)
        if line is None or line.told.row != each.row or line.known.url is None:
            try:
                known = await asyncio.to_thread(self._reveal, each.row)
            except ValueError:
                await self._leave_out(queue.webhook)
                return
            if line is None:
                outgoing = Outgoing(self.manner.rules, self.manner.limits, self._tls)
                line = self._lines[queue.webhook] = Line(self, each, known, outgoing)
            line.known = known
        line.told = each
        if line.revision != queue.revision or line.wants_more:
            line.expect_reading()
            line.load(queue, await asyncio.to_thread(self._deliveries.waiting, queue.webhook))

    async def _leave_out(self, webhook: str) -> None:
        """Tell a webhook nothing of which the vault has what cannot be read, and say so once."""
        if webhook not in self._unreadable:
            _LOG.exception("the webhook %s cannot be told: what the vault has of it cannot be read", webhook)
        self._unreadable.add(webhook)
        if webhook in self._lines:
            await self._lines.pop(webhook).end()

    def _is_of_this_log(self, queue: Queue, row: WebhookRow) -> bool:
        """Whether a queue goes on from this log, and from none that a restore let go of: its places have other entries now.

        One that looked at what is lost, and queued nothing of it, goes back to what it queued last; it is gone on with next time.
        """
        last, reads = self._deliveries.last(queue.webhook), self.ledger.log.reads
        leaf = reads.leaf_at(last.position) if last is not None and last.position is not None else None
        if last is None or (leaf and id_of(queue.webhook, leaf) == last.id):
            seen = queue.position if queue.seen_leaf is None else queue.seen
            if seen <= self.ledger.head().size and queue.seen_leaf in (None, reads.leaf_at(seen)):
                return True
            told_after = row.told_after or 0
            self._deliveries.go_back(queue.webhook, told_after if last is None else last.position or told_after)
            return False
        if queue.webhook not in self._foreign:
            _LOG.error("the webhook %s is sent nothing: its deliveries are of a log that was restored since", queue.webhook)
        self._foreign.add(queue.webhook)
        return False

    def _is_new(self, each: Told) -> bool:
        return (each.row.enabled_at or 0) >= self._disabled_at.get(each.row.webhook, 0)

    def _reveal(self, row: WebhookRow) -> Known:
        """What the vault still has of a webhook, and since when it is enabled; `ValueError` if it cannot be read."""
        texts = self.ledger.reveal([row.url, *(signing.secret for signing in row.secrets)])
        secrets = {one.number: Secret.read(texts[one.secret], one.public_key) for one in row.secrets if one.secret in texts}
        keys: dict[int, tuple[Key, Key]] = {
            number: (webhook_signatures.Secret.read(secret.symmetric), PrivateKey.read(secret.private))
            for number, secret in secrets.items()
        }
        return Known(texts.get(row.url), keys, enabled_at(self.ledger, row))

    # What goes.

    async def _forget(self) -> None:
        """Let go of what was delivered so long ago that it is kept no longer: a little at a time, as others write too."""
        while True:
            before = self.ledger.now() - timedelta(days=self.manner.kept_days)
            try:
                gone = await asyncio.to_thread(self._deliveries.forget, before, _FORGOTTEN_AT_ONCE)
            except Moved:
                gone = 0
            await asyncio.sleep(_LOOK_S if gone else _FORGET_EVERY_S)

    # What comes.

    async def _queue(self) -> None:
        with self.ledger.subscribe_wake() as wake:
            while True:
                async with self._changing:
                    more = await self._queue_some()
                if not more:
                    await asyncio.to_thread(wake.wait, LOOK_EVERY_S)

    async def _queue_some(self) -> bool:
        """Take each queue a step further along the log; whether any went."""
        size = (await asyncio.to_thread(self.ledger.head)).size
        groups: dict[int, list[Line]] = {}
        for line in self._lines.values():
            if line.position < size and line.has_room:
                groups.setdefault(line.position, []).append(line)
        for position, lines in groups.items():
            try:
                looked, new, bodies = await asyncio.to_thread(self._put, position, size, [line.told for line in lines])
            except Moved:  # Somebody asked for a replay.
                await self._look()
                return True
            for line in lines:
                line.position = looked
                line.hold(bodies[line.told.row.webhook])
            for each in new:
                self._lines[each.webhook].add(each)
        return bool(groups)

    def _put(self, position: int, size: int, tell: Sequence[Told]) -> tuple[int, list[Delivery], dict[str, dict[int, bytes]]]:
        page = self._views.notices.page(position, size, _PAGE)
        said = {notice.position: as_told(notice) for notice in page.rows}
        coming = {
            each.row.webhook: [
                Coming(notice.position, notice.award, notice.type, notice.leaf)
                for notice in page.rows
                if each.hears(notice.type, notice.award)
            ]
            for each in tell
        }
        signed = self._checkpoints.last()
        checkpoint = None if signed is None else TheCheckpoint.of(signed)
        bodies: dict[str, dict[int, bytes]] = {webhook: {} for webhook in coming}

        def write(each: Delivery) -> bytes:
            made = bodies[each.webhook][each.sequence] = body(said[each.position or 0], each, checkpoint)
            return made

        new = self._deliveries.put(
            coming,
            position,
            page.looked,
            body=write,
            leaf=self.ledger.log.reads.leaf_at(page.looked),
            checkpoint=signed and signed.size,
            now=self.ledger.now(),
        )
        return page.looked, new, bodies

    def _checkpoint(self, size: int) -> TheCheckpoint:
        signed = self._checkpoints.last(size)
        if signed is None or signed.size != size:
            raise LookupError(f"there is no checkpoint of {size} entries")
        return TheCheckpoint.of(signed)

    async def _end(self) -> None:
        """Send nothing more, and let end what is under way, but not for ever."""
        await asyncio.gather(*(line.end() for line in self._lines.values()))


class Line:
    """What waits for one webhook: for each award one delivery behind the other, of which the first is sent when it is due."""

    def __init__(self, of: Round, told: Told, known: Known, outgoing: Outgoing) -> None:
        self.told = told
        self.known = known
        self.position = 0
        self.revision = -1
        self._of = of
        self._outgoing = outgoing
        self._calls = asyncio.Semaphore(of.manner.limits.connections)
        self._awards: dict[str, deque[Delivery]] = {}
        self._due: list[tuple[str, int, str]] = []
        """When the first of an award is due, its number, and of which award it is: only of those that are not under way."""
        self._under_way: dict[int, Delivery] = {}
        """What is tried at the moment, as it was before, by its number."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._asked_again: set[int] = set()
        """What is under way, but stands otherwise in the queue by now: it may have been asked for again."""
        self._is_read = False
        self._settled: dict[int, list[Delivery]] = {}
        """What was settled since the queue began to be read, with all that it was since: what was read may be of before that."""
        self._bodies: dict[int, bytes] = {}
        """What deliveries say that are to be sent soon; it never changes, so what is held is never wrong."""
        self._size = 0
        self._is_whole = True
        """Whether everything that waits is here, and not only the first `MOST_WAITING`."""
        self._changed = asyncio.Event()
        self._free_at = datetime.min.replace(tzinfo=UTC)
        self._failing_since: datetime | None = None
        self._fault: BaseException | None = None
        self._sending = asyncio.create_task(self._go_on())

    @property
    def has_room(self) -> bool:
        """Whether more may be queued."""
        return self._is_whole and self._size + _PAGE <= MOST_WAITING and self.revision >= 0

    @property
    def wants_more(self) -> bool:
        """Whether more waits than is here, and there is room for it."""
        return not self._is_whole and self._size <= MOST_WAITING // 2

    @property
    def has_ended(self) -> bool:
        """Whether nothing is sent any more, as the webhook is disabled."""
        return self._sending.done()

    def expect_well(self) -> None:
        """Raise what went wrong here, if anything did that is not the webhook's own failure."""
        if self._sending.done() and not self._sending.cancelled():
            self._sending.result()
        if self._fault is not None:
            raise self._fault

    def expect_reading(self) -> None:
        """Mind from now on what is settled, as the queue is about to be read."""
        self._is_read = True

    def load(self, queue: Queue, waiting: Sequence[Delivery]) -> None:
        """Begin anew with what waits in a queue; what is under way goes on, and is looked for again when it has ended."""
        self.position, self.revision = queue.position, queue.revision
        self._failing_since = None if queue.failing_since is None else datetime.fromisoformat(queue.failing_since)
        self._awards = {award: deque([those[0]]) for award, those in self._awards.items() if those[0].sequence in self._under_way}
        self._due, self._size, self._is_whole = [], len(self._awards), len(waiting) < MOST_WAITING
        for each in waiting:
            self._take(each)
        self._is_read, self._settled = False, {}

    def _take(self, read: Delivery) -> None:
        """Let a delivery wait that was read, as it is by now; if it is not what it can have been, the queue is read once more."""
        before, since = self._under_way.get(read.sequence), self._settled.get(read.sequence, [read])
        if before is not None:
            if read not in (before, *self._settled.get(read.sequence, ())):
                self._asked_again.add(read.sequence)
        elif read not in since:
            self.revision = -1
        elif since[-1].state is State.WAITING:
            self.add(since[-1])

    def add(self, delivery: Delivery) -> None:
        """Put a delivery behind the others of its award."""
        award = _award(delivery)
        those = self._awards.setdefault(award, deque())
        those.append(delivery)
        self._size += 1
        if len(those) == 1:
            self._let_go(delivery)

    async def end(self) -> None:
        """Send nothing more, and let end what is under way, but not for ever."""
        self._sending.cancel()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_GRACE_S)
            for each in late:
                each.cancel()
        await self._outgoing.close()

    async def _go_on(self) -> None:
        while True:
            await self._calls.acquire()
            delivery = await self._next()
            self._under_way[delivery.sequence] = delivery
            task = asyncio.create_task(self._send(delivery))
            self._tasks.add(task)
            task.add_done_callback(self._sent)

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._calls.release()
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fault = task.exception()

    async def _next(self) -> Delivery:
        """The next delivery that is due, when it is, and when the webhook takes another one."""
        while True:
            self._changed.clear()
            wait_s = _LOOK_S
            if self._due:
                now = self._of.ledger.now()
                ready = max(datetime.fromisoformat(self._due[0][0]), self._free_at)
                if ready <= now:
                    _, _, award = heappop(self._due)
                    busy = timedelta(seconds=1 / self.told.row.rate_limit)
                    self._free_at = max(self._free_at, now - timedelta(seconds=BURST_S)) + busy
                    return self._awards[award][0]
                wait_s = min(wait_s, (ready - now).total_seconds())
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()

    async def _send(self, delivery: Delivery) -> None:
        """Try a delivery once; what came of it is on disk when the next of its award is let go."""
        now, row = self._of.ledger.now(), self.told.row
        if delivery.award is not None and self.told.opened is not None and delivery.award not in self.told.opened:
            answer, again = Answer(None, b"", "the key of the webhook opens this award no more", 0), None
        else:
            answer = await self._call(delivery, row, now)
            again = self._again_at(delivery, answer)
        after = _after(delivery, answer, again, self._of.ledger.now())
        await self._of.recording.record(Outcome(_attempt(delivery, answer, now), after, delivery.due_at))
        self._settle(delivery, after, answer)
        await self._judge(answer, row, now)

    async def _call(self, delivery: Delivery, row: WebhookRow, now: datetime) -> Answer:
        known = self.known
        keys = [key for one in row.signing(now) for key in known.keys.get(one.number, ())]
        if known.url is None:
            return Answer(None, b"", "the address is not in the vault any more", 0)
        if not keys:
            return Answer(None, b"", "what signs is not in the vault any more", 0)
        try:
            body = await self._body(delivery)
        except (LookupError, ValueError) as failure:
            _LOG.exception("a notice of the webhook %s cannot be told", delivery.webhook)
            return Answer(None, b"", f"the notice cannot be told: {type(failure).__name__}", 0)
        signed = webhook_signatures.headers(delivery.id, now, body, keys)
        return await self._outgoing.post(known.url, body, {"Content-Type": MEDIUM, "User-Agent": AGENT, **signed})

    async def _body(self, delivery: Delivery) -> bytes:
        """What a delivery says: held since it was queued, or read with what comes after it."""
        held = self._bodies.pop(delivery.sequence, None)
        if held is None:
            read = await asyncio.to_thread(self._of.bodies, delivery)
            held = read.pop(delivery.sequence)
            self._bodies.clear()  # What is held comes later than what is sent now.
            self.hold(read)
        return held

    def hold(self, bodies: Mapping[int, bytes]) -> None:
        """Hold what deliveries say that are about to be sent, as far as there is room."""
        for sequence in list(bodies)[: max(_HELD_MOST - len(self._bodies), 0)]:
            self._bodies[sequence] = bodies[sequence]

    def _again_at(self, delivery: Delivery, answer: Answer) -> datetime | None:
        """When a delivery is tried again, if it has to be; of one that is gone, as soon as it is enabled again."""
        now, schedule = self._of.ledger.now(), self._of.manner.schedule
        if answer.status == _GONE:
            return now
        if not answer.good and answer.retry_after is not None:
            self._free_at = max(self._free_at, now + timedelta(seconds=schedule.asked_s(answer, now)))
        return schedule.again_at(delivery.tries + 1, answer, now)

    def _settle(self, delivery: Delivery, after: Delivery, answer: Answer) -> None:
        """Let go of what is next of the award; of one that was asked for again meanwhile, when the queue is read again."""
        del self._under_way[delivery.sequence]
        if self._is_read:
            self._settled.setdefault(delivery.sequence, [delivery]).append(after)
        if delivery.sequence in self._asked_again:
            self._asked_again.remove(delivery.sequence)
            self.revision = -1
        award = _award(delivery)
        those = self._awards[award]
        if after.state is State.WAITING:
            those[0] = after
        else:
            those.popleft()
            self._size -= 1
        if after.state is State.PARKED:
            _LOG.error("delivery %d of the webhook %s is parked: %s", after.sequence, after.webhook, _why(answer))
        if those:
            self._let_go(those[0])
        else:
            del self._awards[award]

    def _let_go(self, delivery: Delivery) -> None:
        heappush(self._due, (delivery.due_at, delivery.sequence, _award(delivery)))
        self._changed.set()

    async def _judge(self, answer: Answer, row: WebhookRow, now: datetime) -> None:
        """Disable the webhook, if nobody is there any more."""
        if answer.good:
            self._failing_since = None
            return
        self._failing_since = fails_since(self._failing_since or now, self.known.enabled_at)
        failing_s = (now - self._failing_since).total_seconds()
        if answer.status == _GONE:
            await self._disable(row, Reason.GONE)
        elif failing_s >= self._of.manner.schedule.failing_s:
            await self._disable(row, Reason.FAILING, self._failing_since)

    async def _disable(self, row: WebhookRow, reason: Reason, since: datetime | None = None) -> None:
        if self._sending.cancel():  # The first who finds it does.
            await self._of.disable(row, reason, since)


class _Recording:
    """Writes what came of attempts: all that wait, together."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._waiting: list[tuple[Outcome, asyncio.Future[None]]] = []
        self._wake = asyncio.Event()

    async def record(self, outcome: Outcome) -> None:
        """Have an outcome written; it is on disk when this returns, however long the database was away."""
        written_down: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((outcome, written_down))
        self._wake.set()
        await written_down

    async def go_on(self) -> None:
        """Write what waits, until cancelled."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            some, self._waiting = self._waiting, []
            failure = await self._write([outcome for outcome, _ in some])
            for _, each in some:
                if each.cancelled():
                    continue
                if failure is None:
                    each.set_result(None)
                else:
                    each.set_exception(failure)

    async def _write(self, outcomes: list[Outcome]) -> Exception | None:
        while True:
            try:
                await asyncio.to_thread(self._deliveries.record, outcomes)
            except Unavailable as failure:
                _LOG.warning("what came of webhooks waits for the database: %s", failure.reason)
                await asyncio.sleep(_AGAIN_S)
            except Exception as failure:  # noqa: BLE001 (whoever waits for it is told)
                return failure
            else:
                return None


def _award(delivery: Delivery) -> str:
    """Behind which others a delivery waits: tests wait for nobody."""
    return delivery.award if delivery.award is not None else f"{TEST} {delivery.sequence}"


def _attempt(delivery: Delivery, answer: Answer, at: datetime) -> Attempt:
    return Attempt(
        delivery.webhook,
        delivery.sequence,
        delivery.attempts + 1,
        written(at),
        answer.status,
        answer.failure,
        answer.duration_ms,
        _cut(answer.body),
    )


def _after(delivery: Delivery, answer: Answer, again: datetime | None, now: datetime) -> Delivery:
    """What becomes of a delivery that was tried: it is tried `again`, unless it was taken, or that was the last time."""
    tried = delivery._replace(attempts=delivery.attempts + 1, tries=delivery.tries + 1)
    if answer.good:
        return tried._replace(state=State.DELIVERED, ended_at=written(now))
    if again is None:
        return tried._replace(state=State.PARKED, ended_at=written(now))
    return tried._replace(due_at=written(again))


def _cut(body: bytes) -> str:
    """The beginning of an answer as it can be kept and shown."""
    text = body[: 4 * _CUT].decode("utf-8", "replace")[:_CUT]
    return "".join(each if each.isprintable() or each in "\n\t" else "\N{REPLACEMENT CHARACTER}" for each in text)


def _why(answer: Answer) -> str:
    return answer.failure or f"it answered {answer.status}"
