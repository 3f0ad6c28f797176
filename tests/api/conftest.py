"""A service that the tests of HTTP ask."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.api import story
from tests.api.story import Begun, Service


@pytest_asyncio.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Service]:
    """A service with its first administrator only."""
    async with story.serving(tmp_path / "ledger") as service:
        yield service


@pytest_asyncio.fixture
async def service(begun: Begun, tmp_path: Path) -> AsyncIterator[Service]:
    """A service with its parties and persons, and an agreed award; on a ledger of its own."""
    shutil.copytree(begun.folder, tmp_path / "ledger")
    async with story.serving(tmp_path / "ledger", begun.clock()) as service:
        begun.give_keys_to(service)
        yield service


@pytest.fixture(scope="session")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Begun:
    """How each such service begins: made once, as it takes dozens of commands, and copied."""
    return asyncio.run(story.begin(tmp_path_factory.mktemp("begun") / "ledger"))
