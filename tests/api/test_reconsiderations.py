"""Reconsiderations and the steps of an award's life over HTTP, with their different persons (M5, section 3)."""

from typing import Any

from tests.api import story
from tests.api.story import KIRKLEES, Service
from tests.api.test_clawbacks import AWARD_ITSELF, CLAWBACKS, CLAWING, balances, slug

RECONSIDERATIONS = f"{AWARD_ITSELF}/reconsiderations"
RC = f"{RECONSIDERATIONS}/RC-1"
LINES = [{"claim": "2021-Q3", "line": 1}]
WHY = {"reason": "The board let it go on."}


async def vary(service: Service, **changes: Any) -> None:
    """Further terms from today on, by two persons."""
    award = await service.first.reads(AWARD_ITSELF)
    terms = {**award["versions"][0]["terms"], "effective_from": service.clock.now.date().isoformat(), **changes}
    await service.first.does(f"{AWARD_ITSELF}/terms", {"terms": terms, "reason": "As the board decided."})
    await service.ada.does(f"{AWARD_ITSELF}/terms/{len(award['versions']) + 1}/agreement")


async def step(service: Service, which: str) -> None:
    await service.first.does(f"{AWARD_ITSELF}/step", {"step": which, **WHY})
    await service.ada.does(f"{AWARD_ITSELF}/step/agreement")


class TestAReconsideration:
    async def test_pays_a_curtailed_line_when_there_is_room(self, service: Service) -> None:
        await vary(service, award_amount="1000.00")
        await story.submit(service)
        await story.verify(service)
        before = await balances(service)
        assert (before["assessed"], before["curtailed"]) == ("1000.00", "1800.00")
        await service.first.does(RECONSIDERATIONS, {"reconsideration": "RC-1", "lines": LINES, **WHY})
        refused = await service.ada.post(f"{RC}/agreement")
        assert slug(refused) == (409, "nothing-is-gained")
        await vary(service, award_amount="50000.00")
        assert slug(await service.first.post(f"{RC}/agreement")) == (403, "proposer-may-not-reconsider")
        rehearsed = await service.ada.post(f"{RC}/agreement?dry_run=true")
        assert (rehearsed.status_code, (await balances(service))["assessed"]) == (200, "1000.00")
        done = await service.ada.does(f"{RC}/agreement")
        assert done["effect"] == rehearsed.json()["effect"]
        assert [(each["before"], each["after"]) for each in done["effect"]["lines"]] == [("1000.00", "1400.00")]
        after = await balances(service)
        assert (after["assessed"], after["curtailed"]) == ("1400.00", "1400.00")
        told = await service.audrey.reads(RC)
        assert (told["status"], told["gained"], told["assessment"], told["reason"]) == ("agreed", "400.00", 2, WHY["reason"])
        assert (await service.audrey.reads(f"{AWARD_ITSELF}/assessments/2"))["kind"] == "reconsideration"
        assert (await service.first.reads(f"{AWARD_ITSELF}/payments/2/{KIRKLEES}"))["claim"] is None
        assert slug(await service.ivo.get(RC)) == (403, "role-is-missing")
        (row,) = (await service.audrey.reads(RECONSIDERATIONS))["rows"]
        assert (row["reconsideration"], row["status"], row["lines"], row["gained"], row["assessment"]) == (
            "RC-1", "agreed", 1, "400.00", 2,
        )  # fmt: skip
        (then,) = (await service.audrey.reads(f"{RECONSIDERATIONS}?as_of={done['position'] - done['count']}"))["rows"]
        assert (then["status"], then["gained"]) == ("proposed", None)

    async def test_lists_what_cannot_be_reconsidered_and_can_be_turned_down(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        refused = await service.first.post(RECONSIDERATIONS, {"reconsideration": "RC-1", "lines": LINES, **WHY})
        assert slug(refused) == (422, "lines-cannot-be-reconsidered")
        assert [each["where"] for each in refused.json()["faults"]] == ["lines.0"]
        assert slug(await service.first.post(f"{RC}/withdrawal", WHY)) == (404, "no-such-reconsideration")


class TestAnAwardsLife:
    async def test_pauses_and_goes_on(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        await service.first.does(f"{AWARD_ITSELF}/step", {"step": "pause", **WHY})
        proposed = {"step": "pause", "proposed_by": service.first.person, "reason": None, "document_sha256": None}
        assert (await service.ivo.reads(AWARD_ITSELF))["step"] == proposed
        assert (await service.ada.reads(AWARD_ITSELF))["step"] == {**proposed, **WHY}
        assert slug(await service.first.post(f"{AWARD_ITSELF}/step/agreement")) == (403, "proposer-may-not-agree")
        await service.ada.does(f"{AWARD_ITSELF}/step/agreement")
        assert (await service.ivo.reads("/v1/awards"))["rows"][0]["status"] == "paused"
        approval = f"{AWARD_ITSELF}/payments/1/{KIRKLEES}/approval"
        assert slug(await service.abe.post(approval)) == (409, "award-is-paused")
        await step(service, "resume")
        await service.abe.does(approval)

    async def test_ends_when_everything_is_paid_and_may_be_reopened(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        await service.first.does(f"{AWARD_ITSELF}/closing")
        refused = await service.first.post(f"{AWARD_ITSELF}/completion")
        assert slug(refused) == (409, "award-is-not-done")
        assert len(refused.json()["faults"]) >= 1
        await service.first.does(
            CLAWBACKS, {**CLAWING, "lines": [{**LINES[0], "quantity": "1"}, {"claim": "2021-Q3", "line": 2, "quantity": "1"}]}
        )
        waits = await service.first.post(f"{AWARD_ITSELF}/completion")
        assert waits.json()["faults"][-1] == {
            "where": "clawbacks.CB-1",
            "what": "waits for a second person, to agree it or to turn it down",
        }
        await service.ada.does(f"{CLAWBACKS}/CB-1/agreement")
        await service.first.does(f"{AWARD_ITSELF}/completion")
        assert (await service.ivo.reads(AWARD_ITSELF))["status"] == "completed"
        trail = await service.audrey.reads(f"{AWARD_ITSELF}/trail")
        assert trail["rows"][-1]["sentence"] == "Completed the award: nothing is left to pay or to get back."
        await step(service, "reopen")
        await story.submit(service, "2021-Q4")

    async def test_lets_what_was_deferred_lapse(self, service: Service) -> None:
        await story.submit(service)
        await service.vera.does(f"{AWARD_ITSELF}/claims/2021-Q3/verification", {"others": "deferred"})
        before = await balances(service)
        await service.first.does(f"{AWARD_ITSELF}/closing")
        after = await balances(service)
        assert (after["deferred"], after["rejected"]) == ("0.00", before["deferred"])
        (row,) = (await service.first.reads(f"{AWARD_ITSELF}/claims"))["rows"]
        assert (row["deferred"], row["rejected"]) == ("0.00", before["deferred"])
