"""The feed at the terminal: line by line for a person, a document a line for a machine, and for as long as somebody listens."""

import json
import signal
import time
from pathlib import Path

from tests.api.cli.conftest import OPEN, Played, answer, environment, run, second
from tests.forking import forked


class TestFeed:
    def test_tells_machines_a_document_a_line(self, played: Played) -> None:
        done = run("feed", "--award", OPEN, "--json", "--data-dir", str(played.folder))
        told = [json.loads(line) for line in done.stdout.splitlines()]
        trail = answer("trail", OPEN, "--data-dir", str(played.folder))
        assert {each["source"] for each in told} == {f"/v1/awards/{OPEN}"}
        positions = [each["data"]["position"] for each in told]
        assert positions == sorted(positions)
        assert set(positions) < {row["position"] for row in trail}

    def test_tells_people_what_happened_and_from_where_to_go_on(self, played: Played) -> None:
        here = ("--data-dir", str(played.folder))
        whole = run("feed", "--type", "award.agreed", *here)
        lines = whole.stdout.splitlines()
        first, last = (int(line.split()[0]) for line in (lines[0], lines[-1]))
        assert all("INDIGO" in line or OPEN in line for line in lines)
        rest = run("feed", "--type", "award.agreed", "--after", str(first), *here)
        assert rest.stdout.splitlines() == lines[1:]
        assert last > first

    def test_goes_on_until_it_is_interrupted(self, agreed: tuple[str, ...], tmp_path: Path) -> None:
        out, err = tmp_path / "out", tmp_path / "err"
        with forked(("feed", "--follow", *agreed), environment(), out, err) as following:
            until(out, "Agreed the award")
            assert run("pause", OPEN, "--reason", "The lead provider changes", *agreed).exit_code == 0
            assert run("pause", OPEN, "--agree", *second(agreed)).exit_code == 0
            until(out, "Paused the award")
            following.send_signal(signal.SIGINT)
            assert following.wait(20) == 0
        assert "go on with --after" in err.read_text("utf-8")


def until(out: Path, word: str) -> None:
    """Wait until a word has been told."""
    end = time.monotonic() + 30
    while not out.exists() or word not in out.read_text("utf-8"):
        assert time.monotonic() < end, word
        time.sleep(0.05)
