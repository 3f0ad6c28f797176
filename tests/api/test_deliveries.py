"""What webhooks were sent is told to those who manage them, and is sent again when they ask."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest_asyncio

from api.deliveries import tried
from api.delivering import ITSELF
from domain.webhook import Reason, webhook_stream
from ledger.ledger import Request
from projections.deliveries import Attempt, Coming, Deliveries, Outcome, State
from tests.api import story
from tests.api.receiver import receiving
from tests.api.story import AWARD, INVESTOR, Holder, Service, slug

AT: Final = "2021-11-05T10:00:00.000000Z"


def queue_and_park(deliveries: Deliveries, webhook: str, now: datetime) -> None:
    """Queue two deliveries for a webhook, and park the first."""
    deliveries.begin(webhook, 2)
    coming = [Coming(each, AWARD, "payment.settled", bytes([each])) for each in (3, 5)]
    first, _ = deliveries.put({webhook: coming}, 2, 5, body=tried, now=now)
    attempt = Attempt(webhook, 1, 1, AT, 500, None, 31, "out of order")
    parked = first._replace(state=State.PARKED, attempts=1, tries=1, ended_at=AT)
    deliveries.record([Outcome(attempt, parked, first.due_at)])


class Told:
    """An investor's webhook, of which the first of two deliveries was parked."""

    def __init__(self, service: Service, webhook: str) -> None:
        self.service, self.webhook = service, webhook
        self.address = f"/v1/webhooks/{webhook}"
        self.deliveries = service.app.state.deliveries

    def queue(self) -> None:
        queue_and_park(self.deliveries, self.webhook, self.service.app.state.ledger.now())

    def deliver(self) -> None:
        for each in self.deliveries.waiting(self.webhook):
            attempt = Attempt(self.webhook, each.sequence, each.attempts + 1, AT, 200, None, 31, "")
            self.deliveries.record([Outcome(attempt, each._replace(state=State.DELIVERED, ended_at=AT), each.due_at)])

    async def failing(self) -> Any:
        state = self.service.app.state  # The feed does not wait for the read models.
        await state.views.wait(state.ledger.head().size)
        return (await self.service.ivo.reads("/v1/feed"))["failing_webhooks"]

    def waiting(self) -> list[int]:
        return [each.sequence for each in self.deliveries.waiting(self.webhook)]


@pytest_asyncio.fixture
async def told(service: Service) -> AsyncIterator[Told]:
    async with receiving() as receiver:
        made: Any = await service.ivo.does("/v1/webhooks", {"url": receiver.url})
        await service.ivo.does(f"/v1/webhooks/{made['webhook']}/challenge")
    yield Told(service, made["webhook"])


class TestTheParty:
    """Whoever is not reached by a webhook hears of that beside the feed."""

    async def test_hears_of_what_fails_beside_the_feed_for_as_long_as_it_does(self, told: Told) -> None:
        ivo = told.service.ivo
        assert (await ivo.reads("/v1/feed"))["failing_webhooks"] == []
        told.queue()
        failing = {
            "webhook": told.webhook,
            "host": "127.0.0.1",
            "reason": None,
            "failing_since": "2021-11-05T10:00:00Z",
            "parked": 1,
        }
        assert await told.failing() == [failing]
        (event,) = [each for each in (await ivo.get("/v1/feed/stream")).text.split("\n\n") if "failing-webhooks" in each]
        assert json.loads(event.partition("data: ")[2]) == [failing]
        assert (await ivo.reads("/v1/feed", params={"as_of": 5}))["failing_webhooks"] == []
        await ivo.post(f"{told.address}/deliveries/1/resend")
        told.deliver()
        assert await told.failing() == []

    async def test_hears_why_one_was_disabled_unless_somebody_asked_for_that(self, told: Told) -> None:
        await told.service.ivo.does(f"{told.address}/disabling")
        assert await told.failing() == []
        await told.service.ivo.does(f"{told.address}/enabling")
        assert await told.failing() == []
        (row,) = told.service.app.state.views.webhooks.of_party(INVESTOR)
        stream, ledger = webhook_stream(told.webhook), told.service.app.state.ledger
        ledger.change_now(stream, lambda known: known.give_up(row.url, Reason.GONE, None), Request(ITSELF))
        assert [each["reason"] for each in await told.failing()] == ["gone"]

    async def test_hears_nothing_of_one_that_it_disabled_itself_and_counts_anew_from_when_it_is_enabled(self, told: Told) -> None:
        told.queue()
        await told.service.ivo.does(f"{told.address}/disabling")
        assert await told.failing() == []
        told.service.clock.forward(days=90)
        before = told.service.clock.now
        await told.service.ivo.does(f"{told.address}/enabling")
        (failing,) = await told.failing()
        since = datetime.fromisoformat(failing["failing_since"])
        assert (failing["parked"], before < since < told.service.clock.now) == (1, True), "nothing was sent to it meanwhile"

    async def test_hears_at_the_beginning_of_each_stream_also_that_nothing_fails(self, told: Told) -> None:
        """What recovered between two streams would never be heard of."""

        async def heard(holder: Holder, **asked: Any) -> list[Any]:
            events = (await holder.get("/v1/feed/stream", params=asked)).text.split("\n\n")
            return [json.loads(each.partition("data: ")[2]) for each in events if "event: failing-webhooks" in each]

        told.queue()
        failing = await told.failing()
        assert (await heard(told.service.ivo), len(failing)) == ([failing], 1)
        await told.service.ivo.delete(told.address)
        assert await told.failing() == []
        assert await heard(told.service.ivo) == [[]]
        assert await heard(told.service.ivo, as_of=5) == await heard(told.service.cora) == [], "there is nothing to be told them"

    async def test_alone_hears_of_it(self, told: Told) -> None:
        told.queue()
        for holder in (told.service.cora, told.service.first, told.service.audrey):
            assert (await holder.reads("/v1/feed"))["failing_webhooks"] == []


class TestPage:
    async def test_tells_what_became_of_each_the_newest_first(self, told: Told) -> None:
        told.queue()
        page = await told.service.ivo.reads(f"{told.address}/deliveries")
        waits, parked = page["rows"]
        assert (waits["sequence"], waits["position"], waits["state"], waits["attempts"]) == (2, 5, "waiting", [])
        assert (parked["sequence"], parked["state"], parked["due_at"]) == (1, "parked", None)
        assert parked["attempts"] == [
            {
                "number": 1,
                "at": "2021-11-05T10:00:00Z",
                "status": 500,
                "failure": None,
                "duration_ms": 31,
                "answer": "out of order",
            }
        ]

    async def test_goes_on(self, told: Told) -> None:
        told.queue()
        first = await told.service.ivo.reads(f"{told.address}/deliveries?limit=1")
        then = await told.service.ivo.reads(f"{told.address}/deliveries?limit=1&after={first['next']}")
        assert [each["sequence"] for each in first["rows"] + then["rows"]] == [2, 1]
        assert then["next"] is None
        parked = await told.service.ivo.reads(f"{told.address}/deliveries?state=parked&award={AWARD.lower()}")
        assert [each["sequence"] for each in parked["rows"]] == [1]

    async def test_is_for_those_who_manage_it_and_for_overseers(self, told: Told) -> None:
        for holder in (told.service.ivo, told.service.first, told.service.audrey):
            assert (await holder.get(f"{told.address}/deliveries")).status_code == 200
        assert slug(await told.service.cora.get(f"{told.address}/deliveries")) == (403, "role-is-missing")
        assert slug(await told.service.ivo.get("/v1/webhooks/another/deliveries")) == (404, "no-such-webhook")


class TestMetrics:
    async def test_tell_whoever_looks_after_the_service_what_is_not_taken(self, told: Told) -> None:
        told.queue()
        numbers = (await told.service.audrey.get("/v1/metrics")).text.splitlines()
        assert 'lcledger_webhook_deliveries{state="waiting"} 1.0' in numbers
        assert 'lcledger_webhook_deliveries{state="parked"} 1.0' in numbers
        assert "lcledger_webhooks_failing 1.0" in numbers


class TestResend:
    async def test_lets_it_wait_again(self, told: Told) -> None:
        told.queue()
        answer = await told.service.ivo.post(f"{told.address}/deliveries/1/resend")
        assert (answer.status_code, answer.json()) == (
            202,
            {"webhook": told.webhook, "deliveries": 1, "after": None, "sequence": 1},
        )
        assert told.waiting() == [1, 2]

    async def test_refuses_what_there_is_not(self, told: Told) -> None:
        told.queue()
        assert slug(await told.service.ivo.post(f"{told.address}/deliveries/3/resend")) == (404, "no-such-delivery")
        assert slug(await told.service.ivo.post("/v1/webhooks/another/deliveries/1/resend")) == (404, "no-such-webhook")

    async def test_is_nothing_for_whoever_only_reads(self, told: Told) -> None:
        told.queue()
        assert slug(await told.service.audrey.post(f"{told.address}/deliveries/1/resend")) == (403, "role-is-missing")
        assert told.waiting() == [2]

    async def test_is_refused_when_it_is_removed(self, told: Told) -> None:
        told.queue()
        await told.service.ivo.delete(told.address)
        assert slug(await told.service.ivo.post(f"{told.address}/deliveries/1/resend"))[1] == "webhook-is-removed"


class TestWhatIsKeptNoLonger:
    async def test_is_refused_with_from_where_on_all_is_kept(self, told: Told) -> None:
        told.queue()
        told.deliveries.resend(told.webhook, 1, told.service.app.state.ledger.now())
        told.deliver()
        told.deliveries.forget(datetime(2030, 1, 1, tzinfo=UTC), 10)
        for asked in ("deliveries/1/resend", "replay?from=2"):
            refused = await told.service.ivo.post(f"{told.address}/{asked}")
            assert slug(refused) == (410, "is-kept-no-longer")
            assert refused.json()["details"] == {"after": 3}
        answer = await told.service.ivo.post(f"{told.address}/replay")
        assert (answer.status_code, answer.json()["after"], told.waiting()) == (202, 3, [2])


class TestReplay:
    async def test_of_what_was_parked(self, told: Told) -> None:
        told.queue()
        answer = await told.service.ivo.post(f"{told.address}/replay?parked=true")
        assert answer.json()["deliveries"] == 1
        assert told.waiting() == [1, 2]

    async def test_of_what_was_recorded_since(self, told: Told) -> None:
        told.queue()
        answer = await told.service.ivo.post(f"{told.address}/replay?from=4")
        assert answer.json()["deliveries"] == 1
        assert (told.waiting(), told.deliveries.queues()[told.webhook].position) == ([2], 4)
        await told.service.ivo.post(f"{told.address}/replay?from=2019-01-01T00:00:00Z")
        assert (told.waiting(), told.deliveries.queues()[told.webhook].position) == ([1, 2], 0)

    async def test_refuses_what_means_nothing(self, told: Told) -> None:
        assert slug(await told.service.ivo.post(f"{told.address}/replay")) == (409, "nothing-was-queued")
        told.queue()
        assert slug(await told.service.ivo.post(f"{told.address}/replay?from=3&parked=true")) == (422, "both-are-said")
        assert slug(await told.service.ivo.post(f"{told.address}/replay?from=soon")) == (422, "request-is-wrong")
        assert (await told.service.ivo.post(f"{told.address}/replay?from=999999")).json()["type"].endswith("moment-is-ahead")
        assert told.waiting() == [2]


class TestTest:
    async def test_waits_under_the_next_number(self, told: Told) -> None:
        assert slug(await told.service.first.post(f"{told.address}/test")) == (409, "nothing-was-queued")
        told.queue()
        answer = await told.service.first.post(f"{told.address}/test")
        assert (answer.status_code, answer.json()["sequence"]) == (202, 3)
        assert story.AWARD not in str(told.deliveries.one(told.webhook, 3))
