"""`bench commands`: whole commands over HTTP beside the same requests that are only authenticated and validated."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from statistics import median
from time import perf_counter
from typing import Annotated, Any, Final

import typer

from api.cli.bench import floor
from api.cli.bench.acting import PREFIX, awards_of, claim, let_follow, read
from api.cli.bench.clients import Caller
from api.cli.bench.grounds import Database, Folder, On, Postgres, Rounds, usually_sqlite
from api.cli.bench.measuring import FLOOR, OURS, Contender, Line, Wanted, compare, of, percentile, take_turns
from api.cli.bench.served import Ready, readied, served
from api.cli.bench.telling import Report, tell
from api.cli.screen import AsJson
from api.cli.serving import run

_READ_EVERY_S: Final = 0.02
_MS: Final = 1_000
_P99: Final = 99
_OF_FLOOR: Final = 0.4
_COMMAND_P99_MS: Final = 50.0
_READ_P99_MS: Final = 20.0


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command("commands")(bench_commands)


def bench_commands(
    *,
    on: On = None,
    postgres: Postgres = None,
    folder: Folder = None,
    rounds: Rounds = 5,
    seconds: Annotated[float, typer.Option(min=0.01, max=60, help="How long each turn lasts.")] = 2.0,
    clients: Annotated[int, typer.Option(min=1, max=256, help="Keep-alive clients; half of them under one award.")] = 16,
    as_json: AsJson = False,
) -> None:
    """Submit and verify claims over HTTP with many clients at once, while somebody reads.

    A process serves as `lcledger serve` does; the clients are in this one. Ours is the whole way: who asks, what is sent, the
    decision, the entries on disk, the answer; the read models follow meanwhile. The floor takes the same requests in the same
    process, finds out who asks, validates what is sent, and answers. On SQLite unless it is said otherwise. Examples:

      lcledger bench commands
      lcledger bench commands --postgres postgresql://postgres@127.0.0.1:5432/postgres
    """
    report = Report("Whole commands over HTTP", rounds)
    for database in usually_sqlite(on, postgres):
        with readied(report, database, folder, postgres, awards_of(clients)) as ready, served(ready.settings) as where:
            report.add(_lines(database, Arena(where, ready, clients, seconds), rounds))
    tell(report, as_json=as_json)


def _lines(database: Database, arena: "Arena", rounds: int) -> Iterator[Line]:
    samples = take_turns(rounds, arena.contenders())
    work = f"claims submitted and verified, {arena.clients} clients"
    behind = max(turn.entries_behind for turn in arena.turns[OURS][1:])
    remark = f"read models at most {behind:,} entries behind"
    yield compare(str(database), work, "commands/s", samples, Wanted(of(FLOOR), _OF_FLOOR), remark=remark)
    for said, told, most in (
        ("99 of 100 commands within", lambda turn: turn.commands_s, _COMMAND_P99_MS),
        ("99 of 100 reads meanwhile within", lambda turn: turn.reads_s, _READ_P99_MS),
    ):
        yield _latency(str(database), said, arena.turns, told, most)


def _latency(
    database: str, work: str, turns: "dict[str, list[_Turn]]", told: "Callable[[_Turn], list[float]]", most: float
) -> Line:
    measured = {name: [told(turn) for turn in each[1:]] for name, each in turns.items()}  # The first turn is not measured.
    medians = {
        name: median(percentile(each, _P99) * _MS for each in rounds if each) for name, rounds in measured.items() if any(rounds)
    }
    middle = median(percentile(each, 50) * _MS for each in measured[OURS] if each)
    return Line(database, work, "ms", medians, wanted=(Wanted(OURS, most, at_most=True),), remark=f"half within {middle:.1f} ms")


@dataclass(slots=True)
class _Turn:
    """What one turn took, request by request, in seconds."""

    commands_s: list[float] = field(default_factory=list)
    reads_s: list[float] = field(default_factory=list)
    entries_behind: int = 0
    """How far the read models were behind at its end."""


class Arena:
    """A service that is measured, and the clients that ask it."""

    def __init__(self, where: tuple[str, int], ready: Ready, clients: int, seconds: float) -> None:
        self.clients = clients
        self.turns: defaultdict[str, list[_Turn]] = defaultdict(list)
        self._where = where
        self._ready = ready
        self._seconds = seconds
        self._numbers = count(1)

    def contenders(self) -> dict[str, Contender]:
        """Those who take turns."""
        return {OURS: partial(self._measured, OURS, PREFIX), FLOOR: partial(self._measured, FLOOR, floor.PREFIX)}

    def _measured(self, name: str, prefix: str) -> float:
        turn = _Turn()
        self.turns[name].append(turn)
        return run(self._let_everybody_act(turn, prefix))

    async def _let_everybody_act(self, turn: _Turn, prefix: str) -> float:
        async with AsyncExitStack() as stack:
            callers = [await stack.enter_async_context(Caller.to(self._where)) for _ in range(self.clients + 1)]
            begun = perf_counter()
            async with _meanwhile(self._read(callers.pop(), turn)):
                acting = zip(callers, awards_of(self.clients), strict=True)
                await asyncio.gather(*(self._act(caller, award, turn, prefix) for caller, award in acting))
            rate = len(turn.commands_s) / (perf_counter() - begun)
            turn.entries_behind = await let_follow(callers[0])
            return rate

    async def _act(self, caller: Caller, award: str, turn: _Turn, prefix: str) -> None:
        """Submit a claim and have it verified, and the next one, until time is up."""
        until = perf_counter() + self._seconds
        while perf_counter() < until:
            async for took in claim(caller, self._ready, award, f"C{next(self._numbers)}", prefix):
                turn.commands_s.append(took)

    async def _read(self, caller: Caller, turn: _Turn) -> None:
        """Read what is worked on, one thing after the other, in a steady rhythm."""
        for number in count():
            turn.reads_s.append(await read(caller, self._ready, number))
            await asyncio.sleep(_READ_EVERY_S)


@asynccontextmanager
async def _meanwhile(reading: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Let something go on for as long as the block lasts; its failure is ours."""
    task = asyncio.create_task(reading)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
