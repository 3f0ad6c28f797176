"""With which key checkpoints are signed, and that they are while the service runs."""

from api import logs
from api.settings import NotSetUp, Settings, signing_key
from api.witnesses import Asking
from ledger.checkpoints import Checkpointing, Checkpoints
from ledger.notes import Signer

log = logs.logger(__name__)


def signer(ours: Settings, checkpoints: Checkpoints) -> Signer:
    """What signs; raises `NotSetUp` where no key is set, or it is none."""
    seed = signing_key(ours, begun=checkpoints.last() is not None)
    if seed is None:
        raise NotSetUp("LCLEDGER_SIGNING_KEY_FILE or LCLEDGER_SIGNING_KEY must be set to sign checkpoints with PostgreSQL")
    return Signer(seed)


def checkpointing(ours: Settings, checkpoints: Checkpoints, asking: Asking) -> Checkpointing | None:
    """What signs while the service runs, and has witnesses asked; nothing where no key is set."""
    if not ours.embedded and ours.signing_key is None:
        log.warning("no checkpoint is signed, as no LCLEDGER_SIGNING_KEY_FILE is set")
        return None
    return Checkpointing(checkpoints, lambda: signer(ours, checkpoints), ours.checkpoint_every_s, asking)
