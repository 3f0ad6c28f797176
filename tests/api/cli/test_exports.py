"""The journal of the demo, added up by two programs that we did not write, at every year end."""

import json
import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from api.cli.access import open_ledger, settings_with
from domain.journal import account
from domain.postings import Posting
from projections.accruals import accrual
from projections.views import Views
from tests.api.cli.conftest import Played, lcledger
from tests.domain.test_journal import added_up

YEAR_ENDS = [date(year, 3, 31) for year in range(2019, 2026)]
OWED = tuple(f"Equity:{stage}:" for stage in ("Due", "Held", "Approved", "InRun", "Sent", "Returned", "Receivable:Open"))
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def exported(played: Played, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's journal as a file."""
    file = tmp_path_factory.mktemp("journal") / "demo.journal"
    done = lcledger("export", "journal", "--data-dir", str(played.folder), "-o", str(file))
    assert done.returncode == 0, done.stderr
    return file


@pytest.fixture(scope="module")
def views(played: Played) -> Iterator[Views]:
    """The read models of the demo."""
    ours = settings_with(played.folder)
    with open_ledger(ours) as ledger, Views.open(ours.log_url, ledger) as found:
        found.catch_up()
        yield found


def ours(views: Views, day: date) -> Counter[str]:
    """What our balances are made of at the end of a day, in pence, by the journal's names of accounts."""
    sums: Counter[str] = Counter()
    for award in views.awards.page(limit=100).rows:
        for (stage, outcome, payer, year), amount in views.balances.accounts(award.award, effective_on=day).items():
            sums[account(award.award, Posting(stage, outcome, payer, year, day, amount))] += int(amount)
    return Counter({name: amount for name, amount in sums.items() if amount})


def owed(sums: Counter[str]) -> int:
    """What payees are owed on balance by the journal: unpaid, at whatever stage, less what they owe back."""
    return sum(amount for name, amount in sums.items() if name.startswith(OWED))


class TestJournal:
    @pytest.mark.parametrize("year_end", YEAR_ENDS)
    def test_comes_to_our_balances_in_beancount(self, exported: Path, views: Views, year_end: date) -> None:
        after = date(year_end.year, 4, 1)
        assert added_up(exported.read_text("utf-8"), after) == ours(views, year_end)
        assert year_end < date(2020, 1, 1) or len(ours(views, year_end)) > 20

    @pytest.mark.parametrize("year_end", YEAR_ENDS)
    def test_owes_on_balance_what_the_accruals_tell(self, exported: Path, views: Views, year_end: date) -> None:
        """They show what is owed back apart, where the journal has it as less due, and neither is below nothing."""
        rows = views.awards.page(limit=100).rows
        told = [accrual(views.balances.known(row.award, effective_on=year_end)) for row in rows]
        assert all(min(of.unpaid, of.receivable) >= 0 for of in told)
        assert all(min(payer.unpaid, payer.receivable) >= 0 for of in told for payer in of.payers)
        assert all(min(year.unpaid, year.receivable) >= 0 for of in told for year in of.years)
        on_balance = sum(each.unpaid - each.receivable for each in told)
        assert on_balance == owed(added_up(exported.read_text("utf-8"), date(year_end.year, 4, 1)))

    @pytest.mark.parametrize("year_end", YEAR_ENDS)
    def test_comes_to_our_balances_in_hledger(self, exported: Path, views: Views, year_end: date) -> None:
        hledger = shutil.which("hledger")
        if hledger is None and "REQUIRE_HLEDGER" not in os.environ:
            pytest.skip("hledger is not installed; where REQUIRE_HLEDGER is set, it must be")
        assert hledger, "REQUIRE_HLEDGER is set, and hledger is not installed"
        command = [hledger, "-f", str(exported), "balance", "--flat", "--end", f"{year_end.year}-04-01", "-O", "json"]
        (rows, _) = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
        found: Counter[str] = Counter()
        for name, _, _, amounts in rows:
            for amount in amounts:
                assert amount["acommodity"] == "GBP"
                pence = amount["aquantity"]["decimalMantissa"] * 10 ** (2 - amount["aquantity"]["decimalPlaces"])
                found[name] += int(pence)
        assert found == ours(views, year_end)

    def test_is_of_one_award_where_that_is_asked(self, played: Played) -> None:
        done = lcledger("export", "journal", "--award", "indigo-poj-0172", "--data-dir", str(played.folder))
        awards = {name.split(":")[-3] for name in added_up(done.stdout) if name.startswith("Equity:Assessed:")}
        assert awards == {"INDIGO-POJ-0172"}

    def test_is_as_recorded_up_to_a_position(self, played: Played, views: Views) -> None:
        position = 2_000
        done = lcledger("export", "journal", "--as-of", str(position), "--data-dir", str(played.folder))
        then = sum(
            amount
            for award in views.awards.page(limit=100).rows
            for (stage, *_), amount in views.balances.accounts(award.award, as_of=position).items()
            if stage == "assessed"
        )
        assert sum(amount for name, amount in added_up(done.stdout).items() if name.startswith("Equity:Assessed:")) == int(then)

    def test_refuses_an_award_that_there_is_not(self, played: Played) -> None:
        done = lcledger("export", "journal", "--award", "INDIGO-POJ-9999", "--data-dir", str(played.folder))
        assert (done.returncode, "There is no award INDIGO-POJ-9999" in done.stderr) == (1, True)
