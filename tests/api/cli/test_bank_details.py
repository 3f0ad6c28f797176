"""Bank details on the command line: asked for, so that no history of commands keeps them, and agreed by typing them again."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from api.cli import app
from tests.api.cli.conftest import Played

PAYEE = "GB-COH-X-KBOP"


@pytest.fixture(scope="module")
def second_key(played: Played) -> Path:
    return played.folder / "second-administrator.key"


class TestBankDetails:
    def test_are_proposed_agreed_and_shown_by_two_persons(self, played: Played, second_key: Path) -> None:
        def run(*arguments: str, typed: str = "") -> tuple[int, str]:
            done = CliRunner().invoke(app, ["bank-details", *arguments, "--data-dir", str(played.folder)], input=typed)
            return done.exit_code, done.output

        second = ("--key-file", str(second_key))
        typed = "00-00-77\n00770077\nKBOP at another bank\n"
        code, said = run("propose", PAYEE, "--dry-run", typed=typed)
        assert (code, "They could be proposed; nothing was recorded" in said) == (0, True)
        assert run("propose", PAYEE, typed=typed)[0] == 0
        code, said = run("propose", PAYEE, typed=typed)
        assert (code, "wait for a second person" in said) == (1, True)
        code, said = run("agree", PAYEE, typed=typed)
        assert (code, "Whoever proposed the bank details may not agree them" in said) == (1, True)
        code, said = run("agree", PAYEE, *second, typed=typed.replace("0077\n", "0078\n"))
        assert (code, "These are not the bank details that were proposed" in said) == (1, True)
        assert run("agree", PAYEE, *second, typed=typed)[0] == 0
        code, said = run("show", PAYEE)
        assert (code, "••••0077" in said, "00770077" in said) == (0, True, False)
        told = json.loads(run("show", PAYEE, "--json")[1])
        assert (told["agreed"]["number"], told["waiting"]) == (2, None)

    def test_that_wait_are_withdrawn(self, played: Played) -> None:
        where = ("--data-dir", str(played.folder))
        given = ("--sort-code", "000078", "--account-number", "00780078", "--account-name", "A mistake")
        assert CliRunner().invoke(app, ["bank-details", "propose", "GB-COH-X-SKILL-MILL", *given, *where]).exit_code == 0
        done = CliRunner().invoke(app, ["bank-details", "withdraw", "GB-COH-X-SKILL-MILL", "A digit was wrong", *where])
        assert done.exit_code == 0, done.output
        shown = CliRunner().invoke(app, ["bank-details", "show", "GB-COH-X-SKILL-MILL", "--json", *where])
        assert json.loads(shown.stdout)["waiting"] is None
