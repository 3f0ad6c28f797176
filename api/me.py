"""Who the service takes the caller for."""

from fastapi import APIRouter
from pydantic import BaseModel

from api.identity import TheCaller
from api.readings import EVERYBODY, question
from domain.key import Role

router = APIRouter(tags=["keys"])


class Me(BaseModel):
    """The person who asks, and what the key opens."""

    person: str
    party: str
    key: str
    roles: tuple[Role, ...]
    awards: tuple[str, ...]


@router.get("/me", **question(EVERYBODY))
async def show(caller: TheCaller) -> Me:
    """The person, party, roles and awards of the key that was shown."""
    key = caller.key
    return Me(
        person=caller.person,
        party=caller.party,
        key=key.key,
        roles=tuple(sorted(key.roles)),
        awards=tuple(sorted(key.awards)),
    )
