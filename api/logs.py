"""Logs for whoever runs the ledger: names and values, on standard error, for people or as one JSON object a line.

What participants, notes and bank details say never gets here (L5), nor do keys, bodies or the messages of errors that quote what
they were given. `logging` (uvicorn, alembic, SQLAlchemy) comes out the same way.
"""

import logging
import sys
import traceback
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Final, Literal, TextIO

import orjson
import structlog
from structlog.stdlib import BoundLogger
from structlog.typing import Processor

from domain.refusal import Refused

KEPT_OUT: Final = "(kept out)"
_SECRET: Final = frozenset(
    {
        *("account_name", "account_number", "authorization", "body", "cookie", "database_password", "database_url"),
        *("headers", "key", "note", "password", "reference", "references", "secret", "sort_code", "text", "title", "vault_key"),
    }
)
_QUOTING: Final = (LookupError, ValueError, TypeError, Refused)
"""Errors whose message may quote what somebody sent."""
_QUOTING_NAMES: Final = frozenset({"DataError", "IntegrityError"})
"""The same, of databases: these and whatever is one of them."""
_FRAMES_MOST: Final = 20

Line = MutableMapping[str, Any]


def configure(level: str = "info", form: Literal["console", "json"] = "console", out: TextIO | None = None) -> None:
    """Log from a level (`debug` … `error`) on, for people or for machines. Calling it again replaces the earlier set-up."""
    stream = out or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        _tell_error,
        _keep_out,
    ]
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=BoundLogger,
        cache_logger_on_first_use=False,
    )
    written = logging.StreamHandler(stream)
    written.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(form, stream)],
        )
    )
    root = logging.getLogger()
    root.handlers = [written]
    root.setLevel(level.upper())
    _quieten()


def logger(name: str) -> BoundLogger:
    """A logger of a module: `log.info("claim submitted", award=…, claim=…)`."""
    bound: BoundLogger = structlog.stdlib.get_logger(name)
    return bound


@contextmanager
def bound(*, request: str, correlation: str | None = None, **more: str) -> Iterator[None]:
    """Have every line within tell of which request it is, and of which chain of requests (which it begins unless told)."""
    with structlog.contextvars.bound_contextvars(request=request, correlation=correlation or request, **more):
        yield


def _keep_out(_logger: Any, _method: str, line: Line) -> Line:
    """Keep values out whose name says that they may not be told; the mistake shows, the value does not."""
    for name in line.keys() & _SECRET:
        line[name] = KEPT_OUT
    return line


def _tell_error(_logger: Any, _method: str, line: Line) -> Line:
    """Tell an error by its type, where it came from, and the first line of its message unless that may quote what was sent."""
    error = _error(line.pop("exc_info", None))
    return line if error is None else {**line, **told(error)}


def told(error: BaseException) -> dict[str, Any]:
    """An error as it may be logged: its type, where it came from, and what it says unless that may quote what was sent."""
    line: dict[str, Any] = {"error": type(error).__name__}
    if not _quotes(error):
        line["because"] = str(error).partition("\n")[0]
    line["where"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in _frames(error.__traceback__)]
    return line


def _quotes(error: BaseException) -> bool:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    return isinstance(error, _QUOTING) or type(error).__name__ == "StatementError" or not kinds.isdisjoint(_QUOTING_NAMES)


def _error(given: Any) -> BaseException | None:
    if isinstance(given, BaseException):
        return given
    if isinstance(given, tuple):
        found = given[1]
        return found if isinstance(found, BaseException) else None
    return sys.exc_info()[1] if given else None


def _frames(begin: TracebackType | None) -> list[traceback.FrameSummary]:
    return traceback.extract_tb(begin)[-_FRAMES_MOST:]


def _renderer(form: Literal["console", "json"], stream: TextIO) -> Processor:
    if form == "json":
        return structlog.processors.JSONRenderer(serializer=_json)
    return structlog.dev.ConsoleRenderer(colors=stream.isatty(), timestamp_key="at")


def _json(line: Any, **_unused: Any) -> str:
    return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def _quieten() -> None:
    """Silence those who would log addresses with what is asked in them: the service logs requests by their route."""
    for name in ("uvicorn.access", "httpx", "httpcore"):
        quiet = logging.getLogger(name)
        quiet.handlers = []
        quiet.setLevel(logging.WARNING)
    for name in ("uvicorn", "uvicorn.error"):
        theirs = logging.getLogger(name)
        theirs.handlers = []
        theirs.propagate = True
