"""What webhooks are sent: queues of notices, what became of each, and every attempt. Kept beside the log, and never made again.

The log is what is sent from: a queue stands at a position of it, and goes on from there. What is put into a queue and how far
the queue has come are written in one transaction, so that each notice is in it once, under the next number of a dense sequence:
whoever receives them sees a hole at once. A queue that is disabled stands still, and nothing of the log passes it by.

A delivery waits until somebody has taken it, or is parked when nobody did after the last try. Its `id` is made of its entry's
leaf, so that it is the same at each attempt, and again if this database should be lost. What it says is kept with it, so that
whatever is sent under one `id` is the same byte for byte, also after a release that has other words for it.

What was delivered long ago may go, in order of the sequence; what waits or is parked never does, nor does the last of a queue.
Nothing that has gone is queued again: that would be under another number.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from itertools import takewhile
from typing import Any, Final, NamedTuple, Self

from sqlalchemy import URL, Connection, Engine

from ledger import failures, schema
from ledger.entry import written
from ledger.log import Statements
from ledger.randomness import random_bytes

TEST: Final = "webhook.test"
"""The type of what is sent to try a webhook: nothing happened."""
MOST_WAITING: Final = 10_000
"""How many deliveries of a queue wait at most; what comes after them stays in the log until there is room."""
_ID_DIGITS: Final = 32


class State(StrEnum):
    """What has become of a delivery."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    PARKED = "parked"


class Queue(NamedTuple):
    """How far a webhook has come: the position of the log up to which everything is queued, and the last number given."""

    webhook: str
    position: int
    sequence: int
    revision: int
    """Goes up whenever deliveries wait again that did not."""
    failing_since: str | None
    forgotten: int = 0
    """Up to which position deliveries may have gone: from there on everything can be sent again."""
    seen: int = 0
    """The highest position that was looked at, and the leaf of its entry: by them it is known again of which log this is."""
    seen_leaf: bytes | None = None


class Gone(RuntimeError):
    """What is asked for was delivered so long ago that it is kept no longer."""

    def __init__(self, after: int) -> None:
        super().__init__(f"everything after position {after} can be sent again, and nothing before")
        self.after = after


class Coming(NamedTuple):
    """A notice that is to be queued for a webhook."""

    position: int
    award: str
    type: str
    leaf: bytes


class Delivery(NamedTuple):
    """A notice in a webhook's queue, or a test."""

    webhook: str
    sequence: int
    position: int | None
    """Of the entry; a test has none."""
    award: str | None
    type: str
    id: str
    checkpoint: int | None
    """The size of the newest checkpoint when it was queued, which it is told with."""
    queued_at: str
    state: State
    attempts: int
    """How often it was tried at all."""
    tries: int
    """How often since it was queued, or asked for again: the schedule begins anew then."""
    due_at: str
    ended_at: str | None


class Attempt(NamedTuple):
    """One call, and what came of it: a status, or why there is none."""

    webhook: str
    sequence: int
    number: int
    at: str
    status: int | None
    failure: str | None
    duration_ms: int
    answer: str
    """A cut of what was answered."""


class Outcome(NamedTuple):
    """An attempt, and what becomes of its delivery."""

    attempt: Attempt
    delivery: Delivery
    due_at: str
    """When it was due that was tried: another one stands there by now, if it was asked for again meanwhile."""


class Moved(RuntimeError):
    """A queue is not where it was thought to be: another process went on with it."""


_DELIVERY: Final = ", ".join(Delivery._fields)
_BIGINTS: Final = frozenset({"sequence", "position", "checkpoint", "attempts", "tries", "number", "status", "duration_ms"})


def _columns(fields: Iterable[str]) -> tuple[tuple[str, str], ...]:
    return tuple((name, "bigint" if name in _BIGINTS else "text") for name in fields)


_DELIVERY_COLUMNS: Final = (*_columns(Delivery._fields), ("body", "bytea"))
_ATTEMPT_COLUMNS: Final = _columns(Attempt._fields)


class Deliveries:
    """The deliveries of a ledger's webhooks, open to be queued, sent and asked for."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._sql = Statements(engine.dialect.name)

    @classmethod
    def open(cls, url: str | URL) -> Self:
        """Open a ledger's deliveries; an SQLite file is made if need be, `NotMigrated` says that PostgreSQL's tables are not."""
        return cls(schema.open_beside(url, "deliveries"))

    def close(self) -> None:
        """Close everything."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Queueing.

    def begin(self, webhook: str, position: int) -> None:
        """Have a webhook hear of what comes after a position, unless it has a queue already."""
        sql = "INSERT INTO queues (webhook, position, sequence, revision) VALUES (?, ?, 0, 0) ON CONFLICT DO NOTHING"
        with self._turn() as connection:
            self._say(connection, sql, webhook, position)

    def queues(self) -> dict[str, Queue]:
        """How far each webhook has come."""
        return {row[0]: Queue(*row) for row in self._ask(f"SELECT {', '.join(Queue._fields)} FROM queues")}  # noqa: S608 (ours)

    def put(
        self,
        coming: Mapping[str, Sequence[Coming]],
        position: int,
        looked: int,
        *,
        body: Callable[[Delivery], bytes],
        leaf: bytes | None = None,
        checkpoint: int | None = None,
        now: datetime,
    ) -> list[Delivery]:
        """Queue what some webhooks are to hear of between two positions, all or nothing; gives what is new in their queues.

        Each of them must be at `position`, and is at `looked` afterwards; `Moved` if one is elsewhere. What is queued already,
        as after a replay, is not queued again. `body` says what a delivery sends for ever; `leaf` is the entry's at `looked`.
        """
        at, new = written(now), list[Delivery]()
        with self._turn() as connection:
            for webhook, notices in coming.items():
                sequence = self._sequence_at(connection, webhook, position)
                known = self._queued(connection, webhook, position, looked) if notices else set()
                fresh = [each for each in notices if each.position not in known]
                new += [_waiting(webhook, sequence + number, each, checkpoint, at) for number, each in enumerate(fresh, start=1)]
                self._say(
                    connection,
                    "UPDATE queues SET position = ?, sequence = ? WHERE webhook = ?",
                    looked,
                    sequence + len(fresh),
                    webhook,
                )
                if leaf is not None:
                    saw = "UPDATE queues SET seen = ?, seen_leaf = ? WHERE webhook = ? AND seen < ?"
                    self._say(connection, saw, looked, leaf, webhook, looked)
            self._insert(connection, "deliveries", _DELIVERY_COLUMNS, [(*each, body(each)) for each in new])
        return new

    def test(self, webhook: str, body: Callable[[Delivery], bytes], now: datetime) -> Delivery:
        """Queue a test, under the next number of the sequence; `LookupError` if the webhook has no queue."""
        with self._turn() as connection:
            queue = self._queue(connection, webhook)
            at = written(now)
            new = Delivery(
                webhook,
                queue.sequence + 1,
                None,
                None,
                TEST,
                f"msg_{random_bytes(16).hex()}",
                None,
                at,
                State.WAITING,
                0,
                0,
                at,
                None,
            )
            self._insert(connection, "deliveries", _DELIVERY_COLUMNS, [(*new, body(new))])
            self._say(connection, "UPDATE queues SET sequence = sequence + 1, revision = revision + 1 WHERE webhook = ?", webhook)
        return new

    # Sending.

    def last(self, webhook: str) -> Delivery | None:
        """The delivery of the last entry of the log that is in a queue."""
        sql = (
            f"SELECT {_DELIVERY} FROM deliveries WHERE webhook = ? AND position IS NOT NULL "  # noqa: S608 (ours)
            "ORDER BY position DESC LIMIT 1"
        )
        return next((_delivery(row) for row in self._ask(sql, webhook)), None)

    def waiting(self, webhook: str, after: int = 0, limit: int = MOST_WAITING) -> list[Delivery]:
        """What waits in a queue, in order of its sequence, after a number."""
        sql = (
            f"SELECT {_DELIVERY} FROM deliveries WHERE webhook = ? AND state = 'waiting' AND sequence > ? "  # noqa: S608 (ours)
            "ORDER BY sequence LIMIT ?"
        )
        return [_delivery(row) for row in self._ask(sql, webhook, after, limit)]

    def bodies(self, webhook: str, sequence: int, limit: int) -> dict[int, bytes]:
        """What deliveries send that wait, from one number on; those aside that were queued by a release that kept none."""
        sql = (
            "SELECT sequence, body FROM deliveries WHERE webhook = ? AND state = 'waiting' AND sequence >= ? "
            "ORDER BY sequence LIMIT ?"
        )
        return {number: bytes(body) for number, body in self._ask(sql, webhook, sequence, limit) if body is not None}

    def record(self, outcomes: Sequence[Outcome]) -> None:
        """Write attempts and what has become of their deliveries, all or nothing; on disk when this returns.

        What was asked for again while it was tried goes on waiting, whatever came of that: it is sent once more.
        """
        tried = [(each.attempts, each.webhook, each.sequence) for _, each, _ in outcomes]
        became = [
            (each.state, each.attempts, each.tries, each.due_at, each.ended_at, each.webhook, each.sequence, due_at)
            for _, each, due_at in outcomes
        ]
        good = {attempt.webhook for attempt, delivery, _ in outcomes if delivery.state is State.DELIVERED}
        bad = {attempt.webhook: attempt.at for attempt, _, _ in reversed(outcomes) if attempt.webhook not in good}
        with self._turn() as connection:
            self._insert(connection, "attempts", _ATTEMPT_COLUMNS, [attempt for attempt, _, _ in outcomes])
            as_thought = self._say_each(
                connection,
                "UPDATE deliveries SET state = ?, attempts = ?, tries = ?, due_at = ?, ended_at = ? "
                "WHERE webhook = ? AND sequence = ? AND due_at = ?",
                became,
            )
            if as_thought < len(became):
                self._say_each(connection, "UPDATE deliveries SET attempts = ? WHERE webhook = ? AND sequence = ?", tried)
            self._say_each(
                connection,
                "UPDATE queues SET failing_since = NULL WHERE webhook = ? AND failing_since IS NOT NULL",
                [(each,) for each in sorted(good)],
            )
            self._say_each(
                connection,
                "UPDATE queues SET failing_since = ? WHERE webhook = ? AND failing_since IS NULL",
                [(at, webhook) for webhook, at in sorted(bad.items())],
            )

    def go_back(self, webhook: str, position: int) -> None:
        """Have a queue look at the log again after a position, as what it looked at is lost; nothing of that was queued."""
        sql = "UPDATE queues SET position = ?, seen = 0, seen_leaf = NULL, revision = revision + 1 WHERE webhook = ?"
        with self._turn() as connection:
            self._say(connection, sql, position, webhook)

    def forget_failing(self, webhook: str) -> None:
        """Have a webhook that is told nothing any more fail no more, and begin anew, should it be told again."""
        with self._turn() as connection:
            self._say(connection, "UPDATE queues SET failing_since = NULL WHERE webhook = ?", webhook)

    # Recovering.

    def resend(self, webhook: str, sequence: int, now: datetime) -> Delivery | None:
        """Have one delivery wait again, under the same id; nothing, if there is none of that number."""
        if not self._again(webhook, "sequence = ?", sequence, now=now):
            return None
        return self.one(webhook, sequence)

    def replay(self, webhook: str, after: int, now: datetime) -> int:
        """Have everything after a position of the log wait again, and queue what never was; how many wait again at once.

        `LookupError` if the webhook has no queue; `Gone` if something after the position is kept no longer.
        """
        with self._turn() as connection:
            if after < (forgotten := self._queue(connection, webhook).forgotten):
                raise Gone(forgotten)
            self._say(
                connection,
                "UPDATE queues SET position = ?, revision = revision + 1 WHERE webhook = ? AND position > ?",
                after,
                webhook,
                after,
            )
        return self._again(webhook, "position > ?", after, now=now)

    def retry_parked(self, webhook: str, now: datetime) -> int:
        """Have everything that was parked wait again; how much it is."""
        return self._again(webhook, "state = ?", State.PARKED, now=now)

    def _again(self, webhook: str, which: str, value: object, *, now: datetime) -> int:
        waits = "UPDATE deliveries SET state = 'waiting', tries = 0, due_at = ?, ended_at = NULL"
        sql = f"{waits} WHERE webhook = ? AND {which}"
        with self._turn() as connection:
            count = self._say(connection, sql, written(now), webhook, value)
            self._say(connection, "UPDATE queues SET revision = revision + 1 WHERE webhook = ?", webhook)
        return count

    # Forgetting.

    def forget(self, before: datetime, limit: int) -> int:
        """Let the oldest go that were delivered before a moment, with their attempts, at most so many of each queue; how many.

        They go in order of the sequence, up to the first that was delivered (again) later. The last of a queue stays. `Moved` if
        a replay was asked for meanwhile.
        """
        return sum(self._forget(queue, written(before), limit) for queue in self.queues().values())

    def _forget(self, queue: Queue, before: str, limit: int) -> int:
        lock = "" if self._sql.sqlite else " FOR UPDATE SKIP LOCKED"
        sql = (
            "SELECT sequence, position, ended_at FROM deliveries "  # noqa: S608 (ours)
            "WHERE webhook = ? AND state = 'delivered' AND sequence < ? "
            "AND coalesce(position, 0) < (SELECT coalesce(max(position), 1) FROM deliveries WHERE webhook = ?) "
            f"AND coalesce(position, 0) <= ? ORDER BY sequence LIMIT ?{lock}"
        )
        asked = (queue.webhook, queue.sequence, queue.webhook, queue.position, limit)
        with self._turn() as connection:
            oldest = connection.exec_driver_sql(self._sql(sql), asked).fetchall()
            gone = [*takewhile(lambda row: row.ended_at < before, oldest)]
            which = [(queue.webhook, row.sequence) for row in gone]
            self._say_each(connection, "DELETE FROM attempts WHERE webhook = ? AND sequence = ?", which)
            self._say_each(connection, "DELETE FROM deliveries WHERE webhook = ? AND sequence = ?", which)
            upto = max((row.position or 0 for row in gone), default=0)
            mark = "UPDATE queues SET forgotten = ? WHERE webhook = ? AND position >= ?"
            if gone and not self._say(connection, mark, max(upto, queue.forgotten), queue.webhook, queue.position):
                raise Moved(f"the queue of {queue.webhook} went back to be replayed")
        return len(gone)

    # Asking.

    def one(self, webhook: str, sequence: int) -> Delivery | None:
        """A delivery, if there is one of that number."""
        sql = f"SELECT {_DELIVERY} FROM deliveries WHERE webhook = ? AND sequence = ?"  # noqa: S608 (ours)
        return next((_delivery(row) for row in self._ask(sql, webhook, sequence)), None)

    def page(
        self, webhook: str, *, before: int | None = None, limit: int = 100, state: State | None = None, award: str | None = None
    ) -> list[Delivery]:
        """Deliveries of a webhook, the newest first: those before a number, in a state, of an award."""
        asked = (("webhook = ?", webhook), ("sequence < ?", before), ("state = ?", state), ("award = ?", award))
        given = [(condition, value) for condition, value in asked if value is not None]
        where = " AND ".join(condition for condition, _ in given)
        sql = f"SELECT {_DELIVERY} FROM deliveries WHERE {where} ORDER BY sequence DESC LIMIT ?"  # noqa: S608 (ours)
        return [_delivery(row) for row in self._ask(sql, *(value for _, value in given), limit)]

    def queue(self, webhook: str) -> Queue | None:
        """How far a webhook has come, if it has a queue."""
        sql = f"SELECT {', '.join(Queue._fields)} FROM queues WHERE webhook = ?"  # noqa: S608 (ours)
        return next((Queue(*row) for row in self._ask(sql, webhook)), None)

    def attempts(self, webhook: str, first: int, last: int) -> list[Attempt]:
        """Every attempt of the deliveries from one number to another, in order."""
        sql = (
            f"SELECT {', '.join(Attempt._fields)} FROM attempts "  # noqa: S608 (ours)
            "WHERE webhook = ? AND sequence BETWEEN ? AND ? ORDER BY sequence, number"
        )
        return [Attempt(*row) for row in self._ask(sql, webhook, first, last)]

    def counts(
        self, webhooks: Collection[str] | None = None, states: Iterable[State] = (State.WAITING, State.PARKED)
    ) -> dict[str, dict[State, int]]:
        """How many deliveries of each webhook, or of some, wait, and how many are parked, or one of both."""
        found: dict[str, dict[State, int]] = {}
        which = "" if webhooks is None else f" AND webhook IN ({', '.join('?' * len(webhooks))})"
        for state in states if webhooks is None or webhooks else ():
            sql = f"SELECT webhook, count(*) FROM deliveries WHERE state = '{state}'{which} GROUP BY webhook"  # noqa: S608 (ours)
            for named, count in self._ask(sql, *(webhooks or ())):
                found.setdefault(named, {})[state] = count
        return found

    # The database.

    @contextmanager
    def _turn(self) -> Iterator[Connection]:
        """A connection in a transaction: everything that is said on it is on disk afterwards, or nothing is."""
        with failures.told(), self.engine.connect() as connection:
            connection.exec_driver_sql("BEGIN IMMEDIATE" if self._sql.sqlite else "BEGIN")
            try:
                yield connection
                connection.exec_driver_sql("COMMIT")
            except BaseException:
                connection.invalidate()
                raise

    def _ask(self, sql: str, *parameters: object) -> list[Any]:
        with failures.told(), self.engine.connect() as connection:
            return list(connection.exec_driver_sql(self._sql(sql), parameters).fetchall())

    def _say(self, connection: Connection, sql: str, *parameters: object) -> int:
        return connection.exec_driver_sql(self._sql(sql), parameters).rowcount

    def _say_each(self, connection: Connection, sql: str, parameters: list[tuple[Any, ...]]) -> int:
        return connection.exec_driver_sql(self._sql(sql), parameters).rowcount if parameters else 0

    def _insert(
        self, connection: Connection, table: str, columns: Sequence[tuple[str, str]], rows: Sequence[tuple[Any, ...]]
    ) -> None:
        names, marks = ", ".join(name for name, _ in columns), ", ".join("?" * len(columns))
        self._say_each(connection, f"INSERT INTO {table} ({names}) VALUES ({marks})", [tuple(row) for row in rows])  # noqa: S608

    def _queue(self, connection: Connection, webhook: str) -> Queue:
        lock = "" if self._sql.sqlite else " FOR UPDATE"
        sql = self._sql(f"SELECT {', '.join(Queue._fields)} FROM queues WHERE webhook = ?{lock}")  # noqa: S608 (ours)
        row = connection.exec_driver_sql(sql, (webhook,)).fetchone()
        if row is None:
            raise LookupError(f"the webhook {webhook} has no queue")
        return Queue(*row)

    def _sequence_at(self, connection: Connection, webhook: str, position: int) -> int:
        queue = self._queue(connection, webhook)
        if queue.position != position:
            raise Moved(f"the queue of {webhook} is at {queue.position}, not at {position}")
        return queue.sequence

    def _queued(self, connection: Connection, webhook: str, after: int, upto: int) -> set[int]:
        sql = self._sql("SELECT position FROM deliveries WHERE webhook = ? AND position > ? AND position <= ?")
        return {position for (position,) in connection.exec_driver_sql(sql, (webhook, after, upto))}


def _delivery(row: Sequence[Any]) -> Delivery:
    found = Delivery(*row)
    return found._replace(state=State(found.state))


def id_of(webhook: str, leaf: bytes) -> str:
    """The id under which a webhook is sent an entry, of which this is the leaf."""
    hashed = sha256(webhook.encode() + b"\n" + leaf)
    return f"msg_{hashed.hexdigest()[:_ID_DIGITS]}"


def _waiting(webhook: str, sequence: int, coming: Coming, checkpoint: int | None, at: str) -> Delivery:
    return Delivery(
        webhook,
        sequence,
        coming.position,
        coming.award,
        coming.type,
        id_of(webhook, coming.leaf),
        checkpoint,
        at,
        State.WAITING,
        0,
        0,
        at,
        None,
    )
