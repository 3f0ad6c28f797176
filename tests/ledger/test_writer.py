"""Many at once: nothing lost, nothing refused without reason, and one that fails harms nobody."""

import asyncio
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Self

import pytest
from sqlalchemy import make_url

from domain.aggregate import Command, Commitment, Decision, Facts
from domain.money import Money
from domain.refusal import Refused
from ledger import merkle
from ledger.entry import NO_LEAF, draft, previous_of
from ledger.failures import Unavailable
from ledger.ledger import Ledger, Recorded, Request
from ledger.wire import Wire
from ledger.writer import Closed, KeySpent, KeyUnfit, Overloaded, Pending
from tests import postgres
from tests.faults import failing_commit, until
from tests.ledger.conftest import VAULT_KEY, Opening
from tests.ledger.pots import (
    KIRKLEES,
    POTS,
    Pot,
    PotClosed,
    PotFilled,
    PotIsClosed,
    PotOpened,
    nothing_to_balance,
    open_pot,
    open_pots,
    pot,
)

ASKED = Request(KIRKLEES)
WRITERS = 16


def is_whole(ledger: Ledger) -> bool:
    rows = ledger.log.reads.rows(limit=100_000)
    dense = [row.position for row in rows] == list(range(1, len(rows) + 1))
    tips: dict[str, tuple[int, bytes]] = {}
    for row in rows:
        if row.award is not None:
            sequence, leaf = tips.get(row.award, (0, NO_LEAF))
            if (row.award_sequence, previous_of(row)) != (sequence + 1, leaf):
                return False
            tips[row.award] = (sequence + 1, row.leaf)
    return dense and ledger.head().size == len(rows) and ledger.head().root == merkle.root(row.leaf for row in rows)


class TestSixteenAtOnce:
    async def test_on_one_stream_lose_nothing_and_are_not_refused(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)

        async def write(writer: int) -> None:
            for number in range(20):
                await ledger.change(pot("2021-Q3"), Pot.fill, Request(KIRKLEES, key=f"{writer}-{number}"))

        await asyncio.gather(*map(write, range(WRITERS)))
        assert ledger.load(pot("2021-Q3")) == (Pot(Money(WRITERS * 20)), WRITERS * 20 + 1)
        assert is_whole(ledger)

    async def test_break_no_limit(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)

        def fill_up_to_ten(it: Pot) -> PotFilled:
            if it.amount >= 10:
                raise PotIsClosed
            return it.fill()

        answers = await asyncio.gather(
            *(ledger.change(pot("2021-Q3"), fill_up_to_ten, ASKED) for _ in range(WRITERS)), return_exceptions=True
        )
        assert sum(isinstance(answer, Recorded) for answer in answers) == 10
        assert ledger.load(pot("2021-Q3"))[0].amount == 10

    async def test_with_one_key_are_recorded_once(self, ledger: Ledger) -> None:
        answers = await asyncio.gather(*(ledger.record(open_pot, Request(KIRKLEES, key="k")) for _ in range(WRITERS)))
        assert sum(not answer.repeated for answer in answers) == 1
        assert len({answer.entries for answer in answers}) == 1
        assert ledger.head().size == 1

    async def test_with_one_key_for_two_requests_record_one_of_them(self, ledger: Ledger) -> None:
        answers = await asyncio.gather(
            *(
                ledger.record(partial(open_pot, name=name), Request(KIRKLEES, key="k", fingerprint=name))
                for name in ("2021-Q3", "2021-Q4")
            ),
            return_exceptions=True,
        )
        assert {type(answer) for answer in answers} == {Recorded, KeySpent}
        assert ledger.head().size == 1

    async def test_from_two_processes_lose_nothing(self, opening: Opening) -> None:
        ledgers = [opening(), opening()]
        await ledgers[0].record(open_pot, ASKED)

        async def write(writer: int) -> None:
            for _ in range(10):
                await ledgers[writer % 2].change(pot("2021-Q3"), Pot.fill, ASKED)

        await asyncio.gather(*map(write, range(WRITERS)))
        assert all(ledger.load(pot("2021-Q3"))[0].amount == WRITERS * 10 for ledger in ledgers)
        assert all(is_whole(ledger) for ledger in ledgers)


class TestReadSet:
    async def test_what_was_only_read_is_checked_too(self, ledger: Ledger) -> None:
        """Close-to-claims against submit-claim: neither writes the other's stream, and one of them is refused."""
        await ledger.record(partial(open_pots, names=["award", "claims"]), ASKED)
        both_have_read = threading.Barrier(2, timeout=60)
        met: set[str] = set()

        def meet(who: str) -> None:
            if who not in met:  # Whoever writes decides again for the others, in a thread that may be any.
                met.add(who)
                both_have_read.wait()

        def close(facts: Facts) -> Decision:
            claims = facts[pot("claims")]
            meet("close")
            if claims.amount > 0:
                raise PotIsClosed
            return {pot("award"): (PotClosed(),)}

        def submit(facts: Facts) -> Decision:
            award = facts[pot("award")]
            meet("submit")
            if award.closed:
                raise PotIsClosed
            return {pot("claims"): (PotFilled(amount=Money(1)),)}

        answers = await asyncio.gather(ledger.record(close, ASKED), ledger.record(submit, ASKED), return_exceptions=True)
        assert {type(answer) for answer in answers} == {Recorded, PotIsClosed}

    async def test_absence_is_checked_too(self, opening: Opening) -> None:
        one, other = opening(), opening()

        def open_unless_there(facts: Facts) -> Decision:
            if facts.get(pot("Q1")) is None and not asked:
                asked.append(1)
                other.record_now(partial(open_pot, name="Q1"), ASKED)
                return {pot("Q2"): (PotOpened(amount=Money(1)),)}
            return {pot("Q2"): (PotOpened(amount=Money(2)),)}

        asked: list[int] = []
        await one.record(open_unless_there, ASKED)
        assert one.load(pot("Q2"))[0].amount == 2

    async def test_a_refusal_on_what_no_longer_holds_is_decided_again(self, opening: Opening) -> None:
        one, other = opening(), opening()
        await one.record(partial(open_pot, pence=5), ASKED)
        await other.change(pot("2021-Q3"), lambda it: it.fill(-5), ASKED)

        def only_when_empty(it: Pot) -> PotFilled:
            if it.amount:
                raise PotIsClosed
            return it.fill(7)

        # What `one` remembers is 5 pence; it would refuse on that.
        assert (await one.change(pot("2021-Q3"), only_when_empty, ASKED)).last == 3

    async def test_is_decided_at_most_twice(self, opening: Opening) -> None:
        one, other = opening(), opening()
        await one.record(open_pot, ASKED)
        decided = 0

        def fill(it: Pot) -> PotFilled:
            nonlocal decided
            decided += 1
            if decided == 1:
                other.change_now(pot("2021-Q3"), Pot.fill, ASKED)
            return it.fill()

        await one.change(pot("2021-Q3"), fill, ASKED)
        assert decided == 2
        assert one.load(pot("2021-Q3"))[0].amount == 2

    async def test_thousands_of_streams_are_decided_again_in_few_statements(self, opening: Opening) -> None:
        one, other = opening(), opening()
        names = [f"line-{number}" for number in range(3_000)]
        await one.record(partial(open_pots, names=names), ASKED)
        decided = 0

        def fill_all(facts: Facts) -> Decision:
            nonlocal decided
            decided += 1
            if decided == 1:
                other.change_now(pot("line-7"), Pot.fill, ASKED)
            facts.prefetch(map(pot, names))
            return {pot(name): (facts[pot(name)].fill(),) for name in names}

        with _counted(one) as statements:
            await one.record(fill_all, ASKED)
        assert decided == 2
        assert one.load(pot("line-7"))[0].amount == 2
        assert len(statements) < 50


class TestAhead:
    """Of commands that wait, each is decided on what those before it will have made."""

    async def test_on_one_stream_each_is_decided_once(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)
        seen: list[int] = []
        with _held(ledger) as go:
            waiting = [await _decided(ledger, partial(_fill_by, seen, lambda _: 1), seen) for _ in range(5)]
            go()
        await asyncio.gather(*waiting)
        assert seen == [0, 1, 2, 3, 4]
        assert ledger.load(pot("2021-Q3")) == (Pot(Money(5)), 6)
        assert is_whole(ledger)

    async def test_another_state_at_the_same_version_is_not_taken_for_it(self, ledger: Ledger) -> None:
        """The first is refused when it is decided again, so that the second stands on a version that somebody else made."""
        await ledger.record(open_pot, ASKED)
        seen: list[int] = []
        with _held(ledger) as go:
            first = await _decided(ledger, partial(_fill_by, seen, _a_penny_into_an_empty_pot), seen)
            second = await _decided(ledger, partial(_fill_by, seen, lambda amount: amount), seen)
            go.turn.place([draft(pot("2021-Q3").name, 2, PotFilled(amount=Money(100)), KIRKLEES.person)])
            go()
        answers = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(answer) for answer in answers] == [PotIsClosed, Recorded]
        assert seen == [0, 1, 100, 100]
        assert ledger.load(pot("2021-Q3")) == (Pot(Money(200)), 3)

    async def test_a_refusal_on_what_never_came_is_decided_again(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)
        seen: list[int] = []
        with _held(ledger) as go:
            first = await _decided(ledger, partial(_fill_by, seen, _a_penny_into_an_empty_pot), seen)
            second = await _decided(ledger, partial(_fill_by, seen, _twopence_unless_there_is_a_penny), seen)
            go.turn.place([draft(pot("2021-Q3").name, 2, PotFilled(amount=Money(100)), KIRKLEES.person)])
            go()
        answers = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(answer) for answer in answers] == [PotIsClosed, Recorded]
        assert ledger.load(pot("2021-Q3"))[0].amount == 102

    async def test_one_that_is_not_stored_was_nothing_to_stand_on(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        await ledger.record(open_pot, ASKED)
        seen: list[int] = []
        with _held(ledger) as go:
            first = await _decided(ledger, partial(_fill_by, seen, lambda _: 1), seen)
            second = await _decided(ledger, partial(_fill_by, seen, lambda _: 1), seen)
            go.turn.place([draft(pot("other").name, 1, PotOpened(amount=Money(0)), KIRKLEES.person)])
            fails = iter([False, True])
            grow = merkle.root_of
            monkeypatch.setattr(merkle, "root_of", lambda frontier: 1 // 0 if next(fails, False) else grow(frontier))
            go()
            answers = await asyncio.gather(first, second, return_exceptions=True)
        assert [type(answer) for answer in answers] == [ZeroDivisionError, Recorded]
        assert seen == [0, 1, 0]
        assert ledger.load(pot("2021-Q3")) == (Pot(Money(1)), 2)
        assert is_whole(ledger)

    async def test_a_dry_run_is_nothing_to_stand_on(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)
        seen: list[int] = []
        with _held(ledger) as go:
            first = await _decided(ledger, partial(_fill_by, seen, lambda _: 1), seen, dry_run=True)
            second = await _decided(ledger, partial(_fill_by, seen, lambda _: 1), seen)
            go()
        await asyncio.gather(first, second)
        assert seen == [0, 0]
        assert ledger.load(pot("2021-Q3"))[0].amount == 1

    async def test_what_only_the_log_knows_is_asked_of_it_when_it_is_there(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)
        seen: list[int] = []
        revealed: list[str | None] = []

        def name_holder(facts: Facts) -> Decision:
            seen.append(facts[pot("2021-Q3")].amount)
            holder = facts.conceal("the hostel's treasurer", "INDIGO-POJ-0175")
            return {pot("2021-Q3"): (PotOpened(amount=Money(7), holder=holder),)}

        def ask_holder(facts: Facts) -> Decision:
            it = facts[pot("2021-Q3")]
            seen.append(it.amount)
            revealed.append(facts.reveal(Commitment(it.holder)) if it.holder else "nobody")
            return {pot("2021-Q3"): (it.fill(),)}

        with _held(ledger) as go:
            first = await _decided(ledger, name_holder, seen)
            second = await _decided(ledger, ask_holder, revealed)
            go()
        await asyncio.gather(first, second)
        assert revealed == ["nobody", "the hostel's treasurer"]
        assert seen == [0, 7, 0, 7]

    async def test_nothing_is_kept_of_those_that_are_done(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)
        fills = (ledger.change(pot("2021-Q3"), partial(_fill_up_to, 10), ASKED) for _ in range(WRITERS))
        await asyncio.gather(*fills, return_exceptions=True)
        assert ledger.load(pot("2021-Q3"))[0].amount == 10
        await until(lambda: ledger.under_way == 0)
        assert ledger._writer._ahead == {}


async def _decided(ledger: Ledger, command: Command, told: list[Any], *, dry_run: bool = False) -> "asyncio.Task[Recorded]":
    """A command that was decided once and waits; it tells when it is decided."""
    before = len(told)
    task = asyncio.create_task(ledger.record(command, ASKED, dry_run=dry_run))
    await until(lambda: len(told) > before)
    await asyncio.sleep(0.05)  # It waits when it is decided.
    return task


def _fill_by(seen: list[int], pence: Callable[[int], int], facts: Facts) -> Decision:
    it = facts[pot("2021-Q3")]
    seen.append(int(it.amount))
    return {pot("2021-Q3"): (it.fill(pence(int(it.amount))),)}


def _a_penny_into_an_empty_pot(amount: int) -> int:
    if amount:
        raise PotIsClosed
    return 1


def _twopence_unless_there_is_a_penny(amount: int) -> int:
    if amount == 1:
        raise PotIsClosed
    return 2


def _fill_up_to(most: int, it: Pot) -> PotFilled:
    if it.amount >= most:
        raise PotIsClosed
    return it.fill()


class TestBatch:
    async def test_one_that_fails_harms_nobody(self, ledger: Ledger) -> None:
        await ledger.record(partial(open_pots, names=[f"Q{number}" for number in range(WRITERS)]), ASKED)

        def fill(number: int, it: Pot) -> PotFilled:
            if number % 3 == 0:
                raise PotIsClosed
            if number % 3 == 1:
                raise ZeroDivisionError
            return it.fill()

        answers = await asyncio.gather(
            *(ledger.change(pot(f"Q{number}"), partial(fill, number), ASKED) for number in range(WRITERS)), return_exceptions=True
        )
        wanted: list[type] = [PotIsClosed, ZeroDivisionError, Recorded]
        assert [type(answer) for answer in answers] == [wanted[number % 3] for number in range(WRITERS)]
        assert is_whole(ledger)

    async def test_one_refused_in_the_writer_s_turn_harms_nobody(self, ledger: Ledger) -> None:
        await ledger.record(partial(open_pots, names=["Q1", "Q2"]), ASKED)
        with _held(ledger) as go:
            decided = [
                asyncio.create_task(ledger.change(pot("Q1"), lambda _: PotClosed(), ASKED)),
                asyncio.create_task(ledger.change(pot("Q1"), Pot.fill, ASKED)),
                asyncio.create_task(ledger.change(pot("Q2"), Pot.fill, ASKED)),
            ]
            await asyncio.sleep(0.1)
            go()
        answers = await asyncio.gather(*decided, return_exceptions=True)
        assert isinstance(answers[2], Recorded)
        assert sum(isinstance(answer, Refused) for answer in answers[:2]) <= 1
        assert is_whole(ledger)

    async def test_one_that_cannot_be_told_keeps_nobody_waiting(self, ledger: Ledger) -> None:
        decided = 0

        def stop(facts: Facts) -> Decision:
            nonlocal decided
            decided += 1
            if decided == 2:
                raise StopIteration
            return open_pot(facts, "before")

        answers = await asyncio.wait_for(_in_one_batch(ledger, stop, ASKED), timeout=10)
        assert [type(answer) for answer in answers] == [Recorded, RuntimeError, Recorded]

    @pytest.mark.parametrize("key", ["a key\0", "\ud800", "", "k" * 256])
    async def test_one_whose_key_no_database_takes_harms_nobody(self, ledger: Ledger, key: str) -> None:
        answers = await _in_one_batch(ledger, partial(open_pot, name="Q2"), Request(KIRKLEES, key=key))
        assert [type(answer) for answer in answers] == [Recorded, KeyUnfit, Recorded]


class TestOverload:
    def test_has_room_again_for_whoever_has_an_answer(self, opening: Opening) -> None:
        ledger, answered = opening(most_waiting=1), list[int]()

        def go_on(recorded: Recorded | None, _failure: BaseException | None) -> None:
            assert recorded is not None
            answered.append(recorded.last)
            if len(answered) < 3:
                ask(f"Q{len(answered)}")

        def ask(name: str) -> None:
            writer = ledger._writer
            writer.decide(writer.admit(Pending(partial(open_pot, name=name), ASKED, dry_run=False, answer=go_on)))

        ask("Q0")
        ledger._writer.write_what_waits()
        assert answered == [1, 2, 3]

    async def test_more_than_can_wait_is_turned_away(self, opening: Opening) -> None:
        ledger = opening(most_waiting=2)
        with _held(ledger) as go:
            waiting = [asyncio.create_task(ledger.record(partial(open_pot, name=name), ASKED)) for name in ("Q1", "Q2")]
            await asyncio.sleep(0.05)
            with pytest.raises(Overloaded):
                await ledger.record(partial(open_pot, name="Q3"), ASKED)
            go()
        await asyncio.gather(*waiting)
        await ledger.record(partial(open_pot, name="Q3"), ASKED)
        assert ledger.head().size == 3


class TestNobodyIsForgotten:
    def test_who_comes_between_the_last_look_and_the_end_of_the_writing_is_written_too(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Who comes then finds somebody writing, and relies on that."""
        writer, take, answers = ledger._writer, ledger._writer._take, list[Recorded | None]()

        def come_late() -> list[Pending]:
            batch = take()
            if not batch and ledger.head().size == 1:
                late = partial(open_pot, name="late")
                writer.decide(writer.admit(Pending(late, ASKED, dry_run=False, answer=lambda told, _: answers.append(told))))
                writer.write_what_waits()
                assert answers == []
            return batch

        monkeypatch.setattr(writer, "_take", come_late)
        ledger.record_now(open_pot, ASKED)
        assert [told and told.last for told in answers] == [2]


class TestClose:
    async def test_what_was_taken_in_is_finished(self, opening: Opening) -> None:
        ledger = opening()
        tasks = [asyncio.create_task(ledger.record(partial(open_pot, name=f"Q{number}"), ASKED)) for number in range(50)]
        await asyncio.sleep(0)
        await asyncio.to_thread(ledger.close)
        assert len({answer.last for answer in await asyncio.gather(*tasks)}) == 50
        with pytest.raises(Closed):
            await ledger.record(open_pot, ASKED)
        assert opening().head().size == 50

    async def test_whoever_goes_away_leaves_what_was_recorded(self, ledger: Ledger) -> None:
        with _held(ledger) as go:
            task = asyncio.create_task(ledger.record(open_pot, ASKED))
            await asyncio.sleep(0.05)
            task.cancel()
            go()
        await ledger.record(partial(open_pot, name="Q2"), ASKED)
        assert ledger.head().size == 2


class TestFaults:
    """Every write fails in two ways: it fails and is not stored, or it fails and is stored."""

    def test_fails_and_is_not_stored(self, ledger: Ledger) -> None:
        with failing_commit(stored=False), pytest.raises(Unavailable):
            ledger.record_now(open_pot, Request(KIRKLEES, key="k"))
        assert ledger.head().size == 0
        assert not ledger.record_now(open_pot, Request(KIRKLEES, key="k")).repeated
        assert is_whole(ledger)

    def test_fails_and_is_stored(self, ledger: Ledger) -> None:
        with failing_commit(stored=True):
            recorded = ledger.record_now(open_pot, Request(KIRKLEES, key="k"))
        assert recorded.last == 1
        assert ledger.record_now(open_pot, Request(KIRKLEES, key="k")).repeated
        ledger.change_now(pot("2021-Q3"), Pot.fill, ASKED)
        assert is_whole(ledger)

    async def test_fails_and_nobody_is_refused_on_what_was_never_stored(self, ledger: Ledger) -> None:
        """Of two in one batch the second is refused because of the first; then the commit fails."""
        with failing_commit(stored=False):
            with ledger._writer._writing:
                tasks = [asyncio.create_task(ledger.record(open_pot, ASKED)) for _ in range(2)]
                await until(lambda: len(ledger._writer._waiting) == 2)
            with suppress(Unavailable):  # Unless another thread was as quick as this one to write what waits.
                ledger.record_now(partial(open_pot, name="Q2"), ASKED)
            answers = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
        ledger.record_now(open_pot, ASKED)

    def test_fails_while_it_is_written(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        ledger.record_now(open_pot, ASKED)
        with monkeypatch.context() as patch:
            patch.setattr(merkle, "root_of", lambda _: 1 // 0)
            with pytest.raises(ZeroDivisionError):
                ledger.change_now(pot("2021-Q3"), Pot.fill, ASKED)
        ledger.change_now(pot("2021-Q3"), Pot.fill, ASKED)
        assert ledger.load(pot("2021-Q3"))[0].amount == 1
        assert is_whole(ledger)

    def test_the_server_went_and_came_back(self, postgres_server: postgres.Server, postgres_url: str) -> None:
        with Ledger.open(postgres_url, vault_key=VAULT_KEY, registry=POTS, balance_check=nothing_to_balance) as ledger:
            ledger.record_now(open_pot, ASKED)
            _end_connections(postgres_server)
            ledger.change_now(pot("2021-Q3"), Pot.fill, ASKED)
            assert ledger.load(pot("2021-Q3"))[1] == 2

    def test_the_server_went_in_the_middle_of_a_turn(self, opening_postgres: Opening, postgres_server: postgres.Server) -> None:
        one, other = opening_postgres(), opening_postgres()
        one.record_now(open_pot, ASKED)
        decided = 0

        def fill(facts: Facts) -> Decision:
            nonlocal decided
            decided += 1
            it = facts[pot("2021-Q3")]
            if decided == 1:
                other.change_now(pot("2021-Q3"), Pot.fill, ASKED)
            else:
                _end_connections(postgres_server)
                facts.get(pot("2021-Q4"))
            return {pot("2021-Q3"): (it.fill(),)}

        with pytest.raises(Unavailable):
            one.record_now(fill, ASKED)
        one.change_now(pot("2021-Q3"), Pot.fill, ASKED)
        assert one.load(pot("2021-Q3")) == (Pot(Money(2)), 3)
        assert is_whole(one)

    def test_the_server_went_before_the_commit(
        self, opening_postgres: Opening, postgres_server: postgres.Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ledger = opening_postgres()
        made = merkle.root_of

        def end_connections(frontier: list[bytes]) -> bytes:
            _end_connections(postgres_server)
            return made(frontier)

        with monkeypatch.context() as patch:
            patch.setattr(merkle, "root_of", end_connections)
            with pytest.raises(Unavailable):
                ledger.record_now(open_pot, ASKED)
        assert ledger.head().size == 0
        ledger.record_now(open_pot, ASKED)
        assert is_whole(ledger)

    async def test_a_database_whose_transactions_see_the_past_is_written_to_as_it_is(
        self, opening_postgres: Opening, postgres_server: postgres.Server, postgres_url: str
    ) -> None:
        name = make_url(postgres_url).database
        with postgres_server.connect() as connection:
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_isolation = 'repeatable read'".encode())
        ledgers = [opening_postgres(), opening_postgres()]
        await ledgers[0].record(open_pot, ASKED)
        await asyncio.gather(*(ledgers[number % 2].change(pot("2021-Q3"), Pot.fill, ASKED) for number in range(60)))
        assert ledgers[0].load(pot("2021-Q3"))[0].amount == 60

    def test_a_full_disk_takes_nothing_and_then_goes_on(self, sqlite_url: str) -> None:
        ran = subprocess.run([sys.executable, "-c", FULL, sqlite_url], check=True, capture_output=True, text=True, cwd=CHECKOUT)
        assert ran.stdout.split() == ["False", "True", "True"]


CHECKOUT = Path(__file__).parents[2]
FULL = """
import resource, signal, sys
from functools import partial
from ledger.ledger import Ledger
from tests.ledger.conftest import VAULT_KEY
from tests.ledger.pots import POTS, nothing_to_balance, open_pot, open_pots
from tests.ledger.test_writer import ASKED, is_whole

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with Ledger.open(sys.argv[1], vault_key=VAULT_KEY, registry=POTS, balance_check=nothing_to_balance) as ledger:
    ledger.record_now(open_pot, ASKED)
    many = partial(open_pots, names=map(str, range(2_000)))
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    try:
        ledger.record_now(many, ASKED)
    except Exception:
        print(ledger.head().size > 1)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    ledger.record_now(partial(open_pot, name="2021-Q4"), ASKED)
    print(ledger.head().size == 2)
    print(is_whole(ledger))
"""


@pytest.fixture
def opening_postgres(postgres_url: str) -> Iterator[Opening]:
    """Opens the test's ledger in PostgreSQL, as often as it is asked."""
    opened: list[Ledger] = []

    def open_() -> Ledger:
        opened.append(Ledger.open(postgres_url, vault_key=VAULT_KEY, registry=POTS, balance_check=nothing_to_balance))
        return opened[-1]

    yield open_
    for ledger in opened:
        ledger.close()


def _end_connections(server: postgres.Server) -> None:
    with server.connect() as connection:
        # With a time to wait, it returns when they have ended.
        connection.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname ~ '^ledger_'")


async def _in_one_batch(ledger: Ledger, command: Command, request: Request) -> list[Recorded | BaseException]:
    """The answers to a command between two others, none of which finds the turn free before the last is there."""
    commands = ((partial(open_pot, name="before"), ASKED), (command, request), (partial(open_pot, name="after"), ASKED))
    with _held(ledger) as go:
        tasks = []
        for one in ((partial(open_pot, name="first"), ASKED), *commands):
            tasks.append(asyncio.create_task(ledger.record(*one)))
            await asyncio.sleep(0.2)  # They queue in this order.
        go()
    return (await asyncio.gather(*tasks, return_exceptions=True))[1:]


@contextmanager
def _counted(ledger: Ledger) -> Iterator[list[str]]:
    said: list[str] = []
    ask, ask_outside = Wire.ask, ledger.log.reads._ask

    def count(self: Wire, sql: str, parameters: tuple[Any, ...]) -> Any:
        said.append(sql)
        return ask(self, sql, parameters)

    def count_outside(sql: str, parameters: tuple[Any, ...]) -> Any:
        said.append(sql)
        return ask_outside(sql, parameters)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wire, "ask", count)
        patch.setattr(ledger.log.reads, "_ask", count_outside)
        yield said


class _held:  # noqa: N801 (reads as a word)
    """Keeps the writer's turn from everybody, until the test lets go."""

    def __init__(self, ledger: Ledger) -> None:
        self._turn = ledger.log.turn()

    def __enter__(self) -> Self:
        self.turn = self._turn.__enter__()
        self._held = True
        return self

    def __call__(self) -> None:
        self._let_go()

    def __exit__(self, *_: object) -> None:
        self._let_go()

    def _let_go(self) -> None:
        if self._held:
            self._held = False
            self._turn.__exit__(None, None, None)


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    yield
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("Thread-")]
