"""Explanations over HTTP: who may ask for which, and what there is none of."""

from tests.api import story
from tests.api.story import AWARD, KIRKLEES, Service, slug

LINE = f"/v1/awards/{AWARD}/assessments/1/lines/1/explanation"
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


class TestAPayment:
    async def test_is_told_to_investors_in_sums_and_without_who(self, service: Service) -> None:
        await story.submit(service)
        await story.verify(service)
        told = await service.ivo.reads(PAYMENT)
        assert told["amount"] == (await service.ivo.reads(PAYMENT.removesuffix("/explanation")))["amount"]
        of_lines = "It was allotted {} of 2 lines of claim 2021-Q3, each explained by itself."
        assert told["steps"][0]["says"] == of_lines.format("£1,985.78"), "an investor sees no line"
        assert (await service.audrey.reads(PAYMENT))["steps"][0]["says"] == of_lines.format("£992.89 + £992.89 = £1,985.78")
        assert {each["person"] for each in told["entries"]} == {None}
        assert all((await service.audrey.reads(PAYMENT))["entries"][0].values())

    async def test_is_refused_where_there_is_none(self, service: Service) -> None:
        assert slug(await service.ivo.get(PAYMENT)) == (404, "no-such-payment")
