"""Every kind of event has its place when decisions are decided again."""

from domain.events import BY_NAME
from domain.redecision import LEADING, STATED, alone

FOLLOWING = {
    "award.assessed",
    "award.claim-concluded",
    "award.claim-opened",
    "award.receivable-changed",
    "claim.declined",
    "claim.lapsed",
    "claim.lines-assessed",
    "claim.lines-listed",
    "claim.lines-restated",
    "claim.lines-reversed",
    "claim.verified",
    "claim.withdrawn",
    "opening-position.figures-listed",
    "opening-position.figures-opened",
    "opening-position.lines-listed",
    "participant.assessed",
    "participant.recognised",
    "participant.recognised-before",
    "participant.released",
    "payment.drawn-up",
    "payment.fell-due",
    "payment.netted-off",
    "payment.sent",
    "payment.settled",
    "payment.taken-off-run",
    "receivable.netted-off",
    "receivable.opened",
    "run.return-recorded",
    "settlement.recorded",
}
"""What only ever follows from another event of its decision."""


class TestEveryEvent:
    def test_leads_a_decision_follows_from_one_or_stands_alone(self) -> None:
        for name, kind in BY_NAME.items():
            event = kind.model_construct(type=name)
            assert [kind in LEADING, name in FOLLOWING, alone(event)].count(True) == 1, name

    def test_has_its_amounts_worked_out_unless_it_states_them(self) -> None:
        assert {name for name, kind in BY_NAME.items() if kind in STATED} == {
            "award.terms-proposed",
            "opening-position.figures-listed",
            "opening-position.lines-listed",
            "opening-position.proposed",
            "other-payment.proposed",
            "receivable.recovered",
        }
