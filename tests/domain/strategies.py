"""Terms, agreements and histories as chance has them, small enough that limits bite and pennies matter."""

from collections.abc import Callable
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

Json = dict[str, Any]

FIRST = date(2021, 3, 1)
"""No line of chance was achieved before; the financial year turns a month later."""
COUNCILS = tuple(f"GB-LAE-{code}" for code in ("KIR", "BRY", "SHF", "GLS", "CHW", "NTH", "SKM", "SHP"))
PRIME, VERIFIERS = "GB-COH-11503344", "GB-COH-02110904"
CODES = ("HOME", "WEEKS", "JOB")
PARTICIPANTS = ("ana", "bo", "cai")


def pounds(pence: int) -> str:
    return f"{pence // 100}.{pence % 100:02}"


def units(ten_thousandths: int) -> str:
    return f"{ten_thousandths // 10_000}.{ten_thousandths % 10_000:04}"


def day(offset: int) -> str:
    return (FIRST + timedelta(days=offset)).isoformat()


def sometimes(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


amounts = st.integers(1, 400_000).map(pounds)
maxima = st.integers(0, 400_000).map(pounds)
offsets = st.integers(0, 60)
quantities = st.sampled_from([1, 3_333, 3_334, 5_000, 10_000, 20_000, 34_286, 240_000]) | st.integers(1, 60_000)
weights = st.lists(st.integers(0, 7), min_size=1, max_size=8).filter(any) | st.sampled_from([[180, 439], [30, 45, 25], [1] * 7])


def stated(fields: Json) -> Json:
    """The fields that say something."""
    return {name: value for name, value in fields.items() if value is not None}


def _rate(code: str, prerequisites: tuple[str, ...] = ()) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(
        {
            "code": st.just(code),
            "title": st.just("An outcome"),
            "unit": st.just("person"),
            "price": st.sampled_from(["1400.00", "850.00", "0.01", "3300.00"]) | amounts,
            "per": st.sampled_from([1, 1, 7]),
            "prerequisites": st.sampled_from([(), prerequisites]),
            "max_per_participant": sometimes(st.sampled_from(["1", "2.5"])),
            "max_quantity": sometimes(quantities.map(units)),
            "max_amount": sometimes(amounts),
        }
    ).map(stated)


rate_cards = st.tuples(_rate("HOME"), _rate("WEEKS"), sometimes(_rate("JOB", ("HOME",)))).map(
    lambda card: [each for each in card if each]
)


def _payers(all_weights: list[int]) -> st.SearchStrategy[list[Json]]:
    return st.tuples(
        *(
            st.fixed_dictionaries(
                {
                    "party": st.just(council),
                    "payee": st.just(PRIME),
                    "share": st.just(str(Fraction(weight, sum(all_weights)))),
                    "maximum": sometimes(maxima),
                    "claims_until": sometimes(offsets.map(day)),
                    "pays": st.sampled_from(["through-runs", "by-itself"]),
                }
            ).map(stated)
            for council, weight in zip(COUNCILS, all_weights, strict=False)
        )
    ).map(list)


_PARTIES = [
    *({"party": council, "roles": ["co-commissioner"]} for council in COUNCILS[1:]),
    {"party": COUNCILS[0], "roles": ["lead-commissioner"]},
    {"party": PRIME, "roles": ["spv"]},
    {"party": VERIFIERS, "roles": ["verifier"]},
]
_WINDOW = {"first": FIRST.isoformat(), "last": "2023-12-31"}


def _whole(fields: Json) -> Json:
    residual = fields.pop("residual")
    if fields["shortfall"] == "residual-payer" and residual < len(fields["payers"]):
        fields["residual_payer"] = fields["payers"][residual]["party"]
    fixed = {"parties": _PARTIES, "service_window": _WINDOW, "outcomes_window": _WINDOW, "claims_close_on": "2024-03-31"}
    return stated({**fields, **fixed})


terms: Callable[..., st.SearchStrategy[Json]] = lambda effective: st.fixed_dictionaries(  # noqa: E731 (reads as a definition)
    {
        "effective_from": effective.map(day),
        "outcomes": rate_cards,
        "payers": weights.flatmap(_payers),
        "shortfall": st.sampled_from(["residual-payer", "residual-payer", "unfunded"]),
        "residual": st.integers(0, 9),
        "certification": st.booleans(),
        "participant_amount": sometimes(amounts),
        "year_amount": sometimes(amounts),
        "year_amounts": st.sampled_from([{}, {}, {"2020-21": "0.00"}, {"2021-22": "1234.56"}]),
        "award_amount": st.just("9000000.00") | amounts,
    }
).map(_whole)

agreements = st.tuples(terms(st.just(0)), st.lists(terms(offsets), max_size=2)).map(lambda made: [made[0], *made[1]])
"""Versions in the order of their agreement; the first is in force on the first day of all."""

claimed_lines = st.lists(
    st.tuples(st.sampled_from(CODES), sometimes(st.sampled_from(PARTICIPANTS)), quantities, offsets), min_size=1, max_size=4
)
"""Outcome, participant, quantity in ten-thousandths, and how many days before."""
