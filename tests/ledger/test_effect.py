"""What is in effect on a day, of what was recorded by a position: two questions that do not depend on each other."""

from datetime import date

import pytest

from domain.money import Money
from ledger.ledger import Ledger, Request
from tests.ledger.conftest import Clock
from tests.ledger.pots import KIRKLEES, NoSuchPot, PotFilled, open_pot, pot

POT = pot("2021-Q3")
OPENED, FILLED, LATE = date(2024, 7, 1), date(2024, 7, 3), date(2024, 7, 8)


@pytest.fixture
def filled(ledger: Ledger, clock: Clock) -> Ledger:
    """Opened on 1 July; £5 on 8 July with effect from 3 July, and £2 on the same day without a date."""
    ledger.record_now(open_pot, Request(KIRKLEES))
    clock.go(days=7)
    ledger.change_now(POT, lambda _: PotFilled(amount=Money(5_00), on=FILLED), Request(KIRKLEES))
    ledger.change_now(POT, lambda _: PotFilled(amount=Money(2_00)), Request(KIRKLEES))
    return ledger


class TestAStreamOnADay:
    def test_is_the_beginning_that_had_taken_effect_by_then(self, filled: Ledger) -> None:
        seen = {day: filled.load(POT, effective_on=day) for day in (OPENED, date(2024, 7, 2), FILLED, date(2024, 7, 7), LATE)}
        assert [(state.amount, version) for state, version in seen.values()] == [
            (Money(0), 1),
            (Money(0), 1),
            (Money(5_00), 2),
            (Money(5_00), 2),
            (Money(7_00), 3),
        ]

    def test_is_absent_before_its_first_entry(self, filled: Ledger) -> None:
        with pytest.raises(NoSuchPot):
            filled.load(POT, effective_on=date(2024, 6, 30))

    def test_is_as_now_on_the_day_of_its_last_entry_and_after(self, filled: Ledger) -> None:
        assert filled.load(POT, effective_on=LATE) == filled.load(POT, effective_on=date.max) == filled.load(POT)

    def test_knows_only_what_was_recorded_by_a_position(self, filled: Ledger) -> None:
        assert filled.load(POT, 1, FILLED)[1] == 1
        assert filled.load(POT, 2, date.max)[1] == 2
        assert filled.load(POT, 3, OPENED)[1] == 1

    def test_leaves_what_is_remembered_as_it_is(self, filled: Ledger) -> None:
        filled.load(POT, effective_on=OPENED)
        assert filled.load(POT)[0].amount == Money(7_00)

    def test_begins_at_midnight_in_london(self, ledger: Ledger, clock: Clock) -> None:
        clock.go(hours=13, minutes=45)  # 23:15 UTC is a quarter past midnight in British Summer Time.
        ledger.record_now(open_pot, Request(KIRKLEES))
        assert ledger.load(POT, effective_on=date(2024, 7, 2))[1] == 1
        with pytest.raises(NoSuchPot):
            ledger.load(POT, effective_on=date(2024, 7, 1))

    def test_is_read_on_when_it_is_long(self, ledger: Ledger, clock: Clock) -> None:
        ledger.record_now(open_pot, Request(KIRKLEES))
        ledger.record_now(lambda _: {POT: [PotFilled(amount=Money(1)) for _ in range(1_200)]}, Request(KIRKLEES))
        assert ledger.load(POT, effective_on=OPENED) == ledger.load(POT)
