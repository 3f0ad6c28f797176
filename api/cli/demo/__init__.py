"""The demo: real awards with an invented history, played through the service as its people would.

`history` invents what happens, `cast` who acts, `play` lets them act over HTTP (in this process), `state` remembers how far the
demo has come in a folder, and `tell` shows what became of it.
"""

import asyncio
from time import monotonic

import httpx
from fastapi import FastAPI

from api.cli.access import Access, Mistaken, client, key_of, running
from api.cli.demo import history, tell
from api.cli.demo.cast import SECOND, Cast, parts_for_you
from api.cli.demo.play import Calendar, Play
from api.cli.demo.state import State
from api.cli.screen import bar, say
from api.settings import Settings


def show(ours: Settings) -> dict[str, str]:
    """Play the history, or go on from what is on disk; show the awards; the fresh keys by whose they are."""
    if not ours.embedded:
        raise Mistaken("The demo keeps to SQLite files of its own: unset LCLEDGER_DATABASE_URL.")
    return asyncio.run(_show(ours, State.of(ours)))


async def _show(ours: Settings, state: State) -> dict[str, str]:
    calendar = Calendar()
    if state.stage == "new":
        state.stage = "begun"
        state.keep()
        again = False
    else:
        again = True
    if state.stage == "played":
        calendar.let_go()
    async with running(ours, clock=calendar, serving=True) as app, client(app) as http:
        cast = await _gather(ours, state, http)
        if state.stage == "played":
            tell.goes_on(ours)
        else:
            await _play(cast, calendar, app, again=again)
            state.stage, state.keys = "played", await _played_by(cast)
            state.keep()
        calendar.let_go()
        given = await _give_keys(state, cast)
        await tell.awards(app, cast.first)
        return given


async def _gather(ours: Settings, state: State, http: httpx.AsyncClient) -> Cast:
    """The two administrators, who are there before everybody else."""
    cast = Cast(http, Access(http, key_of(ours)))
    if state.second_key is None:
        party = {"party": SECOND.party, "name": history.packaged()["parties"][SECOND.party]}
        await cast.first.send("/parties", party, name=f"demo:party:{SECOND.party}")
        shown = await cast.give(SECOND)
        state.keep_second_key(shown)
    cast.second = Access(http, state.second_key or "")
    cast.issued.clear()
    return cast


async def _play(cast: Cast, calendar: Calendar, app: FastAPI, *, again: bool) -> None:
    tell.begins(again=again)
    lines = sum(len(claim.lines) for claim in history.claims())
    begun = monotonic()
    with bar() as progress:
        task = progress.add_task("Playing 2018 to 2025: claim lines", total=lines)
        play = Play(
            cast,
            calendar,
            lambda many, day: progress.update(task, advance=many, description=f"Playing {day:%B %Y}: claim lines"),
        )
        await play.all()
    entries = app.state.ledger.head().size
    say(f"Played {lines:,} claim lines in {len(history.claims())} claims: {entries:,} entries in {monotonic() - begun:.1f} s.")


async def _played_by(cast: Cast) -> list[str]:
    """The keys that the history was played with, also those of a run that was interrupted."""
    kept = {cast.first.key_id, cast.other.key_id}
    return [key["key"] for key in await cast.first.every("/keys") if not key["revoked"] and key["key"] not in kept]


async def _give_keys(state: State, cast: Cast) -> dict[str, str]:
    """Take back every key of before, and give out fresh ones for whoever runs the demo."""
    await cast.take_back(state.keys)
    cast.issued.clear()
    given = {part.who: await cast.give(part) for part in parts_for_you()}
    state.keys = list(cast.issued)
    state.keep()
    return given
