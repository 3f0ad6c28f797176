"""The identities of M3-M7 over chance amounts, shares and agreements, and against the naive book."""

from collections import Counter
from collections.abc import Mapping
from datetime import date
from fractions import Fraction
from itertools import pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from domain.aggregate import Token
from domain.assessment import AcceptedLine, Accumulator, AssessedLine, Assessment, Standing, assess, changes, next_parts
from domain.calendar import financial_year
from domain.claim import ClaimLinesAssessed
from domain.money import NOTHING, Money, Quantity, largest_remainder, value, whole_weights
from domain.postings import postings
from domain.terms import Agreement, Terms, Version
from tests.domain import naive
from tests.domain.strategies import CODES, FIRST, PARTICIPANTS, Json, agreements, day, offsets, pounds, quantities, units, weights

pence = st.integers(0, 99_999_999_999)
small = st.integers(0, 50) | st.integers(0, 400_000)


class TestValue:
    @given(price=pence, quantity=st.integers(0, 9_999_999_999_999), per=st.integers(1, 10_000))
    def test_is_the_exact_value_rounded_once_half_away_from_zero(self, price: int, quantity: int, per: int) -> None:
        rate = {"price": pounds(price), "per": per}
        assert value(Money(price), Quantity(quantity), per) == naive.worth(rate, Fraction(quantity, 10_000))
        assert value(Money(-price), Quantity(quantity), per) == -value(Money(price), Quantity(quantity), per)

    @given(price=pence, per=st.integers(1, 31), pieces=st.lists(quantities, min_size=1, max_size=8))
    def test_in_pieces_is_what_it_is_at_once(self, price: int, per: int, pieces: list[int]) -> None:
        worth = [value(Money(price), Quantity(sum(pieces[:n])), per) for n in range(len(pieces) + 1)]
        steps = [after - before for before, after in pairwise(worth)]
        assert min(steps) >= 0
        assert sum(steps) == value(Money(price), Quantity(sum(pieces)), per)


class TestSplit:
    @given(whole=pence, of=weights)
    def test_sums_to_the_whole_and_is_within_one_penny_of_exact(self, whole: int, of: list[int]) -> None:
        parts = largest_remainder(whole, of)
        assert sum(parts) == whole
        assert all(abs(part - Fraction(whole * weight, sum(of))) < 1 for part, weight in zip(parts, of, strict=True))
        assert not any(part for part, weight in zip(parts, of, strict=True) if not weight)

    @given(whole=small, of=weights)
    def test_is_what_the_words_say(self, whole: int, of: list[int]) -> None:
        assert largest_remainder(whole, of) == naive.split(whole, [Fraction(weight, sum(of)) for weight in of])

    @given(of=weights)
    def test_does_not_depend_on_how_the_shares_are_written(self, of: list[int]) -> None:
        shares = [Fraction(weight, sum(of)) for weight in of]
        assert [Fraction(weight, sum(whole_weights(shares))) for weight in whole_weights(shares)] == shares


class TestParts:
    """M6, over any sequence of assessed amounts."""

    @given(of=weights, amounts=st.lists(small, min_size=1, max_size=12) | st.lists(st.integers(0, 3), min_size=1, max_size=12))
    @example(of=[180, 439], amounts=[70_000] * 3)
    @example(of=[30, 45, 25], amounts=[100_001] * 3)
    @example(of=[1] * 7, amounts=[1] * 12)
    @example(of=[1, 3, 3], amounts=[3, 1])  # the first would get less of 4 pennies than of 3; the tie goes to the second
    def test_never_drift(self, of: list[int], amounts: list[int]) -> None:
        so_far = Accumulator(parts=(NOTHING,) * len(of))
        shares = [Fraction(weight, sum(of)) for weight in of]
        for amount in amounts:
            parts = next_parts(so_far, Money(amount), of)
            assert parts == naive.next_parts(amount, list(map(int, so_far.parts)), shares)
            assert sum(parts) == amount
            assert min(parts) >= 0
            exact_split = largest_remainder(so_far.assessed + amount, of)
            given_now = tuple(had + part for had, part in zip(so_far.parts, parts, strict=True))
            if all(new >= had for new, had in zip(exact_split, so_far.parts, strict=True)):
                whole = so_far.assessed + amount
                assert all(abs(int(part) - whole * share) < 1 for part, share in zip(given_now, shares, strict=True))
            so_far = Accumulator(so_far.assessed + amount, given_now)


Chance = tuple[str, str | None, int, int, int]
"""Outcome, participant, quantity, day of achievement, and what had been payable of the line before."""

assessments = st.lists(
    st.tuples(
        st.lists(
            st.tuples(
                st.sampled_from(CODES),
                st.none() | st.sampled_from(PARTICIPANTS),
                quantities,
                offsets,
                st.just(0) | quantities,
            ),
            min_size=1,
            max_size=3,
        ),
        st.integers(60, 80),
        offsets,
    ),
    min_size=1,
    max_size=3,
)
"""Each with its lines, the day of decision, and the day of receipt."""


def the_agreement(versions: list[Json]) -> Agreement:
    return Agreement(
        [Version(number=n, terms=Terms.model_validate(each), proposed_by="amina") for n, each in enumerate(versions, 1)]
    )


def accepted(book: naive.Book, lines: list[Chance]) -> list[tuple[AcceptedLine, naive.Row]]:
    """Those of the lines whose outcome is on the rate card of their day, in both tongues."""
    made = []
    for number, (code, participant, quantity, achieved, before) in enumerate(lines, 1):
        row = naive.Row(
            number, code, participant, day(achieved), Fraction(quantity, 10_000), 0, payable_before=Fraction(before, 10_000)
        )
        if not any(each["code"] == code for each in book.terms(row.day)["outcomes"]):
            continue
        rate = book.outcome(row)
        row.accepted = naive.worth(rate, row.payable_before + row.quantity) - naive.worth(rate, row.payable_before)
        line = AcceptedLine(
            number,
            code,
            Token(participant) if participant else None,
            date.fromisoformat(row.day),
            Quantity(quantity),
            Money(row.accepted),
            Quantity(before),
        )
        made.append((line, row))
    return made


class TestAssess:
    """M5-M7, over any agreement of several versions and any sequence of assessments."""

    @given(versions=agreements, rounds=assessments)
    def test_keeps_every_identity_and_agrees_with_the_naive_book(self, versions: list[Json], rounds: list[Any]) -> None:
        book, agreement = naive.Book(versions), the_agreement(versions)
        standing = Standing()
        known: dict[Token, Money] = {}
        posted: Counter[tuple[str, str | None]] = Counter()
        for lines, decided, received in rounds:
            made = accepted(book, lines)
            decided_on, received_on = day(decided), day(received)
            came = assess(
                [line for line, _ in made],
                agreement,
                standing,
                decided_on=date.fromisoformat(decided_on),
                received_on=date.fromisoformat(received_on),
                participants=known,
            )
            assert_limits_hold(versions, decided_on, standing, came)
            assert_maxima_hold(versions, decided_on, received_on, standing, came)
            for line, (asked, _) in zip(came.lines, made, strict=True):
                assert_explains_itself(line, asked)
            assert_is_posted(came)
            posted.update(what_is_posted(came))
            assert_balances(posted, came.standing)
            added = changes(standing, came.standing)
            assert added.assessed == sum(line.assessed for line in came.lines)
            standing, known = came.standing, dict(came.participants)
            book.assess([row for _, row in made], decided_on, received_on)
            for line, (_, row) in zip(came.lines, made, strict=True):
                assert told(line) == (row.assessed, row.cut, row.parts, row.allotted, row.unfunded, row.payable)
        assert {key: int(each.assessed) for key, each in standing.accumulators.items()} == {
            key: sum(each.parts) for key, each in standing.accumulators.items()
        }


def told(line: AssessedLine) -> tuple[Any, ...]:
    return (
        line.assessed,
        {each.limit: each.curtailed for each in line.limits},
        [each.part for each in line.allotments],
        [each.allotted for each in line.allotments],
        line.unfunded,
        Fraction(line.payable, 10_000),
    )


def assert_limits_hold(versions: list[Json], decided_on: str, before: Standing, came: Assessment) -> None:
    """No limit in force on the day of decision is passed by what is added (M2, M5)."""
    limits, after = next(naive.in_order(versions, decided_on)), came.standing
    for code in after.outcomes:
        outcome = naive.named(versions, decided_on, "outcomes", code)
        if "max_quantity" in outcome and after.quantities[code] > before.quantities.get(code, 0):
            assert after.quantities[code] <= Quantity.parse(outcome["max_quantity"])
        if "max_amount" in outcome and after.outcomes[code] > before.outcomes.get(code, 0):
            assert after.outcomes[code] <= Money.parse(outcome["max_amount"])
    for year, amount in after.years.items():
        most = limits["year_amounts"].get(year, limits.get("year_amount"))
        if most is not None and amount > before.years.get(year, 0):
            assert amount <= Money.parse(most)
    if after.assessed > before.assessed:
        assert after.assessed <= Money.parse(limits["award_amount"])


def assert_maxima_hold(versions: list[Json], decided_on: str, received_on: str, before: Standing, came: Assessment) -> None:
    """No payer is allotted more than its maximum, nor anything by a claim that came after its last day (M7)."""
    for party, amount in came.standing.allotted.items():
        more = amount - before.allotted.get(party, 0)
        payer = naive.named(versions, decided_on, "payers", party)
        assert more >= 0
        if more and payer.get("maximum") is not None:
            assert amount <= Money.parse(payer["maximum"])
        if "claims_until" in payer and received_on > payer["claims_until"]:
            assert more == 0


def assert_explains_itself(line: AssessedLine, asked: AcceptedLine) -> None:
    """The explanation's own numbers work out to its amounts, without a look at anything else."""
    assert (line.line, line.outcome, line.achieved_on, line.quantity) == (
        asked.line,
        asked.outcome,
        asked.achieved_on,
        asked.quantity,
    )
    if not asked.payable_before:
        assert line.accepted == value(line.price, line.quantity, line.per)
    remaining = line.accepted
    for limit in line.limits:
        assert limit.curtailed >= 0
        remaining -= limit.curtailed
        if limit.limit == "outcome_quantity":
            assert line.payable == min(line.quantity, Quantity.parse(limit.left))
        else:
            assert remaining <= Money.parse(limit.left)
            assert not limit.curtailed or remaining == Money.parse(limit.left)
    assert line.assessed == remaining == line.accepted - line.curtailed
    assert line.assessed >= 0
    assert line.after == line.before + line.assessed
    assert sum(each.part for each in line.allotments) == line.assessed
    assert sum(each.allotted for each in line.allotments) + line.unfunded == line.assessed
    assert all(each.part >= 0 and 0 <= each.shortfall <= each.part and each.allotted >= 0 for each in line.allotments)
    assert sum(each.share for each in line.allotments) == 1
    short = sum(each.shortfall for each in line.allotments)
    taken = [each.allotted - (each.part - each.shortfall) for each in line.allotments]
    assert min(taken) >= 0
    assert sum(1 for each in taken if each) <= 1, "only the residual payer takes more than its part"
    assert sum(taken) + line.unfunded == short


def what_is_posted(came: Assessment) -> Counter[tuple[str, str | None]]:
    """What an assessment adds to each stage, by outcome or payer."""
    sums: Counter[tuple[str, str | None]] = Counter()
    for each in postings(ClaimLinesAssessed(assessment=1, lines=came.lines)):
        sums[each.stage.partition(".")[0], each.outcome or each.payer] += each.amount
    return sums


def assert_balances(posted: Mapping[tuple[str, str | None], int], standing: Standing) -> None:
    """M11 after an assessment: accepted = assessed + curtailed; assessed = Σ allotted + unfunded; what is kept is posted."""
    outcomes = {name for stage, name in posted if stage == "awaiting" and name}
    for outcome in outcomes:
        assert -posted["awaiting", outcome] == posted["assessed", outcome] + posted.get(("curtailed", outcome), 0)
        assert posted["assessed", outcome] == standing.outcomes[outcome]
    due = {payer: amount for (stage, payer), amount in posted.items() if stage == "due" and amount}
    assert due == {payer: amount for payer, amount in standing.allotted.items() if amount}
    assert standing.assessed == sum(due.values()) + posted.get(("unfunded", None), 0)


def assert_is_posted(came: Assessment) -> None:
    """What an assessment posts follows from its lines: value is conserved on either plane, pound by pound (M11)."""
    made = postings(ClaimLinesAssessed(assessment=1, lines=came.lines))
    assert sum(posting.amount for posting in made) == 0
    by_year: dict[str, int] = {}
    for posting in made:
        if posting.payer or posting.stage == "unfunded":
            by_year[posting.year] = by_year.get(posting.year, 0) + posting.amount
    expected: dict[str, int] = {}
    for line in came.lines:
        year = financial_year(line.achieved_on)
        expected[year] = expected.get(year, 0) + line.assessed
    assert by_year == {year: amount for year, amount in expected.items() if amount}


def test_the_days_of_chance_lie_in_two_financial_years() -> None:
    assert {financial_year(date.fromisoformat(day(offset))) for offset in range(61)} == {"2020-21", "2021-22"}
    assert date.fromisoformat(day(0)) == FIRST
    assert units(34_286) == "3.4286"
