"""A row of a read model that was changed is told by health and metrics, and named in the service's log, soon after."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from tests.api import story

IN_TIME_S = 20


async def test_a_changed_row_is_told_to_whoever_watches_the_service(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with story.serving(tmp_path, views_check_entries_per_s=1_000_000, views_check_every_s=0.05) as service:
        await story.gather(service)
        await story.agree_award(service)
        await story.submit(service)
        await story.verify(service)
        position = (await service.audrey.reads("/v1/health/ready"))["position"]

        async def until(model: str, **is_: object) -> None:
            async with asyncio.timeout(IN_TIME_S):
                while True:
                    models = (await service.nobody.reads("/v1/health/ready"))["models"]
                    found = next(each for each in models if each["name"] == model)
                    if is_.items() <= found.items():
                        return
                    await asyncio.sleep(0.05)

        await until("payments", checked=position, differences=0)
        views = sqlite3.connect(tmp_path / "ledger-views.sqlite3", isolation_level=None)
        (table,) = views.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'payments%'").fetchone()
        views.execute(f"UPDATE {table} SET amount = amount + 1 WHERE stream = (SELECT min(stream) FROM {table})")
        views.close()
        await until("payments", differences=1)
        assert "the read model payments is not what the log says: award/INDIGO-POJ-0175/assessment/1/payment/" in caplog.text
        answer = await service.audrey.get("/v1/metrics")
        assert 'lcledger_model_differences{model="payments"} 1.0' in answer.text
        assert f'lcledger_model_checked{{model="payments"}} {float(position)}' in answer.text
        assert 'lcledger_model_differences{model="claims"} 0.0' in answer.text
