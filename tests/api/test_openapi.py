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

EXAMPLES: Final = 16 if CI else 8
CHECKS: Final[list[CheckFunction]] = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
MAY_WAIT: Final = "/problems/position-not-reached"
_KEYS: Final = count(1)

DOCUMENT: Final = create_app(Settings()).openapi()
OPERATIONS: Final = [(method.upper(), path) for path, operations in DOCUMENT["paths"].items() for method in operations]
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
    open_to = [await _everything(service, party) for party in (SOCIAL_PRIME, ASSESSOR, KIRKLEES)]
    it.callers = [*open_to, *open_to, service.first, service.ivo]
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
    """Somebody whose key opens everything."""
    person = await service.person(f"Ona of {party}", party)
    return await service.give_key(person, *Role, awards=("*",))


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
def test_answers_as_declared(case: schemathesis.Case[Any], asked: Asked) -> None:
    for name in list(case.path_parameters or {}):
        case.path_parameters[name] = _named(asked, name, case.path_parameters[name])
    case.body = _with_names(asked, case.body)
    for moment in sorted({"as_of", "from", "to"} & set(case.query or ())) if _mark(case.query) % 4 else ():
        case.query[moment] = str(_mark((moment, case.query)) % 40)  # The document's example lies ahead of this short history.
    mark = _mark((case.path_parameters, case.query, case.body))
    sent = requests.Request(**case.as_transport_kwargs(base_url="http://ledger.test")).prepare()
    headers = httpx.Headers({name: str(value) for name, value in sent.headers.items()})
    if mark % 16:
        headers["Authorization"] = f"Bearer {asked.caller(mark // 16).secret}"
        headers["Idempotency-Key"] = f"openapi-{next(_KEYS)}"
    if mark % 3:
        headers.pop("If-Match", None)
        headers.pop("Ledger-Min-Position", None)
    body: Any = sent.body
    request = httpx.Request(sent.method or "GET", sent.url or "", headers=headers, content=body)
    answer = asked.send(request)
    expect_no_failure(answer)
    case.validate_response(answer, checks=CHECKS)


def expect_no_failure(answer: httpx.Response, told: str = "") -> None:
    """An answer that says that the service failed is a defect, unless it was asked for what lies ahead."""
    if answer.status_code >= 500:
        assert answer.json()["type"] == MAY_WAIT, f"{told} {answer.text}"


# What all commands promise ---------------------------------------------------------------------------------------------


SENDING_AGAIN = {
    ("POST", "/v1/webhooks/{webhook}/deliveries/{sequence}/resend"),
    ("POST", "/v1/webhooks/{webhook}/replay"),
    ("POST", "/v1/webhooks/{webhook}/test"),
}
"""What changes nothing in the ledger: what was recorded is told once more."""


class TestEveryCommand:
    """Whatever changes the ledger can be tried before it is done, and sent again without being done twice."""

    @pytest.mark.parametrize(("method", "path"), [each for each in OPERATIONS if each[0] != "GET" and each not in SENDING_AGAIN])
    def test_can_be_tried_and_sent_again(self, method: str, path: str) -> None:
        command = DOCUMENT["paths"][path][method.lower()]
        assert {("query", "dry_run"), ("header", "idempotency-key"), ("header", "if-match")} <= parameters(command)
        for status in ("200", "201"):
            assert {"dry_run", "position", "count", "entries"} <= properties(command["responses"][status])
        assert {"Idempotency-Hit", "Ledger-Position"} <= set(command["responses"]["201"]["headers"])
        refusals = {name for answer in command["responses"].values() for name in examples(answer)}
        assert {"idempotency-key-is-missing", "key-spent"} <= refusals

    @pytest.mark.parametrize("path", [path for method, path in OPERATIONS if method == "GET"])
    def test_is_no_get(self, path: str) -> None:
        question = DOCUMENT["paths"][path]["get"]
        assert {("query", "dry_run"), ("header", "idempotency-key")}.isdisjoint(parameters(question))
        assert "201" not in question["responses"]


def parameters(operation: dict[str, Any]) -> set[tuple[str, str]]:
    return {(each["in"], each["name"].lower()) for each in operation.get("parameters", ())}


def properties(answer: dict[str, Any]) -> set[str]:
    name = answer["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    return set(DOCUMENT["components"]["schemas"][name]["properties"])


def examples(answer: dict[str, Any]) -> set[str]:
    return set(answer.get("content", {}).get("application/problem+json", {}).get("examples", ()))


# What no schema says --------------------------------------------------------------------------------------------------

DEEP: Final = 100_000
ODD_TEXTS: Final = (
    "",
    "\0",
    "a\0b",
    "\x7f",
    "\u202eKIR",
    "\ufeff",
    "\U0010ffff",
    "\u0661",
    "²",
    "1e5",
    "1e999999999",
    "-0",
    "NaN",
    "Infinity",
    "9" * 5_000,
    "0." + "0" * 400 + "1",
    "1_000",
    " 1",
    "0001-01-01",
    "9999-12-31",
    "0000-00-00",
    "2021-02-30",
    "A" * 70_000,
)
ODD_VALUES: Final = (
    *(json.dumps(text).encode() for text in ODD_TEXTS),
    *(b'"\\ud800"', b'"\\udfff\\ud800"', b'"\xff"', b'"\xed\xa0\x80"', b'"\\u0000"'),
    *(b"null", b"true", b"[]", b"{}", b"[[]]", b"0", b"-1", b"1e400", b"-1e400", b"NaN", b"Infinity"),
    *(b"9" * 30, b"9" * 5_000, b"1." + b"9" * 5_000, b"1e-400", b'{"":{"":{}}}', b"[1,2,", b'{"a":1,"a":2}'),
)
ODD_BODIES: Final = (
    *ODD_VALUES,
    *(b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf{}", b"{", b"}", b"{'a': 1}", b"\x1f\x8b\x08"),
    *(b"[" * DEEP, b'{"a":' * DEEP, b"[" * DEEP + b"]" * DEEP, b'{"lines":' + b"[" * DEEP + b"]" * DEEP + b"}"),
)
ODD_TYPES: Final = (
    "",
    "json",
    "application/json; charset=utf-16",
    "application/json;;;=",
    "text/csv",
    "TEXT/CSV; x",
    "a/b/c",
    "\xff",
    "*/*",
)
ODD_HEADERS: Final = tuple(
    (name, value)
    for name in (
        "Authorization",
        "If-Match",
        "If-None-Match",
        "Ledger-Min-Position",
        "Idempotency-Key",
        "Accept",
        "Range",
    )
    for value in (
        "",
        " ",
        "Bearer",
        "Bearer \xff",
        "Basic Og==",
        '"',
        '"9' + "9" * 400 + '"',
        'W/"1"',
        "*",
        "²",
        "-1",
        "9" * 400,
        ",,,",
        "\t",
        "\xe9",
    )
)
ODD_QUERIES: Final = (
    *(
        f"{name}={value}"
        for name in ("as_of", "effective_on", "after", "upto", "limit", "stage", "payer", "dry_run", "claim", "period_first")
        for value in (
            "",
            "%00",
            "%FF",
            "%ED%A0%80",
            "9" * 400,
            "-1",
            "1e5",
            "NaN",
            "0001-01-01",
            "9999-12-31",
            "0001-01-01T00:00:00%2B14:00",
            "9999-12-31T23:59:59-14:00",
            "AAAA",
            "_____w",
            "MQ",
            "true",
            "%D9%A1",
        )
    ),
    *("", "&", "=", "?", "%", "as_of=1&as_of=2", "limit=1&limit=x", "%00=1", "a" * 2_000),
)
ODD_NAMES: Final = ("%00", "%FF", "%2e%2e", "%2F", "²", "a" * 3_000, "-1", "0", "9" * 30, "%ED%A0%80", "A%0A", "'", "%25")

QUESTIONS: Final = [path for method, path in OPERATIONS if method == "GET"]
COMMANDS: Final = [(method, path) for method, path in OPERATIONS if "requestBody" in DOCUMENT["paths"][path][method.lower()]]


class TestOddRequests:
    """What no client sends on purpose, and somebody will."""

    @pytest.mark.parametrize(("method", "path"), COMMANDS)
    def test_bodies_are_refused(self, asked: Asked, method: str, path: str) -> None:
        for body in ODD_BODIES:
            assert self._sent(asked, method, path, body=body).status_code >= 400, body[:80]
        for media_type in ODD_TYPES:
            self._sent(asked, method, path, body=b"{}", headers={"Content-Type": media_type})

    @pytest.mark.parametrize(("method", "path"), COMMANDS)
    def test_values_deep_within_a_good_body_are_refused(self, asked: Asked, method: str, path: str) -> None:
        for where, good in GOOD.get(path, {}).items():
            for odd in ODD_VALUES:
                self._sent(asked, method, path, body=good.replace(where.encode(), odd, 1), query="dry_run=true")

    @pytest.mark.parametrize(("method", "path"), OPERATIONS)
    def test_headers_queries_and_names_are_answered(self, asked: Asked, method: str, path: str) -> None:
        for name, value in ODD_HEADERS:
            self._sent(asked, method, path, body=b"{}", headers={name: value})
        for query in ODD_QUERIES:
            self._sent(asked, method, path, body=b"{}", query=query)
        for name in ODD_NAMES if "{" in path else ():
            self._sent(asked, method, path, body=b"{}", name=name)

    def _sent(
        self,
        asked: Asked,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        query: str = "dry_run=true",
        name: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        where, caller = path, asked.caller(0)
        for each, values in asked.names.items():
            where = where.replace(f"{{{each}}}", quote(str(values[0])) if name is None else name)
        asks = method != "GET" or "dry_run" not in query
        url = f"http://ledger.test{where}" + (f"?{query}" if asks and query else "")
        given = {
            "Authorization": f"Bearer {caller.secret}",
            "Idempotency-Key": f"odd-{next(_KEYS)}",
            "Content-Type": "application/json",
        }
        said = httpx.Headers({**given, **(headers or {})}, encoding="latin-1")
        answer = asked.send(httpx.Request(method, url, headers=said, content=body if method == "POST" else b""))
        told = f"{method} {url[:200]} {body[:80]!r} {headers}: {answer.status_code}"
        expect_no_failure(answer, told)
        if name is None:
            assert str(answer.status_code) in DOCUMENT["paths"][path][method.lower()]["responses"], told
        if answer.status_code >= 400:
            assert answer.headers["Content-Type"] == "application/problem+json", told
        return answer


GOOD: Final = {
    path: {mark: json.dumps(body).encode() for mark in marks}
    for path, body, marks in (
        (
            "/v1/awards",
            {"reference": "INDIGO-POJ-0001", "title": "Somewhere else", "terms": story.TERMS},
            (
                *('"INDIGO-POJ-0001"', '"Somewhere else"', '"2019-09-01"', '"GB-LAE-KIR"', '"lead-commissioner"', '"ENTRY"'),
                *('"Into a home of one\'s own"', '"person"', '"1400.00"', '"1"', '["ENTRY"]', "7", '"9/10"', '"439/619"'),
                *('"683620.00"', '"2024-11-30"', '"2350000.00"', '{"first": "2019-09-01", "last": "2024-08-31"}'),
            ),
        ),
        (
            "/v1/awards/{award}/claims",
            story.claim("2021-ODD"),
            (
                '"2021-ODD"',
                '"2021-07-01"',
                '"ENTRY"',
                '"1"',
                '"2021-08-02"',
                f'"{story.SHA}"',
                '"Tenancy agreement of 2 August"',
                '"KIR-0042"',
            ),
        ),
        (
            "/v1/awards/{award}/claims/{claim}/verification",
            {"lines": [{"line": 1, "rejected": "1", "deferred": "0", "reason": "other", "note": "Seen"}], "others": "accepted"},
            ("1", '"1"', '"0"', '"other"', '"Seen"', '"accepted"'),
        ),
        (
            "/v1/payment-runs",
            {"run": "KIR-ODD", "payer": KIRKLEES, "account": "MAIN", "payments": [{"award": AWARD, "assessment": 2}]},
            ('"KIR-ODD"', f'"{KIRKLEES}"', '"MAIN"', f'"{AWARD}"', "2"),
        ),
        *(
            (f"/v1/parties/{{party}}/bank-details/{deed}", story.ACCOUNT, tuple(f'"{value}"' for value in story.ACCOUNT.values()))
            for deed in ("proposal", "agreement")
        ),
        (
            "/v1/payment-runs/{run}/settlement",
            {
                "bank_reference": "B-1",
                "value_date": "2021-10-01",
                "amount": "1.00",
                "payments": [{"award": AWARD, "assessment": 1}],
            },
            ('"B-1"', '"2021-10-01"', '"1.00"', f'"{AWARD}"', ": 1}"),
        ),
    )
}
"""Good bodies, and what in each is made odd."""
