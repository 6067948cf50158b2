"""Check what is proposed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from exchange.mechanisms.cashier import whole_credits
from exchange.mechanisms.governance.parameters import CONSTITUTION, PARAMETERS
from exchange.mechanisms.governance.proposal import Terms
from exchange.messages.governance import ProposeChange, ProposeShare, ProposeSubsidy, ProposeWork
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import Context

__all__ = ["GoodDirectory", "check_terms"]

Violation = tuple[Reason, str]


class GoodDirectory(Protocol):
    """Say what this mechanism needs to know about public goods."""

    def takes_subsidy(self, good: int) -> bool:
        """Return whether public money may go to a good now."""


def check_terms(context: Context, command: Any, goods: GoodDirectory | None) -> Terms | Violation:
    """Return what a command proposes, or the first rule it breaks."""
    if isinstance(command, ProposeChange):
        return _check_change(context, command)
    if isinstance(command, ProposeWork):
        return _check_work(context, command)
    if isinstance(command, ProposeSubsidy):
        if goods is None or not goods.takes_subsidy(command.good):
            return Reason.UNKNOWN_GOOD, f"no public good {command.good} is being pledged for"
        return Terms("subsidy", command.detail, amount=command.amount, good=command.good)
    assert isinstance(command, ProposeShare)  # noqa: S101 - the family has no other
    return Terms("share", command.detail, amount=command.amount)


def _check_change(context: Context, command: ProposeChange) -> Terms | Violation:
    parameter = PARAMETERS.get(command.parameter)
    if parameter is None:
        return Reason.CONSTITUTION, f"{command.parameter} is not voted on: {CONSTITUTION}; list the parameters"
    if not parameter.low <= command.value <= parameter.high:
        low, high, value = parameter.low, parameter.high, command.value
        unit = "10^-6 credits" if parameter.unit == "credits" else parameter.unit
        return Reason.VALUE_OUT_OF_BOUNDS, f"{parameter.name} is from {low} to {high} {unit}, not {value}"
    if command.value == getattr(context.settings, parameter.name):
        return Reason.NO_CHANGE, f"{parameter.name} is {command.value}"
    return Terms("change", command.detail, parameter=parameter.name, value=command.value)


def _check_work(context: Context, command: ProposeWork) -> Terms | Violation:
    least = context.settings.min_auction_seconds
    if command.bidding_seconds < least:
        return Reason.INVALID_PROPOSAL, f"an auction is open for at least {least} s"
    if command.attester is not None:
        attester = context.agents.get(command.attester)
        if attester is None or attester.state == "revoked" or "attester" not in attester.roles:
            return Reason.UNKNOWN_AGENT, f"{command.attester} is no attester"
    supply = context.ledger.assets["credit"].issued
    if command.reserve > supply:
        return Reason.INVALID_PROPOSAL, f"there are only {whole_credits(supply)} credits"
    return Terms(
        "work",
        command.detail,
        title=command.title,
        amount=command.reserve,
        effort_minutes=command.effort_minutes,
        bidding_seconds=command.bidding_seconds,
        work_seconds=command.work_seconds,
        skills=tuple(dict.fromkeys(command.skills)),
        attester=command.attester,
    )
