"""`lcledger verify` tells how much it looked over, names the first thing that does not hold and all others, and ends with 1."""

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.aggregate import Commitment
from domain.erasure import _leaves
from domain.record import Record
from tests.api.cli.conftest import Played, answer, run


@pytest.fixture
def folder(played: Played, tmp_path: Path) -> Path:
    return Path(shutil.copytree(played.folder, tmp_path / "ledger"))


def change(folder: Path, *statements: str) -> None:
    log = sqlite3.connect(folder / "ledger.sqlite3", isolation_level=None)
    for statement in statements:
        log.execute(statement)
    log.close()


class TestVerify:
    def test_tells_how_much_it_looked_over(self, folder: Path) -> None:
        done = run("verify", "--data-dir", str(folder))
        assert done.exit_code == 0, done.output
        told = answer("verify", "--data-dir", str(folder))
        assert done.stdout.startswith("✓ Looked over:")
        for kind, many in told["checked"].items():
            assert f"{many:,} {kind}" in done.stdout
        assert (told["faults"], told["left_out"], told["unnamed"]) == ([], [], 0)
        assert told["root"] in done.stdout
        assert set(told["models"].values()) == {told["size"]}

    def test_names_what_does_not_hold_in_order(self, folder: Path) -> None:
        change(
            folder,
            "DROP TRIGGER entries_never_vanish",
            "DROP TRIGGER entries_never_change",
            "DELETE FROM entries WHERE position = 4711",
            "UPDATE entries SET type = 'payment.settled' WHERE position = 5000",
        )
        done = run("verify", "--data-dir", str(folder))
        assert done.exit_code == 1
        assert done.stdout.startswith("✗ Looked over:")
        assert "This does not hold. database: the trigger entries_never_change is missing" in done.stderr
        assert done.stderr.index("entry 4711: it is missing") < done.stderr.index("entry 5000: its type is payment.settled, but")
        told = json.loads(run("verify", "--data-dir", str(folder), "--json").stdout)
        assert [each["position"] for each in told["faults"] if each["what"] == "it is missing"] == [4711]

    def test_changes_nothing_and_says_what_it_could_not_look_over(self, folder: Path) -> None:
        for name in ("vault.key", "ledger-views.sqlite3", "ledger-views.sqlite3-wal", "ledger-views.sqlite3-shm"):
            (folder / name).unlink(missing_ok=True)
        before = sorted(each.name for each in folder.iterdir() if not each.name.endswith(("-wal", "-shm")))
        told = answer("verify", "--data-dir", str(folder))
        assert [each.partition(",")[0] for each in told["left_out"]] == ["what the vault's values are", "the read models"]
        assert before == sorted(each.name for each in folder.iterdir() if not each.name.endswith(("-wal", "-shm")))

    def test_looks_at_hashes_only_where_that_is_asked(self, folder: Path) -> None:
        looked_at = answer("verify", "--hashes", "--data-dir", str(folder))["checked"]
        assert looked_at.keys() <= {"entries", "heads", "published heads"}
        change(folder, "DROP TRIGGER heads_never_change", "UPDATE heads SET root = zeroblob(32) WHERE size > 9000")
        done = run("verify", "--hashes", "--data-dir", str(folder))
        assert (done.exit_code, "lead to another root" in done.stderr) == (1, True)

    def test_holds_the_log_to_a_checkpoint_that_was_kept(self, folder: Path, tmp_path: Path) -> None:
        here = ("--data-dir", str(folder))
        kept = tmp_path / "kept.checkpoint"
        signed = answer("log", "checkpoint", *here)
        kept.write_text(signed["note"])
        held = ("verify", "--checkpoint", str(kept), "--verifier-key", signed["key"], *here)
        assert answer(*held)["checked"]["given checkpoints"] == 1
        kept.write_text(signed["note"].replace(f"\n{signed['size']}\n", f"\n{signed['size'] + 1}\n"))
        done = run(*held)
        assert (done.exit_code, "the signature of" in done.stderr) == (1, True)

        done = run(*held, "--hashes")
        assert (done.exit_code, "the signature of" in done.stderr) == (1, True), "however little is looked over, that is"
        kept.write_text(signed["note"])
        assert answer(*held, "--hashes")["checked"]["given checkpoints"] == 1

    def test_finds_a_rewritten_end_by_hashes_too(self, folder: Path, tmp_path: Path) -> None:
        kept = tmp_path / "kept.checkpoint"
        kept.write_text(answer("log", "checkpoint", "--data-dir", str(folder))["note"])
        change(
            folder,
            "DROP TRIGGER entries_never_vanish",
            "DROP TRIGGER heads_never_vanish",
            "DELETE FROM entries WHERE position > (SELECT size FROM heads WHERE size > 9000 ORDER BY size LIMIT 1)",
            "DELETE FROM heads WHERE size > (SELECT max(position) FROM entries)",
        )
        (folder / "published-head.json").unlink(missing_ok=True)
        assert run("verify", "--hashes", "--data-dir", str(folder)).exit_code == 0, "what is left is whole in itself"
        done = run("verify", "--hashes", "--checkpoint", str(kept), "--data-dir", str(folder))
        assert (done.exit_code, "are lost" in done.stderr) == (1, True), done.output

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            (("--checkpoint", "{kept}", "--verifier-key", "Kirklees"), "'Kirklees' is no verifier key; `lcledger log keys`"),
            (("--checkpoint", "{noise}"), "is no checkpoint: it is not text."),
            (("--verifier-key", "Kirklees"), "give one that you kept, with --checkpoint"),
            (("--hashes", "--verifier-key", "Kirklees"), "give one that you kept, with --checkpoint"),
            (("--hashes", "--checkpoint", "{nowhere}"), "No such file"),
        ],
    )
    def test_refuses_what_it_cannot_hold_the_log_to(
        self, played: Played, tmp_path: Path, said: tuple[str, ...], told: str
    ) -> None:
        files = {name: tmp_path / name for name in ("kept", "noise", "nowhere")}
        files["kept"].write_text("a note\n")
        files["noise"].write_bytes(b"\xff\xfe")
        done = run("verify", "--data-dir", str(played.folder), *(each.format(**files) for each in said))
        assert (done.exit_code, told in " ".join(done.stderr.split())) == (1, True), done.output

    def test_wants_a_ledger(self, tmp_path: Path) -> None:
        done = run("verify", "--data-dir", str(tmp_path / "nowhere"))
        assert (done.exit_code, (tmp_path / "nowhere").exists()) == (1, False)


def test_no_text_stands_in_a_field_that_is_named_as_documents_hashes_are() -> None:
    """What looks for texts in entries passes over those fields."""

    def every(of: type[Record]) -> Iterator[type[Record]]:
        yield of
        for each in of.__subclasses__():
            yield from every(each)

    texts = [name for of in every(Record) for name, field in of.model_fields.items() if Commitment in _leaves(field.annotation)]
    assert "note" in texts
    assert [name for name in texts if name.endswith("sha256")] == []
