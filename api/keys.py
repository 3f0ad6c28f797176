"""Keys: what people show in order to be recognised. The secret is shown once, to whoever issues the key."""

from functools import partial
from typing import Annotated, Any, Literal, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field

from api.awards import ADMINISTRATOR
from api.commands import Recorded, TheAsk, address, command, sent
from api.identity import mark, mint
from api.names import KeyName
from api.readings import LIMIT, OVERSEERS, After, Limit, Page, TheListing, TheReading, paged, question
from api.tokens import SUBJECT, Issuer
from domain import key as keys
from domain.aggregate import PersonId
from domain.key import Key, KeyIssued, NoSuchKey, Opener, Role, key_stream
from domain.person import NoSuchPerson
from domain.reference import Reference
from domain.refusal import Invalid

router = APIRouter(prefix="/v1/keys", tags=["keys"])


class NewKey(BaseModel):
    """A key for a person: in which roles, on which awards (`*` for all)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    person: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
    roles: Annotated[tuple[Role, ...], Field(max_length=len(Role))]
    awards: Annotated[tuple[Reference | Literal["*"], ...], Field(max_length=1_000)] = ()
    subject: Annotated[
        str | None,
        Field(pattern=SUBJECT, description="Whom the identity provider means by it (`sub`): signing in opens the key, no secret"),
    ] = None


class KeyRecorded(Recorded):
    """What became of a new key, and the key itself, which is never shown again: not by a repeat of the request either."""

    key: str
    needs_agreement: bool
    secret: str | None = Field(
        description="What the person shows, `lcl_<key>_<secret>`; not in a repeat, a dry run, or for a sign-in"
    )


class SignInsAreOff(Invalid):
    """This service takes no sign-ins: no identity provider is set (LCLEDGER_OIDC_ISSUER)."""


class ToldKey(BaseModel):
    """A key, without what opens with it."""

    key: str
    person: str
    roles: tuple[Role, ...]
    awards: tuple[str, ...]
    opened_by: Opener
    issued_by: str
    needs_agreement: bool
    agreed_by: str | None
    revoked: bool
    usable: bool

    @classmethod
    def of(cls, key: Key) -> Self:
        """A key as it is told."""
        return cls(
            key=key.key,
            person=key.person,
            roles=tuple(sorted(key.roles)),
            awards=tuple(sorted(key.awards)),
            opened_by=key.opened_by,
            issued_by=key.issued_by,
            needs_agreement=key.needs_agreement,
            agreed_by=key.agreed_by,
            revoked=key.revoked,
            usable=key.usable,
        )


@router.post(
    "",
    **command(
        ADMINISTRATOR,
        NoSuchPerson,
        keys.KeyNeedsRoles,
        keys.KeyNeedsAwards,
        keys.KeyTakesNoAwards,
        keys.KeyExists,
        keys.SignInHasKey,
        SignInsAreOff,
        body=NewKey,
        on_one=False,
    ),
)
async def issue(new: Annotated[NewKey, sent(NewKey)], ask: TheAsk, request: Request) -> KeyRecorded:
    """Give a person a key. One that can administer, approve or release opens nothing until a second person agrees (L1).

    With a `subject`, the key is opened by signing in with the identity provider; the ledger does not keep the subject.
    """
    minted = mint()
    sign_in = None if new.subject is None else _mark(request, new.subject)
    decide = partial(
        keys.issue,
        key=minted.key,
        person=PersonId(new.person),
        secret_hash=sign_in or minted.hash,
        roles=new.roles,
        awards=new.awards,
        by=ask.by,
        sign_in=sign_in is not None,
    )
    done = await ask.done(decide)
    issued = next(each.event for each in done.entries if isinstance(each.event, KeyIssued))
    told = ask.tell(done, key_stream(issued.key), new=address("keys", issued.key))
    shown = minted.shown if issued.key == minted.key and not ask.dry_run and sign_in is None else None
    ask.response.headers["Cache-Control"] = "no-store"
    return KeyRecorded(**dict(told), key=issued.key, needs_agreement=issued.needs_agreement, secret=shown)


def _mark(request: Request, subject: str) -> str:
    issuer: Issuer | None = request.app.state.issuer
    if issuer is None:
        raise SignInsAreOff
    return mark(request.app.state.ledger, issuer.name, subject)


@router.get("", **question(OVERSEERS))
def page(asked: TheListing, after: After = None, limit: Limit = LIMIT) -> Page[ToldKey]:
    """Keys, in the order in which they were issued."""

    def rows(start: str | None) -> Any:
        return asked.views.keys.page(start, asked.limited(limit), **asked.axes)

    return paged(rows, after, lambda row: ToldKey.model_validate(row, from_attributes=True))


@router.get("/{key}", **question(OVERSEERS, NoSuchKey, one=True))
def show(key: KeyName, asked: TheReading) -> ToldKey:
    """A key."""
    return ToldKey.of(asked.load(key_stream(key)))


@router.post(
    "/{key}/agreement",
    **command(
        ADMINISTRATOR, NoSuchKey, keys.KeyIsRevoked, keys.KeyNeedsNoAgreement, keys.IssuerMayNotAgree, keys.HolderMayNotAgree
    ),
)
async def agree(key: KeyName, ask: TheAsk) -> Recorded:
    """Agree a key, as somebody who neither issued nor holds it (L1)."""
    return await ask.change(key_stream(key), lambda issued: issued.agree(ask.by))


@router.delete("/{key}", **command(ADMINISTRATOR, NoSuchKey, keys.KeyIsRevoked))
async def revoke(key: KeyName, ask: TheAsk) -> Recorded:
    """Let a key open nothing any more."""
    return await ask.change(key_stream(key), lambda issued: issued.revoke())
