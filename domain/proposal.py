"""What one person proposes under an award and another agrees (L1): it waits, until it is agreed or withdrawn for good."""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, ClassVar, Generic, Self, TypeVar

from domain.aggregate import Aggregate, Commitment, Decision, Facts, PersonId, Stream
from domain.award import ProposalConcluded, ProposalKind, ProposalOpened, award_stream
from domain.event import Event
from domain.reference import canonical
from domain.refusal import Refused

Proposing = TypeVar("Proposing", bound=Event)
Agreeing = TypeVar("Agreeing", bound=Event)


class Status(StrEnum):
    """Where something stands that two persons have to agree on."""

    PROPOSED = "proposed"
    WITHDRAWN = "withdrawn"
    AGREED = "agreed"


@dataclass(frozen=True, slots=True)
class Proposal(Aggregate, Generic[Proposing, Agreeing]):
    """Something that was proposed, and what became of it. Subclasses say by which events."""

    not_waiting: ClassVar[type[Refused]]
    """The refusal of whoever wants to agree or withdraw it when that was done before."""

    proposed: Proposing
    proposed_by: PersonId
    status: Status = Status.PROPOSED
    agreed: Agreeing | None = None
    agreed_by: PersonId | None = None

    def expect_proposed(self) -> None:
        """Refuse unless it waits for a second person."""
        if self.status is not Status.PROPOSED:
            raise self.not_waiting(**self.told)

    @property
    def told(self) -> dict[str, Any]:
        """What a refusal says of it."""
        return {"status": self.status}

    def withdraw(self, reason: Commitment) -> Event:
        """Withdraw it, or turn it down; refuse unless it waits for a second person."""
        raise NotImplementedError

    def after_withdrawal(self) -> Self:
        """It, withdrawn or turned down."""
        return replace(self, status=Status.WITHDRAWN)

    def after_agreement(self, agreed: Agreeing, by: PersonId) -> Self:
        """It, agreed by a second person."""
        return replace(self, status=Status.AGREED, agreed=agreed, agreed_by=by)


class NamedProposal(Proposal[Proposing, Agreeing]):
    """One of several of its kind that an award may have, under a reference of its own; the award knows which ones wait."""

    __slots__ = ()

    kind: ClassVar[ProposalKind]

    @property
    def reference(self) -> str:
        """Its reference in its award."""
        raise NotImplementedError

    @property
    def told(self) -> dict[str, Any]:
        """What a refusal says of it."""
        return {self.kind.replace("-", "_"): self.reference, "status": self.status}

    def concluded(self) -> ProposalConcluded:
        """What the award is told when it waits no longer."""
        return ProposalConcluded(kind=self.kind, reference=self.reference)


def opened(stream: Stream[Any], award: str, proposed: Event, kind: ProposalKind, reference: str) -> Decision:
    """Propose something under an award, which is told that it waits."""
    return {stream: (proposed,), award_stream(award): (ProposalOpened(kind=kind, reference=reference),)}


def withdrawn(facts: Facts, award: str, stream: Stream[Any], reason: str) -> Decision:
    """Withdraw what waits for its second person under an award, or turn it down; the award is told."""
    found: NamedProposal[Any, Any] = facts[stream]
    return {stream: (found.withdraw(facts.conceal(reason, canonical(award))),), award_stream(award): (found.concluded(),)}
