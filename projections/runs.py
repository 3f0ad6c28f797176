"""Payment runs: a row for each, with what the bank has settled and returned of it."""

from dataclasses import dataclass
from datetime import date
from typing import ClassVar

from domain.aggregate import PersonId
from domain.money import NOTHING, Money
from domain.reference import canonical
from domain.run import (
    RunCancelled,
    RunDrawnUp,
    RunEvent,
    RunReleased,
    RunReturnRecorded,
    RunSettlementRecorded,
    RunStage,
)
from projections.models import Listing
from projections.projection import Happened, Page, Projection, Row, moved, names_of, traced


@dataclass(frozen=True, kw_only=True)
class RunRow(Row):
    """Payments of one payer, released together. `settled` and `returned` count payments.

    `count` and `total` are of what was drawn up, and from the release on of what left.
    """

    run: str
    payer: str
    payer_key: str
    account: str
    count: int
    total: Money
    stage: RunStage
    drawn_up_by: PersonId
    drawn_up_on: date
    released_by: PersonId | None = None
    released_on: date | None = None
    file_sha256: str | None = None
    settled: int = 0
    settled_total: Money = NOTHING
    returned: int = 0
    returned_total: Money = NOTHING


class RunsProjection(Projection[RunRow]):
    """Folds the entries of runs' streams."""

    name: ClassVar[str] = "runs"
    version: ClassVar[int] = 1
    row = RunRow
    folds = names_of(RunEvent)

    def become(self, before: RunRow | None, happened: Happened) -> RunRow:
        """The run after an entry."""
        event: RunEvent = happened.event
        if isinstance(event, RunDrawnUp):
            return RunRow(
                **traced(happened),
                run=event.run,
                payer=event.payer,
                payer_key=canonical(event.payer),
                account=event.account,
                count=event.count,
                total=event.total,
                stage=RunStage.DRAWN_UP,
                drawn_up_by=happened.person,
                drawn_up_on=event.on,
            )
        if before is None:
            raise LookupError(f"{event.type} before run.drawn-up")
        match event:
            case RunReleased():
                return moved(
                    before,
                    happened,
                    stage=RunStage.RELEASED,
                    released_by=happened.person,
                    released_on=event.on,
                    file_sha256=event.file_sha256,
                    count=event.count,
                    total=event.total,
                )
            case RunCancelled():
                return moved(before, happened, stage=RunStage.CANCELLED)
            case RunSettlementRecorded(count=count, amount=amount):
                settled = before.settled + count
                stage = _stage(before, settled + before.returned)
                return moved(before, happened, stage=stage, settled=settled, settled_total=before.settled_total + amount)
            case RunReturnRecorded(amount=amount):
                returned = before.returned + 1
                stage = _stage(before, before.settled + returned)
                return moved(before, happened, stage=stage, returned=returned, returned_total=before.returned_total + amount)


def _stage(before: RunRow, done: int) -> RunStage:
    return RunStage.SETTLED if done == before.count else before.stage


class Runs(Listing[RunRow]):
    """What can be asked of payment runs."""

    changing = frozenset({"stage"})

    def page(
        self,
        payer: str | None = None,
        stage: RunStage | None = None,
        after: str | None = None,
        limit: int = 100,
        *,
        as_of: int | None = None,
        effective_on: date | None = None,
    ) -> Page[RunRow]:
        """Runs in the order in which they were drawn up: of a payer, at a stage."""
        return self._page(
            {"payer_key": payer and canonical(payer), "stage": stage and str(stage)}, after, limit, as_of, effective_on
        )
