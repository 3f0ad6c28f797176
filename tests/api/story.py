"""One award's story, step by step, through the service: its persons with their keys, its terms, and what they do.

Every answer is held against the OpenAPI document: a status or a problem that is not declared for its route fails the test.
"""

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
from fastapi import FastAPI

from api.app import create_app
from api.identity import FIRST_KEY_FILE
from api.settings import Settings

AWARD: Final = "INDIGO-POJ-0175"
KIRKLEES: Final = "GB-LAE-KIR"
TOP_UP: Final = "GB-GOR-D5"
SOCIAL_PRIME: Final = "GB-COH-11503344"
PROVIDER: Final = "GB-CHC-1080154"
INVESTOR: Final = "GB-COH-09843818"
ASSESSOR: Final = "GB-COH-00000175"
SHA: Final = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
ACCOUNT: Final = {"sort_code": "20-00-00", "account_number": "55779911", "account_name": "KBOP No. 2"}
_PROBLEM: Final = "application/problem+json"
_BRIEF: Final[dict[str, Any]] = {"feed_wait_s": 0.02, "webhook_loopback": True}

TERMS: Final[dict[str, Any]] = {
    "effective_from": "2019-09-01",
    "parties": [
        {"party": KIRKLEES, "roles": ["lead-commissioner"]},
        {"party": TOP_UP, "roles": ["top-up-payer"]},
        {"party": SOCIAL_PRIME, "roles": ["spv"]},
        {"party": PROVIDER, "roles": ["provider"]},
        {"party": INVESTOR, "roles": ["investor"]},
        {"party": ASSESSOR, "roles": ["verifier"]},
    ],
    "outcomes": [
        {"code": "ENTRY", "title": "Into a home of one's own", "unit": "person", "price": "1400.00", "max_per_participant": "1"},
        {
            "code": "SUSTAIN-3M",
            "title": "Three months in the same home",
            "unit": "person",
            "price": "700.00",
            "prerequisites": ["ENTRY"],
            "evidence_wanted": ["Tenancy agreement"],
        },
        {"code": "SUPPORT", "title": "Supported weeks", "unit": "day", "price": "850.00", "per": 7, "acceptance_rate": "9/10"},
    ],
    "payers": [
        {"party": KIRKLEES, "share": "439/619", "payee": SOCIAL_PRIME},
        {"party": TOP_UP, "share": "180/619", "payee": SOCIAL_PRIME, "maximum": "683620.00"},
    ],
    "service_window": {"first": "2019-09-01", "last": "2024-08-31"},
    "outcomes_window": {"first": "2019-09-01", "last": "2024-08-31"},
    "claims_close_on": "2024-11-30",
    "award_amount": "2350000.00",
    "illustrative": True,
}

PEOPLE: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "Ada, who administers too": ("XX-LCL-OPERATOR", ("administrator",)),
    "Cora, who claims": (SOCIAL_PRIME, ("claimant",)),
    "Vera, who verifies": (ASSESSOR, ("verifier",)),
    "Cesar, who certifies": (KIRKLEES, ("certifier",)),
    "Abe, who approves": (KIRKLEES, ("approver",)),
    "Rhea, who releases": (KIRKLEES, ("releaser",)),
    "Audrey, who audits": (TOP_UP, ("auditor",)),
    "Ivo, who invests": (INVESTOR, ("investor",)),
}
"""Who plays: the party of each and the roles of the key. The operator's first administrator is there from the start."""


@dataclass
class Clock:
    """A clock that moves when it is told, and a microsecond at every look."""

    now: datetime = datetime(2021, 10, 1, 9, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.now += timedelta(microseconds=1)
        return self.now

    def forward(self, **by: float) -> None:
        """Let time pass: `days=1`."""
        self.now += timedelta(**by)


_numbers = count(1)


@dataclass(frozen=True)
class Holder:
    """Somebody who holds a key, and asks the service."""

    http: httpx.AsyncClient
    app: FastAPI
    secret: str | None
    person: str = ""
    key: str = ""

    async def ask(self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any) -> httpx.Response:
        """Send a request; what comes back must be declared."""
        given = {"Authorization": f"Bearer {self.secret}"} if self.secret else {}
        answer = await self.http.request(method, path, headers={**given, **(headers or {})}, **more)
        expect_declared(method, path, answer)
        if answer.status_code == httpx.codes.CREATED and not answer.json().get("dry_run"):
            self.app.state.told = max(answer.json()["position"], getattr(self.app.state, "told", 0))
        return answer

    async def post(self, path: str, json: Any = None, *, key: str | None = None, **more: Any) -> httpx.Response:
        """Send a command, with a key of its own unless one is given."""
        headers = {"Idempotency-Key": key or f"story-{next(_numbers)}", **more.pop("headers", {})}
        return await self.ask("POST", path, headers=headers, **({} if json is None else {"json": json}), **more)

    async def delete(self, path: str, **more: Any) -> httpx.Response:
        """Send a command that takes something away."""
        headers = {"Idempotency-Key": f"story-{next(_numbers)}", **more.pop("headers", {})}
        return await self.ask("DELETE", path, headers=headers, **more)

    async def get(self, path: str, **more: Any) -> httpx.Response:
        """Ask a question, after all that anybody was told was recorded: read models that lag are for tests that say so."""
        told = {"Ledger-Min-Position": str(getattr(self.app.state, "told", 0))}
        return await self.ask("GET", path, headers={**told, **more.pop("headers", {})}, **more)

    async def does(self, path: str, json: Any = None, **more: Any) -> Any:
        """Send a command that must be recorded."""
        answer = await self.post(path, json, **more)
        assert answer.status_code == 201, answer.text
        return answer.json()

    async def reads(self, path: str, **more: Any) -> Any:
        """Ask a question that must be answered."""
        answer = await self.get(path, **more)
        assert answer.status_code == 200, answer.text
        return answer.json()


@dataclass
class Service:
    """A service that runs, and whoever has a key to it. Their names are the first words of `PEOPLE`."""

    app: FastAPI
    http: httpx.AsyncClient
    clock: Clock
    settings: Settings
    first: Holder
    cast: dict[str, Holder] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Holder:
        """Somebody of the cast, such as `service.vera`."""
        try:
            return self.cast[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def nobody(self) -> Holder:
        """Somebody without a key."""
        return Holder(self.http, self.app, None)

    async def person(self, name: str, party: str) -> str:
        """Register a person; the id."""
        return str((await self.first.does("/v1/people", {"party": party, "name": name}))["person"])

    async def give_key(self, person: str, *roles: str, awards: tuple[str, ...] = (AWARD,)) -> Holder:
        """Issue a key, and have it agreed where it needs that."""
        unscoped = set(roles) <= {"administrator", "auditor"}
        body = {"person": person, "roles": roles, "awards": [] if unscoped else awards}
        issued = await self.first.does("/v1/keys", body)
        if issued["needs_agreement"]:
            await self.cast["ada"].does(f"/v1/keys/{issued['key']}/agreement")
        return Holder(self.http, self.app, issued["secret"], person, issued["key"])


@asynccontextmanager
async def serving(folder: Path, clock: Clock | None = None, **settings: Any) -> AsyncIterator[Service]:
    """A service on a ledger in a folder, with its first administrator only. Its feed keeps nobody waiting."""
    ticking = clock or Clock()
    here = Settings(data_dir=folder, **{**_BRIEF, **settings})
    app = create_app(here, clock=ticking)
    async with app.router.lifespan_context(app):
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://ledger.test") as http:
            first = Holder(http, app, (folder / FIRST_KEY_FILE).read_text("utf-8").strip())
            me = await first.reads("/v1/me")
            yield Service(app, http, ticking, here, Holder(http, app, first.secret, me["person"], me["key"]))


@dataclass(frozen=True)
class Begun:
    """A ledger with the cast and an agreed award, when nobody serves it: its folder, the time, and who has which key."""

    folder: Path
    now: datetime
    cast: Mapping[str, Holder]

    def clock(self) -> Clock:
        """A clock that goes on."""
        return Clock(self.now)

    def give_keys_to(self, service: Service) -> None:
        """Have everybody ask a service that goes on from here."""
        for name, each in self.cast.items():
            service.cast[name] = replace(each, http=service.http, app=service.app)


async def begin(folder: Path) -> Begun:
    """Let the cast gather and an award be agreed, in a folder."""
    async with serving(folder) as service:
        await gather(service)
        await agree_award(service)
        state = service.app.state  # Nobody who begins here is to find read models that have not heard of the award yet.
        await state.views.wait(state.ledger.head().size)
        return Begun(folder, service.clock.now, dict(service.cast))


async def gather(service: Service) -> None:
    """Register the parties and the cast, each with a key."""
    for party in (KIRKLEES, TOP_UP, SOCIAL_PRIME, PROVIDER, INVESTOR, ASSESSOR):
        await service.first.does("/v1/parties", {"party": party, "name": f"Party {party}"})
    for name, (party, roles) in PEOPLE.items():
        person = await service.person(name, party)
        service.cast[name.split(",")[0].lower()] = await service.give_key(person, *roles)
    await agree_details(service)


async def agree_details(service: Service, party: str = SOCIAL_PRIME, **other: str) -> None:
    """Have a party's bank details proposed and agreed, by two persons."""
    details = f"/v1/parties/{party}/bank-details"
    await service.first.does(f"{details}/proposal", {**ACCOUNT, **other})
    await service.ada.does(f"{details}/agreement", {**ACCOUNT, **other})


async def agree_award(service: Service, award: str = AWARD, **terms: Any) -> None:
    """Register an award, and have a second person agree it."""
    body = {"reference": award, "title": "Kirklees Better Outcomes Partnership", "terms": {**TERMS, **terms}}
    await service.first.does("/v1/awards", body)
    await service.ada.does(f"/v1/awards/{award}/agreement")


def line(
    outcome: str = "ENTRY", participant: str | None = "KIR-0042", quantity: str = "1", on: str = "2021-08-02"
) -> dict[str, Any]:
    """A line of a claim."""
    who = {"participant": participant} if participant else {}
    evidence = [{"sha256": SHA, "title": "Tenancy agreement of 2 August"}]
    return {"outcome": outcome, "quantity": quantity, "achieved_on": on, "evidence": evidence, **who}


def claim(reference: str = "2021-Q3", lines: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """A claim of a quarter."""
    period = {"first": "2021-07-01", "last": "2021-09-30"}
    return {"claim": reference, "period": period, "lines": lines or [line(), line(participant="KIR-0043")]}


async def submit(service: Service, reference: str = "2021-Q3", lines: list[dict[str, Any]] | None = None) -> None:
    """Have the social prime claim."""
    await service.cora.does(f"/v1/awards/{AWARD}/claims", claim(reference, lines))


async def verify(service: Service, reference: str = "2021-Q3") -> None:
    """Have every line accepted."""
    await service.vera.does(f"/v1/awards/{AWARD}/claims/{reference}/verification", {"others": "accepted"})


async def approve(service: Service, assessment: int = 1, payer: str = KIRKLEES) -> None:
    """Have a payment approved."""
    await service.abe.does(f"/v1/awards/{AWARD}/payments/{assessment}/{payer}/approval")


async def draw_up(service: Service, run: str = "KIR-2021-10", payer: str = KIRKLEES, assessment: int = 1) -> None:
    """Put a payment into a run."""
    payments = [{"award": AWARD, "assessment": assessment}]
    await service.first.does("/v1/payment-runs", {"run": run, "payer": payer, "account": "MAIN", "payments": payments})


async def settle(service: Service, amount: str, run: str = "KIR-2021-10", bank: str = "BACS-0042") -> None:
    """Have the bank's movement recorded, on its own day."""
    settlement = {
        "bank_reference": bank,
        "value_date": service.clock.now.date().isoformat(),
        "amount": amount,
        "payments": [{"award": AWARD, "assessment": 1}],
    }
    await service.first.does(f"/v1/payment-runs/{run}/settlement", settlement)


# What is declared -----------------------------------------------------------------------------------------------------


@cache
def _any_service() -> FastAPI:
    return create_app(Settings())


@cache
def _declared() -> list[tuple[re.Pattern[str], dict[str, Any]]]:
    paths = _any_service().openapi()["paths"]  # The same for every service, and slow to make.
    by_literal = sorted(paths.items(), key=lambda found: found[0].count("{"))
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), operations) for path, operations in by_literal]


def command_of(method: str, path: str) -> str | None:
    """The route of a command, such as `POST /v1/awards/{award}/claims`; nothing if it is none."""
    return next((name for name, pattern in _commands().items() if pattern.fullmatch(f"{method} {path}")), None)


def every_command() -> frozenset[str]:
    """The routes of all commands that there are."""
    return frozenset(_commands())


@cache
def _commands() -> dict[str, re.Pattern[str]]:
    return {
        f"{method.upper()} {path}": re.compile(re.sub(r"\{\w+\}", "[^/]+", f"{method.upper()} {path}"))
        for path, operations in _any_service().openapi()["paths"].items()
        for method, operation in operations.items()
        if any(each["name"].lower() == "idempotency-key" for each in operation.get("parameters", ()))
    }


def expect_declared(method: str, path: str, answer: httpx.Response) -> None:
    """Hold an answer against what the document says of its route."""
    bare = path.partition("?")[0]
    operations = next((found for pattern, found in _declared() if pattern.fullmatch(bare)), {})
    operation = operations.get(method.lower())
    if operation is None:
        assert answer.status_code in {200, 404, 405}, f"{method} {path}: {answer.status_code}"
        return
    declared = operation["responses"].get(str(answer.status_code))
    assert declared is not None, f"{method} {path}: {answer.status_code} is not declared: {answer.text[:500]}"
    if answer.headers.get("content-type", "").startswith(_PROBLEM):
        slug = answer.json()["type"].removeprefix("/problems/")
        assert slug in declared["content"][_PROBLEM]["examples"], f"{method} {path}: {slug} is not declared"


def slug(answer: httpx.Response) -> tuple[int, str]:
    """The status and name of a refusal."""
    return answer.status_code, str(answer.json()["type"]).removeprefix("/problems/")
