"""Explanations over whole histories: each ends in what was recorded, and is re-worked from the numbers of its own text."""

from collections import Counter
from typing import Final

from domain.award import NoSuchAward
from tests.domain.histories import History, play
from tests.explaining import every_explanation
from tests.profiles import CI
from tests.reckoner import rework

HISTORIES: Final = 60 if CI else 5
STEPS: Final = 50


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
