"""A clawback: what was accepted in error is taken back, line by line, by two persons (M8).

It takes from each payer, and from unfunded, what the line had allotted; what was curtailed is given back first.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import Field, model_validator

from domain.aggregate import Actor, Commitment, Decision, Facts, PersonId, Stream, Token, joined
from domain.assessment import Kind, ReversedLine, Sheet, StandingLine, Stands
from domain.award import Award, ProposalKind, award_stream
from domain.calendar import Day
from domain.claim import Claim, ClaimLinesReversed, Line, NamedLine, Note, ReasonCode, chunks, claim_stream
from domain.event import Event
from domain.money import NOTHING, Money, PositiveQuantity, Quantity, total
from domain.obligation import Cause, Obligations, assessed, payees, taken
from domain.participant import Achievement, Participant, ParticipantAssessed, ParticipantReleased, participant_stream
from domain.proposal import NamedProposal, opened, withdrawn
from domain.record import Record
from domain.reference import Reference, canonical
from domain.refusal import Absent, Fault, FourEyes, Invalid, Refused

MOST_CLAWED: Final = 500
"""The most lines of one clawback."""


class ClawedLine(NamedLine):
    """How much of a claim's line is to be taken back."""

    quantity: PositiveQuantity


class Clawing(Record):
    """A clawback as it is raised."""

    clawback: Reference
    lines: Annotated[tuple[ClawedLine, ...], Field(min_length=1, max_length=MOST_CLAWED)]
    reason: ReasonCode
    note: Note | None = None

    @model_validator(mode="after")
    def _says_why(self) -> "Clawing":
        if self.reason is ReasonCode.OTHER and not self.note:
            raise ValueError("the reason 'other' needs a note (L6)")
        return self


# Events ---------------------------------------------------------------------------------------------------------------


class ClawbackRaised(Event):
    """Somebody says that what was accepted of these lines must be taken back; nothing moves until a second person agrees."""

    type: Literal["clawback.raised"] = "clawback.raised"
    award: Reference
    clawback: Reference
    lines: tuple[ClawedLine, ...]
    reason: ReasonCode
    note: Commitment | None = None


class ClawbackWithdrawn(Event):
    """The clawback is withdrawn, or turned down; nothing is taken back."""

    type: Literal["clawback.withdrawn"] = "clawback.withdrawn"
    reason: Commitment


class ClawbackAgreed(Event):
    """A second person agrees: the assessment of this number takes the lines back.

    `dependants` are accepted lines that needed one of these, and have nothing left of what they needed: they stand, or went too,
    as the terms say.
    """

    type: Literal["clawback.agreed"] = "clawback.agreed"
    assessment: int
    on: Day
    reversed: Money
    dependants: tuple[NamedLine, ...] = ()
    dependants_went_too: bool = False

    def takes_effect(self) -> date:
        """On the day of the decision."""
        return self.on


ClawbackEvent = ClawbackRaised | ClawbackWithdrawn | ClawbackAgreed


# Refusals -------------------------------------------------------------------------------------------------------------


class NoSuchClawback(Absent):
    """The award has no clawback of this reference."""


class ClawbackExists(Refused):
    """The award has a clawback of this reference, without regard to case, already (L2)."""


class ClawbackIsConcluded(Refused):
    """The clawback was agreed or withdrawn before."""


class LinesCannotBeClawedBack(Invalid):
    """Some of these lines cannot be taken back so far; nothing was taken back (M8)."""


class RaiserMayNotAgree(FourEyes):
    """Whoever raised the clawback may not agree it; a second person must (L1)."""


class ClaimantMayNotAgree(FourEyes):
    """A person of the claimant's party may not agree a clawback of its claim (L1)."""


# The clawback ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Clawback(NamedProposal[ClawbackRaised, ClawbackAgreed]):
    """A clawback, and what became of it."""

    missing = NoSuchClawback
    not_waiting = ClawbackIsConcluded
    kind = ProposalKind.CLAWBACK

    @property
    def reference(self) -> str:
        """Its reference in its award."""
        return self.proposed.clawback

    def withdraw(self, reason: Commitment) -> ClawbackWithdrawn:
        """Withdraw the clawback, or turn it down."""
        self.expect_proposed()
        return ClawbackWithdrawn(reason=reason)

    @classmethod
    def evolve(cls, state: "Clawback | None", event: ClawbackEvent, by: PersonId) -> "Clawback":
        """The clawback after an event."""
        if isinstance(event, ClawbackRaised):
            return cls(event, proposed_by=by)
        if state is None:
            raise LookupError(f"{event.type} before clawback.raised")
        match event:
            case ClawbackWithdrawn():
                return state.after_withdrawal()
            case ClawbackAgreed():
                return state.after_agreement(event, by)


def clawback_stream(award: str, clawback: str) -> Stream[Clawback]:
    """The stream of an award's clawback."""
    return Stream(f"award/{canonical(award)}/clawback/{canonical(clawback)}", Clawback)


# Commands -------------------------------------------------------------------------------------------------------------


def raise_clawback(facts: Facts, award: str, clawing: Clawing) -> Decision:
    """Raise a clawback of lines of one or several claims."""
    under = facts[award_stream(award)]
    under.expect_not_completed()
    stream = clawback_stream(award, clawing.clawback)
    if facts.get(stream):
        raise ClawbackExists(clawback=clawing.clawback)
    _expect_standing(facts, award, clawing.lines)
    raised = ClawbackRaised(
        award=under.reference,
        clawback=clawing.clawback,
        lines=clawing.lines,
        reason=clawing.reason,
        note=facts.conceal(clawing.note, under.reference) if clawing.note else None,
    )
    return opened(stream, award, raised, ProposalKind.CLAWBACK, clawing.clawback)


def withdraw(facts: Facts, award: str, clawback: str, reason: str) -> Decision:
    """Withdraw a clawback that waits for its second person, or turn it down."""
    return withdrawn(facts, award, clawback_stream(award, clawback), reason)


def agree(facts: Facts, award: str, clawback: str, *, by: Actor, today: date) -> Decision:
    """Agree a clawback, as a second person: take its lines back, and make receivable what was paid for them."""
    under, stream = facts[award_stream(award)], clawback_stream(award, clawback)
    raised = facts[stream]
    raised.expect_proposed()
    under.expect_not_completed()
    if by.person == raised.proposed_by:
        raise RaiserMayNotAgree
    claims = _expect_standing(facts, award, raised.proposed.lines)
    if by.party in {claim.submitted.claimant for claim in claims.values()}:
        raise ClaimantMayNotAgree
    taking = Taking(facts, under, today)
    for each in raised.proposed.lines:
        taking.take(canonical(each.claim), each.line, each.quantity)
    dependants, go_too = tuple(taking.dependants()), under.agreement.on(today).terms.dependants == "go-too"
    while go_too and (more := [each for each in tuple(taking.dependants()) if taking.take_whole(each)]):
        dependants = (*dependants, *(each for each in more if each not in dependants))
    verified_by = tuple(sorted({by.person, *taking.deciders()}))
    cause = Cause(claim=_only(taking.claims), claimed_by=raised.proposed_by, verified_by=verified_by)
    agreed = ClawbackAgreed(
        assessment=taking.number,
        on=today,
        reversed=total(each.reversed for each in taking.lines()),
        dependants=dependants,
        dependants_went_too=go_too,
    )
    return joined({stream: (agreed,), award_stream(award): (raised.concluded(),)}, taking.decision(cause))


def _only(claims: Iterable[str]) -> str | None:
    names = list(claims)
    return names[0] if len(names) == 1 else None


def _expect_standing(facts: Facts, award: str, lines: Sequence[ClawedLine]) -> dict[str, Claim]:
    """The claims whose lines are named; refuse lines of which less stands than is to be taken back."""
    facts.prefetch(claim_stream(award, each.claim) for each in lines)
    claims: dict[str, Claim] = {}
    faults: list[Fault] = []
    named: set[tuple[str, int]] = set()
    for number, each in enumerate(lines):
        claim = claims.setdefault(canonical(each.claim), facts[claim_stream(award, each.claim)])
        where = f"lines.{number}"
        if each.line > len(claim.lines):
            faults.append(Fault(f"{where}.line", f"claim {each.claim} has no line {each.line}"))
            continue
        if (canonical(each.claim), each.line) in named:
            faults.append(Fault(where, "is named twice"))
        named.add((canonical(each.claim), each.line))
        stands = claim.lines[each.line - 1].stands.quantity
        if each.quantity > stands:
            faults.append(Fault(f"{where}.quantity", f"is more than what stands assessed of the line, {stands}"))
    if faults:
        raise LinesCannotBeClawedBack(faults)
    return claims


@dataclass(slots=True)
class Taking:
    """Lines being taken back in one assessment."""

    facts: Facts
    award: Award
    today: date
    claims: dict[str, Claim] = field(default_factory=dict)
    _sheet: Sheet | None = None
    _taken: dict[str, list[ReversedLine]] = field(default_factory=dict)
    _participants: dict[Token, Participant] = field(default_factory=dict)
    _released: dict[Token, list[tuple[str, Achievement]]] = field(default_factory=dict)
    _amounts: dict[Token, Money] = field(default_factory=dict)

    @property
    def number(self) -> int:
        """The number of the assessment."""
        return self.award.assessments + 1

    @property
    def sheet(self) -> Sheet:
        """The work sheet of the assessment."""
        if self._sheet is None:
            self._sheet = Sheet(self.award.agreement, self.award.standing, self.today, {})
        return self._sheet

    def lines(self) -> Iterator[ReversedLine]:
        """What was taken back so far."""
        for each in self._taken.values():
            yield from each

    def deciders(self) -> set[PersonId]:
        """Whoever claimed or decided on what is taken back."""
        return {person for claim in self.claims.values() for person in (claim.submitted_by, *claim.verified_by)}

    def take(self, claim: str, number: int, quantity: Quantity) -> None:
        """Take a quantity back of a claim's line."""
        line = self._line(claim, number)
        standing = StandingLine(
            number, line.claimed.outcome, line.claimed.participant, line.claimed.achieved_on, self._stands(claim, line)
        )
        reversed_ = self.sheet.reverse(standing, quantity)
        self._taken.setdefault(claim, []).append(reversed_)
        if token := line.claimed.participant:
            given = Achievement(line=number, outcome=standing.outcome, achieved_on=standing.achieved_on, quantity=quantity)
            released = ParticipantReleased(claim=self.claims[claim].submitted.claim, achievements=(given,))
            self._participants[token] = Participant.evolve(self._participant(token), released, PersonId(""))
            self._released.setdefault(token, []).append((claim, given))
            self._amounts[token] = self._amounts.get(token, NOTHING) - reversed_.reversed

    def take_whole(self, named: NamedLine) -> bool:
        """Take back all that stands of a line; whether there was anything."""
        claim = canonical(named.claim)
        quantity = self._stands(claim, self._line(claim, named.line)).quantity
        if quantity:
            self.take(claim, named.line, quantity)
        return bool(quantity)

    def dependants(self) -> Iterator[NamedLine]:
        """Accepted lines whose prerequisite no longer stands for their participant."""
        for token in self._released:
            participant = self._participant(token)
            for (claim, number), each in sorted(participant.achievements.items()):
                priced = self.award.agreement.priced(each.outcome, each.achieved_on)
                gone = {canonical(given.outcome) for _, given in self._released[token]}
                lacking = participant.lacking(priced.prerequisites if priced else (), by=each.achieved_on)
                if any(canonical(wanted) in gone for wanted in lacking):
                    yield NamedLine(claim=claim, line=number)

    def decision(self, cause: Cause) -> Decision:
        """All that is to be recorded."""
        owed = taken(
            (line, payees(self.facts, self.award, self.claims[claim].lines[line.line - 1], self.today))
            for claim, lines in self._taken.items()
            for line in lines
        )
        given_back = total(each.amount for line in self.lines() for each in line.limits)
        award = award_stream(self.award.reference)
        event = assessed(
            self.award,
            self.sheet.standing(),
            owed,
            kind=Kind.CLAWBACK,
            curtailed=Money(-given_back),
            claim=cause.claim,
            today=self.today,
        )
        made: dict[Stream[Any], tuple[Event, ...]] = {award: (event,)}
        for claim, lines in self._taken.items():
            made[claim_stream(self.award.reference, claim)] = tuple(
                ClaimLinesReversed(assessment=self.number, clawed_back=True, lines=chunk) for chunk in chunks(lines)
            )
        for token, stream in ((token, participant_stream(self.award.reference, token)) for token in self._released):
            made[stream] = tuple(self._of_participant(token))
        after = Award.evolve(self.award, event, cause.claimed_by)
        paid_by = [number for claim, lines in self._taken.items() for line in lines for number in self._paid_by(claim, line)]
        return joined(made, Obligations(self.facts, after, self.number, self.today).settle(owed, cause, paid_by))

    def _of_participant(self, token: Token) -> Iterator[ParticipantReleased | ParticipantAssessed]:
        by_claim: defaultdict[str, list[Achievement]] = defaultdict(list)
        for claim, each in self._released[token]:
            by_claim[claim].append(each)
        for claim, released in by_claim.items():
            for chunk in chunks(released):
                yield ParticipantReleased(claim=self.claims[claim].submitted.claim, achievements=chunk)
        if self._amounts[token]:
            yield ParticipantAssessed(assessment=self.number, amount=self._amounts[token])

    def _paid_by(self, claim: str, line: ReversedLine) -> Iterator[int]:
        for number, _ in self.claims[claim].lines[line.line - 1].assessments:
            yield number

    def _line(self, claim: str, number: int) -> Line:
        if claim not in self.claims:
            self.claims[claim] = self.facts[claim_stream(self.award.reference, claim)]
        return self.claims[claim].lines[number - 1]

    def _stands(self, claim: str, line: Line) -> Stands:
        stands = line.stands
        for each in self._taken.get(claim, ()):
            if each.line == line.claimed.line:
                stands -= each
        return stands

    def _participant(self, token: Token) -> Participant:
        if token not in self._participants:
            self._participants[token] = self.facts.get(participant_stream(self.award.reference, token)) or Participant()
        return self._participants[token]
