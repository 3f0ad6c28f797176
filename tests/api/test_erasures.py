"""Erasing over HTTP: an administrator finds what names a text, tries it, and erases it; everybody else sees that it is gone."""

from typing import Any

import pytest_asyncio

from tests.api import story
from tests.api.story import AWARD, KIRKLEES, Service, slug

AWARD_ITSELF = f"/v1/awards/{AWARD}"
ERASURES, TEXTS, CLAIM = f"{AWARD_ITSELF}/erasures", f"{AWARD_ITSELF}/texts", f"{AWARD_ITSELF}/claims/2021-Q3"
WHY = {"reason": "data-subject-request"}
NOTE, TITLE = "Seen at the hostel", "Tenancy agreement of 2 August"


@pytest_asyncio.fixture
async def told(service: Service) -> Service:
    """A claim with a note and a title, verified, and a payment that is held for a reason."""
    await story.submit(service, lines=[{**story.line(), "note": NOTE}, story.line(participant="KIR-0043")])
    await story.verify(service)
    await service.first.does(f"{AWARD_ITSELF}/payments/1/{KIRKLEES}/hold", {"reason": "The landlord rang."})
    return service


async def texts(service: Service, **asked: Any) -> dict[str, dict[str, Any]]:
    rows = (await service.audrey.reads(TEXTS, params=asked))["rows"]
    return {row["where"] if row["type"].startswith("claim") else row["type"]: row for row in rows}


async def lines(service: Service) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = (await service.cora.reads(CLAIM))["lines"]
    return told


class TestTheTextsOfAnAward:
    async def test_are_named_by_what_stands_in_the_log(self, told: Service) -> None:
        found = await texts(told)
        assert {where: row["text"] for where, row in found.items()} == {
            "lines.1.note": NOTE,
            "lines.1.evidence.0.title": TITLE,
            "lines.2.evidence.0.title": TITLE,
            "payment.held": "The landlord rang.",
        }
        entry = found["payment.held"]
        (step,) = (
            row for row in (await told.audrey.reads(f"{AWARD_ITSELF}/trail?limit=500"))["rows"] if row["type"] == "payment.held"
        )
        assert (entry["position"], entry["stream"]) == (step["position"], step["stream"])

    async def test_can_be_asked_for_one_claim_page_by_page_and_as_of_a_moment(self, told: Service) -> None:
        assert set(await texts(told, claim="2021-q3")) == {
            f"lines.{each}" for each in ("1.note", "1.evidence.0.title", "2.evidence.0.title")
        }
        first = await told.audrey.reads(TEXTS, params={"limit": 1})
        assert len(first["rows"]) == 3  # all of one entry
        rest = await told.audrey.reads(TEXTS, params={"limit": 1, "after": first["next"]})
        assert [row["type"] for row in rest["rows"]] == ["payment.held"]
        held = rest["rows"][0]["position"]
        assert "payment.held" not in await texts(told, as_of=str(held - 1))
        assert slug(await told.audrey.get(TEXTS, params={"claim": "2031-Q3"})) == (404, "no-such-claim")

    async def test_are_for_administrators_and_auditors(self, told: Service) -> None:
        for somebody in (told.cora, told.vera, told.abe, told.ivo):
            for path in (TEXTS, ERASURES, f"{ERASURES}/1"):
                assert slug(await somebody.get(path)) == (403, "role-is-missing")


class TestErasing:
    async def test_takes_a_participant_from_every_line_that_is_shown(self, told: Service) -> None:
        before = await lines(told)
        assert (before[0]["participant"], before[0]["participant_erased"]) == ("KIR-0042", False)
        done = await told.first.post(ERASURES, {**WHY, "participants": ["kir-0042"]})
        assert (done.status_code, done.headers["Location"]) == (201, f"{ERASURES}/1")
        after = await lines(told)
        gone = {"participant": None, "participant_erased": True}
        assert after == [{**before[0], **gone}, before[1]]
        assert await told.audrey.reads(f"{ERASURES}/1") == {
            "erasure": 1,
            "reason": "data-subject-request",
            "by": told.first.person,
            "tokens": [before[0]["participant_token"]],
            "texts": [],
        }

    async def test_takes_texts_wherever_they_are_shown_and_nothing_else(self, told: Service) -> None:
        found = await texts(told)
        balances = await told.audrey.reads(f"{AWARD_ITSELF}/balances")
        await told.first.does(
            ERASURES, {**WHY, "texts": [found["lines.1.note"]["commitment"], found["payment.held"]["commitment"]]}
        )
        line = (await lines(told))[0]
        assert (line["note"], line["evidence"][0]["title"], line["participant"]) == (None, TITLE, "KIR-0042")
        trail = (await told.audrey.reads(f"{AWARD_ITSELF}/trail?limit=500"))["rows"]
        assert [row["words"] for row in trail if row["type"] == "payment.held"] == [{"reason": None}]
        assert trail[-1]["sentence"] == "Erasure 1, of 0 references of participants and 2 texts: data subject request."
        assert (await texts(told))["payment.held"]["text"] is None
        after = await told.audrey.reads(f"{AWARD_ITSELF}/balances")
        assert {**after, "position": balances["position"]} == balances

    async def test_by_a_claim_takes_all_of_its_texts(self, told: Service) -> None:
        await told.first.does(ERASURES, {"reason": "retention-ended", "claims": ["2021-Q3"]})
        assert {row["text"] for row in (await texts(told, claim="2021-Q3")).values()} == {None}
        assert (await texts(told))["payment.held"]["text"] == "The landlord rang."

    async def test_tried_takes_nothing_and_repeated_is_a_hit(self, told: Service) -> None:
        asked = {**WHY, "participants": ["KIR-0042"], "claims": ["2021-Q3"]}
        tried = await told.first.post(f"{ERASURES}?dry_run=true", asked, key="erase")
        assert (tried.status_code, tried.json()["dry_run"]) == (200, True)
        assert (await lines(told))[0]["participant"] == "KIR-0042"
        assert await told.audrey.reads(ERASURES) == []
        first = await told.first.post(ERASURES, asked, key="erase")
        again = await told.first.post(ERASURES, asked, key="erase")
        assert again.headers["Idempotency-Hit"] == "true"
        assert (again.json(), again.headers["Location"]) == (first.json(), first.headers["Location"])
        assert slug(await told.first.post(ERASURES, asked)) == (409, "erased-already")
        (row,) = await told.audrey.reads(ERASURES)
        assert (row["participants"], row["texts"], row["by"]) == (1, 3, told.first.person)
        assert slug(await told.audrey.get(f"{ERASURES}/2")) == (404, "no-such-erasure")

    async def test_refuses_what_is_no_text_of_the_award_and_who_is_unknown(self, told: Service) -> None:
        assert slug(await told.first.post(ERASURES, WHY)) == (422, "nothing-to-erase")
        refused = await told.first.post(ERASURES, {**WHY, "participants": ["KIR-9999"], "texts": []})
        assert slug(refused) == (422, "cannot-be-erased")
        assert "KIR-9999" not in refused.text
        assert slug(await told.first.post(ERASURES, {**WHY, "claims": ["2031-Q3"]})) == (404, "no-such-claim")
        assert slug(await told.first.post(ERASURES, {"reason": "because", "claims": ["2021-Q3"]})) == (422, "request-is-wrong")
        assert slug(await told.first.post("/v1/awards/INDIGO-POJ-9/erasures", {**WHY, "claims": ["A"]})) == (404, "no-such-award")

    async def test_leaves_lists_of_payments_and_bank_details_alone(self, told: Service) -> None:
        entries = told.app.state.ledger.entries(limit=10_000)
        details = next(each.event.details for each in entries if each.type == "bank-details.proposed")
        refused = await told.first.post(ERASURES, {**WHY, "texts": [details]})
        assert slug(refused) == (422, "cannot-be-erased")
        assert "bank details" in refused.json()["faults"][0]["what"]
        assert told.app.state.ledger.reveal([details])

    async def test_is_for_administrators(self, told: Service) -> None:
        for somebody in (told.cora, told.vera, told.audrey, told.ivo):
            assert slug(await somebody.post(ERASURES, {**WHY, "claims": ["2021-Q3"]})) == (403, "role-is-missing")

    async def test_is_recognised_as_the_same_when_claimed_again(self, told: Service) -> None:
        await told.first.does(ERASURES, {**WHY, "participants": ["KIR-0042"]})
        await story.submit(told, "2021-Q4", [story.line(participant="KIR-0042")])
        (again,) = (await told.cora.reads(f"{AWARD_ITSELF}/claims/2021-Q4"))["lines"]
        assert again["participant_token"] == (await lines(told))[0]["participant_token"]
        assert (again["participant"], again["participant_erased"]) == (None, True)
