"""`terms`: an award's terms, version by version: further ones are proposed by one person and agreed by another (M9)."""

from pathlib import Path
from typing import Annotated, Any, Final

import typer

from api.cli.access import Json, Mistaken
from api.cli.asking import Asking, Doing, People, asks, does
from api.cli.awards import PANEL, Award
from api.cli.documents import Document, read_json, sha256_of
from api.cli.lines import tell_effect
from api.cli.proposals import Reason
from api.cli.screen import pounds, say, table, tell_json

terms: Final = typer.Typer(
    no_args_is_help=True, help="An award's terms, version by version; further ones, also back-dated ones, by two persons."
)
Number = Annotated[int, typer.Argument(min=1, help="The number of the version.", show_default=False)]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(terms, name="terms", rich_help_panel=PANEL)


@terms.command("list")
@asks
def show_all(asking: Asking, award: Award) -> None:
    """List the versions of an award's terms, and which is in force.

    For example:

      lcledger terms list INDIGO-POJ-0175
    """
    if found := asking.found(f"/awards/{award}"):
        told, people = found
        heads = [("version", "right"), ("effective from", "left"), ("limit", "right")]
        rows = (_row(each, people, in_force=told["in_force"] == each["number"]) for each in told["versions"])
        table(f"Terms of {award}", [*heads, *((head, "left") for head in ("proposed by", "agreed by", ""))], rows)


def _row(version: Json, people: People, *, in_force: bool) -> tuple[str, ...]:
    said = version["terms"]
    state = "in force" if in_force else "" if version["agreed_by"] else "waits for a second person"
    named = people[version["proposed_by"]], people[version["agreed_by"]]
    return str(version["number"]), said["effective_from"], pounds(said["award_amount"]), *named, state


@terms.command()
@asks
def show(asking: Asking, award: Award, version: Number) -> None:
    """Show a version of an award's terms: rate card and payers. With --json all of it, which `propose` takes when changed.

    For example:

      lcledger terms show INDIGO-POJ-0175 1
      lcledger terms show INDIGO-POJ-0175 1 --json > further.json
    """
    found = next((each for each in asking.get(f"/awards/{award}")["versions"] if each["number"] == version), None)
    if found is None:
        raise Mistaken(f"The terms of {award} have no version {version}.")
    if asking.as_json:
        tell_json(found)
        return
    said = found["terms"]
    why = [("reason", found["reason"]), ("document", found["document_sha256"])]
    say(
        f"Version {version} of {award}, from {said['effective_from']} on; limit {pounds(said['award_amount'])}",
        *(["  A decommitment: it lowers limits under what stands"] if found["decommitment"] else []),
        *(f"  {label:8}  {words}" for label, words in why if words),
    )
    outcomes = ((each["code"], each["title"], pounds(each["price"]), _unit(each)) for each in said["outcomes"])
    table("Outcomes", [("outcome", "left"), ("title", "left"), ("price", "right"), ("per", "left")], outcomes)
    payers = ((each["party"], each["share"], _most(each["maximum"]), each["payee"]) for each in said["payers"])
    table("Payers", [("payer", "left"), ("share", "right"), ("maximum", "right"), ("payee", "left")], payers)


def _unit(outcome: Json) -> str:
    return outcome["unit"] if outcome["per"] == 1 else f"{outcome['per']} × {outcome['unit']}"


def _most(maximum: str | None) -> str:
    return pounds(maximum) if maximum else "none"


@terms.command()
@does
def propose(
    doing: Doing,
    award: Award,
    file: Annotated[
        Path,
        typer.Argument(help="The terms as JSON, or what holds them as `terms`.", exists=True, dir_okay=False, show_default=False),
    ],
    *,
    reason: Reason,
    document: Document = None,
    decommitment: Annotated[
        bool, typer.Option("--decommitment", help="They lower limits under what stands, and change nothing else.")
    ] = False,
) -> None:
    """Propose further terms, for a day that lies ahead or a back-dated one; they mean nothing until a second person agrees.

    --dry-run shows every line that a back-dated version would change, and the net for each payer. Begin with what
    `lcledger terms show` prints with --json, and change it. For example:

      lcledger terms propose INDIGO-POJ-0175 further.json --reason "The board's decision." --document minutes.pdf --dry-run
    """
    body = {
        "terms": _terms(read_json(file)),
        "reason": reason,
        "document_sha256": sha256_of(document),
        "decommitment": decommitment,
    }
    said, could = f"Further terms of {award} are proposed", f"These terms of {award} could be proposed"
    then = f"A second person agrees them, by the number that is told by: lcledger terms list {award}"
    done = doing.do(f"/awards/{award}/terms", body, said, could, then)
    if done and done["effect"]:
        tell_effect(done)


def _terms(found: Any) -> Any:
    return found["terms"] if isinstance(found, dict) and "terms" in found else found


@terms.command()
@does
def agree(doing: Doing, award: Award, version: Number) -> None:
    """Agree further terms, as a second person; back-dated ones reassess what they change.

    --dry-run shows, before anybody agrees, every line that will change and the net for each payer. For example:

      lcledger terms agree INDIGO-POJ-0175 2 --dry-run --key-file second-administrator.key
      lcledger terms agree INDIGO-POJ-0175 2 --key-file second-administrator.key
    """
    said, could = f"Version {version} of {award} is agreed", f"Version {version} of {award} could be agreed"
    if done := doing.do(f"/awards/{award}/terms/{version}/agreement", None, said, could):
        tell_effect(done)
