"""Accruals, statements and the fund's position over HTTP: they add up, on both axes."""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from threading import current_thread
from typing import Any

import pytest
from sqlalchemy import event

from domain.money import Money
from tests.api import story
from tests.api.story import AWARD, Service, slug
from tests.api.test_clawbacks import AWARD_ITSELF, CLAWBACKS, CLAWING, RECEIVABLE
from tests.api.test_reconsiderations import step, vary

ACCRUAL, STATEMENT = f"{AWARD_ITSELF}/accrual", f"{AWARD_ITSELF}/statement"
MOST_STATEMENTS = 16
"""Of them, what finds out who asks and how far the log goes are most."""
MOVEMENTS = ("assessed", "other_payments", "recovered", "written_off")


def pence(row: dict[str, Any], *names: str) -> int:
    return sum(int(Money.parse(row[name])) for name in names)


def expect_rolled_forward(told: dict[str, Any]) -> None:
    """Every year begins with what the one before it ended with, and its movements make its end."""
    before = 0
    for year in told["years"]:
        assert pence(year, "opening") == before
        before = pence(year, "closing")
        assert before == pence(year, "opening", *MOVEMENTS) - pence(year, "unfunded", "paid")


async def paid(service: Service) -> None:
    await story.submit(service)
    await story.verify(service)
    await story.approve(service)
    await story.draw_up(service)
    await service.rhea.does("/v1/payment-runs/KIR-2021-10/release")
    payment = await service.first.reads(f"{AWARD_ITSELF}/payments/1/{story.KIRKLEES}")
    await story.settle(service, payment["amount"])


async def both_paid(service: Service, *, on: str) -> None:
    """Two homes of a day, for which both payers paid."""
    await story.submit(service, lines=[story.line(on=on), story.line(participant="KIR-0043", on=on)])
    await story.verify(service)
    for payer in (story.KIRKLEES, story.TOP_UP):
        run = f"RUN-{payer}"
        await story.approve(service, payer=payer)
        await story.draw_up(service, run=run, payer=payer)
        await service.rhea.does(f"/v1/payment-runs/{run}/release")
        payment = await service.first.reads(f"{AWARD_ITSELF}/payments/1/{payer}")
        await story.settle(service, payment["amount"], run=run, bank=f"BACS-{payer}")


async def claw_back(service: Service) -> None:
    """Have the first home taken back, by two persons."""
    await service.vera.does(CLAWBACKS, CLAWING)
    await service.first.does(f"{CLAWBACKS}/CB-1/agreement")


async def halve(service: Service) -> None:
    """Agree half the price of a home, back-dated to the beginning."""
    award = await service.first.reads(AWARD_ITSELF)
    outcomes = [{**each, "price": "700.00"} if each["code"] == "ENTRY" else each for each in story.TERMS["outcomes"]]
    await vary(service, outcomes=outcomes, effective_from=award["versions"][0]["terms"]["effective_from"])


class TestAnAccrual:
    async def test_has_what_is_undecided_at_its_rate_and_what_is_unpaid_to_the_penny(self, service: Service) -> None:
        award = await service.first.reads(AWARD_ITSELF)
        outcomes = [{**each, "acceptance_rate": "9/10"} for each in award["versions"][0]["terms"]["outcomes"]]
        await vary(service, outcomes=outcomes)
        await story.submit(service)
        told = await service.ivo.reads(ACCRUAL)
        assert (told["unpaid"], told["expected"], told["accrued"]) == ("0.00", "2520.00", "2520.00")
        (of,) = told["outcomes"]
        assert (of["undecided"], of["acceptance_rate"], of["expected"]) == ("2800.00", "9/10", "2520.00")
        await story.verify(service)
        told = await service.ivo.reads(ACCRUAL)
        assert (told["unpaid"], told["expected"], told["accrued"]) == ("2800.00", "0.00", "2800.00")
        assert sum(pence(payer, "unpaid") for payer in told["payers"]) == 280_000

    async def test_is_as_it_was_on_a_day_and_as_it_was_known(self, service: Service) -> None:
        await story.submit(service)
        known = (await service.first.reads(AWARD_ITSELF + "/balances"))["position"]
        await story.verify(service)
        await story.approve(service)
        earlier = await service.ivo.reads(f"{ACCRUAL}?as_of={known}")
        assert (earlier["unpaid"], pence(earlier, "expected") > 0, earlier["position"]) == ("0.00", True, known)
        before = await service.ivo.reads(f"{ACCRUAL}?effective_on=2020-03-31")
        assert (before["accrued"], before["effective_on"]) == ("0.00", "2020-03-31")

    async def test_shows_what_is_owed_back_apart(self, service: Service) -> None:
        await paid(service)
        await claw_back(service)
        told = await service.ivo.reads(ACCRUAL)
        owed = await service.ivo.reads(RECEIVABLE)
        assert told["receivable"] == owed["open"] != "0.00"
        assert told["accrued"] == told["unpaid"]

    @pytest.mark.parametrize("take_back", [claw_back, halve])
    async def test_of_a_past_year_end_shows_what_was_paid_too_much_as_owed_back(
        self, service: Service, take_back: Callable[[Service], Awaitable[None]]
    ) -> None:
        """Two homes of 2 February 2021 at £1,400.00, paid in October; one is taken back, or both halved, after March 2022."""
        await both_paid(service, on="2021-02-02")
        known = (await service.audrey.reads(ACCRUAL))["position"]
        service.clock.forward(days=210)
        await take_back(service)
        for effective_on, figures in {
            "2021-01-31": ("0.00", "0.00", "0.00"),
            "2021-03-31": ("1400.00", "1400.00", "0.00"),  # Nobody had paid yet, so that nothing is owed back.
            "2022-03-31": ("0.00", "0.00", "1400.00"),
            "2022-06-30": ("0.00", "0.00", "1400.00"),
        }.items():
            told = await service.audrey.reads(f"{ACCRUAL}?effective_on={effective_on}")
            for each in (told, await service.audrey.reads(f"/v1/fund/accrual?effective_on={effective_on}")):
                assert (each["accrued"], each["unpaid"], each["receivable"]) == figures
            assert sum(pence(payer, "unpaid") for payer in told["payers"]) == pence(told, "unpaid")
            assert sum(pence(payer, "receivable") for payer in told["payers"]) == pence(told, "receivable")
        as_known = await service.audrey.reads(f"{ACCRUAL}?effective_on=2022-03-31&as_of={known}")
        assert (as_known["accrued"], as_known["unpaid"], as_known["receivable"]) == ("0.00", "0.00", "0.00")
        balances = await service.audrey.reads(f"{AWARD_ITSELF}/balances?effective_on=2022-03-31")
        assert balances["trial_balance"] == "0.00"
        for each in (balances, *balances["years"]):
            assert (each["due"], each["open"], each["paid"]) == ("0.00", "1400.00", "2800.00")
            assert pence(each, "assessed") == pence(each, "allotted", "unfunded") - pence(each, "reversed")
        assert {payer["payer"]: payer["open"] for payer in balances["payers"]} == {
            story.KIRKLEES: "992.89",
            story.TOP_UP: "407.11",
        }
        position = await service.audrey.reads("/v1/fund/position?effective_on=2022-03-31")
        assert (position["unpaid"], position["receivable"], position["paid"]) == ("0.00", "1400.00", "2800.00")
        statement = await service.audrey.reads(STATEMENT)
        expect_rolled_forward(statement)
        closings = {year["year"]: year["closing"] for year in statement["years"]}
        assert closings == {"2020-21": "1400.00", "2021-22": "-1400.00", "2022-23": "-1400.00"}

    async def test_of_a_past_year_end_takes_what_was_not_sent_yet_off_what_was_approved(self, service: Service) -> None:
        """What is taken back later of a payment that was approved, and not sent, was never owed back by anybody."""
        await story.submit(service)
        await story.verify(service)
        await story.approve(service)
        day = service.clock.now.date().isoformat()
        service.clock.forward(days=30)
        await claw_back(service)
        told = await service.audrey.reads(f"{ACCRUAL}?effective_on={day}")
        assert (told["unpaid"], told["receivable"]) == ("1400.00", "0.00")
        balances = await service.audrey.reads(f"{AWARD_ITSELF}/balances?effective_on={day}")
        stages = {payer["payer"]: (payer["due"], payer["approved"], payer["open"]) for payer in balances["payers"]}
        assert stages == {story.KIRKLEES: ("0.00", "992.89", "0.00"), story.TOP_UP: ("407.11", "0.00", "0.00")}


class TestAStatement:
    async def test_rolls_forward_through_payment_and_recovery(self, service: Service) -> None:
        await paid(service)
        told = await service.ivo.reads(STATEMENT)
        expect_rolled_forward(told)
        assert told["years"][-1]["paid"] != "0.00"
        await claw_back(service)
        today = service.clock.now.date().isoformat()
        await service.first.does(f"{RECEIVABLE}/recovery", {"amount": "100.00", "reference": "INV-7", "value_date": today})
        told = await service.ivo.reads(STATEMENT)
        expect_rolled_forward(told)
        assert told["years"][-1]["recovered"] == "100.00"
        accrual = await service.ivo.reads(ACCRUAL)
        assert pence(told["years"][-1], "closing") == pence(accrual, "unpaid") - pence(accrual, "receivable")

    async def test_of_the_fund_is_that_of_its_awards(self, service: Service) -> None:
        await paid(service)
        assert (await service.audrey.reads("/v1/fund/statement"))["years"] == (await service.audrey.reads(STATEMENT))["years"]
        fund, alone = await service.audrey.reads("/v1/fund/accrual"), await service.audrey.reads(ACCRUAL)
        assert (fund["accrued"], fund["years"], fund["awards"]) == (alone["accrued"], alone["years"], [alone])

    async def test_of_the_fund_is_for_those_who_oversee_it(self, service: Service) -> None:
        for what in ("accrual", "statement", "position"):
            assert slug(await service.ivo.get(f"/v1/fund/{what}")) == (403, "role-is-missing")
            assert slug(await service.cora.get(f"/v1/fund/{what}")) == (403, "role-is-missing")
        assert slug(await service.audrey.get("/v1/awards/INDIGO-POJ-9999/accrual")) == (404, "no-such-award")


class TestTheFund:
    @pytest.mark.parametrize("moment", ["", "?effective_on=2021-09-30", "?effective_on=2021-09-29", "?as_of=20"])
    async def test_takes_as_many_statements_however_many_awards_there_are(self, service: Service, moment: str) -> None:
        await paid(service)
        asked = ("accrual", "statement", "position")
        few = [await statements(service, f"/v1/fund/{what}{moment}") for what in asked]
        award = await service.first.reads(AWARD_ITSELF)
        for number in range(12):
            registration = {"reference": f"INDIGO-POJ-02{number:02}", "title": "Mill", "terms": award["versions"][0]["terms"]}
            await service.first.does("/v1/awards", registration)
        assert [await statements(service, f"/v1/fund/{what}{moment}") for what in asked] == few
        assert max(few) <= MOST_STATEMENTS


async def statements(service: Service, question: str) -> int:
    """How many statements a question takes, in both databases, but for those by which others hear how far the log goes."""
    said: list[str] = []

    def count(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "FROM heads" not in statement and not current_thread().name.startswith("follower"):
            said.append(statement)

    engines = service.app.state.ledger.log.engine, service.app.state.views._tables.engine
    for engine in engines:
        event.listen(engine, "before_cursor_execute", count)
    try:
        await service.audrey.reads(question)
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", count)
    return len(said)


class TestTheFundsPosition:
    async def test_releases_what_a_closed_award_did_not_use(self, service: Service) -> None:
        await paid(service)
        before = await service.audrey.reads("/v1/fund/position")
        assert (before["released"], before["committed"]) == ("0.00", before["limit"])
        assert pence(before, "remaining") == pence(before, "committed") - pence(before, "assessed", "other_payments")
        service.clock.forward(days=1)
        await service.first.does(f"{AWARD_ITSELF}/closing")
        after = await service.audrey.reads("/v1/fund/position")
        assert (after["remaining"], after["committed"]) == ("0.00", after["assessed"])
        assert pence(after, "released") == pence(before, "remaining")
        yesterday = (service.clock.now.date() - timedelta(days=1)).isoformat()
        then = await service.audrey.reads(f"/v1/fund/position?effective_on={yesterday}")
        assert (then["released"], then["committed"]) == ("0.00", then["limit"])
        (row,) = after["awards"]
        assert (row["award"], row["status"], row["released"]) == (AWARD, "closed-to-claims", after["released"])

    async def test_commits_nothing_for_an_award_that_nobody_agreed(self, service: Service) -> None:
        award = await service.first.reads(AWARD_ITSELF)
        registration = {"reference": "INDIGO-POJ-0195", "title": "The Skill Mill", "terms": award["versions"][0]["terms"]}
        before = await service.audrey.reads("/v1/fund/position")
        await service.first.does("/v1/awards", registration)
        after = await service.audrey.reads("/v1/fund/position")
        assert (after["committed"], len(after["awards"])) == (before["committed"], 2)

    async def test_is_that_of_its_day(self, service: Service) -> None:
        """Terms in force since September 2019, and agreed on 1 October 2021; closed on 3 October, reopened on the 6th."""
        await paid(service)
        service.clock.forward(days=2)
        await service.first.does(f"{AWARD_ITSELF}/closing")
        closed = (await service.audrey.reads("/v1/fund/position"))["position"]
        service.clock.forward(days=3)
        await step(service, "reopen")
        whole, used = story.TERMS["award_amount"], "2800.00"
        for moment, (status, limit, committed) in {
            "effective_on=2010-01-01": (None, "0.00", "0.00"),
            "effective_on=2019-08-31": (None, "0.00", "0.00"),
            "effective_on=2019-09-01": (None, whole, whole),
            "effective_on=2021-10-02": ("active", whole, whole),
            "effective_on=2021-10-03": ("closed-to-claims", whole, used),
            f"effective_on=2021-10-02&as_of={closed}": ("active", whole, whole),
            f"effective_on=2021-10-08&as_of={closed}": ("closed-to-claims", whole, used),
            f"as_of={closed}": ("closed-to-claims", whole, used),
            "effective_on=2021-10-06": ("active", whole, whole),
        }.items():
            told = await service.audrey.reads(f"/v1/fund/position?{moment}")
            (row,) = told["awards"]
            assert (moment, row["status"], row["limit"], row["committed"]) == (moment, status, limit, committed)
            assert (told["limit"], told["committed"]) == (limit, committed)
            assert pence(told, "released") == pence(told, "limit") - pence(told, "committed")
            assert pence(told, "remaining") == pence(told, "committed") - pence(told, "assessed", "other_payments") >= 0

    async def test_commits_what_was_agreed_for_a_day_ahead(self, service: Service) -> None:
        terms = {**story.TERMS, "effective_from": "2021-11-01", "award_amount": "1000000.00"}
        registration = {"reference": "INDIGO-POJ-0195", "title": "The Skill Mill", "terms": terms}
        await service.first.does("/v1/awards", registration)
        service.clock.forward(days=2)
        await service.ada.does("/v1/awards/INDIGO-POJ-0195/agreement")
        rows = {
            day: (await service.audrey.reads(f"/v1/fund/position?effective_on=2021-10-0{day}"))["awards"][-1] for day in (1, 2, 3)
        }
        assert [(row["status"], row["committed"]) for row in rows.values()] == [
            ("registered", "0.00"), ("registered", "0.00"), ("active", "1000000.00"),
        ]  # fmt: skip
