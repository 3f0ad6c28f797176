"""Reading stored events quickly: what their classes make of them, in a fraction of the time.

The same few amounts, days, codes and names stand in most entries. What a field's own validator makes of a text is remembered, so
that each value is still one that the validator let through; a record is put together of such values. Whatever does not fit, the
class itself reads, or refuses: this module only ever gives what `model_validate` gives.
"""

from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, NewType, TypeVar, Union, get_args, get_origin

from pydantic import TypeAdapter
from pydantic.fields import FieldInfo

from domain.record import Record

R = TypeVar("R", bound=Record)
Read = Callable[[Any], Any]

_REMEMBERED: Final = 4_096
"""Texts of one kind of field that are remembered at once: amounts have no end."""
_REQUIRED: Final = object()
_PLAIN: Final = (str, int, bool)


class _DoesNotFit(Exception):
    """It is not as it was stored, or not simple enough: the class itself must read it."""


def read(of: type[R], fields: Any) -> R:
    """An instance of a class from the fields that JSON gave; `pydantic.ValidationError` if they are wrong."""
    try:
        made: R = _reader(of)(fields)
    except Exception:  # noqa: BLE001 (whatever it is, the class says it better)
        return of.model_validate(fields)
    return made


@cache
def _reader(of: type[Record]) -> Read:
    if not _is_simple(of):
        return of.model_validate
    fields = tuple((name, _value(field), _default(field)) for name, field in of.model_fields.items())
    readers = tuple((name, read_value) for name, read_value, _ in fields)
    put, every, whole = object.__setattr__, set(of.model_fields), len(fields)

    def read_record(raw: dict[str, Any]) -> Record:
        if len(raw) == whole:
            values = {name: read_value(raw[name]) for name, read_value in readers}
        else:
            values, left = {}, len(raw)
            for name, read_value, default in fields:
                if name in raw:
                    values[name] = read_value(raw[name])
                    left -= 1
                elif default is _REQUIRED:
                    raise _DoesNotFit
                else:
                    values[name] = default
            if left:
                raise _DoesNotFit
        made = of.__new__(of)
        put(made, "__dict__", values)
        put(made, "__pydantic_fields_set__", every)
        put(made, "__pydantic_extra__", None)
        put(made, "__pydantic_private__", None)
        return made

    return read_record


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


def _default(field: FieldInfo) -> Any:
    return _REQUIRED if field.is_required() else field.default


def _value(field: FieldInfo) -> Read:
    return _checked(Annotated[(field.annotation, *field.metadata)]) if field.metadata else _of(field.annotation)


def _of(hint: Any) -> Read:  # noqa: PLR0911 (a case for every kind)
    of, inner = get_origin(hint), get_args(hint)
    plain = hint.__supertype__ if isinstance(hint, NewType) else hint
    if plain in _PLAIN:
        return _exactly(plain)
    if isinstance(hint, type) and issubclass(hint, Record):
        return _reader(hint)
    if of in (Union, UnionType) and len(inner) == 2 and NoneType in inner:  # noqa: PLR2004 (one thing, or nothing)
        return _unless_none(_of(next(each for each in inner if each is not NoneType)))
    if of is tuple and inner[1:] == (...,):
        return _several(_of(inner[0]))
    if of is tuple:
        return _some(tuple(map(_of, inner)))
    if of is dict:
        return _by_name(_of(inner[0]), _of(inner[1]))
    return _checked(hint)


def _exactly(of: type) -> Read:
    def read_plain(raw: Any) -> Any:
        if type(raw) is not of:
            raise _DoesNotFit
        return raw

    return read_plain


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

    def __missing__(self, raw: Any) -> Any:
        made = self._validate(raw)
        if type(raw) is str:
            if len(self) >= _REMEMBERED:
                self.clear()
            self[raw] = made
        return made


def _checked(hint: Any) -> Read:
    validate: Read = TypeAdapter(hint).validate_python
    remembered = _Remembered(validate).__getitem__
    inner = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    # A list or an object cannot be looked up; and one that was remembered could be changed.
    return validate if get_origin(inner) in (tuple, dict) else remembered
