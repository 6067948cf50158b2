"""Buy a quantity at no more than a limit, whenever somebody offers; follow one's own events.

    NATS_URL=nats://127.0.0.1:4222 EXCHANGE_CREDS=venue/creds/alice.creds \
        python examples/taker.py cpu --quantity 4 --limit 5.10

What to look at: ``bbo`` gives the present prices first and the latest after each change; ``ioc`` takes
what is there and leaves nothing behind; a command whose answer was lost is settled, not sent again.
"""

from __future__ import annotations

import argparse
import asyncio
from decimal import Decimal

from agent_sdk import Agent, Gap, InsufficientCredits, Order, OrderFilled, OutcomeUnknown, connect


async def take(agent: Agent, market: str, quantity: Decimal, limit: Decimal) -> Decimal:
    """Buy up to ``quantity`` at no more than ``limit``; return what was bought."""
    bought = Decimal(0)
    async for best in agent.bbo(market):
        if best.phase != "open" or best.ask is None or best.ask.price > limit:
            continue
        wanted = min(best.ask.quantity, quantity - bought)
        try:
            order: Order | None = await agent.buy(market, wanted, limit, time_in_force="ioc")
        except OutcomeUnknown as unknown:
            # It may have been executed. The venue knows, and never executes it twice.
            order = (await agent.outcome(unknown.id)).order
        except InsufficientCredits as rejected:
            print(f"stopping: {rejected}")
            break
        if order is not None:
            bought += order.filled
        if bought >= quantity:
            break
    return bought


async def report_fills(agent: Agent) -> None:
    """Print every fill of this agent, each once and in order, whatever happens to the connection."""
    async for event in agent.events():
        if isinstance(event, OrderFilled):
            print(f"{event.side} {event.quantity} @ {event.price} = {event.value}, fee {event.fee}", flush=True)
        elif isinstance(event, Gap):
            print(f"missed {event.missed_from} to {event.missed_to}; now {event.account.balances}", flush=True)


async def main() -> None:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(description="Buy what is offered at no more than a limit.")
    parser.add_argument("market")
    parser.add_argument("--quantity", type=Decimal, required=True)
    parser.add_argument("--limit", type=Decimal, required=True, help="highest price in credits")
    arguments = parser.parse_args()
    # NATS_URL and EXCHANGE_CREDS say where, and as whom.
    async with connect() as agent:
        reporting = asyncio.create_task(report_fills(agent))
        bought = await take(agent, arguments.market, arguments.quantity, arguments.limit)
        await asyncio.sleep(0.2)  # let the last events come in
        reporting.cancel()
        balances = await agent.balances()
        print(f"bought {bought}, {balances['credit'].available} credits left")


if __name__ == "__main__":
    asyncio.run(main())
