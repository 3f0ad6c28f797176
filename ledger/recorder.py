"""Our log in the words of the `eventsourcing` library: its recorder and tracking interfaces, on SQLite and PostgreSQL alike.

The library's own recorders are not used: its SQLite one cannot be subscribed to and gives the number of a deleted last row to the
next; its PostgreSQL one is slow, and where it is fast it loses events for its subscribers. This one stores whatever bytes it is
given: `state` is opaque to it. What it writes is placed, chained and sealed as everything in the log is, in a turn of its own.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final
from uuid import UUID

from eventsourcing.persistence import (
    ApplicationRecorder,
    IntegrityError,
    ListenNotifySubscription,
    Notification,
    ProcessRecorder,
    StoredEvent,
    Subscription,
    Tracking,
    TrackingRecorder,
)

from ledger.awaited import Awaited
from ledger.bell import LOOK_EVERY_S
from ledger.crowd import Crowd
from ledger.entry import Draft, award_named, refuse_too_long
from ledger.log import Expected, Log, Turn

_VERSIONS: Final = 2**63


class LogTracking(TrackingRecorder):
    """How far followers have come, each in one row. Subclass it for a view that is kept in the log's database."""

    def __init__(self, log: Log) -> None:
        self.log = log

    def insert_tracking(self, tracking: Tracking) -> None:
        """Record how far a follower has come; `IntegrityError` if it was there already."""
        with self.log.turn() as turn:
            self.track(turn, tracking)

    def track(self, turn: Turn, tracking: Tracking) -> None:
        """Record how far a follower has come, in a turn in which other things are written too."""
        sql = turn.statements(
            "INSERT INTO tracking (application_name, notification_id) VALUES (?, ?) ON CONFLICT (application_name) DO UPDATE "
            "SET notification_id = excluded.notification_id WHERE tracking.notification_id < excluded.notification_id "
            "RETURNING notification_id"
        )
        parameters = (tracking.application_name, tracking.notification_id)
        if not turn.connection.exec_driver_sql(sql, parameters).fetchall():
            raise IntegrityError(f"{tracking.application_name} has come to {tracking.notification_id} or further already")

    def max_tracking_id(self, application_name: str) -> int | None:
        """How far a follower has come; nothing if it never began."""
        return self.log.reads.tracked(application_name)


class LogRecorder(LogTracking, ProcessRecorder):
    """The log as the library's recorder of events, for applications and for followers that record events themselves."""

    def __init__(self, log: Log) -> None:
        super().__init__(log)
        self._crowd = Crowd(self._insert)
        self._awaited = Awaited(self._insert)

    def insert_events(self, stored_events: Sequence[StoredEvent], **kwargs: Any) -> Sequence[int] | None:
        """Record events at the end of the log and give their positions; `IntegrityError` if a version is taken.

        What several threads record at once is committed at once.
        """
        job = _insertion(stored_events, kwargs.get("tracking"))
        if job.drafts or job.tracking is not None:
            self._crowd.do(job)
        return job.outcome()

    async def append(self, stored_events: Sequence[StoredEvent], *, tracking: Tracking | None = None) -> Sequence[int]:
        """As `insert_events`, for coroutines: no thread sleeps for each of them, and none is woken."""
        job = _insertion(stored_events, tracking)
        if job.drafts or job.tracking is not None:
            await self._awaited.do(job)
        return job.outcome()

    def _insert(self, jobs: Sequence["_Insertion"]) -> None:
        with self.log.turn(Expected({drafted.stream for job in jobs for drafted in job.drafts})) as turn:
            taken_in = [job for job in jobs if self._is_taken_in(turn, job)]
            rows = iter(turn.place(drafted for job in taken_in for drafted in job.drafts))
            for job in taken_in:
                job.positions = [row.position for row in islice(rows, len(job.drafts))]

    def _is_taken_in(self, turn: Turn, job: "_Insertion") -> bool:
        try:
            self._take_in(turn, job)
        except IntegrityError as refused:
            job.refused = refused
        return job.refused is None

    def _take_in(self, turn: Turn, job: "_Insertion") -> None:
        # Looked for under the lock: a violation of the unique index would spoil PostgreSQL's whole transaction.
        wanted = [(drafted.stream, drafted.version) for drafted in job.drafts]
        if not turn.are_free(wanted):
            raise IntegrityError("one of these versions of a stream is recorded already")
        if job.tracking is not None:
            self.track(turn, job.tracking)
        turn.take(wanted)

    def select_events(
        self,
        originator_id: UUID | str,
        *,
        gt: int | None = None,
        lte: int | None = None,
        desc: bool = False,
        limit: int | None = None,
    ) -> Sequence[StoredEvent]:
        """The events of a stream, in order of version."""
        found = self.log.reads.stored(str(originator_id), gt, lte, desc=desc, limit=limit)
        return [StoredEvent(stream, version, kind, state) for stream, version, kind, state in found]

    def select_notifications(
        self,
        start: int | None,
        limit: int,
        stop: int | None = None,
        topics: Sequence[str] = (),
        *,
        inclusive_of_start: bool = True,
    ) -> Sequence[Notification]:
        """Entries in order of position, from one to another, of some types."""
        after = 0 if start is None else start - 1 if inclusive_of_start else start
        found = self.log.reads.notifications(after, limit, stop, topics)
        return [
            Notification(originator_id=stream, originator_version=version, topic=kind, state=state, id=position)
            for position, stream, version, kind, state in found
        ]

    def max_notification_id(self) -> int | None:
        """The last position; nothing in an empty log."""
        return self.log.head().size or None

    def subscribe(self, gt: int | None = None, topics: Sequence[str] = ()) -> Subscription[ApplicationRecorder]:
        """Entries as they come, from those after a position on, for ever."""
        return LogSubscription(recorder=self, gt=gt, topics=topics)


class LogSubscription(ListenNotifySubscription[ApplicationRecorder]):
    """Hears the bell of its process, and looks for what others commit."""

    def __init__(self, recorder: LogRecorder, gt: int | None = None, topics: Sequence[str] = ()) -> None:
        self._bell = recorder.log.bell
        super().__init__(recorder=recorder, gt=gt, topics=topics)
        self._bell.listen(self._has_been_notified)

    def stop(self) -> None:
        """Stop hearing and looking."""
        self._bell.unlisten(self._has_been_notified)
        super().stop()

    def _loop_on_pull(self) -> None:
        try:
            while not self._has_been_stopped:
                self._pull()
                self._has_been_notified.wait(LOOK_EVERY_S)
        except BaseException as error:  # noqa: BLE001 (the one who iterates must hear of it, whatever it is)
            if self._thread_error is None:
                self._thread_error = error
            self.stop()


@dataclass(slots=True)
class _Insertion:
    """What somebody wants recorded, and what became of it."""

    drafts: Sequence[Draft]
    tracking: Tracking | None
    positions: Sequence[int] = ()
    refused: IntegrityError | None = None

    def outcome(self) -> Sequence[int]:
        """The positions of what was recorded, or the refusal."""
        if self.refused is not None:
            raise self.refused
        return self.positions


def _insertion(stored_events: Iterable[StoredEvent], tracking: Tracking | None) -> _Insertion:
    return _Insertion([_draft(stored) for stored in stored_events], tracking)


def _draft(stored: StoredEvent) -> Draft:
    stream, version = str(stored.originator_id), stored.originator_version
    # What no database could take in would fail everybody's commit.
    if not (stream.isprintable() and stored.topic.isprintable() and -_VERSIONS <= version < _VERSIONS):
        raise ValueError(f"version {version} of {stream!r}, {stored.topic!r}, cannot be recorded")
    refuse_too_long(stream, stored.state)
    return Draft(stream, stored.originator_version, stored.topic, stored.state, award_named(stream))
