"""The course of a claimed line: who decided what, when and why, whether an amount follows or not."""

from functools import partial
from typing import Any, Final

from domain.aggregate import Actor
from domain.award import NoSuchAward
from domain.certification import Certificate, certify
from domain.claim import ReasonCode, query, submit, withdraw
from domain.explanation import Explanation
from domain.terms import Terms
from domain.verification import Verification, verify
from tests.domain.given import MemoryFacts
from tests.domain.histories import History, play
from tests.domain.kirklees import CERYS, CLAIRE, REFERENCE, TODAY, VIKRAM, agreed, line, submission, terms
from tests.explaining import every_course
from tests.profiles import CI
from tests.reckoner import rework

HISTORIES: Final = 60 if CI else 5
STEPS: Final = 50


def claimed(quantity: str = "2", of: Terms | None = None) -> MemoryFacts:
    facts = agreed(of)
    asked = submission(line(quantity=quantity))
    facts.play(partial(submit, award=REFERENCE, submission=asked, by=CLAIRE, today=TODAY), CLAIRE.person)
    return facts


def decide(facts: MemoryFacts, by: Actor = VIKRAM, **decision: Any) -> None:
    asked = Verification.model_validate({"lines": [{"line": 1, **decision}]})
    facts.play(partial(verify, award=REFERENCE, claim="2021-Q3", verification=asked, by=by, today=TODAY), by.person)


def told(facts: MemoryFacts) -> Explanation:
    ((of, each),) = every_course(facts.__getitem__, REFERENCE)
    assert rework(each.explanation) == each.recorded == of.assessed
    return each.explanation


def last(facts: MemoryFacts) -> str:
    return told(facts).steps[-1].says


class TestALineForWhichNothingFollows:
    def test_was_rejected_by_somebody_for_a_reason(self) -> None:
        facts = claimed()
        decide(facts, rejected="2", reason="duplicate")
        steps = told(facts).steps
        assert [step.rule for step in steps] == ["M3", "M4", "M4", "M11"]
        assert steps[0].says.endswith("by version 1 of the terms at £1,400.00 each: £1,400.00 × 2 = £2,800.00.")
        assert steps[1].says == "vikram of GB-LAE-KIR decided on it on 4 October 2021: 2 rejected as duplicate (£2,800.00)."
        assert steps[-1].says == "So no amount follows, £0.00, for line 1: 2 of it was rejected as duplicate."

    def test_was_deferred(self) -> None:
        facts = claimed()
        decide(facts, deferred="2")
        assert last(facts) == "So no amount follows, £0.00, for line 1: 2 of it is deferred, and may be decided later."

    def test_waits_for_the_commissioner(self) -> None:
        facts = claimed(of=terms(certification=True))
        decide(facts, accepted="1", rejected="1", reason="not-evidenced")
        assert "1 accepted (£1,400.00) and 1 rejected as not-evidenced (£1,400.00); 1 + 1 = 2" in told(facts).steps[1].says
        assert "1 of it is accepted and awaits the commissioner's certification" in last(facts)

    def test_was_declined_by_the_commissioner_for_a_reason(self) -> None:
        facts = claimed(of=terms(certification=True))
        decide(facts, accepted="2")
        no = Certificate(decision="declined", reason=ReasonCode.NOT_ELIGIBLE)
        sign = partial(certify, award=REFERENCE, claim="2021-Q3", certificate=no, by=CERYS, today=TODAY)
        facts.play(sign, CERYS.person)
        assert (
            told(facts)
            .steps[2]
            .says.startswith("cerys of GB-LAE-KIR declined what was accepted on 4 October 2021, as not-eligible")
        )
        assert last(facts).endswith("2 of it was accepted and then declined as not-eligible.")

    def test_is_undecided_while_a_question_waits(self) -> None:
        facts = claimed()
        assert last(facts) == "So no amount follows, £0.00, for line 1: nobody has decided on it yet."
        ask = partial(query, award=REFERENCE, claim="2021-Q3", question="Which home?", lines=(1,), by=VIKRAM)
        facts.play(ask, VIKRAM.person)
        assert last(facts).endswith("nobody has decided on it yet, as a question waits for its answer.")

    def test_was_withdrawn(self) -> None:
        facts = claimed()
        take_back = partial(withdraw, award=REFERENCE, claim="2021-Q3", reason="Claimed twice.", by=CLAIRE)
        facts.play(take_back, CLAIRE.person)
        assert last(facts).endswith("the claim was withdrawn before anybody decided on it.")


class TestALineThatWasAssessed:
    def test_leads_to_its_assessment_and_tells_the_rest(self) -> None:
        facts = claimed(quantity="3")
        decide(facts, accepted="1", deferred="2")
        decide(facts, accepted="1", rejected="1", reason="quantity-overstated")
        steps = told(facts).steps
        assert [step.rule for step in steps] == ["M3", "M4", "M11", "M4", "M11", "M4", "M11"]
        assert steps[4].says.endswith("£1,400.00 + £1,400.00 = £2,800.00 stands.")
        assert steps[-1].says == ("So £2,800.00 stands assessed of line 1: 1 of it was rejected as quantity-overstated.")


class TestAnyHistory:
    def test_leaves_no_line_untold(self) -> None:
        unmoved = []

        class TracedHistory(History):
            def teardown(self) -> None:
                try:
                    traced = list(every_course(self.ground.state, self.reference))
                except NoSuchAward:
                    return
                for of, each in traced:
                    assert rework(each.explanation) == each.recorded == each.explanation.amount, each.explanation
                    if not of.assessments:
                        unmoved.append(each.explanation.steps[-1].says)
                super().teardown()

        assert len(play(TracedHistory, HISTORIES, STEPS)) >= HISTORIES
        assert any("rejected" in says for says in unmoved)
