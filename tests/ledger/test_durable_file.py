"""A file is whole under its name or not there at all."""

from pathlib import Path

import pytest

from ledger import durable_file


class TestWritten:
    @pytest.mark.parametrize("over", [False, True])
    def test_names_what_was_asked_for_where_there_is_no_such_folder(self, tmp_path: Path, over: bool) -> None:  # noqa: FBT001 (drawn)
        file = tmp_path / "nowhere" / "pack.zip"
        with pytest.raises(FileNotFoundError) as refused, durable_file.written(file, over=over):
            pass
        assert refused.value.filename == str(file)

    def test_leaves_nothing_where_writing_fails(self, tmp_path: Path) -> None:
        def fail() -> None:
            with durable_file.written(tmp_path / "pack.zip") as out:
                out.write(b"half")
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert list(tmp_path.iterdir()) == []
