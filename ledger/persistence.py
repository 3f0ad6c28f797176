"""What the `eventsourcing` library needs to open our log: `PERSISTENCE_MODULE=ledger.persistence`, `LEDGER_URL=sqlite:///ledger.db`.

An ordinary `Application` then reads the log, and the library's `ProjectionRunner` follows it, on SQLite too. What it meets is
`Happened`: an event of ours with its stream, version and person. A projection of your own:

    class Opened(Projection[View]):
        def process_event(self, happened: Happened, tracking: Tracking) -> None: ...

    with ProjectionRunner(application_class=Application[str], projection_class=Opened, view_class=View, env={…}) as runner: ...

Commands do not come this way: only `Ledger.record` decides, checks what was read, and balances.
"""

from dataclasses import dataclass
from typing import Any, Final, cast

from eventsourcing.domain import DomainEventProtocol
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    InfrastructureFactory,
    Mapper,
    ProcessRecorder,
    StoredEvent,
    Transcoder,
)
from eventsourcing.utils import Environment, EnvType, resolve_topic

from domain.aggregate import PersonId
from domain.event import Event
from ledger import schema, store
from ledger.entry import Registry, draft, reader
from ledger.log import Log
from ledger.recorder import LogRecorder, LogTracking


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of ours as the library sees it."""

    originator_id: str
    """The stream's name."""
    originator_version: int
    event: Event
    person: PersonId
    correlation: str | None = None
    causation: str | None = None


class EventMapper(Mapper[str]):
    """Between stored entries and `Happened`: the topic is the event's `type`, never a path in Python."""

    def __init__(self, registry: Registry) -> None:
        super().__init__(_NoTranscoder())
        self._read = reader(registry)

    def to_stored_event(self, domain_event: DomainEventProtocol[str]) -> StoredEvent:
        """The canonical state of an event of ours; nothing else can stand in the log."""
        if not isinstance(domain_event, Happened):
            raise TypeError(f"the log holds events of the ledger, not {type(domain_event).__qualname__}")
        happened = domain_event
        made = draft(
            happened.originator_id,
            happened.originator_version,
            happened.event,
            happened.person,
            correlation=happened.correlation,
            causation=happened.causation,
        )
        return StoredEvent(made.stream, made.version, made.type, made.state)

    def to_domain_event(self, stored_event: StoredEvent) -> DomainEventProtocol[str]:
        """What happened."""
        event, said = self._read(stored_event.state)
        return Happened(
            str(stored_event.originator_id),
            stored_event.originator_version,
            event,
            PersonId(said["person"]),
            said.get("correlation"),
            said.get("causation"),
        )


class LedgerFactory(InfrastructureFactory[LogTracking]):
    """Opens our log for the library: `LEDGER_URL` in its environment says where, `LEDGER_EVENTS` of which events."""

    URL: Final = "LEDGER_URL"
    EVENTS: Final = "LEDGER_EVENTS"

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        url = self.env.get(self.URL)
        if not url:
            raise OSError(f"the environment of {self.env.name or 'the application'} does not say {self.URL}")
        self.log = Log(store.engine(url))
        try:
            if store.is_sqlite(self.log.engine.url):
                schema.migrate(self.log.engine)
            self.log.start()
        except BaseException:
            self.log.close()
            raise

    def mapper(self, transcoder: Transcoder | None = None, mapper_class: Any = None) -> Mapper[Any]:  # noqa: ARG002 (the library's)
        """The one mapper that can read the log."""
        return EventMapper(cast("Registry", resolve_topic(self.env.get(self.EVENTS) or "domain.events:BY_NAME")))

    def aggregate_recorder(self, purpose: str = "events") -> AggregateRecorder:
        """The log; it keeps no snapshots."""
        if purpose != "events":
            raise NotImplementedError("the log keeps events, not snapshots: streams are short")
        return LogRecorder(self.log)

    def application_recorder(self) -> ApplicationRecorder:
        """The log."""
        return LogRecorder(self.log)

    def process_recorder(self) -> ProcessRecorder:
        """The log, with how far its followers have come."""
        return LogRecorder(self.log)

    def tracking_recorder(self, tracking_recorder_class: type[LogTracking] | None = None) -> LogTracking:
        """How far followers have come: a view of your own, if it is a subclass of `LogTracking`."""
        return (tracking_recorder_class or LogTracking)(self.log)

    def close(self) -> None:
        """Close every connection."""
        self.log.close()


class _NoTranscoder(Transcoder):
    """The library's transcoder is not used: a dictionary such as `{"_type_": …}` would make it fail."""

    def encode(self, obj: Any) -> bytes:
        raise NotImplementedError

    def decode(self, data: bytes) -> Any:
        raise NotImplementedError
