"""`lcledger serve` under load, killed and told to stop: what it acknowledged is there, and what it took in is answered."""

import asyncio
from collections.abc import Callable, Iterable, Sequence
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
"""Commands that are acknowledged before the process is killed."""


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

    @property
    def acknowledged(self) -> list[Sent]:
        return [each for each in self.sent if each.acknowledged]

    @property
    def unanswered(self) -> list[Sent]:
        return [each for each in self.sent if each.answer is None]

    async def send(self, who: Holder, path: str, body: dict[str, Any]) -> Sent:
        """Send a command; without an answer if the process died first."""
        asked = Sent(who.secret, path, body, f"load-{next(self.numbers)}")
        try:
            done = Sent(who.secret, path, body, asked.key, await asked.repeat(who.http))
        except httpx.TransportError:
            done = asked
        self.sent.append(done)
        if len(self.acknowledged) >= ENOUGH:
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
            if not claimed.acknowledged:
                return


@dataclass
class Story:
    """A ledger that is served, worked on, ended and served again; and everything that was ever sent to it."""

    place: Place
    cast: dict[str, Holder] = field(default_factory=dict)
    loads: list[Load] = field(default_factory=list)

    async def begin(self) -> None:
        """Register the persons and an award."""
        with server.served(self.place) as serving:
            async with server.asked(self.place, serving) as service:
                await story.gather(service)
                await story.agree_award(service, **server.STILL_OPEN)
                self.cast = service.cast

    async def work_until(self, end: Callable[[Serving, Load], Any], load: Load | None = None) -> Load:
        """Work on it, and end it when enough was acknowledged."""
        load = load or Load()
        if self.loads:
            load.numbers = self.loads[0].numbers
        self.loads.append(load)
        with server.served(self.place) as serving:
            async with server.asked(self.place, serving) as service:
                for name, holder in self.cast.items():
                    service.cast[name] = replace(holder, http=service.http)
                working = [asyncio.create_task(load.work(service, writer)) for writer in range(WRITERS)]
                await asyncio.wait_for(load.enough.wait(), 60)
                await asyncio.to_thread(end, serving, load)
                await asyncio.gather(*working)
        return load

    async def repeat(self, load: Load) -> None:
        """What was acknowledged is answered the same once more; what had no answer is done now, unless it was done then."""
        with server.served(self.place) as serving:
            async with server.asked(self.place, serving) as service:
                before = await _position(service)
                for each in load.acknowledged:
                    again = await each.repeat(service.http)
                    assert again.headers["Idempotency-Hit"] == "true"
                    assert each.answer is not None
                    assert (again.status_code, again.json()) == (each.answer.status_code, each.answer.json())
                    assert again.headers["Ledger-Position"] == each.answer.headers["Ledger-Position"]
                assert await _position(service) == before
                for each in load.unanswered:
                    first, second = await each.repeat(service.http), await each.repeat(service.http)
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
                keys = {str(key) for (key,) in connection.exec_driver_sql("SELECT key FROM receipts")}
        claims = [row.stream.rpartition("/")[2] for row in rows if row.type == "claim.submitted"]
        assert len(claims) == len(set(claims))
        return set(claims), keys

    def _expect_acknowledged(self, rows: Sequence[Row]) -> None:
        stored = {row.position: (row.stream, row.version, row.type) for row in rows}
        for answer in (each.answer for load in self.loads for each in load.acknowledged if each.answer):
            assert int(answer.headers["Ledger-Position"]) <= len(rows)
            told = {each["position"]: (each["stream"], each["version"], each["type"]) for each in answer.json()["entries"]}
            assert told.items() <= stored.items()


async def _position(service: Service) -> int:
    return int((await service.nobody.reads("/health/ready"))["position"])


def _claims(sent: Iterable[Sent]) -> set[str]:
    return {canonical(each.body["claim"]) for each in sent if "claim" in each.body}


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where the ledger of a test is, once on each database."""
    return Place(tmp_path / "ledger", None if request.param == "sqlite" else str(request.getfixturevalue("postgres_url")))


class TestKilled:
    async def test_loses_nothing_that_it_acknowledged(self, place: Place) -> None:
        told = Story(place)
        await told.begin()
        for _ in range(2 if place.database_url else 3):
            load = await told.work_until(lambda serving, _load: serving.kill())
            assert load.unanswered, "it was killed while nothing was under way"
            claims, _ = told.expect_whole()
            everything = [each for every in told.loads for each in every.sent]
            assert _claims(each for each in everything if each.acknowledged) <= claims <= _claims(everything)
            await told.repeat(load)
            claims, keys = told.expect_whole()
            assert claims == _claims(everything)
            assert {each.key for each in everything} <= keys


class TestToldToStop:
    async def test_answers_what_it_took_in(self, place: Place) -> None:
        told = Story(place)
        await told.begin()

        def stop(serving: Serving, load: Load) -> None:
            serving.ask_to_stop()
            assert serving.process.wait(30) == 0

        load = await told.work_until(stop)
        claims, keys = told.expect_whole()
        assert claims == _claims(load.acknowledged)
        assert not keys & {each.key for each in load.sent if not each.acknowledged}
        await told.repeat(load)
