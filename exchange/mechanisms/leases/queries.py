"""Answer queries about leases: who holds what, until when, and how much is leased."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.base import AgentRecord, NotFound
from exchange.messages.leases import (
    GetLease,
    GetLeaseHolder,
    GetLeaseMarket,
    LeaseHolderResult,
    LeaseMarketResult,
    LeasesResult,
    LeaseView,
    ListLeases,
    ListTurnBids,
    TurnBidsResult,
    TurnBidView,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from exchange.mechanisms.leases.lease import Lease
    from exchange.mechanisms.leases.mechanism import Leases
    from exchange.messages.base import Query, Result

__all__ = ["Queries"]

_BP: Final = 10_000


class Queries:
    """Read the leases; change nothing."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._context = leases.context

    def readers(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader of each query."""
        return {
            GetLease: self.get_lease,
            ListLeases: self.list_leases,
            GetLeaseHolder: self.get_holder,
            GetLeaseMarket: self.get_market,
            ListTurnBids: self.list_turn_bids,
        }

    def get_lease(self, agent: AgentRecord, query: GetLease) -> LeasesResult:
        """Describe one lease to who has to do with it."""
        lease = self._leases.leases.get(query.lease)
        if lease is None or not self._may_see(agent, lease):
            message = f"no lease {query.lease} of yours runs"
            raise NotFound(message)
        return LeasesResult(leases=[self._view(lease)])

    def _may_see(self, agent: AgentRecord, lease: Lease) -> bool:
        agents = self._context.agents
        owners = (agents[lease.lessee].owner, agents[lease.lessor].owner)
        return agent.owner in owners or "operator" in agent.roles

    def list_leases(self, agent: AgentRecord, query: ListLeases) -> LeasesResult:
        """Describe the leases of an agent, by id, a page at a time."""
        known = self._leases.leases
        numbers: Iterable[int] = known
        if "operator" not in agent.roles:
            numbers = sorted(self._leases.by_agent.get(agent.agent_id, ()))
        page: list[Lease] = []
        more = False
        for number in numbers:
            lease = known[number]
            if number <= query.after or query.market not in (None, lease.market):
                continue
            if len(page) == query.limit:
                more = True
                break
            page.append(lease)
        return LeasesResult(leases=[self._view(lease) for lease in page], next=page[-1].number if more else None)

    def get_holder(self, agent: AgentRecord, query: GetLeaseHolder) -> LeaseHolderResult:
        """Say to anybody who holds what now."""
        del agent
        leases = self._leases
        if query.fencing_token is not None:
            number = leases.by_token.get(query.fencing_token, 0)
            message = f"nobody holds anything by the fencing token {query.fencing_token} (any more)"
        else:
            number = leases.whole.get(query.resource or "", 0)
            message = f"nobody has the only unit of {query.resource} on lease"
        lease = leases.leases.get(number)
        if lease is None or self._context.time_us >= lease.ends_us:
            raise NotFound(message)
        return LeaseHolderResult(
            lease=lease.number,
            fencing_token=lease.fencing_token,
            market=lease.market,
            asset=lease.asset,
            quantity=lease.quantity,
            holder=lease.lessee,
            owner=self._context.agents[lease.lessee].owner,
            ends_us=lease.ends_us,
        )

    def get_market(self, agent: AgentRecord, query: GetLeaseMarket) -> LeaseMarketResult:
        """Say to anybody how much of a market's capacity is leased."""
        del agent
        leases, books = self._leases, self._leases.books
        if books is None or books.tick(query.market) is None:
            message = f"no lease market {query.market}"
            raise NotFound(message)
        leased = leases.leased.get(query.market, 0)
        offered = leased + books.offered(query.market)
        return LeaseMarketResult(
            market=query.market,
            leased=leased,
            offered=offered,
            utilisation_bp=leased * _BP // offered if offered else None,
        )

    def list_turn_bids(self, agent: AgentRecord, query: ListTurnBids) -> TurnBidsResult:
        """Tell an agent its own bids, the oldest first."""
        del query
        turns = self._leases.turns
        bids = [turns.find(resource, agent.owner) for resource in turns.resources(agent.agent_id)]
        return TurnBidsResult(bids=[TurnBidView(bid.resource, bid.amount) for bid in bids if bid is not None])

    def _view(self, lease: Lease) -> LeaseView:
        return LeaseView(
            lease=lease.number,
            market=lease.market,
            trade_id=lease.trade_id,
            asset=lease.asset,
            quantity=lease.quantity,
            lessee=lease.lessee,
            lessor=lease.lessor,
            state="running" if lease.frozen_us is None else "disputed",
            price=lease.price,
            rent=lease.rent,
            accrued=lease.accrued(self._context.time_us),
            paid=lease.paid,
            compensation=lease.compensation,
            started_us=lease.started_us,
            ends_us=lease.ends_us,
            fencing_token=lease.fencing_token,
            renewal_price=self._leases.renewing.price_of(lease),
            dispute=lease.dispute,
            units_returned=lease.units_returned,
        )
