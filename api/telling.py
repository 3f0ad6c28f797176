"""What a request is told, noted while it is answered, and kept among the disclosures when it was."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from api.problems import NotNow
from domain.reference import canonical
from ledger.disclosures import Disclosure, Disclosures

_REFUSED: Final = 400


class NothingIsToldNow(NotNow):
    """What is told cannot be recorded at the moment, so nothing is told; commands are taken all the same."""


@dataclass(slots=True)
class Telling:
    """What is being told."""

    is_dry_run: bool = False
    """Whether a command tells what would follow, and leaves no entry."""
    is_told: bool = True
    """Whether anything is told; what could not be kept is not."""
    key: str | None = None
    opened: Collection[str] = ()
    """The awards that the key names."""
    begin: int | None = None
    """The position after which what is told was recorded, where that was asked."""
    as_of: int | None = None
    effective_on: str | None = None
    rows: int | None = None


_TELLING: Final[ContextVar[Telling]] = ContextVar("telling")


@contextmanager
def noting() -> Iterator[Telling]:
    """Whoever answers within can note what is told."""
    telling = Telling()
    token = _TELLING.set(telling)
    try:
        yield telling
    finally:
        _TELLING.reset(token)


def note(**told: Any) -> None:
    """Note something of what is told, by the names that `Telling` has for it."""
    telling = _TELLING.get(None)
    if telling is not None:
        for name, value in told.items():
            setattr(telling, name, value)


def expect_room(disclosures: Disclosures) -> None:
    """Refuse to tell what could not be kept."""
    if not disclosures.has_room:
        note(is_told=False)
        raise NothingIsToldNow(reason=disclosures.failing or "too much waits to be recorded")


def keep(disclosures: Disclosures, scope: Mapping[str, Any], told: Telling, *, route: str, status: int, at: str) -> None:
    """Keep what somebody who was recognised was told by a read, or by the dry run of a command, `at` a moment.

    Names that were refused may be anything: such a request is kept by its route, and its award if the key names it.
    """
    if not told.is_told or not (scope["method"] == "GET" or told.is_dry_run):
        return
    names, refused = scope.get("path_params", {}), status >= _REFUSED
    award = canonical(str(names["award"])) if "award" in names else None
    disclosures.put(
        Disclosure(
            told_at=at,
            request=scope["request_id"],
            person=scope["person"],
            key=told.key,
            origin=_origin(scope),
            route=f"{scope['method']} {route}{'?dry_run=true' if told.is_dry_run else ''}",
            resource=_resource(route, names, told.begin) if names and not refused else None,
            award=award if not refused or award in told.opened else None,
            as_of=told.as_of,
            effective_on=told.effective_on,
            status=status,
            told_rows=told.rows,
        )
    )


def _resource(route: str, names: Mapping[str, Any], begin: int | None) -> str:
    """The route with the names in it; where only what was recorded after a position is told, with that."""
    return route.format_map(names) + ("" if begin is None else f"?from={begin}")


def _origin(scope: Mapping[str, Any]) -> str:
    """From where a request came."""
    client = scope.get("client")
    return scope["app"].state.origin or (str(client[0]) if client else "unknown")
