"""`export journal`: every event's postings, for a program that we did not write to add up."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

import typer

from api.cli.access import DataDir, Mistaken, open_ledger, settings_with
from api.cli.disclosures import keep
from api.cli.entries import PANEL, expect_ledger
from api.cli.screen import say
from domain.event import Event
from domain.journal import journal
from domain.reference import canonical
from ledger.ledger import Ledger

exporting: Final = typer.Typer(no_args_is_help=True, help="Write what the log says in formats of other programs.")
_AT_ONCE: Final = 500


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(exporting, name="export", rich_help_panel=PANEL)


@exporting.command("journal")
def export_journal(
    *,
    award: Annotated[str | None, typer.Option(help="Of this award only.", show_default=False)] = None,
    as_of: Annotated[int | None, typer.Option(min=1, help="As recorded up to this position.", show_default=False)] = None,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; the screen unless said.", show_default=False)
    ] = None,
    data_dir: DataDir = None,
) -> None:
    """Write all postings as a plain-text journal, that beancount and hledger read.

    Balances come out as `lcledger balances` tells them: to any day, by award, stage, year, outcome and payer. For example:

      lcledger export journal -o journal.beancount
      bean-query journal.beancount "SELECT account, sum(position) WHERE date < 2022-04-01 GROUP BY account"
      hledger -f journal.beancount balance --end 2022-04-01
    """
    ours = settings_with(data_dir)
    expect_ledger(ours)
    with open_ledger(ours) as ledger:
        if award and not ledger.entries(0, 1, award=canonical(award)):
            raise Mistaken(f"There is no award {award}.")
        upto = min(as_of or ledger.head().size, ledger.head().size)
        keep(ours, ledger.log, "lcledger export journal", award=award and canonical(award), as_of=upto)
        blocks = journal(_moving(ledger, award and canonical(award), upto))
        if file is None:
            sys.stdout.writelines(blocks)
            return
        with file.open("w", encoding="utf-8", newline="\n") as written:
            written.writelines(blocks)
    say(f"✓ The journal of the entries up to {upto:,} is in {file}.")


def _moving(ledger: Ledger, award: str | None, upto: int) -> Iterator[tuple[int, str, str, Event]]:
    after = 0
    while entries := ledger.entries(after, _AT_ONCE, award=award, upto=upto):
        for entry in entries:
            if entry.award:
                yield entry.position, entry.award, entry.stream, entry.event
        after = entries[-1].position
