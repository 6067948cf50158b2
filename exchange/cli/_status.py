"""``exchange status``: how a venue is doing."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

from exchange.cli._output import Json, print_json, print_pairs, say
from exchange.cli._venue import Venue

__all__ = ["status"]


def status(*, venue: Venue | None = None, json: Json = False) -> int:
    """Show how the venue is doing; exit with 1 if credits are not conserved."""
    return asyncio.run(_status(venue or Venue(), json))


async def _status(venue: Venue, json: bool) -> int:
    url = venue.find_url()
    async with venue.connect() as agent:
        found = await agent.status()
        facts: dict[str, Any] = {
            "url": url,
            "state": found.state,
            "venue_version": found.venue_version,
            "incarnation": found.incarnation,
            "epoch": found.epoch,
            "index": found.index,
            "venue_time_us": found.venue_time_us,
            "agents": found.agents,
            "markets": found.markets,
            "open_orders": found.open_orders,
            "trades": found.trades,
            "commands": found.commands,
            "conservation_difference": found.conservation_difference,
            "uptime_seconds": found.uptime_seconds,
            "metrics_url": found.metrics_url,
            "suspended": found.suspended,
            "asked_as": agent.id,
        }
    if json:
        print_json(facts)
    else:
        _print(facts)
    return 1 if facts["conservation_difference"] else 0


def _print(facts: dict[str, Any]) -> None:
    time = datetime.fromtimestamp(facts["venue_time_us"] / 1e6, UTC)
    difference = facts["conservation_difference"]
    print_pairs(
        [
            ("venue", facts["url"]),
            ("state", facts["state"]),
            ("version", facts["venue_version"]),
            (
                "journal",
                f"record {facts['index']:,}, epoch {facts['epoch']}, incarnation {facts['incarnation']}",
            ),
            ("venue time", f"{time:%Y-%m-%d %H:%M:%S} UTC"),
            ("up", timedelta(seconds=facts["uptime_seconds"])),
            ("agents", f"{facts['agents']:,}"),
            ("markets", f"{facts['markets']:,}"),
            ("open orders", f"{facts['open_orders']:,}"),
            ("trades", f"{facts['trades']:,}"),
            ("commands", f"{facts['commands']:,}"),
            ("conservation", "exact" if not difference else f"BROKEN by {difference}"),
            ("metrics", facts["metrics_url"]),
            *([("suspended", ", ".join(facts["suspended"]))] if facts["suspended"] else []),
        ]
    )
    if difference:
        say("Credits are not conserved. Stop the daemon and run `exchange verify` on its data directory.")
