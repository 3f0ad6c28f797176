"""The log itself, where whoever keeps it has to account for it: that it goes on from a backup, or is signed by another key.

What was recorded after a backup is lost when the log goes on from it, and the log goes on another way than others may have seen
it go: it forks. Whoever has the key that signs can tell others what the log holds. Both are facts like any other, and an auditor
has to find them in the log, with the person who did it.
"""

from dataclasses import dataclass, replace
from typing import Annotated, Final, Literal

from pydantic import Field

from domain.aggregate import Aggregate, Decision, Facts, PersonId, Stream
from domain.event import Event
from domain.record import Record
from domain.refusal import Absent, Refused

Root = Annotated[
    str, Field(pattern=r"^[0-9a-f]{64}$", description="Root of the tree over the entries (RFC 6962), in hexadecimal")
]
PublicKey = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$", description="The public half of an Ed25519 key, in hexadecimal")]
Signature = Annotated[
    str, Field(pattern=r"^[0-9a-f]{128}$", description="An Ed25519 signature over the introduction, in hexadecimal")
]
Moment = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$", description="UTC, with microseconds")]


class SealedHead(Record):
    """How far the log went, and the root that sealed it so far; when its last entry was recorded, if it had one."""

    size: Annotated[int, Field(ge=0)]
    root: Root
    recorded_at: Moment | None = None


class LogRestored(Event):
    """The log was restored from a backup: it is the backup's up to `head`, and goes on from there with this entry.

    `lost` is the head that was published last, where the backup does not reach it: what was recorded up to there is lost.
    """

    type: Literal["log.restored"] = "log.restored"
    head: SealedHead
    backed_up_at: Moment
    backup_sha256: Annotated[
        str, Field(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the backup's contents, in hexadecimal")
    ]
    lost: SealedHead | None = None


class KeyIntroduced(Event):
    """From here on checkpoints of the log are signed by this key, which signed its own introduction.

    So did the key that it `replaces`, unless nobody has that any more: then `vouched` is missing, and whoever trusted the old key
    has to learn of the new one in another way.
    """

    type: Literal["log.key-introduced"] = "log.key-introduced"
    public_key: PublicKey
    replaces: PublicKey
    signature: Signature
    vouched: Signature | None = None


LogEvent = LogRestored | KeyIntroduced


class NeverRestored(Absent):
    """The log was never restored from a backup, nor signed by another key than its first."""


class KeyDoesNotSign(Refused):
    """The key that is to be replaced is not the one that signs the log."""


class KeyIsKnown(Refused):
    """The log was signed by this key before, or is; a new key is one that nobody has seen yet."""


@dataclass(frozen=True, slots=True)
class Log(Aggregate):
    """The log as its keeper accounts for it: every restore and every key after the first, the last one at the end."""

    missing = NeverRestored

    restores: tuple[LogRestored, ...] = ()
    keys: tuple[KeyIntroduced, ...] = ()

    @classmethod
    def evolve(cls, state: "Log | None", event: LogEvent, by: PersonId) -> "Log":  # noqa: ARG003 (whoever)
        """The log after an event."""
        before = state or cls()
        match event:
            case LogRestored():
                return replace(before, restores=(*before.restores, event))
            case KeyIntroduced():
                return replace(before, keys=(*before.keys, event))

    def has_lost(self, head: SealedHead) -> bool:
        """Whether a restore says that everything up to this head, after its backup, is lost."""
        return any(restore.lost == head for restore in self.restores)


LOG: Final = Stream("log", Log)
"""The stream of the log."""


def introduction(public_key: str, replaces: str) -> str:
    """What both keys sign when one replaces the other."""
    return f"life-chances-ledger/key-introduction/v1\n{public_key}\n{replaces}\n"


def introduce(facts: Facts, introduced: KeyIntroduced, first: str) -> Decision:
    """Let another key sign from here on. `first` is the log's first key; whoever calls has checked the signatures."""
    log = facts.get(LOG)
    known = [first, *(each.public_key for each in (log.keys if log else ()))]
    if introduced.replaces != known[-1]:
        raise KeyDoesNotSign
    if introduced.public_key in known:
        raise KeyIsKnown
    return {LOG: (introduced,)}
