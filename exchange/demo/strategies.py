"""Trade one unit per period by simple, published rules.

A strategy is pure: it is told what happened, asked for a price, and draws from the generator it was
given; whoever runs it does the talking. Prices are integers in ticks. No strategy ever quotes at a
loss.

==========  ========================================================================================
``zic``     Zero intelligence, constrained: Gode, D. K. & Sunder, S. (1993). Allocative Efficiency of
            Markets with Zero-Intelligence Traders: Market as a Partial Substitute for Individual
            Rationality. Journal of Political Economy 101(1), 119-137.
``zip``     Zero intelligence plus: Cliff, D. (1997). Minimal-Intelligence Agents for Bargaining
            Behaviors in Market-Based Environments. HP Laboratories report HPL-97-91.
``giveaway``  Quotes its limit: the simplest trader of the simulators in Cliff's tradition.
``shaver``  Improves on the best quote of its own side by one tick, up to its limit.
==========  ========================================================================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, get_args

if TYPE_CHECKING:
    from random import Random

    from exchange.messages.orders import Side

__all__ = [
    "STRATEGIES",
    "Giveaway",
    "MarketState",
    "Shaver",
    "Shout",
    "Strategy",
    "StrategyName",
    "ZeroIntelligenceConstrained",
    "ZeroIntelligencePlus",
    "ZipParameters",
    "make_strategy",
]

StrategyName = Literal["zic", "zip", "giveaway", "shaver"]
STRATEGIES: Final[tuple[StrategyName, ...]] = get_args(StrategyName)
PRICE_MIN: Final = 1


@dataclass(frozen=True, slots=True)
class MarketState:
    """Hold what a trader sees when it is asked: the best prices, and the one it has standing itself."""

    best_bid: int | None = None
    best_ask: int | None = None
    own_quote: int | None = None


@dataclass(frozen=True, slots=True)
class Shout:
    """Tell of a bid (``side`` buy) or an offer (sell), and whether somebody accepted it.

    Whoever keeps standing orders should tell of the best bid and the best offer again while they
    stand: in Cliff's market a trader that nobody answers shouts again, and that is what moves the
    others.
    """

    side: Side
    price: int
    accepted: bool = False

    @classmethod
    def of_trade(cls, price: int, taker_side: Side) -> Shout:
        """Read a trade as the shout of its maker, which the taker accepted."""
        return cls("sell" if taker_side == "buy" else "buy", price, accepted=True)


class Strategy(Protocol):
    """Decide what one trader quotes for its one unit per period.

    ``limit`` is the buyer's value or the seller's cost; ``active`` is whether the unit is still
    to be traded.
    """

    @property
    def side(self) -> Side:
        """Tell whether the trader buys or sells."""
        ...

    @property
    def limit(self) -> int:
        """Tell the private value or cost."""
        ...

    @property
    def active(self) -> bool:
        """Tell whether the trader has its unit still to trade."""
        ...

    def new_period(self) -> None:
        """Begin a period with one unit to trade; what was learned stays."""
        ...

    def quote(self, market: MarketState) -> int | None:
        """Name a price to quote now, or None to stay out of the market."""
        ...

    def observe(self, shout: Shout) -> None:
        """Learn from a shout, the trader's own included."""
        ...

    def filled(self) -> None:
        """Hear that the unit was traded: no more quotes in this period."""
        ...


class _Trader:
    """Keep what all strategies have: a side, a limit, and a unit to trade or not."""

    def __init__(self, side: Side, limit: int) -> None:
        if limit < PRICE_MIN:
            message = f"a limit of {limit} leaves no price to quote: it must be at least {PRICE_MIN} tick"
            raise ValueError(message)
        self.side: Side = side
        self.limit = limit
        self.active = True

    def new_period(self) -> None:
        """Begin a period with one unit to trade; what was learned stays."""
        self.active = True

    def quote(self, market: MarketState) -> int | None:
        """Name a price to quote now, or None to stay out of the market."""
        return self._price(market) if self.active else None

    def observe(self, shout: Shout) -> None:
        """Learn nothing: only some strategies do."""

    def filled(self) -> None:
        """Hear that the unit was traded: no more quotes in this period."""
        self.active = False

    def _price(self, market: MarketState) -> int:
        """Choose a price, never at a loss."""
        raise NotImplementedError

    def _without_loss(self, price: int) -> int:
        """Move a price to the limit when it would make a loss."""
        if self.side == "buy":
            return max(PRICE_MIN, min(price, self.limit))
        return max(price, self.limit)


class Giveaway(_Trader):
    """Quote the limit, and leave all gain to the others and to price improvement."""

    def _price(self, market: MarketState) -> int:
        del market
        return self.limit


class Shaver(_Trader):
    """Improve the best quote of the own side by one tick, up to the limit.

    Where that side is empty, begin as far from the limit as prices go: at 1, or at ``price_max``.
    """

    def __init__(self, side: Side, limit: int, price_max: int) -> None:
        super().__init__(side, limit)
        self.price_max = max(price_max, limit)

    def _price(self, market: MarketState) -> int:
        best = market.best_bid if self.side == "buy" else market.best_ask
        if best is None:
            return PRICE_MIN if self.side == "buy" else self.price_max
        if best == market.own_quote:
            return best
        return self._without_loss(best + 1 if self.side == "buy" else best - 1)


class ZeroIntelligenceConstrained(_Trader):
    """Quote any price that makes no loss, all being equally likely: ZIC.

    A buyer draws from the integers in [1, value], a seller from those in [cost, price_max],
    independently at every quote; nothing is observed, remembered or maximised. Source: Gode &
    Sunder (1993), the "ZI-C" traders.

    Raises:
        ValueError: the limit is not a price, or a seller's cost is over ``price_max``.
    """

    def __init__(self, side: Side, limit: int, rng: Random, price_max: int) -> None:
        super().__init__(side, limit)
        if side == "sell" and limit > price_max:
            message = f"a cost of {limit} is over the highest price, {price_max}"
            raise ValueError(message)
        self.price_max = price_max
        self._rng = rng

    def _price(self, market: MarketState) -> int:
        del market
        if self.side == "buy":
            return self._rng.randint(PRICE_MIN, self.limit)
        return self._rng.randint(self.limit, self.price_max)


@dataclass(frozen=True, slots=True)
class ZipParameters:
    """Hold what makes one ZIP trader differ from another.

    ``beta`` is the learning rate, ``gamma`` the momentum, ``margin`` the initial profit margin as a
    fraction of the limit (positive on both sides).
    """

    beta: float
    gamma: float
    margin: float

    @classmethod
    def draw(cls, rng: Random) -> ZipParameters:
        """Draw a trader: beta from U(0.1, 0.5), gamma from U(0, 0.1), the margin from U(0.05, 0.35).

        Source: Cliff (1997), the parameter values of his ZIP experiments.
        """
        return cls(rng.uniform(0.1, 0.5), rng.uniform(0.0, 0.1), rng.uniform(0.05, 0.35))


class ZeroIntelligencePlus(_Trader):
    """Quote the limit plus a margin that adapts to every shout: ZIP.

    The shout price is p = limit * (1 + mu), where the margin mu is at least 0 for a seller and
    between -1 and 0 for a buyer. After a shout at price q (Cliff 1997, the ZIP adaptation rules):

    =====================  ======================================  ===============================
    the last shout was     sellers                                 buyers
    =====================  ======================================  ===============================
    accepted               p <= q: raise the margin                p >= q: raise the margin
    accepted, a bid        active and p >= q: lower it
    accepted, an offer                                             active and p <= q: lower it
    not accepted, offer    active and p >= q: lower it
    not accepted, bid                                              active and p <= q: lower it
    =====================  ======================================  ===============================

    At p = q an accepted shout fits two rules; raising comes first and is all that happens. Traders
    that are done for the period go on raising, never lowering.

    Prices are in ticks, so p is rounded when it is shouted or compared; the margin itself is not,
    and small steps add up. ``ticks_per_dollar`` carries over Cliff's absolute perturbations, which
    are in the dollars of Smith's charts (200 ticks are $2.00 by default).
    """

    def __init__(
        self,
        side: Side,
        limit: int,
        rng: Random,
        *,
        parameters: ZipParameters | None = None,
        ticks_per_dollar: float = 100.0,
    ) -> None:
        super().__init__(side, limit)
        self._rng = rng
        self.parameters = parameters or ZipParameters.draw(rng)
        self.ticks_per_dollar = ticks_per_dollar
        self._mu = self.parameters.margin if side == "sell" else -self.parameters.margin
        self._momentum = 0.0

    @property
    def margin(self) -> float:
        """Tell the profit margin as a fraction of the limit, positive on both sides."""
        return abs(self._mu)

    def observe(self, shout: Shout) -> None:
        """Raise the margin, lower it or leave it, by the table of the class."""
        price = self._shout_price()
        at_least_as_eager = price <= shout.price if self.side == "sell" else price >= shout.price
        no_more_eager = price >= shout.price if self.side == "sell" else price <= shout.price
        if shout.accepted and at_least_as_eager:
            self._adapt(shout.price, upwards=self.side == "sell")
        # An accepted shout of the other side is a deal missed, a refused one of the own side a
        # competitor: either way the price asked was too high, or the price bid too low.
        elif self.active and no_more_eager and shout.accepted == (shout.side != self.side):
            self._adapt(shout.price, upwards=self.side == "buy")

    def _price(self, market: MarketState) -> int:
        del market
        return self._shout_price()

    def _shout_price(self) -> int:
        """Round p = limit * (1 + mu) to a tick that makes no loss."""
        return self._without_loss(round(self.limit * (1 + self._mu)))

    def _adapt(self, shouted: int, *, upwards: bool) -> None:
        """Move the margin towards a target price a little beyond the last shout.

        Cliff (1997), the Widrow-Hoff rule with momentum, for the shout price p, limit l and target t:

            delta(t)   = beta * (t - p(t))
            Gamma(t+1) = gamma * Gamma(t) + (1 - gamma) * delta(t),  Gamma(0) = 0
            mu(t+1)    = (p(t) + Gamma(t+1)) / l - 1,  kept in the range of the side
        """
        beta, gamma = self.parameters.beta, self.parameters.gamma
        delta = beta * (self._target(shouted, upwards=upwards) - self._shout_price())
        self._momentum = gamma * self._momentum + (1 - gamma) * delta
        mu = (self.limit * (1 + self._mu) + self._momentum) / self.limit - 1
        self._mu = max(0.0, mu) if self.side == "sell" else min(0.0, max(-1.0, mu))

    def _target(self, shouted: int, *, upwards: bool) -> float:
        """Draw the target price R * q + A, anew every time.

        Cliff (1997): upwards R is from U(1.0, 1.05) and A from U(0.0, 0.05) dollars, downwards R is
        from U(0.95, 1.0) and A from U(-0.05, 0.0) dollars.
        """
        relative, absolute = (
            self._rng.uniform(0.0, 0.05),
            self._rng.uniform(0.0, 0.05) * self.ticks_per_dollar,
        )
        return shouted * (1 + relative) + absolute if upwards else shouted * (1 - relative) - absolute


def make_strategy(name: StrategyName, side: Side, limit: int, rng: Random, price_max: int) -> Strategy:
    """Make a trader by the name of its strategy; ``price_max`` bounds what a seller may ask blindly.

    Raises:
        ValueError: there is no such strategy, or ``limit`` is not a price.
    """
    match name:
        case "zic":
            return ZeroIntelligenceConstrained(side, limit, rng, price_max)
        case "zip":
            return ZeroIntelligencePlus(side, limit, rng)
        case "giveaway":
            return Giveaway(side, limit)
        case "shaver":
            return Shaver(side, limit, price_max)
        case _:
            message = f"no strategy {name!r}: choose one of {', '.join(STRATEGIES)}"
            raise ValueError(message)
