"""`verify`: everything that an auditor wants looked over in a database, and whatever does not hold is named."""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from api.cli.access import DataDir, Mistaken, settings_with
from api.cli.entries import PANEL, expect_ledger
from api.cli.screen import REFUSED, AsJson, bar, complain, say, tell_json
from api.settings import NotSetUp, Settings, signing_key, vault_key
from ledger.inspection import Evidence, Fault, Findings
from ledger.log import Log
from ledger.notes import NoteIsWrong, Verifier
from ledger.vault import Seals

Progress = Callable[[int, int], None]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=PANEL)(verify)


@dataclass(slots=True)
class Verified:
    """What came of it."""

    findings: Findings
    models: dict[str, int] = field(default_factory=dict)
    """The read models that were compared, with the positions that they have come to."""

    @property
    def told(self) -> dict[str, Any]:
        """As machines are told."""
        found = self.findings
        return {
            "size": found.size,
            "root": found.root.hex(),
            "checked": found.counts,
            "models": self.models,
            "left_out": found.left_out,
            "faults": [{**each._asdict(), "told": str(each)} for each in found.faults],
            "unnamed": found.unnamed,
        }


def verify(
    *,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option(help="A signed checkpoint that you kept; several may be given.", show_default=False, dir_okay=False),
    ] = None,
    verifier_key: Annotated[
        list[str] | None,
        typer.Option(help="A key that must have signed them, as `lcledger log keys` told it then.", show_default=False),
    ] = None,
    hashes: Annotated[
        bool, typer.Option("--hashes", help="Only leaves, roots, heads, and what you kept: several times as fast.")
    ] = False,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Look over everything that is stored, and name whatever does not hold; changes nothing, the service may run.

    Entries, columns, heads, receipts, checkpoints, the vault, and the read models. What was published (LCLEDGER_HEAD_FILE) or
    signed must be in the log: a checkpoint that you kept elsewhere finds what was rewritten from some entry on to the end.
    Examples:
      lcledger verify
      lcledger verify --checkpoint kept/last-year.checkpoint --json
    """
    ours = settings_with(data_dir)
    expect_ledger(ours)
    evidence = _evidence(ours, checkpoint or [], verifier_key or [])
    with _log(ours) as log, bar() as progress:
        if hashes:
            from domain.events import BY_NAME
            from ledger.inspection import inspect_history

            done = Verified(inspect_history(log, BY_NAME, evidence, _teller(progress, "Hashes")))
        else:
            done = everything(ours, log, evidence, partial(_teller, progress))
    _tell(done, as_json=as_json)


def look_over(ours: Settings, log: Log, progress: Progress) -> Findings:
    """Look a log over with all that stands beside it, but for what is kept elsewhere."""
    from domain.events import BY_NAME
    from ledger.inspection import inspect

    return inspect(log, BY_NAME, Evidence(seals=_seals(ours)), progress)


def everything(ours: Settings, log: Log, evidence: Evidence, teller: Callable[[str], Progress]) -> Verified:
    """Look over a log, what stands beside it, and the read models; `teller` makes what is told how far each of them has come."""
    from domain.events import BY_NAME
    from ledger.inspection import inspect

    done = Verified(inspect(log, BY_NAME, evidence, teller("Entries")))
    if ours.embedded and not ours.log_file.with_name("ledger-views.sqlite3").exists():
        done.findings.left_out.append("the read models, as there are none")
        return done
    try:
        _compare(log, done, teller("Read models"))
    except Exception as failure:  # noqa: BLE001 (a log that was changed may fail anything that folds it)
        done.findings.note("read models", None, f"they cannot be compared: {type(failure).__name__}: {failure}")
    return done


def _compare(log: Log, done: Verified, progress: Progress) -> None:
    """Fold the log anew, and compare the read models with it as of where they have come to."""
    from domain.events import BY_NAME
    from projections.views import check_beside

    for each in check_beside(log, BY_NAME, progress):
        done.models[each.name] = each.position
        for difference in each.differences:
            done.findings.note(f"read model {each.name}", None, difference)


@contextmanager
def _log(ours: Settings) -> Iterator[Log]:
    """The log as it is: triggers and heads may be missing, which is what is looked for."""
    from ledger import store

    with closing(Log(store.engine(ours.log_url))) as log:
        yield log


def _evidence(ours: Settings, files: list[Path], keys: list[str]) -> Evidence:
    from ledger.published_head import HeadUnreadable, PublishedHead

    if keys and not files:
        raise Mistaken("--verifier-key says who must have signed a checkpoint: give one that you kept, with --checkpoint.")
    try:
        published = PublishedHead(ours.published_head_file).read()
    except HeadUnreadable as wrong:
        raise Mistaken(str(wrong)) from None
    return Evidence(
        seals=_seals(ours),
        published=published,
        notes=list(map(_note, files)),
        keys=list(map(_verifier, keys)),
        current=_current(ours),
    )


def _note(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError:
        raise Mistaken(f"{file} is no checkpoint: it is not text.") from None


def _verifier(key: str) -> Verifier:
    try:
        return Verifier.read(key)
    except NoteIsWrong as wrong:
        raise Mistaken(f"{wrong}; `lcledger log keys` lists the log's.") from None


def _seals(ours: Settings) -> Seals | None:
    with suppress(NotSetUp):
        return Seals(vault_key(ours))
    return None


def _current(ours: Settings) -> bytes | None:
    """The public half of the key that signs, where it is here."""
    from ledger.notes import Signer

    with suppress(NotSetUp):
        seed = signing_key(ours, begun=True)
        return None if seed is None else Signer(seed).public
    return None


def _teller(progress: Any, what: str) -> Progress:
    task = progress.add_task(what, total=None)
    return lambda done, size: progress.update(task, completed=done, total=size)


def _tell(done: Verified, *, as_json: bool) -> None:
    found = done.findings
    if as_json:
        tell_json(done.told)
    else:
        counted = ", ".join(f"{many:,} {kind}" for kind, many in found.counts.items())
        models = f"; read models: {', '.join(done.models)}" if done.models else ""
        say(f"{'✗' if found.faults else '✓'} Looked over: {counted or 'nothing, as there are no entries'}{models}.")
        say(*(f"  Not looked over: {each}." for each in found.left_out), f"  Root {found.root.hex()}")
    if not found.faults:
        return
    first, *others = found.faults
    more = [_cells(each) for each in others] + ([("further", f"{found.unnamed:,} faults more")] if found.unnamed else [])
    complain(f"This does not hold. {first}", more)
    raise typer.Exit(REFUSED)


def _cells(fault: Fault) -> tuple[str, str]:
    return str(fault).removesuffix(f": {fault.what}"), fault.what
