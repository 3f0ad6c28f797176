"""A person: who acts, on behalf of one party. Four eyes are the eyes of two persons (L1)."""

from dataclasses import dataclass, replace
from typing import Literal

from domain.aggregate import Actor, Aggregate, Commitment, Decision, Facts, PersonId, Stream
from domain.event import Event
from domain.party import party_stream
from domain.reference import OrganisationId
from domain.refusal import Absent, Refused


class PersonRegistered(Event):
    """Somebody is known to the ledger; the name is in the vault (L5). The `first` is registered by the ledger itself."""

    type: Literal["person.registered"] = "person.registered"
    person: PersonId
    party: OrganisationId
    name: Commitment
    first: bool = False


class AdministratorAppointed(Event):
    """The first administrator appointed a second one alone, as nobody else could; it happens once."""

    type: Literal["person.appointed-administrator"] = "person.appointed-administrator"
    appointed: PersonId


PersonEvent = PersonRegistered | AdministratorAppointed


class NoSuchPerson(Absent):
    """There is no person of this id."""


class PersonExists(Refused):
    """A person of this id is registered already."""


@dataclass(frozen=True, slots=True)
class Person(Aggregate):
    """Who acts. `has_appointed` says that the first administrator has used the one appointment."""

    missing = NoSuchPerson

    person: PersonId
    party: str
    name: Commitment
    first: bool = False
    has_appointed: bool = False

    @property
    def actor(self) -> Actor:
        """The person and the party that the person acts for."""
        return Actor(self.person, self.party)

    @property
    def may_appoint_alone(self) -> bool:
        """Whether the person is the first administrator and still the only one who could appoint another."""
        return self.first and not self.has_appointed

    @classmethod
    def evolve(cls, state: "Person | None", event: PersonEvent, by: PersonId) -> "Person":  # noqa: ARG003 (whoever)
        """The person after an event."""
        if isinstance(event, PersonRegistered):
            return cls(event.person, event.party, event.name, event.first)
        if state is None:
            raise LookupError(f"{event.type} before person.registered")
        return replace(state, has_appointed=True)


def person_stream(person: str) -> Stream[Person]:
    """The stream of a person."""
    return Stream(f"person/{person}", Person)


def register(facts: Facts, person: PersonId, party: str, name: str) -> Decision:
    """Register a person of a party that is registered; the name goes into the vault (L5)."""
    organisation = facts[party_stream(party)]
    stream = person_stream(person)
    if facts.get(stream):
        raise PersonExists(person=person)
    return {stream: (PersonRegistered(person=person, party=organisation.party, name=facts.conceal(name)),)}
