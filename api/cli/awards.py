"""`awards`, `balances`, `trail`, and `import award`."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from api.cli.access import Access, DataDir, KeyFile, KeyText, act, key_of, settings_with
from api.cli.accounts import show_award, show_overview
from api.cli.asking import Asking, AsOf, Doing, EffectiveOn, asks, does, names_of
from api.cli.documents import read_json
from api.cli.screen import AsJson, pounds, say, table, tell_json

PANEL: Final = "Awards"

importing: Final = typer.Typer(
    no_args_is_help=True, help="Bring in what stands in files: an award's JSON, a claim's lines as CSV."
)

Award = Annotated[str, typer.Argument(help="The award's reference, such as INDIGO-POJ-0175.", show_default=False)]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("awards", rich_help_panel=PANEL)(show_awards)
    app.command(rich_help_panel=PANEL)(balances)
    app.command(rich_help_panel=PANEL)(trail)
    app.command(rich_help_panel=PANEL)(agree)
    app.add_typer(importing, name="import", rich_help_panel=PANEL)
    importing.command("award")(import_award)


@asks
def show_awards(asking: Asking) -> None:
    """List the awards that your key opens.

    For example:

      lcledger awards --as-of 2022-03-31T23:59:59Z
    """
    if (found := asking.rows("/awards")) is None:
        return
    heads = [
        ("award", "left"),
        ("title", "left"),
        ("status", "left"),
        ("claims", "right"),
        ("assessed", "right"),
        ("limit", "right"),
    ]
    rows = [
        (
            each["reference"],
            each["title"],
            each["status"],
            str(each["claims"]),
            pounds(each["assessed"]),
            pounds(each["award_amount"]) if each["award_amount"] else "",
        )
        for each in found
    ]
    table("Awards", heads, rows)


def balances(
    award: Annotated[str | None, typer.Argument(help="The award's reference.", show_default=False)] = None,
    *,
    every: Annotated[bool, typer.Option("--all", help="All awards, a row for each.")] = False,
    as_of: AsOf = None,
    effective_on: EffectiveOn = None,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """What was claimed, accepted, assessed, paid, and what remains.

    Of one award by year, payer and outcome, or of all awards, a row for each; now, or as of a moment. Examples:

      lcledger balances INDIGO-POJ-0175
      lcledger balances --all --as-of 2021-11-05T10:00:00Z
      lcledger balances INDIGO-POJ-0175 --effective-on 2022-03-31 --json
    """
    if every == (award is not None):
        raise typer.BadParameter("name an award, or say --all")
    ours = settings_with(data_dir)

    async def look(me: Access) -> list[Any]:
        names = [award] if award else [each["reference"] for each in await me.every("/awards", as_of=as_of)]
        return [await me.get(f"/awards/{name}/balances", as_of=as_of, effective_on=effective_on) for name in names]

    found = act(ours, key_of(ours, key, key_file), look)
    if as_json:
        tell_json(found if every else found[0])
    elif every:
        show_overview(found, "All awards")
    else:
        show_award(found[0], found[0]["award"])


def trail(
    award: Award,
    *,
    limit: Annotated[int | None, typer.Option(min=1, help="Only so many entries, the last ones.", show_default=False)] = None,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """What happened under an award, in order: when, who, what, which amounts.

    For example:

      lcledger trail INDIGO-POJ-0175 --limit 20
    """
    ours = settings_with(data_dir)

    async def look(me: Access) -> tuple[list[Any], dict[str, str]]:
        return await me.every(f"/awards/{award}/trail"), await names_of(me)

    found, names = act(ours, key_of(ours, key, key_file), look)
    shown = found[-limit:] if limit else found
    if as_json:
        tell_json(shown)
        return
    heads = [("position", "right"), ("recorded", "left"), ("person", "left"), ("what", "left"), ("amounts", "left")]
    table(f"Trail of {award}", heads, (_row(each, names) for each in shown))


def _row(entry: dict[str, Any], names: dict[str, str]) -> tuple[str, ...]:
    moved = ", ".join(f"{stage} {pounds(amount)}" for stage, amount in entry["amounts"].items())
    person = names.get(entry["person"] or "", entry["person"] or "")
    return str(entry["position"]), entry["recorded_at"][:16].replace("T", " "), person, entry["sentence"], moved


@does
def agree(doing: Doing, award: Award) -> None:
    """Agree an award with its first terms, as a second administrator; `lcledger terms agree` agrees further ones.

    For example:

      lcledger agree INDIGO-POJ-0175 --key-file second-administrator.key
    """
    doing.do(f"/awards/{award}/agreement", None, f"{award} is agreed", f"{award} could be agreed")


def import_award(
    file: Annotated[Path, typer.Argument(help="The award's registration, as POST /v1/awards takes it.", show_default=False)],
    *,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is wrong, and record nothing.")] = False,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Register an award from a JSON file: reference, title, sources, terms.

    All that contradicts itself in the terms is told at once. A second person agrees the award afterwards. Example:

      lcledger import award INDIGO-POJ-0175.json --dry-run
    """
    ours = settings_with(data_dir)
    body = read_json(file)
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send("/awards", body, dry_run=dry_run))
    if as_json:
        tell_json(done)
    elif dry_run:
        say(f"✓ {body['reference']} could be registered; nothing was recorded.")
    else:
        say(
            f"✓ {body['reference']} is registered at position {done['position']}.",
            f"It means nothing until a second administrator agrees it: lcledger agree {body['reference']}",
        )
