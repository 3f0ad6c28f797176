"""An audit pack is whole, tells nothing of others, and is found out by `verify.py` alone whatever of it is changed."""

import asyncio
import base64
import json
import re
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from api import audit, packing, signing
from api.audit import verify
from api.cli.access import open_ledger, settings_with
from api.explaining import explanations
from domain.aggregate import Actor, Command, PersonId, Stream
from domain.event import Event
from domain.person import Person
from ledger import merkle, notes, proofs
from ledger.award_heads import AwardHead
from ledger.checkpoints import Checkpoint, Checkpoints
from ledger.entry import Draft, Entry, place, row_of
from ledger.ledger import Ledger
from ledger.notes import Signer, Verifier
from tests.api import everything, server, story
from tests.api.story import AWARD, Service, slug
from tests.domain.given import commitment
from tests.domain.histories import History, Memory, play
from tests.profiles import CI
from tests.reckoner import rework

VERIFY = Path(audit.__file__).with_name("verify.py")
BOOKS = VERIFY.with_name("books.py")
sys.modules["verify"] = verify  # As a pack's own programs find it, beside them.
books: Any = import_module("api.audit.books")
ALONE = """
import runpy, sys
sys.path.append(sys.argv.pop(1))
for package in ("api", "domain", "ledger", "projections", "pydantic"):
    try:
        __import__(package)
    except ImportError:
        continue
    sys.exit(f"{package} is not far enough away")
sys.argv[0] = sys.argv[1]
del sys.argv[1]
sys.path.append(sys.argv[0].rpartition("/")[0])
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Runs a program where neither this package nor any other is found, but what lies beside it and `cryptography` consists of."""

Files = dict[str, bytes]
NAMES = [
    "README.txt", "assessments.csv", "award-head.txt", "balances.json", "books.py", "checkpoint.txt", "checkpoints.json",
    "claim-lines.csv", "entries.txt", "explanations.json", "explanations.txt",
    "journal.beancount", "keys.txt", "manifest.txt", "payments.csv", "proof.txt", "statement.json", "terms.json",
    "trail.csv", "verify.py",
]  # fmt: skip
"""What a pack has."""
_SENTENCE = 400
"""So many characters at most say what does not hold."""


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder from which `cryptography` can be imported, and nothing else."""
    folder = tmp_path_factory.mktemp("elsewhere")
    for name in ("cryptography", "cffi", "_cffi_backend", "pycparser"):
        found = find_spec(name)
        assert found is not None
        assert found.origin is not None
        origin = Path(found.origin)
        place = origin.parent if found.submodule_search_locations else origin
        (folder / place.name).symlink_to(place)
    return folder


NEW, OLD = Signer(bytes(32)), Signer(bytes(range(32)))
"""The keys of a log in whose history everything happens: the one that signs, and the one before it."""


class Told:
    """A history in which everything happens, and the packs of its awards."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packs: dict[str, bytes] = {}
        self.answers: dict[str, list[Any]] = {}
        """What the routes tell of everything that the packs explain."""

    async def happen(self, **settings: Any) -> None:
        async with story.serving(self.folder, **settings) as service:
            await everything.happen(service)
            await everything.go_further(service)
            checkpoints: Checkpoints = service.app.state.checkpoints
            signed = checkpoints.sign(NEW, OLD)
            for award in (AWARD, everything.OPENED, everything.ENDED):
                made = packing.pack(service.app.state.ledger, checkpoints, award, signed, NEW)
                assert made is not None
                assert made == packing.pack(service.app.state.ledger, checkpoints, award, signed, NEW)
                self.packs[award] = made
                self.answers[award] = [await _explained(service, award, each, signed.size) for each in explanations_of(made)]


def explanations_of(pack: bytes) -> list[Any]:
    explained: list[Any] = json.loads(unpacked(pack)["explanations.json"])
    return explained


async def _explained(service: Service, award: str, of: dict[str, Any], as_of: int) -> Any:
    if "assessment" not in of:
        address = f"claims/{of['claim']}/lines/{of['line']}/explanation?as_of={as_of}"
    elif "payer" in of:
        address = f"payments/{of['assessment']}/{of['payer']}/explanation?as_of={as_of}"
    else:
        address = f"assessments/{of['assessment']}/lines/{of['line']}/explanation?claim={of['claim']}&as_of={as_of}"
    answer = await service.audrey.get(f"/v1/awards/{award}/{address}")
    return answer.json()


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Told:
    found = Told(tmp_path_factory.mktemp("packs") / "ledger")
    asyncio.run(found.happen())
    return found


@pytest.fixture
def files(told: Told) -> Files:
    """What is in the pack of the award under which most happened."""
    return unpacked(told.packs[AWARD])


def unpacked(pack: bytes) -> Files:
    with zipfile.ZipFile(BytesIO(pack)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def verified(files: Files, far: Path, folder: Path, *arguments: str, program: str = "verify.py") -> tuple[int, str]:
    """What the pack's own program says of its files, in an empty folder, far from this package."""
    for name, contents in files.items():
        (folder / name).write_bytes(contents)
    command = [sys.executable, "-I", "-S", "-c", ALONE, str(far), str(folder / program), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=folder, env={"PYTHONUTF8": "1"})
    assert done.stderr == ""
    return done.returncode, done.stdout


def said(
    files: Files, capsys: pytest.CaptureFixture[str], *arguments: str, further: Callable[..., str] = lambda *_: ""
) -> tuple[int, str]:
    """What the program says of files, in this process, where many are tried."""
    with TemporaryDirectory() as folder:
        for name, contents in files.items():
            Path(folder, name).write_bytes(contents)
        code = verify.main([folder, *arguments], further)
    return code, capsys.readouterr().out


def booked(files: Files, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """What books.py says of files, in this process."""
    return said(files, capsys, further=books.compare)


def entries_of(files: Files) -> list[bytes]:
    """Its entries, each two lines."""
    lines = files["entries.txt"].splitlines(keepends=True)
    return [header + state for header, state in zip(lines[::2], lines[1::2], strict=True)]


class TestPack:
    @pytest.mark.parametrize("award", [AWARD, everything.OPENED, everything.ENDED])
    def test_is_verified_where_nothing_of_ours_is(self, told: Told, far: Path, tmp_path: Path, award: str) -> None:
        files = unpacked(told.packs[award])
        code, output = verified(files, far, tmp_path)
        assert (code, output.splitlines()[0].split(":")[0]) == (0, "PASS"), output
        assert f"{len(entries_of(files)):,} entries, all that {award} has" in output
        code, output = verified(files, far, tmp_path, program="books.py")
        assert (code, output.splitlines()[0].split(":")[0]) == (0, "PASS"), output
        assert "the statement, the journal, and what " in output

    def test_is_verified_as_it_came(self, told: Told, far: Path, tmp_path: Path) -> None:
        (tmp_path / "pack.zip").write_bytes(told.packs[AWARD])
        assert verified({"verify.py": VERIFY.read_bytes()}, far, tmp_path, "pack.zip")[0] == 0

    def test_has_a_program_that_can_be_read(self, files: Files) -> None:
        assert files["verify.py"] == VERIFY.read_bytes()
        assert len(VERIFY.read_text("utf-8").splitlines()) < 500
        assert files["books.py"] == BOOKS.read_bytes()
        for program, others in ((VERIFY, {"cryptography"}), (BOOKS, {"verify"})):
            imported = set(re.findall(r"^ *(?:import|from) (\w+)", program.read_text("utf-8"), re.MULTILINE))
            assert imported - sys.stdlib_module_names == others

    def test_explains_every_file(self, files: Files) -> None:
        listed = re.findall(r"^    ([a-z.-]+\.(?:txt|json|csv|py|beancount)) ", files["README.txt"].decode(), re.MULTILINE)
        assert set(listed) | {"README.txt"} == files.keys() == set(NAMES)

    def test_explains_every_amount_as_the_routes_do(self, told: Told) -> None:
        for award, pack in told.packs.items():
            for packed, answer in zip(explanations_of(pack), told.answers[award], strict=True):
                assert packed.pop("entries") == [each["position"] for each in answer["entries"]]
                assert answer["text"].startswith(f"{packed.pop('title')}: ")
                assert packed == {name: answer[name] for name in packed}
        assert {"line", "payer"} < {name for each in explanations_of(told.packs[AWARD]) for name in each}

    def test_explains_every_amount_for_people_too(self, told: Told) -> None:
        for award, pack in told.packs.items():
            texts = [answer["text"].split("\nExplained by themselves:")[0].rstrip() for answer in told.answers[award]]
            written = unpacked(pack)["explanations.txt"].decode()
            assert [text.rstrip() for text in written.split(packing.BETWEEN)] == (texts or [""])
            assert written.count("It stands on:") == len(texts)

    def test_explains_every_line_and_every_payment_that_there_is(self, files: Files) -> None:
        explained = json.loads(files["explanations.json"])
        events = [json.loads(entry.split(b"\n")[1])["event"] for entry in entries_of(files)]
        assessed = {
            (event["assessment"], line["line"])
            for event in events if event["type"] in ("claim.lines-assessed", "claim.lines-reversed") for line in event["lines"]
        }  # fmt: skip
        owed = {(event["assessment"], event["payer"]) for event in events if event["type"] == "payment.fell-due"}
        claimed = sum(len(event["lines"]) for event in events if event["type"] == "claim.lines-listed")
        assert {(each["assessment"], each["line"]) for each in explained if {"assessment", "line"} <= each.keys()} == assessed
        assert {(each["assessment"], each["payer"]) for each in explained if "payer" in each} == owed
        assert sum("assessment" not in each for each in explained) == claimed

    def test_tells_nothing_of_other_awards_or_of_what_the_vault_keeps(self, told: Told) -> None:
        for award, pack in told.packs.items():
            everything_in_it = b"\n".join(unpacked(pack).values())
            for other in told.packs.keys() - {award}:
                assert other.encode() not in everything_in_it
            for secret in (b"KIR-0042", b"KIR-0043", b"KIR-0100", b"KIR-0200", b"In Dewsbury", b"The board wanted", b"No home."):
                assert secret not in everything_in_it
            for detail in story.ACCOUNT.values():
                assert str(detail).encode() not in everything_in_it


class TestVerify:
    """Whoever changes a pack, and has no key of the log, is found out; and named is what does not hold."""

    def test_finds_a_byte_of_any_entry_changed(self, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        entries = entries_of(files)
        for at, entry in enumerate(entries):
            changed = entry.replace(b'"salt":"', b'"salt":"0', 1)
            code, output = said({**files, "entries.txt": b"".join([*entries[:at], changed, *entries[at + 1 :]])}, capsys)
            assert code == 1
            assert f"entry {at + 1}" in output or f"the leaf of entry {at + 1};" in output

    def test_finds_any_entry_missing(self, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        entries = entries_of(files)
        for at in range(len(entries)):
            code, output = said({**files, "entries.txt": b"".join(entries[:at] + entries[at + 1 :])}, capsys)
            assert code == 1
            last = at == len(entries) - 1
            assert ("its end is missing" if last else f"entry {at + 1} of the award, at position") in output

    def test_finds_entries_swapped_and_inserted(self, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        entries = entries_of(files)
        for changed in (
            [*entries[:4], entries[5], entries[4], *entries[6:]],
            [*entries[:5], entries[4], *entries[5:]],
        ):
            code, output = said({**files, "entries.txt": b"".join(changed)}, capsys)
            assert (code, "it says that it is number" in output) == (1, True)

    def test_finds_an_entry_of_another_award(self, told: Told, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        other = entries_of(unpacked(told.packs[everything.OPENED]))
        code, output = said({**files, "entries.txt": b"".join([*entries_of(files), other[0]])}, capsys)
        assert (code, f"it is no entry of {AWARD}" in output) == (1, True)

    @pytest.mark.parametrize("tail", [1, 7, 40])
    def test_finds_a_missing_tail(self, files: Files, capsys: pytest.CaptureFixture[str], tail: int) -> None:
        code, output = said({**files, "entries.txt": b"".join(entries_of(files)[:-tail])}, capsys)
        assert (code, "its end is missing" in output) == (1, True)

    def test_finds_a_missing_stream(self, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        kept = [entry for entry in entries_of(files) if b"/clawback/CB-2" not in entry]
        assert len(kept) < len(entries_of(files))
        code, output = said({**files, "entries.txt": b"".join(kept)}, capsys)
        assert (code, "one is missing" in output) == (1, True)

    @pytest.mark.parametrize(
        ("left", "named"),
        [
            (lambda entries: entries[:40] + entries[41:], "it says that it is number 42; one is missing"),
            (lambda entries: entries[:-7], "its end is missing"),
            (lambda entries: [each for each in entries if b"/clawback/CB-2" not in each], "one is missing"),
            (lambda entries: [each for each in entries if b"/claim/2021-Q3" not in each], "one is missing"),
            (lambda entries: [*entries[:4], entries[5], entries[4], *entries[6:]], "it says that it is number"),
            (lambda entries: [*entries[:5], *entries[4:]], "it says that it is number"),
        ],
        ids=["an entry", "the tail", "a stream", "another stream", "two that are swapped", "one that is put in"],
    )
    def test_finds_what_is_missing_where_nothing_of_ours_is(
        self, files: Files, far: Path, tmp_path: Path, left: Callable[[list[bytes]], list[bytes]], named: str
    ) -> None:
        code, output = verified({**files, "entries.txt": b"".join(left(entries_of(files)))}, far, tmp_path)
        assert (code, output.startswith("FAIL: "), named in output) == (1, True, True), output

    @pytest.mark.parametrize("name", ["checkpoint.txt", "award-head.txt", "manifest.txt", "checkpoints.json"])
    def test_finds_what_was_signed_changed(self, files: Files, capsys: pytest.CaptureFixture[str], name: str) -> None:
        line = files[name].index(b"/") + 3
        forged = files[name][:line] + b"x" + files[name][line + 1 :]
        assert said({**files, name: forged}, capsys)[1].startswith(f"FAIL: {name}")

    @pytest.mark.parametrize(("old", "new"), [("\n— ", "\n—x "), ("\n— ", "\n- "), ("=\n", "="), ("=\n", "=\nx"), ("=\n", "=\r")])
    def test_finds_a_line_that_is_no_signature(
        self, files: Files, capsys: pytest.CaptureFixture[str], old: str, new: str
    ) -> None:
        note = files["manifest.txt"].decode()
        assert note.endswith("=\n")
        forged = new.join(note.rsplit(old, 1)).encode()
        assert said({**files, "manifest.txt": forged}, capsys)[1].startswith("FAIL: manifest.txt")

    def test_finds_another_log_s_head_and_checkpoint(self, told: Told, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        other = unpacked(told.packs[everything.OPENED])
        code, output = said({**files, "award-head.txt": other["award-head.txt"]}, capsys)
        assert (code, "it is no entry of" in output) == (1, True)
        older = json.loads(files["checkpoints.json"])[0].encode()
        expected = "award-head.txt is of another log or checkpoint"
        if older != files["checkpoint.txt"]:
            assert expected in said({**files, "checkpoint.txt": older}, capsys)[1]

    def test_finds_any_other_file_changed_missing_or_added(self, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        for name in files:
            assert said({**files, name: b"x" + files[name]}, capsys)[0] == 1, name
            without = {other: contents for other, contents in files.items() if other != name}
            assert said(without, capsys)[1] == f"FAIL: {name} is missing\n", name
        assert "extra.txt does not belong" in said({**files, "extra.txt": b""}, capsys)[1]
        for name in ("trail.csv", "terms.json", "README.txt", "payments.csv", "statement.json", "journal.beancount"):
            assert f"{name} was changed" in said({**files, name: files[name] + b" "}, capsys)[1]
        wrong = re.sub(rb"(\d)\.00", rb"\g<1>.01", files["balances.json"], count=1)
        forged = resealed({**files, "balances.json": wrong}, unchanged, NEW)
        assert "balances.json is not what the entries come to" in said(forged, capsys)[1]

    @pytest.mark.parametrize("name", NAMES)
    def test_finds_any_byte_of_any_file_changed_put_in_or_taken_out(
        self, files: Files, capsys: pytest.CaptureFixture[str], name: str
    ) -> None:
        @settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], database=None)
        @given(place=st.integers(0, len(files[name]) - 1), byte=st.binary(max_size=1), over=st.booleans())
        def try_it(place: int, byte: bytes, over: bool) -> None:  # noqa: FBT001 (drawn)
            changed = files[name][:place] + byte + files[name][place + over :]
            assume(changed != files[name])
            code, output = said({**files, name: changed}, capsys)
            assert (code, output.startswith("FAIL: "), "the pack cannot be read" in output) == (1, True, False), output
            assert len(output) < _SENTENCE

        try_it()

    def test_finds_the_end_cut_off_with_an_older_checkpoint(self, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        """Whoever has an older pack has a head that fits its checkpoint; but not one that fits a later one."""
        whole = resealed(files, unchanged, NEW)
        older = resealed({**files, "entries.txt": b"".join(entries_of(files)[:-5])}, unchanged, NEW)
        cut = {**whole, "entries.txt": older["entries.txt"]}
        assert "its end is missing" in said(cut, capsys)[1]
        assert "of another log or checkpoint" in said({**cut, "award-head.txt": older["award-head.txt"]}, capsys)[1]
        known = {**cut, "award-head.txt": older["award-head.txt"], "checkpoint.txt": older["checkpoint.txt"]}
        assert "do not lead to the root" not in said(known, capsys)[1]
        assert said(known, capsys)[0] == 1

    def test_finds_a_hash_of_the_proof_changed_or_too_many(self, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        for wrong in (base64.b64encode(bytes(32)) + b"\n" + files["proof.txt"], files["proof.txt"] + base64.b64encode(bytes(32))):
            assert "do not lead to the root" in said({**files, "proof.txt": wrong}, capsys)[1]

    def test_holds_a_pack_to_the_key_that_is_known_from_elsewhere(self, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        origin = files["checkpoint.txt"].decode().split("\n", 1)[0]
        ours, forger = Verifier(origin, NEW.public).vkey, Signer(b"f" * 32)
        assert said(files, capsys, "--key", ours)[0] == 0
        forged = resealed(files, unchanged, forger)
        assert said(forged, capsys)[0] == 0  # It is whole in itself; whose it is only the key tells.
        assert "is signed by no key that is known" in said(forged, capsys, "--key", ours)[1]
        assert said(files, capsys, "--key", "by-heart") == (1, "FAIL: by-heart is no Ed25519 key, or has another id\n")


def resealed(
    files: Files,
    change: Callable[[str, dict[str, Any]], None],
    signer: Signer,
    earlier: dict[int, bytes | None] | None = None,
    puts: Mapping[str, Callable[[bytes], bytes]] | None = None,
) -> Files:
    """A pack of a log that has the award's entries only, changed and sealed anew by whoever has a key to sign with.

    `puts` says what is made of files that tell what the entries come to; `earlier` are the sizes of its earlier checkpoints,
    each with its root where that is another than it should be.
    """
    rows, previous = [], bytes(32)
    for number, entry in enumerate(entries_of(files), 1):
        header, state, _ = entry.split(b"\n")
        row = row_of(header + b"\n", state)
        document = json.loads(state)
        change(row.type, document["event"])
        changed = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
        rows.append(place(Draft(row.stream, row.version, row.type, changed, AWARD), number, row.recorded_at, number, previous))
        previous = rows[-1].leaf
    origin, size = f"life-chances-ledger/{rows[0].leaf.hex()[:16]}", len(rows)
    checkpoint = Checkpoint(origin, size, merkle.root([row.leaf for row in rows])).text
    head = AwardHead(origin, AWARD, size, previous, size).text
    roots = {at: other or merkle.root([row.leaf for row in rows[:at]]) for at, other in (earlier or {}).items()}
    signed = [Checkpoint(origin, at, its).text for at, its in roots.items()]
    made = {
        **files,
        "entries.txt": b"".join(row.header + row.state + b"\n" for row in rows),
        "proof.txt": b"",
        "keys.txt": Verifier(origin, signer.public).vkey.encode(),
        "checkpoint.txt": notes.written(checkpoint, [signer.sign(origin, checkpoint)]).encode(),
        "award-head.txt": notes.written(head, [signer.sign(origin, head)]).encode(),
        "checkpoints.json": json.dumps([notes.written(text, [signer.sign(origin, text)]) for text in signed]).encode(),
    }
    if change is unchanged:
        made["journal.beancount"] = "".join(books.journal(verify.entries(made["entries.txt"], AWARD), AWARD)).encode()
    made.update({name: put(made[name]) for name, put in (puts or {}).items()})
    del made["manifest.txt"]
    hashes = "".join(f"{sha256(made[name]).hexdigest()}  {name}\n" for name in sorted(made))
    manifest = f"{packing.HEADING}\n{origin}\n{AWARD}\n{size}\n{hashes}"
    return made | {"manifest.txt": notes.written(manifest, [signer.sign(origin, manifest)]).encode()}


def unchanged(_: str, __: dict[str, Any]) -> None:
    """Changes nothing."""


class TestVerifyEarlierCheckpoints:
    """They are of the history of which the last one is, or it is said which is not."""

    def test_finds_them_of_one_history(self, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        whole = resealed(files, unchanged, NEW, dict.fromkeys((1, 17, 64, 65, len(entries_of(files)))))
        code, output = said(whole, capsys)
        assert (code, "5 checkpoints of one history" in output) == (0, True), output

    def test_finds_one_of_another_history(self, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        for at in (1, 64, 65):
            forged = resealed(files, unchanged, NEW, {1: None, 64: None, 65: None} | {at: b"f" * 32})
            assert f"checkpoints.json: that of {at} entries is of another history" in said(forged, capsys)[1]

    def test_finds_one_from_after_the_last(self, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        later = {17: None, len(entries_of(files)) + 1: b"f" * 32}
        assert "not of earlier ones" in said(resealed(files, unchanged, NEW, later), capsys)[1]
        assert "not in order" in said(resealed(files, unchanged, NEW, {64: None, 17: None}), capsys)[1]

    @settings(max_examples=60, deadline=None)
    @given(st.data())
    def test_works_their_roots_out_from_what_is_proved(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(1, 70))
        indexes = sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1)))
        sizes = sorted(data.draw(st.sets(st.integers(1, size))))
        leaves = [sha256(bytes([at])).digest() for at in range(size)]
        beside = iter(proofs.inclusions(lambda start, end: merkle.root(leaves[start:end]), indexes, size, sizes))
        found = verify.roots([(at, leaves[at]) for at in indexes], sizes, beside, 0, size)
        assert found == {at: merkle.root(leaves[:at]) for at in (*sizes, size)}
        assert next(beside, None) is None


def amount_of(kind: str, *path: str | int, by: int = 1) -> Callable[[str, dict[str, Any]], None]:
    """Changes an amount in the first entry of a type that has it."""
    done: list[str] = []

    def change(of: str, event: dict[str, Any]) -> None:
        if of != kind or done:
            return
        place_: Any = event
        for step in path[:-1]:
            place_ = place_[step]
        place_[path[-1]] = verify.pounds(verify.pence(place_[path[-1]]) + by)
        done.append(of)

    return change


def moved(kind: str, where: str, name: str) -> Callable[[str, dict[str, Any]], None]:
    """Moves a pound from the first payer to the second in each line of a type of entry, so that all sums are as they were."""

    def change(of: str, event: dict[str, Any]) -> None:
        for line in event["lines"] if of == kind else ():
            for payer, by in zip(line[where], (-100, 100), strict=True):
                payer[name] = verify.pounds(verify.pence(payer[name]) + by)

    return change


other_allotments = moved("claim.lines-assessed", "allotments", "allotted")
other_reversals = moved("claim.lines-reversed", "reversals", "reversed")


def no_headroom(of: str, event: dict[str, Any]) -> None:
    """Gives nothing back to a maximum."""
    if of == "award.receivable-changed":
        event["headroom"] = "0.00"


def other_shares(of: str, event: dict[str, Any]) -> None:
    """Splits each line by other shares than those that were agreed."""
    for line in event["lines"] if of == "claim.lines-assessed" else ():
        first, second = line["allotments"]
        first["share"], second["share"] = second["share"], first["share"]


def more_deferred(of: str, event: dict[str, Any]) -> None:
    """Defers units beside all that were claimed."""
    if of == "claim.lines-decided":
        event["lines"][0]["deferred"] = "1"


def more_assessed(of: str, event: dict[str, Any]) -> None:
    """Assesses more units than were accepted."""
    if of == "claim.lines-assessed":
        event["lines"][0]["quantity"] = "2"


def other_limit(of: str, event: dict[str, Any]) -> None:
    """Gives back to another limit what a limit had curtailed."""
    for line in event["lines"] if of == "claim.lines-reversed" else ():
        for each in line["limits"]:
            each["limit"] = "year_amount"


def of_another_stage(of: str, event: dict[str, Any]) -> None:
    """Has a price vary another stage than the one at which a line is, so that its stages come to what they did together."""
    for line in event["lines"] if of == "claim.lines-restated" else ():
        line["declined"], line["rejected"] = line["rejected"], line["declined"]


def otherwise(kind: str, **told: Any) -> Callable[[str, dict[str, Any]], None]:
    """Says something else of the lines of a type of entry."""

    def change(of: str, event: dict[str, Any]) -> None:
        for line in event["lines"] if of == kind else ():
            line.update(told)

    return change


def opened_again(of: str, event: dict[str, Any]) -> None:
    """Has an award bring something with it from elsewhere when it has long begun here."""
    if of == "award.assessed" and event["kind"] == "adjustment":
        event.update(kind="opening-position", allotted={"GB-LAE-KIR": "5.00"})


def again(kind: str) -> Callable[[str, dict[str, Any]], None]:
    """Says the number of the first of a type once more in the next one."""
    numbers: list[int] = []

    def change(of: str, event: dict[str, Any]) -> None:
        if of == kind:
            event["assessment"] = numbers[0] if numbers else event["assessment"]
            numbers.append(event["assessment"])

    return change


class TestVerifyWhatWasSigned:
    """Whoever signs a wrong amount is found out too: amounts follow from what came before them."""

    @pytest.mark.parametrize(
        ("change", "named"),
        [
            (amount_of("claim.lines-listed", "lines", 0, "value"), ": value is"),
            (amount_of("claim.lines-withdrawn", "lines", 0, "amount"), ": amount is"),
            (amount_of("claim.lines-decided", "lines", 0, "accepted_value"), ": accepted_value is"),
            (amount_of("claim.lines-decided", "lines", 0, "rejected_value"), ": rejected_value is"),
            (amount_of("claim.lines-decided", "lines", 0, "deferred_value"), ": deferred_value is"),
            (more_deferred, ": deferred is"),
            (more_assessed, ": quantity is"),
            (amount_of("claim.lines-assessed", "lines", 0, "price"), ": price is"),
            (amount_of("claim.lines-assessed", "lines", 0, "accepted"), ": accepted is"),
            (amount_of("claim.lines-assessed", "lines", 0, "assessed"), ": assessed is"),
            (amount_of("claim.lines-assessed", "lines", 0, "limits", 0, "left"), ": limits 1: left is"),
            (amount_of("claim.lines-assessed", "lines", 0, "limits", 0, "curtailed"), ": limits 1: curtailed is"),
            (amount_of("claim.lines-assessed", "lines", 0, "after"), ": after is"),
            (amount_of("claim.lines-assessed", "lines", 0, "allotments", 0, "part"), ": allotments: part 1 is"),
            (amount_of("claim.lines-assessed", "lines", 0, "allotments", 1, "left"), ": allotments: left 2 is"),
            (amount_of("claim.lines-assessed", "lines", 0, "allotments", 0, "allotted"), ": allotments: allotted 1 is"),
            (amount_of("claim.lines-assessed", "lines", 0, "unfunded"), ": unfunded is"),
            (amount_of("claim.lines-restated", "lines", 0, "claimed"), ": claimed is"),
            (amount_of("claim.lines-restated", "lines", 0, "declined"), ": declined is"),
            (of_another_stage, ": declined is"),
            (amount_of("claim.lines-reversed", "lines", 0, "worth"), ": worth is"),
            (other_limit, ": limits 1: limit is year_amount"),
            (otherwise("claim.lines-assessed", outcome="SUPPORT"), ": outcome is SUPPORT, but"),
            (otherwise("claim.lines-reversed", achieved_on="2019-08-02"), ": achieved_on is 2019-08-02, but"),
            (otherwise("claim.lines-withdrawn", achieved_on="2019-08-02"), ": achieved_on is 2019-08-02, but"),
            (otherwise("claim.lines-restated", price="901.00"), ": price is 901.00, but"),
            (otherwise("claim.lines-restated", per=8), ": per is 8, but"),
            (opened_again, "assessment 7: GB-LAE-KIR is 5.00, but"),
            (amount_of("claim.lines-reversed", "lines", 0, "reversals", 0, "part"), ": reversals: part 1 is"),
            (amount_of("claim.lines-reversed", "lines", 0, "reversals", 0, "reversed"), ": reversals: reversed 1 is"),
            (amount_of("claim.lines-reversed", "lines", 0, "unfunded"), ": unfunded is"),
            (amount_of("award.assessed", "assessed"), "assessment 1: assessed is"),
            (again("award.assessed"), "or has them twice"),
            (amount_of("award.terms-proposed", "terms", "award_amount"), ": left is"),
            (amount_of("award.terms-proposed", "terms", "outcomes", 0, "price", by=100), ": value is"),
            (no_headroom, ": allotments: left "),
            (amount_of("other-payment.agreed", "split", "unfunded"), ": split: unfunded is"),
            (amount_of("payment.settled", "years", "2021-22"), "balances.json is not what"),
            (other_shares, ": allotments: share 1 is"),
            (other_allotments, ": allotments: allotted 1 is"),
            (other_reversals, ": reversals: reversed 1 is"),
        ],
    )
    def test_finds_a_wrong_amount(
        self, files: Files, capsys: pytest.CaptureFixture[str], change: Callable[[str, dict[str, Any]], None], named: str
    ) -> None:
        code, output = said(resealed(files, change, NEW), capsys)
        assert (code, named in output) == (1, True), output

    def test_refuses_what_it_does_not_know(self, files: Files, capsys: pytest.CaptureFixture[str]) -> None:
        entries = [entry.replace(b'"payment.settled"', b'"payment.vanished"') for entry in entries_of(files)]
        code, output = said(resealed({**files, "entries.txt": b"".join(entries)}, unchanged, NEW), capsys)
        assert (code, "payment.vanished, is of a type that this program does not know" in output) == (1, True)

    def test_finds_an_explanation_that_ends_in_another_amount_or_is_missing(
        self, files: Files, capsys: pytest.CaptureFixture[str]
    ) -> None:
        explained = json.loads(files["explanations.json"])
        for at in (0, len(explained) // 2, len(explained) - 1):
            other = [dict(each) for each in explained]
            other[at]["amount"] = "1.01"
            forged = resealed({**files, "explanations.json": json.dumps(other).encode()}, unchanged, NEW)
            assert f"explanations.json: {other[at]['title']} 1 is 1.01, but" in booked(forged, capsys)[1]
            fewer = json.dumps(explained[:at] + explained[at + 1 :]).encode()
            assert "explains nothing of" in booked(resealed({**files, "explanations.json": fewer}, unchanged, NEW), capsys)[1]

    @pytest.mark.parametrize(
        ("name", "old", "new", "named"),
        [
            ("statement.json", b'"paid": "', b'"paid": "1', "statement.json: years 1: paid is"),
            ("statement.json", b'"opening": "', b'"opening": "1', "statement.json: years 1: opening is"),
            ("journal.beancount", b".00 GBP", b".01 GBP", "journal.beancount is not what"),
            ("journal.beancount", b"2021-", b"2020-", "journal.beancount is not what"),
            ("journal.beancount", b"\n\n", b"\n  Equity:Paid  1.00 GBP\n\n", "journal.beancount is not what"),
        ],
    )
    def test_finds_other_books(
        self, files: Files, capsys: pytest.CaptureFixture[str], *, name: str, old: bytes, new: bytes, named: str
    ) -> None:
        assert booked(resealed(files, unchanged, NEW), capsys)[0] == 0
        forged = resealed(files, unchanged, NEW, puts={name: lambda told: told.replace(old, new, 1)})
        assert said(forged, capsys)[0] == 0
        code, output = booked(forged, capsys)
        assert (code, named in output) == (1, True), output


class TestVerifyOrder:
    """Whoever signs entries that cannot have come one after the other is found out too."""

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            (rb'"version":2}', rb'"version":3}', "it is version 3 of "),
            (rb"(?m)^(lcl1 5 )\S+", rb"\g<1>1999-12-31T00:00:00.000000Z", "it was recorded before entry 4"),
            (rb'("type":")claim.submitted(","version")', rb"\g<1>claim.answered\g<2>", "it contradicts itself"),
        ],
    )
    def test_finds_entries_in_another_order(
        self, files: Files, capsys: pytest.CaptureFixture[str], old: bytes, new: bytes, named: str
    ) -> None:
        whole = resealed(files, unchanged, NEW)
        changed = re.sub(old, new, whole["entries.txt"], count=1)
        code, output = said(resealed({**whole, "entries.txt": changed}, kept, NEW), capsys)
        assert (code, named in output) == (1, True), output

    def test_finds_positions_in_another_order(self, files: Files) -> None:
        first, second, *_ = entries_of(resealed(files, unchanged, NEW))
        header, state, _ = second.split(b"\n")
        again = header.replace(b"lcl1 2 ", b"lcl1 1 ") + b"\n" + state + b"\n"
        with pytest.raises(AssertionError, match="it was recorded before entry 1"):
            verify.entries(first + again, AWARD)

    def test_finds_a_stream_of_another_award(self, files: Files) -> None:
        first = entries_of(files)[0]
        with pytest.raises(AssertionError, match="it contradicts itself"):
            verify.entries(first.replace(f'"award/{AWARD}'.encode(), b'"award/INDIGO-POJ-0001'), AWARD)


def kept(_: str, __: dict[str, Any]) -> None:
    """Changes nothing of what entries say, but they are of no events that there are."""


class TestVerifyAnything:
    """Whatever it is given, it says one sentence."""

    @pytest.mark.parametrize("contents", [b"", b"no zip", b"PK\x03\x04" + bytes(40)])
    def test_that_is_no_pack(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], contents: bytes) -> None:
        (tmp_path / "pack.zip").write_bytes(contents)
        assert verify.main([str(tmp_path / "pack.zip")]) == 1
        assert capsys.readouterr().out.startswith("FAIL: the pack cannot be read: ")

    @pytest.mark.filterwarnings("ignore:Duplicate name")
    def test_that_has_two_files_of_one_name(self, told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """A reader that takes the first of them would see another statement than the one that was checked."""
        forged = tmp_path / "pack.zip"
        with zipfile.ZipFile(forged, "w") as packed:
            packed.writestr("statement.json", b"{}")
            for name, contents in unpacked(told.packs[AWARD]).items():
                packed.writestr(name, contents)
        assert verify.main([str(forged)]) == 1
        assert capsys.readouterr().out == "FAIL: the pack has two files of one name\n"

    def test_that_unpacks_to_more_than_any_pack_has(
        self, told: Told, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "pack.zip").write_bytes(told.packs[AWARD])
        monkeypatch.setattr(verify, "MOST_BYTES", len(told.packs[AWARD]))
        assert verify.main([str(tmp_path / "pack.zip")]) == 1
        assert capsys.readouterr().out == "FAIL: the pack unpacks to more than any pack has\n"

    def test_that_is_not_there(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert verify.main([str(tmp_path / "pack.zip")]) == 1
        assert capsys.readouterr().out.startswith("FAIL: the pack cannot be read: FileNotFoundError")

    def test_says_what_to_install(self, tmp_path: Path) -> None:
        empty = tmp_path / "empty"
        empty.mkdir()
        command = [sys.executable, "-I", "-S", "-c", ALONE, str(empty), str(VERIFY)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "verify.py needs the package `cryptography`: python -m pip install cryptography\n"


ON_RECORD = datetime(2022, 2, 14, 9, tzinfo=UTC)
SOMEBODY = Person(person=PersonId("somebody"), party=story.KIRKLEES, name=commitment("Somebody"))


class Remembering(Memory):
    """Streams in memory, and what was recorded in them in its order, as a pack has it."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[verify.Entry] = []
        self.recorded: list[Entry] = []

    def play(self, command: Command, by: Actor) -> Sequence[Event]:
        made = self.facts.play(command, by.person)
        for stream, events in made.items():
            for event in events if stream.name.startswith("award/") else ():
                said, at = event.model_dump(mode="json", exclude_none=True), len(self.entries) + 1
                self.entries.append(verify.Entry(at, b"", stream.name, said["type"], said))
                of = (at, stream.name, 0, said["type"], ON_RECORD, self.reference, at, b"")
                self.recorded.append(Entry(*of, by.person, None, None, event, b""))
        return [event for events in made.values() for event in events]

    def load(self, stream: Stream[Any], _size: int) -> tuple[Any, int]:
        """The state of a stream, as a ledger gives it; whoever acts is somebody."""
        return (SOMEBODY if stream.of is Person else self.state(stream)), 0


class TestVerifyAnyHistory:
    """It shares no code with the rules, and works out what they recorded, whatever happened under an award."""

    def test_comes_to_what_was_recorded_and_so_does_every_explanation(self) -> None:
        explained = Counter[str]()

        class Verified(History):
            def prepared(self) -> Remembering:
                return Remembering()

            def teardown(self) -> None:
                ground = self.ground
                assert isinstance(ground, Remembering)
                files: Any = packing.figures(ground.reference, ground.recorded, len(ground.recorded))
                state, posted, _ = verify.worked_out(files, ground.entries)
                sums: Counter[str] = Counter()
                for account, _, amount in posted:
                    sums["|".join(account)] += amount
                recorded = {"|".join(part or "" for part in account): amount for account, amount in self.journal.sums.items()}
                assert {account: amount for account, amount in sums.items() if amount} == {
                    account: int(amount) for account, amount in recorded.items() if amount
                }
                told = list(explanations(cast("Ledger", ground), ground.reference, ground.recorded, len(ground.recorded)))
                files["explanations.json"] = json.dumps([each.told for each in told]).encode()
                said = books.compare(files, ground.reference, ground.entries, state, posted)
                assert f"what {len(told):,} explanations end in" in said
                for each in told:
                    assert rework(each.explanation) == each.explanation.amount, each.text
                explained.update(
                    "claim" if "assessment" not in each.of else "payer" if "payer" in each.of else "line" for each in told
                )
                super().teardown()

        histories = 60 if CI else 5
        assert len(play(Verified, histories, 50)) >= histories
        assert min(explained[of] for of in ("claim", "line", "payer")) > 0, "there was something to explain"


class TestBothDatabases:
    def test_give_the_same_bytes_for_the_same_log(self, told: Told, postgres_url: str) -> None:
        ours = settings_with(told.folder)
        with open_ledger(ours) as here, Ledger.open(postgres_url, vault_key=server.VAULT_KEY) as there:
            for table in ("entries", "heads", "checkpoints"):
                _copy(here, there, table)
            for award, made in told.packs.items():
                checkpoints = Checkpoints(there)
                signed = checkpoints.last()
                assert signed is not None
                assert packing.pack(there, checkpoints, award, signed, NEW) == made


def _copy(here: Ledger, there: Ledger, table: str) -> None:
    """Write a table of the log in SQLite into PostgreSQL, as it is."""
    with here.log.engine.connect() as connection:
        most = " DESC LIMIT 1" if table == "heads" else ""  # A head is made for the last entry only.
        found = connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1{most}")
        names, rows = list(found.keys()), [tuple(row) for row in found]
    with there.log.engine.begin() as connection:
        sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({', '.join(['%s'] * len(names))})"
        for row in rows:
            connection.exec_driver_sql(sql, row)


@pytest_asyncio.fixture(params=["sqlite", "postgres"])
async def served(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Service]:
    """A service with an agreed award on either database; on PostgreSQL by a role that owns nothing of the log."""
    if request.param == "sqlite":
        on = {}
    else:
        secret = base64.b64encode(bytes(range(32))).decode()
        on = {"database_url": request.getfixturevalue("service_url"), "vault_key": secret, "signing_key": secret}
    async with story.serving(tmp_path / "served", **on) as service:
        await story.gather(service)
        await story.agree_award(service)
        yield service


class TestRoute:
    async def test_gives_a_zip_to_auditors_and_administrators(self, service: Service) -> None:
        await story.submit(service)
        signed = sign(service)
        answer = await service.audrey.get(f"/v1/awards/{AWARD.lower()}/audit-pack")
        assert answer.headers["content-type"] == "application/zip"
        assert f'filename="{AWARD}-{signed}.zip"' in answer.headers["content-disposition"]
        assert unpacked(answer.content).keys() >= {"verify.py", "entries.txt"}
        note = (await service.audrey.reads(f"/v1/disclosures?award={AWARD}"))["rows"][0]
        assert (note["route"].split()[1], note["as_of"]) == ("/v1/awards/{award}/audit-pack", signed)
        for nobody in (service.ivo, service.cora, service.vera):
            assert slug(await nobody.get(f"/v1/awards/{AWARD}/audit-pack"))[0] == 403

    async def test_is_as_of_a_checkpoint_and_stays_the_same(self, service: Service) -> None:
        first = sign(service)
        before = (await service.audrey.get(f"/v1/awards/{AWARD}/audit-pack")).content
        await story.submit(service)
        assert sign(service) > first
        after = (await service.audrey.get(f"/v1/awards/{AWARD}/audit-pack")).content
        assert before != after
        for as_of in (first, first + 1):
            assert (await service.audrey.get(f"/v1/awards/{AWARD}/audit-pack?as_of={as_of}")).content == before

    async def test_stays_the_same_when_another_key_signs_the_log(
        self, served: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        await story.submit(served)
        state, first = served.app.state, sign(served)
        old = signing.signer(served.settings, state.checkpoints)
        before = (await served.audrey.get(f"/v1/awards/{AWARD}/audit-pack")).content
        await served.first.does("/v1/log/keys", everything.new_key(served, old))
        assert slug(await served.audrey.get(f"/v1/awards/{AWARD}/audit-pack")) == (503, "log-is-not-signed")
        monkeypatch.setattr(signing, "signer", lambda *_: NEW)
        await story.verify(served)
        last = state.checkpoints.sign(NEW, old)
        assert (await served.audrey.get(f"/v1/awards/{AWARD}/audit-pack?as_of={first}")).content == before
        after = (await served.audrey.get(f"/v1/awards/{AWARD}/audit-pack")).content
        words = {each: Verifier(last.origin, each.public).vkey for each in (old, NEW)}
        for made, by, code in ((before, old, 0), (before, NEW, 1), (after, NEW, 0)):
            assert said(unpacked(made), capsys, "--key", words[by])[0] == code
        assert unpacked(before)["keys.txt"].decode().split() == [words[old]]
        assert unpacked(after)["keys.txt"].decode().split() == [words[old], words[NEW]]

    async def test_is_signed_by_the_new_key_for_good_where_the_old_one_never_did(
        self, service: Service, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state, first = service.app.state, sign(service)
        old, third = signing.signer(service.settings, state.checkpoints), Signer(b"\x33" * 32)
        await service.first.does("/v1/log/keys", everything.new_key(service, old))
        address = f"/v1/awards/{AWARD}/audit-pack?as_of={first}"
        monkeypatch.setattr(signing, "signer", lambda *_: NEW)
        made = (await service.audrey.get(address)).content
        monkeypatch.setattr(state.checkpoints, "key", lambda: third.public)
        monkeypatch.setattr(signing, "signer", lambda *_: third)
        assert (await service.audrey.get(address)).content == made
        files = unpacked(made)
        assert len(files["keys.txt"].split()) == 2
        assert said(files, capsys)[0] == 0

    async def test_has_a_checkpoint_of_each_day_and_the_proof_that_they_are_of_one_history(
        self, service: Service, capsys: pytest.CaptureFixture[str]
    ) -> None:
        days = [sign(service)]
        service.clock.now += timedelta(days=1)
        await story.submit(service)
        days.append(sign(service))
        service.clock.now += timedelta(days=1)
        await story.verify(service)
        days.append(sign(service))
        files = unpacked((await service.audrey.get(f"/v1/awards/{AWARD}/audit-pack")).content)
        told = [Checkpoint.read(notes.parsed(note)[0]).size for note in json.loads(files["checkpoints.json"])]
        assert (told[-3:], len(set(days))) == (days, 3)
        assert f"{len(told)} checkpoints of one history" in said(files, capsys)[1]

    async def test_says_that_the_log_was_changed_outside_the_ledger(self, service: Service) -> None:
        sign(service)
        asked = f"/v1/awards/{AWARD}/audit-pack"
        assert (await service.audrey.get(asked)).status_code == 200
        with service.app.state.ledger.log.engine.connect() as connection:
            connection.exec_driver_sql("DROP TRIGGER entries_never_vanish")
            connection.exec_driver_sql(f"DELETE FROM entries WHERE award = '{AWARD}' AND award_sequence = 2")
        assert slug(await service.audrey.get(asked)) == (500, "log-is-damaged")

    async def test_refuses_what_there_is_not(self, service: Service) -> None:
        assert slug(await service.audrey.get(f"/v1/awards/{AWARD}/audit-pack")) == (404, "no-checkpoint")
        sign(service)
        assert slug(await service.audrey.get("/v1/awards/INDIGO-POJ-0001/audit-pack")) == (404, "no-such-award")


def sign(service: Service) -> int:
    checkpoints: Checkpoints = service.app.state.checkpoints
    return checkpoints.sign(signing.signer(service.settings, checkpoints)).size
