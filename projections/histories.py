"""The history of an award in figures: step by step, with what it came to before and after; and what lies between two moments.

Steps and causes are read from the log and from postings, and add up to what balances say: a figure of balances is a sum of
postings, so what it was, and what an entry added to it, is what it is afterwards. Figures go by the names that they have there.
"""

from collections import Counter, OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from threading import Lock
from typing import Any, Final

from domain.aggregate import PersonId
from domain.award import Contract, NoSuchAward
from domain.calendar import london_day
from domain.event import took_effect
from domain.money import NOTHING, Money
from domain.reference import canonical
from ledger.ledger import Ledger
from projections.balances import Account, BalanceSheet, Of, Sheets, Totals, figures, sheets_of, totals
from projections.projection import Happened
from projections.trails import sentence


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What a figure gained, or lost where negative."""

    of: Of
    name: str | None
    """Of which outcome, payer or year; nothing: of the award as a whole."""
    figure: str
    """As `Balances` names it, such as `assessed` or `curtailed_by.year_amount`."""
    amount: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a figure was, and what it became."""

    of: Of
    name: str | None
    """Of which outcome, payer or year; nothing: of the award as a whole."""
    figure: str
    """As `Balances` names it, such as `assessed` or `curtailed_by.year_amount`."""
    before: Money
    after: Money
    difference: Money


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What is told of an entry: what happened, when, and whose deed it was."""

    position: int
    recorded_at: datetime
    person: PersonId
    stream: str
    type: str
    sentence: str
    effective_on: tuple[date, ...]
    """The days on which it takes effect: those of its postings; of what moves nothing, that of its own account."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Told):
    """An entry, with what the award came to before and after it. Both have the limit that is in force on its day of recording."""

    before: Totals
    after: Totals
    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause(Told):
    """An entry that moved figures."""

    moves: tuple[Move, ...]


_Span = tuple[str, int, int, date | None]
_REMEMBERED: Final = 32
"""Spans of which it is remembered what changed, for those who go on to the next page."""


class Histories:
    """What can be asked of histories."""

    def __init__(self, ledger: Ledger, balances: BalanceSheet) -> None:
        self._ledger = ledger
        self._balances = balances
        self._found: OrderedDict[_Span, tuple[Change, ...]] = OrderedDict()
        self._finding = Lock()

    def replay(self, award: str, after: int, upto: int, limit: int) -> list[Step]:
        """What an award came to with each entry after one position and up to another; at most `limit`, in order.

        Costs one sum of what there was before, and then the entries. Raises `NoSuchAward` if there was none up to there.
        """
        known = self._balances.all_known([award], after)
        rows = self._ledger.log.reads.rows(after, limit, award=canonical(award), upto=upto)
        if not (known or rows):
            raise NoSuchAward(name=canonical(award))
        contract, accounts = (known[0].contract, known[0].accounts) if known else (None, {})
        standing = _Standing(contract, sheets_of(accounts))
        return [standing.step(Happened(row, self._ledger.registry)) for row in rows]

    def changes(
        self, award: str, before: int, after: int, effective_on: date | None = None, *, goes_on: bool = False
    ) -> tuple[Change, ...]:
        """Every figure that is another as of a position than it was as of one before. Raises `NoSuchAward` if there is none.

        Whoever `goes_on` gets what this process found last, if it still knows: so all pages of a difference cost it once.
        """
        span = canonical(award), before, after, effective_on
        with self._finding:
            found = self._found.get(span) if goes_on else None
        if found is None:
            found = self._changes(*span)
            with self._finding:
                self._found[span] = found
                self._found.move_to_end(span)
                while len(self._found) > _REMEMBERED:
                    self._found.popitem(last=False)
        return found

    def _changes(self, award: str, before: int, after: int, effective_on: date | None) -> tuple[Change, ...]:
        accounts = [self._balances.accounts(award, position, effective_on) for position in (before, after)]
        if not accounts[-1]:
            self._balances.known(award, after)  # An award under which nothing has moved yet may not be there at all.
        was, became = map(sheets_of, accounts)
        return tuple(
            change
            for of, sheets in became.items()
            for name in sorted(sheets, key=str)
            for change in _changes(of, name, figures(of, was[of][name]), figures(of, sheets[name]))
        )

    def causes(
        self, award: str, after: int, upto: int, limit: int, effective_on: date | None = None
    ) -> tuple[list[Cause], int | None]:
        """What each entry after one position and up to another moved, and the position to go on from, if there are more.

        At most `limit`, in order; with `effective_on`, what was in effect on that day or before. They add up to `changes`.
        """
        found = self._balances.moved(award, after, upto, limit + 1, effective_on)
        positions = list(found)[:limit]
        entries = (Happened(seen, self._ledger.registry) for seen in self._ledger.log.reads.seen_at(positions))
        causes = (_cause(each, found[each.position], effective_on) for each in entries)
        return [each for each in causes if each.moves], positions[-1] if len(found) > limit else None


@dataclass(slots=True)
class _Standing:
    """What an award has come to, while its entries are gone through."""

    contract: Contract | None
    sheets: dict[Of, Sheets]

    def step(self, happened: Happened) -> Step:
        day = london_day(happened.recorded_at)
        before = self._totals(day)
        if happened.type in Contract.made_of:
            self.contract = Contract.evolve(self.contract, happened.event, happened.person)
        changes = tuple(self._add(happened))
        return Step(**_told(happened), before=before, after=self._totals(day), changes=changes)

    def _totals(self, day: date) -> Totals:
        return totals(self.contract, self.sheets["award"][None], day)

    def _add(self, happened: Happened) -> Iterator[Change]:
        for of, added in sheets_of(_accounts(happened)).items():
            for name, stages in sorted(added.items(), key=str):
                sheet = self.sheets[of][name]
                before = figures(of, sheet)
                sheet.update(stages)
                yield from _changes(of, name, before, figures(of, sheet))


def _accounts(happened: Happened) -> dict[Account, Money]:
    found: Counter[Account] = Counter()
    for (stage, outcome, payer, year, _), amount in happened.sums.items():
        found[stage, outcome, payer, year] += amount
    return {account: Money(amount) for account, amount in found.items()}


def _changes(of: Of, name: str | None, before: dict[str, Money], after: dict[str, Money]) -> Iterator[Change]:
    for figure in {**before, **after}:
        was, became = before.get(figure, NOTHING), after.get(figure, NOTHING)
        if was != became:
            yield Change(of=of, name=name, figure=figure, before=was, after=became, difference=became - was)


def _cause(happened: Happened, moved: dict[Account, Money], effective_on: date | None) -> Cause:
    moves = tuple(
        Move(of=of, name=name, figure=figure, amount=amount)
        for of, sheets in sheets_of(moved).items()
        for name, stages in sorted(sheets.items(), key=str)
        for figure, amount in figures(of, stages).items()
        if amount
    )
    return Cause(**_told(happened, effective_on), moves=moves)


def _told(happened: Happened, upto: date | None = None) -> dict[str, Any]:
    days = sorted({day for *_, day in happened.sums if upto is None or day <= upto})
    return {
        "position": happened.position,
        "recorded_at": happened.recorded_at,
        "person": happened.person,
        "stream": happened.stream,
        "type": happened.type,
        "sentence": sentence(happened.event, happened.stream),
        "effective_on": tuple(days) or (took_effect(happened.event, london_day(happened.recorded_at)),),
    }
