"""`accrual`, `statement`, `position`: for the year end."""

from typing import Annotated, Any, Final

import typer

from api.cli.asking import Asking, asks
from api.cli.screen import pounds, say, table

PANEL: Final = "Awards"

OneAward = Annotated[str | None, typer.Argument(help="The award's reference; the whole fund unless said.", show_default=False)]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (accrual, statement, position):
        app.command(rich_help_panel=PANEL)(command)


@asks
def accrual(asking: Asking, award: OneAward = None) -> None:
    """What is owed on a day and not paid, and what is expected of the undecided.

    Of an award, or of the fund with a row for each award. Examples:

      lcledger accrual INDIGO-POJ-0175 --effective-on 2022-03-31
      lcledger accrual --effective-on 2022-03-31 --as-of 2022-05-16T09:00:00Z
    """
    path = f"/awards/{award}/accrual" if award else "/fund/accrual"
    if (found := asking.answer(path)) is None:
        return
    names = ("awaiting", "unpaid", "expected", "accrued", "receivable", "deferred")
    rows, what = (found["years"], "year") if award else (found["awards"], "award")
    _show(f"Accrual of {award or 'all awards'} on {found['effective_on']}", what, rows, names, found)
    if award and found["outcomes"]:
        outcomes = [
            (each["outcome"], pounds(each["undecided"]), each["acceptance_rate"], pounds(each["expected"]))
            for each in found["outcomes"]
        ]
        heads = [("outcome", "left"), ("undecided", "right"), ("acceptance rate", "right"), ("expected", "right")]
        table(f"Expected of the undecided of {award}", heads, outcomes)
    say("accrued = awaiting certification + unpaid + expected of the undecided; receivable and deferred are not in it")


@asks
def statement(asking: Asking, award: OneAward = None) -> None:
    """The financial years: what was owed at the beginning, earned, paid, and owed at the end of each.

    Of an award, or of the fund. Examples:

      lcledger statement INDIGO-POJ-0175
      lcledger statement --effective-on 2022-03-31
    """
    path = f"/awards/{award}/statement" if award else "/fund/statement"
    if (found := asking.answer(path)) is None:
        return
    names = ("opening", "assessed", "other_payments", "unfunded", "paid", "recovered", "written_off", "closing")
    _show(f"Statement of {award or 'all awards'} up to {found['effective_on']}", "year", found["years"], names)
    say("closing = opening + assessed + other payments − unfunded − paid + recovered + written off; less than nothing: owed back")


@asks
def position(asking: Asking) -> None:
    """What is committed, assessed, paid and released over all awards.

    For example:

      lcledger position --effective-on 2024-03-31
    """
    if (found := asking.answer("/fund/position")) is None:
        return
    names = ("limit", "released", "committed", "assessed", "other_payments", "paid", "unpaid", "receivable", "remaining")
    _show(f"The fund's position on {found['effective_on']}", "award", found["awards"], names, found)
    say("committed = limit − released by closing; remaining = committed − assessed − other payments; paid less what came back")


def _show(title: str, what: str, rows: list[dict[str, Any]], names: tuple[str, ...], total: dict[str, Any] | None = None) -> None:
    heads = [(what, "left"), *((name.replace("_", " "), "right") for name in names)]
    told = ([row[what], *(pounds(row[name]) for name in names)] for row in rows)
    table(title, heads, told, ["total", *(pounds(total[name]) for name in names)] if total else None)
