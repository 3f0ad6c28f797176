"""A backup: all of a log and its vault in one file, as they were at one moment; of either database, for either.

The file is gzip over lines of JSON. The first says what it is. Then come the entries in order, each as the header and the state
that were hashed, and after the last one of each commit its head; then the receipts, the vault, what tells the vault's key from
another, and what was signed: never a key. The last line counts them, and gives SHA-256 of all lines before it, which is the
backup's name to those who speak of it. Leaves, columns and frontiers are not in it, but worked out from the entries; so every
head is checked whenever a backup is written, read back or restored. Read models are not in it either: they are made anew from the
log.
"""

import gzip
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson

from domain.aggregate import Actor, S, Stream
from domain.event import Event
from domain.log import LOG, LogRestored, SealedHead
from domain.webhook import Reason, State, Webhook
from ledger import durable_file, failures, merkle
from ledger.entry import NO_LEAF, Registry, Row, draft, place, row_of, written
from ledger.facts import Folder, Streams
from ledger.log import CHECKPOINT, COSIGNATURE, ENTRY, HEAD, PACK_SIGNATURE, PARTICIPANT, RECEIPT, TEXT, Log, Turn
from ledger.roots import Roots, Seal, walk
from ledger.snapshot import Snapshot, snapshot
from ledger.states import States
from ledger.vault import Seals, WrongVaultKey
from ledger.wire import Wire

FORMAT: Final = "lcledger-backup-1"
_AT_ONCE: Final = 1_000
_LONGEST: Final = 1024 * 1024
"""A line has at most so many bytes: an entry has 60 KiB, of which JSON may make six times as many."""
_COMPRESSION: Final = 1
_BESIDE: Final = {
    "receipts": RECEIPT,
    "vault_key": (("id", "bigint"), ("checked", "bytea")),
    "texts": TEXT,
    "participants": PARTICIPANT,
    "checkpoints": CHECKPOINT,
    "cosignatures": COSIGNATURE,
    "pack_signatures": PACK_SIGNATURE,
}
"""The tables beside the log, with their columns."""
_KEYS: Final = {
    "receipts": 2, "vault_key": 1, "texts": 1, "participants": 2, "checkpoints": 1, "cosignatures": 2, "pack_signatures": 1,
}  # fmt: skip
"""How many columns of each, from the first on, are its key."""
_SIGNED: Final = frozenset({"checkpoints", "cosignatures", "pack_signatures"})
_COLUMNS: Final = {"entries": ENTRY, "heads": HEAD, **_BESIDE}

Progress = Callable[[int, int], None]
"""Told how many entries are done, and of how many."""
_Columns = Sequence[tuple[str, str]]
_Put = Callable[[str, _Columns, list[tuple[Any, ...]]], None]


class NotABackup(RuntimeError):
    """This file is no backup of a ledger, or one that a later release made."""


class NotSealed(RuntimeError):
    """The log is not what was sealed, and no backup was made; `lcledger verify` says why. Keep the database as it is."""


class BackupDamaged(RuntimeError):
    """The backup is damaged or cut off; take another one. Nothing was restored."""


class NotEmpty(RuntimeError):
    """There is a ledger here already. A backup is restored into an empty database: give it one, and keep this as it is."""


class AnotherLog(RuntimeError):
    """The head that was published last is not of the log in the backup, though not beyond it; nothing was restored."""


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds: the log up to `head`, at the moment it was made, and how many of each kind."""

    made_at: str
    head: SealedHead
    sha256: str
    counts: dict[str, int]


# Writing --------------------------------------------------------------------------------------------------------------


def write(log: Log, file: Path, progress: Progress) -> Backup:
    """Back up a log that may be written to meanwhile, and read the backup back before it has its name.

    Raises `NotSealed` if the log is not what was sealed, `FileExistsError` if there is a file of this name.
    """
    with durable_file.written(file) as out:
        digest, counts = sha256(), Counter[str]()
        with gzip.GzipFile(filename="", fileobj=out, mode="wb", compresslevel=_COMPRESSION, mtime=0) as lines:
            with snapshot(log) as reads:
                for said in _lines(reads, written(log.clock()), progress):
                    line = orjson.dumps(said) + b"\n"
                    digest.update(line)
                    counts[said[0]] += 1
                    lines.write(line)
            lines.write(orjson.dumps(["end", _of_tables(counts), digest.hexdigest()]) + b"\n")
        out.flush()
        return verify(Path(out.name), progress)


def _lines(reads: Snapshot, made_at: str, progress: Progress) -> Iterator[tuple[Any, ...]]:
    size, _, root, moment = reads.head() or (0, b"", merkle.EMPTY_ROOT, None)
    yield FORMAT, made_at, size, root.hex(), moment
    roots = Roots()
    for each in walk(reads, size):
        if isinstance(each, Seal):
            _expect_sealed(roots.pass_seal(each))
            yield "heads", each.size, each.root.hex(), each.recorded_at
            continue
        _expect_sealed(roots.take(each))
        yield "entries", each.header.decode("ascii"), _state_of(each)
        if roots.entries % _AT_ONCE == 0:
            progress(roots.entries, size)
    if (roots.entries, roots.root) != (size, root):
        _expect_sealed([f"the log has {roots.entries} entries, but its last head seals {size}"])
    for table, columns in _BESIDE.items():
        for row in _all_of(reads, table):
            yield table, *(_hex(value) if kind == "bytea" else value for value, (_, kind) in zip(row, columns, strict=True))


def _state_of(row: Row) -> str:
    """A state as text, if everything else in its row can be worked out from it."""
    try:
        if row_of(row.header, row.state) == row:
            return row.state.decode()
    except ValueError:
        pass
    raise NotSealed(f"{NotSealed.__doc__} (the columns of entry {row.position} do not say what it says)")


def _hex(stored: Any) -> str | None:
    return None if stored is None else bytes(stored).hex()


def _of_tables(counts: Counter[str]) -> dict[str, int]:
    """How many of each kind. Backups of earlier releases say nothing of what is signed, nor do those that hold nothing signed."""
    return {table: counts[table] for table in ("entries", "heads", *_BESIDE) if counts[table] or table not in _SIGNED}


def _expect_sealed(faults: list[str]) -> None:
    if faults:
        raise NotSealed(f"{NotSealed.__doc__} ({faults[0]})")


def _all_of(reads: Snapshot, table: str) -> Iterator[tuple[Any, ...]]:
    """The rows of a table beside the log, in order of its key."""
    columns = [name for name, _ in _BESIDE[table]]
    names, key = ", ".join(columns), columns[: _KEYS[table]]
    sql = f"SELECT {names} FROM {table}{{after}} ORDER BY {', '.join(key)} LIMIT ?"  # noqa: S608 (our own names)
    where = f" WHERE ({', '.join(key)}) > ({', '.join('?' * len(key))})"
    after: tuple[Any, ...] = ()
    while rows := reads.ask(sql.format(after=where if after else ""), *after, _AT_ONCE):
        yield from rows
        after = rows[-1][: len(key)]


# Reading --------------------------------------------------------------------------------------------------------------


def verify(file: Path, progress: Progress) -> Backup:
    """Read a backup from end to end; `NotABackup` or `BackupDamaged` if it is not whole, to the last byte and root."""
    return _Reading(file, progress).through(lambda _table, _columns, _rows: None)


class _Reading:
    """Goes through a backup once, and puts its rows somewhere."""

    def __init__(self, file: Path, progress: Progress, published: SealedHead | None = None) -> None:
        self._file = file
        self._progress = progress
        self._published = published
        self._digest = sha256()
        self._counts = Counter[str]()
        self.roots = Roots()
        self.checked: bytes | None = None
        """What tells the key of the backup's vault from another."""

    def through(self, put: _Put) -> Backup:
        """Read everything, and put it in order; what was put counts only when this returns."""
        try:
            with gzip.open(self._file, "rb") as lines:
                made_at, head = self._begin(lines)
                end = self._put_all(lines, put)
                _expect(["something stands after its end"] if lines.read(1) else [])
            _expect(self._left_over(end, head))
        except (EOFError, zlib.error, gzip.BadGzipFile, ValueError, KeyError, TypeError) as wrong:
            raise BackupDamaged(f"{BackupDamaged.__doc__} ({self._file}: {wrong})") from wrong
        self._progress(head.size, head.size)
        return Backup(made_at, head, self._digest.hexdigest(), dict(_of_tables(self._counts)))

    def _begin(self, lines: gzip.GzipFile) -> tuple[str, SealedHead]:
        try:
            said = self._line(lines)
        except gzip.BadGzipFile as wrong:
            raise NotABackup(f"{NotABackup.__doc__} ({self._file})") from wrong
        if said[0] != FORMAT:
            raise NotABackup(f"{NotABackup.__doc__} ({self._file})")
        _, made_at, size, root, moment = said
        self._size = size
        return made_at, SealedHead(size=size, root=root, recorded_at=moment)

    def _left_over(self, end: list[Any], head: SealedHead) -> list[str]:
        if end != ["end", _of_tables(self._counts), self._digest.hexdigest()]:
            return ["it does not add up to what its last line says"]
        if (self.roots.entries, self.roots.root.hex()) != (head.size, head.root):
            return ["it does not come to its head"]
        return []

    def _line(self, lines: gzip.GzipFile) -> list[Any]:
        line = lines.readline(_LONGEST)
        if not line.endswith(b"\n"):
            raise EOFError("it breaks off")
        said: list[Any] = orjson.loads(line)
        if said[0] != "end":
            self._digest.update(line)
            self._counts[said[0]] += 1
        return said

    def _put_all(self, lines: gzip.GzipFile, put: _Put) -> list[Any]:
        """Put rows, those of one table together; what follows them."""
        table, columns, rows = "entries", ENTRY, list[tuple[Any, ...]]()
        while (said := self._line(lines))[0] != "end":
            if said[0] != table or len(rows) == _AT_ONCE:
                if rows:
                    put(table, columns, rows)
                table, rows = said[0], []
                columns = _COLUMNS[table]
            rows.append(self._row(table, said[1:]))
        if rows:
            put(table, columns, rows)
        return said

    def _row(self, table: str, said: list[Any]) -> tuple[Any, ...]:
        if table == "entries":
            return self._entry(*said)
        if table == "heads":
            return self._seal(*said)
        row = tuple(
            bytes.fromhex(value) if kind == "bytea" and value is not None else value
            for value, (_, kind) in zip(said, _BESIDE[table], strict=True)
        )
        if table == "vault_key":
            self.checked = row[1]
        return row

    def _entry(self, header: str, state: str) -> Row:
        row = row_of(header.encode("ascii"), state.encode())
        _expect(self.roots.take(row))
        if self._published is not None and self._published.size == row.position and self._published.root != self.roots.root.hex():
            raise AnotherLog(AnotherLog.__doc__)
        if row.position % _AT_ONCE == 0:
            self._progress(row.position, self._size)
        return row

    def _seal(self, size: int, root: str, recorded_at: str) -> tuple[Any, ...]:
        seal = Seal(size, bytes.fromhex(root), recorded_at)
        _expect(self.roots.pass_seal(seal))
        return size, merkle.packed(self.roots.frontier), seal.root, recorded_at


def _expect(faults: list[str]) -> None:
    if faults:
        raise ValueError(faults[0])


# Restoring ------------------------------------------------------------------------------------------------------------


def restore(
    log: Log,
    file: Path,
    *,
    seals: Seals,
    registry: Registry,
    by: Callable[[Streams], Actor],
    published: SealedHead | None,
    progress: Progress,
) -> SealedHead:
    """Restore a backup into an empty database, and record that it was (`log.restored`): all of it or nothing.

    One that was only opened, with the same vault's key, is empty still: whatever runs opens it again when it was lost.
    Webhooks that were enabled are disabled by it: a copy must tell nobody what the log itself does.

    `by` tells, from what is restored, who does it. `published` is the head that was published last, as far as is known: the entry
    says that it is lost, if it is beyond the backup. Gives the head with that entry. Raises `NotEmpty`, `NotABackup`,
    `BackupDamaged`, `AnotherLog`, `WrongVaultKey`, and the refusals of `by`.
    """
    with log.turn() as turn:
        _expect_empty(turn, seals)
        restoring = _Restoring(turn, registry)
        reading = _Reading(file, progress, published)
        with failures.told():
            with Wire(turn.connection).at_once():
                backup = reading.through(restoring.put)
            if reading.checked not in {None, seals.checked}:
                raise WrongVaultKey(WrongVaultKey.__doc__)
            lost = published if published is not None and published.size > backup.head.size else None
            event = LogRestored(head=backup.head, backed_up_at=backup.made_at, backup_sha256=backup.sha256, lost=lost)
            return restoring.go_on(event, by(restoring), reading.roots)


class _Restoring:
    """What is restored so far, and not committed."""

    def __init__(self, turn: Turn, registry: Registry) -> None:
        self._turn = turn
        self._vault_is_made = turn.checked() is not None
        self._wire = Wire(turn.connection)
        self._folder = Folder(turn, registry, States())

    def put(self, table: str, columns: _Columns, rows: list[tuple[Any, ...]]) -> None:
        """Write rows of a table."""
        if table == "vault_key" and self._vault_is_made:
            return
        self._wire.say(self._turn.statements.insertions(table, columns, rows))

    def load(self, stream: Stream[S], /) -> tuple[S, int]:
        """A stream's state and version."""
        known = self._folder.fold(stream, None)
        if known.state is None:
            raise stream.of.missing(name=stream.last)
        return known.state, known.version

    def go_on(self, event: LogRestored, by: Actor, roots: Roots) -> SealedHead:
        """Let the log go on with an entry that says that it was restored, and with webhooks that tell nothing."""
        happened: list[tuple[Stream[Any], Event]] = [(LOG, event), *self._silenced(event.head.size)]
        moment = max(self._turn.recorded_at, event.head.recorded_at or "")
        rows: list[Row] = []
        for position, (stream, each) in enumerate(happened, event.head.size + 1):
            drafted = draft(stream.name, self._folder.fold(stream, None).version + 1, each, by.person)
            rows.append(place(drafted, position, moment, 0, NO_LEAF))
            roots.take(rows[-1])
        size = rows[-1].position
        self.put("entries", ENTRY, [*rows])
        self.put("heads", HEAD, [(size, merkle.packed(roots.frontier), roots.root, moment)])
        return SealedHead(size=size, root=roots.root.hex(), recorded_at=moment)

    def _silenced(self, size: int) -> Iterator[tuple[Stream[Any], Event]]:
        """Every webhook that is enabled, disabled."""
        for _, name, *_ in self._turn.notifications(0, size, None, ("webhook.registered",)):
            stream = Stream(name, Webhook)
            webhook, _ = self.load(stream)
            if webhook.state is State.ENABLED:
                yield stream, webhook.disable(Reason.RESTORED)


def _expect_empty(turn: Turn, seals: Seals) -> None:
    if turn.checked() not in {None, seals.checked}:
        raise WrongVaultKey(WrongVaultKey.__doc__)
    for table in _COLUMNS.keys() - {"vault_key"}:
        if turn.connection.exec_driver_sql(f"SELECT 1 FROM {table} LIMIT 1").first() is not None:  # noqa: S608 (our own names)
            raise NotEmpty(NotEmpty.__doc__)
