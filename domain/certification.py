"""Certification: the commissioner signs a verified claim off, or declines it; and what follows once a claim may be assessed."""

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from typing import Any, Literal

from pydantic import model_validator

from domain.aggregate import Actor, Decision, Facts, Stream, Token, joined
from domain.assessment import AcceptedLine, Assessment, Kind, assess
from domain.award import Award, ClaimConcluded, award_stream
from domain.claim import (
    Claim,
    ClaimCertified,
    ClaimDeclined,
    ClaimLinesAssessed,
    ClaimLinesDeclined,
    Note,
    ReasonCode,
    chunks,
    claim_stream,
    declined_lines,
)
from domain.event import Event
from domain.money import Money, total
from domain.obligation import Cause, Obligations, assessed, given
from domain.participant import Achievement, ParticipantAssessed, ParticipantReleased, participant_stream
from domain.record import Record, trusted
from domain.reference import canonical
from domain.refusal import Fault, FourEyes, Refused

_participant_assessed = trusted(ParticipantAssessed)


class Certificate(Record):
    """What the commissioner says of a verified claim."""

    decision: Literal["certified", "declined"]
    reason: ReasonCode | None = None
    note: Note | None = None

    @model_validator(mode="after")
    def _says_why(self) -> "Certificate":
        if self.decision == "declined" and not self.reason:
            raise ValueError("declining needs a reason (L6)")
        if self.reason is ReasonCode.OTHER and not self.note:
            raise ValueError("the reason 'other' needs a note (L6)")
        return self


class NothingToCertify(Refused):
    """Nothing of the claim waits for certification."""


class VerifierMayNotCertify(FourEyes):
    """Whoever verified the claim may not certify or decline it (L1)."""


class PrerequisiteNoLongerStands(Refused):
    """Lines that wait need an outcome of which nothing stands accepted any more, and go with it: decline them (M8)."""


def certify(facts: Facts, award: str, claim: str, certificate: Certificate, *, by: Actor, today: date) -> Decision:
    """Sign off, or decline, what was verified of a claim."""
    under, on = facts[award_stream(award)], facts[claim_stream(award, claim)]
    on.expect_independent(by)
    if by.person in on.verified_by:
        raise VerifierMayNotCertify
    if not on.awaits:
        raise NothingToCertify
    if certificate.decision == "declined":
        return _decline(facts, under, on, certificate, today)
    under.expect_not_closed()
    if faults := tuple(_bereft(facts, under, on, today)):
        raise PrerequisiteNoLongerStands(faults)
    certified = ClaimCertified(on=today)
    stream = claim_stream(award, claim)
    return joined({stream: (certified,)}, conclude(facts, under, Claim.evolve(on, certified, by.person), today=today))


def _bereft(facts: Facts, award: Award, claim: Claim, today: date) -> Iterator[Fault]:
    """What waits, though its prerequisite no longer stands, where the terms of today let such lines go too."""
    if award.agreement.on(today).terms.dependants != "go-too":
        return
    waiting = [(line.claimed, line.claimed.participant) for line in claim.awaiting]
    streams = {token: participant_stream(award.reference, token) for _, token in waiting if token}
    facts.prefetch(streams.values())
    for claimed, token in waiting:
        priced = award.agreement.priced(claimed.outcome, claimed.achieved_on)
        if token and priced:
            for wanted in facts[streams[token]].lacking(priced.prerequisites, by=claimed.achieved_on):
                yield Fault(f"lines.{claimed.line}", f"needs {wanted}, of which nothing stands accepted any more")


def _decline(facts: Facts, award: Award, claim: Claim, certificate: Certificate, today: date) -> Decision:
    moved = declined_lines(claim)
    declined = ClaimDeclined(
        on=today,
        reason=certificate.reason or ReasonCode.OTHER,
        note=facts.conceal(certificate.note, canonical(award.reference)) if certificate.note else None,
        value=total(each.amount for each in moved),
    )
    released: defaultdict[Token, list[Achievement]] = defaultdict(list)
    for line in claim.awaiting:
        if token := line.claimed.participant:
            given = Achievement(
                line=line.claimed.line,
                outcome=line.claimed.outcome,
                achieved_on=line.claimed.achieved_on,
                quantity=line.awaiting,
            )
            released[token].append(given)
    return {
        _stream(claim): (*(ClaimLinesDeclined(lines=chunk) for chunk in chunks(moved)), declined),
        award_stream(award.reference): (_concluded(claim),),
        **{
            participant_stream(award.reference, token): tuple(
                ParticipantReleased(claim=claim.submitted.claim, achievements=chunk) for chunk in chunks(each)
            )
            for token, each in released.items()
        },
    }


def conclude(facts: Facts, award: Award, claim: Claim, *, today: date) -> Decision:
    """Assess what of the claim awaits it, make the payments due, and note that the claim no longer waits."""
    if not claim.awaits:
        return {award_stream(award.reference): (_concluded(claim),)}
    assessment = _assess(facts, award, claim, today)
    owed = given(assessment.lines, award, today)
    event = assessed(
        award,
        assessment.standing,
        owed,
        kind=Kind.DEFERRED_DECISION if claim.assessments else Kind.CLAIM,
        curtailed=total(line.curtailed for line in assessment.lines),
        claim=claim.submitted.claim,
        today=today,
    )
    number, after = event.assessment, Award.evolve(award, event, claim.submitted_by)
    cause = Cause(claim.submitted.claim, claim.submitted_by, tuple(sorted(set(claim.verified_by))))
    made: Decision = {
        _stream(claim): tuple(ClaimLinesAssessed(assessment=number, lines=chunk) for chunk in chunks(assessment.lines)),
        award_stream(award.reference): (event, _concluded(claim)),
        **_participants(award, claim, assessment, number),
    }
    return joined(made, Obligations(facts, after, number, today).settle(owed, cause))


def _assess(facts: Facts, award: Award, claim: Claim, today: date) -> Assessment:
    lines = [
        AcceptedLine(
            line=line.claimed.line,
            outcome=line.claimed.outcome,
            participant=line.claimed.participant,
            achieved_on=line.claimed.achieved_on,
            quantity=line.awaiting,
            accepted=line.awaiting_value,
            payable_before=line.payable,
        )
        for line in claim.awaiting
    ]
    streams = {line.participant: participant_stream(award.reference, line.participant) for line in lines if line.participant}
    facts.prefetch(streams.values())
    before = {token: known.assessed for token, stream in streams.items() if (known := facts.get(stream))}
    return assess(
        lines,
        award.agreement,
        award.standing,
        decided_on=today,
        received_on=claim.submitted.received_on,
        participants=before,
    )


def _participants(award: Award, claim: Claim, assessment: Assessment, number: int) -> dict[Stream[Any], tuple[Event]]:
    amounts: defaultdict[Token, Money] = defaultdict(Money)
    for line in assessment.lines:
        if token := claim.lines[line.line - 1].claimed.participant:
            amounts[token] += line.assessed
    return {
        participant_stream(award.reference, token): (_participant_assessed(assessment=number, amount=amount),)
        for token, amount in amounts.items()
        if amount
    }


def _stream(claim: Claim) -> Stream[Claim]:
    return claim_stream(claim.submitted.award, claim.submitted.claim)


def _concluded(claim: Claim) -> ClaimConcluded:
    return ClaimConcluded(claim=claim.submitted.claim, deferred=any(line.deferred for line in claim.lines))
