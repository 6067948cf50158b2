"""Answer queries about goods, which everybody may ask: they are public, and so is who pledges for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms.base import AgentRecord, NotFound
from exchange.messages.assurance import (
    GetGood,
    GoodResult,
    GoodsResult,
    GoodView,
    ListGoods,
    ListPledges,
    PledgesResult,
    PledgeView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.assurance.good import Good, Pledge
    from exchange.mechanisms.assurance.mechanism import Assurance
    from exchange.messages.base import Query, Result

__all__ = ["Queries"]


class Queries:
    """Read the goods; change nothing."""

    def __init__(self, assurance: Assurance) -> None:
        self._assurance = assurance

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader of each query."""
        return {GetGood: self.get_good, ListGoods: self.list_goods, ListPledges: self.list_pledges}

    def get_good(self, agent: AgentRecord, query: GetGood) -> GoodResult:
        """Describe one good, live or ended."""
        del agent
        return GoodResult(good=_view(self._find(query.good)))

    def _find(self, number: int) -> Good:
        good = self._assurance.live.get(number) or self._assurance.ended.get(number)
        if good is None:
            message = f"no good {number}, or it ended long ago"
            raise NotFound(message)
        return good

    def list_goods(self, agent: AgentRecord, query: ListGoods) -> GoodsResult:
        """Describe the live goods, or an agent's own, by number, a page at a time."""
        assurance = self._assurance
        found = assurance.by_agent.get(agent.agent_id, {}) if query.mine else assurance.live
        numbers = sorted(number for number in found if number > query.after)
        page = numbers[: query.limit]
        views = [_view(assurance.live[number]) for number in page]
        return GoodsResult(goods=views, next=page[-1] if len(numbers) > query.limit else None)

    def list_pledges(self, agent: AgentRecord, query: ListPledges) -> PledgesResult:
        """Describe the pledges for a good, live or ended not long ago, by number, a page at a time."""
        del agent
        good = self._find(query.good)
        if good.pledge_count and not good.pledges:
            message = f"good {query.good} has ended, and its pledges are not remembered any more"
            raise NotFound(message)
        numbers = [number for number in good.by_number if number > query.after]
        page = numbers[: query.limit]
        views = [_pledge_view(good, good.by_number[number]) for number in page]
        return PledgesResult(pledges=views, next=page[-1] if len(numbers) > query.limit else None)


def _pledge_view(good: Good, pledge: Pledge) -> PledgeView:
    is_decided = good.state != "open"
    return PledgeView(
        pledge=pledge.number,
        agent=pledge.agent,
        owner=pledge.owner,
        credits=pledge.credits,
        minutes=pledge.minutes,
        bond=pledge.bond,
        counts=pledge.counts,
        share=pledge.share if is_decided else None,
        share_minutes=pledge.share_minutes if is_decided else None,
        settlement=pledge.settlement or None,
        delivered=pledge.delivered,
        refunded=pledge.refunded,
        bonus=pledge.bonus,
        earned=pledge.earned,
    )


def _view(good: Good) -> GoodView:
    return GoodView(
        good=good.number,
        title=good.title,
        proposer=good.proposer,
        state=good.state,
        unit=good.unit,
        threshold=good.threshold,
        cap=good.cap,
        raised=good.raised,
        deadline_us=good.deadline_us,
        deliver_by_us=good.deliver_by_us,
        credits=good.credits,
        minutes=good.minutes,
        owners=good.owners,
        pledges=good.pledge_count,
        min_credits=good.min_credits,
        min_minutes=good.min_minutes,
        refund_bonus_bp=good.bonus_bp,
        hour_bond=good.hour_bond,
        detail=good.detail,
        provider=good.provider,
        attester=good.attester,
        subsidy=good.subsidy,
        settlement=good.settlement or None,
        delivered_minutes=good.delivered_minutes,
        confirmed=good.confirmed_weight,
        voting=good.voting,
        paid=good.paid,
        bonus=good.bonus_paid,
    )
