"""Check what a contract is proposed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from exchange.mechanisms.contracts.conditions import DEPTH_MAX, LEAVES_MAX, depth_of, leaves_of
from exchange.messages.base import MAX_AMOUNT
from exchange.messages.contracts import (
    All,
    Any,
    AtLeast,
    PartDelivered,
    PredictionResolved,
    Statement,
    TaskCompleted,
    TimeReached,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord, Context
    from exchange.messages.contracts import Condition, ContractPart, ProposeContract

__all__ = ["PanelDirectory", "PredictionDirectory", "TaskDirectory", "bond_of", "check_proposal"]

_LATEST_US: Final = 366 * 86_400_000_000
_BOND_PERCENT: Final = 20

Violation = tuple[Reason, str]


class TaskDirectory(Protocol):
    """Say what this mechanism needs to know about tasks."""

    def has_live_task(self, number: int) -> bool:
        """Return whether a task exists that has not ended."""


class PredictionDirectory(Protocol):
    """Say what this mechanism needs to know about prediction markets."""

    def has_live_outcome(self, number: int, outcome: str) -> bool:
        """Return whether a market exists that has not ended, that has such an outcome, and of which all is known."""

    def is_insider(self, owner: str, number: int) -> bool:
        """Return whether an owner says what happens in a market, or does what it is about."""

    def market_about(self, task: int) -> int:
        """Return the market about a task that has not ended; 0 without one."""

    def matters_of(self, number: int) -> list[str]:
        """Return what is decided about a market when it is disputed, or what its resolution follows from."""


class PanelDirectory(Protocol):
    """Say what this mechanism needs to know about disputes."""

    def judges(self, owner: str, matter: str) -> bool:
        """Return whether an agent of an owner rules, or has ruled, in an undecided dispute about a matter."""


def bond_of(part: ContractPart) -> int:
    """Return the bond of a part: 20 % of its share, rounded up, unless it says otherwise."""
    return -(-part.share * _BOND_PERCENT // 100) if part.bond is None else part.bond


def check_proposal(
    context: Context,
    agent: AgentRecord,
    command: ProposeContract,
    tasks: TaskDirectory | None,
    predictions: PredictionDirectory | None,
) -> Violation | None:
    """Return the first rule that a proposal breaks."""
    return (
        _check_times(context, command)
        or _check_parts(context, agent, command)
        or _check_condition(context, agent, command, tasks, predictions)
    )


def _check_times(context: Context, command: ProposeContract) -> Violation | None:
    due = [part.deliver_by_us for part in command.parts]
    if command.sign_by_us <= context.time_us:
        return Reason.INVALID_CONTRACT_TERMS, f"sign_by_us is after venue time {context.time_us}"
    if min(due) < command.sign_by_us:
        return Reason.INVALID_CONTRACT_TERMS, "no part is due before sign_by_us"
    if command.evaluate_by_us < max(due):
        return Reason.INVALID_CONTRACT_TERMS, "evaluate_by_us is not before any part is due"
    if command.evaluate_by_us > context.time_us + _LATEST_US:
        return Reason.INVALID_CONTRACT_TERMS, "evaluate_by_us is at most 366 days ahead"
    return None


def _check_parts(context: Context, agent: AgentRecord, command: ProposeContract) -> Violation | None:
    names = [part.name for part in command.parts]
    if len(dict.fromkeys(names)) != len(names):
        return Reason.INVALID_CONTRACT_TERMS, "two parts have the same name"
    if sum(part.share + bond_of(part) for part in command.parts) > MAX_AMOUNT:
        return Reason.NOTIONAL_TOO_LARGE, f"shares and bonds come to more than {MAX_AMOUNT}"
    for part in command.parts:
        problem = _check_other(context, agent, part.assignee, None)
        if problem is None and part.attester is not None:
            problem = _check_other(context, agent, part.attester, "attester")
        if problem is not None:
            return problem
    return None


def _check_other(context: Context, agent: AgentRecord, name: str, role: str | None) -> Violation | None:
    other = context.agents.get(name)
    if other is None or other.state == "revoked" or (role is not None and role not in other.roles):
        return Reason.UNKNOWN_AGENT, f"{name} is no {role or 'registered agent'}"
    if other.owner == agent.owner:
        return Reason.SAME_OWNER, f"{name} is of the payer's owner"
    return None


def _check_condition(
    context: Context,
    agent: AgentRecord,
    command: ProposeContract,
    tasks: TaskDirectory | None,
    predictions: PredictionDirectory | None,
) -> Violation | None:
    return _check_shape(command.condition) or _check_leaves(context, agent, command, tasks, predictions)


def _check_shape(condition: Condition) -> Violation | None:
    if depth_of(condition) > DEPTH_MAX:
        return Reason.INVALID_CONTRACT_TERMS, f"the condition is nested deeper than {DEPTH_MAX}"
    if len(leaves_of(condition)) > LEAVES_MAX:
        return Reason.INVALID_CONTRACT_TERMS, f"the condition is about more than {LEAVES_MAX} things"
    if not _counts_fit(condition):
        return Reason.INVALID_CONTRACT_TERMS, "at_least asks for more than there is"
    return None


def _check_leaves(
    context: Context,
    agent: AgentRecord,
    command: ProposeContract,
    tasks: TaskDirectory | None,
    predictions: PredictionDirectory | None,
) -> Violation | None:
    parts = {part.name: None for part in command.parts}
    attesters: dict[str, str] = {}
    for leaf in leaves_of(command.condition):
        if isinstance(leaf, PartDelivered) and leaf.part not in parts:
            return Reason.INVALID_CONTRACT_TERMS, f"the condition is about a part {leaf.part!r} that is not there"
        if isinstance(leaf, TimeReached) and leaf.at_us > command.evaluate_by_us:
            return Reason.INVALID_CONTRACT_TERMS, "a time in the condition is after evaluate_by_us"
        if isinstance(leaf, TaskCompleted) and (tasks is None or not tasks.has_live_task(leaf.task)):
            return Reason.UNKNOWN_TASK, f"no task {leaf.task} that has not ended"
        if isinstance(leaf, PredictionResolved):
            problem = _check_prediction(context, agent, command, leaf, predictions)
            if problem is not None:
                return problem
        if isinstance(leaf, Statement):
            problem = _check_other(context, agent, leaf.attester, "attester")
            if problem is not None:
                return problem
            if attesters.setdefault(leaf.statement, leaf.attester) != leaf.attester:
                return Reason.INVALID_CONTRACT_TERMS, "a statement has one attester"
    return None


def _check_prediction(
    context: Context,
    agent: AgentRecord,
    command: ProposeContract,
    leaf: PredictionResolved,
    predictions: PredictionDirectory | None,
) -> Violation | None:
    """Return what is wrong with a market in a condition; no party may be one that could not trade there."""
    if predictions is None or not predictions.has_live_outcome(leaf.market, leaf.outcome):
        detail = f"no market {leaf.market} that may still end with {leaf.outcome!r}, and whose task, if any, is awarded"
        return Reason.UNKNOWN_PREDICTION, detail
    for name in dict.fromkeys((agent.agent_id, *(part.assignee for part in command.parts))):
        if predictions.is_insider(context.agents[name].owner, leaf.market):
            return Reason.INSIDER, f"the owner of {name} says, or does, what market {leaf.market} is about"
    return None


def _counts_fit(condition: Condition) -> bool:
    if not isinstance(condition, (All, Any, AtLeast)):
        return True
    if isinstance(condition, AtLeast) and condition.count > len(condition.of):
        return False
    return all(_counts_fit(part) for part in condition.of)
