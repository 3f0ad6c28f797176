"""L1 through the service: every step that needs another person, tried with the wrong one, and with a second key of theirs."""

import pytest

from tests.api import story
from tests.api.story import AWARD, KIRKLEES, SOCIAL_PRIME, TOP_UP, Service, slug

CLAIMS = f"/v1/awards/{AWARD}/claims"
PAYMENT = f"/v1/awards/{AWARD}/payments/1/{KIRKLEES}"
NEXT_TERMS = {"terms": {**story.TERMS, "effective_from": "2022-04-01"}, "reason": "The next financial year."}
BACKLOG = {"received_on": "2021-09-30", "reason": "It lay in another inbox."}


class TestAgreeAward:
    async def test_refuses_whoever_registered_it(self, bare: Service) -> None:
        await story.gather(bare)
        await bare.first.does("/v1/awards", {"reference": AWARD, "title": "Kirklees", "terms": story.TERMS})
        other_key = await bare.give_key(bare.first.person, "administrator")
        for holder in (bare.first, other_key):
            assert slug(await holder.post(f"/v1/awards/{AWARD}/agreement")) == (403, "proposer-may-not-agree")


class TestAgreeTerms:
    async def test_refuses_whoever_proposed_them(self, service: Service) -> None:
        await service.first.does(f"/v1/awards/{AWARD}/terms", NEXT_TERMS)
        agreement = f"/v1/awards/{AWARD}/terms/2/agreement"
        other_key = await service.give_key(service.first.person, "administrator")
        for holder in (service.first, other_key):
            assert slug(await holder.post(agreement)) == (403, "proposer-may-not-agree")
        await service.ada.does(agreement)


class TestConfirmReceipt:
    async def test_refuses_whoever_stated_it(self, service: Service) -> None:
        body = {**story.claim(), "claimant": SOCIAL_PRIME, "backlog": BACKLOG}
        await service.first.does(CLAIMS, body)
        other_key = await service.give_key(service.first.person, "verifier")
        for holder in (service.first, other_key):
            answer = await holder.post(f"{CLAIMS}/2021-Q3/receipt-confirmation")
            assert slug(answer) == (403, "stater-may-not-confirm")
        assert slug(await service.vera.post(f"{CLAIMS}/2021-Q3/verification", {"others": "accepted"})) == (
            409,
            "receipt-is-not-confirmed",
        )
        await service.ada.does(f"{CLAIMS}/2021-Q3/receipt-confirmation")
        await story.verify(service)


class TestVerify:
    @pytest.mark.parametrize("path", ["verification", "query"])
    async def test_refuses_whoever_submitted_the_claim_or_is_of_the_party(self, service: Service, path: str) -> None:
        await story.submit(service)
        body = {"others": "accepted"} if path == "verification" else {"question": "Which home?"}
        other_key = await service.give_key(service.cora.person, "verifier")
        colleague = await service.give_key(await service.person("Colin", SOCIAL_PRIME), "verifier")
        for holder in (other_key, colleague):
            assert slug(await holder.post(f"{CLAIMS}/2021-Q3/{path}", body)) == (403, "claimant-may-not-decide")


class TestCertify:
    async def test_refuses_the_claimant_and_the_verifier(self, service: Service) -> None:
        await service.first.does(
            f"/v1/awards/{AWARD}/terms",
            {**NEXT_TERMS, "terms": {**story.TERMS, "effective_from": "2022-04-01", "certification": True}},
        )
        await service.ada.does(f"/v1/awards/{AWARD}/terms/2/agreement")
        service.clock.forward(days=200)
        lines = [story.line(on="2022-04-02")]
        body = {**story.claim("2022-Q2", lines), "period": {"first": "2022-04-01", "last": "2022-06-30"}}
        await service.cora.does(CLAIMS, body)
        await story.verify(service, "2022-Q2")
        certificate = {"decision": "certified"}
        verifier = await service.give_key(service.vera.person, "certifier")
        assert slug(await verifier.post(f"{CLAIMS}/2022-Q2/certification", certificate)) == (403, "verifier-may-not-certify")
        for person in (service.cora.person, await service.person("Colin", SOCIAL_PRIME)):
            of_the_claimant = await service.give_key(person, "certifier")
            answer = await of_the_claimant.post(f"{CLAIMS}/2022-Q2/certification", certificate)
            assert slug(answer) == (403, "claimant-may-not-decide")
        await service.cesar.does(f"{CLAIMS}/2022-Q2/certification", certificate)


class TestApprove:
    async def test_refuses_whoever_claimed_or_verified(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        for person in (service.cora.person, service.vera.person):
            other_key = await service.give_key(person, "approver")
            assert slug(await other_key.post(f"{PAYMENT}/approval")) == (403, "approver-took-part")


class TestRelease:
    async def test_refuses_whoever_drew_the_run_up_or_approved_in_it(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        await story.approve(service)
        await story.draw_up(service)
        release = "/v1/payment-runs/KIR-2021-10/release"
        drawer = await service.give_key(service.first.person, "releaser")
        approver = await service.give_key(service.abe.person, "releaser")
        assert slug(await drawer.post(release)) == (403, "releaser-drew-up-the-run")
        assert slug(await approver.post(release)) == (403, "releaser-approved")
        await service.rhea.does(release)


class TestConfirmReport:
    async def test_refuses_whoever_reported(self, bare: Service) -> None:
        await story.gather(bare)
        kirklees, top_up = story.TERMS["payers"]
        await story.agree_award(bare, payers=[kirklees, {**top_up, "pays": "by-itself"}])
        await story.submit(bare)
        await story.verify(bare)
        payment = f"/v1/awards/{AWARD}/payments/1/{TOP_UP}"
        report = {"reference": "LCF-2021-10-0042", "value_date": "2021-10-01"}
        await bare.first.does(f"{payment}/reported-payment", report)
        other_key = await bare.give_key(bare.first.person, "approver")
        for holder in (bare.first, other_key):
            assert slug(await holder.post(f"{payment}/reported-payment-confirmation")) == (403, "reporter-may-not-confirm")
        await bare.first.does(f"{payment}/reported-payment-withdrawal")
        await bare.first.does(f"{payment}/reported-payment", report)
        await bare.ada.does(f"{payment}/reported-payment-confirmation")
        assert (await bare.ivo.reads(payment))["stage"] == "paid"


class TestAgreeKey:
    async def test_refuses_whoever_issued_or_holds_it(self, service: Service) -> None:
        body = {"person": service.ada.person, "roles": ["approver"], "awards": [AWARD]}
        issued = await service.first.does("/v1/keys", body)
        agreement = f"/v1/keys/{issued['key']}/agreement"
        assert slug(await service.first.post(agreement)) == (403, "issuer-may-not-agree")
        assert slug(await service.ada.post(agreement)) == (403, "holder-may-not-agree")

    async def test_lets_nobody_in_before(self, service: Service) -> None:
        body = {"person": service.vera.person, "roles": ["approver"], "awards": [AWARD]}
        issued = await service.first.does("/v1/keys", body)
        waiting = story.Holder(service.http, service.app, issued["secret"])
        assert slug(await waiting.get("/v1/me")) == (401, "key-is-wrong")
        await service.ada.does(f"/v1/keys/{issued['key']}/agreement")
        assert (await waiting.reads("/v1/me"))["roles"] == ["approver"]

    async def test_is_not_needed_once_for_the_second_administrator(self, bare: Service) -> None:
        people = [await bare.person(name, "XX-LCL-OPERATOR") for name in ("Ada", "Bea")]
        issued = [await bare.first.does("/v1/keys", {"person": person, "roles": ["administrator"]}) for person in people]
        assert [each["needs_agreement"] for each in issued] == [False, True]
