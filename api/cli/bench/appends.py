"""`bench append`: durable appends by many writers at once, beside the library's recorder and the floor."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import count
from secrets import token_bytes
from time import perf_counter
from typing import Annotated, Final, Literal, NamedTuple, Self

import typer
from eventsourcing.persistence import ApplicationRecorder, StoredEvent

from api.cli.bench.grounds import Database, Folder, On, Postgres, Rounds, chosen, grounds
from api.cli.bench.measuring import FLOOR, LIBRARY, OURS, Contender, Line, Samples, Wanted, compare, of, take_turns
from api.cli.bench.telling import Report, tell
from api.cli.screen import AsJson
from api.cli.serving import run
from domain.aggregate import Actor, Aggregate, Decision, Facts, PersonId, Stream
from domain.event import Event
from ledger.entry import draft
from ledger.ledger import Ledger, Request
from ledger.recorder import LogRecorder
from ledger.yardsticks import Floor, Library, LibraryUnfit, Scratch, committed, described

BATCH: Final = 100
DIARY: Final = 100
"""Lines of a diary before the next one is begun: streams are short."""
WRITERS: Final = (1, 4, 16, 64)
_BY: Final = Actor(PersonId("01J2Z4-FUND-ADMINISTRATOR"), "XX-LCL-OPERATOR")
_LINE: Final = "A workshop was visited, a home was kept, a school was finished, and an employer was found who stayed."
"""With it the state of an entry has about 350 bytes, as most entries of a real ledger have."""
_OF_FLOOR: Final = {16: 0.6, 64: 0.6}
_OF_LIBRARY: Final = {
    (Database.SQLITE, 1): 0.9,
    (Database.POSTGRESQL, 1): 0.9,
    (Database.SQLITE, 16): 5.0,
    (Database.POSTGRESQL, 16): 10.0,
}
_BATCH_OF_LIBRARY: Final = {Database.SQLITE: 3.0, Database.POSTGRESQL: 5.0}


_Ours = Callable[[int, int], float]
"""Does our work with so many writers and events each, once; gives how many entries it wrote in a second."""
_Keep = Callable[[str, int, float], Awaitable[int]]
"""Keeps one writer's diary, of a name, so many lines at once, until a time; gives how many lines it wrote."""


class DiaryKept(Event):
    """A line in a diary: as long as most events are, and of no meaning."""

    type: Literal["diary.kept"] = "diary.kept"
    line: str


@dataclass(frozen=True, slots=True)
class Diary(Aggregate):
    """One writer's diary."""

    lines: int

    @classmethod
    def evolve(cls, state: Self | None, event: DiaryKept, by: PersonId) -> Self:  # noqa: ARG003 (neither matters)
        """One line more."""
        return cls((state.lines if state else 0) + 1)


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command("append")(bench_append)


def bench_append(
    *,
    on: On = None,
    postgres: Postgres = None,
    folder: Folder = None,
    rounds: Rounds = 5,
    seconds: Annotated[float, typer.Option(min=0.01, max=60, help="How long each turn lasts.")] = 1.0,
    writers: Annotated[
        list[int] | None, typer.Option(min=1, max=256, help="Writers at once; 1, 4, 16 and 64 unless said.", show_default=False)
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Append durably with many writers at once: single events, batches of 100, and whole commands.

    Ours is our recorder, which checks every version, chains and seals. Its writers are threads, through the library's interface,
    or coroutines of one event loop, as those of a service are. Beside it the library's own recorder is given the same events by
    as many threads, as it knows no others; and the floor writes what ours wrote, as the bytes that they are, in as many commits,
    with nothing looked up, checked, hashed or guarded. The lines of commands measure the whole way of a command within the
    process beside the same: folded, decided, recorded and answered. Examples:

      lcledger bench append --postgres postgresql://postgres@127.0.0.1:5432/postgres
      lcledger bench append --on sqlite --writers 16 --folder /var/lib
    """
    report = Report("Durable appends", rounds)
    for database in chosen(on, postgres):
        with grounds(database, folder, postgres) as made, _arena(made, report, database, seconds) as arena:
            report.add(_measured(arena, each, database, rounds) for each in _work(arena, writers or WRITERS))
    tell(report, as_json=as_json)


class _Work(NamedTuple):
    """What is measured in a line: so many writers of a kind do something of ours, with so many events each time."""

    do: _Ours
    writers: int
    kind: str
    each: str = "1 event"
    batch: int = 1

    @property
    def name(self) -> str:
        """As the table names it."""
        return f"{self.writers} {self.kind}{'s' if self.writers > 1 else ''}, {self.each} each"

    def wanted(self, database: Database) -> Iterator[Wanted]:
        """What it is to reach: where many write, by those who come at the least cost."""
        if self.batch > 1:
            yield Wanted(of(LIBRARY), _BATCH_OF_LIBRARY[database])
        elif self.each == "1 event" and self.kind == ("thread" if self.writers == 1 else "coroutine"):
            if (floor := _OF_FLOOR.get(self.writers)) is not None:
                yield Wanted(of(FLOOR), floor)
            if (library := _OF_LIBRARY.get((database, self.writers))) is not None:
                yield Wanted(of(LIBRARY), library)


def _work(arena: "_Arena", writers: Sequence[int]) -> Iterator[_Work]:
    yield from (_Work(arena.ours, many, "thread") for many in writers)
    yield from (_Work(arena.awaited, many, "coroutine") for many in writers)
    yield _Work(arena.ours, 1, "thread", f"{BATCH} events", BATCH)
    yield from (_Work(arena.commands, many, "coroutine", "1 command") for many in writers)


def _measured(arena: "_Arena", work: _Work, database: Database, rounds: int) -> Line:
    samples = arena.measured(work.do, rounds, work.writers, work.batch)
    return compare(str(database), work.name, "entries/s", samples, *work.wanted(database), remark=arena.entries_a_commit())


def _keep(diary: Stream[Diary], batch: int, facts: Facts) -> Decision:
    facts.get(diary)  # What was read must still be so when it is written: that is the optimistic check.
    return {diary: [DiaryKept(line=_LINE) for _ in range(batch)]}


@contextmanager
def _arena(made: Scratch, report: Report, database: Database, seconds: float) -> Iterator["_Arena"]:
    try:
        library = Library(made.make())
    except LibraryUnfit as unfit:
        library = None
        report.notes.append(str(unfit))
    with (
        Ledger.open(
            made.make_ledger(), vault_key=token_bytes(32), registry={"diary.kept": DiaryKept}, balance_check=lambda _event: None
        ) as ledger,
        closing(Floor(made.make_ledger())) as floor,
        nullcontext() if library is None else closing(library),
    ):
        version, durability = described(ledger.log)
        report.databases.append(version)
        told = report.durability[str(database)] = {OURS: durability, FLOOR: floor.durability()}
        if library is not None:
            told[LIBRARY] = library.durability()
        yield _Arena(ledger, library, floor, seconds)


class _Arena:
    """Our ledger, the library's recorder where there is one, and the floor, each in a database of its own."""

    def __init__(self, ledger: Ledger, library: Library | None, floor: Floor, seconds: float) -> None:
        self._ledger = ledger
        self._recorder = LogRecorder(ledger.log)
        self._library = library
        self._floor = floor
        self._floor_size = 0
        self._seconds = seconds
        self._runs = count(1)
        self._written: Counter[str] = Counter()
        """What the floor wrote again: how many commits of ours there were, and how many entries they had."""

    def measured(self, ours: _Ours, rounds: int, writers: int, batch: int) -> Samples:
        """What takes turns: ours, after it the floor, which writes its commits again, and the library."""
        self._written.clear()
        contenders: dict[str, Contender] = {OURS: partial(ours, writers, batch), FLOOR: self._raw}
        if self._library is not None:
            contenders[LIBRARY] = partial(self._append, self._library.recorder, writers, batch)
        return take_turns(rounds, contenders)

    def entries_a_commit(self) -> str:
        """How many entries of ours one commit had in the mean, since it was last measured."""
        return f"{self._written['entries'] / self._written['commits']:.1f} entries a commit"

    def ours(self, writers: int, batch: int) -> float:
        """Append through our recorder, by threads."""
        return self._append(self._recorder, writers, batch)

    def awaited(self, writers: int, batch: int) -> float:
        """Append through our recorder, by coroutines."""
        return run(self._together(self._append_awaited, writers, batch))

    def commands(self, writers: int, batch: int) -> float:
        """Record whole commands."""
        return run(self._together(self._record, writers, batch))

    def _append(self, recorder: ApplicationRecorder, writers: int, batch: int) -> float:
        def keep(name: str) -> int:
            lines = 0
            while perf_counter() < begun + self._seconds:
                recorder.insert_events(_next(name, lines, batch))
                lines += batch
            return lines

        with ThreadPoolExecutor(writers) as threads:
            begun = perf_counter()
            done = list(threads.map(keep, self._names(writers)))
            return sum(done) / (perf_counter() - begun)

    async def _together(self, keep: _Keep, writers: int, batch: int) -> float:
        begun = perf_counter()
        done = await asyncio.gather(*(keep(name, batch, begun + self._seconds) for name in self._names(writers)))
        return sum(done) / (perf_counter() - begun)

    async def _append_awaited(self, name: str, batch: int, until: float) -> int:
        lines = 0
        while perf_counter() < until:
            await self._recorder.append(_next(name, lines, batch))
            lines += batch
        return lines

    async def _record(self, name: str, batch: int, until: float) -> int:
        lines = 0
        while perf_counter() < until:
            command = partial(_keep, Stream(f"{name}-{lines // DIARY}", Diary), batch)
            lines += len((await self._ledger.record(command, Request(_BY))).entries)
        return lines

    def _raw(self) -> float:
        batches = list(committed(self._ledger.log, self._floor_size))
        begun = perf_counter()
        entries = self._floor.write(batches)
        took = perf_counter() - begun
        self._floor_size += entries
        self._written.update(commits=len(batches), entries=entries)
        return entries / took

    def _names(self, writers: int) -> list[str]:
        run = next(self._runs)
        return [f"award/BENCH-{writer}/diary/{run}" for writer in range(1, writers + 1)]


def _next(name: str, lines: int, batch: int) -> list[StoredEvent]:
    """What a writer who wrote so many lines writes next."""
    diary, line = divmod(lines, DIARY)
    return [_stored(f"{name}-{diary}", number) for number in range(line + 1, line + batch + 1)]


def _stored(diary: str, line: int) -> StoredEvent:
    made = draft(diary, line, DiaryKept(line=_LINE), _BY.person)
    return StoredEvent(made.stream, made.version, made.type, made.state)
