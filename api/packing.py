"""Audit packs: one zip with everything that was recorded of an award, its proof, and a program that checks it elsewhere.

A pack is of the last signed checkpoint up to a position, and the same bytes whenever this release makes it again: names are in
order, times are none, and what was signed for it first is kept, so that another key that signs the log later changes nothing. It
has only what the award's own entries say, so that it tells nothing of any other award, and only commitments to what stands in the
vault. What it is made of is worked out from the log itself, so that it waits for no read model.
"""

import base64
import json
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, Final, Protocol

from api.explaining import explanations
from api.tables import table
from domain.calendar import financial_year, last_day
from domain.claim import ClaimLinesAssessed, ClaimLinesDecided, ClaimLinesListed, ClaimLinesReversed
from domain.event import Event
from domain.journal import journal
from domain.money import Money
from domain.payment import PaymentFellDue, PaymentMoved, PaymentNettedOff
from domain.postings import Account, sums
from ledger import award_heads, pack_signatures
from ledger.checkpoints import Checkpoints, Signed
from ledger.entry import Entry, Row, decode
from ledger.ledger import Ledger
from ledger.log import Damaged
from ledger.notes import Signer, Verifier
from ledger.pack_signatures import KEYS
from projections.statements import statement
from projections.trails import row_of

HEADING: Final = "life-chances-ledger/audit-pack/v1"
_HERE: Final = Path(__file__).parent / "audit"
_AT_ONCE: Final = 1_000
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The first moment that a zip can say; the time of packing is none of the pack's business."""
LEVEL: Final = 6
_UNIX: Final = 3
_DAY: Final = len("2024-07-01")
BETWEEN: Final = f"\n{'-' * 100}\n\n"
"""Stands between explanations that people read."""

_Row = Iterable[object]
Files = dict[str, bytes]


def pack(ledger: Ledger, checkpoints: Checkpoints, award: str, signed: Signed, signer: Signer) -> bytes | None:
    """The audit pack of an award as of a checkpoint; nothing if the award had no entries then.

    Raises `KeyIsAnother`, and `Damaged` if the log is not what was sealed.
    """
    head = award_heads.to_sign(ledger, checkpoints, award, signed, signer)
    if head is None:
        return None
    rows = list(ledger.log.reads.walk(award=award, upto=signed.size))
    if len(rows) != head.entries:
        raise Damaged.found(f"of {head.entries} entries of {award} there are {len(rows)}")
    headed = pack_signatures.first(ledger, signed.origin, signer, lambda _: head.text)
    entries = [decode(row, ledger.registry) for row in rows]
    before = _before(checkpoints, signed.size)
    explained = list(explanations(ledger, award, entries, signed.size))
    files = {
        "README.txt": (_HERE / "README.txt").read_bytes(),
        "award-head.txt": headed.note.encode(),
        "books.py": (_HERE / "books.py").read_bytes(),
        "checkpoint.txt": signed.note.encode(),
        "checkpoints.json": _written([each.note for each in before]),
        "explanations.json": _written([each.told for each in explained]),
        "explanations.txt": BETWEEN.join(each.text for each in explained).encode(),
        "entries.txt": b"".join(_stored(row) for row in rows),
        "proof.txt": _proof(checkpoints, rows, [each.size for each in before], signed.size),
        "terms.json": _written(_terms(entries)),
        "verify.py": (_HERE / "verify.py").read_bytes(),
        **figures(award, entries, signed.size),
        **_tables(entries),
    }
    known = _keys(checkpoints, signed, headed.key)

    def keyed(key: bytes) -> Files:
        return files | {KEYS: "".join(f"{word}\n" for word in dict.fromkeys([*known, _word(signed, key)])).encode()}

    listed = pack_signatures.first(ledger, signed.origin, signer, lambda key: _manifest(keyed(key), signed, award))
    return _zipped(keyed(listed.key) | {"manifest.txt": listed.note.encode()})


# What is proved -------------------------------------------------------------------------------------------------------


def _stored(row: Row) -> bytes:
    """Two lines, which are an entry's bytes as they are hashed, and a newline: canonical JSON has none within."""
    if b"\n" in row.state:
        raise Damaged.found(f"the entry at {row.position} is no canonical JSON")
    return row.header + row.state + b"\n"


def _proof(checkpoints: Checkpoints, rows: list[Row], earlier: list[int], size: int) -> bytes:
    """That all of them, and every earlier checkpoint, are of the one history that the checkpoint is of."""
    hashes = checkpoints.tree.inclusions([row.position - 1 for row in rows], size, earlier)
    return b"".join(base64.b64encode(each) + b"\n" for each in hashes)


def _before(checkpoints: Checkpoints, size: int) -> list[Signed]:
    """The last checkpoint of each day (UTC) up to this one; the ledger tells all of them, and there may be one a minute."""
    days: dict[str, Signed] = {}
    after = 0
    while after < size:
        found = checkpoints.page(after, _AT_ONCE)
        days.update({each.made_at[:_DAY]: each for each in found if each.size <= size})
        after = found[-1].size
    return list(days.values())


def _keys(checkpoints: Checkpoints, signed: Signed, heads: bytes) -> list[str]:
    """The keys that signed checkpoints up to this one, in order, and the one that signed the award head."""
    signings = checkpoints.signings()
    words = [each.verifier.vkey for each in signings if each.first is not None and each.first <= signed.size]
    return [*words, _word(signed, heads)]


def _word(signed: Signed, key: bytes) -> str:
    return Verifier(signed.origin, key).vkey


def _manifest(files: Files, signed: Signed, award: str) -> str:
    """The hash of every file, to be signed, so that a change is found also in what is there for people only."""
    hashes = "".join(f"{sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return f"{HEADING}\n{signed.origin}\n{award}\n{signed.size}\n{hashes}"


def _zipped(files: Files) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name in sorted(files):
            of = zipfile.ZipInfo(name, _EPOCH)
            of.create_system, of.external_attr = _UNIX, 0o644 << 16
            packed.writestr(of, files[name], zipfile.ZIP_DEFLATED, LEVEL)
    return out.getvalue()


# What the entries come to ---------------------------------------------------------------------------------------------


class Moving(Protocol):
    """An entry, as far as it moves amounts."""

    @property
    def position(self) -> int:
        """Where it stands in the log."""

    @property
    def stream(self) -> str:
        """Of what it is."""

    @property
    def event(self) -> Event:
        """What happened."""


def figures(award: str, entries: Iterable[Moving], size: int) -> Files:
    """The files with what an award's entries come to: balances at year ends, statement and journal."""
    entries = list(entries)
    posted = [(account, amount) for entry in entries for account, amount in sums(entry.event).items()]
    ends = sorted({last_day(year) for (*_, of, on), _ in posted for year in (of, financial_year(on))})
    months: Counter[tuple[str, str]] = Counter()
    for (stage, *_, effective), amount in posted:
        months[stage, effective.isoformat()[:7]] += amount
    told = statement(award, {month: Money(amount) for month, amount in months.items()}, size, ends[-1] if ends else date.min)
    years = [{name: str(getattr(year, name)) for name in year.__dataclass_fields__} for year in told.years]
    moving = ((entry.position, award, entry.stream, entry.event) for entry in entries)
    return {
        "balances.json": _written({day.isoformat(): _accounts(posted, day) for day in ends}),
        "journal.beancount": "".join(journal(moving)).encode(),
        "statement.json": _written({"award": award, "position": size, "years": years}),
    }


def _accounts(posted: list[tuple[Account, int]], day: date) -> dict[str, str]:
    """Every account that is not nothing at the end of a day, as `stage|outcome|payer|year`."""
    found: Counter[str] = Counter()
    for (stage, outcome, payer, year, effective), amount in posted:
        if effective <= day:
            found["|".join((stage, outcome or "", payer or "", year))] += amount
    return {account: str(Money(amount)) for account, amount in found.items() if amount}


def _terms(entries: list[Entry]) -> list[dict[str, Any]]:
    """Every version that was proposed, and by which entry it was agreed, if it was."""
    agreed = {getattr(each.event, "version", 1): each.position for each in entries if each.type in _AGREED}
    proposed = [(entry, entry.event.model_dump(mode="json", exclude_none=True)) for entry in entries if entry.type == _PROPOSED]
    return [
        {
            "version": said["version"],
            "proposed_by_entry": entry.position,
            "agreed_by_entry": agreed.get(said["version"]),
            "terms": said["terms"],
        }
        for entry, said in proposed
    ]


_PROPOSED: Final = "award.terms-proposed"
_AGREED: Final = ("award.agreed", "award.terms-agreed")


def _written(told: Any) -> bytes:
    return (json.dumps(told, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


# For people -----------------------------------------------------------------------------------------------------------


def _tables(entries: list[Entry]) -> dict[str, bytes]:
    return {
        "assessments.csv": table(_ASSESSMENTS, _assessments(entries)),
        "claim-lines.csv": table(_LINES, _lines(entries)),
        "payments.csv": table(_PAYMENTS, _payments(entries)),
        "trail.csv": table(_TRAIL, _trail(entries)),
    }


_LINES: Final = ("position", "claim", "line", "outcome", "achieved_on", "quantity", "value", "accepted", "rejected", "deferred")
_ASSESSMENTS: Final = (
    "position",
    "assessment",
    "claim",
    "line",
    "outcome",
    "assessed",
    "curtailed",
    "unfunded",
    "payer",
    "allotted",
)
_PAYMENTS: Final = ("position", "on", "assessment", "payer", "step", "amount")
_TRAIL: Final = ("number", "position", "recorded_at", "person", "stream", "what")


def _name(entry: Entry) -> str:
    return entry.stream.rsplit("/", 1)[-1]


def _lines(entries: list[Entry]) -> Iterator[_Row]:
    """Claimed lines with their quantity and value, and decisions on them in value, as they were recorded."""
    for entry in entries:
        match entry.event:
            case ClaimLinesListed(lines=listed):
                for line in listed:
                    of = (line.line, line.outcome, line.achieved_on)
                    yield entry.position, _name(entry), *of, line.quantity, line.value, None, None, None
            case ClaimLinesDecided(lines=decided):
                for each in decided:
                    values = (each.accepted_value, each.rejected_value, each.deferred_value)
                    yield entry.position, _name(entry), each.line, each.outcome, each.achieved_on, None, None, *values
            case _:
                continue


def _assessments(entries: list[Entry]) -> Iterator[_Row]:
    """What was assessed and allotted to each payer, line by line; what was taken back is negative."""
    for entry in entries:
        match entry.event:
            case ClaimLinesAssessed(assessment=number, lines=assessed):
                for line in assessed:
                    of = (entry.position, number, _name(entry), line.line, line.outcome)
                    for allotment in line.allotments:
                        yield *of, line.assessed, line.curtailed, line.unfunded, allotment.payer, allotment.allotted
            case ClaimLinesReversed(assessment=number, lines=taken):
                for back in taken:
                    of = (entry.position, number, _name(entry), back.line, back.outcome)
                    for each in back.reversals:
                        yield *of, -back.reversed, None, -back.unfunded, each.payer, -each.reversed
            case _:
                continue


def _payments(entries: list[Entry]) -> Iterator[_Row]:
    for entry in entries:
        match entry.event:
            case PaymentFellDue() | PaymentMoved() | PaymentNettedOff() as step:
                number = entry.stream.split("/assessment/", 1)[-1].split("/", 1)[0]
                yield entry.position, step.on, number, step.payer, entry.type.removeprefix("payment."), step.amount
            case _:
                continue


def _trail(entries: list[Entry]) -> Iterator[_Row]:
    for entry in entries:
        told = row_of(entry)
        yield told.sequence, told.position, told.recorded_at.isoformat(), told.person, told.stream, told.sentence
