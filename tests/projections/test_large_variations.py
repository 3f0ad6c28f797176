"""A back-dated variation over an award with 20,000 assessed lines: one atomic commit, rehearsed to the letter (M9)."""

import time
from functools import partial
from typing import Final

import pytest

from domain import variation
from domain.award import Award, award_stream
from domain.claim import claim_stream
from domain.money import Money
from domain.reassessment import effect
from domain.terms import Terms
from ledger.ledger import Ledger, Recorded, Request
from tests.domain.kirklees import AMINA, BEN, REFERENCE, REVIEWED, TODAY, line, terms
from tests.projections.conftest import Story

pytestmark = pytest.mark.long

CLAIMS: Final = 4
LINES: Final = 5_000
"""Of a claim; a fifth of it on PostgreSQL, as the rules take nearly all of the time, and are the same on both."""
SECONDS: Final = 60.0
"""Twice what it takes where the cores have other work: work that grew with the square would take hours."""
DEARER: Final = "1550.00"


@pytest.fixture
def lines(database_url: str) -> int:
    """How many lines each claim has."""
    return LINES if database_url.startswith("sqlite") else LINES // 5


@pytest.fixture
def large(story: Story, lines: int) -> Story:
    """An award of which four large claims of homes are assessed, each home for a participant of its own."""
    story.begin()
    story.register(award_amount="99999999.99")
    for number in range(CLAIMS):
        name = f"2021-Q{number + 1}"
        story.submit(*(line(participant=f"KBOP-{number}-{each:05}") for each in range(lines)), name=name)
        story.verify(name=name, others="accepted")
    return story


class TestTwentyThousandLines:
    def test_are_reassessed_within_a_minute_in_one_commit_as_the_dry_run_said(self, large: Story, lines: int) -> None:
        ledger = large.ledger
        version = _proposed(large, _dearer())
        command = partial(variation.agree, award=REFERENCE, number=version, by=BEN, today=TODAY)
        before = ledger.head()
        rehearsed = ledger.record_now(command, Request(BEN), dry_run=True)
        assert ledger.head() == before
        begun = time.perf_counter()
        done = ledger.record_now(command, Request(BEN))
        took = time.perf_counter() - begun
        assert [(each.stream, each.event) for each in done.entries] == [(each.stream, each.event) for each in rehearsed.entries]
        assert ledger.head().size == before.size + len(done.entries)
        assert [size for size, _ in ledger.log.reads.heads(before.size, 10)] == [ledger.head().size]  # one commit, one head
        _expect_reassessed(ledger, done, CLAIMS * lines)
        assert took < SECONDS


def _dearer() -> Terms:
    cards = [{**each.model_dump(), "price": DEARER} if each.code == "HOME" else each.model_dump() for each in terms().outcomes]
    return terms(award_amount="99999999.99", outcomes=cards, effective_from="2021-01-01")


def _proposed(story: Story, further: Terms) -> int:
    story.ledger.change_now(
        award_stream(REFERENCE), lambda under: under.propose(further, reason=REVIEWED, today=TODAY), Request(AMINA)
    )
    under: Award = story.ledger.load(award_stream(REFERENCE))[0]
    return len(under.versions)


def _expect_reassessed(ledger: Ledger, done: Recorded, lines: int) -> None:
    changed = effect((each.stream, each.event) for each in done.entries)
    assert len(changed.lines) == lines
    assert {(str(each.before), str(each.after)) for each in changed.lines} == {("1400.00", "1550.00")}
    assert sum(changed.net.values()) == Money.parse("150.00") * lines
    claim = ledger.load(claim_stream(REFERENCE, "2021-Q1"))[0]
    assert {str(each.stands.assessed) for each in claim.lines} == {DEARER}
