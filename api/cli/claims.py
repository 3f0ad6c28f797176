"""`import claims`: a claim whose lines stand in a CSV file."""

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from api.cli.access import Access, DataDir, Declined, Json, KeyFile, KeyText, Mistaken, act, key_of, settings_with
from api.cli.awards import Award, importing
from api.cli.screen import AsJson, say, tell_json


def install(_app: typer.Typer) -> None:
    """Add the command, under `import`."""
    importing.command("claims")(import_claims)


def import_claims(
    award: Award,
    claim: Annotated[str, typer.Argument(help="The claim's reference, such as 2021-Q3.", show_default=False)],
    file: Annotated[Path, typer.Argument(help="The lines, as CSV.", show_default=False)],
    *,
    first: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="First day of the claim's period.", show_default=False)],
    last: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Last day of the claim's period.", show_default=False)],
    claimant: Annotated[
        str | None, typer.Option(help="The provider or SPV, where that is not your own party.", show_default=False)
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is wrong, and record nothing.")] = False,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Submit a claim of up to 5,000 lines from a CSV file: all of it, or nothing.

    What is wrong is told row by row, as the file counts them. Columns: outcome, participant, quantity, achieved_on,
    evidence_sha256, evidence_title, note. For example:

      lcledger import claims INDIGO-POJ-0175 2021-Q3 lines.csv --first 2021-07-01 --last 2021-09-30 --dry-run
    """
    ours = settings_with(data_dir)
    lines = file.read_bytes()
    period = {"period_first": f"{first:%Y-%m-%d}", "period_last": f"{last:%Y-%m-%d}"}
    asked = {"claim": claim, **period, **({"claimant": claimant} if claimant else {})}

    async def submit(me: Access) -> Json:
        return await me.send_csv(f"/awards/{award}/claims", lines, asked, dry_run=dry_run)

    try:
        done = act(ours, key_of(ours, key, key_file), submit)
    except Declined as declined:
        raise by_row(declined) from None
    if as_json:
        tell_json(done)
    else:
        said = "could be submitted; nothing was recorded" if dry_run else f"is submitted at position {done['position']}"
        say(f"✓ {claim} of {award} {said}.")


def by_row(declined: Declined) -> Mistaken:
    """The same, with rows as they are counted in the file: the heading is row 1."""
    faults = [{"where": _row_of(where), "what": what} for where, what in declined.faults]
    return Declined({**declined.problem, "faults": faults})


def _row_of(where: str) -> str:
    kind, _, rest = where.partition(".")
    line, _, column = rest.partition(".")
    return f"row {int(line) + 1}{f', {column}' if column else ''}" if kind == "lines" and line.isdigit() else where
