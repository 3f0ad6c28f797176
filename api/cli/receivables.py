"""`receivable`: what payees owe back, until it is netted off, recovered on invoice, or written off by two persons."""

from datetime import datetime
from typing import Annotated, Final

import typer

from api.cli.access import Json
from api.cli.asking import Asking, Doing, asks, does
from api.cli.awards import PANEL, Award
from api.cli.payments import Assessment, Payer
from api.cli.proposals import Reason
from api.cli.screen import pounds, say, table

receivable: Final = typer.Typer(
    no_args_is_help=True,
    help="What payees owe back: taken off their next payments by itself, or recovered on invoice, or written off by two persons.",
)
Payee = Annotated[str, typer.Argument(help="The org-id of the payee, who owes it.", show_default=False)]
_AMOUNTS: Final = ("amount", "open", "netted_off", "recovered", "written_off")


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(receivable, name="receivable", rich_help_panel=PANEL)


@receivable.command("list")
@asks
def show_all(
    asking: Asking,
    award: Award,
    *,
    every: Annotated[bool, typer.Option("--all", help="Also those of which nothing is open any more.")] = False,
) -> None:
    """List what payees owe back under an award, oldest first.

    For example:

      lcledger receivable list INDIGO-POJ-0175
      lcledger receivable list INDIGO-POJ-0175 --all --effective-on 2022-03-31
    """
    if found := asking.found(f"/awards/{award}/receivables", every=True, open=None if every else "true"):
        rows, _ = found
        heads = [("assessment", "right"), ("payer", "left"), ("payee", "left"), ("opened on", "left")]
        told = (
            (str(each["assessment"]), each["payer"], each["payee"], each["opened_on"], *(pounds(each[name]) for name in _AMOUNTS))
            for each in rows
        )
        table(f"Receivables of {award}", [*heads, *((name.replace("_", " "), "right") for name in _AMOUNTS)], told)


@receivable.command()
@asks
def show(asking: Asking, award: Award, assessment: Assessment, payer: Payer, payee: Payee) -> None:
    """Show what a payee owes a payer by an assessment, and what became of it.

    For example:

      lcledger receivable show INDIGO-POJ-0175 7 GB-LAE-KIR GB-COH-11503344
    """
    if found := asking.found(_address(award, assessment, payer, payee)):
        told, people = found
        say(
            f"{told['payee']} owes {told['payer']} by assessment {told['assessment']} of {told['award']}: {pounds(told['open'])}",
            *(f"  {name.replace('_', ' '):11}  {pounds(told[name])}" for name in _AMOUNTS),
            *(f"  open of {year}  {pounds(amount)}" for year, amount in told["years"].items()),
            *_proposed(told, people[told["write_off_proposed_by"]]),
        )


def _proposed(told: Json, by: str) -> list[str]:
    return [f"  To write it off is proposed by {by}, by authority of {told['authority']}"] if by else []


@receivable.command()
@does
def recover(
    doing: Doing,
    award: Award,
    assessment: Assessment,
    payer: Payer,
    payee: Payee,
    *,
    amount: Annotated[str, typer.Option(help="What was paid back, in pounds, such as 407.11.", show_default=False)],
    reference: Annotated[str, typer.Option(help="The bank's reference, or the invoice's.", show_default=False)],
    value_date: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="When it came.", show_default=False)],
) -> None:
    """Record that a payee paid back on invoice, in whole or in part; the payer's maximum gets that back as headroom.

    For example:

      lcledger receivable recover INDIGO-POJ-0175 7 GB-LAE-KIR GB-COH-11503344 --amount 407.11 --reference INV-7
        --value-date 2022-02-14
    """
    body = {"amount": amount, "reference": reference, "value_date": f"{value_date:%Y-%m-%d}"}
    doing.do(
        f"{_address(award, assessment, payer, payee)}/recovery",
        body,
        f"{payee} paid back {pounds(amount)}",
        "That could be recorded",
    )


@receivable.command("write-off")
@does
def write_off(
    doing: Doing,
    award: Award,
    assessment: Assessment,
    payer: Payer,
    payee: Payee,
    *,
    authority: Annotated[str, typer.Option(help="The reference of who allows it.", show_default=False)],
    reason: Reason,
) -> None:
    """Propose to give up what is open of a receivable; a second person agrees it with `agree-write-off`.

    For example:

      lcledger receivable write-off INDIGO-POJ-0175 7 GB-LAE-KIR GB-COH-11503344 --authority DCMS-7 --reason "Wound up."
    """
    doing.do(
        f"{_address(award, assessment, payer, payee)}/write-off",
        {"authority": authority, "reason": reason},
        "To write it off is proposed",
        "To write it off could be proposed",
        f"A second person agrees it: lcledger receivable agree-write-off {award} {assessment} {payer} {payee}",
    )


@receivable.command("agree-write-off")
@does
def agree_write_off(doing: Doing, award: Award, assessment: Assessment, payer: Payer, payee: Payee) -> None:
    """Agree a write-off, as a second person; the payer's maximum gets no headroom back.

    For example:

      lcledger receivable agree-write-off INDIGO-POJ-0175 7 GB-LAE-KIR GB-COH-11503344 --key-file second-administrator.key
    """
    _decide(doing, _address(award, assessment, payer, payee), "agreement", "It is written off", "It could be written off")


@receivable.command("withdraw-write-off")
@does
def withdraw_write_off(doing: Doing, award: Award, assessment: Assessment, payer: Payer, payee: Payee) -> None:
    """Withdraw the proposal to write off, or turn it down.

    For example:

      lcledger receivable withdraw-write-off INDIGO-POJ-0175 7 GB-LAE-KIR GB-COH-11503344
    """
    said, could = "To write it off is no longer proposed", "The proposal to write it off could be withdrawn"
    _decide(doing, _address(award, assessment, payer, payee), "withdrawal", said, could)


def _decide(doing: Doing, address: str, which: str, said: str, could: str) -> None:
    doing.do(f"{address}/write-off-{which}", None, said, could)


def _address(award: str, assessment: int, payer: str, payee: str) -> str:
    return f"/awards/{award}/receivables/{assessment}/{payer}/{payee}"
