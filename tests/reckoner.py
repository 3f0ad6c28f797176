"""Re-works an explanation from the numbers in its own sentences, knowing nothing but how to add, multiply and round."""

import re
from collections.abc import Iterable
from fractions import Fraction
from typing import Final

from domain.explanation import Explanation, Step
from domain.money import Money

_NUMBER: Final = r"−?£?[\d,]+(?:\.\d+)?"
_EQUATION: Final = re.compile(rf"({_NUMBER}(?: [×÷+−] {_NUMBER})+) = ({_NUMBER})(, rounded down)?")
_AMOUNT: Final = re.compile(r"−?£[\d,]+\.\d\d")


def rework(explanation: Explanation) -> Money:
    """The amount in which an explanation ends; fails where a calculation in it does not come to what it says."""
    for step in explanation.steps:
        for calculation, result, down in _EQUATION.findall(step.says):
            assert _pence(_calculated(calculation), down=bool(down)) == _pence(_number(result)), step.says
    _expect_no_number_from_nowhere(explanation.steps)
    return Money(_pence(_number(_AMOUNT.findall(explanation.steps[-1].says)[-1])))


def calculations(explanation: Explanation) -> int:
    """How many calculations it shows."""
    return sum(len(_EQUATION.findall(step.says)) for step in explanation.steps)


def _expect_no_number_from_nowhere(steps: Iterable[Step]) -> None:
    """What a step comes to is written in its sentence."""
    for step in steps:
        if step.amount is not None:
            written = {_pence(_number(amount)) for amount in _AMOUNT.findall(step.says)}
            assert {step.amount, -step.amount} & written, step


def _number(written: str) -> Fraction:
    sign = -1 if written.startswith("−") else 1
    return sign * Fraction(written.lstrip("−").lstrip("£").replace(",", ""))


def _calculated(written: str) -> Fraction:
    """Multiplied and divided first, then added and subtracted, from left to right."""
    first, *more = re.split(r" ([×÷+−]) ", written)
    terms = [_number(first)]
    for operator, number in zip(more[::2], map(_number, more[1::2]), strict=True):
        if operator == "×":
            terms[-1] *= number
        elif operator == "÷":
            terms[-1] /= number
        else:
            terms.append(number if operator == "+" else -number)
    return sum(terms, Fraction(0))


def _pence(pounds: Fraction, *, down: bool = False) -> int:
    """Whole pence, rounded half away from zero unless it is to be rounded down."""
    pence = pounds * 100
    if down:
        return pence.numerator // pence.denominator
    away = (2 * abs(pence) + 1) // 2
    return int(-away if pence < 0 else away)
