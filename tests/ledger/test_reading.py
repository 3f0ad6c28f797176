"""What is read quickly is what the class itself makes of it, or refuses."""

from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, Field, Strict, ValidationError, model_validator

from domain.event import Event
from domain.events import BY_NAME
from domain.money import Money
from domain.record import Record
from ledger import reading
from ledger.reading import Reader, read
from tests.ledger.golden_files import GOLDEN

STORED = sorted(GOLDEN.glob("*.entry"))
ODD: list[Any] = [None, True, 1, 0, 1.0, "", "1", "12.50", "2021-06-30", "no such thing", [], {}, [["12.50"]]]


def fields_of(path: Path) -> dict[str, Any]:
    fields: dict[str, Any] = orjson.loads(path.read_bytes().partition(b"\n")[2])["event"]
    return fields


def outcome(how: Any, of: type[Event], fields: Any) -> tuple[str, Any]:
    """What comes of reading: the event with everything in it, or what is wrong with it."""
    try:
        event = how(of, fields)
    except ValidationError as wrong:
        return "wrong", wrong.errors(include_url=False, include_context=False)
    return repr(event), (event, event.model_dump_json(), list(event.__dict__), event.model_fields_set)


def by_class(of: type[Event], fields: Any) -> Event:
    return of.model_validate(fields)


def places_in(fields: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to everything within stored fields."""
    inner = fields.items() if isinstance(fields, dict) else enumerate(fields) if isinstance(fields, list) else ()
    return [place for name, each in inner for place in ((*way, name), *places_in(each, (*way, name)))]


class TestRead:
    @pytest.mark.parametrize("path", STORED, ids=lambda path: path.stem)
    def test_gives_what_the_class_gives(self, path: Path) -> None:
        fields = fields_of(path)
        of = BY_NAME[fields["type"]]
        assert outcome(read, of, fields) == outcome(by_class, of, fields)
        # Again, with everything remembered; and by the quick way itself, so that this test would see if it never went there.
        assert Reader()._reader(of)(fields) == of.model_validate(fields)

    @given(st.data())
    def test_gives_what_the_class_gives_of_anything_else(self, data: st.DataObject) -> None:
        path = data.draw(st.sampled_from(STORED))
        fields = fields_of(path)
        of = BY_NAME[fields["type"]]
        *way, last = data.draw(st.sampled_from(places_in(fields)))
        within: Any = fields
        for step in way:
            within = within[step]
        odd: st.SearchStrategy[Any] = st.sampled_from(
            [None, True, 1, 0, 1.0, "", "1", "12.50", "2021-06-30", [], {}, "no such thing", [["12.50"]]]
        )
        match data.draw(st.sampled_from(["gone", "changed", "more"])):
            case "gone":
                del within[last]
            case "changed":
                within[last] = data.draw(odd)
            case "more" if isinstance(within, dict):
                within["unheard-of"] = data.draw(odd)
            case _:
                within.append(data.draw(odd))
        read(of, fields_of(path))  # What is remembered of sound fields must not let others through.
        assert outcome(read, of, fields) == outcome(by_class, of, fields)

    def test_of_some_fields_only_makes_an_instance_that_lacks_the_others(self) -> None:
        class Priced(Record):
            amount: Money
            per: int = 1

        class Sold(Event):
            type: Literal["pot.sold"] = "pot.sold"
            prices: tuple[Priced, ...]

        some = Reader({Priced: {"amount"}})
        sold = some.read(Sold, {"type": "pot.sold", "prices": [{"amount": "1.00", "per": 7}, {"amount": "2.00"}]})
        assert type(sold) is Sold
        assert [(type(each), vars(each)) for each in sold.prices] == [(Priced, {"amount": Money(100 * each)}) for each in (1, 2)]
        with pytest.raises(AttributeError):
            _ = sold.prices[0].per
        assert read(Sold, {"type": "pot.sold", "prices": [{"amount": "1.00"}]}).prices[0].per == 1

    @pytest.mark.parametrize("wrong", [{"amount": "1"}, {"amount": "1.00", "colour": "red"}, {"per": 7}, {}])
    def test_of_some_fields_only_refuses_what_is_not_as_it_was_stored(self, wrong: dict[str, Any]) -> None:
        class Priced(Record):
            amount: Money
            per: int = 1

        with pytest.raises(ValidationError):
            Reader({Priced: {"amount"}}).read(Priced, wrong)

    def test_remembers_no_number_for_another(self) -> None:
        class Counted(Event):
            type: Literal["pot.counted"] = "pot.counted"
            many: Annotated[int, Strict(), Field(ge=0)]

        assert read(Counted, {"type": "pot.counted", "many": 1}).many == 1
        with pytest.raises(ValidationError):
            read(Counted, {"type": "pot.counted", "many": True})

    def test_remembers_so_many_texts_and_no_more(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Priced(Record):
            amount: Money

        monkeypatch.setattr(reading, "_REMEMBERED", 10)
        pence = [f"0.{each:02d}" for each in range(25)]
        assert [read(Priced, {"amount": each}).amount for each in pence] == [Money(each) for each in range(25)]

    def test_leaves_to_a_class_what_it_does_itself(self) -> None:
        class Doubled(Record):
            pence: int

            @model_validator(mode="before")
            @classmethod
            def _double(cls, fields: Any) -> Any:
                return {"pence": fields["pence"] * 2}

        class Loose(Record):
            model_config = ConfigDict(frozen=True, extra="ignore")

            pence: int

        class Listed(Record):
            notes: list[str] = Field(default_factory=list)

        assert read(Doubled, {"pence": 2}).pence == 4
        assert read(Loose, {"pence": 2, "more": 1}).pence == 2
        assert read(Listed, {}).notes is not read(Listed, {}).notes
