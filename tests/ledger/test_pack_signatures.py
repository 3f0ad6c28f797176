"""What is signed for audit packs is signed once, whoever asks when and with which key."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest

from ledger import notes
from ledger.ledger import Ledger
from ledger.log import PACK_SIGNATURE, Damaged
from ledger.notes import Signer, Verifier
from ledger.pack_signatures import PackSignature, first, subject_of
from tests.ledger.conftest import Opening

ORIGIN = "kirklees/0123456789abcdef"
SIGNERS = [Signer(bytes([number]) * 32) for number in range(4)]


def manifest(key: bytes) -> str:
    """A text that names who signed it."""
    return f"manifest\n{ORIGIN}\n0011  entries.txt\n{key.hex()}  keys.txt\n"


def numbered(number: int, key: bytes) -> str:
    """One of several such texts."""
    return f"{number}\n{manifest(key)}"


class TestFirst:
    def test_is_kept_as_it_was_signed(self, opening: Opening) -> None:
        one, two = opening(), opening()
        made = [first(ledger, ORIGIN, signer, manifest) for ledger, signer in zip((one, one, two), SIGNERS, strict=False)]
        assert set(made) == {made[0]}
        assert made[0].key == SIGNERS[0].public
        assert notes.opened(made[0].note, [Verifier(ORIGIN, made[0].key)])[0] == manifest(made[0].key)

    def test_is_one_where_several_sign_at_once(self, opening: Opening) -> None:
        ledgers, begin = [opening() for _ in SIGNERS], Barrier(len(SIGNERS))

        def sign(ledger: Ledger, signer: Signer) -> list[PackSignature]:
            begin.wait()
            return [first(ledger, ORIGIN, signer, partial(numbered, number)) for number in range(8)]

        with ThreadPoolExecutor(len(SIGNERS)) as at_once:
            made = list(at_once.map(sign, ledgers, SIGNERS))
        assert made == made[:1] * len(SIGNERS)

    def test_is_of_each_text_for_itself(self, opening: Opening) -> None:
        ledger = opening()
        made = [first(ledger, ORIGIN, SIGNERS[0], partial(numbered, number)) for number in (1, 2)]
        assert [each.note.splitlines()[0] for each in made] == ["1", "2"]

    @pytest.mark.parametrize("kept", [(1, "manifest"), (0, "nothing"), (0, "another")])
    def test_refuses_what_is_not_what_was_signed(self, opening: Opening, kept: tuple[int, str]) -> None:
        ledger, (signer, what) = opening(), kept
        text = manifest(SIGNERS[0].public)
        said = {"manifest": text, "another": f"another\n{ORIGIN}\n"}.get(what, "")
        note = notes.written(said, [SIGNERS[signer].sign(ORIGIN, said)]) if said else "nothing"
        ledger.log.keep("pack_signatures", PACK_SIGNATURE, [(subject_of(text), SIGNERS[0].public, note)])
        with pytest.raises(Damaged, match="not as it was signed" if what != "another" else "another text"):
            first(ledger, ORIGIN, SIGNERS[0], manifest)

    def test_stays_as_it_is_on_disk(self, opening: Opening) -> None:
        ledger = opening()
        first(ledger, ORIGIN, SIGNERS[0], manifest)
        for statement in ("UPDATE pack_signatures SET note = ''", "DELETE FROM pack_signatures"):
            with ledger.log.engine.connect() as connection, pytest.raises(Exception, match=r"never change|vanish"):
                connection.exec_driver_sql(statement)
