"""The tree is RFC 6962's."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st

from ledger import merkle

# The test vectors of the certificate transparency project: leaves, and the roots over the first so many.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in ("", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f")
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def by_the_book(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\1" + by_the_book(leaves[:k]) + by_the_book(leaves[k:])).digest()


def test_the_published_roots() -> None:
    hashed = [sha256(b"\0" + leaf).digest() for leaf in LEAVES]
    assert [merkle.root(hashed[: size + 1]).hex() for size in range(len(LEAVES))] == ROOTS


@given(st.integers(0, 200))
def test_is_the_book_s(size: int) -> None:
    leaves = [sha256(bytes([number])).digest() for number in range(size)]
    assert merkle.root(leaves) == by_the_book(leaves)


@given(st.integers(0, 100), st.integers(0, 100))
def test_grows_on_from_what_was_stored(size: int, more: int) -> None:
    leaves = [sha256(bytes([number])).digest() for number in range(size + more)]
    frontier: list[bytes] = []
    for number, leaf in enumerate(leaves):
        if number == size:
            frontier = merkle.unpacked(merkle.packed(frontier))
        merkle.grow(frontier, number, leaf)
    assert merkle.root_of(frontier) == by_the_book(leaves)


@given(st.integers(0, 100), st.integers(0, 100), st.data())
def test_has_every_frontier_on_the_way_when_many_leaves_are_added_at_once(size: int, more: int, chosen: st.DataObject) -> None:
    leaves = [sha256(bytes([number])).digest() for number in range(size + more)]
    frontier: list[bytes] = []
    for number, leaf in enumerate(leaves[:size]):
        merkle.grow(frontier, number, leaf)
    layers = merkle.layers(frontier, size, leaves[size:])
    end = chosen.draw(st.integers(size, size + more))
    for number, leaf in enumerate(leaves[size:end], size):
        merkle.grow(frontier, number, leaf)
    assert merkle.frontier_at(layers, end) == frontier
