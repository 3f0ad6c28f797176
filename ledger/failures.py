"""What a database does to us, told in our words: whether it is the database's failure and passes, or a defect and does not.

A lost connection, a full disk, a lock that somebody else holds: `Unavailable`, and the same request may be sent again. A wrong
statement or a broken constraint is a defect, and stays the driver's error. What is known of a failure are SQLSTATEs and SQLite's
result codes; messages are for people, and come in many languages.
"""

import sqlite3
from types import TracebackType
from typing import Final

from sqlalchemy import exc

_LOST: Final = "the connection to it is lost or refused"
BUSY: Final = "somebody else holds it locked"
_FULL: Final = "its disk is full"
READ_ONLY: Final = "it can only be read"
_CROWDED: Final = "it takes no more connections"
_STOPPED: Final = "it is starting up or shutting down"
_SLOW: Final = "it does not answer in time"
_BROKEN: Final = "its disk or memory fails"

_SQLITE: Final = {
    sqlite3.SQLITE_BUSY: BUSY,
    sqlite3.SQLITE_LOCKED: BUSY,
    sqlite3.SQLITE_PROTOCOL: BUSY,
    sqlite3.SQLITE_READONLY: READ_ONLY,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_IOERR: _BROKEN,
    sqlite3.SQLITE_NOMEM: _BROKEN,
    sqlite3.SQLITE_CANTOPEN: _BROKEN,
}
_POSTGRESQL: Final = {
    "08": _LOST,
    "25006": READ_ONLY,  # A standby, or a primary that has become one.
    "25P03": _SLOW,
    "25P04": _SLOW,
    "40001": BUSY,
    "40P01": BUSY,
    "53": _BROKEN,
    "53100": _FULL,
    "53300": _CROWDED,
    "55P03": BUSY,
    "57014": _SLOW,
    "57P": _STOPPED,
    "58": _BROKEN,
}
"""Why, by the longest beginning of a SQLSTATE."""


class Unavailable(RuntimeError):
    """The database cannot be used at the moment. Nothing was recorded; send it again."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"{self.__doc__} ({reason})")
        self.reason = reason
        """One of a few sentences, without anything of what was asked."""


class OutcomeUnknown(Unavailable):
    """The database failed while it was recording: the same request under the same idempotency key tells what became of it."""


class told:  # noqa: N801 (reads as a word: `with failures.told():`)
    """Raise `Unavailable` for what is the database's failure; anything else as it is."""

    def __enter__(self) -> None: ...

    def __exit__(self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None) -> None:
        if isinstance(error, Exception) and (reason := reason_of(error)) is not None:
            raise Unavailable(reason) from error


def reason_of(error: BaseException) -> str | None:
    """Why the database cannot be used, or nothing if the error says something else."""
    match error:
        case exc.TimeoutError():
            return _CROWDED
        case exc.PendingRollbackError() | exc.ResourceClosedError():
            return _LOST  # What SQLAlchemy says of a connection that was lost a statement before.
        case exc.DBAPIError():
            return _driver(error.orig) or (_LOST if error.connection_invalidated else None)
        case _:
            return None if isinstance(error, OSError) else _driver(error)


def is_loss(error: BaseException) -> bool:
    """Whether the server went away, so that a question can be asked again on another connection."""
    return reason_of(error) in {_LOST, _STOPPED}


def _driver(error: BaseException | None) -> str | None:
    if isinstance(error, OSError):
        return _LOST
    if isinstance(error, sqlite3.Error):
        return _SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    return _postgresql(error) if error is not None and type(error).__module__.startswith("psycopg") else None


def _postgresql(error: BaseException) -> str | None:
    state = getattr(error, "sqlstate", None)
    if state is None:
        # Without an answer of the server's: it could not be reached, or is gone.
        return _LOST if type(error).__name__ in {"OperationalError", "ConnectionTimeout"} else None
    return next((_POSTGRESQL[state[:length]] for length in (5, 3, 2) if state[:length] in _POSTGRESQL), None)
