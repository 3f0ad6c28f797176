"""What may happen to a payment, and what not."""

from datetime import date
from typing import Literal

import pytest

from domain.aggregate import Actor, PersonId
from domain.bank_details import PayeeHasNoBankDetails
from domain.event import Event
from domain.money import Money
from domain.payment import (
    ApproverTookPart,
    DateAhead,
    DateBeforeLastStep,
    DueDateHasPassed,
    NoSuchPayment,
    PayerPaysByItself,
    PayerPaysThroughRuns,
    Payment,
    PaymentApproved,
    PaymentAtWrongStage,
    PaymentDrawnUp,
    PaymentFellDue,
    PaymentHeld,
    PaymentHoldLifted,
    PaymentIsNotReported,
    PaymentIsReported,
    PaymentReissued,
    PaymentReportConfirmed,
    PaymentReported,
    PaymentReportWithdrawn,
    PaymentReturned,
    PaymentSent,
    PaymentSettled,
    PaymentStopped,
    PaymentTakenOffRun,
    ReporterMayNotConfirm,
    ReturnNeedsNote,
    ReturnReason,
    Stage,
    approve,
    hold,
    payment_stream,
)
from tests.domain.accounts import OTHER_ACCOUNT, agree_details
from tests.domain.given import MemoryFacts, commitment, given
from tests.domain.kirklees import REFERENCE, agreed

KIRKLEES = "GB-LAE-KIR"
SOCIAL_PRIME = "GB-COH-11503344"
PROVIDER = PersonId("thandi-of-the-provider")
VERIFIER = PersonId("verifier-wilf")
OTHER_VERIFIER = PersonId("verifier-ama")
APPROVER = PersonId("approver-rosa")
RELEASER = PersonId("releaser-idris")
CLERK = PersonId("clerk-nia")

YEARS = {"2020-21": Money.parse("300.00"), "2021-22": Money.parse("12450.07")}
ASSESSED = date(2021, 11, 1)
TODAY = date(2021, 11, 5)
LATER = date(2021, 11, 9)

FELL_DUE = PaymentFellDue(
    award="INDIGO-POJ-0175",
    assessment=7,
    payer=KIRKLEES,
    payee=SOCIAL_PRIME,
    amount=Money.parse("12750.07"),
    years=YEARS,
    due_on=date(2021, 12, 1),
    on=ASSESSED,
    claim="2021-Q3",
    claimed_by=PROVIDER,
    verified_by=(VERIFIER, OTHER_VERIFIER),
    pays="through-runs",
)
OUTSIDE = FELL_DUE.model_copy(update={"pays": "by-itself"})
HELD = PaymentHeld(payer=KIRKLEES, years=YEARS, on=TODAY, reason=commitment("The board meets on Tuesday"))
LIFTED = PaymentHoldLifted(payer=KIRKLEES, years=YEARS, on=TODAY)
APPROVED = PaymentApproved(payer=KIRKLEES, years=YEARS, on=TODAY)
DRAWN_UP = PaymentDrawnUp(payer=KIRKLEES, years=YEARS, on=TODAY, run="2021-11-A")
TAKEN_OFF = PaymentTakenOffRun(payer=KIRKLEES, years=YEARS, on=TODAY, run="2021-11-A")
SENT = PaymentSent(payer=KIRKLEES, years=YEARS, on=TODAY, run="2021-11-A")
SETTLED = PaymentSettled(payer=KIRKLEES, years=YEARS, on=LATER, run="2021-11-A", bank_reference="0000420042")
RETURNED = PaymentReturned(payer=KIRKLEES, years=YEARS, on=LATER, was=Stage.SENT, reason=ReturnReason.ACCOUNT_CLOSED)
REISSUED = PaymentReissued(payer=KIRKLEES, years=YEARS, on=LATER, due_on=date(2021, 12, 9))
REPORTED = PaymentReported(reference="KMC-00917", value_date=TODAY)
CONFIRMED = PaymentReportConfirmed(payer=KIRKLEES, years=YEARS, on=TODAY, reference="KMC-00917")

IS_DUE = ((FELL_DUE, VERIFIER),)
IS_APPROVED = (*IS_DUE, (APPROVED, APPROVER))
IS_IN_RUN = (*IS_APPROVED, (DRAWN_UP, CLERK))
IS_SENT = (*IS_IN_RUN, (SENT, RELEASER))
IS_PAID = (*IS_SENT, (SETTLED, CLERK))
IS_RETURNED = (*IS_SENT, (RETURNED, CLERK))
IS_DUE_OUTSIDE = ((OUTSIDE, VERIFIER),)
IS_REPORTED = (*IS_DUE_OUTSIDE, (REPORTED, CLERK))


PAYMENT = payment_stream(REFERENCE, 7, KIRKLEES)


def actor(person: PersonId) -> Actor:
    return Actor(person, KIRKLEES)


class TestTheName:
    def test_is_without_regard_to_case(self) -> None:
        assert payment_stream("Indigo-POJ-0175", 7, KIRKLEES).name == "award/INDIGO-POJ-0175/assessment/7/payment/GB-LAE-KIR"

    def test_of_no_payment_is_said_to_be_absent(self) -> None:
        with pytest.raises(NoSuchPayment):
            MemoryFacts()[payment_stream("INDIGO-POJ-0175", 8, KIRKLEES)]


class TestFallDue:
    def test_waits_for_the_day_on_which_it_is_due(self) -> None:
        due = given(Payment, *IS_DUE).state
        assert (due.stage, due.amount, due.due_on) == (Stage.DUE, Money.parse("12750.07"), date(2021, 12, 1))


class TestHold:
    def test_stops_a_payment_that_is_due(self) -> None:
        given(Payment, *IS_DUE).when(lambda due: due.hold(HELD.reason, today=TODAY)).then(HELD)

    def test_keeps_the_reason_in_the_vault(self) -> None:
        facts = MemoryFacts()
        stream = payment_stream("INDIGO-POJ-0175", 7, KIRKLEES)
        facts.record({stream: (FELL_DUE,)}, VERIFIER)
        facts.play(lambda known: hold(known, stream, "The board meets on Tuesday", today=TODAY), CLERK)
        assert facts.happened(stream.name) == [FELL_DUE, HELD]
        assert facts.reveal(HELD.reason) == "The board meets on Tuesday"

    @pytest.mark.parametrize("happened", [IS_APPROVED, IS_IN_RUN, IS_SENT, IS_PAID, IS_RETURNED, (*IS_DUE, (HELD, CLERK))])
    def test_refuses_a_payment_that_is_not_due(self, happened: tuple[tuple[Event, PersonId], ...]) -> None:
        given(Payment, *happened).when(lambda gone: gone.hold(HELD.reason, today=LATER)).then_refused(PaymentAtWrongStage)

    def test_refuses_a_payment_that_was_reported_as_paid(self) -> None:
        given(Payment, *IS_REPORTED).when(lambda due: due.hold(HELD.reason, today=TODAY)).then_refused(PaymentIsReported)


class TestLiftHold:
    def test_lets_a_held_payment_be_due_again(self) -> None:
        held = given(Payment, *IS_DUE, (HELD, CLERK))
        held.when(lambda payment: payment.lift_hold(today=TODAY)).then(LIFTED)
        assert given(Payment, *IS_DUE, (HELD, CLERK), (LIFTED, CLERK)).state.stage is Stage.DUE

    def test_refuses_a_payment_that_is_not_held(self) -> None:
        given(Payment, *IS_DUE).when(lambda due: due.lift_hold(today=TODAY)).then_refused(PaymentAtWrongStage)


class TestApprove:
    def test_lets_a_payment_go_forward(self) -> None:
        given(Payment, *IS_DUE).when(lambda due: due.approve(actor(APPROVER), today=TODAY)).then(APPROVED)

    def test_refuses_a_payer_that_pays_by_itself(self) -> None:
        outside = given(Payment, *IS_DUE_OUTSIDE)
        outside.when(lambda due: due.approve(actor(APPROVER), today=TODAY)).then_refused(PayerPaysByItself)

    def test_refuses_a_payment_that_is_held(self) -> None:
        held = given(Payment, *IS_DUE, (HELD, CLERK))
        held.when(lambda payment: payment.approve(actor(APPROVER), today=TODAY)).then_refused(PaymentAtWrongStage)

    @pytest.mark.parametrize("person", [PROVIDER, VERIFIER, OTHER_VERIFIER])
    def test_refuses_whoever_claimed_or_verified(self, person: PersonId) -> None:
        given(Payment, *IS_DUE).when(lambda due: due.approve(actor(person), today=TODAY)).then_refused(ApproverTookPart)

    def test_refuses_a_second_approval(self) -> None:
        approved = given(Payment, *IS_APPROVED)
        approved.when(lambda due: due.approve(actor(CLERK), today=TODAY)).then_refused(PaymentAtWrongStage)


class TestApproveForAnAccount:
    @staticmethod
    def due() -> MemoryFacts:
        """A payment of an award's first assessment, whose payee has bank details 1."""
        facts = agreed()
        facts.record({PAYMENT: (FELL_DUE.model_copy(update={"award": REFERENCE}),)}, VERIFIER)
        return facts

    def approved(self) -> MemoryFacts:
        facts = self.due()
        facts.play(lambda known: approve(known, PAYMENT, by=actor(APPROVER), today=TODAY), APPROVER)
        return facts

    def test_names_the_bank_details_that_the_payee_has_now(self) -> None:
        facts = self.approved()
        assert facts.happened(PAYMENT.name)[-1] == APPROVED.model_copy(update={"bank_details": 1})
        assert (facts[PAYMENT].bank_details, facts[PAYMENT].approved_by) == (1, APPROVER)

    def test_refuses_a_payee_without_bank_details(self) -> None:
        facts = agreed()
        facts.record({PAYMENT: (FELL_DUE.model_copy(update={"award": REFERENCE, "payee": "GB-COH-07796947"}),)}, VERIFIER)
        with pytest.raises(PayeeHasNoBankDetails):
            approve(facts, PAYMENT, by=actor(APPROVER), today=TODAY)

    def test_is_refused_twice_while_the_bank_details_are_the_same(self) -> None:
        with pytest.raises(PaymentAtWrongStage):
            approve(self.approved(), PAYMENT, by=actor(CLERK), today=TODAY)

    def test_replaces_an_approval_for_other_bank_details(self) -> None:
        facts = self.approved()
        agree_details(facts, SOCIAL_PRIME, OTHER_ACCOUNT)
        facts.play(lambda known: approve(known, PAYMENT, by=actor(CLERK), today=LATER), CLERK)
        stopped = PaymentStopped(payer=KIRKLEES, years=YEARS, on=LATER, was=Stage.APPROVED)
        assert facts.happened(PAYMENT.name)[-2:] == [stopped, APPROVED.model_copy(update={"bank_details": 2, "on": LATER})]
        assert (facts[PAYMENT].bank_details, facts[PAYMENT].approved_by) == (2, CLERK)

    def test_refuses_whoever_took_part_the_second_time_too(self) -> None:
        facts = self.approved()
        agree_details(facts, SOCIAL_PRIME, OTHER_ACCOUNT)
        with pytest.raises(ApproverTookPart):
            approve(facts, PAYMENT, by=actor(VERIFIER), today=LATER)


class TestDrawUp:
    def test_puts_an_approved_payment_into_a_run(self) -> None:
        given(Payment, *IS_APPROVED).when(lambda approved: approved.draw_up("2021-11-A", today=TODAY)).then(DRAWN_UP)

    def test_refuses_a_payment_that_nobody_approved(self) -> None:
        given(Payment, *IS_DUE).when(lambda due: due.draw_up("2021-11-A", today=TODAY)).then_refused(PaymentAtWrongStage)

    def test_refuses_a_payment_of_another_live_run(self) -> None:
        given(Payment, *IS_IN_RUN).when(lambda gone: gone.draw_up("2021-11-B", today=TODAY)).then_refused(PaymentAtWrongStage)


class TestStop:
    @pytest.mark.parametrize(
        ("happened", "was", "run"), [(IS_APPROVED, Stage.APPROVED, None), (IS_IN_RUN, Stage.IN_RUN, "2021-11-A")]
    )
    def test_takes_the_approval_back(
        self, happened: tuple[tuple[Event, PersonId], ...], was: Literal[Stage.APPROVED, Stage.IN_RUN], run: str | None
    ) -> None:
        stopped = PaymentStopped(payer=KIRKLEES, years=YEARS, on=TODAY, was=was, run=run)
        given(Payment, *happened).when(lambda payment: payment.stop(today=TODAY)).then(stopped)
        after = given(Payment, *happened, (stopped, RELEASER)).state
        assert (after.stage, after.approved_by, after.bank_details, after.run) == (Stage.DUE, None, None, None)

    @pytest.mark.parametrize("happened", [IS_DUE, IS_SENT, IS_PAID, IS_RETURNED, (*IS_DUE, (HELD, CLERK))])
    def test_refuses_a_payment_that_is_not_on_its_way_out(self, happened: tuple[tuple[Event, PersonId], ...]) -> None:
        given(Payment, *happened).when(lambda payment: payment.stop(today=TODAY)).then_refused(PaymentAtWrongStage)


class TestTakeOffRun:
    def test_leaves_the_payment_approved(self) -> None:
        given(Payment, *IS_IN_RUN).when(lambda waiting: waiting.take_off_run(today=TODAY)).then(TAKEN_OFF)
        again = given(Payment, *IS_IN_RUN, (TAKEN_OFF, CLERK)).state
        assert (again.stage, again.approved_by, again.run) == (Stage.APPROVED, APPROVER, None)

    def test_refuses_a_payment_that_was_sent(self) -> None:
        given(Payment, *IS_SENT).when(lambda sent: sent.take_off_run(today=TODAY)).then_refused(PaymentAtWrongStage)


class TestSettle:
    def test_records_the_day_on_which_the_money_moved(self) -> None:
        sent = given(Payment, *IS_SENT)
        sent.when(lambda payment: payment.settle("0000420042", value_date=LATER, today=LATER)).then(SETTLED)
        assert (SETTLED.value_date, SETTLED.amount) == (LATER, Money.parse("12750.07"))

    def test_refuses_a_payment_that_was_not_sent(self) -> None:
        waiting = given(Payment, *IS_IN_RUN)
        waiting.when(lambda payment: payment.settle("42", value_date=TODAY, today=TODAY)).then_refused(PaymentAtWrongStage)


class TestGiveBack:
    def test_records_that_a_sent_payment_came_back(self) -> None:
        sent = given(Payment, *IS_SENT)
        sent.when(lambda gone: gone.give_back(ReturnReason.ACCOUNT_CLOSED, on=LATER, today=LATER)).then(RETURNED)

    def test_records_that_a_settled_payment_came_back(self) -> None:
        paid = given(Payment, *IS_PAID)
        returned = RETURNED.model_copy(update={"was": Stage.PAID})
        paid.when(lambda gone: gone.give_back(ReturnReason.ACCOUNT_CLOSED, on=LATER, today=LATER)).then(returned)

    def test_refuses_a_payment_that_never_left(self) -> None:
        approved = given(Payment, *IS_APPROVED)
        command = approved.when(lambda payment: payment.give_back(ReturnReason.ACCOUNT_CLOSED, on=TODAY, today=TODAY))
        assert command.then_refused(PaymentAtWrongStage).details["must_be"] == "sent or paid"

    def test_refuses_another_reason_without_a_note(self) -> None:
        sent = given(Payment, *IS_SENT)
        sent.when(lambda gone: gone.give_back(ReturnReason.OTHER, on=LATER, today=LATER)).then_refused(ReturnNeedsNote)

    def test_refuses_a_day_ahead(self) -> None:
        sent = given(Payment, *IS_SENT)
        sent.when(lambda gone: gone.give_back(ReturnReason.ACCOUNT_CLOSED, on=LATER, today=TODAY)).then_refused(DateAhead)

    def test_refuses_a_day_before_it_was_sent(self) -> None:
        sent = given(Payment, *IS_SENT)
        before = date(2021, 11, 4)
        command = sent.when(lambda gone: gone.give_back(ReturnReason.ACCOUNT_CLOSED, on=before, today=LATER))
        command.then_refused(DateBeforeLastStep)


class TestReissue:
    def test_makes_a_returned_payment_due_again(self) -> None:
        returned = given(Payment, *IS_RETURNED)
        returned.when(lambda back: back.reissue(due_on=date(2021, 12, 9), today=LATER)).then(REISSUED)

    def test_wants_a_new_approval(self) -> None:
        again = given(Payment, *IS_RETURNED, (REISSUED, CLERK)).state
        assert (again.stage, again.approved_by, again.run, again.due_on) == (Stage.DUE, None, None, date(2021, 12, 9))

    def test_refuses_a_payment_that_did_not_come_back(self) -> None:
        given(Payment, *IS_PAID).when(lambda paid: paid.reissue(due_on=LATER, today=LATER)).then_refused(PaymentAtWrongStage)

    def test_takes_today_and_refuses_yesterday(self) -> None:
        returned = given(Payment, *IS_RETURNED)
        returned.when(lambda back: back.reissue(due_on=LATER, today=LATER)).then(REISSUED.model_copy(update={"due_on": LATER}))
        returned.when(lambda back: back.reissue(due_on=TODAY, today=LATER)).then_refused(DueDateHasPassed)


class TestReportPaid:
    def test_leaves_the_payment_due(self) -> None:
        outside = given(Payment, *IS_DUE_OUTSIDE)
        outside.when(lambda due: due.report_paid("KMC-00917", value_date=TODAY, today=TODAY)).then(REPORTED)
        assert given(Payment, *IS_REPORTED).state.stage is Stage.DUE

    def test_refuses_a_payer_that_pays_through_runs(self) -> None:
        due = given(Payment, *IS_DUE)
        command = due.when(lambda payment: payment.report_paid("KMC-00917", value_date=TODAY, today=TODAY))
        command.then_refused(PayerPaysThroughRuns)

    def test_refuses_a_payment_that_is_held(self) -> None:
        held = given(Payment, *IS_DUE_OUTSIDE, (HELD, CLERK))
        command = held.when(lambda payment: payment.report_paid("KMC-00917", value_date=TODAY, today=TODAY))
        command.then_refused(PaymentAtWrongStage)

    def test_refuses_a_second_report(self) -> None:
        reported = given(Payment, *IS_REPORTED)
        command = reported.when(lambda payment: payment.report_paid("KMC-00918", value_date=TODAY, today=TODAY))
        command.then_refused(PaymentIsReported)

    def test_takes_the_day_of_the_assessment_and_today_and_nothing_outside(self) -> None:
        outside = given(Payment, *IS_DUE_OUTSIDE)
        for day, refusal in ((date(2021, 10, 31), DateBeforeLastStep), (LATER, DateAhead)):
            command = outside.when(lambda due, day=day: due.report_paid("KMC-00917", value_date=day, today=TODAY))  # type: ignore[misc]
            command.then_refused(refusal)
        for day in (ASSESSED, TODAY):
            command = outside.when(lambda due, day=day: due.report_paid("KMC-00917", value_date=day, today=TODAY))  # type: ignore[misc]
            command.then(PaymentReported(reference="KMC-00917", value_date=day))


class TestWithdrawReport:
    def test_lets_another_report_follow(self) -> None:
        given(Payment, *IS_REPORTED).when(lambda due: due.withdraw_report()).then(PaymentReportWithdrawn())
        again = given(Payment, *IS_REPORTED, (PaymentReportWithdrawn(), CLERK))
        again.when(lambda due: due.report_paid("KMC-00917", value_date=TODAY, today=TODAY)).then(REPORTED)

    def test_refuses_where_nothing_is_reported(self) -> None:
        given(Payment, *IS_DUE_OUTSIDE).when(lambda due: due.withdraw_report()).then_refused(PaymentIsNotReported)


class TestConfirmReport:
    def test_makes_the_payment_paid_on_the_reported_value_date(self) -> None:
        given(Payment, *IS_REPORTED).when(lambda due: due.confirm_report(actor(APPROVER))).then(CONFIRMED)
        assert given(Payment, *IS_REPORTED, (CONFIRMED, APPROVER)).state.stage is Stage.PAID

    def test_refuses_a_payer_that_pays_through_runs(self) -> None:
        given(Payment, *IS_DUE).when(lambda due: due.confirm_report(actor(APPROVER))).then_refused(PayerPaysThroughRuns)

    def test_refuses_where_nothing_is_reported(self) -> None:
        outside = given(Payment, *IS_DUE_OUTSIDE)
        outside.when(lambda due: due.confirm_report(actor(APPROVER))).then_refused(PaymentIsNotReported)

    def test_refuses_the_reporter(self) -> None:
        given(Payment, *IS_REPORTED).when(lambda due: due.confirm_report(actor(CLERK))).then_refused(ReporterMayNotConfirm)
