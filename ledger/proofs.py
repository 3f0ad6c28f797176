"""Inclusion and consistency proofs of RFC 6962 (2.1.1, 2.1.2), and how they are verified (RFC 9162, 2.1.3.2 and 2.1.4.2).

A tree over `size` leaves is cut where the book cuts it: the left half is the largest power of two that is less than the size. A
proof is a list of roots of such cuts, from the leaf's neighbour up; `ledger.tree` makes them from the log. What verifies needs
nothing but hashes.

Of an empty tree there is nothing to prove: RFC 6962 says no word of it, and every log begins with it. So a proof of it is refused
here, whatever it holds, as transparency-dev/merkle does. The witness protocol (C2SP tlog-witness), which writes `old 0` and no
proof for "I know of no earlier checkpoint", has that case looked at before it comes here.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from ledger.merkle import node

Root = Callable[[int, int], bytes]
"""The root over the leaves from one up to another, counted from 0."""
_BYTES: Final = 32
MOST_HASHES: Final = 63
"""No proof is longer (C2SP tlog-witness)."""


class ProofIsWrong(ValueError):
    """The proof does not prove it."""


def inclusion(root: Root, index: int, size: int) -> list[bytes]:
    """The proof that the leaf at an index (from 0) is in the tree over the first `size` leaves."""
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has none at {index}")
    return [root(*span) for span in reversed(list(_beside(index, size)))]


def consistency(root: Root, first: int, second: int) -> list[bytes]:
    """The proof that the tree over the first `second` leaves goes on from that over the first `first`."""
    if not 0 < first <= second:
        raise ValueError(f"no tree of {second} leaves goes on from one of {first}")
    return [root(*span) for span in reversed(list(_between(first, second)))]


def inclusions(root: Root, indexes: Sequence[int], size: int, earlier: Sequence[int] = ()) -> list[bytes]:
    """One proof that the leaves at several indexes, in order, are in the tree over the first `size` leaves.

    It has the roots of the largest subtrees without any of these leaves, from left to right: at most as much as their inclusion
    proofs together, and no hash twice. `earlier` are sizes, in order, from which the tree goes on: no subtree reaches over one
    of them, so that the root over the first so many leaves follows too, and the proof is one of consistency with all of them.
    """
    if not indexes or not 0 <= indexes[0] <= indexes[-1] < size:
        raise ValueError(f"a tree of {size} leaves has none at {indexes[-1] if indexes else None}")
    return [root(*span) for span in _without(indexes, earlier, 0, size)]


def _without(indexes: Sequence[int], earlier: Sequence[int], start: int, end: int) -> Iterator[tuple[int, int]]:
    """The largest subtrees without any of these leaves or ends within, of those from one index up to another."""
    leaf, within = bisect_left(indexes, start), bisect_right(earlier, start)
    if (leaf == len(indexes) or indexes[leaf] >= end) and (within == len(earlier) or earlier[within] >= end):
        yield start, end
    elif end - start > 1:
        cut = _split(start, end)
        yield from _without(indexes, earlier, start, cut)
        yield from _without(indexes, earlier, cut, end)


def _split(start: int, end: int) -> int:
    """Where the leaves from one up to another are cut."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _beside(index: int, size: int) -> Iterator[tuple[int, int]]:
    """What the way from the root down to a leaf leaves aside."""
    start, end = 0, size
    while end - start > 1:
        cut = _split(start, end)
        if index < cut:
            yield cut, end
            end = cut
        else:
            yield start, cut
            start = cut


def _between(first: int, second: int) -> Iterator[tuple[int, int]]:
    """What the way down to the end of the smaller tree leaves aside, and then where it ends, unless that is the smaller tree."""
    start, end = 0, second
    while first != end:
        cut = _split(start, end)
        if first <= cut:
            yield cut, end
            end = cut
        else:
            yield start, cut
            start = cut
    if start:
        yield start, end


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf is at an index (from 0) of the tree of so many leaves that has this root; `ProofIsWrong` if not."""
    _expect(0 <= index < size, f"a tree of {size} leaves has none at {index}")
    _expect_hashes([leaf, *proof, root])
    at, last, found = index, size - 1, leaf
    for beside in proof:
        _expect(last > 0, "it is too long")
        if at & 1 or at == last:
            found = node(beside, found)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = node(found, beside)
        at, last = at >> 1, last >> 1
    _expect(last == 0, "it is too short")
    _expect(found == root, "it leads to another root")


def verify_consistency(first: int, second: int, first_root: bytes, second_root: bytes, proof: Sequence[bytes]) -> None:
    """Check that the tree of `second` leaves and its root goes on from that of `first` and its own; `ProofIsWrong` if not."""
    _expect(0 < first <= second, f"no tree of {second} leaves goes on from one of {first}")
    if first == second:
        _expect(not proof, "it is too long")
        _expect(first_root == second_root, "one size has two roots")
        return
    _expect_hashes([first_root, second_root, *proof])
    hashes = iter(proof if first & (first - 1) else [first_root, *proof])  # A perfect tree is its own beginning.
    at, last = first - 1, second - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    smaller = larger = next(hashes, b"")
    _expect(len(proof) > 0, "it is too short")
    for beside in hashes:
        _expect(last > 0, "it is too long")
        if at & 1 or at == last:
            smaller, larger = node(beside, smaller), node(beside, larger)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            larger = node(larger, beside)
        at, last = at >> 1, last >> 1
    _expect(last == 0, "it is too short")
    _expect(smaller == first_root, "it does not come from the smaller tree")
    _expect(larger == second_root, "it leads to another root")


def _expect(right: bool, otherwise: str) -> None:  # noqa: FBT001 (reads as a sentence)
    if not right:
        raise ProofIsWrong(f"{ProofIsWrong.__doc__} ({otherwise})")


def _expect_hashes(hashes: Sequence[bytes]) -> None:
    _expect(len(hashes) <= MOST_HASHES + 3, "it is too long")
    _expect(all(len(each) == _BYTES for each in hashes), "not every hash in it has 32 bytes")
