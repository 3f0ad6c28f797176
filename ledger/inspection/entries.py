"""Entries and heads, from the first to the last: every byte that is stored leads to the leaf, the root and the columns beside it.

Batches go through three stages, each with few steps an entry: leaves are hashed, put into the tree up to each head, and then
columns, header and state are compared with one another. Where the tree does not come to a head's root, it goes on from that head,
if the head is whole in itself: so one fault does not hide the next one.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from typing import Any, Final

import orjson

from ledger import merkle
from ledger.entry import NO_LEAF, PREFIX, award_named
from ledger.inspection.findings import Findings
from ledger.inspection.runs import Run, Runs
from ledger.snapshot import Snapshot

_NO_LEAF: Final = NO_LEAF.hex()
_SHOWN: Final = 60

Row = Sequence[Any]
Look = Callable[[Sequence[Row]], None]
"""Somebody else who looks at the entries of a batch, on the way."""


class Entries:
    """Goes along the log. `marked` are sizes of which the root is wanted; `roots` has them afterwards, where the log goes so far.

    With `columns`, header and columns are compared with the stored bytes, and chains, versions and times followed.
    """

    def __init__(self, findings: Findings, marked: Collection[int] = (), *, columns: bool = True) -> None:
        self.roots: dict[int, bytes] = {0: merkle.EMPTY_ROOT}
        self._findings = findings
        self._marked = frozenset(marked)
        self._marks = sorted(self._marked)
        self._columns = _Columns(findings) if columns else None
        self._frontier: list[bytes] | None = []
        """What the tree is grown from; nothing where entries are missing, up to the next head."""
        self._size = 0
        """The position of the last entry."""
        self._sealed = 0
        """The size of the last head."""

    def go(self, reads: Snapshot, look: Look, progress: Callable[[int, int], None]) -> None:
        """Go from the beginning to the end; with `columns`, somebody else looks at each run too."""
        findings = self._findings
        head = reads.head()
        findings.size, findings.root = (head[0], head[2]) if head else (0, merkle.EMPTY_ROOT)
        with reads.ahead():
            runs = Runs(reads, columns=self._columns is not None)
            for run, heads in runs:
                findings.count("entries", self._pass(run, heads, reads, look))
                progress(run.last, findings.size)
            for size, *_ in runs.left():
                findings.note("head", size, f"it seals {size} entries, but the log ends at entry {self._size}")
        if self._sealed < self._size:
            findings.note("entry", self._sealed + 1, f"no head seals it and what follows: the last one is of {self._sealed}")

    def _pass(self, run: Run, heads: Sequence[Row], reads: Snapshot, look: Look) -> int:
        """Go past a run, row by row where it is not whole, to say why; gives how many entries it has."""
        before = self._sealed
        leaves: Sequence[bytes | None]
        whole = run.leaves(self._size)
        if whole is not None and self._goes_on(whole, heads):
            leaves = whole
        else:
            rows = run.rows(reads)
            leaves = self._leaves(rows)
            self._grow(rows, leaves, heads)
        if self._columns is not None:
            rows = run.rows(reads)
            self._columns.compare(rows, leaves, {before: None} | {head[0]: head[3] for head in heads})
            look(rows)
        return len(leaves)

    def _goes_on(self, leaves: list[bytes], heads: Sequence[Row]) -> bool:
        """Put leaves that follow into the tree, if it comes to every head's root; if not, `_grow` says where it does not."""
        if self._frontier is None:
            return False
        layers, end = merkle.layers(self._frontier, self._size, leaves), self._size + len(leaves)
        for size, frontier, root, _ in heads:
            own = merkle.frontier_at(layers, size) if size > self._size else []
            if not own or merkle.packed(own) != frontier or merkle.root_of(own) != root:
                return False
        for size in self._marks[bisect_right(self._marks, self._size) : bisect_right(self._marks, end)]:
            self.roots[size] = merkle.root_of(merkle.frontier_at(layers, size))
        self._frontier, self._size = merkle.frontier_at(layers, end), end
        self._findings.count("heads", len(heads))
        if heads:
            self._sealed = heads[-1][0]
        return True

    def _leaves(self, rows: Sequence[Row]) -> list[bytes | None]:
        """The leaves that the stored bytes make; nothing for what are no bytes."""
        made = [_leaf(row) for row in rows]
        if made != [row[3] for row in rows]:
            for row, leaf in zip(rows, made, strict=True):
                if leaf != row[3]:
                    self._findings.note("entry", row[0], "its bytes do not make its leaf: one of the two was changed")
        return made

    def _grow(self, rows: Sequence[Row], leaves: Sequence[bytes | None], heads: Sequence[Row]) -> None:
        """Put leaves into the tree, and compare it with every head and keep its root at every mark on the way."""
        sealed = {head[0]: head for head in heads}
        self._findings.count("heads", len(heads))
        stops = self._marked | sealed.keys()
        frontier, size, grow = self._frontier, self._size, merkle.grow
        for row, leaf in zip(rows, leaves, strict=True):
            position = row[0]
            if position != size + 1:
                self._skip(size, position)
                if position <= size:
                    continue
                frontier, size = None, position - 1
            if leaf is None:
                frontier = None
            if frontier is not None:
                grow(frontier, size, leaf)  # type: ignore[arg-type] # it is nothing only where there is no frontier
            size = position
            if position in stops:
                self._frontier = frontier
                if (head := sealed.pop(position, None)) is not None:
                    self._seal(head)
                if position in self._marked and self._frontier is not None:
                    self.roots[position] = merkle.root_of(self._frontier)
                frontier = self._frontier
        self._frontier, self._size = frontier, size
        for at in sealed:
            self._findings.note("head", at, f"there is no entry {at} for it to seal")

    def _skip(self, size: int, position: int) -> None:
        if position <= size:
            self._findings.note("entry", position, "it stands before the first position, where there can be none")
        elif position == size + 2:
            self._findings.note("entry", size + 1, "it is missing")
        else:
            self._findings.note("entry", size + 1, f"it is missing, and so is everything up to entry {position - 1}")

    def _seal(self, head: Row) -> None:
        """Compare the tree with a head, and go on from the head if it is another."""
        size, frontier, root, _ = head
        self._sealed = size
        own = self._frontier
        if own is not None and merkle.packed(own) == frontier and merkle.root_of(own) == root:
            return
        whole = _unpacked(size, frontier, root)
        if own is not None:
            if merkle.root_of(own) != root:
                self._findings.note("head", size, f"the {size} entries up to it lead to another root than it was sealed with")
            else:
                self._findings.note("head", size, "its frontier is not that of its entries, though its root is")
                return
        if whole is not None or own is None:
            self._frontier = whole


def _leaf(row: Row) -> bytes | None:
    try:
        return sha256(b"\0" + row[1] + row[2]).digest()
    except TypeError:
        return None


def _unpacked(size: int, frontier: Any, root: Any) -> list[bytes] | None:
    """A head's frontier, if it leads to the head's root."""
    if not isinstance(frontier, bytes) or len(frontier) != len(merkle.EMPTY_ROOT) * size.bit_count():
        return None
    found = merkle.unpacked(frontier)
    return found if merkle.root_of(found) == root else None


class _Columns:
    """Columns are copies of what the bytes say; numbers and times go on from those before."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._tips: dict[str, tuple[int, str | None]] = {}
        """The number and the leaf of each award's last entry; no leaf where it is in doubt."""
        self._versions: dict[str, int] = {}
        self._recorded_at = ""
        self._position = 0

    def compare(self, rows: Sequence[Row], leaves: Sequence[bytes | None], sealed: dict[int, str | None]) -> None:
        """Compare a batch. `sealed` has the heads within it, and the last one before it, by size, with their times."""
        tips, versions = self._tips, self._versions
        for row, leaf in zip(rows, leaves, strict=True):
            position, header, state, stored, stream, version, kind, recorded_at, award, sequence = row
            if leaf is None:
                continue
            number, tip = (0, _NO_LEAF) if award is None else tips.get(award, (0, _NO_LEAF))
            if award is not None:
                number += 1
                tips[award] = number, leaf.hex() if leaf == stored else None
            if (
                f"{PREFIX} {position} {recorded_at} {award or '-'} {number} {tip}\n".encode() != header
                or (sequence or 0) != number
                or (award is None) is not (sequence is None)
            ):
                recorded_at = self._tell_header(row, number, tip)
            if not state.endswith(f',"stream":"{stream}","type":"{kind}","version":{version}}}'.encode()):
                self._tell_state(row)
            if _award(stream) != award:
                self._findings.note("entry", position, f"its stream is of another award than {_shown(award)}")
            expected = versions.get(stream, 0) + 1
            if version != expected:
                self._findings.note("entry", position, f"{stream} has version {_shown(version)} where {expected} should follow")
            versions[stream] = version if isinstance(version, int) else expected
            if recorded_at != self._recorded_at or position in sealed:
                self._time(position, recorded_at, sealed)
            self._position = position

    def _time(self, position: int, recorded_at: Any, sealed: dict[int, str | None]) -> None:
        """Entries of one commit were recorded at one time, that of the head which seals them; time never goes back."""
        last, before, note = self._recorded_at, self._position, self._findings.note
        if recorded_at != last:
            if not isinstance(recorded_at, str) or recorded_at < last:
                note("entry", position, "it was recorded earlier than the entry before it")
            if before not in sealed:
                note("head", before, f"it is missing: entry {position} is of a later commit than entry {before}")
        if position in sealed and sealed[position] not in {recorded_at, None}:
            note("head", position, f"its time is not that of entry {position}")
        self._recorded_at = recorded_at if isinstance(recorded_at, str) else last

    def _tell_header(self, row: Row, number: int, tip: str | None) -> Any:
        """Say which of a header's words is another than was to be expected; the time that was sealed."""
        position, header, _, _, _, _, _, recorded_at, award, sequence = row
        words = header.removesuffix(b"\n").decode("ascii", "replace").split(" ")
        if len(words) != 6 or words[0] != PREFIX or not header.endswith(b"\n"):  # noqa: PLR2004 (as the format has them)
            self._findings.note("entry", position, "its header is no header")
            return recorded_at
        _, at, moment, named, counted, previous = words
        columns = (("position", at, position), ("recorded_at", moment, recorded_at), ("award", named, award or "-"))
        for column, said, is_ in columns:
            if said != str(is_):
                self._findings.note("entry", position, f"its {column} is {_shown(is_)}, but {_shown(said)} in what was sealed")
        if counted != str(sequence or 0) or (award is None) is not (sequence is None):
            told = f"its award_sequence is {_shown(sequence)}, but {_shown(counted)} in what was sealed"
            self._findings.note("entry", position, told)
        if counted != str(number):
            told = f"it is number {_shown(counted)} of {_shown(award)}, where number {number} should follow"
            self._findings.note("entry", position, told)
            if award is not None and counted.isascii() and counted.isdigit():
                self._tips[award] = int(counted), self._tips[award][1]
        elif tip is not None and previous != tip:
            of = "no award" if award is None else _shown(award)
            self._findings.note("entry", position, f"it follows another entry of {of} than the one before it")
        return moment

    def _tell_state(self, row: Row) -> None:
        """Say which column is another than the state says, if one is."""
        position, _, state, _, stream, version, kind, *_ = row
        try:
            said = orjson.loads(state)
            found = [(name, said[name], is_) for name, is_ in (("stream", stream), ("version", version), ("type", kind))]
        except (ValueError, KeyError, TypeError):
            self._findings.note("entry", position, "its state cannot be read")
            return
        for column, must, is_ in found:
            if must != is_:
                told = f"its {column} is {_shown(is_)}, but {_shown(must)} in what was sealed"
                self._findings.note("entry", position, told)


def _award(stream: Any) -> str | None:
    try:
        return award_named(stream)
    except (ValueError, AttributeError, TypeError):
        return None


def _shown(value: Any) -> str:
    """A value in a sentence, not longer than it should be."""
    text = str(value) if isinstance(value, (str, int)) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
