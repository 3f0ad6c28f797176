"""How the command line acts: as a person, by a key, through the same routes as everybody else, in this process.

So there is one way in, with the same rights and the same refusals, whether a request comes over the network or not.
"""

import asyncio
import getpass
import json
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import httpx
import typer
from fastapi import FastAPI

from api import logs, signing
from api.app import create_app
from api.cli.screen import REFUSED, complaints
from api.delivering import Delivering, manner
from api.identity import FIRST_KEY_FILE, first_administrator
from api.settings import Settings, settings, vault_key
from ledger.checkpoints import Checkpointing
from ledger.ledger import Ledger
from ledger.log import Clock
from ledger.published_head import PublishedHead, Publishing

T = TypeVar("T")
Json = dict[str, Any]

_HERE: Final = "http://ledger.invalid/v1"
"""An address that leads nowhere: requests go to the application in this process."""
_PAGE: Final = 200

DataDir = Annotated[
    Path | None, typer.Option("--data-dir", help="Folder of the ledger, instead of LCLEDGER_DATA_DIR.", show_default=False)
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", help="File that holds your key, instead of LCLEDGER_KEY.", show_default=False, dir_okay=False),
]
KeyText = Annotated[
    str | None,
    typer.Option("--key", help="Your key; better in the environment, as LCLEDGER_KEY, than typed.", show_default=False),
]


class Mistaken(Exception):
    """What was asked for cannot be done, for a reason that whoever asked can mend."""

    code: int = REFUSED


class Declined(Mistaken):
    """The ledger refused, with a problem (RFC 9457)."""

    def __init__(self, problem: Mapping[str, Any]) -> None:
        self.problem = problem
        super().__init__(problem.get("detail") or problem.get("title") or "refused")

    @property
    def faults(self) -> list[tuple[str, str]]:
        """Where something is wrong, and what."""
        return [(fault["where"], fault["what"]) for fault in self.problem.get("faults", ())]

    @property
    def rule(self) -> str:
        """The stable name of the rule that refused."""
        return str(self.problem.get("type", "")).rpartition("/")[2]


def settings_with(data_dir: Path | None = None, **given: Any) -> Settings:
    """The settings, with what the command line says instead; quiet logs, because an answer is not a log."""
    found = settings(**({"data_dir": data_dir} if data_dir is not None else {}), **given)
    logs.configure("error" if found.log_level != "debug" else "debug", found.log_format)
    return found


def key_of(ours: Settings, shown: str | None = None, file: Path | None = None) -> str:
    """The key to act with: from a file, from LCLEDGER_KEY, or that of the embedded ledger's first administrator."""
    if file is None and shown is None and ours.key is not None:
        shown = ours.key.get_secret_value()
    if file is None and shown:
        return shown.strip()
    wanted = file or ours.data_dir / FIRST_KEY_FILE
    try:
        return wanted.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        said = "give --key-file, or set LCLEDGER_KEY" if file is None else "give another file"
        raise Mistaken(f"No key can be read from {wanted}: {said}.") from None


@dataclass(frozen=True, slots=True)
class Access:
    """A person's way in: requests that carry a key."""

    http: httpx.AsyncClient
    key: str

    @property
    def key_id(self) -> str:
        """By what the ledger knows the key."""
        return self.key.split("_")[1]

    async def get(self, path: str, **asked: Any) -> Any:
        """Read something."""
        return _told(await self.http.get(path, params=_given(asked), headers=self.headers))

    async def text(self, path: str, **asked: Any) -> str:
        """Read something that is no JSON."""
        return (await self.file(path, **asked)).decode()

    async def file(self, path: str, **asked: Any) -> bytes:
        """Read something as bytes."""
        answer = await self.http.get(path, params=_given(asked), headers=self.headers)
        if answer.is_error:
            _told(answer)
        return answer.content

    async def send(
        self, path: str, body: Any = None, *, name: str | None = None, method: str = "POST", dry_run: bool = False
    ) -> Json:
        """Send a command; `name` is its idempotency key, a random one unless it is to be the same next time."""
        headers = {**self.headers, "Idempotency-Key": name or secrets.token_hex(16)}
        params = {"dry_run": "true"} if dry_run else {}
        found: Json = _told(await self.http.request(method, path, json=body, params=params, headers=headers))
        return found

    async def send_csv(self, path: str, lines: bytes, asked: Mapping[str, str], *, dry_run: bool = False) -> Json:
        """Send a command whose body is CSV."""
        headers = {**self.headers, "Idempotency-Key": secrets.token_hex(16), "Content-Type": "text/csv"}
        params = {**asked, **({"dry_run": "true"} if dry_run else {})}
        found: Json = _told(await self.http.post(path, content=lines, params=params, headers=headers))
        return found

    async def every(self, path: str, **asked: Any) -> list[Json]:
        """All of a list, page after page."""
        found: list[Json] = rows_of(await self.whole(path, **asked))
        return found

    async def whole(self, path: str, **asked: Any) -> Any:
        """A list's answer, with all its rows, page after page."""
        first = page = await self.get(path, **{"limit": _PAGE, **asked})
        rows = rows_of(first)
        while isinstance(page, dict) and page.get("next"):
            page = await self.get(path, **{"limit": _PAGE, **asked, "after": page["next"]})
            rows += rows_of(page)
        return first if isinstance(first, list) else {**first, "rows": rows, "next": None}

    @property
    def headers(self) -> dict[str, str]:
        """What says who asks."""
        return {"Authorization": f"Bearer {self.key}"}


def rows_of(page: Any) -> list[Json]:
    """The rows of a page."""
    if isinstance(page, list):
        return page
    return next(value for value in page.values() if isinstance(value, list))


def _given(asked: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in asked.items() if value is not None}


def _told(response: httpx.Response) -> Any:
    try:
        answer = response.json() if response.content else {}
    except json.JSONDecodeError:
        answer = {"detail": response.text}
    if response.is_error:
        raise Declined(answer)
    return answer


def open_ledger(ours: Settings, *, clock: Clock | None = None, serving: bool = False) -> Ledger:
    """The ledger of the settings. Whoever serves makes its first administrator, and is alone with its files.

    An empty log of which a head was published is no new ledger, but one that was lost: then nothing is made in it, so that it
    can be restored into.
    """
    ledger = Ledger.open(
        ours.log_url,
        vault_key=vault_key(ours),
        clock=clock,
        serving=serving,
        most_waiting=ours.queue_most,
        most_of_one_person=ours.commands_per_person_most,
    )
    try:
        if serving:
            PublishedHead(ours.published_head_file).expect_in(ledger)
        if serving and (made := first_administrator(ledger, ours)):
            complaints().print(f"This is a new ledger. The key of its first administrator is in {made}")
    except BaseException:
        ledger.close()
        raise
    return ledger


def origin() -> str:
    """From where the command line asks: the account of the machine, where it has a name."""
    try:
        return f"command line of {getpass.getuser()}"
    except (KeyError, OSError):
        return "command line"


@asynccontextmanager
async def running(ours: Settings, *, clock: Clock | None = None, serving: bool = False) -> AsyncIterator[FastAPI]:
    """The application in this process, from its start to its end."""
    ledger = await asyncio.to_thread(open_ledger, ours, clock=clock, serving=serving)
    try:
        app = create_app(ours, ledger, origin=None if serving else origin())
        publishing = Publishing(ledger, PublishedHead(ours.published_head_file)) if serving else nullcontext()
        with publishing:
            async with app.router.lifespan_context(app):
                app.state.checkpointing = checkpointing = _signing(ours, app) if serving else None
                with checkpointing or nullcontext(), delivering(ours, app) if serving and ours.embedded else nullcontext():
                    yield app
    finally:
        await asyncio.to_thread(ledger.close)


def _signing(ours: Settings, app: FastAPI) -> Checkpointing | None:
    """What signs while the application runs, and has witnesses asked."""
    return signing.checkpointing(ours, app.state.checkpoints, app.state.asking)


def delivering(ours: Settings, app: FastAPI) -> Delivering:
    """What sends webhooks while the application runs."""
    state = app.state
    return Delivering(state.ledger, state.views, state.deliveries, state.checkpoints, manner(ours))


@asynccontextmanager
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    """What sends requests to an application in this process."""
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)  # a failure is told as a problem
    async with httpx.AsyncClient(transport=transport, base_url=_HERE, timeout=120) as http:
        yield http


def act(ours: Settings, key: str, deed: Callable[[Access], Awaitable[T]]) -> T:
    """Do something as a person, and be done."""
    if ours.embedded and not ours.log_file.exists():
        raise Mistaken(f"There is no ledger in {ours.data_dir}: `lcledger serve` makes one, `lcledger demo` one to try.")

    async def perform() -> T:
        async with running(ours) as app, client(app) as http:
            await asyncio.to_thread(app.state.views.catch_up)
            return await deed(Access(http, key))

    return asyncio.run(perform())
