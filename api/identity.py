"""Who asks: a bearer key, its person and party, and what it opens (design: identity).

A key is `lcl_<key id>_<secret>`. The secret has 256 random bits and is shown once; the ledger knows its SHA-256. Where an
identity provider is set, its signed tokens do as well; they lead to a key of the ledger too, which says what they open.
"""

import hmac
import os
import re
import secrets
from collections.abc import Awaitable, Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

from fastapi import Depends, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from api.lookups import look_up
from api.problems import RequestIsWrong, TurnedAway
from api.settings import Settings
from api.telling import expect_room, note
from api.tokens import Issuer, SignInIsRevoked, SignInIsUnknown, SignInWaits
from domain import key as keys
from domain.aggregate import Actor, PersonId, Stream
from domain.award import NoSuchAward
from domain.key import Key, Opener, Role, key_stream, sign_in_stream
from domain.party import PartyExists, party_stream
from domain.person import person_stream
from domain.reference import canonical
from domain.refusal import Absent, Fault, NotAllowed
from ledger.facts import Streams
from ledger.ledger import Ledger
from ledger.ledger import Request as LedgerRequest

PREFIX: Final = "lcl"
_KEY: Final = re.compile(r"lcl_([0-9a-f]{16})_([A-Za-z0-9_-]{43})", re.ASCII)
_NO_HASH: Final = "0" * 64
_ID_BYTES: Final = 8
_SECRET_BYTES: Final = 32
OPERATOR: Final = "XX-LCL-OPERATOR"
"""The party of whoever runs the ledger, until its own people are registered (`XX` is nobody's register)."""
FIRST_KEY_FILE: Final = "first-administrator.key"

_bearer = HTTPBearer(auto_error=False, scheme_name="key", description="A key of the ledger, `lcl_<key id>_<secret>`.")
_signed = HTTPBearer(
    auto_error=False,
    scheme_name="sign-in",
    bearerFormat="JWT",
    description="A signed token of the identity provider, where one is set; its subject needs a key of the ledger.",
)


class _Unknown(TurnedAway):
    """The ledger does not know who asks."""

    status = 401


class KeyIsMissing(_Unknown):
    """Say who asks: the header Authorization must hold `Bearer` and a key."""

    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Bearer realm="lcledger"'}


class KeyIsWrong(_Unknown):
    """This key opens nothing: it is no key of this ledger, is revoked, or waits for a second person to agree it."""

    headers: ClassVar[dict[str, str]] = {"WWW-Authenticate": 'Bearer realm="lcledger", error="invalid_token"'}


class RoleIsMissing(NotAllowed):
    """The key has no role that may do this."""


@dataclass(frozen=True, slots=True)
class Minted:
    """A new key: what is shown once, and what the ledger may know of it."""

    key: str
    shown: str
    hash: str


def mint() -> Minted:
    """A new key with 256 random bits."""
    name, secret = secrets.token_hex(_ID_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
    return Minted(name, f"{PREFIX}_{name}_{secret}", _hash(secret))


def _hash(secret: str) -> str:
    return sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Caller:
    """The person who asks, and the key that was shown."""

    person: PersonId
    party: str
    key: Key

    @property
    def actor(self) -> Actor:
        """The caller as the rules know it."""
        return Actor(self.person, self.party)

    @property
    def only(self) -> frozenset[str] | None:
        """The awards that the caller may know of; nothing said means all."""
        every = any(self.key.opens(role) for role in self.key.roles)
        return None if every else self.key.awards

    def has(self, roles: Collection[Role], award: str | None = None) -> bool:
        """Whether the key opens one of the roles, for an award if one is named."""
        return any(self.key.opens(role, award) or (award is None and role in self.key.roles) for role in roles)

    def expect(self, roles: Collection[Role], award: str | None = None) -> None:
        """Refuse a caller without any of the roles; an award that the key does not open is as one that is not there."""
        held = self.key.roles.intersection(roles)
        if not held:
            raise RoleIsMissing(roles=sorted(roles))
        if award is not None and not any(self.key.opens(role, award) for role in held):
            raise NoSuchAward(name=canonical(award))


def recognise(streams: Streams, shown: str) -> Caller:
    """Who has the key that was shown; `KeyIsWrong` if it opens nothing."""
    found = _KEY.fullmatch(shown)
    if found is None:
        raise KeyIsWrong
    key: Key | None = None
    with suppress(Absent):
        key, _ = streams.load(key_stream(found[1]))
    same = hmac.compare_digest(key.hash if key else _NO_HASH, _hash(found[2]))
    if key is None or not same or not key.usable or key.opened_by is not Opener.SECRET:
        raise KeyIsWrong
    return _caller(streams, key)


def _recognise_subject(ledger: Ledger, issuer: str, subject: str) -> Caller:
    """Whoever signed in. The token was right, so that it can be said what is not."""
    try:
        sign_in, _ = ledger.load(sign_in_stream(mark(ledger, issuer, subject)))
    except Absent:
        raise SignInIsUnknown from None
    key, _ = ledger.load(key_stream(sign_in.key))
    if key.revoked:
        raise SignInIsRevoked
    if key.waits:
        raise SignInWaits(key=key.key)
    return _caller(ledger, key)


def _caller(streams: Streams, key: Key) -> Caller:
    person, _ = streams.load(person_stream(key.person))
    return Caller(person.person, person.party, key)


def mark(ledger: Ledger, issuer: str, subject: str) -> str:
    """By what the ledger recognises whoever signs in."""
    return ledger.vault.seals.sign_in(issuer, subject)


async def identify(
    request: Request,
    key: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)],
    token: Annotated[HTTPAuthorizationCredentials | None, Depends(_signed)],
) -> Caller:
    """Find out who asks, once for each request, before anything else; or a refusal."""
    either = key or token
    if either is None:
        raise KeyIsMissing
    shown = either.credentials  # The two are told apart by what they look like.
    ledger: Ledger = request.app.state.ledger
    issuer: Issuer | None = request.app.state.issuer
    if issuer is None or shown.startswith(f"{PREFIX}_"):
        caller = await look_up(ledger, recognise, ledger, shown)
    else:
        caller = await look_up(ledger, _recognise_subject, ledger, issuer.name, await issuer.subject(shown))
    request.scope["person"], request.scope["caller"] = caller.person, caller
    note(key=caller.key.key, opened=caller.key.awards)
    if request.method == "GET":
        expect_room(request.app.state.disclosures)
    return caller


def caller_of(request: Request) -> Caller:
    """Who asks, as it was found out: every route identifies its caller first, by `opened_by`.

    Whoever depended on `identify` once more would have FastAPI go all the way to it again, though it looks no second time.
    """
    caller: Caller = request.scope["caller"]
    return caller


def opened_by(roles: Collection[Role]) -> Callable[..., Awaitable[None]]:
    """A dependency that lets only these roles in, and only to awards that their key opens."""
    asked: list[frozenset[str]] = []  # Looked up once: each route has a check of its own.

    async def check(request: Request, caller: Annotated[Caller, Depends(identify)]) -> None:
        caller.expect(roles, request.path_params.get("award"))
        if not asked:
            asked.append(_asked(request.scope["route"]))
        # A misspelt `dry_run` or `as_of` would do something else than was asked.
        if unknown := [Fault(name[:80], "is not known here") for name in request.query_params if name not in asked[0]]:
            raise RequestIsWrong(unknown)

    return check


def _asked(route: APIRoute) -> frozenset[str]:
    """What a route may be asked in its address."""

    def names(of: Dependant) -> Iterator[str]:
        yield from (parameter.alias for parameter in of.query_params)
        for within in of.dependencies:
            yield from names(within)

    return frozenset(names(route.dependant))


def first_administrator(ledger: Ledger, settings: Settings) -> Path | None:
    """On the first start register the operator's party and an administrator; the file that holds the key, or nothing.

    The key stands in a file before it means anything, and under its own name when it does, so that no crash can lose it. Of
    several processes that start together one registers its key; the others drop theirs. A key of another ledger that stands
    there already is kept beside it, as it may be the only one by which that ledger can be restored.
    """
    file = settings.data_dir / FIRST_KEY_FILE
    if _has(ledger, party_stream(OPERATOR)):
        _recover(ledger, file)
        return None
    minted, person = mint(), PersonId(secrets.token_hex(_ID_BYTES))
    draft = _write_secret(file, minted.shown)
    # Before the record: from then on any process that starts gives the draft its name, whatever stands there.
    kept = [_write_secret(file, file.read_text("utf-8").strip())] if file.exists() else []
    decide = partial(
        keys.begin,
        party=OPERATOR,
        party_name="Operator of this ledger",
        person=person,
        name="First administrator",
        key=minted.key,
        secret_hash=minted.hash,
    )
    try:
        ledger.record_now(decide, LedgerRequest(Actor(person, OPERATOR)))
    except PartyExists:
        for mine in (draft, *kept):
            mine.unlink(missing_ok=True)
        return None
    with suppress(FileNotFoundError):  # Another process that starts may have been quicker.
        draft.replace(file)
    return file


def _has(ledger: Ledger, stream: Stream[Any]) -> bool:
    try:
        ledger.load(stream)
    except Absent:
        return False
    return True


def _recover(ledger: Ledger, file: Path) -> None:
    """Finish a first start that was cut off between the ledger's record and the file's name."""
    for draft in file.parent.glob(f"{file.name}.*"):
        with suppress(OSError, TurnedAway):
            recognise(ledger, draft.read_text("utf-8").strip())
            draft.replace(file)


def _write_secret(file: Path, secret: str) -> Path:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = file.with_name(f"{file.name}.{secrets.token_hex(_ID_BYTES)}")
    with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w", encoding="utf-8") as out:
        out.write(secret + "\n")
        out.flush()
        os.fsync(out.fileno())
    return draft
