"""Webhooks: a row for each, with everything that whoever tells them has to know."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from fnmatch import fnmatchcase
from typing import Any, ClassVar, Final

from domain.aggregate import Commitment, PersonId
from domain.key import EVERY_AWARD
from domain.reference import canonical
from domain.webhook import (
    Keeper,
    Reason,
    Signing,
    State,
    WebhookConfirmed,
    WebhookEnabled,
    WebhookEvent,
    WebhookRegistered,
    changes,
)
from projections.keys import KeyRow, Keys
from projections.models import Listing
from projections.projection import Happened, Page, Projection, Row, moved, names_of, traced

_AT_ONCE: Final = 500


@dataclass(frozen=True, kw_only=True)
class WebhookRow(Row):
    """An address at which somebody is told. What `url`, `description` and the secrets say is in the vault."""

    webhook: str
    party: str
    key: str | None
    """The investor's key that bounds it; nothing: an administrator's webhook, which nothing bounds."""
    registered_by: PersonId
    registered_at: datetime
    url: Commitment
    host: str
    description: Commitment | None
    awards: tuple[str, ...]
    """In capitals, or `*`."""
    types: tuple[str, ...]
    """Patterns, with * for any."""
    rate_limit: int
    """The most notices a second."""
    api_version: str
    secrets: tuple[Signing, ...]
    """What signs, the one of now at the end; those before it until their times (`signing`)."""
    state: State = State.UNCONFIRMED
    confirmed: bool = False
    reason: Reason | None = None
    """Why it is disabled."""
    since: str | None = None
    """Of one that was disabled because it failed: since when it did."""
    told_after: int | None = None
    """The position of its first confirmation: it is to be told everything after it, and nothing before, if not asked."""
    enabled_at: int | None = None
    """The position at which it was confirmed or enabled last."""

    def signing(self, now: datetime) -> tuple[Signing, ...]:
        """What signs a notice at a moment, the newest first."""
        return tuple(each for each in reversed(self.secrets) if each.signs(now))

    def hears(self, kind: str, award: str) -> bool:
        """Whether it wants to be told of a notice of a type and an award (in capitals); not whether it may."""
        wanted = EVERY_AWARD in self.awards or award in self.awards
        return wanted and any(fnmatchcase(kind, each) for each in self.types)


@dataclass(frozen=True, slots=True)
class Told:
    """A webhook that is to be told now, as far as its key opens anything. `opened`: the awards in capitals; nothing said: all."""

    row: WebhookRow
    opened: frozenset[str] | None

    def hears(self, kind: str, award: str) -> bool:
        """Whether it is to be told of a notice of a type and an award (in capitals)."""
        return self.row.hears(kind, award) and (self.opened is None or award in self.opened)


class WebhooksProjection(Projection[WebhookRow]):
    """Folds the entries of webhooks' streams."""

    name: ClassVar[str] = "webhooks"
    version: ClassVar[int] = 1
    row = WebhookRow
    folds = names_of(WebhookEvent)
    indexes = (("state", "first"), ("party", "first"))

    def become(self, before: WebhookRow | None, happened: Happened) -> WebhookRow:
        """The webhook after an entry."""
        event: WebhookEvent = happened.event
        if isinstance(event, WebhookRegistered):
            return _registered(event, happened)
        if before is None:
            raise LookupError(f"{event.type} before webhook.registered")
        return moved(before, happened, **changes(before, event), **_positions(before, event, happened))


def _positions(before: WebhookRow, event: WebhookEvent, happened: Happened) -> dict[str, int]:
    """From where on it is told."""
    match event:
        case WebhookConfirmed():
            first = happened.position if before.told_after is None else before.told_after
            return {"told_after": first, "enabled_at": happened.position}
        case WebhookEnabled():
            return {"enabled_at": happened.position}
        case _:
            return {}


def _registered(event: WebhookRegistered, happened: Happened) -> WebhookRow:
    return WebhookRow(
        **traced(happened),
        webhook=event.webhook,
        party=event.party,
        key=event.key,
        registered_by=happened.person,
        registered_at=happened.recorded_at,
        url=event.url,
        host=event.host,
        description=event.description,
        awards=event.awards,
        types=event.types,
        rate_limit=event.rate_limit,
        api_version=event.api_version,
        secrets=(Signing(1, event.secret, event.public_key),),
    )


class Webhooks(Listing[WebhookRow]):
    """What can be asked of webhooks."""

    changing = frozenset({"state"})

    def __init__(self, keys: Keys, *of: Any) -> None:
        super().__init__(*of)
        self._keys = keys

    def page(
        self,
        after: str | None = None,
        limit: int = 100,
        *,
        state: State | None = None,
        keeper: Keeper | None = None,
        as_of: int | None = None,
        effective_on: date | None = None,
    ) -> Page[WebhookRow]:
        """Webhooks in the order in which they were registered: all, or those that somebody keeps; such a page may be shorter."""
        party = keeper.party if keeper is not None and keeper.key is not None else None
        found = self._page({"state": state and str(state), "party": party}, after, limit, as_of, effective_on)
        return found if keeper is None else Page(tuple(row for row in found.rows if keeper.keeps(row)), found.after)

    def many(self, party: str) -> int:
        """How many webhooks a party has now, those that were removed aside."""
        asked = f"SELECT count(*) FROM {self._projection.view} WHERE party = ? AND state <> ?"  # noqa: S608 (our own name)
        ((found,),) = self._tables.ask(asked, (party, str(State.REMOVED)))
        return int(found)

    def of_party(self, party: str) -> tuple[WebhookRow, ...]:
        """The webhooks of a party that are told, or were and are disabled."""
        states = frozenset({str(State.ENABLED), str(State.DISABLED)})
        return tuple(self._all({"state": states, "party": party}))

    def told(self) -> tuple[Told, ...]:
        """The webhooks that are to be told now: those that are enabled, but for those whose key opens nothing any more."""
        rows = tuple(self._all({"state": str(State.ENABLED)}))
        keys = self._keys.named({row.key for row in rows if row.key is not None})
        return tuple(told for row in rows if (told := _told(row, keys)) is not None)

    def _all(self, where: Mapping[str, Any]) -> Iterator[WebhookRow]:
        after: str | None = None
        while True:
            found = self._page(where, after, _AT_ONCE, None)
            yield from found.rows
            if (after := found.after) is None:
                return

    def told_of(self, kind: str, award: str) -> tuple[Told, ...]:
        """The webhooks that are to be told now of a notice of a type and an award."""
        return tuple(each for each in self.told() if each.hears(kind, canonical(award)))


def _told(row: WebhookRow, keys: Mapping[str, KeyRow]) -> Told | None:
    """A webhook as far as its key opens anything."""
    if row.key is None:
        return Told(row, None)
    key = keys.get(row.key)
    if key is None or not key.usable:
        return None
    return Told(row, None if EVERY_AWARD in key.awards else frozenset(key.awards))
