"""What each problem means: the addresses that problems have as their `type`. Open to everybody."""

from functools import cache

from fastapi import APIRouter
from pydantic import BaseModel

from api import problems
from api.names import RefusalName
from api.openapi import refused_with
from api.problems import NothingHere

router = APIRouter(prefix="/problems", tags=["problems"])


class Meaning(BaseModel):
    """A way of being refused."""

    type: str
    title: str
    status: int


class Meanings(BaseModel):
    """Every way of being refused."""

    problems: tuple[Meaning, ...]


@router.get("")
async def page() -> Meanings:
    """Every way of being refused."""
    return Meanings(problems=tuple(_meanings().values()))


@router.get("/{refusal}", responses=refused_with(NothingHere))
async def show(refusal: RefusalName) -> Meaning:
    """What a problem means."""
    found = _meanings().get(refusal)
    if found is None:
        raise NothingHere
    return found


@cache
def _meanings() -> dict[str, Meaning]:
    return {
        kind.slug(): Meaning(type=problems.type_of(kind), title=problems.title_of(kind), status=problems.status_of(kind))
        for kind in sorted(problems.known(), key=lambda kind: kind.slug())
        if not kind.__name__.startswith("_")
    }
