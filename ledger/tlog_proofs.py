"""Proofs that others check without us (C2SP tlog-proof): an entry's place, its inclusion proof, and a signed checkpoint.

    c2sp.org/tlog-proof@v1
    index 73894
    gSKyXoYZUgZ6jduWYrkDOARinOMGJveXjgMkBTcdPlQ=
    …

    <the checkpoint, with its signatures>

The index counts from 0: it is the entry's position less 1. What is proved is the entry's leaf, SHA-256(0x00 ‖ entry).
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from typing import Final

from ledger import notes
from ledger.checkpoints import Checkpoint
from ledger.notes import NoteIsWrong, Verifier
from ledger.proofs import MOST_HASHES, ProofIsWrong, verify_inclusion

HEADING: Final = "c2sp.org/tlog-proof@v1"
_INDEX: Final = re.compile(r"index (0|[1-9][0-9]{0,18})", re.ASCII)
_EXTRA: Final = "extra "


def written(index: int, proof: Sequence[bytes], note: str) -> str:
    """A proof, of the leaf at an index, against a checkpoint's note."""
    hashes = "".join(f"{base64.b64encode(each).decode()}\n" for each in proof)
    return f"{HEADING}\nindex {index}\n{hashes}\n{note}"


def verified(told: str, leaf: bytes, known: Iterable[Verifier]) -> tuple[int, Checkpoint]:
    """The index of a leaf and the checkpoint that it is under, signed by a key that is known.

    `ProofIsWrong` or `NoteIsWrong` if anything of it does not hold; what is told as `extra` proves nothing, and is passed over.
    """
    proof, _, note = told.partition("\n\n")
    heading, *lines = proof.split("\n")
    if lines and lines[0].startswith(_EXTRA):
        lines = lines[1:]
    index = _INDEX.fullmatch(lines[0]) if lines else None
    if heading != HEADING or index is None or len(lines) > MOST_HASHES + 1:
        raise ProofIsWrong(f"{ProofIsWrong.__doc__} (it is no {HEADING})")
    try:
        hashes = [base64.b64decode(line, validate=True) for line in lines[1:]]
    except binascii.Error:
        raise ProofIsWrong(f"{ProofIsWrong.__doc__} (a line of it is no hash)") from None
    text, by = notes.opened(note, known)
    checkpoint = Checkpoint.read(text)
    if not any(verifier.name == checkpoint.origin for verifier in by):
        raise NoteIsWrong("the checkpoint is not signed by its own log")
    verify_inclusion(leaf, int(index[1]), checkpoint.size, hashes, checkpoint.root)
    return int(index[1]), checkpoint
