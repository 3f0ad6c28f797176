"""The log's tree, from which proofs and tiles are made without reading all leaves.

Roots of perfect subtrees over 256, 65,536, … leaves stand in a table of their own, `subtrees`. They are worked out from the
leaves when somebody asks for it, outside the way of any commit, are kept only if they lead to the root that the log was sealed
with, and are never needed: what is not there yet is worked out from what is below it. A *tile* is 256 hashes of one such level
(C2SP tlog-tiles); leaves themselves are the tiles of level 0.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import Final

from ledger import merkle, proofs
from ledger.log import Damaged, Log, Reads
from ledger.proofs import ProofIsWrong, verify_consistency, verify_inclusion

HEIGHT: Final = 8
"""The height of a tile (C2SP tlog-tiles)."""
WIDTH: Final = 1 << HEIGHT
_MOST_REMEMBERED: Final = 128
"""Tiles that are kept in memory with what is above their hashes, 50 KB each."""
_MOST: Final = 2**62
"""No log is longer: databases count no further."""
_COLUMNS: Final = (("height", "bigint"), ("number", "bigint"), ("root", "bytea"))

_Tile = tuple[int, int, int]
"""Its level, its number, and how wide it is."""
_Pyramid = list[list[bytes]]
"""A tile's hashes; above each two of them their node; and so on."""


class NotInTree(ValueError):
    """The log has not so many entries."""


class Tree:
    """The tree of an open log. Sizes and indexes count leaves; the leaf at index 0 is that of the entry at position 1."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._remembered: dict[_Tile, _Pyramid] = {}
        """What was used last stands last."""
        self._remembering = Lock()
        self._reached = 0
        """A size that the log is known to have."""
        self._fresh: dict[tuple[int, int], bytes] = {}
        """Roots of subtrees that are worked out and not kept yet, by level and number."""
        self._growing = Lock()
        log.renewed.append(self.forget)

    def forget(self) -> None:
        """Remember nothing: the database may not be the same any more."""
        with self._remembering:
            self._remembered.clear()
        self._reached = 0

    def root(self, size: int) -> bytes:
        """The root over the first `size` leaves; `NotInTree` if there are fewer."""
        with self._reading(size) as reads:
            return self._root(reads, size, 0, size) if size else merkle.EMPTY_ROOT

    def leaf(self, index: int) -> bytes:
        """The leaf at an index; `NotInTree` if there is none."""
        return _leaf(self._log.reads, index)

    def inclusion(self, index: int, size: int, root: bytes) -> list[bytes]:
        """The proof that the leaf at an index is under the root that the log has with `size` entries.

        Raises `NotInTree`, and `Damaged` if there is no such proof: what stands in the log leads to another root.
        """
        with self._reading(max(size, index + 1)) as reads:
            tile = _tile(0, index, size)
            # What is remembered may be another leaf than stands there; what is read now is that.
            leaf = _leaf(reads, index) if tile in self._remembered else self._pyramid(reads, tile)[0][index % WIDTH]
            proof = proofs.inclusion(partial(self._root, reads, size), index, size)
        try:
            verify_inclusion(leaf, index, size, proof, root)
        except ProofIsWrong as wrong:
            raise self._damaged(f"entry {index + 1} is not under the root of {size} entries") from wrong
        return proof

    def inclusions(self, indexes: Sequence[int], size: int, earlier: Sequence[int] = ()) -> list[bytes]:
        """The proof that leaves and earlier trees are under the root of `size` entries (`proofs.inclusions`)."""
        with self._reading(size) as reads:
            return proofs.inclusions(partial(self._root, reads, size), indexes, size, earlier)

    def consistency(self, first: int, second: int, first_root: bytes, second_root: bytes) -> list[bytes]:
        """The proof that the log with `second` entries goes on from what it was with `first`.

        Raises `NotInTree`, and `Damaged` if there is no such proof: one of the roots is not what stands in the log.
        """
        with self._reading(second) as reads:
            proof = proofs.consistency(partial(self._root, reads, second), first, second)
        try:
            verify_consistency(first, second, first_root, second_root, proof)
        except ProofIsWrong as wrong:
            raise self._damaged(f"{second} entries do not go on from {first}") from wrong
        return proof

    def tile(self, level: int, number: int, width: int) -> bytes:
        """The first `width` hashes of a tile (1 to 256); `NotInTree` if the log has not so many."""
        with self._reading((number * WIDTH + width) << HEIGHT * level) as reads:
            return b"".join(self._hashes(reads, level, number, width))

    def grow(self, size: int, root: bytes) -> int:
        """Keep every full subtree of the first `size` leaves, if they lead to this root (else `Damaged`); gives how many are new.

        It takes the time of reading the leaves since it was last done, and may be done by several processes.
        """
        with self._growing, self._reading(size) as reads:
            try:
                self._work_out(reads, size)
                if self._root(reads, size, 0, size) != root:
                    raise self._damaged(f"{size} entries lead to another root than they were sealed with")
                rows = [(HEIGHT * level, number, found) for (level, number), found in self._fresh.items()]
                if rows:
                    self._log.keep("subtrees", _COLUMNS, rows)
                return len(rows)
            finally:
                self._fresh.clear()

    def _work_out(self, reads: Reads, size: int) -> None:
        level = 1
        while size >> HEIGHT * level:
            for number in range(reads.subtrees_kept(HEIGHT * level), size >> HEIGHT * level):
                self._fresh[level, number] = self._made(reads, level - 1, number, WIDTH)[HEIGHT][0]
            level += 1

    @contextmanager
    def _reading(self, size: int) -> Iterator[Reads]:
        """What reads a log that has so many entries; `NotInTree` if it has not."""
        if size > _MOST:
            raise NotInTree(f"{NotInTree.__doc__} ({size})")
        with self._log.reading() as reads:
            if size > self._reached:
                if reads.leaf_at(size) is None:
                    raise NotInTree(f"{NotInTree.__doc__} ({size})")
                self._reached = size
            yield reads

    def _damaged(self, what: str) -> Damaged:
        self.forget()
        return Damaged.found(what)

    def _root(self, reads: Reads, size: int, start: int, end: int) -> bytes:
        """The root over the leaves from one up to another, where the book's cuts are, in the tree over the first `size` leaves.

        Every tile is read as wide as that tree has it, so that one proof reads each of its tiles once.
        """
        peaks = []
        while start < end:
            height = (end - start).bit_length() - 1
            level, above = divmod(height, HEIGHT)
            number = start >> HEIGHT * level
            peaks.append(self._pyramid(reads, _tile(level, number, size))[above][number % WIDTH >> above])
            start += 1 << height
        return merkle.root_of(peaks)

    def _pyramid(self, reads: Reads, tile: _Tile) -> _Pyramid:
        with self._remembering:
            found = self._remembered.pop(tile, None)
            if found is not None:
                self._remembered[tile] = found
                return found
        found = self._made(reads, *tile)
        with self._remembering:
            self._remembered[tile] = found
            while len(self._remembered) > _MOST_REMEMBERED:
                del self._remembered[next(iter(self._remembered))]
        return found

    def _made(self, reads: Reads, level: int, number: int, width: int) -> _Pyramid:
        return [nodes for _, nodes in merkle.layers([], 0, self._hashes(reads, level, number, width))]

    def _hashes(self, reads: Reads, level: int, number: int, width: int) -> list[bytes]:
        start = number * WIDTH
        if level:
            found = reads.subtrees(HEIGHT * level, start, start + width)
            return [*found, *(self._new(reads, level, number) for number in range(start + len(found), start + width))]
        leaves = reads.leaves(start, start + width)
        if len(leaves) < width:
            raise self._damaged(f"of the entries {start + 1} to {start + width} some are missing")
        return leaves

    def _new(self, reads: Reads, level: int, number: int) -> bytes:
        return self._fresh.get((level, number)) or self._made(reads, level - 1, number, WIDTH)[HEIGHT][0]


def _tile(level: int, number: int, size: int) -> _Tile:
    """The tile in which a hash of a level stands, as wide as the tree over the first `size` leaves has it."""
    tile = number // WIDTH
    return level, tile, min(WIDTH, (size >> HEIGHT * level) - tile * WIDTH)


def _leaf(reads: Reads, index: int) -> bytes:
    found = reads.leaf_at(index + 1)
    if found is None:
        raise NotInTree(f"{NotInTree.__doc__} ({index + 1})")
    return found
