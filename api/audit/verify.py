"""Check an audit pack of the Life Chances Ledger, on a machine that has nothing of the ledger's.

    python verify.py                       in the folder of an unpacked pack
    python verify.py pack.zip              a pack as it came
    python verify.py pack.zip --key KEY    and hold it to a key that you know from elsewhere

It needs Python 3.11 and `cryptography`, and says PASS with what it checked, or FAIL with the first thing that does not hold (exit
code 1). README.txt tells what that proves. Read `main` first, at the end. Amounts are whole pence; nothing is a float.
"""

import argparse
import base64
import json
import re
import sys
import zipfile
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

Json = dict[str, Any]
MOST_BYTES, HEAD = 2_000_000_000, "life-chances-ledger/award-head/v1"


class DoesNotHold(Exception):
    """Something in the pack is not as it must be."""


def expect(holds: object, otherwise: str) -> None:
    """Go on only if something holds."""
    if not holds:
        raise DoesNotHold(otherwise)


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
        names = packed.namelist()
        expect(sum(each.file_size for each in packed.infolist()) < MOST_BYTES, "the pack is too large to be one")
        expect(len(set(names)) == len(names), "the pack has a file twice")
        return Files({name: packed.read(name) for name in names})


def keys(told: bytes) -> dict[str, bytes]:
    """Keys by their words `<name>+<id>+<base64 of 0x01 and 32 bytes>`; each must have the id that it says."""
    found = {}
    for word in told.decode().split():
        name, number, encoded = [*word.split("+", 2), "", ""][:3]
        key = base64.b64decode(encoded, validate=True)
        same = sha256(name.encode() + b"\n" + key).hexdigest()[:8] == number
        expect(same and key[:1] == b"\1", f"{word} is no Ed25519 key, or has another id")
        found[word] = key[1:]
    return found


def signed(what: str, note: bytes, known: dict[str, bytes]) -> list[str]:
    """C2SP signed-note: the lines of a note that a known key signed. Its first line or its second names the log."""
    text, _, lines = note.decode().rpartition("\n\n")
    said = text.split("\n")
    for line in lines.splitlines():
        _, name, encoded = line.split(" ")
        signature = base64.b64decode(encoded, validate=True)
        for word, public in known.items():
            if word.startswith(f"{name}+{signature[:4].hex()}+") and name in said[:2]:
                try:
                    Ed25519PublicKey.from_public_bytes(public).verify(signature[4:], f"{text}\n".encode())
                except InvalidSignature:
                    raise DoesNotHold(f"{what}: the signature of {name} is wrong") from None
                return said
    raise DoesNotHold(f"{what} is signed by no key that is known")


def roots(leaves: list[tuple[int, bytes]], sizes: list[int], beside: Iterator[bytes], start: int, end: int) -> dict[int, bytes]:
    """RFC 6962: the roots over the leaves from one index up to another, and up to each of some sizes that lies between.

    The left half of a tree is the largest power of two that is less than its size. Of some leaves we have the hash. A subtree in
    which we have none, and that no size cuts, is told by its root, from left to right. That all of it leads to a signed root
    proves every leaf at its index; that it leads to those of earlier sizes too, that one history goes on through all of them.
    """
    leaf, within = bisect_left(leaves, (start,)), bisect_right(sizes, start)
    if (leaf == len(leaves) or leaves[leaf][0] >= end) and (within == len(sizes) or sizes[within] >= end):
        return {end: next(beside, b"")}
    if end - start == 1:
        return {end: leaves[leaf][1]}
    cut = start + (1 << (end - start - 1).bit_length() - 1)
    left, right = roots(leaves, sizes, beside, start, cut), roots(leaves, sizes, beside, cut, end)
    ours = {size: left[size] for size in sizes[within : bisect_right(sizes, cut)]}
    return ours | {size: sha256(b"\1" + left[cut] + each).digest() for size, each in right.items()}


class Entry(NamedTuple):
    """One thing that happened under the award."""

    position: int
    leaf: bytes
    stream: str
    type: str
    event: Json


def entries(told: bytes, award: str) -> list[Entry]:
    """The award's entries: two lines each, header and state. Each names its number and the leaf of the one before it."""
    lines = told.split(b"\n")
    expect(lines.pop() == b"" and len(lines) % 2 == 0, "entries.txt does not end where an entry ends")
    found: list[Entry] = []
    versions: Counter[str] = Counter()
    before, position, moment = bytes(32), 0, ""
    for number, (header, state) in enumerate(zip(lines[::2], lines[1::2], strict=True), 1):
        prefix, at, recorded_at, of, sequence, previous = header.decode("ascii").split(" ")
        where = f"entry {number} of the award, at position {at}"
        expect((prefix, of) == ("lcl1", award), f"{where}: it is no entry of {award}")
        expect(int(sequence) == number, f"{where}: it says that it is number {sequence}; one is missing, or does not belong here")
        expect(previous == before.hex(), f"{where}: it does not name the leaf of entry {number - 1}; one of the two was changed")
        expect(int(at) > position and recorded_at >= moment, f"{where}: it was recorded before the one before it")
        said = json.loads(state)
        stream, kind = said["stream"], said["type"]
        versions[stream] += 1
        expect(f"{stream}/".startswith(f"award/{award}/"), f"{where}: its stream {stream} is not of the award")
        expect(said["version"] == versions[stream], f"{where}: {stream} has no version {versions[stream]}")
        expect(said["event"]["type"] == kind, f"{where}: it says two types")
        before, position, moment = sha256(b"\0" + header + b"\n" + state).digest(), int(at), recorded_at
        found.append(Entry(position, before, stream, kind, said["event"]))
    return found


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


def year_end(year: str) -> str:
    """The last day of a financial year."""
    return f"{int(year[:4]) + 1}-03-31"


def largest_remainder(whole: int, shares: Sequence[Fraction]) -> list[int]:
    """M6: floor each share, hand what is missing to the largest remainders, ties by order."""
    exact = [whole * share for share in shares]
    parts = [int(each) for each in exact]
    more = sorted(range(len(parts)), key=lambda at: parts[at] - exact[at])[: whole - sum(parts)]
    return [part + (at in more) for at, part in enumerate(parts)]


class Award:
    """The award as its entries tell it: agreed terms, and how much was split by each list of shares."""

    def __init__(self) -> None:
        self.proposed: dict[int, Json] = {}
        self.agreed: list[Json] = []
        self.shares: dict[int, str] = {}  # The payers and shares of each version, as one name of what is split by them.
        self.split: dict[str, int] = defaultdict(int)
        self.parts: dict[str, list[int]] = {}
        self.number = 0
        self.last: Json | None = None
        self.lines: Counter[str] = Counter()
        self.given: list[tuple[str, Json]] = []
        self.taken: list[tuple[str, Json]] = []
        self.checked: Counter[str] = Counter()

    def take(self, entry: Entry) -> None:  # noqa: C901 (one case for each type of entry)
        """Check what an entry says against what came before it, and remember it."""
        event = entry.event
        if entry.type in ("award.assessed", "other-payment.agreed", "claim.lines-assessed", "claim.lines-reversed"):
            self.compare(event["assessment"])
        match entry.type:  # Nothing else changes what is checked here.
            case "award.terms-proposed":
                self.proposed[event["version"]] = event["terms"]
                self.shares[event["version"]] = " ".join(f"{each['party']}={each['share']}" for each in event["terms"]["payers"])
            case "award.agreed" | "award.terms-agreed":
                self.agreed.append(self.proposed[event.get("version", 1)])
            case "claim.lines-listed":
                for line in event["lines"]:
                    self.listed(line)
            case "claim.lines-assessed":
                self.given += [(f"line {line['line']} of {entry.stream}", line) for line in event["lines"]]
            case "claim.lines-reversed":
                self.taken += [(f"line {line['line']} of {entry.stream}", line) for line in event["lines"]]
            case "other-payment.agreed":
                amount = event["split"]["amount"]
                self.given.append((entry.stream, {**event["split"], "accepted": amount, "assessed": amount, "limits": []}))
            case "award.assessed" if event["kind"] == "opening-position":  # Nobody can look behind what was assessed elsewhere.
                for key, (amount, parts) in event["accumulated"].items():
                    self.split[key], self.parts[key] = pence(amount), list(map(pence, parts))
            case _:
                self.last = event if entry.type == "award.assessed" else self.last

    def listed(self, line: Json) -> None:
        """M2, M3: a claimed line is worth quantity × price ÷ per of its day, rounded once, half up."""
        agreed = [terms for terms in reversed(self.agreed) if terms["effective_from"] <= line["achieved_on"]]
        terms = max(agreed, key=lambda each: each["effective_from"])
        priced = next(each for each in terms["outcomes"] if each["code"] == line["outcome"])
        worth = int(pence(priced["price"]) * Fraction(line["quantity"]) / priced["per"] + Fraction(1, 2))
        expect(worth == pence(line["value"]), f"line {line['line']} is worth {pounds(worth)}, not {line['value']}")
        self.checked["claimed lines' values"] += 1

    def compare(self, following: int = 0) -> None:
        """Before another assessment begins, see what the last one comes to; in which order its lines were assessed they tell."""
        if self.number == following:
            return
        for where, line in sorted(self.taken, key=lambda each: (-pence(each[1]["before"]), -pence(each[1]["after"]))):
            self.reversed(where, line)
        for where, line in sorted(self.given, key=lambda each: (pence(each[1]["before"]), pence(each[1]["after"]))):
            self.assessed(where, line)
        expect(self.last or not self.lines, f"assessment {self.number} has lines and no sum")
        if self.last:
            self.summed(self.last)
        self.number, self.taken, self.given, self.lines, self.last = following, [], [], Counter(), None

    def summed(self, event: Json) -> None:
        """M6, M11: an assessment comes to what its lines come to."""
        name = f"assessment {event['assessment']}"
        for key, (amount, parts) in event["accumulated"].items():
            same = (self.split[key], self.parts.get(key, [])) == (pence(amount), list(map(pence, parts)))
            expect(same, f"{name}: the sum and the parts of {key} are not what its lines leave")
        assessed = pence(event["assessed"]) + pence(event.get("others", "0.00"))
        stated = Counter({"assessed": assessed, "unfunded": pence(event["unfunded"])})
        stated.update({payer: pence(due) for payer, due in event["allotted"].items()})
        stated.subtract({payer: pence(back) for payer, back in event.get("reversed", {}).items()})
        for of in sorted(stated.keys() | self.lines.keys()):
            expect(stated[of] == self.lines[of], f"{name}: {of} is {pounds(stated[of])}, its lines say {pounds(self.lines[of])}")
        self.checked["assessments' sums"] += 1

    def assessed(self, where: str, line: Json) -> None:
        """M5-M7: accepted less what limits cut off is assessed; the parts are those of the new sum less those given before."""
        amount, allotments, key = pence(line["assessed"]), line["allotments"], self.shares[line["version"]]
        cut = sum(pence(each["curtailed"]) for each in line["limits"])
        expect(pence(line["accepted"]) - cut == amount, f"{where}: accepted less curtailed is not what was assessed")
        told = " ".join(f"{each['payer']}={each['share']}" for each in allotments)
        expect(told == key, f"{where}: its shares are not those of version {line['version']} of the terms")
        given = self.parts.setdefault(key, [0] * len(allotments))
        self.move(where, line, key, amount)
        new = largest_remainder(self.split[key], [Fraction(each["share"]) for each in allotments])
        parts = [max(now - before, 0) for now, before in zip(new, given, strict=True)]
        while sum(parts) > amount:
            parts[parts.index(max(parts))] -= 1
        expect(parts == [pence(each["part"]) for each in allotments], f"{where}: the parts are {', '.join(map(pounds, parts))}")
        self.parts[key] = [before + part for before, part in zip(given, parts, strict=True)]
        allotted = {each["payer"]: pence(each["allotted"]) for each in allotments} | {"unfunded": pence(line["unfunded"])}
        expect(sum(allotted.values()) == amount, f"{where}: allotted and unfunded are not the amount")
        self.lines.update({"assessed": amount, **allotted})
        self.checked["assessed amounts"] += 1

    def reversed(self, where: str, line: Json) -> None:
        """M8: what is taken back of the payers and of the unfunded is the reversal; the parts go back too."""
        amount, key = pence(line["reversed"]), self.shares[line["version"]]
        taken = {each["payer"]: pence(each["reversed"]) for each in line["reversals"]} | {"unfunded": pence(line["unfunded"])}
        parts = [pence(each["part"]) for each in line["reversals"]]
        given_back = sum(pence(each["amount"]) for each in line["limits"])
        expect(pence(line["worth"]) - given_back == amount, f"{where}: its worth less what was curtailed is not the reversal")
        expect(sum(taken.values()) == sum(parts) == amount, f"{where}: what is taken back is not the reversal")
        self.move(where, line, key, -amount)
        self.parts[key] = [before - part for before, part in zip(self.parts[key], parts, strict=True)]
        self.lines.subtract({"assessed": amount, **taken})
        self.checked["reversed amounts"] += 1

    def move(self, where: str, line: Json, key: str, amount: int) -> None:
        """What was split by a list of shares before a line, and after it."""
        before, after = self.split[key], self.split[key] + amount
        expect(pence(line["before"]) == before, f"{where}: {pounds(before)} was split before it, not {line['before']}")
        expect(pence(line["after"]) == after, f"{where}: {pounds(after)} is split after it, not {line['after']}")
        self.split[key] = after


Posting = tuple[tuple[str, str, str, str], str, int]
"""Stage, outcome, payer (empty where there is none) and financial year of an account; an effective date; and an amount."""

MOVES = """
    claim.lines-listed        -claimed=value undecided=value
    claim.lines-withdrawn     -undecided claimed
    claim.lines-decided       awaiting=accepted_value -undecided=accepted_value rejected=rejected_value
                              -undecided=rejected_value deferred=deferred_value -undecided=deferred_value
    claim.lines-declined      -awaiting declined
    claim.lines-assessed      -awaiting=accepted assessed=assessed -apportioned=assessed unfunded=unfunded
    claim.lines-reversed      goes_to=worth -assessed=reversed apportioned=reversed -unfunded=unfunded
    claim.lines-restated      -claimed undecided awaiting declined rejected deferred
    other-payment.agreed      -other-payments unfunded=unfunded
    allotments                due=allotted
    reversals                 -due=reversed
    payment.held              -due held
    payment.hold-lifted       -held due
    payment.approved          -due approved
    payment.drawn-up          -approved in-run
    payment.taken-off-run     -in-run approved
    payment.sent              -in-run sent
    payment.settled           -sent paid
    payment.stopped           -was due
    payment.returned          -was returned
    payment.reissued          -returned due
    payment.report-confirmed  -due paid
    payment.netted-off        -was netted-off
    receivable.opened         -receivable.open due
    receivable.netted-off     -receivable.netted-off receivable.open
    receivable.recovered      -receivable.recovered receivable.open
    receivable.written-off    -receivable.written-off receivable.open
    outcomes                  -claimed=assessed assessed=assessed
    payers                    -apportioned=allotted paid=paid -paid=owed_back due=due
    owed-back                 paid=owed_back -due=owed_back
    years                     -other-payments=other_payments unfunded=unfunded apportioned=other_payments -apportioned=unfunded
"""
"""What leaves a stage (-), and what comes to one; how much, says the entry under a name (`amount`, or the stage's)."""
RULES: dict[str, list[str]] = defaultdict(list)
for _name, _moves in re.findall(r"^ {4}(\S+)? +(.+)$", MOVES, re.MULTILINE):
    RULES[_name or list(RULES)[-1]] += _moves.split()


def moved(rule: str, said: Json, year: str, day: str) -> Iterator[Posting]:
    """What a rule moves, by what an entry says."""
    expect(rule in RULES, "this program does not know what such an entry means: it may be of a later release")
    for move in RULES[rule]:
        stage, _, name = move.removeprefix("-").partition("=")
        stage = said[stage] if stage in ("was", "goes_to") else stage
        outcome = "" if stage in ("apportioned", "unfunded", "other-payments") else said.get("outcome", "")
        payer = "" if stage == "apportioned" else said.get("payer", "")
        amount = pence(said[name or ("amount" if "amount" in said else move.removeprefix("-"))])
        yield (stage, outcome, payer, year), day, -amount if move.startswith("-") else amount


def postings(entry: Entry) -> Iterator[Posting]:  # noqa: C901 (one branch for each kind of entry)
    """What an entry moves, from which stage to which, on which day."""
    event, kind = entry.event, entry.type
    if kind.startswith("claim.lines-") or kind == "other-payment.agreed":
        goes_to = "rejected" if event.get("clawed_back") else "awaiting"
        for line in event.get("lines") or [{**event["split"], "achieved_on": event["dated"]}]:
            day, year = line["achieved_on"], year_of(line["achieved_on"])
            yield from moved(kind, {**line, "goes_to": goes_to}, year, day)
            for cut in line.get("limits", ()):
                less = pence(cut["curtailed"]) if "curtailed" in cut else -pence(cut["amount"])
                yield (f"curtailed.{cut['limit']}", line["outcome"], "", year), day, less
            for rule in ("allotments", "reversals"):
                for each in line.get(rule, ()):
                    yield from moved(rule, each, year, day)
    elif kind == "opening-position.figures-opened":
        for rule in ("outcomes", "payers", "years"):
            for each in event.get(rule, ()):
                yield from moved(rule, each, each["year"], min(year_end(each["year"]), event["stands_on"]))
                if rule == "payers":  # It was paid, and is owed back only from the decision on.
                    yield from moved("owed-back", each, each["year"], event["on"])
    elif kind.startswith(("payment.", "receivable.")) and kind != "payment.fell-due" and "years" in event:
        for year, amount in event["years"].items():
            yield from moved(kind, {**event, "amount": amount}, year, event["on"])


def figures(posted: Iterable[Posting], upto: str) -> dict[str, str]:
    """Every account that is not nothing at the end of a day."""
    sums: Counter[tuple[str, ...]] = Counter()
    for account, _, amount in (each for each in posted if each[1] <= upto):
        sums[account] += amount
    return {"|".join(account): pounds(amount) for account, amount in sorted(sums.items()) if amount}


def statement(posted: Iterable[Posting]) -> list[dict[str, str]]:
    """By financial year of the effective date: what was owed, earned and paid, and owed in the end."""
    years: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (stage, *_), day, amount in posted:
        years[year_of(day)]["curtailed" if stage.startswith("curtailed.") else stage] += amount
    unpaid = ("due", "held", "approved", "in-run", "sent", "returned", "receivable.open")
    negative = ("other-payments", "claimed", "receivable.recovered", "receivable.written-off")
    told, owed = [], 0
    for year, stages in sorted(years.items()):
        opening, owed = owed, owed + sum(stages[stage] for stage in unpaid)
        sums = {name: stages[name] for name in ("assessed", "unfunded", "paid", "rejected", "curtailed")}
        amounts = {"opening": opening, "closing": owed, **sums, **{name: -stages[name] for name in negative}}
        named = {name.removeprefix("receivable.").replace("-", "_"): pounds(amount) for name, amount in amounts.items()}
        told.append({"year": year} | named)
    return told


def journal(found: Iterable[Entry], award: str) -> Iterator[str]:
    """The postings as beancount and hledger read them."""
    opened: set[str] = set()
    for entry in found:
        days: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for (stage, outcome, payer, year), day, amount in postings(entry):
            words = [re.sub(r"(^|[-_])([a-z])", lambda a: a[2].upper(), part) for part in stage.split(".")]
            named = [name.upper().replace(".", "dot").replace("_", "low") for name in (award, year, outcome or payer) if name]
            days[day][":".join(["Equity", *words, *named])] += amount
        used = {name for rows in days.values() for name, amount in rows.items() if amount} - opened
        yield from (f"1970-01-01 open {name}\n" for name in used)
        opened |= used
        for day, rows in sorted(days.items()):
            if lines := "".join(f"  {name}  {pounds(amount)} GBP\n" for name, amount in rows.items() if amount):
                yield f'\n{day} * "{entry.type}" "{entry.stream}" ^entry-{entry.position}\n{lines}'


def sealed(files: Files, known: dict[str, bytes]) -> tuple[str, list[Entry], str]:
    """The award and its entries, after everything that was signed of them was checked; and what that is, in words."""
    origin, size, top, *_ = signed("checkpoint.txt", files["checkpoint.txt"], known)
    heading, of, award, many, leaf, under = signed("award-head.txt", files["award-head.txt"], known)
    expect((heading, of, under) == (HEAD, origin, size), "award-head.txt is of another log or checkpoint, or is none")
    found = entries(files["entries.txt"], award)
    expect(len(found) == int(many), f"the award has {many} entries, not {len(found)}: its end is missing, or is not its own")
    expect(base64.b64decode(leaf) == found[-1].leaf, f"entry {many}, the last one, was changed: the award head has another leaf")
    old = keys(files["keys.txt"])
    told = [signed("checkpoints.json", each.encode(), old) for each in json.loads(files["checkpoints.json"])]
    earlier = {int(at): base64.b64decode(its) for _, at, its, *_ in told}
    sizes = sorted(at for at in earlier if 0 < at <= int(size))
    expect(sizes == [int(at) for _, at, *_ in told], "checkpoints.json is not in order, or not of earlier checkpoints")
    beside = iter([base64.b64decode(line) for line in files["proof.txt"].split()])
    lead_to = roots([(entry.position - 1, entry.leaf) for entry in found], sizes, beside, 0, int(size))
    same = (lead_to[int(size)], next(beside, None)) == (base64.b64decode(top), None)
    expect(same, "the entries do not lead to the root that was signed (proof.txt, or checkpoints.json lacks one)")
    for at in sizes:
        expect(lead_to[at] == earlier[at], f"checkpoints.json: that of {at} entries is of another history than checkpoint.txt")
    what = f"{len(found):,} entries, all that {award} has, under the signed root of {int(size):,}"
    return award, found, f"{what}; {len(sizes)} checkpoints of one history"


def worked_out(files: Files, award: str, found: list[Entry]) -> Counter[str]:
    """Work everything out again and compare it with what the pack says; what was checked, and how often."""
    known, posted = Award(), []
    for number, entry in enumerate(found, 1):
        try:
            moved = list(postings(entry))
            expect(sum(amount for _, _, amount in moved) == 0, "its postings do not sum to nothing")
            known.take(entry)
        except (DoesNotHold, KeyError, ValueError, StopIteration) as fault:
            said = fault if isinstance(fault, DoesNotHold) else repr(fault)
            raise DoesNotHold(f"entry {number} of the award, at position {entry.position}, {entry.type}: {said}") from fault
        posted += moved
    known.compare()
    balances = json.loads(files["balances.json"])
    ends = {year_end(year) for (*_, year), _, _ in posted} | {year_end(year_of(day)) for _, day, _ in posted}
    expect(ends == balances.keys(), "balances.json is not of the ends of all financial years")
    for day, accounts in balances.items():
        expect(figures(posted, day) == accounts, f"balances.json is not what the entries come to on {day}")
    expect(json.loads(files["statement.json"])["years"] == statement(posted), "statement.json is not what the entries come to")
    texts = files["journal.beancount"].decode(), "".join(journal(found, award))
    told, made = (sorted(sorted(block.split("\n")) for block in text.split("\n\n")) for text in texts)  # The order may differ.
    expect(told == made, "journal.beancount is not what the entries come to")
    return known.checked + Counter({"postings": len(posted), "balances": sum(map(len, balances.values()))})


def unchanged(files: Files, award: str, known: dict[str, bytes]) -> int:
    """Every file is the one that was signed; how many there are."""
    heading, _, of, _, *lines = signed("manifest.txt", files["manifest.txt"], known)
    expect((heading, of) == ("life-chances-ledger/audit-pack/v1", award), "manifest.txt is none of this award")
    listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
    for name in sorted(listed.keys() | (files.keys() - {"manifest.txt"})):
        expect(name in listed, f"{name} does not belong to the pack")
        expect(sha256(files[name]).hexdigest() == listed[name], f"{name} was changed: manifest.txt has another hash")
    return len(listed)


def main(arguments: Sequence[str]) -> int:
    """Check a pack, and say what came of it."""
    asked = argparse.ArgumentParser(description="Check an audit pack of the Life Chances Ledger.")
    asked.add_argument("pack", nargs="?", type=Path, default=Path(__file__).parent, help="the zip, or its folder (this one)")
    asked.add_argument("--key", action="append", default=[], help="a key of the log as you know it from elsewhere: name+id+key")
    given = asked.parse_args(arguments)
    try:
        files = files_of(given.pack)
        trusted = keys(" ".join(given.key).encode()) or keys(files["keys.txt"])
        award, found, proved = sealed(files, trusted)
        checked = worked_out(files, award, found)
        checked["files' hashes"] = unchanged(files, award, trusted)
    except Exception as fault:  # noqa: BLE001 (whatever a pack that was tampered with leads to, it does not hold)
        print(f"FAIL: {fault if isinstance(fault, DoesNotHold) else f'{Files.last} cannot be read: {repr(fault)[:99]}'}")
        return 1
    print(f"PASS: {proved}")
    for what, often in sorted(checked.items()):
        print(f"  {often:>9,} {what} worked out again")
    asks = "" if given.key else "  (is that the key that you know from elsewhere? --key holds the pack to it)"
    print("".join(f"  signed by {key}\n" for key in trusted) + asks)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
