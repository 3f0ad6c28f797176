"""A webhook: an address at which somebody is told of what happens under awards, as it happens.

It belongs to the party of whoever registers it. An investor's is bounded by the key that it was registered with, as the feed is:
it is told of no award that the key does not open, and of nothing once the key is revoked. It is told nothing either before the
address has answered a challenge, so that nobody is written to who did not want it.

The address, its description and its secrets stand in the vault, and the log holds commitments to them (L5); of the address it
holds the host, so that it can be told for ever to whom notices went. What signs notices is numbered. A rotation makes the next
number, and the one before signs along with it for a while, so that a receiver can change from one to the other when it likes.
"""

import ipaddress
import json
import re
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import ConfigDict, Field

from domain.aggregate import Aggregate, Commitment, Decision, Facts, PersonId, Stream
from domain.award import NoSuchAward, award_stream
from domain.erasure import ErasedText, texts_of
from domain.event import Event
from domain.key import EVERY_AWARD
from domain.log import Moment
from domain.record import Record
from domain.reference import OrganisationId, Reference, canonical
from domain.refusal import Absent, Fault, Invalid, Refused
from domain.terms import Title

T = TypeVar("T")

LONGEST_ADDRESS: Final = 2_000
"""The most characters of an address."""
MOST_AWARDS: Final = 500
MOST_TYPES: Final = 50
MOST_A_SECOND: Final = 1_000
EVERY_TYPE: Final = "*"
OVERLAP: Final = timedelta(hours=24)
"""How long what signed before a rotation goes on signing, unless somebody says otherwise."""
OVERLAP_MOST_HOURS: Final = 24 * 30
MOST_SIGNING: Final = 3
"""How many secrets sign a notice at most: a receiver has to look at every signature."""
_PRINTABLE: Final = re.compile(r"[!-\[\]-~]+", re.ASCII)
"""No blanks, and no backslash, which some read as a slash and some do not."""
_HOST: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?\.?", re.ASCII)
_DEFAULT_PORTS: Final = {"https": 443, "http": 80}

# What is asked --------------------------------------------------------------------------------------------------------

AwardsTold = Annotated[
    tuple[Reference | Literal["*"], ...],
    Field(
        min_length=1,
        max_length=MOST_AWARDS,
        description="The awards of which it is told; `*` for all that its owner may see, also those to come",
        examples=[["INDIGO-POJ-0175"]],
    ),
]
TypesTold = Annotated[
    tuple[Annotated[str, Field(pattern=r"^[a-z*][a-z.*-]{0,63}$")], ...],
    Field(
        min_length=1,
        max_length=MOST_TYPES,
        description="The types of notices that it is told, with * for any",
        examples=[["payment.*"]],
    ),
]
Address = Annotated[
    str, Field(min_length=1, max_length=LONGEST_ADDRESS, examples=["https://ledger-notices.bigissueinvest.com/lcl"])
]
RateLimit = Annotated[int, Field(ge=1, le=MOST_A_SECOND, description="The most notices that are sent to it in a second")]


class Registration(Record):
    """Where somebody wants to be told, and of what."""

    model_config = ConfigDict(hide_input_in_errors=True)

    url: Address = Field(repr=False)
    description: Title | None = Field(None, description="Kept in the vault, never in the log")
    awards: AwardsTold = (EVERY_AWARD,)
    types: TypesTold = (EVERY_TYPE,)
    rate_limit: RateLimit = 50
    api_version: Literal["v1"] = Field("v1", description="The version of the API whose documents it is sent, for ever")


class Change(Record):
    """What is to be another from now on; what is not said stays. Another address has to answer a challenge of its own."""

    model_config = ConfigDict(hide_input_in_errors=True)

    url: Address | None = Field(None, repr=False)
    description: Title | Literal[""] | None = Field(
        None, description="Kept in the vault, never in the log; empty: none any more, and the vault lets go of it"
    )
    awards: AwardsTold | None = None
    types: TypesTold | None = None
    rate_limit: RateLimit | None = None


@dataclass(frozen=True, slots=True)
class Addresses:
    """Which addresses are taken: https on these ports; and plain http, on any port, that stays on this machine, if `loopback`."""

    ports: frozenset[int] = frozenset({443})
    loopback: bool = False
    special: Callable[[str], str | None] = lambda _: None
    """Why a host may not be called that is an address rather than a name, as `10.0.0.1 is private`, or nothing. Names are looked
    at when they are called, as they may mean another address each time."""


@dataclass(frozen=True, slots=True)
class Secret:
    """What signs notices: what the receiver has too (`whsec_…`), and both halves of an Ed25519 key (`whsk_…`, `whpk_…`).

    Their forms are those of Standard Webhooks (https://github.com/standard-webhooks/standard-webhooks, signature schemes).
    """

    symmetric: str
    private: str
    public: str

    @property
    def written(self) -> str:
        """What the vault keeps: all but the public half, which stands in the log."""
        return json.dumps([self.symmetric, self.private], separators=(",", ":"))

    @classmethod
    def read(cls, written: str, public: str) -> "Secret":
        """The secret that the vault kept."""
        symmetric, private = json.loads(written)
        return cls(symmetric, private, public)

    def __repr__(self) -> str:
        """No more of it than everybody may know."""
        return f"Secret({self.public})"


# Events ---------------------------------------------------------------------------------------------------------------


class Reason(StrEnum):
    """Why a webhook is disabled."""

    ASKED = "asked"
    """Somebody asked for it."""
    GONE = "gone"
    """It answered 410: nobody is there any more."""
    FAILING = "failing"
    """It took nothing for so long that it was given up."""
    RESTORED = "restored"
    """The log was restored from a backup: who is told by a copy of it, or what is told twice, is for somebody to say."""


PublicKey = Annotated[str, Field(pattern=r"^whpk_[A-Za-z0-9+/]{43}=$", description="The public half of what signs `v1a`")]


class WebhookRegistered(Event):
    """Somebody wants to be told at an address; nobody is, before the address has answered a challenge.

    Without a `key` it is an administrator's, and bounded by none.
    """

    type: Literal["webhook.registered"] = "webhook.registered"
    webhook: str
    party: OrganisationId
    key: str | None = None
    url: Commitment
    host: str
    description: Commitment | None = None
    awards: tuple[str, ...]
    types: tuple[str, ...]
    rate_limit: int
    api_version: Literal["v1"]
    secret: Commitment
    public_key: PublicKey


class WebhookChanged(Event):
    """What is named is another from now on. Another address is told nothing before it has answered a challenge.

    It has no description any more, if `undescribed` is what it said.
    """

    type: Literal["webhook.changed"] = "webhook.changed"
    key: str | None = None
    """The key that bounds it from now on, where an investor changed it with another one than before."""
    url: Commitment | None = None
    host: str | None = None
    description: Commitment | None = None
    awards: tuple[str, ...] | None = None
    types: tuple[str, ...] | None = None
    rate_limit: int | None = None
    undescribed: ErasedText | None = None


class WebhookConfirmed(Event):
    """The address answered the challenge, and is told from now on."""

    type: Literal["webhook.confirmed"] = "webhook.confirmed"


class WebhookEnabled(Event):
    """It is told again."""

    type: Literal["webhook.enabled"] = "webhook.enabled"


class WebhookDisabled(Event):
    """It is told nothing any more, for a reason; of one that was failing, `since` when."""

    type: Literal["webhook.disabled"] = "webhook.disabled"
    reason: Reason
    since: Moment | None = None


class WebhookSecretRotated(Event):
    """Something new signs notices; what signed before goes on until a time at most. `erased` signs no more, and is gone."""

    type: Literal["webhook.secret-rotated"] = "webhook.secret-rotated"
    number: int
    secret: Commitment
    public_key: PublicKey
    before_until: Moment
    erased: tuple[ErasedText, ...] = ()


class WebhookRemoved(Event):
    """It is told nothing any more, for good, and the vault has let everything of it go."""

    type: Literal["webhook.removed"] = "webhook.removed"
    erased: tuple[ErasedText, ...]


WebhookEvent = (
    WebhookRegistered
    | WebhookChanged
    | WebhookConfirmed
    | WebhookEnabled
    | WebhookDisabled
    | WebhookSecretRotated
    | WebhookRemoved
)

# Refusals -------------------------------------------------------------------------------------------------------------


class NoSuchWebhook(Absent):
    """There is no webhook of this id that you may know of."""


class WebhookExists(Refused):
    """A webhook of this id is registered already."""


class TooManyWebhooks(Refused):
    """The party has as many webhooks as a party may have (LCLEDGER_WEBHOOKS_MOST); remove one that is not needed."""


class AddressIsMalformed(Invalid):
    """A webhook's URL must be an absolute address in printable ASCII, with a host, and without a fragment."""


class AddressIsNotPrivate(Invalid):
    """A webhook's URL must begin with https://; plain http goes to the loopback only, where LCLEDGER_WEBHOOK_LOOPBACK is set."""


class AddressHasCredentials(Invalid):
    """A webhook's URL must not hold an account or a password: what shows that a notice is ours is its signature."""


class PortIsNotTaken(Invalid):
    """Webhooks are not sent to this port; a setting (LCLEDGER_WEBHOOK_PORTS) says to which ones they are."""


class AddressIsNotAnybodys(Invalid):
    """A webhook's URL must not name a private or reserved address, unless a setting (LCLEDGER_WEBHOOK_NETWORKS) allows it."""


class TypeIsNeverTold(Invalid):
    """Each of a webhook's types must match a type of which there are notices."""


class ChangesNothing(Invalid):
    """This would leave the webhook as it is."""


class WebhookIsEnabled(Refused):
    """The webhook is enabled already."""


class WebhookIsDisabled(Refused):
    """The webhook is not enabled."""


class WebhookIsUnconfirmed(Refused):
    """The webhook's address has not answered a challenge yet, or not since it was changed or gone; ask for one instead."""


class WebhookHasMoved(Refused):
    """The webhook got another address while this one was called; challenge that one."""


class WebhookIsRemoved(Refused):
    """The webhook has been removed; register another one."""


class TooManySecrets(Refused):
    """Three secrets of this webhook sign at the moment; rotate when one has ceased to, or without an overlap, which ends them."""


# The webhook ----------------------------------------------------------------------------------------------------------


class State(StrEnum):
    """Whether a webhook is told."""

    UNCONFIRMED = "unconfirmed"
    """Its address has to answer a challenge first."""
    ENABLED = "enabled"
    DISABLED = "disabled"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class Signing:
    """What signs notices, by its number; `until` when, if another one has taken its place. What is `gone` signs nothing."""

    number: int
    secret: Commitment
    public_key: str
    until: Moment | None = None
    gone: bool = False
    """Whether the vault has let the secret go; the public key stays, for whoever has to look at what was signed."""

    def signs(self, now: datetime) -> bool:
        """Whether it signs at a moment."""
        return not self.gone and (self.until is None or self.until > _moment(now))


class Kept(Protocol):
    """What says who may see a webhook."""

    @property
    def party(self) -> str:
        """The party that it belongs to."""

    @property
    def key(self) -> str | None:
        """The investor's key that bounds it."""

    @property
    def awards(self) -> tuple[str, ...]:
        """The awards of which it is told."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """Who manages webhooks: an administrator all of them, an investor those of its party that its key bounds."""

    party: str
    key: str | None = None
    """An investor's."""
    awards: frozenset[str] | None = None
    """Those that an investor's key opens."""

    def keeps(self, webhook: "Kept") -> bool:
        """Whether a webhook is this one's to see and to change: an investor's, if the key opens all that it may be told of."""
        if self.key is None or self.awards is None:
            return True
        if self.party != webhook.party:
            return False
        return webhook.key == self.key or EVERY_AWARD in self.awards or self.awards.issuperset(webhook.awards)

    def expect(self, awards: Iterable[str]) -> None:
        """Refuse awards that the key does not open, as if there were none of the name."""
        for award in awards:
            known = self.awards is None or EVERY_AWARD in self.awards or award in self.awards
            if award != EVERY_AWARD and not known:
                raise NoSuchAward(name=award)


@dataclass(frozen=True, slots=True)
class Webhook(Aggregate):
    """An address at which somebody is told. `awards` are in capitals, or `*`."""

    missing = NoSuchWebhook

    webhook: str
    party: str
    key: str | None
    url: Commitment
    host: str
    description: Commitment | None
    awards: tuple[str, ...]
    types: tuple[str, ...]
    rate_limit: int
    api_version: str
    secrets: tuple[Signing, ...]
    """What signs or has signed; the one of now is the last."""
    state: State = State.UNCONFIRMED
    confirmed: bool = False
    """Whether the address has answered a challenge, and not said since that it is gone."""
    reason: Reason | None = None
    since: Moment | None = None

    def confirm(self, url: Commitment) -> WebhookConfirmed:
        """Say that an address answered the challenge."""
        self._expect_there()
        if self.state is State.ENABLED:
            raise WebhookIsEnabled(webhook=self.webhook)
        if url != self.url:
            raise WebhookHasMoved(webhook=self.webhook)
        return WebhookConfirmed()

    def enable(self) -> WebhookEnabled:
        """Have it told again."""
        self._expect_there()
        if self.state is State.ENABLED:
            raise WebhookIsEnabled(webhook=self.webhook)
        if not self.confirmed:
            raise WebhookIsUnconfirmed(webhook=self.webhook)
        return WebhookEnabled()

    def disable(self, reason: Reason = Reason.ASKED, since: datetime | None = None) -> WebhookDisabled:
        """Have it told nothing any more."""
        self._expect_there()
        if self.state is not State.ENABLED:
            raise WebhookIsDisabled(webhook=self.webhook)
        return WebhookDisabled(reason=reason, since=None if since is None else _moment(since))

    def give_up(self, url: Commitment, reason: Reason, since: datetime | None = None) -> WebhookDisabled:
        """Have it told nothing any more, as an address took nothing; refuses if it has another one by now."""
        self._expect_there()
        if url != self.url:
            raise WebhookHasMoved(webhook=self.webhook)
        return self.disable(reason, since)

    def _expect_there(self) -> None:
        if self.state is State.REMOVED:
            raise WebhookIsRemoved(webhook=self.webhook)

    @classmethod
    def evolve(cls, state: "Webhook | None", event: WebhookEvent, by: PersonId) -> "Webhook":  # noqa: ARG003 (whoever)
        """The webhook after an event."""
        if isinstance(event, WebhookRegistered):
            return cls(
                webhook=event.webhook,
                party=event.party,
                key=event.key,
                url=event.url,
                host=event.host,
                description=event.description,
                awards=event.awards,
                types=event.types,
                rate_limit=event.rate_limit,
                api_version=event.api_version,
                secrets=(Signing(1, event.secret, event.public_key),),
            )
        if state is None:
            raise LookupError(f"{event.type} before webhook.registered")
        return replace(state, **changes(state, event))


class Standing(Protocol):
    """What of a webhook says what an event changes."""

    @property
    def confirmed(self) -> bool:
        """Whether its address has answered a challenge."""

    @property
    def secrets(self) -> tuple[Signing, ...]:
        """What signs."""


def changes(webhook: Standing, event: WebhookEvent) -> dict[str, Any]:
    """What an event after the first makes another in a webhook: the new values, by their names."""
    match event:
        case WebhookRegistered():
            raise LookupError("webhook.registered happens once")
        case WebhookChanged():
            said = {name: value for name in CHANGEABLE if (value := getattr(event, name)) is not None}
            if event.undescribed is not None:
                said["description"] = None
            return said if event.url is None else {**said, **_UNCONFIRMED}
        case WebhookConfirmed():
            return {**_ENABLED, "confirmed": True}
        case WebhookEnabled():
            return _ENABLED
        case WebhookDisabled(reason=reason, since=since):
            confirmed = webhook.confirmed and reason is not Reason.GONE
            return {"state": State.DISABLED, "confirmed": confirmed, "reason": reason, "since": since}
        case WebhookSecretRotated():
            return {"secrets": _rotated(webhook.secrets, event)}
        case WebhookRemoved():
            secrets = tuple(replace(each, gone=True) for each in webhook.secrets)
            return {**_UNCONFIRMED, "state": State.REMOVED, "secrets": secrets}


CHANGEABLE: Final = tuple(name for name in WebhookChanged.model_fields if name not in {"type", "undescribed"})
_UNCONFIRMED: Final[dict[str, Any]] = {"state": State.UNCONFIRMED, "confirmed": False, "reason": None, "since": None}
_ENABLED: Final[dict[str, Any]] = {"state": State.ENABLED, "reason": None, "since": None}


def _rotated(secrets: tuple[Signing, ...], event: WebhookSecretRotated) -> tuple[Signing, ...]:
    """What signs after a rotation."""
    gone, until = frozenset[str](event.erased), event.before_until
    before = (replace(each, until=min(each.until or until, until), gone=each.gone or each.secret in gone) for each in secrets)
    return (*before, Signing(event.number, event.secret, event.public_key))


def webhook_stream(webhook: str) -> Stream[Webhook]:
    """The stream of a webhook."""
    return Stream(f"webhook/{webhook}", Webhook)


# Commands -------------------------------------------------------------------------------------------------------------


def register(
    facts: Facts,
    webhook: str,
    asked: Registration,
    secret: Secret,
    *,
    by: Keeper,
    types: Collection[str],
    addresses: Addresses,
) -> Decision:
    """Have somebody told at an address, when it has answered a challenge. `types` are those of which there are notices."""
    host = expect_address(asked.url, addresses)
    _expect_types(asked.types, types)
    awards = _awards(facts, asked.awards, by)
    stream = webhook_stream(webhook)
    if facts.get(stream):
        raise WebhookExists(webhook=webhook)
    registered = WebhookRegistered(
        webhook=webhook,
        party=by.party,
        key=by.key,
        url=facts.conceal(asked.url),
        host=host,
        description=facts.conceal(asked.description) if asked.description is not None else None,
        awards=awards,
        types=tuple(dict.fromkeys(asked.types)),
        rate_limit=asked.rate_limit,
        api_version=asked.api_version,
        secret=facts.conceal(secret.written),
        public_key=secret.public,
    )
    return {stream: (registered,)}


def change(facts: Facts, webhook: str, asked: Change, *, by: Keeper, types: Collection[str], addresses: Addresses) -> Decision:
    """Make a webhook another from now on, as far as it is said."""
    known = kept(facts, webhook, by)
    moves = asked.url is not None and facts.reveal(known.url) != asked.url
    described = bool(asked.description) and _revealed(facts, known.description) != asked.description
    undescribed = known.description if asked.description == "" else None
    awards = None if asked.awards is None else _awards(facts, asked.awards, by)
    if asked.types is not None:
        _expect_types(asked.types, types)
    changed = WebhookChanged(
        key=_unless_same(by.key, known.key),
        url=facts.conceal(asked.url) if moves and asked.url is not None else None,
        host=expect_address(asked.url, addresses) if moves and asked.url is not None else None,
        description=facts.conceal(asked.description) if described and asked.description is not None else None,
        awards=_unless_same(awards, known.awards),
        types=_unless_same(asked.types and tuple(dict.fromkeys(asked.types)), known.types),
        rate_limit=_unless_same(asked.rate_limit, known.rate_limit),
        undescribed=None if undescribed is None else ErasedText(undescribed),
    )
    if undescribed is None and all(getattr(changed, name) is None for name in CHANGEABLE):
        raise ChangesNothing(webhook=webhook)
    if undescribed is not None:
        facts.erase([undescribed])
    return {webhook_stream(webhook): (changed,)}


def confirm(facts: Facts, webhook: str, url: Commitment, *, by: Keeper) -> Decision:
    """Say that an address answered the challenge, and have it told from now on."""
    return {webhook_stream(webhook): (kept(facts, webhook, by).confirm(url),)}


def enable(facts: Facts, webhook: str, *, by: Keeper) -> Decision:
    """Have a webhook told again."""
    return {webhook_stream(webhook): (kept(facts, webhook, by).enable(),)}


def disable(facts: Facts, webhook: str, *, by: Keeper) -> Decision:
    """Have a webhook told nothing any more, because somebody asks for it."""
    return {webhook_stream(webhook): (kept(facts, webhook, by).disable(),)}


def rotate(facts: Facts, webhook: str, secret: Secret, *, by: Keeper, now: datetime, overlap: timedelta = OVERLAP) -> Decision:
    """Let something new sign; what signs now goes on for the overlap, and at once no more if there is none."""
    known = kept(facts, webhook, by)
    until, moment = _moment(now + overlap), _moment(now)
    there = [each for each in known.secrets if not each.gone]
    over = [each for each in there if min(each.until or until, until) <= moment]
    if len(there) - len(over) >= MOST_SIGNING:
        raise TooManySecrets(webhook=webhook)
    facts.erase(each.secret for each in over)
    rotated = WebhookSecretRotated(
        number=known.secrets[-1].number + 1,
        secret=facts.conceal(secret.written),
        public_key=secret.public,
        before_until=until,
        erased=tuple(ErasedText(each.secret) for each in over),
    )
    return {webhook_stream(webhook): (rotated,)}


def remove(facts: Facts, webhook: str, *, by: Keeper) -> Decision:
    """Have it told nothing any more, for good; the vault lets go of every text that there ever was of it."""
    known = kept(facts, webhook, by)
    stream = webhook_stream(webhook)
    events = [*facts.events(stream)]
    gone = {each.secret for each in known.secrets if each.gone}
    gone |= {Commitment(text) for event in events if isinstance(event, WebhookChanged) and (text := event.undescribed)}
    gone -= {known.description}
    there = [text for event in events for _, text in texts_of(event) if text not in gone]
    facts.erase(there)
    return {stream: (WebhookRemoved(erased=tuple(map(ErasedText, there))),)}


def kept(facts: Facts, webhook: str, by: Keeper) -> Webhook:
    """A webhook that somebody may change."""
    return expect_kept(facts[webhook_stream(webhook)], by)


def expect_kept(webhook: Webhook, by: Keeper) -> Webhook:
    """Refuse a webhook that is another's, as if there were none, and one that is removed; the webhook."""
    if not by.keeps(webhook):
        raise NoSuchWebhook(name=webhook.webhook)
    if webhook.state is State.REMOVED:
        raise WebhookIsRemoved(webhook=webhook.webhook)
    return webhook


def _awards(facts: Facts, named: Iterable[str], by: Keeper) -> tuple[str, ...]:
    """The awards that are named, in capitals and in order; each is there and may be told to whoever names it."""
    awards = tuple(sorted({canonical(each) for each in named}))
    by.expect(awards)
    streams = [award_stream(each) for each in awards if each != EVERY_AWARD]
    facts.prefetch(streams)
    for stream in streams:
        facts[stream]
    return (EVERY_AWARD,) if EVERY_AWARD in awards else awards


def _revealed(facts: Facts, text: Commitment | None) -> str | None:
    return None if text is None else facts.reveal(text)


def _unless_same(new: T | None, old: T | None) -> T | None:
    return None if new == old else new


def _moment(at: datetime) -> Moment:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def _expect_types(patterns: Iterable[str], types: Collection[str]) -> None:
    """Refuse patterns that match no type of notice."""
    if unfit := never_told(patterns, types):
        raise TypeIsNeverTold(Fault("types", each) for each in unfit)


def never_told(patterns: Iterable[str], types: Collection[str]) -> list[str]:
    """What there is to say of each pattern that matches none of the types of notices."""
    beginnings = ", ".join(sorted({kind.partition(".")[0] for kind in types}))
    unfit = (each for each in patterns if not any(fnmatchcase(kind, each) for kind in types))
    return [f"{each[:80]} is no type of notice; they begin with {beginnings}" for each in unfit]


def expect_address(url: str, taken: Addresses) -> str:
    """The host of an address, in small letters; refuses an address that is not taken, whatever is there."""
    parts, host = _parts(url)
    port = _DEFAULT_PORTS.get(parts.scheme, 0) if parts.port is None else parts.port
    stays_here = taken.loopback and parts.scheme == "http" and _is_loopback(host)
    if parts.scheme != "https" and not stays_here:
        raise AddressIsNotPrivate
    if "@" in parts.netloc:
        raise AddressHasCredentials
    if port not in taken.ports and not stays_here:
        raise PortIsNotTaken(port=port)
    if (because := taken.special(host)) is not None:
        raise AddressIsNotAnybodys(because=because)
    return host


def _parts(url: str) -> tuple[SplitResult, str]:
    """The parts of an address that is one, and its host."""
    if not _PRINTABLE.fullmatch(url):
        raise AddressIsMalformed
    try:
        parts = urlsplit(url)
        host = parts.hostname
        _ = parts.port  # raises for one that is none
    except ValueError:
        raise AddressIsMalformed from None
    if not parts.scheme or host is None or "#" in url or not (_HOST.fullmatch(host) or _ip(host)):
        raise AddressIsMalformed
    return parts, host


def _ip(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_loopback(host: str) -> bool:
    ip = _ip(host)
    return host == "localhost" if ip is None else ip.is_loopback
