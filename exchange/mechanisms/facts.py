"""Name the facts by which mechanisms react to each other, without importing each other."""

from __future__ import annotations

from typing import Literal, NamedTuple

__all__ = ["AgentAdmitted", "AgentEnded", "MarketStateOrdered", "MechanismStateOrdered", "VenueReopened"]


class AgentAdmitted(NamedTuple):
    """An agent was registered."""

    agent: str


class AgentEnded(NamedTuple):
    """An agent was revoked: what it has must be wound up."""

    agent: str


class VenueReopened(NamedTuple):
    """The venue is open again after a halt."""


class MarketStateOrdered(NamedTuple):
    """An operator set the state of a market."""

    market: str
    state: Literal["open", "cancel_only", "halted"]
    auction_seconds: int


class MechanismStateOrdered(NamedTuple):
    """A mechanism was suspended, in part or whole, or resumed; the engine sees to it."""

    family: str
    state: Literal["open", "cancel_only", "halted"]
