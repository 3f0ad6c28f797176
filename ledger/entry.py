r"""What is stored, byte by byte, for ever.

An entry is a header of one ASCII line, followed by its `state`:

    lcl1 <position> <recorded_at> <award or -> <award's own sequence number or 0> <previous leaf of that award>\n
    {"causation":…,"correlation":…,"event":{…},"person":…,"salt":…,"stream":…,"type":…,"version":…}

`recorded_at` is UTC with microseconds (`2024-07-01T09:30:00.000000Z`); the previous leaf is 64 hexadecimal digits, zeros for an
award's first entry and for entries of no award. `state` is canonical JSON: keys sorted, no blanks, UTF-8, nothing that is null.
The salt is 16 random bytes, so that nobody can guess an entry from its hash. The leaf is SHA-256(0x00 ‖ entry): stored bytes are
hashed, nothing is ever serialised again.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, NamedTuple

import orjson

from domain.aggregate import PersonId, award_of
from domain.event import Event
from domain.refusal import Invalid
from ledger import reading
from ledger.randomness import random_bytes

PREFIX: Final = "lcl1"
NO_LEAF: Final = bytes(32)
"""The previous leaf of an award's first entry, and of every entry of no award."""
MOST_BYTES: Final = 60 * 1024
"""An entry is at most so long; what is bigger is recorded in chunks."""
_HEADER_MOST: Final = 256
_SALT_BYTES: Final = 16
_AWARD: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)

Registry = Mapping[str, type[Event]]
"""Every kind of event by its permanent name."""


class EntryTooLong(Invalid):
    """An entry of the log holds at most 60 KiB; something that was sent is longer than that."""


class EventUnknown(ValueError):
    """The log holds an event of a type that this release does not know: it was written by a later one."""


class Draft(NamedTuple):
    """An entry that has no place yet."""

    stream: str
    version: int
    type: str
    state: bytes
    award: str | None


class Row(NamedTuple):
    """An entry as it stands in its table."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: str
    award: str | None
    award_sequence: int | None
    header: bytes
    state: bytes
    leaf: bytes


class Seen(NamedTuple):
    """As much of a stored entry as those who follow the log look at."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: str
    award: str | None
    state: bytes


class Entry(NamedTuple):
    """One thing that happened: what, where in the log, when, by whom, and because of what."""

    position: int
    stream: str
    version: int
    type: str
    recorded_at: datetime
    award: str | None
    award_sequence: int
    """The entry's number within its award, from 1; 0 if it belongs to none."""
    previous: bytes
    """The leaf of the award's entry before this one."""
    person: PersonId
    correlation: str | None
    causation: str | None
    event: Event
    leaf: bytes


def draft(
    stream: str,
    version: int,
    event: Event,
    person: str,
    *,
    correlation: str | None = None,
    causation: str | None = None,
    salt: str | None = None,
) -> Draft:
    """An entry's state, made before anybody holds the lock; `EntryTooLong` if it is."""
    said: dict[str, Any] = {
        "stream": stream,
        "version": version,
        "type": event.type,
        "person": person,
        "salt": salt or random_bytes(_SALT_BYTES).hex(),
        "event": event.model_dump(mode="json", exclude_none=True),
    }
    if correlation is not None:
        said["correlation"] = correlation
    if causation is not None:
        said["causation"] = causation
    state = orjson.dumps(said, option=orjson.OPT_SORT_KEYS)
    refuse_too_long(stream, state)
    return Draft(stream, version, event.type, state, award_named(stream))


@lru_cache(maxsize=4_096)
def award_named(stream: str) -> str | None:
    """The award that a stream belongs to, if it has a name that can stand in a header."""
    award = award_of(stream)
    if award is not None and not _AWARD.fullmatch(award):
        raise ValueError(f"{stream!r} names no award that could be")
    return award


def refuse_too_long(stream: str, state: bytes) -> None:
    """Refuse a state that leaves no room for its header within an entry."""
    if len(state) > MOST_BYTES - _HEADER_MOST:
        raise EntryTooLong(stream=stream, bytes=len(state))


def place(drafted: Draft, position: int, recorded_at: str, award_sequence: int, previous: bytes) -> Row:
    """Give an entry its place: its header, and with it the bytes that are hashed."""
    stream, version, kind, state, award = drafted
    header = f"{PREFIX} {position} {recorded_at} {award or '-'} {award_sequence} {previous.hex()}\n".encode("ascii")
    leaf = leaf_of(header, state)
    return Row(position, stream, version, kind, recorded_at, award, award_sequence if award else None, header, state, leaf)


def row_of(header: bytes, state: bytes) -> Row:
    """An entry as it stands in its table, worked out from its bytes alone; `ValueError` if they are none of an entry."""
    try:
        prefix, position, recorded_at, award, sequence, _ = header.decode("ascii").split(" ")
        said = orjson.loads(state)
        stream, version, kind = said["stream"], said["version"], said["type"]
    except (KeyError, TypeError) as wrong:
        raise ValueError(f"the entry does not say its {wrong}") from wrong
    if prefix != PREFIX:
        raise ValueError(f"no entry begins with {prefix!r}")
    if (award_named(stream) or "-") != award:
        raise ValueError(f"an entry of {stream} is no entry of {award}")
    named, number = (None, None) if award == "-" else (award, int(sequence))
    return Row(int(position), stream, version, kind, recorded_at, named, number, header, state, leaf_of(header, state))


def leaf_of(header: bytes, state: bytes) -> bytes:
    """SHA-256(0x00 ‖ entry), as in RFC 6962."""
    hashed = sha256(b"\0" + header)
    hashed.update(state)
    return hashed.digest()


def written(moment: datetime) -> str:
    """A moment as entries write it: UTC, with microseconds.

    >>> written(datetime(2024, 7, 1, 9, 30, tzinfo=UTC))
    '2024-07-01T09:30:00.000000Z'
    """
    # Not strftime, whose years before 1000 have fewer than four digits: moments are compared as texts.
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def moment_of(text: str) -> datetime:
    """The moment that `written` wrote."""
    return datetime.fromisoformat(text)


def reader(registry: Registry) -> Callable[[bytes], tuple[Event, dict[str, Any]]]:
    """What reads a state: its event, and everything else that it says."""

    def read(state: bytes) -> tuple[Event, dict[str, Any]]:
        said: dict[str, Any] = orjson.loads(state)
        of = registry.get(said["type"])
        if of is None:
            raise EventUnknown(said["type"])
        return reading.read(of, said["event"]), said

    return read


def decode(row: Row, registry: Registry) -> Entry:
    """A stored entry, read."""
    event, said = reader(registry)(row.state)
    return Entry(
        position=row.position,
        stream=row.stream,
        version=row.version,
        type=row.type,
        recorded_at=moment_of(row.recorded_at),
        award=row.award,
        award_sequence=row.award_sequence or 0,
        previous=previous_of(row),
        person=PersonId(said["person"]),
        correlation=said.get("correlation"),
        causation=said.get("causation"),
        event=event,
        leaf=row.leaf,
    )


def previous_of(row: Row) -> bytes:
    """The award's leaf before this one, from the header."""
    return bytes.fromhex(row.header[-65:-1].decode("ascii"))
