"""Signed tokens of an identity provider (OpenID Connect): they say who somebody is, and nothing about what they may do.

A token is taken if one of the provider's published keys signed it, and it is the provider's, for this service, now. Which
algorithms are taken is said here, never by the token: `none` and those with a shared secret are not. The provider's keys are kept
for ten minutes, and longer only while it cannot be asked.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self

import httpx
import orjson
from joserfc import jws
from joserfc.errors import ClaimError, ExpiredTokenError, InvalidClaimError, JoseError, UnsupportedAlgorithmError
from joserfc.jwk import ECKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from api import logs
from api.problems import NotNow, TurnedAway
from api.settings import Settings, private_address

log = logs.logger(__name__)

SUBJECT: Final = r"^[ -~]{1,255}$"
"""What a subject may be: OpenID Connect Core, 2."""
_SUBJECT: Final = re.compile(SUBJECT.removesuffix("$") + r"\Z", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", re.ASCII)
_TOKEN_CHARACTERS_MOST: Final = 8 * 1024
_HEADER_BYTES_MOST: Final = 2 * 1024
_LEEWAY_S: Final = 60
_KINDS: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})
"""Types of token that say who asks. A provider signs others with the same keys, such as those that tell of a log-out."""
_DOCUMENT_BYTES_MOST: Final = 256 * 1024
_KEYS_MOST: Final = 100
_FETCH_TIMEOUT_S: Final = 5.0
_FRESH_S: Final = 600.0
_KEPT_S: Final = 24 * 3_600.0
_APART_S: Final = 30.0
"""Between two times that the provider is asked, whatever tokens come."""
_FIRST_APART_S: Final = 5.0
"""The same, while there are no keys at all."""
_RSA_CHARACTERS_LEAST: Final = 342
"""Of a modulus of 2,048 bits in base64url."""

PublicKey = RSAKey | ECKey | OKPKey


class TokenIsWrong(TurnedAway):
    """The token does not say who asks."""

    status = 401
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="lcledger", error="invalid_token"'}


class TokenIsNoToken(TokenIsWrong):
    """What was shown is neither a key of this ledger nor a signed token that can be read."""


class TokenIsTooLong(TokenIsWrong):
    """The token is longer than the service takes."""


class TokenAlgorithmNotTaken(TokenIsWrong):
    """The token is not signed in a way that is taken: RS256, ES256 and EdDSA are."""


class TokenKeyUnknown(TokenIsWrong):
    """The token is signed with a key that the identity provider does not publish; sign in again."""


class TokenSignatureIsWrong(TokenIsWrong):
    """The token is not what the identity provider signed."""


class TokenLacksClaims(TokenIsWrong):
    """The token must say who issued it (iss), for whom (aud), until when (exp), and whom it means (sub, 1 to 255 characters)."""


class TokenOfAnotherIssuer(TokenIsWrong):
    """The token comes from another issuer than the one that is taken here."""


class TokenForAnotherAudience(TokenIsWrong):
    """The token is for another service than this one."""


class TokenHasExpired(TokenIsWrong):
    """The token has expired; sign in again."""


class TokenIsNotYetValid(TokenIsWrong):
    """The token says that it was issued later than now, or is valid only later; the clocks may differ."""


class SignInIsUnknown(TokenIsWrong):
    """The token is right, but whoever signed in has no key here: an administrator issues one for the subject."""


class SignInIsRevoked(TokenIsWrong):
    """The token is right, but the key of whoever signed in is revoked."""


class SignInWaits(TokenIsWrong):
    """The token is right, but the key of whoever signed in opens nothing until a second person agrees it."""


class IssuerIsAway(NotNow):
    """The identity provider cannot be asked for its keys, so that no token can be checked; keys of the ledger work."""

    headers: ClassVar[Mapping[str, str]] = {"Retry-After": str(int(_FIRST_APART_S))}


REFUSALS: Final[tuple[type[TurnedAway], ...]] = (
    TokenIsNoToken,
    TokenIsTooLong,
    TokenAlgorithmNotTaken,
    TokenKeyUnknown,
    TokenSignatureIsWrong,
    TokenLacksClaims,
    TokenOfAnotherIssuer,
    TokenForAnotherAudience,
    TokenHasExpired,
    TokenIsNotYetValid,
    SignInIsUnknown,
    SignInIsRevoked,
    SignInWaits,
    IssuerIsAway,
)


# The token ------------------------------------------------------------------------------------------------------------


class _Signed(JWSRegistry):
    """How tokens may be signed, and nothing else. EdDSA means Ed25519 here; RFC 9864 gives it that name."""

    taken: ClassVar[Mapping[str, tuple[str, str | None]]] = {
        "RS256": ("RSA", None),
        "ES256": ("EC", "P-256"),
        "EdDSA": ("OKP", "Ed25519"),
        "Ed25519": ("OKP", "Ed25519"),
    }
    """The kind and curve of key for each algorithm."""
    max_header_length = _HEADER_BYTES_MOST

    def get_alg(self, name: str) -> Any:
        """The algorithm of a name. Unlike the library's own, it does not warn of a name that providers go on using."""
        if name not in self.taken:
            raise UnsupportedAlgorithmError(name)
        return self.algorithms[name]


_SIGNED: Final = _Signed(strict_check_header=False)


@dataclass(frozen=True, slots=True)
class Published:
    """A public key of the provider: its id and algorithm, if it says them."""

    kid: str | None
    algorithm: str | None
    key: PublicKey

    def fits(self, kid: str | None, algorithm: str) -> bool:
        """Whether a token of this key id and algorithm may be signed with the key."""
        kind, curve = _Signed.taken[algorithm]
        if self.key.key_type != kind or (curve is not None and getattr(self.key, "curve_name", None) != curve):
            return False
        return (kid is None or kid == self.kid) and self.algorithm in {None, algorithm}


def published(document: object) -> tuple[Published, ...]:
    """The keys of a published set (RFC 7517) with which tokens may be signed; others in it are passed over."""
    keys = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(keys, list):
        return ()
    found = (_published(each) for each in keys[:_KEYS_MOST] if isinstance(each, dict))
    return tuple(each for each in found if each is not None)


def _published(said: dict[str, Any]) -> Published | None:
    kid, algorithm, modulus = said.get("kid"), said.get("alg"), said.get("n")
    if said.get("use", "sig") != "sig" or not all(each is None or isinstance(each, str) for each in (kid, algorithm)):
        return None
    try:
        match said.get("kty"):
            case "RSA" if isinstance(modulus, str) and len(modulus) >= _RSA_CHARACTERS_LEAST:
                return Published(kid, algorithm, RSAKey.import_key({name: said[name] for name in ("kty", "n", "e")}))
            case "EC" if said.get("crv") == "P-256":
                return Published(kid, algorithm, ECKey.import_key({name: said[name] for name in ("kty", "crv", "x", "y")}))
            case "OKP" if said.get("crv") == "Ed25519":
                return Published(kid, algorithm, OKPKey.import_key({name: said[name] for name in ("kty", "crv", "x")}))
    except (JoseError, ValueError, TypeError, KeyError):
        pass
    return None


@dataclass(frozen=True, slots=True)
class _Read:
    """A token that can be read, and whose signature nobody has looked at."""

    jws: jws.CompactSignature
    algorithm: str
    kid: str | None


def _read(token: str) -> _Read:
    if len(token) > _TOKEN_CHARACTERS_MOST:
        raise TokenIsTooLong(characters_most=_TOKEN_CHARACTERS_MOST)
    if not _TOKEN.fullmatch(token):
        raise TokenIsNoToken
    try:
        read = jws.extract_compact(token.encode("ascii"), None, _SIGNED)
        said = read.headers()
        algorithm, kid, kind = said.get("alg"), said.get("kid"), said.get("typ", "JWT")
    except (JoseError, ValueError, TypeError, AttributeError, RecursionError):
        raise TokenIsNoToken from None
    if not isinstance(algorithm, str) or algorithm not in _Signed.taken:
        raise TokenAlgorithmNotTaken
    # Nothing that a reader must understand is understood here, unsigned or detached contents least of all.
    if "crit" in said or "b64" in said or not isinstance(kind, str) or kind.lower() not in _KINDS:
        raise TokenIsNoToken
    if not (kid is None or isinstance(kid, str)):
        raise TokenIsNoToken
    return _Read(read, algorithm, kid)


def _claims(read: _Read, key: PublicKey) -> dict[str, Any]:
    try:
        signed = jws.validate_compact(read.jws, key, registry=_SIGNED)
    except (JoseError, ValueError, TypeError):
        signed = False
    if not signed:
        raise TokenSignatureIsWrong
    try:
        claims = orjson.loads(read.jws.payload or b"")
    except orjson.JSONDecodeError:
        raise TokenIsNoToken from None
    if not isinstance(claims, dict):
        raise TokenIsNoToken
    return claims


_REFUSED: Final[Mapping[str, type[TokenIsWrong]]] = {
    "iss": TokenOfAnotherIssuer,
    "aud": TokenForAnotherAudience,
    "nbf": TokenIsNotYetValid,
    "iat": TokenIsNotYetValid,
}


def _check(claims: dict[str, Any], issuer: str, audience: str, now: float) -> str:
    """The subject of a token that was signed, if it is ours and valid at a time, in seconds since 1970."""
    told = JWTClaimsRegistry(
        now=int(now),
        leeway=_LEEWAY_S,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": audience},
        exp={"essential": True},
        sub={"essential": True},
    )
    try:
        told.validate({name: claims[name] for name in ("iss", "aud", "exp", "sub", "nbf", "iat") if name in claims})
    except ExpiredTokenError:
        raise TokenHasExpired from None
    except InvalidClaimError as wrong:
        raise _REFUSED.get(wrong.claim, TokenLacksClaims) from None
    except ClaimError:
        raise TokenLacksClaims from None
    if claims["exp"] <= now:  # to the second: what has expired is not helped by a clock that is slow
        raise TokenHasExpired
    if not _SUBJECT.fullmatch(claims["sub"]):
        raise TokenLacksClaims
    return str(claims["sub"])


# The identity provider --------------------------------------------------------------------------------------------------


class IssuerFailed(Exception):
    """The identity provider did not give its keys."""


class Issuer:
    """An identity provider whose tokens are taken. `now` is in seconds since 1970; `ticks` counts seconds and never goes back."""

    def __init__(
        self,
        name: str,
        audience: str,
        jwks_url: str | None = None,
        *,
        http: httpx.AsyncClient,
        now: Callable[[], float],
        ticks: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._audience = audience
        self._jwks_url = jwks_url
        self._http = http
        self._now = now
        self._ticks = ticks
        self._asking = asyncio.Lock()
        self._keys: Sequence[Published] = ()
        self._fetched_at = self._asked_at = float("-inf")

    @classmethod
    @asynccontextmanager
    async def of(cls, settings: Settings, now: Callable[[], float]) -> AsyncIterator[Self | None]:
        """The provider of the settings, if they name one, until it is not needed any more."""
        if settings.oidc_issuer is None or settings.oidc_audience is None:
            yield None
            return
        # No proxy and no certificates that the environment names: only the settings say whom to trust.
        async with httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=_FETCH_TIMEOUT_S) as http:
            yield cls(settings.oidc_issuer, settings.oidc_audience, settings.oidc_jwks_url, http=http, now=now)

    async def subject(self, token: str) -> str:
        """Whom a token means. Raises one of `REFUSALS`."""
        read = _read(token)
        key = await self._key(read)
        return _check(_claims(read, key), self.name, self._audience, self._now())

    async def _key(self, read: _Read) -> PublicKey:
        if not self._have(_FRESH_S):
            await self._ask()
        if not self._have(_KEPT_S):
            raise IssuerIsAway
        found = self._fitting(read)
        if found is None:
            await self._ask()  # it may have a new key
            found = self._fitting(read)
        if found is None:
            raise TokenKeyUnknown
        return found

    def _have(self, age_most_s: float) -> bool:
        return self._ticks() - self._fetched_at < age_most_s

    def _fitting(self, read: _Read) -> PublicKey | None:
        fitting = [each.key for each in self._keys if each.fits(read.kid, read.algorithm)]
        # A token without a key id is one's whose issuer has one key; nothing is tried in turn.
        return fitting[0] if fitting and (read.kid is not None or len(fitting) == 1) else None

    async def _ask(self) -> None:
        """Ask for the keys, once for all who wait, and not too often; those that are known stay if it fails."""
        wanted_at = self._ticks()
        async with self._asking:
            apart = _APART_S if self._have(_KEPT_S) else _FIRST_APART_S
            if self._asked_at >= wanted_at or self._ticks() - self._asked_at < apart:
                return
            try:
                self._keys = await self._fetch()
                self._fetched_at = self._ticks()
            except IssuerFailed as failed:
                log.warning("identity provider gives no keys", why=str(failed), kept=len(self._keys))
            finally:
                self._asked_at = self._ticks()

    async def _fetch(self) -> Sequence[Published]:
        try:
            async with asyncio.timeout(_FETCH_TIMEOUT_S):
                keys = published(await self._document(await self._address()))
        except TimeoutError:
            raise IssuerFailed("it takes too long") from None
        if not keys:
            raise IssuerFailed("it publishes none that can be used")
        return keys

    async def _address(self) -> str:
        if self._jwks_url is not None:
            return self._jwks_url
        said = await self._document(f"{self.name.rstrip('/')}/.well-known/openid-configuration")
        if not isinstance(said, dict) or said.get("issuer") != self.name:
            raise IssuerFailed("its configuration is another issuer's")
        address = said.get("jwks_uri")
        if not isinstance(address, str) or not private_address(address):
            raise IssuerFailed("its keys are at no https address")
        return address

    async def _document(self, address: str) -> object:
        body = bytearray()
        headers = {"Accept": "application/json", "Accept-Encoding": "identity"}
        try:
            async with self._http.stream("GET", address, headers=headers) as answer:
                if answer.status_code != httpx.codes.OK or answer.headers.get("Content-Encoding", "identity") != "identity":
                    raise IssuerFailed(f"it answers {answer.status_code}")
                async for some in answer.aiter_raw():
                    body += some
                    if len(body) > _DOCUMENT_BYTES_MOST:
                        raise IssuerFailed("its answer is too long")
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError, OSError, ValueError) as failed:
            raise IssuerFailed(type(failed).__name__) from None
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            raise IssuerFailed("its answer is no JSON") from None
