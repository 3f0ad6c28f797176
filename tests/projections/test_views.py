"""The read models follow the log exactly once, are rebuilt to the same rows, and tell when they are wrong."""

import asyncio
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing import parent_process
from typing import Any

import pytest

from domain.money import Money
from ledger.ledger import Ledger
from projections import abreast, following, rebuilding
from projections import views as views_module
from projections.claims import ClaimsProjection
from projections.models import Tables
from projections.parties import PartiesProjection
from projections.postings import PostingsJournal
from projections.projection import Happened, Stored, hash_of
from projections.rebuilding import RebuildFailed
from projections.views import Views, ViewsLag, all_models
from tests.domain.kirklees import REFERENCE, line
from tests.faults import until
from tests.projections.conftest import Story


def rows_of(views: Views) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that the read models hold, without how they came by it."""
    return {each.view: sorted(map(tuple, views._tables.ask(f"SELECT * FROM {each.view}")), key=repr) for each in all_models()}


def digests(views: Views) -> list[tuple[str, int, int, str | None]]:
    return [(each.model.name, each.position, each.digest, each.root) for each in views._tables.standings()]


class TestCatchUp:
    def test_comes_to_the_last_entry_and_its_root(self, story: Story, ledger: Ledger, views: Views) -> None:
        story.whole()
        head = ledger.head()
        assert views.catch_up() == head.size == views.position
        assert {(each.position, each.failed) for each in views.health()} == {(head.size, None)}
        assert {each.root for each in views._tables.standings()} == {head.root.hex()}

    def test_says_the_same_entry_by_entry_as_at_once(self, story: Story, database_url: str, ledger: Ledger, views: Views) -> None:
        story.begin()
        views.catch_up()
        story.register()
        story.decide_part()
        while views._follower.step(1):
            assert views.balances.trial_balance() == Money(0)
        one_by_one = rows_of(views), digests(views)
        views.rebuild()
        assert (rows_of(views), digests(views)) == one_by_one

    def test_does_nothing_in_an_empty_ledger(self, views: Views) -> None:
        assert views.catch_up() == 0

    def test_two_followers_fold_each_entry_once(self, story: Story, database_url: str, ledger: Ledger, views: Views) -> None:
        story.whole().correct()
        with Views.open(database_url, ledger) as other:
            other._follower.retry()
            views._follower.retry()
            for follower in (views, other, other, views, other) * 40:
                follower._follower.step(3)
            views.catch_up()
            other.catch_up()
        followed = rows_of(views)
        views.rebuild()
        assert rows_of(views) == followed
        assert [each.differences for each in views.check()] == [()] * len(all_models())


class Falling(PartiesProjection):
    """Fails at its second row."""

    name = "falling"

    def become(self, before: Any, happened: Happened) -> Any:
        if happened.event.party == "GB-COH-11503344":
            raise ArithmeticError("the second party is too much")
        return super().become(before, happened)


class TestAProjectionThatFails:
    @pytest.fixture
    def views(self, database_url: str, ledger: Ledger) -> Iterator[Views]:
        with Views.open(database_url, ledger, models=[*all_models(), Falling()]) as opened:
            yield opened

    def test_stops_itself_and_nobody_else(self, story: Story, ledger: Ledger, views: Views) -> None:
        story.whole()
        size = ledger.head().size
        assert views.catch_up() == size
        health = {each.name: each for each in views.health()}
        fallen = health.pop("falling")
        second = next(each.position for each in ledger.entries() if each.type == "party.registered" and each.position > 1)
        assert fallen.position == second - 1
        assert fallen.failed == f"party.registered at {second}: ArithmeticError: the second party is too much"
        assert {(each.position, each.failed) for each in health.values()} == {(size, None)}
        assert views._tables.ask("SELECT party FROM falling_v1") == [("GB-GOR-DCMS",)]

    def test_goes_on_when_it_can(self, story: Story, ledger: Ledger, views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
        story.whole()
        views.catch_up()
        monkeypatch.setattr(Falling, "become", PartiesProjection.become)
        views.catch_up()
        assert {(each.position, each.failed) for each in views.health()} == {(ledger.head().size, None)}
        assert all(each.agrees for each in views.check())

    def test_is_not_put_in_the_place_of_the_old_one_by_a_rebuild(self, story: Story, views: Views) -> None:
        story.whole()
        views.catch_up()
        before = rows_of(views)
        with pytest.raises(RebuildFailed, match=r"falling: party\.registered"):
            views.rebuild()
        assert rows_of(views) == before
        views.rebuild(only=["claims"])
        assert rows_of(views) == before

    def test_that_cannot_be_written_stops_itself_and_nobody_else(self, story: Story, ledger: Ledger, views: Views) -> None:
        with views._tables.turn() as connection:
            connection.exec_driver_sql("DROP VIEW claims_v2")
            connection.exec_driver_sql("DROP TABLE claims_v2_g1")
            connection.exec_driver_sql("CREATE TABLE claims_v2_g1 (stream text PRIMARY KEY)")
        story.whole()
        views.catch_up()
        health = {each.name: each for each in views.health()}
        assert health["claims"].failed is not None
        assert health["postings"].position == ledger.head().size


class TestABatchThatIsCutOff:
    def test_leaves_no_trace_and_is_folded_once_later(self, story: Story, views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
        story.whole()
        views._follower.retry()
        views._follower.step(7)
        rows, position = rows_of(views), views.position

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Tables, "put", die)
            with pytest.raises(KeyboardInterrupt):
                views._follower.step(7)
        assert rows_of(views) == rows
        assert {each.position for each in views.health()} == {position}
        views.catch_up()
        assert all(each.agrees for each in views.check())


class Leaving(PartiesProjection):
    """Takes its process with it."""

    name = "leaving"

    def become(self, before: Any, happened: Happened) -> Any:
        if parent_process() is not None:
            os._exit(1)
        return super().become(before, happened)


class _Earlier(PostingsJournal):
    """Postings as an earlier release kept them: its digest was of each row by itself."""

    version = 1

    def digest_of(self, *rows: Stored) -> int:
        return sum(map(hash_of, rows))


class TestANewVersion:
    def test_is_made_by_whoever_follows_beside_the_earlier_one(self, story: Story, database_url: str, ledger: Ledger) -> None:
        story.whole()
        earlier = [_Earlier() if each.name == "postings" else each for each in all_models()]
        with Views.open(database_url, ledger, models=earlier) as before:
            before.catch_up()
            was = {each.model.view: each for each in before._tables.standings()}
            with Views.open(database_url, ledger) as views:
                assert {each.position for each in views.health() if each.name == "postings"} == {0}
                assert views.position == 0  # Whoever waits for what was recorded waits for it too.
                story.correct()
                assert views.catch_up() == ledger.head().size
                assert all(each.agrees for each in views.check())
                posted = "SELECT * FROM postings_v{} WHERE position <= ? ORDER BY award, position, number"
                rows, again = (views._tables.ask(posted.format(number), (was["postings_v1"].position,)) for number in (1, 2))
                assert rows == again != []
            assert before._tables.standings()[-2] == was["postings_v1"]
            assert was["postings_v1"].model.version == 1


class TestRebuildAbreast:
    """With two processes: postings are made in this one, the others in another."""

    @pytest.fixture(autouse=True)
    def short_logs_are_long_enough(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(abreast, "WORTH_IT", 1)

    def test_makes_the_same_rows_and_digests(self, story: Story, views: Views) -> None:
        story.whole().correct()
        views.catch_up()
        followed = rows_of(views), digests(views)
        told: list[tuple[int, int]] = []
        assert views.rebuild(lambda done, total: told.append((done, total)), processes=2) == views.position
        assert (rows_of(views), digests(views)) == followed
        assert told[-1] == (views.position, views.position)
        assert all(each.agrees for each in views.check())

    def test_catches_up_with_what_is_recorded_meanwhile(self, story: Story, ledger: Ledger, views: Views) -> None:
        story.whole()
        said: list[int] = []

        def interrupt(done: int, _: int) -> None:
            if not said:
                story.submit(line(), name="2022-Q1")
            said.append(done)

        assert views.rebuild(interrupt, processes=2) == ledger.head().size
        assert all(each.agrees for each in views.check())

    @pytest.mark.parametrize(
        ("broken", "why"),
        [(Falling(), r"falling: party\.registered at \d+: ArithmeticError"), (Leaving(), "ended before its models were made")],
        ids=["a projection fails", "the other process dies"],
    )
    def test_leaves_the_old_ones_where_the_other_process_fails(
        self, story: Story, database_url: str, ledger: Ledger, broken: PartiesProjection, why: str
    ) -> None:
        story.whole()
        with Views.open(database_url, ledger, models=[*all_models(), broken]) as views:
            views.catch_up()
            before = rows_of(views)
            with pytest.raises(RebuildFailed, match=why):
                views.rebuild(processes=2)
            assert rows_of(views) == before
            views.rebuild(only=["claims"])
            assert views._tables.leftovers() == []

    def test_is_not_worth_it_for_a_short_log(self, story: Story, views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(abreast, "WORTH_IT", 1_000_000)
        monkeypatch.delattr(abreast, "elsewhere")
        story.whole()
        assert views.rebuild(processes=2) == views.position > 0


class TestRebuild:
    def test_makes_the_same_rows_and_digests(self, story: Story, views: Views) -> None:
        story.whole()
        views.catch_up()
        followed = rows_of(views), digests(views)
        assert followed[0]["claims_v2"]
        told: list[tuple[int, int]] = []
        assert views.rebuild(lambda done, total: told.append((done, total))) == views.position
        assert (rows_of(views), digests(views)) == followed
        assert told[-1] == (views.position, views.position)

    def test_folds_a_batch_on_what_is_still_being_written(
        self, story: Story, views: Views, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On PostgreSQL; SQLite's batch is written when the next one begins."""
        story.whole()
        views.catch_up()
        followed, sqlite = (rows_of(views), digests(views)), views._tables.sql.sqlite
        folded, write, next_one = rebuilding._folded, rebuilding._write, threading.Event()
        size, written_after_the_next_was_folded = views.position, []

        def fold(*given: Any) -> Any:
            made = folded(*given)
            next_one.set()
            return made

        def write_late(tables: Tables, batch: Any) -> None:
            next_one.clear()
            if batch[0][0].now.position < size:
                written_after_the_next_was_folded.append(next_one.wait(0 if sqlite else 10))
            write(tables, batch)

        monkeypatch.setattr(rebuilding, "_AT_ONCE", -(-size // 4))
        monkeypatch.setattr(rebuilding, "_folded", fold)
        monkeypatch.setattr(rebuilding, "_write", write_late)
        views.rebuild()
        assert (rows_of(views), digests(views)) == followed
        assert written_after_the_next_was_folded == [not sqlite] * 3

    @pytest.mark.parametrize("fails", [1, 2, 3])
    def test_raises_what_failed_while_it_was_written(
        self, story: Story, views: Views, monkeypatch: pytest.MonkeyPatch, fails: int
    ) -> None:
        story.whole()
        views.catch_up()
        before, write, batches = rows_of(views), rebuilding._write, []

        def fail(*given: Any) -> None:
            batches.append(given)
            if len(batches) == fails:
                raise OSError("the disk is full")
            write(*given)

        with monkeypatch.context() as patched:
            patched.setattr(rebuilding, "_AT_ONCE", -(-views.position // 3))
            patched.setattr(rebuilding, "_write", fail)
            with pytest.raises(OSError, match="the disk is full"):
                views.rebuild()
        assert len(batches) == fails
        assert rows_of(views) == before
        views.rebuild()
        assert (rows_of(views), views._tables.leftovers()) == (before, [])

    def test_mends_what_was_changed(self, story: Story, views: Views) -> None:
        story.whole()
        views.catch_up()
        before = rows_of(views)
        with views._tables.turn() as connection:
            connection.exec_driver_sql("DELETE FROM postings_v2_g1")
        views.rebuild()
        assert rows_of(views) == before

    def test_leaves_no_table_behind_and_tidies_those_of_one_that_died(
        self, story: Story, views: Views, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        story.whole()
        views.catch_up()

        def die(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(Tables, "show", die)
            with pytest.raises(KeyboardInterrupt):
                views.rebuild()
        assert views._tables.leftovers()
        views.rebuild()
        assert views._tables.leftovers() == []

    def test_catches_up_with_what_is_recorded_meanwhile(self, story: Story, ledger: Ledger, views: Views) -> None:
        story.whole()
        views.catch_up()
        said: list[int] = []

        def interrupt(done: int, _: int) -> None:
            if not said:
                story.submit(line(), name="2022-Q1")
                views.catch_up()
            said.append(done)

        assert views.rebuild(interrupt) == ledger.head().size
        assert all(each.agrees for each in views.check())
        story.submit(line(), name="2022-Q2")
        views.catch_up()
        assert all(each.agrees for each in views.check())
        assert len(views.claims.page(REFERENCE).rows) == 4


class TestCheck:
    def test_says_which_row_differs(self, story: Story, views: Views) -> None:
        story.whole()
        views.catch_up()
        with views._tables.turn() as connection:
            connection.exec_driver_sql("UPDATE claims_v2_g1 SET accepted = accepted + 1 WHERE claim = '2021-Q3'")
            connection.exec_driver_sql("DELETE FROM parties_v1_g1 WHERE party = 'GB-COH-11503344'")
            connection.exec_driver_sql("UPDATE postings_v2_g1 SET amount = amount + 1 WHERE stage = 'paid' AND number = 2")
            connection.exec_driver_sql("UPDATE accounts_v1_g1 SET amount = amount + 1 WHERE stage = 'rejected'")
            connection.exec_driver_sql("DELETE FROM accounts_v1_g1 WHERE stage = 'claimed' AND outcome = 'HOME'")
            connection.exec_driver_sql("UPDATE accounts_v1_g1 SET month = '1066-10' WHERE stage = 'apportioned'")
        differences = {each.name: each.differences for each in views.check() if not each.agrees}
        assert differences.keys() == {"claims", "parties", "postings", "accounts"}
        (changed,) = differences["claims"]
        assert changed.startswith("award/INDIGO-POJ-0175/claim/2021-Q3: accepted is 127")
        assert differences["parties"] == ("party/GB-COH-11503344: the row is missing",)
        assert all(each.startswith("INDIGO-POJ-0175 ") for each in differences["postings"])
        assert set(differences["accounts"]) == {
            "INDIGO-POJ-0175 rejected HOME  2021-22 2021-07: is 280001, must be 280000",
            "INDIGO-POJ-0175 claimed HOME  2021-22 2021-07: the row is missing",
            "INDIGO-POJ-0175 apportioned   2021-22 1066-10: is -1200000, must be no row",
            "INDIGO-POJ-0175 apportioned   2021-22 2021-07: the row is missing",
        }

    def test_finds_a_sum_that_the_digest_alone_tells(self, story: Story, views: Views) -> None:
        story.whole()
        views.catch_up()
        with views._tables.turn() as connection:
            connection.exec_driver_sql("UPDATE models SET digest = 'ab' WHERE name = 'accounts'")
        (wrong,) = (each for each in views.check() if not each.agrees)
        assert (wrong.name, wrong.differences) == ("accounts", ("its recorded digest is not that of its rows",))

    def test_finds_models_of_another_log(self, story: Story, views: Views) -> None:
        story.whole()
        views.catch_up()
        with views._tables.turn() as connection:
            connection.exec_driver_sql("UPDATE models SET root = 'ab' WHERE name = 'runs'")
        assert [each.name for each in views.check() if not each.agrees] == ["runs"]


class TestModelsOfAnotherLog:
    """The log was put back to what it was before, and its read models were not."""

    @pytest.mark.parametrize("put_back", ["position = 1000000", "root = 'ab'"], ids=["that was longer", "that was as long"])
    def test_stop_until_they_are_made_anew(self, story: Story, ledger: Ledger, views: Views, put_back: str) -> None:
        story.whole()
        views.catch_up()
        with views._tables.turn() as connection:
            connection.exec_driver_sql(f"UPDATE models SET {put_back} WHERE name = 'runs'")
        for _ in range(2):
            views.catch_up()
            (stopped,) = [each for each in views.health() if each.failed is not None]
            assert (stopped.name, "lcledger rebuild" in str(stopped.failed)) == ("runs", True)
        views.rebuild()
        assert views.catch_up() == ledger.head().size
        assert [each.failed for each in views.health()] == [None] * len(views.health())


class TestFollow:
    async def test_hears_of_what_is_recorded(self, story: Story, ledger: Ledger, views: Views) -> None:
        following = asyncio.create_task(views.follow())
        try:
            await asyncio.to_thread(story.whole)
            await views.wait(ledger.head().size, timeout_s=10)
            assert [row.claim for row in views.claims.page(REFERENCE).rows] == ["2021-Q3", "2021-Q4"]
        finally:
            following.cancel()
            with suppress(asyncio.CancelledError):
                await following
        assert all(each.agrees for each in views.check())

    @pytest.mark.parametrize("because", [{"_GATHER_S": 60}, {"_REST": 1_000_000}])
    async def test_lets_entries_gather_until_somebody_waits(
        self, story: Story, ledger: Ledger, views: Views, monkeypatch: pytest.MonkeyPatch, because: dict[str, int]
    ) -> None:
        """For a while, and the longer the longer a step takes."""
        for name, value in {"_GATHER_MOST_S": 60, **because}.items():
            monkeypatch.setattr(views_module, name, value)
        steps: list[int] = []
        step = following.Follower.step

        def count(self: following.Follower, limit: int) -> bool:
            folded = step(self, limit)
            steps.append(self.position)
            return folded

        monkeypatch.setattr(following.Follower, "step", count)
        task = asyncio.create_task(views.follow())
        try:
            await asyncio.to_thread(story.begin)
            await until(lambda: bool(steps) and steps[-1] > 0)
            await asyncio.sleep(0.1)  # By now it lets gather what comes.
            seen, begun = len(steps), ledger.head().size
            await asyncio.to_thread(story.register)
            await asyncio.sleep(0.1)
            assert len(steps) == seen
            assert begun < ledger.head().size
            await views.wait(ledger.head().size, timeout_s=10)
            assert len(steps) > seen
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait_for(task, 10)

    async def test_whoever_waits_too_long_is_told(self, story: Story, ledger: Ledger, views: Views) -> None:
        story.begin()
        with pytest.raises(ViewsLag):
            await views.wait(ledger.head().size, timeout_s=0.05)

    async def test_one_process_follows_and_the_other_stands_by(
        self, story: Story, database_url: str, ledger: Ledger, views: Views
    ) -> None:
        with Views.open(database_url, ledger) as other:
            tasks = [asyncio.create_task(each.follow()) for each in (views, other)]
            try:
                await asyncio.to_thread(story.whole)
                for each in (views, other):
                    await each.wait(ledger.head().size, timeout_s=10)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        assert all(each.agrees for each in views.check())


class TestBatches:
    def test_are_hundreds_live_and_thousands_when_rebuilding(self) -> None:
        assert following.BATCH_LIVE < following.BATCH_CATCHING_UP

    def test_a_type_that_this_release_does_not_know_stops_every_model(
        self, story: Story, ledger: Ledger, views: Views, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        story.whole()
        known = {name: kind for name, kind in ledger.registry.items() if name != "claim.submitted"}
        monkeypatch.setattr(ledger, "registry", known)
        views.catch_up()
        first = next(row.position for row in ledger.log.reads.rows() if row.type == "claim.submitted")
        assert {each.position for each in views.health()} == {first - 1}
        assert all("does not know" in (each.failed or "") for each in views.health())
        assert "claim.submitted" in ClaimsProjection.folds
