"""Receipts: each is of entries that there are, that its person made, and that no other receipt is of."""

import re
from typing import Any, Final

import orjson

from ledger.inspection.findings import Findings
from ledger.snapshot import Snapshot

_AT_ONCE: Final = 2_000
_FINGERPRINT: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_RECEIPTS: Final = (
    "SELECT r.person, r.key, r.first, r.last, r.fingerprint, f.state, l.position FROM receipts r "
    "LEFT JOIN entries f ON f.position = r.first LEFT JOIN entries l ON l.position = r.last "
    "WHERE (r.first, r.person, r.key) > (?, ?, ?) ORDER BY r.first, r.person, r.key LIMIT ?"
)


def inspect(reads: Snapshot, findings: Findings) -> None:
    """Look all receipts over. What a request was nobody can tell from the log: of its fingerprint, only that it is one."""
    after: tuple[Any, ...] = (-(2**62), "", "")
    reached = 0
    while rows := reads.ask(_RECEIPTS, *after, _AT_ONCE):
        for person, key, first, last, fingerprint, state, end in rows:
            if not _FINGERPRINT.fullmatch(fingerprint):
                findings.note("receipt", first, f"of {key} by {person}: its fingerprint is none")
            if last < first:  # Nothing came of the request.
                continue
            if state is None or end is None:
                findings.note("receipt", first, f"of {key} by {person}: it is of entries {first} to {last}, which there are not")
            elif _person(state) != person:
                findings.note("receipt", first, f"of {key} by {person}: somebody else made entry {first}")
            elif first <= reached:
                findings.note("receipt", first, f"of {key} by {person}: another receipt is of entry {first} too")
            reached = max(reached, last)
        findings.count("receipts", len(rows))
        after = (rows[-1][2], *rows[-1][:2])


def _person(state: bytes) -> Any:
    try:
        return orjson.loads(state)["person"]
    except (ValueError, KeyError, TypeError):
        return None
