"""Where a payee's money goes is said by one person and agreed by another, who gives it again; the log never holds it."""

from typing import Any

import pytest
from pydantic import ValidationError

from domain.aggregate import Actor, Decision, Facts, PersonId
from domain.bank_details import (
    LONGEST_NAME,
    Account,
    BankDetailsAgreed,
    BankDetailsAreErased,
    BankDetailsDiffer,
    BankDetailsProposed,
    BankDetailsWait,
    BankDetailsWithdrawn,
    NoBankDetailsWait,
    NoSuchBankDetails,
    ProposerMayNotAgreeDetails,
    agree,
    agreed_of,
    bank_details_stream,
    propose,
    withdraw,
)
from domain.party import NoSuchParty, register
from tests.domain.given import MemoryFacts, commitment

PRIME = "GB-COH-11503344"
STREAM = f"party/{PRIME}/bank-details"
JO, MAX = PersonId("administrator-jo"), PersonId("administrator-max")
BY_JO, BY_MAX = Actor(JO, "XX-LCL-OPERATOR"), Actor(MAX, "XX-LCL-OPERATOR")


def account(**other: Any) -> Account:
    said = {"sort_code": "20-00-00", "account_number": "55779911", "account_name": "Kirklees Better Outcomes"}
    return Account.model_validate({**said, **other})


def faults(**said: Any) -> ValidationError:
    with pytest.raises(ValidationError) as caught:
        account(**said)
    return caught.value


def registered() -> MemoryFacts:
    facts = MemoryFacts()
    facts.play(lambda known: register(known, PRIME, "Kirklees Better Outcomes Partnership"), JO)
    return facts


def the_proposal(facts: Facts) -> Decision:
    return propose(facts, PRIME.lower(), account())


def proposed() -> MemoryFacts:
    facts = registered()
    facts.play(the_proposal, JO)
    return facts


def agreed() -> MemoryFacts:
    facts = proposed()
    facts.play(lambda known: agree(known, PRIME, account(), BY_MAX), MAX)
    return facts


class TestAccount:
    @pytest.mark.parametrize("code", ["200000", "20-00-00", "20 00 00"])
    def test_takes_a_sort_code_as_people_write_it(self, code: str) -> None:
        assert account(sort_code=code).sort_code == "200000"

    @pytest.mark.parametrize(
        "code", ["", "20000", "2000000", "20-0000", "20000a", "20–00–00", "٢٠٠٠٠٠", " 200000", "200000\n", 200000]
    )
    def test_refuses_what_has_not_six_digits(self, code: object) -> None:
        assert faults(sort_code=code).errors()[0]["loc"] == ("sort_code",)

    @pytest.mark.parametrize("number", ["", "5577991", "557799111", "5577991x", "55 779911", "٥٥٧٧٩٩١١", "55779911\n", 55779911])
    def test_refuses_what_has_not_eight_digits(self, number: object) -> None:
        assert faults(account_number=number).errors()[0]["loc"] == ("account_number",)

    def test_takes_a_name_of_seventy_characters_and_refuses_one_more(self) -> None:
        assert account(account_name="K" * LONGEST_NAME).account_name == "K" * LONGEST_NAME
        faults(account_name="K" * (LONGEST_NAME + 1))

    @pytest.mark.parametrize(
        "name", ["", "  ", "Kirklees\nBetter", "Kirklees\0", "=1+1", "+44", "-Kirklees", "@kirklees", "\u202eKIR"]
    )
    def test_refuses_a_name_that_no_bank_would_have(self, name: str) -> None:
        faults(account_name=name)

    def test_takes_names_with_marks_of_other_tongues(self) -> None:
        assert account(account_name=" Clwb Ieuenctid Llŷn & Co. (No. 2) ").account_name == "Clwb Ieuenctid Llŷn & Co. (No. 2)"

    def test_is_never_printed_or_quoted(self) -> None:
        told = f"{account()} {account()!r} {faults(account_number='5577991177')} {faults(sort_code='20-00-0077')}"
        assert not any(each in told for each in ("5577", "200000", "20-00", "Kirklees"))

    def test_shows_its_end_only(self) -> None:
        assert (account().masked_sort_code, account().masked_account_number) == ("••-••-••", "••••9911")

    def test_comes_out_of_the_vault_as_it_went_in(self) -> None:
        assert Account.read(account().written) == account()


class TestPropose:
    def test_records_a_commitment_only(self) -> None:
        facts = proposed()
        details = commitment(account().written)
        assert facts.happened(STREAM) == [BankDetailsProposed(party=PRIME, number=1, details=details)]
        assert facts.reveal(details) == '["200000","55779911","Kirklees Better Outcomes"]'

    def test_changes_nothing_before_a_second_person_agrees(self) -> None:
        facts = agreed()
        facts.play(lambda known: propose(known, PRIME, account(account_number="12345678")), MAX)
        stands = agreed_of(facts, PRIME)
        assert stands is not None
        assert (stands.number, stands.proposed_by, stands.agreed_by) == (1, JO, MAX)

    def test_refuses_a_party_that_nobody_registered(self) -> None:
        with pytest.raises(NoSuchParty):
            the_proposal(MemoryFacts())

    def test_refuses_others_while_some_wait(self) -> None:
        with pytest.raises(BankDetailsWait):
            the_proposal(proposed())

    def test_takes_the_same_again_under_another_number(self) -> None:
        facts = agreed()
        facts.play(the_proposal, JO)
        assert facts[bank_details_stream(PRIME)].expect_waiting().number == 2


class TestAgree:
    def test_lets_the_money_go_there(self) -> None:
        facts = agreed()
        assert facts.happened(STREAM)[-1] == BankDetailsAgreed(number=1)
        assert facts[bank_details_stream(PRIME)].waiting is None
        stands = agreed_of(facts, PRIME)
        assert stands is not None
        assert (stands.number, stands.details) == (1, commitment(account().written))

    def test_takes_the_name_in_other_capitals_and_blanks(self) -> None:
        again = account(account_name="KIRKLEES  better outcomes")
        assert agree(proposed(), PRIME, again, BY_MAX)[bank_details_stream(PRIME)] == (BankDetailsAgreed(number=1),)

    def test_refuses_whoever_proposed_them(self) -> None:
        with pytest.raises(ProposerMayNotAgreeDetails):
            agree(proposed(), PRIME, account(), BY_JO)

    @pytest.mark.parametrize(
        "other", [{"sort_code": "20-00-01"}, {"account_number": "55779912"}, {"account_name": "Kirklees Better Outcome"}]
    )
    def test_refuses_other_details_without_quoting_either(self, other: dict[str, str]) -> None:
        with pytest.raises(BankDetailsDiffer) as caught:
            agree(proposed(), PRIME, account(**other), BY_MAX)
        assert not any(each in f"{caught.value!r} {caught.value.message}" for each in ("5577", "2000", "Kirklees"))

    def test_refuses_when_none_wait(self) -> None:
        with pytest.raises(NoBankDetailsWait):
            agree(agreed(), PRIME, account(), BY_MAX)

    def test_refuses_when_there_are_none(self) -> None:
        with pytest.raises(NoSuchBankDetails):
            agree(registered(), PRIME, account(), BY_MAX)

    def test_refuses_what_was_erased(self) -> None:
        facts = proposed()
        facts.texts.clear()
        with pytest.raises(BankDetailsAreErased):
            agree(facts, PRIME, account(), BY_MAX)


class TestWithdraw:
    def test_turns_down_what_waits_and_keeps_what_stands(self) -> None:
        facts = agreed()
        facts.play(lambda known: propose(known, PRIME, account(account_number="12345678")), JO)
        facts.play(lambda known: withdraw(known, PRIME, "The letter was forged"), MAX)
        assert facts.happened(STREAM)[-1] == BankDetailsWithdrawn(number=2, reason=commitment("The letter was forged"))
        stands = agreed_of(facts, PRIME)
        assert stands is not None
        assert stands.number == 1

    def test_never_gives_a_number_twice(self) -> None:
        facts = proposed()
        facts.play(lambda known: withdraw(known, PRIME, "A digit was wrong"), JO)
        assert agreed_of(facts, PRIME) is None
        facts.play(the_proposal, JO)
        assert facts[bank_details_stream(PRIME)].expect_waiting().number == 2

    def test_refuses_when_none_wait(self) -> None:
        with pytest.raises(NoBankDetailsWait):
            withdraw(agreed(), PRIME, "Too late")
