"""How hard Hypothesis tries: 100 examples while one works, 1,000 in CI. `tests/conftest.py` imports this."""

import os
from datetime import timedelta
from typing import Final

from hypothesis import HealthCheck, settings

CI: Final = os.environ.get("CI", "").lower() not in {"", "0", "false"}

settings.register_profile("dev", max_examples=100, deadline=timedelta(seconds=2), suppress_health_check=[HealthCheck.too_slow])
settings.register_profile(
    "ci",
    parent=settings.get_profile("dev"),
    max_examples=1_000,
    deadline=None,  # a machine of CI pauses when it likes
    print_blob=True,
)
settings.load_profile("ci" if CI else "dev")
