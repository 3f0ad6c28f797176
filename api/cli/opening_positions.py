"""`opening-position`: where an award stood that ran elsewhere, proposed by one person and agreed by another."""

from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import typer

from api.cli.access import DataDir, Declined, Json, KeyFile, KeyText, Mistaken, act, key_of, settings_with
from api.cli.awards import PANEL, Award, read_json
from api.cli.claims import by_row
from api.cli.closing import Document, DryRun, tell
from api.cli.screen import AsJson, pounds, say, table, tell_json

opening_position: Final = typer.Typer(
    no_args_is_help=True, help="Where an award stood that ran elsewhere until now: brought in once, by two persons."
)


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(opening_position, name="opening-position", rich_help_panel=PANEL)


@opening_position.command()
def propose(
    award: Award,
    file: Annotated[Path, typer.Argument(help="The position as JSON, as its route takes it.", show_default=False)],
    *,
    lines: Annotated[
        Path | None,
        typer.Option(help="What participants had accepted, as CSV.", show_default=False, exists=True, dir_okay=False),
    ] = None,
    document: Document = None,
    dry_run: DryRun = False,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Propose where an award stood; nothing counts until a second person agrees.

    All that is wrong is told at once, of lines row by row, as the file counts them. Columns: participant, outcome, quantity,
    achieved_on, assessed. For example:

      lcledger opening-position propose INDIGO-POJ-0175 position.json --lines participants.csv --dry-run
    """
    ours = settings_with(data_dir)
    body = read_json(file)
    if not isinstance(body, dict):
        raise Mistaken(f"{file} is no JSON object.")
    body |= {"lines_csv": _text(lines)} if lines else {}
    body |= {"document_sha256": sha256(document.read_bytes()).hexdigest()} if document else {}
    path = f"/awards/{award}/opening-position"
    try:
        done = act(ours, key_of(ours, key, key_file), lambda me: me.send(path, body, dry_run=dry_run))
    except Declined as declined:
        raise (by_row(declined) if lines else declined) from None
    said = f"The opening position of {award} is proposed; a second person agrees it: lcledger opening-position agree {award}"
    tell(done, said, f"The opening position of {award} could be proposed", as_json=as_json)


@opening_position.command()
def agree(
    award: Award,
    *,
    dry_run: DryRun = False,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Agree an opening position, as a second person: from now on it counts, and what is due falls due here.

    For example:

      lcledger opening-position agree INDIGO-POJ-0175 --key-file second-administrator.key
    """
    ours = settings_with(data_dir)
    path = f"/awards/{award}/opening-position/agreement"
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send(path, dry_run=dry_run))
    said = f"The opening position of {award} is agreed: lcledger balances {award}"
    tell(done, said, f"The opening position of {award} could be agreed", as_json=as_json)


@opening_position.command()
def withdraw(
    award: Award,
    *,
    reason: Annotated[str, typer.Option(help="Why; it is kept in the vault.", show_default=False)],
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw an opening position that nobody agreed yet, or turn it down; another one may be proposed.

    For example:

      lcledger opening-position withdraw INDIGO-POJ-0175 --reason "A column was missing."
    """
    ours = settings_with(data_dir)
    path = f"/awards/{award}/opening-position/withdrawal"
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send(path, {"reason": reason}))
    tell(done, f"The opening position of {award} is withdrawn", "It could be withdrawn", as_json=as_json)


@opening_position.command()
def show(
    award: Award, *, key: KeyText = None, key_file: KeyFile = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Show an opening position, and what became of it.

    For example:

      lcledger opening-position show INDIGO-POJ-0175
    """
    ours = settings_with(data_dir)
    found = act(ours, key_of(ours, key, key_file), lambda me: me.get(f"/awards/{award}/opening-position"))
    if as_json:
        tell_json(found)
        return
    opened = f" by assessment {found['assessment']}" if found["assessment"] else ""
    say(
        f"Opening position of {award}, as it stood on {found['stands_on']}: {found['status']}{opened}",
        f"  reason  {found['reason']}",
        f"  lines   {found['lines']:,} of participants",
    )
    _tell_outcomes(found)
    _tell_payers(found)
    _tell_splits(found)


def _tell_outcomes(found: Json) -> None:
    heads = [("year", "left"), ("outcome", "left"), ("quantity", "right"), ("assessed", "right")]
    rows = [(each["year"], each["outcome"], each["quantity"], pounds(each["assessed"])) for each in found["outcomes"]]
    table("Outcomes", heads, rows, ["", "", "", pounds(found["assessed"])])
    if found["years"]:
        heads = [("year", "left"), ("other payments", "right"), ("unfunded", "right")]
        others = [(each["year"], pounds(each["other_payments"]), pounds(each["unfunded"])) for each in found["years"]]
        table("Beside outcomes", heads, others, ["", pounds(found["other_payments"]), pounds(found["unfunded"])])


def _tell_payers(found: Json) -> None:
    stages = ("allotted", "paid", "due", "owed_back")
    heads = [("year", "left"), ("payer", "left"), *((stage.replace("_", " "), "right") for stage in stages)]
    rows = [(each["year"], each["payer"], *(pounds(each[stage]) for stage in stages)) for each in found["payers"]]
    table("Payers", heads, rows, ["", "", *(pounds(found[stage]) for stage in stages)])


def _tell_splits(found: Json) -> None:
    heads = [("terms", "left"), ("payer", "left"), ("part", "right"), ("of G", "right")]
    rows = [
        (f"version {each['version']}", payer, pounds(part), pounds(each["split"]))
        for each in found["splits"]
        for payer, part in each["parts"].items()
    ]
    table("Parts", heads, rows)


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise Mistaken(f"{file} is not UTF-8.") from None
