"""Several processes take turns by a lock of PostgreSQL's."""

import asyncio

import pytest

from ledger import store
from ledger.alone import turn_of_all

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
