"""What the command line says: tables and bars for people, JSON for machines, and each refusal with its faults, a line each."""

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, Final

import orjson
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

REFUSED: Final = 1
"""What the program ends with when something was refused or is wrong (2 says that the command itself was mistyped)."""
_PIPED_WIDTH: Final = 160
_WIDEST: Final = 400

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]


def console() -> Console:
    """Where answers go. A pipe gets wide lines, so that nothing is cut."""
    return Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False, soft_wrap=not sys.stdout.isatty())


def complaints() -> Console:
    """Where everything goes that is no answer."""
    return Console(stderr=True, highlight=False, soft_wrap=True)


def say(*lines: str) -> None:
    """Print lines as they are; what is in square brackets is no markup."""
    out = console()
    for line in lines:
        out.print(Text(line))


def tell_json(answer: Any) -> None:
    """Print an answer as indented JSON."""
    sys.stdout.write(orjson.dumps(answer, option=orjson.OPT_INDENT_2).decode() + "\n")


def complain(message: str, faults: Iterable[tuple[str, str]] = ()) -> None:
    """Say what was refused, and each fault on a line of its own."""
    out = complaints()
    out.print(Text(f"✗ {message}", style="red"))
    for where, what in faults:
        out.print(Text(f"  {where}: {what}"))


def table(
    title: str, columns: Sequence[tuple[str, str]], rows: Iterable[Sequence[str]], totals: Sequence[str] | None = None
) -> None:
    """Print a table. A column has a heading and `left` or `right`; figures on the right are never broken."""
    shown = Table(title=title, title_justify="left", title_style="bold", show_footer=totals is not None, box=SIMPLE_HEAD)
    for number, (heading, side) in enumerate(columns):
        footer = totals[number] if totals else ""
        right = side == "right"
        shown.add_column(
            heading, justify="right" if right else "left", footer=footer, overflow="fold", no_wrap=right or number == 0
        )
    for row in rows:
        shown.add_row(*(Text(cell) for cell in row))
    out = console()
    # A table that is wider than the terminal is printed whole all the same: figures that are cut are wrong figures.
    needed = out.measure(shown, options=out.options.update(max_width=_WIDEST)).minimum
    out.print(shown, width=max(needed, min(out.width, _WIDEST)), crop=False, soft_wrap=False, no_wrap=False)


def pounds(amount: str | int) -> str:
    """An amount as people write it; `"1234.50"` or pence.

    >>> pounds("1234.50")
    '£1,234.50'
    """
    text = str(amount) if isinstance(amount, str) else f"{amount / 100:.2f}"
    sign, bare = ("−", text[1:]) if text.startswith("-") else ("", text)
    whole, _, pence = bare.partition(".")
    return f"{sign}£{int(whole):,}.{pence or '00'}"


def under_way(line: str) -> None:
    """Say how far something long has come, on a line beside its answer."""
    complaints().print(Text(line, style="dim"))


def bar(*, still: bool = False) -> Progress:
    """A progress bar on a terminal; elsewhere it says nothing.

    A still one moves when something is done, not by itself, and goes when all is: nothing computes beside what is measured.
    """
    out = complaints()
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=out,
        auto_refresh=not still,
        transient=still,
        disable=not sys.stderr.isatty(),
    )
