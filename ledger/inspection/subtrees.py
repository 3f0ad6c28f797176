"""Subtrees: each root that is kept, so that proofs are quick, is that of what stands below it."""

from typing import Final

from ledger import merkle
from ledger.inspection.findings import Findings
from ledger.snapshot import Snapshot
from ledger.tree import HEIGHT, WIDTH

_AT_ONCE: Final = 1_000
_SUBTREES: Final = "SELECT height, number, root FROM subtrees WHERE (height, number) > (?, ?) ORDER BY height, number LIMIT ?"


def inspect(reads: Snapshot, findings: Findings) -> None:
    """Work every root out anew from the 256 leaves or roots below it; that leaves are right, `entries` says."""
    after = (-(2**62), 0)
    while rows := reads.ask(_SUBTREES, *after, _AT_ONCE):
        for height, number, root in rows:
            span = number * WIDTH, (number + 1) * WIDTH
            below = reads.leaves(*span) if height == HEIGHT else reads.subtrees(height - HEIGHT, *span)
            if len(below) < WIDTH:
                findings.note("subtree", number, f"of height {height}: the log has not all of what is below it")
            elif merkle.root(below) != root:
                findings.note("subtree", number, f"of height {height}: its root is not that of what is below it")
        findings.count("subtrees", len(rows))
        after = rows[-1][:2]
