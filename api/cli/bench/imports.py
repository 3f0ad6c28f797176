"""`bench import`: claims of thousands of lines taken in as CSV, verified and assessed, over HTTP."""

from collections.abc import Iterator
from functools import partial
from itertools import count
from secrets import token_hex
from time import perf_counter
from typing import Annotated, Final

import typer

from api import tables
from api.cli.bench import floor
from api.cli.bench.acting import CREATED, PREFIX, let_follow
from api.cli.bench.clients import Caller, expect
from api.cli.bench.grounds import Database, Folder, On, Postgres, Rounds, usually_sqlite
from api.cli.bench.measuring import FLOOR, OURS, Contender, Line, Wanted, compare, take_turns
from api.cli.bench.served import Ready, readied, served
from api.cli.bench.telling import Report, tell
from api.cli.screen import AsJson
from api.cli.serving import run
from domain.claim import MOST_LINES

AWARD: Final = "BENCH-IMPORT"
_CSV: Final = "text/csv"
_LINES_A_SECOND: Final = 5_000


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command("import")(bench_import)


def bench_import(
    *,
    on: On = None,
    postgres: Postgres = None,
    folder: Folder = None,
    rounds: Rounds = 1,
    lines: Annotated[int, typer.Option(min=2, max=1_000_000, help="Lines of each turn; a claim has 5,000 of them.")] = 100_000,
    as_json: AsJson = False,
) -> None:
    """Take in claims of 5,000 lines as CSV, and have each verified and assessed, one after the other.

    A process serves as `lcledger serve` does, and is sent what `lcledger import claims` sends. Every second line is of somebody
    whom nobody has met before, and has a note; the others have evidence. The read models follow meanwhile. The floor takes the
    same requests, finds out who asks, validates what is sent, and answers. On SQLite unless it is said otherwise. Examples:

      lcledger bench import
      lcledger bench import --lines 10000 --rounds 5 --postgres postgresql://postgres@127.0.0.1:5432/postgres
    """
    report = Report("Claims imported as CSV", rounds)
    for database in usually_sqlite(on, postgres):
        with readied(report, database, folder, postgres, [AWARD]) as ready, served(ready.settings) as where:
            report.add([_line(database, Import(where, ready, lines), rounds)])
    tell(report, as_json=as_json)


def _line(database: Database, imported: "Import", rounds: int) -> Line:
    samples = take_turns(rounds, imported.contenders())
    wanted = Wanted(OURS, _LINES_A_SECOND)
    behind = f"read models at most {max(imported.behind[1:]):,} entries behind"
    return compare(str(database), f"{imported.lines:,} lines taken in and assessed", "lines/s", samples, wanted, remark=behind)


class Import:
    """A service that is measured, and claims that are sent to it."""

    def __init__(self, where: tuple[str, int], ready: Ready, lines: int) -> None:
        self.lines = lines
        self.behind: list[int] = []
        """How many entries the read models were behind at the end of each of our turns."""
        self._where = where
        self._ready = ready
        self._numbers = count(1)

    def contenders(self) -> dict[str, Contender]:
        """Those who take turns."""
        return {OURS: partial(self._measured, PREFIX), FLOOR: partial(self._measured, floor.PREFIX)}

    def _measured(self, prefix: str) -> float:
        return run(self._send(prefix))

    async def _send(self, prefix: str) -> float:
        claims = [(f"C{next(self._numbers)}", many) for many in _portions(self.lines)]
        files = {claim: lines_of(claim, many) for claim, many in claims}
        async with Caller.to(self._where) as caller:
            begun = perf_counter()
            for claim, file in files.items():
                path = f"{prefix}/awards/{AWARD}/claims"
                said = f"{path}?claim={claim}&period_first=2025-01-01&period_last=2025-03-31"
                answer = await caller.post(said, self._ready.claimants[AWARD], token_hex(16), file, _CSV)
                expect(CREATED, path, answer)
                path = f"{path}/{claim}/verification"
                answer = await caller.post(path, self._ready.verifiers[AWARD], token_hex(16), b'{"others":"accepted"}')
                expect(CREATED, path, answer)
            rate = self.lines / (perf_counter() - begun)
            behind = await let_follow(caller)
        if prefix == PREFIX:
            self.behind.append(behind)
        return rate


def _portions(lines: int) -> Iterator[int]:
    """The lines of each claim."""
    while lines > 0:
        yield min(lines, MOST_LINES)
        lines -= MOST_LINES


def lines_of(claim: str, many: int) -> bytes:
    """The lines of a claim, as a CSV file has them."""
    return tables.table(tables.COLUMNS, (_row(claim, number) for number in range(many)))


def _row(claim: str, number: int) -> tuple[str, ...]:
    who, day = f"NEXT-{claim}-{number // 2:05}", number % 28 + 1
    if number % 2:
        return "SCHOOL-TERM", who, "1", f"2025-03-{day:02}", f"{number:064x}", f"Attendance register {number}", ""
    return "PLAN", who, "1", f"2025-01-{day:02}", "", "", f"Plan agreed at visit {number}"
