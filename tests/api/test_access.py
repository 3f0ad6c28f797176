"""Who may see and do what: roles, awards, keys; and what is not told."""

import json
import re
from pathlib import Path

import pytest

from api.identity import FIRST_KEY_FILE, first_administrator
from api.settings import Settings
from domain.aggregate import Command
from ledger.ledger import Ledger, Recorded, Request
from tests.api import story
from tests.api.story import AWARD, KIRKLEES, Holder, Service, slug

CLAIMS = f"/v1/awards/{AWARD}/claims"
TEXTS = ("KIR-0042", "Tenancy agreement of 2 August")
READS = (
    f"/v1/awards/{AWARD}",
    CLAIMS,
    f"{CLAIMS}/2021-Q3",
    f"/v1/awards/{AWARD}/payments",
    f"/v1/awards/{AWARD}/payments/1/{KIRKLEES}",
    f"/v1/awards/{AWARD}/balances",
    f"/v1/awards/{AWARD}/trail",
    f"/v1/awards/{AWARD}/replay",
    f"/v1/awards/{AWARD}/difference",
)


class TestAKey:
    async def test_must_be_shown(self, service: Service) -> None:
        answer = await service.nobody.get("/v1/awards")
        assert slug(answer) == (401, "key-is-missing")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")

    @pytest.mark.parametrize(
        "spoil", [lambda key: key[:-1] + "!", lambda key: "lcl_" + "0" * 16 + key[20:], lambda _: "Kirklees"]
    )
    async def test_must_be_one_of_the_ledger(self, service: Service, spoil: object) -> None:
        assert callable(spoil)
        wrong = Holder(service.http, service.app, spoil(service.first.secret))
        answer = await wrong.get("/v1/awards")
        assert slug(answer) == (401, "key-is-wrong")
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]

    async def test_opens_nothing_with_another_key_s_secret(self, service: Service) -> None:
        mixed = str(service.vera.secret)[:20] + str(service.cora.secret)[20:]
        assert (await Holder(service.http, service.app, mixed).get("/v1/me")).status_code == 401

    async def test_opens_nothing_once_it_is_revoked(self, service: Service) -> None:
        assert (await service.first.delete(f"/v1/keys/{service.vera.key}")).status_code == 201
        assert slug(await service.vera.get("/v1/me")) == (401, "key-is-wrong")
        assert slug(await service.first.delete(f"/v1/keys/{service.vera.key}")) == (409, "key-is-revoked")

    async def test_is_asked_for_before_the_body_is_looked_at(self, service: Service) -> None:
        answer = await service.nobody.post("/v1/awards", headers={"Content-Type": "application/json"}, content=b"{")
        assert answer.status_code == 401
        answer = await service.cora.post("/v1/awards", headers={"Content-Type": "application/json"}, content=b"{")
        assert slug(answer) == (403, "role-is-missing")


class TestAnAwardOutsideTheKey:
    async def test_is_as_one_that_does_not_exist(self, service: Service) -> None:
        await story.agree_award(service, "INDIGO-POJ-0176")
        for path in READS:
            hidden = await service.cora.get(path.replace(AWARD, "INDIGO-POJ-0176"))
            absent = await service.cora.get(path.replace(AWARD, "INDIGO-POJ-9999"))
            assert slug(hidden) == (404, "no-such-award")
            assert hidden.text.replace("0176", "9999") == absent.text
        claimed = await service.cora.post("/v1/awards/INDIGO-POJ-0176/claims", story.claim())
        assert slug(claimed) == (404, "no-such-award")
        assert [row["reference"] for row in (await service.cora.reads("/v1/awards"))["rows"]] == [AWARD]
        assert len((await service.audrey.reads("/v1/awards"))["rows"]) == 2

    async def test_is_found_without_regard_to_case_within_it(self, service: Service) -> None:
        assert (await service.cora.reads(f"/v1/awards/{AWARD.lower()}"))["reference"] == AWARD

    async def test_hides_the_runs_that_it_has_a_payment_in(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        await story.approve(service)
        await story.draw_up(service)
        elsewhere = await service.give_key(service.rhea.person, "releaser", awards=("INDIGO-POJ-0176",))
        for answer in (
            await elsewhere.get("/v1/payment-runs/KIR-2021-10"),
            await elsewhere.post("/v1/payment-runs/KIR-2021-10/release"),
        ):
            assert slug(answer) == (404, "no-such-run")


class TestARole:
    @pytest.mark.parametrize(
        ("path", "allowed"),
        [
            ("/v1/awards", {"first", "ada"}),
            (f"/v1/awards/{AWARD}/closing", {"first", "ada"}),
            (CLAIMS, {"first", "ada", "cora"}),
            (f"{CLAIMS}/2021-Q3/withdrawal", {"cora"}),
            (f"{CLAIMS}/2021-Q3/answer", {"cora"}),
            (f"{CLAIMS}/2021-Q3/verification", {"vera"}),
            (f"{CLAIMS}/2021-Q3/query", {"vera", "cesar"}),
            (f"{CLAIMS}/2021-Q3/certification", {"cesar"}),
            (f"/v1/awards/{AWARD}/payments/1/{KIRKLEES}/approval", {"abe"}),
            (f"/v1/awards/{AWARD}/payments/1/{KIRKLEES}/hold", {"first", "ada"}),
            ("/v1/payment-runs", {"first", "ada"}),
            ("/v1/payment-runs/KIR-2021-10/release", {"rhea"}),
            ("/v1/keys", {"first", "ada"}),
            ("/v1/people", {"first", "ada"}),
            ("/v1/parties", {"first", "ada"}),
            ("/v1/webhooks", {"first", "ada", "ivo"}),
        ],
    )
    async def test_may_do_what_it_is_for_and_nothing_else(self, service: Service, path: str, allowed: set[str]) -> None:
        for name, holder in {**service.cast, "first": service.first}.items():
            answer = await holder.post(path, {})
            refused = answer.status_code == 403 and slug(answer)[1] == "role-is-missing"
            assert refused is (name not in allowed), name

    async def test_of_an_auditor_reads_all_and_writes_nothing(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        paths = (*READS, "/v1/entries", "/v1/keys", "/v1/people", "/v1/parties", "/v1/payment-runs", "/v1/events", "/v1/metrics")
        for path in paths:
            assert (await service.audrey.get(path)).status_code == 200, path

    @pytest.mark.parametrize("path", ["/v1/entries", "/v1/keys", "/v1/people", "/v1/parties", "/v1/payment-runs", "/v1/metrics"])
    async def test_of_others_does_not_read_what_is_not_of_its_awards(self, service: Service, path: str) -> None:
        for name in ("cora", "vera", "cesar", "abe", "rhea", "ivo"):
            assert slug(await service.cast[name].get(path)) == (403, "role-is-missing")


class TestParticipants:
    async def test_are_told_to_those_who_decide_and_to_the_claimant_s_party(self, service: Service) -> None:
        await story.submit(service)
        colleague = await service.give_key(await service.person("Peter", story.PROVIDER), "claimant")
        for name in ("cora", "vera", "cesar", "audrey", "ada"):
            text = (await service.cast[name].get(f"{CLAIMS}/2021-Q3")).text
            assert all(each in text for each in TEXTS), name
        for holder in (service.abe, service.rhea, service.ivo, colleague):
            text = (await holder.get(f"{CLAIMS}/2021-Q3")).text
            assert not any(each in text for each in TEXTS)

    async def test_and_lines_and_persons_are_not_told_to_investors(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        claim = await service.ivo.reads(f"{CLAIMS}/2021-Q3")
        assert (claim["value"], claim["assessed"], claim["lines"]) == ("2800.00", "2800.00", None)
        assert slug(await service.ivo.get(f"/v1/awards/{AWARD}/assessments/1")) == (403, "role-is-missing")
        trail = await service.ivo.reads(f"/v1/awards/{AWARD}/trail")
        assert not any(re.search("participant|lines", row["type"]) for row in trail["rows"])
        assert {row["person"] for row in trail["rows"]} == {None}

    async def test_are_not_in_the_log(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        log = json.dumps(await service.audrey.reads("/v1/entries?limit=500"))
        assert not any(each in log for each in (*TEXTS, "Cora", "lcl_"))


class TestTheFirstStart:
    async def test_writes_the_administrator_s_key_for_its_owner_only(self, bare: Service) -> None:
        file = bare.settings.data_dir / FIRST_KEY_FILE
        assert file.stat().st_mode & 0o777 == 0o600
        assert (await bare.first.reads("/v1/me"))["roles"] == ["administrator"]
        assert [found.name for found in file.parent.glob(f"{FIRST_KEY_FILE}*")] == [FIRST_KEY_FILE]

    async def test_is_the_only_one_that_does(self, bare: Service) -> None:
        size = bare.app.state.ledger.head().size
        assert first_administrator(bare.app.state.ledger, bare.settings) is None
        assert bare.app.state.ledger.head().size == size

    async def test_may_be_finished_by_another_process_that_starts_meanwhile(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        record = Ledger.record_now

        def start_another(ledger: Ledger, decide: Command, request: Request) -> Recorded:
            recorded = record(ledger, decide, request)
            monkeypatch.undo()
            assert first_administrator(ledger, Settings(data_dir=tmp_path)) is None
            return recorded

        (tmp_path / FIRST_KEY_FILE).write_text("the lost ledger's")
        monkeypatch.setattr(Ledger, "record_now", start_another)
        async with story.serving(tmp_path) as service:
            assert (await service.first.reads("/v1/me"))["roles"] == ["administrator"]
        assert _keys_in(tmp_path) == {"the lost ledger's", service.first.secret}

    async def test_keeps_the_key_of_another_ledger_beside_it(self, tmp_path: Path) -> None:
        """It may be the only one by which that ledger can be restored."""
        (tmp_path / FIRST_KEY_FILE).write_text("the lost ledger's")
        async with story.serving(tmp_path) as service:
            assert (await service.first.reads("/v1/me"))["roles"] == ["administrator"]
        assert _keys_in(tmp_path) == {"the lost ledger's", service.first.secret}


def _keys_in(folder: Path) -> set[str]:
    return {file.read_text("utf-8").strip() for file in folder.glob(f"{FIRST_KEY_FILE}*")}
