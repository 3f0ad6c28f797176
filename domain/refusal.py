"""Why a command may be refused: the class is the rule, its docstring is what the caller reads."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from inspect import getdoc
from typing import Any, ClassVar


class Kind(Enum):
    """What sort of a "no" it is; the service turns it into a status."""

    INVALID = "invalid"
    """What was asked cannot be right, whatever the state of the award."""
    NOT_ALLOWED = "not allowed"
    """The person who asks may not do this (L1)."""
    ABSENT = "absent"
    """What the command names does not exist."""
    CONFLICT = "conflict"
    """Right in itself, but not in the state in which things are."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong: where (a path such as `lines.3.quantity`), and what."""

    where: str
    what: str


class Refused(Exception):
    """The ledger refuses this command."""

    kind: ClassVar[Kind] = Kind.CONFLICT

    def __init__(self, faults: Iterable[Fault] = (), /, **details: Any) -> None:
        """Refuse, listing every fault where there are several, with details that a program can read."""
        self.faults = tuple(faults)
        self.details = details
        super().__init__(self.message)

    @property
    def message(self) -> str:
        """The rule that would be broken, and by what."""
        rule = " ".join((getdoc(type(self)) or "").split())
        told = "; ".join(f"{name.replace('_', ' ')}: {_plain(value)}" for name, value in self.details.items())
        return f"{rule.removesuffix('.')} ({told})." if told else rule

    @classmethod
    def slug(cls) -> str:
        """The stable name of this refusal, such as `approver-took-part`."""
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", cls.__name__).lower()


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple | set | frozenset) else str(value)


class Invalid(Refused):
    """What was sent cannot be recorded as it is."""

    kind = Kind.INVALID


class NotAllowed(Refused):
    """This person may not do this."""

    kind = Kind.NOT_ALLOWED


class Absent(Refused):
    """There is nothing of this name."""

    kind = Kind.ABSENT


class FourEyes(NotAllowed):
    """Two persons are needed, and this one has had a part in it already (L1)."""
