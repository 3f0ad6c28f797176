"""Real sockets against `lcledger serve`: whoever is slow, too many or too large holds nobody else up."""

import asyncio
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio

from api.connections import HEAD_BYTES_MOST, LINGER_S
from api.counters import Metrics
from api.problems import TooManyBodies
from api.requests import Requests
from api.settings import Settings
from tests.api import server, story
from tests.api.server import Forked, Place
from tests.api.story import AWARD, Holder, Service, slug

CLAIMS: Final = f"/v1/awards/{AWARD}/claims"
HEAD_S: Final = 0.5
BODY_S: Final = 1.0
ANSWER_S: Final = 0.5
SLACK_S: Final = 5.0
"""By how much a busy machine may be late."""
MOST: Final = 40
WAITING: Final = 4
BODY_MOST: Final = 64 * 1024
NARROW: Final = {
    "head_timeout_s": HEAD_S,
    "body_timeout_s": BODY_S,
    "answer_timeout_s": ANSWER_S,
    "connections_most": MOST,
    "body_bytes_most": BODY_MOST,
    "queue_most": WAITING,
}
DRIP_S: Final = 0.1


@dataclass(frozen=True)
class Running:
    """A service that is narrow in everything, and its cast."""

    place: Place
    serving: Forked
    cast: dict[str, Holder]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    place = Place(tmp_path_factory.mktemp("connections") / "ledger", more=NARROW)
    with server.forked(place, "serve", "--port", "0") as serving:

        async def begin() -> dict[str, Holder]:
            async with server.asked(place, serving) as service:
                await story.gather(service)
                await story.agree_award(service, **server.STILL_OPEN)
                return service.cast

        yield Running(place, serving, asyncio.run(begin()))


@pytest_asyncio.fixture
async def narrow(running: Running) -> AsyncIterator[Service]:
    """The service, which serves as ever when the test is over."""
    async with server.asked(running.place, running.serving) as service:
        service.cast.update({name: replace(holder, http=service.http, app=service.app) for name, holder in running.cast.items()})
        yield service
        async with asyncio.timeout(SLACK_S):
            assert (await service.nobody.get("/v1/health/ready")).status_code == 200


@dataclass
class Client:
    """A client that speaks HTTP badly."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    hearing: "asyncio.Task[bytes]" = field(init=False)

    def __post_init__(self) -> None:
        self.hearing = asyncio.create_task(self._hear())

    @property
    def answered(self) -> bool:
        """Whether the service has said its last."""
        return self.hearing.done()

    async def say(self, *words: str | bytes) -> None:
        """Send words as they are."""
        for each in words:
            self.writer.write(each.encode() if isinstance(each, str) else each)
        await self.writer.drain()

    async def drip(self, word: str, until_s: float) -> float:
        """Send a word again and again; when the service had enough, in seconds."""
        begun = monotonic()
        while monotonic() - begun < until_s:
            try:
                await self.say(word)
            except ConnectionError:
                break
            if self.answered:
                break
            await asyncio.sleep(DRIP_S)
        return monotonic() - begun

    async def hear(self) -> bytes:
        """All that is said until the connection is closed."""
        return await asyncio.wait_for(self.hearing, 2 * SLACK_S)

    async def _hear(self) -> bytes:
        heard = b""
        with suppress(ConnectionError):
            while more := await self.reader.read(65_536):
                heard += more
        return heard


@asynccontextmanager
async def connected(running: Running) -> AsyncIterator[Client]:
    at = urlsplit(running.serving.address)
    client = Client(*await asyncio.open_connection(at.hostname, at.port))
    try:
        yield client
    finally:
        client.writer.transport.abort()
        client.hearing.cancel()


def told(heard: bytes) -> tuple[int, dict[str, str], Any]:
    """The one answer that was heard: its status, its headers and its problem."""
    head, _, body = heard.partition(b"\r\n\r\n")
    first, *lines = head.decode("ascii").split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    assert headers["content-type"] == "application/problem+json"
    return int(first.split()[1]), headers, json.loads(body)


def begun(who: Holder, length: int | None, key: str) -> str:
    """The head of a claim, whose body is still to come: in chunks, if its length is not told."""
    headers = (
        f"POST {CLAIMS} HTTP/1.1",
        "Host: ledger.test",
        "Content-Type: application/json",
        f"Authorization: Bearer {who.secret}",
        f"Idempotency-Key: {key}",
        "Transfer-Encoding: chunked" if length is None else f"Content-Length: {length}",
    )
    return "\r\n".join((*headers, "", ""))


class TestAHead:
    async def test_that_drips_is_told_and_closed(self, running: Running, narrow: Service) -> None:
        async with connected(running) as slow:
            await slow.say("GET /v1/health/live HTTP/1.1\r\n")
            took, served = await asyncio.gather(slow.drip("X-Drip: 1\r\n", 60), _served(narrow, HEAD_S))
            status, headers, problem = told(await slow.hear())
        assert (status, problem["type"]) == (408, "/problems/head-is-too-slow")
        assert headers["connection"] == "close"
        assert HEAD_S <= took <= HEAD_S + SLACK_S
        assert served

    @pytest.mark.parametrize("said", ["", "\r\n", "G"], ids=["with nothing", "with empty lines", "with one letter"])
    async def test_that_does_not_come_is_not_waited_for(self, running: Running, narrow: Service, said: str) -> None:
        async with connected(running) as slow:
            begun_at = monotonic()
            await slow.say(said)
            await slow.hear()
            assert HEAD_S <= monotonic() - begun_at <= HEAD_S + SLACK_S

    async def test_that_drips_after_another_request_is_closed_too(self, running: Running, narrow: Service) -> None:
        keep_alive_s = 5
        async with connected(running) as slow:
            await slow.say("GET /v1/health/live HTTP/1.1\r\nHost: ledger.test\r\n\r\n")
            assert HEAD_S <= await slow.drip("\r\n", 60) <= keep_alive_s + HEAD_S + SLACK_S
            assert (await slow.hear()).startswith(b"HTTP/1.1 200")

    async def test_that_never_ends_is_refused_before_it_fills_the_memory(self, running: Running, narrow: Service) -> None:
        async with connected(running) as large:
            sent = 0
            await large.say("GET /v1/health/live HTTP/1.1\r\n")
            while sent < 100 * HEAD_BYTES_MOST and not large.answered:
                try:
                    await large.say(line := f"X-Longer: {'a' * 8_000}\r\n")
                except ConnectionError:
                    break
                sent += len(line)
                await asyncio.sleep(0)
            heard = await large.hear()
        assert sent < 100 * HEAD_BYTES_MOST
        assert told(heard)[2]["type"] == "/problems/head-is-too-large"

    async def test_as_large_as_may_be_is_taken(self, narrow: Service) -> None:
        longest = {"X-Long": "a" * (HEAD_BYTES_MOST - 1_000)}
        assert (await narrow.nobody.get("/v1/health/live", headers=longest)).status_code == 200

    async def test_that_comes_before_the_last_answer_is_answered_in_its_turn(self, running: Running, narrow: Service) -> None:
        paths = ("health/live", "health/ready", "nothing/here", "health/live")
        together = (f"GET /v1/{path} HTTP/1.1\r\nHost: ledger.test\r\n\r\n" for path in paths)
        async with connected(running) as hasty:
            await hasty.say("".join(together) + "GET /v1/health/live HTTP/1.1\r\nHost: led")
            begun_at = monotonic()
            heard = await hasty.hear()
            assert monotonic() - begun_at >= HEAD_S
        assert [int(each[:3]) for each in heard.split(b"HTTP/1.1 ")[1:]] == [200, 200, 404, 200, 408]


class TestABody:
    async def test_that_drips_is_told_and_records_nothing(self, running: Running, narrow: Service) -> None:
        body = json.dumps(story.claim("DRIPS")).encode()
        async with connected(running) as slow:
            await slow.say(begun(narrow.cora, len(body) + 1_000, "drips"), body)
            took, served = await asyncio.gather(slow.drip(" ", 60), _served(narrow, BODY_S))
            status, _, problem = told(await slow.hear())
        assert (status, problem["type"]) == (408, "/problems/body-is-too-slow")
        assert BODY_S <= took <= BODY_S + LINGER_S + SLACK_S
        assert served
        again = await narrow.cora.post(CLAIMS, story.claim("DRIPS"), key="drips")
        assert (again.status_code, again.headers.get("Idempotency-Hit")) == (201, None)

    async def test_that_drips_though_it_was_refused_is_not_waited_for(self, running: Running, narrow: Service) -> None:
        async with connected(running) as slow:
            await slow.say(begun(narrow.nobody, 1_000, "refused"))
            assert await slow.drip(" ", 60) <= LINGER_S + SLACK_S
            assert told(await slow.hear())[0] == 401

    @pytest.mark.parametrize("chunked", [False, True], ids=["as it says", "in chunks"])
    async def test_that_is_too_large_is_not_taken_in(self, running: Running, narrow: Service, chunked: bool) -> None:  # noqa: FBT001 (a parameter)
        part = b" " * 8_192
        async with connected(running) as large:
            await large.say(begun(narrow.cora, None if chunked else 1_000 * BODY_MOST, "large"))
            sent, begun_at = 0, monotonic()
            while sent < 1_000 * BODY_MOST and not large.answered:
                try:
                    await large.say(*((f"{len(part):x}\r\n", part, "\r\n") if chunked else (part,)))
                except ConnectionError:
                    break
                sent += len(part)
                await asyncio.sleep(0.005)
            assert monotonic() - begun_at <= BODY_S + LINGER_S + SLACK_S
            heard = await large.hear()
        assert sent < 1_000 * BODY_MOST
        assert told(heard)[2]["type"] == "/problems/body-is-too-large"

    async def test_that_breaks_off_records_nothing_and_is_no_failure_of_the_service(
        self, running: Running, narrow: Service
    ) -> None:
        body = json.dumps(story.claim("BROKEN")).encode()
        async with connected(running) as gone:
            await gone.say(begun(narrow.cora, len(body), "broken"), body[:-5])
            await asyncio.sleep(DRIP_S)
        again = await narrow.cora.post(CLAIMS, story.claim("BROKEN"), key="broken")
        assert (again.status_code, again.headers.get("Idempotency-Hit")) == (201, None)
        assert "request failed" not in "".join(each.read_text("utf-8") for each in running.place.folder.glob("*.log"))

    async def test_is_one_too_many_where_together_they_are_too_much(self) -> None:
        limits, several = Settings().model_copy(update={"bodies_bytes_most": 25}), asyncio.Barrier(2)

        async def take(_scope: Any, receive: Any, _send: Any) -> None:
            await receive()
            await several.wait()
            await receive()

        async def one() -> None:
            parts = iter([{"type": "http.request", "body": b"ten  bytes", "more_body": more} for more in (True, False)])

            async def receive() -> Any:
                return next(parts)

            async def send(_message: Any) -> None: ...

            scope = {"type": "http", "method": "POST", "path": CLAIMS, "headers": []}
            await requests(scope, receive, send)

        requests = Requests(take, Metrics(), limits)
        for _ in range(2):
            answers = await asyncio.gather(one(), one(), return_exceptions=True)
            assert sorted(type(each).__name__ for each in answers) == ["NoneType", TooManyBodies.__name__]
        assert requests._held == 0


class TestAnAnswer:
    async def test_that_nobody_takes_is_not_kept(self, running: Running, narrow: Service) -> None:
        document = (await narrow.nobody.get("/v1/openapi.json")).content
        asked = 16 * 1024 * 1024 // len(document)
        async with connected(running) as deaf:
            deaf.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            deaf.writer.transport.pause_reading()  # type: ignore[attr-defined]  # A socket's transport reads too.
            begun_at = monotonic()
            await deaf.say("GET /v1/openapi.json HTTP/1.1\r\nHost: ledger.test\r\n\r\n" * asked)
            await _until(lambda: _ended(narrow, "answer not taken"))
            assert ANSWER_S <= monotonic() - begun_at <= ANSWER_S + SLACK_S


class TestConnections:
    async def test_over_the_most_are_told_so_and_taken_again_later(self, running: Running, narrow: Service) -> None:
        async with AsyncExitStack() as held:
            for _ in range(MOST):
                await held.enter_async_context(connected(running))
            async with connected(running) as late:
                await late.say("GET /v1/health/live HTTP/1.1\r\nHost: ledger.test\r\n\r\n")
                status, headers, problem = told(await late.hear())
            assert (status, problem["type"]) == (503, "/problems/too-many-connections")
            assert int(headers["retry-after"]) > 0
            assert headers["connection"] == "close"
        await _until(lambda: _served(narrow, 0))


class TestOverload:
    """More commands at once than may wait."""

    CLIENTS: Final = 32
    COMMANDS: Final = 10
    LONGEST_S: Final = 5.0

    async def test_is_told_to_some_and_what_is_taken_is_answered_soon(self, narrow: Service) -> None:
        """Whoever is told so sends the same again, until it is recorded: once."""
        answers: Counter[str] = Counter()
        times: list[float] = []

        async def send(reference: str, number: int) -> None:
            while True:
                begun_at = monotonic()
                lines = [story.line(participant=f"KIR-{number}")]
                answer = await narrow.cora.post(CLAIMS, story.claim(reference, lines), key=reference)
                if answer.status_code == httpx.codes.CREATED:
                    times.append(monotonic() - begun_at)
                    answers["taken"] += 1
                    return
                assert slug(answer) in {(503, "ledger-is-busy"), (429, "too-many-of-yours")}
                assert int(answer.headers["Retry-After"]) > 0
                answers["told"] += 1
                await asyncio.sleep(0.05)

        async def client(number: int) -> None:
            for each in range(self.COMMANDS):
                await send(f"O{number}-{each}", number * self.COMMANDS + each)

        async with asyncio.timeout(server.START_TIMEOUT_S):
            await asyncio.gather(*(client(number) for number in range(self.CLIENTS)))
        assert answers["told"] > 0
        assert answers["taken"] == self.CLIENTS * self.COMMANDS
        assert sorted(times)[len(times) * 99 // 100] <= self.LONGEST_S
        page = await narrow.first.reads(f"{CLAIMS}?limit=500")
        claimed = Counter(row["claim"] for row in page["rows"] if row["claim"].startswith("O"))
        assert set(claimed.values()) == {1}
        assert len(claimed) == answers["taken"]


async def _served(service: Service, for_s: float) -> bool:
    """Whether everybody else is served, for so long."""
    until = monotonic() + for_s
    while True:
        begun_at = monotonic()
        answer = await service.cora.get(CLAIMS)
        if answer.status_code != httpx.codes.OK or monotonic() - begun_at > SLACK_S:
            return False
        if monotonic() >= until:
            return True
        await asyncio.sleep(DRIP_S)


async def _ended(service: Service, reason: str) -> bool:
    """Whether connections were ended for a reason."""
    numbers = (await service.audrey.get("/v1/metrics")).text
    return f'lcledger_connections_ended_total{{reason="{reason}"}}' in numbers


async def _until(there: Callable[[], Coroutine[Any, Any, bool]]) -> None:
    async with asyncio.timeout(2 * SLACK_S):
        while not await there():  # noqa: ASYNC110 (another process makes it so)
            await asyncio.sleep(DRIP_S)
