"""The log and what is kept beside it, as they were at one moment, whoever writes meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ledger import failures
from ledger.log import Log, Reads
from ledger.wire import Rows, Wire


class Snapshot(Reads):
    """What can be asked of the log as it was when it was first asked."""

    def ask(self, sql: str, *parameters: Any) -> Rows:
        """The rows that answer a statement, as the driver has them."""
        return self._rows(sql, *parameters)


@contextmanager
def snapshot(log: Log) -> Iterator[Snapshot]:
    """A log as it is now; nothing is held up by it."""
    with failures.told(), log.engine.connect() as connection:
        begin = "BEGIN" if log.statements.sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
        connection.exec_driver_sql(begin)
        try:
            yield Snapshot(log.statements, Wire(connection).ask)
        finally:
            connection.exec_driver_sql("ROLLBACK")
