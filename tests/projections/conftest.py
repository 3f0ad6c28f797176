"""A real ledger with a history that touches every read model, on both databases."""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import partial
from hashlib import sha256

import pytest

from domain import (
    award,
    bank_details,
    certification,
    claim,
    clawback,
    key,
    other_payment,
    party,
    payment,
    person,
    receivable,
    reconsideration,
    run,
    verification,
)
from domain.aggregate import Actor, Command, Decision, Facts, Stream
from domain.award import AwardRegistered, award_stream
from domain.claim import ReasonCode
from domain.key import Role, key_stream
from domain.money import Money
from domain.payment import Payment, ReturnReason, payment_stream
from domain.receivable import receivable_stream
from domain.run import PaymentName
from domain.verification import LineDecision, Verification
from ledger.ledger import Ledger, Recorded, Request
from projections.views import Views
from tests.domain.accounts import ACCOUNT
from tests.domain.kirklees import (
    AMINA,
    APARNA,
    BEN,
    CERYS,
    CLAIRE,
    COUNCIL,
    FUND,
    PRIME,
    REFERENCE,
    RORY,
    VIKRAM,
    line,
    submission,
    terms,
)

VAULT_KEY = b"a key of thirty-two bytes or more"
TODAY = date(2021, 10, 4)


class Clock:
    """A clock that goes on by a minute whenever somebody looks."""

    def __init__(self) -> None:
        self.moment = datetime(2021, 10, 4, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        self.moment += timedelta(minutes=1)
        return self.moment


class Story:
    """What the persons of one award do, each by a command of the domain."""

    def __init__(self, ledger: Ledger, reference: str = REFERENCE) -> None:
        self.ledger = ledger
        self.reference = reference

    def tell(self, by: Actor, command: Command) -> Recorded:
        return self.ledger.record_now(command, Request(by))

    def begin(self) -> None:
        """The first administrator, a party, a person, keys."""
        secret = sha256(b"secret").hexdigest()
        fund = partial(key.begin, party=FUND, party_name="Life Chances Fund")
        self.tell(AMINA, partial(fund, person=AMINA.person, name="Amina", key="K1", secret_hash=secret))
        self.tell(AMINA, partial(party.register, party=PRIME, name="The Social Prime"))
        self.tell(AMINA, partial(bank_details.propose, party=PRIME, account=ACCOUNT))
        self.tell(BEN, partial(bank_details.agree, party=PRIME, account=ACCOUNT, by=BEN))
        self.tell(AMINA, partial(person.register, person=CLAIRE.person, party=PRIME, name="Claire"))
        self.tell(AMINA, partial(person.register, person=BEN.person, party=FUND, name="Ben"))
        issue = partial(key.issue, secret_hash=secret, by=AMINA)
        self.tell(AMINA, partial(issue, key="K2", person=BEN.person, roles=[Role.ADMINISTRATOR]))
        self.tell(AMINA, partial(issue, key="K3", person=CLAIRE.person, roles=[Role.CLAIMANT], awards=[REFERENCE]))
        self.ledger.change_now(key_stream("K3"), lambda issued: issued.revoke(), Request(AMINA))

    def register(self, **changes: object) -> None:
        registration = AwardRegistered(reference=self.reference, title="Kirklees Better Outcomes Partnership")
        self.tell(AMINA, partial(award.register, registration=registration, terms=terms(**changes)))
        self.ledger.change_now(award_stream(self.reference), lambda registered: registered.agree(BEN), Request(BEN))

    def submit(self, *lines: dict[str, object], name: str = "2021-Q3") -> None:
        submitted = submission(*lines, claim=name)
        self.tell(CLAIRE, partial(claim.submit, award=self.reference, submission=submitted, by=CLAIRE, today=TODAY))

    def verify(self, *decisions: LineDecision, name: str = "2021-Q3", others: str | None = None) -> None:
        said = Verification.model_validate({"lines": decisions, **({"others": others} if others else {})})
        self.tell(
            VIKRAM, partial(verification.verify, award=self.reference, claim=name, verification=said, by=VIKRAM, today=TODAY)
        )

    def withdraw(self, name: str) -> None:
        self.tell(CLAIRE, partial(claim.withdraw, award=self.reference, claim=name, reason="sent twice", by=CLAIRE))

    def certify(self, decision: str, name: str = "2021-Q3", **more: object) -> None:
        said = certification.Certificate.model_validate({"decision": decision, **more})
        command = partial(certification.certify, award=self.reference, claim=name, certificate=said, by=CERYS, today=TODAY)
        self.tell(CERYS, command)

    def pay(self, assessment: int, payer: str, by: Actor, step: Callable[[Payment], payment.PaymentEvent]) -> None:
        self.ledger.change_now(payment_stream(self.reference, assessment, payer), step, Request(by))

    def decide_part(self) -> None:
        """Ten homes: seven accepted, two rejected, one deferred (M4)."""
        self.submit(line(quantity="10"), line("WEEKS", "24"))
        self.verify(
            LineDecision.model_validate(
                {"line": 1, "accepted": "7", "rejected": "2", "deferred": "1", "reason": ReasonCode.NOT_EVIDENCED}
            ),
            others="accepted",
        )

    def settle(self) -> None:
        """The fund's payment goes through a run and comes back; the council pays by itself."""
        self.tell(APARNA, partial(payment.approve, payment=payment_stream(self.reference, 1, FUND), by=APARNA, today=TODAY))
        names = [PaymentName(self.reference, 1)]
        self.tell(CERYS, partial(run.draw_up, reference="R-1", payer=FUND, account="MAIN", payments=names, today=TODAY))
        self.tell(RORY, partial(run.release, reference="R-1", by=RORY, today=TODAY))
        owed, _ = self.ledger.load(payment_stream(self.reference, 1, FUND))
        self.tell(
            RORY,
            partial(
                run.settle,
                reference="R-1",
                bank_reference="BACS-1",
                value_date=TODAY,
                amount=owed.amount,
                payments=names,
                today=TODAY,
            ),
        )
        fund = payment_stream(self.reference, 1, FUND)
        self.tell(RORY, partial(payment_returned, payment=fund))
        self.pay(1, FUND, AMINA, lambda back: back.reissue(due_on=TODAY, today=TODAY))
        self.pay(1, COUNCIL, CERYS, lambda due: due.report_paid("CHQ-7", value_date=TODAY, today=TODAY))
        self.pay(1, COUNCIL, BEN, lambda due: due.confirm_report(BEN))

    def correct(self) -> None:
        """Two clawbacks, what is owed back, an other payment, and two reconsiderations: agreed, withdrawn, and open."""
        two_homes = [{"claim": "2021-Q3", "line": 1, "quantity": "2"}]
        for name in ("CB-1", "CB-2"):
            said = clawback.Clawing.model_validate({"clawback": name, "lines": two_homes, "reason": "not-eligible"})
            self.tell(VIKRAM, partial(clawback.raise_clawback, award=self.reference, clawing=said))
        self.tell(AMINA, partial(clawback.withdraw, award=self.reference, clawback="CB-2", reason="the same homes"))
        self.tell(BEN, partial(clawback.agree, award=self.reference, clawback="CB-1", by=BEN, today=TODAY))
        owed = receivable_stream(self.reference, 2, COUNCIL, PRIME)
        back = partial(receivable.recover, receivable=owed, amount=Money(100_00), reference="INV-7")
        self.tell(AMINA, partial(back, value_date=TODAY, today=TODAY))
        give_up = partial(receivable.propose_write_off, receivable=owed, authority="DCMS-7", reason="wound up")
        self.tell(AMINA, give_up)
        self.ledger.change_now(owed, lambda proposed: proposed.withdraw_write_off(), Request(BEN))
        self.tell(AMINA, give_up)
        self.tell(BEN, partial(receivable.write_off, receivable=owed, by=BEN, today=TODAY))
        grant = {"other_payment": "GRANT-1", "payment_type": "grant", "amount": "700.00", "dated": TODAY, "reason": "no outcomes"}
        paying = other_payment.OtherPaying.model_validate(grant)
        self.tell(AMINA, partial(other_payment.propose, award=self.reference, paying=paying, today=TODAY))
        self.tell(BEN, partial(other_payment.agree, award=self.reference, other_payment="GRANT-1", by=BEN, today=TODAY))
        curtailed = [{"claim": "2021-Q3", "line": 2}]
        for name in ("RC-1", "RC-2"):
            wanted = {"reconsideration": name, "lines": curtailed, "reason": "room after the clawback"}
            anew = reconsideration.Reconsidering.model_validate(wanted)
            self.tell(AMINA, partial(reconsideration.propose, award=self.reference, reconsidering=anew))
        turned_down = partial(reconsideration.withdraw, award=self.reference, reconsideration="RC-2", reason="the same line")
        self.tell(BEN, turned_down)
        agreement = partial(reconsideration.agree, award=self.reference, reconsideration="RC-1", by=BEN, today=TODAY)
        self.tell(BEN, agreement)

    def whole(self) -> "Story":
        """Everything."""
        self.begin()
        payers = [
            {"party": FUND, "share": "180/619", "maximum": "6600000.00", "payee": PRIME},
            {"party": COUNCIL, "share": "439/619", "payee": PRIME, "pays": "by-itself"},
        ]
        self.register(payers=payers, year_amount="12000.00")
        self.decide_part()
        self.settle()
        self.submit(line("HOME", "3", participant=None), name="2021-Q4")
        return self


def payment_returned(facts: Facts, *, payment: Stream[Payment]) -> Decision:
    return run.give_back(facts, payment, ReturnReason.ACCOUNT_CLOSED, on=TODAY, today=TODAY)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(database_url: str, clock: Clock) -> Iterator[Ledger]:
    with Ledger.open(database_url, vault_key=VAULT_KEY, clock=clock) as opened:
        yield opened


@pytest.fixture
def views(database_url: str, ledger: Ledger) -> Iterator[Views]:
    with Views.open(database_url, ledger) as opened:
        yield opened


@pytest.fixture
def story(ledger: Ledger) -> Story:
    return Story(ledger)
