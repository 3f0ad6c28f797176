"""M11 and the rest over whole histories: any claims, decisions, certificates, payments, runs and returns, in any order.

Each history is played on the rules and told to the naive book at the same time. After every event the identities hold on the
postings alone; after every command the postings are what the book says.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.aggregate import Actor, Decision, PersonId, Stream, fold
from domain.award import AwardAssessed, AwardRegistered, LimitsUnderWhatStands, award_stream, register
from domain.certification import Certificate, certify
from domain.claim import ClaimLinesAssessed, ClaimLinesDecided, LinesCannotBeClaimed, ReasonCode, Submission, submit, withdraw
from domain.event import Event
from domain.events import read
from domain.money import Money
from domain.payment import PaymentFellDue, ReturnReason, approve, payment_stream
from domain.postings import postings
from domain.refusal import Refused
from domain.run import EveryPaymentIsStopped, PaymentName, RunStage, cancel, draw_up, give_back, release, run_stream, settle
from domain.terms import Terms
from domain.verification import LineDecision, ParticipantLimitsBroken, Verification, verify
from tests.domain import naive
from tests.domain.accounts import agree_details
from tests.domain.given import MemoryFacts
from tests.domain.strategies import COUNCILS, PRIME, VERIFIERS, Json, agreements, claimed_lines, units

REFERENCE = "INDIGO-POJ-0175"
START = date(2021, 5, 10)
MOST_BYTES: Final = 60 * 1024
MONEY = ("due", "held", "approved", "in-run", "sent", "paid", "returned")

AMINA, BEN, CERYS = (Actor(PersonId(name), COUNCILS[0]) for name in ("amina", "ben", "cerys"))
CLAIRE, VIKRAM = Actor(PersonId("claire"), PRIME), Actor(PersonId("vikram"), VERIFIERS)

tenths = st.tuples(st.integers(0, 10), st.integers(0, 10))
"""How many tenths of what is open are accepted, and how many of the rest are rejected."""

claims = st.tuples(st.just("claim"), claimed_lines)
verifications = st.tuples(st.just("verify"), st.integers(0, 3), st.lists(tenths, min_size=4, max_size=4))
certificates = st.tuples(st.just("certify"), st.integers(0, 3), st.integers(0, 2).map(bool))
payments = st.tuples(st.just("pay"), st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=8))
withdrawals = st.tuples(st.just("withdraw"), st.integers(0, 3))
versions_agreed = st.tuples(st.just("agree"), st.integers(1, 20))

steps = st.tuples(
    claims,
    verifications,
    certificates,
    st.lists(
        st.one_of(claims, verifications, verifications, certificates, payments, payments, withdrawals, versions_agreed),
        min_size=3,
        max_size=8,
    ),
).map(lambda made: [*made[:3], *made[3]])
"""Most histories begin with a claim of which something is assessed; what follows is anything."""


class Journal:
    """What the postings of the events come to; it holds the identities after each of them."""

    def __init__(self) -> None:
        self.sums: Counter[naive.Account] = Counter()
        self.accepted: Counter[str] = Counter()
        self.allotted: Counter[str] = Counter()
        self.fell_due: Counter[str] = Counter()
        self.assessed = 0
        self.counted = 0

    def take(self, event: Event) -> None:
        stored = event.model_dump_json()
        again = read(json.loads(stored))
        assert again == event
        assert len(stored.encode()) < MOST_BYTES
        made = postings(event)
        assert made == postings(again), "postings follow from the event alone"
        assert sum(posting.amount for posting in made) == 0
        for posting in made:
            account = posting.stage, posting.outcome, posting.payer, posting.year
            self.sums[account] += posting.amount
            assert self.sums[account] >= 0 or posting.stage in {"claimed", "apportioned"}
        self._count(event)
        self._hold()

    def _count(self, event: Event) -> None:
        match event:
            case ClaimLinesDecided(lines=decided):
                for each in decided:
                    self.accepted[each.outcome] += each.accepted_value
            case ClaimLinesAssessed(lines=lines):
                self.assessed += sum(line.assessed for line in lines)
                for line in lines:
                    self.allotted.update({each.payer: int(each.allotted) for each in line.allotments})
            case AwardAssessed():
                self.counted += event.assessed
            case PaymentFellDue():
                self.fell_due[event.payer] += event.amount
            case _:
                pass

    def of(self, *stages: str, outcome: str | None = None, payer: str | None = None) -> int:
        return sum(
            amount
            for (stage, its_outcome, its_payer, _), amount in self.sums.items()
            if stage.split(".")[0] in stages and outcome in {None, its_outcome} and payer in {None, its_payer}
        )

    def _hold(self) -> None:
        assert sum(self.sums.values()) == 0
        for outcome in {outcome for _, outcome, _, _ in self.sums if outcome}:
            accepted = self.of("awaiting", "declined", "assessed", "curtailed", outcome=outcome)
            assert accepted == self.accepted[outcome]
            assert -self.of("claimed", outcome=outcome) == accepted + self.of(
                "rejected", "deferred", "undecided", outcome=outcome
            )
        for payer, amount in self.allotted.items():
            assert amount == self.of(*MONEY, payer=payer)
        assert self.of("assessed") == self.assessed == sum(self.allotted.values()) + self.of("unfunded")


class Story:
    """A history as it is played, on the rules and in the book at once."""

    def __init__(self, versions: list[Json]) -> None:
        self.facts, self.journal = MemoryFacts(), Journal()
        self.today, self.further, self.runs = START, versions[1:], 0
        self.in_run: dict[tuple[int, str], str] = {}
        self.reported: set[tuple[int, str]] = set()
        self.book = naive.Book(versions[:1])
        registration = AwardRegistered(reference=REFERENCE, title="Kirklees Better Outcomes Partnership")
        self.record(register(self.facts, registration, Terms.model_validate(versions[0])), AMINA)
        stream = award_stream(REFERENCE)
        self.record({stream: (self.facts[stream].agree(BEN),)}, BEN)
        self.details = agree_details(self.facts, PRIME)

    @property
    def now(self) -> str:
        return self.today.isoformat()

    def record(self, decision: Decision, by: Actor) -> None:
        self.facts.record(decision, by.person)
        for events in decision.values():
            for event in events:
                self.journal.take(event)

    def balances(self) -> None:
        """The postings are what the book says, and the award and its payments stand as the journal counted."""
        assert {account: int(amount) for account, amount in self.journal.sums.items() if amount} == self.book.balances()
        assert self.journal.counted == self.journal.assessed
        assert +self.journal.fell_due == +self.journal.allotted
        standing = self.facts[award_stream(REFERENCE)].standing
        assert standing.assessed == self.journal.assessed
        assert {payer: int(amount) for payer, amount in standing.allotted.items() if amount} == dict(+self.journal.allotted)

    def claim(self, chance: list[tuple[str, str | None, int, int]]) -> None:
        name = f"claim-{len(self.book.claims) + 1}"
        lines = [
            naive.Line(code, participant, (self.today - timedelta(days=back)).isoformat(), Fraction(quantity, 10_000))
            for code, participant, quantity, back in chance
        ]
        asked = [
            {"outcome": code, "participant": participant, "quantity": units(quantity), "achieved_on": line.day}
            for (code, participant, quantity, _), line in zip(chance, lines, strict=True)
        ]
        period = {"first": "2021-03-01", "last": self.now}
        submission = Submission.model_validate({"claim": name, "period": period, "lines": asked})
        refused = self.book.unclaimable(lines, self.now)
        again = [each for number, each in enumerate(chance, 1) if number not in refused]
        try:
            decision = submit(self.facts, REFERENCE, submission, by=CLAIRE, today=self.today)
        except LinesCannotBeClaimed as refusal:
            _expect_lines(refusal, refused)
            if again:
                self.claim(again)
            return
        assert not refused
        self.record(decision, CLAIRE)
        self.book.claims[name] = naive.Claim(lines, self.now)

    def _claim(self, which: int, *states: str) -> str | None:
        fit = [name for name, claim in self.book.claims.items() if claim.state in states]
        return fit[which % len(fit)] if fit else None

    def verify(self, which: int, chance: list[tuple[int, int]]) -> None:
        name = self._claim(which, "undecided", "verified")
        if not name:
            return
        claim = self.book.claims[name]
        decisions: dict[int, tuple[Fraction, Fraction]] = {}
        asked = []
        for number, (line, (tenths_accepted, tenths_rejected)) in enumerate(zip(claim.lines, chance, strict=False), 1):
            is_open = int(line.open * 10_000)
            accepted = is_open * tenths_accepted // 10
            rejected = (is_open - accepted) * tenths_rejected // 10
            if is_open:
                decisions[number] = Fraction(accepted, 10_000), Fraction(rejected, 10_000)
                fields = {"accepted": accepted, "rejected": rejected, "deferred": is_open - accepted - rejected}
                reason = ReasonCode.NOT_EVIDENCED if rejected else None
                told = {stage: units(quantity) for stage, quantity in fields.items()}
                asked.append(LineDecision.model_validate({"line": number, **told, "reason": reason}))
        if not asked:
            return
        refused = self.book.broken(claim, {number: accepted for number, (accepted, _) in decisions.items()}, self.now)
        try:
            decision = verify(self.facts, REFERENCE, name, Verification(lines=tuple(asked)), by=VIKRAM, today=self.today)
        except ParticipantLimitsBroken as refusal:
            _expect_lines(refusal, refused)
            self.verify(which, [(0, part) if n in refused else (yes, part) for n, (yes, part) in enumerate(chance, 1)])
            return
        assert not refused
        self.record(decision, VIKRAM)
        self.book.verify(name, decisions, self.now)

    def certify(self, which: int, good: bool) -> None:  # noqa: FBT001 (as chance has it)
        waiting = [name for name, claim in self.book.claims.items() if any(line.awaiting for line in claim.lines)]
        if not waiting:
            return
        name = waiting[which % len(waiting)]
        certificate = Certificate(decision="certified") if good else Certificate(decision="declined", reason=ReasonCode.DUPLICATE)
        self.record(certify(self.facts, REFERENCE, name, certificate, by=CERYS, today=self.today), CERYS)
        if good:
            self.book.conclude(name, self.now)
        else:
            self.book.decline(name)

    def withdraw(self, which: int) -> None:
        if name := self._claim(which, "undecided"):
            self.record(withdraw(self.facts, REFERENCE, name, "Claimed twice", by=CLAIRE), CLAIRE)
            self.book.claims[name].state = "withdrawn"

    def agree(self, ahead: int) -> None:
        """The next version, in effect some days ahead; refused if it lies under what stands (M9)."""
        if not self.further:
            return
        version = {**self.further.pop(0), "effective_from": (self.today + timedelta(days=ahead)).isoformat()}
        stream = award_stream(REFERENCE)
        try:
            proposed = self.facts[stream].propose(Terms.model_validate(version), today=self.today)
        except LimitsUnderWhatStands:
            return
        self.record({stream: (proposed,)}, AMINA)
        self.record({stream: (self.facts[stream].agree_terms(proposed.version, BEN, today=self.today),)}, BEN)
        self.book.versions.append(version)

    # Payments: the book says at which stage one is, so what can be done is known.

    def pay(self, chance: list[tuple[int, int]]) -> None:
        for which, choice in chance:
            if not self.book.payments:
                return
            name = sorted(self.book.payments)[which % len(self.book.payments)]
            possible = self._possible(name)
            possible[choice % len(possible)](name)

    def _possible(self, name: tuple[int, str]) -> Sequence[Callable[[tuple[int, str]], None]]:
        payment = self.facts[payment_stream(REFERENCE, *name)]
        go_on = self._report if payment.pays_by_itself else self._approve
        return {
            "due": [self._confirm, self._withdraw_report] if name in self.reported else [go_on, go_on, self._hold],
            "held": [self._lift],
            "approved": [self._draw_up],
            "in-run": [self._release, self._release, self._cancel, self._move_account],
            "sent": [self._settle, self._settle, self._return],
            "paid": [self._return],
            "returned": [self._reissue],
        }[self.book.payments[name].stage]

    def _step(self, name: tuple[int, str], event: Event, stage: str, by: Actor = AMINA) -> None:
        self.record({payment_stream(REFERENCE, *name): (event,)}, by)
        self.book.payments[name].stage = stage

    def _payment(self, name: tuple[int, str]) -> Any:
        return self.facts[payment_stream(REFERENCE, *name)]

    def _approve(self, name: tuple[int, str]) -> None:
        approved = self._payment(name).approve(AMINA, today=self.today, bank_details=self.details)
        self._step(name, approved, "approved")

    def _hold(self, name: tuple[int, str]) -> None:
        self._step(name, self._payment(name).hold(self.facts.conceal("Ask the payee"), today=self.today), "held")

    def _lift(self, name: tuple[int, str]) -> None:
        self._step(name, self._payment(name).lift_hold(today=self.today), "due")

    def _report(self, name: tuple[int, str]) -> None:
        self._step(name, self._payment(name).report_paid("CHQ-1", value_date=self.today, today=self.today), "due")
        self.reported.add(name)

    def _withdraw_report(self, name: tuple[int, str]) -> None:
        self._step(name, self._payment(name).withdraw_report(), "due")
        self.reported.discard(name)

    def _confirm(self, name: tuple[int, str]) -> None:
        self._step(name, self._payment(name).confirm_report(BEN), "paid", BEN)
        self.reported.discard(name)

    def _draw_up(self, name: tuple[int, str]) -> None:
        """All that this payer's approved payments come to, in one run."""
        self.runs += 1
        run = f"RUN-{self.runs}"
        payer = name[1]
        together = [each for each, payment in self.book.payments.items() if (payment.payer, payment.stage) == (payer, "approved")]
        for each in together:
            if self._payment(each).bank_details != self.details:
                self.record(approve(self.facts, payment_stream(REFERENCE, *each), by=AMINA, today=self.today), AMINA)
        names = [PaymentName(REFERENCE, number) for number, _ in together]
        self.record(draw_up(self.facts, run, payer=payer, account="MAIN", payments=names, today=self.today), AMINA)
        for each in together:
            self.book.payments[each].stage, self.in_run[each] = "in-run", run

    def _run_moves(self, name: tuple[int, str], stage: str) -> None:
        for each, run in self.in_run.items():
            if run == self.in_run[name]:
                self.book.payments[each].stage = stage

    def _move_account(self, name: tuple[int, str]) -> None:
        """The payee moves to another bank, so nothing of the run may leave."""
        self.details = agree_details(self.facts, PRIME)
        with pytest.raises(EveryPaymentIsStopped):
            release(self.facts, self.in_run[name], CERYS, today=self.today)
        for each in sorted(set(self.in_run.values())):
            if self.facts[run_stream(each)].stage is RunStage.DRAWN_UP:
                self.record(cancel(self.facts, each, "The payee has a new account", today=self.today), AMINA)
        for payment in self.book.payments.values():
            payment.stage = "approved" if payment.stage == "in-run" else payment.stage

    def _release(self, name: tuple[int, str]) -> None:
        self.record(release(self.facts, self.in_run[name], CERYS, today=self.today), CERYS)
        self._run_moves(name, "sent")

    def _cancel(self, name: tuple[int, str]) -> None:
        self.record(cancel(self.facts, self.in_run[name], "Wrong account", today=self.today), AMINA)
        self._run_moves(name, "approved")

    def _settle(self, name: tuple[int, str]) -> None:
        amount = Money(sum(self.book.payments[name].years.values()))
        reference = f"BACS-{self.in_run[name]}-{name[0]}"
        decision = settle(
            self.facts,
            self.in_run[name],
            bank_reference=reference,
            value_date=self.today,
            amount=amount,
            payments=[PaymentName(REFERENCE, name[0])],
            today=self.today,
        )
        self.record(decision, AMINA)
        self.book.payments[name].stage = "paid"

    def _return(self, name: tuple[int, str]) -> None:
        stream = payment_stream(REFERENCE, *name)
        self.record(give_back(self.facts, stream, ReturnReason.ACCOUNT_CLOSED, on=self.today, today=self.today), AMINA)
        self.book.payments[name].stage = "returned"
        self.in_run.pop(name, None)

    def _reissue(self, name: tuple[int, str]) -> None:
        self._step(name, self._payment(name).reissue(due_on=self.today, today=self.today), "due")


def _expect_lines(refusal: Refused, lines: set[int]) -> None:
    assert {int(fault.where.split(".")[1]) for fault in refusal.faults} == lines, refusal.faults


def assert_states_are_made_of_what_is_stored(facts: MemoryFacts) -> None:
    for name, (_, state) in facts._states.items():
        stored = [(read(json.loads(event.model_dump_json())), by) for event, by in facts.streams[name]]
        assert fold(type(state), stored) == facts.get(Stream(name, type(state)))


class TestAnyHistory:
    @given(versions=agreements, history=steps)
    def test_keeps_every_identity_and_agrees_with_the_naive_book(self, versions: list[Json], history: list[Any]) -> None:
        story = Story(versions)
        for verb, *chance in history:
            getattr(story, verb)(*chance)
            story.balances()
            story.today += timedelta(days=7)
        assert_states_are_made_of_what_is_stored(story.facts)
