"""A message that the server does not permit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from nats.errors import TimeoutError as NatsTimeout

from tests.traps.support import plain_client, running_server

if TYPE_CHECKING:
    from pathlib import Path

SETTINGS = 'authorization { users: [{ user: u, password: p, permissions: { publish: { deny: "forbidden" } } }] }'


async def test_plain_nats_py_times_out(tmp_path: Path) -> None:
    """The trap: who asks waits in vain; only the error callback hears why.

    ``tests/sdk/test_nats_transport.py`` proves that the SDK raises ``PermissionDenied`` instead.
    """
    told: list[str] = []

    async def hear(error: Exception) -> None:
        told.append(str(error).lower())

    async with running_server(tmp_path, SETTINGS) as server:
        async with plain_client(server.url.replace("//", "//u:p@"), error_cb=hear) as client:
            with pytest.raises(NatsTimeout):
                await client.request("forbidden", b"", timeout=0.5)
        assert [line for line in told if 'permissions violation for publish to "forbidden"' in line]
