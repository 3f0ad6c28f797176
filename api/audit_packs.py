"""Audit packs: everything of an award in one file that an auditor checks elsewhere."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from api.checkpoints import MOST, LogIsNotSigned, NoCheckpoint, TheLog, told_as
from api.names import AwardName
from api.packing import pack
from api.readings import OVERSEERS
from api.telling import note
from domain.award import NoSuchAward
from domain.reference import canonical
from ledger.checkpoints import KeyIsAnother

router = APIRouter(prefix="/v1", tags=["the log"])

Upto = Annotated[
    int | None, Query(ge=1, le=MOST, description="As of the last signed checkpoint up to this position; nothing: of the last one")
]


@router.get(
    "/awards/{award}/audit-pack",
    response_class=Response,
    **told_as(OVERSEERS, "application/zip", "An audit pack", NoCheckpoint, NoSuchAward, LogIsNotSigned),
)
def audit_pack(award: AwardName, log: TheLog, as_of: Upto = None) -> Response:
    """Everything that was recorded of an award, its proof, and `verify.py`, which checks it without this service.

    It has every line that was claimed, and so is for auditors and administrators. What stands in the vault is not in it.
    """
    signed = log.checkpoints.last(as_of)
    if signed is None:
        raise NoCheckpoint
    note(as_of=signed.size)
    try:
        packed = pack(log.ledger, log.checkpoints, canonical(award), signed, log.signer())
    except KeyIsAnother:
        raise LogIsNotSigned from None
    if packed is None:
        raise NoSuchAward(name=canonical(award))
    name = f"{canonical(award)}-{signed.size}.zip"
    return Response(packed, media_type="application/zip", headers={"Content-Disposition": f'attachment; filename="{name}"'})
