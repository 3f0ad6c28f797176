"""Certification: the commissioner signs off what was verified, or declines it with a reason (section 3, L1, L6)."""

from functools import partial

import pytest
from pydantic import ValidationError

from domain.aggregate import Actor, PersonId
from domain.award import award_stream
from domain.certification import Certificate, NothingToCertify, VerifierMayNotCertify, certify
from domain.claim import ClaimantMayNotDecide, ClaimLinesAssessed, ClaimLinesDeclined, ReasonCode, Status, claim_stream, submit
from domain.money import NONE, Quantity
from domain.participant import participant_stream
from domain.verification import CertifierMayNotVerify, ParticipantLimitsBroken, Verification, verify
from tests.domain.given import MemoryFacts
from tests.domain.kirklees import (
    CERYS,
    CLAIRE,
    COUNCIL,
    PRIME,
    REFERENCE,
    TODAY,
    VERIFIERS,
    VIKRAM,
    agreed,
    line,
    submission,
    terms,
)

CLAIM, AWARD = claim_stream(REFERENCE, "2021-Q3"), award_stream(REFERENCE)
VERA = Actor(PersonId("vera"), VERIFIERS)
COLIN = Actor(PersonId("colin"), COUNCIL)
GOOD, BAD = Certificate(decision="certified"), Certificate(decision="declined", reason=ReasonCode.NOT_ELIGIBLE)


def submitted(*lines: dict[str, object]) -> MemoryFacts:
    facts = agreed(terms(certification=True))
    facts.play(partial(submit, award=REFERENCE, submission=submission(*lines), by=CLAIRE, today=TODAY), CLAIRE.person)
    return facts


def decide(facts: MemoryFacts, *lines: dict[str, object], by: Actor = VIKRAM) -> None:
    verification = Verification.model_validate({"lines": lines, "others": "left" if lines else "accepted"})
    facts.play(partial(verify, award=REFERENCE, claim="2021-Q3", verification=verification, by=by, today=TODAY), by.person)


def sign(facts: MemoryFacts, certificate: Certificate = GOOD, by: Actor = CERYS) -> None:
    facts.play(partial(certify, award=REFERENCE, claim="2021-Q3", certificate=certificate, by=by, today=TODAY), by.person)


def half(accepted: str, deferred: str) -> dict[str, object]:
    return {"line": 1, "accepted": accepted, "deferred": deferred}


class TestCertify:
    def test_is_waited_for_before_anything_is_assessed(self) -> None:
        facts = submitted()
        decide(facts)
        assert facts[CLAIM].status is Status.VERIFIED
        assert facts[AWARD].assessments == 0
        assert facts[AWARD].open_claims == {"2021-Q3"}

    def test_assesses_what_was_accepted(self) -> None:
        facts = submitted(line(quantity="2"))
        decide(facts)
        sign(facts)
        assert facts[CLAIM].status is Status.ASSESSED
        assert str(facts[AWARD].standing.assessed) == "2800.00"
        assert facts[AWARD].open_claims == frozenset()

    def test_assesses_two_verifications_at_once(self) -> None:
        facts = submitted(line(quantity="1"))
        decide(facts, half("0.3333", "0.6667"))
        decide(facts, half("0.6667", "0"))
        sign(facts)
        [assessed] = [each for each in facts.happened(CLAIM.name) if isinstance(each, ClaimLinesAssessed)]
        assert [(str(each.quantity), str(each.assessed)) for each in assessed.lines] == [("1", "1400.00")]

    def test_comes_again_for_what_was_deferred(self) -> None:
        facts = submitted(line(quantity="3"))
        decide(facts, half("1", "2"))
        sign(facts)
        assert facts[AWARD].deferred_claims == {"2021-Q3"}
        decide(facts, half("2", "0"))
        sign(facts)
        assert facts[AWARD].assessments == 2
        assert str(facts[AWARD].standing.assessed) == "4200.00"
        assert not facts[AWARD].deferred_claims

    def test_refuses_the_claimant_and_its_party(self) -> None:
        facts = submitted()
        decide(facts)
        for by in (CLAIRE, Actor(PersonId("carol"), PRIME), Actor(CLAIRE.person, COUNCIL)):
            with pytest.raises(ClaimantMayNotDecide):
                sign(facts, by=by)

    def test_refuses_each_of_the_verifiers_whatever_party_they_act_for(self) -> None:
        facts = submitted(line(quantity="2"))
        decide(facts, half("1", "1"), by=VIKRAM)
        decide(facts, half("1", "0"), by=VERA)
        for by in (VIKRAM, VERA, Actor(VERA.person, COUNCIL)):
            with pytest.raises(VerifierMayNotCertify):
                sign(facts, by=by)

    def test_refuses_where_nothing_waits(self) -> None:
        facts = submitted()
        with pytest.raises(NothingToCertify):
            sign(facts)
        decide(facts)
        sign(facts)
        with pytest.raises(NothingToCertify):
            sign(facts)

    @pytest.mark.parametrize("certificate", [GOOD, BAD])
    def test_bars_the_certifier_from_verifying_the_rest(self, certificate: Certificate) -> None:
        facts = submitted(line(quantity="2"))
        decide(facts, half("1", "1"))
        sign(facts, certificate)
        with pytest.raises(CertifierMayNotVerify):
            decide(facts, half("1", "0"), by=CERYS)
        decide(facts, half("1", "0"), by=VERA)
        sign(facts, by=COLIN)


class TestDecline:
    def test_pays_nothing_and_says_how_much(self) -> None:
        facts = submitted(line(quantity="2"), line(quantity="1"))
        decide(facts)
        sign(facts, BAD)
        [declined] = [each for each in facts.happened(CLAIM.name) if isinstance(each, ClaimLinesDeclined)]
        assert [str(each.amount) for each in declined.lines] == ["2800.00", "1400.00"]
        assert facts[CLAIM].status is Status.DECLINED
        assert facts[AWARD].assessments == 0
        assert not facts[AWARD].open_claims

    def test_gives_participants_counts_back(self) -> None:
        facts = submitted(line("JOB", participant="KBOP-0042"))
        decide(facts)
        ana = participant_stream(REFERENCE, facts.pseudonym(REFERENCE, "KBOP-0042"))
        assert facts[ana].accepted("JOB") == Quantity.parse("1")
        sign(facts, BAD)
        assert facts[ana].accepted("JOB") == NONE

    def test_gives_back_what_waited_not_what_was_certified_before(self) -> None:
        facts = submitted(line("JOB", quantity="1", participant="KBOP-0042"))
        decide(facts, half("0.4", "0.6"))
        sign(facts)
        decide(facts, half("0.6", "0"))
        sign(facts, BAD)
        ana = participant_stream(REFERENCE, facts.pseudonym(REFERENCE, "kbop-0042"))
        assert facts[ana].accepted("JOB") == Quantity.parse("0.4")
        assert str(facts[AWARD].standing.assessed) == "1320.00"

    def test_leaves_what_was_deferred_open_for_a_later_decision(self) -> None:
        facts = submitted(line("WEEKS", quantity="3"))
        decide(facts, half("1", "2"))
        sign(facts, BAD)
        decide(facts, half("2", "0"), by=VERA)
        sign(facts, by=COLIN)
        assert str(facts[CLAIM].lines[0].declined_value) == "121.43"
        assert str(facts[CLAIM].lines[0].assessed) == "242.86"
        assert str(facts[CLAIM].lines[0].accepted_value) == "364.29"

    def test_takes_a_prerequisite_away_again(self) -> None:
        facts = submitted(line(participant="KBOP-0042"))
        decide(facts)
        sign(facts, BAD)
        later = submission(line("HOME-3", participant="KBOP-0042"), claim="2021-Q4")
        facts.play(partial(submit, award=REFERENCE, submission=later, by=CLAIRE, today=TODAY), CLAIRE.person)
        with pytest.raises(ParticipantLimitsBroken):
            verify(facts, REFERENCE, "2021-Q4", Verification(others="accepted"), by=VIKRAM, today=TODAY)


class TestCertificate:
    @pytest.mark.parametrize(
        "fields",
        [{"decision": "declined"}, {"decision": "declined", "reason": "other"}, {"decision": "maybe"}, {"decision": True}],
    )
    def test_says_why_it_declines(self, fields: dict[str, object]) -> None:
        with pytest.raises(ValidationError):
            Certificate.model_validate(fields)

    def test_may_decline_for_another_reason_in_words(self) -> None:
        certificate = Certificate.model_validate({"decision": "declined", "reason": "other", "note": "Not in our borough"})
        facts = submitted()
        decide(facts)
        sign(facts, certificate)
        assert "Not in our borough" in facts.texts.values()
