"""Postings as plain-text accounting: a journal that beancount and hledger read alike, so that others can add it up.

The text keeps to what both understand: an `open` line for each account (a transaction without postings, to hledger), and a
transaction for each entry and effective date, named by the event's type and stream, with the position as a link. Signs are the
ledger's own, what is due is positive; so all accounts stand under `Equity`, as memoranda. Sources: beancount's language syntax
(accounts are capitalised words of letters, digits and hyphens), hledger's journal format.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import date
from typing import Final

from domain.event import Event
from domain.postings import Posting, postings
from domain.reference import canonical

CURRENCY: Final = "GBP"
_EVER: Final = date(1970, 1, 1)
_ESCAPED: Final = str.maketrans({".": "dot", "_": "low"})
"""Capitals are all that a canonical reference has, so that small letters can stand for what an account's name cannot have."""


def account(award: str, posting: Posting) -> str:
    """The account of a posting, such as `Equity:Due:INDIGO-POJ-0175:2021-22:GB-LAE-KIR`."""
    stage = (_words(part) for part in posting.stage.split("."))
    whose = posting.outcome or posting.payer
    return ":".join(("Equity", *stage, _word(award), posting.year, *([_word(whose)] if whose else [])))


def journal(entries: Iterable[tuple[int, str, str, Event]]) -> Iterator[str]:
    """The journal of entries, each with its position, award and stream; a block of lines for each account and transaction."""
    opened: set[str] = set()
    for position, award, stream, event in entries:
        by_day: defaultdict[date, list[tuple[str, Posting]]] = defaultdict(list)
        for posting in postings(event):
            by_day[posting.effective].append((account(award, posting), posting))
        for name in sorted({name for rows in by_day.values() for name, _ in rows} - opened):
            opened.add(name)
            yield f"{_EVER} open {name}\n"
        for day, rows in sorted(by_day.items()):
            lines = "".join(f"  {name}  {posting.amount} {CURRENCY}\n" for name, posting in rows)
            yield f'\n{day} * "{event.type}" "{stream}" ^entry-{position}\n{lines}'


def _words(stage: str) -> str:
    return "".join(word.capitalize() for word in stage.replace("_", "-").split("-"))


def _word(reference: str) -> str:
    return canonical(reference).translate(_ESCAPED)
