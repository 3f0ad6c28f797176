"""A demo that was played once, and the command line as a person uses it."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import pytest

TOP = Path(__file__).parents[3]
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
