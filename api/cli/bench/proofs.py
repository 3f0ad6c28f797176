"""`bench proofs`: how fast a log is verified, and proofs and an audit pack of it are made, in a log of any length."""

import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from io import BytesIO
from pathlib import Path
from random import Random
from secrets import token_bytes
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Final

import typer

from api import audit, packing
from api.cli.bench import histories
from api.cli.bench.grounds import Database, Folder, On, Postgres, Rounds, chosen, grounds
from api.cli.bench.loads import AWARD
from api.cli.bench.measuring import FLOOR, OURS, Contender, Line, Samples, Wanted, compare, percentile, take_turns
from api.cli.bench.telling import Report, tell
from api.cli.demo.play import Calendar
from api.cli.screen import AsJson
from ledger.checkpoints import Checkpoints, Signed
from ledger.inspection import Findings, inspect_entries, inspect_hashes
from ledger.ledger import Ledger
from ledger.log import Log
from ledger.notes import SEED_BYTES, Signer
from ledger.yardsticks import Scratch, described, hashed

_PROOFS: Final = 200
"""Proofs of a turn, each of another entry or size."""
_PARTS: Final = 100
"""Stretches of the log in each of which the award has some entries."""
_SEED: Final = 6962
_HASHES_A_SECOND, _ENTRIES_A_SECOND = 200_000, 60_000
_PROOF_MS, _PACK_S = 1.0, 10.0
_MS: Final = 1_000
_P99: Final = 99
_PATIENCE_S: Final = 600

Question = Callable[[], object]


class NotVerified(RuntimeError):
    """What is measured does not hold."""


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command("proofs")(bench_proofs)


def bench_proofs(
    *,
    on: On = None,
    postgres: Postgres = None,
    folder: Folder = None,
    rounds: Rounds = 3,
    entries: Annotated[int, typer.Option(min=1_000, max=10_000_000, help="Entries of the log.")] = 1_000_000,
    of_award: Annotated[int, typer.Option(min=100, max=100_000, help="Entries of the award that is packed.")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Verify a log, prove entries and checkpoints of it, and make and check the audit pack of one of its awards.

    Verifying is what `lcledger verify --hashes` does, and what it does of entries without it; the floor reads the same bytes in
    as many batches and hashes them. Proofs are of 200 entries, and from 200 earlier sizes, all over the log, each of which is
    checked before it is given; the floor of one looks up its leaf. The floor of a pack reads the award's entries and compresses
    them, and that of checking it starts a Python that unpacks and hashes it. Examples:

      lcledger bench proofs --postgres postgresql://postgres@127.0.0.1:5432/postgres
      lcledger bench proofs --on sqlite --entries 100000 --folder /var/lib
    """
    report = Report("Verifying and proving", rounds)
    for database in chosen(on, postgres):
        with (
            grounds(database, folder, postgres) as made,
            _arena(made, report, database, max(entries, of_award), of_award) as arena,
        ):
            report.add(_lines(arena, str(database), rounds))
    tell(report, as_json=as_json)


def _lines(arena: "_Arena", database: str, rounds: int) -> Iterator[Line]:
    for work, inspect, least in (
        ("hashes and heads", inspect_hashes, _HASHES_A_SECOND),
        ("entries with columns and headers", inspect_entries, _ENTRIES_A_SECOND),
    ):
        contenders: dict[str, Contender] = {OURS: partial(arena.verified, inspect), FLOOR: arena.hashed}
        samples = take_turns(rounds, contenders, warm_up=False)
        yield compare(database, f"{work}, of {arena.size:,}", "entries/s", samples, Wanted(OURS, least))
    for work, prove in (("inclusion", arena.inclusions), ("consistency", arena.consistencies)):
        proofs = {OURS: prove, FLOOR: arena.leaves}
        arena.took_ms.clear()
        take_turns(rounds, {name: partial(arena.timed, name, made) for name, made in proofs.items()}, warm_up=False)
        yield _of_one(arena, database, f"one {work} proof, half within", 50)
        yield _of_one(arena, database, f"one {work} proof, 99 of 100 within", _P99)
    packed = take_turns(rounds, {OURS: arena.packed, FLOOR: arena.compressed}, warm_up=False)
    size = f"{arena.of_award:,} entries"
    yield _slow(database, f"an audit pack of {size}, made", packed, _PACK_S)
    with arena.checks() as checks:
        yield _slow(database, f"an audit pack of {size}, checked by verify.py", take_turns(rounds, checks, warm_up=False))


def _of_one(arena: "_Arena", database: str, work: str, percent: int) -> Line:
    figures = {name: percentile(each, percent) for name, each in arena.took_ms.items()}
    return Line(database, f"{work}, of {arena.size:,}", "ms", figures, wanted=(Wanted(OURS, _PROOF_MS, at_most=True),))


def _slow(database: str, work: str, samples: Samples, most: float | None = None) -> Line:
    wanted = () if most is None else (Wanted(OURS, most, at_most=True),)
    return Line(database, work, "s", {name: median(each) for name, each in samples.items()}, wanted=wanted)


@contextmanager
def _arena(made: Scratch, report: Report, database: Database, entries: int, of_award: int) -> Iterator["_Arena"]:
    calendar, signer = Calendar(histories.STARTS), Signer(token_bytes(SEED_BYTES))
    others = histories.decided(made.make_ledger()).of_awards()
    with Ledger.open(made.make_ledger(), vault_key=token_bytes(32), clock=calendar) as ledger:
        version, durability = described(ledger.log)
        report.databases.append(version)
        report.durability[str(database)] = {OURS: durability}
        story = histories.Story(ledger, calendar)
        story.begin()
        story.register(AWARD)
        claimed = 0
        for part in range(1, _PARTS + 1):  # As in every log, its entries stand among others'.
            claimed += story.claim_often(AWARD, of_award * part // _PARTS - claimed)
            histories.fill(ledger, others, entries * part // _PARTS)
        calendar.let_go()
        checkpoints = Checkpoints(ledger)
        yield _Arena(ledger, checkpoints, checkpoints.sign(signer), signer)


@dataclass(slots=True)
class _Arena:
    """A log with a checkpoint of all of it, of which something is proved."""

    ledger: Ledger
    checkpoints: Checkpoints
    signed: Signed
    signer: Signer
    took_ms: dict[str, list[float]] = field(default_factory=dict)
    """What each proof took, by whose it was."""
    _random: Random = field(default_factory=lambda: Random(_SEED))  # noqa: S311 (where is proved is no secret)

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self.signed.size

    @property
    def of_award(self) -> int:
        """How many of them are of the award that is packed."""
        tip = self.ledger.log.reads.tip_at(AWARD, self.size)
        return 0 if tip is None else tip[1]

    # Verifying

    def verified(self, inspect: Callable[[Log, Callable[[int, int], None]], Findings]) -> float:
        """Entries a second that are looked over; nothing may be found."""
        begun = perf_counter()
        found = inspect(self.ledger.log, lambda _done, _size: None)
        took = perf_counter() - begun
        if found.faults:
            raise NotVerified(f"{NotVerified.__doc__} {found.faults[0]}")
        return found.counts["entries"] / took

    def hashed(self) -> float:
        """Entries a second that are read and hashed as they are."""
        begun = perf_counter()
        return hashed(self.ledger.log) / (perf_counter() - begun)

    # Proving

    def timed(self, name: str, questions: Callable[[], list[Question]]) -> float:
        """Milliseconds that an answer took in the median, with nothing remembered at first; what each took is kept."""
        asked, took = questions(), []
        self.checkpoints.tree.forget()
        for ask in asked:
            begun = perf_counter()
            ask()
            took.append((perf_counter() - begun) * _MS)
        self.took_ms.setdefault(name, []).extend(took)
        return median(took)

    def inclusions(self) -> list[Question]:
        """Prove entries."""
        prove = self.checkpoints.tree.inclusion
        return [partial(prove, size - 1, self.size, self.signed.root) for size in self._sizes()]

    def consistencies(self) -> list[Question]:
        """Prove that the log goes on from earlier sizes, of which the roots are known, as they are from checkpoints."""
        tree = self.checkpoints.tree
        return [partial(tree.consistency, size, self.size, tree.root(size), self.signed.root) for size in self._sizes()]

    def leaves(self) -> list[Question]:
        """Look leaves up."""
        return [partial(self.checkpoints.tree.leaf, size - 1) for size in self._sizes()]

    def _sizes(self) -> list[int]:
        return [self._random.randint(1, self.size) for _ in range(_PROOFS)]

    # Packing

    def packed(self) -> float:
        """Seconds that a pack takes."""
        self.checkpoints.tree.forget()
        begun = perf_counter()
        self._pack()
        return perf_counter() - begun

    def _pack(self) -> bytes:
        return packing.pack(self.ledger, self.checkpoints, AWARD, self.signed, self.signer) or b""

    def compressed(self) -> float:
        """Seconds that it takes to read the award's entries, and to compress them."""
        begun = perf_counter()
        rows = self.ledger.log.reads.rows(limit=self.of_award, award=AWARD)
        with zipfile.ZipFile(BytesIO(), "w") as packed:
            packed.writestr("entries", b"".join(row.header + row.state for row in rows), zipfile.ZIP_DEFLATED, packing.LEVEL)
        return perf_counter() - begun

    @contextmanager
    def checks(self) -> Iterator[dict[str, Contender]]:
        """Those who check a pack, each in a Python of its own."""
        with TemporaryDirectory(prefix="lcledger-bench-") as folder:
            pack = Path(folder, "pack.zip")
            pack.write_bytes(self._pack())
            verify = Path(audit.__file__).with_name("verify.py")
            yield {OURS: partial(_ran, str(verify), str(pack)), FLOOR: partial(_ran, "-c", _HASHED, str(pack))}


_HASHED: Final = """
import hashlib, sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as pack:
    print("PASS", [hashlib.sha256(pack.read(name)).hexdigest() for name in pack.namelist()])
"""


def _ran(*arguments: str) -> float:
    """Seconds that a Python takes, which must say PASS."""
    begun = perf_counter()
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False, timeout=_PATIENCE_S)  # noqa: S603 (ours)
    took = perf_counter() - begun
    if not done.stdout.startswith("PASS"):
        raise NotVerified(f"{NotVerified.__doc__} {done.stdout or done.stderr}")
    return took
