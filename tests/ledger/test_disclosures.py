"""Who was told what is kept beside the log, on both databases: in batches, without loss, and for its time."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError

from ledger import schema, store
from ledger.disclosures import Disclosure, Disclosures
from ledger.entry import written
from ledger.failures import Unavailable
from tests.ledger.conftest import Clock

AUDREY, VERA = "a0d1e", "fe4a"
KIRKLEES = "INDIGO-POJ-0175"


def told(number: int, *, at: datetime = datetime(2024, 7, 1, 9, 30, tzinfo=UTC), **more: Any) -> Disclosure:
    usual = Disclosure(
        told_at=written(at),
        request=f"request-{number}",
        person=AUDREY,
        key="0c4f",
        origin="192.0.2.7",
        route="GET /v1/awards/{award}/balances",
        resource=f"/v1/awards/{KIRKLEES}/balances",
        award=KIRKLEES,
        as_of=None,
        effective_on=None,
        status=200,
        told_rows=None,
    )
    return usual._replace(**more)


@pytest.fixture
def opening(database_url: str, clock: Clock) -> Iterator[Callable[..., Disclosures]]:
    opened: list[Disclosures] = []

    def open_(**settings: Any) -> Disclosures:
        opened.append(Disclosures.open(database_url, clock, **settings))
        return opened[-1]

    yield open_
    for each in opened:
        each.close()


@pytest.fixture
def disclosures(opening: Callable[..., Disclosures]) -> Disclosures:
    return opening()


def say(disclosures: Disclosures, statement: str) -> None:
    with disclosures._engine.connect() as connection:
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})


class TestPut:
    def test_keeps_it_as_it_was(self, disclosures: Disclosures) -> None:
        one = told(1, as_of=1042, effective_on="2022-03-31", told_rows=17)
        disclosures.put(one)
        assert [kept.disclosure for kept in disclosures.page()] == [one]

    def test_does_not_wait_for_the_database(self, disclosures: Disclosures) -> None:
        with disclosures._writing:  # Nobody can write.
            disclosures.put(told(1))
            assert disclosures.waiting == 1

    def test_is_written_without_being_asked(self, disclosures: Disclosures) -> None:
        disclosures.put(told(1))
        until = datetime.now(UTC) + timedelta(seconds=20)
        while disclosures.waiting and datetime.now(UTC) < until:
            threading.Event().wait(0.02)
        assert disclosures.waiting == 0

    def test_is_written_when_it_is_closed(self, opening: Callable[..., Disclosures]) -> None:
        with opening() as closed:
            for number in range(4_500):
                closed.put(told(number))
        assert len(opening().page(limit=10_000)) == 4_500


class TestWhatCannotBeWritten:
    def test_waits_is_told_of_and_is_written_later_once(self, disclosures: Disclosures, monkeypatch: pytest.MonkeyPatch) -> None:
        disclosures._thread = threading.current_thread()  # Nobody writes but us.
        disclosures.put(told(1))
        commit = disclosures._sql.insertions

        def fail_after_all(*asked: Any) -> Iterator[tuple[str, Any]]:
            yield from commit(*asked)
            yield "COMMIT", ()
            raise Unavailable("its disk is full")

        monkeypatch.setattr(disclosures._sql, "insertions", fail_after_all)
        with pytest.raises(Unavailable):
            disclosures.write_what_waits()
        assert (disclosures.waiting, disclosures.failing) == (1, "its disk is full")
        monkeypatch.setattr(disclosures._sql, "insertions", commit)
        disclosures.put(told(2))
        assert [kept.disclosure.request for kept in disclosures.page()] == ["request-2", "request-1"]
        assert (disclosures.waiting, disclosures.failing) == (0, None)
        disclosures._thread = None

    def test_leaves_no_room_when_too_much_waits(self, opening: Callable[..., Disclosures]) -> None:
        disclosures = opening(most_waiting=2)
        disclosures._thread = threading.current_thread()
        rooms = []
        for number in (1, 2):
            disclosures.put(told(number))
            rooms.append(disclosures.has_room)
        disclosures.write_what_waits()
        rooms.append(disclosures.has_room)
        assert rooms == [True, False, True]
        disclosures._thread = None


class TestPage:
    def test_is_the_newest_first_and_goes_on(self, disclosures: Disclosures) -> None:
        for number in range(5):
            disclosures.put(told(number))
        first = disclosures.page(limit=2)
        assert [kept.disclosure.request for kept in first] == ["request-4", "request-3"]
        then = disclosures.page(limit=10, before=first[-1].number)
        assert [kept.disclosure.request for kept in then] == ["request-2", "request-1", "request-0"]

    def test_is_of_an_award_a_person_or_a_time(self, disclosures: Disclosures) -> None:
        noon = datetime(2024, 7, 1, 12, tzinfo=UTC)
        disclosures.put(told(1))
        disclosures.put(told(2, award="INDIGO-POJ-0195"))
        disclosures.put(told(3, person=VERA))
        disclosures.put(told(4, at=noon))

        def found(**asked: Any) -> list[str]:
            return [kept.disclosure.request[-1] for kept in disclosures.page(**asked)]

        assert found(award=KIRKLEES) == ["4", "3", "1"]
        assert found(person=VERA) == ["3"]
        assert found(since=noon) == ["4"]
        assert found(until=noon - timedelta(seconds=1), person=AUDREY) == ["2", "1"]


class TestTime:
    def test_lets_go_what_is_older_than_it_is_kept(self, opening: Callable[..., Disclosures], clock: Clock) -> None:
        disclosures = opening(kept_days=31)
        disclosures.put(told(1, at=clock() - timedelta(days=32)))
        disclosures.put(told(2, at=clock() - timedelta(days=30)))
        disclosures.write_what_waits()
        disclosures.sweep()
        assert [kept.disclosure.request for kept in disclosures.page()] == ["request-2"]

    def test_does_not_let_go_what_is_young_whoever_says_so(self, disclosures: Disclosures) -> None:
        disclosures.put(told(1, at=datetime.now(UTC) - timedelta(days=29)))
        disclosures.write_what_waits()
        with pytest.raises(DBAPIError, match="30 days at least"):
            say(disclosures, "DELETE FROM disclosures")

    def test_never_changes(self, disclosures: Disclosures) -> None:
        disclosures.put(told(1))
        disclosures.write_what_waits()
        with pytest.raises(DBAPIError, match="never changes"):
            say(disclosures, "UPDATE disclosures SET person = 'somebody else'")


class TestOpen:
    def test_needs_its_table(self, postgres_url: str, clock: Clock) -> None:
        owner = store.engine(postgres_url)
        with owner.connect() as connection:
            connection.exec_driver_sql("DROP SCHEMA disclosures CASCADE")
        with pytest.raises(schema.NotMigrated):
            Disclosures.open(postgres_url, clock)
        schema.migrate(owner)
        Disclosures.open(postgres_url, clock).close()
        owner.dispose()

    def test_a_role_that_owns_nothing_may_add_and_read(self, service_url: str, clock: Clock) -> None:
        with Disclosures.open(service_url, clock) as disclosures:
            disclosures.put(told(1))
            assert len(disclosures.page()) == 1
            disclosures.sweep()
            with pytest.raises(DBAPIError, match="permission denied"):
                say(disclosures, "UPDATE disclosures SET person = NULL")
