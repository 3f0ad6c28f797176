"""Why: every line and payment of the demo, explained, and re-worked from the numbers of its own text."""

from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from api.app import create_app
from api.identity import FIRST_KEY_FILE
from api.settings import Settings, vault_key
from domain.explanation import Explanation
from ledger.ledger import Ledger
from tests.api.cli.conftest import Played, run
from tests.explaining import every_course, every_explanation
from tests.reckoner import calculations, rework

AWARDS = ("INDIGO-POJ-0168", "INDIGO-POJ-0169", "INDIGO-POJ-0172", "INDIGO-POJ-0175", "INDIGO-POJ-0195")


class TestEveryLineOfTheDemo:
    def test_ends_in_what_was_recorded_and_is_reworked_from_its_own_numbers(self, played: Played) -> None:
        settings = Settings(data_dir=played.folder)
        rules = Counter[str]()
        shown = 0
        with Ledger.open(settings.log_url, vault_key=vault_key(settings)) as ledger:
            head = ledger.head().size
            for award in AWARDS:
                for each in every_explanation(lambda stream: ledger.load(stream, head)[0], award):
                    assert rework(each.explanation) == each.recorded == each.explanation.amount
                    shown += calculations(each.explanation)
                    rules.update(step.rule for step in each.explanation.steps)
        assert min(rules[rule] for rule in ("M2", "M3", "M5", "M6", "M7", "M8")) > 0
        assert shown > 4 * rules["M2"], "each line shows its value, its parts and their sum"

    def test_is_told_also_if_nothing_follows_for_it(self, played: Played) -> None:
        settings = Settings(data_dir=played.folder)
        count = 0
        ends: list[str] = []
        with Ledger.open(settings.log_url, vault_key=vault_key(settings)) as ledger:
            head = ledger.head().size
            for award in AWARDS:
                for line, each in every_course(lambda stream: ledger.load(stream, head)[0], award):
                    assert rework(each.explanation) == each.recorded == each.explanation.amount
                    count += 1
                    if not line.assessments:
                        ends.append(each.explanation.steps[-1].says)
        assert count > 3_000
        assert sum("was rejected as" in says for says in ends) > 0
        assert all(says.startswith("So no amount follows, £0.00, for line") and ": " in says for says in ends)


@pytest_asyncio.fixture
async def demo(played: Played) -> Any:
    """The demo's service, asked by its first administrator."""
    app = create_app(Settings(data_dir=played.folder))
    key = (played.folder / FIRST_KEY_FILE).read_text("utf-8").strip()
    async with app.router.lifespan_context(app):
        transport, headers = httpx.ASGITransport(app=app), {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(transport=transport, base_url="http://ledger.test/v1", headers=headers) as http:
            yield http


class TestEveryPaymentOfTheDemo:
    async def test_ends_in_what_is_owed_and_is_reworked_from_its_own_numbers(self, demo: httpx.AsyncClient) -> None:
        count = 0
        for award in AWARDS:
            path: str | None = f"/awards/{award}/payments?limit=500"
            while path:
                page = (await demo.get(path)).json()
                for each in page["rows"]:
                    name = f"/awards/{award}/payments/{each['assessment']}/{each['payer']}/explanation"
                    told = (await demo.get(name)).json()
                    explained = Explanation.model_validate({name: told[name] for name in Explanation.model_fields})
                    assert str(rework(explained)) == told["amount"] == each["amount"], told["text"]
                    count += 1
                path = f"/awards/{award}/payments?limit=500&after={page['next']}" if page["next"] else None
        assert count > 100


class TestCommand:
    def test_explains_a_line_and_a_payment_in_words(self, played: Played) -> None:
        here = ("--data-dir", str(played.folder))
        line = run("explain", "line", "INDIGO-POJ-0168", "1", "1", *here).stdout
        assert line.startswith("Line 1 of claim 2019-Q1 in assessment 1 of INDIGO-POJ-0168: £2,350.00\n")
        assert "10. So line 1 is assessed at £2,350.00. (M11)" in line
        payment = run("explain", "payment", "INDIGO-POJ-0168", "1", "GB-GOR-D5", *here).stdout
        assert "7 × £683.36 = £4,783.52" in payment
        assert "£4,783.52, which fell due." in payment

    def test_explains_what_became_of_a_claimed_line(self, played: Played) -> None:
        told = run("explain", "claim-line", "INDIGO-POJ-0168", "2019-Q1", "1", "--data-dir", str(played.folder)).stdout
        assert told.startswith("Line 1 of claim 2019-Q1 of INDIGO-POJ-0168: £2,350.00\n")
        assert "assessment 1, £2,350.00: /v1/awards/INDIGO-POJ-0168/assessments/1/lines/1/explanation?claim=2019-Q1" in told

    def test_says_which_line_there_is_not(self, played: Played, tmp_path: Path) -> None:
        done = run("explain", "line", "INDIGO-POJ-0168", "1", "99", "--data-dir", str(played.folder))
        assert done.exit_code == 1
        assert "The assessment moved no line of this number" in done.output
        several = run("explain", "line", "INDIGO-POJ-0172", "18", "2", "--data-dir", str(played.folder))
        assert "2020-Q2, 2020-Q3" in several.output
