"""A backup of either database, made while it is written to, is restored into either, and the log goes on."""

import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event
from time import sleep
from typing import Any

import pytest

from domain.aggregate import Actor
from domain.log import LOG, LogRestored, SealedHead
from domain.webhook import Reason, State, WebhookConfirmed, WebhookDisabled, WebhookRegistered, webhook_stream
from ledger import backup, schema, store
from ledger.backup import AnotherLog, BackupDamaged, NotABackup, NotEmpty, NotSealed
from ledger.entry import Registry
from ledger.facts import Streams
from ledger.ledger import Ledger, Request
from ledger.log import Log
from ledger.vault import Seals, Vault, WrongVaultKey
from tests.ledger.conftest import VAULT_KEY, Clock, Opening
from tests.ledger.pots import BRIDGE, KIRKLEES, POTS, Pot, nothing_to_balance, open_pot, pot

KEPT: Registry = {
    **POTS,
    "log.restored": LogRestored,
    "webhook.registered": WebhookRegistered,
    "webhook.confirmed": WebhookConfirmed,
    "webhook.disabled": WebhookDisabled,
}
AWARD = "INDIGO-POJ-0175"


def no_progress(_done: int, _size: int) -> None:
    pass


def restore(
    log: Log, file: Path, *, key: bytes = VAULT_KEY, published: SealedHead | None = None, by: Actor = BRIDGE
) -> SealedHead:
    def ask(source: Streams) -> Actor:
        assert source.load(pot("2021-Q3"))[1] > 0
        return by

    return backup.restore(log, file, seals=Seals(key), registry=KEPT, by=ask, published=published, progress=no_progress)


def fill(ledger: Ledger, times: int = 1) -> None:
    for _ in range(times):
        ledger.change_now(pot("2021-Q3"), Pot.fill, Request(KIRKLEES))


def published(ledger: Ledger) -> SealedHead:
    return SealedHead(size=ledger.head().size, root=ledger.head().root.hex())


def columns(log: Log) -> dict[str, list[tuple[Any, ...]]]:
    with log.engine.connect() as connection:
        return {
            table: [tuple(map(str, row)) for row in connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1, 2")]
            for table in ("entries", "heads", "receipts", "texts", "participants")
        }


@pytest.fixture
def begun(opening: Opening) -> Ledger:
    """A ledger with a bit of everything."""
    return begin(opening(registry=KEPT))


def begin(ledger: Ledger) -> Ledger:
    """Several commits, a receipt, a text, participants, an erased one."""
    ledger.record_now(partial(open_pot, name="2021-Q3"), Request(KIRKLEES, key="opened", fingerprint="f"))
    ledger.record_now(partial(_conceal, said="A note “as it was said”"), Request(KIRKLEES))
    ledger.record_now(partial(_meet, references=("YP-0042", "YP-0043")), Request(KIRKLEES))
    ledger.record_now(partial(_forget, reference="YP-0042"), Request(KIRKLEES))
    fill(ledger, 3)
    return ledger


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A backup that nothing is wrong with."""
    folder = tmp_path_factory.mktemp("whole")
    with Ledger.open(
        f"sqlite:///{folder / 'ledger.db'}", vault_key=VAULT_KEY, clock=Clock(), registry=KEPT, balance_check=nothing_to_balance
    ) as ledger:
        backup.write(begin(ledger).log, folder / "whole", no_progress)
    return (folder / "whole").read_bytes()


@pytest.fixture
def emptied(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Log]:
    """An empty SQLite file with the tables of a log."""
    with _empty(request, "sqlite", tmp_path, clock) as log:
        yield log


def _conceal(facts: Any, said: str) -> Any:
    facts.conceal(said, AWARD)
    return open_pot(facts, name="noted")


def _meet(facts: Any, references: tuple[str, ...]) -> Any:
    for reference in references:
        facts.pseudonym(AWARD, reference)
    return open_pot(facts, name="met")


def _register(facts: Any, name: str) -> Any:
    registered = WebhookRegistered(
        webhook=name,
        party="XX-LCL-OPERATOR",
        url=facts.conceal("https://notices.example.org"),
        host="notices.example.org",
        awards=("*",),
        types=("*",),
        rate_limit=10,
        api_version="v1",
        secret=facts.conceal("whsec_1 whsk_1"),
        public_key="whpk_11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=",
    )
    return {webhook_stream(name): (registered,)}


def _forget(facts: Any, reference: str) -> Any:
    facts.erase_participants(AWARD, [facts.recognised(AWARD, reference)])
    return open_pot(facts, name="forgotten")


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Log]:
    """An empty database with the tables of a log, of each kind."""
    with _empty(request, str(request.param), tmp_path, clock) as log:
        yield log


@contextmanager
def _empty(request: pytest.FixtureRequest, kind: str, tmp_path: Path, clock: Clock) -> Iterator[Log]:
    server = request.getfixturevalue("postgres_server") if kind == "postgres" else None
    name = server.create() if server else ""
    log = Log(store.engine(server.url(name) if server else f"sqlite:///{tmp_path / 'restored' / 'ledger.db'}"), clock)
    schema.migrate(log.engine)
    yield log
    log.close()
    if server:
        server.drop(name)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "ledger.backup"


class TestBackup:
    def test_holds_everything_and_is_read_back(self, begun: Ledger, file: Path) -> None:
        made = backup.write(begun.log, file, no_progress)
        assert made == backup.verify(file, no_progress)
        assert (made.head.size, made.head.root) == (begun.head().size, begun.head().root.hex())
        assert made.counts == {"entries": 7, "heads": 7, "receipts": 1, "vault_key": 1, "texts": 1, "participants": 2}
        assert file.stat().st_mode & 0o077 == 0

    def test_holds_no_word_and_no_key_in_the_clear(self, begun: Ledger, file: Path) -> None:
        backup.write(begun.log, file, no_progress)
        said = gzip.decompress(file.read_bytes())
        for kept_out in (b"as it was said", b"YP-0042", b"YP-0043", VAULT_KEY, VAULT_KEY.hex().encode()):
            assert kept_out not in said

    def test_never_replaces_another(self, begun: Ledger, file: Path) -> None:
        file.write_text("another")
        with pytest.raises(FileExistsError):
            backup.write(begun.log, file, no_progress)
        assert file.read_text() == "another"
        assert list(file.parent.glob(f"{file.name}.*")) == []

    def test_of_a_log_that_was_changed_is_refused(self, begun: Ledger, file: Path) -> None:
        if begun.log.statements.sqlite:
            with begun.log.engine.connect() as connection:
                connection.exec_driver_sql("DROP TRIGGER entries_never_change")
                connection.exec_driver_sql("UPDATE entries SET stream = 'award/INDIGO-POJ-0175/pot/other' WHERE position = 3")
        else:
            with begun.log.engine.connect() as connection:
                connection.exec_driver_sql("ALTER TABLE entries DISABLE TRIGGER ALL")
                connection.exec_driver_sql("UPDATE entries SET stream = 'award/INDIGO-POJ-0175/pot/other' WHERE position = 3")
        with pytest.raises(NotSealed, match="entry 3"):
            backup.write(begun.log, file, no_progress)
        assert not file.exists()


class TestRestore:
    def test_gives_the_same_log_and_vault_in_either_database(self, begun: Ledger, file: Path, empty: Log) -> None:
        backup.write(begun.log, file, no_progress)
        head = restore(empty, file)
        before, after = columns(begun.log), columns(empty)
        assert head.size == len(before["entries"]) + 1
        assert after["entries"][:-1] == before["entries"]
        assert after["heads"][:-1] == before["heads"]
        assert {table: after[table] for table in ("receipts", "texts", "participants")} == {
            table: before[table] for table in ("receipts", "texts", "participants")
        }

    def test_is_recorded_with_who_did_it_and_what_is_lost(self, begun: Ledger, file: Path, empty: Log, clock: Clock) -> None:
        made = backup.write(begun.log, file, no_progress)
        fill(begun, 4)
        clock.go(hours=3)
        head = restore(empty, file, published=published(begun))
        with _opened(empty) as ledger:
            last = ledger.entries(after=head.size - 1)[0]
            assert (last.person, last.recorded_at) == (BRIDGE.person, clock.moment)
            assert last.event == LogRestored(
                head=made.head, backed_up_at=made.made_at, backup_sha256=made.sha256, lost=published(begun)
            )
            assert ledger.load(LOG)[0].has_lost(published(begun))

    def test_has_no_webhook_told_before_somebody_says_so(self, begun: Ledger, file: Path, empty: Log) -> None:
        for name in ("confirmed", "never-confirmed"):
            begun.record_now(partial(_register, name=name), Request(KIRKLEES))
        begun.change_now(webhook_stream("confirmed"), lambda made: made.confirm(made.url), Request(KIRKLEES))
        backup.write(begun.log, file, no_progress)
        head = restore(empty, file)
        with _opened(empty) as ledger:
            assert head.size == begun.head().size + 2 == ledger.head().size
            told, _ = ledger.load(webhook_stream("confirmed"))
            assert (told.state, told.reason) == (State.DISABLED, Reason.RESTORED)
            assert ledger.load(webhook_stream("never-confirmed"))[0].state is State.UNCONFIRMED
            assert ledger.entries(after=head.size - 1)[0].person == BRIDGE.person

    def test_goes_on_as_it_would_have(self, begun: Ledger, file: Path, empty: Log) -> None:
        backup.write(begun.log, file, no_progress)
        restore(empty, file)
        with _opened(empty) as ledger:
            again = ledger.record_now(partial(open_pot, name="2021-Q3"), Request(KIRKLEES, key="opened", fingerprint="f"))
            assert (again.repeated, again.first) == (True, 1)
            fill(ledger)
            assert ledger.load(pot("2021-Q3"))[0].amount == 4
            assert ledger.reveal([text[0] for text in columns(ledger.log)["texts"]])
            schema_of(ledger.log)

    def test_of_a_restored_log_counts_on(self, begun: Ledger, file: Path, empty: Log, tmp_path: Path, clock: Clock) -> None:
        backup.write(begun.log, file, no_progress)
        restore(empty, file)
        second = tmp_path / "second.backup"
        backup.write(empty, second, no_progress)
        log = Log(store.engine(f"sqlite:///{tmp_path / 'third.db'}"), clock)
        schema.migrate(log.engine)
        restore(log, second)
        with _opened(log) as ledger:
            assert [restored.head.size for restored in ledger.load(LOG)[0].restores] == [7, 8]
        log.close()

    def test_into_a_database_with_anything_in_it_is_refused(self, begun: Ledger, file: Path) -> None:
        backup.write(begun.log, file, no_progress)
        before = columns(begun.log)
        with pytest.raises(NotEmpty):
            restore(begun.log, file)
        assert columns(begun.log) == before

    def test_into_a_database_that_was_only_opened_goes(self, begun: Ledger, file: Path, empty: Log) -> None:
        """As by a worker that begins again when the database was lost."""
        backup.write(begun.log, file, no_progress)
        Vault(empty, b"another key of thirty-two bytes or more").start()
        with pytest.raises(WrongVaultKey):
            restore(empty, file)
        with empty.turn() as turn:
            turn.connection.exec_driver_sql("DELETE FROM vault_key")
        Vault(empty, VAULT_KEY).start()
        assert restore(empty, file).size == begun.head().size + 1
        assert empty.reads.checked() == begun.log.reads.checked()

    def test_under_another_vault_key_is_refused(self, begun: Ledger, file: Path, empty: Log) -> None:
        backup.write(begun.log, file, no_progress)
        with pytest.raises(WrongVaultKey):
            restore(empty, file, key=b"another key of thirty-two bytes or more")
        assert not any(columns(empty).values())

    def test_of_another_log_than_the_published_is_refused(self, begun: Ledger, file: Path, empty: Log) -> None:
        fill(begun, 3)
        backup.write(begun.log, file, no_progress)
        with pytest.raises(AnotherLog):
            restore(empty, file, published=SealedHead(size=3, root="5c" * 32))
        assert not any(columns(empty).values())
        assert restore(empty, file, published=published(begun)).size == begun.head().size + 1


class TestDamage:
    """What is found does not depend on the database: so one will do."""

    @pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
    def test_of_any_byte_is_found(self, whole: bytes, file: Path, emptied: Log, part: float) -> None:
        at = int(len(whole) * part)
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        _refused(file, emptied, BackupDamaged, NotABackup)

    @pytest.mark.parametrize("part", [0.1, 0.5, 0.999])
    def test_of_the_end_is_found(self, whole: bytes, file: Path, emptied: Log, part: float) -> None:
        file.write_bytes(whole[: int(len(whole) * part)])
        _refused(file, emptied, BackupDamaged)

    @pytest.mark.parametrize(
        "forge",
        [
            lambda lines: lines[:-1],
            lambda lines: [*lines[:2], *lines[3:]],
            lambda lines: [*lines, lines[-2]],
            lambda lines: [lines[0], lines[1].replace(b"KIRKLEES", b"KIRKLEEZ"), *lines[2:]],
            lambda lines: [lines[0].replace(b"2024", b"2023"), *lines[1:]],
            lambda lines: [*lines[:3], lines[5], lines[6], lines[3], lines[4], *lines[7:]],
        ],
        ids=["no end", "no head", "beyond the end", "another person", "another time", "another order"],
    )
    def test_that_a_new_compression_would_hide_is_found(
        self, whole: bytes, file: Path, emptied: Log, forge: Callable[[list[bytes]], list[bytes]]
    ) -> None:
        lines = gzip.decompress(whole).splitlines(keepends=True)
        assert forge(lines) != lines
        file.write_bytes(gzip.compress(b"".join(forge(lines))))
        _refused(file, emptied, BackupDamaged)

    @pytest.mark.parametrize(
        "content",
        [b"", b"a letter", gzip.compress(b"1\n"), gzip.compress(b'["lcledger-backup-9"]\n')],
        ids=[
            "nothing",
            "a letter",
            "a number",
            "of a later release",
        ],  # What gzip writes says when, and names must stay the same.
    )
    def test_is_not_what_another_file_is_called(self, file: Path, emptied: Log, content: bytes) -> None:
        file.write_bytes(content)
        _refused(file, emptied, BackupDamaged, NotABackup)


class TestUnderLoad:
    def test_a_backup_is_one_moment_and_the_restored_log_goes_on(
        self, begun: Ledger, file: Path, empty: Log, tmp_path: Path
    ) -> None:
        enough, stop = Event(), Event()

        def write(writer: int) -> int:
            ledger_pot = f"writer-{writer}"
            begun.record_now(partial(open_pot, name=ledger_pot), Request(KIRKLEES))
            for number in range(100_000):
                begun.change_now(pot(ledger_pot), Pot.fill, Request(KIRKLEES, key=f"{writer}-{number}"))
                if number == 20:
                    enough.set()
                if stop.is_set():
                    return number
            raise AssertionError

        with ThreadPoolExecutor(4) as threads:
            writers = [threads.submit(write, writer) for writer in range(4)]
            assert enough.wait(60)
            made = backup.write(begun.log, file, no_progress)
            while begun.head().size == made.head.size:
                sleep(0.01)
            stop.set()
            assert sum(writer.result(60) for writer in writers) > 20
        assert made.head.size > 7 + 20
        head = restore(empty, file, published=published(begun))
        assert head.size == made.head.size + 1
        assert columns(empty)["entries"][:-1] == columns(begun.log)["entries"][: made.head.size]
        receipts = {row[1]: int(row[4]) for row in columns(empty)["receipts"]}
        assert all(last <= made.head.size for last in receipts.values())
        with _opened(empty) as ledger:
            fill(ledger)
            assert ledger.head().size == head.size + 1


@contextmanager
def _opened(log: Log) -> Iterator[Ledger]:
    ledger = Ledger.open(
        log.engine.url, vault_key=VAULT_KEY, clock=log.clock, registry=KEPT, balance_check=nothing_to_balance, serving=True
    )
    with ledger:
        yield ledger


def schema_of(log: Log) -> None:
    """Look the tables and triggers over."""
    with log.engine.connect() as connection:
        schema.check(connection)


def _refused(file: Path, empty: Log, *why: type[Exception]) -> None:
    with pytest.raises(why):
        backup.verify(file, no_progress)
    with pytest.raises(why):
        restore(empty, file)
    assert not any(columns(empty).values())
