"""Kirklees Better Outcomes Partnership as the tests know it: real totals, real parties' roles, an invented rate card."""

from datetime import date
from typing import Any

from domain.aggregate import Actor, PersonId
from domain.award import AwardRegistered, award_stream, register
from domain.claim import Submission
from domain.terms import Terms
from tests.domain.accounts import agree_details
from tests.domain.given import MemoryFacts, commitment

COUNCIL, FUND, PRIME, PROVIDER, VERIFIERS = "GB-LAE-KIR", "GB-GOR-DCMS", "GB-COH-11503344", "GB-CHC-1087167", "GB-COH-02110904"

AMINA = Actor(PersonId("amina"), FUND)
BEN = Actor(PersonId("ben"), FUND)
CLAIRE = Actor(PersonId("claire"), PRIME)
VIKRAM = Actor(PersonId("vikram"), VERIFIERS)
CERYS = Actor(PersonId("cerys"), COUNCIL)
APARNA = Actor(PersonId("aparna"), FUND)
RORY = Actor(PersonId("rory"), FUND)

REFERENCE = "INDIGO-POJ-0175"
START = date(2019, 9, 1)
TODAY = date(2021, 10, 4)

TERMS = {
    "effective_from": "2019-09-01",
    "parties": [
        {"party": COUNCIL, "roles": ["lead-commissioner"]},
        {"party": FUND, "roles": ["top-up-payer"]},
        {"party": PRIME, "roles": ["spv"]},
        {"party": PROVIDER, "roles": ["provider"]},
        {"party": VERIFIERS, "roles": ["verifier"]},
    ],
    "outcomes": [
        {"code": "HOME", "title": "A home of one's own", "unit": "person", "price": "1400.00"},
        {"code": "WEEKS", "title": "Weeks in a home", "unit": "day", "price": "850.00", "per": 7},
        {"code": "HOME-3", "title": "Home kept for three months", "unit": "person", "price": "700.00", "prerequisites": ["HOME"]},
        {"code": "JOB", "title": "A job", "unit": "person", "price": "3300.00", "max_per_participant": "1"},
    ],
    "payers": [
        {"party": FUND, "share": "180/619", "maximum": "6600000.00", "payee": PRIME},
        {"party": COUNCIL, "share": "439/619", "payee": PRIME},
    ],
    "service_window": {"first": "2019-09-01", "last": "2024-09-30"},
    "outcomes_window": {"first": "2019-09-01", "last": "2024-09-30"},
    "claims_close_on": "2024-12-31",
    "award_amount": "22300000.00",
    "illustrative": True,
}


def terms(**changes: object) -> Terms:
    """The terms with some fields changed."""
    return Terms.model_validate({**TERMS, **changes})


def outcomes(**changes: object) -> list[dict[str, object]]:
    """The rate card with some fields of every outcome changed."""
    return [{**outcome, **changes} for outcome in TERMS["outcomes"]]  # type: ignore[attr-defined]


REVIEWED = commitment("Agreed in the review of March.")
"""Why a further version of the terms is proposed, as it stands in the log."""


def agreed(of: Terms | None = None) -> MemoryFacts:
    """A ledger in memory in which the award is registered and agreed, and its payee has bank details."""
    facts = MemoryFacts()
    agree_details(facts, PRIME)
    registration = AwardRegistered(reference=REFERENCE, title="Kirklees Better Outcomes Partnership")
    facts.record(register(facts, registration, of or terms()), AMINA.person)
    stream = award_stream(REFERENCE)
    facts.record({stream: (facts[stream].agree(BEN),)}, BEN.person)
    return facts


def line(outcome: str = "HOME", quantity: str = "1", achieved_on: str = "2021-07-14", **more: object) -> dict[str, object]:
    """A claimed line."""
    return {"outcome": outcome, "quantity": quantity, "achieved_on": achieved_on, **more}


def submission(*lines: dict[str, object], claim: str = "2021-Q3", **more: Any) -> Submission:
    """A claim for the summer of 2021."""
    period = {"first": "2021-07-01", "last": "2021-09-30"}
    return Submission.model_validate({"claim": claim, "period": period, "lines": lines or (line(),), **more})
