"""A witness: somebody else who remembers how far a log went, and signs only what goes on from there (C2SP tlog-witness).

For each log that it knows it keeps the last checkpoint that it signed, in a file of its own, on disk before anybody has the
signature. So whoever runs a log cannot show the witness one history and others another.
"""

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Final
from urllib.parse import quote

from ledger import durable_file, merkle, notes
from ledger.checkpoints import Checkpoint
from ledger.lock_file import LockFile
from ledger.notes import COSIGNATURE, NoteIsWrong, Signer, Verifier
from ledger.proofs import MOST_HASHES, ProofIsWrong, verify_consistency

TEXT: Final = "text/plain; charset=utf-8"
SIZE: Final = "text/x.tlog.size"
MOST_BYTES: Final = 64 * 1024
"""A request is no longer."""
_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a witness says: an HTTP status, and a body of a kind."""

    status: int
    body: str
    kind: str = TEXT


class _No(Exception):
    """The witness does not sign this."""

    def __init__(self, status: int, why: str, kind: str = TEXT) -> None:
        super().__init__(why)
        self.answer = Answer(status, f"{why}\n", kind)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request: from which size on, by which proof, to which checkpoint."""

    old: int
    proof: Sequence[bytes]
    text: str
    note: str
    checkpoint: Checkpoint

    def written(self) -> str:
        """As it is sent."""
        hashes = "".join(f"{base64.b64encode(each).decode()}\n" for each in self.proof)
        return f"old {self.old}\n{hashes}\n{self.note}"

    @classmethod
    def read(cls, body: str) -> "Asked":
        """A request as it was sent; `NoteIsWrong` if it is none."""
        told, blank, note = body.partition("\n\n")
        first, *lines = told.split("\n")
        old = _OLD.fullmatch(first)
        if old is None or not blank or len(lines) > MOST_HASHES:
            raise NoteIsWrong("the request does not begin with an old size and a proof")
        try:
            proof = [base64.b64decode(line, validate=True) for line in lines]
        except binascii.Error:
            raise NoteIsWrong("a line of the proof is no hash") from None
        text, _ = notes.parsed(note)
        return cls(int(old[1]), proof, text, note, Checkpoint.read(text))


class Witness:
    """A witness of some logs, each known by its keys. What it remembers is in a folder, which no other witness may use."""

    def __init__(self, name: str, signer: Signer, logs: Sequence[Verifier], folder: Path, clock: Callable[[], float]) -> None:
        self.verifier = Verifier(name, signer.public, COSIGNATURE)
        self._signer = signer
        self._logs: Mapping[str, Sequence[Verifier]] = {
            origin: [each for each in logs if each.name == origin] for origin in {each.name for each in logs}
        }
        self._folder = folder
        self._clock = clock
        self._turn = Lock()

    def add(self, body: str) -> Answer:
        """Sign a checkpoint that goes on from the last one, or say why not: the answer to `add-checkpoint`."""
        try:
            asked = Asked.read(body)
            self._expect_signed(asked)
            with self._turn, LockFile(self._folder / "witness.lock"):
                return self._sign(asked)
        except NoteIsWrong as wrong:
            return Answer(400, f"{wrong}\n")
        except _No as no:
            return no.answer

    def last(self, origin: str) -> tuple[str, Checkpoint] | None:
        """The last checkpoint of a log that was signed, with its note; nothing if none was."""
        try:
            note = self._file(origin).read_text("utf-8")
        except FileNotFoundError:
            return None
        text, _ = notes.opened(note, [self.verifier])
        return note, Checkpoint.read(text)

    def _expect_signed(self, asked: Asked) -> None:
        known = self._logs.get(asked.checkpoint.origin)
        if known is None:
            raise _No(404, "this log is not known here")
        try:
            notes.opened(asked.note, known)
        except NoteIsWrong:
            raise _No(403, "no key that is known of this log has signed the checkpoint") from None
        if asked.old > asked.checkpoint.size:
            raise _No(400, "the old size is beyond the checkpoint")

    def _sign(self, asked: Asked) -> Answer:
        now = asked.checkpoint
        found = self.last(now.origin)
        last = found[1] if found else Checkpoint(now.origin, 0, merkle.EMPTY_ROOT)
        if asked.old != last.size:
            raise _No(409, str(last.size), SIZE)
        if now.size == last.size and now.root != last.root:
            raise _No(409, str(last.size), SIZE)
        self._expect_consistent(last, asked)
        line = self._signer.cosign(self.verifier.name, asked.text, int(self._clock()))
        self._put(now.origin, asked.note + str(line))
        return Answer(200, str(line))

    def _expect_consistent(self, last: Checkpoint, asked: Asked) -> None:
        if not last.size and asked.proof:
            raise _No(422, "of an empty log there is nothing to prove")
        try:
            if last.size:
                verify_consistency(last.size, asked.checkpoint.size, last.root, asked.checkpoint.root, asked.proof)
        except ProofIsWrong as wrong:
            raise _No(422, str(wrong)) from None

    def _put(self, origin: str, note: str) -> None:
        with durable_file.written(self._file(origin), over=True) as out:
            out.write(note.encode())

    def _file(self, origin: str) -> Path:
        return self._folder / f"{quote(origin, safe='')}.checkpoint"
