"""The one way into the log, and the one way to read it, for everything above."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from datetime import date, datetime
from functools import partial
from typing import Any, Final, Self

from sqlalchemy import URL

from domain.aggregate import Command, Commitment, Decision, Facts, S, Stream, Token
from domain.event import Event
from ledger import schema, store
from ledger.bell import Wake
from ledger.deciders import Deciders
from ledger.entry import Entry, Registry, decode, written
from ledger.facts import Folder
from ledger.failures import Unavailable
from ledger.lock_file import LockFile
from ledger.log import Clock, Head, Log
from ledger.states import MOST_BYTES, States
from ledger.trial import try_writing
from ledger.vault import Vault
from ledger.writer import MOST_WAITING, Answer, DoesNotBalance, Pending, Recorded, Request, Rules, Writer, Written

__all__ = ["Ledger", "Recorded", "Request"]

MOST_SHORT_BYTES: Final = 16 * 1024
"""Stored bytes of a stream whose state is gone through within a few thousandths of a second."""


class Ledger:
    """A ledger that is open. `record` and `change` are the only ways in."""

    def __init__(
        self,
        log: Log,
        vault: Vault,
        *,
        registry: Registry,
        balance_check: Callable[[Event], None],
        most_waiting: int = MOST_WAITING,
        most_of_one_person: int | None = None,
        most_remembered_bytes: int = MOST_BYTES,
        lock_file: LockFile | None = None,
    ) -> None:
        self.log = log
        self.vault = vault
        self.registry = registry
        self.lock_file = lock_file
        self._states = States(most_remembered_bytes)
        log.renewed.append(self._states.clear)
        rules = Rules(registry, vault.seals, self._states, balance_check)
        self._writer = Writer(log, rules, most_waiting=most_waiting, most_of_one_person=most_of_one_person)
        self._folder = Folder(log.reads, registry, self._states)
        self._deciders = Deciders(self._writer)
        self._failing: str | None = None

    @classmethod
    def open(
        cls,
        url: str | URL,
        *,
        vault_key: bytes,
        clock: Clock | None = None,
        serving: bool = False,
        registry: Registry | None = None,
        balance_check: Callable[[Event], None] | None = None,
        most_waiting: int = MOST_WAITING,
        most_of_one_person: int | None = None,
        most_remembered_bytes: int = MOST_BYTES,
    ) -> Self:
        """Open a ledger, after looking it over: its tables, its triggers, its durability, its vault's key.

        An SQLite file is made and migrated if need be; `NotMigrated` says that a PostgreSQL database is not. With `serving`,
        nobody else may serve the same SQLite file (`ServedElsewhere`); commands beside it are fine. `vault_key` has 32 bytes or
        more.
        """
        address = store.database(url)
        lock_file = None
        if store.is_sqlite(address) and serving:
            path = store.file_of(address)
            path.parent.mkdir(parents=True, exist_ok=True)
            lock_file = LockFile(path.with_name(path.name + ".lock")).take()
        log = Log(store.engine(address), clock)
        try:
            if store.is_sqlite(address):
                schema.migrate(log.engine)
            log.start()
            vault = Vault(log, vault_key)
            vault.start()
        except BaseException:
            log.close()
            if lock_file is not None:
                lock_file.release()
            raise
        return cls(
            log,
            vault,
            registry=_registry() if registry is None else registry,
            balance_check=balance_check or balances,
            most_waiting=most_waiting,
            most_of_one_person=most_of_one_person,
            most_remembered_bytes=most_remembered_bytes,
            lock_file=lock_file,
        )

    async def record(self, decide: Command, request: Request, *, dry_run: bool = False, quick: bool = False) -> Recorded:
        """Decide a command and record what it decides; the answer comes when it is on disk.

        `quick`: it takes so little to decide that the event loop may do it, where the log is in this process; a thread does it
        all the same if much must be read first.

        Raises the command's refusal, `KeySpent`, `VersionHasMoved`, `Overloaded`, `TooManyOfOne`, `Unavailable`. A request that
        was recorded before is answered with the entries of that time: after `OutcomeUnknown` that tells what became of it. A dry
        run does everything, but nothing is written.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Recorded] = loop.create_future()
        pending = self._writer.admit(Pending(decide, request, dry_run, partial(self._hear, partial(_tell, future)), loop))
        self._deciders.take(pending, quick=quick and self.log.statements.sqlite)
        return await future

    def is_short(self, stream: Stream[Any]) -> bool:
        """Whether a stream is so short, as far as is known without reading, that the event loop may go through its state."""
        return self._writer.weight_of(stream.name) <= MOST_SHORT_BYTES

    def record_now(self, decide: Command, request: Request, *, dry_run: bool = False) -> Recorded:
        """As `record`, for whoever has no event loop."""
        future: Future[Recorded] = Future()
        self._writer.decide(
            self._writer.admit(Pending(decide, request, dry_run, partial(self._hear, partial(_tell_now, future))))
        )
        self._writer.write_what_waits()
        return future.result()

    async def change(
        self, stream: Stream[S], method: Callable[[S], Event | Sequence[Event]], request: Request, *, dry_run: bool = False
    ) -> Recorded:
        """Let one stream's state say what happens next, and record it."""
        return await self.record(partial(_change, stream, method), request, dry_run=dry_run)

    def change_now(
        self, stream: Stream[S], method: Callable[[S], Event | Sequence[Event]], request: Request, *, dry_run: bool = False
    ) -> Recorded:
        """As `change`, for whoever has no event loop."""
        return self.record_now(partial(_change, stream, method), request, dry_run=dry_run)

    def load(self, stream: Stream[S], as_of: int | None = None, effective_on: date | None = None) -> tuple[S, int]:
        """A stream's state and version, now or after the log's first `as_of` entries; its kind's `missing` if there was none.

        With `effective_on`, only of what had taken effect by the end of that London day (`domain.event.took_effect`).
        """
        if effective_on is not None:
            known = self._folder.fold_effective(stream, effective_on, as_of)
        else:
            base = self._states.get(stream.name) if as_of is None else None
            known = self._folder.fold(stream, base, as_of)
        if known.state is None:
            raise stream.of.missing(name=stream.last)
        return known.state, known.version

    def entries(self, after: int = 0, limit: int = 500, award: str | None = None, upto: int | None = None) -> list[Entry]:
        """Entries in order of position: those after one, up to one, of one award; at most `limit`."""
        return [decode(row, self.registry) for row in self.log.reads.rows(after, limit, award=award, upto=upto)]

    def head(self) -> Head:
        """How far the log goes, and its root."""
        return self.log.head()

    def has_spent(self, person: str, key: str) -> bool:
        """Whether a request of a person with this idempotency key was recorded."""
        return bool(self.log.reads.receipts([(person, key)]))

    def size_at(self, moment: datetime) -> int:
        """How many entries there were at a moment: the position to ask for the state of things as recorded then."""
        return self.log.reads.size_at(written(moment))

    @property
    def under_way(self) -> int:
        """Commands that were taken in and are not answered yet."""
        return self._writer.under_way

    @property
    def failing(self) -> str | None:
        """Why the database could not be used for a command, unless something has been written since."""
        return self._failing

    def try_writing(self) -> None:
        """See whether the database takes what is written; raises `Unavailable` with the reason if it does not."""
        try:
            try_writing(self.log)
        except Unavailable as failure:
            self._failing = failure.reason
            raise
        self._failing = None

    def watch(self, watcher: Callable[[Written], None]) -> None:
        """Have every batch counted, by something quick that raises nothing."""
        self._writer.watchers.append(watcher)

    def subscribe_wake(self) -> Wake:
        """What a follower sleeps on; close it in the end."""
        return Wake(self.log.bell)

    def now(self) -> datetime:
        """What the ledger's clock says."""
        return self.log.clock()

    def reveal(self, commitments: Iterable[Commitment]) -> dict[Commitment, str]:
        """The texts behind commitments; those that were erased are left out."""
        return self.vault.reveal(commitments)

    def references(self, award: str, tokens: Iterable[Token]) -> dict[Token, str]:
        """The references behind an award's tokens; those that were erased are left out."""
        return self.vault.references(award, tokens)

    def close(self) -> None:
        """Finish what was taken in, and close everything."""
        self._writer.refuse()
        self._deciders.finish()
        self._writer.close()
        self._deciders.shutdown()
        self.log.close()
        if self.lock_file is not None:
            self.lock_file.release()

    def _hear(self, tell: Answer, recorded: Recorded | None, failure: BaseException | None) -> None:
        """Hear what became of a command before whoever asked is told."""
        if isinstance(failure, Unavailable):
            self._failing = failure.reason
        elif recorded is not None and recorded.entries and not (recorded.repeated or recorded.dry_run):
            self._failing = None
        tell(recorded, failure)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def balances(event: Event) -> None:
    """Raise `DoesNotBalance` unless the postings of an event sum to zero."""
    from domain.postings import sums

    if over := sum(sums(event).values()):
        raise DoesNotBalance(f"{DoesNotBalance.__doc__} ({event.type} is {over} pence out)")


def _registry() -> Mapping[str, type[Event]]:
    from domain.events import BY_NAME

    return BY_NAME


def _change(stream: Stream[S], method: Callable[[S], Event | Sequence[Event]], facts: Facts) -> Decision:
    decided = method(facts[stream])
    return {stream: (decided,) if isinstance(decided, Event) else tuple(decided)}


def _tell(future: "asyncio.Future[Recorded]", recorded: Recorded | None, failure: BaseException | None) -> None:
    if future.done():  # Whoever asked has gone; what was recorded stays recorded.
        return
    if isinstance(failure, StopIteration):  # An asyncio future takes none, and whoever waits would wait for ever.
        future.set_exception(RuntimeError("the command raised StopIteration"))
    elif failure is not None:
        future.set_exception(failure)
    elif recorded is not None:
        future.set_result(recorded)


def _tell_now(future: "Future[Recorded]", recorded: Recorded | None, failure: BaseException | None) -> None:
    if failure is not None:
        future.set_exception(failure)
    elif recorded is not None:
        future.set_result(recorded)
