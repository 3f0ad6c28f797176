"""A payment run: payments of one payer from one paying account, released together to the bank.

A run belongs to no award, so its entries hold totals only; which payments are in it stands in the vault, as a list that the
entry commits to, and in each payment's own stream.

It is drawn up with the bank details that each payee has then, and its file carries those. A payment whose payee has others by the
release is stopped: it is due again, needs a new approval, and the rest goes without it.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum
from hashlib import sha256
from io import StringIO
from typing import Any, Final, Literal, NamedTuple

from domain.aggregate import Actor, Aggregate, Commitment, Decision, Facts, PersonId, Stream
from domain.bank_details import Account, BankDetailsChanged, Numbered, agreed_of, bank_details_stream, expect_agreed
from domain.calendar import Day
from domain.event import Event
from domain.money import NOTHING, Money, total
from domain.obligation import unsent_again
from domain.payment import Payment, ReturnReason, Stage, payment_stream
from domain.reference import OrganisationId, Reference, canonical
from domain.refusal import Absent, Fault, FourEyes, Invalid, Refused
from domain.settlement import BankReference, BankReferenceIsSpent, SettlementRecorded, settlement_stream

MOST_PAYMENTS: Final = 1_000
"""The most payments that a run may have."""

COLUMNS: Final = ("award", "assessment", "payer", "payee", "amount", "reference")
"""The columns of the file that goes to the bank, of a run that was drawn up before there were bank details."""

ACCOUNT_COLUMNS: Final = ("sort_code", "account_number", "account_name")
"""The columns that follow them, of every other run."""

# Events ---------------------------------------------------------------------------------------------------------------


class RunDrawnUp(Event):
    """Somebody puts approved payments together; they leave when a second person releases the run."""

    type: Literal["run.drawn-up"] = "run.drawn-up"
    run: Reference
    payer: OrganisationId
    account: Reference
    count: int
    total: Money
    payments: Commitment
    on: Day
    details: Commitment | None = None
    """To the payees' bank details with which it was drawn up."""

    def takes_effect(self) -> date:
        """On the day on which it was done."""
        return self.on


class RunReleased(Event):
    """A second person lets the run go to the bank, as the file of this SHA-256 and no other.

    `stopped` payments, whose payees' bank details had changed, are neither in the file nor in the count and the total.
    """

    type: Literal["run.released"] = "run.released"
    file_sha256: str
    count: int
    total: Money
    on: Day
    stopped: int | None = None
    payments: Commitment | None = None
    """To the list of payments that left, if some were stopped."""

    def takes_effect(self) -> date:
        """On the day on which it was done."""
        return self.on


class RunCancelled(Event):
    """The run will not be released; its payments are approved, as before."""

    type: Literal["run.cancelled"] = "run.cancelled"
    reason: Commitment
    on: Day

    def takes_effect(self) -> date:
        """On the day on which it was done."""
        return self.on


class RunSettlementRecorded(Event):
    """The bank settled some of the run's payments, all to one payee, in one movement."""

    type: Literal["run.settlement-recorded"] = "run.settlement-recorded"
    bank_reference: BankReference
    value_date: Day
    payee: OrganisationId
    amount: Money
    count: int

    def takes_effect(self) -> date:
        """On the bank's value date."""
        return self.value_date


class RunReturnRecorded(Event):
    """A payment of the run came back before the bank had settled it."""

    type: Literal["run.return-recorded"] = "run.return-recorded"
    amount: Money
    on: Day

    def takes_effect(self) -> date:
        """On the day that the bank states."""
        return self.on


RunEvent = RunDrawnUp | RunReleased | RunCancelled | RunSettlementRecorded | RunReturnRecorded


# Refusals -------------------------------------------------------------------------------------------------------------


class NoSuchRun(Absent):
    """There is no payment run of this reference."""


class RunExists(Refused):
    """A payment run of this reference, without regard to case, exists already."""


class PaymentsNotNamedOnce(Invalid):
    """Name from 1 to 1,000 payments, each of them once."""


class PaymentsCannotBeDrawnUp(Refused):
    """Some of these payments cannot go into this run.

    Each must be approved for the bank details that its payee has now, and be paid by this payer through runs.
    """


class RunIsNotDrawnUp(Refused):
    """The run does not wait for its release: it was released or cancelled before."""


class RunIsNotReleased(Refused):
    """The run has not been released, so the bank cannot have settled or returned any of it."""


class EveryPaymentIsStopped(Refused):
    """Every payee of this run has other bank details by now: cancel it, and have its payments approved again."""


class RunDetailsAreErased(Refused):
    """Bank details that the run was drawn up with have been erased, so its file cannot be made."""


class ReleaserDrewUpTheRun(FourEyes):
    """Whoever drew up the run may not release it; a second person must."""


class ReleaserApproved(FourEyes):
    """Whoever approved a payment may not release the run that it is in."""


class PaymentsAreNotInRun(Refused):
    """Some of these payments are not waiting in this run for what the bank tells."""


class PaymentsOfSeveralPayees(Invalid):
    """A settlement pays one payee, and these payments are for several."""


class SettlementDoesNotAddUp(Invalid):
    """The amount that the bank settled is not the sum of these payments."""


class ValueDateBeforeRelease(Invalid):
    """The value date lies before the run's release."""


class ValueDateAhead(Invalid):
    """The value date lies in the future."""


# The run --------------------------------------------------------------------------------------------------------------


class RunStage(StrEnum):
    """Where a run stands; it is settled when the bank has settled or returned every payment in it."""

    DRAWN_UP = "drawn-up"
    RELEASED = "released"
    CANCELLED = "cancelled"
    SETTLED = "settled"


class PaymentName(NamedTuple):
    """A payment of a run's payer."""

    award: str
    assessment: int


@dataclass(frozen=True, slots=True)
class Run(Aggregate):
    """Payments of one payer, released together. `settled`, `returned` and `stopped` count payments, `settled_total` is in pence.

    `count` and `total` are of what was drawn up, and from the release on of what left.
    """

    missing = NoSuchRun

    run: str
    payer: str
    account: str
    count: int
    total: Money
    payments: Commitment
    drawn_up_by: PersonId
    drawn_up_on: date
    released_by: PersonId | None = None
    released_on: date | None = None
    file_sha256: str | None = None
    cancelled: bool = False
    settled: int = 0
    settled_total: Money = NOTHING
    returned: int = 0
    stopped: int = 0
    details: Commitment | None = None
    left: Commitment | None = None
    """The list of payments that left, if some were stopped."""

    @property
    def stage(self) -> RunStage:
        """Where the run stands."""
        if self.cancelled:
            return RunStage.CANCELLED
        if self.released_on is None:
            return RunStage.DRAWN_UP
        return RunStage.SETTLED if self.settled + self.returned == self.count else RunStage.RELEASED

    def expect_drawn_up(self) -> None:
        """Refuse unless the run waits for its release."""
        if self.stage is not RunStage.DRAWN_UP:
            raise RunIsNotDrawnUp(run=self.run, stage=self.stage)

    def expect_released(self) -> date:
        """Refuse unless the run was released; the day on which it was."""
        if self.released_on is None:
            raise RunIsNotReleased(run=self.run, stage=self.stage)
        return self.released_on

    @classmethod
    def evolve(cls, state: "Run | None", event: RunEvent, by: PersonId) -> "Run":
        """The run after an event."""
        if isinstance(event, RunDrawnUp):
            return cls(
                run=event.run,
                payer=event.payer,
                account=event.account,
                count=event.count,
                total=event.total,
                payments=event.payments,
                drawn_up_by=by,
                drawn_up_on=event.on,
                details=event.details,
            )
        if state is None:
            raise LookupError(f"{event.type} before run.drawn-up")
        match event:
            case RunReleased():
                return replace(
                    state,
                    released_by=by,
                    released_on=event.on,
                    file_sha256=event.file_sha256,
                    count=event.count,
                    total=event.total,
                    stopped=event.stopped or 0,
                    left=event.payments,
                )
            case RunCancelled():
                return replace(state, cancelled=True)
            case RunSettlementRecorded(count=count, amount=amount):
                return replace(state, settled=state.settled + count, settled_total=state.settled_total + amount)
            case RunReturnRecorded():
                return replace(state, returned=state.returned + 1)


def run_stream(reference: str) -> Stream[Run]:
    """The stream of a payment run."""
    return Stream(f"run/{canonical(reference)}", Run)


# Commands -------------------------------------------------------------------------------------------------------------


def draw_up(facts: Facts, reference: str, *, payer: str, account: str, payments: Sequence[PaymentName], today: date) -> Decision:
    """Put a payer's approved payments into a run, in order of award and assessment, with the bank details of their payees."""
    run = run_stream(reference)
    if facts.get(run):
        raise RunExists(run=reference)
    streams = _named(payer, payments)
    facts.prefetch(streams)
    if faults := [
        Fault(f"payments.{stream.name}", why) for stream in streams for why in _against(facts, stream, reference, today)
    ]:
        raise PaymentsCannotBeDrawnUp(faults)
    approved = [facts[stream] for stream in streams]
    details = {payee: expect_agreed(facts, payee) for payee in sorted({payment.payee for payment in approved})}
    drawn_up = RunDrawnUp(
        run=reference,
        payer=payer,
        account=account,
        count=len(streams),
        total=_total(approved),
        payments=facts.conceal(_listed(approved)),
        on=today,
        details=facts.conceal(_frozen(details)),
    )
    return {run: (drawn_up,), **_events(streams, [payment.draw_up(reference, today=today) for payment in approved])}


def release(facts: Facts, reference: str, by: Actor, *, today: date) -> Decision:
    """Let a run go to the bank, as somebody who neither drew it up nor approved a payment in it (L1).

    Payments whose payees' bank details have changed are stopped, and the rest goes.
    """
    run = run_stream(reference)
    drawn_up = facts[run]
    drawn_up.expect_drawn_up()
    if by.person == drawn_up.drawn_up_by:
        raise ReleaserDrewUpTheRun
    streams = payments_of(facts, drawn_up)
    payments = [facts[stream] for stream in streams]
    if approved := [f"{each.award}/{each.assessment}" for each in payments if each.approved_by == by.person]:
        raise ReleaserApproved(approved=approved)
    changed = _changed(facts, drawn_up, payments)
    sent = [payment for payment in payments if payment.payee not in changed]
    if not sent:
        raise EveryPaymentIsStopped(payees=sorted(changed))
    left = facts.conceal(_listed(sent)) if changed else None
    released = RunReleased(
        file_sha256=sha256(file_of(facts, replace(drawn_up, left=left))).hexdigest(),
        count=len(sent),
        total=_total(sent),
        on=today,
        stopped=len(payments) - len(sent) or None,
        payments=left,
    )
    stopped = {stream: each.stop(today=today) for stream, each in zip(streams, payments, strict=True) if each.payee in changed}
    going = {stream: (each.send(today=today),) for stream, each in zip(streams, payments, strict=True) if stream not in stopped}
    return {run: (released,), **unsent_again(facts, stopped, today=today), **going}


def cancel(facts: Facts, reference: str, reason: str, *, today: date) -> Decision:
    """Give up a run that waits for its release; the reason goes into the vault (L5)."""
    run = run_stream(reference)
    drawn_up = facts[run]
    drawn_up.expect_drawn_up()
    streams = payments_of(facts, drawn_up)
    cancelled = RunCancelled(reason=facts.conceal(reason), on=today)
    steps = {stream: facts[stream].take_off_run(today=today) for stream in streams}
    return {run: (cancelled,), **unsent_again(facts, steps, today=today)}


def settle(
    facts: Facts,
    reference: str,
    *,
    bank_reference: str,
    value_date: date,
    amount: Money,
    payments: Sequence[PaymentName],
    today: date,
) -> Decision:
    """Record that the bank settled payments of a run to one payee, in one movement of exactly their sum."""
    run = run_stream(reference)
    released = facts[run]
    _expect_value_date(released.expect_released(), value_date, today)
    settlement = settlement_stream(released.payer, released.account, bank_reference)
    if facts.get(settlement):
        raise BankReferenceIsSpent(account=released.account, bank_reference=bank_reference)
    streams = _waiting(facts, released, payments)
    sent = [facts[stream] for stream in streams]
    payee = _one_payee(sent)
    if amount != _total(sent):
        raise SettlementDoesNotAddUp(settled=amount, payments=_total(sent))
    recorded = RunSettlementRecorded(
        bank_reference=bank_reference, value_date=value_date, payee=payee, amount=amount, count=len(sent)
    )
    spent = SettlementRecorded(
        payer=released.payer,
        account=released.account,
        bank_reference=bank_reference,
        run=released.run,
        amount=amount,
        value_date=value_date,
    )
    settled = [payment.settle(bank_reference, value_date=value_date, today=today) for payment in sent]
    return {run: (recorded,), settlement: (spent,), **_events(streams, settled)}


def give_back(
    facts: Facts, payment: Stream[Payment], reason: ReturnReason, note: str | None = None, *, on: date, today: date
) -> Decision:
    """Record that a payment's money came back, in its run too if the bank had not settled it; the note goes into the vault."""
    gone = facts[payment]
    commitment = facts.conceal(note, gone.award) if note else None
    returned = gone.give_back(reason, commitment, on=on, today=today)
    if gone.stage is Stage.PAID or gone.run is None:
        return {payment: (returned,)}
    return {payment: (returned,), run_stream(gone.run): (RunReturnRecorded(amount=gone.amount, on=on),)}


# What is in a run -----------------------------------------------------------------------------------------------------


def payments_of(facts: Facts, run: Run) -> list[Stream[Payment]]:
    """The payments that were put into a run, in its order."""
    return [payment_stream(award, assessment, run.payer) for award, assessment, _, _ in listing(facts, run.payments)]


def file_of(facts: Facts, run: Run) -> bytes:
    """The file that goes to the bank: always the same bytes for the same run, as UTF-8, with a heading and CRLF."""
    accounts = _accounts(facts, run)
    rows = [
        (award, assessment, run.payer, payee, amount, f"{run.run}/{number}", *accounts.get(payee, ()))
        for number, (award, assessment, payee, amount) in enumerate(listing(facts, run.left or run.payments), start=1)
    ]
    heading = (*COLUMNS, *(ACCOUNT_COLUMNS if run.details else ()))
    written = StringIO(newline="")
    csv.writer(written).writerows([heading, *([_quoted(cell) for cell in row] for row in rows)])
    return written.getvalue().encode()


def frozen(facts: Facts, run: Run) -> dict[str, tuple[int, Commitment]]:
    """The number and commitment of each payee's bank details with which a run was drawn up."""
    if run.details is None:
        return {}
    return {payee: (number, Commitment(details)) for payee, number, details in json.loads(_revealed(facts, run.details))}


def _accounts(facts: Facts, run: Run) -> dict[str, tuple[str, str, str]]:
    """What a run's file says of the accounts of its payees."""
    texts = {payee: facts.reveal(details) for payee, (_, details) in frozen(facts, run).items()}
    if erased := sorted(payee for payee, text in texts.items() if text is None):
        raise RunDetailsAreErased(payees=erased)
    accounts = {payee: Account.read(text) for payee, text in texts.items() if text is not None}
    return {payee: (each.sort_code, each.account_number, each.account_name) for payee, each in accounts.items()}


def _changed(facts: Facts, run: Run, payments: Sequence[Payment]) -> frozenset[str]:
    """The payees that have other bank details now than those with which a run was drawn up."""
    payees = {payment.payee for payment in payments}
    facts.prefetch(bank_details_stream(payee) for payee in sorted(payees))
    known = {payee: number for payee, (number, _) in frozen(facts, run).items()}
    now = {payee: agreed.number for payee in payees if (agreed := agreed_of(facts, payee))}
    return frozenset(payee for payee in payees if now.get(payee) != known.get(payee))


def _frozen(details: Mapping[str, Numbered]) -> str:
    return json.dumps([[payee, each.number, each.details] for payee, each in details.items()], separators=(",", ":"))


def _quoted(cell: Any) -> str:
    """A cell that no spreadsheet takes for a formula."""
    text = str(cell)
    return f"'{text}" if text.startswith(("=", "+", "-", "@")) else text


def _listed(payments: Sequence[Payment]) -> str:
    return json.dumps([[each.award, each.assessment, each.payee, str(each.amount)] for each in payments], separators=(",", ":"))


def listing(facts: Facts, payments: Commitment) -> list[tuple[str, int, str, str]]:
    """A run's list of payments: award, assessment, payee, amount."""
    return [(award, assessment, payee, amount) for award, assessment, payee, amount in json.loads(_revealed(facts, payments))]


def _revealed(facts: Facts, kept: Commitment) -> str:
    text = facts.reveal(kept)
    if text is None:
        raise LookupError("a list of a payment run is not in the vault")
    return text


def _by_assessment(stream: Stream[Payment]) -> tuple[str, int]:
    _, award, _, assessment, *_ = stream.name.split("/")
    return award, int(assessment)


def _named(payer: str, payments: Sequence[PaymentName]) -> list[Stream[Payment]]:
    """The streams of a payer's payments, in order of award and assessment, if each is named once."""
    streams = sorted({payment_stream(*name, payer) for name in payments}, key=_by_assessment)
    if len(streams) < len(payments) or not 1 <= len(payments) <= MOST_PAYMENTS:
        raise PaymentsNotNamedOnce(payments=len(payments), different=len(streams))
    return streams


def _against(facts: Facts, stream: Stream[Payment], run: str, today: date) -> Iterator[str]:
    """Why a payment cannot be drawn up, if it cannot."""
    try:
        payment = facts[stream]
        payment.draw_up(run, today=today)
        if expect_agreed(facts, payment.payee).number != payment.bank_details:
            raise BankDetailsChanged
    except Refused as refused:
        yield refused.message


def _waiting(facts: Facts, run: Run, payments: Sequence[PaymentName]) -> list[Stream[Payment]]:
    """The payments' streams, if each was sent with this run and the bank has not told of it yet."""
    streams = _named(run.payer, payments)
    facts.prefetch(streams)
    states = [(stream, facts.get(stream)) for stream in streams]
    faults = [Fault(f"payments.{stream.name}", _whereabouts(state)) for stream, state in states if not _waits(state, run)]
    if faults:
        raise PaymentsAreNotInRun(faults)
    return streams


def _waits(payment: Payment | None, run: Run) -> bool:
    return payment is not None and payment.stage is Stage.SENT and payment.run == run.run


def _whereabouts(payment: Payment | None) -> str:
    if payment is None:
        return "there is no such payment"
    return f"is {payment.stage}" + (f" in run {payment.run}" if payment.run else "")


def _one_payee(payments: Sequence[Payment]) -> str:
    payees = sorted({payment.payee for payment in payments})
    if len(payees) > 1:
        raise PaymentsOfSeveralPayees(payees=payees)
    return payees[0]


def _expect_value_date(released_on: date, value_date: date, today: date) -> None:
    if value_date < released_on:
        raise ValueDateBeforeRelease(value_date=value_date, released_on=released_on)
    if value_date > today:
        raise ValueDateAhead(value_date=value_date, today=today)


def _total(payments: Sequence[Payment]) -> Money:
    return total(payment.amount for payment in payments)


def _events(streams: Sequence[Stream[Payment]], events: Sequence[Event]) -> dict[Stream[Any], Sequence[Event]]:
    return {stream: (event,) for stream, event in zip(streams, events, strict=True)}
