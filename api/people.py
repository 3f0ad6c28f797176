"""People: who acts, each for one party. Their names are in the vault (L5)."""

from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field
from uuid_utils.compat import uuid7

from api.awards import ADMINISTRATOR
from api.commands import Recorded, TheAsk, address, command, sent
from api.names import PersonName
from api.readings import LIMIT, OVERSEERS, After, Limit, Page, TheListing, TheReading, paged, question
from domain import person as people
from domain.aggregate import PersonId
from domain.party import NoSuchParty
from domain.person import NoSuchPerson, PersonExists, PersonRegistered, person_stream
from domain.reference import OrganisationId
from domain.terms import Title

router = APIRouter(prefix="/v1/people", tags=["people"])


class NewPerson(BaseModel):
    """Somebody who will act for a party. The ledger gives the id, which says nothing about the person."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    party: OrganisationId
    name: Title = Field(description="Kept in the vault, never in the log")


class PersonRecorded(Recorded):
    """What became of a registration, and the person's id."""

    person: str


class ToldPerson(BaseModel):
    """Somebody who acts for a party."""

    person: str
    party: str
    name: str | None = Field(description="Nothing, if it was erased")


@router.post("", **command(ADMINISTRATOR, NoSuchParty, PersonExists, body=NewPerson, on_one=False))
async def register(new: Annotated[NewPerson, sent(NewPerson)], ask: TheAsk) -> PersonRecorded:
    """Register somebody who acts for a party."""
    done = await ask.done(partial(people.register, person=PersonId(uuid7().hex), party=new.party, name=new.name))
    person = next(each.event.person for each in done.entries if isinstance(each.event, PersonRegistered))
    told = ask.tell(done, person_stream(person), new=address("people", person))
    return PersonRecorded(**dict(told), person=person)


@router.get("", **question(OVERSEERS))
def page(asked: TheListing, after: After = None, limit: Limit = LIMIT) -> Page[ToldPerson]:
    """People, in order of registration."""

    def rows(start: str | None) -> Any:
        return asked.views.people.page(start, asked.limited(limit), **asked.axes)

    found = paged(rows, after, lambda row: row)
    names = asked.ledger.reveal([row.name for row in found.rows])
    told = tuple(ToldPerson(person=row.person, party=row.party, name=names.get(row.name)) for row in found.rows)
    return Page(rows=told, next=found.next)


@router.get("/{person}", **question(OVERSEERS, NoSuchPerson, one=True))
def show(person: PersonName, asked: TheReading) -> ToldPerson:
    """Somebody who acts."""
    found = asked.load(person_stream(person))
    name = asked.ledger.reveal([found.name]).get(found.name)
    return ToldPerson(person=found.person, party=found.party, name=name)
