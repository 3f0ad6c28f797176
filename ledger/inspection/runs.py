"""Runs of entries as hashes need them, as cheaply as each database gives them: every stored byte is hashed here.

SQLite works in this process and gives rows. A row that comes over a connection costs as much as hashing it does, so PostgreSQL is
asked for all entries of a run in one: a list of positions, one of what is hashed, one of leaves. A run only ever says that its
entries are whole; where one is not, whoever looks reads the rows.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, Final, Protocol

from ledger.snapshot import Snapshot
from ledger.wire import Rows

_AT_ONCE: Final = 250
"""Rows of a batch: what is looked at while PostgreSQL sends the next ones, and small enough to stay in the processor's cache."""
_TOGETHER_AT_ONCE: Final = 500
"""Entries of a run that comes in one: a few hundred kilobytes, and 30 MB if each of them is as long as one can be."""
_BEFORE_ALL: Final = -(2**62)
_AFTER_ALL: Final = 2**63 - 1
_HEADS: Final = "SELECT size, frontier, root, recorded_at FROM heads WHERE size > ? ORDER BY size LIMIT ?"
_ROWS: Final = "SELECT position, header, state, leaf FROM entries WHERE position > ? ORDER BY position LIMIT ?"
_WITH_COLUMNS: Final = (
    "SELECT position, header, state, leaf, stream, version, type, recorded_at, award, award_sequence FROM entries "
    "WHERE position > ? ORDER BY position LIMIT ?"
)
_ROWS_UPTO: Final = "SELECT position, header, state, leaf FROM entries WHERE position > ? AND position <= ? ORDER BY position"
_TOGETHER: Final = (
    "SELECT max(position), min(position), array_agg(position), array_agg(header || state), array_agg(leaf) "
    "FROM (SELECT position, header, state, leaf FROM entries WHERE position > ? ORDER BY position LIMIT ?) AS run "
    "HAVING count(*) > 0"
)


class Run(Protocol):
    """Entries in order of position."""

    last: int
    """The position of the last of them."""

    def hashed(self) -> list[bytes]:
        """The leaves that their bytes make."""

    def leaves(self, size: int) -> list[bytes] | None:
        """Their leaves, if they stand at the positions after `size`, each with the leaf that its bytes make."""

    def rows(self, reads: Snapshot) -> Rows:
        """Each with position, header, state and leaf, as it stands; and with the other columns, if they were asked for."""


class Runs:
    """The log from its beginning in runs, each with its heads; afterwards `left` has the heads for which there are no entries.

    Within `reads.ahead()` PostgreSQL finds the next run while somebody looks at one.
    """

    def __init__(self, reads: Snapshot, *, columns: bool = False) -> None:
        self._heads = (head for heads in reads.batches(_HEADS, _BEFORE_ALL, _TOGETHER_AT_ONCE) for head in heads)
        self._next = next(self._heads, None)
        self._runs = _runs(reads, columns=columns)

    def __iter__(self) -> Iterator[tuple[Run, Rows]]:
        for run in self._runs:
            yield run, [*self._upto(run.last)]

    def left(self) -> Iterator[tuple[Any, ...]]:
        """Heads beyond the last entry, when all runs have been gone through."""
        return self._upto(_AFTER_ALL)

    def _upto(self, size: int) -> Iterator[tuple[Any, ...]]:
        while (head := self._next) is not None and head[0] <= size:
            yield head
            self._next = next(self._heads, None)


def _runs(reads: Snapshot, *, columns: bool) -> Iterator[Run]:
    if columns or reads.sqlite:
        return map(_Apart, reads.batches(_WITH_COLUMNS if columns else _ROWS, _BEFORE_ALL, _AT_ONCE))
    return (_Together(together) for (together,) in reads.batches(_TOGETHER, _BEFORE_ALL, _TOGETHER_AT_ONCE))


def _whole(run: "_Apart | _Together", positions: list[int], stored: list[bytes], size: int) -> list[bytes] | None:
    """The leaves of a run, if its positions follow, and its leaves are those that are stored."""
    if positions != [*range(size + 1, size + 1 + len(positions))]:
        return None
    try:
        made = run.hashed()
    except TypeError:  # Somebody put there what are no bytes.
        return None
    return made if made == stored else None


class _Apart:
    """A run of rows."""

    def __init__(self, rows: Rows) -> None:
        self.last: int = rows[-1][0]
        self._rows = rows

    def hashed(self) -> list[bytes]:
        return [sha256(b"\0" + header + state).digest() for _, header, state, *_ in self._rows]

    def leaves(self, size: int) -> list[bytes] | None:
        return _whole(self, [row[0] for row in self._rows], [row[3] for row in self._rows], size)

    def rows(self, _: Snapshot) -> Rows:
        return self._rows


class _Together:
    """A run that came in one."""

    def __init__(self, together: Sequence[Any]) -> None:
        self.last: int
        self.last, self._first, self._positions, self._entries, self._leaves = together

    def hashed(self) -> list[bytes]:
        return [sha256(b"\0" + entry).digest() for entry in self._entries]

    def leaves(self, size: int) -> list[bytes] | None:
        return _whole(self, self._positions, self._leaves, size)

    def rows(self, reads: Snapshot) -> Rows:
        return reads.ask(_ROWS_UPTO, self._first - 1, self.last)
