"""What is counted while the service runs."""

from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from ledger.writer import Written

_SECONDS: Final = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_COMMANDS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_ENTRIES: Final = (1, 2, 5, 10, 50, 100, 500, 1_000, 5_000, 10_000)


class Metrics:
    """What is counted in this process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("lcledger_requests", "Requests answered", ["method", "route", "status"], registry=self.registry)
        self._seconds = Histogram(
            "lcledger_request_seconds", "Time to an answer", ["method", "route"], buckets=_SECONDS, registry=self.registry
        )
        self._commands = Counter("lcledger_commands", "Commands, by what became of them", ["became"], registry=self.registry)
        self._entries = Histogram("lcledger_command_entries", "Entries of a command", buckets=_ENTRIES, registry=self.registry)
        self._position = Gauge("lcledger_position", "Entries in the log", registry=self.registry)
        self._views = Gauge("lcledger_views_position", "Entries that the read models show", registry=self.registry)
        self._failed = Gauge("lcledger_model_failed", "Whether a read model has stopped", ["model"], registry=self.registry)
        self._queue = Gauge("lcledger_commands_under_way", "Commands taken in and not answered yet", registry=self.registry)
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
        self._under_way = Gauge("lcledger_requests_under_way", "Requests without an answer yet", registry=self.registry)

    def begin(self) -> None:
        """A request came in."""
        self._under_way.inc()

    def end(self, method: str, route: str, status: int, seconds: float) -> None:
        """A request was answered."""
        self._under_way.dec()
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

    def written(self, state: Any) -> bytes:
        """All numbers, with how far the log and the read models are now."""
        self._queue.set(state.ledger.under_way)
        self._position.set(state.ledger.head().size)
        self._views.set(state.views.position)
        for model in state.views.health():
            self._failed.labels(model.name).set(model.failed is not None)
        return generate_latest(self.registry)
