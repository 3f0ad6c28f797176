"""Ledgers of pots, on both databases."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from ledger.ledger import Ledger, Request
from tests.ledger.pots import KIRKLEES, POTS, nothing_to_balance, open_pots

VAULT_KEY = b"a key of thirty-two bytes or more"
ENTRIES = 700
"""Of a log that is filled: two full tiles of leaves, and a part of one."""

Opening = Callable[..., Ledger]


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.moment = datetime(2024, 7, 1, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.moment

    def go(self, **by: int) -> None:
        self.moment += timedelta(**by)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def opening(database_url: str, clock: Clock) -> Iterator[Opening]:
    """Opens the test's ledger, as often as it is asked, and closes it at the end."""
    opened: list[Ledger] = []

    def open_(**settings: Any) -> Ledger:
        usual: dict[str, Any] = {"vault_key": VAULT_KEY, "clock": clock, "registry": POTS, "balance_check": nothing_to_balance}
        ledger = Ledger.open(database_url, **usual | settings)
        opened.append(ledger)
        return ledger

    yield open_
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(opening: Opening) -> Ledger:
    return opening()


@pytest.fixture
def filled(ledger: Ledger) -> Ledger:
    """A ledger of `ENTRIES` entries, in two commits."""
    for start in range(0, ENTRIES, 350):
        names = [f"pot-{number}" for number in range(start, start + 350)]
        ledger.record_now(partial(open_pots, names=names), Request(KIRKLEES, key=str(start)))
    return ledger
