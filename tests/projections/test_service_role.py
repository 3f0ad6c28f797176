"""On PostgreSQL the service's role owns nothing of the log, and the read models are its own."""

from ledger.ledger import Ledger
from projections.views import Views
from tests.domain.kirklees import REFERENCE
from tests.projections.conftest import VAULT_KEY, Clock, Story


def test_follows_and_rebuilds_without_owning_the_log(service_url: str) -> None:
    with Ledger.open(service_url, vault_key=VAULT_KEY, clock=Clock()) as ledger, Views.open(service_url, ledger) as views:
        Story(ledger).register()
        assert views.catch_up() == ledger.head().size == views.rebuild()
        assert views.balances.of(REFERENCE).trial_balance == 0
