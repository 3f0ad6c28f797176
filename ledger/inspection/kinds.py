"""That each value is of its column's kind: SQLite keeps in a column whatever somebody puts there, PostgreSQL does not."""

from typing import Final

from ledger.inspection.findings import MOST_NAMED, Findings
from ledger.snapshot import Snapshot

_TABLES: Final = "SELECT name FROM sqlite_master WHERE type = 'table'"
_COLUMNS: Final = 'SELECT name, lower(type), "notnull" FROM pragma_table_info(?) ORDER BY cid'
_KINDS: Final = frozenset({"integer", "text", "blob"})
"""What the log's columns are of. A table that has none such is none of its tables: SQLite's own have columns of no kind."""


def inspect(reads: Snapshot, findings: Findings) -> bool:
    """Name the values that are of another kind than their column; whether there are none, so that others can look at them."""
    if not reads.sqlite:
        return True
    before = len(findings.faults)
    for (table,) in reads.ask(_TABLES):
        _table(reads, table, findings)
    if len(findings.faults) == before:
        return True
    findings.left_out.append("whatever else there is, as not all of what is stored is of its column's kind")
    return False


def _table(reads: Snapshot, table: str, findings: Findings) -> None:
    columns = [
        (name, kind, {kind} if needed else {kind, "null"}) for name, kind, needed in reads.ask(_COLUMNS, table) if kind in _KINDS
    ]
    if not columns:
        return
    fit = " AND ".join(f"typeof({name}) IN ({', '.join(map(repr, sorted(may)))})" for name, _, may in columns)
    kinds = ", ".join(f"typeof({name})" for name, *_ in columns)
    key = columns[0][0]
    sql = f"SELECT quote({key}), {kinds} FROM {table} WHERE NOT ({fit}) LIMIT ?"  # noqa: S608 (names out of the database's own list)
    for row, *found in reads.ask(sql, MOST_NAMED):
        for (name, kind, may), is_kind in zip(columns, found, strict=True):
            if is_kind not in may:
                findings.note(f"table {table}", None, f"in the row of {key} {row}, {name} is {is_kind}, must be {kind}")
