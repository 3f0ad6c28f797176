"""Threads that write at once, as one: whoever comes when nobody writes does it for all who wait, and then hands on.

Each writes one batch, with its own among it, so that nobody is kept by the others' work for longer than that.
"""

from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock, current_thread, main_thread
from time import perf_counter, sleep
from typing import Final, Generic, TypeVar

J = TypeVar("J")

MOST_AT_ONCE: Final = 256
_MOST_SLICE_S: Final = 0.002
MOST_GATHERING_S: Final = 0.02
"""How long an event loop brings one thing after the other, before it is written at the latest."""
QUIET_ROUNDS: Final = 3
"""So many rounds of an event loop that brought nothing, and nothing is to be expected at the moment."""


def linger(took_s: float, many: Callable[[], int], wait: Callable[[float], object] = sleep) -> None:
    """Wait a little for those who were answered just now and come again, as `many` counts them, if others wait already.

    Otherwise a crowd splits into one half that waits while the other half is written, and each commit is for a half. It lasts
    at most half as long as a commit does, and an eighth if nobody comes; after a commit that took long, as that of a large claim
    or one that failed, no longer than after a usual one, as others wait already. `wait` may say that all have come.
    """
    slice_s = min(took_s / 8, _MOST_SLICE_S)
    for _ in range(4):
        before = many()
        if wait(slice_s) or many() == before:
            return


def when_quiet(loop: AbstractEventLoop, many: Callable[[], int], then: Callable[[], object]) -> None:
    """Call something in an event loop that is running, as soon as it brings no more for now, as `many` counts it; or soon.

    A loop that has nothing else to do goes round in no time, and one that has much to do brings it together.
    """
    until = loop.time() + MOST_GATHERING_S

    def look(before: int, quiet: int) -> None:
        now = many()
        quiet = quiet + 1 if now == before else 0
        if quiet >= QUIET_ROUNDS or loop.time() >= until:
            then()
        else:
            loop.call_soon(look, now, quiet)

    loop.call_soon(look, many(), 0)


class Interrupted(RuntimeError):
    """The thread that wrote for others was interrupted; nothing was written."""


class _Waiting(Generic[J]):
    """Somebody's job, and how its thread is woken: to find it done, or to write."""

    __slots__ = ("done", "failure", "job", "woken")

    def __init__(self, job: J) -> None:
        self.job = job
        self.done = False
        self.failure: BaseException | None = None
        self.woken = Lock()
        self.woken.acquire()


class Crowd(Generic[J]):
    """`write` is given jobs, by one thread at a time; what it raises is the answer to all of them."""

    def __init__(self, write: Callable[[Sequence[J]], None]) -> None:
        self._write = write
        self._lock = Lock()
        self._waiting: deque[_Waiting[J]] = deque()
        self._chosen: _Waiting[J] | None = None
        """Who writes, or is woken to write."""
        self._took_s, self._together = 0.0, 1
        """How long the last batch took, and how many jobs it had."""
        self._all_here: Lock | None = None
        """Let go when as many wait as the last batch had, if somebody waits for that."""

    def do(self, job: J) -> None:
        """Have a job done, alone or with others; it is when this returns."""
        mine = _Waiting(job)
        try:
            if not self._leads(mine):
                mine.woken.acquire()
            if not mine.done:
                if self._together > 1:
                    self._gather()
                self._lead(mine)
        except BaseException:  # As by Ctrl-C: others must not wait for one who has gone.
            self._leave(mine)
            raise
        if mine.failure is not None:
            raise mine.failure

    def _leads(self, mine: _Waiting[J]) -> bool:
        """Wait with the others; whether there is nobody else who writes."""
        with self._lock:
            self._waiting.append(mine)
            if self._all_here is not None and len(self._waiting) >= self._together:
                self._all_here.release()
                self._all_here = None
            if self._chosen is None:
                self._chosen = mine
            return self._chosen is mine

    def _leave(self, mine: _Waiting[J]) -> None:
        """Give up waiting, and hand on what one was to lead."""
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
            if self._chosen is mine:
                self._all_here = None
                self._choose()

    def _choose(self) -> None:
        """Wake who writes next, if anybody waits."""
        following = self._waiting[0] if self._waiting else None
        if following is not None:
            with suppress(RuntimeError):  # Whoever was interrupted between these two does both once more.
                following.woken.release()
        self._chosen = following

    def _gather(self) -> None:
        """Wait a little until as many are here as in the last batch."""
        all_here = Lock()
        all_here.acquire()
        with self._lock:
            if len(self._waiting) >= self._together:
                return
            self._all_here = all_here
        linger(self._took_s, lambda: len(self._waiting), lambda slice_s: all_here.acquire(timeout=slice_s))
        with self._lock:
            self._all_here = None

    def _lead(self, mine: _Waiting[J]) -> None:
        batch = self._batch(mine)
        failure: BaseException | None = None
        begun = perf_counter()
        try:
            self._write([each.job for each in batch])
        except BaseException as error:  # noqa: BLE001 (whoever waits must be told, whatever it is)
            failure = error
        self._took_s, self._together = perf_counter() - begun, len(batch)
        with self._lock:
            self._choose()
        interrupted = failure is not None and not isinstance(failure, Exception)
        for each in batch:
            each.done, each.failure = True, Interrupted(Interrupted.__doc__) if interrupted else failure
        for each in batch:
            each.woken.release()
        if interrupted and failure is not None:
            raise failure

    def _batch(self, mine: _Waiting[J]) -> list[_Waiting[J]]:
        """Whose jobs are done now. The main thread, which Ctrl-C may stop at any word, does nobody's but its own."""
        with self._lock:
            if current_thread() is main_thread():
                self._waiting.remove(mine)
                return [mine]
            return [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
