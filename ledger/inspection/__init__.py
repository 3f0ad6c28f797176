"""Everything that an auditor wants looked over in a database, whoever had it in hands: `inspect` names whatever does not hold.

It trusts nothing but the stored bytes, and what was published or signed elsewhere: a history that was rewritten from one entry to
the end, with every hash made anew, is whole in itself, and only a head or a checkpoint that somebody kept can say that it was
another. It changes nothing, needs no trigger to stand, and may run beside the service. `kinds` sees that values can be read;
`entries` goes along the log; `receipts`, `subtrees`, `vault` and `checkpoints` are what stands beside it. Read models are
compared above, as they are made there.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from domain.log import SealedHead
from ledger import failures, schema
from ledger.entry import Registry
from ledger.inspection import kinds, receipts, subtrees
from ledger.inspection.checkpoints import Checkpoints
from ledger.inspection.entries import Entries
from ledger.inspection.findings import Fault, Findings
from ledger.inspection.vault import Vault
from ledger.log import Log
from ledger.notes import Verifier
from ledger.snapshot import snapshot
from ledger.vault import Seals

__all__ = ["Evidence", "Fault", "Findings", "inspect", "inspect_entries", "inspect_hashes", "inspect_history"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """What whoever asks knows of the log from elsewhere, as far as they do."""

    seals: Seals | None = None
    """The vault's key."""
    published: SealedHead | None = None
    """The head that was published last."""
    notes: Sequence[str] = ()
    """Checkpoints that were kept elsewhere."""
    keys: Sequence[Verifier] = ()
    """The keys of which one must have signed each of them; none: the log's own."""
    current: bytes | None = None
    """The public half of the key that signs the log."""

    @property
    def sizes(self) -> set[int]:
        """The sizes of the log of which it says what the root is."""
        return {*([self.published.size] if self.published else []), *Checkpoints.sizes_of(self.notes)}


def inspect(log: Log, registry: Registry, evidence: Evidence, progress: Callable[[int, int], None]) -> Findings:
    """Look a log over, with all that stands beside it; `progress` is told entries done and in all."""
    findings = Findings()
    _protection(log, findings)
    with snapshot(log) as reads:
        if not kinds.inspect(reads, findings):
            return findings
        checkpoints, vault = Checkpoints(reads, findings, registry), Vault(reads, findings, registry)
        entries = Entries(findings, checkpoints.sizes | evidence.sizes)
        entries.go(reads, vault.look, progress)
        receipts.inspect(reads, findings)
        subtrees.inspect(reads, findings)
        vault.inspect(evidence.seals)
        checkpoints.inspect(entries.roots, current=evidence.current)
        _hold(checkpoints, entries, evidence)
    return findings


def inspect_history(log: Log, registry: Registry, evidence: Evidence, progress: Callable[[int, int], None]) -> Findings:
    """Look over hashes only, as `inspect_hashes` does, and hold the log to what was published, or signed and kept elsewhere."""
    findings = Findings()
    with snapshot(log) as reads:
        checkpoints, entries = Checkpoints(reads, findings, registry), Entries(findings, evidence.sizes, columns=False)
        entries.go(reads, lambda _: None, progress)
        _hold(checkpoints, entries, evidence)
    return findings


def inspect_hashes(log: Log, progress: Callable[[int, int], None]) -> Findings:
    """Look over only that the stored bytes lead to every leaf and to every head's root: several times as fast."""
    return _entries(log, progress, columns=False)


def inspect_entries(log: Log, progress: Callable[[int, int], None]) -> Findings:
    """Look over entries and heads, with every column and header, and nothing of what stands beside the log."""
    return _entries(log, progress, columns=True)


def _hold(checkpoints: Checkpoints, entries: Entries, evidence: Evidence) -> None:
    if evidence.published:
        checkpoints.published(entries.roots, evidence.published)
    for note in evidence.notes:
        checkpoints.given(entries.roots, note, list(evidence.keys))


def _entries(log: Log, progress: Callable[[int, int], None], *, columns: bool) -> Findings:
    findings = Findings()
    with snapshot(log) as reads:
        Entries(findings, columns=columns).go(reads, lambda _: None, progress)
    return findings


def _protection(log: Log, findings: Findings) -> None:
    with failures.told(), log.engine.connect() as connection:
        schema.expect_release(connection)
        for missing in sorted(schema.unprotected(connection)):
            findings.note("database", None, f"the trigger {missing} is missing: the log can be changed")
