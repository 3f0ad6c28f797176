"""`bench rebuild`: all read models made anew from logs of any length, beside the floor and the library's runner."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from secrets import token_bytes
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Final

import typer

from api.cli.bench import histories
from api.cli.bench.grounds import Database, Folder, On, Postgres, Rounds, chosen, grounds
from api.cli.bench.measuring import FLOOR, LIBRARY, OURS, Contender, Line, Wanted, compare, of, take_turns
from api.cli.bench.telling import Report, tell
from api.cli.screen import AsJson
from ledger.ledger import Ledger
from ledger.yardsticks import Scratch, described
from projections import yardsticks
from projections.yardsticks import Done

BOTH: Final = "both cores"
"""Ours with two processes, if the log is long enough for that."""
_SLICE: Final = 10_000
"""As far into the log the library's runner goes: it would take minutes for all."""
_OF_FLOOR: Final = 0.6
_OF_LIBRARY: Final = 40.0
_A_SECOND: Final = 40_000
_GROWTH: Final = 1.25
"""How much more memory the longest log may take than the shortest; it should be none, but no two runs are the same."""
_MIB: Final = 2**20


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command("rebuild")(bench_rebuild)


def bench_rebuild(
    *,
    on: On = None,
    postgres: Postgres = None,
    folder: Folder = None,
    rounds: Rounds = 3,
    entries: Annotated[int, typer.Option(min=1_000, max=100_000_000, help="Entries of the longest log.")] = 1_000_000,
    as_json: AsJson = False,
) -> None:
    """Make all read models anew, from logs of 10,000 entries, ten times as many, and so on.

    Entries are those of one award's history, decided by the rules, under as many awards' names. Each turn is a process of its
    own, and its memory is the most that it had at once; `both cores` is ours with a second process, as `lcledger rebuild` does
    it. The floor reads and decodes the entries that matter and puts the rows that ours made, as they are, in as many batches; the
    library's runner follows the payments among the first 10,000 entries, into a table like ours. Examples:

      lcledger bench rebuild --postgres postgresql://postgres@127.0.0.1:5432/postgres
      lcledger bench rebuild --on sqlite --entries 100000 --rounds 1 --folder /var/lib
    """
    report = Report("Rebuilding all read models", rounds)
    for database in chosen(on, postgres):
        with grounds(database, folder, postgres) as made, _arena(made, report, database, folder) as arena:
            for size in histories.sizes(entries):
                report.add([_line(arena, database, rounds, size)])
            report.add(_memory(arena, database))
    tell(report, as_json=as_json)


def _line(arena: "_Arena", database: Database, rounds: int, size: int) -> Line:
    arena.grow(size)
    samples = take_turns(rounds, arena.contenders(), warm_up=False)
    wanted = (Wanted(of(FLOOR), _OF_FLOOR), Wanted(of(LIBRARY), _OF_LIBRARY), Wanted(OURS, _A_SECOND))
    return compare(str(database), f"{size:,} entries", "entries/s", samples, *wanted)


def _memory(arena: "_Arena", database: Database) -> Iterator[Line]:
    """What the processes had at most; the longest log may not take more than the shortest."""
    shortest = next(iter(arena.most.values()), {}).get(OURS)
    for size, most in arena.most.items():
        wanted = () if shortest is None else (Wanted(OURS, shortest * _GROWTH, at_most=True),)
        yield Line(str(database), f"{size:,} entries", "MiB at most", most, wanted=wanted)


@contextmanager
def _arena(made: Scratch, report: Report, database: Database, folder: Path | None) -> Iterator["_Arena"]:
    with TemporaryDirectory(prefix="lcledger-bench-", dir=folder) as notes, closing(_Arena(made, Path(notes))) as arena:
        version, durability = described(arena.ledger.log)
        report.databases.append(version)
        report.durability[str(database)] = {OURS: durability}
        yield arena


class _Arena:
    """A log that grows, and those who make its read models."""

    def __init__(self, made: Scratch, notes: Path) -> None:
        self.most: defaultdict[int, dict[str, float]] = defaultdict(dict)
        """The most memory, in MiB, by length of the log and contender."""
        self._url = made.make_ledger()
        self._key = token_bytes(32)
        self._notes = notes / "rows"
        self._entries = histories.decided(made.make_ledger()).entries()
        self.ledger = Ledger.open(self._url, vault_key=self._key)
        self._size = 0

    def grow(self, size: int) -> None:
        """Let the log have so many entries, and note which rows are made of them."""
        histories.fill(self.ledger, self._entries, size)
        self._size = size
        _elsewhere(yardsticks.noted, self._url, self._key, self._notes)

    def contenders(self) -> dict[str, Contender]:
        """Those who take turns."""
        return {
            OURS: partial(self._measured, OURS, yardsticks.rebuilt, self._url, self._key),
            BOTH: partial(self._measured, BOTH, yardsticks.rebuilt, self._url, self._key, 2),
            FLOOR: partial(self._measured, FLOOR, yardsticks.laid, self._url, self._notes),
            LIBRARY: partial(self._measured, LIBRARY, yardsticks.run_by_library, self._url, min(self._size, _SLICE)),
        }

    def _measured(self, who: str, work: Callable[..., Done], *arguments: Any) -> float:
        done: Done = _elsewhere(work, *arguments)
        if done.most_bytes is not None:
            most = self.most[self._size]
            most[who] = max(most.get(who, 0.0), done.most_bytes / _MIB)
        return done.entries / done.seconds

    def close(self) -> None:
        """Close the log."""
        self.ledger.close()


def _elsewhere(work: Callable[..., Any], *arguments: Any) -> Any:
    """Work in a process of its own, which has no memory of anything before."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(work, *arguments).result()
