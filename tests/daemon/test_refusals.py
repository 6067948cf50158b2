"""What a daemon may say no with while it does not know whether it still leads."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from exchange.adapters.outgoing import Outgoing
from exchange.daemon.lease import Lease
from exchange.daemon.replica import stall_handler
from tests.gateway.desk import Desk

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Told(Outgoing):
    """Keep what leaves."""

    def __init__(self, may_refuse: Callable[[], Awaitable[None]]) -> None:
        super().__init__(may_refuse)
        self.reasons: list[str] = []

    async def _publish(self, messages: list[tuple[str, bytes]]) -> int:
        self.reasons += [msgspec.json.decode(payload)["reason"] for _, payload in messages]
        return 0


async def test_a_stalled_daemon_says_only_that_the_journal_does_not_answer() -> None:
    """A refusal for what it knew of the venue before is not told: by now another may lead, who knows better."""
    lease = Lease(1.0, now_s=lambda: 0.0)
    told = Told(lease.wait_to_refuse)
    desk = Desk()
    desk.host.gateway._send = told.refuse
    on_stall = stall_handler(desk.host, lease, told)
    running = asyncio.create_task(told.run())
    desk.post("stranger", desk.command("stranger", "orders.mass_cancel"))
    await asyncio.sleep(0)
    assert told.reasons == []  # the lease is not held
    on_stall(True)
    desk.post("stranger", desk.command("stranger", "orders.mass_cancel"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert told.reasons == ["journal_unavailable"]
    on_stall(False)
    lease.renew(0.0)
    desk.post("stranger", desk.command("stranger", "orders.mass_cancel"))
    for _ in range(3):
        await asyncio.sleep(0)
    assert told.reasons == ["journal_unavailable", "unknown_agent"]
    running.cancel()
