"""`lcledger recheck` works every amount out again, tells how much that was, and ends with 1 where one is another."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.api.cli.conftest import Played, answer, run

KIRKLEES = "INDIGO-POJ-0175"


@pytest.fixture
def folder(played: Played, tmp_path: Path) -> Path:
    return Path(shutil.copytree(played.folder, tmp_path / "ledger"))


def change(folder: Path, file: str, *statements: str) -> None:
    opened = sqlite3.connect(folder / file, isolation_level=None)
    for statement in statements:
        opened.execute(statement)
    opened.close()


def a_penny_more(folder: Path, award: str) -> int:
    """The first payment of an award that fell due is a penny more; the entry's position."""
    log = sqlite3.connect(folder / "ledger.sqlite3")
    position, state = log.execute(
        "SELECT position, state FROM entries WHERE award = ? AND type = 'payment.fell-due' ORDER BY position", (award,)
    ).fetchone()
    said = json.loads(state)
    pounds, pence = said["event"]["amount"].split(".")
    said["event"]["amount"] = f"{pounds}.{(int(pence) + 1) % 100:02}"
    log.execute("DROP TRIGGER entries_never_change")
    log.execute("UPDATE entries SET state = ? WHERE position = ?", (json.dumps(said).encode(), position))
    log.commit()
    log.close()
    return int(position)


class TestRecheck:
    def test_finds_no_difference_in_the_demo_and_tells_how_much_it_worked_out(self, folder: Path) -> None:
        done = run("recheck", "--data-dir", str(folder))
        assert done.exit_code == 0, done.output
        told = answer("recheck", "--data-dir", str(folder))
        assert (told["differences"], told["model_differences"], told["unnamed"]) == ([], [], 0)
        assert told["checked"]["entries"] == told["size"]
        assert f"✓ Worked out again: {told['checked']['amounts']:,} amounts in {told['size']:,} entries" in done.stdout
        assert f"Taken as they were stated: {told['stated']:,} amounts" in done.stdout
        log = sqlite3.connect(folder / "ledger.sqlite3")
        (agreed,) = log.execute("SELECT count(*) FROM entries WHERE type IN ('award.agreed', 'award.terms-agreed')").fetchone()
        log.close()
        assert told["terms"] == agreed > 0
        assert f"{told['terms']:,} versions of terms as agreed" in " ".join(done.stdout.split())
        assert "Not checked: whether terms are what the contract says" in " ".join(done.stdout.split())
        assert set(told["models"].values()) == {told["size"]}

    def test_of_an_award_is_of_what_touches_it(self, folder: Path) -> None:
        told = answer("recheck", "--award", "indigo-poj-0169", "--data-dir", str(folder))
        assert (told["differences"], told["model_differences"]) == ([], [])
        assert set(told["models"].values()) == {told["size"]}
        log = sqlite3.connect(folder / "ledger.sqlite3")
        (its,) = log.execute("SELECT count(*) FROM entries WHERE award = 'INDIGO-POJ-0169'").fetchone()
        log.close()
        assert its <= told["checked"]["entries"] < told["size"]

    def test_needs_neither_the_vault_nor_its_key(self, folder: Path) -> None:
        (folder / "vault.key").unlink()
        change(folder, "ledger.sqlite3", "UPDATE texts SET sealed = NULL, salt = ''", "UPDATE participants SET sealed = NULL")
        assert answer("recheck", "--data-dir", str(folder))["differences"] == []

    def test_names_an_amount_that_is_another(self, folder: Path) -> None:
        position = a_penny_more(folder, "INDIGO-POJ-0169")
        done = run("recheck", "--award", "INDIGO-POJ-0169", "--data-dir", str(folder))
        assert done.exit_code == 1
        assert f"  INDIGO-POJ-0169, entry {position}, payment.fell-due, amount: recorded " in done.stderr
        assert run("recheck", "--award", KIRKLEES, "--data-dir", str(folder)).exit_code == 0

    def test_names_a_row_of_a_read_model_that_is_another(self, folder: Path) -> None:
        views = sqlite3.connect(folder / "ledger-views.sqlite3", isolation_level=None)
        (table,) = views.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE 'payments%'").fetchone()
        views.execute(f"UPDATE {table} SET amount = amount + 1 WHERE stream = (SELECT min(stream) FROM {table})")
        views.close()
        for award in ((), ("--award", "INDIGO-POJ-0168")):
            done = run("recheck", *award, "--data-dir", str(folder))
            assert done.exit_code == 1
            assert "read model payments: award/INDIGO-POJ-0168/assessment/" in done.stderr
        assert run("recheck", "--award", KIRKLEES, "--data-dir", str(folder)).exit_code == 0

    def test_refuses_an_award_that_is_not_there(self, folder: Path) -> None:
        done = run("recheck", "--award", "INDIGO-POJ-9999", "--data-dir", str(folder))
        assert (done.exit_code, done.stderr) == (1, "✗ There is no award INDIGO-POJ-9999.\n")
