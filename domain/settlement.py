"""A settlement: one movement of money that the bank reports on a paying account. Its reference is spent once per account (L2)."""

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from domain.aggregate import Aggregate, PersonId, Stream
from domain.calendar import Day
from domain.event import Event
from domain.money import Money
from domain.reference import OrganisationId, Reference, canonical
from domain.refusal import Absent, Refused

BankReference = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", examples=["BACS-20211105-0042"])]
"""A bank's own reference. Not a `Reference`: ten digits are usual here, and are nobody's NHS number."""


class SettlementRecorded(Event):
    """The bank moved an amount from a payer's account to one payee, for payments of one run."""

    type: Literal["settlement.recorded"] = "settlement.recorded"
    payer: OrganisationId
    account: Reference
    bank_reference: BankReference
    run: Reference
    amount: Money
    value_date: Day

    def takes_effect(self) -> date:
        """On the bank's value date."""
        return self.value_date


SettlementEvent = SettlementRecorded


class NoSuchSettlement(Absent):
    """The bank has reported no settlement of this reference on this account."""


class BankReferenceIsSpent(Refused):
    """A settlement with this bank reference has been recorded for this account already."""


@dataclass(frozen=True, slots=True)
class Settlement(Aggregate):
    """One movement of money, as the bank reported it."""

    missing = NoSuchSettlement

    run: str
    amount: Money
    value_date: date

    @classmethod
    def evolve(cls, state: "Settlement | None", event: SettlementEvent, by: PersonId) -> "Settlement":  # noqa: ARG003 (whoever)
        """The settlement as it was recorded; nothing happens to it later."""
        return cls(event.run, event.amount, event.value_date)


def settlement_stream(payer: str, account: str, bank_reference: str) -> Stream[Settlement]:
    """The stream on which the uniqueness of a bank reference rides."""
    return Stream(f"account/{canonical(payer)}/{canonical(account)}/settlement/{canonical(bank_reference)}", Settlement)
