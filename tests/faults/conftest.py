"""Servers that outlive the daemons on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from exchange.daemon.creation import create_venue
from tests.daemon.support import External

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
async def external(tmp_path: Path) -> AsyncIterator[External]:
    """Run a server that no daemon owns, with a new venue on it."""
    external = External(tmp_path)
    await external.start()
    async with external.journal() as client:
        await create_venue(client)
    yield external
    await external.stop()
