"""Replay and difference over HTTP: between which moments, page by page, and what investors are not told."""

from collections import Counter
from typing import Any

import pytest
import pytest_asyncio

from domain.money import Money
from projections.histories import Histories
from tests.api import story
from tests.api.story import AWARD, KIRKLEES, Service, slug

IT = f"/v1/awards/{AWARD}"
REPLAY, DIFFERENCE = f"{IT}/replay", f"{IT}/difference"
BOTH = (REPLAY, DIFFERENCE)
FIGURES = ("claimed", "accepted", "assessed", "paid", "allotted", "unfunded", "limit", "remaining")


@pytest_asyncio.fixture
async def paid(service: Service) -> Service:
    """Claimed on 1 October, verified on the 2nd, approved, sent, and settled on the 5th."""
    await story.submit(service)
    service.clock.forward(days=1)
    await story.verify(service)
    await story.approve(service)
    await story.draw_up(service)
    service.clock.forward(days=3)
    await service.rhea.does("/v1/payment-runs/KIR-2021-10/release")
    await story.settle(service, (await service.first.reads("/v1/payment-runs/KIR-2021-10"))["total"])
    return service


async def every(service: Service, path: str, **asked: Any) -> list[dict[str, Any]]:
    """All rows, page after page."""
    rows: list[dict[str, Any]] = []
    while True:
        page = await service.audrey.reads(path, params=asked)
        rows += page["rows"]
        if page["next"] is None:
            return rows
        asked["after"] = page["next"]


class TestReplay:
    async def test_steps_through_the_trail_with_what_balances_say(self, paid: Service) -> None:
        trail = (await paid.audrey.reads(f"{IT}/trail?limit=500"))["rows"]
        told = await paid.audrey.reads(f"{REPLAY}?limit=500")
        assert (told["award"], told["begin"], told["next"]) == (AWARD, 0, None)
        for name in ("position", "recorded_at", "person", "type", "sentence"):
            assert [step[name] for step in told["rows"]] == [row[name] for row in trail]
        for step in told["rows"]:
            then = await paid.audrey.reads(f"{IT}/balances", params={"as_of": step["position"]})
            assert {name: step["after"][name] for name in FIGURES} == {name: then[name] for name in FIGURES}

    async def test_says_what_changed_of_whom(self, paid: Service) -> None:
        (settled,) = [step for step in await every(paid, REPLAY) if step["type"] == "payment.settled"]
        amount = settled["after"]["paid"]
        assert (settled["before"]["paid"], settled["effective_on"]) == ("0.00", ["2021-10-05"])
        assert [each for each in settled["changes"] if each["figure"] == "paid"] == [
            {"of": of, "name": name, "figure": "paid", "before": "0.00", "after": amount, "difference": amount}
            for of, name in (("award", None), ("payer", KIRKLEES), ("year", "2021-22"))
        ]
        assert {each["figure"] for each in settled["changes"]} == {"sent", "paid", "cash_out"}

    async def test_is_the_same_page_by_page(self, paid: Service) -> None:
        assert await every(paid, REPLAY, limit=3) == await every(paid, REPLAY)

    async def test_goes_from_after_one_moment_to_another(self, paid: Service) -> None:
        steps = await every(paid, REPLAY)
        verified = next(step for step in steps if step["type"] == "claim.verified")
        for moment in (str(verified["position"]), "2021-10-02T12:00:00Z"):
            began = await every(paid, REPLAY, **{"from": moment})
            ended = await every(paid, REPLAY, to=moment)
            assert ended + began == steps
            assert ended[-1]["position"] >= verified["position"]
        answer = await paid.audrey.get(REPLAY, params={"to": verified["position"]})
        assert answer.headers["Ledger-Position"] == str(verified["position"])
        assert await every(paid, REPLAY, **{"from": verified["position"], "to": verified["position"]}) == []


class TestDifference:
    @pytest.mark.parametrize("day", [None, "2021-10-01", "2021-10-04"])
    async def test_is_what_its_causes_add_up_to(self, paid: Service, day: str | None) -> None:
        head = (await paid.audrey.reads(DIFFERENCE))["end"]
        for begin, end in ((0, head), (head - 9, head), (head - 20, head - 4)):
            asked = {"from": begin, "to": end, **({"effective_on": day} if day else {})}
            told = await paid.audrey.reads(DIFFERENCE, params=asked)
            summed: Counter[tuple[str, ...]] = Counter()
            for cause in await every(paid, DIFFERENCE, **asked, limit=2):
                for move in cause["moves"]:
                    summed[move["of"], move["name"], move["figure"]] += int(Money.parse(move["amount"]))
            assert {key: amount for key, amount in summed.items() if amount} == {
                (each["of"], each["name"], each["figure"]): int(Money.parse(each["difference"])) for each in told["changes"]
            }
            assert told["effective_on"] == day

    async def test_is_worked_out_once_for_all_its_pages(self, paid: Service, monkeypatch: pytest.MonkeyPatch) -> None:
        worked_out: list[object] = []
        changes = Histories._changes

        def counted(self: Histories, *span: Any) -> Any:
            worked_out.append(span)
            return changes(self, *span)

        monkeypatch.setattr(Histories, "_changes", counted)
        for times in (1, 2):
            assert len(await every(paid, DIFFERENCE, limit=1)) > 5
            assert len(worked_out) == times  # Whoever asks anew is told anew.

    async def test_is_told_on_a_later_page_by_another_process_too(self, paid: Service) -> None:
        first = await paid.audrey.reads(DIFFERENCE, params={"limit": 1})
        paid.app.state.views.histories._found.clear()
        second = await paid.audrey.reads(DIFFERENCE, params={"limit": 1, "after": first["next"]})
        assert second["changes"] == first["changes"]

    async def test_is_that_of_the_balances_of_the_two_moments(self, paid: Service) -> None:
        told = await paid.audrey.reads(DIFFERENCE, params={"from": "2021-10-01T12:00:00Z"})
        before, after = [
            await paid.audrey.reads(f"{IT}/balances", params={"as_of": position}) for position in (told["begin"], told["end"])
        ]
        changes = {each["figure"]: each for each in told["changes"] if each["of"] == "award"}
        assert {"undecided", "assessed", "allotted", "paid"} <= set(changes)
        for name, each in changes.items():
            assert (each["before"], each["after"]) == (before[name], after[name])
        same = {name for name in FIGURES if name not in {"limit", "remaining"}} - set(changes)
        assert all(before[name] == after[name] for name in same)

    async def test_lists_only_entries_that_moved_something(self, paid: Service) -> None:
        causes = await every(paid, DIFFERENCE)
        assert [cause["position"] for cause in causes] == [
            step["position"] for step in await every(paid, REPLAY) if step["changes"]
        ]
        assert all(cause["moves"] for cause in causes)


class TestBoth:
    @pytest.mark.parametrize("path", BOTH)
    async def test_refuse_moments_that_are_none_or_ahead_or_the_wrong_way_round(self, paid: Service, path: str) -> None:
        for name in ("from", "to"):
            ahead = await paid.audrey.get(path, params={name: "999999"})
            assert slug(ahead) == (422, "moment-is-ahead")
            wrong = await paid.audrey.get(path, params={name: "yesterday"})
            assert slug(wrong) == (422, "request-is-wrong")
            assert wrong.json()["faults"][0]["where"] == name
        turned = await paid.audrey.get(path, params={"from": "9", "to": "8"})
        assert slug(turned) == (422, "request-is-wrong")
        assert turned.json()["faults"][0]["where"] == "from"
        for cursor in ("no cursor", "bm8tY3Vyc29y"):
            assert slug(await paid.audrey.get(path, params={"after": cursor})) == (422, "request-is-wrong")

    @pytest.mark.parametrize("path", BOTH)
    async def test_have_pages_of_one_stretch_whatever_is_recorded_meanwhile(self, paid: Service, path: str) -> None:
        whole = await paid.audrey.reads(path)
        first = await paid.audrey.reads(path, params={"limit": 2})
        await story.submit(paid, "2021-Q4", [story.line(participant="KIR-0099")])
        answer = await paid.audrey.get(path, params={"after": first["next"]})
        rest = answer.json()
        assert first["rows"] + rest["rows"] == whole["rows"]
        assert answer.headers["Ledger-Position"] == str(first["end"])
        assert (rest["end"], rest["next"], rest.get("changes")) == (first["end"], None, first.get("changes"))
        assert len((await paid.audrey.reads(path))["rows"]) > len(whole["rows"])

    @pytest.mark.parametrize("path", BOTH)
    async def test_know_no_award_that_was_not_there_by_then(self, paid: Service, path: str) -> None:
        refused = await paid.audrey.get(path, params={"to": "1"})
        assert slug(refused) == (404, "no-such-award")
        assert refused.json()["detail"] == f"There is no award of this reference (name: {AWARD}; to: 1)."
        assert slug(await paid.audrey.get(path.replace(AWARD, "INDIGO-POJ-9999"))) == (404, "no-such-award")

    @pytest.mark.parametrize("path", BOTH)
    async def test_tell_investors_of_their_awards_amounts_and_neither_who_nor_lines(self, paid: Service, path: str) -> None:
        ours, theirs = [(await holder.reads(path))["rows"] for holder in (paid.audrey, paid.ivo)]
        assert [row["position"] for row in theirs] == [row["position"] for row in ours]
        for name in ("changes", "moves", "before", "after"):
            assert [row.get(name) for row in theirs] == [row.get(name) for row in ours]
        assert {row["person"] for row in theirs} == {None}
        assert {row["type"].partition(".")[0] for row in theirs if row["type"]} <= {"award", "claim", "payment"}
        hidden = [row for row in theirs if row["type"] is None]
        assert hidden
        assert all(row["sentence"] is row["stream"] is None and row["effective_on"] == [] for row in hidden)
        assert not any("lines" in row["type"] for row in theirs if row["type"])
        await story.agree_award(paid, "INDIGO-POJ-0176")
        assert slug(await paid.ivo.get(path.replace(AWARD, "INDIGO-POJ-0176"))) == (404, "no-such-award")

    @pytest.mark.parametrize("path", BOTH)
    async def test_are_kept_among_the_disclosures(self, paid: Service, path: str) -> None:
        until = (await paid.vera.reads(path))["end"] - 3
        told = await paid.vera.reads(path, params={"to": until})
        kept = (await paid.audrey.reads("/v1/disclosures", params={"person": paid.vera.person}))["rows"][0]
        assert (kept["resource"], kept["award"], kept["as_of"]) == (path, AWARD, until)
        assert (kept["rows"], kept["status"]) == (len(told["rows"]), 200)

    async def test_name_no_participant(self, paid: Service) -> None:
        for path in BOTH:
            text = (await paid.audrey.get(path)).text
            assert "KIR-0042" not in text
            assert "Tenancy agreement" not in text
