"""A claim: submitted whole or not at all, queried and answered, withdrawn; frozen meanwhile."""

from datetime import date
from functools import partial
from typing import Any

import pytest

from domain.aggregate import Actor, PersonId
from domain.award import ClaimOpened, NoSuchAward, award_stream
from domain.claim import (
    MOST_LINES,
    ClaimantIsNotProvider,
    ClaimantMayNotDecide,
    ClaimExists,
    ClaimIsDecided,
    ClaimIsTooLarge,
    ClaimIsTooLate,
    ClaimIsWithdrawn,
    ClaimLinesListed,
    ClaimSubmitted,
    LinesCannotBeClaimed,
    NoQueryIsOpen,
    NoSuchClaim,
    NoSuchLine,
    NotTheClaimant,
    PeriodEndsBeforeItBegins,
    QueryIsOpen,
    ReceiptIsNotConfirmed,
    ReceiptIsNotInDoubt,
    ReceivedInTheFuture,
    StaterMayNotConfirm,
    Status,
    answer,
    claim_stream,
    query,
    submit,
    withdraw,
)
from domain.money import Money
from domain.refusal import Refused
from domain.terms import Terms, Window
from domain.verification import Verification, verify
from tests.domain.given import MemoryFacts
from tests.domain.kirklees import (
    AMINA,
    BEN,
    CLAIRE,
    COUNCIL,
    PRIME,
    PROVIDER,
    REFERENCE,
    TODAY,
    VIKRAM,
    agreed,
    line,
    outcomes,
    submission,
    terms,
)

CLAIM = claim_stream(REFERENCE, "2021-Q3")
SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def submitted(*lines: dict[str, object], of: Terms | None = None, **more: Any) -> MemoryFacts:
    facts = agreed(of)
    facts.play(partial(submit, award=REFERENCE, submission=submission(*lines, **more), by=CLAIRE, today=TODAY), CLAIRE.person)
    return facts


def faults(*lines: dict[str, object], of: Terms | None = None) -> list[str]:
    with pytest.raises(LinesCannotBeClaimed) as refused:
        submitted(*lines, of=of)
    return [fault.where for fault in refused.value.faults]


class TestSubmit:
    def test_lists_each_line_with_its_value(self) -> None:
        facts = agreed()
        sent = submission(line(participant="KBOP-0042"), line("WEEKS", "24"))
        decision = submit(facts, REFERENCE, sent, by=CLAIRE, today=TODAY)
        summary, lines = decision[CLAIM]
        assert isinstance(summary, ClaimSubmitted)
        assert isinstance(lines, ClaimLinesListed)
        assert [str(each.value) for each in lines.lines] == ["1400.00", "2914.29"]
        assert (summary.value, summary.lines, summary.claimant) == (Money.parse("4314.29"), 2, PRIME)
        assert decision[award_stream(REFERENCE)] == (ClaimOpened(claim="2021-Q3"),)

    def test_keeps_references_notes_and_titles_out_of_the_events(self) -> None:
        evidence = [{"sha256": SHA, "title": "Tenancy agreement of Ana Kowalczyk"}]
        facts = submitted(line(participant="KBOP-0042", evidence=evidence, note="Moved in with her sister first"))
        stored = "".join(event.model_dump_json() for event in facts.happened(CLAIM.name))
        assert SHA in stored
        for private in ("KBOP-0042", "Kowalczyk", "sister"):
            assert private not in stored

    def test_refuses_an_award_that_there_is_not(self) -> None:
        with pytest.raises(NoSuchAward):
            submit(MemoryFacts(), REFERENCE, submission(), by=CLAIRE, today=TODAY)

    def test_refuses_a_reference_that_is_taken_in_another_case(self) -> None:
        with pytest.raises(ClaimExists):
            submit(submitted(), REFERENCE, submission(claim="2021-q3"), by=CLAIRE, today=TODAY)

    def test_refuses_a_party_that_provides_nothing(self) -> None:
        with pytest.raises(ClaimantIsNotProvider):
            submit(agreed(), REFERENCE, submission(), by=Actor(PersonId("nia"), COUNCIL), today=TODAY)

    def test_lets_somebody_claim_for_a_provider(self) -> None:
        decision = submit(agreed(), REFERENCE, submission(claimant=PROVIDER), by=AMINA, today=TODAY)
        assert isinstance(summary := decision[CLAIM][0], ClaimSubmitted)
        assert summary.claimant == PROVIDER

    @pytest.mark.parametrize(("today", "late"), [(date(2024, 12, 31), False), (date(2025, 1, 1), True)])
    def test_refuses_a_claim_received_after_claims_close(self, today: date, *, late: bool) -> None:
        if late:
            with pytest.raises(ClaimIsTooLate):
                submit(agreed(), REFERENCE, submission(), by=CLAIRE, today=today)
        else:
            submit(agreed(), REFERENCE, submission(), by=CLAIRE, today=today)

    def test_refuses_a_period_that_ends_before_it_begins(self) -> None:
        backwards = submission().model_copy(update={"period": Window(first=date(2021, 9, 30), last=date(2021, 7, 1))})
        with pytest.raises(PeriodEndsBeforeItBegins):
            submit(agreed(), REFERENCE, backwards, by=CLAIRE, today=TODAY)

    def test_refuses_what_no_ledger_can_hold(self) -> None:
        dear = terms(outcomes=outcomes(price="999999999.99"))
        with pytest.raises(ClaimIsTooLarge):
            submitted(line(), line(), of=dear)

    def test_takes_five_thousand_lines(self) -> None:
        facts = submitted(*[line(participant=f"KBOP-{n}") for n in range(MOST_LINES)])
        assert len(facts[CLAIM].lines) == MOST_LINES
        assert all(len(event.model_dump_json()) < 60 * 1024 for event in facts.happened(CLAIM.name))


class TestLines:
    def test_every_fault_is_listed_at_once(self) -> None:
        assert faults(line("HOUSE"), line(), line(achieved_on="2021-10-05"), line("JOB")) == [
            "lines.1.outcome",
            "lines.3.achieved_on",
            "lines.4.participant",
        ]

    @pytest.mark.parametrize(("day", "fits"), [("2021-07-01", True), ("2021-06-30", False)])
    def test_must_be_achieved_within_the_outcomes_window(self, day: str, *, fits: bool) -> None:
        window = terms(outcomes_window={"first": "2021-07-01", "last": "2024-09-30"})
        if fits:
            submitted(line(achieved_on=day), of=window)
        else:
            assert faults(line(achieved_on=day), of=window) == ["lines.1.achieved_on"]

    def test_must_be_achieved_by_the_end_of_the_period(self) -> None:
        submitted(line(achieved_on="2021-09-30"))
        assert faults(line(achieved_on="2021-10-01")) == ["lines.1.achieved_on"]

    def test_must_be_achieved_under_agreed_terms(self) -> None:
        assert faults(line(achieved_on="2019-08-31")) == ["lines.1.achieved_on"]

    def test_must_bring_the_evidence_that_is_wanted(self) -> None:
        wanting = terms(outcomes=outcomes(evidence_wanted=["Tenancy agreement"]))
        assert faults(line(), of=wanting) == ["lines.1.evidence"]
        submitted(line(evidence=[{"sha256": SHA, "title": "Tenancy agreement"}]), of=wanting)

    def test_must_wait_for_an_outcome_that_is_claimed_at_the_end(self) -> None:
        assert faults(line(), of=terms(outcomes=outcomes(claimable_from="2021-10-05"))) == ["lines.1.outcome"]
        submitted(line(), of=terms(outcomes=outcomes(claimable_from="2021-10-04")))

    @pytest.mark.parametrize("reference", ["AB123456C", "ab-12-34-56-c", "943 476 5919".replace(" ", "-"), "A123456789012"])
    def test_never_name_a_participant_by_an_official_number(self, reference: str) -> None:
        with pytest.raises(ValueError, match="shaped like"):
            submission(line(participant=reference))

    @pytest.mark.parametrize("quantity", [1, 1.5, "0", "-1", "1.00001", "1e3", ""])
    def test_never_take_a_number_for_a_quantity(self, quantity: object) -> None:
        with pytest.raises(ValueError, match="lines"):
            submission({**line(), "quantity": quantity})


class TestBacklog:
    BACKLOG = {"received_on": "2021-10-01", "reason": "Arrived on paper while the office was closed"}  # noqa: RUF012

    def test_waits_for_a_second_person(self) -> None:
        facts = submitted(backlog=self.BACKLOG)
        with pytest.raises(ReceiptIsNotConfirmed):
            verify(facts, REFERENCE, "2021-Q3", Verification(others="accepted"), by=VIKRAM, today=TODAY)
        with pytest.raises(StaterMayNotConfirm):
            facts[CLAIM].confirm_receipt(CLAIRE)
        facts.record({CLAIM: (facts[CLAIM].confirm_receipt(BEN),)}, BEN.person)
        with pytest.raises(ReceiptIsNotInDoubt):
            facts[CLAIM].confirm_receipt(BEN)
        verify(facts, REFERENCE, "2021-Q3", Verification(others="accepted"), by=VIKRAM, today=TODAY)

    def test_cannot_lie_ahead(self) -> None:
        with pytest.raises(ReceivedInTheFuture):
            submitted(backlog={**self.BACKLOG, "received_on": "2021-10-05"})


class TestQuery:
    def test_stops_the_verification_until_it_is_answered(self) -> None:
        facts = submitted()
        facts.play(
            partial(query, award=REFERENCE, claim="2021-Q3", question="Whose tenancy?", lines=(1,), by=VIKRAM), VIKRAM.person
        )
        assert facts[CLAIM].status is Status.QUERIED
        with pytest.raises(QueryIsOpen):
            verify(facts, REFERENCE, "2021-Q3", Verification(others="accepted"), by=VIKRAM, today=TODAY)
        facts.play(partial(answer, award=REFERENCE, claim="2021-Q3", text="Her own", by=CLAIRE), CLAIRE.person)
        assert facts[CLAIM].status is Status.ANSWERED
        with pytest.raises(NoQueryIsOpen):
            answer(facts, REFERENCE, "2021-Q3", "Again", by=CLAIRE)

    def test_is_not_for_the_claimant(self) -> None:
        with pytest.raises(ClaimantMayNotDecide):
            query(submitted(), REFERENCE, "2021-Q3", "Really?", (), by=CLAIRE)

    def test_is_answered_by_the_claimant_only(self) -> None:
        facts = submitted()
        facts.play(
            partial(query, award=REFERENCE, claim="2021-Q3", question="Whose tenancy?", lines=(), by=VIKRAM), VIKRAM.person
        )
        with pytest.raises(NotTheClaimant):
            answer(facts, REFERENCE, "2021-Q3", "Her own", by=BEN)

    def test_refuses_a_line_that_there_is_not(self) -> None:
        with pytest.raises(NoSuchLine):
            query(submitted(), REFERENCE, "2021-Q3", "Whose?", (2,), by=VIKRAM)


class TestWithdraw:
    def test_is_for_the_claimant_only(self) -> None:
        with pytest.raises(NotTheClaimant):
            withdraw(submitted(), REFERENCE, "2021-Q3", "Mistake", by=VIKRAM)

    def test_happens_once(self) -> None:
        facts = submitted()
        facts.play(partial(withdraw, award=REFERENCE, claim="2021-Q3", reason="Mistake", by=CLAIRE), CLAIRE.person)
        with pytest.raises(ClaimIsWithdrawn):
            withdraw(facts, REFERENCE, "2021-Q3", "Mistake", by=CLAIRE)

    def test_is_too_late_after_the_verification(self) -> None:
        facts = submitted()
        accept = Verification(others="accepted")
        facts.play(partial(verify, award=REFERENCE, claim="2021-Q3", verification=accept, by=VIKRAM, today=TODAY), VIKRAM.person)
        with pytest.raises(ClaimIsDecided):
            withdraw(facts, REFERENCE, "2021-Q3", "Mistake", by=CLAIRE)

    def test_refuses_a_claim_that_there_is_not(self) -> None:
        with pytest.raises(NoSuchClaim):
            withdraw(agreed(), REFERENCE, "2021-Q3", "Mistake", by=CLAIRE)


def test_every_refusal_states_its_rule() -> None:
    def each(of: type[Refused]) -> list[type[Refused]]:
        return [of, *(further for kind in of.__subclasses__() for further in each(kind))]

    for refusal in each(Refused):
        assert (refusal.__doc__ or "")[:1].isupper(), refusal
