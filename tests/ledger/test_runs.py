"""Hashes and heads, looked over in runs: a run only ever says that it is whole, and where it is not, its rows say why."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection

from ledger import merkle
from ledger.inspection import Fault, inspect_hashes, runs
from ledger.inspection.entries import Entries
from ledger.inspection.findings import Findings
from ledger.ledger import Ledger
from ledger.log import Log
from ledger.snapshot import snapshot
from tests.ledger.conftest import ENTRIES, Opening

Deed = Callable[[Log, Connection], None]
NOT_ITS_LEAF = "its bytes do not make its leaf: one of the two was changed"


def say(log: Log, connection: Connection, sql: str, *parameters: Any) -> Any:
    return connection.exec_driver_sql(log.statements(sql), parameters)


@contextmanager
def unprotected(log: Log) -> Iterator[Connection]:
    """A connection on which everything can be changed."""
    with log.engine.connect() as connection:
        if log.statements.sqlite:
            for (name,) in connection.exec_driver_sql("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
                connection.exec_driver_sql(f"DROP TRIGGER {name}")
        else:
            for table in ("entries", "heads"):
                connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
        yield connection


def found(log: Log) -> list[Fault]:
    return inspect_hashes(log, lambda _done, _size: None).faults


def flip_a_byte(log: Log, connection: Connection) -> None:
    (state,) = say(log, connection, "SELECT state FROM entries WHERE position = 650").one()
    changed = bytes([bytes(state)[0] ^ 1]) + bytes(state)[1:]
    say(log, connection, "UPDATE entries SET state = ? WHERE position = 650", changed)


def cut_two_leaves_elsewhere(log: Log, connection: Connection) -> None:
    """One after the other, they are what they were."""
    one, two = log.reads.leaves(299, 301)
    for position, leaf in ((300, one + two[:1]), (301, two[1:])):
        say(log, connection, "UPDATE entries SET leaf = ? WHERE position = ?", leaf, position)


def cut_two_entries_elsewhere(log: Log, connection: Connection) -> None:
    """One after the other, they are what they were."""
    one, two = log.reads.rows(299, 2)
    say(log, connection, "UPDATE entries SET state = ? WHERE position = 300", one.state + two.header[:1])
    say(log, connection, "UPDATE entries SET header = ? WHERE position = 301", two.header[1:])


def put_a_head_before_the_first_entry(log: Log, connection: Connection) -> None:
    say(log, connection, "INSERT INTO heads VALUES (0, ?, ?, '2024-07-01T09:30:00.000000Z')", b"", merkle.EMPTY_ROOT)


def put_text_in_the_place_of_bytes(log: Log, connection: Connection) -> None:
    """In PostgreSQL of all entries at once: a column has one type there."""
    if log.statements.sqlite:
        say(log, connection, "UPDATE entries SET state = CAST(state AS TEXT) WHERE position = 30")
    else:
        for column in ("header", "state"):
            say(log, connection, f"ALTER TABLE entries ALTER COLUMN {column} TYPE text USING convert_from({column}, 'UTF8')")


def leave_an_entry_empty(log: Log, connection: Connection) -> None:
    """In PostgreSQL there is then nothing at all."""
    if log.statements.sqlite:
        say(log, connection, "UPDATE entries SET state = ? WHERE position = 300", b"")
    else:
        say(log, connection, "ALTER TABLE entries ALTER COLUMN state DROP NOT NULL")
        say(log, connection, "UPDATE entries SET state = NULL WHERE position = 300")


def take_an_entry_away(log: Log, connection: Connection) -> None:
    say(log, connection, "DELETE FROM entries WHERE position = 650")


def swap_two_entries(log: Log, connection: Connection) -> None:
    for one, two in ((300, 0), (301, 300), (0, 301)):
        say(log, connection, "UPDATE entries SET position = ? WHERE position = ?", two, one)


DEEDS: dict[Deed, list[tuple[str, int, str]]] = {
    flip_a_byte: [("entry", 650, NOT_ITS_LEAF), ("head", 700, "lead to another root")],
    cut_two_leaves_elsewhere: [("entry", 300, NOT_ITS_LEAF), ("entry", 301, NOT_ITS_LEAF)],
    cut_two_entries_elsewhere: [("entry", 300, NOT_ITS_LEAF), ("entry", 301, NOT_ITS_LEAF), ("head", 350, "another root")],
    put_a_head_before_the_first_entry: [("head", 0, "there is no entry 0 for it to seal")],
    leave_an_entry_empty: [("entry", 300, NOT_ITS_LEAF)],
    take_an_entry_away: [("entry", 650, "it is missing")],
    swap_two_entries: [("head", 350, "lead to another root")],
}


class TestHashes:
    @pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__.replace("_", " "))
    def test_name_what_was_done(self, filled: Ledger, deed: Deed) -> None:
        assert found(filled.log) == []
        with unprotected(filled.log) as connection:
            deed(filled.log, connection)
        named = found(filled.log)
        for (where, position, what), fault in zip(DEEDS[deed], named, strict=False):
            assert (fault.where, fault.position) == (where, position)
            assert what in fault.what
        assert len(named) >= len(DEEDS[deed])

    def test_name_what_are_no_bytes_any_more(self, filled: Ledger) -> None:
        with unprotected(filled.log) as connection:
            put_text_in_the_place_of_bytes(filled.log, connection)
        assert Fault("entry", 30, NOT_ITS_LEAF) in found(filled.log)

    @pytest.mark.parametrize("deed", DEEDS, ids=lambda deed: deed.__name__.replace("_", " "))
    def test_name_it_as_going_from_row_to_row_does(self, filled: Ledger, deed: Deed, monkeypatch: pytest.MonkeyPatch) -> None:
        with unprotected(filled.log) as connection:
            deed(filled.log, connection)
        named = found(filled.log)
        for kind in (runs._Apart, runs._Together):
            monkeypatch.setattr(kind, "leaves", lambda _run, _size: None)
        assert found(filled.log) == named

    def test_count_what_they_looked_over(self, filled: Ledger) -> None:
        assert inspect_hashes(filled.log, lambda _done, _size: None).counts == {"entries": ENTRIES, "heads": 2}

    def test_keep_the_root_of_each_size_that_is_marked(self, filled: Ledger) -> None:
        leaves, sizes = filled.log.reads.leaves(0, ENTRIES), {1, 249, 250, 251, 350, 500, 501, ENTRIES, ENTRIES + 1}
        entries = Entries(Findings(), sizes, columns=False)
        with snapshot(filled.log) as reads:
            entries.go(reads, lambda _: None, lambda _done, _size: None)
        assert entries.roots == {0: merkle.EMPTY_ROOT} | {size: merkle.root(leaves[:size]) for size in sizes if size <= ENTRIES}


class TestRuns:
    def test_have_every_entry_and_every_head_once(self, filled: Ledger) -> None:
        with snapshot(filled.log) as reads, reads.ahead():
            gone = [(run.hashed(), heads) for run, heads in runs.Runs(reads)]
        assert [leaf for leaves, _ in gone for leaf in leaves] == filled.log.reads.leaves(0, ENTRIES)
        assert [head for _, heads in gone for head in heads] == filled.log.reads.full_heads()
        assert len(gone) > 1

    def test_come_in_one_where_each_row_would_cost(self, filled: Ledger) -> None:
        with snapshot(filled.log) as reads:
            kinds = {type(run) for run, _ in runs.Runs(reads)}
        assert kinds == {runs._Apart if filled.log.statements.sqlite else runs._Together}

    def test_of_an_empty_log_are_none(self, opening: Opening) -> None:
        with snapshot(opening().log) as reads:
            assert list(runs.Runs(reads)) == []
