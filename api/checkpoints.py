"""The sealed log, for those who would rather check than trust: checkpoints, proofs, tiles, and the keys that sign.

Hashes, checkpoints and keys say nothing of any award, and are told to every key; an award's head to those who may know of the
award, and entries, as they are stored, to administrators and auditors.
"""

from functools import partial
from typing import Annotated, Any, Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api import signing
from api.awards import ADMINISTRATOR
from api.commands import Recorded, Route, TheAsk, command, sent
from api.names import AwardName
from api.problems import NotNow, RequestIsWrong
from api.readings import EVERYBODY, LIMIT, OVERSEERS, After, Limit, Page, cursor, offset, question
from api.settings import NotSetUp
from domain.award import NoSuchAward
from domain.log import LOG, KeyDoesNotSign, KeyIntroduced, KeyIsKnown, PublicKey, Signature, introduce, introduction
from domain.reference import canonical
from domain.refusal import Absent, Fault, Invalid, Refused
from ledger import award_heads, tiles, tlog_proofs
from ledger.checkpoints import Checkpoints, KeyIsAnother, Signed, Signing
from ledger.ledger import Ledger
from ledger.notes import Signer
from ledger.tree import WIDTH, NotInTree

router = APIRouter(prefix="/v1/log", tags=["the log"])
MOST: Final = 10**15
_FOR_EVER: Final = {"Cache-Control": "private, max-age=31536000, immutable"}


class NoCheckpoint(Absent):
    """There is no such checkpoint: none of that size was signed, or none at all yet."""


class NotInLog(Absent):
    """The log has not so many entries, or no signed checkpoint reaches that far yet."""


class NoSuchTile(Absent):
    """There is no such tile: it has another name, or the log does not reach that far."""


class LogIsNotSigned(NotNow):
    """The log is not signed at the moment; whoever runs the service sees in its readiness why."""


class KeyDidNotSign(Invalid):
    """A new key signs its own introduction, and the key that it replaces does so too, where it is not lost."""


# What everything here is asked of -------------------------------------------------------------------------------------


class Sealed:
    """The log as it is asked of here."""

    def __init__(self, request: Request) -> None:
        state = request.app.state
        self.ledger: Ledger = state.ledger
        self.checkpoints: Checkpoints = state.checkpoints
        self.most: int = state.settings.page_size_most
        self._settings = state.settings

    def at(self, size: int | None) -> Signed:
        """The checkpoint of a size, or the last one."""
        found = self.checkpoints.last(size)
        if found is None or (size is not None and found.size != size):
            raise NoCheckpoint(**({} if size is None else {"size": size}))
        return found

    def reaching(self, position: int, size: int | None) -> Signed:
        """The checkpoint of a size, or the last one, if an entry is under it."""
        found = self.at(size)
        if position > found.size:
            raise NotInLog(position=position, size=found.size)
        return found

    def root(self, size: int) -> bytes:
        """The root over so many entries."""
        try:
            return self.checkpoints.tree.root(size)
        except NotInTree:
            raise NotInLog(size=size) from None

    def signer(self) -> Signer:
        """What signs at the moment."""
        try:
            return signing.signer(self._settings, self.checkpoints)
        except NotSetUp:
            raise LogIsNotSigned from None


TheLog = Annotated[Sealed, Depends(Sealed)]
Size = Annotated[int | None, Query(ge=1, le=MOST, description="Of the checkpoint of so many entries; nothing: of the last one")]


def told_as(roles: Any, kind: str, description: str, *refusals: type[Refused]) -> Route:
    """A route whose answer is a text or bytes, and no JSON."""
    route = question(roles, *refusals)
    shape = {"type": "string"} if kind.startswith("text/") else {"type": "string", "format": "binary"}
    route["responses"][200] = {"description": description, "content": {kind: {"schema": shape}}}
    return route


def _text(note: str) -> Response:
    return Response(note, media_type="text/plain; charset=utf-8")


# Checkpoints ----------------------------------------------------------------------------------------------------------


class ToldCheckpoint(BaseModel):
    """A signed checkpoint: how far the log went, and the root of its tree (RFC 6962)."""

    size: int
    origin: str
    root: str = Field(description="In hexadecimal")
    key: str = Field(description="The key that signed it, as a verifier key (C2SP signed-note)")
    made_at: str
    note: str = Field(description="As it was signed (C2SP tlog-checkpoint), with the cosignatures of witnesses by now")


@router.get("/checkpoint", response_class=Response, **told_as(EVERYBODY, "text/plain", "A signed checkpoint", NoCheckpoint))
def last_checkpoint(log: TheLog, size: Size = None) -> Response:
    """The last checkpoint, as a signed note (C2SP tlog-checkpoint) with the cosignatures that it has."""
    return _text(log.checkpoints.note(log.at(size)))


@router.get("/checkpoints", **question(EVERYBODY))
def page(log: TheLog, after: After = None, limit: Limit = LIMIT) -> Page[ToldCheckpoint]:
    """Every checkpoint that was ever signed, in order of size."""
    most = min(limit, log.most)
    found = log.checkpoints.page(offset(after, MOST), most + 1)
    rows = tuple(
        ToldCheckpoint(
            size=each.size,
            origin=each.origin,
            root=each.root.hex(),
            key=each.verifier.vkey,
            made_at=each.made_at,
            note=log.checkpoints.note(each),
        )
        for each in found[:most]
    )
    return Page(rows=rows, next=cursor(str(rows[-1].size)) if len(found) > most else None)


# Proofs ---------------------------------------------------------------------------------------------------------------


class Inclusion(BaseModel):
    """That an entry is in the log: with its leaf, the hashes lead to the root (RFC 6962, 2.1.1). All in hexadecimal."""

    position: int
    index: int = Field(description="The leaf's, counted from 0: the position less 1")
    size: int
    leaf: str
    root: str
    proof: tuple[str, ...]


class Consistency(BaseModel):
    """That the log with `second` entries goes on from what it was with `first` (RFC 6962, 2.1.2). Hashes in hexadecimal."""

    first: int
    second: int
    first_root: str
    second_root: str
    proof: tuple[str, ...]


Position = Annotated[int, Query(ge=1, le=MOST, description="The position of an entry")]


@router.get("/inclusion", **question(EVERYBODY, NotInLog))
def inclusion(
    log: TheLog,
    position: Position,
    size: Annotated[int | None, Query(ge=1, le=MOST, description="Among so many entries; nothing: all")] = None,
) -> Inclusion:
    """The proof that an entry is among the first entries of the log."""
    among = log.ledger.head().size if size is None else size
    root = log.root(among)
    if position > among:
        raise NotInLog(position=position, size=among)
    proof = log.checkpoints.tree.inclusion(position - 1, among, root)
    leaf = log.checkpoints.tree.leaf(position - 1)
    return Inclusion(
        position=position, index=position - 1, size=among, leaf=leaf.hex(), root=root.hex(), proof=tuple(map(bytes.hex, proof))
    )


@router.get("/consistency", **question(EVERYBODY, NotInLog))
def consistency(
    log: TheLog,
    first: Annotated[int, Query(ge=1, le=MOST, description="A size of the log")],
    second: Annotated[int, Query(ge=1, le=MOST, description="A later one")],
) -> Consistency:
    """The proof that a later state of the log goes on from an earlier one."""
    if first > second:
        raise RequestIsWrong([Fault("second", "must not be smaller than `first`")])
    first_root, second_root = log.root(first), log.root(second)
    proof = log.checkpoints.tree.consistency(first, second, first_root, second_root)
    return Consistency(
        first=first,
        second=second,
        first_root=first_root.hex(),
        second_root=second_root.hex(),
        proof=tuple(map(bytes.hex, proof)),
    )


@router.get("/proof", response_class=Response, **told_as(EVERYBODY, "text/plain", "A proof for others", NoCheckpoint, NotInLog))
def proof(log: TheLog, position: Position, size: Size = None) -> Response:
    """The proof that an entry is under a signed checkpoint, for whoever checks it without this service (C2SP tlog-proof)."""
    signed = log.reaching(position, size)
    hashes = log.checkpoints.tree.inclusion(position - 1, signed.size, log.checkpoints.root_of(signed))
    return _text(tlog_proofs.written(position - 1, hashes, log.checkpoints.note(signed)))


@router.get(
    "/awards/{award}/head",
    response_class=Response,
    **told_as(EVERYBODY, "text/plain", "A signed award head", NoCheckpoint, NoSuchAward, LogIsNotSigned),
)
def award_head(award: AwardName, log: TheLog, size: Size = None) -> Response:
    """How many entries an award has under a signed checkpoint, and the last one's leaf, as a signed note of six lines."""
    signed = log.at(size)
    try:
        head = award_heads.sign(log.ledger, log.checkpoints, canonical(award), signed, log.signer())
    except KeyIsAnother:
        raise LogIsNotSigned from None
    if head is None:
        raise NoSuchAward(name=canonical(award))
    return _text(head)


# Tiles ----------------------------------------------------------------------------------------------------------------

TilePath = Annotated[str, Path(max_length=40, description="Such as `x001/x234/067`, or `000.p/112`", examples=["000.p/1"])]
_BINARY: Final = "application/octet-stream"


@router.get(
    "/tile/entries/{path:path}",
    response_class=Response,
    **told_as(OVERSEERS, _BINARY, "Entries, each after its length", NoSuchTile),
)
def entries(path: TilePath, log: TheLog) -> Response:
    """The entries of a tile, exactly as they are stored, each after its length in two bytes (C2SP tlog-tiles)."""
    number, width = _tile(path)
    if log.ledger.head().size < number * WIDTH + width:
        raise NoSuchTile
    return Response(tiles.bundle(log.ledger.log.reads, number, width), headers=_FOR_EVER, media_type=_BINARY)


@router.get(
    "/tile/{level}/{path:path}", response_class=Response, **told_as(EVERYBODY, _BINARY, "Hashes, of 32 bytes", NoSuchTile)
)
def tile(level: Annotated[int, Path(ge=0, lt=tiles.LEVELS)], path: TilePath, log: TheLog) -> Response:
    """At most 256 hashes of a level of the tree (C2SP tlog-tiles); those of level 0 are the leaves of entries."""
    number, width = _tile(path)
    try:
        found = log.checkpoints.tree.tile(level, number, width)
    except NotInTree:
        raise NoSuchTile from None
    return Response(found, headers=_FOR_EVER, media_type=_BINARY)


def _tile(path: str) -> tuple[int, int]:
    found = tiles.tile_at(path)
    if found is None:
        raise NoSuchTile
    return found


# Keys -----------------------------------------------------------------------------------------------------------------


class ToldSigning(BaseModel):
    """A key that signed the log under an origin, or will."""

    key: str = Field(description="As a verifier key (C2SP signed-note): name, id and public half")
    origin: str
    public_key: str = Field(description="In hexadecimal")
    first: int | None = Field(description="The size of the first checkpoint that it signed; nothing: it has not signed yet")
    last: int | None = Field(description="The size of the last one")
    introduced_at: int | None = Field(description="The position of the entry that introduced it; nothing: it is the log's first")

    @classmethod
    def of(cls, signing: Signing) -> Self:
        """A key as it is told."""
        verifier = signing.verifier
        return cls(
            key=verifier.vkey,
            origin=verifier.name,
            public_key=verifier.public.hex(),
            first=signing.first,
            last=signing.last,
            introduced_at=signing.position,
        )


class NewSigningKey(BaseModel):
    """A key for the log. Both signatures are over the introduction, which names the new key and the old one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    public_key: PublicKey
    replaces: Annotated[PublicKey, Field(description="The key that signs the log")]
    signature: Signature
    vouched: Annotated[Signature | None, Field(description="The old key's; nothing: nobody has that any more")] = None


@router.get("/keys", **question(EVERYBODY))
def keys(log: TheLog) -> tuple[ToldSigning, ...]:
    """Every key that signed this log, and from which size to which; the last one signs from here on."""
    return tuple(map(ToldSigning.of, log.checkpoints.signings()))


@router.post("/keys", **command(ADMINISTRATOR, KeyIsKnown, KeyDoesNotSign, KeyDidNotSign, NoCheckpoint, body=NewSigningKey))
async def introduce_key(new: Annotated[NewSigningKey, sent(NewSigningKey)], ask: TheAsk, log: TheLog) -> Recorded:
    """Introduce the key that signs the log from here on. The old one signs no more, so that both are needed at hand.

    `lcledger log rotate-key` does this, and signs the first checkpoint by both.
    """
    event = KeyIntroduced(**new.model_dump())
    _expect_signed(event)
    first = await run_in_threadpool(log.checkpoints.page, 0, 1)
    if not first:
        raise NoCheckpoint
    return await ask.record(partial(introduce, introduced=event, first=first[0].key.hex()), LOG)


def _expect_signed(event: KeyIntroduced) -> None:
    """Refuse a key that did not sign its introduction, or whose predecessor is said to have signed and has not."""
    text = introduction(event.public_key, event.replaces).encode()
    try:
        for key, signature in ((event.public_key, event.signature), (event.replaces, event.vouched)):
            if signature is not None:
                Ed25519PublicKey.from_public_bytes(bytes.fromhex(key)).verify(bytes.fromhex(signature), text)
    except (InvalidSignature, ValueError):
        raise KeyDidNotSign from None
