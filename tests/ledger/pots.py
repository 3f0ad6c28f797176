"""A domain small enough to try the log with: pots of money, filled and emptied."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import Any, ClassVar, Literal, Self

from domain.aggregate import Actor, Aggregate, Decision, Facts, PersonId, Stream
from domain.calendar import Day
from domain.event import Event
from domain.money import Money
from domain.refusal import Absent, Refused

KIRKLEES = Actor(PersonId("01J2Z4-KIRKLEES"), "GB-LAE-KIR")
BRIDGE = Actor(PersonId("01J2Z4-BRIDGE"), "GB-COH-11503344")


class PotOpened(Event):
    type: Literal["pot.opened"] = "pot.opened"
    amount: Money
    holder: str | None = None
    note: str | None = None


class PotFilled(Event):
    type: Literal["pot.filled"] = "pot.filled"
    amount: Money
    on: Day | None = None

    def takes_effect(self) -> date | None:
        return self.on


class PotClosed(Event):
    type: Literal["pot.closed"] = "pot.closed"


POTS: dict[str, type[Event]] = {"pot.opened": PotOpened, "pot.filled": PotFilled, "pot.closed": PotClosed}


class NoSuchPot(Absent):
    """There is no such pot."""


class PotIsClosed(Refused):
    """The pot is closed."""


class PotIsThere(Refused):
    """There is a pot of this name already."""


@dataclass(frozen=True)
class Pot(Aggregate):
    amount: Money
    closed: bool = False
    holder: str | None = None

    missing: ClassVar[type[Refused]] = NoSuchPot

    @classmethod
    def evolve(cls, state: Self | None, event: Any, by: PersonId) -> Self:
        match event:
            case PotOpened():
                return cls(event.amount, holder=event.holder)
            case PotFilled() if state is not None:
                return cls(state.amount + event.amount, state.closed, state.holder)
            case PotClosed() if state is not None:
                return cls(state.amount, closed=True)
        raise AssertionError(event)

    def fill(self, pence: int = 1) -> PotFilled:
        if self.closed:
            raise PotIsClosed
        return PotFilled(amount=Money(pence))


def pot(name: str, award: str = "INDIGO-POJ-0175") -> Stream[Pot]:
    return Stream(f"award/{award}/pot/{name}", Pot)


def open_pot(facts: Facts, name: str = "2021-Q3", pence: int = 0, award: str = "INDIGO-POJ-0175") -> Decision:
    if facts.get(pot(name, award)) is not None:
        raise PotIsThere
    return {pot(name, award): (PotOpened(amount=Money(pence)),)}


def open_pots(facts: Facts, names: Iterable[str]) -> Decision:
    return {pot(name): (PotOpened(amount=Money(0)),) for name in names}


def nothing_to_balance(event: Event) -> None:
    pass
