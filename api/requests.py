"""What surrounds every request: its name in the logs, its time, and how much it may send."""

import time
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from api import logs
from api.counters import Metrics
from api.problems import BodyIsTooLarge, answer

log = logs.logger(__name__)
NO_ROUTE: Final = "none"
PREFIX: Final = "/v1"


class Requests:
    """Names each request, counts and logs it by its route, never by its address; and lets no body in that is too large."""

    def __init__(self, app: ASGIApp, metrics: Metrics, body_bytes_most: int) -> None:
        self._app = app
        self._metrics = metrics
        self._most = body_bytes_most

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
        with logs.bound(request=scope["request_id"]):
            try:
                await self._within(scope, receive, tell)
            finally:
                seconds = time.perf_counter() - begun
                self._end(scope, told["status"], seconds)

    async def _within(self, scope: Scope, receive: Receive, send: Send) -> None:
        said = Headers(scope=scope).get("content-length", "0")
        if not (said.isascii() and said.isdigit()) or int(said[:18]) > self._most:
            await answer(BodyIsTooLarge(bytes_most=self._most))(scope, receive, send)
            return
        got = 0

        async def counted() -> Message:
            nonlocal got
            message = await receive()
            got += len(message.get("body", b""))
            if got > self._most:
                raise HTTPException(413)
            return message

        await self._app(scope, counted, send)

    def _end(self, scope: Scope, status: int, seconds: float) -> None:
        route: Any = scope.get("route")
        path = getattr(route, "path", NO_ROUTE)
        if scope["path"].startswith(PREFIX) and path != NO_ROUTE:
            path = PREFIX + path.removeprefix(PREFIX)  # A route of a router does not tell its prefix.
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.end(method, path, status, seconds)
        person = {"person": scope["person"]} if "person" in scope else {}
        log.info("request", method=method, route=path, status=status, ms=round(seconds * 1_000, 2), **person)


_METHODS: Final = frozenset({"GET", "POST", "DELETE", "PUT", "PATCH", "HEAD", "OPTIONS"})
