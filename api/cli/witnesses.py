"""`witness`: remember how far a log goes, and sign only what goes on from there; for somebody other than who runs the log."""

import time
from pathlib import Path
from typing import Annotated, Final

import typer

from api import logs
from api.cli.access import Mistaken, settings_with
from api.cli.entries import PANEL
from api.cli.screen import say
from api.settings import key_in, make_key
from ledger.notes import COSIGNATURE, NOTE, NoteIsWrong, Signer, Verifier, names_a_signer

_KEY_FILE: Final = "witness.key"


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel=PANEL)(witness)


def witness(
    name: Annotated[str, typer.Argument(help="The witness's name, best an address without https://.", show_default=False)],
    log: Annotated[
        list[str], typer.Option(help="A log's key, as `lcledger log keys` lists it; again for more.", show_default=False)
    ],
    folder: Annotated[
        Path, typer.Option(help="Folder of the witness's key, made on the first start, and of what it remembers.")
    ] = Path("lcledger-witness"),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8001,
) -> None:
    """Witness logs: cosign a checkpoint only if it goes on from the last one (C2SP tlog-witness), until SIGTERM or Ctrl-C.

    Run it on a machine of your own, and give those who run the log the key and the address that it prints, as
    LCLEDGER_WITNESSES. What it signed last stands in the folder, a file for each log. For example:

      lcledger witness witness.investor.example --log 'life-chances-ledger/3f0c77a1d2b94e55+1a2b3c4d+AT…'
    """
    from api.cli.serving import serve_app
    from api.witnesses import create_app
    from ledger.witness import Witness

    ours = settings_with()
    logs.configure(ours.log_level, ours.log_format)
    try:
        known = [Verifier.read(each) for each in log]
    except NoteIsWrong as wrong:
        raise Mistaken(f"{wrong}; whoever runs the log lists its keys with `lcledger log keys`.") from None
    if any(each.kind != NOTE for each in known):
        raise Mistaken("A log's key is one that signs notes, not one that cosigns.")
    if not names_a_signer(name):
        raise Mistaken(f"A witness's name is one word without +, such as witness.investor.example; this is {name!r}.")
    signer = Signer(_seed(folder))
    verifier = Verifier(name, signer.public, COSIGNATURE)
    if any(each.public == signer.public for each in known):
        raise Mistaken("A log is no witness of itself: this is the witness's own key.")
    say(f"LCLEDGER_WITNESSES: {verifier.vkey} and the address at which others reach this one.")
    serve_app(create_app(Witness(verifier.name, signer, known, folder, time.time)), ours, host, port)


def _seed(folder: Path) -> bytes:
    """The witness's key, made on the first start."""
    file = folder / _KEY_FILE
    if not file.exists():
        make_key(file)
    return key_in(file)
