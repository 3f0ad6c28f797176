"""People sign in with an identity provider: it says who they are, the ledger's keys say what they may do."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from api.tokens import Issuer
from tests.api import story
from tests.api.provider import AUDIENCE, EC, ISSUER, JWKS_URL, NEVER, NEXT, RSA, Provider, listening
from tests.api.server import Place, asked, served
from tests.api.story import AWARD, KIRKLEES, Holder, Service

SETTINGS: dict[str, Any] = {"oidc_issuer": ISSUER, "oidc_audience": AUDIENCE, "oidc_jwks_url": JWKS_URL}


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest_asyncio.fixture
async def service(tmp_path: Path, provider: Provider) -> AsyncIterator[Service]:
    """A service that takes the provider's tokens, with the story's cast."""
    async with (
        story.serving(tmp_path / "ledger", **SETTINGS) as service,
        httpx.AsyncClient(transport=provider.transport) as http,
    ):
        ledger = service.app.state.ledger
        service.app.state.issuer = Issuer(ISSUER, AUDIENCE, JWKS_URL, http=http, now=lambda: ledger.now().timestamp())
        await story.gather(service)
        await story.agree_award(service)
        yield service


def slug(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


async def let_in(service: Service, subject: str, person: str, *roles: str, by: Holder | None = None) -> dict[str, Any]:
    body = {"person": person, "roles": roles, "awards": [] if set(roles) <= {"administrator", "auditor"} else [AWARD]}
    issued: dict[str, Any] = await (by or service.first).does("/v1/keys", {**body, "subject": subject})
    return issued


def signed_in(service: Service, token: str) -> Holder:
    return Holder(service.http, service.app, token)


class TestSigningIn:
    async def test_opens_what_the_key_says(self, service: Service, provider: Provider) -> None:
        issued = await let_in(service, "rosa|1", service.vera.person, "verifier")
        assert issued["secret"] is None
        me = await signed_in(service, provider.token("rosa|1")).reads("/v1/me")
        assert (me["person"], me["key"], me["opened_by"]) == (service.vera.person, issued["key"], "sign-in")
        assert (me["roles"], me["awards"]) == (["verifier"], [AWARD])
        assert (await service.vera.reads("/v1/me"))["opened_by"] == "secret"

    async def test_opens_nothing_that_the_provider_says(self, service: Service, provider: Provider) -> None:
        await let_in(service, "rosa|1", service.vera.person, "verifier")
        token = provider.token("rosa|1", roles=["administrator"], groups=["administrator"], scope="administrator")
        assert slug(await signed_in(service, token).get("/v1/keys")) == (403, "role-is-missing")

    async def test_is_told_of_a_key_wherever_keys_are(self, service: Service) -> None:
        issued = await let_in(service, "rosa|1", service.vera.person, "verifier")
        assert (await service.audrey.reads(f"/v1/keys/{issued['key']}"))["opened_by"] == "sign-in"
        listed = (await service.audrey.reads("/v1/keys"))["rows"]
        assert {each["key"] for each in listed if each["opened_by"] == "sign-in"} == {issued["key"]}

    async def test_leaves_no_subject_in_the_log(self, service: Service, provider: Provider) -> None:
        await let_in(service, "rosa.mbeki@kirklees.test", service.vera.person, "verifier")
        log = json.dumps(await service.audrey.reads("/v1/entries?limit=500"))
        assert "sign-in.given" in log
        assert "rosa.mbeki" not in log

    async def test_makes_no_second_pair_of_eyes_of_one_person(self, service: Service, provider: Provider) -> None:
        await let_in(service, "cora|1", service.cora.person, "verifier")
        await story.submit(service)
        cora = signed_in(service, provider.token("cora|1"))
        body = {"lines": [], "others": "accepted"}
        answer = await cora.post(f"/v1/awards/{AWARD}/claims/2021-Q3/verification", body)
        assert answer.status_code == 403
        assert slug(answer)[1] != "role-is-missing"

    async def test_records_under_the_person_not_the_token(self, service: Service, provider: Provider) -> None:
        await let_in(service, "ada|1", service.ada.person, "administrator")
        keys = (await service.audrey.reads("/v1/keys"))["rows"]
        waiting = next(each["key"] for each in keys if each["opened_by"] == "sign-in")
        third = await service.person("Kim, who administers as well", KIRKLEES)
        kim = await service.give_key(third, "administrator")
        await kim.does(f"/v1/keys/{waiting}/agreement")
        ada = signed_in(service, provider.token("ada|1"))
        issued = await let_in(service, "rosa|1", service.vera.person, "approver", by=ada)
        assert (await service.audrey.reads(f"/v1/keys/{issued['key']}"))["issued_by"] == service.ada.person
        # The issuer is one person, whichever key is shown.
        assert slug(await service.ada.post(f"/v1/keys/{issued['key']}/agreement")) == (403, "issuer-may-not-agree")


class TestASignIn:
    async def test_over_money_waits_for_a_second_person(self, service: Service, provider: Provider) -> None:
        issued = await let_in(service, "abe|1", service.abe.person, "approver")
        abe = signed_in(service, provider.token("abe|1"))
        assert slug(await abe.get("/v1/me")) == (401, "sign-in-waits")
        assert slug(await service.first.post(f"/v1/keys/{issued['key']}/agreement")) == (403, "issuer-may-not-agree")
        await service.ada.does(f"/v1/keys/{issued['key']}/agreement")
        assert (await abe.reads("/v1/me"))["roles"] == ["approver"]

    async def test_that_is_revoked_opens_nothing_until_another_is_issued(self, service: Service, provider: Provider) -> None:
        issued = await let_in(service, "rosa|1", service.vera.person, "verifier")
        rosa = signed_in(service, provider.token("rosa|1"))
        assert (await service.first.delete(f"/v1/keys/{issued['key']}")).status_code == 201
        assert slug(await rosa.get("/v1/me")) == (401, "sign-in-is-revoked")
        again = await let_in(service, "rosa|1", service.vera.person, "verifier")
        assert (await rosa.reads("/v1/me"))["key"] == again["key"]

    async def test_is_one_person_s(self, service: Service) -> None:
        await let_in(service, "rosa|1", service.vera.person, "verifier")
        body = {"person": service.cora.person, "roles": ["claimant"], "awards": [AWARD], "subject": "rosa|1"}
        assert slug(await service.first.post("/v1/keys", body)) == (409, "sign-in-has-key")

    async def test_is_the_same_again_when_its_request_is_repeated(self, service: Service) -> None:
        body = {"person": service.vera.person, "roles": ["verifier"], "awards": [AWARD], "subject": "rosa|1"}
        first = await service.first.post("/v1/keys", body, key="rosa")
        again = await service.first.post("/v1/keys", body, key="rosa")
        assert (again.status_code, again.json()["key"], again.headers["Idempotency-Hit"]) == (201, first.json()["key"], "true")

    @pytest.mark.parametrize("subject", ["", "x" * 256, "rosa\n", "rosä", 1])
    async def test_names_somebody_whom_a_provider_could_name(self, service: Service, subject: Any) -> None:
        body = {"person": service.vera.person, "roles": ["verifier"], "awards": [AWARD], "subject": subject}
        assert slug(await service.first.post("/v1/keys", body)) == (422, "request-is-wrong")

    async def test_has_no_secret_that_opens_it(self, service: Service) -> None:
        issued = await let_in(service, "rosa|1", service.vera.person, "verifier")
        mark = service.app.state.ledger.vault.seals.sign_in(ISSUER, "rosa|1")
        for secret in ("A" * 43, mark[:43]):
            holder = signed_in(service, f"lcl_{issued['key']}_{secret}")
            assert slug(await holder.get("/v1/me")) == (401, "key-is-wrong")


class TestARefusedToken:
    @pytest.mark.parametrize(
        ("claims", "refusal"),
        [
            ({"exp": 1}, "token-has-expired"),
            ({"aud": "another"}, "token-for-another-audience"),
            ({"iss": "https://elsewhere.test"}, "token-of-another-issuer"),
            ({"nbf": NEVER}, "token-is-not-yet-valid"),
            ({"sub": "nobody"}, "sign-in-is-unknown"),
            ({"sub": "ROSA|1"}, "sign-in-is-unknown"),
        ],
    )
    async def test_is_told_why(self, service: Service, provider: Provider, claims: dict[str, Any], refusal: str) -> None:
        await let_in(service, "rosa|1", service.vera.person, "verifier")
        token = provider.token(**{"subject": "rosa|1", **claims})
        answer = await signed_in(service, token).get("/v1/me")
        assert slug(answer) == (401, refusal)
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]
        assert not any(part in answer.text for part in token.split("."))

    async def test_may_be_told_to_come_again(self, service: Service, provider: Provider) -> None:
        provider.up = False
        answer = await signed_in(service, provider.token("rosa|1")).get("/v1/me")
        assert slug(answer) == (503, "issuer-is-away")
        assert int(answer.headers["Retry-After"]) > 0
        assert (await service.vera.reads("/v1/me"))["opened_by"] == "secret"

    async def test_is_not_in_the_logs(
        self, service: Service, provider: Provider, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("DEBUG")
        await let_in(service, "rosa|1", service.vera.person, "verifier")
        tokens = [
            provider.token("rosa|1"),
            provider.token("nobody"),
            provider.token("rosa|1", NEXT),
            provider.token("rosa|1", exp=1),
        ]
        for token in tokens:
            await signed_in(service, token).get("/v1/me")
        told = capfd.readouterr()
        said = caplog.text + told.out + told.err
        assert "rosa|1" not in said
        assert not any(part in said for token in tokens for part in token.split(".")[1:])

    async def test_is_a_wrong_key_where_no_provider_is_set(self, bare: Service, provider: Provider) -> None:
        answer = await signed_in(bare, provider.token("rosa|1")).get("/v1/me")
        assert slug(answer) == (401, "key-is-wrong")
        body = {"person": bare.first.person, "roles": ["auditor"], "subject": "rosa|1"}
        assert slug(await bare.first.post("/v1/keys", body)) == (422, "sign-ins-are-off")


class TestTheDocument:
    async def test_knows_both_ways_to_say_who_asks(self, service: Service) -> None:
        document = (await service.nobody.get("/v1/openapi.json")).json()
        assert document["components"]["securitySchemes"]["sign-in"]["bearerFormat"] == "JWT"
        assert document["paths"]["/v1/me"]["get"]["security"] == [{"key": []}, {"sign-in": []}]


class TestARealProvider:
    async def test_is_found_asked_and_changes_its_keys(self, tmp_path: Path) -> None:
        with listening() as provider:
            settings: dict[str, Any] = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE}
            async with story.serving(tmp_path / "ledger", **settings) as service:
                await let_in(service, "first|1", service.first.person, "auditor")
                for key in (RSA, EC):
                    assert (await signed_in(service, provider.token("first|1", key)).reads("/v1/me"))["roles"] == ["auditor"]
                assert provider.asked == 2
                provider.keys = [NEXT]
                service.app.state.issuer._asked_at -= 31
                assert (await signed_in(service, provider.token("first|1", NEXT)).reads("/v1/me"))["roles"] == ["auditor"]
                assert slug(await signed_in(service, provider.token("first|1", RSA)).get("/v1/me")) == (401, "token-key-unknown")

    async def test_may_be_down_from_the_start(self, tmp_path: Path) -> None:
        with listening() as provider:
            gone = provider.issuer
        async with story.serving(tmp_path / "ledger", oidc_issuer=gone, oidc_audience=AUDIENCE) as service:
            answer = await signed_in(service, provider.token("first|1")).get("/v1/me")
            assert slug(answer) == (503, "issuer-is-away")


class TestProcesses:
    @pytest.mark.long
    async def test_that_serve_one_ledger_all_know_who_signed_in(self, tmp_path: Path, postgres_url: str) -> None:
        with listening() as provider:
            more = {"oidc_issuer": provider.issuer, "oidc_audience": AUDIENCE}
            doors = [Place(tmp_path / name, postgres_url, more=more) for name in ("front", "back")]
            with served(doors[0]) as front, served(doors[1]) as back:
                async with asked(doors[0], front) as service, httpx.AsyncClient(base_url=back.address, timeout=60) as http:
                    me = await service.first.reads("/v1/me")
                    issued = await let_in(service, "first|1", me["person"], "auditor")
                    token = {"Authorization": f"Bearer {provider.token('first|1', RSA)}"}
                    answer = await http.get("/v1/me", headers=token)
                    assert (answer.status_code, answer.json()["key"]) == (200, issued["key"])
                    await service.first.delete(f"/v1/keys/{issued['key']}")
                    assert slug(await http.get("/v1/me", headers=token)) == (401, "sign-in-is-revoked")
            said = "".join(log.read_text("utf-8") for door in doors for log in door.folder.glob("*.log"))
            assert "first|1" not in said
            assert token["Authorization"].split(".")[1] not in said
