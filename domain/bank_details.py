"""A payee's bank details: where its money goes, proposed by one person and agreed by another (L1).

The details stand in the vault, and the log holds commitments to them (L5). Nobody is shown more than their end, so agreeing means
giving them again, from a copy of one's own: a wrong digit is found by a second pair of eyes, which dots would hide. Sets are
numbered, and a number never means other details: a payment's approval names the one that it was given for, and a run keeps the
one that it was drawn up with.
"""

import json
import re
from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, StringConstraints

from domain.aggregate import Actor, Aggregate, Commitment, Decision, Facts, PersonId, Stream
from domain.event import Event
from domain.party import party_stream
from domain.record import Record
from domain.reference import OrganisationId, canonical
from domain.refusal import Absent, FourEyes, Invalid, Refused

LONGEST_NAME: Final = 70
"""The most characters of an account's name, as of the bodies that check it with the bank; BACS itself carries 18."""
SHOWN_DIGITS: Final = 4
"""How many of an account number's eight digits are shown."""
_SEPARATED: Final = re.compile(r"([0-9]{2})[- ]([0-9]{2})[- ]([0-9]{2})", re.ASCII)

# The details ----------------------------------------------------------------------------------------------------------


def _bare(code: object) -> object:
    """A sort code without what people write between its pairs."""
    found = _SEPARATED.fullmatch(code) if isinstance(code, str) else None
    return "".join(found.groups()) if found else code


def _printable(name: str) -> str:
    if not name.isprintable():
        raise ValueError("must hold printable characters only")
    if not name[0].isalnum():
        raise ValueError("must begin with a letter or a digit")
    return name


class Account(Record):
    """A UK bank account. What it says is never printed, logged or quoted."""

    model_config = ConfigDict(hide_input_in_errors=True)

    sort_code: Annotated[str, BeforeValidator(_bare), StringConstraints(pattern=r"^[0-9]{6}$")] = Field(
        repr=False, examples=["20-00-00"], description="Six digits, as pairs if you like"
    )
    account_number: Annotated[str, StringConstraints(pattern=r"^[0-9]{8}$")] = Field(
        repr=False, examples=["55779911"], description="Eight digits; a bank says with which noughts shorter ones begin"
    )
    account_name: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=LONGEST_NAME), AfterValidator(_printable)
    ] = Field(
        repr=False, examples=["Kirklees Better Outcomes"], description="As the bank has it; BACS cuts it after 18 characters"
    )

    @property
    def written(self) -> str:
        """The details as the vault keeps them."""
        return json.dumps([self.sort_code, self.account_number, self.account_name], separators=(",", ":"))

    @classmethod
    def read(cls, written: str) -> "Account":
        """The details that the vault kept."""
        sort_code, account_number, account_name = json.loads(written)
        return cls(sort_code=sort_code, account_number=account_number, account_name=account_name)

    @property
    def masked_sort_code(self) -> str:
        """The sort code as it is shown: not at all."""
        return "••-••-••"

    @property
    def masked_account_number(self) -> str:
        """The account number as it is shown: its end."""
        return "•" * (len(self.account_number) - SHOWN_DIGITS) + self.account_number[-SHOWN_DIGITS:]

    def is_the_same_as(self, other: "Account") -> bool:
        """Whether both say the same; names may differ in capitals and blanks."""
        return (self.sort_code, self.account_number, _loosely(self.account_name)) == (
            other.sort_code,
            other.account_number,
            _loosely(other.account_name),
        )


def _loosely(name: str) -> str:
    return " ".join(name.casefold().split())


# Events ---------------------------------------------------------------------------------------------------------------


class BankDetailsProposed(Event):
    """Somebody says where a payee's money should go; nothing goes there until a second person agrees."""

    type: Literal["bank-details.proposed"] = "bank-details.proposed"
    party: OrganisationId
    number: int
    details: Commitment


class BankDetailsAgreed(Event):
    """A second person gave the same details: from now on the payee's money goes there."""

    type: Literal["bank-details.agreed"] = "bank-details.agreed"
    number: int


class BankDetailsWithdrawn(Event):
    """The details that waited are withdrawn, or turned down; those agreed before stand."""

    type: Literal["bank-details.withdrawn"] = "bank-details.withdrawn"
    number: int
    reason: Commitment


BankDetailsEvent = BankDetailsProposed | BankDetailsAgreed | BankDetailsWithdrawn


# Refusals -------------------------------------------------------------------------------------------------------------


class NoSuchBankDetails(Absent):
    """Nobody has proposed bank details of this party."""


class BankDetailsWait(Refused):
    """Bank details of this party wait for a second person; have them agreed or withdrawn first."""


class NoBankDetailsWait(Refused):
    """No bank details of this party wait for a second person."""


class BankDetailsDiffer(Invalid):
    """These are not the bank details that were proposed. Compare both with what the payee says."""


class BankDetailsAreErased(Refused):
    """The bank details that were proposed have been erased, so nobody can agree them; withdraw them and propose anew."""


class PayeeHasNoBankDetails(Refused):
    """The payee has no agreed bank details, so there is no account to which its money could go."""


class BankDetailsChanged(Refused):
    """The payee's bank details changed after the payment was approved; have it approved again, for those of now."""


class ProposerMayNotAgreeDetails(FourEyes):
    """Whoever proposed the bank details may not agree them; a second person must (L1)."""


# The bank details of a party ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Numbered:
    """One set of details: its number in its party's, and who gave it."""

    number: int
    details: Commitment
    proposed_by: PersonId
    agreed_by: PersonId | None = None


@dataclass(frozen=True, slots=True)
class BankDetails(Aggregate):
    """Where a party's money goes: the set that was agreed last, and the one that waits. `last` is the last number given."""

    missing = NoSuchBankDetails

    party: str
    last: int
    agreed: Numbered | None = None
    waiting: Numbered | None = None

    def expect_waiting(self) -> Numbered:
        """Refuse unless details wait for a second person; those."""
        if self.waiting is None:
            raise NoBankDetailsWait(party=self.party)
        return self.waiting

    @classmethod
    def evolve(cls, state: "BankDetails | None", event: BankDetailsEvent, by: PersonId) -> "BankDetails":
        """The details after an event."""
        if isinstance(event, BankDetailsProposed):
            waiting = Numbered(event.number, event.details, proposed_by=by)
            return cls(event.party, event.number, state.agreed if state else None, waiting)
        if state is None or state.waiting is None:
            raise LookupError(f"{event.type} before bank-details.proposed")
        match event:
            case BankDetailsAgreed():
                return replace(state, agreed=replace(state.waiting, agreed_by=by), waiting=None)
            case BankDetailsWithdrawn():
                return replace(state, waiting=None)


def bank_details_stream(party: str) -> Stream[BankDetails]:
    """The stream of a party's bank details."""
    return Stream(f"party/{canonical(party)}/bank-details", BankDetails)


def agreed_of(facts: Facts, party: str) -> Numbered | None:
    """The details to which a party's money goes now, if any are agreed."""
    found = facts.get(bank_details_stream(party))
    return found.agreed if found else None


def expect_agreed(facts: Facts, payee: str) -> Numbered:
    """Refuse unless there are details to which a payee's money goes; those."""
    agreed = agreed_of(facts, payee)
    if agreed is None:
        raise PayeeHasNoBankDetails(payee=payee)
    return agreed


# Commands -------------------------------------------------------------------------------------------------------------


def propose(facts: Facts, party: str, account: Account) -> Decision:
    """Propose bank details of a party that is registered; they go into the vault (L5)."""
    payee = facts[party_stream(party)]
    stream = bank_details_stream(party)
    known = facts.get(stream)
    if known and known.waiting:
        raise BankDetailsWait(party=payee.party, number=known.waiting.number)
    number = known.last + 1 if known else 1
    return {stream: (BankDetailsProposed(party=payee.party, number=number, details=facts.conceal(account.written)),)}


def agree(facts: Facts, party: str, account: Account, by: Actor) -> Decision:
    """Agree the details that wait, as a second person who gives the same ones again (L1)."""
    facts[party_stream(party)]
    stream = bank_details_stream(party)
    waiting = facts[stream].expect_waiting()
    if by.person == waiting.proposed_by:
        raise ProposerMayNotAgreeDetails
    written = facts.reveal(waiting.details)
    if written is None:
        raise BankDetailsAreErased(number=waiting.number)
    if not Account.read(written).is_the_same_as(account):
        raise BankDetailsDiffer(number=waiting.number)
    return {stream: (BankDetailsAgreed(number=waiting.number),)}


def withdraw(facts: Facts, party: str, reason: str) -> Decision:
    """Withdraw the details that wait, or turn them down, for a reason in words, which go into the vault (L5)."""
    facts[party_stream(party)]
    stream = bank_details_stream(party)
    waiting = facts[stream].expect_waiting()
    return {stream: (BankDetailsWithdrawn(number=waiting.number, reason=facts.conceal(reason)),)}
