"""Parties: the organisations that take part in awards."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from api.awards import ADMINISTRATOR
from api.commands import Recorded, TheAsk, address, command, sent
from api.names import PartyName
from api.readings import LIMIT, OVERSEERS, After, Limit, Page, TheListing, TheReading, paged, question
from domain import party as parties
from domain.party import NoSuchParty, PartyExists, party_stream
from domain.reference import OrganisationId
from domain.terms import Title

router = APIRouter(prefix="/v1/parties", tags=["parties"])


class NewParty(BaseModel):
    """An organisation, by its org-id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    party: OrganisationId
    name: Title


class ToldParty(BaseModel):
    """An organisation."""

    party: str
    name: str


@router.post("", **command(ADMINISTRATOR, PartyExists, body=NewParty, on_one=False))
async def register(new: Annotated[NewParty, sent(NewParty)], ask: TheAsk) -> Recorded:
    """Register an organisation."""
    done = await ask.done(partial(parties.register, party=new.party, name=new.name))
    return ask.tell(done, party_stream(new.party), new=address("parties", new.party))


@router.get("", **question(OVERSEERS))
def page(asked: TheListing, after: After = None, limit: Limit = LIMIT) -> Page[ToldParty]:
    """Organisations, in order of registration."""
    return paged(
        lambda start: asked.views.parties.page(start, asked.limited(limit), **asked.axes),
        after,
        lambda row: ToldParty(party=row.party, name=row.name),
    )


@router.get("/{party}", **question(OVERSEERS, NoSuchParty, one=True))
def show(party: PartyName, asked: TheReading) -> ToldParty:
    """An organisation."""
    found = asked.load(party_stream(party))
    return ToldParty(party=found.party, name=found.name)
