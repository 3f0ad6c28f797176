"""The command line, `lcledger`: each module is a noun with its commands; `app` puts them together.

`access` is how they act (as a person, by a key, through the service's own routes, in this process), `asking` what they have in
common, `proposals` what those have that two persons do, `screen` how they speak.
"""

import sys
from typing import Any, Final

import typer
from typer.core import TyperGroup

from api.cli.screen import REFUSED, complain
from ledger.garbage import not_looked_for

_ABOUT: Final = """\
A ledger of outcomes awards: from an award's terms to a settled payment.

Begin with [bold]lcledger demo[/bold]. For a ledger of your own: [bold]lcledger serve[/bold] makes one on its first start, in
LCLEDGER_DATA_DIR, with a key for a first administrator. [bold]lcledger settings[/bold] lists what can be set.

Commands that write act as a person, by the key in LCLEDGER_KEY or --key-file; without one, by the first administrator's of the
embedded ledger.
"""


class _Commands(TyperGroup):
    """Tells what went wrong in words: whoever mistypes or is refused never sees a traceback."""

    def invoke(self, ctx: Any) -> Any:
        from api.cli.faults import told

        try:
            return super().invoke(ctx)
        except BrokenPipeError:  # whoever reads the answer has seen enough
            sys.stdout = sys.stderr
            raise typer.Exit(REFUSED) from None
        except Exception as fault:
            said = told(fault)
            if said is None:
                raise
            complain(*said)
            raise typer.Exit(REFUSED) from None


app: Final = typer.Typer(
    name="lcledger",
    help=_ABOUT,
    cls=_Commands,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _told_version(asked: bool) -> None:
    if asked:
        from api.app import VERSION

        print(VERSION)
        raise typer.Exit


@app.callback()
def _before_all(
    _version: bool = typer.Option(False, "--version", callback=_told_version, is_eager=True, help="Tell the release, and end."),
) -> None:
    pass


def _assemble() -> None:
    from api.cli import (
        audit_packs,
        awards,
        backups,
        bank_details,
        bench,
        checkpoints,
        claims,
        clawbacks,
        closing,
        disclosures,
        entries,
        erasures,
        explanations,
        exports,
        feed,
        histories,
        inspection,
        keys,
        opening_positions,
        other_payments,
        parties,
        payments,
        people,
        programs,
        receivables,
        recheck,
        reconsiderations,
        statements,
        terms,
        webhooks,
        witnesses,
    )

    for noun in (
        programs,
        audit_packs,
        awards,
        terms,
        statements,
        histories,
        feed,
        closing,
        claims,
        clawbacks,
        reconsiderations,
        opening_positions,
        other_payments,
        payments,
        receivables,
        explanations,
        erasures,
        parties,
        bank_details,
        people,
        keys,
        webhooks,
        entries,
        inspection,
        recheck,
        disclosures,
        checkpoints,
        witnesses,
        backups,
        exports,
        bench,
    ):
        noun.install(app)


# What is imported stays: Python would look through all of it, again and again, for a fifth of the time that it takes.
with not_looked_for():
    _assemble()
