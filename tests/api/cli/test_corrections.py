"""Clawbacks, receivables, further terms, other payments and payments, as two administrators type them."""

import json
from pathlib import Path
from typing import Any, Final

import pytest

from api.cli.access import Json, act, settings_with
from tests.api.cli.conftest import OPEN, answer, begin_award, run, second
from tests.shared import copied

FUND, COUNCIL, PROVIDER = "GB-GOR-X-NEXT-FUND", "GB-LAE-X-RIVERTON", "GB-COH-X-NEXT-STEPS"
PAYERS: Final = [
    {"party": FUND, "share": "41/100", "payee": PROVIDER, "maximum": "615000.00", "pays": "by-itself"},
    {"party": COUNCIL, "share": "59/100", "payee": PROVIDER},
]
LINES: Final = """outcome,participant,quantity,achieved_on,evidence_sha256,evidence_title,note
WORKSHOP,,12,2024-08-31,,,
PLAN,NEXT-77,1,2024-08-31,,,
"""
TAKEN: Final = ("clawback", "propose", OPEN, "CB-1", "2024-Q3:1:2", "--reason", "quantity-overstated")
OWED: Final = (OPEN, "2", FUND, PROVIDER)

Here = tuple[str, ...]


def secret(here: Here, name: str) -> str:
    return (Path(here[1]) / name).read_text("utf-8").strip()


def send(here: Here, key: str, path: str, body: Any = None) -> Json:
    """What no administrator types."""
    return act(settings_with(Path(here[1])), key, lambda me: me.send(f"/awards/{OPEN}/{path}", body))


def words(said: str) -> str:
    """What was said, however it was broken into lines."""
    return " ".join(said.split())


@pytest.fixture(scope="module")
def played(served_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Here:
    """A ledger in which a claim of £1,546.00 was verified, and the fund has paid its part."""
    folder = copied(served_once, tmp_path_factory.mktemp("corrections") / "ledger")
    here = begin_award(folder, payers=PAYERS)
    (folder / "lines.csv").write_text(LINES, "utf-8")
    period = ("--first", "2024-07-01", "--last", "2024-09-30", "--claimant", PROVIDER)
    answer("import", "claims", OPEN, "2024-Q3", str(folder / "lines.csv"), *period, *here)
    answer("parties", "add", "GB-COH-02110904", "The Assessors", *here)
    vera = answer("people", "add", "GB-COH-02110904", "Vera", *here)["person"]
    key = answer("keys", "issue", vera, "verifier", "--award", OPEN, *here)["secret"]
    send(here, key, "claims/2024-Q3/verification", {"others": "accepted"})
    paid = f"payments/1/{FUND}/reported-payment"
    send(here, secret(here, "first-administrator.key"), paid, {"reference": "FUND-7", "value_date": today(here)})
    send(here, secret(here, "second.key"), f"{paid}-confirmation")
    return here


def today(here: Here) -> str:
    """The ledger's own today."""
    return str(answer("position", *here)["effective_on"])


@pytest.fixture
def here(played: Here, tmp_path: Path) -> Here:
    return "--data-dir", str(copied(Path(played[1]), tmp_path / "ledger"))


class TestClawbacks:
    def test_are_proposed_by_one_tried_and_agreed_by_another(self, here: Here) -> None:
        tried = run(*TAKEN, "--dry-run", *here)
        assert (tried.exit_code, "CB-1 could be proposed; nothing was recorded" in tried.stdout) == (0, True), tried.stderr
        proposed = run(*TAKEN, "--note", "Twelve were claimed, ten came.", *here).stdout
        assert "lcledger clawback agree OPEN-FOR-YOU CB-1" in words(proposed)
        agree = ("clawback", "agree", OPEN, "CB-1")
        alone = run(*agree, *here)
        assert (alone.exit_code, "Whoever raised the clawback may not agree it" in alone.stderr) == (1, True)
        shown = words(run(*agree, "--dry-run", *second(here)).stdout)
        assert "nothing was recorded" in shown
        assert "2024-Q3 1 WORKSHOP 2 £191.00" in shown
        assert f"{FUND} −£78.31 is owed back {COUNCIL} −£112.69 is owed back" in shown
        assert [each["status"] for each in answer("clawback", "list", OPEN, *here)] == ["proposed"]
        assert f"{FUND} −£78.31 is owed back" in words(run(*agree, *second(here)).stdout)
        assert "CB-1 agreed quantity-overstated 1 £191.00 2 First" in words(run("clawback", "list", OPEN, *here).stdout)
        told = run("clawback", "show", OPEN, "CB-1", *here).stdout
        assert "CB-1 of OPEN-FOR-YOU: agreed by assessment 2" in told
        assert "Twelve were claimed, ten came." in told
        assert "A. Commissioner, GB-LAE-KIR" in told  # Who agreed it, by name.

    def test_are_turned_down(self, here: Here) -> None:
        answer(*TAKEN, *here)
        withdrawn = run("clawback", "withdraw", OPEN, "CB-1", "--reason", "Twelve came.", *second(here))
        assert (withdrawn.exit_code, withdrawn.stdout) == (0, "✓ CB-1 is withdrawn.\n")
        again = run("clawback", "agree", OPEN, "CB-1", *second(here))
        assert (again.exit_code, "was agreed or withdrawn before" in again.stderr) == (1, True)

    def test_under_a_name_of_their_own_are_sent_twice_and_done_once(self, here: Here) -> None:
        once = answer(*TAKEN, "--idempotency-key", "take-it-back", *here)
        assert answer(*TAKEN, "--idempotency-key", "take-it-back", *here) == once
        assert run(*TAKEN, *here).exit_code == 1
        other = run(*TAKEN, "--note", "Otherwise.", "--idempotency-key", "take-it-back", *here)
        assert (other.exit_code, "used for another request" in other.stderr) == (1, True)

    def test_name_lines_with_their_quantities(self, here: Here) -> None:
        assert run("clawback", "propose", OPEN, "CB-1", "2024-Q3:1", "--reason", "duplicate", *here).exit_code == 2
        refused = run("clawback", "propose", OPEN, "CB-1", "2024-Q3:1:13", "--reason", "duplicate", *here)
        assert (refused.exit_code, "lines.0.quantity: is more than what stands" in refused.stderr) == (1, True)

    def test_are_listed_as_of_a_moment(self, here: Here) -> None:
        done = answer(*TAKEN, *here)
        before = done["position"] - done["count"]
        assert answer("clawback", "list", OPEN, "--as-of", str(before), *here) == []


class TestReceivables:
    @pytest.fixture
    def here(self, here: Here) -> Here:
        answer(*TAKEN, *here)
        answer("clawback", "agree", OPEN, "CB-1", *second(here))
        return here

    def test_are_recovered_in_part_and_written_off_by_two(self, here: Here) -> None:
        assert [(each["payer"], each["open"]) for each in answer("receivable", "list", OPEN, *here)] == [(FUND, "78.31")]
        value = ("--reference", "INV-7", "--value-date", today(here))
        recovered = run("receivable", "recover", *OWED, "--amount", "70.00", *value, *here)
        assert recovered.stdout == f"✓ {PROVIDER} paid back £70.00.\n", recovered.stderr
        other = ("--reference", "INV-8", "--value-date", today(here))
        much = run("receivable", "recover", *OWED, "--amount", "8.32", *other, *here)
        assert (much.exit_code, "more than is open" in much.stderr) == (1, True)
        give_up = ("receivable", "write-off", *OWED, "--authority", "RIVERTON-7", "--reason", "Less than its cost.")
        assert "could be proposed" in run(*give_up, "--dry-run", *here).stdout
        answer(*give_up, *here)
        assert "by authority of RIVERTON-7" in run("receivable", "show", *OWED, *here).stdout
        run("receivable", "withdraw-write-off", *OWED, *second(here))
        assert f"lcledger receivable agree-write-off {' '.join(OWED)}" in words(run(*give_up, *here).stdout)
        assert run("receivable", "agree-write-off", *OWED, *here).exit_code == 1
        assert "It is written off" in run("receivable", "agree-write-off", *OWED, *second(here)).stdout
        assert answer("receivable", "list", OPEN, *here) == []
        everything = words(run("receivable", "list", OPEN, "--all", *here).stdout)
        assert "£78.31 £0.00 £0.00 £70.00 £8.31" in everything
        assert "£112.69 £0.00 £112.69 £0.00 £0.00" in everything

    def test_are_netted_off_a_payment_which_shows_it(self, here: Here) -> None:
        assert [each["stage"] for each in answer("payment", "list", OPEN, "--payer", FUND, *here)] == ["paid"]
        assert "£799.45 due" in words(run("payment", "list", OPEN, "--stage", "due", *here).stdout)
        shown = words(run("payment", "show", OPEN, "1", COUNCIL, *here).stdout)
        assert "gross £912.14 netted off, owed back by assessment 2 −£112.69 net £799.45" in shown
        told = answer("payment", "show", OPEN, "1", COUNCIL, *here)
        assert (told["gross"], told["netted"], told["amount"]) == (
            "912.14", [{"assessment": 2, "amount": "112.69"}], "799.45",
        )  # fmt: skip
        assert run("payment", "show", OPEN, "9", COUNCIL, *here).exit_code == 1


class TestTerms:
    def further(self, here: Here, price: str, effective_from: str, **changes: Any) -> tuple[str, ...]:
        """What `terms show` prints, with another price for a workshop, as the arguments of a proposal."""
        said = answer("terms", "show", OPEN, "1", *here)
        outcomes = [{**each, "price": price} if each["code"] == "WORKSHOP" else each for each in said["terms"]["outcomes"]]
        said["terms"] |= {"effective_from": effective_from, "outcomes": outcomes, **changes}
        file = Path(here[1]) / "further.json"
        file.write_text(json.dumps(said), "utf-8")
        return "terms", "propose", OPEN, str(file), "--reason", "As the board decided."

    def test_that_are_back_dated_show_what_they_change_before_anybody_proposes_or_agrees_them(self, here: Here) -> None:
        minutes = Path(here[1]) / "minutes.pdf"
        minutes.write_bytes(b"A workshop is GBP 100.00 from April on.")
        propose = (*self.further(here, "100.00", "2024-04-01"), "--document", str(minutes))
        tried = run(*propose, "--dry-run", *here)
        said = words(tried.stdout)
        assert "nothing was recorded" in said, tried.stderr
        assert "2024-Q3 1 WORKSHOP 2024-08-31 £1,146.00 £1,200.00" in said
        assert f"{FUND} £22.14 becomes due {COUNCIL} £31.86 becomes due" in said
        event = answer(*propose, "--dry-run", *here)["entries"][0]["event"]
        assert len(event["document_sha256"]) == 64
        assert "lcledger terms list OPEN-FOR-YOU" in words(run(*propose, *here).stdout)
        assert "waits for a second person" in run("terms", "list", OPEN, *here).stdout
        agree = ("terms", "agree", OPEN, "2")
        alone = run(*agree, *here)
        assert (alone.exit_code, "a second person must" in alone.stderr) == (1, True)
        table = said[said.index("Lines assessed anew") :]
        assert words(run(*agree, "--dry-run", *second(here)).stdout).endswith(table)
        assert words(run(*agree, *second(here)).stdout).endswith(table)
        assert answer("balances", OPEN, *here)["assessed"] == "1600.00"
        assert "in force" in run("terms", "list", OPEN, *here).stdout
        shown = words(run("terms", "show", OPEN, "2", *here).stdout)
        assert f"reason As the board decided. document {event['document_sha256']}" in shown
        assert "Workshops, by cohort £100.00 place" in shown

    def test_lower_limits_under_what_stands_only_as_a_decommitment(self, here: Here) -> None:
        propose = self.further(here, "95.50", "2033-04-01", award_amount="1000.00")
        refused = run(*propose, *here)
        assert (refused.exit_code, "award_amount" in refused.stderr) == (1, True)
        tried = run(*propose, "--decommitment", "--dry-run", *here)
        assert (tried.exit_code, "could be proposed" in tried.stdout) == (0, True), tried.stderr

    def test_have_no_version_that_nobody_proposed(self, here: Here) -> None:
        missing = run("terms", "show", OPEN, "7", *here)
        assert (missing.exit_code, "have no version 7" in missing.stderr) == (1, True)


class TestOtherPayments:
    GRANT: Final = ("other-payment", "propose", OPEN, "GRANT-1", "grant", "1000.00", "--dated", "2024-09-01")

    def test_are_proposed_by_one_and_agreed_by_another(self, here: Here) -> None:
        answer(*self.GRANT, "--reason", "The school was closed.", *here)
        assert run("other-payment", "agree", OPEN, "GRANT-1", *here).exit_code == 1
        tried = words(run("other-payment", "agree", OPEN, "GRANT-1", "--dry-run", *second(here)).stdout)
        assert f"{FUND} £410.00 becomes due {COUNCIL} £590.00 becomes due" in tried
        answer("other-payment", "agree", OPEN, "GRANT-1", *second(here))
        listed = words(run("other-payment", "list", OPEN, *here).stdout)
        assert "GRANT-1 agreed grant 2024-09-01 £1,000.00 2" in listed
        shown = words(run("other-payment", "show", OPEN, "GRANT-1", *here).stdout)
        assert f"reason The school was closed. {FUND} £410.00 {COUNCIL} £590.00" in shown

    def test_are_turned_down(self, here: Here) -> None:
        answer(*self.GRANT, "--reason", "The school was closed.", *here)
        run("other-payment", "withdraw", OPEN, "GRANT-1", "--reason", "It was open.", *here)
        assert [each["status"] for each in answer("other-payment", "list", OPEN, *here)] == ["withdrawn"]


class TestReconsiderations:
    def test_are_listed(self, here: Here) -> None:
        refused = run("reconsideration", "propose", OPEN, "RC-1", "2024-Q3:1", "--reason", "Room.", *here)
        assert (refused.exit_code, "lines.0" in refused.stderr) == (1, True)
        assert answer("reconsideration", "list", OPEN, *here) == []
