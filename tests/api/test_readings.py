"""What every question can ask: as of when, after what, from where on, and only if it changed."""

from tests.api import story
from tests.api.story import AWARD, KIRKLEES, Service, slug

CLAIMS = f"/v1/awards/{AWARD}/claims"
BALANCES = f"/v1/awards/{AWARD}/balances"


class TestAsOf:
    async def test_shows_what_was_recorded_by_a_position_or_a_time(self, service: Service) -> None:
        await story.submit(service)
        before = service.clock.now
        position = int((await service.cora.get(BALANCES)).headers["Ledger-Position"])
        service.clock.forward(days=1)
        await story.verify(service)
        for moment in (str(position), before.isoformat().replace("+00:00", "Z"), before.isoformat()):
            claim = await service.vera.get(f"{CLAIMS}/2021-Q3", params={"as_of": moment})
            assert (claim.json()["status"], claim.headers["Ledger-Position"]) == ("submitted", str(position))
            balances = await service.vera.reads(BALANCES, params={"as_of": moment})
            assert (balances["undecided"], balances["assessed"]) == ("2800.00", "0.00")
            assert (await service.vera.reads(f"{CLAIMS}", params={"as_of": moment}))["rows"][0]["status"] == "submitted"
            assert (await service.vera.reads(f"/v1/awards/{AWARD}/payments", params={"as_of": moment}))["rows"] == []
            trail = await service.vera.reads(f"/v1/awards/{AWARD}/trail", params={"as_of": moment})
            assert trail["rows"][-1]["position"] == position
        assert slug(await service.vera.get(f"/v1/awards/{AWARD}/assessments/1?as_of={position}")) == (404, "no-such-assessment")
        assert (await service.vera.reads(BALANCES))["assessed"] == "2800.00"

    async def test_refuses_what_lies_ahead_and_what_is_no_moment(self, service: Service) -> None:
        for ahead in ("999999", "2030-01-01T00:00:00Z"):
            assert slug(await service.vera.get(f"{BALANCES}?as_of={ahead}")) == (422, "moment-is-ahead")
        for wrong in ("yesterday", "2021-10-01", "-1", "2021-13-01T00:00:00Z", "0001-01-01T00:00:00+14:00"):
            assert slug(await service.vera.get(BALANCES, params={"as_of": wrong})) == (422, "request-is-wrong")

    async def test_goes_back_to_before_anything_was(self, service: Service) -> None:
        for earliest in ("0", "2000-01-01T00:00:00Z"):
            refused = await service.audrey.get(f"/v1/awards/{AWARD}", params={"as_of": earliest})
            assert slug(refused) == (404, "no-such-award")
            assert refused.json()["details"] == {"name": AWARD, "as_of": earliest}


class TestEffectiveOn:
    async def test_leaves_out_what_comes_later(self, service: Service) -> None:
        await story.submit(service, lines=[story.line(on="2021-07-05"), story.line(participant="KIR-0043", on="2021-09-05")])
        assert (await service.cora.reads(f"{BALANCES}?effective_on=2021-07-31"))["claimed"] == "1400.00"
        assert slug(await service.cora.get(f"{BALANCES}?effective_on=July")) == (422, "request-is-wrong")


class TestETags:
    async def test_spare_whoever_has_the_answer(self, service: Service) -> None:
        await story.submit(service)
        path = f"{CLAIMS}/2021-Q3"
        etag = (await service.vera.get(path)).headers["ETag"]
        assert (await service.vera.get(path, headers={"If-None-Match": f'"99", {etag}'})).status_code == 304
        await story.verify(service)
        assert (await service.vera.get(path, headers={"If-None-Match": etag})).status_code == 200


class TestMinPosition:
    async def test_is_waited_for_and_then_refused(self, service: Service) -> None:
        object.__setattr__(service.settings, "min_position_wait_s", 0.05)
        for path in (BALANCES, f"/v1/awards/{AWARD}"):
            late = await service.cora.get(path, headers={"Ledger-Min-Position": "999999"})
            assert slug(late) == (503, "position-not-reached")
            assert late.headers["Retry-After"] == "1"
        position = service.app.state.ledger.head().size
        assert (await service.cora.get(BALANCES, headers={"Ledger-Min-Position": str(position)})).status_code == 200
        wrong = await service.cora.get(BALANCES, headers={"Ledger-Min-Position": "soon"})
        assert slug(wrong) == (400, "header-is-wrong")


class TestLists:
    async def test_go_on_where_the_page_before_ended(self, service: Service) -> None:
        for number in range(5):
            await story.submit(service, f"C-{number}", [story.line(participant=f"KIR-{number}")])
        seen, after = [], None
        while True:
            page = await service.cora.reads(CLAIMS, params={"limit": 2, **({"after": after} if after else {})})
            seen += [row["claim"] for row in page["rows"]]
            after = page["next"]
            if after is None:
                break
        assert seen == [f"C-{number}" for number in range(5)]

    async def test_refuse_a_cursor_that_they_did_not_give(self, service: Service) -> None:
        await story.submit(service)
        for path in (CLAIMS, f"{CLAIMS}/2021-Q3", "/v1/awards"):
            for wrong in ("kirklees", "!!", "w6k"):
                assert slug(await service.ada.get(path, params={"after": wrong})) == (422, "request-is-wrong")

    async def test_give_a_claim_s_lines_page_by_page(self, service: Service) -> None:
        await story.submit(service, lines=[story.line(participant=f"KIR-{number}") for number in range(7)])
        first = await service.cora.reads(f"{CLAIMS}/2021-Q3?limit=5")
        rest = await service.cora.reads(f"{CLAIMS}/2021-Q3?after={first['next']}")
        assert [line["line"] for line in first["lines"] + rest["lines"]] == list(range(1, 8))
        assert (first["count"], rest["next"]) == (7, None)

    async def test_of_payments_are_those_of_a_payer_or_a_stage(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        await story.approve(service)
        payments = f"/v1/awards/{AWARD}/payments"
        assert [row["payer"] for row in (await service.ivo.reads(f"{payments}?stage=approved"))["rows"]] == [KIRKLEES]
        assert [row["stage"] for row in (await service.ivo.reads(f"{payments}?payer={KIRKLEES}"))["rows"]] == ["approved"]
        assert slug(await service.ivo.get(f"{payments}?payer=%00")) == (422, "request-is-wrong")  # PostgreSQL has no such text


class TestTheLog:
    async def test_is_given_byte_by_byte(self, service: Service) -> None:
        from hashlib import sha256

        page = await service.audrey.reads("/v1/entries?after=3&limit=4")
        assert [row["position"] for row in page["rows"]] == [4, 5, 6, 7]
        assert page["next"] == 7
        for row in page["rows"]:
            assert sha256(b"\0" + row["header"].encode("ascii") + row["state"].encode()).hexdigest() == row["leaf"]


class TestWords:
    async def test_of_a_hold_are_read_by_those_who_let_money_go_and_by_nobody_else(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        held = f"/v1/awards/{AWARD}/payments/1/{KIRKLEES}/hold"
        await service.first.does(held, {"reason": "The tenancy is being looked into"})
        for who, words in {
            "audrey": "The tenancy is being looked into",
            "abe": "The tenancy is being looked into",
            "ivo": None,
        }.items():
            rows = (await service.cast[who].reads(f"/v1/awards/{AWARD}/trail"))["rows"]
            (step,) = [row for row in rows if row["type"] == "payment.held"]
            assert step["words"] == {"reason": words}, who


async def test_an_award_can_be_read_as_of_the_middle_of_its_registration(service: Service) -> None:
    registered = next(row for row in service.app.state.ledger.entries(0, 500) if row.type == "award.registered").position
    (listed,) = (await service.first.reads(f"/v1/awards?as_of={registered}"))["rows"]
    shown = await service.first.reads(f"/v1/awards/{listed['reference']}?as_of={registered}")
    assert (listed["award_amount"], shown["versions"], shown["in_force"]) == (None, [], None)
    balances = await service.first.reads(f"/v1/awards/{listed['reference']}/balances?as_of={registered}")
    assert balances["remaining"] is None
