"""Check what must always be true of goods and their escrows (slow: it counts everything)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.cashier import escrow_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from exchange.mechanisms.assurance.good import Good
    from exchange.mechanisms.assurance.mechanism import Assurance

__all__ = ["broken_invariants"]


def broken_invariants(assurance: Assurance) -> list[str]:
    """Return the broken invariants by name, with what breaks them."""
    broken: list[str] = []
    for good in assurance.live.values():
        broken.extend(f"{name}: {good.number}" for name in _problems(assurance, good))
    listed = sum(len(numbers) for numbers in assurance.by_agent.values())
    if listed != sum(len(good.listeners()) for good in assurance.live.values()):
        broken.append("goods_are_found_by_their_agents")
    if sum(assurance.proposed.values()) != len(assurance.live):
        broken.append("goods_are_counted_by_their_owner")
    return broken


def _problems(assurance: Assurance, good: Good) -> Iterator[str]:
    context = assurance.context
    if context.cashier.in_escrow(escrow_of(good.cause)) != good.in_escrow():
        yield "escrow_equals_pledges_bonds_and_bonus"
    yield from _sum_problems(good)
    if any(context.agents[pledge.agent].owner != pledge.owner for pledge in good.pledges.values()):
        yield "pledges_are_of_their_owner"
    if good.state == "open":
        if context.deadlines.due_us(good.deadline_id) is None:
            yield "open_goods_have_a_deadline"
        if good.bonus_fund != good.bonus_max:
            yield "escrow_has_the_greatest_bonus"
        if good.unit != "owners" and good.raised > good.cap:
            yield "pledges_are_within_the_cap"
    elif good.state == "reached":
        yield from _settlement_problems(good)
    else:
        yield "live_goods_are_open_or_reached"


def _sum_problems(good: Good) -> Iterator[str]:
    pledges = good.pledges.values()
    if (good.credits, good.minutes, good.pledge_count) != (
        sum(pledge.credits for pledge in pledges),
        sum(pledge.minutes for pledge in pledges),
        len(good.pledges),
    ):
        yield "sums_are_of_all_pledges"
    weights: dict[str, int] = {}
    for pledge in pledges:
        if pledge.counts:
            weights[pledge.owner] = weights.get(pledge.owner, 0) + pledge.credits
    if weights != good.weights or good.owners != len(weights) or good.voting != sum(weights.values()):
        yield "owners_count_once"
    if good.confirmed_weight != sum(weights.get(owner, 0) for owner in good.confirmed):
        yield "confirmed_are_those_who_confirmed"


def _settlement_problems(good: Good) -> Iterator[str]:
    pledges = good.pledges.values()
    if sum(pledge.share for pledge in pledges) + good.subsidy_share != good.credits_due:
        yield "shares_add_up_to_the_price"
    if sum(pledge.share_minutes for pledge in pledges) != good.minutes_due:
        yield "shares_add_up_to_the_work"
    if any(pledge.share > pledge.credits or pledge.share_minutes > pledge.minutes for pledge in pledges):
        yield "nobody_gives_more_than_it_pledged"
    waiting = sum(bool(pledge.share_minutes) and pledge.delivered is None for pledge in pledges)
    waiting += good.provider is not None and good.is_provided is None
    if waiting != good.waiting or not waiting:
        yield "reached_goods_wait_for_settlements"
    if good.provider is not None and not good.settlement:
        yield "providers_have_a_settlement"
    if good.pot != sum(pledge.bond for pledge in pledges if pledge.delivered is False):
        yield "the_pot_has_the_bonds_of_undone_work"
