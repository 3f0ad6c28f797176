"""Tiles are named and laid out as C2SP tlog-tiles says."""

from hashlib import sha256
from pathlib import Path

import pytest

from ledger import notes, tiles
from ledger.checkpoints import Checkpoint, Checkpoints
from ledger.ledger import Ledger, Request
from tests.ledger.pots import KIRKLEES, open_pot
from tests.ledger.test_checkpoints import SIGNER
from tests.ledger.test_tree import leaves_of


class TestNames:
    @pytest.mark.parametrize(
        ("number", "width", "path"),
        [(0, 256, "000"), (5, 112, "005.p/112"), (999, 256, "999"), (1000, 1, "x001/000.p/1"), (1234067, 256, "x001/x234/067")],
    )
    def test_are_the_specification_s(self, number: int, width: int, path: str) -> None:
        assert (tiles.path_of(number, width), tiles.tile_at(path)) == (path, (number, width))

    @pytest.mark.parametrize(
        "path", ["", "0", "00", "0000", "000.p/256", "000.p/0", "000.p/01", "x000/000", "001/000", "000/", "000.p"]
    )
    def test_there_is_no_other_name(self, path: str) -> None:
        assert tiles.tile_at(path) is None


class TestOf:
    def test_is_the_specification_s_example(self) -> None:
        found = list(tiles.of(70_000))
        assert [(level, width) for level, _, width in found if width < 256] == [(0, 112), (1, 17), (2, 1)]
        assert [sum(level == each and width == 256 for each, _, width in found) for level in range(3)] == [273, 1, 0]
        assert list(tiles.of(256)) == [(0, 0, 256), (1, 0, 1)]
        assert list(tiles.of(0)) == []


class TestWrite:
    def test_makes_a_folder_from_which_the_root_is_worked_out(self, filled: Ledger, tmp_path: Path) -> None:
        checkpoints, folder = Checkpoints(filled), tmp_path / "log"
        signed = checkpoints.sign(SIGNER)
        assert tiles.write(checkpoints, signed, folder) == 4
        names = sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())
        assert names == ["checkpoint", "tile/0/000", "tile/0/001", "tile/0/002.p/188", "tile/1/000.p/2"]
        text, _ = notes.opened((folder / "checkpoint").read_text(), [signed.verifier])
        assert Checkpoint.read(text).size == 700
        assert (folder / "tile/0/001").read_bytes() == b"".join(leaves_of(filled)[256:512])

    def test_adds_what_is_new(self, filled: Ledger, tmp_path: Path) -> None:
        checkpoints = Checkpoints(filled)
        tiles.write(checkpoints, checkpoints.sign(SIGNER), tmp_path)
        filled.record_now(open_pot, Request(KIRKLEES))
        assert tiles.write(checkpoints, checkpoints.sign(SIGNER), tmp_path) == 1

    def test_entries_are_there_when_they_are_asked_for(self, filled: Ledger, tmp_path: Path) -> None:
        checkpoints = Checkpoints(filled)
        tiles.write(checkpoints, checkpoints.sign(SIGNER), tmp_path, entries=True)
        told, found = (tmp_path / "tile/entries/002.p/188").read_bytes(), []
        while told:
            length = int.from_bytes(told[:2], "big")
            found.append(sha256(b"\0" + told[2 : 2 + length]).digest())
            told = told[2 + length :]
        assert found == leaves_of(filled)[512:]
