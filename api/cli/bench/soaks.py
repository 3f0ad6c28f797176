"""`bench soak`: a service under steady load for a long time, and whether it stays as it is."""

import asyncio
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import combinations, count
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Annotated, Final

import orjson
import typer

from api.cli.access import Mistaken
from api.cli.bench.acting import READY, awards_of, claim, let_follow, read
from api.cli.bench.clients import Caller
from api.cli.bench.grounds import Folder, On, Postgres, usually_sqlite
from api.cli.bench.measuring import OURS, Line, Wanted, of, percentile
from api.cli.bench.served import Ready, readied, serving_process
from api.cli.bench.telling import Report, tell
from api.cli.screen import AsJson, bar, under_way
from api.cli.serving import run

BEGINNING: Final = "beginning"
_WARM_UP: Final = 0.2
"""The part of the time that does not count: caches fill, pools open their connections."""
CLAIMS_OF_CLIENT: Final = 200
"""After so many claims a client goes on under another award."""
_CROWD: Final = 32
_ROUNDS: Final = 8
_LEAST_SAMPLES: Final = 5
_SAMPLES: Final = 240
"""How many samples are taken at most, however long it lasts."""
_EVERY_S: Final = 1.0
_A_MINUTE: Final = 60
_MIB: Final = 1024 * 1024
_KIB: Final = 1024
_MS: Final = 1_000


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command("soak")(bench_soak)


def bench_soak(
    *,
    on: On = None,
    postgres: Postgres = None,
    folder: Folder = None,
    minutes: Annotated[float, typer.Option(min=0.05, max=240, help="How long the load lasts.")] = 30.0,
    rate: Annotated[float, typer.Option(min=1, max=1_000, help="Commands a second, all clients together.")] = 20.0,
    clients: Annotated[int, typer.Option(min=1, max=64, help="Keep-alive clients; half of them under one award.")] = 4,
    as_json: AsJson = False,
) -> None:
    """Keep a service under steady load, and see whether its memory, its connections and its answers stay as they are.

    A process serves as `lcledger serve` does; clients in this one submit and verify claims in a steady rhythm, and read; an award
    has some hundred claims, and another one follows it. How it is is said once a minute, beside the answer. Memory,
    open files, sockets and threads are the process's own, as Linux tells them. A line is laid through the samples after the first
    fifth of the time (the median of the slopes of all pairs, so that a hiccup is none); flat is what the line at the end has
    grown by no more than is wanted since its beginning. On SQLite unless it is said otherwise. Examples:

      lcledger bench soak --minutes 30
      lcledger bench soak --minutes 10 --rate 50 --postgres postgresql://postgres@127.0.0.1:5432/postgres
    """
    if sys.platform != "linux":
        raise Mistaken("A soak needs Linux, which tells what another process has open.")
    figures = f"at the ends of a line through samples of {minutes:g} minutes"
    report = Report("A service under steady load", rounds=1, figures=figures)
    plan = Plan(minutes * _A_MINUTE, rate, clients)
    for database in usually_sqlite(on, postgres):
        with (
            readied(report, database, folder, postgres, plan.all) as ready,
            serving_process(ready.settings) as (process, where),
        ):
            soak = Soak(process, where, ready, plan)
            run(soak.load())
        report.add(lines_of(str(database), soak.samples))
        report.notes.append(soak.told(str(database)))
    tell(report, as_json=as_json)


@dataclass(frozen=True, slots=True)
class Sample:
    """What the process had at a moment, and how quick it was since the one before."""

    at_s: float
    memory_mib: float
    files: int
    sockets: int
    threads: int
    entries_behind: int
    command_p50_ms: float
    command_p99_ms: float
    read_p99_ms: float


@dataclass(slots=True)
class _Since:
    """What was asked since the last sample, in seconds."""

    commands_s: list[float] = field(default_factory=list)
    reads_s: list[float] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Plan:
    """How long everybody acts, and under which awards.

    An award has hundreds of claims, and then others follow it, as in a fund: the load is the same at the end as at the beginning.
    What an award of ten thousand claims costs is measured by `bench load`.
    """

    seconds: float
    rate: float
    clients: int

    @property
    def every_s(self) -> float:
        """How often each client submits a claim and verifies it."""
        return 2 * self.clients / self.rate

    @property
    def all(self) -> list[str]:
        """Every award that there will be."""
        stages = int(self.seconds / self.every_s) // CLAIMS_OF_CLIENT + 1
        return [f"{award}-{stage}" for stage in range(stages) for award in dict.fromkeys(awards_of(self.clients))]

    def award(self, client: int, number: int) -> str:
        """The award of a client's claim; half of the clients share one."""
        return f"{awards_of(self.clients)[client]}-{number // CLAIMS_OF_CLIENT}"


class Soak:
    """A service, its clients, and what was seen of it."""

    def __init__(self, process: int, where: tuple[str, int], ready: Ready, plan: Plan) -> None:
        self.samples: list[Sample] = []
        self.commands = 0
        self._process = Path(f"/proc/{process}")
        self._where = where
        self._ready = ready
        self._plan = plan
        self._since = _Since()
        self._numbers = count(1)
        self._award = plan.award(0, 0)
        """The award that was worked on last."""

    async def load(self) -> None:
        """Let everybody act for so long, while samples are taken."""
        await self._crowd()
        async with AsyncExitStack() as stack:
            *callers, asking = [await stack.enter_async_context(Caller.to(self._where)) for _ in range(self._plan.clients + 1)]
            until = perf_counter() + self._plan.seconds
            async with asyncio.TaskGroup() as together:
                for client, caller in enumerate(callers):
                    together.create_task(self._act(caller, client, until))
                together.create_task(self._read(asking, until))
                together.create_task(self._watch(self._plan.seconds, until))
            await let_follow(asking)

    async def _crowd(self) -> None:
        """Ask many things at once, so that pools open what they ever will: whether they grow beyond that is seen afterwards."""
        async with AsyncExitStack() as stack:
            crowd = [await stack.enter_async_context(Caller.to(self._where)) for _ in range(_CROWD)]
            for number in range(_ROUNDS):
                await asyncio.gather(*(read(each, self._ready, number, self._award) for each in crowd))

    async def _act(self, caller: Caller, client: int, until: float) -> None:
        for number in count():
            if (begun := perf_counter()) >= until:
                return
            award = self._award = self._plan.award(client, number)
            async for took in claim(caller, self._ready, award, f"C{next(self._numbers)}"):
                self._since.commands_s.append(took)
                self.commands += 1
            await asyncio.sleep(max(begun + self._plan.every_s - perf_counter(), 0))

    async def _read(self, caller: Caller, until: float) -> None:
        for number in count():
            if perf_counter() > until:
                return
            self._since.reads_s.append(await read(caller, self._ready, number, self._award))
            await asyncio.sleep(self._plan.every_s / 2)

    async def _watch(self, seconds: float, until: float) -> None:
        every_s = min(max(seconds / _SAMPLES, _EVERY_S), seconds / 10)
        with bar() as progress:
            task, told = progress.add_task("Samples", total=int(seconds / every_s)), 0
            while perf_counter() + every_s <= until:
                await asyncio.sleep(every_s)
                async with Caller.to(self._where) as caller:  # Kept until the next sample, it would be ended as idle.
                    answer = await caller.get(READY, "")
                self._sample(orjson.loads(answer.body)["views_lag"], seconds - (until - perf_counter()))
                progress.advance(task)
                told = self._tell(told)

    def _tell(self, told: int) -> int:
        """Say how it is once a minute; `told` is the last one of which it was said, and so is what is given back."""
        last = self.samples[-1] if self.samples else None
        if last is None or (minute := int(last.at_s // _A_MINUTE)) == told:
            return told
        under_way(
            f"{minute} min: {self.commands:,} commands; {last.memory_mib:.0f} MiB, {last.files} files, {last.sockets} sockets, "
            f"{last.threads} threads; commands within {last.command_p50_ms:.1f} ms, 99 of 100 within {last.command_p99_ms:.0f}, "
            f"reads within {last.read_p99_ms:.0f}"
        )
        return minute

    def _sample(self, behind: int, at_s: float) -> None:
        since, self._since = self._since, _Since()
        if not since.commands_s or not since.reads_s:
            return  # Nobody was answered in this while: the next sample tells of both.
        told = dict(line.split(":", 1) for line in (self._process / "status").read_text("ascii").splitlines())
        opened = [str(each.readlink()) for each in _opened(self._process)]
        self.samples.append(
            Sample(
                at_s=at_s,
                memory_mib=int(told["VmRSS"].split()[0]) * _KIB / _MIB,
                files=len(opened),
                sockets=sum(each.startswith("socket:") for each in opened),
                threads=int(told["Threads"]),
                entries_behind=behind,
                command_p50_ms=percentile(since.commands_s, 50) * _MS,
                command_p99_ms=percentile(since.commands_s, 99) * _MS,
                read_p99_ms=percentile(since.reads_s, 99) * _MS,
            )
        )

    def told(self, database: str) -> str:
        """The verdict in words."""
        grown = [line.work for line in lines_of(database, self.samples) if line.missed]
        seconds = self.samples[-1].at_s
        said = f"not flat: {', '.join(grown)}" if grown else "flat"
        behind = max(each.entries_behind for each in self.samples)
        return (
            f"{database}: {said}. {self.commands:,} commands in {seconds / _A_MINUTE:.1f} minutes, {len(self.samples)} samples; "
            f"the read models were at most {behind:,} entries behind."
        )


_Figure = tuple[str, str, Callable[[Sample], float], float]
_FIGURES: Final[tuple[_Figure, ...]] = (
    ("resident memory", "MiB", lambda each: each.memory_mib, 1.10),
    ("open files", "files", lambda each: each.files, 1.05),
    ("sockets", "files", lambda each: each.sockets, 1.05),
    ("threads", "threads", lambda each: each.threads, 1.15),
    ("half of the commands within", "ms", lambda each: each.command_p50_ms, 1.25),
    ("99 of 100 commands within", "ms", lambda each: each.command_p99_ms, 1.25),
    ("99 of 100 reads within", "ms", lambda each: each.read_p99_ms, 1.25),
)
"""What is looked at, and by how much each may have grown: memory by a tenth, what is open hardly, times by a quarter.

Threads by one or two: a pool starts one when those that it has are all busy, up to its size.
"""


def lines_of(database: str, samples: Sequence[Sample]) -> Iterator[Line]:
    """What each figure was at the beginning and at the end of its line, and whether that is flat."""
    last_s = samples[-1].at_s if samples else 0.0
    counted = [each for each in samples if each.at_s >= _WARM_UP * last_s]
    if len(counted) < _LEAST_SAMPLES:
        raise Mistaken("There are too few samples to lay a line through: let it soak for longer.")
    for work, unit, told, most in _FIGURES:
        figures = [(each.at_s, told(each)) for each in counted]
        values = [figure for _, figure in figures]
        # A steep line begins or ends where nothing was ever seen, even below nothing.
        begin, end = (min(max(each, min(values)), max(values)) for each in ends_of_line(figures))
        medians, ratios = {OURS: end, BEGINNING: begin}, {of(BEGINNING): end / begin if begin else 1.0}
        remark = f"{min(values):,.1f} to {max(values):,.1f}"
        yield Line(database, work, unit, medians, ratios, (Wanted(of(BEGINNING), most, at_most=True),), remark)


def ends_of_line(samples: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Where the line through samples (of moment and figure) begins and ends: Theil and Sen's, which no outlier moves.

    >>> ends_of_line([(0, 10.0), (1, 11.0), (2, 99.0), (3, 13.0), (4, 14.0)])
    (10.0, 14.0)
    """
    slope = median((late[1] - early[1]) / (late[0] - early[0]) for early, late in combinations(samples, 2) if late[0] > early[0])
    offset = median(figure - slope * moment for moment, figure in samples)
    return offset + slope * samples[0][0], offset + slope * samples[-1][0]


def _opened(process: Path) -> Iterator[Path]:
    """The files that a process has open, those that it closes meanwhile left out."""
    for each in (process / "fd").iterdir():
        if each.is_symlink():
            yield each
