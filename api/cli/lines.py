"""Claims' lines as they are named on the command line, and as tables."""

import re
from collections.abc import Iterable
from typing import Final

import typer

from api.cli.access import Json
from api.cli.screen import pounds, table

_NAMED: Final = re.compile(r"(?P<claim>[A-Za-z0-9][A-Za-z0-9._-]{0,63}):(?P<line>[0-9]{1,4})", re.ASCII)
_COUNTED: Final = re.compile(_NAMED.pattern + r":(?P<quantity>[0-9.]{1,20})", re.ASCII)


def named(given: str) -> Json:
    """A line as CLAIM:LINE.

    >>> named("2021-Q3:4")
    {'claim': '2021-Q3', 'line': 4}
    """
    return _read(_NAMED, given, "CLAIM:LINE, such as 2021-Q3:4")


def counted(given: str) -> Json:
    """A quantity of a line, as CLAIM:LINE:QUANTITY.

    >>> counted("2021-Q3:4:1.5")
    {'claim': '2021-Q3', 'line': 4, 'quantity': '1.5'}
    """
    return _read(_COUNTED, given, "CLAIM:LINE:QUANTITY, such as 2021-Q3:4:1")


def _read(pattern: re.Pattern[str], given: str, form: str) -> Json:
    found = pattern.fullmatch(given)
    if found is None:
        raise typer.BadParameter(f"{given} names no line; say {form}")
    return {**found.groupdict(), "line": int(found["line"])}


def told(lines: Iterable[Json]) -> str:
    """Lines by their names, with their quantities where they have any."""
    return ", ".join(":".join(str(each[name]) for name in ("claim", "line", "quantity") if name in each) for each in lines)


def tell_effect(done: Json) -> None:
    """What a command does, or would, to lines of the past, and on balance for each payer."""
    changed, net = done["effect"]["lines"], done["effect"]["net"]
    if changed:
        heads = ("claim", "line", "outcome", "achieved on", "before", "after")
        rows = (_changed(each) for each in changed)
        table(f"Lines assessed anew: {len(changed):,}", [(head, _side(head)) for head in heads], rows)
    tell_net(net)


def tell_net(net: Json) -> None:
    """What becomes due or is owed back, by payer."""
    rows = ((payer, pounds(amount), _became(amount)) for payer, amount in net.items())
    if net:
        table("On balance", [("payer", "left"), ("net", "right"), ("", "left")], rows)


def _became(net: str) -> str:
    if net == "0.00":
        return "stays as it is"
    return "is owed back" if net.startswith("-") else "becomes due"


def _changed(each: Json) -> tuple[str, ...]:
    names = each["claim"], str(each["line"]), each["outcome"], each["achieved_on"]
    return *names, pounds(each["before"]), pounds(each["after"])


def _side(head: str) -> str:
    return "right" if head in {"line", "before", "after"} else "left"
