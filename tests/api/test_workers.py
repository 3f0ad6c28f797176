"""`lcledger serve --workers`: several processes serve one PostgreSQL on one socket; each may die, and nothing is lost by it."""

import asyncio
import os
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import httpx
import pytest

from tests import postgres
from tests.api import server, story
from tests.api.cli.conftest import lcledger
from tests.api.server import Place, Serving
from tests.api.test_service import Load, Patient, Story
from tests.faults import until

pytestmark = pytest.mark.long

WORKERS: Final = 2
MORE: Final = 40
"""Commands that are acknowledged after a worker was killed."""


@pytest.fixture
def place(postgres_url: str, tmp_path: Path) -> Place:
    """A ledger that several processes serve."""
    return Place(tmp_path / "ledger", postgres_url, WORKERS)


def workers(serving: Serving) -> list[int]:
    """The processes that were started to serve, in this order; some may have died."""
    return [int(line["process"]) for line in serving.said("worker started")]


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


async def eventually(there: Callable[[], bool]) -> None:
    """Wait for what another process brings about."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(there):  # noqa: ASYNC110 (another process makes it so)
            await asyncio.sleep(0.05)


class TestOneThatDies:
    async def test_loses_nothing_and_another_takes_its_place(self, place: Place) -> None:
        told, load = Story(replace(place, workers=1)), Patient()
        await told.begin()
        told.place = place

        def kill_one_and_stop(serving: Serving, _load: Load) -> None:
            asyncio.run(until(lambda: len(serving.said("serving")) == WORKERS))
            os.kill(workers(serving)[0], signal.SIGKILL)
            enough = len(load.acknowledged) + MORE
            asyncio.run(until(lambda: len(load.acknowledged) >= enough and len(serving.said("serving")) > WORKERS))
            (died,) = serving.said("a worker died")
            assert (died["worker"], died["code"]) == (1, -signal.SIGKILL)
            load.ending = True
            serving.ask_to_stop()
            assert serving.process.wait(60) == 0
            assert not any(is_alive(process) for process in workers(serving))

        await told.work_until(kill_one_and_stop, load)
        told.place = replace(place, workers=1)
        claims, _ = told.expect_whole()
        assert {each.body["claim"] for each in load.acknowledged if "claim" in each.body} == claims
        await told.repeat(load)

    async def test_is_tried_again_and_again_while_the_database_is_away(self, own_server: postgres.Server, tmp_path: Path) -> None:
        place = Place(tmp_path / "ledger", own_server.url(own_server.create()), 2)
        with server.served(place) as serving:
            async with server.asked(place, serving) as service:
                await eventually(lambda: len(serving.said("serving")) == 2)
                await asyncio.to_thread(own_server.stop)
                os.kill(workers(serving)[0], signal.SIGKILL)
                await eventually(lambda: len(serving.said("the worker cannot serve")) >= 2)
                assert (await service.nobody.get("/v1/health/live")).status_code == 200
                assert (await service.nobody.get("/v1/health/ready")).status_code == 503
                await asyncio.to_thread(own_server.start)
                await eventually(lambda: len(serving.said("serving")) == 3)
                await story.gather(service)
        pauses = [line["again_in_s"] for line in serving.said("a worker died")]
        assert pauses[:3] == [0.5, 1.0, 2.0][: len(pauses)]
        assert len(pauses) >= 3


class TestAll:
    async def test_count_together_and_end_with_the_one_that_started_them(self, place: Place) -> None:
        with server.served(place) as serving:
            async with server.asked(place, serving) as service:
                await eventually(lambda: len(serving.said("serving")) == WORKERS)
                for _ in range(12):
                    async with httpx.AsyncClient(base_url=serving.address) as apart:
                        assert (await apart.get("/v1/health/live")).status_code == 200
                for _ in range(3):
                    numbers = (await service.first.get("/v1/metrics")).text
                    assert 'lcledger_requests_total{method="GET",route="/v1/health/live",status="200"} 12.0' in numbers
                    assert f"lcledger_processes {WORKERS}.0" in numbers
                    assert "lcledger_position 3.0" in numbers
                os.kill(workers(serving)[0], signal.SIGKILL)
                await eventually(lambda: len(serving.said("serving")) == WORKERS + 1)
                numbers = (await service.first.get("/v1/metrics")).text
                assert 'lcledger_requests_total{method="GET",route="/v1/health/live",status="200"} 12.0' in numbers
                assert f"lcledger_processes {WORKERS}.0" in numbers
            serving.kill()
            await eventually(lambda: not any(is_alive(process) for process in workers(serving)))
            address = urlsplit(serving.address)
            socket.create_server((str(address.hostname), int(address.port or 0))).close()

    def test_are_one_on_sqlite(self, tmp_path: Path) -> None:
        done = lcledger("serve", "--workers", "2", "--data-dir", str(tmp_path / "ledger"))
        assert (done.returncode, "On SQLite one process serves" in done.stderr) == (1, True)
        assert not (tmp_path / "ledger").exists()

    def test_are_told_once_what_is_wrong(self, tmp_path: Path, postgres_server: postgres.Server) -> None:
        name = postgres_server.create("template1")
        place = Place(tmp_path / "ledger", postgres_server.url(name), 2)
        done = lcledger("serve", "--workers", "2", "--port", "0", **place.environment)
        postgres_server.drop(name)
        assert (done.returncode, done.stderr.count("lcledger migrate")) == (1, 1)
