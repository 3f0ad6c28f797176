"""Section 2 applied to accepted quantities (M3, M5-M7), and taken back from them (M8): pure functions that explain themselves.

Read `Sheet.assess` first: a line's value is curtailed by the limits, in their order, then split into parts, then allotted; then
`Sheet.reverse`, which goes the same way back. What they return is what is stored and shown; nobody works an amount out again.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from fractions import Fraction
from functools import cache, partial
from typing import Final, Literal, NamedTuple, TypeVar, get_args

from domain.aggregate import Token
from domain.calendar import Day, financial_year
from domain.money import NONE, NOTHING, Money, Quantity, Share, largest_remainder, total, value, whole_weights
from domain.record import Record, trusted
from domain.reference import canonical
from domain.terms import Agreement, Outcome, Payer, Terms, Version


class Kind(StrEnum):
    """Why something was assessed."""

    CLAIM = "claim"
    DEFERRED_DECISION = "deferred-decision"
    CLAWBACK = "clawback"
    ADJUSTMENT = "adjustment"
    RECONSIDERATION = "reconsideration"
    OTHER_PAYMENT = "other-payment"
    OPENING_POSITION = "opening-position"


N = TypeVar("N", Money, Quantity)
K = TypeVar("K", bound=str)

LimitName = Literal["outcome_quantity", "participant_amount", "outcome_amount", "year_amount", "award_amount"]
"""The limits in the order in which they curtail (M5)."""
LIMITS: Final[tuple[LimitName, ...]] = get_args(LimitName)

_ENDLESS: Final = Money(10**18)
"""Left of the maximum of a payer that has none."""


class Curtailment(Record):
    """What one limit did to a line: how much of it was left, and how much of the line's value it cut off."""

    limit: LimitName
    left: str
    curtailed: Money


class Allotment(Record):
    """What a line means for one payer (M6, M7): its part of the assessed amount, and what of all shortfalls and parts it pays."""

    payer: str
    share: Share
    part: Money
    left: Money | None = None
    """What was left of the payer's maximum before this line; nothing said if it has none, 0.00 after its `claims_until`."""
    shortfall: Money
    allotted: Money


class AssessedLine(Record):
    """One line's assessment with everything that it follows from."""

    line: int
    outcome: str
    achieved_on: Day
    version: int
    price: Money
    per: int
    quantity: Quantity
    accepted: Money
    payable: Quantity
    limits: tuple[Curtailment, ...]
    assessed: Money
    before: Money
    after: Money
    allotments: tuple[Allotment, ...]
    unfunded: Money

    @property
    def curtailed(self) -> Money:
        """What the limits took off the accepted value together."""
        return total(limit.curtailed for limit in self.limits)


_curtailment, _allotment, _assessed_line = trusted(Curtailment), trusted(Allotment), trusted(AssessedLine)


class StatedAmount(Record):
    """What a payment other than for outcomes means for each payer: no limit cuts an amount that two persons stated (M10)."""

    version: int
    amount: Money
    before: Money
    after: Money
    allotments: tuple[Allotment, ...]
    unfunded: Money


class GivenBack(Record):
    """What a reversal takes off what one limit had curtailed."""

    limit: LimitName
    amount: Money


class Reversal(Record):
    """What a reversal takes back from one payer: of its part (M6), and of what it was allotted (M7)."""

    payer: str
    part: Money
    reversed: Money


class ReversedLine(Record):
    """What is taken back of a line, with everything that it follows from (M8). Quantities and amounts are what is taken back."""

    line: int
    outcome: str
    achieved_on: Day
    version: int
    price: Money
    per: int
    quantity: Quantity
    remaining: Quantity
    payable: Quantity
    worth: Money
    """How much less the remaining quantity is worth; what was curtailed of it is given back first."""
    limits: tuple[GivenBack, ...]
    reversed: Money
    before: Money
    after: Money
    reversals: tuple[Reversal, ...]
    unfunded: Money


@dataclass(frozen=True, slots=True)
class Stands:
    """What stands of a line after all its assessments and reversals: what a clawback may take back."""

    version: int = 0
    price: Money = NOTHING
    per: int = 1
    shares: tuple[tuple[str, Share], ...] = ()
    """The list of payers and shares by which it was split."""
    quantity: Quantity = NONE
    payable: Quantity = NONE
    limits: Mapping[LimitName, Money] = field(default_factory=dict)
    assessed: Money = NOTHING
    parts: Mapping[str, Money] = field(default_factory=dict)
    allotted: Mapping[str, Money] = field(default_factory=dict)
    unfunded: Money = NOTHING

    @property
    def rate(self) -> Fraction:
        """Pence for one unit."""
        return Fraction(self.price, self.per)

    @property
    def curtailed(self) -> Money:
        """What the limits keep off the line together."""
        return total(self.limits.values())

    def __add__(self, line: AssessedLine) -> "Stands":
        """What stands after a further assessment."""
        return Stands(
            version=line.version,
            price=line.price,
            per=line.per,
            shares=tuple((each.payer, each.share) for each in line.allotments),
            quantity=self.quantity + line.quantity,
            payable=self.payable + line.payable,
            limits=_summed(self.limits, {each.limit: each.curtailed for each in line.limits}),
            assessed=self.assessed + line.assessed,
            parts=_summed(self.parts, {each.payer: each.part for each in line.allotments}),
            allotted=_summed(self.allotted, {each.payer: each.allotted for each in line.allotments}),
            unfunded=self.unfunded + line.unfunded,
        )

    def __sub__(self, line: ReversedLine) -> "Stands":
        """What stands after a reversal."""
        return replace(
            self,
            quantity=self.quantity - line.quantity,
            payable=self.payable - line.payable,
            limits=_summed(self.limits, {each.limit: -each.amount for each in line.limits}),
            assessed=self.assessed - line.reversed,
            parts=_summed(self.parts, {each.payer: -each.part for each in line.reversals}),
            allotted=_summed(self.allotted, {each.payer: -each.reversed for each in line.reversals}),
            unfunded=self.unfunded - line.unfunded,
        )


@dataclass(frozen=True, slots=True)
class StandingLine:
    """A line of which something stands, by its number in its claim."""

    line: int
    outcome: str
    participant: Token | None
    achieved_on: date
    stands: Stands


@dataclass(frozen=True, slots=True)
class AcceptedLine:
    """What a decision newly accepted of a claim's line, with what had been payable of it before (M4)."""

    line: int
    outcome: str
    participant: Token | None
    achieved_on: date
    quantity: Quantity
    accepted: Money
    payable_before: Quantity = NONE


@dataclass(frozen=True, slots=True)
class Accumulator:
    """For one ordered list of payers and shares: the cumulative assessed amount G, and the parts given so far (M6)."""

    assessed: Money = NOTHING
    parts: tuple[Money, ...] = ()


@dataclass(frozen=True, slots=True)
class Standing:
    """What an award's assessments have consumed and given so far. Dictionaries are never changed in place."""

    quantities: Mapping[str, Quantity] = field(default_factory=dict)
    outcomes: Mapping[str, Money] = field(default_factory=dict)
    years: Mapping[str, Money] = field(default_factory=dict)
    assessed: Money = NOTHING
    accumulators: Mapping[str, Accumulator] = field(default_factory=dict)
    allotted: Mapping[str, Money] = field(default_factory=dict)
    unfunded: Money = NOTHING
    others: Money = NOTHING
    """Paid otherwise than for outcomes (M10); it is in `years`, in `allotted` and in the accumulators, not in `assessed`."""

    @property
    def counted(self) -> Money:
        """What counts against `award_amount`."""
        return self.assessed + self.others

    def consumed(self) -> dict[str, Mapping[str, Quantity | Money]]:
        """What stands against each limit, by the limit's name."""
        return {
            "outcome_quantity": self.quantities,
            "outcome_amount": self.outcomes,
            "year_amount": self.years,
            "award_amount": {"": self.counted},
            "maximum": self.allotted,
        }


@dataclass(frozen=True, slots=True)
class Assessment:
    """What came out: every line explained, and the award's and the participants' standing after it."""

    lines: tuple[AssessedLine, ...]
    standing: Standing
    participants: Mapping[Token, Money]


def shares_of(terms: Terms) -> tuple[tuple[str, Share], ...]:
    """The ordered list of payers and shares by which a version splits."""
    return tuple((payer.party, payer.share) for payer in terms.payers)


def shares_key(shares: Iterable[tuple[str, Share]]) -> str:
    """The name of an ordered list of payers and shares, the same in whatever version it stands (M6)."""
    return " ".join(f"{party}={share}" for party, share in shares)


def assess(
    lines: Iterable[AcceptedLine],
    agreement: Agreement,
    standing: Standing,
    *,
    decided_on: date,
    received_on: date,
    participants: Mapping[Token, Money],
) -> Assessment:
    """Assess accepted lines in their order.

    Prices, shares and shortfall policy are those in force on each line's `achieved_on`; limits and maxima those in force on
    `decided_on` (M2). `participants` has what was assessed before for each participant who stands in the lines.
    """
    sheet = Sheet(agreement, standing, decided_on, participants)
    assessed = tuple(sheet.assess(line, received_on) for line in sorted(lines, key=lambda line: line.line))
    return Assessment(assessed, sheet.standing(), sheet.participants)


class _Limit(NamedTuple):
    name: LimitName
    most: Money
    consumed: Money


class _Split(NamedTuple):
    """How a version splits an amount, worked out once for all of the lines that are split by it."""

    key: str
    payers: tuple[Payer, ...]
    weights: tuple[int, ...]
    residual: Payer | None
    """Who takes what others cannot be allotted, if somebody does (M7)."""

    @classmethod
    def of(cls, terms: Terms) -> "_Split":
        residual = terms.payer(terms.takes_shortfalls) if terms.takes_shortfalls else None
        return cls(shares_key(shares_of(terms)), terms.payers, whole_weights([each.share for each in terms.payers]), residual)


class Sheet:
    """The work sheet of one assessment: what is consumed so far, line after line."""

    def __init__(self, agreement: Agreement, standing: Standing, decided_on: date, participants: Mapping[Token, Money]) -> None:
        self.agreement = agreement
        self.limits = agreement.on(decided_on).terms
        self.outcome_limits = cache(partial(agreement.outcome_limits, day=decided_on))
        self.payer_limits = cache(partial(agreement.payer_limits, day=decided_on))
        self.splits: dict[int, _Split] = {}
        self.participants = dict(participants)
        self.quantities = dict(standing.quantities)
        self.outcomes = dict(standing.outcomes)
        self.years = dict(standing.years)
        self.assessed = standing.assessed
        self.accumulators = dict(standing.accumulators)
        self.allotted = dict(standing.allotted)
        self.unfunded = standing.unfunded
        self.others = standing.others

    def standing(self) -> Standing:
        """What is consumed and given now."""
        return Standing(
            quantities=self.quantities,
            outcomes=self.outcomes,
            years=self.years,
            assessed=self.assessed,
            accumulators=self.accumulators,
            allotted=self.allotted,
            unfunded=self.unfunded,
            others=self.others,
        )

    def assess(self, line: AcceptedLine, received_on: date) -> AssessedLine:
        """Assess what was accepted of a line, of a claim that was received on a day."""
        version = self.agreement.on(line.achieved_on)
        priced = self.agreement.priced(line.outcome, line.achieved_on)
        if priced is None:
            raise LookupError(f"line {line.line} was accepted for {line.outcome}, which version {version.number} does not name")
        payable, limits = self._curtail(line, priced)
        assessed = line.accepted - total(limit.curtailed for limit in limits)
        self._consume(line, payable, assessed)
        split = self._split(version)
        before, parts = self._parts(split, assessed)
        allotments, unfunded = self._allot(split, parts, received_on)
        return _assessed_line(
            line=line.line,
            outcome=priced.code,
            achieved_on=line.achieved_on,
            version=version.number,
            price=priced.price,
            per=priced.per,
            quantity=line.quantity,
            accepted=line.accepted,
            payable=payable,
            limits=limits,
            assessed=assessed,
            before=before,
            after=before + assessed,
            allotments=allotments,
            unfunded=unfunded,
        )

    def pay(self, amount: Money, dated: date) -> StatedAmount:
        """Split and allot an amount that is not for outcomes, by the terms in force on its stated date (M10)."""
        version, year = self.agreement.on(dated), financial_year(dated)
        self.years[year] = self.years.get(year, NOTHING) + amount
        self.others += amount
        split = self._split(version)
        before, parts = self._parts(split, amount)
        allotments, unfunded = self._allot(split, parts, dated)
        return StatedAmount(
            version=version.number,
            amount=amount,
            before=before,
            after=before + amount,
            allotments=allotments,
            unfunded=unfunded,
        )

    def room(self, year: str) -> Iterator[tuple[LimitName, Money]]:
        """What is left of the limits that hold for whatever is paid: of a financial year, and of the award."""
        for limit in self._limits_of_all(year):
            yield limit.name, max(limit.most - limit.consumed, NOTHING)

    def reverse(self, line: StandingLine, quantity: Quantity, headroom: Collection[str] = ()) -> ReversedLine:
        """Take a quantity back of what stands of a line, at the price at which it stands (M8).

        `headroom` names the payers whose maximum gets back at once what is taken from them, because it is netted off at once.
        """
        stands, remaining = line.stands, line.stands.quantity - quantity
        before = stands.assessed + stands.curtailed
        worth = min(value(stands.price, remaining, stands.per), before) if remaining else NOTHING
        taken = stands.assessed - min(stands.assessed, worth)
        payable = max(stands.payable - remaining, NONE)
        parts = _proportional(taken, [stands.parts[payer] for payer, _ in stands.shares])
        *allotted, unfunded = _proportional(taken, [*(stands.allotted[payer] for payer, _ in stands.shares), stands.unfunded])
        reversals = tuple(
            Reversal(payer=payer, part=part, reversed=amount)
            for (payer, _), part, amount in zip(stands.shares, parts, allotted, strict=True)
        )
        self._consume(line, -payable, -taken)
        given_before = self._give_back(stands, taken, reversals, unfunded)
        for each in reversals:
            if each.payer in headroom:
                self.allotted[each.payer] = self.allotted.get(each.payer, NOTHING) - each.reversed
        return ReversedLine(
            line=line.line,
            outcome=line.outcome,
            achieved_on=line.achieved_on,
            version=stands.version,
            price=stands.price,
            per=stands.per,
            quantity=quantity,
            remaining=remaining,
            payable=payable,
            worth=before - worth,
            limits=tuple(_given_back(stands, before - worth - taken)),
            reversed=taken,
            before=given_before,
            after=given_before - taken,
            reversals=reversals,
            unfunded=unfunded,
        )

    def _give_back(self, stands: Stands, taken: Money, reversals: Iterable[Reversal], unfunded: Money) -> Money:
        key = shares_key(stands.shares)
        so_far = self.accumulators[key]
        parts = tuple(had - each.part for had, each in zip(so_far.parts, reversals, strict=True))
        self.accumulators[key] = Accumulator(so_far.assessed - taken, parts)
        self.unfunded -= unfunded
        return so_far.assessed

    # M5: each limit curtails what the one before it left.

    def _curtail(self, line: AcceptedLine, priced: Outcome) -> tuple[Quantity, tuple[Curtailment, ...]]:
        payable, curtailments = self._cut_quantity(line, priced)
        remaining = line.accepted - total(each.curtailed for each in curtailments)
        for limit in self._amount_limits(line):
            left = max(limit.most - limit.consumed, NOTHING)
            cut = max(remaining - left, NOTHING)
            curtailments.append(_curtailment(limit=limit.name, left=str(left), curtailed=cut))
            remaining -= cut
        return payable, tuple(curtailments)

    def _cut_quantity(self, line: AcceptedLine, priced: Outcome) -> tuple[Quantity, list[Curtailment]]:
        outcome = self.outcome_limits(line.outcome)
        if outcome.max_quantity is None:
            return line.quantity, []
        left = max(outcome.max_quantity - self.quantities.get(canonical(line.outcome), NONE), NONE)
        payable = min(line.quantity, left)
        cut = NOTHING
        if payable < line.quantity:
            had = value(priced.price, line.payable_before, priced.per)
            worth = value(priced.price, line.payable_before + payable, priced.per) - had
            cut = line.accepted - min(worth, line.accepted)
        return payable, [_curtailment(limit="outcome_quantity", left=str(left), curtailed=cut)]

    def _amount_limits(self, line: AcceptedLine) -> Iterable[_Limit]:
        code, year = canonical(line.outcome), financial_year(line.achieved_on)
        if line.participant is not None and self.limits.participant_amount is not None:
            consumed = self.participants.get(line.participant, NOTHING)
            yield _Limit("participant_amount", self.limits.participant_amount, consumed)
        outcome = self.outcome_limits(line.outcome)
        if outcome.max_amount is not None:
            yield _Limit("outcome_amount", outcome.max_amount, self.outcomes.get(code, NOTHING))
        yield from self._limits_of_all(year)

    def _limits_of_all(self, year: str) -> Iterator[_Limit]:
        of_year = self.limits.limit_of_year(year)
        if of_year is not None:
            yield _Limit("year_amount", of_year, self.years.get(year, NOTHING))
        yield _Limit("award_amount", self.limits.award_amount, self.assessed + self.others)

    def _consume(self, line: AcceptedLine | StandingLine, payable: Quantity, assessed: Money) -> None:
        code, year = canonical(line.outcome), financial_year(line.achieved_on)
        self.quantities[code] = self.quantities.get(code, NONE) + payable
        self.outcomes[code] = self.outcomes.get(code, NOTHING) + assessed
        self.years[year] = self.years.get(year, NOTHING) + assessed
        self.assessed += assessed
        if line.participant is not None:
            self.participants[line.participant] = self.participants.get(line.participant, NOTHING) + assessed

    # M6: the split of the cumulative amount, less the parts given before.

    def _split(self, version: Version) -> _Split:
        found = self.splits.get(version.number)
        if found is None:
            found = self.splits[version.number] = _Split.of(version.terms)
        return found

    def _parts(self, split: _Split, assessed: Money) -> tuple[Money, list[Money]]:
        so_far = self.accumulators.get(split.key) or Accumulator(parts=(NOTHING,) * len(split.payers))
        parts = next_parts(so_far, assessed, split.weights)
        given = tuple(had + part for had, part in zip(so_far.parts, parts, strict=True))
        self.accumulators[split.key] = Accumulator(so_far.assessed + assessed, given)
        return so_far.assessed, parts

    # M7: what each payer is allotted, at most what is left of its maximum.

    def _allot(self, split: _Split, parts: Sequence[Money], received_on: date) -> tuple[tuple[Allotment, ...], Money]:
        lefts = [self._left(payer, received_on) for payer in split.payers]
        pays = list(map(min, parts, lefts))
        shortfalls = [part - paid for part, paid in zip(parts, pays, strict=True)]
        for payer, amount in zip(split.payers, pays, strict=True):
            self.allotted[payer.party] = self.allotted.get(payer.party, NOTHING) + amount
        unfunded = total(shortfalls)
        if (residual := split.residual) and unfunded:
            taken = min(unfunded, self._left(residual, received_on))
            pays[split.payers.index(residual)] += taken
            self.allotted[residual.party] += taken
            unfunded -= taken
        self.unfunded += unfunded
        allotments = tuple(
            _allotment(
                payer=payer.party,
                share=payer.share,
                part=part,
                left=None if left is _ENDLESS else left,
                shortfall=short,
                allotted=paid,
            )
            for payer, part, left, short, paid in zip(split.payers, parts, lefts, shortfalls, pays, strict=True)
        )
        return allotments, unfunded

    def _left(self, payer: Payer, received_on: date) -> Money:
        limits = self.payer_limits(payer.party)
        if limits.claims_until and received_on > limits.claims_until:
            return NOTHING
        if limits.maximum is None:
            return _ENDLESS
        return max(limits.maximum - self.allotted.get(payer.party, NOTHING), NOTHING)


def next_parts(so_far: Accumulator, assessed: Money, weights: Sequence[int]) -> list[Money]:
    """The parts of a further assessed amount: the split of the new G less the parts given so far (M6).

    None is negative: one that would be is nothing, and its pennies come off one by one, each from the part that is then the
    largest. They sum to `assessed`.
    """
    split = largest_remainder(so_far.assessed + assessed, weights)
    parts = [part - had for part, had in zip(split, so_far.parts, strict=True)]
    owed = -sum(part for part in parts if part < 0)
    parts = [max(part, 0) for part in parts]
    for _ in range(owed):
        parts[parts.index(max(parts))] -= 1
    return [Money(part) for part in parts]


def _proportional(amount: Money, of: Sequence[Money]) -> list[Money]:
    """An amount in proportion to what stands, to the penny by largest remainder; all of it is all of each (M8)."""
    return [Money(part) for part in largest_remainder(amount, of)] if any(of) else [NOTHING] * len(of)


def _given_back(stands: Stands, amount: Money) -> Iterator[GivenBack]:
    """What is taken off what the limits curtailed, in their order."""
    for limit in LIMITS:
        taken = min(amount, stands.limits.get(limit, NOTHING))
        if taken:
            yield GivenBack(limit=limit, amount=taken)
        amount -= taken


def changes(before: Standing, after: Standing) -> Standing:
    """What one assessment added: the difference of two standings, without what it left alone."""
    return replace(
        after,
        quantities=_grown(before.quantities, after.quantities),
        outcomes=_grown(before.outcomes, after.outcomes),
        years=_grown(before.years, after.years),
        assessed=after.assessed - before.assessed,
        accumulators={key: each for key, each in after.accumulators.items() if before.accumulators.get(key) != each},
        allotted=_grown(before.allotted, after.allotted),
        unfunded=after.unfunded - before.unfunded,
        others=after.others - before.others,
    )


def _summed(before: Mapping[K, Money], more: Mapping[K, Money]) -> dict[K, Money]:
    return {**before, **{name: before.get(name, NOTHING) + amount for name, amount in more.items()}}


def _grown(before: Mapping[str, N], after: Mapping[str, N]) -> dict[str, N]:
    return {name: type(amount)(amount - before.get(name, 0)) for name, amount in after.items() if amount != before.get(name, 0)}
