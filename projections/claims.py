"""Claims: a row for each, with what became of its value so far (M4, M11)."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from domain.aggregate import PersonId
from domain.claim import (
    ClaimAnswered,
    ClaimCertified,
    ClaimDeclined,
    ClaimEvent,
    ClaimLapsed,
    ClaimLinesAssessed,
    ClaimLinesDecided,
    ClaimLinesDeclined,
    ClaimLinesListed,
    ClaimLinesRestated,
    ClaimLinesReversed,
    ClaimLinesWithdrawn,
    ClaimQueried,
    ClaimReceiptConfirmed,
    ClaimSubmitted,
    ClaimVerified,
    ClaimWithdrawn,
    Status,
)
from domain.money import NOTHING, Money, total
from domain.reference import canonical
from projections.models import ListingOfAward
from projections.projection import Happened, Projection, Row, moved, names_of, traced


@dataclass(frozen=True, kw_only=True)
class ClaimRow(Row):
    """A claim. `award` and `claim` are in capitals, `reference` is the claim's as it was given; amounts are values of lines."""

    award: str
    claim: str
    reference: str
    claimant: str
    period_first: date
    period_last: date
    received_on: date
    receipt_confirmed: bool
    submitted_on: date
    submitted_by: PersonId
    status: Status
    lines: int
    rounds: int = 0
    """How often somebody verified it."""
    claimed: Money
    accepted: Money = NOTHING
    rejected: Money = NOTHING
    deferred: Money = NOTHING
    declined: Money = NOTHING
    assessed: Money = NOTHING
    curtailed: Money = NOTHING
    awaits: bool = False
    """Whether something is accepted and neither assessed nor declined yet."""
    assessments: tuple[int, ...] = ()
    verified_by: tuple[PersonId, ...] = ()

    @property
    def undecided(self) -> Money:
        """What nobody has decided on yet; nothing of a claim that was withdrawn."""
        if self.status is Status.WITHDRAWN:
            return NOTHING
        return self.claimed - self.accepted - self.rejected - self.deferred

    @property
    def awaiting(self) -> Money:
        """What is accepted and neither assessed nor declined yet."""
        return self.accepted - self.declined - self.assessed - self.curtailed


class ClaimsProjection(Projection[ClaimRow]):
    """Folds the entries of claims' streams. Of lines it reads amounts only."""

    name: ClassVar[str] = "claims"
    version: ClassVar[int] = 2
    row = ClaimRow
    folds = names_of(ClaimEvent)
    indexes = (("award", "first"),)

    def become(  # noqa: C901, PLR0911, PLR0912 (a case for every event)
        self, before: ClaimRow | None, happened: Happened
    ) -> ClaimRow:
        """The claim after an entry."""
        event: ClaimEvent = happened.event
        if isinstance(event, ClaimSubmitted):
            return _submitted(event, happened)
        if before is None:
            raise LookupError(f"{event.type} before claim.submitted")
        match event:
            case ClaimLinesListed() | ClaimLinesWithdrawn():
                return moved(before, happened)
            case ClaimReceiptConfirmed():
                return moved(before, happened, receipt_confirmed=True)
            case ClaimQueried():
                return moved(before, happened, status=Status.QUERIED)
            case ClaimAnswered():
                return moved(before, happened, status=Status.ANSWERED)
            case ClaimWithdrawn():
                return moved(before, happened, status=Status.WITHDRAWN)
            case ClaimLinesDecided(lines=decided):
                return moved(before, happened, awaits=before.awaits or any(line.accepted for line in decided))
            case ClaimVerified():
                return _verified(before, event, happened)
            case ClaimCertified():
                return moved(before, happened, status=Status.CERTIFIED)
            case ClaimDeclined(value=value):
                return moved(before, happened, status=Status.DECLINED, declined=before.declined + value)
            case ClaimLinesDeclined():
                return moved(before, happened, awaits=False)
            case ClaimLinesAssessed():
                return _assessed(before, event, happened)
            case ClaimLinesReversed():
                return _reversed(before, event, happened)
            case ClaimLinesRestated():
                return _restated(before, event, happened)
            case ClaimLapsed(value=value):
                return moved(before, happened, rejected=before.rejected + value, deferred=before.deferred - value)


def _submitted(event: ClaimSubmitted, happened: Happened) -> ClaimRow:
    return ClaimRow(
        **traced(happened),
        award=canonical(event.award),
        claim=canonical(event.claim),
        reference=event.claim,
        claimant=event.claimant,
        period_first=event.period.first,
        period_last=event.period.last,
        received_on=event.received_on,
        receipt_confirmed=event.backlog_reason is None,
        submitted_on=event.on,
        submitted_by=happened.person,
        status=Status.SUBMITTED,
        lines=event.lines,
        claimed=event.value,
    )


def _verified(before: ClaimRow, event: ClaimVerified, happened: Happened) -> ClaimRow:
    return moved(
        before,
        happened,
        status=Status.ASSESSED if before.assessments and not before.awaits else Status.VERIFIED,
        rounds=event.round,
        verified_by=(*before.verified_by, happened.person),
        accepted=before.accepted + event.accepted,
        rejected=before.rejected + event.rejected,
        deferred=before.deferred + event.deferred,
    )


def _assessed(before: ClaimRow, event: ClaimLinesAssessed, happened: Happened) -> ClaimRow:
    assessed = total([line.assessed for line in event.lines])
    curtailed = total([limit.curtailed for line in event.lines for limit in line.limits])
    awaits = before.awaiting != assessed + curtailed
    return moved(
        before,
        happened,
        assessments=_numbered(before, event.assessment),
        assessed=before.assessed + assessed,
        curtailed=before.curtailed + curtailed,
        **({} if awaits else {"status": Status.ASSESSED, "awaits": False}),
    )


def _reversed(before: ClaimRow, event: ClaimLinesReversed, happened: Happened) -> ClaimRow:
    worth, taken = total(line.worth for line in event.lines), total(line.reversed for line in event.lines)
    clawed_back = worth if event.clawed_back else NOTHING
    return moved(
        before,
        happened,
        assessments=_numbered(before, event.assessment),
        accepted=before.accepted - clawed_back,
        rejected=before.rejected + clawed_back,
        assessed=before.assessed - taken,
        curtailed=before.curtailed - (worth - taken),
    )


def _restated(before: ClaimRow, event: ClaimLinesRestated, happened: Happened) -> ClaimRow:
    declined = total(line.declined for line in event.lines)
    return moved(
        before,
        happened,
        claimed=before.claimed + total(line.claimed for line in event.lines),
        accepted=before.accepted + total(line.awaiting for line in event.lines) + declined,
        declined=before.declined + declined,
        rejected=before.rejected + total(line.rejected for line in event.lines),
        deferred=before.deferred + total(line.deferred for line in event.lines),
    )


def _numbered(before: ClaimRow, assessment: int) -> tuple[int, ...]:
    return before.assessments if assessment in before.assessments else (*before.assessments, assessment)


class Claims(ListingOfAward[ClaimRow]):
    """What can be asked of claims."""
