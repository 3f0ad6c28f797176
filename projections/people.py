"""People: a row for each person who acts. Names are in the vault (L5): a row has the commitment to reveal."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from domain.aggregate import Commitment, PersonId
from domain.person import AdministratorAppointed, PersonEvent, PersonRegistered
from domain.reference import canonical
from projections.models import Listing
from projections.projection import Happened, Page, Projection, Row, moved, names_of, traced


@dataclass(frozen=True, kw_only=True)
class PersonRow(Row):
    """A person of a party; `name` is revealed by `ledger.reveal`."""

    person: PersonId
    party: str
    party_key: str
    name: Commitment
    first_administrator: bool = False
    appointed: PersonId | None = None
    """Whom the first administrator appointed alone."""


class PeopleProjection(Projection[PersonRow]):
    """Folds the entries of persons' streams."""

    name: ClassVar[str] = "people"
    version: ClassVar[int] = 1
    row = PersonRow
    folds = names_of(PersonEvent)
    indexes = (("party_key",),)

    def become(self, before: PersonRow | None, happened: Happened) -> PersonRow:
        """The person after an entry."""
        event: PersonEvent = happened.event
        if isinstance(event, PersonRegistered):
            return PersonRow(
                **traced(happened),
                person=event.person,
                party=event.party,
                party_key=canonical(event.party),
                name=event.name,
                first_administrator=event.first,
            )
        if before is None:
            raise LookupError(f"{event.type} before person.registered")
        match event:
            case AdministratorAppointed(appointed=appointed):
                return moved(before, happened, appointed=appointed)


class People(Listing[PersonRow]):
    """What can be asked of people."""

    def page(
        self,
        after: str | None = None,
        limit: int = 100,
        *,
        party: str | None = None,
        as_of: int | None = None,
        effective_on: date | None = None,
    ) -> Page[PersonRow]:
        """People in order of registration, of a party if one is given."""
        return self._page({"party_key": party and canonical(party)}, after, limit, as_of, effective_on)
