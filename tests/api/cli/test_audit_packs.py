"""The packs of the demo's awards, as an auditor gets and checks them."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from api.cli.demo.history import packaged
from tests.api.cli.conftest import OPEN, Played, lcledger

AWARDS = tuple(str(each["registration"]["reference"]) for each in packaged()["awards"])
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def packs(played: Played, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A pack of each award, unpacked."""
    folder = tmp_path_factory.mktemp("packs")
    key = ("--key-file", str(played.folder / "first-administrator.key"), "--data-dir", str(played.folder))
    assert lcledger("log", "checkpoint", "--data-dir", str(played.folder)).returncode == 0
    for award in (*AWARDS, OPEN):
        done = lcledger("audit-pack", award.lower(), "--output", str(folder / f"{award}.zip"), *key)
        assert done.returncode == 0, done.stderr
        with zipfile.ZipFile(folder / f"{award}.zip") as packed:
            packed.extractall(folder / award)
    return {award: folder / award for award in (*AWARDS, OPEN)}


class TestAuditPack:
    def test_of_each_award_is_verified_by_its_own_program(self, packs: dict[str, Path]) -> None:
        for award, folder in packs.items():
            command = [sys.executable, "-I", "verify.py"]
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=folder)
            assert done.stdout.startswith("PASS: "), done.stdout
            assert f"all that {award} has" in done.stdout

    def test_names_no_other_award(self, packs: dict[str, Path]) -> None:
        for award, folder in packs.items():
            text = "".join(file.read_text("utf-8") for file in folder.iterdir())
            assert [other for other in packs if other != award and other in text] == []

    def test_is_refused_where_there_is_no_such_award(self, played: Played) -> None:
        key = ("--key-file", str(played.folder / "first-administrator.key"), "--data-dir", str(played.folder))
        assert lcledger("audit-pack", "INDIGO-POJ-9999", *key).returncode == 1
