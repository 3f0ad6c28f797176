"""Many processes on one PostgreSQL: they start at once, one follows, and another takes over when it dies."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from api.identity import FIRST_KEY_FILE
from ledger.ledger import Ledger
from projections.views import Views
from tests.api.server import TOP, VAULT_KEY, Place
from tests.projections.conftest import Story

pytestmark = pytest.mark.long

LONG_S: Final = 60
TAKEN_OVER_S: Final = 10
"""What a busy machine may need; an idle one needs about one second, the pause between two attempts."""
START: Final = """
import os
import sys
from pathlib import Path

from api.cli.access import open_ledger, settings_with
from projections.views import Views


def start(folder):
    ours = settings_with(Path(folder))
    with open_ledger(ours, serving=True) as ledger, Views.open(ours.log_url, ledger) as views:
        views.catch_up()


# Everything is imported by now: so they really start at once.
for folder in sys.argv[1:]:
    if os.fork() == 0:
        start(folder)
        os._exit(0)
sys.exit(sum(os.waitstatus_to_exitcode(os.wait()[1]) != 0 for _ in sys.argv[1:]))
"""


@dataclass(frozen=True)
class Worker:
    """`lcledger worker` as a process of its own."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def follows(self) -> bool:
        """Whether it ever was the one who follows."""
        return self.says("this process follows now")

    def says(self, words: str) -> bool:
        lines = self.log.read_text("utf-8").splitlines(keepends=True)
        return any(json.loads(line)["event"].startswith(words) for line in lines if words in line and line.endswith("\n"))


@contextmanager
def working(place: Place) -> Iterator[Worker]:
    log = place.folder.with_suffix(".log")
    with log.open("wb") as out:
        command = [sys.executable, "-c", "from api.cli import app; app()", "worker"]
        process = subprocess.Popen(command, cwd=TOP, env=place.environment, stdout=out, stderr=out)
    try:
        yield Worker(process, log)
    finally:
        process.kill()
        process.wait()


def within(limit_s: float, there: Callable[[], bool]) -> float:
    """How long it takes until something is so, in seconds."""
    begun = time.monotonic()
    while not there():
        assert time.monotonic() - begun < limit_s
        time.sleep(0.02)
    return time.monotonic() - begun


class TestTheOneWhoFollows:
    def test_is_followed_by_another_when_it_is_killed(self, postgres_url: str, tmp_path: Path) -> None:
        first, second = (Place(tmp_path / name, postgres_url) for name in ("first", "second"))
        with (
            Ledger.open(postgres_url, vault_key=VAULT_KEY) as ledger,
            Views.open(postgres_url, ledger) as views,
            working(first) as one,
            working(second) as two,
        ):
            within(LONG_S, lambda: one.says("standing by") and two.says("standing by") and (one.follows() or two.follows()))
            story = Story(ledger)
            story.begin()
            within(LONG_S, lambda: views.position == ledger.head().size)
            active, other = (one, two) if one.follows() else (two, one)
            assert not other.follows()
            active.process.kill()
            story.register()
            assert within(LONG_S, lambda: views.position == ledger.head().size) < TAKEN_OVER_S
            assert other.follows()
            other.process.send_signal(signal.SIGTERM)
            assert other.process.wait(LONG_S) == 0
            assert all(each.agrees for each in views.check())


class TestSixProcesses:
    def test_start_at_once_on_an_empty_database_and_on_one_that_is_begun(self, postgres_url: str, tmp_path: Path) -> None:
        places = [Place(tmp_path / str(number), postgres_url) for number in range(6)]
        for place in places:
            place.folder.mkdir()
        for _ in range(2):
            command = [sys.executable, "-c", START, *(str(place.folder) for place in places)]
            done = subprocess.run(command, cwd=TOP, env=places[0].environment, stderr=subprocess.PIPE, check=False)
            assert done.returncode == 0, done.stderr
            assert [(each.folder / FIRST_KEY_FILE).exists() for each in places].count(True) == 1
        with Ledger.open(postgres_url, vault_key=VAULT_KEY) as ledger, Views.open(postgres_url, ledger) as views:
            assert [entry.event.type for entry in ledger.entries()] == ["party.registered", "person.registered", "key.issued"]
            assert all(each.agrees for each in views.check())
