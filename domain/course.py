"""The course of a claimed line: who decided what of it, when and for which reason, and what stands assessed of it in the end.

It answers what no assessment can: why nothing follows for what was rejected, deferred, declined or withdrawn, or still waits.
What an assessment did is told in one step; `domain.explanation` explains it by itself.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Protocol, TypeVar

from domain.aggregate import Actor
from domain.assessment import AssessedLine, ReversedLine
from domain.claim import (
    UNDECIDED,
    Claim,
    ClaimAnswered,
    ClaimCertified,
    ClaimDeclined,
    ClaimLine,
    ClaimLinesAssessed,
    ClaimLinesDecided,
    ClaimLinesDeclined,
    ClaimLinesListed,
    ClaimLinesRestated,
    ClaimLinesReversed,
    ClaimQueried,
    ClaimReceiptConfirmed,
    ClaimWithdrawn,
    DecidedLine,
    Line,
    ReasonCode,
    RestatedLine,
    Status,
)
from domain.event import Event
from domain.explanation import Explanation, Step
from domain.money import NONE, NOTHING, Money, Quantity, value
from domain.terms import Version
from domain.wording import day, listed, pounds, quoted, valued


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happened to a claim, with who did it, and the day on which it was recorded."""

    event: Event
    by: Actor
    on: date


class _Numbered(Protocol):
    @property
    def line(self) -> int: ...


R = TypeVar("R", bound=_Numbered)


def trace(claim: Claim, number: int, priced: Version, acts: Iterable[Act]) -> Explanation:
    """Why what stands assessed of a line of a claim is what it is, which may be nothing.

    `priced` is the version of the terms by which the line was priced when it was submitted, `acts` is all that made the claim.
    """
    course = _Course(claim, claim.lines[number - 1], priced)
    steps = tuple(step for act in acts for step in course.of(act))
    return Explanation(amount=course.stands, version=course.version, steps=(*steps, *course.ends()))


class _Course:
    """A line on its way through the acts, in their order."""

    def __init__(self, claim: Claim, line: Line, priced: Version) -> None:
        self.claim, self.line, self.priced = claim, line, priced
        self.number, self.version = line.claimed.line, priced.number
        self.worth = self.stands = NOTHING
        self.waits = self.asked = False
        self.declined: Money | None = None
        """What of the line was declined by the act that is being recorded."""
        self.why_declined: ReasonCode | None = None

    def of(self, act: Act) -> Iterator[Step]:  # noqa: C901, PLR0912 (one case an event)
        """What an act meant for the line."""
        who, on = _who(act.by), day(act.on)
        match act.event:
            case ClaimLinesListed(lines=lines):
                yield from (self._submitted(each, who, on) for each in self._own(lines))
            case ClaimReceiptConfirmed():
                received = day(self.claim.submitted.received_on)
                yield Step(rule="M2", says=f"{who} confirmed on {on} that the claim was received on {received}.")
            case ClaimQueried(lines=about) if not about or self.number in about:
                self.asked = True
                yield Step(rule="M4", says=f"{who} asked the claimant about it on {on}: until the answer nothing is decided.")
            case ClaimAnswered() if self.asked:
                self.asked = False
                yield Step(rule="M4", says=f"{who} answered on {on}.")
            case ClaimWithdrawn():
                yield Step(rule="M4", says=f"{who} withdrew the claim on {on}: nothing of it is decided any more.")
            case ClaimLinesDecided(lines=lines):
                yield from (self._decided(each, who, on) for each in self._own(lines))
            case ClaimCertified() if self.waits:
                yield Step(rule="M4", says=f"{who} certified on {on} what was accepted.")
            case ClaimLinesDeclined(lines=lines):
                self.declined = next((each.amount for each in self._own(lines)), None)
            case ClaimDeclined(reason=reason) if self.declined is not None:
                yield self._declined(self.declined, reason, who, on)
            case ClaimLinesRestated(lines=lines):
                yield from (self._restated(each) for each in self._own(lines))
            case ClaimLinesAssessed(assessment=assessment, lines=lines):
                yield from (self._assessed(each, assessment, on) for each in self._own(lines))
            case ClaimLinesReversed(assessment=assessment, lines=lines, clawed_back=clawed):
                yield from (self._reversed(each, assessment, f"{who} on {on}", clawed=clawed) for each in self._own(lines))
            case _:  # It says nothing of this line, or what the decisions on it say as well.
                return

    def _own(self, lines: Iterable[R]) -> Iterator[R]:
        return (each for each in lines if each.line == self.number)

    # What was claimed, and what is decided (M3, M4) ---------------------------------------------------------------------

    def _submitted(self, line: ClaimLine, who: str, on: str) -> Step:
        submitted, outcome = self.claim.submitted, self.priced.terms.outcome(line.outcome)
        if outcome is None:
            raise LookupError(line.outcome)
        self.worth = value(outcome.price, line.quantity, outcome.per)
        received = f", received on {day(submitted.received_on)}" if submitted.received_on != submitted.on else ""
        says = (
            f"{who} submitted claim {submitted.claim} of {submitted.claimant} on {on}{received}. Its line {self.number} claims"
            f" {line.quantity} of {line.outcome}, achieved on {day(line.achieved_on)}, by version {self.version} of the terms at"
            f" {quoted(outcome.price, outcome.per)}: {valued(outcome.price, line.quantity, outcome.per)}."
        )
        return Step(rule="M3", says=says, amount=self.worth)

    def _decided(self, decided: DecidedLine, who: str, on: str) -> Step:
        because = f" as {decided.reason}" if decided.reason else ""
        parts = [
            f"{quantity} {became}"
            for quantity, became in (
                (decided.accepted, f"accepted ({pounds(decided.accepted_value)})"),
                (decided.rejected, f"rejected{because} ({pounds(decided.rejected_value)})"),
                (decided.deferred, f"deferred{'' if decided.rejected else because}"),
            )
            if quantity
        ]
        self.waits = self.waits or bool(decided.accepted)
        lapsed = f"{who} closed the award to claims on {on}, so that what had been deferred lapsed"
        decision = lapsed if decided.reason is ReasonCode.LAPSED else f"{who} decided on it on {on}"
        amount = decided.accepted_value if decided.accepted else decided.rejected_value if decided.rejected else None
        return Step(rule="M4", says=f"{decision}: {listed(parts)}{_together(decided)}.", amount=amount)

    def _declined(self, amount: Money, reason: ReasonCode, who: str, on: str) -> Step:
        self.declined, self.why_declined, self.waits = None, reason, False
        return Step(
            rule="M4",
            says=f"{who} declined what was accepted on {on}, as {reason}: {pounds(amount)}, none of it payable.",
            amount=amount,
        )

    def _restated(self, line: RestatedLine) -> Step:
        before, self.worth, self.version = self.worth, Money(self.worth + line.claimed), line.version
        says = (
            f"Version {line.version} of the terms, agreed later, is now in force on the day of the achievement, at"
            f" {quoted(line.price, line.per)}. What was claimed changes by {pounds(line.claimed)}:"
            f" {pounds(before)} + {pounds(line.claimed)} = {pounds(self.worth)}."
        )
        return Step(rule="M9", says=says, amount=self.worth)

    # What assessments made of it (M5 to M9) -----------------------------------------------------------------------------

    def _assessed(self, line: AssessedLine, assessment: int, on: str) -> Step:
        before, self.stands, self.waits = self.stands, Money(self.stands + line.assessed), False
        cut = f", {pounds(line.curtailed)} less by limits," if line.curtailed else ""
        says = (
            f"Assessment {assessment}, of {on}, assessed {line.quantity} of it at {pounds(line.assessed)}{cut} and explains that"
        )
        return Step(
            rule="M11",
            says=f"{says}: {pounds(before)} + {pounds(line.assessed)} = {pounds(self.stands)} stands.",
            amount=self.stands,
        )

    def _reversed(self, line: ReversedLine, assessment: int, by: str, *, clawed: bool) -> Step:
        before, self.stands = self.stands, Money(self.stands - line.reversed)
        why = "for good" if clawed else "in order to assess it anew"
        says = f"Assessment {assessment}, by {by}, took {pounds(line.reversed)} back of {line.quantity}, {why}, and explains that"
        return Step(
            rule="M8",
            says=f"{says}: {pounds(before)} − {pounds(line.reversed)} = {pounds(self.stands)} stands.",
            amount=self.stands,
        )

    # What follows ---------------------------------------------------------------------------------------------------------

    def ends(self) -> Iterator[Step]:
        """What became of all that was claimed, and the amount that follows."""
        line = self.line
        if line.decisions:
            counts = " What was clawed back counts as rejected." if line.clawed_back else ""
            values = (line.accepted_value, line.rejected_value, line.deferred_value)
            accepted, rejected, deferred = map(pounds, values)
            yield Step(
                rule="M4",
                says=f"In all {accepted} of it is accepted, {rejected} rejected and {deferred} deferred, which is all that was"
                f" claimed: {accepted} + {rejected} + {deferred} = {pounds(self.worth)}.{counts}",
                amount=self.worth,
            )
        follows = (
            f"{pounds(self.stands)} stands assessed of" if line.assessments else f"no amount follows, {pounds(self.stands)}, for"
        )
        rest = list(self._rest())
        why = f": {listed(rest)}" if rest else ""
        yield Step(rule="M11", says=f"So {follows} line {self.number}{why}.", amount=self.stands)

    def _rest(self) -> Iterator[str]:
        """Why nothing is assessed of what is not."""
        claim, line = self.claim, self.line
        if claim.status is Status.WITHDRAWN:
            yield "the claim was withdrawn before anybody decided on it"
        elif claim.status in UNDECIDED:
            yield f"nobody has decided on it yet{self._hindered()}"
        if line.awaiting:
            yield f"{line.awaiting} of it is accepted and awaits the commissioner's certification"
        if line.deferred:
            yield f"{line.deferred} of it is deferred, and may be decided later"
        if line.declined:
            yield f"{line.declined} of it was accepted and then declined as {self.why_declined}"
        if rejected := Quantity(line.rejected - line.clawed_back):
            reasons = dict.fromkeys(each.reason for each in line.decisions if each.rejected and each.reason)
            yield f"{rejected} of it was rejected as {listed(reasons)}"
        if line.clawed_back:
            yield f"{line.clawed_back} of it was clawed back"

    def _hindered(self) -> str:
        if not self.claim.receipt_confirmed:
            return ", as its day of receipt is to be confirmed first"
        return ", as a question waits for its answer" if self.claim.open_query else ""


def _together(decided: DecidedLine) -> str:
    """That the decided quantities are all that was open, where there are several."""
    parts: Sequence[Quantity] = [each for each in (decided.accepted, decided.rejected, decided.deferred) if each]
    if len(parts) == 1:
        return ""
    return f"; {' + '.join(map(str, parts))} = {Quantity(sum(parts, NONE))}, which is all that was open"


def _who(by: Actor) -> str:
    return f"{by.person} of {by.party}"
