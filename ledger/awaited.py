"""Coroutines that write at once, as one: a thread of their own writes what has come, and wakes each loop once for all of its own.

A crowd of threads (`ledger.crowd`) pays for waking each of them, which costs Python more than most of an append does.
"""

from asyncio import AbstractEventLoop, Future, get_running_loop
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Final, Generic, NamedTuple, TypeVar

from ledger.crowd import MOST_AT_ONCE

J = TypeVar("J")

PATIENCE_S: Final = 0.002
"""How long it is waited at most until those who were told have had their turn."""


class _Waiting(NamedTuple, Generic[J]):
    job: J
    loop: AbstractEventLoop
    done: "Future[None]"


class Awaited(Generic[J]):
    """`write` is given jobs, in one thread; what it raises is the answer to all of them."""

    def __init__(self, write: Callable[[Sequence[J]], None]) -> None:
        self._write = write
        self._waiting: deque[_Waiting[J]] = deque()
        self._called = False
        """Whether the thread is called and has not come yet: it will find what comes meanwhile."""
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="appender")

    async def do(self, job: J) -> None:
        """Have a job done, alone or with others; it is when this returns. Whoever is cancelled may have it done all the same."""
        loop = get_running_loop()
        waiting = _Waiting(job, loop, loop.create_future())
        self._waiting.append(waiting)
        if not self._called:
            self._called = True
            try:
                self._thread.submit(self._serve)
            except BaseException:  # No thread can be started any more.
                self._called = False
                with suppress(ValueError):
                    self._waiting.remove(waiting)
                raise
        await waiting.done

    def _serve(self) -> None:
        self._called = False  # Before looking: what comes after this calls again.
        while batch := self._batch():
            answered = Lock()
            answered.acquire()
            _answer(batch, self._failure(batch), answered)
            # Those who were told come again at once: without them each commit would be for a half of the crowd.
            answered.acquire(timeout=PATIENCE_S)

    def _failure(self, batch: Iterable[_Waiting[J]]) -> BaseException | None:
        """Write a batch; why it could not be written, if so."""
        try:
            self._write([each.job for each in batch])
        except StopIteration as error:  # A future takes none.
            return RuntimeError(f"the writer raised {error!r}")
        except BaseException as error:  # noqa: BLE001 (whoever waits must be told, whatever it is)
            return error
        return None

    def _batch(self) -> list[_Waiting[J]]:
        return [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]


def _answer(batch: Iterable[_Waiting[J]], failure: BaseException | None, answered: Lock) -> None:
    by_loop: dict[AbstractEventLoop, list[Future[None]]] = {}
    for each in batch:
        by_loop.setdefault(each.loop, []).append(each.done)
    for loop, futures in by_loop.items():
        with suppress(RuntimeError):  # A loop that is closed has nobody left in it who waits.
            loop.call_soon_threadsafe(_tell, loop, futures, failure, answered)


def _tell(loop: AbstractEventLoop, futures: Iterable["Future[None]"], failure: BaseException | None, answered: Lock) -> None:
    for future in futures:
        if future.done():  # Whoever asked has gone; what was recorded stays recorded.
            continue
        if failure is None:
            future.set_result(None)
        else:
            future.set_exception(failure)
    loop.call_soon(_go_on, answered)  # After all who were told have had their turn.


def _go_on(answered: Lock) -> None:
    with suppress(RuntimeError):  # Another loop said so already.
        answered.release()
