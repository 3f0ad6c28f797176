"""Accounts: the sums of postings as they stand, so that a balance of now costs the same however many postings there are.

A sum is kept for each month of the effective date: what stood at a month's end, and so at a year's end, is in them too.
"""

from datetime import date
from functools import lru_cache
from typing import ClassVar, Final

from domain.postings import Account
from projections.postings import MOVING
from projections.projection import Column, Key, Tally, unchanged

NOBODY: Final = ""
"""What stands in a key for no outcome, or no payer: no key has a column without a value."""


@lru_cache(8_192)
def _month_written(day: date) -> str:
    return day.isoformat()[: len("2022-03")]


class AccountsTally(Tally):
    """The sum of an award's postings on each account, by month of the effective date such as `2022-03`; in pence."""

    name: ClassVar[str] = "accounts"
    version: ClassVar[int] = 1
    folds = MOVING
    key = ("award", "stage", "outcome", "payer", "year", "month")
    columns = (*(Column(name, "text", unchanged, unchanged) for name in key), Column("amount", "bigint", unchanged, unchanged))

    def key_of(self, award: str | None, account: Account) -> Key:
        """The account, by the month of its effective date."""
        stage, outcome, payer, year, effective = account
        return award, stage, outcome or NOBODY, payer or NOBODY, year, _month_written(effective)
