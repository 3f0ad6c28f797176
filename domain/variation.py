"""Variation: a further version of the terms is agreed by a second person, and what it changes of the past is reassessed (M9)."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from domain.aggregate import Actor, Decision, Facts, PersonId, joined
from domain.assessment import Kind, shares_of
from domain.award import Award, LimitsUnderWhatStands, TermsAgreed, TermsProposed, award_stream
from domain.claim import Claim, Line, RestatedLine, Status, claim_stream
from domain.money import MOST, NONE, Money, Quantity, total, value
from domain.opening_position import opening_position_stream
from domain.participant import Participant, participant_stream
from domain.reassessment import Chosen, reassess
from domain.reference import canonical
from domain.refusal import Fault, Refused
from domain.terms import Outcome, Terms, limits_by_participant_lowered


class OutcomeWasUsed(Refused):
    """A back-dated version cannot drop an outcome of which lines were claimed in its span (M9)."""


class ClaimsWouldBeTooLarge(Refused):
    """By this version claims would be worth more than £999,999,999.99 each, which no claim may be (M1)."""


def agree(facts: Facts, award: str, number: int, *, by: Actor, today: date) -> Decision:
    """Agree a version, as a second person; a back-dated one reverses and assesses anew the lines that it changes."""
    stream = award_stream(award)
    before = facts[stream]
    agreed = before.agree_terms(number, by, today=today)
    after = Award.evolve(before, agreed, by.person)
    made: Decision = {stream: (agreed,)}
    return joined(made, _changed(facts, before, after, number, agreed_by=by.person, today=today))


def foresee(facts: Facts, award: str, proposed: TermsProposed, *, by: Actor, today: date) -> Decision:
    """What a version that is about to be proposed would change of the past, were it agreed today; refused where that would be.

    It is worked out as if whoever proposes it agreed it, so it is a decision to look at, and never one to record.
    """
    before = Award.evolve(facts[award_stream(award)], proposed, by.person)
    after = Award.evolve(before, TermsAgreed(version=proposed.version), by.person)
    return _changed(facts, before, after, proposed.version, agreed_by=by.person, today=today)


def _changed(facts: Facts, before: Award, after: Award, number: int, *, agreed_by: PersonId, today: date) -> Decision:
    """Reverse and assess anew the lines that a version changes, if it is back-dated and there are any."""
    version = after.versions[number - 1]
    if not version.decommitment and (under := tuple(_under_what_participants_have(facts, before, version.terms))):
        raise LimitsUnderWhatStands(under)
    if version.terms.effective_from > today:
        return {}
    chosen: list[Chosen] = []
    restated: dict[str, list[RestatedLine]] = {}
    faults: list[Fault] = []
    for claim, line in _lines(facts, after, number):
        outcome, was = version.terms.outcome(line.claimed.outcome), _priced(before, line)
        if outcome is None:
            faults.append(Fault(f"claims.{claim.submitted.claim}.lines.{line.claimed.line}", f"claims {line.claimed.outcome}"))
            continue
        if was.rate != outcome.rate:
            restated.setdefault(canonical(claim.submitted.claim), []).append(_restate(line, outcome, number))
        if line.stands.quantity and _differs(line, version.terms, outcome):
            chosen.append(Chosen(claim, line, _worth(line, was, outcome)))
    if faults:
        raise OutcomeWasUsed(faults)
    if not chosen and not restated:
        return {}
    _expect_claimable(facts, after, restated)
    return reassess(
        facts,
        after,
        chosen,
        kind=Kind.ADJUSTMENT,
        proposed_by=PersonId(version.proposed_by),
        agreed_by=agreed_by,
        today=today,
        restated=restated,
    )


def _under_what_participants_have(facts: Facts, before: Award, terms: Terms) -> Iterator[Fault]:
    """The limits by participant that a version lowers under what stands for somebody; who that is, is not told (M9)."""
    lowered = tuple(limits_by_participant_lowered(terms, before.agreement))
    if not lowered:
        return
    participants = tuple(_participants(facts, before))
    for where, outcome, limit in lowered:
        has = [each.accepted(outcome) if outcome else each.assessed for each in participants]
        if most := max((amount for amount in has if amount > limit), default=None):
            yield Fault(where, f"{limit} is less than what stands for a participant, {most}")


def _participants(facts: Facts, award: Award) -> Iterator[Participant]:
    claims = [claim_stream(award.reference, name) for name in award.claims]
    facts.prefetch(claims)
    tokens = {line.claimed.participant for stream in claims for line in facts[stream].lines if line.claimed.participant}
    if before := facts.get(opening_position_stream(award.reference)):
        tokens.update(line.participant for line in before.lines)
    streams = [participant_stream(award.reference, token) for token in sorted(tokens)]
    facts.prefetch(streams)
    for stream in streams:
        if known := facts.get(stream):
            yield known


def _expect_claimable(facts: Facts, award: Award, restated: Mapping[str, Sequence[RestatedLine]]) -> None:
    faults: list[Fault] = []
    for name, lines in restated.items():
        worth = facts[claim_stream(award.reference, name)].value + total(each.claimed for each in lines)
        if worth > MOST:
            faults.append(Fault(f"claims.{name}", f"would be worth {worth}"))
    if faults:
        raise ClaimsWouldBeTooLarge(faults)


def _lines(facts: Facts, award: Award, number: int) -> Iterator[tuple[Claim, Line]]:
    """All lines of all claims for whose day a version is in force."""
    streams = [claim_stream(award.reference, name) for name in award.claims]
    facts.prefetch(streams)
    for stream in streams:
        claim = facts[stream]
        if claim.status is not Status.WITHDRAWN:
            for line in claim.lines:
                if award.agreement.on(line.claimed.achieved_on).number == number:
                    yield claim, line


def _priced(award: Award, line: Line) -> Outcome:
    version = award.agreement.on(line.claimed.achieved_on)
    outcome = version.terms.outcome(line.claimed.outcome)
    if outcome is None:
        raise LookupError(f"{line.claimed.outcome} was claimed, which version {version.number} does not name")
    return outcome


def _differs(line: Line, terms: Terms, outcome: Outcome) -> bool:
    """Whether the version has another price or another list of payers and shares than the line was assessed by."""
    stands = line.stands
    return (stands.rate, stands.shares) != (outcome.rate, shares_of(terms))


def _worth(line: Line, was: Outcome, outcome: Outcome) -> Money:
    """What stands of the line is worth now; at an unchanged price it stays, penny for penny."""
    stands = line.stands
    if was.rate == outcome.rate:
        return stands.assessed + stands.curtailed
    return value(outcome.price, stands.quantity, outcome.per)


def _restate(line: Line, outcome: Outcome, version: int) -> RestatedLine:
    """The values of a line at another price, each stage the difference that it makes, as ever (M4)."""
    stands, claimed = line.stands, line.claimed
    quantities = stands.quantity + line.awaiting, line.declined, line.rejected, line.deferred
    worth, so_far = [], NONE
    for quantity in quantities:
        worth.append(_between(outcome, so_far, so_far + quantity))
        so_far += quantity
    awaiting, declined, rejected, deferred = worth
    undecided_before = claimed.value - line.accepted_value - line.rejected_value - line.deferred_value
    return RestatedLine(
        line=claimed.line,
        outcome=claimed.outcome,
        achieved_on=claimed.achieved_on,
        version=version,
        price=outcome.price,
        per=outcome.per,
        claimed=value(outcome.price, claimed.quantity, outcome.per) - claimed.value,
        undecided=_between(outcome, so_far, claimed.quantity) - undecided_before,
        awaiting=awaiting - (stands.assessed + stands.curtailed + line.awaiting_value),
        declined=declined - line.declined_value,
        rejected=rejected - line.rejected_value,
        deferred=deferred - line.deferred_value,
    )


def _between(outcome: Outcome, first: Quantity, last: Quantity) -> Money:
    return value(outcome.price, last, outcome.per) - value(outcome.price, first, outcome.per)
