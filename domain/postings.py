"""What every event means in money: which amounts it moves, from which stage to which, on which effective date.

Two planes, each summing to zero in every event:

- **claims**, by outcome and financial year of achievement: `claimed` is the (negative) source; what was claimed is at any time
  `undecided`, `rejected`, `deferred`, `awaiting`, `declined`, `curtailed.<limit>` or `assessed`;
- **money**, by payer and financial year of achievement (of the stated date, for other payments): `apportioned` is the (negative)
  source of what was assessed, `other-payments` that of what is paid otherwise (M10); it is at any time `unfunded`, `due`, `held`,
  `approved`, `in-run`, `sent`, `paid`, `returned` or `netted-off`, less what was taken back of it: `receivable.open`,
  `receivable.netted-off`, `receivable.recovered` and `receivable.written-off`, which are negative.

What was assessed elsewhere, before the award's position was opened here, was claimed and assessed, and is `paid` or `due`, by one
and the same entry; what was claimed there and not assessed has no amount here.

What an assessment takes back (M8, M9) comes off `due` line by line, as it came; where that leaves a payer owed, opening
the receivable makes `due` good again.

| event | effective date |
| --- | --- |
| `claim.lines-*` | the line's `achieved_on`: when the outcome came about, so that a year end sees what was earned by then |
| `payment.settled`, `payment.report-confirmed`, `receivable.recovered` | the value date |
| `other-payment.agreed` | the date that was stated of it, which decides its year and terms |
| `opening-position.figures-opened` | the last day of its year, or the earlier day of the position; `on` for what is owed back |
| other `payment.*` and `receivable.*` | the Europe/London day on which it was recorded (`on`) |
| all others | move nothing |

`payment.fell-due` moves nothing either: its amount was posted to `due` line by line when it was assessed.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Final, NamedTuple, cast, get_args

from domain import (
    award,
    bank_details,
    claim,
    clawback,
    erasure,
    key,
    log,
    opening_position,
    other_payment,
    participant,
    party,
    payment,
    person,
    receivable,
    reconsideration,
    run,
    settlement,
    webhook,
)
from domain.assessment import AssessedLine, ReversedLine
from domain.calendar import financial_year, last_day
from domain.event import Event
from domain.events import AnyEvent
from domain.money import Money

Moving = (
    claim.ClaimLinesListed
    | claim.ClaimLinesWithdrawn
    | claim.ClaimLinesDecided
    | claim.ClaimLinesDeclined
    | claim.ClaimLinesAssessed
    | claim.ClaimLinesReversed
    | claim.ClaimLinesRestated
    | payment.PaymentStep
    | payment.PaymentNettedOff
    | other_payment.OtherPaymentAgreed
    | opening_position.OpeningFiguresOpened
    | receivable.ReceivableOpened
    | receivable.ReceivableNettedOff
    | receivable.ReceivableRecovered
    | receivable.ReceivableWrittenOff
)
"""The events that have postings; whoever keeps postings need not look at any other."""


class Posting(NamedTuple):
    """An amount on an account (stage, outcome, payer, financial year), from an effective date on."""

    stage: str
    outcome: str | None
    payer: str | None
    year: str
    effective: date
    amount: Money


_MOVING: Final = frozenset(get_args(Moving))


Account = tuple[str, str | None, str | None, str, date]
"""Stage, outcome, payer, financial year, effective date."""
_Move = tuple[Account, int]


def postings(event: Event) -> list[Posting]:
    """The postings of an event, one for each account and effective date, none of nothing; they sum to zero."""
    return [Posting(*account, Money(amount)) for account, amount in sums(event).items()]


def sums(event: Event) -> dict[Account, int]:
    """The postings of an event as pence by account, for whoever adds up a great many."""
    if type(event) not in _MOVING:
        return {}
    found: dict[Account, int] = {}
    for account, amount in _each(cast("AnyEvent", event)):
        found[account] = found.get(account, 0) + int(amount)
    for nothing in [account for account, amount in found.items() if not amount]:
        del found[nothing]
    return found


def _each(event: AnyEvent) -> Iterable[_Move]:  # noqa: C901, PLR0912 (one case an event)
    match event:
        case claim.ClaimLinesListed(lines=listed):
            for row in listed:
                yield from _claim(row, {"claimed": -int(row.value), "undecided": row.value})
        case claim.ClaimLinesWithdrawn(lines=withdrawn):
            for moved in withdrawn:
                yield from _claim(moved, {"undecided": -moved.amount, "claimed": moved.amount})
        case claim.ClaimLinesDecided(lines=decided):
            for decision in decided:
                yield from _claim(decision, _decided(decision))
        case claim.ClaimLinesDeclined(lines=declined):
            for moved in declined:
                yield from _claim(moved, {"awaiting": -moved.amount, "declined": moved.amount})
        case claim.ClaimLinesAssessed(lines=assessed):
            for line in assessed:
                yield from _assessed(line)
        case claim.ClaimLinesReversed(lines=taken, clawed_back=clawed_back):
            for back in taken:
                yield from _reversed(back, "rejected" if clawed_back else "awaiting")
        case claim.ClaimLinesRestated(lines=restated):
            for restatement in restated:
                yield from _claim(restatement, _restated(restatement))
        case payment.PaymentMoved():
            yield from _moved(event)
        case payment.PaymentNettedOff():
            yield from _by_year(event, event.was, "netted-off")
        case other_payment.OtherPaymentAgreed():
            yield from _stated(event)
        case opening_position.OpeningFiguresOpened():
            yield from _opened(event)
        case receivable.ReceivableOpened():
            yield from _by_year(event, _OPEN, "due")
        case receivable.ReceivableNettedOff():
            yield from _by_year(event, "receivable.netted-off", _OPEN)
        case receivable.ReceivableRecovered():
            yield from _by_year(event, "receivable.recovered", _OPEN)
        case receivable.ReceivableWrittenOff():
            yield from _by_year(event, "receivable.written-off", _OPEN)
        case (
            party.PartyRegistered()
            | person.PersonRegistered()
            | person.AdministratorAppointed()
            | key.KeyIssued()
            | key.KeyAgreed()
            | key.KeyRevoked()
            | key.SignInGiven()
            | award.AwardRegistered()
            | award.TermsProposed()
            | award.AwardAgreed()
            | award.TermsAgreed()
            | award.ClaimOpened()
            | award.ClaimConcluded()
            | award.ProposalOpened()
            | award.ProposalConcluded()
            | award.AwardAssessed()
            | award.ReceivableChanged()
            | award.AwardClosedToClaims()
            | award.StepProposed()
            | award.StepWithdrawn()
            | award.AwardPaused()
            | award.AwardResumed()
            | award.AwardReopened()
            | award.AwardCompleted()
            | claim.ClaimSubmitted()
            | claim.ClaimReceiptConfirmed()
            | claim.ClaimQueried()
            | claim.ClaimAnswered()
            | claim.ClaimWithdrawn()
            | claim.ClaimVerified()
            | claim.ClaimCertified()
            | claim.ClaimDeclined()
            | claim.ClaimLapsed()
            | participant.ParticipantRecognised()
            | participant.ParticipantRecognisedBefore()
            | participant.ParticipantReleased()
            | participant.ParticipantAssessed()
            | participant.ParticipantErased()
            | erasure.ErasureRecorded()
            | payment.PaymentFellDue()
            | payment.PaymentReported()
            | payment.PaymentReportWithdrawn()
            | clawback.ClawbackRaised()
            | clawback.ClawbackWithdrawn()
            | clawback.ClawbackAgreed()
            | reconsideration.ReconsiderationProposed()
            | reconsideration.ReconsiderationWithdrawn()
            | reconsideration.ReconsiderationAgreed()
            | other_payment.OtherPaymentProposed()
            | other_payment.OtherPaymentWithdrawn()
            | opening_position.OpeningPositionProposed()
            | opening_position.OpeningFiguresListed()
            | opening_position.OpeningLinesListed()
            | opening_position.OpeningPositionWithdrawn()
            | opening_position.OpeningPositionAgreed()
            | receivable.WriteOffProposed()
            | receivable.WriteOffWithdrawn()
            | bank_details.BankDetailsProposed()
            | bank_details.BankDetailsAgreed()
            | bank_details.BankDetailsWithdrawn()
            | run.RunDrawnUp()
            | run.RunReleased()
            | run.RunCancelled()
            | run.RunSettlementRecorded()
            | run.RunReturnRecorded()
            | settlement.SettlementRecorded()
            | webhook.WebhookRegistered()
            | webhook.WebhookChanged()
            | webhook.WebhookConfirmed()
            | webhook.WebhookEnabled()
            | webhook.WebhookDisabled()
            | webhook.WebhookSecretRotated()
            | webhook.WebhookRemoved()
            | log.LogRestored()
            | log.KeyIntroduced()
        ):
            return


def _claim(line: "_Line", stages: Mapping[str, int]) -> Iterator[_Move]:
    year = financial_year(line.achieved_on)
    for stage, amount in stages.items():
        yield (stage, line.outcome, None, year, line.achieved_on), amount


_Line = claim.ClaimLine | claim.Moved | claim.DecidedLine | claim.RestatedLine | AssessedLine | ReversedLine


def _decided(decision: claim.DecidedLine) -> dict[str, int]:
    accepted, rejected = int(decision.accepted_value), int(decision.rejected_value)
    deferred = int(decision.deferred_value)
    return {"awaiting": accepted, "rejected": rejected, "deferred": deferred, "undecided": -(accepted + rejected + deferred)}


def _assessed(line: AssessedLine) -> Iterator[_Move]:
    outcome, on, assessed = line.outcome, line.achieved_on, int(line.assessed)
    year = financial_year(on)
    yield ("awaiting", outcome, None, year, on), -int(line.accepted)
    yield ("assessed", outcome, None, year, on), assessed
    for limit in line.limits:
        yield (f"curtailed.{limit.limit}", outcome, None, year, on), limit.curtailed
    yield ("apportioned", None, None, year, on), -assessed
    yield ("unfunded", None, None, year, on), line.unfunded
    for allotment in line.allotments:
        yield ("due", None, allotment.payer, year, on), allotment.allotted


def _reversed(line: ReversedLine, goes_to: str) -> Iterator[_Move]:
    less = {f"curtailed.{limit.limit}": -limit.amount for limit in line.limits}
    yield from _claim(line, {goes_to: line.worth, "assessed": -line.reversed, **less})
    year, on = financial_year(line.achieved_on), line.achieved_on
    yield ("apportioned", None, None, year, on), line.reversed
    yield ("unfunded", None, None, year, on), -line.unfunded
    for each in line.reversals:
        yield ("due", None, each.payer, year, on), -each.reversed


def _stated(event: other_payment.OtherPaymentAgreed) -> Iterator[_Move]:
    year, on, split = financial_year(event.dated), event.dated, event.split
    yield ("other-payments", None, None, year, on), -split.amount
    yield ("unfunded", None, None, year, on), split.unfunded
    for allotment in split.allotments:
        yield ("due", None, allotment.payer, year, on), allotment.allotted


def _opened(event: opening_position.OpeningFiguresOpened) -> Iterator[_Move]:
    """Each figure by itself sums to nothing on each day, so that it may stand in any of the entries that hold them."""

    def post(stage: str, year: str, amount: Money, *, outcome: str | None = None, payer: str | None = None) -> _Move:
        return (stage, outcome, payer, year, min(last_day(year), event.stands_on)), amount

    for done in event.outcomes:
        yield post("claimed", done.year, -done.assessed, outcome=done.outcome)
        yield post("assessed", done.year, done.assessed, outcome=done.outcome)
    for given in event.payers:
        yield post("apportioned", given.year, -given.allotted)
        yield post("paid", given.year, given.paid - given.owed_back, payer=given.payer)
        yield post("due", given.year, given.due, payer=given.payer)
        # What is owed back becomes a receivable by the same decision, and so was nobody's debt on any day before it.
        yield ("paid", None, given.payer, given.year, event.on), given.owed_back
        yield ("due", None, given.payer, given.year, event.on), -given.owed_back
    for other in event.years:
        yield post("other-payments", other.year, -other.other_payments)
        yield post("unfunded", other.year, other.unfunded)
        yield post("apportioned", other.year, other.other_payments - other.unfunded)


def _restated(line: claim.RestatedLine) -> dict[str, Money]:
    return {
        "claimed": -line.claimed,
        "undecided": line.undecided,
        "awaiting": line.awaiting,
        "declined": line.declined,
        "rejected": line.rejected,
        "deferred": line.deferred,
    }


_OPEN: Final = "receivable.open"

_STEPS: dict[type[payment.PaymentMoved], tuple[str, str]] = {
    payment.PaymentHeld: ("due", "held"),
    payment.PaymentHoldLifted: ("held", "due"),
    payment.PaymentApproved: ("due", "approved"),
    payment.PaymentDrawnUp: ("approved", "in-run"),
    payment.PaymentTakenOffRun: ("in-run", "approved"),
    payment.PaymentSent: ("in-run", "sent"),
    payment.PaymentSettled: ("sent", "paid"),
    payment.PaymentReissued: ("returned", "due"),
    payment.PaymentReportConfirmed: ("due", "paid"),
}


def _moved(event: payment.PaymentMoved) -> Iterator[_Move]:
    if isinstance(event, payment.PaymentReturned | payment.PaymentStopped):
        return _by_year(event, event.was, event.leads_to)
    return _by_year(event, *_STEPS[type(event)])


_ByYear = (
    payment.PaymentMoved
    | payment.PaymentNettedOff
    | receivable.ReceivableOpened
    | receivable.ReceivableNettedOff
    | receivable.ReceivableRecovered
    | receivable.ReceivableWrittenOff
)


def _by_year(event: _ByYear, source: str, target: str) -> Iterator[_Move]:
    payer, on = event.payer, event.on
    for year, amount in event.years.items():
        yield (source, None, payer, year, on), -int(amount)
        yield (target, None, payer, year, on), amount
