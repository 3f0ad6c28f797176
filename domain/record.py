"""What events, terms and requests are made of: named values that belong together and never change."""

from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict


class Record(BaseModel):
    """Named values, checked when they come in, and frozen.

    Pydantic notes for each instance which of its fields were given; for the lines of a large claim these notes are half of all
    memory. Nothing here depends on them, so all instances of a class share one that says: every field.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    _every: ClassVar[set[str]] = set()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        cls._every = set(cls.model_fields)

    def model_post_init(self, _context: Any, /) -> None:
        """Let go of the instance's own note."""
        object.__setattr__(self, "__pydantic_fields_set__", self._every)
