"""Share the scene that most tests of the core start from."""

from __future__ import annotations

import pytest

from exchange.testing import Venue
from tests.core.scenes import scene


@pytest.fixture
def venue() -> Venue:
    """Return the common scene: market ``cpu``; alice, bob, carol and dave, each their own owner."""
    return scene()
