"""Rows: how they move on with an entry, and how they are stored."""

import dataclasses
import gc
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from domain.events import BY_NAME
from ledger.entry import row_of
from ledger.ledger import Ledger
from projections import models
from projections.following import sparing_what_stays
from projections.projection import ASKED, Happened, Projection, Skimmed, Stored, by_entry, moved
from projections.views import Views, all_models
from tests import postgres
from tests.ledger.golden_files import GOLDEN
from tests.projections.conftest import Story


class TestMoved:
    def test_is_the_row_with_what_changed_and_where_that_came_from(self, story: Story, ledger: Ledger, views: Views) -> None:
        story.whole()
        views.catch_up()
        (row, *_) = views.payments.page().rows
        last = Happened(ledger.log.reads.rows(ledger.head().size - 1)[-1], ledger.registry)
        after = moved(row, last, run="R-2", approved_by=None)
        traced: dict[str, Any] = {"position": last.position, "version": last.version, "changed_at": last.recorded_at}
        assert after == dataclasses.replace(row, **traced, run="R-2", approved_by=None)
        assert (after.run, row.run) == ("R-2", None)
        with pytest.raises(dataclasses.FrozenInstanceError):
            after.run = "R-3"  # type: ignore[misc]


class TestStore:
    def test_is_what_is_loaded_again(self, story: Story, views: Views) -> None:
        story.whole().correct()
        views.catch_up()
        loaded = 0
        for model in all_models():
            if isinstance(model, Projection):
                for stored in map(tuple, views._tables.ask(f"SELECT * FROM {model.view}")):
                    row = model.load(stored)
                    assert model.store(row) == stored
                    assert stored == tuple(column.store(getattr(row, column.name)) for column in model.columns)
                    loaded += 1
        assert loaded > len(all_models())


class TestSkimmed:
    @pytest.mark.parametrize("path", sorted(GOLDEN.glob("*.entry")), ids=lambda path: path.stem)
    def test_posts_what_the_whole_entry_posts(self, path: Path) -> None:
        header, _, state = path.read_bytes().partition(b"\n")
        row = row_of(header + b"\n", state)
        skimmed, whole = Skimmed(row, BY_NAME), Happened(row, BY_NAME)
        assert type(skimmed.event) is type(whole.event)
        assert list(skimmed.sums.items()) == list(whole.sums.items())

    def test_becomes_what_the_whole_entry_becomes(self, story: Story, ledger: Ledger) -> None:
        story.whole().correct()
        for model in all_models():
            if isinstance(model, Projection):
                rows = {each: dict[str, Any]() for each in (Skimmed, Happened)}
                for entry in ledger.log.reads.rows():
                    for kind, becoming in rows.items():
                        if entry.type in model.folds:
                            becoming[entry.stream] = model.become(becoming.get(entry.stream), kind(entry, ledger.registry))
                assert rows[Skimmed] == rows[Happened]

    def test_leaves_out_of_lines_what_nobody_asks(self) -> None:
        for record, asked in ASKED.items():
            assert asked < record.model_fields.keys()


class TestByEntry:
    def test_tells_what_each_entry_added(self) -> None:
        rows: list[Stored] = [("A", 1, 1), ("A", 1, 2), ("A", 2, 1), ("B", 2, 1)]
        assert list(by_entry(rows)) == [(("A", 1, 1), ("A", 1, 2)), (("A", 2, 1),), (("B", 2, 1),)]


@pytest.fixture(scope="module")
def connected(postgres_server: postgres.Server) -> Iterator[psycopg.Connection[Any]]:
    with postgres_server.connect() as connection:
        yield connection


class TestArrays:
    """Lists of values, as PostgreSQL reads them back."""

    @given(st.lists(st.none() | st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))))
    @example(
        ["", "null", "NULL", " ", "{}", ",", 'a "b"', "\\", "\\n", "\n", "\t\r\x7f\x01", '["1"]', "£ \u2003\U0001f3e0", None]
    )
    def test_are_the_same_texts(self, connected: psycopg.Connection[Any], texts: list[str | None]) -> None:
        assert connected.execute("SELECT %s::text[]", (models._array(texts),)).fetchone() == (texts,)

    def test_are_the_same_numbers(self, connected: psycopg.Connection[Any]) -> None:
        numbers = [0, 1, -1, None, 2**63 - 1, -(2**63)]
        assert connected.execute("SELECT %s::bigint[]", (models._array(numbers),)).fetchone() == (numbers,)


class TestSparingWhatStays:
    def test_ends_however_the_work_ends(self) -> None:
        with suppress(ArithmeticError), sparing_what_stays():
            assert gc.get_freeze_count() > 0
            assert not gc.isenabled()
            raise ArithmeticError
        assert gc.get_freeze_count() == 0
        assert gc.isenabled()
