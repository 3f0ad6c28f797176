"""The library's own conformance suites, on our recorder and both databases."""

import threading
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar
from uuid import uuid4

import pytest
from eventsourcing.persistence import StoredEvent
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


# The suites themselves are abstract: pytest would try to run them where it finds their names.
for _suite in _SUITES:
    del globals()[_suite]
