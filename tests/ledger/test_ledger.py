"""The facade: what goes in comes out, once, in order, and nothing else does."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from domain import party
from domain.aggregate import Decision, Facts, PersonId, Stream
from domain.event import Event
from domain.money import Money
from ledger import merkle
from ledger.entry import NO_LEAF, leaf_of
from ledger.ledger import Ledger, Request
from ledger.writer import DoesNotBalance, KeySpent, VersionHasMoved
from tests.ledger.conftest import Clock, Opening
from tests.ledger.pots import (
    BRIDGE,
    KIRKLEES,
    NoSuchPot,
    Pot,
    PotFilled,
    PotIsClosed,
    PotIsThere,
    PotOpened,
    open_pot,
    open_pots,
    pot,
)

ASKED = Request(KIRKLEES)


class TestRecord:
    async def test_answers_with_the_entries(self, ledger: Ledger) -> None:
        recorded = await ledger.record(open_pot, Request(KIRKLEES, correlation="c-1", causation="e-1"))
        (entry,) = recorded.entries
        assert (recorded.first, recorded.last, recorded.repeated, recorded.dry_run) == (1, 1, False, False)
        assert (entry.stream, entry.version, entry.type) == (pot("2021-Q3").name, 1, "pot.opened")
        assert (entry.award, entry.award_sequence, entry.previous) == ("INDIGO-POJ-0175", 1, NO_LEAF)
        assert (entry.person, entry.correlation, entry.causation) == (KIRKLEES.person, "c-1", "e-1")
        assert entry.recorded_at == datetime(2024, 7, 1, 9, 30, tzinfo=UTC)
        assert entry.event == PotOpened(amount=Money(0))

    async def test_what_it_answers_is_what_is_stored(self, ledger: Ledger) -> None:
        recorded = await ledger.record(partial(open_pots, names=["Q1", "Q2", "Q3"]), ASKED)
        assert tuple(ledger.entries()) == recorded.entries

    async def test_folds_what_it_looked_ahead_at_once(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        folded: list[str] = []
        monkeypatch.setattr(Pot, "evolve", _told_to(folded.append))

        def fill_twice(facts: Facts) -> Decision:
            opened, filled = PotOpened(amount=Money(4)), PotFilled(amount=Money(1))
            assert facts.after(pot("2021-Q3"), (opened,), KIRKLEES.person) == Pot(Money(4))
            assert facts.after(pot("2021-Q3"), (opened, filled), KIRKLEES.person) == Pot(Money(5))
            return {pot("2021-Q3"): (opened, filled, PotFilled(amount=Money(2)))}

        await ledger.record(fill_twice, ASKED)
        assert folded == ["pot.opened", "pot.filled", "pot.filled"]
        assert ledger.load(pot("2021-Q3")) == (Pot(Money(7)), 3)

    async def test_folds_anew_what_was_decided_otherwise_than_it_looked(self, ledger: Ledger) -> None:
        def look_and_decide_otherwise(facts: Facts) -> Decision:
            opened = PotOpened(amount=Money(4))
            facts.after(pot("2021-Q3"), (opened, PotFilled(amount=Money(1))), KIRKLEES.person)
            facts.after(pot("2021-Q4"), (opened, PotFilled(amount=Money(1))), KIRKLEES.person)
            return {pot("2021-Q3"): (opened,), pot("2021-Q4"): (opened, PotFilled(amount=Money(2)))}

        await ledger.record(look_and_decide_otherwise, ASKED)
        assert [ledger.load(pot(name)) for name in ("2021-Q3", "2021-Q4")] == [(Pot(Money(4)), 1), (Pot(Money(6)), 2)]

    async def test_refuses_and_leaves_no_trace(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)
        with pytest.raises(PotIsThere):
            await ledger.record(open_pot, ASKED)
        assert ledger.head().size == 1

    async def test_a_decision_of_nothing_is_answered_with_the_last_position(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)
        recorded = await ledger.record(lambda _: {pot("2021-Q3"): ()}, Request(KIRKLEES, key="nothing"))
        assert (recorded.first, recorded.last, recorded.entries) == (2, 1, ())
        assert ledger.head().size == 1
        repeated = await ledger.record(open_pot, Request(KIRKLEES, key="nothing"))
        assert (repeated.last, repeated.entries, repeated.repeated) == (1, (), True)

    async def test_a_dry_run_does_everything_but_write(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)
        dry = await ledger.change(pot("2021-Q3"), lambda it: it.fill(5), Request(KIRKLEES, key="dry"), dry_run=True)
        assert (dry.first, dry.last, dry.dry_run, dry.entries[0].version) == (2, 2, True, 2)
        assert ledger.head().size == 1
        assert ledger.load(pot("2021-Q3")) == (Pot(Money(0)), 1)
        wet = await ledger.change(pot("2021-Q3"), lambda it: it.fill(5), Request(KIRKLEES, key="dry"))
        assert not wet.repeated
        assert wet.entries[0].previous == dry.entries[0].previous

    async def test_a_dry_run_is_refused_as_the_command_would_be(self, ledger: Ledger) -> None:
        with pytest.raises(NoSuchPot):
            await ledger.change(pot("2021-Q3"), lambda it: it.fill(5), ASKED, dry_run=True)

    def test_works_without_an_event_loop(self, ledger: Ledger) -> None:
        assert ledger.record_now(open_pot, ASKED).last == 1
        assert ledger.change_now(pot("2021-Q3"), lambda it: it.fill(5), ASKED).last == 2

    def test_does_not_record_what_does_not_balance(self, opening: Opening) -> None:
        def check(event: object) -> None:
            raise DoesNotBalance

        ledger = opening(balance_check=check)
        with pytest.raises(DoesNotBalance):
            ledger.record_now(open_pot, ASKED)
        assert ledger.head().size == 0

    def test_does_not_record_what_cannot_be_folded(self, ledger: Ledger) -> None:
        with pytest.raises(AssertionError):
            ledger.record_now(lambda _: {pot("never opened"): (PotFilled(amount=Money(1)),)}, ASKED)
        assert ledger.head().size == 0

    def test_records_fifteen_thousand_events_at_once(self, ledger: Ledger) -> None:
        recorded = ledger.record_now(partial(open_pots, names=[f"line-{number}" for number in range(15_000)]), ASKED)
        assert (recorded.first, recorded.last) == (1, 15_000)
        assert ledger.head().root == merkle.root(entry.leaf for entry in recorded.entries)

    def test_knows_the_events_of_the_domain_and_what_they_mean_in_money(self, opening: Opening) -> None:
        ledger = opening(registry=None, balance_check=None)
        ledger.record_now(partial(party.register, party="GB-LAE-KIR", name="Kirklees Council"), ASKED)
        with pytest.raises(party.PartyExists):
            ledger.record_now(partial(party.register, party="gb-lae-kir", name="Kirklees Council"), ASKED)
        assert [entry.type for entry in ledger.entries()] == ["party.registered"]


class TestKeys:
    async def test_the_same_request_again_gets_the_same_answer(self, ledger: Ledger) -> None:
        first = await ledger.record(open_pot, Request(KIRKLEES, key="k", fingerprint="f"))
        again = await ledger.record(open_pot, Request(KIRKLEES, key="k", fingerprint="f"))
        assert again.repeated
        assert again.entries == first.entries
        assert ledger.head().size == 1

    async def test_another_request_with_the_same_key_is_refused(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, Request(KIRKLEES, key="k", fingerprint="f"))
        with pytest.raises(KeySpent):
            await ledger.record(open_pot, Request(KIRKLEES, key="k", fingerprint="another"))
        with pytest.raises(KeySpent):
            await ledger.record(partial(open_pot, name="2021-Q4"), Request(KIRKLEES, key="k", fingerprint="another"))

    async def test_another_person_may_use_the_same_key(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, Request(KIRKLEES, key="k", fingerprint="f"))
        other = await ledger.record(partial(open_pot, name="2021-Q4"), Request(BRIDGE, key="k", fingerprint="g"))
        assert not other.repeated

    async def test_a_refusal_leaves_no_receipt(self, ledger: Ledger) -> None:
        with pytest.raises(NoSuchPot):
            await ledger.change(pot("2021-Q3"), Pot.fill, Request(KIRKLEES, key="k"))
        await ledger.record(open_pot, ASKED)
        assert not (await ledger.change(pot("2021-Q3"), Pot.fill, Request(KIRKLEES, key="k"))).repeated

    async def test_a_key_holds_after_the_ledger_was_opened_again(self, opening: Opening) -> None:
        await opening().record(open_pot, Request(KIRKLEES, key="k"))
        assert (await opening().record(open_pot, Request(KIRKLEES, key="k"))).repeated


class TestExpected:
    async def test_a_version_that_has_moved_is_refused(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)
        await ledger.change(pot("2021-Q3"), Pot.fill, Request(KIRKLEES, expected={pot("2021-Q3").name: 1}))
        with pytest.raises(VersionHasMoved):
            await ledger.change(pot("2021-Q3"), Pot.fill, Request(KIRKLEES, expected={pot("2021-Q3").name: 1}))

    async def test_a_repeat_is_answered_though_the_version_has_moved(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)
        request = Request(KIRKLEES, key="k", expected={pot("2021-Q3").name: 1})
        await ledger.change(pot("2021-Q3"), Pot.fill, request)
        assert (await ledger.change(pot("2021-Q3"), Pot.fill, request)).repeated


class TestLoad:
    async def test_gives_state_and_version(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)
        await ledger.change(pot("2021-Q3"), lambda it: it.fill(5), ASKED)
        assert ledger.load(pot("2021-Q3")) == (Pot(Money(5)), 2)

    async def test_as_of_a_position(self, ledger: Ledger) -> None:
        await ledger.record(open_pot, ASKED)
        await ledger.change(pot("2021-Q3"), lambda it: it.fill(5), ASKED)
        assert ledger.load(pot("2021-Q3"), as_of=1) == (Pot(Money(0)), 1)
        with pytest.raises(NoSuchPot):
            ledger.load(pot("2021-Q3"), as_of=0)

    def test_refuses_what_is_not_there(self, ledger: Ledger) -> None:
        with pytest.raises(NoSuchPot, match="2021-Q3"):
            ledger.load(pot("2021-Q3"))

    async def test_sees_what_another_process_wrote(self, opening: Opening) -> None:
        one, other = opening(), opening()
        await one.record(open_pot, ASKED)
        assert other.load(pot("2021-Q3"))[1] == 1
        await one.change(pot("2021-Q3"), Pot.fill, ASKED)
        assert other.load(pot("2021-Q3"))[1] == 2

    async def test_forgets_what_was_used_longest_ago(self, opening: Opening) -> None:
        ledger = opening(most_remembered_bytes=2_000)
        await ledger.record(partial(open_pots, names=[f"Q{number}" for number in range(20)]), ASKED)
        assert [ledger.load(pot(f"Q{number}"))[1] for number in range(20)] == [1] * 20


class TestEntries:
    async def test_of_one_award_and_in_portions(self, ledger: Ledger) -> None:
        for number in range(6):
            await ledger.record(partial(open_pot, name=f"Q{number}", award=f"AWARD-{number % 2}"), ASKED)
        assert [entry.position for entry in ledger.entries(after=2, limit=2)] == [3, 4]
        assert [entry.position for entry in ledger.entries(award="AWARD-1")] == [2, 4, 6]
        assert [entry.position for entry in ledger.entries(award="AWARD-1", after=2, upto=5)] == [4]
        assert [entry.award_sequence for entry in ledger.entries(award="AWARD-1")] == [1, 2, 3]

    async def test_each_names_the_leaf_before_it_in_its_award(self, ledger: Ledger) -> None:
        for number in range(6):
            await ledger.record(partial(open_pot, name=f"Q{number}", award=f"AWARD-{number % 2}"), ASKED)
        entries = ledger.entries(award="AWARD-0")
        assert [entry.previous for entry in entries[1:]] == [entry.leaf for entry in entries[:-1]]


class TestHead:
    def test_of_an_empty_log(self, ledger: Ledger) -> None:
        assert (ledger.head().size, ledger.head().root, ledger.head().recorded_at) == (0, merkle.EMPTY_ROOT, None)

    async def test_the_root_computed_anew_is_the_last_head_s(self, ledger: Ledger) -> None:
        for number in range(20):
            await ledger.record(partial(open_pots, names=[f"{number}-{part}" for part in range(number % 3 + 1)]), ASKED)
        rows = ledger.log.reads.rows(limit=1_000)
        assert [row.position for row in rows] == list(range(1, len(rows) + 1))
        assert all(row.leaf == leaf_of(row.header, row.state) for row in rows)
        assert ledger.head().root == merkle.root(row.leaf for row in rows)

    async def test_recorded_time_never_goes_back(self, ledger: Ledger, clock: Clock) -> None:
        await ledger.record(open_pot, ASKED)
        clock.go(hours=-1)
        await ledger.change(pot("2021-Q3"), Pot.fill, ASKED)
        first, second = ledger.entries()
        assert first.recorded_at == second.recorded_at

    async def test_tells_how_far_the_log_went_at_a_moment(self, ledger: Ledger, clock: Clock) -> None:
        before = clock()
        clock.go(hours=1)
        await ledger.record(open_pot, ASKED)
        clock.go(hours=1)
        await ledger.change(pot("2021-Q3"), Pot.fill, ASKED)
        assert [ledger.size_at(moment) for moment in (before, clock.moment.replace(hour=10), clock.moment)] == [0, 1, 2]

    async def test_tells_it_for_every_moment_of_commits_of_different_sizes(self, ledger: Ledger, clock: Clock) -> None:
        moments = [(clock(), 0)]
        for number, entries in enumerate((3, 1, 1, 7, 2, 1, 5), start=1):
            clock.go(hours=1)
            if number == 4:  # Two commits at one moment: what counts is how many there were after both.
                await ledger.record(partial(open_pots, names=["at-once"]), ASKED)
            done = await ledger.record(partial(open_pots, names=[f"{number}-{each}" for each in range(entries)]), ASKED)
            moments.append((clock(), done.last))
        assert [ledger.size_at(moment) for moment, _ in moments] == [size for _, size in moments]
        assert [ledger.size_at(moment + timedelta(minutes=30)) for moment, _ in moments] == [size for _, size in moments]


class TestNaming:
    @pytest.mark.parametrize("award", ["2", "0", "Z", "POJ"])
    def test_takes_no_other_number_or_word_of_a_header_for_an_award(self, ledger: Ledger, award: str) -> None:
        ledger.record_now(partial(open_pot, award=award), ASKED)
        for other in ("INDIGO-POJ", "INDIGO-Z", f"INDIGO.{award}", f"{award}-INDIGO", f"{award}Z"):
            ledger.record_now(partial(open_pot, award=other), ASKED)
            ledger.record_now(partial(open_pot, award=other, name="2021-Q4"), ASKED)
        ledger.record_now(lambda _: {Stream("pot/of-no-award", Pot): (PotOpened(amount=Money(1)),)}, ASKED)
        size = ledger.head().size
        assert ledger.log.reads.naming(award, 1, size) == (size - 1, 0)
        assert ledger.log.reads.naming(award, 0, size) == (size, 1)
        assert ledger.log.reads.naming("INDIGO-Z", 0, size) == (size, 2)


class TestWake:
    async def test_rings_after_a_commit(self, ledger: Ledger) -> None:
        with ledger.subscribe_wake() as wake:
            assert not wake.wait(0.001)
            await ledger.record(open_pot, ASKED)
            assert wake.wait(1)
            assert not wake.wait(0.001)

    async def test_rings_for_another_ledger_of_this_process_too(self, opening: Opening) -> None:
        with opening().subscribe_wake() as wake:
            await opening().record(open_pot, ASKED)
            assert wake.wait(1)


class TestFacts:
    async def test_a_command_reads_several_streams(self, ledger: Ledger) -> None:
        await ledger.record(partial(open_pots, names=["Q1", "Q2"]), ASKED)

        def close_the_emptier(facts: Facts) -> Decision:
            facts.prefetch([pot("Q1"), pot("Q2"), pot("Q9")])
            assert facts[pot("Q1")] == Pot(Money(0))
            assert facts.get(pot("Q9")) is None
            with pytest.raises(NoSuchPot):
                facts[pot("Q9")]
            return {pot("Q1"): (facts[pot("Q1")].fill(5),), pot("Q2"): (facts[pot("Q2")].fill(-5),)}

        assert (await ledger.record(close_the_emptier, ASKED)).last == 4

    async def test_thousands_of_streams_are_read_in_few_statements(self, opening: Opening) -> None:
        names = [f"line-{number}" for number in range(3_000)]
        await opening().record(partial(open_pots, names=names), ASKED)

        def read_all(facts: Facts) -> Decision:
            facts.prefetch(map(pot, names))
            assert all(facts[pot(name)].amount == 0 for name in names)
            return {}

        assert (await opening().record(read_all, ASKED)).entries == ()

    async def test_a_closed_pot_is_not_filled(self, ledger: Ledger) -> None:
        from tests.ledger.pots import PotClosed

        await ledger.record(open_pot, ASKED)
        await ledger.change(pot("2021-Q3"), lambda _: PotClosed(), ASKED)
        with pytest.raises(PotIsClosed):
            await ledger.change(pot("2021-Q3"), Pot.fill, ASKED)


def _told_to(tell: Callable[[str], object]) -> Any:
    """How a pot changes, with every event told."""
    evolve = Pot.evolve.__func__  # type: ignore[attr-defined]

    def told(of: type[Pot], state: Pot | None, event: Event, by: PersonId) -> Any:
        tell(event.type)
        return evolve(of, state, event, by)

    return classmethod(told)
