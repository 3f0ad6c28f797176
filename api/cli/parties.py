"""`parties`: organisations by their org-ids."""

from typing import Annotated, Final

import typer

from api.cli.access import DataDir, KeyFile, KeyText, act, key_of, settings_with
from api.cli.screen import AsJson, say, table, tell_json

parties: Final = typer.Typer(no_args_is_help=True, help="Organisations, by their org-ids (org-id.guide).")


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(parties, name="parties", rich_help_panel="People")


@parties.command("list")
def show(key: KeyText = None, key_file: KeyFile = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the parties."""
    ours = settings_with(data_dir)
    found = act(ours, key_of(ours, key, key_file), lambda me: me.every("/parties"))
    if as_json:
        tell_json(found)
    else:
        table("Parties", [("party", "left"), ("name", "left")], ((each["party"], each["name"]) for each in found))


@parties.command()
def add(
    party: Annotated[str, typer.Argument(help="The org-id, such as GB-LAE-KIR.", show_default=False)],
    name: Annotated[str, typer.Argument(help="What it is called.", show_default=False)],
    *,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Register an organisation.

    For example:

      lcledger parties add GB-LAE-KIR "Kirklees Council"
    """
    ours = settings_with(data_dir)
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send("/parties", {"party": party, "name": name}))
    if as_json:
        tell_json(done)
    else:
        say(f"✓ {party} is registered.")
