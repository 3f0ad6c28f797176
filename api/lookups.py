"""Small questions that nearly every request asks of the log on its way in: who asks, how far it goes."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from starlette.concurrency import run_in_threadpool

from ledger.ledger import Ledger

P = ParamSpec("P")
T = TypeVar("T")


async def look_up(ledger: Ledger, question: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The answer to a question of a few rows: at once where the log is in this process, in a thread where a server has it.

    A thread waits longer for its turn among the others than SQLite takes to answer; a server may take its time.
    """
    if ledger.log.statements.sqlite:
        return question(*args, **kwargs)
    return await run_in_threadpool(question, *args, **kwargs)
