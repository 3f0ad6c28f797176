"""Explanations over whole histories: each ends in what was recorded, and is re-worked from the numbers of its own text."""

from collections import Counter
from functools import partial
from typing import Final

import pytest

from domain.award import NoSuchAward
from domain.claim import submit
from domain.explanation import Explanation, Step
from domain.money import Money
from domain.verification import Verification, verify
from tests.domain.histories import History, play
from tests.domain.kirklees import CLAIRE, REFERENCE, TODAY, VIKRAM, agreed, line, submission
from tests.explaining import every_explanation
from tests.profiles import CI
from tests.reckoner import rework

HISTORIES: Final = 60 if CI else 5
STEPS: Final = 50


class TestALineOfKirklees:
    def test_adds_equal_amounts_up_as_so_many_times(self) -> None:
        *_, payment = claimed(17)
        assert payment.steps[0].says.startswith("It was allotted 1")
        assert " × £" in payment.steps[0].says
        assert rework(payment) == payment.amount

    @pytest.mark.parametrize("rule", ["M5", "M6", "M7", "M11"])
    def test_is_not_believed_if_a_step_goes_on_from_another_amount(self, rule: str) -> None:
        told, *_ = claimed(2)
        assert rework(told) == told.amount
        number = next(n for n, step in enumerate(told.steps) if step.rule == rule)
        says = {
            "M5": "Of the most, £9,000.00 was left: nothing is cut off, and £1,400.01 remains.",
            "M6": "Parts are split: £0.00 before, and £0.00 + £1,400.01 = £1,400.01 with this.",
            "M7": "Together that is all of it: £700.01 + £700.00 = £1,400.01.",
            "M11": "So line 1 is assessed at £1,400.01.",
        }[rule]
        other = Step(rule=rule, says=says, amount=Money.parse("1400.01"))
        with pytest.raises(AssertionError):
            rework(told.model_copy(update={"steps": (*told.steps[:number], other, *told.steps[number + 1 :])}))


def claimed(lines: int) -> list[Explanation]:
    """Of so many equal lines of a claim that was accepted, and of the payments for them."""
    facts = agreed()
    asked = submission(*(line(participant=f"KBOP-{number:04}") for number in range(lines)))
    facts.play(partial(submit, award=REFERENCE, submission=asked, by=CLAIRE, today=TODAY), CLAIRE.person)
    accepted = Verification(others="accepted")
    verifying = partial(verify, award=REFERENCE, claim="2021-Q3", verification=accepted, by=VIKRAM, today=TODAY)
    facts.play(verifying, VIKRAM.person)
    return [each.explanation for each in every_explanation(facts.__getitem__, REFERENCE)]


class TestAnyHistory:
    def test_is_explained_to_the_penny(self) -> None:
        rules = Counter[str]()

        class ExplainedHistory(History):
            def teardown(self) -> None:
                try:
                    explained = list(every_explanation(self.ground.state, self.reference))
                except NoSuchAward:
                    return
                for each in explained:
                    assert rework(each.explanation) == each.recorded == each.explanation.amount, each.explanation
                    rules.update(step.rule for step in each.explanation.steps)
                super().teardown()

        assert len(play(ExplainedHistory, HISTORIES, STEPS)) >= HISTORIES
        assert {"M2", "M3", "M5", "M6", "M7", "M8"} <= rules.keys()
