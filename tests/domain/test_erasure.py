"""What has to go is named, and all of it goes or nothing; what was counted stands (L5)."""

from functools import partial

import pytest
from pydantic import ValidationError

from domain.aggregate import Commitment, Token
from domain.claim import NoSuchClaim, answer, claim_stream, query, submit
from domain.closing import close, complete
from domain.erasure import (
    CannotBeErased,
    ErasedAlready,
    Erasing,
    ErasureRecorded,
    NoSuchErasure,
    NothingToErase,
    erase,
    erasures_stream,
    texts_of,
)
from domain.participant import Ground, ParticipantErased, participant_stream
from domain.verification import ParticipantLimitsBroken, Verification, verify
from tests.domain.given import MemoryFacts, commitment
from tests.domain.kirklees import AMINA, CLAIRE, REFERENCE, TODAY, VIKRAM, agreed, line, submission

NOTE, TITLE, QUESTION, ANSWER = "Met at the hostel.", "Tenancy of Elm Road", "Which road?", "Elm Road."


def claimed(facts: MemoryFacts, name: str = "2021-Q3", participant: str = "YP-0042", outcome: str = "HOME") -> Token:
    """A claim of a home for a participant, accepted."""
    evidence = [{"sha256": "ab" * 32, "title": f"{TITLE} {name}"}]
    lines = line(outcome, participant=participant, note=f"{NOTE} {name}", evidence=evidence)
    submitted = submission(lines, claim=name)
    facts.play(partial(submit, award=REFERENCE, submission=submitted, by=CLAIRE, today=TODAY), CLAIRE.person)
    return facts.pseudonym(REFERENCE, participant)


def verified(facts: MemoryFacts, name: str = "2021-Q3") -> None:
    said = Verification.model_validate({"others": "accepted"})
    facts.play(partial(verify, award=REFERENCE, claim=name, verification=said, by=VIKRAM, today=TODAY), VIKRAM.person)


def rejected(facts: MemoryFacts, name: str) -> None:
    said = Verification.model_validate({"lines": [{"line": 1, "rejected": "1", "reason": "not-evidenced"}]})
    facts.play(partial(verify, award=REFERENCE, claim=name, verification=said, by=VIKRAM, today=TODAY), VIKRAM.person)


def erased(facts: MemoryFacts, **named: object) -> None:
    erasing = Erasing.model_validate({"reason": "data-subject-request", **named})
    facts.play(partial(erase, award=REFERENCE, erasing=erasing), AMINA.person)


def text(said: str) -> str:
    return commitment(said)


class TestErase:
    def test_records_who_went_in_their_stream_and_what_in_the_awards(self) -> None:
        facts = agreed()
        token = claimed(facts)
        note = text(f"{NOTE} 2021-Q3")
        erased(facts, participants=["yp-0042"], texts=[note])
        assert facts.happened(participant_stream(REFERENCE, token).name)[-1] == ParticipantErased(
            reason=Ground.DATA_SUBJECT_REQUEST
        )
        (recorded,) = facts.happened(erasures_stream(REFERENCE).name)
        assert isinstance(recorded, ErasureRecorded)
        assert (recorded.erasure, recorded.participants, recorded.texts) == (1, (token,), (note,))
        assert facts.erased == {(REFERENCE, token)}
        assert facts.reveal(Commitment(note)) is None
        assert facts.reveal(commitment(f"{TITLE} 2021-Q3")) is not None

    def test_erases_every_text_of_a_claim_and_of_no_other(self) -> None:
        facts = agreed()
        claimed(facts)
        claimed(facts, "2021-Q4", "YP-0043")
        ask = partial(query, award=REFERENCE, claim="2021-Q3", question=QUESTION, lines=(1,), by=VIKRAM)
        facts.play(ask, VIKRAM.person)
        facts.play(partial(answer, award=REFERENCE, claim="2021-Q3", text=ANSWER, by=CLAIRE), CLAIRE.person)
        erased(facts, claims=["2021-q3"])
        (gone,) = facts[erasures_stream(REFERENCE)].recorded
        assert set(gone.texts) == {text(each) for each in (f"{NOTE} 2021-Q3", f"{TITLE} 2021-Q3", QUESTION, ANSWER)}
        assert {f"{NOTE} 2021-Q4", f"{TITLE} 2021-Q4"} <= set(facts.texts.values())
        assert QUESTION not in facts.texts.values()

    def test_numbers_erasures_and_leaves_out_of_a_claim_what_went_before(self) -> None:
        facts = agreed()
        claimed(facts)
        erased(facts, texts=[text(f"{NOTE} 2021-Q3")])
        erased(facts, claims=["2021-Q3"])
        first, second = facts[erasures_stream(REFERENCE)].recorded
        assert (first.number, second.number, second.texts) == (1, 2, (text(f"{TITLE} 2021-Q3"),))
        assert facts[erasures_stream(REFERENCE)].numbered(2) == second
        for number in (0, 3):
            with pytest.raises(NoSuchErasure):
                facts[erasures_stream(REFERENCE)].numbered(number)

    def test_takes_several_entries_for_many(self) -> None:
        facts = agreed()
        lines = [line(participant=f"YP-{at:04}", note=f"Note {at}") for at in range(401)]
        submitted = submission(*lines)
        facts.play(partial(submit, award=REFERENCE, submission=submitted, by=CLAIRE, today=TODAY), CLAIRE.person)
        erased(facts, claims=["2021-Q3"], participants=["YP-0007"])
        assert [
            len(each.texts) for each in facts.happened(erasures_stream(REFERENCE).name) if isinstance(each, ErasureRecorded)
        ] == [
            400,
            1,
        ]
        (whole,) = facts[erasures_stream(REFERENCE)].recorded
        assert (len(whole.texts), len(whole.participants)) == (401, 1)

    def test_refuses_to_erase_nothing(self) -> None:
        with pytest.raises(NothingToErase):
            erased(agreed())

    def test_refuses_whom_and_what_the_award_does_not_know_and_lists_them(self) -> None:
        facts = agreed()
        claimed(facts)
        with pytest.raises(CannotBeErased) as refused:
            erased(facts, participants=["YP-0042", "YP-9999"], tokens=["f" * 32])
        assert [fault.where for fault in refused.value.faults] == ["participants.1", "tokens.0"]
        assert "YP-9999" not in str(refused.value.faults)
        with pytest.raises(CannotBeErased):
            erased(facts, texts=["f" * 64])
        with pytest.raises(NoSuchClaim):
            erased(facts, claims=["2031-Q3"])
        assert facts.texts
        assert not facts.erased

    def test_refuses_what_another_award_or_no_award_keeps(self) -> None:
        facts = agreed()
        elsewhere, nowhere = facts.conceal("Seen.", "INDIGO-POJ-0181"), facts.conceal('["20-00-00"]')
        with pytest.raises(CannotBeErased) as refused:
            erased(facts, texts=[elsewhere, nowhere])
        whys = {fault.where: fault.what for fault in refused.value.faults}
        assert whys["texts.0"] == "is no text of this award"
        assert "payment run" in whys["texts.1"]

    def test_refuses_what_is_gone(self) -> None:
        facts = agreed()
        token = claimed(facts)
        erased(facts, participants=["YP-0042"], claims=["2021-Q3"])
        with pytest.raises(ErasedAlready) as refused:
            erased(facts, participants=["YP-0042"])
        assert [fault.where for fault in refused.value.faults] == ["participants.0"]
        with pytest.raises(ErasedAlready) as refused:
            erased(facts, texts=[text(f"{NOTE} 2021-Q3")], claims=["2021-Q3"])
        assert [fault.where for fault in refused.value.faults] == ["texts.0", "claims.0"]
        assert facts[participant_stream(REFERENCE, token)].erased

    def test_takes_no_reason_but_those_of_the_list(self) -> None:
        with pytest.raises(ValidationError):
            Erasing.model_validate({"reason": "because", "claims": ["2021-Q3"]})


class TestAnErasedParticipant:
    def test_still_counts_against_what_one_participant_may_have(self) -> None:
        facts = agreed()
        token = claimed(facts, outcome="JOB")
        verified(facts)
        erased(facts, participants=["YP-0042"])
        assert claimed(facts, "2021-Q4", outcome="JOB") == token
        with pytest.raises(ParticipantLimitsBroken):
            verified(facts, "2021-Q4")

    def test_still_has_what_another_outcome_needs(self) -> None:
        facts = agreed()
        claimed(facts)
        verified(facts)
        erased(facts, participants=["YP-0042"])
        claimed(facts, "2021-Q4", outcome="HOME-3")
        verified(facts, "2021-Q4")
        claimed(facts, "2022-Q1", "YP-0050", outcome="HOME-3")
        with pytest.raises(ParticipantLimitsBroken):
            verified(facts, "2022-Q1")

    def test_is_recognised_until_the_award_is_completed(self) -> None:
        facts = agreed()
        token = claimed(facts)
        claimed(facts, "2021-Q4", "YP-0043")
        for name in ("2021-Q3", "2021-Q4"):
            rejected(facts, name)
        erased(facts, participants=["YP-0042"])
        facts.play(partial(close, award=REFERENCE, today=TODAY), AMINA.person)
        assert facts.recognised(REFERENCE, "YP-0042") == token
        facts.play(partial(complete, award=REFERENCE, today=TODAY), AMINA.person)
        assert facts.recognised(REFERENCE, "YP-0042") is None
        assert facts.recognised(REFERENCE, "YP-0043") is not None
        erased(facts, participants=["YP-0043"])
        assert facts.recognised(REFERENCE, "YP-0043") is None


class TestTextsOf:
    def test_finds_them_wherever_they_stand(self) -> None:
        facts = agreed()
        claimed(facts)
        listed = facts.happened(claim_stream(REFERENCE, "2021-Q3").name)[1]
        assert dict(texts_of(listed)) == {
            "lines.1.evidence.0.title": text(f"{TITLE} 2021-Q3"),
            "lines.1.note": text(f"{NOTE} 2021-Q3"),
        }

    def test_finds_none_in_what_was_erased(self) -> None:
        said = ErasureRecorded.model_validate({"erasure": 1, "reason": "retention-ended", "texts": ["5c" * 32]})
        assert list(texts_of(said)) == []
