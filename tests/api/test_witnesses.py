"""A witness in a process of its own holds a log to its history."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import time
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
import orjson
import pytest

from api import witnesses
from api.settings import KnownWitness, NotSetUp, settings
from ledger import notes
from ledger.checkpoints import Checkpoints, Signed
from ledger.ledger import Ledger, Request
from ledger.notes import Signer, Verifier
from ledger.witness import Asked
from tests.api import story
from tests.api.cli.conftest import command, environment, run
from tests.ledger.conftest import VAULT_KEY
from tests.ledger.pots import KIRKLEES, POTS, Pot, nothing_to_balance, open_pot, pot

LOG = Signer(b"kirklees-calderdale-social-prime"[:32])


def opened(folder: Path) -> Ledger:
    return Ledger.open(f"sqlite:///{folder / 'log.db'}", vault_key=VAULT_KEY, registry=POTS, balance_check=nothing_to_balance)


def grow(ledger: Ledger, pence: int = 1) -> Signed:
    ledger.change_now(pot("2021-Q3"), lambda found: Pot.fill(found, pence), Request(KIRKLEES))
    return Checkpoints(ledger).sign(LOG)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with opened(tmp_path) as ledger:
        ledger.record_now(open_pot, Request(KIRKLEES))
        grow(ledger)
        yield ledger


@contextmanager
def witness(folder: Path, log: Verifier) -> Iterator[tuple["subprocess.Popen[str]", KnownWitness]]:
    """A witness that serves, and how we know it."""
    process = subprocess.Popen(
        command("witness", "investor.test/w", "--log", log.vkey, "--folder", str(folder), "--port", "0"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(LCLEDGER_LOG_FORMAT="json"),
    )
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        vkey = process.stdout.readline().split()[1]
        told = next(line for line in process.stderr if '"event":"serving"' in line)
        yield process, KnownWitness(Verifier.read(vkey), orjson.loads(told)["address"])
    finally:
        process.kill()
        process.communicate()


class TestWitness:
    def test_cosigns_what_goes_on_and_refuses_a_fork_even_after_it_was_killed(self, ledger: Ledger, tmp_path: Path) -> None:
        checkpoints, folder = Checkpoints(ledger), tmp_path / "witness"
        log = checkpoints.signings()[0].verifier
        (tmp_path / "fork").mkdir()
        with ledger.log.engine.connect() as connection:
            connection.exec_driver_sql("VACUUM INTO ?", (str(tmp_path / "fork" / "log.db"),))
        with closing(sqlite3.connect(tmp_path / "fork" / "log.db")) as fork_file:
            fork_file.execute("PRAGMA journal_mode=WAL")
        with witness(folder, log) as (process, known):
            for _ in range(2):
                last = grow(ledger)
                assert witnesses.ask_all([known], checkpoints) == {}
                note = checkpoints.note(last)
                assert notes.opened(note, [log, known.verifier])[1] == [log, known.verifier]
            assert witnesses.ask_all([known], checkpoints) == {}
            os.kill(process.pid, signal.SIGKILL)
        with opened(tmp_path / "fork") as fork, witness(folder, log) as (_, known):
            forked = Checkpoints(fork)
            for pence in range(5, 9):
                grow(fork, pence)
            assert forked.origin() == checkpoints.origin()
            assert "it answered 422" in witnesses.ask_all([known], forked)["investor.test/w"]
            assert forked.reads.cosignatures(forked.page(0, 9)[-1].size) == []
            grow(ledger)
            assert witnesses.ask_all([known], checkpoints) == {}

    def test_answers_as_the_specification_says(self, ledger: Ledger, tmp_path: Path) -> None:
        checkpoints = Checkpoints(ledger)
        first, log = checkpoints.page(0, 1)[0], checkpoints.signings()[0].verifier
        text = notes.parsed(first.note)[0]

        def asked(old: int, proof: list[bytes], note: str = first.note) -> str:
            return Asked(old, proof, text, note, first.checkpoint).written()

        unsigned = notes.written(text, [Signer(bytes(32)).sign(log.name, text)])
        other = text.replace(log.name, "another.test/log")
        with witness(tmp_path / "witness", log) as (_, known), httpx.Client(base_url=known.address) as http:

            def status(body: str) -> int:
                return http.post("/add-checkpoint", content=body.encode()).status_code

            assert status("nothing") == 400
            assert status(asked(0, [], notes.written(other, [LOG.sign("another.test/log", other)]))) == 404
            assert status(asked(0, [], unsigned)) == 403
            assert status(asked(3, [])) == 400
            assert status(asked(0, [bytes(32)])) == 422
            conflict = http.post("/add-checkpoint", content=asked(1, []).encode())
            assert (conflict.status_code, conflict.text, conflict.headers["content-type"]) == (409, "0\n", "text/x.tlog.size")
            before = int(time.time())
            signed = http.post("/add-checkpoint", content=asked(0, []).encode())
            assert signed.status_code == 200
            line = notes.Line.read(signed.text[:-1])
            assert known.verifier.signed(text, line)
            assert before <= line.moment <= time.time()
            assert status(asked(2, [])) == 200
            assert status(asked(0, [])) == 409
            assert http.post("/add-checkpoint", content=b"x" * 70_000).status_code == 413

    @pytest.mark.parametrize(
        ("name", "log", "told"),
        [
            ("two words", None, "one word without +"),
            ("a+b", None, "one word without +"),
            ("investor.test/w", "Kirklees", "'Kirklees' is no verifier key"),
        ],
    )
    def test_leaves_nothing_behind_where_it_is_asked_wrongly(self, tmp_path: Path, name: str, log: str | None, told: str) -> None:
        of = Verifier("ledger.test/log", LOG.public).vkey if log is None else log
        done = run("witness", name, "--log", of, "--folder", str(tmp_path / "witness"), "--port", "0")
        assert (done.exit_code, told in " ".join(done.stderr.split())) == (1, True), done.output
        assert not (tmp_path / "witness").exists()


@contextmanager
def answering(answers: list[tuple[int, str]]) -> Iterator[int]:
    """A server on a port that answers whatever stands first, to everybody."""

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # (its library has it so)
            self.rfile.read(int(self.headers["Content-Length"]))
            status, body = answers[0]
            self.send_response(status)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


class TestWhoeverLooksAfterTheService:
    async def test_is_told_how_far_each_witness_cosigned(self, tmp_path: Path) -> None:
        verifier = Verifier("investor.test/w", LOG.public, notes.COSIGNATURE)
        async with story.serving(tmp_path, witnesses=f"{verifier.vkey} http://127.0.0.1:1") as service:
            checkpoints = service.app.state.checkpoints
            signed = checkpoints.sign(LOG)
            nothing = {"cosigned": 0, "refused_at": None, "refusal": None}
            assert (await service.nobody.reads("/v1/health/ready"))["witnesses"] == [{"name": "investor.test/w", **nothing}]
            text = notes.parsed(signed.note)[0]
            checkpoints.cosign(signed, verifier, LOG.cosign(verifier.name, text, 1))
            assert (await service.nobody.reads("/v1/health/ready"))["witnesses"][0]["cosigned"] == signed.size
            metrics = (await service.first.get("/v1/metrics")).text
            assert f'lcledger_witness_cosigned{{witness="investor.test/w"}} {float(signed.size)}' in metrics
            assert f"lcledger_checkpoint {float(signed.size)}" in metrics

    async def test_is_told_why_a_witness_does_not_cosign_until_it_does(self, tmp_path: Path) -> None:
        verifier, answers = Verifier("investor.test/w", LOG.public, notes.COSIGNATURE), [(403, "unknown log\n")]
        with answering(answers) as port:
            async with story.serving(tmp_path, witnesses=f"{verifier.vkey} http://127.0.0.1:{port}") as service:
                state = service.app.state
                signed = state.checkpoints.sign(LOG)

                async def told() -> tuple[object, object, str | None]:
                    await asyncio.to_thread(state.asking, state.checkpoints)
                    (witness,) = (await service.nobody.reads("/v1/health/ready"))["witnesses"]
                    return witness["cosigned"], witness["refusal"], witness["refused_at"] and witness["refused_at"][:16]

                assert await told() == (0, "it answered 403: unknown log", "2021-10-01T09:00")
                service.clock.forward(minutes=1)
                assert await told() == (0, "it answered 403: unknown log", "2021-10-01T09:01")
                answers[0] = (200, str(LOG.cosign(verifier.name, signed.checkpoint.text, 1)))
                assert await told() == (signed.size, None, None)

    def test_is_told_once_of_each_reason(self, ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
        verifier, answers = Verifier("investor.test/w", LOG.public, notes.COSIGNATURE), [(403, "unknown log\n")]
        with answering(answers) as port:
            asking = witnesses.Asking([KnownWitness(verifier, f"http://127.0.0.1:{port}")], ledger.now)
            for answer in ((403, "unknown log\n"), (403, "unknown log\n"), (500, "\n")):
                answers[0] = answer
                asking(Checkpoints(ledger))
        asking(Checkpoints(ledger))
        assert asking.refusals["investor.test/w"].why.startswith("it cannot be reached: ")
        assert caplog.text.count("a witness does not cosign") == 3


class TestSettings:
    def test_name_witnesses(self) -> None:
        verifier = Verifier("investor.test/w", LOG.public, notes.COSIGNATURE)
        found = settings(witnesses=f"{verifier.vkey} https://w.test, {verifier.vkey} http://127.0.0.1:8001")
        assert [each.address for each in found.known_witnesses] == ["https://w.test", "http://127.0.0.1:8001"]

    @pytest.mark.parametrize("kind", [notes.NOTE, notes.COSIGNATURE])
    def test_refuse_what_is_no_witness(self, kind: notes.Kind) -> None:
        vkey = Verifier("investor.test/w", LOG.public, kind).vkey
        for wrong in (vkey, f"{vkey} http://w.test", f"{b64encode(bytes(3)).decode()} https://w.test"):
            with pytest.raises(NotSetUp, match="witness"):
                settings(witnesses=wrong)
