"""While the service runs the read models are compared with the log, on both databases, and nobody need wait for it."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from itertools import count, islice

import pytest

from ledger.ledger import Ledger
from projections import watching
from projections.projection import Projection
from projections.views import Views, all_models
from projections.watching import Checks, Pace, Round, Watched
from tests.projections.conftest import Story

QUICK = Pace(entries_a_second=1_000_000, every_s=0.05)
IN_TIME_S = 10


def a_round(views: Views, meanwhile: Callable[[int], None] = lambda _: None) -> dict[str, Watched]:
    """One round from beginning to end; what it says of each model."""
    checks = Checks(views._tables)
    for number, entries in enumerate(Round(views._tables, views._ledger, checks.last()).slices()):
        assert 0 <= entries <= 100
        meanwhile(number)
    return checks.last()


def differences(said: dict[str, Watched]) -> dict[str, tuple[str, ...]]:
    return {name: each.differences for name, each in said.items() if each.differences}


def change(views: Views, model: str, statement: str) -> None:
    table = next(each.table for each in views._tables.standings() if each.model.name == model)
    with views._tables.turn() as connection:
        connection.exec_driver_sql(statement.format(table=table))


@pytest.fixture
def whole(story: Story, views: Views) -> Story:
    story.whole()
    story.correct()
    views.catch_up()
    return story


class TestARound:
    def test_finds_no_difference_and_says_what_it_compared(self, whole: Story, ledger: Ledger, views: Views) -> None:
        said = a_round(views)
        assert differences(said) == {}
        assert said.keys() == {model.view for model in all_models()}
        for standing in views._tables.standings():
            of = said[standing.model.view]
            assert (of.position, of.root) == (ledger.head().size, ledger.head().root.hex())
            assert of.digest == f"{standing.digest:064x}"
            assert of.at is not None

    @pytest.mark.parametrize(
        ("model", "deed", "named"),
        [
            ("payments", "UPDATE {table} SET amount = amount + 1 WHERE stream = (SELECT min(stream) FROM {table})", "amount is"),
            ("claims", "DELETE FROM {table} WHERE stream = (SELECT max(stream) FROM {table})", "the row is missing"),
            ("awards", "UPDATE {table} SET first = first + 1000000", "first is"),
            (
                "keys",
                "UPDATE {table} SET stream = 'key/INVENTED' WHERE stream = (SELECT max(stream) FROM {table})",
                "no such row",
            ),
            (
                "postings",
                "UPDATE {table} SET amount = amount + 1 WHERE position = (SELECT max(position) FROM {table})",
                "must be",
            ),
            ("postings", "DELETE FROM {table} WHERE position = (SELECT min(position) FROM {table})", "is missing"),
            ("contracts", "UPDATE {table} SET award = 'INVENTED'", "must be no row"),
            ("accounts", "UPDATE {table} SET amount = amount + 1 WHERE stage = 'due'", "must be"),
            ("accounts", "DELETE FROM {table} WHERE stage = 'claimed'", "is missing"),
        ],
    )
    def test_names_a_row_that_is_not_what_the_log_says(
        self, whole: Story, views: Views, model: str, deed: str, named: str
    ) -> None:
        change(views, model, deed)
        ((name, found),) = differences(a_round(views)).items()
        assert name.startswith(f"{model}_v")
        assert named in " ".join(found)

    def test_finds_a_wrong_digest_and_another_log(self, whole: Story, views: Views) -> None:
        with views._tables.turn() as connection:
            connection.exec_driver_sql("UPDATE models SET digest = 'ab' WHERE name = 'accounts'")
            connection.exec_driver_sql("UPDATE models SET root = 'ab' WHERE name = 'runs'")
        assert {name.rpartition("_v")[0] for name in differences(a_round(views))} == {"accounts", "runs"}

    def test_is_of_what_there_is_while_entries_come_and_models_are_rebuilt(self, whole: Story, views: Views) -> None:
        """Nobody waits for a round, and none finds a difference that there is not."""

        def go_on(number: int) -> None:
            if number % 7 == 0:
                whole.submit(name=f"CLAIM-{number}")
            if number % 5 == 0:
                views.catch_up()
            if number == 40:
                views.rebuild()

        assert differences(a_round(views, go_on)) == {}
        views.catch_up()
        assert differences(a_round(views)) == {}

    def test_ends_one_day_what_was_found(self, whole: Story, views: Views) -> None:
        change(views, "payments", "DELETE FROM {table}")
        assert differences(a_round(views))
        views.rebuild()
        assert differences(a_round(views)) == {}


@pytest.fixture
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """A round of a short log has many places at which it may be left."""
    monkeypatch.setattr(watching, "_WINDOW", 5)
    monkeypatch.setattr(watching, "_KEPT_EVERY", 1)


def a_round_by_many(database_url: str, ledger: Ledger, slices: int) -> tuple[dict[str, Watched], int]:
    """One round by processes each of which ends after so many slices; what it says, and how many processes it took."""
    for number in count(1):
        with Views.open(database_url, ledger) as views:
            checks = Checks(views._tables)
            left = islice(Round(views._tables, ledger, checks.last()).slices(), slices)
            if len(list(left)) < slices:
                return checks.last(), number
    raise AssertionError


@pytest.mark.usefixtures("small_steps")
class TestARoundThatWasLeft:
    @pytest.mark.parametrize("slices", [20, 30])
    def test_goes_on_where_it_stood_and_says_the_same(
        self, whole: Story, database_url: str, ledger: Ledger, views: Views, slices: int
    ) -> None:
        said, processes = a_round_by_many(database_url, ledger, slices)
        assert processes > 1
        assert differences(said) == {}
        for standing in views._tables.standings():
            of = said[standing.model.view]
            assert (of.position, of.root) == (ledger.head().size, ledger.head().root.hex())
            assert of.digest == f"{standing.digest:064x}"
        assert Checks(views._tables).left() is None

    def test_does_little_of_it_again(self, whole: Story, ledger: Ledger, views: Views) -> None:
        whole_round = sum(1 for _ in Round(views._tables, ledger, {}).slices())
        begun = Round(views._tables, ledger, {}).slices()
        deque(islice(begun, whole_round * 3 // 4), maxlen=0)
        del begun
        assert sum(1 for _ in Round(views._tables, ledger, {}).slices()) < whole_round / 2

    def test_tells_what_it_found_before(self, whole: Story, database_url: str, ledger: Ledger, views: Views) -> None:
        change(views, "parties", "UPDATE {table} SET name = 'Invented Ltd' WHERE first = (SELECT min(first) FROM {table})")
        said, _ = a_round_by_many(database_url, ledger, 20)
        assert [name.rpartition("_v")[0] for name in differences(said)] == ["parties"]
        assert len(next(iter(differences(said).values()))) == 1

    def test_goes_on_beside_models_that_were_rebuilt_and_entries_that_came(
        self, whole: Story, database_url: str, ledger: Ledger, views: Views
    ) -> None:
        deque(islice(Round(views._tables, ledger, {}).slices(), 30), maxlen=0)
        views.rebuild()
        whole.submit(name="CLAIM-LATER")
        views.catch_up()
        said, _ = a_round_by_many(database_url, ledger, 20)
        assert differences(said) == {}
        assert differences(a_round(views)) == {}

    async def test_is_forgotten_where_it_failed(self, whole: Story, views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
        """What failed may be where it stood: another round must not fail there for ever."""
        checks = Checks(views._tables)
        checks.keep({"after": "nowhere", "award": "", "models": {each.view: {} for each in all_models()}})
        async with followed(views, QUICK):
            await until(lambda: told(views, "payments").at is not None)


@asynccontextmanager
async def followed(views: Views, pace: Pace) -> AsyncIterator[None]:
    following = asyncio.create_task(views.follow(pace))
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(IN_TIME_S):
        while not await asyncio.to_thread(holds):  # noqa: ASYNC110 (the database tells nobody)
            await asyncio.sleep(0.02)


def told(views: Views, model: str) -> Watched:
    return next(each.watched for each in views.health() if each.name == model)


class TestWhoeverFollows:
    async def test_names_a_changed_row_in_time_and_every_process_tells_it(
        self, whole: Story, database_url: str, ledger: Ledger, views: Views, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.ERROR, "projections.watching")
        with Views.open(database_url, ledger) as other:
            async with followed(views, QUICK):
                await until(lambda: told(other, "payments").position == ledger.head().size)
                assert told(other, "payments").differences == ()
                change(views, "payments", "UPDATE {table} SET amount = amount + 1 WHERE assessment = 1")
                await until(lambda: bool(told(other, "payments").differences))
                assert "amount is" in told(other, "payments").differences[0]
                assert "the read model payments is not what the log says: award/" in caplog.text
                views.rebuild()
                await until(lambda: not told(other, "payments").differences)

    async def test_compares_nothing_unless_it_is_told_to(self, whole: Story, views: Views) -> None:
        async with followed(views, Pace(0, 0.05)):
            await asyncio.sleep(0.2)
            assert told(views, "payments").at is None

    async def test_has_rounds_behind_it_that_failed(self, whole: Story, views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
        """A table may have gone while it was looked at, or a database."""
        failed: list[bool] = []
        end = Round._end

        def fail_once(self: Round) -> None:
            if not failed:
                failed.append(True)
                raise RuntimeError("the table is gone")
            end(self)

        monkeypatch.setattr(Round, "_end", fail_once)
        async with followed(views, QUICK):
            await until(lambda: told(views, "payments").at is not None)


class TestEveryRow:
    def test_stands_for_a_stream_from_its_first_entry_on(self, whole: Story, ledger: Ledger, views: Views) -> None:
        """So a round finds where it begins by looking for first entries alone."""
        firsts = {position for position, _, _ in ledger.log.reads.begun(0, ledger.head().size)}
        for standing in views._tables.standings():
            if isinstance(standing.model, Projection):
                rows = views._tables.ask(f"SELECT first FROM {standing.table}")
                assert {first for (first,) in rows} <= firsts
