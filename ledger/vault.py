"""What may have to go (L5), kept beside the log, so that it can go and the log stays as it is.

A text stands here sealed; the log holds SHA-256(salt ‖ text), its *commitment*. A participant's reference stands here sealed; the
log holds a *token*, which is random and says nothing. A reference is recognised by its *mark*, an HMAC that nobody without the
vault's key can make, of the award and the reference in capitals: the same reference in two awards has two marks, so that nobody
can be followed from one award into another. What was erased has lost its seal; the mark stays, so that nothing is recognised
twice.
"""

import hmac
from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from domain.aggregate import Commitment, Token
from domain.reference import canonical
from ledger.log import Log, Participant, Text
from ledger.randomness import random_bytes

KEY_BYTES_LEAST: Final = 32
_KEY_BYTES: Final = 32
_NONCE_BYTES: Final = 12
_SALT_BYTES: Final = 16
_TOKEN_BYTES: Final = 16
_CHECKED: Final = b"life chances ledger vault"


class WrongVaultKey(RuntimeError):
    """This is not the key that the vault was made with: nothing in it could be read or recognised."""


class Unsealed(RuntimeError):
    """Something in the vault is not what was put there."""


class _Mac:
    """HMAC-SHA256 under one key, whose beginning is worked out once.

    Beside being quicker than `hmac.digest`, it does not let other threads compute meanwhile, for which one would have to wait.
    """

    def __init__(self, key: bytes) -> None:
        self._begun = hmac.new(key, digestmod=sha256)

    def of(self, message: bytes) -> bytes:
        """The code of a message."""
        mac = self._begun.copy()
        mac.update(message)
        return mac.digest()


class Seals:
    """Seals and opens what is in the vault, under keys derived from the vault's key."""

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES_LEAST:
            raise ValueError(f"the vault's key must have {KEY_BYTES_LEAST} bytes or more")
        self._texts = AESGCM(_derived(key, b"texts"))
        self._references = AESGCM(_derived(key, b"references"))
        self._marks = _Mac(_derived(key, b"marks"))
        self._sign_ins = _Mac(_derived(key, b"sign-ins"))
        self._requests = _Mac(_derived(key, b"requests"))

    def conceal(self, text: str, award: str | None) -> Text:
        """Seal a text under a fresh salt."""
        salt = random_bytes(_SALT_BYTES)
        commitment = commitment_of(salt, text)
        return Text(commitment, award, salt, _seal(self._texts, text, commitment))

    def reveal(self, kept: Text) -> str | None:
        """The text, or nothing if it was erased."""
        return None if kept.sealed is None else _open(self._texts, kept.sealed, kept.commitment)

    def mark(self, award: str, reference: str) -> str:
        """By what a reference is recognised in an award, whatever its case."""
        return self._marks.of(f"{canonical(award)}\n{canonical(reference)}".encode()).hex()

    def sign_in(self, issuer: str, subject: str) -> str:
        """By what somebody whom an identity provider names is recognised. Case matters, in both; neither may hold a newline."""
        return self._sign_ins.of(f"oidc\n{issuer}\n{subject}".encode()).hex()

    def fingerprint(self, request: bytes) -> str:
        """By what a request is recognised when it comes again. A plain hash would let its reference or account be guessed."""
        return self._requests.of(request).hex()

    def meet(self, award: str, reference: str, mark: str) -> Participant:
        """A participant whom nobody has met before, under a fresh token."""
        token = random_bytes(_TOKEN_BYTES).hex()
        return Participant(award, token, mark, _seal(self._references, reference, f"{award}\n{token}"))

    def reference(self, met: Participant) -> str | None:
        """The reference as it was first given, or nothing if it was erased."""
        return None if met.sealed is None else _open(self._references, met.sealed, f"{met.award}\n{met.token}")

    @property
    def checked(self) -> bytes:
        """What tells this key from another."""
        return self._marks.of(_CHECKED)


class Vault:
    """The vault of an open log."""

    def __init__(self, log: Log, key: bytes) -> None:
        self._log = log
        self.seals = Seals(key)

    def start(self) -> None:
        """Make sure that this is the key that the vault was made with; the first key makes the vault."""
        found = self._log.reads.checked()
        if found is None:
            with self._log.turn() as turn:
                found = turn.checked() or turn.check_with(self.seals.checked)
        if not hmac.compare_digest(found, self.seals.checked):
            raise WrongVaultKey(WrongVaultKey.__doc__)

    def reveal(self, commitments: Iterable[Commitment]) -> dict[Commitment, str]:
        """The texts behind commitments; those that were erased are left out."""
        wanted = list(commitments)
        texts = ((kept.commitment, self.seals.reveal(kept)) for kept in self._log.reads.texts(wanted)) if wanted else ()
        return {Commitment(commitment): text for commitment, text in texts if text is not None}

    def references(self, award: str, tokens: Iterable[Token]) -> dict[Token, str]:
        """The references behind an award's tokens; those that were erased are left out."""
        wanted = list(tokens)
        met = self._log.reads.participants(award, wanted) if wanted else []
        references = ((one.token, self.seals.reference(one)) for one in met)
        return {Token(token): reference for token, reference in references if reference is not None}


def commitment_of(salt: bytes, text: str) -> Commitment:
    """SHA-256(salt ‖ text), in hexadecimal: what the log holds."""
    return Commitment(sha256(salt + text.encode()).hexdigest())


def _derived(key: bytes, purpose: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=_KEY_BYTES, salt=None, info=b"life chances ledger: " + purpose).derive(key)


def _seal(cipher: AESGCM, text: str, bound_to: str) -> bytes:
    nonce = random_bytes(_NONCE_BYTES)
    return nonce + cipher.encrypt(nonce, text.encode(), bound_to.encode())


def _open(cipher: AESGCM, sealed: bytes, bound_to: str) -> str:
    try:
        return cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], bound_to.encode()).decode()
    except InvalidTag:
        raise Unsealed(f"{Unsealed.__doc__} ({bound_to})") from None
