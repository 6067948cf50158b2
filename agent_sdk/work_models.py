"""Hold what users see of work: tasks, bids, settlements. Amounts are whole credits, times are of the venue."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

from agent_sdk.money import Number
from agent_sdk.reading import Credits

__all__ = [
    "DecidedBid",
    "Delivery",
    "PlacedBid",
    "PostedTask",
    "SealedBid",
    "Settlement",
    "StandingBid",
    "Task",
    "TaskTerms",
]

TaskState = Literal["open", "offered", "awarded", "completed", "failed", "unawarded", "canceled"]
SettlementState = Literal["open", "delivered", "failing", "disputed", "completed", "failed", "called_off"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PostedTask:
    """Tell the number of a new task, and the reserve of its first round, urgency included."""

    id: int
    reserve: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedBid:
    """Tell what is held for a bid."""

    held: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedBid:
    """Describe an own bid of an auction that has not been decided."""

    task: int
    price: Credits
    held: Credits


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedBid:
    """Describe one of the bids that an award was decided among, to the panel of a dispute."""

    agent: str
    price: Credits
    is_standing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Describe a task; ``winner``, ``price`` and ``bids`` are known once it was awarded."""

    id: int
    poster: str
    title: str
    detail: str
    state: TaskState
    direction: Literal["procurement", "sale"]
    pricing: Literal["second_price", "first_price"]
    effort_minutes: int
    reserve: Credits
    closes_at_us: int
    deadline_us: int
    round: int
    max_rounds: int
    value: Credits | None
    skills: tuple[str, ...]
    bond: Credits
    reward: Credits
    quality_bonus: Credits
    efficiency_bonus: Credits
    late_hours: int
    attester: str | None
    min_reputation: int
    critical: bool
    on_failure: str
    winner: str | None
    price: Credits | None
    bids: int | None
    settlement: int | None
    own_bid: Credits | None
    outcome: str | None
    origin: str | None
    """What has it done where it is not the poster that pays, such as ``debts:3``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StandingBid:
    """Describe the agent's standing bid, and how many awards it has open."""

    skills: tuple[str, ...]
    price_per_hour: Credits
    fixed_price: Credits
    load_markup_bp: int
    capacity: int
    open_awards: int
    max_effort_minutes: int | None
    max_bond: Credits | None
    min_payer_reputation: int
    until_us: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """Describe a settlement; ``until_us`` is when silence changes its state. ``quantity`` is in smallest units."""

    id: int
    origin: str
    title: str
    payer: str
    provider: str
    attester: str | None
    price: Credits
    bond: Credits
    state: SettlementState
    opened_us: int
    deliver_by_us: int
    late_hours: int
    late_per_hour: Credits
    asset: str
    quantity: int
    fencing_token: int
    lease_until_us: int | None
    delivered_us: int | None
    reference: str
    digest: str
    late_fee: Credits
    until_us: int | None
    cause: str | None
    dispute: int | None
    score: int | None


@dataclass(frozen=True, slots=True)
class Delivery:
    """Say where what was delivered is, and, for whoever checks it, what it is."""

    reference: str = ""
    digest: str = ""


class TaskTerms(TypedDict, total=False):
    """Name the terms of a task that have defaults; amounts in whole credits."""

    detail: str
    value: Number
    direction: Literal["procurement", "sale"]
    pricing: Literal["second_price", "first_price"]
    max_price: Number
    reward: Number
    bond: Number
    quality_bonus: Number
    efficiency_bonus: Number
    late_hours: int
    late_per_hour: Number
    confirm_seconds: int
    attester: str
    min_reputation: int
    critical: bool
    max_rounds: int
    on_failure: Literal["reopen", "end"]
