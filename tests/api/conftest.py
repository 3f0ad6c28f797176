"""A service that the tests of HTTP ask."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from tests.api import story
from tests.api.story import Service


@pytest_asyncio.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Service]:
    """A service with its first administrator only."""
    async with story.serving(tmp_path / "ledger") as service:
        yield service


@pytest_asyncio.fixture
async def service(bare: Service) -> Service:
    """A service with its parties and persons, and an agreed award."""
    await story.gather(bare)
    await story.agree_award(bare)
    return bare
