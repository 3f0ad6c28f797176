"""Webhooks are registered, challenged, changed, rotated and removed by those whose awards they are told of."""

import asyncio
import base64
import hmac
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import pytest_asyncio
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from ledger.ledger import Ledger
from projections.deliveries import Attempt, Coming, Outcome
from projections.deliveries import State as Waits
from tests.api import story
from tests.api.receiver import Heard, Receiver, receiving
from tests.api.server import Place, asked, forked
from tests.api.story import AWARD, Holder, Service, slug

WEBHOOKS: Final = "/v1/webhooks"
OTHER: Final = "INDIGO-POJ-0176"


@pytest_asyncio.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as listening:
        yield listening


async def registered(holder: Holder, receiver: Receiver, **asked: Any) -> Any:
    return await holder.does(WEBHOOKS, {"url": receiver.url, **asked})


async def told(holder: Holder, receiver: Receiver, **asked: Any) -> str:
    """The address of a webhook that has answered its challenge."""
    made = await registered(holder, receiver, **asked)
    await holder.does(f"{WEBHOOKS}/{made['webhook']}/challenge")
    return f"{WEBHOOKS}/{made['webhook']}"


def expect_signed(heard: Heard, secret: str, public_key: str) -> None:
    """Verify both signatures, as Standard Webhooks describes them."""
    signed = f"{heard.headers['webhook-id']}.{heard.headers['webhook-timestamp']}.".encode() + heard.body
    found = [each.split(",") for each in heard.headers["webhook-signature"].split()]
    mac = hmac.digest(base64.b64decode(secret.removeprefix("whsec_")), signed, "sha256")
    assert ["v1", base64.b64encode(mac).decode()] in found
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    assert any(kind == "v1a" and _verifies(key, base64.b64decode(each), signed) for kind, each in found)


def _verifies(key: Ed25519PublicKey, signature: bytes, signed: bytes) -> bool:
    try:
        key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True


class TestRegister:
    @pytest.mark.parametrize(
        ("host", "kind"),
        [
            ("10.1.2.3", "private"), ("169.254.169.254", "link-local"), ("100.64.0.1", "carrier"), ("[fd00::1]", "private"),
            ("[::ffff:192.168.0.1]", "IPv4 in IPv6"),
        ],
    )  # fmt: skip
    async def test_refuses_an_address_that_is_nobody_s_to_call(self, service: Service, host: str, kind: str) -> None:
        answer = await service.ivo.post(WEBHOOKS, {"url": f"https://{host}/"})
        assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (422, "address-is-not-anybodys")
        assert kind in answer.json()["details"]["because"]
        assert "LCLEDGER_WEBHOOK_NETWORKS" in answer.json()["detail"]
        assert (await service.ivo.reads(WEBHOOKS))["rows"] == []

    async def test_shows_the_secret_once(self, service: Service, receiver: Receiver) -> None:
        body = {"url": receiver.url, "description": "The reporting desk", "awards": [AWARD], "types": ["payment.*"]}
        first = await service.ivo.post(WEBHOOKS, body, key="my-endpoint")
        made = first.json()
        assert made["secret"].startswith("whsec_")
        assert len(base64.b64decode(made["secret"].removeprefix("whsec_"))) == 32
        assert first.headers["Cache-Control"] == "no-store"
        assert first.headers["Location"] == f"{WEBHOOKS}/{made['webhook']}"
        again = await service.ivo.post(WEBHOOKS, body, key="my-endpoint")
        assert again.headers["Idempotency-Hit"] == "true"
        assert again.json() == {**made, "secret": None}
        shown = await service.ivo.get(f"{WEBHOOKS}/{made['webhook']}")
        assert "whsec" not in shown.text
        assert "whsk" not in shown.text
        assert shown.json()["secrets"] == [{"number": 1, "public_key": made["public_key"], "until": None}]

    async def test_is_told_nothing_yet(self, service: Service, receiver: Receiver) -> None:
        made = await registered(service.ivo, receiver)
        shown = await service.ivo.reads(f"{WEBHOOKS}/{made['webhook']}")
        assert (shown["state"], shown["url"], shown["awards"], shown["types"]) == ("unconfirmed", receiver.url, ["*"], ["*"])
        assert (shown["key"], shown["party"], shown["key_usable"]) == (service.ivo.key, story.INVESTOR, True)
        assert receiver.heard == []

    async def test_tries_without_making_anything(self, service: Service, receiver: Receiver) -> None:
        answer = await service.ivo.post(f"{WEBHOOKS}?dry_run=true", {"url": receiver.url})
        assert (answer.status_code, answer.json()["secret"]) == (200, None)
        assert (await service.ivo.reads(WEBHOOKS))["rows"] == []

    @pytest.mark.parametrize(
        ("asked", "refused"),
        [
            ({"url": "http://notices.example.org/"}, (422, "address-is-not-private")),
            ({"url": "https://ivo:hunter2@notices.example.org/"}, (422, "address-has-credentials")),
            ({"url": "https://notices.example.org:22/"}, (422, "port-is-not-taken")),
            ({"url": "notices.example.org"}, (422, "address-is-malformed")),
            ({"url": f"https://notices.example.org/{'x' * 2_000}"}, (422, "request-is-wrong")),
            ({"types": ["participant.*"]}, (422, "type-is-never-told")),
            ({"types": []}, (422, "request-is-wrong")),
            ({"awards": [OTHER]}, (404, "no-such-award")),
            ({"awards": []}, (422, "request-is-wrong")),
            ({"rate_limit": 0}, (422, "request-is-wrong")),
            ({"api_version": "v2"}, (422, "request-is-wrong")),
        ],
    )
    async def test_refuses(self, service: Service, receiver: Receiver, asked: dict[str, Any], refused: tuple[int, str]) -> None:
        answer = await service.ivo.post(WEBHOOKS, {"url": receiver.url, **asked})
        assert slug(answer) == refused
        assert "hunter2" not in answer.text
        assert (await service.ivo.reads(WEBHOOKS))["rows"] == []

    async def test_refuses_this_machine_unless_it_is_set(self, bare: Service) -> None:
        bare.app.state.settings = bare.settings.model_copy(update={"webhook_loopback": False})
        answer = await bare.first.post(WEBHOOKS, {"url": "http://127.0.0.1:8080/"})
        assert slug(answer) == (422, "address-is-not-private")

    async def test_refuses_a_party_that_has_enough(self, service: Service, receiver: Receiver) -> None:
        service.app.state.settings = service.settings.model_copy(update={"webhooks_most": 2})
        first = await service.ivo.post(WEBHOOKS, {"url": receiver.url}, key="first")
        await registered(service.ivo, receiver)
        assert slug(await service.ivo.post(WEBHOOKS, {"url": receiver.url})) == (409, "too-many-webhooks")
        assert (await service.ivo.post(WEBHOOKS, {"url": receiver.url}, key="first")).headers["Idempotency-Hit"] == "true"
        await registered(service.first, receiver)
        await service.ivo.delete(f"{WEBHOOKS}/{first.json()['webhook']}")
        await registered(service.ivo, receiver)

    async def test_refuses_what_comes_at_the_same_moment(self, service: Service, receiver: Receiver) -> None:
        service.app.state.settings = service.settings.model_copy(update={"webhooks_most": 2})
        answers = await asyncio.gather(*(service.ivo.post(WEBHOOKS, {"url": receiver.url}) for _ in range(5)))
        assert sorted(each.status_code for each in answers) == [201, 201, 409, 409, 409]

    async def test_refuses_what_comes_to_two_processes_at_the_same_moment(
        self, receiver: Receiver, tmp_path: Path, postgres_url: str
    ) -> None:
        more = {"webhooks_most": 3, "webhook_loopback": True}
        doors = [Place(tmp_path / name, postgres_url, more=more) for name in ("front", "back")]
        with forked(doors[0], "serve", "--port", "0") as front:
            async with asked(doors[0], front) as service:
                with forked(doors[1], "serve", "--port", "0") as back:
                    async with httpx.AsyncClient(base_url=back.address, timeout=60) as http:
                        holders = (service.first, replace(service.first, http=http))
                        calls = [each.post(WEBHOOKS, {"url": receiver.url}) for _ in range(6) for each in holders]
                        answers = await asyncio.gather(*calls)
        assert sorted(each.status_code for each in answers) == [201] * 3 + [409] * 9

    async def test_keeps_what_is_secret_out_of_the_log(self, service: Service, receiver: Receiver) -> None:
        made = await registered(service.ivo, receiver, description="The reporting desk")
        ledger: Ledger = service.app.state.ledger
        stored = b"".join(row.state for row in ledger.log.reads.rows(0, 500))
        for word in (made["secret"], "tenant=7", "reporting desk", "whsk_"):
            assert word.encode() not in stored


class TestChallenge:
    async def test_enables_what_answers(self, service: Service, receiver: Receiver) -> None:
        made = await registered(service.ivo, receiver)
        await service.ivo.does(f"{WEBHOOKS}/{made['webhook']}/challenge")
        assert (await service.ivo.reads(f"{WEBHOOKS}/{made['webhook']}"))["state"] == "enabled"
        (heard,) = receiver.heard
        assert (heard.said["type"], heard.said["source"]) == ("webhook.challenged", f"{WEBHOOKS}/{made['webhook']}")
        assert heard.said["time"].endswith("Z")
        assert heard.headers["content-type"] == "application/cloudevents+json", "as notices are, so that it is seen at once"
        assert heard.headers["user-agent"] == "life-chances-ledger"

    async def test_is_signed_by_all_that_signs(self, service: Service, receiver: Receiver) -> None:
        made = await registered(service.ivo, receiver)
        webhook = f"{WEBHOOKS}/{made['webhook']}"
        rotated = await service.ivo.does(f"{webhook}/secrets", {"overlap_hours": 1})
        _, before = (await service.ivo.reads(webhook))["secrets"][::-1]
        assert (made["before_until"], rotated["before_until"]) == (None, before["until"])
        await service.ivo.does(f"{webhook}/challenge")
        (heard,) = receiver.heard
        for each in (made, rotated):
            expect_signed(heard, each["secret"], each["public_key"])
        assert len(heard.headers["webhook-signature"].split()) == 4
        assert heard.headers["webhook-id"] == heard.said["id"]
        heard.body = heard.body.replace(b"challenge", b"Challenge")
        with pytest.raises(AssertionError):
            expect_signed(heard, made["secret"], made["public_key"])

    @pytest.mark.parametrize(
        ("answering", "told"),
        [
            (lambda _: (200, b""), "the answer is not"),
            (lambda _: (200, b'{"challenge": "another"}'), "the answer is not"),
            (lambda _: (200, b"[" * 10_000), "the answer is not"),
            (lambda sent: (200, sent["data"]["challenge"].encode()), "the answer is not"),
            (lambda sent: (302, json.dumps(sent["data"]).encode()), "302"),
            (lambda sent: (410, json.dumps(sent["data"]).encode()), "410"),
            (lambda sent: (500, json.dumps(sent["data"]).encode()), "500"),
        ],
    )
    async def test_enables_nothing_else(self, service: Service, receiver: Receiver, answering: Any, told: str) -> None:
        receiver.answering = answering
        made = await registered(service.ivo, receiver)
        answer = await service.ivo.post(f"{WEBHOOKS}/{made['webhook']}/challenge")
        assert slug(answer) == (409, "challenge-not-answered")
        assert told in answer.json()["detail"]
        assert (await service.ivo.reads(f"{WEBHOOKS}/{made['webhook']}"))["state"] == "unconfirmed"

    async def test_says_that_nobody_is_there(self, service: Service) -> None:
        made = await service.ivo.does(WEBHOOKS, {"url": "http://127.0.0.1:9/"})
        answer = await service.ivo.post(f"{WEBHOOKS}/{made['webhook']}/challenge")
        assert slug(answer) == (409, "challenge-not-answered")
        assert "no connection" in answer.json()["detail"]

    async def test_never_calls_into_our_own_network_whatever_a_name_means(self, service: Service) -> None:
        made = await service.ivo.does(
            WEBHOOKS, {"url": "https://0xa9fea9fe/latest/meta-data"}
        )  # 169.254.169.254, as some write it.
        answer = await service.ivo.post(f"{WEBHOOKS}/{made['webhook']}/challenge")
        assert slug(answer) == (409, "challenge-not-answered")
        assert "the address is refused" in answer.json()["detail"]

    async def test_is_sent_once_however_often_it_is_asked_for_by_one_name(self, service: Service, receiver: Receiver) -> None:
        made = await registered(service.ivo, receiver)
        answers = [await service.ivo.post(f"{WEBHOOKS}/{made['webhook']}/challenge", key="answered") for _ in range(2)]
        assert [each.status_code for each in answers] == [201, 201]
        assert len(receiver.heard) == 1

    async def test_is_not_sent_where_it_would_lead_nowhere(self, service: Service, receiver: Receiver) -> None:
        webhook = await told(service.ivo, receiver)
        receiver.heard.clear()
        assert slug(await service.ivo.post(f"{webhook}/challenge")) == (409, "webhook-is-enabled")
        assert slug(await service.cora.post(f"{webhook}/challenge")) == (403, "role-is-missing")
        await service.ivo.does(f"{webhook}/disabling")
        moved = await service.ivo.post(f"{webhook}/challenge", headers={"If-Match": '"1"'})
        assert slug(moved) == (412, "version-has-moved")
        assert (await service.ivo.post(f"{webhook}/challenge?dry_run=true")).status_code == 200
        assert receiver.heard == []


class TestStates:
    async def test_follow_each_other(self, service: Service, receiver: Receiver) -> None:
        webhook = await told(service.ivo, receiver)
        await service.ivo.does(f"{webhook}/disabling")
        shown = await service.ivo.reads(webhook)
        assert (shown["state"], shown["reason"]) == ("disabled", "asked")
        assert slug(await service.ivo.post(f"{webhook}/disabling")) == (409, "webhook-is-disabled")
        await service.first.does(f"{webhook}/enabling")
        assert slug(await service.ivo.post(f"{webhook}/enabling")) == (409, "webhook-is-enabled")
        await service.ivo.does(f"{webhook}/change", {"url": receiver.url + "&desk=2"})
        assert slug(await service.ivo.post(f"{webhook}/enabling")) == (409, "webhook-is-unconfirmed")
        assert (await service.ivo.reads(webhook))["url"].endswith("desk=2")

    async def test_are_listed(self, service: Service, receiver: Receiver) -> None:
        enabled = await told(service.ivo, receiver)
        waiting = await registered(service.first, receiver)
        rows = (await service.audrey.reads(WEBHOOKS))["rows"]
        assert [row["state"] for row in rows] == ["enabled", "unconfirmed"]
        found = (await service.audrey.reads(WEBHOOKS, params={"state": "unconfirmed"}))["rows"]
        assert [row["webhook"] for row in found] == [waiting["webhook"]]
        assert rows[0] == await service.audrey.reads(enabled)

    async def test_are_as_they_were(self, service: Service, receiver: Receiver) -> None:
        webhook = await told(service.ivo, receiver)
        position = service.app.state.told
        await service.ivo.does(f"{webhook}/disabling")
        assert (await service.ivo.reads(webhook, params={"as_of": position}))["state"] == "enabled"
        assert [row["state"] for row in (await service.ivo.reads(WEBHOOKS, params={"as_of": position}))["rows"]] == ["enabled"]


class TestChange:
    async def test_changes_what_is_said(self, service: Service, receiver: Receiver) -> None:
        webhook = await told(service.ivo, receiver)
        await service.ivo.does(f"{webhook}/change", {"types": ["payment.settled"], "rate_limit": 5, "description": "Desk"})
        shown = await service.ivo.reads(webhook)
        assert (shown["state"], shown["types"], shown["rate_limit"], shown["description"]) == (
            *("enabled", ["payment.settled"], 5),
            "Desk",
        )

    async def test_refuses_to_change_nothing(self, service: Service, receiver: Receiver) -> None:
        webhook = await told(service.ivo, receiver)
        assert slug(await service.ivo.post(f"{webhook}/change", {"url": receiver.url})) == (422, "changes-nothing")

    async def test_takes_a_description_away(self, service: Service, receiver: Receiver) -> None:
        webhook = await told(service.ivo, receiver, description="The reporting desk")
        await service.ivo.does(f"{webhook}/change", {"description": ""})
        shown = await service.ivo.reads(webhook)
        assert (shown["state"], shown["description"]) == ("enabled", None)
        (listed,) = (await service.ivo.reads(WEBHOOKS))["rows"]
        assert listed["description"] is None


class TestQueue:
    """How a webhook takes what it is told is shown to whoever manages it, and counted for whoever looks after the service."""

    async def test_says_what_waits_what_is_parked_and_since_when_nothing_is_taken(
        self, service: Service, receiver: Receiver
    ) -> None:
        webhook = await told(service.ivo, receiver)
        untold = await service.ivo.get(webhook)
        assert untold.json()["queue"] is None
        failing(service, webhook.rpartition("/")[2])
        shown = await service.ivo.get(webhook, headers={"If-None-Match": untold.headers["ETag"]})
        assert shown.json()["queue"] == {
            "position": 5,
            "sequence": 2,
            "waiting": 1,
            "parked": 1,
            "kept_after": 0,
            "failing_since": "2021-11-05T10:00:00Z",
        }
        assert (await service.ivo.reads(WEBHOOKS))["rows"] == [shown.json()]
        assert (await service.ivo.get(webhook, headers={"If-None-Match": shown.headers["ETag"]})).status_code == 304
        past = await service.ivo.reads(webhook, params={"as_of": service.app.state.ledger.head().size})
        assert past["queue"] is None
        await service.ivo.does(f"{webhook}/disabling", headers={"If-Match": shown.headers["ETag"]})

    async def test_is_counted(self, service: Service, receiver: Receiver) -> None:
        webhook = await told(service.ivo, receiver)
        before = (await service.nobody.get("/v1/health/ready")).json()
        assert (before["webhooks_failing"], before["webhooks_parked"]) == (0, 0)
        failing(service, webhook.rpartition("/")[2])
        after = (await service.nobody.get("/v1/health/ready")).json()
        assert (after["webhooks_failing"], after["webhooks_parked"]) == (1, 1)


def failing(service: Service, webhook: str) -> None:
    """Have one delivery of a webhook be parked, and another wait."""
    deliveries, at = service.app.state.deliveries, "2021-11-05T10:00:00.000000Z"
    deliveries.begin(webhook, 2)
    coming = [Coming(each, AWARD, "payment.settled", bytes([each])) for each in (3, 5)]
    first, _ = deliveries.put({webhook: coming}, 2, 5, body=lambda _: b"", now=service.app.state.ledger.now())
    parked = first._replace(state=Waits.PARKED, attempts=1, tries=1, ended_at=at)
    deliveries.record([Outcome(Attempt(webhook, 1, 1, at, 500, None, 31, ""), parked, first.due_at)])


class TestRotate:
    async def test_shows_the_new_secret_once_and_says_until_when_the_old_one_signs(
        self, service: Service, receiver: Receiver
    ) -> None:
        webhook = await told(service.ivo, receiver)
        rotated = await service.ivo.post(f"{webhook}/secrets", {}, key="rotated")
        again = await service.ivo.post(f"{webhook}/secrets", {}, key="rotated")
        assert again.json() == {**rotated.json(), "secret": None}
        first, second = (await service.ivo.reads(webhook))["secrets"]
        assert (first["number"], second["number"], second["public_key"]) == (1, 2, rotated.json()["public_key"])
        assert first["until"].startswith("2021-10-02T09:")
        assert second["until"] is None

    async def test_refuses_more_than_three_at_once(self, service: Service, receiver: Receiver) -> None:
        webhook = await told(service.ivo, receiver)
        for _ in range(2):
            await service.ivo.does(f"{webhook}/secrets", {})
        assert slug(await service.ivo.post(f"{webhook}/secrets", {})) == (409, "too-many-secrets")
        await service.ivo.does(f"{webhook}/secrets", {"overlap_hours": 0})


class TestRemove:
    async def test_lets_everything_go(self, service: Service, receiver: Receiver) -> None:
        webhook = await told(service.ivo, receiver, description="The reporting desk")
        await service.ivo.does(f"{webhook}/secrets", {})
        removed = await service.ivo.delete(webhook)
        assert removed.status_code == 201
        shown = await service.ivo.reads(webhook)
        assert (shown["state"], shown["url"], shown["description"], shown["host"]) == ("removed", None, None, "127.0.0.1")
        assert len(shown["secrets"]) == 2
        ledger: Ledger = service.app.state.ledger
        gone = [each for entry in ledger.entries() if entry.type == "webhook.removed" for each in entry.event.erased]  # type: ignore[attr-defined]
        assert len(gone) == 4
        assert ledger.reveal(gone) == {}
        for path in ("change", "challenge", "enabling", "disabling", "secrets"):
            assert slug(await service.ivo.post(f"{webhook}/{path}", {})) == (409, "webhook-is-removed")
        assert slug(await service.ivo.delete(webhook)) == (409, "webhook-is-removed")


class TestAccess:
    @pytest.mark.parametrize("name", ["cora", "vera", "cesar", "abe", "rhea"])
    async def test_is_for_administrators_auditors_and_investors(self, service: Service, receiver: Receiver, name: str) -> None:
        webhook = await told(service.ivo, receiver)
        holder = service.cast[name]
        for answer in (await holder.get(WEBHOOKS), await holder.get(webhook), await holder.post(WEBHOOKS, {"url": receiver.url})):
            assert slug(answer) == (403, "role-is-missing")

    async def test_lets_auditors_read_only(self, service: Service, receiver: Receiver) -> None:
        webhook = await told(service.ivo, receiver)
        assert (await service.audrey.get(webhook)).status_code == 200
        for answer in (await service.audrey.post(f"{webhook}/disabling"), await service.audrey.delete(webhook)):
            assert slug(answer) == (403, "role-is-missing")

    async def test_hides_others_from_an_investor_as_if_there_were_none(self, service: Service, receiver: Receiver) -> None:
        of_the_fund = await told(service.first, receiver)
        await story.agree_award(service, OTHER)
        person = await service.person("Ines, who invests elsewhere", story.TOP_UP)
        ines = await service.give_key(person, "investor", awards=(AWARD, OTHER))
        of_another = await told(ines, receiver, awards=[AWARD])
        own = await told(service.ivo, receiver)
        assert [f"{WEBHOOKS}/{row['webhook']}" for row in (await service.ivo.reads(WEBHOOKS))["rows"]] == [own]
        for webhook in (of_the_fund, of_another, f"{WEBHOOKS}/0000000000000000"):
            answers = [
                await service.ivo.get(webhook),
                await service.ivo.delete(webhook),
                *[
                    await service.ivo.post(f"{webhook}/{path}", {})
                    for path in ("change", "challenge", "enabling", "disabling", "secrets")
                ],
            ]
            assert {slug(each) for each in answers} == {(404, "no-such-webhook")}
            assert all(each.json()["details"] == {"name": webhook.rpartition("/")[2]} for each in answers)

    async def test_of_a_colleague_reaches_as_far_as_the_key(self, service: Service, receiver: Receiver) -> None:
        await story.agree_award(service, OTHER)
        ian = await service.give_key(await service.person("Ian, who invests", story.INVESTOR), "investor", awards=(AWARD, OTHER))
        both, one = await told(ian, receiver, awards=[AWARD, OTHER]), await told(ian, receiver, awards=[AWARD])
        assert slug(await service.ivo.get(both)) == (404, "no-such-webhook")
        assert (await service.ivo.reads(one))["key"] == ian.key

    async def test_ends_with_the_key(self, service: Service, receiver: Receiver) -> None:
        webhook = await told(service.ivo, receiver)
        tagged = await service.first.get(webhook)
        await service.first.delete(f"/v1/keys/{service.ivo.key}")
        answer = await service.first.get(webhook, headers={"If-None-Match": tagged.headers["ETag"]})
        assert (answer.status_code, answer.json()["key_usable"]) == (200, False)

    async def test_is_written_down(self, service: Service, receiver: Receiver) -> None:
        webhook = await told(service.ivo, receiver)
        await service.ivo.get(webhook)
        service.app.state.disclosures.write_what_waits()
        rows: list[httpx.Response] = (await service.audrey.reads("/v1/disclosures"))["rows"]
        assert webhook in [row["resource"] for row in rows]  # type: ignore[index]
