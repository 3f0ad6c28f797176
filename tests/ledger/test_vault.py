"""What may have to go is beside the log, never in it (L5)."""

import asyncio
import hmac
from collections.abc import Iterable
from functools import partial
from hashlib import sha256
from pathlib import Path

import pytest

from domain.aggregate import Commitment, Decision, Facts, Token
from domain.money import Money
from ledger.ledger import Ledger, Request
from ledger.log import Reads
from ledger.vault import Seals, Unsealed, WrongVaultKey, _derived, commitment_of
from tests.ledger.conftest import VAULT_KEY, Opening
from tests.ledger.pots import KIRKLEES, PotOpened, open_pot, pot
from tests.ledger.test_writer import _held as held

ASKED = Request(KIRKLEES)
AWARD = "INDIGO-POJ-0175"


def name_somebody(facts: Facts, reference: str, name: str = "2021-Q3") -> Decision:
    token = facts.pseudonym(AWARD, reference)
    note = facts.conceal(f"saw {reference} at the hostel", AWARD)
    assert facts.reveal(note) == f"saw {reference} at the hostel"
    return {pot(name): (PotOpened(amount=Money(0), holder=token, note=note),)}


def opened(ledger: Ledger, position: int) -> PotOpened:
    event = ledger.entries(after=position - 1, limit=1)[0].event
    assert isinstance(event, PotOpened)
    return event


class TestTexts:
    async def test_are_revealed_by_their_commitment(self, ledger: Ledger) -> None:
        await ledger.record(partial(name_somebody, reference="YP-0042"), ASKED)
        note = Commitment(str(opened(ledger, 1).note))
        assert ledger.reveal([note, Commitment("f" * 64)]) == {note: "saw YP-0042 at the hostel"}

    async def test_are_revealed_to_a_command_of_the_same_commit(self, ledger: Ledger) -> None:
        def tell(facts: Facts) -> Decision:
            told = "nothing"
            if facts.get(pot("2021-Q3")):
                (met,) = facts.events(pot("2021-Q3"))
                assert isinstance(met, PotOpened)
                told = str(facts.reveal(Commitment(str(met.note))))
            return {pot("2021-Q4"): (PotOpened(amount=Money(0), note=facts.conceal(f"told: {told}")),)}

        with held(ledger) as go:
            asked = []
            for command in (partial(open_pot, name="first"), partial(name_somebody, reference="YP-0042"), tell):
                asked.append(asyncio.create_task(ledger.record(command, ASKED)))
                await asyncio.sleep(0.2)  # They queue in this order.
            go()
        await asyncio.gather(*asked)
        note = Commitment(str(opened(ledger, 3).note))
        assert ledger.reveal([note]) == {note: "told: saw YP-0042 at the hostel"}
        assert [size for size, _ in ledger.log.reads.heads()] == [1, 3]

    async def test_the_commitment_is_the_hash_of_salt_and_text(self, ledger: Ledger) -> None:
        await ledger.record(partial(name_somebody, reference="YP-0042"), ASKED)
        (kept,) = ledger.log.reads.texts([str(opened(ledger, 1).note)])
        assert commitment_of(kept.salt, "saw YP-0042 at the hostel") == kept.commitment

    async def test_a_text_that_was_tampered_with_is_told(self, ledger: Ledger) -> None:
        await ledger.record(partial(name_somebody, reference="YP-0042"), ASKED)
        with ledger.log.engine.connect() as connection:
            connection.exec_driver_sql("UPDATE texts SET sealed = salt")
        with pytest.raises(Unsealed):
            ledger.reveal([Commitment(str(opened(ledger, 1).note))])

    async def test_a_text_that_was_erased_is_gone(self, ledger: Ledger) -> None:
        await ledger.record(partial(name_somebody, reference="YP-0042"), ASKED)
        with ledger.log.engine.connect() as connection:
            connection.exec_driver_sql("UPDATE texts SET sealed = NULL")
        assert ledger.reveal([Commitment(str(opened(ledger, 1).note))]) == {}

    async def test_a_dry_run_keeps_none(self, ledger: Ledger) -> None:
        dry = await ledger.record(partial(name_somebody, reference="YP-0042"), ASKED, dry_run=True)
        event = dry.entries[0].event
        assert isinstance(event, PotOpened)
        assert ledger.reveal([Commitment(str(event.note))]) == {}
        assert ledger.references(AWARD, [Token(str(event.holder))]) == {}


class TestParticipants:
    async def test_are_recognised_without_regard_to_case(self, ledger: Ledger) -> None:
        await ledger.record(partial(name_somebody, reference="yp-0042", name="Q1"), ASKED)
        await ledger.record(partial(name_somebody, reference="YP-0042", name="Q2"), ASKED)
        assert opened(ledger, 1).holder == opened(ledger, 2).holder
        assert ledger.references(AWARD, [Token(str(opened(ledger, 1).holder))]) == {opened(ledger, 1).holder: "yp-0042"}

    async def test_of_two_awards_are_two(self, ledger: Ledger) -> None:
        def name_in_both(facts: Facts) -> Decision:
            assert facts.pseudonym("INDIGO-POJ-0175", "YP-0042") != facts.pseudonym("INDIGO-POJ-0181", "YP-0042")
            return {}

        await ledger.record(name_in_both, ASKED)

    async def test_named_by_sixteen_at_once_is_one(self, ledger: Ledger) -> None:
        await asyncio.gather(
            *(ledger.record(partial(name_somebody, reference="YP-0042", name=f"Q{number}"), ASKED) for number in range(16))
        )
        assert len({opened(ledger, position).holder for position in range(1, 17)}) == 1

    async def test_named_in_two_processes_is_one(self, opening: Opening) -> None:
        one, other = opening(), opening()
        met = False

        def name_after_the_other(facts: Facts) -> Decision:
            nonlocal met
            decision = name_somebody(facts, "YP-0042", "Q2")
            if not met:
                met = True
                other.record_now(partial(name_somebody, reference="yp-0042", name="Q1"), ASKED)
            return decision

        await one.record(name_after_the_other, ASKED)
        assert opened(one, 1).holder == opened(one, 2).holder

    async def test_thousands_are_recognised(self, ledger: Ledger) -> None:
        def name_all(facts: Facts) -> Decision:
            tokens.append([facts.pseudonym(AWARD, f"YP-{number}") for number in range(2_000)])
            return {pot(f"Q{len(tokens)}"): (PotOpened(amount=Money(0)),)}

        tokens: list[list[Token]] = []
        await ledger.record(name_all, ASKED)
        await ledger.record(name_all, ASKED)
        assert tokens[0] == tokens[-1]
        assert len(set(tokens[0])) == 2_000

    async def test_many_that_are_expected_are_looked_up_at_once(self, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
        """Those of before, spelt otherwise, those of this decision, and nobody of another award; one at a time or together."""
        await ledger.record(partial(name_somebody, reference="YP-0007", name="Q1"), ASKED)
        asked: list[int] = []
        recognised = Reads.recognised

        def count(self: Reads, marks: Iterable[str]) -> dict[str, str]:
            asked.append(len(wanted := list(marks)))
            return recognised(self, wanted)

        monkeypatch.setattr(Reads, "recognised", count)
        tokens: list[Token] = []

        def name_all(facts: Facts) -> Decision:
            references = [f"yp-{number:04}" for number in range(1_000)]
            facts.expect_participants(AWARD, references)
            tokens[:] = [facts.pseudonym(AWARD, reference.upper()) for reference in references]
            assert [facts.pseudonym(AWARD, reference) for reference in references] == tokens
            assert facts.pseudonym("INDIGO-POJ-0168", "YP-0007") not in tokens
            return {pot("Q2"): (PotOpened(amount=Money(0)),)}

        await ledger.record(name_all, ASKED)
        assert asked == [1_000, 1]
        assert len(set(tokens)) == 1_000
        assert tokens[7] == opened(ledger, 1).holder
        assert ledger.references(AWARD, [tokens[8]]) == {tokens[8]: "YP-0008"}

    async def test_whoever_was_met_meanwhile_is_recognised_though_expected_as_new(self, opening: Opening) -> None:
        one, other = opening(), opening()
        met = False

        def expect(facts: Facts) -> Decision:
            nonlocal met
            facts.expect_participants(AWARD, ["YP-0042", "YP-0043"])
            holder = facts.pseudonym(AWARD, "YP-0042")
            if not met:
                met = True
                other.record_now(partial(name_somebody, reference="yp-0042", name="Q1"), ASKED)
            return {pot("Q2"): (PotOpened(amount=Money(0), holder=holder),)}

        await one.record(expect, ASKED)
        assert opened(one, 1).holder == opened(one, 2).holder

    async def test_erased_is_still_recognised(self, ledger: Ledger) -> None:
        await ledger.record(partial(name_somebody, reference="YP-0042", name="Q1"), ASKED)
        with ledger.log.engine.connect() as connection:
            connection.exec_driver_sql("UPDATE participants SET sealed = NULL")
        token = Token(str(opened(ledger, 1).holder))

        def recognise(facts: Facts) -> Decision:
            assert facts.pseudonym(AWARD, "YP-0042") == token
            return {}

        await ledger.record(recognise, ASKED)
        assert ledger.references(AWARD, [token]) == {}


class TestKey:
    def test_another_key_is_refused(self, opening: Opening) -> None:
        opening()
        with pytest.raises(WrongVaultKey):
            opening(vault_key=VAULT_KEY[::-1])

    def test_a_short_key_is_refused(self) -> None:
        with pytest.raises(ValueError, match="32 bytes"):
            Seals(b"short")

    def test_marks_and_fingerprints_are_those_of_rfc_2104(self) -> None:
        """Their code is begun once and copied; vaults hold marks that were made in one go."""
        seals = Seals(VAULT_KEY)
        for message in (b"", b"INDIGO-POJ-0175", b"YP-0042" * 1_000):
            for purpose, mac in ((b"marks", seals._marks), (b"requests", seals._requests), (b"sign-ins", seals._sign_ins)):
                assert mac.of(message) == hmac.digest(_derived(VAULT_KEY, purpose), message, sha256)

    def test_marks_say_nothing_without_the_key(self) -> None:
        assert Seals(b"a" * 32).mark(AWARD, "YP-0042") != Seals(b"b" * 32).mark(AWARD, "YP-0042")


def test_nothing_of_it_can_be_found_in_the_log_s_bytes(sqlite_url: str, tmp_path: Path) -> None:
    from tests.ledger.pots import POTS, nothing_to_balance

    with Ledger.open(sqlite_url, vault_key=VAULT_KEY, registry=POTS, balance_check=nothing_to_balance) as ledger:
        ledger.record_now(partial(name_somebody, reference="YP-0042"), ASKED)
        stored = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"pot.opened" in stored
    assert b"yp-0042" not in stored.lower()
    assert b"hostel" not in stored
