"""The rules M2-M7 and M11 once more, as plainly and slowly as they are written down, to hold the domain against.

Nothing here is shared with `domain`: terms are the dictionaries that were sent, days are ISO text, quantities are fractions,
money is whole pence, and nothing is made to be fast.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

Json = dict[str, Any]
Account = tuple[str, str | None, str | None, str]
"""Stage, outcome, payer, financial year."""


def pence(pounds: str) -> int:
    return int(Fraction(pounds) * 100)


def worth(outcome: Json, quantity: Fraction) -> int:
    """M3: price × quantity ÷ per, rounded once, half away from zero; nothing here is negative."""
    return int(Fraction(outcome["price"]) * 100 * quantity / outcome.get("per", 1) + Fraction(1, 2))


def year_of(day: str) -> str:
    year = int(day[:4]) - (day[5:7] < "04")
    return f"{year}-{(year + 1) % 100:02}"


def in_order(versions: list[Json], day: str) -> Iterator[Json]:
    """M2: the version in force on a day, then the one that would be if that one were not there, and so on."""
    left = [version for version in versions if version["effective_from"] <= day]
    while left:
        latest = max(version["effective_from"] for version in left)
        last = max(n for n, version in enumerate(left) if version["effective_from"] == latest)
        yield left.pop(last)


def named(versions: list[Json], day: str, where: str, name: str) -> Json:
    """M2: the outcome or payer as the first version in that order says that names it."""
    key = "code" if where == "outcomes" else "party"
    return next(each for version in in_order(versions, day) for each in version[where] if each[key] == name)


def split(total: int, shares: list[Fraction]) -> list[int]:
    """M6: floor each share; hand the missing pence, one at a time, to the largest remainder that has had none; ties by order."""
    exact = [total * share for share in shares]
    parts = [int(each) for each in exact]
    remainders = [each - part for each, part in zip(exact, parts, strict=True)]
    while sum(parts) < total:
        lucky = remainders.index(max(remainders))
        parts[lucky] += 1
        remainders[lucky] = Fraction(-1)
    return parts


def next_parts(assessed: int, so_far: list[int], shares: list[Fraction]) -> list[int]:
    """M6: the split of the new G less the parts given so far, none negative."""
    parts = [new - had for new, had in zip(split(sum(so_far) + assessed, shares), so_far, strict=True)]
    while min(parts) < 0:
        parts[parts.index(min(parts))] += 1
        parts[parts.index(max(parts))] -= 1
    return parts


@dataclass
class Row:
    """A line that is to be assessed, and what came of it."""

    line: int
    outcome: str
    participant: str | None
    day: str
    quantity: Fraction
    accepted: int
    payable_before: Fraction = Fraction(0)
    payable: Fraction = Fraction(0)
    assessed: int = 0
    cut: dict[str, int] = field(default_factory=dict)
    parts: list[int] = field(default_factory=list)
    allotted: list[int] = field(default_factory=list)
    unfunded: int = 0


@dataclass
class Line:
    """A claimed line in a book."""

    outcome: str
    participant: str | None
    day: str
    claimed: Fraction
    accepted: Fraction = Fraction(0)
    rejected: Fraction = Fraction(0)
    awaiting: Fraction = Fraction(0)
    payable: Fraction = Fraction(0)
    waiting: int = 0
    worth_declined: int = 0
    worth_assessed: int = 0
    cut: Counter[str] = field(default_factory=Counter)

    @property
    def open(self) -> Fraction:
        return self.claimed - self.accepted - self.rejected


@dataclass
class Claim:
    lines: list[Line]
    received_on: str
    state: str = "undecided"


@dataclass
class Payment:
    payer: str
    years: dict[str, int]
    stage: str = "due"


@dataclass
class Book:
    """Everything that an award has come to. `versions` are in the order of agreement."""

    versions: list[Json]
    claims: dict[str, Claim] = field(default_factory=dict)
    payments: dict[tuple[int, str], Payment] = field(default_factory=dict)
    assessments: int = 0
    consumed: Counter[tuple[str, str]] = field(default_factory=Counter)
    quantities: dict[str, Fraction] = field(default_factory=dict)
    parts: dict[str, list[int]] = field(default_factory=dict)
    allotted: Counter[str] = field(default_factory=Counter)
    unfunded: Counter[str] = field(default_factory=Counter)
    achieved: list[tuple[str, str, str, Fraction]] = field(default_factory=list)
    """Participant, outcome, day, quantity that stands accepted."""

    def terms(self, day: str) -> Json:
        return next(in_order(self.versions, day))

    def outcome(self, line: Line | Row) -> Json:
        return next(each for each in self.terms(line.day)["outcomes"] if each["code"] == line.outcome)

    # M5: limits at assessment.

    def assess(self, rows: list[Row], decided_on: str, received_on: str) -> None:
        for row in sorted(rows, key=lambda row: row.line):
            self._cut(row, decided_on)
            self._part_and_allot(row, decided_on, received_on)

    def _cut(self, row: Row, decided_on: str) -> None:
        limits, outcome = self.terms(decided_on), named(self.versions, decided_on, "outcomes", row.outcome)
        row.payable, row.assessed = row.quantity, row.accepted
        if outcome.get("max_quantity") is not None:
            left = max(Fraction(outcome["max_quantity"]) - self.quantities.get(row.outcome, Fraction(0)), Fraction(0))
            row.cut["outcome_quantity"] = 0
            if left < row.quantity:
                row.payable, rate = left, self.outcome(row)
                anew = worth(rate, row.payable_before + left) - worth(rate, row.payable_before)
                row.assessed = min(row.accepted, anew)
                row.cut["outcome_quantity"] = row.accepted - row.assessed
        year = year_of(row.day)
        stated: list[tuple[str, str, str | None]] = [
            ("participant_amount", row.participant or "", limits.get("participant_amount") if row.participant else None),
            ("outcome_amount", row.outcome, outcome.get("max_amount")),
            ("year_amount", year, limits.get("year_amounts", {}).get(year, limits.get("year_amount"))),
            ("award_amount", "", limits["award_amount"]),
        ]
        for name, who, most in stated:
            if most is not None:
                fits = max(0, min(row.assessed, pence(most) - self.consumed[name, who]))
                row.cut[name] = row.assessed - fits
                row.assessed = fits
        self.quantities[row.outcome] = self.quantities.get(row.outcome, Fraction(0)) + row.payable
        for name, who, _ in stated:
            self.consumed[name, who] += row.assessed

    # M6 and M7: parts, then allotments.

    def _part_and_allot(self, row: Row, decided_on: str, received_on: str) -> None:
        terms = self.terms(row.day)
        payers = terms["payers"]
        shares = [Fraction(payer["share"]) for payer in payers]
        key = repr([(payer["party"], share) for payer, share in zip(payers, shares, strict=True)])
        so_far = self.parts.setdefault(key, [0] * len(payers))
        row.parts = next_parts(row.assessed, so_far, shares)
        self.parts[key] = [had + part for had, part in zip(so_far, row.parts, strict=True)]
        short = 0
        for payer, part in zip(payers, row.parts, strict=True):
            pays = min(part, self._left(payer["party"], decided_on, received_on))
            self.allotted[payer["party"]] += pays
            row.allotted.append(pays)
            short += part - pays
        if terms.get("shortfall", "residual-payer") == "residual-payer":
            lead = next(party["party"] for party in terms["parties"] if "lead-commissioner" in party["roles"])
            residual = terms.get("residual_payer") or lead
            takes = min(short, self._left(residual, decided_on, received_on))
            self.allotted[residual] += takes
            row.allotted[[payer["party"] for payer in payers].index(residual)] += takes
            short -= takes
        row.unfunded = short
        self.unfunded[year_of(row.day)] += short

    def _left(self, party: str, decided_on: str, received_on: str) -> int:
        payer = named(self.versions, decided_on, "payers", party)
        if payer.get("claims_until") and received_on > payer["claims_until"]:
            return 0
        if payer.get("maximum") is None:
            return 10**15
        return max(0, pence(payer["maximum"]) - self.allotted[party])

    # Claims: what can be claimed, decided, certified.

    def unclaimable(self, lines: list[Line], today: str) -> set[int]:
        """The numbers of the lines that are not on the rate card, or must name a participant and do not (M5)."""
        wrong: set[int] = set()
        for number, line in enumerate(lines, 1):
            rate = next((each for each in self.terms(line.day)["outcomes"] if each["code"] == line.outcome), None)
            if rate is None:
                wrong.add(number)
            elif line.participant is None:
                limited = named(self.versions, today, "outcomes", line.outcome).get("max_per_participant")
                if limited or rate.get("prerequisites"):
                    wrong.add(number)
        return wrong

    def broken(self, claim: Claim, accepted: dict[int, Fraction], today: str) -> set[int]:
        """The numbers of the lines that may not be accepted for their participants (M5)."""
        wrong: set[int] = set()
        given = [(claim.lines[n - 1], quantity) for n, quantity in accepted.items() if quantity]
        stands = self.achieved + [(line.participant, line.outcome, line.day, q) for line, q in given if line.participant]
        for number, quantity in accepted.items():
            line = claim.lines[number - 1]
            most = named(self.versions, today, "outcomes", line.outcome).get("max_per_participant")
            if not quantity:
                continue
            if line.participant is None:
                wrong.update({number} if most else ())
                continue
            of = [each for each in stands if each[0] == line.participant]
            if most and sum(q for _, outcome, _, q in of if outcome == line.outcome) > Fraction(most):
                wrong.add(number)
            for wanted in self.outcome(line).get("prerequisites", ()):
                if sum(q for _, outcome, day, q in of if outcome == wanted and day <= line.day) <= 0:
                    wrong.add(number)
        return wrong

    def verify(self, name: str, decisions: dict[int, tuple[Fraction, Fraction]], today: str) -> None:
        """Accept and reject quantities, by line; the rest is deferred. M4: the worth of all accepted so far, less that before."""
        claim = self.claims[name]
        claim.state = "verified"
        for number, (accepted, rejected) in decisions.items():
            line = claim.lines[number - 1]
            rate = self.outcome(line)
            line.waiting += worth(rate, line.accepted + accepted) - worth(rate, line.accepted)
            line.accepted += accepted
            line.rejected += rejected
            line.awaiting += accepted
            if line.participant and accepted:
                self.achieved.append((line.participant, line.outcome, line.day, accepted))
        if not self.terms(today).get("certification"):
            self.conclude(name, today)

    def decline(self, name: str) -> None:
        for line in self.claims[name].lines:
            if line.participant and line.awaiting:
                self.achieved.append((line.participant, line.outcome, line.day, -line.awaiting))
            line.worth_declined += line.waiting
            line.waiting, line.awaiting = 0, Fraction(0)

    def conclude(self, name: str, today: str) -> None:
        """Assess what awaits it, and make the payments due."""
        claim = self.claims[name]
        rows = [
            Row(n, line.outcome, line.participant, line.day, line.awaiting, line.waiting, line.payable)
            for n, line in enumerate(claim.lines, 1)
            if line.awaiting
        ]
        if not rows:
            return
        self.assessments += 1
        self.assess(rows, today, claim.received_on)
        for row in rows:
            line = claim.lines[row.line - 1]
            line.waiting, line.awaiting = 0, Fraction(0)
            line.payable += row.payable
            line.worth_assessed += row.assessed
            line.cut.update(row.cut)
            for payer, amount in zip(self.terms(row.day)["payers"], row.allotted, strict=True):
                if amount:
                    payment = self.payments.setdefault((self.assessments, payer["party"]), Payment(payer["party"], {}))
                    payment.years[year_of(row.day)] = payment.years.get(year_of(row.day), 0) + amount

    # M11: where every pound is.

    def balances(self) -> dict[Account, int]:
        sums: Counter[Account] = Counter()
        for claim in self.claims.values():
            for line in claim.lines:
                if claim.state != "withdrawn":
                    for stage, amount in self._stages(claim, line).items():
                        sums[stage, line.outcome, None, year_of(line.day)] += amount
                        sums["claimed", line.outcome, None, year_of(line.day)] -= amount
                    sums["apportioned", None, None, year_of(line.day)] -= line.worth_assessed
        for payment in self.payments.values():
            for year, amount in payment.years.items():
                sums[payment.stage, None, payment.payer, year] += amount
        for year, amount in self.unfunded.items():
            sums["unfunded", None, None, year] += amount
        return {account: amount for account, amount in sums.items() if amount}

    def _stages(self, claim: Claim, line: Line) -> dict[str, int]:
        rate = self.outcome(line)
        if claim.state == "undecided":
            return {"undecided": worth(rate, line.claimed)}
        accepted, decided = worth(rate, line.accepted), worth(rate, line.accepted + line.rejected)
        return {
            "rejected": decided - accepted,
            "deferred": worth(rate, line.claimed) - decided,
            "awaiting": line.waiting,
            "declined": line.worth_declined,
            "assessed": line.worth_assessed,
            **{f"curtailed.{name}": cut for name, cut in line.cut.items()},
        }
