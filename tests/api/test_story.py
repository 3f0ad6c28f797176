"""The whole story of one award, from its terms to a settled payment, with its different persons."""

from hashlib import sha256

from tests.api import story
from tests.api.story import AWARD, KIRKLEES, TOP_UP, Service

CLAIM = f"/v1/awards/{AWARD}/claims/2021-Q3"
PAYMENT = f"/v1/awards/{AWARD}/payments/1/{KIRKLEES}"


class TestAnAward:
    async def test_goes_from_its_terms_to_a_settled_payment(self, service: Service) -> None:
        await story.submit(service)
        waiting = await service.cora.reads(f"/v1/awards/{AWARD}/balances")
        assert (waiting["claimed"], waiting["undecided"]) == ("2800.00", "2800.00")
        await story.verify(service)
        assert (await service.vera.reads(CLAIM))["status"] == "assessed"
        explained = await service.audrey.reads(f"/v1/awards/{AWARD}/assessments/1")
        assert [line["assessed"] for line in explained["lines"]] == ["1400.00", "1400.00"]
        assert explained["allotted"] == {KIRKLEES: "1985.78", TOP_UP: "814.22"}
        await story.approve(service)
        await story.draw_up(service)
        await service.rhea.does("/v1/payment-runs/KIR-2021-10/release")
        run = await service.rhea.reads("/v1/payment-runs/KIR-2021-10")
        file = await service.first.get("/v1/payment-runs/KIR-2021-10/export")
        assert sha256(file.content).hexdigest() == run["file_sha256"]
        service.clock.forward(days=2)
        await story.settle(service, "1985.78")
        assert (await service.ivo.reads(PAYMENT))["stage"] == "paid"
        told = await service.first.reads(f"/v1/awards/{AWARD}/balances")
        assert (told["paid"], told["due"], told["trial_balance"]) == ("1985.78", "814.22", "0.00")
        assert told["remaining"] == "2347200.00"
        trail = await service.audrey.reads(f"/v1/awards/{AWARD}/trail")
        assert [row["sequence"] for row in trail["rows"]] == list(range(1, len(trail["rows"]) + 1))
        assert trail["rows"][0]["sentence"].startswith(f"Registered award {AWARD}")
        assert trail["rows"][-1]["type"] == "payment.settled"
