"""What was signed for audit packs: kept as it was signed first, so that a pack stays the same whoever signs the log later.

A text is known by its *subject*: its SHA-256, but for its line on `keys.txt`, if it has one, as that file names whoever signed.
"""

from collections.abc import Callable
from hashlib import sha256
from typing import Final, NamedTuple

from ledger import notes
from ledger.ledger import Ledger
from ledger.log import PACK_SIGNATURE, Damaged
from ledger.notes import NoteIsWrong, Signer, Verifier

KEYS: Final = "keys.txt"
"""The file of a pack that names the keys by which it was signed."""


class PackSignature(NamedTuple):
    """A text as it was signed first, and the public half of the key that did."""

    key: bytes
    note: str


def subject_of(text: str) -> str:
    """By what a text is found again, whichever key signed it."""
    said = "".join(line for line in text.splitlines(keepends=True) if not line.endswith(f"  {KEYS}\n"))
    return sha256(said.encode()).hexdigest()


def first(ledger: Ledger, origin: str, signer: Signer, text_of: Callable[[bytes], str]) -> PackSignature:
    """A text as it was signed first; it is signed now if it never was, and that is on disk when this returns.

    `text_of` is the text as a key, by its public half, would sign it. Raises `Damaged` if what is kept is not what was signed.
    """
    text = text_of(signer.public)
    subject = subject_of(text)
    found = ledger.log.reads.pack_signature(subject)
    if found is None:
        note = notes.written(text, [signer.sign(origin, text)])
        ledger.log.keep("pack_signatures", PACK_SIGNATURE, [(subject, signer.public, note)])
        found = ledger.log.reads.pack_signature(subject)  # Another process may have been as quick, and with another key.
    if found is None:
        raise Damaged("what was signed for an audit pack is gone at once")
    kept = PackSignature(*found)
    try:
        signed, _ = notes.opened(kept.note, [Verifier(origin, kept.key)])
    except NoteIsWrong as wrong:
        raise Damaged(f"what was signed for an audit pack is not as it was signed: {wrong}") from wrong
    if signed != text_of(kept.key):
        raise Damaged("what was signed for an audit pack is another text")
    return kept
