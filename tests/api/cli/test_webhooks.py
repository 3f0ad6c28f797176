"""Webhooks on the command line, from the first word to the last, with an address that answers its challenge."""

import asyncio
import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from api.cli import app
from api.settings import Settings
from projections.deliveries import Deliveries
from tests.api.cli.conftest import OPEN, Played
from tests.api.receiver import Receiver, gives_back, receiving
from tests.api.test_deliveries import queue_and_park


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """One in a thread of its own, as commands have event loops of theirs."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    listening = receiving()
    yield asyncio.run_coroutine_threadsafe(listening.__aenter__(), loop).result(10)
    asyncio.run_coroutine_threadsafe(listening.__aexit__(None, None, None), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(10)
    loop.close()


class TestWebhooks:
    def test_are_managed_from_registration_to_removal(
        self, played: Played, receiver: Receiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("LCLEDGER_WEBHOOK_LOOPBACK", "true")
        monkeypatch.setenv("COLUMNS", "200")

        def run(*arguments: str) -> tuple[int, str]:
            done = CliRunner().invoke(app, ["webhooks", *arguments, "--data-dir", str(played.folder)])
            return done.exit_code, done.output

        code, said = run("add", receiver.url, "--award", OPEN, "--type", "payment.*", "--dry-run")
        assert (code, "nothing was recorded" in said, "whsec_" in said) == (0, True, False)
        code, said = run("add", receiver.url, "--award", OPEN, "--type", "payment.*", "--description", "Reporting desk")
        assert (code, "whsec_" in said, "lcledger webhooks challenge" in said) == (0, True, True)
        webhook = said.strip().rpartition(" ")[2]
        code, said = run("enable", webhook)
        assert (code, "has not answered a challenge yet" in said) == (1, True)
        receiver.answering = lambda _: (500, b"")
        code, said = run("challenge", webhook)
        assert (code, "did not answer the challenge" in said) == (1, True)
        receiver.answering = gives_back
        assert run("challenge", webhook)[0] == 0
        assert run("change", webhook, "--rate-limit", "5")[0] == 0
        code, said = run("rotate", webhook)
        assert (code, "whsec_" in said, "What signed before signs along with it until 20" in said) == (0, True, True)
        code, said = run("show", webhook)
        assert (code, "whsec_" in said, said.count("whpk_"), "Reporting desk" in said) == (0, False, 2, True)
        assert run("disable", webhook)[0] == 0
        code, said = run("list", "--state", "disabled")
        assert (code, webhook in said, "disabled (asked)" in said) == (0, True, True)
        assert run("enable", webhook)[0] == 0
        code, said = run("remove", webhook)
        assert (code, f"Webhook {webhook} is removed" in said) == (0, True)
        code, said = run("show", webhook)
        assert (code, "what else there was of it is gone" in said, "Reporting desk" in said) == (0, True, False)
        told = json.loads(run("show", webhook, "--json")[1])
        assert (told["state"], told["url"], told["awards"], told["rate_limit"]) == ("removed", None, [OPEN], 5)

    def test_that_fail_are_told_beside_the_feed(
        self, played: Played, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("LCLEDGER_WEBHOOK_LOOPBACK", "true")

        def run(*arguments: str) -> Any:
            return CliRunner().invoke(app, [*arguments, "--data-dir", str(played.folder)])

        webhook = run("webhooks", "add", receiver.url).output.strip().rpartition(" ")[2]
        assert run("webhooks", "challenge", webhook).exit_code == 0
        with closing(Deliveries.open(Settings(data_dir=played.folder).log_url)) as deliveries:
            queue_and_park(deliveries, webhook, datetime.now(UTC))
        done = run("feed", "--type", "award.agreed", "--json")
        assert {json.loads(line)["type"] for line in done.stdout.splitlines()} == {"award.agreed"}
        # What was before it was enabled is not told.
        how = rf"has taken nothing since {datetime.now(UTC).year}\S+ \S+, has 1 parked"
        assert re.fullmatch(rf"✗ The webhook {webhook} \(127\.0\.0\.1\) {how}", done.stderr.strip()), done.stderr
        assert run("webhooks", "remove", webhook).exit_code == 0
        assert run("feed", "--type", "award.agreed", "--json").stderr == ""

    def test_go_to_no_other_machine_in_the_clear(self, played: Played) -> None:
        done = CliRunner().invoke(app, ["webhooks", "add", "http://notices.example.org/", "--data-dir", str(played.folder)])
        assert (done.exit_code, "must begin with https://" in done.output) == (1, True)

    def test_go_to_no_private_address(self, played: Played) -> None:
        done = CliRunner().invoke(app, ["webhooks", "add", "https://10.1.2.3/", "--data-dir", str(played.folder)])
        assert (done.exit_code, "10.1.2.3 is private" in done.output) == (1, True)
        assert "LCLEDGER_WEBHOOK_NETWORKS" in done.output
