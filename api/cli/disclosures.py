"""`disclosures`: who read or exported what; and what the command line itself tells, without a key, is kept among them."""

from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from api.cli.access import Access, DataDir, Json, KeyFile, KeyText, act, key_of, origin, settings_with
from api.cli.entries import PANEL
from api.cli.screen import AsJson, table, tell_json
from api.settings import Settings
from ledger.log import Log

_TOLD: Final = 200
_SECONDS: Final = len("2026-11-26T03:58:11")


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=PANEL)(disclosures)


def disclosures(
    *,
    award: Annotated[str | None, typer.Option(help="About this award only.", show_default=False)] = None,
    person: Annotated[str | None, typer.Option(help="To this person only.", show_default=False)] = None,
    since: Annotated[datetime | None, typer.Option(help="Told at this moment (UTC) or later.", show_default=False)] = None,
    until: Annotated[datetime | None, typer.Option(help="Told at this moment (UTC) or before.", show_default=False)] = None,
    most: Annotated[int, typer.Option("--limit", min=1, max=100_000, help="How many at most.")] = 50,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Who read or exported what, the newest first.

    Auditors and administrators are told, and that they asked is kept too. Examples:


    lcledger disclosures --award OPEN-FOR-YOU
    lcledger disclosures --since 2026-11-01 --limit 10000 --json
    """
    ours = settings_with(data_dir)
    asked = {"award": award, "person": person, "since": _moment(since), "until": _moment(until)}

    async def ask(me: Access) -> list[Json]:
        found: list[Json] = []
        after: str | None = None
        while len(found) < most:
            page = await me.get("/disclosures", **asked, limit=min(most - len(found), ours.page_size_most), after=after)
            found += page["rows"]
            if not (after := page["next"]):
                break
        return found

    found = act(ours, key_of(ours, key, key_file), ask)
    if as_json:
        tell_json(found)
        return
    heads = ["told at", "person", "key", "from", "what", "as of", "status", "rows"]
    right = {"as of", "status", "rows"}
    table("Disclosures", [(head, "right" if head in right else "left") for head in heads], map(_cells, found))


def keep(ours: Settings, log: Log, command: str, *, award: str | None = None, as_of: int) -> None:
    """Keep, before anything is told, that a command of the machine tells it; what cannot be kept is not told (`Unavailable`)."""
    from api.app import open_disclosures
    from ledger.disclosures import Disclosure, request_name
    from ledger.entry import written

    with open_disclosures(ours, log.clock) as kept:
        kept.put(
            Disclosure(
                told_at=written(log.clock()),
                request=request_name(),
                person=None,
                key=None,
                origin=origin(),
                route=command,
                resource=None,
                award=award,
                as_of=as_of,
                effective_on=None,
                status=_TOLD,
                told_rows=None,
            )
        )
        kept.write_what_waits()


def _moment(given: datetime | None) -> str | None:
    return None if given is None else given.replace(tzinfo=UTC).isoformat()


def _cells(told: Json) -> list[str]:
    what = told["route"] if told["resource"] is None else f"{told['route'].partition(' ')[0]} {told['resource']}"
    shown = (
        told["told_at"][:_SECONDS].replace("T", " "),
        told["person"],
        told["key"],
        told["origin"],
        what,
        told["as_of"],
        told["status"],
        told["rows"],
    )
    return ["" if each is None else str(each) for each in shown]
