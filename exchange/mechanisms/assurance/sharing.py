"""Say who gives how much of what was pledged, and who gets bonus and forfeited bonds. Pure functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.mechanisms.assurance.good import BASIS_POINTS
from exchange.mechanisms.shares import largest_remainder

if TYPE_CHECKING:
    from exchange.mechanisms.assurance.good import Good

__all__ = ["PUBLIC_FUND", "bonuses", "credit_shares", "forfeits", "minute_shares"]

PUBLIC_FUND: Final = "public_fund"
"""The account that public money comes from; no agent has an account's name."""


def credit_shares(good: Good) -> dict[str, int]:
    """Return how many credits each gives, by what it pledged: together what the provider gets."""
    weights = {pledge.agent: pledge.credits for pledge in good.pledges.values() if pledge.credits}
    if good.subsidy:
        weights[PUBLIC_FUND] = good.subsidy
    return dict(largest_remainder(good.credits_due, weights)) if weights else {}


def minute_shares(good: Good) -> dict[str, int]:
    """Return how many minutes each works, by what it pledged: together what is due."""
    weights = {pledge.agent: pledge.minutes for pledge in good.pledges.values() if pledge.minutes}
    return dict(largest_remainder(good.minutes_due, weights)) if weights else {}


def bonuses(good: Good) -> list[tuple[str, int]]:
    """Return the bonus of each whose owner counts, by what it pledged; where owners count, by what each has to give.

    The sum is rounded up, and split by the largest remainder.
    """
    left: dict[str, int] = {}
    weights: dict[str, int] = {}
    for pledge in good.pledges.values():
        if not pledge.counts:
            continue
        counted = pledge.credits
        if good.unit == "owners":
            counted = min(counted, left.get(pledge.owner, good.min_credits))
            left[pledge.owner] = left.get(pledge.owner, good.min_credits) - counted
        if counted:
            weights[pledge.agent] = counted
    total = -(-sum(weights.values()) * good.bonus_bp // BASIS_POINTS)
    return largest_remainder(total, weights) if total else []


def forfeits(good: Good) -> list[tuple[str, int]]:
    """Return who gets the bonds of those who did not do their work: those who did, by minutes; without any, the public.

    An owner that failed anywhere gets nothing: its bond must not come back by another of its agents.
    """
    if not good.pot:
        return []
    at_fault = {pledge.owner: None for pledge in good.pledges.values() if pledge.delivered is False}
    done = {
        pledge.agent: pledge.share_minutes
        for pledge in good.pledges.values()
        if pledge.delivered and pledge.owner not in at_fault
    }
    return largest_remainder(good.pot, done) if done else [(PUBLIC_FUND, good.pot)]
