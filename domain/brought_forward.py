"""What an award brings forward from where it ran before: figures by year, and what is wrong with them.

Nobody can look behind an opening position, so it must at least agree with itself and with the terms that were agreed:

- each year, assessed + other payments = Σ allotted + unfunded; each payer, allotted = paid + due − owed back (M11);
- all of it together is the sum of G over the lists of shares, and the parts of each list are what its shares make of its G,
  within a penny (M6);
- nothing is over a limit or a maximum that holds today (M5, M7);
- its lines, what participants had accepted, come to no more than what was assessed, and where an outcome takes no cohort, to all
  of it; none breaks the participant's limits or lacks a prerequisite (M5).
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import date
from fractions import Fraction
from functools import cached_property
from typing import Annotated, Final, TypeVar

from pydantic import Field

from domain.aggregate import Token
from domain.assessment import Accumulator, Standing, shares_key, shares_of
from domain.award import Award
from domain.calendar import Day, FinancialYear, financial_year, first_day, last_day
from domain.money import NONE, NOTHING, Amount, Money, PositiveQuantity, Quantity, total
from domain.participant import EarlierAchievement
from domain.record import Record
from domain.reference import Code, OrganisationId
from domain.refusal import Fault, Refused
from domain.terms import Outcome, Payer, Version

T = TypeVar("T")

MOST_LINES: Final = 20_000


class EarlierOutcome(Record):
    """What was assessed of an outcome for achievements of a financial year, net of what was taken back."""

    outcome: Code
    year: FinancialYear
    quantity: PositiveQuantity = Field(description="The payable quantity, which counts against `outcome_quantity`")
    assessed: Amount


class EarlierAllotment(Record):
    """What a payer was allotted for a financial year, net of what was taken back, and what became of it."""

    payer: OrganisationId
    year: FinancialYear
    allotted: Amount
    paid: Amount = NOTHING
    due: Amount = Field(default=NOTHING, description="Not paid yet: it falls due here, and is approved and paid here")
    owed_back: Amount = Field(default=NOTHING, description="Paid, and taken back since: the payee owes it here")


class EarlierYear(Record):
    """What else belongs to a financial year: payments other than for outcomes (M10), and what nobody owed (M7)."""

    year: FinancialYear
    other_payments: Amount = NOTHING
    unfunded: Amount = NOTHING


class EarlierSplit(Record):
    """How far one ordered list of payers and shares was split (M6)."""

    version: Annotated[int, Field(strict=True, ge=1, description="A version of the terms that has this list")]
    split: Amount = Field(description="G: all that was split by this list, assessed for outcomes or paid otherwise")
    parts: dict[OrganisationId, Amount] = Field(description="What each payer of the list was given of it", max_length=40)


class EarlierLine(EarlierAchievement):
    """What was accepted for a participant, who is known by a token (L5)."""

    participant: Token


class Figures(Record):
    """What stood at the end of a day, by outcome, payer and financial year."""

    stands_on: Day = Field(description="The day at whose end all this stood")
    outcomes: Annotated[tuple[EarlierOutcome, ...], Field(max_length=2_000)] = ()
    payers: Annotated[tuple[EarlierAllotment, ...], Field(max_length=1_000)] = ()
    years: Annotated[tuple[EarlierYear, ...], Field(max_length=60)] = ()
    splits: Annotated[tuple[EarlierSplit, ...], Field(max_length=20)] = ()

    @property
    def assessed(self) -> Money:
        """Assessed for outcomes."""
        return total(each.assessed for each in self.outcomes)

    @property
    def others(self) -> Money:
        """Paid otherwise."""
        return total(each.other_payments for each in self.years)

    @property
    def unfunded(self) -> Money:
        """Owed by nobody."""
        return total(each.unfunded for each in self.years)


def standing(award: Award, figures: Figures) -> Standing:
    """What an award has consumed and given by figures that are not wrong, but for what payers were allotted."""
    quantities: Counter[str] = Counter()
    outcomes: Counter[str] = Counter()
    years: Counter[str] = Counter()
    for each in figures.outcomes:
        quantities[each.outcome] += each.quantity
        outcomes[each.outcome] += each.assessed
        years[each.year] += each.assessed
    for other in figures.years:
        years[other.year] += other.other_payments
    return Standing(
        quantities={code: Quantity(units) for code, units in quantities.items()},
        outcomes={code: Money(pence) for code, pence in outcomes.items()},
        years={year: Money(pence) for year, pence in years.items() if pence},
        assessed=figures.assessed,
        accumulators=dict(_accumulator(award, each) for each in figures.splits),
        unfunded=figures.unfunded,
        others=figures.others,
    )


def _accumulator(award: Award, split: EarlierSplit) -> tuple[str, Accumulator]:
    shares = shares_of(award.versions[split.version - 1].terms)
    return shares_key(shares), Accumulator(split.split, tuple(split.parts[payer] for payer, _ in shares))


def by_payer(figures: Figures, of: Callable[[EarlierAllotment], Money]) -> dict[str, dict[FinancialYear, Money]]:
    """Something of what payers were allotted, by payer and year, where it is anything."""
    found: defaultdict[str, dict[FinancialYear, Money]] = defaultdict(dict)
    for each in figures.payers:
        if amount := of(each):
            found[each.payer][each.year] = amount
    return dict(found)


def open_amount(of: EarlierAllotment) -> Money:
    """What is due, or, less than nothing, owed back."""
    return of.due - of.owed_back


# What is wrong --------------------------------------------------------------------------------------------------------


def faults(award: Award, figures: Figures, lines: Sequence[EarlierLine], today: date) -> list[Fault]:
    """Everything that is wrong with figures and lines, by the terms agreed and the limits of today."""
    looking = _Looking(award, figures, lines, today)
    if looking.day < looking.first:
        return [Fault("stands_on", f"no agreed terms were in force on {looking.day}")]
    return list(looking.faults())


class _Looking:
    """Looks at a position from every side."""

    def __init__(self, award: Award, figures: Figures, lines: Sequence[EarlierLine], today: date) -> None:
        self.agreement = award.agreement
        self.versions = {number: award.versions[number - 1] for number in award.agreed}
        self.figures = figures
        self.lines = lines
        self.today = today
        self.day = min(figures.stands_on, today)
        self.first = min(version.terms.effective_from for version in self.versions.values())

    def faults(self) -> Iterator[Fault]:
        """All faults, in the order of what they are about."""
        if self.figures.stands_on > self.today:
            yield Fault("stands_on", f"lies ahead; today is {self.today}")
        if not self.figures.outcomes and not self.figures.others:
            yield Fault("outcomes", "say nothing; an award of which nothing was assessed or paid begins here, without a position")
        yield from self._outcomes()
        yield from self._payers()
        yield from self._years()
        yield from self._splits()
        yield from self._limits()
        yield from self._lines()
        yield from self._sums_of_lines()

    # Names and years.

    def _outcomes(self) -> Iterator[Fault]:
        named: set[tuple[str, str]] = set()
        for number, each in enumerate(self.figures.outcomes):
            where = f"outcomes.{number}"
            if self._outcome(each.outcome, self.day) is None:
                yield Fault(f"{where}.outcome", f"{each.outcome} was on no rate card in force by {self.day}")
            yield from self._wrong_year(where, each.year)
            if (each.outcome, each.year) in named:
                yield Fault(where, f"{each.outcome} is named twice for {each.year}")
            named.add((each.outcome, each.year))

    def _payers(self) -> Iterator[Fault]:
        named: set[tuple[str, str]] = set()
        for number, each in enumerate(self.figures.payers):
            where = f"payers.{number}"
            if self._payer(each.payer, self.day) is None:
                yield Fault(f"{where}.payer", f"{each.payer} was a payer by no terms in force by {self.day}")
            yield from self._wrong_year(where, each.year)
            if (each.payer, each.year) in named:
                yield Fault(where, f"{each.payer} is named twice for {each.year}")
            named.add((each.payer, each.year))
            became = each.paid + each.due - each.owed_back
            if each.allotted != became:
                yield Fault(f"{where}.allotted", f"is {each.allotted}, but paid + due − owed back is {became} (M11)")
            if each.owed_back > each.paid:
                yield Fault(f"{where}.owed_back", f"is more than what was paid, {each.paid}")

    def _years(self) -> Iterator[Fault]:
        for number, each in enumerate(self.figures.years):
            yield from self._wrong_year(f"years.{number}", each.year)
            if each.year in {before.year for before in self.figures.years[:number]}:
                yield Fault(f"years.{number}.year", f"{each.year} is named twice")
        given = _sums((each.year, each.allotted) for each in self.figures.payers)
        given.update(_sums((each.year, each.unfunded) for each in self.figures.years))
        for year in sorted(self._counted.keys() | given.keys()):
            if self._counted[year] != given[year]:
                counted = f"{Money(self._counted[year])} was assessed or paid otherwise"
                yield Fault(f"years.{year}", f"{counted}, but allotted + unfunded is {Money(given[year])} (M11)")

    def _wrong_year(self, where: str, year: str) -> Iterator[Fault]:
        first, last = financial_year(self.first), financial_year(self.day)
        if not first <= year <= last:
            yield Fault(f"{where}.year", f"lies outside the years from the first agreed terms to the position, {first} to {last}")

    # M6.

    def _splits(self) -> Iterator[Fault]:
        named: dict[str, int] = {}
        for number, each in enumerate(self.figures.splits):
            where = f"splits.{number}"
            version = self.versions.get(each.version)
            if version is None or version.terms.effective_from > self.day:
                yield Fault(f"{where}.version", f"no agreed version {each.version} was in force by {self.day}")
                continue
            key = shares_key(shares_of(version.terms))
            if key in named:
                yield Fault(f"{where}.version", f"has the same payers and shares as version {named[key]}, which is named already")
            named[key] = each.version
            yield from _misfits(where, version, each)
        split = total(each.split for each in self.figures.splits)
        if split != self.figures.assessed + self.figures.others:
            counted = self.figures.assessed + self.figures.others
            yield Fault("splits", f"{split} was split, but {counted} was assessed or paid otherwise (M6)")

    # M5 and M7.

    def _limits(self) -> Iterator[Fault]:
        terms = self.agreement.on(self.today).terms
        quantities = _sums((each.outcome, each.quantity) for each in self.figures.outcomes)
        outcomes = _sums((each.outcome, each.assessed) for each in self.figures.outcomes)
        for code, units in quantities.items():
            if limits := self._outcome(code, self.today):
                yield from _over(f"outcome_quantity.{code}", Quantity(units), limits.max_quantity)
                yield from _over(f"outcome_amount.{code}", Money(outcomes[code]), limits.max_amount)
        for year, pence in sorted(self._counted.items()):
            yield from _over(f"year_amount.{year}", Money(pence), terms.limit_of_year(year))
        yield from _over("award_amount", Money(sum(self._counted.values())), terms.award_amount)
        paid = _sums((each.payer, each.paid) for each in self.figures.payers)
        still_open = _sums((each.payer, open_amount(each)) for each in self.figures.payers)
        for payer, pence in paid.items():
            if named := self._payer(payer, self.today):
                yield from _over(f"maximum.{payer}", Money(pence + max(still_open[payer], 0)), named.maximum)

    # Lines: what participants had accepted.

    def _lines(self) -> Iterator[Fault]:
        accepted: defaultdict[tuple[Token, str], dict[date, Quantity]] = defaultdict(dict)
        for number, each in enumerate(self.lines, 1):
            days = accepted[each.participant, each.outcome]
            yield from self._wrong_line(f"lines.{number}", each)
            if each.achieved_on in days:
                yield Fault(f"lines.{number}", "names a participant, outcome and day that another line names; add them up")
            days[each.achieved_on] = days.get(each.achieved_on, NONE) + each.quantity
        yield from self._limits_of_participants(accepted)
        for number, each in enumerate(self.lines, 1):
            for wanted in self._prerequisites(each):
                days = accepted.get((each.participant, wanted), {})
                if not any(day <= each.achieved_on for day in days):
                    needed = f"needs {wanted} accepted for the participant, achieved on {each.achieved_on} or before"
                    yield Fault(f"lines.{number}.outcome", f"{each.outcome} {needed} (M5)")

    def _wrong_line(self, where: str, line: EarlierAchievement) -> Iterator[Fault]:
        if line.achieved_on > self.figures.stands_on:
            yield Fault(f"{where}.achieved_on", f"lies after the position, {self.figures.stands_on}")
        try:
            version = self.agreement.on(line.achieved_on)
        except Refused:
            yield Fault(f"{where}.achieved_on", f"no agreed terms were in force on {line.achieved_on}")
            return
        window = version.terms.outcomes_window
        if line.achieved_on not in window:
            yield Fault(f"{where}.achieved_on", f"lies outside the outcomes window, {window.first} to {window.last} (M2)")
        if version.terms.outcome(line.outcome) is None:
            said = f"{line.outcome} is not on the rate card in force on {line.achieved_on}, version {version.number}"
            yield Fault(f"{where}.outcome", said)

    def _limits_of_participants(self, accepted: dict[tuple[Token, str], dict[date, Quantity]]) -> Iterator[Fault]:
        most = self.agreement.on(self.today).terms.participant_amount
        amounts = _sums((each.participant, each.assessed) for each in self.lines)
        last = {each.participant: number for number, each in enumerate(self.lines, 1)}
        last_of = {(each.participant, each.outcome): number for number, each in enumerate(self.lines, 1)}
        for (participant, code), days in accepted.items():
            limits, stood = self._outcome(code, self.today), sum(days.values(), NONE)
            if limits and limits.max_per_participant and stood > limits.max_per_participant:
                said = f"the participant stood accepted for {stood} of {code}, more than {limits.max_per_participant} (M5)"
                yield Fault(f"lines.{last_of[participant, code]}.quantity", said)
        for participant, pence in amounts.items():
            if most is not None and pence > most:
                said = f"{Money(pence)} was assessed for the participant, more than participant_amount, {most} (M5)"
                yield Fault(f"lines.{last[participant]}.assessed", said)

    def _prerequisites(self, line: EarlierAchievement) -> tuple[str, ...]:
        try:
            priced = self.agreement.priced(line.outcome, line.achieved_on)
        except Refused:
            return ()
        return priced.prerequisites if priced else ()

    def _sums_of_lines(self) -> Iterator[Fault]:
        """By outcome and year, lines come to no more than what was assessed; where the outcome takes no cohort, to all of it."""
        quantities = _sums((_place(each), each.quantity) for each in self.lines)
        amounts = _sums((_place(each), each.assessed) for each in self.lines)
        stated = {(each.outcome, each.year): each for each in self.figures.outcomes}
        for (code, year), pence in sorted(amounts.items()):
            if (code, year) not in stated:
                yield Fault("lines", f"name {code} in {year}, of which `outcomes` says nothing")
            elif pence > stated[code, year].assessed:
                said = f"come to {Money(pence)} of {code} in {year}, more than what was assessed, {stated[code, year].assessed}"
                yield Fault("lines", said)
        for place, each in sorted(stated.items()):
            if self._takes_no_cohort(each) and (quantities[place] < each.quantity or amounts[place] < each.assessed):
                come = f"come to {Quantity(quantities[place])} of {each.outcome} in {each.year}, worth {Money(amounts[place])}"
                needed = f"{each.quantity}, worth {each.assessed}, were assessed, and the outcome takes no cohort (M5)"
                yield Fault("lines", f"{come}, but {needed}")

    def _takes_no_cohort(self, each: EarlierOutcome) -> bool:
        """Whether each line of a year had to name its participant, from the year's beginning to its end."""
        days = max(self.first, first_day(each.year)), min(last_day(each.year), self.day)
        cards = [card for card in (self._outcome(each.outcome, day) for day in days) if card]
        return bool(cards) and all(card.prerequisites or card.max_per_participant for card in cards)

    # What the terms know.

    def _outcome(self, code: str, day: date) -> Outcome | None:
        return _found(lambda: self.agreement.outcome_limits(code, day))

    def _payer(self, party: str, day: date) -> Payer | None:
        return _found(lambda: self.agreement.payer_limits(party, day))

    @cached_property
    def _counted(self) -> Counter[str]:
        """By year, what counts against `year_amount`."""
        counted = _sums((each.year, each.assessed) for each in self.figures.outcomes)
        counted.update(_sums((each.year, each.other_payments) for each in self.figures.years))
        return counted


def _misfits(where: str, version: Version, split: EarlierSplit) -> Iterator[Fault]:
    """Parts that are not what a version's shares make of the amount that was split."""
    shares = dict(shares_of(version.terms))
    if missing := sorted(shares.keys() - split.parts.keys()):
        yield Fault(f"{where}.parts", f"no part is said of {', '.join(missing)}")
    for payer, part in split.parts.items():
        if payer not in shares:
            yield Fault(f"{where}.parts.{payer}", f"{payer} is no payer of version {version.number}")
        elif abs((exact := Fraction(shares[payer]) * int(split.split)) - int(part)) > 1:
            near = Money(round(exact))
            yield Fault(f"{where}.parts.{payer}", f"is more than a penny away from {shares[payer]} of {split.split}, {near} (M6)")
    together = total(split.parts.values())
    if together != split.split:
        yield Fault(f"{where}.parts", f"come to {together}, not to {split.split} (M6)")


def _over(where: str, stands: Money | Quantity, limit: Money | Quantity | None) -> Iterator[Fault]:
    if limit is not None and stands > limit:
        yield Fault(where, f"{stands} stands, more than {limit}")


def _place(line: EarlierAchievement) -> tuple[str, str]:
    return line.outcome, financial_year(line.achieved_on)


def _sums(amounts: Iterable[tuple[T, int]]) -> Counter[T]:
    sums: Counter[T] = Counter()
    for name, amount in amounts:
        sums[name] += int(amount)
    return sums


def _found(look: Callable[[], T]) -> T | None:
    try:
        return look()
    except LookupError:
        return None
