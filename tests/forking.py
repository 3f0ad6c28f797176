"""`lcledger` in processes forked from one in which everything is imported: each begins in a fraction of the time.

A process that begins from nothing imports for seconds before it reads its arguments. How it begins then is tried by those tests
that say so; all others ask what it does, and need not wait.
"""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Final

TOP: Final = Path(__file__).parents[1]
_FORKING: Final = multiprocessing.get_context("forkserver")
_FORKING.set_forkserver_preload(["tests.forking", "api.cli", "api.cli.serving", "api.app", "projections.views"])


@dataclass(frozen=True)
class Forked:
    """A process that runs `lcledger`."""

    process: ForkServerProcess

    @property
    def lives(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.is_alive()

    def wait(self, timeout_s: float) -> int:
        """Wait for its end; its exit code, which is negative where a signal ended it."""
        self.process.join(timeout_s)
        code = self.process.exitcode
        assert code is not None, f"it has not ended after {timeout_s} seconds"
        return code

    def send_signal(self, told: signal.Signals) -> None:
        """Tell it something, such as SIGTERM: to stop, as an operator would."""
        assert self.process.pid is not None
        os.kill(self.process.pid, told)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.join()


@contextmanager
def forked(arguments: Sequence[str], environment: Mapping[str, str], out: Path, err: Path) -> Iterator[Forked]:
    """`lcledger` with these arguments, until the end of the block at the latest; what it says is added to two files."""
    process = _FORKING.Process(target=_run, args=(tuple(arguments), dict(environment), out, err))
    process.start()
    started = Forked(process)
    try:
        yield started
    finally:
        started.kill()


def _run(arguments: Sequence[str], environment: Mapping[str, str], out: Path, err: Path) -> None:
    os.environ.clear()
    os.environ.update(environment)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # A shell that starts the tests in the background has it ignored.
    os.chdir(TOP)
    for stream, file in ((1, out), (2, err)):
        with file.open("ab") as said:
            os.dup2(said.fileno(), stream)
    from api.cli import app

    app(arguments, prog_name="lcledger")
