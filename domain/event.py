"""What an event is: something that happened, by a permanent name, that nobody can change."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import ClassVar, Final, TypeVar

from domain.record import Record

T = TypeVar("T")


class Event(Record):
    """A fact of the ledger. Each class has `type: Literal["noun.past-participle"]`, for ever.

    A new field needs a default; a new meaning needs a new type.
    """

    type: str

    continues: ClassVar[bool] = False
    """Whether it says more of what the entry before it in its stream says, and so takes effect with that one."""

    def takes_effect(self) -> date | None:
        """The day on which it took effect by its own account, such as a value date; nothing: the day on which it was recorded."""
        return None


NEVER_BEFORE: Final = date.min
"""What stands for the day of the entry before a stream's first one."""


def took_effect(event: Event, recorded_on: date, before: date = NEVER_BEFORE) -> date:
    """The day on which an entry took effect: its event's own, else the London day on which it was recorded.

    It is never before that of the entry `before` it in its stream, so that what had taken effect by a day is always the beginning
    of a stream, and every state that is shown is one that there was. It is never after the day of recording either: what is
    recorded has happened, and on the day of its recording at the latest a stream is as it is.
    """
    if event.continues and before is not NEVER_BEFORE:
        return before
    return min(max(event.takes_effect() or recorded_on, before), recorded_on)


def in_effect(entries: Iterable[tuple[T, Event, date]], on: date) -> Iterator[T]:
    """The beginning of a stream that had taken effect by the end of a day; with each entry, its event and day of recording."""
    before = NEVER_BEFORE
    for entry, event, recorded_on in entries:
        before = took_effect(event, recorded_on, before)
        if before > on:
            return
        yield entry
