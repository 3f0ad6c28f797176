"""A world in which everything happens in an order that a seed decides: threads, statements, failures, crashes, time.

What runs in it is the product's own code, in threads that are stepped one at a time. A thread runs from gate to gate: before and
after every statement that it says to SQLite's driver, wherever it takes a lock that is held across statements, wherever it waits
for another one, and when it asks what time it is. At a gate the scheduler decides who goes on, whether a statement fails (before
it is done or after it, with the connection lost from then on), and whether a whole process dies: its threads end where they are,
its connections are closed without a commit, and everything that it knew is gone, as after `kill -9`.

The gates are in the driver's class, in the locks and futures of the modules that hold them, and in the clock; nothing of the
product is written for them.
"""

import random
import sqlite3
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

import pytest
from sqlalchemy import Engine, event

import ledger.ledger
import ledger.log
import ledger.writer
import projections.following

T = TypeVar("T")

_STUCK_S: Final = 60
COMMITTED: Final = "has committed"
"""Where a thread stands that has committed and told nobody yet."""
_WORST: Final = 20
"""By how much a process is likelier to die just there."""
HAPPENS: Final = (
    "failed before",
    "failed after",
    "crashed",
    "crashed between commit and answer",
    "clock stepped back",
    "follower behind",
)
_TOLD: Final = 60
"""So many of the last steps are told of a failing seed."""


class Crashed(BaseException):
    """The process of this thread is dead."""


class Stuck(AssertionError):
    """Nobody can go on, or somebody waits for what no gate knows of."""


class Process:
    """Threads that live and die together, with the connections that they opened."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.connections: list[_Connection] = []


class _Thread:
    """A thread that runs when it is told to, to its next gate."""

    def __init__(self, scheduler: "Scheduler", process: Process, name: str, work: Callable[[], None]) -> None:
        self.process = process
        self.name = f"{process.name}/{name}"
        self.ready: Callable[[], bool] | None = None
        self.at = ""
        """The gate at which it stands."""
        self.done = False
        self.failure: BaseException | None = None
        self._scheduler = scheduler
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)
        self._work = work
        self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
        self._thread.start()

    def step(self) -> None:
        """Let it run to its next gate."""
        self._go.release()
        if not self._back.acquire(timeout=_STUCK_S):
            raise Stuck(f"{self.name} waits for what no gate knows of")
        if self.done:
            self._thread.join()

    def gate(self, ready: Callable[[], bool] | None) -> None:
        """Stand still until it is told to go on; it is not told before it is ready."""
        if self.process.dead:
            raise Crashed
        self.ready = ready
        self._back.release()
        self._go.acquire()
        self.ready = None
        if self.process.dead:
            raise Crashed

    def _run(self) -> None:
        self._go.acquire()
        _HERE.thread = self
        try:
            if not self.process.dead:
                self._work()
        except Crashed:
            pass
        except BaseException as failure:  # noqa: BLE001 (whatever it is, the simulation tells of it)
            self.failure = failure
        self.done = True
        self._back.release()


class _Here(threading.local):
    thread: _Thread | None = None


_HERE: Final = _Here()


class Scheduler:
    """Decides what happens next, by a seed."""

    def __init__(self, seed: int, *, fails: float, crashes: float) -> None:
        """`fails`: how likely a statement is to fail. `crashes`: how likely a process is to die at a step."""
        self.random = random.Random(seed)  # noqa: S311 (a schedule is no secret)
        self.threads: list[_Thread] = []
        self.trace: deque[str] = deque(maxlen=_TOLD)
        self.steps = 0
        self.happened = dict.fromkeys(HAPPENS, 0)
        self.peaceful = False
        """Whether nothing fails any more."""
        self._fails = fails
        self._crashes = crashes
        self._now = datetime(2024, 7, 1, 9, 30, tzinfo=UTC)
        self._opening: Process | None = None

    # What is done in the world.

    def start(self, process: Process, name: str, work: Callable[[], None]) -> None:
        """Let a process have one more thread."""
        self.threads.append(_Thread(self, process, name, work))

    @contextmanager
    def opening(self, process: Process) -> Iterator[None]:
        """What is opened within is this process's; there are no gates in it."""
        self._opening = process
        try:
            yield
        finally:
            self._opening = None

    def step(self) -> Process | None:
        """One thread goes on, or a process dies, which is given then."""
        self.steps += 1
        ready = [thread for thread in self.threads if thread.ready is None or thread.ready()]
        if not ready:
            raise Stuck(f"nobody can go on: {', '.join(thread.name for thread in self.threads)}")
        thread = self.random.choice(ready)
        if not self.peaceful and self.random.random() < self._crashes * (_WORST if thread.at == COMMITTED else 1):
            self.happened["crashed between commit and answer"] += thread.at == COMMITTED
            self.crash(thread.process)
            return thread.process
        thread.step()
        if thread.done:
            self.threads.remove(thread)
            if thread.failure is not None:
                raise thread.failure
        return None

    def crash(self, process: Process) -> None:
        """A process dies where it is: no thread of it says another word to the database, and what it began is undone."""
        self.trace.append(f"{process.name} dies")
        self.happened["crashed"] += 1
        self.end(process)

    def end(self, process: Process) -> None:
        """End every thread of a process and close its connections, without another word."""
        process.dead = True
        for thread in [each for each in self.threads if each.process is process]:
            thread.step()
            if not thread.done:
                raise Stuck(f"{thread.name} does not die")
            self.threads.remove(thread)
        for connection in process.connections:
            connection.close()

    def clock(self) -> datetime:
        """What time it is: later each time, but when the clock is set back."""
        gate("clock")
        if not self.peaceful and self.random.random() < 0.05:
            self.happened["clock stepped back"] += 1
            self._now -= timedelta(minutes=self.random.randrange(90))
        self._now += timedelta(milliseconds=self.random.randrange(1, 50))
        return self._now

    # What is asked at gates.

    def owner(self) -> Process | None:
        """Whose a connection is that is opened now."""
        return _HERE.thread.process if _HERE.thread is not None else self._opening

    def fault(self, sql: str) -> str | None:
        """Whether a statement fails, and when."""
        if self.peaceful or _HERE.thread is None or sql.startswith("PRAGMA"):
            return None
        often = 8 if sql == "COMMIT" else 1
        if self.random.random() >= self._fails * often:
            return None
        when = self.random.choice(("before", "after"))
        self.happened[f"failed {when}"] += 1
        return when


def gate(what: str, ready: Callable[[], bool] | None = None) -> None:
    """Let the scheduler decide who goes on, if this thread is one of the world's."""
    thread = _HERE.thread
    if thread is None:
        return
    thread._scheduler.trace.append(f"{thread.name} {what}")
    thread.at = what
    thread.gate(ready)


# The seams ------------------------------------------------------------------------------------------------------------


class _Cursor(sqlite3.Cursor):
    """Says statements when it is its turn."""

    def execute(self, sql: str, parameters: Any = ()) -> "_Cursor":
        return self._said(sql, lambda: super(_Cursor, self).execute(sql, parameters))

    def executemany(self, sql: str, parameters: Any) -> "_Cursor":
        return self._said(sql, lambda: super(_Cursor, self).executemany(sql, parameters))

    def _said(self, sql: str, say: Callable[[], Any]) -> "_Cursor":
        connection: _Connection = self.connection  # type: ignore[assignment]
        told = sql.split("(", maxsplit=1)[0].strip()[:50]
        gate(told)
        connection.expect_there()
        when = connection.scheduler.fault(sql)
        if when == "before":
            connection.lose(told)
        while True:
            try:
                say()
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or _HERE.thread is None:
                    raise
                gate(f"waits: {told}")  # As SQLite's own busy handler does, while others go on.
                connection.expect_there()
            else:
                break
        if when == "after":
            connection.lose(told)
        if sql == "COMMIT":
            gate(COMMITTED)
        return self


class _Connection(sqlite3.Connection):
    """A connection that can be lost: to whoever has it, every statement fails from then on, until it is closed."""

    scheduler: Scheduler
    process: Process | None = None
    lost = False

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._cursors = weakref.WeakSet[_Cursor]()

    def cursor(self, factory: Any = _Cursor) -> Any:
        made = super().cursor(_Cursor)
        self._cursors.add(made)
        return made

    def close(self) -> None:
        """Close it. A cursor that a traceback still holds would keep it open, and its transaction with it."""
        for cursor in list(self._cursors):
            with suppress(sqlite3.ProgrammingError):  # It was closed before.
                cursor.close()
        super().close()

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        return self.cursor().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any) -> Any:
        return self.cursor().executemany(sql, parameters)

    def expect_there(self) -> None:
        """Fail on a connection that was lost."""
        if self.process is not None and self.process.dead:
            raise Crashed
        if self.lost:
            raise _io_error()

    def lose(self, told: str) -> None:
        """Lose the connection, and fail."""
        self.lost = True
        self.scheduler.trace.append(f"  fails: {told}")
        raise _io_error()

    def rollback(self) -> None:
        """SQLAlchemy says this to every connection that goes back into its pool."""
        if self.process is None or not self.process.dead:
            self.expect_there()
            super().rollback()


def _io_error() -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    error.sqlite_errorname = "SQLITE_IOERR"
    return error


class _Lock:
    """A lock that is waited for at a gate."""

    def __init__(self) -> None:
        self._held = False

    def acquire(self, blocking: bool = True) -> bool:  # noqa: FBT001, FBT002 (as the real one has it)
        if self._held and not blocking:
            return False
        while self._held:
            gate("waits for a lock", lambda: not self._held)
        self._held = True
        return True

    def release(self) -> None:
        gate("lets go of a lock")  # What others do just before that, and find it held, must not be forgotten.
        self._held = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *_: object) -> None:
        self.release()


class _Future(Future[T]):
    """An answer that is waited for at a gate."""

    def result(self, timeout: float | None = None) -> T:
        while not self.done():
            gate("waits for its answer", self.done)
        return super().result(timeout)


@contextmanager
def simulated(scheduler: Scheduler) -> Iterator[None]:
    """The world: within, whatever is opened goes through its gates."""

    def open_ours(_dialect: object, _record: object, _arguments: Sequence[Any], named: dict[str, Any]) -> sqlite3.Connection:
        process = scheduler.owner()
        connection = sqlite3.connect(*_arguments, **named | {"factory": _Connection, "timeout": 0})
        assert isinstance(connection, _Connection)
        connection.scheduler, connection.process = scheduler, process
        if process is not None:
            process.connections.append(connection)
        return connection

    event.listen(Engine, "do_connect", open_ours)
    with pytest.MonkeyPatch.context() as patch:
        for module in (ledger.log, ledger.writer, projections.following):
            patch.setattr(module, "Lock", _Lock)
        patch.setattr(ledger.ledger, "Future", _Future)
        patch.setattr(ledger.writer, "linger", lambda _took_s, _under_way: gate("lingers"))
        try:
            yield
        finally:
            event.remove(Engine, "do_connect", open_ours)
