"""`recheck`: every amount that was recorded, worked out again from what was claimed, decided and agreed."""

from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Annotated, Any

import typer

from api.cli.access import DataDir, Mistaken, settings_with
from api.cli.disclosures import keep
from api.cli.entries import PANEL, expect_ledger
from api.cli.screen import REFUSED, AsJson, bar, complain, say, tell_json
from api.settings import NotSetUp, Settings, vault_key
from domain.reference import canonical
from ledger.log import Log
from ledger.recheck import Difference, Progress, Rechecked


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(name="recheck", rich_help_panel=PANEL)(recheck_amounts)


@dataclass(frozen=True, slots=True)
class Reworked:
    """What came of it."""

    size: int
    rechecked: Rechecked
    models: dict[str, int] = field(default_factory=dict)
    """The read models that were compared, with the positions that they have come to."""
    model_differences: list[tuple[str, str]] = field(default_factory=list)
    """Read models, each with a row of it that is not what the log says."""
    left_out: str | None = None
    """Why read models were not compared."""

    @property
    def agrees(self) -> bool:
        """Whether everything is what it must be."""
        return not self.rechecked.differences and not self.model_differences

    @property
    def told(self) -> dict[str, Any]:
        """As machines are told."""
        found = self.rechecked
        return {
            "size": self.size,
            "checked": {
                "entries": found.entries,
                "decisions": found.decisions,
                "amounts": found.amounts,
                "postings": found.postings,
                "awards": len(found.awards),
            },
            "stated": found.stated,
            "terms": found.terms,
            "models": self.models,
            "left_out": self.left_out,
            "differences": [{**each._asdict(), "told": str(each)} for each in found.differences],
            "unnamed": found.unnamed,
            "model_differences": [{"model": model, "told": what} for model, what in self.model_differences],
        }


def recheck_amounts(
    *,
    award: Annotated[str | None, typer.Option(help="Only what touches this award.", show_default=False)] = None,
    data_dir: DataDir = None,
    as_json: AsJson = False,
) -> None:
    """Work every amount out again by today's rules, and compare it with what was recorded; changes nothing.

    Each decision is decided again as it was asked: lines, limits, parts, allotments, reversals, nettings, run totals, postings;
    then the read models are compared with the log. What differs is named, with its award and entry. Amounts that somebody
    stated (prices, limits, sums proposed or recovered) are taken as they stand. Examples:
      lcledger recheck
      lcledger recheck --award INDIGO-POJ-0175 --json
    """
    ours = settings_with(data_dir)
    expect_ledger(ours)
    with bar() as progress:
        entries, models = progress.add_task("Entries", total=None), progress.add_task("Read models", total=None)
        done = reworked(
            ours,
            award,
            lambda done, size: progress.update(entries, completed=done, total=size),
            lambda done, size: progress.update(models, completed=done, total=size),
        )
    _tell(done, as_json=as_json)


def reworked(ours: Settings, award: str | None, progress: Progress, models: Progress) -> Reworked:
    """Work out again what a ledger holds, or what touches one award."""
    from domain.events import BY_NAME
    from domain.postings import sums
    from ledger import store
    from ledger.recheck import recheck
    from projections.views import check_beside, compare_beside

    with closing(Log(store.engine(ours.log_url))) as log:
        size = log.head().size
        named = None if award is None else canonical(award)
        if named is not None and not log.reads.rows(0, 1, award=named):
            raise Mistaken(f"There is no award {award}.")
        keep(ours, log, "lcledger recheck", award=named, as_of=size)
        found = recheck(log.reads, BY_NAME, balance=sums, size=size, seals=_seals(ours), award=named, progress=progress)
        if ours.embedded and not ours.log_file.with_name("ledger-views.sqlite3").exists():
            return Reworked(size, found, left_out="there are none")
        if named is not None:
            return Reworked(size, found, *compare_beside(log, BY_NAME, named))
        checked = check_beside(log, BY_NAME, models)
    return Reworked(
        size,
        found,
        {each.name: each.position for each in checked},
        [(each.name, difference) for each in checked for difference in each.differences],
    )


def _seals(ours: Settings) -> Any:
    from ledger.vault import Seals

    with suppress(NotSetUp):
        return Seals(vault_key(ours))
    return None


def _tell(done: Reworked, *, as_json: bool) -> None:
    found = done.rechecked
    if as_json:
        tell_json(done.told)
    else:
        say(
            f"{'✓' if done.agrees else '✗'} Worked out again: {found.amounts:,} amounts in {found.entries:,} entries, of "
            f"{found.decisions:,} decisions under {len(found.awards):,} awards, and their {found.postings:,} postings.",
            f"  Taken as they were stated: {found.stated:,} amounts, as nothing is worked out to them; and "
            f"{found.terms:,} versions of terms as agreed.",
            "  Not checked: whether terms are what the contract says and what was claimed happened; days, persons, words.",
            f"  Read models: {', '.join(done.models) or f'not compared, as {done.left_out}'}.",
        )
    if done.agrees:
        return
    named = [_cells(each) for each in found.differences]
    more = [("further", f"{found.unnamed:,} differences more")] if found.unnamed else []
    models = [(f"read model {model}", what) for model, what in done.model_differences]
    complain(f"{len(named) + found.unnamed + len(models):,} differences.", [*named, *more, *models])
    raise typer.Exit(REFUSED)


def _cells(each: Difference) -> tuple[str, str]:
    where = str(each).removesuffix(f": recorded {each.recorded}, recomputed {each.recomputed}")
    return where, f"recorded {each.recorded}, recomputed {each.recomputed}"
