"""Accruals, statements by financial year, and the fund's position, as of any moment on both axes (M12, M11)."""

from collections.abc import Iterator, Sequence

from fastapi import APIRouter

from api.names import AwardName
from api.readings import EVERYBODY, OVERSEERS, Reading, TheListing, question
from domain.award import NoSuchAward
from projections.accruals import Accrual, FundAccrual, accrual, fund_accrual
from projections.balances import Known
from projections.statements import FundPosition, Statement, fund_position, statement

router = APIRouter(prefix="/v1", tags=["statements"])
_AT_ONCE = 1_000


@router.get("/awards/{award}/accrual", **question(EVERYBODY, NoSuchAward))
def show_accrual(award: AwardName, asked: TheListing) -> Accrual:
    """What is owed under an award on a day and not paid, and what is expected of the undecided.

    With `effective_on=2022-03-31`: what was achieved by then, and not paid by then, as it is known now, or as of `as_of`.
    """
    return accrual(asked.views.balances.known(award, asked.as_of, asked.effective_on))


@router.get("/awards/{award}/statement", **question(EVERYBODY, NoSuchAward))
def show_statement(award: AwardName, asked: TheListing) -> Statement:
    """An award's financial years: what was owed at the beginning of each, earned and paid in it, and owed at its end."""
    known = asked.views.balances.known(award, asked.as_of, asked.effective_on)
    months = asked.views.balances.monthly([award], asked.as_of, asked.effective_on)
    return statement(known.name, months, known.position, known.day)


@router.get("/fund/accrual", **question(OVERSEERS))
def show_fund_accrual(asked: TheListing) -> FundAccrual:
    """The accrual of all awards, together and one by one."""
    return fund_accrual(_every(asked), asked.position, asked.day)


@router.get("/fund/statement", **question(OVERSEERS))
def show_fund_statement(asked: TheListing) -> Statement:
    """The financial years of all awards together."""
    months = asked.views.balances.monthly(tuple(_names(asked)), asked.as_of, asked.effective_on)
    return statement(None, months, asked.position, asked.day)


@router.get("/fund/position", **question(OVERSEERS))
def show_fund_position(asked: TheListing) -> FundPosition:
    """What is committed, assessed, paid and released over all awards."""
    return fund_position(_every(asked), asked.position, asked.day)


def _every(asked: Reading) -> Sequence[Known]:
    return asked.views.balances.all_known(_names(asked), asked.as_of, asked.effective_on)


def _names(asked: Reading) -> Iterator[str]:
    """The awards that there are now: of those that were not there at the moment that is asked for, there are no figures."""
    after: str | None = None
    while True:
        page = asked.views.awards.page(after, _AT_ONCE, asked.caller.only)
        yield from (row.award for row in page.rows)
        after = page.after
        if after is None:
            return
