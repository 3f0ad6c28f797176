"""Claims as they come in: as JSON or CSV, with every fault told at once, and nothing recorded of what is refused."""

import time

import pytest

from api.tables import table
from tests.api import story
from tests.api.story import AWARD, SHA, SOCIAL_PRIME, Service, slug

CLAIMS = f"/v1/awards/{AWARD}/claims"
HEADING = "outcome,participant,quantity,achieved_on,evidence_sha256,evidence_title,note"
ASKED = {"claim": "2021-Q3", "period_first": "2021-07-01", "period_last": "2021-09-30"}
CSV = {"Content-Type": "text/csv; charset=utf-8"}
JSON = {"Content-Type": "application/json"}


class TestCSV:
    async def test_is_a_claim(self, service: Service) -> None:
        rows = (HEADING, f'ENTRY,KIR-0042,1,2021-08-02,{SHA},Tenancy agreement,"By bus, at last"', "SUPPORT,,24,2021-08-31,,,")
        body = "\ufeff" + "\r\n".join(rows)
        answer = await service.cora.post(CLAIMS, params=ASKED, content=body.encode(), headers=CSV)
        assert answer.status_code == 201, answer.text
        claim = await service.vera.reads(f"{CLAIMS}/2021-Q3")
        assert (claim["claimant"], claim["value"]) == (SOCIAL_PRIME, "4314.29")
        assert claim["lines"][0]["note"] == "By bus, at last"
        assert claim["lines"][0]["evidence"] == [{"sha256": SHA, "title": "Tenancy agreement"}]

    async def test_is_refused_row_by_row_and_nothing_is_recorded(self, service: Service) -> None:
        rows = (
            HEADING,
            "ENTRY,KIR-0042,1.5.0,2021-08-02,,,",
            "ENTRY,KIR-0043,1,2021-08-02,,,",
            "ENTRY,AB123456C,1,2 August,,,,x",
        )
        asked = {**ASKED, "period_last": "September"}
        answer = await service.cora.post(CLAIMS, params=asked, content="\n".join(rows).encode(), headers=CSV)
        assert slug(answer) == (422, "request-is-wrong")
        where = [fault["where"] for fault in answer.json()["faults"]]
        assert where == ["period_last", "lines.1.quantity", "lines.3.participant", "lines.3.achieved_on", "lines.3.cells"]
        assert "AB123456C" not in answer.text
        assert slug(await service.cora.get(f"{CLAIMS}/2021-Q3")) == (404, "no-such-claim")

    @pytest.mark.parametrize("body", [b"", b"outcome,who\nENTRY,x", HEADING.encode(), b"\xff\xfe", b'outcome\n"'])
    async def test_must_be_csv_with_these_columns(self, service: Service, body: bytes) -> None:
        answer = await service.cora.post(CLAIMS, params=ASKED, content=body, headers=CSV)
        assert slug(answer) == (422, "request-is-wrong")

    def test_goes_out_with_no_cell_that_is_a_formula(self) -> None:
        written = table(("payee", "amount"), [("=cmd|' /C calc'!A0", "-1.00"), ("GB-LAE-KIR", "1.00")])
        assert written == b"payee,amount\r\n'=cmd|' /C calc'!A0,'-1.00\r\nGB-LAE-KIR,1.00\r\n"


class TestJSON:
    async def test_is_refused_with_every_fault(self, service: Service) -> None:
        lines = [{**story.line(), "quantity": 1}, {**story.line(), "name": "Kim"}, {"outcome": "ENTRY"}]
        answer = await service.cora.post(CLAIMS, story.claim(lines=lines))
        assert slug(answer) == (422, "request-is-wrong")
        faults = {fault["where"]: fault["what"] for fault in answer.json()["faults"]}
        assert faults["lines.1.quantity"] == "must be a string such as '1', never a number"
        assert faults["lines.2.name"] == "is not known here"
        assert faults["lines.3.quantity"] == "is missing"

    async def test_is_refused_line_by_line_by_the_terms(self, service: Service) -> None:
        lines = [story.line(), story.line(outcome="NOWHERE"), story.line(on="2021-12-24")]
        answer = await service.cora.post(CLAIMS, story.claim(lines=lines))
        assert slug(answer) == (422, "lines-cannot-be-claimed")
        assert [fault["where"] for fault in answer.json()["faults"]] == ["lines.2.outcome", "lines.3.achieved_on"]

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b"[" * 100_000])
    async def test_must_be_json(self, service: Service, body: bytes) -> None:
        assert slug(await service.cora.post(CLAIMS, content=body, headers=JSON)) == (422, "request-is-wrong")

    async def test_must_say_that_it_is(self, service: Service) -> None:
        answer = await service.cora.post(CLAIMS, content=b"<claim/>", headers={"Content-Type": "application/xml"})
        assert slug(answer) == (415, "media-type-not-taken")

    async def test_must_not_be_too_large_whatever_it_says_of_itself(self, service: Service) -> None:
        async def endless() -> object:
            for _ in range(130):
                yield b" " * 65_536

        answer = await service.cora.post(CLAIMS, content=endless(), headers=JSON)
        assert slug(answer) == (413, "body-is-too-large")
        said = await service.cora.post(CLAIMS, content=b"{}", headers={**JSON, "Content-Length": "99999999999"})
        assert slug(said) == (413, "body-is-too-large")


class TestSubmit:
    async def test_is_for_one_s_own_party_and_for_today(self, service: Service) -> None:
        other = {**story.claim(), "claimant": story.PROVIDER}
        assert slug(await service.cora.post(CLAIMS, other)) == (403, "claimant-of-another-party")
        earlier = {**story.claim(), "backlog": {"received_on": "2021-09-30", "reason": "It lay in another inbox."}}
        assert slug(await service.cora.post(CLAIMS, earlier)) == (403, "backlog-is-for-administrators")

    @pytest.mark.long
    async def test_and_verification_take_five_thousand_lines(self, service: Service) -> None:
        lines = [story.line(participant=f"KIR-{number}") for number in range(5_000)]
        begun = time.perf_counter()
        await story.submit(service, lines=lines)
        await story.verify(service)
        assert time.perf_counter() - begun < 60  # a guard against quadratic work; the benchmark has the figure
        claim = await service.vera.reads(f"{CLAIMS}/2021-Q3?limit=1")
        assert (claim["count"], claim["assessed"], claim["curtailed"]) == (5_000, "2350000.00", "4650000.00")


class TestQuery:
    async def test_and_its_answer_are_told_to_the_claimant_s_party_and_to_those_who_decide(self, service: Service) -> None:
        await story.submit(service)
        await service.vera.does(f"{CLAIMS}/2021-Q3/query", {"question": "Which home is it?", "lines": [2]})
        (asked,) = (await service.cora.reads(f"{CLAIMS}/2021-Q3"))["queries"]
        assert (asked["question"], asked["lines"], asked["asked_by"]) == ("Which home is it?", [2], service.vera.person)
        assert asked["answer"] is None
        await service.cora.does(f"{CLAIMS}/2021-Q3/answer", {"answer": "The one in Dewsbury."})
        (told,) = (await service.vera.reads(f"{CLAIMS}/2021-Q3"))["queries"]
        assert (told["answer"], told["answered_by"]) == ("The one in Dewsbury.", service.cora.person)

    async def test_is_not_told_to_others(self, service: Service) -> None:
        await story.submit(service)
        await service.vera.does(f"{CLAIMS}/2021-Q3/query", {"question": "Which home is it?"})
        colleague = await service.give_key(await service.person("Peter", story.PROVIDER), "claimant")
        (asked,) = (await colleague.reads(f"{CLAIMS}/2021-Q3"))["queries"]
        assert asked["question"] is None
        assert (await service.ivo.reads(f"{CLAIMS}/2021-Q3"))["queries"] is None
