"""`bench`: how fast the ledger is, beside what it can be measured by.

Modules in the plural are measurements, each with its command. Absolute figures say more of the machine than of the program, so
everything is measured beside something else in the same run, in turns: beside the floor (the least that the same work can cost,
in `yardsticks` of `ledger` and `projections`) and beside the `eventsourcing` library. `grounds` makes databases to measure in,
`histories` what stands in them; `served` is a service to measure, with the `floor` beside it, `clients` ask it, `acting` says
what. `measuring` takes turns and compares, `telling` shows.

A new measurement makes its lines with `measuring.compare`, adds them to its `telling.Report` one by one, so that whoever waits
hears how far it is, and tells them with `telling.tell`.
"""

from typing import Final

import typer

from api.cli.entries import PANEL

benching: Final = typer.Typer(no_args_is_help=True, help="Measure how fast the ledger is, beside what it can be measured by.")


def install(app: typer.Typer) -> None:
    """Add the commands."""
    from api.cli.bench import appends, commands, imports, loads, proofs, rebuilds, soaks, webhooks

    for measurement in (appends, commands, imports, loads, proofs, rebuilds, soaks, webhooks):
        measurement.install(benching)
    app.add_typer(benching, name="bench", rich_help_panel=PANEL)
