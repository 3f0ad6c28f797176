"""What is done to a service that is measured: claims are submitted and verified, and somebody reads them."""

import asyncio
from collections.abc import AsyncIterator
from time import perf_counter
from typing import Final

import orjson

from api.cli.bench.clients import Caller, NotAnswered, expect
from api.cli.bench.served import Ready

PREFIX: Final = "/v1"
HOT: Final = "BENCH-HOT"
"""The award of one half of the load; the clients of the other half have an award each."""
CREATED: Final = 201
OK: Final = 200
READY: Final = "/v1/health/ready"
_FOLLOWING_S: Final = 60
_LOOK_S: Final = 0.02


def awards_of(clients: int) -> list[str]:
    """The award under which each client acts, in their order."""
    hot = (clients + 1) // 2
    return [HOT] * hot + [f"BENCH-{number}" for number in range(1, clients - hot + 1)]


async def claim(caller: Caller, ready: Ready, award: str, name: str, prefix: str = PREFIX) -> AsyncIterator[float]:
    """Submit a claim and have it verified; gives how many seconds each took."""
    path = f"{prefix}/awards/{award}/claims"
    for to, key, body in (
        (path, ready.claimants[award], submission(name)),
        (f"{path}/{name}/verification", ready.verifiers[award], VERIFICATION),
    ):
        begun = perf_counter()
        answer = await caller.post(to, key, f"{name}-{len(to)}", body)
        took = perf_counter() - begun
        expect(CREATED, to, answer)
        yield took


async def read(caller: Caller, ready: Ready, number: int, award: str = HOT) -> float:
    """Read something of what is worked on, something else at each number; gives how many seconds it took."""
    paths = reads_of(f"{PREFIX}/awards/{award}")
    path = paths[number % len(paths)]
    begun = perf_counter()
    answer = await caller.get(path, ready.auditor)
    took = perf_counter() - begun
    expect(OK, path, answer)
    return took


async def let_follow(caller: Caller) -> int:
    """Wait until the read models show everything, so that nobody's turn pays for another's; how far they were behind."""
    lags: list[int] = []
    until = perf_counter() + _FOLLOWING_S
    while not lags or lags[-1]:
        answer = await caller.get(READY, "")
        expect(OK, READY, answer)
        lags.append(orjson.loads(answer.body)["views_lag"])
        if perf_counter() > until:
            raise NotAnswered(f"the read models are {lags[-1]} entries behind, and do not catch up")
        await asyncio.sleep(_LOOK_S)
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
