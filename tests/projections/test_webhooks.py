"""What is asked of webhooks: which there are, and which are to be told of a notice."""

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Final

import pytest

from domain import key as keys
from domain import webhook as webhooks
from domain.key import Role, key_stream
from domain.webhook import Addresses, Change, Keeper, Reason, Registration, Secret, State, Webhook, webhook_stream
from ledger.ledger import Ledger, Request
from projections.views import Views
from projections.webhooks import WebhookRow
from tests.domain.kirklees import AMINA, CLAIRE, FUND, PRIME, REFERENCE
from tests.projections.conftest import Story

PUBLIC: Final = "whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
TYPES: Final = frozenset({"payment.settled", "award.assessed"})
ADMINISTRATOR: Final = Keeper(FUND)
INVESTS: Final = Keeper(PRIME, "K4", frozenset({REFERENCE}))
OTHER: Final = "INDIGO-POJ-0026"


@pytest.fixture
def told(story: Story) -> Story:
    """The fund is told of everything, and an investor of the payments of its award; both have answered."""
    story.begin()
    story.register()
    issue = partial(keys.issue, secret_hash="0" * 64, by=AMINA)
    story.tell(AMINA, partial(issue, key="K4", person=CLAIRE.person, roles=[Role.INVESTOR], awards=[REFERENCE]))
    register(story, "of-the-fund", ADMINISTRATOR)
    register(story, "of-the-investor", INVESTS, types=("payment.*",), rate_limit=5)
    for each in ("of-the-fund", "of-the-investor"):
        do(story, each, lambda made: made.confirm(made.url))
    return story


def register(story: Story, webhook: str, by: Keeper, **asked: Any) -> None:
    said = Registration(url=f"https://notices.example.org/{webhook}", **asked)
    made = Secret("whsec_1", "whsk_1", PUBLIC)
    decide = partial(webhooks.register, webhook=webhook, asked=said, secret=made, by=by, types=TYPES, addresses=Addresses())
    story.tell(AMINA, decide)


def do(story: Story, webhook: str, method: Any) -> None:
    story.ledger.change_now(webhook_stream(webhook), method, Request(AMINA))


def rows(views: Views, **asked: Any) -> dict[str, WebhookRow]:
    views.catch_up()
    return {row.webhook: row for row in views.webhooks.page(**asked).rows}


def told_of(views: Views, kind: str, award: str = REFERENCE) -> list[str]:
    views.catch_up()
    return [each.row.webhook for each in views.webhooks.told_of(kind, award)]


class TestPage:
    def test_says_what_the_aggregate_says(self, told: Story, views: Views, ledger: Ledger) -> None:
        change = Change(url="https://notices.example.org/elsewhere", awards=(REFERENCE,))
        of_the_investor = partial(webhooks.change, webhook="of-the-investor", by=INVESTS, types=TYPES, addresses=Addresses())
        told.tell(CLAIRE, partial(of_the_investor, asked=change))
        rotate = partial(webhooks.rotate, webhook="of-the-fund", secret=Secret("whsec_2", "whsk_2", PUBLIC), by=ADMINISTRATOR)
        told.tell(AMINA, partial(rotate, now=ledger.now()))
        do(told, "of-the-fund", lambda made: made.disable(Reason.FAILING, ledger.now()))
        for name, row in rows(views).items():
            webhook, version = ledger.load(webhook_stream(name))
            assert row.version == version
            for field in Webhook.__dataclass_fields__:
                assert getattr(row, field) == getattr(webhook, field), field

    def test_shows_each_keeper_its_own(self, told: Story, views: Views) -> None:
        assert list(rows(views)) == list(rows(views, keeper=ADMINISTRATOR)) == ["of-the-fund", "of-the-investor"]
        assert list(rows(views, keeper=INVESTS)) == ["of-the-investor"]
        assert not rows(views, keeper=Keeper("GB-COH-06969540", "K9", frozenset({"*"})))

    def test_shows_those_of_a_state(self, told: Story, views: Views) -> None:
        do(told, "of-the-fund", Webhook.disable)
        assert list(rows(views, state=State.DISABLED)) == ["of-the-fund"]

    def test_as_they_were(self, told: Story, views: Views, ledger: Ledger) -> None:
        before = ledger.head().size
        do(told, "of-the-fund", Webhook.disable)
        assert rows(views, as_of=before)["of-the-fund"].state is State.ENABLED
        assert list(rows(views, as_of=before, state=State.ENABLED)) == ["of-the-fund", "of-the-investor"]


class TestTold:
    def test_are_those_that_hear_of_it(self, told: Story, views: Views) -> None:
        assert told_of(views, "payment.settled") == ["of-the-fund", "of-the-investor"]
        assert told_of(views, "award.assessed") == ["of-the-fund"]
        assert told_of(views, "payment.settled", OTHER) == ["of-the-fund"]

    @pytest.mark.parametrize(
        "method",
        [
            Webhook.disable,
            lambda made: webhooks.WebhookChanged(url=made.url, host=made.host),
            lambda _: webhooks.WebhookRemoved(erased=()),
        ],
    )
    def test_are_enabled(self, told: Story, views: Views, method: Any) -> None:
        do(told, "of-the-fund", method)
        assert told_of(views, "payment.settled") == ["of-the-investor"]

    def test_go_no_further_than_their_key(self, told: Story, views: Views) -> None:
        assert "*" in rows(views)["of-the-investor"].awards
        assert [each.opened for each in views.webhooks.told()] == [None, frozenset({REFERENCE})]
        told.ledger.change_now(key_stream("K4"), lambda issued: issued.revoke(), Request(AMINA))
        assert told_of(views, "payment.settled") == ["of-the-fund"]

    def test_are_told_from_their_first_confirmation_on(self, told: Story, views: Views, ledger: Ledger) -> None:
        confirmed = [entry.position for entry in ledger.entries() if entry.type == "webhook.confirmed"]
        assert [each.told_after for each in rows(views).values()] == confirmed
        do(told, "of-the-fund", Webhook.disable)
        do(told, "of-the-fund", Webhook.enable)
        row = rows(views)["of-the-fund"]
        assert (row.told_after, row.enabled_at) == (confirmed[0], ledger.head().size)

    def test_are_signed_for_by_what_signs_at_the_moment(self, told: Story, views: Views) -> None:
        at = datetime(2021, 10, 4, 9, 30, tzinfo=UTC)
        made = Secret("whsec_2", "whsk_2", PUBLIC)
        told.tell(AMINA, partial(webhooks.rotate, webhook="of-the-fund", secret=made, by=ADMINISTRATOR, now=at))
        row = rows(views)["of-the-fund"]
        day, microsecond = timedelta(days=1), timedelta(microseconds=1)
        assert [each.number for each in row.signing(at + day - microsecond)] == [2, 1]
        assert [each.number for each in row.signing(at + day)] == [2]
