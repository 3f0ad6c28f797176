"""`lcledger erase` says how much will go, asks, and takes it."""

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import app
from tests.api.cli.conftest import Played

ERASE = ("erase", "OPEN-FOR-YOU", "--reason", "data-subject-request", "--participant")


class TestErase:
    def test_asks_for_the_reference_and_again_before_it_is_done(
        self, played: Played, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shutil.copytree(played.folder, tmp_path / "copy")
        monkeypatch.setenv("LCLEDGER_DATA_DIR", str(tmp_path / "copy"))
        declined = CliRunner().invoke(app, [*ERASE, "-"], input="NEXT-001\nn\n")
        assert declined.exit_code != 0
        assert "1 participants' references and 0 texts of OPEN-FOR-YOU will go" in " ".join(declined.output.split())
        tried = CliRunner().invoke(app, [*ERASE, "NEXT-001", "--dry-run"])
        assert "1 participants' references and 0 texts of OPEN-FOR-YOU could be erased; nothing" in " ".join(tried.output.split())
        done = CliRunner().invoke(app, [*ERASE, "-"], input="NEXT-001\ny\n")
        assert done.exit_code == 0, done.output
        assert "Erased" in done.output
        again = CliRunner().invoke(app, [*ERASE, "next-001", "--yes"])
        assert again.exit_code == 1
        assert "erased before" in " ".join(again.output.split())
