"""`bench webhooks`: how many webhooks are sent in a second, and how soon after its commit a notice is where it is wanted."""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from secrets import token_bytes
from statistics import median
from time import monotonic, sleep
from typing import Annotated, Final

import typer

from api.cli.bench.grounds import Database, Folder, On, Postgres, grounds, usually_sqlite
from api.cli.bench.histories import STARTS, Story
from api.cli.bench.measuring import OURS, Line, Wanted, percentile
from api.cli.bench.telling import Report, tell
from api.cli.demo.play import Calendar
from api.cli.screen import AsJson
from api.delivering import Delivering, manner
from api.settings import Settings
from api.webhook_signatures import PrivateKey
from api.webhook_signatures import Secret as SharedSecret
from domain import webhook
from domain.aggregate import Actor, Decision, Facts, PersonId
from domain.award import AwardPaused, AwardResumed, Status, award_stream
from domain.webhook import Addresses, Keeper, Registration, Secret, webhook_stream
from ledger.checkpoints import Checkpoints
from ledger.ledger import Ledger, Request
from ledger.yardsticks import described
from projections.deliveries import Deliveries, State
from projections.notices import TOLD
from projections.views import Views

_INVESTOR: Final = "GB-COH-09843818"
_BY: Final = Actor(PersonId("01J2Z4-INVESTOR"), _INVESTOR)
_A_SECOND: Final = 300
_P50_MS: Final = 50
_P99_MS: Final = 250
_MS: Final = 1_000
_GIVEN_UP_S: Final = 120
_LOOK_S: Final = 0.2
"""How often it is looked whether all is sent: looking takes of the core that sends."""
_ANSWER: Final = b"HTTP/1.1 204 Taken\r\n\r\n"
_POSITION: Final = re.compile(rb'"position":(\d+)')


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command("webhooks")(bench_webhooks)


def bench_webhooks(
    *,
    on: On = None,
    postgres: Postgres = None,
    folder: Folder = None,
    endpoints: Annotated[int, typer.Option(min=1, max=200, help="Webhooks, each with as many awards of its own.")] = 20,
    awards: Annotated[int, typer.Option(min=1, max=2_000, help="Awards, shared out among the webhooks.")] = 200,
    notices: Annotated[int, typer.Option(min=10, max=100_000, help="Notices that wait to be sent.")] = 6_000,
    rate: Annotated[float, typer.Option(min=1, max=500, help="Commits a second, for the time to the receiver.")] = 50.0,
    seconds: Annotated[float, typer.Option(min=1, max=600, help="For how long.")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Send webhooks to a receiver in another process on this machine, each signed twice, each outcome on disk.

    First what waits is sent as fast as it goes; then there is a commit with one notice in a steady rhythm, and it is measured how
    long after the commit the notice is with the receiver. On SQLite unless it is said otherwise. Examples:

      lcledger bench webhooks
      lcledger bench webhooks --notices 600 --seconds 2
    """
    report = Report("Webhooks sent", rounds=1, figures="of one run")
    for database in usually_sqlite(on, postgres):
        with grounds(database, folder, postgres) as made, _arena(made.make_ledger(), report, database) as arena:
            arena.register(endpoints, awards)
            report.add([arena.throughput(str(database), notices)])
            report.add(arena.latency(str(database), rate, seconds))
    tell(report, as_json=as_json)


@contextmanager
def _arena(url: str, report: Report, database: Database) -> Iterator["_Arena"]:
    with (
        receiver() as (port, arrived),
        Ledger.open(url, vault_key=token_bytes(32)) as ledger,
        Deliveries.open(url) as deliveries,
        closing(Views.open(url, ledger)) as views,
    ):
        version, durability = described(ledger.log)
        report.databases.append(version)
        report.durability[str(database)] = {OURS: durability}
        yield _Arena(ledger, views, deliveries, port, arrived)


@dataclass
class _Arena:
    """A ledger, its webhooks, and who receives them."""

    ledger: Ledger
    views: Views
    deliveries: Deliveries
    port: int
    arrived: Callable[[], dict[int, float]]
    """When each position first came to the receiver since it was asked last, as the machine's monotonic clock has it."""
    names: tuple[str, ...] = ()

    def register(self, endpoints: int, awards: int) -> None:
        """Agree awards, and have each webhook told of its share of them."""
        story = Story(self.ledger, Calendar(STARTS))
        story.begin()
        self.names = tuple(f"BENCH-{number:07d}" for number in range(awards))
        for name in self.names:
            story.register(name)
        for number in range(min(endpoints, awards)):
            self._register(f"bench{number}", self.names[number::endpoints])
        self.views.catch_up()

    def _register(self, name: str, awards: tuple[str, ...]) -> None:
        key = PrivateKey.new()
        asked = Registration(url=f"http://127.0.0.1:{self.port}/{name}", awards=awards, rate_limit=1_000)
        decide = partial(
            webhook.register,
            webhook=name,
            asked=asked,
            secret=Secret(SharedSecret.new().shown, key.shown, key.public),
            by=Keeper(_INVESTOR),
            types=TOLD.keys(),
            addresses=Addresses(loopback=True),
        )
        self.ledger.record_now(decide, Request(_BY))
        self.ledger.change_now(webhook_stream(name), lambda known: known.confirm(known.url), Request(_BY))

    def throughput(self, database: str, notices: int) -> Line:
        """How many of what waits are sent in a second, from the first that arrives to the last outcome on disk."""
        for number in range(-(-notices // len(self.names))):
            self._happen(*self.names[: notices - number * len(self.names)])
        with self._delivering():
            self._until_taken(notices)
            ended = monotonic()
        seconds = ended - min(self.arrived().values())
        work = f"{notices:,} that wait, of {len(self.names):,} awards"
        return Line(database, work, "deliveries/s", {OURS: notices / seconds}, wanted=(Wanted(OURS, _A_SECOND),))

    def latency(self, database: str, rate: float, seconds: float) -> Iterator[Line]:
        """How long after its commit each of some notices is with the receiver."""
        taken, committed = self._taken(), dict[int, float]()
        with self._delivering():
            sleep(1)  # Until it sends.
            begun = monotonic()
            for number in range(int(rate * seconds)):
                sleep(max(begun + number / rate - monotonic(), 0))
                committed[self._happen(self.names[number % len(self.names)])] = monotonic()
            self._until_taken(taken + len(committed))
        arrived = self.arrived()
        waits = sorted((arrived[position] - at) * _MS for position, at in committed.items())
        for what, value, most in (("p50", median(waits), _P50_MS), ("p99", percentile(waits, 99), _P99_MS)):
            work = f"{what} from commit to receiver at {rate:g}/s"
            yield Line(database, work, "ms", {OURS: value}, wanted=(Wanted(OURS, most, at_most=True),))

    def _delivering(self) -> Delivering:
        checkpoints = Checkpoints(self.ledger)
        return Delivering(self.ledger, self.views, self.deliveries, checkpoints, manner(Settings(webhook_loopback=True)))

    def _happen(self, *awards: str) -> int:
        """Have something happen under awards, of which there is a notice each; the last position."""

        def decide(facts: Facts) -> Decision:
            streams = map(award_stream, awards)
            return {
                each: (AwardResumed(on=STARTS) if facts[each].status is Status.PAUSED else AwardPaused(on=STARTS),)
                for each in streams
            }

        return self.ledger.record_now(decide, Request(_BY)).last

    def _taken(self) -> int:
        return sum(queue.sequence for queue in self.deliveries.queues().values()) - sum(
            each.get(State.WAITING, 0) for each in self.deliveries.counts().values()
        )

    def _until_taken(self, count: int) -> None:
        until = monotonic() + _GIVEN_UP_S
        while self._taken() < count:
            if monotonic() > until:
                raise TimeoutError(f"only {self._taken():,} of {count:,} were sent")
            sleep(_LOOK_S)


# The receiver ---------------------------------------------------------------------------------------------------------


@contextmanager
def receiver() -> Iterator[tuple[int, Callable[[], dict[int, float]]]]:
    """A process that takes everything; gives its port, and what tells when each position came to it since it was asked last."""
    context = get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_receive, args=(there,), daemon=True)
    process.start()

    def arrived() -> dict[int, float]:
        here.send(None)
        found: dict[int, float] = here.recv()
        return found

    try:
        yield here.recv(), arrived
    finally:
        process.kill()
        process.join()


def _receive(asking: Connection) -> None:
    asyncio.run(_take(asking))


async def _take(asking: Connection) -> None:
    arrived: dict[int, float] = {}

    async def come(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(re.search(rb"(?i)content-length: (\d+)", head)[1])  # type: ignore[index]
                body = await reader.readexactly(length)
                found = _POSITION.search(body)
                arrived.setdefault(int(found[1]) if found else 0, monotonic())
                writer.write(_ANSWER)
        writer.close()

    def tell_them() -> None:
        asking.recv()
        asking.send(dict(arrived))
        arrived.clear()

    server = await asyncio.start_server(come, "127.0.0.1", 0)
    asyncio.get_running_loop().add_reader(asking.fileno(), tell_them)
    asking.send(server.sockets[0].getsockname()[1])
    async with server:
        await server.serve_forever()
