"""Webhooks reach whoever fails, stalls, hangs up and dies, while the service that sends them is killed again and again."""

import random
import time
from collections import defaultdict
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import pytest

from domain.webhook import State as WebhookState
from domain.webhook import webhook_stream
from projections.deliveries import State
from tests.api.addressees import Ground, ground
from tests.api.server import VAULT_KEY, Place, forked
from tests.api.unreliable import Receiving, receiving

pytestmark = pytest.mark.long

AWARDS: Final = tuple(f"INDIGO-POJ-{number:04d}" for number in range(1, 13))
BADLY: Final = 12.0
"""How often of a hundred the receiver misbehaves."""
LET_LIVE_S: Final = 1.5
KEPT_BACK: Final = 20
"""How much happens last: half just before the last kill, which is under way then, and half after it."""
GIVEN_UP_S: Final = 240
QUICKLY: Final = {
    "webhook_loopback": True,
    "webhook_pauses_s": ",".join(["0.1"] * 50),
    "webhook_jitter": 0.5,
    "webhook_timeout_s": 1.0,
}
SENDS: Final = "this process sends webhooks now"
TAKEN_OVER: Final = 3
"""How often the worker that sends is killed."""


@pytest.mark.parametrize("seed", [7])
def test_reach_everybody_once_or_again_under_the_same_id(tmp_path: Path, request: pytest.FixtureRequest, seed: int) -> None:
    deliveries, kills = request.config.getoption("--deliveries"), request.config.getoption("--webhook-kills")
    webhooks = tuple(f"bench{number}" for number in range(20 if deliveries >= 10_000 else 6))
    chance = random.Random(seed)  # noqa: S311 (a schedule)
    place = Place(tmp_path / "ledger", more=QUICKLY)
    place.folder.mkdir()
    left = -(-deliveries // len(webhooks))
    with receiving(tmp_path / "took", seed=seed, badly=BADLY) as receiver, ground(place.settings.log_url, VAULT_KEY) as told:
        told.agree(*AWARDS)
        for name in webhooks:
            told.register(name, f"{receiver.url}/{name}")
        died, killed, begun = 0, 0, time.monotonic()
        while left or _waits(told, webhooks):
            assert time.monotonic() - begun < GIVEN_UP_S
            with forked(place, "serve", "--port", "0") as serving:
                serving.wait("serving")
                until = time.monotonic() + (LET_LIVE_S if killed < kills else GIVEN_UP_S)
                while time.monotonic() < until and (left or _waits(told, webhooks)):
                    if left > KEPT_BACK or (left and killed >= kills):
                        told.happen(chance.choice(AWARDS))
                        left -= 1
                    died += receiver.keep_alive(seed + died + 1, BADLY)
                    _enable(told, webhooks)
                    time.sleep(0.01 if left and killed < kills else 0.05)
                if killed == kills - 1:  # Whoever comes last goes on with what is under way now.
                    for _ in range(KEPT_BACK // 2):
                        told.happen(chance.choice(AWARDS))
                        left -= 1
                    assert _waits(told, webhooks)
                serving.kill()
                killed += 1
        assert killed > kills
        assert died > 0
        for name in webhooks:
            _expect_whole(told, receiver, name, -(-deliveries // len(webhooks)))


def test_are_sent_by_the_worker_that_stood_by_when_another_is_killed(postgres_url: str, tmp_path: Path) -> None:
    webhooks, left, died, killed = tuple(f"bench{number}" for number in range(6)), 100, 0, 0
    count, chance = left, random.Random(7)  # noqa: S311 (a schedule)
    place = Place(tmp_path / "ledger", postgres_url, more=QUICKLY)
    with (
        receiving(tmp_path / "took", seed=7, badly=BADLY) as receiver,
        ground(postgres_url, VAULT_KEY) as told,
        ExitStack() as processes,
    ):
        told.agree(*AWARDS)
        for name in webhooks:
            told.register(name, f"{receiver.url}/{name}")
        workers = [processes.enter_context(forked(place, "worker")) for _ in range(2)]
        begun = let_live = time.monotonic()
        while left or killed < TAKEN_OVER or _waits(told, webhooks):
            assert time.monotonic() - begun < GIVEN_UP_S
            if left:
                told.happen(chance.choice(AWARDS))
                left -= 1
            died += receiver.keep_alive(7 + died + 1, BADLY)
            _enable(told, webhooks)
            sending = [each for each in workers if each.said(SENDS)]
            assert len(sending) <= 1, "one sends, and the other stands by"
            if sending and killed < TAKEN_OVER and time.monotonic() > let_live + LET_LIVE_S:
                sending[0].kill()
                workers.remove(sending[0])
                workers.append(processes.enter_context(forked(place, "worker")))
                killed, let_live = killed + 1, time.monotonic()
            time.sleep(0.05)
        for name in webhooks:
            _expect_whole(told, receiver, name, count)


def _waits(told: Ground, webhooks: tuple[str, ...]) -> bool:
    size, queues = told.ledger.head().size, told.deliveries.queues()
    behind = any(name not in queues or queues[name].position < size for name in webhooks)
    return behind or any(each.get(State.WAITING, 0) for each in told.deliveries.counts().values())


def _enable(told: Ground, webhooks: tuple[str, ...]) -> None:
    """Enable those again that said that they were gone."""
    for name in webhooks:
        if told.ledger.load(webhook_stream(name))[0].state is WebhookState.DISABLED:
            told.enable(name)


def _expect_whole(told: Ground, receiver: Receiving, name: str, count: int) -> None:
    """Expect every notice, in a sequence without holes, in order for each award, and nothing twice but under the same id."""
    took = [each for each in receiver.took() if each["path"] == f"/{name}"]
    contents: list[dict[str, Any]] = [each["body"]["data"] for each in took]
    assert {each["sequence"] for each in contents} == set(range(1, count + 1))
    ids = defaultdict(set)
    for each, content in zip(took, contents, strict=True):
        ids[content["sequence"]].add((each["headers"]["webhook-id"], content["position"]))
    assert all(len(each) == 1 for each in ids.values())
    assert len({each for (each,) in ids.values()}) == count
    for award in AWARDS:
        positions = [content["position"] for content in contents if content["award"] == award]
        assert positions == sorted(positions)
    kept = told.page(name)
    assert {each.state for each in kept} == {State.DELIVERED}
    assert len(told.deliveries.attempts(name, 1, count)) >= len(kept)
