"""Postings: what each event moves, from which stage to which, and on which effective date (M11)."""

from collections.abc import Sequence
from datetime import date
from functools import partial
from time import perf_counter

import pytest

from domain.aggregate import Commitment
from domain.claim import ClaimLine, ClaimLinesDecided, ClaimLinesListed, ClaimLinesWithdrawn, DecidedLine, Moved, submit
from domain.event import Event
from domain.events import BY_NAME
from domain.money import Money, Quantity
from domain.payment import (
    PaymentApproved,
    PaymentDrawnUp,
    PaymentHeld,
    PaymentHoldLifted,
    PaymentMoved,
    PaymentReissued,
    PaymentReportConfirmed,
    PaymentReturned,
    PaymentSent,
    PaymentSettled,
    PaymentStopped,
    PaymentTakenOffRun,
    ReturnReason,
    Stage,
)
from domain.postings import postings
from domain.verification import Verification, verify
from tests.domain.given import commitment
from tests.domain.kirklees import (
    CLAIRE,
    COUNCIL,
    FUND,
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

JULY, MARCH, VALUE_DATE = date(2021, 7, 14), date(2021, 3, 31), date(2021, 11, 5)
YEARS = {"2020-21": Money(100), "2021-22": Money(250)}
ANY: Commitment = commitment("because")


def told(event: Event) -> list[tuple[str, str, str, str]]:
    """Each posting's stage, year, effective date and amount."""
    return [(each.stage, each.year, each.effective.isoformat(), str(each.amount)) for each in postings(event)]


def claimed(number: int, day: date, pence: int) -> ClaimLine:
    return ClaimLine(line=number, outcome="HOME", quantity=Quantity.parse("1"), achieved_on=day, value=Money(pence))


class TestClaims:
    def test_what_is_claimed_is_undecided_when_it_was_achieved(self) -> None:
        listed = ClaimLinesListed(lines=(claimed(1, JULY, 140_000), claimed(2, JULY, 140_000), claimed(3, MARCH, 1)))
        assert told(listed) == [
            ("claimed", "2021-22", "2021-07-14", "-2800.00"),
            ("undecided", "2021-22", "2021-07-14", "2800.00"),
            ("claimed", "2020-21", "2021-03-31", "-0.01"),
            ("undecided", "2020-21", "2021-03-31", "0.01"),
        ]

    def test_what_is_withdrawn_was_never_claimed(self) -> None:
        moved = Moved(line=1, outcome="HOME", achieved_on=JULY, amount=Money(5))
        assert told(ClaimLinesWithdrawn(lines=(moved,))) == [
            ("undecided", "2021-22", "2021-07-14", "-0.05"),
            ("claimed", "2021-22", "2021-07-14", "0.05"),
        ]

    def decision(self, accepted: int, rejected: int, deferred: int) -> ClaimLinesDecided:
        whole = Quantity.parse("1")
        return ClaimLinesDecided(
            lines=(
                DecidedLine(
                    line=1,
                    outcome="HOME",
                    achieved_on=JULY,
                    accepted=whole,
                    rejected=whole,
                    deferred=whole,
                    accepted_value=Money(accepted),
                    rejected_value=Money(rejected),
                    deferred_value=Money(deferred),
                ),
            )
        )

    def test_a_decision_moves_what_was_undecided(self) -> None:
        assert [(stage, amount) for stage, _, _, amount in told(self.decision(980_000, 280_000, 140_000))] == [
            ("awaiting", "9800.00"),
            ("rejected", "2800.00"),
            ("deferred", "1400.00"),
            ("undecided", "-14000.00"),
        ]

    def test_a_later_decision_moves_what_was_deferred(self) -> None:
        assert [(stage, amount) for stage, _, _, amount in told(self.decision(140_000, 0, -140_000))] == [
            ("awaiting", "1400.00"),
            ("deferred", "-1400.00"),
        ]


class TestPayments:
    @pytest.mark.parametrize(
        ("step", "source", "target"),
        [
            (PaymentHeld(payer=FUND, years=YEARS, on=TODAY, reason=ANY), "due", "held"),
            (PaymentHoldLifted(payer=FUND, years=YEARS, on=TODAY), "held", "due"),
            (PaymentApproved(payer=FUND, years=YEARS, on=TODAY), "due", "approved"),
            (PaymentDrawnUp(payer=FUND, years=YEARS, on=TODAY, run="RUN-1"), "approved", "in-run"),
            (PaymentTakenOffRun(payer=FUND, years=YEARS, on=TODAY, run="RUN-1"), "in-run", "approved"),
            (PaymentStopped(payer=FUND, years=YEARS, on=TODAY, was=Stage.IN_RUN, run="RUN-1"), "in-run", "due"),
            (PaymentStopped(payer=FUND, years=YEARS, on=TODAY, was=Stage.APPROVED), "approved", "due"),
            (PaymentSent(payer=FUND, years=YEARS, on=TODAY, run="RUN-1"), "in-run", "sent"),
            (PaymentSettled(payer=FUND, years=YEARS, on=VALUE_DATE, run="RUN-1", bank_reference="BACS-42"), "sent", "paid"),
            (
                PaymentReturned(payer=FUND, years=YEARS, on=VALUE_DATE, was=Stage.SENT, reason=ReturnReason.ACCOUNT_CLOSED),
                "sent",
                "returned",
            ),
            (
                PaymentReturned(payer=FUND, years=YEARS, on=VALUE_DATE, was=Stage.PAID, reason=ReturnReason.ACCOUNT_CLOSED),
                "paid",
                "returned",
            ),
            (PaymentReissued(payer=FUND, years=YEARS, on=TODAY, due_on=VALUE_DATE), "returned", "due"),
            (PaymentReportConfirmed(payer=FUND, years=YEARS, on=VALUE_DATE, reference="CHQ-1"), "due", "paid"),
        ],
    )
    def test_a_step_moves_the_whole_payment_year_by_year(self, step: PaymentMoved, source: str, target: str) -> None:
        on = step.on.isoformat()
        assert told(step) == [
            (source, "2020-21", on, "-1.00"),
            (target, "2020-21", on, "1.00"),
            (source, "2021-22", on, "-2.50"),
            (target, "2021-22", on, "2.50"),
        ]
        assert {each.payer for each in postings(step)} == {FUND}

    def test_every_step_that_there_is_moves_money(self) -> None:
        steps = [kind for kind in BY_NAME.values() if issubclass(kind, PaymentMoved)]
        assert len(steps) == 11
        assert {kind.leads_to for kind in steps} == set(Stage) - {Stage.NETTED_OFF}


def forty_payers() -> list[dict[str, object]]:
    return [
        {"party": f"GB-LAE-{number:040}", "share": f"{number + 1}/820", "payee": PRIME, "maximum": "9000.00"}
        for number in range(40)
    ]


class TestTheLargestClaim:
    """5,000 lines and 40 payers, each with the longest name and a maximum that bites."""

    def decided(self, payers: Sequence[dict[str, object]]) -> list[Event]:
        councils = [{"party": payer["party"], "roles": ["co-commissioner"]} for payer in payers[1:]]
        parties = [{"party": payers[0]["party"], "roles": ["lead-commissioner"]}, *councils]
        others = [{"party": PRIME, "roles": ["spv"]}, {"party": VERIFIERS, "roles": ["verifier"]}]
        facts = agreed(terms(parties=[*parties, *others], payers=payers))
        many = submission(*(line(quantity="1.5", participant=f"KBOP-{number:04}") for number in range(5_000)))
        facts.play(partial(submit, award=REFERENCE, submission=many, by=CLAIRE, today=TODAY), CLAIRE.person)
        verification = Verification(others="accepted")
        decision = verify(facts, REFERENCE, "2021-Q3", verification, by=VIKRAM, today=TODAY)
        return [event for events in decision.values() for event in events]

    def test_fits_into_entries_of_sixty_kilobytes_and_adds_up(self) -> None:
        events = self.decided(forty_payers())
        assert max(len(event.model_dump_json().encode()) for event in events) < 60 * 1024
        assert all(sum(posting.amount for posting in postings(event)) == 0 for event in events)

    def test_of_two_payers_is_decided_in_seconds(self) -> None:
        payers: list[dict[str, object]] = [
            {"party": COUNCIL, "share": "439/619", "payee": PRIME},
            {"party": FUND, "share": "180/619", "payee": PRIME},
        ]
        began = perf_counter()
        self.decided(payers)
        assert perf_counter() - began < 5
