"""Business dates: Europe/London calendar days, and financial years from April to March."""

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator

LONDON: Final = ZoneInfo("Europe/London")
_APRIL: Final = 4
_YEAR = re.compile(r"([0-9]{4})-([0-9]{2})", re.ASCII)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


def _only_iso(value: Any) -> Any:
    if isinstance(value, datetime) or not (isinstance(value, date) or (isinstance(value, str) and _DAY.fullmatch(value))):
        raise ValueError("must be a day such as '2021-06-30'")
    return value


Day = Annotated[date, BeforeValidator(_only_iso)]
"""A calendar day in Europe/London, `"2021-06-30"` outside; a number or a time is refused."""


def _financial_year(text: str) -> str:
    found = _YEAR.fullmatch(text)
    if not found or (int(found[1]) + 1) % 100 != int(found[2]):
        raise ValueError("must be a financial year such as '2021-22'")
    return text


FinancialYear = Annotated[str, AfterValidator(_financial_year)]
"""April to March, `"2021-22"`."""


@lru_cache(maxsize=4_096)  # asked of every posting
def financial_year(day: date) -> str:
    """The financial year in which a day lies.

    >>> financial_year(date(2022, 3, 31))
    '2021-22'
    """
    start = day.year if day.month >= _APRIL else day.year - 1
    return f"{start:04d}-{(start + 1) % 100:02d}"


def first_day(year: str) -> date:
    """The first day of a financial year.

    >>> first_day("2021-22")
    datetime.date(2021, 4, 1)
    """
    return date(int(year[:4]), _APRIL, 1)


def last_day(year: str) -> date:
    """The last day of a financial year.

    >>> last_day("2021-22")
    datetime.date(2022, 3, 31)
    """
    return date(int(year[:4]) + 1, _APRIL, 1) - timedelta(days=1)


def london_day(moment: datetime) -> date:
    """The calendar day in Europe/London of a moment (which must know its zone)."""
    return moment.astimezone(LONDON).date()
