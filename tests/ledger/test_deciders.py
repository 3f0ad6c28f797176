"""Threads that decide: whatever cannot be started, a command is answered, or refused where it is asked."""

from collections.abc import Callable
from typing import Any

import pytest

from ledger.ledger import Ledger
from ledger.writer import Pending, Recorded
from tests.ledger.pots import open_pots
from tests.ledger.test_writer import ASKED

Answers = list[tuple[Recorded | None, BaseException | None]]


def asked(ledger: Ledger, name: str, answers: Answers) -> Pending:
    """An admitted command that opens a pot."""
    answer: Callable[..., None] = lambda recorded, failure: answers.append((recorded, failure))  # noqa: E731 (said once)
    return ledger._writer.admit(Pending(lambda facts: open_pots(facts, [name]), ASKED, dry_run=False, answer=answer))


class TestTake:
    def test_refuses_where_no_thread_can_be_started(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        deciders, answers = ledger._deciders, Answers()
        with monkeypatch.context() as patch:
            patch.setattr(deciders._threads, "submit", _refuse)
            with pytest.raises(RuntimeError, match="no new thread"):
                deciders.take(asked(ledger, "2021-Q3", answers))
        assert (ledger.under_way, answers) == (0, [])

    def test_answers_what_has_arrived_though_no_further_thread_can_be_started(
        self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        deciders, answers = ledger._deciders, Answers()
        deciders._arrived.extend(asked(ledger, name, answers) for name in ("2021-Q3", "2021-Q4"))
        with monkeypatch.context() as patch:
            patch.setattr(deciders._threads, "submit", _refuse)
            deciders._serve()
        assert [failure for _, failure in answers] == [None, None]
        assert (ledger.under_way, ledger.head().size) == (0, 2)

    def test_leaves_to_a_thread_what_it_has_taken(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        deciders, answers = ledger._deciders, Answers()

        def serve_and_refuse(serve: Callable[[], None]) -> None:
            serve()
            _refuse()

        with monkeypatch.context() as patch:
            patch.setattr(deciders._threads, "submit", serve_and_refuse)
            deciders.take(asked(ledger, "2021-Q3", answers))
        assert (ledger.under_way, ledger.head().size, len(answers)) == (0, 1, 1)


def _refuse(*_: Any) -> Any:
    raise RuntimeError("no new thread can be started")
