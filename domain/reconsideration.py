"""A reconsideration: curtailed lines are assessed anew against the headroom of today, proposed by one, agreed by another (M5).

Curtailed value is never paid by itself when headroom returns; this is how it is paid. It takes nothing off any line: one
that today's limits would leave with less than it has is refused. Who pays it is worked out anew too, by today's maxima.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import Field

from domain.aggregate import Actor, Commitment, Decision, Facts, PersonId, Stream, joined
from domain.assessment import Kind
from domain.award import ProposalKind, award_stream
from domain.calendar import Day
from domain.claim import Claim, NamedLine, Note, claim_stream
from domain.event import Event
from domain.money import Money, total
from domain.proposal import NamedProposal, opened, withdrawn
from domain.reassessment import Chosen, effect, reassess
from domain.record import Record
from domain.reference import Reference, canonical
from domain.refusal import Absent, Fault, FourEyes, Invalid, Refused

MOST_RECONSIDERED: Final = 500
"""The most lines of one reconsideration."""


class Reconsidering(Record):
    """A reconsideration as it is proposed."""

    reconsideration: Reference
    lines: Annotated[tuple[NamedLine, ...], Field(min_length=1, max_length=MOST_RECONSIDERED)]
    reason: Note


# Events ---------------------------------------------------------------------------------------------------------------


class ReconsiderationProposed(Event):
    """Somebody proposes that these curtailed lines be assessed anew; nothing moves until a second person agrees."""

    type: Literal["reconsideration.proposed"] = "reconsideration.proposed"
    award: Reference
    reconsideration: Reference
    lines: tuple[NamedLine, ...]
    reason: Commitment


class ReconsiderationWithdrawn(Event):
    """The reconsideration is withdrawn, or turned down; nothing is assessed anew."""

    type: Literal["reconsideration.withdrawn"] = "reconsideration.withdrawn"
    reason: Commitment


class ReconsiderationAgreed(Event):
    """A second person agrees: the assessment of this number assessed the lines anew, and they gained an amount together."""

    type: Literal["reconsideration.agreed"] = "reconsideration.agreed"
    assessment: int
    on: Day
    gained: Money

    def takes_effect(self) -> date:
        """On the day of the decision."""
        return self.on


ReconsiderationEvent = ReconsiderationProposed | ReconsiderationWithdrawn | ReconsiderationAgreed


# Refusals -------------------------------------------------------------------------------------------------------------


class NoSuchReconsideration(Absent):
    """The award has no reconsideration of this reference."""


class ReconsiderationExists(Refused):
    """The award has a reconsideration of this reference, without regard to case, already (L2)."""


class ReconsiderationIsConcluded(Refused):
    """The reconsideration was agreed or withdrawn before."""


class LinesCannotBeReconsidered(Invalid):
    """Some of these lines are not curtailed, or there are none such; nothing was assessed anew (M5)."""


class NothingIsGained(Refused):
    """Today's limits leave none of these lines more than it has already."""


class ReconsiderationWouldTake(Refused):
    """Today's limits would leave some of these lines less than they have; a reconsideration takes nothing back (M5)."""


class ProposerMayNotReconsider(FourEyes):
    """Whoever proposed the reconsideration may not agree it; a second person must (L1)."""


class ClaimantMayNotReconsider(FourEyes):
    """A person of the claimant's party may not agree a reconsideration of its claim (L1)."""


# The reconsideration --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reconsideration(NamedProposal[ReconsiderationProposed, ReconsiderationAgreed]):
    """A reconsideration, and what became of it."""

    missing = NoSuchReconsideration
    not_waiting = ReconsiderationIsConcluded
    kind = ProposalKind.RECONSIDERATION

    @property
    def reference(self) -> str:
        """Its reference in its award."""
        return self.proposed.reconsideration

    def withdraw(self, reason: Commitment) -> ReconsiderationWithdrawn:
        """Withdraw the reconsideration, or turn it down."""
        self.expect_proposed()
        return ReconsiderationWithdrawn(reason=reason)

    @classmethod
    def evolve(cls, state: "Reconsideration | None", event: ReconsiderationEvent, by: PersonId) -> "Reconsideration":
        """The reconsideration after an event."""
        if isinstance(event, ReconsiderationProposed):
            return cls(event, proposed_by=by)
        if state is None:
            raise LookupError(f"{event.type} before reconsideration.proposed")
        match event:
            case ReconsiderationWithdrawn():
                return state.after_withdrawal()
            case ReconsiderationAgreed():
                return state.after_agreement(event, by)


def reconsideration_stream(award: str, reconsideration: str) -> Stream[Reconsideration]:
    """The stream of an award's reconsideration."""
    return Stream(f"award/{canonical(award)}/reconsideration/{canonical(reconsideration)}", Reconsideration)


# Commands -------------------------------------------------------------------------------------------------------------


def propose(facts: Facts, award: str, reconsidering: Reconsidering) -> Decision:
    """Propose that curtailed lines of one or several claims be assessed anew."""
    under = facts[award_stream(award)]
    under.expect_open()
    stream = reconsideration_stream(award, reconsidering.reconsideration)
    if facts.get(stream):
        raise ReconsiderationExists(reconsideration=reconsidering.reconsideration)
    tuple(_chosen(facts, award, reconsidering.lines))
    proposed = ReconsiderationProposed(
        award=under.reference,
        reconsideration=reconsidering.reconsideration,
        lines=reconsidering.lines,
        reason=facts.conceal(reconsidering.reason, under.reference),
    )
    return opened(stream, award, proposed, ProposalKind.RECONSIDERATION, reconsidering.reconsideration)


def withdraw(facts: Facts, award: str, reconsideration: str, reason: str) -> Decision:
    """Withdraw a reconsideration that waits for its second person, or turn it down."""
    return withdrawn(facts, award, reconsideration_stream(award, reconsideration), reason)


def agree(facts: Facts, award: str, reconsideration: str, *, by: Actor, today: date) -> Decision:
    """Agree a reconsideration, as a second person: its lines are assessed anew, and what they gain becomes due."""
    under, stream = facts[award_stream(award)], reconsideration_stream(award, reconsideration)
    proposed = facts[stream]
    proposed.expect_proposed()
    under.expect_open()
    if by.person == proposed.proposed_by:
        raise ProposerMayNotReconsider
    chosen = _chosen(facts, award, proposed.proposed.lines)
    if by.party in {each.claim.submitted.claimant for each in chosen}:
        raise ClaimantMayNotReconsider
    made = reassess(
        facts,
        under,
        chosen,
        kind=Kind.RECONSIDERATION,
        proposed_by=proposed.proposed_by,
        agreed_by=by.person,
        today=today,
    )
    gained = _expect_gain(made)
    agreed = ReconsiderationAgreed(assessment=under.assessments + 1, on=today, gained=gained)
    return joined({stream: (agreed,), award_stream(award): (proposed.concluded(),)}, made)


def _expect_gain(made: Decision) -> Money:
    changed = effect((stream.name, event) for stream, events in made.items() for event in events).lines
    if less := [each for each in changed if each.after < each.before]:
        raise ReconsiderationWouldTake(
            [Fault(f"claims.{each.claim}.lines.{each.line}", f"has {each.before}, and would have {each.after}") for each in less]
        )
    gained = total(each.after - each.before for each in changed)
    if not gained:
        raise NothingIsGained
    return gained


def _chosen(facts: Facts, award: str, lines: Iterable[NamedLine]) -> list[Chosen]:
    """The named lines, of which each must be curtailed; refuse otherwise, listing every fault."""
    named = list(lines)
    facts.prefetch(claim_stream(award, each.claim) for each in named)
    claims: dict[str, Claim] = {}
    chosen: dict[tuple[str, int], Chosen] = {}
    faults: list[Fault] = []
    for number, each in enumerate(named):
        claim = claims.setdefault(canonical(each.claim), facts[claim_stream(award, each.claim)])
        name = canonical(each.claim), each.line
        if wrong := tuple(_against(claim, each, twice=name in chosen)):
            faults += [Fault(f"lines.{number}", what) for what in wrong]
            continue
        line = claim.lines[each.line - 1]
        stands = line.stands
        chosen[name] = Chosen(claim, line, stands.assessed + stands.curtailed)
    if faults:
        raise LinesCannotBeReconsidered(faults)
    return list(chosen.values())


def _against(claim: Claim, named: NamedLine, *, twice: bool) -> Iterator[str]:
    if twice:
        yield "is named twice"
    elif named.line > len(claim.lines):
        yield f"claim {named.claim} has no line {named.line}"
    elif not claim.lines[named.line - 1].stands.curtailed:
        yield "nothing of the line is curtailed"
