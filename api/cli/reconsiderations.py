"""`reconsideration`: curtailed lines assessed anew against today's headroom, proposed by one person, agreed by another."""

import re
from typing import Annotated, Final

import typer

from api.cli.access import DataDir, Json, KeyFile, KeyText, act, key_of, settings_with
from api.cli.awards import PANEL, Award
from api.cli.closing import DryRun, tell
from api.cli.screen import AsJson, pounds, say, tell_json

reconsideration: Final = typer.Typer(
    no_args_is_help=True, help="Curtailed lines, assessed anew against today's headroom: by two persons."
)
Name = Annotated[str, typer.Argument(help="The reconsideration's reference in its award, such as RC-2022-1.", show_default=False)]
_LINE: Final = re.compile(r"(?P<claim>[A-Za-z0-9][A-Za-z0-9._-]{0,63}):(?P<line>[0-9]{1,4})", re.ASCII)


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(reconsideration, name="reconsideration", rich_help_panel=PANEL)


@reconsideration.command()
def propose(
    award: Award,
    name: Name,
    lines: Annotated[list[str], typer.Argument(help="The lines, each as CLAIM:LINE.", show_default=False)],
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the vault.", show_default=False)],
    dry_run: DryRun = False,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Propose that curtailed lines be assessed anew; nothing moves until a second person agrees.

    For example:

      lcledger reconsideration propose INDIGO-POJ-0175 RC-2022-1 2021-Q3:4 2021-Q3:9 --reason "Room after the clawback."
    """
    ours = settings_with(data_dir)
    body = {"reconsideration": name, "lines": [_named(line) for line in lines], "reason": reason}
    path = f"/awards/{award}/reconsiderations"
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send(path, body, dry_run=dry_run))
    tell(done, f"{name} is proposed; a second person agrees it", f"{name} could be proposed", as_json=as_json)


@reconsideration.command()
def agree(
    award: Award,
    name: Name,
    *,
    dry_run: DryRun = False,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Agree a reconsideration, as a second person: what its lines gain becomes due.

    For example:

      lcledger reconsideration agree INDIGO-POJ-0175 RC-2022-1 --key-file second-administrator.key
    """
    ours = settings_with(data_dir)
    path = f"/awards/{award}/reconsiderations/{name}/agreement"
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send(path, dry_run=dry_run))
    tell(done, f"{name} is agreed: lcledger reconsideration show {award} {name}", f"{name} could be agreed", as_json=as_json)


@reconsideration.command()
def withdraw(
    award: Award,
    name: Name,
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the vault.", show_default=False)],
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw a reconsideration that nobody agreed yet, or turn it down.

    For example:

      lcledger reconsideration withdraw INDIGO-POJ-0175 RC-2022-1 --reason "The limit stays."
    """
    ours = settings_with(data_dir)
    path = f"/awards/{award}/reconsiderations/{name}/withdrawal"
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send(path, {"reason": reason}))
    tell(done, f"{name} is withdrawn", f"{name} could be withdrawn", as_json=as_json)


@reconsideration.command()
def show(
    award: Award, name: Name, *, key: KeyText = None, key_file: KeyFile = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Show a reconsideration, and what became of it.

    For example:

      lcledger reconsideration show INDIGO-POJ-0175 RC-2022-1
    """
    ours = settings_with(data_dir)
    found = act(ours, key_of(ours, key, key_file), lambda me: me.get(f"/awards/{award}/reconsiderations/{name}"))
    if as_json:
        tell_json(found)
        return
    lines = ", ".join(f"{each['claim']}:{each['line']}" for each in found["lines"])
    gained = f"; {pounds(found['gained'])} gained by assessment {found['assessment']}" if found["gained"] else ""
    say(f"{found['reconsideration']} of {award}: {found['status']}{gained}", f"  lines   {lines}", f"  reason  {found['reason']}")


def _named(given: str) -> Json:
    found = _LINE.fullmatch(given)
    if found is None:
        raise typer.BadParameter(f"{given} names no line; say CLAIM:LINE, such as 2021-Q3:4")
    return {"claim": found["claim"], "line": int(found["line"])}
