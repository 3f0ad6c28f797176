"""An opening position: what stood under an award that began elsewhere, brought in once, by two persons (section 3).

It is the award's first assessment here. What was paid counts as paid; what is due falls due, and what is owed back is receivable,
as after every assessment; limits, maxima, accumulators and participants go on from where they stood. What its figures must come
to is in `domain.brought_forward`.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date
from functools import partial
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from domain.aggregate import Actor, Commitment, Decision, Facts, PersonId, Stream, Token, joined
from domain.assessment import Kind
from domain.award import Award, award_stream
from domain.brought_forward import (
    MOST_LINES,
    EarlierAllotment,
    EarlierLine,
    EarlierOutcome,
    EarlierSplit,
    EarlierYear,
    Figures,
    by_payer,
    faults,
    open_amount,
    standing,
)
from domain.calendar import Day
from domain.claim import Note, Sha256, chunks, claim_stream
from domain.claim import Status as ClaimStatus
from domain.event import Event
from domain.money import NOTHING, Amount, Money, PositiveQuantity, total
from domain.obligation import Between, Cause, Obligations, assessed
from domain.participant import EarlierAchievement, ParticipantRecognisedBefore, participant_stream
from domain.proposal import Proposal, Status
from domain.record import Record
from domain.reference import Code, Reference, canonical
from domain.refusal import Absent, FourEyes, Invalid, Refused


class OpeningLine(Record):
    """An outcome that was accepted for a participant, net of what was taken back, and what it was assessed at."""

    model_config = ConfigDict(hide_input_in_errors=True)

    participant: Reference
    outcome: Code
    quantity: PositiveQuantity
    achieved_on: Day
    assessed: Amount


class Opening(Figures):
    """An opening position as it is proposed."""

    model_config = ConfigDict(hide_input_in_errors=True)

    lines: Annotated[tuple[OpeningLine, ...], Field(max_length=MOST_LINES, description="What participants had accepted")] = ()
    reason: Note
    document_sha256: Sha256 | None = None


# Events ---------------------------------------------------------------------------------------------------------------


class OpeningPositionProposed(Event):
    """Somebody says where the award stood elsewhere; its figures follow. Nothing counts until a second person agrees."""

    type: Literal["opening-position.proposed"] = "opening-position.proposed"
    award: Reference
    stands_on: Day
    assessed: Money
    others: Money
    unfunded: Money
    lines: int
    splits: tuple[EarlierSplit, ...]
    years: tuple[EarlierYear, ...]
    reason: Commitment
    document_sha256: str | None = None


class OpeningFiguresListed(Event):
    """Figures of a position that is being proposed."""

    type: Literal["opening-position.figures-listed"] = "opening-position.figures-listed"
    continues: ClassVar[bool] = True
    outcomes: tuple[EarlierOutcome, ...] = ()
    payers: tuple[EarlierAllotment, ...] = ()


class OpeningLinesListed(Event):
    """Lines of a position that is being proposed."""

    type: Literal["opening-position.lines-listed"] = "opening-position.lines-listed"
    continues: ClassVar[bool] = True
    lines: tuple[EarlierLine, ...]


class OpeningPositionWithdrawn(Event):
    """The position is withdrawn, or turned down; another one may be proposed."""

    type: Literal["opening-position.withdrawn"] = "opening-position.withdrawn"
    reason: Commitment


class OpeningPositionAgreed(Event):
    """A second person agrees: the assessment of this number opens the award's position. What it comes to follows."""

    type: Literal["opening-position.agreed"] = "opening-position.agreed"
    assessment: int
    on: Day

    def takes_effect(self) -> date:
        """On the day of the decision."""
        return self.on


class OpeningFiguresOpened(Event):
    """Figures of a position that is being opened, as they are posted."""

    type: Literal["opening-position.figures-opened"] = "opening-position.figures-opened"
    continues: ClassVar[bool] = True
    on: Day
    stands_on: Day
    outcomes: tuple[EarlierOutcome, ...] = ()
    payers: tuple[EarlierAllotment, ...] = ()
    years: tuple[EarlierYear, ...] = ()

    def takes_effect(self) -> date:
        """On the day of the decision."""
        return self.on


OpeningPositionEvent = (
    OpeningPositionProposed
    | OpeningFiguresListed
    | OpeningLinesListed
    | OpeningPositionWithdrawn
    | OpeningPositionAgreed
    | OpeningFiguresOpened
)


# Refusals -------------------------------------------------------------------------------------------------------------


class NoSuchOpeningPosition(Absent):
    """No opening position was ever proposed for this award."""


class OpeningPositionIsProposed(Refused):
    """An opening position waits for its second person; agree it or withdraw it."""


class OpeningPositionIsAgreed(Refused):
    """The award has its opening position; there is only one, and it is never changed."""


class NoOpeningPositionIsProposed(Refused):
    """No opening position waits for a second person: the last one was agreed or withdrawn."""


class AwardHasBegun(Refused):
    """Something was claimed or assessed under the award here already; a position is opened before anything else (section 3)."""


class OpeningPositionDoesNotFit(Invalid):
    """The opening position contradicts itself, or the terms and limits of the award; nothing of it was recorded."""


class ProposerMayNotOpen(FourEyes):
    """Whoever proposed the opening position may not agree it; a second person must (L1)."""


class BeneficiaryMayNotOpen(FourEyes):
    """A person of a payee's party, or of one that claims under the award, may not agree its opening position (L1)."""


# The opening position -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OpeningPosition(Proposal[OpeningPositionProposed, OpeningPositionAgreed]):
    """The opening position of an award: the one that was proposed last, and what became of it."""

    missing = NoSuchOpeningPosition
    not_waiting = NoOpeningPositionIsProposed

    outcomes: tuple[EarlierOutcome, ...] = ()
    payers: tuple[EarlierAllotment, ...] = ()
    lines: tuple[EarlierLine, ...] = ()

    @property
    def figures(self) -> Figures:
        """What it says, without its lines."""
        said = self.proposed
        return Figures(stands_on=said.stands_on, outcomes=self.outcomes, payers=self.payers, years=said.years, splits=said.splits)

    def withdraw(self, reason: Commitment) -> OpeningPositionWithdrawn:
        """Withdraw it, or turn it down."""
        self.expect_proposed()
        return OpeningPositionWithdrawn(reason=reason)

    def expect_withdrawn(self) -> None:
        """Refuse while it may still be agreed, and once it is."""
        if self.status is Status.PROPOSED:
            raise OpeningPositionIsProposed
        if self.status is Status.AGREED:
            raise OpeningPositionIsAgreed

    @classmethod
    def evolve(cls, state: "OpeningPosition | None", event: OpeningPositionEvent, by: PersonId) -> "OpeningPosition":
        """The opening position after an event."""
        if isinstance(event, OpeningPositionProposed):
            return cls(event, proposed_by=by)
        if state is None:
            raise LookupError(f"{event.type} before opening-position.proposed")
        match event:
            case OpeningFiguresListed(outcomes=outcomes, payers=payers):
                return replace(state, outcomes=(*state.outcomes, *outcomes), payers=(*state.payers, *payers))
            case OpeningLinesListed(lines=lines):
                return replace(state, lines=(*state.lines, *lines))
            case OpeningPositionWithdrawn():
                return state.after_withdrawal()
            case OpeningPositionAgreed():
                return state.after_agreement(event, by)
            case OpeningFiguresOpened():
                return state


def opening_position_stream(award: str) -> Stream[OpeningPosition]:
    """The stream of an award's opening position."""
    return Stream(f"award/{canonical(award)}/opening-position", OpeningPosition)


# Commands -------------------------------------------------------------------------------------------------------------


def propose(facts: Facts, award: str, opening: Opening, *, today: date) -> Decision:
    """Propose where an award stood elsewhere, as one administrator."""
    under, stream = facts[award_stream(award)], opening_position_stream(award)
    if before := facts.get(stream):
        before.expect_withdrawn()
    _expect_not_begun(facts, under)
    lines = [_kept(facts, under.reference, line) for line in opening.lines]
    _expect_fit(under, opening, lines, today)
    proposed = OpeningPositionProposed(
        award=under.reference,
        stands_on=opening.stands_on,
        assessed=opening.assessed,
        others=opening.others,
        unfunded=opening.unfunded,
        lines=len(lines),
        splits=opening.splits,
        years=opening.years,
        reason=facts.conceal(opening.reason, under.reference),
        document_sha256=opening.document_sha256,
    )
    return {
        stream: (
            proposed,
            *(OpeningFiguresListed(outcomes=chunk) for chunk in chunks(opening.outcomes)),
            *(OpeningFiguresListed(payers=chunk) for chunk in chunks(opening.payers)),
            *(OpeningLinesListed(lines=chunk) for chunk in chunks(lines)),
        )
    }


def withdraw(facts: Facts, award: str, reason: str) -> Decision:
    """Withdraw an opening position that waits for its second person, or turn it down."""
    stream = opening_position_stream(award)
    return {stream: (facts[stream].withdraw(facts.conceal(reason, canonical(award))),)}


def agree(facts: Facts, award: str, *, by: Actor, today: date) -> Decision:
    """Agree an opening position, as a second person: from now on it counts, and what is due or owed back is so here."""
    under, stream = facts[award_stream(award)], opening_position_stream(award)
    found = facts[stream]
    found.expect_proposed()
    _expect_not_begun(facts, under)
    if by.person == found.proposed_by:
        raise ProposerMayNotOpen
    if by.party in under.beneficiaries(today, today):
        raise BeneficiaryMayNotOpen
    figures = found.figures
    _expect_fit(under, figures, found.lines, today)
    owed = {
        Between(payer, under.agreement.payer_limits(payer, today).payee): years
        for payer, years in by_payer(figures, open_amount).items()
    }
    event = assessed(
        under,
        standing(under, figures),
        owed,
        kind=Kind.OPENING_POSITION,
        curtailed=NOTHING,
        claim=None,
        today=today,
        paid_before={payer: total(years.values()) for payer, years in by_payer(figures, lambda given: given.paid).items()},
    )
    agreed = OpeningPositionAgreed(assessment=event.assessment, on=today)
    made: Decision = {
        stream: (agreed, *_opened(figures, today)),
        award_stream(award): (event,),
        **_recognised(facts, under.reference, found),
    }
    cause = Cause(claim=None, claimed_by=found.proposed_by, verified_by=(by.person,))
    after = Award.evolve(under, event, by.person)
    return joined(made, Obligations(facts, after, event.assessment, today).settle(owed, cause))


def _expect_not_begun(facts: Facts, award: Award) -> None:
    """Refuse once anything stands under the award here; a claim that was withdrawn left nothing."""
    award.expect_open()
    streams = {name: claim_stream(award.reference, name) for name in award.claims}
    facts.prefetch(streams.values())
    claims = [name for name, stream in streams.items() if facts[stream].status is not ClaimStatus.WITHDRAWN]
    if claims or award.assessments:
        raise AwardHasBegun(claims=claims, assessments=award.assessments)


def _expect_fit(award: Award, figures: Figures, lines: Sequence[EarlierLine], today: date) -> None:
    if found := faults(award, figures, lines, today):
        raise OpeningPositionDoesNotFit(found)


def _kept(facts: Facts, award: str, line: OpeningLine) -> EarlierLine:
    return EarlierLine(
        participant=facts.pseudonym(award, line.participant),
        outcome=line.outcome,
        achieved_on=line.achieved_on,
        quantity=line.quantity,
        assessed=line.assessed,
    )


def _opened(figures: Figures, today: date) -> Iterator[OpeningFiguresOpened]:
    opened = partial(OpeningFiguresOpened, on=today, stands_on=figures.stands_on)
    yield from (opened(outcomes=chunk) for chunk in chunks(figures.outcomes))
    yield from (opened(payers=chunk) for chunk in chunks(figures.payers))
    yield from (opened(years=chunk) for chunk in chunks(figures.years))


def _recognised(facts: Facts, award: str, position: OpeningPosition) -> dict[Stream[Any], tuple[Event, ...]]:
    achieved: defaultdict[Token, list[EarlierAchievement]] = defaultdict(list)
    for line in position.lines:
        said = line.model_dump(exclude={"participant"})
        achieved[line.participant].append(EarlierAchievement(**said))
    streams = {token: participant_stream(award, token) for token in achieved}
    facts.prefetch(streams.values())
    return {
        streams[token]: tuple(ParticipantRecognisedBefore(achievements=chunk) for chunk in chunks(each))
        for token, each in achieved.items()
    }
