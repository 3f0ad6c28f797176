"""`webhooks`: the addresses at which somebody is told of what happens."""

from collections.abc import Awaitable
from typing import Annotated, Any, Final
from urllib.parse import urlencode

import typer

from api.cli.access import Access, Json, act
from api.cli.asking import Asking, Doing, Looking, asks, does, looks
from api.cli.screen import say, table, tell_json
from domain.webhook import OVERLAP, OVERLAP_MOST_HOURS, State
from projections.deliveries import State as Delivered

webhooks: Final = typer.Typer(
    no_args_is_help=True,
    help="Webhooks: who is told of what happens, and where. An investor's key manages its own, an administrator's all.",
)

_Webhook = Annotated[str, typer.Argument(help="The webhook's id.", show_default=False)]
_Awards = Annotated[
    list[str] | None, typer.Option("--award", help="An award of which it is told; again for more; * for all.", show_default=False)
]
_Types = Annotated[
    list[str] | None, typer.Option("--type", help="A type that it is told, with * for any; again for more.", show_default=False)
]
_Description = Annotated[str | None, typer.Option(help="What it is for; it is kept in the vault.", show_default=False)]
_OtherDescription = Annotated[
    str | None, typer.Option("--description", help="What it is for; empty: nothing is said any more.", show_default=False)
]
_RateLimit = Annotated[int | None, typer.Option(min=1, help="The most notices in a second.", show_default=False)]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(webhooks, name="webhooks", rich_help_panel="People")


@webhooks.command("list")
@asks
def show_all(
    asking: Asking, *, state: Annotated[State | None, typer.Option(help="In this state only.", show_default=False)] = None
) -> None:
    """List the webhooks, and whether they are told.

    For example:

      lcledger webhooks list
      lcledger webhooks list --state disabled
    """
    if found := asking.found("/webhooks", every=True, state=state):
        rows, _ = found
        heads = [(head, "left") for head in ("webhook", "host", "state", "waits", "parked", "awards", "types", "party")]
        told = (
            (
                *(each[name] for name in ("webhook", "host")),
                _state(each),
                *_counted(each),
                *map(_some, (each["awards"], each["types"])),
                each["party"],
            )
            for each in rows
        )
        table("Webhooks", heads, told)


@webhooks.command()
@asks
def show(asking: Asking, webhook: _Webhook) -> None:
    """Show a webhook, and by which public keys what it was told can be verified.

    For example:

      lcledger webhooks show 9f31c0a4b2d87e65
    """
    if told := asking.answer(f"/webhooks/{webhook}"):
        say(
            f"Webhook {told['webhook']} of {told['party']}: {_state(told)}",
            f"  address      {told['url'] or told['host'] + ' (what else there was of it is gone)'}",
            f"  description  {told['description'] or '–'}",
            f"  awards       {_some(told['awards'])}",
            f"  types        {_some(told['types'])}",
            f"  rate limit   {told['rate_limit']} a second",
            *_queue(told["queue"]),
            *(f"  key {each['number']:<8} {each['public_key']}{_until(each)}" for each in told["secrets"]),
        )


def _state(told: Json) -> str:
    if told["state"] == State.ENABLED and not told["key_usable"]:
        return "enabled, but its key opens nothing"
    if told["state"] == State.ENABLED and told["queue"] and told["queue"]["failing_since"]:
        return f"enabled, but takes nothing since {told['queue']['failing_since']}"
    if told["state"] == State.DISABLED:
        since = f" since {told['since']}" if told["since"] else ""
        return f"disabled ({told['reason']}{since})"
    return str(told["state"])


def _counted(told: Json) -> tuple[str, str]:
    """How much waits, and how much is parked."""
    queue = told["queue"]
    return ("", "") if queue is None else (f"{queue['waiting']:,}", f"{queue['parked']:,}")


def _queue(queue: Json | None) -> tuple[str, ...]:
    if queue is None:
        return ()
    parked = f", {queue['parked']:,} are parked (webhooks replay --parked)" if queue["parked"] else ""
    return (f"  sent         {queue['sequence']:,} so far, {queue['waiting']:,} of them wait{parked}",)


def _some(named: list[str]) -> str:
    return "all" if "*" in named else ", ".join(named)


def _until(told: Json) -> str:
    return f", until {told['until']}" if told["until"] else ""


@webhooks.command()
@does
def add(
    doing: Doing,
    url: Annotated[str, typer.Argument(help="The address; https.", show_default=False)],
    *,
    award: _Awards = None,
    kind: _Types = None,
    description: _Description = None,
    rate_limit: _RateLimit = None,
) -> None:
    """Have notices sent to an address, once it has answered a challenge. Its secret is shown this once.

    For example:

      lcledger webhooks add https://notices.example.org/lcl --award INDIGO-POJ-0175 --type 'payment.*'
    """
    done = doing.do("/webhooks", _said(url, award, kind, description, rate_limit), "The webhook is registered", "It could be")
    if done and not doing.dry_run:
        _tell_secret(done)
        say(f"It is told nothing before it has answered a challenge: lcledger webhooks challenge {done['webhook']}")


@webhooks.command()
@does
def change(
    doing: Doing,
    webhook: _Webhook,
    *,
    url: Annotated[str | None, typer.Option(help="Another address.", show_default=False)] = None,
    award: _Awards = None,
    kind: _Types = None,
    description: _OtherDescription = None,
    rate_limit: _RateLimit = None,
) -> None:
    """Change a webhook, as far as it is said. Another address has to answer a challenge of its own.

    For example:

      lcledger webhooks change 9f31c0a4b2d87e65 --type 'payment.*' --type award.assessed
    """
    then = "" if url is None else f"It is told nothing before it has answered a challenge: lcledger webhooks challenge {webhook}"
    body = _said(url, award, kind, description, rate_limit)
    doing.do(f"/webhooks/{webhook}/change", body, f"Webhook {webhook} is changed", "It could be changed", then)


@webhooks.command()
@does
def challenge(doing: Doing, webhook: _Webhook) -> None:
    """Challenge a webhook's address from this machine; if it answers as it must, it is told from then on.

    For example:

      lcledger webhooks challenge 9f31c0a4b2d87e65
    """
    said = f"Webhook {webhook} answered, and is told from now on"
    doing.do(f"/webhooks/{webhook}/challenge", None, said, "It could be challenged")


@webhooks.command()
@does
def enable(doing: Doing, webhook: _Webhook) -> None:
    """Have a webhook told again.

    For example:

      lcledger webhooks enable 9f31c0a4b2d87e65
    """
    doing.do(f"/webhooks/{webhook}/enabling", None, f"Webhook {webhook} is told again", "It could be enabled")


@webhooks.command()
@does
def disable(doing: Doing, webhook: _Webhook) -> None:
    """Have a webhook told nothing until it is enabled again.

    For example:

      lcledger webhooks disable 9f31c0a4b2d87e65
    """
    doing.do(f"/webhooks/{webhook}/disabling", None, f"Webhook {webhook} is disabled", "It could be disabled")


@webhooks.command()
@does
def rotate(
    doing: Doing,
    webhook: _Webhook,
    *,
    overlap_hours: Annotated[
        int, typer.Option(min=0, max=OVERLAP_MOST_HOURS, help="For how long what signs now goes on signing too.")
    ] = OVERLAP.days * 24,
) -> None:
    """Let a new secret and a new key sign. The secret is shown this once.

    For example:

      lcledger webhooks rotate 9f31c0a4b2d87e65
      lcledger webhooks rotate 9f31c0a4b2d87e65 --overlap-hours 0
    """
    said, could = f"Something new signs what webhook {webhook} is told", "It could be rotated"
    done = doing.do(f"/webhooks/{webhook}/secrets", {"overlap_hours": overlap_hours}, said, could)
    if done and not doing.dry_run:
        _tell_secret(done)


@webhooks.command()
@does
def remove(doing: Doing, webhook: _Webhook) -> None:
    """Have a webhook told nothing any more, for good; its address, its description and its secrets are let go of.

    For example:

      lcledger webhooks remove 9f31c0a4b2d87e65
    """
    doing.do(f"/webhooks/{webhook}", None, f"Webhook {webhook} is removed", "It could be removed", method="DELETE")


@webhooks.command()
@looks
def deliveries(
    looking: Looking,
    webhook: _Webhook,
    *,
    state: Annotated[Delivered | None, typer.Option(help="In this state only.", show_default=False)] = None,
    award: Annotated[str | None, typer.Option(help="Of this award only.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="The newest so many.")] = 50,
) -> None:
    """List what a webhook was sent, and what came of it, the newest first.

    For example:

      lcledger webhooks deliveries 9f31c0a4b2d87e65
      lcledger webhooks deliveries 9f31c0a4b2d87e65 --state parked
    """

    def asked(me: Access) -> Awaitable[Any]:
        return me.get(f"/webhooks/{webhook}/deliveries", state=state, award=award, limit=limit)

    page = act(looking.ours, looking.key, asked)
    if looking.as_json:
        tell_json(page["rows"])
        return
    heads = [(head, "left") for head in ("number", "position", "type", "award", "state", "attempts", "last answer")]
    table("Deliveries", heads, (_delivery(each) for each in page["rows"]))


@webhooks.command()
@looks
def resend(
    looking: Looking, webhook: _Webhook, number: Annotated[int, typer.Argument(min=1, help="The delivery's number.")]
) -> None:
    """Send one delivery again, under the id that it had.

    For example:

      lcledger webhooks resend 9f31c0a4b2d87e65 17
    """
    _send(looking, f"/webhooks/{webhook}/deliveries/{number}/resend", f"Delivery {number} waits to be sent again")


@webhooks.command()
@looks
def replay(
    looking: Looking,
    webhook: _Webhook,
    *,
    begin: Annotated[
        str | None, typer.Option("--from", help="What was recorded after then: a position, or a time.", show_default=False)
    ] = None,
    parked: Annotated[bool, typer.Option("--parked", help="Only what was parked.")] = False,
) -> None:
    """Send everything again, or what was recorded since a moment, or what was parked.

    For example:

      lcledger webhooks replay 9f31c0a4b2d87e65 --parked
      lcledger webhooks replay 9f31c0a4b2d87e65 --from 1042
    """
    asked = {"from": begin, "parked": "true" if parked else None}
    query = urlencode({name: value for name, value in asked.items() if value is not None})
    _send(looking, f"/webhooks/{webhook}/replay{query and f'?{query}'}", "They wait to be sent again")


@webhooks.command()
@looks
def test(looking: Looking, webhook: _Webhook) -> None:
    """Send a test; what came of it is among the deliveries.

    For example:

      lcledger webhooks test 9f31c0a4b2d87e65
    """
    _send(looking, f"/webhooks/{webhook}/test", "A test waits to be sent")


def _send(looking: Looking, path: str, said: str) -> None:
    done = act(looking.ours, looking.key, lambda me: me.send(path))
    if looking.as_json:
        tell_json(done)
        return
    since = "" if done["after"] is None else f", everything after position {done['after']:,}"
    which = f"number {done['sequence']}" if done["sequence"] else f"{done['deliveries']:,} at once{since}"
    say(f"✓ {said} ({which}).")


def _delivery(told: Json) -> tuple[str, ...]:
    last = told["attempts"][-1] if told["attempts"] else None
    answer = "" if last is None else last["failure"] or f"{last['status']} after {last['duration_ms']:,} ms"
    position = "" if told["position"] is None else str(told["position"])
    return (str(told["sequence"]), position, told["type"], told["award"] or "", told["state"], str(len(told["attempts"])), answer)


def _said(
    url: str | None, awards: list[str] | None, kinds: list[str] | None, description: str | None, rate_limit: int | None
) -> dict[str, Any]:
    """What was said of a webhook."""
    said = {"url": url, "awards": awards, "types": kinds, "description": description, "rate_limit": rate_limit}
    return {name: value for name, value in said.items() if value not in (None, [])}


def _tell_secret(done: Json) -> None:
    """Show what signs, as far as the receiver has to know it."""
    say(f"  secret      {done['secret'] or '(shown before)'}", f"  public key  {done['public_key']}")
    if done["before_until"] is not None:
        say(f"What signed before signs along with it until {done['before_until']}.")
