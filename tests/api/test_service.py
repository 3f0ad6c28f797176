"""`lcledger serve` under load, told to stop: what it took in is answered. `test_kill.py` kills it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from api.settings import vault_key
from domain.reference import canonical
from ledger import merkle
from ledger.entry import Row, leaf_of
from ledger.ledger import Ledger
from projections.views import Views
from tests.api import server, story
from tests.api.server import Place, Serving
from tests.api.story import AWARD, Holder, Service

pytestmark = pytest.mark.long

WRITERS: Final = 8
ENOUGH: Final = 60
"""Commands that are acknowledged before the process is ended."""
AGAIN_S: Final = 0.1
"""After how long a patient client sends the same again."""


@dataclass(frozen=True)
class Sent:
    """A command that was sent, and what came back."""

    secret: str | None
    path: str
    body: dict[str, Any]
    key: str
    answer: httpx.Response | None = None

    @property
    def acknowledged(self) -> bool:
        return self.answer is not None and self.answer.status_code == 201

    async def repeat(self, http: httpx.AsyncClient) -> httpx.Response:
        """Send it once more, just as it was."""
        headers = {"Authorization": f"Bearer {self.secret}", "Idempotency-Key": self.key}
        return await http.post(self.path, json=self.body, headers=headers)


@dataclass
class Load:
    """Several persons who claim and verify on one award, and what became of each command."""

    sent: list[Sent] = field(default_factory=list)
    numbers: "count[int]" = field(default_factory=lambda: count(1))
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    enough_of: int = ENOUGH
    over: bool = False
    """Whether what was to end it is done: who was answered all the same stops too."""

    @property
    def acknowledged(self) -> list[Sent]:
        return [each for each in self.sent if each.acknowledged]

    @property
    def unanswered(self) -> list[Sent]:
        """Those of which nobody was told what became."""
        return [each for each in self.sent if each.answer is None or each.answer.status_code == httpx.codes.SERVICE_UNAVAILABLE]

    async def send(self, who: Holder, path: str, body: dict[str, Any]) -> Sent:
        """Send a command; without an answer if the process died first."""
        asked = Sent(who.secret, path, body, f"load-{next(self.numbers)}")
        try:
            done = Sent(who.secret, path, body, asked.key, await asked.repeat(who.http))
        except httpx.TransportError:
            done = asked
        self.sent.append(done)
        if len(self.acknowledged) >= self.enough_of:
            self.enough.set()
        return done

    async def work(self, service: Service, writer: int) -> None:
        """Claim and have it verified, again and again, until the process is gone."""
        claims = f"/v1/awards/{AWARD}/claims"
        for number in count(1):
            reference = f"W{writer}-{number}-{next(self.numbers)}"
            lines = [story.line(participant=f"KIR-{writer}-{next(self.numbers)}") for _ in range(3)]
            claimed = await self.send(service.cora, claims, story.claim(reference, lines))
            if claimed.acknowledged:
                claimed = await self.send(service.vera, f"{claims}/{reference}/verification", {"others": "accepted"})
            if self.over or not claimed.acknowledged:
                return


@dataclass
class Patient(Load):
    """A load whose clients send what was not answered, or only told to come again, once more, as clients should."""

    ending: bool = False
    acknowledged_at: list[float] = field(default_factory=list)
    """When each command was acknowledged, in seconds of the monotonic clock."""

    async def send(self, who: Holder, path: str, body: dict[str, Any]) -> Sent:
        asked = await super().send(who, path, body)
        place = len(self.sent) - 1
        while not self.ending and (asked.answer is None or asked.answer.status_code in {429, 503}):
            await asyncio.sleep(AGAIN_S)
            with suppress(httpx.TransportError):
                self.sent[place] = asked = replace(asked, answer=await asked.repeat(who.http))
        if asked.acknowledged:
            self.acknowledged_at.append(time.monotonic())
        return asked


@dataclass
class Story:
    """A ledger that is served, worked on, ended and served again; and everything that was ever sent to it."""

    place: Place
    cast: dict[str, Holder] = field(default_factory=dict)
    loads: list[Load] = field(default_factory=list)

    async def begin(self) -> None:
        """Register the persons and an award."""
        with server.forked(self.place, "serve", "--port", "0") as serving:
            async with server.asked(self.place, serving) as service:
                await story.gather(service)
                await story.agree_award(service, **server.STILL_OPEN)
                self.cast = service.cast

    async def work_until(self, end: Callable[[Serving, Load], Any], load: Load | None = None) -> Load:
        """Work on it, and end it when enough was acknowledged."""
        load = self.next(load)
        with server.served(self.place) as serving:
            async with server.asked(self.place, serving) as service:
                await self.work_on(service, load, lambda: end(serving, load))
        return load

    def next(self, load: Load | None = None) -> Load:
        """Another load, whose commands are none of those before."""
        load = load or Load()
        if self.loads:
            load.numbers = self.loads[0].numbers
        self.loads.append(load)
        return load

    async def work_on(self, service: Service, load: Load, end: Callable[[], Any]) -> None:
        """Work on a service that serves, and end it when enough was acknowledged."""
        for name, holder in self.cast.items():
            service.cast[name] = replace(holder, http=service.http)
        working = [asyncio.create_task(load.work(service, writer)) for writer in range(WRITERS)]
        await asyncio.wait_for(load.enough.wait(), 60)
        await asyncio.to_thread(end)
        load.over = True
        await asyncio.gather(*working)

    async def repeat(self, load: Load) -> None:
        """What was acknowledged is answered the same once more; what had no answer is done now, unless it was done then."""
        with server.forked(self.place, "serve", "--port", "0") as serving:
            async with server.asked(self.place, serving) as service:
                await self.repeat_to(service, load)

    async def repeat_to(self, service: Service, load: Load) -> None:
        """As `repeat`, to a service that serves."""
        before = await _position(service)
        repeated = await asyncio.gather(*(each.repeat(service.http) for each in load.acknowledged))
        for each, again in zip(load.acknowledged, repeated, strict=True):
            assert again.headers["Idempotency-Hit"] == "true"
            assert each.answer is not None
            assert (again.status_code, again.json()) == (each.answer.status_code, each.answer.json())
            assert again.headers["Ledger-Position"] == each.answer.headers["Ledger-Position"]
        assert await _position(service) == before
        done = await asyncio.gather(*(each.repeat(service.http) for each in load.unanswered))
        for each, first in zip(load.unanswered, done, strict=True):
            second = await each.repeat(service.http)
            assert (first.status_code, second.status_code) == (201, 201), first.text
            assert second.headers["Idempotency-Hit"] == "true"
            assert first.json() == second.json()

    def expect_whole(self) -> tuple[set[str], set[str]]:
        """The log is dense and sealed, holds what was acknowledged, and the read models are what it says; its claims and keys."""
        ours = self.place.settings
        with Ledger.open(ours.log_url, vault_key=vault_key(ours)) as ledger:
            rows, head = ledger.log.reads.rows(limit=1_000_000), ledger.head()
            assert [row.position for row in rows] == list(range(1, len(rows) + 1))
            assert (head.size, head.root) == (len(rows), merkle.root(leaf_of(row.header, row.state) for row in rows))
            self._expect_acknowledged(rows)
            with Views.open(ours.log_url, ledger) as views:
                assert views.catch_up() == len(rows)
                assert [each for each in views.check() if not each.agrees] == []
                assert views.balances.of(AWARD).trial_balance == 0
            with ledger.log.engine.connect() as connection:
                receipts = list(connection.exec_driver_sql("SELECT key, first, last FROM receipts ORDER BY first"))
        _expect_no_half_command([(first, last) for _, first, last in receipts], len(rows))
        keys = {str(key) for key, _, _ in receipts}
        claims = [row.stream.rpartition("/")[2] for row in rows if row.type == "claim.submitted"]
        assert len(claims) == len(set(claims))
        return set(claims), keys

    def _expect_acknowledged(self, rows: Sequence[Row]) -> None:
        stored = {row.position: (row.stream, row.version, row.type) for row in rows}
        for answer in (each.answer for load in self.loads for each in load.acknowledged if each.answer):
            assert int(answer.headers["Ledger-Position"]) <= len(rows)
            told = {each["position"]: (each["stream"], each["version"], each["type"]) for each in answer.json()["entries"]}
            assert told.items() <= stored.items()


def _expect_no_half_command(commands: Sequence[tuple[int, int]], size: int) -> None:
    """Every entry is one of a command's that has a receipt, but for the first administrator's, whom nobody registered."""
    registered = commands[0][0] - 1
    assert [first for first, _ in commands] == [1 + end for end in (registered, *(last for _, last in commands[:-1]))]
    assert commands[-1][1] == size


async def _position(service: Service) -> int:
    return int((await service.nobody.reads("/health/ready"))["position"])


def claims_of(sent: Iterable[Sent]) -> set[str]:
    return {canonical(each.body["claim"]) for each in sent if "claim" in each.body}


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where the ledger of a test is, once on each database."""
    return Place(tmp_path / "ledger", None if request.param == "sqlite" else str(request.getfixturevalue("postgres_url")))


class TestToldToStop:
    async def test_answers_what_it_took_in(self, place: Place) -> None:
        told = Story(place)
        await told.begin()

        def stop(serving: Serving, load: Load) -> None:
            serving.ask_to_stop()
            assert serving.process.wait(30) == 0

        load = await told.work_until(stop)
        claims, keys = told.expect_whole()
        assert claims == claims_of(load.acknowledged)
        assert not keys & {each.key for each in load.sent if not each.acknowledged}
        await told.repeat(load)
