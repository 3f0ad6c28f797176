"""Other payments: sums that are not for outcomes, split and allotted as assessments are, by two persons (M10)."""

from datetime import date
from functools import partial
from typing import Any

import pytest

from domain.aggregate import Actor, PersonId
from domain.assessment import StatedAmount
from domain.award import AwardIsClosedToClaims, AwardIsPaused, LimitsUnderWhatStands, Step
from domain.claim import claim_stream
from domain.closing import close
from domain.money import Money
from domain.other_payment import (
    BeneficiaryMayNotPay,
    OtherPaying,
    OtherPaymentExists,
    OtherPaymentIsConcluded,
    OtherPaymentOverLimit,
    ProposerMayNotPay,
    agree,
    other_payment_stream,
    propose,
    withdraw,
)
from domain.payment import ApproverTookPart, DateAhead, Stage, payment_stream
from domain.postings import postings
from domain.receivable import receivable_stream
from domain.terms import NoTermsInForce
from tests.domain.given import MemoryFacts, commitment
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
    agreed,
    line,
    terms,
)
from tests.domain.test_clawback import AWARD, balances, claimed, clawed, paid, pounds
from tests.domain.test_reconsideration import varied

DATED = date(2020, 5, 1)
PANDEMIC = "Outcomes could not be achieved."


def paying(amount: str = "700.00", dated: date = DATED, **more: Any) -> OtherPaying:
    said = {"other_payment": "GP-1", "payment_type": "activity", "amount": amount, "dated": str(dated), "reason": PANDEMIC}
    return OtherPaying.model_validate({**said, **more})


def proposed(facts: MemoryFacts, amount: str = "700.00", dated: date = DATED, **more: Any) -> MemoryFacts:
    asked = paying(amount, dated, **more)
    facts.play(partial(propose, award=REFERENCE, paying=asked, today=TODAY), AMINA.person)
    return facts


def agreed_by(facts: MemoryFacts, by: Actor = BEN, other_payment: str = "GP-1") -> MemoryFacts:
    facts.play(partial(agree, award=REFERENCE, other_payment=other_payment, by=by, today=TODAY), by.person)
    return facts


def other(facts: MemoryFacts, amount: str = "700.00", dated: date = DATED, **more: Any) -> MemoryFacts:
    return agreed_by(proposed(facts, amount, dated, **more), other_payment=more.get("other_payment", "GP-1"))


def split(facts: MemoryFacts, other_payment: str = "GP-1") -> StatedAmount:
    found = facts[other_payment_stream(REFERENCE, other_payment)].agreed
    assert found is not None
    return found.split


def allotted(facts: MemoryFacts, other_payment: str = "GP-1") -> list[str]:
    return [str(each.allotted) for each in split(facts, other_payment).allotments]


def payers(maximum: str, **more: object) -> list[dict[str, object]]:
    fund, council = terms().model_dump(mode="json")["payers"]
    return [{**fund, "maximum": maximum, **more}, council]


class TestAgree:
    def test_splits_to_the_penny_with_what_was_split_before(self) -> None:
        """M6's example, 180/619 three times £700.00, whichever of them are for outcomes."""
        facts = agreed(terms(outcomes=[{"code": "HOME", "title": "A home", "unit": "person", "price": "700.00"}]))
        other(facts)
        claimed(line(), facts=facts)
        other(facts, other_payment="GP-2")
        assert allotted(facts)[0] == "203.55"
        stands = facts[claim_stream(REFERENCE, "2021-Q3")].lines[0].stands
        assert (str(stands.allotted[FUND]), allotted(facts, "GP-2")[0]) == ("203.56", "203.55")
        told = split(facts, "GP-2")
        assert (str(told.before), str(told.after), told.version) == ("1400.00", "2100.00", 1)

    def test_falls_due_for_each_payer_and_stands_apart_from_what_is_assessed(self) -> None:
        facts = other(agreed())
        assert (pounds(facts, "other-payments"), pounds(facts, "due", FUND), pounds(facts, "due", COUNCIL)) == (
            "-700.00",
            "203.55",
            "496.45",
        )
        assert pounds(facts, "assessed") == "0.00"
        standing = facts[AWARD].standing
        assert (str(standing.assessed), str(standing.others), standing.outcomes, standing.quantities) == (
            "0.00",
            "700.00",
            {},
            {},
        )
        due = facts[payment_stream(REFERENCE, 1, COUNCIL)]
        assert (str(due.amount), due.years, due.payee, due.claim) == ("496.45", {"2020-21": Money(496_45)}, PRIME, None)

    def test_takes_effect_in_balances_on_its_stated_date(self) -> None:
        facts = other(agreed(), dated=date(2020, 3, 31))
        event = facts.happened(other_payment_stream(REFERENCE, "GP-1").name)[-1]
        assert {(each.effective, each.year) for each in postings(event)} == {(date(2020, 3, 31), "2019-20")}
        assert event.takes_effect() == TODAY

    def test_goes_by_the_shares_in_force_on_its_stated_date(self) -> None:
        halves = [{**each, "share": "1/2"} for each in TERMS["payers"]]  # type: ignore[attr-defined]
        facts = varied(agreed(), date(2021, 1, 1), payers=halves)
        other(facts, dated=date(2020, 12, 31))
        other(facts, dated=date(2021, 1, 1), other_payment="GP-2")
        assert (split(facts).version, allotted(facts)) == (1, ["203.55", "496.45"])
        assert (split(facts, "GP-2").version, allotted(facts, "GP-2")) == (2, ["350.00", "350.00"])

    def test_takes_no_more_of_a_payer_than_its_maximum_leaves(self) -> None:
        """M7's example, with the residual payer and without; the part, not the allotment, is what M6 counts."""
        residual = other(agreed(terms(payers=payers("100.00"))))
        assert allotted(residual) == ["100.00", "600.00"]
        assert str(split(residual).allotments[0].part) == "203.55"
        unfunded = other(agreed(terms(payers=payers("100.00"), shortfall="unfunded")))
        assert (allotted(unfunded), str(split(unfunded).unfunded)) == (["100.00", "496.45"], "103.55")
        assert (pounds(unfunded, "unfunded"), str(unfunded[AWARD].standing.unfunded)) == ("103.55", "103.55")

    @pytest.mark.parametrize(("dated", "fund"), [(date(2020, 4, 30), "203.55"), (date(2020, 5, 1), "0.00")])
    def test_allots_nothing_to_a_payer_that_had_stopped_by_its_date(self, dated: date, fund: str) -> None:
        facts = agreed(terms(payers=payers("6600000.00", claims_until="2020-04-30")))
        assert allotted(other(facts, dated=dated))[0] == fund

    def test_counts_against_the_year_of_its_date_and_the_award_but_no_outcome(self) -> None:
        card = [{"code": "HOME", "title": "A home", "unit": "person", "price": "1400.00", "max_amount": "1400.00"}]
        facts = other(agreed(terms(outcomes=card, year_amounts={"2021-22": "2000.00"})), dated=date(2021, 4, 1))
        claimed(line(), facts=facts)
        assert (pounds(facts, "assessed"), pounds(facts, "curtailed.year_amount")) == ("1300.00", "100.00")
        assert str(facts[AWARD].standing.years["2021-22"]) == "2000.00"
        assert str(facts[AWARD].standing.outcomes["HOME"]) == "1300.00"

    def test_leaves_a_claim_what_the_award_has_left(self) -> None:
        facts = claimed(line(), facts=other(agreed(terms(award_amount="1500.00"))))
        assert (pounds(facts, "assessed"), pounds(facts, "curtailed.award_amount")) == ("800.00", "600.00")

    def test_pays_all_that_its_year_leaves_and_refuses_a_penny_more(self) -> None:
        limited = terms(year_amounts={"2020-21": "700.00"})
        other(agreed(limited))
        other(agreed(limited), "700.01", date(2020, 3, 31))
        other(agreed(limited), "700.01", date(2021, 4, 1))
        with pytest.raises(OtherPaymentOverLimit):
            proposed(agreed(limited), "700.01")

    def test_refuses_what_finds_no_room_any_more_with_every_limit_and_cuts_nothing(self) -> None:
        facts = proposed(agreed(terms(award_amount="1400.00", year_amounts={"2021-22": "1400.00"})), dated=date(2021, 7, 1))
        claimed(line(), facts=facts)
        before = balances(facts)
        with pytest.raises(OtherPaymentOverLimit) as refused:
            agreed_by(facts)
        assert [(each.where, each.what) for each in refused.value.faults] == [
            ("year_amount.2021-22", "0.00 is left, and 700.00 would be paid"),
            ("award_amount", "0.00 is left, and 700.00 would be paid"),
        ]
        assert balances(facts) == before

    def test_has_what_the_payee_owes_taken_off(self) -> None:
        facts = claimed(line())
        paid(facts, 1, FUND)
        clawed(facts, (1, "1"))
        assert str(facts[receivable_stream(REFERENCE, 2, FUND, PRIME)].open) == "407.11"
        other(facts, "2000.00")
        due = facts[payment_stream(REFERENCE, 3, FUND)]
        assert (str(due.gross), str(due.amount), due.stage) == ("581.58", "174.47", Stage.DUE)
        assert facts[AWARD].receivables == {}

    def test_counts_where_limits_are_lowered_and_where_the_commitment_goes_back(self) -> None:
        facts = other(agreed())
        with pytest.raises(LimitsUnderWhatStands):
            facts[AWARD].propose(terms(award_amount="699.99"), reason=REVIEWED, today=TODAY)
        facts[AWARD].propose(terms(award_amount="700.00"), reason=REVIEWED, today=TODAY)
        facts.play(partial(close, award=REFERENCE, today=TODAY), AMINA.person)
        assert [str(each.released) for each in facts.happened(AWARD.name) if each.type == "award.closed-to-claims"] == [  # type: ignore[attr-defined]
            "22299300.00"
        ]

    def test_refuses_whoever_proposed_it(self) -> None:
        with pytest.raises(ProposerMayNotPay):
            agreed_by(proposed(agreed()), AMINA)

    @pytest.mark.parametrize("party", [PRIME, PROVIDER])
    def test_refuses_a_person_of_a_party_that_gains_by_it(self, party: str) -> None:
        """The payee, and the provider behind it."""
        with pytest.raises(BeneficiaryMayNotPay):
            agreed_by(proposed(agreed()), Actor(PersonId("priya"), party))
        agreed_by(proposed(agreed()), CERYS)

    def test_keeps_both_from_approving_what_falls_due(self) -> None:
        due = other(agreed())[payment_stream(REFERENCE, 1, FUND)]
        for took_part in (AMINA, BEN):
            with pytest.raises(ApproverTookPart):
                due.approve(took_part, today=TODAY)
        due.approve(APARNA, today=TODAY)

    def test_refuses_a_second_agreement(self) -> None:
        with pytest.raises(OtherPaymentIsConcluded):
            agreed_by(other(agreed()))

    def test_refuses_while_the_award_is_paused_or_closed(self) -> None:
        paused = proposed(agreed())
        paused.play(lambda facts: {AWARD: (facts[AWARD].propose_step(Step.PAUSE, commitment("Why")),)}, AMINA.person)
        paused.play(lambda facts: {AWARD: (facts[AWARD].agree_step(BEN, today=TODAY),)}, BEN.person)
        with pytest.raises(AwardIsPaused):
            agreed_by(paused)
        closed = proposed(agreed())
        closed.play(partial(close, award=REFERENCE, today=TODAY), AMINA.person)
        with pytest.raises(AwardIsClosedToClaims):
            agreed_by(closed)


class TestPropose:
    def test_moves_nothing_and_keeps_the_reason_in_the_vault(self) -> None:
        facts = proposed(agreed())
        assert not balances(facts)
        event = facts[other_payment_stream(REFERENCE, "gp-1")].proposed
        assert (event.reason, facts.reveal(event.reason)) == (commitment(PANDEMIC), PANDEMIC)

    def test_refuses_a_date_that_lies_ahead(self) -> None:
        proposed(agreed(), dated=TODAY)
        with pytest.raises(DateAhead):
            proposed(agreed(), dated=date(2021, 10, 5))

    def test_refuses_a_date_on_which_no_terms_are_in_force(self) -> None:
        proposed(agreed(), dated=date(2019, 9, 1))
        with pytest.raises(NoTermsInForce):
            proposed(agreed(), dated=date(2019, 8, 31))

    def test_refuses_a_reference_that_is_taken_in_another_case(self) -> None:
        with pytest.raises(OtherPaymentExists):
            proposed(proposed(agreed()), other_payment="gp-1")

    def test_refuses_more_than_the_award_leaves(self) -> None:
        proposed(agreed(), "22300000.00")
        with pytest.raises(OtherPaymentOverLimit):
            proposed(agreed(), "22300000.01")


class TestWithdraw:
    def test_ends_it(self) -> None:
        facts = proposed(agreed())
        facts.play(partial(withdraw, award=REFERENCE, other_payment="GP-1", reason="Not now."), CLAIRE.person)
        with pytest.raises(OtherPaymentIsConcluded):
            agreed_by(facts)
        assert not balances(facts)
