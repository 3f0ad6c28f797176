"""Of several processes that could do something, one does it, and the others stand by until it is gone."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError

from ledger import failures


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
