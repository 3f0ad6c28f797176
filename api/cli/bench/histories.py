"""What is measured on: one award's history made through the rules, and as many like it as a measurement needs.

A million entries decided one by one would take longer than all that is measured on them. So the rules decide one award's
history, and its entries stand in the log again and again, with other awards' names: placed, chained and sealed in turns, as all
entries are.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from hashlib import sha256
from itertools import islice, pairwise
from secrets import token_bytes
from typing import Any, Final

from api.cli.demo.history import digest, packaged
from api.cli.demo.play import Calendar
from api.cli.screen import under_way
from domain import award, bank_details, claim, key, party, payment, person, run, verification
from domain.aggregate import Actor, Command, PersonId
from domain.award import AwardRegistered, award_stream
from domain.bank_details import Account
from domain.claim import Submission
from domain.payment import payment_stream
from domain.run import PaymentName
from domain.terms import Terms
from domain.verification import Verification
from ledger.entry import Draft, Row, award_named
from ledger.ledger import Ledger, Request

NAME: Final = "BENCH-0000000"
"""The award whose history the rules decide; another's name, as long, takes its place."""
QUARTERS: Final = 8
"""Claims of an award: one a quarter."""
SHORTEST: Final = 10_000
_TOGETHER: Final = 50
"""Awards that run at the same time: their quarters take turns in the log."""
_AT_ONCE: Final = 2_000
"""Entries that are written in one turn."""
_TOLD_EVERY: Final = 100_000
_ROUNDS_A_YEAR: Final = 4
_QUARTER: Final = timedelta(days=91)
STARTS: Final = date(2024, 4, 1)
_YOUNG: Final = 8
_REGISTRATION: Final[dict[str, Any]] = packaged()["open"]["registration"]
_COUNCIL, _FUND, _PROVIDER = (str(each["party"]) for each in _REGISTRATION["terms"]["parties"])
_FIRST, _SECOND, _APPROVER, _RELEASER = (
    Actor(PersonId(f"01J2Z4-{who}"), _FUND) for who in ("ADMINISTRATOR", "SECOND", "APPROVER", "RELEASER")
)
_CLAIMANT: Final = Actor(PersonId("01J2Z4-CLAIMANT"), _PROVIDER)
_VERIFIER: Final = Actor(PersonId("01J2Z4-VERIFIER"), "GB-COH-X-NEXT-VERIFIERS")
_ACCOUNT: Final = Account(sort_code="200000", account_number="55779911", account_name="Next Steps, an invented payee")


@dataclass(frozen=True, slots=True)
class History:
    """One award's entries, in the order in which they were decided: `before` any award, then quarter by quarter."""

    before: tuple[Draft, ...]
    quarters: tuple[tuple[Draft, ...], ...]

    def entries(self) -> Iterator[Draft]:
        """Entries without end: those before any award, and then those of awards."""
        yield from self.before
        yield from self.of_awards()

    def of_awards(self) -> Iterator[Draft]:
        """Entries without end of awards of which some run together, and others after them."""
        number = 0
        while True:
            names = [f"BENCH-{each:07d}" for each in range(number + 1, number + 1 + _TOGETHER)]
            for quarter in self.quarters:
                for name in names:
                    yield from _renamed(quarter, name)
            number += _TOGETHER


def _renamed(entries: Iterable[Draft], name: str) -> Iterator[Draft]:
    pattern, other = NAME.encode(), name.encode()
    for each in entries:
        stream = each.stream.replace(NAME, name)
        yield Draft(stream, each.version, each.type, each.state.replace(pattern, other), award_named(stream))


def sizes(entries: int, at_least: int = 0) -> list[int]:
    """The lengths of the logs to measure in: 10,000 entries, or as many as there are, ten times as many, up to the longest."""
    found = [min(max(SHORTEST, at_least), entries)]
    while found[-1] < entries:
        found.append(min(10 ** len(str(found[-1])), entries))
    return found


def fill(ledger: Ledger, entries: Iterator[Draft], upto: int) -> None:
    """Write entries into a log until it has so many, each batch in a turn."""
    told = size = ledger.head().size
    while size < upto:
        with ledger.log.turn() as turn:
            turn.place(islice(entries, min(upto - size, _AT_ONCE)))
        size = ledger.head().size
        if size - told >= _TOLD_EVERY:
            under_way(f"the log to measure on has {size:,} of {upto:,} entries")
            told = size


def decided(url: str) -> History:
    """A history, as the rules decide it in an empty ledger of its own."""
    calendar = Calendar(STARTS)
    with Ledger.open(url, vault_key=token_bytes(32), clock=calendar) as ledger:
        story = Story(ledger, calendar)
        story.begin()
        ends = [ledger.head().size]
        for quarter in range(QUARTERS):
            if quarter == 0:
                story.register(NAME)
            story.claim(NAME, quarter + 1, _lines(quarter))
            story.pay(NAME, quarter + 1)
            ends.append(ledger.head().size)
        rows = ledger.log.reads.rows(limit=ends[-1])
    return History(_drafts(rows[: ends[0]]), tuple(_drafts(rows[one:two]) for one, two in pairwise(ends)))


def _drafts(rows: Sequence[Row]) -> tuple[Draft, ...]:
    return tuple(Draft(row.stream, row.version, row.type, row.state, row.award) for row in rows)


def _lines(quarter: int) -> list[dict[str, Any]]:
    """A plan for each of some young people once a year; else a term in school; a home for one, and workshops."""
    first = STARTS + _QUARTER * quarter
    year, term = divmod(quarter, _ROUNDS_A_YEAR)
    young = [f"NEXT-{year}-{number:03d}" for number in range(_YOUNG)]
    evidence = [{"sha256": digest("Attendance register"), "title": "Attendance register"}]
    school: dict[str, Any] = {"outcome": "SCHOOL-TERM", "evidence": evidence} if term else {"outcome": "PLAN"}
    days = [(first + timedelta(days=10 + number)).isoformat() for number in range(_YOUNG)]
    return [
        *({**school, "participant": who, "quantity": "1", "achieved_on": day} for who, day in zip(young, days, strict=True)),
        {"outcome": "HOME-WEEK", "participant": young[0], "quantity": "24", "achieved_on": days[0]},
        {"outcome": "WORKSHOP", "quantity": "10", "achieved_on": days[1]},
    ]


class Story:
    """What the persons of awards do, each by a command of the domain, on a calendar that goes on."""

    def __init__(self, ledger: Ledger, calendar: Calendar) -> None:
        self._ledger = ledger
        self._calendar = calendar
        self._claimed: Counter[str] = Counter()

    def begin(self) -> None:
        """The first administrator, the provider, where its money goes, and who claims and verifies."""
        secret = sha256(b"nobody has this key").hexdigest()
        fund = partial(key.begin, party=_FUND, party_name="Next Fund", key="K1", secret_hash=secret)
        self._tell(_FIRST, partial(fund, person=_FIRST.person, name="First administrator (invented)"))
        self._tell(_FIRST, partial(party.register, party=_PROVIDER, name="Next Steps"))
        self._tell(_FIRST, partial(party.register, party=_VERIFIER.party, name="Next Verifiers"))
        for who, name in ((_CLAIMANT, "Claimant (invented)"), (_VERIFIER, "Verifier (invented)")):
            self._tell(_FIRST, partial(person.register, person=who.person, party=who.party, name=name))
        self._tell(_FIRST, partial(bank_details.propose, party=_PROVIDER, account=_ACCOUNT))
        self._tell(_SECOND, partial(bank_details.agree, party=_PROVIDER, account=_ACCOUNT, by=_SECOND))

    def register(self, name: str) -> None:
        """Register an award on the terms of the demo's open one, and agree it."""
        registration = AwardRegistered(reference=name, title=_REGISTRATION["title"])
        terms = Terms.model_validate(_REGISTRATION["terms"])
        self._tell(_FIRST, partial(award.register, registration=registration, terms=terms))
        self._ledger.change_now(award_stream(name), lambda registered: registered.agree(_SECOND), Request(_SECOND))

    def claim(
        self, name: str, number: int, lines: Sequence[dict[str, Any]], decided_after: timedelta = timedelta(days=14)
    ) -> None:
        """Submit a claim a while after the last of its lines, and verify it, which assesses it."""
        days = [date.fromisoformat(line["achieved_on"]) for line in lines]
        period = {"first": min(days), "last": max(days)}
        self._calendar.turn(max(days) + timedelta(days=10))
        submission = Submission.model_validate({"claim": f"C{number:05d}", "period": period, "lines": lines})
        self._tell(_CLAIMANT, partial(claim.submit, award=name, submission=submission, by=_CLAIMANT, today=self._calendar.today))
        self._calendar.turn(self._calendar.today + decided_after)
        accepted = partial(verification.verify, award=name, claim=submission.claim, by=_VERIFIER, today=self._calendar.today)
        self._tell(_VERIFIER, partial(accepted, verification=Verification(others="accepted")))

    def claim_often(self, name: str, entries: int) -> int:
        """Claim one line after the other, until there are at least so many entries more; how many there are."""
        begun = self._ledger.head().size
        while self._ledger.head().size - begun < entries:
            self._claimed[name] += 1
            number = self._claimed[name]
            line = {"outcome": "PLAN", "participant": f"NEXT-{number:06d}", "quantity": "1", "achieved_on": "2024-05-06"}
            self.claim(name, number, [line], decided_after=timedelta(0))
        return self._ledger.head().size - begun

    def pay(self, name: str, assessment: int) -> None:
        """Approve what both payers owe by an assessment, put it into a run each, release that, and let the bank settle it."""
        for payer in (_COUNCIL, _FUND):
            owed = payment_stream(name, assessment, payer)
            today = self._calendar.today
            self._tell(_APPROVER, partial(payment.approve, payment=owed, by=_APPROVER, today=today))
            reference, payments = f"{name}-{assessment}-{payer[-4:]}", [PaymentName(name, assessment)]
            self._tell(
                _FIRST, partial(run.draw_up, reference=reference, payer=payer, account="MAIN", payments=payments, today=today)
            )
            self._tell(_RELEASER, partial(run.release, reference=reference, by=_RELEASER, today=today))
            due, _ = self._ledger.load(owed)
            settled = partial(run.settle, bank_reference=f"BACS-{reference}", value_date=today, amount=due.amount, today=today)
            self._tell(_RELEASER, partial(settled, reference=reference, payments=payments))

    def _tell(self, by: Actor, command: Command) -> None:
        self._ledger.record_now(command, Request(by))
