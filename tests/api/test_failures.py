"""The service while its database fails, when it is back, and under more than it takes."""

import asyncio
import base64
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import structlog
from sqlalchemy import make_url

from api.settings import vault_key
from ledger import store
from ledger.ledger import Ledger
from tests import postgres
from tests.api import everything, server, story
from tests.api.story import AWARD, Service, slug
from tests.faults import LONG_S, cut_in_commit, failing_commit, until
from tests.relay import relayed

CLAIMS: Final = f"/v1/awards/{AWARD}/claims"
OTHER_AWARD: Final = {"reference": "INDIGO-POJ-0001", "title": "Somewhere else", "terms": story.TERMS}


def _on(url: str) -> dict[str, Any]:
    return {"database_url": url, "vault_key": base64.b64encode(server.VAULT_KEY).decode()}


@dataclass
class Cutting(httpx.AsyncBaseTransport):
    """Sends every command three times: its commit fails and is not stored, fails but is stored, and then it is sent again.

    Whoever sent it gets the last answer, as if nothing had gone wrong on the way.
    """

    within: httpx.AsyncBaseTransport
    cut: Callable[..., AbstractContextManager[None]]
    ledger: Ledger
    away: bool
    """Whether the database cannot be reached for a while either: then nobody can tell what became of it."""
    seen: set[str] = field(default_factory=set)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        command = story.command_of(request.method, request.url.path)
        if command is None or _shows_a_secret(command, request):
            return await self.within.handle_async_request(request)
        self.seen.add(command)
        before = self.ledger.head().size
        with self.cut(stored=False):
            failed = await self._sent(request)
        self._expect_failure(failed)
        assert self.ledger.head().size == before, command
        with self.cut(stored=True):
            failed = await self._sent(request)
        if self.away:
            self._expect_failure(failed)
        else:  # The service has looked it up by itself.
            assert (failed.status_code, failed.headers.get("Idempotency-Hit")) == (201, None), failed.text
        first, second = await self._sent(request), await self._sent(request)
        assert (first.status_code, second.status_code) == (201, 201), first.text
        assert first.json() == second.json()
        assert self.away or {**failed.json(), **SHOWN_ONCE} == {**first.json(), **SHOWN_ONCE}
        assert {answer.headers["Idempotency-Hit"] for answer in (first, second)} == {"true"}
        assert first.headers["Ledger-Position"] == second.headers["Ledger-Position"]
        assert first.json()["position"] == self.ledger.head().size == before + first.json()["count"], command
        return second

    async def _sent(self, request: httpx.Request) -> httpx.Response:
        answer = await self.within.handle_async_request(request)
        await answer.aread()
        story.expect_declared(request.method, request.url.path, answer)
        return answer

    def _expect_failure(self, told: httpx.Response) -> None:
        assert slug(told) == (503, "outcome-not-known" if self.away else "database-unavailable")
        assert int(told.headers["Retry-After"]) > 0
        assert "Idempotency-Key" in told.json()["title"] or not self.away


SHOWN_ONCE: Final = {"secret": None}


def _shows_a_secret(command: str, request: httpx.Request) -> bool:
    """Whether the answer shows a key, which no repeat does: all but one are kept by those who hold them."""
    return command == "POST /v1/keys" and request.headers["Idempotency-Key"] != everything.LOST


class TestEveryCommand:
    """Each of its commits fails, and is not stored; fails, but is stored; then the same is sent again: once, the same answer."""

    AWAY = pytest.mark.parametrize("away", [False, True], ids=["and the database is there", "and the database is away"])

    @AWAY
    async def test_is_recorded_once_on_sqlite(self, tmp_path: Path, away: bool) -> None:  # noqa: FBT001 (a parameter)
        async with story.serving(tmp_path / "ledger") as service:
            ledger: Ledger = service.app.state.ledger
            cut = partial(cut_in_commit, ledger) if away else failing_commit
            await self._all(service, cut, away=away)

    @pytest.mark.long
    @AWAY
    async def test_is_recorded_once_on_postgresql(
        self,
        tmp_path: Path,
        postgres_server: postgres.Server,
        away: bool,  # noqa: FBT001 (a parameter)
    ) -> None:
        name = postgres_server.create()
        with relayed(postgres_server) as relay:
            async with story.serving(tmp_path / "ledger", **_on(relay.url(name))) as service:
                await self._all(service, partial(relay.cut_in_commit, away=away), away=away)
        postgres_server.drop(name)

    async def _all(self, service: Service, cut: Callable[..., AbstractContextManager[None]], *, away: bool) -> None:
        cutting = Cutting(service.http._transport, cut, service.app.state.ledger, away)
        service.http._transport = cutting
        await everything.happen(service)
        assert story.every_command() - cutting.seen == set()
        views = service.app.state.views
        await asyncio.to_thread(views.catch_up)
        assert [each for each in views.check() if not each.agrees] == []


class TestADatabaseThatStops:
    async def test_is_told_and_the_service_goes_on_when_it_is_back(self, own_server: postgres.Server, tmp_path: Path) -> None:
        async with story.serving(tmp_path / "ledger", **_on(own_server.url(own_server.create()))) as service:
            await story.gather(service)
            await story.agree_award(service)
            await asyncio.to_thread(own_server.stop)
            for answer in (await service.cora.post(CLAIMS, story.claim(), key="k"), await service.cora.get(CLAIMS)):
                assert slug(answer) == (503, "database-unavailable")
                assert answer.headers["Retry-After"] == "5"
                assert set(answer.json()["details"]) == {"reason"}
                assert "Traceback" not in answer.text
            ready = await service.nobody.get("/v1/health/ready")
            assert (ready.status_code, ready.json()["ready"]) == (503, False)
            assert "the database cannot be used" in ready.json()["reasons"][0]
            assert (await service.nobody.get("/v1/health/live")).status_code == 200
            await asyncio.to_thread(own_server.start)
            claimed = await service.cora.post(CLAIMS, story.claim(), key="k")
            assert claimed.status_code == 201
            assert [each["claim"] for each in (await _read_at_last(service, CLAIMS))["rows"]] == ["2021-Q3"]
            assert (await service.nobody.get("/v1/health/ready")).json()["reasons"] == []
            numbers = (await service.audrey.get("/v1/metrics")).text
            assert 'lcledger_commits_total{became="done"}' in numbers
            assert 'lcledger_database_failures_total{reason="' in numbers


class TestADatabaseThatCanOnlyBeRead:
    """As a standby is, or a primary that has become one."""

    async def test_is_told_and_the_service_is_not_ready(
        self, postgres_server: postgres.Server, postgres_url: str, tmp_path: Path
    ) -> None:
        async with story.serving(tmp_path / "ledger", **_on(postgres_url)) as service:
            await story.gather(service)
            await story.agree_award(service)
            _set_read_only(postgres_server, postgres_url, "on")
            answer = await service.cora.post(CLAIMS, story.claim(), key="k")
            assert slug(answer) == (503, "database-unavailable")
            assert answer.headers["Retry-After"] == "5"
            ready = await service.nobody.get("/v1/health/ready")
            assert (ready.status_code, ready.json()["log_writable"]) == (503, False)
            assert "can only be read" in ready.json()["reasons"][0]
            _set_read_only(postgres_server, postgres_url, "off")
            assert (await service.cora.post(CLAIMS, story.claim(), key="k")).status_code == 201
            assert (await service.nobody.get("/v1/health/ready")).status_code == 200


def _set_read_only(server: postgres.Server, url: str, value: str) -> None:
    name = make_url(url).database
    with server.connect() as connection:
        connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}".encode())
        connection.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'".encode())


class TestAFileThatSomebodyElseHolds:
    async def test_is_told_and_the_service_goes_on_when_it_is_free(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store, "BUSY_TIMEOUT_S", 0.2)
        async with story.serving(tmp_path / "ledger") as service:
            await story.gather(service)
            await story.agree_award(service)
            beside = Ledger.open(service.settings.log_url, vault_key=vault_key(service.settings))
            with beside.log.turn():
                told = await service.cora.post(CLAIMS, story.claim(), key="k")
                assert slug(told) == (503, "database-unavailable")
                assert "locked" in told.json()["details"]["reason"]
                assert (await service.cora.get(f"/v1/awards/{AWARD}")).status_code == 200
                ready = await service.nobody.get("/v1/health/ready")
                assert (ready.status_code, ready.json()["log_writable"]) == (503, False)
            beside.close()
            assert (await service.cora.post(CLAIMS, story.claim(), key="k")).status_code == 201
            assert (await service.nobody.get("/v1/health/ready")).status_code == 200


class TestOnePerson:
    async def test_has_at_most_so_many_commands_under_way(self, tmp_path: Path) -> None:
        async with story.serving(tmp_path / "ledger", commands_per_person_most=1) as service:
            await story.gather(service)
            ledger: Ledger = service.app.state.ledger
            await until(lambda: ledger.under_way == 0)
            with ledger.log.turn():
                first = asyncio.create_task(service.first.post("/v1/awards", OTHER_AWARD))
                await until(lambda: ledger.under_way == 1)
                told = await service.first.post("/v1/parties", {"party": "GB-CHC-1087167", "name": "Too many"})
                assert slug(told) == (429, "too-many-of-yours")
                assert int(told.headers["Retry-After"]) > 0
                other = asyncio.create_task(service.ada.post("/v1/parties", {"party": "GB-CHC-1087167", "name": "P3"}))
                await until(lambda: ledger.under_way == 2)
            assert [(await task).status_code for task in (first, other)] == [201, 201]


class TestAFailureOfTheService:
    async def test_shows_no_key_to_whoever_set_up_no_logs(
        self, service: Service, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        structlog.reset_defaults()
        monkeypatch.setattr(Ledger, "size_at", lambda *_: 1 // 0)
        shown = {"Authorization": f"Bearer {service.cora.secret}"}
        answer = await service.http.get(f"/v1/awards/{AWARD}", params={"as_of": "2021-10-01T08:00:00Z"}, headers=shown)
        assert slug(answer) == (500, "service-failed")
        said = "".join(capfd.readouterr())
        assert "ZeroDivisionError" in said
        assert str(service.cora.secret) not in said
        assert "ZeroDivisionError" not in answer.text


class TestAnAddress:
    @pytest.mark.parametrize(("path", "taken"), [("/v1/awards", "GET, POST"), ("/v1/me", "GET"), ("/health/live", "GET")])
    async def test_names_all_methods_that_it_takes(self, bare: Service, path: str, taken: str) -> None:
        answer = await bare.http.put(path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, taken)


async def _read_at_last(service: Service, path: str) -> Any:
    """What the follower shows when it has come back too."""
    async with asyncio.timeout(LONG_S):
        while (answer := await service.cora.get(path)).status_code != httpx.codes.OK:
            assert slug(answer) in {(503, "position-not-reached"), (503, "database-unavailable")}
            await asyncio.sleep(0.1)
        return answer.json()
