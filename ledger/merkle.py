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
