"""Whatever can be done over HTTP can be done at the command line, or it is said why not."""

import gc
import runpy
from typing import Final

import pytest
import typer
from typer.core import TyperGroup

from api import cli
from api.cli import app
from tests.api.test_openapi import OPERATIONS

ON_THE_COMMAND_LINE: Final = {
    "POST /v1/awards": "import award",
    "POST /v1/awards/{award}/agreement": "agree",
    "POST /v1/awards/{award}/terms": "terms propose",
    "POST /v1/awards/{award}/terms/{version}/agreement": "terms agree",
    "POST /v1/awards/{award}/closing": "close",
    "POST /v1/awards/{award}/completion": "complete",
    "POST /v1/awards/{award}/step": "pause --reason",
    "POST /v1/awards/{award}/step/agreement": "pause --agree",
    "POST /v1/awards/{award}/step/withdrawal": "pause --withdraw",
    "POST /v1/awards/{award}/opening-position": "opening-position propose",
    "POST /v1/awards/{award}/opening-position/agreement": "opening-position agree",
    "POST /v1/awards/{award}/opening-position/withdrawal": "opening-position withdraw",
    "POST /v1/awards/{award}/claims": "import claims",
    "POST /v1/awards/{award}/clawbacks": "clawback propose",
    "POST /v1/awards/{award}/clawbacks/{clawback}/agreement": "clawback agree",
    "POST /v1/awards/{award}/clawbacks/{clawback}/withdrawal": "clawback withdraw",
    "POST /v1/awards/{award}/reconsiderations": "reconsideration propose",
    "POST /v1/awards/{award}/reconsiderations/{reconsideration}/agreement": "reconsideration agree",
    "POST /v1/awards/{award}/reconsiderations/{reconsideration}/withdrawal": "reconsideration withdraw",
    "POST /v1/awards/{award}/other-payments": "other-payment propose",
    "POST /v1/awards/{award}/other-payments/{other_payment}/agreement": "other-payment agree",
    "POST /v1/awards/{award}/other-payments/{other_payment}/withdrawal": "other-payment withdraw",
    "POST /v1/awards/{award}/receivables/{assessment}/{payer}/{payee}/recovery": "receivable recover",
    "POST /v1/awards/{award}/receivables/{assessment}/{payer}/{payee}/write-off": "receivable write-off",
    "POST /v1/awards/{award}/receivables/{assessment}/{payer}/{payee}/write-off-agreement": "receivable agree-write-off",
    "POST /v1/awards/{award}/receivables/{assessment}/{payer}/{payee}/write-off-withdrawal": "receivable withdraw-write-off",
    "POST /v1/awards/{award}/erasures": "erase",
    "POST /v1/parties": "parties add",
    "POST /v1/parties/{party}/bank-details/proposal": "bank-details propose",
    "POST /v1/parties/{party}/bank-details/agreement": "bank-details agree",
    "POST /v1/parties/{party}/bank-details/withdrawal": "bank-details withdraw",
    "POST /v1/people": "people add",
    "POST /v1/keys": "keys issue",
    "POST /v1/keys/{key}/agreement": "keys agree",
    "DELETE /v1/keys/{key}": "keys revoke",
    "POST /v1/webhooks": "webhooks add",
    "POST /v1/webhooks/{webhook}/change": "webhooks change",
    "POST /v1/webhooks/{webhook}/challenge": "webhooks challenge",
    "POST /v1/webhooks/{webhook}/enabling": "webhooks enable",
    "POST /v1/webhooks/{webhook}/disabling": "webhooks disable",
    "POST /v1/webhooks/{webhook}/secrets": "webhooks rotate",
    "DELETE /v1/webhooks/{webhook}": "webhooks remove",
    "POST /v1/webhooks/{webhook}/deliveries/{sequence}/resend": "webhooks resend",
    "POST /v1/webhooks/{webhook}/replay": "webhooks replay",
    "POST /v1/webhooks/{webhook}/test": "webhooks test",
    "POST /v1/log/keys": "log rotate-key",
}
"""Where an administrator finds each."""

OVER_HTTP_ONLY: Final = {
    "/v1/awards/{award}/claims/{claim}/": "done by claimants, verifiers and certifiers, whose own systems send them",
    "/v1/awards/{award}/payments/{assessment}/{payer}/": "done payment by payment, by approvers and those who watch the bank",
    "/v1/payment-runs": "done by releasers, whose banking sends files and statements",
}
"""What the beginning of an address names that is no business of whoever types; and why."""

COMMANDS: Final = [f"{method} {path}" for method, path in OPERATIONS if method != "GET"]


def found(words: str) -> bool:
    """Whether there is such a command, with the option that it may name last."""
    command = typer.main.get_command(app)
    for word in words.split():
        if word.startswith("--"):
            return any(word in option.opts for option in command.params)
        if not isinstance(command, TyperGroup) or word not in command.commands:
            return False
        command = command.commands[word]
    return not isinstance(command, TyperGroup)


def elsewhere(route: str) -> bool:
    return any(route.partition(" ")[2].startswith(beginning) for beginning in OVER_HTTP_ONLY)


@pytest.mark.parametrize("route", COMMANDS)
def test_every_command_is_on_the_command_line_or_it_is_said_why_not(route: str) -> None:
    assert (route in ON_THE_COMMAND_LINE) != elsewhere(route)


@pytest.mark.parametrize("words", ON_THE_COMMAND_LINE.values())
def test_every_command_that_is_named_is_there(words: str) -> None:
    assert found(words)


def test_nothing_is_named_that_there_is_not() -> None:
    assert not found("clawback forget")
    assert not found("pause --perhaps")
    assert ON_THE_COMMAND_LINE.keys() <= set(COMMANDS)
    assert all(any(beginning in each for each in COMMANDS) for beginning in OVER_HTTP_ONLY)


class TestWhatIsImported:
    def test_is_not_looked_through_for_garbage_meanwhile(self, monkeypatch: pytest.MonkeyPatch) -> None:
        said: list[str] = []
        monkeypatch.setattr(gc, "disable", lambda: said.append("not now"))
        monkeypatch.setattr(gc, "enable", lambda: said.append("again"))
        runpy.run_path(cli.__file__)
        assert said == ["not now", "again"]
