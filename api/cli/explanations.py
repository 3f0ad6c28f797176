"""`explain`: why a line was assessed at an amount, or at none, and why a payer owes one, step by step in plain English."""

from typing import Annotated, Final

import typer

from api.cli.asking import Asking, asks
from api.cli.awards import PANEL, Award
from api.cli.payments import Assessment, Payer
from api.cli.screen import say

Number = Annotated[int, typer.Argument(min=1, help="The number of the line in its claim.", show_default=False)]

explained: Final = typer.Typer(
    no_args_is_help=True, help="Why a line was assessed at an amount, or a payer owes one: step by step, to be checked."
)


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(explained, name="explain", rich_help_panel=PANEL)


@explained.command()
@asks
def line(
    asking: Asking,
    award: Award,
    assessment: Assessment,
    number: Number,
    *,
    claim: Annotated[str | None, typer.Option(help="Its claim, if the assessment is about several.", show_default=False)] = None,
) -> None:
    """Explain what an assessment did to a line: terms, price, limits, parts, allotments.

    For example:

      lcledger explain line INDIGO-POJ-0168 1 1
    """
    _tell(asking, f"/awards/{award}/assessments/{assessment}/lines/{number}/explanation", claim)


@explained.command()
@asks
def claim_line(
    asking: Asking,
    award: Award,
    claim: Annotated[str, typer.Argument(help="The claim's reference, such as 2021-Q3.", show_default=False)],
    number: Number,
) -> None:
    """Explain what became of a line of a claim, also if nothing is paid for it: who decided what, when and why.

    For example:

      lcledger explain claim-line INDIGO-POJ-0168 2019-Q1 1
    """
    _tell(asking, f"/awards/{award}/claims/{claim}/lines/{number}/explanation")


@explained.command()
@asks
def payment(asking: Asking, award: Award, assessment: Assessment, payer: Payer) -> None:
    """Explain what a payer owes by an assessment: what claims allotted it, what was taken back, what was netted off.

    For example:

      lcledger explain payment INDIGO-POJ-0168 1 GB-GOR-D5
    """
    _tell(asking, f"/awards/{award}/payments/{assessment}/{payer}/explanation")


def _tell(asking: Asking, path: str, claim: str | None = None) -> None:
    if found := asking.found(path, claim=claim):
        told, _ = found
        say(told["text"].rstrip())
