"""What the README promises is so."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from api.settings import table

TOP = Path(__file__).parent.parent
README = (TOP / "README.md").read_text("utf-8")


def command(heading: str) -> str:
    """The only line of the only code block under a heading."""
    section = re.search(rf"^## {heading}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    assert section is not None, heading
    (block,) = re.findall(r"^```\w*\n(.*?)^```", section[1], re.DOTALL | re.MULTILINE)
    (line,) = str(block).splitlines()
    return line


class TestReadme:
    @pytest.mark.parametrize("heading", ["Run", "Test"])
    def test_gives_one_line_that_starts_from_nothing(self, heading: str) -> None:
        line = command(heading)
        assert line.startswith("python3 -m venv .venv && ")
        assert "--require-hashes" in line
        for pins in re.findall(r"-r (\S+)", line):
            assert (TOP / pins).is_file()

    def test_tells_ci_what_to_run(self) -> None:
        assert "## Test" in (TOP / ".ci" / "run").read_text("utf-8")
        assert os.access(TOP / ".ci" / "run", os.X_OK)

    def test_lists_every_setting(self) -> None:
        assert table() in README

    @pytest.mark.long
    def test_gives_a_run_command_that_runs(self, tmp_path: Path) -> None:
        assert command("Run").endswith("/lcledger demo")
        subprocess.run(
            [sys.executable, "-c", "from api.cli import app; app(prog_name='lcledger')", "demo", "--no-serve"],
            check=True,
            cwd=tmp_path,
            timeout=60,
            env={**os.environ, "PYTHONPATH": str(TOP), "LCLEDGER_DATA_DIR": str(tmp_path / "demo")},
        )
