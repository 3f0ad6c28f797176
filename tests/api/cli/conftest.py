"""A demo that was played once, and the command line as a person uses it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from typer import testing
from typer.testing import CliRunner

from api.cli import app
from api.cli.demo import history
from tests.forking import Forked, forked
from tests.shared import copied, made_once

TOP = Path(__file__).parents[3]
OPEN = "OPEN-FOR-YOU"
"""The award that the demo leaves open."""
_PROGRAM = "from api.cli import app; app(prog_name='lcledger')"
testing._get_command = cache(testing._get_command)  # type: ignore[attr-defined] # Making a hundred takes longer than most do.

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**more: str) -> dict[str, str]:
    """The environment of a program that knows nothing of the one who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LCLEDGER_")}
    return {**kept, "PYTHONPATH": str(TOP), "COLUMNS": "200", **more}


def command(*arguments: str) -> list[str]:
    """The command line as a process of its own."""
    return [sys.executable, "-c", _PROGRAM, *arguments]


def from_nothing(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run `lcledger` as everybody does, in a process that begins from nothing, anywhere, and wait for its end."""
    with TemporaryDirectory() as elsewhere:
        return subprocess.run(
            command(*arguments), capture_output=True, text=True, check=False, timeout=120, env=environment(**more), cwd=elsewhere
        )


def lcledger(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run `lcledger` in a process of its own, which need not import anything first, and wait for its end."""
    with TemporaryDirectory() as folder:
        out, err = Path(folder, "out"), Path(folder, "err")
        with forked(arguments, environment(**more), out, err) as running:
            code = running.wait(120)
        return subprocess.CompletedProcess(arguments, code, out.read_text("utf-8"), err.read_text("utf-8"))


@dataclass(frozen=True)
class Played:
    """A demo in a folder: what its first and its second run said, and how long they took, in seconds."""

    folder: Path
    first: str
    second: str
    first_s: float
    second_s: float


@pytest.fixture(scope="session")
def played(tmp_path_factory: pytest.TempPathFactory) -> Played:
    """The demo, run twice; a copy of what it left for this process of the tests, as commands write down what they tell."""
    kept = played_once(tmp_path_factory)
    return replace(kept, folder=copied(kept.folder, tmp_path_factory.mktemp("demo") / "ledger"))


def played_once(everywhere: pytest.TempPathFactory) -> Played:
    """The demo, run twice, for all processes of the tests; nobody may change it."""

    def play(folder: Path) -> None:
        said, took = [], []
        for _ in range(2):
            begun = time.monotonic()
            done = from_nothing("demo", "--no-serve", LCLEDGER_DATA_DIR=str(folder / "ledger"))
            took.append(time.monotonic() - begun)
            assert done.returncode == 0, done.stdout + done.stderr
            said.append(done.stdout)
        (folder / "played.json").write_text(json.dumps([*said, *took]), "utf-8")

    kept = made_once(everywhere, "demo", play)
    return Played(kept / "ledger", *json.loads((kept / "played.json").read_text("utf-8")))


def run(*arguments: str) -> Any:
    """Run a command in this process."""
    return CliRunner().invoke(app, list(arguments))


def answer(*arguments: str) -> Any:
    """What a command tells machines."""
    done = run(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a ledger may be made."""
    return tmp_path / "ledger"


@contextmanager
def serving(folder: Path, **more: str) -> Iterator[tuple[Forked, str]]:
    """A process that serves, and its address."""
    with TemporaryDirectory() as logs:
        err = Path(logs, "err")
        err.touch()
        arguments = ("serve", "--port", "0", "--data-dir", str(folder))
        with forked(arguments, environment(LCLEDGER_LOG_FORMAT="json", **more), Path(logs, "out"), err) as process:
            yield process, _address(process, err)


def _address(process: Forked, err: Path) -> str:
    """Where it serves, once it says so."""
    while True:
        lives = process.lives
        for line in err.read_text("utf-8").splitlines(keepends=True):
            if '"event":"serving"' in line and line.endswith("\n"):
                return str(json.loads(line)["address"])
        if not lives:
            pytest.fail(f"it does not serve: {err.read_text('utf-8')}")
        time.sleep(0.01)


def begin(folder: Path) -> Path:
    """Serve a ledger once, so that it is there; its folder."""
    with serving(folder) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    return folder


@pytest.fixture(scope="session")
def served_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger that was served once, to be copied."""

    def make(folder: Path) -> None:
        begin(folder / "ledger")

    return made_once(tmp_path_factory, "served", make) / "ledger"


@pytest.fixture
def served(served_once: Path, folder: Path) -> Path:
    """The folder of a ledger that was served once."""
    return copied(served_once, folder)


def begin_award(folder: Path, **terms: Any) -> tuple[str, ...]:
    """Agree the award that is open, with some of its terms changed; the ledger as options, with the second's key beside it."""
    here = ("--data-dir", str(folder))
    key = second_administrator(folder)
    answer("import", "award", str(registration(folder, **terms)), *here)
    answer("agree", OPEN, "--key-file", str(key), *here)
    return here


@pytest.fixture(scope="session")
def agreed_once(served_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with an agreed award, to be copied."""

    def make(folder: Path) -> None:
        begin_award(copied(served_once, folder / "ledger"))

    return made_once(tmp_path_factory, "agreed", make) / "ledger"


@pytest.fixture
def agreed(agreed_once: Path, folder: Path) -> tuple[str, ...]:
    """A ledger with an agreed award, as options; the second administrator's key is beside it."""
    return "--data-dir", str(copied(agreed_once, folder))


def second(here: tuple[str, ...]) -> tuple[str, ...]:
    """The same ledger, for the second administrator."""
    return (*here, "--key-file", str(Path(here[1]) / "second.key"))


def registration(folder: Path, **terms: Any) -> Path:
    """The registration of an award that is open, with some of its terms changed, as a file."""
    file, said = folder / "award.json", history.packaged()["open"]["registration"]
    file.write_text(json.dumps({**said, "terms": {**said["terms"], **terms}}), "utf-8")
    return file


def second_administrator(folder: Path) -> Path:
    """A file with the key of a second administrator."""
    here = ("--data-dir", str(folder))
    answer("parties", "add", "GB-LAE-KIR", "Kirklees Council", *here)
    person = answer("people", "add", "GB-LAE-KIR", "A. Commissioner", *here)["person"]
    file = folder / "second.key"
    file.write_text(answer("keys", "issue", person, "administrator", *here)["secret"], "utf-8")
    return file
