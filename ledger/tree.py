"""The log's tree, from which proofs and tiles are made without reading all leaves.

Roots of perfect subtrees over 256, 65,536, … leaves stand in a table of their own, `subtrees`. They are worked out from the
leaves when somebody asks for it, outside the way of any commit, are kept only if they lead to the root that the log was sealed
with, and are never needed: what is not there yet is worked out from what is below it. A *tile* is 256 hashes of one such level
(C2SP tlog-tiles); leaves themselves are the tiles of level 0.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from threading import Lock
from typing import Final

from ledger import merkle, proofs
from ledger.log import Damaged, Log
from ledger.proofs import ProofIsWrong, verify_consistency, verify_inclusion

HEIGHT: Final = 8
"""The height of a tile (C2SP tlog-tiles)."""
WIDTH: Final = 1 << HEIGHT
_MOST_REMEMBERED: Final = 128
"""Tiles that are kept in memory with what is above their hashes, 50 KB each."""
_MOST: Final = 2**62
"""No log is longer: databases count no further."""
_COLUMNS: Final = (("height", "bigint"), ("number", "bigint"), ("root", "bytea"))

_Pyramid = list[list[bytes]]
"""A tile's hashes; above each two of them their node; and so on."""


class NotInTree(ValueError):
    """The log has not so many entries."""


class Tree:
    """The tree of an open log. Sizes and indexes count leaves; the leaf at index 0 is that of the entry at position 1."""

    def __init__(self, log: Log) -> None:
        self._log = log
        self._remembered = lru_cache(_MOST_REMEMBERED)(self._pyramid)
        self._fresh: dict[tuple[int, int], bytes] = {}
        """Roots of subtrees that are worked out and not kept yet, by level and number."""
        self._growing = Lock()
        log.renewed.append(self.forget)

    def forget(self) -> None:
        """Remember nothing: the database may not be the same any more."""
        self._remembered.cache_clear()

    def root(self, size: int) -> bytes:
        """The root over the first `size` leaves; `NotInTree` if there are fewer."""
        self._expect(size)
        return self._root(size, 0, size) if size else merkle.EMPTY_ROOT

    def leaf(self, index: int) -> bytes:
        """The leaf at an index; `NotInTree` if there is none."""
        found = self._log.reads.leaf_at(index + 1)
        if found is None:
            raise NotInTree(f"{NotInTree.__doc__} ({index + 1})")
        return found

    def inclusion(self, index: int, size: int, root: bytes) -> list[bytes]:
        """The proof that the leaf at an index is under the root that the log has with `size` entries.

        Raises `NotInTree`, and `Damaged` if there is no such proof: what stands in the log leads to another root.
        """
        self._expect(max(size, index + 1))
        leaf = self.leaf(index)
        proof = proofs.inclusion(partial(self._root, size), index, size)
        try:
            verify_inclusion(leaf, index, size, proof, root)
        except ProofIsWrong as wrong:
            raise self._damaged(f"entry {index + 1} is not under the root of {size} entries") from wrong
        return proof

    def inclusions(self, indexes: Sequence[int], size: int, earlier: Sequence[int] = ()) -> list[bytes]:
        """The proof that leaves and earlier trees are under the root of `size` entries (`proofs.inclusions`)."""
        self._expect(size)
        return proofs.inclusions(partial(self._root, size), indexes, size, earlier)

    def consistency(self, first: int, second: int, first_root: bytes, second_root: bytes) -> list[bytes]:
        """The proof that the log with `second` entries goes on from what it was with `first`.

        Raises `NotInTree`, and `Damaged` if there is no such proof: one of the roots is not what stands in the log.
        """
        self._expect(second)
        proof = proofs.consistency(partial(self._root, second), first, second)
        try:
            verify_consistency(first, second, first_root, second_root, proof)
        except ProofIsWrong as wrong:
            raise self._damaged(f"{second} entries do not go on from {first}") from wrong
        return proof

    def tile(self, level: int, number: int, width: int) -> bytes:
        """The first `width` hashes of a tile (1 to 256); `NotInTree` if the log has not so many."""
        self._expect((number * WIDTH + width) << HEIGHT * level)
        return b"".join(self._hashes(level, number, width))

    def grow(self, size: int, root: bytes) -> int:
        """Keep every full subtree of the first `size` leaves, if they lead to this root (else `Damaged`); gives how many are new.

        It takes the time of reading the leaves since it was last done, and may be done by several processes.
        """
        self._expect(size)
        with self._growing:
            try:
                self._work_out(size)
                if self._root(size, 0, size) != root:
                    raise self._damaged(f"{size} entries lead to another root than they were sealed with")
                rows = [(HEIGHT * level, number, found) for (level, number), found in self._fresh.items()]
                if rows:
                    self._log.keep("subtrees", _COLUMNS, rows)
                return len(rows)
            finally:
                self._fresh.clear()

    def _work_out(self, size: int) -> None:
        level = 1
        while size >> HEIGHT * level:
            for number in range(self._log.reads.subtrees_kept(HEIGHT * level), size >> HEIGHT * level):
                self._fresh[level, number] = self._pyramid(level - 1, number, WIDTH)[HEIGHT][0]
            level += 1

    def _expect(self, size: int) -> None:
        if size and (size > _MOST or self._log.reads.leaf_at(size) is None):
            raise NotInTree(f"{NotInTree.__doc__} ({size})")

    def _damaged(self, what: str) -> Damaged:
        self.forget()
        return Damaged(f"the log is not what was sealed: {what}; `lcledger roots` says what is wrong")

    def _root(self, size: int, start: int, end: int) -> bytes:
        """The root over the leaves from one up to another, where the book's cuts are, in the tree over the first `size` leaves.

        Every tile is read as wide as that tree has it, so that one proof reads each of its tiles once.
        """
        peaks = []
        while start < end:
            height = (end - start).bit_length() - 1
            peaks.append(self._perfect(height, start >> height, size))
            start += 1 << height
        return merkle.root_of(peaks)

    def _perfect(self, height: int, number: int, size: int) -> bytes:
        """The root of a perfect subtree, in the tree over the first `size` leaves."""
        level, above = divmod(height, HEIGHT)
        tile, within = divmod(number << above, WIDTH)
        width = min(WIDTH, (size >> HEIGHT * level) - tile * WIDTH)
        return self._remembered(level, tile, width)[above][within >> above]

    def _pyramid(self, level: int, tile: int, width: int) -> _Pyramid:
        rows = [self._hashes(level, tile, width)]
        while len(below := rows[-1]) > 1:
            rows.append([merkle.node(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)])
        return rows

    def _hashes(self, level: int, tile: int, width: int) -> list[bytes]:
        start = tile * WIDTH
        if level == 0:
            return self._log.reads.leaves(start, start + width)
        found = self._log.reads.subtrees(HEIGHT * level, start, start + width)
        return [*found, *(self._new(level, number) for number in range(start + len(found), start + width))]

    def _new(self, level: int, number: int) -> bytes:
        return self._fresh.get((level, number)) or self._pyramid(level - 1, number, WIDTH)[HEIGHT][0]
