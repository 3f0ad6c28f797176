"""Signed notes: a text, an empty line, and lines that sign it (C2SP signed-note), and witnesses' lines (C2SP tlog-cosignature).

    — <key name> base64(key id ‖ signature)

The key id is the first 4 bytes of SHA-256(name ‖ 0x0A ‖ kind ‖ public key). Of the kinds we know Ed25519 over the text (0x01),
and Ed25519 with a time before the text (0x04), as witnesses sign. A key is told to others as its *verifier key*,
`<name>+<hex key id>+base64(kind ‖ public key)`.
"""

import base64
import binascii
import re
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, Literal, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

SEED_BYTES: Final = 32
KEY_BYTES: Final = 32
_ID_BYTES: Final = 4
_TIME_BYTES: Final = 8
_SIGNATURE_BYTES: Final = 64
MOST_LINES: Final = 64
"""Signatures that a note may have; a verifier must take 16 (C2SP signed-note)."""
_NAME: Final = re.compile(r"[^\s+]+")
_LINE: Final = re.compile(r"— (?P<name>[^\s+]+) (?P<signed>[A-Za-z0-9+/=]+)")
_CONTROLS: Final = re.compile(r"[\x00-\x09\x0b-\x1f]")

Kind = Literal[1, 4]
NOTE: Final = 1
COSIGNATURE: Final = 4


class NoteIsWrong(ValueError):
    """This is no note that whoever should have signed it has signed."""


@dataclass(frozen=True, slots=True)
class Verifier:
    """A key as others know it: its name, the 32 bytes of its public half, and what it signs."""

    name: str
    public: bytes
    kind: Kind = NOTE

    @property
    def id(self) -> bytes:
        """By what a line says which key signed it."""
        return sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:_ID_BYTES]

    @property
    def vkey(self) -> str:
        """The key as one word."""
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(bytes([self.kind]) + self.public).decode()}"

    @classmethod
    def read(cls, vkey: str) -> Self:
        """A key from its word; `NoteIsWrong` if it is none of the kinds that we know."""
        try:
            name, told, encoded = vkey.split("+", 2)
            key = base64.b64decode(encoded, validate=True)
        except (ValueError, binascii.Error):
            raise NoteIsWrong(f"{vkey!r} is no verifier key") from None
        kind: Kind
        match key[:1]:
            case b"\1":
                kind = NOTE
            case b"\4":
                kind = COSIGNATURE
            case _:
                raise NoteIsWrong(f"the key of {vkey!r} is of a kind that is not known here")
        found = cls(name, key[1:], kind)
        if not names_a_signer(name) or len(found.public) != KEY_BYTES or found.id.hex() != told:
            raise NoteIsWrong(f"{vkey!r} is no verifier key")
        return found

    def signed(self, text: str, line: "Line") -> bool:
        """Whether a line is this key's over a text. `NoteIsWrong` if it says so and is not."""
        if (line.name, line.id) != (self.name, self.id):
            return False
        signed, signature = text, line.signature
        if self.kind == COSIGNATURE:
            signed, signature = f"cosignature/v1\ntime {line.moment}\n{text}", line.signature[_TIME_BYTES:]
        if not signs(self.public, signed, signature):
            raise NoteIsWrong(f"the signature of {self.name} is wrong")
        return True


@dataclass(frozen=True, slots=True)
class Line:
    """What somebody signed."""

    name: str
    id: bytes
    signature: bytes

    @property
    def moment(self) -> int:
        """When a witness signed, in seconds since 1970."""
        return int.from_bytes(self.signature[:_TIME_BYTES], "big")

    def __str__(self) -> str:
        """As it stands in a note, with its newline."""
        return f"— {self.name} {base64.b64encode(self.id + self.signature).decode()}\n"

    @classmethod
    def read(cls, line: str) -> Self:
        """A line of a note, without its newline; `NoteIsWrong` if it is none."""
        found = _LINE.fullmatch(line)
        try:
            told = base64.b64decode(found["signed"], validate=True) if found else b""
        except binascii.Error:
            told = b""
        if found is None or len(told) <= _ID_BYTES:
            raise NoteIsWrong(f"{NoteIsWrong.__doc__} ({line[:80]!r} is no signature)")
        return cls(found["name"], told[:_ID_BYTES], told[_ID_BYTES:])


class Signer:
    """The private half of a key."""

    def __init__(self, seed: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = self._key.public_key().public_bytes_raw()

    def sign(self, name: str, text: str) -> Line:
        """Sign a text under a name."""
        return Line(name, Verifier(name, self.public).id, self._key.sign(text.encode()))

    def cosign(self, name: str, text: str, moment: int) -> Line:
        """Sign a checkpoint's text as a witness, at a time in seconds since 1970."""
        signature = self._key.sign(f"cosignature/v1\ntime {moment}\n{text}".encode())
        return Line(name, Verifier(name, self.public, COSIGNATURE).id, moment.to_bytes(_TIME_BYTES, "big") + signature)


def names_a_signer(name: str) -> bool:
    """Whether a name may stand in a note (C2SP signed-note): one word, without a plus."""
    return bool(_NAME.fullmatch(name))


def signs(public: bytes, text: str, signature: bytes) -> bool:
    """Whether a signature is that of a key over a text."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text.encode())
    except (InvalidSignature, ValueError):
        return False
    return True


def written(text: str, lines: Iterable[Line]) -> str:
    """A note."""
    return f"{text}\n{''.join(map(str, lines))}"


def parsed(note: str) -> tuple[str, list[Line]]:
    """A note's text and lines, whoever signed it; `NoteIsWrong` if it is none."""
    text, blank, signed = note.rpartition("\n\n")
    if not blank or not text or not signed.endswith("\n") or _CONTROLS.search(note):
        raise NoteIsWrong(NoteIsWrong.__doc__)
    lines = signed[:-1].split("\n")
    if len(lines) > MOST_LINES:
        raise NoteIsWrong(f"{NoteIsWrong.__doc__} (it has more than {MOST_LINES} signatures)")
    return f"{text}\n", [Line.read(line) for line in lines]


def opened(note: str, known: Iterable[Verifier]) -> tuple[str, list[Verifier]]:
    """A note's text, and which of the keys that are known signed it; `NoteIsWrong` if none did, or one of them wrongly."""
    text, lines = parsed(note)
    found = [verifier for verifier in known for line in lines if verifier.signed(text, line)]
    if not found:
        raise NoteIsWrong(f"{NoteIsWrong.__doc__} (no key that is known has signed it)")
    return text, found
