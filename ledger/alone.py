"""Of several processes that could do something, one does it, and the others stand by until it is gone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Final

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from ledger import failures

_LOOK_S: Final = 0.05


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

    `Unavailable` if the database cannot be asked.
    """
    holding = alone(engine, key)
    while await asyncio.to_thread(holding.__enter__) is None:
        await asyncio.to_thread(holding.__exit__, None, None, None)
        await asyncio.sleep(_LOOK_S)
        holding = alone(engine, key)
    try:
        yield
    finally:
        await asyncio.to_thread(holding.__exit__, None, None, None)
