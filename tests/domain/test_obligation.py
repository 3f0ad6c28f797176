"""Obligations: what is open between a payer and its payee is taken off whatever nobody has sent, also when it comes back (M8)."""

from functools import partial

import pytest

from domain.award import award_stream
from domain.obligation import reissue, unsent_again, withdraw_report
from domain.payment import Payment, PaymentAtWrongStage, ReturnReason, Stage, payment_stream
from domain.receivable import receivable_stream
from domain.run import PaymentName, cancel, draw_up
from tests.domain.given import MemoryFacts
from tests.domain.kirklees import AMINA, APARNA, COUNCIL, FUND, PRIME, REFERENCE, TERMS, TODAY, agreed, line, terms
from tests.domain.test_clawback import claimed, clawed, paid, pounds

PAYMENT = payment_stream(REFERENCE, 1, FUND)
OWED = receivable_stream(REFERENCE, 2, FUND, PRIME)


def returned() -> MemoryFacts:
    """Two homes, which the fund paid for; the bank gave the money back."""
    facts = claimed(line(quantity="2"))
    paid(facts, 1, FUND)
    gone = facts[PAYMENT].give_back(ReturnReason.ACCOUNT_CLOSED, on=TODAY, today=TODAY)
    facts.record({PAYMENT: (gone,)}, AMINA.person)
    return facts


def reissued(facts: MemoryFacts) -> Payment:
    facts.play(partial(reissue, payment=PAYMENT, due_on=TODAY, today=TODAY), AMINA.person)
    return facts[PAYMENT]


def in_run(facts: MemoryFacts) -> MemoryFacts:
    """The fund's payment is approved and in a run."""
    facts.record({PAYMENT: (facts[PAYMENT].approve(APARNA, today=TODAY, bank_details=1),)}, APARNA.person)
    names = (PaymentName(REFERENCE, 1),)
    play = partial(draw_up, reference="FUND-1", payer=FUND, account="MAIN", payments=names, today=TODAY)
    facts.play(play, AMINA.person)
    return facts


class TestReissue:
    def test_pays_nothing_of_what_was_clawed_back_meanwhile(self) -> None:
        facts = returned()
        clawed(facts, (1, "2"))
        assert str(facts[OWED].open) == "814.22"
        payment = reissued(facts)
        assert (payment.stage, str(payment.amount), str(payment.gross)) == (Stage.NETTED_OFF, "0.00", "814.22")
        assert (facts[OWED].open, facts[award_stream(REFERENCE)].receivables) == (0, {})
        assert (pounds(facts, "due", FUND), pounds(facts, "returned", FUND)) == ("0.00", "0.00")
        with pytest.raises(PaymentAtWrongStage):
            payment.approve(APARNA, today=TODAY, bank_details=1)

    def test_pays_the_rest_where_less_was_clawed_back(self) -> None:
        facts = returned()
        clawed(facts, (1, "1"))
        payment = reissued(facts)
        assert (payment.stage, str(payment.amount)) == (Stage.DUE, "407.11")
        assert str(facts[award_stream(REFERENCE)].standing.allotted[FUND]) == "407.11"

    def test_pays_all_where_nothing_is_owed_back(self) -> None:
        payment = reissued(returned())
        assert (payment.stage, str(payment.amount)) == (Stage.DUE, "814.22")


class TestCancel:
    def test_of_a_run_takes_off_what_was_clawed_back_while_the_payment_was_in_it(self) -> None:
        facts = in_run(claimed(line(quantity="2")))
        clawed(facts, (1, "1"))
        assert str(facts[PAYMENT].amount) == "814.22"
        facts.play(partial(cancel, reference="FUND-1", reason="Drawn up twice.", today=TODAY), AMINA.person)
        assert (facts[PAYMENT].stage, str(facts[PAYMENT].amount), facts[OWED].open) == (Stage.APPROVED, "407.11", 0)


class TestStop:
    def test_takes_off_what_was_clawed_back_while_the_payment_was_in_its_run(self) -> None:
        facts = in_run(claimed(line(quantity="2")))
        clawed(facts, (1, "1"))
        stopped = facts[PAYMENT].stop(today=TODAY)
        facts.play(partial(unsent_again, steps={PAYMENT: stopped}, today=TODAY), AMINA.person)
        assert (facts[PAYMENT].stage, str(facts[PAYMENT].amount), facts[OWED].open) == (Stage.DUE, "407.11", 0)


class TestWithdrawReport:
    def test_takes_off_what_was_clawed_back_while_it_counted_as_sent(self) -> None:
        payers = [{**each, "pays": "by-itself"} if each["party"] == COUNCIL else each for each in TERMS["payers"]]  # type: ignore[attr-defined]
        facts = claimed(line(quantity="2"), facts=agreed(terms(payers=payers)))
        payment, owed = payment_stream(REFERENCE, 1, COUNCIL), receivable_stream(REFERENCE, 2, COUNCIL, PRIME)
        said = facts[payment].report_paid("CHEQUE-7", value_date=TODAY, today=TODAY)
        facts.record({payment: (said,)}, AMINA.person)
        clawed(facts, (1, "1"))
        assert str(facts[owed].open) == "992.89"
        facts.play(partial(withdraw_report, payment=payment, today=TODAY), AMINA.person)
        assert (str(facts[payment].amount), facts[owed].open) == ("992.89", 0)
