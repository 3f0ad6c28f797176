"""The catalogue of events: what every entry can say, as JSON schemas, for programs that read the log."""

from functools import cache
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from api.readings import EVERYBODY, question
from domain.events import BY_NAME

router = APIRouter(prefix="/v1", tags=["the log"])


class ToldEvent(BaseModel):
    """A kind of event, by its permanent name."""

    type: str
    meaning: str
    json_schema: dict[str, Any]


class Catalogue(BaseModel):
    """Every kind of event that the log can hold."""

    events: tuple[ToldEvent, ...]


@router.get("/events", **question(EVERYBODY))
async def catalogue() -> Catalogue:
    """What the log can hold."""
    return _catalogue()


@cache
def _catalogue() -> Catalogue:
    return Catalogue(
        events=tuple(
            ToldEvent(type=name, meaning=" ".join((kind.__doc__ or "").split()), json_schema=kind.model_json_schema())
            for name, kind in sorted(BY_NAME.items())
        )
    )
