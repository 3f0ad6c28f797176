"""A log as it was at one moment, read in batches, on both databases."""

from functools import partial
from itertools import zip_longest

import pytest

from ledger import store
from ledger.failures import Unavailable
from ledger.ledger import Ledger, Request
from ledger.log import Log
from ledger.snapshot import snapshot
from tests.ledger.pots import KIRKLEES, open_pots

LEAVES = "SELECT position, leaf FROM entries WHERE position > ? ORDER BY position LIMIT ?"
SIZES = "SELECT size FROM heads WHERE size > ? ORDER BY size LIMIT ?"


@pytest.fixture
def log(ledger: Ledger) -> Log:
    ledger.record_now(partial(open_pots, names=[f"2021-Q{number}" for number in range(10)]), Request(KIRKLEES))
    return ledger.log


class TestBatches:
    @pytest.mark.parametrize("at_once", [1, 3, 5, 100])
    def test_give_every_row_once_in_order(self, log: Log, at_once: int) -> None:
        with snapshot(log) as reads, reads.ahead():
            found = list(reads.batches(LEAVES, 0, at_once))
        assert max(map(len, found)) <= at_once
        rows = [row for batch in found for row in batch]
        assert [position for position, _ in rows] == list(range(1, 11))
        assert [leaf for _, leaf in rows] == log.reads.leaves(0, 10)
        assert all(type(leaf) is bytes for _, leaf in rows)

    def test_of_two_statements_may_be_read_side_by_side(self, log: Log) -> None:
        with snapshot(log) as reads, reads.ahead():
            one, other = reads.batches(LEAVES, 0, 2), reads.batches(SIZES, 0, 1)
            found = list(zip_longest(one, other))
            assert reads.leaf_at(1) == log.reads.leaf_at(1)
        assert [position for rows, _ in found for position, _ in rows or ()] == list(range(1, 11))
        assert [size for _, rows in found for (size,) in rows or ()] == [size for size, _ in log.reads.heads()]

    def test_may_be_left_before_their_end(self, log: Log) -> None:
        with snapshot(log) as reads, reads.ahead():
            batches = reads.batches(LEAVES, 0, 2)
            next(batches)
            del batches
            assert reads.leaf_at(1) is not None

    def test_say_what_is_wrong_with_the_database(self, log: Log) -> None:
        if log.statements.sqlite:
            pytest.skip("an SQLite file has no other end")
        with pytest.raises(Unavailable):
            read_while_the_server_ends_it(log)


def read_while_the_server_ends_it(log: Log) -> None:
    with snapshot(log) as reads, reads.ahead():
        batches = reads.batches(LEAVES, 0, 2)
        next(batches)
        other = store.engine(log.engine.url)
        with other.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        other.dispose()
        list(batches)
