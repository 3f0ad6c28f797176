"""Receivables: recovered once by each receipt, written off by an authority that stays known (M8, L2)."""

from functools import partial

import pytest

from domain.money import Money
from domain.receivable import ReceiptIsRecorded, propose_write_off, receivable_stream, recover, write_off
from tests.domain.given import MemoryFacts
from tests.domain.kirklees import AMINA, BEN, FUND, PRIME, REFERENCE, TODAY
from tests.domain.test_clawback import claimed, clawed, paid

OWED = receivable_stream(REFERENCE, 2, FUND, PRIME)


def owed_back() -> MemoryFacts:
    """£407.11, which the social prime owes the fund."""
    facts = claimed()
    paid(facts, 1, FUND)
    return clawed(facts, (1, "1"))


class TestRecover:
    def test_refuses_the_same_receipt_twice_without_regard_to_case(self) -> None:
        facts = owed_back()
        play = partial(recover, receivable=OWED, amount=Money(10000), value_date=TODAY, today=TODAY)
        facts.play(partial(play, reference="BACS-77"), AMINA.person)
        with pytest.raises(ReceiptIsRecorded):
            play(facts, reference="bacs-77")
        facts.play(partial(play, reference="BACS-78"), AMINA.person)
        assert (str(facts[OWED].recovered), str(facts[OWED].open)) == ("200.00", "207.11")


class TestWriteOff:
    def test_keeps_its_authority_and_both_persons(self) -> None:
        facts = owed_back()
        facts.play(partial(propose_write_off, receivable=OWED, authority="DCMS-2021-7", reason="Wound up."), AMINA.person)
        facts.play(partial(write_off, receivable=OWED, by=BEN, today=TODAY), BEN.person)
        given_up = facts[OWED].given_up
        assert given_up is not None
        assert (given_up.authority, given_up.proposed_by, given_up.agreed_by) == ("DCMS-2021-7", AMINA.person, BEN.person)
        assert facts[OWED].proposal is None
