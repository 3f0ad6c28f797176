"""The log in its tables: the one place where its SQL is, the same for SQLite and PostgreSQL.

Whoever writes takes a *turn*: one transaction at a time, whatever the number of processes, held by SQLite's `BEGIN IMMEDIATE` or
by PostgreSQL's advisory lock. So positions are dense, the order of commits is the order of positions, and the log is sealed in
the transaction that writes it. Statements go to the driver as they are: what SQLAlchemy would compile per row costs more than the
row.
"""

import logging
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Lock
from typing import Any, Final, NamedTuple, TypeVar

import orjson
from sqlalchemy import Connection, Engine, PoolProxiedConnection
from sqlalchemy.exc import SQLAlchemyError

from ledger import failures, merkle, schema, store
from ledger.bell import Bell, bell_of
from ledger.entry import NO_LEAF, Draft, Row, Seen, moment_of, place, written
from ledger.failures import OutcomeUnknown, Unavailable
from ledger.wire import Question, Rows, Wire, asked

Clock = Callable[[], datetime]
T = TypeVar("T")

_LOG: Final = logging.getLogger(__name__)
_TURN: Final = 0x6C636C_02
"""The key of the advisory lock under which PostgreSQL's writers take turns."""
# Whatever the database's default: what was committed while the turn was waited for must be seen in it. Waiting ends, as SQLite's
# does, so that a process that hangs in its turn stops the others with an error rather than for ever.
_POSTGRESQL_BEGIN: Final = (
    "BEGIN ISOLATION LEVEL READ COMMITTED",
    f"SET LOCAL lock_timeout = '{store.BUSY_TIMEOUT_S}s'",
    f"SELECT pg_advisory_xact_lock({_TURN})",
)
_IDLERS: Final = f"""
SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
WHERE locktype = 'advisory' AND granted AND (classid, objid, objsubid) = (0, {_TURN}, 1)
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND state = 'idle in transaction' AND state_change < clock_timestamp() - make_interval(secs => %s)
"""  # noqa: S608 (our own number)
_MOST_IDLE_S: Final = store.BUSY_TIMEOUT_S
"""For how long whoever has the turn may say nothing before others, who waited in vain, end it."""
_MOST_KEPT: Final = 10_000
_CLEANING_MS: Final = 200
"""How long the writer waits at most for readers to let go of old pages after an erasure."""
_AT_ONCE: Final = 2_000
"""Rows that go to PostgreSQL in one statement."""
_MOST_AT_HAND: Final = 4
_LEAST: Final = -(2**62)
_MOST: Final = 2**62
_SIGNED: Final = "size, origin, root, key, note, made_at"
_COSIGNED: Final = "SELECT witness, line FROM cosignatures WHERE size = ? ORDER BY witness"
_COLUMNS: Final = "position, stream, version, type, recorded_at, award, award_sequence, header, state, leaf"


class Damaged(RuntimeError):
    """The last head does not stand for the last entry: something other than the ledger wrote to the log."""

    @classmethod
    def found(cls, what: str) -> "Damaged":
        """What was read is not what was sealed, as when an entry is missing."""
        return cls(f"the log is not what was sealed: {what}; `lcledger verify` says what is wrong")


@dataclass(frozen=True, slots=True)
class Head:
    """How far the log goes, and the root that seals it so far."""

    size: int
    root: bytes
    recorded_at: datetime | None


class Receipt(NamedTuple):
    """What became of a request: the entries from `first` to `last` (none if `last` is less)."""

    person: str
    key: str
    fingerprint: str
    first: int
    last: int


class Text(NamedTuple):
    """A text in the vault, sealed; without its seal it was erased."""

    commitment: str
    award: str | None
    salt: bytes
    sealed: bytes | None


class Participant(NamedTuple):
    """What the vault knows of a participant: the mark by which the reference is recognised, and the reference, sealed."""

    award: str
    token: str
    mark: str
    sealed: bytes | None


@dataclass(slots=True)
class Erasure:
    """What is to go from the vault (L5)."""

    texts: list[str] = field(default_factory=list)
    """Commitments: these lose seal and salt, so that not even a guess of the text can be confirmed."""
    participants: list[tuple[str, str]] = field(default_factory=list)
    """Awards and tokens: these lose the reference, and keep the mark, by which they are recognised."""
    marks: list[str] = field(default_factory=list)
    """Awards whose erased participants lose their marks too: nothing is claimed there any more."""

    def extend(self, other: "Erasure") -> None:
        """Let this go too."""
        self.texts += other.texts
        self.participants += other.participants
        self.marks += other.marks

    def __bool__(self) -> bool:
        return bool(self.texts or self.participants or self.marks)


class Statements:
    """Our SQL in one database's dialect. `?` is a parameter, `{texts}` a list of texts as a table `n` with a column `value`."""

    def __init__(self, dialect: str) -> None:
        self.sqlite = dialect == "sqlite"
        self._said: dict[str, str] = {}

    def __call__(self, sql: str) -> str:
        """A statement as the driver takes it."""
        found = self._said.get(sql)
        if found is None:
            found = self._said[sql] = self._translated(sql)
        return found

    def _translated(self, sql: str) -> str:
        if self.sqlite:
            return sql.replace("{texts}", "json_each(?) AS n").replace("{any}", "(SELECT value FROM json_each(?))")
        return (
            sql.replace("{texts}", "unnest(?::text[]) AS n(value)")
            .replace("{any}", "(SELECT unnest(?::text[]))")
            .replace("?", "%s")
        )

    def texts(self, texts: Iterable[str]) -> Any:
        """A list of texts as one parameter."""
        listed = list(texts)
        return orjson.dumps(listed).decode() if self.sqlite else listed

    def insertions(
        self, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[tuple[Any, ...]]
    ) -> Iterator[tuple[str, Any]]:
        """The statements that insert many rows at once: one for each of a list for SQLite, one `unnest` for PostgreSQL.

        Columns: (name, PostgreSQL's type).
        """
        sql = self._said.get(table)
        if sql is None:
            sql = self._said[table] = self._insertion(table, columns)
        if self.sqlite:
            yield sql, rows if isinstance(rows, list) else list(rows)
            return
        for start in range(0, len(rows), _AT_ONCE):
            some = rows[start : start + _AT_ONCE]
            yield sql, tuple(list(column) for column in zip(*some, strict=True))

    def _insertion(self, table: str, columns: Sequence[tuple[str, str]]) -> str:
        names = ", ".join(name for name, _ in columns)
        if self.sqlite:
            return f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 (our own names)
        arrays = ", ".join(f"%b::{kind}[]" for _, kind in columns)
        return f"INSERT INTO {table} ({names}) SELECT * FROM unnest({arrays})"  # noqa: S608 (our own names)


ENTRY: Final = tuple(
    (name.strip(), {"position": "bigint", "version": "bigint", "award_sequence": "bigint"}.get(name.strip(), "text"))
    if name.strip() not in {"header", "state", "leaf"}
    else (name.strip(), "bytea")
    for name in _COLUMNS.split(",")
)
HEAD: Final = (("size", "bigint"), ("frontier", "bytea"), ("root", "bytea"), ("recorded_at", "text"))
RECEIPT: Final = (("person", "text"), ("key", "text"), ("fingerprint", "text"), ("first", "bigint"), ("last", "bigint"))
TEXT: Final = (("commitment", "text"), ("award", "text"), ("salt", "bytea"), ("sealed", "bytea"))
PARTICIPANT: Final = (("award", "text"), ("token", "text"), ("mark", "text"), ("sealed", "bytea"))
CHECKPOINT: Final = (
    ("size", "bigint"), ("origin", "text"), ("root", "bytea"), ("key", "bytea"), ("note", "text"), ("made_at", "text"),
)  # fmt: skip
COSIGNATURE: Final = (("size", "bigint"), ("witness", "text"), ("line", "text"), ("made_at", "text"))
PACK_SIGNATURE: Final = (("subject", "text"), ("key", "bytea"), ("note", "text"))


class Reads:
    """What can be asked of the log, on any connection."""

    def __init__(self, statements: Statements, ask: Callable[[str, tuple[Any, ...]], Rows]) -> None:
        self._sql = statements
        self._ask = ask

    def _question(self, told: Callable[[Rows], T], sql: str, *parameters: Any) -> Question[T]:
        return Question(self._sql(sql), parameters, told)

    def _answer(self, question: Question[T]) -> T:
        return question.told(self._ask(question.sql, question.parameters))

    def _rows(self, sql: str, *parameters: Any) -> Rows:
        return self._ask(self._sql(sql), parameters)

    def head(self) -> tuple[int, bytes, bytes, str] | None:
        """The last head: size, frontier, root and time."""
        return self._answer(self._head())

    def _head(self) -> Question[tuple[int, bytes, bytes, str] | None]:
        def told(found: Rows) -> tuple[int, bytes, bytes, str] | None:
            return (found[0][0], bytes(found[0][1]), bytes(found[0][2]), found[0][3]) if found else None

        return self._question(told, "SELECT size, frontier, root, recorded_at FROM heads ORDER BY size DESC LIMIT 1")

    def full_heads(self, after: int = 0, limit: int = 500) -> list[tuple[int, bytes, bytes, str]]:
        """Heads in order, of more entries than `after`: size, frontier, root and time; at most so many."""
        sql = "SELECT size, frontier, root, recorded_at FROM heads WHERE size > ? ORDER BY size LIMIT ?"
        return [(size, bytes(frontier), bytes(root), moment) for size, frontier, root, moment in self._rows(sql, after, limit)]

    def heads(self, after: int = 0, limit: int = 500) -> list[tuple[int, bytes]]:
        """Sizes and roots of heads in order, of more entries than `after`; at most so many."""
        found = self._rows("SELECT size, root FROM heads WHERE size > ? ORDER BY size LIMIT ?", after, limit)
        return [(size, bytes(root)) for size, root in found]

    def size_at(self, moment: str) -> int:
        """How many entries there were at a moment, as `written` writes it.

        The times of heads never fall, so that halving finds it: twenty questions in a log of a million.
        """
        last = self.head()
        if last is None or last[3] <= moment:
            return 0 if last is None else last[0]
        low, high = 0, last[0] - 1  # The last head by then is of `low` entries or more, and of `high` or fewer.
        while low < high:
            middle = (low + high + 1) // 2
            ((size, recorded_at),) = self._rows(
                "SELECT size, recorded_at FROM heads WHERE size >= ? ORDER BY size LIMIT 1", middle
            )
            low, high = (size, high) if recorded_at <= moment else (low, middle - 1)
        return low

    def versions(self, streams: Iterable[str]) -> dict[str, int]:
        """The last version of each stream; 0 of one that has no entries."""
        return self._answer(self._versions_of(streams))

    def _versions_of(self, streams: Iterable[str]) -> Question[dict[str, int]]:
        return self._question(
            lambda found: {stream: version or 0 for stream, version in found},
            "SELECT n.value, (SELECT max(version) FROM entries WHERE stream = n.value) FROM {texts}",
            self._sql.texts(streams),
        )

    def tips(self, awards: Iterable[str]) -> dict[str, tuple[int, bytes]]:
        """The number and the leaf of each award's last entry."""
        found = self._rows(
            "SELECT n.value, e.award_sequence, e.leaf FROM {texts} JOIN entries e ON e.award = n.value "
            "AND e.award_sequence = (SELECT max(award_sequence) FROM entries WHERE award = n.value)",
            self._sql.texts(awards),
        )
        return {award: (sequence, bytes(leaf)) for award, sequence, leaf in found}

    def states(self, stream: str, after: int = 0, upto: int | None = None, limit: int | None = None) -> list[tuple[int, bytes]]:
        """A stream's versions and states, in order; only those at positions up to one, and at most so many, if they are given."""
        sql = "SELECT version, state FROM entries WHERE stream = ? AND version > ?"
        parameters: list[Any] = [stream, after]
        if upto is not None:
            sql += " AND position <= ?"
            parameters.append(upto)
        sql += " ORDER BY version"
        if limit is not None:
            sql += " LIMIT ?"
            parameters.append(limit)
        return [(version, bytes(state)) for version, state in self._rows(sql, *parameters)]

    def states_of(self, streams: Iterable[str], limit: int = _MOST) -> list[tuple[str, int, bytes]]:
        """The versions and states of many streams, each stream's in order; at most so many."""
        found = self._rows(
            "SELECT e.stream, e.version, e.state FROM {texts} JOIN entries e ON e.stream = n.value "
            "ORDER BY e.stream, e.version LIMIT ?",
            self._sql.texts(streams),
            limit,
        )
        return [(stream, version, bytes(state)) for stream, version, state in found]

    def rows(
        self, after: int = 0, limit: int = 500, *, award: str | None = None, stream: str | None = None, upto: int | None = None
    ) -> list[Row]:
        """Entries in order of position, after one, at most so many; of an award or of a stream, if one is given."""
        where = ["position > ?"]
        parameters: list[Any] = [after]
        if award is not None:
            where.append("award = ?")
            parameters.append(award)
        if stream is not None:
            where.append("stream = ?")
            parameters.append(stream)
        if upto is not None:
            where.append("position <= ?")
            parameters.append(upto)
        # An award's numbers rise with positions: ordering by them lets the database walk the award's own index.
        order = "version" if stream is not None else "position" if award is None else "award_sequence"
        found = self._rows(
            f"SELECT {_COLUMNS} FROM entries WHERE {' AND '.join(where)} ORDER BY {order} LIMIT ?",  # noqa: S608 (our own words)
            *parameters,
            limit,
        )
        return [Row._make((*row[:7], bytes(row[7]), bytes(row[8]), bytes(row[9]))) for row in found]

    def walk(
        self, *, award: str | None = None, stream: str | None = None, upto: int | None = None, at_once: int = 1_000
    ) -> Iterator[Row]:
        """All entries in order of position, up to one if it is given; of an award or of a stream, if one is given.

        They are read so many at once, so that no more are in memory than whoever asks keeps.
        """
        after = 0
        while rows := self.rows(after, at_once, award=award, stream=stream, upto=upto):
            yield from rows
            after = rows[-1].position

    def seen(self, after: int, upto: int, passing: Iterable[str] = ()) -> list[Seen]:
        """Entries in order of position, after one and up to one, but for those of some types."""
        found = self._rows(
            "SELECT position, stream, version, type, recorded_at, award, state FROM entries "
            "WHERE position > ? AND position <= ? AND type NOT IN {any} ORDER BY position",
            after,
            upto,
            self._sql.texts(passing),
        )
        return [Seen._make(row) for row in found]

    def begun(self, after: int, upto: int) -> list[tuple[int, str, str]]:
        """Positions, streams and types of the first entries of streams, after one position and up to one."""
        found = self._rows(
            "SELECT position, stream, type FROM entries WHERE position > ? AND position <= ? AND version = 1 ORDER BY position",
            after,
            upto,
        )
        return [(position, stream, kind) for position, stream, kind in found]

    def streams_of(self, award: str) -> list[tuple[int, str, str]]:
        """Positions, streams and types of the first entries of an award's streams."""
        found = self._rows("SELECT position, stream, type FROM entries WHERE award = ? AND version = 1 ORDER BY position", award)
        return [(position, stream, kind) for position, stream, kind in found]

    def award_after(self, award: str) -> str | None:
        """The award that comes next by its name, of those that have entries."""
        found = self._rows("SELECT min(award) FROM entries WHERE award > ?", award)
        return found[0][0] if found else None

    def seen_at(self, positions: Iterable[int]) -> list[Seen]:
        """The entries at some positions, in order."""
        found = self._rows(
            "SELECT position, stream, version, type, recorded_at, award, state FROM entries "
            "WHERE position IN (SELECT CAST(n.value AS bigint) FROM {texts}) ORDER BY position",
            self._sql.texts(map(str, positions)),
        )
        return [Seen._make(row) for row in found]

    def stored(
        self, stream: str, after: int | None, upto: int | None, *, desc: bool, limit: int | None
    ) -> list[tuple[str, int, str, bytes]]:
        """A stream's versions, types and states, from one version to another, either way round."""
        found = self._rows(
            "SELECT stream, version, type, state FROM entries WHERE stream = ? AND version > ? AND version <= ? "  # noqa: S608 (our own words)
            f"ORDER BY version {'DESC' if desc else 'ASC'} LIMIT ?",
            stream,
            _LEAST if after is None else after,
            _MOST if upto is None else upto,
            _MOST if limit is None else limit,
        )
        return [(name, version, kind, bytes(state)) for name, version, kind, state in found]

    def notifications(
        self, after: int, limit: int, upto: int | None, types: Sequence[str]
    ) -> list[tuple[int, str, int, str, bytes]]:
        """Positions, streams, versions, types and states, of some types or of all."""
        found = self._rows(
            "SELECT position, stream, version, type, state FROM entries WHERE position > ? AND position <= ? "  # noqa: S608 (our own words)
            + ("AND type IN {any} " if types else "")
            + "ORDER BY position LIMIT ?",
            after,
            _MOST if upto is None else upto,
            *((self._sql.texts(types),) if types else ()),
            limit,
        )
        return [(position, stream, version, kind, bytes(state)) for position, stream, version, kind, state in found]

    def leaf_at(self, position: int) -> bytes | None:
        """The leaf of the entry at a position, if there is one."""
        found = self._rows("SELECT leaf FROM entries WHERE position = ?", position)
        return bytes(found[0][0]) if found else None

    def tip_at(self, award: str, upto: int) -> tuple[int, int, bytes] | None:
        """The position, the number and the leaf of an award's last entry at a position up to one, if it has one."""
        found = self._rows(
            "SELECT position, award_sequence, leaf FROM entries WHERE award = ? AND position <= ? "
            "ORDER BY award_sequence DESC LIMIT 1",
            award,
            upto,
        )
        return (found[0][0], found[0][1], bytes(found[0][2])) if found else None

    def naming(self, award: str, after: int, upto: int) -> tuple[int, int]:
        """How many entries there are after one position and up to another, and how many of their headers name an award.

        Headers are what is sealed, so that it takes as long as reading them all; the columns beside them may say anything. There
        the award stands after the moment, which ends in the first Z: a reference may be a number, and others stand beside it.
        """
        part = "substr(header, instr(header, ?) + 2, ?)" if self._sql.sqlite else "substr(header, position(? IN header) + 2, ?)"
        sql = f"SELECT count(*), count(CASE WHEN {part} = ? THEN 1 END) FROM entries WHERE position > ? AND position <= ?"  # noqa: S608
        sought = f"{award} ".encode()
        ((there, named),) = self._rows(sql, b"Z ", len(sought), sought, after, upto)
        return there, named

    def leaves(self, after: int, upto: int) -> list[bytes]:
        """The leaves of the entries at the positions after one and up to one, in order."""
        found = self._rows("SELECT leaf FROM entries WHERE position > ? AND position <= ? ORDER BY position", after, upto)
        return [bytes(leaf) for (leaf,) in found]

    def subtrees(self, height: int, start: int, end: int) -> list[bytes]:
        """The roots of the perfect subtrees of a height that are kept, from one up to another, up to the first that is not."""
        found = self._rows(
            "SELECT number, root FROM subtrees WHERE height = ? AND number >= ? AND number < ? ORDER BY number",
            height,
            start,
            end,
        )
        return [bytes(root) for wanted, (number, root) in enumerate(found, start) if number == wanted]

    def subtrees_kept(self, height: int) -> int:
        """How many perfect subtrees of a height are kept."""
        return int(self._rows("SELECT coalesce(max(number) + 1, 0) FROM subtrees WHERE height = ?", height)[0][0])

    def last_checkpoint(self, upto: int = _MOST) -> tuple[int, str, bytes, bytes, str, str] | None:
        """The last checkpoint of at most so many entries: size, origin, root, key, note and time."""
        found = self._rows(f"SELECT {_SIGNED} FROM checkpoints WHERE size <= ? ORDER BY size DESC LIMIT 1", upto)  # noqa: S608 (our own names)
        return _signed(found[0]) if found else None

    def checkpoints(self, after: int = 0, limit: int = 500) -> list[tuple[int, str, bytes, bytes, str, str]]:
        """Checkpoints in order, of more entries than `after`: size, origin, root, key, note and time."""
        found = self._rows(f"SELECT {_SIGNED} FROM checkpoints WHERE size > ? ORDER BY size LIMIT ?", after, limit)  # noqa: S608 (our own names)
        return [_signed(row) for row in found]

    def signers(self) -> list[tuple[str, bytes, int, int]]:
        """Which key signed under which origin, from which size to which, in order."""
        found = self._rows("SELECT origin, key, min(size), max(size) FROM checkpoints GROUP BY origin, key ORDER BY min(size)")
        return [(origin, bytes(key), first, last) for origin, key, first, last in found]

    def cosignatures(self, size: int) -> list[tuple[str, str]]:
        """Witnesses of the checkpoint of a size, and the lines that they signed."""
        return [(name, line) for name, line in self._rows(_COSIGNED, size)]

    def cosigned(self, witness: str) -> int:
        """The size of the last checkpoint that a witness cosigned; 0 if it cosigned none."""
        return int(self._rows("SELECT coalesce(max(size), 0) FROM cosignatures WHERE witness = ?", witness)[0][0])

    def pack_signature(self, subject: str) -> tuple[bytes, str] | None:
        """The key by which something was signed for a pack first, and the note."""
        found = self._rows("SELECT key, note FROM pack_signatures WHERE subject = ?", subject)
        return (bytes(found[0][0]), found[0][1]) if found else None

    def tracked(self, follower: str) -> int | None:
        """How far a follower of the `eventsourcing` library has come."""
        found = self._rows("SELECT notification_id FROM tracking WHERE application_name = ?", follower)
        return int(found[0][0]) if found else None

    def receipts(self, spent: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Receipt]:
        """The receipts of requests, by person and key."""
        return self._answer(self._receipts(set(spent)))

    def _receipts(self, spent: Collection[tuple[str, str]]) -> Question[dict[tuple[str, str], Receipt]]:
        return self._question(
            lambda found: {(row[0], row[1]): Receipt(*row) for row in found},
            "SELECT person, key, fingerprint, first, last FROM receipts WHERE key IN {any} AND person IN {any}",
            self._sql.texts({key for _, key in spent}),
            self._sql.texts({person for person, _ in spent}),
        )

    def recognised(self, marks: Iterable[str]) -> dict[str, str]:
        """The tokens of participants, by the marks of their references, where they are known."""
        return self._answer(self._recognised(marks))

    def _recognised(self, marks: Iterable[str]) -> Question[dict[str, str]]:
        return self._question(dict, "SELECT mark, token FROM participants WHERE mark IN {any}", self._sql.texts(marks))

    def recognised_in(self, award: str) -> dict[str, str]:
        """The tokens of all participants of an award, by the marks of their references."""
        return dict(self._rows("SELECT mark, token FROM participants WHERE award = ?", award))

    def participants(self, award: str, tokens: Iterable[str]) -> list[Participant]:
        """What the vault knows of an award's participants."""
        found = self._rows(
            "SELECT award, token, mark, sealed FROM participants WHERE award = ? AND token IN {any}",
            award,
            self._sql.texts(tokens),
        )
        return [Participant(award, token, mark, _bytes(sealed)) for award, token, mark, sealed in found]

    def texts(self, commitments: Iterable[str]) -> list[Text]:
        """Texts of the vault."""
        found = self._rows(
            "SELECT commitment, award, salt, sealed FROM texts WHERE commitment IN {any}", self._sql.texts(commitments)
        )
        return [Text(commitment, award, bytes(salt), _bytes(sealed)) for commitment, award, salt, sealed in found]

    def checked(self) -> bytes | None:
        """What tells the vault's key from another; nothing if the vault is not made yet."""
        found = self._rows("SELECT checked FROM vault_key")
        return bytes(found[0][0]) if found else None


def _bytes(stored: Any) -> bytes | None:
    return None if stored is None else bytes(stored)


def _signed(row: tuple[Any, ...]) -> tuple[int, str, bytes, bytes, str, str]:
    size, origin, root, key, note, made_at = row
    return size, origin, bytes(root), bytes(key), note, made_at


class Expected(NamedTuple):
    """What will be asked for in a turn, and is therefore looked up when it begins, at once."""

    streams: Collection[str] = ()
    """Their versions."""
    spent: Collection[tuple[str, str]] = ()
    """Receipts, by person and key."""
    marks: Collection[str] = ()
    """Participants, by the marks of their references."""


NOTHING_EXPECTED: Final = Expected()


class Turn(Reads):
    """The one who may write, for as long as its transaction lasts. Nothing is written before `commit`."""

    def __init__(
        self, wire: Wire, statements: Statements, clock: Clock, *, begin: Iterable[str], kept: "_Kept", expected: Expected
    ) -> None:
        """Take the turn, by the statements of `begin`."""

        def ask(sql: str, parameters: tuple[Any, ...]) -> Rows:
            with failures.told():
                return wire.ask(sql, parameters)

        super().__init__(statements, ask)
        self._wire = wire
        self.statements = statements
        self._kept = kept
        last = self._look(begin, expected)
        self.size, frontier, self._root, last_moment = last or (0, b"", merkle.EMPTY_ROOT, "")
        self._frontier = merkle.unpacked(frontier)
        self.recorded_at = max(written(clock()), last_moment)
        self.placed: list[Row] = []
        self._taken: set[tuple[str, int]] = set()
        self.receipts_made: list[Receipt] = []
        self.texts_made: list[Text] = []
        self.participants_made: list[Participant] = []
        self.erased = Erasure()

    @property
    def connection(self) -> Connection:
        """What the turn is taken on, for those who write more in it."""
        return self._wire.connection

    def _look(self, begin: Iterable[str], expected: Expected) -> tuple[int, bytes, bytes, str] | None:
        """The last head; and what is expected to be asked for, kept for when it is."""
        questions: dict[str, Question[Any]] = {"head": self._head()}
        if unknown := [stream for stream in expected.streams if stream not in self._kept.versions]:
            questions["versions"] = self._versions_of(unknown)
        if expected.spent:
            questions["receipts"] = self._receipts(expected.spent)
        if expected.marks:
            questions["recognised"] = self._recognised(expected.marks)
        told = dict(zip(questions, self._wire.begin(begin, questions.values()), strict=True))
        last: tuple[int, bytes, bytes, str] | None = told["head"]
        self._kept.hold_for(last[2] if last else merkle.EMPTY_ROOT)
        self._kept.versions.update(told.get("versions", {}))
        self.learn(expected.streams)  # Those that were kept, if what was kept does not hold any more.
        self.receipts_found: dict[tuple[str, str], Receipt] = told.get("receipts", {})
        self.recognised_found: dict[str, str] = told.get("recognised", {})
        return last

    @property
    def position(self) -> int:
        """The position of the last entry, counting those that are placed and not yet written."""
        return self.size + len(self.placed)

    def learn(self, streams: Iterable[str]) -> None:
        """Look up the versions of streams at once."""
        if unknown := [stream for stream in streams if stream not in self._kept.versions]:
            self._kept.versions.update(self.versions(unknown))

    def version(self, stream: str) -> int:
        """A stream's version, counting what is placed and not yet written."""
        found = self._kept.versions.get(stream)
        if found is None:
            self.learn((stream,))
            found = self._kept.versions[stream]
        return found

    def are_free(self, wanted: Collection[tuple[str, int]]) -> bool:
        """Whether none of these versions of streams is named twice, recorded, or taken in this turn."""
        if len(wanted) > 1 and len(set(wanted)) < len(wanted):
            return False
        older = [each for each in wanted if each[1] <= self.version(each[0])]
        return not older or (self._taken.isdisjoint(older) and not self._are_recorded(older))

    def take(self, wanted: Collection[tuple[str, int]]) -> None:
        """Let these versions of streams be nobody else's in this turn: entries of theirs are placed in it."""
        self._taken.update(wanted)
        self._move_on(wanted)

    def _move_on(self, versions: Iterable[tuple[str, int]]) -> None:
        known = self._kept.versions
        for stream, version in versions:  # A recorder of the library's takes a stream's versions in any order.
            if version > known.get(stream, 0):
                known[stream] = version

    def _are_recorded(self, wanted: Iterable[tuple[str, int]]) -> bool:
        sql = "SELECT 1 FROM entries WHERE stream = ? AND version = ?"
        return any(self._rows(sql, stream, version) for stream, version in wanted)

    def texts(self, commitments: Iterable[str]) -> list[Text]:
        """Texts of the vault as it will be when the turn is written."""
        wanted = set(commitments)
        gone = wanted & set(self.erased.texts)
        made = [text for text in self.texts_made if text.commitment in wanted]
        others = wanted - {text.commitment for text in made}
        found = [*made, *(super().texts(others) if others else ())]
        return [text._replace(salt=b"", sealed=None) if text.commitment in gone else text for text in found]

    def place(self, drafts: Iterable[Draft], *, keep: bool = True) -> list[Row]:
        """Give entries their places; they are written with the turn, unless they are not to be kept (a dry run)."""
        drafts = list(drafts)
        self._learn_tips(drafts)
        known, moved = self._kept.tips, dict[str, tuple[int, bytes]]()  # Whatever fails below leaves what is known as it is.
        recorded_at, rows = self.recorded_at, list[Row]()
        for position, drafted in enumerate(drafts, self.position + 1):
            award = drafted.award
            if award is None:
                row = place(drafted, position, recorded_at, 0, NO_LEAF)
            else:
                sequence, previous = moved.get(award) or known[award]
                row = place(drafted, position, recorded_at, sequence + 1, previous)
                moved[award] = (sequence + 1, row.leaf)
            rows.append(row)
        if keep:
            known.update(moved)
            self.placed += rows
            self._move_on((drafted.stream, drafted.version) for drafted in drafts)
        return rows

    def _learn_tips(self, drafts: Iterable[Draft]) -> None:
        tips = self._kept.tips
        if unknown := {drafted.award for drafted in drafts if drafted.award is not None and drafted.award not in tips}:
            tips.update(dict.fromkeys(unknown, (0, NO_LEAF)) | self.tips(unknown))

    def check_with(self, checked: bytes) -> bytes:
        """Make the vault, with what tells its key from another."""
        self._wire.say(self.statements.insertions("vault_key", (("id", "bigint"), ("checked", "bytea")), [(1, checked)]))
        return checked

    @property
    def spoiled(self) -> bool:
        """Whether a statement failed after which PostgreSQL takes no other in this turn; SQLite goes on."""
        return self._wire.spoiled

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.placed or self.receipts_made or self.texts_made or self.participants_made)

    def commit(self) -> None:
        """Write everything that was placed and made, and the head that seals it, and commit it."""
        self._wire.commit([*self._insertions(), *self._erasures()])

    def kept(self) -> None:
        """The turn is on disk: what it learned holds until somebody else writes."""
        self._kept.keep_for(self._root)

    def _insertions(self) -> Iterator[tuple[str, Any]]:
        insertions = self.statements.insertions
        if self.placed:
            for row in self.placed:
                merkle.grow(self._frontier, row.position - 1, row.leaf)
            self._root = merkle.root_of(self._frontier)
            head = (self.position, merkle.packed(self._frontier), self._root, self.recorded_at)
            yield from insertions("entries", ENTRY, self.placed)
            yield from insertions("heads", HEAD, [head])
        for table, columns, rows in (
            ("receipts", RECEIPT, self.receipts_made),
            ("texts", TEXT, self.texts_made),
            ("participants", PARTICIPANT, self.participants_made),
        ):
            if rows:
                yield from insertions(table, columns, rows)

    def _erasures(self) -> Iterator[tuple[str, Any]]:
        """Let go what is to go, also what this turn itself put into the vault."""
        sql, texts = self.statements, self.statements.texts
        if self.erased.texts:
            yield sql("UPDATE texts SET sealed = NULL, salt = ? WHERE commitment IN {any}"), (b"", texts(self.erased.texts))
        for award, tokens in _by_award(self.erased.participants).items():
            yield sql("UPDATE participants SET sealed = NULL WHERE award = ? AND token IN {any}"), (award, texts(tokens))
        for award in self.erased.marks:
            yield sql("DELETE FROM participants WHERE award = ? AND sealed IS NULL"), (award,)


def _by_award(participants: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for award, token in participants:
        found.setdefault(award, []).append(token)
    return found


class _Kept:
    """What the last turn of this process learned; it holds for as long as the log has the root that it left."""

    def __init__(self) -> None:
        self.tips: dict[str, tuple[int, bytes]] = {}
        """The number and the leaf of awards' last entries."""
        self.versions: dict[str, int] = {}
        self._root: bytes | None = None

    def hold_for(self, root: bytes) -> None:
        """Forget everything, unless it is of a log with this root."""
        if root != self._root:
            self.forget()
        self._root = None  # What a turn places is so only if it ends well.

    def keep_for(self, root: bytes) -> None:
        """It is of a log with this root from now on."""
        self._root = root
        for each in (self.tips, self.versions):
            if len(each) > _MOST_KEPT:
                each.clear()

    def forget(self) -> None:
        """Nothing is known for sure."""
        self._root = None
        self.tips.clear()
        self.versions.clear()


class Log:
    """A log that is open: connections for whoever reads, and one for whoever has the turn."""

    def __init__(self, engine: Engine, clock: Clock | None = None) -> None:
        self.engine = engine
        self.clock: Clock = clock or (lambda: datetime.now(UTC))
        self.statements = Statements(engine.dialect.name)
        self.reads = Reads(self.statements, self._ask)
        self.bell: Bell = bell_of(engine.url.render_as_string(hide_password=False))
        self._turn = Lock()
        self._writing: Wire | None = None
        self._wrote_before = False
        self.renewed: list[Callable[[], None]] = []
        """Called when the writer has another connection: whatever is remembered of the log may not be so any more."""
        self._kept = _Kept()
        self._at_hand: deque[PoolProxiedConnection] = deque()
        """Connections for whoever reads next."""
        self._begin = ("BEGIN IMMEDIATE",) if self.statements.sqlite else _POSTGRESQL_BEGIN

    def start(self) -> None:
        """Look everything over before the first write: tables, triggers, durability, and that the last head fits."""
        with failures.told(), self.engine.connect() as connection:
            schema.check(connection)
            store.assert_durable(connection)
            size, last = connection.exec_driver_sql(
                "SELECT (SELECT max(size) FROM heads), (SELECT max(position) FROM entries)"
            ).one()
        if size != last:
            raise Damaged(f"{Damaged.__doc__} ({size} and {last})")

    @contextmanager
    def reading(self) -> Iterator[Reads]:
        """What can be asked of the log by one thread with several questions, each of which sees what there is then."""
        with failures.told():
            connection, is_sure = self._at_hand_or_sure()

        def ask(sql: str, parameters: tuple[Any, ...]) -> Rows:
            nonlocal connection, is_sure
            with failures.told():
                rows, answered = self._ask_surely(connection, sql, parameters, is_sure=is_sure)
                connection, is_sure = answered, is_sure or answered is not connection
                return rows

        try:
            yield Reads(self.statements, ask)
        finally:
            if connection.is_valid:
                with failures.told():
                    self._put_back(connection)

    def head(self) -> Head:
        """How far the log goes now."""
        found = self.reads.head()
        return Head(found[0], found[2], moment_of(found[3])) if found else Head(0, merkle.EMPTY_ROOT, None)

    @contextmanager
    def turn(self, expected: Expected = NOTHING_EXPECTED) -> Iterator[Turn]:
        """Write alone: what is placed in the turn is on disk when it ends, or nothing is if it raises.

        Only `OutcomeUnknown` leaves open which: the database failed in the commit, and cannot be asked about it.
        """
        with self._turn:
            with failures.told():
                turn = self._taken(expected)
            try:
                yield turn
                self._commit(turn)
            except BaseException:
                self._roll_back()
                raise
            turn.kept()
            if turn.erased:
                self._clean(turn.connection)
        if not turn.is_empty:
            self.bell.ring()

    def confirm(self) -> None:
        """Have the standby confirm what can be seen now, where there is one: what is signed then can never be taken back."""
        with failures.told(), self.engine.connect() as connection:
            store.assert_writable(connection)
            store.confirm(connection)

    def keep(self, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[tuple[Any, ...]]) -> None:
        """Add rows to one of the tables of what is signed, on disk when this returns; what is there already stays as it is."""
        with failures.told(), self.engine.connect() as connection:
            store.assert_durable(connection)
            store.assert_writable(connection)
            wire = Wire(connection)
            wire.begin(("BEGIN IMMEDIATE" if self.statements.sqlite else "BEGIN",), ())
            try:
                wire.commit(
                    (f"{sql} ON CONFLICT DO NOTHING", values) for sql, values in self.statements.insertions(table, columns, rows)
                )
            except BaseException:
                wire.roll_back()
                raise

    def close(self) -> None:
        """Close every connection."""
        with self._turn:
            self._drop_writer()
        while self._at_hand:
            self._at_hand.pop().close()
        self.engine.dispose()

    def _ask(self, sql: str, parameters: tuple[Any, ...]) -> Rows:
        with failures.told():
            connection, is_sure = self._at_hand_or_sure()
            rows, connection = self._ask_surely(connection, sql, parameters, is_sure=is_sure)
            self._put_back(connection)
            return rows

    def _ask_surely(
        self, connection: PoolProxiedConnection, sql: str, parameters: tuple[Any, ...], *, is_sure: bool
    ) -> tuple[Rows, PoolProxiedConnection]:
        """Ask on a connection, and again on another one if it was lost while nobody asked; and on which it was answered."""
        try:
            return self._ask_on(connection, sql, parameters), connection
        except Exception as failure:
            if is_sure or not failures.is_loss(failure):
                raise
        connection = self.engine.raw_connection()
        return self._ask_on(connection, sql, parameters), connection

    def _ask_on(self, connection: PoolProxiedConnection, sql: str, parameters: tuple[Any, ...]) -> Rows:
        try:
            return asked(connection.driver_connection, sql, parameters, sqlite=self.statements.sqlite)
        except BaseException:
            connection.invalidate()  # It may be lost: the next one who asks gets another.
            connection.close()
            raise

    def _at_hand_or_sure(self) -> tuple[PoolProxiedConnection, bool]:
        """A connection, and whether it is sure to live."""
        try:
            return self._at_hand.pop(), self.statements.sqlite
        except IndexError:
            return self.engine.raw_connection(), True  # The pool asks PostgreSQL first, which takes as long as a short answer.

    def _put_back(self, connection: PoolProxiedConnection) -> None:
        """Keep a few at hand: the pool takes longer than SQLite over most questions, and asks PostgreSQL one of its own."""
        if len(self._at_hand) < _MOST_AT_HAND:
            self._at_hand.append(connection)
        else:
            connection.close()

    def _taken(self, expected: Expected = NOTHING_EXPECTED) -> Turn:
        """A turn on the writer's connection."""
        try:
            wire = self._writer()
            try:
                return self._turn_on(wire, expected)
            except Exception:
                if not wire.lost:
                    raise
            # The server may have gone and come back since the last turn; nothing is under way yet: it is safe to ask again.
            self._drop_writer()
            return self._turn_on(self._writer(), expected)
        except BaseException as failure:
            self._drop_writer()
            if failures.reason_of(failure) == failures.BUSY:
                self._end_idlers()
            raise

    def _end_idlers(self) -> None:
        """End the connection of whoever hangs in the turn, as a process that was stopped does: nobody else would ever write."""
        if self.statements.sqlite:
            return
        with suppress(SQLAlchemyError), self.engine.connect() as connection:
            if connection.exec_driver_sql(_IDLERS, (_MOST_IDLE_S,)).fetchall():
                _LOG.error("a process that did nothing in its turn for %s s has lost it", _MOST_IDLE_S)

    def _turn_on(self, wire: Wire, expected: Expected) -> Turn:
        return Turn(wire, self.statements, self.clock, begin=self._begin, kept=self._kept, expected=expected)

    def _writer(self) -> Wire:
        if self._writing is None:
            connection = self.engine.connect()
            try:
                store.assert_durable(connection)
                store.assert_writable(connection)
                store.confirm(connection)
            except BaseException:
                connection.invalidate()  # What it is set to may be mended meanwhile, which only a new one sees.
                connection.close()
                raise
            self._writing = Wire(connection)
            if self._wrote_before:  # The database may have gone back meanwhile, as when another server took over.
                for forget in self.renewed:
                    forget()
            self._wrote_before = True
        return self._writing

    def _commit(self, turn: Turn) -> None:
        try:
            with failures.told():
                turn.commit()
        except BaseException as failure:
            self._roll_back()
            # The connection may have been lost on the way back: whether the entries are on disk is looked up, never guessed.
            if not (turn.placed and self._is_stored(turn.placed[-1], failure)):
                raise

    def _clean(self, connection: Connection) -> None:
        """Empty SQLite's write-ahead log, in which pages are as they were before the erasure; whoever reads may prevent it.

        The erasure is done and recorded: if this fails, the next checkpoint does it, or the last connection that closes.
        """
        if not self.statements.sqlite:
            return
        with suppress(SQLAlchemyError):
            connection.exec_driver_sql(f"PRAGMA busy_timeout={_CLEANING_MS}").close()
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").close()
            connection.exec_driver_sql(f"PRAGMA busy_timeout={store.BUSY_TIMEOUT_S * 1000}").close()

    def _is_stored(self, row: Row, failure: BaseException) -> bool:
        try:
            with failures.told():
                return self._is_found(row)
        except Unavailable as still:
            raise OutcomeUnknown(still.reason) from failure

    def _is_found(self, row: Row) -> bool:
        # Waiting for the turn waits for the end of the lost connection's transaction, one way or the other.
        turn = self._taken()
        try:
            return turn.leaf_at(row.position) == row.leaf
        finally:
            self._roll_back()

    def _roll_back(self) -> None:
        self._kept.forget()
        if self._writing is not None and not self._writing.roll_back():
            self._drop_writer()

    def _drop_writer(self) -> None:
        if self._writing is not None:
            wire, self._writing = self._writing, None
            wire.roll_back()  # Somebody may hold on to it for a while, as the trace of an exception does.
            connection = wire.connection
            connection.invalidate()
            connection.close()
