"""All explanations of an award, as they go into its audit pack: by the functions that answer when one of them is asked for."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import takewhile
from typing import Any, NamedTuple, cast

from api.explanations import OF_ALL_LINES, OF_ITS_CLAIM, text_of, title_of_line, title_of_payment, told_entry
from domain.aggregate import Actor, Stream
from domain.assessment import Kind
from domain.award import Award, AwardAssessed, AwardEvent, Contract, award_stream
from domain.calendar import london_day
from domain.claim import Claim, Line, claim_stream
from domain.course import Act, trace
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
from domain.person import person_stream
from domain.terms import Agreement
from ledger.entry import Entry
from ledger.ledger import Ledger


class Explained(NamedTuple):
    """An explanation, what it is of, and the entries that it stands on."""

    of: Mapping[str, Any]
    title: str
    explanation: Explanation
    entries: Sequence[Entry]

    @property
    def told(self) -> dict[str, Any]:
        """As programs read it."""
        entries = [each.position for each in self.entries]
        return {**self.of, "title": self.title, "entries": entries, **self.explanation.model_dump(mode="json")}

    @property
    def text(self) -> str:
        """As people read it."""
        return text_of(self.title, self.explanation, [told_entry(each, whole=False) for each in self.entries])


@dataclass(frozen=True, slots=True)
class _Its:
    """What an assessment recorded of a line, with its claim."""

    claim: Claim
    line: Line
    recorded: Recorded


class _Recorded:
    """An award's entries, found by what they are about."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._streams: defaultdict[str, list[Entry]] = defaultdict(list)
        self._lines: defaultdict[tuple[str, Any], list[Entry]] = defaultdict(list)
        self._agreements: list[tuple[int, Agreement]] = []
        contract: Contract | None = None
        for entry in entries:
            self._streams[entry.stream].append(entry)
            lines = getattr(entry.event, "lines", ())
            for line in {getattr(each, "line", each) for each in lines} if isinstance(lines, tuple) else ():
                self._lines[entry.stream, line].append(entry)
            if entry.type in Contract.made_of:
                contract = Contract.evolve(contract, cast("AwardEvent", entry.event), entry.person)
                self._agreements.append((entry.position, contract.agreement))

    def of(self, stream: Stream[Any]) -> list[Entry]:
        """All that happened to a stream."""
        return self._streams[stream.name]

    def of_line(self, stream: Stream[Any], line: int, alike: tuple[type, ...]) -> list[Entry]:
        """What happened to a line of a claim, with what of some types happened to all of its lines."""
        found = {each.position: each for each in self._lines[stream.name, line]}
        found |= {each.position: each for each in self._alike(stream.name, alike)}
        return [found[position] for position in sorted(found)]

    def agreement_at(self, position: int) -> Agreement:
        """What was agreed of the award when an entry was recorded."""
        return [agreement for at, agreement in self._agreements if at <= position][-1]

    @cache  # noqa: B019 (it lives as long as one pack is made)
    def _alike(self, stream: str, alike: tuple[type, ...]) -> list[Entry]:
        return [each for each in self._streams[stream] if isinstance(each.event, alike)]


def explanations(ledger: Ledger, award: str, entries: Sequence[Entry], size: int) -> Iterator[Explained]:
    """Why every line was assessed at what it was, why every payer owes what it does, and what became of every claimed line.

    As of a size of the log; `entries` are all of the award's. In the order of assessments, within one lines before payments; then
    claim by claim.
    """
    recorded = _Recorded(entries)
    made = ledger.load(Stream(award_stream(award).name, AssessmentsMade), size)[0].made
    moved = _moved(ledger, award, made, size)
    stated = {each.event.assessment: each.event for each in entries if isinstance(each.event, OtherPaymentAgreed)}
    owed = [(each.event.assessment, each.event.payer) for each in entries if isinstance(each.event, PaymentFellDue)]
    for before, assessed in made:
        number, its = assessed.assessment, moved[assessed.assessment]
        yield from _of_lines(recorded, before, assessed, its)
        for payer in dict.fromkeys(payer for of, payer in owed if of == number):
            stream = payment_stream(award, number, payer)
            payment, _ = ledger.load(stream, size)
            sums = None
            if assessed.kind is Kind.OTHER_PAYMENT:
                agreed = stated[number]
                sums = explain_stated(agreed.split, before, assessed.on, agreed.dated)
            lines = [] if sums else [Moved(each.claim.submitted.claim, each.recorded) for each in its]
            of = {"assessment": number, "payer": payment.payer}
            title = title_of_payment(before.reference, payment.payer, number)
            yield Explained(of, title, explain_payment(payment, lines, sums), recorded.of(stream))
    yield from _of_claimed_lines(ledger, recorded, award, size)


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


def _of_lines(recorded: _Recorded, before: Award, assessed: AwardAssessed, its: Sequence[_Its]) -> Iterator[Explained]:
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
        about = recorded.of_line(claim_stream(before.reference, claim), line, OF_ALL_LINES)
        stood_on = list(takewhile(lambda entry: getattr(entry.event, "assessment", number) <= number, about))
        of = {"assessment": number, "claim": claim, "line": line}
        yield Explained(of, title_of_line(before.reference, claim, line, number), explain(told), stood_on)


def _of_claimed_lines(ledger: Ledger, recorded: _Recorded, award: str, size: int) -> Iterator[Explained]:
    @cache
    def actor(person: str) -> Actor:
        return ledger.load(person_stream(person), size)[0].actor

    under, _ = ledger.load(award_stream(award), size)
    for name in under.claims:
        stream = claim_stream(award, name)
        claim, _ = ledger.load(stream, size)
        agreement = recorded.agreement_at(recorded.of(stream)[0].position)
        for line in claim.lines:
            number, about = line.claimed.line, recorded.of_line(stream, line.claimed.line, OF_ITS_CLAIM)
            acts = [Act(each.event, actor(each.person), london_day(each.recorded_at)) for each in about]
            told = trace(claim, number, agreement.on(line.claimed.achieved_on), acts)
            of = {"claim": claim.submitted.claim, "line": number}
            yield Explained(of, title_of_line(under.reference, claim.submitted.claim, number), told, about)
