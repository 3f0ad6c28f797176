"""A key: what a person shows in order to be recognised, with the roles and awards that it opens.

The secret is made and shown once by whoever issues it; the ledger knows its SHA-256. A key of the other kind is opened by signing
in with an identity provider, which says who somebody is; what they may do is said here all the same. The ledger knows whom the
provider means by a *mark*: an HMAC of issuer and subject under the vault's key. A plain hash would do for a secret, which nobody
can guess; a subject can be guessed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from domain import party as parties
from domain.aggregate import Actor, Aggregate, Decision, Facts, PersonId, Stream
from domain.event import Event
from domain.person import AdministratorAppointed, PersonRegistered, person_stream
from domain.reference import canonical
from domain.refusal import Absent, FourEyes, Invalid, Refused


class Role(StrEnum):
    """What a key lets its person do."""

    ADMINISTRATOR = "administrator"
    CLAIMANT = "claimant"
    VERIFIER = "verifier"
    CERTIFIER = "certifier"
    APPROVER = "approver"
    RELEASER = "releaser"
    AUDITOR = "auditor"
    INVESTOR = "investor"


class Opener(StrEnum):
    """What a person shows in order to use a key."""

    SECRET = "secret"  # noqa: S105 (the word)
    SIGN_IN = "sign-in"


EVERY_AWARD: Final = "*"
"""The scope of a key that opens all awards."""

_UNSCOPED: Final = frozenset({Role.ADMINISTRATOR, Role.AUDITOR})
_NEED_AGREEMENT: Final = frozenset({Role.ADMINISTRATOR, Role.APPROVER, Role.RELEASER})

# Events ---------------------------------------------------------------------------------------------------------------


class KeyIssued(Event):
    """Somebody gives a person a key; where `needs_agreement`, it opens nothing until a second person agrees (L1)."""

    type: Literal["key.issued"] = "key.issued"
    key: str
    person: PersonId
    hash: Annotated[
        str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the secret, or the mark of the sign-in, in hexadecimal")
    ]
    roles: tuple[Role, ...]
    awards: tuple[str, ...]
    needs_agreement: bool
    opened_by: Annotated[Literal["sign-in"] | None, Field(description="What opens the key, if it is no secret")] = None


class KeyAgreed(Event):
    """A second person agrees that the key opens what it says."""

    type: Literal["key.agreed"] = "key.agreed"


class KeyRevoked(Event):
    """The key opens nothing any more."""

    type: Literal["key.revoked"] = "key.revoked"


class SignInGiven(Event):
    """Somebody's sign-in uses a key from now on."""

    type: Literal["sign-in.given"] = "sign-in.given"
    key: str


KeyEvent = KeyIssued | KeyAgreed | KeyRevoked
SignInEvent = SignInGiven

# Refusals -------------------------------------------------------------------------------------------------------------


class NoSuchKey(Absent):
    """There is no key of this id."""


class KeyExists(Refused):
    """A key of this id has been issued already."""


class NoSuchSignIn(Absent):
    """This sign-in has never opened a key."""


class SignInHasKey(Refused):
    """This sign-in has a key that is not revoked; revoke that one first."""


class KeyNeedsRoles(Invalid):
    """A key needs at least one role."""


class KeyNeedsAwards(Invalid):
    """A key with any role but administrator and auditor must say for which awards, or "*" for all."""


class KeyTakesNoAwards(Invalid):
    """Administrators and auditors act on all awards; a key with no other role cannot be limited to some."""


class KeyIsRevoked(Refused):
    """The key is revoked."""


class KeyNeedsNoAgreement(Refused):
    """The key is agreed already, or never needed a second person."""


class IssuerMayNotAgree(FourEyes):
    """Whoever issued the key may not agree it; a second person must."""


class HolderMayNotAgree(FourEyes):
    """Nobody may agree a key of their own; a second person must."""


# The key --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key(Aggregate):
    """What a person shows. `hash` is the SHA-256 of the secret, or the mark of the sign-in, in hexadecimal."""

    missing = NoSuchKey

    key: str
    person: PersonId
    hash: str
    roles: frozenset[Role]
    awards: frozenset[str]
    issued_by: PersonId
    needs_agreement: bool
    opened_by: Opener = Opener.SECRET
    agreed_by: PersonId | None = None
    revoked: bool = False

    @property
    def waits(self) -> bool:
        """Whether a second person must still agree the key."""
        return self.needs_agreement and self.agreed_by is None

    @property
    def usable(self) -> bool:
        """Whether the key opens anything."""
        return not self.waits and not self.revoked

    def opens(self, role: Role, award: str | None = None) -> bool:
        """Whether the key lets its person act in a role, on an award where the role is scoped to awards."""
        if not self.usable or role not in self.roles:
            return False
        if role in _UNSCOPED or EVERY_AWARD in self.awards:
            return True
        return award is not None and canonical(award) in self.awards

    def agree(self, by: Actor) -> KeyAgreed:
        """Agree the key, as somebody who neither issued nor holds it (L1)."""
        self._expect_not_revoked()
        if not self.waits:
            raise KeyNeedsNoAgreement
        if by.person == self.issued_by:
            raise IssuerMayNotAgree
        if by.person == self.person:
            raise HolderMayNotAgree
        return KeyAgreed()

    def revoke(self) -> KeyRevoked:
        """Let the key open nothing any more."""
        self._expect_not_revoked()
        return KeyRevoked()

    def _expect_not_revoked(self) -> None:
        if self.revoked:
            raise KeyIsRevoked

    @classmethod
    def evolve(cls, state: "Key | None", event: KeyEvent, by: PersonId) -> "Key":
        """The key after an event."""
        if isinstance(event, KeyIssued):
            return cls(
                key=event.key,
                person=event.person,
                hash=event.hash,
                roles=frozenset(event.roles),
                awards=frozenset(event.awards),
                issued_by=by,
                needs_agreement=event.needs_agreement,
                opened_by=Opener(event.opened_by or Opener.SECRET),
            )
        if state is None:
            raise LookupError(f"{event.type} before key.issued")
        match event:
            case KeyAgreed():
                return replace(state, agreed_by=by)
            case KeyRevoked():
                return replace(state, revoked=True)


def key_stream(key: str) -> Stream[Key]:
    """The stream of a key."""
    return Stream(f"key/{key}", Key)


@dataclass(frozen=True, slots=True)
class SignIn(Aggregate):
    """Somebody whom an identity provider can name, and the key that was given last."""

    missing = NoSuchSignIn

    key: str

    @classmethod
    def evolve(cls, state: "SignIn | None", event: SignInEvent, by: PersonId) -> "SignIn":  # noqa: ARG003 (whoever, whatever)
        """The sign-in after an event."""
        return cls(event.key)


def sign_in_stream(mark: str) -> Stream[SignIn]:
    """The stream of a sign-in, by its mark."""
    return Stream(f"sign-in/{mark}", SignIn)


# Commands -------------------------------------------------------------------------------------------------------------


def issue(
    facts: Facts,
    key: str,
    *,
    person: PersonId,
    secret_hash: str,
    roles: Sequence[Role],
    awards: Sequence[str] = (),
    by: Actor,
    sign_in: bool = False,
) -> Decision:
    """Give a person a key. The first administrator may appoint a second one alone, once, as nobody else could agree it.

    With `sign_in`, the key has no secret, and the hash is the mark of who is to sign in: one live key each, so that nobody can be
    two persons by one sign-in.
    """
    _expect_scope(roles, awards)
    stream = key_stream(key)
    if facts.get(stream):
        raise KeyExists(key=key)
    if sign_in:
        _expect_free(facts, sign_in_stream(secret_hash))
    holder = facts[person_stream(person)]
    issuer = facts.get(person_stream(by.person))
    alone = set(roles) == {Role.ADMINISTRATOR} and person != by.person and issuer is not None and issuer.may_appoint_alone
    issued = KeyIssued(
        key=key,
        person=holder.person,
        hash=secret_hash,
        roles=tuple(sorted(set(roles))),
        awards=tuple(sorted({canonical(award) for award in awards})),
        needs_agreement=not alone and not _NEED_AGREEMENT.isdisjoint(roles),
        opened_by="sign-in" if sign_in else None,
    )
    decided: dict[Stream[Any], tuple[Event, ...]] = {stream: (issued,)}
    if sign_in:
        decided[sign_in_stream(secret_hash)] = (SignInGiven(key=key),)
    if alone:
        decided[person_stream(by.person)] = (AdministratorAppointed(appointed=person),)
    return decided


def begin(facts: Facts, *, party: str, party_name: str, person: PersonId, name: str, key: str, secret_hash: str) -> Decision:
    """Register the very first party and administrator, with a key: the ledger's own deed, at its first start only."""
    registered = PersonRegistered(person=person, party=party, name=facts.conceal(name), first=True)
    issued = KeyIssued(key=key, person=person, hash=secret_hash, roles=(Role.ADMINISTRATOR,), awards=(), needs_agreement=False)
    return {**parties.register(facts, party, party_name), person_stream(person): (registered,), key_stream(key): (issued,)}


def _expect_free(facts: Facts, stream: Stream[SignIn]) -> None:
    given = facts.get(stream)
    if given and not facts[key_stream(given.key)].revoked:
        raise SignInHasKey(key=given.key)


def _expect_scope(roles: Sequence[Role], awards: Sequence[str]) -> None:
    if not roles:
        raise KeyNeedsRoles
    if not awards and not _UNSCOPED.issuperset(roles):
        raise KeyNeedsAwards
    if awards and _UNSCOPED.issuperset(roles):
        raise KeyTakesNoAwards
