"""What was ever stored can be read, means the same, and would be stored the same: for ever."""

import pytest

from domain.events import BY_NAME
from domain.postings import postings
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
    moves = any(postings(again(path.read_bytes(), BY_NAME)[0]) for path in files_of(kind))
    assert moves == (kind in PostingsJournal.folds)
