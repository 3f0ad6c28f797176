"""Verification: somebody else decides each line; only what is accepted is assessed (M4, M5, L1)."""

from datetime import date
from decimal import Decimal
from functools import partial

import pytest

from domain.aggregate import Actor, PersonId
from domain.award import award_stream
from domain.certification import Certificate, certify
from domain.claim import ClaimantMayNotDecide, ClaimIsWithdrawn, Status, claim_stream, submit, withdraw
from domain.payment import PaymentFellDue, payment_stream
from domain.terms import Terms
from domain.verification import DecisionsDoNotFit, NothingToDecide, ParticipantLimitsBroken, Verification, verify
from tests.domain.given import MemoryFacts
from tests.domain.kirklees import (
    CERYS,
    CLAIRE,
    COUNCIL,
    FUND,
    PRIME,
    REFERENCE,
    TODAY,
    VIKRAM,
    agreed,
    line,
    outcomes,
    submission,
    terms,
)
from tests.domain.test_clawback import balances, clawed

CLAIM = claim_stream(REFERENCE, "2021-Q3")
ANA, BILAL = "KBOP-0042", "KBOP-0043"


def submitted(*lines: dict[str, object], of: Terms | None = None) -> MemoryFacts:
    facts = agreed(of)
    facts.play(partial(submit, award=REFERENCE, submission=submission(*lines), by=CLAIRE, today=TODAY), CLAIRE.person)
    return facts


def decide(
    facts: MemoryFacts,
    *lines: dict[str, object],
    others: str = "left",
    by: Actor = VIKRAM,
    today: date = TODAY,
    claim: str = "2021-Q3",
) -> None:
    verification = Verification.model_validate({"lines": lines, "others": others})
    facts.play(partial(verify, award=REFERENCE, claim=claim, verification=verification, by=by, today=today), by.person)


def faults(facts: MemoryFacts, *lines: dict[str, object], others: str = "left") -> list[str]:
    with pytest.raises(DecisionsDoNotFit) as refused:
        decide(facts, *lines, others=others)
    return [fault.where for fault in refused.value.faults]


class TestVerify:
    def test_ten_claimed_at_1400_seven_accepted_two_rejected_one_deferred(self) -> None:
        facts = submitted(line(quantity="10"))
        decide(facts, {"line": 1, "accepted": "7", "rejected": "2", "deferred": "1", "reason": "not-evidenced"})
        (decided,) = facts[CLAIM].lines
        assert (str(decided.accepted_value), str(decided.rejected_value), str(decided.deferred_value)) == (
            "9800.00",
            "2800.00",
            "1400.00",
        )
        assert str(decided.assessed) == "9800.00"

    def test_makes_each_payers_part_due_in_thirty_days(self) -> None:
        facts = submitted()
        decide(facts, others="accepted")
        (due,) = facts.happened(payment_stream(REFERENCE, 1, FUND).name)
        assert isinstance(due, PaymentFellDue)
        assert (str(due.amount), due.payee, due.due_on) == ("407.11", PRIME, date(2021, 11, 3))
        assert (due.claimed_by, due.verified_by) == (CLAIRE.person, (VIKRAM.person,))
        assert str(facts[payment_stream(REFERENCE, 1, COUNCIL)].amount) == "992.89"

    def test_makes_no_payment_of_nothing(self) -> None:
        facts = submitted(of=terms(award_amount="0.01"))
        decide(facts, others="accepted")
        assert facts.get(payment_stream(REFERENCE, 1, FUND)) is None
        assert str(facts[payment_stream(REFERENCE, 1, COUNCIL)].amount) == "0.01"

    def test_concludes_a_claim_of_which_nothing_is_accepted(self) -> None:
        facts = submitted()
        decide(facts, {"line": 1, "rejected": "1", "reason": "not-eligible"})
        award = facts[award_stream(REFERENCE)]
        assert (award.assessments, award.open_claims) == (0, frozenset())
        assert facts[CLAIM].status is Status.VERIFIED

    def test_refuses_whoever_submitted_the_claim(self) -> None:
        with pytest.raises(ClaimantMayNotDecide):
            decide(submitted(), others="accepted", by=Actor(CLAIRE.person, "GB-COH-02110904"))

    def test_refuses_another_person_of_the_claimants_party(self) -> None:
        with pytest.raises(ClaimantMayNotDecide):
            decide(submitted(), others="accepted", by=Actor(PersonId("colin"), PRIME))

    def test_refuses_a_claim_that_was_withdrawn(self) -> None:
        facts = submitted()
        facts.play(partial(withdraw, award=REFERENCE, claim="2021-Q3", reason="Mistake", by=CLAIRE), CLAIRE.person)
        with pytest.raises(ClaimIsWithdrawn):
            decide(facts, others="accepted")

    def test_refuses_a_second_time(self) -> None:
        facts = submitted()
        decide(facts, others="accepted")
        with pytest.raises(NothingToDecide):
            decide(facts, others="accepted")


class TestDecisions:
    def test_must_make_up_what_is_open(self) -> None:
        facts = submitted(line(quantity="10"), line())
        assert faults(facts, {"line": 1, "accepted": "7", "deferred": "2"}, others="accepted") == ["lines.1"]
        assert faults(facts, {"line": 1, "accepted": "10.0001"}, others="accepted") == ["lines.1"]

    def test_must_cover_every_line_the_first_time(self) -> None:
        assert faults(submitted(line(), line()), {"line": 2, "accepted": "1"}) == ["lines.1"]

    def test_must_name_lines_that_there_are_once_each(self) -> None:
        twice = {"line": 1, "accepted": "1"}
        assert faults(submitted(), twice, twice, {"line": 2, "accepted": "1"}) == ["lines.1", "lines.2"]

    def test_must_say_why_they_reject(self) -> None:
        assert faults(submitted(), {"line": 1, "rejected": "1"}) == ["lines.1"]
        assert faults(submitted(), {"line": 1, "rejected": "1", "reason": "other"}) == ["lines.1"]
        decide(submitted(), {"line": 1, "rejected": "1", "reason": "other", "note": "The flat does not exist"})


class TestLaterDecisions:
    def test_pennies_do_not_depend_on_how_often_one_decides(self) -> None:
        card = [{"code": "WEEK", "title": "A week in a foster home", "unit": "week", "price": "850.00"}]
        facts = submitted(line("WEEK"), of=terms(outcomes=card))
        decide(facts, {"line": 1, "accepted": "0.3333", "deferred": "0.6667"})
        decide(facts, {"line": 1, "accepted": "0.3333", "deferred": "0.3334"})
        decide(facts, {"line": 1, "accepted": "0.3334"})
        (decided,) = facts[CLAIM].lines
        assert str(decided.accepted_value) == str(decided.assessed) == "850.00"
        assert facts[award_stream(REFERENCE)].assessments == 3
        assert not facts[award_stream(REFERENCE)].deferred_claims

    def test_touch_only_what_was_deferred(self) -> None:
        facts = submitted(line(), line())
        decide(facts, {"line": 2, "deferred": "1"}, others="accepted")
        assert faults(facts, {"line": 1, "accepted": "1"}) == ["lines.1"]
        decide(facts, {"line": 2, "rejected": "1", "reason": "duplicate"})
        assert [str(each.assessed) for each in facts[CLAIM].lines] == ["1400.00", "0.00"]


class TestPenniesAfterAClawback:
    """What was taken back may have been worth a penny more, or less, than together with what still awaits assessment."""

    @pytest.mark.parametrize(
        ("first", "later", "taken", "last", "left"),
        [
            ("0.5", "0.4", "0.1", {"rejected": "0.1", "reason": "not-evidenced"}, {"rejected": 1}),
            ("0.4", "0.2", "0.2", {"rejected": "0.4", "reason": "not-evidenced"}, {"awaiting": 1}),
            ("0.4", "0.2", "0.2", {"accepted": "0.01", "deferred": "0.39"}, {"rejected": 1}),
        ],
    )
    def test_stay_with_a_quantity(self, first: str, later: str, taken: str, last: dict[str, str], left: dict[str, int]) -> None:
        facts = submitted(line(), of=terms(outcomes=outcomes(price="0.01"), certification=True))
        decide(facts, {"line": 1, "accepted": first, "deferred": str(Decimal(1) - Decimal(first))})
        certificate = Certificate(decision="certified")
        facts.play(
            partial(certify, award=REFERENCE, claim="2021-Q3", certificate=certificate, by=CERYS, today=TODAY), CERYS.person
        )
        decide(facts, {"line": 1, "accepted": later, "deferred": str(Decimal(1) - Decimal(first) - Decimal(later))})
        clawed(facts, (1, taken))
        decide(facts, {"line": 1, **last})
        stands = balances(facts)
        assert {stage: stands[stage, None] for stage in ("awaiting", "rejected", "deferred") if stands[stage, None]} == left


class TestLaterDecisionsUnderAQuantityLimit:
    def test_what_was_payable_before_counts_however_often_one_decides(self) -> None:
        card = [{"code": "WEEK", "title": "A week in a foster home", "unit": "week", "price": "850.00", "max_quantity": "0.8"}]
        facts = submitted(line("WEEK"), of=terms(outcomes=card))
        decide(facts, {"line": 1, "accepted": "0.3333", "deferred": "0.6667"})
        decide(facts, {"line": 1, "accepted": "0.3333", "deferred": "0.3334"})
        decide(facts, {"line": 1, "accepted": "0.3334"})
        (decided,) = facts[CLAIM].lines
        assert (str(decided.payable), str(decided.assessed), str(decided.curtailed)) == ("0.8", "680.00", "170.00")


class TestParticipantLimits:
    def refused(self, facts: MemoryFacts) -> list[str]:
        with pytest.raises(ParticipantLimitsBroken) as refused:
            decide(facts, others="accepted")
        return [fault.where for fault in refused.value.faults]

    def test_one_job_is_all_that_a_participant_can_have(self) -> None:
        assert self.refused(submitted(line("JOB", participant=ANA), line("JOB", participant=ANA.lower()))) == [
            "lines.1",
            "lines.2",
        ]

    def test_and_is_remembered_from_claim_to_claim(self) -> None:
        facts = submitted(line("JOB", participant=ANA))
        decide(facts, others="accepted")
        again = submission(line("JOB", participant=ANA), line("JOB", participant=BILAL), claim="2021-Q3-B")
        facts.play(partial(submit, award=REFERENCE, submission=again, by=CLAIRE, today=TODAY), CLAIRE.person)
        with pytest.raises(ParticipantLimitsBroken) as refused:
            decide(facts, others="accepted", claim="2021-Q3-B")
        assert [fault.where for fault in refused.value.faults] == ["lines.1"]

    def test_a_prerequisite_must_stand_accepted(self) -> None:
        assert self.refused(submitted(line("HOME-3", participant=ANA))) == ["lines.1"]

    def test_and_not_be_achieved_later(self) -> None:
        late = line("HOME", participant=ANA, achieved_on="2021-07-15")
        assert self.refused(submitted(line("HOME-3", participant=ANA), late)) == ["lines.1"]

    def test_but_may_stand_in_the_same_claim_on_the_same_day(self) -> None:
        decide(submitted(line("HOME-3", participant=ANA), line("HOME", participant=ANA)), others="accepted")

    def test_a_participant_without_the_limit_may_have_more(self) -> None:
        card = [{**each, "max_per_participant": "2"} for each in outcomes() if each["code"] == "JOB"]
        decide(submitted(line("JOB", participant=ANA), line("JOB", participant=ANA), of=terms(outcomes=card)), others="accepted")
