"""Other payments over HTTP, by their different persons (M10)."""

from datetime import date, timedelta
from typing import Any

from tests.api import story
from tests.api.story import AWARD, KIRKLEES, SHA, SOCIAL_PRIME, TOP_UP, Service, slug

AWARD_ITSELF = f"/v1/awards/{AWARD}"
OTHERS = f"{AWARD_ITSELF}/other-payments"
GRANT: dict[str, Any] = {
    "other_payment": "GRANT-2020",
    "payment_type": "grant",
    "amount": "700.00",
    "dated": "2020-05-01",
    "reason": "Outcomes could not be achieved.",
    "document_sha256": SHA,
}


async def balances(service: Service, query: str = "") -> dict[str, Any]:
    told: dict[str, Any] = await service.first.reads(f"{AWARD_ITSELF}/balances{query}")
    assert told["trial_balance"] == "0.00"
    return told


class TestAnOtherPayment:
    async def test_is_told_split_and_paid_like_every_payment(self, service: Service) -> None:
        made = await service.first.post(OTHERS, GRANT)
        assert made.headers["Location"] == f"/v1{OTHERS.removeprefix('/v1')}/GRANT-2020"
        await service.cesar.does(f"{OTHERS}/GRANT-2020/agreement")
        told = await service.audrey.reads(f"{OTHERS}/grant-2020")
        assert (told["status"], told["reason"], told["assessment"]) == ("agreed", GRANT["reason"], 1)
        assert {each["payer"]: each["allotted"] for each in told["split"]["allotments"]} == {KIRKLEES: "496.45", TOP_UP: "203.55"}
        after = await balances(service)
        assert (after["other_payments"], after["assessed"], after["allotted"], after["remaining"]) == (
            "700.00",
            "0.00",
            "700.00",
            "2349300.00",
        )
        (year,) = after["years"]
        assert (year["year"], year["other_payments"]) == ("2020-21", "700.00")
        assessment = await service.audrey.reads(f"{AWARD_ITSELF}/assessments/1")
        assert (assessment["kind"], assessment["others"], assessment["assessed"], assessment["lines"]) == (
            "other-payment",
            "700.00",
            "0.00",
            [],
        )
        assert (await service.first.reads(AWARD_ITSELF))["standing"]["others"] == "700.00"
        await story.approve(service)
        payment = await service.first.reads(f"{AWARD_ITSELF}/payments/1/{KIRKLEES}")
        assert (payment["stage"], payment["payee"], payment["claim"]) == ("approved", SOCIAL_PRIME, None)
        sentences = [row["sentence"] for row in (await service.audrey.reads(f"{AWARD_ITSELF}/trail"))["rows"]]
        assert "Assessment 1, of a payment other than for outcomes: £700.00." in sentences
        assert "Agreed other payment GRANT-2020: £700.00 by assessment 1." in sentences

    async def test_needs_two_persons_and_may_be_rehearsed(self, service: Service) -> None:
        await service.first.does(OTHERS, GRANT)
        agreement = f"{OTHERS}/GRANT-2020/agreement"
        assert slug(await service.first.post(agreement)) == (403, "proposer-may-not-pay")
        assert slug(await service.cora.post(agreement)) == (403, "role-is-missing")
        rehearsed = (await service.ada.post(f"{agreement}?dry_run=true")).json()
        assert rehearsed["dry_run"]
        assert (await balances(service))["other_payments"] == "0.00"
        done = await service.ada.does(agreement, key="agree-it")
        assert [each["type"] for each in done["entries"]] == [each["type"] for each in rehearsed["entries"]]
        again = await service.ada.post(agreement, key="agree-it")
        assert (again.headers["Idempotency-Hit"], again.json()) == ("true", done)
        assert slug(await service.ada.post(agreement)) == (409, "other-payment-is-concluded")

    async def test_cannot_be_agreed_by_the_payees_party(self, service: Service) -> None:
        person = await service.person("Priya", SOCIAL_PRIME)
        priya = await service.give_key(person, "certifier")
        await service.first.does(OTHERS, GRANT)
        assert slug(await priya.post(f"{OTHERS}/GRANT-2020/agreement")) == (403, "beneficiary-may-not-pay")

    async def test_is_refused_over_a_limit_or_ahead_or_before_the_terms(self, service: Service) -> None:
        over = await service.first.post(OTHERS, {**GRANT, "amount": "2350000.01"})
        assert (slug(over), [each["where"] for each in over.json()["faults"]]) == (
            (409, "other-payment-over-limit"),
            ["award_amount"],
        )
        tomorrow = (service.clock.now.date() + timedelta(days=1)).isoformat()
        assert slug(await service.first.post(OTHERS, {**GRANT, "dated": tomorrow})) == (422, "date-ahead")
        assert slug(await service.first.post(OTHERS, {**GRANT, "dated": "2019-08-31"})) == (422, "no-terms-in-force")
        assert slug(await service.first.post(OTHERS, {**GRANT, "payment_type": "gift"})) == (422, "request-is-wrong")

    async def test_is_listed_as_it_was_and_is(self, service: Service) -> None:
        await service.first.does(OTHERS, GRANT)
        await service.first.does(OTHERS, {**GRANT, "other_payment": "FEE-1", "payment_type": "service-fee"})
        proposed = (await service.first.reads(OTHERS))["rows"]
        assert [(row["other_payment"], row["status"]) for row in proposed] == [("GRANT-2020", "proposed"), ("FEE-1", "proposed")]
        position, day = (await balances(service))["position"], service.clock.now.date()
        service.clock.forward(days=1)
        await service.ada.does(f"{OTHERS}/GRANT-2020/agreement")
        await service.ada.does(f"{OTHERS}/FEE-1/withdrawal", {"reason": "Paid elsewhere."})
        told = (await service.first.reads(OTHERS))["rows"]
        assert [(row["status"], row["assessment"]) for row in told] == [("agreed", 1), ("withdrawn", None)]
        for moment in (f"as_of={position}", f"effective_on={day}"):
            assert (await service.first.reads(f"{OTHERS}?{moment}"))["rows"] == proposed
            assert (await service.first.reads(f"{OTHERS}/FEE-1?{moment}"))["status"] == "proposed"
        before = date(2020, 4, 30)
        assert (await balances(service, f"?effective_on={before}"))["other_payments"] == "0.00"
        assert (await balances(service, f"?effective_on={before + timedelta(days=1)}"))["other_payments"] == "700.00"
