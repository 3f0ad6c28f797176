"""All read models together: they follow the log, are rebuilt and checked, and answer."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from sqlalchemy import URL
from sqlalchemy.exc import DBAPIError

from ledger import store
from ledger.alone import BackOff, alone
from ledger.bell import LOOK_EVERY_S, Wake
from ledger.entry import Registry
from ledger.failures import Unavailable
from ledger.ledger import Ledger
from ledger.log import Log
from projections.accounts import AccountsTally
from projections.awards import Awards, AwardsProjection
from projections.balances import BalanceSheet
from projections.claims import Claims, ClaimsProjection
from projections.clawbacks import Clawbacks, ClawbacksProjection
from projections.contracts import ContractsJournal
from projections.following import BATCH_CATCHING_UP, BATCH_LIVE, Follower
from projections.histories import Histories
from projections.keys import Keys, KeysProjection
from projections.models import Tables
from projections.notices import Notices
from projections.other_payments import OtherPayments, OtherPaymentsProjection
from projections.parties import Parties, PartiesProjection
from projections.payments import Payments, PaymentsProjection
from projections.people import People, PeopleProjection
from projections.postings import PostingsJournal
from projections.projection import Happened, Model
from projections.rebuilding import Progress, rebuild
from projections.receivables import Receivables, ReceivablesProjection
from projections.reconsiderations import Reconsiderations, ReconsiderationsProjection
from projections.replay import Checked, Source, check
from projections.runs import Runs, RunsProjection
from projections.trails import Trail
from projections.watching import NEVER, AwardsRows, Checks, Pace, Round, Watched
from projections.webhooks import Webhooks, WebhooksProjection

_Waiter = tuple[asyncio.AbstractEventLoop, asyncio.Event]
_LOG: Final = logging.getLogger(__name__)
_FOLLOWING: Final = 0x6C636C_04
"""The key of the advisory lock under which one process follows on PostgreSQL."""
_AGAIN_S: Final = 1.0
"""After a failure of the database, and between attempts to become the one who follows."""
_AGAIN_MOST_S: Final = 5.0
"""After failures in a row: as long as clients are told to wait."""
_LOOK_S: Final = 0.02
_GATHER_S: Final = 0.025
"""How long entries may gather, while nobody waits for them: few steps of many entries cost less than many of few."""
_REST: Final = 4
"""So many times as long as a step took they may gather: where commands and steps share a core, most of it is for commands."""
_GATHER_MOST_S: Final = 0.25


class ViewsLag(TimeoutError):
    """The read models have not come so far yet; ask again in a moment."""


@dataclass(frozen=True, slots=True)
class Health:
    """How a model is doing: how far it has come, and why it stopped if it did."""

    name: str
    version: int
    position: int
    failed: str | None
    watched: Watched
    """What comparing it in the background found."""


class Views:
    """The read models of a ledger. One attribute for each: what can be asked of it."""

    def __init__(self, tables: Tables, ledger: Ledger) -> None:
        self._tables = tables
        self._ledger = ledger
        self._follower = Follower(tables, ledger)
        self._checks = Checks(tables)
        self._following = False
        self._waiting: set[_Waiter] = set()
        self._listening: set[_Waiter] = set()
        self._hurry = threading.Event()
        awards, claims, payments = AwardsProjection(), ClaimsProjection(), PaymentsProjection()
        self.awards = Awards(tables, awards, self._past)
        self.claims = Claims(tables, claims, self._past)
        self.payments = Payments(tables, payments, self._past)
        self.clawbacks = Clawbacks(tables, ClawbacksProjection(), self._past)
        self.receivables = Receivables(tables, ReceivablesProjection(), self._past)
        self.reconsiderations = Reconsiderations(tables, ReconsiderationsProjection(), self._past)
        self.other_payments = OtherPayments(tables, OtherPaymentsProjection(), self._past)
        self.runs = Runs(tables, RunsProjection(), self._past)
        self.parties = Parties(tables, PartiesProjection(), self._past)
        self.people = People(tables, PeopleProjection(), self._past)
        self.keys = Keys(tables, KeysProjection(), self._past)
        self.webhooks = Webhooks(self.keys, tables, WebhooksProjection(), self._past)
        self.balances = BalanceSheet(tables, ledger)
        self.histories = Histories(ledger, self.balances)
        self.trail = Trail(ledger)
        self.notices = Notices(ledger)

    @classmethod
    def open(cls, url: str | URL, ledger: Ledger, *, models: Sequence[Model] | None = None) -> Self:
        """Open the read models of a ledger, and make those that are not there yet.

        `url` is the ledger's own: the read models stand in a second file beside it, or in PostgreSQL's schema `views`.
        """
        tables = Tables(store.engine(url, "views"), all_models() if models is None else models)
        tables.prepare()
        return cls(tables, ledger)

    # How far they have come.

    @property
    def position(self) -> int:
        """The entry up to which all models have come, those that failed aside."""
        if not self._following:
            self._follower.look()
        return self._follower.position

    def health(self) -> tuple[Health, ...]:
        """How each model is doing."""
        watched = self._checks.last()
        return tuple(
            Health(each.model.name, each.model.version, each.position, each.failed, watched.get(each.model.view, NEVER))
            for each in self._tables.standings()
        )

    async def wait(self, position: int, timeout_s: float = 5.0) -> None:
        """Wait until the models have come to an entry; `ViewsLag` if they do not in time."""
        if self._follower.position >= position:
            return
        if not await self._reach(position, timeout_s, hurry=True):
            raise ViewsLag(f"{ViewsLag.__doc__} (they are at {self._follower.position}, not yet at {position})")

    async def come_beyond(self, position: int, timeout_s: float) -> bool:
        """Wait until the models have come beyond an entry, or until the time is up; whether they have. Nobody hurries for it."""
        return await self._reach(position + 1, timeout_s, hurry=False)

    async def _reach(self, position: int, timeout_s: float, *, hurry: bool) -> bool:
        deadline = time.monotonic() + timeout_s
        told = asyncio.get_running_loop(), asyncio.Event()
        among = self._waiting if hurry else self._listening
        among.add(told)
        if hurry:
            self._hurry.set()
        try:
            while not await self._come_to(position):
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                with suppress(TimeoutError):  # `wait_for` of Python 3.11 loses a cancellation that comes with the event
                    async with asyncio.timeout(min(left, _LOOK_S if hurry and not self._following else LOOK_EVERY_S)):
                        await told[1].wait()
                told[1].clear()
            return True
        finally:
            among.discard(told)

    async def _come_to(self, position: int) -> bool:
        if not self._following and self._follower.position < position:
            await asyncio.to_thread(self._follower.look)
        return self._follower.position >= position

    # Following.

    def catch_up(self) -> int:
        """Fold all entries that there are; gives the position that was reached."""
        self._follower.retry()
        while self._follower.step(BATCH_CATCHING_UP):
            self._tell()
        self._tell()
        return self._follower.position

    async def follow(self, pace: Pace | None = None) -> None:
        """Fold entries as they come, until cancelled. Of several processes on PostgreSQL one does, and the others stand by.

        With a `pace`, whoever follows also compares the models with the log, at that pace.
        """
        stop = threading.Event()
        with self._ledger.subscribe_wake() as wake, ThreadPoolExecutor(2, thread_name_prefix="follower") as threads:
            loop = asyncio.get_running_loop()
            following = loop.run_in_executor(threads, self._follow, wake, stop)
            watching = [loop.run_in_executor(threads, self._watch, pace, stop)] if pace and pace.entries_a_second else []
            try:
                await asyncio.shield(following)
            finally:
                stop.set()
                self._hurry.set()
                wake.rouse()
                await asyncio.wait([following, *watching])

    def _watch(self, pace: Pace, stop: threading.Event) -> None:
        """Compare the models with the log, round after round, while this process is the one who follows."""
        while not stop.wait(_LOOK_S):
            begun = time.monotonic()
            try:
                if self._following:
                    self._watch_once(pace, stop)
            except Unavailable as failure:
                _LOG.warning("comparing goes on when the database is back: %s", failure.reason)
            except Exception:  # noqa: BLE001 (whatever it is: a rebuild may have taken a table away, and the next round goes on)
                _LOG.exception("a round of comparing the read models failed; another one begins in a moment")
            stop.wait(begun + (pace.every_s if self._following else _AGAIN_S) - time.monotonic())

    def _watch_once(self, pace: Pace, stop: threading.Event) -> None:
        try:
            for entries in Round(self._tables, self._ledger, self._checks.last()).slices():
                if stop.wait(entries / pace.entries_a_second) or not self._following:
                    return  # Whoever follows next goes on there.
        except Unavailable:
            raise
        except Exception:
            self._checks.forget()  # What failed may be where it stood.
            raise

    def _follow(self, wake: Wake, stop: threading.Event) -> None:
        pauses = BackOff(_AGAIN_S, _AGAIN_MOST_S)
        while not stop.is_set():
            before = self._follower.position
            try:
                with alone(self._tables.engine, _FOLLOWING) as still:
                    if still is not None:
                        self._follow_alone(wake, stop, still)
                pause_s = pauses.well()
            except Unavailable as failure:
                _LOG.warning("following goes on when the database is back: %s", failure.reason)
                pause_s = pauses.failed() if self._follower.position == before else pauses.well()
            except DBAPIError:
                _LOG.exception("the database of the read models failed; following goes on in a moment")
                pause_s = pauses.failed()
            finally:
                self._following = False
            stop.wait(pause_s)

    def _follow_alone(self, wake: Wake, stop: threading.Event, still: Callable[[], None]) -> None:
        self._follower.retry()
        self._following = True
        _LOG.info("this process follows now, from %d on", self._follower.position)
        looked = time.monotonic()
        while not stop.is_set():
            if time.monotonic() - looked > _AGAIN_S:
                still()
                looked = time.monotonic()
            before, begun = self._follower.position, time.monotonic()
            if self._follower.step(BATCH_LIVE):
                self._tell()
                if self._follower.position - before < BATCH_LIVE:
                    self._let_gather(stop, time.monotonic() - begun)
                continue
            self._tell()
            wake.wait()

    def _let_gather(self, stop: threading.Event, took_s: float) -> None:
        """Let some more entries come, unless somebody waits for those that there are: the more, the longer a step takes."""
        self._hurry.clear()
        if not self._waiting and not stop.is_set():
            self._hurry.wait(min(max(_GATHER_S, _REST * took_s), _GATHER_MOST_S))

    def _tell(self) -> None:
        for loop, told in (*self._waiting, *self._listening):
            if not loop.is_closed():
                loop.call_soon_threadsafe(told.set)

    # Rebuilding and checking.

    def rebuild(self, progress: Progress | None = None, *, only: Collection[str] | None = None, processes: int = 1) -> int:
        """Make all models, or `only` some, anew beside the old ones, and put them in their place in one transaction.

        The service may run meanwhile. `progress` is told entries done and entries in all. With two `processes` a second core
        works too, if the log is long. Gives the position that was reached.
        Raises `RebuildFailed` if a projection fails: the old one then stays, and so do the others.
        """
        return rebuild(self._tables, self._ledger, progress or _unheard, only, processes)

    def check(self, progress: Callable[[int, int], None] | None = None) -> tuple[Checked, ...]:
        """Replay the log and compare it with each model: where they differ, the answer says which row does."""
        return check(self._tables, Source(self._ledger.log.reads, self._ledger.registry), progress or _unheard)

    def _past(self, stream: str, as_of: int) -> Iterator[Happened]:
        return (Happened(row, self._ledger.registry) for row in self._ledger.log.reads.walk(stream=stream, upto=as_of))

    def close(self) -> None:
        """Close every connection; cancel `follow` before."""
        self._tables.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def check_beside(log: Log, registry: Registry, progress: Progress) -> tuple[Checked, ...]:
    """Compare the read models of a log with it, as they are: nothing is made that is missing, and nobody need follow it."""
    tables = Tables(store.engine(log.engine.url, "views"), all_models())
    try:
        return check(tables, Source(log.reads, registry), progress)
    finally:
        tables.engine.dispose()


def compare_beside(log: Log, registry: Registry, award: str) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Compare what the read models of a log say of one award: how far each has come, and each row that differs."""
    tables = Tables(store.engine(log.engine.url, "views"), all_models())
    try:
        rows = AwardsRows(tables, log.reads, registry)
        return rows.compare(award), rows.differences
    finally:
        tables.engine.dispose()


def all_models() -> tuple[Model, ...]:
    """Every read model of this release."""
    return (
        AwardsProjection(),
        ClaimsProjection(),
        PaymentsProjection(),
        ClawbacksProjection(),
        ReceivablesProjection(),
        ReconsiderationsProjection(),
        OtherPaymentsProjection(),
        RunsProjection(),
        PartiesProjection(),
        PeopleProjection(),
        KeysProjection(),
        WebhooksProjection(),
        ContractsJournal(),
        PostingsJournal(),
        AccountsTally(),
    )


def _unheard(done: int, total: int) -> None:
    """Tell nobody."""
