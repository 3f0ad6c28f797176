"""An accrual: what is owed on a date but not paid, and what of the undecided may be expected to become owed (M12)."""

from collections.abc import Mapping
from fractions import Fraction

from domain.calendar import FinancialYear
from domain.money import NOTHING, Money, Share


def expected(undecided: Mapping[FinancialYear, Money], rate: Share) -> dict[FinancialYear, Money]:
    """What of an outcome's undecided value is expected to be accepted, by financial year of achievement.

    The sum over the years is the whole value × rate, rounded once to pence, half away from zero (M12, M3): each year has what
    rounding the sum up to it adds to the sum before it.
    """
    found: dict[FinancialYear, Money] = {}
    so_far, given = NOTHING, NOTHING
    for year, amount in sorted(undecided.items()):
        so_far += amount
        found[year] = _rounded(so_far * Fraction(rate)) - given
        given += found[year]
    return found


def _rounded(pence: Fraction) -> Money:
    whole = int(abs(pence) + Fraction(1, 2))
    return Money(whole if pence >= 0 else -whole)
