"""Business days are London's; a financial year runs from April to March."""

from datetime import UTC, date, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from domain.calendar import Day, FinancialYear, financial_year, london_day

DAY: TypeAdapter[date] = TypeAdapter(Day)
YEAR: TypeAdapter[str] = TypeAdapter(FinancialYear)


@pytest.mark.parametrize(
    ("day", "year"),
    [
        (date(2022, 3, 31), "2021-22"),
        (date(2022, 4, 1), "2022-23"),
        (date(1999, 12, 31), "1999-00"),
        (date(2000, 1, 1), "1999-00"),
        (date(1, 1, 1), "0000-01"),
        (date(9999, 12, 31), "9999-00"),
    ],
)
def test_a_financial_year_turns_on_the_first_of_april(day: date, year: str) -> None:
    assert financial_year(day) == year
    assert YEAR.validate_python(year) == year


@pytest.mark.parametrize("wrong", ["2021", "2021-2022", "2021-21", "2021-23", "21-22", "2021/22", " 2021-22", "2021-22\n"])
def test_nothing_else_is_a_financial_year(wrong: str) -> None:
    with pytest.raises(ValidationError):
        YEAR.validate_python(wrong)


@pytest.mark.parametrize(
    ("moment", "day"),
    [
        (datetime(2021, 6, 30, 22, 59, 59, tzinfo=UTC), date(2021, 6, 30)),
        (datetime(2021, 6, 30, 23, 0, tzinfo=UTC), date(2021, 7, 1)),
        (datetime(2021, 12, 31, 23, 59, 59, tzinfo=UTC), date(2021, 12, 31)),
    ],
)
def test_a_day_begins_at_midnight_in_london(moment: datetime, day: date) -> None:
    assert london_day(moment) == day


@pytest.mark.parametrize("wrong", ["2021-02-29", "2021-6-30", "30/06/2021", "2021-06-30T00:00:00", 1625007600, 1.5, None, ""])
def test_a_day_is_a_day_and_no_time_or_number(wrong: object) -> None:
    with pytest.raises(ValidationError):
        DAY.validate_python(wrong)
    with pytest.raises(ValidationError):
        DAY.validate_python(datetime(2021, 6, 30, tzinfo=UTC))


def test_a_day_goes_in_and_out_as_the_same_string() -> None:
    assert DAY.dump_json(DAY.validate_json('"2024-02-29"')) == b'"2024-02-29"'
