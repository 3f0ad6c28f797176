"""The end of an award: closed to claims, when deferred lines lapse, and completed, when everything is paid.

The steps that need two persons, to pause, resume and reopen, are the award's own.
"""

from collections.abc import Iterator
from datetime import date
from typing import Any

from domain.aggregate import Decision, Facts, Stream
from domain.award import (
    Award,
    AwardCompleted,
    AwardIsNotClosed,
    AwardIsNotDone,
    ClaimConcluded,
    ClaimsAreOpen,
    Status,
    Step,
    award_stream,
)
from domain.claim import Claim, ClaimLapsed, ClaimLinesDecided, ReasonCode, chunks, claim_stream
from domain.event import Event
from domain.money import total
from domain.opening_position import opening_position_stream
from domain.payment import Stage, payment_stream
from domain.proposal import Status as ProposalStatus
from domain.refusal import Fault
from domain.verification import LineDecision, Prices, valued

_DONE = frozenset({Stage.PAID, Stage.NETTED_OFF})
_WAITS = "waits for a second person, to agree it or to turn it down"


def close(facts: Facts, award: str, *, today: date) -> Decision:
    """Take no more claims: deferred lines lapse (M4), and the unused commitment goes back to the fund."""
    stream = award_stream(award)
    under = facts[stream]
    closed = under.close(today=today)
    streams = {name: claim_stream(award, name) for name in sorted(under.deferred_claims)}
    facts.prefetch(streams.values())
    if waiting := [name for name, each in streams.items() if facts[each].awaits]:
        raise ClaimsAreOpen(claims=waiting)
    made: dict[Stream[Any], tuple[Event, ...]] = {each: _lapse(facts, under, facts[each], today) for each in streams.values()}
    concluded = (ClaimConcluded(claim=facts[each].submitted.claim) for each in streams.values())
    return {**made, stream: (*concluded, closed)}


def _lapse(facts: Facts, award: Award, claim: Claim, today: date) -> tuple[Event, ...]:
    prices = Prices(award)
    decided = [
        valued(facts, claim, line, LineDecision(line=line.claimed.line, rejected=line.deferred, reason=ReasonCode.LAPSED), prices)
        for line in claim.lines
        if line.deferred
    ]
    lapsed = ClaimLapsed(lines=len(decided), value=total(each.rejected_value for each in decided), on=today)
    return (*(ClaimLinesDecided(lines=chunk) for chunk in chunks(decided)), lapsed)


def complete(facts: Facts, award: str, *, today: date) -> Decision:
    """Say that nothing is left to do: all is paid, netted off, recovered or written off, and nothing waits for a decision.

    What was kept to recognise participants whose references were erased goes too: nothing is claimed any more (L5).
    """
    stream = award_stream(award)
    under = facts[stream]
    under.expect_not_completed()
    if under.status is not Status.CLOSED_TO_CLAIMS:
        raise AwardIsNotClosed(status=under.status)
    if faults := tuple(_undone(facts, under)):
        raise AwardIsNotDone(faults)
    facts.erase_marks(under.reference)
    return {stream: (AwardCompleted(on=today),)}


def _undone(facts: Facts, award: Award) -> Iterator[Fault]:
    streams = {name: payment_stream(award.reference, *name) for name in award.payments}
    facts.prefetch(streams.values())
    for (assessment, payer), stream in streams.items():
        payment = facts[stream]
        if payment.stage not in _DONE:
            yield Fault(f"payments.{assessment}.{payer}", f"{payment.amount} is {payment.stage}")
    claims = [claim_stream(award.reference, claim) for claim in award.claims]
    facts.prefetch(claims)
    for claim in claims:
        if waiting := total(line.awaiting_value for line in facts[claim].awaiting):
            yield Fault(f"claims.{claim.last}", f"{waiting} of it is accepted and awaits its certification")
    for name, amount in award.receivables.items():
        yield Fault(f"receivables.{name.assessment}.{name.payer}.{name.payee}", f"{amount} is open")
    for kind, reference in sorted(award.proposals):
        yield Fault(f"{kind}s.{reference}", _WAITS)
    position = facts.get(opening_position_stream(award.reference))
    if position and position.status is ProposalStatus.PROPOSED:
        yield Fault("opening-position", _WAITS)


def propose_step(facts: Facts, award: str, step: Step, reason: str, document_sha256: str | None = None) -> Decision:
    """Propose to pause, resume or reopen an award, for a reason in words, which go into the vault (L5)."""
    stream = award_stream(award)
    under = facts[stream]
    return {stream: (under.propose_step(step, facts.conceal(reason, under.reference), document_sha256),)}
