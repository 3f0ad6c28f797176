"""Clients that measure: keep-alive connections that cost little, so that what is measured is the service and not them.

The HTTP client of the command line takes longer over a request than the service over most of them.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Final, NamedTuple, Self

_MOST_HEAD_BYTES: Final = 64 * 1024


class Answer(NamedTuple):
    """What came back."""

    status: int
    body: bytes


class NotAnswered(ConnectionError):
    """The service did not answer as it should."""


class Caller:
    """One keep-alive connection to a service (HTTP/1.1): a request, its answer, the next request."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    @asynccontextmanager
    async def to(cls, where: tuple[str, int]) -> AsyncIterator[Self]:
        """A connection, for as long as it is needed."""
        reader, writer = await asyncio.open_connection(*where, limit=_MOST_HEAD_BYTES)
        try:
            yield cls(reader, writer)
        finally:
            writer.close()

    async def get(self, path: str, key: str) -> Answer:
        """Ask a question, as whoever has a key."""
        return await self._ask("GET", path, {"Authorization": f"Bearer {key}"}, b"")

    async def post(self, path: str, key: str, name: str, body: bytes, media_type: str = "application/json") -> Answer:
        """Send a command under an idempotency key."""
        said = {"Authorization": f"Bearer {key}", "Idempotency-Key": name, "Content-Type": media_type}
        return await self._ask("POST", path, {**said, "Content-Length": str(len(body))}, body)

    async def _ask(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        said = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._writer.write(f"{method} {path} HTTP/1.1\r\nHost: ledger\r\n{said}\r\n".encode("ascii") + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        lengths = [line[15:] for line in head.split(b"\r\n") if line.startswith(b"content-length:")]
        if len(lengths) != 1:
            raise NotAnswered(f"no answer of a known length to {method} {path}: {head!r}")
        return Answer(int(head[9:12]), await self._reader.readexactly(int(lengths[0])))


def expect(status: int, path: str, answer: Answer) -> None:
    """Refuse to go on measuring when something else came back."""
    if answer.status != status:
        raise NotAnswered(f"{path} was answered with {answer.status}: {answer.body.decode()[:500]}")
