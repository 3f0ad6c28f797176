"""What went wrong, in words: for every kind of fault that whoever uses the command line can do something about."""

from collections.abc import Iterable

from pydantic import ValidationError

from api.cli.access import Declined, Mistaken
from api.settings import NotSetUp
from domain.refusal import Refused
from ledger.backup import AnotherLog, BackupDamaged, NotABackup, NotEmpty, NotSealed
from ledger.checkpoints import Inconsistent, KeyIsAnother, NothingToSign
from ledger.failures import Unavailable
from ledger.lock_file import ServedElsewhere
from ledger.log import Damaged
from ledger.published_head import EntriesLost, HeadUnreadable
from ledger.schema import NotMigrated, Unprotected
from ledger.vault import WrongVaultKey
from projections.rebuilding import RebuildFailed
from projections.views import ViewsLag

_IN_WORDS = (
    Mistaken,
    NotSetUp,
    Unavailable,
    ServedElsewhere,
    NotMigrated,
    Unprotected,
    WrongVaultKey,
    Damaged,
    NotSealed,
    NotABackup,
    BackupDamaged,
    NotEmpty,
    AnotherLog,
    NothingToSign,
    Inconsistent,
    KeyIsAnother,
    EntriesLost,
    HeadUnreadable,
    RebuildFailed,
    ViewsLag,
)

Said = tuple[str, Iterable[tuple[str, str]]]


def told(fault: BaseException) -> Said | None:  # noqa: PLR0911 (one case a fault)
    """The message, and what is wrong where; nothing where the fault is a defect of ours."""
    if isinstance(fault, BaseExceptionGroup):
        return told(fault.exceptions[0])
    match fault:
        case Declined():
            return str(fault), fault.faults
        case Refused():
            return fault.message, [(each.where, each.what) for each in fault.faults]
        case ValidationError():
            return "This is not as it must be.", [(".".join(map(str, each["loc"])), each["msg"]) for each in fault.errors()]
        case _ if type(fault).__name__ == "OperationalError":  # of SQLAlchemy, which only `ledger` and `projections` import
            return f"The database cannot be used: {str(getattr(fault, 'orig', fault)).partition(chr(10))[0]}.", ()
        case OSError():
            said = fault.strerror or str(fault)
            return f"{said}: {fault.filename}" if fault.filename else said, ()
        case _ if isinstance(fault, _IN_WORDS):
            return str(fault), ()
        case _:
            return None
