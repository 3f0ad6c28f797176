"""Receivables: a row for each, with what is open of it and what became of the rest."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from domain.aggregate import PersonId
from domain.money import NOTHING, Money
from domain.receivable import (
    ReceivableEvent,
    ReceivableNettedOff,
    ReceivableOpened,
    ReceivableRecovered,
    ReceivableWrittenOff,
    WriteOffProposed,
    WriteOffWithdrawn,
)
from domain.reference import canonical
from projections.models import Listing
from projections.projection import Happened, Page, Projection, Row, moved, names_of, traced


@dataclass(frozen=True, kw_only=True)
class ReceivableRow(Row):
    """What a payee owes back to a payer by one assessment: amount = open + netted off + recovered + written off.

    `award` is in capitals.
    """

    award: str
    assessment: int
    payer: str
    payee: str
    opened_on: date
    amount: Money
    open: Money
    is_open: bool
    netted_off: Money = NOTHING
    recovered: Money = NOTHING
    written_off: Money = NOTHING
    write_off_proposed_by: PersonId | None = None
    write_off_agreed_by: PersonId | None = None
    authority: str | None = None
    """The reference by which a write-off is proposed, or was agreed."""


class ReceivablesProjection(Projection[ReceivableRow]):
    """Folds the entries of receivables' streams."""

    name: ClassVar[str] = "receivables"
    version: ClassVar[int] = 2
    row = ReceivableRow
    folds = names_of(ReceivableEvent)
    indexes = (("award", "is_open", "first"),)

    def become(self, before: ReceivableRow | None, happened: Happened) -> ReceivableRow:
        """The receivable after an entry."""
        event: ReceivableEvent = happened.event
        if isinstance(event, ReceivableOpened):
            return ReceivableRow(
                **traced(happened),
                award=canonical(event.award),
                assessment=event.assessment,
                payer=event.payer,
                payee=event.payee,
                opened_on=event.on,
                amount=event.amount,
                open=event.amount,
                is_open=True,
            )
        if before is None:
            raise LookupError(f"{event.type} before receivable.opened")
        match event:
            case WriteOffProposed(authority=authority):
                return moved(before, happened, write_off_proposed_by=happened.person, authority=authority)
            case WriteOffWithdrawn():
                return moved(before, happened, **_NOT_PROPOSED)
            case ReceivableNettedOff(amount=amount):
                return _less(before, happened, amount, "netted_off")
            case ReceivableRecovered(amount=amount):
                return _less(before, happened, amount, "recovered")
            case ReceivableWrittenOff(amount=amount):
                return moved(_less(before, happened, amount, "written_off"), happened, write_off_agreed_by=happened.person)


_NOT_PROPOSED: dict[str, None] = {"write_off_proposed_by": None, "authority": None}


def _less(before: ReceivableRow, happened: Happened, amount: Money, how: str) -> ReceivableRow:
    left = before.open - amount
    return moved(before, happened, open=left, is_open=bool(left), **{how: getattr(before, how) + amount})


class Receivables(Listing[ReceivableRow]):
    """What can be asked of receivables."""

    changing = frozenset({"is_open"})

    def page(
        self,
        award: str,
        after: str | None = None,
        limit: int = 100,
        *,
        is_open: bool | None = None,
        as_of: int | None = None,
        effective_on: date | None = None,
    ) -> Page[ReceivableRow]:
        """An award's receivables, oldest first: all of them, or those that are open, or those that are not."""
        where = {"award": canonical(award), "is_open": None if is_open is None else int(is_open)}
        return self._page(where, after, limit, as_of, effective_on)
