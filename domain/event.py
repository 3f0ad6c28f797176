"""What an event is: something that happened, by a permanent name, that nobody can change."""

from pydantic import BaseModel, ConfigDict


class Event(BaseModel):
    """A fact of the ledger. Each class has `type: Literal["noun.past-participle"]`, for ever.

    A new field needs a default; a new meaning needs a new type.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str
