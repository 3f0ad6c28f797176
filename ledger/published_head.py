"""The head of the log, published to a file outside the database: what a database that lost something cannot lose with it.

A database that was put back to an earlier state (an old disk image, a standby that had not everything) is whole in itself, and
says nothing of what it lost. The file does: a head is published only when it is on disk in the database, so whoever finds the
file ahead of the database, or with another root, knows that entries are gone.
"""

import logging
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread
from typing import Final, Self

from pydantic import ValidationError

from domain.log import LOG, NeverRestored, SealedHead
from domain.refusal import Refused
from ledger import durable_file
from ledger.entry import written
from ledger.failures import Unavailable
from ledger.ledger import Ledger
from ledger.lock_file import LockFile
from ledger.log import Head

_LOG: Final = logging.getLogger(__name__)
PUBLISH_EVERY_S: Final = 1.0


class HeadUnreadable(RuntimeError):
    """The file of the published head holds none. Put it back, or look what became of it before you move it away."""


class EntriesLost(RuntimeError):
    """The head that was published last is not in this database: entries that others were told of are gone.

    Put the newest state of the database back, or restore the newest backup into an empty one with `lcledger restore`, which
    records what is lost. Nothing was changed.
    """


class PublishedHead:
    """The file. Several processes may publish to it; it never goes back by itself."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> SealedHead | None:
        """The head that was published last, or nothing; `HeadUnreadable` if the file holds something else."""
        try:
            return SealedHead.model_validate_json(self.path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError:
            raise HeadUnreadable(f"{HeadUnreadable.__doc__} ({self.path})") from None

    def expect_in(self, ledger: Ledger) -> None:
        """Raise `EntriesLost` if the last published head is not in the log; nothing is written anywhere."""
        last = self.read()
        if last is not None:
            _expect_in(ledger, last, self.path)

    def publish(self, ledger: Ledger) -> SealedHead | None:
        """Publish the head of the log now, if it has entries; `EntriesLost` if the last published one is not in it."""
        head = ledger.head()
        if not head.size and self.read() is None:
            return None
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with LockFile(self.path.with_name(self.path.name + ".lock")):
            last = self.read()
            if last is not None:
                _expect_in(ledger, last, self.path)
            now = sealed(head)
            if now != last and (last is None or now.size > last.size or _was_lost(ledger, last)):
                self.put(now)
            return now

    def put(self, head: SealedHead) -> None:
        """Let this be the published head, whatever was before."""
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with durable_file.written(self.path, over=True) as out:
            out.write(head.model_dump_json(exclude_none=True).encode() + b"\n")


def sealed(head: Head) -> SealedHead:
    """A head as it is published."""
    return SealedHead(
        size=head.size, root=head.root.hex(), recorded_at=None if head.recorded_at is None else written(head.recorded_at)
    )


def _expect_in(ledger: Ledger, published: SealedHead, path: Path) -> None:
    found = ledger.log.reads.heads(published.size - 1, 1)
    if found == [(published.size, bytes.fromhex(published.root))] or _was_lost(ledger, published):
        return
    size = ledger.head().size
    how = f"it was of {published.size:,} entries, the database has {size:,}" if size < published.size else "another root"
    raise EntriesLost(f"{' '.join((EntriesLost.__doc__ or '').split())} ({path}: {how})")


def _was_lost(ledger: Ledger, published: SealedHead) -> bool:
    try:
        return ledger.load(LOG)[0].has_lost(published)
    except NeverRestored:
        return False


class Publishing:
    """Publishes the head every second if it has moved, and when it ends."""

    def __init__(self, ledger: Ledger, file: PublishedHead) -> None:
        self._ledger = ledger
        self._file = file
        self._stop = Event()
        self._thread = Thread(target=self._publish, name="published head", daemon=True)
        self._complaint: str | None = None
        self._last: Head | None = None

    def __enter__(self) -> Self:
        self._file.publish(self._ledger)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._try()

    def _publish(self) -> None:
        while not self._stop.wait(PUBLISH_EVERY_S):
            self._try()

    def _try(self) -> None:
        """Publish, or complain once of what keeps it from that: the service does not depend on it."""
        with suppress(Unavailable):  # Others say so; there is nothing new to publish either.
            try:
                head = self._ledger.head()
                if head != self._last:
                    self._file.publish(self._ledger)
                self._last, self._complaint = head, None
            except (OSError, EntriesLost, HeadUnreadable, Refused) as failure:
                if str(failure) != self._complaint:
                    _LOG.error("the head of the log cannot be published: %s", failure)
                self._complaint = str(failure)
