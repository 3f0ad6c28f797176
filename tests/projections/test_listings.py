"""Lists are in order, page by page, and as they were at any moment."""

from datetime import date, timedelta
from functools import partial
from typing import Any

import pytest

from domain import award as awards
from domain import claim as claims
from domain import key as keys
from domain.award import award_stream
from domain.claim import claim_stream
from domain.clawback import clawback_stream
from domain.other_payment import other_payment_stream
from domain.payment import Stage, payment_stream
from domain.receivable import receivable_stream
from domain.reconsideration import reconsideration_stream
from domain.run import RunStage, run_stream
from ledger.ledger import Ledger
from projections.projection import UnknownCursor
from projections.views import Views
from tests.domain.kirklees import AMINA, BEN, CERYS, CLAIRE, COUNCIL, FUND, PRIME, REFERENCE, line, submission
from tests.projections.conftest import TODAY, Clock, Story


@pytest.fixture
def caught_up(story: Story, views: Views) -> Views:
    story.whole()
    views.catch_up()
    return views


class TestAwards:
    def test_say_what_the_aggregate_says(self, caught_up: Views, ledger: Ledger) -> None:
        (row,) = caught_up.awards.page().rows
        award, version = ledger.load(award_stream(REFERENCE))
        assert (row.award, row.status, row.version, row.claims, row.open_claims) == (REFERENCE, award.status, version, 2, 1)
        assert (row.assessed, row.unfunded) == (award.standing.assessed, award.standing.unfunded)
        assert row.terms is not None
        assert (row.terms.agreed, row.terms.award_amount) == (True, award.versions[0].terms.award_amount)

    def test_only_those_that_a_key_opens(self, caught_up: Views, ledger: Ledger) -> None:
        Story(ledger, "INDIGO-POJ-0026").register()
        caught_up.catch_up()
        assert [row.award for row in caught_up.awards.page().rows] == [REFERENCE, "INDIGO-POJ-0026"]
        assert [row.award for row in caught_up.awards.page(only={"indigo-poj-0026"}).rows] == ["INDIGO-POJ-0026"]
        assert caught_up.awards.page(only=frozenset()).rows == ()

    def test_as_they_were(self, caught_up: Views, ledger: Ledger) -> None:
        registered = next(entry.position for entry in ledger.entries() if entry.type == "award.registered")
        (then,) = caught_up.awards.page(as_of=registered + 1).rows
        assert then.terms is not None
        assert (then.status, then.version, then.claims, then.terms.agreed) == (awards.Status.REGISTERED, 2, 0, False)
        (before,) = caught_up.awards.page(as_of=registered).rows
        assert before.terms is None
        assert caught_up.awards.page(as_of=registered - 1).rows == ()


class TestClaims:
    def test_say_what_the_aggregate_says_as_of_every_entry(self, story: Story, views: Views, ledger: Ledger) -> None:
        story.register(certification=True)
        story.decide_part()
        story.certify("certified")
        story.verify(others="accepted")
        story.certify("declined", reason="not-eligible")
        story.submit(line(), name="2021-Q4")
        story.withdraw("2021-Q4")
        views.catch_up()
        for position in range(4, ledger.head().size + 1):
            for row in views.claims.page(REFERENCE, as_of=position).rows:
                claim, version = ledger.load(claim_stream(REFERENCE, row.claim), position)
                assert (row.version, row.status, row.rounds, row.assessments) == (
                    version, claim.status, claim.rounds, claim.assessments,
                )  # fmt: skip
                assert row.verified_by == claim.verified_by
        last, withdrawn = views.claims.page(REFERENCE).rows
        claim, _ = ledger.load(claim_stream(REFERENCE, "2021-Q3"))
        assert last.accepted == sum(each.accepted_value for each in claim.lines)
        assert last.declined == sum(each.declined_value for each in claim.lines)
        assert (last.awaiting, last.undecided, last.deferred) == (0, 0, 0)
        assert (withdrawn.status, withdrawn.undecided) == (claims.Status.WITHDRAWN, 0)

    def test_page_by_page(self, story: Story, views: Views) -> None:
        story.register()
        names = [f"2021-Q3-{number}" for number in range(7)]
        for name in names:
            story.submit(line(), name=name)
        views.catch_up()
        found: list[str] = []
        page = views.claims.page(REFERENCE, None, 3)
        found += [row.claim for row in page.rows]
        while page.after is not None:
            page = views.claims.page(REFERENCE, page.after, 3)
            found += [row.claim for row in page.rows]
        assert found == names

    def test_refuses_a_cursor_that_it_did_not_give(self, caught_up: Views) -> None:
        for wrong in ("2021-Q3", "9" * 40):
            with pytest.raises(UnknownCursor):
                caught_up.claims.page(REFERENCE, wrong)


class TestPayments:
    def test_say_what_the_aggregate_says_as_of_every_entry(self, caught_up: Views, ledger: Ledger) -> None:
        for position in range(1, ledger.head().size + 1):
            for row in caught_up.payments.page(REFERENCE, as_of=position).rows:
                payment, version = ledger.load(payment_stream(REFERENCE, row.assessment, row.payer), position)
                assert (row.version, row.stage, row.since, row.due_on) == (version, payment.stage, payment.since, payment.due_on)
                assert (row.run, row.approved_by, row.amount) == (payment.run, payment.approved_by, payment.amount)
                assert row.years == payment.years

    def test_of_a_payer_at_a_stage(self, caught_up: Views, ledger: Ledger) -> None:
        assert [row.payer for row in caught_up.payments.page(stage=Stage.PAID).rows] == [COUNCIL]
        assert [row.stage for row in caught_up.payments.page(payer=FUND.lower()).rows] == [Stage.DUE]
        assert caught_up.payments.page(only=["INDIGO-POJ-0026"]).rows == ()
        sent = next(entry.position for entry in ledger.entries() if entry.type == "payment.sent")
        assert [row.payer for row in caught_up.payments.page(stage=Stage.SENT, as_of=sent).rows] == [FUND]
        assert [row.run for row in caught_up.payments.page(run="R-1", as_of=sent).rows] == ["R-1"]
        assert caught_up.payments.page(stage=Stage.PAID, as_of=sent).rows == ()


class TestRuns:
    def test_say_what_the_aggregate_says_as_of_every_entry(self, caught_up: Views, ledger: Ledger) -> None:
        for position in range(1, ledger.head().size + 1):
            for row in caught_up.runs.page(as_of=position).rows:
                run, version = ledger.load(run_stream("R-1"), position)
                assert (row.version, row.stage, row.settled, row.settled_total) == (
                    version, run.stage, run.settled, run.settled_total,
                )  # fmt: skip
                assert (row.total, row.file_sha256, row.released_by) == (run.total, run.file_sha256, run.released_by)
        assert [row.run for row in caught_up.runs.page(payer=FUND, stage=RunStage.SETTLED).rows] == ["R-1"]


class TestCorrections:
    """Clawbacks, receivables, reconsiderations and other payments."""

    @pytest.fixture
    def caught_up(self, story: Story, views: Views) -> Views:
        story.whole().correct()
        views.catch_up()
        return views

    def test_say_what_the_aggregates_say_as_of_every_entry(self, caught_up: Views, ledger: Ledger) -> None:
        for position in range(1, ledger.head().size + 1):
            for clawback in caught_up.clawbacks.page(REFERENCE, as_of=position).rows:
                raised, version = ledger.load(clawback_stream(REFERENCE, clawback.clawback), position)
                assert (clawback.version, clawback.status, clawback.agreed_by) == (version, raised.status, raised.agreed_by)
                assert (clawback.proposed_by, clawback.lines) == (raised.proposed_by, len(raised.proposed.lines))
                assert clawback.reversed == (raised.agreed and raised.agreed.reversed)
            for row in caught_up.receivables.page(REFERENCE, as_of=position).rows:
                owed, version = ledger.load(receivable_stream(REFERENCE, row.assessment, row.payer, row.payee), position)
                assert (row.version, row.open, row.is_open) == (version, owed.open, bool(owed.open))
                assert (row.netted_off, row.recovered, row.written_off) == (owed.netted_off, owed.recovered, owed.written_off)
                off = owed.proposal or owed.given_up
                said = off and (off.authority, off.proposed_by, off.agreed_by)
                assert (row.authority, row.write_off_proposed_by, row.write_off_agreed_by) == (said or (None, None, None))
                assert row.amount == row.open + row.netted_off + row.recovered + row.written_off
            for anew in caught_up.reconsiderations.page(REFERENCE, as_of=position).rows:
                wanted, version = ledger.load(reconsideration_stream(REFERENCE, anew.reconsideration), position)
                assert (anew.version, anew.status, anew.agreed_by) == (version, wanted.status, wanted.agreed_by)
                assert anew.gained == (wanted.agreed and wanted.agreed.gained)
            for other in caught_up.other_payments.page(REFERENCE, as_of=position).rows:
                paid, version = ledger.load(other_payment_stream(REFERENCE, other.other_payment), position)
                assert (other.version, other.status, other.amount) == (version, paid.status, paid.proposed.amount)

    def test_that_are_open_and_those_that_are_not(self, caught_up: Views, ledger: Ledger) -> None:
        receivables = caught_up.receivables
        assert receivables.page(REFERENCE, is_open=True).rows == ()
        assert [row.payer for row in receivables.page(REFERENCE, is_open=False).rows] == [FUND, COUNCIL]
        opened = next(entry.position for entry in ledger.entries() if entry.type == "receivable.recovered") - 1
        (then,) = receivables.page(REFERENCE, is_open=True, as_of=opened).rows
        assert (then.payer, then.open) == (COUNCIL, then.amount)
        assert receivables.page(REFERENCE, effective_on=TODAY - timedelta(days=1)).rows == ()

    def test_are_each_listed_once(self, caught_up: Views) -> None:
        assert [row.clawback for row in caught_up.clawbacks.page(REFERENCE.lower()).rows] == ["CB-1", "CB-2"]
        assert [row.reconsideration for row in caught_up.reconsiderations.page(REFERENCE).rows] == ["RC-1", "RC-2"]
        assert [row.other_payment for row in caught_up.other_payments.page(REFERENCE).rows] == ["GRANT-1"]
        assert caught_up.clawbacks.page("INDIGO-POJ-0026").rows == ()


class TestPartiesPeopleAndKeys:
    def test_say_who_is_who(self, caught_up: Views, ledger: Ledger) -> None:
        assert [row.party for row in caught_up.parties.page().rows] == [FUND, PRIME]
        people = caught_up.people.page().rows
        assert [(row.person, row.first_administrator, row.appointed) for row in people] == [
            ("amina", True, "ben"), ("claire", False, None), ("ben", False, None),
        ]  # fmt: skip
        assert ledger.reveal([people[1].name]) == {people[1].name: "Claire"}
        assert [row.person for row in caught_up.people.page(party=PRIME).rows] == ["claire"]

    def test_say_which_keys_open(self, caught_up: Views) -> None:
        rows = caught_up.keys.page().rows
        assert [(row.key, row.usable) for row in rows] == [("K1", True), ("K2", True), ("K3", False)]
        assert (rows[2].roles, rows[2].awards, rows[2].revoked_by) == ((keys.Role.CLAIMANT,), (REFERENCE,), "amina")
        assert [row.key for row in caught_up.keys.page(person=rows[2].person).rows] == ["K3"]


class TestOnADay:
    """The story of 4 October, and then: paid on 8 October, recorded on the 11th; a claim that was received on 1 October."""

    @pytest.fixture
    def dated(self, story: Story, views: Views, clock: Clock) -> Views:
        story.register(payers=[{"party": COUNCIL, "share": "1", "payee": PRIME, "pays": "by-itself"}])
        story.decide_part()
        clock.moment += timedelta(days=7)
        story.pay(1, COUNCIL, CERYS, lambda due: due.report_paid("CHQ-7", value_date=date(2021, 10, 8), today=date(2021, 10, 11)))
        story.pay(1, COUNCIL, BEN, lambda due: due.confirm_report(BEN))
        backlog = {"received_on": date(2021, 10, 1), "reason": "it came by post"}
        sent = submission(line("HOME", "3", participant=None), claim="2021-Q2", backlog=backlog)
        story.tell(AMINA, partial(claims.submit, award=REFERENCE, submission=sent, by=CLAIRE, today=date(2021, 10, 11)))
        views.catch_up()
        return views

    def stages(self, views: Views, **asked: Any) -> list[Stage]:
        return [row.stage for row in views.payments.page(REFERENCE, **asked).rows]

    def test_a_payment_is_paid_from_its_value_date_on(self, dated: Views) -> None:
        assert self.stages(dated, effective_on=TODAY - timedelta(days=1)) == []
        assert self.stages(dated, effective_on=TODAY) == self.stages(dated, effective_on=date(2021, 10, 7)) == [Stage.DUE]
        assert self.stages(dated, effective_on=date(2021, 10, 8)) == self.stages(dated) == [Stage.PAID]

    def test_a_payment_is_found_at_the_stage_of_that_day(self, dated: Views) -> None:
        assert self.stages(dated, stage=Stage.PAID, effective_on=date(2021, 10, 7)) == []
        assert self.stages(dated, stage=Stage.DUE, effective_on=date(2021, 10, 7)) == [Stage.DUE]

    def test_a_claim_is_there_with_all_its_lines_from_the_day_on_which_it_was_received(self, dated: Views) -> None:
        assert dated.claims.page(REFERENCE, effective_on=date(2021, 9, 30)).rows == ()
        (received,) = dated.claims.page(REFERENCE, effective_on=date(2021, 10, 1)).rows
        assert (received.claim, received.lines, received.version) == ("2021-Q2", 1, 2)

    def test_what_was_recorded_is_another_question(self, dated: Views, ledger: Ledger) -> None:
        reported = next(entry.position for entry in ledger.entries() if entry.type == "payment.reported")
        assert self.stages(dated, as_of=reported - 1, effective_on=date(2021, 10, 9)) == [Stage.DUE]
        assert self.stages(dated, as_of=ledger.head().size, effective_on=date(2021, 10, 9)) == [Stage.PAID]
        assert self.stages(dated, as_of=ledger.head().size, effective_on=date(2021, 10, 7)) == [Stage.DUE]

    def test_lists_and_documents_say_the_same_on_every_day_as_of_every_entry(self, dated: Views, ledger: Ledger) -> None:
        for day in (TODAY + timedelta(days=days) for days in range(-4, 9)):
            for position in range(1, ledger.head().size + 1):
                for claim in dated.claims.page(REFERENCE, as_of=position, effective_on=day).rows:
                    assert ledger.load(claim_stream(REFERENCE, claim.claim), position, day)[1] == claim.version
                for payment in dated.payments.page(REFERENCE, as_of=position, effective_on=day).rows:
                    assert ledger.load(payment_stream(REFERENCE, 1, COUNCIL), position, day)[1] == payment.version

    def test_the_day_of_the_last_entry_or_any_later_one_is_now(self, caught_up: Views) -> None:
        for day in (TODAY, date(9999, 12, 31)):
            for listing in (caught_up.awards, caught_up.runs, caught_up.parties, caught_up.people, caught_up.keys):
                assert listing.page(effective_on=day) == listing.page()
                assert listing.page(effective_on=TODAY - timedelta(days=1)).rows == ()
