"""An award: its parties' terms, version by version, and what its assessments have consumed so far."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, NamedTuple

from pydantic import Field

from domain.aggregate import Actor, Aggregate, Commitment, Decision, Facts, PersonId, Stream
from domain.assessment import Accumulator, Kind, Standing
from domain.calendar import Day
from domain.event import Event
from domain.money import NONE, NOTHING, Money, Quantity
from domain.reference import OrganisationId, Reference, canonical
from domain.refusal import Absent, FourEyes, Invalid, Refused
from domain.terms import Agreement, Terms, Title, Version, check, lowered, not_only_lowered

# Events ---------------------------------------------------------------------------------------------------------------


class AwardRegistered(Event):
    """Somebody brings an award into the ledger; it means nothing until a second person agrees (L1)."""

    type: Literal["award.registered"] = "award.registered"
    reference: Reference
    title: Title
    currency: Literal["GBP"] = "GBP"
    sources: Annotated[tuple[str, ...], Field(max_length=20)] = ()


class TermsProposed(Event):
    """Somebody proposes a version of the terms; the first comes with the registration."""

    type: Literal["award.terms-proposed"] = "award.terms-proposed"
    version: int
    terms: Terms
    reason: Commitment | None = None
    document_sha256: str | None = None
    decommitment: Literal[True] | None = None
    """Whether limits are lowered under what stands, on purpose, taking nothing back (M9)."""


class AwardAgreed(Event):
    """A second person agrees the registration and the first version of the terms."""

    type: Literal["award.agreed"] = "award.agreed"


class TermsAgreed(Event):
    """A second person agrees a further version of the terms."""

    type: Literal["award.terms-agreed"] = "award.terms-agreed"
    version: int


class ClaimOpened(Event):
    """The award has a claim that waits for a decision."""

    type: Literal["award.claim-opened"] = "award.claim-opened"
    claim: Reference


class ClaimConcluded(Event):
    """A claim of the award no longer waits; `deferred` says that lines of it may still be decided later."""

    type: Literal["award.claim-concluded"] = "award.claim-concluded"
    claim: Reference
    deferred: bool = False


class ProposalKind(StrEnum):
    """What a second person may be asked to agree beside the award's own terms and steps."""

    CLAWBACK = "clawback"
    RECONSIDERATION = "reconsideration"
    OTHER_PAYMENT = "other-payment"


class ProposalOpened(Event):
    """Something that was proposed under the award waits for its second person."""

    type: Literal["award.proposal-opened"] = "award.proposal-opened"
    kind: ProposalKind
    reference: Reference


class ProposalConcluded(Event):
    """What was proposed waits no longer: it was agreed, withdrawn or turned down."""

    type: Literal["award.proposal-concluded"] = "award.proposal-concluded"
    kind: ProposalKind
    reference: Reference


class AwardAssessed(Event):
    """What one assessment added to what the award has consumed, or took off it, and the accumulators after it (M5-M8).

    Its lines stand explained in the claims' own streams; the amounts are posted there, line by line. `allotted` has what became
    due from each payer on balance, `reversed` what became receivable; `claim` is said where it is about one.
    """

    type: Literal["award.assessed"] = "award.assessed"
    assessment: int
    kind: Kind
    claim: Reference | None = None
    on: Day
    quantities: dict[str, Quantity]
    outcomes: dict[str, Money]
    years: dict[str, Money]
    assessed: Money
    curtailed: Money
    accumulated: dict[str, tuple[Money, tuple[Money, ...]]]
    allotted: dict[str, Money]
    unfunded: Money
    reversed: dict[str, Money] | None = None
    others: Money | None = None
    """What was paid otherwise than for outcomes, where it was (M10)."""
    paid_before: dict[str, Money] | None = None
    """What payers had paid where the award ran before, where this opens its position; it counts as allotted."""

    def takes_effect(self) -> date:
        """On the day of the decision that it came with."""
        return self.on


class ReceivableChanged(Event):
    """What is open of a receivable now, and how much headroom its payer's maximum got back by that (M8)."""

    type: Literal["award.receivable-changed"] = "award.receivable-changed"
    assessment: int
    payer: OrganisationId
    payee: OrganisationId
    open: Money
    headroom: Money


class AwardClosedToClaims(Event):
    """No more claims are taken; what of the award's limit was not used goes back to the fund."""

    type: Literal["award.closed-to-claims"] = "award.closed-to-claims"
    on: Day
    released: Money | None = None
    """The unused commitment; nothing said by those who closed an award before this was kept."""

    def takes_effect(self) -> date:
        """On the day on which it was decided."""
        return self.on


class Step(StrEnum):
    """A step in an award's life that two persons take together."""

    PAUSE = "pause"
    RESUME = "resume"
    REOPEN = "reopen"


class StepProposed(Event):
    """Somebody proposes to pause, resume or reopen the award, for a reason; nothing changes until a second person agrees."""

    type: Literal["award.step-proposed"] = "award.step-proposed"
    step: Step
    reason: Commitment
    document_sha256: str | None = None


class StepWithdrawn(Event):
    """The step that was proposed is withdrawn, or turned down."""

    type: Literal["award.step-withdrawn"] = "award.step-withdrawn"
    step: Step


class AwardPaused(Event):
    """A second person agrees: no claim is taken and no payment approved until the award is resumed."""

    type: Literal["award.paused"] = "award.paused"
    on: Day

    def takes_effect(self) -> date:
        """On the day on which it was agreed."""
        return self.on


class AwardResumed(Event):
    """A second person agrees: the award goes on."""

    type: Literal["award.resumed"] = "award.resumed"
    on: Day

    def takes_effect(self) -> date:
        """On the day on which it was agreed."""
        return self.on


class AwardReopened(Event):
    """A second person agrees: the award takes claims again, and its whole limit is committed again."""

    type: Literal["award.reopened"] = "award.reopened"
    on: Day

    def takes_effect(self) -> date:
        """On the day on which it was agreed."""
        return self.on


class AwardCompleted(Event):
    """Everything is paid, recovered or written off: nothing is left to do under the award."""

    type: Literal["award.completed"] = "award.completed"
    on: Day

    def takes_effect(self) -> date:
        """On the day on which it was decided."""
        return self.on


AwardEvent = (
    AwardRegistered
    | TermsProposed
    | AwardAgreed
    | TermsAgreed
    | ClaimOpened
    | ClaimConcluded
    | ProposalOpened
    | ProposalConcluded
    | AwardAssessed
    | ReceivableChanged
    | AwardClosedToClaims
    | StepProposed
    | StepWithdrawn
    | AwardPaused
    | AwardResumed
    | AwardReopened
    | AwardCompleted
)


# Refusals -------------------------------------------------------------------------------------------------------------


class NoSuchAward(Absent):
    """There is no award of this reference."""


class AwardExists(Refused):
    """An award of this reference, without regard to case, is registered already."""


class AwardIsNotAgreed(Refused):
    """A second person has not agreed the award yet, so nothing can happen under it."""


class AwardIsAgreed(Refused):
    """The award is agreed already."""


class AwardIsClosedToClaims(Refused):
    """The award is closed to claims."""


class AwardIsPaused(Refused):
    """The award is paused: no claim is taken and no payment approved until it is resumed."""


class AwardIsCompleted(Refused):
    """The award is completed; reopen it first."""


class ClaimsAreOpen(Refused):
    """Claims of the award still wait for a decision; decide or withdraw them before closing."""


class StepDoesNotFit(Refused):
    """This step does not lead on from where the award is: pause what is active, resume what is paused, reopen what is closed."""


class StepIsProposed(Refused):
    """A step is proposed already; agree it or withdraw it."""


class NoStepIsProposed(Refused):
    """No step is proposed that could be agreed or withdrawn."""


class AwardIsNotClosed(Refused):
    """Only an award that is closed to claims can be completed."""


class AwardIsNotDone(Refused):
    """The award is completed when all is paid, netted off, recovered or written off, and nothing waits for a decision."""


class ProposerMayNotAgree(FourEyes):
    """Whoever proposed this may not agree it; a second person must."""


class NoSuchVersion(Absent):
    """The award's terms have no version of this number."""


class VersionIsAgreed(Refused):
    """This version of the terms is agreed already."""


class DecommitmentChangesMore(Invalid):
    """A decommitment lowers limits or maxima from a later day on, and changes nothing else (M9)."""


class LimitsUnderWhatStands(Refused):
    """A limit or maximum of these terms is less than what has been assessed or allotted already (M9)."""


# The award ------------------------------------------------------------------------------------------------------------


class ReceivableName(NamedTuple):
    """What an assessment took back from a payer, and which payee owes it."""

    assessment: int
    payer: str
    payee: str


class ProposalName(NamedTuple):
    """What was proposed under an award, and waits for its second person."""

    kind: ProposalKind
    reference: str


class Status(StrEnum):
    """Where an award stands in its life."""

    REGISTERED = "registered"
    ACTIVE = "active"
    PAUSED = "paused"
    CLOSED_TO_CLAIMS = "closed-to-claims"
    COMPLETED = "completed"


@dataclass(frozen=True, slots=True)
class ProposedStep:
    """A step that waits for a second person."""

    step: Step
    proposed_by: PersonId
    reason: Commitment
    document_sha256: str | None


_STARTS: Final[Mapping[Step, frozenset[Status]]] = {
    Step.PAUSE: frozenset({Status.ACTIVE}),
    Step.RESUME: frozenset({Status.PAUSED}),
    Step.REOPEN: frozenset({Status.CLOSED_TO_CLAIMS, Status.COMPLETED}),
}
"""From where each step leads."""


@dataclass(frozen=True, slots=True)
class Award(Aggregate):
    """One funded contract. `versions` are in the order of their numbers, `agreed` has the numbers in the order of agreement."""

    missing = NoSuchAward

    reference: str
    title: str
    sources: tuple[str, ...]
    registered_by: PersonId
    versions: tuple[Version, ...] = ()
    agreed: tuple[int, ...] = ()
    agreement: Agreement = field(default_factory=lambda: Agreement(()), compare=False)
    status: Status = Status.REGISTERED
    open_claims: frozenset[str] = frozenset()
    deferred_claims: frozenset[str] = frozenset()
    claims: tuple[str, ...] = ()
    """Every claim there ever was, in the order in which they were submitted."""
    proposals: frozenset[ProposalName] = frozenset()
    """What waits for its second person; not what was proposed before the log said so here."""
    assessments: int = 0
    standing: Standing = field(default_factory=Standing)
    receivables: Mapping[ReceivableName, Money] = field(default_factory=dict)
    """What is open of each receivable, oldest first."""
    payments: tuple[tuple[int, str], ...] = ()
    """Every payment that ever fell due, by the number of its assessment and its payer."""
    proposed_step: ProposedStep | None = None
    closed_on: date | None = None
    """The day on which it was closed to claims, if it is."""

    def propose(
        self,
        terms: Terms,
        *,
        today: date,
        reason: Commitment,
        document_sha256: str | None = None,
        decommitment: bool = False,
    ) -> TermsProposed:
        """Propose a further version of the terms, for a reason; it may be back-dated (M9)."""
        self.expect_not_closed()
        check(terms)
        self._expect_acceptable(terms, today, decommitment=decommitment)
        return TermsProposed(
            version=len(self.versions) + 1,
            terms=terms,
            reason=reason,
            document_sha256=document_sha256,
            decommitment=decommitment or None,
        )

    def agree(self, by: Actor) -> AwardAgreed:
        """Agree the registration and the first version, as a second person."""
        if self.status is not Status.REGISTERED:
            raise AwardIsAgreed
        if by.person in (self.registered_by, self.versions[0].proposed_by):
            raise ProposerMayNotAgree
        return AwardAgreed()

    def agree_terms(self, number: int, by: Actor, *, today: date) -> TermsAgreed:
        """Agree a further version, as a second person."""
        self.expect_not_closed()
        if not 1 <= number <= len(self.versions):
            raise NoSuchVersion(version=number)
        version = self.versions[number - 1]
        if version.agreed_by:
            raise VersionIsAgreed(version=number)
        if by.person == version.proposed_by:
            raise ProposerMayNotAgree
        self._expect_acceptable(version.terms, today, decommitment=version.decommitment)
        return TermsAgreed(version=number)

    def close(self, *, today: date) -> AwardClosedToClaims:
        """Take no more claims, and give back what is not used of the award's limit; what is due is paid all the same."""
        self.expect_open()
        if waiting := sorted(self.open_claims):
            raise ClaimsAreOpen(claims=waiting)
        limit = self.agreement.on(today).terms.award_amount
        return AwardClosedToClaims(on=today, released=max(Money(limit - self.standing.counted), NOTHING))

    def propose_step(self, step: Step, reason: Commitment, document_sha256: str | None = None) -> StepProposed:
        """Propose to pause, resume or reopen the award."""
        self.expect_agreed()
        if self.proposed_step:
            raise StepIsProposed(step=self.proposed_step.step)
        self._expect_at(step)
        return StepProposed(step=step, reason=reason, document_sha256=document_sha256)

    def agree_step(self, by: Actor, *, today: date) -> AwardPaused | AwardResumed | AwardReopened:
        """Take the step that was proposed, as a second person."""
        proposed = self._expect_step()
        self._expect_at(proposed.step)
        if by.person == proposed.proposed_by:
            raise ProposerMayNotAgree
        match proposed.step:
            case Step.PAUSE:
                return AwardPaused(on=today)
            case Step.RESUME:
                return AwardResumed(on=today)
            case Step.REOPEN:
                return AwardReopened(on=today)

    def withdraw_step(self) -> StepWithdrawn:
        """Withdraw the step that was proposed, or turn it down."""
        return StepWithdrawn(step=self._expect_step().step)

    def expect_agreed(self) -> None:
        """Refuse unless a second person agreed the award."""
        if self.status is Status.REGISTERED:
            raise AwardIsNotAgreed

    def expect_not_completed(self) -> None:
        """Refuse unless the award is agreed and something may still be due under it."""
        self.expect_agreed()
        if self.status is Status.COMPLETED:
            raise AwardIsCompleted

    def expect_not_closed(self) -> None:
        """Refuse unless the award is agreed and may still assess more than it has: its commitment has not gone back."""
        self.expect_not_completed()
        if self.status is Status.CLOSED_TO_CLAIMS:
            raise AwardIsClosedToClaims

    def expect_not_paused(self) -> None:
        """Refuse while the award is paused."""
        if self.status is Status.PAUSED:
            raise AwardIsPaused

    def beneficiaries(self, dated: date, today: date) -> set[str]:
        """The parties that gain by a payment of a stated date: the payees, and whoever claims under the award."""
        terms = self.agreement.on(dated).terms
        payees = {self.agreement.payer_limits(payer.party, today).payee for payer in terms.payers}
        return payees | {each.party for each in terms.parties if terms.may_claim(each.party)}

    def expect_open(self) -> None:
        """Refuse unless the award is agreed and takes claims."""
        self.expect_not_closed()
        self.expect_not_paused()

    def _expect_step(self) -> ProposedStep:
        if self.proposed_step is None:
            raise NoStepIsProposed
        return self.proposed_step

    def _expect_at(self, step: Step) -> None:
        if self.status not in _STARTS[step]:
            raise StepDoesNotFit(step=step, status=self.status)

    def _expect_acceptable(self, terms: Terms, today: date, *, decommitment: bool) -> None:
        if decommitment:
            self._expect_only_lowered(terms, today)
        elif faults := tuple(lowered(terms, self.agreement, self.standing.consumed())):
            raise LimitsUnderWhatStands(faults)

    def _expect_only_lowered(self, terms: Terms, today: date) -> None:
        if terms.effective_from <= today:
            raise DecommitmentChangesMore(effective_from=terms.effective_from, today=today)
        stands = self.agreement.on(terms.effective_from).terms
        if faults := tuple(not_only_lowered(stands, terms)):
            raise DecommitmentChangesMore(faults)

    @classmethod
    def evolve(cls, state: "Award | None", event: AwardEvent, by: PersonId) -> "Award":  # noqa: C901, PLR0911, PLR0912 (one case an event)
        """The award after an event."""
        if isinstance(event, AwardRegistered):
            return cls(event.reference, event.title, event.sources, registered_by=by)
        if state is None:
            raise LookupError(f"{event.type} before award.registered")
        match event:
            case TermsProposed(version=number, terms=terms):
                version = Version(
                    number=number,
                    terms=terms,
                    proposed_by=by,
                    reason=event.reason,
                    document_sha256=event.document_sha256,
                    decommitment=bool(event.decommitment),
                )
                return replace(state, versions=(*state.versions, version))
            case AwardAgreed():
                return replace(_with_agreed(state, 1, by), status=Status.ACTIVE)
            case TermsAgreed(version=number):
                return _with_agreed(state, number, by)
            case ClaimOpened(claim=claim):
                opened = canonical(claim)
                return replace(state, open_claims=state.open_claims | {opened}, claims=(*state.claims, opened))
            case ClaimConcluded(claim=claim, deferred=deferred):
                name = frozenset({canonical(claim)})
                others = state.deferred_claims - name
                return replace(state, open_claims=state.open_claims - name, deferred_claims=others | name if deferred else others)
            case ProposalOpened(kind=kind, reference=reference):
                return replace(state, proposals=state.proposals | {ProposalName(kind, canonical(reference))})
            case ProposalConcluded(kind=kind, reference=reference):
                return replace(state, proposals=state.proposals - {ProposalName(kind, canonical(reference))})
            case AwardAssessed(assessment=number, allotted=allotted):
                payments = (*state.payments, *((number, payer) for payer in sorted(allotted)))
                return replace(state, assessments=number, standing=_added(state.standing, event), payments=payments)
            case ReceivableChanged():
                return _with_receivable(state, event)
            case AwardClosedToClaims():
                return replace(state, status=Status.CLOSED_TO_CLAIMS, proposed_step=None, closed_on=event.on)
            case StepProposed(step=step, reason=reason, document_sha256=document):
                return replace(state, proposed_step=ProposedStep(step, by, reason, document))
            case StepWithdrawn():
                return replace(state, proposed_step=None)
            case AwardPaused():
                return replace(state, status=Status.PAUSED, proposed_step=None)
            case AwardResumed() | AwardReopened():
                return replace(state, status=Status.ACTIVE, proposed_step=None, closed_on=None)
            case AwardCompleted():
                return replace(state, status=Status.COMPLETED, proposed_step=None)


@dataclass(frozen=True, slots=True)
class Contract:
    """What of an award was agreed, and how far its life has come: a few entries of its stream, however long that is.

    No decision stands on it: it is not the whole award, and has not its version.
    """

    made_of: ClassVar[frozenset[str]] = frozenset(
        {
            "award.registered",
            "award.terms-proposed",
            "award.agreed",
            "award.terms-agreed",
            "award.closed-to-claims",
            "award.paused",
            "award.resumed",
            "award.reopened",
            "award.completed",
        }
    )

    award: Award
    """Of these entries alone: what stands assessed, claimed or owed is not in it."""

    @property
    def title(self) -> str:
        """What the award is called."""
        return self.award.title

    @property
    def agreement(self) -> Agreement:
        """The agreed versions of the terms."""
        return self.award.agreement

    @property
    def agreed_first(self) -> Terms | None:
        """The terms that were agreed first, if any were agreed."""
        return self.award.versions[self.award.agreed[0] - 1].terms if self.award.agreed else None

    @classmethod
    def evolve(cls, state: "Contract | None", event: AwardEvent, by: PersonId) -> "Contract":
        """The contract after one of the events that it is made of."""
        return cls(Award.evolve(state.award if state else None, event, by))


def _with_agreed(award: Award, number: int, by: PersonId) -> Award:
    numbers = (*award.agreed, number)
    versions = tuple(
        version.model_copy(update={"agreed_by": by}) if version.number == number else version for version in award.versions
    )
    return replace(award, versions=versions, agreed=numbers, agreement=Agreement([versions[each - 1] for each in numbers]))


def _with_receivable(award: Award, event: ReceivableChanged) -> Award:
    name = ReceivableName(event.assessment, event.payer, event.payee)
    receivables = {**award.receivables, name: event.open}
    if not event.open:
        del receivables[name]
    allotted = _sum(award.standing.allotted, {event.payer: -event.headroom})
    return replace(award, receivables=receivables, standing=replace(award.standing, allotted=allotted))


def _added(standing: Standing, event: AwardAssessed) -> Standing:
    grown = {key: Accumulator(assessed, parts) for key, (assessed, parts) in event.accumulated.items()}
    return Standing(
        quantities={**standing.quantities, **{n: standing.quantities.get(n, NONE) + q for n, q in event.quantities.items()}},
        outcomes=_sum(standing.outcomes, event.outcomes),
        years=_sum(standing.years, event.years),
        assessed=standing.assessed + event.assessed,
        accumulators={**standing.accumulators, **grown},
        allotted=_sum(_sum(standing.allotted, event.allotted), event.paid_before or {}),
        unfunded=standing.unfunded + event.unfunded,
        others=standing.others + (event.others or NOTHING),
    )


def _sum(before: Mapping[str, Money], more: Mapping[str, Money]) -> dict[str, Money]:
    return {**before, **{name: before.get(name, NOTHING) + amount for name, amount in more.items()}}


FIRST_VERSION: Final = 1


def award_stream(reference: str) -> Stream[Award]:
    """The stream of an award."""
    return Stream(f"award/{canonical(reference)}", Award)


def register(facts: Facts, registration: AwardRegistered, terms: Terms) -> Decision:
    """Register an award with the first version of its terms."""
    check(terms)
    stream = award_stream(registration.reference)
    if facts.get(stream):
        raise AwardExists(award=registration.reference)
    return {stream: (registration, TermsProposed(version=FIRST_VERSION, terms=terms))}
