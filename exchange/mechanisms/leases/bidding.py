"""Take bids for the next turn of exclusive resources, and end them when it is there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.messages.leases import TurnEnded
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.leases.lease import Lease
    from exchange.mechanisms.leases.mechanism import Leases
    from exchange.mechanisms.leases.turns import Turn
    from exchange.messages.base import Outcome
    from exchange.messages.leases import BidTurn, WithdrawTurn

__all__ = ["Bidding"]


class Bidding:
    """Let agents bid for what somebody has on lease."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._context = leases.context

    def bid(self, agent: AgentRecord, command: BidTurn) -> Outcome:
        """Take a sealed bid for the next turn of a resource that is busy."""
        context, leases, turns, resource = self._context, self._leases, self._leases.turns, command.resource
        if resource not in context.ledger.assets:
            return context.reject(command, Reason.UNKNOWN_ASSET, f"no asset {resource}")
        lease = leases.leases.get(leases.whole.get(resource, 0))
        if lease is None or not leases.is_exclusive(resource):
            detail = f"nobody has the only unit of {resource} on lease: take it in its market"
            return context.reject(command, Reason.RESOURCE_NOT_BUSY, detail)
        if context.agents[lease.lessor].owner == agent.owner:
            return context.reject(command, Reason.NOT_PERMITTED, f"{resource} is your owner's")
        before = turns.find(resource, agent.owner)
        if before is not None and before.agent != agent.agent_id:
            detail = f"{before.agent} of your owner has a bid for {resource}: one bid per owner"
            return context.reject(command, Reason.TOO_MANY_TURN_BIDS, detail)
        limit = context.settings.max_turn_bids_per_owner
        if before is None and turns.count(agent.owner) >= limit:
            detail = f"the owner {agent.owner} bids for {limit} turns; withdraw one"
            return context.reject(command, Reason.TOO_MANY_TURN_BIDS, detail)
        problem = context.cashier.check(agent, command.amount - (0 if before is None else before.amount))
        if problem is not None:
            return context.reject(command, *problem)
        turns.place(resource, agent.agent_id, agent.owner, command.amount)
        return context.accept(command)

    def withdraw(self, agent: AgentRecord, command: WithdrawTurn) -> Outcome:
        """Take the agent's bid for a resource back."""
        bid = self._leases.turns.find(command.resource, agent.owner)
        if bid is None or bid.agent != agent.agent_id:
            detail = f"you have no bid for the turn of {command.resource}"
            return self._context.reject(command, Reason.NO_CHANGE, detail)
        self._leases.turns.withdraw(bid)
        return self._context.accept(command)

    def next_turn(self, lease: Lease) -> Turn | None:
        """Return who has the resource of a lease next; nobody unless the lessor lets again, and it is the only unit."""
        leases = self._leases
        is_whole = leases.whole.get(lease.asset) == lease.number and leases.is_exclusive(lease.asset)
        if not is_whole or lease.units_returned:
            return None
        return leases.turns.decide(lease.asset, leases.renewing.price_of(lease))

    def close(self, lease: Lease, turn: Turn | None, escrow: str, successor: int) -> None:
        """End the bids for what a lease held, and tell the bidders; who won has the lease ``successor``."""
        leases = self._leases
        if leases.whole.get(lease.asset) != lease.number:
            return
        del leases.whole[lease.asset]
        for bid in leases.turns.close(lease.asset, turn, escrow):
            won = turn is not None and bid == turn.winner
            event = TurnEnded(
                resource=lease.asset,
                won=won,
                lease=successor if won else None,
                price=turn.price if won and turn is not None else None,
            )
            self._context.emit(self._context.agents[bid.agent], event)
