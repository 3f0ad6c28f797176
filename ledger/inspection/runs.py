"""Runs of entries as hashes need them, as cheaply as each database gives them: every stored byte is hashed here.

SQLite works in this process and gives rows. A row that comes over a connection costs as much as hashing it does, so PostgreSQL is
asked to join the bytes of a run into one value, with the length of each entry: nothing that it works out is taken for what is
stored but where one entry ends and the next begins, and that is what it says of rows too. A run only ever says that its entries
are whole; where one is not, whoever looks reads the rows.
"""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from itertools import accumulate, pairwise
from struct import pack, unpack
from typing import Any, Final, Protocol

from ledger.snapshot import Snapshot
from ledger.wire import Rows

_AT_ONCE: Final = 250
"""Rows of a batch: what is looked at while PostgreSQL sends the next ones, and small enough to stay in the processor's cache."""
_JOINED_AT_ONCE: Final = 500
"""Entries that are joined: a few hundred kilobytes, and never more than entries of 60 KiB make."""
BEFORE_ALL: Final = -(2**62)
HEADS: Final = "SELECT size, frontier, root, recorded_at FROM heads WHERE size > ? AND size <= ? ORDER BY size"
_ROWS: Final = "SELECT position, header, state, leaf FROM entries WHERE position > ? ORDER BY position LIMIT ?"
_WITH_COLUMNS: Final = (
    "SELECT position, header, state, leaf, stream, version, type, recorded_at, award, award_sequence FROM entries "
    "WHERE position > ? ORDER BY position LIMIT ?"
)
_ROWS_UPTO: Final = "SELECT position, header, state, leaf FROM entries WHERE position > ? AND position <= ? ORDER BY position"
_JOINED: Final = (
    "SELECT max(position), min(position), string_agg(int8send(position), ''), "
    "string_agg(int4send(octet_length(header) + octet_length(state)), ''), string_agg(header || state, ''), "
    "string_agg(leaf, ''), bool_and(octet_length(leaf) = 32 AND header IS NOT NULL AND state IS NOT NULL) "
    "FROM (SELECT position, header, state, leaf FROM entries WHERE position > ? ORDER BY position LIMIT ?) AS run "
    "HAVING count(*) > 0"
)
_TYPES: Final = (
    "SELECT a.atttypid::regtype::text FROM pg_attribute a WHERE a.attrelid = 'entries'::regclass "
    "AND a.attname IN ('header', 'leaf', 'position', 'state') AND NOT a.attisdropped ORDER BY a.attname"
)
_AS_MADE: Final = [("bytea",), ("bytea",), ("bigint",), ("bytea",)]


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


def runs(reads: Snapshot, *, columns: bool = False) -> Iterator[tuple[Run, Rows]]:
    """The log from its beginning, and with each run its heads."""
    if not columns and not reads.sqlite and reads.ask(_TYPES) == _AS_MADE:  # What was made a text by somebody cannot be joined.
        for (joined,), heads in reads.batches(_JOINED, BEFORE_ALL, _JOINED_AT_ONCE, HEADS):
            yield _Joined(joined), heads
        return
    for rows, heads in reads.batches(_WITH_COLUMNS if columns else _ROWS, BEFORE_ALL, _AT_ONCE, HEADS):
        yield _Apart(rows), heads


class _Apart:
    """A run of rows."""

    def __init__(self, rows: Rows) -> None:
        self.last: int = rows[-1][0]
        self._rows = rows

    def hashed(self) -> list[bytes]:
        return [sha256(b"\0" + header + state).digest() for _, header, state, *_ in self._rows]

    def leaves(self, size: int) -> list[bytes] | None:
        rows = self._rows
        if [row[0] for row in rows] != [*range(size + 1, size + 1 + len(rows))]:
            return None
        try:
            made = self.hashed()
        except TypeError:  # SQLite keeps in a column whatever somebody puts there.
            return None
        return made if made == [row[3] for row in rows] else None

    def rows(self, _: Snapshot) -> Rows:
        return self._rows


class _Joined:
    """A run of which PostgreSQL joined the bytes."""

    def __init__(self, joined: Sequence[Any]) -> None:
        self.last: int
        self.last, self._first, self._positions, self._lengths, self._entries, self._leaves, self._is_complete = joined

    def hashed(self) -> list[bytes]:
        entries = self._entries
        return [sha256(b"\0" + entries[start:end]).digest() for start, end in pairwise(self._ends())]

    def leaves(self, size: int) -> list[bytes] | None:
        many = len(self._positions) // 8
        if not self._is_complete or self._positions != pack(f">{many}q", *range(size + 1, size + 1 + many)):
            return None
        if self._ends()[-1] != len(self._entries):
            return None
        made = self.hashed()
        return made if b"".join(made) == self._leaves else None

    def rows(self, reads: Snapshot) -> Rows:
        return reads.ask(_ROWS_UPTO, self._first - 1, self.last)

    def _ends(self) -> list[int]:
        """Where each entry ends, after the beginning of the first."""
        return [*accumulate(unpack(f">{len(self._lengths) // 4}i", self._lengths), initial=0)]
