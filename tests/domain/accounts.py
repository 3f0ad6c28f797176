"""Payees' bank details, agreed already, for tests that are about something else."""

from typing import Final

from domain.aggregate import PersonId
from domain.bank_details import Account, BankDetailsAgreed, BankDetailsProposed, bank_details_stream
from tests.domain.given import MemoryFacts

ACCOUNT: Final = Account(sort_code="200000", account_number="55779911", account_name="KBOP No. 2")
OTHER_ACCOUNT: Final = Account(sort_code="309626", account_number="01234567", account_name="KBOP, a new bank's")


def agree_details(facts: MemoryFacts, party: str, account: Account = ACCOUNT) -> int:
    """Record that a party's bank details were proposed and agreed; their number."""
    stream = bank_details_stream(party)
    known = facts.get(stream)
    number = known.last + 1 if known else 1
    proposed = BankDetailsProposed(party=party, number=number, details=facts.conceal(account.written))
    facts.record({stream: (proposed,)}, PersonId("administrator-jo"))
    facts.record({stream: (BankDetailsAgreed(number=number),)}, PersonId("administrator-max"))
    return number
