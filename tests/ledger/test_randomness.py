"""Random bytes are given out once, whoever asks for them."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from ledger import randomness
from ledger.randomness import random_bytes


class TestRandomBytes:
    def test_are_as_many_as_were_asked_for(self) -> None:
        assert [len(random_bytes(many)) for many in (0, 1, 12, 16, 4_096, 10_000, 16)] == [0, 1, 12, 16, 4_096, 10_000, 16]

    def test_are_never_given_out_twice(self) -> None:
        with ThreadPoolExecutor(4) as threads:
            given = [salt for some in threads.map(lambda _: [random_bytes(16) for _ in range(1_000)], range(8)) for salt in some]
        assert len(set(given)) == len(given)

    def test_are_those_of_the_system_in_their_order(self, monkeypatch: pytest.MonkeyPatch) -> None:
        fetched = bytes(range(256)) * 16
        monkeypatch.setattr(randomness, "_blocks", randomness._Blocks())
        monkeypatch.setattr(os, "urandom", lambda many: fetched[:many])
        assert b"".join(random_bytes(16) for _ in range(256)) == fetched

    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system forks no processes")
    def test_are_others_in_a_process_that_was_forked(self) -> None:
        random_bytes(1)
        hears, tells = os.pipe()
        child = os.fork()
        if child == 0:
            os.write(tells, random_bytes(64))
            os._exit(0)
        os.waitpid(child, 0)
        theirs, ours = os.read(hears, 64), random_bytes(64)
        os.close(hears)
        os.close(tells)
        assert len(theirs) == 64
        assert not _shared(theirs, ours)


def _shared(one: bytes, other: bytes) -> set[bytes]:
    return {one[start:end] for start, end in pairwise(range(0, 65, 8))} & {
        other[start:end] for start, end in pairwise(range(0, 65, 8))
    }
