"""Awards: a row for each, with how far its life and its assessments have come."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar, NamedTuple

from domain.aggregate import PersonId
from domain.award import (
    AwardAgreed,
    AwardAssessed,
    AwardClosedToClaims,
    AwardCompleted,
    AwardEvent,
    AwardPaused,
    AwardRegistered,
    AwardReopened,
    AwardResumed,
    ClaimConcluded,
    ClaimOpened,
    ProposalConcluded,
    ProposalOpened,
    ReceivableChanged,
    Status,
    StepProposed,
    StepWithdrawn,
    TermsAgreed,
    TermsProposed,
)
from domain.money import NOTHING, Money
from domain.reference import canonical
from projections.models import Listing
from projections.projection import Happened, Page, Projection, Row, moved, names_of, traced


class Version(NamedTuple):
    """What a list shows of one version of the terms."""

    number: int
    effective_from: date
    award_amount: Money
    claims_close_on: date
    lead_commissioner: str | None
    illustrative: bool
    agreed: bool = False


@dataclass(frozen=True, kw_only=True)
class AwardRow(Row):
    """An award. `award` is its reference in capitals, `reference` as it was given."""

    award: str
    reference: str
    title: str
    status: Status
    registered_by: PersonId
    registered_at: datetime
    agreed_by: PersonId | None = None
    versions: tuple[Version, ...] = ()
    claims: int = 0
    open_claims: int = 0
    assessments: int = 0
    assessed: Money = NOTHING
    curtailed: Money = NOTHING
    unfunded: Money = NOTHING

    @property
    def terms(self) -> Version | None:
        """The version agreed last by number, or the first one while none is agreed; none as of the entry that registered it."""
        return next((version for version in reversed(self.versions) if version.agreed), next(iter(self.versions), None))


class AwardsProjection(Projection[AwardRow]):
    """Folds the entries of awards' own streams."""

    name: ClassVar[str] = "awards"
    version: ClassVar[int] = 1
    row = AwardRow
    folds = names_of(AwardEvent)
    indexes = (("award",),)

    def become(self, before: AwardRow | None, happened: Happened) -> AwardRow:  # noqa: C901, PLR0911, PLR0912 (a case for every event)
        """The award after an entry."""
        event: AwardEvent = happened.event
        if isinstance(event, AwardRegistered):
            return AwardRow(
                **traced(happened),
                award=canonical(event.reference),
                reference=event.reference,
                title=event.title,
                status=Status.REGISTERED,
                registered_by=happened.person,
                registered_at=happened.recorded_at,
            )
        if before is None:
            raise LookupError(f"{event.type} before award.registered")
        match event:
            case TermsProposed():
                return moved(before, happened, versions=(*before.versions, _version(event)))
            case AwardAgreed():
                versions = _agreed(before.versions, 1)
                return moved(before, happened, status=Status.ACTIVE, agreed_by=happened.person, versions=versions)
            case TermsAgreed(version=number):
                return moved(before, happened, versions=_agreed(before.versions, number))
            case ClaimOpened():
                return moved(before, happened, claims=before.claims + 1, open_claims=before.open_claims + 1)
            case ClaimConcluded():
                return moved(before, happened, open_claims=max(before.open_claims - 1, 0))
            case AwardAssessed():
                return moved(
                    before,
                    happened,
                    assessments=event.assessment,
                    assessed=before.assessed + event.assessed,
                    curtailed=before.curtailed + event.curtailed,
                    unfunded=before.unfunded + event.unfunded,
                )
            case ReceivableChanged() | ProposalOpened() | ProposalConcluded() | StepProposed() | StepWithdrawn():
                return moved(before, happened)
            case AwardPaused():
                return moved(before, happened, status=Status.PAUSED)
            case AwardResumed() | AwardReopened():
                return moved(before, happened, status=Status.ACTIVE)
            case AwardCompleted():
                return moved(before, happened, status=Status.COMPLETED)
            case AwardClosedToClaims():
                return moved(before, happened, status=Status.CLOSED_TO_CLAIMS)


def _version(event: TermsProposed) -> Version:
    terms = event.terms
    return Version(
        event.version,
        terms.effective_from,
        terms.award_amount,
        terms.claims_close_on,
        terms.lead_commissioner,
        terms.illustrative,
    )


def _agreed(versions: tuple[Version, ...], number: int) -> tuple[Version, ...]:
    return tuple(each._replace(agreed=True) if each.number == number else each for each in versions)


class Awards(Listing[AwardRow]):
    """What can be asked of all awards."""

    def page(
        self,
        after: str | None = None,
        limit: int = 100,
        only: Collection[str] | None = None,
        *,
        as_of: int | None = None,
        effective_on: date | None = None,
    ) -> Page[AwardRow]:
        """Awards in order of registration; `only` those of these references."""
        awards = None if only is None else {canonical(each) for each in only}
        return self._page({"award": awards}, after, limit, as_of, effective_on)
