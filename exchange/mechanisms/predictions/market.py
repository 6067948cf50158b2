"""Hold prediction markets: what was sold and paid, who has what, how prices stood over time, and who forecast how."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from exchange.mechanisms import fixed
from exchange.mechanisms.predictions import lmsr
from exchange.mechanisms.predictions.book import Book
from exchange.messages.predictions import SHARE

if TYPE_CHECKING:
    from exchange.messages.predictions import EndReason, MarketKind, PredictionState

__all__ = ["VOID", "Market", "Trader"]

VOID = -1
"""Stands for no outcome where the place of one is expected: the market is void."""

_POINTS_MIDDLE = 50
_POINTS_MAX = 100


class Trader:
    """Be one agent's shares in one market, and what is known of its forecasts there.

    Of every move of the prices that it made, with so much at stake, sums are kept from which the scores follow for
    whichever outcome happens. For the Brier score, the sum of squares of (price - truth), that of before less that of
    after is ``Σ (before² - after²) - 2 (before - after)`` of what happens.
    """

    __slots__ = ("logs", "offered", "shares", "squares", "stake", "toward", "trades")

    def __init__(self, outcomes: int) -> None:
        self.shares = [0] * outcomes
        self.offered = [0] * outcomes
        """How many of the shares wait in orders to sell."""
        self.stake = 0
        """What was paid or received in the trades that count."""
        self.trades = 0
        self.squares = 0
        """The sum of stake times ``Σ (before² - after²)``."""
        self.toward = [0] * outcomes
        """By outcome, the sum of stake times (after - before)."""
        self.logs = [0] * outcomes
        """By outcome, the sum of stake times (logarithm after - logarithm before)."""

    def free(self, outcome: int) -> int:
        """Return how many shares of an outcome do not wait in orders."""
        return self.shares[outcome] - self.offered[outcome]

    def note_move(self, before: list[int], after: list[int], stake: int) -> None:
        """Count a move of the prices."""
        self.stake += stake
        self.trades += 1
        for place, price in enumerate(before):
            change = after[place] - price
            if change:
                self.squares += stake * (price * price - after[place] * after[place])
                self.toward[place] += stake * change
                self.logs[place] += stake * (lmsr.forecast_log(after[place]) - lmsr.forecast_log(price))

    def brier_points(self, outcome: int) -> int:
        """Return the Brier score of all moves, weighted by their stakes, in points of 100.

        No move at all is 50 points; 100 what moving from no knowledge to the truth gives, or more.
        """
        improved = self.squares + 2 * lmsr.ONE * self.toward[outcome]
        outcomes = len(self.shares)
        # No knowledge has a Brier score of 1 - 1 ÷ n.
        scale = self.stake * lmsr.ONE * lmsr.ONE * (outcomes - 1)
        return _points(improved * outcomes, scale)

    def log_points(self, outcome: int) -> int:
        """Return the logarithmic score likewise; of probabilities between 1 % and 99 %."""
        scale = self.stake * -lmsr.forecast_log(lmsr.ONE // len(self.shares))
        return _points(self.logs[outcome], scale)

    def dump(self) -> list[object]:
        """Return the state as plain data; sums of products may need more than 64 bits, so they are text."""
        return [
            self.shares, self.offered, self.stake, self.trades, str(self.squares),
            [str(each) for each in self.toward], [str(each) for each in self.logs],
        ]  # fmt: skip

    @staticmethod
    def load(fields: Any) -> Trader:
        """Return the trader of which ``dump`` gave the state."""
        trader = Trader(len(fields[0]))
        trader.shares, trader.offered = list(fields[0]), list(fields[1])
        trader.stake, trader.trades, trader.squares = fields[2], fields[3], int(fields[4])
        trader.toward = [int(each) for each in fields[5]]
        trader.logs = [int(each) for each in fields[6]]
        return trader


def _points(improved: int, scale: int) -> int:
    """Return 50 and as many points more, or less, as an improvement has parts of 50 of the scale, rounded half up."""
    if not scale:
        return _POINTS_MIDDLE
    points = _POINTS_MIDDLE + (2 * _POINTS_MIDDLE * improved + scale) // (2 * scale)
    return min(max(points, 0), _POINTS_MAX)


class Market:
    """Be one market, from its opening until it ended, and for a while after."""

    __slots__ = (
        "accepted", "averages", "barred", "began_us", "book", "claims", "closes_at_us", "closes_id", "creator",
        "deadline_id", "detail", "dispute", "ended", "final_at_us", "kind", "liquidity", "number", "objectors",
        "outcomes", "owners", "performer", "performer_owner", "pot", "priced_us", "prices", "question", "resolution",
        "resolve_by_us", "resolver", "settlement", "sold", "state", "subsidy", "task", "terms", "total_traders",
        "traders", "trades",
    )  # fmt: skip

    def __init__(
        self,
        number: int,
        kind: MarketKind,
        creator: str,
        question: str,
        detail: str,
        outcomes: tuple[str, ...],
        liquidity: int,
        subsidy: int,
        closes_at_us: int,
        resolve_by_us: int,
        resolver: str | None,
        task: int | None,
    ) -> None:
        self.number = number
        self.kind: MarketKind = kind
        self.creator = creator
        self.question = question
        self.detail = detail
        self.outcomes = outcomes
        self.liquidity = liquidity
        self.subsidy = subsidy
        self.closes_at_us = closes_at_us
        self.resolve_by_us = resolve_by_us
        """0 in a market about a task, which always ends."""
        self.resolver = resolver
        self.task = task
        self.state: PredictionState = "open" if task is None else "pending"
        self.barred: dict[str, None] = {}
        """Owners whose agents do not trade here."""
        self.performer = self.performer_owner = ""
        """Who may hold nothing that pays when the task fails."""
        self.settlement = 0
        """That of the award."""
        self.pot = subsidy
        """What is in escrow, holds of orders aside."""
        self.sold = [0] * len(outcomes)
        """How many shares there are of each outcome."""
        self.terms: dict[int, fixed.Decimal] = {}
        """Terms of the maker's formula that were reckoned before: no state, for what was sold says all."""
        self.traders: dict[str, Trader] = {}
        """Everybody who ever traded; nobody once the market has ended."""
        self.owners: dict[str, None] = {}
        """Their owners."""
        self.total_traders = 0
        self.trades = 0
        self.prices = lmsr.uniform(len(outcomes))
        self.averages = [0] * len(outcomes)
        """By outcome, the sum of price times microseconds."""
        self.began_us = 0
        self.priced_us = 0
        """Until when the averages are reckoned."""
        self.book = Book(len(outcomes))
        self.closes_id = 0
        self.deadline_id = 0
        """That of ``resolve_by_us``, then that of the end of the dispute window."""
        self.resolution: int | None = None
        self.final_at_us = 0
        self.objectors: dict[str, None] = {}
        """Whom a report goes against."""
        self.accepted: dict[str, None] = {}
        self.claims: dict[str, int] = {}
        self.dispute: int | None = None
        self.ended: EndReason | None = None

    @property
    def cause(self) -> str:
        """Return the cause under which its money moves."""
        return f"predictions:{self.number}"

    def place_of(self, outcome: str) -> int | None:
        """Return the place of an outcome by its name; None if it has none of the name."""
        for place, name in enumerate(self.outcomes):
            if name == outcome:
                return place
        return None

    def name_of(self, place: int | None) -> str | None:
        """Return the name of an outcome; None for ``VOID`` or when nothing is known."""
        return None if place is None or place == VOID else self.outcomes[place]

    def trader(self, agent_id: str) -> Trader:
        """Return what an agent has here, from now on if it had nothing."""
        trader = self.traders.get(agent_id)
        if trader is None:
            trader = self.traders[agent_id] = Trader(len(self.outcomes))
            self.total_traders += 1
        return trader

    # ── prices over time ────────────────────────────────────────────────────────────────────────

    def begin(self, now_us: int) -> None:
        """Let trading begin."""
        self.state = "open"
        self.began_us = self.priced_us = now_us

    def accrue(self, now_us: int) -> None:
        """Count the present prices for the time since they were counted last."""
        elapsed_us = now_us - self.priced_us
        if elapsed_us:
            self.averages = [sum_ + price * elapsed_us for sum_, price in zip(self.averages, self.prices, strict=True)]
            self.priced_us = now_us

    def reprice(self, outcome: int, price: int) -> None:
        """Let an outcome stand at what was last paid for a share; the others keep their proportions to each other."""
        before = self.prices
        now = min(max(price * (lmsr.ONE // SHARE), 0), lmsr.ONE)
        others = lmsr.ONE - before[outcome]
        count = len(before) - 1
        if others:
            prices = [each * (lmsr.ONE - now) // others for each in before]
        else:
            prices = [(lmsr.ONE - now) // count] * len(before)
        prices[outcome] = now
        # What rounding left goes to the first of the others.
        prices[0 if outcome else 1] += lmsr.ONE - sum(prices)
        self.prices = prices

    def weights(self) -> list[int]:
        """Return what a share of each outcome is worth of their sum when the market is void."""
        if not self.trades or not sum(self.averages):
            return [1] * len(self.outcomes)
        return self.averages

    # ── what is due ─────────────────────────────────────────────────────────────────────────────

    def due(self) -> list[tuple[str, int]]:
        """Return what every trader's shares pay by the resolution, rounded down."""
        weights = self.weights()
        total = sum(weights)
        place = self.resolution
        rows: list[tuple[str, int]] = []
        for name, trader in self.traders.items():
            if place is None or place == VOID:
                paid = sum([count * weight for count, weight in zip(trader.shares, weights, strict=True)]) // total
            else:
                paid = trader.shares[place]
            rows.append((name, paid))
        return rows

    def opponents(self, place: int) -> dict[str, None]:
        """Return who would get more if something else had happened: it may accept or dispute that report."""
        found: dict[str, None] = {}
        if self.subsidy and (place == VOID or self.sold[place] > min(self.sold)):
            found[self.creator] = None
        for name, trader in self.traders.items():
            if place == VOID:
                if min(trader.shares) < max(trader.shares):
                    found[name] = None
            elif trader.shares[place] < max(trader.shares):
                found[name] = None
        return found

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.kind, self.creator, self.question, self.detail, list(self.outcomes), self.liquidity,
            self.subsidy, self.closes_at_us, self.resolve_by_us, self.resolver, self.task, self.state,
            list(self.barred), self.performer, self.performer_owner, self.settlement, self.pot, self.sold,
            [[name, trader.dump()] for name, trader in self.traders.items()], self.trades, self.prices,
            [str(each) for each in self.averages], self.began_us, self.priced_us, self.book.dump(), self.closes_id,
            self.deadline_id, self.resolution, self.final_at_us, list(self.objectors), list(self.accepted),
            [[name, place] for name, place in self.claims.items()], self.dispute, self.ended, self.total_traders,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Market:
        """Return the market of which ``dump`` gave the state."""
        number, kind, creator, question, detail, outcomes, liquidity, subsidy, closes_at_us = state[:9]
        market = Market(
            number, kind, creator, question, detail, tuple(outcomes), liquidity, subsidy, closes_at_us, *state[9:12]
        )
        market.state, barred, market.performer, market.performer_owner = state[12:16]
        market.barred = dict.fromkeys(barred)
        market.settlement, market.pot, sold, traders, market.trades, prices, averages = state[16:23]
        market.sold, market.prices = list(sold), list(prices)
        for name, fields in traders:
            market.traders[name] = Trader.load(fields)
        market.averages = [int(each) for each in averages]
        market.began_us, market.priced_us, book, market.closes_id, market.deadline_id = state[23:28]
        market.book.load(book)
        market.resolution, market.final_at_us, objectors, accepted, claims = state[28:33]
        market.dispute, market.ended, market.total_traders = state[33:]
        market.objectors, market.accepted = dict.fromkeys(objectors), dict.fromkeys(accepted)
        market.claims = {name: place for name, place in claims}  # noqa: C416 - pairs are lists in snapshots
        return market
