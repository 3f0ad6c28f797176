"""What the README promises is so."""

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from string import Template
from typing import Any

import httpx
import pytest
from standardwebhooks import WebhookVerificationError
from typer.testing import CliRunner

from api import webhook_signatures
from api.app import create_app
from api.cli import app
from api.cli.demo.history import packaged
from api.settings import Settings, table
from api.webhook_signatures import PrivateKey, Secret
from tests.api import story
from tests.api.cli.conftest import played_once

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
    def test_gives_a_run_command_that_runs(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        assert command("Run").endswith("/lcledger demo")
        assert "All awards" in played_once(tmp_path_factory).first


class TestReceiver:
    """What "Receiving webhooks" tells receivers to do takes what we send, and nothing else."""

    def test_takes_each_notice_once(self, capsys: pytest.CaptureFixture[str]) -> None:
        secret, moment = Secret.new(), datetime.now(UTC)
        body = b'{"type":"payment.settled","data":{"award":"INDIGO-POJ-0175","amounts":{"amount":"4633.29"}}}'
        found: dict[str, Any] = {}
        exec(README.split("```python\n")[1].split("```")[0].replace("whsec_...", secret.shown), found)  # noqa: S102
        headers = webhook_signatures.headers("msg_1", moment, body, [PrivateKey.new(), secret])
        assert [found["receive"](headers, body) for _ in range(2)] == [204, 204]
        assert capsys.readouterr().out == "payment.settled INDIGO-POJ-0175 {'amount': '4633.29'}\n"
        with pytest.raises(WebhookVerificationError):
            found["receive"](headers, body.replace(b"4633.29", b"9633.29"))


class TestStory:
    """The requests of "One award's story" are sent as they stand there."""

    async def test_is_so(self, tmp_path: Path) -> None:
        async with story.serving(tmp_path / "ledger", story.Clock(datetime(2026, 1, 5, 12, tzinfo=UTC))) as service:
            names = await _open_award(service)
            answers = []
            for request in _requests():  # Whoever types them is not as quick: the read models have followed by then.
                await service.app.state.views.wait(service.app.state.ledger.head().size)
                answers.append((request, await _sent(service, request, names)))
        assert [request for request, answer in answers if not answer.is_success] == []
        told = {request.path.rpartition("/")[2].partition("?")[0]: answer for request, answer in answers}
        assert told["2"].json()["assessed"] == "4633.29"
        assert told["balances"].json()["trial_balance"] == "0.00"
        assert "GB-LAE-X-RIVERTON" in told["export"].text

    def test_names_commands_that_there_are(self) -> None:
        for name in re.findall(r"`lcledger ([\w-]+)", README):
            assert CliRunner().invoke(app, [name, "--help"]).exit_code == 0, name

    def test_names_routes_that_there_are(self) -> None:
        routes = set(create_app(Settings()).openapi()["paths"])
        for path in re.findall(r"`[A-Z]+ (/v1/[^`…]+)`", README):
            assert path in routes, path


@dataclass(frozen=True)
class Request:
    """A line of curl, read."""

    method: str
    path: str
    headers: dict[str, str]
    body: str | None


def _requests() -> Iterator[Request]:
    section = README.split("## One award's story")[1].split("```")[1].replace("\\\n", " ")
    for line in section.splitlines():
        if not line.startswith("curl "):
            continue
        words = iter(shlex.split(line)[1:])
        method, headers, body, path = "GET", {}, None, ""
        for word in words:
            match word:
                case "-s":
                    continue
                case "-X":
                    method = next(words)
                case "-H":
                    name, _, value = next(words).partition(": ")
                    headers[name] = value
                case "-d":
                    body = next(words)
                case _:
                    path = word
        yield Request(method, path, headers, body)


async def _sent(service: story.Service, request: Request, names: dict[str, str]) -> httpx.Response:
    def filled(text: str) -> str:
        return Template(text).substitute(names)

    headers = {name: filled(value) for name, value in request.headers.items()}
    return await service.http.request(request.method, filled(request.path), headers=headers, content=request.body)


async def _open_award(service: story.Service) -> dict[str, str]:
    """The award that the demo leaves open, with one claim assessed, and a key for everybody who has a part in the story."""
    registration = packaged()["open"]["registration"]
    award, provider, council = registration["reference"], "GB-COH-X-NEXT-STEPS", "GB-LAE-X-RIVERTON"
    for each in registration["terms"]["parties"]:
        await service.first.does("/v1/parties", {"party": each["party"], "name": each["party"]})
    ada = await service.person("Ada", story_party := "XX-LCL-OPERATOR")
    service.cast["ada"] = await service.give_key(ada, "administrator")
    await story.agree_details(service, provider)
    await service.first.does("/v1/awards", registration)
    await service.cast["ada"].does(f"/v1/awards/{award}/agreement")
    parts = {"CLAIMANT": provider, "VERIFIER": council, "APPROVER": council, "RELEASER": council, "AUDITOR": story_party}
    names = {"LEDGER": "/v1", "AWARD": award, "ADMINISTRATOR": str(service.first.secret)}
    for role, party in parts.items():
        holder = await service.give_key(await service.person(role.title(), party), role.lower(), awards=(award,))
        names[role] = str(holder.secret)
        service.cast[role.lower()] = holder
    line = {"outcome": "WORKSHOP", "quantity": "71", "achieved_on": "2024-06-28"}
    period = {"first": "2024-04-01", "last": "2024-06-30"}
    claim = {"claim": "2024-SUMMER", "period": period, "lines": [line]}
    await service.cast["claimant"].does(f"/v1/awards/{award}/claims", claim)
    await service.cast["verifier"].does(f"/v1/awards/{award}/claims/2024-SUMMER/verification", {"others": "accepted"})
    return names
