"""The market maker's arithmetic, against a second computation in 60 digits by other code, and against attacks on it."""

from __future__ import annotations

import decimal
import os
import subprocess
import sys
import time
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mpmath import mp, mpf

from exchange.mechanisms import fixed
from exchange.mechanisms.predictions import lmsr
from exchange.mechanisms.predictions.market import Trader
from exchange.messages.predictions import QuoteShares
from tests.core.bets import SHARE, Bets
from tests.core.work import CREDIT

TINY = mpf("1e-11")
"""What a result may be off beside its rounding: the margin, and a little for comparing."""


@pytest.fixture(autouse=True)
def _digits() -> Any:
    with mp.workdps(60):
        yield


def cost(liquidity: int, sold: list[int]) -> Any:
    """Return C by its definition, without subtracting anything."""
    b = mpf(liquidity)
    return b * mp.log(sum(mp.exp(mpf(each) / b) for each in sold))


def probabilities(liquidity: int, sold: list[int]) -> list[Any]:
    weights = [mp.exp(mpf(each) / liquidity) for each in sold]
    return [weight / sum(weights) for weight in weights]


LIQUIDITIES = st.sampled_from([1_000, 31_337, CREDIT, 10 * CREDIT, 3_141_592_653, 10**12])


@st.composite
def markets(draw: st.DrawFn) -> tuple[int, list[int]]:
    """Return a liquidity, and what may have been sold at it."""
    liquidity = draw(LIQUIDITIES)
    count = draw(st.integers(2, 16))
    base = draw(st.integers(0, 10**13))
    return liquidity, [
        base + draw(st.integers(0, lmsr.SPREAD_MAX * liquidity) | st.integers(0, 5)) for _ in range(count)
    ]


@given(market=markets(), data=st.data())
def test_costs_and_proceeds_are_exact_but_for_their_rounding(
    market: tuple[int, list[int]], data: st.DataObject
) -> None:
    liquidity, sold = market
    place = data.draw(st.integers(0, len(sold) - 1))
    change = data.draw(st.integers(1, 3) | st.integers(1, 4 * liquidity))
    after = [*sold]
    after[place] += change
    exact = cost(liquidity, after) - cost(liquidity, sold)
    charged = lmsr.charged(lmsr.moved(liquidity, sold, place, after[place])[0])
    assert exact <= charged <= exact + 1 + TINY
    paid = lmsr.paid(lmsr.moved(liquidity, after, place, sold[place])[0])
    assert exact - 1 - TINY <= paid <= exact
    assert paid < charged


@given(market=markets(), trades=st.lists(st.tuples(st.integers(0, 15), st.integers(-(10**7), 10**7)), max_size=12))
def test_what_is_remembered_changes_nothing(market: tuple[int, list[int]], trades: list[tuple[int, int]]) -> None:
    """A daemon that comes from a snapshot remembers no terms, and must come to the same digits."""
    liquidity, sold = market
    known: dict[int, Any] = {}
    for place, change in trades:
        place = place % len(sold)  # noqa: PLW2901
        after = max(sold[place] + change, 0)
        assert lmsr.moved(liquidity, sold, place, after, known) == lmsr.moved(liquidity, sold, place, after)
        sold[place] = after


@given(market=markets())
def test_prices_are_right_to_a_billionth_and_add_up_to_one(market: tuple[int, list[int]]) -> None:
    liquidity, sold = market
    prices = lmsr.prices_of(liquidity, sold)
    assert sum(prices) == lmsr.ONE
    assert min(prices) >= 0
    for price, exact in zip(prices, probabilities(liquidity, sold), strict=True):
        assert abs(price - exact * lmsr.ONE) <= len(sold)


@given(liquidity=LIQUIDITIES | st.integers(1_000, 10**15), outcomes=st.integers(2, 16))
def test_the_subsidy_is_the_worst_case_rounded_up(liquidity: int, outcomes: int) -> None:
    exact = mpf(liquidity) * mp.log(outcomes)
    assert lmsr.subsidy_of(liquidity, outcomes) == int(mp.ceil(exact))


@given(liquidity=st.sampled_from([1_000, 10**15]), shares=st.integers(0, 2**53 - 1))
def test_nothing_overflows_at_the_ends_of_what_is_allowed(liquidity: int, shares: int) -> None:
    """However far ahead an outcome gets because others are sold back, and back again in one trade."""
    top = 2**53 - 1
    change, prices = lmsr.moved(liquidity, [shares, 0], 0, top)
    exact = cost(liquidity, [top, 0]) - cost(liquidity, [shares, 0])
    assert exact - TINY <= lmsr.charged(change) <= exact + 1 + TINY
    assert sum(prices) == lmsr.ONE
    change, prices = lmsr.moved(liquidity, [top, 0], 0, shares)
    assert exact - 1 - TINY <= lmsr.paid(change) <= exact + TINY
    assert sum(prices) == lmsr.ONE


def test_what_is_far_ahead_can_be_sold_at_once() -> None:
    venue = Bets()
    venue.open(liquidity=1_000)
    for _ in range(100):
        # Both outcomes by turns, so that neither gets far ahead.
        for outcome in ("yes", "no"):
            venue.buy_shares("ann", outcome, 30_000)
    venue.sell_shares("ann", "no", 3_000_000)
    assert venue.look().outcomes[0].probability == lmsr.ONE
    # Far beyond what anybody could buy; what is sold there is quoted, and brought.
    query = QuoteShares(market=1, outcome="yes", shares=1_000_000, side="sell")
    quoted = venue.engine.query("ann", query).amount  # type: ignore[attr-defined]
    assert quoted == venue.sell_shares("ann", "yes", 1_000_000)
    venue.sell_shares("ann", "yes", 2_000_000)
    assert venue.look().outcomes[0].probability == lmsr.ONE // 2


@given(probability=st.integers(0, lmsr.ONE))
def test_logarithms_of_forecasts_are_clamped(probability: int) -> None:
    clamped = min(max(mpf(probability) / lmsr.ONE, mpf("0.01")), mpf("0.99"))
    # Rounded to a ten-thousandth, which matters most at one hundredth.
    assert abs(lmsr.forecast_log(probability) - mp.log(clamped) * 10**6) < 5_100


def test_a_float_is_refused_and_so_is_what_is_no_number() -> None:
    with pytest.raises(TypeError):
        fixed.real(0.5)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="DivisionByZero"):
        fixed.divide(fixed.real(1), fixed.real(0))
    with pytest.raises(Exception, match="InvalidOperation"):
        fixed.ln(fixed.real(-1))


# ── nobody takes more than the subsidy ──────────────────────────────────────────────────────────


@st.composite
def sequences(draw: st.DrawFn) -> tuple[int, int, list[tuple[int, int]]]:
    """Return a liquidity, how many outcomes, and buys (above 0) and sells (below) of them."""
    liquidity, outcomes = draw(st.sampled_from([1_000, 12_345, CREDIT])), draw(st.integers(2, 5))
    size = st.sampled_from([1, 2, 3, liquidity // 7 + 1, liquidity, 5 * liquidity])
    trade = st.tuples(st.integers(0, outcomes - 1), size, st.sampled_from([1, -1]))
    return liquidity, outcomes, [(place, sign * much) for place, much, sign in draw(st.lists(trade, max_size=40))]


@given(drawn=sequences())
def test_no_sequence_of_trades_takes_more_than_the_subsidy(drawn: tuple[int, int, list[tuple[int, int]]]) -> None:
    liquidity, outcomes, trades = drawn
    sold, pot = [0] * outcomes, lmsr.subsidy_of(liquidity, outcomes)
    for place, change in trades:
        after = sold[place] + change
        if after < 0 or after - min(sold) > lmsr.SPREAD_MAX * liquidity:
            continue
        moved, _ = lmsr.moved(liquidity, sold, place, after)
        pot += lmsr.charged(moved) if change > 0 else -lmsr.paid(moved)
        sold[place] = after
        assert pot >= cost(liquidity, sold) >= max(sold), "the maker has been paid at least what C says"
        assert pot >= lmsr.cost_of_all(liquidity, sold)


def test_crumbs_do_not_add_up_to_anything() -> None:
    """Shares by the millionth, at any price, never pay more than they cost; nor does a round trip in pieces."""
    for ahead in (0, CREDIT, 20 * CREDIT):
        sold = [ahead, 0]
        spent = 0
        for _ in range(50):
            spent += lmsr.charged(lmsr.moved(CREDIT, sold, 1, sold[1] + 1)[0])
            sold[1] += 1
        assert spent == 50, "each costs a millionth of a credit, whatever its price"
        assert lmsr.paid(lmsr.moved(CREDIT, sold, 1, 0)[0]) <= 50
    bought = lmsr.charged(lmsr.moved(CREDIT, [0, 0], 0, SHARE)[0])
    back, sold = 0, [SHARE, 0]
    while sold[0]:
        piece = min(77_777, sold[0])
        back += lmsr.paid(lmsr.moved(CREDIT, sold, 0, sold[0] - piece)[0])
        sold[0] -= piece
    assert back < bought


@pytest.mark.parametrize("seed", range(3))
def test_agents_that_trade_at_random_never_get_more_than_the_subsidy_together(seed: int) -> None:
    """Through commands, money and resolution, with crumbs and round trips; whichever outcome happens."""
    random = Random(seed)
    venue = Bets()
    liquidity = random.choice((1_000, 50_000, CREDIT))
    names = [str(each) for each in range(random.randint(2, 5))]
    venue.open(liquidity=liquidity, outcomes=names)
    subsidy = venue.look().subsidy
    agents = ("ann", "ben", "cid")
    for _ in range(120):
        agent, name = random.choice(agents), random.choice(names)
        shares = random.choice((1, 2, liquidity // 3 + 1, liquidity, 3 * liquidity))
        venue.try_to_buy(agent, name, shares)
        if random.random() < 0.6:
            has = venue.market_state().trader(agent).shares[names.index(name)]
            if has:
                venue.sell_shares(agent, name, random.choice((1, has, (has + 1) // 2)))
    venue.resolve(random.choice([*names, None]))
    venue.let_be_final()
    gained = sum(venue.balance(agent)[0] for agent in agents) - 300 * CREDIT
    assert gained <= subsidy
    assert venue.balance("poster")[0] == 100 * CREDIT - gained


# ── scores ──────────────────────────────────────────────────────────────────────────────────────


@given(
    moves=st.lists(
        st.tuples(st.lists(st.integers(1, 1_000), min_size=3, max_size=3), st.integers(1, 10**8)),
        min_size=2,
        max_size=9,
    ),
    outcome=st.integers(0, 2),
)
def test_scores_are_the_weighted_means_of_all_moves(moves: list[tuple[list[int], int]], outcome: int) -> None:
    """By the definition of the Brier score, move by move, in fractions."""
    trader, total, stakes = Trader(3), Fraction(0), 0
    before = lmsr.uniform(3)
    for weights, stake in moves:
        after = [lmsr.ONE * weight // sum(weights) for weight in weights]
        after[0] += lmsr.ONE - sum(after)
        trader.note_move(before, after, stake)
        brier = [
            sum((Fraction(price, lmsr.ONE) - (place == outcome)) ** 2 for place, price in enumerate(prices))
            for prices in (before, after)
        ]
        total += stake * (brier[0] - brier[1])
        stakes += stake
        before = after
    exact = 50 + 50 * total / stakes / Fraction(2, 3)
    points = trader.brier_points(outcome)
    assert points == min(max((exact + Fraction(1, 2)).__floor__(), 0), 100)
    assert Trader.load(trader.dump()).dump() == trader.dump()


def test_from_no_knowledge_to_the_truth_is_a_hundred_points() -> None:
    for outcomes in (2, 3, 16):
        trader = Trader(outcomes)
        trader.note_move(lmsr.uniform(outcomes), [lmsr.ONE] + [0] * (outcomes - 1), CREDIT)
        assert trader.brier_points(0) == 100
        # No forecast is taken for better than 99 %.
        assert trader.log_points(0) == (99 if outcomes == 2 else 100)
        assert trader.brier_points(1) == 0
        # From a sixteenth to nothing is not far, and nothing counts as 1 %.
        assert trader.log_points(1) == (17 if outcomes == 16 else 0)
        assert (Trader(outcomes).brier_points(0), Trader(outcomes).log_points(0)) == (50, 50)


# ── everywhere the same, and fast enough ────────────────────────────────────────────────────────

_REPLAY = """
from random import Random
from exchange.messages.predictions import SellShares
from tests.core.bets import Bets
venue, random = Bets(), Random(7)
for outcomes in (["yes", "no"], [str(each) for each in range(16)]):
    number = venue.open(outcomes=outcomes, liquidity=1_234_567)
    for _ in range(60):
        agent, name = random.choice(("ann", "ben", "cid")), random.choice(outcomes)
        venue.try_to_buy(agent, name, random.randint(1, 2_000_000), market=number)
        fields = {"market": number, "outcome": name, "shares": random.randint(1, 999_999)}
        venue.submit(agent, SellShares, **fields)
        venue.advance(random.randint(0, 9))
    venue.resolve(outcomes[0], market=number)
venue.reload()
venue.let_be_final()
print(venue.engine.state_hash(), b"".join(venue.digests).hex())
"""


def test_another_process_with_other_hashes_comes_to_the_same_bits() -> None:
    said = []
    for seed in ("0", "1", "4711"):
        done = subprocess.run(
            [sys.executable, "-c", _REPLAY],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        said.append(done.stdout)
    assert said[0] == said[1] == said[2]
    assert len(said[0]) > 1_000


def test_the_python_and_the_c_implementation_of_decimal_agree() -> None:
    """``exp`` and ``ln`` are correctly rounded by both, so no digit hangs on which one a machine has."""
    import _pydecimal as slow

    context = slow.Context(
        prec=fixed.DIGITS, rounding=slow.ROUND_HALF_EVEN, Emin=-999_999, Emax=999_999, capitals=1, clamp=0
    )
    random = Random(3)
    for _ in range(60):
        number = fixed.divide(fixed.real(-random.randint(0, 10**9)), fixed.real(random.randint(1, 10**8)))
        same = context.create_decimal(str(number))
        assert str(fixed.exp(number)) == str(context.exp(same))
        weight = fixed.exp(number)
        assert str(fixed.ln(weight)) == str(context.ln(context.create_decimal(str(weight))))


def test_whatever_context_the_process_reckons_in_changes_no_digit() -> None:
    """A library that rounds down to three digits, and raises at everything, in this thread."""

    def reckon() -> list[Any]:
        lmsr._logs.clear()
        found: list[Any] = []
        for liquidity, sold in ((10 * CREDIT, [7, 3 * CREDIT, 0]), (10**15, [2**53 - 1, 5])):
            change, prices = lmsr.moved(liquidity, sold, 0, sold[0] // 3 + 1)
            found += [str(change), lmsr.charged(change), lmsr.paid(change), prices]
            found += [lmsr.cost_of_all(liquidity, sold), lmsr.subsidy_of(liquidity, len(sold))]
        return [*found, [lmsr.forecast_log(each) for each in range(0, lmsr.ONE, lmsr.ONE // 7)]]

    expected = reckon()
    signals = (decimal.Inexact, decimal.Rounded, decimal.Subnormal, decimal.Clamped, decimal.FloatOperation)
    strange = decimal.Context(prec=3, rounding=decimal.ROUND_DOWN, Emin=-3, Emax=3, traps=list(signals))
    with decimal.localcontext(strange):
        assert reckon() == expected
    assert decimal.getcontext().prec != 3


NUMBERS = st.builds(
    lambda digits, places: fixed.divide(fixed.real(digits), fixed.real(10**places)),
    st.integers(-(10**36), 10**36),
    st.integers(0, 40),
)


@given(number=NUMBERS)
def test_exp_is_right_to_its_last_digit(number: Any) -> None:
    if number > 2_302_586:
        # A million digits.
        with pytest.raises(decimal.Overflow):
            fixed.exp(number)
        return
    found = fixed.exp(number)
    with mp.workdps(90):
        exact = mp.exp(mpf(str(number)))
        # Below the least exponent digits are lost, and in the end everything.
        least = mpf(10) ** (-999_999 - fixed.DIGITS)
        assert abs(mpf(str(found)) - exact) <= exact * mpf(10) ** (1 - fixed.DIGITS) / 2 + least


@given(number=NUMBERS)
def test_ln_is_right_to_its_last_digit(number: Any) -> None:
    if number <= 0:
        return
    with mp.workdps(120):
        exact = mp.log(mpf(str(number)))
        assert abs(mpf(str(fixed.ln(number))) - exact) <= abs(exact) * mpf(10) ** (1 - fixed.DIGITS) / 2


@given(number=st.integers(-(2**63), 2**63), places=st.integers(0, 20))
def test_ceilings_and_floors_are_never_on_the_wrong_side(number: int, places: int) -> None:
    exact = Fraction(number, 10**places)
    reckoned = fixed.divide(fixed.real(number), fixed.real(10**places))
    assert 0 <= fixed.ceiling(reckoned) - exact <= 1 + Fraction(2, 10**12)
    assert 0 <= exact - fixed.floor(reckoned) <= 1 + Fraction(2, 10**12)


@pytest.mark.parametrize(("liquidity", "outcomes"), [(1_000, 2), (CREDIT, 16), (10**15, 3)])
def test_who_buys_everything_and_sells_it_all_back_leaves_the_subsidy_and_crumbs(liquidity: int, outcomes: int) -> None:
    """A long sequence, in pieces, back to nothing: the maker keeps each rounding, at most two units a trade."""
    sold, pot, trades = [0] * outcomes, lmsr.subsidy_of(liquidity, outcomes), 0
    subsidy, known, random = pot, dict[int, Any](), Random(liquidity)
    for direction in (1, -1):
        while (min(sold) < 3 * liquidity) if direction > 0 else max(sold):
            place = random.randrange(outcomes)
            piece = min(random.randint(1, liquidity), sold[place] if direction < 0 else liquidity)
            if not piece:
                continue
            change, _ = lmsr.moved(liquidity, sold, place, sold[place] + direction * piece, known)
            pot += lmsr.charged(change) if direction > 0 else -lmsr.paid(change)
            sold[place] += direction * piece
            trades += 1
    assert sold == [0] * outcomes
    assert subsidy <= pot <= subsidy + 2 * trades


@pytest.mark.alone
def test_a_trade_takes_less_than_a_millisecond() -> None:
    """The arithmetic of a trade in a market of sixteen outcomes, the most there are; the best of several rounds."""
    sold = [each * 777_777 for each in range(16)]
    known: dict[int, Any] = {}

    def once() -> float:
        began = time.perf_counter()
        for step in range(100):
            place = step % 16
            lmsr.charged(lmsr.moved(10 * CREDIT, sold, place, sold[place] + 54_321 + step, known)[0])
            sold[place] += 54_321 + step
        return (time.perf_counter() - began) / 100

    assert min(once() for _ in range(7)) < 0.001
