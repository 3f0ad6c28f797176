"""Documents that the command line is shown: of some only the hash is recorded (L4), of others what they say."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.access import Mistaken

Document = Annotated[
    Path | None,
    typer.Option(
        help="The document that says so; only its SHA-256 is recorded.", exists=True, dir_okay=False, show_default=False
    ),
]


def sha256_of(document: Path | None) -> str | None:
    """The SHA-256 of a document's bytes, in hexadecimal; nothing of none."""
    return sha256(document.read_bytes()).hexdigest() if document else None


def read_json(file: Path) -> Any:
    """What stands in a JSON file; `Mistaken` says where it is none."""
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as wrong:
        raise Mistaken(f"{file} is not JSON: {wrong.msg}, in line {wrong.lineno}.") from None


def read_text(file: Path) -> str:
    """What stands in a file of text, with or without a byte order mark."""
    try:
        return file.read_text("utf-8-sig")
    except UnicodeDecodeError:
        raise Mistaken(f"{file} is not UTF-8.") from None
