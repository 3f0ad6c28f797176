"""The threads in which commands are decided, so that no event loop waits for it."""

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Final

from ledger.writer import Pending, Writer

DECIDERS: Final = 4
"""So many commands can be decided at once; one of the threads writes."""
PATIENCE_S: Final = 0.1
"""How long a thread waits at most for the one that decides."""


class Deciders:
    """Decides commands as they arrive, and sees them written.

    A thread goes through all that has arrived before it writes, so that a crowd wakes one thread and becomes one batch. In case
    one of them takes long, another thread is called in for whatever is left behind it, and for what is decided and not written.

    It has some patience first. Only one Python thread computes at a time, so that several who decide are no quicker than one; and
    of commands on one stream each must be decided on what the one before it made of the stream, or again when they are written.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._arrived: deque[Pending] = deque()
        self._called = False
        """Whether a thread is called in that has not come yet: it will find what arrives meanwhile."""
        self._deciding = Lock()
        self._threads = ThreadPoolExecutor(DECIDERS, thread_name_prefix="decider")

    def take(self, pending: Pending) -> None:
        """Take in a command that was admitted."""
        self._arrived.append(pending)
        try:
            self._call()
        except RuntimeError:  # No thread can be started any more.
            if self._is_left(pending):
                self._writer.release([pending])
                raise

    def shutdown(self) -> None:
        """End the threads, when nothing is under way any more."""
        self._threads.shutdown()

    def _call(self) -> None:
        if not self._called:
            self._called = True
            try:
                self._threads.submit(self._serve)
            except BaseException:
                self._called = False
                raise

    def _serve(self) -> None:
        alone = self._deciding.acquire(timeout=PATIENCE_S)
        try:
            self._called = False  # Before looking: what arrives after this calls in the next one.
            while pending := self._next():
                self._writer.decide(pending)
        finally:
            if alone:
                self._deciding.release()
        self._writer.write_what_waits()

    def _next(self) -> Pending | None:
        try:
            pending = self._arrived.popleft()
        except IndexError:
            return None
        if self._arrived:
            with suppress(RuntimeError):  # If no thread can be started, this one does what is left.
                self._call()
        return pending

    def _is_left(self, pending: Pending) -> bool:
        """Take a command back, unless a thread has it already."""
        try:
            self._arrived.remove(pending)
        except ValueError:
            return False
        return True
