"""A receivable: what a payee owes back to a payer because an assessment took more than it gave (M8).

It is netted off payments of that payer to the same payee under the same award, or recovered by invoice, or written off.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from domain.aggregate import Actor, Aggregate, Commitment, Decision, Facts, PersonId, Stream
from domain.award import ReceivableChanged, award_stream
from domain.calendar import Day, FinancialYear
from domain.event import Event
from domain.money import NOTHING, Money, total
from domain.payment import DateAhead, taken_off
from domain.reference import OrganisationId, Reference, canonical
from domain.refusal import Absent, FourEyes, Invalid, Refused
from domain.settlement import BankReference

# Events ---------------------------------------------------------------------------------------------------------------


class ReceivableOpened(Event):
    """An assessment took back more than it gave: the payee owes the payer the difference."""

    type: Literal["receivable.opened"] = "receivable.opened"
    award: Reference
    assessment: int
    payer: OrganisationId
    payee: OrganisationId
    amount: Money
    years: dict[FinancialYear, Money]
    on: Day

    def takes_effect(self) -> date:
        """On the day of the decision."""
        return self.on


class ReceivableNettedOff(Event):
    """A payment to the payee was lowered by the receivable, or by a part of it."""

    type: Literal["receivable.netted-off"] = "receivable.netted-off"
    payer: OrganisationId
    years: dict[FinancialYear, Money]
    on: Day
    against: int
    """The assessment by which the payment fell due."""

    @property
    def amount(self) -> Money:
        """What was netted off."""
        return total(self.years.values())

    def takes_effect(self) -> date:
        """On the day of the decision."""
        return self.on


class ReceivableRecovered(Event):
    """The payee paid back, on an invoice; `on` is the value date."""

    type: Literal["receivable.recovered"] = "receivable.recovered"
    payer: OrganisationId
    years: dict[FinancialYear, Money]
    on: Day
    reference: BankReference

    @property
    def amount(self) -> Money:
        """What came back."""
        return total(self.years.values())

    def takes_effect(self) -> date:
        """On the value date."""
        return self.on


class WriteOffProposed(Event):
    """Somebody proposes to give up what is open, by an authority that the reference names."""

    type: Literal["receivable.write-off-proposed"] = "receivable.write-off-proposed"
    authority: Reference
    reason: Commitment


class WriteOffWithdrawn(Event):
    """The proposal to write off is withdrawn, or turned down."""

    type: Literal["receivable.write-off-withdrawn"] = "receivable.write-off-withdrawn"


class ReceivableWrittenOff(Event):
    """A second person agrees: what was open is given up, and the payer's maximum gets no headroom back."""

    type: Literal["receivable.written-off"] = "receivable.written-off"
    payer: OrganisationId
    years: dict[FinancialYear, Money]
    on: Day
    authority: Reference | None = None
    """As it was proposed; what was written off before events named it has none."""

    @property
    def amount(self) -> Money:
        """What is given up."""
        return total(self.years.values())

    def takes_effect(self) -> date:
        """On the day of the decision."""
        return self.on


ReceivableEvent = (
    ReceivableOpened | ReceivableNettedOff | ReceivableRecovered | WriteOffProposed | WriteOffWithdrawn | ReceivableWrittenOff
)


# Refusals -------------------------------------------------------------------------------------------------------------


class NoSuchReceivable(Absent):
    """No assessment of this number left this payee owing this payer anything."""


class NothingIsOpen(Refused):
    """Nothing of the receivable is open: it was netted off, recovered or written off."""


class MoreThanIsOpen(Invalid):
    """This is more than is open of the receivable."""


class RecoveredBeforeOpened(Invalid):
    """The value date lies before the receivable was opened."""


class ReceiptIsRecorded(Refused):
    """A recovery by this bank reference has been recorded for this receivable already (L2)."""


class WriteOffIsProposed(Refused):
    """A write-off is proposed already; agree it or withdraw it."""


class NoWriteOffIsProposed(Refused):
    """No write-off is proposed."""


class ProposerMayNotWriteOff(FourEyes):
    """Whoever proposed the write-off may not agree it; a second person must (L1)."""


# The receivable -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class WriteOff:
    """A proposal to give up what is open, and who agreed it."""

    authority: str
    reason: Commitment
    proposed_by: PersonId
    agreed_by: PersonId | None = None


@dataclass(frozen=True, slots=True)
class Receivable(Aggregate):
    """What a payee owes back. Amounts in pence; `years` has what is open, by the year of achievement."""

    missing = NoSuchReceivable

    opened: ReceivableOpened
    years: Mapping[FinancialYear, Money]
    netted_off: Money = NOTHING
    recovered: Money = NOTHING
    written_off: Money = NOTHING
    proposal: WriteOff | None = None
    given_up: WriteOff | None = None
    """By what authority it was written off, and by whom."""
    receipts: frozenset[str] = frozenset()
    """The bank references by which the payee paid back."""

    @property
    def open(self) -> Money:
        """What is still owed."""
        return total(self.years.values())

    def net_off(self, amount: Money, *, against: int, today: date) -> ReceivableNettedOff:
        """Net an amount off a payment that an assessment made due."""
        return ReceivableNettedOff(payer=self.opened.payer, years=self._of(amount), on=today, against=against)

    def recover(self, amount: Money, reference: str, *, value_date: date, today: date) -> ReceivableRecovered:
        """Record that the payee paid an amount back."""
        self._expect_open()
        if canonical(reference) in self.receipts:
            raise ReceiptIsRecorded(reference=reference)
        if amount > self.open:
            raise MoreThanIsOpen(amount=amount, open=self.open)
        if value_date > today:
            raise DateAhead(date=value_date, today=today)
        if value_date < self.opened.on:
            raise RecoveredBeforeOpened(value_date=value_date, opened_on=self.opened.on)
        return ReceivableRecovered(payer=self.opened.payer, years=self._of(amount), on=value_date, reference=reference)

    def propose_write_off(self, authority: str, reason: Commitment) -> WriteOffProposed:
        """Propose to give up what is open."""
        self._expect_open()
        if self.proposal:
            raise WriteOffIsProposed(authority=self.proposal.authority)
        return WriteOffProposed(authority=authority, reason=reason)

    def withdraw_write_off(self) -> WriteOffWithdrawn:
        """Withdraw the proposal, or turn it down."""
        self._expect_proposal()
        return WriteOffWithdrawn()

    def write_off(self, by: Actor, *, today: date) -> ReceivableWrittenOff:
        """Give up what is open, as a second person."""
        proposal = self._expect_proposal()
        self._expect_open()
        if by.person == proposal.proposed_by:
            raise ProposerMayNotWriteOff
        return ReceivableWrittenOff(payer=self.opened.payer, years=dict(self.years), on=today, authority=proposal.authority)

    def _of(self, amount: Money) -> dict[FinancialYear, Money]:
        return dict(self.years) if amount == self.open else dict(taken_off(self.years, amount))

    def _expect_open(self) -> None:
        if not self.open:
            raise NothingIsOpen

    def _expect_proposal(self) -> WriteOff:
        if self.proposal is None:
            raise NoWriteOffIsProposed
        return self.proposal

    @classmethod
    def evolve(cls, state: "Receivable | None", event: ReceivableEvent, by: PersonId) -> "Receivable":
        """The receivable after an event."""
        if isinstance(event, ReceivableOpened):
            return cls(event, event.years)
        if state is None:
            raise LookupError(f"{event.type} before receivable.opened")
        match event:
            case ReceivableNettedOff():
                return replace(_less(state, event.years), netted_off=state.netted_off + event.amount)
            case ReceivableRecovered(reference=reference):
                receipts = state.receipts | {canonical(reference)}
                return replace(_less(state, event.years), recovered=state.recovered + event.amount, receipts=receipts)
            case WriteOffProposed(authority=authority, reason=reason):
                return replace(state, proposal=WriteOff(authority, reason, proposed_by=by))
            case WriteOffWithdrawn():
                return replace(state, proposal=None)
            case ReceivableWrittenOff():
                given_up = replace(state.proposal, agreed_by=by) if state.proposal else None
                left = _less(state, event.years)
                return replace(left, written_off=state.written_off + event.amount, proposal=None, given_up=given_up)


def _less(receivable: Receivable, years: Mapping[FinancialYear, Money]) -> Receivable:
    """The receivable with less open; whatever is open of no year is no longer named."""
    left = {year: amount - years.get(year, NOTHING) for year, amount in receivable.years.items()}
    return replace(receivable, years={year: amount for year, amount in left.items() if amount})


def receivable_stream(award: str, assessment: int, payer: str, payee: str) -> Stream[Receivable]:
    """The stream of what a payee owes a payer by an assessment of an award."""
    name = f"award/{canonical(award)}/assessment/{assessment}/receivable/{canonical(payer)}/{canonical(payee)}"
    return Stream(name, Receivable)


# Commands -------------------------------------------------------------------------------------------------------------


def recover(
    facts: Facts, receivable: Stream[Receivable], amount: Money, reference: str, *, value_date: date, today: date
) -> Decision:
    """Record that the payee paid an amount back on an invoice; the payer's maximum gets it back as headroom."""
    owed = facts[receivable]
    recovered = owed.recover(amount, reference, value_date=value_date, today=today)
    return {receivable: (recovered,), award_stream(owed.opened.award): (changed(owed, amount, headroom=amount),)}


def propose_write_off(facts: Facts, receivable: Stream[Receivable], authority: str, reason: str) -> Decision:
    """Propose to write off what is open, for a reason in words, which go into the vault (L5)."""
    owed = facts[receivable]
    return {receivable: (owed.propose_write_off(authority, facts.conceal(reason, owed.opened.award)),)}


def write_off(facts: Facts, receivable: Stream[Receivable], *, by: Actor, today: date) -> Decision:
    """Agree a write-off, as a second person; it gives no headroom back."""
    owed = facts[receivable]
    written = owed.write_off(by, today=today)
    return {receivable: (written,), award_stream(owed.opened.award): (changed(owed, written.amount, headroom=NOTHING),)}


def changed(receivable: Receivable, amount: Money, *, headroom: Money) -> ReceivableChanged:
    """What the award keeps of a receivable that an amount is taken off."""
    opened = receivable.opened
    return ReceivableChanged(
        assessment=opened.assessment,
        payer=opened.payer,
        payee=opened.payee,
        open=receivable.open - amount,
        headroom=headroom,
    )
