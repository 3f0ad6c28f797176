"""What goes wrong, made to."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from sqlalchemy import Connection, exc

from ledger.ledger import Ledger

LONG_S: Final = 60


@contextmanager
def cut_in_commit(ledger: Ledger, *, stored: bool) -> Iterator[None]:
    """The log's first commit fails, and from then on nothing can be said to it at all."""
    said: Callable[..., Any] = Connection.exec_driver_sql
    cut = False

    def fail(self: Connection, statement: str, *others: Any, **settings: Any) -> Any:
        nonlocal cut
        if self.engine is not ledger.log.engine or (not cut and statement != "COMMIT"):
            return said(self, statement, *others, **settings)
        if not cut and stored:
            said(self, statement, *others, **settings)
        if not cut and not stored:
            said(self, "ROLLBACK")
        cut = True
        raise exc.OperationalError(statement, None, OSError("the connection is lost"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Connection, "exec_driver_sql", fail)
        yield


async def until(there: Callable[[], bool]) -> None:
    """Wait for what another thread brings about."""
    async with asyncio.timeout(LONG_S):
        while not there():  # noqa: ASYNC110 (another thread makes it so)
            await asyncio.sleep(0.01)
