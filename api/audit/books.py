"""Check what an audit pack has for people, after verify.py: its statement, its journal, and what its explanations end in.

    python books.py                        in the folder of an unpacked pack
    python books.py pack.zip --key KEY     a pack as it came, and held to a key that you know from elsewhere

It runs verify.py, which lies beside it, first; and says PASS, or FAIL with the first thing that does not hold (exit code 1).
"""

import json
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from typing import Any

sys.dont_write_bytecode = True  # Whatever else lies in the folder does not belong to the pack.
import verify  # type: ignore[import-not-found]  # noqa: E402 (it lies beside this file, wherever that is)

UNPAID = "due", "held", "approved", "in-run", "sent", "returned", "receivable.open"


def moved(entry: Any) -> Iterator[tuple[Any, str, int]]:
    """What an entry moves, in all: of each account and day, but for those of which it moves nothing."""
    sums = Counter[Any]()
    for account, day, amount in verify.postings(entry.type, entry.event):
        sums[account, day] += amount
    return ((account, day, amount) for (account, day), amount in sums.items() if amount)


def statement(found: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """By financial year of the effective date: what was owed, earned and paid, and owed in the end."""
    years, owed = defaultdict[str, Counter[str]](Counter), 0
    for (stage, *_), day, amount in (each for entry in found for each in moved(entry)):
        years[verify.year_of(day)]["curtailed" if stage.startswith("curtailed.") else stage] += amount
    for year, stages in sorted(years.items()):
        before, owed = owed, owed + sum(stages[stage] for stage in UNPAID)
        sums = {stage: stages[stage] for stage in ("assessed", "unfunded", "paid", "rejected", "curtailed")}
        for stage in ("claimed", "other-payments", "receivable.recovered", "receivable.written-off"):
            sums[stage.removeprefix("receivable.").replace("-", "_")] = -stages[stage]
        yield {"year": year, "opening": before, **sums, "closing": owed}


def journal(found: Iterable[Any], award: str) -> Iterator[str]:
    """What each entry moves, by day, as beancount and hledger read it; each account is opened before it is first used."""
    opened = set[str]()
    for entry in found:
        days = defaultdict[str, Counter[str]](Counter)
        for (stage, outcome, payer, year), day, amount in moved(entry):
            words = [re.sub("(^|[-_])([a-z])", lambda each: each[2].upper(), word) for word in stage.split(".")]
            named = [name.upper().replace(".", "dot").replace("_", "low") for name in (award, year, outcome or payer) if name]
            days[day][":".join(["Equity", *words, *named])] += amount
        used = {name for rows in days.values() for name, amount in rows.items() if amount} - opened
        yield from (f"1970-01-01 open {name}\n" for name in used)
        opened |= used
        for day, rows in sorted(days.items()):
            if lines := "".join(f"  {name}  {verify.pounds(amount)} GBP\n" for name, amount in rows.items() if amount):
                yield f'\n{day} * "{entry.type}" "{entry.stream}" ^entry-{entry.position}\n{lines}'


def amounts(found: Iterable[Any], lines: Iterable[Any]) -> Counter[str]:
    """What explanations must end in: of each line in each assessment, of each payment, and of each claimed line in the end."""
    sums = Counter({line.name: line.pence["assessed"] for line in lines})
    for entry in found:
        event, names = entry.event, entry.stream.split("/")
        match entry.type:
            case "claim.lines-assessed" | "claim.lines-reversed":
                for said in event["lines"]:
                    amount = -verify.pence(said["reversed"]) if "reversed" in said else verify.pence(said["assessed"])
                    sums[f"{event['assessment']} {names[3]} {said['line']}"] += amount
            case "payment.fell-due":
                sums[f"{event['assessment']} {event['payer']}"] += verify.pence(event["amount"])
            case "payment.netted-off":
                sums[f"{names[3]} {event['payer']}"] -= sum(map(verify.pence, event["years"].values()))
            case _:
                continue
    return sums


def compare(files: Any, award: str, found: list[Any], state: Any, _posted: list[Any]) -> str:
    """All of it is what the entries come to; and what that was, in words."""
    verify.same("statement.json: years", json.loads(files["statement.json"])["years"], list(statement(found)))
    texts = files["journal.beancount"].decode(), "".join(journal(found, award))
    told, ours = (sorted(sorted(block.split("\n")) for block in text.split("\n\n")) for text in texts)  # In whatever order.
    verify.expect(told == ours, "journal.beancount is not what the entries come to")
    explained, ends = json.loads(files["explanations.json"]), amounts(found, state.lines.values())
    for each in explained:
        name = " ".join(str(each[name]) for name in ("assessment", "claim", "line", "payer") if name in each).upper()
        stated = [each["amount"], each["steps"][-1]["amount"]]
        verify.same(f"explanations.json: {each['title']}", stated, [ends.pop(name)] * 2)
    verify.expect(not ends, f"explanations.json explains nothing of {', '.join(ends)[:99]}")
    return f"; the statement, the journal, and what {len(explained):,} explanations end in"


if __name__ == "__main__":
    sys.exit(verify.main(sys.argv[1:], compare))
