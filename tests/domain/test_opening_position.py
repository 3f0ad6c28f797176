"""Opening positions: an award that began elsewhere goes on from where it stood, by two persons (section 3)."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import date
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain import claim as claims
from domain.aggregate import Actor, PersonId
from domain.assessment import AssessedLine
from domain.award import AwardIsNotAgreed, AwardRegistered, LimitsUnderWhatStands, register
from domain.calendar import financial_year
from domain.claim import ClaimLinesAssessed, claim_stream
from domain.closing import close
from domain.money import Money, Quantity
from domain.opening_position import (
    AwardHasBegun,
    BeneficiaryMayNotOpen,
    NoOpeningPositionIsProposed,
    NoSuchOpeningPosition,
    Opening,
    OpeningPositionDoesNotFit,
    OpeningPositionIsAgreed,
    OpeningPositionIsProposed,
    ProposerMayNotOpen,
    agree,
    opening_position_stream,
    propose,
    withdraw,
)
from domain.participant import participant_stream
from domain.payment import ApproverTookPart, payment_stream
from domain.postings import postings
from domain.receivable import receivable_stream
from domain.terms import Terms
from domain.variation import agree as agree_version
from domain.verification import ParticipantLimitsBroken
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
    outcomes,
    submission,
    terms,
)
from tests.domain.test_clawback import AWARD, balances, claimed, clawed, paid, pounds
from tests.domain.test_other_payment import other
from tests.domain.test_reconsideration import varied

WHY = "Kept in spreadsheets until September."
STANDS_ON = date(2021, 9, 30)
STREAM = opening_position_stream(REFERENCE)

Rows = list[dict[str, Any]]


def accepted(outcome: str, participants: Iterable[int], on: str, assessed: str) -> Rows:
    """One unit of an outcome for each of some participants."""
    return [
        {"participant": f"KBOP-{each}", "outcome": outcome, "quantity": "1", "achieved_on": on, "assessed": assessed}
        for each in participants
    ]


POSITION: dict[str, Any] = {
    "stands_on": str(STANDS_ON),
    "outcomes": [
        {"outcome": "HOME", "year": "2019-20", "quantity": "50", "assessed": "70000.00"},
        {"outcome": "HOME", "year": "2020-21", "quantity": "60", "assessed": "84000.00"},
        {"outcome": "HOME-3", "year": "2020-21", "quantity": "15", "assessed": "10500.00"},
        {"outcome": "JOB", "year": "2020-21", "quantity": "5", "assessed": "16500.00"},
    ],
    "payers": [
        {"payer": FUND, "year": "2019-20", "allotted": "20355.41", "paid": "20355.41"},
        {"payer": COUNCIL, "year": "2019-20", "allotted": "49644.59", "paid": "49644.59"},
        {"payer": FUND, "year": "2020-21", "allotted": "32277.87", "paid": "32277.87"},
        {"payer": COUNCIL, "year": "2020-21", "allotted": "78722.13", "paid": "78722.13"},
    ],
    "splits": [{"version": 1, "split": "181000.00", "parts": {FUND: "52633.28", COUNCIL: "128366.72"}}],
    "lines": [
        *accepted("HOME", range(1, 16), "2020-04-20", "1400.00"),
        *accepted("HOME-3", range(1, 16), "2020-07-20", "700.00"),
        *accepted("JOB", range(11, 16), "2020-09-01", "3300.00"),
    ],
    "reason": WHY,
}
"""£181,000.00 of outcomes, all of it paid: 110 homes, of 15 of which the participants are known, and what those went on to."""

Changes = Mapping[Any, Any]
"""What is said otherwise, by its path."""


def opening(changes: Changes | None = None, **fields: Any) -> Opening:
    """The position, with some of what it says changed, each by its path."""
    said = Opening.model_validate({**POSITION, **fields}).model_dump(mode="json")
    for path, value in (changes or {}).items():
        within: Any = said
        for step in path[:-1]:
            within = within[step]
        within[path[-1]] = value
    return Opening.model_validate(said)


def proposed(facts: MemoryFacts, asked: Opening | None = None) -> MemoryFacts:
    facts.play(partial(propose, award=REFERENCE, opening=asked or opening(), today=TODAY), AMINA.person)
    return facts


def agreed_by(facts: MemoryFacts, by: Actor = BEN) -> MemoryFacts:
    facts.play(partial(agree, award=REFERENCE, by=by, today=TODAY), by.person)
    return facts


def opened(asked: Opening | None = None, of: Terms | None = None) -> MemoryFacts:
    """An award whose position is opened."""
    return agreed_by(proposed(agreed(of), asked))


def owing() -> Opening:
    """The council has not paid £8,722.13 of it yet, and the fund paid £1,000.00 too much, which was taken back."""
    return opening(
        {
            ("payers", 2, "paid"): "33277.87",
            ("payers", 2, "owed_back"): "1000.00",
            ("payers", 3, "paid"): "70000.00",
            ("payers", 3, "due"): "8722.13",
        }
    )


def wrong(changes: Changes, of: Terms | None = None, **fields: Any) -> list[tuple[str, str]]:
    """Where a changed position is refused, and why; nothing of it is recorded."""
    facts = agreed(of)
    with pytest.raises(OpeningPositionDoesNotFit) as refused:
        proposed(facts, opening(changes, **fields))
    assert facts.get(STREAM) is None
    return [(fault.where, fault.what) for fault in refused.value.faults]


def assessed_line(facts: MemoryFacts, claim: str = "2021-Q3") -> AssessedLine:
    made = facts[claim_stream(REFERENCE, claim)].lines[0].assessments[0][1]
    assert isinstance(made, AssessedLine)
    return made


class TestAgree:
    def test_goes_on_splitting_from_where_the_shares_stood(self) -> None:
        """M8's line of £1,400.00 that brings G to £182,400.00 at 180/619."""
        told = assessed_line(claimed(line(), facts=opened()))
        assert (str(told.before), str(told.after)) == ("181000.00", "182400.00")
        assert [(each.payer, str(each.allotted)) for each in told.allotments] == [(FUND, "407.11"), (COUNCIL, "992.89")]

    def test_counts_as_claimed_assessed_and_paid(self) -> None:
        facts = opened()
        assert (pounds(facts, "claimed"), pounds(facts, "assessed")) == ("-181000.00", "181000.00")
        assert (pounds(facts, "paid", FUND), pounds(facts, "paid", COUNCIL)) == ("52633.28", "128366.72")
        assert pounds(facts, "apportioned") == "-181000.00"
        assert {stage for stage, _ in balances(facts)} == {"claimed", "assessed", "apportioned", "paid"}

    def test_is_the_first_assessment_and_makes_nothing_due_that_is_paid(self) -> None:
        facts = opened()
        under = facts[AWARD]
        assert (under.assessments, under.payments, under.receivables) == (1, (), {})
        assert {payer: str(amount) for payer, amount in under.standing.allotted.items()} == {
            FUND: "52633.28",
            COUNCIL: "128366.72",
        }
        assert str(under.standing.quantities["HOME"]) == "110"
        assert {year: str(amount) for year, amount in under.standing.years.items()} == {
            "2019-20": "70000.00",
            "2020-21": "111000.00",
        }

    def test_makes_due_what_is_not_paid_and_receivable_what_is_owed_back(self) -> None:
        facts = opened(owing())
        due = facts[payment_stream(REFERENCE, 1, COUNCIL)]
        assert (str(due.amount), due.payee, due.years) == ("8722.13", PRIME, {"2020-21": Money(8_722_13)})
        owed = facts[receivable_stream(REFERENCE, 1, FUND, PRIME)]
        assert str(owed.open) == "1000.00"
        assert (pounds(facts, "due", COUNCIL), pounds(facts, "due", FUND)) == ("8722.13", "0.00")
        assert (pounds(facts, "paid", FUND), pounds(facts, "receivable.open", FUND)) == ("53633.28", "-1000.00")
        assert str(facts[AWARD].standing.allotted[FUND]) == "53633.28"

    def test_nets_what_is_owed_back_off_the_next_payment(self) -> None:
        facts = claimed(line(quantity="10"), facts=opened(owing()))
        due = facts[payment_stream(REFERENCE, 2, FUND)]
        assert (str(due.gross), str(due.amount)) == ("4071.08", "3071.08")
        assert str(facts[AWARD].standing.allotted[FUND]) == "56704.36"
        assert pounds(facts, "receivable.open", FUND) == "0.00"

    def test_sets_what_one_payer_owes_and_is_owed_against_each_other(self) -> None:
        both = {
            ("payers", 2, "paid"): "31777.87",
            ("payers", 2, "due"): "1000.00",
            ("payers", 2, "owed_back"): "500.00",
        }
        facts = opened(opening(both))
        assert str(facts[payment_stream(REFERENCE, 1, FUND)].amount) == "500.00"
        assert facts[AWARD].receivables == {}

    def test_keeps_both_persons_from_approving_what_is_due(self) -> None:
        due = opened(owing())[payment_stream(REFERENCE, 1, COUNCIL)]
        for took_part in (AMINA, BEN):
            with pytest.raises(ApproverTookPart):
                due.approve(took_part, today=TODAY)
        due.approve(APARNA, today=TODAY)

    def test_takes_effect_at_the_end_of_each_year_and_at_the_latest_on_its_day(self) -> None:
        more: dict[str, Any] = {
            "outcomes": [*POSITION["outcomes"], {"outcome": "HOME", "year": "2021-22", "quantity": "1", "assessed": "1400.00"}],
            "payers": [
                *POSITION["payers"],
                {"payer": FUND, "year": "2021-22", "allotted": "407.11", "due": "407.11"},
                {"payer": COUNCIL, "year": "2021-22", "allotted": "992.89", "due": "992.89"},
            ],
            "splits": [{"version": 1, "split": "182400.00", "parts": {FUND: "53040.39", COUNCIL: "129359.61"}}],
        }
        facts = opened(opening(**more))
        dated = {(each.year, each.effective) for event in facts.happened(STREAM.name) for each in postings(event)}
        assert dated == {("2019-20", date(2020, 3, 31)), ("2020-21", date(2021, 3, 31)), ("2021-22", STANDS_ON)}

    def test_takes_what_is_owed_back_for_paid_until_the_day_of_the_decision(self) -> None:
        facts = opened(owing())
        by_day: Counter[tuple[str, date]] = Counter()
        for events in facts.streams.values():
            for event, _ in events:
                by_day.update({(each.stage, each.effective): each.amount for each in postings(event) if each.payer == FUND})
        moved = {name: str(Money(amount)) for name, amount in by_day.items() if amount}
        assert moved == {
            ("paid", date(2020, 3, 31)): "20355.41",
            ("paid", date(2021, 3, 31)): "32277.87",
            ("paid", TODAY): "1000.00",
            ("receivable.open", TODAY): "-1000.00",
        }

    def test_leaves_each_limit_what_was_not_consumed(self) -> None:
        limited = [{**each, "max_quantity": "111", "max_amount": "154700.00"} for each in outcomes()]
        told = assessed_line(claimed(line(quantity="2"), facts=opened(of=terms(outcomes=limited))))
        assert [(each.limit, each.left, str(each.curtailed)) for each in told.limits] == [
            ("outcome_quantity", "1", "1400.00"),
            ("outcome_amount", "700.00", "700.00"),
            ("award_amount", "22119000.00", "0.00"),
        ]

    def test_leaves_the_year_and_a_payer_what_was_not_consumed(self) -> None:
        payers = [{**TERMS["payers"][0], "maximum": "52733.28"}, TERMS["payers"][1]]  # type: ignore[index]
        facts = opened(of=terms(payers=payers, year_amounts={"2020-21": "111700.00"}))
        told = assessed_line(claimed(line(achieved_on="2021-03-01"), facts=facts))
        assert str(told.assessed) == "700.00"
        assert [(str(each.left), str(each.allotted)) for each in told.allotments] == [("100.00", "100.00"), ("None", "600.00")]

    def test_counts_what_a_participant_had(self) -> None:
        facts = opened(of=terms(participant_amount="5500.00"))
        known = participant_stream(REFERENCE, facts.pseudonym(REFERENCE, "kbop-11"))
        assert str(facts[known].assessed) == "5400.00"
        told = assessed_line(claimed(line(participant="KBOP-11"), facts=facts))
        assert (told.limits[0].limit, told.limits[0].left, str(told.assessed)) == ("participant_amount", "100.00", "100.00")

    def test_recognises_a_participant_who_had_the_outcome(self) -> None:
        facts = opened()
        with pytest.raises(ParticipantLimitsBroken):
            claimed(line("JOB", participant="kbop-15"), facts=facts)
        claimed(line("JOB", participant="KBOP-1"), facts=opened())

    def test_lets_by_outcomethat_need_an_earlier_one_be_accepted(self) -> None:
        claimed(line("HOME-3", participant="KBOP-1"), facts=opened())
        with pytest.raises(ParticipantLimitsBroken):
            claimed(line("HOME-3", participant="KBOP-99"), facts=opened())

    def test_is_not_among_what_a_clawback_can_take(self) -> None:
        facts = claimed(line(), facts=opened())
        clawed(facts, (1, "1"))
        assert (pounds(facts, "assessed"), str(facts[AWARD].standing.assessed)) == ("181000.00", "181000.00")

    def test_is_untouched_by_a_back_dated_version(self) -> None:
        dearer = [{**each, "price": "1550.00"} if each["code"] == "HOME" else each for each in outcomes()]
        facts = claimed(line(), facts=opened())
        varied(facts, date(2021, 4, 1), outcomes=dearer)
        assert str(facts[AWARD].standing.assessed) == "182550.00"

    def test_counts_where_limits_are_lowered_and_where_the_commitment_goes_back(self) -> None:
        facts = opened()
        with pytest.raises(LimitsUnderWhatStands):
            facts[AWARD].propose(terms(award_amount="180999.99"), reason=REVIEWED, today=TODAY)
        facts.play(partial(close, award=REFERENCE, today=TODAY), AMINA.person)
        assert str(facts.happened(AWARD.name)[-1].released) == "22119000.00"  # type: ignore[attr-defined]

    def test_counts_where_limits_by_participant_are_lowered(self) -> None:
        facts = opened()
        version = facts[AWARD].propose(
            terms(effective_from="2021-12-01", participant_amount="5399.99"), reason=REVIEWED, today=TODAY
        )
        facts.record({AWARD: (version,)}, AMINA.person)
        with pytest.raises(LimitsUnderWhatStands) as refused:
            agree_version(facts, REFERENCE, version.version, by=BEN, today=TODAY)
        assert [each.where for each in refused.value.faults] == ["participant_amount"]

    def test_takes_other_payments_and_what_was_unfunded(self) -> None:
        years = [{"year": "2019-20", "other_payments": "619.00"}, {"year": "2020-21", "unfunded": "100.00"}]
        changes = {
            ("payers", 0, "allotted"): "20535.41",
            ("payers", 0, "paid"): "20535.41",
            ("payers", 1, "allotted"): "50083.59",
            ("payers", 1, "paid"): "50083.59",
            ("payers", 2, "allotted"): "32177.87",
            ("payers", 2, "paid"): "32177.87",
            ("splits", 0): {"version": 1, "split": "181619.00", "parts": {FUND: "52813.28", COUNCIL: "128805.72"}},
        }
        facts = opened(opening(changes, years=years))
        standing = facts[AWARD].standing
        assert (str(standing.others), str(standing.unfunded), str(standing.assessed)) == ("619.00", "100.00", "181000.00")
        assert str(standing.years["2019-20"]) == "70619.00"
        assert (pounds(facts, "other-payments"), pounds(facts, "unfunded")) == ("-619.00", "100.00")

    def test_refuses_whoever_proposed_it(self) -> None:
        with pytest.raises(ProposerMayNotOpen):
            agreed_by(proposed(agreed()), AMINA)

    @pytest.mark.parametrize("party", [PRIME, PROVIDER])
    def test_refuses_a_person_of_a_party_that_gains_by_it(self, party: str) -> None:
        with pytest.raises(BeneficiaryMayNotOpen):
            agreed_by(proposed(agreed()), Actor(PersonId("priya"), party))
        agreed_by(proposed(agreed()), CERYS)

    def test_refuses_a_second_agreement(self) -> None:
        with pytest.raises(NoOpeningPositionIsProposed):
            agreed_by(opened())
        with pytest.raises(NoSuchOpeningPosition):
            agreed_by(agreed())

    def test_refuses_once_something_was_claimed(self) -> None:
        facts = proposed(agreed())
        facts.play(partial(claims.submit, award=REFERENCE, submission=submission(), by=CLAIRE, today=TODAY), CLAIRE.person)
        with pytest.raises(AwardHasBegun):
            agreed_by(facts)
        facts.play(partial(claims.withdraw, award=REFERENCE, claim="2021-Q3", reason="Later.", by=CLAIRE), CLAIRE.person)
        agreed_by(facts)

    def test_looks_at_the_limits_of_the_day_again(self) -> None:
        facts = proposed(agreed())
        varied(facts, award_amount="180999.99")
        with pytest.raises(OpeningPositionDoesNotFit) as refused:
            agreed_by(facts)
        assert [fault.where for fault in refused.value.faults] == ["award_amount"]


class TestPropose:
    def test_moves_nothing_and_keeps_the_reason_and_references_in_the_vault(self) -> None:
        facts = proposed(agreed())
        assert not balances(facts)
        assert facts[AWARD].assessments == 0
        found = facts[STREAM]
        assert (found.proposed.reason, facts.reveal(found.proposed.reason)) == (commitment(WHY), WHY)
        assert found.figures.model_dump() == opening().model_dump(exclude={"lines", "reason", "document_sha256"})
        written = "".join(event.model_dump_json() for event in facts.happened(STREAM.name))
        assert (len(found.lines), "KBOP" in written) == (35, False)

    def test_comes_in_entries_that_are_small_enough(self) -> None:
        """Many figures and lines take several entries."""
        lines = accepted("HOME", range(1_000), "2020-04-20", "1.00")
        facts = opened(opening(lines=[*POSITION["lines"], *({**each, "participant": f"K-{n}"} for n, each in enumerate(lines))]))
        events = facts.happened(STREAM.name)
        assert len([each for each in events if each.type == "opening-position.lines-listed"]) > 1
        assert max(len(each.model_dump_json()) for each in events) < 60 * 1_024
        assert len(facts[STREAM].lines) == 1_035

    def test_refuses_an_award_that_nobody_agreed(self) -> None:
        facts = MemoryFacts()
        registration = AwardRegistered(reference=REFERENCE, title="Kirklees Better Outcomes Partnership")
        facts.record(register(facts, registration, terms()), AMINA.person)
        with pytest.raises(AwardIsNotAgreed):
            proposed(facts)

    @pytest.mark.parametrize("begun", [claimed, lambda: other(agreed())])
    def test_refuses_an_award_under_which_something_was_assessed(self, begun: Callable[[], MemoryFacts]) -> None:
        with pytest.raises(AwardHasBegun):
            proposed(begun())

    def test_refuses_a_second_one(self) -> None:
        facts = proposed(agreed())
        with pytest.raises(OpeningPositionIsProposed):
            proposed(facts)
        agreed_by(facts)
        with pytest.raises(OpeningPositionIsAgreed):
            proposed(facts)

    def test_refuses_every_fault_at_once(self) -> None:
        changes = {
            ("stands_on",): "2021-10-05",
            ("outcomes", 0, "outcome"): "YACHT",
            ("payers", 1, "payer"): "GB-LAE-LDS",
            ("payers", 3, "paid"): "78722.12",
            ("splits", 0, "version"): 2,
            ("lines", 34, "achieved_on"): "2019-08-31",
        }
        assert [where for where, _ in wrong(changes)] == [
            "stands_on",
            "outcomes.0.outcome",
            "payers.1.payer",
            "payers.3.allotted",
            "splits.0.version",
            "lines.35.achieved_on",
            "lines",
            "lines",
        ]

    def test_refuses_a_position_of_nothing(self) -> None:
        [(where, _)] = wrong({}, outcomes=[], payers=[], splits=[], lines=[])
        assert where == "outcomes"

    def test_refuses_a_day_before_the_terms(self) -> None:
        assert wrong({("stands_on",): "2019-08-31"}) == [("stands_on", "no agreed terms were in force on 2019-08-31")]

    @pytest.mark.parametrize("year", ["2018-19", "2022-23"])
    def test_refuses_a_year_before_the_terms_or_after_the_position(self, year: str) -> None:
        told = dict(wrong({("outcomes", 0, "year"): year}))
        assert "2019-20 to 2021-22" in told["outcomes.0.year"]

    def test_refuses_years_that_do_not_add_up(self) -> None:
        told = wrong({("payers", 0, "allotted"): "20355.40", ("payers", 0, "paid"): "20355.40"})
        assert told == [("years.2019-20", "70000.00 was assessed or paid otherwise, but allotted + unfunded is 69999.99 (M11)")]

    def test_refuses_what_is_named_twice(self) -> None:
        twice: dict[str, Any] = {name: [*POSITION[name], POSITION[name][0]] for name in ("outcomes", "payers", "splits", "lines")}
        years = [{"year": "2019-20", "unfunded": "1.00"}] * 2
        told = [
            where
            for where, what in wrong({}, **twice, years=years)
            if "twice" in what or "named already" in what or "another line" in what
        ]
        assert told == ["outcomes.4", "payers.4", "years.1.year", "splits.1.version", "lines.36"]

    def test_refuses_more_owed_back_than_was_paid(self) -> None:
        told = dict(wrong({("payers", 0, "owed_back"): "20355.42", ("payers", 0, "due"): "20355.42"}))
        assert told == {"payers.0.owed_back": "is more than what was paid, 20355.41"}

    def test_refuses_parts_that_are_not_what_the_shares_make(self) -> None:
        told = wrong({("splits", 0, "parts"): {FUND: "52633.30", COUNCIL: "128366.70"}})
        assert told == [
            (f"splits.0.parts.{FUND}", "is more than a penny away from 180/619 of 181000.00, 52633.28 (M6)"),
            (f"splits.0.parts.{COUNCIL}", "is more than a penny away from 439/619 of 181000.00, 128366.72 (M6)"),
        ]
        opened(opening({("splits", 0, "parts"): {FUND: "52633.27", COUNCIL: "128366.73"}}))

    def test_refuses_parts_of_other_payers_or_of_another_sum(self) -> None:
        told = wrong({("splits", 0, "parts"): {FUND: "52633.28", PRIME: "128366.72"}})
        assert [where for where, _ in told] == ["splits.0.parts", f"splits.0.parts.{PRIME}"]
        told = wrong({("splits", 0, "split"): "180999.99"})
        assert told == [
            ("splits.0.parts", "come to 181000.00, not to 180999.99 (M6)"),
            ("splits", "180999.99 was split, but 181000.00 was assessed or paid otherwise (M6)"),
        ]

    def test_refuses_what_is_over_a_limit_or_a_maximum(self) -> None:
        limited = [{**each, "max_quantity": "109.9999", "max_amount": "153999.99"} for each in outcomes()]
        payers = [{**TERMS["payers"][0], "maximum": "52633.27"}, TERMS["payers"][1]]  # type: ignore[index]
        of = terms(outcomes=limited, payers=payers, year_amounts={"2020-21": "110999.99"}, award_amount="180999.99")
        assert [where for where, _ in wrong({}, of)] == [
            "outcome_quantity.HOME",
            "outcome_amount.HOME",
            "year_amount.2020-21",
            "award_amount",
            f"maximum.{FUND}",
        ]
        just = [{**each, "max_quantity": "110", "max_amount": "154000.00"} for each in outcomes()]
        payers = [{**TERMS["payers"][0], "maximum": "52633.28"}, TERMS["payers"][1]]  # type: ignore[index]
        opened(of=terms(outcomes=just, payers=payers, year_amounts={"2020-21": "111000.00"}, award_amount="181000.00"))

    def test_refuses_lines_over_a_participants_limits(self) -> None:
        told = wrong({("lines", 34, "participant"): "kbop-14", ("lines", 34, "achieved_on"): "2020-09-02"})
        assert told == [("lines.35.quantity", "the participant stood accepted for 2 of JOB, more than 1 (M5)")]
        told = wrong({}, terms(participant_amount="5399.99"))
        assert [where for where, _ in told] == [f"lines.{number}.assessed" for number in range(31, 36)]

    def test_refuses_lines_without_what_they_need(self) -> None:
        for changed in ({("lines", 0, "achieved_on"): "2020-07-21"}, {("lines", 0, "participant"): "KBOP-99"}):
            told = wrong(changed)
            assert told == [
                (
                    "lines.16.outcome",
                    "HOME-3 needs HOME accepted for the participant, achieved on 2020-07-20 or before (M5)",
                )
            ]

    def test_refuses_lines_outside_their_window_or_after_the_position(self) -> None:
        of = terms(outcomes_window={"first": "2020-05-01", "last": "2024-09-30"})
        assert {where for where, _ in wrong({}, of)} == {f"lines.{number}.achieved_on" for number in range(1, 16)}
        told = wrong({("lines", 0, "achieved_on"): "2021-10-01"})
        assert told[0] == ("lines.1.achieved_on", "lies after the position, 2021-09-30")

    def test_refuses_lines_that_do_not_come_to_what_was_assessed(self) -> None:
        """Where an outcome takes no cohort, all of it must be of recognised participants, and nowhere may it be more."""
        told = wrong({}, lines=POSITION["lines"][:-1])
        come, needed = "come to 4 of JOB in 2020-21, worth 13200.00", "5, worth 16500.00, were assessed"
        assert told == [("lines", f"{come}, but {needed}, and the outcome takes no cohort (M5)")]
        told = wrong({("lines", 34, "assessed"): "3300.01"})
        assert told == [("lines", "come to 16500.01 of JOB in 2020-21, more than what was assessed, 16500.00")]
        told = wrong({("lines", 0, "achieved_on"): "2021-04-01", ("lines", 15, "achieved_on"): "2021-04-01"})
        assert told[0] == ("lines", "name HOME in 2021-22, of which `outcomes` says nothing")

    def test_lets_lines_be_accepted_for_more_than_was_payable(self) -> None:
        """A quantity that a limit cut off is accepted all the same."""
        more = accepted("JOB", [1], "2020-09-01", "0.00")
        opened(opening(lines=[*POSITION["lines"], *more]))

    @pytest.mark.parametrize("reference", ["QQ123456C", "943 476 5919", "kim@example.org"])
    def test_refuses_a_reference_that_names_somebody(self, reference: str) -> None:
        with pytest.raises(ValidationError) as refused:
            opening({("lines", 0, "participant"): reference})
        assert reference not in str(refused.value)


class TestWithdraw:
    def test_ends_it_and_lets_another_be_proposed(self) -> None:
        facts = proposed(agreed())
        facts.play(partial(withdraw, award=REFERENCE, reason="A column was missing."), BEN.person)
        with pytest.raises(NoOpeningPositionIsProposed):
            agreed_by(facts)
        with pytest.raises(NoOpeningPositionIsProposed):
            facts.play(partial(withdraw, award=REFERENCE, reason="Again."), BEN.person)
        agreed_by(proposed(facts, owing()))
        assert len(facts[STREAM].lines) == 35
        assert pounds(facts, "due", COUNCIL) == "8722.13"

    def test_is_refused_once_it_is_agreed(self) -> None:
        facts = opened()
        with pytest.raises(NoOpeningPositionIsProposed):
            facts.play(partial(withdraw, award=REFERENCE, reason="Too late."), BEN.person)


def test_what_is_due_is_paid_like_every_payment() -> None:
    facts = opened(owing())
    paid(facts, 1, COUNCIL)
    assert (pounds(facts, "paid", COUNCIL), pounds(facts, "due", COUNCIL)) == ("128366.72", "0.00")


# Any history, cut in two ----------------------------------------------------------------------------------------------

some_lines = st.lists(
    st.builds(
        line,
        st.sampled_from(["HOME", "WEEKS"]),
        st.sampled_from(["1", "3.4286", "0.0001"]) | st.integers(1, 24).map(str),
        st.sampled_from(["2020-03-31", "2020-04-01", "2021-03-31", "2021-07-14"]),
    ),
    min_size=1,
    max_size=4,
)


class TestAnyHistory:
    @given(
        before=st.lists(some_lines, min_size=1, max_size=4),
        after=some_lines,
        maximum=st.integers(0, 2_000_000),
        limit=st.integers(1, 6_000_000),
        shortfall=st.sampled_from(["residual-payer", "unfunded"]),
    )
    def test_goes_on_from_its_position_as_it_would_have_gone_on(
        self, before: list[Rows], after: Rows, maximum: int, limit: int, shortfall: str
    ) -> None:
        of = terms(
            payers=[{**TERMS["payers"][0], "maximum": str(Money(maximum))}, TERMS["payers"][1]],  # type: ignore[index]
            outcomes=[{**each, "max_quantity": "40"} for each in outcomes()],
            year_amounts={"2020-21": "30000.00"},
            award_amount=str(Money(limit)),
            shortfall=shortfall,
        )
        there = agreed(of)
        for number, lines in enumerate(before):
            claimed(*lines, facts=there, claim=f"C-{number}")
        here = opened(position_of(there), of)
        assert stands(here) == stands(there)
        for facts in (there, here):
            claimed(*after, facts=facts, claim="LAST")
        assert last_lines(here) == last_lines(there)
        assert stands(here) == stands(there)


def position_of(facts: MemoryFacts) -> Opening:
    """Where an award stands of which all that was allotted has been paid."""
    happened = [event for events in facts.streams.values() for event, _ in events if isinstance(event, ClaimLinesAssessed)]
    quantities: Counter[tuple[str, str]] = Counter()
    amounts: Counter[tuple[str, str]] = Counter()
    payers: Counter[tuple[str, str]] = Counter()
    unfunded: Counter[str] = Counter()
    for each in (each for event in happened for each in event.lines):
        year = financial_year(each.achieved_on)
        quantities[each.outcome, year] += each.payable
        amounts[each.outcome, year] += each.assessed
        payers.update({(allotment.payer, year): allotment.allotted for allotment in each.allotments})
        unfunded[year] += each.unfunded
    (split,) = facts[AWARD].standing.accumulators.values()
    said = {
        "stands_on": STANDS_ON,
        "outcomes": [
            {"outcome": code, "year": year, "quantity": Quantity(units), "assessed": Money(amounts[code, year])}
            for (code, year), units in quantities.items()
            if units
        ],
        "payers": [
            {"payer": payer, "year": year, "allotted": Money(pence), "paid": Money(pence)}
            for (payer, year), pence in payers.items()
        ],
        "years": [{"year": year, "unfunded": Money(pence)} for year, pence in unfunded.items()],
        "splits": [{"version": 1, "split": split.assessed, "parts": dict(zip((FUND, COUNCIL), split.parts, strict=True))}],
        "reason": WHY,
    }
    return Opening.model_validate(said)


def stands(facts: MemoryFacts) -> dict[str, Any]:
    """What an award has consumed and given, as far as it is anything."""
    said = asdict(facts[AWARD].standing)
    return {name: {key: each for key, each in of.items() if each} if isinstance(of, dict) else of for name, of in said.items()}


def last_lines(facts: MemoryFacts) -> list[AssessedLine]:
    """What the last claim was assessed at, line by line."""
    found = [each for line in facts[claim_stream(REFERENCE, "LAST")].lines for _, each in line.assessments]
    return [each for each in found if isinstance(each, AssessedLine)]
