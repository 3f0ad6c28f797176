"""Records: what is checked when it comes in, and what need not be."""

from typing import Any

import pytest
from pydantic import ValidationError

from domain.money import NOTHING, Money
from domain.record import Record, trusted


class Priced(Record):
    """A price."""

    amount: Money
    per: int = 1
    fee: Money = NOTHING


class TestTrusted:
    @pytest.mark.parametrize(
        "values", [{"amount": Money(1)}, {"amount": Money(1), "per": 7}, {"fee": Money(2), "amount": Money(1), "per": 7}]
    )
    def test_makes_what_the_class_makes(self, values: dict[str, Any]) -> None:
        made, checked = trusted(Priced)(**values), Priced(**values)
        assert made == checked
        assert made.model_dump(mode="json") == checked.model_dump(mode="json")
        assert made.model_fields_set == checked.model_fields_set
        assert (type(made), made.model_copy()) == (Priced, checked)

    def test_makes_what_cannot_be_changed(self) -> None:
        with pytest.raises(ValidationError):
            trusted(Priced)(amount=Money(1)).per = 2  # type: ignore[misc]

    def test_does_not_look_at_values(self) -> None:
        unchecked: Any = "7"
        assert trusted(Priced)(amount=Money(1), per=unchecked).per is unchecked
