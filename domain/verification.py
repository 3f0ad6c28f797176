"""Verification: somebody else decides on each line of a claim (M4), within the limits on participants (M5).

Where the terms want no certification, what is accepted is assessed in the same breath.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, Literal

from pydantic import Field

from domain.aggregate import Actor, Decision, Facts, Stream, Token, joined
from domain.award import Award, award_stream
from domain.certification import conclude
from domain.claim import (
    MOST_LINES,
    UNDECIDED,
    Claim,
    ClaimIsWithdrawn,
    ClaimLinesDecided,
    ClaimVerified,
    DecidedLine,
    Line,
    Note,
    QueryIsOpen,
    ReasonCode,
    ReceiptIsNotConfirmed,
    Status,
    chunks,
    claim_stream,
)
from domain.event import Event
from domain.money import NONE, NOTHING, Money, Quantity, SomeQuantity, total, value
from domain.participant import Achievement, Participant, ParticipantRecognised, participant_stream
from domain.record import Record, trusted
from domain.reference import canonical
from domain.refusal import Fault, FourEyes, Invalid, Refused


class LineDecision(Record):
    """What is decided on a line: how much of what is open is accepted, rejected with a reason, or deferred."""

    line: Annotated[int, Field(strict=True, ge=1, le=MOST_LINES)]
    accepted: SomeQuantity = NONE
    rejected: SomeQuantity = NONE
    deferred: SomeQuantity = NONE
    reason: ReasonCode | None = None
    note: Note | None = None


class Verification(Record):
    """Decisions on lines; `others` says what becomes of the lines that are not named."""

    lines: Annotated[tuple[LineDecision, ...], Field(max_length=MOST_LINES)] = ()
    others: Literal["accepted", "deferred", "left"] = Field(
        default="left", description="Lines not named are accepted whole, deferred whole, or left as they are (later decisions)"
    )


_line_decision, _decided_line = trusted(LineDecision), trusted(DecidedLine)
_achievement, _recognised = trusted(Achievement), trusted(ParticipantRecognised)


class DecisionsDoNotFit(Invalid):
    """Decisions do not fit the claim's lines; nothing was decided."""


class CertifierMayNotVerify(FourEyes):
    """Whoever certified or declined a part of the claim may not verify another (L1)."""


class NothingToDecide(Refused):
    """Nothing of the claim is left to decide."""


class ParticipantLimitsBroken(Refused):
    """These lines cannot be accepted: a participant's limit or a prerequisite outcome stands against them (M5)."""


def verify(facts: Facts, award: str, claim: str, verification: Verification, *, by: Actor, today: date) -> Decision:
    """Decide on the lines of a claim, or later on those that were deferred."""
    stream = claim_stream(award, claim)
    under, on = facts[award_stream(award)], facts[stream]
    _expect_decidable(on, by)
    decided = _decide_lines(facts, on, verification, prices=Prices(under))
    recognised = _recognise(facts, under, on, decided, today)
    verified = ClaimVerified(
        round=on.rounds + 1,
        on=today,
        accepted=total(each.accepted_value for each in decided),
        rejected=total(each.rejected_value for each in decided),
        deferred=total(each.deferred_value for each in decided),
    )
    events: tuple[ClaimLinesDecided | ClaimVerified, ...] = (
        *(ClaimLinesDecided(lines=chunk) for chunk in chunks(decided)),
        verified,
    )
    after = facts.after(stream, events, by.person)
    made: dict[Stream[Any], tuple[Event, ...]] = {stream: events}
    made.update((participant_stream(under.reference, token), each) for token, each in recognised.items())
    if after.awaits and under.agreement.on(today).terms.certification:
        return made
    return joined(made, conclude(facts, under, after, today=today))


def _expect_decidable(claim: Claim, by: Actor) -> None:
    if claim.status is Status.WITHDRAWN:
        raise ClaimIsWithdrawn
    if not claim.receipt_confirmed:
        raise ReceiptIsNotConfirmed
    if claim.open_query:
        raise QueryIsOpen
    claim.expect_independent(by)
    if by.person in claim.certified_by:
        raise CertifierMayNotVerify
    if not any(_open(claim, line) for line in claim.lines):
        raise NothingToDecide


def _open(claim: Claim, line: Line) -> Quantity:
    return line.claimed.quantity if claim.status in UNDECIDED else line.deferred


# M4: claimed = accepted + rejected + deferred, on every line, always.


def _decide_lines(facts: Facts, claim: Claim, verification: Verification, prices: "Prices") -> list[DecidedLine]:
    named = _by_line(verification.lines, len(claim.lines))
    decisions: list[DecidedLine] = []
    faults: list[Fault] = []
    for line in claim.lines:
        number, is_open = line.claimed.line, _open(claim, line)
        decision = named.get(number) or _other(verification, number, is_open)
        if decision is None:
            if claim.status in UNDECIDED:
                faults.append(Fault(f"lines.{number}", "is not decided; name it, or say what becomes of the `others`"))
            continue
        if wrong := _misfit(decision, is_open):
            faults.append(Fault(f"lines.{number}", wrong))
        else:
            decisions.append(valued(facts, claim, line, decision, prices))
    if faults:
        raise DecisionsDoNotFit(faults)
    if not decisions:
        raise NothingToDecide
    return decisions


def _by_line(decisions: Iterable[LineDecision], lines: int) -> dict[int, LineDecision]:
    named: dict[int, LineDecision] = {}
    faults: list[Fault] = []
    for decision in decisions:
        if decision.line > lines:
            faults.append(Fault(f"lines.{decision.line}", "is not a line of the claim"))
        if decision.line in named:
            faults.append(Fault(f"lines.{decision.line}", "is decided twice"))
        named[decision.line] = decision
    if faults:
        raise DecisionsDoNotFit(faults)
    return named


def _other(verification: Verification, line: int, is_open: Quantity) -> LineDecision | None:
    match verification.others if is_open else "left":
        case "accepted":
            return _line_decision(line=line, accepted=is_open)
        case "deferred":
            return _line_decision(line=line, deferred=is_open)
        case "left":
            return None


def _misfit(decision: LineDecision, is_open: Quantity) -> str | None:
    decided = decision.accepted + decision.rejected + decision.deferred
    if not is_open:
        return "nothing of it is left to decide"
    if decided != is_open:
        return f"accepted, rejected and deferred make {decided}, but {is_open} is open (M4)"
    if decision.rejected and not decision.reason:
        return "a rejection needs a reason (L6)"
    if decision.reason is ReasonCode.OTHER and not decision.note:
        return "the reason 'other' needs a note (L6)"
    return None


@dataclass(frozen=True, slots=True)
class Prices:
    """The prices of an award's versions."""

    award: Award

    def value(self, line: Line, quantity: Quantity) -> Money:
        """What a quantity of the line is worth, by the version in force when it was achieved (M2, M3)."""
        outcome = self.award.agreement.priced(line.claimed.outcome, line.claimed.achieved_on)
        if outcome is None:
            raise LookupError(line.claimed.outcome)
        return value(outcome.price, quantity, outcome.per)


def valued(facts: Facts, claim: Claim, line: Line, decision: LineDecision, prices: Prices) -> DecidedLine:
    """A decision on a line with what it changes in value: differences, deferred last (M4)."""
    accepted_value = _newly_accepted(line, decision, prices)
    decided = prices.value(line, line.accepted + line.rejected + decision.accepted + decision.rejected)
    rejected_value = decided - (line.accepted_value + accepted_value) - line.rejected_value
    return _decided_line(
        line=decision.line,
        outcome=line.claimed.outcome,
        achieved_on=line.claimed.achieved_on,
        accepted=decision.accepted,
        rejected=decision.rejected,
        deferred=decision.deferred,
        accepted_value=accepted_value,
        rejected_value=rejected_value,
        deferred_value=line.claimed.value - decided - line.deferred_value,
        reason=decision.reason,
        note=facts.conceal(decision.note, canonical(claim.submitted.award)) if decision.note else None,
    )


def _newly_accepted(line: Line, decision: LineDecision, prices: Prices) -> Money:
    """All accepted so far less what was valued before; what is clawed back may leave a penny too many there, never on nothing."""
    if not decision.accepted:
        return NOTHING
    return max(prices.value(line, line.accepted + decision.accepted) - line.accepted_value, -line.awaiting_value)


# M5, at verification: what a participant may have, and must have had.


def _recognise(
    facts: Facts, award: Award, claim: Claim, decided: Sequence[DecidedLine], today: date
) -> dict[Token, tuple[ParticipantRecognised, ...]]:
    achieved = _by_participant(claim, decided)
    streams = {token: participant_stream(award.reference, token) for token in achieved}
    facts.prefetch(streams.values())
    faults = list(_limited_cohorts(award, claim, decided, today))
    for token, achievements in achieved.items():
        participant = (facts.get(streams[token]) or Participant()).recognising(achievements)
        broken = {
            (outcome, day): tuple(_broken(award, participant, outcome, day, today))
            for outcome, day in {(each.outcome, each.achieved_on) for each in achievements}
        }
        faults += [
            Fault(f"lines.{each.line}", wrong) for each in achievements for wrong in broken[each.outcome, each.achieved_on]
        ]
    if faults:
        raise ParticipantLimitsBroken(sorted(faults, key=lambda fault: int(fault.where.rpartition(".")[2])))
    return {
        token: tuple(_recognised(claim=claim.submitted.claim, achievements=chunk) for chunk in chunks(achievements))
        for token, achievements in achieved.items()
    }


def _by_participant(claim: Claim, decided: Iterable[DecidedLine]) -> dict[Token, list[Achievement]]:
    achieved: defaultdict[Token, list[Achievement]] = defaultdict(list)
    for each in decided:
        token = claim.lines[each.line - 1].claimed.participant
        if token and each.accepted:
            achievement = _achievement(line=each.line, outcome=each.outcome, achieved_on=each.achieved_on, quantity=each.accepted)
            achieved[token].append(achievement)
    return dict(achieved)


def _limited_cohorts(award: Award, claim: Claim, decided: Iterable[DecidedLine], today: date) -> Iterator[Fault]:
    """Lines that named no participant when none was needed, of outcomes that have been limited by participant since (M2, M5)."""
    for each in decided:
        if each.accepted and claim.lines[each.line - 1].claimed.participant is None:
            limits = award.agreement.outcome_limits(each.outcome, today)
            if limits.max_per_participant:
                yield Fault(f"lines.{each.line}", f"{each.outcome} is limited by participant now, and the line names none")


def _broken(award: Award, participant: Participant, outcome: str, achieved_on: date, today: date) -> Iterator[str]:
    most = award.agreement.outcome_limits(outcome, today).max_per_participant
    stands = participant.accepted(outcome)
    if most and stands > most:
        yield f"the participant would stand accepted for {stands} of {outcome}, more than {most}"
    priced = award.agreement.priced(outcome, achieved_on)
    for wanted in participant.lacking(priced.prerequisites if priced else (), by=achieved_on):
        yield f"{outcome} needs {wanted} accepted for the participant, achieved on {achieved_on} or before"
