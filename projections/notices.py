"""What may be told of an award to those who are not inside it: of an entry that moves totals, what happened and what it comes to.

A notice follows from its entry alone, so that it reads the same whenever and to whomever it is told. No participant, no evidence,
no bank detail and nobody's words are in it; claims are told as totals, never as lines.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from itertools import chain
from typing import Final, get_args

from domain.award import (
    AwardAgreed,
    AwardAssessed,
    AwardClosedToClaims,
    AwardCompleted,
    AwardPaused,
    AwardReopened,
    AwardResumed,
    TermsAgreed,
)
from domain.calendar import london_day
from domain.claim import ClaimCertified, ClaimDeclined, ClaimSubmitted, ClaimVerified, ClaimWithdrawn
from domain.clawback import ClawbackAgreed
from domain.event import Event, took_effect
from domain.money import Money
from domain.opening_position import OpeningPositionAgreed
from domain.other_payment import OtherPaymentAgreed
from domain.payment import PaymentFellDue, PaymentMoved, PaymentNettedOff
from domain.receivable import ReceivableNettedOff, ReceivableOpened, ReceivableRecovered, ReceivableWrittenOff
from domain.reconsideration import ReconsiderationAgreed
from ledger.entry import Row, decode
from ledger.ledger import Ledger
from projections.trails import sentence

_Told = (
    AwardAgreed
    | TermsAgreed
    | AwardAssessed
    | AwardClosedToClaims
    | AwardPaused
    | AwardResumed
    | AwardReopened
    | AwardCompleted
    | ClaimSubmitted
    | ClaimWithdrawn
    | ClaimVerified
    | ClaimCertified
    | ClaimDeclined
    | ClawbackAgreed
    | ReconsiderationAgreed
    | OtherPaymentAgreed
    | OpeningPositionAgreed
    | PaymentFellDue
    | PaymentMoved
    | PaymentNettedOff
    | ReceivableOpened
    | ReceivableNettedOff
    | ReceivableRecovered
    | ReceivableWrittenOff
)

TOLD: Final[Mapping[str, type[Event]]] = {
    kind.model_fields["type"].default: kind for each in get_args(_Told) for kind in (each.__subclasses__() or (each,))
}
"""The events of which there are notices, by their types."""
_AT_ONCE: Final = 500
_LOOKED_AT_MOST: Final = 5_000
"""How many entries one page looks at, whatever it finds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What is told of an entry. Amounts are by what they are (`accepted`, `amount`); `allotted` has those of an assessment."""

    position: int
    leaf: bytes
    """Of its entry."""
    type: str
    award: str
    stream: str
    recorded_at: datetime
    effective_on: date
    """The day on which it took effect by its own account."""
    sentence: str
    amounts: Mapping[str, Money]
    allotted: Mapping[str, Money]
    """What an assessment made due from each payer, less what it took back."""


@dataclass(frozen=True, slots=True)
class Page:
    """Some notices in order of their positions, and the position up to which all there are have been looked at."""

    rows: Sequence[Notice]
    looked: int


class Notices:
    """What can be asked of notices. They are read from the log itself, and need no rows of their own."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def page(
        self, after: int, upto: int, limit: int, awards: Collection[str] | None = None, types: Collection[str] = TOLD.keys()
    ) -> Page:
        """Notices after one position and up to another, at most `limit`; of all awards, or of those named, in capitals."""
        found: list[Notice] = []
        looked = after
        while looked < upto and len(found) < limit and looked - after < _LOOKED_AT_MOST:
            rows = self._rows(looked, upto, awards)
            for row in rows:
                if row.award is not None and row.type in types:
                    found.append(notice_of(row, self._ledger))
                    if len(found) == limit:
                        return Page(found, row.position)
            looked = rows[-1].position if len(rows) == _AT_ONCE else upto
        return Page(found, looked)

    def _rows(self, after: int, upto: int, awards: Collection[str] | None) -> list[Row]:
        reads = self._ledger.log.reads
        if awards is None:
            return reads.rows(after, _AT_ONCE, upto=upto)
        pages: Iterator[list[Row]] = (reads.rows(after, _AT_ONCE, award=award, upto=upto) for award in awards)
        return sorted(chain.from_iterable(pages), key=lambda row: row.position)[:_AT_ONCE]


def notice_of(row: Row, ledger: Ledger) -> Notice:
    """What is told of a stored entry of an award."""
    entry = decode(row, ledger.registry)
    event = entry.event
    return Notice(
        position=entry.position,
        leaf=row.leaf,
        type=entry.type,
        award=row.award or "",
        stream=entry.stream,
        recorded_at=entry.recorded_at,
        effective_on=took_effect(event, london_day(entry.recorded_at)),
        sentence=sentence(event, entry.stream),
        amounts=_amounts(event),
        allotted=_allotted(event),
    )


def _amounts(event: Event) -> dict[str, Money]:  # noqa: C901, PLR0911 (one case for every kind of event)
    """What it comes to: each amount by what it is."""
    match event:
        case ClaimSubmitted(value=value):
            return {"claimed": value}
        case ClaimWithdrawn(value=value):
            return {"withdrawn": value}
        case ClaimVerified(accepted=accepted, rejected=rejected, deferred=deferred):
            return {"accepted": accepted, "rejected": rejected, "deferred": deferred}
        case ClaimDeclined(value=value):
            return {"declined": value}
        case AwardAssessed(assessed=assessed, curtailed=curtailed, unfunded=unfunded, others=others):
            otherwise = {} if others is None else {"others": others}
            return {"assessed": assessed, "curtailed": curtailed, "unfunded": unfunded, **otherwise}
        case AwardClosedToClaims(released=Money() as released):
            return {"released": released}
        case ClawbackAgreed(reversed=amount):
            return {"reversed": amount}
        case ReconsiderationAgreed(gained=amount):
            return {"gained": amount}
        case OtherPaymentAgreed(split=split):
            return {"amount": split.amount, "unfunded": split.unfunded}
        case PaymentFellDue() | PaymentMoved() | PaymentNettedOff():
            return {"amount": event.amount}
        case ReceivableOpened() | ReceivableNettedOff() | ReceivableRecovered() | ReceivableWrittenOff():
            return {"amount": event.amount}
        case _:
            return {}


def _allotted(event: Event) -> dict[str, Money]:
    if not isinstance(event, AwardAssessed):
        return {}
    taken = event.reversed or {}
    return {
        payer: Money(event.allotted.get(payer, Money(0)) - taken.get(payer, Money(0)))
        for payer in sorted({*event.allotted, *taken})
    }
