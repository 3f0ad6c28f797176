"""Balances: what M11 names, as sums of postings, as of any moment on both axes."""

from fastapi import APIRouter

from api.names import AwardName
from api.readings import EVERYBODY, TheListing, question
from domain.award import NoSuchAward
from projections.balances import Balances

router = APIRouter(prefix="/v1", tags=["balances"])


@router.get("/awards/{award}/balances", **question(EVERYBODY, NoSuchAward))
def show(award: AwardName, asked: TheListing) -> Balances:
    """An award's balances: claims by outcome and year, payments by payer and year, limits and what remains of them.

    Here `effective_on` asks for what was achieved by that day, and for money that had moved by then.
    """
    return asked.views.balances.of(award, asked.as_of, asked.effective_on)
