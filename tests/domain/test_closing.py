"""The end of an award, and the steps that two persons take: paused, resumed, closed, completed, reopened (section 3)."""

from functools import partial

import pytest

from domain.award import (
    AwardIsClosedToClaims,
    AwardIsCompleted,
    AwardIsNotClosed,
    AwardIsNotDone,
    AwardIsPaused,
    ClaimConcluded,
    ClaimsAreOpen,
    NoStepIsProposed,
    ProposerMayNotAgree,
    Status,
    Step,
    StepDoesNotFit,
    StepIsProposed,
)
from domain.certification import Certificate, certify
from domain.claim import ReasonCode, claim_stream, submit
from domain.clawback import agree as agree_clawback
from domain.clawback import raise_clawback
from domain.clawback import withdraw as withdraw_clawback
from domain.closing import close, complete, propose_step
from domain.opening_position import propose as propose_position
from domain.opening_position import withdraw as withdraw_position
from domain.other_payment import propose as propose_other_payment
from domain.other_payment import withdraw as withdraw_other_payment
from domain.payment import approve, payment_stream
from domain.receivable import propose_write_off, receivable_stream, write_off
from domain.reconsideration import propose as propose_reconsideration
from domain.reconsideration import withdraw as withdraw_reconsideration
from domain.verification import NothingToDecide, Verification, verify
from tests.domain.given import MemoryFacts
from tests.domain.kirklees import (
    AMINA,
    APARNA,
    BEN,
    CERYS,
    CLAIRE,
    COUNCIL,
    FUND,
    PRIME,
    REFERENCE,
    REVIEWED,
    TODAY,
    VIKRAM,
    agreed,
    line,
    submission,
    terms,
)
from tests.domain.test_clawback import AWARD, balances, claimed, clawed, clawing, paid, pounds
from tests.domain.test_opening_position import opening
from tests.domain.test_other_payment import paying
from tests.domain.test_reconsideration import reconsidering

CLAIM = claim_stream(REFERENCE, "2021-Q3")


def deferred(**changes: object) -> MemoryFacts:
    """A claim of three homes: one accepted, two deferred; and of a part of a week."""
    facts = agreed(terms(**changes))
    lines = line(quantity="3"), line("WEEKS", "1")
    facts.play(partial(submit, award=REFERENCE, submission=submission(*lines), by=CLAIRE, today=TODAY), CLAIRE.person)
    decisions = Verification.model_validate(
        {"lines": [{"line": 1, "accepted": "1", "deferred": "2"}, {"line": 2, "deferred": "1"}]}
    )
    facts.play(partial(verify, award=REFERENCE, claim="2021-Q3", verification=decisions, by=VIKRAM, today=TODAY), VIKRAM.person)
    return facts


def closed(facts: MemoryFacts) -> MemoryFacts:
    facts.play(partial(close, award=REFERENCE, today=TODAY), AMINA.person)
    return facts


def completed(facts: MemoryFacts) -> MemoryFacts:
    facts.play(partial(complete, award=REFERENCE, today=TODAY), AMINA.person)
    return facts


def stepped(facts: MemoryFacts, step: Step) -> MemoryFacts:
    """A step that two persons take."""
    facts.play(partial(propose_step, award=REFERENCE, step=step, reason="As the board decided."), AMINA.person)
    facts.record({AWARD: (facts[AWARD].agree_step(BEN, today=TODAY),)}, BEN.person)
    return facts


class TestClose:
    def test_lets_deferred_lines_lapse_with_their_reason(self) -> None:
        facts = deferred()
        worth = balances(facts)["deferred", None]
        closed(facts)
        assert (pounds(facts, "deferred"), balances(facts)["rejected", None]) == ("0.00", worth)
        last = [each.decisions[-1] for each in facts[CLAIM].lines]
        assert [(str(each.rejected), each.reason) for each in last] == [("2", ReasonCode.LAPSED), ("1", ReasonCode.LAPSED)]
        assert facts[AWARD].deferred_claims == frozenset()
        with pytest.raises(NothingToDecide):
            verify(facts, REFERENCE, "2021-Q3", Verification(others="accepted"), by=VIKRAM, today=TODAY)

    def test_gives_back_what_was_not_used_of_the_awards_limit(self) -> None:
        facts = closed(claimed(line(), award_amount="3000.00"))
        event = facts.happened(AWARD.name)[-1]
        assert str(getattr(event, "released", None)) == "1600.00"

    def test_refuses_while_a_claim_waits_for_its_decision(self) -> None:
        facts = agreed()
        facts.play(partial(submit, award=REFERENCE, submission=submission(), by=CLAIRE, today=TODAY), CLAIRE.person)
        with pytest.raises(ClaimsAreOpen):
            closed(facts)

    def test_refuses_while_a_later_decision_waits_for_its_certificate(self) -> None:
        """It would be assessed after what was not used had gone back to the fund."""
        facts = deferred(certification=True)
        signed = partial(certify, award=REFERENCE, claim="2021-Q3", certificate=Certificate(decision="certified"), by=CERYS)
        facts.play(partial(signed, today=TODAY), CERYS.person)
        accepted = Verification(others="accepted")
        facts.play(
            partial(verify, award=REFERENCE, claim="2021-Q3", verification=accepted, by=VIKRAM, today=TODAY), VIKRAM.person
        )
        with pytest.raises(ClaimsAreOpen):
            closed(facts)
        facts.play(partial(signed, today=TODAY), CERYS.person)
        closed(facts)

    def test_takes_no_further_terms(self) -> None:
        """What was given back to the fund cannot be spent by a variation."""
        facts = closed(agreed())
        with pytest.raises(AwardIsClosedToClaims):
            facts[AWARD].propose(terms(), reason=REVIEWED, today=TODAY)

    def test_lets_what_is_due_be_paid_and_what_was_wrong_be_clawed_back(self) -> None:
        facts = closed(claimed())
        approve(facts, payment_stream(REFERENCE, 1, FUND), by=APARNA, today=TODAY)
        facts.play(partial(raise_clawback, award=REFERENCE, clawing=clawing((1, "1"))), AMINA.person)
        agree_clawback(facts, REFERENCE, "CB-1", by=BEN, today=TODAY)


class TestComplete:
    def test_refuses_while_the_award_takes_claims(self) -> None:
        with pytest.raises(AwardIsNotClosed):
            completed(agreed())

    def test_refuses_while_a_payment_is_not_paid(self) -> None:
        facts = closed(claimed())
        paid(facts, 1, FUND)
        with pytest.raises(AwardIsNotDone) as refused:
            completed(facts)
        assert [each.where for each in refused.value.faults] == [f"payments.1.{COUNCIL}"]
        paid(facts, 1, COUNCIL)
        assert completed(facts)[AWARD].status is Status.COMPLETED

    def test_refuses_while_a_claim_awaits_its_certification(self) -> None:
        facts = agreed(terms(certification=True))
        facts.play(partial(submit, award=REFERENCE, submission=submission(), by=CLAIRE, today=TODAY), CLAIRE.person)
        verified = partial(verify, award=REFERENCE, claim="2021-Q3", verification=Verification(others="accepted"))
        facts.play(partial(verified, by=VIKRAM, today=TODAY), VIKRAM.person)
        # As in a ledger that was closed when closing did not look at this yet.
        facts.record({AWARD: (ClaimConcluded(claim="2021-Q3"),)}, AMINA.person)
        facts.record({AWARD: (facts[AWARD].close(today=TODAY),)}, AMINA.person)
        with pytest.raises(AwardIsNotDone) as refused:
            completed(facts)
        assert [each.where for each in refused.value.faults] == ["claims.2021-Q3"]
        with pytest.raises(AwardIsClosedToClaims):
            certify(facts, REFERENCE, "2021-Q3", Certificate(decision="certified"), by=CERYS, today=TODAY)

    def test_leaves_no_step_that_waits_for_its_second_person(self) -> None:
        facts = closed(agreed())
        facts.play(partial(propose_step, award=REFERENCE, step=Step.REOPEN, reason="One claim more."), AMINA.person)
        completed(facts)
        with pytest.raises(NoStepIsProposed):
            facts[AWARD].agree_step(BEN, today=TODAY)

    def test_refuses_while_a_clawback_waits_which_could_never_be_agreed_afterwards(self) -> None:
        facts = claimed(line(quantity="2"))
        paid(facts, 1, FUND)
        paid(facts, 1, COUNCIL)
        facts.play(partial(raise_clawback, award=REFERENCE, clawing=clawing((1, "1"))), AMINA.person)
        closed(facts)
        with pytest.raises(AwardIsNotDone) as refused:
            completed(facts)
        assert [each.where for each in refused.value.faults] == ["clawbacks.CB-1"]
        facts.play(partial(withdraw_clawback, award=REFERENCE, clawback="cb-1", reason="It was eligible."), BEN.person)
        assert completed(facts)[AWARD].status is Status.COMPLETED

    def test_refuses_while_proposals_wait_listing_each(self) -> None:
        facts = claimed(line(), line(), year_amounts={"2021-22": "2000.00"})
        paid(facts, 1, FUND)
        paid(facts, 1, COUNCIL)
        facts.play(partial(propose_reconsideration, award=REFERENCE, reconsidering=reconsidering(2)), AMINA.person)
        facts.play(partial(propose_other_payment, award=REFERENCE, paying=paying(), today=TODAY), AMINA.person)
        closed(facts)
        with pytest.raises(AwardIsNotDone) as refused:
            completed(facts)
        assert [each.where for each in refused.value.faults] == ["other-payments.GP-1", "reconsiderations.RC-1"]
        turn_down = partial(withdraw_reconsideration, award=REFERENCE, reconsideration="RC-1", reason="Closed.")
        facts.play(turn_down, BEN.person)
        facts.play(partial(withdraw_other_payment, award=REFERENCE, other_payment="GP-1", reason="Closed."), BEN.person)
        assert completed(facts)[AWARD].status is Status.COMPLETED

    def test_refuses_while_an_opening_position_waits(self) -> None:
        facts = agreed()
        facts.play(partial(propose_position, award=REFERENCE, opening=opening(), today=TODAY), AMINA.person)
        closed(facts)
        with pytest.raises(AwardIsNotDone) as refused:
            completed(facts)
        assert [each.where for each in refused.value.faults] == ["opening-position"]
        facts.play(partial(withdraw_position, award=REFERENCE, reason="It was never begun elsewhere."), BEN.person)
        assert completed(facts)[AWARD].status is Status.COMPLETED

    def test_is_not_kept_from_it_by_what_was_proposed_and_agreed(self) -> None:
        facts = clawed(claimed(line()), (1, "1"))
        assert facts[AWARD].proposals == frozenset()
        assert completed(closed(facts))[AWARD].status is Status.COMPLETED

    def test_refuses_while_a_receivable_is_open(self) -> None:
        facts = claimed()
        paid(facts, 1, FUND)
        facts.play(partial(raise_clawback, award=REFERENCE, clawing=clawing((1, "1"))), AMINA.person)
        facts.play(partial(agree_clawback, award=REFERENCE, clawback="CB-1", by=BEN, today=TODAY), BEN.person)
        closed(facts)
        with pytest.raises(AwardIsNotDone) as refused:
            completed(facts)
        assert [each.where for each in refused.value.faults] == [f"receivables.2.{FUND}.{PRIME}"]
        owed = receivable_stream(REFERENCE, 2, FUND, PRIME)
        facts.play(partial(propose_write_off, receivable=owed, authority="DCMS-7", reason="Wound up."), AMINA.person)
        facts.play(partial(write_off, receivable=owed, by=BEN, today=TODAY), BEN.person)
        assert completed(facts)[AWARD].status is Status.COMPLETED

    def test_ends_everything_but_reopening(self) -> None:
        facts = completed(closed(agreed()))
        for wrong in (
            partial(submit, facts, REFERENCE, submission(), by=CLAIRE, today=TODAY),
            partial(close, facts, REFERENCE, today=TODAY),
            partial(complete, facts, REFERENCE, today=TODAY),
            partial(raise_clawback, facts, REFERENCE, clawing((1, "1"))),
        ):
            with pytest.raises(AwardIsCompleted):
                wrong()
        assert stepped(facts, Step.REOPEN)[AWARD].status is Status.ACTIVE


class TestStep:
    def test_pausing_takes_no_claim_and_approves_nothing_until_resumed(self) -> None:
        facts = stepped(claimed(), Step.PAUSE)
        due = payment_stream(REFERENCE, 1, FUND)
        with pytest.raises(AwardIsPaused):
            approve(facts, due, by=APARNA, today=TODAY)
        with pytest.raises(AwardIsPaused):
            submit(facts, REFERENCE, submission(claim="2021-Q4"), by=CLAIRE, today=TODAY)
        with pytest.raises(AwardIsPaused):
            closed(facts)
        stepped(facts, Step.RESUME)
        approve(facts, due, by=APARNA, today=TODAY)
        submit(facts, REFERENCE, submission(claim="2021-Q4"), by=CLAIRE, today=TODAY)

    def test_what_was_submitted_before_a_pause_may_be_decided(self) -> None:
        facts = stepped(deferred(), Step.PAUSE)
        verify(facts, REFERENCE, "2021-Q3", Verification(others="accepted"), by=VIKRAM, today=TODAY)

    def test_reopening_takes_claims_again(self) -> None:
        facts = stepped(closed(agreed()), Step.REOPEN)
        submit(facts, REFERENCE, submission(), by=CLAIRE, today=TODAY)

    def test_refuses_whoever_proposed_it(self) -> None:
        facts = agreed()
        facts.play(partial(propose_step, award=REFERENCE, step=Step.PAUSE, reason="A dispute."), AMINA.person)
        with pytest.raises(ProposerMayNotAgree):
            facts[AWARD].agree_step(AMINA, today=TODAY)
        with pytest.raises(StepIsProposed):
            propose_step(facts, REFERENCE, Step.PAUSE, "A dispute.")

    @pytest.mark.parametrize("step", [Step.RESUME, Step.REOPEN])
    def test_refuses_a_step_that_does_not_lead_on(self, step: Step) -> None:
        with pytest.raises(StepDoesNotFit):
            propose_step(agreed(), REFERENCE, step, "A dispute.")
        with pytest.raises(StepDoesNotFit):
            propose_step(stepped(agreed(), Step.PAUSE), REFERENCE, Step.PAUSE, "A dispute.")

    def test_can_be_turned_down(self) -> None:
        facts = agreed()
        with pytest.raises(NoStepIsProposed):
            facts[AWARD].withdraw_step()
        facts.play(partial(propose_step, award=REFERENCE, step=Step.PAUSE, reason="A dispute."), AMINA.person)
        facts.record({AWARD: (facts[AWARD].withdraw_step(),)}, BEN.person)
        with pytest.raises(NoStepIsProposed):
            facts[AWARD].agree_step(BEN, today=TODAY)
