"""The tree of RFC 6962 over the leaves, grown one leaf at a time.

The frontier is the roots of the perfect subtrees that the leaves fall into, the largest first: all that is needed to add a leaf
and to tell the root. Proofs are in `proofs`.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

EMPTY_ROOT: Final = sha256(b"").digest()
_BYTES: Final = 32


def node(left: bytes, right: bytes) -> bytes:
    """SHA-256(0x01 ‖ left ‖ right)."""
    return sha256(b"\1" + left + right).digest()


def grow(frontier: list[bytes], size: int, leaf: bytes) -> None:
    """Add a leaf to a frontier over `size` leaves, in place."""
    while size & 1:
        leaf = node(frontier.pop(), leaf)
        size >>= 1
    frontier.append(leaf)


def layers(frontier: list[bytes], size: int, leaves: list[bytes]) -> list[tuple[int, list[bytes]]]:
    """What stands at each height, from the leaves up, when leaves are added to a frontier over `size`; quicker than one by one.

    Of each height the nodes that are new, after that of the frontier if there is one, and the number of the first of them.
    """
    found, left, nodes, first = [], list(frontier), leaves, size
    while left or nodes:
        if first & 1:
            nodes, first = [left.pop(), *nodes], first - 1
        found.append((first, nodes))
        pairs = iter(nodes)
        nodes = [sha256(b"\1" + one + two).digest() for one, two in zip(pairs, pairs, strict=False)]  # A last one may be single.
        first >>= 1
    return found


def frontier_at(layers: list[tuple[int, list[bytes]]], size: int) -> list[bytes]:
    """The frontier over as many leaves as there were when layers were made, or some of those that were added."""
    found = [nodes[(size >> height) - 1 - first] for height, (first, nodes) in enumerate(layers) if size >> height & 1]
    found.reverse()
    return found


def root_of(frontier: list[bytes]) -> bytes:
    """The root over everything that a frontier stands for."""
    if not frontier:
        return EMPTY_ROOT
    *others, root = frontier
    for left in reversed(others):
        root = node(left, root)
    return root


def root(leaves: Iterable[bytes]) -> bytes:
    """The root over leaves, computed from nothing."""
    frontier: list[bytes] = []
    for size, leaf in enumerate(leaves):
        grow(frontier, size, leaf)
    return root_of(frontier)


def packed(frontier: list[bytes]) -> bytes:
    """A frontier as it is stored."""
    return b"".join(frontier)


def unpacked(stored: bytes) -> list[bytes]:
    """A stored frontier."""
    return [stored[start : start + _BYTES] for start in range(0, len(stored), _BYTES)]
