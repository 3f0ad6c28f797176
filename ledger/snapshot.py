"""The log and what is kept beside it, as they were at one moment, whoever writes meanwhile."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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

    @property
    def sqlite(self) -> bool:
        """Whether the database works in this process."""
        return self._sql.sqlite

    def batches(self, sql: str, after: int, at_once: int, beside: str) -> Iterator[tuple[Rows, Rows]]:
        """Rows in order, so many at once, of a statement that takes the number after which they come and how many.

        With each batch comes what a statement `beside` gives, which takes the number after which the batch begins, and its last.
        PostgreSQL finds the next ones while somebody looks at some; SQLite works in this process, and could not.
        """

        def read(after: int) -> tuple[Rows, Rows]:
            rows = self.ask(sql, after, at_once)
            return rows, self.ask(beside, after, rows[-1][0]) if rows else []

        if self.sqlite:
            while (batch := read(after))[0]:
                after = batch[0][-1][0]
                yield batch
            return
        with ThreadPoolExecutor(1, thread_name_prefix="reading-ahead") as ahead:
            coming = ahead.submit(read, after)
            while (batch := coming.result())[0]:
                coming = ahead.submit(read, batch[0][-1][0])
                yield batch


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
