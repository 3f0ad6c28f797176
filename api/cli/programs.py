"""`demo`, `serve`, `worker`, `migrate`, `openapi`, `settings`: the service itself."""

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Annotated

import typer

from api import logs
from api.cli.access import DataDir, Mistaken, settings_with
from api.cli.screen import AsJson, say, table, tell_json
from api.settings import Settings, described

PANEL = "The service"

Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="Port, instead of LCLEDGER_PORT; 0 takes a free one.", show_default=False)
]
Host = Annotated[str | None, typer.Option(help="Address, instead of LCLEDGER_HOST.", show_default=False)]


def install(app: typer.Typer) -> None:
    """Add the commands."""
    app.command(rich_help_panel=PANEL)(demo)
    app.command(rich_help_panel=PANEL)(serve)
    app.command(rich_help_panel=PANEL)(worker)
    app.command(rich_help_panel=PANEL)(migrate)
    app.command(rich_help_panel=PANEL)(openapi)
    app.command("settings", rich_help_panel=PANEL)(show_settings)


def demo(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    serve: Annotated[bool, typer.Option(help="Serve when everything was shown, or end.")] = True,
) -> None:
    """Five real awards with an invented history, one to try, and a service to try it on.

    The first run plays 2018 to 2025 under a simulated clock; later runs go on from what is on disk.
    Delete the folder to begin anew. Examples:

      lcledger demo
      lcledger demo --no-serve --data-dir /tmp/try-it
    """
    from api.cli import demo as play
    from api.cli.demo import tell

    ours = _settings(data_dir, host, port)
    keys = play.show(ours)
    if serve:
        _serve(ours, lambda address: tell.ways(address, keys, ours))


def serve(
    data_dir: DataDir = None,
    host: Host = None,
    port: Port = None,
    workers: Annotated[int, typer.Option(min=1, max=64, help="PostgreSQL: processes that serve together on the port.")] = 1,
) -> None:
    """Serve until SIGTERM or Ctrl-C, then finish what was accepted.

    On SQLite the first start makes everything, and one process serves; PostgreSQL wants `lcledger migrate` first. Examples:

      lcledger serve --port 9000
      lcledger serve --workers 4
      LCLEDGER_LOG_FORMAT=json lcledger serve
    """
    ours = _settings(data_dir, host, port)
    if workers == 1:
        _serve(ours, lambda _address: None)
        return
    from api.cli.workers import serve as serve_together

    serve_together(ours, workers)


def worker(data_dir: DataDir = None) -> None:
    """On PostgreSQL, send webhooks and keep the read models up to date, beside any number of serving processes.

    Of several workers one works and the others stand by. On SQLite the serving process does it.
    """
    from api.cli.access import open_ledger
    from api.cli.serving import run
    from api.delivering import Delivering, manner
    from ledger.checkpoints import Checkpoints
    from projections.deliveries import Deliveries
    from projections.views import Views
    from projections.watching import Pace

    ours = settings_with(data_dir)
    if ours.embedded:
        raise Mistaken("A worker is for PostgreSQL: on SQLite whoever serves keeps read models up to date and sends webhooks.")
    logs.configure(ours.log_level, ours.log_format)

    async def follow() -> None:
        with (
            open_ledger(ours) as ledger,
            Views.open(ours.log_url, ledger) as views,
            Deliveries.open(ours.log_url) as deliveries,
            Delivering(ledger, views, deliveries, Checkpoints(ledger, ours.log_name), manner(ours)),
        ):
            following = asyncio.create_task(views.follow(Pace(ours.views_check_entries_per_s, ours.views_check_every_s)))
            loop = asyncio.get_running_loop()
            for told in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(told, following.cancel)
            logs.logger(__name__).info("standing by", position=views.position)
            with suppress(asyncio.CancelledError):
                await following

    run(follow())


def migrate(
    data_dir: DataDir = None,
    grant_to: Annotated[
        str | None,
        typer.Option(help="PostgreSQL: the role of the service, where it does not own the tables.", show_default=False),
    ] = None,
) -> None:
    """Bring the tables up to this release.

    Several processes may do it at once. On SQLite it happens at every start. Examples:

      lcledger migrate
      lcledger migrate --grant-to lcl_service
    """
    from ledger import schema, store

    ours = settings_with(data_dir)
    if ours.embedded:
        ours.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = store.engine(ours.log_url)
    try:
        schema.migrate(engine, grant_to=grant_to)
    except ValueError as wrong:
        raise Mistaken(str(wrong)) from None
    finally:
        engine.dispose()
    say(f"The tables are those of this release ({schema.REVISION}).")


def openapi() -> None:
    """Print the OpenAPI document of the service.

    For example:

      lcledger openapi > openapi.json
    """
    from api.app import create_app

    tell_json(create_app(Settings()).openapi())


def show_settings(as_json: AsJson = False) -> None:
    """List every setting: its variable, what it is unless set, and what it sets."""
    if as_json:
        tell_json([{"variable": one.variable, "default": one.default, "sets": one.description} for one in described()])
        return
    rows = [(one.variable, one.default, one.description) for one in described()]
    table("Settings", [("variable", "left"), ("default", "left"), ("what it sets", "left")], rows)


def _settings(data_dir: DataDir, host: str | None, port: int | None) -> Settings:
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    return settings_with(data_dir, **given)


def _serve(ours: Settings, announce: Callable[[str], None]) -> None:
    from api.cli.serving import serve as serve_on

    serve_on(ours, announce)
