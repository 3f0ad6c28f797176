"""`people`: who acts, each for one party."""

from typing import Annotated, Final

import typer

from api.cli.access import DataDir, KeyFile, KeyText, act, key_of, settings_with
from api.cli.screen import AsJson, say, table, tell_json

people: Final = typer.Typer(no_args_is_help=True, help="People: each acts for one party, by keys of their own.")


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(people, name="people", rich_help_panel="People")


@people.command("list")
def show(key: KeyText = None, key_file: KeyFile = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the people, with their names from the vault."""
    ours = settings_with(data_dir)
    found = act(ours, key_of(ours, key, key_file), lambda me: me.every("/people"))
    if as_json:
        tell_json(found)
        return
    heads = [("person", "left"), ("party", "left"), ("name", "left")]
    table("People", heads, ((each["person"], each["party"], each["name"] or "(erased)") for each in found))


@people.command()
def add(
    party: Annotated[str, typer.Argument(help="The org-id of the person's party.", show_default=False)],
    name: Annotated[str, typer.Argument(help="The person's name; it is kept in the vault.", show_default=False)],
    *,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Register a person.

    For example:

      lcledger people add GB-LAE-KIR "A. Commissioner"
    """
    ours = settings_with(data_dir)
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send("/people", {"party": party, "name": name}))
    person = done["entries"][0]["stream"].removeprefix("person/")
    if as_json:
        tell_json({**done, "person": person})
    else:
        say(f"✓ {person} is registered. Give the person a key: lcledger keys issue {person} claimant --award …")
