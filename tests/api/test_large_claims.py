"""A claim of 5,000 lines, each with its participant, its evidence and two payers, sent to a process that serves."""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.api import server, story
from tests.api.server import Place, Serving
from tests.api.story import AWARD, KIRKLEES, TOP_UP, Service

pytestmark = pytest.mark.long

LINES: Final = 5_000
SECONDS: Final = 5.0
MIB: Final = 300.0
HEADING: Final = "outcome,participant,quantity,achieved_on,evidence_sha256,evidence_title,note"


def _lines(first: int) -> list[dict[str, Any]]:
    return [
        {
            "outcome": "ENTRY",
            "participant": f"KIR-{number:06}",
            "quantity": "1",
            "achieved_on": "2021-08-02",
            "evidence": [{"sha256": f"{number:064x}", "title": f"Tenancy agreement {number}"}],
            "note": f"Moved in, flat {number}",
        }
        for number in range(first, first + LINES)
    ]


def _csv(first: int) -> str:
    rows = (
        f'ENTRY,KIR-{number:06},1,2021-08-02,{number:064x},Tenancy agreement {number},"Moved in, flat {number}"'
        for number in range(first, first + LINES)
    )
    return "\r\n".join((HEADING, *rows)) + "\r\n"


class TestAClaimOf5000Lines:
    async def test_is_assessed_within_5_seconds_and_300_mib(self, tmp_path: Path) -> None:
        place = Place(tmp_path / "ledger")
        with server.served(place) as serving:
            async with server.asked(place, serving) as service:
                await story.gather(service)
                await story.agree_award(service, **server.STILL_OPEN)
                as_json = await self._goes_through(serving, service, "2021-Q3", json=story.claim("2021-Q3", _lines(0)))
                query = {"claim": "2021-Q4", "period_first": "2021-07-01", "period_last": "2021-12-31"}
                csv = {"Content-Type": "text/csv"}
                as_csv = await self._goes_through(serving, service, "2021-Q4", params=query, content=_csv(LINES), headers=csv)
                await self._is_read_back(service)
                assert min(as_json, as_csv) < SECONDS  # Of one core.
                assert serving.peak_mib < MIB

    async def _goes_through(self, serving: Serving, service: Service, reference: str, **sent: Any) -> float:
        begun = serving.cpu_s
        await service.cora.does(f"/v1/awards/{AWARD}/claims", **sent)
        await service.vera.does(f"/v1/awards/{AWARD}/claims/{reference}/verification", {"others": "accepted"})
        return serving.cpu_s - begun

    async def _is_read_back(self, service: Service) -> None:
        for reference, assessment in (("2021-Q3", 1), ("2021-Q4", 2)):
            path, lines = f"/v1/awards/{AWARD}/claims/{reference}", []
            after: dict[str, str] = {}
            while True:
                told = await service.vera.reads(path, params={"limit": 500, **after})
                lines += told["lines"]
                if told["next"] is None:
                    break
                after = {"after": told["next"]}
            assert (told["status"], told["assessed"], len(lines)) == ("assessed", "7000000.00", LINES)
            assert len({line["participant"] for line in lines}) == LINES
            whole = await service.audrey.reads(f"/v1/awards/{AWARD}/assessments/{assessment}")
            assert set(whole["allotted"]) == {KIRKLEES, TOP_UP}
        told = await service.first.reads(f"/v1/awards/{AWARD}/balances")
        assert (told["assessed"], told["trial_balance"]) == ("14000000.00", "0.00")
