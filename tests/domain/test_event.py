"""An entry takes effect on its own date, if its event says one, and never before the entry before it or after its recording."""

from collections.abc import Sequence
from datetime import date
from typing import Literal

from hypothesis import given
from hypothesis import strategies as st

from domain.award import AwardAgreed
from domain.calendar import Day
from domain.claim import ClaimLinesAssessed, ClaimLinesListed, ClaimLinesReversed, ClaimReceiptConfirmed, ClaimSubmitted
from domain.event import Event, in_effect, took_effect
from domain.events import BY_NAME
from domain.money import Money
from domain.payment import PaymentApproved, PaymentReported, PaymentReportWithdrawn, PaymentSettled
from domain.terms import Window

RECORDED = date(2021, 10, 4)
EARLIER = date(2021, 9, 30)
FUND = "GB-GOR-D1342"


class Noted(Event):
    type: Literal["note.noted"] = "note.noted"
    on: Day | None = None

    def takes_effect(self) -> date | None:
        return self.on


class NotedFurther(Noted):
    continues = True


def submitted(received_on: date) -> ClaimSubmitted:
    return ClaimSubmitted(
        award="INDIGO-POJ-0175",
        claim="2021-Q3",
        claimant="GB-COH-11503344",
        period=Window(first=date(2021, 7, 1), last=EARLIER),
        received_on=received_on,
        on=RECORDED,
        lines=1,
        value=Money(900_00),
    )


class TestAnEntryTakesEffect:
    def test_when_it_was_recorded_unless_it_says_another_day(self) -> None:
        assert took_effect(AwardAgreed(), RECORDED) == RECORDED
        assert took_effect(PaymentReportWithdrawn(), RECORDED) == RECORDED

    def test_on_a_value_date(self) -> None:
        settled = PaymentSettled(payer=FUND, years={"2021-22": Money(1)}, on=EARLIER, run="R-1", bank_reference="BACS-1")
        reported = PaymentReported(reference="CHQ-7", value_date=EARLIER)
        assert [took_effect(each, RECORDED) for each in (settled, reported)] == [EARLIER, EARLIER]

    def test_on_the_day_on_which_a_claim_was_received_with_its_lines_and_the_confirmation(self) -> None:
        entries = [submitted(EARLIER), ClaimLinesListed(lines=()), ClaimReceiptConfirmed()]
        assert list(in_effect([(each, each, RECORDED) for each in entries], EARLIER)) == entries

    def test_not_before_the_entry_before_it(self) -> None:
        settled = PaymentSettled(payer=FUND, years={"2021-22": Money(1)}, on=EARLIER, run="R-1", bank_reference="BACS-1")
        assert took_effect(settled, RECORDED, before=date(2021, 10, 2)) == date(2021, 10, 2)

    def test_not_after_its_recording(self) -> None:
        approved = PaymentApproved(payer=FUND, years={"2021-22": Money(1)}, on=date(2021, 10, 9))
        assert took_effect(approved, RECORDED) == RECORDED

    def test_with_the_assessment_of_which_it_is_a_part(self) -> None:
        assert took_effect(ClaimLinesAssessed(assessment=1, lines=()), RECORDED, before=EARLIER) == EARLIER
        assert took_effect(NotedFurther(), RECORDED) == RECORDED

    def test_when_it_was_recorded_if_it_takes_back_what_an_earlier_day_gave(self) -> None:
        reversed_ = ClaimLinesReversed(assessment=2, clawed_back=True, lines=())
        anew = ClaimLinesAssessed(assessment=2, lines=())
        taken_back = took_effect(reversed_, RECORDED, before=EARLIER)
        assert (taken_back, took_effect(anew, RECORDED, before=taken_back)) == (RECORDED, RECORDED)

    def test_on_the_day_in_its_field_on_wherever_it_has_that(self) -> None:
        dated = {name for name, event in BY_NAME.items() if event.model_fields.keys() & {"on", "value_date", "received_on"}}
        told = {name for name, event in BY_NAME.items() if event.takes_effect is not Event.takes_effect}
        assert told == dated


DAYS = st.dates(date(2021, 9, 1), date(2021, 12, 31))
STREAMS = st.lists(st.tuples(st.sampled_from([Noted, NotedFurther]), st.none() | DAYS, DAYS), max_size=12).map(
    lambda drawn: [
        (number, kind(on=on), recorded_on)
        for number, ((kind, on, _), recorded_on) in enumerate(zip(drawn, sorted(each[2] for each in drawn), strict=True))
    ]
)


class TestWhatIsInEffect:
    @given(STREAMS, DAYS, DAYS)
    def test_is_a_beginning_that_never_grows_when_the_day_is_earlier(
        self, entries: Sequence[tuple[int, Event, date]], one: date, other: date
    ) -> None:
        less, more = (list(in_effect(entries, day)) for day in sorted((one, other)))
        assert more == list(range(len(more)))
        assert less == more[: len(less)]

    @given(STREAMS)
    def test_is_everything_on_the_day_of_the_last_recording(self, entries: Sequence[tuple[int, Event, date]]) -> None:
        last = entries[-1][2] if entries else RECORDED
        assert len(list(in_effect(entries, last))) == len(entries)
