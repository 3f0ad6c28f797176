"""Bank details: where a party's money goes; proposed by one person, agreed by another who gives them again, shown masked."""

from contextlib import suppress
from functools import partial
from typing import Annotated, Self

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field

from api.awards import ADMINISTRATOR
from api.commands import Recorded, TheAsk, address, command, sent
from api.names import PartyName
from api.readings import OVERSEERS, Reading, TheReading, question
from domain import bank_details
from domain.award import NoSuchAward, award_stream
from domain.bank_details import Account, NoSuchBankDetails, Numbered, bank_details_stream
from domain.claim import Note
from domain.key import Role
from domain.party import NoSuchParty, party_stream
from domain.reference import canonical

router = APIRouter(prefix="/v1/parties/{party}/bank-details", tags=["parties"])
READERS = OVERSEERS | {Role.APPROVER, Role.RELEASER}


class DetailsWithdrawal(BaseModel):
    """Why the details that wait are withdrawn, or turned down."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    reason: Note


class ToldAccount(BaseModel):
    """A bank account of which no more than its end is shown; nothing of it where it was erased."""

    number: int = Field(description="Which of the party's details these are; a payment's approval names it")
    sort_code: str | None = Field(examples=["••-••-••"])
    account_number: str | None = Field(examples=["••••9911"])
    account_name: str | None
    proposed_by: str
    agreed_by: str | None

    @classmethod
    def of(cls, details: Numbered, asked: Reading) -> Self:
        """Details as they are told."""
        written = asked.ledger.reveal([details.details]).get(details.details)
        account = Account.read(written) if written is not None else None
        return cls(
            number=details.number,
            sort_code=account.masked_sort_code if account else None,
            account_number=account.masked_account_number if account else None,
            account_name=account.account_name if account else None,
            proposed_by=details.proposed_by,
            agreed_by=details.agreed_by,
        )


class ToldBankDetails(BaseModel):
    """Where a party's money goes, and where it will go if a second person agrees."""

    party: str
    agreed: ToldAccount | None
    waiting: ToldAccount | None


@router.get("", **question(READERS, NoSuchParty, NoSuchBankDetails, one=True))
def show(party: PartyName, asked: TheReading) -> ToldBankDetails:
    """A party's bank details, masked. Approvers and releasers are told of the payees of their awards."""
    _expect_payee(party, asked)
    asked.look(party_stream(party))
    found = asked.load(bank_details_stream(party))
    return ToldBankDetails(
        party=found.party,
        agreed=ToldAccount.of(found.agreed, asked) if found.agreed else None,
        waiting=ToldAccount.of(found.waiting, asked) if found.waiting else None,
    )


_NAMED = (NoSuchParty, NoSuchBankDetails, bank_details.NoBankDetailsWait)


@router.post("/proposal", **command(ADMINISTRATOR, NoSuchParty, bank_details.BankDetailsWait, body=Account))
async def propose(party: PartyName, account: Annotated[Account, sent(Account)], ask: TheAsk) -> Recorded:
    """Propose a party's bank details; no money goes there until a second person agrees."""
    decide = partial(bank_details.propose, party=party, account=account)
    return await ask.record(decide, bank_details_stream(party), new=address("parties", party, "bank-details"))


@router.post(
    "/agreement",
    **command(
        ADMINISTRATOR,
        *_NAMED,
        bank_details.ProposerMayNotAgreeDetails,
        bank_details.BankDetailsAreErased,
        bank_details.BankDetailsDiffer,
        body=Account,
    ),
)
async def agree(party: PartyName, account: Annotated[Account, sent(Account)], ask: TheAsk) -> Recorded:
    """Agree the details that wait, as a second person who gives the same ones from a copy of their own (L1)."""
    decide = partial(bank_details.agree, party=party, account=account, by=ask.by)
    return await ask.record(decide, bank_details_stream(party))


@router.post("/withdrawal", **command(ADMINISTRATOR, *_NAMED, body=DetailsWithdrawal))
async def withdraw(party: PartyName, withdrawal: Annotated[DetailsWithdrawal, sent(DetailsWithdrawal)], ask: TheAsk) -> Recorded:
    """Withdraw the details that wait, or turn them down; those agreed before stand."""
    decide = partial(bank_details.withdraw, party=party, reason=withdrawal.reason)
    return await ask.record(decide, bank_details_stream(party))


def _expect_payee(party: str, asked: Reading) -> None:
    """Refuse, as if there were no such party, whoever knows of no award that pays it."""
    awards = None if asked.caller.has(OVERSEERS) else asked.caller.only
    if awards is not None and not any(_pays(award, canonical(party), asked) for award in awards):
        raise NoSuchParty(name=canonical(party))


def _pays(award: str, party: str, asked: Reading) -> bool:
    with suppress(NoSuchAward):
        known, _ = asked.ledger.load(award_stream(award))
        return any(payer.payee == party for version in known.versions for payer in version.terms.payers)
    return False
