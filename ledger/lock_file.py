"""A file that one process holds, and others find held; the system lets go of it when the process dies, however it dies."""

import os
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl


class ServedElsewhere(RuntimeError):
    """Another process serves this ledger already; stop it first, or give this one a ledger of its own."""


class LockFile:
    """An exclusive lock on a file, held from `take` to `release`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def take(self, *, wait: bool = False) -> Self:
        """Hold the lock; wait for it, or raise `ServedElsewhere` where somebody else holds it."""
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _hold(descriptor, wait=wait)
        except OSError as error:
            os.close(descriptor)
            raise ServedElsewhere(f"{ServedElsewhere.__doc__} ({self._path})") from error
        self._descriptor = descriptor
        return self

    def release(self) -> None:
        """Let go of the lock. The file stays: removing it would let two hold it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self if self._descriptor is not None else self.take(wait=True)

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _hold(descriptor: int, *, wait: bool) -> None:
    if sys.platform == "win32":
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
