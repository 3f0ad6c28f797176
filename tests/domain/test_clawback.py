"""Clawback: what was accepted in error is taken back by two persons, as it was given (M8)."""

from collections import Counter
from functools import partial
from typing import Any

import pytest
from pydantic import ValidationError

from domain.aggregate import Actor
from domain.assessment import ReversedLine
from domain.award import award_stream
from domain.certification import Certificate, PrerequisiteNoLongerStands, certify
from domain.claim import ReasonCode, claim_stream, submit
from domain.clawback import (
    ClaimantMayNotAgree,
    ClawbackExists,
    ClawbackIsConcluded,
    Clawing,
    LinesCannotBeClawedBack,
    RaiserMayNotAgree,
    agree,
    clawback_stream,
    raise_clawback,
    withdraw,
)
from domain.money import Money
from domain.participant import participant_stream
from domain.payment import ApproverTookPart, Stage, payment_stream
from domain.postings import postings
from domain.receivable import (
    MoreThanIsOpen,
    NothingIsOpen,
    ProposerMayNotWriteOff,
    RecoveredBeforeOpened,
    propose_write_off,
    receivable_stream,
    recover,
    write_off,
)
from domain.verification import Verification, verify
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
    PROVIDER,
    REFERENCE,
    REVIEWED,
    TERMS,
    TODAY,
    VIKRAM,
    agreed,
    line,
    outcomes,
    submission,
    terms,
)

AWARD, RECEIVABLE = award_stream(REFERENCE), receivable_stream(REFERENCE, 2, FUND, PRIME)
POUND = {"code": "POUND", "title": "A pound", "unit": "pound", "price": "1.00"}


def claimed(*lines: dict[str, object], facts: MemoryFacts | None = None, claim: str = "2021-Q3", **more: Any) -> MemoryFacts:
    """A claim that is accepted whole and assessed."""
    facts = facts or agreed(terms(**more))
    facts.play(
        partial(submit, award=REFERENCE, submission=submission(*lines, claim=claim), by=CLAIRE, today=TODAY), CLAIRE.person
    )
    accepted = Verification(others="accepted")
    facts.play(partial(verify, award=REFERENCE, claim=claim, verification=accepted, by=VIKRAM, today=TODAY), VIKRAM.person)
    return facts


def clawing(*lines: tuple[int, str], clawback: str = "CB-1", claim: str = "2021-Q3") -> Clawing:
    named = [{"claim": claim, "line": number, "quantity": quantity} for number, quantity in lines]
    return Clawing.model_validate({"clawback": clawback, "lines": named, "reason": "not-eligible"})


def clawed(
    facts: MemoryFacts, *lines: tuple[int, str], by: Actor = BEN, clawback: str = "CB-1", claim: str = "2021-Q3"
) -> MemoryFacts:
    facts.play(partial(raise_clawback, award=REFERENCE, clawing=clawing(*lines, clawback=clawback, claim=claim)), AMINA.person)
    facts.play(partial(agree, award=REFERENCE, clawback=clawback, by=by, today=TODAY), by.person)
    return facts


def paid(facts: MemoryFacts, assessment: int, payer: str) -> None:
    """As if the payment had been sent and settled."""
    stream = payment_stream(REFERENCE, assessment, payer)
    approved = facts[stream].approve(APARNA, today=TODAY, bank_details=1)
    facts.record({stream: (approved,)}, APARNA.person)
    facts.record({stream: (facts[stream].draw_up("R", today=TODAY),)}, AMINA.person)
    facts.record({stream: (facts[stream].send(today=TODAY),)}, AMINA.person)
    facts.record({stream: (facts[stream].settle("BACS-1", value_date=TODAY, today=TODAY),)}, AMINA.person)


def reversals(facts: MemoryFacts, line: int) -> list[ReversedLine]:
    """What was taken back of a line of the first claim."""
    made = facts[claim_stream(REFERENCE, "2021-Q3")].lines[line - 1].assessments
    return [each for _, each in made if isinstance(each, ReversedLine)]


def balances(facts: MemoryFacts) -> Counter[tuple[str, str | None]]:
    """What stands on each stage, by payer."""
    sums: Counter[tuple[str, str | None]] = Counter()
    for happened in facts.streams.values():
        for event, _ in happened:
            moved = postings(event)
            assert sum(each.amount for each in moved) == 0
            for each in moved:
                sums[each.stage, each.payer] += each.amount
    return Counter({name: amount for name, amount in sums.items() if amount})


def pounds(facts: MemoryFacts, stage: str, payer: str | None = None) -> str:
    return str(Money(balances(facts)[stage, payer]))


class TestAgree:
    def test_takes_a_whole_line_back_as_it_was_allotted(self) -> None:
        """M8's example: the line of £1,400.00 that brought G to £182,400.00 at 180/619."""
        facts = claimed(line("POUND", "181000"), line("HOME"), outcomes=[*outcomes(), POUND])
        clawed(facts, (2, "1"))
        [taken] = reversals(facts, 2)
        assert [(each.payer, str(each.reversed)) for each in taken.reversals] == [(FUND, "407.11"), (COUNCIL, "992.89")]
        assert (str(taken.before), str(taken.after), str(taken.reversed)) == ("182400.00", "181000.00", "1400.00")
        assert str(facts[AWARD].standing.assessed) == "181000.00"

    def test_in_parts_takes_back_in_proportion_and_in_the_end_all(self) -> None:
        facts = claimed(line(quantity="3"))
        before = balances(claimed(line(quantity="3")))
        clawed(facts, (1, "1"))
        assert (pounds(facts, "assessed"), pounds(facts, "rejected")) == ("2800.00", "1400.00")
        clawed(facts, (1, "2"), clawback="CB-2")
        left = balances(facts)
        assert left["assessed", None] == 0
        assert left["netted-off", FUND] == before["due", FUND]
        assert left["receivable.netted-off", FUND] == -before["due", FUND]
        assert facts[AWARD].standing.accumulators.popitem()[1].parts == (0, 0)  # type: ignore[attr-defined]
        assert facts[AWARD].standing.allotted == {FUND: 0, COUNCIL: 0}

    def test_gives_back_first_what_was_curtailed(self) -> None:
        facts = claimed(line(quantity="3"), award_amount="3000.00")
        clawed(facts, (1, "1"))
        assert (pounds(facts, "assessed"), pounds(facts, "curtailed.award_amount")) == ("2800.00", "0.00")
        assert pounds(facts, "rejected") == "1400.00"
        [taken] = reversals(facts, 1)
        assert [(each.limit, str(each.amount)) for each in taken.limits] == [("award_amount", "1200.00")]

    def test_comes_off_the_limits_in_their_order(self) -> None:
        cards = [{**outcome, "max_quantity": "2"} if outcome["code"] == "HOME" else outcome for outcome in outcomes()]
        facts = claimed(line(quantity="3"), outcomes=cards, award_amount="2000.00")
        assert pounds(facts, "curtailed.outcome_quantity") == "1400.00"
        assert pounds(facts, "curtailed.award_amount") == "800.00"
        clawed(facts, (1, "1.5"))
        assert (pounds(facts, "curtailed.outcome_quantity"), pounds(facts, "curtailed.award_amount")) == ("0.00", "100.00")
        assert pounds(facts, "assessed") == "2000.00"
        assert str(facts[AWARD].standing.quantities["HOME"]) == "1.5"

    def test_takes_unfunded_last(self) -> None:
        payers = [{**TERMS["payers"][0], "maximum": "100.00"}, TERMS["payers"][1]]  # type: ignore[index]
        facts = claimed(line(quantity="2"), payers=payers, shortfall="unfunded")
        unfunded = balances(facts)["unfunded", None]
        clawed(facts, (1, "1"))
        assert balances(facts)["unfunded", None] == unfunded // 2
        assert pounds(facts, "due", FUND) == "50.00"

    def test_gives_the_participant_room_again(self) -> None:
        facts = claimed(line("JOB", participant="KBOP-0042"))
        clawed(facts, (1, "1"))
        token = facts.pseudonym(REFERENCE, "KBOP-0042")
        stands = facts[participant_stream(REFERENCE, token)]
        assert (stands.accepted("JOB"), stands.assessed, dict(stands.achievements)) == (0, 0, {})
        claimed(line("JOB", participant="KBOP-0042"), facts=facts, claim="2021-Q4")
        assert pounds(facts, "assessed") == "3300.00"

    def test_lists_what_needed_the_line_and_lets_it_stand(self) -> None:
        facts = claimed(line(participant="KBOP-0042"), line("HOME-3", participant="KBOP-0042"))
        clawed(facts, (1, "1"))
        agreed_ = facts[clawback_stream(REFERENCE, "CB-1")].agreed
        assert agreed_ is not None
        assert [(each.claim, each.line) for each in agreed_.dependants] == [("2021-Q3", 2)]
        assert (agreed_.dependants_went_too, pounds(facts, "assessed")) == (False, "700.00")

    def test_lists_nothing_that_needed_the_line_while_some_of_that_outcome_stands(self) -> None:
        facts = claimed(line(quantity="2", participant="KBOP-0042"), line("HOME-3", participant="KBOP-0042"), dependants="go-too")
        clawed(facts, (1, "1"))
        agreed_ = facts[clawback_stream(REFERENCE, "CB-1")].agreed
        assert agreed_ is not None
        assert (agreed_.dependants, pounds(facts, "assessed")) == ((), "2100.00")

    def test_takes_what_needed_the_line_too_where_the_terms_say_so(self) -> None:
        facts = claimed(
            line(participant="KBOP-0042"),
            line("HOME-3", participant="KBOP-0042"),
            line(participant="KBOP-7"),
            dependants="go-too",
        )
        clawed(facts, (1, "1"))
        assert pounds(facts, "assessed") == "1400.00"
        assert pounds(facts, "rejected") == "2100.00"

    def test_takes_the_rest_of_a_line_that_it_names_and_that_needed_another(self) -> None:
        facts = claimed(line(participant="KBOP-0042"), line("HOME-3", "2", participant="KBOP-0042"), dependants="go-too")
        clawed(facts, (1, "1"), (2, "0.5"))
        last = facts[claim_stream(REFERENCE, "2021-Q3")].lines[1]
        assert [str(each.quantity) for each in reversals(facts, 2)] == ["0.5", "1.5"]
        assert (last.stands.quantity, last.assessed, str(last.clawed_back), str(last.rejected_value)) == (0, 0, "2", "1400.00")
        with pytest.raises(LinesCannotBeClawedBack):
            raise_clawback(facts, REFERENCE, clawing((2, "1"), clawback="CB-2"))

    def test_needs_a_second_person_who_is_not_of_the_claimants_party(self) -> None:
        facts = claimed()
        facts.play(partial(raise_clawback, award=REFERENCE, clawing=clawing((1, "1"))), AMINA.person)
        for by, refusal in ((AMINA, RaiserMayNotAgree), (CLAIRE, ClaimantMayNotAgree)):
            with pytest.raises(refusal):
                agree(facts, REFERENCE, "CB-1", by=by, today=TODAY)

    def test_is_done_once(self) -> None:
        facts = clawed(claimed(), (1, "1"))
        with pytest.raises(ClawbackIsConcluded):
            agree(facts, REFERENCE, "CB-1", by=BEN, today=TODAY)
        with pytest.raises(ClawbackIsConcluded):
            withdraw(facts, REFERENCE, "CB-1", "too late")

    def test_looks_again_at_what_stands(self) -> None:
        facts = claimed()
        for name in ("CB-1", "CB-2"):
            facts.play(partial(raise_clawback, award=REFERENCE, clawing=clawing((1, "1"), clawback=name)), AMINA.person)
        facts.play(partial(agree, award=REFERENCE, clawback="CB-1", by=BEN, today=TODAY), BEN.person)
        with pytest.raises(LinesCannotBeClawedBack):
            agree(facts, REFERENCE, "CB-2", by=BEN, today=TODAY)


class TestRaise:
    def test_refuses_more_than_stands_listing_every_line(self) -> None:
        with pytest.raises(LinesCannotBeClawedBack) as refused:
            raise_clawback(claimed(), REFERENCE, clawing((1, "1.0001"), (2, "1"), (1, "1")))
        assert [each.where for each in refused.value.faults] == ["lines.0.quantity", "lines.1.line", "lines.2"]

    def test_refuses_a_reference_that_was_used(self) -> None:
        facts = claimed()
        facts.play(partial(raise_clawback, award=REFERENCE, clawing=clawing((1, "1"))), AMINA.person)
        with pytest.raises(ClawbackExists):
            raise_clawback(facts, REFERENCE, clawing((1, "1"), clawback="cb-1"))

    def test_wants_a_note_for_another_reason(self) -> None:
        with pytest.raises(ValidationError, match="needs a note"):
            Clawing.model_validate({**clawing((1, "1")).model_dump(mode="json"), "reason": ReasonCode.OTHER})

    def test_moves_nothing_until_it_is_agreed_and_nothing_if_withdrawn(self) -> None:
        facts = claimed()
        before = balances(facts)
        facts.play(partial(raise_clawback, award=REFERENCE, clawing=clawing((1, "1"))), AMINA.person)
        facts.play(partial(withdraw, award=REFERENCE, clawback="CB-1", reason="mistaken"), BEN.person)
        assert balances(facts) == before


class TestReceivable:
    def test_comes_off_a_payment_of_the_same_assessment_that_was_not_sent(self) -> None:
        facts = clawed(claimed(line(quantity="2")), (1, "1"))
        payment = facts[payment_stream(REFERENCE, 1, FUND)]
        assert (str(payment.gross), str(payment.amount), payment.stage) == ("814.22", "407.11", Stage.DUE)
        assert facts[RECEIVABLE].open == 0
        assert facts[AWARD].receivables == {}

    def test_leaves_nothing_to_pay_of_a_payment_that_it_takes_whole(self) -> None:
        facts = clawed(claimed(), (1, "1"))
        payment = facts[payment_stream(REFERENCE, 1, FUND)]
        assert (payment.stage, payment.amount) == (Stage.NETTED_OFF, 0)

    def test_waits_for_the_next_payments_and_takes_of_them_oldest_first(self) -> None:
        facts = claimed(line(quantity="2"), line())
        paid(facts, 1, FUND)
        clawed(facts, (1, "2"))
        clawed(facts, (2, "1"), clawback="CB-2")
        assert [str(each) for each in facts[AWARD].receivables.values()] == ["814.22", "407.10"]
        claimed(line(quantity="1"), facts=facts, claim="2021-Q4")  # The next payment is smaller than what is owed.
        assert [str(each) for each in facts[AWARD].receivables.values()] == ["407.11", "407.10"]
        assert facts[payment_stream(REFERENCE, 4, FUND)].stage is Stage.NETTED_OFF
        claimed(line(quantity="3"), facts=facts, claim="2022-Q1")
        assert facts[AWARD].receivables == {}
        last = facts[payment_stream(REFERENCE, 5, FUND)]
        assert ([number for number, _ in last.netted], str(last.gross - last.amount)) == ([2, 3], "814.21")

    def test_is_not_netted_off_a_payment_that_was_due_before_and_is_for_other_lines(self) -> None:
        """Nor does it keep what is taken back of those lines from that payment."""
        facts = claimed()
        paid(facts, 1, FUND)
        claimed(line(quantity="2"), facts=facts, claim="2021-Q4")
        clawed(facts, (1, "1"))
        clawed(facts, (1, "1"), clawback="CB-2", claim="2021-Q4")
        due = facts[payment_stream(REFERENCE, 2, FUND)]
        assert ([number for number, _ in due.netted], str(due.amount)) == ([4], "407.10")
        assert {name.assessment: str(open_) for name, open_ in facts[AWARD].receivables.items()} == {3: "407.11"}

    def test_is_not_netted_off_what_another_payee_gets(self) -> None:
        facts = claimed()
        paid(facts, 1, FUND)
        clawed(facts, (1, "1"))
        payers = [{**payer, "payee": PROVIDER} for payer in TERMS["payers"]]  # type: ignore[attr-defined]
        version = terms(effective_from="2021-10-05", payers=payers)
        facts.record({AWARD: (facts[AWARD].propose(version, reason=REVIEWED, today=TODAY),)}, AMINA.person)
        facts.record({AWARD: (facts[AWARD].agree_terms(2, BEN, today=TODAY),)}, BEN.person)
        tomorrow = TODAY.replace(day=6)
        facts.play(partial(submit, award=REFERENCE, submission=submission(claim="B"), by=CLAIRE, today=tomorrow), CLAIRE.person)
        accepted = Verification(others="accepted")
        facts.play(partial(verify, award=REFERENCE, claim="B", verification=accepted, by=VIKRAM, today=tomorrow), VIKRAM.person)
        assert str(facts[payment_stream(REFERENCE, 3, FUND)].amount) == "407.11"
        assert str(facts[RECEIVABLE].open) == "407.11"

    def test_gives_headroom_back_on_receipt_where_it_is_invoiced(self) -> None:
        facts = claimed()
        paid(facts, 1, FUND)
        clawed(facts, (1, "1"))
        assert str(facts[AWARD].standing.allotted[FUND]) == "407.11"
        play = partial(recover, receivable=RECEIVABLE, amount=Money(10000), reference="INV-7", value_date=TODAY, today=TODAY)
        facts.play(play, AMINA.person)
        assert str(facts[AWARD].standing.allotted[FUND]) == "307.11"
        assert str(facts[RECEIVABLE].open) == "307.11"
        assert pounds(facts, "receivable.recovered", FUND) == "-100.00"

    def test_gives_none_back_where_it_is_written_off_by_two_persons(self) -> None:
        facts = claimed()
        paid(facts, 1, FUND)
        clawed(facts, (1, "1"))
        facts.play(partial(propose_write_off, receivable=RECEIVABLE, authority="DCMS-2021-7", reason="insolvent"), AMINA.person)
        with pytest.raises(ProposerMayNotWriteOff):
            write_off(facts, RECEIVABLE, by=AMINA, today=TODAY)
        facts.play(partial(write_off, receivable=RECEIVABLE, by=BEN, today=TODAY), BEN.person)
        assert str(facts[AWARD].standing.allotted[FUND]) == "407.11"
        assert (facts[RECEIVABLE].open, facts[AWARD].receivables) == (0, {})
        with pytest.raises(NothingIsOpen):
            recover(facts, RECEIVABLE, Money(1), "INV-8", value_date=TODAY, today=TODAY)

    def test_cannot_be_recovered_beyond_what_is_open_or_before_it_was_opened(self) -> None:
        facts = claimed()
        paid(facts, 1, FUND)
        clawed(facts, (1, "1"))
        with pytest.raises(MoreThanIsOpen):
            recover(facts, RECEIVABLE, Money(40712), "INV-7", value_date=TODAY, today=TODAY)
        with pytest.raises(RecoveredBeforeOpened):
            recover(facts, RECEIVABLE, Money(1), "INV-7", value_date=TODAY.replace(day=1), today=TODAY)

    def test_leaves_an_approved_payment_approved_and_keeps_who_took_part_from_approving(self) -> None:
        facts = claimed(line(quantity="2"))
        stream = payment_stream(REFERENCE, 1, FUND)
        facts.record({stream: (facts[stream].approve(APARNA, today=TODAY),)}, APARNA.person)
        clawed(facts, (1, "1"))
        assert (facts[stream].stage, str(facts[stream].amount)) == (Stage.APPROVED, "407.11")
        with pytest.raises(ApproverTookPart):
            facts[payment_stream(REFERENCE, 1, COUNCIL)].approve(VIKRAM, today=TODAY)


def test_a_dependant_that_awaits_its_certificate_is_refused_it_where_dependants_go_too() -> None:
    facts = agreed(terms(certification=True, dependants="go-too"))
    for claim, home in (("2021-Q3", line(participant="KBOP-0042")), ("2021-Q4", line("HOME-3", participant="KBOP-0042"))):
        claimed(home, facts=facts, claim=claim)
        if claim == "2021-Q3":
            certify_ = partial(certify, award=REFERENCE, claim=claim, certificate=Certificate(decision="certified"))
            facts.play(partial(certify_, by=CERYS, today=TODAY), CERYS.person)
    clawed(facts, (1, "1"))
    with pytest.raises(PrerequisiteNoLongerStands) as refused:
        certify(facts, REFERENCE, "2021-Q4", Certificate(decision="certified"), by=CERYS, today=TODAY)
    assert [each.where for each in refused.value.faults] == ["lines.1"]
    turned_down = Certificate(decision="declined", reason=ReasonCode.PREREQUISITE_MISSING)
    facts.play(partial(certify, award=REFERENCE, claim="2021-Q4", certificate=turned_down, by=CERYS, today=TODAY), CERYS.person)
    assert pounds(facts, "awaiting") == "0.00"


def test_everything_that_is_recorded_can_be_stored() -> None:
    facts = claimed(line(quantity="2"), line(participant="KBOP-0042"), line("HOME-3", participant="KBOP-0042"))
    clawed(facts, (1, "1"), (2, "1"))
    for happened in facts.streams.values():
        for event, _ in happened:
            assert type(event).model_validate_json(event.model_dump_json()) == event
