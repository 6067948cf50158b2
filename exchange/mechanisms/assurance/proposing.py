"""Check what a good is proposed with, and what is pledged for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.messages.base import MAX_AMOUNT
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.assurance.good import Good
    from exchange.mechanisms.base import AgentRecord, Context
    from exchange.messages.assurance import Pledge, ProposeGood

__all__ = ["check_pledge", "check_proposal", "default_hour_bond", "least_pledge"]

_LATEST_US: Final = 366 * 86_400_000_000
_HOUR_BOND_PERCENT: Final = 20

Violation = tuple[Reason, str]


def default_hour_bond(debt_hour_rate: int) -> int:
    """Return the bond for an hour of work: 20 % of what an hour of work owed costs, rounded up."""
    return -(-debt_hour_rate * _HOUR_BOND_PERCENT // 100)


def least_pledge(cap: int, max_pledges: int) -> int:
    """Return the least pledge of which ``max_pledges`` come to the cap, so that small ones never fill a good."""
    return -(-cap // max_pledges)


# ── proposals ───────────────────────────────────────────────────────────────────────────────────


def check_proposal(context: Context, agent: AgentRecord, command: ProposeGood) -> Violation | None:
    """Return the first rule that a proposal breaks."""
    return (
        _check_times(context, command)
        or _check_threshold(command)
        or _check_minimums(context, command)
        or _check_parties(context, agent, command)
    )


def _check_times(context: Context, command: ProposeGood) -> Violation | None:
    if command.deadline_us <= context.time_us:
        return Reason.INVALID_GOOD_TERMS, f"deadline_us is after venue time {context.time_us}"
    if command.deliver_by_us <= command.deadline_us:
        return Reason.INVALID_GOOD_TERMS, "deliver_by_us is after deadline_us"
    if command.deliver_by_us > context.time_us + _LATEST_US:
        return Reason.INVALID_GOOD_TERMS, "deliver_by_us is at most 366 days ahead"
    return None


def _check_threshold(command: ProposeGood) -> Violation | None:
    cap = command.threshold if command.cap is None else command.cap
    if cap < command.threshold:
        return Reason.INVALID_GOOD_TERMS, f"the cap {cap} is below the threshold {command.threshold}"
    allowed = {"owners": ("min_credits", "min_minutes"), "credits": ("min_credits",), "minutes": ("min_minutes",)}
    for name, value in (("min_credits", command.min_credits), ("min_minutes", command.min_minutes)):
        if value and name not in allowed[command.unit]:
            return Reason.FIELD_NOT_ALLOWED, f"{name}: a threshold in {command.unit} is pledged in {command.unit} only"
    return None


def _check_minimums(context: Context, command: ProposeGood) -> Violation | None:
    cap = command.threshold if command.cap is None else command.cap
    credits_, minutes = command.min_credits or 0, command.min_minutes or 0
    if command.unit == "owners":
        if not credits_ and not minutes:
            return Reason.MISSING_FIELD, "min_credits or min_minutes: what each owner gives, where owners count"
        if cap > context.settings.max_pledges:
            return Reason.INVALID_GOOD_TERMS, f"a good has at most {context.settings.max_pledges} pledges"
        if cap * max(credits_, minutes) > MAX_AMOUNT:
            return Reason.NOTIONAL_TOO_LARGE, f"the cap times what each gives comes to more than {MAX_AMOUNT}"
    elif max(credits_, minutes) > cap:
        return Reason.INVALID_GOOD_TERMS, f"the least pledge is above the cap {cap}"
    has_credits, has_minutes = command.unit == "credits" or credits_ > 0, command.unit == "minutes" or minutes > 0
    if has_credits and command.provider is None:
        return Reason.MISSING_FIELD, "provider: who is paid the credits"
    if not has_credits and command.provider is not None:
        return Reason.FIELD_NOT_ALLOWED, "provider: no credits are pledged that it could be paid"
    if not has_credits and command.refund_bonus_bp:
        return Reason.FIELD_NOT_ALLOWED, "refund_bonus_bp: there is a bonus on credits, not on work"
    if not has_minutes and command.hour_bond is not None:
        return Reason.FIELD_NOT_ALLOWED, "hour_bond: no work is pledged"
    return None


def _check_parties(context: Context, agent: AgentRecord, command: ProposeGood) -> Violation | None:
    provider = agent
    if command.provider is not None:
        found = context.agents.get(command.provider)
        if found is None or found.state == "revoked":
            return Reason.UNKNOWN_AGENT, f"{command.provider} is no registered agent"
        provider = found
    if command.attester is None:
        return None
    attester = context.agents.get(command.attester)
    if attester is None or attester.state == "revoked" or "attester" not in attester.roles:
        return Reason.UNKNOWN_AGENT, f"{command.attester} is no attester"
    if attester.owner in (agent.owner, provider.owner):
        return Reason.SAME_OWNER, f"{command.attester} is of the owner of proposer or provider"
    return None


# ── pledges ─────────────────────────────────────────────────────────────────────────────────────


def check_pledge(good: Good, agent: AgentRecord, command: Pledge, *, counts: bool) -> Violation | None:
    """Return the first rule that a pledge breaks, money aside."""
    return (
        _check_kinds(good, agent, command, counts=counts)
        or _check_least(good, agent, command)
        or _check_cap(good, agent, command, counts=counts)
    )


def _check_kinds(good: Good, agent: AgentRecord, command: Pledge, *, counts: bool) -> Violation | None:
    if command.credits and not good.takes_credits:
        return Reason.FIELD_NOT_ALLOWED, f"credits: work is pledged for good {good.number}"
    if command.minutes and not good.takes_minutes:
        return Reason.FIELD_NOT_ALLOWED, f"minutes: credits are pledged for good {good.number}"
    if not command.credits and not command.minutes:
        return Reason.INVALID_QUANTITY, "nothing is pledged"
    if command.minutes and not counts:
        detail = f"{agent.agent_id} is of the owner of proposer or provider: nobody confirms its own work"
        return Reason.SAME_OWNER, detail
    return None


def _check_least(good: Good, agent: AgentRecord, command: Pledge) -> Violation | None:
    """Refuse a first pledge below the least, unless it is all that is missing to the cap."""
    if agent.agent_id in good.pledges:
        return None
    left = good.cap - good.raised
    credits_, minutes = good.min_credits, good.min_minutes
    if good.unit == "credits":
        credits_ = min(credits_, left)
    elif good.unit == "minutes":
        minutes = min(minutes, left)
    if command.credits < credits_ or command.minutes < minutes:
        wanted = [f"{credits_} of credit"] if credits_ else []
        wanted += [f"{minutes} minutes"] if minutes else []
        return Reason.PLEDGE_TOO_SMALL, f"a pledge for good {good.number} is at least {' and '.join(wanted)}"
    return None


def _check_cap(good: Good, agent: AgentRecord, command: Pledge, *, counts: bool) -> Violation | None:
    if good.unit == "owners":
        added = 1 if counts and agent.owner not in good.weights else 0
    else:
        added = command.credits if good.unit == "credits" else command.minutes
    if added and good.raised + added > good.cap:
        return Reason.PLEDGE_ABOVE_CAP, f"good {good.number} takes {good.cap - good.raised} {good.unit} more, no more"
    if agent.agent_id in good.pledges:
        return None
    if good.pledge_count >= good.max_pledges:
        return Reason.TOO_MANY_PLEDGES, f"good {good.number} has {good.max_pledges} pledges, and takes no more agents'"
    if good.unit == "owners" and not added and good.pledge_count - good.owners >= good.max_pledges - good.cap:
        # Or an owner of many agents could take all places, and have its bonus when too few owners find one.
        return Reason.TOO_MANY_PLEDGES, f"what is left of good {good.number} is for owners that do not count yet"
    return None
