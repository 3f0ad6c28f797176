"""Webhooks are sent at least once, in order for each award, whoever fails meanwhile; and what became of each is kept."""

import asyncio
import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import pytest_asyncio

from api.deliveries import tried
from api.delivering import BURST_S, DeliveredNotice, Line, Schedule, manner, retry_after_s
from api.outgoing import Answer, Limits
from api.settings import Settings
from domain.webhook import Reason
from ledger.notes import Signer
from projections import notices
from projections.deliveries import Coming, Delivery, Outcome, State
from tests.api.addressees import KIRKLEES, OPEN_FOR_YOU, QUICK, WORKWISE, Ground, ground, new_secret
from tests.api.test_webhook_signatures import verify

VAULT_KEY: Final = b"thirty-two bytes of a test's key"
WAIT_S: Final = 20
LAST: Final = Schedule(pauses_s=(), jitter=0, retry_after_most_s=60, failing_s=99)
LATER: Final = Schedule(pauses_s=(0.5,) * 20, jitter=0, retry_after_most_s=60, failing_s=99)
Answering = Callable[["Heard"], bytes | None]
TAKEN: Final = b"200 Taken"


@dataclass(frozen=True)
class Heard:
    """A call that came."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def content(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["data"]
        return found

    @property
    def sequence(self) -> int:
        return int(self.content["sequence"])


@dataclass
class Desk:
    """Where webhooks are received; what it answers may be another thing at any time, and nothing: it hangs up."""

    url: str = ""
    answering: Answering = lambda _: TAKEN
    heard: list[Heard] = field(default_factory=list)
    slow: dict[str, float] = field(default_factory=dict)
    """For how long it keeps calls of a path waiting, in seconds."""
    calls: set[asyncio.Task[None]] = field(default_factory=set)

    async def come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.calls.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                body = await reader.readexactly(int(headers["content-length"]))
                heard = Heard(first.split(" ")[1], headers, body, time.monotonic())
                self.heard.append(heard)
                await asyncio.sleep(self.slow.get(heard.path, 0))
                answer = self.answering(heard)
                if answer is None:
                    break
                writer.write(b"HTTP/1.1 %b\r\nContent-Length: 6\r\n\r\nthanks" % answer)
        writer.close()

    def told(self, path: str = "/") -> list[tuple[int, str]]:
        """The sequences and awards of what came at a path, in the order in which it came."""
        return [(each.sequence, each.content.get("award", "")) for each in self.heard if each.path == path]


@asynccontextmanager
async def receiving() -> AsyncIterator[Desk]:
    desk = Desk()
    server = await asyncio.start_server(desk.come, "127.0.0.1", 0)
    try:
        desk.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        yield desk
    finally:
        server.close()
        for each in desk.calls:
            each.cancel()
        await asyncio.gather(*desk.calls)
        await asyncio.sleep(0)


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    async with receiving() as found:
        yield found


@pytest.fixture
def told(tmp_path: Path) -> Iterator[Ground]:
    """A ledger with three awards."""
    with ground(f"sqlite:///{tmp_path}/ledger.sqlite3", VAULT_KEY) as found:
        found.agree(KIRKLEES, OPEN_FOR_YOU, WORKWISE)
        yield found


async def until(holds: Callable[[], bool]) -> None:
    begun = time.monotonic()
    while not holds():
        assert time.monotonic() - begun < WAIT_S
        await asyncio.sleep(0.01)


def ended(told: Ground, name: str = "big", count: int = 1) -> Callable[[], bool]:
    return lambda: sum(each.state is not State.WAITING for each in told.page(name)) >= count


class TestDelivering:
    async def test_tells_what_happens(self, told: Ground, desk: Desk) -> None:
        signed = told.checkpoints.sign(Signer(bytes(32)))
        told.register("big", f"{desk.url}/")
        with told.delivering():
            told.happen(KIRKLEES)
            await until(ended(told))
        (heard,) = desk.heard
        assert heard.headers["content-type"] == "application/cloudevents+json"
        assert json.loads(heard.body)["type"] == "award.paused"
        assert heard.content["award"] == KIRKLEES
        assert heard.content["position"] == told.ledger.head().size
        assert heard.content["sequence"] == 1
        assert heard.content["checkpoint"] == {"size": signed.size, "root": base64.b64encode(signed.root).decode()}
        assert heard.content.keys() == {
            *("position", "award", "stream", "recorded_at", "effective_on", "sentence", "amounts", "allotted"),
            *("sequence", "checkpoint"),
        }
        verify(told.secrets["big"].public, heard.headers, heard.body)
        (delivery,) = told.page("big")
        (attempt,) = told.deliveries.attempts("big", 1, 1)
        assert (delivery.state, delivery.id) == (State.DELIVERED, heard.headers["webhook-id"])
        assert (attempt.status, attempt.answer) == (200, "thanks")

    async def test_tells_no_more_than_is_wanted(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/", awards=(WORKWISE,), types=("award.resumed",))
        with told.delivering():
            told.happen(KIRKLEES, WORKWISE)
            told.happen(KIRKLEES, WORKWISE)
            await until(ended(told))
        assert desk.told() == [(1, WORKWISE)]
        assert json.loads(desk.heard[0].body)["type"] == "award.resumed"

    async def test_tells_nothing_of_before_it_was_confirmed(self, told: Ground, desk: Desk) -> None:
        told.happen(KIRKLEES)
        told.register("big", f"{desk.url}/")
        told.happen(OPEN_FOR_YOU)
        with told.delivering():
            await until(ended(told))
        assert desk.told() == [(1, OPEN_FOR_YOU)]

    @pytest.mark.parametrize(
        "answer", [b"302 Moved\r\nLocation: http://127.0.0.1:9/", b"304 Same", b"400 Bad", b"404 None", b"500 Fault", None]
    )
    async def test_tries_again_under_the_same_id_until_it_is_taken(self, told: Ground, desk: Desk, answer: bytes | None) -> None:
        told.register("big", f"{desk.url}/")
        desk.answering = lambda _: answer if len(desk.heard) < 3 else TAKEN
        with told.delivering():
            told.happen(KIRKLEES)
            await until(ended(told))
        assert len({each.headers["webhook-id"] for each in desk.heard}) == 1
        assert len({each.body for each in desk.heard}) == 1
        (delivery,) = told.page("big")
        attempts = told.deliveries.attempts("big", 1, 1)
        assert (delivery.state, delivery.attempts, len(attempts), len(desk.heard)) == (State.DELIVERED, 3, 3, 3)
        assert attempts[0].status == (None if answer is None else int(answer[:3]))
        assert (attempts[0].failure is None) == (answer is not None)

    async def test_parks_it_after_the_last_try_and_then_sends_what_waited_behind(
        self, told: Ground, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        told.register("big", f"{desk.url}/")
        desk.answering = lambda heard: b"500 Fault" if heard.sequence == 1 else TAKEN
        with told.delivering():
            for each in (KIRKLEES, OPEN_FOR_YOU, KIRKLEES):
                told.happen(each)
            await until(ended(told, count=3))
        assert [each.state for each in told.page("big")] == [State.PARKED, State.DELIVERED, State.DELIVERED]
        of_kirklees = [sequence for sequence, award in desk.told() if award == KIRKLEES]
        assert of_kirklees == [1, 1, 1, 1, 3]
        assert desk.told().index((2, OPEN_FOR_YOU)) < 3, "the other award does not wait"
        assert "delivery 1 of the webhook big is parked: it answered 500" in caplog.text

    async def test_keeps_the_order_of_each_award(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/")
        failing = iter([b"500 Fault", TAKEN, TAKEN] * 40)
        desk.answering = lambda _: next(failing)
        with told.delivering(Schedule(pauses_s=(0.01,) * 40, jitter=0, retry_after_most_s=1, failing_s=99)):
            for _ in range(5):
                told.happen(KIRKLEES, OPEN_FOR_YOU, WORKWISE)
                told.happen(KIRKLEES)
            await until(ended(told, count=20))
        for award in (KIRKLEES, OPEN_FOR_YOU, WORKWISE):
            sequences = list(dict.fromkeys(sequence for sequence, of in desk.told() if of == award))
            assert sequences == sorted(sequences)
        assert [each.sequence for each in told.page("big")] == list(range(1, 21))

    async def test_leaves_whoever_asks_alone_for_so_long(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/")
        desk.answering = lambda _: b"429 Slow\r\nRetry-After: 1" if len(desk.heard) == 1 else TAKEN
        with told.delivering():
            told.happen(KIRKLEES)
            await until(lambda: len(desk.heard) == 1)
            told.happen(OPEN_FOR_YOU)
            await until(ended(told, count=2))
        assert all(each.at - desk.heard[0].at >= 0.9 for each in desk.heard[1:])

    async def test_disables_whoever_is_gone_and_keeps_what_waits(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/")
        desk.answering = lambda _: b"410 Gone"
        with told.delivering():
            told.happen(KIRKLEES)
            await until(lambda: told.disabled("big") is Reason.GONE)
            told.happen(KIRKLEES)
            await asyncio.sleep(1.2)
            assert len(desk.heard) == 1
            desk.answering = lambda _: TAKEN
            told.enable("big")
            await until(ended(told, count=2))
        assert [each.sequence for each in desk.heard] == [1, 1, 2]

    async def test_goes_on_with_whoever_is_enabled_again_at_once(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/")
        desk.answering = lambda _: b"410 Gone" if len(desk.heard) == 1 else TAKEN
        with told.delivering():
            told.happen(KIRKLEES)
            await until(lambda: told.disabled("big") is Reason.GONE)
            told.enable("big")
            await until(ended(told))
        assert [each.sequence for each in desk.heard] == [1, 1]

    async def test_disables_whoever_takes_nothing_for_long(
        self, told: Ground, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        told.register("big", f"{desk.url}/")
        desk.answering = lambda _: None
        with told.delivering(Schedule(pauses_s=(0.1,) * 50, jitter=0, retry_after_most_s=1, failing_s=0.3)):
            told.happen(KIRKLEES)
            await until(lambda: told.disabled("big") is Reason.FAILING)
        assert "the webhook big is disabled: failing" in caplog.text
        assert [each.state for each in told.page("big")] == [State.WAITING]
        assert told.deliveries.queues()["big"].failing_since is None, "begins anew when it is enabled"

    async def test_keeps_nobody_waiting_for_whoever_is_slow(self, told: Ground, desk: Desk) -> None:
        told.register("slow", f"{desk.url}/slow")
        told.register("big", f"{desk.url}/")
        desk.slow["/slow"] = 5.0
        with told.delivering(limits=Limits(connect_s=1, whole_s=0.7, connections=2)):
            begun = time.monotonic()
            for _ in range(10):
                told.happen(KIRKLEES, OPEN_FOR_YOU, WORKWISE)
            await until(ended(told, count=30))
            assert time.monotonic() - begun < 3
            await until(lambda: len(told.deliveries.attempts("slow", 1, 30)) > 0)
        assert len(desk.told()) == 30
        assert told.deliveries.attempts("slow", 1, 30)[0].failure == "no answer in time"

    async def test_sends_no_more_in_a_second_than_it_is_to_and_the_others_as_fast_as_ever(self, told: Ground, desk: Desk) -> None:
        told.register("slow", f"{desk.url}/slow", rate_limit=10)
        told.register("big", f"{desk.url}/")
        with told.delivering():
            for _ in range(10):
                told.happen(KIRKLEES, OPEN_FOR_YOU, WORKWISE)
            await until(ended(told, "slow", count=30))
        slow, others = ([each.at for each in desk.heard if each.path == path] for path in ("/slow", "/"))
        assert (len(slow), len(others)) == (30, 30)
        assert slow[-1] - slow[0] >= (30 - 10 * BURST_S) / 10 - 0.7, "but for how late the first may have come"
        assert others[-1] < slow[-1]

    async def test_sends_no_more_at_once_than_is_set(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/")
        desk.slow["/"] = 0.3
        with told.delivering(limits=Limits(connect_s=1, whole_s=2, connections=2)):
            told.happen(KIRKLEES, OPEN_FOR_YOU, WORKWISE)
            await until(lambda: len(desk.heard) == 2)
            await asyncio.sleep(0.1)
            assert len(desk.heard) == 2
            await until(ended(told, count=3))

    async def test_goes_on_where_it_stood(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/")
        desk.answering = lambda _: b"503 Later"
        with told.delivering(Schedule(pauses_s=(0.5,) * 9, jitter=0, retry_after_most_s=1, failing_s=99)):
            told.happen(KIRKLEES)
            await until(lambda: len(desk.heard) == 1)
        told.happen(OPEN_FOR_YOU)
        desk.answering = lambda _: TAKEN
        with told.delivering():
            await until(ended(told, count=2))
        assert sorted(desk.told()) == [(1, KIRKLEES), (1, KIRKLEES), (2, OPEN_FOR_YOU)]

    async def test_sends_nothing_from_a_queue_of_another_log(
        self, told: Ground, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        told.register("big", f"{desk.url}/big")
        told.register("little", f"{desk.url}/little")
        told.happen(KIRKLEES)
        position, now = told.ledger.head().size, told.ledger.now()
        told.deliveries.begin("big", position - 1)
        other = Coming(position, KIRKLEES, "award.paused", b"the leaf of an entry that was lost")
        told.deliveries.put({"big": [other]}, position - 1, position, body=tried, now=now)
        with told.delivering():
            await until(ended(told, "little"))
        assert desk.told("/big") == []
        said = "the webhook big is sent nothing: its deliveries are of a log that was restored since"
        assert caplog.text.count(said) == 1

    @pytest.mark.parametrize("moved", [True, False])
    async def test_goes_on_from_this_log_if_it_had_looked_at_another_and_queued_nothing_of_it(
        self, told: Ground, desk: Desk, *, moved: bool
    ) -> None:
        told.register("big", f"{desk.url}/")
        begun = told.ledger.head().size
        told.deliveries.begin("big", begun)
        told.happen(KIRKLEES)
        looked = told.ledger.head().size + (5 if moved else 0)
        told.deliveries.put({"big": []}, begun, looked, body=tried, leaf=b"of an entry that was lost", now=told.ledger.now())
        with told.delivering():
            await until(ended(told))
        assert desk.told() == [(1, KIRKLEES)]

    async def test_says_the_same_again_whatever_words_there_are_for_it_by_then(
        self, told: Ground, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told.register("big", f"{desk.url}/")
        desk.answering = lambda _: b"500 Fault"
        with told.delivering(LATER):
            told.happen(KIRKLEES)
            await until(lambda: len(desk.heard) == 1)
        monkeypatch.setattr(notices, "sentence", lambda *_: "in other words")
        desk.answering = lambda _: TAKEN
        with told.delivering():
            await until(ended(told))
            told.deliveries.resend("big", 1, told.ledger.now())
            await until(lambda: len(desk.heard) == 3 and ended(told)())
            told.happen(KIRKLEES)
            await until(ended(told, count=2))
        first, second, third, other = (each.body for each in desk.heard)
        assert first == second == third
        assert (json.loads(first)["data"]["sentence"], json.loads(other)["data"]["sentence"])[1] == "in other words"
        assert DeliveredNotice.model_validate_json(first).model_dump_json().encode() == first

    async def test_lets_go_what_was_taken_long_ago(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/")
        with told.delivering():
            told.happen(KIRKLEES)
            told.happen(KIRKLEES)
            await until(ended(told, count=2))
        with told.delivering(kept_days=0):
            await until(lambda: [each.sequence for each in told.page("big")] == [2])
            told.happen(KIRKLEES)
            await until(lambda: [each.sequence for each in desk.heard] == [1, 2, 3])

    async def test_sends_again_what_is_asked_for(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/")
        with told.delivering():
            told.happen(KIRKLEES, OPEN_FOR_YOU)
            await until(ended(told, count=2))
            told.deliveries.resend("big", 1, told.ledger.now())
            await until(lambda: len(desk.heard) == 3 and ended(told, count=2)())
            told.deliveries.test("big", tried, told.ledger.now())
            await until(ended(told, count=3))
            before = len(desk.heard)
            told.deliveries.replay("big", 0, told.ledger.now())
            await until(lambda: len(desk.heard) >= before + 2 + 3)  # these two, and what was there before: agreements
            await until(lambda: all(each.state is State.DELIVERED for each in told.page("big")))
        first = next(each for each in desk.heard if each.sequence == 1)  # Of two awards, so that either may come first.
        assert desk.heard[2].headers["webhook-id"] == first.headers["webhook-id"]
        assert json.loads(desk.heard[3].body)["type"] == "webhook.test"
        assert [each.sequence for each in told.page("big")] == list(range(1, len(told.page("big")) + 1))

    async def test_signs_by_what_signed_before_a_rotation_too(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/")
        told.rotate("big")
        told.views.catch_up()
        with told.delivering():
            told.happen(KIRKLEES)
            await until(ended(told))
        versions = [each.split(",")[0] for each in desk.heard[0].headers["webhook-signature"].split(" ")]
        assert sorted(versions) == ["v1", "v1", "v1a", "v1a"]


class TestAtTheSameMoment:
    """What is asked of a webhook while a call to it is under way, or just about to be written down."""

    async def test_what_is_asked_for_again_at_its_last_try_is_sent_again(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/")
        desk.answering = lambda _: b"500 Fault" if len(desk.heard) == 1 else TAKEN
        desk.slow["/"] = 0.5
        with told.delivering(LAST):
            told.happen(KIRKLEES)
            await until(lambda: len(desk.heard) == 1)
            told.deliveries.resend("big", 1, told.ledger.now())
            await until(lambda: len(desk.heard) == 2 and ended(told)())
        (delivery,) = told.page("big")
        assert (delivery.state, delivery.attempts, delivery.tries) == (State.DELIVERED, 2, 1)
        assert [each.status for each in told.deliveries.attempts("big", 1, 1)] == [500, 200]

    async def test_what_is_asked_for_again_when_it_was_just_taken_is_sent_again(
        self, told: Ground, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = told.deliveries.record

        def slowly(outcomes: Sequence[Outcome]) -> None:
            record(outcomes)
            if len(desk.heard) == 1:
                told.deliveries.resend("big", 1, told.ledger.now())
                time.sleep(2.5)  # It is looked meanwhile what is asked of webhooks.

        monkeypatch.setattr(told.deliveries, "record", slowly)
        told.register("big", f"{desk.url}/")
        with told.delivering():
            told.happen(KIRKLEES)
            await until(lambda: len(desk.heard) == 2 and ended(told)())
        assert [each.status for each in told.deliveries.attempts("big", 1, 1)] == [200, 200]

    async def test_what_is_taken_while_the_queue_is_read_is_not_sent_again(
        self, told: Ground, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        waiting = told.deliveries.waiting

        def slowly(webhook: str) -> list[Delivery]:
            found = waiting(webhook)
            time.sleep(1.0 if found else 0.0)
            return found

        monkeypatch.setattr(told.deliveries, "waiting", slowly)
        told.register("big", f"{desk.url}/")
        desk.slow["/"] = 0.8
        with told.delivering():
            await until(lambda: "big" in told.deliveries.queues())
            await asyncio.sleep(0.2)
            told.happen(KIRKLEES)
            await until(lambda: len(desk.heard) == 1)
            told.deliveries.test("big", tried, told.ledger.now())
            await until(ended(told, count=2))
            await asyncio.sleep(1.2)
        assert [each.sequence for each in desk.heard] == [1, 2]
        assert "webhooks failed" not in caplog.text

    async def test_what_failed_is_tried_again_though_all_was_read_again_at_that_moment(
        self, told: Ground, desk: Desk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        judge = Line._judge

        async def reading(line: Line, *rest: Any) -> None:
            await judge(line, *rest)
            line.load(told.deliveries.queues()["big"], told.deliveries.waiting("big"))

        monkeypatch.setattr(Line, "_judge", reading)
        told.register("big", f"{desk.url}/")
        desk.answering = lambda _: b"500 Fault" if len(desk.heard) == 1 else TAKEN
        with told.delivering():
            told.happen(KIRKLEES)
            await until(ended(told))
        assert desk.told() == [(1, KIRKLEES), (1, KIRKLEES)]

    async def test_an_address_that_is_gone_does_not_disable_the_one_that_took_its_place(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/old")
        desk.answering = lambda heard: b"410 Gone" if heard.path == "/old" else TAKEN
        desk.slow["/old"] = 0.5
        with told.delivering(limits=Limits(connect_s=1.0, whole_s=5.0)):
            told.happen(KIRKLEES)
            await until(lambda: len(desk.heard) == 1)
            told.move("big", f"{desk.url}/new")
            await until(ended(told))
        assert (desk.told("/old"), desk.told("/new")) == ([(1, KIRKLEES)], [(1, KIRKLEES)])
        assert told.disabled("big") is None

    async def test_how_long_it_failed_is_counted_from_when_it_was_enabled(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/")
        desk.answering = lambda _: b"500 Fault"
        with told.delivering(Schedule(pauses_s=(0.2,) * 99, jitter=0, retry_after_most_s=1, failing_s=2.0)):
            told.happen(KIRKLEES)
            await until(lambda: len(desk.heard) == 1)
            told.disable("big")
            await asyncio.sleep(2.2)
            before = len(desk.heard)
            told.enable("big")
            await until(lambda: len(desk.heard) >= before + 3)
            assert told.disabled("big") is None
            await until(lambda: told.disabled("big") is Reason.FAILING)

    async def test_whoever_is_told_nothing_any_more_does_not_fail(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/")
        desk.answering = lambda _: b"500 Fault"

        def fails() -> bool:
            queue = told.deliveries.queue("big")
            return queue is not None and queue.failing_since is not None

        with told.delivering(LATER):
            told.happen(KIRKLEES)
            await until(fails)
            told.disable("big")
            await until(lambda: not fails())
            told.enable("big")
            await until(fails)

    async def test_nothing_goes_out_that_nothing_signs(self, told: Ground, desk: Desk) -> None:
        told.register("big", f"{desk.url}/")
        told.rotate("big", overlap=timedelta(0))
        with told.delivering(LATER, catch_up=False):
            told.happen(KIRKLEES)
            await until(lambda: bool(told.deliveries.attempts("big", 1, 1)))
            assert desk.heard == []
            told.views.catch_up()
            await until(ended(told))
        (heard,) = desk.heard
        verify(told.secrets["big"].public, heard.headers, heard.body)
        assert "what signs is not in the vault" in (told.deliveries.attempts("big", 1, 1)[0].failure or "")

    async def test_who_cannot_be_told_keeps_nobody_else_waiting(
        self, told: Ground, desk: Desk, caplog: pytest.LogCaptureFixture
    ) -> None:
        broken = replace(new_secret(), symmetric="no secret")
        told.register("broken", f"{desk.url}/broken", broken)
        told.register("big", f"{desk.url}/")
        with told.delivering():
            told.happen(KIRKLEES)
            await until(ended(told))
            await asyncio.sleep(2.5)
        assert (desk.told("/broken"), desk.told()) == ([], [(1, KIRKLEES)])
        assert caplog.text.count("the webhook broken cannot be told") == 1


class TestSchedule:
    def test_is_over_about_seventy_five_hours(self) -> None:
        schedule = manner(Settings()).schedule
        assert len(schedule.pauses_s) == 9
        assert 75 <= sum(schedule.pauses_s) / 3_600 < 76
        assert schedule.failing_s == 5 * 86_400

    def test_strays_by_no_more_than_is_set(self) -> None:
        schedule = Schedule(pauses_s=(100,), jitter=0.1, retry_after_most_s=0, failing_s=1)
        pauses = [_pause(schedule, 1, Answer(500, b"", None, 1)) for _ in range(200)]
        assert 90 <= min(pauses) < max(pauses) <= 110
        assert len(set(pauses)) > 100

    def test_ends(self) -> None:
        assert QUICK.again_at(3, Answer(500, b"", None, 1), NOON) is not None
        assert QUICK.again_at(4, Answer(500, b"", None, 1), NOON) is None

    def test_waits_as_long_as_is_asked_for_but_no_longer_than_is_set(self) -> None:
        schedule = Schedule(pauses_s=(5,), jitter=0, retry_after_most_s=3_600, failing_s=1)
        for asked, pause in (("0", 5), ("7", 7), ("999999999999", 3_600), ("soon", 5)):
            assert _pause(schedule, 1, Answer(429, b"", None, 1, asked)) == pause

    @pytest.mark.parametrize(
        ("said", "seconds"),
        [
            (None, 0),
            ("120", 120),
            ("-5", 0),
            ("Mon, 01 Jul 2024 12:02:00 GMT", 120),
            ("Mon, 01 Jul 2024 11:00:00 GMT", 0),
            ("²", 0),
            ("Mon, 99 Jul", 0),
        ],
    )
    def test_reads_what_http_says(self, said: str | None, seconds: float) -> None:
        assert retry_after_s(said, NOON) == seconds


NOON: Final = datetime(2024, 7, 1, 12, 0, tzinfo=UTC)


def _pause(schedule: Schedule, tries: int, answer: Answer) -> float:
    again = schedule.again_at(tries, answer, NOON)
    assert again is not None
    return (again - NOON) / timedelta(seconds=1)
