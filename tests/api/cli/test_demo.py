"""The demo: true figures, an invented history that adds up, and nothing in the log that may have to go."""

import json
import re
import sqlite3
import subprocess
from collections import Counter
from datetime import date
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from api.cli.access import Mistaken
from api.cli.demo import history
from api.cli.demo.corrections import FOSTERING
from api.cli.demo.play import Calendar, open_claims
from api.cli.demo.state import State
from api.settings import settings
from domain.terms import Terms, check
from tests.api.cli.conftest import Played, command, environment, lcledger
from tests.api.test_statements import expect_rolled_forward

PUBLISHED = {
    # award, LCF award, maximum, share, first month, last month
    "INDIGO-POJ-0168": ("1800000.00", "6190000.00", "180/619", "2019-01", "2024-10"),
    "INDIGO-POJ-0169": ("683620.00", "1680000.00", "34181/84000", "2018-09", "2024-05"),
    "INDIGO-POJ-0172": ("900000.00", "3290000.00", "90/329", "2018-08", "2023-07"),
    "INDIGO-POJ-0175": ("6600000.00", "22300000.00", "66/223", "2019-09", "2024-09"),
    "INDIGO-POJ-0195": ("1793302.00", "3240000.00", "896651/1620000", "2020-08", "2024-09"),
}
GRANT = ("INDIGO-POJ-0168", "36500.00")
LCF = "GB-GOR-D5"


def balances(played: Played, *asked: str) -> Any:
    done = lcledger("balances", *asked, "--json", "--data-dir", str(played.folder))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class TestPackagedAwards:
    def test_are_those_whose_award_and_maximum_are_published(self) -> None:
        assert {each["registration"]["reference"] for each in history.packaged()["awards"]} == set(PUBLISHED)

    @pytest.mark.parametrize("reference", PUBLISHED)
    def test_have_the_published_figures(self, reference: str) -> None:
        award, maximum, share, first, last = PUBLISHED[reference]
        terms = Terms.model_validate(history.terms_of(reference))
        lcf = terms.payer(LCF)
        assert lcf is not None
        assert (str(lcf.maximum), str(terms.award_amount)) == (award, maximum)
        assert Fraction(str(lcf.share)) == Fraction(share) == Fraction(award) / Fraction(maximum)
        assert (f"{terms.service_window.first:%Y-%m}", f"{terms.service_window.last:%Y-%m}") == (first, last)

    def test_tell_their_sources_and_what_is_invented(self) -> None:
        for each in history.packaged()["awards"]:
            assert all(source.startswith("http") for source in each["published"]["sources"])
            assert each["registration"]["sources"] == each["published"]["sources"]
            assert each["invented"]

    def test_have_terms_that_hold_together_and_say_that_their_prices_are_illustrative(self) -> None:
        for each in (*history.packaged()["awards"], history.packaged()["open"]):
            for terms in (each["registration"]["terms"], *(later["terms"] for later in each.get("later_terms", ()))):
                check(Terms.model_validate(terms))
                assert terms["illustrative"] is True

    def test_have_eight_councils_that_pay_for_the_skill_mill_one_of_them_by_itself(self) -> None:
        councils = [each for each in history.terms_of("INDIGO-POJ-0195")["payers"] if each["party"] != LCF]
        assert len(councils) == 8
        assert [each.get("pays") for each in councils].count("by-itself") == 1


class TestHistory:
    def test_has_two_thousand_lines_and_more(self) -> None:
        assert sum(len(claim.lines) for claim in history.claims()) >= 2_000

    def test_is_the_same_at_every_run(self) -> None:
        told = [(claim.body, claim.decisions, claim.later) for claim in history.claims()]
        history.claims.cache_clear()
        assert [(claim.body, claim.decisions, claim.later) for claim in history.claims()] == told

    def test_decides_later_what_was_deferred(self) -> None:
        assert any("accepted" in each for claim in history.claims() for each in claim.later)
        assert any("rejected" in each for claim in history.claims() for each in claim.later)

    def test_names_what_belongs_in_the_vault(self) -> None:
        secrets = history.secrets()
        assert {"BPL", "DFN", "FI", "KBOP", "SM"} <= {secret.partition("-")[0] for secret in secrets}
        assert any(secret.startswith("Sort code") for secret in secrets)


class TestCalendar:
    def test_never_goes_back(self) -> None:
        calendar = Calendar(date(2020, 1, 1))
        calendar.turn(date(2021, 3, 4))
        calendar.turn(date(2019, 1, 1))
        assert calendar.today == date(2021, 3, 4)

    def test_shows_the_real_time_when_it_is_let_go(self) -> None:
        calendar = Calendar(date(2020, 1, 1))
        calendar.let_go()
        assert calendar.today > date(2025, 1, 1)


@pytest.mark.long
class TestDemo:
    def test_takes_less_than_a_minute(self, played: Played) -> None:
        assert played.first_s < 60
        assert played.second_s < 30

    def test_says_what_is_true_and_what_is_not(self, played: Played) -> None:
        for word in ("invented", "simulated", "illustrative", *PUBLISHED, "180/619"):
            assert word in played.first

    def test_shows_that_it_adds_up(self, played: Played) -> None:
        for said in (played.first, played.second):
            assert "✓ all postings together make £0.00" in said
            assert "✓ the read models rebuilt from the log equal the followed ones" in said
            assert re.search(r"✓ [0-9,]+ entries under [0-9,]+ heads; root [0-9a-f]{64}", said)

    def test_goes_on_from_what_is_on_disk(self, played: Played) -> None:
        assert "is not played again" in played.second
        assert played.first.split("All awards")[1].split("✓")[0] == played.second.split("All awards")[1].split("✓")[0]

    def test_holds_the_identities_of_balances(self, played: Played) -> None:
        found = balances(played, "--all")
        assert len(found) == 6
        for each in found:
            pence = {
                name: int(str(value).replace(".", "")) for name, value in each.items() if isinstance(value, str) and "." in value
            }
            assert each["trial_balance"] == "0.00"
            assert pence["claimed"] == pence["accepted"] + pence["rejected"] + pence["deferred"] + pence["undecided"]
            assert pence["accepted"] == pence["awaiting"] + pence["declined"] + pence["assessed"] + pence["curtailed"]
            assert pence["assessed"] + pence["other_payments"] == pence["allotted"] - pence["reversed"] + pence["unfunded"]
            stages = ("due", "held", "approved", "in_run", "sent", "paid", "returned", "netted_off")
            assert pence["allotted"] == sum(pence[stage] for stage in stages)
            # What is netted off stands on both sides: off the payment, and off the receivable.
            assert pence["reversed"] == pence["open"] + pence["netted_off"] + pence["recovered"] + pence["written_off"]
            assert pence["cash_out"] == pence["paid"] - pence["recovered"]
            assert pence["remaining"] == pence["limit"] - pence["assessed"] - pence["other_payments"]
        assert [(each["award"], each["other_payments"]) for each in found if each["other_payments"] != "0.00"] == [GRANT]

    def test_never_breaks_a_published_figure(self, played: Played) -> None:
        for each in balances(played, "--all"):
            if each["award"] in PUBLISHED:
                award, maximum, *_ = PUBLISHED[each["award"]]
                assert Fraction(each["assessed"]) + Fraction(each["other_payments"]) <= Fraction(maximum)
                lcf = next(payer for payer in each["payers"] if payer["payer"] == LCF)
                # What was netted off or recovered is headroom again (M8).
                assert Fraction(lcf["allotted"]) - Fraction(lcf["netted_off"]) - Fraction(lcf["recovered"]) <= Fraction(award)

    def test_lets_every_kind_of_limit_bite(self, played: Played) -> None:
        found = balances(played, "--all")
        bitten = {limit for each in found for limit in each["curtailed_by"]}
        assert bitten >= {"participant_amount", "outcome_quantity", "outcome_amount", "year_amount"}
        lcf = next(
            payer for each in found if each["award"] == "INDIGO-POJ-0169" for payer in each["payers"] if payer["payer"] == LCF
        )
        assert lcf["remaining"] == "0.00"

    def test_has_everything_happen_that_can_happen_to_a_claim_and_a_payment(self, played: Played) -> None:
        with sqlite3.connect(f"file:{played.folder / 'ledger.sqlite3'}?mode=ro", uri=True) as log:
            types = Counter(kind for (kind,) in log.execute("SELECT type FROM entries"))
        log.close()
        for kind in ("claim.queried", "claim.answered", "claim.certified", "award.terms-agreed", "payment.held"):
            assert types[kind] >= 1, kind
        for kind in ("payment.hold-lifted", "payment.returned", "payment.reissued", "payment.report-confirmed", "run.released"):
            assert types[kind] >= 1, kind
        for kind in ("clawback.agreed", "receivable.netted-off", "receivable.recovered", "receivable.written-off"):
            assert types[kind] >= 1, kind
        for kind in ("other-payment.agreed", "claim.lines-restated", "claim.lapsed", "award.closed-to-claims", "award.completed"):
            assert types[kind] >= 1, kind

    def test_completes_the_award_that_is_over(self, played: Played) -> None:
        done = lcledger("awards", "--json", "--data-dir", str(played.folder))
        status = {each["reference"]: each["status"] for each in json.loads(done.stdout)}
        assert [award for award, now in status.items() if now == "completed"] == [FOSTERING]
        (over,) = [each for each in balances(played, "--all") if each["award"] == FOSTERING]
        assert (over["deferred"], over["open"]) == ("0.00", "0.00")
        assert Fraction(over["recovered"]) > 0
        assert Fraction(over["written_off"]) > 0
        assert Fraction(over["paid"]) == Fraction(over["allotted"]) - Fraction(over["netted_off"])

    def test_rolls_every_year_forward_over_all_awards(self, played: Played) -> None:
        asked = ("--json", "--data-dir", str(played.folder))
        statement, position = (json.loads(lcledger(what, *asked).stdout) for what in ("statement", "position"))
        expect_rolled_forward(statement)
        assert len(statement["years"]) >= 7
        assert Fraction(statement["years"][-1]["closing"]) == Fraction(position["unpaid"]) - Fraction(position["receivable"])
        assert Fraction(position["released"]) > 0
        assert Fraction(json.loads(lcledger("accrual", *asked).stdout)["unpaid"]) == Fraction(position["unpaid"])

    def test_leaves_nothing_in_the_log_that_may_have_to_go(self, played: Played) -> None:
        texts = {*history.secrets(), *(text for claim in open_claims() for text in claim.texts())}
        reference = re.compile(rb"(?:BPL|DFN|FI|KBOP|SM|NEXT)-[0-9]{3,5}")
        # A text that names a participant is there only if the reference is; the others are searched for as they are.
        others = {text for text in texts if not reference.search(text.encode())}
        assert len(texts) > 3_000
        assert len(others) > 50
        with sqlite3.connect(f"file:{played.folder / 'ledger.sqlite3'}?mode=ro", uri=True) as log:
            entries = b"\n".join(header + state for header, state in log.execute("SELECT header, state FROM entries"))
        log.close()
        files = b"\n".join(file.read_bytes() for file in played.folder.iterdir() if file.is_file())
        assert entries.count(b"\n") > 10_000
        for clear in (entries, files):
            assert reference.findall(clear) == []
            assert sorted(text for text in others if text.encode() in clear) == []
            assert b"Verifier (invented)" not in clear

    def test_gives_fresh_keys_and_takes_the_former_ones_back(self, played: Played) -> None:
        done = lcledger("keys", "list", "--json", "--data-dir", str(played.folder))
        keys = json.loads(done.stdout)
        usable = [key for key in keys if key["usable"]]
        assert len(usable) == 2 + 6
        assert set(json.loads((played.folder / "demo.json").read_text("utf-8"))["keys"]) < {key["key"] for key in usable}

    def test_is_played_on_after_an_interruption(self, tmp_path: Path, played: Played) -> None:
        folder = tmp_path / "cut-off"
        playing = subprocess.Popen(
            command("demo", "--no-serve", "--data-dir", str(folder)),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        while not (folder / "demo.json").exists():
            with pytest.raises(subprocess.TimeoutExpired):
                playing.wait(0.1)
        with pytest.raises(subprocess.TimeoutExpired):
            playing.wait(3)
        playing.kill()
        playing.wait()
        assert json.loads((folder / "demo.json").read_text("utf-8"))["stage"] == "begun"
        done = lcledger("demo", "--no-serve", "--data-dir", str(folder))
        assert done.returncode == 0, done.stderr
        assert "was interrupted" in done.stdout
        assert done.stdout.split("All awards")[1].split("✓")[0] == played.first.split("All awards")[1].split("✓")[0]


class TestState:
    def test_is_of_the_demo_only(self, tmp_path: Path) -> None:
        (tmp_path / "ledger.sqlite3").touch()
        with pytest.raises(Mistaken, match="not the demo's"):
            State.of(settings(data_dir=tmp_path))

    def test_is_of_one_history_only(self, tmp_path: Path) -> None:
        State(tmp_path, "another", "begun").keep()
        with pytest.raises(Mistaken, match="another release"):
            State.of(settings(data_dir=tmp_path))

    def test_is_kept(self, tmp_path: Path) -> None:
        state = State.of(settings(data_dir=tmp_path))
        state.stage, state.keys = "played", ["9f31c0de9f31c0de"]
        state.keep()
        assert State.of(settings(data_dir=tmp_path)) == state
        assert (tmp_path / "demo.json").stat().st_mode & 0o077 == 0
