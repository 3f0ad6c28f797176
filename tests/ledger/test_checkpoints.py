"""What is signed of the log is signed once, goes on from what was signed before, and is kept."""

import logging
from functools import partial
from hashlib import sha256
from pathlib import Path
from time import sleep

import pytest
from sqlalchemy.exc import DBAPIError

from domain import log as logs
from domain.log import KeyIntroduced
from ledger import backup, notes, schema, store
from ledger.checkpoints import Checkpoint, Checkpointing, Checkpoints, Inconsistent, KeyIsAnother, NothingToSign, Signed
from ledger.entry import Registry
from ledger.ledger import Ledger, Request
from ledger.log import Log
from ledger.notes import NoteIsWrong, Signer, Verifier
from ledger.vault import Seals
from tests.ledger.conftest import VAULT_KEY, Clock, Opening
from tests.ledger.pots import BRIDGE, KIRKLEES, Pot, nothing_to_balance, open_pot, pot
from tests.ledger.test_backup import KEPT, no_progress
from tests.ledger.test_tree import tamper

KNOWN: Registry = {**KEPT, "log.key-introduced": KeyIntroduced}
SIGNER = Signer(b"kirklees-calderdale-social-prime"[:32])
OTHER = Signer(b"the-life-chances-fund-of-england"[:32])


@pytest.fixture
def ledger(opening: Opening) -> Ledger:
    ledger = opening(registry=KNOWN)
    ledger.record_now(open_pot, Request(KIRKLEES))
    fill(ledger)
    return ledger


@pytest.fixture
def checkpoints(ledger: Ledger) -> Checkpoints:
    return Checkpoints(ledger)


def fill(ledger: Ledger) -> None:
    ledger.change_now(pot("2021-Q3"), Pot.fill, Request(KIRKLEES))


def introduce(ledger: Ledger, new: Signer, old: Signer) -> None:
    text = logs.introduction(new.public.hex(), old.public.hex())
    event = KeyIntroduced(
        public_key=new.public.hex(),
        replaces=old.public.hex(),
        signature=new.sign("key", text).signature.hex(),
        vouched=old.sign("key", text).signature.hex(),
    )
    ledger.record_now(partial(logs.introduce, introduced=event, first=SIGNER.public.hex()), Request(KIRKLEES))


class TestSign:
    def test_signs_how_far_the_log_goes(self, ledger: Ledger, checkpoints: Checkpoints) -> None:
        signed = checkpoints.sign(SIGNER)
        origin = f"life-chances-ledger/{ledger.log.reads.leaf_at(1).hex()[:16]}"  # type: ignore[union-attr]
        text, by = notes.opened(signed.note, [Verifier(origin, SIGNER.public)])
        assert Checkpoint.read(text) == Checkpoint(origin, 2, ledger.head().root)
        assert [verifier.name for verifier in by] == [origin]
        assert (signed.size, signed.key, signed.made_at) == (2, SIGNER.public, "2024-07-01T09:30:00.000000Z")

    def test_signs_again_only_when_the_log_has_grown(self, ledger: Ledger, checkpoints: Checkpoints) -> None:
        first = checkpoints.sign(SIGNER)
        assert checkpoints.sign(SIGNER) == first
        fill(ledger)
        second = checkpoints.sign(SIGNER)
        assert [each.size for each in checkpoints.page(0, 10)] == [2, 3]
        assert (checkpoints.last(), checkpoints.last(2)) == (second, first)

    def test_signs_nothing_of_an_empty_log(self, opening: Opening) -> None:
        with pytest.raises(NothingToSign):
            Checkpoints(opening()).sign(SIGNER)

    @pytest.mark.parametrize("position", [1, 2])
    def test_refuses_a_log_that_was_changed_since(self, ledger: Ledger, checkpoints: Checkpoints, position: int) -> None:
        checkpoints.sign(SIGNER)
        forget_history(ledger, position)
        for _ in range(2):
            with pytest.raises(Inconsistent):
                checkpoints.sign(SIGNER)
        assert [each.size for each in checkpoints.page(0, 10)] == [2]

    def test_refuses_a_log_that_was_changed_and_has_not_grown(self, ledger: Ledger, checkpoints: Checkpoints) -> None:
        checkpoints.sign(SIGNER)
        tamper(ledger, "UPDATE entries SET leaf = state WHERE position = 2")
        with pytest.raises(Inconsistent, match="another root"):
            Checkpoints(ledger).sign(SIGNER)

    @pytest.mark.parametrize("column", ["root", "note"])
    def test_refuses_what_stands_beside_a_checkpoint_in_its_place(
        self, ledger: Ledger, checkpoints: Checkpoints, column: str
    ) -> None:
        checkpoints.sign(SIGNER)
        with ledger.log.engine.connect() as connection:
            on = "" if connection.dialect.name == "sqlite" else " ON checkpoints"
            connection.exec_driver_sql(f"DROP TRIGGER checkpoints_never_change{on}")
            other = "leaf FROM entries WHERE position = 1" if column == "root" else "replace(note, 'life', 'lief')"
            connection.exec_driver_sql(f"UPDATE checkpoints SET {column} = (SELECT {other})")
        fill(ledger)
        with pytest.raises(Inconsistent, match="the checkpoint of 2 entries"):
            checkpoints.sign(SIGNER)

    def test_of_two_that_sign_at_once_one_does(self, checkpoints: Checkpoints, opening: Opening) -> None:
        other = Checkpoints(opening(registry=KNOWN))
        origin, last = other.origin, list[Signed]()

        def late() -> str:
            if not last:
                last.append(checkpoints.sign(SIGNER))
            return origin()

        other.origin = late  # type: ignore[method-assign]
        assert other.sign(SIGNER) == last[0]


def forget_history(ledger: Ledger, position: int) -> None:
    """Write another entry over one of the log, seal the log anew, and let it go on."""
    with ledger.log.engine.connect() as connection:
        for table in ("entries", "heads"):
            on = "" if connection.dialect.name == "sqlite" else f" ON {table}"
            connection.exec_driver_sql(f"DROP TRIGGER {table}_never_change{on}")
        leaves = ledger.log.reads.leaves(0, 2)
        leaves[position - 1] = sha256(b"another").digest()
        frontier, root = _sealed(leaves)
        mark = "?" if connection.dialect.name == "sqlite" else "%s"
        connection.exec_driver_sql(f"UPDATE entries SET leaf = {mark} WHERE position = {position}", (leaves[position - 1],))
        connection.exec_driver_sql(f"UPDATE heads SET frontier = {mark}, root = {mark} WHERE size = 2", (frontier, root))
    fill(ledger)


def _sealed(leaves: list[bytes]) -> tuple[bytes, bytes]:
    from ledger import merkle

    frontier: list[bytes] = []
    for size, leaf in enumerate(leaves):
        merkle.grow(frontier, size, leaf)
    return merkle.packed(frontier), merkle.root_of(frontier)


class TestKeys:
    def test_another_key_signs_nothing(self, ledger: Ledger, checkpoints: Checkpoints) -> None:
        checkpoints.sign(SIGNER)
        fill(ledger)
        with pytest.raises(KeyIsAnother):
            checkpoints.sign(OTHER)

    def test_a_new_key_signs_from_its_introduction_on_and_the_old_one_no_more(
        self, ledger: Ledger, checkpoints: Checkpoints
    ) -> None:
        checkpoints.sign(SIGNER)
        introduce(ledger, OTHER, SIGNER)
        origin = checkpoints.origin()
        old, new = Verifier(origin, SIGNER.public), Verifier(origin, OTHER.public)
        with pytest.raises(KeyIsAnother):
            checkpoints.sign(SIGNER)
        assert [(each.verifier, each.first, each.last, each.position) for each in checkpoints.signings()] == [
            (old, 2, 2, None),
            (new, None, None, 3),
        ]
        both = checkpoints.sign(OTHER, SIGNER)
        assert notes.opened(both.note, [new, old])[1] == [new, old]
        fill(ledger)
        assert notes.opened(checkpoints.sign(OTHER).note, [new, old])[1] == [new]
        assert [(each.verifier, each.first, each.last, each.position) for each in checkpoints.signings()] == [
            (old, 2, 2, None),
            (new, 3, 4, 3),
        ]

    def test_a_key_comes_once(self, ledger: Ledger, checkpoints: Checkpoints) -> None:
        checkpoints.sign(SIGNER)
        introduce(ledger, OTHER, SIGNER)
        for known in (OTHER, SIGNER):
            with pytest.raises(logs.KeyIsKnown):
                introduce(ledger, known, OTHER)

    def test_a_key_that_does_not_sign_is_not_replaced(self, ledger: Ledger, checkpoints: Checkpoints) -> None:
        checkpoints.sign(SIGNER)
        with pytest.raises(logs.KeyDoesNotSign):
            introduce(ledger, SIGNER, OTHER)
        introduce(ledger, OTHER, SIGNER)
        with pytest.raises(logs.KeyDoesNotSign):
            introduce(ledger, Signer(bytes(32)), SIGNER)


class TestKept:
    @pytest.mark.parametrize("statement", ["UPDATE checkpoints SET note = note", "DELETE FROM checkpoints"])
    def test_nothing_changes_or_vanishes(self, ledger: Ledger, checkpoints: Checkpoints, statement: str) -> None:
        checkpoints.sign(SIGNER)
        with ledger.log.engine.connect() as connection, pytest.raises(DBAPIError, match=r"signed|nothing changes"):
            connection.exec_driver_sql(statement)
        assert len(checkpoints.page(0, 10)) == 1

    @pytest.mark.parametrize("size", [1, 2, 3])
    def test_none_comes_again_or_ahead_of_the_log(self, ledger: Ledger, checkpoints: Checkpoints, size: int) -> None:
        checkpoints.sign(SIGNER)
        replace = "OR REPLACE " if ledger.log.engine.dialect.name == "sqlite" else ""
        statement = f"INSERT {replace}INTO checkpoints SELECT {size}, origin, root, key, note, made_at FROM checkpoints"
        with ledger.log.engine.connect() as connection, pytest.raises(DBAPIError, match="a checkpoint is of more entries"):
            connection.exec_driver_sql(statement)

    def test_a_restored_log_has_them_and_another_origin(
        self, ledger: Ledger, checkpoints: Checkpoints, clock: Clock, tmp_path: Path
    ) -> None:
        before = checkpoints.sign(SIGNER)
        made = backup.write(ledger.log, tmp_path / "backup", no_progress)
        assert made.counts["checkpoints"] == 1
        engine = store.engine(f"sqlite:///{tmp_path / 'restored.db'}")
        schema.migrate(engine)
        log = Log(engine, clock)
        backup.restore(
            log,
            tmp_path / "backup",
            seals=Seals(VAULT_KEY),
            registry=KNOWN,
            by=lambda _: BRIDGE,
            published=None,
            progress=no_progress,
        )
        log.close()
        with Ledger.open(
            f"sqlite:///{tmp_path / 'restored.db'}",
            vault_key=VAULT_KEY,
            clock=clock,
            registry=KNOWN,
            balance_check=nothing_to_balance,
        ) as restored:
            again = Checkpoints(restored)
            assert again.last() == before
            after = again.sign(SIGNER)
            assert (after.size, before.origin == after.origin) == (3, False)
            assert after.origin.endswith(restored.log.reads.leaf_at(3).hex()[:16])  # type: ignore[union-attr]
            assert [each.first for each in again.signings()] == [2, 3]


class TestCheckpoint:
    @pytest.mark.parametrize(
        "text",
        [
            "",
            "\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            "a\n01\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            "a\n-1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n",
            "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=",
            "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxqw==\n",
            "a\n1\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\nx\n",
        ],
    )
    def test_refuses_what_is_none(self, text: str) -> None:
        with pytest.raises(NoteIsWrong):
            Checkpoint.read(text)

    def test_is_the_specification_s(self) -> None:
        text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
        assert Checkpoint.read(text).text == text
        assert Checkpoint.read(f"{text}an extension\n").text == text


class TestCheckpointing:
    def test_signs_as_the_log_grows_and_at_the_end(self, ledger: Ledger, checkpoints: Checkpoints) -> None:
        with Checkpointing(checkpoints, lambda: SIGNER, 0.02) as signing:
            until(lambda: checkpoints.last() is not None)
            fill(ledger)
            until(lambda: len(checkpoints.page(0, 10)) == 2)
            assert signing.fault is None
        with Checkpointing(checkpoints, lambda: SIGNER, 600):
            fill(ledger)
        assert checkpoints.page(0, 10)[-1].size == 4

    def test_is_for_one_of_several_processes_and_another_takes_over(self, ledger: Ledger, opening: Opening) -> None:
        if ledger.log.statements.sqlite:
            pytest.skip("an SQLite file is served by one process")
        signed: dict[str, list[int]] = {"first": [], "second": []}

        def signing(name: str, of: Ledger) -> Checkpointing:
            return Checkpointing(Checkpoints(of), lambda: SIGNER, 0.02, lambda kept: signed[name].append(last_of(kept)))

        with signing("second", opening(registry=KNOWN)) as second:
            with signing("first", ledger) as first:
                until(lambda: signed["first"] or signed["second"])
                alone, other = ("first", "second") if signed["first"] else ("second", "first")
                for _ in range(3):
                    fill(ledger)
                    size = ledger.head().size
                    until(lambda: size in signed[alone])  # noqa: B023 (it is called at once)
                assert signed[other] == []
                assert (first.fault, second.fault) == (None, None)
            fill(ledger)
            until(lambda: ledger.head().size in signed["second"])

    def test_says_in_every_process_why_nothing_is_signed(self, ledger: Ledger, opening: Opening) -> None:
        Checkpoints(ledger).sign(SIGNER)
        fill(ledger)
        others = Checkpoints(opening(registry=KNOWN))
        with Checkpointing(Checkpoints(ledger), lambda: OTHER, 0.02) as one, Checkpointing(others, lambda: OTHER, 0.02) as two:
            until(lambda: isinstance(one.fault, KeyIsAnother) and isinstance(two.fault, KeyIsAnother))

    def test_says_once_why_it_signs_nothing(
        self, ledger: Ledger, checkpoints: Checkpoints, caplog: pytest.LogCaptureFixture
    ) -> None:
        checkpoints.sign(SIGNER)
        fill(ledger)
        signing = Checkpointing(checkpoints, lambda: OTHER, 600)
        with caplog.at_level(logging.ERROR):
            signing.sign()
            signing.sign()
        assert isinstance(signing.fault, KeyIsAnother)
        assert len(caplog.records) == 1


def last_of(checkpoints: Checkpoints) -> int:
    last = checkpoints.last()
    return 0 if last is None else last.size


def until(done: object) -> None:
    for _ in range(250):
        if done():  # type: ignore[operator]
            return
        sleep(0.02)
    raise AssertionError("it never was")
