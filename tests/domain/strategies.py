"""Terms, agreements and histories as chance has them, small enough that limits bite and pennies matter."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from itertools import combinations, product
from typing import Any, TypeVar

from hypothesis import strategies as st

Json = dict[str, Any]
T = TypeVar("T")

FIRST = date(2021, 3, 1)
"""No line of chance was achieved before; the financial year turns a month later."""
COUNCILS = tuple(f"GB-LAE-{code}" for code in ("KIR", "BRY", "SHF", "GLS", "CHW", "NTH", "SKM", "SHP"))
PRIME, PROVIDER, VERIFIERS = "GB-COH-11503344", "GB-CHC-1087167", "GB-COH-02110904"
CODES = ("HOME", "WEEKS", "JOB")
PARTICIPANTS = ("ana", "bo", "cai", "dee", "eli")


def pounds(pence: int) -> str:
    return f"{pence // 100}.{pence % 100:02}"


def units(ten_thousandths: int) -> str:
    return f"{ten_thousandths // 10_000}.{ten_thousandths % 10_000:04}"


def day(offset: int) -> str:
    return (FIRST + timedelta(days=offset)).isoformat()


def either(few: Sequence[T], least: int, most: int, told: Callable[[int], T]) -> st.SearchStrategy[T]:
    """One of a few, or as likely any of a span; by one draw, as histories are long and draws are what takes the time."""
    span = most - least + 1
    return st.integers(0, 2 * span - 1).map(lambda n: told(least + n) if n < span else few[n % len(few)])


def _wide(number: int) -> int:
    """Pence up to £1,000.00, then coarser, up to £300,000.00."""
    return number if number <= 100_000 else (number - 100_000) * 100


def limits(least: int = 1) -> st.SearchStrategy[str | None]:
    """An amount in pounds that bites, or is ample; mostly none."""
    return _seldom(400_000, lambda number: pounds(_wide(least + number)))


def _seldom(most: int, told: Callable[[int], str]) -> st.SearchStrategy[str | None]:
    return st.integers(0, 4 * most).map(lambda number: told(number - 3 * most) if number >= 3 * most else None)


offsets = st.integers(0, 60)
QUANTITIES = (1, 3_333, 3_334, 5_000, 10_000, 20_000, 34_286, 240_000)
quantities = either(QUANTITIES, 1, 60_000, int)
weights = st.lists(st.integers(0, 7), min_size=1, max_size=8).filter(any) | st.sampled_from([[180, 439], [30, 45, 25], [1] * 7])

_SOME_WEIGHTS = [list(each) for payers in (1, 2, 3) for each in product((0, 1, 3, 5), repeat=payers) if any(each)]
_agreed_weights = st.sampled_from([*_SOME_WEIGHTS, *[[180, 439], [30, 45, 25], [1] * 7, [7, 1, 0, 5, 2, 2, 6, 4]] * 8])


def stated(fields: Json) -> Json:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value is not None}


def _rate(code: str, *prerequisites: str) -> st.SearchStrategy[Json]:
    needs = ((), *((each,) for each in prerequisites))
    return st.tuples(
        either(("1400.00", "850.00", "200.00", "0.01", "3300.00"), 1, 400_000, pounds),
        st.sampled_from(list(product((1, 1, 7), needs, (None, None, None, "1", "2.5")))),
        _seldom(60_000, lambda number: units(1 + number)),
        limits(),
    ).map(
        lambda drawn: stated(
            {
                "code": code,
                "title": "An outcome",
                "unit": "person",
                "price": drawn[0],
                "per": drawn[1][0],
                "prerequisites": drawn[1][1],
                "max_per_participant": drawn[1][2],
                "max_quantity": drawn[2],
                "max_amount": drawn[3],
            }
        )
    )


rate_cards = st.tuples(_rate("HOME"), _rate("WEEKS", "HOME"), st.none() | _rate("JOB", "HOME", "WEEKS")).map(
    lambda card: [each for each in card if each]
)


def _payers(all_weights: list[int]) -> st.SearchStrategy[list[Json]]:
    return st.tuples(*(_payer(*each, sum(all_weights)) for each in zip(COUNCILS, all_weights, strict=False))).map(list)


def _payer(council: str, weight: int, of: int) -> st.SearchStrategy[Json]:
    return st.tuples(
        st.sampled_from(list(product((PRIME, PRIME, PROVIDER), ("through-runs", "by-itself")))),
        either((None,), 0, 130, lambda number: day(number if number <= 60 else (number - 60) * 10)),
        limits(least=0),
    ).map(
        lambda drawn: stated(
            {
                "party": council,
                "payee": drawn[0][0],
                "share": str(Fraction(weight, of)),
                "maximum": drawn[2],
                "claims_until": drawn[1],
                "pays": drawn[0][1],
            }
        )
    )


_PARTIES = [
    *({"party": council, "roles": ["co-commissioner"]} for council in COUNCILS[1:]),
    {"party": COUNCILS[0], "roles": ["lead-commissioner"]},
    {"party": PRIME, "roles": ["spv"]},
    {"party": PROVIDER, "roles": ["provider"]},
    {"party": VERIFIERS, "roles": ["verifier"]},
]
_WINDOW = {"first": FIRST.isoformat(), "last": "2023-12-31"}


def _whole(fields: Json) -> Json:
    residual = fields.pop("residual")
    if fields["shortfall"] == "residual-payer" and residual < len(fields["payers"]):
        fields["residual_payer"] = fields["payers"][residual]["party"]
    fixed = {"parties": _PARTIES, "service_window": _WINDOW, "outcomes_window": _WINDOW, "claims_close_on": "2024-03-31"}
    return stated({**fields, **fixed})


_agreed: dict[str, st.SearchStrategy[Any]] = {
    "outcomes": rate_cards,
    "payers": _agreed_weights.flatmap(_payers),
    "shortfall": st.sampled_from(["residual-payer", "residual-payer", "unfunded"]),
    "residual": st.integers(0, 9),
    "certification": st.booleans(),
    "dependants": st.sampled_from([None, "go-too"]),
    "participant_amount": limits(),
    "year_amount": limits(),
    "year_amounts": st.sampled_from([{}, {}, {"2020-21": "0.00"}, {"2021-22": "12345.67", "2022-23": "23456.78"}]),
    "award_amount": either(("9000000.00",), 1, 400_000, lambda number: pounds(_wide(number))),
}
terms: Callable[..., st.SearchStrategy[Json]] = lambda effective: st.fixed_dictionaries(  # noqa: E731 (reads as a definition)
    {"effective_from": effective.map(day), **_agreed}
).map(_whole)

agreements = st.tuples(terms(st.just(0)), st.lists(terms(offsets), max_size=2)).map(lambda made: [made[0], *made[1]])
"""Versions in the order of their agreement; the first is in force on the first day of all."""

claimed_lines = st.lists(
    st.sampled_from([*product(CODES, (None, *PARTICIPANTS), (*QUANTITIES, 7_001, 12_345, 59_999), range(0, 341, 20))]),
    min_size=1,
    max_size=4,
)
"""Outcome, participant, quantity in ten-thousandths, and how many days before."""

_changing = {**_agreed, "payee": st.sampled_from([PRIME, PROVIDER])}
_CHANGED = [*combinations(_agreed, 1), *combinations(_agreed, 2), *[("payee",), ("outcomes",), ("payers",)] * 8]
changes = st.sampled_from(_CHANGED).flatmap(lambda names: st.fixed_dictionaries({name: _changing[name] for name in names}))
"""What a variation changes of the terms; with a `payee`, whom all payers pay from then on."""


def varied(version: Json, changed: Json, effective_from: str) -> Json:
    """A version with changes, in force from a day on."""
    stays = {name: value for name, value in version.items() if name != "residual_payer"}
    whole = _whole({"residual": len(COUNCILS), **stays, **changed, "effective_from": effective_from})
    payee = whole.pop("payee", None)
    return {**whole, "payers": [{**payer, "payee": payee or payer["payee"]} for payer in whole["payers"]]}
