"""Variation: a version of the terms never edits; a back-dated one reverses and assesses anew what it changes (M9)."""

from functools import partial
from typing import Any

import pytest

from domain.aggregate import Decision
from domain.award import DecommitmentChangesMore, LimitsUnderWhatStands, ProposerMayNotAgree, award_stream
from domain.claim import claim_stream, submit
from domain.payment import Stage, payment_stream
from domain.reassessment import effect
from domain.receivable import receivable_stream
from domain.reference import canonical
from domain.terms import Terms
from domain.variation import ClaimsWouldBeTooLarge, OutcomeWasUsed, agree
from domain.verification import Verification, verify
from tests.domain.given import MemoryFacts
from tests.domain.kirklees import (
    AMINA,
    BEN,
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
from tests.domain.test_clawback import balances, claimed, clawed, paid, pounds

AWARD = award_stream(REFERENCE)


def priced(price: str, effective_from: str, **more: Any) -> Terms:
    """The terms with another price for a home."""
    card = [{**each, "price": price} if each["code"] == "HOME" else each for each in outcomes()]
    return terms(effective_from=effective_from, outcomes=card, **more)


def proposed(facts: MemoryFacts, version: Terms, *, decommitment: bool = False) -> int:
    event = facts[AWARD].propose(version, reason=REVIEWED, today=TODAY, decommitment=decommitment)
    facts.record({AWARD: (event,)}, AMINA.person)
    return event.version


def varied(facts: MemoryFacts, version: Terms) -> Decision:
    number = proposed(facts, version)
    return facts.play(partial(agree, award=REFERENCE, number=number, by=BEN, today=TODAY), BEN.person)


def spring() -> MemoryFacts:
    """Three homes in March and two in April, from when on the price is £1,550.00: M9's example."""
    facts = agreed()
    facts.record(
        {AWARD: (facts[AWARD].propose(priced("1550.00", "2021-04-01"), reason=REVIEWED, today=TODAY.replace(year=2020)),)},
        AMINA.person,
    )
    facts.record({AWARD: (facts[AWARD].agree_terms(2, BEN, today=TODAY.replace(year=2020)),)}, BEN.person)
    return claimed(line(quantity="3", achieved_on="2021-03-15"), line(quantity="2", achieved_on="2021-04-15"), facts=facts)


class TestAgree:
    def test_changes_later_achievements_only_where_it_lies_ahead(self) -> None:
        assert pounds(spring(), "assessed") == "7300.00"

    def test_makes_the_difference_due_where_it_is_back_dated(self) -> None:
        """M9's example: later back-dated to 1 January, net +£450.00."""
        facts = spring()
        decision = varied(facts, priced("1550.00", "2021-01-01"))
        came = effect((stream.name, event) for stream, events in decision.items() for event in events)
        assert [(each.claim, each.line, str(each.before), str(each.after)) for each in came.lines] == [
            ("2021-Q3", 1, "4200.00", "4650.00")
        ]
        assert sum(came.net.values()) == 45000
        assert pounds(facts, "assessed") == "7750.00"
        assert {payer: str(amount) for payer, amount in came.net.items()} == {
            payer: str(facts[payment_stream(REFERENCE, 2, payer)].amount) for payer in (COUNCIL, FUND)
        }
        assert balances(facts)["claimed", None] == -775000

    def test_opens_a_receivable_where_the_difference_goes_the_other_way(self) -> None:
        facts = claimed(line(quantity="2"))
        paid(facts, 1, FUND)
        varied(facts, priced("1000.00", "2021-01-01"))
        assert pounds(facts, "assessed") == "2000.00"
        assert str(facts[receivable_stream(REFERENCE, 2, FUND, PRIME)].open) == "232.64"
        assert facts[receivable_stream(REFERENCE, 2, COUNCIL, PRIME)].open == 0  # It came off what was not sent.
        assert str(facts[payment_stream(REFERENCE, 1, COUNCIL)].amount) == "1418.42"

    def test_assesses_what_was_curtailed_anew_with_the_rest(self) -> None:
        facts = claimed(line(quantity="2"), award_amount="2100.00")
        varied(facts, priced("1000.00", "2021-01-01", award_amount="2100.00"))
        assert (pounds(facts, "assessed"), pounds(facts, "curtailed.award_amount")) == ("2000.00", "0.00")

    def test_takes_the_quantity_that_remains(self) -> None:
        facts = clawed(claimed(line(quantity="3")), (1, "1"))
        varied(facts, priced("1500.00", "2021-01-01"))
        assert (pounds(facts, "assessed"), pounds(facts, "rejected")) == ("3000.00", "1500.00")

    def test_splits_anew_by_another_list_of_payers(self) -> None:
        facts = claimed(line(quantity="2"))
        payers = [{**TERMS["payers"][0], "share": "1/2"}, {**TERMS["payers"][1], "share": "1/2"}]  # type: ignore[index]
        varied(facts, terms(effective_from="2021-01-01", payers=payers))
        assert pounds(facts, "assessed") == "2800.00"
        assert str(facts[payment_stream(REFERENCE, 2, FUND)].amount) == "585.78"
        assert facts[payment_stream(REFERENCE, 1, COUNCIL)].gross - facts[payment_stream(REFERENCE, 1, COUNCIL)].amount == 58578

    def test_gives_a_payer_no_headroom_for_what_another_payee_has_to_give_back(self) -> None:
        """The fund's maximum is used up by £814.22 that it sent; as its payee changes, the council pays for all of it anew."""
        payers = [{**TERMS["payers"][0], "maximum": "814.22"}, TERMS["payers"][1]]  # type: ignore[index]
        facts = claimed(line(quantity="2"), payers=payers)
        paid(facts, 1, FUND)
        varied(facts, priced("1500.00", "2021-01-01", payers=[{**each, "payee": PROVIDER} for each in payers]))
        assert pounds(facts, "assessed") == "3000.00"
        assert str(facts[receivable_stream(REFERENCE, 2, FUND, PRIME)].open) == "814.22"
        assert str(facts[payment_stream(REFERENCE, 2, COUNCIL)].amount) == "3000.00"
        assert facts.get(payment_stream(REFERENCE, 2, FUND)) is None

    def test_gives_a_payer_headroom_at_once_where_the_payee_is_the_same(self) -> None:
        payers = [{**TERMS["payers"][0], "maximum": "814.22"}, TERMS["payers"][1]]  # type: ignore[index]
        facts = claimed(line(quantity="2"), payers=payers)
        paid(facts, 1, FUND)
        varied(facts, priced("1500.00", "2021-01-01", payers=payers))
        assert pounds(facts, "assessed") == "3000.00"
        assert facts.get(receivable_stream(REFERENCE, 2, FUND, PRIME)) is None
        assert str(facts[payment_stream(REFERENCE, 2, COUNCIL)].amount) == "200.00"

    def test_values_what_waits_for_a_decision_by_the_new_price_too(self) -> None:
        facts = claimed(line())
        asked = submission(line(quantity="3"), claim="B")
        facts.play(partial(submit, award=REFERENCE, submission=asked, by=CLAIRE, today=TODAY), CLAIRE.person)
        some = Verification.model_validate(
            {"lines": [{"line": 1, "accepted": "1", "rejected": "1", "deferred": "1", "reason": "lapsed"}]}
        )
        facts.play(partial(verify, award=REFERENCE, claim="B", verification=some, by=VIKRAM, today=TODAY), VIKRAM.person)
        varied(facts, priced("1500.00", "2021-01-01"))
        assert [pounds(facts, each) for each in ("assessed", "rejected", "deferred")] == ["3000.00", "1500.00", "1500.00"]
        later = Verification(others="accepted")
        facts.play(partial(verify, award=REFERENCE, claim="B", verification=later, by=VIKRAM, today=TODAY), VIKRAM.person)
        assert [pounds(facts, each) for each in ("assessed", "deferred", "claimed")] == ["4500.00", "0.00", "-6000.00"]

    def test_looks_at_each_claim_a_few_times_however_many_there_are(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """200 homes at £1,400.00, in a claim each, become £1,500.00: the work grows with the claims, not with their square."""
        facts, count = agreed(), 200
        for number in range(count):
            claimed(line(), claim=f"BACKLOG-{number}", facts=facts)
        looks: list[str] = []

        def look(name: str) -> str:
            looks.append(name)
            return canonical(name)

        monkeypatch.setattr("domain.reassessment.canonical", look)
        varied(facts, priced("1500.00", "2021-01-01"))
        assert pounds(facts, "assessed") == "300000.00"
        assert count <= len(looks) <= 5 * count

    def test_reassesses_nothing_for_a_window_or_a_shortfall_policy_alone(self) -> None:
        facts = claimed(line())
        before = balances(facts)
        varied(facts, terms(effective_from="2021-01-01", shortfall="unfunded", claims_close_on="2025-03-31"))
        assert (balances(facts), facts[AWARD].assessments) == (before, 1)

    def test_leaves_everybody_owed_nothing_more_where_what_was_paid_suffices(self) -> None:
        facts = claimed(line(), line(achieved_on="2021-08-01"))
        varied(facts, priced("700.00", "2021-01-01"))
        assert facts[payment_stream(REFERENCE, 1, FUND)].stage is Stage.DUE
        assert pounds(facts, "due", FUND) == str(facts[payment_stream(REFERENCE, 1, FUND)].amount) == "407.11"
        assert facts[AWARD].standing.allotted[FUND] == 40711

    def test_refuses_a_version_that_drops_what_was_claimed_in_its_span(self) -> None:
        facts = claimed(line())
        card = [each for each in outcomes() if each["code"] in {"JOB", "WEEKS"}]
        number = proposed(facts, terms(effective_from="2021-01-01", outcomes=card))
        with pytest.raises(OutcomeWasUsed) as refused:
            agree(facts, REFERENCE, number, by=BEN, today=TODAY)
        assert [each.where for each in refused.value.faults] == ["claims.2021-Q3.lines.1"]

    def test_refuses_whoever_proposed(self) -> None:
        facts = claimed(line())
        number = proposed(facts, priced("1500.00", "2021-01-01"))
        with pytest.raises(ProposerMayNotAgree):
            agree(facts, REFERENCE, number, by=AMINA, today=TODAY)

    def test_reassesses_nothing_where_the_same_price_is_said_in_other_words(self) -> None:
        facts = claimed(line("WEEKS", "24"))
        before = balances(facts)
        card = [{**each, "price": "1700.00", "per": 14} if each["code"] == "WEEKS" else each for each in outcomes()]
        varied(facts, terms(effective_from="2021-01-01", outcomes=card))
        assert (balances(facts), facts[AWARD].assessments) == (before, 1)

    @pytest.mark.parametrize(
        ("changes", "where"),
        [
            ({"participant_amount": "3299.99"}, "participant_amount"),
            ({"outcomes": outcomes(max_per_participant="0.5")}, "outcomes.3.max_per_participant"),
        ],
    )
    def test_refuses_a_limit_under_what_stands_for_a_participant_but_for_a_decommitment(
        self, changes: dict[str, Any], where: str
    ) -> None:
        facts = claimed(line("JOB", participant="KBOP-0042"), line("JOB", "0.5", participant="KBOP-7"))
        number = proposed(facts, terms(effective_from="2021-12-01", **changes))
        with pytest.raises(LimitsUnderWhatStands) as refused:
            agree(facts, REFERENCE, number, by=BEN, today=TODAY)
        assert [each.where for each in refused.value.faults] == [where]
        assert "KBOP" not in str(refused.value.faults)
        number = proposed(facts, terms(effective_from="2021-12-01", participant_amount="1.00"), decommitment=True)
        agree(facts, REFERENCE, number, by=BEN, today=TODAY)

    def test_takes_limits_by_participant_that_nobody_has_passed(self) -> None:
        facts = claimed(line("JOB", participant="KBOP-0042"))
        varied(
            facts, terms(effective_from="2021-12-01", participant_amount="3300.00", outcomes=outcomes(max_per_participant="1"))
        )
        varied(facts, terms(effective_from="2022-01-01", participant_amount="3300.00", award_amount="3300.00"))


class TestPropose:
    def test_refuses_a_limit_under_what_stands_but_for_a_decommitment(self) -> None:
        facts = claimed(line())
        less = terms(effective_from="2021-12-01", award_amount="1000.00")
        with pytest.raises(LimitsUnderWhatStands):
            proposed(facts, less)
        number = proposed(facts, less, decommitment=True)
        facts.play(partial(agree, award=REFERENCE, number=number, by=BEN, today=TODAY), BEN.person)
        assert pounds(facts, "assessed") == "1400.00"

    @pytest.mark.parametrize(
        "changes",
        [
            {"award_amount": "1000.00", "effective_from": "2021-10-04"},
            {"award_amount": "1000.00", "claims_close_on": "2025-01-31"},
            {"award_amount": "22300000.01"},
            {"outcomes": outcomes(price="1.00")},
        ],
        ids=["back-dated", "a date too", "raised", "a price"],
    )
    def test_refuses_a_decommitment_that_does_more(self, changes: dict[str, Any]) -> None:
        with pytest.raises(DecommitmentChangesMore):
            proposed(claimed(line()), terms(**{"effective_from": "2021-12-01", **changes}), decommitment=True)


def test_a_claim_that_would_be_worth_more_than_any_may_be_refuses_the_version() -> None:
    facts = claimed(line(quantity="9000"))
    number = proposed(facts, priced("9999999.99", "2021-01-01", award_amount="99999999.99"))
    with pytest.raises(ClaimsWouldBeTooLarge) as refused:
        agree(facts, REFERENCE, number, by=BEN, today=TODAY)
    assert [each.where for each in refused.value.faults] == ["claims.2021-Q3"]


def test_a_claim_is_withdrawn_at_what_it_is_worth_by_then() -> None:
    facts = agreed()
    facts.play(partial(submit, award=REFERENCE, submission=submission(line(), line()), by=CLAIRE, today=TODAY), CLAIRE.person)
    varied(facts, priced("1500.00", "2021-01-01"))
    claim = facts[claim_stream(REFERENCE, "2021-Q3")]
    *_, withdrawn = claim.withdraw(CLAIRE, facts.conceal("Claimed twice."))
    assert (str(claim.value), str(withdrawn.value)) == ("3000.00", "3000.00")  # type: ignore[attr-defined]


def test_a_decommitment_may_not_raise_a_year_above_what_held_for_every_year() -> None:
    facts = claimed(line(), year_amount="5000.00")
    raised = terms(effective_from="2021-10-05", year_amount="5000.00", year_amounts={"2021-22": "9000.00"})
    with pytest.raises(DecommitmentChangesMore) as refused:
        facts[AWARD].propose(raised, reason=REVIEWED, today=TODAY, decommitment=True)
    assert "year_amounts.2021-22" in {each.where for each in refused.value.faults}
