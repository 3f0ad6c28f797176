"""A party: an organisation that takes part in awards, by its org-id."""

from dataclasses import dataclass
from typing import Literal

from domain.aggregate import Aggregate, Decision, Facts, PersonId, Stream
from domain.event import Event
from domain.reference import OrganisationId, canonical
from domain.refusal import Absent, Refused
from domain.terms import Title


class PartyRegistered(Event):
    """An organisation is known to the ledger."""

    type: Literal["party.registered"] = "party.registered"
    party: OrganisationId
    name: Title


PartyEvent = PartyRegistered


class NoSuchParty(Absent):
    """There is no party of this org-id."""


class PartyExists(Refused):
    """A party of this org-id is registered already."""


@dataclass(frozen=True, slots=True)
class Party(Aggregate):
    """An organisation."""

    missing = NoSuchParty

    party: str
    name: str

    @classmethod
    def evolve(cls, state: "Party | None", event: PartyEvent, by: PersonId) -> "Party":  # noqa: ARG003 (whoever)
        """The party as it was registered."""
        return cls(event.party, event.name)


def party_stream(party: str) -> Stream[Party]:
    """The stream of an organisation."""
    return Stream(f"party/{canonical(party)}", Party)


def register(facts: Facts, party: str, name: str) -> Decision:
    """Register an organisation."""
    stream = party_stream(party)
    if facts.get(stream):
        raise PartyExists(party=party)
    return {stream: (PartyRegistered(party=party, name=name),)}
