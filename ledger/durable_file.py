"""A file that is whole under its name or not there at all, and outlives the machine when it is."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def written(file: Path, *, over: bool = False) -> Iterator[BinaryIO]:
    """Write a file that only its owner can read; it gets its name when the block ends.

    Raises `FileExistsError` if there is one of this name by then, unless it may be written `over`. The folder must exist.
    """
    draft = file.with_name(f"{file.name}.{secrets.token_hex(8)}")
    try:
        with _opened(draft, file) as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        if over:
            draft.replace(file)
        else:
            os.link(draft, file)  # appears whole or not at all, and never over another's
        _sync_folder(file.parent)
    finally:
        draft.unlink(missing_ok=True)


def _opened(draft: Path, file: Path) -> BinaryIO:
    """A draft of a file; what keeps it from being made is said of the file, as nobody knows of the draft."""
    try:
        return open(draft, "xb", opener=_for_its_owner)
    except OSError as fault:
        raise type(fault)(fault.errno, fault.strerror, str(file)) from None


def _for_its_owner(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _sync_folder(folder: Path) -> None:
    """Make a new name durable, where the system can."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
