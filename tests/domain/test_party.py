"""Organisations are known by their org-id, once."""

import pytest

from domain.aggregate import PersonId
from domain.party import NoSuchParty, PartyExists, PartyRegistered, party_stream, register
from tests.domain.given import MemoryFacts

ADMINISTRATOR = PersonId("administrator-jo")


class TestRegister:
    def test_makes_an_organisation_known(self) -> None:
        facts = MemoryFacts()
        facts.play(lambda known: register(known, "GB-LAE-KIR", "Kirklees Council"), ADMINISTRATOR)
        assert facts.happened("party/GB-LAE-KIR") == [PartyRegistered(party="GB-LAE-KIR", name="Kirklees Council")]
        assert facts[party_stream("GB-LAE-KIR")].name == "Kirklees Council"

    def test_refuses_an_org_id_that_is_known_without_regard_to_case(self) -> None:
        facts = MemoryFacts()
        facts.play(lambda known: register(known, "GB-CHC-SC12a", "Street Soccer"), ADMINISTRATOR)
        with pytest.raises(PartyExists):
            register(facts, "GB-CHC-SC12A", "Street Soccer again")

    def test_is_needed_before_a_party_is_found(self) -> None:
        with pytest.raises(NoSuchParty):
            MemoryFacts()[party_stream("GB-LAE-KIR")]
