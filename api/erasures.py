"""Erasures: what may have to go goes from the vault, and the log says that it went (L5)."""

from collections.abc import Iterator
from functools import partial
from typing import Annotated, Final

from fastapi import APIRouter, Path, Query
from pydantic import BaseModel, Field

from api.awards import ADMINISTRATOR
from api.commands import Recorded, TheAsk, address, command, sent
from api.names import AwardName
from api.readings import LIMIT, OVERSEERS, Limit, TheHistory, TheReading, question
from domain import erasure as erasures
from domain.aggregate import Commitment
from domain.award import NoSuchAward, award_stream
from domain.claim import NoSuchClaim, claim_stream
from domain.erasure import Erased, Erasing, ErasureRecorded, Erasures, NoSuchErasure, erasures_stream, texts_of
from domain.events import BY_NAME
from domain.participant import Ground
from domain.reference import canonical
from ledger.entry import Entry, decode
from ledger.ledger import Ledger

router = APIRouter(prefix="/v1/awards/{award}", tags=["erasures"])

_LOOKED_AT: Final = 500
"""Entries that are read at once."""
_MOST_LOOKED_AT: Final = 20_000
"""Entries that one answer looks at for texts; it goes on after them."""

ErasureNumber = Annotated[int, Path(alias="erasure", ge=1, le=999_999_999)]


class ToldErasure(BaseModel):
    """One erasure: who let go how much, and why."""

    erasure: int
    reason: Ground
    by: str
    participants: int = Field(description="How many participants' references went")
    texts: int = Field(description="How many texts went")

    @classmethod
    def of(cls, erased: Erased) -> "ToldErasure":
        """An erasure as it is listed."""
        texts, participants = len(erased.texts), len(erased.participants)
        return cls(erasure=erased.number, reason=erased.reason, by=erased.by, participants=participants, texts=texts)


class WholeErasure(BaseModel):
    """One erasure, with the names of what went."""

    erasure: int
    reason: Ground
    by: str
    tokens: tuple[str, ...] = Field(description="What the log knows the participants by")
    texts: tuple[str, ...] = Field(description="The commitments of the texts, as they stand in the entries that said them")


class ToldText(BaseModel):
    """A text that the vault keeps, or kept, and the entry that says it."""

    position: int
    stream: str
    version: int
    type: str
    where: str = Field(description="Where it stands in the entry", examples=["lines.3.note"])
    commitment: str = Field(description="What names it: give it among `texts` to have it erased")
    text: str | None = Field(description="Nothing: it was erased")


class ToldTexts(BaseModel):
    """Some of an award's texts, in the order of their entries."""

    rows: tuple[ToldText, ...]
    next: int | None = Field(description="Give it as `after` to go on; nothing: there are no more")


@router.post(
    "/erasures",
    **command(
        ADMINISTRATOR,
        NoSuchAward,
        NoSuchClaim,
        erasures.NothingToErase,
        erasures.CannotBeErased,
        erasures.ErasedAlready,
        body=Erasing,
    ),
)
async def erase(award: AwardName, erasing: Annotated[Erasing, sent(Erasing)], ask: TheAsk) -> Recorded:
    """Erase participants' references and texts from the vault, all that is named or nothing. It cannot be undone.

    Amounts, decisions and proofs stay as they are; an erased participant goes on counting, and is recognised if named again.
    """
    stream = erasures_stream(award)
    done = await ask.done(partial(erasures.erase, award=award, erasing=erasing), stream)
    made = next((each.event.erasure for each in done.entries if isinstance(each.event, ErasureRecorded)), None)
    return ask.tell(done, stream, new=address("awards", award, "erasures", made) if made else None)


@router.get("/erasures", **question(OVERSEERS, NoSuchAward))
def page(award: AwardName, asked: TheReading) -> tuple[ToldErasure, ...]:
    """What was erased under an award, in order: who, why and how much."""
    asked.look(award_stream(award))
    try:
        found, _ = asked.look(erasures_stream(award))
    except NoSuchErasure:
        found = Erasures()
    return tuple(ToldErasure.of(each) for each in found.recorded)


@router.get("/erasures/{erasure}", **question(OVERSEERS, NoSuchAward, NoSuchErasure))
def show(award: AwardName, erasure: ErasureNumber, asked: TheReading) -> WholeErasure:
    """One erasure, with the names of what went."""
    asked.look(award_stream(award))
    found = asked.look(erasures_stream(award))[0].numbered(erasure)
    return WholeErasure(erasure=found.number, reason=found.reason, by=found.by, tokens=found.participants, texts=found.texts)


@router.get("/texts", **question(OVERSEERS, NoSuchAward, NoSuchClaim))
def texts(
    award: AwardName,
    asked: TheHistory,
    claim: Annotated[str | None, Query(max_length=64, description="Only those of this claim's own entries")] = None,
    after: Annotated[int, Query(ge=0, le=10**15, description="The position after which to begin")] = 0,
    limit: Limit = LIMIT,
) -> ToldTexts:
    """What was ever written under an award and may have to go, each with the commitment that names it.

    A page ends with a whole entry, so it may have more rows than asked for.
    """
    ledger = asked.ledger
    ledger.load(award_stream(award), asked.as_of)
    if claim is not None:
        ledger.load(claim_stream(award, claim), asked.as_of)
    stream = claim_stream(award, claim).name if claim is not None else None
    found: list[tuple[Entry, str, Commitment]] = []
    most, last = asked.limited(limit), None
    for looked_at, entry in enumerate(_entries(ledger, canonical(award), stream, after, asked.position)):
        if len(found) >= most or looked_at >= _MOST_LOOKED_AT:
            break
        last = entry.position
        found += ((entry, where, text) for where, text in texts_of(entry.event))
    else:
        last = None
    words = ledger.reveal({text for _, _, text in found})
    return ToldTexts(rows=tuple(_told(entry, where, text, words.get(text)) for entry, where, text in found), next=last)


def _entries(ledger: Ledger, award: str, stream: str | None, after: int, upto: int) -> Iterator[Entry]:
    """An award's entries in order, or those of one stream of it."""
    while rows := ledger.log.reads.rows(after, _LOOKED_AT, award=None if stream else award, stream=stream, upto=upto):
        yield from (decode(row, BY_NAME) for row in rows)
        after = rows[-1].position


def _told(entry: Entry, where: str, commitment: Commitment, text: str | None) -> ToldText:
    return ToldText(
        position=entry.position,
        stream=entry.stream,
        version=entry.version,
        type=entry.type,
        where=where,
        commitment=commitment,
        text=text,
    )
