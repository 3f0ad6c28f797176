"""An award: registered by one person, agreed by another, its terms varied ahead of time, closed to claims."""

from datetime import date
from functools import partial

import pytest

from domain.award import (
    AwardExists,
    AwardIsAgreed,
    AwardIsClosedToClaims,
    AwardIsNotAgreed,
    AwardRegistered,
    ClaimsAreOpen,
    LimitsUnderWhatStands,
    NoSuchAward,
    NoSuchVersion,
    ProposerMayNotAgree,
    Status,
    TermsProposed,
    VersionIsAgreed,
    award_stream,
    register,
)
from domain.claim import submit, withdraw
from domain.terms import TermsContradictThemselves
from domain.verification import Verification, verify
from tests.domain.given import MemoryFacts
from tests.domain.kirklees import AMINA, BEN, CLAIRE, REFERENCE, REVIEWED, TODAY, VIKRAM, agreed, line, submission, terms

AWARD = award_stream(REFERENCE)
REGISTRATION = AwardRegistered(reference=REFERENCE, title="Kirklees Better Outcomes Partnership")
AHEAD = date(2021, 10, 5)


def proposed(**changes: object) -> MemoryFacts:
    facts = agreed()
    version = facts[AWARD].propose(terms(**{"effective_from": str(AHEAD), **changes}), reason=REVIEWED, today=TODAY)
    facts.record({AWARD: (version,)}, AMINA.person)
    return facts


class TestRegister:
    def test_records_the_award_and_its_first_terms(self) -> None:
        facts = MemoryFacts()
        decision = facts.record(register(facts, REGISTRATION, terms()), AMINA.person)
        assert decision == {AWARD: (REGISTRATION, TermsProposed(version=1, terms=terms()))}
        assert facts[AWARD].status is Status.REGISTERED

    def test_refuses_a_reference_that_is_taken_in_another_case(self) -> None:
        with pytest.raises(AwardExists):
            register(agreed(), REGISTRATION.model_copy(update={"reference": REFERENCE.lower()}), terms())

    def test_refuses_terms_that_contradict_themselves(self) -> None:
        with pytest.raises(TermsContradictThemselves):
            register(MemoryFacts(), REGISTRATION, terms(residual_payer="GB-LAE-LDS"))


class TestAgree:
    def test_makes_the_award_active(self) -> None:
        assert agreed()[AWARD].status is Status.ACTIVE

    def test_refuses_whoever_registered_it(self) -> None:
        facts = MemoryFacts()
        facts.record(register(facts, REGISTRATION, terms()), AMINA.person)
        with pytest.raises(ProposerMayNotAgree):
            facts[AWARD].agree(AMINA)

    def test_refuses_a_second_time(self) -> None:
        with pytest.raises(AwardIsAgreed):
            agreed()[AWARD].agree(BEN)

    def test_refuses_an_award_that_there_is_not(self) -> None:
        with pytest.raises(NoSuchAward):
            MemoryFacts()[AWARD]


class TestPropose:
    def test_numbers_the_versions(self) -> None:
        assert proposed()[AWARD].versions[-1].number == 2

    def test_may_be_back_dated(self) -> None:
        assert agreed()[AWARD].propose(terms(effective_from="2021-01-01"), reason=REVIEWED, today=TODAY).version == 2

    def test_refuses_before_the_award_is_agreed(self) -> None:
        facts = MemoryFacts()
        facts.record(register(facts, REGISTRATION, terms()), AMINA.person)
        with pytest.raises(AwardIsNotAgreed):
            facts[AWARD].propose(terms(effective_from=str(AHEAD)), reason=REVIEWED, today=TODAY)

    def test_refuses_a_limit_under_what_stands(self) -> None:
        facts = agreed()
        facts.play(partial(submit, award=REFERENCE, submission=submission(line()), by=CLAIRE, today=TODAY), CLAIRE.person)
        accept = Verification(others="accepted")
        facts.play(partial(verify, award=REFERENCE, claim="2021-Q3", verification=accept, by=VIKRAM, today=TODAY), VIKRAM.person)
        facts[AWARD].propose(terms(effective_from=str(AHEAD), award_amount="1400.00"), reason=REVIEWED, today=TODAY)
        with pytest.raises(LimitsUnderWhatStands) as refused:
            facts[AWARD].propose(terms(effective_from=str(AHEAD), award_amount="1399.99"), reason=REVIEWED, today=TODAY)
        assert [fault.where for fault in refused.value.faults] == ["award_amount"]


class TestAgreeTerms:
    def test_puts_the_version_in_force_from_its_day_on(self) -> None:
        facts = proposed(certification=True)
        facts.record({AWARD: (facts[AWARD].agree_terms(2, BEN, today=TODAY),)}, BEN.person)
        agreement = facts[AWARD].agreement
        assert (agreement.on(TODAY).number, agreement.on(AHEAD).number) == (1, 2)
        with pytest.raises(VersionIsAgreed):
            facts[AWARD].agree_terms(2, BEN, today=TODAY)

    def test_refuses_whoever_proposed_them(self) -> None:
        with pytest.raises(ProposerMayNotAgree):
            proposed()[AWARD].agree_terms(2, AMINA, today=TODAY)

    def test_refuses_a_version_that_nobody_proposed(self) -> None:
        with pytest.raises(NoSuchVersion):
            proposed()[AWARD].agree_terms(3, BEN, today=TODAY)


class TestClose:
    def test_refuses_while_a_claim_waits(self) -> None:
        facts = agreed()
        facts.play(partial(submit, award=REFERENCE, submission=submission(), by=CLAIRE, today=TODAY), CLAIRE.person)
        with pytest.raises(ClaimsAreOpen):
            facts[AWARD].close(today=TODAY)
        facts.play(partial(withdraw, award=REFERENCE, claim="2021-Q3", reason="Sent too early", by=CLAIRE), CLAIRE.person)
        facts[AWARD].close(today=TODAY)

    def test_takes_no_more_claims(self) -> None:
        facts = agreed()
        facts.record({AWARD: (facts[AWARD].close(today=TODAY),)}, AMINA.person)
        with pytest.raises(AwardIsClosedToClaims):
            submit(facts, REFERENCE, submission(), by=CLAIRE, today=TODAY)
