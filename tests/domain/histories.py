"""Any history: a state machine that plays an award's life on the rules, and tells the naive book of it at the same time.

What can happen next is a rule of `History`. After every event the postings sum to zero on either plane; after every step every
balance is what the book says, and the identities of M11 hold. What the book says would be refused is, for that reason, and moves
nothing. What the rules stand on is a `Ground`: streams in memory, or a real ledger.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from fractions import Fraction
from functools import cache, partial
from itertools import product
from typing import Any, ClassVar, Final, NamedTuple, Protocol, TypeVar

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test
from hypothesis.strategies._internal.featureflags import FeatureFlags

from domain import clawback, closing, other_payment, reconsideration, variation
from domain.aggregate import Actor, Command, Decision, Facts, PersonId, S, Stream
from domain.award import (
    AwardClosedToClaims,
    AwardIsClosedToClaims,
    AwardIsCompleted,
    AwardIsNotDone,
    AwardIsPaused,
    AwardRegistered,
    ClaimsAreOpen,
    LimitsUnderWhatStands,
    Step,
    award_stream,
    register,
)
from domain.bank_details import BankDetailsAgreed, BankDetailsProposed, bank_details_stream
from domain.certification import Certificate, PrerequisiteNoLongerStands, certify
from domain.claim import LinesCannotBeClaimed, ReasonCode, Submission, submit, withdraw
from domain.clawback import Clawing, clawback_stream
from domain.event import Event
from domain.money import Money
from domain.obligation import reissue, withdraw_report
from domain.other_payment import OtherPaying, OtherPaymentOverLimit
from domain.payment import Payment, ReturnReason, approve, hold, payment_stream
from domain.postings import postings
from domain.receivable import propose_write_off, receivable_stream, recover, write_off
from domain.reconsideration import NothingIsGained, ReconsiderationWouldTake, Reconsidering
from domain.refusal import Refused
from domain.run import EveryPaymentIsStopped, PaymentName, cancel, draw_up, give_back, release, settle
from domain.terms import Terms
from domain.variation import OutcomeWasUsed
from domain.verification import LineDecision, ParticipantLimitsBroken, Verification, verify
from tests.domain import naive
from tests.domain.accounts import ACCOUNT
from tests.domain.given import MemoryFacts, commitment
from tests.domain.strategies import (
    COUNCILS,
    FIRST,
    PARTICIPANTS,
    PRIME,
    PROVIDER,
    VERIFIERS,
    Json,
    changes,
    claimed_lines,
    pounds,
    terms,
    units,
    varied,
)

START: Final = date(2022, 2, 14)
A_WEEK: Final = timedelta(days=7)
AMPLE: Final = "9000000.00"

AMINA, BEN, CERYS, APARNA = (Actor(PersonId(name), COUNCILS[0]) for name in ("amina", "ben", "cerys", "aparna"))
CLAIRE, VIKRAM = Actor(PersonId("claire"), PRIME), Actor(PersonId("vikram"), VERIFIERS)

NOT_ACTIVE: Final[Mapping[str, type[Refused]]] = {
    "paused": AwardIsPaused,
    "closed-to-claims": AwardIsClosedToClaims,
    "completed": AwardIsCompleted,
}
PAID_BY_STAGE: Final = ("due", "held", "approved", "in-run", "sent", "paid", "returned", "netted-off")
REVERSED_BY_STAGE: Final = ("open", "netted-off", "recovered", "written-off")

which = st.integers(0, 11)
"""Picks one of however many there are."""
tenths = st.integers(0, 10)
days = st.integers(0, 340)
K = TypeVar("K")
T = TypeVar("T")
decisions = st.tuples(*[st.sampled_from([*product((10, 10, 10, 8, 5, 3, 0), (0, 0, 10, 5, 3))])] * 4)
"""How many tenths of what is open of a line are accepted, and how many of the rest are rejected, for up to four lines."""
Decided = tuple[tuple[int, int], ...]
paths = st.sampled_from([*product((0, 0, 0, 1), repeat=5)])
"""Whether a payment goes the usual way or another, five times."""
ChanceLine = tuple[str, str | None, int, int]
PaymentNumber = tuple[int, str]
"""A payment, by its assessment and payer."""


class Ground(Protocol):
    """What the rules stand on."""

    reference: str
    """The award whose history it is."""

    def play(self, command: Command, by: Actor) -> Sequence[Event]:
        """Decide a command and record what it decides; what was recorded, as it is read back. Raises the refusal."""

    def state(self, stream: Stream[S]) -> S:
        """The state of a stream; its kind's `missing` refusal if it has no events."""


class Memory:
    """Streams in memory."""

    reference = "INDIGO-POJ-0175"

    def __init__(self) -> None:
        self.facts = MemoryFacts()

    def play(self, command: Command, by: Actor) -> Sequence[Event]:
        return [event for events in self.facts.play(command, by.person).values() for event in events]

    def state(self, stream: Stream[S]) -> S:
        return self.facts[stream]


class Journal:
    """What the postings of the events come to."""

    def __init__(self) -> None:
        self.sums: Counter[naive.Account] = Counter()

    def take(self, event: Event) -> None:
        planes: Counter[tuple[str | None, str]] = Counter()
        for posting in postings(event):
            self.sums[posting.stage, posting.outcome, posting.payer, posting.year] += posting.amount
            planes[posting.outcome, posting.year] += posting.amount
        assert not any(planes.values()), f"{event.type} makes pounds, or loses some: {planes}"

    def holds(self) -> None:
        """The identities of M11, for each outcome, payer and year of which there is anything."""
        claims: Counter[tuple[str, str]] = Counter()
        payers: Counter[tuple[str, str]] = Counter()
        years: Counter[tuple[str, str]] = Counter()
        for (stage, outcome, payer, year), amount in self.sums.items():
            if outcome:
                claims[outcome, stage.split(".")[0]] += amount
            elif payer:
                payers[payer, stage] += amount
                years["reversed" if stage.startswith("receivable") else "allotted", year] += amount
            if not payer:
                years[stage, year] += amount
        for outcome in {outcome for outcome, _ in claims}:
            accepted = sum(claims[outcome, stage] for stage in ("awaiting", "declined", "assessed", "curtailed"))
            others = sum(claims[outcome, stage] for stage in ("rejected", "deferred", "undecided"))
            assert -claims[outcome, "claimed"] == accepted + others
        assert all(amount >= 0 for (_, stage), amount in claims.items() if stage != "claimed")
        for payer in {payer for payer, _ in payers}:
            assert all(payers[payer, stage] >= 0 for stage in PAID_BY_STAGE)
            assert all(payers[payer, f"receivable.{stage}"] <= 0 for stage in REVERSED_BY_STAGE)
            assert payers[payer, "netted-off"] == -payers[payer, "receivable.netted-off"]
        for year in {year for _, year in years}:
            assessed, others = years["assessed", year], -years["other-payments", year]
            assert assessed == -years["apportioned", year]
            assert assessed + others == years["allotted", year] + years["reversed", year] + years["unfunded", year]
            assert years["unfunded", year] >= 0


class Tally(NamedTuple):
    """How many steps of a history were taken, and of how many something was recorded; the rest was refused."""

    taken: int
    recorded: int


class EveryRule(FeatureFlags):
    """Says that no rule is switched off for a whole history: a third of all would soon come to a stop, without a claim."""

    def is_enabled(self, name: Any) -> bool:
        return True


class History(RuleBasedStateMachine):
    """The life of one award."""

    tallies: ClassVar[list[Tally]] = []

    def __init__(self) -> None:
        super().__init__()
        self._rules_strategy.enabled_rules_strategy = st.just(EveryRule())
        self.ground = self.prepared()
        self.reference = self.ground.reference
        self.award = award_stream(self.reference)
        self.journal, self.today = Journal(), START
        self.accounts: Counter[str] = Counter()
        """The number of each payee's bank details."""
        self.in_run: dict[PaymentNumber, str] = {}
        self.runs: dict[str, dict[str, int]] = {}
        """The numbers of the bank details with which each was drawn up."""
        self.names = 0
        self.before: Counter[str] = Counter()
        """What each payer had been allotted a step before."""
        self.events: Sequence[Event] = ()
        self.in_vain = -1
        """After how many assessments nothing was found to gain by another look at what is curtailed."""
        self.taken = self.recorded = 0
        self.moved = False

    def prepared(self) -> Ground:
        """Where this history is to be played."""
        return Memory()

    @initialize(first=terms(st.just(0)), chance=claimed_lines)
    def register(self, first: Json, chance: list[ChanceLine]) -> None:
        """Two persons agree that there is an award, and where its payees' money goes; a first claim is accepted whole."""
        self.book = naive.Book([first])
        registration = AwardRegistered(reference=self.reference, title="Kirklees Better Outcomes Partnership")
        self.play(partial(register, registration=registration, terms=Terms.model_validate(first)), AMINA)
        self.play(of(self.award, lambda award: award.agree(BEN)), BEN)
        for payee in (PRIME, PROVIDER):
            self._move(payee)
        self.claim(chance, ((10, 0),) * 4)

    # What may happen: every rule is a step, a week after the one before.

    @rule(chance=claimed_lines, decided=st.none() | decisions | decisions)
    def claim(self, chance: list[ChanceLine], decided: Decided | None) -> None:
        """If the award takes none, two persons first let it go on. The claim is decided at once, or left."""
        name = f"claim-{len(self.book.claims) + 1}"
        lines = [
            naive.Line(code, participant, self._ago(back), Fraction(quantity, 10_000))
            for code, participant, quantity, back in chance
        ]
        if self.book.state != "active":
            self.play(self._submission(name, lines), CLAIRE, NOT_ACTIVE[self.book.state])
            self._take(Step.RESUME if self.book.state == "paused" else Step.REOPEN, "active")
        wrong = self.book.unclaimable(lines, self.now)
        if wrong:
            assert numbers(self.play(self._submission(name, lines), CLAIRE, LinesCannotBeClaimed)) == wrong
            for line in (lines[number - 1] for number in wrong):
                line.outcome, line.participant = "HOME", line.participant or PARTICIPANTS[0]
        self.play(self._submission(name, lines), CLAIRE)
        self.book.claim(name, lines, self.now)
        if decided:
            self._verify(name, decided)

    def _submission(self, name: str, lines: list[naive.Line]) -> Command:
        asked = [
            {"outcome": each.outcome, "participant": each.participant, "quantity": told(each.claimed), "achieved_on": each.day}
            for each in lines
        ]
        period = {"first": FIRST.isoformat(), "last": self.now}
        submission = Submission.model_validate({"claim": name, "period": period, "lines": asked})
        return partial(submit, award=self.reference, submission=submission, by=CLAIRE, today=self.today)

    @precondition(lambda self: self.open_claims())
    @rule(which=which, decided=decisions)
    def verify(self, which: int, decided: Decided) -> None:
        """How many tenths of what is open of each line are accepted, and how many of the rest are rejected."""
        self._verify(pick(self.open_claims(), which), decided)

    def _verify(self, name: str, decided: Decided) -> None:
        claim = self.book.claims[name]
        decisions = {}
        for number, (line, (accepts, rejects)) in enumerate(zip(claim.lines, decided, strict=False), 1):
            if line.open:
                accepted = tenth(line.open, accepts)
                decisions[number] = accepted, tenth(line.open - accepted, rejects)
        while wrong := self.book.broken(claim, {number: accepted for number, (accepted, _) in decisions.items()}, self.now):
            refusal = self.play(self._verification(name, decisions), VIKRAM, ParticipantLimitsBroken)
            assert numbers(refusal) == wrong
            decisions.update({number: (Fraction(0), decisions[number][1]) for number in wrong})
        self.play(self._verification(name, decisions), VIKRAM)
        self.book.verify(name, decisions, self.now)

    def _verification(self, name: str, decisions: dict[int, tuple[Fraction, Fraction]]) -> Command:
        asked = []
        for number, (accepted, rejected) in decisions.items():
            deferred = self.book.claims[name].lines[number - 1].open - accepted - rejected
            fields = {"accepted": told(accepted), "rejected": told(rejected), "deferred": told(deferred)}
            reason = ReasonCode.NOT_EVIDENCED if rejected else None
            asked.append(LineDecision.model_validate({"line": number, **fields, "reason": reason}))
        verification = Verification(lines=tuple(asked))
        return partial(verify, award=self.reference, claim=name, verification=verification, by=VIKRAM, today=self.today)

    @precondition(lambda self: self.waiting_claims())
    @rule(which=which, good=st.sampled_from([True, True, False]))
    def certify(self, which: int, good: bool) -> None:  # noqa: FBT001 (as chance has it)
        name = pick(self.waiting_claims(), which)
        certificate = Certificate(decision="certified") if good else Certificate(decision="declined", reason=ReasonCode.DUPLICATE)
        command = partial(certify, award=self.reference, claim=name, certificate=certificate, by=CERYS, today=self.today)
        refused = PrerequisiteNoLongerStands if good and self.book.goes_too(name, self.now) else None
        if self.play(command, CERYS, refused):
            return
        if good:
            self.book.conclude(name, self.now)
        else:
            self.book.decline(name)

    @precondition(lambda self: self.undecided_claims())
    @rule(which=which)
    def withdraw(self, which: int) -> None:
        name = pick(self.undecided_claims(), which)
        self.play(partial(withdraw, award=self.reference, claim=name, reason="Claimed twice", by=CLAIRE), CLAIRE)
        self.book.claims[name].state = "withdrawn"

    @precondition(lambda self: self.standing_lines() and self.book.state != "completed")
    @rule(chance=st.lists(st.tuples(which, tenths), min_size=1, max_size=3))
    def claw_back(self, chance: list[tuple[int, int]]) -> None:
        standing = self.standing_lines()
        lines = {
            name: max(tenth(self.book.line(name).stands, parts), Fraction(1, 10_000))
            for name, parts in ((pick(standing, number), parts) for number, parts in chance)
        }
        named = [{"claim": claim, "line": number, "quantity": told(quantity)} for (claim, number), quantity in lines.items()]
        reference = self._name("CB")
        clawing = Clawing.model_validate({"clawback": reference, "lines": named, "reason": "duplicate"})
        self.play(partial(clawback.raise_clawback, award=self.reference, clawing=clawing), AMINA)
        self.play(partial(clawback.agree, award=self.reference, clawback=reference, by=BEN, today=self.today), BEN)
        expected = self.book.clawback(list(lines.items()), self.now)
        agreed = self.ground.state(clawback_stream(self.reference, reference)).agreed
        assert agreed
        assert {(each.claim, each.line) for each in agreed.dependants} == {(c.upper(), n) for c, n in expected}

    @precondition(lambda self: self.may_vary())
    @rule(changed=changes, offset=st.integers(1, 20) | days.map(lambda back: -back))
    def vary(self, changed: Json, offset: int) -> None:
        """A further version, in force some days ahead or, back-dated, some days ago (M9)."""
        version = varied(self.book.terms(self.now), changed, self._ago(-offset))
        if under := self.book.under_what_stands(version):
            assert where(self.propose(version, LimitsUnderWhatStands)) == under
            version = without(version, under)
        self.propose(version)
        if under := self.book.under_what_participants_have(version):
            assert where(self.agree(LimitsUnderWhatStands)) == under
            version = without(version, under)
            self.propose(version)
        if dropped := self.book.dropped(version, self.now):
            assert where(self.agree(OutcomeWasUsed)) == dropped
            version = {**version, "effective_from": (self.today + A_WEEK).isoformat()}
            if under := self.book.under_what_stands(version) | self.book.under_what_participants_have(version):
                version = without(version, under)
            self.propose(version)
        self.agree()
        self.book.agree(version, self.now)

    @precondition(lambda self: self.may_vary())
    @rule(ahead=st.integers(1, 20), keeps=tenths)
    def decommit(self, ahead: int, keeps: int) -> None:
        """What is committed is lowered on purpose, under what stands or not, and nothing is taken back (M9)."""
        effective = (self.today + timedelta(days=ahead)).isoformat()
        version = lowered({**self.book.terms(effective), "effective_from": effective}, keeps)
        self.propose(version, decommitment=True)
        self.agree()
        self.book.agree(version, self.now)

    def propose(self, version: Json, refused: type[Refused] | None = None, *, decommitment: bool = False) -> Refused | None:
        read = Terms.model_validate(version)
        proposal = of(
            self.award,
            lambda award: award.propose(read, reason=commitment("Reviewed"), today=self.today, decommitment=decommitment),
        )
        return self.play(proposal, AMINA, refused)

    def agree(self, refused: type[Refused] | None = None) -> Refused | None:
        number = len(self.ground.state(self.award).versions)
        return self.play(partial(variation.agree, award=self.reference, number=number, by=BEN, today=self.today), BEN, refused)

    @precondition(lambda self: self.book.state == "active" and self.curtailed_lines() and self.in_vain != self.book.assessments)
    @rule(chance=st.lists(which, min_size=1, max_size=3))
    def reconsider(self, chance: list[int]) -> None:
        names = list(dict.fromkeys(pick(self.curtailed_lines(), number) for number in chance))
        would_be = self.book.reconsidered(names, self.now)
        gains = [would_be.line(name).assessed - self.book.line(name).assessed for name in names]
        refused = ReconsiderationWouldTake if min(gains) < 0 else None if sum(gains) else NothingIsGained
        reference = self._name("RC")
        lines = [{"claim": claim, "line": number} for claim, number in names]
        asked = Reconsidering.model_validate({"reconsideration": reference, "lines": lines, "reason": "There is room again."})
        self.play(partial(reconsideration.propose, award=self.reference, reconsidering=asked), AMINA)
        agree = partial(reconsideration.agree, award=self.reference, reconsideration=reference, by=BEN, today=self.today)
        if self.play(agree, BEN, refused):
            self.in_vain = self.book.assessments
            self.book.reconsiderations.add(reference)
        else:
            self.book = would_be

    @precondition(lambda self: self.book.reconsiderations)
    @rule(which=which)
    def turn_down(self, which: int) -> None:
        """A reconsideration that gained nothing waits until somebody turns it down."""
        name = pick(sorted(self.book.reconsiderations), which)
        turn_down = partial(reconsideration.withdraw, award=self.reference, reconsideration=name, reason="There is no room.")
        self.play(turn_down, BEN)
        self.book.reconsiderations.remove(name)

    @precondition(lambda self: self.book.state == "active" and self.book.room(self.now, self.now))
    @rule(amount=st.sampled_from([1, 10_000, 33_333, 250_000]) | st.integers(1, 400_000), back=days)
    def pay_otherwise(self, amount: int, back: int) -> None:
        dated = self._ago(back)
        if passed := self.book.passed(amount, dated, self.now):
            assert where(self.play(self._other_payment(amount, dated), AMINA, OtherPaymentOverLimit)) == passed
            amount = self.book.room(dated, self.now)
        if amount:
            self.play(self._other_payment(amount, dated), AMINA)
            agree = partial(other_payment.agree, award=self.reference, by=BEN, today=self.today)
            self.play(partial(agree, other_payment=f"GP-{self.reference}-{self.names}"), BEN)
            self.book.pay_otherwise(amount, dated, self.now)

    def _other_payment(self, amount: int, dated: str) -> Command:
        stated = {"payment_type": "grant", "amount": pounds(amount), "dated": dated, "reason": "The pandemic."}
        paying = OtherPaying.model_validate({"other_payment": self._name("GP"), **stated})
        return partial(other_payment.propose, award=self.reference, paying=paying, today=self.today)

    @precondition(lambda self: self.book.receivables)
    @rule(which=which, parts=tenths)
    def collect(self, which: int, parts: int) -> None:
        """Some tenths of a receivable are recovered on an invoice; where it is none, all is written off."""
        name = pick(list(self.book.receivables), which)
        receivable = receivable_stream(self.reference, *name)
        if amount := self.book.receivables[name].total() * parts // 10:
            back = partial(recover, amount=Money(amount), reference=self._name("INV"), value_date=self.today, today=self.today)
            self.play(partial(back, receivable=receivable), AMINA)
            self.book.recover(name, amount)
            return
        self.play(partial(propose_write_off, receivable=receivable, authority="S151-7", reason="The payee is insolvent."), AMINA)
        self.play(partial(write_off, receivable=receivable, by=BEN, today=self.today), BEN)
        self.book.write_off(name)

    @precondition(lambda self: self.book.state == "active" and self.book.assessments)
    @rule(closes=st.booleans())
    def stop(self, closes: bool) -> None:  # noqa: FBT001 (as chance has it)
        """The award is paused; or closed to claims, when what is deferred lapses, and what is not used goes back to the fund."""
        refused = ClaimsAreOpen if self.book.waits() else None
        if not closes or self.play(partial(closing.close, award=self.reference, today=self.today), AMINA, refused):
            self._take(Step.PAUSE, "paused")
        else:
            [closed] = [event for event in self.events if isinstance(event, AwardClosedToClaims)]
            assert closed.released == self.book.close(self.now)
            self.complete()

    @precondition(lambda self: self.book.state == "closed-to-claims" and self.book.is_done())
    @rule()
    def complete(self) -> None:
        refused = None if self.book.is_done() else AwardIsNotDone
        if not self.play(partial(closing.complete, award=self.reference, today=self.today), AMINA, refused):
            self.book.state = "completed"

    def _take(self, step: Step, leads_to: str) -> None:
        self.play(partial(closing.propose_step, award=self.reference, step=step, reason="The council asked for it."), AMINA)
        self.play(of(self.award, lambda award: award.agree_step(BEN, today=self.today)), BEN)
        self.book.state = leads_to

    @precondition(lambda self: self.open_payments())
    @rule(which=which, path=paths)
    def pay(self, which: int, path: tuple[int, ...]) -> None:
        """One of the payments goes some steps further, or back."""
        name = pick(self.open_payments(), which)
        for choice in path:
            stage = self._at(name).stage, self._at(name).reported
            pick(self._possible(name), choice)(name)
            if stage == (self._at(name).stage, self._at(name).reported):
                break

    @precondition(lambda self: self.payers_who_owe() and self.book.state != "paused")
    @rule(which=which)
    def pay_all(self, which: int) -> None:
        """All that a payer owes is approved, drawn up, released and settled; or paid by itself, and confirmed."""
        payer = pick(self.payers_who_owe(), which)
        for stage, step in (("due", self._onward), ("approved", self._draw_up), ("in-run", self._release), ("due", self._onward)):
            for name in [name for name in self.book.payments if name[1] == payer]:
                if self._at(name).stage == stage:
                    step(name)
        self._settle_together(payer)

    @rule(payee=st.sampled_from([PRIME, PRIME, PROVIDER]))
    @precondition(lambda self: self.in_run)
    def move_account(self, payee: str) -> None:
        """A payee moves to another bank, so nothing may leave for the account that it had."""
        self._move(payee)

    # What there is to choose from.

    def may_vary(self) -> bool:
        """While the award is not closed; a version for every two assessments is enough."""
        return self.book.state in {"active", "paused"} and len(self.book.versions) <= self.book.assessments / 2

    def open_payments(self) -> list[PaymentNumber]:
        """Those that have not come to an end, the last first."""
        return [name for name in reversed(self.book.payments) if self._at(name).stage not in {"paid", "netted-off"}]

    def payers_who_owe(self) -> list[str]:
        return list(
            dict.fromkeys(name[1] for name, payment in self.book.payments.items() if payment.stage in {"due", "approved"})
        )

    def undecided_claims(self) -> list[str]:
        return [name for name, claim in self.book.claims.items() if claim.state == "undecided"]

    def open_claims(self) -> list[str]:
        there = {name: claim for name, claim in self.book.claims.items() if claim.state != "withdrawn"}
        return [n for n, claim in there.items() if claim.state == "undecided" or any(line.deferred for line in claim.lines)]

    def waiting_claims(self) -> list[str]:
        return [name for name, claim in self.book.claims.items() if any(line.awaiting for line in claim.lines)]

    def standing_lines(self) -> list[naive.LineName]:
        return [name for name, line in self.book.lines() if line.stands]

    def curtailed_lines(self) -> list[naive.LineName]:
        return [name for name, line in self.book.lines() if line.cut.total()]

    # How a step is taken.

    @property
    def now(self) -> str:
        return self.today.isoformat()

    def _ago(self, days: int) -> str:
        return max(self.today - timedelta(days=days), FIRST).isoformat()

    def play(self, command: Command, by: Actor, refused: type[Refused] | None = None) -> Refused | None:
        """Ask for a command, which is recorded or, if it is to be, refused for exactly that reason."""
        try:
            events = self.ground.play(command, by)
        except Refused as refusal:
            if refused is None or type(refusal) is not refused:
                raise
            return refusal
        assert refused is None, f"not refused as {refused}"
        for event in events:
            self.journal.take(event)
        self.events = events
        self.moved = True
        return None

    def _name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}-{self.reference}-{self.names}"

    # Payments: the book says at which stage one is, so what can be done is known.

    def _onward(self, name: PaymentNumber) -> None:
        self._possible(name)[0](name)

    def _possible(self, name: PaymentNumber) -> Sequence[Callable[[PaymentNumber], None]]:
        payment = self.book.payments[name]
        go_on = self._report if self._payment(name).pays_by_itself else self._approve
        return {
            "due": [self._confirm, self._withdraw_report] if payment.reported else [go_on, self._hold],
            "held": [self._lift],
            "approved": [self._draw_up],
            "in-run": [self._release, self._cancel],
            "sent": [self._settle, self._return],
            "paid": [self._look, self._return],
            "returned": [self._reissue],
            "netted-off": [self._look],
        }[payment.stage]

    def _payment(self, name: PaymentNumber) -> Payment:
        return self.ground.state(payment_stream(self.reference, *name))

    def _look(self, name: PaymentNumber) -> None:
        """Nothing is to be done with it."""
        assert (self._payment(name).stage, self._payment(name).payee) == (self._at(name).stage, self._at(name).payee)

    def _at(self, name: PaymentNumber) -> naive.Payment:
        return self.book.payments[name]

    def _step(self, name: PaymentNumber, stage: str, by: Actor, step: Callable[[Payment], Event]) -> None:
        self.play(of(payment_stream(self.reference, *name), step), by)
        self._at(name).stage = stage

    def _approve(self, name: PaymentNumber) -> None:
        refused = AwardIsPaused if self.book.state == "paused" else None
        command = partial(approve, payment=payment_stream(self.reference, *name), by=APARNA, today=self.today)
        if not self.play(command, APARNA, refused):
            self._at(name).stage = "approved"

    def _hold(self, name: PaymentNumber) -> None:
        stream = payment_stream(self.reference, *name)
        self.play(partial(hold, payment=stream, reason="Ask the payee.", today=self.today), AMINA)
        self._at(name).stage = "held"

    def _lift(self, name: PaymentNumber) -> None:
        self._step(name, "due", AMINA, lambda held: held.lift_hold(today=self.today))

    def _report(self, name: PaymentNumber) -> None:
        self._step(name, "due", AMINA, lambda due: due.report_paid("CHQ-1", value_date=self.today, today=self.today))
        self._at(name).reported = True

    def _withdraw_report(self, name: PaymentNumber) -> None:
        self.play(partial(withdraw_report, payment=payment_stream(self.reference, *name), today=self.today), AMINA)
        self.book.unsent_again(name, "due")

    def _confirm(self, name: PaymentNumber) -> None:
        self._step(name, "paid", BEN, lambda due: due.confirm_report(BEN))
        self._at(name).reported = False

    def _draw_up(self, name: PaymentNumber) -> None:
        """All that this payer's approved payments come to, in one run; those approved for an account of before, approved anew."""
        run, payer = self._name("RUN"), name[1]
        together = [each for each, payment in self.book.payments.items() if (each[1], payment.stage) == (payer, "approved")]
        for each in together:
            if self._payment(each).bank_details != self.accounts[self._at(each).payee]:
                if self.book.state == "paused":
                    return
                self._approve(each)
        names = [PaymentName(self.reference, number) for number, _ in together]
        draws = partial(draw_up, reference=run, payer=payer, account="MAIN", payments=names, today=self.today)
        self.play(draws, APARNA)
        self.runs[run] = dict(self.accounts)
        for each in together:
            self._at(each).stage, self.in_run[each] = "in-run", run

    def _release(self, name: PaymentNumber) -> None:
        """What goes to an account of before is stopped; if that is all, the run is cancelled."""
        run = self.in_run[name]
        within = [each for each, its_run in self.in_run.items() if its_run == run]
        stays = [each for each in within if self.runs[run][self._at(each).payee] != self.accounts[self._at(each).payee]]
        refused = EveryPaymentIsStopped if len(stays) == len(within) else None
        if self.play(partial(release, reference=run, by=CERYS, today=self.today), CERYS, refused):
            self._cancel(name)
            return
        for each in sorted(within):
            if each in stays:
                self.book.unsent_again(each, "due")
                del self.in_run[each]
            else:
                self._at(each).stage = "sent"

    def _cancel(self, name: PaymentNumber) -> None:
        run = self.in_run[name]
        self.play(partial(cancel, reference=run, reason="The wrong account.", today=self.today), AMINA)
        for each in sorted(each for each, its_run in self.in_run.items() if its_run == run):
            self.book.unsent_again(each, "approved")
            del self.in_run[each]

    def _settle(self, name: PaymentNumber) -> None:
        self._settle_at_once([name])

    def _settle_together(self, payer: str) -> None:
        """What each run sent to each payee in one movement."""
        sent = [name for name in self.in_run if name[1] == payer and self._at(name).stage == "sent"]
        for run, payee in dict.fromkeys((self.in_run[name], self._at(name).payee) for name in sent):
            self._settle_at_once([name for name in sent if name in self.in_run and self._goes(name) == (run, payee)])

    def _goes(self, name: PaymentNumber) -> tuple[str, str]:
        return self.in_run[name], self._at(name).payee

    def _settle_at_once(self, names: list[PaymentNumber]) -> None:
        settles = partial(
            settle,
            reference=self.in_run[names[0]],
            bank_reference=self._name("BACS"),
            value_date=self.today,
            amount=Money(sum(self._at(name).years.total() for name in names)),
            payments=[PaymentName(self.reference, number) for number, _ in names],
            today=self.today,
        )
        self.play(settles, AMINA)
        for name in names:
            self._at(name).stage = "paid"
            del self.in_run[name]

    def _return(self, name: PaymentNumber) -> None:
        stream, why = payment_stream(self.reference, *name), ReturnReason.ACCOUNT_CLOSED
        self.play(partial(give_back, payment=stream, reason=why, on=self.today, today=self.today), AMINA)
        self._at(name).stage = "returned"
        self.in_run.pop(name, None)

    def _reissue(self, name: PaymentNumber) -> None:
        self.play(partial(reissue, payment=payment_stream(self.reference, *name), due_on=self.today, today=self.today), AMINA)
        self.book.unsent_again(name, "due")

    def _move(self, payee: str) -> None:
        stream = bank_details_stream(payee)

        def propose(facts: Facts) -> Decision:
            known = facts.get(stream)
            self.accounts[payee] = known.last + 1 if known else 1
            details = facts.conceal(ACCOUNT.written)
            return {stream: (BankDetailsProposed(party=payee, number=self.accounts[payee], details=details),)}

        self.play(propose, AMINA)
        self.play(lambda _: {stream: (BankDetailsAgreed(number=self.accounts[payee]),)}, BEN)

    # What holds after every step.

    @invariant()
    def everything_holds(self) -> None:
        """And a week goes by."""
        self._every_balance_is_what_the_book_says()
        self._what_the_award_keeps_is_what_the_book_says()
        self._parts_are_within_a_penny()
        self._no_payer_is_allotted_more_than_its_maximum()
        self.taken += 1
        self.recorded += self.moved
        self.moved = False
        self.today += A_WEEK

    def _every_balance_is_what_the_book_says(self) -> None:
        ours, theirs = self.journal.sums, self.book.balances()
        apart = {account: f"{ours[account]}, by the book {theirs[account]}" for account in ours | theirs}
        assert not {account: told for account, told in apart.items() if ours[account] != theirs[account]}
        self.journal.holds()

    def _what_the_award_keeps_is_what_the_book_says(self) -> None:
        award = self.ground.state(self.award)
        standing, consumed = award.standing, self.book.consumed
        assert (award.status, award.assessments) == (self.book.state, self.book.assessments)
        assert standing.counted == consumed["award_amount", ""] == standing.assessed + self.book.others.total()
        assert standing.unfunded == self.book.unfunded.total()
        for name, kept in (("outcome_amount", standing.outcomes), ("year_amount", standing.years)):
            assert something(kept) == something({who: amount for (limit, who), amount in consumed.items() if limit == name})
        assert something(standing.allotted) == something(self.book.allotted)
        assert something(standing.quantities) == something({c: int(q * 10_000) for c, q in self.book.quantities.items()})
        assert award.receivables == {name: years.total() for name, years in self.book.receivables.items()}
        assert [name.assessment for name in award.receivables] == [number for number, _, _ in self.book.receivables]

    def _parts_are_within_a_penny(self) -> None:
        """M6: after every assessment in which none was cut to nothing."""
        accumulators = self.ground.state(self.award).standing.accumulators
        assert {naive_key(key): list(each.parts) for key, each in accumulators.items()} == self.book.parts
        for key, each in accumulators.items():
            assert sum(each.parts) == each.assessed
            if naive_key(key) not in self.book.drifted:
                for part, (_, share) in zip(each.parts, shares(key), strict=True):
                    assert abs(int(part) - int(each.assessed) * share) < 1

    def _no_payer_is_allotted_more_than_its_maximum(self) -> None:
        """Or more than it had been when a decommitment lowered that."""
        for payer, amount in self.ground.state(self.award).standing.allotted.items():
            maximum = naive.named(self.book.versions, self.now, "payers", payer).get("maximum")
            assert amount >= 0
            assert maximum is None or amount <= max(naive.pence(maximum), self.before[payer])
            self.before[payer] = amount

    def teardown(self) -> None:
        self.tallies.append(Tally(self.taken, self.recorded))


def play(machine: type[History], histories: int, steps: int) -> list[Tally]:
    """Play so many histories of so many steps.

    One that fails tells itself at once, step by step, with a blob that plays it again: it is not made smaller, for that takes
    minutes. Nor are some ended early, which Hypothesis does for the sake of making others smaller.
    """
    machine.tallies = []
    unhurried = settings(
        max_examples=histories,
        stateful_step_count=steps,
        phases=[Phase.explicit, Phase.reuse, Phase.generate],
        report_multiple_bugs=False,
        print_blob=True,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(machine, settings=unhurried, _min_steps=steps)
    return [tally for tally in machine.tallies if tally.taken >= steps]


def of(stream: Stream[S], step: Callable[[S], Event]) -> Command:
    """The command by which one stream's state says what happens next."""
    return lambda facts: {stream: (step(facts[stream]),)}


def pick(among: Sequence[T], number: int) -> T:
    return among[number % len(among)]


def tenth(quantity: Fraction, parts: int) -> Fraction:
    """So many tenths, in whole ten-thousandths."""
    return Fraction(int(quantity * 10_000) * parts // 10, 10_000)


def told(quantity: Fraction) -> str:
    return units(int(quantity * 10_000))


def something(amounts: Mapping[K, int]) -> dict[K, int]:
    return {name: int(amount) for name, amount in amounts.items() if amount}


@cache
def shares(key: str) -> tuple[tuple[str, Fraction], ...]:
    """The payers and shares of which an accumulator's name tells."""
    return tuple((party, Fraction(share)) for party, _, share in (each.partition("=") for each in key.split()))


@cache
def naive_key(key: str) -> str:
    return repr(list(shares(key)))


def where(refusal: Refused | None) -> set[str]:
    """All that a refusal finds fault with."""
    assert refusal
    return {fault.where for fault in refusal.faults}


def numbers(refusal: Refused | None) -> set[int]:
    """The numbers of the lines that a refusal names."""
    return {int(each.split(".")[1]) for each in where(refusal)}


def without(version: Json, limits: set[str]) -> Json:
    """The version without the limits of those names."""
    years = {limit.removeprefix("year_amounts.") for limit in limits if limit.startswith("year_amounts.")}
    outcomes, payers = (
        [{k: v for k, v in each.items() if f"{kind}.{n}.{k}" not in limits} for n, each in enumerate(version[kind])]
        for kind in ("outcomes", "payers")
    )
    gone = limits | ({"year_amount", "year_amounts"} if years else set())
    kept = {name: value for name, value in version.items() if name not in gone}
    award = {"award_amount": AMPLE} if "award_amount" in limits else {}
    return {**kept, "outcomes": outcomes, "payers": payers, **award}


def lowered(version: Json, keeps: int) -> Json:
    """The version with so many tenths of its limits and maxima."""

    def less(stated: Json, *names: str, least: int = 1) -> Json:
        return {**stated, **{n: pounds(max(naive.pence(stated[n]) * keeps // 10, least)) for n in names if n in stated}}

    return {
        **less(version, "award_amount", "year_amount", "participant_amount"),
        "outcomes": [less(each, "max_amount") for each in version["outcomes"]],
        "payers": [less(each, "maximum", least=0) for each in version["payers"]],
    }
