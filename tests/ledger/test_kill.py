"""A process that is killed in the middle of its work loses nothing that it said was recorded."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from ledger import merkle
from tests.ledger.conftest import Opening

# Says a line for each command that was acknowledged, until it is killed.
WORK = """
import asyncio, sys
from functools import partial
from ledger.ledger import Ledger, Request
from tests.ledger.conftest import VAULT_KEY
from tests.ledger.pots import KIRKLEES, POTS, Pot, nothing_to_balance, open_pot, pot

async def write(ledger, writer):
    await ledger.record(partial(open_pot, name=str(writer)), Request(KIRKLEES))
    for number in range(1_000_000):
        key = f"{writer}-{number}"
        recorded = await ledger.change(pot(str(writer)), Pot.fill, Request(KIRKLEES, key=key))
        print(key, recorded.last, flush=True)

async def main():
    ledger = Ledger.open(sys.argv[1], vault_key=VAULT_KEY, registry=POTS, balance_check=nothing_to_balance, serving=True)
    await asyncio.gather(*(write(ledger, writer) for writer in range(16)))

asyncio.run(main())
"""


def test_kill_9_under_load_loses_nothing(database_url: str, opening: Opening) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WORK, database_url], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(400)]
    os.kill(process.pid, signal.SIGKILL)
    told += process.stdout.readlines()
    process.stdout.close()
    process.wait()
    acknowledged = dict(line.split() for line in told if line.endswith("\n"))
    assert len(acknowledged) >= 400
    _check(opening, acknowledged)


def _check(opening: Opening, acknowledged: dict[str, str]) -> None:
    ledger = opening()
    rows = ledger.log.reads.rows(limit=1_000_000)
    assert [row.position for row in rows] == list(range(1, len(rows) + 1))
    head = ledger.head()
    assert (head.size, head.root) == (len(rows), merkle.root(row.leaf for row in rows))
    with ledger.log.engine.connect() as connection:
        kept = {str(key): int(last) for key, last in connection.exec_driver_sql("SELECT key, last FROM receipts")}
    assert {key: int(last) for key, last in acknowledged.items()}.items() <= kept.items()
    assert head.recorded_at is not None
