"""`replay` and `difference`: an award's history in figures, event by event, and as the causes of what differs."""

from collections.abc import Sequence
from typing import Annotated, Final

import typer

from api.cli.access import Json
from api.cli.asking import EffectiveOn, Looking, People, looks
from api.cli.awards import PANEL, Award
from api.cli.screen import pounds, say, table

Begin = Annotated[
    str | None, typer.Option("--from", help="After what was recorded then: a position, or a time.", show_default=False)
]
End = Annotated[str | None, typer.Option("--to", help="Up to what was recorded then: a position, or a time.", show_default=False)]
Parts = Annotated[bool, typer.Option("--parts", help="Of outcomes, payers and years too, not of the award as a whole only.")]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    for command in (replay, difference):
        app.command(rich_help_panel=PANEL)(command)


@looks
def replay(looking: Looking, award: Award, *, begin: Begin = None, end: End = None, parts: Parts = False) -> None:
    """Step through an award event by event: what each changed, and the balances before and after it.

    For example:

      lcledger replay INDIGO-POJ-0175
      lcledger replay INDIGO-POJ-0175 --from 2022-04-01T00:00:00+01:00 --to 1042 --parts
    """
    if (found := looking.found_whole(f"/awards/{award}/replay", **{"from": begin, "to": end})) is None:
        return
    answer, people = found
    heads = [*_OF_ENTRIES, *_figures("figure", "before", "after", "change")]
    if not answer["rows"]:
        say(f"Nothing was recorded under {_span(answer)}.")
        return
    rows = ((*_entry(step, people), *_lines(_changed(step["changes"], parts=parts), 4)) for step in answer["rows"])
    table(f"Replay of {_span(answer)}", heads, rows)


@looks
def difference(
    looking: Looking,
    award: Award,
    *,
    begin: Begin = None,
    end: End = None,
    effective_on: EffectiveOn = None,
    parts: Parts = False,
) -> None:
    """What differs between two moments, and which entries caused it; the causes add up to it.

    For example:

      lcledger difference INDIGO-POJ-0175 --from 2022-04-01T00:00:00+01:00
      lcledger difference INDIGO-POJ-0175 --from 812 --to 1042 --effective-on 2022-03-31
    """
    asked = {"from": begin, "to": end, "effective_on": effective_on}
    if (found := looking.found_whole(f"/awards/{award}/difference", **asked)) is None:
        return
    answer, people = found
    if not (answer["changes"] or answer["rows"]):
        say(f"Nothing that was recorded moved an amount of {_span(answer)}.")
        return
    differing = _changed(answer["changes"], parts=parts)
    table(f"Difference of {_span(answer)}", _figures("figure", "before", "after", "difference"), differing)
    rows = ((*_entry(cause, people), *_lines(_moved(cause["moves"], parts=parts), 2)) for cause in answer["rows"])
    table("Caused by", [*_OF_ENTRIES, *_figures("figure", "amount")], rows)
    say("Causes add up to the difference. Limits, and what remains of them, are terms, and not in it.")


_OF_ENTRIES: Final = (("position", "right"), ("recorded", "left"), ("effective", "left"), ("person", "left"), ("what", "left"))


def _span(answer: Json) -> str:
    on = f", in effect on {answer['effective_on']}" if answer.get("effective_on") else ""
    return f"{answer['award']}, after position {answer['begin']} and up to {answer['end']}{on}"


def _figures(*heads: str) -> list[tuple[str, str]]:
    return [(head, "right") for head in heads]


def _lines(figures: Sequence[tuple[str, ...]], columns: int) -> list[str]:
    """The cells of one entry, with a line for each figure."""
    return ["\n".join(column) for column in zip(*figures, strict=True)] or [""] * columns


def _entry(entry: Json, people: People) -> tuple[str, ...]:
    recorded = entry["recorded_at"][:16].replace("T", " ")
    days = entry["effective_on"]
    effective = " to ".join(dict.fromkeys((days[0], days[-1]))) if days else ""
    what = entry["sentence"] or "Only what it moved is told."
    return str(entry["position"]), recorded, effective, people[entry["person"]], what


def _changed(changes: Sequence[Json], *, parts: bool) -> list[tuple[str, ...]]:
    return [
        (_figure(each), pounds(each["before"]), pounds(each["after"]), _signed(each["difference"]))
        for each in changes
        if parts or each["of"] == "award"
    ]


def _moved(moves: Sequence[Json], *, parts: bool) -> list[tuple[str, ...]]:
    return [(_figure(each), _signed(each["amount"])) for each in moves if parts or each["of"] == "award"]


def _figure(of: Json) -> str:
    name = str(of["figure"]).replace("curtailed_by.", "curtailed by ").replace("_", " ")
    return f"{name} of {of['name']}" if of["name"] else name


def _signed(amount: str) -> str:
    return pounds(amount) if amount.startswith("-") else f"+{pounds(amount)}"
