"""The rules M2-M11 once more, as plainly and slowly as they are written down, to hold the domain against.

Nothing here is shared with `domain`: terms are the dictionaries that were sent, days are ISO text, quantities are fractions,
money is whole pence, and nothing is made to be fast.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from typing import Any

Json = dict[str, Any]
Account = tuple[str, str | None, str | None, str]
"""Stage, outcome, payer, financial year."""
LineName = tuple[str, int]
"""A claim, and the number of a line of it."""
Years = Counter[str]
"""Pence, by financial year."""

LIMITS = ("outcome_quantity", "participant_amount", "outcome_amount", "year_amount", "award_amount")
NONE = Fraction(0)


@cache
def pence(pounds: str) -> int:
    return int(Fraction(pounds) * 100)


def limit_of_year(version: Json, year: str) -> str | None:
    limit: str | None = version.get("year_amounts", {}).get(year, version.get("year_amount"))
    return limit


def stated(pounds: str | None) -> int | None:
    return None if pounds is None else pence(pounds)


def rate(outcome: Json) -> Fraction:
    """Pence for one unit."""
    return Fraction(pence(outcome["price"]), outcome.get("per", 1))


def worth(outcome: Json, quantity: Fraction) -> int:
    """M3: price × quantity ÷ per, rounded once, half away from zero; nothing here is negative."""
    return int(rate(outcome) * quantity + Fraction(1, 2))


@cache
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


def find(version: Json, where: str, name: str) -> Json | None:
    """The outcome or payer of a version, if it names it."""
    key = "code" if where == "outcomes" else "party"
    return next((each for each in version[where] if each[key] == name), None)


def named(versions: list[Json], day: str, where: str, name: str) -> Json:
    """M2: the outcome or payer as the first version in that order says that names it."""
    return next(found for version in in_order(versions, day) if (found := find(version, where, name)))


exact = cache(Fraction)


def shares_of(version: Json) -> list[tuple[str, Fraction]]:
    return [(payer["party"], exact(payer["share"])) for payer in version["payers"]]


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


def share_out(total: int, of: list[int]) -> list[int]:
    """M8: in proportion to what stands, by largest remainder."""
    return split(total, [Fraction(each, sum(of)) for each in of]) if any(of) else [0] * len(of)


@dataclass
class Row:
    """A line that is to be assessed, and what came of it."""

    line: int
    outcome: str
    participant: str | None
    day: str
    quantity: Fraction
    accepted: int
    payable_before: Fraction = NONE
    payable: Fraction = NONE
    assessed: int = 0
    cut: dict[str, int] = field(default_factory=dict)
    parts: list[int] = field(default_factory=list)
    allotted: list[int] = field(default_factory=list)
    unfunded: int = 0


@dataclass
class Line:
    """A claimed line in a book: where its quantity is, what each stage is worth, and what stands assessed of it."""

    outcome: str
    participant: str | None
    day: str
    claimed: Fraction
    awaiting: Fraction = NONE
    declined: Fraction = NONE
    rejected: Fraction = NONE
    deferred: Fraction = NONE
    worth: Counter[str] = field(default_factory=Counter)
    """Of undecided, awaiting, declined, rejected and deferred."""
    stands: Fraction = NONE
    payable: Fraction = NONE
    assessed: int = 0
    cut: Counter[str] = field(default_factory=Counter)
    parts: Counter[str] = field(default_factory=Counter)
    allotted: Counter[str] = field(default_factory=Counter)
    unfunded: int = 0
    assessments: list[int] = field(default_factory=list)
    """The numbers of those that it was in."""

    @property
    def undecided(self) -> Fraction:
        return self.claimed - self.accepted - self.rejected - self.deferred

    @property
    def open(self) -> Fraction:
        return self.undecided + self.deferred

    @property
    def accepted(self) -> Fraction:
        return self.stands + self.awaiting + self.declined

    @property
    def year(self) -> str:
        return year_of(self.day)

    def stood(self) -> int:
        """What stands of the line was worth when it was assessed."""
        return self.assessed + self.cut.total()

    def worth_accepted(self) -> int:
        return self.stood() + self.worth["awaiting"] + self.worth["declined"]


@dataclass
class Claim:
    lines: list[Line]
    received_on: str
    state: str = "undecided"


@dataclass
class Payment:
    payer: str
    payee: str
    years: Years
    stage: str = "due"
    reported: bool = False

    def can_be_netted(self) -> bool:
        return self.stage in {"due", "held", "approved"} and not self.reported


def take(years: Years, amount: int) -> Years:
    """An amount off years, in place, of the oldest first, and what came off; all of it if it comes to all."""
    taken: Years = Counter()
    if amount == years.total():
        taken.update(years)
        years.clear()
        return taken
    for year in sorted(years):
        taken[year] = min(max(years[year], 0), amount - taken.total())
    years.subtract(taken)
    return taken


@dataclass
class Book:
    """Everything that an award has come to. `versions` are in the order of agreement."""

    versions: list[Json]
    claims: dict[str, Claim] = field(default_factory=dict)
    payments: dict[tuple[int, str], Payment] = field(default_factory=dict)
    receivables: dict[tuple[int, str, str], Years] = field(default_factory=dict)
    """What is open of each, oldest first, by the assessment that took it back, the payer and the payee."""
    state: str = "active"
    assessments: int = 0
    consumed: Counter[tuple[str, str]] = field(default_factory=Counter)
    quantities: dict[str, Fraction] = field(default_factory=dict)
    parts: dict[str, list[int]] = field(default_factory=dict)
    drifted: set[str] = field(default_factory=set)
    """The lists of payers whose last parts were not those of the whole: one was cut to nothing, or some were taken back."""
    allotted: Counter[str] = field(default_factory=Counter)
    """What counts against each payer's maximum."""
    unfunded: Counter[str] = field(default_factory=Counter)
    others: Years = field(default_factory=Counter)
    settled: Counter[Account] = field(default_factory=Counter)
    """What was netted off, recovered and written off."""
    reconsiderations: set[str] = field(default_factory=set)
    """Those that wait for their second person."""

    def terms(self, day: str) -> Json:
        return next(in_order(self.versions, day))

    def outcome(self, line: Line | Row) -> Json:
        return next(each for each in self.terms(line.day)["outcomes"] if each["code"] == line.outcome)

    def lines(self) -> list[tuple[LineName, Line]]:
        """All lines of claims that were not withdrawn."""
        of = [(name, claim) for name, claim in self.claims.items() if claim.state != "withdrawn"]
        return [((name, number), line) for name, claim in of for number, line in enumerate(claim.lines, 1)]

    def line(self, name: LineName) -> Line:
        return self.claims[name[0]].lines[name[1] - 1]

    # M5: limits at assessment.

    def assess(self, rows: list[Row], decided_on: str, received_on: str) -> None:
        for row in sorted(rows, key=lambda row: row.line):
            self._assess(row, decided_on, received_on)

    def _assess(self, row: Row, decided_on: str, received_on: str) -> None:
        self._cut(row, decided_on)
        self._part_and_allot(row, decided_on, received_on)

    def _cut(self, row: Row, decided_on: str) -> None:
        outcome = named(self.versions, decided_on, "outcomes", row.outcome)
        row.payable, row.assessed = row.quantity, row.accepted
        if outcome.get("max_quantity") is not None:
            left = max(Fraction(outcome["max_quantity"]) - self.quantities.get(row.outcome, NONE), NONE)
            row.cut["outcome_quantity"] = 0
            if left < row.quantity:
                row.payable, priced = left, self.outcome(row)
                anew = worth(priced, row.payable_before + left) - worth(priced, row.payable_before)
                row.assessed = min(row.accepted, anew)
                row.cut["outcome_quantity"] = row.accepted - row.assessed
        for name, who, most in self._limits(row, decided_on):
            if most is not None:
                fits = max(0, min(row.assessed, most - self.consumed[name, who]))
                row.cut[name] = row.assessed - fits
                row.assessed = fits
        self._consume(row, row.payable, row.assessed)

    def _limits(self, row: Row | Line, day: str) -> list[tuple[str, str, int | None]]:
        """The limits of amounts that a line is under, each with the name under which it is consumed."""
        terms, outcome = self.terms(day), named(self.versions, day, "outcomes", row.outcome)
        return [
            ("participant_amount", row.participant or "", stated(terms.get("participant_amount") if row.participant else None)),
            ("outcome_amount", row.outcome, stated(outcome.get("max_amount"))),
            *self._limits_of_all(year_of(row.day), day),
        ]

    def _limits_of_all(self, year: str, day: str) -> list[tuple[str, str, int | None]]:
        terms = self.terms(day)
        return [
            ("year_amount", year, stated(limit_of_year(terms, year))),
            ("award_amount", "", stated(terms["award_amount"])),
        ]

    def _consume(self, row: Row | Line, payable: Fraction, assessed: int) -> None:
        self.quantities[row.outcome] = self.quantities.get(row.outcome, NONE) + payable
        self.consumed["outcome_amount", row.outcome] += assessed
        self.consumed["year_amount", year_of(row.day)] += assessed
        self.consumed["award_amount", ""] += assessed
        if row.participant:
            self.consumed["participant_amount", row.participant] += assessed

    # M6 and M7: parts, then allotments.

    def _part_and_allot(self, row: Row, decided_on: str, received_on: str) -> None:
        terms = self.terms(row.day)
        payers, shares = terms["payers"], [share for _, share in shares_of(terms)]
        key = self._key(terms)
        so_far = self.parts.setdefault(key, [0] * len(payers))
        row.parts = next_parts(row.assessed, so_far, shares)
        self.parts[key] = [had + part for had, part in zip(so_far, row.parts, strict=True)]
        self.drifted.discard(key)
        if self.parts[key] != split(sum(self.parts[key]), shares):
            self.drifted.add(key)
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

    def _key(self, terms: Json) -> str:
        return repr(shares_of(terms))

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
            priced = find(self.terms(line.day), "outcomes", line.outcome)
            if priced is None:
                wrong.add(number)
            elif line.participant is None:
                limited = named(self.versions, today, "outcomes", line.outcome).get("max_per_participant")
                if limited or priced.get("prerequisites"):
                    wrong.add(number)
        return wrong

    def claim(self, name: str, lines: list[Line], today: str) -> None:
        for line in lines:
            line.worth["undecided"] = worth(self.outcome(line), line.claimed)
        self.claims[name] = Claim(lines, today)

    def achieved(self, participant: str) -> list[Line]:
        """The lines of which something stands accepted for a participant; what was declined gives its count back."""
        return [line for _, line in self.lines() if line.participant == participant and line.stands + line.awaiting]

    def broken(self, claim: Claim, accepted: dict[int, Fraction], today: str) -> set[int]:
        """The numbers of the lines that may not be accepted for their participants (M5)."""
        wrong: set[int] = set()
        would_be = [(claim.lines[number - 1], quantity) for number, quantity in accepted.items() if quantity]
        for number, quantity in accepted.items():
            line = claim.lines[number - 1]
            most = named(self.versions, today, "outcomes", line.outcome).get("max_per_participant")
            if not quantity:
                continue
            if line.participant is None:
                wrong.update({number} if most else ())
                continue
            of = [(each.outcome, each.day, each.stands + each.awaiting) for each in self.achieved(line.participant)]
            of += [(each.outcome, each.day, more) for each, more in would_be if each.participant == line.participant]
            if most and sum(q for outcome, _, q in of if outcome == line.outcome) > Fraction(most):
                wrong.add(number)
            for wanted in self.outcome(line).get("prerequisites", ()):
                if not any(outcome == wanted and day <= line.day for outcome, day, _ in of):
                    wrong.add(number)
        return wrong

    def verify(self, name: str, decisions: dict[int, tuple[Fraction, Fraction]], today: str) -> None:
        """Accept and reject quantities, by line; the rest is deferred (M4)."""
        claim = self.claims[name]
        claim.state = "verified"
        for number, (accepted, rejected) in decisions.items():
            line = claim.lines[number - 1]
            self._decide(line, accepted, rejected, line.open - accepted - rejected)
        if not self.terms(today).get("certification"):
            self.conclude(name, today)

    def _decide(self, line: Line, accepted: Fraction, rejected: Fraction, deferred: Fraction) -> None:
        """M4: the worth of all accepted so far, less that before; rejected and deferred are differences, deferred last."""
        priced = self.outcome(line)
        line.awaiting += accepted
        line.rejected += rejected
        line.deferred = deferred
        if accepted:
            line.worth["awaiting"] = max(line.worth["awaiting"] + worth(priced, line.accepted) - line.worth_accepted(), 0)
        line.worth["undecided"] = 0
        line.worth["rejected"] = worth(priced, line.accepted + line.rejected) - line.worth_accepted()
        line.worth["deferred"] = worth(priced, line.claimed) - line.worth_accepted() - line.worth["rejected"]

    def decline(self, name: str) -> None:
        for line in self.claims[name].lines:
            line.declined += line.awaiting
            line.worth["declined"] += line.worth["awaiting"]
            line.awaiting, line.worth["awaiting"] = NONE, 0

    def conclude(self, name: str, today: str) -> None:
        """Assess what awaits it, and make the payments due."""
        claim = self.claims[name]
        rows = [
            Row(n, line.outcome, line.participant, line.day, line.awaiting, line.worth["awaiting"], line.payable)
            for n, line in enumerate(claim.lines, 1)
            if line.awaiting
        ]
        if not rows:
            return
        self.assessments += 1
        before = Counter(self.allotted)
        self.assess(rows, today, claim.received_on)
        self.allotted = before
        owed: dict[tuple[str, str], Years] = {}
        for row in rows:
            line = claim.lines[row.line - 1]
            line.awaiting, line.worth["awaiting"] = NONE, 0
            self._stand(line, row, today, owed)
        self._oblige(owed, set())

    def _stand(self, line: Line, row: Row, today: str, owed: dict[tuple[str, str], Years]) -> None:
        """What was assessed of the line stands, and is owed to whom each payer pays today."""
        line.stands += row.quantity
        line.payable += row.payable
        line.assessed += row.assessed
        line.cut.update(row.cut)
        line.unfunded += row.unfunded
        line.assessments.append(self.assessments)
        for (payer, _), part, allotted in zip(shares_of(self.terms(line.day)), row.parts, row.allotted, strict=True):
            line.parts[payer] += part
            line.allotted[payer] += allotted
            owed.setdefault((payer, self.payee(payer, today)), Counter())[line.year] += allotted

    def payee(self, payer: str, today: str) -> str:
        return str(named(self.versions, today, "payers", payer)["payee"])

    def paid_to(self, payer: str, line: Line, today: str) -> str:
        """Whom a payer paid for a line the last time that it did; nobody yet: whom it would pay today."""
        paid = [self.payments[number, payer] for number in sorted(line.assessments) if (number, payer) in self.payments]
        return paid[-1].payee if paid else self.payee(payer, today)

    # What is owed, and what is owed back (M8).

    def _oblige(self, owed: dict[tuple[str, str], Years], paid_by: set[int]) -> None:
        """On balance something is due or receivable between a payer and its payee; or both, of years that make up exactly."""
        for (payer, payee), years in owed.items():
            sides = [years]
            if not years.total():
                sides = [Counter({y: a for y, a in years.items() if a > 0}), Counter({y: a for y, a in years.items() if a < 0})]
            for side in sides:
                if side.total() > 0:
                    self.payments[self.assessments, payer] = Payment(payer, payee, side)
                    self.allotted[payer] += side.total()
                elif side.total() < 0:
                    self.receivables[self.assessments, payer, payee] = Counter({year: -a for year, a in side.items()})
        for payer, payee in owed:
            for number in sorted(paid_by):
                self._net_off((number, payer), payee, [(self.assessments, payer, payee)])
        for payer, payee in owed:
            self._net_off((self.assessments, payer), payee, list(self.receivables))

    def _net_off(self, name: tuple[int, str], payee: str, receivables: list[tuple[int, str, str]]) -> None:
        payment = self.payments.get(name)
        if payment is None or payment.payee != payee:
            return
        for each in receivables:
            if each in self.receivables and each[1:] == (payment.payer, payment.payee) and payment.can_be_netted():
                amount = min(self.receivables[each].total(), payment.years.total())
                for year, taken in take(payment.years, amount).items():
                    self.settled["netted-off", None, payment.payer, year] += taken
                self._close(each, amount, "netted-off")
                self.allotted[payment.payer] -= amount
                if not payment.years.total():
                    payment.stage = "netted-off"

    def unsent_again(self, name: tuple[int, str], stage: str) -> None:
        """A payment that was sent, or counted as such, is not any more: what is open between the two comes off it."""
        payment = self.payments[name]
        payment.stage, payment.reported = stage, False
        self._net_off(name, payment.payee, list(self.receivables))

    def _close(self, name: tuple[int, str, str], amount: int, how: str) -> None:
        for year, taken in take(self.receivables[name], amount).items():
            self.settled[f"receivable.{how}", None, name[1], year] -= taken
        if not self.receivables[name].total():
            del self.receivables[name]

    def recover(self, name: tuple[int, str, str], amount: int) -> None:
        self._close(name, amount, "recovered")
        self.allotted[name[1]] -= amount

    def write_off(self, name: tuple[int, str, str]) -> None:
        self._close(name, self.receivables[name].total(), "written-off")

    # M8: a line goes back as it came.

    def clawback(self, lines: list[tuple[LineName, Fraction]], today: str) -> list[LineName]:
        """Take quantities of lines back, and what needed them where the terms say so; the lines that needed them."""
        self.assessments += 1
        owed: dict[tuple[str, str], Years] = {}
        paid_by: set[int] = set()
        taken: list[LineName] = []
        dependants: list[LineName] = []
        goes = list(lines)
        while goes:
            for name, quantity in goes:
                line = self.line(name)
                paid_by.update(line.assessments)
                self._owe_back(line, self._claw(line, quantity), today, owed)
                taken.append(name)
            more = [each for each in self._bereft(taken) if each not in dependants]
            dependants += more
            goes = [(each, self.line(each).stands) for each in more if self.line(each).stands]
            if self.terms(today).get("dependants") != "go-too":
                break
        self._oblige(owed, paid_by)
        for name in taken:
            self.line(name).assessments.append(self.assessments)
        return dependants

    def _claw(self, line: Line, quantity: Fraction) -> Counter[str]:
        before = line.stood()
        back = self._reverse(line, quantity)
        line.rejected += quantity
        line.worth["rejected"] += before - line.stood()
        return back

    def _reverse(self, line: Line, quantity: Fraction) -> Counter[str]:
        """What it takes back from each payer."""
        remaining = line.stands - quantity
        decrease = line.stood() - (min(worth(self.outcome(line), remaining), line.stood()) if remaining else 0)
        less = max(line.assessed - (line.stood() - decrease), 0)
        payers = [payer for payer, _ in shares_of(self.terms(line.day))]
        parts, allotted = [line.parts[payer] for payer in payers], [line.allotted[payer] for payer in payers]
        back = share_out(less, [*allotted, line.unfunded]) if remaining else [*allotted, line.unfunded]
        parts_back = share_out(less, parts) if remaining else parts
        payable_back = max(line.payable - remaining, NONE)
        self._consume(line, -payable_back, -less)
        key = self._key(self.terms(line.day))
        self.parts[key] = [had - part for had, part in zip(self.parts[key], parts_back, strict=True)]
        self.drifted.add(key)
        self.unfunded[line.year] -= back[-1]
        line.stands = remaining
        line.payable -= payable_back
        line.assessed -= less
        line.unfunded -= back[-1]
        line.parts.subtract(dict(zip(payers, parts_back, strict=True)))
        line.allotted.subtract(dict(zip(payers, back[:-1], strict=True)))
        gives = decrease - less
        for limit in LIMITS:
            given = min(gives, line.cut[limit])
            line.cut[limit] -= given
            gives -= given
        return Counter(dict(zip(payers, back[:-1], strict=True)))

    def _owe_back(self, line: Line, back: Counter[str], today: str, owed: dict[tuple[str, str], Years]) -> None:
        for payer, amount in back.items():
            if amount:
                owed.setdefault((payer, self.paid_to(payer, line, today)), Counter())[line.year] -= amount

    def _bereft(self, taken: list[LineName]) -> list[LineName]:
        """Accepted lines that needed one that was taken back, and for which nothing else stands."""
        gone = {(line.participant, line.outcome) for line in map(self.line, taken) if line.participant}
        found = []
        for name, line in self.lines():
            if line.participant and line.stands + line.awaiting:
                for wanted in self.outcome(line).get("prerequisites", ()):
                    has = [each for each in self.achieved(line.participant) if each.outcome == wanted and each.day <= line.day]
                    if (line.participant, wanted) in gone and not has and name not in found:
                        found.append(name)
        return found

    def goes_too(self, name: str, today: str) -> bool:
        """Whether a line of a claim that waits has lost its prerequisite, where such lines go too."""
        waiting = [line for line in self.claims[name].lines if line.awaiting and line.participant]
        return self.terms(today).get("dependants") == "go-too" and any(
            not any(each.outcome == wanted and each.day <= line.day for each in self.achieved(line.participant or ""))
            for line in waiting
            for wanted in self.outcome(line).get("prerequisites", ())
        )

    # M9 and M5: lines are assessed anew.

    def under_what_stands(self, version: Json) -> set[str]:
        """The limits and maxima that a version lowers under what stands (M9)."""
        day = version["effective_from"]
        found = self._lowered("", version, self.terms(day), {"award_amount": self.consumed["award_amount", ""]})
        for (limit, year), amount in self.consumed.items():
            if limit == "year_amount":
                most = {year: limit_of_year(version, year)}
                found |= self._lowered("year_amounts.", most, {year: limit_of_year(self.terms(day), year)}, {year: amount})
        for number, outcome in enumerate(version["outcomes"]):
            code = outcome["code"]
            quantity, amount = self.quantities.get(code, NONE) * 100, self.consumed["outcome_amount", code]
            before = self._known(day, "outcomes", code)
            found |= self._lowered(f"outcomes.{number}.", outcome, before, {"max_quantity": quantity, "max_amount": amount})
        for number, payer in enumerate(version["payers"]):
            before = self._known(day, "payers", payer["party"])
            found |= self._lowered(f"payers.{number}.", payer, before, {"maximum": self.allotted[payer["party"]]})
        return found

    def under_what_participants_have(self, version: Json) -> set[str]:
        """The limits by participant that it lowers under what stands for one of them."""
        day = version["effective_from"]
        amounts = [amount for (limit, _), amount in self.consumed.items() if limit == "participant_amount"]
        found = self._lowered("", version, self.terms(day), {"participant_amount": max(amounts, default=0)})
        for number, outcome in enumerate(version["outcomes"]):
            has: dict[str, Fraction] = {}
            for _, line in self.lines():
                if line.participant and line.outcome == outcome["code"]:
                    has[line.participant] = has.get(line.participant, NONE) + line.stands + line.awaiting
            stands = {"max_per_participant": max(has.values(), default=NONE) * 100}
            found |= self._lowered(f"outcomes.{number}.", outcome, self._known(day, "outcomes", outcome["code"]), stands)
        return found

    def _known(self, day: str, where: str, name: str) -> Json:
        known = any(find(version, where, name) for version in in_order(self.versions, day))
        return named(self.versions, day, where, name) if known else {}

    def _lowered(self, where: str, limits: Json, before: Json, stands: Mapping[str, int | Fraction]) -> set[str]:
        """Stated limits, each as in an earlier version or less; `stands` is in pence, or hundredths of a unit."""
        found = set()
        for name, most in stands.items():
            limit, was = limits.get(name), before.get(name)
            if limit is not None and exact(limit) * 100 < most and (was is None or exact(limit) < exact(was)):
                found.add(f"{where}{name}")
        return found

    def dropped(self, version: Json, today: str) -> set[str]:
        """The claimed lines of its span whose outcome a back-dated version no longer names."""
        if version["effective_from"] > today:
            return set()
        versions = [*self.versions, version]
        within = [(name, line) for name, line in self.lines() if next(in_order(versions, line.day)) is version]
        return {f"claims.{c}.lines.{n}" for (c, n), line in within if not find(version, "outcomes", line.outcome)}

    def agree(self, version: Json, today: str) -> None:
        """A further version is agreed; a back-dated one reassesses what it prices or splits otherwise, and restates the rest."""
        anew: list[tuple[LineName, int]] = []
        repriced: list[Line] = []
        for name, line in self.lines():
            now = next(in_order([*self.versions, version], line.day))
            priced = find(now, "outcomes", line.outcome) or self.outcome(line)
            if rate(priced) != rate(self.outcome(line)):
                repriced.append(line)
                anew.append((name, worth(priced, line.stands)))
            elif shares_of(now) != shares_of(self.terms(line.day)):
                anew.append((name, line.stood()))
        anew = [(name, value) for name, value in anew if self.line(name).stands]
        if anew or repriced:
            self._reassess(anew, today, version)
        else:
            self.versions.append(version)
        for line in repriced:
            self._restate(line)

    def reconsidered(self, names: list[LineName], today: str) -> "Book":
        """The book as it would be if curtailed lines were assessed anew (M5)."""
        book = deepcopy(self)
        book._reassess([(name, book.line(name).stood()) for name in names], today, None)
        return book

    def _reassess(self, anew: list[tuple[LineName, int]], today: str, version: Json | None) -> None:
        """Reverse lines whole, all of them, then assess them in the order of their first recording, at what they are worth."""
        self.assessments += 1
        chosen = sorted(((self.line(name), name, value) for name, value in anew), key=lambda each: self._recorded(each[1]))
        quantities = [line.stands for line, _, _ in chosen]
        back = [self._reverse(line, line.stands) for line, _, _ in chosen]
        self.versions += [version] if version else []
        paid_by = {number for line, _, _ in chosen for number in line.assessments}
        owed: dict[tuple[str, str], Years] = {}
        before = Counter(self.allotted)
        for (line, _, _), amounts in zip(chosen, back, strict=True):
            self._owe_back(line, amounts, today, owed)
            self.allotted.subtract({p: a for p, a in amounts.items() if self.paid_to(p, line, today) == self.payee(p, today)})
        for (line, (claim, number), value), quantity in zip(chosen, quantities, strict=True):
            row = Row(number, line.outcome, line.participant, line.day, quantity, value)
            self._assess(row, today, self.claims[claim].received_on)
            self._stand(line, row, today, owed)
        self.allotted = before
        self._oblige(owed, paid_by)

    def _recorded(self, name: LineName) -> tuple[int, int]:
        return self.line(name).assessments[0], name[1]

    def _restate(self, line: Line) -> None:
        """Every stage is worth the difference that it makes at the new price (M4)."""
        priced, so_far = self.outcome(line), line.stands
        for stage in ("awaiting", "declined", "rejected", "deferred", "undecided"):
            after = so_far + getattr(line, stage)
            line.worth[stage] = worth(priced, after) - worth(priced, so_far)
            so_far = after

    # M10: what is paid otherwise.

    def passed(self, amount: int, dated: str, today: str) -> set[str]:
        """The limits that an amount would pass."""
        return {f"{name}.{who}" if who else name for name, who, left in self._leaves(dated, today) if amount > left}

    def room(self, dated: str, today: str) -> int:
        """The most that passes none."""
        return min(left for _, _, left in self._leaves(dated, today))

    def _leaves(self, dated: str, today: str) -> list[tuple[str, str, int]]:
        limits = self._limits_of_all(year_of(dated), today)
        return [(name, who, max(most - self.consumed[name, who], 0)) for name, who, most in limits if most is not None]

    def pay_otherwise(self, amount: int, dated: str, today: str) -> None:
        self.assessments += 1
        row = Row(0, "", None, dated, NONE, amount, assessed=amount)
        before = Counter(self.allotted)
        self._part_and_allot(row, today, dated)
        self.allotted = before
        self.others[year_of(dated)] += amount
        self.consumed["year_amount", year_of(dated)] += amount
        self.consumed["award_amount", ""] += amount
        payers = [payer for payer, _ in shares_of(self.terms(dated))]
        given = zip(payers, row.allotted, strict=True)
        self._oblige({(p, self.payee(p, today)): Counter({year_of(dated): a}) for p, a in given if a}, set())

    # The end.

    def waits(self) -> bool:
        """Whether a claim waits for its first decision, or for its certificate."""
        return any(claim.state == "undecided" for claim in self.claims.values()) or any(line.awaiting for _, line in self.lines())

    def close(self, today: str) -> int:
        """Deferred lines lapse (M4); what is released of the commitment."""
        self.state = "closed-to-claims"
        for _, line in self.lines():
            if line.deferred:
                self._decide(line, NONE, line.deferred, NONE)
        return max(pence(self.terms(today)["award_amount"]) - self.consumed["award_amount", ""], 0)

    def is_done(self) -> bool:
        settled = all(each.stage in {"paid", "netted-off"} for each in self.payments.values())
        return settled and not self.receivables and not self.reconsiderations

    # M11: where every pound is.

    def balances(self) -> Counter[Account]:
        sums: Counter[Account] = Counter(self.settled)
        for _, line in self.lines():
            where = line.outcome, None, line.year
            for stage, amount in line.worth.items():
                sums[stage, *where] += amount
            for limit, amount in line.cut.items():
                sums[f"curtailed.{limit}", *where] += amount
            sums["assessed", *where] += line.assessed
            sums["claimed", *where] -= line.worth.total() + line.cut.total() + line.assessed
            sums["apportioned", None, None, line.year] -= line.assessed
        for payment in self.payments.values():
            for year, amount in payment.years.items():
                sums[payment.stage, None, payment.payer, year] += amount
        for (_, payer, _), years in self.receivables.items():
            for year, amount in years.items():
                sums["receivable.open", None, payer, year] -= amount
        for year, amount in self.unfunded.items():
            sums["unfunded", None, None, year] += amount
        for year, amount in self.others.items():
            sums["other-payments", None, None, year] -= amount
        return sums
