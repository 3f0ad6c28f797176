"""Somebody who is told by webhooks, as a process of its own: it writes down what it took, and behaves as badly as it is asked.

    python tests/api/unreliable.py <port> <file> <seed> <how often of a hundred it misbehaves>

It listens on the loopback. What it takes, one JSON object a line, is in the file before it answers, and stays there if it dies.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

TOP: Final = Path(__file__).parents[2]
START_TIMEOUT_S: Final = 20
MISBEHAVIOURS: Final = ("fail", "fail", "busy", "moved", "stall", "cut", "cut late", "take and cut", "die", "gone")
STALL_S: Final = 3.0
_ANSWERS: Final = {
    "fail": b"500 Fault",
    "busy": b"429 Slow\r\nRetry-After: 1",
    "moved": b"302 Moved\r\nLocation: http://127.0.0.1:9/",
    "gone": b"410 Gone",
    "take": b"204 Taken",
}


class Receiver:
    """What it does with each call."""

    def __init__(self, file: Path, seed: int, badly: float) -> None:
        self._file = file.open("ab", buffering=0)
        self._random = random.Random(seed)  # noqa: S311 (a schedule)
        self._badly = badly / 100

    async def come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take calls on a connection, one after the other."""
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._call(reader, writer):
                pass
        writer.close()

    async def _call(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        body = await reader.readexactly(int(headers["content-length"]))
        does = self._random.choice(MISBEHAVIOURS) if self._random.random() < self._badly else "take"
        path = first.split(" ")[1]
        if path.endswith("/gone"):
            does = "gone"
        if path.endswith("/slow"):
            does = "stall"
        if does == "die":
            os._exit(1)
        if does == "cut":
            return False
        if does == "stall":
            await asyncio.sleep(STALL_S)
            return False
        if does in {"take", "take and cut"}:
            told = {"at": time.time(), "path": path, "headers": headers, "body": body.decode()}
            self._file.write(json.dumps(told).encode() + b"\n")
        if does == "take and cut":
            return False
        writer.write(b"HTTP/1.1 %b\r\nContent-Length: 6\r\n\r\n" % _ANSWERS.get(does, _ANSWERS["take"]).replace(b"204", b"200"))
        if does != "cut late":
            writer.write(b"thanks")
        await writer.drain()
        return does != "cut late"


async def receive(port: int, file: Path, seed: int, badly: float) -> None:
    """Take calls for ever."""
    server = await asyncio.start_server(Receiver(file, seed, badly).come, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201 (for whoever started it)
    async with server:
        await server.serve_forever()


@dataclass
class Receiving:
    """A process that receives."""

    file: Path
    port: int
    process: "subprocess.Popen[bytes]"

    @property
    def url(self) -> str:
        """Where it is called."""
        return f"http://127.0.0.1:{self.port}"

    def took(self) -> list[dict[str, Any]]:
        """What it took, in the order in which it came."""
        lines = self.file.read_bytes().splitlines() if self.file.exists() else []
        return [{**told, "body": json.loads(told["body"])} for told in map(json.loads, lines)]

    def keep_alive(self, seed: int, badly: float) -> bool:
        """Start it anew if it has died; whether it had."""
        if self.process.poll() is None:
            return False
        self.process, self.port = _start(self.port, self.file, seed, badly)
        return True


@contextmanager
def receiving(file: Path, *, seed: int = 0, badly: float = 0) -> Iterator[Receiving]:
    """A process that receives, until the end of the block."""
    process, port = _start(0, file, seed, badly)
    found = Receiving(file, port, process)
    try:
        yield found
    finally:
        found.process.kill()
        found.process.wait()


def _start(port: int, file: Path, seed: int, badly: float) -> tuple["subprocess.Popen[bytes]", int]:
    command = [sys.executable, "-S", str(Path(__file__)), str(port), str(file), str(seed), str(badly)]
    process = subprocess.Popen(command, cwd=TOP, stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as told:
        return process, int(told.readline())


if __name__ == "__main__":
    asyncio.run(receive(int(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
