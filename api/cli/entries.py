"""`check`, `rebuild`: the read models, looked over and made anew by whoever runs them."""

from dataclasses import asdict
from typing import Annotated, Final

import typer

from api.cli.access import DataDir, Mistaken, open_ledger, settings_with
from api.cli.screen import REFUSED, AsJson, bar, complain, say, tell_json
from api.settings import Settings

PANEL: Final = "The log"


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=PANEL)(check)
    app.command(rich_help_panel=PANEL)(rebuild)


def check(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Fold the log anew in memory, and compare every row of the read models with it; says which row differs."""
    from api.cli.disclosures import keep
    from projections.views import Views

    ours = settings_with(data_dir)
    expect_ledger(ours)
    with open_ledger(ours) as ledger, Views.open(ours.log_url, ledger) as views, bar() as progress:
        task = progress.add_task("Entries", total=None)
        views.catch_up()
        keep(ours, ledger.log, "lcledger check", as_of=ledger.head().size)
        found = views.check(lambda done, size: progress.update(task, completed=done, total=size))
        total = views.balances.trial_balance()
    differences = [(each.name, difference) for each in found for difference in each.differences]
    if as_json:
        tell_json({"trial_balance": str(total), "models": [asdict(each) for each in found]})
    elif not differences:
        say(f"✓ {', '.join(each.name for each in found)} are what the log says; all postings make {total}")
    if differences or total:
        complain(
            f"The read models are not what the log says; all postings make {total}. `lcledger rebuild` makes them anew.",
            differences,
        )
        raise typer.Exit(REFUSED)


def rebuild(
    data_dir: DataDir = None,
    processes: Annotated[int, typer.Option(min=1, max=2, help="With two, a second core works too, if the log is long.")] = 2,
) -> None:
    """Make the read models anew from the log, beside the old ones, while the service runs; then put them in their place."""
    from projections.views import Views

    ours = settings_with(data_dir)
    expect_ledger(ours)
    with open_ledger(ours) as ledger, Views.open(ours.log_url, ledger) as views, bar() as progress:
        task = progress.add_task("Entries", total=None)
        position = views.rebuild(lambda done, size: progress.update(task, completed=done, total=size), processes=processes)
    say(f"✓ The read models are rebuilt, up to entry {position:,}.")


def expect_ledger(ours: Settings) -> None:
    """Refuse where there is no ledger yet, rather than make one."""
    if ours.embedded and not ours.log_file.exists():
        raise Mistaken(f"There is no ledger in {ours.data_dir}.")
