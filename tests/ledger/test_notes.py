"""Signed notes are those of C2SP signed-note, and of Go's `sumdb/note`, from which they come."""

from base64 import b64decode
from collections.abc import Callable

import pytest

from ledger import notes
from ledger.notes import COSIGNATURE, Line, NoteIsWrong, Signer, Verifier

# The example of Go's package, `golang.org/x/mod/sumdb/note`.
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNED = "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
SEED = b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]

SIGNER = Signer(b"kirklees-calderdale-social-prime"[:32])


class TestSign:
    def test_makes_what_go_makes(self) -> None:
        assert notes.written(TEXT, [Signer(SEED).sign("PeterNeumann", TEXT)]) == f"{TEXT}\n{SIGNED}"
        assert Verifier("PeterNeumann", Signer(SEED).public).vkey == NEUMANN


class TestOpened:
    def test_what_go_makes(self) -> None:
        neumann = Verifier.read(NEUMANN)
        assert notes.opened(f"{TEXT}\n{SIGNED}", [neumann]) == (TEXT, [neumann])

    def test_ignores_who_is_not_known(self) -> None:
        note = notes.written(TEXT, [SIGNER.sign("auditors.test/one", TEXT), Line.read(SIGNED[:-1])])
        assert notes.opened(note, [Verifier.read(NEUMANN)])[1] == [Verifier.read(NEUMANN)]

    def test_keeps_empty_lines_of_the_text(self) -> None:
        text = "Ognuno sta solo\n\ned è subito sera.\n"
        assert notes.parsed(notes.written(text, [SIGNER.sign("quasimodo.example", text)]))[0] == text

    def test_takes_sixteen_signatures_and_not_any_number(self) -> None:
        line = SIGNER.sign("auditors.test/one", TEXT)
        known = [Verifier("auditors.test/one", SIGNER.public)]
        assert len(notes.opened(notes.written(TEXT, [line] * 16), known)[1]) == 16
        with pytest.raises(NoteIsWrong, match="more than 64"):
            notes.opened(notes.written(TEXT, [line] * 65), known)

    @pytest.mark.parametrize(
        "changed",
        [
            lambda note: note.replace("answer", "question"),
            lambda note: note.replace("x08go/ZJ", "x08go/ZK"),
            lambda note: note.replace("x08go", "y08go"),
            lambda note: note.replace("— Peter", "— Paul"),
            lambda note: note.replace("— Peter", "- Peter"),
            lambda note: note.replace("— Peter", "—  Peter"),
            lambda note: note.replace("\n\n", "\n"),
            lambda note: note.rstrip("\n"),
            lambda note: note.replace("you", "\tyou"),
            lambda note: note.replace("nAM=", "nA=="),
            lambda note: f"{note}\n",
            lambda note: note.partition("—")[0],
            lambda note: "\n\n" + note.partition("\n\n")[2],
        ],
    )
    def test_refuses_what_was_not_signed(self, changed: Callable[[str], str]) -> None:
        with pytest.raises(NoteIsWrong):
            notes.opened(changed(f"{TEXT}\n{SIGNED}"), [Verifier.read(NEUMANN)])


class TestCosign:
    def test_signs_time_and_text_as_the_specification_says(self) -> None:
        text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
        witness = Verifier("witness.example.com/w1", SIGNER.public, COSIGNATURE)
        line = SIGNER.cosign(witness.name, text, 1679315147)
        assert line.moment == 1679315147
        assert notes.opened(notes.written(text, [line]), [witness]) == (text, [witness])
        as_a_note = SIGNER.sign(witness.name, f"cosignature/v1\ntime 1679315147\n{text}")
        assert line.signature[8:] == as_a_note.signature
        assert Verifier.read(witness.vkey) == witness
        later = Line(line.name, line.id, (1679315148).to_bytes(8, "big") + line.signature[8:])
        with pytest.raises(NoteIsWrong, match="signature of witness"):
            notes.opened(notes.written(text, [later]), [witness])

    def test_the_specification_s_example_is_read(self) -> None:
        line = Line.read(
            "— witness.example.com/w1 "
            "jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA=="
        )
        assert (line.id.hex(), line.moment, len(line.signature)) == ("8d66cf3f", 1679315147, 72)


class TestVerifier:
    @pytest.mark.parametrize(
        "wrong",
        [
            "PeterNeumann",
            NEUMANN.replace("c74f20a3", "c74f20a4"),
            NEUMANN.replace("+ARpc", "+AhpC"),
            NEUMANN.replace("PeterNeumann", "Peter Neumann"),
            NEUMANN[:-4],
            "",
            "++",
        ],
    )
    def test_refuses_what_is_no_key(self, wrong: str) -> None:
        with pytest.raises(NoteIsWrong):
            Verifier.read(wrong)
