"""A participant: what stands accepted, by outcome and day, and what was assessed."""

from datetime import date
from functools import partial

import pytest

from domain.aggregate import PersonId, Token
from domain.award import award_stream
from domain.claim import LinesCannotBeClaimed, submit
from domain.event import Event
from domain.money import Money, Quantity
from domain.participant import (
    Achievement,
    Participant,
    ParticipantAssessed,
    ParticipantRecognised,
    ParticipantReleased,
    participant_stream,
)
from domain.verification import ParticipantLimitsBroken, Verification, verify
from tests.domain.given import MemoryFacts, given
from tests.domain.kirklees import (
    AMINA,
    BEN,
    CLAIRE,
    REFERENCE,
    REVIEWED,
    TODAY,
    VIKRAM,
    agreed,
    line,
    outcomes,
    submission,
    terms,
)

AWARD_STREAM = award_stream(REFERENCE)
VERIFIER = PersonId("vikram")


def achieved(outcome: str, quantity: str, day: str, number: int = 1) -> Achievement:
    return Achievement(line=number, outcome=outcome, achieved_on=date.fromisoformat(day), quantity=Quantity.parse(quantity))


def participant(*events: Event) -> Participant:
    return given(Participant, *((event, VERIFIER) for event in events)).state


HOME = ParticipantRecognised(claim="2021-Q3", achievements=(achieved("HOME", "1", "2021-07-14"),))
HOME_AGAIN = ParticipantRecognised(claim="2021-Q4", achievements=(achieved("Home", "0.5", "2021-10-01"),))


class TestAccepted:
    def test_is_nothing_for_whom_nobody_has_heard_of(self) -> None:
        assert Participant().accepted("HOME") == 0

    def test_is_the_sum_over_claims_without_regard_to_case(self) -> None:
        assert participant(HOME, HOME_AGAIN).accepted("home") == Quantity.parse("1.5")

    @pytest.mark.parametrize(("day", "stands"), [("2021-07-13", "0"), ("2021-07-14", "1"), ("2021-10-01", "1.5")])
    def test_by_a_day_counts_that_day(self, day: str, stands: str) -> None:
        assert participant(HOME, HOME_AGAIN).accepted("HOME", by=date.fromisoformat(day)) == Quantity.parse(stands)

    def test_goes_down_by_what_is_released(self) -> None:
        released = ParticipantReleased(claim="2021-Q3", achievements=HOME.achievements)
        assert participant(HOME, HOME_AGAIN, released).accepted("HOME") == Quantity.parse("0.5")


class TestAssessed:
    def test_is_the_sum_over_assessments(self) -> None:
        stands = participant(
            HOME, ParticipantAssessed(assessment=1, amount=Money(3)), ParticipantAssessed(assessment=2, amount=Money(4))
        )
        assert stands.assessed == Money(7)


def test_a_claim_of_five_thousand_lines_may_be_for_one_participant() -> None:
    facts = agreed()
    many = submission(*(line(quantity="0.01", participant="KBOP-0042") for _ in range(5_000)))
    facts.play(partial(submit, award=REFERENCE, submission=many, by=CLAIRE, today=TODAY), CLAIRE.person)
    verification = Verification(others="accepted")
    facts.play(
        partial(verify, award=REFERENCE, claim="2021-Q3", verification=verification, by=VIKRAM, today=TODAY), VIKRAM.person
    )
    stream = participant_stream(REFERENCE, facts.pseudonym(REFERENCE, "KBOP-0042"))
    assert facts[stream].accepted("HOME") == Quantity.parse("50")
    assert all(len(event.model_dump_json()) < 60 * 1024 for event in facts.happened(stream.name))


class TestCohorts:
    """A limit by participant counts from the day of the decision (M2), and then takes no cohort lines (M5)."""

    def limited(self, facts: MemoryFacts) -> None:
        version = terms(effective_from="2021-10-10", outcomes=outcomes(max_per_participant="1"))
        facts.record({AWARD_STREAM: (facts[AWARD_STREAM].propose(version, reason=REVIEWED, today=TODAY),)}, AMINA.person)
        facts.record({AWARD_STREAM: (facts[AWARD_STREAM].agree_terms(2, BEN, today=TODAY),)}, BEN.person)

    @pytest.mark.parametrize(("day", "taken"), [(date(2021, 10, 9), True), (date(2021, 10, 10), False)])
    def test_are_taken_until_the_limit_begins(self, day: date, *, taken: bool) -> None:
        facts = agreed()
        self.limited(facts)
        try:
            submit(facts, REFERENCE, submission(), by=CLAIRE, today=day)
        except LinesCannotBeClaimed as refusal:
            places = [fault.where for fault in refusal.faults]
        else:
            places = []
        assert places == ([] if taken else ["lines.1.participant"])

    def test_that_were_claimed_before_cannot_be_accepted_after(self) -> None:
        facts = agreed()
        self.limited(facts)
        facts.play(partial(submit, award=REFERENCE, submission=submission(), by=CLAIRE, today=TODAY), CLAIRE.person)
        verification = Verification(others="accepted")
        assert verify(facts, REFERENCE, "2021-Q3", verification, by=VIKRAM, today=date(2021, 10, 9))
        with pytest.raises(ParticipantLimitsBroken):
            verify(facts, REFERENCE, "2021-Q3", verification, by=VIKRAM, today=date(2021, 10, 10))


def test_a_token_names_the_stream() -> None:
    assert participant_stream("indigo-poj-0175", Token("t1")).name == "award/INDIGO-POJ-0175/participant/t1"
