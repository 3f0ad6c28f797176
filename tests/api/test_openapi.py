"""The service is as its OpenAPI document says, whatever it is sent: no failure, no undeclared status, type or shape."""

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import quote
from zlib import crc32

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import CheckFunction
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi import checks

from api.app import create_app
from api.settings import Settings
from domain.key import Role
from tests.api import story
from tests.api.story import ASSESSOR, AWARD, KIRKLEES, SOCIAL_PRIME, Holder, Service
from tests.profiles import CI

T = TypeVar("T")

EXAMPLES: Final = 40 if CI else 8
CHECKS: Final[list[CheckFunction]] = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
MAY_WAIT: Final = "/problems/position-not-reached"
_KEYS: Final = count(1)

DOCUMENT: Final = create_app(Settings()).openapi()
schema = schemathesis.openapi.from_dict(DOCUMENT)
schema.config.generation.modes = list(GenerationMode)
schema.config.generation.deterministic = True


@dataclass
class Asked:
    """A service with a small history, in a thread of its own, so that tests without an event loop can ask it."""

    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    callers: list[Holder] = field(default_factory=list)
    names: dict[str, list[Any]] = field(default_factory=dict)

    def run(self, doing: Coroutine[Any, Any, T]) -> T:
        """Wait for something that the thread does."""
        return asyncio.run_coroutine_threadsafe(doing, self.loop).result(60)

    def send(self, request: httpx.Request) -> httpx.Response:
        """Send a request as it is."""
        return self.run(self.callers[0].http.send(request))

    def caller(self, number: int) -> Holder:
        """One of those who have a key."""
        return self.callers[number % len(self.callers)]


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    it, stack = Asked(), AsyncExitStack()
    thread = threading.Thread(target=it.loop.run_forever)
    thread.start()
    try:
        it.run(_begin(it, stack, tmp_path_factory.mktemp("openapi")))
        yield it
        it.run(stack.aclose())
    finally:
        it.loop.call_soon_threadsafe(it.loop.stop)
        thread.join()
        it.loop.close()


async def _begin(it: Asked, stack: AsyncExitStack, folder: Path) -> None:
    service = await stack.enter_async_context(story.serving(folder, min_position_wait_s=0.02))
    await story.gather(service)
    await story.agree_award(service)
    await story.submit(service, "2021-Q1")
    await story.verify(service, "2021-Q1")
    await story.approve(service)
    await story.draw_up(service)
    for number in range(4, 12):
        await story.submit(service, f"2021-Q{number}", [story.line(participant=f"KIR-{number:04}")])
    await story.verify(service, "2021-Q4")
    await story.verify(service, "2021-Q5")
    it.callers = [service.first, *[await _everything(service, party) for party in (SOCIAL_PRIME, ASSESSOR, KIRKLEES)]]
    person = await service.person("Odd, who leaves soon", KIRKLEES)
    it.names = {
        "award": [AWARD],
        "claim": ["2021-Q1", *(f"2021-Q{number}" for number in range(4, 12))],
        "run": ["KIR-2021-10"],
        "payer": [KIRKLEES, story.TOP_UP],
        "party": [KIRKLEES, SOCIAL_PRIME],
        "claimant": [SOCIAL_PRIME],
        "person": [person],
        "key": [(await service.give_key(person, "claimant")).key],
        "assessment": [1, 2, 3],
        "version": [1, 2],
        "outcome": ["ENTRY", "SUPPORT"],
        "refusal": ["approver-took-part"],
        "participant": ["KIR-0042", "KIR-0099"],
    }


async def _everything(service: Service, party: str) -> Holder:
    """Somebody whose key opens everything but administration."""
    person = await service.person(f"Ona of {party}", party)
    return await service.give_key(person, *(role for role in Role if role is not Role.ADMINISTRATOR), awards=("*",))


def _mark(value: Any) -> int:
    return crc32(repr(value).encode("utf-8", "backslashreplace"))


def _named(asked: Asked, name: str, value: Any) -> Any:
    """Mostly a name that there is, instead of what was made up."""
    mark = _mark(value)
    return value if name not in asked.names or mark % 4 == 0 else asked.names[name][mark // 4 % len(asked.names[name])]


def _with_names(asked: Asked, body: Any) -> Any:
    if isinstance(body, dict):
        return {
            name: _named(asked, name, value) if isinstance(value, str | int) else _with_names(asked, value)
            for name, value in body.items()
        }
    return [_with_names(asked, each) for each in body] if isinstance(body, list) else body


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_answers_as_declared(case: schemathesis.Case, asked: Asked) -> None:
    for name in list(case.path_parameters or {}):
        case.path_parameters[name] = _named(asked, name, case.path_parameters[name])
    case.body = _with_names(asked, case.body)
    mark = _mark((case.path_parameters, case.query, case.body))
    sent = requests.Request(**case.as_transport_kwargs(base_url="http://ledger.test")).prepare()
    headers = httpx.Headers([(name, value) for name, value in sent.headers.items()])
    if mark % 16:
        headers["Authorization"] = f"Bearer {asked.caller(mark // 16).secret}"
        headers["Idempotency-Key"] = f"openapi-{next(_KEYS)}"
    if mark % 3:
        headers.pop("If-Match", None)
        headers.pop("Ledger-Min-Position", None)
    request = httpx.Request(sent.method or "GET", sent.url or "", headers=headers, content=sent.body)
    answer = asked.send(request)
    answer.elapsed = answer.elapsed if hasattr(answer, "_elapsed") else None
    expect_no_failure(answer)
    case.validate_response(answer, checks=CHECKS)


def expect_no_failure(answer: httpx.Response) -> None:
    """An answer that says that the service failed is a defect, unless it was asked for what lies ahead."""
    if answer.status_code >= 500:
        assert answer.status_code == 503, answer.text
        assert answer.json()["type"] == MAY_WAIT, answer.text
