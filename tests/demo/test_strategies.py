"""Test the trading strategies, alone and against each other."""

from __future__ import annotations

from random import Random
from statistics import fmean
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exchange.demo.smith import CHART_1, PRICE_MAX, chart_1
from exchange.demo.strategies import (
    STRATEGIES,
    Giveaway,
    MarketState,
    Shaver,
    Shout,
    StrategyName,
    ZeroIntelligenceConstrained,
    ZeroIntelligencePlus,
    ZipParameters,
    make_strategy,
)
from tests.demo.auction import run

if TYPE_CHECKING:
    from exchange.messages.orders import Side

EMPTY = MarketState()
SEEDS = range(10)
sides = st.sampled_from(("buy", "sell"))
prices = st.integers(1, PRICE_MAX)
shouts = st.builds(Shout, sides, prices, st.booleans())


def zip_trader(side: Side, *, seed: int = 1, limit: int = 200, gamma: float = 0.05) -> ZeroIntelligencePlus:
    """Make a ZIP trader that shouts 160 to buy or 240 to sell at a limit of 200."""
    return ZeroIntelligencePlus(side, limit, Random(seed), parameters=ZipParameters(0.3, gamma, 0.2))


def no_loss(side: Side, limit: int, price: int | None) -> bool:
    """Tell whether a quote is absent, or makes no loss."""
    return price is None or (1 <= price <= limit if side == "buy" else price >= limit)


@given(sides, prices, st.integers(0, 2**32))
def test_zic_never_quotes_at_a_loss(side: Side, limit: int, seed: int) -> None:
    """A ZIC buyer draws from [1, value], a seller from [cost, highest price]."""
    trader = ZeroIntelligenceConstrained(side, limit, Random(seed), PRICE_MAX)
    for _ in range(20):
        price = trader.quote(EMPTY)
        assert price is not None
        assert (1 <= price <= limit) if side == "buy" else (limit <= price <= PRICE_MAX)


def test_zic_draws_every_price_alike() -> None:
    """A ZIC buyer with a value of 4 bids each of 1, 2, 3 and 4 about equally often."""
    trader = ZeroIntelligenceConstrained("buy", 4, Random(7), PRICE_MAX)
    drawn = [trader.quote(EMPTY) for _ in range(4_000)]
    assert all(900 < drawn.count(price) < 1_100 for price in (1, 2, 3, 4))


def test_zic_needs_room_to_ask() -> None:
    """A seller whose cost is over the highest price is refused."""
    with pytest.raises(ValueError, match="over the highest price"):
        ZeroIntelligenceConstrained("sell", PRICE_MAX + 1, Random(1), PRICE_MAX)


@given(st.sampled_from(STRATEGIES), sides, prices, st.integers(0, 2**32), st.lists(shouts, max_size=30))
def test_nobody_quotes_at_a_loss(name: StrategyName, side: Side, limit: int, seed: int, heard: list[Shout]) -> None:
    """Whatever a strategy hears, and whatever stands in the market, it never quotes at a loss."""
    trader = make_strategy(name, side, limit, Random(seed), PRICE_MAX)
    for shout in heard:
        trader.observe(shout)
        assert no_loss(side, limit, trader.quote(MarketState(shout.price, shout.price + 1)))


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_filled_trader_rests_until_the_next_period(name: StrategyName) -> None:
    """After its fill a trader quotes nothing, and in the next period it is back."""
    trader = make_strategy(name, "buy", 200, Random(1), PRICE_MAX)
    assert trader.quote(EMPTY) is not None
    trader.filled()
    assert (trader.active, trader.quote(EMPTY)) == (False, None)
    trader.new_period()
    assert trader.active
    assert trader.quote(EMPTY) is not None


def test_zip_shouts_its_limit_with_the_margin() -> None:
    """A ZIP trader quotes limit * (1 + mu)."""
    assert zip_trader("buy").quote(EMPTY) == 160
    assert zip_trader("sell").quote(EMPTY) == 240


RULES = [
    # trader, its 160 or 240 against the shout, the shout, the margin then
    ("sell", Shout("sell", 250, accepted=True), "raised"),
    ("sell", Shout("buy", 250, accepted=True), "raised"),
    ("sell", Shout("buy", 240, accepted=True), "raised"),
    ("sell", Shout("buy", 230, accepted=True), "lowered"),
    ("sell", Shout("sell", 230, accepted=True), "kept"),
    ("sell", Shout("sell", 230), "lowered"),
    ("sell", Shout("sell", 240), "lowered"),
    ("sell", Shout("sell", 250), "kept"),
    ("sell", Shout("buy", 230), "kept"),
    ("sell", Shout("buy", 250), "kept"),
    ("buy", Shout("buy", 150, accepted=True), "raised"),
    ("buy", Shout("sell", 150, accepted=True), "raised"),
    ("buy", Shout("sell", 160, accepted=True), "raised"),
    ("buy", Shout("sell", 170, accepted=True), "lowered"),
    ("buy", Shout("buy", 170, accepted=True), "kept"),
    ("buy", Shout("buy", 170), "lowered"),
    ("buy", Shout("buy", 160), "lowered"),
    ("buy", Shout("buy", 150), "kept"),
    ("buy", Shout("sell", 170), "kept"),
    ("buy", Shout("sell", 150), "kept"),
]


def moved(trader: ZeroIntelligencePlus, shout: Shout) -> str:
    """Tell what a shout does to a trader's margin."""
    before = trader.margin
    trader.observe(shout)
    return "kept" if trader.margin == before else "raised" if trader.margin > before else "lowered"


@pytest.mark.parametrize(("side", "shout", "expected"), RULES)
def test_zip_margin_moves_by_the_rules(side: Side, shout: Shout, expected: str) -> None:
    """Every rule of the paper moves the margin in its direction, whatever is drawn."""
    assert {moved(zip_trader(side, seed=seed), shout) for seed in SEEDS} == {expected}


@pytest.mark.parametrize(("side", "shout", "expected"), RULES)
def test_an_inactive_zip_trader_only_raises(side: Side, shout: Shout, expected: str) -> None:
    """A trader that is done for the period raises its margin as ever, and never lowers it."""
    trader = zip_trader(side)
    trader.filled()
    assert moved(trader, shout) == ("raised" if expected == "raised" else "kept")


def test_zip_learns_by_widrow_hoff_with_momentum() -> None:
    """Two shouts move the price by exactly the paper's Gamma, with the draws made explicit."""
    trader, draws = zip_trader("sell", seed=3, gamma=0.1), Random(3)
    price, momentum = 240.0, 0.0
    for _ in range(2):
        target = 150 * (1 - draws.uniform(0.0, 0.05)) - 100 * draws.uniform(0.0, 0.05)
        momentum = 0.1 * momentum + 0.9 * 0.3 * (target - round(price))
        price = max(200.0, price + momentum)
        trader.observe(Shout("sell", 150))
    assert trader.margin == pytest.approx(price / 200 - 1)


@given(sides, st.lists(shouts, max_size=60), st.integers(0, 2**32))
def test_zip_margins_stay_in_range(side: Side, heard: list[Shout], seed: int) -> None:
    """A margin never becomes a loss, and a buyer's never exceeds its value."""
    trader = ZeroIntelligencePlus(side, 200, Random(seed))
    for shout in heard:
        trader.observe(shout)
        assert trader.margin >= 0.0
        assert side == "sell" or trader.margin <= 1.0


@given(st.integers(0, 2**32))
def test_zip_parameters_are_the_papers(seed: int) -> None:
    """Learning rate, momentum and initial margin are drawn from the ranges of the paper."""
    drawn = ZipParameters.draw(Random(seed))
    assert 0.1 <= drawn.beta <= 0.5
    assert 0.0 <= drawn.gamma <= 0.1
    assert 0.05 <= drawn.margin <= 0.35


def test_a_trade_is_its_makers_shout() -> None:
    """A trade whose taker bought is an accepted offer, one whose taker sold an accepted bid."""
    assert Shout.of_trade(200, "buy") == Shout("sell", 200, accepted=True)
    assert Shout.of_trade(200, "sell") == Shout("buy", 200, accepted=True)


def test_giveaway_quotes_its_limit() -> None:
    """A giveaway quotes its limit whatever the market does."""
    assert Giveaway("buy", 200).quote(MarketState(150, 160)) == 200


def test_shaver_improves_by_a_tick() -> None:
    """A shaver beats the best quote of its side by a tick, not its own and not beyond its limit."""
    buyer, seller = Shaver("buy", 200, PRICE_MAX), Shaver("sell", 100, PRICE_MAX)
    assert (buyer.quote(EMPTY), seller.quote(EMPTY)) == (1, PRICE_MAX)
    assert buyer.quote(MarketState(best_bid=150)) == 151
    assert buyer.quote(MarketState(best_bid=150, own_quote=150)) == 150
    assert buyer.quote(MarketState(best_bid=250)) == 200
    assert seller.quote(MarketState(best_ask=150)) == 149
    assert seller.quote(MarketState(best_ask=90)) == 100


def test_an_unknown_strategy_is_refused() -> None:
    """The error for an unknown strategy names those there are."""
    with pytest.raises(ValueError, match="choose one of zic, zip"):
        make_strategy("genius", "buy", 200, Random(1), PRICE_MAX)  # type: ignore[arg-type]


def test_a_limit_below_a_tick_is_refused() -> None:
    """A value that no price reaches is refused."""
    with pytest.raises(ValueError, match="at least 1 tick"):
        Giveaway("buy", 0)


def test_zip_markets_converge() -> None:
    """ZIP traders approach the equilibrium price from period to period, at an efficiency over 95 %."""
    runs = [[CHART_1.statistics(trades) for trades in run("zip", CHART_1, seed)] for seed in SEEDS]
    alphas = [[100.0 if period.alpha is None else period.alpha for period in periods] for periods in runs]
    assert fmean(period.efficiency for periods in runs for period in periods) > 95
    assert all(fmean(alpha[-3:]) < fmean(alpha[:3]) for alpha in alphas)
    by_period = [fmean(column) for column in zip(*alphas, strict=True)]
    assert by_period[0] > by_period[1] > by_period[2] > by_period[4]
    assert max(by_period[-3:]) < 5


def test_zic_markets_are_efficient_without_converging() -> None:
    """ZIC traders reach over 90 % efficiency, and their prices do not settle."""
    runs = [[CHART_1.statistics(trades) for trades in run("zic", CHART_1, seed, patience=400)] for seed in SEEDS]
    alphas = [period.alpha for periods in runs for period in periods[-3:] if period.alpha is not None]
    assert fmean(period.efficiency for periods in runs for period in periods) > 90
    assert fmean(alphas) > 10


def test_a_larger_zip_market_converges_too() -> None:
    """With 60 traders ZIP still ends near 200 with nearly all of the surplus."""
    schedule = chart_1(60)
    last = schedule.statistics(run("zip", schedule, 5)[-1])
    assert last.mean_price == pytest.approx(200, rel=0.05)
    assert last.efficiency > 95


def test_a_seed_repeats_a_run() -> None:
    """The same seed gives the same trades, another seed others."""
    assert run("zip", CHART_1, 1, periods=3) == run("zip", CHART_1, 1, periods=3)
    assert run("zip", CHART_1, 1, periods=3) != run("zip", CHART_1, 2, periods=3)
