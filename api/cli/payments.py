"""`payment`: what payers owe by assessments, and what was netted off before it is paid."""

from typing import Annotated, Final

import typer

from api.cli.asking import Asking, asks
from api.cli.awards import PANEL, Award
from api.cli.screen import pounds, say, table
from domain.payment import Stage

payment: Final = typer.Typer(
    no_args_is_help=True, help="What payers owe by assessments: gross, netted off, and net; and where it is."
)
Assessment = Annotated[int, typer.Argument(min=1, help="The number of the assessment in its award.", show_default=False)]
Payer = Annotated[str, typer.Argument(help="The org-id of the payer.", show_default=False)]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(payment, name="payment", rich_help_panel=PANEL)


@payment.command("list")
@asks
def show_all(
    asking: Asking,
    award: Award,
    *,
    payer: Annotated[str | None, typer.Option(help="Of this payer only.", show_default=False)] = None,
    stage: Annotated[Stage | None, typer.Option(help="At this stage only.", show_default=False)] = None,
) -> None:
    """List an award's payments in the order in which they fell due, net of what was netted off.

    For example:

      lcledger payment list INDIGO-POJ-0175 --stage due
    """
    if found := asking.found(f"/awards/{award}/payments", every=True, payer=payer, stage=stage):
        rows, _ = found
        heads = [("assessment", "right"), ("payer", "left"), ("payee", "left"), ("claim", "left"), ("net", "right")]
        told = (
            (
                *(str(each["assessment"]), each["payer"], each["payee"], each["claim"] or "", pounds(each["amount"])),
                *(each["stage"], each["due_on"], each["run"] or ""),
            )
            for each in rows
        )
        table(f"Payments of {award}", [*heads, *((name, "left") for name in ("stage", "due on", "run"))], told)


@payment.command()
@asks
def show(asking: Asking, award: Award, assessment: Assessment, payer: Payer) -> None:
    """Show what a payer owes by an assessment: gross, what was netted off by which assessment, and net.

    For example:

      lcledger payment show INDIGO-POJ-0175 7 GB-LAE-KIR
    """
    if found := asking.found(f"/awards/{award}/payments/{assessment}/{payer}"):
        told, people = found
        say(
            f"Payment of {told['payer']} to {told['payee']} by assessment {told['assessment']} of {told['award']}: "
            f"{told['stage']} since {told['since']}, due on {told['due_on']}"
        )
        amounts = [
            ("gross", pounds(told["gross"])),
            *(
                (f"netted off, owed back by assessment {each['assessment']}", pounds(f"-{each['amount']}"))
                for each in told["netted"]
            ),
        ]
        table("What is paid", [("", "left"), ("amount", "right")], amounts, ("net", pounds(told["amount"])))
        details = (
            ("claim", told["claim"]),
            ("approved by", people[told["approved_by"]]),
            ("run", told["run"]),
            ("reported as paid by", people[told["report"]["reported_by"]] if told["report"] else ""),
        )
        say(*(f"  {label}  {what}" for label, what in details if what))
