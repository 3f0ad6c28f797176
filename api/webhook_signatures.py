"""Signatures of webhooks, as Standard Webhooks has them: who sent a body, when, and that it is whole.

    webhook-id: msg_9e107d9d372bb6826bd81d3542a419d6
    webhook-timestamp: 1719826200
    webhook-signature: v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4= v1a,hnO3f9T8Ytu9HwrXslvumlUpqtNVqkhqw…

What is signed is `<id>.<timestamp>.<body>`: the bytes of the body as they are sent, the timestamp in seconds since 1970. `v1` is
HMAC-SHA256 under a secret that both sides know (`whsec_` and base64), `v1a` Ed25519 by a key whose public half (`whpk_` and
base64) anybody may know: what is signed so can be shown to third parties as evidence of what was told. A header has several
signatures, a blank between them, while a secret changes hands: one that the receiver knows is enough.
(https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md)
"""

import base64
import binascii
import hmac
from collections.abc import Iterable
from datetime import datetime
from hashlib import sha256
from typing import Final, Protocol, Self

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from ledger.randomness import random_bytes

SECRET: Final = "whsec_"  # noqa: S105 (what secrets begin with)
PRIVATE: Final = "whsk_"
PUBLIC: Final = "whpk_"
SECRET_BYTES: Final = range(24, 65)
"""How long a secret may be (Standard Webhooks); ours are of 32 bytes."""
SEED_BYTES: Final = 32
ID: Final = "webhook-id"
TIMESTAMP: Final = "webhook-timestamp"
SIGNATURE: Final = "webhook-signature"


class NotAKey(ValueError):
    """This is no secret and no private key of Standard Webhooks: `whsec_` or `whsk_` and base64."""


class Key(Protocol):
    """What signs."""

    def sign(self, message: bytes) -> str:
        """A signature of a message, with its version before it."""


class Secret:
    """A secret that the sender and the receiver know."""

    def __init__(self, secret: bytes) -> None:
        if len(secret) not in SECRET_BYTES:
            raise NotAKey(NotAKey.__doc__)
        self._secret = secret

    @classmethod
    def new(cls) -> Self:
        """One that nobody knows yet."""
        return cls(random_bytes(32))

    @classmethod
    def read(cls, shown: str) -> Self:
        """A secret from its word; `NotAKey` if it is none."""
        return cls(_decoded(SECRET, shown))

    @property
    def shown(self) -> str:
        """The secret as one word, for the receiver and nobody else."""
        return _encoded(SECRET, self._secret)

    def sign(self, message: bytes) -> str:
        """A signature `v1`."""
        return f"v1,{base64.b64encode(hmac.digest(self._secret, message, sha256)).decode()}"


class PrivateKey:
    """The sender's half of a pair of keys, made from 32 bytes."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise NotAKey(NotAKey.__doc__)
        self._seed = seed
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    @classmethod
    def new(cls) -> Self:
        """One that nobody knows yet."""
        return cls(random_bytes(SEED_BYTES))

    @classmethod
    def read(cls, shown: str) -> Self:
        """A key from its word, in which its public half follows its seed; `NotAKey` if it is none."""
        decoded = _decoded(PRIVATE, shown)
        found = cls(decoded[:SEED_BYTES])
        if decoded[SEED_BYTES:] != found._key.public_key().public_bytes_raw():
            raise NotAKey(NotAKey.__doc__)
        return found

    @property
    def shown(self) -> str:
        """The key as one word, for nobody."""
        return _encoded(PRIVATE, self._seed + self._key.public_key().public_bytes_raw())

    @property
    def public(self) -> str:
        """The public half as one word, for everybody."""
        return _encoded(PUBLIC, self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> str:
        """A signature `v1a`."""
        return f"v1a,{base64.b64encode(self._key.sign(message)).decode()}"


def read(shown: str) -> Secret | PrivateKey:
    """What signs, from its word; `NotAKey` if it is neither."""
    return PrivateKey.read(shown) if shown.startswith(PRIVATE) else Secret.read(shown)


def headers(name: str, moment: datetime, body: bytes, keys: Iterable[Key]) -> dict[str, str]:
    """The headers of a webhook: `name` is its id, the same at each attempt, `moment` (of any time zone) that of this attempt."""
    if moment.tzinfo is None:
        raise ValueError("a moment without a time zone is none")
    timestamp = str(int(moment.timestamp()))
    message = b".".join((name.encode(), timestamp.encode(), body))
    return {ID: name, TIMESTAMP: timestamp, SIGNATURE: " ".join(key.sign(message) for key in keys)}


def _encoded(prefix: str, key: bytes) -> str:
    return prefix + base64.b64encode(key).decode()


def _decoded(prefix: str, shown: str) -> bytes:
    try:
        return base64.b64decode(shown.removeprefix(prefix), validate=True) if shown.startswith(prefix) else b""
    except (binascii.Error, ValueError):
        return b""
