"""Serving: the application on a socket, until it is told to stop; what was accepted by then is finished."""

import asyncio
import ctypes
import gc
import multiprocessing
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from threading import Thread
from typing import Any, Final, TypeVar

import uvicorn
from fastapi import FastAPI

from api import logs
from api.cli.access import Mistaken, running
from api.connections import LOOK_EVERY, Connection, look_over
from api.settings import Settings

T = TypeVar("T")

_BACKLOG: Final = 1024
_GARBAGE: Final = (50_000, 20, 50)
"""After how many new objects Python looks for garbage among them, and how much less often among older ones."""
_M_ARENA_MAX: Final = -8
"""glibc's number for the parameter, in malloc.h."""
_ARENAS: Final = 2
log = logs.logger(__name__)


class _Server(uvicorn.Server):
    """Stops when told, from its very beginning on, and leaves the rest of the shutdown to whoever started it.

    Meanwhile it ends the connections of which nothing comes.
    """

    async def on_tick(self, counter: int) -> bool:
        if counter % LOOK_EVERY == 0:
            look_over(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    def heed(self) -> bool:
        """Stop at SIGINT and SIGTERM; whether this system can tell an event loop of them."""
        return on_signals(lambda told: self.handle_exit(told, None))

    def heed_parent(self) -> None:
        """Stop when the process that started this one to serve is gone: nobody would start another, or stop this one."""
        parent, loop = multiprocessing.parent_process(), asyncio.get_running_loop()
        if parent is None:
            return

        def wait() -> None:
            parent.join()
            with suppress(RuntimeError):  # The loop has ended before.
                loop.call_soon_threadsafe(self.handle_exit, signal.SIGTERM, None)

        Thread(target=wait, name="parent", daemon=True).start()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if self.heed():
            yield
            return
        with super().capture_signals():
            yield


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; `Mistaken` says why there can be none."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise Mistaken(
            f"Cannot listen on {host}, port {port}: {error.strerror or error}. LCLEDGER_PORT chooses another."
        ) from None


def serve(ours: Settings, announce: Callable[[str], None], *, mount: Callable[[FastAPI], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT; `announce` is told the address when requests are taken. `mount` may add routes before."""
    listening = listen(ours.host, ours.port)
    logs.configure(ours.log_level, ours.log_format)
    serve_on(listening, ours, announce, mount)


def serve_on(
    listening: socket.socket, ours: Settings, announce: Callable[[str], None], mount: Callable[[FastAPI], None] | None = None
) -> None:
    """Serve on a socket that listens, and close it in the end."""
    share_arenas()
    with listening:
        run(_serve(ours, listening, announce, mount))


def serve_app(app: FastAPI, ours: Settings, host: str, port: int) -> None:
    """Serve an application that needs nothing but itself, until SIGTERM or SIGINT."""

    async def until_told() -> None:
        server = _Server(_config(ours))
        server.heed()
        server.config.app = app
        log.info("serving", address=address_of(listening), process=os.getpid())
        await server.serve(sockets=[listening])

    with listen(host, port) as listening:
        run(until_told())


def address_of(listening: socket.socket) -> str:
    """Where a socket is reached."""
    host, port = listening.getsockname()[:2]
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def on_signals(stop: Callable[[signal.Signals], None]) -> bool:
    """Have the event loop stop at SIGINT and SIGTERM; whether this system can tell it of them."""
    loop = asyncio.get_running_loop()
    try:
        for told in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(told, stop, told)
    except NotImplementedError:  # Windows
        return False
    return True


def collect_seldom() -> None:
    """Look for garbage less often than Python does by default, and never in what was there before the first request.

    Nearly all that a command makes goes by itself when it is done. A claim of thousands of lines makes so many objects that the
    default would have Python look through all of them, again and again, for a third of the time that the claim takes.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)


def share_arenas() -> None:
    """Have threads allocate from few places, where the system's C library is glibc.

    It gives each thread a place of its own, up to eight a core, of which little ever goes back: a process with a score of threads
    would grow for hours without holding more.
    """
    if sys.platform == "linux":
        with suppress(AttributeError):  # Another C library.
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, _ARENAS)


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run something on the fastest event loop that there is here."""
    with asyncio.Runner(loop_factory=uvicorn.Config("", log_config=None).get_loop_factory()) as runner:
        return runner.run(coroutine)


async def _serve(
    ours: Settings, listening: socket.socket, announce: Callable[[str], None], mount: Callable[[FastAPI], None] | None
) -> None:
    server = _Server(_config(ours))
    server.heed()
    server.heed_parent()
    async with running(ours, serving=True) as app:
        if mount is not None:
            mount(app)
        server.config.app = app
        app.state.stops = lambda: server.should_exit
        server.config.http = partial(Connection, limits=ours, ended=app.state.metrics.connection_ended)  # type: ignore[assignment]
        address = address_of(listening)
        collect_seldom()
        announce(address)
        log.info("serving", address=address, process=os.getpid())
        await server.serve(sockets=[listening])
        log.info("stopping: what was accepted is finished first")
    log.info("stopped")


def _config(ours: Settings) -> uvicorn.Config:
    """The application comes later, when it has started: whoever starts it tells in words why it cannot."""
    return uvicorn.Config(
        "",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(ours.shutdown_grace_s),
    )
