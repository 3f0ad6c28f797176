"""Reading stored events quickly: what their classes make of them, in a fraction of the time.

The same few amounts, days, codes and names stand in most entries. What a field's own validator makes of a text is remembered, so
that each value is still one that the validator let through; a record is put together of such values. Whatever does not fit, the
class itself reads, or refuses: this module only ever gives what `model_validate` gives.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Final, NamedTuple, NewType, NoReturn, TypeVar, Union, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from domain.record import PUT, Record

R = TypeVar("R", bound=Record)
Read = Callable[[Any], Any]

_REMEMBERED: Final = 4_096
"""Texts of one kind of field that are remembered at once: amounts have no end."""
_PLAIN: Final = (str, int, bool)


class _DoesNotFit(Exception):
    """It is not as it was stored, or not simple enough: the class itself must read it."""


class Reader:
    """Reads stored events. Of records that it is told of it reads only some fields: an instance then lacks the others."""

    def __init__(self, only: Mapping[type[Record], Collection[str]] | None = None) -> None:
        self._only = only or {}
        self._reading: dict[type[Record], Read] = {}

    def read(self, of: type[R], fields: Any) -> R:
        """An instance of a class from the fields that JSON gave; `pydantic.ValidationError` if they are wrong."""
        try:
            made: R = (self._reading.get(of) or self._reader(of))(fields)
        except Exception:  # noqa: BLE001 (whatever it is, the class says it better)
            return of.model_validate(fields)
        return made

    def _reader(self, of: type[Record]) -> Read:
        found = self._reading.get(of)
        if found is None:
            found = self._reading[of] = self._made(of) if _is_simple(of) else of.model_validate
        return found

    def _made(self, of: type[Record]) -> Read:
        """What reads a class's fields: a function that is written for them, as `dataclasses` writes theirs.

        It takes two thirds of the time of a loop over the fields.
        """
        wanted = self._only.get(of, of.model_fields)
        fields = [
            _Field(f"_{number}", name, self._value(field), field)
            for number, (name, field) in enumerate(of.model_fields.items())
            if name in wanted
        ]
        optional = "".join(f" + ({name!r} in raw)" for name, field in of.model_fields.items() if not field.is_required())
        required = sum(field.is_required() for field in of.model_fields.values())
        lines = (
            "def read_record(raw):",
            f"    if len(raw) != {required}{optional}:",
            "        refuse()",
            "    made = new(of)",
            f"    put_values(made, {{{', '.join(f'{each.name!r}: {each.read()}' for each in fields)}}})",
            "    put_given(made, every)",
            "    put_extra(made, None)",
            "    put_private(made, None)",
            "    return made",
        )
        known: dict[str, Any] = {
            "of": of,
            "new": of.__new__,
            "every": set(of.model_fields),
            **PUT,
            "refuse": _refuse,
            **{name: value for each in fields for name, value in each.known().items()},
        }
        exec("\n".join(lines), known)  # noqa: S102 (written from the names of our own fields, and from nothing that was stored)
        made: Read = known["read_record"]
        return made

    def _value(self, field: FieldInfo) -> Read:
        return _checked(Annotated[(field.annotation, *field.metadata)]) if field.metadata else self._of(field.annotation)

    def _of(self, hint: Any) -> Read:  # noqa: PLR0911 (a case for every kind)
        of, inner = get_origin(hint), get_args(hint)
        plain = hint.__supertype__ if isinstance(hint, NewType) else hint
        if plain in _PLAIN:
            return _Exactly(plain)
        if isinstance(hint, type) and issubclass(hint, Record):
            return self._reader(hint)
        if of in (Union, UnionType) and len(inner) == 2 and NoneType in inner:  # noqa: PLR2004 (one thing, or nothing)
            return _unless_none(self._of(next(each for each in inner if each is not NoneType)))
        if of is tuple and inner[1:] == (...,):
            return _several(self._of(inner[0]))
        if of is tuple:
            return _some(tuple(map(self._of, inner)))
        if of is dict:
            return _by_name(self._of(inner[0]), self._of(inner[1]))
        return _checked(hint)


def _refuse() -> NoReturn:
    raise _DoesNotFit


class _Field(NamedTuple):
    """How a field stands in the function that reads its class: as what, and by what it is read."""

    known_as: str
    name: str
    read_value: Read
    field: FieldInfo

    def read(self) -> str:
        """What gives its value."""
        found = f"raw[{self.name!r}]"
        match self.read_value:
            case _Remembered():
                value = f"{self.known_as}[{found}]"
            case _Exactly():
                value = f"it if type(it := {found}) is {self.known_as} else refuse()"
            case _:
                value = f"{self.known_as}({found})"
        return value if self.field.is_required() else f"({value}) if {self.name!r} in raw else {self.known_as}_otherwise"

    def known(self) -> dict[str, Any]:
        """The names that `read` uses."""
        by = self.read_value.of if isinstance(self.read_value, _Exactly) else self.read_value
        return {self.known_as: by, f"{self.known_as}_otherwise": self.field.default}


def _is_simple(of: type[Record]) -> bool:
    """Whether a class does nothing but check its fields one by one, by their own names."""
    does = of.__pydantic_decorators__
    return (
        of.model_config == Record.model_config
        and of.model_post_init is Record.model_post_init
        and not (does.field_validators or does.model_validators or does.validators or does.root_validators)
        and not of.__private_attributes__
        and all(_is_simple_field(each) for each in of.model_fields.values())
    )


def _is_simple_field(field: FieldInfo) -> bool:
    return field.alias is None and field.validation_alias is None and field.default_factory is None and not field.validate_default


@dataclass(frozen=True, slots=True)
class _Exactly:
    """Lets through what is of a plain type, as it is."""

    of: type

    def __call__(self, raw: Any) -> Any:
        if type(raw) is not self.of:
            raise _DoesNotFit
        return raw


def _unless_none(read_value: Read) -> Read:
    return lambda raw: None if raw is None else read_value(raw)


def _several(read_value: Read) -> Read:
    def read_several(raw: Any) -> tuple[Any, ...]:
        if type(raw) is not list:
            raise _DoesNotFit
        return tuple([read_value(each) for each in raw])

    return read_several


def _some(readers: tuple[Read, ...]) -> Read:
    def read_some(raw: Any) -> tuple[Any, ...]:
        if type(raw) is not list:
            raise _DoesNotFit
        return tuple([read_value(each) for read_value, each in zip(readers, raw, strict=True)])

    return read_some


def _by_name(read_name: Read, read_value: Read) -> Read:
    return lambda raw: {read_name(name): read_value(each) for name, each in raw.items()}


class _Remembered(dict[Any, Any]):
    """What a validator made of each text that it let through. Anything but a text is given to it each time."""

    def __init__(self, validate: Read) -> None:
        super().__init__()
        self._validate = validate

    __call__ = dict[Any, Any].__getitem__

    def __missing__(self, raw: Any) -> Any:
        made = self._validate(raw)
        if type(raw) is str:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[raw] = made
        return made


def _checked(hint: Any) -> Read:
    validate: Read = TypeAdapter(hint).validate_python
    inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    # A list or an object cannot be looked up; and one that was remembered could be changed.
    return validate if get_origin(inner) in (tuple, dict) else _Remembered(validate)


read: Final = Reader().read
"""An instance of a class from the fields that JSON gave, as a whole."""
