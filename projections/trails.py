"""The audit trail of an award: its entries in order, each in a sentence, with the amounts that it moved.

It is read from the log itself. Everything that it says follows from each entry alone, so it needs no rows of its own, is never
behind, and shows what it showed on the day when it is asked as of a moment. Texts of the vault are not in it.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Final, Protocol, cast, get_args

from domain.aggregate import Commitment, PersonId
from domain.assessment import Kind
from domain.award import (
    AwardAgreed,
    AwardAssessed,
    AwardClosedToClaims,
    AwardCompleted,
    AwardEvent,
    AwardPaused,
    AwardRegistered,
    AwardReopened,
    AwardResumed,
    ClaimConcluded,
    ClaimOpened,
    ProposalConcluded,
    ProposalOpened,
    ReceivableChanged,
    StepProposed,
    StepWithdrawn,
    TermsAgreed,
    TermsProposed,
)
from domain.bank_details import BankDetailsAgreed, BankDetailsEvent, BankDetailsProposed, BankDetailsWithdrawn
from domain.claim import (
    ClaimAnswered,
    ClaimCertified,
    ClaimDeclined,
    ClaimEvent,
    ClaimLapsed,
    ClaimLinesAssessed,
    ClaimLinesDecided,
    ClaimLinesDeclined,
    ClaimLinesListed,
    ClaimLinesRestated,
    ClaimLinesReversed,
    ClaimLinesWithdrawn,
    ClaimQueried,
    ClaimReceiptConfirmed,
    ClaimSubmitted,
    ClaimVerified,
    ClaimWithdrawn,
    DecidedLine,
)
from domain.clawback import ClawbackAgreed, ClawbackEvent, ClawbackRaised, ClawbackWithdrawn
from domain.erasure import ErasureEvent, ErasureRecorded
from domain.event import Event
from domain.key import KeyAgreed, KeyEvent, KeyIssued, KeyRevoked, SignInEvent, SignInGiven
from domain.log import KeyIntroduced, LogEvent, LogRestored
from domain.money import Money, total
from domain.opening_position import (
    OpeningFiguresListed,
    OpeningFiguresOpened,
    OpeningLinesListed,
    OpeningPositionAgreed,
    OpeningPositionEvent,
    OpeningPositionProposed,
    OpeningPositionWithdrawn,
)
from domain.other_payment import OtherPaymentAgreed, OtherPaymentEvent, OtherPaymentProposed, OtherPaymentWithdrawn
from domain.participant import (
    ParticipantAssessed,
    ParticipantErased,
    ParticipantEvent,
    ParticipantRecognised,
    ParticipantRecognisedBefore,
    ParticipantReleased,
)
from domain.party import PartyEvent, PartyRegistered
from domain.payment import (
    PaymentApproved,
    PaymentDrawnUp,
    PaymentEvent,
    PaymentFellDue,
    PaymentHeld,
    PaymentHoldLifted,
    PaymentMoved,
    PaymentNettedOff,
    PaymentReissued,
    PaymentReportConfirmed,
    PaymentReported,
    PaymentReportWithdrawn,
    PaymentReturned,
    PaymentSent,
    PaymentSettled,
    PaymentStopped,
    PaymentTakenOffRun,
)
from domain.person import AdministratorAppointed, PersonEvent, PersonRegistered
from domain.postings import postings
from domain.receivable import (
    ReceivableEvent,
    ReceivableNettedOff,
    ReceivableOpened,
    ReceivableRecovered,
    ReceivableWrittenOff,
    WriteOffProposed,
    WriteOffWithdrawn,
)
from domain.reconsideration import (
    ReconsiderationAgreed,
    ReconsiderationEvent,
    ReconsiderationProposed,
    ReconsiderationWithdrawn,
)
from domain.reference import canonical
from domain.run import RunCancelled, RunDrawnUp, RunEvent, RunReleased, RunReturnRecorded, RunSettlementRecorded
from domain.settlement import SettlementEvent, SettlementRecorded
from domain.webhook import (
    Reason,
    WebhookChanged,
    WebhookConfirmed,
    WebhookDisabled,
    WebhookEnabled,
    WebhookEvent,
    WebhookRegistered,
    WebhookRemoved,
    WebhookSecretRotated,
)
from domain.wording import day, many, pounds
from ledger.entry import Entry
from ledger.ledger import Ledger

_AnyEvent = (
    PartyEvent
    | BankDetailsEvent
    | PersonEvent
    | KeyEvent
    | SignInEvent
    | AwardEvent
    | ClaimEvent
    | ParticipantEvent
    | ErasureEvent
    | PaymentEvent
    | ClawbackEvent
    | OtherPaymentEvent
    | OpeningPositionEvent
    | ReceivableEvent
    | ReconsiderationEvent
    | RunEvent
    | SettlementEvent
    | WebhookEvent
    | LogEvent
)


class _Numbered(Protocol):
    @property
    def line(self) -> int: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TrailRow:
    """One thing that happened under an award. `sequence` counts the award's entries from 1, without gaps."""

    position: int
    sequence: int
    recorded_at: datetime
    person: PersonId
    stream: str
    version: int
    type: str
    sentence: str
    amounts: Mapping[str, Money]
    """What each stage gained, or lost where negative (see `domain.postings`); they sum to nothing."""
    words: Mapping[str, Commitment]
    """What somebody wrote (a reason, a note, a question), by its name in the event; the vault has the words."""


class Trail:
    """What can be asked of trails."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def page(self, award: str, after: int = 0, limit: int = 100, upto: int | None = None) -> list[TrailRow]:
        """An award's entries after one position, up to another, in order; at most `limit`. The last one's position goes on."""
        return [row_of(entry) for entry in self._ledger.entries(after, limit, canonical(award), upto)]


def row_of(entry: Entry) -> TrailRow:
    """What the trail says of an entry."""
    amounts: Counter[str] = Counter()
    for posting in postings(entry.event):
        amounts[posting.stage] += posting.amount
    return TrailRow(
        position=entry.position,
        sequence=entry.award_sequence,
        recorded_at=entry.recorded_at,
        person=entry.person,
        stream=entry.stream,
        version=entry.version,
        type=entry.type,
        sentence=sentence(entry.event, entry.stream),
        amounts={stage: Money(amount) for stage, amount in amounts.items() if amount},
        words={name: words for name in _words_of(type(entry.event)) if (words := getattr(entry.event, name)) is not None},
    )


@cache
def _words_of(kind: type[Event]) -> tuple[str, ...]:
    """The fields of an event that are committed to, and stand in the vault."""
    fields = kind.model_fields.items()
    return tuple(name for name, field in fields if Commitment in (field.annotation, *get_args(field.annotation)))


def sentence(happened: Event, stream: str) -> str:  # noqa: C901, PLR0911, PLR0912, PLR0915 (one case for every event)
    """What happened to a stream, in plain English, made from the event alone."""
    event = cast("_AnyEvent", happened)
    name = stream.rsplit("/", 1)[-1]
    match event:
        # Awards
        case AwardRegistered(reference=reference, title=title):
            return f"Registered award {reference}, “{title}”; a second person must agree it."
        case TermsProposed(version=number, terms=terms):
            most = pounds(terms.award_amount)
            return f"Proposed version {number} of the terms, from {day(terms.effective_from)} on, for at most {most}."
        case AwardAgreed():
            return "Agreed the award and version 1 of its terms."
        case TermsAgreed(version=number):
            return f"Agreed version {number} of the terms."
        case ClaimOpened(claim=claim):
            return f"Claim {claim} waits for a decision."
        case ClaimConcluded(claim=claim, deferred=deferred):
            return f"Claim {claim} waits no longer{'; deferred lines may be decided later' if deferred else ''}."
        case ProposalOpened(kind=kind, reference=reference):
            return f"{_words(kind).capitalize()} {reference} waits for a second person."
        case ProposalConcluded(kind=kind, reference=reference):
            return f"{_words(kind).capitalize()} {reference} waits for nobody any longer."
        case AwardAssessed():
            return _assessed(event)
        case ReceivableChanged(payer=payer, payee=payee, assessment=number, open=left):
            return f"{payee} owes {payer} {pounds(left)} back by assessment {number}."
        case AwardClosedToClaims(released=released):
            gone = f"; {pounds(released)} that was not used goes back to the fund" if released is not None else ""
            return f"Closed the award to claims{gone}."
        case StepProposed(step=step):
            return f"Proposed to {step} the award; a second person must agree."
        case StepWithdrawn(step=step):
            return f"Withdrew the proposal to {step} the award."
        case AwardPaused():
            return "Paused the award: no claim is taken and no payment approved until it is resumed."
        case AwardResumed():
            return "Resumed the award."
        case AwardReopened():
            return "Reopened the award: it takes claims again."
        case AwardCompleted():
            return "Completed the award: nothing is left to pay or to get back."
        # Claims
        case ClaimSubmitted(lines=lines, value=value, received_on=received_on):
            return f"Submitted claim {event.claim}: {many(lines, 'line')} worth {pounds(value)}, received on {day(received_on)}."
        case ClaimLinesListed(lines=lines):
            return f"Listed {_lines(lines)} of claim {name}, worth {pounds(total(line.value for line in lines))}."
        case ClaimReceiptConfirmed():
            return f"Confirmed the stated day of receipt of claim {name}."
        case ClaimQueried(lines=about):
            on = f" about {_lines_numbered(about)}" if about else ""
            return f"Asked the claimant of claim {name} a question{on}."
        case ClaimAnswered():
            return f"Answered the question on claim {name}."
        case ClaimWithdrawn(value=value):
            return f"Withdrew claim {name}, worth {pounds(value)}."
        case ClaimLinesWithdrawn(lines=lines):
            return f"Took back {_lines(lines)} of claim {name}, worth {pounds(total(line.amount for line in lines))}."
        case ClaimLinesDecided(lines=lines):
            return f"Decided {_lines(lines)} of claim {name}: {_decided_sums(lines)}."
        case ClaimVerified():
            return _verified(event, name)
        case ClaimCertified():
            return f"Certified claim {name}."
        case ClaimDeclined(value=value, reason=reason):
            return f"Declined claim {name}, of which {pounds(value)} had been accepted: {_words(reason)}."
        case ClaimLinesDeclined(lines=lines):
            return f"Declined {_lines(lines)} of claim {name}, worth {pounds(total(line.amount for line in lines))}."
        case ClaimLinesAssessed(lines=lines, assessment=number):
            assessed, cut = total(line.assessed for line in lines), total(line.curtailed for line in lines)
            return f"Assessed {_lines(lines)} of claim {name} in assessment {number} at {pounds(assessed)}{_curtailed(cut)}."
        case ClaimLinesReversed(lines=lines, assessment=number, clawed_back=clawed_back):
            why = "for good" if clawed_back else "to assess them anew"
            amount = pounds(total(line.reversed for line in lines))
            return f"Took {amount} back of {_lines(lines)} of claim {name} in assessment {number}, {why}."
        case ClaimLinesRestated(lines=lines):
            by = pounds(total(line.claimed for line in lines))
            return f"Restated {_lines(lines)} of claim {name} by the terms now in force, by {by} of what was claimed."
        case ClaimLapsed(lines=count, value=value):
            return f"What was deferred of {many(count, 'line')} of claim {name} lapsed, worth {pounds(value)}."
        # Clawbacks, reconsiderations, other payments and receivables
        case ClawbackRaised(clawback=clawback, lines=lines_named, reason=reason):
            return (
                f"Raised clawback {clawback} of {many(len(lines_named), 'line')}: {_words(reason)}; a second person must agree."
            )
        case ClawbackWithdrawn():
            return f"Withdrew clawback {name}."
        case ClawbackAgreed(assessment=number, reversed=amount, dependants=dependants):
            return f"Agreed clawback {name}: {pounds(amount)} taken back by assessment {number}{_dependants(event, dependants)}."
        case ReconsiderationProposed(reconsideration=reconsideration, lines=lines_named):
            of = f"{reconsideration} of {many(len(lines_named), 'curtailed line')}"
            return f"Proposed reconsideration {of}; a second person must agree."
        case ReconsiderationWithdrawn():
            return f"Withdrew reconsideration {name}."
        case ReconsiderationAgreed(assessment=number, gained=amount):
            return f"Agreed reconsideration {name}: {pounds(amount)} gained by assessment {number}."
        case OtherPaymentProposed(other_payment=reference, amount=amount, dated=dated):
            of = f"{_words(event.payment_type)} payment {reference} of {pounds(amount)}, dated {day(dated)}"
            return f"Proposed {of}; a second person must agree."
        case OtherPaymentWithdrawn():
            return f"Withdrew other payment {name}."
        case OtherPaymentAgreed(assessment=number, split=split):
            return f"Agreed other payment {name}: {pounds(split.amount)} by assessment {number}{_unfunded(split.unfunded)}."
        case OpeningPositionProposed(assessed=assessed, lines=lines, stands_on=stood_on):
            came = f"{pounds(assessed)} assessed elsewhere by {day(stood_on)}, with {many(lines, 'line')} of participants"
            return f"Proposed an opening position: {came}; a second person must agree."
        case OpeningFiguresListed(outcomes=outcomes, payers=payers):
            return f"Listed {many(len(outcomes) + len(payers), 'figure')} of the opening position."
        case OpeningLinesListed(lines=lines):
            return f"Listed {many(len(lines), 'line')} of participants for the opening position."
        case OpeningPositionWithdrawn():
            return "Withdrew the opening position."
        case OpeningPositionAgreed(assessment=number):
            return f"Agreed the opening position, by assessment {number}."
        case OpeningFiguresOpened(outcomes=outcomes, payers=payers, years=years):
            return f"Opened {many(len(outcomes) + len(payers) + len(years), 'figure')} of the opening position."
        case ReceivableOpened(payer=payer, payee=payee, amount=amount, assessment=number):
            return f"{payee} owes {payer} {pounds(amount)} back by assessment {number}."
        case ReceivableNettedOff(payer=payer, amount=amount, against=against):
            return f"Netted {pounds(amount)} off what {payer} pays by assessment {against}."
        case ReceivableRecovered(payer=payer, amount=amount, on=on, reference=reference):
            return f"{payer} got {pounds(amount)} back on {day(on)}, reference {reference}."
        case WriteOffProposed(authority=authority):
            return f"Proposed to write off what {name} owes, by authority {authority}; a second person must agree."
        case WriteOffWithdrawn():
            return f"Withdrew the proposal to write off what {name} owes."
        case ReceivableWrittenOff(payer=payer, amount=amount, authority=authority):
            return f"Wrote off {pounds(amount)} that {name} owed {payer}{f', by authority {authority}' if authority else ''}."
        # Participants
        case ParticipantRecognised(claim=claim, achievements=achievements):
            return f"Recognised {many(len(achievements), 'achievement')} of a participant by claim {claim}."
        case ParticipantRecognisedBefore(achievements=earlier):
            return f"Recognised {many(len(earlier), 'achievement')} of a participant from before the award's opening position."
        case ParticipantReleased(claim=claim, achievements=achievements):
            return f"No longer counted {many(len(achievements), 'achievement')} of a participant by claim {claim}."
        case ParticipantAssessed(assessment=number, amount=amount):
            return f"Counted {pounds(amount)} for a participant in assessment {number}."
        case ParticipantErased(reason=reason):
            return f"Erased the reference of a participant: {_words(reason)}."
        case ErasureRecorded(erasure=number, participants=participants, texts=texts):
            gone = f"{many(len(participants), 'reference')} of participants and {many(len(texts), 'text')}"
            return f"Erasure {number}, of {gone}: {_words(event.reason)}."
        # Payments
        case PaymentFellDue(amount=amount, payer=payer, payee=payee, assessment=number, due_on=due_on):
            return f"{payer} owes {payee} {pounds(amount)} by assessment {number}, due on {day(due_on)}."
        case PaymentHeld():
            return f"Held {_payment(event)}."
        case PaymentHoldLifted():
            return f"Lifted the hold on {_payment(event)}."
        case PaymentApproved(bank_details=number):
            to = f", to bank details {number} of its payee" if number else ""
            return f"Approved {_payment(event)}{to}."
        case PaymentDrawnUp(run=run):
            return f"Put {_payment(event)} into run {run}."
        case PaymentTakenOffRun(run=run):
            return f"Took {_payment(event)} off run {run}, which was cancelled."
        case PaymentStopped(run=run):
            of = f" in run {run}" if run else ""
            why = "its payee's bank details changed after it was approved, so it needs a new approval"
            return f"Stopped {_payment(event)}{of}: {why}."
        case PaymentSent(run=run):
            return f"Sent {_payment(event)} to the bank with run {run}."
        case PaymentSettled(bank_reference=reference, on=on):
            return f"The bank settled {_payment(event)} on {day(on)}, reference {reference}."
        case PaymentReturned(on=on, reason=reason):
            return f"The payment of {pounds(event.amount)} by {event.payer} came back on {day(on)}: {_words(reason)}."
        case PaymentReissued(due_on=due_on):
            return f"Made {_payment(event)} due again, on {day(due_on)}."
        case PaymentNettedOff(payer=payer, amount=amount, receivable=number):
            return f"Took {pounds(amount)} off the payment by {payer}, which is owed back by assessment {number}."
        case PaymentReported(reference=reference, value_date=value_date):
            paid = f"{name} paid by itself on {day(value_date)}, reference {reference}"
            return f"Reported that {paid}; a second person must confirm it."
        case PaymentReportWithdrawn():
            return f"Withdrew the report that {name} paid by itself."
        case PaymentReportConfirmed(reference=reference, on=on):
            return f"Confirmed {_payment(event)}, paid by itself on {day(on)}, reference {reference}."
        # Runs and settlements
        case RunDrawnUp(count=count, total=amount, payer=payer, account=account):
            return (
                f"Drew up run {event.run}: {many(count, 'payment')} of {payer} from account {account}, {pounds(amount)} in all."
            )
        case RunReleased(count=count, total=amount, stopped=stopped):
            less = f" {many(stopped, 'payment')} stopped, as bank details had changed." if stopped else ""
            return f"Released run {name} to the bank: {many(count, 'payment')}, {pounds(amount)} in all.{less}"
        case RunCancelled():
            return f"Cancelled run {name}."
        case RunSettlementRecorded(count=count, amount=amount, payee=payee, value_date=value_date, bank_reference=reference):
            of = f"{many(count, 'payment')} of run {name} to {payee}"
            return f"The bank settled {of}: {pounds(amount)} on {day(value_date)}, reference {reference}."
        case RunReturnRecorded(amount=amount, on=on):
            return f"{pounds(amount)} of run {name} came back on {day(on)}."
        case SettlementRecorded(amount=amount, payer=payer, account=account, value_date=value_date, run=run):
            of = f"{pounds(amount)} from account {account} of {payer} for run {run}"
            return f"The bank moved {of} on {day(value_date)}, reference {event.bank_reference}."
        # Parties, people, keys
        case PartyRegistered(party=party):
            return f"Registered party {party}, {event.name}."
        case BankDetailsProposed(party=party, number=number):
            return f"Proposed bank details {number} of {party}; a second person must agree them."
        case BankDetailsAgreed(number=number):
            return f"Agreed bank details {number} of {_party(stream)}."
        case BankDetailsWithdrawn(number=number):
            return f"Withdrew bank details {number} of {_party(stream)}, which waited for a second person."
        case PersonRegistered(person=person, party=party, first=first):
            return f"Registered person {person} of {party}{' as the first administrator' if first else ''}."
        case AdministratorAppointed(appointed=appointed):
            return f"Appointed {appointed} as the second administrator."
        case KeyIssued(key=key, person=person, roles=roles, needs_agreement=waits):
            then = "; a second person must agree it" if waits else ""
            return f"Issued key {key} to {person} as {', '.join(roles)}{then}."
        case KeyAgreed():
            return f"Agreed key {name}."
        case KeyRevoked():
            return f"Revoked key {name}."
        case SignInGiven(key=key):
            return f"Let somebody use key {key} by signing in."
        # Webhooks
        case WebhookRegistered(webhook=webhook, host=host, party=party):
            return f"Registered webhook {webhook} of {party} at {host}; its address must answer a challenge."
        case WebhookChanged(host=str() as host):
            return f"Moved webhook {name} to {host}; its address must answer a challenge."
        case WebhookChanged():
            return f"Changed webhook {name}."
        case WebhookConfirmed():
            return f"The address of webhook {name} answered the challenge; it is told from now on."
        case WebhookEnabled():
            return f"Enabled webhook {name}."
        case WebhookDisabled(reason=reason):
            return f"Disabled webhook {name}{_DISABLED[reason]}."
        case WebhookSecretRotated(number=number):
            return f"Let secret {number} sign what webhook {name} is told."
        case WebhookRemoved():
            return f"Removed webhook {name}, and let go of its address and its secrets."
        # The log
        case LogRestored(head=head, backed_up_at=moment, lost=lost):
            then = f"; entries up to {lost.size:,}, whose root was {lost.root}, are lost" if lost else ""
            return f"Restored the log from its backup of {moment}, up to entry {head.size:,} with root {head.root}{then}."
        case KeyIntroduced(public_key=key, replaces=old, vouched=vouched):
            then = "" if vouched else ", which nobody has any more"
            return f"Let the log be signed by key {key} in place of {old}{then}."


_WHY: Final[Mapping[Kind, str]] = {
    Kind.CLAIM: "what was accepted",
    Kind.DEFERRED_DECISION: "a decision on deferred lines",
    Kind.CLAWBACK: "a clawback",
    Kind.ADJUSTMENT: "a variation of the terms",
    Kind.RECONSIDERATION: "a reconsideration of curtailed lines",
    Kind.OTHER_PAYMENT: "a payment other than for outcomes",
    Kind.OPENING_POSITION: "an opening position",
}

_DISABLED: Final[Mapping[Reason, str]] = {
    Reason.ASKED: "",
    Reason.GONE: ", as its address is gone",
    Reason.FAILING: ", as its address took nothing for too long",
    Reason.RESTORED: ", as the log was restored from a backup",
}


def _assessed(event: AwardAssessed) -> str:
    of = f" of claim {event.claim}" if event.claim else ""
    amounts = [f"{pounds(event.assessed)} assessed"] if event.assessed or event.others is None else []
    if event.others is not None:
        amounts.append(f"{pounds(event.others)} paid otherwise" if amounts else pounds(event.others))
    money = f"{' and '.join(amounts)}{_curtailed(event.curtailed)}{_unfunded(event.unfunded)}"
    return f"Assessment {event.assessment}, of {_WHY[event.kind]}{of}: {money}."


def _unfunded(amount: Money) -> str:
    return f", {pounds(amount)} of it unfunded" if amount else ""


def _dependants(event: ClawbackAgreed, dependants: Sequence[object]) -> str:
    if not dependants:
        return ""
    became = "went too" if event.dependants_went_too else "stand"
    return f"; {many(len(dependants), 'line')} that needed them {became}"


def _verified(event: ClaimVerified, claim: str) -> str:
    accepted, rejected = f"{pounds(event.accepted)} accepted", f"{pounds(event.rejected)} rejected"
    if event.deferred >= 0:
        again = f" again (round {event.round})" if event.round > 1 else ""
        return f"Verified claim {claim}{again}: {accepted}, {rejected}, {pounds(event.deferred)} deferred."
    return f"Decided on deferred lines of claim {claim}: {accepted}, {rejected}, {pounds(-event.deferred)} no longer deferred."


def _decided_sums(lines: Iterable[DecidedLine]) -> str:
    accepted, rejected, deferred = (
        total(amounts)
        for amounts in zip(*((each.accepted_value, each.rejected_value, each.deferred_value) for each in lines), strict=True)
    )
    waits = f"{pounds(deferred)} deferred" if deferred >= 0 else f"{pounds(-deferred)} no longer deferred"
    return f"{pounds(accepted)} accepted, {pounds(rejected)} rejected, {waits}"


def _curtailed(cut: Money) -> str:
    return f", {pounds(cut)} curtailed by limits" if cut else ""


def _payment(event: PaymentMoved) -> str:
    return f"the payment of {pounds(event.amount)} by {event.payer}"


def _lines(lines: Sequence[_Numbered]) -> str:
    first, last = lines[0].line, lines[-1].line
    return f"line {first}" if first == last else f"{many(len(lines), 'line')} (from {first} to {last})"


def _lines_numbered(lines: Sequence[int]) -> str:
    return f"line {lines[0]}" if len(lines) == 1 else f"lines {', '.join(map(str, lines))}"


def _party(stream: str) -> str:
    """The party of a stream of its bank details."""
    return stream.split("/")[1]


def _words(code: str) -> str:
    return code.replace("-", " ")
