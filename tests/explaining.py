"""Every line and every payment of an award, explained from its streams, and the course of every claimed line."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from domain.aggregate import Actor, Aggregate, PersonId, Stream
from domain.assessment import AssessedLine, Kind
from domain.award import Award, ClaimOpened, award_stream
from domain.claim import Claim, ClaimEvent, Line, claim_stream
from domain.course import Act, trace
from domain.explanation import AssessmentsMade, Explanation, Moved, Told, explain, explain_payment, given_before, stood_before
from domain.money import Money, total
from domain.payment import Payment, payment_stream
from domain.terms import Agreement


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
        given = given_before(before, (each for _, _, own in lines for each in own))
        for claim, line, own in lines:
            told = Told(
                award=before,
                on=assessed.on,
                received_on=claim.submitted.received_on,
                before=stood_before(line, number),
                moved=own,
                given=given,
            )
            recorded = total(each.assessed if isinstance(each, AssessedLine) else Money(-each.reversed) for each in own)
            yield Explained(explain(told), recorded)
        if assessed.kind is not Kind.OTHER_PAYMENT:
            for payer in assessed.allotted:
                payment: Payment = state(payment_stream(award, number, payer))
                of_lines = [Moved(claim.submitted.claim, each) for claim, _, own in lines for each in own]
                yield Explained(explain_payment(payment, of_lines), payment.amount)


@dataclass(frozen=True, slots=True)
class Acts(Aggregate):
    """All that made a claim. What says no day of its own is of the day of what came before it."""

    acts: tuple[Act, ...] = ()

    @classmethod
    def evolve(cls, state: "Acts | None", event: ClaimEvent, by: PersonId) -> "Acts":
        before = state.acts if state else ()
        on: date = getattr(event, "on", None) or before[-1].on
        return cls((*before, Act(event, Actor(by, "GB-LAE-KIR"), on)))


@dataclass(frozen=True, slots=True)
class Opened(Aggregate):
    """What was agreed when each claim was submitted."""

    award: Award | None = None
    agreements: Mapping[str, Agreement] = field(default_factory=dict)

    @classmethod
    def evolve(cls, state: "Opened | None", event: Any, by: PersonId) -> "Opened":
        before = state or cls()
        award, agreements = Award.evolve(before.award, event, by), before.agreements
        if isinstance(event, ClaimOpened):
            agreements = {event.claim: award.agreement, **agreements}
        return replace(before, award=award, agreements=agreements)


def every_course(state: Callable[[Stream[Any]], Any], award: str) -> Iterator[tuple[Line, Explained]]:
    """Of each line of each claim of an award, whether an assessment moved it or not."""
    for name, agreement in state(Stream(award_stream(award).name, Opened)).agreements.items():
        stream = claim_stream(award, name)
        claim: Claim = state(stream)
        acts = state(Stream(stream.name, Acts)).acts
        for line in claim.lines:
            priced = agreement.on(line.claimed.achieved_on)
            yield line, Explained(trace(claim, line.claimed.line, priced, acts), line.assessed)
