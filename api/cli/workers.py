"""`lcledger serve --workers`: several processes that serve on one socket, and one that starts them and starts them anew.

For PostgreSQL, where each process has connections of its own and they take turns in the database. The parent holds the socket,
knows nothing of the ledger, and outlives whatever kills a worker; workers that lose their parent stop, so that the socket is free
for the next one. Whoever was connected to a worker that died sends the same request again, and another one answers.
"""

import asyncio
import multiprocessing
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Final

from api import counters, logs
from api.cli import faults, serving
from api.cli.access import Mistaken, open_ledger
from api.settings import Settings, count_together
from ledger.published_head import PublishedHead
from projections.views import Views

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
"""How long a worker's place stays empty at most: each death in a row doubles the pause."""
WELL_S: Final = 60.0
"""A worker that lived for so long was well: the next one is started after the first pause again."""
OVER_GRACE_S: Final = 10.0
"""What workers have beyond their requests' grace to close the ledger, before they are killed."""
_SPAWNED: Final = multiprocessing.get_context("spawn")  # A fork would inherit connections, and locks of threads that it lacks.
_FAILED: Final = 1
log = logs.logger(__name__)


def serve(ours: Settings, workers: int) -> None:
    """Serve with so many processes until SIGTERM or SIGINT; `Mistaken` says why that cannot be."""
    if ours.embedded:
        raise Mistaken("On SQLite one process serves; several are for PostgreSQL.")
    with serving.listen(ours.host, ours.port) as listening:
        _look_over(ours)
        logs.configure(ours.log_level, ours.log_format)
        with _counting_together() as counted, ThreadPoolExecutor(workers) as waiting:
            log.info("serving with several processes", address=serving.address_of(listening), workers=workers)
            serving.run(_Workers(ours, listening, counted, waiting).until_told(workers))
    log.info("stopped")


def _look_over(ours: Settings) -> None:
    """Say what is wrong once and in words, rather than by every worker; and make what is missing on a first start."""
    with open_ledger(ours, serving=True) as ledger:
        PublishedHead(ours.published_head_file).publish(ledger)
        Views.open(ours.log_url, ledger).close()


@contextmanager
def _counting_together() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="lcledger-counters-") as folder:
        count_together(Path(folder))
        yield Path(folder)


@dataclass
class _Workers:
    """The places of the workers, each filled anew when its worker dies."""

    ours: Settings
    listening: socket.socket
    counted: Path
    waiting: ThreadPoolExecutor
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    alive: set[SpawnProcess] = field(default_factory=set)

    async def until_told(self, workers: int) -> None:
        """Keep every place filled until told to stop; then wait for what was accepted, but not for ever."""
        serving.on_signals(self._stop)
        async with asyncio.TaskGroup() as group:
            places = [group.create_task(self._keep(number)) for number in range(1, workers + 1)]
            await self.stopping.wait()
            await asyncio.wait(places, timeout=self.ours.shutdown_grace_s + OVER_GRACE_S)
            for process in self.alive:
                log.error("a worker does not stop and is killed", process=process.pid)
                process.kill()

    async def _keep(self, number: int) -> None:
        pause = FIRST_PAUSE_S
        while not self.stopping.is_set():
            begun = time.monotonic()
            process = await self._live(number)
            if self.stopping.is_set():
                break
            pause = FIRST_PAUSE_S if time.monotonic() - begun > WELL_S else pause
            log.error("a worker died", worker=number, process=process.pid, code=process.exitcode, again_in_s=pause)
            with suppress(TimeoutError):
                await asyncio.wait_for(self.stopping.wait(), pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)

    async def _live(self, number: int) -> SpawnProcess:
        process = _SPAWNED.Process(target=_work, args=(self.ours, self.listening), name=f"worker {number}")
        process.start()
        self.alive.add(process)
        log.info("worker started", worker=number, process=process.pid)
        await asyncio.get_running_loop().run_in_executor(self.waiting, process.join)
        self.alive.discard(process)
        counters.bury(self.counted, process.pid)
        return process

    def _stop(self, told: signal.Signals) -> None:
        """Pass it on, and let go of the socket; a second Ctrl-C is for whoever cannot wait."""
        impatient = self.stopping.is_set() and told is signal.SIGINT
        log.info("stopping: what was accepted is finished first")
        self.stopping.set()
        self.listening.close()
        for process in self.alive:
            (process.kill if impatient else process.terminate)()


def _work(ours: Settings, listening: socket.socket) -> None:
    """What a worker does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C comes to all: the parent passes it on to those who are that far.
    logs.configure(ours.log_level, ours.log_format)
    try:
        serving.serve_on(listening, ours, lambda _address: None)
    except Exception as fault:
        said = faults.told(fault)
        if said is None:
            raise
        log.error("the worker cannot serve", reason=said[0])  # noqa: TRY400 (words, not frames)
        raise SystemExit(_FAILED) from None
