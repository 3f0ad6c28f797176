"""What is made once for all processes that the tests run in, as it takes long, and copied by whoever changes it."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ledger.lock_file import LockFile


def made_once(everywhere: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first process to ask for it makes, while the others wait; nobody may change it.

    Where making it fails, it is tried again for the next one who asks, and is never taken half made.
    """
    folder = _shared(everywhere) / name
    with LockFile(folder.with_suffix(".lock")):
        if not folder.exists():
            making = folder.with_suffix(".making")
            shutil.rmtree(making, ignore_errors=True)
            making.mkdir()
            make(making)
            making.rename(folder)
    return folder


def copied(folder: Path, to: Path) -> Path:
    """A copy of a folder, to be changed."""
    return Path(shutil.copytree(folder, to))


def _shared(everywhere: pytest.TempPathFactory) -> Path:
    """A folder of this run of the tests, the same in all its processes."""
    base = everywhere.getbasetemp()
    folder = (base.parent if base.name.startswith("popen-") else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder
