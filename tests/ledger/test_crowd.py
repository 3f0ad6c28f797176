"""Threads that write at once: every job is done once, by one thread at a time, and whoever fails is told."""

import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import count
from linecache import getline
from types import FrameType
from typing import Any

import pytest

from ledger import crowd
from ledger.crowd import Crowd, Interrupted, _Waiting, linger

THREADS = 16
JOBS_EACH = 100


class TestDo:
    def test_does_every_job_once_with_one_at_a_time(self) -> None:
        done: list[int] = []
        alone = threading.Lock()

        def write(jobs: Sequence[int]) -> None:
            assert alone.acquire(blocking=False)
            done.extend(jobs)
            alone.release()

        many = Crowd(write)
        with ThreadPoolExecutor(THREADS) as threads:
            list(threads.map(many.do, range(THREADS * JOBS_EACH)))
        assert sorted(done) == list(range(THREADS * JOBS_EACH))

    def test_does_what_waits_together(self) -> None:
        batches: list[list[int]] = []
        begun, go = threading.Event(), threading.Event()

        def write(jobs: Sequence[int]) -> None:
            batches.append(list(jobs))
            begun.set()
            assert go.wait(60)

        many = Crowd(write)
        with ThreadPoolExecutor(THREADS) as threads:
            first = threads.submit(many.do, 0)
            assert begun.wait(60)
            others = [threads.submit(many.do, number) for number in range(1, THREADS)]
            while len(many._waiting) < THREADS - 1:
                pass
            go.set()
            for one in (first, *others):
                one.result()
        assert batches[0] == [0]
        assert sorted(batches[1]) == list(range(1, THREADS))

    def test_tells_whoever_was_in_a_batch_that_failed_and_goes_on(self) -> None:
        def write(jobs: Sequence[int]) -> None:
            if 0 in jobs:
                raise OSError("the disk is full")

        many = Crowd(write)
        with pytest.raises(OSError, match="the disk is full"):
            many.do(0)
        many.do(1)


class TestAnInterruption:
    """Ctrl-C reaches one thread; the others must not wait for it for ever."""

    def test_of_whoever_waits_leaves_the_others_to_go_on(self) -> None:
        go, done = threading.Event(), list[int]()

        def write(jobs: Sequence[int]) -> None:
            assert go.wait(60)
            done.extend(jobs)

        many = Crowd(write)
        with ThreadPoolExecutor(2) as threads:
            first = threads.submit(many.do, 0)
            while many._waiting or many._chosen is None:
                pass
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(_Waiting, "__init__", _interrupted)
                with pytest.raises(KeyboardInterrupt):
                    many.do(1)
            go.set()
            first.result(60)
            threads.submit(many.do, 2).result(60)
        assert done == [0, 2]

    def test_of_whoever_gathers_hands_on(self, monkeypatch: pytest.MonkeyPatch) -> None:
        many = Crowd[int](lambda _: None)
        many._together = 2
        with monkeypatch.context() as patch:
            patch.setattr(crowd, "linger", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                many.do(0)
        many._together = 1
        with ThreadPoolExecutor(1) as threads:
            threads.submit(many.do, 1).result(60)

    def test_of_the_main_thread_at_any_line_leaves_nobody_asleep(self, monkeypatch: pytest.MonkeyPatch) -> None:
        interrupted = True
        for line in count(1):
            many = Crowd[int](lambda _: None)
            others: list[Future[None]] = []
            with ThreadPoolExecutor(2) as threads:
                monkeypatch.setattr(crowd, "linger", partial(_others_come, many, threads, others))
                many._together = 3
                interrupted = _interrupted_at(line, partial(many.do, 0))
                many._together = 1
                for each in others or [threads.submit(many.do, 1)]:
                    each.result(60)
            if not interrupted:
                break
        assert line > 20

    def test_of_whoever_writes_is_told_to_others_as_a_failure(self) -> None:
        begun, go = threading.Event(), threading.Event()

        def write(jobs: Sequence[int]) -> None:
            begun.set()
            assert go.wait(60)
            if len(jobs) > 1:
                raise KeyboardInterrupt

        many = Crowd(write)
        with ThreadPoolExecutor(3) as threads:
            first = threads.submit(many.do, 0)
            assert begun.wait(60)
            others = [threads.submit(many.do, number) for number in (1, 2)]
            while len(many._waiting) < 2:
                pass
            go.set()
            first.result(60)
            failures = {type(each.exception(60)) for each in others}
        assert failures == {KeyboardInterrupt, Interrupted}


def _others_come(many: Crowd[int], threads: ThreadPoolExecutor, others: list[Future[None]], *_: object) -> None:
    others.extend(threads.submit(many.do, number) for number in (1, 2))
    while len(many._waiting) <= len(others):
        pass


def _interrupted_at(line: int, act: Callable[[], None]) -> bool:
    """Act, and be interrupted at so-manieth line of the crowd's module that is come to; whether there were so many."""
    lines = count(1)

    def trace(frame: FrameType, event: str, _: object) -> Any:
        if frame.f_code.co_filename != crowd.__file__:
            return None
        # Python looks for signals after calls, so that none comes between a lock and the line that is to let go of it.
        if event == "line" and not getline(crowd.__file__, frame.f_lineno).strip().startswith("with ") and next(lines) == line:
            raise KeyboardInterrupt
        return trace

    was = sys.gettrace()
    sys.settrace(trace)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(was)
    return False


class _Interrupting:
    def acquire(self) -> None:
        raise KeyboardInterrupt


def _interrupted(self: "_Waiting[int]", job: int) -> None:
    self.job, self.done, self.failure = job, False, None
    self.woken = _Interrupting()  # type: ignore[assignment]


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


class TestLinger:
    def test_keeps_nobody_waiting_long_after_a_commit_that_took_long(self) -> None:
        waited: list[float] = []
        linger(20.0, lambda: len(waited), waited.append)
        assert len(waited) == 4
        assert sum(waited) <= 0.01

    def test_ends_when_nobody_comes(self) -> None:
        waited: list[float] = []
        linger(0.001, lambda: 3, waited.append)
        assert waited == [0.001 / 8]

    def test_ends_when_all_have_come(self) -> None:
        waited: list[float] = []

        def wait(slice_s: float) -> bool:
            waited.append(slice_s)
            return len(waited) == 2

        linger(0.001, lambda: len(waited), wait)
        assert len(waited) == 2
