"""Rows: how they move on with an entry, and how they are stored."""

import dataclasses
import gc
from contextlib import suppress
from typing import Any

import pytest

from ledger.ledger import Ledger
from projections.following import sparing_what_stays
from projections.projection import Happened, Projection, moved
from projections.views import Views, all_models
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


class TestSparingWhatStays:
    def test_ends_however_the_work_ends(self) -> None:
        with suppress(ArithmeticError), sparing_what_stays():
            assert gc.get_freeze_count() > 0
            assert not gc.isenabled()
            raise ArithmeticError
        assert gc.get_freeze_count() == 0
        assert gc.isenabled()
