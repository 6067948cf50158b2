"""Quote both sides of a market around a fair price, until stopped.

    NATS_URL=nats://127.0.0.1:4222 EXCHANGE_CREDS=venue/creds/bob.creds \
        python examples/market_maker.py cpu --fair 5.00 --half-spread 0.05 --size 2

What to look at: the dead man's switch (``keep_alive``) cancels everything if this process dies; both
quotes travel in one message (``batch``); ``post_only`` makes sure that a quote never takes.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from decimal import Decimal

from agent_sdk import Agent, ExchangeError, OrderFilled, OrderPlaced, connect

SWITCH_S = 10


class MarketMaker:
    """Keep one bid and one ask in a market; lean against the inventory that fills bring."""

    def __init__(self, agent: Agent, market: str, *, fair: Decimal, half_spread: Decimal, size: Decimal) -> None:
        self.agent = agent
        self.market = market
        self.fair = fair
        self.half_spread = half_spread
        self.size = size
        self.inventory = Decimal(0)
        """What was bought less what was sold since the agent connected."""

    async def quote(self) -> tuple[Decimal, Decimal]:
        """Replace the quotes and return their prices: both a tick lower for every ``size`` that is held."""
        terms = await self.agent.market(self.market)
        lean = (self.inventory / self.size).to_integral_value() * terms.tick
        bid, ask = self.fair - self.half_spread - lean, self.fair + self.half_spread - lean
        await self.agent.cancel_all(self.market)
        batch = self.agent.batch()
        batch.place(self.market, "buy", self.size, bid, post_only=True)
        batch.place(self.market, "sell", self.size, ask, post_only=True)
        for result in await batch.send():
            if isinstance(result, ExchangeError):
                # Nothing of that side happened: no credits, nothing to sell, or somebody was faster.
                print(f"no quote: {result}")
        return bid, ask

    async def run(self) -> None:
        """Quote, and quote again after every fill."""
        async with self.agent.keep_alive(SWITCH_S):
            events = self.agent.events()
            await self.quote()
            async for event in events:
                if isinstance(event, OrderPlaced) and event.market == self.market:
                    print(f"{event.side} {event.quantity} @ {event.price}")
                if isinstance(event, OrderFilled) and event.market == self.market:
                    self.inventory += event.quantity if event.side == "buy" else -event.quantity
                    print(f"filled: {event.side} {event.quantity} @ {event.price}, inventory {self.inventory}")
                    await self.quote()


async def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="Quote both sides of a market.")
    parser.add_argument("market")
    parser.add_argument("--fair", type=Decimal, required=True, help="fair price in credits")
    parser.add_argument("--half-spread", type=Decimal, default=Decimal("0.05"), help="credits from the fair price")
    parser.add_argument("--size", type=Decimal, default=Decimal(1), help="quantity of each quote")
    parser.add_argument("--seconds", type=float, default=None, help="stop after so long (default: never)")
    arguments = parser.parse_args()
    # NATS_URL and EXCHANGE_CREDS say where, and as whom.
    async with connect() as agent:
        maker = MarketMaker(
            agent, arguments.market, fair=arguments.fair, half_spread=arguments.half_spread, size=arguments.size
        )
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(arguments.seconds):
                    await maker.run()
        finally:
            # Also after Ctrl-C. Whatever ends the program harder, the switch cancels them.
            print(f"canceled {await agent.cancel_all(arguments.market)} quotes, inventory {maker.inventory}")
            await agent.cancel_all_after(0)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
