"""Checks the log against itself: every entry's leaf, each award's chain, and every head's root, all computed anew."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ledger import merkle
from ledger.entry import NO_LEAF, Row, leaf_of, place, previous_of
from ledger.entry import Draft as Said
from ledger.ledger import Ledger

_AT_ONCE: Final = 1_000
_MOST_TOLD: Final = 20


@dataclass(slots=True)
class LogChecked:
    """What came of it. `faults` are at most 20; there are none if the log is whole."""

    entries: int = 0
    heads: int = 0
    root: str = merkle.EMPTY_ROOT.hex()
    faults: list[str] = field(default_factory=list)

    def fault(self, what: str) -> None:
        """Note what is wrong."""
        if len(self.faults) < _MOST_TOLD:
            self.faults.append(what)


def check_log(ledger: Ledger, progress: Callable[[int, int], None]) -> LogChecked:
    """Go through the whole log once."""
    checked = LogChecked()
    size = ledger.head().size
    heads = _heads(ledger)
    head = next(heads, None)
    frontier: list[bytes] = []
    tips: dict[str, tuple[int, bytes]] = {}
    for row in _rows(ledger, size):
        checked.entries += 1
        _check_row(checked, row, tips)
        merkle.grow(frontier, checked.entries - 1, leaf_of(row.header, row.state))
        if head and head[0] == checked.entries:
            checked.heads += 1
            if merkle.root_of(frontier) != head[1]:
                checked.fault(f"the root after entry {head[0]} is not the one that the log was sealed with")
            head = next(heads, None)
        if checked.entries % _AT_ONCE == 0:
            progress(checked.entries, size)
    if checked.entries != size:
        checked.fault(f"the log has {checked.entries} entries, but its last head seals {size}")
    checked.root = merkle.root_of(frontier).hex()
    progress(checked.entries, size)
    return checked


def _check_row(checked: LogChecked, row: Row, tips: dict[str, tuple[int, bytes]]) -> None:
    where = f"entry {row.position}"
    if row.position != checked.entries:
        checked.fault(f"{where} stands where entry {checked.entries} should")
    if leaf_of(row.header, row.state) != row.leaf:
        checked.fault(f"{where} is not what was sealed")
    sequence, tip = tips.get(row.award, (0, NO_LEAF)) if row.award else (-1, NO_LEAF)
    if previous_of(row) != tip or (row.award_sequence or 0) != sequence + 1:
        checked.fault(f"{where} does not follow the entry of {row.award} before it")
    if row.award:
        tips[row.award] = sequence + 1, row.leaf
    copied = place(
        Said(row.stream, row.version, row.type, row.state, row.award), row.position, row.recorded_at, sequence + 1, tip
    )
    if copied.header != row.header:
        checked.fault(f"the columns of {where} do not say what its header says")


def _rows(ledger: Ledger, upto: int) -> Iterator[Row]:
    after = 0
    while rows := ledger.log.reads.rows(after, _AT_ONCE, upto=upto):
        yield from rows
        after = rows[-1].position


def _heads(ledger: Ledger) -> Iterator[tuple[int, bytes]]:
    after = 0
    while heads := ledger.log.reads.heads(after, _AT_ONCE):
        yield from heads
        after = heads[-1][0]
