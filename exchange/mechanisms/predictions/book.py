"""Keep the orders of one market over complete sets, by price and time."""

from __future__ import annotations

from bisect import bisect_left, insort
from typing import TYPE_CHECKING, Any

from exchange.messages.predictions import SHARE

if TYPE_CHECKING:
    from exchange.messages.predictions import Side

__all__ = ["Book", "ShareOrder"]


class ShareOrder:
    """Be one order that waits; ``remaining`` is a whole number of shares, in millionths."""

    __slots__ = ("agent", "number", "outcome", "owner", "price", "remaining", "side")

    def __init__(
        self, number: int, agent: str, owner: str, outcome: int, side: Side, price: int, remaining: int
    ) -> None:
        self.number = number
        self.agent = agent
        self.owner = owner
        self.outcome = outcome
        self.side: Side = side
        self.price = price
        self.remaining = remaining

    @property
    def held(self) -> int:
        """Return the credits on hold for it."""
        return self.price * (self.remaining // SHARE) if self.side == "buy" else 0

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [self.number, self.agent, self.owner, self.outcome, self.side, self.price, self.remaining]

    @staticmethod
    def load(fields: Any) -> ShareOrder:
        """Return the order of which ``dump`` gave the state."""
        return ShareOrder(*fields)


class Book:
    """Find orders by number, by agent, and the best of each outcome and side: best price first, then oldest."""

    def __init__(self, outcomes: int) -> None:
        self.orders: dict[int, ShareOrder] = {}
        self.by_agent: dict[str, dict[int, None]] = {}
        self.by_owner: dict[str, int] = {}
        """How many orders each owner has here."""
        self._bids: list[list[tuple[int, int]]] = [[] for _ in range(outcomes)]
        self._asks: list[list[tuple[int, int]]] = [[] for _ in range(outcomes)]

    def add(self, order: ShareOrder) -> None:
        """Let an order wait."""
        self.orders[order.number] = order
        self.by_agent.setdefault(order.agent, {})[order.number] = None
        self.by_owner[order.owner] = self.by_owner.get(order.owner, 0) + 1
        insort(self._side(order.outcome, order.side), _rank(order))

    def remove(self, order: ShareOrder) -> None:
        """Let an order wait no more."""
        del self.orders[order.number]
        numbers = self.by_agent[order.agent]
        del numbers[order.number]
        if not numbers:
            del self.by_agent[order.agent]
        self.by_owner[order.owner] -= 1
        if not self.by_owner[order.owner]:
            del self.by_owner[order.owner]
        ranks = self._side(order.outcome, order.side)
        del ranks[bisect_left(ranks, _rank(order))]

    def best(self, outcome: int, side: Side) -> ShareOrder | None:
        """Return the order that trades next."""
        ranks = self._side(outcome, side)
        return self.orders[ranks[0][1]] if ranks else None

    def of(self, agent_id: str) -> list[ShareOrder]:
        """Return an agent's orders, the oldest first."""
        return [self.orders[number] for number in self.by_agent.get(agent_id, ())]

    def depth(self, outcome: int, side: Side, levels: int) -> list[tuple[int, int]]:
        """Return the best prices with how many shares wait there."""
        found: list[tuple[int, int]] = []
        for _, number in self._side(outcome, side):
            order = self.orders[number]
            if found and found[-1][0] == order.price:
                found[-1] = (order.price, found[-1][1] + order.remaining)
            elif len(found) == levels:
                break
            else:
                found.append((order.price, order.remaining))
        return found

    def _side(self, outcome: int, side: Side) -> list[tuple[int, int]]:
        return self._bids[outcome] if side == "buy" else self._asks[outcome]

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [order.dump() for order in self.orders.values()]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        for fields in state:
            self.add(ShareOrder.load(fields))


def _rank(order: ShareOrder) -> tuple[int, int]:
    return (-order.price if order.side == "buy" else order.price, order.number)
