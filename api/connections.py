"""Connections: how long each may take over its request and its answer, how many there may be, and how much comes of nothing.

uvicorn waits for ever for the rest of a request, and for whoever does not read the answer. So each connection knows by when
something must have come of it, and all of them are looked over a few times a second: that costs a request less than a timer of
its own. Bodies that are being read are timed where they are read (`api/requests.py`), so that whoever sends one is told.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final

from starlette.types import ASGIApp
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

from api import logs
from api.problems import HeadIsTooLarge, HeadIsTooSlow, TooManyConnections, TurnedAway, answer
from api.settings import Settings

log = logs.logger(__name__)
HEAD_BYTES_MOST: Final = 64 * 1024
"""What may come before anything comes of it: the address and the headers of a request, or trailers."""
LINGER_S: Final = 2.0
"""How long the rest of a request is still taken, and dropped, when its answer was given without it."""
TOLD: Final = 64
"""So many connections over the limit are told that there are too many; further ones are cut."""
LOOK_EVERY: Final = 5
"""Ticks of uvicorn's, which last a tenth of a second."""


class Connection(HttpToolsProtocol):
    """A connection that must get on with its request and its answer, or is ended."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        *,
        limits: Settings,
        ended: Callable[[str], None],
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._limits = limits
        self._ended = ended
        self._due: float | None = None
        self._untaken_since: float | None = None
        self._head = False
        self._body = False
        self._answering = False
        self._idle_bytes = 0
        self._told = False

    # What the client does ---------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection in, or as one too many."""
        super().connection_made(transport)  # type: ignore[arg-type]  # A socket's transport writes too.
        self._expect(self._limits.head_timeout_s)
        over = len(self.connections) - self._limits.connections_most
        if over > 0:
            self._ended("too many")
            self.app = _turned_away
            self._expect(LINGER_S)
        if over > TOLD:
            self.transport.abort()

    def data_received(self, data: bytes) -> None:
        """Read on, unless nothing comes of what is read."""
        if self._told:
            return
        self._idle_bytes += len(data)
        super().data_received(data)
        if self._idle_bytes > HEAD_BYTES_MOST and not self.transport.is_closing():
            self._end(HeadIsTooLarge(bytes_most=HEAD_BYTES_MOST))

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._head = True

    def on_headers_complete(self) -> None:
        """Its headers are there."""
        super().on_headers_complete()
        self._idle_bytes = 0
        self._head, self._body, self._answering = False, True, True
        self._expect(self._limits.body_timeout_s + LINGER_S)

    def on_body(self, body: bytes) -> None:
        """Some of its body is there."""
        super().on_body(body)
        self._idle_bytes = 0

    def on_message_complete(self) -> None:
        """It is there as a whole: now it is for the service to get on."""
        super().on_message_complete()
        self._body = False
        self._idle_bytes = 0
        if self._answering:
            self._due = None
        else:
            self._rest()

    def pause_writing(self) -> None:
        """More of the answer waits to be taken than should."""
        super().pause_writing()
        self._untaken_since = self.loop.time()

    def resume_writing(self) -> None:
        """Most of it was taken."""
        super().resume_writing()
        self._untaken_since = None

    # What the service does --------------------------------------------------------------------------------------------

    def on_response_complete(self) -> None:
        """The answer is given: another request may come."""
        super().on_response_complete()
        self._answering = not self.cycle.response_complete
        if self.transport.is_closing():
            self._expect(self._limits.answer_timeout_s)
        elif self._answering:  # The next request had come already.
            self._due = None if not self.cycle.more_body else self.loop.time() + self._limits.body_timeout_s + LINGER_S
        elif self._body:
            self._expect(LINGER_S)
        elif self._head:  # A part of the next request had come already.
            self._unset_keepalive_if_required()
            self._expect(self._limits.head_timeout_s)
        else:
            self._rest()

    def look(self, now: float) -> None:
        """End the connection if nothing came of it in time."""
        if self._untaken_since is not None and now > self._untaken_since + self._limits.answer_timeout_s:
            self._ended("answer not taken")
            self.transport.abort()
        elif self._due is None or now <= self._due or self.flow.read_paused:
            return  # While nothing is read, it is not the client who is slow.
        elif self.transport.is_closing():
            self._ended("answer not taken")
            self.transport.abort()
        elif self._head and not self._told:
            self._ended("head too slow")
            self._end(HeadIsTooSlow())
        else:
            if self._body:
                self._ended("body too slow")
            self.transport.close()
            self._expect(LINGER_S)

    def _rest(self) -> None:
        """Between two requests: uvicorn closes a connection that says nothing at all, but not one that says nothing of use."""
        self._expect(self.timeout_keep_alive + self._limits.head_timeout_s)

    def _expect(self, within_s: float) -> None:
        self._due = self.loop.time() + within_s

    def _end(self, refused: TurnedAway) -> None:
        """Say why, and close a little later: what still comes would take the answer away from a connection that is closed.

        Where another answer is on its way, there is no place for this one.
        """
        if self._answering:
            self.transport.close()
        else:
            told = answer(refused, {"Connection": "close"})
            headers = b"".join(b"%b: %b\r\n" % header for header in told.raw_headers)
            self.transport.write(b"".join((STATUS_LINE[told.status_code], headers, b"\r\n", bytes(told.body))))
            self.transport.write_eof()
        self._told = True
        self._expect(LINGER_S)


_turned_away: Final[ASGIApp] = answer(TooManyConnections(), {"Connection": "close"})


def look_over(connections: Iterable[Any], now: float) -> None:
    """End the connections of which nothing came in time."""
    for each in tuple(connections):
        if isinstance(each, Connection):
            each.look(now)
