"""Coroutines that write at once: every job is done once, those who come again are one crowd, and whoever fails is told."""

import asyncio
import threading
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from time import sleep
from typing import Any

import pytest

from ledger.awaited import Awaited
from tests.faults import until

MANY = 16
EACH = 100


class TestDo:
    async def test_does_every_job_once_with_one_at_a_time(self) -> None:
        done: list[int] = []
        alone = threading.Lock()

        def write(jobs: Sequence[int]) -> None:
            assert alone.acquire(blocking=False)
            done.extend(jobs)
            alone.release()

        many = Awaited(write)
        await asyncio.gather(*(many.do(number) for number in range(MANY * EACH)))
        assert sorted(done) == list(range(MANY * EACH))

    async def test_keeps_a_crowd_together(self) -> None:
        batches: list[int] = []

        def write(jobs: Sequence[int]) -> None:
            batches.append(len(jobs))
            sleep(0.001)  # As long as a commit takes: all who come meanwhile are waiting when it ends.

        many = Awaited(write)

        async def keep_coming() -> None:
            for number in range(EACH):
                await many.do(number)

        await asyncio.gather(*(keep_coming() for _ in range(MANY)))
        assert sum(batches) == MANY * EACH
        assert len(batches) < EACH * 2  # A crowd that splits in halves writes 200.

    @pytest.mark.parametrize(("failure", "told"), [(OSError("full"), OSError), (StopIteration("full"), RuntimeError)])
    async def test_tells_whoever_was_in_a_batch_that_failed_and_goes_on(self, failure: Exception, told: type[Exception]) -> None:
        def write(jobs: Sequence[int]) -> None:
            if 0 in jobs:
                raise failure

        many = Awaited(write)
        refused = await asyncio.gather(many.do(0), many.do(0), return_exceptions=True)
        assert [(type(each), "full" in str(each)) for each in refused] == [(told, True), (told, True)]
        await many.do(1)

    async def test_does_also_what_comes_between_the_last_look_and_the_end(self) -> None:
        done, loop, late = list[int](), asyncio.get_running_loop(), list[Future[None]]()

        class Looking(Awaited[int]):
            def _batch(self) -> list[Any]:
                batch = super()._batch()
                if not batch and not late:
                    late.append(asyncio.run_coroutine_threadsafe(self.do(2), loop))
                    while not self._waiting:
                        sleep(0.001)
                return batch

        await Looking(done.extend).do(1)
        await until(lambda: bool(late))
        await asyncio.wait_for(asyncio.wrap_future(late[0]), 10)
        assert done == [1, 2]

    async def test_whoever_gives_up_leaves_the_others_to_go_on(self) -> None:
        go, done = threading.Event(), list[int]()

        def write(jobs: Sequence[int]) -> None:
            assert go.wait(60)
            done.extend(jobs)

        many = Awaited(write)
        tasks = [asyncio.create_task(many.do(number)) for number in range(3)]
        await asyncio.sleep(0.01)
        tasks[1].cancel()
        go.set()
        assert [type(each) for each in await asyncio.gather(*tasks, return_exceptions=True)] == [
            type(None), asyncio.CancelledError, type(None),
        ]  # fmt: skip
        assert sorted(done) == [0, 1, 2]  # What was under way is done all the same.

    def test_a_loop_that_has_ended_keeps_no_other_waiting(self) -> None:
        go, done = threading.Event(), list[int]()

        def write(jobs: Sequence[int]) -> None:
            assert go.wait(60)
            done.extend(jobs)

        many = Awaited(write)
        with pytest.raises(TimeoutError):
            asyncio.run(asyncio.wait_for(many.do(0), 0.01))
        go.set()
        asyncio.run(asyncio.wait_for(many.do(1), 60))
        assert done == [0, 1]

    def test_serves_several_loops_at_once(self) -> None:
        done: list[int] = []
        many = Awaited[int](done.extend)

        async def keep_coming(first: int) -> None:
            for number in range(first, first + EACH):
                await many.do(number)

        with ThreadPoolExecutor(4) as threads:
            list(threads.map(lambda loop: asyncio.run(keep_coming(loop * EACH)), range(4)))
        assert sorted(done) == list(range(4 * EACH))

    async def test_raises_when_no_thread_can_be_started(self, monkeypatch: pytest.MonkeyPatch) -> None:
        done: list[int] = []
        many = Awaited[int](done.extend)

        def refuse(*_: Any) -> None:
            raise RuntimeError("can't start new thread")

        with monkeypatch.context() as patch:
            patch.setattr(ThreadPoolExecutor, "submit", refuse)
            with pytest.raises(RuntimeError, match="can't start"):
                await many.do(0)
        await many.do(1)
        assert done == [1]
