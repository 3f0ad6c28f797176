"""Random bytes of the operating system, fetched in blocks.

For each fetch Python lets other threads compute, and then waits for its turn again: a large claim with some ten random values a
line would wait ten times a line, and every small command as often as it has entries.
"""

import os
from threading import local
from typing import Final

_BLOCK_BYTES: Final = 4_096


class _Blocks(local):
    """What each thread has fetched and not given out."""

    block: bytes = b""
    given: int = 0


_blocks = _Blocks()


def random_bytes(many: int) -> bytes:
    """So many bytes, none of which was ever given out before."""
    end = _blocks.given + many
    if end > len(_blocks.block):
        _blocks.block, end = os.urandom(max(_BLOCK_BYTES, many)), many
    given, _blocks.given = _blocks.block[end - many : end], end
    return given


def _forget() -> None:
    """Let a process that was forked fetch its own: what its parent has fetched is the parent's to give out."""
    global _blocks  # noqa: PLW0603 (there is one, and only here)
    _blocks = _Blocks()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
