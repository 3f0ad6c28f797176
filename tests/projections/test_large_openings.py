"""An opening position with 20,000 lines of participants: proposed in small entries, agreed in one atomic commit."""

import time
from functools import partial
from typing import Final

import pytest

from domain import opening_position
from domain.brought_forward import MOST_LINES
from domain.opening_position import Opening
from domain.participant import participant_stream
from ledger.ledger import Request
from tests.domain.kirklees import AMINA, BEN, COUNCIL, FUND, REFERENCE, TERMS, TODAY
from tests.domain.test_opening_position import accepted
from tests.projections.conftest import Story

pytestmark = pytest.mark.long

SECONDS: Final = 15.0
COUNT: Final = "20000"
FUNDS, COUNCILS = "8142164.78", "19857835.22"
LARGE: Final = Opening.model_validate(
    {
        "stands_on": "2021-09-30",
        "outcomes": [{"outcome": "HOME", "year": "2020-21", "quantity": COUNT, "assessed": "28000000.00"}],
        "payers": [
            {"payer": FUND, "year": "2020-21", "allotted": FUNDS, "paid": FUNDS},
            {"payer": COUNCIL, "year": "2020-21", "allotted": COUNCILS, "paid": COUNCILS},
        ],
        "splits": [{"version": 1, "split": "28000000.00", "parts": {FUND: FUNDS, COUNCIL: COUNCILS}}],
        "lines": accepted("HOME", range(MOST_LINES), "2020-06-01", "1400.00"),
        "reason": "Kept in spreadsheets until September.",
    }
)


class TestTwentyThousandLines:
    def test_are_recognised_within_15_seconds_in_one_commit_as_the_dry_run_said(self, story: Story) -> None:
        ledger = story.ledger
        story.begin()
        story.register(award_amount="99999999.99", payers=[{**each, "maximum": None} for each in TERMS["payers"]])  # type: ignore[attr-defined]
        story.tell(AMINA, partial(opening_position.propose, award=REFERENCE, opening=LARGE, today=TODAY))
        before = ledger.head()
        command = partial(opening_position.agree, award=REFERENCE, by=BEN, today=TODAY)
        rehearsed = ledger.record_now(command, Request(BEN), dry_run=True)
        assert ledger.head() == before
        begun = time.perf_counter()
        done = story.tell(BEN, command)
        took = time.perf_counter() - begun
        assert [(each.stream, each.event) for each in done.entries] == [(each.stream, each.event) for each in rehearsed.entries]
        assert [size for size, _ in ledger.log.reads.heads(before.size, 10)] == [before.size + len(done.entries)]
        tokens = {each.stream.rpartition("/")[2] for each in done.entries if "/participant/" in each.stream}
        assert len(tokens) == MOST_LINES
        known = ledger.load(participant_stream(REFERENCE, next(iter(tokens))))[0]  # type: ignore[arg-type]
        assert (str(known.accepted("HOME")), str(known.assessed)) == ("1", "1400.00")
        assert took < SECONDS
