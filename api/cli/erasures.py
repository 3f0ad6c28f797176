"""`erase`: what may have to go goes from the vault, after a look at how much it is, and a question."""

from dataclasses import replace
from typing import Annotated, Any, Final

import typer

from api.cli.asking import Doing, does
from api.cli.awards import PANEL

_ASKED: Final = "-"


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(erase)


@does
def erase(
    doing: Doing,
    award: Annotated[str, typer.Argument(help="The award's reference.", show_default=False)],
    *,
    reason: Annotated[
        str, typer.Option(help="data-subject-request, retention-ended or entered-in-error.", show_default=False, prompt=True)
    ],
    participant: Annotated[
        list[str] | None,
        typer.Option(help="The provider's reference; - asks for it, so that no history keeps it. May be repeated."),
    ] = None,
    token: Annotated[list[str] | None, typer.Option(help="A participant's token, as a claim's lines show it.")] = None,
    text: Annotated[list[str] | None, typer.Option(help="A text's commitment, as the award's list of texts shows it.")] = None,
    claim: Annotated[list[str] | None, typer.Option(help="A claim of which every text is to go.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
) -> None:
    """Erase participants' references and texts of an award from the vault, for good. What was counted stands.

    For example, being asked for the participant's reference, and again before it is done:

      lcledger erase INDIGO-POJ-0175 --reason data-subject-request --participant -
    """
    named = [typer.prompt("Participant's reference") if each == _ASKED else each for each in participant or ()]
    body = {"reason": reason, "participants": named, "tokens": token or [], "texts": text or [], "claims": claim or []}
    path = f"/awards/{award}/erasures"
    going = f"{_counted(replace(doing, dry_run=True).send(path, body))} of {award}"
    if not (yes or doing.dry_run):
        typer.confirm(f"{going} will go, for good. Erase?", abort=True, err=True)
    doing.do(path, body, "Erased", f"{going} could be erased")


def _counted(tried: Any) -> str:
    """How much a dry run would have erased."""
    events = [each["event"] for each in tried["entries"] if each["type"] == "erasure.recorded"]
    participants, texts = (sum(len(event.get(name, ())) for event in events) for name in ("participants", "texts"))
    return f"{participants} participants' references and {texts} texts"
