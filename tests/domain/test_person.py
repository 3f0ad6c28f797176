"""Persons act for one party; their names are not in the log."""

import pytest

from domain.aggregate import Actor, PersonId
from domain.party import NoSuchParty
from domain.party import register as register_party
from domain.person import AdministratorAppointed, PersonExists, PersonRegistered, person_stream, register
from tests.domain.given import MemoryFacts, commitment

ADMINISTRATOR = PersonId("administrator-jo")
ROSA = PersonId("p-0192")


def with_kirklees() -> MemoryFacts:
    facts = MemoryFacts()
    facts.play(lambda known: register_party(known, "GB-LAE-KIR", "Kirklees Council"), ADMINISTRATOR)
    return facts


class TestRegister:
    def test_keeps_the_name_in_the_vault(self) -> None:
        facts = with_kirklees()
        facts.play(lambda known: register(known, ROSA, "GB-LAE-KIR", "Rosa Mbeki"), ADMINISTRATOR)
        assert facts.happened("person/p-0192") == [
            PersonRegistered(person=ROSA, party="GB-LAE-KIR", name=commitment("Rosa Mbeki"))
        ]
        assert facts.reveal(facts[person_stream(ROSA)].name) == "Rosa Mbeki"

    def test_lets_the_person_act_for_the_party(self) -> None:
        facts = with_kirklees()
        facts.play(lambda known: register(known, ROSA, "GB-LAE-KIR", "Rosa Mbeki"), ADMINISTRATOR)
        assert facts[person_stream(ROSA)].actor == Actor(ROSA, "GB-LAE-KIR")

    def test_refuses_a_party_that_is_not_known(self) -> None:
        with pytest.raises(NoSuchParty):
            register(MemoryFacts(), ROSA, "GB-LAE-KIR", "Rosa Mbeki")

    def test_refuses_a_person_who_is_known(self) -> None:
        facts = with_kirklees()
        facts.play(lambda known: register(known, ROSA, "GB-LAE-KIR", "Rosa Mbeki"), ADMINISTRATOR)
        with pytest.raises(PersonExists):
            register(facts, ROSA, "GB-LAE-KIR", "Rosa Mbeki")


class TestAppointAlone:
    def test_is_for_the_first_person_once(self) -> None:
        facts = MemoryFacts()
        stream = person_stream(ADMINISTRATOR)
        first = PersonRegistered(person=ADMINISTRATOR, party="GB-GOR-PB188", name=commitment("Jo"), first=True)
        facts.record({stream: (first,)}, ADMINISTRATOR)
        assert facts[stream].may_appoint_alone
        facts.record({stream: (AdministratorAppointed(appointed=ROSA),)}, ADMINISTRATOR)
        assert not facts[stream].may_appoint_alone

    def test_is_for_nobody_else(self) -> None:
        facts = with_kirklees()
        facts.play(lambda known: register(known, ROSA, "GB-LAE-KIR", "Rosa Mbeki"), ADMINISTRATOR)
        assert not facts[person_stream(ROSA)].may_appoint_alone
