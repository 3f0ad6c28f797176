"""A demo that was played once, and the command line as a person uses it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import app
from api.cli.demo import history

TOP = Path(__file__).parents[3]
OPEN = "OPEN-FOR-YOU"
"""The award that the demo leaves open."""
_PROGRAM = "from api.cli import app; app(prog_name='lcledger')"

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def environment(**more: str) -> dict[str, str]:
    """The environment of a program that knows nothing of the one who runs the tests."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("LCLEDGER_")}
    return {**kept, "PYTHONPATH": str(TOP), "COLUMNS": "200", **more}


def command(*arguments: str) -> list[str]:
    """The command line as a process of its own."""
    return [sys.executable, "-c", _PROGRAM, *arguments]


def lcledger(*arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
    """Run `lcledger` and wait for its end."""
    return subprocess.run(
        command(*arguments), capture_output=True, text=True, check=False, timeout=120, env=environment(**more), cwd=TOP
    )


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
    """The demo, run twice."""
    folder = tmp_path_factory.mktemp("demo") / "ledger"
    said, took = [], []
    for _ in range(2):
        begun = monotonic()
        done = lcledger("demo", "--no-serve", LCLEDGER_DATA_DIR=str(folder))
        took.append(monotonic() - begun)
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    return Played(folder, said[0], said[1], took[0], took[1])


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
def serving(folder: Path, **more: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A process that serves, and its address."""
    process = subprocess.Popen(
        command("serve", "--port", "0", "--data-dir", str(folder)),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(LCLEDGER_LOG_FORMAT="json", **more),
    )
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if '"event":"serving"' in line:
                yield process, json.loads(line)["address"]
                break
        else:
            pytest.fail("it does not serve")
    finally:
        process.kill()
        process.communicate()


def begin(folder: Path) -> Path:
    """Serve a new ledger once, so that it is there; its folder."""
    with serving(folder) as (process, _):
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    return folder


@pytest.fixture
def served(folder: Path) -> Path:
    """The folder of a ledger that was served once."""
    return begin(folder)


def begin_award(folder: Path, **terms: Any) -> tuple[str, ...]:
    """Agree the award that is open, with some of its terms changed; the ledger as options, with the second's key beside it."""
    here = ("--data-dir", str(folder))
    key = second_administrator(folder)
    answer("import", "award", str(registration(folder, **terms)), *here)
    answer("agree", OPEN, "--key-file", str(key), *here)
    return here


@pytest.fixture
def agreed(served: Path) -> tuple[str, ...]:
    """A ledger with an agreed award, as options; the second administrator's key is beside it."""
    return begin_award(served)


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
