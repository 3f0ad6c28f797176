"""`opening-position`: where an award stood that ran elsewhere, proposed by one person and agreed by another."""

from pathlib import Path
from typing import Annotated, Final

import typer

from api.cli.access import Declined, Json, Mistaken
from api.cli.asking import Asking, Doing, asks, does
from api.cli.awards import PANEL, Award
from api.cli.claims import by_row
from api.cli.documents import Document, read_json, read_text, sha256_of
from api.cli.proposals import Reason
from api.cli.screen import pounds, say, table

opening_position: Final = typer.Typer(
    no_args_is_help=True, help="Where an award stood that ran elsewhere until now: brought in once, by two persons."
)


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(opening_position, name="opening-position", rich_help_panel=PANEL)


@opening_position.command()
@does
def propose(
    doing: Doing,
    award: Award,
    file: Annotated[Path, typer.Argument(help="The position as JSON, as its route takes it.", show_default=False)],
    *,
    lines: Annotated[
        Path | None,
        typer.Option(help="What participants had accepted, as CSV.", show_default=False, exists=True, dir_okay=False),
    ] = None,
    document: Document = None,
) -> None:
    """Propose where an award stood; nothing counts until a second person agrees.

    All that is wrong is told at once, of lines row by row, as the file counts them. Columns: participant, outcome, quantity,
    achieved_on, assessed. For example:

      lcledger opening-position propose INDIGO-POJ-0175 position.json --lines participants.csv --dry-run
    """
    body = read_json(file)
    if not isinstance(body, dict):
        raise Mistaken(f"{file} is no JSON object.")
    body |= {"lines_csv": read_text(lines)} if lines else {}
    body |= {"document_sha256": sha256_of(document)} if document else {}
    said, could = f"The opening position of {award} is proposed", f"The opening position of {award} could be proposed"
    try:
        then = f"A second person agrees it: lcledger opening-position agree {award}"
        doing.do(_address(award), body, said, could, then)
    except Declined as declined:
        raise (by_row(declined) if lines else declined) from None


@opening_position.command()
@does
def agree(doing: Doing, award: Award) -> None:
    """Agree an opening position, as a second person: from now on it counts, and what is due falls due here.

    For example:

      lcledger opening-position agree INDIGO-POJ-0175 --key-file second-administrator.key
    """
    said, could = f"The opening position of {award} is agreed", f"The opening position of {award} could be agreed"
    doing.do(f"{_address(award)}/agreement", None, said, could, f"What stands now: lcledger balances {award}")


@opening_position.command()
@does
def withdraw(doing: Doing, award: Award, *, reason: Reason) -> None:
    """Withdraw an opening position that nobody agreed yet, or turn it down; another one may be proposed.

    For example:

      lcledger opening-position withdraw INDIGO-POJ-0175 --reason "A column was missing."
    """
    said, could = f"The opening position of {award} is withdrawn", f"The opening position of {award} could be withdrawn"
    doing.do(f"{_address(award)}/withdrawal", {"reason": reason}, said, could)


@opening_position.command()
@asks
def show(asking: Asking, award: Award) -> None:
    """Show an opening position, and what became of it.

    For example:

      lcledger opening-position show INDIGO-POJ-0175
    """
    if (found := asking.answer(_address(award))) is None:
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


def _address(award: str) -> str:
    return f"/awards/{award}/opening-position"


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
