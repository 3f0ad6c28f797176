"""Keys: a row for each, without its hash."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from typing import ClassVar

from domain.aggregate import PersonId
from domain.key import KeyAgreed, KeyEvent, KeyIssued, KeyRevoked, Opener, Role, key_stream
from projections.models import Listing
from projections.projection import Happened, Page, Projection, Row, moved, names_of, traced


@dataclass(frozen=True, kw_only=True)
class KeyRow(Row):
    """What a person shows; `awards` are in capitals, or `*` for all."""

    key: str
    person: PersonId
    roles: tuple[Role, ...]
    awards: tuple[str, ...]
    issued_by: PersonId
    issued_at: datetime
    needs_agreement: bool
    opened_by: Opener = Opener.SECRET
    agreed_by: PersonId | None = None
    revoked: bool = False
    revoked_by: PersonId | None = None

    @property
    def usable(self) -> bool:
        """Whether the key opens anything."""
        return not self.revoked and (not self.needs_agreement or self.agreed_by is not None)


class KeysProjection(Projection[KeyRow]):
    """Folds the entries of keys' streams."""

    name: ClassVar[str] = "keys"
    version: ClassVar[int] = 2
    row = KeyRow
    folds = names_of(KeyEvent)
    indexes = (("person",),)

    def become(self, before: KeyRow | None, happened: Happened) -> KeyRow:
        """The key after an entry."""
        event: KeyEvent = happened.event
        if isinstance(event, KeyIssued):
            return KeyRow(
                **traced(happened),
                key=event.key,
                person=event.person,
                roles=event.roles,
                awards=event.awards,
                issued_by=happened.person,
                issued_at=happened.recorded_at,
                needs_agreement=event.needs_agreement,
                opened_by=Opener(event.opened_by or Opener.SECRET),
            )
        if before is None:
            raise LookupError(f"{event.type} before key.issued")
        match event:
            case KeyAgreed():
                return moved(before, happened, agreed_by=happened.person)
            case KeyRevoked():
                return moved(before, happened, revoked=True, revoked_by=happened.person)


class Keys(Listing[KeyRow]):
    """What can be asked of keys."""

    def page(
        self,
        after: str | None = None,
        limit: int = 100,
        *,
        person: PersonId | None = None,
        as_of: int | None = None,
        effective_on: date | None = None,
    ) -> Page[KeyRow]:
        """Keys in the order in which they were issued, of a person if one is given."""
        return self._page({"person": person}, after, limit, as_of, effective_on)

    def named(self, keys: Collection[str]) -> dict[str, KeyRow]:
        """The rows of keys as they are now, by their ids."""
        streams = frozenset(key_stream(each).name for each in keys)
        return {row.key: row for row in self._rows({"stream": streams}, 0, len(streams), None)} if streams else {}
