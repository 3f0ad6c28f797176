"""An accrual: the undecided × the expected acceptance rate, rounded once for each outcome (M12)."""

from hypothesis import given
from hypothesis import strategies as st

from domain.accrual import expected
from domain.money import Money, Share

YEARS = ["2019-20", "2020-21", "2021-22", "2022-23"]


def pounds(**amounts: str) -> dict[str, Money]:
    return {f"20{year[1:3]}-{year[4:]}": Money.parse(amount) for year, amount in amounts.items()}


class TestExpected:
    def test_is_undecided_value_times_the_rate_rounded_half_away_from_zero(self) -> None:
        assert expected(pounds(y21_22="0.01"), Share("1/2")) == pounds(y21_22="0.01")
        assert expected(pounds(y21_22="0.01"), Share("49/100")) == pounds(y21_22="0.00")
        assert expected(pounds(y21_22="1400.00"), Share("4/5")) == pounds(y21_22="1120.00")

    def test_is_rounded_once_for_all_years_together(self) -> None:
        thirds = expected(pounds(y19_20="0.01", y20_21="0.01", y21_22="0.01"), Share("1/2"))
        assert sum(thirds.values()) == 2
        assert thirds == pounds(y19_20="0.01", y20_21="0.00", y21_22="0.01")

    @given(st.dictionaries(st.sampled_from(YEARS), st.integers(0, 10**9).map(Money)), st.integers(0, 100))
    def test_comes_to_the_whole_whatever_the_years(self, undecided: dict[str, Money], per_cent: int) -> None:
        rate = Share(f"{per_cent}/100")
        whole = expected({"2019-20": Money(sum(undecided.values()))}, rate)["2019-20"]
        found = expected(undecided, rate)
        assert sum(found.values()) == whole
        assert found.keys() == undecided.keys()
