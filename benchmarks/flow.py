"""Make a realistic flow of orders: 55 % passive limits, 15 % aggressive, 30 % cancels, 100 agents.

The flow is found by running it once on a scratch engine, so that every cancel names an order that
lives; what is measured then runs the same batches on a fresh one.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from exchange.engine import Batch, Engine, Submission, genesis_batch
from exchange.messages import command_union
from exchange.messages.admin import IssueAsset, RegisterAgent, RegisterAsset, Settings
from exchange.messages.base import MAX_AMOUNT, Command
from exchange.messages.orders import CancelOrder, CreateMarket, OrderOutcome, PlaceOrder

__all__ = ["Flow", "decoded", "open_venue"]

START_US: Final = 1_700_000_000_000_000
_BATCH_US: Final = 1_000
_MID: Final = 1_000_000
_SPREAD: Final = 400

_canonical = msgspec.msgpack.Encoder().encode
_command = msgspec.msgpack.Decoder(command_union()).decode
_outcome = msgspec.json.Decoder(OrderOutcome).decode


def submission(agent: str, command: Command) -> Submission:
    """Return a command as the gateway hands it to the engine."""
    return (agent, command, _canonical(command))


def decoded(batch: Batch) -> Batch:
    """Return a batch with its commands decoded anew, as they reach the engine of a daemon."""
    submissions = [(agent, _command(body), body) for agent, _, body in batch.submissions]
    return Batch(batch.epoch, batch.index, batch.time_us, submissions)


def open_venue(agents: int, markets: int) -> list[Batch]:
    """Return the batches that create a venue with rich agents and fee-free markets without a band."""
    settings = Settings(
        owner_endowment_cap=MAX_AMOUNT,
        max_open_orders=MAX_AMOUNT,
        max_agents=1_000_000,
        max_markets=1_000_000,
    )
    genesis = genesis_batch("operator", START_US, MAX_AMOUNT, settings)
    commands: list[Command] = []

    def identify() -> dict[str, Any]:
        n = len(commands) + 1
        return {"id": f"setup{n // 1000:06d}.{n % 1000 + 1}", "valid_until_us": START_US + 30_000_000}

    endowment = MAX_AMOUNT // agents // 2
    for number in range(agents):
        agent, owner = f"agent{number}", f"owner{number}"
        commands += [RegisterAgent(agent=agent, owner=owner, endowment=endowment, **identify())]
    for number in range(markets):
        asset, market = f"asset{number}", f"market{number}"
        commands += [RegisterAsset(asset=asset, **identify())]
        commands += [CreateMarket(market=market, base=asset, tick=1, price_band_bp=0, **identify())]
    # An agent has something to sell in the market in which it trades.
    for number in range(agents):
        asset, agent = f"asset{number % markets}", f"agent{number}"
        commands += [IssueAsset(asset=asset, agent=agent, quantity=10**12 // agents, **identify())]
    batches = [genesis]
    for at in range(0, len(commands), 1_000):
        index = len(batches) + 1
        submissions = [submission("operator", command) for command in commands[at : at + 1_000]]
        batches.append(Batch(0, index, START_US + index * _BATCH_US, submissions))
    return batches


class Flow:
    """Grow a flow on a scratch engine; ``batches`` is all it took, setup included."""

    def __init__(self, *, agents: int = 100, markets: int = 1, seed: int = 1) -> None:
        self.batches = open_venue(agents, markets)
        self.engine = Engine()
        for batch in self.batches:
            rejected = self.engine.apply(batch).rejections
            if rejected:
                message = f"the setup was rejected: {rejected}"
                raise RuntimeError(message)
        self._rng = random.Random(seed)
        # One string per agent, as the gateway hands them on.
        self._agents = [f"agent{number}" for number in range(agents)]
        self._markets = markets
        self._counts = [0] * agents
        self._live: list[tuple[int, int]] = []
        self.rejections = 0
        self.trades = 0

    def furnish(self, given: Sequence[tuple[str, type[Command], dict[str, Any]]], *, batch: int = 500) -> None:
        """Run commands that must be accepted: who gives them, which they are, and what they say."""
        counts: dict[str, int] = {}
        for at in range(0, len(given), batch):
            submissions = []
            for agent, kind, fields in given[at : at + batch]:
                # Sessions of their own: those of the flow stay as they are.
                count = counts[agent] = counts.get(agent, 0) + 1
                own_id = f"furnish{count // 1_000:05d}.{count % 1_000 + 1}"
                valid_until_us = self.engine.time_us + 10_000_000
                command = kind(id=own_id, valid_until_us=valid_until_us, **fields)
                submissions.append(submission(agent, command))
            made = Batch(0, self.engine.index + 1, self.engine.time_us + _BATCH_US, submissions)
            rejected = self.engine.apply(made).rejections
            if rejected:
                message = f"what the venue was to be furnished with was rejected: {rejected}"
                raise RuntimeError(message)
            self.batches.append(made)

    def _identify(self, agent: int) -> dict[str, Any]:
        self._counts[agent] += 1
        return {
            "id": f"sessionX{agent}.{self._counts[agent]}",
            "valid_until_us": self.engine.time_us + 10_000_000,
        }

    def _place(self, agent: int, *, passive: bool, levels: int) -> PlaceOrder:
        rng = self._rng
        is_buy = rng.random() < 0.5
        distance = rng.randrange(1, levels) + _SPREAD // 2 if passive else -rng.randrange(_SPREAD // 2, _SPREAD)
        return PlaceOrder(
            market=f"market{agent % self._markets}",
            side="buy" if is_buy else "sell",
            quantity=rng.randrange(1, 10),
            price=_MID - distance if is_buy else _MID + distance,
            **self._identify(agent),
        )

    def rest(self, orders: int, *, levels: int = 5_000, batch: int = 500) -> None:
        """Fill the books with passive orders."""
        self._run(orders, batch, (1.0, 0.0), levels)

    def churn(self, commands: int, *, levels: int = 200, batch: int = 500) -> None:
        """Place and cancel by turns at random, so that as many orders rest afterwards as before."""
        self._run(commands, batch, (0.5, 0.0), levels)

    def mixed(self, commands: int, *, levels: int = 200, batch: int = 500) -> None:
        """Add the mixed flow; of ten commands about one adds to the orders that rest."""
        self._run(commands, batch, (0.55, 0.15), levels)

    def _run(self, commands: int, size: int, shares: tuple[float, float], levels: int) -> None:
        for _ in range(0, commands, size):
            submissions: list[Submission] = []
            placed: list[int | None] = []
            for _ in range(size):
                agent, command = self._next(shares, levels)
                submissions.append(submission(self._agents[agent], command))
                placed.append(agent if isinstance(command, PlaceOrder) else None)
            batch = Batch(0, self.engine.index + 1, self.engine.time_us + _BATCH_US, submissions)
            outputs = self.engine.apply(batch)
            self.batches.append(batch)
            self.rejections += sum(outputs.rejections.values())
            self.trades += len(outputs.trades)
            for agent_or_none, encoded in zip(placed, outputs.outcomes, strict=True):
                if agent_or_none is None:
                    continue
                order = _outcome(encoded).order
                if order is not None and order.remaining:
                    self._live.append((agent_or_none, order.order_id))

    def _next(self, shares: tuple[float, float], levels: int) -> tuple[int, Command]:
        passive, aggressive = shares
        draw = self._rng.random()
        if draw >= passive + aggressive and self._live:
            at = self._rng.randrange(len(self._live))
            self._live[at], self._live[-1] = self._live[-1], self._live[at]
            agent, order_id = self._live.pop()
            return agent, CancelOrder(order_id=order_id, **self._identify(agent))
        agent = self._rng.randrange(len(self._agents))
        return agent, self._place(agent, passive=draw < passive, levels=levels)
