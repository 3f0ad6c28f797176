"""Who the service takes the caller for."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from api.identity import caller_of
from api.readings import EVERYBODY, question
from domain.key import Opener, Role

router = APIRouter(prefix="/v1", tags=["keys"])


class Me(BaseModel):
    """The person who asks, and what the key opens."""

    person: str
    party: str
    key: str
    opened_by: Opener = Field(description="What was shown: the secret of the key, or a sign-in with the identity provider")
    roles: tuple[Role, ...]
    awards: tuple[str, ...]


@router.get("/me", **question(EVERYBODY))
async def show(request: Request) -> Me:
    """The person, party, roles and awards of the key that was shown."""
    caller = caller_of(request)
    key = caller.key
    return Me(
        person=caller.person,
        party=caller.party,
        key=key.key,
        opened_by=key.opened_by,
        roles=tuple(sorted(key.roles)),
        awards=tuple(sorted(key.awards)),
    )
