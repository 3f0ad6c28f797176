"""What every command promises: once, all or nothing, from a version on, or only tried; and among many at once."""

import asyncio
import json
import threading
from collections import Counter

import httpx
import pytest

from domain.money import Money
from ledger.writer import Pending, Writer
from tests.api import story
from tests.api.story import AWARD, KIRKLEES, Service, slug

CLAIMS = f"/v1/awards/{AWARD}/claims"


async def entries(service: Service) -> int:
    """How many entries the log has."""
    return int((await service.audrey.get("/v1/me")).status_code == 200 and service.app.state.ledger.head().size)


class TestTheSameKey:
    async def test_gives_one_entry_and_the_same_answer(self, service: Service) -> None:
        first = await service.cora.post(CLAIMS, story.claim(), key="once")
        size = await entries(service)
        again = await service.cora.post(CLAIMS, story.claim(), key="once")
        assert (first.status_code, again.status_code, again.json()) == (201, 201, first.json())
        assert "Idempotency-Hit" not in first.headers
        assert again.headers["Idempotency-Hit"] == "true"
        for header in ("Ledger-Position", "ETag", "Location"):
            assert again.headers[header] == first.headers[header]
        assert await entries(service) == size

    async def test_gives_one_entry_when_sent_sixteen_times_at_once(self, service: Service) -> None:
        answers = await asyncio.gather(*(service.cora.post(CLAIMS, story.claim(), key="once") for _ in range(16)))
        assert {(each.status_code, each.text) for each in answers} == {(201, answers[0].text)}
        assert sum("Idempotency-Hit" in each.headers for each in answers) == 15

    async def test_is_of_the_same_request_however_its_media_type_is_spelt(self, service: Service) -> None:
        for said, hit in (("application/json", None), ("Application/JSON; charset=utf-8", "true")):
            body, headers = json.dumps(story.claim()), {"Content-Type": said}
            answer = await service.cora.post(CLAIMS, content=body, headers=headers, key="once")
            assert (answer.status_code, answer.headers.get("Idempotency-Hit")) == (201, hit)

    async def test_is_refused_for_another_request(self, service: Service) -> None:
        await service.cora.does(CLAIMS, story.claim(), key="once")
        assert slug(await service.cora.post(CLAIMS, story.claim("2021-Q4"), key="once")) == (422, "key-spent")

    async def test_is_another_one_for_another_person(self, service: Service) -> None:
        await service.first.does("/v1/parties", {"party": "GB-LAE-BNE", "name": "Barnet"}, key="once")
        await service.ada.does("/v1/parties", {"party": "GB-LAE-BEN", "name": "Brent"}, key="once")

    async def test_may_be_used_again_after_a_refusal_and_after_a_dry_run(self, service: Service) -> None:
        wrong = story.claim(lines=[story.line(outcome="NOWHERE")])
        assert slug(await service.cora.post(CLAIMS, wrong, key="once")) == (422, "lines-cannot-be-claimed")
        tried = await service.cora.post(f"{CLAIMS}?dry_run=true", story.claim(), key="once")
        assert tried.status_code == 200
        await service.cora.does(CLAIMS, story.claim(), key="once")

    async def test_does_not_show_a_secret_twice(self, service: Service) -> None:
        body = {"person": service.vera.person, "roles": ["verifier"], "awards": [AWARD]}
        first, again = [await service.first.does("/v1/keys", body, key="once") for _ in range(2)]
        assert first["secret"].startswith(f"lcl_{first['key']}_")
        assert (again["key"], again["secret"]) == (first["key"], None)

    async def test_must_be_given(self, service: Service) -> None:
        assert slug(await service.cora.ask("POST", CLAIMS, json=story.claim())) == (400, "idempotency-key-is-missing")


class TestADryRun:
    async def test_tells_what_would_be_recorded_and_records_nothing(self, service: Service) -> None:
        size = await entries(service)
        tried = await service.cora.post(f"{CLAIMS}?dry_run=true", story.claim())
        assert tried.status_code == 200
        assert [entry["type"] for entry in tried.json()["entries"]] == [
            "claim.submitted",
            "claim.lines-listed",
            "award.claim-opened",
        ]
        assert tried.json()["entries"][0]["event"]["value"] == "2800.00"
        assert await entries(service) == size

    async def test_is_refused_as_the_command_would_be(self, service: Service) -> None:
        wrong = story.claim(lines=[story.line(on="2019-01-01")])
        assert slug(await service.cora.post(f"{CLAIMS}?dry_run=true", wrong)) == (422, "lines-cannot-be-claimed")

    async def test_is_not_missed_for_being_misspelt(self, service: Service) -> None:
        size = await entries(service)
        assert slug(await service.cora.post(f"{CLAIMS}?dryrun=true", story.claim())) == (422, "request-is-wrong")
        assert await entries(service) == size


class TestIfMatch:
    async def test_refuses_what_has_moved(self, service: Service) -> None:
        await story.submit(service)
        etag = (await service.vera.get(f"{CLAIMS}/2021-Q3")).headers["ETag"]
        query = f"{CLAIMS}/2021-Q3/query"
        asked = await service.vera.post(query, {"question": "Which home?"}, headers={"If-Match": etag})
        assert asked.status_code == 201
        stale = await service.vera.post(query, {"question": "Since when?"}, headers={"If-Match": etag})
        assert slug(stale) == (412, "version-has-moved")
        fresh = await service.cora.post(
            f"{CLAIMS}/2021-Q3/answer", {"answer": "In Dewsbury."}, headers={"If-Match": asked.headers["ETag"]}
        )
        assert fresh.status_code == 201

    async def test_never_matches_a_weak_tag_or_what_does_not_exist_yet(self, service: Service) -> None:
        agreement = f"/v1/awards/{AWARD}/closing"
        assert slug(await service.first.post(agreement, headers={"If-Match": 'W/"3"'})) == (412, "version-has-moved")
        assert slug(await service.first.post(agreement, headers={"If-Match": "3"})) == (400, "header-is-wrong")
        new = {"party": "GB-LAE-BNE", "name": "Barnet"}
        assert slug(await service.first.post("/v1/parties", new, headers={"If-Match": '"1"'})) == (412, "nothing-to-match")


class TestManyAtOnce:
    async def test_lose_nothing_break_no_limit_and_conflict_with_nobody(self, bare: Service) -> None:
        await story.gather(bare)
        await story.agree_award(bare, award_amount="21000.00")  # fifteen of the thirty-two entries that are claimed
        references = [f"C-{number}" for number in range(16)]

        async def claim_and_verify(reference: str, number: int) -> list[httpx.Response]:
            lines = [story.line(participant=f"KIR-{number}-{each}") for each in range(2)]
            submitted = await bare.cora.post(CLAIMS, story.claim(reference, lines))
            verified = await bare.vera.post(f"{CLAIMS}/{reference}/verification", {"others": "accepted"})
            return [submitted, verified]

        answers = await asyncio.gather(*(claim_and_verify(each, number) for number, each in enumerate(references)))
        assert Counter(each.status_code for pair in answers for each in pair) == {201: 32}
        balances = await bare.first.reads(f"/v1/awards/{AWARD}/balances")
        assert (balances["claimed"], balances["assessed"], balances["curtailed"]) == ("44800.00", "21000.00", "23800.00")
        assert (balances["remaining"], balances["trial_balance"]) == ("0.00", "0.00")
        page = await bare.first.reads(f"/v1/awards/{AWARD}/payments?limit=500")
        assert sum(Money.parse(row["amount"]) for row in page["rows"]) == Money.parse("21000.00")
        numbers = {row["assessment"] for row in page["rows"]}
        assert len(numbers) == len({row["assessment"] for row in page["rows"] if row["payer"] == KIRKLEES})
        positions = [row.position for row in bare.app.state.ledger.entries(0, 1_000)]
        assert positions == list(range(1, len(positions) + 1))

    async def test_let_only_one_of_closing_and_claiming_pass(self, service: Service) -> None:
        for attempt in range(8):
            reference = f"INDIGO-POJ-{attempt}"
            await story.agree_award(service, reference)
            claimant = await service.give_key(service.cora.person, "claimant", awards=(reference,))
            closed, claimed = await asyncio.gather(
                service.first.post(f"/v1/awards/{reference}/closing"),
                claimant.post(f"/v1/awards/{reference}/claims", story.claim()),
            )
            refused = closed if closed.status_code != 201 else claimed
            assert sorted((closed.status_code, claimed.status_code)) == [201, 409]
            assert slug(refused)[1] in {"claims-are-open", "award-is-closed-to-claims"}


class TestWhereItIsDecided:
    async def test_few_lines_in_the_event_loop_and_many_in_a_thread(
        self, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """On SQLite: so that nobody waits for the decision on a claim of thousands of lines but whoever asks for it."""
        decided: list[bool] = []
        decide = Writer.decide

        def noted(self: Writer, pending: Pending, **how: bool) -> None:
            decided.append(threading.current_thread() is threading.main_thread())
            decide(self, pending, **how)

        monkeypatch.setattr(Writer, "decide", noted)
        for reference, lines in (("2021-Q3", 2), ("2021-Q4", 120)):
            few = [story.line(participant=f"{reference}-{number}") for number in range(lines)]
            await service.cora.does(CLAIMS, story.claim(reference, few))
            await service.vera.does(f"{CLAIMS}/{reference}/verification", {"others": "accepted"})
        assert decided == [True, True, False, False]
