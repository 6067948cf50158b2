"""Answer what may be known of disputes: of panels nothing before the decision but one's own seat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms.base import NotFound
from exchange.messages.disputes import (
    DisputeResult,
    DisputesResult,
    DisputeView,
    GetDispute,
    GetMyStake,
    ListDisputes,
    MyStakeResult,
    RulingView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.disputes.dispute import Dispute
    from exchange.mechanisms.disputes.mechanism import Disputes
    from exchange.messages.base import Query, Result

__all__ = ["Queries", "rulings_of"]


class Queries:
    """Read the disputes and the stakes."""

    def __init__(self, disputes: Disputes) -> None:
        self._disputes = disputes

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return {GetDispute: self._get, ListDisputes: self._list, GetMyStake: self._get_my_stake}

    def _get(self, agent: AgentRecord, query: GetDispute) -> DisputeResult:
        name = agent.agent_id
        dispute = self._disputes.live.get(query.dispute) or self._disputes.decided.get(query.dispute)
        if dispute is None or not (name in dispute.parties() or dispute.seat_of(name) or "operator" in agent.roles):
            message = f"no dispute {query.dispute} in which {name} is a party or has a seat"
            raise NotFound(message)
        return DisputeResult(dispute=self._view(dispute, name))

    def _list(self, agent: AgentRecord, query: ListDisputes) -> DisputesResult:
        name = agent.agent_id
        arbitrator = self._disputes.arbitrators.get(name)
        seated = arbitrator.disputes if arbitrator is not None else {}
        found = sorted(dict.fromkeys((*self._disputes.by_party.get(name, {}), *seated)))
        numbers = [number for number in found if number > query.after]
        page = numbers[: query.limit]
        views = [self._view(self._disputes.live[number], name) for number in page]
        return DisputesResult(disputes=views, next=page[-1] if len(numbers) > query.limit else None)

    def _get_my_stake(self, agent: AgentRecord, query: GetMyStake) -> MyStakeResult:
        del query
        arbitrator = self._disputes.arbitrators.get(agent.agent_id)
        if arbitrator is None:
            return MyStakeResult(stake=0, counts=0, disputes=[])
        counts = arbitrator.stake_since(self._disputes.context.time_us - self._disputes.ripening_us())
        return MyStakeResult(stake=arbitrator.stake, counts=counts, disputes=list(arbitrator.disputes))

    def _view(self, dispute: Dispute, asker: str) -> DisputeView:
        """Describe a dispute to somebody: of the panel it sees nothing before the decision but its own seat."""
        seat = dispute.seat_of(asker)
        is_to_rule = seat is not None and seat.state == "pending"
        is_decided = dispute.verdict is not None
        return DisputeView(
            dispute=dispute.number,
            family=dispute.family,
            number=dispute.subject,
            disputer=dispute.disputer,
            respondent=dispute.terms.respondent,
            amount=dispute.terms.amount,
            deposit=dispute.deposit,
            opened_us=dispute.opened_us,
            statement=dispute.statement,
            rule_by_us=self._disputes.context.deadlines.due_us(dispute.deadline_id) if is_to_rule else None,
            verdict=dispute.verdict,
            decided_us=dispute.decided_us if is_decided else None,
            rulings=rulings_of(dispute) if is_decided else [],
        )


def rulings_of(dispute: Dispute) -> list[RulingView]:
    """Return what everybody on the panel did, once it is decided."""
    return [
        RulingView(
            arbitrator=seat.agent_id,
            upheld=seat.upheld if seat.state == "ruled" else None,
            statement=seat.statement,
        )
        for seat in dispute.seats
    ]
