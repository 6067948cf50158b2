"""Keep the books a second time, in the plainest way, from what agents are told and from nothing else.

It knows commands, outcomes and events; nothing of the engine, its ledger or its order book.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from exchange.messages.admin import (
    AgentRegistered,
    AssetChanged,
    Genesis,
    IssueAsset,
    RegisterAgent,
    RegisterAsset,
    RetireAsset,
    RevokeAgent,
)
from exchange.messages.leases import AcquireLeases
from exchange.messages.orders import (
    CreateMarket,
    OrderAmended,
    OrderCanceled,
    OrderExpired,
    OrderFilled,
    OrderPlaced,
    OrderReduced,
)
from exchange.messages.payments import PaymentPosted

if TYPE_CHECKING:
    from exchange.messages.base import Command, Event

__all__ = ["VENUE", "NaiveLedger", "NaiveOrder"]

VENUE: Final = "$escrows"
"""Stands for all escrows, and for what mechanisms paid into ``treasury``, ``public_fund`` and ``fees``."""

_BP: Final = 10_000


@dataclass
class NaiveOrder:
    """Hold a live order as its owner knows it."""

    agent: str
    market: str
    is_buy: bool
    remaining: int
    price: int | None
    fee_numerator: int = 0
    fee_paid: int = 0


@dataclass
class _Terms:
    base: str
    scale: int
    maker_bp: int
    taker_bp: int
    instant: bool


@dataclass
class _Trade:
    sides: list[tuple[str, int, int, int]] = field(default_factory=list)


class NaiveLedger:
    """Fold batches; ``problems`` says what cannot be."""

    def __init__(self) -> None:
        self.totals: dict[tuple[str, str], int] = defaultdict(int)
        """What each account has of each asset, held or not."""
        self.issued: dict[str, int] = defaultdict(int)
        self.holds: dict[tuple[str, str], int] = defaultdict(int)
        """What is held for other mechanisms than ``orders``."""
        self.orders: dict[int, NaiveOrder] = {}
        self.trades: dict[str, dict[int, _Trade]] = defaultdict(dict)
        self.problems: list[str] = []
        self.seqs: dict[str, int] = defaultdict(int)
        self._decimals: dict[str, int] = {}
        self._markets: dict[str, _Terms] = {}
        self._fleets: dict[str, list[str]] = defaultdict(list)
        self._owners: dict[str, str] = {}
        self._revoked: dict[str, None] = {}
        self._placed_by: dict[tuple[str, str, str], int] = {}
        self._legs: dict[tuple[str, str], list[str]] = {}
        self._done: dict[tuple[str, str], None] = {}

    def fold(self, commands: list[tuple[str, Command, str, bool]], events: list[tuple[str, list[Event]]]) -> None:
        """Take in one batch: commands with whether they were accepted (now, not before), and events by agent."""
        # Markets and assets first: what was opened in this batch may have traded in it.
        for agent, command, outcome_id, accepted in commands:
            if accepted:
                self._learn(command)
                if isinstance(command, AcquireLeases):
                    self._legs[agent, outcome_id] = [leg.market for leg in command.legs]
        for agent, heard in events:
            for event in heard:
                self._hear(agent, event)
        for agent, command, outcome_id, accepted in commands:
            if accepted and (agent, outcome_id) not in self._done:
                self._done[agent, outcome_id] = None
                self._do(command)

    def _learn(self, command: Command) -> None:
        if isinstance(command, RegisterAsset):
            self._decimals[command.asset] = command.decimals
        elif isinstance(command, CreateMarket):
            scale = 10 ** self._decimals[command.base]
            self._markets[command.market] = _Terms(
                command.base, scale, command.maker_fee_bp, command.taker_fee_bp, command.settlement == "instant"
            )

    def _do(self, command: Command) -> None:
        """Do by hand what no event tells the numbers of, or what must agree with what events tell."""
        if isinstance(command, Genesis):
            self.totals["treasury", "credit"] += command.supply
            self.issued["credit"] += command.supply
            self._admit(command.operator, command.operator)
        elif isinstance(command, RegisterAgent):
            self._admit(command.agent, command.owner)
        elif isinstance(command, IssueAsset):
            self.issued[command.asset] += command.quantity
        elif isinstance(command, RetireAsset):
            self.issued[command.asset] -= command.quantity
        elif isinstance(command, RevokeAgent):
            self._pass_on(command.agent)

    def _admit(self, agent: str, owner: str) -> None:
        if agent in self._owners:
            self.problems.append(f"{agent} was admitted twice")
        self._owners[agent] = owner
        self._fleets[owner].append(agent)

    def _pass_on(self, agent: str) -> None:
        self._revoked[agent] = None
        heirs = [mate for mate in self._fleets[self._owners[agent]] if mate not in self._revoked]
        heir = heirs[0] if heirs else "treasury"
        for (owner, asset), total in list(self.totals.items()):
            if owner == agent:
                self.totals[heir, asset] += total
                self.totals[agent, asset] = 0

    # ── events ──────────────────────────────────────────────────────────────────────────────────

    def _hear(self, agent: str, event: Event) -> None:
        self.seqs[agent] += 1
        if event.seq != self.seqs[agent]:
            self.problems.append(f"{agent} hears event {event.seq} as its {self.seqs[agent]}th")
        if isinstance(event, AgentRegistered):
            if event.agent == agent:
                self.totals["treasury", "credit"] -= event.endowment
                self.totals[agent, "credit"] += event.endowment
        elif isinstance(event, AssetChanged):
            self.totals[agent, event.asset] += event.quantity
        elif isinstance(event, PaymentPosted):
            self._move(agent, event)
        else:
            self._hear_of_orders(agent, event)

    def _hear_of_orders(self, agent: str, event: Event) -> None:
        if isinstance(event, OrderPlaced):
            self._place(agent, event)
        elif isinstance(event, OrderFilled):
            self._fill(agent, event)
        elif isinstance(event, OrderCanceled | OrderExpired):
            self.orders.pop(event.order_id, None)
        elif isinstance(event, OrderAmended):
            order = self.orders[event.order_id]
            order.remaining, order.price = event.remaining, event.price
        elif isinstance(event, OrderReduced) and event.order_id in self.orders:
            self.orders[event.order_id].remaining = event.remaining

    def _move(self, agent: str, event: PaymentPosted) -> None:
        """Count what a mechanism did with a balance: what an agent does not have, an escrow has, or the venue."""
        total = event.available + event.held
        self.totals[agent, event.asset] += total
        self.totals[VENUE, event.asset] -= total
        self.holds[agent, event.asset] += event.held
        if self.holds[agent, event.asset] < 0:
            self.problems.append(f"{agent} holds {self.holds[agent, event.asset]} of {event.asset}")

    def _place(self, agent: str, event: OrderPlaced) -> None:
        # One that leases from several markets places one order in each.
        legs = self._legs.get((agent, event.command_id), ())
        key = (agent, event.command_id, event.market if event.market in legs else "")
        first = self._placed_by.setdefault(key, event.order_id)
        if first != event.order_id:
            self.problems.append(f"command {event.command_id} of {agent} placed orders {first} and {event.order_id}")
        is_buy = event.side == "buy"
        self.orders[event.order_id] = NaiveOrder(agent, event.market, is_buy, event.quantity, event.price)

    def _fill(self, agent: str, event: OrderFilled) -> None:
        terms = self._markets[event.market]
        if event.value * terms.scale != event.price * event.quantity:
            self.problems.append(f"trade {event.trade_id} in {event.market} is not worth {event.value}")
        sign = 1 if event.side == "buy" else -1
        if terms.instant:
            self.totals[agent, terms.base] += sign * event.quantity
            self.totals[agent, "credit"] -= sign * event.value
        else:
            # What one side gives, an escrow takes; the other has nothing of it yet.
            given, amount = ("credit", event.value) if event.side == "buy" else (terms.base, event.quantity)
            self.totals[agent, given] -= amount
            self.totals[VENUE, given] += amount
        self.totals[agent, "credit"] -= event.fee
        self.totals["fees", "credit"] += event.fee
        trade = self.trades[event.market].setdefault(event.trade_id, _Trade())
        trade.sides.append((event.side, event.price, event.quantity, event.value))
        order = self.orders.get(event.order_id)
        if order is None:
            return
        order.remaining = event.remaining
        order.fee_numerator += event.value * (terms.taker_bp if event.liquidity == "taker" else terms.maker_bp)
        order.fee_paid += event.fee
        due = -(-order.fee_numerator // _BP) if terms.instant or event.side == "buy" else 0
        if order.fee_paid != due:
            self.problems.append(f"order {event.order_id} has paid {order.fee_paid} in fees, due are {due}")
        if not event.remaining:
            del self.orders[event.order_id]

    # ── proof ───────────────────────────────────────────────────────────────────────────────────

    def held(self) -> tuple[dict[tuple[str, str], int], dict[tuple[str, str], None]]:
        """Return what live orders must hold by account and asset, and where that is not known from events."""
        held: dict[tuple[str, str], int] = defaultdict(int)
        unknown: dict[tuple[str, str], None] = {}
        for key, amount in self.holds.items():
            held[key] += amount
        for order in self.orders.values():
            terms = self._markets[order.market]
            if not order.is_buy:
                held[order.agent, terms.base] += order.remaining
            elif order.price is None:
                unknown[order.agent, "credit"] = None
            else:
                value = order.price * order.remaining // terms.scale
                worst = max(terms.maker_bp, terms.taker_bp)
                fee = -(-(order.fee_numerator + value * worst) // _BP) - order.fee_paid
                held[order.agent, "credit"] += value + fee
        return held, unknown

    def check(self) -> list[str]:
        """Return what cannot be."""
        problems = list(self.problems)
        sums: dict[str, int] = defaultdict(int)
        for (account, asset), total in self.totals.items():
            sums[asset] += total
            if total < 0 and account != VENUE:
                problems.append(f"{account} has {total} of {asset}")
        problems += [
            f"{sums[asset]} of {asset}, issued {total}" for asset, total in self.issued.items() if sums[asset] != total
        ]
        for market, trades in self.trades.items():
            if sorted(trades) != list(range(1, len(trades) + 1)):
                problems.append(f"the trades of {market} are not numbered 1, 2, 3, …")
            for number, trade in trades.items():
                sides = sorted(trade.sides)
                if len(sides) != 2 or sides[0][0] == sides[1][0] or sides[0][1:] != sides[1][1:]:
                    problems.append(f"trade {number} in {market} has sides {sides}")
        return problems
