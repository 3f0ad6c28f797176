"""Every event that was ever released, as one union that tells them apart by their permanent names."""

from typing import Annotated, Any, Final, get_args

from pydantic import Field

from domain.award import AwardEvent
from domain.bank_details import BankDetailsEvent
from domain.claim import ClaimEvent
from domain.clawback import ClawbackEvent
from domain.erasure import ErasureEvent
from domain.event import Event
from domain.key import KeyEvent, SignInEvent
from domain.log import LogEvent
from domain.opening_position import OpeningPositionEvent
from domain.other_payment import OtherPaymentEvent
from domain.participant import ParticipantEvent
from domain.party import PartyEvent
from domain.payment import PaymentEvent
from domain.person import PersonEvent
from domain.receivable import ReceivableEvent
from domain.reconsideration import ReconsiderationEvent
from domain.run import RunEvent
from domain.settlement import SettlementEvent
from domain.webhook import WebhookEvent

AnyEvent = Annotated[
    PartyEvent
    | BankDetailsEvent
    | PersonEvent
    | KeyEvent
    | SignInEvent
    | AwardEvent
    | ClaimEvent
    | ParticipantEvent
    | ErasureEvent
    | PaymentEvent
    | ClawbackEvent
    | OtherPaymentEvent
    | OpeningPositionEvent
    | ReceivableEvent
    | ReconsiderationEvent
    | RunEvent
    | SettlementEvent
    | WebhookEvent
    | LogEvent,
    Field(discriminator="type"),
]
"""What the log can hold."""

BY_NAME: Final[dict[str, type[Event]]] = {kind.model_fields["type"].default: kind for kind in get_args(get_args(AnyEvent)[0])}
"""The class of each event name, such as `claim.submitted`."""


def read(fields: dict[str, Any]) -> Event:
    """The event whose fields were stored. Raises `KeyError` for an unknown name, `pydantic.ValidationError` for wrong fields."""
    return BY_NAME[fields["type"]].model_validate(fields)
