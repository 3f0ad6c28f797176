"""A log as it was at one moment, read in batches, on both databases."""

from functools import partial

import pytest

from ledger import store
from ledger.failures import Unavailable
from ledger.ledger import Ledger, Request
from ledger.log import Log
from ledger.snapshot import snapshot
from tests.ledger.pots import KIRKLEES, open_pots

LEAVES = "SELECT position, leaf FROM entries WHERE position > ? ORDER BY position LIMIT ?"
HEADS = "SELECT size FROM heads WHERE size > ? AND size <= ? ORDER BY size"


@pytest.fixture
def log(ledger: Ledger) -> Log:
    ledger.record_now(partial(open_pots, names=[f"2021-Q{number}" for number in range(10)]), Request(KIRKLEES))
    return ledger.log


class TestBatches:
    @pytest.mark.parametrize("at_once", [1, 3, 5, 100])
    def test_give_every_row_once_in_order(self, log: Log, at_once: int) -> None:
        with snapshot(log) as reads:
            found = list(reads.batches(LEAVES, 0, at_once, HEADS))
        assert max(len(batch) for batch, _ in found) <= at_once
        rows = [row for batch, _ in found for row in batch]
        assert [position for position, _ in rows] == list(range(1, 11))
        assert [leaf for _, leaf in rows] == log.reads.leaves(0, 10)
        assert all(type(leaf) is bytes for _, leaf in rows)

    @pytest.mark.parametrize("at_once", [1, 3, 100])
    def test_give_with_each_row_what_stands_beside_it_once(self, log: Log, at_once: int) -> None:
        with snapshot(log) as reads:
            found = list(reads.batches(LEAVES, 0, at_once, HEADS))
        assert [size for _, beside in found for (size,) in beside] == [size for size, _ in log.reads.heads()]
        assert all(rows[0][0] <= size <= rows[-1][0] for rows, beside in found for (size,) in beside)

    def test_may_be_left_before_their_end(self, log: Log) -> None:
        with snapshot(log) as reads:
            batches = reads.batches(LEAVES, 0, 2, HEADS)
            next(batches)
            del batches
            assert reads.leaf_at(1) is not None

    def test_say_what_is_wrong_with_the_database(self, log: Log) -> None:
        if log.statements.sqlite:
            pytest.skip("an SQLite file has no other end")
        with pytest.raises(Unavailable):
            read_while_the_server_ends_it(log)


def read_while_the_server_ends_it(log: Log) -> None:
    with snapshot(log) as reads:
        batches = reads.batches(LEAVES, 0, 2, HEADS)
        next(batches)
        other = store.engine(log.engine.url)
        with other.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
        other.dispose()
        list(batches)
