"""The log and what is kept beside it, as they were at one moment, whoever writes meanwhile."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from ledger import failures
from ledger.log import Log, Reads, Statements
from ledger.wire import Rows, Wire


class Snapshot(Reads):
    """What can be asked of the log as it was when it was first asked."""

    def __init__(self, statements: Statements, wire: Wire) -> None:
        super().__init__(statements, wire.ask)
        self._wire = wire

    def ask(self, sql: str, *parameters: Any) -> Rows:
        """The rows that answer a statement, as the driver has them."""
        return self._rows(sql, *parameters)

    @property
    def sqlite(self) -> bool:
        """Whether the database works in this process."""
        return self._sql.sqlite

    def ahead(self) -> AbstractContextManager[object]:
        """Within it PostgreSQL finds the next batch while somebody looks at one; SQLite works in this process, and could not."""
        return self._wire.at_once()

    def batches(self, sql: str, after: int, at_once: int) -> Iterator[Rows]:
        """Rows in order, so many at once, of a statement that takes the number after which they come and how many."""
        coming = self._wire.send(self._sql(sql), (after, at_once))
        while rows := coming():
            coming = self._wire.send(self._sql(sql), (rows[-1][0], at_once))
            yield rows


@contextmanager
def snapshot(log: Log) -> Iterator[Snapshot]:
    """A log as it is now; nothing is held up by it."""
    with failures.told(), log.engine.connect() as connection:
        begin = "BEGIN" if log.statements.sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        connection.exec_driver_sql(begin)
        try:
            yield Snapshot(log.statements, Wire(connection))
        finally:
            connection.exec_driver_sql("ROLLBACK")
