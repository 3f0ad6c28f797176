"""The tree as files for static serving (C2SP tlog-tiles): what stands under which name, and a folder with all of it.

    checkpoint                     the last checkpoint
    tile/<level>/<number>          256 hashes, or, as `….p/<width>`, as many as the tree has there
    tile/entries/<number>          the entries of a tile of level 0, each after its length in two bytes

A number is written in groups of three digits, all but the last after an `x`: 1234067 is `x001/x234/067`. Hashes say nothing of
what they are of, as every entry holds 16 random bytes; entries are for auditors.
"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from ledger import durable_file
from ledger.checkpoints import Checkpoints, Signed
from ledger.log import Reads
from ledger.tree import HEIGHT, WIDTH

_PATH: Final = re.compile(r"((?:x[0-9]{3}/){0,5}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?", re.ASCII)
LEVELS: Final = 64
"""Levels are numbered from 0 to 63 (C2SP tlog-tiles)."""


def path_of(number: int, width: int = WIDTH) -> str:
    """The name of a tile in its level.

    >>> path_of(1234067), path_of(5, 112)
    ('x001/x234/067', '005.p/112')
    """
    groups = [f"{number % 1000:03}"]
    while number := number // 1000:
        groups.insert(0, f"x{number % 1000:03}")
    return "/".join(groups) + (f".p/{width}" if width < WIDTH else "")


def tile_at(path: str) -> tuple[int, int] | None:
    """The number and the width of the tile of a name; nothing if it is none, or is written another way than `path_of` does."""
    found = _PATH.fullmatch(path)
    if found is None:
        return None
    number, width = int(found[1].replace("x", "").replace("/", "")), int(found[2] or WIDTH)
    return (number, width) if path_of(number, width) == path else None


def bundle(reads: Reads, number: int, width: int) -> bytes:
    """The entries of a tile; fewer than its width if the log has not so many."""
    rows = reads.rows(number * WIDTH, width)
    entries = [row.header + row.state for row in rows]
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def of(size: int) -> Iterator[tuple[int, int, int]]:
    """The tiles of a tree of so many leaves: level, number and width."""
    for level in range(LEVELS):
        hashes = size >> HEIGHT * level
        if not hashes:
            return
        for number in range(hashes // WIDTH):
            yield level, number, WIDTH
        if hashes % WIDTH:
            yield level, hashes // WIDTH, hashes % WIDTH


def write(checkpoints: Checkpoints, signed: Signed, folder: Path, *, entries: bool = False) -> int:
    """Write everything up to a checkpoint into a folder, and the checkpoint last; gives how many files are new.

    What is there is left as it is: a tile never changes. `entries` are written only if they are asked for.
    """
    made = 0
    for level, number, width in of(signed.size):
        path = path_of(number, width)
        made += _put(folder / "tile" / str(level) / path, partial(checkpoints.tree.tile, level, number, width))
        if entries and level == 0:
            made += _put(folder / "tile" / "entries" / path, partial(bundle, checkpoints.reads, number, width))
    with durable_file.written(folder / "checkpoint", over=True) as out:
        out.write(checkpoints.note(signed).encode())
    return made


def _put(file: Path, contents: Callable[[], bytes]) -> bool:
    """Write a file that is not there yet; whether it was not."""
    if file.exists():
        return False
    file.parent.mkdir(parents=True, exist_ok=True)
    with durable_file.written(file, over=True) as out:
        out.write(contents())
    return True
