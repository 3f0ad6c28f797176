"""The log itself, where whoever keeps it has to account for it: that it goes on from a backup.

What was recorded after the backup is lost then, and the log goes on another way than others may have seen it go: it forks. That
is a fact like any other, and an auditor has to find it in the log, with the person who did it.
"""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field

from domain.aggregate import Aggregate, PersonId, Stream
from domain.event import Event
from domain.record import Record
from domain.refusal import Absent

Root = Annotated[
    str, Field(pattern=r"^[0-9a-f]{64}$", description="Root of the tree over the entries (RFC 6962), in hexadecimal")
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


LogEvent = LogRestored


class NeverRestored(Absent):
    """The log was never restored from a backup."""


@dataclass(frozen=True, slots=True)
class Log(Aggregate):
    """The log as its keeper accounts for it: every restore, the last one at the end."""

    missing = NeverRestored

    restores: tuple[LogRestored, ...]

    @classmethod
    def evolve(cls, state: "Log | None", event: LogEvent, by: PersonId) -> "Log":  # noqa: ARG003 (whoever)
        """The log after an event."""
        return cls((*(state.restores if state else ()), event))

    def has_lost(self, head: SealedHead) -> bool:
        """Whether a restore says that everything up to this head, after its backup, is lost."""
        return any(restore.lost == head for restore in self.restores)


LOG: Final = Stream("log", Log)
"""The stream of the log."""
