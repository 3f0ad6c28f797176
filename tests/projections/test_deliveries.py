"""Queues of webhooks, on both databases: each notice once, in a sequence without holes, and every attempt kept."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copy
from typing import Any, Final

import pytest
from sqlalchemy.exc import DBAPIError

from ledger import schema, store
from ledger.entry import written
from projections.deliveries import TEST, Attempt, Coming, Deliveries, Delivery, Gone, Moved, Outcome, Queue, State

BIG_ISSUE, SOCIAL_PRIME = "6f1d2c", "a40b77"
KIRKLEES, OPEN_FOR_YOU = "INDIGO-POJ-0175", "OPEN-FOR-YOU"
COLUMNS: Final = "webhook, sequence, position, type, id, queued_at, state, attempts, tries, due_at"
VALUES: Final = f"'{BIG_ISSUE}', 1, 11, 'payment.settled', 'msg_1', '', 'waiting', 0, 0, ''"
NOON = datetime(2024, 7, 1, 12, 0, tzinfo=UTC)

Opening = Callable[[], Deliveries]


@pytest.fixture
def opening(database_url: str) -> Iterator[Opening]:
    opened: list[Deliveries] = []

    def open_() -> Deliveries:
        opened.append(Deliveries.open(database_url))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


@pytest.fixture
def deliveries(opening: Opening) -> Deliveries:
    found = opening()
    found.begin(BIG_ISSUE, 10)
    found.begin(SOCIAL_PRIME, 10)
    return found


def coming(*positions: int, award: str = KIRKLEES) -> list[Coming]:
    return [Coming(each, award, "payment.settled", bytes([each]) * 32) for each in positions]


def said(delivery: Delivery) -> bytes:
    return f"the words of {delivery.sequence}".encode()


def put(deliveries: Deliveries, *positions: int, after: int = 10, upto: int = 20, **more: Any) -> list[Delivery]:
    return deliveries.put({BIG_ISSUE: coming(*positions)}, after, upto, now=NOON, **{"body": said, **more})


def outcome(delivery: Delivery, state: State, status: int | None = 200, at: datetime = NOON) -> Outcome:
    attempt = Attempt(delivery.webhook, delivery.sequence, delivery.attempts + 1, written(at), status, None, 12, "thank you")
    after = delivery._replace(
        state=state,
        attempts=delivery.attempts + 1,
        tries=delivery.tries + 1,
        ended_at=written(at) if state is not State.WAITING else None,
    )
    return Outcome(attempt, after, delivery.due_at)


class TestBegin:
    def test_begins_once(self, deliveries: Deliveries) -> None:
        deliveries.begin(BIG_ISSUE, 99)
        assert deliveries.queues()[BIG_ISSUE] == Queue(BIG_ISSUE, 10, 0, 0, None)


class TestPut:
    def test_numbers_what_comes_without_a_hole(self, deliveries: Deliveries) -> None:
        first = put(deliveries, 11, 14, 20, checkpoint=9)
        then = put(deliveries, 23, after=20, upto=30)
        assert [(each.sequence, each.position, each.checkpoint) for each in first + then] == [
            (1, 11, 9),
            (2, 14, 9),
            (3, 20, 9),
            (4, 23, None),
        ]
        assert deliveries.queues()[BIG_ISSUE][:3] == (BIG_ISSUE, 30, 4)
        assert deliveries.waiting(BIG_ISSUE) == first + then

    def test_goes_on_where_nothing_is_told(self, deliveries: Deliveries) -> None:
        assert put(deliveries) == []
        assert deliveries.queues()[BIG_ISSUE][:3] == (BIG_ISSUE, 20, 0)

    def test_numbers_each_webhook_by_itself(self, deliveries: Deliveries) -> None:
        new = deliveries.put({BIG_ISSUE: coming(11, 12), SOCIAL_PRIME: coming(12)}, 10, 20, body=said, now=NOON)
        assert [(each.webhook, each.sequence) for each in new] == [(BIG_ISSUE, 1), (BIG_ISSUE, 2), (SOCIAL_PRIME, 1)]

    def test_names_a_delivery_by_its_webhook_and_its_entry(self, deliveries: Deliveries) -> None:
        new = deliveries.put({BIG_ISSUE: coming(11, 12), SOCIAL_PRIME: coming(12)}, 10, 20, body=said, now=NOON)
        assert len({each.id for each in new}) == 3
        assert all("." not in each.id for each in new)

    def test_is_all_or_nothing(self, deliveries: Deliveries) -> None:
        deliveries.put({SOCIAL_PRIME: []}, 10, 15, body=said, now=NOON)
        with pytest.raises(Moved):
            deliveries.put({BIG_ISSUE: coming(11), SOCIAL_PRIME: coming(11)}, 10, 20, body=said, now=NOON)
        assert deliveries.waiting(BIG_ISSUE) == []
        assert deliveries.queues()[BIG_ISSUE].position == 10

    def test_refuses_whoever_comes_second(self, opening: Opening, deliveries: Deliveries) -> None:
        put(deliveries, 11)
        with pytest.raises(Moved):
            put(opening(), 11)
        assert len(deliveries.waiting(BIG_ISSUE)) == 1

    def test_is_there_when_it_is_opened_again(self, opening: Opening, deliveries: Deliveries) -> None:
        new = put(deliveries, 11, 12)
        deliveries.close()
        assert opening().waiting(BIG_ISSUE) == new


class TestRecord:
    def test_keeps_every_attempt(self, deliveries: Deliveries) -> None:
        (one,) = put(deliveries, 11)
        failed = outcome(one, State.WAITING, 500)
        deliveries.record([failed])
        took = outcome(failed.delivery, State.DELIVERED, at=NOON + timedelta(seconds=5))
        deliveries.record([took])
        assert deliveries.attempts(BIG_ISSUE, 1, 1) == [failed.attempt, took.attempt]
        assert deliveries.one(BIG_ISSUE, 1) == took.delivery
        assert deliveries.waiting(BIG_ISSUE) == []

    def test_knows_since_when_nothing_is_taken(self, deliveries: Deliveries) -> None:
        one, other = put(deliveries, 11, 12)
        failed = outcome(one, State.WAITING, 500)
        deliveries.record([failed, outcome(other, State.WAITING, 500, NOON + timedelta(seconds=1))])
        deliveries.record([outcome(failed.delivery, State.PARKED, 500, NOON + timedelta(days=1))])
        assert deliveries.queues()[BIG_ISSUE].failing_since == written(NOON)
        deliveries.record([outcome(deliveries.waiting(BIG_ISSUE)[0], State.DELIVERED)])
        assert deliveries.queues()[BIG_ISSUE].failing_since is None

    @pytest.mark.parametrize("state", State)
    def test_lets_wait_what_was_asked_for_again_while_it_was_tried(self, deliveries: Deliveries, state: State) -> None:
        one, other = put(deliveries, 11, 12)
        again = deliveries.resend(BIG_ISSUE, 1, NOON + timedelta(seconds=1))
        assert again is not None
        deliveries.record([outcome(one, state, 500), outcome(other, State.PARKED, 500)])
        assert deliveries.one(BIG_ISSUE, 1) == again._replace(attempts=1)
        assert deliveries.waiting(BIG_ISSUE) == [again._replace(attempts=1)]
        assert [each.number for each in deliveries.attempts(BIG_ISSUE, 1, 1)] == [1]

    def test_is_all_or_nothing(self, deliveries: Deliveries) -> None:
        one, other = put(deliveries, 11, 12)
        with pytest.raises(DBAPIError):
            deliveries.record([outcome(one, State.DELIVERED), outcome(other, State.DELIVERED), outcome(one, State.DELIVERED)])
        assert deliveries.waiting(BIG_ISSUE) == [one, other]
        assert deliveries.attempts(BIG_ISSUE, 1, 2) == []


class TestBodies:
    def test_are_what_was_said_when_they_were_queued(self, deliveries: Deliveries) -> None:
        one, *_ = put(deliveries, 11, 12, 13)
        deliveries.test(BIG_ISSUE, said, NOON)
        deliveries.record([outcome(one, State.DELIVERED)])
        assert deliveries.bodies(BIG_ISSUE, 1, 2) == {2: b"the words of 2", 3: b"the words of 3"}
        assert deliveries.bodies(BIG_ISSUE, 4, 9) == {4: b"the words of 4"}


class TestForget:
    LATER: Final = NOON + timedelta(days=400)

    def test_lets_go_what_was_delivered_long_ago_and_nothing_else(self, deliveries: Deliveries) -> None:
        new = put(deliveries, 11, 12, 13, 14, 15, 16)
        states = (State.DELIVERED, State.PARKED, State.DELIVERED, State.WAITING, State.DELIVERED, State.DELIVERED)
        deliveries.record([outcome(each, state) for each, state in zip(new, states, strict=True)])
        assert deliveries.forget(NOON, 10) == 0
        assert deliveries.forget(self.LATER, 1) == 1
        assert deliveries.forget(self.LATER, 10) == 2
        assert [each.sequence for each in deliveries.page(BIG_ISSUE)] == [6, 4, 2]
        assert [each.sequence for each in deliveries.attempts(BIG_ISSUE, 1, 9)] == [2, 4, 6]
        assert deliveries.queues()[BIG_ISSUE].forgotten == 15
        assert deliveries.forget(self.LATER, 10) == 0

    def test_stops_at_what_was_delivered_again(self, deliveries: Deliveries) -> None:
        new = put(deliveries, 11, 12, 13, 14)
        deliveries.record([outcome(each, State.DELIVERED) for each in new])
        again = deliveries.resend(BIG_ISSUE, 2, NOON)
        assert again is not None
        deliveries.record([outcome(again, State.DELIVERED, at=self.LATER)])
        assert deliveries.forget(self.LATER, 10) == 1
        assert [each.sequence for each in deliveries.page(BIG_ISSUE)] == [4, 3, 2]

    def test_goes_on_with_the_sequence(self, deliveries: Deliveries) -> None:
        deliveries.record([outcome(each, State.DELIVERED) for each in put(deliveries, 11, 12)])
        tried = deliveries.test(BIG_ISSUE, said, NOON)
        deliveries.record([outcome(tried, State.DELIVERED)])
        deliveries.forget(self.LATER, 10)
        assert [each.sequence for each in deliveries.page(BIG_ISSUE)] == [3, 2]
        assert [each.sequence for each in put(deliveries, 21, after=20, upto=30)] == [4]

    def test_queues_nothing_again_under_another_number(self, deliveries: Deliveries) -> None:
        deliveries.record([outcome(each, State.DELIVERED) for each in put(deliveries, 11, 12, 13)])
        deliveries.forget(self.LATER, 2)
        with pytest.raises(Gone) as refused:
            deliveries.replay(BIG_ISSUE, 11, NOON)
        assert refused.value.after == 12
        assert deliveries.replay(BIG_ISSUE, 12, NOON) == 1
        assert deliveries.put({BIG_ISSUE: coming(13)}, 12, 20, body=said, now=NOON) == []
        assert deliveries.resend(BIG_ISSUE, 1, NOON) is None

    def test_leaves_what_a_replay_has_not_come_to_again(self, deliveries: Deliveries) -> None:
        deliveries.record([outcome(each, State.DELIVERED) for each in put(deliveries, 11, 12, 13)])
        deliveries.replay(BIG_ISSUE, 11, NOON)
        deliveries.record([outcome(each, State.DELIVERED) for each in deliveries.waiting(BIG_ISSUE)])
        assert deliveries.forget(self.LATER, 10) == 1
        assert [each.position for each in deliveries.page(BIG_ISSUE)] == [13, 12]

    def test_lets_a_replay_go_first_that_is_asked_for_meanwhile(
        self, deliveries: Deliveries, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deliveries.record([outcome(each, State.DELIVERED) for each in put(deliveries, 11, 12, 13)])
        before = deliveries.queues()
        deliveries.replay(BIG_ISSUE, 10, NOON)
        deliveries.record([outcome(each, State.DELIVERED) for each in deliveries.waiting(BIG_ISSUE)])
        monkeypatch.setattr(deliveries, "queues", lambda: before)
        with pytest.raises(Moved):
            deliveries.forget(self.LATER, 10)
        assert len(deliveries.page(BIG_ISSUE)) == len(deliveries.attempts(BIG_ISSUE, 1, 9)) // 2 == 3


class TestGoBack:
    def test_looks_again_at_what_comes_after_a_position(self, deliveries: Deliveries) -> None:
        put(deliveries, 11, leaf=b"of 20")
        put(deliveries, after=20, upto=30, leaf=b"of 30")
        assert deliveries.queues()[BIG_ISSUE][-2:] == (30, b"of 30")
        deliveries.replay(BIG_ISSUE, 11, NOON)
        put(deliveries, after=11, upto=15, leaf=b"of 15")
        assert deliveries.queues()[BIG_ISSUE][-2:] == (30, b"of 30")
        deliveries.go_back(BIG_ISSUE, 11)
        found = deliveries.queues()[BIG_ISSUE]
        assert (found.position, found.sequence, found.seen, found.seen_leaf) == (11, 1, 0, None)


class TestMigrated:
    def test_what_was_queued_before_bodies_were_kept_waits_on(self, database_url: str, tmp_path: Path) -> None:
        copy(schema.MIGRATIONS / "deliveries" / "0001_deliveries.py", tmp_path)
        engine = store.engine(database_url, "deliveries")
        with schema.migrating(engine) as connection:
            if engine.dialect.name == "postgresql":
                for each in ("DROP SCHEMA deliveries CASCADE", "CREATE SCHEMA deliveries", "SET LOCAL search_path TO deliveries"):
                    connection.exec_driver_sql(each)
            schema.upgrade(connection, schema.MIGRATIONS, tmp_path)
            connection.exec_driver_sql(f"INSERT INTO queues VALUES ('{BIG_ISSUE}', 20, 1, 0, NULL)")
            connection.exec_driver_sql(f"INSERT INTO deliveries ({COLUMNS}) VALUES ({VALUES})")
        if engine.dialect.name == "postgresql":
            schema.migrate(log := store.engine(database_url))
            log.dispose()
        engine.dispose()
        with Deliveries.open(database_url) as deliveries:
            assert [each.sequence for each in deliveries.waiting(BIG_ISSUE)] == [1]
            assert [each.sequence for each in put(deliveries, 21, after=20, upto=30)] == [2]
            assert deliveries.bodies(BIG_ISSUE, 1, 9) == {2: b"the words of 2"}
            assert deliveries.queues()[BIG_ISSUE].forgotten == 0


class TestResend:
    def test_lets_it_wait_again_under_the_same_id(self, deliveries: Deliveries) -> None:
        (one,) = put(deliveries, 11)
        deliveries.record([outcome(one, State.DELIVERED)])
        again = deliveries.resend(BIG_ISSUE, 1, NOON + timedelta(hours=1))
        assert again is not None
        assert (again.id, again.state, again.attempts, again.tries) == (one.id, State.WAITING, 1, 0)
        assert deliveries.queues()[BIG_ISSUE].revision == 1

    def test_knows_no_other_number(self, deliveries: Deliveries) -> None:
        assert deliveries.resend(BIG_ISSUE, 1, NOON) is None


class TestReplay:
    def test_lets_everything_after_a_position_wait_again(self, deliveries: Deliveries) -> None:
        deliveries.record([outcome(each, State.DELIVERED) for each in put(deliveries, 11, 14, 20)])
        assert deliveries.replay(BIG_ISSUE, 11, NOON) == 2
        assert [each.position for each in deliveries.waiting(BIG_ISSUE)] == [14, 20]

    def test_queues_what_was_never_queued_and_nothing_twice(self, deliveries: Deliveries) -> None:
        before = put(deliveries, 14)
        deliveries.replay(BIG_ISSUE, 3, NOON)
        assert deliveries.queues()[BIG_ISSUE].position == 3
        new = deliveries.put({BIG_ISSUE: coming(5, 14)}, 3, 20, body=said, now=NOON)
        assert [(each.sequence, each.position) for each in new] == [(2, 5)]
        assert [each.id for each in deliveries.waiting(BIG_ISSUE)] == [before[0].id, new[0].id]

    def test_needs_a_queue(self, deliveries: Deliveries) -> None:
        with pytest.raises(LookupError):
            deliveries.replay("nobody", 3, NOON)


class TestCounts:
    def test_are_of_all_or_of_some_webhooks_in_the_states_that_are_asked_for(self, deliveries: Deliveries) -> None:
        first, _ = put(deliveries, 11, 12)
        deliveries.record([outcome(first, State.PARKED, 500)])
        deliveries.begin("GB-COH-08382711", 10)
        deliveries.put({"GB-COH-08382711": coming(12)}, 10, 20, body=said, now=NOON)
        both = {BIG_ISSUE: {State.WAITING: 1, State.PARKED: 1}, "GB-COH-08382711": {State.WAITING: 1}}
        assert deliveries.counts() == both
        assert deliveries.counts([*both, "nobody"]) == both
        assert deliveries.counts([BIG_ISSUE]) == {BIG_ISSUE: both[BIG_ISSUE]}
        assert deliveries.counts([*both], (State.PARKED,)) == {BIG_ISSUE: {State.PARKED: 1}}
        assert deliveries.counts([]) == {}


class TestRetryParked:
    def test_lets_what_was_parked_wait_again_and_nothing_else(self, deliveries: Deliveries) -> None:
        first, second, third = put(deliveries, 11, 12, 13)
        deliveries.record([outcome(first, State.PARKED, 500), outcome(second, State.DELIVERED)])
        assert deliveries.counts() == {BIG_ISSUE: {State.WAITING: 1, State.PARKED: 1}}
        assert deliveries.retry_parked(BIG_ISSUE, NOON) == 1
        assert [each.sequence for each in deliveries.waiting(BIG_ISSUE)] == [first.sequence, third.sequence]


class TestTest:
    def test_has_a_number_of_the_sequence(self, deliveries: Deliveries) -> None:
        put(deliveries, 11)
        tried = deliveries.test(BIG_ISSUE, said, NOON)
        assert (tried.sequence, tried.type, tried.position) == (2, TEST, None)
        assert put(deliveries, 21, after=20, upto=30)[0].sequence == 3


class TestPage:
    def test_gives_the_newest_first(self, deliveries: Deliveries) -> None:
        new = put(deliveries, 11, 12, 13)
        deliveries.record([outcome(new[1], State.DELIVERED)])
        assert [each.sequence for each in deliveries.page(BIG_ISSUE, limit=2)] == [3, 2]
        assert [each.sequence for each in deliveries.page(BIG_ISSUE, before=2)] == [1]
        assert [each.sequence for each in deliveries.page(BIG_ISSUE, state=State.DELIVERED)] == [2]
        assert deliveries.page(BIG_ISSUE, award=OPEN_FOR_YOU) == []
        assert deliveries.page(SOCIAL_PRIME) == []


class TestTables:
    @pytest.mark.parametrize(
        "statement",
        [
            "DELETE FROM deliveries",
            "DELETE FROM attempts",
            "UPDATE attempts SET status = 200",
            "UPDATE deliveries SET id = 'msg_another'",
            "UPDATE deliveries SET sequence = 7",
            "UPDATE deliveries SET body = 'other words'",
            (
                "INSERT INTO deliveries (webhook, sequence, type, id, queued_at, state, attempts, tries, due_at) "
                "SELECT webhook, 9, type, 'msg_9', queued_at, state, attempts, tries, due_at FROM deliveries"
            ),
        ],
    )
    def test_refuse_what_would_hide_something(self, deliveries: Deliveries, statement: str) -> None:
        (one,) = put(deliveries, 11)
        deliveries.record([outcome(one, State.WAITING, 500)])
        with deliveries.engine.connect() as connection, pytest.raises(DBAPIError):
            connection.exec_driver_sql(statement)
        assert len(deliveries.attempts(BIG_ISSUE, 1, 9)) == 1
