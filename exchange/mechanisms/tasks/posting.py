"""Check what a task is posted with, and fill in its defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.mechanisms.cashier import whole_credits
from exchange.mechanisms.tasks.pricing import default_bond
from exchange.mechanisms.tasks.task import Terms
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord, Context
    from exchange.mechanisms.facts import TaskOrdered
    from exchange.messages.tasks import PostTask

__all__ = ["check_terms", "ordered_terms"]

_SECOND_US: Final = 1_000_000
_LATEST_US: Final = 366 * 86_400 * _SECOND_US
"""A task may wait for a year at most."""

Violation = tuple[Reason, str]


def check_terms(context: Context, agent: AgentRecord, command: PostTask) -> Terms | Violation:
    """Return the terms of a task with its defaults, or the first rule it breaks."""
    problem = _check_times(context, command) or _check_money(context, command) or _check_attester(context, command)
    if problem is not None:
        return problem
    reserve = command.reserve
    return Terms(
        agent.agent_id,
        command.title,
        command.detail,
        command.effort_minutes,
        command.value,
        tuple(dict.fromkeys(command.skills)),
        command.direction,
        command.pricing,
        reserve,
        command.max_price or reserve,
        command.reward,
        _bond(command),
        command.quality_bonus,
        command.efficiency_bonus,
        command.late_hours,
        command.late_per_hour,
        context.settings.confirm_seconds if command.confirm_seconds is None else command.confirm_seconds,
        command.attester,
        command.min_reputation,
        command.critical,
        command.max_rounds,
        command.on_failure == "reopen",
        command.closes_at_us - context.time_us,
        command.deadline_us,
        context.settings.critical_floor if command.critical else 0,
    )


def ordered_terms(context: Context, order: TaskOrdered, budget: int) -> Terms:
    """Return the terms of a task that a mechanism has done for ``budget`` at most."""
    reserve = min(order.reserve, budget)
    return Terms(
        poster=order.poster,
        title=order.title,
        detail=order.detail,
        effort_minutes=order.effort_minutes,
        value=None,
        skills=order.skills,
        direction="procurement",
        pricing="second_price",
        reserve=reserve,
        max_price=budget,
        reward=0,
        bond=default_bond(reserve),
        quality_bonus=0,
        efficiency_bonus=0,
        late_hours=0,
        late_per_hour=None,
        confirm_seconds=context.settings.confirm_seconds,
        attester=order.attester,
        min_reputation=0,
        critical=False,
        max_rounds=1,
        reopens=False,
        round_us=order.closes_at_us - context.time_us,
        deadline_us=order.deadline_us,
        floor=0,
        origin=order.origin,
        refund=order.refund,
        excluded_owners=order.excluded_owners,
    )


def _bond(command: PostTask) -> int:
    if command.direction == "sale":
        return 0
    return default_bond(command.reserve) if command.bond is None else command.bond


def _check_times(context: Context, command: PostTask) -> Violation | None:
    seconds = context.settings.min_auction_seconds
    if command.closes_at_us < context.time_us + seconds * _SECOND_US:
        return Reason.INVALID_TASK_TERMS, f"the auction closes at least {seconds} s after venue time {context.time_us}"
    if command.deadline_us <= command.closes_at_us:
        return Reason.INVALID_TASK_TERMS, "the deadline is after the close"
    if command.deadline_us > context.time_us + _LATEST_US:
        return Reason.INVALID_TASK_TERMS, "the deadline is at most 366 days ahead"
    return None


def _check_money(context: Context, command: PostTask) -> Violation | None:
    if command.direction == "sale":
        if command.max_price is not None or command.bond is not None:
            return Reason.FIELD_NOT_ALLOWED, "a sale has no max_price and no bond: its bidders hold what they bid"
    elif command.reward:
        return Reason.FIELD_NOT_ALLOWED, "a reward is what the poster of a sale pays; a procurement pays its price"
    if command.max_price is not None and command.max_price < command.reserve:
        return Reason.INVALID_TASK_TERMS, "max_price is at least the reserve, which urgency raises up to it"
    if 2 * _bond(command) > command.reserve and command.direction == "procurement" and command.bond is not None:
        return Reason.INVALID_TASK_TERMS, f"the bond is at most half of the reserve {whole_credits(command.reserve)}"
    if command.critical:
        floor = context.settings.critical_floor
        if command.direction == "procurement" and command.reserve < floor:
            return Reason.INVALID_TASK_TERMS, f"a critical task has a reserve of at least {whole_credits(floor)}"
        if command.direction == "sale" and command.reward < floor:
            return Reason.INVALID_TASK_TERMS, f"a critical task that is sold has a reward of {whole_credits(floor)}"
        if not command.min_reputation:
            return Reason.MISSING_FIELD, "a critical task needs min_reputation"
    return None


def _check_attester(context: Context, command: PostTask) -> Violation | None:
    if command.attester is None:
        return None
    attester = context.agents.get(command.attester)
    if attester is None or attester.state == "revoked" or "attester" not in attester.roles:
        return Reason.UNKNOWN_AGENT, f"{command.attester} is no attester"
    return None
