"""verify.py counts the units of a line, whoever signed them: an award of one line shows it, to whose last penny one can count."""

import re
from typing import Any

import pytest

from api.audit import verify
from tests.api.story import AWARD

TERMS = {
    "effective_from": "2020-04-01", "parties": [], "shortfall": "none", "year_amounts": {}, "award_amount": "9000.00",
    "payers": [{"party": "GB-LAE-KIR", "share": "1", "payee": "GB-COH-11503344"}],
    "outcomes": [{"code": "ENTRY", "price": "100.00", "per": 1}],
}  # fmt: skip
OF_IT = {"line": 1, "outcome": "ENTRY", "achieved_on": "2020-05-01"}


def of_line(kind: str, **told: Any) -> dict[str, Any]:
    return {"type": f"claim.lines-{kind}", "lines": [OF_IT | told]}


def decided(*told: str) -> dict[str, Any]:
    names = "accepted", "rejected", "deferred", "accepted_value", "rejected_value", "deferred_value"
    return of_line("decided", **dict(zip(names, told, strict=True)))


def taken_back(quantity: str, remaining: str, amount: str, after: str) -> list[dict[str, Any]]:
    """Units of the line taken back of the ten that were assessed, and what that comes to."""
    told = {"price": "100.00", "per": 1, "version": 1, "quantity": quantity, "remaining": remaining, "payable": quantity}
    told |= {"worth": amount, "reversed": amount, "limits": [], "unfunded": "0.00", "before": "1000.00", "after": after}
    told |= {"reversals": [{"payer": "GB-LAE-KIR", "part": amount, "reversed": amount}]}
    sums = {"type": "award.assessed", "kind": "clawback", "assessed": f"-{amount}", "unfunded": "0.00", "allotted": {}}
    numbered = {"assessment": 2, "on": "2020-08-01"}
    reversed_ = of_line("reversed", **told) | numbered | {"clawed_back": True}
    return [reversed_, sums | numbered | {"reversed": {"GB-LAE-KIR": amount}}]


LISTED = of_line("listed", quantity="10", value="1000.00")
ASSESSED = [
    of_line(
        "assessed", price="100.00", per=1, version=1, quantity="10", payable="10", accepted="1000.00", assessed="1000.00",
        limits=[{"limit": "award_amount", "left": "9000.00", "curtailed": "0.00"}], before="0.00", after="1000.00",
        allotments=[{"payer": "GB-LAE-KIR", "share": "1", "part": "1000.00", "allotted": "1000.00"}], unfunded="0.00",
    ) | {"assessment": 1, "on": "2020-07-01"},
    {
        "type": "award.assessed", "kind": "claim", "assessment": 1, "on": "2020-07-01", "assessed": "1000.00", "unfunded": "0.00",
        "allotted": {"GB-LAE-KIR": "1000.00"},
    },
]  # fmt: skip
PAID_ONCE = [LISTED, decided("10", "0", "0", "1000.00", "0.00", "0.00"), *ASSESSED]


class TestVerifyQuantities:
    """Of a line there are as many units as were claimed, and each is at one stage: nobody is paid for what was not there."""

    @pytest.mark.parametrize(
        ("events", "named"),
        [
            (PAID_ONCE, None),
            ([*PAID_ONCE, *taken_back("4", "6", "400.00", "600.00")], None),
            ([*PAID_ONCE, *taken_back("15", "-5", "1499.99", "-499.99")], ": remaining is -5, but"),
            ([LISTED, decided("12", "-2", "0", "1200.00", "-200.00", "0.00")], ": accepted is 12, but"),
            ([LISTED, decided("12", "0", "-2", "1200.00", "0.00", "-200.00")], ": accepted is 12, but"),
            ([LISTED, decided("-2", "12", "0", "0.00", "1000.00", "0.00")], ": accepted is -2, but"),
            ([of_line("listed", quantity="-10", value="-999.99")], ": quantity is -10, but"),
            (
                [LISTED, of_line("withdrawn", amount="1000.00"), decided("10", "0", "0", "1000.00", "0.00", "-1000.00")],
                "value is",
            ),
            ([*PAID_ONCE, LISTED], ": value is 1000.00, but by the terms and the entries before it 0.00"),
        ],
    )
    def test_finds_units_that_there_are_not(self, events: list[dict[str, Any]], named: str | None) -> None:
        begun: list[dict[str, Any]] = [
            {"type": "award.terms-proposed", "version": 1, "terms": TERMS},
            {"type": "award.agreed"},
            {"type": "claim.submitted", "received_on": "2020-06-01"},
        ]
        fell_due = {"type": "payment.fell-due", "assessment": 1, "payer": "GB-LAE-KIR", "payee": "GB-COH-11503344"}
        told = [*begun, *events[:4], fell_due, *events[4:]] if events[:4] == PAID_ONCE else [*begun, *events]
        found = [verify.Entry(at, b"", f"award/{AWARD}/claim/Q1", each["type"], each) for at, each in enumerate(told, 1)]
        if named is None:
            work_out(found)
            return
        with pytest.raises(AssertionError, match=re.escape(named)):
            work_out(found)


def work_out(found: list[verify.Entry]) -> None:
    award = verify.Award(found)
    for entry in found:
        award.take(entry)
