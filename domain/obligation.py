"""What an assessment obliges payers and payees to: payments fall due, receivables are opened, and the two are netted (M8, M9).

Every kind of assessment comes through here: what it gave a payer to pay and what it took back are set against each other, and
only the difference is due or receivable.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, NamedTuple

from domain.aggregate import Decision, Facts, PersonId, Stream, fold, joined
from domain.assessment import Allotment, AssessedLine, Kind, ReversedLine, Standing, changes
from domain.award import Award, AwardAssessed, ReceivableChanged, ReceivableName, award_stream
from domain.calendar import FinancialYear, financial_year
from domain.claim import Line
from domain.event import Event
from domain.money import NOTHING, Money, total
from domain.payment import Payment, PaymentFellDue, payment_stream
from domain.receivable import Receivable, ReceivableOpened, changed, receivable_stream

Years = dict[FinancialYear, Money]


class Between(NamedTuple):
    """Who owes whom: a payer and its payee."""

    payer: str
    payee: str


@dataclass(frozen=True, slots=True)
class Cause:
    """What an assessment is about: what a payment says of itself, and what its approver may have had no part in (L1)."""

    claim: str | None
    claimed_by: PersonId
    verified_by: tuple[PersonId, ...]


def given(lines: Iterable[AssessedLine], award: Award, today: date) -> dict[Between, Years]:
    """What lines were allotted, by payer and the payee that it pays today, and by year of achievement."""
    found: defaultdict[Between, defaultdict[FinancialYear, Money]] = defaultdict(lambda: defaultdict(Money))
    for line in lines:
        for between, amount in to_pay(line.allotments, award, today):
            found[between][financial_year(line.achieved_on)] += amount
    return {between: dict(years) for between, years in found.items()}


def to_pay(allotments: Iterable[Allotment], award: Award, today: date) -> Iterator[tuple[Between, Money]]:
    """What payers were allotted, each with the payee that it pays today."""
    for each in allotments:
        if each.allotted:
            yield Between(each.payer, award.agreement.payer_limits(each.payer, today).payee), each.allotted


def taken(lines: Iterable[tuple[ReversedLine, Mapping[str, str]]]) -> dict[Between, Years]:
    """What was taken back of lines, as negative amounts; with each line the payee that each payer paid for it."""
    found: defaultdict[Between, defaultdict[FinancialYear, Money]] = defaultdict(lambda: defaultdict(Money))
    for line, payees in lines:
        for each in line.reversals:
            if each.reversed:
                found[Between(each.payer, payees[each.payer])][financial_year(line.achieved_on)] -= each.reversed
    return {between: dict(years) for between, years in found.items()}


def payees(facts: Facts, award: Award, line: Line, today: date) -> dict[str, str]:
    """Whom each payer paid for a line: the payee of its last payment for it, else who would be paid today."""
    found: dict[str, str] = {}
    for payer, allotted in line.stands.allotted.items():
        if allotted:
            found[payer] = award.agreement.payer_limits(payer, today).payee
            for number in sorted({number for number, _ in line.assessments}):
                if payment := facts.get(payment_stream(award.reference, number, payer)):
                    found[payer] = payment.payee
    return found


def balance(*amounts: Mapping[Between, Mapping[FinancialYear, Money]]) -> dict[Between, Years]:
    """Amounts of several sorts set against each other, without the years of which nothing is left."""
    sums: defaultdict[Between, defaultdict[FinancialYear, Money]] = defaultdict(lambda: defaultdict(Money))
    for each in amounts:
        for between, years in each.items():
            for year, amount in years.items():
                sums[between][year] += amount
    return {between: {year: amount for year, amount in years.items() if amount} for between, years in sums.items()}


def assessed(
    award: Award,
    standing: Standing,
    owed: Mapping[Between, Mapping[FinancialYear, Money]],
    *,
    kind: Kind,
    curtailed: Money,
    claim: str | None,
    today: date,
    paid_before: Mapping[str, Money] | None = None,
) -> AwardAssessed:
    """What an assessment adds to what the award keeps, numbered."""
    added = changes(award.standing, standing)
    return AwardAssessed(
        assessment=award.assessments + 1,
        kind=kind,
        claim=claim,
        on=today,
        quantities=dict(added.quantities),
        outcomes=dict(added.outcomes),
        years=dict(added.years),
        assessed=added.assessed,
        curtailed=curtailed,
        accumulated={key: (each.assessed, each.parts) for key, each in added.accumulators.items()},
        allotted=_by_payer(owed, 1),
        unfunded=added.unfunded,
        reversed=_by_payer(owed, -1) or None,
        others=added.others or None,
        paid_before=dict(paid_before) if paid_before else None,
    )


def _by_payer(owed: Mapping[Between, Mapping[FinancialYear, Money]], sign: int) -> dict[str, Money]:
    sums: defaultdict[str, Money] = defaultdict(Money)
    for between, years in owed.items():
        for amount in _sides(years):
            if sign * amount.total > 0:
                sums[between.payer] += Money(sign * amount.total)
    return dict(sums)


class _Side(NamedTuple):
    years: Years
    total: Money


def _sides(years: Mapping[FinancialYear, Money]) -> Iterator[_Side]:
    """What is owed on balance; where years make up for each other exactly, both sides of it, which then are netted."""
    balance = total(years.values())
    if balance or not years:
        yield _Side(dict(years), balance)
        return
    more = {year: amount for year, amount in years.items() if amount > 0}
    yield _Side(more, total(more.values()))
    less = {year: amount for year, amount in years.items() if amount < 0}
    yield _Side(less, total(less.values()))


@dataclass(slots=True)
class Obligations:
    """Payments and receivables of one assessment in the making, netted as they come. `decided` is what is to be recorded."""

    facts: Facts
    award: Award
    assessment: int
    today: date
    decided: dict[Stream[Any], tuple[Event, ...]] = field(default_factory=dict)
    _states: dict[Stream[Any], Any] = field(default_factory=dict)

    def settle(
        self, owed: Mapping[Between, Mapping[FinancialYear, Money]], cause: Cause, paid_by: Sequence[int] = ()
    ) -> Decision:
        """Make due what is owed, open what is owed back, and net off what can be.

        What is owed back is taken off unsent payments of the assessments `paid_by` first; what falls due has the award's open
        receivables taken off it, oldest first.
        """
        self.facts.prefetch(self._payment(between, self.assessment) for between in owed)
        for between, years in owed.items():
            for side in _sides(years):
                if side.total < 0:
                    self._open(between, side)
                elif side.total > 0:
                    self._fall_due(between, side, cause)
        for between in owed:
            self._take_off_unsent(between, paid_by)
        for between in owed:
            self._net_off(between, self.assessment, tuple(self.award.receivables))
        return self.decided

    def become_unsent(self, payment: Stream[Payment], step: Event) -> None:
        """Let a payment take a step after which nobody has sent it, and take what is open off it, as when it fell due."""
        self._add(payment, step)
        unsent: Payment = self._state(payment)
        self._net_off(Between(unsent.payer, unsent.payee), unsent.assessment, tuple(self.award.receivables))

    def _fall_due(self, between: Between, side: _Side, cause: Cause) -> None:
        terms = self.award.agreement.on(self.today).terms
        payer = self.award.agreement.payer_limits(between.payer, self.today)
        fell_due = PaymentFellDue(
            award=self.award.reference,
            assessment=self.assessment,
            payer=between.payer,
            payee=between.payee,
            amount=side.total,
            years=side.years,
            on=self.today,
            due_on=self.today + timedelta(days=terms.payment_days),
            claim=cause.claim,
            claimed_by=cause.claimed_by,
            verified_by=cause.verified_by,
            pays=payer.pays,
        )
        self._add(self._payment(between, self.assessment), fell_due)

    def _open(self, between: Between, side: _Side) -> None:
        amount = Money(-side.total)
        opened = ReceivableOpened(
            award=self.award.reference,
            assessment=self.assessment,
            payer=between.payer,
            payee=between.payee,
            amount=amount,
            years={year: -each for year, each in side.years.items()},
            on=self.today,
        )
        self._add(self._receivable(ReceivableName(self.assessment, *between)), opened)
        name = ReceivableChanged(
            assessment=self.assessment, payer=between.payer, payee=between.payee, open=amount, headroom=NOTHING
        )
        self._change_award(name)

    def _take_off_unsent(self, between: Between, paid_by: Iterable[int]) -> None:
        """Take what this assessment took back off payments for the same lines that nobody has sent yet."""
        for number in sorted(set(paid_by)):
            self._net_off(between, number, (ReceivableName(self.assessment, *between),))

    def _net_off(self, between: Between, number: int, receivables: Iterable[ReceivableName]) -> None:
        """Take receivables, as far as they are open between the two, off one payment, oldest first."""
        payment = self._payment(between, number)
        for name in receivables:
            due: Payment | None = self._state(payment)
            if due is None or due.payee != between.payee or not due.can_be_netted:
                return
            if (name.payer, name.payee) != between or name not in self.award.receivables:
                continue
            receivable = self._receivable(name)
            owed: Receivable = self._state(receivable)
            amount = min(owed.open, due.amount)
            self._add(payment, due.net_off(amount, name.assessment, today=self.today))
            self._add(receivable, owed.net_off(amount, against=number, today=self.today))
            self._change_award(changed(owed, amount, headroom=amount))

    def _payment(self, between: Between, number: int) -> Stream[Payment]:
        return payment_stream(self.award.reference, number, between.payer)

    def _receivable(self, name: ReceivableName) -> Stream[Receivable]:
        return receivable_stream(self.award.reference, name.assessment, name.payer, name.payee)

    def _state(self, stream: Stream[Any]) -> Any:
        return self._states[stream] if stream in self._states else self.facts.get(stream)

    def _add(self, stream: Stream[Any], event: Event) -> None:
        self._states[stream] = fold(stream.of, [(event, PersonId(""))], self._state(stream))
        self.decided[stream] = (*self.decided.get(stream, ()), event)

    def _change_award(self, event: ReceivableChanged) -> None:
        self.award = Award.evolve(self.award, event, PersonId(""))
        stream = award_stream(self.award.reference)
        self.decided[stream] = (*self.decided.get(stream, ()), event)


# Commands after which a payment is unsent again -----------------------------------------------------------------------


def unsent_again(facts: Facts, steps: Mapping[Stream[Payment], Event], *, today: date) -> Decision:
    """Steps of payments, and what is then taken off those that they leave unsent: open receivables, oldest first (M8)."""
    by_award: defaultdict[str, list[Stream[Payment]]] = defaultdict(list)
    for stream in steps:
        by_award[facts[stream].award].append(stream)
    facts.prefetch(award_stream(name) for name in by_award)
    made: Decision = {}
    for name, streams in by_award.items():
        award = facts[award_stream(name)]
        obligations = Obligations(facts, award, award.assessments, today)
        for stream in streams:
            obligations.become_unsent(stream, steps[stream])
        made = joined(made, obligations.decided)
    return made


def reissue(facts: Facts, payment: Stream[Payment], *, due_on: date, today: date) -> Decision:
    """Make a returned payment due again; it needs a new approval."""
    return unsent_again(facts, {payment: facts[payment].reissue(due_on=due_on, today=today)}, today=today)


def withdraw_report(facts: Facts, payment: Stream[Payment], *, today: date) -> Decision:
    """Withdraw a report, that nobody has confirmed, of a payer that pays by itself."""
    return unsent_again(facts, {payment: facts[payment].withdraw_report()}, today=today)
