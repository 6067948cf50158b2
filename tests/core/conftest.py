"""Share the scene that most tests of the core start from."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from exchange.testing import Venue
from tests.core.scenes import scene

settings.register_profile("core", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("core")


@pytest.fixture
def venue() -> Venue:
    """Return the common scene: market ``cpu``; alice, bob, carol and dave, each their own owner."""
    return scene()
