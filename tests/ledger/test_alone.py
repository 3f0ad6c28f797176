"""Several processes take turns by a lock of PostgreSQL's."""

import asyncio
import threading
from typing import Any

import pytest
from sqlalchemy import Engine, QueuePool, event

from ledger import store
from ledger.alone import BackOff, turn_of_all

KEY = 0x6C636C


@pytest.mark.parametrize("fails", [False, True])
async def test_one_does_it_at_a_time_and_the_others_wait(postgres_url: str, *, fails: bool) -> None:
    one, other = store.engine(postgres_url), store.engine(postgres_url)  # as two processes have them
    entered, done = asyncio.Event(), list[str]()

    async def second() -> None:
        await entered.wait()
        async with turn_of_all(other, KEY):
            done.append("second")

    waiting = asyncio.create_task(second())
    try:
        async with turn_of_all(one, KEY):
            entered.set()
            await asyncio.sleep(0.3)
            done.append("first")
            if fails:
                raise RuntimeError
    except RuntimeError:
        pass
    await asyncio.wait_for(waiting, 10)
    assert done == ["first", "second"]
    one.dispose()
    other.dispose()


class TestBackOff:
    def test_waits_twice_as_long_after_each_failure_until_it_goes_well(self) -> None:
        pauses = BackOff(1.0, 5.0)
        assert [pauses.failed() for _ in range(5)] == [1.0, 2.0, 4.0, 5.0, 5.0]
        assert (pauses.well(), pauses.failed()) == (1.0, 1.0)


class Held:
    """Holds up a statement on its way to the database until it is let go, and knows which thread said it."""

    def __init__(self, engine: Engine, statement: str) -> None:
        self._statement = statement
        self.come, self._go = threading.Event(), threading.Event()
        self.thread: int | None = None
        event.listen(engine, "before_cursor_execute", self._hold)

    def _hold(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self._statement in statement:
            self.thread = threading.get_ident()
            self.come.set()
            assert self._go.wait(10)

    def let_go(self) -> None:
        self._go.set()


@pytest.mark.parametrize("statement", ["pg_try_advisory_lock", "pg_advisory_unlock"])
async def test_who_is_cancelled_on_the_way_in_or_out_holds_nothing_afterwards(postgres_url: str, statement: str) -> None:
    one, other = store.engine(postgres_url), store.engine(postgres_url)
    held, inside = Held(one, statement), list[str]()

    async def turn() -> None:
        async with turn_of_all(one, KEY):
            inside.append("it was its turn")

    taking = asyncio.create_task(turn())
    try:
        assert await asyncio.to_thread(held.come.wait, 10)
        for _ in range(2):
            taking.cancel()
            await asyncio.sleep(0.1)
            assert not taking.done(), "nobody knows yet whether it holds the lock"
    finally:
        held.let_go()
    await asyncio.wait((taking,), timeout=10)
    assert taking.cancelled()
    assert len(inside) == (statement == "pg_advisory_unlock")
    assert (in_use(one), held.thread == threading.get_ident()) == (0, False)
    async with asyncio.timeout(5), turn_of_all(other, KEY):
        pass
    one.dispose()
    other.dispose()


def in_use(engine: Engine) -> int:
    """How many connections of a pool somebody has."""
    assert isinstance(engine.pool, QueuePool)
    return engine.pool.checkedout()
