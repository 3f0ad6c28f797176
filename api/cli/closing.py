"""`close`, `complete`, `pause`, `resume`, `reopen`: the steps in an award's life."""

from collections.abc import Callable
from typing import Annotated, Any, Final

import typer

from api.cli.access import Mistaken
from api.cli.asking import Doing, does
from api.cli.awards import PANEL, Award
from api.cli.documents import Document, sha256_of
from domain.award import Step

Reason = Annotated[str | None, typer.Option(help="Why; it is kept in the vault.", show_default=False)]
Agreed = Annotated[bool, typer.Option("--agree", help="Agree it, as a second administrator.")]
Withdrawn = Annotated[bool, typer.Option("--withdraw", help="Withdraw it, or turn it down.")]

_DONE: Final = {Step.PAUSE: "paused", Step.RESUME: "active again", Step.REOPEN: "open to claims again"}


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=PANEL)(close)
    app.command(rich_help_panel=PANEL)(complete)
    for step in Step:
        app.command(step.value, rich_help_panel=PANEL, help=_HELP[step])(_command(step))


@does
def close(doing: Doing, award: Award) -> None:
    """Take no more claims under an award.

    What is deferred lapses, and the unused commitment goes back to the fund; what is due is paid all the same. Example:

      lcledger close INDIGO-POJ-0172 --dry-run
    """
    doing.do(f"/awards/{award}/closing", None, f"{award} is closed to claims", f"{award} could be closed to claims")


@does
def complete(doing: Doing, award: Award) -> None:
    """Say that nothing is left to pay or to get back under an award that is closed; what is, is listed.

    For example:

      lcledger complete INDIGO-POJ-0172
    """
    doing.do(f"/awards/{award}/completion", None, f"{award} is completed", f"{award} could be completed")


_HELP: Final = {
    Step.PAUSE: """Take no claim and approve no payment for a while, by two persons.

    For example:

      lcledger pause INDIGO-POJ-0175 --reason "A dispute over evidence." --document letter.pdf
      lcledger pause INDIGO-POJ-0175 --agree --key-file second-administrator.key
    """,
    Step.RESUME: """Go on with an award that is paused, by two persons.

    For example:

      lcledger resume INDIGO-POJ-0175 --reason "The dispute is settled."
      lcledger resume INDIGO-POJ-0175 --agree --key-file second-administrator.key
    """,
    Step.REOPEN: """Take claims again under an award that was closed or completed, by two persons.

    For example:

      lcledger reopen INDIGO-POJ-0172 --reason "Claims of the last term were forgotten."
      lcledger reopen INDIGO-POJ-0172 --agree --key-file second-administrator.key
    """,
}


def _command(step: Step) -> Callable[..., None]:
    @does
    def take(
        doing: Doing,
        award: Award,
        *,
        reason: Reason = None,
        document: Document = None,
        agree: Agreed = False,
        withdraw: Withdrawn = False,
    ) -> None:
        if [reason is not None, agree, withdraw].count(True) != 1:
            raise typer.BadParameter("propose it with --reason, or say --agree or --withdraw")
        path = f"/awards/{award}/step"
        if agree or withdraw:
            _expect(step, award, doing.get(f"/awards/{award}"))
        if agree:
            doing.do(f"{path}/agreement", None, f"{award} is {_DONE[step]}", f"{award} could be {_DONE[step]}")
        elif withdraw:
            said, could = f"To {step} {award} is no longer proposed", f"The proposal to {step} {award} could be withdrawn"
            doing.do(f"{path}/withdrawal", None, said, could)
        else:
            body = {"step": step, "reason": reason, "document_sha256": sha256_of(document)}
            then = f"A second administrator agrees it: lcledger {step} {award} --agree"
            doing.do(path, body, f"To {step} {award} is proposed", f"To {step} {award} could be proposed", then)

    return take


def _expect(step: Step, award: str, found: dict[str, Any]) -> None:
    """Nobody agrees to another step than the one they named."""
    proposed = found["step"] and found["step"]["step"]
    if proposed and proposed != step:
        raise Mistaken(f"To {proposed} {award} is proposed, not to {step} it.")
