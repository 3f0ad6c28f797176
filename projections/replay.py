"""Checking: the log is folded once more, in memory, and compared with what the tables hold."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection

from ledger import merkle
from ledger.entry import Registry
from ledger.log import Reads
from projections.following import BATCH_CATCHING_UP
from projections.models import Standing, Tables
from projections.projection import Happened, Journal, Projection, Stored, Tally, by_entry

_MODULUS: Final = 2**256
_MOST_NAMED: Final = 20


class Source(NamedTuple):
    """Where entries are read, and what they can say."""

    reads: Reads
    registry: Registry


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of checking a model. `differences` name rows, at most 20; there are none if the model is what the log says."""

    name: str
    version: int
    position: int
    digest: str
    """Of the rows as the table holds them, in hexadecimal."""
    differences: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether the model is what the log says."""
        return not self.differences


@dataclass(slots=True)
class _Replayed:
    """A model as the log says it is."""

    standing: Standing
    rows: dict[Any, Any] = field(default_factory=dict)
    """Of a projection by stream; of a tally the sums by key."""
    digest: int = 0
    awards: set[str] = field(default_factory=set)
    """The awards of which a journal has rows."""
    faults: list[str] = field(default_factory=list)

    def take(self, happened: Happened) -> None:
        model = self.standing.model
        if happened.type not in model.folds or happened.position > self.standing.position or self.faults:
            return
        try:
            if isinstance(model, Projection):
                self.rows[happened.stream] = model.become(self.rows.get(happened.stream), happened)
            elif isinstance(model, Journal):
                made = model.made(happened)
                self.digest += model.digest_of(*made)
                self.awards.update(row[0] for row in made)
            elif isinstance(model, Tally):
                for key, amount in model.added(happened):
                    self.rows[key] = self.rows.get(key, 0) + amount
        except Exception as error:  # noqa: BLE001 (whatever it is, it is what is wrong with this model)
            self.faults.append(f"{happened.type} at {happened.position} cannot be folded: {type(error).__name__}: {error}")


def check(tables: Tables, source: Source, progress: Callable[[int, int], None]) -> tuple[Checked, ...]:
    """Compare every model with the log, as of the position that the model has come to."""
    with tables.turn_to_read() as connection:
        replayed = [_Replayed(each) for each in tables.standings(connection)]
        roots = _replay(source, replayed, progress)
        return tuple(_compare(tables, source, connection, each, roots) for each in replayed)


def _replay(source: Source, replayed: list[_Replayed], progress: Callable[[int, int], None]) -> dict[int, str]:
    size = max((each.standing.position for each in replayed), default=0)
    wanted = {each.standing.position for each in replayed}
    roots: dict[int, str] = {}
    frontier: list[bytes] = []
    after = 0
    while rows := source.reads.rows(after, BATCH_CATCHING_UP, upto=size):
        for row in rows:
            merkle.grow(frontier, row.position - 1, row.leaf)
            if row.position in wanted:
                roots[row.position] = merkle.root_of(frontier).hex()
            if row.type in source.registry:
                happened = Happened(row, source.registry)
                for each in replayed:
                    each.take(happened)
        after = rows[-1].position
        progress(after, size)
    return roots


def _compare(tables: Tables, source: Source, connection: Connection, replayed: _Replayed, roots: dict[int, str]) -> Checked:
    standing, faults = replayed.standing, replayed.faults
    if standing.failed is not None:
        faults.append(f"it has stopped: {standing.failed}")
    if standing.position and standing.position not in roots:
        faults.append(f"it has come to {standing.position}, but the log ends before")
    elif standing.root is not None and standing.root != roots[standing.position]:
        faults.append(f"it was made from another log: at {standing.position} its root is {standing.root}")
    digest, model = 0, standing.model
    if isinstance(model, Projection):
        for stored in _stored(tables, connection, standing):
            digest += model.digest_of(stored)
            faults += _difference(model, stored, replayed.rows.pop(stored[0], None))
        faults += [f"{stream}: the row is missing" for stream in replayed.rows]
    elif isinstance(model, Tally):
        for stored in _stored(tables, connection, standing):
            digest += model.digest_of(stored)
            *key, is_ = stored
            must = replayed.rows.pop(tuple(key), None)
            faults += [] if is_ == must else [f"{' '.join(key)}: is {is_}, must be {'no row' if must is None else must}"]
        faults += [f"{' '.join(key)}: the row is missing" for key in replayed.rows]
    else:
        in_order = _stored(tables, connection, standing, f"ORDER BY {', '.join(model.key)}")
        digest = sum(model.digest_of(*added) for added in by_entry(in_order))
        if (digest - replayed.digest) % _MODULUS:
            faults += _journal_differences(tables, source, connection, standing, replayed.awards)
    digest %= _MODULUS
    if digest != standing.digest and not faults:
        faults.append("its recorded digest is not that of its rows")
    return Checked(standing.model.name, standing.model.version, standing.position, f"{digest:064x}", tuple(faults[:_MOST_NAMED]))


def _difference(model: Projection[Any], stored: Stored, row: Any) -> Iterator[str]:
    if row is None:
        yield f"{stored[0]}: the log knows no such row"
        return
    expected = model.store(row)
    if wrong := [
        f"{column.name} is {is_!r}, must be {must!r}"
        for column, is_, must in zip(model.columns, stored, expected, strict=True)
        if is_ != must
    ]:
        yield f"{stored[0]}: {'; '.join(wrong)}"


def _journal_differences(
    tables: Tables, source: Source, connection: Connection, standing: Standing, known: set[str]
) -> Iterator[str]:
    """Award by award, so that no more than one award's rows are in memory."""
    awards = {award for (award,) in tables.ask(f"SELECT DISTINCT award FROM {standing.table}", (), connection)}  # noqa: S608 (ours)
    for award in sorted(awards | known):
        is_ = {row[:3]: row for row in _stored(tables, connection, standing, "WHERE award = ?", (award,))}
        must = {row[:3]: row for row in _made(source, standing, award)}
        for key in sorted(is_.keys() | must.keys()):
            if is_.get(key) != must.get(key):
                yield f"{' '.join(map(str, key))}: is {is_.get(key)}, must be {must.get(key)}"


def _made(source: Source, standing: Standing, award: str) -> Iterator[Stored]:
    model = standing.model
    for row in source.reads.walk(award=award, upto=standing.position):
        if isinstance(model, Journal) and row.type in model.folds:
            yield from model.made(Happened(row, source.registry))


def _stored(
    tables: Tables, connection: Connection, standing: Standing, those: str = "", parameters: tuple[str, ...] = ()
) -> Iterator[Stored]:
    names = ", ".join(column.name for column in standing.model.columns)
    sql = tables.sql(f"SELECT {names} FROM {standing.table} {those}")  # noqa: S608 (our own names)
    found = connection.exec_driver_sql(sql, parameters, execution_options={"stream_results": True})
    for row in found:
        yield tuple(row)
