"""The command line tells who read, and writes down what it tells itself."""

import json
from pathlib import Path

from tests.api.cli.conftest import OPEN, Played, lcledger


def told(folder: Path, *asked: str) -> list[dict[str, object]]:
    answer = lcledger("disclosures", "--json", *asked, LCLEDGER_DATA_DIR=str(folder))
    assert answer.returncode == 0, answer.stderr
    found: list[dict[str, object]] = json.loads(answer.stdout)
    return found


class TestDisclosures:
    def test_tells_what_the_command_line_read_and_exported(self, played: Played, tmp_path: Path) -> None:
        here = {"LCLEDGER_DATA_DIR": str(played.folder)}
        journal = tmp_path / "journal"
        assert lcledger("export", "journal", "--award", OPEN, "-o", str(journal), **here).returncode == 0
        exported, *_ = told(played.folder, "--award", OPEN)
        assert (exported["route"], exported["person"], exported["award"]) == ("lcledger export journal", None, OPEN)
        assert str(exported["origin"]).startswith("command line")
        itself, *_ = told(played.folder, "--limit", "1")
        assert itself["route"] == "GET /v1/disclosures"

    def test_tells_of_what_needs_no_key_and_shows_amounts(self, played: Played) -> None:
        here = {"LCLEDGER_DATA_DIR": str(played.folder)}
        assert lcledger("recheck", "--award", OPEN, **here).returncode == 0
        rechecked, *_ = told(played.folder, "--award", OPEN)
        assert (rechecked["route"], rechecked["person"]) == ("lcledger recheck", None)
        assert str(rechecked["origin"]).startswith("command line of ")
        assert lcledger("check", **here).returncode == 0
        assert told(played.folder, "--limit", "1")[0]["route"] == "lcledger check"

    def test_shows_a_table(self, played: Played) -> None:
        answer = lcledger("disclosures", "--limit", "3", LCLEDGER_DATA_DIR=str(played.folder))
        assert "/v1/awards/" in answer.stdout or "/v1/disclosures" in answer.stdout

    def test_shows_a_person_and_a_second_each_in_one_piece(self, played: Played) -> None:
        last, *_ = told(played.folder, "--limit", "1")
        answer = lcledger("disclosures", "--limit", "4", LCLEDGER_DATA_DIR=str(played.folder))
        assert f"{str(last['told_at'])[:19].replace('T', ' ')}   {last['person']}   " in answer.stdout
