"""What events, terms and requests are made of: named values that belong together and never change."""

from collections.abc import Callable
from typing import Any, ClassVar, Final, ParamSpec, TypeVar

from pydantic import BaseModel, ConfigDict

P = ParamSpec("P")
R = TypeVar("R", bound="Record")

PUT: Final[dict[str, Callable[[Any, Any], None]]] = {
    f"put_{of}": vars(BaseModel)[slot].__set__
    for of, slot in {
        "values": "__dict__",
        "given": "__pydantic_fields_set__",
        "extra": "__pydantic_extra__",
        "private": "__pydantic_private__",
    }.items()
}
"""What puts into an instance what an instance of Pydantic's has."""


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


def trusted(of: Callable[P, R]) -> Callable[P, R]:
    """A class's constructor for whoever made all values by its own types: they are put in as they are, and not checked again.

    For the records of a large claim's lines only, of which the rules make ten a line: being checked, they take a tenth of all
    its time. Whatever comes from outside is given to the class itself. Fields of other defaults than plain ones are not for it.
    """
    record: type[Record] = of  # type: ignore[assignment]
    otherwise = {name: field.default for name, field in record.model_fields.items() if not field.is_required()}
    new, every = record.__new__, set(record.model_fields)
    put_values, put_given, put_extra, put_private = PUT.values()

    def make(*_: P.args, **values: P.kwargs) -> R:
        made: Any = new(record)
        put_values(made, {**otherwise, **values} if otherwise else values)
        put_given(made, every)
        put_extra(made, None)
        put_private(made, None)
        return made  # type: ignore[no-any-return]

    return make
