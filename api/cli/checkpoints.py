"""`log`: what is signed of the log, and how others check it: checkpoints, proofs, tiles, and the keys that sign."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import quote

import typer

from api.cli.access import Access, DataDir, KeyFile, KeyText, Mistaken, act, key_of, open_ledger, settings_with
from api.cli.entries import PANEL, expect_ledger
from api.cli.screen import AsJson, say, table, tell_json
from api.settings import SIGNING_KEY_FILE, Settings, key_in, make_key, signing_key
from domain.log import introduction
from ledger import durable_file
from ledger.checkpoints import Checkpoints, Signed
from ledger.notes import Signer

log: Final = typer.Typer(
    no_args_is_help=True,
    help="What is signed of the log. Checkpoints, hashes and keys are for everybody; entries are for auditors.",
)

_SHOWN_DIGITS: Final = 8
Size = Annotated[
    int | None, typer.Option(help="Of the checkpoint of so many entries; else of the last one.", min=1, show_default=False)
]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.add_typer(log, name="log", rich_help_panel=PANEL)


# By whoever runs the ledger, and has its signing key -------------------------------------------------------------------


@log.command()
def checkpoint(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Sign how far the log goes now, and print it: a signed note that nobody can take back (C2SP tlog-checkpoint).

    `serve` does this every minute in which the log has grown. If the log does not go on from what was signed before, nothing is
    signed. For example:

      lcledger log checkpoint > checkpoint
    """
    ours = settings_with(data_dir)
    with _opened(ours) as checkpoints:
        signed = checkpoints.sign(_signer(ours, checkpoints))
        _print(_told(checkpoints, signed), as_json=as_json)


@log.command()
def tiles(
    folder: Annotated[Path, typer.Argument(help="Folder to write into; what is there already stays.", show_default=False)],
    *,
    entries: Annotated[bool, typer.Option("--entries", help="Write the entries too, which say everything.")] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Write the tree up to the last checkpoint as files for any web server (C2SP tlog-tiles).

    Without entries they are hashes that say nothing of any award. Run again, it adds what is new. For example:

      lcledger log tiles /srv/log
    """
    from ledger import tiles as trees

    ours = settings_with(data_dir)
    with _opened(ours) as checkpoints:
        signed = checkpoints.last()
        if signed is None:
            raise Mistaken("No checkpoint is signed yet: `lcledger log checkpoint` signs one.")
        made = trees.write(checkpoints, signed, folder, entries=entries)
    if as_json:
        tell_json({"size": signed.size, "files": made, "folder": str(folder)})
        return
    say(f"✓ {made:,} new files are in {folder}, for {signed.size:,} entries.")


@log.command("rotate-key")
def rotate_key(
    *,
    new_key_file: Annotated[
        Path | None,
        typer.Option(help="File of the new key, made if it is not there; needed where the old one is set.", show_default=False),
    ] = None,
    lost: Annotated[bool, typer.Option("--lost", help="Nobody has the old key any more, so that it cannot vouch.")] = False,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Let another key sign the log from here on: an entry that every auditor finds, and a checkpoint signed by both keys.

    The embedded ledger makes the key and puts it in its place; the old one is kept beside it. Elsewhere set it as
    LCLEDGER_SIGNING_KEY_FILE afterwards, and start the service again. For example:

      lcledger log rotate-key
      lcledger log rotate-key --new-key-file new-signing.key --key-file my.key
    """
    ours = settings_with(data_dir)
    expect_ledger(ours)
    place = ours.data_dir / SIGNING_KEY_FILE if ours.embedded and ours.signing_key is None else None
    if new_key_file is None and place is None:
        raise Mistaken("Say in which file the new key is, or is to be made: --new-key-file.")
    file = new_key_file or ours.data_dir / f"{SIGNING_KEY_FILE}.next"
    if not file.exists():
        make_key(file)
    new = Signer(key_in(file))
    old = None if lost else _old(ours)
    act(ours, key_of(ours, key, key_file), lambda me: _introduce(me, new, old))
    with _opened(ours) as checkpoints:
        signed = checkpoints.sign(new, *([old] if old else []))
        told = _told(checkpoints, signed)
    if place is not None:
        _put(file, place, old)
        if new_key_file is None:
            file.unlink()
    if as_json:
        tell_json({**told, "file": str(place or file)})
        return
    say(f"✓ {signed.verifier.vkey} signs the log from its {signed.size:,} entries on.")
    say(f"  It is in {place}." if place else f"  Set {file} as LCLEDGER_SIGNING_KEY_FILE, and start the service again.")


def _old(ours: Settings) -> Signer:
    seed = signing_key(ours, begun=True)
    if seed is None:
        raise Mistaken("LCLEDGER_SIGNING_KEY_FILE must name the old key, to vouch for the new one; --lost if nobody has it.")
    return Signer(seed)


async def _introduce(me: Access, new: Signer, old: Signer | None) -> None:
    """Have the new key recorded; not again if that was done before, and what follows was not."""
    keys = await me.get("/log/keys")
    if not keys:
        raise Mistaken("Nothing was signed yet: the first key needs no introduction.")
    replaces = keys[-1]["public_key"]
    if replaces == new.public.hex():
        return
    if old is not None and replaces != old.public.hex():
        raise Mistaken("The old key is not the one that signs the log.")
    text = introduction(new.public.hex(), replaces)
    body = {"public_key": new.public.hex(), "replaces": replaces, "signature": new.sign("key", text).signature.hex()}
    await me.send("/log/keys", body | ({"vouched": old.sign("key", text).signature.hex()} if old else {}))


def _put(file: Path, place: Path, old: Signer | None) -> None:
    """Put a key in its place, and keep the old one beside it."""
    if old is not None and place.exists():
        kept = place.with_name(f"{place.name}.{old.public.hex()[:_SHOWN_DIGITS]}")
        with durable_file.written(kept, over=True) as out:
            out.write(place.read_bytes())
    with durable_file.written(place, over=True) as out:
        out.write(file.read_bytes())


@contextmanager
def _opened(ours: Settings) -> Iterator[Checkpoints]:
    expect_ledger(ours)
    with open_ledger(ours) as ledger:
        yield Checkpoints(ledger, ours.log_name)


def _signer(ours: Settings, checkpoints: Checkpoints) -> Signer:
    from api.signing import signer

    return signer(ours, checkpoints)


def _told(checkpoints: Checkpoints, signed: Signed) -> dict[str, Any]:
    return {
        "size": signed.size,
        "origin": signed.origin,
        "root": signed.root.hex(),
        "key": signed.verifier.vkey,
        "made_at": signed.made_at,
        "note": checkpoints.note(signed),
    }


def _print(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        tell_json(told)
    else:
        typer.echo(told["note"], nl=False)


# By anybody with a key of the ledger ----------------------------------------------------------------------------------


@log.command()
def checkpoints(key: KeyText = None, key_file: KeyFile = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List every checkpoint that was signed."""
    ours = settings_with(data_dir)
    found = act(ours, key_of(ours, key, key_file), lambda me: me.every("/log/checkpoints"))
    if as_json:
        tell_json(found)
        return
    heads = [("size", "right"), ("root", "left"), ("made at", "left"), ("key", "left")]
    rows = ((f"{each['size']:,}", each["root"], each["made_at"], each["key"]) for each in found)
    table("Checkpoints", heads, rows)


@log.command()
def prove(
    position: Annotated[int, typer.Argument(help="The position of an entry.", min=1, show_default=False)],
    size: Size = None,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Print the proof that an entry is under a signed checkpoint, for whoever checks it without us (C2SP tlog-proof).

    For example:

      lcledger log prove 42 > 42.tlog-proof
    """
    ours = settings_with(data_dir)
    asked = {"position": position, "size": size}
    typer.echo(act(ours, key_of(ours, key, key_file), lambda me: me.text("/log/proof", **asked)), nl=False)


@log.command()
def consistency(
    first: Annotated[int, typer.Argument(help="A size of the log, such as that of a checkpoint.", min=1, show_default=False)],
    second: Annotated[int, typer.Argument(help="A later one.", min=1, show_default=False)],
    *,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Print the proof that a later state of the log goes on from an earlier one, as JSON (RFC 6962, 2.1.2).

    For example:

      lcledger log consistency 11283 11340
    """
    ours = settings_with(data_dir)
    tell_json(act(ours, key_of(ours, key, key_file), lambda me: me.get("/log/consistency", first=first, second=second)))


@log.command("award-head")
def award_head(
    award: Annotated[str, typer.Argument(help="The award.", show_default=False)],
    size: Size = None,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
) -> None:
    """Print how many entries an award has under a checkpoint, and the last one's leaf, signed.

    For example:

      lcledger log award-head INDIGO-POJ-0175
    """
    ours = settings_with(data_dir)
    address = f"/log/awards/{quote(award, safe='')}/head"
    typer.echo(act(ours, key_of(ours, key, key_file), lambda me: me.text(address, size=size)), nl=False)


@log.command()
def keys(key: KeyText = None, key_file: KeyFile = None, data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """List the keys that signed the log, and from which size to which; the last one signs from here on."""
    ours = settings_with(data_dir)
    found = act(ours, key_of(ours, key, key_file), lambda me: me.get("/log/keys"))
    if as_json:
        tell_json(found)
        return
    heads = [("key", "left"), ("first size", "right"), ("last size", "right"), ("introduced by entry", "right")]
    rows = (
        (each["key"], *("–" if each[name] is None else f"{each[name]:,}" for name in ("first", "last", "introduced_at")))
        for each in found
    )
    table("Keys of the log", heads, rows)
