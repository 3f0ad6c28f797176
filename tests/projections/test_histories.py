"""An award's history step by step, and the causes of what differs between two moments.

And any history of 50 steps through the database: what is stored, and what SQL adds up of it, is what the naive book says.
"""

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import fields, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import count, pairwise
from pathlib import Path
from random import Random
from typing import Any, Final

import pytest

from domain.aggregate import Actor, Command, S, Stream, fold
from domain.award import NoSuchAward, award_stream
from domain.claim import claim_stream
from domain.event import Event
from domain.events import BY_NAME
from domain.money import NOTHING, Money
from domain.payment import payment_stream
from domain.postings import sums
from domain.refusal import Refused
from ledger.ledger import Ledger, Request
from ledger.recheck import recheck
from projections.balances import Of, Totals, figures, sheets_of
from projections.histories import Cause, Step
from projections.views import Views
from tests.domain.histories import Ground, History, play, something
from tests.domain.kirklees import COUNCIL, FUND, REFERENCE
from tests.profiles import CI
from tests.projections.conftest import TODAY, VAULT_KEY, Clock, Story
from tests.projections.stopped import Stopped, recorded_on

LAST: Final = 10**9
MANY: Final = 1_000
HISTORIES: Final = 10 if CI else 3
"""On each database; the first that Hypothesis thinks of is the simplest, in which no money moves."""
STEPS: Final = 50
STOPPED: Final = 5 if CI else 3
"""How many are compared with a ledger that stopped, which is rebuilt at every moment."""
MOMENTS: Final = 4
"""At how many positions of each history everything is asked, and compared, before its end."""


Figures = Counter[tuple[Of, str | None, str]]


@pytest.fixture
def played(story: Story, views: Views) -> Views:
    """Everything, with what was wrong put right."""
    story.whole()
    story.correct()
    views.catch_up()
    return views


def steps_of(views: Views) -> list[Step]:
    return views.histories.replay(REFERENCE, 0, LAST, MANY)


def figures_as_of(views: Views, position: int, day: date | None = None) -> Figures:
    """Every figure as of a moment on both axes, as accounts were posted."""
    found: Figures = Counter()
    for of, sheets in sheets_of(views.balances.accounts(REFERENCE, position, day)).items():
        for name, stages in sheets.items():
            found.update({(of, name, figure): int(amount) for figure, amount in figures(of, stages).items()})
    return found


def summed(causes: Sequence[Cause]) -> Figures:
    found: Figures = Counter()
    for cause in causes:
        found.update({(move.of, move.name, move.figure): int(move.amount) for move in cause.moves})
    return found


def without_limits(totals: Totals) -> Totals:
    return replace(totals, limit=None, remaining=None)


class TestReplay:
    def test_tells_each_entry_with_the_balances_before_and_after_it(self, played: Views, ledger: Ledger) -> None:
        steps = steps_of(played)
        told = [(each.position, each.recorded_at, each.type, each.stream, each.person) for each in steps]
        assert told == [
            (each.position, each.recorded_at, each.type, each.stream, each.person) for each in ledger.entries(award=REFERENCE)
        ]
        for step in steps:
            balances = played.balances.of(REFERENCE, step.position)
            assert vars(step.after) == {each.name: getattr(balances, each.name) for each in fields(Totals)}
        for one, other in pairwise(steps):
            assert without_limits(one.after) == without_limits(other.before)
        assert steps[0].before.claimed == NOTHING

    def test_says_what_changed_and_nothing_else(self, played: Views) -> None:
        positions = [0, *(each.position for each in steps_of(played))]
        for (before, after), step in zip(pairwise(positions), steps_of(played), strict=True):
            assert all(each.difference == each.after - each.before != NOTHING for each in step.changes)
            was, became = figures_as_of(played, before), figures_as_of(played, after)
            assert {(each.of, each.name, each.figure): (each.before, each.after) for each in step.changes} == {
                name: (was[name], became[name]) for name in {*was, *became} if was[name] != became[name]
            }

    def test_is_the_same_page_by_page_and_from_any_position(self, played: Views) -> None:
        steps = steps_of(played)
        for size in (1, 7):
            found: list[Step] = []
            while page := played.histories.replay(REFERENCE.lower(), found[-1].position if found else 0, LAST, size):
                found += page
            assert found == steps
        middle = steps[len(steps) // 2].position
        assert played.histories.replay(REFERENCE, middle, LAST, MANY) == [each for each in steps if each.position > middle]
        assert played.histories.replay(REFERENCE, 0, middle, MANY) == [each for each in steps if each.position <= middle]

    def test_says_on_which_days_an_entry_takes_effect(self, played: Views) -> None:
        steps = {each.type: each.effective_on for each in steps_of(played)}
        assert steps["claim.lines-assessed"] == (date(2021, 7, 14),)
        assert steps["payment.settled"] == steps["award.registered"] == (TODAY,)

    def test_shows_the_limit_once_it_is_agreed(self, played: Views) -> None:
        (agreed,) = [each for each in steps_of(played) if each.type == "award.agreed"]
        assert (agreed.before.limit, agreed.after.limit) == (None, Money.parse("22300000.00"))

    def test_refuses_an_award_that_was_not_there_by_then(self, played: Views) -> None:
        first = steps_of(played)[0].position
        for award, upto in ((REFERENCE, first - 1), ("INDIGO-POJ-9999", LAST)):
            with pytest.raises(NoSuchAward):
                played.histories.replay(award, 0, upto, MANY)
            with pytest.raises(NoSuchAward):
                played.histories.changes(award, 0, upto)
        assert played.histories.replay(REFERENCE, LAST, LAST, MANY) == []


class TestDifference:
    @pytest.mark.parametrize("day", [None, date(2021, 7, 14), TODAY])
    def test_is_the_sum_of_its_causes_between_any_two_moments(self, played: Views, day: date | None) -> None:
        positions = [0, *(each.position for each in steps_of(played))]
        for begin, end in ((0, -1), (0, 8), (5, -3), (9, 9), (-4, -1)):
            before, after = positions[begin], positions[end]
            changes = played.histories.changes(REFERENCE, before, after, day)
            causes, goes_on = played.histories.causes(REFERENCE, before, after, MANY, day)
            was, became = figures_as_of(played, before, day), figures_as_of(played, after, day)
            differs = {name: became[name] - was[name] for name in {*was, *became} if became[name] != was[name]}
            assert something(summed(causes)) == differs
            assert {(each.of, each.name, each.figure): each.difference for each in changes} == differs
            assert {(each.of, each.name, each.figure): each.before for each in changes} == {name: was[name] for name in differs}
            assert goes_on is None

    def test_has_the_same_causes_page_by_page(self, played: Views) -> None:
        whole, _ = played.histories.causes(REFERENCE, 0, LAST, MANY)
        found: list[Cause] = []
        after: int | None = 0
        while after is not None:
            page, after = played.histories.causes(REFERENCE, after, LAST, 3)
            assert 1 <= len(page) <= 3
            found += page
        assert found == whole
        moving = [each.position for each in steps_of(played) if each.changes]
        assert [each.position for each in whole] == moving

    def test_says_who_owes_what_less(self, played: Views) -> None:
        causes, _ = played.histories.causes(REFERENCE, 0, LAST, MANY)
        (recovered,) = [each for each in causes if each.type == "receivable.recovered"]
        assert {(move.name, move.figure): move.amount for move in recovered.moves if move.of == "payer"} == {
            (COUNCIL, "open"): Money(-100_00), (COUNCIL, "recovered"): Money(100_00), (COUNCIL, "cash_out"): Money(-100_00),
        }  # fmt: skip
        assert {move.name for each in causes for move in each.moves if move.of == "payer"} == {COUNCIL, FUND}

    def test_leaves_out_what_takes_effect_later(self, played: Views) -> None:
        causes, _ = played.histories.causes(REFERENCE, 0, LAST, MANY, date(2021, 7, 14))
        assert {each.type.partition(".")[0] for each in causes} == {"claim"}
        assert {day for each in causes for day in each.effective_on} == {date(2021, 7, 14)}


class Stored:
    """One of a ledger's awards."""

    def __init__(self, ledger: Ledger, reference: str) -> None:
        self.ledger, self.reference = ledger, reference

    def play(self, command: Command, by: Actor) -> Sequence[Event]:
        recorded = self.ledger.record_now(command, Request(by))
        return [entry.event for entry in self.ledger.entries(recorded.first - 1, upto=recorded.last)]

    def state(self, stream: Stream[S]) -> S:
        return self.ledger.load(stream)[0]


class TestAnyHistory:
    def test_is_stored_and_added_up_as_the_naive_book_says(self, ledger: Ledger, views: Views) -> None:
        numbers = count(1)

        class StoredHistory(History):
            def prepared(self) -> Ground:
                return Stored(ledger, f"INDIGO-POJ-{next(numbers):04}")

            def _every_balance_is_what_the_book_says(self) -> None:
                super()._every_balance_is_what_the_book_says()
                views.catch_up()
                assert something(views.balances.accounts(self.reference)) == something(self.book.balances())

        assert len(play(StoredHistory, HISTORIES, STEPS)) >= HISTORIES
        for number in range(1, next(numbers)):
            name = f"INDIGO-POJ-{number:04}"
            entries = ledger.entries(award=name, limit=10_000)
            award = ledger.load(award_stream(name))[0]
            streams: list[Stream[Any]] = [award_stream(name), *(claim_stream(name, each) for each in award.claims)]
            for stream in (*streams, *(payment_stream(name, *each) for each in award.payments)):
                happened = [(each.event, each.person) for each in entries if each.stream == stream.name]
                assert ledger.load(stream)[0] == fold(stream.of, happened)
        assert views.balances.trial_balance() == 0
        done = recheck(ledger.log.reads, BY_NAME, balance=sums, size=ledger.head().size)
        assert done.differences == []
        assert (done.entries, len(done.awards)) == (ledger.head().size, next(numbers) - 2)

    def test_is_at_every_moment_what_a_ledger_that_stopped_there_says(
        self, ledger: Ledger, views: Views, clock: Clock, tmp_path: Path
    ) -> None:
        """On each axis by itself: what was recorded by a position, and of that what was in effect on a day, or on any other."""
        numbers = count(1)
        compared = Counter[str]()
        with closing(Stopped(ledger, tmp_path, VAULT_KEY)) as stopped:

            class DatedHistory(History):
                def prepared(self) -> Ground:
                    self.began = ledger.head().size
                    return Stored(ledger, f"INDIGO-POJ-{next(numbers):04}")

                def play(self, command: Command, by: Actor, refused: type[Refused] | None = None) -> Refused | None:
                    clock.moment = max(clock.moment, datetime.combine(self.today, time(9), UTC))
                    return super().play(command, by, refused)

                def teardown(self) -> None:
                    super().teardown()
                    if self.taken < STEPS:
                        return
                    views.catch_up()
                    chance = Random(self.taken + self.recorded)  # noqa: S311 (the same again where a history is played again)
                    last = ledger.head().size
                    for position in (*sorted(chance.sample(range(self.began + 1, last), MOMENTS)), last):
                        stopped.go_on(position)
                        recorded = [recorded_on(ledger, each) for each in (position, chance.randint(self.began + 1, last))]
                        days = (None, *recorded, recorded[1] - timedelta(days=chance.randint(1, 300)), date.max)
                        compared.update(stopped.compare(views, self.reference, days))

            assert len(play(DatedHistory, STOPPED, STEPS)) >= STOPPED
        assert min(compared[kind] for kind in ("claims", "payments", "steps", "differences", "explanations", "trail")) > 0, (
            "there was something to compare"
        )
