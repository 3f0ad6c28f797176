"""Where it is measured: databases of a kind, made for the measurement and removed after it."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Final

import typer

from api.cli.access import Mistaken
from ledger.yardsticks import Scratch, scratch


class Database(StrEnum):
    """What a ledger can be kept in."""

    SQLITE = "sqlite"
    POSTGRESQL = "postgresql"


BOTH: Final = (Database.SQLITE, Database.POSTGRESQL)

On = Annotated[
    list[Database] | None, typer.Option("--on", help="Measure on this database only; both unless said.", show_default=False)
]
Postgres = Annotated[
    str | None,
    typer.Option(
        "--postgres",
        help="A PostgreSQL to measure on, as postgresql://user@host:5432/name, on which databases may be made: "
        "those of the measurement are its own, and are dropped after it.",
        show_default=False,
    ),
]
Folder = Annotated[
    Path | None,
    typer.Option(
        help="Measure SQLite in a fresh folder under this one, on the disk that it is to be measured on; "
        "a temporary one unless said.",
        show_default=False,
        file_okay=False,
    ),
]
Rounds = Annotated[int, typer.Option(min=1, max=100, help="How often each contender has its turn.")]


def chosen(on: Sequence[Database] | None, postgres: str | None) -> tuple[Database, ...]:
    """The databases to measure on; refuses PostgreSQL where nobody says which one."""
    databases = tuple(dict.fromkeys(on or BOTH))
    if Database.POSTGRESQL in databases and postgres is None:
        raise Mistaken("Say on which PostgreSQL to measure, with --postgres URL, or leave it out with --on sqlite.")
    if Database.POSTGRESQL not in databases and postgres is not None:
        raise Mistaken("--postgres names a server, but --on leaves PostgreSQL out.")
    return databases


def usually_sqlite(on: Sequence[Database] | None, postgres: str | None) -> tuple[Database, ...]:
    """The same, where a service is measured: on SQLite unless it is said otherwise."""
    return chosen(on or ([Database.SQLITE] if postgres is None else None), postgres)


@contextmanager
def grounds(database: Database, folder: Path | None, postgres: str | None) -> Iterator[Scratch]:
    """What makes databases of a kind, for as long as it is measured."""
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="lcledger-bench-", dir=folder) as fresh:
        server = postgres if database is Database.POSTGRESQL else None
        try:
            with scratch(Path(fresh), server) as made:
                yield made
        except ValueError as wrong:
            raise Mistaken(str(wrong)) from None
