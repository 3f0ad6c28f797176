"""Re-works an explanation from the numbers in its own sentences, knowing nothing but how to add, multiply and round.

Each calculation must come to what it says, and each step must go on from an amount that one before came to, to the last one.
"""

import re
from collections.abc import Iterable, Sequence
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
    _expect_to_lead_on(explanation.steps)
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


_BEGINS: Final = re.compile(
    r"^It was allotted |^Of what it had been allotted, |^The award's opening |^Set against each other by payee "
    r"| that stood of | had been allotted .* all of it, |^Of what nobody owed "
)
"""What takes its amount from what is explained by itself, or from elsewhere."""
_PRICED: Final = frozenset({"M3", "M4", "M9", "M10"})
"""The rules by which an amount comes from a price and a quantity, from decisions, or from two persons."""


def _expect_to_lead_on(steps: Sequence[Step]) -> None:
    """Each step takes up an amount that one before came to, unless it begins; the last one says only such amounts."""
    reached = {0}
    before: int | None = None
    for step in steps:
        if step.amount is None:
            continue
        written = {abs(_pence(_number(amount))) for amount in _AMOUNT.findall(step.says)}
        begins = step.rule in _PRICED or before is None or _BEGINS.search(step.says)
        if step.rule == "M5" or step.says.startswith("Parts are split"):
            assert before in written, f"{step.says} does not go on from the step before"
        assert begins or reached & written, f"{step.says} takes up no amount from before"
        if step.says.startswith("Together"):
            assert _operands(step) <= reached, f"{step.says} adds up what no step came to"
        reached |= written if step.rule == "M7" else {abs(step.amount)}
        before = abs(step.amount)
    last = steps[-1]
    results = {abs(_pence(_number(result))) for _, result, _ in _EQUATION.findall(last.says)}
    assert {abs(_pence(_number(amount))) for amount in _AMOUNT.findall(last.says)} - results <= reached, last.says


def _operands(step: Step) -> set[int]:
    return {abs(_pence(_number(amount))) for sums, _, _ in _EQUATION.findall(step.says) for amount in _AMOUNT.findall(sums)}


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
