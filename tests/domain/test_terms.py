"""Terms: what contradicts itself, all of it at once, and what is in force on a day (M2)."""

from collections.abc import Callable
from copy import deepcopy
from datetime import date
from typing import Any

import pytest
from pydantic import ValidationError

from domain.money import Money, Quantity
from domain.terms import Agreement, NoTermsInForce, Terms, TermsContradictThemselves, Version, check, lowered
from tests.domain.kirklees import COUNCIL, FUND, PRIME, TERMS, VERIFIERS, terms

Json = dict[str, Any]
KIRKLEES: Json = TERMS


def changed(change: Callable[[Json], object]) -> Terms:
    """Kirklees' terms after a change to their JSON."""
    fields = deepcopy(KIRKLEES)
    change(fields)
    return Terms.model_validate(fields)


def faults(of: Terms) -> list[tuple[str, str]]:
    try:
        check(of)
    except TermsContradictThemselves as refusal:
        return [(fault.where, fault.what) for fault in refusal.faults]
    return []


def wrong_places(change: Callable[[Json], object]) -> list[str]:
    return [where for where, _ in faults(changed(change))]


class TestCheck:
    def test_finds_nothing_wrong_with_good_terms(self) -> None:
        assert faults(terms()) == []

    @pytest.mark.parametrize(
        ("change", "where", "what"),
        [
            (lambda it: it["parties"].append(it["parties"][1]), "parties.5.party", "named twice"),
            (lambda it: it["parties"][1]["roles"].append("lead-commissioner"), "parties", "not 2"),
            (
                lambda it: it["outcomes"].append({**it["outcomes"][0], "code": "Home"}),
                "outcomes.4.code",
                "HOME is on the rate card",
            ),
            (lambda it: it["outcomes"][2].update(prerequisites=["HOUSE"]), "outcomes.2.prerequisites", "HOUSE is not an outcome"),
            (lambda it: it["outcomes"][0].update(prerequisites=["home-3"]), "outcomes", "HOME → HOME-3 → HOME"),
            (lambda it: it["outcomes"][0].update(prerequisites=["HOME"]), "outcomes", "in a circle: HOME → HOME"),
            (
                lambda it: it["outcomes"][0].update(claimable_from="2025-01-01"),
                "outcomes.0.claimable_from",
                "after the claims close",
            ),
            (lambda it: it["payers"].append({**it["payers"][0], "share": "0"}), "payers.2.party", "named twice"),
            (lambda it: it["payers"][0].update(share="179/619"), "payers", "sum to 618/619"),
            (lambda it: it["payers"][0].update(share="181/619"), "payers", "sum to 620/619"),
            (lambda it: it["payers"][0].update(payee="GB-COH-00000001"), "payers.0.payee", "not a party"),
            (lambda it: it["payers"][0].update(claims_until="2019-08-31"), "payers.0.claims_until", "must lie between"),
            (lambda it: it["payers"][0].update(claims_until="2025-01-01"), "payers.0.claims_until", "must lie between"),
            (lambda it: it.update(residual_payer=PRIME), "residual_payer", "not a payer"),
            (lambda it: it.update(residual_payer=COUNCIL, shortfall="unfunded"), "residual_payer", "unfunded"),
            (lambda it: it["outcomes_window"].update(first="2019-08-31"), "outcomes_window", "within the service window"),
            (lambda it: it["service_window"].update(last="2024-09-29"), "outcomes_window", "within the service window"),
            (lambda it: it.update(claims_close_on="2024-09-29"), "claims_close_on", "before the last outcome day"),
            (lambda it: it.update(effective_from="2024-10-01"), "effective_from", "never be in force"),
            (lambda it: it.update(year_amounts={"2018-19": "1.00"}), "year_amounts.2018-19", "outside the outcomes window"),
            (lambda it: it.update(year_amounts={"2025-26": "1.00"}), "year_amounts.2025-26", "outside the outcomes window"),
        ],
    )
    def test_finds_each_contradiction_and_nothing_else(self, change: Callable[[Json], object], where: str, what: str) -> None:
        [(found, told)] = faults(changed(change))
        assert found == where
        assert what in told

    @pytest.mark.parametrize(
        "change",
        [
            lambda it: it["outcomes"][0].update(claimable_from="2024-12-31"),
            lambda it: it["payers"][0].update(claims_until="2019-09-01"),
            lambda it: it["payers"][0].update(claims_until="2024-12-31"),
            lambda it: it.update(claims_close_on="2024-09-30"),
            lambda it: it.update(effective_from="2024-09-30"),
            lambda it: it.update(year_amounts={"2019-20": "0.00", "2024-25": "1.00"}),
            lambda it: it["payers"][0].update(share="0", maximum="0.00") or it["payers"][1].update(share="1"),
            lambda it: it.update(residual_payer=FUND),
            lambda it: it.update(shortfall="unfunded"),
            lambda it: it["outcomes"][2].update(prerequisites=["home"]),
        ],
    )
    def test_lets_the_other_side_of_each_limit_pass(self, change: Callable[[Json], object]) -> None:
        assert wrong_places(change) == []

    def test_a_payer_must_be_a_party(self) -> None:
        assert "payers.0.party" in wrong_places(lambda it: it["payers"][0].update(party="GB-COH-00000001"))

    def test_somebody_must_be_able_to_claim(self) -> None:
        def only_buyers(it: Json) -> None:
            it["parties"] = [each for each in it["parties"] if each["party"] in {COUNCIL, FUND, VERIFIERS}]
            for payer in it["payers"]:
                payer["payee"] = VERIFIERS

        assert wrong_places(only_buyers) == ["parties"]

    def test_somebody_must_lead(self) -> None:
        assert wrong_places(lambda it: it["parties"][0].update(roles=["co-commissioner"])) == ["parties"]

    def test_windows_must_not_end_before_they_begin(self) -> None:
        places = wrong_places(lambda it: it["service_window"].update(last="2019-08-31"))
        assert places == ["service_window", "outcomes_window"]

    def test_lists_every_fault_at_once(self) -> None:
        def all_wrong(it: Json) -> None:
            it["parties"][0]["roles"] = ["investor"]
            it["outcomes"][0]["prerequisites"] = ["HOME-3", "NOWHERE"]
            it["outcomes"][1]["claimable_from"] = "2030-01-01"
            it["payers"][0] |= {"share": "1/2", "payee": "GB-COH-00000001", "claims_until": "2030-01-01"}
            it["residual_payer"] = PRIME
            it["service_window"]["last"] = "2020-01-01"
            it["claims_close_on"] = "2021-01-01"
            it["year_amounts"] = {"1999-00": "1.00"}

        assert wrong_places(all_wrong) == [
            "parties",
            "outcomes.0.prerequisites",
            "outcomes.1.claimable_from",
            "outcomes",
            "payers",
            "payers.0.payee",
            "payers.0.claims_until",
            "residual_payer",
            "outcomes_window",
            "claims_close_on",
            "year_amounts.1999-00",
        ]

    def test_fourteen_outcomes_may_each_need_the_one_before(self) -> None:
        def chain(it: Json) -> None:
            home = it["outcomes"][0]
            it["outcomes"] = [
                {**home, "code": f"OUT-OF-CARE-{n}", "prerequisites": [f"OUT-OF-CARE-{n - 1}"] if n > 1 else []}
                for n in range(14, 0, -1)
            ]

        assert wrong_places(chain) == []

    def test_an_organisation_is_the_same_in_small_letters(self) -> None:
        spelled = changed(lambda it: it["payers"][1].update(party="GB-LAE-kir"))
        assert faults(spelled) == []
        assert spelled.payers[1].party == COUNCIL


class TestFields:
    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            ("award_amount", "0.00"),
            ("award_amount", 22300000),
            ("award_amount", "1000000000.00"),
            ("award_amount", "1.005"),
            ("participant_amount", "0.00"),
            ("year_amount", "-1.00"),
            ("year_amounts", {"2021-23": "1.00"}),
            ("year_amounts", {"2021-22": 1.5}),
            ("payment_days", 366),
            ("payment_days", "30"),
            ("certification", "yes"),
            ("effective_from", "2019-02-30"),
            ("effective_from", 1567296000),
            ("outcomes", []),
            ("payers", []),
            ("shortfall", "nobody"),
            ("colour", "blue"),
        ],
    )
    def test_refuse_what_they_cannot_mean(self, name: str, wrong: object) -> None:
        with pytest.raises(ValidationError):
            terms(**{name: wrong})

    @pytest.mark.parametrize(
        ("name", "wrong"),
        [
            ("price", "0.00"),
            ("price", 1400.0),
            ("per", 0),
            ("per", "7"),
            ("per", 10_001),
            ("max_quantity", "0"),
            ("max_quantity", "1.00001"),
            ("max_amount", "0.00"),
            ("acceptance_rate", "0.9"),
            ("title", "A home\nof one's own"),
            ("title", "A home\x00"),
            ("code", "HOME 3"),
        ],
    )
    def test_of_an_outcome_do_so_too(self, name: str, wrong: object) -> None:
        with pytest.raises(ValidationError):
            changed(lambda it: it["outcomes"][0].update({name: wrong}))

    @pytest.mark.parametrize("share", ["0.41", "2/1", "-1/3", "1/0", 1, 0.5])
    def test_a_share_is_an_exact_fraction_of_a_whole(self, share: object) -> None:
        with pytest.raises(ValidationError):
            changed(lambda it: it["payers"][0].update(share=share))

    def test_survive_being_stored(self) -> None:
        assert Terms.model_validate_json(terms().model_dump_json()) == terms()


def version(number: int, effective_from: str, **changes: object) -> Version:
    return Version(number=number, terms=terms(effective_from=effective_from, **changes), proposed_by="amina", agreed_by="ben")


def without(code: str) -> list[Json]:
    return [outcome for outcome in deepcopy(KIRKLEES)["outcomes"] if outcome["code"] != code]


class TestInForce:
    def test_is_the_latest_version_that_has_begun(self) -> None:
        agreement = Agreement([version(1, "2019-09-01"), version(2, "2022-04-01")])
        assert agreement.on(date(2022, 3, 31)).number == 1
        assert agreement.on(date(2022, 4, 1)).number == 2

    def test_is_the_one_agreed_last_of_those_that_begin_together(self) -> None:
        agreement = Agreement([version(1, "2019-09-01"), version(3, "2022-04-01"), version(2, "2022-04-01")])
        assert agreement.on(date(2023, 1, 1)).number == 2

    def test_does_not_follow_the_order_of_agreement_otherwise(self) -> None:
        agreement = Agreement([version(1, "2019-09-01"), version(2, "2023-04-01"), version(3, "2022-04-01")])
        assert agreement.on(date(2023, 3, 31)).number == 3
        assert agreement.on(date(2023, 4, 1)).number == 2

    def test_is_nothing_before_the_first(self) -> None:
        with pytest.raises(NoTermsInForce):
            Agreement([version(1, "2019-09-01")]).on(date(2019, 8, 31))

    def test_a_dropped_outcome_keeps_the_limits_that_it_had_last(self) -> None:
        first = [{**outcome, "max_quantity": "10"} for outcome in deepcopy(KIRKLEES)["outcomes"]]
        second = [{**outcome, "max_quantity": "20"} for outcome in deepcopy(KIRKLEES)["outcomes"]]
        agreement = Agreement(
            [
                version(1, "2019-09-01", outcomes=first),
                version(2, "2021-04-01", outcomes=second),
                version(3, "2022-04-01", outcomes=without("JOB")),
            ]
        )
        assert agreement.outcome_limits("job", date(2021, 3, 31)).max_quantity == Quantity.parse("10")
        assert agreement.outcome_limits("job", date(2023, 1, 1)).max_quantity == Quantity.parse("20")
        assert agreement.outcome_limits("HOME", date(2023, 1, 1)).max_quantity is None
        with pytest.raises(LookupError):
            agreement.outcome_limits("UNHEARD-OF", date(2023, 1, 1))

    def test_a_dropped_payer_keeps_its_maximum(self) -> None:
        council_alone = [{"party": COUNCIL, "share": "1", "payee": PRIME}]
        agreement = Agreement([version(1, "2019-09-01"), version(2, "2022-04-01", payers=council_alone)])
        assert agreement.payer_limits(FUND, date(2023, 1, 1)).maximum == Money.parse("6600000.00")


NO_TERMS = Agreement(())
NOTHING_STANDS: dict[str, dict[str, Any]] = {
    "outcome_quantity": {},
    "outcome_amount": {},
    "year_amount": {},
    "award_amount": {},
    "maximum": {},
}


class TestLowered:
    @pytest.mark.parametrize(
        ("limit", "name", "stands", "fits", "where"),
        [
            ("outcome_quantity", "HOME", Quantity.parse("10.0001"), Quantity.parse("10"), "outcomes.0.max_quantity"),
            ("outcome_amount", "HOME", Money.parse("14000.01"), Money.parse("14000.00"), "outcomes.0.max_amount"),
            ("year_amount", "2021-22", Money.parse("500000.01"), Money.parse("500000.00"), "year_amounts.2021-22"),
            ("year_amount", "2022-23", Money.parse("600000.01"), Money.parse("600000.00"), "year_amounts.2022-23"),
            ("award_amount", "", Money.parse("22300000.01"), Money.parse("22300000.00"), "award_amount"),
            ("maximum", FUND, Money.parse("6600000.01"), Money.parse("6600000.00"), "payers.0.maximum"),
        ],
    )
    def test_says_which_limit_lies_under_what_stands(
        self, limit: str, name: str, stands: Money | Quantity, fits: Money | Quantity, where: str
    ) -> None:
        limited = changed(
            lambda it: (
                it["outcomes"][0].update(max_quantity="10", max_amount="14000.00"),
                it.update(year_amount="600000.00", year_amounts={"2021-22": "500000.00"}),
            )
        )
        assert [fault.where for fault in lowered(limited, NO_TERMS, {**NOTHING_STANDS, limit: {name: stands}})] == [where]
        assert not list(lowered(limited, NO_TERMS, {**NOTHING_STANDS, limit: {name: fits}}))

    def test_lets_a_limit_be_as_it_was_though_it_lies_under_what_stands_since_a_decommitment(self) -> None:
        stands = {**NOTHING_STANDS, "award_amount": {"": Money.parse("1400.00")}, "maximum": {FUND: Money.parse("407.11")}}

        def limited(award_amount: str, maximum: str) -> Json:
            return {
                "award_amount": award_amount,
                "payers": [{**KIRKLEES["payers"][0], "maximum": maximum}, KIRKLEES["payers"][1]],
            }

        before = Agreement([version(1, "2021-08-01", **limited("1000.00", "300.00"))])

        def faults(**changes: object) -> list[str]:
            return [fault.where for fault in lowered(terms(effective_from="2021-09-01", **changes), before, stands)]

        assert faults(**limited("1000.00", "300.00")) == faults(**limited("1200.00", "400.00")) == []
        assert faults(**limited("999.99", "299.99")) == ["award_amount", "payers.0.maximum"]

    def test_finds_nothing_where_there_is_no_limit(self) -> None:
        stands = {**NOTHING_STANDS, "outcome_amount": {"HOME": Money(10**12)}, "maximum": {COUNCIL: Money(10**12)}}
        assert not list(lowered(terms(), NO_TERMS, stands))
