"""An other payment: a sum that is not for outcomes, such as an activity or grant payment, by two persons (M10).

It is split and allotted as assessments are, and counts against the limits of its financial year and of the award. As two persons
stated a sum, no limit cuts it: one that finds no room is refused.
"""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum
from typing import Literal

from pydantic import Field

from domain.aggregate import Actor, Commitment, Decision, Facts, PersonId, Stream, joined
from domain.assessment import Kind, Sheet, StatedAmount
from domain.award import Award, ProposalKind, award_stream
from domain.calendar import Day, financial_year
from domain.claim import Note, Sha256
from domain.event import Event
from domain.money import NOTHING, Money, PositiveAmount
from domain.obligation import Cause, Obligations, assessed, to_pay
from domain.payment import DateAhead
from domain.proposal import NamedProposal, opened, withdrawn
from domain.record import Record
from domain.reference import Reference, canonical
from domain.refusal import Absent, Fault, FourEyes, Refused


class PaymentType(StrEnum):
    """What an other payment is for."""

    ACTIVITY = "activity"
    GRANT = "grant"
    SERVICE_FEE = "service-fee"
    DEVELOPMENT_GRANT = "development-grant"


class OtherPaying(Record):
    """An other payment as it is proposed."""

    other_payment: Reference
    payment_type: PaymentType
    amount: PositiveAmount
    dated: Day = Field(description="Decides the financial year, the version of the terms, and its shares")
    reason: Note
    document_sha256: Sha256 | None = None


# Events ---------------------------------------------------------------------------------------------------------------


class OtherPaymentProposed(Event):
    """Somebody proposes to pay a sum otherwise than for outcomes; nothing moves until a second person agrees."""

    type: Literal["other-payment.proposed"] = "other-payment.proposed"
    award: Reference
    other_payment: Reference
    payment_type: PaymentType
    amount: Money
    dated: Day
    reason: Commitment
    document_sha256: str | None = None


class OtherPaymentWithdrawn(Event):
    """The other payment is withdrawn, or turned down; nothing is paid."""

    type: Literal["other-payment.withdrawn"] = "other-payment.withdrawn"
    reason: Commitment


class OtherPaymentAgreed(Event):
    """A second person agrees: the assessment of this number splits the sum and allots it, as it says."""

    type: Literal["other-payment.agreed"] = "other-payment.agreed"
    assessment: int
    on: Day
    dated: Day
    split: StatedAmount

    def takes_effect(self) -> date:
        """On the day of the decision."""
        return self.on


OtherPaymentEvent = OtherPaymentProposed | OtherPaymentWithdrawn | OtherPaymentAgreed


# Refusals -------------------------------------------------------------------------------------------------------------


class NoSuchOtherPayment(Absent):
    """The award has no other payment of this reference."""


class OtherPaymentExists(Refused):
    """The award has an other payment of this reference, without regard to case, already (L2)."""


class OtherPaymentIsConcluded(Refused):
    """The other payment was agreed or withdrawn before."""


class OtherPaymentOverLimit(Refused):
    """The sum is more than a limit leaves; an other payment is refused, never cut (M10)."""


class ProposerMayNotPay(FourEyes):
    """Whoever proposed the other payment may not agree it; a second person must (L1)."""


class BeneficiaryMayNotPay(FourEyes):
    """A person of a payee's party, or of one that claims under the award, may not agree an other payment (L1)."""


# The other payment ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class OtherPayment(NamedProposal[OtherPaymentProposed, OtherPaymentAgreed]):
    """An other payment, and what became of it."""

    missing = NoSuchOtherPayment
    not_waiting = OtherPaymentIsConcluded
    kind = ProposalKind.OTHER_PAYMENT

    @property
    def reference(self) -> str:
        """Its reference in its award."""
        return self.proposed.other_payment

    def withdraw(self, reason: Commitment) -> OtherPaymentWithdrawn:
        """Withdraw the other payment, or turn it down."""
        self.expect_proposed()
        return OtherPaymentWithdrawn(reason=reason)

    @classmethod
    def evolve(cls, state: "OtherPayment | None", event: OtherPaymentEvent, by: PersonId) -> "OtherPayment":
        """The other payment after an event."""
        if isinstance(event, OtherPaymentProposed):
            return cls(event, proposed_by=by)
        if state is None:
            raise LookupError(f"{event.type} before other-payment.proposed")
        match event:
            case OtherPaymentWithdrawn():
                return state.after_withdrawal()
            case OtherPaymentAgreed():
                return state.after_agreement(event, by)


def other_payment_stream(award: str, other_payment: str) -> Stream[OtherPayment]:
    """The stream of an award's other payment."""
    return Stream(f"award/{canonical(award)}/other-payment/{canonical(other_payment)}", OtherPayment)


# Commands -------------------------------------------------------------------------------------------------------------


def propose(facts: Facts, award: str, paying: OtherPaying, *, today: date) -> Decision:
    """Propose to pay a sum otherwise than for outcomes."""
    under = facts[award_stream(award)]
    under.expect_open()
    stream = other_payment_stream(award, paying.other_payment)
    if facts.get(stream):
        raise OtherPaymentExists(other_payment=paying.other_payment)
    if paying.dated > today:
        raise DateAhead(date=paying.dated, today=today)
    _sheet_with_room(under, paying.amount, paying.dated, today)
    proposed = OtherPaymentProposed(
        award=under.reference,
        other_payment=paying.other_payment,
        payment_type=paying.payment_type,
        amount=paying.amount,
        dated=paying.dated,
        reason=facts.conceal(paying.reason, under.reference),
        document_sha256=paying.document_sha256,
    )
    return opened(stream, award, proposed, ProposalKind.OTHER_PAYMENT, paying.other_payment)


def withdraw(facts: Facts, award: str, other_payment: str, reason: str) -> Decision:
    """Withdraw an other payment that waits for its second person, or turn it down."""
    return withdrawn(facts, award, other_payment_stream(award, other_payment), reason)


def agree(facts: Facts, award: str, other_payment: str, *, by: Actor, today: date) -> Decision:
    """Agree an other payment, as a second person: what payers are allotted of it falls due."""
    under, stream = facts[award_stream(award)], other_payment_stream(award, other_payment)
    found = facts[stream]
    found.expect_proposed()
    under.expect_open()
    if by.person == found.proposed_by:
        raise ProposerMayNotPay
    amount, dated = found.proposed.amount, found.proposed.dated
    if by.party in under.beneficiaries(dated, today):
        raise BeneficiaryMayNotPay
    sheet = _sheet_with_room(under, amount, dated, today)
    split = sheet.pay(amount, dated)
    year = financial_year(dated)
    owed = {between: {year: allotted} for between, allotted in to_pay(split.allotments, under, today)}
    event = assessed(under, sheet.standing(), owed, kind=Kind.OTHER_PAYMENT, curtailed=NOTHING, claim=None, today=today)
    agreed = OtherPaymentAgreed(assessment=event.assessment, on=today, dated=dated, split=split)
    cause = Cause(claim=None, claimed_by=found.proposed_by, verified_by=(by.person,))
    after = Award.evolve(under, event, by.person)
    due = Obligations(facts, after, event.assessment, today).settle(owed, cause)
    return joined({stream: (agreed,), award_stream(award): (found.concluded(), event)}, due)


def _sheet_with_room(award: Award, amount: Money, dated: date, today: date) -> Sheet:
    """A work sheet on which an amount finds room; refuse one that does not, listing every limit that it passes."""
    award.agreement.on(dated)  # The terms of its date split it: there must be some.
    sheet = Sheet(award.agreement, award.standing, today, {})
    year = financial_year(dated)
    over = [
        Fault(f"{name}.{year}" if name == "year_amount" else name, f"{left} is left, and {amount} would be paid")
        for name, left in sheet.room(year)
        if left < amount
    ]
    if over:
        raise OtherPaymentOverLimit(over)
    return sheet
