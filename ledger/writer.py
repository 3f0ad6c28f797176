"""Group commit: many commands, one transaction, one wait for the disk.

A command is decided first outside the lock. Then it queues, and whoever finds nobody writing becomes the writer: it takes what is
waiting, writes it in one transaction, wakes those who wait, and goes on until nothing waits. So a lone command goes straight to
the disk, and a crowd shares it. (A thread that only writes would cost the lone one a hand-over.)

In the writer's turn everything that a decision read is checked again. If something moved, the command is decided again right
there, under the lock, seeing what the batch decided before it, so that it never conflicts twice. A command that is refused or
fails leaves the batch, and harms nobody.
"""

from asyncio import AbstractEventLoop
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Condition, Lock, current_thread, main_thread
from time import perf_counter
from typing import Any, Final, NamedTuple, Protocol

from domain.aggregate import Actor, Command, Stream
from domain.event import Event
from domain.refusal import Invalid, Refused
from ledger.crowd import MOST_GATHERING_S, linger, when_quiet
from ledger.entry import Draft, Entry, Registry, Row, decode, draft, moment_of, previous_of
from ledger.facts import BriefFolder, Folder, NotedFacts, NotYetWritten, Remembered, TakesLong
from ledger.failures import Unavailable
from ledger.log import Erasure, Expected, Log, Participant, Receipt, Text, Turn
from ledger.states import ABSENT, Known, States
from ledger.vault import Seals

MOST_WAITING: Final = 1_024
"""Commands that may be under way; more are turned away at once, rather than answered late."""
MOST_KEY_LENGTH: Final = 255
MOST_COMMANDS_A_BATCH: Final = 256
MOST_ENTRIES_A_BATCH: Final = 20_000


class Overloaded(RuntimeError):
    """More commands are waiting than the ledger takes in; send it again in a moment."""


class TooManyOfOne(RuntimeError):
    """One person has as many commands under way as the ledger takes in of one; send it again when some are answered."""


class Closed(RuntimeError):
    """The ledger is shutting down; what it took in is finished, and nothing more is taken in."""


class DoesNotBalance(RuntimeError):
    """The postings of an event do not sum to zero: a defect of the ledger, and nothing was recorded."""


class KeySpent(Invalid):
    """This idempotency key was used for another request; a new request needs a new key."""


class KeyUnfit(Invalid):
    """An idempotency key has 1 to 255 printable characters."""


class VersionHasMoved(Refused):
    """What was to be changed is no longer at the version that was named."""


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks, and what makes the request known again."""

    actor: Actor
    key: str | None = None
    """The idempotency key, spent once per person."""
    fingerprint: str = ""
    """A hash of method, path and body: the same key with another one is another request."""
    correlation: str | None = None
    causation: str | None = None
    expected: Mapping[str, int] = field(default_factory=dict)
    """The version at which each of these streams must be, by name."""

    @property
    def spent(self) -> tuple[str, str] | None:
        """What no other request may have: person and key."""
        return None if self.key is None else (self.actor.person, self.key)


class Recorded(NamedTuple):
    """What became of a command: its entries, from position `first` to `last`; with none, `last` is the last position of all."""

    first: int
    last: int
    entries: tuple[Entry, ...]
    repeated: bool = False
    dry_run: bool = False


class Prepared(NamedTuple):
    """A decision with all that will be written for it, and what it was made on."""

    time: int
    """Of the states on which it was made: how often everything had been forgotten."""
    read: Mapping[str, int]
    ahead: Mapping[str, Known[Any]]
    """Those of the streams that were read as they will be when what waited then is written."""
    strangers: Mapping[str, Participant]
    texts: Sequence[Text]
    erasure: Erasure
    drafts: Sequence[Draft]
    events: Sequence[Event]
    after: Mapping[str, Known[Any]]


class Answer(Protocol):
    """Where an answer goes."""

    def __call__(self, recorded: Recorded | None, failure: BaseException | None, /) -> None:
        """Give it: what was recorded, or why nothing was."""


@dataclass(slots=True, eq=False)
class Pending:
    """A command on its way."""

    command: Command
    request: Request
    dry_run: bool
    answer: Answer
    loop: AbstractEventLoop | None = None
    """The event loop in which the answer is given; without one, it is given by whoever writes."""
    quick: bool = False
    """Whether it was decided in the loop."""
    prepared: Prepared | None = None
    promised: Mapping[str, Known[Any]] = field(default_factory=dict)
    """What others may take for what it makes of its streams, while it waits."""
    rows: Sequence[Row] = ()
    repeats: Receipt | None = None
    failure: BaseException | None = None
    recorded: Recorded | None = None
    position: int = 0


class Written(NamedTuple):
    """A batch that was written, or failed: for whoever counts."""

    commands: int
    entries: int
    seconds: float
    failed: bool


class _Spoiled(Exception):
    """A statement of one command failed, and with it the turn, in which nothing was written yet."""

    def __init__(self, by: "Pending") -> None:
        super().__init__()
        self.by = by


class Rules:
    """How a command becomes what is written: everything that needs no lock."""

    def __init__(self, registry: Registry, seals: Seals, states: States, balance_check: Callable[[Event], None]) -> None:
        self.registry = registry
        self.seals = seals
        self.states = states
        self._check = balance_check

    def prepare(self, command: Command, request: Request, facts: NotedFacts) -> Prepared:
        """Decide, and make the entries; raises the command's refusal."""
        time = self.states.time
        decision = {stream: tuple(events) for stream, events in command(facts).items() if events}
        facts.prefetch(decision)
        drafts: list[Draft] = []
        happened: list[Event] = []
        after: dict[str, Known[Any]] = {}
        for stream, events in decision.items():
            before = facts.look(stream)
            made = [self._draft(stream, number, event, request) for number, event in enumerate(events, before.version + 1)]
            # Folded before it is recorded: an event that cannot be folded would make the stream unreadable for ever.
            state = facts.after(stream, events, request.actor.person)
            weight = before.weight + sum(len(drafted.state) for drafted in made)
            after[stream.name] = Known(state, before.version + len(events), weight)
            drafts += made
            happened += events
        read = {name: known.version for name, known in facts.known.items()}
        return Prepared(time, read, facts.ahead, facts.strangers, facts.made, facts.erasure, drafts, happened, after)

    def _draft(self, stream: Stream[Any], version: int, event: Event, request: Request) -> Draft:
        self._check(event)
        return draft(
            stream.name, version, event, request.actor.person, correlation=request.correlation, causation=request.causation
        )


class _Batch:
    """What one turn has decided so far; also the shelf from which its later decisions read."""

    def __init__(self, turn: Turn, rules: Rules) -> None:
        self.turn = turn
        self._rules = rules
        self.receipts: dict[tuple[str, str], Receipt] = dict(turn.receipts_found)
        self.met: dict[str, Participant] = {}
        self.recognised: Mapping[str, str] = turn.recognised_found
        self._after: dict[str, Known[Any]] = {}
        self.ahead: Mapping[str, Known[Any]] = {}

    def known(self, stream: Stream[Any], /) -> Known[Any] | None:
        """What the batch made of a stream, or what is remembered of it if that is how it is now."""
        found = self._after.get(stream.name) or self._rules.states.get(stream.name)
        version = self.turn.version(stream.name)
        if version == 0:
            return ABSENT
        return found if found is not None and found.version == version else None

    def base(self, stream: Stream[Any], /) -> Known[Any] | None:
        """What is remembered of a stream, if it has moved on since."""
        found = self._rules.states.get(stream.name)
        return found if found is not None and found.version <= self.turn.version(stream.name) else None

    def expect(self, streams: Iterable[str], /) -> None:
        """Look up the versions of streams at once, rather than one by one while everybody waits."""
        self.turn.learn(streams)

    def settle(self) -> None:
        """Everything is as it is in the turn."""

    def decide(self, pending: Pending) -> Prepared:
        """Decide a command again, under the lock."""
        folder = Folder(self.turn, self._rules.registry, self._rules.states, self.turn.placed)
        facts = NotedFacts(self, folder, self.turn, self._rules.seals, self.met)
        return self._rules.prepare(pending.command, pending.request, facts)

    def holds(self, prepared: Prepared) -> bool:
        """Whether everything that a decision was made on still holds."""
        return (
            prepared.time == self._rules.states.time
            and all(self.turn.version(stream) == version for stream, version in prepared.read.items())
            and not any(mark in self.met or mark in self.recognised for mark in prepared.strangers)
            and all(self._came(stream, known) for stream, known in prepared.ahead.items())
        )

    def _came(self, stream: str, known: Known[Any]) -> bool:
        """Whether a stream became what it was taken for: not another state at the same version."""
        return (self._after.get(stream) or self._rules.states.get(stream)) is known

    def keep(self, pending: Pending, prepared: Prepared) -> None:
        """Let a decision be written with this turn."""
        pending.rows = self.turn.place(prepared.drafts)
        request = pending.request
        if request.spent is not None:
            receipt = Receipt(*request.spent, request.fingerprint, pending.position + 1, self.turn.position)
            self.receipts[request.spent] = receipt
            self.turn.receipts_made.append(receipt)
        self.turn.texts_made.extend(prepared.texts)
        self.turn.participants_made.extend(prepared.strangers.values())
        self.turn.erased.extend(prepared.erasure)
        self.met.update(prepared.strangers)
        self._after.update(prepared.after)


class Writer:
    """Takes commands in, decides them, and commits them together."""

    def __init__(
        self, log: Log, rules: Rules, *, most_waiting: int = MOST_WAITING, most_of_one_person: int | None = None
    ) -> None:
        self._log = log
        self._rules = rules
        self._most = most_waiting
        self._most_of_one = most_of_one_person or most_waiting
        self._under_way: Counter[str] = Counter()
        self.under_way = 0
        """Commands that were taken in and are not answered yet."""
        self._untold = 0
        """The same, and those whose answer is on its way."""
        self.watchers: list[Callable[[Written], None]] = []
        """Told of every batch, by the thread that wrote it: they must be quick."""
        self._changed = Condition()
        self._closed = False
        self._waiting: deque[Pending] = deque()
        self._ahead: dict[str, Known[Any]] = {}
        """What those who wait, or are being written, will have made of streams, if all goes well."""
        self._writing = Lock()

    def admit(self, pending: Pending) -> Pending:
        """Take one command in; `Overloaded`, `TooManyOfOne` or `Closed` if that cannot be. Then `decide` it, or `release` it."""
        person = pending.request.actor.person
        with self._changed:
            if self._closed:
                raise Closed(Closed.__doc__)
            if self.under_way >= self._most:
                raise Overloaded(Overloaded.__doc__)
            if self._under_way[person] >= self._most_of_one:
                raise TooManyOfOne(TooManyOfOne.__doc__)
            self.under_way += 1
            self._untold += 1
            self._under_way[person] += 1
        return pending

    def release(self, batch: Sequence[Pending]) -> None:
        """Let go of commands that were taken in."""
        self._make_room(batch)
        self._have_told(batch)

    def _make_room(self, batch: Sequence[Pending]) -> None:
        with self._changed:
            self.under_way -= len(batch)
            for person, many in Counter(pending.request.actor.person for pending in batch).items():
                self._under_way[person] -= many
                if not self._under_way[person]:
                    del self._under_way[person]

    def _have_told(self, batch: Sequence[Pending]) -> None:
        with self._changed:
            self._untold -= len(batch)
            self._changed.notify_all()

    def decide(self, pending: Pending, *, briefly: bool = False) -> None:
        """Decide an admitted command; then `write_what_waits`, and its answer is given by whoever writes it.

        `briefly`: raise `TakesLong`, with nothing done, where much would have to be read first.
        """
        try:
            self._decide(pending, (BriefFolder if briefly else Folder)(self._log.reads, self._rules.registry, self._rules.states))
        except TakesLong:
            raise
        except BaseException as failure:  # noqa: BLE001 (whoever waits must be told, whatever it is)
            pending.failure = failure
            self._answer([pending])
        else:
            pending.quick = briefly
            self._promise(pending)
            self._waiting.append(pending)

    def give(self, pending: Pending, failure: BaseException) -> None:
        """Answer a command that was let go of with why it cannot be decided."""
        pending.failure = failure
        _give([pending])

    def many_waiting(self) -> int:
        """How many commands are decided, and wait to be written."""
        return len(self._waiting)

    def weight_of(self, stream: str) -> int:
        """The stored bytes behind a stream, if it is known without reading; otherwise 0."""
        known = self._ahead.get(stream) or self._rules.states.get(stream)
        return known.weight if known else 0

    @property
    def is_writing(self) -> bool:
        """Whether somebody writes, who will write what waits too."""
        return self._writing.locked()

    def write_what_waits(self) -> None:
        """Write what is decided, unless somebody else is at it, who then writes this too."""
        while self._waiting and self._writing.acquire(blocking=False):
            try:
                while batch := self._take():
                    begun = perf_counter()
                    while batch:
                        batch = self._write(batch)
                    if self._waiting and current_thread() is not main_thread():  # Which may be interrupted while it waits.
                        self._let_gather(perf_counter() - begun)
            finally:
                self._writing.release()

    def _let_gather(self, took_s: float) -> None:
        """Let those come who were answered just now, to be written with those who wait already."""
        loop = self._waiting[0].loop if self._waiting[0].quick else None
        if loop is None:
            linger(took_s, lambda: self.under_way)
            return
        quiet = Lock()
        quiet.acquire()
        with suppress(RuntimeError):  # A loop that is closed brings nothing more.
            loop.call_soon_threadsafe(when_quiet, loop, self.many_waiting, quiet.release)
            quiet.acquire(timeout=2 * MOST_GATHERING_S)

    def refuse(self) -> None:
        """Take nothing more in."""
        with self._changed:
            self._closed = True

    def close(self) -> None:
        """Take nothing more in, and finish what was taken in."""
        self.refuse()
        self.write_what_waits()  # A loop that is closed sees to nothing any more.
        with self._changed:
            self._changed.wait_for(lambda: self._untold == 0)

    def _decide(self, pending: Pending, folder: Folder) -> None:
        """Decide outside the lock."""
        _refuse_unfit(pending.request)
        try:
            self._decide_on(pending, folder, self._ahead)
        except NotYetWritten:
            self._decide_on(pending, folder, {})

    def _decide_on(self, pending: Pending, folder: Folder, waiting: Mapping[str, Known[Any]]) -> None:
        facts = NotedFacts(Remembered(self._rules.states, waiting), folder, self._log.reads, self._rules.seals)
        request = pending.request
        try:
            self._refuse_moved(request)
            pending.prepared = self._rules.prepare(pending.command, request, facts)
        except (Unavailable, NotYetWritten, TakesLong):
            raise  # There is nobody to ask what follows, or it is decided again at once.
        except Exception:
            if facts.ahead:
                return  # Refused on what may never be: it is decided again in the writer's turn.
            if request.spent is not None and self._log.reads.receipts([request.spent]):
                return  # It is answered in the writer's turn, on the connection on which what is seen was confirmed.
            if self._moved(facts):
                return  # Refused on what no longer holds: it is decided again in the writer's turn.
            raise

    def _refuse_moved(self, request: Request) -> None:
        if request.expected:
            _refuse_unexpected(request, self._log.reads.versions(request.expected))

    def _moved(self, facts: NotedFacts) -> bool:
        now = self._log.reads.versions(facts.known)
        return any(known.version != now[name] for name, known in facts.known.items())

    def _take(self) -> list[Pending]:
        batch: list[Pending] = []
        entries = 0
        while self._waiting and len(batch) < MOST_COMMANDS_A_BATCH and entries < MOST_ENTRIES_A_BATCH:
            pending = self._waiting.popleft()
            entries += len(pending.prepared.drafts) if pending.prepared else 0
            batch.append(pending)
        return batch

    def _write(self, batch: list[Pending]) -> list[Pending]:
        """Write a batch and answer it; those for whom it must be tried again are left, fewer each time."""
        begun, entries, failed, again = perf_counter(), 0, False, list[Pending]()
        try:
            with self._log.turn(_expected(batch)) as turn:
                self._settle_all(_Batch(turn, self._rules), batch)
            entries = len(turn.placed)
            self._conclude(batch, turn)
        except _Spoiled as spoiled:
            # The one whose statement failed goes alone; of the others nothing is written yet, and nothing is known against them.
            again = [pending for pending in batch if pending is not spoiled.by]
            batch = [spoiled.by]
            for pending in again:
                pending.prepared, pending.rows, pending.repeats, pending.failure = None, (), None, None
        except BaseException as failure:  # noqa: BLE001 (whoever waits must be told, whatever it is)
            failed = True
            for pending in batch:
                if pending.recorded is None:
                    pending.failure = failure  # Also of those who were refused in this turn: on what may never have been.
        for watcher in self.watchers:
            with suppress(Exception):
                watcher(Written(len(batch), entries, perf_counter() - begun, failed))
        self._answer(batch)
        return again

    def _settle_all(self, made: _Batch, batch: Iterable[Pending]) -> None:
        for pending in batch:
            try:
                self._settle(made, pending)
            except Unavailable:
                raise  # It is everybody's answer.
            except Exception as failure:
                pending.failure = failure
                if made.turn.spoiled:
                    raise _Spoiled(pending) from failure

    def _settle(self, made: _Batch, pending: Pending) -> None:
        turn, request = made.turn, pending.request
        if request.spent is not None and (receipt := made.receipts.get(request.spent)):
            _refuse_another(request, receipt)
            pending.repeats = receipt
            return
        if request.expected:
            turn.learn(request.expected)
            _refuse_unexpected(request, {stream: turn.version(stream) for stream in request.expected})
        prepared = pending.prepared
        if prepared is None or not made.holds(prepared):
            prepared = pending.prepared = made.decide(pending)
            self._take_back([pending])
            self._promise(pending)
        pending.position = turn.position
        if pending.dry_run:
            pending.rows = turn.place(prepared.drafts, keep=False)
        else:
            made.keep(pending, prepared)

    def _conclude(self, batch: Iterable[Pending], turn: Turn) -> None:
        """Make the answers, now that everything is on disk."""
        for pending in batch:
            if pending.failure is None:
                try:
                    pending.recorded = self._concluded(pending, turn)
                except Exception as failure:  # noqa: BLE001 (it is this command's answer, and nobody else's)
                    pending.failure = failure

    def _concluded(self, pending: Pending, turn: Turn) -> Recorded | None:
        if pending.repeats is not None:
            return self._repeated(pending.repeats, dry_run=pending.dry_run)
        if pending.prepared is None:
            return None
        if not pending.dry_run:
            for name, known in pending.prepared.after.items():
                self._rules.states.put(name, known)
        entries = _entries(pending, pending.prepared, turn)
        return Recorded(pending.position + 1, pending.position + len(entries), entries, dry_run=pending.dry_run)

    def _repeated(self, receipt: Receipt, *, dry_run: bool) -> Recorded:
        many = receipt.last - receipt.first + 1
        rows = self._log.reads.rows(receipt.first - 1, many) if many else ()
        entries = tuple(decode(row, self._rules.registry) for row in rows)
        return Recorded(receipt.first, receipt.last, entries, repeated=True, dry_run=dry_run)

    def _answer(self, batch: list[Pending]) -> None:
        self._take_back(batch)
        self._make_room(batch)  # Before the answer: whoever has it may send the next command at once.
        by_loop: dict[AbstractEventLoop | None, list[Pending]] = {}
        for pending in batch:
            by_loop.setdefault(pending.loop, []).append(pending)
        for loop, some in by_loop.items():
            if loop is None:
                _give(some)
            else:
                # A loop that is closed has nobody left in it who waits; what was recorded stays recorded.
                with suppress(RuntimeError):
                    loop.call_soon_threadsafe(_give, some)
        self._have_told(batch)  # After it: whoever closes the ledger waits until everybody is told.

    def _promise(self, pending: Pending) -> None:
        """Let others take for so what a command that waits will make of its streams."""
        if pending.prepared is not None and not pending.dry_run:
            pending.promised = pending.prepared.after
            self._ahead.update(pending.promised)

    def _take_back(self, batch: Iterable[Pending]) -> None:
        """What was promised is so, and remembered, or will never be."""
        for pending in batch:
            for stream, known in pending.promised.items():
                if self._ahead.get(stream) is known:
                    self._ahead.pop(stream, None)


def _expected(batch: Iterable[Pending]) -> Expected:
    """What a batch will ask of its turn, as far as it is known before."""
    prepared = [pending.prepared for pending in batch if pending.prepared]
    return Expected(
        streams={stream for each in prepared for stream in each.read},
        spent={pending.request.spent for pending in batch if pending.request.spent is not None},
        marks={mark for each in prepared for mark in each.strangers},
    )


def _give(answers: Iterable[Pending]) -> None:
    for pending in answers:
        # Somebody who cannot be told must not keep the others from being told.
        with suppress(Exception):
            pending.answer(pending.recorded, pending.failure)


def _entries(pending: Pending, prepared: Prepared, turn: Turn) -> tuple[Entry, ...]:
    recorded_at = moment_of(turn.recorded_at)
    request = pending.request
    return tuple(
        Entry(
            position=row.position,
            stream=row.stream,
            version=row.version,
            type=row.type,
            recorded_at=recorded_at,
            award=row.award,
            award_sequence=row.award_sequence or 0,
            previous=previous_of(row),
            person=request.actor.person,
            correlation=request.correlation,
            causation=request.causation,
            event=event,
            leaf=row.leaf,
        )
        for row, event in zip(pending.rows, prepared.events, strict=True)
    )


def _refuse_unfit(request: Request) -> None:
    """Refuse what the database could not take in: in the writer's turn it would take the whole batch down with it."""
    if request.key is not None and not (0 < len(request.key) <= MOST_KEY_LENGTH and request.key.isprintable()):
        raise KeyUnfit
    for text in (request.actor.person, request.fingerprint):
        if not text.isprintable():
            raise ValueError(f"{text!r} cannot stand in a receipt")


def _refuse_another(request: Request, receipt: Receipt) -> None:
    if receipt.fingerprint != request.fingerprint:
        raise KeySpent(key=request.key)


def _refuse_unexpected(request: Request, versions: Mapping[str, int]) -> None:
    for stream, version in request.expected.items():
        if versions[stream] != version:
            raise VersionHasMoved(expected=version, now=versions[stream])
