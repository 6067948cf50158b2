"""Say how much one agent may send."""

from __future__ import annotations

import msgspec

__all__ = ["GatewayLimits"]


class GatewayLimits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Hold the limits of one agent; rates are per second, bursts in commands.

    Who has more messages refused than ``refusals_*`` floods and is disconnected, and revoked after more
    than ``floods_max`` floods in ten minutes.
    """

    payload_bytes_max: int = 512 * 1024
    queue_messages_max: int = 4_096
    queue_bytes_max: int = 4 * 1024 * 1024
    commands_per_s: int = 20_000
    commands_burst: int = 40_000
    queries_per_s: int = 200
    queries_burst: int = 1_000
    queries_queue_max: int = 256
    refusals_per_s: int = 1_000
    refusals_burst: int = 4_000
    floods_max: int = 3
    connections_max: int = 64
