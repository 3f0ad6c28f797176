"""Making models abreast: some of them in a process of their own, so that a second core works too.

Postings and their sums cost as much as all other models together, and neither needs anything of the other. What the other process
tells after each batch is how far its models have come; what it wrote is on disk by then, in tables that nobody shows yet.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from typing import Final

from ledger import store
from ledger.entry import Registry
from ledger.log import Log
from projections.following import Source, sparing_what_stays
from projections.models import Standing, Tables
from projections.projection import Projection

Step = Callable[[Tables, Source, list[Standing]], list[Standing]]
"""Takes models through the next batch."""

WORTH_IT: Final = 200_000
"""Entries from which on another process is worth the seconds that it takes to begin: it imports what this one has."""
_LOOK_S: Final = 0.2


class Fallen(RuntimeError):
    """The other process ended before its models were made."""


@dataclass(frozen=True, slots=True)
class _Given:
    """What the other process is told in the beginning."""

    url: str
    registry: Registry
    standings: list[Standing]
    upto: int
    step: Step


@dataclass(frozen=True, slots=True)
class _There:
    """What is read in the other process."""

    log: Log
    registry: Registry


def halves(standings: Sequence[Standing]) -> tuple[list[Standing], list[Standing]]:
    """Models in two parts that cost about the same; one has none where it is not worth it."""
    rows = [each for each in standings if isinstance(each.model, Projection)]
    return [each for each in standings if each not in rows], rows


class Elsewhere:
    """Models that another process makes, as it told last."""

    def __init__(self, standings: Sequence[Standing], upto: int, heard: Connection) -> None:
        self.standings = list(standings)
        self._upto = upto
        self._heard = heard

    def look(self, timeout_s: float = 0.0) -> None:
        """Hear what was told meanwhile; `Fallen` if the other process ended before its time."""
        while _goes_on(self.standings, self._upto) and self._heard.poll(timeout_s):
            try:
                told = self._heard.recv()
            except EOFError:
                raise Fallen(Fallen.__doc__) from None
            if isinstance(told, str):
                raise Fallen(told)
            models = {each.model.name: each.model for each in self.standings}
            self.standings = [replace(each, model=models[each.model.name]) for each in told]

    def wait(self) -> None:
        """Wait a moment for what is told next."""
        self.look(_LOOK_S)


@contextmanager
def elsewhere(step: Step, source: Source, standings: Sequence[Standing], upto: int) -> Iterator[Elsewhere]:
    """Have models made up to a position in another process, which ends with this block."""
    spawn = get_context("spawn")
    heard, telling = spawn.Pipe(duplex=False)
    url = source.log.engine.url.render_as_string(hide_password=False)
    given = _Given(url, dict(source.registry), list(standings), upto, step)
    process = spawn.Process(target=_make, args=(given, telling), daemon=True)
    process.start()
    telling.close()
    try:
        yield Elsewhere(standings, upto, heard)
    finally:
        process.terminate()
        process.join()
        heard.close()


def _make(given: _Given, telling: Connection) -> None:
    """What the other process does. Where its parent is gone, so is whoever wanted it."""
    standings = given.standings
    tables = Tables(store.engine(given.url, "views"), [each.model for each in standings])
    source = _There(Log(store.engine(given.url)), given.registry)
    parent = parent_process()
    with suppress(KeyboardInterrupt, BrokenPipeError), sparing_what_stays():
        try:
            while parent is not None and parent.is_alive() and _goes_on(standings, given.upto):
                standings = given.step(tables, source, standings)
                telling.send(standings)
        except Exception as error:  # noqa: BLE001 (whatever it is, whoever waits must hear of it)
            telling.send(f"{type(error).__name__}: {error}")


def _goes_on(standings: Sequence[Standing], upto: int) -> bool:
    return min(each.position for each in standings) < upto and not any(each.failed for each in standings)
