"""The feed: what happened under the awards that a key opens, after a position, as it comes, and as server-sent events."""

import asyncio
import base64
import json

from api import signing
from projections.notices import TOLD
from tests.api import story
from tests.api.story import AWARD, KIRKLEES, Service, slug

FEED = "/v1/feed"


async def paid(service: Service) -> None:
    """The story from a claim to a payment that is approved."""
    await story.submit(service)
    await story.verify(service)
    assert (await service.abe.post(f"/v1/awards/{AWARD}/payments/1/{KIRKLEES}/approval")).status_code == 201


class TestPage:
    async def test_tells_totals_and_times_as_cloud_events(self, service: Service) -> None:
        await paid(service)
        found = await service.ivo.reads(FEED)
        verified = next(each for each in found["rows"] if each["type"] == "claim.verified")
        assert verified["specversion"] == "1.0"
        assert verified["id"] == str(verified["data"]["position"])
        assert (verified["source"], verified["subject"]) == (f"/v1/awards/{AWARD}", f"award/{AWARD}/claim/2021-Q3")
        assert verified["time"] == verified["data"]["recorded_at"]
        assert verified["data"]["amounts"] == {"accepted": "2800.00", "rejected": "0.00", "deferred": "0.00"}
        assessed = next(each for each in found["rows"] if each["type"] == "award.assessed")
        due = {
            each["subject"].rpartition("/")[2]: each["data"]["amounts"]["amount"]
            for each in found["rows"]
            if each["type"] == "payment.fell-due"
        }
        assert assessed["data"]["allotted"] == due
        assert [each["type"] for each in found["rows"]][-1] == "payment.approved"

    async def test_tells_investors_no_participant_no_line_and_nobodys_words(self, service: Service) -> None:
        await paid(service)
        told = json.dumps(await service.ivo.reads(FEED))
        for secret in (
            "KIR-0042",
            "participant",
            "achieved_on",
            story.SHA,
            story.ACCOUNT["account_number"],
            '"person"',
            '"words"',
        ):
            assert secret not in told
        assert {each["type"] for each in json.loads(told)["rows"]} <= set(TOLD)

    async def test_tells_the_newest_checkpoint_that_is_signed(self, service: Service) -> None:
        await story.submit(service)
        signed = service.app.state.checkpoints.sign(signing.signer(service.settings, service.app.state.checkpoints))
        await story.verify(service)
        found = await service.ivo.reads(FEED)
        assert found["checkpoint"] == {"size": signed.size, "root": base64.b64encode(signed.root).decode()}
        assert found["next"] > signed.size
        assert (await service.ivo.reads(FEED, params={"as_of": signed.size - 1}))["checkpoint"] is None

    async def test_goes_on_after_a_position_without_a_hole_and_without_telling_twice(self, service: Service) -> None:
        await paid(service)
        whole = await service.ivo.reads(FEED)
        ids, after = [], 0
        for _ in range(len(whole["rows"]) + 1):
            some = await service.ivo.reads(FEED, params={"after": after, "limit": 1})
            ids += [each["id"] for each in some["rows"]]
            after = some["next"]
        assert ids == [each["id"] for each in whole["rows"]]
        assert (await service.ivo.reads(FEED, params={"after": after})) == {
            "rows": [],
            "checkpoint": None,
            "failing_webhooks": [],
            "next": after,
        }

    async def test_tells_only_of_awards_that_the_key_opens_and_types_that_are_asked_for(self, service: Service) -> None:
        await paid(service)
        other = "INDIGO-POJ-0168"
        await story.agree_award(service, other)
        assert slug(await service.ivo.get(FEED, params={"award": other})) == (404, "no-such-award")
        payments = await service.audrey.reads(FEED, params={"award": AWARD.lower(), "type": ["payment.*"]})
        assert {each["type"] for each in payments["rows"]} == {"payment.fell-due", "payment.approved"}
        assert slug(await service.ivo.get(FEED, params={"type": "participant.*"})) == (422, "request-is-wrong")

    async def test_refuses_a_position_that_the_log_has_not_reached(self, service: Service) -> None:
        """Whoever heard of it heard of another log, or of what was lost since."""
        assert slug(await service.ivo.get(FEED, params={"after": 9_999})) == (422, "moment-is-ahead")
        ahead = await service.ivo.get(f"{FEED}/stream", headers={"Last-Event-ID": "9999"})
        assert slug(ahead) == (422, "moment-is-ahead")

    async def test_waits_for_what_comes(self, service: Service) -> None:
        object.__setattr__(service.settings, "feed_wait_s", 20)
        await story.submit(service)
        heard = await service.ivo.reads(FEED)
        assert (await service.ivo.reads(FEED, params={"after": heard["next"], "wait": 0}))["rows"] == []
        waiting = asyncio.create_task(service.ivo.reads(FEED, params={"after": heard["next"], "wait": 20}))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await story.verify(service)
        assert (await asyncio.wait_for(waiting, 5))["rows"][0]["data"]["position"] > heard["next"]

    async def test_wait_ends_when_the_service_stops(self, service: Service) -> None:
        object.__setattr__(service.settings, "feed_wait_s", 20)
        heard = await service.ivo.reads(FEED)
        service.app.state.stops = lambda: True
        found = await asyncio.wait_for(service.ivo.reads(FEED, params={"after": heard["next"], "wait": 30}), 5)
        assert found["rows"] == []


class TestStream:
    async def test_goes_on_from_the_last_event_that_was_heard(self, service: Service) -> None:
        await paid(service)
        whole = (await service.ivo.reads(FEED))["rows"]
        assert whole
        answer = await service.ivo.get(f"{FEED}/stream", headers={"Last-Event-ID": whole[0]["id"]})
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        told = [dict(line.split(": ", 1) for line in each.splitlines()) for each in answer.text.strip().split("\n\n")]
        assert told[0] == {"retry": "1000"}
        notices = [each for each in told if "id" in each]
        assert [each["id"] for each in notices] == [each["id"] for each in whole[1:]]
        assert [json.loads(each["data"]) for each in notices] == whole[1:]
        assert notices[-1]["event"] == "payment.approved"

    async def test_tells_the_newest_checkpoint_that_is_signed(self, service: Service) -> None:
        await story.submit(service)
        signed = service.app.state.checkpoints.sign(signing.signer(service.settings, service.app.state.checkpoints))
        answer = await service.ivo.get(f"{FEED}/stream")
        told = [dict(line.split(": ", 1) for line in each.splitlines()) for each in answer.text.strip().split("\n\n")]
        (checkpoint,) = [each for each in told if each.get("event") == "checkpoint"]
        root = base64.b64encode(signed.root).decode()
        assert (json.loads(checkpoint["data"]), "id" in checkpoint) == ({"size": signed.size, "root": root}, False)

    async def test_refuses_what_is_no_position(self, service: Service) -> None:
        answer = await service.ivo.get(f"{FEED}/stream", headers={"Last-Event-ID": "the last one"})
        assert slug(answer) == (400, "header-is-wrong")
