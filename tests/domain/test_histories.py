"""M2-M11 over whole histories: 500 of 50 steps, each step against the naive book. `histories.py` says what may happen in one."""

import ast
from pathlib import Path
from typing import Final

from tests.domain import naive
from tests.domain.histories import History, play
from tests.profiles import CI

HISTORIES: Final = 500 if CI else 20
STEPS: Final = 50
REFUSED: Final = 3
"""So many steps more, as some are refused and move nothing."""


class TestAnyHistory:
    def test_is_what_the_naive_book_says_after_every_step(self) -> None:
        played = play(History, HISTORIES, STEPS + REFUSED)
        assert len(played) >= HISTORIES
        assert sum(each.recorded for each in played) >= HISTORIES * STEPS


class TestTheNaiveBook:
    def test_shares_nothing_with_the_rules(self) -> None:
        """Nor with anything else but the standard library."""
        parsed = list(ast.walk(ast.parse(Path(naive.__file__).read_text(encoding="utf-8"))))
        assert not any(isinstance(each, ast.Import) for each in parsed)
        imported = {each.module for each in parsed if isinstance(each, ast.ImportFrom)}
        assert imported == {"collections", "collections.abc", "copy", "dataclasses", "fractions", "functools", "typing"}
