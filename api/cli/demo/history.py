"""The history that the demo plays: invented, the same at every run, and consistent with each award's terms.

What is drawn by lot is drawn from one seed. Nothing here asks the ledger anything: each claim knows its lines, what will be
asked, and how each line will be decided, so that an interrupted demo can be played on from the start and finds what it did
already.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from functools import cache
from hashlib import sha256
from importlib.resources import files
from random import Random
from typing import Any, Final

SEED: Final = "life chances 2016"
Json = dict[str, Any]


@cache
def packaged() -> Json:
    """The awards that the package ships: published figures with sources, and the registrations made of them."""
    text = files(__package__).joinpath("awards.json").read_text("utf-8")
    found: Json = json.loads(text)
    return found


@dataclass(frozen=True, slots=True)
class Period:
    """A claim period, and the day on which its claims come in."""

    name: str
    first: date
    last: date
    claimed_on: date


@dataclass(frozen=True, slots=True)
class Shape:
    """How the work of an award goes: who joins, on which paths of outcomes, and what is counted by cohort or by day."""

    reference: str
    prefix: str
    joins: int
    paths: tuple[tuple[str, ...], ...]
    pace: int
    """In a hundred periods, how often somebody takes the next step."""
    steps: int = 1
    cohorts: tuple[tuple[str, int, int], ...] = ()
    daily: str | None = None
    half_yearly: bool = False


SHAPES: Final = (
    Shape(
        "INDIGO-POJ-0168",
        "BPL",
        joins=9,
        paths=(
            ("KS3-PLAN", "KS3-ATTEND", "KS3-PROGRESS", "KS3-SCHOOL"),
            ("KS4-PLAN", "KS4-ATTEND", "KS4-WORKPLACE", "KS4-SKILLS", "KS4-QUALIFIED", "PLAN-REFRESH"),
        ),
        pace=72,
    ),
    Shape(
        "INDIGO-POJ-0169",
        "DFN",
        joins=15,
        paths=(("ENROLLED", "ACTIVITIES", "EMPLOYED"), ("ENROLLED", "QUALIFIED", "ACTIVITIES")),
        pace=70,
    ),
    Shape(
        "INDIGO-POJ-0172",
        "FI",
        joins=3,
        paths=(("STABLE-6M", "STABLE-12M"), ("NO-EET-GAP", "STABLE-6M")),
        pace=30,
        daily="FOSTER-WEEK",
    ),
    Shape(
        "INDIGO-POJ-0175",
        "KBOP",
        joins=7,
        paths=(("ACC-ENTRY", "ACC-3M", "ACC-6M", "ACC-12M"), ("EMP-ENTRY", "EMP-13W")),
        pace=75,
        cohorts=(("WELLBEING", 520, 680), ("TRAINING", 90, 170)),
    ),
    Shape(
        "INDIGO-POJ-0195",
        "SM",
        joins=27,
        paths=(
            ("REGISTERED", "ATTENDED", "COMPLETED", "EMPLOYED"),
            ("REGISTERED", "ATTENDED", "AQA-2", "COMPLETED", "NO-RECONVICTION"),
        ),
        pace=80,
        steps=2,
        half_yearly=True,
    ),
)

WEEKLY_STAY: Final = (3, 8)
"""How many periods somebody stays in a placement that is counted by day, at least and at most."""
_REASONS: Final = ("not-evidenced", "not-eligible", "achieved-earlier", "outside-window", "duplicate", "other")


@dataclass(slots=True)
class Claim:
    """A claim, and everything that becomes of it."""

    award: str
    period: Period
    lines: list[Json] = field(default_factory=list)
    decisions: list[Json] = field(default_factory=list)
    later: list[Json] = field(default_factory=list)
    question: str | None = None
    answer: str | None = None

    @property
    def body(self) -> Json:
        """The claim as it is submitted."""
        period = {"first": self.period.first.isoformat(), "last": self.period.last.isoformat()}
        return {"claim": self.period.name, "period": period, "lines": self.lines}

    def texts(self) -> Iterator[str]:
        """Everything in the claim that belongs in the vault (L5)."""
        yield from (text for text in (self.question, self.answer) if text)
        for line in self.lines:
            yield from (each["title"] for each in line.get("evidence", ()))
            yield from (line[name] for name in ("participant", "note") if name in line)
        yield from (each["note"] for each in (*self.decisions, *self.later) if "note" in each)


@dataclass(slots=True)
class _Participant:
    reference: str
    path: list[str]
    periods: int
    last: date
    waits: bool = False


def periods(*, half_yearly: bool = False) -> Iterator[Period]:
    """The claim periods from 2018 to 2024. The last one before the fund's own last day is claimed a little early."""
    for year in range(2018, 2025):
        for number in (2, 4) if half_yearly else (1, 2, 3, 4):
            yield _early(year) if half_yearly and (year, number) == (2024, 4) else _period(year, number, 2 if half_yearly else 1)


def _period(year: int, quarter: int, quarters: int) -> Period:
    first = date(year, 3 * (quarter - quarters) + 1, 1)
    last = date(year + quarter // 4, 3 * quarter % 12 + 1, 1) - timedelta(days=1)
    name = f"{year}-H{quarter // 2}" if quarters > 1 else f"{year}-Q{quarter}"
    if (year, quarter) == (2024, 3):
        return Period(name, first, date(2024, 9, 18), date(2024, 9, 20))
    return Period(name, first, last, last + timedelta(days=10))


def _early(year: int) -> Period:
    return Period(f"{year}-H2", date(year, 7, 1), date(year, 9, 18), date(year, 9, 20))


@cache
def claims() -> tuple[Claim, ...]:
    """Every claim of the history, in the order in which they come in."""
    made = [claim for shape in SHAPES for claim in _Work(shape).claims()]
    return tuple(sorted(made, key=lambda claim: (claim.period.claimed_on, claim.award)))


def terms_of(reference: str) -> Json:
    """The first version of a packaged award's terms."""
    found: Json = next(
        each["registration"]["terms"] for each in packaged()["awards"] if each["registration"]["reference"] == reference
    )
    return found


class _Work:
    """The work of one award, period after period."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.terms = terms_of(shape.reference)
        self.outcomes = {each["code"]: each for each in self.terms["outcomes"]}
        self.lot = Random(f"{SEED} {shape.reference}")  # noqa: S311 (a history by lot, not a secret)
        self.people: list[_Participant] = []
        self.met = 0

    def claims(self) -> Iterator[Claim]:
        first, last = (date.fromisoformat(self.terms["outcomes_window"][end]) for end in ("first", "last"))
        closes = date.fromisoformat(self.terms["claims_close_on"])
        before: Claim | None = None
        for period in periods(half_yearly=self.shape.half_yearly):
            if period.last < first or period.first > last or period.claimed_on > closes:
                continue
            claim = Claim(self.shape.reference, period)
            self._decide_later(before, claim)
            self._achieve(claim, max(first, period.first), min(last, period.last))
            if claim.lines:
                self._ask(claim)
                yield claim
                before = claim

    def _chance(self, in_hundred: int) -> bool:
        return self.lot.randrange(100) < in_hundred

    def _achieve(self, claim: Claim, first: date, last: date) -> None:
        for _ in range(self.shape.joins):
            self.met += 1
            path = list(self.lot.choice(self.shape.paths))
            reference = f"{self.shape.prefix}-{self.lot.randrange(10**5):05d}-{self.met:03d}"
            self.people.append(_Participant(reference, path, self.lot.randint(*WEEKLY_STAY), first))
        for person in self.people:
            self._stay(claim, person, first, last)
            for _ in range(self.shape.steps):
                self._step(claim, person, first, last)
        for code, least, most in self.shape.cohorts:
            self._line(claim, code, None, last, str(self.lot.randint(least, most)))

    def _stay(self, claim: Claim, person: _Participant, first: date, last: date) -> None:
        if self.shape.daily is None or not person.periods:
            return
        person.periods -= 1
        most = (last - first).days + 1
        days = most if self._chance(60) else self.lot.randint(max(1, most // 4), most)
        self._line(claim, self.shape.daily, person, last, str(days))

    def _step(self, claim: Claim, person: _Participant, first: date, last: date) -> None:
        if not person.path or person.waits or not self._chance(self.shape.pace):
            return
        since = max(first, person.last)
        if since > last:
            return
        on = since + timedelta(days=self.lot.randint(0, (last - since).days))
        accepted = self._line(claim, person.path[0], person, on, "1")
        if accepted == "accepted":
            person.path.pop(0)
            person.last = on
        elif accepted == "deferred":
            person.waits, person.last = True, on
        elif self._chance(50):
            person.path.clear()

    def _line(self, claim: Claim, code: str, person: _Participant | None, on: date, quantity: str) -> str:
        line: Json = {"outcome": code, "quantity": quantity, "achieved_on": on.isoformat()}
        whom = person.reference if person else f"the cohort of {claim.period.name}"
        if person:
            line["participant"] = person.reference
        if wanted := self.outcomes[code].get("evidence_wanted"):
            titles = [f"{title} of {whom}, {on:%B %Y}" for title in wanted]
            line["evidence"] = [{"sha256": digest(title), "title": title} for title in titles]
        if self._chance(3):
            line["note"] = f"{whom} moved house in {on:%B}; the key worker kept in touch by telephone"
        claim.lines.append(line)
        return self._decide(claim, len(claim.lines), whom, int(quantity))

    def _decide(self, claim: Claim, line: int, whom: str, quantity: int) -> str:
        """How the line will be decided; lines that are not named are accepted whole."""
        if quantity > 1:
            if self._chance(35):
                self._decide_partly(claim, line, whom, quantity)
            return "accepted"
        if self._chance(6):
            claim.decisions.append({"line": line, "rejected": "1", **self._reason(whom)})
            return "rejected"
        if self._chance(6):
            claim.decisions.append({"line": line, "deferred": "1", "note": f"Waiting for what the school says of {whom}"})
            return "deferred"
        return "accepted"

    def _decide_partly(self, claim: Claim, line: int, whom: str, quantity: int) -> None:
        rejected = max(1, quantity * self.lot.randint(3, 12) // 100)
        deferred = min(quantity - rejected, quantity * self.lot.randint(0, 6) // 100)
        decision: Json = {
            "line": line,
            "accepted": str(quantity - rejected - deferred),
            "rejected": str(rejected),
            "reason": "quantity-overstated",
            "note": f"The register of {whom} shows {rejected} fewer",
        }
        if deferred:
            decision["deferred"] = str(deferred)
        claim.decisions.append(decision)

    def _reason(self, whom: str) -> Json:
        reason = self.lot.choice(_REASONS)
        return {"reason": reason, **({"note": f"{whom} counts under another contract"} if reason == "other" else {})}

    def _decide_later(self, before: Claim | None, now: Claim) -> None:
        """Decide what the claim before deferred; the people who waited for it go on."""
        if before is None:
            return
        waiting = {person.reference: person for person in self.people if person.waits}
        for decision in before.decisions:
            if (deferred := decision.get("deferred")) is None:
                continue
            accepted = self._chance(75)
            later: Json = {"line": decision["line"], "accepted" if accepted else "rejected": deferred}
            if not accepted:
                later["reason"] = "not-evidenced"
            before.later.append(later)
            line = before.lines[decision["line"] - 1]
            person = waiting.get(line.get("participant", ""))
            if person and person.path[0] == line["outcome"]:
                person.waits = False
                person.path = person.path[1:] if accepted else []
                person.last = max(person.last, now.period.first)

    def _ask(self, claim: Claim) -> None:
        """A query on every third claim or so."""
        if self._chance(30):
            line = self.lot.randrange(len(claim.lines)) + 1
            whom = claim.lines[line - 1].get("participant", "the cohort")
            claim.question = f"Line {line}: which document shows this for {whom}?"
            claim.answer = f"The register that {whom} signed; it lies with the case file"


def digest(title: str) -> str:
    """A digest for a document that nobody wrote."""
    return sha256(f"{SEED} {title}".encode()).hexdigest()


# What happens to payments ---------------------------------------------------------------------------------------------


def lot_of(*what: object) -> int:
    """A number from 0 to 99 that is always the same for the same thing."""
    return int.from_bytes(sha256(" ".join((SEED, *map(str, what))).encode()).digest()[:4], "big") % 100


def hold_reason(award: str, assessment: int, payer: str) -> str | None:
    """Why a payment is held for a while, where it is."""
    if lot_of("hold", award, assessment, payer) >= 4:  # noqa: PLR2004 (four in a hundred)
        return None
    return f"The invoice for assessment {assessment} names the wrong office of {payer}"


def return_note(award: str, assessment: int, payer: str) -> str | None:
    """What the bank says of a payment that comes back, where one does."""
    if lot_of("return", award, assessment, payer) >= 3:  # noqa: PLR2004 (three in a hundred)
        return None
    number = 10_000_000 + lot_of("account", award, assessment, payer) * 271_828
    return f"Sort code 20-45-{lot_of(award, payer):02d}, account {number} is closed"


def secrets() -> set[str]:
    """Every text of the history that may stand in the log in no form (L5), for whoever wants to search for them."""
    told = {text for claim in claims() for text in claim.texts()}
    told.update(account[name] for account in packaged()["bank_details"].values() for name in ("account_number", "account_name"))
    awards = {claim.award: sum(each.award == claim.award for each in claims()) for claim in claims()}
    for award, many in awards.items():
        payers = [each["party"] for each in terms_of(award)["payers"]]
        for name in ((award, number, payer) for number in range(1, 2 * many + 1) for payer in payers):
            told.update(text for text in (hold_reason(*name), return_note(*name)) if text)
    return told
