"""Bank details over HTTP: two persons, masked, and nowhere but in the vault and the file for the bank (L1, L5)."""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from api import logs
from tests.api import story
from tests.api.story import ACCOUNT, AWARD, INVESTOR, SOCIAL_PRIME, Service, slug

DETAILS = f"/v1/parties/{SOCIAL_PRIME}/bank-details"
OTHER = {"sort_code": "30-96-26", "account_number": "12345678", "account_name": "KBOP No. 2"}
FULL = ("55779911", "12345678", "200000", "20-00-00", "309626", "30-96-26")
"""What nobody may read."""


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that is logged, at the most talkative level."""
    out = io.StringIO()
    logs.configure("debug", "json", out)
    yield out
    logs.configure("error")


class TestProposal:
    async def test_waits_for_a_second_person_who_gives_the_same_details(self, service: Service) -> None:
        done = await service.first.post(f"{DETAILS}/proposal", OTHER)
        assert (done.status_code, done.headers["Location"], done.headers["ETag"]) == (201, DETAILS, '"3"')
        told = await service.ada.reads(DETAILS)
        assert (told["agreed"]["number"], told["waiting"]["number"]) == (1, 2)
        await service.ada.does(f"{DETAILS}/agreement", OTHER)
        told = await service.ada.reads(DETAILS)
        assert told == {
            "party": SOCIAL_PRIME,
            "agreed": {
                "number": 2,
                "sort_code": "••-••-••",
                "account_number": "••••5678",
                "account_name": "KBOP No. 2",
                "proposed_by": service.first.person,
                "agreed_by": service.ada.person,
            },
            "waiting": None,
        }

    async def test_refuses_the_proposer_under_any_key(self, service: Service) -> None:
        await service.first.does(f"{DETAILS}/proposal", OTHER)
        other_key = await service.give_key(service.first.person, "administrator")
        for holder in (service.first, other_key):
            assert slug(await holder.post(f"{DETAILS}/agreement", OTHER)) == (403, "proposer-may-not-agree-details")

    async def test_refuses_other_details_than_were_proposed(self, service: Service) -> None:
        await service.first.does(f"{DETAILS}/proposal", OTHER)
        wrong = await service.ada.post(f"{DETAILS}/agreement", {**OTHER, "account_number": "12345687"})
        assert slug(wrong) == (422, "bank-details-differ")
        assert "1234" not in wrong.text

    async def test_is_tried_without_being_recorded(self, service: Service) -> None:
        tried = await service.first.post(f"{DETAILS}/proposal", OTHER, params={"dry_run": "true"})
        assert (tried.status_code, tried.json()["entries"][0]["type"]) == (200, "bank-details.proposed")
        assert not any(each in tried.text for each in FULL)
        assert (await service.first.reads(DETAILS))["waiting"] is None

    async def test_is_recorded_once_whoever_often_it_is_sent(self, service: Service) -> None:
        one = await service.first.post(f"{DETAILS}/proposal", OTHER, key="details-2")
        again = await service.first.post(f"{DETAILS}/proposal", OTHER, key="details-2")
        assert again.headers["Idempotency-Hit"] == "true"
        assert one.json() == again.json()

    async def test_is_turned_down_with_a_reason(self, service: Service) -> None:
        await service.first.does(f"{DETAILS}/proposal", OTHER)
        await service.ada.does(f"{DETAILS}/withdrawal", {"reason": "The letter was forged"})
        told = await service.audrey.reads(DETAILS)
        assert (told["agreed"]["number"], told["waiting"]) == (1, None)
        assert slug(await service.ada.post(f"{DETAILS}/agreement", OTHER)) == (409, "no-bank-details-wait")

    async def test_refuses_a_party_that_there_is_not(self, service: Service) -> None:
        absent = "/v1/parties/GB-COH-99999999/bank-details"
        assert slug(await service.first.post(f"{absent}/proposal", OTHER)) == (404, "no-such-party")
        assert slug(await service.first.get(absent)) == (404, "no-such-party")
        assert slug(await service.first.get(f"/v1/parties/{INVESTOR}/bank-details")) == (404, "no-such-bank-details")


class TestReading:
    async def test_is_as_of_then_and_cached_by_version(self, service: Service) -> None:
        then = (await service.first.get(DETAILS)).headers["Ledger-Position"]
        await story.agree_details(service, account_number="12345678")
        now = await service.first.get(DETAILS)
        assert now.json()["agreed"]["account_number"] == "••••5678"
        assert (await service.first.reads(DETAILS, params={"as_of": then}))["agreed"]["account_number"] == "••••9911"
        assert (await service.first.get(DETAILS, headers={"If-None-Match": now.headers["ETag"]})).status_code == 304

    async def test_is_for_administrators_auditors_and_those_who_let_money_go(self, service: Service) -> None:
        for name in ("ada", "audrey", "abe", "rhea"):
            assert (await service.cast[name].get(DETAILS)).status_code == 200, name
        for name in ("cora", "vera", "cesar", "ivo"):
            assert slug(await service.cast[name].get(DETAILS)) == (403, "role-is-missing")

    async def test_is_for_the_payees_of_ones_own_awards(self, service: Service) -> None:
        await story.agree_details(service, INVESTOR)
        elsewhere = await service.give_key(service.abe.person, "approver", awards=("INDIGO-POJ-0176",))
        everywhere = await service.give_key(service.abe.person, "approver", awards=("*",))
        assert slug(await elsewhere.get(DETAILS)) == (404, "no-such-party")
        assert slug(await service.abe.get(f"/v1/parties/{INVESTOR}/bank-details")) == (404, "no-such-party")
        assert (await everywhere.get(DETAILS)).status_code == 200


class TestTheNumber:
    async def test_is_nowhere_but_in_the_vault(self, service: Service, logged: io.StringIO, tmp_path: Path) -> None:
        said: list[str] = []

        async def ask(deed: str, body: Any) -> None:
            said.append((await service.first.post(f"{DETAILS}/{deed}", body)).text)

        await story.agree_details(service, **OTHER)
        await ask("proposal", {**OTHER, "account_number": "123456789", "sort_code": "30962"})
        await ask("proposal", {**OTHER, "iban": "GB12345678", "account_name": "=12345678"})
        await ask("proposal", [OTHER])
        await ask("proposal", OTHER)
        await ask("agreement", OTHER)
        await ask("withdrawal", OTHER)
        paths = ("/v1/entries", "/v1/parties", f"/v1/awards/{AWARD}/trail", DETAILS, "/v1/metrics", "/v1/events")
        said.extend([(await service.audrey.get(path)).text for path in paths])
        told = "\n".join(said)
        assert "bank-details.proposed" in told
        assert not [each for each in FULL if each in told + logged.getvalue()]
        stored = b"".join(file.read_bytes() for file in (tmp_path / "ledger").rglob("*") if file.is_file())
        assert b"bank-details.proposed" in stored
        assert not [
            each
            for each in (ACCOUNT["account_number"], OTHER["account_number"], ACCOUNT["account_name"])
            if each.encode() in stored
        ]
