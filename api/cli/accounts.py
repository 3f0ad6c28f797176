"""Balances as a fund manager reads them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from api.cli.screen import pounds, table
from domain.money import Money, total

Json = dict[str, Any]
Figure = tuple[str, Callable[[Json], Money | None]]


def _named(name: str) -> Callable[[Json], Money | None]:
    def figure(row: Json) -> Money | None:
        return None if row.get(name) is None else Money.parse(row[name])

    return figure


_UNPAID: Final = ("due", "held", "approved", "in_run", "sent", "returned")


def _outstanding(row: Json) -> Money:
    return total(Money.parse(row[stage]) for stage in _UNPAID)


_OF_CLAIMS: Final[tuple[Figure, ...]] = (
    ("claimed", _named("claimed")),
    ("undecided", _named("undecided")),
    ("accepted", _named("accepted")),
    ("rejected", _named("rejected")),
    ("deferred", _named("deferred")),
    ("curtailed", _named("curtailed")),
    ("assessed", _named("assessed")),
)
_OF_PAYMENTS: Final[tuple[Figure, ...]] = (("paid", _named("paid")), ("outstanding", _outstanding))
_LEFT: Final[Figure] = ("remaining", _named("remaining"))
_OVERVIEW: Final = frozenset({"claimed", "accepted", "rejected", "deferred", "assessed"})
_OF_AWARDS: Final = (*(figure for figure in _OF_CLAIMS if figure[0] in _OVERVIEW), *_OF_PAYMENTS, _LEFT)


def show_overview(balances: Sequence[Json], title: str) -> None:
    """A row for each award, and their totals.

    claimed = accepted + rejected + deferred + undecided; accepted = assessed + curtailed + awaiting certification + declined.
    """
    _show(title, "award", "award", balances, _OF_AWARDS)


def show_award(balance: Json, title: str) -> None:
    """One award by financial year, by payer and by outcome."""
    show_years(balance, title)
    payers = (("allotted", _named("allotted")), *_OF_PAYMENTS, ("maximum", _named("limit")), _LEFT)
    _show(f"{title}: by payer", "payer", "payer", balance["payers"], payers)
    _show(f"{title}: by outcome", "outcome", "outcome", balance["outcomes"], _OF_CLAIMS)


def show_years(balance: Json, title: str) -> None:
    """One award by financial year of achievement."""
    _show(f"{title}: by financial year of achievement", "year", "year", balance["years"], (*_OF_CLAIMS, *_OF_PAYMENTS))


def _show(title: str, heading: str, name: str, rows: Iterable[Json], figures: Sequence[Figure]) -> None:
    rows = list(rows)
    found = [[figure(row) for _, figure in figures] for row in rows]
    totals = [_total(column) for column in zip(*found, strict=True)] if found else [None] * len(figures)
    table(
        title,
        [(heading, "left"), *((label, "right") for label, _ in figures)],
        ([str(row[name]), *map(_told, told)] for row, told in zip(rows, found, strict=True)),
        ["total", *map(_told, totals)],
    )


def _total(column: Sequence[Money | None]) -> Money | None:
    known = [amount for amount in column if amount is not None]
    return total(known) if known and len(known) == len(column) else None


def _told(amount: Money | None) -> str:
    return "" if amount is None else pounds(str(amount))
