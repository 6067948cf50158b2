"""Keep the sealed bids for the next turn of exclusive resources."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from exchange.mechanisms.base import Context

__all__ = ["Turn", "TurnBid", "Turns", "cause_of"]


def cause_of(resource: str) -> str:
    """Return the cause for which bids for a resource are held."""
    return f"leases:turn:{resource}"


class TurnBid(NamedTuple):
    """Hold one sealed bid; ``number`` says which came first."""

    number: int
    resource: str
    agent: str
    owner: str
    amount: int


class Turn(NamedTuple):
    """Say who gets the next turn, and what it pays."""

    winner: TurnBid
    price: int


class Turns:
    """Hold at most one bid per owner and resource, and know the newest of each agent."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self.bids: dict[str, dict[str, TurnBid]] = {}
        """By resource and owner."""
        self._by_agent: dict[str, dict[str, None]] = {}
        self._counts: dict[str, int] = {}
        self.last_number = 0

    def find(self, resource: str, owner: str) -> TurnBid | None:
        """Return the bid of an owner."""
        return self.bids.get(resource, {}).get(owner)

    def count(self, owner: str) -> int:
        """Return for how many turns an owner bids."""
        return self._counts.get(owner, 0)

    def resources(self, agent_id: str) -> list[str]:
        """Return for what an agent bids, the oldest bid first."""
        return list(self._by_agent.get(agent_id, ()))

    def place(self, resource: str, agent_id: str, owner: str, amount: int) -> None:
        """Put a bid in, in the place of the agent's earlier one; its hold is adjusted."""
        before = self.find(resource, owner)
        posting = self._context.cashier.posting(cause_of(resource))
        posting.hold(agent_id, amount - (0 if before is None else before.amount))
        posting.post()
        if before is not None:
            self._forget(before)
        self.last_number += 1
        self._put(TurnBid(self.last_number, resource, agent_id, owner, amount))

    def withdraw(self, bid: TurnBid) -> None:
        """Take a bid out and release its hold."""
        posting = self._context.cashier.posting(cause_of(bid.resource))
        posting.release(bid.agent, bid.amount)
        posting.post()
        self._forget(bid)

    def withdraw_all(self, agent_id: str) -> None:
        """Take all bids of an agent out."""
        owner = self._context.agents[agent_id].owner
        for resource in self.resources(agent_id):
            self.withdraw(self.bids[resource][owner])

    def release_for(self, agent_id: str, amount: int) -> None:
        """Withdraw a debtor's newest bids until ``amount`` is available or none is left."""
        balance = self._context.ledger.balance(agent_id, "credit")
        owner = self._context.agents[agent_id].owner
        for resource in reversed(self.resources(agent_id)):
            if balance.available >= amount:
                return
            self.withdraw(self.bids[resource][owner])

    def decide(self, resource: str, reserve: int | None) -> Turn | None:
        """Return who gets the turn at which price, which is the next bid's or the reserve; nobody without a reserve."""
        bids = sorted(self.bids.get(resource, {}).values(), key=_rank)
        if reserve is None or not bids or bids[0].amount < reserve:
            return None
        return Turn(bids[0], max(reserve, bids[1].amount if len(bids) > 1 else 0))

    def close(self, resource: str, turn: Turn | None, escrow: str) -> list[TurnBid]:
        """End all bids for a turn: the winner's price goes to the escrow, everything else is released."""
        bids = list(self.bids.get(resource, {}).values())
        posting = self._context.cashier.posting(cause_of(resource))
        for bid in bids:
            paid = 0
            if turn is not None and bid is turn.winner:
                paid = turn.price
                posting.fund_held(bid.agent, escrow, paid)
            posting.release(bid.agent, bid.amount - paid)
        posting.post()
        for bid in bids:
            self._forget(bid)
        return bids

    def _put(self, bid: TurnBid) -> None:
        self.bids.setdefault(bid.resource, {})[bid.owner] = bid
        self._by_agent.setdefault(bid.agent, {})[bid.resource] = None
        self._counts[bid.owner] = self._counts.get(bid.owner, 0) + 1

    def _forget(self, bid: TurnBid) -> None:
        del self.bids[bid.resource][bid.owner]
        if not self.bids[bid.resource]:
            del self.bids[bid.resource]
        del self._by_agent[bid.agent][bid.resource]
        if not self._by_agent[bid.agent]:
            del self._by_agent[bid.agent]
        self._counts[bid.owner] -= 1
        if not self._counts[bid.owner]:
            del self._counts[bid.owner]

    def all(self) -> Iterator[TurnBid]:
        """Yield every bid."""
        for bids in self.bids.values():
            yield from bids.values()

    def problems(self, busy: Iterable[str]) -> Iterator[str]:
        """Yield the broken invariants; bids are only for what is ``busy``."""
        cashier = self._context.cashier
        held = {
            (agent, cause): amount
            for agent, holds in cashier.holds.items()
            for (cause, _), amount in holds.items()
            if cause.startswith("leases:turn:")
        }
        if held != {(bid.agent, cause_of(bid.resource)): bid.amount for bid in self.all()}:
            yield "turn_bids_are_held"
        if any(resource not in busy for resource in self.bids):
            yield "turn_bids_are_for_what_is_busy"

    def dump(self) -> list[object]:
        """Return the state as plain data, the oldest bid first."""
        return [self.last_number, [list(bid) for bid in sorted(self.all())]]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self.last_number, bids = state
        for bid in bids:
            self._put(TurnBid(*bid))


def _rank(bid: TurnBid) -> tuple[int, int]:
    return -bid.amount, bid.number
