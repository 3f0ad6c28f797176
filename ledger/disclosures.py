"""Who was told what, when, by which key and from where: kept beside the log, as reading changes nothing that is sealed.

A reader pays for putting a disclosure into a queue; one thread writes what waits there, together, into a database of its own: so
neither the log's turn nor who follows the log waits for it. Nothing is dropped in silence. What cannot be written waits, and
health says so; when too much waits, nothing more is told (`has_room`). A process that is killed takes with it what it was told
to keep in its last moment, a fifth of a second at most.

No references of participants and nothing that was searched for are kept, only what a resource is called in the log itself.
"""

import logging
from collections import deque
from collections.abc import Iterable
from datetime import datetime, timedelta
from threading import Event, Lock, Thread
from typing import Final, NamedTuple, Self

from sqlalchemy import URL, Connection, Engine

from ledger import failures, schema
from ledger.entry import written
from ledger.log import Clock, Statements
from ledger.randomness import random_bytes
from ledger.wire import Wire

_LOG: Final = logging.getLogger(__name__)
GATHER_S: Final = 0.1
"""For how long disclosures gather before they are written together."""
RETRY_S: Final = 2.0
SWEEP_EVERY_S: Final = 3_600.0
_AT_ONCE: Final = 2_000
MOST_WAITING: Final = 20_000
KEPT_DAYS: Final = 2_192
"""Six years: as long as what was agreed can be sued for (Limitation Act 1980, s. 5)."""


class Disclosure(NamedTuple):
    """Something that was told to somebody, or refused."""

    told_at: str
    """When the answer was ready, as `ledger.entry.written` writes it."""
    request: str
    """The name of the request in the service's logs; no two have the same."""
    person: str | None
    """Who asked; nobody, where a command of the machine needs no key."""
    key: str | None
    """By what the ledger knows the key, never its secret."""
    origin: str
    """From where: a network address, or `command line` with the account of the machine."""
    route: str
    """What was asked, such as `GET /v1/awards/{award}/claims/{claim}`, or the command."""
    resource: str | None
    """The route with the names of what there is; nothing, where it was refused."""
    award: str | None
    """The award that it was about; nothing, where it was about several, or none."""
    as_of: int | None
    """The position as of which it was told, if that was not the last one."""
    effective_on: str | None
    status: int
    """The answer's, as in HTTP."""
    told_rows: int | None
    """How many rows the answer had, where it is a list."""


COLUMNS: Final = tuple((name, "bigint" if name in {"as_of", "status", "told_rows"} else "text") for name in Disclosure._fields)


class Kept(NamedTuple):
    """A disclosure that is written, with its number."""

    number: int
    disclosure: Disclosure


class Disclosures:
    """The disclosures of a ledger, open to be added to and read."""

    def __init__(self, engine: Engine, clock: Clock, *, most_waiting: int = MOST_WAITING, kept_days: int = KEPT_DAYS) -> None:
        self._engine = engine
        self._clock = clock
        self._sql = Statements(engine.dialect.name)
        self._most = most_waiting
        self._kept = timedelta(days=kept_days)
        self._waiting: deque[Disclosure] = deque()
        self._writing, self._starting = Lock(), Lock()
        self._wake, self._stop = Event(), Event()
        self._doubtful = False
        """Whether the last attempt failed, so that some of what waits may be written already."""
        self.failing: str | None = None
        """Why they cannot be written at the moment, if they cannot."""
        self._thread: Thread | None = None

    @classmethod
    def open(cls, url: str | URL, clock: Clock, *, most_waiting: int = MOST_WAITING, kept_days: int = KEPT_DAYS) -> Self:
        """Open a ledger's disclosures; an SQLite file is made if need be, `NotMigrated` says that PostgreSQL's table is not."""
        engine = schema.open_beside(url, "disclosures", pool_size=1)
        return cls(engine, clock, most_waiting=most_waiting, kept_days=kept_days)

    @property
    def waiting(self) -> int:
        """How many are not written yet."""
        return len(self._waiting)

    @property
    def has_room(self) -> bool:
        """Whether what is told now can be kept: too much waits only when it cannot be written for long."""
        return len(self._waiting) < self._most

    def put(self, disclosure: Disclosure) -> None:
        """Have a disclosure written soon. It is taken in any case: whoever tells asks for room first."""
        self._waiting.append(disclosure)
        if self._thread is None:
            self._start()
        self._wake.set()

    def write_what_waits(self) -> None:
        """Write everything that waits now; `Unavailable` if it cannot be, and then it waits on."""
        with self._writing:
            while some := [self._waiting[number] for number in range(min(_AT_ONCE, len(self._waiting)))]:
                try:
                    with failures.told(), self._engine.connect() as connection:
                        self._write(connection, some)
                except BaseException as failure:
                    self._doubtful = True
                    self.failing = failure.reason if isinstance(failure, failures.Unavailable) else type(failure).__name__
                    raise
                self._doubtful, self.failing = False, None
                for _ in some:
                    self._waiting.popleft()

    def page(
        self,
        *,
        before: int | None = None,
        limit: int = 100,
        award: str | None = None,
        person: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
    ) -> list[Kept]:
        """Disclosures, the newest first: those before a number; of an award or a person; from a moment, and up to another."""
        self.write_what_waits()
        asked = (
            ("number < ?", before),
            ("award = ?", award),
            ("person = ?", person),
            ("told_at >= ?", since and written(since)),
            ("told_at <= ?", until and written(until)),
        )
        given = [(condition, value) for condition, value in asked if value is not None]
        where = f"WHERE {' AND '.join(condition for condition, _ in given)}" if given else ""
        names = ", ".join(Disclosure._fields)
        sql = self._sql(f"SELECT number, {names} FROM disclosures {where} ORDER BY number DESC LIMIT ?")  # noqa: S608 (ours)
        with failures.told(), self._engine.connect() as connection:
            found = connection.exec_driver_sql(sql, (*(value for _, value in given), limit)).fetchall()
        return [Kept(row[0], Disclosure(*row[1:])) for row in found]

    def sweep(self) -> int:
        """Let go what is older than it is to be kept; how many went."""
        oldest = written(self._clock() - self._kept)
        with failures.told(), self._engine.connect() as connection:
            sql = self._sql("DELETE FROM disclosures WHERE told_at < ?")
            return connection.exec_driver_sql(sql, (oldest,)).rowcount

    def close(self) -> None:
        """Write what waits, and close everything; what cannot be written now goes to the service's log instead."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        try:
            self.write_what_waits()
        except failures.Unavailable as failure:
            for lost in self._waiting:
                _LOG.error("a disclosure could not be kept (%s): %s", failure.reason, tuple(lost))
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = Thread(target=self._keep_writing, name="disclosures", daemon=True)
                self._thread.start()

    def _keep_writing(self) -> None:
        sweep_after = self._clock()
        while not self._stop.is_set():
            self._wake.wait(SWEEP_EVERY_S)
            self._stop.wait(GATHER_S)
            self._wake.clear()
            before = self.failing
            try:
                self.write_what_waits()
                if self._clock() >= sweep_after:
                    sweep_after = self._clock() + timedelta(seconds=SWEEP_EVERY_S)
                    self.sweep()
            except Exception:  # noqa: BLE001 (whatever it is, they wait, and health tells why)
                if self.failing != before:
                    _LOG.error("disclosures cannot be written, and wait: %s", self.failing)
                self._wake.set()
                self._stop.wait(RETRY_S)

    def _write(self, connection: Connection, some: list[Disclosure]) -> None:
        wire = Wire(connection)
        try:
            wire.begin(("BEGIN IMMEDIATE" if self._sql.sqlite else "BEGIN",), ())
            new = self._unwritten(wire, some) if self._doubtful else some
            wire.commit(self._sql.insertions("disclosures", COLUMNS, new))
        except BaseException:
            connection.invalidate()
            raise

    def _unwritten(self, wire: Wire, some: Iterable[Disclosure]) -> list[Disclosure]:
        """Without those that were written by an attempt that seemed to fail."""
        sql = self._sql("SELECT request FROM disclosures WHERE request IN {any}")
        known = self._sql.texts(each.request for each in some)
        found = {request for (request,) in wire.ask(sql, (known,))}
        return [each for each in some if each.request not in found]


def request_name() -> str:
    """A name for a request that has none, as a command of the machine."""
    return random_bytes(16).hex()
