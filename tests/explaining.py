"""Every line and every payment of an award, explained from its streams."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from domain.aggregate import Stream
from domain.assessment import AssessedLine, Kind
from domain.award import award_stream
from domain.claim import Claim, Line, claim_stream
from domain.explanation import AssessmentsMade, Explanation, Moved, Told, explain, explain_payment, stood_before
from domain.money import Money, total
from domain.payment import Payment, payment_stream


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation, and the amount that was recorded."""

    explanation: Explanation
    recorded: Money


def every_explanation(state: Callable[[Stream[Any]], Any], award: str) -> Iterator[Explained]:
    """Of each line of each assessment of an award, and of each payment for lines."""
    made: AssessmentsMade = state(Stream(award_stream(award).name, AssessmentsMade))
    moved: defaultdict[int, list[tuple[Claim, Line]]] = defaultdict(list)
    for name in state(award_stream(award)).claims:
        claim = state(claim_stream(award, name))
        for line in claim.lines:
            for number in dict.fromkeys(number for number, _ in line.assessments):
                moved[number].append((claim, line))
    for before, assessed in made.made:
        number = assessed.assessment
        lines = [(claim, line, [each for of, each in line.assessments if of == number]) for claim, line in moved[number]]
        everything = [each for _, _, own in lines for each in own]
        for claim, line, own in lines:
            told = Told(
                award=before,
                on=assessed.on,
                received_on=claim.submitted.received_on,
                before=stood_before(line, number),
                moved=own,
                all_moved=everything,
            )
            recorded = total(each.assessed if isinstance(each, AssessedLine) else Money(-each.reversed) for each in own)
            yield Explained(explain(told), recorded)
        if assessed.kind is not Kind.OTHER_PAYMENT:
            for payer in assessed.allotted:
                payment: Payment = state(payment_stream(award, number, payer))
                of_lines = [Moved(claim.submitted.claim, each) for claim, _, own in lines for each in own]
                yield Explained(explain_payment(payment, of_lines), payment.amount)
