"""Bank details over HTTP: two persons, masked, and nowhere but in the vault and the file for the bank (L1, L5)."""

import io
import json
import re
import sqlite3
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from api import logs
from tests.api import story
from tests.api.story import ACCOUNT, AWARD, INVESTOR, KIRKLEES, PROVIDER, SOCIAL_PRIME, Service, slug

PAYMENT = f"/v1/awards/{AWARD}/payments/1/{KIRKLEES}"
RUN = "/v1/payment-runs/KIR-2021-10"
DETAILS = f"/v1/parties/{SOCIAL_PRIME}/bank-details"
OTHER = {"sort_code": "30-96-26", "account_number": "12345678", "account_name": "KBOP No. 2"}
FULL = ("55779911", "12345678", "200000", "20-00-00", "309626", "30-96-26")
"""What nobody may read."""


def spelled_out(text: str) -> list[str]:
    """What stands in full in a text, as a number of its own: among the digits of hashes and random names six come by chance."""
    return [each for each in FULL if re.search(rf"(?<![0-9A-Za-z.]){each}(?![0-9A-Za-z.])", text)]


@pytest_asyncio.fixture
async def approved(service: Service) -> Service:
    """A claim of two lines, of which Kirklees' part is approved."""
    await story.submit(service)
    await story.verify(service)
    await story.approve(service)
    return service


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
        assert not spelled_out(tried.text)
        assert (await service.first.reads(DETAILS))["waiting"] is None

    async def test_is_recorded_once_whoever_often_it_is_sent(self, service: Service) -> None:
        one = await service.first.post(f"{DETAILS}/proposal", OTHER, key="details-2")
        again = await service.first.post(f"{DETAILS}/proposal", OTHER, key="details-2")
        assert again.headers["Idempotency-Hit"] == "true"
        assert one.json() == again.json()

    async def test_leaves_no_hash_by_which_it_could_be_guessed(self, service: Service, tmp_path: Path) -> None:
        body = json.dumps(OTHER).encode()
        path = f"{DETAILS}/proposal"
        sent = await service.first.post(path, content=body, headers={"Content-Type": "application/json"}, key="details-2")
        assert sent.status_code == 201
        log = sqlite3.connect(f"file:{tmp_path / 'ledger' / 'ledger.sqlite3'}?mode=ro", uri=True)
        ((kept,),) = log.execute("SELECT fingerprint FROM receipts WHERE key = 'details-2'").fetchall()
        log.close()
        guessed = sha256(f"POST {path} [] application/json\n".encode() + body)
        assert kept not in {guessed.hexdigest(), sha256(body).hexdigest()}
        assert kept == service.app.state.ledger.vault.seals.fingerprint(guessed.digest())

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


class TestARun:
    """Two payers' runs of one payee, whose details change between drawing up and release."""

    async def test_carries_the_details_of_its_payees(self, approved: Service) -> None:
        await story.draw_up(approved)
        (listed,) = (await approved.rhea.reads(RUN))["payments"]
        assert (listed["bank_details"], listed["stopped"]) == (1, False)
        await approved.rhea.does(f"{RUN}/release")
        file = await approved.rhea.get(f"{RUN}/export")
        assert file.text.splitlines() == [
            "award,assessment,payer,payee,amount,reference,sort_code,account_number,account_name",
            f"{AWARD},1,{KIRKLEES},{SOCIAL_PRIME},1985.78,KIR-2021-10/1,200000,55779911,KBOP No. 2",
        ]

    async def test_needs_an_approval_for_the_details_of_now(self, approved: Service) -> None:
        assert (await approved.ivo.reads(PAYMENT))["bank_details"] == 1
        await story.agree_details(approved, **OTHER)
        body = {"run": "KIR-2021-10", "payer": KIRKLEES, "account": "MAIN", "payments": [{"award": AWARD, "assessment": 1}]}
        refused = await approved.first.post("/v1/payment-runs", body)
        assert slug(refused) == (409, "payments-cannot-be-drawn-up")
        assert "changed after the payment was approved" in refused.json()["faults"][0]["what"]
        again = await approved.abe.does(f"{PAYMENT}/approval")
        assert [each["type"] for each in again["entries"]] == ["payment.stopped", "payment.approved"]
        assert slug(await approved.abe.post(f"{PAYMENT}/approval")) == (409, "payment-at-wrong-stage")
        await story.draw_up(approved)

    async def test_is_refused_release_when_all_of_it_would_be_stopped(self, approved: Service) -> None:
        await story.draw_up(approved)
        await story.agree_details(approved, **OTHER)
        assert slug(await approved.rhea.post(f"{RUN}/release")) == (409, "every-payment-is-stopped")
        await approved.first.does(f"{RUN}/cancellation", {"reason": "The payee has a new account"})
        await approved.abe.does(f"{PAYMENT}/approval")
        await story.draw_up(approved, "KIR-2021-11")
        await approved.rhea.does("/v1/payment-runs/KIR-2021-11/release")
        assert "309626,12345678" in (await approved.rhea.get("/v1/payment-runs/KIR-2021-11/export")).text

    async def test_leaves_out_the_payee_whose_details_changed_and_says_so(self, approved: Service) -> None:
        await self.to_another_payee(approved)
        payments = [{"award": AWARD, "assessment": number} for number in (1, 2)]
        body = {"run": "KIR-2021-10", "payer": KIRKLEES, "account": "MAIN", "payments": payments}
        await approved.first.does("/v1/payment-runs", body)
        drawn_up = await approved.rhea.reads(RUN)
        await story.agree_details(approved, **OTHER)
        tried = await approved.rhea.post(f"{RUN}/release", params={"dry_run": "true"})
        done = await approved.rhea.does(f"{RUN}/release")
        types = ["run.released", "payment.stopped", "payment.sent"]
        assert [each["type"] for each in done["entries"]] == [each["type"] for each in tried.json()["entries"]] == types
        run = await approved.rhea.reads(RUN)
        assert (drawn_up["count"], run["count"], run["stopped"], run["stage"]) == (2, 1, 1, "released")
        assert [each["stopped"] for each in run["payments"]] == [True, False]
        assert run["total"] == run["payments"][1]["amount"]
        (row,) = (await approved.first.reads("/v1/payment-runs"))["rows"]
        assert (row["count"], row["total"]) == (1, run["total"])
        file = await approved.first.get(f"{RUN}/export")
        assert (file.headers["Ledger-Run-Count"], sha256(file.content).hexdigest()) == ("1", run["file_sha256"])
        assert file.text.splitlines()[1:] == [
            f"{AWARD},2,{KIRKLEES},{PROVIDER},{run['total']},KIR-2021-10/1,200000,55779911,KBOP No. 2"
        ]
        stopped = await approved.ivo.reads(PAYMENT)
        assert (stopped["stage"], stopped["run"], stopped["approved_by"], stopped["bank_details"]) == ("due", None, None, None)
        told = await approved.audrey.reads(f"/v1/awards/{AWARD}/balances")
        assert (told["in_run"], told["sent"], told["trial_balance"]) == ("0.00", run["total"], "0.00")
        trail = await approved.audrey.reads(f"/v1/awards/{AWARD}/trail")
        (said,) = [each["sentence"] for each in trail["rows"] if each["type"] == "payment.stopped"]
        assert said == (
            f"Stopped the payment of £1,985.78 by {KIRKLEES} in run KIR-2021-10: its payee's bank details changed after it was"
            " approved, so it needs a new approval."
        )

    @staticmethod
    async def to_another_payee(service: Service) -> None:
        """A second claim, under terms by which Kirklees pays the provider; its payment is approved."""
        await story.agree_details(service, PROVIDER)
        kirklees, top_up = story.TERMS["payers"]
        payers = [{**kirklees, "payee": PROVIDER}, top_up]
        further = {**story.TERMS, "effective_from": "2021-08-10", "payers": payers}
        await service.first.does(f"/v1/awards/{AWARD}/terms", {"terms": further, "reason": "The provider is paid by itself."})
        await service.ada.does(f"/v1/awards/{AWARD}/terms/2/agreement")
        await story.submit(service, "2021-Q3b", [story.line(participant="KIR-0044", on="2021-09-02")])
        await story.verify(service, "2021-Q3b")
        await story.approve(service, 2)


class TestApproval:
    async def test_refuses_a_payee_without_bank_details(self, bare: Service) -> None:
        await story.gather(bare)
        kirklees, top_up = story.TERMS["payers"]
        await story.agree_award(bare, payers=[{**kirklees, "payee": PROVIDER}, top_up])
        await story.submit(bare)
        await story.verify(bare)
        assert slug(await bare.abe.post(f"{PAYMENT}/approval")) == (409, "payee-has-no-bank-details")


class TestTheNumber:
    async def test_is_nowhere_but_in_the_vault_and_the_file_for_the_bank(
        self, approved: Service, logged: io.StringIO, tmp_path: Path
    ) -> None:
        service = approved
        said: list[str] = [str(await service.first.reads(PAYMENT))]
        await story.draw_up(service)
        said.append((await service.rhea.post(f"{RUN}/release", params={"dry_run": "true"})).text)
        said.append((await service.rhea.post(f"{RUN}/release")).text)
        assert "55779911" in (await service.rhea.get(f"{RUN}/export")).text

        async def ask(deed: str, body: Any) -> None:
            said.append((await service.first.post(f"{DETAILS}/{deed}", body)).text)

        await story.agree_details(service, **OTHER)
        await ask("proposal", {**OTHER, "account_number": "123456789", "sort_code": "30962"})
        await ask("proposal", {**OTHER, "iban": "GB12345678", "account_name": "=12345678"})
        await ask("proposal", [OTHER])
        await ask("proposal", OTHER)
        await ask("agreement", OTHER)
        await ask("withdrawal", OTHER)
        paths = (
            "/v1/entries",
            "/v1/parties",
            "/v1/payment-runs",
            RUN,
            f"/v1/awards/{AWARD}/payments",
            f"/v1/awards/{AWARD}/trail",
            DETAILS,
            "/v1/metrics",
            "/v1/events",
        )
        said.extend([(await service.audrey.get(path)).text for path in paths])
        told = "\n".join(said)
        assert "bank-details.proposed" in told
        assert not spelled_out(told + logged.getvalue())
        stored = b"".join(file.read_bytes() for file in (tmp_path / "ledger").rglob("*") if file.is_file())
        assert b"bank-details.proposed" in stored
        assert not [
            each
            for each in (ACCOUNT["account_number"], OTHER["account_number"], ACCOUNT["account_name"])
            if each.encode() in stored
        ]
