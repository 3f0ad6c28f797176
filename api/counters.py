"""What is counted while the service runs.

Where several processes serve together, each counts in files of one folder, and any of them tells the numbers of all: sums of what
was counted, also by those that have died; of what is under way, that of those who live.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from ledger.disclosures import Disclosures
from ledger.ledger import Ledger
from ledger.writer import Written
from projections.deliveries import Deliveries, State

_SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_COMMANDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_ENTRIES: Final = (1, 2, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000)


def bury(folder: Path, process: int | None) -> None:
    """Let what was under way in a process that has died be under way no more."""
    mark_process_dead(process, str(folder))  # type: ignore[no-untyped-call]


class Metrics:
    """What is counted in this process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._waiting: Callable[[], int] = lambda: 0
        self._unwritten: Callable[[], int] = lambda: 0
        self._requests = Counter("lcledger_requests", "Requests answered", ["method", "route", "status"], registry=self.registry)
        self._seconds = Histogram(
            "lcledger_request_seconds", "Time to an answer", ["method", "route"], buckets=_SECONDS, registry=self.registry
        )
        self._commands = Counter("lcledger_commands", "Commands, by what became of them", ["became"], registry=self.registry)
        self._entries = Histogram("lcledger_command_entries", "Entries of a command", buckets=_ENTRIES, registry=self.registry)
        self._position = self._gauge("lcledger_position", "Entries in the log")
        self._views = self._gauge("lcledger_views_position", "Entries that the read models show")
        self._failed = self._gauge("lcledger_model_failed", "Whether a read model has stopped", "model")
        self._checked = self._gauge("lcledger_model_checked", "Entry up to which a read model was compared with the log", "model")
        self._differences = self._gauge("lcledger_model_differences", "Rows that are not what the log says", "model")
        self._checkpoint = self._gauge("lcledger_checkpoint", "Entries under the last signed checkpoint")
        self._cosigned = self._gauge("lcledger_witness_cosigned", "Entries under the last one that a witness cosigned", "witness")
        self._deliveries = self._gauge(
            "lcledger_webhook_deliveries", "Deliveries that wait for a webhook, or were given up", "state"
        )
        self._failing = self._gauge("lcledger_webhooks_failing", "Webhooks whose last delivery failed")
        self._queue = self._sum("lcledger_commands_under_way", "Commands taken in and not answered yet")
        self._disclosures = self._sum("lcledger_disclosures_waiting", "Reads that wait to be written down as told")
        self._commits = Counter("lcledger_commits", "Commits, by what became of them", ["became"], registry=self.registry)
        self._commit_seconds = Histogram(
            "lcledger_commit_seconds", "Time from the turn to the disk", buckets=_SECONDS, registry=self.registry
        )
        self._batch = Histogram("lcledger_commit_commands", "Commands of a commit", buckets=_COMMANDS, registry=self.registry)
        self._batch_entries = Histogram(
            "lcledger_commit_entries", "Entries of a commit", buckets=_ENTRIES, registry=self.registry
        )
        self._failures = Counter(
            "lcledger_database_failures", "Requests that found the database unusable", ["reason"], registry=self.registry
        )
        self._connections = Counter(
            "lcledger_connections_ended",
            "Connections ended by the service",
            ["reason"],
            registry=self.registry,
        )
        self._under_way = self._sum("lcledger_requests_under_way", "Requests without an answer yet")
        self._sum("lcledger_processes", "Processes that serve").set(1)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        """What is the same for all processes: whoever looked last knows it best."""
        return Gauge(name, about, labels, registry=self.registry, multiprocess_mode="livemostrecent")

    def _sum(self, name: str, about: str) -> Gauge:
        """What each process has of its own."""
        return Gauge(name, about, registry=self.registry, multiprocess_mode="livesum")

    def watch(self, ledger: Ledger, disclosures: Disclosures) -> None:
        """Count what a ledger does, and what of its disclosures is not written yet."""
        self._waiting = lambda: ledger.under_way
        self._unwritten = lambda: disclosures.waiting
        ledger.watch(self.batch)

    def begin(self) -> None:
        """A request came in."""
        self._under_way.inc()
        self._queue.set(self._waiting())

    def end(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._under_way.dec()
        self._queue.set(self._waiting())
        self._disclosures.set(self._unwritten())
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def command(self, became: str, entries: int) -> None:
        """A command was recorded, repeated, or only tried."""
        self._commands.labels(became).inc()
        if became == "recorded":
            self._entries.observe(entries)

    def batch(self, batch: Written) -> None:
        """Commands were committed together, or failed to be."""
        self._commits.labels("failed" if batch.failed else "done").inc()
        self._commit_seconds.observe(batch.seconds)
        self._batch.observe(batch.commands)
        self._batch_entries.observe(batch.entries)

    def database_failed(self, reason: str) -> None:
        """A request found the database unusable; reasons are few."""
        self._failures.labels(reason).inc()

    def connection_ended(self, reason: str) -> None:
        """A connection was one too many, or too slow; reasons are few."""
        self._connections.labels(reason).inc()

    def written(self, state: Any) -> bytes:
        """All numbers, with how far the log and the read models are now."""
        self._queue.set(self._waiting())
        self._position.set(state.ledger.head().size)
        self._views.set(state.views.position)
        for model in state.views.health():
            self._failed.labels(model.name).set(model.failed is not None)
            self._checked.labels(model.name).set(model.watched.position)
            self._differences.labels(model.name).set(len(model.watched.differences))
        last = state.checkpoints.last()
        self._checkpoint.set(0 if last is None else last.size)
        for name, size in state.checkpoints.cosigned(each.verifier for each in state.settings.known_witnesses).items():
            self._cosigned.labels(name).set(size)
        self._tell_webhooks(state.deliveries)
        return generate_latest(self._everybody_s())

    def _tell_webhooks(self, deliveries: Deliveries) -> None:
        """How webhooks are doing: whoever looks after the service is told of what their owners do not take."""
        of_each = deliveries.counts().values()
        for state in (State.WAITING, State.PARKED):
            self._deliveries.labels(state.value).set(sum(counted.get(state, 0) for counted in of_each))
        self._failing.set(sum(queue.failing_since is not None for queue in deliveries.queues().values()))

    def _everybody_s(self) -> CollectorRegistry:
        """The numbers of all who count in one folder, or those of this process if it counts alone."""
        if values.ValueClass is values.MutexValue:
            return self.registry
        all_of_them = CollectorRegistry()
        MultiProcessCollector(all_of_them)  # type: ignore[no-untyped-call]
        return all_of_them
