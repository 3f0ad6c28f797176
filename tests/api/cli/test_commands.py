"""The command line: it teaches, it answers people and machines, and whoever is refused reads why."""

import json
import os
import signal
import socket
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from api.cli.screen import pounds
from tests.api.cli.conftest import (
    OPEN,
    answer,
    command,
    environment,
    from_nothing,
    lcledger,
    registration,
    run,
    second_administrator,
    serving,
)

PROVIDER = "GB-COH-X-NEXT-STEPS"
BY_TWO = [
    (noun, command)
    for noun in ("clawback", "other-payment", "reconsideration")
    for command in ("propose", "agree", "withdraw", "show", "list")
]
HEADING = "outcome,participant,quantity,achieved_on,evidence_sha256,evidence_title,note\n"


class TestHelp:
    @pytest.mark.parametrize(
        "asked",
        [
            (),
            ("demo",),
            ("serve",),
            ("worker",),
            ("migrate",),
            ("keys", "issue"),
            ("keys", "agree"),
            ("people", "add"),
            ("parties", "add"),
            ("agree",),
            ("import", "award"),
            ("import", "claims"),
            ("balances",),
            ("trail",),
            ("accrual",),
            ("statement",),
            ("position",),
            ("close",),
            ("complete",),
            ("pause",),
            ("reconsideration", "propose"),
            ("clawback", "agree"),
            ("receivable", "write-off"),
            ("payment", "show"),
            ("terms", "agree"),
            ("other-payment", "withdraw"),
            ("export", "journal"),
            ("rebuild",),
            ("check",),
            ("verify",),
            ("backup",),
            ("restore",),
            ("openapi",),
        ],
    )
    def test_is_given_by_every_command(self, asked: tuple[str, ...]) -> None:
        done = run(*asked, "--help")
        assert done.exit_code == 0
        assert "Usage: " in done.stdout

    @pytest.mark.parametrize(
        "asked", [("balances",), ("import", "claims"), ("keys", "issue"), ("demo",), ("backup",), ("restore",), *BY_TWO]
    )
    def test_teaches_by_examples(self, asked: tuple[str, ...]) -> None:
        assert f"lcledger {' '.join(asked)} " in run(*asked, "--help").stdout.replace("│", "")


class TestVersion:
    def test_is_that_of_the_service_which_this_would_serve(self) -> None:
        done = run("--version")
        assert (done.exit_code, done.stdout.strip()) == (0, json.loads(run("openapi").stdout)["info"]["version"])


class TestRefusals:
    def test_say_that_there_is_no_ledger(self, folder: Path) -> None:
        done = run("balances", "--all", "--key", "lcl_x", "--data-dir", str(folder))
        assert done.exit_code == 1
        assert f"There is no ledger in {folder}" in done.stderr
        assert not folder.exists()

    def test_say_which_setting_is_wrong(self) -> None:
        done = from_nothing("serve", LCLEDGER_PORT="many")
        assert done.returncode == 1
        assert "LCLEDGER_PORT" in done.stderr
        assert "Traceback" not in done.stderr

    def test_say_that_no_key_can_be_read(self, served: Path) -> None:
        done = run("awards", "--key-file", str(served / "lost.key"), "--data-dir", str(served))
        assert done.exit_code == 1
        assert "No key can be read" in done.stderr

    def test_say_that_a_key_opens_nothing(self, served: Path) -> None:
        done = run("awards", "--key", f"lcl_{'0' * 16}_{'a' * 43}", "--data-dir", str(served))
        assert done.exit_code == 1
        assert "opens nothing" in done.stderr

    def test_say_that_there_is_no_such_award(self, served: Path) -> None:
        done = run("trail", "INDIGO-POJ-9999", "--data-dir", str(served))
        assert done.exit_code == 1
        assert "no award of this reference" in done.stderr

    def test_end_with_two_for_whoever_mistypes(self) -> None:
        assert run("balances").exit_code == 2
        assert run("balnces").exit_code == 2

    def test_say_that_the_database_cannot_be_reached(self, folder: Path) -> None:
        done = lcledger("worker", LCLEDGER_DATABASE_URL="postgresql://127.0.0.1:1/ledger", LCLEDGER_VAULT_KEY="A" * 43 + "=")
        assert done.returncode == 1
        assert "The database cannot be used" in done.stderr

    def test_leave_the_worker_to_postgresql(self, folder: Path) -> None:
        done = run("worker", "--data-dir", str(folder))
        assert done.exit_code == 1
        assert "PostgreSQL" in done.stderr


class TestImport:
    def test_lists_every_contradiction_of_an_award_on_a_line(self, served: Path) -> None:
        body = json.loads(registration(served).read_text("utf-8"))
        body["terms"]["payers"][0]["share"] = "1/2"
        body["terms"]["outcomes"][0]["prerequisites"] = ["PLAN-B"]
        (served / "award.json").write_text(json.dumps(body), "utf-8")
        done = run("import", "award", str(served / "award.json"), "--data-dir", str(served))
        assert done.exit_code == 1
        assert len([line for line in done.stderr.splitlines() if line.startswith("  ")]) == 2
        assert "payers: the shares sum to" in done.stderr
        assert "outcomes.0.prerequisites: PLAN-B is not an outcome of these terms" in done.stderr

    def test_takes_an_award_and_a_claim_and_records_all_or_nothing(self, served: Path) -> None:
        here = ("--data-dir", str(served))
        second = second_administrator(served)
        assert run("import", "award", str(registration(served)), "--dry-run", *here).exit_code == 0
        assert answer("awards", *here) == []
        assert run("import", "award", str(registration(served)), *here).exit_code == 0
        alone = run("agree", OPEN, *here)
        assert alone.exit_code == 1
        assert "a second person must" in alone.stderr
        assert run("agree", OPEN, "--key-file", str(second), *here).exit_code == 0
        lines = served / "lines.csv"
        period = ("--first", "2024-07-01", "--last", "2024-09-30")
        claim = ("import", "claims", OPEN, "2024-Q3", str(lines), *period, "--claimant", PROVIDER, *here)
        lines.write_text(
            HEADING + "WORKSHOP,,10,2024-08-31,,,\nWORKSHOP,,-3,2024-08-31,,,\nPLAN,NEXT-77,1,2024-13-31,,,\n", "utf-8"
        )
        refused = run(*claim)
        assert refused.exit_code == 1
        assert "row 3, quantity: " in refused.stderr
        assert "row 4, achieved_on: " in refused.stderr
        assert answer("balances", OPEN, *here)["claimed"] == "0.00"
        lines.write_text(HEADING + "WORKSHOP,,12,2024-08-31,,,A note\nPLAN,NEXT-77,1,2024-08-31,,,\n", "utf-8")
        taken = run(*claim)
        assert taken.exit_code == 0, taken.output
        assert answer("balances", OPEN, *here)["undecided"] == "1546.00"
        told = run("trail", OPEN, *here).stdout
        assert "undecided £1,546.00" in told
        assert "First administrator" in told  # Who it was, by name: ids would not tell four eyes.
        assert "£1,546.00" in run("balances", "--all", *here).stdout

    def test_says_where_a_file_is_not_json(self, served: Path) -> None:
        (served / "award.json").write_text('{"reference":\n', "utf-8")
        done = run("import", "award", str(served / "award.json"), "--data-dir", str(served))
        assert done.exit_code == 1
        assert "is not JSON" in done.stderr


class TestKeys:
    def test_wait_for_a_second_person_and_are_taken_back(self, served: Path) -> None:
        here = ("--data-dir", str(served))
        second = second_administrator(served)
        person = answer("people", "add", "GB-LAE-KIR", "A. Approver", *here)["person"]
        issued = answer("keys", "issue", person, "approver", "--award", "*", *here)
        refused = run("keys", "agree", issued["key"], *here)
        assert refused.exit_code == 1
        assert "second person" in refused.stderr
        assert run("keys", "agree", issued["key"], "--key-file", str(second), *here).exit_code == 0
        assert run("keys", "revoke", issued["key"], *here).exit_code == 0
        assert [key["usable"] for key in answer("keys", "list", *here) if key["key"] == issued["key"]] == [False]

    def test_may_be_opened_by_signing_in(self, served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        here = ("--data-dir", str(served))
        answer("parties", "add", "GB-LAE-KIR", "Kirklees Council", *here)
        person = answer("people", "add", "GB-LAE-KIR", "An Auditor", *here)["person"]
        assert "takes no sign-ins" in run("keys", "issue", person, "auditor", "--subject", "rosa|1", *here).stderr
        monkeypatch.setenv("LCLEDGER_OIDC_ISSUER", "https://sign-in.kirklees.test")
        monkeypatch.setenv("LCLEDGER_OIDC_AUDIENCE", "ledger")
        assert "✓ Signing in opens key " in run("keys", "issue", person, "auditor", "--subject", "rosa|1", *here).stdout
        assert [key["opened_by"] for key in answer("keys", "list", *here) if key["person"] == person] == ["sign-in"]

    def test_of_the_first_administrator_are_nobody_elses_to_read(self, served: Path) -> None:
        assert (served / "first-administrator.key").stat().st_mode & 0o077 == 0


class TestServe:
    def test_refuses_to_be_the_second_on_one_ledger(self, folder: Path) -> None:
        with serving(folder):
            done = lcledger("serve", "--port", "0", "--data-dir", str(folder))
        assert done.returncode == 1
        assert "Another process serves this ledger already" in done.stderr
        assert "Traceback" not in done.stderr

    def test_says_that_a_port_is_taken(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            done = lcledger("serve", "--port", str(taken.getsockname()[1]), "--data-dir", str(folder))
        assert done.returncode == 1
        assert "Cannot listen on 127.0.0.1" in done.stderr

    def test_is_answered_beside_by_the_command_line(self, folder: Path) -> None:
        with serving(folder):
            assert answer("parties", "list", "--data-dir", str(folder))[0]["party"] == "XX-LCL-OPERATOR"

    @pytest.mark.skipif(os.name == "nt", reason="signals")
    def test_finishes_what_was_accepted_when_it_is_told_to_stop(self, folder: Path) -> None:
        with serving(folder) as (process, address):
            key = (folder / "first-administrator.key").read_text("utf-8").strip()
            host, port = address.removeprefix("http://").split(":")
            body = json.dumps({"party": "GB-LAE-KIR", "name": "Kirklees Council"}).encode()
            with socket.create_connection((host, int(port)), timeout=10) as connection:
                connection.sendall(
                    f"POST /v1/parties HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\nIdempotency-Key: once\r\n"
                    f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
                    + body[:10]
                )
                time.sleep(0.3)
                process.send_signal(signal.SIGTERM)
                time.sleep(0.3)
                connection.sendall(body[10:])
                assert connection.recv(4_096).startswith(b"HTTP/1.1 201")
            assert process.wait(20) == 0
        assert "GB-LAE-KIR" in {each["party"] for each in answer("parties", "list", "--data-dir", str(folder))}


class TestWorker:
    @pytest.mark.skipif(os.name == "nt", reason="signals")
    def test_follows_on_postgresql_until_it_is_told_to_stop(self, postgres_url: str, folder: Path) -> None:
        url = postgres_url.replace("postgresql+psycopg://", "postgresql://")
        set_to = {"LCLEDGER_DATABASE_URL": url, "LCLEDGER_VAULT_KEY": "A" * 43 + "="}
        assert from_nothing("migrate", **set_to).returncode == 0
        working = subprocess.Popen(
            command("worker"), stderr=subprocess.PIPE, text=True, env=environment(LCLEDGER_LOG_FORMAT="json", **set_to)
        )
        try:
            assert working.stderr is not None
            assert any('"event":"standing by' in line for line in working.stderr)
            with serving(folder, **set_to) as (process, _):
                assert "XX-LCL-OPERATOR" in lcledger("parties", "list", "--data-dir", str(folder), **set_to).stdout
                process.send_signal(signal.SIGTERM)
                assert process.wait(20) == 0
            working.send_signal(signal.SIGTERM)
            assert working.wait(20) == 0
        finally:
            working.kill()
            working.communicate()


class TestLog:
    def test_is_checked_and_its_read_models_rebuilt(self, served: Path) -> None:
        here = ("--data-dir", str(served))
        assert answer("verify", *here)["faults"] == []
        assert run("rebuild", *here).exit_code == 0
        assert answer("check", *here)["trial_balance"] == "0.00"

    def test_that_was_changed_is_noticed(self, served: Path) -> None:
        with sqlite3.connect(served / "ledger.sqlite3") as log:
            (kept,) = log.execute("SELECT sql FROM sqlite_master WHERE name = 'entries_never_change'").fetchone()
            log.execute("DROP TRIGGER entries_never_change")
            log.execute(
                "UPDATE entries SET state = CAST(replace(CAST(state AS TEXT), 'first', 'other') AS BLOB) WHERE position = 2"
            )
            log.execute(kept)
        log.close()
        done = run("verify", "--data-dir", str(served))
        assert done.exit_code == 1
        assert "This does not hold. entry 2: its bytes do not make its leaf" in done.stderr


class TestSettings:
    def test_are_listed(self) -> None:
        assert "LCLEDGER_DATA_DIR" in run("settings").stdout
        assert {"variable", "default", "sets"} == set(answer("settings")[0])


class TestOpenapi:
    def test_is_the_services_own(self) -> None:
        assert "/v1/awards" in json.loads(run("openapi").stdout)["paths"]


class TestMigrate:
    def test_makes_the_tables(self, folder: Path) -> None:
        done = run("migrate", "--data-dir", str(folder))
        assert done.exit_code == 0
        assert (folder / "ledger.sqlite3").exists()

    def test_says_that_sqlite_knows_no_roles(self, folder: Path) -> None:
        done = run("migrate", "--grant-to", "lcl_service", "--data-dir", str(folder))
        assert done.exit_code == 1
        assert "no roles" in done.stderr


class TestPounds:
    @pytest.mark.parametrize(
        ("given", "told"), [("1234.50", "£1,234.50"), ("-0.07", "−£0.07"), (123_450, "£1,234.50"), ("12", "£12.00")]
    )
    def test_are_written_as_people_write_them(self, given: str | int, told: str) -> None:
        assert pounds(given) == told
