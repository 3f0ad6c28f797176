"""Check an audit pack of the Life Chances Ledger, on a machine that has nothing of the ledger's.

    python verify.py                       in the folder of an unpacked pack
    python verify.py pack.zip --key KEY    a pack as it came, and held to a key that you know from elsewhere

It needs Python 3.11 and `cryptography`, and says PASS with what it checked, or FAIL with the first thing that does not hold (exit
code 1). README.txt tells what that proves, and by which rules (M5). Read `main` first, at the end. Amounts are whole pence.
"""

import argparse
import base64
import json
import re
import sys
import zipfile
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    sys.exit("verify.py needs the package `cryptography`: python -m pip install cryptography")

Json = dict[str, Any]
Entry = NamedTuple("Entry", [("position", int), ("leaf", bytes), ("stream", str), ("type", str), ("event", Json)])  # noqa: UP014
HEAD, ENDLESS = "life-chances-ledger/award-head/v1", 10**18  # Pence: what is left to a payer without a maximum.
ASSESSING = "award.assessed", "other-payment.agreed", "claim.lines-assessed", "claim.lines-reversed"
LIMITS = "outcome_quantity", "participant_amount", "outcome_amount", "year_amount", "award_amount"
MOVES = """
claim.lines-listed claimed > undecided = value                 claim.lines-withdrawn undecided > claimed = amount
claim.lines-decided undecided > awaiting = accepted_value      claim.lines-declined awaiting > declined = amount
claim.lines-decided undecided > rejected = rejected_value      claim.lines-decided undecided > deferred = deferred_value
claim.lines-restated claimed > undecided    claim.lines-restated claimed > awaiting    claim.lines-restated claimed > declined
claim.lines-restated claimed > rejected     claim.lines-restated claimed > deferred    payment.held due > held
payment.hold-lifted held > due              payment.approved due > approved            payment.drawn-up approved > in-run
payment.taken-off-run in-run > approved     payment.sent in-run > sent                 payment.settled sent > paid
payment.stopped was > due                   payment.returned was > returned            payment.reissued returned > due
payment.report-confirmed due > paid         payment.netted-off was > netted-off        receivable.opened receivable.open > due
receivable.recovered receivable.recovered > receivable.open     receivable.netted-off receivable.netted-off > receivable.open
receivable.written-off receivable.written-off > receivable.open     opened.outcomes claimed > assessed
opened.payers apportioned > paid       opened.payers apportioned > due       opened.payers paid > apportioned = owed_back
opened.years apportioned > unfunded    opened.years other-payments > apportioned = other_payments
"""  # What an entry moves from one stage to another; and under which name it says how much, if it is not the stage's.
RULES: dict[str, list[tuple[str, str, str]]] = {kind: [] for kind in ASSESSING}
for _kind, _source, _target, _of in re.findall(r"(\S+\.\S+) +(\S+) > (\S+)(?: = (\S+))?", MOVES):
    RULES.setdefault(_kind, []).append((_source, _target, _of or _target))


class DoesNotHold(Exception):
    """Something in the pack is not as it must be."""


def expect(holds: object, otherwise: str) -> None:
    """Go on only if something holds."""
    if not holds:
        raise DoesNotHold(otherwise)


def same(what: str, told: Any, ours: Any) -> None:
    """Go on only if something was recorded as we work it out."""
    ours = [pounds(each) for each in ours] if isinstance(ours, list) else pounds(ours)
    expect(told == ours, f"{what} is {told}, but by the terms and the entries before it {ours}")


class Files(dict[str, bytes]):
    """The files of a pack by their names."""

    last = "the pack"  # What was looked at last: if that cannot be read, this is what does not hold.

    def __getitem__(self, name: str) -> bytes:
        Files.last = name
        expect(name in self, f"{name} is missing")
        return super().__getitem__(name)


def files_of(place: Path) -> Files:
    """What is in a zip, or in a folder."""
    if place.is_dir():
        return Files({file.relative_to(place).as_posix(): file.read_bytes() for file in place.rglob("*") if file.is_file()})
    with zipfile.ZipFile(place) as packed:
        return Files({name: packed.read(name) for name in packed.namelist()})


def keys(told: str) -> dict[str, bytes]:
    """Keys by their words `<name>+<id>+<base64 of 0x01 and 32 bytes>`; each must have the id that it says."""
    found = {}
    for word in told.split():
        name, number, encoded = [*word.split("+", 2), "", ""][:3]
        key = base64.b64decode(encoded, validate=True)
        fits = sha256(name.encode() + b"\n" + key).hexdigest()[:8] == number and key[:1] == b"\1"
        expect(fits, f"{word} is no Ed25519 key, or has another id")
        found[word] = key[1:]
    return found


def signed(what: str, note: bytes, known: dict[str, bytes]) -> list[str]:
    """C2SP signed-note: the lines of a note that a known key signed. Its first line or its second names the log."""
    text, _, lines = note.decode().rpartition("\n\n")
    said = text.split("\n")
    for _, name, encoded in (line.split(" ") for line in lines.splitlines()):
        told = base64.b64decode(encoded, validate=True)
        for word, public in known.items():
            if word.startswith(f"{name}+{told[:4].hex()}+") and name in said[:2] and base64.b64encode(told) == encoded.encode():
                try:
                    Ed25519PublicKey.from_public_bytes(public).verify(told[4:], f"{text}\n".encode())
                except InvalidSignature:
                    raise DoesNotHold(f"{what}: the signature of {name} is wrong") from None
                return said
    raise DoesNotHold(f"{what} is signed by no key that is known")


def roots(leaves: list[tuple[int, bytes]], sizes: list[int], beside: Iterator[bytes], start: int, end: int) -> dict[int, bytes]:
    """RFC 6962: the roots over leaves from `start` to `end`, and to sizes between; `beside` has those over leaves of others."""
    leaf, within = bisect_left(leaves, (start,)), bisect_right(sizes, start)
    if (leaf == len(leaves) or leaves[leaf][0] >= end) and (within == len(sizes) or sizes[within] >= end):
        return {end: next(beside, b"")}
    if end - start == 1:
        return {end: leaves[leaf][1]}
    cut = start + (1 << (end - start - 1).bit_length() - 1)
    left, right = roots(leaves, sizes, beside, start, cut), roots(leaves, sizes, beside, cut, end)
    ours = {size: left[size] for size in sizes[within : bisect_right(sizes, cut)]}
    return ours | {size: sha256(b"\1" + left[cut] + each).digest() for size, each in right.items()}


def entries(told: bytes, award: str) -> list[Entry]:
    """The award's entries: two lines each, header and state. Each names its number and the leaf of the one before it."""
    lines = told.split(b"\n")
    expect(lines.pop() == b"" and len(lines) % 2 == 0, "entries.txt does not end where an entry ends")
    found = [Entry(0, bytes(32), "", "", {})]
    for number, (header, state) in enumerate(zip(lines[::2], lines[1::2], strict=True), 1):
        prefix, at, _, of, sequence, previous = header.decode("ascii").split(" ")
        where, before = f"entry {number} of the award, at position {at}", found[-1]
        expect((prefix, of) == ("lcl1", award), f"{where}: it is no entry of {award}")
        expect(int(sequence) == number, f"{where}: it says that it is number {sequence}; one is missing, or does not belong here")
        expect(
            previous == before.leaf.hex(), f"{where}: it does not name the leaf of entry {number - 1}; one of them was changed"
        )
        said, leaf = json.loads(state), sha256(b"\0" + header + b"\n" + state).digest()
        found.append(Entry(int(at), leaf, said["stream"], said["type"], said["event"]))
    return found[1:]


def pence(text: str) -> int:
    """`"1234.50"` as 123450."""
    return int(text.replace(".", ""))


def pounds(amount: int) -> str:
    """123450 as `"1234.50"`."""
    return f"{'-' if amount < 0 else ''}{abs(amount) // 100}.{abs(amount) % 100:02}"


def year_of(day: str) -> str:
    """The financial year of a day, April to March: `"2021-22"`."""
    year = int(day[:4]) - (day[5:] < "04-01")
    return f"{year}-{(year + 1) % 100:02}"


def largest_remainder(whole: int, weights: Sequence[Fraction | int]) -> list[int]:
    """M6, M8: in proportion, each floored; what is missing goes to the largest remainders, ties by order."""
    exact = [Fraction(whole * weight) / (sum(weights) or 1) for weight in weights]
    parts = [int(each) for each in exact]
    more = sorted(range(len(parts)), key=lambda at: parts[at] - exact[at])[: whole - sum(parts)] if any(weights) else []
    return [part + (at in more) for at, part in enumerate(parts)]


class Line:
    """A claimed line, and what stands of it: all that was assessed of it, less all that was taken back."""

    def __init__(self, claim: str, said: Json, received_on: str) -> None:
        self.name, self.day, self.received_on, self.key = f"{claim} {said['line']}", said["achieved_on"], received_on, ""
        self.outcome, self.year, self.rate = said["outcome"].upper(), year_of(self.day), Fraction(0)  # Pence for one unit.
        self.counts = dict(zip(LIMITS, (self.outcome, said.get("participant"), self.outcome, self.year, ""), strict=True))
        self.awaiting, self.numbers = 0, list[int]()  # What is accepted and not assessed; the assessments that moved it.
        self.stands: Counter[str] = Counter()  # `units`, `payable`, `assessed`; by limit; `part of` a payer; by payer, allotted.

    def worth(self, quantity: Fraction) -> int:
        """M3: price x quantity / per, rounded once, half up."""
        return int(self.rate * quantity + Fraction(1, 2))


class Award:
    """The award as its entries tell it: what is assessed under it is worked out by its terms and by what came before."""

    def __init__(self) -> None:
        self.versions, self.agreed, self.received = dict[int, Json](), list[Json](), dict[str, str]()
        self.lines, self.payees = dict[tuple[str, int], Line](), dict[tuple[int, str], str]()  # By assessment and payer.
        self.used: dict[tuple[str, str], Any] = defaultdict(int)  # Of each limit.
        self.allotted, self.back = Counter[str](), Counter[str]()  # Of each maximum; and given back since the last assessment.
        self.sums: dict[str, tuple[int, list[int]]] = {}  # M6: what was split by each list of shares so far, and the parts.
        self.number, self.event, self.moved = 0, Json(), Counter[str]()  # The assessment that is read, and what it comes to,
        self.read: dict[str, list[tuple[Any, Json]]] = defaultdict(list)  # and what it says of lines.
        self.amounts, self.posted = Counter[str](), list[tuple[str, str, int]]()  # To be explained; account, day and amount.

    def take(self, entry: Entry) -> None:  # noqa: C901, PLR0912 (one case for each type of entry)
        """Check what an entry says against what came before it, and remember it."""
        event, kind, name = entry.event, entry.type, entry.stream.rsplit("/", 1)[-1]
        if kind in ASSESSING and event["assessment"] != self.number:
            self.finish(event["assessment"])
        self.event = event if kind == "award.assessed" else self.event
        match kind:  # Nothing else changes what is checked here.
            case "award.terms-proposed":
                key = " ".join(f"{each['party']}={each['share']}" for each in event["terms"]["payers"])
                self.versions[event["version"]] = event["terms"] | {"version": event["version"], "key": key}
            case "award.agreed" | "award.terms-agreed":
                self.finish()
                self.agreed.append(self.versions[event.get("version", 1)])
            case "award.receivable-changed":
                self.back[event["payer"]] += pence(event["headroom"])
            case "claim.submitted":
                self.received[name] = event["received_on"]
            case "other-payment.agreed":
                self.read[kind].append((event["dated"], event["split"]))
            case "opening-position.figures-opened":
                self.open_figures(event)
            case "participant.recognised-before":
                self.used["participant_amount", name] += sum(pence(each["assessed"]) for each in event["achievements"])
            case "payment.fell-due":
                self.payees[event["assessment"], event["payer"]] = event["payee"]
                self.amounts[f"{event['assessment']} {event['payer']}"] += pence(event["amount"])
            case _ if kind.startswith("claim.lines-"):
                for said in event["lines"]:
                    if kind == "claim.lines-listed":
                        line = self.lines[name, said["line"]] = Line(name, said, self.received[name])
                        self.price(line)
                        same(f"{name}, line {said['line']}: the value", said["value"], line.worth(Fraction(said["quantity"])))
                    line = self.lines[name, said["line"]]
                    for source, target, of in RULES[kind]:
                        line.awaiting += pence(said[of]) * ((target == "awaiting") - (source == "awaiting"))
                        self.post(source, target, pence(said[of]), line.day, (line.outcome, "", line.year))
                    if kind == "claim.lines-assessed":
                        same(f"{name}, line {said['line']}: what was accepted", said["accepted"], line.awaiting)
                        line.awaiting = 0
                    elif kind == "claim.lines-reversed" and not event["clawed_back"]:
                        line.awaiting += pence(said["worth"])
                    self.read[kind].append((line, said | {"to": "rejected" if event.get("clawed_back") else "awaiting"}))
            case _ if kind.startswith(("payment.", "receivable.")) and "years" in event:
                for year, amount in event["years"].items():
                    source, target, _ = RULES[kind][0]
                    self.post(event.get(source, source), target, pence(amount), event["on"], ("", event["payer"], year))
                    if kind == "payment.netted-off":
                        self.amounts[f"{entry.stream.split('/')[3]} {event['payer']}"] -= pence(amount)

    def post(self, source: str, target: str, amount: int, day: str, to: tuple[str, str, str]) -> None:
        """Move an amount of an outcome, a payer and a year from one stage to another, as the balances have them."""
        for stage, by in ((source, -amount), (target, amount)):
            its = ("", "", to[2]) if stage in ("apportioned", "unfunded", "other-payments") else to
            self.posted.append(("|".join((stage, *its)), day, by))

    def finish(self, following: int = 0) -> None:
        """Before another assessment begins, or other terms hold, work out the one that was read: it is known whole now."""
        event, before, where = self.event, Counter(self.allotted), f"assessment {self.number}"
        others, given, taken = (self.read[kind] for kind in ASSESSING[1:])
        for line, said in sorted(taken, key=lambda each: (-pence(each[1]["before"]), -pence(each[1]["after"]))):
            self.reverse(f"{where}, claim and line {line.name}", line, said)
        for line, said in sorted(given, key=lambda each: (each[0].numbers[0] if taken else 0, each[1]["line"])):
            self.assess(f"{where}, claim and line {line.name}", line, said)
        for day, said in others:
            amount = pence(said["amount"])
            self.used.update({of: self.used[of] + amount for of in (("year_amount", year_of(day)), ("award_amount", ""))})
            self.move(self.split(where, said, amount, self.in_force(day)[0], day) | {"assessed": amount}, "other-payments", day)
        if event:
            (self.open if event["kind"] == "opening-position" else self.sum_up)(where, event)
            self.allotted = before + Counter({payer: pence(amount) for payer, amount in event["allotted"].items()})
        self.allotted.subtract(self.back)
        self.number, self.event, self.read, self.moved, self.back = following, {}, defaultdict(list), Counter(), Counter()

    def in_force(self, day: str) -> list[Json]:
        """M2: the agreed versions in force on a day: the one that holds, then those that would if it were not there."""
        found = [each for each in reversed(self.agreed) if each["effective_from"] <= day]
        return sorted(found, key=lambda each: each["effective_from"], reverse=True)

    def limits(self, of: str, name: str) -> Json:
        """M2: an outcome or a payer, as the last version that is in force on the day of the decision and names it has it."""
        named = (each for terms in self.in_force(self.event["on"]) for each in terms[of])
        return next(each for each in named if each["code" if of == "outcomes" else "party"].upper() == name)

    def price(self, line: Line) -> Json:
        """M2: the terms in force when a line was achieved, by which it is priced from here on."""
        terms = self.in_force(line.day)[0]
        priced = next(each for each in terms["outcomes"] if each["code"].upper() == line.outcome)
        line.rate = Fraction(pence(priced["price"]), priced["per"])
        return terms

    def assess(self, where: str, line: Line, said: Json) -> None:
        """M5: each limit, as it is on the day of the decision, cuts what the one before it left."""
        terms, now, limited = self.price(line), self.in_force(self.event["on"])[0], self.limits("outcomes", line.outcome)
        payable = quantity = Fraction(said["quantity"])
        amount, paid, cuts = pence(said["accepted"]), Fraction(line.stands["payable"]), Counter[str]()
        of_participant = line.counts["participant_amount"] and now.get("participant_amount")
        of_year = now["year_amounts"].get(line.year, now.get("year_amount"))
        all_of_them = limited.get("max_quantity"), of_participant, limited.get("max_amount"), of_year, now["award_amount"]
        most = {limit: each for limit, each in zip(LIMITS, all_of_them, strict=True) if each is not None}
        expect([each["limit"] for each in said["limits"]] == list(most), f"{where}: the limits that hold are {', '.join(most)}")
        for each, limit in zip(said["limits"], most, strict=True):
            number = Fraction if limit == "outcome_quantity" else pence
            left = max(number(most[limit]) - self.used[limit, line.counts[limit]], 0)
            expect(number(each["left"]) == left, f"{where}: {limit} had not {each['left']} left, by the entries before it")
            if limit == "outcome_quantity":
                payable = min(quantity, left)
                left = amount if payable == quantity else line.worth(paid + payable) - line.worth(paid)
            cuts[limit] = max(amount - left, 0)
            same(f"{where}: what {limit} cuts off", each["curtailed"], cuts[limit])
            amount -= cuts[limit]
        same(f"{where}: what is assessed", said["assessed"], amount)
        by = self.split(where, said, amount, terms, line.received_on) | cuts
        line.key = terms["key"]
        self.move(by | {"units": quantity, "payable": payable, "assessed": amount}, "awaiting", line.day, line)

    def split(self, where: str, said: Json, amount: int, terms: Json, received_on: str) -> Json:
        """M6: parts are those of the new sum, less those given before. M7: of its part a payer is allotted what it has left."""
        shares, told = {each["party"]: each["share"] for each in terms["payers"]}, said["allotments"]
        expect(said["version"] == terms["version"], f"{where}: version {terms['version']} of the terms is in force")
        before, had = self.sums.get(terms["key"], (0, [0] * len(shares)))
        new = largest_remainder(before + amount, list(map(Fraction, shares.values())))
        parts = [max(now - old, 0) for now, old in zip(new, had, strict=True)]
        while sum(parts) > amount:
            parts[parts.index(max(parts))] -= 1
        self.sums[terms["key"]] = before + amount, [old + part for old, part in zip(had, parts, strict=True)]
        left = [self.left(payer, received_on) for payer in shares]
        allotted = dict(zip(shares, map(min, parts, left), strict=True))
        self.allotted.update(allotted)
        unfunded = amount - sum(allotted.values())
        if terms["shortfall"] == "residual-payer":
            lead = (each["party"] for each in terms["parties"] if "lead-commissioner" in each["roles"])
            residual = terms.get("residual_payer") or next(lead)
            more = min(unfunded, self.left(residual, received_on))
            self.allotted[residual] += more
            allotted[residual] += more
            unfunded -= more
        same(f"{where}: before and after it", [said["before"], said["after"]], [before, before + amount])
        expect({each["payer"]: each["share"] for each in told} == shares, f"{where}: the shares are {terms['key']}")
        same(f"{where}: the parts", [each["part"] for each in told], parts)
        same(f"{where}: what payers had left", [each.get("left", pounds(ENDLESS)) for each in told], left)
        same(f"{where}: what payers are allotted", [each["allotted"] for each in told], list(allotted.values()))
        same(f"{where}: what nobody owes", said["unfunded"], unfunded)
        return allotted | {f"part of {payer}": part for payer, part in zip(shares, parts, strict=True)} | {"unfunded": unfunded}

    def left(self, payer: str, received_on: str) -> int:
        """M7: what is left of a payer's maximum; nothing for a claim that was received too late for it."""
        limited = self.limits("payers", payer)
        room = max(pence(limited["maximum"]) - self.allotted[payer], 0) if "maximum" in limited else ENDLESS
        return room if received_on <= limited.get("claims_until", "9999") else 0

    def reverse(self, where: str, line: Line, said: Json) -> None:
        """M8: what was curtailed goes first; of parts and allotments it takes in proportion, or all where nothing remains."""
        stands, quantity, payers = line.stands, Fraction(said["quantity"]), [each["payer"] for each in said["reversals"]]
        stood = stands["assessed"] + sum(stands[limit] for limit in LIMITS)
        worth = min(line.worth(stands["units"] - quantity), stood)
        amount = max(stands["assessed"] - worth, 0)
        same(f"{where}: what it is worth less, and taken back", [said["worth"], said["reversed"]], [stood - worth, amount])
        cuts = {each["limit"]: pence(each["amount"]) for each in said["limits"]}
        same(f"{where}: what comes off what limits had cut", pounds(sum(cuts.values())), stood - worth - amount)
        parts = largest_remainder(amount, [stands[f"part of {payer}"] for payer in payers])
        taken = largest_remainder(amount, [stands[payer] for payer in (*payers, "unfunded")])
        same(f"{where}: what comes off the parts", [each["part"] for each in said["reversals"]], parts)
        same(f"{where}: what payers have back", [each["reversed"] for each in said["reversals"]], taken[:-1])
        same(f"{where}: what comes off what nobody owes", said["unfunded"], taken[-1])
        before, had = self.sums[line.key]
        self.sums[line.key] = before - amount, [old - part for old, part in zip(had, parts, strict=True)]
        same(f"{where}: before and after it", [said["before"], said["after"]], [before, before - amount])
        for payer, back in zip(payers, taken[:-1], strict=True):  # If it goes to whom it went, it is netted off at once.
            paid = [self.payees[number, payer] for number in sorted(line.numbers) if (number, payer) in self.payees]
            self.allotted[payer] -= back if paid[-1:] in ([], [self.limits("payers", payer)["payee"]]) else 0
        payable = max(stands["payable"] - stands["units"] + quantity, Fraction(0))
        by = cuts | {"units": quantity, "payable": payable, "assessed": amount}
        by |= dict(zip((*payers, "unfunded", *(f"part of {payer}" for payer in payers)), (*taken, *parts), strict=True))
        self.move({what: -amount for what, amount in by.items()}, said["to"], line.day, line)

    def move(self, by: Json, source: str, day: str, line: Line | None = None) -> None:
        """What an assessment adds to a line, or a reversal takes off, counts in sums, against limits and in the balances."""
        apart, year = "apportioned" if line else source, year_of(day)
        self.moved.update(by)
        for payer in [what for what in by if f"part of {what}" in by]:
            self.post(apart, "due", by[payer], day, ("", payer, year))
        self.post(apart, "unfunded", by["unfunded"], day, ("", "", year))
        if line:
            line.stands.update(by)
            line.numbers.append(self.number)
            self.amounts[f"{self.number} {line.name}".upper()] += by["assessed"]
            self.post(source, "assessed", by["assessed"], day, (line.outcome, "", year))
            for limit, of in line.counts.items():
                self.used[limit, of] += by["payable" if limit == "outcome_quantity" else "assessed"]
                self.post(source, f"curtailed.{limit}", by.get(limit, 0), day, (line.outcome, "", year))

    def open(self, _: str, event: Json) -> None:
        """What was assessed elsewhere is taken as two persons agreed it, as nobody can look behind it."""
        self.sums = {key: (pence(amount), list(map(pence, parts))) for key, (amount, parts) in event["accumulated"].items()}
        self.used.update({("outcome_quantity", each): Fraction(units) for each, units in event["quantities"].items()})
        for limit, of in (("outcome_amount", "outcomes"), ("year_amount", "years")):
            self.used.update({(limit, each): pence(amount) for each, amount in event[of].items()})
        self.used["award_amount", ""] = pence(event["assessed"]) + pence(event.get("others", "0.00"))
        self.back.subtract({payer: pence(paid) for payer, paid in event.get("paid_before", {}).items()})

    def open_figures(self, event: Json) -> None:
        """The balances that an award brings with it. What is owed back was paid, and is owed from the decision on."""
        for what, each in ((of, each) for of in ("outcomes", "payers", "years") for each in event.get(of, ())):
            day, to = (
                min(f"{int(each['year'][:4]) + 1}-03-31", event["stands_on"]),
                (each.get("outcome", ""), each.get("payer", "")),
            )
            for source, target, name in RULES[f"opened.{what}"]:
                self.post(source, target, pence(each[name]), day, (*to, each["year"]))
            self.post("due", "paid", pence(each.get("owed_back", "0.00")), event["on"], (*to, each["year"]))

    def sum_up(self, where: str, event: Json) -> None:
        """M11: an assessment comes to what its lines come to."""
        stated = Counter({"assessed": pence(event["assessed"]) + pence(event.get("others", "0.00"))})
        stated.update({name: pence(amount) for name, amount in {**event["allotted"], "unfunded": event["unfunded"]}.items()})
        stated.subtract({payer: pence(amount) for payer, amount in event.get("reversed", {}).items()})
        for name in ("assessed", "unfunded", *sorted({each["party"] for terms in self.agreed for each in terms["payers"]})):
            same(f"{where}: {name}", pounds(stated[name]), self.moved[name])


def sealed(files: Files, known: dict[str, bytes]) -> tuple[str, list[Entry], str]:
    """The award and its entries, after everything that was signed of them was checked; and what that is, in words."""
    origin, size, top, *_ = signed("checkpoint.txt", files["checkpoint.txt"], known)
    heading, of, award, many, leaf, under = signed("award-head.txt", files["award-head.txt"], known)
    expect((heading, of, under) == (HEAD, origin, size), "award-head.txt is of another log or checkpoint, or is none")
    found = entries(files["entries.txt"], award)
    expect(len(found) == int(many), f"the award has {many} entries, not {len(found)}: its end is missing, or is not its own")
    expect(base64.b64decode(leaf) == found[-1].leaf, f"entry {many}, the last one, was changed: the award head has another leaf")
    old = keys(files["keys.txt"].decode())
    told = [signed("checkpoints.json", each.encode(), old) for each in json.loads(files["checkpoints.json"])]
    sizes = [int(at) for _, at, *_ in told]
    expect(sizes == sorted({at for at in sizes if at <= int(size)}), "checkpoints.json is not in order, or not of earlier ones")
    beside = iter([base64.b64decode(line) for line in files["proof.txt"].split()])
    lead_to = roots([(entry.position - 1, entry.leaf) for entry in found], sizes, beside, 0, int(size))
    expect(lead_to[int(size)] == base64.b64decode(top) and not next(beside, b""), "they do not lead to the root (proof.txt)")
    for at, (_, _, root, *_) in zip(sizes, told, strict=True):
        expect(lead_to[at] == base64.b64decode(root), f"checkpoints.json: that of {at} entries is of another history")
    return (
        award,
        found,
        f"{len(found):,} entries, all that {award} has up to entry {size}; {len(sizes)} checkpoints of one history",
    )


def worked_out(files: Files, found: list[Entry]) -> str:
    """Work everything out again and compare it with what the pack says; and what that was, in words."""
    award = Award()
    for number, entry in enumerate(found, 1):
        Files.last = f"entry {number} of the award, at position {entry.position}, {entry.type},"
        award.take(entry)
    award.finish()
    balances = json.loads(files["balances.json"])
    ends = {f"{int(year[:4]) + 1}-03-31" for account, day, _ in award.posted for year in (year_of(day), account[-7:])}
    for end in sorted(ends | balances.keys()):
        sums: Counter[str] = Counter()
        for account, day, amount in award.posted:
            sums[account] += amount if day <= end else 0
        ours = {account: pounds(amount) for account, amount in sums.items() if amount}
        expect(ours == balances.get(end), f"balances.json is not what the entries come to on {end}")
    amounts = award.amounts | {line.name: line.stands["assessed"] for line in award.lines.values()}
    for each in (explained := json.loads(files["explanations.json"])):
        of = " ".join(str(each[name]) for name in ("assessment", "claim", "line", "payer") if name in each).upper()
        same(f"explanations.json: {each['title']}", [each["amount"], each["steps"][-1]["amount"]], [amounts.pop(of)] * 2)
    expect(not amounts, f"explanations.json explains nothing of {', '.join(amounts)[:99]}")
    return f"{len(award.lines):,} claimed lines and all that followed, {len(explained):,} explanations, {len(ends)} year ends"


def unchanged(files: Files, award: str, known: dict[str, bytes]) -> None:
    """Every file is the one that was signed."""
    heading, _, of, _, *lines = signed("manifest.txt", files["manifest.txt"], known)
    expect((heading, of) == ("life-chances-ledger/audit-pack/v1", award), "manifest.txt is none of this award")
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    for name in sorted(listed.keys() | (files.keys() - {"manifest.txt"})):
        expect(name in listed, f"{name} does not belong to the pack")
        expect(sha256(files[name]).hexdigest() == listed[name], f"{name} was changed: manifest.txt has another hash")


def main(arguments: Sequence[str]) -> int:
    """Check a pack, and say what came of it."""
    asked = argparse.ArgumentParser(description="Check an audit pack of the Life Chances Ledger.")
    asked.add_argument("pack", nargs="?", type=Path, default=Path(__file__).parent, help="the zip, or its folder (this one)")
    asked.add_argument("--key", action="append", default=[], help="a key of the log as you know it from elsewhere: name+id+key")
    given, Files.last = asked.parse_args(arguments), "the pack"
    try:
        files = files_of(given.pack)
        trusted = keys(" ".join(given.key) or files["keys.txt"].decode())
        award, found, proved = sealed(files, trusted)
        again = f"worked out again: {worked_out(files, found)}"
        unchanged(files, award, trusted)
    except Exception as fault:  # noqa: BLE001 (whatever a pack that was tampered with leads to, it does not hold)
        print(f"FAIL: {fault if isinstance(fault, DoesNotHold) else f'{Files.last} cannot be read: {repr(fault)[:99]}'}")
        return 1
    asks = [] if given.key else ["(is that the key that you know from elsewhere? --key holds the pack to it)"]
    print(f"PASS: {proved}", again, *(f"signed by {word}" for word in trusted), *asks, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
