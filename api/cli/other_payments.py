"""`other-payment`: a sum that is not for outcomes, proposed by one person, agreed by another."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Final

import typer

from api.cli.access import Json
from api.cli.asking import Doing, does
from api.cli.awards import Award
from api.cli.documents import Document, sha256_of
from api.cli.lines import tell_net
from api.cli.proposals import Column, Name, Noun, Reason, install_group
from api.cli.screen import pounds
from domain.other_payment import PaymentType

_ABOUT: Final = "Sums that are not for outcomes, such as activity or grant payments: by two persons."


def install(app: typer.Typer) -> None:
    """Add the commands."""
    install_group(app, _NOUN, _ABOUT, propose)


@does
def propose(
    doing: Doing,
    award: Award,
    name: Name,
    payment_type: Annotated[PaymentType, typer.Argument(help="What it is for.", show_default=False)],
    amount: Annotated[str, typer.Argument(help="How much, in pounds, such as 25000.00.", show_default=False)],
    *,
    dated: Annotated[
        datetime,
        typer.Option(formats=["%Y-%m-%d"], help="Decides its financial year, and the terms that split it.", show_default=False),
    ],
    reason: Reason,
    document: Document = None,
) -> None:
    """Propose to pay a sum otherwise than for outcomes; nothing moves until a second person agrees.

    For example:

      lcledger other-payment propose INDIGO-POJ-0175 GRANT-2020-05 grant 25000.00 --dated 2020-05-01 --reason "No outcomes."
    """
    _NOUN.propose(
        doing,
        award,
        {
            "other_payment": name,
            "payment_type": payment_type,
            "amount": amount,
            "dated": f"{dated:%Y-%m-%d}",
            "reason": reason,
            "document_sha256": sha256_of(document),
        },
    )


def _details(found: Json) -> Sequence[tuple[str, str]]:
    split = found["split"] or {"allotments": (), "unfunded": "0.00"}
    return (
        ("amount", f"{pounds(found['amount'])}, {found['payment_type']}, of {found['dated']}"),
        ("reason", found["reason"] or ""),
        ("document", found["document_sha256"] or ""),
        *((each["payer"], pounds(each["allotted"])) for each in split["allotments"]),
        ("unfunded", pounds(split["unfunded"]) if split["unfunded"] != "0.00" else ""),
    )


def _tell_effect(done: Json) -> None:
    """What each payer is allotted of it, as a dry run's entry says."""
    for each in done["entries"]:
        if each["type"] == "other-payment.agreed" and each["event"]:
            tell_net({given["payer"]: given["allotted"] for given in each["event"]["split"]["allotments"]})


_NOUN: Final = Noun(
    word="other-payment",
    key="other_payment",
    path="other-payments",
    example="GRANT-2020-05",
    agreeing="what payers are allotted of it falls due",
    columns=(
        Column("type", "left", lambda each: each["payment_type"]),
        Column("dated", "left", lambda each: each["dated"]),
        Column("amount", "right", lambda each: pounds(each["amount"])),
    ),
    details=_details,
    effect=_tell_effect,
)
