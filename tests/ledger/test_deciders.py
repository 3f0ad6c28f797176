"""Where commands are decided, and that each is answered, or refused where it is asked, whatever cannot be started."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import pytest

from domain.aggregate import Decision, Facts
from domain.money import Money
from ledger.entry import Entry
from ledger.facts import MOST_BRIEFLY
from ledger.ledger import MOST_SHORT_BYTES, Ledger
from ledger.writer import Pending, Recorded, Request, Written
from tests.faults import until
from tests.ledger.conftest import VAULT_KEY
from tests.ledger.pots import KIRKLEES, POTS, Pot, PotFilled, PotIsThere, nothing_to_balance, open_pot, open_pots, pot
from tests.ledger.test_writer import ASKED, is_whole

Answers = list[tuple[Recorded | None, BaseException | None]]


def asked(ledger: Ledger, name: str, answers: Answers) -> Pending:
    """An admitted command that opens a pot."""
    answer: Callable[..., None] = lambda recorded, failure: answers.append((recorded, failure))  # noqa: E731 (said once)
    return ledger._writer.admit(Pending(lambda facts: open_pots(facts, [name]), ASKED, dry_run=False, answer=answer))


class TestTake:
    def test_refuses_where_no_thread_can_be_started(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        deciders, answers = ledger._deciders, Answers()
        with monkeypatch.context() as patch:
            patch.setattr(deciders._threads, "submit", _refuse)
            with pytest.raises(RuntimeError, match="no new thread"):
                deciders.take(asked(ledger, "2021-Q3", answers))
        assert (ledger.under_way, answers) == (0, [])

    def test_answers_what_has_arrived_though_no_further_thread_can_be_started(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deciders, answers = ledger._deciders, Answers()
        deciders._arrived.extend(asked(ledger, name, answers) for name in ("2021-Q3", "2021-Q4"))
        with monkeypatch.context() as patch:
            patch.setattr(deciders._threads, "submit", _refuse)
            deciders._serve()
        assert [failure for _, failure in answers] == [None, None]
        assert (ledger.under_way, ledger.head().size) == (0, 2)

    def test_leaves_to_a_thread_what_it_has_taken(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        deciders, answers = ledger._deciders, Answers()

        def serve_and_refuse(serve: Callable[[], None]) -> None:
            serve()
            _refuse()

        with monkeypatch.context() as patch:
            patch.setattr(deciders._threads, "submit", serve_and_refuse)
            deciders.take(asked(ledger, "2021-Q3", answers))
        assert (ledger.under_way, ledger.head().size, len(answers)) == (0, 1, 1)


class Fill:
    """A command that fills a pot, and notes in which thread it is decided on how much."""

    def __init__(self, name: str = "2021-Q3") -> None:
        self.pot = pot(name)
        self.decided: list[tuple[bool, int]] = []

    def __call__(self, facts: Facts) -> Decision:
        amount = facts[self.pot].amount
        self.decided.append((threading.current_thread() is threading.main_thread(), int(amount)))
        return {self.pot: (PotFilled(amount=Money(1)),)}


@pytest.fixture
def embedded(sqlite_url: str) -> Iterator[Ledger]:
    """A ledger on SQLite, with a pot."""
    with _opened(sqlite_url) as ledger:
        ledger.record_now(open_pot, ASKED)
        yield ledger


def _opened(url: str) -> Ledger:
    return Ledger.open(url, vault_key=VAULT_KEY, registry=POTS, balance_check=nothing_to_balance)


def _entries(ledger: Ledger) -> list[Entry]:
    """The entries of a ledger that was closed."""
    with _opened(ledger.log.engine.url.render_as_string(hide_password=False)) as again:
        return again.entries()


class TestQuick:
    """What is quick to decide is decided in the event loop, where the log is in this process."""

    async def test_takes_no_thread_where_the_log_is_in_this_process(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)
        fill = Fill()
        for quick in (True, False):
            await ledger.record(fill, ASKED, quick=quick)
        assert fill.decided == [(ledger.log.statements.sqlite, 0), (False, 1)]

    async def test_is_answered_when_it_is_on_disk_and_a_repeat_gets_the_same(self, embedded: Ledger) -> None:
        asked = Request(KIRKLEES, key="once")
        answers = await asyncio.gather(*(embedded.record(Fill(), asked, quick=True) for _ in range(3)))
        assert [each.repeated for each in answers] == [False, True, True]
        assert {each.entries for each in answers} == {tuple(embedded.entries(1))}

    async def test_is_refused_there(self, embedded: Ledger) -> None:
        with pytest.raises(PotIsThere):
            await embedded.record(open_pot, ASKED, quick=True)
        tried = await embedded.record(Fill(), ASKED, quick=True, dry_run=True)
        assert (embedded.under_way, embedded.head().size, len(tried.entries)) == (0, 1, 1)

    async def test_is_left_to_a_thread_where_much_must_be_read_first(self, sqlite_url: str) -> None:
        with _opened(sqlite_url) as before:
            before.record_now(open_pot, ASKED)
            for _ in range(MOST_BRIEFLY):
                before.change_now(pot("2021-Q3"), Pot.fill, ASKED)
        with _opened(sqlite_url) as ledger:
            fill = Fill()
            for _ in range(2):
                await ledger.record(fill, ASKED, quick=True)
        assert fill.decided == [(False, MOST_BRIEFLY), (True, MOST_BRIEFLY + 1)]  # Then it is remembered.

    async def test_is_left_to_a_thread_where_many_streams_are_read_first(self, sqlite_url: str) -> None:
        names = [f"pot-{number}" for number in range(MOST_BRIEFLY + 1)]
        decided: list[bool] = []

        def fill_all(facts: Facts) -> Decision:
            facts.prefetch([pot(name) for name in names])
            decided.append(threading.current_thread() is threading.main_thread())
            return {pot(name): (facts[pot(name)].fill(),) for name in names}

        with _opened(sqlite_url) as before:
            before.record_now(partial(open_pots, names=names), ASKED)
        with _opened(sqlite_url) as ledger:
            await ledger.record(fill_all, ASKED, quick=True)
        assert decided == [False]

    async def test_each_leaves_the_loop_to_others_before_the_next_and_all_are_one_batch(
        self, embedded: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ledger.deciders.MOST_GATHERING_S", 60)
        order, batches, fill = list[str](), list[Written](), Fill()
        embedded.watch(batches.append)

        def noted(facts: Facts) -> Decision:
            order.append("decided")
            return fill(facts)

        async def read() -> None:
            while embedded.under_way:
                order.append("read")
                await asyncio.sleep(0)

        commands = [asyncio.create_task(embedded.record(noted, ASKED, quick=True)) for _ in range(5)]
        await asyncio.sleep(0)
        await asyncio.gather(*commands, read())
        decided = [at for at, what in enumerate(order) if what == "decided"]
        assert len(decided) == 5
        assert all("read" in order[one:other] for one, other in pairwise(decided))
        assert fill.decided == [(True, amount) for amount in range(5)]  # Each on what the one before will have made.
        assert [(batch.commands, batch.failed) for batch in batches] == [(5, False)]

    async def test_of_a_crowd_loses_nothing_beside_threads(self, embedded: Ledger) -> None:
        async def write(writer: int) -> None:
            for number in range(20):
                asked = Request(KIRKLEES, key=f"{writer}-{number}")
                await embedded.record(Fill(), asked, quick=bool((writer + number) % 3))

        await asyncio.gather(*map(write, range(16)))
        assert embedded.load(pot("2021-Q3")) == (Pot(Money(320)), 321)
        assert is_whole(embedded)

    async def test_waits_for_what_is_decided_before_it(self, embedded: Ledger) -> None:
        fill, go = Fill(), threading.Event()

        def take_long(facts: Facts) -> Decision:
            assert go.wait(60)
            return fill(facts)

        first = asyncio.create_task(embedded.record(take_long, ASKED))
        await asyncio.sleep(0)
        second = asyncio.create_task(embedded.record(fill, ASKED, quick=True))
        await asyncio.sleep(0.01)
        go.set()
        await asyncio.gather(first, second)
        assert fill.decided == [(False, 0), (False, 1)]

    async def test_leaves_one_entry_of_whoever_went_away(self, embedded: Ledger) -> None:
        asked, fill = Request(KIRKLEES, key="once"), Fill()
        with embedded.log.turn():  # Nobody can write yet.
            gone = asyncio.create_task(embedded.record(fill, asked, quick=True))
            await until(lambda: bool(fill.decided))
            gone.cancel()
        again = await embedded.record(fill, asked, quick=True)
        assert (again.repeated, embedded.head().size) == (True, 2)

    @pytest.mark.parametrize("ends", ["before it is decided", "before it is written"])
    def test_is_finished_though_its_loop_has_ended(self, embedded: Ledger, ends: str) -> None:
        loop, answers = asyncio.new_event_loop(), Answers()

        def stop(facts: Facts) -> Decision:
            loop.stop()
            return open_pots(facts, ["2021-Q4"])

        pending = asked(embedded, "2021-Q4", answers)
        pending.loop = loop
        if ends == "before it is written":
            pending.command = stop
        loop.call_soon(partial(embedded._deciders.take, pending, quick=True))
        if ends == "before it is decided":
            loop.call_soon(loop.stop)
        loop.run_forever()
        loop.close()
        asyncio.run(embedded.record(Fill(), ASKED, quick=True))  # Another loop is kept waiting by nothing of it.
        embedded.close()
        assert embedded.under_way == 0
        assert sorted(each.type for each in _entries(embedded)) == ["pot.filled", "pot.opened", "pot.opened"]

    async def test_is_written_though_no_thread_can_be_started(self, embedded: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(embedded._deciders._threads, "submit", _refuse)
        assert (await embedded.record(Fill(), ASKED, quick=True)).last == 2

    async def test_is_told_where_a_thread_is_needed_and_none_can_be_started(
        self, embedded: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        embedded._states.clear()
        monkeypatch.setattr("ledger.facts.MOST_BRIEFLY", 0)
        monkeypatch.setattr(embedded._deciders._threads, "submit", _refuse)
        with pytest.raises(RuntimeError, match="no new thread"):
            await embedded.record(Fill(), ASKED, quick=True)
        assert embedded.under_way == 0

    async def test_a_stream_is_short_until_much_is_behind_it(self, embedded: Ledger) -> None:
        assert embedded.is_short(pot("2021-Q3"))
        assert embedded.is_short(pot("unknown"))
        much = (PotFilled(amount=Money(1)),) * (MOST_SHORT_BYTES // 100)
        await embedded.record(lambda _: {pot("2021-Q3"): much}, ASKED)
        assert not embedded.is_short(pot("2021-Q3"))


def _refuse(*_: Any) -> Any:
    raise RuntimeError("no new thread can be started")
