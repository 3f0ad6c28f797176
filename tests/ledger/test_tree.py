"""Proofs and tiles of a log, and that they never depend on what is kept of its tree."""

import random
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import PoolProxiedConnection

from ledger import merkle, proofs, store
from ledger.ledger import Ledger
from ledger.log import Damaged, Reads
from ledger.proofs import verify_consistency, verify_inclusion
from ledger.tree import NotInTree, Tree
from ledger.wire import Rows
from tests.ledger.conftest import ENTRIES, Opening


def leaves_of(ledger: Ledger) -> list[bytes]:
    return [row.leaf for row in ledger.log.reads.rows(0, 10_000)]


def root_of(leaves: list[bytes], size: int) -> bytes:
    return merkle.root(leaves[:size])


class TestTree:
    @pytest.mark.parametrize("grown", [False, True], ids=["nothing is kept", "subtrees are kept"])
    def test_proves_every_size(self, filled: Ledger, *, grown: bool) -> None:
        tree, leaves = Tree(filled.log), leaves_of(filled)
        if grown:
            assert tree.grow(ENTRIES, filled.head().root) == 2
        chosen = random.Random(7)  # noqa: S311 (which sizes are tried)
        for _ in range(40):
            size = chosen.randint(1, ENTRIES)
            index, first = chosen.randrange(size), chosen.randint(1, size)
            root = root_of(leaves, size)
            assert tree.root(size) == root
            verify_inclusion(leaves[index], index, size, tree.inclusion(index, size, root), root)
            proof = tree.consistency(first, size, root_of(leaves, first), root)
            verify_consistency(first, size, root_of(leaves, first), root, proof)

    def test_proves_many_leaves_at_once(self, filled: Ledger) -> None:
        tree, leaves = Tree(filled.log), leaves_of(filled)
        for size in (1, 256, 300, 513, ENTRIES):
            indexes = sorted({0, size // 3, size // 2, size - 1})
            assert tree.inclusions(indexes, size) == proofs.inclusions(lambda a, b: merkle.root(leaves[a:b]), indexes, size)
        with pytest.raises(NotInTree):
            tree.inclusions([0], ENTRIES + 1)

    def test_tiles_are_those_of_the_specification(self, filled: Ledger) -> None:
        tree, leaves = Tree(filled.log), leaves_of(filled)
        before = [tree.tile(0, 1, 256), tree.tile(0, 2, 188), tree.tile(1, 0, 2)]
        assert before == [
            b"".join(leaves[256:512]),
            b"".join(leaves[512:700]),
            merkle.root(leaves[:256]) + merkle.root(leaves[256:512]),
        ]
        tree.grow(ENTRIES, filled.head().root)
        assert [tree.tile(0, 1, 256), tree.tile(0, 2, 188), tree.tile(1, 0, 2)] == before
        for level, number, width in ((0, 2, 189), (0, 3, 1), (1, 0, 3), (2, 0, 1), (63, 0, 1)):
            with pytest.raises(NotInTree):
                tree.tile(level, number, width)

    def test_grows_once_whoever_does_it(self, filled: Ledger, opening: Opening) -> None:
        one, other = Tree(filled.log), Tree(opening().log)
        root = filled.head().root
        assert (one.grow(300, root_of(leaves_of(filled), 300)), other.grow(ENTRIES, root), one.grow(ENTRIES, root)) == (1, 1, 0)

    def test_keeps_nothing_that_leads_to_another_root(self, filled: Ledger) -> None:
        tree = Tree(filled.log)
        with pytest.raises(Damaged, match="another root"):
            tree.grow(ENTRIES, sha256(b"another").digest())
        assert filled.log.reads.subtrees_kept(8) == 0

    def test_proves_nothing_of_a_log_that_was_changed(self, filled: Ledger) -> None:
        tree, leaves, root = Tree(filled.log), leaves_of(filled), filled.head().root
        tree.grow(ENTRIES, root)
        tree.inclusion(299, ENTRIES, root)
        tamper(filled, "UPDATE entries SET leaf = (SELECT leaf FROM entries WHERE position = 1) WHERE position = 300")
        with pytest.raises(Damaged, match="entry 300 is not under the root"):
            tree.inclusion(299, ENTRIES, root)
        tree.forget()
        with pytest.raises(Damaged, match="entry 301 is not under the root"):
            tree.inclusion(300, ENTRIES, root)
        with pytest.raises(Damaged, match="do not go on from 290"):
            tree.consistency(290, ENTRIES, root_of(leaves, 290), sha256(b"another").digest())

    def test_proves_nothing_of_a_log_in_which_entries_are_missing(self, filled: Ledger) -> None:
        tree, root = Tree(filled.log), filled.head().root
        tamper(filled, "DELETE FROM entries WHERE position = 300", trigger="entries_never_vanish")
        with pytest.raises(Damaged, match="of the entries 257 to 512 some are missing; `lcledger verify` says what"):
            tree.inclusion(300, ENTRIES, root)

    def test_asks_on_one_connection(self, filled: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        tree, root, asked = Tree(filled.log), filled.head().root, list[PoolProxiedConnection]()
        ask = filled.log._ask_on

        def count(connection: PoolProxiedConnection, sql: str, parameters: tuple[Any, ...]) -> Rows:
            asked.append(connection)
            return ask(connection, sql, parameters)

        monkeypatch.setattr(filled.log, "_ask_on", count)
        tree.inclusion(299, ENTRIES, root)
        assert len(asked) > len(set(map(id, asked))) == 1

    def test_asks_again_on_another_connection_where_its_own_was_cut(self, filled: Ledger) -> None:
        if filled.log.statements.sqlite:
            pytest.skip("an SQLite file has no other end")
        tree, root = Tree(filled.log), filled.head().root
        before = tree.inclusion(299, ENTRIES, root)
        cut(filled)
        tree.forget()
        assert tree.inclusion(299, ENTRIES, root) == before

    def test_keeps_a_connection_for_the_next_proof(self, filled: Ledger) -> None:
        tree, root = Tree(filled.log), filled.head().root
        tree.inclusion(299, ENTRIES, root)
        kept = [*filled.log._at_hand]
        tree.inclusion(300, ENTRIES, root)
        assert kept
        assert [*filled.log._at_hand] == kept

    def test_remembers_what_is_asked_for_again_and_again(self, filled: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ledger.tree._MOST_REMEMBERED", 3)
        tree, root, read = Tree(filled.log), filled.head().root, list[tuple[int, int, int]]()
        make = tree._made

        def count(reads: Reads, level: int, number: int, width: int) -> list[list[bytes]]:
            read.append((level, number, width))
            return make(reads, level, number, width)

        monkeypatch.setattr(tree, "_made", count)
        for index in (0, 299, 1, 300, 2, 301):
            tree.inclusion(index, ENTRIES, root)
        assert len(tree._remembered) == 3
        assert [read.count(tile) for tile in ((0, 2, 188), (1, 0, 2))] == [1, 1]

    def test_has_no_more_than_the_log(self, filled: Ledger) -> None:
        tree = Tree(filled.log)
        for ask in (
            lambda: tree.root(701),
            lambda: tree.inclusion(700, 700, b""),
            lambda: tree.inclusion(0, 701, b""),
            lambda: tree.consistency(1, 701, b"", b""),
        ):
            with pytest.raises(NotInTree):
                ask()

    def test_an_empty_log_has_the_empty_root(self, ledger: Ledger) -> None:
        assert Tree(ledger.log).root(0) == merkle.EMPTY_ROOT
        assert Tree(ledger.log).grow(0, merkle.EMPTY_ROOT) == 0


def cut(ledger: Ledger) -> None:
    """End every connection to the database but one, which is new."""
    other = store.engine(ledger.log.engine.url)
    with other.connect() as connection:
        connection.exec_driver_sql(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    other.dispose()


def tamper(ledger: Ledger, statement: str, trigger: str = "entries_never_change") -> None:
    """Change what never changes."""
    with ledger.log.engine.connect() as connection:
        on = "" if connection.dialect.name == "sqlite" else " ON entries"
        connection.exec_driver_sql(f"DROP TRIGGER {trigger if on == '' else 'entries_never_change'}{on}")
        connection.exec_driver_sql(statement)
