"""`backup`, `restore`: all of the ledger in one file, and a ledger out of it."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.progress import Progress

from api.cli.access import DataDir, KeyFile, KeyText, Mistaken, key_of, open_ledger, settings_with
from api.cli.disclosures import keep
from api.cli.entries import PANEL, expect_ledger
from api.cli.screen import AsJson, bar, say, tell_json
from api.identity import recognise
from api.settings import VAULT_KEY_FILE, Settings, vault_key
from domain.aggregate import Actor
from domain.key import Role
from domain.log import SealedHead
from domain.refusal import Refused
from ledger.backup import Backup
from ledger.facts import Streams

_SUFFIX: Final = ".lcledger"


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=PANEL)(backup)
    app.command(rich_help_panel=PANEL)(restore)


def backup(
    place: Annotated[
        Path, typer.Argument(help='File to write, named "….lcledger", or the folder in which to make one.', show_default=False)
    ],
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Back up log and vault, while the service runs, into one file that either database can be restored from.

    Every leaf and root is computed anew on the way, and once more from the file. The vault's key is not in it: keep that apart
    (`vault.key` in the data folder, or wherever LCLEDGER_VAULT_KEY_FILE is), and an administrator's key. Examples:

      lcledger backup /mnt/backups
      lcledger backup before-the-move.lcledger
    """
    from ledger import backup as backups
    from ledger import store
    from ledger.log import Log

    ours = settings_with(data_dir)
    expect_ledger(ours)
    with closing(Log(store.engine(ours.log_url))) as log, bar() as progress:
        log.start()
        size = log.head().size
        file = place if place.suffix == _SUFFIX and not place.is_dir() else place / _name(size)
        file.parent.mkdir(parents=True, exist_ok=True)
        keep(ours, log, "lcledger backup", as_of=size)
        made = backups.write(log, file, _teller(progress))
    if as_json:
        tell_json({"file": str(file), **_told(made)})
        return
    say(f"✓ {made.head.size:,} entries with their vault are in {file}, as of {made.made_at}.")
    say(f"  Root {made.head.root}")
    say("  The vault's key is not in it. Keep that apart: without it the backup cannot be restored.")


def restore(
    file: Annotated[Path, typer.Argument(help="A backup.", show_default=False, dir_okay=False)],
    *,
    check: Annotated[bool, typer.Option("--check", help="Only read the backup from end to end, and restore nothing.")] = False,
    key: KeyText = None,
    key_file: KeyFile = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Restore a backup into an empty database, and record that it was: `log.restored`, an entry that every auditor finds.

    It needs the vault's key, in LCLEDGER_VAULT_KEY_FILE or as `vault.key` in the folder, then as for serving it afterwards; and
    the key of an administrator whom the backup knows, by --key-file. On SQLite the folder may hold
    no ledger; PostgreSQL wants an empty database and `lcledger migrate` first. If the head that was published last is in
    LCLEDGER_HEAD_FILE, the entry says up to where entries are lost. Stop whoever serves the old database before. Examples:

      lcledger restore before-the-move.lcledger --check
      lcledger restore before-the-move.lcledger --key-file my.key --data-dir new-folder
    """
    from ledger import backup as backups

    ours = settings_with(data_dir)
    with bar() as progress:
        held = backups.verify(file, _teller(progress))  # Before anything is made: a damaged backup leaves no trace.
    if check:
        _tell_checked(file, held, as_json=as_json)
        return
    with bar() as progress:
        head, lost = _restore(ours, file, key_of(ours, key, key_file), _teller(progress))
    told = {"file": str(file), **_told(held), "restored": head.model_dump(), "lost": lost and lost.model_dump()}
    if as_json:
        tell_json(told)
        return
    say(f"✓ {held.head.size:,} entries are restored, as of {held.made_at}, and entry {head.size:,} says so. Root {head.root}")
    if lost is not None:
        say(f"  Entries up to {lost.size:,} had been published: what is not in the backup is lost, and the log says so.")
    else:
        say("  No published head beyond the backup is known: what was recorded after it is lost without a word of the log.")
    say("  Erasures after the backup are lost too: what was erased is back, and has to be erased again.")


def _teller(progress: Progress) -> Callable[[int, int], None]:
    task = progress.add_task("Entries", total=None)
    return lambda done, size: progress.update(task, completed=done, total=size)


def _restore(ours: Settings, file: Path, shown: str, tell: Callable[[int, int], None]) -> tuple[SealedHead, SealedHead | None]:
    """Restore, look everything over as it then stands in the database, and make the read models anew."""
    from api.cli.inspection import look_over
    from domain.events import BY_NAME
    from ledger import backup as backups
    from ledger import schema, store
    from ledger.log import Log
    from ledger.published_head import PublishedHead
    from ledger.vault import Seals
    from projections.views import Views

    seals = Seals(_vault_key(ours))
    published = PublishedHead(ours.published_head_file)
    last = published.read()
    if ours.embedded:
        ours.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _nothing_left_if_refused(ours), closing(Log(store.engine(ours.log_url))) as log:
        if ours.embedded:
            schema.migrate(log.engine)
        log.start()
        head = backups.restore(
            log, file, seals=seals, registry=BY_NAME, by=partial(_administrator, shown), published=last, progress=tell
        )
    with open_ledger(ours) as ledger, Views.open(ours.log_url, ledger) as views:
        if faults := look_over(ours, ledger.log, tell).faults:
            raise Mistaken(f"What stands in the database is not what was restored: {faults[0]}.")
        views.rebuild(tell)
        published.put(head)
    return head, last if last is not None and last.size >= head.size else None


@contextmanager
def _nothing_left_if_refused(ours: Settings) -> Iterator[None]:
    """Keep others out of the folder of a restore, and if it is refused take the SQLite file away again that it made."""
    if not ours.embedded:
        yield
        return
    from ledger import store
    from ledger.lock_file import LockFile

    file = store.file_of(store.database(ours.log_url))
    with LockFile(file.with_name(file.name + ".lock")).take():
        made = not file.exists()
        try:
            yield
        except BaseException:
            for suffix in ("", "-wal", "-shm") if made else ():
                file.with_name(file.name + suffix).unlink(missing_ok=True)
            raise


def _administrator(shown: str, streams: Streams) -> Actor:
    """Who restores: an administrator whom the backup knows."""
    try:
        caller = recognise(streams, shown)
        caller.expect({Role.ADMINISTRATOR})
    except Refused:
        raise Mistaken("This key is no administrator's in the backup; whoever restores is recorded, and must be one.") from None
    return caller.actor


def _vault_key(ours: Settings) -> bytes:
    """The vault's key, which must be there before the ledger is: a new one could not open the backup's vault."""
    file = ours.data_dir / VAULT_KEY_FILE
    if ours.embedded and ours.vault_key is None and not file.exists():
        raise Mistaken(
            f"The vault's key is needed, and is not in the backup. Put it into {file}, or name its file in "
            "LCLEDGER_VAULT_KEY_FILE, now and whenever the ledger is served."
        )
    return vault_key(ours)


def _tell_checked(file: Path, held: Backup, *, as_json: bool) -> None:
    if as_json:
        tell_json({"file": str(file), **_told(held)})
        return
    say(f"✓ {file} is whole: {held.head.size:,} entries under {held.counts['heads']:,} heads, as of {held.made_at}.")
    say(f"  Root {held.head.root}")


def _told(held: Backup) -> dict[str, Any]:
    return {"made_at": held.made_at, **held.head.model_dump(), "sha256": held.sha256, "counts": held.counts}


def _name(size: int) -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}-{size}{_SUFFIX}"
