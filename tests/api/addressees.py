"""A ledger with awards under which things happen, and webhooks that want to hear of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import partial
from typing import Any, Final

from api.cli.bench.histories import Story
from api.cli.demo.play import Calendar
from api.delivering import Delivering, Manner, Schedule
from api.outgoing import Limits, Rules
from api.webhook_signatures import PrivateKey
from api.webhook_signatures import Secret as SharedSecret
from domain import webhook
from domain.aggregate import Actor, Decision, Facts, PersonId
from domain.award import AwardPaused, AwardResumed, Status, award_stream
from domain.webhook import OVERLAP, Addresses, Change, Keeper, Reason, Registration, Secret, webhook_stream
from ledger.checkpoints import Checkpoints
from ledger.ledger import Ledger, Request
from projections.deliveries import Deliveries, Delivery
from projections.notices import TOLD
from projections.views import Views

INVESTOR: Final = "GB-COH-09843818"
IVO: Final = Actor(PersonId("ivo"), INVESTOR)
KIRKLEES, OPEN_FOR_YOU, WORKWISE = "INDIGO-POJ-0175", "OPEN-FOR-YOU-0001", "WORKWISE-000001"
DAY: Final = date(2026, 11, 2)
HERE: Final = Rules(loopback=True)
QUICK: Final = Schedule(pauses_s=(0.05, 0.05, 0.05), jitter=0.1, retry_after_most_s=60, failing_s=5 * 86_400)


@dataclass
class Ground:
    """A ledger, and what is asked of it here."""

    ledger: Ledger
    views: Views
    deliveries: Deliveries
    checkpoints: Checkpoints
    secrets: dict[str, Secret] = field(default_factory=dict)

    def agree(self, *awards: str) -> None:
        """Register and agree awards."""
        story = Story(self.ledger, Calendar(DAY))
        story.begin()
        for each in awards:
            story.register(each)

    def register(self, name: str, url: str, secret: Secret | None = None, **asked: Any) -> None:
        """Have a webhook told at an address from now on."""
        secret = self.secrets[name] = secret or new_secret()
        decide = partial(
            webhook.register,
            webhook=name,
            asked=Registration(**{"url": url, "rate_limit": 1_000, **asked}),
            secret=secret,
            by=Keeper(INVESTOR),
            types=TOLD.keys(),
            addresses=Addresses(loopback=True),
        )
        self.ledger.record_now(decide, Request(IVO))
        self.ledger.change_now(webhook_stream(name), lambda known: known.confirm(known.url), Request(IVO))
        self.views.catch_up()

    def rotate(self, name: str, overlap: timedelta = OVERLAP) -> None:
        """Let something new sign beside what signs now; the read models have yet to hear of it."""
        secret = self.secrets[name] = new_secret()
        decide = partial(webhook.rotate, webhook=name, secret=secret, by=Keeper(INVESTOR), now=self.ledger.now(), overlap=overlap)
        self.ledger.record_now(decide, Request(IVO))

    def move(self, name: str, url: str) -> None:
        """Have a webhook told at another address from now on."""
        decide = partial(
            webhook.change,
            webhook=name,
            asked=Change(url=url),
            by=Keeper(INVESTOR),
            types=TOLD.keys(),
            addresses=Addresses(loopback=True),
        )
        self.ledger.record_now(decide, Request(IVO))
        self.enable(name)

    def happen(self, *awards: str) -> None:
        """Have something happen under each of some awards, of which there is a notice, in one commit."""

        def decide(facts: Facts) -> Decision:
            streams = map(award_stream, awards)
            return {
                each: (AwardResumed(on=DAY) if facts[each].status is Status.PAUSED else AwardPaused(on=DAY),) for each in streams
            }

        self.ledger.record_now(decide, Request(IVO))

    def enable(self, name: str) -> None:
        """Have a webhook told again."""
        self.ledger.change_now(webhook_stream(name), lambda known: known.confirm(known.url), Request(IVO))
        self.views.catch_up()

    def disable(self, name: str) -> None:
        """Have a webhook told nothing any more, because somebody asks for it."""
        self.ledger.change_now(webhook_stream(name), lambda known: known.disable(), Request(IVO))
        self.views.catch_up()

    def disabled(self, name: str) -> Reason | None:
        """Why a webhook is disabled, if it is."""
        return self.ledger.load(webhook_stream(name))[0].reason

    def page(self, name: str) -> list[Delivery]:
        """Everything in a webhook's queue, in order."""
        return self.deliveries.page(name, limit=100_000)[::-1]

    @contextmanager
    def delivering(
        self, schedule: Schedule = QUICK, limits: Limits | None = None, *, catch_up: bool = True, kept_days: float = 99
    ) -> Iterator[Delivering]:
        """Send webhooks until the end of the block; without `catch_up`, by read models that lag behind."""
        manner = Manner(rules=HERE, limits=limits or Limits(connect_s=1.0, whole_s=1.0), schedule=schedule, kept_days=kept_days)
        if catch_up:
            self.views.catch_up()
        with Delivering(self.ledger, self.views, self.deliveries, self.checkpoints, manner) as sending:
            yield sending


def new_secret() -> Secret:
    """Something new that signs."""
    key = PrivateKey.new()
    return Secret(SharedSecret.new().shown, key.shown, key.public)


@contextmanager
def ground(url: str, vault_key: bytes) -> Iterator[Ground]:
    """A new ledger, or one that is there."""
    with Ledger.open(url, vault_key=vault_key) as ledger, Deliveries.open(url) as deliveries:
        views = Views.open(url, ledger)
        try:
            yield Ground(ledger, views, deliveries, Checkpoints(ledger))
        finally:
            views.close()
