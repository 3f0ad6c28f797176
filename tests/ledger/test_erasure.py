"""What is erased is gone from the vault with the commit that says so, and the log stays as it was (L5)."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest
from sqlalchemy import make_url

from domain import claim, closing
from domain.aggregate import Commitment
from domain.award import award_stream
from domain.claim import ClaimLine, ClaimWithdrawn, claim_stream
from domain.erasure import ErasedAlready, Erasing, ErasureRecorded, erase, erasures_stream
from domain.money import NOTHING
from domain.participant import participant_stream
from domain.verification import LineDecision, ParticipantLimitsBroken
from ledger import schema, store
from ledger.entry import draft
from ledger.facts import Folder
from ledger.ledger import Ledger, Recorded, Request
from ledger.states import States
from projections.views import Views
from tests import postgres
from tests.domain.kirklees import AMINA, CLAIRE, REFERENCE, TODAY, line
from tests.projections.conftest import VAULT_KEY, Clock, Story

NOTE, TITLE, REASON = "Seen at the hostel on Elm Road", "Letter of the landlord", "The tenancy was never signed"
ONE = Request(AMINA, key="erase-yp-0042", fingerprint="as asked")


@pytest.fixture
def opened(database_url: str) -> Iterator[Callable[[], Ledger]]:
    ledgers: list[Ledger] = []

    def open_() -> Ledger:
        ledgers.append(Ledger.open(database_url, vault_key=VAULT_KEY, clock=Clock()))
        return ledgers[-1]

    yield open_
    for each in ledgers:
        each.close()


def claimed(ledger: Ledger, name: str = "2021-Q3", participant: str = "YP-0042", outcome: str = "JOB") -> ClaimLine:
    evidence = [{"sha256": "ab" * 32, "title": TITLE}]
    lines = line(outcome, participant=participant, note=NOTE, evidence=evidence)
    Story(ledger).submit(lines, name=name)
    return lines_of(ledger, name)


def lines_of(ledger: Ledger, name: str = "2021-Q3") -> ClaimLine:
    state, _ = ledger.load(claim_stream(REFERENCE, name))
    return state.lines[0].claimed


@pytest.fixture
def ledger(opened: Callable[[], Ledger]) -> Ledger:
    """An award in whose claim a job was accepted for a participant."""
    made = opened()
    told(made)
    return made


def told(ledger: Ledger) -> None:
    Story(ledger).register()
    claimed(ledger)
    Story(ledger).verify(others="accepted")


def erasing(**named: object) -> Erasing:
    return Erasing.model_validate({"reason": "data-subject-request", **named})


def erased(ledger: Ledger, request: Request = ONE, *, dry_run: bool = False, **named: object) -> Recorded:
    return ledger.record_now(partial(erase, award=REFERENCE, erasing=erasing(**named)), request, dry_run=dry_run)


def digest(ledger: Ledger, upto: int) -> str:
    rows = ledger.log.reads.rows(0, 10_000, upto=upto)
    return sha256(b"".join(row.header + row.state + row.leaf for row in rows)).hexdigest()


def vault(ledger: Ledger) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    with ledger.log.engine.connect() as connection:
        return tuple(  # type: ignore[return-value]
            [tuple(row) for row in connection.exec_driver_sql(f"SELECT * FROM {table} ORDER BY 1, 2")]
            for table in ("texts", "participants")
        )


class TestErasing:
    def test_takes_reference_and_texts_and_leaves_the_log_byte_for_byte(self, ledger: Ledger) -> None:
        said, head = lines_of(ledger), ledger.head()
        assert said.participant is not None
        assert said.note is not None
        before, heads = digest(ledger, head.size), ledger.log.reads.heads()
        assert ledger.references(REFERENCE, [said.participant]) == {said.participant: "YP-0042"}
        done = erased(ledger, participants=["yp-0042"], claims=["2021-Q3"])
        assert ledger.references(REFERENCE, [said.participant]) == {}
        assert ledger.reveal([said.note, said.evidence[0].title]) == {}
        assert digest(ledger, head.size) == before
        assert ledger.log.reads.heads()[: len(heads)] == heads
        assert {entry.type for entry in done.entries} == {"erasure.recorded", "participant.erased"}
        assert ledger.head().size == head.size + 2

    def test_leaves_neither_seal_nor_salt_of_a_text_and_the_mark_of_a_participant(self, ledger: Ledger) -> None:
        erased(ledger, participants=["YP-0042"], claims=["2021-Q3"])
        texts, participants = vault(ledger)
        assert {(bytes(row[2]), row[3]) for row in texts} == {(b"", None)}  # type: ignore[call-overload]
        assert [(len(str(row[2])), row[3]) for row in participants] == [(64, None)]

    def test_takes_no_more_than_was_named(self, ledger: Ledger) -> None:
        other = claimed(ledger, "2021-Q4", "YP-0043")
        said = lines_of(ledger)
        assert other.participant is not None
        assert other.note is not None
        assert said.note is not None
        erased(ledger, participants=["YP-0042"], texts=[said.note])
        assert ledger.references(REFERENCE, [other.participant]) == {other.participant: "YP-0043"}
        assert ledger.reveal([said.note, said.evidence[0].title, other.note]) == {said.evidence[0].title: TITLE, other.note: NOTE}

    def test_leaves_every_balance_as_it_was(self, ledger: Ledger, database_url: str) -> None:
        with Views.open(database_url, ledger) as views:
            views.catch_up()
            before = views.balances.of(REFERENCE)
            erased(ledger, participants=["YP-0042"], claims=["2021-Q3"])
            assert views.catch_up() == ledger.head().size
            assert replace(views.balances.of(REFERENCE), position=before.position) == before

    def test_as_a_dry_run_takes_nothing(self, ledger: Ledger) -> None:
        before, size = vault(ledger), ledger.head().size
        dry = erased(ledger, dry_run=True, participants=["YP-0042"], claims=["2021-Q3"])
        assert {entry.type for entry in dry.entries} == {"erasure.recorded", "participant.erased"}
        assert (vault(ledger), ledger.head().size) == (before, size)
        erased(ledger, participants=["YP-0042"], claims=["2021-Q3"])

    def test_repeated_is_answered_as_before_and_asked_anew_refused(self, ledger: Ledger) -> None:
        first = erased(ledger, participants=["YP-0042"], claims=["2021-Q3"])
        again = erased(ledger, participants=["YP-0042"], claims=["2021-Q3"])
        assert again.repeated
        assert (again.first, again.last) == (first.first, first.last)
        with pytest.raises(ErasedAlready):
            erased(ledger, Request(AMINA), participants=["YP-0042"])
        with pytest.raises(ErasedAlready):
            erased(ledger, Request(AMINA), claims=["2021-Q3"])

    def test_refused_takes_nothing(self, ledger: Ledger) -> None:
        before = vault(ledger)
        with pytest.raises(Exception, match="not there"):
            erased(ledger, participants=["YP-0042", "YP-9999"])
        assert vault(ledger) == before

    def test_fails_whole_if_its_entries_cannot_be_written(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        before, size = vault(ledger), ledger.head().size

        def fail(*_: object) -> None:
            raise OSError("the disk is full")

        monkeypatch.setattr("ledger.merkle.root_of", fail)
        with pytest.raises(OSError, match="full"):
            erased(ledger, participants=["YP-0042"])
        monkeypatch.undo()
        assert (vault(ledger), ledger.head().size) == (before, size)

    def test_sees_what_was_written_while_it_was_decided(self, ledger: Ledger) -> None:
        """A claim is withdrawn meanwhile: the words of that go too."""
        claimed(ledger, "2021-Q4", "YP-0043")
        asked: list[int] = []

        def erase_after_the_withdrawal(facts: object) -> object:
            decision = erase(facts, REFERENCE, erasing(claims=["2021-Q4"]))  # type: ignore[arg-type]
            if not asked:
                asked.append(1)
                Story(ledger).tell(CLAIRE, partial(claim.withdraw, award=REFERENCE, claim="2021-Q4", reason=REASON, by=CLAIRE))
            return decision

        done = ledger.record_now(erase_after_the_withdrawal, ONE)  # type: ignore[arg-type]
        (gone,) = (entry.event for entry in done.entries if isinstance(entry.event, ErasureRecorded))
        assert len(gone.texts) == 3

    def test_sees_what_its_batch_has_not_written_yet(self, ledger: Ledger) -> None:
        stream = claim_stream(REFERENCE, "2021-Q3")
        version = ledger.load(stream)[1]
        withdrawn = ClaimWithdrawn(value=NOTHING, reason=Commitment("ab" * 32))
        with suppress(InterruptedError), ledger.log.turn() as turn:
            turn.place([draft(stream.name, version + 1, withdrawn, AMINA.person)])
            happened = list(Folder(turn, ledger.registry, States(0), turn.placed).events(stream))
            raise InterruptedError
        assert [event.type for event in happened][-2:] == ["claim.lines-assessed", "claim.withdrawn"]
        assert ledger.load(stream)[1] == version


class TestRecognised:
    def test_is_the_erased_participant_who_is_still_limited(self, ledger: Ledger) -> None:
        token = lines_of(ledger).participant
        erased(ledger, participants=["YP-0042"])
        assert claimed(ledger, "2021-Q4", "yp-0042").participant == token
        assert token is not None
        assert ledger.references(REFERENCE, [token]) == {}
        with pytest.raises(ParticipantLimitsBroken):
            Story(ledger).verify(others="accepted", name="2021-Q4")
        Story(ledger).verify(LineDecision.model_validate({"line": 1, "rejected": "1", "reason": "duplicate"}), name="2021-Q4")

    def test_is_the_prerequisite_of_an_erased_participant(self, ledger: Ledger) -> None:
        claimed(ledger, "2021-Q4", outcome="HOME")
        Story(ledger).verify(others="accepted", name="2021-Q4")
        erased(ledger, participants=["YP-0042"])
        claimed(ledger, "2022-Q1", outcome="HOME-3")
        Story(ledger).verify(others="accepted", name="2022-Q1")

    def test_by_its_token_alone_can_be_erased(self, ledger: Ledger) -> None:
        token = lines_of(ledger).participant
        assert token is not None
        erased(ledger, tokens=[token])
        state, _ = ledger.load(participant_stream(REFERENCE, token))
        assert state.erased

    def test_is_nobody_any_more_once_the_award_is_completed(self, opened: Callable[[], Ledger]) -> None:
        ledger = opened()
        Story(ledger).register()
        for name, reference in (("2021-Q3", "YP-0042"), ("2021-Q4", "YP-0043")):
            claimed(ledger, name, reference)
            said = LineDecision.model_validate({"line": 1, "rejected": "1", "reason": "duplicate"})
            Story(ledger).verify(said, name=name)
        erased(ledger, participants=["YP-0042"])
        ledger.record_now(partial(closing.close, award=REFERENCE, today=TODAY), Request(AMINA))
        assert len(vault(ledger)[1]) == 2
        ledger.record_now(partial(closing.complete, award=REFERENCE, today=TODAY), Request(AMINA), dry_run=True)
        assert len(vault(ledger)[1]) == 2
        ledger.record_now(partial(closing.complete, award=REFERENCE, today=TODAY), Request(AMINA))
        ((_, token, _, sealed),) = vault(ledger)[1]
        assert (token, sealed is None) == (lines_of(ledger, "2021-Q4").participant, False)
        erased(ledger, Request(AMINA), participants=["YP-0043"])
        assert vault(ledger)[1] == []
        with pytest.raises(ErasedAlready):
            erased(ledger, Request(AMINA), tokens=[str(token)])
        assert len(ledger.load(erasures_stream(REFERENCE))[0].recorded) == 2
        assert ledger.load(award_stream(REFERENCE))[0].status == "completed"


def test_what_is_erased_is_not_left_in_sqlites_files(sqlite_url: str, tmp_path: Path) -> None:
    """Neither in free space of the file nor in its write-ahead log."""
    with Ledger.open(sqlite_url, vault_key=VAULT_KEY, clock=Clock()) as ledger:
        told(ledger)
        texts, participants = vault(ledger)
        sealed = [bytes(row[3]) for row in (*texts, *participants)]  # type: ignore[call-overload]
        assert len(sealed) == 3
        assert all(each in stored(tmp_path) for each in sealed)
        erased(ledger, participants=["YP-0042"], claims=["2021-Q3"])
        assert not any(each in stored(tmp_path) for each in sealed)


def stored(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())


def test_postgresqls_service_role_may_erase(postgres_server: postgres.Server, postgres_url: str) -> None:
    name, role = str(make_url(postgres_url).database), "ledger_eraser"
    with postgres_server.connect() as connection:
        connection.execute(f"DROP ROLE IF EXISTS {role}".encode())
        connection.execute(f"CREATE ROLE {role} LOGIN".encode())
    owner = store.engine(postgres_url)
    schema.migrate(owner, grant_to=role)
    with Ledger.open(postgres_server.url(name, role), vault_key=VAULT_KEY, clock=Clock()) as ledger:
        told(ledger)
        erased(ledger, participants=["YP-0042"], claims=["2021-Q3"])
        assert {row[3] for rows in vault(ledger) for row in rows} == {None}
        with ledger.log.turn() as turn:
            turn.erased.marks.append(REFERENCE)
        assert vault(ledger)[1] == []
    with owner.connect() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {role}")
        connection.exec_driver_sql(f"DROP ROLE {role}")
    owner.dispose()
