"""Proofs are those of RFC 6962, as others make and check them, and as the book says."""

import json
from base64 import b64decode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle, proofs
from ledger.proofs import ProofIsWrong, verify_consistency, verify_inclusion

VECTORS = 98
"""So many of each kind are in the test data of transparency-dev/merkle."""
LEAVES = [sha256(b"\0" + str(number).encode()).digest() for number in range(300)]


# By the book: RFC 6962, 2.1, 2.1.1 and 2.1.2, word for word -----------------------------------------------------------


def mth(leaves: list[bytes]) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = largest_power_of_two_less_than(len(leaves))
    return sha256(b"\1" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    if len(leaves) == 1:
        return []
    k = largest_power_of_two_less_than(len(leaves))
    return [*path(m, leaves[:k]), mth(leaves[k:])] if m < k else [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], *, b: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if b else [mth(leaves)]
    k = largest_power_of_two_less_than(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], b=b), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], b=False), mth(leaves[:k])]


def largest_power_of_two_less_than(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def root(start: int, end: int) -> bytes:
    return mth(LEAVES[start:end])


sizes = st.integers(1, len(LEAVES))


@st.composite
def places(draw: st.DrawFn) -> tuple[int, int]:
    size = draw(sizes)
    return draw(st.integers(0, size - 1)), size


@st.composite
def growths(draw: st.DrawFn) -> tuple[int, int]:
    second = draw(sizes)
    return draw(st.integers(1, second)), second


def forged(hashes: list[bytes], draw: Any) -> list[bytes]:
    """The same proof but for one thing."""
    which = draw(st.integers(0, 3)) if hashes else 1
    at = draw(st.integers(0, max(len(hashes) - 1, 0)))
    match which:
        case 0:
            return [*hashes[:at], *hashes[at + 1 :]]
        case 1:
            return [*hashes[:at], sha256(b"forged").digest(), *hashes[at:]]
        case 2:
            return [*hashes[:at], bytes([hashes[at][0] ^ 1]) + hashes[at][1:], *hashes[at + 1 :]]
        case _:
            return [*hashes[:at], hashes[at][:-1], *hashes[at + 1 :]]


class TestInclusion:
    @given(places())
    def test_is_the_book_s(self, place: tuple[int, int]) -> None:
        index, size = place
        proof = proofs.inclusion(root, index, size)
        assert proof == path(index, LEAVES[:size])
        verify_inclusion(LEAVES[index], index, size, proof, root(0, size))

    @given(places(), st.data())
    def test_proves_nothing_else(self, place: tuple[int, int], data: st.DataObject) -> None:
        index, size = place
        proof = proofs.inclusion(root, index, size)
        right: list[Any] = [LEAVES[index], index, size, proof, root(0, size)]
        wrong = data.draw(st.sampled_from(["leaf", "index", "proof", "root"]))
        if wrong == "leaf":
            right[0] = sha256(b"another").digest()
        elif wrong == "index":
            right[1] = data.draw(st.integers(-2, size + 2).filter(lambda other: other != index))
        elif wrong == "proof":
            right[3] = forged(proof, data.draw)
        else:
            right[4] = sha256(b"another").digest()
        with pytest.raises(ProofIsWrong):
            verify_inclusion(*right)

    def test_of_a_leaf_that_is_not_there_is_not_made(self) -> None:
        with pytest.raises(ValueError, match="a tree of 3 leaves has none at 3"):
            proofs.inclusion(root, 3, 3)


class TestConsistency:
    @given(growths())
    def test_is_the_book_s(self, growth: tuple[int, int]) -> None:
        first, second = growth
        proof = proofs.consistency(root, first, second)
        assert proof == subproof(first, LEAVES[:second], b=True)
        verify_consistency(first, second, root(0, first), root(0, second), proof)

    @given(growths(), st.data())
    def test_proves_nothing_else(self, growth: tuple[int, int], data: st.DataObject) -> None:
        first, second = growth
        right: list[Any] = [first, second, root(0, first), root(0, second), proofs.consistency(root, first, second)]
        wrong = data.draw(st.sampled_from(["first root", "second root", "proof"]))
        if wrong == "proof":
            right[4] = forged(right[4], data.draw)
        else:
            right[2 if wrong == "first root" else 3] = sha256(b"another").digest()
        with pytest.raises(ProofIsWrong):
            verify_consistency(*right)

    def test_of_an_empty_tree_there_is_none(self) -> None:
        with pytest.raises(ValueError, match="goes on from one of 0"):
            proofs.consistency(root, 0, 3)
        for second in (0, 3):
            with pytest.raises(ProofIsWrong, match="goes on from one of 0"):
                verify_consistency(0, second, merkle.EMPTY_ROOT, root(0, second), [])


class TestPublishedVectors:
    """Those of transparency-dev/merkle, which also has every empty tree refused."""

    def test_every_inclusion(self, merkle_vectors: Path) -> None:
        checked = 0
        for name, vector in told(merkle_vectors / "inclusion"):
            given_ = decoded(vector["proof"])
            held = holds(
                verify_inclusion,
                b64decode(vector["leafHash"]),
                vector["leafIdx"],
                vector["treeSize"],
                given_,
                b64decode(vector["root"]),
            )
            assert held != vector["wantErr"], name
            checked += 1
        assert checked == VECTORS

    def test_every_consistency(self, merkle_vectors: Path) -> None:
        checked = 0
        for name, vector in told(merkle_vectors / "consistency"):
            given_ = decoded(vector["proof"])
            roots = (b64decode(vector["root1"]), b64decode(vector["root2"]))
            held = holds(verify_consistency, vector["size1"], vector["size2"], *roots, given_)
            assert held != vector["wantErr"], name
            checked += 1
        assert checked == VECTORS


def told(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for file in sorted(folder.rglob("*.json")):
        yield str(file.relative_to(folder)), json.loads(file.read_bytes())


def decoded(proof: list[str] | None) -> list[bytes]:
    return [b64decode(each) for each in proof or ()]


def holds(verify: Any, *told_: Any) -> bool:
    try:
        verify(*told_)
    except ProofIsWrong:
        return False
    return True


def rebuilt(some: dict[int, bytes], beside: Iterator[bytes], m: int, n: int) -> bytes:
    """The root of a tree of which some leaves are known, and of every subtree without any of them its root."""
    if not some.keys() & set(range(m, n)):
        return next(beside)
    if n - m == 1:
        return some[m]
    k = largest_power_of_two_less_than(n - m)
    return sha256(b"\1" + rebuilt(some, beside, m, m + k) + rebuilt(some, beside, m + k, n)).digest()


class TestInclusions:
    @given(st.data())
    def test_lead_from_any_leaves_to_the_root(self, data: st.DataObject) -> None:
        size = data.draw(st.integers(1, 80))
        indexes = sorted(data.draw(st.sets(st.integers(0, size - 1), min_size=1)))
        leaves = LEAVES[:size]
        proof = proofs.inclusions(lambda start, end: mth(leaves[start:end]), indexes, size)
        beside = iter(proof)
        assert rebuilt({index: leaves[index] for index in indexes}, beside, 0, size) == mth(leaves)
        assert next(beside, None) is None
        assert len(proof) <= sum(len(path(index, leaves)) for index in indexes)

    @pytest.mark.parametrize(("indexes", "size"), [([], 3), ([3], 3), ([-1, 2], 3), ([0], 0)])
    def test_refuse_leaves_that_there_are_not(self, indexes: list[int], size: int) -> None:
        with pytest.raises(ValueError, match="has none at"):
            proofs.inclusions(lambda *_: b"", indexes, size)
