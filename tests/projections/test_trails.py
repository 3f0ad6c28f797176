"""The trail says in plain words what happened, to whom, and which amounts moved."""

from typing import get_args

import pytest

from domain.events import BY_NAME
from domain.money import NOTHING, Money
from ledger.ledger import Ledger
from projections.projection import names_of
from projections.trails import TrailRow, _AnyEvent, row_of
from projections.views import Views
from tests.domain.kirklees import REFERENCE
from tests.projections.conftest import Story


@pytest.fixture
def trail(story: Story, views: Views) -> list[TrailRow]:
    story.whole()
    return views.trail.page(REFERENCE)


def said(trail: list[TrailRow], kind: str) -> list[str]:
    return [row.sentence for row in trail if row.type == kind]


class TestPage:
    def test_tells_the_story(self, trail: list[TrailRow]) -> None:
        assert said(trail, "claim.verified") == [
            "Verified claim 2021-Q3: £12,714.29 accepted, £2,800.00 rejected, £1,400.00 deferred."
        ]
        assert (
            said(trail, "claim.submitted")[0] == "Submitted claim 2021-Q3: 2 lines worth £16,914.29, received on 4 October 2021."
        )
        assert said(trail, "award.assessed") == [
            "Assessment 1, of what was accepted of claim 2021-Q3: £12,000.00 assessed, £714.29 curtailed by limits."
        ]
        assert said(trail, "payment.settled") == [
            "The bank settled the payment of £3,489.50 by GB-GOR-DCMS on 4 October 2021, reference BACS-1."
        ]
        assert said(trail, "payment.returned") == [
            "The payment of £3,489.50 by GB-GOR-DCMS came back on 4 October 2021: account closed."
        ]

    def test_has_every_entry_of_the_award_in_order(self, trail: list[TrailRow], views: Views) -> None:
        assert [row.sequence for row in trail] == list(range(1, len(trail) + 1))
        assert views.trail.page(REFERENCE.lower(), after=trail[4].position, limit=3) == trail[5:8]
        assert views.trail.page(REFERENCE, upto=trail[4].position) == trail[:5]

    def test_says_which_amounts_moved(self, trail: list[TrailRow]) -> None:
        (approved,) = [row for row in trail if row.type == "payment.approved"]
        assert approved.amounts == {"due": Money.parse("-3489.50"), "approved": Money.parse("3489.50")}
        assert all(sum(row.amounts.values(), NOTHING) == NOTHING for row in trail)
        assert all(row.person for row in trail)


class TestSentence:
    def test_there_is_one_for_every_event_that_ever_happened(self, story: Story, ledger: Ledger) -> None:
        story.whole()
        for entry in ledger.entries():
            assert row_of(entry).sentence.endswith(".")

    def test_every_type_of_the_log_is_matched(self) -> None:
        assert names_of(_AnyEvent) == frozenset(BY_NAME)
        assert get_args(_AnyEvent)
