"""Checkpoints: how far the log went and under which root, signed, so that nobody can tell two people two histories.

A checkpoint is a signed note (C2SP tlog-checkpoint): the log's *origin*, its size, the root over so many entries (RFC 6962).

    life-chances-ledger/3f0c77a1d2b94e55
    11283
    CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

    — life-chances-ledger/3f0c77a1d2b94e55 Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+…

The origin is a name, from the settings, and the beginning of a leaf: that of the first entry, or of the entry with which the log
went on from a backup. So it names one history: a restored log is another one, as it may have forked. A checkpoint is signed only
if the log provably goes on from the one that was signed before; it is kept for ever, with the cosignatures of witnesses.
"""

import base64
import binascii
import logging
import re
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from threading import Event, Thread
from typing import Final, NamedTuple, Self

from sqlalchemy.exc import DBAPIError

from domain.log import LOG, KeyIntroduced, NeverRestored
from domain.log import Log as Account
from ledger import notes
from ledger.alone import alone
from ledger.entry import decode, written
from ledger.failures import Unavailable
from ledger.ledger import Ledger
from ledger.log import CHECKPOINT, COSIGNATURE, Damaged, Head
from ledger.notes import Line, NoteIsWrong, Signer, Verifier
from ledger.tree import Tree

NAME: Final = "life-chances-ledger"
"""What an origin begins with, unless the settings say otherwise."""
_LOG: Final = logging.getLogger(__name__)
LEAF_DIGITS: Final = 16
"""How much of a leaf an origin ends with."""
_ROOT_BYTES: Final = 32
_SIGNING: Final = 0x6C636C_07
"""The key of the advisory lock under which one process signs on PostgreSQL."""
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class NothingToSign(RuntimeError):
    """The log has no entries yet: there is nothing to sign."""


class Inconsistent(RuntimeError):
    """The log does not go on from the checkpoint that was signed last: something other than the ledger changed it.

    No checkpoint is signed any more. `lcledger verify` says why; keep the database as it is, and restore the last backup
    into another one.
    """


class KeyIsAnother(RuntimeError):
    """The signing key is not the one that signs this log; a new one is introduced by `lcledger log rotate-key`."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is signed: how far a log went, and the root over its entries so far."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        """What is signed, byte by byte."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def read(cls, text: str) -> Self:
        """The checkpoint of a note's text; `NoteIsWrong` if it is none. Further lines say nothing to us."""
        lines = text.split("\n")
        try:
            origin, size, encoded, *_ = lines
            root = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            raise NoteIsWrong("the note is no checkpoint") from None
        if not origin or not _SIZE.fullmatch(size) or len(root) != _ROOT_BYTES or lines[-1] or "" in lines[:-1]:
            raise NoteIsWrong("the note is no checkpoint")
        return cls(origin, int(size), root)


class Signed(NamedTuple):
    """A checkpoint as it is kept; `key` is the public half of the key that signed it."""

    size: int
    origin: str
    root: bytes
    key: bytes
    note: str
    made_at: str

    @property
    def checkpoint(self) -> Checkpoint:
        """What it says."""
        return Checkpoint(self.origin, self.size, self.root)

    @property
    def verifier(self) -> Verifier:
        """The key that signed it, as others know it."""
        return Verifier(self.origin, self.key)


@dataclass(frozen=True, slots=True)
class Signing:
    """A key of the log, and what it signed: checkpoints from the size of `first` to that of `last`, none if they are not there.

    `position` is that of the entry which introduced it, if it is not the log's first.
    """

    verifier: Verifier
    first: int | None
    last: int | None
    position: int | None = None


class Checkpoints:
    """The checkpoints of an open log. `name` is what its origin begins with."""

    def __init__(self, ledger: Ledger, name: str = NAME) -> None:
        self.tree = Tree(ledger.log)
        self.reads = ledger.log.reads
        self._ledger = ledger
        self._name = name

    def origin(self) -> str:
        """What names this history of the log; `NothingToSign` before its first entry."""
        restores = self._account().restores
        leaf = self.reads.leaf_at(restores[-1].head.size + 1 if restores else 1)
        if leaf is None:
            raise NothingToSign(NothingToSign.__doc__)
        return f"{self._name}/{leaf.hex()[:LEAF_DIGITS]}"

    def last(self, upto: int | None = None) -> Signed | None:
        """The last checkpoint, or the last of at most so many entries."""
        found = self.reads.last_checkpoint() if upto is None else self.reads.last_checkpoint(upto)
        return Signed(*found) if found else None

    def page(self, after: int, limit: int) -> list[Signed]:
        """Checkpoints in order of size, those of more entries than `after`."""
        return [Signed(*row) for row in self.reads.checkpoints(after, limit)]

    def note(self, signed: Signed) -> str:
        """A checkpoint's note, with the cosignatures that it has by now."""
        return signed.note + "".join(line for _, line in self.reads.cosignatures(signed.size))

    def key(self) -> bytes | None:
        """The public half of the key that signs from here on: introduced last, or the first; nothing was signed if nothing."""
        introduced = self._account().keys
        if introduced:
            return bytes.fromhex(introduced[-1].public_key)
        last = self.last()
        return last.key if last else None

    def signings(self) -> list[Signing]:
        """Every key that signed this log, under each origin, in order; and the one that will, if it has not yet."""
        positions = self._introduced_at()
        found = [
            Signing(Verifier(origin, key), first, last, positions.get(key.hex()))
            for origin, key, first, last in self.reads.signers()
        ]
        current = self.key()
        if current is not None and not any(each.verifier.public == current for each in found):
            found.append(Signing(Verifier(self.origin(), current), None, None, positions.get(current.hex())))
        return found

    def sign(self, signer: Signer, *before: Signer) -> Signed:
        """Sign how far the log goes now, or give the last checkpoint if it goes no further; on disk when this returns.

        `before` are keys that vouch for a new one by signing beside it. Raises `NothingToSign`, `KeyIsAnother`, `Inconsistent`.
        """
        log = self._ledger.log
        last, head = self._expect_to_sign(signer)
        origin = self.origin()
        if last is not None and last.size >= head.size:
            return last
        text = Checkpoint(origin, head.size, head.root).text
        note = notes.written(text, [each.sign(origin, text) for each in (signer, *before)])
        signed = Signed(head.size, origin, head.root, signer.public, note, written(self._ledger.now()))
        try:
            log.keep("checkpoints", CHECKPOINT, [signed])
        except Exception:  # The driver's own, as SQLAlchemy has no part in it.
            if (other := self.last()) is not None and other.size >= signed.size:  # Another process was as quick.
                return other
            raise
        return signed

    def cosigned(self, witnesses: Iterable[Verifier]) -> dict[str, int]:
        """Of how many entries the last checkpoint is that each witness cosigned, by its name; 0 if it cosigned none."""
        return {each.name: self.reads.cosigned(each.vkey) for each in witnesses}

    def expect_signable(self, signer: Signer) -> None:
        """Raise what `sign` would raise, and sign nothing: somebody else does."""
        self._expect_to_sign(signer)

    def _expect_to_sign(self, signer: Signer) -> tuple[Signed | None, Head]:
        """The last checkpoint and the head, which provably goes on from it."""
        last = self.last()  # Before the head: whoever signs meanwhile signs more.
        log = self._ledger.log
        head = log.head()
        self.origin()
        if self.key() not in {None, signer.public}:
            raise KeyIsAnother(KeyIsAnother.__doc__)
        log.confirm()
        try:
            self._expect_consistent(last, head)
        except Damaged as damaged:
            raise Inconsistent(f"{' '.join((Inconsistent.__doc__ or '').split())} ({damaged})") from damaged
        return last, head

    def alone(self) -> AbstractContextManager[Callable[[], None] | None]:
        """Be the one who signs, as `ledger.alone.alone` has it."""
        return alone(self._ledger.log.engine, _SIGNING)

    def cosign(self, signed: Signed, witness: Verifier, line: Line) -> None:
        """Keep a witness's line for a checkpoint; the first one, if it gives several."""
        self._ledger.log.keep("cosignatures", COSIGNATURE, [(signed.size, witness.vkey, str(line), written(self._ledger.now()))])

    def _expect_consistent(self, last: Signed | None, head: Head) -> None:
        """Prove that the log up to its head goes on from the last checkpoint, as it was signed; `Damaged` if it does not."""
        self.tree.grow(head.size, head.root)
        if last is None:
            return
        root = self.root_of(last)
        if last.size < head.size:
            self.tree.consistency(last.size, head.size, root, head.root)
        elif self.tree.root(last.size) != root:
            raise Damaged(f"{last.size} entries lead to another root than was signed")

    def root_of(self, signed: Signed) -> bytes:
        """The root that was signed, and not what stands beside it; `Damaged` if they differ."""
        try:
            text, _ = notes.opened(signed.note, [signed.verifier])
            checkpoint = Checkpoint.read(text)
        except NoteIsWrong as wrong:
            raise Damaged(f"the checkpoint of {signed.size} entries is not as it was signed: {wrong}") from wrong
        if checkpoint != signed.checkpoint:
            raise Damaged(f"the checkpoint of {signed.size} entries does not say what stands beside it")
        return checkpoint.root

    def _introduced_at(self) -> dict[str, int]:
        """The positions of the entries that introduced keys, by the key."""
        entries = [decode(row, self._ledger.registry) for row in self.reads.rows(stream=LOG.name)]
        return {entry.event.public_key: entry.position for entry in entries if isinstance(entry.event, KeyIntroduced)}

    def _account(self) -> Account:
        try:
            return self._ledger.load(LOG)[0]
        except NeverRestored:
            return Account()


class Checkpointing:
    """Signs a checkpoint every so often if the log has grown, and when it ends; complains once of what keeps it from that.

    Of several processes on PostgreSQL one does, and the others look whether it could go on, and stand by.

    `signer` is asked each time, so that a new key is taken as soon as it is there. `then` is told of each checkpoint, to have
    witnesses cosign it.
    """

    def __init__(
        self,
        checkpoints: Checkpoints,
        signer: Callable[[], Signer],
        every_s: float,
        then: Callable[[Checkpoints], None] = lambda _: None,
    ) -> None:
        self.fault: Exception | None = None
        """Why the last one was not signed, if it was not."""
        self._checkpoints = checkpoints
        self._signer = signer
        self._every_s = every_s
        self._then = then
        self._stop = Event()
        self._thread = Thread(target=self._go_on, name="checkpoints", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._stop.is_set():
            # The database or its connection is gone: others say so, and somebody signs when it is back.
            with suppress(Unavailable, DBAPIError), self._checkpoints.alone() as still:
                if still is not None:
                    self._sign_alone(still)
            if not self._stop.is_set():
                self._try(self._checkpoints.expect_signable)
            self._stop.wait(self._every_s)

    def _sign_alone(self, still: Callable[[], None]) -> None:
        self.sign()
        while not self._stop.wait(self._every_s):
            still()
            self.sign()
        self.sign(then=False)

    def sign(self, *, then: bool = True) -> None:
        """Sign now, and ask witnesses; whatever fails is told in `fault`, as the service goes on without."""
        if self._try(self._checkpoints.sign) and then:
            with suppress(Unavailable):
                self._then(self._checkpoints)

    def _try(self, deed: Callable[[Signer], object]) -> bool:
        """Whether it could be done; if not, `fault` says why."""
        try:
            deed(self._signer())
        except (NothingToSign, Unavailable):  # Others say so, if it is worth it.
            return False
        except Exception as failure:  # noqa: BLE001 (whatever it is, entries are taken all the same)
            if str(failure) != str(self.fault):
                _LOG.error("no checkpoint is signed: %s", failure)
            self.fault = failure
            return False
        self.fault = None
        return True
