"""Money, quantities and shares are exact, and strings outside (M1)."""

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from domain.money import MOST, Amount, Money, PositiveQuantity, Quantity, Share, total


class Priced(BaseModel):
    amount: Amount = Money(0)
    quantity: PositiveQuantity = Quantity(1)
    share: Share = Share(1)


class TestMoney:
    @pytest.mark.parametrize("text", ["0.00", "0.01", "1234.50", "999999999.99"])
    def test_goes_in_and_out_as_the_same_string(self, text: str) -> None:
        assert Priced.model_validate({"amount": text}).model_dump(mode="json")["amount"] == text

    @pytest.mark.parametrize(
        "wrong",
        [12, 12.5, True, None, "12", "12.5", "12.500", "1,234.50", "£1.00", "1e2", " 1.00", "01.00", "\u0661.\u0660\u0660"],
    )
    def test_is_nothing_else(self, wrong: Any) -> None:
        with pytest.raises(ValidationError):
            Priced.model_validate({"amount": wrong})
        with pytest.raises(ValidationError):
            Priced.model_validate_json(f'{{"amount": {"null" if wrong is None else str(wrong).lower()}}}')

    @pytest.mark.parametrize("wrong", ["-0.01", "1000000000.00"])
    def test_is_stated_between_nothing_and_the_most(self, wrong: str) -> None:
        with pytest.raises(ValidationError):
            Priced.model_validate({"amount": wrong})
        assert Money(MOST + 1) == Money.parse("1000000000.00")

    def test_is_written_as_what_it_is_though_a_quantity_of_the_same_units_was_written_before(self) -> None:
        assert [str(Quantity(40_000)), str(Money(40_000)), str(Quantity(40_000))] == ["4", "400.00", "4"]
        assert [str(Money(True)), str(Money(-5)), f"{Money(1_000)}"] == ["0.01", "-0.05", "10.00"]

    def test_is_written_however_many_were_written_before(self) -> None:
        many = range(0, 40_000_00, 100)
        assert [str(Money(pence)) for pence in many] == [f"{pence // 100}.00" for pence in many]
        assert len(Money.texts) < len(many), "what is remembered has a bound"

    def test_nothing_and_something_are_what_something_is(self) -> None:
        added = [Money(0) + Money(5), Money(5) + Money(0), Money(0) + 5, 5 + Money(0), Quantity(0) + Money(5)]
        assert [(type(each), int(each)) for each in added] == [(Money, 5)] * 4 + [(Quantity, 5)]

    def test_adds_up_to_money(self) -> None:
        added = total(Money(amount) for amount in (1, -4, 2))
        assert (type(added), str(added), str(total([]))) == (Money, "-0.01", "0.00")

    def test_stays_money_through_sums(self) -> None:
        added = sum([Money(1), Money(2)], Money(0)) - Money(4)
        assert (type(added), str(added), str(-added)) == (Money, "-0.01", "0.01")


class TestQuantity:
    @pytest.mark.parametrize(("text", "told"), [("24", "24"), ("24.5000", "24.5"), ("0.0001", "0.0001"), ("3.4286", "3.4286")])
    def test_has_at_most_four_places(self, text: str, told: str) -> None:
        assert str(Priced.model_validate({"quantity": text}).quantity) == told

    @pytest.mark.parametrize("wrong", [1, 0.5, "0", "0.0000", "-1", "0.00001", "1/3", ".5", "5."])
    def test_is_nothing_else(self, wrong: Any) -> None:
        with pytest.raises(ValidationError):
            Priced.model_validate({"quantity": wrong})


class TestShare:
    @pytest.mark.parametrize(("text", "told"), [("180/619", "180/619"), ("30/100", "3/10"), ("1", "1"), ("0", "0")])
    def test_is_an_exact_fraction(self, text: str, told: str) -> None:
        assert str(Priced.model_validate({"share": text}).share) == told

    @pytest.mark.parametrize("wrong", [0.5, 1, "0.5", "1/0", "620/619", "-1/2", "1 / 2"])
    def test_is_nothing_else(self, wrong: Any) -> None:
        with pytest.raises(ValidationError):
            Priced.model_validate({"share": wrong})
