"""Reassessment: a line is reversed whole and assessed anew, and what that leaves as it was (M8, M9)."""

from collections import Counter
from typing import Final

from hypothesis import assume, given, settings
from hypothesis import strategies as st

from domain.assessment import Kind
from domain.claim import claim_stream
from domain.participant import participant_stream
from domain.reassessment import Chosen, reassess
from tests.domain.histories import AMINA, BEN, ChanceLine, Decided, History, Memory, decisions, pick
from tests.domain.strategies import PARTICIPANTS, Json, claimed_lines, terms
from tests.profiles import CI

EXAMPLES: Final = 500 if CI else 50


def assessed(first: Json, one: list[ChanceLine], two: list[ChanceLine], decided: Decided) -> History:
    """Two claims, the first accepted whole and the other in part, now and later; all that is accepted is assessed."""
    history = History()
    history.register(first, one)
    history.claim(two, decided)
    for _ in range(2):
        while history.waiting_claims():
            history.certify(0, good=True)
        if history.open_claims():
            history.verify(0, ((5, 0),) * 4)
    return history


class TestReassess:
    @settings(max_examples=EXAMPLES)
    @given(first=terms(st.just(0)), one=claimed_lines, two=claimed_lines, decided=decisions, which=st.integers(0, 7))
    def test_leaves_every_balance_as_it_was_if_nothing_changed_in_between(
        self, first: Json, one: list[ChanceLine], two: list[ChanceLine], decided: Decided, which: int
    ) -> None:
        """Whatever the limits, maxima and shortfall policy; but for parts that were cut to nothing, which it makes good (M6)."""
        history = assessed(first, one, two, decided)
        assume(history.standing_lines() and not history.book.drifted)
        claim, number = pick(history.standing_lines(), which)
        assert isinstance(history.ground, Memory)
        facts = history.ground.facts
        stream = claim_stream(history.reference, claim)
        before = facts[history.award], facts[stream].lines[number - 1], Counter(history.journal.sums)
        tokens = [facts.pseudonym(history.reference, each) for each in PARTICIPANTS]
        participants = [facts.get(participant_stream(history.reference, token)) for token in tokens]

        award, line, sums = before
        chosen = Chosen(facts[stream], line, line.stands.assessed + line.stands.curtailed)
        again = reassess(
            facts,
            award,
            [chosen],
            kind=Kind.ADJUSTMENT,
            proposed_by=AMINA.person,
            agreed_by=BEN.person,
            today=history.today,
        )
        history.play(lambda _: again, BEN)
        assert history.journal.sums == sums
        assert facts[history.award].standing == award.standing
        assert facts[history.award].receivables == award.receivables == {}
        assert facts[stream].lines[number - 1].stands == line.stands
        assert facts[history.award].payments == award.payments
        assert [facts.get(participant_stream(history.reference, token)) for token in tokens] == participants
