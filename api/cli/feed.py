"""`feed`: what happens under the awards that a key opens, after a position, and as it comes."""

import asyncio
import sys
from typing import Annotated, Any, Final

import orjson
import typer

from api.cli.access import Access, Json, act
from api.cli.asking import Looking, looks
from api.cli.screen import complain, say, under_way

_PAGE: Final = 200
_WAIT_S: Final = 2
"""How long it waits at once: whoever interrupts it waits no longer than that."""
_SECONDS: Final = len("2026-11-26T03:58:11")


def install(app: typer.Typer) -> None:
    """Add the command."""
    app.command(rich_help_panel="Awards")(feed)


@looks
def feed(
    looking: Looking,
    *,
    after: Annotated[int, typer.Option(min=0, help="The position up to which all was heard.")] = 0,
    award: Annotated[
        list[str] | None, typer.Option("--award", help="Only of this award; again for more.", show_default=False)
    ] = None,
    kind: Annotated[
        list[str] | None, typer.Option("--type", help="Only of this type, with * for any; again for more.", show_default=False)
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Wait for what comes, until it is interrupted.")] = False,
) -> None:
    """Tell what happened, in the order in which it was recorded; with --json a document a line, as webhooks are sent.

    For example:

      lcledger feed --after 1042
      lcledger feed --award OPEN-FOR-YOU --type 'payment.*' --follow --json
    """
    heard, failed = after, list[Json]()

    async def hear(me: Access) -> None:
        nonlocal heard, failed
        wait = _WAIT_S if follow else 0
        while True:
            page: Any = await me.get("/feed", after=heard, award=award, type=kind, wait=wait, limit=_PAGE)
            for each in page["rows"]:
                _tell(each, as_json=looking.as_json)
            sys.stdout.flush()
            failed = _complain(page["failing_webhooks"], failed)
            before, heard = heard, page["next"]
            if (here := asyncio.current_task()) and here.cancelling():
                # What waits within the service may have answered all the same.
                raise asyncio.CancelledError
            if heard == before and not follow:
                return

    try:
        act(looking.ours, looking.key, hear)
    except KeyboardInterrupt:
        if not follow:
            raise
    if not looking.as_json:
        under_way(f"All there is up to position {heard:,} has been told: go on with --after {heard}")


def _complain(failing: list[Json], before: list[Json]) -> list[Json]:
    """Say of each webhook that does not take what it is told how it is, where it was not so before."""
    for each in failing:
        if each not in before:
            how = (
                each["reason"] and f"is disabled: {each['reason']}",
                each["failing_since"] and f"has taken nothing since {each['failing_since'][:_SECONDS].replace('T', ' ')}",
                each["parked"] and f"has {each['parked']} parked",
            )
            complain(f"The webhook {each['webhook']} ({each['host']}) {', '.join(filter(None, how))}")
    return failing


def _tell(told: Json, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(orjson.dumps(told).decode() + "\n")
        return
    said = told["data"]
    say(f"{said['position']:>7}  {said['recorded_at'][:_SECONDS].replace('T', ' ')}  {said['award']}  {said['sentence']}")
