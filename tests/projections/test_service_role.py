"""On PostgreSQL the service's role owns nothing of the log, and the read models are its own."""

from sqlalchemy import make_url

from ledger import schema, store
from ledger.ledger import Ledger
from projections.views import Views
from tests import postgres
from tests.domain.kirklees import REFERENCE
from tests.projections.conftest import VAULT_KEY, Clock, Story


def test_follows_and_rebuilds_without_owning_the_log(postgres_server: postgres.Server, postgres_url: str) -> None:
    name, role = str(make_url(postgres_url).database), "ledger_service"
    with postgres_server.connect() as connection:
        connection.execute(f"DROP ROLE IF EXISTS {role}".encode())
        connection.execute(f"CREATE ROLE {role} LOGIN".encode())
    owner = store.engine(postgres_url)
    schema.migrate(owner, grant_to=role)
    url = postgres_server.url(name, role)
    with Ledger.open(url, vault_key=VAULT_KEY, clock=Clock()) as ledger, Views.open(url, ledger) as views:
        Story(ledger).register()
        assert views.catch_up() == ledger.head().size == views.rebuild()
        assert views.balances.of(REFERENCE).trial_balance == 0
    with owner.connect() as connection:
        connection.exec_driver_sql(f"DROP OWNED BY {role}")
        connection.exec_driver_sql(f"DROP ROLE {role}")
    owner.dispose()
