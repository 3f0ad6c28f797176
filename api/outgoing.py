"""Calling out to addresses that somebody else chose, without their choosing whom in our own network we call.

https only; the ports that a setting allows; no account in the address. The name is resolved here, every address that it has is
looked at, and the connection goes to an address that was looked at: the name is not asked again, so it cannot have become another
one meanwhile. The certificate is still that of the name. No proxy of the environment is asked, a redirect is an answer as any
other, and what is answered is read up to a limit, within a time for all of it. This is `httpcore`, on which httpx stands, and not
httpx itself, which does not let one say where its connections go.

Which addresses are anybody's is told by IANA's registries for special purposes, and not by `ipaddress.is_global`, which answers
differently from one release of Python to the next. (https://www.iana.org/assignments/iana-ipv4-special-registry,
https://www.iana.org/assignments/iana-ipv6-special-registry)
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from types import TracebackType
from typing import Final, Self
from urllib.parse import urlsplit

import httpcore

from api.settings import Settings
from domain.refusal import Refused
from domain.webhook import Addresses, expect_address

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
Resolve = Callable[[str, int], Awaitable[list[Address]]]

_LOOPBACK: Final = (ip_network("127.0.0.0/8"), ip_network("::1/128"))
_SPECIAL: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(network), kind)
    for network, kind in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "a carrier's own (CGNAT)"),
        ("127.0.0.0/8", "this machine"),
        ("168.63.129.16/32", "a cloud's metadata"),
        ("169.254.0.0/16", "link-local, or a cloud's metadata"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "reserved"),
        ("192.0.2.0/24", "for documentation"),
        ("192.31.196.0/24", "reserved"),
        ("192.52.193.0/24", "reserved"),
        ("192.88.99.0/24", "a relay of 6to4"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "reserved"),
        ("198.18.0.0/15", "for measurements"),
        ("198.51.100.0/24", "for documentation"),
        ("203.0.113.0/24", "for documentation"),
        ("224.0.0.0/4", "multicast"),
        ("240.0.0.0/4", "reserved, or broadcast"),
        ("::/128", "no address"),
        ("::1/128", "this machine"),
        ("::ffff:0:0/96", "IPv4 in IPv6"),
        ("::/96", "IPv4 in IPv6"),
        ("64:ff9b::/96", "a translation to IPv4 (NAT64)"),
        ("64:ff9b:1::/48", "a translation to IPv4 (NAT64)"),
        ("2001::/32", "a tunnel (Teredo)"),
        ("2001::/23", "reserved"),
        ("2001:db8::/32", "for documentation"),
        ("2002::/16", "a tunnel (6to4)"),
        ("2620:4f:8000::/48", "reserved"),
        ("3fff::/20", "for documentation"),
        ("fc00::/7", "private"),
        ("fe80::/10", "link-local"),
        ("ff00::/8", "multicast"),
    )
)
_ANYBODYS_IPV6: Final = ip_network("2000::/3")
_NAT64: Final = ip_network("64:ff9b::/96")
_FAILURES: Final = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.UnsupportedProtocol, OSError)
_WORDS: Final[tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], str], ...]] = (
    ((TimeoutError, httpcore.TimeoutException), "no answer in time"),
    (httpcore.ConnectError, "no connection"),
    ((httpcore.ReadError, httpcore.WriteError, httpcore.RemoteProtocolError), "the connection was cut"),
)
KEEP_S: Final = 3.0
"""For how long a connection is kept: less than servers keep it, so that seldom one is taken that the other end just ends."""


AGENT: Final = "life-chances-ledger"
"""As what we call."""


class AddressIsRefused(ValueError):
    """We do not call this address."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Whom we call. `networks` may be called though they are special; `loopback` is for development, and allows http there."""

    ports: frozenset[int] = frozenset({443})
    networks: tuple[Network, ...] = ()
    loopback: bool = False

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Whom the settings let us call."""
        return cls(
            ports=settings.webhook_ports_taken, networks=settings.webhook_networks_taken, loopback=settings.webhook_loopback
        )

    def expect_url(self, url: str) -> None:
        """Refuse an address that may not be called as far as can be seen of it, as if it were to be registered now."""
        try:
            expect_address(url, self.addresses)
        except Refused as refused:
            raise AddressIsRefused(refused.message) from None

    @property
    def addresses(self) -> Addresses:
        """Which addresses may be registered."""
        return Addresses(self.ports, self.loopback, self.special)

    def special(self, host: str) -> str | None:
        """Why a host may not be called that is an address and no name, if so; what a name means is seen when it is called."""
        address = _literal(host)
        if address is not None:
            try:
                self.expect(address)
            except AddressIsRefused as refused:
                return str(refused)
        return None

    def expect(self, address: Address) -> None:
        """Refuse an address that is not anybody's; `AddressIsRefused` says what it is."""
        if self.loopback and _is_loopback(address):
            return
        kind = kind_of(address)
        if kind is not None and not any(address in network for network in self.networks):
            raise AddressIsRefused(f"{address} is {kind}")
        within = _within(address)
        if within is not None and within != address:
            self.expect(within)


def kind_of(address: Address) -> str | None:
    """What is special of an address; nothing, if it may be anybody's."""
    for network, kind in _SPECIAL:
        if address in network:
            return kind
    return "reserved" if isinstance(address, IPv6Address) and address not in _ANYBODYS_IPV6 else None


@dataclass(frozen=True, slots=True)
class Limits:
    """How long we wait, in seconds, and how many bytes of an answer we read."""

    connect_s: float = 5.0
    whole_s: float = 15.0
    answer_bytes: int = 16 * 1024
    connections: int = 8


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call: a status and the beginning of the body, or why there is none."""

    status: int | None
    body: bytes
    failure: str | None
    duration_ms: int
    retry_after: str | None = None

    @property
    def good(self) -> bool:
        """Whether the other end took it."""
        return self.status is not None and 200 <= self.status < 300  # noqa: PLR2004 (what HTTP calls success)


class Outgoing:
    """Calls to one endpoint, over connections of its own: who is slow takes none from others."""

    def __init__(self, rules: Rules, limits: Limits, tls: ssl.SSLContext, resolve: Resolve | None = None) -> None:
        self._rules = rules
        self._limits = limits
        self._tls = tls
        self._backend = _Pinned(rules, resolve or resolved)
        self._calls = asyncio.Semaphore(limits.connections)
        self._idle: list[tuple[float, _Connection]] = []
        """Connections that wait for a call, and until when they are kept, the one of the last call at the end."""
        self._sweeping: asyncio.TimerHandle | None = None
        """Ends those that were kept long enough, also if there is never another call."""
        self._ending: set[asyncio.Task[None]] = set()
        self._closed = False

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Send a body, as JSON; whatever goes wrong is told in the answer."""
        begun = time.monotonic()
        status, told, failure, again = None, b"", None, None
        try:
            self._rules.expect_url(url)
            async with asyncio.timeout(self._limits.whole_s):
                status, told, again = await self._send(url, body, headers)
        except (AddressIsRefused, TimeoutError, httpcore.TimeoutException, *_FAILURES) as fault:
            failure = _words(fault)
        return Answer(status, told, failure, round((time.monotonic() - begun) * 1_000), again)

    async def _send(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes, str | None]:
        """Gives the status, the beginning of the body, and what `Retry-After` says."""
        sent = {"Host": urlsplit(url).netloc, "Content-Type": "application/json", "Content-Length": str(len(body)), **headers}
        request = httpcore.Request("POST", url, headers=list(sent.items()), content=body)
        async with self._calls:
            connection = await self._kept(request.url.origin) or await self._connected(request.url.origin)
            try:
                found = await self._answer(await connection.handle_async_request(request), connection)
            finally:
                if connection.is_idle() and connection.is_clean and not self._closed:
                    self._keep(connection)
                else:
                    await connection.aclose()
            return found

    async def _answer(self, answer: httpcore.Response, connection: "_Connection") -> tuple[int, bytes, str | None]:
        again = next((value.decode("latin-1") for name, value in answer.headers if name.lower() == b"retry-after"), None)
        told = bytearray()
        try:
            async for chunk in answer.aiter_stream():
                told += chunk[: self._limits.answer_bytes - len(told)]
                if len(told) >= self._limits.answer_bytes:
                    break
        finally:
            connection.look_at_the_rest()
            await answer.aclose()
        return answer.status, bytes(told), again

    def _keep(self, connection: "_Connection") -> None:
        """Have a connection wait for the next call, but not for ever."""
        self._idle.append((time.monotonic() + KEEP_S, connection))
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(KEEP_S, self._sweep)

    def _sweep(self) -> None:
        """End the connections that were kept long enough, and come again for those that were not yet."""
        now, self._sweeping = time.monotonic(), None
        while self._idle and self._idle[0][0] <= now:
            ending = asyncio.create_task(self._idle.pop(0)[1].aclose())
            self._ending.add(ending)
            ending.add_done_callback(self._ending.discard)
        if self._idle:
            self._sweeping = asyncio.get_running_loop().call_later(self._idle[0][0] - now, self._sweep)

    async def _kept(self, origin: httpcore.Origin) -> "_Connection | None":
        """A connection that waits for a call; those kept too long, that lead elsewhere, were ended or said more are closed."""
        while self._idle:
            until, connection = self._idle.pop()
            if time.monotonic() < until and connection.can_handle_request(origin) and not connection.has_expired():
                return connection
            await connection.aclose()
        return None

    async def _connected(self, origin: httpcore.Origin) -> "_Connection":
        """A new connection; `httpcore`'s own pool looks at all that it has at every call, which took half of the time of one."""
        host = origin.host.decode("ascii")
        stream = await self._backend.connect_tcp(host, origin.port, self._limits.connect_s)
        if origin.scheme == b"https":
            try:
                stream = await stream.start_tls(self._tls, host, self._limits.connect_s)
            except BaseException:
                await stream.aclose()
                raise
        return _Connection(origin, stream)

    async def close(self) -> None:
        """End the connections that wait for a call; that of a call under way ends with it."""
        self._closed = True
        if self._sweeping is not None:
            self._sweeping.cancel()
            self._sweeping = None
        while self._idle:
            await self._idle.pop()[1].aclose()
        while self._ending:
            await asyncio.wait(self._ending)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()


class _Connection(httpcore.AsyncHTTP11Connection):
    """One that knows whether it was said more than was asked for: that would count as the answer to the next call.

    It may have come with the answer, and be known to what takes answers apart; it may have come with it in one segment, and wait
    in what decrypts; or it came later, and whoever looks at the socket sees it.
    """

    def __init__(self, origin: httpcore.Origin, stream: httpcore.AsyncNetworkStream) -> None:
        super().__init__(origin, stream)
        self._decrypting: ssl.SSLObject | None = stream.get_extra_info("ssl_object")  # Here, as it takes a while to be told.
        self.is_clean = False

    def look_at_the_rest(self) -> None:
        """See whether the answer was all that came; to be asked before it is closed, as another one may begin then."""
        # It is httpcore's own, and may go from there: who cannot look keeps no connection.
        taken_apart = getattr(self, "_h11_state", None)
        self.is_clean = getattr(taken_apart, "trailing_data", None) == (b"", False)

    def has_expired(self) -> bool:
        """Whether it is not to be used any more: it was ended at the other end, or something came that nobody asked for."""
        return super().has_expired() or self._decrypts_more()

    def _decrypts_more(self) -> bool:
        if self._decrypting is None:
            return False
        try:
            self._decrypting.read(1)
        except ssl.SSLWantReadError:
            return False
        except (ssl.SSLError, OSError, ValueError):
            return True
        return True


def tls() -> ssl.SSLContext:
    """What looks at certificates. It takes a while to make, and is good for all calls."""
    made = httpcore.default_ssl_context()
    made.set_alpn_protocols(["http/1.1"])
    return made


async def resolved(host: str, port: int) -> list[Address]:
    """Every address of a name, in the order in which they are to be tried."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(ip_address(str(where[0]).partition("%")[0]) for *_, where in found))


class _Pinned(httpcore.AsyncNetworkBackend):
    """Connects to the addresses that were looked at, and to no others. TLS goes on from there with the name."""

    def __init__(self, rules: Rules, resolve: Resolve) -> None:
        self._rules = rules
        self._resolve = resolve
        self._connecting = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's own name)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                return await self._connect(await self._looked_at(host, port), port, local_address, socket_options)
        except TimeoutError:
            raise httpcore.ConnectTimeout("no connection in time") from None

    async def _looked_at(self, host: str, port: int) -> list[Address]:
        literal = _literal(host)
        try:
            found = [literal] if literal is not None else await self._resolve(host, port)
        except (OSError, UnicodeError):
            raise httpcore.ConnectError("its name is not known") from None
        if not found:
            raise httpcore.ConnectError("its name is not known")
        for address in found:
            self._rules.expect(address)
            if _is_loopback_name(host) and not _is_loopback(address):  # To which http may go, as it stays on this machine.
                raise AddressIsRefused(f"{address} is not this machine")
        return found

    async def _connect(
        self,
        addresses: list[Address],
        port: int,
        local_address: str | None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None,
    ) -> httpcore.AsyncNetworkStream:
        failure: httpcore.ConnectError | None = None
        for address in addresses:
            try:
                return await self._connecting.connect_tcp(
                    str(address), port, local_address=local_address, socket_options=socket_options
                )
            except httpcore.ConnectError as failed:
                failure = failed
        raise failure or httpcore.ConnectError("it has no address")


def _words(fault: BaseException) -> str:
    """Why there is no answer, in few words."""
    if isinstance(fault, AddressIsRefused):
        return f"the address is refused: {fault}"
    said = next((words for kinds, words in _WORDS if isinstance(fault, kinds)), "the call failed")
    return f"{said}: {fault}"[:200] if str(fault) else said


def _literal(host: str) -> Address | None:
    """The address, if a host is one rather than a name. `0x7f.1` and the like are names here, and looked at when resolved."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _is_loopback_name(host: str) -> bool:
    address = _literal(host)
    return host == "localhost" or (address is not None and _is_loopback(address))


def _is_loopback(address: Address) -> bool:
    return any(address in network for network in _LOOPBACK)


def _within(address: Address) -> IPv4Address | None:
    """The IPv4 address to which what is sent to an IPv6 address goes in the end, if it does."""
    if isinstance(address, IPv4Address):
        return None
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
