"""Payments leave together, by two persons, and settle as the bank tells."""

from collections.abc import Callable
from datetime import date
from hashlib import sha256

import pytest

from domain.aggregate import Actor, Decision, Facts, PersonId
from domain.award import AwardRegistered, award_stream
from domain.bank_details import BankDetailsProposed, bank_details_stream
from domain.money import Money
from domain.payment import Payment, PaymentApproved, PaymentAtWrongStage, PaymentFellDue, ReturnReason, Stage, payment_stream
from domain.refusal import Refused
from domain.run import (
    MOST_PAYMENTS,
    EveryPaymentIsStopped,
    NoSuchRun,
    PaymentName,
    PaymentsAreNotInRun,
    PaymentsCannotBeDrawnUp,
    PaymentsNotNamedOnce,
    PaymentsOfSeveralPayees,
    ReleaserApproved,
    ReleaserDrewUpTheRun,
    RunDetailsAreErased,
    RunDrawnUp,
    RunExists,
    RunIsNotDrawnUp,
    RunIsNotReleased,
    RunReleased,
    RunStage,
    SettlementDoesNotAddUp,
    ValueDateAhead,
    ValueDateBeforeRelease,
    cancel,
    draw_up,
    file_of,
    frozen,
    give_back,
    release,
    run_stream,
    settle,
)
from domain.settlement import BankReferenceIsSpent, settlement_stream
from tests.domain.accounts import ACCOUNT, OTHER_ACCOUNT, agree_details
from tests.domain.given import MemoryFacts, commitment

KIRKLEES = "GB-LAE-KIR"
SOCIAL_PRIME = "GB-COH-11503344"
SKILL_MILL = "GB-COH-07796947"
PROVIDER = PersonId("thandi-of-the-provider")
VERIFIER = PersonId("verifier-wilf")
APPROVER = PersonId("approver-rosa")
CLERK = PersonId("clerk-nia")
RELEASER = PersonId("releaser-idris")
BY_RELEASER = Actor(RELEASER, KIRKLEES)

ASSESSED = date(2021, 11, 1)
TODAY = date(2021, 11, 5)
RELEASED = date(2021, 11, 8)
LATER = date(2021, 11, 10)
RUN = run_stream("2021-11-A")

FIRST = PaymentName("INDIGO-POJ-0175", 7)
SECOND = PaymentName("INDIGO-POJ-0175", 10)
OTHER = PaymentName("INDIGO-POJ-0180", 2)
ALL = (OTHER, SECOND, FIRST)
AMOUNTS = {FIRST: ("12750.07", SOCIAL_PRIME), SECOND: ("203.55", SOCIAL_PRIME), OTHER: ("4000.00", SKILL_MILL)}


def approve(facts: MemoryFacts, name: PaymentName, amount: str, payee: str, by: PersonId = APPROVER) -> None:
    fell_due = PaymentFellDue(
        award=name.award,
        assessment=name.assessment,
        payer=KIRKLEES,
        payee=payee,
        amount=Money.parse(amount),
        years={"2021-22": Money.parse(amount)},
        due_on=date(2021, 12, 1),
        on=ASSESSED,
        claim="2021-Q3",
        claimed_by=PROVIDER,
        verified_by=(VERIFIER,),
        pays="through-runs",
    )
    stream = payment_stream(*name, KIRKLEES)
    facts.record({stream: (fell_due,)}, VERIFIER)
    facts.record({stream: (PaymentApproved(payer=KIRKLEES, years=fell_due.years, on=TODAY, bank_details=1),)}, by)


def with_accounts() -> MemoryFacts:
    facts = MemoryFacts()
    for payee in (SOCIAL_PRIME, SKILL_MILL):
        agree_details(facts, payee)
    for award in sorted({name.award for name in ALL}):
        facts.record({award_stream(award): (AwardRegistered(reference=award, title="Paid through runs"),)}, CLERK)
    return facts


def approved() -> MemoryFacts:
    facts = with_accounts()
    for name, (amount, payee) in AMOUNTS.items():
        approve(facts, name, amount, payee)
    return facts


def the_draw_up(facts: Facts, payments: tuple[PaymentName, ...] = ALL, reference: str = "2021-11-A") -> Decision:
    return draw_up(facts, reference, payer=KIRKLEES, account="MAIN", payments=payments, today=TODAY)


def drawn_up() -> MemoryFacts:
    facts = approved()
    facts.play(the_draw_up, CLERK)
    return facts


def the_release(facts: Facts) -> Decision:
    return release(facts, "2021-11-a", BY_RELEASER, today=RELEASED)


def released() -> MemoryFacts:
    facts = drawn_up()
    facts.play(the_release, RELEASER)
    return facts


def the_settlement(
    payments: tuple[PaymentName, ...] = (FIRST, SECOND),
    amount: str = "12953.62",
    bank_reference: str = "0000420042",
    value_date: date = LATER,
) -> Callable[[Facts], Decision]:
    return lambda facts: settle(
        facts,
        "2021-11-A",
        bank_reference=bank_reference,
        value_date=value_date,
        amount=Money.parse(amount),
        payments=payments,
        today=LATER,
    )


def stage(facts: MemoryFacts, name: PaymentName) -> Stage:
    return the_payment(facts, name).stage


def the_payment(facts: MemoryFacts, name: PaymentName) -> Payment:
    return facts[payment_stream(*name, KIRKLEES)]


def refused(facts: MemoryFacts, command: Callable[[Facts], Decision], refusal: type[Refused]) -> Refused:
    with pytest.raises(Refused) as caught:
        command(facts)
    assert type(caught.value) is refusal
    return caught.value


class TestDrawUp:
    def test_puts_approved_payments_together(self) -> None:
        facts = drawn_up()
        event = facts.happened(RUN.name)[0]
        assert isinstance(event, RunDrawnUp)
        assert (event.count, event.total) == (3, Money.parse("16953.62"))
        assert {stage(facts, name) for name in ALL} == {Stage.IN_RUN}

    def test_keeps_the_list_in_the_vault_in_order_of_award_and_assessment(self) -> None:
        facts = drawn_up()
        assert facts.reveal(facts[RUN].payments) == (
            '[["INDIGO-POJ-0175",7,"GB-COH-11503344","12750.07"],["INDIGO-POJ-0175",10,"GB-COH-11503344","203.55"],'
            '["INDIGO-POJ-0180",2,"GB-COH-07796947","4000.00"]]'
        )
        assert "POJ" not in facts.happened(RUN.name)[0].model_dump_json()

    def test_refuses_a_reference_that_is_used_without_regard_to_case(self) -> None:
        refused(drawn_up(), lambda facts: the_draw_up(facts, reference="2021-11-a"), RunExists)

    def test_refuses_no_payments(self) -> None:
        refused(approved(), lambda facts: the_draw_up(facts, payments=()), PaymentsNotNamedOnce)

    def test_refuses_a_payment_named_twice_without_regard_to_case(self) -> None:
        twice = (FIRST, PaymentName("indigo-poj-0175", 7))
        refused(approved(), lambda facts: the_draw_up(facts, payments=twice), PaymentsNotNamedOnce)

    def test_takes_a_thousand_payments_and_refuses_one_more(self) -> None:
        facts = with_accounts()
        names = tuple(PaymentName("INDIGO-POJ-0175", number) for number in range(1, MOST_PAYMENTS + 2))
        for name in names:
            approve(facts, name, "1.00", SOCIAL_PRIME)
        assert len(the_draw_up(facts, names[:MOST_PAYMENTS])) == MOST_PAYMENTS + 1
        refused(facts, lambda known: the_draw_up(known, names), PaymentsNotNamedOnce)

    def test_refuses_what_is_not_approved_listing_every_payment(self) -> None:
        facts = drawn_up()
        absent = PaymentName("INDIGO-POJ-0175", 99)
        refusal = refused(facts, lambda known: the_draw_up(known, (FIRST, absent), "2021-11-B"), PaymentsCannotBeDrawnUp)
        assert [fault.where.split("/")[3] for fault in refusal.faults] == ["7", "99"]

    def test_keeps_which_bank_details_each_payee_has_then(self) -> None:
        facts = drawn_up()
        assert {payee: number for payee, (number, _) in frozen(facts, facts[RUN]).items()} == {SOCIAL_PRIME: 1, SKILL_MILL: 1}
        assert "5577" not in facts.happened(RUN.name)[0].model_dump_json()

    def test_refuses_payees_without_bank_details_listing_every_payment(self) -> None:
        facts = MemoryFacts()
        agree_details(facts, SKILL_MILL)
        for name, (amount, payee) in AMOUNTS.items():
            approve(facts, name, amount, payee)
        refusal = refused(facts, the_draw_up, PaymentsCannotBeDrawnUp)
        assert [fault.where.split("/")[3] for fault in refusal.faults] == ["7", "10"]
        assert refusal.faults[0].what.startswith("The payee has no agreed bank details")

    def test_refuses_what_was_approved_for_other_bank_details_listing_every_payment(self) -> None:
        facts = approved()
        agree_details(facts, SOCIAL_PRIME, OTHER_ACCOUNT)
        refusal = refused(facts, the_draw_up, PaymentsCannotBeDrawnUp)
        assert [fault.where.split("/")[3] for fault in refusal.faults] == ["7", "10"]
        assert refusal.faults[0].what.startswith("The payee's bank details changed after the payment was approved")
        the_draw_up(facts, (OTHER,))


class TestRelease:
    def test_sends_every_payment(self) -> None:
        facts = released()
        assert {stage(facts, name) for name in ALL} == {Stage.SENT}
        assert facts[RUN].stage is RunStage.RELEASED

    def test_records_the_digest_of_the_file(self) -> None:
        facts = released()
        digest = sha256(file_of(facts, facts[RUN])).hexdigest()
        assert facts.happened(RUN.name)[-1] == RunReleased(
            file_sha256=digest, count=3, total=Money.parse("16953.62"), on=RELEASED
        )

    def test_refuses_a_run_that_nobody_drew_up(self) -> None:
        refused(approved(), the_release, NoSuchRun)

    def test_refuses_a_second_release(self) -> None:
        refused(released(), the_release, RunIsNotDrawnUp)

    def test_refuses_whoever_drew_it_up(self) -> None:
        facts = drawn_up()
        refused(facts, lambda known: release(known, "2021-11-A", Actor(CLERK, KIRKLEES), today=RELEASED), ReleaserDrewUpTheRun)

    def test_refuses_whoever_approved_one_payment_in_it(self) -> None:
        facts = approved()
        late = PaymentName("INDIGO-POJ-0190", 1)
        approve(facts, late, "10.00", SKILL_MILL, by=RELEASER)
        facts.play(lambda known: the_draw_up(known, (*ALL, late)), CLERK)
        assert refused(facts, the_release, ReleaserApproved).details["approved"] == ["INDIGO-POJ-0190/1"]


class TestReleaseAfterBankDetailsChanged:
    @staticmethod
    def changed() -> MemoryFacts:
        facts = drawn_up()
        agree_details(facts, SKILL_MILL, OTHER_ACCOUNT)
        return facts

    def test_stops_that_payee_s_payments_and_sends_the_rest(self) -> None:
        facts = self.changed()
        facts.play(the_release, RELEASER)
        assert [stage(facts, name) for name in (FIRST, SECOND, OTHER)] == [Stage.SENT, Stage.SENT, Stage.DUE]
        stopped = the_payment(facts, OTHER)
        assert (stopped.run, stopped.approved_by, stopped.bank_details) == (None, None, None)

    def test_counts_sums_and_hashes_what_left(self) -> None:
        facts = self.changed()
        facts.play(the_release, RELEASER)
        run, told = facts[RUN], facts.happened(RUN.name)[-1]
        assert isinstance(told, RunReleased)
        assert (told.count, told.total, told.stopped) == (2, Money.parse("12953.62"), 1)
        assert (run.count, run.total, run.stopped) == (2, Money.parse("12953.62"), 1)
        file = file_of(facts, run)
        assert sha256(file).hexdigest() == told.file_sha256
        assert SKILL_MILL.encode() not in file
        assert file.count(b"\r\n") == 3

    def test_is_settled_when_the_rest_is(self) -> None:
        facts = self.changed()
        facts.play(the_release, RELEASER)
        refused(facts, the_settlement((OTHER,), "4000.00"), PaymentsAreNotInRun)
        facts.play(the_settlement(), CLERK)
        assert facts[RUN].stage is RunStage.SETTLED

    def test_lets_what_was_stopped_go_after_a_new_approval_to_the_new_account(self) -> None:
        facts = self.changed()
        facts.play(the_release, RELEASER)
        stream = payment_stream(*OTHER, KIRKLEES)
        again = the_payment(facts, OTHER).approve(Actor(APPROVER, KIRKLEES), today=LATER, bank_details=2)
        facts.record({stream: (again,)}, APPROVER)
        facts.play(lambda known: the_draw_up(known, (OTHER,), "2021-11-B"), CLERK)
        facts.play(lambda known: release(known, "2021-11-B", BY_RELEASER, today=LATER), RELEASER)
        assert b",309626,01234567," in file_of(facts, facts[run_stream("2021-11-B")])

    def test_stops_them_though_the_same_text_was_agreed_again(self) -> None:
        facts = drawn_up()
        agree_details(facts, SKILL_MILL, ACCOUNT)
        facts.play(the_release, RELEASER)
        assert stage(facts, OTHER) is Stage.DUE

    def test_sends_all_while_a_change_waits_for_its_second_person(self) -> None:
        facts = drawn_up()
        stream = bank_details_stream(SKILL_MILL)
        waits = BankDetailsProposed(party=SKILL_MILL, number=2, details=facts.conceal(OTHER_ACCOUNT.written))
        facts.record({stream: (waits,)}, CLERK)
        facts.play(the_release, RELEASER)
        assert {stage(facts, name) for name in ALL} == {Stage.SENT}
        assert (facts[RUN].stopped, facts[RUN].left) == (0, None)

    def test_refuses_when_nothing_would_be_left(self) -> None:
        facts = self.changed()
        agree_details(facts, SOCIAL_PRIME, OTHER_ACCOUNT)
        assert refused(facts, the_release, EveryPaymentIsStopped).details["payees"] == [SKILL_MILL, SOCIAL_PRIME]
        facts.play(lambda known: cancel(known, "2021-11-A", "Both moved to another bank", today=RELEASED), CLERK)
        refused(facts, lambda known: the_draw_up(known, ALL, "2021-11-B"), PaymentsCannotBeDrawnUp)

    def test_sends_a_run_that_was_drawn_up_before_there_were_bank_details(self) -> None:
        known = drawn_up()
        ((drawn, by),) = known.streams[RUN.name]
        of_then = {RUN.name: [(drawn.model_copy(update={"details": None}), by)], bank_details_stream(SOCIAL_PRIME).name: []}
        facts = MemoryFacts({**known.streams, **of_then}, texts=known.texts)
        facts.play(the_release, RELEASER)
        assert [stage(facts, name) for name in (FIRST, SECOND, OTHER)] == [Stage.SENT, Stage.SENT, Stage.DUE]


class TestTheFile:
    def test_is_the_same_before_and_after_the_release(self) -> None:
        before, after = drawn_up(), released()
        assert file_of(before, before[RUN]) == file_of(after, after[RUN])

    def test_is_exactly_these_bytes(self) -> None:
        facts = drawn_up()
        assert file_of(facts, facts[RUN]) == (
            b"award,assessment,payer,payee,amount,reference,sort_code,account_number,account_name\r\n"
            b"INDIGO-POJ-0175,7,GB-LAE-KIR,GB-COH-11503344,12750.07,2021-11-A/1,200000,55779911,KBOP No. 2\r\n"
            b"INDIGO-POJ-0175,10,GB-LAE-KIR,GB-COH-11503344,203.55,2021-11-A/2,200000,55779911,KBOP No. 2\r\n"
            b"INDIGO-POJ-0180,2,GB-LAE-KIR,GB-COH-07796947,4000.00,2021-11-A/3,200000,55779911,KBOP No. 2\r\n"
        )

    def test_of_a_run_of_before_there_were_bank_details_is_as_it_was(self) -> None:
        facts = drawn_up()
        drawn = facts.happened(RUN.name)[0]
        before = MemoryFacts(texts=facts.texts)
        before.record({RUN: (drawn.model_copy(update={"details": None}),)}, CLERK)
        assert file_of(before, before[RUN]) == (
            b"award,assessment,payer,payee,amount,reference\r\n"
            b"INDIGO-POJ-0175,7,GB-LAE-KIR,GB-COH-11503344,12750.07,2021-11-A/1\r\n"
            b"INDIGO-POJ-0175,10,GB-LAE-KIR,GB-COH-11503344,203.55,2021-11-A/2\r\n"
            b"INDIGO-POJ-0180,2,GB-LAE-KIR,GB-COH-07796947,4000.00,2021-11-A/3\r\n"
        )

    def test_keeps_the_account_of_then_whatever_is_agreed_later(self) -> None:
        facts = released()
        before = file_of(facts, facts[RUN])
        agree_details(facts, SOCIAL_PRIME, OTHER_ACCOUNT)
        assert file_of(facts, facts[RUN]) == before

    def test_cannot_be_made_of_an_account_that_was_erased(self) -> None:
        facts = released()
        del facts.texts[commitment(ACCOUNT.written)]
        with pytest.raises(RunDetailsAreErased):
            file_of(facts, facts[RUN])

    @pytest.mark.parametrize("sign", "=+-@")
    def test_has_no_cell_that_a_spreadsheet_takes_for_a_formula(self, sign: str) -> None:
        facts = with_accounts()
        approve(facts, FIRST, "10.00", SOCIAL_PRIME)
        facts.play(lambda known: the_draw_up(known, (FIRST,)), CLERK)
        run = facts[RUN]
        facts.texts[run.payments] = f'[["{sign}1+1",7,"GB-COH-11503344","10.00"]]'
        assert f"\r\n'{sign}1+1,7," in file_of(facts, run).decode()


class TestCancel:
    def test_leaves_every_payment_approved_for_another_run(self) -> None:
        facts = drawn_up()
        facts.play(lambda known: cancel(known, "2021-11-A", "Wrong paying account", today=RELEASED), CLERK)
        assert facts[RUN].stage is RunStage.CANCELLED
        assert {stage(facts, name) for name in ALL} == {Stage.APPROVED}
        facts.play(lambda known: the_draw_up(known, ALL, "2021-11-B"), CLERK)

    def test_refuses_a_released_run(self) -> None:
        refused(released(), lambda facts: cancel(facts, "2021-11-A", "Too late", today=LATER), RunIsNotDrawnUp)

    def test_refuses_the_release_of_a_cancelled_run(self) -> None:
        facts = drawn_up()
        facts.play(lambda known: cancel(known, "2021-11-A", "Wrong paying account", today=RELEASED), CLERK)
        refused(facts, the_release, RunIsNotDrawnUp)


class TestSettle:
    def test_pays_the_payments_of_one_payee(self) -> None:
        facts = released()
        facts.play(the_settlement(), CLERK)
        assert [stage(facts, name) for name in (FIRST, SECOND, OTHER)] == [Stage.PAID, Stage.PAID, Stage.SENT]
        run = facts[RUN]
        assert (run.stage, run.settled, run.settled_total) == (RunStage.RELEASED, 2, Money.parse("12953.62"))

    def test_of_the_last_payment_settles_the_run(self) -> None:
        facts = released()
        facts.play(the_settlement(), CLERK)
        facts.play(the_settlement((OTHER,), "4000.00", "0000420043"), CLERK)
        assert facts[RUN].stage is RunStage.SETTLED

    def test_spends_the_bank_reference_on_the_account(self) -> None:
        facts = released()
        facts.play(the_settlement(), CLERK)
        spent = facts[settlement_stream(KIRKLEES, "main", "0000420042")]
        assert (spent.run, spent.amount, spent.value_date) == ("2021-11-A", Money.parse("12953.62"), LATER)
        refused(facts, the_settlement((OTHER,), "4000.00"), BankReferenceIsSpent)

    def test_refuses_a_run_that_was_not_released(self) -> None:
        refused(drawn_up(), the_settlement(), RunIsNotReleased)

    def test_takes_the_day_of_the_release_and_today_and_nothing_outside(self) -> None:
        facts = released()
        refused(facts, the_settlement(value_date=date(2021, 11, 7)), ValueDateBeforeRelease)
        refused(facts, the_settlement(value_date=date(2021, 11, 11)), ValueDateAhead)
        the_settlement(value_date=RELEASED)(facts)
        the_settlement(value_date=LATER)(facts)

    def test_refuses_payments_that_are_not_waiting_listing_each(self) -> None:
        facts = released()
        facts.play(the_settlement(), CLERK)
        absent = PaymentName("INDIGO-POJ-0175", 99)
        refusal = refused(facts, the_settlement((FIRST, absent, OTHER), "4000.00", "0000420043"), PaymentsAreNotInRun)
        assert [fault.what for fault in refusal.faults] == ["is paid in run 2021-11-A", "there is no such payment"]

    def test_refuses_a_payment_named_twice(self) -> None:
        refused(released(), the_settlement((FIRST, FIRST), "25500.14"), PaymentsNotNamedOnce)

    def test_refuses_payments_of_several_payees(self) -> None:
        refused(released(), the_settlement(ALL, "16953.62"), PaymentsOfSeveralPayees)

    @pytest.mark.parametrize("amount", ["12953.61", "12953.63"])
    def test_refuses_a_penny_less_or_more(self, amount: str) -> None:
        refused(released(), the_settlement(amount=amount), SettlementDoesNotAddUp)


class TestGiveBack:
    def test_before_the_settlement_is_told_to_the_run(self) -> None:
        facts = released()
        facts.play(the_settlement(), CLERK)
        facts.play(self.returned(OTHER), CLERK)
        assert stage(facts, OTHER) is Stage.RETURNED
        assert (facts[RUN].stage, facts[RUN].returned) == (RunStage.SETTLED, 1)

    def test_after_the_settlement_leaves_the_run_settled(self) -> None:
        facts = released()
        facts.play(the_settlement(), CLERK)
        facts.play(self.returned(FIRST), CLERK)
        assert stage(facts, FIRST) is Stage.RETURNED
        assert (facts[RUN].settled, facts[RUN].returned) == (2, 0)

    def test_keeps_the_note_in_the_vault(self) -> None:
        facts = released()
        decision = facts.play(self.returned(FIRST, ReturnReason.OTHER, "Sort code of a merged branch"), CLERK)
        assert "Sort code of a merged branch" in facts.texts.values()
        assert not any("merged" in event.model_dump_json() for events in decision.values() for event in events)

    def test_refuses_what_was_not_sent(self) -> None:
        refused(drawn_up(), self.returned(FIRST), PaymentAtWrongStage)

    def test_lets_the_payment_go_again_in_another_run(self) -> None:
        facts = released()
        facts.play(self.returned(FIRST), CLERK)
        stream = payment_stream(*FIRST, KIRKLEES)
        due_again = the_payment(facts, FIRST).reissue(due_on=date(2021, 12, 9), today=LATER)
        facts.record({stream: (due_again,)}, CLERK)
        again = the_payment(facts, FIRST).approve(Actor(RELEASER, KIRKLEES), today=LATER, bank_details=1)
        facts.record({stream: (again,)}, RELEASER)
        facts.play(lambda known: the_draw_up(known, (FIRST,), "2021-11-B"), CLERK)
        refused(facts, lambda known: release(known, "2021-11-B", BY_RELEASER, today=LATER), ReleaserApproved)
        facts.play(lambda known: release(known, "2021-11-B", Actor(APPROVER, KIRKLEES), today=LATER), APPROVER)
        refused(facts, the_settlement((FIRST,), "12750.07"), PaymentsAreNotInRun)

    @staticmethod
    def returned(
        name: PaymentName, reason: ReturnReason = ReturnReason.ACCOUNT_CLOSED, note: str | None = None
    ) -> Callable[[Facts], Decision]:
        return lambda facts: give_back(facts, payment_stream(*name, KIRKLEES), reason, note, on=LATER, today=LATER)
