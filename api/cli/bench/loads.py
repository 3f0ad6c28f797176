"""`bench load`: how long it takes to read a stream, and an award as it was, in logs of any length."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import cycle
from secrets import token_bytes
from statistics import median
from time import perf_counter
from typing import Annotated, Any, Final

import typer

from api.cli.bench import histories
from api.cli.bench.grounds import Database, Folder, On, Postgres, Rounds, chosen, grounds
from api.cli.bench.measuring import OURS, Line, Wanted, take_turns
from api.cli.bench.telling import Report, tell
from api.cli.demo.play import Calendar
from api.cli.screen import AsJson
from domain.award import award_stream
from ledger import facts
from ledger.entry import Draft
from ledger.ledger import Ledger
from ledger.states import States
from ledger.yardsticks import Scratch, described
from projections.accruals import accrual, fund_accrual
from projections.statements import statement
from projections.views import Views

AWARD: Final = "BENCH-OF-MANY"
"""The award that has many entries; the others have one history each."""
STREAM: Final = 1_000
"""Entries of the stream that is folded: the first ones of the award's own."""
_COLD_MS, _REMEMBERED_MS, _BALANCES_MS, _READ_MS = 25.0, 1.0, 50.0, 300.0
_MS: Final = 1_000
_MOMENTS: Final = 7
"""Positions as of which is read, in turn: all over the award's history, and the last one."""
_PAGE: Final = 100
"""Rows of a list, as the service gives them unless it is asked for more."""


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command("load")(bench_load)


def bench_load(
    *,
    on: On = None,
    postgres: Postgres = None,
    folder: Folder = None,
    rounds: Rounds = 15,
    entries: Annotated[int, typer.Option(min=1_000, max=100_000_000, help="Entries of the longest log.")] = 1_000_000,
    of_award: Annotated[int, typer.Option(min=100, max=1_000_000, help="Entries of the award that is read.")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Read a stream of 1,000 entries, and an award of 10,000 as it was, in logs of ever more entries of other awards.

    The award has as many claims of one line as make up its entries, decided by the rules; a stream is folded cold, from the
    database, and again as it is remembered. Everything else is read as of positions all over the award's history, and as of the
    last one. What is read is the same however long the log is, so that the figures of one read should be, too; but for the
    fund's accrual, which grows with the fund. Examples:

      lcledger bench load --postgres postgresql://postgres@127.0.0.1:5432/postgres
      lcledger bench load --on sqlite --entries 100000 --folder /var/lib
    """
    report = Report("Reading", rounds)
    for database in chosen(on, postgres):
        with grounds(database, folder, postgres) as made, _arena(made, report, database, of_award) as arena:
            for size in histories.sizes(max(entries, arena.size), at_least=arena.size):
                arena.grow(size)
                report.add(_lines(arena, database, rounds))
    tell(report, as_json=as_json)


def _lines(arena: "_Arena", database: Database, rounds: int) -> Iterator[Line]:
    reads = arena.reads()
    samples = take_turns(rounds, {name: each.work for name, each in reads.items()})
    for name, each in reads.items():
        wanted = () if each.most_ms is None else (Wanted(OURS, each.most_ms, at_most=True),)
        work = f"{name}, {arena.size:,} entries"
        yield Line(str(database), work, "ms", {OURS: median(samples[name])}, wanted=wanted)


@dataclass(frozen=True, slots=True)
class _Read:
    """A question, and how long its answer may take."""

    ask: Callable[[], object]
    most_ms: float | None = _READ_MS

    def work(self) -> float:
        """Ask, and give the milliseconds that it took."""
        begun = perf_counter()
        self.ask()
        return (perf_counter() - begun) * _MS


@contextmanager
def _arena(made: Scratch, report: Report, database: Database, of_award: int) -> Iterator["_Arena"]:
    url, calendar = made.make_ledger(), Calendar(histories.STARTS)
    others = histories.decided(made.make_ledger()).of_awards()
    with Ledger.open(url, vault_key=token_bytes(32), clock=calendar) as ledger, Views.open(url, ledger) as views:
        version, durability = described(ledger.log)
        report.databases.append(version)
        report.durability[str(database)] = {OURS: durability}
        arena = _Arena(ledger, views, others)
        arena.play(histories.Story(ledger, calendar), of_award)
        calendar.let_go()
        yield arena


@dataclass(slots=True)
class _Arena:
    """An award of many entries, in a log that grows by others."""

    ledger: Ledger
    views: Views
    others: Iterator[Draft]
    moments: list[int] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self.ledger.head().size

    def play(self, story: histories.Story, entries: int) -> None:
        """Claim, line by line, until the award has so many entries."""
        story.begin()
        story.register(AWARD)
        begun = self.size
        story.claim_often(AWARD, entries)
        self.moments = [begun + (self.size - begun) * each // _MOMENTS for each in range(1, _MOMENTS + 1)]

    def grow(self, size: int) -> None:
        """Let the log have so many entries, and the read models come to the last one."""
        histories.fill(self.ledger, self.others, size)
        self.views.catch_up()

    def reads(self) -> dict[str, _Read]:
        """What is read."""
        views, ledger = self.views, self.ledger
        moments = cycle([*self.moments, self.size])

        def then(ask: Callable[..., Any], *given: Any) -> Callable[[], object]:
            return lambda: ask(*given, as_of=next(moments))

        sheet = views.balances
        ledger.load(award_stream(AWARD))
        return {
            f"a stream of {STREAM:,} entries, cold": _Read(self._cold(), _COLD_MS),
            "a stream, remembered": _Read(partial(ledger.load, award_stream(AWARD)), _REMEMBERED_MS),
            "balances": _Read(then(sheet.of, AWARD), _BALANCES_MS),
            "accrual": _Read(then(lambda as_of: accrual(sheet.known(AWARD, as_of)))),
            "statement": _Read(then(lambda as_of: statement(AWARD, sheet.monthly([AWARD], as_of), as_of, sheet.day_of(as_of)))),
            "the award": _Read(then(ledger.load, award_stream(AWARD))),
            "claims": _Read(then(views.claims.page, AWARD)),
            "payments": _Read(then(views.payments.page, AWARD)),
            "trail": _Read(then(lambda as_of: views.trail.page(AWARD, upto=as_of))),
            "replay": _Read(then(lambda as_of: views.histories.replay(AWARD, as_of - _PAGE, as_of, _PAGE))),
            "difference": _Read(then(self._difference)),
            "awards": _Read(then(views.awards.page)),
            "accrual of the fund, of every posting that there is": _Read(partial(self._accrual_of_the_fund, self.size), None),
        }

    def _cold(self) -> Callable[[], object]:
        """Fold the first entries of the award's own stream, as a process that has only begun does."""
        stream = award_stream(AWARD)
        rows = self.ledger.log.reads.rows(0, STREAM, stream=stream.name)
        return lambda: facts.Folder(self.ledger.log.reads, self.ledger.registry, States()).fold(stream, None, rows[-1].position)

    def _difference(self, as_of: int) -> object:
        """Between the award's beginning and a moment, with its first causes."""
        histories = self.views.histories
        return histories.changes(AWARD, 0, as_of), histories.causes(AWARD, 0, as_of, _PAGE)

    def _accrual_of_the_fund(self, as_of: int) -> object:
        sheet = self.views.balances
        names = [row.award for row in self.views.awards.page(limit=1_000, as_of=as_of).rows]
        return fund_accrual(sheet.all_known(names, as_of), as_of, sheet.day_of(as_of))
