"""The floor of a command: routes that find out who asks and validate what was sent, and do nothing with it.

They take the same bodies, and are asked in the same way, as the commands beside which they are measured. They are no routes of
the product: only `served` has them, in the process that a measurement starts.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, FastAPI, Response

from api.claims import submission as sent_submission
from api.commands import sent
from api.identity import identify
from domain.claim import Submission
from domain.verification import Verification

PREFIX: Final = "/floor"
_router = APIRouter(prefix=f"{PREFIX}/awards/{{award}}/claims", dependencies=[Depends(identify)])


def mount(app: FastAPI) -> None:
    """Add the routes to a service that is measured, before all others, so that none is tried in vain."""
    app.include_router(_router)
    app.router.routes.insert(0, app.router.routes.pop())


@_router.post("")
async def submit(award: str, submission: Annotated[Submission, Depends(sent_submission)]) -> Response:
    """What submitting a claim costs before anything is decided."""
    return _done(award, submission.claim)


@_router.post("/{claim}/verification")
async def verify(award: str, claim: str, _decisions: Annotated[Verification, sent(Verification)]) -> Response:
    """What verifying a claim costs before anything is decided."""
    return _done(award, claim)


def _done(award: str, claim: str) -> Response:
    return Response(status_code=201, headers={"Location": f"{award}/{claim}"})
