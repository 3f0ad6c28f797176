"""Contracts: where in the log stands what was agreed of awards, so that it is read without all that was claimed under them."""

from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date
from typing import ClassVar

from sqlalchemy import Connection

from domain.award import Contract
from domain.calendar import london_day
from domain.event import in_effect
from ledger.ledger import Ledger
from projections.models import Tables
from projections.projection import Column, Happened, Journal, Stored, unchanged


class ContractsJournal(Journal):
    """The positions of the entries that an award's contract is made of: an entry never changes, and need not be copied."""

    name: ClassVar[str] = "contracts"
    version: ClassVar[int] = 1
    folds = Contract.made_of
    key = ("award", "position")
    columns = (Column("award", "text", unchanged, unchanged), Column("position", "bigint", unchanged, unchanged))

    def made(self, happened: Happened) -> list[Stored]:
        """The row of an entry."""
        return [(happened.award, happened.position)]


class Contracts:
    """What can be asked of contracts."""

    def __init__(self, tables: Tables, ledger: Ledger) -> None:
        self._tables = tables
        self._ledger = ledger

    def entries(self, awards: Collection[str], as_of: int | None, connection: Connection) -> dict[str, list[Happened]]:
        """What contracts are made of, up to a position if one is given: in two statements, however many awards there are."""
        where, parameters = "award IN {any}", [self._tables.sql.texts(awards)]
        if as_of is not None:
            where, parameters = f"{where} AND position <= ?", [*parameters, as_of]
        rows = self._tables.ask(f"SELECT position FROM contracts_v1 WHERE {where}", parameters, connection)  # noqa: S608 (our own words)
        found: defaultdict[str, list[Happened]] = defaultdict(list)
        for seen in self._ledger.log.reads.seen_at(position for (position,) in rows):
            found[str(seen.award)].append(Happened(seen, self._ledger.registry))
        return found


def contract_of(entries: Iterable[Happened], on: date | None = None) -> Contract | None:
    """The contract that entries make; of those that had taken effect by the end of a day, if one is given."""
    if on is not None:
        entries = in_effect(((each, each.event, london_day(each.recorded_at)) for each in entries), on)
    contract: Contract | None = None
    for each in entries:
        contract = Contract.evolve(contract, each.event, each.person)
    return contract
