"""A claim: what a provider says was achieved, line by line, and what became of each line (M4, section 3).

A submitted claim is frozen. What many lines have to say comes in several events of one commit, because an entry is small.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from typing import Annotated, ClassVar, Final, Literal, NamedTuple, TypeVar

from pydantic import BaseModel, Field

from domain.aggregate import Actor, Aggregate, Commitment, Decision, Facts, PersonId, Stream, Token
from domain.assessment import AssessedLine, ReversedLine, Stands
from domain.award import Award, ClaimConcluded, ClaimOpened, award_stream
from domain.calendar import Day
from domain.event import Event
from domain.money import MOST, NONE, NOTHING, Money, PositiveQuantity, Quantity, total, value
from domain.record import Record, trusted
from domain.reference import OrganisationId, Reference, canonical
from domain.refusal import Absent, Fault, FourEyes, Invalid, NotAllowed, Refused
from domain.terms import Outcome, Version, Window

MOST_LINES: Final = 5_000
_CHUNK_BYTES: Final = 40_000
"""How much of an entry the rows of a chunk may take; an entry has at most 60 KiB."""


class ReasonCode(StrEnum):
    """Why a quantity is rejected, deferred or declined (L6)."""

    NOT_EVIDENCED = "not-evidenced"
    OUTSIDE_WINDOW = "outside-window"
    NOT_ELIGIBLE = "not-eligible"
    DUPLICATE = "duplicate"
    PREREQUISITE_MISSING = "prerequisite-missing"
    ACHIEVED_EARLIER = "achieved-earlier"
    QUANTITY_OVERSTATED = "quantity-overstated"
    LAPSED = "lapsed"
    OTHER = "other"


# What comes in --------------------------------------------------------------------------------------------------------

Note = Annotated[str, Field(min_length=1, max_length=4_000)]
Sha256 = Annotated[
    str, Field(pattern=r"^[0-9a-f]{64}$", examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"])
]


class Evidence(Record):
    """A document that stays with its owner (L4): its hash, and a title for people."""

    sha256: Sha256
    title: Annotated[str, Field(min_length=1, max_length=200)]


class ClaimedLine(Record):
    """What a line claims: an outcome for one participant, or, without one, a quantity for a cohort."""

    outcome: Reference
    participant: Reference | None = None
    quantity: PositiveQuantity
    achieved_on: Day
    evidence: Annotated[tuple[Evidence, ...], Field(max_length=10)] = ()
    note: Note | None = None


class NamedLine(Record):
    """A claim's line, by its number."""

    claim: Reference
    line: Annotated[int, Field(strict=True, ge=1, le=MOST_LINES)]


class Backlog(Record):
    """That a claim was received before today, and why it is only recorded now (M2)."""

    received_on: Day
    reason: Note


class Submission(Record):
    """A claim as it is submitted."""

    claim: Reference
    period: Window
    lines: Annotated[tuple[ClaimedLine, ...], Field(min_length=1, max_length=MOST_LINES)]
    claimant: OrganisationId | None = Field(default=None, description="The provider or SPV; your own party unless said")
    backlog: Backlog | None = None


# Events ---------------------------------------------------------------------------------------------------------------


class KeptEvidence(Record):
    """Evidence as the log keeps it: the title is in the vault (L5)."""

    sha256: Sha256
    title: Commitment


class ClaimLine(Record):
    """A line as the log keeps it, with its value by the terms then in force."""

    line: int
    outcome: str
    participant: Token | None = None
    quantity: Quantity
    achieved_on: Day
    value: Money
    evidence: tuple[KeptEvidence, ...] = ()
    note: Commitment | None = None


_kept_evidence, _claim_line = trusted(KeptEvidence), trusted(ClaimLine)


class Moved(Record):
    """An amount of a line that goes from one stage to another as a whole."""

    line: int
    outcome: str
    achieved_on: Day
    amount: Money


class DecidedLine(Record):
    """One decision on a line: quantities of what was open, and what each stage's value changes by (M4)."""

    line: int
    outcome: str
    achieved_on: Day
    accepted: Quantity
    rejected: Quantity
    deferred: Quantity
    accepted_value: Money
    rejected_value: Money
    deferred_value: Money
    reason: ReasonCode | None = None
    note: Commitment | None = None


class ClaimSubmitted(Event):
    """A claimant says what was achieved."""

    type: Literal["claim.submitted"] = "claim.submitted"
    award: Reference
    claim: Reference
    claimant: str
    period: Window
    received_on: Day
    on: Day
    backlog_reason: Commitment | None = None
    lines: int
    value: Money

    def takes_effect(self) -> date:
        """On the day on which the claim was received, though it was recorded later."""
        return self.received_on


class ClaimLinesListed(Event):
    """Lines of a claim that is being submitted."""

    type: Literal["claim.lines-listed"] = "claim.lines-listed"
    continues: ClassVar[bool] = True
    lines: tuple[ClaimLine, ...]


class ClaimReceiptConfirmed(Event):
    """A second person confirms that the claim was received on the earlier day that was stated."""

    type: Literal["claim.receipt-confirmed"] = "claim.receipt-confirmed"
    continues: ClassVar[bool] = True


class ClaimQueried(Event):
    """Somebody who may decide asks the claimant."""

    type: Literal["claim.queried"] = "claim.queried"
    question: Commitment
    lines: tuple[int, ...] = ()


class ClaimAnswered(Event):
    """The claimant answers."""

    type: Literal["claim.answered"] = "claim.answered"
    answer: Commitment


class ClaimWithdrawn(Event):
    """The claimant takes the claim back before it was verified."""

    type: Literal["claim.withdrawn"] = "claim.withdrawn"
    reason: Commitment
    value: Money


class ClaimLinesWithdrawn(Event):
    """Lines of a claim that is being withdrawn."""

    type: Literal["claim.lines-withdrawn"] = "claim.lines-withdrawn"
    lines: tuple[Moved, ...]


class ClaimLinesDecided(Event):
    """Decisions on lines, in one verification."""

    type: Literal["claim.lines-decided"] = "claim.lines-decided"
    lines: tuple[DecidedLine, ...]


class ClaimVerified(Event):
    """Somebody else decided on the claim's lines. `round` counts verifications: later ones decide what was deferred."""

    type: Literal["claim.verified"] = "claim.verified"
    round: int
    on: Day
    accepted: Money
    rejected: Money
    deferred: Money

    def takes_effect(self) -> date:
        """On the day of the decision."""
        return self.on


class ClaimCertified(Event):
    """The commissioner signs off what was verified."""

    type: Literal["claim.certified"] = "claim.certified"
    on: Day

    def takes_effect(self) -> date:
        """On the day of the decision."""
        return self.on


class ClaimDeclined(Event):
    """The commissioner declines what was verified, with a reason."""

    type: Literal["claim.declined"] = "claim.declined"
    on: Day
    reason: ReasonCode
    note: Commitment | None = None
    value: Money

    def takes_effect(self) -> date:
        """On the day of the decision."""
        return self.on


class ClaimLinesDeclined(Event):
    """Lines of a claim that is being declined."""

    type: Literal["claim.lines-declined"] = "claim.lines-declined"
    lines: tuple[Moved, ...]


class ClaimLinesAssessed(Event):
    """Lines of an assessment, each with its explanation (M5-M7)."""

    type: Literal["claim.lines-assessed"] = "claim.lines-assessed"
    continues: ClassVar[bool] = True
    assessment: int
    lines: tuple[AssessedLine, ...]


class ClaimLinesReversed(Event):
    """What an assessment took back of lines (M8): clawed back for good, or in order to assess it anew in the same breath (M9)."""

    type: Literal["claim.lines-reversed"] = "claim.lines-reversed"
    assessment: int
    clawed_back: bool
    lines: tuple[ReversedLine, ...]


class RestatedLine(Record):
    """What a line's values change by when its price was varied: of what was claimed, and of each stage that it is at (M9)."""

    line: int
    outcome: str
    achieved_on: Day
    version: int
    price: Money
    per: int
    claimed: Money
    undecided: Money = NOTHING
    awaiting: Money = NOTHING
    declined: Money = NOTHING
    rejected: Money = NOTHING
    deferred: Money = NOTHING


class ClaimLinesRestated(Event):
    """Lines are worth more, or less, by a version of the terms that was agreed after them."""

    type: Literal["claim.lines-restated"] = "claim.lines-restated"
    assessment: int
    lines: tuple[RestatedLine, ...]


class ClaimLapsed(Event):
    """The award was closed to claims: what was deferred of the claim lapses, as its decided lines say."""

    type: Literal["claim.lapsed"] = "claim.lapsed"
    lines: int
    value: Money
    on: Day

    def takes_effect(self) -> date:
        """On the day of the closing."""
        return self.on


ClaimEvent = (
    ClaimSubmitted
    | ClaimLinesListed
    | ClaimReceiptConfirmed
    | ClaimQueried
    | ClaimAnswered
    | ClaimWithdrawn
    | ClaimLinesWithdrawn
    | ClaimLinesDecided
    | ClaimVerified
    | ClaimCertified
    | ClaimDeclined
    | ClaimLinesDeclined
    | ClaimLinesAssessed
    | ClaimLinesReversed
    | ClaimLinesRestated
    | ClaimLapsed
)

R = TypeVar("R", bound=BaseModel)


def chunks(rows: Sequence[R]) -> Iterator[tuple[R, ...]]:
    """The rows in order, in chunks that each fit into an entry."""
    chunk: list[R] = []
    size = 0
    for row in rows:
        weight = len(row.__pydantic_serializer__.to_json(row))
        if chunk and size + weight > _CHUNK_BYTES:
            yield tuple(chunk)
            chunk, size = [], 0
        chunk.append(row)
        size += weight
    if chunk:
        yield tuple(chunk)


# Refusals -------------------------------------------------------------------------------------------------------------


class NoSuchClaim(Absent):
    """The award has no claim of this reference."""


class ClaimExists(Refused):
    """The award has a claim of this reference, without regard to case, already (L2)."""


class ClaimIsTooLate(Invalid):
    """The claim was received after the day on which claims close (M2)."""


class ReceivedInTheFuture(Invalid):
    """A claim cannot have been received after today."""


class PeriodEndsBeforeItBegins(Invalid):
    """The claim's period ends before it begins."""


class LinesCannotBeClaimed(Invalid):
    """Lines of the claim cannot be claimed; nothing of it was recorded."""


class ClaimIsTooLarge(Invalid):
    """The claim is worth more than £999,999,999.99; split it."""


class ClaimantIsNotProvider(NotAllowed):
    """Claims are made by a provider or SPV of the award."""


class NotTheClaimant(NotAllowed):
    """Only a person of the claimant's party may do this."""


class ClaimantMayNotDecide(FourEyes):
    """Whoever submitted the claim, or belongs to the claimant's party, may not decide on it (L1)."""


class StaterMayNotConfirm(FourEyes):
    """Whoever stated the earlier day of receipt may not confirm it."""


class ReceiptIsNotInDoubt(Refused):
    """No earlier day of receipt waits for confirmation."""


class ReceiptIsNotConfirmed(Refused):
    """The earlier day of receipt must be confirmed by a second person first."""


class ClaimIsDecided(Refused):
    """The claim has been verified already."""


class ClaimIsWithdrawn(Refused):
    """The claim was withdrawn."""


class QueryIsOpen(Refused):
    """A query on the claim waits for its answer."""


class NoQueryIsOpen(Refused):
    """No query on the claim waits for an answer."""


# The claim ------------------------------------------------------------------------------------------------------------


class Status(StrEnum):
    """Where a claim stands in its life."""

    SUBMITTED = "submitted"
    QUERIED = "queried"
    ANSWERED = "answered"
    WITHDRAWN = "withdrawn"
    VERIFIED = "verified"
    CERTIFIED = "certified"
    DECLINED = "declined"
    ASSESSED = "assessed"


UNDECIDED = frozenset({Status.SUBMITTED, Status.QUERIED, Status.ANSWERED})


class Line(NamedTuple):
    """A claim's line and what became of it. Quantities and values are sums over all decisions."""

    claimed: ClaimLine
    accepted: Quantity = NONE
    rejected: Quantity = NONE
    deferred: Quantity = NONE
    accepted_value: Money = NOTHING
    rejected_value: Money = NOTHING
    deferred_value: Money = NOTHING
    awaiting: Quantity = NONE
    awaiting_value: Money = NOTHING
    declined: Quantity = NONE
    declined_value: Money = NOTHING
    payable: Quantity = NONE
    assessed: Money = NOTHING
    curtailed: Money = NOTHING
    decisions: tuple[DecidedLine, ...] = ()
    clawed_back: Quantity = NONE
    """What was clawed back of what had been assessed; it counts as rejected."""
    assessments: tuple[tuple[int, AssessedLine | ReversedLine], ...] = ()

    @property
    def stands(self) -> Stands:
        """What stands of the line, after all that was assessed of it and taken back."""
        stands = Stands()
        for _, each in self.assessments:
            stands = stands + each if isinstance(each, AssessedLine) else stands - each
        return stands


@dataclass(frozen=True, slots=True)
class Claim(Aggregate):
    """A claim with its lines; line n is `lines[n - 1]`."""

    missing = NoSuchClaim

    submitted: ClaimSubmitted
    submitted_by: PersonId
    lines: tuple[Line, ...] = ()
    status: Status = Status.SUBMITTED
    receipt_confirmed: bool = True
    verified_by: tuple[PersonId, ...] = ()
    certified_by: tuple[PersonId, ...] = ()
    """Who signed off, or declined, what was verified."""
    rounds: int = 0
    open_query: bool = False
    assessments: tuple[int, ...] = ()

    @property
    def value(self) -> Money:
        """What is claimed, at the prices in force now."""
        return total(line.claimed.value for line in self.lines)

    def confirm_receipt(self, by: Actor) -> ClaimReceiptConfirmed:
        """Confirm the earlier day of receipt, as a second person."""
        if self.receipt_confirmed:
            raise ReceiptIsNotInDoubt
        if by.person == self.submitted_by:
            raise StaterMayNotConfirm
        return ClaimReceiptConfirmed()

    def query(self, by: Actor, question: Commitment, lines: tuple[int, ...] = ()) -> ClaimQueried:
        """Ask the claimant about the claim, or about some of its lines."""
        self.expect_undecided()
        self.expect_independent(by)
        self._expect_lines(lines)
        return ClaimQueried(question=question, lines=lines)

    def answer(self, by: Actor, answer: Commitment) -> ClaimAnswered:
        """Answer the query, for the claimant's party."""
        self.expect_undecided()
        if not self.open_query:
            raise NoQueryIsOpen
        self._expect_claimant(by)
        return ClaimAnswered(answer=answer)

    def withdraw(self, by: Actor, reason: Commitment) -> tuple[Event, ...]:
        """Take the claim back, for the claimant's party."""
        self.expect_undecided()
        self._expect_claimant(by)
        moved = [_moved(line.claimed, line.claimed.value) for line in self.lines]
        return (
            *(ClaimLinesWithdrawn(lines=chunk) for chunk in chunks(moved)),
            ClaimWithdrawn(reason=reason, value=self.value),
        )

    def expect_undecided(self) -> None:
        """Refuse unless the claim waits for its first verification."""
        if self.status is Status.WITHDRAWN:
            raise ClaimIsWithdrawn
        if self.status not in UNDECIDED:
            raise ClaimIsDecided

    def expect_independent(self, by: Actor) -> None:
        """Refuse whoever submitted the claim or is of the claimant's party (L1)."""
        if by.person == self.submitted_by or by.party == self.submitted.claimant:
            raise ClaimantMayNotDecide

    @property
    def awaiting(self) -> tuple[Line, ...]:
        """The lines of which something is accepted and not yet assessed or declined."""
        return tuple(line for line in self.lines if line.awaiting)

    @property
    def awaits(self) -> bool:
        """Whether there are such lines: looked for from the end, as lines are assessed in their order, chunk by chunk."""
        return any(line.awaiting for line in reversed(self.lines))

    def _expect_claimant(self, by: Actor) -> None:
        if by.party != self.submitted.claimant and by.person != self.submitted_by:
            raise NotTheClaimant

    def _expect_lines(self, lines: Iterable[int]) -> None:
        unknown = [Fault("lines", f"the claim has no line {line}") for line in lines if not 1 <= line <= len(self.lines)]
        if unknown:
            raise NoSuchLine(unknown)

    @classmethod
    def evolve(cls, state: "Claim | None", event: ClaimEvent, by: PersonId) -> "Claim":  # noqa: C901, PLR0911, PLR0912 (one case an event)
        """The claim after an event."""
        if isinstance(event, ClaimSubmitted):
            return cls(event, submitted_by=by, receipt_confirmed=event.backlog_reason is None)
        if state is None:
            raise LookupError(f"{event.type} before claim.submitted")
        match event:
            case ClaimLinesListed(lines=lines):
                return replace(state, lines=(*state.lines, *(Line(line) for line in lines)))
            case ClaimReceiptConfirmed():
                return replace(state, receipt_confirmed=True)
            case ClaimQueried():
                return replace(state, status=Status.QUERIED, open_query=True)
            case ClaimAnswered():
                return replace(state, status=Status.ANSWERED, open_query=False)
            case ClaimWithdrawn():
                return replace(state, status=Status.WITHDRAWN, open_query=False)
            case ClaimLinesWithdrawn() | ClaimLapsed():
                return state
            case ClaimLinesDecided(lines=decided):
                return _with_lines(state, {each.line: _decided(state.lines[each.line - 1], each) for each in decided})
            case ClaimVerified(round=rounds):
                status = Status.ASSESSED if state.assessments and not state.awaits else Status.VERIFIED
                return replace(state, status=status, rounds=rounds, verified_by=(*state.verified_by, by))
            case ClaimCertified():
                return replace(state, status=Status.CERTIFIED, certified_by=(*state.certified_by, by))
            case ClaimDeclined():
                return replace(state, status=Status.DECLINED, certified_by=(*state.certified_by, by))
            case ClaimLinesDeclined(lines=moved):
                return _with_lines(state, {each.line: _declined(state.lines[each.line - 1]) for each in moved})
            case ClaimLinesAssessed(assessment=number, lines=assessed):
                numbers = state.assessments if number in state.assessments else (*state.assessments, number)
                changed = {each.line: _assessed(state.lines[each.line - 1], number, each) for each in assessed}
                after = _with_lines(state, changed)
                return replace(after, status=state.status if after.awaits else Status.ASSESSED, assessments=numbers)
            case ClaimLinesReversed(assessment=number, lines=reversed_, clawed_back=clawed):
                numbers = state.assessments if number in state.assessments else (*state.assessments, number)
                less: dict[int, Line] = {}
                for each in reversed_:  # One clawback may take a line back twice: as it says, and as what needed another.
                    less[each.line] = _reversed(less.get(each.line, state.lines[each.line - 1]), number, each, clawed=clawed)
                return replace(_with_lines(state, less), assessments=numbers)
            case ClaimLinesRestated(lines=restated):
                return _with_lines(state, {each.line: _restated(state.lines[each.line - 1], each) for each in restated})


class NoSuchLine(Invalid):
    """The claim has no such line."""


def _with_lines(claim: Claim, changed: Mapping[int, Line]) -> Claim:
    lines = list(claim.lines)
    for number, line in changed.items():
        lines[number - 1] = line
    return replace(claim, lines=tuple(lines))


def _moved(line: ClaimLine, amount: Money) -> Moved:
    return Moved(line=line.line, outcome=line.outcome, achieved_on=line.achieved_on, amount=amount)


def _decided(line: Line, decided: DecidedLine) -> Line:
    return line._replace(
        accepted=line.accepted + decided.accepted,
        rejected=line.rejected + decided.rejected,
        deferred=decided.deferred,
        accepted_value=line.accepted_value + decided.accepted_value,
        rejected_value=line.rejected_value + decided.rejected_value,
        deferred_value=line.deferred_value + decided.deferred_value,
        awaiting=line.awaiting + decided.accepted,
        awaiting_value=line.awaiting_value + decided.accepted_value,
        decisions=(*line.decisions, decided),
    )


def _declined(line: Line) -> Line:
    return line._replace(
        awaiting=NONE,
        awaiting_value=NOTHING,
        declined=line.declined + line.awaiting,
        declined_value=line.declined_value + line.awaiting_value,
    )


def _assessed(line: Line, number: int, assessed: AssessedLine) -> Line:
    return line._replace(
        awaiting=line.awaiting - assessed.quantity,
        awaiting_value=line.awaiting_value - assessed.accepted,
        payable=line.payable + assessed.payable,
        assessed=line.assessed + assessed.assessed,
        curtailed=line.curtailed + assessed.curtailed,
        assessments=(*line.assessments, (number, assessed)),
    )


def _reversed(line: Line, number: int, taken: ReversedLine, *, clawed: bool) -> Line:
    after = line._replace(
        payable=line.payable - taken.payable,
        assessed=line.assessed - taken.reversed,
        curtailed=line.curtailed - (taken.worth - taken.reversed),
        assessments=(*line.assessments, (number, taken)),
    )
    if not clawed:
        return after._replace(awaiting=line.awaiting + taken.quantity, awaiting_value=line.awaiting_value + taken.worth)
    return after._replace(
        clawed_back=line.clawed_back + taken.quantity,
        accepted=line.accepted - taken.quantity,
        accepted_value=line.accepted_value - taken.worth,
        rejected=line.rejected + taken.quantity,
        rejected_value=line.rejected_value + taken.worth,
    )


def _restated(line: Line, by: RestatedLine) -> Line:
    return line._replace(
        claimed=line.claimed.model_copy(update={"value": line.claimed.value + by.claimed}),
        accepted_value=line.accepted_value + by.awaiting + by.declined,
        awaiting_value=line.awaiting_value + by.awaiting,
        declined_value=line.declined_value + by.declined,
        rejected_value=line.rejected_value + by.rejected,
        deferred_value=line.deferred_value + by.deferred,
    )


def declined_lines(claim: Claim) -> list[Moved]:
    """What declining the claim now moves, line by line."""
    return [_moved(line.claimed, line.awaiting_value) for line in claim.awaiting]


def claim_stream(award: str, claim: str) -> Stream[Claim]:
    """The stream of an award's claim."""
    return Stream(f"award/{canonical(award)}/claim/{canonical(claim)}", Claim)


# Commands -------------------------------------------------------------------------------------------------------------


def submit(facts: Facts, award: str, submission: Submission, *, by: Actor, today: date) -> Decision:
    """Submit a claim of up to 5,000 lines, all or nothing."""
    under = facts[award_stream(award)]
    under.expect_open()
    stream = claim_stream(award, submission.claim)
    if facts.get(stream):
        raise ClaimExists(claim=submission.claim)
    received_on = submission.backlog.received_on if submission.backlog else today
    claimant = submission.claimant or by.party
    _expect_in_time(under, submission, claimant, received_on, today)
    lines = tuple(_list_lines(facts, _Rates(under, today), submission, received_on))
    worth = total(line.value for line in lines)
    if worth > MOST:
        raise ClaimIsTooLarge(value=worth)
    backlog = facts.conceal(submission.backlog.reason, under.reference) if submission.backlog else None
    submitted = ClaimSubmitted(
        award=under.reference,
        claim=submission.claim,
        claimant=claimant,
        period=submission.period,
        received_on=received_on,
        on=today,
        backlog_reason=backlog,
        lines=len(lines),
        value=worth,
    )
    return {
        stream: (submitted, *(ClaimLinesListed(lines=chunk) for chunk in chunks(lines))),
        award_stream(award): (ClaimOpened(claim=submission.claim),),
    }


def withdraw(facts: Facts, award: str, claim: str, reason: str, *, by: Actor) -> Decision:
    """Take a claim back before it is verified."""
    stream = claim_stream(award, claim)
    withdrawn = facts[stream].withdraw(by, facts.conceal(reason, canonical(award)))
    return {stream: withdrawn, award_stream(award): (ClaimConcluded(claim=facts[stream].submitted.claim),)}


def query(facts: Facts, award: str, claim: str, question: str, lines: tuple[int, ...], *, by: Actor) -> Decision:
    """Ask the claimant about a claim."""
    stream = claim_stream(award, claim)
    return {stream: (facts[stream].query(by, facts.conceal(question, canonical(award)), lines),)}


def answer(facts: Facts, award: str, claim: str, text: str, *, by: Actor) -> Decision:
    """Answer the open query on a claim."""
    stream = claim_stream(award, claim)
    return {stream: (facts[stream].answer(by, facts.conceal(text, canonical(award))),)}


def _expect_in_time(award: Award, submission: Submission, claimant: str, received_on: date, today: date) -> None:
    if received_on > today:
        raise ReceivedInTheFuture(received_on=received_on)
    if submission.period.last < submission.period.first:
        raise PeriodEndsBeforeItBegins
    terms = award.agreement.on(received_on).terms
    if received_on > terms.claims_close_on:
        raise ClaimIsTooLate(received_on=received_on, claims_close_on=terms.claims_close_on)
    if not terms.may_claim(claimant):
        raise ClaimantIsNotProvider(claimant=claimant)


def _list_lines(facts: Facts, rates: "_Rates", submission: Submission, received_on: date) -> Iterator[ClaimLine]:
    award = rates.award.reference
    faults = [
        Fault(f"lines.{number}.{where}", what)
        for number, line in enumerate(submission.lines, 1)
        for where, what in _line_faults(rates, submission, line, received_on)
    ]
    if faults:
        raise LinesCannotBeClaimed(faults)
    facts.expect_participants(award, (line.participant for line in submission.lines if line.participant))
    for number, line in enumerate(submission.lines, 1):
        outcome = rates.outcome(line)
        yield _claim_line(
            line=number,
            outcome=outcome.code,
            participant=facts.pseudonym(award, line.participant) if line.participant else None,
            quantity=line.quantity,
            achieved_on=line.achieved_on,
            value=value(outcome.price, line.quantity, outcome.per),
            evidence=tuple(_kept_evidence(sha256=each.sha256, title=facts.conceal(each.title, award)) for each in line.evidence),
            note=facts.conceal(line.note, award) if line.note else None,
        )


@dataclass(frozen=True, slots=True)
class _Rates:
    """The rate card on any day, looked up once for each day and code."""

    award: Award
    today: date
    found: dict[tuple[date, str], tuple[Version, Outcome | None]] = field(default_factory=dict)

    def version(self, line: ClaimedLine) -> tuple[Version, Outcome | None]:
        key = line.achieved_on, line.outcome
        if key not in self.found:
            version = self.award.agreement.on(line.achieved_on)
            self.found[key] = version, version.terms.outcome(line.outcome)
        return self.found[key]

    def outcome(self, line: ClaimedLine) -> Outcome:
        outcome = self.version(line)[1]
        if outcome is None:
            raise LookupError(line.outcome)
        return outcome

    def names_participants(self, outcome: Outcome, line: ClaimedLine) -> bool:
        """Whether the line must name its participant (M5): prerequisites as on its day, limits as on the day of decision (M2)."""
        limits = self.award.agreement.outcome_limits(outcome.code, max(self.today, line.achieved_on))
        return bool(outcome.prerequisites or limits.max_per_participant)


def _line_faults(rates: _Rates, submission: Submission, line: ClaimedLine, received_on: date) -> Iterator[tuple[str, str]]:
    if line.achieved_on > received_on:
        yield "achieved_on", f"lies after the claim was received, {received_on}"
    elif line.achieved_on > submission.period.last:
        yield "achieved_on", f"lies after the claim's period, which ends on {submission.period.last}"
    try:
        version, outcome = rates.version(line)
    except Refused:
        yield "achieved_on", f"no agreed terms were in force on {line.achieved_on}"
        return
    window = version.terms.outcomes_window
    if line.achieved_on not in window:
        yield "achieved_on", f"lies outside the outcomes window, {window.first} to {window.last} (M2)"
    if outcome is None:
        yield "outcome", f"{line.outcome} is not on the rate card in force on {line.achieved_on}, version {version.number}"
        return
    if rates.names_participants(outcome, line) and not line.participant:
        yield "participant", f"{outcome.code} is limited by participant, so each line must name one (M5)"
    yield from _outcome_faults(outcome, line, received_on)


def _outcome_faults(outcome: Outcome, line: ClaimedLine, received_on: date) -> Iterator[tuple[str, str]]:
    if outcome.evidence_wanted and not line.evidence:
        yield "evidence", f"{outcome.code} wants evidence: {', '.join(outcome.evidence_wanted)}"
    if outcome.claimable_from and received_on < outcome.claimable_from:
        yield "outcome", f"{outcome.code} can be claimed from {outcome.claimable_from} on"
    if value(outcome.price, line.quantity, outcome.per) > MOST:
        yield "quantity", f"the line is worth more than £{Money(MOST)}"
