"""Run strategies in a small continuous double auction with standing orders, for the tests."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from exchange.demo.smith import PRICE_MAX, InducedTrade, Schedule
from exchange.demo.strategies import MarketState, Shout, Strategy, StrategyName, make_strategy

if TYPE_CHECKING:
    from exchange.messages.orders import Side

__all__ = ["Auction", "run"]


class Auction:
    """Let traders, one unit each, quote in random order into a book that trades at the maker's price."""

    def __init__(self, traders: list[Strategy], rng: Random) -> None:
        self.traders = traders
        self.rng = rng
        self.books: dict[Side, dict[int, int]] = {"buy": {}, "sell": {}}

    def best(self, side: Side) -> int | None:
        """Find who stands first on a side: by price, then by time."""
        book = self.books[side]
        if not book:
            return None
        return max(book, key=book.__getitem__) if side == "buy" else min(book, key=book.__getitem__)

    def market(self, trader: int) -> MarketState:
        """Show a trader the market."""
        bid, ask = self.best("buy"), self.best("sell")
        return MarketState(
            best_bid=None if bid is None else self.books["buy"][bid],
            best_ask=None if ask is None else self.books["sell"][ask],
            own_quote=self.books[self.traders[trader].side].get(trader),
        )

    def turn(self, taker: int) -> InducedTrade | None:
        """Ask one trader for a quote, which trades with the best of the other side or stands."""
        strategy = self.traders[taker]
        price = strategy.quote(self.market(taker))
        self.books[strategy.side].pop(taker, None)
        if price is None:
            return None
        other: Side = "sell" if strategy.side == "buy" else "buy"
        maker = self.best(other)
        crosses = maker is not None and (
            price >= self.books[other][maker] if other == "sell" else price <= self.books[other][maker]
        )
        if maker is None or not crosses:
            self.books[strategy.side][taker] = price
            self.tell(Shout(strategy.side, price))
            return None
        traded = self.books[other].pop(maker)
        self.traders[maker].filled()
        strategy.filled()
        self.tell(Shout.of_trade(traded, strategy.side))
        limits = {strategy.side: strategy.limit, other: self.traders[maker].limit}
        return InducedTrade(traded, value=limits["buy"], cost=limits["sell"])

    def tell(self, shout: Shout) -> None:
        """Tell all traders of a shout."""
        for trader in self.traders:
            trader.observe(shout)

    def period(self, patience: int) -> list[InducedTrade]:
        """Trade until ``patience`` turns in a row brought no trade."""
        for book in self.books.values():
            book.clear()
        for trader in self.traders:
            trader.new_period()
        trades: list[InducedTrade] = []
        idle = 0
        while idle < patience:
            active = [index for index, trader in enumerate(self.traders) if trader.active]
            if not active:
                break
            trade = self.turn(self.rng.choice(active))
            idle = 0 if trade else idle + 1
            if trade:
                trades.append(trade)
        return trades


def run(
    name: StrategyName, schedule: Schedule, seed: int, *, periods: int = 10, patience: int = 200
) -> list[list[InducedTrade]]:
    """Run a number of periods with traders who all follow one strategy."""
    rng = Random(seed)
    traders = [
        make_strategy(name, "buy", int(value), Random(rng.getrandbits(64)), PRICE_MAX) for value in schedule.values
    ]
    traders += [
        make_strategy(name, "sell", int(cost), Random(rng.getrandbits(64)), PRICE_MAX) for cost in schedule.costs
    ]
    auction = Auction(traders, rng)
    return [auction.period(patience) for _ in range(periods)]
