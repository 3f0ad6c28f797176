"""Money, quantities and shares, exactly (M1, M3).

Inside they are whole numbers (pence, ten-thousandths) and fractions; outside they are strings. A JSON number is never one of
them: it has been through a binary float, or may be next time.
"""

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from functools import lru_cache
from math import lcm
from typing import Annotated, Any, ClassVar, Final, Self

from pydantic import AfterValidator, GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

PENCE_A_POUND: Final = 100
UNITS_A_WHOLE: Final = 10_000
MOST: Final = 999_999_999_99
"""The largest amount that is taken in, in pence (M1)."""
MOST_UNITS: Final = 999_999_999_9999
"""The largest quantity that is taken in, in ten-thousandths; sums of many may be larger."""

_WRITTEN: Final = 16_384
"""How many texts are remembered for each kind of number."""

_MONEY = re.compile(r"(-?)(0|[1-9][0-9]{0,15})\.([0-9]{2})", re.ASCII)
_QUANTITY = re.compile(r"(-?)(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,4}))?", re.ASCII)
_SHARE = re.compile(r"(0|[1-9][0-9]{0,11})(?:/([1-9][0-9]{0,11}))?", re.ASCII)


class _Exact(int):
    """A whole number of some small unit, written outside as a decimal string."""

    __slots__ = ()
    pattern: ClassVar[str]
    examples: ClassVar[tuple[str, ...]]
    texts: ClassVar["_Texts"]
    """How the amounts of the class are written that were written last."""

    def __init_subclass__(cls) -> None:
        cls.texts = _Texts(cls)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str()` writes."""
        raise NotImplementedError

    def __add__(self, other: int, /) -> Self:
        if not other:
            return self
        of = type(self)
        # Most sums begin with nothing, and what is there need not be made again.
        return other if not self and type(other) is of else of(int.__add__(self, other))

    __radd__ = __add__

    def __sub__(self, other: int, /) -> Self:
        return type(self)(int.__sub__(self, other)) if other else self

    def __neg__(self) -> Self:
        return type(self)(int.__neg__(self))

    def __str__(self) -> str:
        return self.texts[self]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def _written(self) -> str:
        raise NotImplementedError

    @classmethod
    def _validate(cls, value: Any) -> Self:
        if isinstance(value, cls):
            return value
        if isinstance(value, str):
            return cls.parse(value)
        raise ValueError(f"must be a string such as {cls.examples[0]!r}, never a number")

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(cls.texts.__getitem__, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": cls.pattern, "examples": list(cls.examples)}


class _Texts(dict[int, str]):
    """Whole numbers as they are written outside. The same few stand in each of thousands of lines: they are written once.

    What writes JSON looks here without a step of Python's, which takes longer than all else that it does for an amount.
    """

    def __init__(self, of: type[_Exact]) -> None:
        self._of = of

    def __missing__(self, number: int) -> str:
        if len(self) >= _WRITTEN:
            self.clear()
        text = self[int(number)] = self._of(number)._written()  # noqa: SLF001 (it is of this module)
        return text


class Money(_Exact):
    """Whole pence of pounds sterling, exclusive of VAT; `"1234.50"` outside (M1).

    >>> Money.parse("1234.50") + Money(50)
    Money('1235.00')
    """

    __slots__ = ()
    pattern = r"^-?(0|[1-9][0-9]{0,15})\.[0-9]{2}$"
    examples = ("1400.00",)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `"1234.50"`: always two places, no separators, no currency sign."""
        found = _MONEY.fullmatch(text)
        if not found:
            raise ValueError("must be pounds and pence with two places, such as '1234.50'")
        sign, pounds, pence = found.groups()
        whole = int(pounds) * PENCE_A_POUND + int(pence)
        return cls(-whole if sign else whole)

    def _written(self) -> str:
        pounds, pence = divmod(abs(int(self)), PENCE_A_POUND)
        return f"{'-' if self < 0 else ''}{pounds}.{pence:02d}"


class Quantity(_Exact):
    """How many units of an outcome, in ten-thousandths of a unit; `"3.4286"` outside (M1).

    >>> str(Quantity.parse("24.5000"))
    '24.5'
    """

    __slots__ = ()
    pattern = r"^-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,4})?$"
    examples = ("1", "3.4286")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a decimal of at most four places."""
        found = _QUANTITY.fullmatch(text)
        if not found:
            raise ValueError("must be a decimal of at most four places, such as '3.4286'")
        sign, whole, places = found.groups()
        units = int(whole) * UNITS_A_WHOLE + int((places or "").ljust(4, "0"))
        return cls(-units if sign else units)

    def _written(self) -> str:
        whole, places = divmod(abs(int(self)), UNITS_A_WHOLE)
        decimals = f".{places:04d}".rstrip("0").rstrip(".")
        return f"{'-' if self < 0 else ''}{whole}{decimals}"


NOTHING: Final = Money(0)
NONE: Final = Quantity(0)


def _amount(value: Money) -> Money:
    if not 0 <= value <= MOST:
        raise ValueError(f"must lie between 0.00 and {Money(MOST)}")
    return value


def _positive_amount(value: Money) -> Money:
    if not 0 < value <= MOST:
        raise ValueError(f"must be more than 0.00 and at most {Money(MOST)}")
    return value


def _positive_quantity(value: Quantity) -> Quantity:
    if not 0 < value <= MOST_UNITS:
        raise ValueError(f"must be more than 0 and at most {Quantity(MOST_UNITS)}")
    return value


def _not_negative_quantity(value: Quantity) -> Quantity:
    if value < 0:
        raise ValueError("must not be negative")
    return value


Amount = Annotated[Money, AfterValidator(_amount)]
"""An amount that somebody states: not negative, at most £999,999,999.99."""
PositiveAmount = Annotated[Money, AfterValidator(_positive_amount)]
PositiveQuantity = Annotated[Quantity, AfterValidator(_positive_quantity)]
SomeQuantity = Annotated[Quantity, AfterValidator(_not_negative_quantity)]
"""A quantity that may be nothing, such as the rejected part of a line."""


class Share(Fraction):
    """An exact share of a whole between 0 and 1, such as `"180/619"` (M6); a decimal cannot say it."""

    __slots__ = ()

    @classmethod
    def _validate(cls, value: Any) -> "Share":
        if isinstance(value, Share):
            return value
        return cls._parse(value if isinstance(value, str) else "")

    @classmethod
    @lru_cache(maxsize=1_024)
    def _parse(cls, text: str) -> "Share":
        """The few shares of an award stand in each of its thousands of lines; they are one object each."""
        found = _SHARE.fullmatch(text)
        if not found:
            raise ValueError("must be an exact fraction such as '180/619'")
        share = cls(int(found[1]), int(found[2] or 1))
        if not 0 <= share <= 1:
            raise ValueError("must lie between 0 and 1")
        return share

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            cls._validate,
            serialization=core_schema.plain_serializer_function_ser_schema(str, when_used="json"),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"type": "string", "pattern": r"^(0|[1-9][0-9]{0,11})(/[1-9][0-9]{0,11})?$", "examples": ["180/619"]}


def total(amounts: Iterable[Money]) -> Money:
    """The sum of many amounts, added up as whole numbers.

    >>> total([Money.parse("1234.50"), Money.parse("-0.50")])
    Money('1234.00')
    """
    return Money(sum(map(int, amounts)))


def value(price: Money, quantity: Quantity, per: int = 1) -> Money:
    """Price × quantity ÷ per, rounded once to pence, half away from zero (M3).

    >>> value(Money.parse("850.00"), Quantity.parse("24"), per=7)
    Money('2914.29')
    """
    denominator = UNITS_A_WHOLE * per
    twice = 2 * price * quantity
    rounded = (abs(twice) + denominator) // (2 * denominator)
    return Money(-rounded if twice < 0 else rounded)


def whole_weights(shares: Sequence[Fraction]) -> tuple[int, ...]:
    """The shares as whole numbers in the same proportion, so that a split needs no fractions."""
    common = lcm(*(share.denominator for share in shares))
    return tuple(share.numerator * (common // share.denominator) for share in shares)


def largest_remainder(whole: int, weights: Sequence[int]) -> list[int]:
    """Split a whole in proportion to weights: floor each, then one more to each of the largest remainders (M6).

    Ties go by order. The parts sum to the whole. The weights are not negative and sum to more than nothing.
    """
    total = sum(weights)
    floors = [divmod(whole * weight, total) for weight in weights]
    parts = [part for part, _ in floors]
    by_remainder = sorted(range(len(parts)), key=lambda n: -floors[n][1])
    for n in by_remainder[: whole - sum(parts)]:
        parts[n] += 1
    return parts
