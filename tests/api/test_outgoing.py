"""Whom we call out to: nobody inside our own network, whatever the address says, and whatever its name says a moment later."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import h11
import httpcore
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.outgoing import Address, AddressIsRefused, Answer, Limits, Outgoing, Rules, tls

HOOKS = "hooks.social-prime.example"
ANYBODYS = (
    "93.184.215.14", "1.1.1.1", "100.63.255.255", "100.128.0.0", "172.15.255.255", "172.32.0.0", "223.255.255.255",
    "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "2a00:1450:4009:81f::200e",
)  # fmt: skip
SPECIAL = (
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "100.100.100.200",  # noqa: S104
    "127.0.0.1", "127.8.8.8", "168.63.129.16", "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255",
    "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:1.1.1.1", "::7f00:1",
    "64:ff9b::a00:1", "64:ff9b::101:101", "64:ff9b:1::1", "100::1", "2001::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::", "2002:101:101::", "3fff::1", "5f00::1", "fc00::1",
    "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "4000::1",
)  # fmt: skip


async def nowhere(host: str, port: int) -> list[Address]:
    raise AssertionError(f"{host} was asked for")


class TestRules:
    @pytest.mark.parametrize("address", ANYBODYS)
    def test_allow_what_is_anybodys(self, address: str) -> None:
        Rules().expect(ip_address(address))
        Rules().expect_url(f"https://{_bracketed(address)}/hooks")

    @pytest.mark.parametrize("address", SPECIAL)
    def test_refuse_what_is_special(self, address: str) -> None:
        with pytest.raises(AddressIsRefused, match=" is "):
            Rules().expect(ip_address(address))
        with pytest.raises(AddressIsRefused):
            Rules().expect_url(f"https://{_bracketed(address)}/hooks")

    @pytest.mark.parametrize("address", SPECIAL)
    def test_refuse_it_beside_a_loopback_that_is_allowed(self, address: str) -> None:
        if address in {"127.0.0.1", "127.8.8.8", "::1"}:
            Rules(loopback=True).expect(ip_address(address))
        else:
            with pytest.raises(AddressIsRefused):
                Rules(loopback=True).expect(ip_address(address))

    def test_allow_a_network_that_is_set(self) -> None:
        rules = Rules(networks=(ip_network("10.7.0.0/16"), ip_network("fd12:3456::/32")))
        rules.expect(ip_address("10.7.0.1"))
        rules.expect(ip_address("fd12:3456::1"))
        for outside in ("10.8.0.1", "fd12:3457::1", "169.254.169.254"):
            with pytest.raises(AddressIsRefused):
                rules.expect(ip_address(outside))

    @pytest.mark.parametrize(
        ("network", "good", "bad"),
        [
            ("64:ff9b::/96", "64:ff9b::101:101", "64:ff9b::7f00:1"),
            ("::ffff:0:0/96", "::ffff:1.1.1.1", "::ffff:10.0.0.1"),
            ("2002::/16", "2002:101:101::1", "2002:a9fe:a9fe::1"),
        ],
    )
    def test_look_at_the_address_within_another(self, network: str, good: str, bad: str) -> None:
        rules = Rules(networks=(ip_network(network),))
        rules.expect(ip_address(good))
        with pytest.raises(AddressIsRefused):
            rules.expect(ip_address(bad))

    @pytest.mark.parametrize(
        ("url", "why"),
        [
            (f"http://{HOOKS}/", "https"),
            (f"ftp://{HOOKS}/", "https"),
            ("http://127.0.0.1:8000/", "https"),
            ("http://localhost:8000/", "https"),
            (f"https://{HOOKS}:22/", "to this port"),
            (f"https://{HOOKS}:8443/", "to this port"),
            (f"https://{HOOKS}:99999/", "absolute address"),
            (f"https://sophie:secret@{HOOKS}/", "account"),
            (f"https://1.1.1.1@{HOOKS}/", "account"),
            (f"https://{HOOKS}/#top", "without a fragment"),
            (f"https://{HOOKS}/a b", "printable"),
            (f"https://{HOOKS}\\@10.0.0.1/", "printable ASCII"),
            (f"https://{HOOKS}/\n", "printable ASCII"),
            ("https://høøks.example/", "printable ASCII"),
            ("https:///hooks", "absolute address"),
            ("https://[::1/", "absolute address"),
            ("hooks", "absolute address"),
        ],
    )
    def test_refuse_an_address_as_it_stands(self, url: str, why: str) -> None:
        with pytest.raises(AddressIsRefused, match=why):
            Rules().expect_url(url)

    def test_allow_http_on_the_loopback_in_development_only_there(self) -> None:
        rules = Rules(loopback=True)
        rules.expect_url("http://127.0.0.1:8123/hooks")
        rules.expect_url("http://[::1]:8123/hooks")
        rules.expect_url("http://localhost:8123/hooks")
        for elsewhere in (f"http://{HOOKS}/", "http://10.0.0.1/", "https://10.0.0.1/", f"https://{HOOKS}:8123/"):
            with pytest.raises(AddressIsRefused):
                rules.expect_url(elsewhere)


class Names:
    """A name that has other addresses each time it is asked for."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[Address]:
        self.asked.append(host)
        return [ip_address(each) for each in self._answers.pop(0)]


Say = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listening(say: Say, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """A server on the loopback that says something to whoever comes; gives its port."""

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await say(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(come, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1]


def saying(answer: bytes, heard: list[bytes] | None = None) -> Say:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if heard is not None:
            heard.append(head)
        writer.write(answer)
        await writer.drain()

    return say


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthank"
HERE = Rules(loopback=True)
QUICK = Limits(connect_s=1.0, whole_s=1.0, answer_bytes=1_000)


async def call(url: str, rules: Rules = HERE, resolve: Names | None = None, limits: Limits = QUICK) -> Answer:
    async with Outgoing(rules, limits, tls(), resolve) as outgoing:
        return await outgoing.post(url, b"{}", {"webhook-id": "msg_1"})


class TestPost:
    async def test_tells_what_was_answered(self) -> None:
        heard: list[bytes] = []
        async with listening(saying(OK, heard)) as port:
            answer = await call(f"http://127.0.0.1:{port}/hooks?for=INDIGO")
        assert (answer.status, answer.body, answer.failure, answer.good) == (200, b"thank", None, True)
        (head,) = heard
        assert head.startswith(b"POST /hooks?for=INDIGO HTTP/1.1\r\n")
        assert b"webhook-id: msg_1" in head
        assert b"Content-Type: application/json" in head

    @pytest.mark.parametrize("status", [301, 302, 307, 308])
    async def test_follows_no_redirect(self, status: int) -> None:
        moved = b"HTTP/1.1 %d Moved\r\nLocation: http://169.254.169.254/\r\nContent-Length: 0\r\n\r\n" % status
        async with listening(saying(moved)) as port:
            answer = await call(f"http://127.0.0.1:{port}/")
        assert (answer.status, answer.good) == (status, False)

    async def test_tells_when_to_come_again(self) -> None:
        async with listening(saying(b"HTTP/1.1 429 Slow\r\nretry-after: 120\r\nContent-Length: 0\r\n\r\n")) as port:
            assert (await call(f"http://127.0.0.1:{port}/")).retry_after == "120"

    async def test_reads_no_more_than_the_limit(self) -> None:
        async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
            while True:
                writer.write(b"x" * 65_536)
                await writer.drain()

        async with listening(endless) as port:
            answer = await call(f"http://127.0.0.1:{port}/")
        assert (answer.status, answer.body) == (200, b"x" * 1_000)

    @pytest.mark.parametrize(
        ("first", "then"),
        [(b"", b""), (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"x"), (b"HTTP/1.1 200 OK\r\nServer:", b"x")],
    )
    async def test_waits_no_longer_than_the_limit(self, first: bytes, then: bytes) -> None:
        async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(first)
            for _ in range(20):
                await asyncio.sleep(0.05)
                writer.write(then)
                await writer.drain()

        begun = time.monotonic()
        async with listening(drip) as port:
            answer = await call(f"http://127.0.0.1:{port}/", limits=Limits(whole_s=0.4))
        assert (answer.status, answer.failure) == (None, "no answer in time")
        assert time.monotonic() - begun < 2

    async def test_goes_on_after_calls_that_were_given_up_before_they_were_connected(self) -> None:
        """A connection that is neither open nor closed must not take its place in the pool for ever."""
        async with listening(saying(OK)) as port, Outgoing(HERE, Limits(whole_s=2.0, connections=1), tls()) as outgoing:
            url = f"http://127.0.0.1:{port}/"
            calls = [asyncio.create_task(outgoing.post(url, b"{}", {})) for _ in range(3)]
            await asyncio.sleep(0)
            for each in calls:
                each.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            answers = [await outgoing.post(url, b"{}", {}) for _ in range(3)]
        assert [each.status for each in answers] == [200, 200, 200]

    async def test_lets_end_what_is_under_way_beside_a_call_that_is_given_up(self) -> None:
        async def late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            head = await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(9 if b"/never" in head else 0.5)
            writer.write(OK)
            await writer.drain()

        async with listening(late) as port, Outgoing(HERE, Limits(whole_s=0.8), tls()) as outgoing:
            never = asyncio.create_task(outgoing.post(f"http://127.0.0.1:{port}/never", b"{}", {}))
            await asyncio.sleep(0.5)
            answer = await outgoing.post(f"http://127.0.0.1:{port}/late", b"{}", {})
            assert (await never).failure == "no answer in time"
        assert (answer.status, answer.body) == (200, b"thank")

    async def test_tells_that_the_connection_was_cut(self) -> None:
        async with listening(saying(b"")) as port:
            answer = await call(f"http://127.0.0.1:{port}/")
        assert answer.status is None
        assert str(answer.failure).startswith("the connection was cut")

    async def test_tells_that_nobody_is_there(self) -> None:
        async with listening(saying(OK)) as port:
            pass
        assert str((await call(f"http://127.0.0.1:{port}/")).failure).startswith("no connection")

    async def test_asks_no_proxy_of_the_environment(self, monkeypatch: pytest.MonkeyPatch) -> None:
        heard: list[bytes] = []
        async with listening(saying(OK, heard)) as proxy, listening(saying(OK)) as port:
            for name in ("http_proxy", "https_proxy", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{proxy}")
            assert (await call(f"http://127.0.0.1:{port}/")).good
        assert heard == []

    @pytest.mark.parametrize("address", SPECIAL)
    async def test_refuses_a_name_of_a_special_address(self, address: str) -> None:
        answer = await call(f"https://{HOOKS}/", Rules(), Names([address]))
        assert (answer.status, answer.good) == (None, False)
        assert str(answer.failure).startswith("the address is refused: ")

    async def test_refuses_a_name_of_which_one_address_is_special(self) -> None:
        answer = await call(f"https://{HOOKS}/", Rules(), Names(["1.1.1.1", "169.254.169.254"]))
        assert answer.failure == "the address is refused: 169.254.169.254 is link-local, or a cloud's metadata"

    @pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost", "[::ffff:7f00:1]"])
    async def test_refuses_the_loopback_however_it_is_written(self, host: str) -> None:
        heard: list[bytes] = []
        async with listening(saying(OK, heard)) as port:
            answer = await call(f"https://{host}:{port}/", Rules(ports=frozenset({port})))
        assert answer.status is None
        assert "is refused" in str(answer.failure) or "is not known" in str(answer.failure)
        assert heard == []

    async def test_refuses_to_go_in_the_clear_to_a_localhost_that_is_elsewhere(self) -> None:
        answer = await call("http://localhost/", HERE, Names(["1.1.1.1"]))
        assert answer.failure == "the address is refused: 1.1.1.1 is not this machine"

    async def test_refuses_a_name_that_has_become_a_special_address(self) -> None:
        heard: list[bytes] = []
        async with listening(saying(OK, heard)) as port:
            rules = Rules(ports=frozenset({port}))
            names = Names(["127.0.0.1"])
            rules.expect_url(f"https://{HOOKS}:{port}/")  # As far as can be seen.
            answer = await call(f"https://{HOOKS}:{port}/", rules, names)
        assert answer.failure == "the address is refused: 127.0.0.1 is this machine"
        assert heard == []

    async def test_refuses_an_address_before_it_asks_for_its_name(self) -> None:
        async with Outgoing(Rules(), QUICK, tls(), nowhere) as outgoing:
            assert "https://" in str((await outgoing.post(f"http://{HOOKS}/", b"{}", {})).failure)


Speak = Callable[[asyncio.StreamWriter, int], Awaitable[None]]


class Keeping:
    """A server that keeps its connections: what it says to each call, and what became of them."""

    def __init__(self, speak: Speak | None = None) -> None:
        self._speak = speak
        self.calls: list[int] = []
        """Which connection each call came by."""
        self.ended: list[int] = []
        self._connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        connection = self._connections
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n{}")
                self.calls.append(connection)
                if self._speak is None:
                    writer.write(OK)
                else:
                    await self._speak(writer, len(self.calls))
                await writer.drain()
        finally:
            self.ended.append(connection)

    async def until_ended(self, *connections: int) -> None:
        async with asyncio.timeout(5):
            while self.ended != [*connections]:  # noqa: ASYNC110 (the other end makes it so)
                await asyncio.sleep(0.01)


FAULT = b"HTTP/1.1 500 Fault\r\nContent-Length: 0\r\n\r\n"


class TestConnection:
    async def test_is_kept_for_the_next_call(self) -> None:
        server = Keeping()
        async with listening(server) as port, Outgoing(HERE, QUICK, tls()) as outgoing:
            for _ in range(3):
                assert (await outgoing.post(f"http://127.0.0.1:{port}/", b"{}", {})).good
        assert server.calls == [1, 1, 1]

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize("private", [True, False])
    async def test_on_which_two_answers_came_is_not_used_again(self, tmp_path: Path, *, together: bool, private: bool) -> None:
        """The second would be the answer to the next call, whatever becomes of that."""

        async def twice(writer: asyncio.StreamWriter, number: int) -> None:
            if number > 1:
                writer.write(FAULT)
            elif together:
                writer.write(OK + OK)
            else:  # One segment; over TLS two records in it, of which the second waits to be decrypted.
                writer.writelines([OK, OK])

        server = Keeping(twice)
        async with calling(server, tmp_path, private=private) as (outgoing, url):
            answers = [await outgoing.post(url, b"{}", {}) for _ in range(2)]
        assert [each.status for each in answers] == [200, 500]
        assert server.calls == [1, 2]

    @pytest.mark.parametrize("private", [True, False])
    async def test_on_which_something_came_after_the_answer_is_not_used_again(self, tmp_path: Path, *, private: bool) -> None:
        async def late(writer: asyncio.StreamWriter, number: int) -> None:
            writer.write(OK if number == 1 else FAULT)
            await writer.drain()
            await asyncio.sleep(0.1)
            writer.write(OK)

        server = Keeping(late)
        async with calling(server, tmp_path, private=private) as (outgoing, url):
            first = await outgoing.post(url, b"{}", {})
            await asyncio.sleep(0.3)
            second = await outgoing.post(url, b"{}", {})
        assert (first.status, second.status, server.calls) == (200, 500, [1, 2])

    async def test_of_which_it_cannot_be_seen_what_came_is_not_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delattr(h11.Connection, "trailing_data")
        # What tells httpcore of the beginning of an upgraded connection is the only one else who looks at it.
        monkeypatch.setattr(httpcore.AsyncHTTP11Connection, "_receive_response_headers", _without_the_rest)
        server = Keeping()
        async with listening(server) as port, Outgoing(HERE, QUICK, tls()) as outgoing:
            for _ in range(2):
                assert (await outgoing.post(f"http://127.0.0.1:{port}/", b"{}", {})).good
        assert server.calls == [1, 2]

    async def test_that_waits_is_ended_after_a_while_though_nobody_calls(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("api.outgoing.KEEP_S", 0.2)

        async def slowly(writer: asyncio.StreamWriter, number: int) -> None:
            await asyncio.sleep(0.1 * number)
            writer.write(OK)

        server = Keeping(slowly)
        async with listening(server) as port, Outgoing(HERE, QUICK, tls()) as outgoing:
            url = f"http://127.0.0.1:{port}/"
            await asyncio.gather(*(outgoing.post(url, b"{}", {}) for _ in range(3)))
            await server.until_ended(1, 2, 3)
            assert (await outgoing.post(url, b"{}", {})).good
        assert server.calls == [1, 2, 3, 4]

    async def test_of_a_call_that_outlives_the_closing_is_ended_after_it(self) -> None:
        async def late(writer: asyncio.StreamWriter, _number: int) -> None:
            await asyncio.sleep(0.2)
            writer.write(OK)

        server = Keeping(late)
        async with listening(server) as port:
            async with Outgoing(HERE, QUICK, tls()) as outgoing:
                call = asyncio.create_task(outgoing.post(f"http://127.0.0.1:{port}/", b"{}", {}))
                await asyncio.sleep(0.1)
            assert (await call).good
            await server.until_ended(1)


@asynccontextmanager
async def calling(server: Say, folder: Path, *, private: bool) -> AsyncIterator[tuple[Outgoing, str]]:
    """What calls a server, and by which URL; privately over TLS."""
    context, trusting = (certified(HOOKS, folder), trusted(folder)) if private else (None, tls())
    async with listening(server, context) as port:
        rules = Rules(ports=frozenset({port}), loopback=True)
        url = f"https://{HOOKS}:{port}/" if private else f"http://127.0.0.1:{port}/"
        names = Names(*[["127.0.0.1"]] * 5)
        async with Outgoing(rules, QUICK, trusting, names) as outgoing:
            yield outgoing, url


async def _without_the_rest(of: Any, request: httpcore.Request) -> Any:
    while not isinstance(event := await of._receive_event(), h11.Response):
        pass
    return b"HTTP/1.1", event.status_code, event.reason, event.headers.raw_items(), b""


class TestCertificate:
    async def test_is_the_names_though_the_address_is_pinned(self, tmp_path: Path) -> None:
        told: list[str | None] = []
        context = certified(HOOKS, tmp_path)
        context.sni_callback = lambda _socket, name, _context: told.append(name)
        async with listening(saying(OK), context) as port:
            answer = await self._call(f"https://{HOOKS}:{port}/", tmp_path)
        assert (answer.status, answer.failure) == (200, None)
        assert told == [HOOKS]

    async def test_is_refused_if_it_is_anothers(self, tmp_path: Path) -> None:
        async with listening(saying(OK), certified("elsewhere.example", tmp_path)) as port:
            answer = await self._call(f"https://{HOOKS}:{port}/", tmp_path)
        assert answer.status is None
        assert "certificate" in str(answer.failure)

    async def test_is_refused_if_nobody_vouches_for_it(self, tmp_path: Path) -> None:
        async with listening(saying(OK), certified(HOOKS, tmp_path)) as port:
            rules = Rules(ports=frozenset({port}), loopback=True)
            answer = await call(f"https://{HOOKS}:{port}/", rules, Names(["127.0.0.1"]))
        assert answer.status is None
        assert "certificate" in str(answer.failure)

    async def _call(self, url: str, folder: Path) -> Answer:
        rules = Rules(ports=frozenset(range(1, 65_536)), loopback=True)
        async with Outgoing(rules, QUICK, trusted(folder), Names(["127.0.0.1"])) as out:
            return await out.post(url, b"{}", {})


def trusted(folder: Path) -> ssl.SSLContext:
    """Whoever trusts the certificate that was made last."""
    return ssl.create_default_context(cafile=folder / "certificate.pem")


def certified(name: str, folder: Path) -> ssl.SSLContext:
    """A server's side, with a certificate of a name that vouches for itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    itself = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(itself)
        .issuer_name(itself)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    return context


def _bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address
