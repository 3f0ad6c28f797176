"""`effective_on`: every state on a day, of what is recorded or was by `as_of`. History has one axis, and does not take it."""

from typing import Any

import pytest
import pytest_asyncio

from tests.api import story
from tests.api.story import AWARD, KIRKLEES, SOCIAL_PRIME, TERMS, Service, slug

AWARD_ITSELF = f"/v1/awards/{AWARD}"
CLAIMS = f"{AWARD_ITSELF}/claims"
PAYMENTS = f"{AWARD_ITSELF}/payments"
PAYMENT = f"{PAYMENTS}/1/{KIRKLEES}"
RUN = "/v1/payment-runs/KIR-2021-10"


@pytest_asyncio.fixture
async def paid(service: Service) -> Service:
    """Approved on 1 October, sent on the 4th, paid by the bank on the 6th, which was recorded on the 11th."""
    await story.submit(service)
    await story.verify(service)
    await story.approve(service)
    service.clock.forward(days=3)
    await story.draw_up(service)
    await service.rhea.does(f"{RUN}/release")
    service.clock.forward(days=7)
    settlement = {
        "bank_reference": "BACS-0042",
        "value_date": "2021-10-06",
        "amount": (await service.first.reads(RUN))["total"],
        "payments": [{"award": AWARD, "assessment": 1}],
    }
    await service.first.does(f"{RUN}/settlement", settlement)
    return service


async def stage(service: Service, **asked: Any) -> str:
    """The stage of the payment, which its list must say too."""
    shown: str = (await service.ivo.reads(PAYMENT, params=asked))["stage"]
    listed = (await service.ivo.reads(PAYMENTS, params={"payer": KIRKLEES, **asked}))["rows"]
    assert [row["stage"] for row in listed] == [shown]
    return shown


class TestAPayment:
    async def test_is_sent_until_its_value_date_and_then_paid(self, paid: Service) -> None:
        stages = {day: await stage(paid, effective_on=f"2021-10-{day}") for day in ("01", "03", "04", "05", "06", "10", "11")}
        assert list(stages.values()) == ["approved", "approved", "sent", "sent", "paid", "paid", "paid"]

    async def test_is_not_there_before_it_fell_due(self, paid: Service) -> None:
        assert slug(await paid.ivo.get(f"{PAYMENT}?effective_on=2021-09-30")) == (404, "no-such-payment")
        assert (await paid.ivo.reads(f"{PAYMENTS}?effective_on=2021-09-30"))["rows"] == []

    async def test_was_not_known_to_be_paid_before_that_was_recorded(self, paid: Service) -> None:
        assert await stage(paid, effective_on="2021-10-07", as_of="2021-10-10T12:00:00Z") == "sent"
        assert await stage(paid, effective_on="2021-10-07") == "paid"
        assert await stage(paid, effective_on="2021-10-02", as_of="2021-10-10T12:00:00Z") == "approved"

    async def test_agrees_with_its_run_and_with_the_balances(self, paid: Service) -> None:
        for day in ("2021-10-05", "2021-10-06"):
            run = await paid.first.reads(RUN, params={"effective_on": day})
            (listed,) = (await paid.first.reads("/v1/payment-runs", params={"effective_on": day}))["rows"]
            balances = await paid.ivo.reads(f"{AWARD_ITSELF}/balances", params={"effective_on": day})
            is_paid = await stage(paid, effective_on=day) == "paid"
            assert (run["stage"], listed["stage"]) == ((("settled",) if is_paid else ("released",)) * 2)
            assert balances["paid" if is_paid else "sent"] == run["total"]

    async def test_has_a_file_from_the_release_on(self, paid: Service) -> None:
        assert slug(await paid.first.get(f"{RUN}/export?effective_on=2021-10-03")) == (404, "no-such-run")
        assert (await paid.first.get(f"{RUN}/export?effective_on=2021-10-04")).status_code == 200


class TestAClaim:
    @pytest_asyncio.fixture
    async def late(self, service: Service) -> Service:
        """Received on 29 September, recorded on 1 October, confirmed on the 2nd."""
        backlog = {"received_on": "2021-09-29", "reason": "It lay in another inbox."}
        await service.first.does(CLAIMS, {**story.claim(), "claimant": SOCIAL_PRIME, "backlog": backlog})
        service.clock.forward(days=1)
        await service.vera.does(f"{CLAIMS}/2021-Q3/receipt-confirmation")
        return service

    async def test_is_there_with_its_lines_from_the_day_on_which_it_was_received(self, late: Service) -> None:
        path = f"{CLAIMS}/2021-Q3"
        assert slug(await late.cora.get(f"{path}?effective_on=2021-09-28")) == (404, "no-such-claim")
        received = await late.cora.reads(f"{path}?effective_on=2021-09-29")
        assert (received["count"], received["receipt_confirmed"], received["status"]) == (2, True, "submitted")
        assert [row["claim"] for row in (await late.cora.reads(f"{CLAIMS}?effective_on=2021-09-29"))["rows"]] == ["2021-Q3"]
        unconfirmed = await late.cora.reads(f"{path}?effective_on=2021-09-29&as_of=2021-10-01T12:00:00Z")
        assert (unconfirmed["count"], unconfirmed["receipt_confirmed"]) == (2, False)

    async def test_shows_the_queries_of_that_day(self, late: Service) -> None:
        await late.vera.does(f"{CLAIMS}/2021-Q3/query", {"question": "Which home?"})
        late.clock.forward(days=2)
        await late.cora.does(f"{CLAIMS}/2021-Q3/answer", {"answer": "In Dewsbury."})
        for day, told in {"2021-10-01": [], "2021-10-02": [None], "2021-10-04": ["In Dewsbury."]}.items():
            claim = await late.cora.reads(f"{CLAIMS}/2021-Q3", params={"effective_on": day})
            assert [query["answer"] for query in claim["queries"]] == told


class TestAnAward:
    @pytest_asyncio.fixture
    async def amended(self, service: Service) -> Service:
        """With terms from 1 November on, agreed on 1 October."""
        further = {"terms": {**TERMS, "effective_from": "2021-11-01"}, "reason": "From November on."}
        await service.first.does(f"{AWARD_ITSELF}/terms", further)
        await service.ada.does(f"{AWARD_ITSELF}/terms/2/agreement")
        return service

    async def test_says_which_terms_are_in_force_on_the_day(self, amended: Service) -> None:
        days = {"2021-10-01": 1, "2021-10-31": 1, "2021-11-01": 2, "2121-01-01": 2}
        for day, in_force in days.items():
            assert (await amended.ivo.reads(AWARD_ITSELF, params={"effective_on": day}))["in_force"] == in_force
        assert (await amended.ivo.reads(AWARD_ITSELF))["in_force"] == 1

    async def test_says_another_thing_and_has_another_etag_when_other_terms_come_into_force(self, amended: Service) -> None:
        etag = (await amended.ivo.get(AWARD_ITSELF)).headers["ETag"]
        assert (await amended.ivo.get(AWARD_ITSELF, headers={"If-None-Match": etag})).status_code == 304
        amended.clock.forward(days=40)
        later = await amended.ivo.get(AWARD_ITSELF, headers={"If-None-Match": etag})
        assert (later.status_code, later.json()["in_force"]) == (200, 2)
        closed = await amended.first.post(f"{AWARD_ITSELF}/closing", headers={"If-Match": etag})
        assert closed.status_code == 201  # What the change starts from did not move.

    async def test_has_none_in_force_before_it_was_agreed(self, service: Service) -> None:
        await service.first.does("/v1/awards", {"reference": "INDIGO-POJ-0026", "title": "Not agreed", "terms": TERMS})
        assert (await service.audrey.reads("/v1/awards/INDIGO-POJ-0026"))["in_force"] is None


STATES = (
    AWARD_ITSELF,
    CLAIMS,
    f"{CLAIMS}/2021-Q3",
    f"{AWARD_ITSELF}/assessments/1",
    f"{AWARD_ITSELF}/balances",
    PAYMENTS,
    PAYMENT,
    RUN,
    "/v1/awards",
    "/v1/payment-runs",
    "/v1/parties",
    f"/v1/parties/{KIRKLEES}",
    "/v1/people",
    "/v1/keys",
)


class TestEveryState:
    async def test_is_as_now_today_and_on_any_later_day(self, paid: Service) -> None:
        for path in STATES:
            now = await paid.audrey.get(path)
            for day in ("2021-10-11", "2021-10-12", "9999-12-31"):
                then = await paid.audrey.get(path, params={"effective_on": day})
                assert then.headers.get("ETag") == now.headers.get("ETag"), path
                assert path.endswith("/balances") or then.json() == now.json(), path  # Balances say for which day they are.

    async def test_is_absent_before_anything_was(self, paid: Service) -> None:
        for path in STATES:
            then = await paid.audrey.get(path, params={"effective_on": "2021-09-30"})
            assert then.status_code == 404 or then.json().get("rows") == [] or path.endswith("/balances"), path

    async def test_has_the_etag_of_what_is_shown(self, paid: Service) -> None:
        etags = [(await paid.ivo.get(PAYMENT, params=on)).headers["ETag"] for on in ({}, {"effective_on": "2021-10-05"})]
        assert etags == ['"5"', '"4"']
        for etag, status in zip(etags, (200, 304), strict=True):
            asked = await paid.ivo.get(f"{PAYMENT}?effective_on=2021-10-05", headers={"If-None-Match": etag})
            assert asked.status_code == status

    @pytest.mark.parametrize("wrong", ["yesterday", "2021-13-01", "20211001", "2021-10-1", "2021-10-01T00:00:00Z", "", "-1"])
    async def test_refuses_what_is_no_day(self, paid: Service, wrong: str) -> None:
        for path in STATES:
            assert slug(await paid.audrey.get(path, params={"effective_on": wrong})) == (422, "request-is-wrong"), path

    async def test_is_asked_for_by_every_route_of_state_and_by_none_of_history(self, service: Service) -> None:
        paths = service.app.openapi()["paths"]
        asked = {
            path: {each["name"] for each in of["get"].get("parameters", ())} & {"as_of", "effective_on"}
            for path, of in paths.items()
            if "get" in of
        }
        one_axis = {path for path, axes in asked.items() if axes == {"as_of"}}
        assert one_axis == {
            *("/v1/awards/{award}/trail", "/v1/awards/{award}/texts", "/v1/awards/{award}/audit-pack"),
            *("/v1/entries", "/v1/feed", "/v1/feed/stream"),
        }
        # A difference is between two moments of recording, `from` and `to`; what it is about may be of one day all the same.
        assert asked.pop("/v1/awards/{award}/difference") == {"effective_on"}
        assert {axes for path, names in asked.items() if path not in one_axis for axes in [frozenset(names)]} <= {
            frozenset(), frozenset({"as_of", "effective_on"}),
        }  # fmt: skip
        for path in (f"{AWARD_ITSELF}/trail", f"{AWARD_ITSELF}/texts", f"{AWARD_ITSELF}/replay", "/v1/entries"):
            assert slug(await service.audrey.get(f"{path}?effective_on=2021-10-01")) == (422, "request-is-wrong")
