"""The service while its database fails, when it is back, and under more than it takes."""

import asyncio
import base64
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import structlog

from ledger.ledger import Ledger
from tests import postgres
from tests.api import everything, server, story
from tests.api.story import AWARD, Service, slug
from tests.faults import (
    LONG_S,
    be_impatient,
    crowded,
    cut_in_commit,
    failing_commit,
    filled,
    full,
    locked,
    only_read,
    read_only,
    small_disk,
    until,
)
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


class TestADatabaseThatTakesNoWrites:
    """It can be read as ever; what is refused is whole when it is sent again, and the service was never started anew."""

    @pytest.fixture(params=["sqlite", "postgres"])
    async def anywhere(
        self, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> AsyncIterator[Service]:
        be_impatient(monkeypatch)
        settings = {} if request.param == "sqlite" else _on(request.getfixturevalue("postgres_url"))
        async with story.serving(tmp_path / "ledger", **settings) as service:
            await story.gather(service)
            await story.agree_award(service)
            yield service

    @pytest.mark.parametrize(
        ("broken", "reason"),
        [(full, "disk is full"), (read_only, "only be read"), (locked, "holds it locked")],
        ids=["full", "read only", "locked"],
    )
    async def test_is_told_and_the_service_goes_on(self, anywhere: Service, broken: Any, reason: str) -> None:
        ledger: Ledger = anywhere.app.state.ledger
        size = ledger.head().size
        with broken(ledger, anywhere.settings.log_url):
            told = await anywhere.cora.post(CLAIMS, large_claim(), key="k")
            assert slug(told) == (503, "database-unavailable")
            assert (told.headers["Retry-After"], told.headers["Content-Type"]) == ("5", "application/problem+json")
            assert reason in told.json()["details"]["reason"]
            assert ledger.head().size == size
            assert (await anywhere.cora.get(f"/v1/awards/{AWARD}")).status_code == 200
            for _ in range(2):
                await _expect_not_writable(anywhere, reason)
        await _expect_to_go_on(anywhere, large_claim())

    @pytest.mark.parametrize(
        ("broken", "reason"), [(full, "disk is full"), (read_only, "only be read")], ids=["full", "read only"]
    )
    async def test_is_known_to_be_over_without_a_command(self, anywhere: Service, broken: Any, reason: str) -> None:
        ledger: Ledger = anywhere.app.state.ledger
        with broken(ledger, anywhere.settings.log_url):
            assert (await anywhere.cora.post(CLAIMS, large_claim(), key="k")).status_code == 503
            await _expect_not_writable(anywhere, reason)
        head = ledger.head()
        ready = (await anywhere.nobody.get("/v1/health/ready")).json()
        assert (ready["ready"], ready["log_writable"], ready["reasons"]) == (True, True, [])
        assert ledger.failing is None
        with ledger.log.turn() as turn:
            assert turn.connection.exec_driver_sql("SELECT count(*) FROM tracking").scalar() == 0, "what was tried is gone again"
        assert ledger.head() == head

    async def test_because_its_disk_really_can_only_be_read(self, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            disk = stack.enter_context(small_disk(tmp_path))
            service = await stack.enter_async_context(story.serving(disk / "ledger"))
            await story.gather(service)
            await story.agree_award(service)
            ledger: Ledger = service.app.state.ledger
            size = ledger.head().size
            with only_read(disk):
                _open_anew(ledger)  # What is open stays so: this disk became one that can only be read for what is opened.
                told = await service.cora.post(CLAIMS, story.claim(), key="k")
                assert slug(told) == (503, "database-unavailable")
                assert "only be read" in told.json()["details"]["reason"]
                assert ledger.head().size == size
                await _expect_not_writable(service, "only be read")
            _open_anew(ledger)
            await _expect_to_go_on(service, story.claim())

    async def test_because_its_disk_really_is_full(self, tmp_path: Path) -> None:
        async with AsyncExitStack() as stack:
            disk = stack.enter_context(small_disk(tmp_path))
            service = await stack.enter_async_context(story.serving(disk / "ledger"))
            await self._expect_to_outlast_a_full(disk, service)

    async def test_because_the_disk_of_its_tables_really_is_full(self, postgres_server: postgres.Server, tmp_path: Path) -> None:
        with tempfile.TemporaryDirectory(dir=postgres_server.folder) as reachable, small_disk(Path(reachable), mib=32) as disk:
            disk.parent.chmod(0o755)
            name = postgres_server.create_on(disk)
            async with story.serving(tmp_path / "ledger", **_on(postgres_server.url(name))) as service:
                await self._expect_to_outlast_a_full(disk, service)
            postgres_server.drop_from(name)

    async def _expect_to_outlast_a_full(self, disk: Path, service: Service) -> None:
        await story.gather(service)
        await story.agree_award(service)
        size = service.app.state.ledger.head().size
        with filled(disk):
            told = await service.cora.post(CLAIMS, large_claim(), key="k")
            assert slug(told) == (503, "database-unavailable")
            assert "disk is full" in told.json()["details"]["reason"]
            assert service.app.state.ledger.head().size == size
            assert (await service.cora.get(f"/v1/awards/{AWARD}")).status_code == 200
            await _expect_not_writable(service, "disk is full")
        await _expect_to_go_on(service, large_claim())

    async def test_because_it_takes_no_connection(self, service_url: str, tmp_path: Path) -> None:
        async with story.serving(tmp_path / "ledger", **_on(service_url)) as service:
            await story.gather(service)
            await story.agree_award(service)
            with crowded(service.app.state.ledger, service_url):
                for answer in (await service.cora.post(CLAIMS, story.claim(), key="k"), await service.cora.get(CLAIMS)):
                    assert slug(answer) == (503, "database-unavailable")
                    assert answer.headers["Retry-After"] == "5"
                assert (await service.nobody.get("/v1/health/ready")).status_code == 503
            await _expect_to_go_on(service, story.claim())


def _open_anew(ledger: Ledger) -> None:
    ledger.log._drop_writer()
    ledger.log.engine.dispose()


async def _expect_not_writable(service: Service, reason: str) -> None:
    """Whoever balances load hears why nothing can be written."""
    ready = await service.nobody.get("/v1/health/ready")
    assert (ready.status_code, ready.json()["ready"], ready.json()["log_writable"]) == (503, False, False), ready.text
    assert reason in ready.json()["reasons"][0]


async def _expect_to_go_on(service: Service, claim: dict[str, Any]) -> None:
    """The same request is recorded now, and whatever follows from it."""
    claimed = await service.cora.post(CLAIMS, claim, key="k")
    assert (claimed.status_code, claimed.headers.get("Idempotency-Hit")) == (201, None)
    await story.verify(service)
    assert [each["status"] for each in (await _read_at_last(service, CLAIMS))["rows"]] == ["assessed"]
    assert (await service.nobody.get("/v1/health/ready")).json()["reasons"] == []


def large_claim() -> dict[str, Any]:
    """A claim that needs new pages."""
    return story.claim(lines=[story.line(participant=f"KIR-{number:04}") for number in range(300)])


class TestAClockThatStepsBack:
    async def test_moves_no_entry_before_another(self, service: Service) -> None:
        await story.submit(service)
        service.clock.forward(days=-2)
        await story.verify(service)
        await story.approve(service)
        await story.draw_up(service)
        await service.rhea.does("/v1/payment-runs/KIR-2021-10/release")
        service.clock.forward(days=1)
        await story.settle(service, "1985.78")
        moments = [entry.recorded_at for entry in service.app.state.ledger.entries(0, 1_000)]
        assert moments == sorted(moments)
        told = await service.first.reads(f"/v1/awards/{AWARD}/balances")
        assert (told["paid"], told["trial_balance"]) == ("1985.78", "0.00")


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
        told = {"Ledger-Min-Position": str(service.app.state.told)}
        while (answer := await service.cora.get(path, headers=told)).status_code != httpx.codes.OK:
            assert slug(answer) in {(503, "position-not-reached"), (503, "database-unavailable")}
            await asyncio.sleep(0.1)
        return answer.json()
