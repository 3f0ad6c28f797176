"""The format of an entry: golden bytes, written by hand."""

from datetime import UTC, datetime
from hashlib import sha256

import pytest

from domain.money import Money
from ledger.entry import MOST_BYTES, NO_LEAF, EntryTooLong, EventUnknown, award_named, decode, draft, place, written
from tests.ledger.pots import KIRKLEES, POTS, PotOpened

HEADER = b"lcl1 7 2024-07-01T09:30:00.000000Z INDIGO-POJ-0175 3 " + b"ab" * 32 + b"\n"
STATE = (
    b'{"causation":"6","correlation":"c-1",'
    b'"event":{"amount":"1400.00","note":"\xc3\xa9t\xc3\xa9 \xe2\x82\xac","type":"pot.opened"},'
    b'"person":"01J2Z4-KIRKLEES","salt":"000102030405060708090a0b0c0d0e0f","stream":"award/INDIGO-POJ-0175/pot/2021-Q3",'
    b'"type":"pot.opened","version":1}'
)
EVENT = PotOpened(amount=Money(140000), note="été €")
DRAFT = draft(
    "award/INDIGO-POJ-0175/pot/2021-Q3",
    1,
    EVENT,
    KIRKLEES.person,
    correlation="c-1",
    causation="6",
    salt="000102030405060708090a0b0c0d0e0f",
)
ROW = place(DRAFT, 7, "2024-07-01T09:30:00.000000Z", 3, bytes.fromhex("ab" * 32))


def test_state_is_these_bytes() -> None:
    assert DRAFT.state == STATE


def test_header_is_these_bytes() -> None:
    assert ROW.header == HEADER


def test_leaf_is_the_hash_of_nought_and_the_entry() -> None:
    assert ROW.leaf == sha256(b"\0" + HEADER + STATE).digest()
    assert ROW.leaf.hex() == "cd5d904d63b5fe5831268f294605cf5b344c19d42953625607646a1be194f4e6"


def test_an_entry_of_no_award_has_a_dash_and_noughts() -> None:
    row = place(draft("person/01J2Z4", 1, EVENT, "01J2Z4"), 1, "2024-07-01T09:30:00.000000Z", 0, NO_LEAF)
    assert row.header == b"lcl1 1 2024-07-01T09:30:00.000000Z - 0 " + b"0" * 64 + b"\n"
    assert (row.award, row.award_sequence) == (None, None)


def test_is_read_as_it_was_said() -> None:
    entry = decode(ROW, POTS)
    assert (entry.position, entry.stream, entry.version, entry.type) == (7, "award/INDIGO-POJ-0175/pot/2021-Q3", 1, "pot.opened")
    assert (entry.award, entry.award_sequence, entry.previous.hex()) == ("INDIGO-POJ-0175", 3, "ab" * 32)
    assert (entry.person, entry.correlation, entry.causation) == (KIRKLEES.person, "c-1", "6")
    assert (entry.recorded_at, entry.event) == (datetime(2024, 7, 1, 9, 30, tzinfo=UTC), EVENT)


def test_two_entries_of_the_same_have_different_salts() -> None:
    assert draft("person/01J2Z4", 1, EVENT, "01J2Z4").state != draft("person/01J2Z4", 1, EVENT, "01J2Z4").state


def test_just_fits() -> None:
    room = MOST_BYTES - 256 - len(draft("p", 1, PotOpened(amount=Money(0), note=""), "x").state)
    draft("p", 1, PotOpened(amount=Money(0), note="x" * room), "x")
    with pytest.raises(EntryTooLong):
        draft("p", 1, PotOpened(amount=Money(0), note="x" * (room + 1)), "x")


def test_a_type_of_a_later_release_is_told_by_its_name() -> None:
    with pytest.raises(EventUnknown, match=r"pot\.opened"):
        decode(ROW, {})


@pytest.mark.parametrize("award", ["a b", "été", "x" * 65, "-", "a\nb"])
def test_an_award_that_does_not_fit_a_header_is_refused(award: str) -> None:
    with pytest.raises(ValueError, match="names no award"):
        award_named(f"award/{award}/pot")


def test_times_are_utc_with_microseconds() -> None:
    assert written(datetime.fromisoformat("2024-07-01T10:30:00.000001+01:00")) == "2024-07-01T09:30:00.000001Z"


def test_moments_before_the_year_1000_come_before_the_others() -> None:
    assert written(datetime(999, 1, 1, tzinfo=UTC)) < written(datetime(2024, 7, 1, tzinfo=UTC))
