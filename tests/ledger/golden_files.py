"""The stored bytes of every event type that was ever released: `golden/<type>.entry`, and `golden/<type>.<what>.entry` for more.

Files are added, never changed: they are what is on the disks of those who use the ledger. To add one, say what the event is, as
the JSON of its fields (one event a line), and which variant if it is not the first:

    echo '{"type": "pot.filled", "amount": "12.50"}' | python -m tests.ledger.golden_files [variant]

Nothing that exists is written over; a changed meaning is a new type.
"""

import sys
from pathlib import Path
from typing import Final

import orjson

from domain.event import Event
from ledger.entry import NO_LEAF, Draft, Registry, Row, draft, place, reader

GOLDEN: Final = Path(__file__).parent / "golden"
SALT: Final = "000102030405060708090a0b0c0d0e0f"
RECORDED_AT: Final = "2024-07-01T09:30:00.000000Z"
STREAM: Final = "award/INDIGO-POJ-0175"


def stored(event: Event) -> bytes:
    """The entry of an event, as it would be stored in a certain place at a certain time."""
    drafted = draft(STREAM, 1, event, "01J2Z4-KIRKLEES", correlation="01J2Z4-CORRELATION", causation="7", salt=SALT)
    row = place(drafted, 1, RECORDED_AT, 1, NO_LEAF)
    return row.header + row.state


def again(entry: bytes, registry: Registry) -> tuple[Event, bytes]:
    """What a stored entry says, and the bytes that this release would store for it."""
    header, _, state = entry.partition(b"\n")
    _, position, recorded_at, award, sequence, previous = header.decode("ascii").split(" ")
    event, said = reader(registry)(state)
    drafted: Draft = draft(
        said["stream"],
        said["version"],
        event,
        said["person"],
        correlation=said.get("correlation"),
        causation=said.get("causation"),
        salt=said["salt"],
    )
    row: Row = place(drafted, int(position), recorded_at, int(sequence), bytes.fromhex(previous))
    assert (drafted.award or "-") == award
    return event, row.header + row.state


def files_of(kind: str) -> list[Path]:
    """The golden files of an event type."""
    return sorted({*GOLDEN.glob(f"{kind}.entry"), *GOLDEN.glob(f"{kind}.*.entry")})


def append(event: Event, variant: str = "") -> Path:
    """Add a golden file; `FileExistsError` if it is there."""
    path = GOLDEN / f"{event.type}{variant and f'.{variant}'}.entry"
    with path.open("xb") as file:
        file.write(stored(event))
    return path


if __name__ == "__main__":
    from domain.events import read

    for line in sys.stdin.buffer:
        sys.stdout.write(f"{append(read(orjson.loads(line)), *sys.argv[1:])}\n")
