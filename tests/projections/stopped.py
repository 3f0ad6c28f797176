"""A ledger that stopped at a position: it holds the entries of another up to there, and its read models are rebuilt from them."""

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import date
from pathlib import Path
from typing import Any

from domain.aggregate import Stream
from domain.award import award_stream
from domain.calendar import london_day
from domain.claim import claim_stream
from domain.clawback import clawback_stream
from domain.money import Money
from domain.other_payment import other_payment_stream
from domain.payment import payment_stream
from domain.postings import postings
from domain.receivable import receivable_stream
from domain.reconsideration import reconsideration_stream
from domain.refusal import Absent
from domain.run import run_stream
from ledger import merkle
from ledger.entry import moment_of
from ledger.ledger import Ledger
from ledger.log import ENTRY, HEAD
from ledger.wire import Wire
from projections.accruals import accrual, fund_accrual
from projections.statements import fund_position, statement
from projections.views import Views
from tests.explaining import every_course, every_explanation

ALL = 100_000


class Stopped:
    """It knows nothing of what came later, and is asked as of now."""

    def __init__(self, whole: Ledger, folder: Path, vault_key: bytes) -> None:
        self.whole = whole
        self.position = 0
        self.moment = whole.now()
        self.frontier: list[bytes] = []
        url = f"sqlite:///{folder / 'stopped.sqlite3'}"
        self.ledger = Ledger.open(url, vault_key=vault_key, clock=lambda: self.moment)
        self.views = Views.open(url, self.ledger)

    def close(self) -> None:
        self.views.close()
        self.ledger.close()

    def go_on(self, position: int) -> None:
        """Stop at a later position, at the moment when its entry was recorded, and rebuild everything."""
        rows = self.whole.log.reads.rows(self.position, ALL, upto=position)
        for row in rows:
            merkle.grow(self.frontier, row.position - 1, row.leaf)
        head = position, merkle.packed(self.frontier), merkle.root_of(self.frontier), rows[-1].recorded_at
        with self.ledger.log.turn() as turn:
            wire = Wire(turn.connection)
            wire.say(turn.statements.insertions("entries", ENTRY, rows))
            wire.say(turn.statements.insertions("heads", HEAD, [head]))
        self.position, self.moment = position, moment_of(rows[-1].recorded_at)
        self.views.rebuild()

    def compare(self, views: Views, award: str, days: Iterable[date | None]) -> Counter[str]:
        """Ask both everything about an award: this as of now, the other as of where this stopped; how much there was of each."""
        found = Counter[str]()
        for day in days:
            then, now = _Answers(self.whole, views, self.position, day), _Answers(self.ledger, self.views, None, day)
            for each in (*_QUESTIONS, *((_Answers.trail,) if day is None else ())):  # A trail is of one axis.
                answer = each(now, award)
                assert each(then, award) == answer, f"{each.__name__} as of {self.position}, on {day}"
                found[each.__name__] += len(answer)
            assert dict(then.accounts(award)) == self._posted(award, day)
        steps = views.histories.replay(award, 0, self.position, ALL)
        assert steps == self.views.histories.replay(award, 0, self.position, ALL)
        return found + Counter(steps=len(steps))

    def _posted(self, award: str, day: date | None) -> dict[Any, Money]:
        """What the award's postings come to on each account by then, added up one by one."""
        found: Counter[Any] = Counter()
        for entry in self.whole.entries(0, ALL, award, self.position):
            for posting in postings(entry.event):
                if day is None or posting.effective <= day:
                    found[posting.stage, posting.outcome, posting.payer, posting.year] += posting.amount
        return {account: Money(amount) for account, amount in found.items()}


class _Answers:
    """What is asked of a ledger, now or as of a position, and of a day if one is given."""

    def __init__(self, ledger: Ledger, views: Views, as_of: int | None, day: date | None) -> None:
        self.ledger, self.views = ledger, views
        self.as_of, self.day = as_of, day
        self.axes: dict[str, Any] = {"as_of": as_of, "effective_on": day}

    def awards(self, award: str) -> list[Any]:
        return [*self.views.awards.page(limit=ALL, **self.axes).rows, self._document(award_stream(award))]

    def claims(self, award: str) -> list[Any]:
        rows = self.views.claims.page(award, limit=ALL, **self.axes).rows
        return [(row, self._document(claim_stream(award, row.claim))) for row in rows]

    def payments(self, award: str) -> list[Any]:
        rows = self.views.payments.page(award, limit=ALL, **self.axes).rows
        return [(row, self._document(payment_stream(award, row.assessment, row.payer))) for row in rows]

    def clawbacks(self, award: str) -> list[Any]:
        rows = self.views.clawbacks.page(award, limit=ALL, **self.axes).rows
        return [(row, self._document(clawback_stream(award, row.clawback))) for row in rows]

    def receivables(self, award: str) -> list[Any]:
        rows = self.views.receivables.page(award, limit=ALL, **self.axes).rows
        return [(row, self._document(receivable_stream(award, row.assessment, row.payer, row.payee))) for row in rows]

    def reconsiderations(self, award: str) -> list[Any]:
        rows = self.views.reconsiderations.page(award, limit=ALL, **self.axes).rows
        return [(row, self._document(reconsideration_stream(award, row.reconsideration))) for row in rows]

    def other_payments(self, award: str) -> list[Any]:
        rows = self.views.other_payments.page(award, limit=ALL, **self.axes).rows
        return [(row, self._document(other_payment_stream(award, row.other_payment))) for row in rows]

    def runs(self, _award: str) -> list[Any]:
        rows = self.views.runs.page(limit=ALL, **self.axes).rows
        return [(row, self._document(run_stream(row.run))) for row in rows]

    def balances(self, award: str) -> list[Any]:
        return self._unless_absent(lambda: [self.views.balances.of(award, **self.axes)])

    def accounts(self, award: str) -> list[Any]:
        return sorted(self.views.balances.accounts(award, **self.axes).items(), key=repr)

    def statements(self, award: str) -> list[Any]:
        def told() -> list[Any]:
            known = self.views.balances.known(award, **self.axes)
            months = self.views.balances.monthly([award], **self.axes)
            fund = fund_accrual([known], known.position, known.day), fund_position([known], known.position, known.day)
            return [accrual(known), statement(known.name, months, known.position, known.day), *fund]

        return self._unless_absent(told)

    def differences(self, award: str) -> list[Any]:
        """From when half of what happened under the award was recorded, as figures and as causes."""
        upto = self.as_of or self.ledger.head().size
        happened = self.ledger.log.reads.rows(0, ALL, award=award, upto=upto)
        since = happened[len(happened) // 2].position if happened else 0
        told = self.views.histories

        def asked() -> list[Any]:
            causes, _ = told.causes(award, since, upto, ALL, self.day)
            return [*told.changes(award, since, upto, self.day), *causes]

        return self._unless_absent(asked)

    def explanations(self, award: str) -> list[Any]:
        upto = self.as_of or self.ledger.head().size

        def state(stream: Stream[Any]) -> Any:
            return self.ledger.load(stream, upto, self.day)[0]

        return self._unless_absent(lambda: [*every_explanation(state, award), *every_course(state, award)])

    def trail(self, award: str) -> list[Any]:
        return self.views.trail.page(award, 0, ALL, self.as_of)

    def _document(self, stream: Stream[Any]) -> list[Any]:
        return self._unless_absent(lambda: [self.ledger.load(stream, **self.axes)])

    @staticmethod
    def _unless_absent(ask: Callable[[], list[Any]]) -> list[Any]:
        try:
            return ask()
        except Absent as refusal:
            return [refusal.slug()]


_QUESTIONS = (
    _Answers.awards,
    _Answers.claims,
    _Answers.payments,
    _Answers.clawbacks,
    _Answers.receivables,
    _Answers.reconsiderations,
    _Answers.other_payments,
    _Answers.runs,
    _Answers.balances,
    _Answers.accounts,
    _Answers.statements,
    _Answers.differences,
    _Answers.explanations,
)


def recorded_on(ledger: Ledger, position: int) -> date:
    """The London day on which an entry was recorded."""
    (row,) = ledger.log.reads.rows(position - 1, 1)
    return london_day(moment_of(row.recorded_at))
