"""Explanations over HTTP: who may ask for which, and what there is none of."""

from tests.api import story
from tests.api.story import ASSESSOR, AWARD, KIRKLEES, Service, slug

LINE = f"/v1/awards/{AWARD}/assessments/1/lines/1/explanation"
CLAIMED = f"/v1/awards/{AWARD}/claims/2021-Q3/lines/{{}}/explanation"
PAYMENT = f"/v1/awards/{AWARD}/payments/1/{KIRKLEES}/explanation"


class TestALine:
    async def test_is_explained_from_the_terms_to_the_allotments(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        told = await service.audrey.reads(LINE)
        assert (told["claim"], told["line"], told["payer"]) == ("2021-Q3", 1, None)
        assert (told["amount"], told["version"]) == ("1400.00", 1)
        assert list(dict.fromkeys(step["rule"] for step in told["steps"])) == ["M2", "M3", "M5", "M6", "M7", "M11"]
        assert told["steps"][1]["says"] == "1 accepted at £1,400.00 each: £1,400.00 × 1 = £1,400.00, rounded once to the penny."
        types = [each["type"] for each in told["entries"]]
        assert types == ["claim.submitted", "claim.lines-listed", "claim.lines-decided", "claim.verified", "claim.lines-assessed"]
        assert told["text"].startswith(f"Line 1 of claim 2021-Q3 in assessment 1 of {AWARD}: £1,400.00\n")

    async def test_names_no_participant_and_is_not_told_to_investors(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        assert "KIR-0042" not in (await service.audrey.get(LINE)).text
        assert slug(await service.ivo.get(LINE)) == (403, "role-is-missing")

    async def test_is_refused_where_there_is_none(self, service: Service) -> None:
        await story.submit(service)
        assert slug(await service.audrey.get(LINE)) == (404, "no-such-assessment")
        await story.verify(service)
        assert slug(await service.audrey.get(LINE.replace("lines/1/", "lines/99/"))) == (404, "line-was-not-moved")
        assert slug(await service.audrey.get(f"{LINE}?claim=2021-Q4")) == (404, "line-was-not-moved")

    async def test_is_the_same_as_of_then(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        answer = await service.audrey.get(LINE)
        await story.submit(service, "2021-Q4", [story.line(participant="KIR-0077")])
        await story.verify(service, "2021-Q4")
        then = await service.audrey.reads(f"{LINE}?as_of={answer.headers['Ledger-Position']}")
        assert then == answer.json() == await service.audrey.reads(LINE)


class TestAClaimedLine:
    async def test_for_which_nothing_follows_says_who_decided_so_and_why(self, service: Service) -> None:
        await story.submit(service)
        decided = {"lines": [{"line": 2, "rejected": "1", "reason": "duplicate"}], "others": "accepted"}
        await service.vera.does(f"/v1/awards/{AWARD}/claims/2021-Q3/verification", decided)
        told = await service.audrey.reads(CLAIMED.format(2))
        assert (told["amount"], told["version"], told["assessments"]) == ("0.00", 1, [])
        who = f"{service.vera.person} of {ASSESSOR}"
        assert told["steps"][1]["says"] == f"{who} decided on it on 1 October 2021: 1 rejected as duplicate (£1,400.00)."
        assert told["steps"][-1]["says"] == "So no amount follows, £0.00, for line 2: 1 of it was rejected as duplicate."
        assert told["text"].startswith(f"Line 2 of claim 2021-Q3 of {AWARD}: £0.00\n")
        types = [each["type"] for each in told["entries"]]
        assert types == ["claim.submitted", "claim.lines-listed", "claim.lines-decided", "claim.verified"]

    async def test_that_was_assessed_leads_to_where_that_is_explained(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        told = await service.audrey.reads(CLAIMED.format(1))
        (moved,) = told["assessments"]
        assert (moved["assessment"], moved["amount"], told["amount"]) == (1, "1400.00", "1400.00")
        assert moved["explanation"] in told["text"]
        assert (await service.audrey.reads(moved["explanation"]))["amount"] == "1400.00"

    async def test_is_told_as_it_stood_and_by_its_terms_of_then(self, service: Service) -> None:
        await story.submit(service)
        waits = await service.audrey.get(CLAIMED.format(1))
        assert waits.json()["steps"][-1]["says"].endswith("nobody has decided on it yet.")
        service.clock.forward(days=1)
        await story.verify(service)
        assert await service.audrey.reads(f"{CLAIMED.format(1)}?as_of={waits.headers['Ledger-Position']}") == waits.json()
        assert await service.audrey.reads(f"{CLAIMED.format(1)}?effective_on=2021-10-01") == waits.json()

    async def test_is_for_no_investor_and_refused_where_there_is_none(self, service: Service) -> None:
        assert slug(await service.audrey.get(CLAIMED.format(1))) == (404, "no-such-claim")
        await story.submit(service)
        assert slug(await service.audrey.get(CLAIMED.format(3))) == (404, "no-such-claimed-line")
        assert slug(await service.ivo.get(CLAIMED.format(1))) == (403, "role-is-missing")
        assert "KIR-0042" not in (await service.audrey.get(CLAIMED.format(1))).text


class TestAPayment:
    async def test_is_told_to_investors_in_sums_and_without_who(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        told = await service.ivo.reads(PAYMENT)
        assert told["amount"] == (await service.ivo.reads(PAYMENT.removesuffix("/explanation")))["amount"]
        of_lines = "It was allotted {} of 2 lines of claim 2021-Q3, each explained by itself."
        assert told["steps"][0]["says"] == of_lines.format("£1,985.78"), "an investor sees no line"
        assert (await service.audrey.reads(PAYMENT))["steps"][0]["says"] == of_lines.format("2 × £992.89 = £1,985.78")
        assert {each["person"] for each in told["entries"]} == {None}
        assert all((await service.audrey.reads(PAYMENT))["entries"][0].values())

    async def test_is_refused_where_there_is_none(self, service: Service) -> None:
        assert slug(await service.ivo.get(PAYMENT)) == (404, "no-such-payment")
