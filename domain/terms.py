"""What was agreed: rate card, limits, payers, windows, options, as numbered versions (M2).

A version is one whole document. Reading it never needs another version, but for limits that a later one no longer names.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from enum import StrEnum
from fractions import Fraction
from functools import lru_cache
from graphlib import CycleError, TopologicalSorter
from typing import Annotated, Any, Final, Literal, TypeGuard, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from domain.aggregate import Commitment
from domain.calendar import Day, FinancialYear, financial_year
from domain.money import Amount, Money, PositiveAmount, PositiveQuantity, Quantity, Share
from domain.record import Record
from domain.reference import Code, OrganisationId, canonical
from domain.refusal import Fault, Invalid

T = TypeVar("T")
N = TypeVar("N", Quantity, Money)

_PRINTABLE: Final = r"^[^\x00-\x1f\x7f]+$"  # PostgreSQL stores no NUL, and a title is one line
Title = Annotated[str, Field(min_length=1, max_length=200, pattern=_PRINTABLE)]


class PartyRole(StrEnum):
    """What an organisation is to an award."""

    LEAD_COMMISSIONER = "lead-commissioner"
    CO_COMMISSIONER = "co-commissioner"
    TOP_UP_PAYER = "top-up-payer"
    SPV = "spv"
    PROVIDER = "provider"
    INVESTOR = "investor"
    VERIFIER = "verifier"


CLAIMANTS = frozenset({PartyRole.PROVIDER, PartyRole.SPV})


class AwardParty(Record):
    """An organisation and what it is to this award."""

    party: OrganisationId
    roles: Annotated[tuple[PartyRole, ...], Field(min_length=1, max_length=len(PartyRole))]


class Window(Record):
    """From the first day to the last, both within."""

    first: Day
    last: Day

    def __contains__(self, day: date) -> bool:
        """Whether the day lies in the window."""
        return self.first <= day <= self.last


class Outcome(Record):
    """A priced line of the rate card."""

    code: Code
    title: Title
    unit: Annotated[str, Field(min_length=1, max_length=60, pattern=_PRINTABLE, examples=["person", "week"])]
    price: PositiveAmount
    per: Annotated[int, Field(strict=True, ge=1, le=10_000, description="How many units the price buys (M3)")] = 1
    evidence_wanted: Annotated[tuple[Title, ...], Field(max_length=20)] = ()
    prerequisites: Annotated[tuple[Code, ...], Field(max_length=20)] = ()
    claimable_from: Day | None = None
    max_per_participant: PositiveQuantity | None = None
    max_quantity: PositiveQuantity | None = Field(default=None, description="The limit `outcome_quantity` (M5)")
    max_amount: PositiveAmount | None = Field(default=None, description="The limit `outcome_amount` (M5)")
    acceptance_rate: Share = Field(default=Share(1), description="The expected acceptance rate, for accruals (M12)")

    @property
    def rate(self) -> Fraction:
        """Pence for one unit: price ÷ per, however the two say it (M9)."""
        return Fraction(self.price, self.per)


class Payer(Record):
    """A party that pays its share of every assessed pound, up to its maximum."""

    party: OrganisationId
    share: Share
    payee: OrganisationId
    maximum: Amount | None = Field(default=None, description="The most that this payer is ever allotted (M7); none if absent")
    claims_until: Day | None = Field(default=None, description="Claims received later allot this payer nothing (M7)")
    pays: Literal["through-runs", "by-itself"] = Field(
        default="through-runs", description="Through this ledger's payment runs, or by itself, reporting what it paid"
    )


class Terms(Record):
    """One version of what an award's parties agreed."""

    effective_from: Day
    parties: Annotated[tuple[AwardParty, ...], Field(min_length=1, max_length=60)]
    outcomes: Annotated[tuple[Outcome, ...], Field(min_length=1, max_length=100)]
    payers: Annotated[tuple[Payer, ...], Field(min_length=1, max_length=40)]
    shortfall: Literal["residual-payer", "unfunded"] = Field(
        default="residual-payer", description="Where what a payer cannot be allotted goes (M7)"
    )
    residual_payer: OrganisationId | None = Field(default=None, description="The lead commissioner, unless said")
    service_window: Window
    outcomes_window: Window
    claims_close_on: Day
    certification: Annotated[bool, Field(strict=True)] = False
    participant_amount: PositiveAmount | None = None
    year_amount: PositiveAmount | None = Field(default=None, description="For each financial year not in `year_amounts`")
    year_amounts: Annotated[dict[FinancialYear, Amount], Field(max_length=60)] = Field(default_factory=dict)
    award_amount: PositiveAmount
    payment_days: Annotated[int, Field(strict=True, ge=0, le=365, description="Days from assessment to `due_on`")] = 30
    dependants: Literal["go-too"] | None = Field(
        default=None,
        description="Accepted outcomes whose prerequisite is clawed back stand, unless the terms say that they go too (M8)",
    )
    illustrative: Annotated[bool, Field(strict=True, description="The prices are invented for an example")] = False

    @property
    def lead_commissioner(self) -> str | None:
        """The party that leads, if the terms name one."""
        return next((each.party for each in self.parties if PartyRole.LEAD_COMMISSIONER in each.roles), None)

    @property
    def takes_shortfalls(self) -> str | None:
        """The payer that takes what others cannot be allotted, or nothing where shortfalls are unfunded (M7)."""
        return (self.residual_payer or self.lead_commissioner) if self.shortfall == "residual-payer" else None

    def outcome(self, code: str) -> Outcome | None:
        """The outcome of a code, if this version names it."""
        return next((each for each in self.outcomes if canonical(each.code) == canonical(code)), None)

    def payer(self, party: str) -> Payer | None:
        """The payer, if this version names it."""
        return next((each for each in self.payers if canonical(each.party) == canonical(party)), None)

    def may_claim(self, party: str) -> bool:
        """Whether the party provides the service or is its special purpose vehicle."""
        return any(each.party == party and CLAIMANTS.intersection(each.roles) for each in self.parties)

    def limit_of_year(self, year: str) -> Money | None:
        """The most that may be assessed for achievements of a financial year, if there is a limit."""
        return self.year_amounts.get(year, self.year_amount)


class TermsContradictThemselves(Invalid):
    """These terms contradict themselves; nothing of them was recorded."""


def check(terms: Terms) -> None:
    """Refuse terms that contradict themselves, listing every fault at once."""
    checks = _party_faults, _outcome_faults, _payer_faults, _window_faults, _limit_faults
    if faults := [fault for find in checks for fault in find(terms)]:
        raise TermsContradictThemselves(faults)


def _twice(names: Iterable[str]) -> Iterator[tuple[int, str]]:
    seen: set[str] = set()
    for number, name in enumerate(names):
        if canonical(name) in seen:
            yield number, name
        seen.add(canonical(name))


def _party_faults(terms: Terms) -> Iterator[Fault]:
    for number, party in _twice(each.party for each in terms.parties):
        yield Fault(f"parties.{number}.party", f"{party} is named twice; give it all its roles in one place")
    leads = [each.party for each in terms.parties if PartyRole.LEAD_COMMISSIONER in each.roles]
    if len(leads) != 1:
        yield Fault("parties", f"one party must be the lead commissioner, not {len(leads)}")
    if not any(CLAIMANTS.intersection(each.roles) for each in terms.parties):
        yield Fault("parties", "a provider or an SPV must be among the parties, or nobody could claim")


def _outcome_faults(terms: Terms) -> Iterator[Fault]:
    for number, code in _twice(each.code for each in terms.outcomes):
        yield Fault(f"outcomes.{number}.code", f"{code} is on the rate card twice")
    known = {canonical(each.code) for each in terms.outcomes}
    for number, outcome in enumerate(terms.outcomes):
        for wanted in outcome.prerequisites:
            if canonical(wanted) not in known:
                yield Fault(f"outcomes.{number}.prerequisites", f"{wanted} is not an outcome of these terms")
        if outcome.claimable_from and outcome.claimable_from > terms.claims_close_on:
            yield Fault(f"outcomes.{number}.claimable_from", "lies after the claims close, so nothing could ever be claimed")
    graph = {canonical(each.code): {canonical(code) for code in each.prerequisites} for each in terms.outcomes}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as circle:
        yield Fault("outcomes", f"prerequisites go round in a circle: {' → '.join(circle.args[1])}")


def _payer_faults(terms: Terms) -> Iterator[Fault]:
    for number, party in _twice(each.party for each in terms.payers):
        yield Fault(f"payers.{number}.party", f"{party} is named twice")
    if (total := sum(each.share for each in terms.payers)) != 1:
        yield Fault("payers", f"the shares sum to {total}, not to 1")
    parties = {each.party for each in terms.parties}
    for number, payer in enumerate(terms.payers):
        if payer.party not in parties:
            yield Fault(f"payers.{number}.party", f"{payer.party} is not a party to the award")
        if payer.payee not in parties:
            yield Fault(f"payers.{number}.payee", f"{payer.payee} is not a party to the award")
        if payer.claims_until and not terms.outcomes_window.first <= payer.claims_until <= terms.claims_close_on:
            yield Fault(f"payers.{number}.claims_until", "must lie between the first outcome day and the close of claims")
    residual = terms.takes_shortfalls
    if residual and not terms.payer(residual):
        yield Fault("residual_payer", f"{residual} is not a payer, so it cannot take shortfalls")
    if terms.residual_payer and terms.shortfall == "unfunded":
        yield Fault("residual_payer", "shortfalls are unfunded, so no payer takes them")


def _window_faults(terms: Terms) -> Iterator[Fault]:
    service, outcomes = terms.service_window, terms.outcomes_window
    for name, window in (("service_window", service), ("outcomes_window", outcomes)):
        if window.last < window.first:
            yield Fault(name, f"ends on {window.last}, before it begins on {window.first}")
    if outcomes.first not in service or outcomes.last not in service:
        yield Fault("outcomes_window", f"must lie within the service window, {service.first} to {service.last}")
    if terms.claims_close_on < outcomes.last:
        yield Fault("claims_close_on", f"lies before the last outcome day, {outcomes.last}")
    if terms.effective_from > outcomes.last:
        yield Fault(
            "effective_from", f"lies after the last outcome day, {outcomes.last}, so it would never be in force for an outcome"
        )


def _limit_faults(terms: Terms) -> Iterator[Fault]:
    years = financial_year(terms.outcomes_window.first), financial_year(terms.outcomes_window.last)
    for year in terms.year_amounts:
        if not years[0] <= year <= years[1]:
            yield Fault(f"year_amounts.{year}", f"lies outside the outcomes window, {years[0]} to {years[1]}")


class NoTermsInForce(Invalid):
    """No agreed terms are in force on that day."""


class Version(BaseModel):
    """A version of the terms that was proposed, and perhaps agreed."""

    model_config = ConfigDict(frozen=True)

    number: int
    terms: Terms
    proposed_by: str
    agreed_by: str | None = None
    reason: Commitment | None = None
    document_sha256: str | None = None
    decommitment: bool = False


_REMEMBERED: Final = 1_024
"""Answers of an agreement of each kind."""


class Agreement:
    """The agreed versions in the order of M2, answering what is in force on a day."""

    __slots__ = ("_on", "_order", "_outcome_limits", "_payer_limits", "_priced")

    def __init__(self, agreed: Sequence[Version]) -> None:
        """Take the agreed versions in the order in which they were agreed."""
        self._order = sorted(agreed, key=lambda version: version.terms.effective_from)
        # A claim asks for the same few days and codes in each of its thousands of lines.
        self._on = lru_cache(_REMEMBERED)(self._find)
        self._priced = lru_cache(_REMEMBERED)(self._find_priced)
        self._outcome_limits = lru_cache(_REMEMBERED)(self._find_outcome_limits)
        self._payer_limits = lru_cache(_REMEMBERED)(self._find_payer_limits)

    def on(self, day: date) -> Version:
        """The version in force: the latest `effective_from` not after the day, of equal ones the one agreed last (M2).

        Raises `NoTermsInForce`.
        """
        return self._on(day)

    def _find(self, day: date) -> Version:
        found = next((version for version in reversed(self._order) if version.terms.effective_from <= day), None)
        if not found:
            raise NoTermsInForce(day=day)
        return found

    def priced(self, code: str, day: date) -> Outcome | None:
        """The outcome as it is priced on a day, if the version in force names it; raises `NoTermsInForce`."""
        return self._priced(code, day)

    def _find_priced(self, code: str, day: date) -> Outcome | None:
        return self.on(day).terms.outcome(code)

    def naming_order(self, day: date) -> Iterator[Terms]:
        """The terms in force on a day, then those that would be if these were not there, and so on (M2)."""
        for version in reversed(self._order):
            if version.terms.effective_from <= day:
                yield version.terms

    def outcome_limits(self, code: str, day: date) -> Outcome:
        """The outcome whose limits hold on a day: as the version in force names it, or the last one before that did (M2).

        Raises `LookupError` if none in force by then names it.
        """
        return self._outcome_limits(code, day)

    def _find_outcome_limits(self, code: str, day: date) -> Outcome:
        return _first(terms.outcome(code) for terms in self.naming_order(day))

    def payer_limits(self, party: str, day: date) -> Payer:
        """The payer whose maximum holds on a day: as the version in force names it, or the last one before that did (M2).

        Raises `LookupError` if none in force by then names it.
        """
        return self._payer_limits(party, day)

    def _find_payer_limits(self, party: str, day: date) -> Payer:
        return _first(terms.payer(party) for terms in self.naming_order(day))


def _named(found: Iterable[T | None]) -> T | None:
    return next((each for each in found if each is not None), None)


def _first(named: Iterable[T | None]) -> T:
    found = _named(named)
    if found is None:
        raise LookupError("no version in force by then names it")
    return found


def lowered(terms: Terms, before: Agreement, stands: Mapping[str, Mapping[str, Quantity | Money]]) -> Iterator[Fault]:
    """The limits and maxima that a version lowers under what stands assessed or allotted (M9).

    `before` has the versions agreed so far: a limit that is as they have it is not lowered, though it may lie under what stands
    since a decommitment. `stands` has, by name of the limit, what was consumed by outcome, year, payer, or `""` for the award.
    """
    in_force = tuple(before.naming_order(terms.effective_from))
    for number, outcome in enumerate(terms.outcomes):
        code, was = canonical(outcome.code), _named(each.outcome(outcome.code) for each in in_force)
        quantity, amount = stands["outcome_quantity"].get(code), stands["outcome_amount"].get(code)
        yield from _under(f"outcomes.{number}.max_quantity", outcome.max_quantity, was.max_quantity if was else None, quantity)
        yield from _under(f"outcomes.{number}.max_amount", outcome.max_amount, was.max_amount if was else None, amount)
    version = next(iter(in_force), None)
    for year, consumed in stands["year_amount"].items():
        year_was = version.limit_of_year(year) if version else None
        yield from _under(f"year_amounts.{year}", terms.limit_of_year(year), year_was, consumed)
    award_was = version.award_amount if version else None
    yield from _under("award_amount", terms.award_amount, award_was, stands["award_amount"].get(""))
    for number, payer in enumerate(terms.payers):
        paid, allotted = _named(each.payer(payer.party) for each in in_force), stands["maximum"].get(payer.party)
        yield from _under(f"payers.{number}.maximum", payer.maximum, paid.maximum if paid else None, allotted)


def _under(where: str, limit: N | None, was: N | None, stands: Quantity | Money | None) -> Iterator[Fault]:
    if _is_lower(limit, was) and stands is not None and limit < stands:
        yield Fault(where, f"{limit} is less than what stands, {stands}")


def limits_by_participant_lowered(terms: Terms, before: Agreement) -> Iterator[tuple[str, str | None, Quantity | Money]]:
    """The limits by participant that a version lowers: where they stand, the outcome if it is of one, and the limit (M9)."""
    in_force = tuple(before.naming_order(terms.effective_from))
    version = next(iter(in_force), None)
    if _is_lower(terms.participant_amount, version.participant_amount if version else None):
        yield "participant_amount", None, terms.participant_amount
    for number, outcome in enumerate(terms.outcomes):
        was = _named(each.outcome(outcome.code) for each in in_force)
        if _is_lower(outcome.max_per_participant, was.max_per_participant if was else None):
            yield f"outcomes.{number}.max_per_participant", outcome.code, outcome.max_per_participant


def _is_lower(limit: N | None, was: N | None) -> TypeGuard[N]:
    return limit is not None and (was is None or limit < was)


def not_only_lowered(stands: Terms, terms: Terms) -> Iterator[Fault]:
    """What a decommitment changes besides lowering limits and maxima (M9)."""
    for year in sorted(terms.year_amounts.keys() - stands.year_amounts.keys()):
        was, now = stands.limit_of_year(year), terms.limit_of_year(year)
        if was is not None and now is not None and now > was:
            yield Fault(f"year_amounts.{year}", f"is raised from {was} to {now}")
    before, after = stands.model_dump(), terms.model_dump()
    for name in sorted((before.keys() | after.keys()) - {"effective_from"}):
        yield from _changed(name, before.get(name), after.get(name))


_LOWERED: Final = frozenset(
    {
        "max_per_participant",
        "max_quantity",
        "max_amount",
        "maximum",
        "participant_amount",
        "year_amount",
        "year_amounts",
        "award_amount",
    }
)


def _changed(where: str, before: Any, after: Any) -> Iterator[Fault]:
    """The changes between two documents that are not a limit that was lowered."""
    names = where.split(".")
    if before == after:
        return
    if _LOWERED.intersection(names) and not isinstance(after, dict | None):
        if before is not None and after > before:
            yield Fault(where, f"is raised from {before} to {after}")
    elif isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from _changed(f"{where}.{name}", before.get(name), after.get(name))
    elif isinstance(before, tuple) and isinstance(after, tuple) and len(before) == len(after):
        for number, pair in enumerate(zip(before, after, strict=True)):
            yield from _changed(f"{where}.{number}", *pair)
    else:
        yield Fault(where, "is changed by something other than lowering a limit")
