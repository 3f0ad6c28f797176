"""Any history with clawbacks, back-dated variations and other payments: what is posted, kept and owed agrees (M8-M11)."""

from collections import Counter
from functools import partial
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from domain.award import LimitsUnderWhatStands, award_stream
from domain.claim import claim_stream, submit
from domain.clawback import Clawing, agree, raise_clawback
from domain.money import Money
from domain.other_payment import OtherPaying, OtherPaymentOverLimit
from domain.other_payment import agree as agree_payment
from domain.other_payment import propose as propose_payment
from domain.payment import Payment, Stage, payment_stream
from domain.receivable import receivable_stream, recover
from domain.variation import agree as agree_version
from domain.verification import Verification, verify
from tests.domain.given import MemoryFacts
from tests.domain.kirklees import (
    AMINA,
    APARNA,
    BEN,
    CLAIRE,
    COUNCIL,
    FUND,
    PRIME,
    PROVIDER,
    REFERENCE,
    TODAY,
    VIKRAM,
    agreed,
    line,
    submission,
    terms,
)
from tests.domain.test_clawback import balances

AWARD = award_stream(REFERENCE)
PAYABLE = ("due", "held", "approved", "in-run", "sent", "paid", "returned")

cards = st.fixed_dictionaries(
    {
        "price": st.sampled_from(["0.01", "33.33", "850.00", "1400.00"]),
        "per": st.sampled_from([1, 7]),
        "max_quantity": st.sampled_from([None, "2.5", "6"]),
        "max_amount": st.sampled_from([None, "3000.00"]),
    }
)
versions = st.fixed_dictionaries(
    {
        "card": cards,
        "share": st.sampled_from(["180/619", "1/3", "1/2"]),
        "maximum": st.sampled_from([None, "900.00", "2500.00"]),
        "payee": st.sampled_from([PRIME, PRIME, PRIME, PROVIDER]),
        "shortfall": st.sampled_from(["residual-payer", "unfunded"]),
        "award_amount": st.sampled_from(["5000.00", "9999.99"]),
        "participant_amount": st.sampled_from([None, "2000.00"]),
        "effective_from": st.sampled_from(["2021-01-01", "2021-07-15", "2021-08-01"]),
    }
)
rows = st.tuples(
    st.sampled_from([None, "KBOP-1", "KBOP-2"]),
    st.sampled_from(["0.3333", "1", "2", "3.25"]),
    st.sampled_from(["2021-07-14", "2021-07-20", "2021-08-20"]),
    st.integers(0, 3),
)
DATES = ["2020-05-01", "2021-07-20", "2021-08-20"]
steps = st.one_of(
    st.tuples(st.just("claim"), st.lists(rows, min_size=1, max_size=4)),
    st.tuples(st.just("clawback"), st.tuples(st.integers(0, 20), st.integers(1, 3))),
    st.tuples(st.just("variation"), versions),
    st.tuples(st.just("payment"), st.tuples(st.integers(0, 20), st.booleans())),
    st.tuples(st.just("recovery"), st.integers(0, 20)),
    st.tuples(st.just("other"), st.tuples(st.sampled_from(["0.01", "100.00", "333.33", "2500.00"]), st.sampled_from(DATES))),
)


def version(drawn: dict[str, Any]) -> Any:
    share = drawn["share"]
    rest = {"180/619": "439/619", "1/3": "2/3", "1/2": "1/2"}[share]
    card = {"code": "HOME", "title": "A home of one's own", "unit": "person", **drawn["card"]}
    limits = {name: drawn[name] for name in ("shortfall", "award_amount", "participant_amount", "effective_from")}
    payers = [
        {"party": FUND, "share": share, "maximum": drawn["maximum"], "payee": drawn["payee"]},
        {"party": COUNCIL, "share": rest, "payee": drawn["payee"]},
    ]
    return terms(outcomes=[card], payers=payers, **limits)


class History:
    """A history, played on the domain in memory, and held against itself after every step."""

    def __init__(self, first: dict[str, Any]) -> None:
        self.facts: MemoryFacts = agreed(version({**first, "effective_from": "2019-09-01"}))

    def claim(self, drawn: list[tuple[str | None, str, str, int]]) -> None:
        name = f"C-{len(self.facts[AWARD].claims)}"
        lines = [line("HOME", quantity, day, **({"participant": who} if who else {})) for who, quantity, day, _ in drawn]
        asked = submission(*lines, claim=name)
        self.facts.play(partial(submit, award=REFERENCE, submission=asked, by=CLAIRE, today=TODAY), CLAIRE.person)
        decided = []
        for number, (_, quantity, _, how) in enumerate(drawn, 1):
            accepted, rejected = {"accepted": quantity}, {"rejected": quantity, "reason": "lapsed"}
            parts: list[dict[str, str]] = [accepted, rejected, {"deferred": quantity}, accepted]
            decided.append({"line": number, **parts[how]})
        decide = partial(verify, award=REFERENCE, claim=name, verification=Verification.model_validate({"lines": decided}))
        self.facts.play(partial(decide, by=VIKRAM, today=TODAY), VIKRAM.person)

    def clawback(self, drawn: tuple[int, int]) -> None:
        which, thirds = drawn
        standing = [
            (name, each.claimed.line, each.stands.quantity)
            for name in self.facts[AWARD].claims
            for each in self.facts[claim_stream(REFERENCE, name)].lines
            if each.stands.quantity
        ]
        if not standing:
            return
        name, number, quantity = standing[which % len(standing)]
        taken = type(quantity)(max(quantity * thirds // 3, 1))
        reference = f"CB-{sum('/clawback/' in each for each in self.facts.streams)}"
        lines = [{"claim": name, "line": number, "quantity": str(taken)}]
        clawing = Clawing.model_validate({"clawback": reference, "lines": lines, "reason": "duplicate"})
        self.facts.play(partial(raise_clawback, award=REFERENCE, clawing=clawing), AMINA.person)
        self.facts.play(partial(agree, award=REFERENCE, clawback=reference, by=BEN, today=TODAY), BEN.person)

    def variation(self, drawn: dict[str, Any]) -> None:
        try:
            proposed = self.facts[AWARD].propose(version(drawn), today=TODAY)
        except LimitsUnderWhatStands:
            return
        self.facts.record({AWARD: (proposed,)}, AMINA.person)
        self.facts.play(partial(agree_version, award=REFERENCE, number=proposed.version, by=BEN, today=TODAY), BEN.person)

    def payment(self, drawn: tuple[int, bool]) -> None:
        which, all_the_way = drawn
        due = [(stream, each) for stream, each in self.payments() if each.stage is Stage.DUE]
        if not due:
            return
        stream, each = due[which % len(due)]
        self.facts.record({stream: (each.approve(APARNA, today=TODAY),)}, APARNA.person)
        if all_the_way:
            self.facts.record({stream: (self.facts[stream].draw_up("R", today=TODAY),)}, AMINA.person)
            self.facts.record({stream: (self.facts[stream].send(today=TODAY),)}, AMINA.person)
            self.facts.record({stream: (self.facts[stream].settle("BACS-1", value_date=TODAY, today=TODAY),)}, AMINA.person)

    def recovery(self, which: int) -> None:
        if owed := list(self.facts[AWARD].receivables.items()):
            name, amount = owed[which % len(owed)]
            stream = receivable_stream(REFERENCE, *name)
            back = partial(recover, receivable=stream, amount=Money((amount + 1) // 2), reference="INV-1")
            self.facts.play(partial(back, value_date=TODAY, today=TODAY), AMINA.person)

    def other(self, drawn: tuple[str, str]) -> None:
        amount, dated = drawn
        reference = f"GP-{sum('/other-payment/' in each for each in self.facts.streams)}"
        paying = {"other_payment": reference, "payment_type": "grant", "amount": amount, "dated": dated, "reason": "Pandemic."}
        before = self.facts[AWARD].standing
        try:
            self.facts.play(
                partial(propose_payment, award=REFERENCE, paying=OtherPaying.model_validate(paying), today=TODAY), AMINA.person
            )
        except OtherPaymentOverLimit:
            assert Money.parse(amount) > self.facts[AWARD].agreement.on(TODAY).terms.award_amount - before.counted
            return
        agree_it = partial(agree_payment, award=REFERENCE, other_payment=reference, by=BEN, today=TODAY)
        self.facts.play(agree_it, BEN.person)
        assert self.facts[AWARD].standing.others == before.others + Money.parse(amount)

    def payments(self) -> list[tuple[Any, Payment]]:
        streams = [
            payment_stream(REFERENCE, number, payer)
            for number in range(1, self.facts[AWARD].assessments + 1)
            for payer in (FUND, COUNCIL)
        ]
        return [(stream, found) for stream in streams if (found := self.facts.get(stream))]

    def holds(self) -> None:
        posted, award = balances(self.facts), self.facts[AWARD]
        standing = award.standing
        self._lines_agree(posted)
        assert posted["assessed", None] == standing.assessed == sum(standing.outcomes.values())
        assert -posted["other-payments", None] == standing.others == standing.counted - standing.assessed
        assert standing.counted == sum(standing.years.values())
        assert posted["unfunded", None] == standing.unfunded >= 0
        assert sum(each.assessed for each in standing.accumulators.values()) == standing.counted
        assert all(sum(each.parts) == each.assessed for each in standing.accumulators.values())
        by_stage: Counter[tuple[str, str]] = Counter()
        for _, each in self.payments():
            by_stage[each.stage, each.payer] += each.amount
        allotted, reversed_ = 0, 0
        for payer in (FUND, COUNCIL):
            for stage in PAYABLE:
                assert posted[stage, payer] == by_stage[stage, payer] >= 0, (stage, payer)
            back = [-posted[f"receivable.{stage}", payer] for stage in ("open", "netted-off", "recovered", "written-off")]
            assert min(back) >= 0
            assert back[0] == sum(amount for name, amount in award.receivables.items() if name.payer == payer)
            assert back[1] == posted["netted-off", payer]
            gross = sum(posted[stage, payer] for stage in (*PAYABLE, "netted-off"))
            assert standing.allotted.get(payer, 0) == gross - back[1] - back[2]
            maximum = award.agreement.payer_limits(payer, TODAY).maximum
            assert maximum is None or standing.allotted.get(payer, 0) <= maximum
            allotted, reversed_ = allotted + gross, reversed_ + sum(back)
        assert standing.counted == allotted - reversed_ + posted["unfunded", None]

    def _lines_agree(self, posted: Counter[tuple[str, str | None]]) -> None:
        lines = [each for name in self.facts[AWARD].claims for each in self.facts[claim_stream(REFERENCE, name)].lines]
        for each in lines:
            stands = each.stands
            assert (stands.assessed, stands.payable, stands.curtailed) == (each.assessed, each.payable, each.curtailed)
            assert sum(stands.parts.values()) == stands.assessed == sum(stands.allotted.values()) + stands.unfunded
            assert min(stands.assessed, *stands.limits.values(), *stands.parts.values(), *stands.allotted.values(), 0) == 0
            assert each.accepted + each.rejected + each.deferred == each.claimed.quantity
            assert each.accepted_value + each.rejected_value + each.deferred_value == each.claimed.value
        assert -posted["claimed", None] == sum(each.claimed.value for each in lines)
        assert posted["rejected", None] == sum(each.rejected_value for each in lines)
        assert posted["deferred", None] == sum(each.deferred_value for each in lines)
        assert posted["assessed", None] == sum(each.assessed for each in lines)


class TestAnyHistoryWithCorrections:
    @given(versions, st.lists(rows, min_size=2, max_size=4), st.lists(steps, min_size=4, max_size=15))
    def test_agrees_with_itself_after_every_step(self, first: dict[str, Any], claimed: list[Any], history: list[Any]) -> None:
        played = History(first)
        for what, drawn in [("claim", claimed), *history]:
            getattr(played, what)(drawn)
            played.holds()
