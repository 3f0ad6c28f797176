"""Accruals: what is verified and unpaid on a day, and what is expected of the undecided, by award and for the fund (M12)."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from domain.accrual import expected
from domain.money import Money, Share, total
from projections.balances import Account, Known

UNPAID = ("due", "held", "approved", "in-run", "sent", "returned")
"""The stages of a payment at which it is still owed."""


@dataclass(frozen=True, kw_only=True)
class AccrualFigures:
    """What is accrued: verified and unpaid, to the penny, and what is expected of the undecided.

    accrued = awaiting + unpaid + expected. Beside it, and not in it: `receivable`, what payees owe back (assets are shown apart,
    never netted), and `deferred`, on which somebody decided to decide later.
    """

    accrued: Money
    awaiting: Money
    """Accepted, and not assessed yet; limits aside."""
    unpaid: Money
    """Due, held, approved, in a run, sent or returned."""
    expected: Money
    receivable: Money
    deferred: Money


@dataclass(frozen=True, kw_only=True)
class ExpectedOutcome:
    """What is expected of an outcome: its undecided value × its acceptance rate, rounded once."""

    outcome: str
    undecided: Money
    acceptance_rate: Share
    expected: Money


@dataclass(frozen=True, kw_only=True)
class PayerAccrual:
    """What one payer owes, and is owed back."""

    payer: str
    unpaid: Money
    receivable: Money


@dataclass(frozen=True, kw_only=True)
class YearAccrual(AccrualFigures):
    """What is accrued for achievements of one financial year."""

    year: str


@dataclass(frozen=True, kw_only=True)
class Accrual(AccrualFigures):
    """An award's accrual."""

    award: str
    position: int
    """The entry up to which everything is counted."""
    effective_on: date
    """The day up to which everything is counted; acceptance rates are those in force on it."""
    outcomes: tuple[ExpectedOutcome, ...]
    payers: tuple[PayerAccrual, ...]
    years: tuple[YearAccrual, ...]


@dataclass(frozen=True, kw_only=True)
class FundAccrual(AccrualFigures):
    """The accrual of all awards that a key opens."""

    position: int
    effective_on: date
    years: tuple[YearAccrual, ...]
    awards: tuple[Accrual, ...]


def accrual(known: Known) -> Accrual:
    """An award's accrual, from its postings."""
    outcomes, by_year = _expected(known)
    years = tuple(
        YearAccrual(year=year, **_figures(stages, by_year[year])) for year, stages in sorted(_stages(known.accounts, 3).items())
    )
    return Accrual(
        award=known.name,
        position=known.position,
        effective_on=known.day,
        outcomes=outcomes,
        payers=tuple(
            PayerAccrual(payer=payer, unpaid=_unpaid(stages), receivable=Money(-stages["receivable.open"]))
            for payer, stages in sorted(_stages(known.accounts, 2).items())
        ),
        years=years,
        **_sums(years),
    )


def fund_accrual(every: Iterable[Known], position: int, day: date) -> FundAccrual:
    """The accruals of awards, one by one and together."""
    awards = tuple(accrual(known) for known in every)
    years: defaultdict[str, list[YearAccrual]] = defaultdict(list)
    for each in awards:
        for year in each.years:
            years[year.year].append(year)
    together = tuple(YearAccrual(year=year, **_sums(of)) for year, of in sorted(years.items()))
    return FundAccrual(position=position, effective_on=day, years=together, awards=awards, **_sums(together))


def _stages(accounts: Mapping[Account, Money], by: int) -> dict[str, Counter[str]]:
    """Stages' sums by outcome (1), payer (2) or year (3)."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for account, amount in accounts.items():
        if (name := account[by]) is not None:
            found[name][account[0]] += int(amount)
    return found


def _expected(known: Known) -> tuple[tuple[ExpectedOutcome, ...], Counter[str]]:
    undecided: defaultdict[str, dict[str, Money]] = defaultdict(dict)
    for (stage, outcome, _, year), amount in known.accounts.items():
        if stage == "undecided" and outcome and amount:
            undecided[outcome][year] = amount
    outcomes: list[ExpectedOutcome] = []
    years: Counter[str] = Counter()
    for outcome, value in sorted(undecided.items()):
        rate = known.contract.agreement.outcome_limits(outcome, known.day).acceptance_rate
        by_year = expected(value, rate)
        years.update({year: int(amount) for year, amount in by_year.items()})
        outcomes.append(
            ExpectedOutcome(
                outcome=outcome,
                undecided=total(value.values()),
                acceptance_rate=rate,
                expected=total(by_year.values()),
            )
        )
    return tuple(outcomes), years


def _unpaid(stages: Counter[str]) -> Money:
    return Money(sum(stages[stage] for stage in UNPAID))


def _figures(stages: Counter[str], of_the_undecided: int) -> dict[str, Money]:
    awaiting, unpaid = Money(stages["awaiting"]), _unpaid(stages)
    return {
        "accrued": Money(awaiting + unpaid + of_the_undecided),
        "awaiting": awaiting,
        "unpaid": unpaid,
        "expected": Money(of_the_undecided),
        "receivable": Money(-stages["receivable.open"]),
        "deferred": Money(stages["deferred"]),
    }


def _sums(figures: Iterable[AccrualFigures]) -> dict[str, Money]:
    listed = list(figures)
    names = ("accrued", "awaiting", "unpaid", "expected", "receivable", "deferred")
    return {name: total(getattr(each, name) for each in listed) for name in names}
