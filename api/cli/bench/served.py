"""A service to measure: a ledger of its own, with awards and the people who act under them, served by a process of its own."""

import asyncio
import base64
import multiprocessing
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from api import logs
from api.app import create_app
from api.cli.access import Access, Mistaken, client, key_of
from api.cli.bench import floor
from api.cli.bench.grounds import Database, grounds
from api.cli.bench.measuring import OURS
from api.cli.bench.telling import Report
from api.cli.demo import history
from api.cli.demo.cast import FUND, SECOND, Cast, Part, claimant_of
from api.cli.serving import serve
from api.settings import KEY_BYTES, Settings
from ledger.yardsticks import Scratch, described

AWARD_AMOUNT: Final = "90000000.00"
PLAN_PRICE: Final = "400.00"
_ENDING_S: Final = 10
_STARTING_S: Final = 60


@dataclass(frozen=True, slots=True)
class Ready:
    """A ledger with its awards agreed: the keys of those who claim and verify under each, and of an auditor."""

    settings: Settings
    claimants: Mapping[str, str]
    verifiers: Mapping[str, str]
    auditor: str
    version: str
    durability: dict[str, str]


@contextmanager
def readied(
    report: Report, database: Database, folder: Path | None, postgres: str | None, awards: Sequence[str]
) -> Iterator[Ready]:
    """A ledger of a kind, of which a report tells, for as long as it is measured."""
    with grounds(database, folder, postgres) as made:
        ready = make_ready(database, made, awards)
        report.databases.append(ready.version)
        report.durability[str(database)] = {OURS: ready.durability}
        yield ready


def make_ready(database: Database, made: Scratch, awards: Sequence[str]) -> Ready:
    """A new ledger in which claims can be made under some awards, with the terms of the demo's open one."""
    ours = settings_of(database, made)
    return asyncio.run(_make_ready(ours, awards))


def settings_of(database: Database, made: Scratch) -> Settings:
    """The settings of a ledger that is measured: all as they are unless said, and nothing from the environment."""
    usual: dict[str, Any] = {name: field.get_default() for name, field in Settings.model_fields.items()}
    there = {} if database is Database.SQLITE else {"database_url": made.make_ledger()}
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    return Settings(**{**usual, "data_dir": made.folder / "ledger", "port": 0, "vault_key": key, **there})


async def _make_ready(ours: Settings, awards: Sequence[str]) -> Ready:
    registration = history.packaged()["open"]["registration"]
    parties = [FUND, *(each["party"] for each in registration["terms"]["parties"])]
    logs.configure("error")  # This process measures; it is the other one that serves, and logs.
    app = create_app(ours)
    async with app.router.lifespan_context(app), client(app) as http:
        cast = Cast(http, Access(http, key_of(ours)))
        for party in parties:
            await cast.first.send("/parties", {"party": party, "name": history.packaged()["parties"][party]})
        cast.second = Access(http, await cast.give(SECOND))
        claimants, verifiers = {}, {}
        for award in dict.fromkeys(awards):
            await cast.first.send("/awards", {**registration, "reference": award, "terms": _endless(registration["terms"])})
            await cast.second.send(f"/awards/{award}/agreement")
            provider = next(each["party"] for each in registration["terms"]["parties"] if "provider" in each["roles"])
            claimants[award] = await cast.give(Part(claimant_of(award), "Claimant", provider, ("claimant",), (award,)))
            verifiers[award] = await cast.give(Part(f"verifier-{award}", "Verifier", FUND, ("verifier",), (award,)))
        auditor = await cast.give(Part("auditor", "Auditor", FUND, ("auditor",)))
        version, durability = described(app.state.ledger.log)
    return Ready(ours, claimants, verifiers, auditor, version, durability)


def _endless(terms: Mapping[str, Any]) -> dict[str, Any]:
    """The terms with limits that no measurement comes to, so that every line is assessed whole, to the last."""
    payers = [{name: value for name, value in payer.items() if name != "maximum"} for payer in terms["payers"]]
    outcomes = [{name: value for name, value in each.items() if name != "max_quantity"} for each in terms["outcomes"]]
    return {**terms, "payers": payers, "outcomes": outcomes, "award_amount": AWARD_AMOUNT}


@contextmanager
def served(ours: Settings) -> Iterator[tuple[str, int]]:
    """A process that serves a ledger as `lcledger serve` does, and the floor beside it: where it listens."""
    with serving_process(ours) as (_, where):
        yield where


@contextmanager
def serving_process(ours: Settings) -> Iterator[tuple[int, tuple[str, int]]]:
    """The same, with the number of the process."""
    started = multiprocessing.get_context("spawn")
    hears, tells = started.Pipe(duplex=False)
    log = ours.data_dir / "served.log"
    process = started.Process(target=_serve, args=(ours, log, tells), daemon=True)
    process.start()
    tells.close()
    try:
        if not hears.poll(_STARTING_S):
            raise Mistaken(f"The service to measure does not start within {_STARTING_S} s.")
        try:
            host, _, port = hears.recv().removeprefix("http://").rpartition(":")
        except EOFError:
            raise Mistaken(f"The service to measure does not start: {log.read_text('utf-8')[-2_000:]}") from None
        yield process.pid or 0, (host, int(port))
    finally:
        process.terminate()
        process.join(_ENDING_S)
        if process.is_alive():
            process.kill()
            process.join()


def _serve(ours: Settings, log: Path, tells: Connection) -> None:
    ours.data_dir.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as kept:
        os.dup2(kept.fileno(), 2)  # It logs as it does by default; only not on the screen.
    serve(ours, tells.send, mount=floor.mount)
