"""Check what a debt is issued with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.mechanisms.debts.token import GROWTH_MAX, credits_for
from exchange.messages.base import MAX_AMOUNT
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord, Context
    from exchange.messages.debts import IssueDebt

__all__ = ["check_issue"]

_LATEST_US: Final = 10 * 366 * 86_400_000_000
"""A debt matures within ten years."""

_SIGNING_US: Final = 366 * 86_400_000_000

Violation = tuple[Reason, str]


def check_issue(context: Context, agent: AgentRecord, command: IssueDebt) -> Violation | None:
    """Return the first rule that what is to be issued breaks."""
    return _check_times(context, command) or _check_hours(context, command) or _check_parties(context, agent, command)


def _check_times(context: Context, command: IssueDebt) -> Violation | None:
    now_us = context.time_us
    if command.sign_by_us <= now_us:
        return Reason.INVALID_DEBT_TERMS, f"sign_by_us is after venue time {now_us}"
    if command.sign_by_us > now_us + _SIGNING_US:
        return Reason.INVALID_DEBT_TERMS, "sign_by_us is at most 366 days ahead"
    if command.maturity_us <= command.sign_by_us:
        return Reason.INVALID_DEBT_TERMS, "maturity_us is after sign_by_us"
    if command.maturity_us > now_us + _LATEST_US:
        return Reason.INVALID_DEBT_TERMS, "maturity_us is at most ten years ahead"
    return None


def _check_hours(context: Context, command: IssueDebt) -> Violation | None:
    principal = command.principal_hours_milli
    if command.interest_hours_milli_per_month > principal:
        return Reason.INVALID_DEBT_TERMS, "the interest of a month is at most the principal"
    if credits_for(GROWTH_MAX * principal, context.settings.debt_hour_rate) > MAX_AMOUNT:
        return Reason.NOTIONAL_TOO_LARGE, f"what may be owed at most comes to more than {MAX_AMOUNT}"
    return None


def _check_parties(context: Context, agent: AgentRecord, command: IssueDebt) -> Violation | None:
    for name in command.beneficiaries:
        problem = _check_other(context, agent, name, None)
        if problem is not None:
            return problem
    if command.attester is None:
        return None
    return _check_other(context, agent, command.attester, "attester")


def _check_other(context: Context, agent: AgentRecord, name: str, role: str | None) -> Violation | None:
    other = context.agents.get(name)
    if other is None or other.state == "revoked" or (role is not None and role not in other.roles):
        return Reason.UNKNOWN_AGENT, f"{name} is no {role or 'registered agent'}"
    if other.owner == agent.owner:
        return Reason.SAME_OWNER, f"{name} is of the issuer's owner"
    return None
