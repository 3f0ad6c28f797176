"""The steps in an award's life, and reconsiderations, as an administrator types them."""

from pathlib import Path

from tests.api.cli.conftest import OPEN as AWARD
from tests.api.cli.conftest import answer, run, second


class TestSteps:
    def test_are_proposed_by_one_and_agreed_by_another(self, agreed: tuple[str, ...]) -> None:
        letter = Path(agreed[1]) / "letter.pdf"
        letter.write_bytes(b"We disagree.")
        pause = ("pause", AWARD, "--reason", "A dispute over evidence.", "--document", str(letter))
        tried = run(*pause, "--dry-run", *agreed)
        assert (tried.exit_code, "nothing was recorded" in tried.stdout) == (0, True)
        assert "lcledger pause OPEN-FOR-YOU --agree" in run(*pause, *agreed).stdout.replace("\n", " ")
        refused = run("pause", AWARD, "--agree", *agreed)
        assert (refused.exit_code, "Whoever proposed this may not agree it" in refused.stderr) == (1, True)
        wrong = run("reopen", AWARD, "--agree", *second(agreed))
        assert (wrong.exit_code, "To pause OPEN-FOR-YOU is proposed" in wrong.stderr) == (1, True)
        assert "is paused" in run("pause", AWARD, "--agree", *second(agreed)).stdout
        assert answer("awards", *agreed)[0]["status"] == "paused"

    def test_want_a_reason_an_agreement_or_a_withdrawal(self, agreed: tuple[str, ...]) -> None:
        assert run("pause", AWARD, *agreed).exit_code == 2
        assert run("pause", AWARD, "--agree", "--withdraw", *agreed).exit_code == 2

    def test_end_an_award_and_open_it_again(self, agreed: tuple[str, ...]) -> None:
        assert "could be closed" in run("close", AWARD, "--dry-run", *agreed).stdout
        early = run("complete", AWARD, *agreed)
        assert (early.exit_code, "Only an award that is closed to claims" in early.stderr) == (1, True)
        answer("close", AWARD, *agreed)
        assert answer("complete", AWARD, *agreed)["entries"][0]["type"] == "award.completed"
        run("reopen", AWARD, "--reason", "A claim was forgotten.", *agreed)
        run("reopen", AWARD, "--withdraw", *agreed)
        run("reopen", AWARD, "--reason", "Two claims were forgotten.", *agreed)
        run("reopen", AWARD, "--agree", *second(agreed))
        assert answer("awards", *agreed)[0]["status"] == "active"


class TestReconsiderations:
    def test_name_lines_by_claim_and_number(self, agreed: tuple[str, ...]) -> None:
        propose = ("reconsideration", "propose", AWARD, "RC-1")
        assert run(*propose, "2021-Q3", "--reason", "Room.", *agreed).exit_code == 2
        refused = run(*propose, "2021-Q3:1", "--reason", "Room.", *agreed)
        assert (refused.exit_code, "The award has no claim of this reference" in refused.stderr) == (1, True)
        missing = run("reconsideration", "show", AWARD, "RC-1", *agreed)
        assert "no reconsideration of this reference" in missing.stderr
