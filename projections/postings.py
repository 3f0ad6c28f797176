"""Postings: what every entry means in money, account by account (`domain.postings`). Balances are their sums."""

from datetime import date
from functools import lru_cache
from typing import ClassVar, Final

from domain.postings import Moving
from projections.projection import Column, Happened, Journal, Stored, hash_of, names_of, unchanged

MOVING: Final = names_of(Moving)
"""The types of the entries that move an amount."""
day_written: Final = lru_cache(8_192)(date.isoformat)
"""An ISO date; the same days stand in most entries."""


def _column(name: str, kind: str) -> Column:
    return Column(name, kind, unchanged, unchanged)


class PostingsJournal(Journal):
    """The postings of every entry that moves an amount. `award` comes first in the key: a balance reads one award's rows."""

    name: ClassVar[str] = "postings"
    version: ClassVar[int] = 2
    folds = MOVING
    key = ("award", "position", "number")
    columns = (
        _column("award", "text"),
        _column("position", "bigint"),
        _column("number", "bigint"),
        _column("stage", "text"),
        _column("outcome", "text"),
        _column("payer", "text"),
        _column("year", "text"),
        _column("effective", "text"),
        _column("amount", "bigint"),
    )

    def digest_of(self, *rows: Stored) -> int:
        """The hash of all that an entry posted, together: two rows and a half cost as much to hash as one."""
        return hash_of(rows) if rows else 0

    def made(self, happened: Happened) -> list[Stored]:
        """The postings of an entry, numbered from 1; amounts are in pence, days are ISO dates."""
        award, position = happened.award, happened.position
        return [
            (award, position, number, stage, outcome, payer, year, day_written(effective), amount)
            for number, ((stage, outcome, payer, year, effective), amount) in enumerate(happened.sums.items(), start=1)
        ]
