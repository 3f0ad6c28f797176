"""`keys`: what people show in order to be recognised."""

from typing import Annotated, Any, Final

import typer

from api.cli.access import DataDir, KeyFile, KeyText, act, key_of, settings_with
from api.cli.screen import AsJson, say, table, tell_json
from domain.key import Role

keys: Final = typer.Typer(
    no_args_is_help=True,
    help="Keys. Those of administrators, approvers and releasers open nothing until a second person agrees them (L1).",
)

Key = Annotated[str, typer.Argument(help="The key's id: what stands between the two underscores.", show_default=False)]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(keys, name="keys", rich_help_panel="People")


@keys.command("list")
def show(key: KeyText = None, key_file: KeyFile = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the keys: whose, for what, and whether they open anything."""
    ours = settings_with(data_dir)
    found = act(ours, key_of(ours, key, key_file), lambda me: me.every("/keys"))
    if as_json:
        tell_json(found)
        return
    heads = [(name, "left") for name in ("key", "person", "roles", "awards", "opened by", "state")]
    rows = (
        (
            *(each["key"], each["person"], ", ".join(each["roles"]), ", ".join(each["awards"]) or "–"),
            *(each["opened_by"], _state(each)),
        )
        for each in found
    )
    table("Keys", heads, rows)


def _state(key: dict[str, Any]) -> str:
    if key["revoked"]:
        return "revoked"
    return "usable" if key["usable"] else "waits for a second person"


@keys.command()
def issue(
    person: Annotated[str, typer.Argument(help="The person's id.", show_default=False)],
    roles: Annotated[list[Role], typer.Argument(help="What the key lets its person do.", show_default=False)],
    *,
    award: Annotated[
        list[str] | None, typer.Option(help="An award that it opens; again for more; * for all.", show_default=False)
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(help="Open it by signing in, as whom the identity provider calls so (sub).", show_default=False),
    ] = None,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Give a person a key; it is shown this once, unless it is opened by signing in.

    For example:

      lcledger keys issue 3f0a9c… claimant --award INDIGO-POJ-0175
      lcledger keys issue 77b1e2… auditor
      lcledger keys issue 77b1e2… approver --award INDIGO-POJ-0175 --subject 248289761001
    """
    ours = settings_with(data_dir)
    body: dict[str, Any] = {"person": person, "roles": [str(role) for role in roles], "awards": award or []}
    if subject is not None:
        body["subject"] = subject
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send("/keys", body))
    if as_json:
        tell_json(done)
        return
    say(done["secret"] if subject is None else f"✓ Signing in opens key {done['key']}.")
    if done["needs_agreement"]:
        say(f"It opens nothing until a second administrator agrees it: lcledger keys agree {done['key']}")


@keys.command()
def agree(named: Key, key: KeyText = None, key_file: KeyFile = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Agree a key, as somebody who neither issued nor holds it.

    For example:

      lcledger keys agree 9f31c0… --key-file second-administrator.key
    """
    ours = settings_with(data_dir)
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send(f"/keys/{named}/agreement"))
    if as_json:
        tell_json(done)
    else:
        say(f"✓ {named} is agreed.")


@keys.command()
def revoke(named: Key, key: KeyText = None, key_file: KeyFile = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Let a key open nothing any more, from now on.

    For example:

      lcledger keys revoke 9f31c0…
    """
    ours = settings_with(data_dir)
    done = act(ours, key_of(ours, key, key_file), lambda me: me.send(f"/keys/{named}", method="DELETE"))
    if as_json:
        tell_json(done)
    else:
        say(f"✓ {named} is revoked.")
