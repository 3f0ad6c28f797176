"""What surrounds every request: its name in the logs, its time, and how much it may send, and how slowly."""

import asyncio
import time
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from api import logs, telling
from api.counters import Metrics
from api.problems import BodyBrokeOff, BodyIsTooLarge, BodyIsTooSlow, TooManyBodies, answer
from api.settings import Settings
from ledger.entry import written

log = logs.logger(__name__)
NO_ROUTE: Final = "none"
PREFIX: Final = "/v1"


class Requests:
    """Names each request, counts and logs it by its route, never by its address; and lets no body in that is too much."""

    def __init__(self, app: ASGIApp, metrics: Metrics, limits: Settings) -> None:
        self._app = app
        self._metrics = metrics
        self._limits = limits
        self._held = 0
        """Bytes of all the bodies of requests that have no answer yet."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take a request in, and see it answered."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = uuid7().hex
        begun, told = time.perf_counter(), {"status": 500}

        async def tell(message: Message) -> None:
            if message["type"] == "http.response.start":
                told["status"] = message["status"]
                headers = MutableHeaders(scope=message)
                headers["Request-Id"] = scope["request_id"]
                headers.setdefault("Cache-Control", "private, no-cache")
                headers.add_vary_header("Authorization")
                headers["X-Content-Type-Options"] = "nosniff"
            await send(message)

        self._metrics.begin()
        with logs.bound(request=scope["request_id"]), telling.noting() as noted:
            try:
                await self._within(scope, receive, tell)
            finally:
                seconds = time.perf_counter() - begun
                self._end(scope, noted, told["status"], seconds)

    async def _within(self, scope: Scope, receive: Receive, send: Send) -> None:
        said = Headers(scope=scope).get("content-length", "0")
        most = self._limits.body_bytes_most
        if not (said.isascii() and said.isdigit()) or int(said[:18]) > most:
            await answer(BodyIsTooLarge(bytes_most=most))(scope, receive, send)
            return
        got, whole = 0, False
        until = asyncio.get_running_loop().time() + self._limits.body_timeout_s

        async def counted() -> Message:
            nonlocal got, whole
            if whole:
                return await receive()  # What comes then is that the client has gone.
            message = await _before(until, receive)
            size = len(message.get("body", b""))
            got += size
            self._held += size
            whole = not message.get("more_body", False)
            if got > most:
                raise BodyIsTooLarge(bytes_most=most)
            if self._held > self._limits.bodies_bytes_most:
                raise TooManyBodies
            return message

        try:
            await self._app(scope, counted, send)
        finally:
            self._held -= got

    def _end(self, scope: Scope, noted: telling.Telling, status: int, seconds: float) -> None:
        route: Any = scope.get("route")
        path = getattr(route, "path", NO_ROUTE)
        if scope["path"].startswith(PREFIX) and path != NO_ROUTE:
            path = PREFIX + path.removeprefix(PREFIX)  # What is served in two places does not tell its prefix.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.end(method, path, status, seconds)
        person = {"person": scope["person"]} if "person" in scope else {}
        if "person" in scope:
            state = scope["app"].state
            telling.keep(state.disclosures, scope, noted, route=path, status=status, at=written(state.ledger.now()))
        log.info("request", method=method, route=path, status=status, ms=round(seconds * 1_000, 2), **person)


async def _before(until: float, receive: Receive) -> Message:
    """The next part of a body, if it comes in time."""
    try:
        async with asyncio.timeout_at(until):
            message = await receive()
    except TimeoutError:
        raise BodyIsTooSlow from None
    if message["type"] == "http.disconnect":
        raise BodyBrokeOff
    return message


_METHODS: Final = frozenset({"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"})
