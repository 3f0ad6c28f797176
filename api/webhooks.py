"""Webhooks: the addresses at which somebody is told of what happens. Their secrets are shown once, to whoever makes them."""

import secrets
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Final, Self

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api import challenges, webhook_signatures
from api.awards import ADMINISTRATOR
from api.challenges import ChallengeNotAnswered
from api.commands import Ask, Recorded, TheAsk, address, command, sent
from api.identity import Caller
from api.names import WebhookName
from api.outgoing import Rules
from api.readings import LIMIT, OVERSEERS, After, Limit, Page, Reading, TheListing, TheReading, paged, question
from domain import webhook as webhooks
from domain.award import NoSuchAward
from domain.key import Role, key_stream
from domain.webhook import (
    OVERLAP,
    OVERLAP_MOST_HOURS,
    Addresses,
    Change,
    Keeper,
    NoSuchWebhook,
    Reason,
    Registration,
    Secret,
    Signing,
    State,
    TooManyWebhooks,
    Webhook,
    WebhookIsRemoved,
    WebhookRegistered,
    webhook_stream,
)
from ledger.alone import turn_of_all
from ledger.ledger import Ledger
from projections.deliveries import Deliveries, Queue
from projections.deliveries import State as Waits
from projections.notices import TOLD
from projections.webhooks import WebhookRow

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

KEEPERS: Final = ADMINISTRATOR | {Role.INVESTOR}
READERS: Final = OVERSEERS | {Role.INVESTOR}
_REGISTERING: Final = 0x6C636C_08
"""The key of the advisory lock under which one process registers a webhook on PostgreSQL: so none is one too many."""
_ID_BYTES: Final = 8
_HOUR_S: Final = 3_600
_TAGS: Final = 10**9


class Rotation(BaseModel):
    """For how long what signs now goes on signing beside what is new."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    overlap_hours: Annotated[
        int, Field(ge=0, le=OVERLAP_MOST_HOURS, description="Nothing: what somebody else may have come to know ends at once")
    ] = OVERLAP // timedelta(hours=1)


class ToldSecret(BaseModel):
    """What signs notices, or has signed: all but the secret."""

    number: int
    public_key: str = Field(description="By which anybody may verify what `v1a` signs (Ed25519, `whpk_…`)")
    until: datetime | None = Field(description="When it ceases to sign, or did; nothing: it is the newest")

    @classmethod
    def of(cls, signing: Signing) -> Self:
        """What signs, as it is told."""
        until = None if signing.until is None else datetime.fromisoformat(signing.until)
        return cls(number=signing.number, public_key=signing.public_key, until=until)


class ToldQueue(BaseModel):
    """How a webhook takes what it is told."""

    position: int = Field(description="Of the log: everything up to there that it hears of has been queued")
    sequence: int = Field(description="The last number of its sequence")
    waiting: int = Field(description="How many deliveries wait to be taken")
    parked: int = Field(description="How many were not taken at their last try: they stay until they are asked for again")
    failing_since: datetime | None = Field(description="Since when nothing that it was sent was taken; nothing: the last was")
    kept_after: int = Field(description="From this position on everything can be replayed")

    @classmethod
    def of(cls, queue: Queue, counted: Mapping[Waits, int]) -> Self:
        """A queue as it is told."""
        return cls(
            position=queue.position,
            sequence=queue.sequence,
            waiting=counted.get(Waits.WAITING, 0),
            parked=counted.get(Waits.PARKED, 0),
            failing_since=None if queue.failing_since is None else datetime.fromisoformat(queue.failing_since),
            kept_after=queue.forgotten,
        )


class ToldWebhook(BaseModel):
    """An address at which somebody is told, without what is secret of it."""

    webhook: str
    party: str
    key: str | None = Field(description="The investor's key that bounds it; nothing: it is an administrator's")
    key_usable: bool = Field(description="Whether that key opens anything; without it, nothing is told")
    url: str | None = Field(description="Nothing, if it was removed")
    host: str
    description: str | None
    awards: tuple[str, ...]
    types: tuple[str, ...]
    rate_limit: int
    api_version: str
    state: State
    reason: Reason | None = Field(description="Why it is disabled")
    since: datetime | None = Field(description="Since when it failed, if it is disabled for that")
    secrets: tuple[ToldSecret, ...]
    queue: ToldQueue | None = Field(description="How it takes what it is told now; nothing, if it was never told, or of the past")

    @classmethod
    def of(cls, told: Iterable[Webhook | WebhookRow], asked: Reading, queues: Mapping[str, ToldQueue]) -> list[Self]:
        """Webhooks as they are told."""
        known = list(told)
        texts = asked.ledger.reveal({text for each in known for text in (each.url, each.description) if text is not None})
        return [
            cls(
                webhook=each.webhook,
                party=each.party,
                key=each.key,
                key_usable=each.key is None or asked.look(key_stream(each.key))[0].usable,
                url=texts.get(each.url),
                host=each.host,
                description=None if each.description is None else texts.get(each.description),
                awards=each.awards,
                types=each.types,
                rate_limit=each.rate_limit,
                api_version=each.api_version,
                state=each.state,
                reason=each.reason,
                since=None if each.since is None else datetime.fromisoformat(each.since),
                secrets=tuple(map(ToldSecret.of, each.secrets)),
                queue=queues.get(each.webhook),
            )
            for each in known
        ]


class SecretRecorded(Recorded):
    """What became of a new secret, and the secret itself, which is never shown again: not by a repeat of the request either."""

    webhook: str
    public_key: str = Field(description="By which anybody may verify what `v1a` signs (Ed25519, `whpk_…`)")
    secret: str | None = Field(description="By which its receiver verifies `v1` (`whsec_…`); not in a repeat or a dry run")
    before_until: datetime | None = Field(None, description="Of a rotation: until when what signed before signs along at most")


# Asking ---------------------------------------------------------------------------------------------------------------


@router.get("", **question(READERS))
def page(
    request: Request,
    asked: TheListing,
    *,
    state: Annotated[State | None, Query(description="In this state only")] = None,
    after: After = None,
    limit: Limit = LIMIT,
) -> Page[ToldWebhook]:
    """Webhooks, in the order in which they were registered. An investor is shown its own, so that a page may be shorter."""
    by = keeper(asked.caller, OVERSEERS)

    def rows(start: str | None) -> Any:
        return asked.views.webhooks.page(start, asked.limited(limit), state=state, keeper=by, **asked.axes)

    found = paged(rows, after, lambda row: row)
    queues = _queues(request, asked, [row.webhook for row in found.rows])
    return Page(rows=tuple(ToldWebhook.of(found.rows, asked, queues)), next=found.next)


@router.get("/{webhook}", **question(READERS, NoSuchWebhook, one=True))
def show(webhook: WebhookName, request: Request, asked: TheReading) -> ToldWebhook:
    """A webhook, and how it takes what it is told: what waits for it, what was parked, and since when it takes nothing."""
    found, version = asked.look(webhook_stream(webhook))
    if not keeper(asked.caller, OVERSEERS).keeps(found):
        raise NoSuchWebhook(name=webhook)
    (told,) = ToldWebhook.of([found], asked, _queues(request, asked, [webhook]))
    asked.tag(f"{version}.{_standing(told)}")
    return told


def _queues(request: Request, asked: Reading, webhooks: Collection[str]) -> dict[str, ToldQueue]:
    """How webhooks take what they are told: as it is now, for whoever asks for now."""
    if asked.as_of is not None or asked.effective_on is not None:
        return {}
    deliveries: Deliveries = request.app.state.deliveries
    queues, counts = deliveries.queues(), deliveries.counts(webhooks)
    return {each: ToldQueue.of(queues[each], counts.get(each, {})) for each in webhooks if each in queues}


def _standing(told: ToldWebhook) -> int:
    """What of a webhook changes without an entry of its own, as a number for its ETag."""
    said = told.model_dump_json(include={"key_usable", "queue"})
    return int.from_bytes(sha256(said.encode()).digest()[:8]) % _TAGS


# Doing ----------------------------------------------------------------------------------------------------------------

_OF_ADDRESSES = (
    webhooks.AddressIsMalformed,
    webhooks.AddressIsNotPrivate,
    webhooks.AddressHasCredentials,
    webhooks.PortIsNotTaken,
    webhooks.AddressIsNotAnybodys,
)
_NAMED = (NoSuchWebhook, WebhookIsRemoved)


@router.post(
    "",
    **command(
        KEEPERS,
        *_OF_ADDRESSES,
        webhooks.TypeIsNeverTold,
        NoSuchAward,
        webhooks.WebhookExists,
        TooManyWebhooks,
        body=Registration,
        on_one=False,
        answer=SecretRecorded,
    ),
)
async def register(new: Annotated[Registration, sent(Registration)], ask: TheAsk, request: Request) -> SecretRecorded:
    """Have notices sent to an address, once it has answered a challenge. An investor's webhook is bounded by the key shown."""
    webhook, made = secrets.token_hex(_ID_BYTES), _made()
    decide = partial(
        webhooks.register,
        webhook=webhook,
        asked=new,
        secret=made,
        by=keeper(ask.caller, ADMINISTRATOR),
        types=TOLD.keys(),
        addresses=_addresses(request),
    )
    async with request.app.state.registering, turn_of_all(request.app.state.deliveries.engine, _REGISTERING):
        await _expect_room(ask, request)
        done = await ask.done(decide)
    named = next(each.event.webhook for each in done.entries if isinstance(each.event, WebhookRegistered))
    told = ask.tell(done, webhook_stream(named), new=address("webhooks", named))
    return _shown(told, done.entries, named, made, ask)


@router.post(
    "/{webhook}/change",
    **command(KEEPERS, *_NAMED, *_OF_ADDRESSES, webhooks.TypeIsNeverTold, NoSuchAward, webhooks.ChangesNothing, body=Change),
)
async def change(webhook: WebhookName, asked: Annotated[Change, sent(Change)], ask: TheAsk, request: Request) -> Recorded:
    """Change a webhook, as far as it is said. Another address is told nothing before it has answered a challenge."""
    decide = partial(
        webhooks.change,
        webhook=webhook,
        asked=asked,
        by=keeper(ask.caller, ADMINISTRATOR),
        types=TOLD.keys(),
        addresses=_addresses(request),
    )
    return await ask.record(decide, webhook_stream(webhook))


@router.post(
    "/{webhook}/challenge",
    **command(KEEPERS, *_NAMED, webhooks.WebhookIsEnabled, webhooks.WebhookHasMoved, ChallengeNotAnswered),
)
async def challenge(webhook: WebhookName, ask: TheAsk, request: Request) -> Recorded:
    """Challenge a webhook's address now; if it answers as it must, it is told from then on. A dry run sends nothing.

    The challenge is a signed POST of `{…, "type": "webhook.challenged", "data": {"challenge": "<word>"}}`; the answer must be a
    2xx with `{"challenge": "<word>"}`.
    """
    by = keeper(ask.caller, ADMINISTRATOR)
    known, version = await run_in_threadpool(ask.ledger.load, webhook_stream(webhook))
    if not ask.dry_run and not await run_in_threadpool(lambda: ask.spent):
        webhooks.expect_kept(known, by).confirm(known.url)  # Nobody is called where it would lead nowhere.
        ask.expect_version(version)
        now = ask.ledger.now()
        url, keys = await run_in_threadpool(_secrets, ask.ledger, known, now)
        await challenges.challenge(Rules.of(request.app.state.settings), webhook, url, keys, now)
    decide = partial(webhooks.confirm, webhook=webhook, url=known.url, by=by)
    return await ask.record(decide, webhook_stream(webhook))


@router.post("/{webhook}/enabling", **command(KEEPERS, *_NAMED, webhooks.WebhookIsEnabled, webhooks.WebhookIsUnconfirmed))
async def enable(webhook: WebhookName, ask: TheAsk) -> Recorded:
    """Have a webhook told again, whose address has answered a challenge before and did not say since that it is gone."""
    decide = partial(webhooks.enable, webhook=webhook, by=keeper(ask.caller, ADMINISTRATOR))
    return await ask.record(decide, webhook_stream(webhook))


@router.post("/{webhook}/disabling", **command(KEEPERS, *_NAMED, webhooks.WebhookIsDisabled))
async def disable(webhook: WebhookName, ask: TheAsk) -> Recorded:
    """Have a webhook told nothing until it is enabled again."""
    decide = partial(webhooks.disable, webhook=webhook, by=keeper(ask.caller, ADMINISTRATOR))
    return await ask.record(decide, webhook_stream(webhook))


@router.post("/{webhook}/secrets", **command(KEEPERS, *_NAMED, webhooks.TooManySecrets, body=Rotation, answer=SecretRecorded))
async def rotate(webhook: WebhookName, rotation: Annotated[Rotation, sent(Rotation)], ask: TheAsk) -> SecretRecorded:
    """Let a new secret and a new key sign; those of now sign along with them for the overlap."""
    made = _made()
    decide = partial(
        webhooks.rotate,
        webhook=webhook,
        secret=made,
        by=keeper(ask.caller, ADMINISTRATOR),
        now=ask.ledger.now(),
        overlap=timedelta(hours=rotation.overlap_hours),
    )
    stream = webhook_stream(webhook)
    done = await ask.done(decide, stream)
    return _shown(ask.tell(done, stream), done.entries, webhook, made, ask)


@router.delete("/{webhook}", **command(KEEPERS, *_NAMED))
async def remove(webhook: WebhookName, ask: TheAsk) -> Recorded:
    """Have a webhook told nothing any more, for good. Its address, its description and its secrets go from the vault."""
    decide = partial(webhooks.remove, webhook=webhook, by=keeper(ask.caller, ADMINISTRATOR))
    return await ask.record(decide, webhook_stream(webhook))


async def _expect_room(ask: Ask, request: Request) -> None:
    """Refuse a party that has enough webhooks, as the read models count them once they have heard of all that there are."""
    settings, views = request.app.state.settings, request.app.state.views
    head = await run_in_threadpool(ask.ledger.head)
    await views.wait(head.size, settings.min_position_wait_s)
    many = await run_in_threadpool(views.webhooks.many, ask.caller.party)
    if many >= settings.webhooks_most and not await run_in_threadpool(lambda: ask.spent):
        raise TooManyWebhooks(party=ask.caller.party, webhooks=many)


def keeper(caller: Caller, all_of_them: Iterable[Role]) -> Keeper:
    """What the caller may see or change of webhooks: all of them in these roles, else what an investor's key bounds."""
    if any(caller.key.opens(role) for role in all_of_them):
        return Keeper(caller.party)
    return Keeper(caller.party, caller.key.key, caller.key.awards)


def _made() -> Secret:
    key = webhook_signatures.PrivateKey.new()
    return Secret(webhook_signatures.Secret.new().shown, key.shown, key.public)


def _shown(told: Recorded, entries: Iterable[Any], webhook: str, made: Secret, ask: TheAsk) -> SecretRecorded:
    """The answer of what made a secret; it shows the secret if it is the one that was recorded just now."""
    ask.response.headers["Cache-Control"] = "no-store"
    (event,) = (each.event for each in entries)
    public, until = event.public_key, getattr(event, "before_until", None)
    is_new = public == made.public and not ask.dry_run
    return SecretRecorded(
        **dict(told),
        webhook=webhook,
        public_key=public,
        secret=made.symmetric if is_new else None,
        before_until=None if until is None else datetime.fromisoformat(until),
    )


def _secrets(ledger: Ledger, webhook: Webhook, now: datetime) -> tuple[str, list[webhook_signatures.Key]]:
    """A webhook's address, and what signs what is sent there at a moment, the newest first."""
    signing = [each for each in reversed(webhook.secrets) if each.signs(now)]
    texts = ledger.reveal([webhook.url, *(each.secret for each in signing)])
    made = [Secret.read(texts[each.secret], each.public_key) for each in signing]
    return texts[webhook.url], [webhook_signatures.read(word) for each in made for word in (each.symmetric, each.private)]


def _addresses(request: Request) -> Addresses:
    return Rules.of(request.app.state.settings).addresses
