"""The service while its database fails, when it is back, and under more than it takes."""

import asyncio
import base64
from collections.abc import AsyncIterator
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
from tests.api import server, story
from tests.api.story import AWARD, Service, slug
from tests.faults import LONG_S, cut_in_commit, until

CLAIMS: Final = f"/v1/awards/{AWARD}/claims"
OTHER_AWARD: Final = {"reference": "INDIGO-POJ-0001", "title": "Somewhere else", "terms": story.TERMS}


@pytest.fixture(params=["sqlite", "postgres"])
async def anywhere(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    """A service with its story begun, on each database."""
    settings = {} if request.param == "sqlite" else _on(request.getfixturevalue("postgres_url"))
    async with story.serving(tmp_path / "ledger", **settings) as service:
        await story.gather(service)
        await story.agree_award(service)
        yield service


def _on(url: str) -> dict[str, Any]:
    return {"database_url": url, "vault_key": base64.b64encode(server.VAULT_KEY).decode()}


class TestACommitThatFails:
    @pytest.mark.parametrize("stored", [False, True], ids=["and is not stored", "but is stored"])
    async def test_is_told_by_the_same_request_again(self, anywhere: Service, stored: bool) -> None:  # noqa: FBT001 (a parameter)
        before = anywhere.app.state.ledger.head().size
        with cut_in_commit(anywhere.app.state.ledger, stored=stored):
            told = await anywhere.cora.post(CLAIMS, story.claim(), key="2021-Q3")
        assert slug(told) == (503, "outcome-not-known")
        assert int(told.headers["Retry-After"]) > 0
        assert "Idempotency-Key" in told.json()["title"]
        again = [await anywhere.cora.post(CLAIMS, story.claim(), key="2021-Q3") for _ in range(2)]
        assert [answer.status_code for answer in again] == [201, 201]
        assert again[0].json() == again[1].json()
        assert [answer.headers.get("Idempotency-Hit") for answer in again] == ["true" if stored else None, "true"]
        assert again[0].json()["position"] == anywhere.app.state.ledger.head().size == before + again[0].json()["count"]
        await story.verify(anywhere)


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
