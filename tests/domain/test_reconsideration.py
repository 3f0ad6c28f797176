"""Reconsideration: curtailed lines are assessed anew against today's headroom, by two persons (M5)."""

from datetime import date, timedelta
from functools import partial

import pytest

from domain.aggregate import Actor
from domain.award import AwardIsClosedToClaims, AwardIsPaused, AwardPaused
from domain.claim import NamedLine, claim_stream
from domain.clawback import agree as agree_clawback
from domain.clawback import raise_clawback
from domain.money import Money
from domain.participant import participant_stream
from domain.payment import ApproverTookPart, payment_stream
from domain.reconsideration import (
    ClaimantMayNotReconsider,
    LinesCannotBeReconsidered,
    NothingIsGained,
    ProposerMayNotReconsider,
    ReconsiderationExists,
    ReconsiderationIsConcluded,
    ReconsiderationWouldTake,
    Reconsidering,
    agree,
    propose,
    reconsideration_stream,
    withdraw,
)
from domain.variation import agree as agree_terms
from tests.domain.given import MemoryFacts
from tests.domain.kirklees import AMINA, APARNA, BEN, CLAIRE, COUNCIL, FUND, REFERENCE, REVIEWED, TODAY, line, terms
from tests.domain.test_clawback import AWARD, balances, claimed, clawing, pounds

CLAIM = claim_stream(REFERENCE, "2021-Q3")
RC = reconsideration_stream(REFERENCE, "RC-1")


def reconsidering(*lines: int, reconsideration: str = "RC-1") -> Reconsidering:
    named = tuple(NamedLine(claim="2021-Q3", line=number) for number in lines)
    return Reconsidering(reconsideration=reconsideration, lines=named, reason="Room again after the clawback.")


def proposed(facts: MemoryFacts, *lines: int) -> MemoryFacts:
    facts.play(partial(propose, award=REFERENCE, reconsidering=reconsidering(*lines)), AMINA.person)
    return facts


def agreed_by(facts: MemoryFacts, by: Actor = BEN) -> MemoryFacts:
    facts.play(partial(agree, award=REFERENCE, reconsideration="RC-1", by=by, today=TODAY), by.person)
    return facts


def curtailed() -> MemoryFacts:
    """Three homes of £1,400.00, of which the award's limit left the last one £200.00."""
    return claimed(line(), line(), line(), award_amount="3000.00")


def clawed_back(facts: MemoryFacts) -> MemoryFacts:
    """The first line is taken back, so that there is room for £1,400.00 again."""
    facts.play(partial(raise_clawback, award=REFERENCE, clawing=clawing((1, "1"))), AMINA.person)
    facts.play(partial(agree_clawback, award=REFERENCE, clawback="CB-1", by=BEN, today=TODAY), BEN.person)
    return facts


def varied(facts: MemoryFacts, on: date = TODAY, *, decommitment: bool = False, **changes: object) -> MemoryFacts:
    """Further terms by two persons, in force from a day on."""
    event = facts[AWARD].propose(
        terms(effective_from=str(on), **changes), reason=REVIEWED, today=TODAY, decommitment=decommitment
    )
    facts.record({AWARD: (event,)}, AMINA.person)
    facts.play(partial(agree_terms, award=REFERENCE, number=event.version, by=BEN, today=TODAY), BEN.person)
    return facts


class TestAgree:
    def test_pays_what_was_curtailed_as_far_as_there_is_room_today(self) -> None:
        facts = clawed_back(curtailed())
        assert pounds(facts, "curtailed.award_amount") == "1200.00"
        before = balances(facts)
        agreed_by(proposed(facts, 3))
        assert (pounds(facts, "assessed"), pounds(facts, "curtailed.award_amount")) == ("2800.00", "0.00")
        assert str(facts[CLAIM].lines[2].stands.assessed) == "1400.00"
        more = sum(balances(facts)[stage, payer] - before[stage, payer] for stage in ("due",) for payer in (FUND, COUNCIL))
        assert Money(more) == Money.parse("1200.00")
        told = facts[RC].agreed
        assert told is not None
        assert (str(told.gained), told.assessment, facts[RC].agreed_by) == ("1200.00", 3, BEN.person)

    def test_curtails_again_what_finds_no_room(self) -> None:
        facts = varied(curtailed(), award_amount="3500.00")
        agreed_by(proposed(facts, 3))
        assert (pounds(facts, "assessed"), pounds(facts, "curtailed.award_amount")) == ("3500.00", "700.00")

    def test_leaves_parts_as_if_it_had_been_assessed_so_at_once(self) -> None:
        """To the penny, whatever was curtailed meanwhile (M6)."""
        facts = varied(curtailed(), award_amount="4200.00")
        agreed_by(proposed(facts, 3))
        at_once = claimed(line(), line(), line(), award_amount="4200.00")
        assert facts[AWARD].standing.accumulators == at_once[AWARD].standing.accumulators
        assert facts[AWARD].standing.allotted == at_once[AWARD].standing.allotted

    def test_counts_a_participants_amount_anew(self) -> None:
        facts = claimed(line("HOME", participant="KBOP-0042"), line("JOB", participant="KBOP-0042"), participant_amount="2000.00")
        agreed_by(proposed(varied(facts, participant_amount="9000.00"), 2))
        stands = facts[participant_stream(REFERENCE, facts.pseudonym(REFERENCE, "KBOP-0042"))]
        assert (str(stands.assessed), pounds(facts, "assessed")) == ("4700.00", "4700.00")

    def test_refuses_when_there_is_no_room(self) -> None:
        facts = proposed(curtailed(), 3)
        with pytest.raises(NothingIsGained):
            agreed_by(facts)

    def test_refuses_to_take_back_where_a_limit_was_lowered_under_what_stands(self) -> None:
        """A decommitment takes nothing back (M9), and neither does a reconsideration after it."""
        tomorrow = TODAY + timedelta(days=1)
        facts = proposed(varied(curtailed(), tomorrow, decommitment=True, award_amount="2900.00"), 3)
        with pytest.raises(ReconsiderationWouldTake) as refused:
            agree(facts, REFERENCE, "RC-1", by=BEN, today=tomorrow)
        assert [(each.where, each.what) for each in refused.value.faults] == [
            ("claims.2021-Q3.lines.3", "has 200.00, and would have 100.00")
        ]

    def test_needs_a_second_person_who_is_not_of_the_claimants_party(self) -> None:
        facts = proposed(clawed_back(curtailed()), 3)
        for by, refusal in ((AMINA, ProposerMayNotReconsider), (CLAIRE, ClaimantMayNotReconsider)):
            with pytest.raises(refusal):
                agreed_by(facts, by)

    def test_lets_nobody_who_took_part_approve_the_payment(self) -> None:
        facts = agreed_by(proposed(clawed_back(curtailed()), 3))
        due = facts[payment_stream(REFERENCE, 3, COUNCIL)]
        for took_part in (AMINA, BEN, CLAIRE):
            with pytest.raises(ApproverTookPart):
                due.approve(took_part, today=TODAY)
        due.approve(APARNA, today=TODAY)

    def test_refuses_a_second_time(self) -> None:
        facts = agreed_by(proposed(clawed_back(curtailed()), 3))
        with pytest.raises(ReconsiderationIsConcluded):
            agreed_by(facts)

    def test_refuses_while_the_award_is_paused_or_after_it_was_closed(self) -> None:
        facts = proposed(clawed_back(curtailed()), 3)
        closed = {AWARD: (facts[AWARD].close(today=TODAY),)}
        facts.record({AWARD: (AwardPaused(on=TODAY),)}, BEN.person)
        with pytest.raises(AwardIsPaused):
            agreed_by(facts)
        facts.record(closed, BEN.person)
        with pytest.raises(AwardIsClosedToClaims):
            agreed_by(facts)


class TestPropose:
    def test_refuses_lines_that_are_not_curtailed_or_not_there_or_named_twice(self) -> None:
        with pytest.raises(LinesCannotBeReconsidered) as refused:
            propose(curtailed(), REFERENCE, reconsidering(1, 3, 3, 4))
        assert [(each.where, each.what) for each in refused.value.faults] == [
            ("lines.0", "nothing of the line is curtailed"),
            ("lines.2", "is named twice"),
            ("lines.3", "claim 2021-Q3 has no line 4"),
        ]

    def test_refuses_a_reference_that_is_taken_in_another_case(self) -> None:
        facts = proposed(curtailed(), 3)
        with pytest.raises(ReconsiderationExists):
            propose(facts, REFERENCE, reconsidering(3, reconsideration="rc-1"))

    def test_moves_nothing(self) -> None:
        facts = curtailed()
        before = balances(facts)
        assert balances(proposed(facts, 3)) == before


class TestWithdraw:
    def test_ends_it(self) -> None:
        facts = proposed(clawed_back(curtailed()), 3)
        facts.play(partial(withdraw, award=REFERENCE, reconsideration="RC-1", reason="Not now."), BEN.person)
        with pytest.raises(ReconsiderationIsConcluded):
            agreed_by(facts)
