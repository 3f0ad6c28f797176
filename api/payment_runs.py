"""Payment runs: payments of one payer, released together by a second person, and what the bank tells of them."""

import base64
from functools import partial
from hashlib import sha256
from typing import Annotated, Any, Self, cast

from fastapi import APIRouter, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from api.awards import ADMINISTRATOR
from api.commands import Recorded, TheAsk, address, command, sent
from api.identity import Caller
from api.names import AskedPayer, RunName
from api.readings import LIMIT, After, Limit, Page, TheListing, TheReading, paged, question
from api.telling import note
from domain import run as runs
from domain.aggregate import Commitment, Facts
from domain.calendar import Day
from domain.claim import Note
from domain.key import Role
from domain.money import Money, PositiveAmount
from domain.payment import DateBeforeLastStep
from domain.reference import OrganisationId, Reference
from domain.refusal import Refused
from domain.run import NoSuchRun, PaymentName, Run, RunStage, run_stream
from domain.settlement import BankReference, BankReferenceIsSpent
from ledger.ledger import Ledger

router = APIRouter(prefix="/v1/payment-runs", tags=["payment runs"])
RELEASER = frozenset({Role.RELEASER})
READERS = frozenset({Role.ADMINISTRATOR, Role.AUDITOR, Role.APPROVER, Role.RELEASER})


class RunHasNoFile(Refused):
    """The run has not been released, so there is no file for the bank."""


class FileIsNotTheReleased(Refused):
    """The file that would be made now is not the one that was released; nothing may be paid by it."""


class _Words(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NamedPayment(_Words):
    """A payment of the run's payer."""

    award: Reference
    assessment: Annotated[int, Field(strict=True, ge=1, le=999_999_999)]


_Payments = Annotated[tuple[NamedPayment, ...], Field(min_length=1, max_length=runs.MOST_PAYMENTS)]


class NewRun(_Words):
    """A payer's approved payments, to be released together from one account."""

    run: Reference
    payer: OrganisationId
    account: Reference = Field(description="What the payer calls the paying account; never its number")
    payments: _Payments


class Cancellation(_Words):
    """Why a run is given up."""

    reason: Note


class BankSettlement(_Words):
    """What the bank moved to one payee, and the payments that this settles."""

    bank_reference: BankReference
    value_date: Day
    amount: PositiveAmount
    payments: _Payments


class ToldRunPayment(BaseModel):
    """A payment of a run."""

    award: str
    assessment: int
    payee: str
    amount: Money
    bank_details: int | None = Field(description="The number of the payee's bank details with which the run was drawn up")
    stopped: bool = Field(description="Whether it was left out at the release, because the payee had other details by then")


class ToldRun(BaseModel):
    """A run and where it stands. From the release on, count and total are of the payments that left."""

    run: str
    payer: str
    account: str
    stage: RunStage
    count: int
    total: Money
    drawn_up_by: str
    drawn_up_on: Day
    released_by: str | None
    released_on: Day | None
    file_sha256: str | None
    settled: int
    settled_total: Money
    returned: int
    stopped: int
    payments: tuple[ToldRunPayment, ...]

    @classmethod
    def of(cls, run: Run, payments: tuple[ToldRunPayment, ...]) -> Self:
        """A run as it is told."""
        same = {name: getattr(run, name) for name in cls.model_fields if name != "payments"}
        return cls(**same, payments=payments)


class RunInList(BaseModel):
    """What a list shows of a run."""

    run: str
    payer: str
    account: str
    stage: RunStage
    count: int
    total: Money
    drawn_up_on: Day
    released_on: Day | None


class _Vault:
    """All that a run's list and file are made of, besides the run."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def reveal(self, commitment: Commitment, /) -> str | None:
        """The text behind a commitment."""
        return self._ledger.reveal([commitment]).get(commitment)


def _listed(ledger: Ledger, run: Run) -> tuple[ToldRunPayment, ...]:
    """What was put into a run, as its commitments say."""
    vault = cast("Facts", _Vault(ledger))
    left = {(award, assessment) for award, assessment, _, _ in runs.listing(vault, run.left or run.payments)}
    details = {payee: number for payee, (number, _) in runs.frozen(vault, run).items()}
    return tuple(
        ToldRunPayment(
            award=award,
            assessment=assessment,
            payee=payee,
            amount=Money.parse(amount),
            bank_details=details.get(payee),
            stopped=(award, assessment) not in left,
        )
        for award, assessment, payee, amount in runs.listing(vault, run.payments)
    )


def _opened(ledger: Ledger, caller: Caller, found: Run, roles: frozenset[Role]) -> None:
    """Refuse, as if there were no such run, whoever may not know of an award in it."""
    if not all(caller.has(roles, payment.award) for payment in _listed(ledger, found)):
        raise NoSuchRun(name=run_stream(found.run).last)


@router.post(
    "",
    **command(ADMINISTRATOR, runs.RunExists, runs.PaymentsNotNamedOnce, runs.PaymentsCannotBeDrawnUp, body=NewRun, on_one=False),
)
async def draw_up(new: Annotated[NewRun, sent(NewRun)], ask: TheAsk) -> Recorded:
    """Put a payer's approved payments into a run, which waits for its release by a second person."""
    names = [PaymentName(each.award, each.assessment) for each in new.payments]
    decide = partial(runs.draw_up, reference=new.run, payer=new.payer, account=new.account, payments=names, today=ask.today)
    done = await ask.done(decide)
    return ask.tell(done, run_stream(new.run), new=address("payment-runs", new.run))


@router.get("", **question({Role.ADMINISTRATOR, Role.AUDITOR}))
def page(
    asked: TheListing,
    payer: AskedPayer = None,
    stage: RunStage | None = None,
    after: After = None,
    limit: Limit = LIMIT,
) -> Page[RunInList]:
    """Payment runs, in the order in which they were drawn up."""

    def rows(start: str | None) -> Any:
        return asked.views.runs.page(payer=payer, stage=stage, after=start, limit=asked.limited(limit), **asked.axes)

    return paged(rows, after, lambda row: RunInList.model_validate(row, from_attributes=True))


@router.get("/{run}", **question(READERS, NoSuchRun, one=True))
def show(run: RunName, asked: TheReading) -> ToldRun:
    """A run with its payments."""
    found, version = asked.look(run_stream(run))
    _opened(asked.ledger, asked.caller, found, READERS)
    asked.tag(str(version))
    return ToldRun.of(found, _listed(asked.ledger, found))


@router.post(
    "/{run}/release",
    **command(
        RELEASER,
        NoSuchRun,
        runs.RunIsNotDrawnUp,
        runs.ReleaserDrewUpTheRun,
        runs.ReleaserApproved,
        runs.EveryPaymentIsStopped,
        runs.RunDetailsAreErased,
    ),
)
async def release(run: RunName, ask: TheAsk) -> Recorded:
    """Let a run go to the bank, as somebody who neither drew it up nor approved a payment in it (L1).

    A payment whose payee has other bank details by now is stopped (`payment.stopped` in the answer): it is due, and needs a new
    approval. The rest goes, and the run's count, total and file are of that.
    """
    found, _ = await run_in_threadpool(ask.ledger.load, run_stream(run))
    await run_in_threadpool(_opened, ask.ledger, ask.caller, found, RELEASER)
    return await ask.record(partial(runs.release, reference=run, by=ask.by, today=ask.today), run_stream(run))


@router.post("/{run}/cancellation", **command(ADMINISTRATOR, NoSuchRun, runs.RunIsNotDrawnUp, body=Cancellation))
async def cancel(run: RunName, cancelled: Annotated[Cancellation, sent(Cancellation)], ask: TheAsk) -> Recorded:
    """Give up a run that waits for its release; its payments are approved, as before."""
    decide = partial(runs.cancel, reference=run, reason=cancelled.reason, today=ask.today)
    return await ask.record(decide, run_stream(run))


@router.post(
    "/{run}/settlement",
    **command(
        ADMINISTRATOR,
        NoSuchRun,
        runs.RunIsNotReleased,
        runs.PaymentsNotNamedOnce,
        runs.PaymentsAreNotInRun,
        runs.PaymentsOfSeveralPayees,
        runs.SettlementDoesNotAddUp,
        runs.ValueDateBeforeRelease,
        runs.ValueDateAhead,
        BankReferenceIsSpent,
        DateBeforeLastStep,
        body=BankSettlement,
    ),
)
async def settle(run: RunName, settled: Annotated[BankSettlement, sent(BankSettlement)], ask: TheAsk) -> Recorded:
    """Record that the bank settled payments of a run to one payee, in one movement of exactly their sum."""
    decide = partial(
        runs.settle,
        reference=run,
        bank_reference=settled.bank_reference,
        value_date=settled.value_date,
        amount=settled.amount,
        payments=[PaymentName(each.award, each.assessment) for each in settled.payments],
        today=ask.today,
    )
    return await ask.record(decide, run_stream(run))


_EXPORT = question(
    {Role.ADMINISTRATOR, Role.AUDITOR, Role.RELEASER}, NoSuchRun, RunHasNoFile, FileIsNotTheReleased, runs.RunDetailsAreErased
)
_EXPORT["responses"][200] = {
    "description": "The file for the bank: exactly the bytes whose SHA-256 was recorded at the release",
    "content": {"text/csv": {"schema": {"type": "string"}}},
    "headers": {
        "Repr-Digest": {"schema": {"type": "string"}, "description": "SHA-256 of the file (RFC 9530)"},
        "Ledger-Run-Count": {"schema": {"type": "integer"}, "description": "How many payments are in the file"},
        "Ledger-Run-Total": {"schema": {"type": "string"}, "description": "Their sum"},
    },
}


@router.get("/{run}/export", response_class=Response, **_EXPORT)
def export(run: RunName, asked: TheReading) -> Response:
    """The file that goes to the bank, as CSV, with the bank details of each payee: the one place where they are told in full."""
    found, _ = asked.look(run_stream(run))
    _opened(asked.ledger, asked.caller, found, frozenset({Role.ADMINISTRATOR, Role.AUDITOR, Role.RELEASER}))
    if found.file_sha256 is None:
        raise RunHasNoFile(run=found.run, stage=found.stage)
    file = runs.file_of(cast("Facts", _Vault(asked.ledger)), found)
    digest = sha256(file)
    if digest.hexdigest() != found.file_sha256:
        raise FileIsNotTheReleased(run=found.run)
    note(rows=found.count)
    headers = {
        "Content-Disposition": f'attachment; filename="{found.run}.csv"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(digest.digest()).decode()}:",
        "Ledger-Run-Count": str(found.count),
        "Ledger-Run-Total": str(found.total),
        "Ledger-Position": asked.response.headers["Ledger-Position"],
    }
    return Response(file, headers=headers, media_type="text/csv; charset=utf-8")
