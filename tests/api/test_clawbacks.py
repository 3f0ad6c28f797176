"""Clawbacks and back-dated terms over HTTP, with their different persons (M8, M9)."""

from typing import Any

import pytest_asyncio

from tests.api import story
from tests.api.story import AWARD, KIRKLEES, SOCIAL_PRIME, TOP_UP, Service

AWARD_ITSELF = f"/v1/awards/{AWARD}"
CLAWBACKS, RECEIVABLES = f"{AWARD_ITSELF}/clawbacks", f"{AWARD_ITSELF}/receivables"
RECEIVABLE = f"{RECEIVABLES}/2/{KIRKLEES}/{SOCIAL_PRIME}"
CLAWING = {"clawback": "CB-1", "lines": [{"claim": "2021-Q3", "line": 1, "quantity": "1"}], "reason": "other", "note": "No home."}


def slug(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rsplit("/", 1)[-1]


@pytest_asyncio.fixture
async def paid(service: Service) -> Service:
    """A claim of two lines, of which Kirklees has sent its part."""
    await story.submit(service)
    await story.verify(service)
    await story.approve(service)
    await story.draw_up(service)
    await service.rhea.does("/v1/payment-runs/KIR-2021-10/release")
    return service


async def balances(service: Service) -> dict[str, Any]:
    told: dict[str, Any] = await service.first.reads(f"{AWARD_ITSELF}/balances")
    assert told["trial_balance"] == "0.00"
    return told


class TestAClawback:
    async def test_makes_receivable_what_was_paid_and_nets_it_off_the_next_payment(self, paid: Service) -> None:
        before = await balances(paid)
        await paid.vera.does(CLAWBACKS, CLAWING)
        assert await balances(paid) == {**before, "position": (await balances(paid))["position"]}
        await paid.first.does(f"{CLAWBACKS}/CB-1/agreement")
        (owed,) = (await paid.ivo.reads(f"{RECEIVABLES}?open=true"))["rows"]
        assert (owed["assessment"], owed["payer"], owed["payee"]) == (2, KIRKLEES, SOCIAL_PRIME)
        after = await balances(paid)
        assert (after["assessed"], after["rejected"]) == ("1400.00", "1400.00")
        assert (after["open"], after["netted_off"]) != ("0.00", "0.00")
        await story.submit(paid, "2021-Q4", [story.line(participant=f"KIR-{number}") for number in range(3)])
        await story.verify(paid, "2021-Q4")
        payment = await paid.first.reads(f"{AWARD_ITSELF}/payments/3/{KIRKLEES}")
        assert payment["netted"] == [{"assessment": 2, "amount": owed["open"]}]
        assert (await paid.first.reads(f"{RECEIVABLES}?open=true"))["rows"] == []
        assert (await paid.first.reads(RECEIVABLE))["netted_off"] == owed["open"]
        assessment = await paid.audrey.reads(f"{AWARD_ITSELF}/assessments/2")
        assert (assessment["kind"], assessment["lines"], len(assessment["reversals"])) == ("clawback", [], 1)

    async def test_comes_off_a_payment_that_the_bank_returned_before_it_is_made_again(self, paid: Service) -> None:
        today = paid.clock.now.date().isoformat()
        await paid.vera.does(CLAWBACKS, CLAWING)
        await paid.first.does(f"{CLAWBACKS}/CB-1/agreement")
        owed = await paid.first.reads(RECEIVABLE)
        payment = f"{AWARD_ITSELF}/payments/1/{KIRKLEES}"
        await paid.first.does(f"{payment}/return", {"reason": "account-closed", "on": today})
        before = await paid.first.reads(payment)
        reissue = {"due_on": today}
        rehearsed = (await paid.first.post(f"{payment}/reissue?dry_run=true", reissue)).json()
        done = await paid.first.does(f"{payment}/reissue", reissue)
        kinds = [each["type"] for each in done["entries"]]
        assert kinds == [each["type"] for each in rehearsed["entries"]]
        assert kinds == ["payment.reissued", "payment.netted-off", "receivable.netted-off", "award.receivable-changed"]
        after = await paid.first.reads(payment)
        assert (before["amount"], before["stage"], owed["open"]) == ("1985.78", "returned", "992.89")
        assert (after["amount"], after["stage"], after["netted"]) == ("992.89", "due", [{"assessment": 2, "amount": "992.89"}])
        assert (await paid.first.reads(RECEIVABLE))["open"] == "0.00"
        assert ((await balances(paid))["open"], (await balances(paid))["netted_off"]) == ("0.00", "1400.00")

    async def test_needs_two_persons_none_of_them_of_the_claimants_party(self, paid: Service) -> None:
        await paid.first.does(CLAWBACKS, CLAWING)
        again = f"{CLAWBACKS}/CB-1/agreement"
        assert slug(await paid.first.post(again)) == (403, "raiser-may-not-agree")
        assert slug(await paid.cora.post(again)) == (403, "role-is-missing")
        rehearsed = await paid.ada.post(f"{again}?dry_run=true")
        assert (rehearsed.status_code, rehearsed.json()["dry_run"]) == (200, True)
        assert (await paid.cesar.reads(f"{CLAWBACKS}/CB-1"))["status"] == "proposed"
        await paid.cesar.does(again)
        assert slug(await paid.ada.post(again)) == (409, "clawback-is-concluded")
        told = await paid.audrey.reads(f"{CLAWBACKS}/CB-1")
        assert (told["status"], told["note"], told["reversed"], told["assessment"]) == ("agreed", "No home.", "1400.00", 2)
        assert slug(await paid.ivo.get(f"{CLAWBACKS}/CB-1")) == (403, "role-is-missing")

    async def test_says_before_and_after_its_agreement_what_each_payer_is_owed_back(self, paid: Service) -> None:
        await paid.vera.does(CLAWBACKS, CLAWING)
        rehearsed = (await paid.ada.post(f"{CLAWBACKS}/CB-1/agreement?dry_run=true")).json()
        done = await paid.ada.does(f"{CLAWBACKS}/CB-1/agreement")
        assert done["effect"] == rehearsed["effect"] == {"lines": [], "net": {KIRKLEES: "-992.89", TOP_UP: "-407.11"}}

    async def test_is_listed_as_it_was_and_is(self, paid: Service) -> None:
        await paid.vera.does(CLAWBACKS, CLAWING)
        await paid.vera.does(CLAWBACKS, {**CLAWING, "clawback": "CB-2"})
        position, day = (await balances(paid))["position"], paid.clock.now.date()
        raised = (await paid.first.reads(CLAWBACKS))["rows"]
        assert [(row["clawback"], row["status"], row["lines"], row["reversed"]) for row in raised] == [
            ("CB-1", "proposed", 1, None),
            ("CB-2", "proposed", 1, None),
        ]
        paid.clock.forward(days=1)
        await paid.ada.does(f"{CLAWBACKS}/CB-1/agreement")
        await paid.ada.does(f"{CLAWBACKS}/CB-2/withdrawal", {"reason": "It is the same line."})
        told = (await paid.audrey.reads(CLAWBACKS))["rows"]
        assert [(row["status"], row["assessment"], row["reversed"]) for row in told] == [
            ("agreed", 2, "1400.00"),
            ("withdrawn", None, None),
        ]
        first = await paid.audrey.reads(f"{CLAWBACKS}?limit=1")
        assert first["rows"] == told[:1]
        assert (await paid.audrey.reads(f"{CLAWBACKS}?after={first['next']}"))["rows"] == told[1:]
        for moment in (f"as_of={position}", f"effective_on={day}"):
            assert (await paid.first.reads(f"{CLAWBACKS}?{moment}"))["rows"] == raised
        assert slug(await paid.ivo.get(CLAWBACKS)) == (403, "role-is-missing")

    async def test_can_be_turned_down(self, paid: Service) -> None:
        await paid.vera.does(CLAWBACKS, CLAWING)
        await paid.ada.does(f"{CLAWBACKS}/CB-1/withdrawal", {"reason": "There was a home."})
        assert slug(await paid.first.post(f"{CLAWBACKS}/CB-1/agreement")) == (409, "clawback-is-concluded")

    async def test_refuses_more_than_stands(self, paid: Service) -> None:
        lines = [{"claim": "2021-Q3", "line": 1, "quantity": "2"}, {"claim": "2021-Q3", "line": 9, "quantity": "1"}]
        refused = await paid.vera.post(CLAWBACKS, {**CLAWING, "lines": lines})
        assert slug(refused) == (422, "lines-cannot-be-clawed-back")
        assert [each["where"] for each in refused.json()["faults"]] == ["lines.0.quantity", "lines.1.line"]


class TestAReceivable:
    async def test_is_recovered_in_part_and_the_rest_written_off_by_two_persons(self, paid: Service) -> None:
        await paid.vera.does(CLAWBACKS, CLAWING)
        await paid.first.does(f"{CLAWBACKS}/CB-1/agreement")
        today, position = paid.clock.now.date().isoformat(), (await balances(paid))["position"]
        recovery = {"amount": "100.00", "reference": "INV-7", "value_date": today}
        await paid.first.does(f"{RECEIVABLE}/recovery", recovery)
        again = await paid.first.post(f"{RECEIVABLE}/recovery", {**recovery, "reference": "inv-7"})
        assert slug(again) == (409, "receipt-is-recorded")
        too_much = await paid.first.post(f"{RECEIVABLE}/recovery", {**recovery, "reference": "INV-8", "amount": "99999.00"})
        assert slug(too_much) == (422, "more-than-is-open")
        await paid.first.does(f"{RECEIVABLE}/write-off", {"authority": "DCMS-7", "reason": "The SPV was wound up."})
        assert slug(await paid.first.post(f"{RECEIVABLE}/write-off-agreement")) == (403, "proposer-may-not-write-off")
        await paid.ada.does(f"{RECEIVABLE}/write-off-withdrawal")
        await paid.ada.does(f"{RECEIVABLE}/write-off", {"authority": "DCMS-8", "reason": "The SPV was wound up."})
        await paid.first.does(f"{RECEIVABLE}/write-off-agreement")
        told = await paid.ivo.reads(RECEIVABLE)
        rows = (await paid.ivo.reads(RECEIVABLES))["rows"]
        (row,) = (each for each in rows if each["payer"] == KIRKLEES)
        assert row == {name: told[name] for name in row}
        (netted,) = (each for each in rows if each["payer"] == TOP_UP)
        assert (netted["amount"], netted["open"]) == (netted["netted_off"], "0.00")
        assert (await paid.ivo.reads(f"{RECEIVABLES}?open=true"))["rows"] == []
        assert (await paid.ivo.reads(f"{RECEIVABLES}?open=false"))["rows"] == rows
        (before,) = (await paid.ivo.reads(f"{RECEIVABLES}?open=true&as_of={position}"))["rows"]
        assert (before["open"], before["authority"], before["recovered"]) == (before["amount"], None, "0.00")
        assert (told["open"], told["recovered"], told["authority"]) == ("0.00", "100.00", "DCMS-8")
        assert (told["write_off_proposed_by"], told["write_off_agreed_by"]) == (paid.ada.person, paid.first.person)
        after = await balances(paid)
        assert (after["recovered"], after["written_off"]) == ("100.00", told["written_off"])
        assert slug(await paid.first.post(f"{RECEIVABLE}/recovery", recovery)) == (409, "nothing-is-open")


class TestBackDatedTerms:
    async def test_reassess_what_was_assessed_and_owe_only_the_difference(self, paid: Service) -> None:
        award = await paid.first.reads(AWARD_ITSELF)
        terms = {**award["versions"][0]["terms"], "effective_from": "2021-01-01"}
        terms["outcomes"] = [{**each, "price": "1500.00"} for each in terms["outcomes"]]
        proposal = {"terms": terms, "reason": "Agreed in the spring.", "document_sha256": story.SHA}
        tried = (await paid.first.post(f"{AWARD_ITSELF}/terms?dry_run=true", proposal, key="propose-it")).json()
        assert [each["type"] for each in tried["entries"]] == ["award.terms-proposed"]
        proposed = await paid.first.does(f"{AWARD_ITSELF}/terms", proposal, key="propose-it")
        assert proposed["effect"] is None
        assert (await paid.ada.reads(AWARD_ITSELF))["versions"][1]["reason"] == "Agreed in the spring."
        assert (await paid.ivo.reads(AWARD_ITSELF))["versions"][1]["reason"] is None
        assert slug(await paid.first.post(f"{AWARD_ITSELF}/terms/2/agreement")) == (403, "proposer-may-not-agree")
        rehearsed = (await paid.ada.post(f"{AWARD_ITSELF}/terms/2/agreement?dry_run=true")).json()
        done = await paid.ada.does(f"{AWARD_ITSELF}/terms/2/agreement")
        assert [each["type"] for each in done["entries"]] == [each["type"] for each in rehearsed["entries"]]
        assert done["effect"] == rehearsed["effect"] == tried["effect"]
        assert [(each["claim"], each["line"], each["before"], each["after"]) for each in done["effect"]["lines"]] == [
            ("2021-Q3", 1, "1400.00", "1500.00"),
            ("2021-Q3", 2, "1400.00", "1500.00"),
        ]
        after = await balances(paid)
        assert (after["claimed"], after["assessed"], after["allotted"]) == ("3000.00", "3000.00", "3000.00")
        payments = (await paid.first.reads(f"{AWARD_ITSELF}/payments"))["rows"]
        more = {row["payer"]: row["amount"] for row in payments if row["assessment"] == 2}
        assert more == done["effect"]["net"]
        assert set(more) == {KIRKLEES, TOP_UP}
        trail = (await paid.audrey.reads(f"{AWARD_ITSELF}/trail?limit=500"))["rows"]
        assert any("Restated" in row["sentence"] for row in trail)

    async def test_need_a_reason_and_are_told_with_it_and_the_documents_hash(self, paid: Service) -> None:
        terms = {**story.TERMS, "effective_from": "2022-04-01"}
        for body in ({"terms": terms}, {"terms": terms, "reason": None}, {"terms": terms, "reason": ""}):
            refused = await paid.first.post(f"{AWARD_ITSELF}/terms", body)
            assert slug(refused) == (422, "request-is-wrong")
            assert [each["where"] for each in refused.json()["faults"]] == ["reason"]
        assert len((await paid.audrey.reads(AWARD_ITSELF))["versions"]) == 1
        proposal = {"terms": terms, "reason": "The next financial year.", "document_sha256": story.SHA}
        await paid.first.does(f"{AWARD_ITSELF}/terms", proposal)
        for who, words in ((paid.audrey, "The next financial year."), (paid.ivo, None)):
            first, further = (await who.reads(AWARD_ITSELF))["versions"]
            assert (first["reason"], first["document_sha256"]) == (None, None)
            assert (further["reason"], further["document_sha256"]) == (words, story.SHA)

    async def test_that_cannot_be_agreed_are_refused_when_they_are_tried(self, paid: Service) -> None:
        award = await paid.first.reads(AWARD_ITSELF)
        terms = {**award["versions"][0]["terms"], "effective_from": "2021-01-01"}
        terms["outcomes"] = [each for each in terms["outcomes"] if each["code"] == "SUPPORT"]
        refused = await paid.first.post(f"{AWARD_ITSELF}/terms?dry_run=true", {"terms": terms, "reason": "Support only."})
        assert slug(refused) == (409, "outcome-was-used")
        assert [each["where"] for each in refused.json()["faults"]] == ["claims.2021-Q3.lines.1", "claims.2021-Q3.lines.2"]
        ahead = {"terms": {**award["versions"][0]["terms"], "effective_from": "2024-01-01"}, "reason": "The last year."}
        tried = (await paid.first.post(f"{AWARD_ITSELF}/terms?dry_run=true", ahead)).json()
        assert tried["effect"] == {"lines": [], "net": {}}
