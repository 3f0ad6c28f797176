"""The journal: postings as plain-text accounting (https://beancount.github.io/docs/beancount_language_syntax.html)."""

from collections import Counter
from datetime import date

from beancount import loader
from beancount.core.data import Transaction

from domain.claim import claim_stream
from domain.journal import account, journal
from domain.money import Money
from domain.postings import Posting, postings
from tests.domain.given import MemoryFacts
from tests.domain.kirklees import COUNCIL, FUND, REFERENCE, line
from tests.domain.test_clawback import claimed, clawed, paid
from tests.domain.test_opening_position import opened, owing


def told(facts: MemoryFacts) -> str:
    happened = (
        (position, REFERENCE, stream, event)
        for position, (stream, event) in enumerate(
            ((stream, event) for stream, events in facts.streams.items() for event, _ in events), 1
        )
    )
    return "".join(journal(happened))


def added_up(text: str, before: date = date.max) -> Counter[str]:
    """What beancount makes of a journal, in pence, by account."""
    entries, errors, _ = loader.load_string(text)
    assert errors == []
    sums: Counter[str] = Counter()
    for entry in entries:
        if isinstance(entry, Transaction) and entry.date < before:
            for posting in entry.postings:
                assert posting.units is not None
                assert posting.units.currency == "GBP"
                sums[posting.account] += int(posting.units.number * 100)  # type: ignore[operator]
    return Counter({name: amount for name, amount in sums.items() if amount})


def _ours(facts: MemoryFacts) -> Counter[str]:
    """What the postings come to, in pence, by account."""
    ours: Counter[str] = Counter()
    for events in facts.streams.values():
        for event, _ in events:
            for posting in postings(event):
                ours[account(REFERENCE, posting)] += int(posting.amount)
    return Counter({name: amount for name, amount in ours.items() if amount})


class TestJournal:
    def test_comes_to_the_sums_of_the_postings(self) -> None:
        facts = claimed(line(), line("WEEKS", "24"))
        paid(facts, 1, "GB-GOR-DCMS")
        clawed(facts, (1, "1"))
        assert added_up(told(facts)) == _ours(facts)
        assert any(name.startswith("Equity:Receivable:Open:") for name in _ours(facts))

    def test_adds_up_an_award_that_began_elsewhere(self) -> None:
        facts = claimed(line(), facts=opened(owing()))
        assert added_up(told(facts), date(2020, 3, 31)) == {}
        first = added_up(told(facts), date(2020, 4, 1))
        in_cash = sum(first[f"Equity:Paid:{REFERENCE}:2019-20:{payer}"] for payer in (FUND, COUNCIL))
        assert first[f"Equity:Assessed:{REFERENCE}:2019-20:HOME"] == in_cash == 7_000_000
        assert added_up(told(facts)) == _ours(facts)

    def test_dates_each_amount_by_its_effective_date(self) -> None:
        facts = claimed(line(achieved_on="2021-07-14"), line(achieved_on="2021-07-15"))
        assert added_up(told(facts), date(2021, 7, 14)) == {}
        first = added_up(told(facts), date(2021, 7, 15))
        assert first["Equity:Assessed:INDIGO-POJ-0175:2021-22:HOME"] == 140_000

    def test_links_each_transaction_to_its_entry(self) -> None:
        text = told(claimed())
        stream = claim_stream(REFERENCE, "2021-Q3").name
        assert f'2021-07-14 * "claim.lines-assessed" "{stream}" ^entry-' in text

    def test_is_nothing_for_what_moves_nothing(self) -> None:
        assert told(MemoryFacts()) == ""


class TestAccount:
    def test_is_named_by_stage_award_year_and_whose_it_is(self) -> None:
        day = date(2021, 7, 14)
        curtailed = Posting("curtailed.award_amount", "home_3.b", None, "2021-22", day, Money(1))
        assert account("Indigo.1", curtailed) == "Equity:Curtailed:AwardAmount:INDIGOdot1:2021-22:HOMElow3dotB"
        assert (
            account("A", Posting("in-run", None, "GB-LAE-KIR", "2021-22", day, Money(1))) == "Equity:InRun:A:2021-22:GB-LAE-KIR"
        )
        assert account("A", Posting("unfunded", None, None, "2021-22", day, Money(1))) == "Equity:Unfunded:A:2021-22"

    def test_is_another_for_every_other_name(self) -> None:
        """A dot, an underscore and a hyphen stay apart, though beancount's names have hyphens only."""
        day = date(2021, 7, 14)
        names = {account("A", Posting("assessed", code, None, "2021-22", day, Money(1))) for code in ("H-1", "H.1", "H_1", "H1")}
        assert len(names) == 4
