"""`clawback`: what was accepted in error is taken back, proposed by one person, agreed by another."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from api.cli.access import Json
from api.cli.asking import Doing, does
from api.cli.awards import Award
from api.cli.lines import counted, tell_effect, told
from api.cli.proposals import Column, Name, Noun, install_group
from api.cli.screen import pounds, table
from domain.claim import ReasonCode

_ABOUT: Final = "Lines taken back that were accepted in error: by two persons. What was paid for them becomes receivable."


def install(app: typer.Typer) -> None:
    """Add the commands."""
    install_group(app, _NOUN, _ABOUT, propose)


@does
def propose(
    doing: Doing,
    award: Award,
    name: Name,
    lines: Annotated[list[str], typer.Argument(help="What is taken back, each as CLAIM:LINE:QUANTITY.", show_default=False)],
    *,
    reason: Annotated[ReasonCode, typer.Option(help="Why; 'other' needs a note.", show_default=False)],
    note: Annotated[str | None, typer.Option(help="Why, in words; it is kept in the vault.", show_default=False)] = None,
) -> None:
    """Propose to take lines back, in whole or in part; nothing moves until a second person agrees.

    For example:

      lcledger clawback propose INDIGO-POJ-0175 CB-2022-1 2021-Q3:4:1 --reason duplicate --note "Claimed in Leeds as well."
    """
    said = {"reason": reason, **({"note": note} if note else {})}
    _NOUN.propose(doing, award, {"clawback": name, "lines": [counted(line) for line in lines], **said})


def _details(found: Json) -> Sequence[tuple[str, str]]:
    dependants = "needed these lines, and went too" if found["dependants_went_too"] else "needed these lines, and stand"
    return (
        ("lines", told(found["lines"])),
        ("reason", found["reason"]),
        ("note", found["note"] or ""),
        ("reversed", pounds(found["reversed"]) if found["reversed"] else ""),
        (dependants, told(found["dependants"])),
    )


def _tell_effect(done: Json) -> None:
    """What is taken back of each line, as a dry run's entries say, and what that is for each payer."""
    rows = [
        (each["stream"].rpartition("/")[2], str(line["line"]), line["outcome"], line["quantity"], pounds(line["reversed"]))
        for each in done["entries"]
        if each["type"] == "claim.lines-reversed" and each["event"]
        for line in each["event"]["lines"]
    ]
    if rows:
        heads = [("claim", "left"), ("line", "right"), ("outcome", "left"), ("quantity", "right"), ("reversed", "right")]
        table("Taken back", heads, rows)
    tell_effect(done)


_NOUN: Final = Noun(
    word="clawback",
    key="clawback",
    path="clawbacks",
    example="CB-2022-1",
    agreeing="its lines are taken back, and what was paid for them becomes receivable",
    columns=(
        Column("reason", "left", lambda each: each["reason"]),
        Column("lines", "right", lambda each: str(each["lines"])),
        Column("reversed", "right", lambda each: pounds(each["reversed"]) if each["reversed"] else ""),
    ),
    details=_details,
    effect=_tell_effect,
)
