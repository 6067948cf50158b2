"""Speak about the venue itself: greeting, heartbeat, event recovery, settled ids. Family ``venue``."""

from __future__ import annotations

import msgspec

from exchange.messages.admin import AssetView, BalanceView
from exchange.messages.base import CommandId, Query, Result, TimestampUs
from exchange.messages.orders import OrderView

__all__ = [
    "AccountResult",
    "EventsMessage",
    "EventsResult",
    "GetAccount",
    "GetEvents",
    "GetOutcome",
    "GetStatus",
    "Heartbeat",
    "Hello",
    "HelloResult",
    "OutcomeResult",
    "StatusResult",
]


class Hello(Query, tag="venue.hello"):
    """Greet the venue: the first thing an SDK says on a connection."""


class HelloResult(Result, tag="hello", kw_only=True):
    """Answer a greeting: who the venue takes the asker for, and where everything stands."""

    protocol: int
    venue_version: str
    incarnation: int
    epoch: int
    agent: str
    owner: str
    roles: list[str]
    event_seq: int
    """The ``seq`` of the agent's latest event."""
    max_validity_us: int
    max_array_commands: int
    assets: list[AssetView]


class GetEvents(Query, tag="venue.events"):
    """Ask for the agent's own events after ``since``."""

    since: int
    limit: int = 1_000


class EventsResult(Result, tag="events_result", kw_only=True):
    """Answer ``GetEvents``: events from ``first`` on, dense. ``lost``: some asked for are no longer held."""

    epoch: int
    first: int
    last: int
    """The ``seq`` of the agent's latest event; more pages follow until it is reached."""
    lost: bool
    events: msgspec.Raw


class EventsMessage(msgspec.Struct, tag_field="type", tag="events", kw_only=True):
    """Carry the events of one batch to one agent."""

    epoch: int
    index: int
    venue_time_us: int
    first: int
    events: msgspec.Raw


class GetOutcome(Query, tag="venue.outcome"):
    """Ask what became of a command whose reply was not received."""

    id: CommandId
    valid_until_us: TimestampUs


class OutcomeResult(Result, tag="outcome_result", kw_only=True):
    """Answer ``GetOutcome``.

    ``found``: ``outcome`` is it. ``never_executed``: it was not and will not be. ``pending``: it may
    still be executed. ``forgotten``: if it was handled, that is no longer held; the events tell.
    """

    state: str
    outcome: msgspec.Raw = msgspec.Raw(b"null")


class GetAccount(Query, tag="venue.account"):
    """Ask for the full state of the agent's account: what follows a gap in the events.

    Live orders come a page at a time; the page after belongs to the same journal index or starts anew.
    """

    after: int = 0


class AccountResult(Result, tag="account", kw_only=True):
    """Answer ``GetAccount``; events after ``event_seq`` continue from this state."""

    agent: str
    event_seq: int
    balances: list[BalanceView]
    orders: list[OrderView]
    next: int | None = None


class GetStatus(Query, tag="venue.status"):
    """Ask how the venue is doing."""


class StatusResult(Result, tag="status", kw_only=True):
    """Answer ``GetStatus``."""

    venue_version: str
    incarnation: int
    epoch: int
    state: str
    agents: int
    markets: int
    open_orders: int
    trades: int
    commands: int
    conservation_difference: int
    uptime_seconds: int
    metrics_url: str | None = None
    suspended: list[str] = msgspec.field(default_factory=list)
    """The mechanisms that are suspended."""


class Heartbeat(msgspec.Struct, tag_field="type", tag="heartbeat", kw_only=True):
    """Tell everybody, each second, that the venue is alive; ``channels`` maps a channel to its latest seq.

    ``channels`` lists what changed since the heartbeat before, at most 1,000 of them.
    """

    incarnation: int
    epoch: int
    index: int
    venue_time_us: int
    channels: dict[str, int]
