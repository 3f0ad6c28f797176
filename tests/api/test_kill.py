"""`kill -9` of whatever serves, projects or stores, again and again under load: what was acknowledged is there, nothing half.

Twenty times here; `pytest tests/api/test_kill.py --kills 200` does it more often, and `--kills-seed 2` at other moments. So two
hundred kills can be done in pieces too: `--kills 50 --kills-seed 1`, and so on, of one class at a time (`-k SQLite`).
"""

import asyncio
import os
import signal
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Final

import httpx
import pytest

from tests import postgres
from tests.api import server
from tests.api.server import Forked, Place
from tests.api.story import Service
from tests.api.test_service import Load, Story, claims_of
from tests.faults import until

pytestmark = pytest.mark.long

LEAST, MOST = 4, 40
"""Commands that are acknowledged before a kill."""
BUSIEST: Final = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND backend_type = 'client backend' ORDER BY query_start DESC LIMIT 1"
)
FOLLOWERS: Final = "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 1818455044"


@pytest.fixture
def kills(request: pytest.FixtureRequest) -> int:
    """How often a process is killed, in all tests of this file together."""
    return int(request.config.getoption("--kills"))


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> Random:
    """When: the same in every run of a test with the same seed."""
    return Random(f"{request.node.name} {request.config.getoption('--kills-seed')}")  # noqa: S311 (nothing is to be kept secret)


class TestTheServiceOnSQLite:
    async def test_loses_nothing_that_it_acknowledged(self, tmp_path: Path, kills: int, chance: Random) -> None:
        told = Story(Place(tmp_path / "ledger"))
        await told.begin()
        for _ in range(kills * 2 // 5):
            await _work_and_kill(told, chance)
        await _expect_everything(told)


class TestTheServiceAndTheFollowerOnPostgreSQL:
    """A worker and the service stand by for each other: whichever follows is killed, and the other one takes over."""

    async def test_lose_nothing_that_was_acknowledged(
        self, tmp_path: Path, postgres_server: postgres.Server, kills: int, chance: Random
    ) -> None:
        name = postgres_server.create()
        told = Story(Place(tmp_path / "ledger", postgres_server.url(name)))
        await told.begin()
        with postgres_server.connect(name) as connection, ExitStack() as workers:

            def follower() -> int | None:
                found = connection.execute(FOLLOWERS.encode()).fetchone()
                return None if found is None else int(found[0])

            def start_worker() -> Forked:
                started = workers.enter_context(server.forked(told.place, "worker"))
                started.wait("standing by")
                return started

            worker = start_worker()

            def kill_the_follower() -> None:
                nonlocal worker
                killed = follower()
                worker.kill()
                _until(lambda: follower() not in {None, killed})
                worker = start_worker()

            for _ in range(kills // 5):
                await asyncio.to_thread(_until, lambda: follower() is not None)
                await _work_and_kill(told, chance, kill_the_follower)
            workers.close()
            await _expect_everything(told)
        postgres_server.drop(name)


class TestPostgreSQL:
    """A backend that is killed takes all others with it, and PostgreSQL recovers; the service serves on."""

    async def test_loses_nothing_that_the_service_acknowledged(
        self, tmp_path: Path, own_server: postgres.Server, kills: int, chance: Random
    ) -> None:
        name = own_server.create()
        told = Story(Place(tmp_path / "ledger", own_server.url(name)))
        await told.begin()

        def kill_a_backend() -> None:
            with own_server.connect(name) as connection:
                found = connection.execute(BUSIEST.encode()).fetchone()
            assert found is not None
            os.kill(found[0], signal.SIGKILL)

        with server.forked(told.place, "serve", "--port", "0") as serving:
            async with server.asked(told.place, serving) as service:
                for _ in range(kills // 5):
                    load = told.next(Load(enough_of=chance.randint(LEAST, MOST)))
                    await told.work_on(service, load, kill_a_backend)
                    await _ready_again(service)
                    _expect_acknowledged(told)
                    await told.repeat_to(service, load)
        await _expect_everything(told)


async def _ready_again(service: Service) -> None:
    async with asyncio.timeout(60):
        while (await service.nobody.get("/v1/health/ready")).status_code != httpx.codes.OK:  # noqa: ASYNC110 (another makes it so)
            await asyncio.sleep(0.05)


async def _work_and_kill(told: Story, chance: Random, meanwhile: Callable[[], None] = lambda: None) -> None:
    """Serve, see that what was under way at the last kill is as it should be, work, and kill while something is under way."""
    with server.forked(told.place, "serve", "--port", "0") as serving:
        async with server.asked(told.place, serving) as service:
            if told.loads:
                await told.repeat_to(service, told.loads[-1])
            load = told.next(Load(enough_of=chance.randint(LEAST, MOST)))

            def kill() -> None:
                meanwhile()
                serving.kill()

            await told.work_on(service, load, kill)
    assert load.unanswered, "it was killed while nothing was under way"
    _expect_acknowledged(told)


def _expect_acknowledged(told: Story) -> None:
    """Everything that was acknowledged is there, nothing that was never sent, and nothing half."""
    claims, _ = told.expect_whole()
    sent = [each for every in told.loads for each in every.sent]
    assert claims_of(each for each in sent if each.acknowledged) <= claims <= claims_of(sent)


async def _expect_everything(told: Story) -> None:
    """What was under way at the last kill is sent again: everything that was ever sent is there, once."""
    await told.repeat(told.loads[-1])
    claims, keys = told.expect_whole()
    sent = [each for every in told.loads for each in every.sent]
    assert claims == claims_of(sent)
    assert {each.key for each in sent} <= keys


def _until(there: Callable[[], bool]) -> None:
    asyncio.run(until(there))
