"""Measurements, at their smallest: what they say, and where they refuse to measure."""

import re
from collections import Counter
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import orjson
import pytest

from api.cli.access import Mistaken
from api.cli.bench import histories, imports, proofs
from api.cli.bench.acting import awards_of
from api.cli.bench.commands import Arena
from api.cli.bench.grounds import Database, grounds
from api.cli.bench.imports import Import
from api.cli.bench.proofs import NotVerified
from api.cli.bench.served import Ready, make_ready, served, settings_of
from api.cli.bench.soaks import CLAIMS_OF_CLIENT, Plan, Sample, Soak, ends_of_line, lines_of
from api.settings import vault_key
from domain.claim import Status, claim_stream
from ledger import yardsticks
from ledger.inspection import Fault, Findings
from ledger.ledger import Ledger
from projections.views import Views
from tests import postgres
from tests.api.cli.conftest import answer, run


def line_of(report: Any, work: str) -> Any:
    """The line of a report that tells of some work."""
    (found,) = [line for line in report["lines"] if line["work"] == work]
    return found


def expect_grounds(report: Any, database: str, *contenders: str) -> None:
    """A report says on what it was measured, and how durably."""
    assert set(report["versions"]) >= {"eventsourcing", "sqlalchemy", "psycopg"}
    assert set(report["machine"]) == {"processor", "cores", "python", "system", "load"}
    durable = {
        "sqlite": {"journal_mode": "wal", "synchronous": "2"},
        "postgresql": {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on"},
    }
    assert report["durability"] == {database: dict.fromkeys(contenders, durable[database])}


class TestAppend:
    tiny = ("bench", "append", "--rounds", "1", "--seconds", "0.05", "--writers", "1", "--writers", "3")

    def test_measures_ours_beside_the_library_and_the_floor_and_tells_each_line_beside_the_answer(self, tmp_path: Path) -> None:
        done = run(*self.tiny, "--on", "sqlite", "--folder", str(tmp_path), "--json")
        assert done.exit_code == 0, done.output
        report = orjson.loads(done.stdout)
        expect_grounds(report, "sqlite", "ours", "library", "floor")
        assert [line["work"] for line in report["lines"]] == [
            "1 thread, 1 event each", "3 threads, 1 event each", "1 coroutine, 1 event each", "3 coroutines, 1 event each",
            "1 thread, 100 events each", "1 coroutine, 1 command each", "3 coroutines, 1 command each",
        ]  # fmt: skip
        for line in report["lines"]:
            assert set(line["medians"]) == {"ours", "library", "floor"}
            assert set(line["ratios"]) == {"ours / library", "ours / floor"}
            assert min(line["medians"].values()) > 0
        assert line_of(report, "1 thread, 100 events each")["remark"] == "100.0 entries a commit"
        told = [line.partition(": ")[0] for line in done.stderr.splitlines()]
        assert told == [f"sqlite, {line['work']}" for line in report["lines"]]
        assert re.search(r"3 threads, 1 event each: ours [\d.,]+, floor [\d.,]+, library [\d.,]+ entries/s", done.stderr)
        assert list(tmp_path.iterdir()) == []

    def test_measures_on_postgresql_in_databases_of_its_own(self, postgres_server: postgres.Server) -> None:
        report = answer(*self.tiny, "--on", "postgresql", "--postgres", postgres_server.url("postgres"))
        # The library's recorder for PostgreSQL needs a package that nothing else of ours does.
        library = ("library",) if find_spec("psycopg_pool") else ()
        expect_grounds(report, "postgresql", "ours", "floor", *library)
        assert report["notes"] == ([] if library else [yardsticks.LibraryUnfit.__doc__])
        assert all(set(line["medians"]) == {"ours", "floor", *library} for line in report["lines"])
        with postgres_server.connect() as connection:
            assert connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'lcledger_bench%'").fetchall() == []

    def test_shows_people_a_table(self) -> None:
        done = run(*self.tiny, "--on", "sqlite", "--seconds", "0.01", "--writers", "3")
        assert done.exit_code == 0, done.output
        assert "3 coroutines, 1 event each" in done.stdout
        assert "ours / floor" in done.stdout
        assert "sqlite, library: journal_mode=wal, synchronous=2" in done.stdout

    def test_refuses_postgresql_unless_it_is_said_which(self) -> None:
        done = run(*self.tiny)
        assert done.exit_code == 1
        assert "--postgres URL" in done.stderr

    def test_refuses_a_server_that_is_to_be_left_out(self) -> None:
        done = run(*self.tiny, "--on", "sqlite", "--postgres", "postgresql://nobody@127.0.0.1/ledger")
        assert done.exit_code == 1
        assert "leaves PostgreSQL out" in done.stderr

    def test_refuses_what_is_no_postgresql(self) -> None:
        done = run(*self.tiny, "--on", "postgresql", "--postgres", "mysql://nobody@127.0.0.1/ledger")
        assert done.exit_code == 1
        assert "SQLite or PostgreSQL" in done.stderr

    def test_says_that_a_server_does_not_answer(self, tmp_path: Path) -> None:
        done = run(*self.tiny, "--on", "postgresql", "--postgres", f"postgresql://nobody@/ledger?host={tmp_path}")
        assert done.exit_code == 1
        assert "The database cannot be used" in done.stderr


class TestCommands:
    tiny = ("bench", "commands", "--rounds", "1", "--seconds", "0.2", "--clients", "3")

    def test_measures_ours_beside_the_floor(self, tmp_path: Path) -> None:
        report = answer(*self.tiny, "--folder", str(tmp_path))
        expect_grounds(report, "sqlite", "ours")
        self._expect_lines(report, 3)
        assert list(tmp_path.iterdir()) == []

    def test_measures_on_postgresql_in_a_database_of_its_own(self, postgres_server: postgres.Server) -> None:
        report = answer(*self.tiny, "--postgres", postgres_server.url("postgres"), "--on", "postgresql")
        expect_grounds(report, "postgresql", "ours")
        self._expect_lines(report, 3)
        with postgres_server.connect() as connection:
            assert connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'lcledger_bench%'").fetchall() == []

    def test_measures_what_was_really_recorded(self, tmp_path: Path) -> None:
        with grounds(Database.SQLITE, tmp_path, None) as made:
            ready = make_ready(Database.SQLITE, made, awards_of(4))
            with served(ready.settings) as where:
                arena = Arena(where, ready, clients=4, seconds=0.2)
                done = {name: act() for name, act in arena.contenders().items()}
            with Ledger.open(ready.settings.log_url, vault_key=vault_key(ready.settings)) as ledger:
                recorded = Counter(entry.type for entry in ledger.entries(limit=100_000))
        (ours,) = arena.turns["ours"]
        assert recorded["claim.submitted"] == recorded["claim.verified"] == recorded["award.assessed"] == len(ours.commands_s) / 2
        assert recorded["claim.submitted"] > 0
        assert set(done) == {"ours", "floor"}
        assert min(done.values()) > 0

    def test_half_of_the_clients_act_under_one_award(self) -> None:
        assert awards_of(5) == ["BENCH-HOT", "BENCH-HOT", "BENCH-HOT", "BENCH-1", "BENCH-2"]

    def test_knows_nothing_of_the_ledger_of_the_environment(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LCLEDGER_DATABASE_URL", "postgresql://somebody@127.0.0.1:1/ledger-in-use")
        monkeypatch.setenv("LCLEDGER_DATA_DIR", str(tmp_path / "in-use"))
        monkeypatch.setenv("LCLEDGER_VAULT_KEY_FILE", str(tmp_path / "in-use" / "vault.key"))
        with grounds(Database.SQLITE, tmp_path, None) as made:
            ours = settings_of(Database.SQLITE, made)
        assert ours.embedded
        assert ours.data_dir != tmp_path / "in-use"
        assert ours.vault_key_file is None

    def _expect_lines(self, report: Any, clients: int) -> None:
        rate = line_of(report, f"claims submitted and verified, {clients} clients")
        assert (rate["unit"], set(rate["medians"]), set(rate["ratios"])) == ("commands/s", {"ours", "floor"}, {"ours / floor"})
        for work in ("99 of 100 commands within", "99 of 100 reads meanwhile within"):
            line = line_of(report, work)
            assert (line["unit"], set(line["medians"])) == ("ms", {"ours", "floor"})
            assert min(line["medians"].values()) > 0


class TestRebuild:
    tiny = ("bench", "rebuild", "--rounds", "1", "--entries", "1000")

    def expect_everybody_measured(self, report: Any) -> None:
        speed, memory = report["lines"]
        assert (speed["work"], speed["unit"]) == (memory["work"], "entries/s") == ("1,000 entries", "entries/s")
        assert set(speed["medians"]) == {"ours", "both cores", "library", "floor"}
        assert set(speed["ratios"]) == {"ours / both cores", "ours / library", "ours / floor"}
        assert min(speed["medians"].values()) > 0
        assert memory["unit"] == "MiB at most"

    def test_measures_ours_beside_the_library_and_the_floor(self, tmp_path: Path) -> None:
        report = answer(*self.tiny, "--on", "sqlite", "--folder", str(tmp_path))
        expect_grounds(report, "sqlite", "ours")
        self.expect_everybody_measured(report)
        assert list(tmp_path.iterdir()) == []

    def test_measures_on_postgresql_in_databases_of_its_own(self, postgres_server: postgres.Server) -> None:
        report = answer(*self.tiny, "--on", "postgresql", "--postgres", postgres_server.url("postgres"))
        expect_grounds(report, "postgresql", "ours")
        self.expect_everybody_measured(report)
        with postgres_server.connect() as connection:
            assert connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'lcledger_bench%'").fetchall() == []


class TestLoad:
    tiny = ("bench", "load", "--rounds", "1", "--entries", "1000", "--of-award", "120")

    def expect_everything_read(self, report: Any) -> None:
        works = [line["work"] for line in report["lines"]]
        assert works[0] == "a stream of 1,000 entries, cold, 1,000 entries"
        assert {"balances, 1,000 entries", "claims, 1,000 entries", "trail, 1,000 entries"} < set(works)
        assert all(line["unit"] == "ms" and line["medians"]["ours"] > 0 for line in report["lines"])

    def test_measures_how_long_reading_takes(self, tmp_path: Path) -> None:
        report = answer(*self.tiny, "--on", "sqlite", "--folder", str(tmp_path))
        expect_grounds(report, "sqlite", "ours")
        self.expect_everything_read(report)
        assert list(tmp_path.iterdir()) == []

    def test_measures_on_postgresql_in_databases_of_its_own(self, postgres_server: postgres.Server) -> None:
        report = answer(*self.tiny, "--on", "postgresql", "--postgres", postgres_server.url("postgres"))
        expect_grounds(report, "postgresql", "ours")
        self.expect_everything_read(report)


class TestProofs:
    tiny = ("bench", "proofs", "--rounds", "1", "--entries", "1000", "--of-award", "120")

    def expect_everything_proved(self, report: Any) -> None:
        size, of_award = 1_000, re.findall(r"pack of (\d+) entries", report["lines"][-1]["work"])[0]
        assert [(line["work"], line["unit"]) for line in report["lines"]] == [
            (f"hashes and heads, of {size:,}", "entries/s"),
            (f"entries with columns and headers, of {size:,}", "entries/s"),
            (f"one inclusion proof, half within, of {size:,}", "ms"),
            (f"one inclusion proof, 99 of 100 within, of {size:,}", "ms"),
            (f"one consistency proof, half within, of {size:,}", "ms"),
            (f"one consistency proof, 99 of 100 within, of {size:,}", "ms"),
            (f"an audit pack of {of_award} entries, made", "s"),
            (f"an audit pack of {of_award} entries, checked by verify.py", "s"),
        ]
        assert 120 <= int(of_award) < 140
        for line in report["lines"]:
            assert set(line["medians"]) == {"ours", "floor"}
            assert min(line["medians"].values()) > 0

    def test_measures_ours_beside_the_floor(self, tmp_path: Path) -> None:
        report = answer(*self.tiny, "--on", "sqlite", "--folder", str(tmp_path))
        expect_grounds(report, "sqlite", "ours")
        self.expect_everything_proved(report)
        assert list(tmp_path.iterdir()) == []

    def test_measures_on_postgresql_in_databases_of_its_own(self, postgres_server: postgres.Server) -> None:
        report = answer(*self.tiny, "--on", "postgresql", "--postgres", postgres_server.url("postgres"))
        expect_grounds(report, "postgresql", "ours")
        self.expect_everything_proved(report)

    def test_measures_nothing_that_does_not_hold(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            proofs, "inspect_hashes", lambda _log, _progress: Findings(faults=[Fault("entry", 7, "it is missing")])
        )
        done = run(*self.tiny, "--on", "sqlite")
        assert done.exit_code == 1
        assert isinstance(done.exception, NotVerified)
        assert "entry 7: it is missing" in str(done.exception)


class TestWebhooks:
    tiny = ("bench", "webhooks", "--endpoints", "2", "--awards", "4", "--notices", "20", "--rate", "20", "--seconds", "1")

    def test_measures_what_is_sent(self, tmp_path: Path) -> None:
        report = answer(*self.tiny, "--folder", str(tmp_path))
        expect_grounds(report, "sqlite", "ours")
        assert [line["work"] for line in report["lines"]] == [
            "20 that wait, of 4 awards", "p50 from commit to receiver at 20/s", "p99 from commit to receiver at 20/s",
        ]  # fmt: skip
        assert all(line["medians"]["ours"] > 0 for line in report["lines"])

    def test_measures_on_postgresql_in_a_database_of_its_own(self, postgres_server: postgres.Server) -> None:
        report = answer(*self.tiny, "--on", "postgresql", "--postgres", postgres_server.url("postgres"))
        expect_grounds(report, "postgresql", "ours")
        assert all(line["medians"]["ours"] > 0 for line in report["lines"])


class TestHistories:
    """What is measured on is what the rules decide, with other names."""

    def test_holds_many_awards_each_with_a_whole_history(self, sqlite_url: str, tmp_path: Path) -> None:
        history = histories.decided(f"sqlite:///{tmp_path / 'pattern.db'}")
        one_award = sum(map(len, history.quarters))
        with Ledger.open(sqlite_url, vault_key=bytes(32)) as ledger, Views.open(sqlite_url, ledger) as views:
            histories.fill(ledger, history.entries(), len(history.before) + 50 * one_award)
            views.catch_up()
            assert all(each.agrees for each in views.check())
            awards = views.awards.page().rows
            assert [each.award for each in awards] == [f"BENCH-{number:07d}" for number in range(1, 51)]
            assert {each.claims for each in awards} == {histories.QUARTERS}
            one, other = views.balances.of(awards[0].award), views.balances.of(awards[-1].award)
            assert one.paid == one.assessed == other.paid > 0
            assert one.trial_balance == 0


class TestImport:
    tiny = ("bench", "import", "--rounds", "1", "--lines", "20")

    def test_measures_ours_beside_the_floor(self, tmp_path: Path) -> None:
        report = answer(*self.tiny, "--folder", str(tmp_path))
        expect_grounds(report, "sqlite", "ours")
        line = line_of(report, "20 lines taken in and assessed")
        assert (line["unit"], set(line["medians"]), set(line["ratios"])) == ("lines/s", {"ours", "floor"}, {"ours / floor"})
        assert line["wanted"] == [{"figure": "ours", "bound": 5_000, "at_most": False}]
        assert list(tmp_path.iterdir()) == []

    def test_measures_what_was_really_assessed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(imports, "MOST_LINES", 4)  # A claim has as many lines at most; 5,000 take their time.
        with grounds(Database.SQLITE, tmp_path, None) as made:
            ready = make_ready(Database.SQLITE, made, ["BENCH-IMPORT"])
            with served(ready.settings) as where:
                Import(where, ready, 7).contenders()["ours"]()
            with Ledger.open(ready.settings.log_url, vault_key=vault_key(ready.settings)) as ledger:
                claims = [ledger.load(claim_stream("BENCH-IMPORT", claim))[0] for claim in ("C1", "C2")]
        assert [len(claim.lines) for claim in claims] == [4, 3]
        assert {claim.status for claim in claims} == {Status.ASSESSED}
        assert all(line.assessed == line.claimed.value > 0 for claim in claims for line in claim.lines)
        assert sum(line.claimed.note is not None for line in claims[0].lines) == 2
        assert sum(bool(line.claimed.evidence) for line in claims[0].lines) == 2


class TestSoak:
    tiny = ("bench", "soak", "--minutes", "0.05", "--rate", "60", "--clients", "3")

    def test_watches_a_service_that_works(self, tmp_path: Path) -> None:
        report = answer(*self.tiny, "--folder", str(tmp_path))
        expect_grounds(report, "sqlite", "ours")
        assert [line["work"] for line in report["lines"]] == [
            "resident memory", "open files", "sockets", "threads",
            "half of the commands within", "99 of 100 commands within", "99 of 100 reads within",
        ]  # fmt: skip
        assert all(line["medians"]["ours"] > 0 for line in report["lines"])
        assert 20 < line_of(report, "resident memory")["medians"]["ours"] < 1_000
        assert line_of(report, "sockets")["medians"]["ours"] >= 3
        assert "commands in 0." in report["notes"][0]
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("growth", "missed"),
        [({}, []), ({"memory_mib": 0.2}, ["resident memory"]), ({"sockets": 0.02, "files": 0.05}, ["open files", "sockets"])],
        ids=["flat", "memory", "connections"],
    )
    def test_tells_what_grows_and_not_what_shakes(self, growth: dict[str, float], missed: list[str]) -> None:
        usual: dict[str, Any] = {
            "memory_mib": 120.0,
            "files": 30,
            "sockets": 8,
            "threads": 12,
            "entries_behind": 0,
            "command_p50_ms": 6.0,
            "command_p99_ms": 20.0,
            "read_p99_ms": 9.0,
        }
        samples = [
            Sample(at_s=float(at), **{name: figure + growth.get(name, 0) * at + at * 7 % 2 for name, figure in usual.items()})
            for at in range(1, 120)
        ]
        samples[60] = replace(samples[60], memory_mib=900.0, command_p99_ms=5_000.0)
        assert [line.work for line in lines_of("sqlite", samples) if line.missed] == missed
        begin, end = ends_of_line([(each.at_s, each.memory_mib) for each in samples])
        assert end - begin == pytest.approx(growth.get("memory_mib", 0) * 118, abs=1)

    def test_takes_nothing_for_a_beginning_below_what_was_ever_seen(self) -> None:
        slower = [1.0] * 100 + [float(each) for each in range(1, 220)]
        samples = [Sample(float(at), 120.0, 30, 8, 12, 0, took, took, took) for at, took in enumerate(slower)]
        assert ends_of_line([(each.at_s, each.read_p99_ms) for each in samples[64:]])[0] < 0
        (line,) = (each for each in lines_of("sqlite", samples) if each.work == "99 of 100 reads within")
        assert (line.medians["beginning"], line.missed != ()) == (1.0, True)
        assert line.ratios["ours / beginning"] > 100

    def test_goes_on_under_other_awards_so_that_none_grows_without_end(self) -> None:
        plan = Plan(seconds=1_800, rate=20, clients=4)
        claims = Counter(plan.award(client, number) for client in range(4) for number in range(int(1_800 / plan.every_s)))
        assert set(claims) <= set(plan.all)
        assert max(claims.values()) == claims["BENCH-HOT-0"] == 2 * CLAIMS_OF_CLIENT

    def test_tells_how_it_is_once_a_minute(self, capsys: pytest.CaptureFixture[str]) -> None:
        ready = Ready(settings_of(Database.SQLITE, yardsticks.Scratch(Path())), {}, {}, "", "", {})
        soak, told = Soak(1, ("127.0.0.1", 1), ready, Plan(1_800, 20, 4)), 0
        for at_s in range(1, 200):
            soak.samples.append(Sample(float(at_s), 120.0, 30, 8, 12, 0, 6.0, 20.0, 9.0))
            told = soak._tell(told)
        lines = capsys.readouterr().err.splitlines()
        assert [line.partition(":")[0] for line in lines] == ["1 min", "2 min", "3 min"]
        assert "120 MiB, 30 files, 8 sockets, 12 threads; commands within 6.0 ms" in lines[0]

    def test_refuses_to_judge_by_too_little(self) -> None:
        with pytest.raises(Mistaken, match="too few"):
            list(lines_of("sqlite", []))
