"""The database of the read models fails: no model is blamed for it, and following goes on when it is back."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from itertools import pairwise
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event, exc, make_url

from ledger.failures import Unavailable
from ledger.ledger import Ledger
from projections import views as views_module
from projections.views import Views
from tests import postgres
from tests.faults import until
from tests.projections.conftest import Story

HELD = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = 1818455044 AND database = "


class TestADatabaseThatFails:
    @pytest.mark.parametrize("at", ["INSERT", "UPDATE", "COMMIT", "SELECT"])
    def test_stops_no_model(self, story: Story, views: Views, ledger: Ledger, at: str) -> None:
        story.whole()
        with _failing(views._tables.engine, at), pytest.raises(Unavailable):
            views.catch_up()
        assert [each.failed for each in views.health()] == [None] * len(views.health())
        assert views.catch_up() == ledger.head().size
        assert all(checked.agrees for checked in views.check())

    def test_answers_nothing_meanwhile_and_then_again(self, story: Story, views: Views) -> None:
        story.whole()
        views.catch_up()
        asked: list[Callable[[], Any]] = [
            views.health,
            lambda: views.claims.page(story.reference),
            lambda: views.balances.of(story.reference),
        ]
        with _failing(views._tables.engine, "SELECT"):
            for ask in asked:
                with pytest.raises(Unavailable):
                    ask()
        assert all(ask() for ask in asked)

    async def test_is_followed_again_when_it_is_back(self, story: Story, views: Views, ledger: Ledger) -> None:
        story.begin()
        async with _following(views):
            await views.wait(ledger.head().size, 60)
            with _failing(views._tables.engine, "UPDATE"):
                await asyncio.to_thread(story.register)
                await until(lambda: not views._following)
            await views.wait(ledger.head().size, 60)
        assert all(checked.agrees for checked in views.check())

    async def test_is_asked_less_and_less_often_while_it_is_away(self, views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[float] = []

        def away(*_: object) -> None:
            asked.append(time.monotonic())
            raise Unavailable("it is away")

        monkeypatch.setattr(views_module, "alone", away)
        monkeypatch.setattr(views_module, "_AGAIN_S", 0.05)
        monkeypatch.setattr(views_module, "_AGAIN_MOST_S", 0.2)
        async with _following(views):
            await until(lambda: len(asked) == 5)
        pauses = [later - earlier for earlier, later in pairwise(asked)]
        assert all(pause >= least for pause, least in zip(pauses, (0.05, 0.1, 0.2, 0.2), strict=True)), pauses


class TestAFollowerThatLosesItsConnection:
    async def test_is_the_only_one_again(
        self, views: Views, ledger: Ledger, database_url: str, postgres_server: postgres.Server
    ) -> None:
        if not database_url.startswith("postgresql"):
            pytest.skip("whoever serves an SQLite file is alone with it")
        name = make_url(database_url).database
        oid = f"(SELECT oid FROM pg_database WHERE datname = '{name}')"
        with postgres_server.connect() as connection, Views.open(database_url, ledger) as other:

            def held() -> bool:
                found = connection.execute(f"{HELD}{oid}".encode()).fetchone()
                return found is not None and found[0] == 1

            async with _following(views), _following(other):
                await until(held)
                connection.execute(
                    f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = '{name}'".encode()
                )
                await until(held)
                await until(lambda: views._following != other._following)


@asynccontextmanager
async def _following(views: Views) -> AsyncIterator[None]:
    task = asyncio.create_task(views.follow())
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@contextmanager
def _failing(engine: Engine, at: str) -> Iterator[None]:
    """Every statement that begins so fails as if the connection were lost."""

    def fail(_connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith(at):
            raise exc.OperationalError(statement, None, OSError("the connection is lost"))

    event.listen(engine, "before_cursor_execute", fail)
    try:
        yield
    finally:
        event.remove(engine, "before_cursor_execute", fail)
