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


def in_run(facts: MemoryFacts, *assessments: int) -> MemoryFacts:
    """The fund's payments, or the first of them, are approved and in a run."""
    names = [PaymentName(REFERENCE, number) for number in assessments or (1,)]
    for stream in (payment_stream(*name, FUND) for name in names):
        facts.record({stream: (facts[stream].approve(APARNA, today=TODAY, bank_details=1),)}, APARNA.person)
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

    def test_takes_off_what_several_clawbacks_left_open_the_oldest_first(self) -> None:
        facts = returned()
        clawed(facts, (1, "1"))
        clawed(facts, (1, "1"), clawback="CB-2")
        assert [number for number, _ in reissued(facts).netted] == [2, 3]
        assert facts[award_stream(REFERENCE)].receivables == {}


class TestCancel:
    def test_of_a_run_takes_off_what_was_clawed_back_while_the_payment_was_in_it(self) -> None:
        facts = in_run(claimed(line(quantity="2")))
        clawed(facts, (1, "1"))
        assert str(facts[PAYMENT].amount) == "814.22"
        facts.play(partial(cancel, reference="FUND-1", reason="Drawn up twice.", today=TODAY), AMINA.person)
        assert (facts[PAYMENT].stage, str(facts[PAYMENT].amount), facts[OWED].open) == (Stage.APPROVED, "407.11", 0)

    def test_of_a_run_takes_what_is_open_off_its_payments_once(self) -> None:
        facts = claimed(line(quantity="2"))
        in_run(claimed(line(), facts=facts, claim="2021-Q4"), 1, 2)
        clawed(facts, (1, "2"))
        facts.play(partial(cancel, reference="FUND-1", reason="Clawed back.", today=TODAY), AMINA.person)
        second = facts[payment_stream(REFERENCE, 2, FUND)]
        assert (facts[PAYMENT].stage, second.stage, str(second.amount)) == (Stage.NETTED_OFF, Stage.APPROVED, "407.10")
        assert facts[award_stream(REFERENCE)].receivables == {}


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
