"""Of several processes that could do something, one does it, and the others stand by until it is gone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final, TypeVar, TypeVarTuple

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from ledger import failures

T = TypeVar("T")
G = TypeVarTuple("G")
_LOOK_S: Final = 0.05


class BackOff:
    """How long to wait before what failed is tried again: twice as long after each failure in a row, up to the most."""

    def __init__(self, first_s: float, most_s: float) -> None:
        self._first_s = self._next_s = first_s
        self._most_s = most_s

    def well(self) -> float:
        """It went well: the pause before it is done the next time."""
        self._next_s = self._first_s
        return self._first_s

    def failed(self) -> float:
        """It failed: the pause before it is tried again."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self._most_s)
        return pause_s


@contextmanager
def alone(engine: Engine, key: int) -> Iterator[Callable[[], None] | None]:
    """Be the one who does it, by an advisory lock of PostgreSQL's under a key; nothing, if somebody else is.

    Gives what raises `Unavailable` when that is over. Whoever serves an SQLite file is alone with it already.
    """
    if engine.dialect.name == "sqlite":
        yield lambda: None
        return
    with failures.told(), engine.connect() as connection:
        is_alone = bool(connection.exec_driver_sql(f"SELECT pg_try_advisory_lock({key})").scalar())

        def still() -> None:
            # The lock ends with the connection, and of that the pool's other connections say nothing.
            with failures.told():
                connection.exec_driver_sql("SELECT 1")

        try:
            yield still if is_alone else None
        finally:
            if is_alone:
                try:
                    connection.exec_driver_sql(f"SELECT pg_advisory_unlock({key})")
                except SQLAlchemyError:  # The lock went with the connection; a pool must not keep one that still has it.
                    connection.invalidate()


@asynccontextmanager
async def turn_of_all(engine: Engine, key: int) -> AsyncIterator[None]:
    """Do something while no other process does, by an advisory lock of PostgreSQL's under a key; waits until none does.

    `Unavailable` if the database cannot be asked. Who is cancelled holds nothing any more once that is told.
    """
    while True:
        holding = alone(engine, key)
        entering = _begun(holding.__enter__)
        try:
            await _ended(entering)
            if entering.result() is not None:
                yield
                return
        finally:
            if entering.exception() is None:
                leaving = _begun(holding.__exit__, None, None, None)
                await _ended(leaving)
                leaving.result()
        await asyncio.sleep(_LOOK_S)


def _begun(step: Callable[[*G], T], *given: *G) -> asyncio.Future[T]:
    """A step that a thread takes. It is no task, as those are cancelled when a loop ends, and the thread would go on alone."""
    return asyncio.get_running_loop().run_in_executor(None, step, *given)


async def _ended(step: asyncio.Future[T]) -> None:
    """Wait until a step has ended, well or not; whoever is cancelled meanwhile is so once it is known what is held."""
    cancelled: asyncio.CancelledError | None = None
    while not step.done():
        try:
            await asyncio.wait((step,))
        except asyncio.CancelledError as told:
            cancelled = told
    if cancelled is not None:
        step.exception()  # It is looked at, so that nobody is told that nobody did.
        raise cancelled
