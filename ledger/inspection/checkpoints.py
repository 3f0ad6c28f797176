"""What was signed or published: the log holds it, at that size and under that root, and the keys follow from one another."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from typing import Final

from domain.log import LOG, KeyIntroduced, LogRestored, SealedHead, introduction
from ledger import notes
from ledger.checkpoints import LEAF_DIGITS, Checkpoint, Signed
from ledger.entry import Registry, reader
from ledger.inspection.findings import Findings
from ledger.notes import COSIGNATURE, Line, NoteIsWrong, Verifier
from ledger.pack_signatures import subject_of
from ledger.snapshot import Snapshot

_AT_ONCE: Final = 500
_SAID: Final = "SELECT position, state, leaf FROM entries WHERE stream = ? ORDER BY position"
_PACKED: Final = "SELECT subject, key, note FROM pack_signatures WHERE subject > ? ORDER BY subject LIMIT ?"
_UNNAMED: Final = "SELECT count(*) FROM pack_signatures WHERE subject = ''"
_ORPHANS: Final = "SELECT size, witness FROM cosignatures WHERE size NOT IN (SELECT size FROM checkpoints) ORDER BY size"


class Checkpoints:
    """What was signed of a log, and what its own account says of restores and keys."""

    def __init__(self, reads: Snapshot, findings: Findings, registry: Registry) -> None:
        self._reads = reads
        self._findings = findings
        self._restores: list[tuple[int, LogRestored]] = []
        self._keys: list[tuple[int, KeyIntroduced]] = []
        self._account(registry)
        self.sizes = frozenset(each.size for each in self._all())
        """The sizes of which the roots are wanted."""

    def _account(self, registry: Registry) -> None:
        read = reader(registry)
        for position, state, _ in self._reads.ask(_SAID, LOG.name):
            try:
                event, _ = read(state)
            except (ValueError, KeyError, TypeError) as wrong:
                self._findings.note("entry", position, f"what it says of the log cannot be read ({type(wrong).__name__})")
                continue
            if isinstance(event, LogRestored):
                self._restores.append((position, event))
            elif isinstance(event, KeyIntroduced):
                self._keys.append((position, event))

    def inspect(self, roots: Mapping[int, bytes], *, current: bytes | None = None) -> None:
        """Compare each checkpoint with the roots of the log. `current` is the key that signs now, where whoever asks has it."""
        self._rotation()
        keys = self._succession()
        if current is not None and keys and keys[-1][1] != current:
            self._findings.note("key", keys[-1][0] or None, "the log is signed by another key than the one that you have")
        for signed in self._all():
            self._findings.count("checkpoints")
            if (text := self._signed(signed, keys)) is not None:
                self._cosigned(signed.size, text)
            self.held(roots, signed.size, signed.root, "a checkpoint was signed")
        self._packed({key for _, key in keys})
        for size, witness in self._reads.ask(_ORPHANS):
            self._findings.note("checkpoint", size, f"it is missing, though {witness} cosigned it")

    @staticmethod
    def sizes_of(given: Iterable[str]) -> Iterator[int]:
        """The sizes of checkpoints that somebody kept elsewhere, as far as they are any."""
        for note in given:
            with suppress(NoteIsWrong):
                yield Checkpoint.read(notes.parsed(note)[0]).size

    def published(self, roots: Mapping[int, bytes], head: SealedHead) -> None:
        """Compare a published head with the log, which may say that it is lost."""
        self._findings.count("published heads")
        if not any(restored.lost == head for _, restored in self._restores):
            self.held(roots, head.size, bytes.fromhex(head.root), "a head was published")

    def given(self, roots: Mapping[int, bytes], note: str, keys: list[Verifier]) -> None:
        """Compare a checkpoint that somebody kept elsewhere with the log; `keys`, or the log's own, must have signed it."""
        try:
            text, _ = notes.parsed(note)
            checkpoint = Checkpoint.read(text)
            own = [Verifier(checkpoint.origin, key) for _, key in self._succession()]
            notes.opened(note, keys or own)
        except NoteIsWrong as wrong:
            self._findings.note("given checkpoint", None, str(wrong))
            return
        self._findings.count("given checkpoints")
        self.held(roots, checkpoint.size, checkpoint.root, "the checkpoint that you gave was signed")

    def held(self, roots: Mapping[int, bytes], size: int, root: bytes, how: str) -> None:
        """Whether the log goes so far, and comes to a root there; nothing is said where a fault in the log hides it."""
        if size > self._findings.size:
            lost = f"{how} of {size} entries, but the log ends at {self._findings.size}: {size - self._findings.size} are lost"
            self._findings.note("log", size, lost)
        elif size in roots and roots[size] != root:
            self._findings.note("log", size, f"{how} of {size} entries under another root: up to there history was rewritten")

    def _all(self) -> Iterator[Signed]:
        after = -(2**62)
        while rows := self._reads.checkpoints(after, _AT_ONCE):
            yield from (Signed(*row) for row in rows)
            after = rows[-1][0]

    def _succession(self) -> list[tuple[int, bytes]]:
        """From which size on which key signs, in order."""
        first = bytes.fromhex(self._keys[0][1].replaces) if self._keys else next((each.key for each in self._all()), None)
        begun = [] if first is None else [(0, first)]
        return begun + [(position, bytes.fromhex(introduced.public_key)) for position, introduced in self._keys]

    def _rotation(self) -> None:
        """Each new key signed its introduction, and so did the one before it, if it vouched; and it replaces that one."""
        for position, introduced in self._keys:
            text = introduction(introduced.public_key, introduced.replaces)
            for key, signature in ((introduced.public_key, introduced.signature), (introduced.replaces, introduced.vouched)):
                if signature is not None and not notes.signs(bytes.fromhex(key), text, bytes.fromhex(signature)):
                    self._findings.note("key", position, f"key {key} did not sign the introduction that is said to be its")
        for (_, before), (position, introduced) in pairwise(self._keys):
            if introduced.replaces != before.public_key:
                self._findings.note("key", position, "the new key does not replace the one that signed before it")

    def _signed(self, signed: Signed, keys: list[tuple[int, bytes]]) -> str | None:
        """The note is as it was signed, says what stands beside it, and is of the key and the history that it should be.

        Gives what was signed, unless the note is not as it was.
        """
        say, size = self._findings.note, signed.size
        must = [key for since, key in keys if since <= max(size, 0)][-1]
        if signed.key != must:
            say(
                "checkpoint", size, "it is signed by a key that is not the log's: it is forged, or the key's introduction is gone"
            )
        try:
            text, _ = notes.opened(signed.note, [signed.verifier])
            checkpoint = Checkpoint.read(text)
        except NoteIsWrong as wrong:
            say("checkpoint", size, f"it is not as it was signed: {wrong}")
            return None
        if checkpoint != Checkpoint(signed.origin, size, signed.root):
            say("checkpoint", size, "its note does not say what stands beside it")
        if checkpoint.origin.rpartition("/")[2] != self._origin(size):
            say("checkpoint", size, "its origin names another history than this log's")
        return text

    def _cosigned(self, size: int, text: str) -> None:
        """Every line that is kept for a checkpoint is one that its witness signed it with."""
        for witness, line in self._reads.cosignatures(size):
            self._findings.count("cosignatures")
            try:
                key = Verifier.read(witness)
                its_own = key.kind == COSIGNATURE and key.signed(text, Line.read(line.removesuffix("\n")))
            except NoteIsWrong:
                its_own = False
            if not its_own:
                self._findings.note("cosignature", size, f"the line of {witness} is none of its over this checkpoint")

    def _packed(self, known: set[bytes]) -> None:
        """What was signed for audit packs was signed by a key of the log, and stands where its text is looked for."""
        if self._reads.ask(_UNNAMED)[0][0]:
            self._findings.note("pack signature", None, "it stands in the place of no text")
        after = ""
        while rows := self._reads.ask(_PACKED, after, _AT_ONCE):
            after = rows[-1][0]
            for subject, key, note in rows:
                self._findings.count("pack signatures")
                if (fault := _fault_of_pack(subject, bytes(key), note, known)) is not None:
                    self._findings.note("pack signature", None, f"{subject[:LEAF_DIGITS]}: {fault}")

    def _origin(self, size: int) -> str | None:
        begun = max((restored.head.size + 1 for _, restored in self._restores if restored.head.size < size), default=1)
        leaf = self._reads.leaf_at(begun)
        return None if leaf is None else leaf.hex()[:LEAF_DIGITS]


def _fault_of_pack(subject: str, key: bytes, note: str, known: set[bytes]) -> str | None:
    """What is wrong with what was signed for a pack, if anything is."""
    try:
        text, _ = notes.parsed(note)
        _, origin, *_ = text.split("\n")
        notes.opened(note, [Verifier(origin, key)])
    except (NoteIsWrong, ValueError) as wrong:
        return f"it is not as it was signed: {wrong}"
    if key not in known:
        return "it is signed by a key that was never the log's: it is forged"
    return None if subject_of(text) == subject else "it stands in the place of another text"
