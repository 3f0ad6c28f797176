"""Check an audit pack of the Life Chances Ledger, on a machine that has nothing of the ledger's.

    python verify.py                       in the folder of an unpacked pack
    python verify.py pack.zip --key KEY    a pack as it came, and held to a key that you know from elsewhere

It needs Python 3.11 and `cryptography`, and says PASS with what it checked, or FAIL with the first thing that does not hold
(exit code 1). README.txt tells what that proves, and by which rules (M5). Read `main` first, at the end. Amounts are in pence.
"""

import argparse
import base64
import json
import re
import sys
import zipfile
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from hashlib import sha256
from itertools import accumulate, groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

try:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
except ImportError:
    sys.exit("verify.py needs the package `cryptography`: python -m pip install cryptography")

Json = dict[str, Any]
Entry = NamedTuple("Entry", [("position", int), ("leaf", bytes), ("stream", str), ("type", str), ("event", Any)])  # noqa: UP014
Posting = tuple[tuple[str, str, str, str], str, int]  # Stage, outcome, payer and financial year; effective date; amount.
MOST_BYTES, ENDLESS = 2_000_000_000, 10**18  # Of a pack; and pence, what is left to a payer without a maximum.
LIMITS = "outcome_quantity", "participant_amount", "outcome_amount", "year_amount", "award_amount"
ASSESSING = "claim.lines-reversed", "claim.lines-restated", "claim.lines-assessed", "other-payment.agreed", "award.assessed"
YEARLY = "apportioned", "unfunded", "other-payments"  # Stages by financial year only; others are by outcome, or by payer, too.
MOVES = """
claim.lines-listed/lines    claimed > undecided=value       claim.lines-withdrawn/lines  undecided > claimed
claim.lines-decided/lines   undecided > awaiting=accepted_value rejected=rejected_value deferred=deferred_value
claim.lines-restated/lines  claimed > undecided awaiting declined rejected deferred
claim.lines-declined/lines  awaiting > declined     claim.lines-assessed/lines  awaiting > assessed  apportioned > unfunded
claim.lines-assessed/lines/limits  awaiting > curtailed.{limit}=curtailed
claim.lines-assessed/lines/allotments  apportioned > due=allotted
claim.lines-reversed/lines  assessed > {to}=reversed  unfunded > apportioned=unfunded
claim.lines-reversed/lines/limits  curtailed.{limit} > {to}  claim.lines-reversed/lines/reversals  due > apportioned=reversed
other-payment.agreed/split  other-payments > unfunded       other-payment.agreed/split/allotments  other-payments > due=allotted
opening-position.figures-opened/outcomes  claimed > assessed
opening-position.figures-opened/payers    apportioned > paid due  paid > apportioned=owed_back  due > paid=owed_back@on
opening-position.figures-opened/years     other-payments > apportioned=other_payments  apportioned > unfunded
payment.held/years  due > held          payment.hold-lifted/years  held > due       payment.approved/years  due > approved
payment.sent/years  in-run > sent       payment.settled/years  sent > paid          payment.drawn-up/years  approved > in-run
payment.stopped/years  {was} > due      payment.returned/years  {was} > returned    payment.reissued/years  returned > due
payment.taken-off-run/years  in-run > approved  payment.netted-off/years  {was} > netted-off  payment.fell-due/  payment.reported/
payment.report-confirmed/years  due > paid       receivable.opened/years  receivable.open > due  payment.report-withdrawn/
receivable.recovered/years  {type} > receivable.open        receivable.written-off/years  {type} > receivable.open
receivable.netted-off/years  {type} > receivable.open       receivable.write-off-proposed/  receivable.write-off-withdrawn/
"""  # What a part of an entry moves from a stage to others: what it says under their names, or the one after =, or as `amount`.
RULES, PARTS = defaultdict[str, list[tuple[Any, ...]]](list), defaultdict[str, list[str]](list)
_rule = _source = ""
for _word, _next in pairwise([*MOVES.split(), ""]):
    _rule, _source = (_word if "/" in _word else _rule), (_word if _next == ">" else _source)
    if "/" in _word:
        PARTS[_word.rpartition("/")[0]].append(_word.rpartition("/")[2])
    elif ">" not in (_word, _next):
        RULES[_rule].append((_source, *re.findall("([^=@]+)=?([^@]*)@?(.*)", _word)[0]))


def expect(holds: object, otherwise: str) -> None:
    """Go on only if something holds."""
    if not holds:
        raise AssertionError(otherwise)


def same(where: str, told: Any, ours: Any) -> None:
    """Go on only if something was recorded as we work it out; the first field that differs is named. Rows go by columns."""
    if isinstance(ours, dict):
        for name, each in ours.items():
            same(f"{where}: {name}", [row.get(name) for row in told] if isinstance(told, list) else told.get(name), each)
    elif isinstance(ours, list) and len(told) == len(ours):
        for number, each in enumerate(ours):
            same(f"{where} {number + 1}", told[number], each)
    else:
        written = pounds(ours) if isinstance(ours, int) and isinstance(told, str) else ours
        equal = Fraction(told) == ours if isinstance(ours, Fraction) else told == written
        expect(equal, f"{where} is {told}, but by the terms and the entries before it {written}")


class Files(dict[str, bytes]):
    """The files of a pack by their names: of a zip, or of a folder."""

    last = "the pack"  # What was looked at last: if that cannot be read, this is what does not hold.

    def __init__(self, place: Path) -> None:
        if place.is_dir():
            super().__init__((at.relative_to(place).as_posix(), at.read_bytes()) for at in place.rglob("*") if at.is_file())
            return
        with zipfile.ZipFile(place) as packed:
            expect(sum(each.file_size for each in packed.infolist()) < MOST_BYTES, "the pack unpacks to more than any pack has")
            super().__init__((name, packed.read(name)) for name in packed.namelist())
            expect(len(self) == len(packed.namelist()), "the pack has two files of one name")

    def __getitem__(self, name: str) -> bytes:
        Files.last = name
        expect(name in self, f"{name} is missing")
        return super().__getitem__(name)


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
    said, (*signatures, end) = text.split("\n"), lines.split("\n")
    for dash, name, encoded in (line.split(" ") for line in signatures):
        told = base64.b64decode(encoded, validate=True)
        for word, public in known.items() if (dash, end) == ("—", "") else ():
            if word.startswith(f"{name}+{told[:4].hex()}+") and name in said[:2] and base64.b64encode(told) == encoded.encode():
                try:
                    Ed25519PublicKey.from_public_bytes(public).verify(told[4:], f"{text}\n".encode())
                except InvalidSignature:
                    raise AssertionError(f"{what}: the signature of {name} is wrong") from None
                return said
    raise AssertionError(f"{what} is signed by no key that is known")


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
    lines, versions, moment = told.split(b"\n"), Counter[str](), ""
    expect(lines.pop() == b"" and len(lines) % 2 == 0, "entries.txt does not end where an entry ends")
    found = [Entry(0, bytes(32), "", "", {})]
    for number, (header, state) in enumerate(zip(lines[::2], lines[1::2], strict=True), 1):
        prefix, at, recorded_at, of, sequence, previous = header.decode("ascii").split(" ")
        where, before, former = f"entry {number} of the award, at position {at}", found[-1], number - 1
        expect((prefix, of) == ("lcl1", award), f"{where}: it is no entry of {award}")
        expect(int(sequence) == number, f"{where}: it says that it is number {sequence}; one is missing, or is not its own")
        expect(previous == before.leaf.hex(), f"{where}: it does not name the leaf of entry {former}; one of them was changed")
        expect(int(at) > before.position and recorded_at >= moment, f"{where}: it was recorded before entry {former}")
        said, leaf, moment = json.loads(state), sha256(b"\0" + header + b"\n" + state).digest(), recorded_at
        stream, kind, version = said["stream"], said["type"], said["version"]
        versions[stream] += 1
        expect(f"{stream}/".startswith(f"award/{award}/") and said["event"]["type"] == kind, f"{where}: it contradicts itself")
        expect(version == versions[stream], f"{where}: it is version {version} of {stream}, which should be {versions[stream]}")
        found.append(Entry(int(at), leaf, stream, kind, said["event"]))
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


def worth(rate: Fraction, quantity: Fraction) -> int:
    """M3: price x quantity / per, rounded once, half up."""
    return int(rate * quantity + Fraction(1, 2))


def largest_remainder(whole: int, weights: Sequence[Fraction | int]) -> list[int]:
    """M6, M8: in proportion, each floored; what is missing goes to the largest remainders, ties by order."""
    exact = [Fraction(whole * weight) / (sum(weights) or 1) for weight in weights]
    parts = [int(each) for each in exact]
    more = sorted(range(len(parts)), key=lambda at: parts[at] - exact[at])[: whole - sum(parts)] if any(weights) else []
    return [part + (at in more) for at, part in enumerate(parts)]


def postings(rule: str, said: Json) -> Iterator[Posting]:
    """What an entry, or a part of it, moves from one stage to others by what it says; and what the parts of that move."""
    for source, target, name, on in RULES.get(rule, ()):
        day = said[on or next(each for each in ("achieved_on", "dated", "stands_on", "on") if each in said)]
        if "stands_on" in said and not on:  # What an award brings with it counts from the end of its year, if that is earlier.
            day = min(day, f"{int(said['year'][:4]) + 1}-03-31")
        year, amount = said.get("year") or year_of(day), pence(said[name or (target if target in said else "amount")])
        for stage, by in ((source, -amount), (target, amount)):
            stands = stage.format(to="rejected" if said.get("clawed_back") else "awaiting", **said)
            of = "" if stands in YEARLY else "outcome" if "outcome" in said and stands != "due" else "payer"
            outcome, payer = (said[each] if of == each else "" for each in ("outcome", "payer"))
            yield (stands, outcome, payer, year), day, by
    for part in filter(said.get, PARTS.get(rule, ())):
        years = [{"year": year, "amount": amount} for year, amount in said[part].items()] if type(said[part]) is dict else []
        for each in [said[part]] if part == "split" else years or said[part]:
            yield from postings(f"{rule}/{part}", said | each)


class Line:
    """A claimed line: how many units and pence of it are at each stage, what payers are allotted, and their parts."""

    def __init__(self, claim: str, said: Json, received_on: str) -> None:
        self.name, self.day, self.received_on = f"{claim} {said['line']}", said["achieved_on"], received_on
        self.outcome, self.year, self.quantity = said["outcome"].upper(), year_of(self.day), Fraction(said["quantity"])
        self.counts = dict(zip(LIMITS, (self.outcome, said.get("participant"), self.outcome, self.year, ""), strict=True))
        self.units, self.pence, self.numbers = defaultdict(Fraction, undecided=self.quantity), Counter[str](), list[int]()
        self.terms, self.priced, self.back = Json(), Json(), tuple[Any, ...]()  # As assessed last; what is to be assessed anew.
        self.listed = {"outcome": said["outcome"], "achieved_on": self.day}  # As every later entry repeats it.


class Award:
    """The award as its entries tell it: each amount is worked out by its terms and by what came before, and compared."""

    def __init__(self, found: Iterable[Entry]) -> None:
        self.versions, self.agreed, self.received = dict[int, Json](), list[Json](), dict[str, str]()
        self.lines, self.payees = dict[tuple[str, int], Line](), dict[tuple[int, str], str]()  # By assessment and payer.
        self.used: dict[tuple[str, str], Any] = defaultdict(int)  # Of each limit.
        self.allotted, self.moved = Counter[str](), Counter[str]()  # Of each maximum; and what the assessment comes to.
        self.number, self.on, self.parts = 0, "", dict[str, list[int]]()  # Its day; M6: given so far by each list of shares.
        self.ahead = groupby((each for each in found if each.type in ASSESSING), lambda each: int(each.event["assessment"]))

    def take(self, entry: Entry) -> None:  # noqa: C901 (one case for each type of entry)
        """Check what an entry says against what came before it, and remember it."""
        event, kind, stream, name = entry.event, entry.type, entry.stream, [*entry.stream.split("/"), "", ""][3]
        match kind:  # Nothing else changes what is checked here.
            case "award.terms-proposed":
                key = " ".join(f"{each['party']}={each['share']}" for each in event["terms"]["payers"])
                self.versions[event["version"]] = event["terms"] | {"version": event["version"], "key": key}
            case "award.agreed" | "award.terms-agreed":
                agreed = [self.versions[event.get("version", 1)], *self.agreed]  # Of equal ones, the one agreed last holds.
                self.agreed = sorted(agreed, key=lambda each: each["effective_from"], reverse=True)
            case "award.receivable-changed":
                self.allotted[event["payer"]] -= pence(event["headroom"])
            case "claim.submitted":
                self.received[stream] = event["received_on"]
            case "participant.recognised-before":
                self.used["participant_amount", name] += sum(pence(each["assessed"]) for each in event["achievements"])
            case "payment.fell-due":
                self.payees[event["assessment"], event["payer"]] = event["payee"]
            case _ if kind in ASSESSING and event["assessment"] != self.number:
                self.assess(*next(self.ahead))
            case _ if kind.startswith("claim.lines-") and kind not in ASSESSING:
                for said in event["lines"]:
                    if kind == "claim.lines-listed":
                        self.lines.setdefault((stream, said["line"]), Line(name, said, self.received[stream]))
                    self.compare(kind, self.lines[stream, said["line"]], said)
        known = kind in PARTS or not kind.startswith(("claim.lines-", "payment.", "receivable."))
        expect(known, f"{Files.last} is of a type that this program does not know; it may be of a later release")

    def assess(self, number: int, group: Iterable[Entry]) -> None:
        """Work an assessment out at its first entry: what it takes back, then restates, then assesses; and its sums (M11)."""
        events, rows = defaultdict[str, list[Json]](list), defaultdict[str, list[tuple[Line, Json]]](list)
        for entry in group:
            events[entry.type].append(event := entry.event)
            rows[entry.type] += [(self.lines[entry.stream, each["line"]], event | each) for each in event.get("lines", ())]
        before, follows = Counter(self.allotted), number == self.number + 1 and len(events["award.assessed"]) == 1
        expect(follows, f"assessment {self.number} is followed by {number}, or that has no sums, or has them twice")
        event = events["award.assessed"][0]
        self.number, self.on, self.moved = number, event["on"], Counter()
        taken, given = rows["claim.lines-reversed"], rows["claim.lines-assessed"]
        taken.sort(key=lambda each: (-pence(each[1]["before"]), -pence(each[1]["after"])))
        given.sort(key=lambda each: (each[0].numbers[0] if taken else 0, each[1]["line"]))
        for kind, line, said in [(of, *row) for of in ASSESSING for row in rows[of]]:
            self.compare(kind, line, said)
        for other in events["other-payment.agreed"]:
            amount, day = pence(other["split"]["amount"]), other["dated"]
            same(f"assessment {number}: split", other["split"], self.split(self.in_force(day), amount, day))
            self.used.update({of: self.used[of] + amount for of in (("year_amount", year_of(day)), ("award_amount", ""))})
            for (stage, _, payer, _), _, amount in postings("other-payment.agreed", other):
                self.moved[payer or stage] += amount
        stated = Counter({payer: pence(amount) for payer, amount in event["allotted"].items()})
        self.allotted = before + stated
        if event["kind"] == "opening-position" and number == 1:  # As two persons agreed it: nobody can look behind it.
            self.parts = {key: list(map(pence, parts)) for key, (_, parts) in event["accumulated"].items()}
            self.used.update({("outcome_quantity", each): Fraction(units) for each, units in event["quantities"].items()})
            for limit, of in (("outcome_amount", "outcomes"), ("year_amount", "years")):
                self.used.update({(limit, each): pence(amount) for each, amount in event[of].items()})
            self.used["award_amount", ""] = pence(event["assessed"]) + pence(event.get("others", "0.00"))
            self.allotted.update({payer: pence(paid) for payer, paid in event.get("paid_before", {}).items()})
            return
        stated.subtract({payer: pence(amount) for payer, amount in event.get("reversed", {}).items()})
        stated.update({name: pence(event[name]) for name in ("assessed", "unfunded")})
        stated["other-payments"] = -pence(event.get("others", "0.00"))
        for name in sorted({*stated, *(each["party"] for terms in self.agreed for each in terms["payers"])}):
            same(f"assessment {number}: {name}", pounds(stated[name]), self.moved[name])

    def compare(self, kind: str, line: Line, said: Json) -> None:
        """What an entry says of a line must be what we work out; then it counts."""
        same(f"{Files.last} claim and line {line.name}", said, self.ours(kind, line, said) | line.listed)
        for (stage, _, payer, _), _, amount in postings(f"{kind}/lines", said):
            line.pence[payer or stage] += amount
            self.moved[payer or stage] += amount
        if kind in ("claim.lines-assessed", "claim.lines-reversed"):
            sign, of, rows = (1, "assessed", "allotments") if kind == "claim.lines-assessed" else (-1, "reversed", "reversals")
            for limit, to in line.counts.items():
                self.used[limit, to] += sign * (Fraction(said["payable"]) if limit == "outcome_quantity" else pence(said[of]))
            line.pence.update({f"part of {each['payer']}": sign * pence(each["part"]) for each in said[rows]})
            line.units["payable"] += sign * Fraction(said["payable"])
            line.numbers.append(self.number)

    def in_force(self, day: str, of: str = "", name: str = "") -> Json:
        """M2: the terms in force on a day; or of them an outcome or a payer, as the last version that names it has it."""
        found = [each for each in self.agreed if each["effective_from"] <= day]
        named = (each for terms in found for each in terms.get(of, ()) if name in (each.get("code"), each.get("party")))
        return next(named) if of else found[0]

    def ours(self, kind: str, line: Line, said: Json) -> Json:  # noqa: PLR0911 (one for each type of entry)
        """What an entry should say of a line."""
        units, has, priced = line.units, line.pence, self.in_force(line.day, "outcomes", line.outcome)
        rate = Fraction(pence(priced["price"]), priced["per"])
        match kind:
            case "claim.lines-listed":
                return {"value": worth(rate, line.quantity) + has["claimed"], "quantity": abs(line.quantity)}
            case "claim.lines-withdrawn":
                units["undecided"] = Fraction(0)
                return {"amount": has["undecided"]}
            case "claim.lines-declined":
                units["declined"], units["awaiting"] = units["declined"] + units["awaiting"], Fraction(0)
                return {"amount": has["awaiting"]}
            case "claim.lines-decided":  # M4: all that is accepted so far, less what was valued before; deferred last.
                accepts, rejects, defers = (Fraction(said[each]) for each in ("accepted", "rejected", "deferred"))
                is_open = units["undecided"] + units["deferred"]
                accepted, rejected = line.quantity - is_open - units["rejected"] + accepts, units["rejected"] + rejects
                units.update(awaiting=units["awaiting"] + accepts, rejected=rejected, deferred=defers, undecided=Fraction(0))
                valued = -sum(has[each] for each in ("claimed", "undecided", "rejected", "deferred"))
                more = max(worth(rate, accepted) - valued, -has["awaiting"]) if accepts else 0
                decided = worth(rate, accepted + rejected)
                values: Json = {"accepted_value": more, "rejected_value": decided - valued - more - has["rejected"]}
                values |= {"accepted": min(abs(accepts), is_open), "deferred_value": -has["claimed"] - decided - has["deferred"]}
                return values | {"rejected": min(abs(rejects), is_open - accepts), "deferred": is_open - accepts - rejects}
            case "claim.lines-restated":  # M9: at another price; of its stages what is accepted comes first, and undecided last.
                stages = "awaiting", "declined", "rejected", "deferred", "undecided"
                ends = [worth(rate, each) for each in accumulate((units[stage] for stage in stages), initial=Fraction(0))]
                told = {stage: end - begin - has[stage] for stage, (begin, end) in zip(stages, pairwise(ends), strict=True)}
                return told | Json(claimed=worth(rate, line.quantity) + has["claimed"], price=priced["price"], per=priced["per"])
            case "claim.lines-assessed":
                return self.assessed(line, priced, rate)
            case _:
                return self.reversed(line, said)

    def assessed(self, line: Line, priced: Json, rate: Fraction) -> Json:
        """M5: each limit, as it is on the day of the decision, cuts what the one before it left."""
        terms, now, units, limits = self.in_force(line.day), self.in_force(self.on), line.units, list[Json]()
        quantity, amount, was = line.back or (units["awaiting"], line.pence["awaiting"], rate)
        payable, amount = quantity, amount if rate == was else worth(rate, quantity)  # M9: taken back, at the price of today.
        told = {"price": priced["price"], "per": priced["per"], "quantity": quantity, "accepted": amount}
        of_year = now["year_amounts"].get(line.year, now.get("year_amount"))
        of_participant = line.counts["participant_amount"] and now.get("participant_amount")
        limited = self.in_force(self.on, "outcomes", line.outcome)
        most = limited.get("max_quantity"), of_participant, limited.get("max_amount"), of_year, now["award_amount"]
        for limit, at_most in ((limit, each) for limit, each in zip(LIMITS, most, strict=True) if each is not None):
            number = Fraction if limit == "outcome_quantity" else pence
            left = room = max(number(at_most) - self.used[limit, line.counts[limit]], number("0"))
            if limit == "outcome_quantity":
                payable, had = min(quantity, left), units["payable"]
                room = amount if payable == quantity else worth(rate, had + payable) - worth(rate, had)
            limits.append({"limit": limit, "left": left, "curtailed": max(amount - room, 0)})
            amount -= limits[-1]["curtailed"]
        line.terms, line.priced, line.back = terms, priced, ()
        units.update(awaiting=units["awaiting"] - quantity, assessed=units["assessed"] + quantity)
        return told | {"payable": payable, "limits": limits, "assessed": amount} | self.split(terms, amount, line.received_on)

    def reversed(self, line: Line, said: Json) -> Json:
        """M8: what was curtailed goes first; of parts and allotments it takes in proportion, or all where nothing remains."""
        units, has, terms, quantity = line.units, line.pence, line.terms, Fraction(said["quantity"])
        remaining, stood = units["assessed"] - quantity, has["assessed"] + sum(has[f"curtailed.{limit}"] for limit in LIMITS)
        rate = Fraction(pence(line.priced["price"]), line.priced["per"])
        kept = min(worth(rate, remaining), stood)
        amount = max(has["assessed"] - kept, 0)
        cuts, payers = Counter[str](), [each["party"] for each in terms["payers"]]
        for limit in LIMITS:
            cuts[limit] = min(stood - kept - amount - cuts.total(), has[f"curtailed.{limit}"])
        parts = largest_remainder(amount, [has[f"part of {payer}"] for payer in payers])
        *taken, unfunded = largest_remainder(amount, [has[payer] for payer in (*payers, "unfunded")])
        given = self.parts[terms["key"]]
        self.parts[terms["key"]] = [old - part for old, part in zip(given, parts, strict=True)]
        for payer, back in zip(payers, taken, strict=True):  # If it goes to whom it went, it is netted off at once.
            paid = [self.payees[number, payer] for number in sorted(line.numbers) if (number, payer) in self.payees]
            self.allotted[payer] -= back if paid[-1:] in ([], [self.in_force(self.on, "payers", payer)["payee"]]) else 0
        to, line.back = ("rejected", ()) if said["clawed_back"] else ("awaiting", (quantity, stood - kept, rate))
        units.update({"assessed": remaining, to: units[to] + quantity})
        told = {"version": terms["version"], "price": line.priced["price"], "per": line.priced["per"], "quantity": abs(quantity)}
        told |= {"payable": max(units["payable"] - remaining, Fraction(0)), "worth": stood - kept, "reversed": amount}
        told |= {"limits": [{"limit": limit, "amount": cut} for limit, cut in cuts.items() if cut], "unfunded": unfunded}
        told |= {"remaining": max(remaining, Fraction(0)), "before": sum(given), "after": sum(given) - amount}
        return told | {"reversals": {"payer": payers, "part": parts, "reversed": taken}}

    def split(self, terms: Json, amount: int, received_on: str) -> Json:
        """M6: parts are those of the new sum, less those given before. M7: of its part a payer is allotted what it has left."""
        shares, left = {each["party"]: each["share"] for each in terms["payers"]}, dict[str, int]()
        had = self.parts.get(terms["key"], [0] * len(shares))
        new = largest_remainder(after := sum(had) + amount, list(map(Fraction, shares.values())))
        parts = [max(now - old, 0) for now, old in zip(new, had, strict=True)]
        while sum(parts) > amount:
            parts[parts.index(max(parts))] -= 1
        self.parts[terms["key"]] = [old + part for old, part in zip(had, parts, strict=True)]
        for payer in shares:  # Nothing, for a claim that was received too late for it.
            limited = self.in_force(self.on, "payers", payer)
            room = max(pence(limited["maximum"]) - self.allotted[payer], 0) if "maximum" in limited else ENDLESS
            left[payer] = room if received_on <= limited.get("claims_until", "9999") else 0
        allotted = dict(zip(shares, map(min, parts, left.values()), strict=True))
        unfunded = amount - sum(allotted.values())
        if terms["shortfall"] == "residual-payer":
            lead = (each["party"] for each in terms["parties"] if "lead-commissioner" in each["roles"])
            residual = terms.get("residual_payer") or next(lead)
            more = min(unfunded, left[residual] - allotted[residual])
            allotted[residual], unfunded = allotted[residual] + more, unfunded - more
        self.allotted.update(allotted)
        told = {"payer": list(shares), "share": list(shares.values()), "part": parts}
        told |= {"left": [each if each < ENDLESS else None for each in left.values()], "allotted": list(allotted.values())}
        return {"version": terms["version"], "before": sum(had), "after": after, "allotments": told, "unfunded": unfunded}


def sealed(files: Files, known: dict[str, bytes]) -> tuple[str, list[Entry], str]:
    """The award and its entries, after everything that was signed of them was checked; and what that is, in words."""
    origin, size, top, *_ = signed("checkpoint.txt", files["checkpoint.txt"], known)
    heading, of, award, many, leaf, under = signed("award-head.txt", files["award-head.txt"], known)
    fits = (heading, of, under) == ("life-chances-ledger/award-head/v1", origin, size)
    expect(fits, "award-head.txt is of another log or checkpoint, or is none")
    found = entries(files["entries.txt"], award)
    expect(len(found) == int(many), f"the award has {many} entries, not {len(found)}: its end is missing, or is not its own")
    expect(base64.b64decode(leaf) == found[-1].leaf, f"entry {many}, the last, was changed: the award head has another leaf")
    old = keys(files["keys.txt"].decode())
    told = [signed("checkpoints.json", each.encode(), old) for each in json.loads(files["checkpoints.json"])]
    sizes = [int(at) for _, at, *_ in told]
    expect(sizes == sorted({at for at in sizes if at <= int(size)}), "checkpoints.json is not in order, or not of earlier ones")
    beside = iter([base64.b64decode(line) for line in files["proof.txt"].split()])
    lead_to = roots([(entry.position - 1, entry.leaf) for entry in found], sizes, beside, 0, int(size))
    expect(lead_to[int(size)] == base64.b64decode(top) and not next(beside, b""), "they do not lead to the root (proof.txt)")
    for at, (_, _, root, *_) in zip(sizes, told, strict=True):
        expect(lead_to[at] == base64.b64decode(root), f"checkpoints.json: that of {at} entries is of another history")
    heading, _, of, _, *lines = signed("manifest.txt", files["manifest.txt"], known)
    expect((heading, of) == ("life-chances-ledger/audit-pack/v1", award), "manifest.txt is none of this award")
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    for name in sorted(listed.keys() | (files.keys() - {"manifest.txt"})):
        expect(name in listed, f"{name} does not belong to the pack")
        expect(sha256(files[name]).hexdigest() == listed[name], f"{name} was changed: manifest.txt has another hash")
    return of, found, f"{len(found):,} entries, all that {of} has up to entry {size}; {len(sizes)} checkpoints of one history"


def worked_out(files: Files, found: list[Entry]) -> tuple[Award, list[Posting], str]:
    """The award and what its entries move, after all of it was worked out again and compared; and what that was, in words."""
    award, posted = Award(found), list[Posting]()
    for number, entry in enumerate(found, 1):
        Files.last = f"entry {number} of the award, at position {entry.position}, {entry.type},"
        award.take(entry)
        posted += postings(entry.type, entry.event)
    told = json.loads(files["balances.json"])
    ends = {f"{int(year[:4]) + 1}-03-31" for account, day, _ in posted for year in (year_of(day), account[-1])}
    for end in sorted(ends | told.keys()):
        sums = Counter[str]()
        for account, day, amount in posted:
            sums["|".join(account)] += amount if day <= end else 0
        ours = {account: pounds(amount) for account, amount in sums.items() if amount}
        expect(ours == told.get(end, {}), f"balances.json is not what the entries come to on {end}")
    return award, posted, f"{len(award.lines):,} claimed lines and all that followed, {len(ends)} year ends"


def main(arguments: Sequence[str], further: Callable[..., str] = lambda *_: "") -> int:
    """Check a pack, and say what came of it; `further` is what books.py checks."""
    asked = argparse.ArgumentParser(description="Check an audit pack of the Life Chances Ledger.")
    asked.add_argument("pack", nargs="?", type=Path, default=Path(__file__).parent, help="the zip, or its folder (this one)")
    asked.add_argument("--key", action="append", default=[], help="a key of the log as you know it from elsewhere: name+id+key")
    given, Files.last = asked.parse_args(arguments), "the pack"
    try:
        files = Files(given.pack)
        trusted = keys(" ".join(given.key) or files["keys.txt"].decode())
        award, found, proved = sealed(files, trusted)
        state, posted, again = worked_out(files, found)
        again += further(files, award, found, state, posted)
    except Exception as fault:  # noqa: BLE001 (whatever a pack that was tampered with leads to, it does not hold)
        print(f"FAIL: {fault if isinstance(fault, AssertionError) else f'{Files.last} cannot be read: {repr(fault)[:99]}'}")
        return 1
    asks = [] if given.key else ["(is that the key that you know from elsewhere? --key holds the pack to it)"]
    print(f"PASS: {proved}", f"worked out again: {again}", *(f"signed by {word}" for word in trusted), *asks, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
