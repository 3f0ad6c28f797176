"""`bank-details`: where a party's money goes, by two persons. What is not given is asked for, so that no history keeps it."""

from typing import Annotated, Final

import typer

from api.cli.access import Json
from api.cli.asking import Asking, Doing, People, asks, does
from api.cli.screen import table

bank_details: Final = typer.Typer(
    no_args_is_help=True, help="Where parties' money goes: proposed by one person, agreed by another."
)

_Party = Annotated[str, typer.Argument(help="The org-id of the payee.", show_default=False)]
_SortCode = Annotated[str, typer.Option(prompt=True, help="Six digits, such as 20-00-00.", show_default=False)]
_Number = Annotated[str, typer.Option(prompt=True, help="Eight digits.", show_default=False)]
_Name = Annotated[str, typer.Option(prompt=True, help="The account's name, as the bank has it.", show_default=False)]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(bank_details, name="bank-details", rich_help_panel="People")


@bank_details.command()
@asks
def show(asking: Asking, party: _Party) -> None:
    """Show a party's bank details, masked: those agreed, and those that wait for a second person.

    For example:

      lcledger bank-details show GB-COH-11503344
    """
    if found := asking.found(f"/parties/{party}/bank-details"):
        told, people = found
        heads = ["", "number", "sort code", "account number", "account name", "proposed by", "agreed by"]
        rows = [_row(stage, told[stage], people) for stage in ("agreed", "waiting") if told[stage]]
        table(f"Bank details of {told['party']}", [(head, "left") for head in heads], rows)


def _row(stage: str, told: Json, people: People) -> list[str]:
    names = ("sort_code", "account_number", "account_name")
    return [
        stage,
        str(told["number"]),
        *(told[name] or "(erased)" for name in names),
        people[told["proposed_by"]],
        people[told["agreed_by"]],
    ]


@bank_details.command()
@does
def propose(doing: Doing, party: _Party, *, sort_code: _SortCode, account_number: _Number, account_name: _Name) -> None:
    """Propose a party's bank details; a second person must agree them.

    For example, being asked for the details:

      lcledger bank-details propose GB-COH-11503344
    """
    body = {"sort_code": sort_code, "account_number": account_number, "account_name": account_name}
    then = f"A second administrator agrees them, by giving them again: lcledger bank-details agree {party}"
    doing.do(f"{_address(party)}/proposal", body, f"Bank details of {party} are proposed", "They could be proposed", then)


@bank_details.command()
@does
def agree(doing: Doing, party: _Party, *, sort_code: _SortCode, account_number: _Number, account_name: _Name) -> None:
    """Agree the bank details that wait, by giving them again from a copy of your own.

    For example, being asked for the details:

      lcledger bank-details agree GB-COH-11503344 --key-file second-administrator.key
    """
    body = {"sort_code": sort_code, "account_number": account_number, "account_name": account_name}
    then = "Payments that were approved for other details need a new approval."
    doing.do(f"{_address(party)}/agreement", body, f"Bank details of {party} are agreed", "They could be agreed", then)


@bank_details.command()
@does
def withdraw(
    doing: Doing,
    party: _Party,
    reason: Annotated[str, typer.Argument(help="Why; it is kept in the vault.", show_default=False)],
) -> None:
    """Withdraw the bank details that wait, or turn them down.

    For example:

      lcledger bank-details withdraw GB-COH-11503344 "A digit was wrong."
    """
    said, could = f"Bank details of {party} are withdrawn", "They could be withdrawn"
    doing.do(f"{_address(party)}/withdrawal", {"reason": reason}, said, could)


def _address(party: str) -> str:
    return f"/parties/{party}/bank-details"
