"""`audit-pack`: everything of an award in one file that an auditor checks elsewhere."""

from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer

from api.cli.access import DataDir, KeyFile, KeyText, act, key_of, settings_with
from api.cli.entries import PANEL
from api.cli.screen import say
from domain.reference import canonical
from ledger import durable_file


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command("audit-pack", rich_help_panel=PANEL)(audit_pack)


def audit_pack(
    award: Annotated[str, typer.Argument(help="The award.", show_default=False)],
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write; <award>.zip unless said.", show_default=False)
    ] = None,
    as_of: Annotated[
        int | None, typer.Option(min=1, help="As of the last checkpoint up to a position.", show_default=False)
    ] = None,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Write all that was recorded of an award into a zip, with its proof and `verify.py`, which checks it without the ledger.

    For auditors and administrators. It is as of the last signed checkpoint. For example:

      lcledger audit-pack INDIGO-POJ-0175 --output INDIGO-POJ-0175.zip
    """
    ours = settings_with(data_dir)
    address = f"/awards/{quote(award, safe='')}/audit-pack"
    packed = act(ours, key_of(ours, key, key_file), lambda me: me.file(address, as_of=as_of))
    file = output or Path(f"{canonical(award)}.zip")
    with durable_file.written(file, over=True) as out:
        out.write(packed)
    say(f"✓ {file} has all that was recorded of {canonical(award)} ({len(packed):,} bytes).")
    say("  Whoever has it unpacks it and runs `python verify.py` there.")
