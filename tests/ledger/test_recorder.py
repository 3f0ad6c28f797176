"""The library's own conformance suites, on our recorder and both databases."""

import asyncio
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from eventsourcing.persistence import IntegrityError, StoredEvent, Tracking
from eventsourcing.tests.persistence import (
    AggregateRecorderTestCase,
    ApplicationRecorderTestCase,
    NonInterleavingNotificationIDsBaseCase,
    ProcessRecorderTestCase,
    TrackingRecorderTestCase,
)

from ledger import schema, store
from ledger.log import Log
from ledger.recorder import LogRecorder, LogTracking

_SUITES = (
    "AggregateRecorderTestCase", "ApplicationRecorderTestCase", "NonInterleavingNotificationIDsBaseCase",
    "ProcessRecorderTestCase", "TrackingRecorderTestCase",
)  # fmt: skip


class _OnSqlite:
    database: ClassVar[str] = "sqlite_url"

    @pytest.fixture(autouse=True)
    def _log(self, request: pytest.FixtureRequest) -> Iterator[None]:
        engine = store.engine(request.getfixturevalue(self.database))
        schema.migrate(engine)
        self.log = Log(engine)
        self.log.start()
        before = set(threading.enumerate())
        yield
        for thread in set(threading.enumerate()) - before:
            if not thread.name.startswith("appender"):  # Which ends with its recorder.
                thread.join(10)  # The suites leave readers that are about to stop.
        self.log.close()

    def create_recorder(self) -> LogRecorder:
        return LogRecorder(self.log)

    def new_originator_id(self) -> str:
        return str(uuid4())


class _OnPostgres(_OnSqlite):
    database = "postgres_url"


class _Application(ApplicationRecorderTestCase[LogRecorder]):
    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class TestApplicationOnSqlite(_OnSqlite, _Application): ...


class TestApplicationOnPostgres(_OnPostgres, _Application): ...


class TestTrackingOnSqlite(_OnSqlite, TrackingRecorderTestCase): ...


class TestTrackingOnPostgres(_OnPostgres, TrackingRecorderTestCase): ...


class TestViewTrackingOnSqlite(_OnSqlite, TrackingRecorderTestCase):
    def create_recorder(self) -> LogTracking:  # type: ignore[override]
        return LogTracking(self.log)


class TestProcessOnSqlite(_OnSqlite, ProcessRecorderTestCase): ...


class TestProcessOnPostgres(_OnPostgres, ProcessRecorderTestCase): ...


class TestNonInterleavingOnSqlite(_OnSqlite, NonInterleavingNotificationIDsBaseCase): ...


class TestNonInterleavingOnPostgres(_OnPostgres, NonInterleavingNotificationIDsBaseCase): ...


class _WithoutPositions(LogRecorder):
    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> None:
        super().insert_events(stored_events, **kwargs)


class TestAggregateOnSqlite(_OnSqlite, AggregateRecorderTestCase):
    def create_recorder(self) -> LogRecorder:
        return _WithoutPositions(self.log)


class TestAggregateOnPostgres(_OnPostgres, AggregateRecorderTestCase):
    def create_recorder(self) -> LogRecorder:
        return _WithoutPositions(self.log)


class _Together(_OnSqlite):
    """What threads record at once is committed at once, and who is refused among them harms nobody."""

    threads = 16

    def test_shares_commits(self) -> None:
        recorder = self.create_recorder()

        def keep(thread: int) -> list[int]:
            return [
                position
                for line in range(1, 21)
                for position in recorder.insert_events([StoredEvent(f"diary/{thread}", line, "diary.kept", b"{}")]) or ()
            ]

        with ThreadPoolExecutor(self.threads) as threads:
            positions = [position for kept in threads.map(keep, range(self.threads)) for position in kept]
        assert sorted(positions) == list(range(1, self.threads * 20 + 1))
        assert len(self.log.reads.heads()) < len(positions)

    def test_refuses_all_but_one_who_record_the_same(self) -> None:
        recorder = self.create_recorder()

        def keep(thread: int) -> bool:
            try:
                recorder.insert_events([StoredEvent("diary", 1, "diary.kept", b"{}"), StoredEvent(f"{thread}", 1, "a", b"{}")])
            except IntegrityError:
                return False
            return True

        with ThreadPoolExecutor(self.threads) as threads:
            assert sum(threads.map(keep, range(self.threads))) == 1
        assert self.log.head().size == 2

    async def test_shares_commits_of_coroutines(self) -> None:
        recorder = self.create_recorder()

        async def keep(writer: int) -> list[int]:
            kept = [await recorder.append([StoredEvent(f"diary/{writer}", line, "diary.kept", b"{}")]) for line in range(1, 21)]
            return [position for positions in kept for position in positions]

        positions = [position for kept in await asyncio.gather(*map(keep, range(self.threads))) for position in kept]
        assert sorted(positions) == list(range(1, self.threads * 20 + 1))
        assert len(self.log.reads.heads()) <= 2 * 20  # Nearly always all of them come into one commit.

    async def test_refuses_all_but_one_coroutine_that_record_the_same(self) -> None:
        recorder = self.create_recorder()
        same = [StoredEvent("diary", 1, "diary.kept", b"{}")]
        made = (recorder.append([*same, StoredEvent(f"{writer}", 1, "a", b"{}")]) for writer in range(self.threads))
        told = await asyncio.gather(*made, return_exceptions=True)
        assert sorted(str(type(each).__name__) for each in told) == ["IntegrityError"] * (self.threads - 1) + ["list"]
        assert self.log.head().size == 2

    async def test_a_coroutine_tracks_in_the_commit_of_its_events(self) -> None:
        recorder = self.create_recorder()
        first = [StoredEvent("diary", 1, "diary.kept", b"{}")]
        assert await recorder.append(first, tracking=Tracking("reader", 7)) == [1]
        assert recorder.max_tracking_id("reader") == 7
        with pytest.raises(IntegrityError, match="has come to 7 or further already"):
            await recorder.append([StoredEvent("diary", 2, "diary.kept", b"{}")], tracking=Tracking("reader", 7))
        assert await recorder.append([StoredEvent("diary", 2, "diary.kept", b"{}")]) == [2]
        assert await recorder.append([]) == ()

    @pytest.mark.parametrize(("stream", "version", "kind"), [("s", 2**63, "t"), ("s", 1, "t\0"), ("\udc80", 1, "t")])
    def test_refuses_what_no_database_takes_before_it_harms_others(self, stream: str, version: int, kind: str) -> None:
        recorder = self.create_recorder()
        with pytest.raises(ValueError, match="cannot be recorded"):
            recorder.insert_events([StoredEvent(stream, version, kind, b"{}")])
        assert recorder.insert_events([StoredEvent("s", 1, "t", b"{}")]) == [1]

    def test_refuses_a_version_between_others(self) -> None:
        recorder = self.create_recorder()
        recorder.insert_events([StoredEvent("diary", 1, "diary.kept", b"{}"), StoredEvent("diary", 4, "diary.kept", b"{}")])
        recorder.insert_events([StoredEvent("diary", 3, "diary.kept", b"{}")])
        for taken in (1, 3, 4):
            with pytest.raises(IntegrityError):
                recorder.insert_events([StoredEvent("diary", taken, "diary.kept", b"{}")])


class TestTogetherOnSqlite(_Together): ...


class TestTogetherOnPostgres(_OnPostgres, _Together): ...


# The suites themselves are abstract: pytest would try to run them where it finds their names.
for _suite in _SUITES:
    del globals()[_suite]
