"""Parties: a row for each organisation."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from domain.party import PartyEvent, PartyRegistered
from projections.models import Listing
from projections.projection import Happened, Page, Projection, Row, names_of, traced


@dataclass(frozen=True, kw_only=True)
class PartyRow(Row):
    """An organisation, by its org-id."""

    party: str
    name: str


class PartiesProjection(Projection[PartyRow]):
    """Folds the entries of parties' streams."""

    name: ClassVar[str] = "parties"
    version: ClassVar[int] = 1
    row = PartyRow
    folds = names_of(PartyEvent)

    def become(self, before: PartyRow | None, happened: Happened) -> PartyRow:  # noqa: ARG002 (nothing happens to it later)
        """The party as it was registered."""
        event: PartyRegistered = happened.event
        return PartyRow(**traced(happened), party=event.party, name=event.name)


class Parties(Listing[PartyRow]):
    """What can be asked of parties."""

    def page(
        self, after: str | None = None, limit: int = 100, *, as_of: int | None = None, effective_on: date | None = None
    ) -> Page[PartyRow]:
        """Parties in order of registration."""
        return self._page({}, after, limit, as_of, effective_on)
