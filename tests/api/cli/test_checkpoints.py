"""The log is signed while it is served, and by hand; its keys change hands in the open."""

import json
import signal
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from time import sleep
from typing import Any

import httpx
import pytest

from ledger import notes, tlog_proofs
from ledger.checkpoints import Checkpoint
from ledger.notes import Verifier
from ledger.proofs import verify_consistency
from tests.api.cli.conftest import answer, begin, run, serving


def known(here: tuple[str, ...]) -> list[Verifier]:
    return [Verifier.read(each["key"]) for each in answer("log", "keys", *here)]


def until(address: str, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """What the service says of its readiness, once it is as wanted."""
    ready: dict[str, Any] = {}
    for _ in range(500):
        ready = httpx.get(f"{address}/health/ready").json()
        if wanted(ready):
            return ready
        sleep(0.02)
    raise AssertionError(ready)


@pytest.fixture
def here(served: Path) -> tuple[str, ...]:
    return ("--data-dir", str(served))


class TestServe:
    def test_signs_as_the_log_grows(self, folder: Path) -> None:
        with serving(folder, LCLEDGER_CHECKPOINT_EVERY_S="0.05") as (process, address):
            key = {"Authorization": f"Bearer {(folder / 'first-administrator.key').read_text().strip()}"}
            with httpx.Client(base_url=address, headers=key) as http:
                http.post("/v1/parties", json={"party": "GB-LAE-KIR", "name": "Kirklees"}, headers={"Idempotency-Key": "k"})
                size = http.get("/v1/log/inclusion?position=1").json()["size"]
                assert until(address, lambda ready: ready["checkpoint"] == size)["ready"]
                found = http.get("/v1/log/checkpoint")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        assert found.headers["content-type"] == "text/plain; charset=utf-8"
        text, _ = notes.opened(found.text, known(("--data-dir", str(folder))))
        assert Checkpoint.read(text).size == size
        assert (folder / "signing.key").stat().st_mode & 0o777 == 0o600

    def test_is_not_ready_when_it_cannot_sign(self, served: Path) -> None:
        (served / "signing.key").unlink()
        with serving(served, LCLEDGER_CHECKPOINT_EVERY_S="0.05") as (_, address):
            (reason,) = until(address, lambda ready: not ready["ready"])["reasons"]
        assert reason.startswith("no checkpoint is signed: Checkpoints were signed, but the key is not there.")


class TestCheckpoint:
    def test_is_a_note(self, here: tuple[str, ...]) -> None:
        printed = run("log", "checkpoint", *here)
        assert notes.opened(printed.stdout, known(here))[0].startswith("life-chances-ledger/")
        told = answer("log", "checkpoint", *here)
        assert told["note"] == printed.stdout
        assert answer("log", "checkpoints", *here)[-1]["note"] == told["note"]

    def test_needs_a_ledger(self, folder: Path) -> None:
        assert run("log", "checkpoint", "--data-dir", str(folder)).exit_code == 1


class TestProve:
    def test_prints_what_stands_alone(self, here: tuple[str, ...], served: Path, tmp_path: Path) -> None:
        printed = run("log", "prove", "2", *here).stdout
        run("log", "tiles", str(tmp_path), "--entries", *here)
        (bundle,) = (tmp_path / "tile" / "entries").rglob("*.p/*")
        entries = bundle.read_bytes()
        skipped = 2 + int.from_bytes(entries[:2], "big")
        second = entries[skipped + 2 : skipped + 2 + int.from_bytes(entries[skipped : skipped + 2], "big")]
        index, checkpoint = tlog_proofs.verified(printed, sha256(b"\0" + second).digest(), known(here))
        assert (index, checkpoint.size) == (1, answer("log", "checkpoint", *here)["size"])

    def test_refuses_what_is_not_signed(self, here: tuple[str, ...]) -> None:
        assert "has not so many entries" in run("log", "prove", "1000", *here).stderr


class TestRotateKey:
    def test_both_keys_sign_once_and_the_new_one_from_then_on(self, here: tuple[str, ...], served: Path) -> None:
        (old,) = known(here)
        before = (served / "signing.key").read_text()
        told = answer("log", "rotate-key", *here)
        new = known(here)[-1]
        assert (told["key"], notes.opened(told["note"], [old, new])[1]) == (new.vkey, [old, new])
        assert (served / f"signing.key.{old.public.hex()[:8]}").read_text() == before != (served / "signing.key").read_text()
        begin(served)
        answer("parties", "add", "GB-LAE-KIR", "Kirklees Council", *here)
        assert notes.opened(run("log", "checkpoint", *here).stdout, [old, new])[1] == [new]
        assert not (served / "signing.key.next").exists()

    def test_goes_on_where_it_was_cut_off(self, here: tuple[str, ...], served: Path) -> None:
        before = answer("log", "rotate-key", "--new-key-file", str(served / "new"), *here)
        (served / "signing.key").write_bytes((served / f"signing.key.{before['note'] and _first(served)}").read_bytes())
        again = answer("log", "rotate-key", "--new-key-file", str(served / "new"), *here)
        assert again["note"] == before["note"]
        assert (served / "signing.key").read_text() == (served / "new").read_text()

    def test_without_the_old_key_says_so(self, here: tuple[str, ...], served: Path) -> None:
        (old,) = known(here)
        (served / "signing.key").unlink()
        assert "the key is not there" in run("log", "rotate-key", *here).stderr
        told = answer("log", "rotate-key", "--lost", *here)
        assert notes.opened(told["note"], [old, known(here)[-1]])[1] == [known(here)[-1]]


class TestConsistency:
    def test_is_proved_between_two_checkpoints_that_somebody_kept(self, here: tuple[str, ...]) -> None:
        before = answer("log", "checkpoint", *here)
        answer("parties", "add", "GB-LAE-NGM", "Nottingham City Council", *here)
        after = answer("log", "checkpoint", *here)
        told = json.loads(run("log", "consistency", str(before["size"]), str(after["size"]), *here).stdout)
        roots = (bytes.fromhex(before["root"]), bytes.fromhex(after["root"]))
        verify_consistency(before["size"], after["size"], *roots, [bytes.fromhex(each) for each in told["proof"]])

    def test_is_refused_the_wrong_way_round(self, here: tuple[str, ...]) -> None:
        done = run("log", "consistency", "3", "2", *here)
        assert (done.exit_code, "second: must not be smaller than `first`" in done.stderr) == (1, True), done.output


def _first(folder: Path) -> str:
    return next(folder.glob("signing.key.*")).suffix.removeprefix(".")


class TestTiles:
    def test_are_files(self, here: tuple[str, ...], tmp_path: Path) -> None:
        told = answer("log", "tiles", str(tmp_path / "log"), *here)
        assert (told["size"], told["files"]) == (answer("log", "checkpoint", *here)["size"], 1)
        assert "0 new files" in run("log", "tiles", str(tmp_path / "log"), *here).stdout
