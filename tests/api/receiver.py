"""Somebody who wants to be told: a server on the loopback that answers challenges, as it must or otherwise."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

Answering = Callable[[dict[str, Any]], tuple[int, bytes]]


def gives_back(sent: dict[str, Any]) -> tuple[int, bytes]:
    """The answer to a challenge, as it must be."""
    return 200, json.dumps({"challenge": sent["data"]["challenge"]}).encode()


@dataclass
class Heard:
    """A request that came: the headers in small letters, and the bytes of the body."""

    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        """What the body says."""
        return json.loads(self.body)


@dataclass
class Receiver:
    """Where notices are received. `answering` may be another one at any time."""

    port: int = 0
    answering: Answering = gives_back
    heard: list[Heard] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/notices?tenant=7"

    async def come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        self.heard.append(Heard(headers, await reader.readexactly(int(headers["content-length"]))))
        status, body = self.answering(self.heard[-1].said)
        writer.write(f"HTTP/1.1 {status} Told\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode() + body)
        await writer.drain()
        writer.close()


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that listens."""
    receiver = Receiver()
    async with await asyncio.start_server(receiver.come, "127.0.0.1", 0) as server:
        receiver.port = server.sockets[0].getsockname()[1]
        yield receiver
