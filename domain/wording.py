"""How amounts, days and what leads to them are written for people."""

from collections.abc import Iterable
from datetime import date

from domain.money import PENCE_A_POUND, Money, Quantity, value


def pounds(amount: Money) -> str:
    """An amount as people write it.

    >>> pounds(Money.parse("-1234.50"))
    '−£1,234.50'
    """
    whole, pence = divmod(abs(int(amount)), PENCE_A_POUND)
    return f"{'−' if amount < 0 else ''}£{whole:,}.{pence:02d}"


def day(on: date) -> str:
    """A day as people write it.

    >>> day(date(2025, 3, 14))
    '14 March 2025'
    """
    return f"{on.day} {on:%B %Y}"


def many(count: int, what: str) -> str:
    """So many of something.

    >>> many(1, "line"), many(2, "line")
    ('1 line', '2 lines')
    """
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def listed(words: Iterable[str]) -> str:
    """Several things as people list them.

    >>> listed(["2 accepted", "1 rejected", "1 deferred"])
    '2 accepted, 1 rejected and 1 deferred'
    """
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last


def quoted(price: Money, per: int) -> str:
    """A price as people quote it.

    >>> quoted(Money.parse("850.00"), 7), quoted(Money.parse("1400.00"), 1)
    ('£850.00 per 7', '£1,400.00 each')
    """
    return f"{pounds(price)} each" if per == 1 else f"{pounds(price)} per {per}"


def valued(price: Money, quantity: Quantity, per: int) -> str:
    """How a quantity is valued (M3), to be worked out again by whoever reads it.

    >>> valued(Money.parse("850.00"), Quantity.parse("24"), 7)
    '£850.00 × 24 ÷ 7 = £2,914.29'
    """
    by = "" if per == 1 else f" ÷ {per}"
    return f"{pounds(price)} × {quantity}{by} = {pounds(value(price, quantity, per))}"
