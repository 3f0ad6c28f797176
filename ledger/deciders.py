"""Where commands are decided: quick ones in the event loop that brings them, others in threads, for which no loop waits."""

from asyncio import AbstractEventLoop
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Final

from ledger.crowd import MOST_GATHERING_S, QUIET_ROUNDS
from ledger.facts import TakesLong
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

    For the same reason what is quick to decide is decided where it arrives, in the event loop: handing it to a thread would take
    longer, as the two wait for each other. When the loop has brought all that it has for now, a thread writes it.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._arrived: deque[Pending] = deque()
        self._called = False
        """Whether a thread is called in that has not come yet: it will find what arrives meanwhile."""
        self._deciding = Lock()
        self._threads = ThreadPoolExecutor(DECIDERS, thread_name_prefix="decider")
        self._quick: deque[Pending] = deque()
        self._round: AbstractEventLoop | None = None
        """The event loop that decides what is quick, a command a round."""

    def take(self, pending: Pending, *, quick: bool = False) -> None:
        """Take in a command that was admitted; a `quick` one is decided in its event loop, soon."""
        if quick and pending.loop is not None:
            self._quick.append(pending)
            if self._round is not pending.loop:
                self._round = pending.loop
                pending.loop.call_soon(self._go_round, pending.loop, pending.loop.time() + MOST_GATHERING_S, 0)
            return
        self._arrived.append(pending)
        try:
            self._call()
        except RuntimeError:  # No thread can be started any more.
            if self._is_left(pending):
                self._writer.release([pending])
                raise

    def finish(self) -> None:
        """Decide what is left: an event loop that is closed decides nothing any more."""
        while self._quick:
            with suppress(IndexError):  # Unless it is not closed, and was quicker.
                self._writer.decide(self._quick.popleft())

    def shutdown(self) -> None:
        """End the threads, when nothing is under way any more."""
        self._threads.shutdown()

    def _go_round(self, loop: AbstractEventLoop, until: float, quiet: int) -> None:
        """Decide one command, so that everybody else who waits for the loop has a turn before the next one.

        When the loop brings no more, or has brought some for a while, it is for a thread to write them.
        """
        if self._quick:
            self._decide_here(self._quick.popleft())
            quiet = -1
        quiet += 1
        if quiet >= QUIET_ROUNDS or loop.time() >= until:
            self._see_written()
            until = loop.time() + MOST_GATHERING_S
        if quiet < QUIET_ROUNDS:
            loop.call_soon(self._go_round, loop, until, quiet)
        else:
            self._round = None

    def _decide_here(self, pending: Pending) -> None:
        """Decide a command, unless others are being decided that came before it, or it is not quick after all."""
        if not self._arrived and self._deciding.acquire(blocking=False):
            try:
                self._writer.decide(pending, briefly=True)
            except TakesLong:
                pass
            else:
                return
            finally:
                self._deciding.release()
        try:
            self.take(pending)
        except RuntimeError as failure:
            self._writer.give(pending, failure)

    def _see_written(self) -> None:
        if self._writer.many_waiting() and not self._writer.is_writing:
            try:
                self._threads.submit(self._writer.write_what_waits)
            except RuntimeError:  # No thread can be started any more.
                self._writer.write_what_waits()

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
