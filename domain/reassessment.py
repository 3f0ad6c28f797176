"""Reassessment: lines are reversed whole and assessed anew, in one assessment, and only the difference is due or receivable (M9).

Variations and reconsiderations come through here.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar

from domain.aggregate import Decision, Facts, PersonId, Stream, Token, joined
from domain.assessment import AcceptedLine, AssessedLine, Kind, ReversedLine, Sheet, StandingLine
from domain.award import Award, award_stream
from domain.claim import (
    Claim,
    ClaimLinesAssessed,
    ClaimLinesRestated,
    ClaimLinesReversed,
    Line,
    RestatedLine,
    chunks,
    claim_stream,
)
from domain.event import Event
from domain.money import Money, total
from domain.obligation import Cause, Obligations, assessed, balance, given, payees, taken
from domain.participant import ParticipantAssessed, participant_stream
from domain.reference import canonical

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A line that is to be assessed anew, and what its quantity is worth now."""

    claim: Claim
    line: Line
    worth: Money

    @property
    def name(self) -> str:
        """The claim's reference, in capitals."""
        return canonical(self.claim.submitted.claim)

    @property
    def recorded(self) -> tuple[int, int]:
        """Its place in the order in which lines were first assessed."""
        return self.line.assessments[0][0], self.line.claimed.line


def reassess(
    facts: Facts,
    award: Award,
    chosen: Iterable[Chosen],
    *,
    kind: Kind,
    proposed_by: PersonId,
    agreed_by: PersonId,
    today: date,
    restated: Mapping[str, Sequence[RestatedLine]] | None = None,
) -> Decision:
    """Reverse lines whole, then assess them in the order of their first recording, at what stands of their quantity."""
    lines = sorted(chosen, key=lambda each: each.recorded)
    before = _participants(facts, award, lines)
    sheet = Sheet(award.agreement, award.standing, today, before)
    paid = [payees(facts, award, each.line, today) for each in lines]
    backwards = [_reverse(sheet, award, each, payee, today) for each, payee in zip(lines, paid, strict=True)]
    anew = [_assess(sheet, each) for each in lines]
    owed = balance(given(anew, award, today), taken(zip(backwards, paid, strict=True)))
    event = assessed(
        award,
        sheet.standing(),
        owed,
        kind=kind,
        curtailed=_curtailed(anew) - total(each.line.stands.curtailed for each in lines),
        claim=None,
        today=today,
    )
    number = event.assessment
    made: dict[Stream[Any], tuple[Event, ...]] = {award_stream(award.reference): (event,)}
    back_of, anew_of = _by_claim(lines, backwards), _by_claim(lines, anew)
    for name in dict.fromkeys([*back_of, *(restated or {})]):
        made[claim_stream(award.reference, name)] = (
            *(ClaimLinesReversed(assessment=number, clawed_back=False, lines=chunk) for chunk in chunks(back_of.get(name, ()))),
            *(ClaimLinesRestated(assessment=number, lines=chunk) for chunk in chunks((restated or {}).get(name, ()))),
            *(ClaimLinesAssessed(assessment=number, lines=chunk) for chunk in chunks(anew_of.get(name, ()))),
        )
    for token, amount in sheet.participants.items():
        if difference := amount - before[token]:
            made[participant_stream(award.reference, token)] = (ParticipantAssessed(assessment=number, amount=difference),)
    cause = Cause(claim=None, claimed_by=proposed_by, verified_by=_took_part(lines, agreed_by))
    paid_by = sorted({number for each in lines for number, _ in each.line.assessments})
    after = Award.evolve(award, event, agreed_by)
    return joined(made, Obligations(facts, after, number, today).settle(owed, cause, paid_by))


def _by_claim(lines: Iterable[Chosen], moved: Iterable[T]) -> dict[str, list[T]]:
    """What lines moved, by their claim, grouped in one pass: a variation may touch thousands of claims."""
    found: defaultdict[str, list[T]] = defaultdict(list)
    for each, movement in zip(lines, moved, strict=True):
        found[each.name].append(movement)
    return dict(found)


def _participants(facts: Facts, award: Award, lines: Iterable[Chosen]) -> dict[Token, Money]:
    tokens = dict.fromkeys(each.line.claimed.participant for each in lines if each.line.claimed.participant)
    streams = {token: participant_stream(award.reference, token) for token in tokens}
    facts.prefetch(streams.values())
    return {token: facts[stream].assessed for token, stream in streams.items()}


def _reverse(sheet: Sheet, award: Award, each: Chosen, payee: Mapping[str, str], today: date) -> ReversedLine:
    claimed, stands = each.line.claimed, each.line.stands
    line = StandingLine(claimed.line, claimed.outcome, claimed.participant, claimed.achieved_on, stands)
    same = {payer for payer, was in payee.items() if award.agreement.payer_limits(payer, today).payee == was}
    return sheet.reverse(line, stands.quantity, headroom=same)


def _assess(sheet: Sheet, each: Chosen) -> AssessedLine:
    claimed = each.line.claimed
    line = AcceptedLine(
        line=claimed.line,
        outcome=claimed.outcome,
        participant=claimed.participant,
        achieved_on=claimed.achieved_on,
        quantity=each.line.stands.quantity,
        accepted=each.worth,
    )
    return sheet.assess(line, each.claim.submitted.received_on)


def _curtailed(lines: Iterable[AssessedLine]) -> Money:
    return total(line.curtailed for line in lines)


def _took_part(lines: Iterable[Chosen], agreed_by: PersonId) -> tuple[PersonId, ...]:
    claims = {each.name: each.claim for each in lines}.values()
    return tuple(sorted({agreed_by, *(person for claim in claims for person in (claim.submitted_by, *claim.verified_by))}))


# What it came to, told from what was recorded ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChangedLine:
    """A line whose assessed amount was worked out anew: what stood before, and what stands now."""

    claim: str
    line: int
    outcome: str
    achieved_on: date
    before: Money
    after: Money


@dataclass(frozen=True, slots=True)
class Effect:
    """What a reassessment changes: every line, and by payer what becomes due (or, negative, receivable) on balance."""

    lines: tuple[ChangedLine, ...]
    net: Mapping[str, Money]


def effect(entries: Iterable[tuple[str, Event]]) -> Effect:
    """What a reassessment came to, from its events, each with the name of its stream."""
    before: dict[tuple[str, int], ReversedLine] = {}
    changed: list[ChangedLine] = []
    net: defaultdict[str, Money] = defaultdict(Money)
    for stream, event in entries:
        claim = stream.rsplit("/", 1)[-1]
        for line, amounts in _moved(event):
            for payer, amount in amounts:
                net[payer] += amount
            if isinstance(line, ReversedLine):
                before[claim, line.line] = line
            else:
                was = before[claim, line.line].reversed
                changed.append(ChangedLine(claim, line.line, line.outcome, line.achieved_on, was, line.assessed))
    return Effect(tuple(changed), dict(sorted(net.items())))


def _moved(event: Event) -> Iterator[tuple[ReversedLine | AssessedLine, list[tuple[str, Money]]]]:
    match event:
        case ClaimLinesReversed(lines=taken_back):
            for line in taken_back:
                yield line, [(each.payer, -each.reversed) for each in line.reversals]
        case ClaimLinesAssessed(lines=assessed_anew):
            for again in assessed_anew:
                yield again, [(each.payer, each.allotted) for each in again.allotments]
        case _:
            return
