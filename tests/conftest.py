"""What many tests stand on: databases to keep a ledger in."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from ledger import schema, store
from tests import postgres, profiles  # noqa: F401 (profiles are loaded for Hypothesis)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--kills 200`: more of what the tests do only as often as everybody has the time for."""
    parser.addoption("--kills", type=int, default=20, help="how often processes are killed under load (tests/api/test_kill.py)")
    parser.addoption(
        "--kills-seed", type=int, default=0, help="when: another seed kills at other moments (tests/api/test_kill.py)"
    )
    parser.addoption("--deliveries", type=int, default=600, help="how many webhooks are sent (tests/api/test_unreliable.py)")
    parser.addoption(
        "--webhook-kills", type=int, default=3, help="how often who sends them is killed (tests/api/test_unreliable.py)"
    )
    parser.addoption("--simulations", type=int, default=12, help="how many schedules are played (tests/test_simulation.py)")
    parser.addoption("--simulation-seed", type=int, default=None, help="the one schedule to play (tests/test_simulation.py)")
    parser.addoption(
        "--merkle-vectors",
        type=Path,
        default=Path(__file__).parents[2] / "shared" / "data" / "merkle-vectors",
        help="where the vectors of transparency-dev/merkle are (tests/ledger/test_proofs.py)",
    )


@pytest.fixture(scope="session")
def merkle_vectors(request: pytest.FixtureRequest) -> Path:
    """The folder of the vectors of transparency-dev/merkle, where it is beside the checkout."""
    folder: Path = request.config.getoption("--merkle-vectors")
    if not folder.is_dir():
        pytest.skip("the vectors of transparency-dev/merkle are not beside the checkout (--merkle-vectors says where they are)")
    return folder


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.Server]:
    """A PostgreSQL with a template in which the ledger's tables are; the tests fail where there is none."""
    with postgres.running() as server:
        _make_template(server)
        yield server


@pytest.fixture
def own_server() -> Iterator[postgres.Server]:
    """A PostgreSQL of this test alone, to stop and start; its template has the ledger's tables."""
    with postgres.running() as server:
        _make_template(server)
        yield server


def _make_template(server: postgres.Server) -> None:
    with server.connect() as connection:
        connection.execute(f'CREATE DATABASE "{postgres.TEMPLATE}"'.encode())
    engine = store.engine(server.url(postgres.TEMPLATE))
    schema.migrate(engine)
    engine.dispose()


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """Where an SQLite ledger may be made."""
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture
def postgres_url(postgres_server: postgres.Server) -> Iterator[str]:
    """A PostgreSQL database with the ledger's tables."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def service_url(postgres_server: postgres.Server, postgres_url: str) -> Iterator[str]:
    """The same database, for a role that may serve it and owns nothing of the log."""
    name = str(make_url(postgres_url).database)
    role = f"service_of_{name}"
    with postgres_server.connect() as connection:
        connection.execute(f"CREATE ROLE {role} LOGIN".encode())
    owner = store.engine(postgres_url)
    schema.migrate(owner, grant_to=role)
    owner.dispose()
    yield postgres_server.url(name, role)
    with postgres_server.connect(name) as connection:
        connection.execute(f"DROP OWNED BY {role}".encode())
        connection.execute(f"DROP ROLE {role}".encode())


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest) -> str:
    """A database with a ledger's tables (or one that makes them when opened), once of each kind."""
    return str(request.getfixturevalue(f"{request.param}_url"))
