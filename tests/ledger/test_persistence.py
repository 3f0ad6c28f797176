"""Whoever knows the `eventsourcing` library can open our log and attach a projection of their own."""

from collections import Counter
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import InfrastructureFactory, Tracking
from eventsourcing.projection import Projection, ProjectionRunner

from domain.money import Money
from ledger.ledger import Request
from ledger.persistence import Happened, LedgerFactory
from ledger.recorder import LogTracking
from tests.ledger.conftest import Opening
from tests.ledger.pots import KIRKLEES, Pot, PotFilled, open_pot, pot

ASKED = Request(KIRKLEES)


class Filled(LogTracking):
    """How many pence were put into each pot: a view that somebody keeps beside the log."""

    def __init__(self, log: Any) -> None:
        super().__init__(log)
        self.pence: Counter[str] = Counter()

    def fill(self, stream: str, pence: int, tracking: Tracking) -> None:
        with self.log.turn() as turn:
            self.track(turn, tracking)
        self.pence[stream] += pence


class Filling(Projection[Filled]):
    name = "filling"

    def process_event(self, domain_event: Happened, tracking: Tracking) -> None:
        event = domain_event.event
        self.view.fill(domain_event.originator_id, int(event.amount) if isinstance(event, PotFilled) else 0, tracking)


@pytest.fixture
def env(database_url: str) -> dict[str, str]:
    return {
        "PERSISTENCE_MODULE": "ledger.persistence",
        "LEDGER_URL": database_url,
        "LEDGER_EVENTS": "tests.ledger.pots:POTS",
    }


class TestApplication:
    async def test_reads_our_log(self, opening: Opening, env: dict[str, str]) -> None:
        await opening().record(open_pot, ASKED)
        with Application[str](env) as application:
            (happened,) = application.events.get(pot("2021-Q3").name)
            assert isinstance(happened, Happened)
            assert (happened.person, happened.event.type) == (KIRKLEES.person, "pot.opened")
            (notification,) = application.notification_log.select(start=1, limit=10)
            assert (notification.id, notification.topic) == (1, "pot.opened")

    async def test_writes_what_we_can_read(self, opening: Opening, env: dict[str, str]) -> None:
        ledger = opening()
        await ledger.record(open_pot, ASKED)
        with Application[str](env) as application:
            application.events.put([Happened(pot("2021-Q3").name, 2, PotFilled(amount=Money(7)), KIRKLEES.person)])
        assert ledger.load(pot("2021-Q3")) == (Pot(Money(7)), 2)
        assert (await ledger.change(pot("2021-Q3"), Pot.fill, ASKED)).last == 3

    def test_refuses_events_that_are_not_ours(self, opening: Opening, env: dict[str, str]) -> None:
        from eventsourcing.domain import Aggregate

        opening()
        with Application[UUID](env) as application, pytest.raises(TypeError, match="events of the ledger"):
            application.save(Aggregate())

    def test_asks_where_the_log_is(self) -> None:
        with pytest.raises(OSError, match="LEDGER_URL"):
            InfrastructureFactory.construct({"PERSISTENCE_MODULE": "ledger.persistence"})

    def test_keeps_no_snapshots(self, opening: Opening, env: dict[str, str]) -> None:
        opening()
        factory = LedgerFactory(env)
        with pytest.raises(NotImplementedError):
            factory.aggregate_recorder("snapshots")
        factory.close()


class TestProjectionRunner:
    async def test_follows_our_log(self, opening: Opening, env: dict[str, str]) -> None:
        ledger = opening()
        await ledger.record(partial(open_pot, name="Q1"), ASKED)
        with ProjectionRunner(application_class=Application[str], projection_class=Filling, view_class=Filled, env=env) as runner:
            last = 0
            for pence in range(1, 11):
                last = (await ledger.change(pot("Q1"), partial(Pot.fill, pence=pence), ASKED)).last
            runner.wait(last, timeout=10)
            assert runner.view.pence[pot("Q1").name] == 55
            runner.projection.view.log.close()
