"""Who reads is written down: who, what, by which key, from where; and nothing that should not be."""

from typing import Any

import pytest

from ledger.disclosures import Disclosures
from ledger.failures import Unavailable
from tests.api.story import AWARD, Service

BALANCES = f"/v1/awards/{AWARD}/balances"


async def told(service: Service, **asked: Any) -> list[dict[str, Any]]:
    """What Audrey finds, without her own asking."""
    rows: list[dict[str, Any]] = (await service.audrey.reads("/v1/disclosures", params=asked))["rows"]
    return [row for row in rows if row["route"] != "GET /v1/disclosures"]


async def last(service: Service) -> dict[str, Any]:
    return (await told(service))[0]


class TestAReading:
    async def test_is_kept_with_who_what_and_from_where(self, service: Service) -> None:
        head = service.app.state.ledger.head().size
        answer = await service.vera.get(BALANCES, params={"as_of": str(head), "effective_on": "2021-10-01"})
        kept = await last(service)
        del kept["number"], kept["told_at"]
        assert kept == {
            "person": service.vera.person,
            "key": service.vera.key,
            "origin": "127.0.0.1",
            "route": "GET /v1/awards/{award}/balances",
            "resource": BALANCES,
            "award": AWARD,
            "as_of": head,
            "effective_on": "2021-10-01",
            "status": 200,
            "rows": None,
            "request": answer.headers["Request-Id"],
        }

    async def test_of_what_lies_between_two_moments_tells_both(self, service: Service) -> None:
        head = service.app.state.ledger.head().size
        for what in ("replay", "difference"):
            await service.vera.reads(f"/v1/awards/{AWARD}/{what}", params={"from": 3, "to": head})
            kept = await last(service)
            assert (kept["resource"], kept["as_of"]) == (f"/v1/awards/{AWARD}/{what}?from=3", head)

    async def test_of_a_list_tells_how_many_rows(self, service: Service) -> None:
        parties = (await service.audrey.reads("/v1/parties"))["rows"]
        assert (await last(service))["rows"] == len(parties)
        trail = (await service.audrey.reads(f"/v1/awards/{AWARD}/trail", params={"limit": 2}))["rows"]
        assert (await last(service))["rows"] == len(trail) == 2
        entries = (await service.audrey.reads("/v1/entries", params={"limit": 3}))["rows"]
        assert (await last(service))["rows"] == len(entries) == 3

    async def test_that_is_refused_is_kept_without_the_names_that_were_tried(self, service: Service) -> None:
        await service.vera.get("/v1/awards/JOHN-SMITH/claims/BORN-1983-02-11")
        kept = await last(service)
        assert (kept["status"], kept["person"]) == (404, service.vera.person)
        assert "SMITH" not in str(kept)
        assert "1983" not in str(kept)

    async def test_that_is_refused_names_an_award_that_the_key_names(self, service: Service) -> None:
        await service.vera.get(f"/v1/awards/{AWARD}/erasures")
        kept = await last(service)
        assert (kept["status"], kept["award"], kept["resource"]) == (403, AWARD, None)

    async def test_keeps_nothing_that_was_searched_for(self, service: Service) -> None:
        await service.vera.get(BALANCES, params={"participant": "KBOP-0001"})
        assert "KBOP-0001" not in str(await last(service))

    async def test_by_nobody_is_not_kept(self, service: Service) -> None:
        before = len(await told(service))
        assert (await service.nobody.get(BALANCES)).status_code == 401
        assert (await service.nobody.get("/v1/health/live")).status_code == 200
        assert len(await told(service)) == before


class TestACommand:
    async def test_is_in_the_log_and_so_not_kept(self, service: Service) -> None:
        before = len(await told(service))
        await service.first.does("/v1/parties", {"party": "GB-CHC-1111111", "name": "Harbour Trust"})
        assert len(await told(service)) == before

    async def test_that_only_tries_is_kept(self, service: Service) -> None:
        body = {"party": "GB-CHC-1111111", "name": "Harbour Trust"}
        assert (await service.first.post("/v1/parties", body, params={"dry_run": "true"})).status_code == 200
        kept = await last(service)
        assert (kept["route"], kept["status"]) == ("POST /v1/parties?dry_run=true", 200)
        assert "Harbour" not in str(kept)


class TestTheList:
    async def test_tells_of_itself_too(self, service: Service) -> None:
        await service.audrey.reads("/v1/disclosures")
        (row, *_) = (await service.audrey.reads("/v1/disclosures"))["rows"]
        assert (row["route"], row["person"]) == ("GET /v1/disclosures", service.audrey.person)

    async def test_is_filtered_and_goes_on(self, service: Service) -> None:
        for name in ("vera", "cora", "vera"):
            await service.cast[name].reads(BALANCES)
        assert len(await told(service, person=service.vera.person, award=AWARD)) == 2
        page = await service.audrey.reads("/v1/disclosures", params={"limit": 1, "award": AWARD.lower()})
        then = await service.audrey.reads("/v1/disclosures", params={"limit": 1, "award": AWARD, "after": page["next"]})
        assert [each["rows"][0]["person"] for each in (page, then)] == [service.vera.person, service.cora.person]
        moment = then["rows"][0]["told_at"]
        assert len(await told(service, award=AWARD, since=moment)) == 2
        assert len(await told(service, award=AWARD, until=moment)) == 2

    async def test_is_not_for_everybody(self, service: Service) -> None:
        assert (await service.vera.get("/v1/disclosures")).status_code == 403

    @pytest.mark.parametrize(
        "asked", [{"since": "yesterday"}, {"since": "2021-10-01T09:00:00"}, {"after": "?"}, {"person": "a b"}]
    )
    async def test_refuses_what_it_cannot_be_asked(self, service: Service, asked: dict[str, str]) -> None:
        assert (await service.audrey.get("/v1/disclosures", params=asked)).status_code == 422


class TestWhatCannotBeKept:
    async def test_is_not_told_when_too_much_waits_and_commands_go_on(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        disclosures: Disclosures = service.app.state.disclosures

        disclosures.write_what_waits()

        def fail(*_: Any) -> None:
            raise Unavailable("its disk is full")

        with monkeypatch.context() as failing:
            failing.setattr(disclosures, "_write", fail)
            failing.setattr(disclosures, "_most", 1)
            await service.vera.get(BALANCES)
            with pytest.raises(Unavailable):
                disclosures.write_what_waits()
            refused = await service.vera.get(BALANCES)
            assert (refused.status_code, refused.json()["type"]) == (503, "/problems/nothing-is-told-now")
            assert "its disk is full" in refused.text
            tried = await service.first.post("/v1/parties", {"party": "GB-CHC-1", "name": "A"}, params={"dry_run": "true"})
            assert tried.status_code == 503
            await service.first.does("/v1/parties", {"party": "GB-CHC-1111111", "name": "Harbour Trust"})
            ready = await service.nobody.get("/v1/health/ready")
            assert (ready.status_code, ready.json()["disclosures_failing"]) == (503, "its disk is full")
        disclosures.write_what_waits()
        assert (await service.vera.get(BALANCES)).status_code == 200
        assert (await service.nobody.get("/v1/health/ready")).json()["disclosures_failing"] is None
        assert [row["status"] for row in await told(service, person=service.vera.person)] == [200, 200]
