"""The published head says what a database does not say of itself: that it lost something."""

import json
import logging
from functools import partial
from pathlib import Path
from time import sleep

import pytest

from domain.aggregate import Actor
from ledger import backup, published_head, schema, store
from ledger.facts import Streams
from ledger.ledger import Ledger, Request
from ledger.log import Log
from ledger.published_head import EntriesLost, HeadUnreadable, PublishedHead, Publishing
from ledger.vault import Seals
from tests.ledger.conftest import VAULT_KEY, Clock, Opening
from tests.ledger.pots import BRIDGE, KIRKLEES, Pot, nothing_to_balance, open_pot, pot
from tests.ledger.test_backup import KEPT, no_progress


def begin(ledger: Ledger, pence: int = 0) -> None:
    ledger.record_now(partial(open_pot, pence=pence), Request(KIRKLEES))


def fill(ledger: Ledger) -> None:
    ledger.change_now(pot("2021-Q3"), Pot.fill, Request(KIRKLEES))


@pytest.fixture
def ledger(opening: Opening) -> Ledger:
    return opening(registry=KEPT)


@pytest.fixture
def other(tmp_path: Path, clock: Clock) -> Ledger:
    """Another database, as one that was put back to something earlier."""
    return Ledger.open(
        f"sqlite:///{tmp_path / 'other.db'}", vault_key=VAULT_KEY, clock=clock, registry=KEPT, balance_check=nothing_to_balance
    )


@pytest.fixture
def file(tmp_path: Path) -> PublishedHead:
    return PublishedHead(tmp_path / "elsewhere" / "head.json")


class TestPublish:
    def test_writes_size_root_and_time(self, ledger: Ledger, file: PublishedHead) -> None:
        begin(ledger)
        file.publish(ledger)
        assert json.loads(file.path.read_text()) == {
            "size": 1,
            "root": ledger.head().root.hex(),
            "recorded_at": "2024-07-01T09:30:00.000000Z",
        }
        assert [path.name for path in file.path.parent.iterdir() if path.suffix != ".lock"] == ["head.json"]

    def test_says_nothing_of_an_empty_log(self, ledger: Ledger, file: PublishedHead) -> None:
        assert file.publish(ledger) is None
        assert not file.path.exists()

    def test_never_goes_back_for_a_process_that_is_late(
        self, ledger: Ledger, file: PublishedHead, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin(ledger)
        early = ledger.head()
        fill(ledger)
        file.publish(ledger)
        newest = file.read()
        monkeypatch.setattr(ledger, "head", lambda: early)
        file.publish(ledger)
        assert file.read() == newest

    def test_refuses_a_database_that_is_behind(self, ledger: Ledger, other: Ledger, file: PublishedHead) -> None:
        begin(ledger)
        fill(ledger)
        file.publish(ledger)
        with other:
            begin(other)
            with pytest.raises(EntriesLost, match="it was of 2 entries, the database has 1"):
                file.publish(other)
        assert file.read() == published_head.sealed(ledger.head())

    @pytest.mark.parametrize("further", [0, 1])
    def test_refuses_a_database_that_went_another_way(
        self, ledger: Ledger, other: Ledger, file: PublishedHead, further: int
    ) -> None:
        begin(ledger)
        file.publish(ledger)
        with other:
            begin(other, pence=7)
            for _ in range(further):
                fill(other)
            with pytest.raises(EntriesLost, match="another root"):
                file.publish(other)

    @pytest.mark.parametrize("content", ["", "{}", '{"size": 1, "root": "5c"}', "[]"])
    def test_refuses_a_file_that_holds_no_head(self, ledger: Ledger, file: PublishedHead, content: str) -> None:
        begin(ledger)
        file.path.parent.mkdir()
        file.path.write_text(content)
        with pytest.raises(HeadUnreadable):
            file.publish(ledger)
        assert file.path.read_text() == content

    def test_takes_a_database_whose_restore_says_what_was_lost(
        self, ledger: Ledger, file: PublishedHead, tmp_path: Path, clock: Clock
    ) -> None:
        """Also where whoever restored was cut off before the file was written."""
        begin(ledger)
        backup.write(ledger.log, tmp_path / "backup", no_progress)
        fill(ledger)
        fill(ledger)
        file.publish(ledger)
        restored = _restored(tmp_path, clock, file)
        with restored:
            file.publish(restored)
            assert file.read() == published_head.sealed(restored.head())
            assert restored.head().size == 2


class TestPublishing:
    def test_publishes_at_its_beginning_now_and_then_and_at_its_end(
        self, ledger: Ledger, file: PublishedHead, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(published_head, "PUBLISH_EVERY_S", 0.01)
        begin(ledger)
        with Publishing(ledger, file):
            assert _size(file) == 1
            fill(ledger)
            while _size(file) != 2:
                sleep(0.01)
            monkeypatch.setattr(published_head, "PUBLISH_EVERY_S", 60)
            fill(ledger)
        assert _size(file) == 3

    def test_does_not_begin_on_a_database_that_is_behind(self, ledger: Ledger, other: Ledger, file: PublishedHead) -> None:
        begin(ledger)
        file.publish(ledger)
        with other, pytest.raises(EntriesLost), Publishing(other, file):
            raise AssertionError

    def test_complains_once_where_the_file_cannot_be_written(
        self, ledger: Ledger, file: PublishedHead, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begin(ledger)
        monkeypatch.setattr(published_head, "PUBLISH_EVERY_S", 0.01)
        with caplog.at_level(logging.ERROR), Publishing(ledger, file):
            file.path.write_text("somebody else's")
            fill(ledger)
            sleep(0.1)
        assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["the head of the log cannot be published"]
        fill(ledger)  # The log goes on without it.
        assert file.path.read_text() == "somebody else's"


def _size(file: PublishedHead) -> int:
    head = file.read()
    return head.size if head else 0


def _restored(tmp_path: Path, clock: Clock, file: PublishedHead) -> Ledger:
    log = Log(store.engine(f"sqlite:///{tmp_path / 'restored.db'}"), clock)
    schema.migrate(log.engine)

    def ask(_source: Streams) -> Actor:
        return BRIDGE

    backup.restore(
        log, tmp_path / "backup", seals=Seals(VAULT_KEY), registry=KEPT, by=ask, published=file.read(), progress=no_progress
    )
    log.close()
    return Ledger.open(log.engine.url, vault_key=VAULT_KEY, clock=clock, registry=KEPT, balance_check=nothing_to_balance)
