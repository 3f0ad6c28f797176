"""Balances: what M11 names, as sums of postings, as of any moment on both axes."""

from datetime import date
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.concurrency import run_in_threadpool

from api.names import AwardName
from api.problems import RequestIsWrong
from api.readings import EVERYBODY, TheListing, question
from domain.award import NoSuchAward
from domain.refusal import Fault
from projections.balances import Balances

router = APIRouter(tags=["balances"])


@router.get("/awards/{award}/balances", **question(EVERYBODY, NoSuchAward))
async def show(
    award: AwardName,
    asked: TheListing,
    effective_on: Annotated[
        str | None, Query(description="What is in effect on this day or before", examples=["2022-03-31"])
    ] = None,
) -> Balances:
    """An award's balances: claims by outcome and year, payments by payer and year, limits and what remains of them."""
    return await run_in_threadpool(asked.views.balances.of, award, asked.as_of, _day(effective_on))


def _day(given: str | None) -> date | None:
    try:
        day = date.fromisoformat(given) if given is not None else None
    except ValueError:
        day = None
    if given is not None and (day is None or day.isoformat() != given):
        raise RequestIsWrong([Fault("effective_on", "must be a day such as 2022-03-31")])
    return day
