"""Balances are sums of postings, and M11 holds after every entry."""

from dataclasses import replace
from datetime import date
from functools import partial
from hashlib import sha256
from itertools import pairwise

import pytest

from domain import closing, opening_position, variation
from domain.aggregate import Commitment
from domain.award import Contract, NoSuchAward, award_stream
from domain.money import NOTHING, Money
from ledger.ledger import Ledger, Request
from projections.balances import Balances, ClaimFigures, PaymentFigures, terms_on
from projections.views import Views
from tests.domain.kirklees import AMINA, BEN, COUNCIL, FUND, REFERENCE, terms
from tests.domain.test_opening_position import owing
from tests.projections.conftest import TODAY, Story


def pounds(text: str) -> Money:
    return Money.parse(text)


def hold(balances: Balances) -> None:
    """The identities of M11."""
    assert balances.trial_balance == NOTHING
    for claims in (balances, *balances.outcomes, *balances.years):
        assert isinstance(claims, ClaimFigures)
        assert claims.claimed == claims.accepted + claims.rejected + claims.deferred + claims.undecided
        assert claims.accepted == claims.awaiting + claims.declined + claims.assessed + claims.curtailed
        assert claims.curtailed == sum(claims.curtailed_by.values(), NOTHING)
    for paid in (balances, *balances.payers, *balances.years):
        assert isinstance(paid, PaymentFigures)
        stages = paid.due, paid.held, paid.approved, paid.in_run, paid.sent, paid.paid, paid.returned
        assert paid.allotted == sum(stages, NOTHING)
        assert all(stage >= NOTHING for stage in stages)
    assert balances.assessed == balances.allotted + balances.unfunded
    assert all(year.assessed == year.allotted + year.unfunded for year in balances.years)
    for figure in ("claimed", "accepted", "rejected", "deferred", "undecided", "assessed", "curtailed"):
        parts = [getattr(each, figure) for each in balances.outcomes]
        assert (
            getattr(balances, figure) == sum(parts, NOTHING) == sum((getattr(each, figure) for each in balances.years), NOTHING)
        )
    assert balances.allotted == sum((payer.allotted for payer in balances.payers), NOTHING)
    if balances.limit is not None:
        assert balances.remaining == balances.limit - balances.assessed


class TestOf:
    def test_says_what_became_of_part_verified_lines(self, story: Story, views: Views) -> None:
        story.register()
        story.decide_part()
        views.catch_up()
        balances = views.balances.of(REFERENCE)
        hold(balances)
        home, weeks = balances.outcomes
        assert (home.outcome, home.claimed, home.accepted, home.rejected, home.deferred) == (
            "HOME", pounds("14000.00"), pounds("9800.00"), pounds("2800.00"), pounds("1400.00"),
        )  # fmt: skip
        assert (weeks.claimed, weeks.assessed) == (pounds("2914.29"), pounds("2914.29"))
        assert (balances.assessed, balances.due) == (pounds("12714.29"), pounds("12714.29"))
        assert (balances.limit, balances.remaining) == (pounds("22300000.00"), pounds("22287285.71"))
        fund, council = sorted(balances.payers, key=lambda payer: payer.payer != FUND)
        assert (fund.payer, fund.allotted, fund.remaining) == (FUND, pounds("3697.21"), pounds("6596302.79"))
        assert (council.payer, council.allotted, council.limit) == (COUNCIL, pounds("9017.08"), None)

    def test_names_each_limit_that_curtailed(self, story: Story, views: Views) -> None:
        story.whole()
        views.catch_up()
        balances = views.balances.of(REFERENCE)
        hold(balances)
        assert balances.curtailed_by == {"year_amount": pounds("714.29")}
        assert (balances.undecided, balances.cash_out, balances.due) == (
            pounds("4200.00"), balances.payers[1].paid, balances.payers[0].due,
        )  # fmt: skip
        (year,) = balances.years
        assert (year.year, year.limit, year.remaining) == ("2021-22", pounds("12000.00"), NOTHING)

    def test_identities_hold_as_of_every_entry(self, story: Story, ledger: Ledger, views: Views) -> None:
        story.whole()
        views.catch_up()
        registered = next(entry.position for entry in ledger.entries() if entry.type == "award.registered")
        for position in range(registered, ledger.head().size + 1):
            balances = views.balances.of(REFERENCE, as_of=position)
            assert balances.position == position
            hold(balances) if position not in _between(ledger) else None
            assert views.balances.trial_balance(position) == NOTHING

    def test_counts_what_is_in_effect_on_a_day(self, story: Story, views: Views) -> None:
        story.whole()
        views.catch_up()
        before = views.balances.of(REFERENCE, effective_on=date(2021, 7, 13))
        assert (before.claimed, before.limits_on) == (NOTHING, date(2021, 7, 13))
        achieved = views.balances.of(REFERENCE, effective_on=date(2021, 7, 14))
        hold(achieved)
        assert (achieved.claimed, achieved.paid) == (pounds("21114.29"), NOTHING)
        assert achieved.due == achieved.allotted == pounds("12000.00")
        assert views.balances.of(REFERENCE, effective_on=TODAY).paid > NOTHING

    def test_goes_on_from_an_opening_position(self, story: Story, ledger: Ledger, views: Views) -> None:
        story.register()
        story.tell(AMINA, partial(opening_position.propose, award=REFERENCE, opening=owing(), today=TODAY))
        story.tell(BEN, partial(opening_position.agree, award=REFERENCE, by=BEN, today=TODAY))
        story.decide_part()
        views.catch_up()
        registered = next(entry.position for entry in ledger.entries() if entry.type == "award.registered")
        whole = [n for n in range(registered, ledger.head().size + 1) if n not in _between(ledger)]
        for position in whole:
            balances = views.balances.of(REFERENCE, as_of=position)
            assert balances.trial_balance == NOTHING
            assert balances.assessed == balances.allotted - balances.reversed + balances.unfunded
        balances = views.balances.of(REFERENCE)
        assert (balances.assessed, balances.paid, balances.netted_off) == (
            pounds("193714.29"), pounds("173277.87"), pounds("1000.00"),
        )  # fmt: skip
        assert views.balances.of(REFERENCE, effective_on=date(2020, 3, 31)).paid == pounds("70000.00")
        (row,) = views.awards.page().rows
        assert (row.assessments, row.assessed) == (2, balances.assessed)
        assert [each.name for each in views.check() if not each.agrees] == []

    def test_reads_of_the_award_only_what_was_agreed(self, story: Story, ledger: Ledger, views: Views) -> None:
        story.whole().correct()
        more = terms(effective_from="2021-08-01", award_amount="30000000.00")
        reason = Commitment(sha256(b"dearer rents").hexdigest())
        ledger.change_now(award_stream(REFERENCE), lambda under: under.propose(more, reason=reason, today=TODAY), Request(AMINA))
        story.tell(BEN, partial(variation.agree, award=REFERENCE, number=2, by=BEN, today=TODAY))
        story.withdraw("2021-Q4")
        story.tell(AMINA, partial(closing.close, award=REFERENCE, today=TODAY))
        views.catch_up()
        for position in range(1, ledger.head().size + 1):
            try:
                whole = ledger.load(award_stream(REFERENCE), as_of=position)[0]
            except NoSuchAward:
                with pytest.raises(NoSuchAward):
                    views.balances.known(REFERENCE, as_of=position)
                continue
            contract = views.balances.known(REFERENCE, as_of=position).contract
            assert (contract.title, contract.award.versions, contract.award.agreed) == (whole.title, whole.versions, whole.agreed)
            assert (contract.award.status, contract.award.closed_on) == (whole.status, whole.closed_on)
            for day in (date(2019, 8, 31), date(2021, 7, 14), TODAY):
                assert terms_on(contract, day) == terms_on(Contract(whole), day)
            contract_then = views.balances.known(REFERENCE, position, TODAY).in_effect
            assert contract_then is not None
            assert contract_then.award.status == ledger.load(award_stream(REFERENCE), position, TODAY)[0].status
        assert views.balances.known(REFERENCE, effective_on=date(2021, 10, 3)).in_effect is None

    def test_of_now_and_of_months_ends_looks_at_no_posting(self, story: Story, views: Views) -> None:
        """However many there are, such an answer takes as long: it comes from the sums that are kept."""
        story.whole().correct()
        views.catch_up()
        ends = [date(2021, 6, 30), date(2021, 7, 31), date(2021, 10, 31), date(9999, 12, 31)]
        asked: list[date | None] = [None, *ends]
        position = views.position
        added_up = [views.balances.of(REFERENCE, as_of=position, effective_on=day) for day in asked]
        months = [views.balances.monthly([REFERENCE], position, day) for day in asked]
        with views._tables.turn() as connection:
            connection.exec_driver_sql("DELETE FROM postings_v2_g1")
        for day, balances, monthly in zip(asked, added_up, months, strict=True):
            assert views.balances.of(REFERENCE, effective_on=day) == replace(balances, limits_on=day or TODAY)
            assert views.balances.monthly([REFERENCE], effective_on=day) == monthly
        assert months[0] != months[1] == {}
        assert views.balances.of(REFERENCE, effective_on=date(2021, 7, 30)).claimed == NOTHING  # Any other day adds up postings.

    def test_refuses_an_award_that_is_not_there(self, views: Views) -> None:
        with pytest.raises(NoSuchAward):
            views.balances.of("INDIGO-POJ-9999")


def _between(ledger: Ledger) -> set[int]:
    """Positions inside a commit: sums over several entries hold when all of them are there."""
    moments = [entry.recorded_at for entry in ledger.entries()]
    return {n for n, (this, following) in enumerate(pairwise(moments), start=1) if this == following}
