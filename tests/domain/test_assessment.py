"""The worked examples of the rules, to the penny (M2, M3, M5, M6, M7)."""

from collections.abc import Mapping, Sequence
from datetime import date

import pytest

from domain.aggregate import Token
from domain.assessment import AcceptedLine, Accumulator, AssessedLine, Assessment, Standing, assess, next_parts
from domain.money import NOTHING, Money, Quantity, Share, largest_remainder, value, whole_weights
from domain.terms import Agreement, Version
from tests.domain.kirklees import COUNCIL, FUND, PRIME, TERMS, terms

DECIDED = date(2021, 10, 4)
ANA = Token("ana")


def pounds(text: str) -> Money:
    return Money.parse(text)


def an_agreement(*versions: Mapping[str, object]) -> Agreement:
    return Agreement([Version(number=n, terms=terms(**each), proposed_by="amina") for n, each in enumerate(versions or ({},), 1)])


def a_line(
    number: int, accepted: str, outcome: str = "HOME", quantity: str = "1", achieved_on: str = "2021-07-14"
) -> AcceptedLine:
    return AcceptedLine(
        line=number,
        outcome=outcome,
        participant=ANA,
        achieved_on=date.fromisoformat(achieved_on),
        quantity=Quantity.parse(quantity),
        accepted=pounds(accepted),
    )


def assessed(
    *lines: AcceptedLine,
    agreement: Agreement | None = None,
    standing: Standing | None = None,
    received_on: date = DECIDED,
    before: str = "0.00",
) -> Assessment:
    return assess(
        lines,
        agreement or an_agreement(),
        standing or Standing(),
        decided_on=DECIDED,
        received_on=received_on,
        participants={ANA: pounds(before)},
    )


def allotted(line: AssessedLine) -> list[str]:
    return [str(each.allotted) for each in line.allotments]


class TestValue:
    """M3: price × quantity ÷ per, rounded once, half away from zero."""

    @pytest.mark.parametrize(
        ("price", "quantity", "per", "worth"),
        [
            ("850.00", "24", 7, "2914.29"),
            ("850.00", "3.4286", 1, "2914.31"),
            ("850.00", "0.3333", 1, "283.31"),
            ("0.01", "0.5", 1, "0.01"),
            ("0.01", "0.4999", 1, "0.00"),
            ("999999999.99", "1", 1, "999999999.99"),
        ],
    )
    def test_is_rounded_once(self, price: str, quantity: str, per: int, worth: str) -> None:
        assert str(value(pounds(price), Quantity.parse(quantity), per)) == worth

    def test_rounds_half_away_from_zero_below_zero_too(self) -> None:
        assert str(value(Money(-1), Quantity.parse("0.5"))) == "-0.01"


class TestLimits:
    """M5: each limit curtails what the one before it left, and says so under its name."""

    def test_the_fourth_line_of_one_participant_is_curtailed(self) -> None:
        agreement = an_agreement({"participant_amount": "11700.00"})
        amounts = ("1100.00", "3300.00", "5100.00", "3500.00")
        *whole, last = assessed(*(a_line(n, amount) for n, amount in enumerate(amounts, 1)), agreement=agreement).lines
        assert [str(line.assessed) for line in whole] == ["1100.00", "3300.00", "5100.00"]
        assert str(last.assessed) == "2200.00"
        assert [(each.limit, each.left, str(each.curtailed)) for each in last.limits if each.curtailed] == [
            ("participant_amount", "2200.00", "1300.00")
        ]

    def test_the_quantity_is_cut_with_its_fractions_and_valued_anew(self) -> None:
        card = [{**TERMS["outcomes"][1], "max_quantity": "30.5"}]  # type: ignore[index]
        first, second = assessed(
            a_line(1, "2914.29", "WEEKS", "24"), a_line(2, "1214.29", "WEEKS", "10"), agreement=an_agreement({"outcomes": card})
        ).lines
        assert str(first.payable) == "24"
        assert str(second.payable) == "6.5"
        assert str(second.assessed) == "789.29"
        assert next((each.limit, str(each.curtailed)) for each in second.limits) == ("outcome_quantity", "425.00")

    def test_each_limit_takes_only_what_the_one_before_it_left(self) -> None:
        card = [{**TERMS["outcomes"][0], "max_quantity": "9", "max_amount": "9000.00"}]  # type: ignore[index]
        agreement = an_agreement(
            {
                "outcomes": card,
                "participant_amount": "10000.00",
                "year_amounts": {"2021-22": "8000.00"},
                "award_amount": "7000.00",
            }
        )
        (line,) = assessed(a_line(1, "14000.00", quantity="10"), agreement=agreement).lines
        assert [(each.limit, str(each.curtailed)) for each in line.limits] == [
            ("outcome_quantity", "1400.00"),
            ("participant_amount", "2600.00"),
            ("outcome_amount", "1000.00"),
            ("year_amount", "1000.00"),
            ("award_amount", "1000.00"),
        ]
        assert str(line.assessed) == "7000.00"

    def test_a_limit_that_is_just_reached_curtails_nothing(self) -> None:
        (line,) = assessed(a_line(1, "1400.00"), agreement=an_agreement({"award_amount": "1400.00"})).lines
        assert line.curtailed == NOTHING

    def test_a_limit_that_is_missed_by_a_penny_curtails_a_penny(self) -> None:
        (line,) = assessed(a_line(1, "1400.00"), agreement=an_agreement({"award_amount": "1399.99"})).lines
        assert str(line.curtailed) == "0.01"

    def test_years_run_from_april_to_march_by_achievement(self) -> None:
        agreement = an_agreement({"year_amount": "1000.00"})
        march, april = assessed(
            a_line(1, "1400.00", achieved_on="2021-03-31"), a_line(2, "1400.00", achieved_on="2021-04-01"), agreement=agreement
        ).lines
        assert (str(march.assessed), str(april.assessed)) == ("1000.00", "1000.00")

    def test_limits_are_those_of_the_day_of_the_decision(self) -> None:
        agreement = an_agreement({"award_amount": "5000.00"}, {"award_amount": "6000.00", "effective_from": "2021-10-01"})
        (line,) = assessed(a_line(1, "5600.00"), agreement=agreement).lines
        assert (line.version, str(line.assessed)) == (1, "5600.00")

    def test_an_outcome_that_is_no_longer_named_keeps_its_last_limits(self) -> None:
        capped = {**TERMS["outcomes"][0], "max_amount": "1000.00"}  # type: ignore[index]
        without = {"outcomes": [TERMS["outcomes"][3]], "effective_from": "2021-08-01"}  # type: ignore[index]
        (line,) = assessed(a_line(1, "1400.00"), agreement=an_agreement({"outcomes": [capped]}, without)).lines
        assert str(line.assessed) == "1000.00"


class TestParts:
    """M6: the split of the cumulative amount, less the parts given so far."""

    def test_three_times_700_by_180_of_619(self) -> None:
        lines = assessed(*(a_line(n, "700.00") for n in (1, 2, 3))).lines
        assert [str(line.allotments[0].part) for line in lines] == ["203.55", "203.56", "203.55"]
        assert [str(line.after) for line in lines] == ["700.00", "1400.00", "2100.00"]

    def test_three_payers_of_a_thousand_pounds_and_a_penny(self) -> None:
        weights = whole_weights([Share("30/100"), Share("45/100"), Share("25/100")])
        so_far, seen = Accumulator(parts=(NOTHING,) * 3), []
        for _ in range(3):
            parts = next_parts(so_far, pounds("1000.01"), weights)
            given = tuple(had + part for had, part in zip(so_far.parts, parts, strict=True))
            so_far = Accumulator(so_far.assessed + pounds("1000.01"), given)
            seen.append("/".join(map(str, parts)))
        assert seen == ["300.00/450.01/250.00", "300.01/450.00/250.00", "300.00/450.00/250.01"]

    def test_a_part_is_never_negative(self) -> None:
        so_far = Accumulator(pounds("0.02"), (Money(1), Money(1), NOTHING))
        parts = next_parts(so_far, Money(1), (1, 1, 4))
        assert sum(parts) == 1
        assert min(parts) >= 0

    def test_the_largest_remainder_takes_the_missing_penny_and_ties_go_by_order(self) -> None:
        assert largest_remainder(100, (1, 1, 1)) == [34, 33, 33]
        assert largest_remainder(200, (1, 1, 1)) == [67, 67, 66]

    def test_the_same_list_of_shares_goes_on_in_a_later_version(self) -> None:
        agreement = an_agreement({}, {"effective_from": "2021-07-01"})
        june = a_line(1, "700.00", achieved_on="2021-06-30")
        first, second = assessed(june, a_line(2, "700.00", achieved_on="2021-07-01"), agreement=agreement).lines
        assert (first.version, second.version) == (1, 2)
        assert str(second.before) == "700.00"
        assert str(second.allotments[0].part) == "203.56"


class TestAllotments:
    """M7: a payer's maximum is hard; what it cannot be allotted goes where the terms say."""

    def shared(self, shortfall: str, council_maximum: str | None = None, **of_fund: object) -> Agreement:
        payers = [
            {"party": FUND, "share": "41/100", "maximum": "683620.00", "payee": PRIME, **of_fund},
            {"party": COUNCIL, "share": "59/100", "payee": PRIME, "maximum": council_maximum},
        ]
        return an_agreement({"payers": payers, "shortfall": shortfall})

    def after(self, agreement: Agreement, council: str = "0.00", received_on: date = DECIDED) -> AssessedLine:
        standing = Standing(allotted={FUND: pounds("683000.00"), COUNCIL: pounds(council)})
        return assessed(a_line(1, "5000.00"), agreement=agreement, standing=standing, received_on=received_on).lines[0]

    def test_the_residual_payer_takes_what_the_maximum_cuts_off(self) -> None:
        line = self.after(self.shared("residual-payer"))
        assert allotted(line) == ["620.00", "4380.00"]
        assert [str(each.shortfall) for each in line.allotments] == ["1430.00", "0.00"]
        assert line.unfunded == NOTHING

    def test_says_what_was_left_of_each_maximum(self) -> None:
        line = self.after(self.shared("residual-payer", council_maximum="3000.00"), council="100.00")
        assert [str(each.left) for each in line.allotments] == ["620.00", "2900.00"]
        assert [each.left for each in self.after(self.shared("unfunded")).allotments][1] is None

    def test_or_nobody_does(self) -> None:
        line = self.after(self.shared("unfunded"))
        assert allotted(line) == ["620.00", "2950.00"]
        assert str(line.unfunded) == "1430.00"

    def test_the_residual_payer_takes_no_more_than_its_own_maximum(self) -> None:
        line = self.after(self.shared("residual-payer", council_maximum="3000.00"))
        assert allotted(line) == ["620.00", "3000.00"]
        assert str(line.unfunded) == "1380.00"

    def test_the_residual_payers_own_shortfall_is_unfunded(self) -> None:
        line = self.after(self.shared("residual-payer", council_maximum="2000.00"))
        assert allotted(line) == ["620.00", "2000.00"]
        assert str(line.unfunded) == "2380.00"

    @pytest.mark.parametrize(("received_on", "fund"), [("2021-09-30", "620.00"), ("2021-10-01", "0.00")])
    def test_claims_received_after_claims_until_allot_nothing(self, received_on: str, fund: str) -> None:
        agreement = self.shared("residual-payer", claims_until="2021-09-30")
        assert allotted(self.after(agreement, received_on=date.fromisoformat(received_on)))[0] == fund

    def test_the_accumulator_counts_parts_not_allotments(self) -> None:
        result = assessed(
            a_line(1, "5000.00"),
            agreement=self.shared("residual-payer"),
            standing=Standing(allotted={FUND: pounds("683620.00")}),
        )
        (accumulator,) = result.standing.accumulators.values()
        assert [str(part) for part in accumulator.parts] == ["2050.00", "2950.00"]
        assert allotted(result.lines[0]) == ["0.00", "5000.00"]


class TestStanding:
    def test_is_what_the_lines_consumed(self) -> None:
        result = assessed(a_line(1, "1400.00"), a_line(2, "2914.29", "WEEKS", "24"), before="100.00")
        standing = result.standing
        assert standing.quantities == {"HOME": Quantity.parse("1"), "WEEKS": Quantity.parse("24")}
        assert standing.outcomes == {"HOME": pounds("1400.00"), "WEEKS": pounds("2914.29")}
        assert standing.years == {"2021-22": pounds("4314.29")}
        assert result.participants == {ANA: pounds("4414.29")}
        assert sum(standing.allotted.values()) == standing.assessed == pounds("4314.29")

    def test_lines_are_taken_in_the_order_of_their_numbers(self) -> None:
        lines: Sequence[AcceptedLine] = (a_line(2, "700.00"), a_line(1, "700.00"))
        assert [line.line for line in assessed(*lines).lines] == [1, 2]
