"""What goes wrong, made to."""

import asyncio
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from sqlalchemy import Engine, exc

from ledger.ledger import Ledger
from ledger.wire import Wire

LONG_S: Final = 60


@contextmanager
def cut_in_commit(ledger: Ledger, *, stored: bool) -> Iterator[None]:
    """The log's first commit fails, and from then on nothing can be said to it at all, and nobody reaches it."""
    with pytest.MonkeyPatch.context() as patch, failing_commit(stored=stored, then=lambda: _cut_off(patch, ledger)):
        yield


@contextmanager
def failing_commit(*, stored: bool, then: Callable[[], None] = lambda: None) -> Iterator[None]:
    """The first commit of a turn fails, before it is stored or after it, and the next ones do not."""
    commit, failed = Wire.commit, False

    def fail(self: Wire, statements: Iterable[tuple[str, Any]]) -> None:
        nonlocal failed
        if failed:
            return commit(self, statements)
        failed = True
        if stored:
            commit(self, statements)
        else:
            self.roll_back()
        then()
        raise _lost()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Wire, "commit", fail)
        yield


def _cut_off(patch: pytest.MonkeyPatch, ledger: Ledger) -> None:
    def refuse(*_: object) -> Any:
        raise _lost()

    def refuse_ours(connect: Callable[[Engine], Any]) -> Callable[[Engine], Any]:
        return lambda engine: refuse() if engine is ledger.log.engine else connect(engine)

    patch.setattr(Engine, "connect", refuse_ours(Engine.connect))
    patch.setattr(Engine, "raw_connection", refuse_ours(Engine.raw_connection))
    for said in ("begin", "commit", "ask", "ask_at_once", "say"):
        patch.setattr(Wire, said, refuse)
    patch.setattr(Wire, "roll_back", lambda _: False)


async def until(there: Callable[[], bool]) -> None:
    """Wait for what another thread brings about."""
    async with asyncio.timeout(LONG_S):
        while not there():  # noqa: ASYNC110 (another thread makes it so)
            await asyncio.sleep(0.01)


def _lost() -> Exception:
    return exc.OperationalError("COMMIT", None, OSError("the connection is lost"))
