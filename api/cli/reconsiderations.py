"""`reconsideration`: curtailed lines assessed anew against today's headroom, proposed by one person, agreed by another."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from api.cli.access import Json
from api.cli.asking import Doing, does
from api.cli.awards import Award
from api.cli.lines import named, tell_effect, told
from api.cli.proposals import Column, Name, Noun, Reason, install_group
from api.cli.screen import pounds

_ABOUT: Final = "Curtailed lines, assessed anew against today's headroom: by two persons."


def install(app: typer.Typer) -> None:
    """Add the commands."""
    install_group(app, _NOUN, _ABOUT, propose)


@does
def propose(
    doing: Doing,
    award: Award,
    name: Name,
    lines: Annotated[list[str], typer.Argument(help="The lines, each as CLAIM:LINE.", show_default=False)],
    *,
    reason: Reason,
) -> None:
    """Propose that curtailed lines be assessed anew; nothing moves until a second person agrees.

    For example:

      lcledger reconsideration propose INDIGO-POJ-0175 RC-2022-1 2021-Q3:4 2021-Q3:9 --reason "Room after the clawback."
    """
    _NOUN.propose(doing, award, {"reconsideration": name, "lines": [named(line) for line in lines], "reason": reason})


def _details(found: Json) -> Sequence[tuple[str, str]]:
    return (("lines", told(found["lines"])), ("reason", found["reason"]), ("gained", found["gained"] and pounds(found["gained"])))


_NOUN: Final = Noun(
    word="reconsideration",
    key="reconsideration",
    path="reconsiderations",
    example="RC-2022-1",
    agreeing="what its lines gain becomes due",
    columns=(
        Column("lines", "right", lambda each: str(each["lines"])),
        Column("gained", "right", lambda each: pounds(each["gained"]) if each["gained"] else ""),
    ),
    details=_details,
    effect=tell_effect,
)
