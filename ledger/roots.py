"""Goes along a log from its beginning and works everything out anew: every leaf, each award's chain, every head's root."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from ledger import merkle
from ledger.entry import NO_LEAF, Draft, Row, leaf_of, place, previous_of
from ledger.log import Reads

_AT_ONCE: Final = 1_000


class Seal(NamedTuple):
    """A head: the root over so many entries, and when the last of them was recorded, as `written` writes it."""

    size: int
    root: bytes
    recorded_at: str


@dataclass(slots=True)
class Roots:
    """How far it has come, and what it takes to go on."""

    entries: int = 0
    frontier: list[bytes] = field(default_factory=list)
    _tips: dict[str, tuple[int, bytes]] = field(default_factory=dict)

    @property
    def root(self) -> bytes:
        """The root over the entries so far."""
        return merkle.root_of(self.frontier)

    def take(self, row: Row) -> list[str]:
        """Go past the next entry; gives what of it is not as it was sealed."""
        faults = []
        self.entries += 1
        where = f"entry {row.position}"
        if row.position != self.entries:
            faults.append(f"{where} stands where entry {self.entries} should")
        leaf = leaf_of(row.header, row.state)
        if leaf != row.leaf:
            faults.append(f"{where} is not what was sealed")
        sequence, tip = self._tips.get(row.award, (0, NO_LEAF)) if row.award else (-1, NO_LEAF)
        if previous_of(row) != tip or (row.award_sequence or 0) != sequence + 1:
            faults.append(f"{where} does not follow the entry of {row.award} before it")
        if row.award:
            self._tips[row.award] = sequence + 1, row.leaf
        said = Draft(row.stream, row.version, row.type, row.state, row.award)
        if place(said, row.position, row.recorded_at, sequence + 1, tip).header != row.header:
            faults.append(f"the columns of {where} do not say what its header says")
        merkle.grow(self.frontier, self.entries - 1, leaf)
        return faults

    def pass_seal(self, seal: Seal) -> list[str]:
        """Go past a head; gives what is wrong with it."""
        if seal.size != self.entries:
            return [f"a head of {seal.size} entries stands after entry {self.entries}"]
        if seal.root != self.root:
            return [f"the root after entry {seal.size} is not the one that the log was sealed with"]
        return []


def walk(reads: Reads, upto: int) -> Iterator[Row | Seal]:
    """The entries up to one, in order, and after the last one of each commit its head."""
    seals = _seals(reads)
    seal = next(seals, None)
    for row in reads.walk(upto=upto):
        yield row
        while seal is not None and seal.size <= row.position:
            yield seal
            seal = next(seals, None)


def _seals(reads: Reads) -> Iterator[Seal]:
    after = 0
    while heads := reads.full_heads(after, _AT_ONCE):
        yield from (Seal(size, root, moment) for size, _, root, moment in heads)
        after = heads[-1][0]
