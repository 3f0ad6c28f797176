"""Histories of 50 steps through the database: what is stored, and what SQL adds up of it, is what the naive book says."""

from collections.abc import Sequence
from itertools import count
from typing import Any, Final

from domain.aggregate import Actor, Command, S, Stream, fold
from domain.award import award_stream
from domain.claim import claim_stream
from domain.event import Event
from domain.payment import payment_stream
from ledger.ledger import Ledger, Request
from projections.views import Views
from tests.domain.histories import Ground, History, play, something
from tests.profiles import CI

HISTORIES: Final = 10 if CI else 1
"""On each database."""
STEPS: Final = 50


class Stored:
    """One of a ledger's awards."""

    def __init__(self, ledger: Ledger, reference: str) -> None:
        self.ledger, self.reference = ledger, reference

    def play(self, command: Command, by: Actor) -> Sequence[Event]:
        recorded = self.ledger.record_now(command, Request(by))
        return [entry.event for entry in self.ledger.entries(recorded.first - 1, upto=recorded.last)]

    def state(self, stream: Stream[S]) -> S:
        return self.ledger.load(stream)[0]


class TestAnyHistory:
    def test_is_stored_and_added_up_as_the_naive_book_says(self, ledger: Ledger, views: Views) -> None:
        numbers = count(1)

        class StoredHistory(History):
            def prepared(self) -> Ground:
                return Stored(ledger, f"INDIGO-POJ-{next(numbers):04}")

            def _every_balance_is_what_the_book_says(self) -> None:
                super()._every_balance_is_what_the_book_says()
                views.catch_up()
                assert something(views.balances.accounts(self.reference)) == something(self.book.balances())

        assert len(play(StoredHistory, HISTORIES, STEPS)) >= HISTORIES
        for number in range(1, next(numbers)):
            name = f"INDIGO-POJ-{number:04}"
            entries = ledger.entries(award=name, limit=10_000)
            award = ledger.load(award_stream(name))[0]
            streams: list[Stream[Any]] = [award_stream(name), *(claim_stream(name, each) for each in award.claims)]
            for stream in (*streams, *(payment_stream(name, *each) for each in award.payments)):
                happened = [(each.event, each.person) for each in entries if each.stream == stream.name]
                assert ledger.load(stream)[0] == fold(stream.of, happened)
        assert views.balances.trial_balance() == 0
