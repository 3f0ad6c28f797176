"""Statements by financial year, and the fund's position: where the money of all awards stands on a day (M11)."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date

from domain.award import Status
from domain.calendar import financial_year
from domain.money import NOTHING, Money, total
from domain.terms import NoTermsInForce
from projections.accruals import UNPAID
from projections.balances import Known, terms_on

Monthly = Mapping[tuple[str, str], Money]
"""The sums of postings by stage and month of the effective date, such as `("paid", "2022-03")`."""


@dataclass(frozen=True, kw_only=True)
class Movements:
    """How what payees are owed on balance (unpaid less receivable) went from the opening to the closing of a period.

    closing = opening + assessed + other payments − unfunded − paid + recovered + written off. What was netted off stands on both
    sides, and so nowhere.
    """

    opening: Money
    assessed: Money
    other_payments: Money
    unfunded: Money
    paid: Money
    recovered: Money
    written_off: Money
    closing: Money


@dataclass(frozen=True, kw_only=True)
class StatementYear(Movements):
    """One financial year, by effective dates: achievements in it, and money that moved in it."""

    year: str
    claimed: Money
    rejected: Money
    curtailed: Money


@dataclass(frozen=True, kw_only=True)
class Statement:
    """The years from the first posting up to a day; of an award, or of all awards that a key opens."""

    award: str | None
    position: int
    effective_on: date
    years: tuple[StatementYear, ...]


@dataclass(frozen=True, kw_only=True)
class PositionFigures:
    """committed = limit − released; remaining = committed − assessed − other payments; paid is cash out: paid less recovered."""

    limit: Money
    released: Money
    """What of the limit went back to the fund when the award was closed to claims."""
    committed: Money
    assessed: Money
    other_payments: Money
    unfunded: Money
    paid: Money
    unpaid: Money
    receivable: Money
    remaining: Money


@dataclass(frozen=True, kw_only=True)
class AwardPosition(PositionFigures):
    """One award's part of the position; nothing is committed before its terms are in force, or it is agreed."""

    award: str
    title: str
    status: Status | None
    """As it was in effect on the day; nothing if it was not registered by then."""


@dataclass(frozen=True, kw_only=True)
class FundPosition(PositionFigures):
    """Where the money of all awards that a key opens stands."""

    position: int
    effective_on: date
    awards: tuple[AwardPosition, ...]


def statement(award: str | None, months: Monthly, position: int, day: date) -> Statement:
    """The years of a statement, each opened by the one before it."""
    years: dict[str, Counter[str]] = {}
    for (stage, month), amount in sorted(months.items(), key=lambda each: each[0][1]):
        year = financial_year(date.fromisoformat(f"{month}-01"))
        years.setdefault(year, Counter())[stage] += int(amount)
    told: list[StatementYear] = []
    opening = NOTHING
    for year, stages in years.items():
        told.append(_year(year, stages, opening))
        opening = told[-1].closing
    return Statement(award=award, position=position, effective_on=day, years=tuple(told))


def _year(year: str, stages: Counter[str], opening: Money) -> StatementYear:
    owed = sum(stages[stage] for stage in (*UNPAID, "receivable.open"))
    return StatementYear(
        year=year,
        opening=opening,
        assessed=Money(stages["assessed"]),
        other_payments=Money(-stages["other-payments"]),
        unfunded=Money(stages["unfunded"]),
        paid=Money(stages["paid"]),
        recovered=Money(-stages["receivable.recovered"]),
        written_off=Money(-stages["receivable.written-off"]),
        closing=Money(opening + owed),
        claimed=Money(-stages["claimed"]),
        rejected=Money(stages["rejected"]),
        curtailed=Money(sum(amount for stage, amount in stages.items() if stage.startswith("curtailed."))),
    )


def fund_position(every: Iterable[Known], position: int, day: date) -> FundPosition:
    """The position of awards, one by one and together."""
    awards = tuple(map(_position, every))
    names = PositionFigures.__dataclass_fields__
    sums = {name: total(getattr(each, name) for each in awards) for name in names}
    return FundPosition(position=position, effective_on=day, awards=awards, **sums)


def _position(known: Known) -> AwardPosition:
    stages = Counter[str]()
    for (stage, *_), amount in known.accounts.items():
        stages[stage] += int(amount)
    limit, in_effect = _limit(known), known.in_effect
    assessed, others = Money(stages["assessed"]), Money(-stages["other-payments"])
    closed = in_effect is not None and in_effect.award.closed_on is not None
    released = max(limit - assessed - others, NOTHING) if closed else NOTHING
    return AwardPosition(
        award=known.name,
        title=known.contract.title,
        status=in_effect.award.status if in_effect else None,
        limit=limit,
        released=released,
        committed=limit - released,
        assessed=assessed,
        other_payments=others,
        unfunded=Money(stages["unfunded"]),
        paid=Money(stages["paid"] + stages["receivable.recovered"]),
        unpaid=Money(sum(stages[stage] for stage in UNPAID)),
        receivable=Money(-stages["receivable.open"]),
        remaining=limit - released - assessed - others,
    )


def _limit(known: Known) -> Money:
    """What was committed: by the terms in force on the day, which may have been agreed later, else by what was agreed by then."""
    try:
        return known.contract.agreement.on(known.day).terms.award_amount
    except NoTermsInForce:
        terms = terms_on(known.in_effect, known.day) if known.in_effect else None
        return terms.award_amount if terms else NOTHING
