"""Speak with the processes of agents: one JSON object a line, on their standard input and output.

This is the experimenter's line to its subjects and no part of the market: who trades what at which
price is settled on the exchange alone.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from exchange.demo.strategies import StrategyName
from exchange.messages.orders import Side

__all__ = [
    "LINE_BYTES_MAX",
    "Begin",
    "End",
    "Failed",
    "Fill",
    "FromAgents",
    "PeriodDone",
    "Progress",
    "Ready",
    "Setup",
    "ToAgents",
    "TraderPeriod",
    "TraderSpec",
    "decode_from_agents",
    "decode_to_agents",
    "encode_line",
]

LINE_BYTES_MAX: Final = 16 * 1024 * 1024


class TraderSpec(msgspec.Struct, frozen=True, kw_only=True):
    """Describe one trader; ``limit`` is its private value or cost in credits."""

    agent: str
    creds: str
    strategy: StrategyName
    side: Side
    limit: int
    seed: str


class Setup(msgspec.Struct, tag="setup", frozen=True, kw_only=True):
    """Tell a process which traders it runs, and how often each of them takes its turn.

    ``audit_trail`` is the path of the file to which it appends what its traders are told.
    """

    url: str
    market: str
    price_max: int
    turns_per_s: float
    audit_trail: str
    traders: list[TraderSpec]


class Begin(msgspec.Struct, tag="begin", frozen=True):
    """Open a trading period: every trader has one unit."""

    period: int


class End(msgspec.Struct, tag="end", frozen=True):
    """Close the trading period: cancel what is open and report."""

    period: int


class Ready(msgspec.Struct, tag="ready", frozen=True):
    """Tell that all traders of the process are connected and see the market."""


class Progress(msgspec.Struct, tag="progress", frozen=True):
    """Tell how long the acknowledgements of the orders since the last message took, in microseconds."""

    acks_us: list[int]


class Fill(msgspec.Struct, frozen=True):
    """Tell of a unit that was traded, at a price in credits."""

    trade_id: int
    price: int


class TraderPeriod(msgspec.Struct, frozen=True):
    """Tell what one trader traded in one period."""

    agent: str
    fills: list[Fill]


class PeriodDone(msgspec.Struct, tag="period_done", frozen=True):
    """Answer ``End``: nothing of these traders is open any more, and these are all of their fills."""

    period: int
    traders: list[TraderPeriod]


class Failed(msgspec.Struct, tag="failed", frozen=True):
    """Tell that the process cannot go on."""

    message: str


ToAgents = Setup | Begin | End
FromAgents = Ready | Progress | PeriodDone | Failed

_to_agents: Any = msgspec.json.Decoder(ToAgents)
_from_agents: Any = msgspec.json.Decoder(FromAgents)
_encode = msgspec.json.Encoder().encode


def encode_line(message: ToAgents | FromAgents) -> bytes:
    """Encode a message with the end of its line."""
    return _encode(message) + b"\n"


def decode_to_agents(line: bytes) -> ToAgents:
    """Decode what a process of agents is told.

    Raises:
        msgspec.DecodeError: it is no such message.
    """
    message: ToAgents = _to_agents.decode(line)
    return message


def decode_from_agents(line: bytes) -> FromAgents:
    """Decode what a process of agents says.

    Raises:
        msgspec.DecodeError: it is no such message.
    """
    message: FromAgents = _from_agents.decode(line)
    return message
