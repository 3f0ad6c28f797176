"""Folded streams, remembered by name and version: what was folded once need not be read again.

What is remembered is never trusted: a decision made on it is recorded only if every stream still has the version that was read.
"""

from collections import OrderedDict
from threading import Lock
from typing import Any, Final, Generic, NamedTuple

from domain.aggregate import S

MOST_BYTES: Final = 8 * 1024 * 1024
"""How many stored bytes may stand behind all that is remembered; in memory it is several times that."""
_LEAST_BYTES: Final = 512


class Known(NamedTuple, Generic[S]):
    """A stream's state at a version, and the stored bytes that it was folded from. No state: no events."""

    state: S | None
    version: int
    weight: int


ABSENT: Final[Known[Any]] = Known(None, 0, 0)


class States:
    """The streams that were used last."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most = most_bytes
        self._weight = 0
        self._known: OrderedDict[str, Known[Any]] = OrderedDict()
        self._lock = Lock()
        self.time = 0
        """How often everything was forgotten."""

    def clear(self) -> None:
        """Remember nothing; what was decided on what was remembered until now is of another time."""
        with self._lock:
            self.time += 1
            self._known.clear()
            self._weight = 0

    def get(self, stream: str) -> Known[Any] | None:
        """What is remembered of a stream."""
        with self._lock:
            found = self._known.get(stream)
            if found is not None:
                self._known.move_to_end(stream)
            return found

    def put(self, stream: str, known: Known[Any]) -> None:
        """Remember a stream, unless something later is remembered; forget what was used longest ago."""
        if known.version == 0:
            return
        with self._lock:
            before = self._known.get(stream)
            if before is not None:
                if before.version >= known.version:
                    return
                self._weight -= before.weight + _LEAST_BYTES
            self._known[stream] = known
            self._known.move_to_end(stream)
            self._weight += known.weight + _LEAST_BYTES
            while self._weight > self._most and len(self._known) > 1:
                _, forgotten = self._known.popitem(last=False)
                self._weight -= forgotten.weight + _LEAST_BYTES
