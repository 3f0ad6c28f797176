"""Balances: what M11 names, as sums of postings, now or as of a moment on either axis."""

from calendar import monthrange
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Final, Literal, NamedTuple, get_args

from sqlalchemy import Connection

from domain.award import Contract, NoSuchAward
from domain.calendar import london_day
from domain.money import NOTHING, Money, total
from domain.reference import canonical
from domain.terms import NoTermsInForce, Terms
from ledger.ledger import Ledger
from projections.contracts import Contracts, contract_of
from projections.models import Tables

_CURTAILED = "curtailed."
_PAYMENT_STAGES = ("due", "held", "approved", "in-run", "sent", "paid", "returned", "netted-off")
_UNSENT = ("held", "approved", "in-run", "returned")
_RECEIVABLE_STAGES = ("open", "netted-off", "recovered", "written-off")


@dataclass(frozen=True, kw_only=True)
class ClaimFigures:
    """What became of what was claimed, in value of lines.

    claimed = accepted + rejected + deferred + undecided; accepted = awaiting + declined + assessed + curtailed.
    """

    claimed: Money
    undecided: Money
    accepted: Money
    rejected: Money
    deferred: Money
    awaiting: Money
    declined: Money
    curtailed: Money
    curtailed_by: Mapping[str, Money]
    """What each limit cut off, by its name (M5)."""
    assessed: Money


@dataclass(frozen=True, kw_only=True)
class PaymentFigures:
    """What became of what was allotted, and of what was taken back of it (M8, M11).

    allotted = due + held + approved + in run + sent + paid + returned + netted off; reversed = open + netted off + recovered +
    written off; cash out = paid − recovered.
    """

    allotted: Money
    due: Money
    held: Money
    approved: Money
    in_run: Money
    sent: Money
    paid: Money
    returned: Money
    netted_off: Money
    reversed: Money
    open: Money
    recovered: Money
    written_off: Money
    cash_out: Money


@dataclass(frozen=True, kw_only=True)
class Limited:
    """A limit in force, if there is one, and what remains of it."""

    limit: Money | None
    remaining: Money | None


@dataclass(frozen=True, kw_only=True)
class OutcomeBalance(ClaimFigures, Limited):
    """One outcome; the limit is its `max_amount`."""

    outcome: str


@dataclass(frozen=True, kw_only=True)
class PayerBalance(PaymentFigures, Limited):
    """One payer; the limit is its maximum, of which is taken off what was allotted and did not come back."""

    payer: str


@dataclass(frozen=True, kw_only=True)
class Totals(ClaimFigures, PaymentFigures, Limited):
    """All of it: assessed + other payments = allotted − reversed + unfunded; remaining = limit − assessed − other payments."""

    other_payments: Money
    unfunded: Money


@dataclass(frozen=True, kw_only=True)
class YearBalance(Totals):
    """One financial year."""

    year: str


@dataclass(frozen=True, kw_only=True)
class Balances(Totals):
    """An award. The trial balance is always 0.00."""

    award: str
    position: int
    """The entry up to which everything is counted."""
    effective_on: date | None
    """The day up to which everything is counted; nothing if all days are."""
    limits_on: date
    """The day whose limits are shown."""
    trial_balance: Money
    outcomes: tuple[OutcomeBalance, ...]
    payers: tuple[PayerBalance, ...]
    years: tuple[YearBalance, ...]


Account = tuple[str, str | None, str | None, str]
"""Stage, outcome, payer, financial year."""
Of = Literal["award", "outcome", "payer", "year"]
"""What figures are of."""
Sheets = defaultdict[str | None, Counter[str]]
"""Sums by stage, for each name."""


class Known(NamedTuple):
    """What figures of an award are made of: its terms, and the sums of its postings."""

    name: str
    contract: Contract
    in_effect: Contract | None
    """The contract as it was in effect on the day; nothing if the award was not registered by then."""
    accounts: Mapping[Account, Money]
    position: int
    """The entry up to which everything is counted."""
    day: date
    """The day up to which everything is counted, if that was asked; and whose terms hold."""


class BalanceSheet:
    """What can be asked of balances: of any number of awards in a handful of statements."""

    def __init__(self, tables: Tables, ledger: Ledger) -> None:
        self._tables = tables
        self._ledger = ledger
        self._contracts = Contracts(tables, ledger)

    def of(self, award: str, as_of: int | None = None, effective_on: date | None = None) -> Balances:
        """An award's balances: of what was recorded up to a position, and in effect on a day or before.

        Limits are those in force on `effective_on`, else on the day of recording of `as_of`, else today. Raises `NoSuchAward`.
        """
        return _balances(self.known(award, as_of, effective_on), effective_on)

    def known(self, award: str, as_of: int | None = None, effective_on: date | None = None) -> Known:
        """What an award's figures are made of. Raises `NoSuchAward`."""
        for known in self.all_known([award], as_of, effective_on):
            return known
        raise NoSuchAward(name=canonical(award))

    def all_known(self, awards: Iterable[str], as_of: int | None = None, effective_on: date | None = None) -> tuple[Known, ...]:
        """What the figures of awards are made of, in their order; those that are not there are left out."""
        names = [canonical(each) for each in awards]
        day = effective_on or self.day_of(as_of)
        with self._tables.turn_to_read() as connection:
            contracts = self._contracts.entries(names, as_of, connection)
            accounts = self._accounts(names, as_of, effective_on, connection)
            position = self._position(as_of, connection)
        found = []
        for name in names:
            contract = contract_of(contracts.get(name, ()))
            if contract is not None:
                then = contract if effective_on is None else contract_of(contracts[name], effective_on)
                sums = accounts.get(name, {})
                sums = sums if effective_on is None else owed_back_apart(sums)
                found.append(Known(name, contract, then, sums, position, day))
        return tuple(found)

    def monthly(
        self, awards: Collection[str], as_of: int | None = None, effective_on: date | None = None
    ) -> dict[tuple[str, str], Money]:
        """The sums of awards' postings by stage and month of the effective date."""
        moved, parameters = self._moved([canonical(each) for each in awards], as_of, effective_on)
        found = self._tables.ask(f"SELECT stage, month, SUM(amount) FROM {moved} GROUP BY stage, month", parameters)  # noqa: S608 (ours)
        return {(stage, month): Money(int(amount)) for stage, month, amount in found}

    def trial_balance(self, as_of: int | None = None) -> Money:
        """The sum of all postings of all awards: always 0.00."""
        where, parameters = ("WHERE position <= ?", (as_of,)) if as_of is not None else ("", ())
        ((moved,),) = self._tables.ask(f"SELECT COALESCE(SUM(amount), 0) FROM postings_v2 {where}", parameters)  # noqa: S608 (ours)
        return Money(int(moved))

    def accounts(self, award: str, as_of: int | None = None, effective_on: date | None = None) -> dict[Account, Money]:
        """The sum of an award's postings on every account that has any: (stage, outcome, payer, financial year).

        As they were posted, and as the journal adds them up: `due` may be below nothing on a day (`owed_back_apart`).
        """
        return self._accounts([canonical(award)], as_of, effective_on).get(canonical(award), {})

    def moved(
        self, award: str, after: int, upto: int, limit: int, effective_on: date | None = None
    ) -> dict[int, dict[Account, Money]]:
        """What entries after one position and up to another added to an award's accounts; of at most `limit` entries, in order.

        Entries that moved nothing, or nothing in effect on a day or before, are not among them.
        """
        where, days = "award = ? AND position > ? AND position <= ?", []
        if effective_on is not None:
            where, days = f"{where} AND effective <= ?", [effective_on.isoformat()]
        name = canonical(award)
        positions = self._tables.ask(
            f"SELECT DISTINCT position FROM postings_v2 WHERE {where} ORDER BY position LIMIT ?",  # noqa: S608 (our own words)
            [name, after, upto, *days, limit],
        )
        if not positions:
            return {}
        found = self._tables.ask(
            "SELECT position, stage, outcome, payer, year, SUM(amount) FROM postings_v2 "  # noqa: S608 (our own words)
            f"WHERE {where} GROUP BY position, stage, outcome, payer, year ORDER BY position",
            [name, after, positions[-1][0], *days],
        )
        moved: defaultdict[int, dict[Account, Money]] = defaultdict(dict)
        for position, stage, outcome, payer, year, amount in found:
            moved[position][stage, outcome or None, payer or None, year] = Money(int(amount))
        return moved

    def _accounts(
        self, awards: Collection[str], as_of: int | None, effective_on: date | None, connection: Connection | None = None
    ) -> dict[str, dict[Account, Money]]:
        moved, parameters = self._moved(awards, as_of, effective_on)
        found = self._tables.ask(
            f"SELECT award, stage, outcome, payer, year, SUM(amount) FROM {moved} GROUP BY award, stage, outcome, payer, year",  # noqa: S608 (ours)
            parameters,
            connection,
        )
        accounts: defaultdict[str, dict[Account, Money]] = defaultdict(dict)
        for award, stage, outcome, payer, year, amount in found:
            accounts[award][stage, outcome or None, payer or None, year] = Money(int(amount))
        return accounts

    def _moved(self, awards: Collection[str], as_of: int | None, effective_on: date | None) -> tuple[str, list[Any]]:
        """What is to be added up, as a table to select from, and its parameters.

        Of now, and of a month's end as it is known now, the sums are kept. Of any other moment there are the postings only, and
        it takes the longer the more they are.
        """
        where, parameters = ["award IN {any}"], [self._tables.sql.texts(awards)]
        if as_of is None and (effective_on is None or _ends_a_month(effective_on)):
            if effective_on is not None:
                where.append("month <= ?")
                parameters.append(effective_on.isoformat()[:7])
            return f"(SELECT * FROM accounts_v1 WHERE {' AND '.join(where)}) AS moved", parameters  # noqa: S608 (our own words)
        if as_of is not None:
            where.append("position <= ?")
            parameters.append(as_of)
        if effective_on is not None:
            where.append("effective <= ?")
            parameters.append(effective_on.isoformat())
        columns = "award, stage, outcome, payer, year, substr(effective, 1, 7) AS month, amount"
        return f"(SELECT {columns} FROM postings_v2 WHERE {' AND '.join(where)}) AS moved", parameters  # noqa: S608 (our own words)

    def _position(self, as_of: int | None, connection: Connection) -> int:
        standings = {each.model.name: each.position for each in self._tables.standings(connection)}
        come_to = min(standings.get(name, 0) for name in ("contracts", "accounts" if as_of is None else "postings"))
        return come_to if as_of is None else min(as_of, come_to)

    def day_of(self, as_of: int | None) -> date:
        """The day of recording of a position, else today."""
        rows = self._ledger.entries(as_of - 1, 1) if as_of else ()
        return london_day(rows[0].recorded_at if rows else self._ledger.now())


def owed_back_apart(accounts: Mapping[Account, Money]) -> dict[Account, Money]:
    """Accounts as of a day, with what was paid beyond what was earned as owed back, never as less due (M11, M12).

    What is taken back was not earned on its day of achievement already, while its receivable is opened, and its payment netted,
    on the later day of the decision. In between, `due` of that payer and year lies below nothing, by what the decision is about:
    it comes off what was not sent yet, as it will (M8), and the rest was paid, and so is owed back. Sums stay as they are.
    """
    found = dict(accounts)
    for (stage, outcome, payer, year), amount in accounts.items():
        if stage == "due" and amount < NOTHING:
            over = -amount
            for unsent in _UNSENT:
                account = (unsent, outcome, payer, year)
                less = min(over, max(found.get(account, NOTHING), NOTHING))
                found[account] = found.get(account, NOTHING) - less
                over -= less
            opened = ("receivable.open", outcome, payer, year)
            found["due", outcome, payer, year] = NOTHING
            found[opened] = found.get(opened, NOTHING) - over
    return found


def _ends_a_month(day: date) -> bool:
    return day.day == monthrange(day.year, day.month)[1]


def _balances(of: Known, effective_on: date | None) -> Balances:
    contract, day, sheets = of.contract, of.day, sheets_of(of.accounts)
    terms = terms_on(contract, day)
    return Balances(
        award=of.name,
        position=of.position,
        effective_on=effective_on,
        limits_on=day,
        **vars(totals(contract, sheets["award"][None], day)),
        trial_balance=total(of.accounts.values()),
        outcomes=tuple(
            OutcomeBalance(outcome=code, **_claims(each), **_limited(_maximum(contract, code, day), Money(each["assessed"])))
            for code, each in _sorted(sheets["outcome"])
        ),
        payers=tuple(_payer(contract, party, each, day) for party, each in _sorted(sheets["payer"])),
        years=tuple(
            YearBalance(year=year, **_all(each), **_limited(terms.limit_of_year(year) if terms else None, _counted(each)))
            for year, each in _sorted(sheets["year"])
        ),
    )


def totals(contract: Contract | None, stages: Counter[str], day: date) -> Totals:
    """What an award comes to by the sums of its stages, and its limit on a day, if it has a contract by then."""
    terms = terms_on(contract, day) if contract is not None else None
    return Totals(**_all(stages), **_limited(terms.award_amount if terms else None, _counted(stages)))


def sheets_of(accounts: Mapping[Account, Money]) -> dict[Of, Sheets]:
    """The sums of accounts by stage: of the award, under no name, and of each outcome, payer and year."""
    sheets: dict[Of, Sheets] = {of: defaultdict(Counter) for of in get_args(Of)}
    for (stage, outcome, payer, year), amount in accounts.items():
        sheets["award"][None][stage] += int(amount)
        sheets["year"][year][stage] += int(amount)
        if outcome:
            sheets["outcome"][outcome][stage] += int(amount)
        if payer:
            sheets["payer"][payer][stage] += int(amount)
    return sheets


def figures(of: Of, stages: Counter[str]) -> dict[str, Money]:
    """What sums by stage come to, by the names that `Balances` has for it; a limit's part of `curtailed_by` after a dot.

    Each is a sum of some of the stages: the figures of two entries together are the sums of the figures of each.
    """
    told = _FIGURES[of](stages)
    curtailed_by = {f"curtailed_by.{limit}": amount for limit, amount in told.pop("curtailed_by", {}).items()}
    return {**told, **curtailed_by}


def _sorted(sheets: Sheets) -> list[tuple[str, Counter[str]]]:
    return sorted((name, stages) for name, stages in sheets.items() if name is not None)


def _claims(stages: Counter[str]) -> dict[str, Any]:
    curtailed_by = {stage.removeprefix(_CURTAILED): Money(each) for stage, each in stages.items() if stage.startswith(_CURTAILED)}
    curtailed = total(curtailed_by.values())
    accepted = Money(stages["awaiting"] + stages["declined"] + stages["assessed"]) + curtailed
    return {
        "claimed": Money(-stages["claimed"]),
        "undecided": Money(stages["undecided"]),
        "accepted": accepted,
        "rejected": Money(stages["rejected"]),
        "deferred": Money(stages["deferred"]),
        "awaiting": Money(stages["awaiting"]),
        "declined": Money(stages["declined"]),
        "curtailed": curtailed,
        "curtailed_by": {limit: amount for limit, amount in sorted(curtailed_by.items()) if amount},
        "assessed": Money(stages["assessed"]),
    }


def _payments(stages: Counter[str]) -> dict[str, Any]:
    amounts = {stage.replace("-", "_"): Money(stages[stage]) for stage in _PAYMENT_STAGES}
    back = {stage.replace("-", "_"): Money(-stages[f"receivable.{stage}"]) for stage in _RECEIVABLE_STAGES}
    return {
        "allotted": total(amounts.values()),
        "reversed": total(back.values()),
        **back,
        **amounts,
        "cash_out": amounts["paid"] - back["recovered"],
    }


def _all(stages: Counter[str]) -> dict[str, Any]:
    return {
        **_claims(stages),
        **_payments(stages),
        "other_payments": Money(-stages["other-payments"]),
        "unfunded": Money(stages["unfunded"]),
    }


_FIGURES: Final[Mapping[Of, Callable[[Counter[str]], dict[str, Any]]]] = {
    "award": _all,
    "outcome": _claims,
    "payer": _payments,
    "year": _all,
}


def _limited(limit: Money | None, consumed: Money) -> dict[str, Any]:
    return {"limit": limit, "remaining": None if limit is None else limit - consumed}


def _payer(contract: Contract, party: str, stages: Counter[str], day: date) -> PayerBalance:
    figures = _payments(stages)
    try:
        maximum = contract.agreement.payer_limits(party, day).maximum
    except LookupError:
        maximum = None
    return PayerBalance(payer=party, **figures, **_limited(maximum, _consumed(figures)))


def _consumed(figures: Mapping[str, Money]) -> Money:
    """What counts against a payer's maximum: netted off or recovered, it is free again; open or written off, it is not (M8)."""
    return figures["allotted"] - figures["netted_off"] - figures["recovered"]


def _counted(stages: Counter[str]) -> Money:
    """What counts against the limits of a year and of the award: assessed for outcomes, and paid otherwise (M10)."""
    return Money(stages["assessed"] - stages["other-payments"])


def _maximum(contract: Contract, code: str, day: date) -> Money | None:
    try:
        return contract.agreement.outcome_limits(code, day).max_amount
    except LookupError:
        return None


def terms_on(contract: Contract, day: date) -> Terms | None:
    """The terms in force on a day; those agreed first where the day lies before all, or nothing where none are agreed."""
    try:
        return contract.agreement.on(day).terms
    except NoTermsInForce:
        return contract.agreed_first
