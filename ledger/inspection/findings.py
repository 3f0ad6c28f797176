"""What was looked over, and what does not hold."""

from dataclasses import dataclass, field
from typing import Final, NamedTuple

MOST_NAMED: Final = 200
"""Faults that are named; of further ones it is told how many there are."""


class Fault(NamedTuple):
    """Something that does not hold: where it stands, at which position or size if it has one, and what is wrong with it."""

    where: str
    position: int | None
    what: str

    def __str__(self) -> str:
        place = self.where if self.position is None else f"{self.where} {self.position}"
        return f"{place}: {self.what}"


@dataclass(slots=True)
class Findings:
    """How much was looked over, and the faults in the order in which they were found, which in the log is that of positions."""

    size: int = 0
    """How far the log's last head goes."""
    root: bytes = b""
    counts: dict[str, int] = field(default_factory=dict)
    """How many of each kind were looked over."""
    faults: list[Fault] = field(default_factory=list)
    unnamed: int = 0
    """How many faults there are beyond those that are named."""
    left_out: list[str] = field(default_factory=list)
    """What could not be looked over, and why."""

    def note(self, where: str, position: int | None, what: str) -> None:
        """Name a fault."""
        if len(self.faults) < MOST_NAMED:
            self.faults.append(Fault(where, position, what))
        else:
            self.unnamed += 1

    def count(self, kind: str, many: int = 1) -> None:
        """Count what was looked over."""
        self.counts[kind] = self.counts.get(kind, 0) + many
