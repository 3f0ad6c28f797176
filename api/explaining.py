"""All explanations of an award, as they go into its audit pack: by the functions that answer when one of them is asked for."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from domain.aggregate import Stream
from domain.assessment import Kind
from domain.award import Award, AwardAssessed, award_stream
from domain.claim import Claim, Line, claim_stream
from domain.explanation import (
    AssessmentsMade,
    Explanation,
    Moved,
    Recorded,
    Told,
    explain,
    explain_payment,
    explain_stated,
    given_before,
    stood_before,
)
from domain.other_payment import OtherPaymentAgreed
from domain.payment import PaymentFellDue, payment_stream
from ledger.entry import Entry
from ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class _Its:
    """What an assessment recorded of a line, with its claim."""

    claim: Claim
    line: Line
    recorded: Recorded


def explanations(ledger: Ledger, award: str, entries: Sequence[Entry], size: int) -> Iterator[dict[str, Any]]:
    """Why every line was assessed at what it was, and why every payer owes what it does, as of a size of the log.

    `entries` are all of the award's. In the order of assessments; within one, lines before payments.
    """
    made = ledger.load(Stream(award_stream(award).name, AssessmentsMade), size)[0].made
    moved = _moved(ledger, award, made, size)
    stated = {each.event.assessment: each.event for each in entries if isinstance(each.event, OtherPaymentAgreed)}
    owed = [(each.event.assessment, each.event.payer) for each in entries if isinstance(each.event, PaymentFellDue)]
    for before, assessed in made:
        number, its = assessed.assessment, moved[assessed.assessment]
        yield from _of_lines(before, assessed, its)
        for payer in dict.fromkeys(payer for of, payer in owed if of == number):
            payment, _ = ledger.load(payment_stream(award, number, payer), size)
            sums = None
            if assessed.kind is Kind.OTHER_PAYMENT:
                agreed = stated[number]
                sums = explain_stated(agreed.split, before, assessed.on, agreed.dated)
            lines = [] if sums else [Moved(each.claim.submitted.claim, each.recorded) for each in its]
            yield _told({"assessment": number, "payer": payment.payer}, explain_payment(payment, lines, sums))


def _moved(ledger: Ledger, award: str, made: Sequence[tuple[Award, AwardAssessed]], size: int) -> defaultdict[int, list[_Its]]:
    """What each assessment recorded of lines."""
    found: defaultdict[int, list[_Its]] = defaultdict(list)
    if not made:
        return found
    under, _ = ledger.load(award_stream(award), size)
    for name in under.claims:
        claim, _ = ledger.load(claim_stream(award, name), size)
        for line in claim.lines:
            for number, each in line.assessments:
                found[number].append(_Its(claim, line, each))
    return found


def _of_lines(before: Award, assessed: AwardAssessed, its: Sequence[_Its]) -> Iterator[dict[str, Any]]:
    number, given = assessed.assessment, given_before(before, (each.recorded for each in its))
    lines: dict[tuple[str, int], _Its] = {(each.claim.submitted.claim, each.recorded.line): each for each in its}
    for (claim, line), each in lines.items():
        told = Told(
            award=before,
            on=assessed.on,
            received_on=each.claim.submitted.received_on,
            before=stood_before(each.line, number),
            moved=[recorded for at, recorded in each.line.assessments if at == number],
            given=given,
        )
        yield _told({"assessment": number, "claim": claim, "line": line}, explain(told))


def _told(of: dict[str, Any], explanation: Explanation) -> dict[str, Any]:
    return of | explanation.model_dump(mode="json")
