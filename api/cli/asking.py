"""What all commands have in common that act by a key: which ledger, whose key, and how the answer is wanted.

`@asks` is for those that look as of a moment, `@looks` for those that look between two, `@does` for those that write: they give a
command their options, and what acts with them as its first parameter.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import update_wrapper
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Concatenate, Final, ParamSpec, TypeVar

import typer

from api.cli.access import Access, DataDir, Declined, Json, KeyFile, KeyText, act, key_of, settings_with
from api.cli.screen import AsJson, say, tell_json
from api.settings import Settings

P = ParamSpec("P")
A = TypeVar("A", bound="Acting")

AsOf = Annotated[str | None, typer.Option(help="As recorded then: a position, or a time.", show_default=False)]
EffectiveOn = Annotated[str | None, typer.Option(help="As in effect on that day.", show_default=False)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say whether it could be done and what it would do; record nothing.")]
Named = Annotated[
    str | None,
    typer.Option(help="Names this request: the same again is done once, however often it is sent.", show_default=False),
]


@dataclass(frozen=True, slots=True)
class Acting:
    """Somebody at the command line."""

    ours: Settings
    key: str
    as_json: bool


@dataclass(frozen=True, slots=True)
class Looking(Acting):
    """Somebody who looks at what lies between two moments."""

    def found_whole(self, path: str, **asked: Any) -> "tuple[Json, People] | None":
        """An answer with all its rows, page after page, and people's names; nothing where it has been told to a machine."""

        async def look(me: Access) -> tuple[Json, People]:
            return await me.whole(path, **asked), People({} if self.as_json else await names_of(me))

        answer, people = act(self.ours, self.key, look)
        if self.as_json:
            tell_json(answer)
            return None
        return answer, people


@dataclass(frozen=True, slots=True)
class Asking(Acting):
    """Somebody who looks, as of a moment on either axis; nothing: now."""

    as_of: str | None
    effective_on: str | None

    def get(self, path: str) -> Any:
        """What there is at an address."""
        return act(self.ours, self.key, lambda me: me.get(path, **self._moment))

    def answer(self, path: str) -> Any:
        """What there is at an address; nothing where it has been told to a machine."""
        return self._told(self.get(path))

    def rows(self, path: str) -> list[Json] | None:
        """Every row of a list; nothing where they have been told to a machine."""
        found: list[Json] | None = self._told(act(self.ours, self.key, lambda me: me.every(path, **self._moment)))
        return found

    def found(self, path: str, *, every: bool = False, **asked: Any) -> "tuple[Any, People] | None":
        """What there is, or `every` row of a list, with people's names; nothing where it has been told to a machine."""

        async def look(me: Access) -> tuple[Any, People]:
            told = await (me.every if every else me.get)(path, **self._moment, **asked)
            return told, People({} if self.as_json else await names_of(me))

        answer, people = act(self.ours, self.key, look)
        return None if self._told(answer) is None else (answer, people)

    def _told(self, answer: Any) -> Any:
        if not self.as_json:
            return answer
        tell_json(answer)
        return None

    @property
    def _moment(self) -> dict[str, str | None]:
        return {"as_of": self.as_of, "effective_on": self.effective_on}


@dataclass(frozen=True, slots=True)
class Doing(Acting):
    """Somebody who writes, or tries whether they could."""

    dry_run: bool
    name: str | None

    def get(self, path: str) -> Any:
        """What there is at an address, before it is changed."""
        return act(self.ours, self.key, lambda me: me.get(path))

    def send(self, path: str, body: Any = None, *, method: str = "POST") -> Json:
        """Send the command."""
        return act(self.ours, self.key, lambda me: me.send(path, body, name=self.name, method=method, dry_run=self.dry_run))

    def do(self, path: str, body: Any, said: str, could: str, then: str = "", *, method: str = "POST") -> Json | None:
        """Send the command and say what was done, and what comes `then`, or what could be done.

        Gives the answer, unless a machine has been told it.
        """
        done = self.send(path, body, method=method)
        if self.as_json:
            tell_json(done)
            return None
        if self.dry_run:
            say(f"✓ {could}; nothing was recorded.")
        else:
            say(f"✓ {said}.", *([then] if then else []))
        return done


class People:
    """People's names by their ids, as far as whoever asks may know them."""

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names

    def __getitem__(self, person: str | None) -> str:
        """A name, or an id of which no name is known; nothing of nobody."""
        return self._names.get(person, person) if person else ""


async def names_of(me: Access) -> dict[str, str]:
    """People by their ids, for those who may know them."""
    try:
        people = await me.every("/people")
    except Declined:
        return {}
    return {each["person"]: f"{each['name'] or each['person']}, {each['party']}" for each in people}


# The options -----------------------------------------------------------------------------------------------------------


def asks(deed: Callable[Concatenate[Asking, P], None]) -> Callable[P, None]:
    """A command that looks: `--as-of`, `--effective-on`, and whose key, which ledger, `--json`."""
    return _optioned(deed, Asking, {"as_of": AsOf, "effective_on": EffectiveOn})


def looks(deed: Callable[Concatenate[Looking, P], None]) -> Callable[P, None]:
    """A command that looks between moments of its own: whose key, which ledger, `--json`."""
    return _optioned(deed, Looking, {})


def does(deed: Callable[Concatenate[Doing, P], None]) -> Callable[P, None]:
    """A command that writes: `--dry-run`, `--idempotency-key`, and whose key, which ledger, `--json`."""
    return _optioned(deed, Doing, {"dry_run": DryRun, "idempotency_key": Named})


_EVERYBODYS: Final[Mapping[str, Any]] = {"key": KeyText, "key_file": KeyFile, "data_dir": DataDir, "as_json": AsJson}
_FALSE_UNLESS_SAID: Final = frozenset({"dry_run", "as_json"})


def _optioned(deed: Callable[Concatenate[A, P], None], acting: Callable[..., A], own: Mapping[str, Any]) -> Callable[P, None]:
    options = {
        name: Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind, default=False if name in _FALSE_UNLESS_SAID else None)
        for name, kind in {**own, **_EVERYBODYS}.items()
    }

    def command(*given: P.args, **named: P.kwargs) -> None:
        taken: dict[str, Any] = {name: named.pop(name) for name in options}
        everybodys = _acting(**{name: taken.pop(name) for name in _EVERYBODYS})
        deed(acting(*everybodys, *taken.values()), *given, **named)

    _, *parameters = signature(deed).parameters.values()
    update_wrapper(command, deed)
    command.__signature__ = signature(deed).replace(parameters=[*parameters, *options.values()])  # type: ignore[attr-defined]
    command.__annotations__ = {each.name: each.annotation for each in (*parameters, *options.values())}
    return command


def _acting(key: str | None, key_file: Path | None, data_dir: Path | None, *, as_json: bool) -> tuple[Settings, str, bool]:
    ours = settings_with(data_dir)
    return ours, key_of(ours, key, key_file), as_json
