"""`close`, `complete`, `pause`, `resume`, `reopen`: the steps in an award's life."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from api.cli.access import DataDir, KeyFile, KeyText, Mistaken, act, key_of, settings_with
from api.cli.awards import PANEL, Award
from api.cli.screen import AsJson, say, tell_json
from domain.award import Step

DryRun = Annotated[bool, typer.Option("--dry-run", help="Say whether it could be done, and record nothing.")]
Reason = Annotated[str | None, typer.Option(help="Why; it is kept in the vault.", show_default=False)]
Document = Annotated[
    Path | None, typer.Option(help="The document that says so; only its SHA-256 is recorded.", exists=True, dir_okay=False)
]
Agreed = Annotated[bool, typer.Option("--agree", help="Agree it, as a second administrator.")]
Withdrawn = Annotated[bool, typer.Option("--withdraw", help="Withdraw it, or turn it down.")]

_DONE: Final = {Step.PAUSE: "paused", Step.RESUME: "active again", Step.REOPEN: "open to claims again"}


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=PANEL)(close)
    app.command(rich_help_panel=PANEL)(complete)
    for step in Step:
        app.command(step.value, rich_help_panel=PANEL, help=_HELP[step])(_command(step))


def close(
    award: Award,
    *,
    dry_run: DryRun = False,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Take no more claims under an award.

    What is deferred lapses, and the unused commitment goes back to the fund; what is due is paid all the same. Example:

      lcledger close INDIGO-POJ-0172 --dry-run
    """
    ours = settings_with(data_dir)
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send(f"/awards/{award}/closing", dry_run=dry_run))
    tell(done, f"{award} is closed to claims", f"{award} could be closed to claims", as_json=as_json)


def complete(
    award: Award,
    *,
    dry_run: DryRun = False,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Say that nothing is left to pay or to get back under an award that is closed; what is, is listed.

    For example:

      lcledger complete INDIGO-POJ-0172
    """
    ours = settings_with(data_dir)
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send(f"/awards/{award}/completion", dry_run=dry_run))
    tell(done, f"{award} is completed", f"{award} could be completed", as_json=as_json)


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
    def take(
        award: Award,
        *,
        reason: Reason = None,
        document: Document = None,
        agree: Agreed = False,
        withdraw: Withdrawn = False,
        dry_run: DryRun = False,
        key: KeyText = None,
        key_file: KeyFile = None,
        data_dir: DataDir = None,
        as_json: AsJson = False,
    ) -> None:
        if [reason is not None, agree, withdraw].count(True) != 1:
            raise typer.BadParameter("propose it with --reason, or say --agree or --withdraw")
        ours = settings_with(data_dir)
        path, body = f"/awards/{award}/step", None
        if agree or withdraw:
            path += "/agreement" if agree else "/withdrawal"
            _expect(step, award, act(ours, key_of(ours, key, key_file), lambda me: me.get(f"/awards/{award}")))
        else:
            body = {
                "step": step,
                "reason": reason,
                "document_sha256": sha256(document.read_bytes()).hexdigest() if document else None,
            }
        done = act(ours, key_of(ours, key, key_file), lambda me: me.send(path, body, dry_run=dry_run))
        if agree:
            said, could = f"{award} is {_DONE[step]}", f"{award} could be {_DONE[step]}"
        elif withdraw:
            said, could = f"To {step} {award} is no longer proposed", f"The proposal to {step} {award} could be withdrawn"
        else:
            said = f"To {step} {award} is proposed; a second administrator agrees it: lcledger {step} {award} --agree"
            could = f"To {step} {award} could be proposed"
        tell(done, said, could, as_json=as_json)

    return take


def _sha256(document: Path | None) -> str | None:
    return sha256(document.read_bytes()).hexdigest() if document else None


def _expect(step: Step, award: str, found: dict[str, Any]) -> None:
    """Nobody agrees to another step than the one they named."""
    proposed = found["step"] and found["step"]["step"]
    if proposed and proposed != step:
        raise Mistaken(f"To {proposed} {award} is proposed, not to {step} it.")


def tell(done: dict[str, Any], said: str, could: str, *, as_json: bool) -> None:
    """Say what was done, or what a dry run says could be."""
    if as_json:
        tell_json(done)
    else:
        say(f"✓ {could}; nothing was recorded." if done["dry_run"] else f"✓ {said}.")
