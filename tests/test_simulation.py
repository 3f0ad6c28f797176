"""Whatever the order of things, and whatever fails or dies: the log keeps its word. A seed decides the order and repeats it.

    pytest tests/test_simulation.py --simulations 500            # more seeds than everybody has the time for
    pytest tests/test_simulation.py --simulation-seed 4711       # the one that failed

Processes on one SQLite file count tallies: each command counts one or two of them, and says what it saw of another. What is true
at every step is read by a spectator, who has a connection of its own and knows nothing of the ledger but its tables.
"""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from itertools import count as count_from
from pathlib import Path
from typing import Any, ClassVar, Final, Literal

import orjson
import pytest

from domain.aggregate import Actor, Aggregate, Decision, Facts, PersonId, Stream
from domain.event import Event
from domain.refusal import Absent, Refused
from ledger import store
from ledger.failures import Unavailable
from ledger.ledger import Ledger, Recorded, Request
from projections.following import Follower
from projections.models import Tables
from projections.projection import Happened, Projection, Row, moved, traced
from projections.rebuilding import rebuild
from projections.replay import Source, check
from tests.ledger.test_merkle import by_the_book
from tests.simulation import Process, Scheduler, gate, simulated

VAULT_KEY: Final = b"a key of thirty-two bytes or more"
CLERK: Final = Actor(PersonId("01J2Z4-CLERK"), "GB-LAE-KIR")
TALLIES: Final = ("DOORS", "WINDOWS", "CHAIRS")
MOST: Final = 36
"""A tally that has come so far is full."""
COMMANDS: Final = 10
"""How many each client has answered before it is content."""
PROCESSES: Final = 3
CLIENTS: Final = 3
MOST_STEPS: Final = 200_000
FAR: Final = 7
"""A follower that is so many entries behind comes up in several steps."""


# What is counted ------------------------------------------------------------------------------------------------------


class TallyCounted(Event):
    """`by` is another one for each command; `other` is how far another tally had come."""

    type: Literal["tally.counted"] = "tally.counted"
    number: int
    by: int
    of: str
    other: int


class TallyIsFull(Refused):
    """The tally has come as far as it may."""


@dataclass(frozen=True)
class Tally(Aggregate):
    number: int

    missing: ClassVar[type[Refused]] = Absent

    @classmethod
    def evolve(cls, state: "Tally | None", event: Any, by: PersonId) -> "Tally":
        return cls(event.number)


class OtherIsUneven(Refused):
    """The other tally has come to a number that is not liked just now."""


def uneven(number: int) -> bool:
    return number % 4 == 3


def tally(name: str) -> Stream[Tally]:
    return Stream(f"award/{name}/tally/{name}", Tally)


@dataclass(frozen=True, slots=True)
class Asked:
    """A command: to count each of some tallies by one, seeing another; some are refused while that one is uneven."""

    by: int
    names: tuple[str, ...]
    of: str
    picky: bool

    @property
    def key(self) -> str:
        return f"command-{self.by}"


def count(asked: Asked, facts: Facts) -> Decision:
    seen = _number(facts, asked.of)
    if asked.picky and uneven(seen):
        raise OtherIsUneven
    decided = {}
    for name in asked.names:
        number = _number(facts, name) + 1
        if number > MOST:
            raise TallyIsFull
        decided[tally(name)] = (TallyCounted(number=number, by=asked.by, of=asked.of, other=seen),)
    return decided


def _number(facts: Facts, name: str) -> int:
    state = facts.get(tally(name))
    return state.number if state else 0


def nothing_to_balance(event: Event) -> None:
    pass


@dataclass(frozen=True, kw_only=True)
class TallyRow(Row):
    number: int
    sum: int
    """Of what the tally was counted by: it tells twice from once."""


class TalliesProjection(Projection[TallyRow]):
    name: ClassVar[str] = "tallies"
    version: ClassVar[int] = 1
    row = TallyRow
    folds = frozenset({"tally.counted"})

    def become(self, before: TallyRow | None, happened: Happened) -> TallyRow:
        event = happened.event
        if before is None:
            return TallyRow(**traced(happened), number=event.number, sum=event.by)
        return moved(before, happened, number=event.number, sum=before.sum + event.by)


# Who acts -------------------------------------------------------------------------------------------------------------


class Ledgers:
    """One process after another on the same files."""

    def __init__(self, scheduler: Scheduler, folder: Path) -> None:
        self.scheduler = scheduler
        self.url = f"sqlite:///{folder / 'ledger.db'}"
        self._opened = 0

    def open(self, name: str) -> tuple[Process, Ledger, Follower]:
        """A new process, with nothing in its head but what is in the files."""
        process = Process(name)
        with self.scheduler.opening(process):
            ledger = Ledger.open(
                self.url,
                vault_key=VAULT_KEY,
                clock=self.scheduler.clock,
                registry={"tally.counted": TallyCounted},
                balance_check=nothing_to_balance,
            )
            tables = Tables(store.engine(self.url, "views"), (TalliesProjection(),))
            if not self._opened:
                tables.prepare()  # Once: it waits for a lock on a file, which no gate knows of.
            self._opened += 1
            follower = Follower(tables, ledger)
            follower.look()
        return process, ledger, follower


@dataclass
class Client:
    """Somebody who asks until there is an answer, by the same key, of whatever process there is."""

    number: int
    scheduler: Scheduler
    spectator: "Spectator"
    answered: int = 0
    asked: Asked | None = None
    since: int = 0
    """How far the log had come when it was asked first."""
    before: list[Asked] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count_from(1))

    @property
    def content(self) -> bool:
        return self.answered >= COMMANDS

    def work(self, ledger: Ledger) -> None:
        while not self.content:
            again = bool(self.before) and self.asked is None and self.scheduler.random.random() < 0.2
            if again:
                self._ask(ledger, self.scheduler.random.choice(self.before))
                continue
            if self.asked is None:
                self.asked, self.since = self._new(), self.spectator.look()
            if self._ask(ledger, self.asked):
                self.asked = None

    def _ask(self, ledger: Ledger, asked: Asked) -> bool:
        """Ask once; whether that is answered."""
        request = Request(CLERK, key=asked.key, fingerprint=str(asked.by))
        try:
            recorded = ledger.record_now(partial(count, asked), request)
        except Unavailable:
            gate("was told to try again")
            return False
        except OtherIsUneven:
            self.spectator.refused(asked, self.since)
        except TallyIsFull:
            self.spectator.refused_as_full(asked)
            self.answered += 1
        else:
            self.spectator.acknowledged(asked, recorded)
            if asked is self.asked:
                self.answered += 1
                self.before.append(asked)
        return True

    def _new(self) -> Asked:
        choose = self.scheduler.random
        names = tuple(choose.sample(TALLIES, choose.choice((1, 1, 2))))
        return Asked(1_000 * self.number + next(self._numbers), names, choose.choice(TALLIES), choose.random() < 0.3)


def follow(follower: Follower, scheduler: Scheduler, spectator: "Spectator", content: Callable[[], bool]) -> None:
    while not content():
        if scheduler.random.random() < 0.15:  # It has something else to do for a while, and is far behind then.
            until = spectator.size + 3 * FAR
            gate("lets entries gather", lambda until=until: content() or spectator.size >= until)  # type: ignore[misc]
        try:
            follower.step(limit=FAR)
        except Unavailable:
            gate("follows again in a moment")
        gate("follows")


# Who watches ----------------------------------------------------------------------------------------------------------


class Spectator:
    """Reads the tables at every step, and works everything out by itself."""

    def __init__(self, folder: Path, happened: dict[str, int]) -> None:
        self._happened = happened
        self._log = sqlite3.connect(folder / "ledger.db", isolation_level=None, check_same_thread=False)
        self._views = sqlite3.connect(folder / "ledger-views.db", isolation_level=None, check_same_thread=False)
        self._leaves: list[bytes] = []
        self._tips: dict[str, tuple[int, str]] = {}
        self._numbers: Counter[str] = Counter()
        self._counted: list[tuple[str, int]] = []
        self._commands: dict[int, list[int]] = {}
        self._moment = ""
        self._acknowledged: dict[str, tuple[int, int]] = {}
        self._followed = -1

    @property
    def size(self) -> int:
        """How far the log had come at the last look."""
        return len(self._leaves)

    def close(self) -> None:
        self._log.close()
        self._views.close()

    def acknowledged(self, asked: Asked, recorded: Recorded) -> None:
        """Somebody was answered: it is there, once, and the answer is the same whenever it is given."""
        self.look()
        assert self._commands.get(asked.by) == list(range(recorded.first, recorded.last + 1)), f"{asked} was acknowledged"
        assert {tally(name).name for name in asked.names} == {entry.stream for entry in recorded.entries}
        assert [entry.position for entry in recorded.entries] == self._commands[asked.by]
        assert self._acknowledged.setdefault(asked.key, (recorded.first, recorded.last)) == (recorded.first, recorded.last)
        kept = self._log.execute("SELECT first, last FROM receipts WHERE key = ?", (asked.key,)).fetchall()
        assert kept == [(recorded.first, recorded.last)]

    def refused(self, asked: Asked, since: int) -> None:
        """Somebody was refused: because of something that was so at some time since it was asked, and nothing of it is there."""
        size = self.look()
        before = sum(award == asked.of for award, _ in self._counted[:since])
        seen = {before + sum(award == asked.of for award, _ in self._counted[since:upto]) for upto in range(since, size + 1)}
        assert any(map(uneven, seen)), f"{asked} was refused on what never was"
        self._expect_nothing_of(asked)

    def refused_as_full(self, asked: Asked) -> None:
        """Somebody was refused because a tally is full, which it is then for ever."""
        self.look()
        assert any(self._numbers[name] == MOST for name in asked.names), f"{asked} was refused on what never was"
        self._expect_nothing_of(asked)

    def _expect_nothing_of(self, asked: Asked) -> None:
        assert self._log.execute("SELECT count(*) FROM receipts WHERE key = ?", (asked.key,)).fetchone() == (0,)

    def look(self) -> int:
        """See what was committed since the last look; how far the log has come."""
        rows = self._log.execute(
            "SELECT position, stream, version, header, state, leaf FROM entries WHERE position > ? ORDER BY position",
            (len(self._leaves),),
        ).fetchall()
        for row in rows:
            self._see(row)
        if rows:
            self._see_heads(rows[0][0])
        self._see_views()
        return len(self._leaves)

    def _see(self, row: tuple[int, str, int, bytes, bytes, bytes]) -> None:
        position, stream, version, header, state, leaf = row
        said = orjson.loads(state)
        event, award = said["event"], stream.split("/")[1]
        assert position == len(self._leaves) + 1
        assert leaf == sha256(b"\0" + header + state).digest()
        sequence, tip = self._tips.get(award, (0, "0" * 64))
        _, at, moment, of, number, previous = header.decode().split()
        assert (int(at), of, int(number), previous) == (position, award, sequence + 1, tip)
        assert moment >= self._moment
        assert (said["stream"], said["version"]) == (stream, version)
        assert event["number"] == version == self._numbers[award] + 1, "a decision was made on what was no longer so"
        others = self._numbers[event["of"]] - (event["by"] in self._commands and event["of"] in self._within(event["by"]))
        assert event["other"] == others, "what was seen had moved"
        self._leaves.append(leaf)
        self._tips[award] = sequence + 1, leaf.hex()
        self._moment = moment
        self._numbers[award] += 1
        self._counted.append((award, event["by"]))
        self._commands.setdefault(event["by"], []).append(position)
        assert len(self._commands[event["by"]]) <= 2

    def _within(self, by: int) -> set[str]:
        """The tallies that a command counted, as far as it has been seen."""
        return {self._counted[position - 1][0] for position in self._commands[by]}

    def _see_heads(self, first: int) -> None:
        heads = self._log.execute("SELECT size, root FROM heads WHERE size >= ? ORDER BY size", (first,)).fetchall()
        assert heads[-1][0] == len(self._leaves), "the last head is that of the last entry"
        for size, root in heads:
            assert root == by_the_book(self._leaves[:size])
        spent = self._log.execute("SELECT first, last FROM receipts WHERE last >= ?", (first,)).fetchall()
        assert sorted(position for begin, end in spent for position in range(begin, end + 1)) == list(
            range(first, len(self._leaves) + 1)
        ), "every entry has its receipt, once, and no command is there by halves"

    def _see_views(self) -> None:
        with closing(self._views.cursor()) as cursor:
            cursor.execute("BEGIN")
            ((position, failed),) = cursor.execute("SELECT position, failed FROM models").fetchall()
            rows = cursor.execute("SELECT stream, number, sum FROM tallies_v1").fetchall() if position != self._followed else None
            cursor.execute("COMMIT")
        assert failed is None, failed
        assert position <= len(self._leaves), "the read models are ahead of the log"
        if position + FAR < len(self._leaves) and position != self._followed:
            self._happened["follower behind"] += 1
        if rows is not None:
            self._followed = position
            sums: dict[str, tuple[int, int]] = {}
            for award, by in self._counted[:position]:
                number, total = sums.get(award, (0, 0))
                sums[award] = number + 1, total + by
            assert {stream.split("/")[1]: (number, total) for stream, number, total in rows} == sums


# The simulation -------------------------------------------------------------------------------------------------------


@dataclass
class Outcome:
    trace: list[str]
    happened: dict[str, int]
    entries: int


def simulate(seed: int, folder: Path) -> Outcome:
    """Play a seed to its end; raises what is wrong, with the last steps before it."""
    folder.mkdir()
    scheduler = Scheduler(seed, fails=0.01, crashes=0.001)
    trace: list[str] = []
    with simulated(scheduler):
        try:
            entries = _play(scheduler, folder, trace)
        except BaseException as wrong:
            wrong.add_note(f"Seed {seed}, step {scheduler.steps}: pytest tests/test_simulation.py --simulation-seed {seed}")
            wrong.add_note("\n".join(scheduler.trace))
            raise
    return Outcome(trace, scheduler.happened, entries)


def _play(scheduler: Scheduler, folder: Path, trace: list[str]) -> int:
    ledgers = Ledgers(scheduler, folder)
    running = [ledgers.open(f"process {number}") for number in range(PROCESSES)]
    spectator = Spectator(folder, scheduler.happened)
    clients = [Client(number, scheduler, spectator) for number in range(PROCESSES * CLIENTS)]

    def content() -> bool:
        return all(client.content for client in clients)

    def begin(process: Process, ledger: Ledger, follower: Follower) -> None:
        mine = int(process.name.split()[1])
        for client in clients[mine::PROCESSES]:
            scheduler.start(process, f"client {client.number}", partial(client.work, ledger))
        scheduler.start(process, "follower", partial(follow, follower, scheduler, spectator, content))

    for each in running:
        begin(*each)
    while scheduler.threads:
        died = scheduler.step()
        trace.append(scheduler.trace[-1] if scheduler.trace else "")
        spectator.look()
        if died is not None:
            again = ledgers.open(died.name)
            running = [again if each[0] is died else each for each in running]
            begin(*again)
        assert scheduler.steps < MOST_STEPS, "it comes to no end"
    entries = _expect_the_same_from_nothing(ledgers, spectator)
    for process, *_ in running:
        scheduler.end(process)
    spectator.close()
    return entries


def _expect_the_same_from_nothing(ledgers: Ledgers, spectator: Spectator) -> int:
    """A new process finds everything, follows to the end, and what it makes anew is what was followed."""
    process, ledger, follower = ledgers.open("process 9")
    with ledger:
        while follower.step(limit=100):
            pass
        spectator.look()
        tables = follower._tables
        size = ledger.head().size
        followed = check(tables, Source(ledger.log.reads, ledger.registry), lambda _done, _size: None)
        assert [(each.position, each.differences) for each in followed] == [(size, ())]
        assert rebuild(tables, ledger, lambda _done, _size: None) == size
        rebuilt = check(tables, Source(ledger.log.reads, ledger.registry), lambda _done, _size: None)
        assert [each.digest for each in rebuilt] == [each.digest for each in followed]
        spectator.look()
        tables.engine.dispose()
    ledgers.scheduler.end(process)
    return size


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        asked = metafunc.config.getoption("--simulation-seed")
        many = metafunc.config.getoption("--simulations")
        metafunc.parametrize("seed", range(many) if asked is None else [asked])


class TestSimulation:
    def test_the_log_keeps_its_word(self, seed: int, tmp_path: Path) -> None:
        outcome = simulate(seed, tmp_path / "world")
        assert outcome.entries > MOST

    def test_goes_the_same_way_again(self, tmp_path: Path) -> None:
        first, second = (simulate(7, tmp_path / name) for name in ("first", "second"))
        assert first == second

    def test_has_everything_in_it(self, tmp_path: Path) -> None:
        happened: Counter[str] = Counter()
        for seed in (1, 2, 3):
            happened.update(simulate(seed, tmp_path / str(seed)).happened)
        assert min(happened.values()) >= 3, happened
