"""Opening positions over HTTP: an award that ran in spreadsheets until yesterday goes on here (section 3)."""

from typing import Any

import pytest

from tests.api import story
from tests.api.story import AWARD, KIRKLEES, SHA, SOCIAL_PRIME, TOP_UP, Service, slug

AWARD_ITSELF = f"/v1/awards/{AWARD}"
OPENING = f"{AWARD_ITSELF}/opening-position"
HEADING = "participant,outcome,quantity,achieved_on,assessed"
CSV = f"{HEADING}\nKIR-0001,ENTRY,1,2020-06-01,1400.00\r\nkir-0002,ENTRY,1,2020-09-14,1400.00\n"
POSITION: dict[str, Any] = {
    "stands_on": "2021-09-30",
    "outcomes": [{"outcome": "ENTRY", "year": "2020-21", "quantity": "2", "assessed": "2800.00"}],
    "payers": [
        {"payer": KIRKLEES, "year": "2020-21", "allotted": "1985.78", "paid": "1500.00", "due": "485.78"},
        {"payer": TOP_UP, "year": "2020-21", "allotted": "814.22", "paid": "914.22", "owed_back": "100.00"},
    ],
    "splits": [{"version": 1, "split": "2800.00", "parts": {KIRKLEES: "1985.78", TOP_UP: "814.22"}}],
    "lines_csv": CSV,
    "reason": "Kept in spreadsheets until September.",
    "document_sha256": SHA,
}


async def opened(service: Service) -> Any:
    await service.first.does(OPENING, POSITION)
    return await service.cesar.does(f"{OPENING}/agreement")


async def balances(service: Service, query: str = "") -> dict[str, Any]:
    told: dict[str, Any] = await service.first.reads(f"{AWARD_ITSELF}/balances{query}")
    assert told["trial_balance"] == "0.00"
    return told


class TestAnOpeningPosition:
    async def test_is_told_with_its_lines_to_those_who_may_see_them(self, service: Service) -> None:
        made = await service.first.post(OPENING, POSITION)
        assert (made.status_code, made.headers["Location"]) == (201, OPENING)
        told = await service.cesar.reads(OPENING)
        assert (told["status"], told["reason"], told["lines"], told["document_sha256"]) == (
            "proposed",
            POSITION["reason"],
            2,
            SHA,
        )
        assert [told[sum_] for sum_ in ("assessed", "allotted", "paid", "due", "owed_back")] == [
            "2800.00",
            "2800.00",
            "2414.22",
            "485.78",
            "100.00",
        ]
        assert told["splits"] == POSITION["splits"]
        first = await service.cesar.reads(f"{OPENING}/lines?limit=1")
        second = await service.cesar.reads(f"{OPENING}/lines?after={first['next']}")
        lines = [*first["rows"], *second["rows"]]
        assert [(each["line"], each["participant"], each["assessed"]) for each in lines] == [
            (1, "KIR-0001", "1400.00"),
            (2, "kir-0002", "1400.00"),
        ]
        assert second["next"] is None
        (seen, _) = (await service.abe.reads(f"{OPENING}/lines"))["rows"]
        assert (seen["participant"], seen["participant_token"], seen["outcome"]) == (None, None, "ENTRY")
        assert (await service.abe.reads(OPENING))["reason"] is None
        assert slug(await service.ivo.get(OPENING)) == (403, "role-is-missing")

    async def test_counts_in_balances_accrual_statement_and_position(self, service: Service) -> None:
        await opened(service)
        told = await balances(service)
        assert [told[name] for name in ("claimed", "accepted", "assessed", "allotted", "paid", "due", "open", "reversed")] == [
            "2800.00",
            "2800.00",
            "2800.00",
            "2900.00",
            "2414.22",
            "485.78",
            "100.00",
            "100.00",
        ]
        assert told["remaining"] == "2347200.00"
        payers = {each["payer"]: (each["paid"], each["remaining"]) for each in told["payers"]}
        assert payers == {KIRKLEES: ("1500.00", None), TOP_UP: ("914.22", "682705.78")}
        (year,) = told["years"]
        assert (year["year"], year["assessed"], year["paid"]) == ("2020-21", "2800.00", "2414.22")
        accrual = await service.first.reads(f"{AWARD_ITSELF}/accrual?effective_on=2021-03-31")
        assert (accrual["unpaid"], accrual["accrued"]) == ("485.78", "485.78")
        statement = await service.first.reads(f"{AWARD_ITSELF}/statement")
        (before, now) = statement["years"]
        assert (before["year"], before["assessed"], before["paid"], before["closing"]) == (
            "2020-21",
            "2800.00",
            "2314.22",
            "485.78",
        )
        assert (now["opening"], now["paid"], now["closing"]) == ("485.78", "100.00", "385.78")
        position = await service.first.reads("/v1/fund/position")
        assert [position[name] for name in ("assessed", "paid", "unpaid", "receivable")] == [
            "2800.00",
            "2414.22",
            "485.78",
            "100.00",
        ]

    async def test_takes_effect_year_by_year_and_is_there_from_its_entry_on(self, service: Service) -> None:
        position = (await service.first.does(OPENING, POSITION))["position"]
        service.clock.forward(days=1)
        await service.cesar.does(f"{OPENING}/agreement")
        assert (await balances(service, "?effective_on=2021-03-30"))["assessed"] == "0.00"
        assert (await balances(service, "?effective_on=2021-03-31"))["assessed"] == "2800.00"
        assert (await balances(service, f"?as_of={position}"))["assessed"] == "0.00"
        for moment in (f"as_of={position}", "effective_on=2021-10-01"):
            assert (await service.first.reads(f"{OPENING}?{moment}"))["status"] == "proposed"
        assert (await service.first.reads(OPENING))["status"] == "agreed"
        assert slug(await service.first.get(f"{OPENING}?effective_on=2021-09-30")) == (404, "no-such-award")

    async def test_is_gone_on_from_by_claims_and_payments(self, service: Service) -> None:
        done = await opened(service)
        assert {each["type"] for each in done["entries"]} == {
            "opening-position.agreed",
            "opening-position.figures-opened",
            "award.assessed",
            "award.receivable-changed",
            "payment.fell-due",
            "receivable.opened",
        }
        assert done["count"] == len(done["entries"]) + 2
        await story.approve(service)
        due = await service.first.reads(f"{AWARD_ITSELF}/payments/1/{KIRKLEES}")
        assert (due["stage"], due["amount"], due["claim"]) == ("approved", "485.78", None)
        await story.submit(service, "2021-Q3", [story.line(participant="KIR-0002"), story.line(participant="KIR-0003")])
        verification = f"{AWARD_ITSELF}/claims/2021-Q3/verification"
        refused = await service.vera.post(verification, {"others": "accepted"})
        assert (slug(refused), [each["where"] for each in refused.json()["faults"]]) == (
            (409, "participant-limits-broken"),
            ["lines.1"],
        )
        rest = {"lines": [{"line": 1, "rejected": "1", "reason": "achieved-earlier"}], "others": "accepted"}
        await service.vera.does(verification, rest)
        made = await service.audrey.reads(f"{AWARD_ITSELF}/assessments/2")
        assert (made["lines"][0]["before"], made["lines"][0]["after"]) == ("2800.00", "4200.00")
        netted = await service.first.reads(f"{AWARD_ITSELF}/payments/2/{TOP_UP}")
        assert (netted["gross"], netted["netted"], netted["amount"]) == (
            "407.10",
            [{"assessment": 1, "amount": "100.00"}],
            "307.10",
        )
        opening = await service.audrey.reads(f"{AWARD_ITSELF}/assessments/1")
        assert (opening["kind"], opening["allotted"], opening["paid_before"], opening["reversed"]) == (
            "opening-position",
            {KIRKLEES: "485.78"},
            {KIRKLEES: "1500.00", TOP_UP: "914.22"},
            {TOP_UP: "100.00"},
        )
        sentences = [row["sentence"] for row in (await service.audrey.reads(f"{AWARD_ITSELF}/trail"))["rows"]]
        came = "£2,800.00 assessed elsewhere by 30 September 2021, with 2 lines of participants"
        for expected in (
            f"Proposed an opening position: {came}; a second person must agree.",
            "Listed 1 figure of the opening position.",
            "Listed 2 lines of participants for the opening position.",
            "Agreed the opening position, by assessment 1.",
            "Opened 2 figures of the opening position.",
            "Recognised 1 achievement of a participant from before the award's opening position.",
            "Assessment 1, of an opening position: £2,800.00 assessed.",
        ):
            assert expected in sentences

    async def test_needs_two_persons_and_may_be_rehearsed(self, service: Service) -> None:
        rehearsed = await service.first.post(f"{OPENING}?dry_run=true", POSITION)
        assert (rehearsed.status_code, slug(await service.first.get(OPENING))) == (200, (404, "no-such-opening-position"))
        await service.first.does(OPENING, POSITION, key="open")
        again = await service.first.post(OPENING, POSITION, key="open")
        assert again.headers["Idempotency-Hit"] == "true"
        assert slug(await service.ada.post(OPENING, POSITION)) == (409, "opening-position-is-proposed")
        agreement = f"{OPENING}/agreement"
        assert slug(await service.first.post(agreement)) == (403, "proposer-may-not-open")
        assert slug(await service.cora.post(agreement)) == (403, "role-is-missing")
        person = await service.person("Priya", SOCIAL_PRIME)
        priya = await service.give_key(person, "certifier")
        assert slug(await priya.post(agreement)) == (403, "beneficiary-may-not-open")
        tried = (await service.ada.post(f"{agreement}?dry_run=true")).json()
        done = await service.ada.does(agreement)
        assert [each["type"] for each in done["entries"]] == [each["type"] for each in tried["entries"]]
        assert slug(await service.cesar.post(agreement)) == (409, "no-opening-position-is-proposed")
        assert slug(await service.first.post(OPENING, POSITION)) == (409, "opening-position-is-agreed")

    async def test_is_withdrawn_and_proposed_anew(self, service: Service) -> None:
        assert slug(await service.ada.post(f"{OPENING}/withdrawal", {"reason": "None."})) == (404, "no-such-opening-position")
        await service.first.does(OPENING, POSITION)
        await service.ada.does(f"{OPENING}/withdrawal", {"reason": "A column was missing."})
        assert (await service.first.reads(OPENING))["status"] == "withdrawn"
        await opened(service)

    async def test_cannot_come_after_a_claim(self, service: Service) -> None:
        await story.submit(service)
        refused = await service.first.post(OPENING, POSITION)
        assert (slug(refused), refused.json()["details"]["claims"]) == ((409, "award-has-begun"), ["2021-Q3"])

    async def test_erased_participants_are_recognised_and_not_told(self, service: Service) -> None:
        await opened(service)
        erasing = {"reason": "data-subject-request", "participants": ["kir-0001"]}
        await service.first.does(f"{AWARD_ITSELF}/erasures", erasing)
        lines = (await service.cesar.reads(f"{OPENING}/lines"))["rows"]
        assert [each["participant"] for each in lines] == [None, "kir-0002"]
        assert (await balances(service))["assessed"] == "2800.00"
        texts = (await service.audrey.reads(f"{AWARD_ITSELF}/texts"))["rows"]
        assert POSITION["reason"] in [each["text"] for each in texts]


class TestWhatIsSent:
    async def test_is_refused_row_by_row_with_all_else_and_names_nobody(self, service: Service) -> None:
        table = f"{HEADING}\nKIR-1,ENTRY,1,1 June,1400\nQQ123456C,ENTRY,1,2020-06-01,1400.00,x\nKIR-3,ENTRY,,2020-06-01"
        sent = {**POSITION, "stands_on": "yesterday", "lines_csv": table}
        answer = await service.first.post(OPENING, sent)
        assert slug(answer) == (422, "request-is-wrong")
        assert [fault["where"] for fault in answer.json()["faults"]] == [
            "stands_on",
            "lines.1.achieved_on",
            "lines.1.assessed",
            "lines.2.participant",
            "lines.2.cells",
            "lines.3.quantity",
            "lines.3.assessed",
        ]
        assert "QQ123456C" not in answer.text
        assert slug(await service.first.get(OPENING)) == (404, "no-such-opening-position")

    @pytest.mark.parametrize("table", ["", "participant,outcome\nKIR-1,ENTRY", f'{HEADING}\n"'])
    async def test_must_be_a_table_of_these_columns(self, service: Service, table: str) -> None:
        answer = await service.first.post(OPENING, {**POSITION, "lines_csv": table})
        assert slug(answer) == (422, "request-is-wrong")

    async def test_has_lines_in_one_way(self, service: Service) -> None:
        line = {
            "participant": "KIR-0001",
            "outcome": "ENTRY",
            "quantity": "1",
            "achieved_on": "2020-06-01",
            "assessed": "1400.00",
        }
        lines = [line, {**line, "participant": "KIR-0002"}]
        assert slug(await service.first.post(OPENING, {**POSITION, "lines": lines})) == (422, "request-is-wrong")
        await service.first.does(OPENING, {**POSITION, "lines_csv": None, "lines": lines})

    async def test_must_agree_with_itself_and_the_terms(self, service: Service) -> None:
        payers = [{**POSITION["payers"][0], "due": "485.77"}, {**POSITION["payers"][1], "payer": SOCIAL_PRIME}]
        answer = await service.first.post(OPENING, {**POSITION, "payers": payers, "lines_csv": f"{HEADING}\n"})
        assert slug(answer) == (422, "opening-position-does-not-fit")
        assert [fault["where"] for fault in answer.json()["faults"]] == ["payers.0.allotted", "payers.1.payer", "lines"]
