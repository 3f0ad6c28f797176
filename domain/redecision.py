"""Redecision: what the rules of today make of a decision that was recorded, from the facts on which it was made.

A decision's entries stand together in the log. The first of them leads: it says what was asked, and those that follow say the
rest of it. The same command is decided again by the function that decides it when somebody asks, with the day, the person and
the words that were recorded. What comes from outside is taken as it stands: quantities, the prices and limits of terms, a sum
that was proposed or recovered, a bank's reference. Everything that is worked out of it is worked out again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import date
from itertools import takewhile
from typing import Any, Final, NamedTuple, Protocol, TypeVar, cast

from domain import clawback, closing, obligation, opening_position, other_payment, payment, receivable, reconsideration, run
from domain.aggregate import Actor, Commitment, Decision, PersonId, S, Stream, Token, fold
from domain.award import AwardAssessed, AwardClosedToClaims, AwardCompleted, TermsAgreed, TermsProposed
from domain.bank_details import Account
from domain.certification import Certificate, certify
from domain.claim import (
    Backlog,
    ClaimCertified,
    ClaimDeclined,
    ClaimedLine,
    ClaimLapsed,
    ClaimLine,
    ClaimLinesDecided,
    ClaimLinesDeclined,
    ClaimLinesListed,
    ClaimLinesWithdrawn,
    ClaimSubmitted,
    ClaimVerified,
    ClaimWithdrawn,
    DecidedLine,
    Evidence,
    Submission,
    claim_stream,
    submit,
    withdraw,
)
from domain.clawback import ClawbackAgreed
from domain.event import Event
from domain.money import total
from domain.opening_position import OpeningFiguresListed, OpeningLinesListed, OpeningPositionAgreed, OpeningPositionProposed
from domain.other_payment import OtherPaymentAgreed, OtherPaymentProposed
from domain.payment import (
    Payment,
    PaymentApproved,
    PaymentDrawnUp,
    PaymentHeld,
    PaymentHoldLifted,
    PaymentNettedOff,
    PaymentReissued,
    PaymentReportConfirmed,
    PaymentReported,
    PaymentReportWithdrawn,
    PaymentReturned,
    PaymentSettled,
    PaymentStopped,
    payment_stream,
)
from domain.person import person_stream
from domain.receivable import Receivable, ReceivableRecovered, ReceivableWrittenOff
from domain.reconsideration import ReconsiderationAgreed
from domain.run import PaymentName, RunCancelled, RunDrawnUp, RunReleased, RunSettlementRecorded
from domain.variation import agree as agree_terms
from domain.verification import LineDecision, Verification, verify

E = TypeVar("E", bound=Event)

_NO_PARTY: Final = ""
"""Of a person whom the ledger does not know: of no party, so that none can stand in the way."""
UNKNOWN_ACCOUNT: Final = Account(sort_code="000000", account_number="00000000", account_name="not in the vault").written
"""Stands for bank details that the vault does not give: they are in a run's file, and in no amount."""
ANOTHER_LIST: Final = Commitment("a list of other payments, or of other amounts")
"""What a list comes to that the vault knows otherwise."""


class Past(Protocol):
    """Where facts are read as they were just before a decision."""

    def get(self, stream: Stream[S], /) -> S | None:
        """The state of a stream, or nothing if it had no events."""

    def reveal(self, commitment: Commitment, /) -> str | None:
        """The text behind a commitment, or nothing if the vault does not have it, or nobody has its key."""


class Recorded(NamedTuple):
    """An entry of a decision."""

    position: int
    stream: str
    event: Event
    person: PersonId
    recorded_on: date
    """The London day on which it was recorded."""


class PastFacts:
    """The facts of a decision that was recorded, as `domain.aggregate.Facts` has them: texts come as their commitments.

    The lists of a run are worked out anew, and then kept under the commitments that were recorded, as a later decision reads
    them: so nothing here needs the vault, and what was erased from it is missed by nobody.
    """

    def __init__(self, past: Past, lists: dict[Commitment, str]) -> None:
        self._past = past
        self._lists = lists
        """What was listed by earlier decisions."""
        self._listing: Iterator[Commitment] = iter(())
        self.lacks_accounts = False
        """Whether bank details were asked for that nobody can give: what a run's file is made of is not known then."""

    def expect_lists(self, commitments: Iterable[Commitment | None]) -> None:
        """Say which lists the decision made, in order."""
        self._listing = iter([each for each in commitments if each is not None])

    def __getitem__(self, stream: Stream[S], /) -> S:
        state = self._past.get(stream)
        if state is None:
            raise stream.of.missing(name=stream.last)
        return state

    def get(self, stream: Stream[S], /) -> S | None:
        """The state of a stream, or nothing if it had no events."""
        return self._past.get(stream)

    def after(self, stream: Stream[S], events: Sequence[Event], by: PersonId, /) -> S:
        """The state of a stream after one or more events that the decision adds."""
        return cast("S", fold(stream.of, ((event, by) for event in events), self.get(stream)))

    def prefetch(self, streams: Iterable[Stream[Any]], /) -> None:
        """Streams are read one by one."""

    def expect_participants(self, award: str, references: Iterable[str], /) -> None:
        """Nobody is looked up."""

    def pseudonym(self, award: str, reference: str, /) -> Token:  # noqa: ARG002 (whichever award's)
        """The token, which is all that was recorded of a reference."""
        return Token(reference)

    def conceal(self, text: str, award: str | None = None, /) -> Commitment:
        """The commitment that was recorded; of a list, if the vault has no other text for it."""
        if award is not None or not text.startswith("["):
            return Commitment(text)
        recorded = next(self._listing, ANOTHER_LIST)
        if self._past.reveal(recorded) not in (None, text):
            return ANOTHER_LIST
        self._lists[recorded] = text
        return recorded

    def reveal(self, commitment: Commitment, /) -> str | None:
        """What was listed, or else is in the vault."""
        known = self._lists.get(commitment) or self._past.reveal(commitment)
        self.lacks_accounts |= known is None
        return known or UNKNOWN_ACCOUNT

    def events(self, stream: Stream[Any], /) -> Iterable[Event]:
        """No decision that is decided again asks for them."""
        raise NotImplementedError(stream.name)

    def recognised(self, award: str, reference: str, /) -> Token | None:
        """No decision that is decided again asks whether somebody is known."""
        raise NotImplementedError(award, reference)

    def met(self, award: str, tokens: Iterable[Token], /) -> frozenset[Token]:
        """No decision that is decided again asks whom the vault knows."""
        raise NotImplementedError(award, tokens)

    def kept(self, texts: Iterable[Commitment], /) -> Mapping[Commitment, str | None]:
        """No decision that is decided again asks whose a text is."""
        raise NotImplementedError(texts)

    def erase(self, texts: Iterable[Commitment], /) -> None:
        """Nothing goes a second time."""

    def erase_participants(self, award: str, tokens: Iterable[Token], /) -> None:
        """Nothing goes a second time."""

    def erase_marks(self, award: str, /) -> None:
        """Nothing goes a second time."""


Entries = Sequence[Recorded]
Redecide = Callable[[PastFacts, Entries], Decision]
"""Decides again what the first of some entries leads; those that follow are further ones of the same request, or later ones."""


def redecide(facts: PastFacts, entries: Entries) -> Decision | None:
    """What the first of these entries began, decided again; nothing if it begins nothing that is worked out.

    Raises the refusal, if today's rules refuse it.
    """
    again = LEADING.get(type(entries[0].event))
    return None if again is None else again(facts, entries)


def by(facts: PastFacts, entries: Entries) -> Actor:
    """Who decided, for the party as which the person is registered."""
    known = facts.get(person_stream(entries[0].person))
    return Actor(entries[0].person, known.party if known else _NO_PARTY)


def _names(entries: Entries) -> tuple[str, str]:
    """The award of the first entry's stream, and the last name in the stream's own."""
    names = entries[0].stream.split("/")
    return names[1], names[-1]


def _leading(entries: Entries, of: type[E]) -> E:
    """The first entry's event."""
    return _first(entries[:1], of)


def _first(entries: Entries, of: type[E]) -> E:
    """The first event of a kind among the entries; `LookupError` if there is none."""
    for each in entries:
        if isinstance(each.event, of):
            return each.event
    raise LookupError(f"no {of.model_fields['type'].default} follows")


def _run_of(entries: Entries, of: type[E]) -> list[E]:
    """The events of a kind that stand together from the first entry on."""
    return [cast("E", each.event) for each in takewhile(lambda each: isinstance(each.event, of), entries)]


def _of_stream(entries: Entries) -> Entries:
    """The entries of the first one's stream that stand together with it."""
    return list(takewhile(lambda each: each.stream == entries[0].stream, entries))


# Claims ---------------------------------------------------------------------------------------------------------------


def _submit(facts: PastFacts, entries: Entries) -> Decision:
    submitted, listed = _leading(entries, ClaimSubmitted), _run_of(entries[1:], ClaimLinesListed)
    reason = submitted.backlog_reason
    submission = Submission.model_construct(
        claim=submitted.claim,
        period=submitted.period,
        lines=tuple(_claimed(line) for each in listed for line in each.lines),
        claimant=submitted.claimant,
        backlog=Backlog.model_construct(received_on=submitted.received_on, reason=reason) if reason else None,
    )
    return submit(facts, submitted.award, submission, by=by(facts, entries), today=submitted.on)


def _claimed(line: ClaimLine) -> ClaimedLine:
    return ClaimedLine.model_construct(
        outcome=line.outcome,
        participant=line.participant,
        quantity=line.quantity,
        achieved_on=line.achieved_on,
        evidence=tuple(Evidence.model_construct(sha256=each.sha256, title=each.title) for each in line.evidence),
        note=line.note,
    )


def _withdraw(facts: PastFacts, entries: Entries) -> Decision:
    award, claim = _names(entries)
    claimant = facts[claim_stream(award, claim)].submitted.claimant
    reason = _first(_of_stream(entries), ClaimWithdrawn).reason
    return withdraw(facts, award, claim, reason, by=Actor(entries[0].person, claimant))


def _decide(facts: PastFacts, entries: Entries) -> Decision:
    """Lines are decided on by a verification, or lapse when their award is closed."""
    award, claim = _names(entries)
    decided = _run_of(entries, ClaimLinesDecided)
    concluding = entries[len(decided)].event if len(decided) < len(entries) else None
    if isinstance(concluding, ClaimLapsed):
        return _close(facts, entries)
    today = _first(_of_stream(entries), ClaimVerified).on
    verification = Verification.model_construct(lines=tuple(_decision(line) for each in decided for line in each.lines))
    return verify(facts, award, claim, verification, by=by(facts, entries), today=today)


def _decision(line: DecidedLine) -> LineDecision:
    return LineDecision.model_construct(
        line=line.line,
        accepted=line.accepted,
        rejected=line.rejected,
        deferred=line.deferred,
        reason=line.reason,
        note=line.note,
    )


def _certify(facts: PastFacts, entries: Entries) -> Decision:
    award, claim = _names(entries)
    certificate = Certificate.model_construct(decision="certified")
    return certify(facts, award, claim, certificate, by=by(facts, entries), today=_leading(entries, ClaimCertified).on)


def _decline(facts: PastFacts, entries: Entries) -> Decision:
    award, claim = _names(entries)
    declined = _first(_of_stream(entries), ClaimDeclined)
    certificate = Certificate.model_construct(decision="declined", reason=declined.reason, note=declined.note)
    return certify(facts, award, claim, certificate, by=by(facts, entries), today=declined.on)


# Awards, and what two persons agree under them ------------------------------------------------------------------------


def _agree_terms(facts: PastFacts, entries: Entries) -> Decision:
    """The day of an agreement is not recorded, but in the adjustment that follows, if one does."""
    award, version = _names(entries)[0], _leading(entries, TermsAgreed).version
    follows = entries[1].event if len(entries) > 1 else None
    today = follows.on if isinstance(follows, AwardAssessed) else entries[0].recorded_on
    return agree_terms(facts, award, version, by=by(facts, entries), today=today)


def _close(facts: PastFacts, entries: Entries) -> Decision:
    return closing.close(facts, _names(entries)[0], today=_first(entries, AwardClosedToClaims).on)


def _complete(facts: PastFacts, entries: Entries) -> Decision:
    return closing.complete(facts, _names(entries)[0], today=_leading(entries, AwardCompleted).on)


def _agree_clawback(facts: PastFacts, entries: Entries) -> Decision:
    return clawback.agree(facts, *_names(entries), by=by(facts, entries), today=_leading(entries, ClawbackAgreed).on)


def _agree_reconsideration(facts: PastFacts, entries: Entries) -> Decision:
    today = _leading(entries, ReconsiderationAgreed).on
    return reconsideration.agree(facts, *_names(entries), by=by(facts, entries), today=today)


def _agree_other_payment(facts: PastFacts, entries: Entries) -> Decision:
    today = _leading(entries, OtherPaymentAgreed).on
    return other_payment.agree(facts, *_names(entries), by=by(facts, entries), today=today)


def _propose_position(facts: PastFacts, entries: Entries) -> Decision:
    proposed, said = _leading(entries, OpeningPositionProposed), [each.event for each in _of_stream(entries)]
    figures = [each for each in said if isinstance(each, OpeningFiguresListed)]
    lines = [line for each in said if isinstance(each, OpeningLinesListed) for line in each.lines]
    opening = opening_position.Opening.model_construct(
        stands_on=proposed.stands_on,
        outcomes=tuple(outcome for each in figures for outcome in each.outcomes),
        payers=tuple(payer for each in figures for payer in each.payers),
        years=proposed.years,
        splits=proposed.splits,
        lines=tuple(opening_position.OpeningLine.model_construct(**dict(line)) for line in lines),
        reason=proposed.reason,
        document_sha256=proposed.document_sha256,
    )
    today = max(entries[0].recorded_on, proposed.stands_on)
    return opening_position.propose(facts, _names(entries)[0], opening, today=today)


def _agree_position(facts: PastFacts, entries: Entries) -> Decision:
    today = _leading(entries, OpeningPositionAgreed).on
    return opening_position.agree(facts, _names(entries)[0], by=by(facts, entries), today=today)


# Payments and receivables ---------------------------------------------------------------------------------------------


def _payment(entries: Entries) -> Stream[Payment]:
    return Stream(entries[0].stream, Payment)


def _hold(facts: PastFacts, entries: Entries) -> Decision:
    held = _leading(entries, PaymentHeld)
    return payment.hold(facts, _payment(entries), held.reason, today=held.on)


def _lift_hold(facts: PastFacts, entries: Entries) -> Decision:
    stream = _payment(entries)
    return {stream: (facts[stream].lift_hold(today=_leading(entries, PaymentHoldLifted).on),)}


def _approve(facts: PastFacts, entries: Entries) -> Decision:
    """Outside a run, a payment is stopped only in order to be approved anew, which then follows."""
    return payment.approve(facts, _payment(entries), by=by(facts, entries), today=_first(entries, PaymentApproved).on)


def _reissue(facts: PastFacts, entries: Entries) -> Decision:
    again = _leading(entries, PaymentReissued)
    return obligation.reissue(facts, _payment(entries), due_on=again.due_on, today=again.on)


def _report(facts: PastFacts, entries: Entries) -> Decision:
    stream, said = _payment(entries), _leading(entries, PaymentReported)
    return {stream: (facts[stream].report_paid(said.reference, value_date=said.value_date, today=said.value_date),)}


def _withdraw_report(facts: PastFacts, entries: Entries) -> Decision:
    """The day is recorded only where something is then netted off."""
    follows = entries[1].event if len(entries) > 1 else None
    today = follows.on if isinstance(follows, PaymentNettedOff) else entries[0].recorded_on
    return obligation.withdraw_report(facts, _payment(entries), today=today)


def _confirm_report(facts: PastFacts, entries: Entries) -> Decision:
    stream = _payment(entries)
    return {stream: (facts[stream].confirm_report(by(facts, entries)),)}


def _give_back(facts: PastFacts, entries: Entries) -> Decision:
    back = _leading(entries, PaymentReturned)
    return run.give_back(facts, _payment(entries), back.reason, back.note, on=back.on, today=back.on)


def _recover(facts: PastFacts, entries: Entries) -> Decision:
    back = _leading(entries, ReceivableRecovered)
    owed = Stream(entries[0].stream, Receivable)
    return receivable.recover(facts, owed, back.amount, back.reference, value_date=back.on, today=back.on)


def _write_off(facts: PastFacts, entries: Entries) -> Decision:
    owed = Stream(entries[0].stream, Receivable)
    return receivable.write_off(facts, owed, by=by(facts, entries), today=_leading(entries, ReceivableWrittenOff).on)


# Runs -----------------------------------------------------------------------------------------------------------------


def _payments(entries: Entries) -> list[PaymentName]:
    """The payments to whose streams entries belong."""
    names = (each.stream.split("/") for each in entries)
    return [PaymentName(award, int(assessment)) for _, award, _, assessment, *_ in names]


def _draw_up(facts: PastFacts, entries: Entries) -> Decision:
    drawn = _leading(entries, RunDrawnUp)
    facts.expect_lists((drawn.payments, drawn.details))
    payments = _payments(list(takewhile(lambda each: isinstance(each.event, PaymentDrawnUp), entries[1:])))
    return run.draw_up(facts, drawn.run, payer=drawn.payer, account=drawn.account, payments=payments, today=drawn.on)


def _release(facts: PastFacts, entries: Entries) -> Decision:
    released = _leading(entries, RunReleased)
    facts.expect_lists((released.payments,))
    return run.release(facts, entries[0].stream.split("/")[1], by(facts, entries), today=released.on)


def _cancel(facts: PastFacts, entries: Entries) -> Decision:
    cancelled = _leading(entries, RunCancelled)
    return run.cancel(facts, entries[0].stream.split("/")[1], cancelled.reason, today=cancelled.on)


def _settle(facts: PastFacts, entries: Entries) -> Decision:
    """What the bank moved is the sum of the payments that it settled, to the penny; so it is worked out as that."""
    told, reference = _leading(entries, RunSettlementRecorded), entries[0].stream.split("/")[1]
    payments = _payments(list(takewhile(lambda each: isinstance(each.event, PaymentSettled), entries[2:])))
    payer = facts[run.run_stream(reference)].payer
    return run.settle(
        facts,
        reference,
        bank_reference=told.bank_reference,
        value_date=told.value_date,
        amount=total(facts[payment_stream(*each, payer)].amount for each in payments),
        payments=payments,
        today=told.value_date,
    )


LEADING: Final[Mapping[type[Event], Redecide]] = {
    ClaimSubmitted: _submit,
    ClaimLinesWithdrawn: _withdraw,
    ClaimLinesDecided: _decide,
    ClaimCertified: _certify,
    ClaimLinesDeclined: _decline,
    TermsAgreed: _agree_terms,
    AwardClosedToClaims: _close,
    AwardCompleted: _complete,
    ClawbackAgreed: _agree_clawback,
    ReconsiderationAgreed: _agree_reconsideration,
    OtherPaymentAgreed: _agree_other_payment,
    OpeningPositionProposed: _propose_position,
    OpeningPositionAgreed: _agree_position,
    PaymentHeld: _hold,
    PaymentHoldLifted: _lift_hold,
    PaymentApproved: _approve,
    PaymentStopped: _approve,
    PaymentReissued: _reissue,
    PaymentReported: _report,
    PaymentReportWithdrawn: _withdraw_report,
    PaymentReportConfirmed: _confirm_report,
    PaymentReturned: _give_back,
    ReceivableRecovered: _recover,
    ReceivableWrittenOff: _write_off,
    RunDrawnUp: _draw_up,
    RunReleased: _release,
    RunCancelled: _cancel,
    RunSettlementRecorded: _settle,
}
"""How each decision is decided again, by the event that leads it."""

_ALONE_IN: Final = frozenset({"party", "bank-details", "person", "key", "sign-in", "log", "erasure", "webhook"})
_ALONE: Final = frozenset(
    {
        "award.registered",
        "award.terms-proposed",
        "award.agreed",
        "award.proposal-opened",
        "award.proposal-concluded",
        "award.step-proposed",
        "award.step-withdrawn",
        "award.paused",
        "award.resumed",
        "award.reopened",
        "claim.receipt-confirmed",
        "claim.queried",
        "claim.answered",
        "participant.erased",
        "clawback.raised",
        "clawback.withdrawn",
        "reconsideration.proposed",
        "reconsideration.withdrawn",
        "other-payment.proposed",
        "other-payment.withdrawn",
        "opening-position.withdrawn",
        "receivable.write-off-proposed",
        "receivable.write-off-withdrawn",
    }
)


def alone(event: Event) -> bool:
    """Whether an event stands by itself: it states something, and no amount of it is worked out."""
    return event.type in _ALONE or event.type.partition(".")[0] in _ALONE_IN


STATED: Final = frozenset(
    {TermsProposed, OtherPaymentProposed, ReceivableRecovered, OpeningPositionProposed, OpeningFiguresListed, OpeningLinesListed}
)
"""The events whose amounts somebody states; what is made of them later is worked out."""
