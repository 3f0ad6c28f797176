"""`bank-details`: where a party's money goes, by two persons. What is not given is asked for, so that no history keeps it."""

from typing import Annotated, Any, Final

import typer

from api.cli.access import DataDir, KeyFile, KeyText, act, key_of, settings_with
from api.cli.screen import AsJson, say, table, tell_json

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
def show(
    party: _Party, *, key: KeyText = None, key_file: KeyFile = None, data_dir: DataDir = None, as_json: AsJson = False
) -> None:
    """Show a party's bank details, masked: those agreed, and those that wait for a second person."""
    ours = settings_with(data_dir)
    found = act(ours, key_of(ours, key, key_file), lambda me: me.get(f"/parties/{party}/bank-details"))
    if as_json:
        tell_json(found)
        return
    heads = ["", "number", "sort code", "account number", "account name", "proposed by", "agreed by"]
    rows = [_row(stage, found[stage]) for stage in ("agreed", "waiting") if found[stage]]
    table(f"Bank details of {found['party']}", [(head, "left") for head in heads], rows)


def _row(stage: str, told: Any) -> list[str]:
    names = ("sort_code", "account_number", "account_name")
    return [
        stage,
        str(told["number"]),
        *(told[name] or "(erased)" for name in names),
        told["proposed_by"],
        told["agreed_by"] or "",
    ]


@bank_details.command()
def propose(
    party: _Party,
    *,
    sort_code: _SortCode,
    account_number: _Number,
    account_name: _Name,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Propose a party's bank details; a second person must agree them.

    For example, being asked for the details:

      lcledger bank-details propose GB-COH-11503344
    """
    ours = settings_with(data_dir)
    body = {"sort_code": sort_code, "account_number": account_number, "account_name": account_name}
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send(f"/parties/{party}/bank-details/proposal", body))
    if as_json:
        tell_json(done)
    else:
        say(f"✓ Proposed. A second administrator agrees: lcledger bank-details agree {party}")


@bank_details.command()
def agree(
    party: _Party,
    *,
    sort_code: _SortCode,
    account_number: _Number,
    account_name: _Name,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Agree the bank details that wait, by giving them again from a copy of your own."""
    ours = settings_with(data_dir)
    body = {"sort_code": sort_code, "account_number": account_number, "account_name": account_name}
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send(f"/parties/{party}/bank-details/agreement", body))
    if as_json:
        tell_json(done)
    else:
        say("✓ Agreed. Payments that were approved for other details need a new approval.")


@bank_details.command()
def withdraw(
    party: _Party,
    reason: Annotated[str, typer.Argument(help="Why; it is kept in the vault.", show_default=False)],
    *,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Withdraw the bank details that wait, or turn them down."""
    ours = settings_with(data_dir)
    body = {"reason": reason}
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send(f"/parties/{party}/bank-details/withdrawal", body))
    if as_json:
        tell_json(done)
    else:
        say("✓ Withdrawn.")
