"""Why an amount is what it is: what an assessment recorded of a line, told step by step in words that anybody follows.

Nothing is assessed a second time here. Each step states figures that were recorded, or that the same functions of `domain.money`
make of them, and what they come to; the last one is the amount that was recorded. A sentence that calculates writes the
calculation down (`£850.00 × 24 ÷ 7 = £2,914.29`), so that whoever doubts it can press the keys.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, Final

from domain.aggregate import Aggregate, PersonId
from domain.assessment import (
    Allotment,
    AssessedLine,
    Curtailment,
    LimitName,
    ReversedLine,
    Stands,
    StatedAmount,
    shares_key,
    shares_of,
)
from domain.award import Award, AwardAssessed
from domain.calendar import financial_year
from domain.claim import Line
from domain.money import NOTHING, Money, largest_remainder, total, value, whole_weights
from domain.payment import Payment
from domain.record import Record
from domain.wording import day, listed, many, pounds, quoted, valued

Recorded = AssessedLine | ReversedLine


class Step(Record):
    """One step of an explanation: the rule that it follows (M1 to M12), in a sentence, and the amount that it comes to."""

    rule: str
    says: str
    amount: Money | None = None


class Explanation(Record):
    """An amount, and the steps that lead to it. The last one ends in it."""

    amount: Money
    version: int
    """The version of the terms by which it is priced and split."""
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class AssessmentsMade(Aggregate):
    """What an award was before each of its assessments, with what the assessment said."""

    award: Award | None = None
    made: tuple[tuple[Award, AwardAssessed], ...] = ()

    @classmethod
    def evolve(cls, state: "AssessmentsMade | None", event: Any, by: PersonId) -> "AssessmentsMade":
        """The same after an event of the award."""
        before = state or cls()
        made = before.made
        if isinstance(event, AwardAssessed) and before.award is not None:
            made = (*made, (before.award, event))
        return replace(before, award=Award.evolve(before.award, event, by), made=made)


def stood_before(line: Line, assessment: int) -> Stands:
    """What stood of a line before an assessment."""
    stands = Stands()
    for number, each in line.assessments:
        if number == assessment:
            break
        stands = stands + each if isinstance(each, AssessedLine) else stands - each
    return stands


Given = Mapping[tuple[str, Money], Sequence[Money]]
"""Parts by a list of shares, and by what had been assessed under it by then."""


def given_before(award: Award, moved: Iterable[Recorded]) -> Given:
    """The parts of each payer before each line of an assessment, in one pass over all that it recorded.

    `award` is as it was before. What an assessment takes back it takes back before it assesses anything anew.
    """
    given = {key: each.parts for key, each in award.standing.accumulators.items()}
    anew: list[AssessedLine] = []
    for each in moved:
        if isinstance(each, AssessedLine):
            anew.append(each)
        else:
            key = shares_key(shares_of(award.versions[each.version - 1].terms))
            given[key] = tuple(Money(had - back.part) for had, back in zip(given[key], each.reversals, strict=True))
    found: dict[tuple[str, Money], Sequence[Money]] = {}
    for line in sorted(anew, key=lambda line: (line.before, line.after)):
        key = _key(line.allotments)
        had = found[key, line.before] = given.get(key) or (NOTHING,) * len(line.allotments)
        given[key] = tuple(Money(so_far + each.part) for so_far, each in zip(had, line.allotments, strict=True))
    return found


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of a line that an assessment moved."""

    award: Award
    """As it was just before the assessment."""
    on: date
    """The day of the assessment, whose limits hold (M2)."""
    received_on: date
    """When the line's claim was received."""
    before: Stands
    """What stood of the line before the assessment."""
    moved: Sequence[Recorded]
    """What the assessment recorded of the line: assessed, taken back, or first taken back and then assessed anew."""
    given: "Given"
    """What payers had been given before each line of the assessment (`given_before`)."""


def explain(told: Told) -> Explanation:
    """What an assessment did to a line: its assessed amount, less what was taken back of it."""
    steps: list[Step] = []
    stands = told.before
    for each in told.moved:
        steps += _taken_back(each, stands) if isinstance(each, ReversedLine) else _assessed(each, stands, told)
        stands = stands - each if isinstance(each, ReversedLine) else stands + each
    amount = stands.assessed - told.before.assessed
    steps.append(_ends(told.moved, amount))
    return Explanation(amount=amount, version=told.moved[-1].version, steps=tuple(steps))


def _ends(moved: Sequence[Recorded], amount: Money) -> Step:
    line = moved[-1].line
    if len(moved) > 1:
        back, anew = (total(amounts) for amounts in zip(*map(_both, moved), strict=True))
        says = f"So this assessment changes line {line} by {pounds(anew)} − {pounds(back)} = {pounds(amount)}."
    elif isinstance(moved[0], ReversedLine):
        says = f"So {pounds(moved[0].reversed)} is taken back of line {line}: a change of {pounds(amount)}."
    else:
        says = f"So line {line} is assessed at {pounds(amount)}."
    return Step(rule="M11", says=says, amount=amount)


def _both(each: Recorded) -> tuple[Money, Money]:
    return (each.reversed, NOTHING) if isinstance(each, ReversedLine) else (NOTHING, each.assessed)


# Assessed (M2 to M7) --------------------------------------------------------------------------------------------------


def _assessed(line: AssessedLine, stands: Stands, told: Told) -> Iterator[Step]:
    yield _in_force(line, told)
    yield from _accepted(line, stands, told)
    yield from _curtailed(line, stands)
    given = told.given[_key(line.allotments), line.before]
    yield from _parts(line.allotments, line.before, line.assessed, given)
    yield from _allotted(line.allotments, line.unfunded, line.assessed, told)


def _in_force(line: AssessedLine, told: Told) -> Step:
    limits = told.award.agreement.on(told.on).number
    of = "the same version" if limits == line.version else f"version {limits}, in force on {day(told.on)},"
    return Step(
        rule="M2",
        says=f"{line.outcome} was achieved on {day(line.achieved_on)}. Version {line.version} of the terms was in force on that"
        f" day: it says the price and the shares. The decision is of {day(told.on)}; {of} says the limits.",
    )


def _accepted(line: AssessedLine, stands: Stands, told: Told) -> Iterator[Step]:
    """Why what was newly accepted is worth what it is (M3, M4), or what is assessed anew (M9)."""
    rate = quoted(line.price, line.per)
    worth = value(line.price, line.quantity, line.per)
    so_far = stands.quantity + line.quantity
    all_so_far, before = value(line.price, so_far, line.per), stands.assessed + stands.curtailed
    if worth == line.accepted:
        says = f"{line.quantity} accepted at {rate}: {valued(line.price, line.quantity, line.per)}, rounded once to the penny."
        yield Step(rule="M3", says=says, amount=line.accepted)
    elif len(told.moved) > 1 and told.before.assessed + told.before.curtailed == line.accepted:
        sums = f"{pounds(told.before.assessed)} + {pounds(told.before.curtailed)} = {pounds(line.accepted)}"
        says = f"{line.quantity} at an unchanged price, {rate}, are worth what they stood at, penny for penny: {sums}."
        yield Step(rule="M9", says=says, amount=line.accepted)
    elif all_so_far - before == line.accepted:
        says = f"With what was accepted before, {so_far} are accepted at {rate}: {valued(line.price, so_far, line.per)}."
        yield Step(rule="M4", says=says, amount=all_so_far)
        less = f"{pounds(all_so_far)} − {pounds(before)} = {pounds(line.accepted)}"
        says = f"What was accepted before counts as {pounds(before)}: {less}."
        yield Step(rule="M4", says=says, amount=line.accepted)
    else:
        says = (
            f"{line.quantity} accepted at {rate} were valued at {pounds(line.accepted)} by the decisions on the line: each is"
            " worth all that was accepted by then less what had been valued before, so that pennies do not depend on how often"
            " one decides."
        )
        yield Step(rule="M4", says=says, amount=line.accepted)


_LIMITS: Final[Mapping[LimitName, str]] = {
    "outcome_quantity": "the most of this outcome that the award pays for",
    "participant_amount": "the most that the award pays for one participant",
    "outcome_amount": "the most that the award pays for this outcome",
    "year_amount": "the most that the award pays for the financial year {year}",
    "award_amount": "the most that the award pays in all",
}


def _curtailed(line: AssessedLine, stands: Stands) -> Iterator[Step]:
    remaining = line.accepted
    for limit in line.limits:
        remaining = Money(remaining - limit.curtailed)
        of = _LIMITS[limit.limit].format(year=financial_year(line.achieved_on))
        yield Step(rule="M5", says=_cut(limit, of, line, stands, remaining), amount=remaining)


def _cut(limit: Curtailment, of: str, line: AssessedLine, stands: Stands, remaining: Money) -> str:
    name = f"{of} ({limit.limit})"
    left = limit.left if limit.limit == "outcome_quantity" else pounds(Money.parse(limit.left))
    had = remaining + limit.curtailed
    if not limit.curtailed:
        return f"Of {name}, {left} was left: nothing is cut off, and {pounds(remaining)} remains."
    cut = f"{pounds(had)} − {pounds(limit.curtailed)} = {pounds(remaining)} remains"
    if limit.limit != "outcome_quantity":
        return f"Of {name}, {left} was left: {pounds(limit.curtailed)} is cut off, and {cut}."
    payable = f"Of {name}, {left} was left, so that {line.payable} of {line.quantity} can be paid"
    if value(line.price, line.payable, line.per) == remaining:
        return f"{payable}: {valued(line.price, line.payable, line.per)}; {cut}."
    return f"{payable}, which with the {stands.payable} before is worth {pounds(remaining)} more; {cut}."


def _key(allotments: Iterable[Allotment]) -> str:
    return shares_key((each.payer, each.share) for each in allotments)


def _parts(allotments: Sequence[Allotment], before: Money, amount: Money, given: Sequence[Money]) -> Iterator[Step]:
    after = Money(before + amount)
    yield Step(
        rule="M6",
        says="Parts are split from all that was assessed under these shares so far, so that rounding never drifts:"
        f" {pounds(before)} before, and {pounds(before)} + {pounds(amount)} = {pounds(after)} with this.",
        amount=after,
    )
    weights = whole_weights([each.share for each in allotments])
    split = largest_remainder(after, weights)
    for each, weight, whole, had in zip(allotments, weights, split, given, strict=True):
        down = Money(after * weight // sum(weights))
        says = f"{each.payer}, {each.share}: {pounds(after)} × {_share(each.share)} = {pounds(down)}, rounded down"
        if whole > down:
            says += f"; one of the pennies left over goes here, {pounds(down)} + £0.01 = {pounds(Money(whole))}"
        if whole - had == each.part:
            says += f". Less what it was given before: {pounds(Money(whole))} − {pounds(had)} = {pounds(each.part)}."
        else:
            says += (
                f". It was given {pounds(had)} before. No part may be less than nothing, and what others were given too much"
                f" comes off the largest parts: this one is {pounds(each.part)}."
            )
        yield Step(rule="M6", says=says, amount=each.part)


def _allotted(allotments: Sequence[Allotment], unfunded: Money, amount: Money, told: Told) -> Iterator[Step]:
    shortfalls, short = _sum((each.shortfall for each in allotments if each.shortfall), by_line=True)
    for each in allotments:
        if each.shortfall or each.left is not None or each.allotted != each.part:
            yield Step(rule="M7", says=_allotment(each, told), amount=each.allotted)
    if short:
        kept = f", and {pounds(unfunded)} is owed by nobody (unfunded)" if unfunded else ""
        yield Step(rule="M7", says=f"What falls short, {shortfalls}, goes where the terms say{kept}.", amount=short)
    sums = " + ".join([*(pounds(each.allotted) for each in allotments), *([pounds(unfunded)] if unfunded else [])])
    yield Step(rule="M7", says=f"Together that is all of it: {sums} = {pounds(amount)}.", amount=amount)


def _allotment(each: Allotment, told: Told) -> str:
    if each.left is None:
        own = f"{each.payer} has no maximum, and is allotted its part, {pounds(each.part)}"
    elif not each.left and (until := _paid_until(each.payer, told)):
        own = f"{each.payer} pays for claims received by {day(until)}; this one was received on {day(told.received_on)}"
    else:
        own = f"{each.payer} had {pounds(each.left)} left of its maximum"
    pays = Money(each.part - each.shortfall)
    if each.shortfall:
        short = f"{pounds(each.part)} − {pounds(pays)} = {pounds(each.shortfall)} falls short"
        own += f", and is allotted no more than {pounds(pays)} of its part: {short}"
    elif each.left is not None:
        own += f", and is allotted its part, {pounds(pays)}"
    if taken := Money(each.allotted - pays):
        own += f". It takes shortfalls as well: {pounds(pays)} + {pounds(taken)} = {pounds(each.allotted)}"
    return f"{own}."


def _paid_until(payer: str, told: Told) -> date | None:
    until = told.award.agreement.payer_limits(payer, told.on).claims_until
    return until if until is not None and told.received_on > until else None


# Taken back (M8) ------------------------------------------------------------------------------------------------------


def _taken_back(line: ReversedLine, stands: Stands) -> Iterator[Step]:
    before = Money(stands.assessed + stands.curtailed)
    yield Step(
        rule="M8",
        says=f"{line.quantity} of the {stands.quantity} that stood of {line.outcome} is taken back, at"
        f" {quoted(line.price, line.per)}. It stood at what was assessed and what limits had curtailed:"
        f" {pounds(stands.assessed)} + {pounds(stands.curtailed)}"
        f" = {pounds(before)}.",
        amount=before,
    )
    left = Money(before - line.worth)
    yield Step(rule="M8", says=_less(line, before, left), amount=line.worth)
    given_back = [f"{pounds(each.amount)} that {each.limit} had curtailed" for each in line.limits]
    if given_back:
        less = " − ".join(pounds(amount) for amount in (line.worth, *(each.amount for each in line.limits)))
        says = f"What was curtailed is given back first, {listed(given_back)}: {less} = {pounds(line.reversed)} is taken back."
        yield Step(rule="M8", says=says, amount=line.reversed)
    yield Step(
        rule="M6",
        says="All that was assessed under these shares goes back by it:"
        f" {pounds(line.before)} − {pounds(line.reversed)} = {pounds(line.after)}.",
        amount=line.after,
    )
    whole = line.reversed == stands.assessed
    for each in line.reversals:
        had = stands.allotted.get(each.payer, NOTHING)
        how = "all of it" if whole else f"in proportion to {pounds(line.reversed)} of {pounds(stands.assessed)}, to the penny"
        says = f"{each.payer} had been allotted {pounds(had)} of the line; {how}, {pounds(each.reversed)}, is taken back."
        yield Step(rule="M8", says=says, amount=each.reversed)
    if line.unfunded:
        says = f"Of what nobody owed (unfunded), {pounds(line.unfunded)} goes back."
        yield Step(rule="M8", says=says, amount=line.unfunded)
    amounts = [*(each.reversed for each in line.reversals), *([line.unfunded] if line.unfunded else [])]
    yield Step(rule="M8", says=f"Together: {' + '.join(map(pounds, amounts))} = {pounds(line.reversed)}.", amount=line.reversed)


def _less(line: ReversedLine, before: Money, left: Money) -> str:
    less = f"{pounds(before)} − {pounds(left)} = {pounds(line.worth)} less"
    if not line.remaining:
        return f"Nothing remains of it, so that it is worth {less}."
    worth = value(line.price, line.remaining, line.per)
    capped = "" if worth == left else f", but never more than it was, {pounds(left)}"
    return f"{line.remaining} remains, worth {valued(line.price, line.remaining, line.per)}{capped}: the line is worth {less}."


# Paid otherwise than for outcomes (M10) -------------------------------------------------------------------------------


def explain_stated(stated: StatedAmount, award: Award, on: date, dated: date) -> Explanation:
    """How a sum that two persons stated was split and allotted. `award` is as it was before."""
    told = Told(award=award, on=on, received_on=dated, before=Stands(), moved=(), given={})
    known = award.standing.accumulators.get(_key(stated.allotments))
    given = known.parts if known else (NOTHING,) * len(stated.allotments)
    steps = (
        Step(
            rule="M10",
            says=f"Two persons agreed to pay {pounds(stated.amount)} otherwise than for outcomes, dated {day(dated)}, when"
            f" version {stated.version} of the terms was in force. No limit cuts it.",
            amount=stated.amount,
        ),
        *_parts(stated.allotments, stated.before, stated.amount, given),
        *_allotted(stated.allotments, stated.unfunded, stated.amount, told),
    )
    return Explanation(amount=stated.amount, version=stated.version, steps=steps)


# What a payer owes ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Moved:
    """What an assessment recorded of a line of a claim."""

    claim: str
    line: Recorded


def explain_payment(
    payment: Payment, moved: Iterable[Moved], stated: Explanation | None = None, *, by_line: bool = True
) -> Explanation:
    """Why a payer owes what it owes by an assessment: what it was allotted, what was taken back, and what was netted off.

    Lines are told as sums of their claims, with what each adds only `by_line`: investors see no line (section 4). `stated`
    explains the sum, where the payment is not for lines.
    """
    lines = list(moved)
    steps = list(stated.steps if stated else _of_claims(payment, lines, by_line=by_line))
    steps.append(_fell_due(payment, lines, stated))
    left = payment.gross
    for number, amount in payment.netted:
        says = (
            f"{payment.payee} owes {payment.payer} {pounds(amount)} back by assessment {number}, which is taken off:"
            f" {pounds(left)} − {pounds(amount)} = {pounds(Money(left - amount))}."
        )
        left = Money(left - amount)
        steps.append(Step(rule="M8", says=says, amount=left))
    owes = f"{payment.payer} owes {payment.payee} {pounds(payment.amount)} by assessment {payment.assessment}"
    says = f"So {owes}, due on {day(payment.due_on)}."
    steps.append(Step(rule="M11", says=says, amount=payment.amount))
    version = stated.version if stated else max((each.line.version for each in lines), default=1)
    return Explanation(amount=payment.amount, version=version, steps=tuple(steps))


def _of_claims(payment: Payment, lines: Sequence[Moved], *, by_line: bool) -> Iterator[Step]:
    for claim in dict.fromkeys(each.claim for each in lines):
        of_claim = [each.line for each in lines if each.claim == claim]
        anew = [(each, amount) for each in of_claim if isinstance(each, AssessedLine) and (amount := _given(each, payment))]
        back = [(each, amount) for each in of_claim if isinstance(each, ReversedLine) and (amount := _taken(each, payment))]
        if anew:
            sums, amount = _sum((amount for _, amount in anew), by_line=by_line)
            says = f"It was allotted {sums} of {many(len(anew), 'line')} of claim {claim}, each explained by itself."
            yield Step(rule="M7", says=says, amount=amount)
        if back:
            sums, amount = _sum((amount for _, amount in back), by_line=by_line)
            says = f"Of what it had been allotted, {sums} was taken back of {many(len(back), 'line')} of claim {claim}."
            yield Step(rule="M8", says=says, amount=Money(-amount))


def _fell_due(payment: Payment, lines: Sequence[Moved], stated: Explanation | None) -> Step:
    given = _by_claim((each.claim, _given(each.line, payment)) for each in lines if isinstance(each.line, AssessedLine))
    taken = _by_claim((each.claim, _taken(each.line, payment)) for each in lines if isinstance(each.line, ReversedLine))
    due = pounds(payment.gross)
    if stated is not None:
        says = f"Its share of it, {due}, fell due."
    elif not lines:
        says = f"The award's opening position says that {due} of what {payment.payer} was allotted elsewhere is still to be paid."
    elif total(given) == payment.gross and taken:
        says = f"{_sum(given, by_line=True)[0]} fell due; what was taken back had been paid to another payee, who owes it back."
    elif total(given) == payment.gross:
        says = f"That is {_sum(given, by_line=True)[0]}, which fell due."
    elif total(given) - total(taken) == payment.gross:
        less = "".join(f" − {pounds(amount)}" for amount in taken)
        says = f"Set against each other, {_added(given)}{less} = {due} fell due."
    else:
        says = f"Set against each other by payee and year of achievement, {due} fell due; what is less than nothing is owed back."
    return Step(rule="M7", says=says, amount=payment.gross)


def _by_claim(amounts: Iterable[tuple[str, Money]]) -> list[Money]:
    """Sums by claim, as the steps before came to, without those that are nothing."""
    sums: Counter[str] = Counter()
    for claim, amount in amounts:
        sums[claim] += amount
    return [Money(amount) for amount in sums.values() if amount]


def _given(line: AssessedLine, payment: Payment) -> Money:
    return total(each.allotted for each in line.allotments if each.payer == payment.payer)


def _taken(line: ReversedLine, payment: Payment) -> Money:
    return total(each.reversed for each in line.reversals if each.payer == payment.payer)


def _sum(amounts: Iterable[Money], *, by_line: bool) -> tuple[str, Money]:
    """Amounts added up, written down if who asks may see lines, equal ones as so many times."""
    found = list(amounts)
    amount = total(found)
    return (f"{_added(found)} = {pounds(amount)}" if by_line and len(found) > 1 else pounds(amount)), amount


def _added(amounts: Iterable[Money]) -> str:
    times = Counter(amounts)
    return " + ".join(pounds(amount) if count == 1 else f"{count:,} × {pounds(amount)}" for amount, count in times.items())


# Words ----------------------------------------------------------------------------------------------------------------


def _share(share: object) -> str:
    return str(share).replace("/", " ÷ ")
