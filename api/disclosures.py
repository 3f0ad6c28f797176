"""Who read or exported what, for auditors: when, by which key, from where. Asking for it is a reading too, and kept."""

from datetime import datetime
from typing import Annotated, Final, Self

from fastapi import APIRouter, Query, Request
from pydantic import AwareDatetime, BaseModel, Field

from api.names import AskedAward, AskedPerson
from api.readings import LIMIT, OVERSEERS, After, Limit, Page, cursor, offset, question
from api.telling import note
from domain.reference import canonical
from ledger.disclosures import Disclosures, Kept

router = APIRouter(prefix="/v1", tags=["disclosures"])
_MOST: Final = 10**15
"""No disclosure has a higher number."""


class ToldDisclosure(BaseModel):
    """Something that was told to somebody, or refused."""

    number: int
    told_at: datetime
    person: str | None = Field(description="Who asked; nothing, where a command of the machine needs no key")
    key: str | None = Field(description="The key's id")
    origin: str = Field(description="A network address, or the account of the command line")
    route: str
    resource: str | None = Field(description="The route with the names in it; nothing, where it was refused or has none")
    award: str | None = Field(description="The award that it was about; nothing, where it was about several, or none")
    as_of: int | None = Field(description="The position as of which it was told, if that was not the last one")
    effective_on: str | None
    status: int
    rows: int | None = Field(description="How many rows the answer had, where it is a list")
    request: str = Field(description="The request's name in the service's own logs")

    @classmethod
    def of(cls, kept: Kept) -> Self:
        """A disclosure as it is told."""
        said = kept.disclosure._asdict()
        return cls(number=kept.number, rows=said.pop("told_rows"), **said)


@router.get("/disclosures", **question(OVERSEERS))
def page(
    request: Request,
    *,
    award: AskedAward = None,
    person: AskedPerson = None,
    since: Annotated[AwareDatetime | None, Query(description="Told at this moment or later")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Told at this moment or before")] = None,
    after: After = None,
    limit: Limit = LIMIT,
) -> Page[ToldDisclosure]:
    """Who was told what, the newest first: reads, exports, dry runs, and those that were refused to somebody with a key."""
    disclosures: Disclosures = request.app.state.disclosures
    most = min(limit, request.app.state.settings.page_size_most)
    found = disclosures.page(
        before=offset(after, _MOST) or None,
        limit=most,
        award=award and canonical(award),
        person=person,
        since=since,
        until=until,
    )
    note(rows=len(found))
    goes_on = len(found) == most and found[-1].number > 1
    return Page(rows=tuple(map(ToldDisclosure.of, found)), next=cursor(str(found[-1].number)) if goes_on else None)
