"""Who waits for new entries is told by whoever commits them in this process; other processes' commits are found by looking."""

import weakref
from threading import Event, Lock
from types import TracebackType
from typing import Final, Self

LOOK_EVERY_S: Final = 0.1
"""How long a follower sleeps at most before it looks for itself: commits of other processes ring no bell here."""

_BELLS: dict[str, "Bell"] = {}
_BELLS_LOCK = Lock()


class Bell:
    """Rung after every commit on one database."""

    def __init__(self) -> None:
        self._listeners: weakref.WeakSet[Event] = weakref.WeakSet()
        self._lock = Lock()

    def ring(self) -> None:
        """Wake everybody who listens."""
        with self._lock:
            for listener in self._listeners:
                listener.set()

    def listen(self, event: Event) -> None:
        """Set an event at every commit from now on."""
        with self._lock:
            self._listeners.add(event)

    def unlisten(self, event: Event) -> None:
        """Set it no longer."""
        with self._lock:
            self._listeners.discard(event)


def bell_of(database: str) -> Bell:
    """The one bell of a database in this process, whoever opens it."""
    with _BELLS_LOCK:
        return _BELLS.setdefault(database, Bell())


class Wake:
    """What a follower sleeps on between looks at the log."""

    def __init__(self, bell: Bell) -> None:
        self._bell = bell
        self._event = Event()
        bell.listen(self._event)

    def wait(self, timeout_s: float = LOOK_EVERY_S) -> bool:
        """Sleep until something was committed since the last wait, or the time is up; tells whether this process committed."""
        rung = self._event.wait(timeout_s)
        self._event.clear()
        return rung

    def rouse(self) -> None:
        """Wake the one who sleeps, though nothing was committed (to let it end)."""
        self._event.set()

    def close(self) -> None:
        """Listen no longer."""
        self._bell.unlisten(self._event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
