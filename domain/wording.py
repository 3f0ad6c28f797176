"""How amounts and days are written for people."""

from datetime import date

from domain.money import PENCE_A_POUND, Money


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
