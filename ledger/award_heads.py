"""Award heads: how many entries an award has, and the last one's leaf, signed: so that nobody can leave out its end.

Every entry of an award names the leaf of the one before it and its own number. So whoever has an award's entries sees that none
is missing between the first and the last, and by its head that the last is the last, as of a checkpoint of the whole log. It is a
signed note (C2SP signed-note) of six lines, which can be taken for no checkpoint:

    life-chances-ledger/award-head/v1
    <origin of the log>
    <award>
    <how many entries it has>
    <leaf of the last, in base64>
    <size of the log>
"""

import base64
import binascii
import re
from dataclasses import dataclass
from typing import Final, Self

from ledger import notes
from ledger.checkpoints import Checkpoints, KeyIsAnother, Signed
from ledger.ledger import Ledger
from ledger.log import Damaged
from ledger.notes import NoteIsWrong, Signer

HEADING: Final = "life-chances-ledger/award-head/v1"
_NUMBER: Final = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
_LEAF_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class AwardHead:
    """An award's last entry within the first `size` entries of a log."""

    origin: str
    award: str
    entries: int
    leaf: bytes
    size: int

    @property
    def text(self) -> str:
        """What is signed, byte by byte."""
        leaf = base64.b64encode(self.leaf).decode()
        return f"{HEADING}\n{self.origin}\n{self.award}\n{self.entries}\n{leaf}\n{self.size}\n"

    @classmethod
    def read(cls, text: str) -> Self:
        """The award head of a note's text; `NoteIsWrong` if it is none."""
        try:
            heading, origin, award, entries, encoded, size, end = text.split("\n")
            leaf = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            raise NoteIsWrong("the note is no award head") from None
        numbers = _NUMBER.fullmatch(entries) and _NUMBER.fullmatch(size)
        if heading != HEADING or not origin or not award or not numbers or len(leaf) != _LEAF_BYTES or end:
            raise NoteIsWrong("the note is no award head")
        return cls(origin, award, int(entries), leaf, int(size))


def sign(ledger: Ledger, checkpoints: Checkpoints, award: str, signed: Signed, signer: Signer) -> str | None:
    """The head of an award as of a checkpoint, signed; nothing if the award had no entries then.

    Raises `KeyIsAnother`, `Damaged`.
    """
    head = to_sign(ledger, checkpoints, award, signed, signer)
    return None if head is None else notes.written(head.text, [signer.sign(signed.origin, head.text)])


def to_sign(ledger: Ledger, checkpoints: Checkpoints, award: str, signed: Signed, signer: Signer) -> AwardHead | None:
    """The head of an award as of a checkpoint, of which the last entry is proved to be under the checkpoint's root.

    That it is the last is looked up in the headers of all that come after it, up to the checkpoint. Nothing if the award had no
    entries then. Raises `KeyIsAnother` if this is not the key to sign it, and `Damaged`.
    """
    if signer.public != checkpoints.key():
        raise KeyIsAnother(KeyIsAnother.__doc__)
    tip = ledger.log.reads.tip_at(award, signed.size)
    if tip is None:
        return None
    position, entries, leaf = tip
    checkpoints.tree.inclusion(position - 1, signed.size, checkpoints.root_of(signed))
    if ledger.log.reads.naming(award, position, signed.size) != (signed.size - position, 0):
        raise Damaged.found(f"after entry {position}, the last of {award}, entries are missing or name the award as well")
    return AwardHead(signed.origin, award, entries, leaf, signed.size)
