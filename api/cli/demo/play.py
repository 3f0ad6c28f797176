"""Plays the history through the service: everybody acts by a key of their own, on the simulated day on which they would have."""

import asyncio
import csv
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from io import StringIO
from itertools import groupby
from typing import Any, Final

from api.cli.demo import history
from api.cli.demo.cast import OPEN, Cast, certifier_of, claimant_of, history_parts
from api.cli.demo.corrections import Corrections
from api.cli.demo.history import Claim, Json, hold_reason, packaged, return_note
from domain.money import Money

BEGINS: Final = date(2018, 8, 1)
_ACCOUNT: Final = "MAIN"
_AT_ONCE: Final = 16

# Days after a claim came in.
_ASKED, _ANSWERED, _DECIDED_LATER, _VERIFIED, _CERTIFIED = 3, 6, 13, 14, 18
_HELD, _APPROVED, _DRAWN_UP, _RELEASED, _SETTLED, _RETURNED, _REISSUED, _LIFTED = 20, 21, 24, 25, 27, 30, 35, 40


class Calendar:
    """The demo's clock: it stands on the simulated day until it is let go, and never goes back."""

    def __init__(self, today: date = BEGINS) -> None:
        self._moment: datetime | None = _noon(today)

    def __call__(self) -> datetime:
        """The moment that it is."""
        return self._moment or datetime.now(UTC)

    @property
    def today(self) -> date:
        """The day that it is."""
        return self().date()

    def turn(self, day: date) -> None:
        """Let it be a later day."""
        if self._moment is not None:
            self._moment = max(self._moment, _noon(day))

    def let_go(self) -> None:
        """Show the real time from now on."""
        self._moment = None


def _noon(day: date) -> datetime:
    return datetime.combine(day, time(12), UTC)


@dataclass(frozen=True, slots=True, order=True)
class Owed:
    """A payment by its name."""

    payer: str
    award: str
    assessment: int

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/awards/{self.award}/payments/{self.assessment}/{self.payer}"

    @property
    def label(self) -> str:
        """What it is called in idempotency keys."""
        return f"{self.award}:{self.assessment}:{self.payer}"


@dataclass(slots=True)
class Play:
    """The history while it is played.

    `owed` are payments that wait for an approval; `troubled` ones were held or returned once.
    """

    cast: Cast
    calendar: Calendar
    told: Callable[[int, date], None]
    owed: set[Owed] = field(default_factory=set)
    before: dict[str, Claim] = field(default_factory=dict)
    later_terms: list[tuple[date, str, int, Json]] = field(default_factory=list)
    by_themselves: set[str] = field(default_factory=set)
    troubled: set[Owed] = field(default_factory=set)
    _gate: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_AT_ONCE))

    async def all(self) -> None:
        """Everything, from the first party to the last payment."""
        await self.begin()
        for day, claims in groupby(history.claims(), key=lambda claim: claim.period.claimed_on):
            await self._vary(day)
            await self._correct(day)
            await self._round(day, list(claims))
        await self._leave_open()

    # Parties, people, awards.

    async def begin(self) -> None:
        """Register the awards with everybody in them; each award by one administrator, agreed by the other."""
        for party, name in packaged()["parties"].items():
            await self.cast.first.send("/parties", {"party": party, "name": name}, name=f"demo:party:{party}")
        for payee, account in packaged()["bank_details"].items():
            details = f"/parties/{payee}/bank-details"
            await self.cast.first.send(f"{details}/proposal", account, name=f"demo:account:{payee}")
            await self.cast.other.send(f"{details}/agreement", account, name=f"demo:account-agreed:{payee}")
        for part in history_parts():
            await self.cast.give(part)
        for award in packaged()["awards"]:
            await self._register(award["registration"])
            for number, later in enumerate(award["later_terms"], 2):
                self.later_terms.append(
                    (date.fromisoformat(later["propose_on"]), award["registration"]["reference"], number, later)
                )
            payers = award["registration"]["terms"]["payers"]
            self.by_themselves |= {payer["party"] for payer in payers if payer.get("pays") == "by-itself"}

    async def _register(self, registration: Json) -> None:
        award = registration["reference"]
        await self.cast.first.send("/awards", registration, name=f"demo:award:{award}")
        await self.cast.other.send(f"/awards/{award}/agreement", name=f"demo:agree:{award}")

    async def _vary(self, until: date) -> None:
        for day, award, number, later in sorted(self.later_terms, key=lambda each: each[0]):
            if self.calendar.today < day <= until:
                self.calendar.turn(day)
                body = {"terms": later["terms"], "reason": later["reason"]}
                await self.cast.first.send(f"/awards/{award}/terms", body, name=f"demo:terms:{award}:{number}")
                await self.cast.other.send(
                    f"/awards/{award}/terms/{number}/agreement", name=f"demo:terms-agreed:{award}:{number}"
                )

    async def _correct(self, until: date) -> None:
        for day, deed in Corrections(self.cast).deeds():
            if self.calendar.today < day <= until:
                self.calendar.turn(day)
                for recorded in await deed():
                    self._note(recorded)

    # A round of claims and payments.

    async def _round(self, day: date, claims: list[Claim]) -> None:
        def at(days: int) -> None:
            self.calendar.turn(day + timedelta(days=days))

        at(0)
        await self._together(self._submit(claim) for claim in claims)
        asked = [claim for claim in claims if claim.question]
        at(_ASKED)
        await self._together(self._ask(claim) for claim in asked)
        at(_ANSWERED)
        await self._together(self._answer(claim) for claim in asked)
        at(_DECIDED_LATER)
        waiting = [before for claim in claims if (before := self.before.get(claim.award)) and before.later]
        await self._together(self._verify(claim, {"lines": claim.later}, "later") for claim in waiting)
        at(_VERIFIED)
        await self._together(self._verify(claim, {"lines": claim.decisions, "others": "accepted"}, "verify") for claim in claims)
        at(_CERTIFIED)
        await self._together(self._certify(claim) for claim in claims)
        await self._together(
            self._certify(claim, "later") for claim in waiting if any("accepted" in each for each in claim.later)
        )
        self.before.update({claim.award: claim for claim in claims})
        await self._pay(day, at)
        self.told(sum(len(claim.lines) for claim in claims), day)

    async def _submit(self, claim: Claim) -> None:
        await self.cast[claimant_of(claim.award)].send(
            f"/awards/{claim.award}/claims", claim.body, name=f"demo:claim:{claim.award}:{claim.period.name}"
        )

    async def _ask(self, claim: Claim) -> None:
        await self._of(claim, "verifier", "query", {"question": claim.question})

    async def _answer(self, claim: Claim) -> None:
        await self._of(claim, claimant_of(claim.award), "answer", {"answer": claim.answer})

    async def _verify(self, claim: Claim, decisions: Json, label: str) -> None:
        self._note(await self._of(claim, "verifier", "verification", decisions, label))

    async def _certify(self, claim: Claim, label: str = "verify") -> None:
        if history.terms_of(claim.award).get("certification"):
            self._note(await self._of(claim, certifier_of(claim.award), "certification", {"decision": "certified"}, label))

    async def _of(self, claim: Claim, who: str, deed: str, body: Json, label: str = "once") -> Json:
        name = f"demo:{deed}:{label}:{claim.award}:{claim.period.name}"
        return await self.cast[who].send(f"/awards/{claim.award}/claims/{claim.period.name}/{deed}", body, name=name)

    def _note(self, recorded: Json) -> None:
        """Note which payments a command made fall due."""
        for entry in recorded["entries"]:
            if entry["type"] == "payment.fell-due":
                _, award, _, assessment, _, payer = entry["stream"].split("/")
                self.owed.add(Owed(payer, award, int(assessment)))

    # Payments.

    async def _pay(self, day: date, at: Callable[[int], None]) -> None:
        owed, self.owed = await self._still_owed(self.owed), set()
        alone = {each for each in owed if each.payer in self.by_themselves}
        held = {each for each in owed - alone - self.troubled if hold_reason(each.award, each.assessment, each.payer)}
        at(_HELD)
        await self._together(self._hold(each) for each in held)
        at(_APPROVED)
        approved = sorted(owed - alone - held)
        await self._together(self._step(each, "approver", "approval", day) for each in approved)
        runs = {payer: list(each) for payer, each in groupby(approved, key=lambda each: each.payer)}
        at(_DRAWN_UP)
        await self._together(self._draw_up(payer, each, day) for payer, each in runs.items())
        at(_RELEASED)
        await self._together(
            self.cast["releaser"].send(f"/payment-runs/{_run(payer, day)}/release", name=f"demo:release:{_run(payer, day)}")
            for payer in runs
        )
        at(_SETTLED)
        await self._together(self._settle(payer, day) for payer in runs)
        await self._together(self._report(each) for each in alone)
        returned = [
            each for each in approved if each not in self.troubled and return_note(each.award, each.assessment, each.payer)
        ]
        at(_RETURNED)
        await self._together(self._return(each, day) for each in returned)
        at(_REISSUED)
        due_on = (day + timedelta(days=_REISSUED + 30)).isoformat()
        await self._together(self._step(each, "first", "reissue", day, {"due_on": due_on}) for each in returned)
        at(_LIFTED)
        await self._together(self._step(each, "first", "hold-release", day) for each in held)
        self.owed |= {*returned, *held}
        self.troubled |= self.owed

    async def _still_owed(self, owed: Iterable[Owed]) -> set[Owed]:
        """Those of which receivables left something to pay."""

        async def stage(each: Owed) -> str:
            async with self._gate:
                return str((await self.cast.first.get(each.path))["stage"])

        listed = sorted(owed)
        stages = await asyncio.gather(*(stage(each) for each in listed))
        return {each for each, now in zip(listed, stages, strict=True) if now != "netted-off"}

    async def _hold(self, owed: Owed) -> None:
        reason = hold_reason(owed.award, owed.assessment, owed.payer)
        await self.cast.first.send(f"{owed.path}/hold", {"reason": reason}, name=f"demo:hold:{owed.label}")

    async def _step(self, owed: Owed, who: str, deed: str, day: date, body: Json | None = None) -> None:
        by = self.cast.first if who == "first" else self.cast[who]
        await by.send(f"{owed.path}/{deed}", body, name=f"demo:{deed}:{owed.label}:{day}")

    async def _draw_up(self, payer: str, owed: list[Owed], day: date) -> None:
        payments = [{"award": each.award, "assessment": each.assessment} for each in owed]
        body = {"run": _run(payer, day), "payer": payer, "account": _ACCOUNT, "payments": payments}
        await self.cast.first.send("/payment-runs", body, name=f"demo:run:{_run(payer, day)}")

    async def _settle(self, payer: str, day: date) -> None:
        """What the bank does with the file: one movement for each payee."""
        file = (await self.cast.first.http.get(f"/payment-runs/{_run(payer, day)}/export", headers=self.cast.first.headers)).text
        payees: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
        for row in csv.DictReader(StringIO(file, newline="")):
            payees[row["payee"]].append(row)
        for number, (_, rows) in enumerate(sorted(payees.items()), 1):
            body = {
                "bank_reference": f"{_run(payer, day)}-{number}",
                "value_date": self.calendar.today.isoformat(),
                "amount": str(sum((Money.parse(row["amount"]) for row in rows), Money(0))),
                "payments": [{"award": row["award"], "assessment": int(row["assessment"])} for row in rows],
            }
            name = f"demo:settle:{_run(payer, day)}:{number}"
            await self.cast.first.send(f"/payment-runs/{_run(payer, day)}/settlement", body, name=name)

    async def _report(self, owed: Owed) -> None:
        body = {"reference": f"OWN-{owed.award[-4:]}-{owed.assessment}", "value_date": self.calendar.today.isoformat()}
        await self.cast.first.send(f"{owed.path}/reported-payment", body, name=f"demo:report:{owed.label}")
        await self.cast.other.send(f"{owed.path}/reported-payment-confirmation", name=f"demo:report-confirmed:{owed.label}")

    async def _return(self, owed: Owed, day: date) -> None:
        note = return_note(owed.award, owed.assessment, owed.payer)
        body = {"reason": "account-closed", "note": note, "on": self.calendar.today.isoformat()}
        await self._step(owed, "first", "return", day, body)

    # The award that is left open.

    async def _leave_open(self) -> None:
        registration = packaged()["open"]["registration"]
        await self._register(registration)
        for claim in open_claims():
            self.calendar.turn(claim.period.claimed_on)
            await self._submit(claim)
            if claim.decisions:
                self.calendar.turn(claim.period.claimed_on + timedelta(days=_VERIFIED))
                await self._verify(claim, {"lines": claim.decisions, "others": "accepted"}, "verify")

    async def _together(self, deeds: Iterable[Awaitable[Any]]) -> None:
        async def one(deed: Awaitable[Any]) -> None:
            async with self._gate:
                await deed

        async with asyncio.TaskGroup() as group:
            for deed in deeds:
                group.create_task(one(deed))


def open_claims() -> Iterator[Claim]:
    """The claims of the award that is left open: one verified, with payments that wait, and one that waits for a decision."""
    young = [f"NEXT-{number:03d}" for number in range(1, 9)]
    first = history.Period("2024-Q2", date(2024, 4, 1), date(2024, 6, 30), date(2025, 3, 3))
    lines: list[Json] = [
        {"outcome": "PLAN", "participant": who, "quantity": "1", "achieved_on": f"2024-05-{day:02d}"}
        for day, who in enumerate(young, 6)
    ]
    lines.append({"outcome": "HOME-WEEK", "participant": young[0], "quantity": "24", "achieved_on": "2024-06-30"})
    lines.append({"outcome": "WORKSHOP", "quantity": "10", "achieved_on": "2024-06-21"})
    partly = {"line": 10, "accepted": "7", "rejected": "2", "deferred": "1", "reason": "not-evidenced"}
    yield Claim(OPEN, first, lines, [partly])
    second = history.Period("2024-Q3", date(2024, 7, 1), date(2024, 9, 30), date(2025, 3, 20))
    digest = history.digest("Attendance register, autumn")
    evidence = [{"sha256": digest, "title": "Attendance register, autumn"}]
    yield Claim(
        OPEN,
        second,
        [
            {"outcome": "SCHOOL-TERM", "participant": who, "quantity": "1", "achieved_on": "2024-09-27", "evidence": evidence}
            for who in young[:3]
        ],
    )


def _run(payer: str, day: date) -> str:
    return f"{payer.split('-', 2)[2]}-{day:%Y-%m}"
