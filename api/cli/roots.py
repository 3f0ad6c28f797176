"""Checks the log against itself: every entry's leaf, each award's chain, and every head's root, all computed anew."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ledger import merkle
from ledger.ledger import Ledger
from ledger.roots import Roots, Seal, walk

_AT_ONCE: Final = 1_000
_MOST_TOLD: Final = 20


@dataclass(slots=True)
class LogChecked:
    """What came of it. `faults` are at most 20; there are none if the log is whole."""

    entries: int = 0
    heads: int = 0
    root: str = merkle.EMPTY_ROOT.hex()
    faults: list[str] = field(default_factory=list)

    def note(self, faults: list[str]) -> None:
        """Note what is wrong."""
        self.faults += faults[: _MOST_TOLD - len(self.faults)]


def check_log(ledger: Ledger, progress: Callable[[int, int], None]) -> LogChecked:
    """Go through the whole log once."""
    checked, roots = LogChecked(), Roots()
    size = ledger.head().size
    for each in walk(ledger.log.reads, size):
        if isinstance(each, Seal):
            checked.heads += 1
            checked.note(roots.pass_seal(each))
        else:
            checked.note(roots.take(each))
        if roots.entries % _AT_ONCE == 0:
            progress(roots.entries, size)
    if roots.entries != size:
        checked.note([f"the log has {roots.entries} entries, but its last head seals {size}"])
    checked.entries, checked.root = roots.entries, roots.root.hex()
    progress(checked.entries, size)
    return checked
