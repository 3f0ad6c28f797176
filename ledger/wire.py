"""A connection as its driver has it: what SQLAlchemy does round a statement costs more than most statements of a turn do."""

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")

Rows = list[tuple[Any, ...]]
_FAILED: Final = frozenset({"INERROR", "UNKNOWN"})


class Question(NamedTuple, Generic[T]):
    """A statement in the driver's dialect, its parameters, and what its rows tell."""

    sql: str
    parameters: tuple[Any, ...]
    told: Callable[[Rows], T]


def asked(raw: Any, sql: str, parameters: tuple[Any, ...], *, sqlite: bool) -> Rows:
    """The rows that answer a statement to a driver's connection or cursor.

    PostgreSQL sends them as they are: bytes in hexadecimal, as it does otherwise, take twice the time.
    """
    found = raw.execute(sql, parameters) if sqlite else raw.execute(sql, parameters, binary=True)
    rows: Rows = found.fetchall()
    return rows


class Wire:
    """A connection to which things are said as its driver takes them, with the errors that the driver has for them."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        raw: Any = connection.connection.driver_connection
        self._raw = raw
        self._sqlite = connection.dialect.name == "sqlite"
        self._say: Any = raw.cursor() if self._sqlite else raw
        """What takes statements: an SQLite connection would make a cursor for each."""

    def begin(self, statements: Iterable[str], questions: Iterable[Question[Any]]) -> list[Any]:
        """Begin a transaction with some statements, and what is told of questions in it; one way there and back for all.

        Each question sees what there is when it is answered.
        """
        with self.at_once():
            for statement in statements:
                self._say.execute(statement)
            return self._told(questions)

    def commit(self, statements: Iterable[tuple[str, Any]]) -> None:
        """Say statements and commit, one way there and back for all."""
        with self.at_once():
            self.say(statements)
            self._say.execute("COMMIT")

    def roll_back(self) -> bool:
        """Undo what was said since the beginning, if there is anything; whether the connection is still good for anything."""
        try:
            if self._is_within:
                self._say.execute("ROLLBACK")
        except Exception:  # noqa: BLE001 (whatever it is that it says: it cannot even forget)
            return False
        return True

    def ask(self, sql: str, parameters: tuple[Any, ...]) -> Rows:
        """The rows that answer a statement."""
        return asked(self._say, sql, parameters, sqlite=self._sqlite)

    def send(self, sql: str, parameters: tuple[Any, ...]) -> Callable[[], Rows]:
        """Send a question; gives what tells its answer. Meanwhile PostgreSQL works it out, within `at_once`; SQLite waits."""
        if self._sqlite:
            return lambda: self.ask(sql, parameters)
        told: Callable[[], Rows] = self._say.execute(sql, parameters, binary=True).fetchall
        return told

    def say(self, statements: Iterable[tuple[str, Any]]) -> None:
        """Say statements; for SQLite with a list of parameters once for each of it."""
        for sql, parameters in statements:
            if isinstance(parameters, list):
                self._say.executemany(sql, parameters)
            else:
                self._say.execute(sql, parameters)

    def at_once(self) -> AbstractContextManager[object]:
        """Send what is said to PostgreSQL without waiting for each answer: each would be a way there and back."""
        return nullcontext() if self._sqlite else self._raw.pipeline()

    @property
    def spoiled(self) -> bool:
        """Whether a statement failed after which PostgreSQL takes no other in this transaction; SQLite goes on."""
        return not self._sqlite and self._raw.info.transaction_status.name in _FAILED

    @property
    def _is_within(self) -> bool:
        """Whether a transaction is begun, as far as this end knows."""
        return bool(self._raw.in_transaction) if self._sqlite else self._raw.info.transaction_status.name != "IDLE"

    @property
    def lost(self) -> bool:
        """Whether the server is at the other end no more; an SQLite file has no other end."""
        return not self._sqlite and bool(self._raw.closed)

    def _told(self, questions: Iterable[Question[Any]]) -> list[Any]:
        if self._sqlite:
            return [question.told(self.ask(question.sql, question.parameters)) for question in questions]
        asked = [(question, self._say.execute(question.sql, question.parameters)) for question in questions]
        return [question.told(answer.fetchall()) for question, answer in asked]
