"""`lcledger` as a process of its own: serving, asked over loopback, killed, and started again on the same files."""

import base64
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from api.app import create_app
from api.identity import FIRST_KEY_FILE
from api.settings import Settings
from tests import forking
from tests.api.story import KIRKLEES, SOCIAL_PRIME, TOP_UP, Clock, Holder, Service

TOP: Final = Path(__file__).parents[2]
VAULT_KEY: Final = b"thirty-two bytes of a test's key"
START_TIMEOUT_S: Final = 60
_KIB: Final = 1024
# The story's award, open on whatever day the tests run: a real process has the real clock.
STILL_OPEN: Final[dict[str, Any]] = {
    "service_window": {"first": "2019-09-01", "last": "2099-08-31"},
    "outcomes_window": {"first": "2019-09-01", "last": "2099-08-31"},
    "claims_close_on": "2099-11-30",
    "award_amount": "90000000.00",
    "payers": [
        {"party": KIRKLEES, "share": "439/619", "payee": SOCIAL_PRIME},
        {"party": TOP_UP, "share": "180/619", "payee": SOCIAL_PRIME},
    ],
}


@dataclass(frozen=True)
class Place:
    """Where a ledger is: its folder, and its database if that is not in the folder; and what else is set for who serves it."""

    folder: Path
    database_url: str | None = None
    workers: int = 1
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def settings(self) -> Settings:
        """The settings of whoever serves it."""
        return Settings(data_dir=self.folder, **self._given)

    @property
    def environment(self) -> dict[str, str]:
        """The same, as the environment of a process."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("LCLEDGER_")}
        given = {"data_dir": self.folder, "log_format": "json", **self._given}
        return ours | {f"LCLEDGER_{name.upper()}": str(value) for name, value in given.items()}

    @property
    def _given(self) -> dict[str, Any]:
        key = base64.b64encode(VAULT_KEY).decode()
        return {"vault_key": key, **self.more} | ({"database_url": self.database_url} if self.database_url else {})


@dataclass(frozen=True)
class Logged:
    """A process that writes a log."""

    log: Path

    def said(self, event: str) -> list[dict[str, Any]]:
        """The lines of its log that tell of an event."""
        lines = self.log.read_text("utf-8").splitlines(keepends=True)
        return [
            told for line in lines if f'"{event}"' in line and line.endswith("\n") if (told := json.loads(line))["event"] == event
        ]


@dataclass(frozen=True)
class Serving(Logged):
    """A process that serves."""

    process: "subprocess.Popen[bytes]"
    address: str

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()

    def ask_to_stop(self) -> None:
        """End it as an operator would; it may take its time."""
        self.process.send_signal(signal.SIGTERM)

    @property
    def cpu_s(self) -> float:
        """What it has computed so far, in seconds of one core, on Linux: the same whoever else uses the cores."""
        told = Path(f"/proc/{self.process.pid}/stat").read_text("ascii").rpartition(")")[2].split()
        return sum(map(int, told[11:13])) / os.sysconf("SC_CLK_TCK")

    @property
    def peak_mib(self) -> float:
        """The most memory that it ever had, on Linux."""
        told = Path(f"/proc/{self.process.pid}/status").read_text("ascii")
        return int(next(line for line in told.splitlines() if line.startswith("VmHWM:")).split()[1]) / _KIB


@contextmanager
def served(place: Place) -> Iterator[Serving]:
    """A process that serves a ledger, until the end of the block at the latest."""
    place.folder.mkdir(parents=True, exist_ok=True)
    told = place.folder / f"{time.time_ns()}.log"
    with told.open("wb") as log:
        program = [sys.executable, "-c", "from api.cli import app; app()"]
        command = [*program, "serve", "--port", "0", "--workers", str(place.workers)]
        process = subprocess.Popen(command, cwd=TOP, env=place.environment, stdout=log, stderr=log)
    try:
        said = _said(Logged(told), "serving", lambda: process.poll() is None)
        yield Serving(told, process, said["address"])
    finally:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class Forked(Logged):
    """`lcledger` in a process that was forked from one in which everything is imported."""

    process: forking.Forked

    @property
    def address(self) -> str:
        """Where it serves, when it does."""
        return str(self.wait("serving")["address"])

    def wait(self, event: str) -> dict[str, Any]:
        """Wait until its log tells of an event."""
        return _said(self, event, lambda: self.process.lives)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()


@contextmanager
def forked(place: Place, *command: str) -> Iterator[Forked]:
    """`lcledger` on a ledger, until the end of the block at the latest."""
    place.folder.mkdir(parents=True, exist_ok=True)
    told = place.folder / f"{time.time_ns()}.log"
    told.touch()
    with forking.forked(command, place.environment, told, told) as process:
        yield Forked(told, process)


def _said(who: Logged, event: str, lives: Callable[[], bool]) -> dict[str, Any]:
    """The first line of a process's log that tells of an event."""
    until = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < until and lives():
        if found := who.said(event):
            return found[0]
        time.sleep(0.01)
    raise AssertionError(f"it does not say {event!r}: {who.log.read_text('utf-8')}")


@asynccontextmanager
async def asked(place: Place, serving: Serving | Forked) -> AsyncIterator[Service]:
    """Whoever has the first administrator's key, asking a process that serves."""
    app = create_app(place.settings)  # Never started: it is asked only what it declares.
    # Connections are given up well before the service ends them as idle, or a request could meet that on its way.
    limits = httpx.Limits(max_connections=64, keepalive_expiry=2)
    async with httpx.AsyncClient(base_url=serving.address, timeout=60, limits=limits) as http:
        first = Holder(http, app, (place.folder / FIRST_KEY_FILE).read_text("utf-8").strip())
        yield Service(app, http, Clock(), place.settings, first)
