"""Opening positions, as an administrator who comes from spreadsheets types them."""

import json
from pathlib import Path
from typing import Any

from tests.api.cli.conftest import OPEN as AWARD
from tests.api.cli.conftest import answer, run, second

HEADING = "participant,outcome,quantity,achieved_on,assessed"
ROWS = "NEXT-1,PLAN,1,2024-05-02,400.00\nNEXT-2,PLAN,1,2024-06-17,400.00\n"
FUND, COUNCIL = "GB-GOR-X-NEXT-FUND", "GB-LAE-X-RIVERTON"
POSITION: dict[str, Any] = {
    "stands_on": "2025-03-31",
    "outcomes": [
        {"outcome": "PLAN", "year": "2024-25", "quantity": "2", "assessed": "800.00"},
        {"outcome": "WORKSHOP", "year": "2024-25", "quantity": "100", "assessed": "9550.00"},
    ],
    "payers": [
        {"payer": FUND, "year": "2024-25", "allotted": "4243.50", "paid": "4243.50"},
        {"payer": COUNCIL, "year": "2024-25", "allotted": "6106.50", "paid": "6000.00", "due": "106.50"},
    ],
    "splits": [{"version": 1, "split": "10350.00", "parts": {FUND: "4243.50", COUNCIL: "6106.50"}}],
    "reason": "Kept in spreadsheets until March.",
}


def write(here: tuple[str, ...], rows: str, **changes: Any) -> tuple[str, ...]:
    """The position in a file and its lines in another, as arguments."""
    file, lines = Path(here[1]) / "position.json", Path(here[1]) / "participants.csv"
    file.write_text(json.dumps({**POSITION, **changes}), "utf-8")
    lines.write_text(f"{HEADING}\n{rows}", "utf-8")
    return str(file), "--lines", str(lines)


class TestOpeningPosition:
    def test_is_proposed_by_one_and_agreed_by_another(self, agreed: tuple[str, ...]) -> None:
        workbook = Path(agreed[1]) / "workbook.xlsx"
        workbook.write_bytes(b"Every claim since April.")
        propose = ("opening-position", "propose", AWARD, *write(agreed, ROWS), "--document", str(workbook))
        tried = run(*propose, "--dry-run", *agreed)
        assert (tried.exit_code, "nothing was recorded" in tried.stdout) == (0, True), tried.stderr
        assert "lcledger opening-position agree OPEN-FOR-YOU" in run(*propose, *agreed).stdout.replace("\n", " ")
        refused = run("opening-position", "agree", AWARD, *agreed)
        assert (refused.exit_code, "Whoever proposed the opening position may not agree it" in refused.stderr) == (1, True)
        assert "is agreed" in run("opening-position", "agree", AWARD, *second(agreed)).stdout
        balances = answer("balances", AWARD, *agreed)
        assert (balances["assessed"], balances["paid"], balances["due"]) == ("10350.00", "10243.50", "106.50")
        shown = run("opening-position", "show", AWARD, *agreed).stdout
        assert "as it stood on 2025-03-31: agreed by assessment 1" in shown
        assert "2 of participants" in shown
        assert "£10,350.00" in shown
        assert POSITION["reason"] in shown
        told = answer("opening-position", "show", AWARD, *agreed)
        assert (told["due"], len(told["document_sha256"])) == ("106.50", 64)

    def test_is_refused_row_by_row_as_the_file_counts_them(self, agreed: tuple[str, ...]) -> None:
        rows = "NEXT-1,PLAN,1,2024-05-02,400.00\nNEXT-2,PLAN,one,2024-06-17,400.00\n"
        refused = run("opening-position", "propose", AWARD, *write(agreed, rows), *agreed)
        assert (refused.exit_code, "row 3, quantity:" in refused.stderr) == (1, True)
        outside = "NEXT-1,PLAN,1,2024-05-02,400.00\nNEXT-2,PLAN,1,2024-03-31,400.00\n"
        refused = run("opening-position", "propose", AWARD, *write(agreed, outside), *agreed)
        assert "row 3, achieved_on: no agreed terms were in force" in refused.stderr
        assert "lines: come to 1 of PLAN in 2024-25" in refused.stderr
        missing = run("opening-position", "show", AWARD, *agreed)
        assert "No opening position was ever proposed" in missing.stderr

    def test_is_withdrawn(self, agreed: tuple[str, ...]) -> None:
        answer("opening-position", "propose", AWARD, *write(agreed, ROWS), *agreed)
        assert "is withdrawn" in run("opening-position", "withdraw", AWARD, "--reason", "Too early.", *second(agreed)).stdout
        assert answer("opening-position", "show", AWARD, *agreed)["status"] == "withdrawn"

    def test_must_be_a_json_object(self, agreed: tuple[str, ...]) -> None:
        file = Path(agreed[1]) / "list.json"
        file.write_text("[]", "utf-8")
        refused = run("opening-position", "propose", AWARD, str(file), *agreed)
        assert (refused.exit_code, "is no JSON object" in refused.stderr) == (1, True)
