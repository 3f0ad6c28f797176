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

import orjson
import typer

from api.cli.bench import floor
from api.cli.bench.clients import Caller, NotAnswered, expect
from api.cli.bench.grounds import Database, Folder, On, Postgres, Rounds, chosen, grounds
from api.cli.bench.measuring import FLOOR, OURS, Contender, Line, Wanted, compare, of, percentile, take_turns
from api.cli.bench.served import Ready, make_ready, served
from api.cli.bench.telling import Report, tell
from api.cli.screen import AsJson
from api.cli.serving import run

HOT: Final = "BENCH-HOT"
"""The award of one half of the load; the clients of the other half have an award each."""
_PREFIX: Final = "/v1"
_READY: Final = "/v1/health/ready"
_FOLLOWING_S: Final = 60
_CREATED: Final = 201
_OK: Final = 200
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
    for database in chosen(on or ([Database.SQLITE] if postgres is None else None), postgres):
        with grounds(database, folder, postgres) as made:
            ready = make_ready(database, made, awards_of(clients))
            report.databases.append(ready.version)
            report.durability[str(database)] = {OURS: ready.durability}
            with served(ready.settings) as where:
                report.lines.extend(_lines(database, Arena(where, ready, clients, seconds), rounds))
    tell(report, as_json=as_json)


def awards_of(clients: int) -> list[str]:
    """The award under which each client acts, in their order."""
    hot = (clients + 1) // 2
    return [HOT] * hot + [f"BENCH-{number}" for number in range(1, clients - hot + 1)]


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
        return {OURS: partial(self._measured, OURS, _PREFIX), FLOOR: partial(self._measured, FLOOR, floor.PREFIX)}

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
            claim = f"C{next(self._numbers)}"
            path = f"{prefix}/awards/{award}/claims"
            for to, key, body in (
                (path, self._ready.claimants[award], submission(claim)),
                (f"{path}/{claim}/verification", self._ready.verifiers[award], VERIFICATION),
            ):
                begun = perf_counter()
                answer = await caller.post(to, key, f"{claim}-{len(to)}", body)
                turn.commands_s.append(perf_counter() - begun)
                expect(_CREATED, to, answer)

    async def _read(self, caller: Caller, turn: _Turn) -> None:
        """Read what is worked on, one thing after the other, in a steady rhythm."""
        of_award = f"{_PREFIX}/awards/{HOT}"
        for number in count():
            path = reads_of(of_award)[number % 4]
            begun = perf_counter()
            answer = await caller.get(path, self._ready.auditor)
            turn.reads_s.append(perf_counter() - begun)
            expect(_OK, path, answer)
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


async def let_follow(caller: Caller) -> int:
    """Wait until the read models show everything, so that nobody's turn pays for another's; how far they were behind."""
    lags: list[int] = []
    until = perf_counter() + _FOLLOWING_S
    while not lags or lags[-1]:
        answer = await caller.get(_READY, "")
        expect(_OK, _READY, answer)
        lags.append(orjson.loads(answer.body)["views_lag"])
        if perf_counter() > until:
            raise NotAnswered(f"the read models are {lags[-1]} entries behind, and do not catch up")
        await asyncio.sleep(_READ_EVERY_S)
    return lags[0]


def reads_of(award: str) -> tuple[str, ...]:
    """What is read of an award, at its address."""
    return award, f"{award}/claims?limit=20", f"{award}/balances", f"{award}/trail?limit=20"


def submission(claim: str) -> bytes:
    """A claim of three lines, of somebody whom nobody has met before."""
    known = {"participant": f"NEXT-{claim}", "quantity": "1"}
    register = {
        "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "title": "Attendance register, spring",
    }
    lines = [
        {"outcome": "PLAN", "achieved_on": "2025-01-14", **known},
        {"outcome": "SCHOOL-TERM", "achieved_on": "2025-03-28", "evidence": [register], **known},
        {"outcome": "WORKSHOP", "achieved_on": "2025-02-14", "quantity": "20", "note": "Two workshops at the library"},
    ]
    return orjson.dumps({"claim": claim, "period": {"first": "2025-01-01", "last": "2025-03-31"}, "lines": lines})


VERIFICATION: Final = orjson.dumps(
    {"lines": [{"line": 3, "accepted": "18", "rejected": "2", "reason": "not-evidenced"}], "others": "accepted"}
)
