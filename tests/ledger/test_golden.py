"""What was ever stored can be read, means the same, and would be stored the same: for ever."""

from typing import cast

import pytest

from domain.events import BY_NAME, AnyEvent
from domain.postings import _each
from projections.postings import PostingsJournal
from tests.ledger.golden_files import GOLDEN, again, files_of


@pytest.mark.parametrize("kind", sorted(BY_NAME))
def test_every_type_has_its_stored_bytes(kind: str) -> None:
    assert files_of(kind), f"add one: see {again.__module__}"


@pytest.mark.parametrize("name", sorted(path.name for path in GOLDEN.glob("*.entry")))
def test_stored_bytes_are_read_and_stored_the_same(name: str) -> None:
    entry = (GOLDEN / name).read_bytes()
    event, stored = again(entry, BY_NAME)
    assert stored == entry
    assert name.startswith(f"{event.type}.")


@pytest.mark.parametrize("kind", sorted(BY_NAME))
def test_every_event_that_moves_an_amount_is_kept_among_the_postings(kind: str) -> None:
    events = (again(path.read_bytes(), BY_NAME)[0] for path in files_of(kind))
    moves = any(amount for event in events for _, amount in _each(cast("AnyEvent", event)))  # `postings` asks only those kept
    assert moves == (kind in PostingsJournal.folds)
