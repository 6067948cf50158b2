"""Trade with the market maker, and mint and merge complete sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.mechanisms.cashier import escrow_of, whole_credits
from exchange.mechanisms.predictions import lmsr
from exchange.mechanisms.predictions.market import Market
from exchange.mechanisms.predictions.opening import NO
from exchange.messages.base import MAX_AMOUNT
from exchange.messages.predictions import SHARE, SharesTraded, TradeOutcome
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.predictions.market import Trader
    from exchange.mechanisms.predictions.mechanism import Predictions
    from exchange.messages.base import Command, Outcome
    from exchange.messages.predictions import BuyShares, MarketKind, MergeSets, MintSets, SellShares, Side

__all__ = ["Trading"]

Violation = tuple[Reason, str]


class Trading:
    """Take trades; every one costs the same, however many markets and traders there are."""

    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions
        self._context = predictions.context

    # ── guards ──────────────────────────────────────────────────────────────────────────────────

    def check_market(self, market: Market, kind: MarketKind) -> Violation | None:
        """Return why nobody can trade in a market in this way now."""
        if market.kind != kind:
            what = "orders and sets" if market.kind == "book" else "a market maker"
            return Reason.WRONG_STATE, f"market {market.number} is of kind {market.kind}: it has {what}"
        if market.state != "open" or self._context.time_us >= market.closes_at_us:
            return Reason.WRONG_STATE, f"market {market.number} is {market.state}: nobody trades there now"
        return None

    def check_trader(self, market: Market, agent: AgentRecord) -> Violation | None:
        """Return why an agent may not trade in a market."""
        if agent.owner in market.barred:
            return Reason.INSIDER, "poster, attesters and resolvers, and their owners' agents, do not trade here"
        cap = self._context.settings.max_prediction_traders
        if agent.agent_id not in market.traders and len(market.traders) >= cap:
            return Reason.TOO_MANY_TRADERS, f"{cap} agents trade in market {market.number}, and there may be no more"
        return None

    def check_hope(self, market: Market, agent: AgentRecord, outcome: int | None) -> Violation | None:
        """Return why an agent may not get shares of an outcome, or of all (None)."""
        if agent.owner == market.performer_owner and (outcome is None or outcome == NO):
            return Reason.INSIDER, f"{market.performer} does the task: its owner holds nothing that pays if it fails"
        return None

    def _check(self, market: Market, agent: AgentRecord, kind: MarketKind) -> Violation | None:
        return self.check_market(market, kind) or self.check_trader(market, agent)

    def reject_outcome(self, command: Command, market: Market, name: str) -> Outcome:
        """Reject what names an outcome that a market does not have."""
        detail = f"market {market.number} has no outcome {name!r}; it has {', '.join(market.outcomes)}"
        return self._context.reject(command, Reason.UNKNOWN_PREDICTED_OUTCOME, detail)

    # ── the market maker ────────────────────────────────────────────────────────────────────────

    def buy(self, agent: AgentRecord, command: BuyShares) -> Outcome:
        """Sell an agent shares at what C rises by, rounded up."""
        context = self._context
        market = self._predictions.find(command, command.market)
        if not isinstance(market, Market):
            return market
        problem = self._check(market, agent, "lmsr")
        if problem is not None:
            return context.reject(command, *problem)
        place = market.place_of(command.outcome)
        if place is None:
            return self.reject_outcome(command, market, command.outcome)
        after = market.sold[place] + command.shares
        problem = self.check_hope(market, agent, place) or self.check_size(market, after)
        if problem is not None:
            return context.reject(command, *problem)
        change, prices = lmsr.moved(market.liquidity, market.sold, place, after, market.terms)
        cost = lmsr.charged(change)
        if cost > command.max_cost:
            return context.reject(command, Reason.PRICE_MOVED, f"it costs {whole_credits(cost)} now")
        problem = context.cashier.check(agent, cost)
        if problem is not None:
            return context.reject(command, *problem)
        posting = context.cashier.posting(market.cause)
        posting.fund(agent.agent_id, escrow_of(market.cause), cost)
        posting.post()
        market.pot += cost
        return self._note(market, agent, command, place, command.shares, cost, prices, "buy")

    def check_size(self, market: Market, after: int) -> Violation | None:
        """Return why the maker sells no more of an outcome than there would be ``after``."""
        if after > MAX_AMOUNT:
            return Reason.NOTIONAL_TOO_LARGE, f"there would be more than {MAX_AMOUNT} of these shares"
        if after - min(market.sold) > lmsr.SPREAD_MAX * market.liquidity:
            detail = f"no outcome gets ahead of another by more than {lmsr.SPREAD_MAX} times the liquidity"
            return Reason.INVALID_QUANTITY, detail
        return None

    def sell(self, agent: AgentRecord, command: SellShares) -> Outcome:
        """Buy shares back at what C falls by, rounded down."""
        context = self._context
        market = self._predictions.find(command, command.market)
        if not isinstance(market, Market):
            return market
        problem = self._check(market, agent, "lmsr")
        if problem is not None:
            return context.reject(command, *problem)
        place = market.place_of(command.outcome)
        if place is None:
            return self.reject_outcome(command, market, command.outcome)
        trader = market.traders.get(agent.agent_id)
        has = 0 if trader is None else trader.free(place)
        if command.shares > has:
            return context.reject(command, Reason.INSUFFICIENT_SHARES, f"{has} of {command.outcome} are there")
        after = market.sold[place] - command.shares
        change, prices = lmsr.moved(market.liquidity, market.sold, place, after, market.terms)
        proceeds = lmsr.paid(change)
        if proceeds < command.min_proceeds:
            return context.reject(command, Reason.PRICE_MOVED, f"they bring {whole_credits(proceeds)} now")
        posting = context.cashier.posting(market.cause)
        posting.give_back(escrow_of(market.cause), agent.agent_id, proceeds)
        posting.post()
        market.pot -= proceeds
        return self._note(market, agent, command, place, -command.shares, proceeds, prices, "sell")

    def _note(
        self,
        market: Market,
        agent: AgentRecord,
        command: BuyShares | SellShares,
        place: int,
        shares: int,
        amount: int,
        prices: list[int],
        side: Side,
    ) -> Outcome:
        """Write down a trade with the maker that is paid for."""
        context = self._context
        trader = self.know(market, agent)
        market.accrue(context.time_us)
        market.sold[place] += shares
        trader.shares[place] += shares
        if self.is_scored(market, agent):
            trader.note_move(market.prices, prices, amount)
        market.prices = prices
        market.trades += 1
        self.count(market, side, amount)
        context.emit(
            agent,
            SharesTraded(market=market.number, outcome=command.outcome, side=side, shares=command.shares, value=amount),
        )
        return TradeOutcome(command.id, "accepted", context.stamp, amount=amount, shares=trader.shares[place])

    # ── complete sets ───────────────────────────────────────────────────────────────────────────

    def mint(self, agent: AgentRecord, command: MintSets) -> Outcome:
        """Give an agent a share of every outcome for each credit."""
        context = self._context
        market = self._predictions.find(command, command.market)
        if not isinstance(market, Market):
            return market
        shares = command.sets * SHARE
        problem = self._check(market, agent, "book") or self.check_hope(market, agent, None)
        if problem is None and market.pot + shares > MAX_AMOUNT:
            problem = Reason.NOTIONAL_TOO_LARGE, f"there would be more than {MAX_AMOUNT} of these shares"
        if problem is None:
            problem = context.cashier.check(agent, shares)
        if problem is not None:
            return context.reject(command, *problem)
        posting = context.cashier.posting(market.cause)
        posting.fund(agent.agent_id, escrow_of(market.cause), shares)
        posting.post()
        return self._change_sets(market, agent, command, shares)

    def merge(self, agent: AgentRecord, command: MergeSets) -> Outcome:
        """Take a share of every outcome back for each credit, as long as there is trade."""
        context = self._context
        market = self._predictions.find(command, command.market)
        if not isinstance(market, Market):
            return market
        problem = self.check_market(market, "book")
        if problem is not None:
            return context.reject(command, *problem)
        shares = command.sets * SHARE
        trader = market.traders.get(agent.agent_id)
        has = 0 if trader is None else min([trader.free(place) for place in range(len(market.outcomes))])
        if shares > has:
            return context.reject(command, Reason.INSUFFICIENT_SHARES, f"{has // SHARE} whole sets are there")
        posting = context.cashier.posting(market.cause)
        posting.give_back(escrow_of(market.cause), agent.agent_id, shares)
        posting.post()
        return self._change_sets(market, agent, command, -shares)

    def _change_sets(self, market: Market, agent: AgentRecord, command: MintSets | MergeSets, shares: int) -> Outcome:
        trader = self.know(market, agent)
        market.pot += shares
        for place in range(len(market.outcomes)):
            market.sold[place] += shares
            trader.shares[place] += shares
        return TradeOutcome(command.id, "accepted", self._context.stamp, amount=abs(shares), shares=min(trader.shares))

    # ── what all trades need ────────────────────────────────────────────────────────────────────

    def know(self, market: Market, agent: AgentRecord) -> Trader:
        """Return what an agent has in a market, which it is a trader of from now on."""
        if agent.agent_id not in market.traders:
            self._predictions.by_agent.setdefault(agent.agent_id, {})[market.number] = None
            market.owners[agent.owner] = None
        return market.trader(agent.agent_id)

    def is_scored(self, market: Market, agent: AgentRecord) -> bool:
        """Return whether an agent's moves count: not in markets of its own owner, nor about what that does itself."""
        return agent.owner not in (self._predictions.owner_of(market.creator), market.performer_owner)

    def count(self, market: Market, side: Side, amount: int) -> None:
        """Count a trade for the metrics."""
        self._predictions.tally.count("trades_total", market.kind, side)
        self._predictions.tally.count("traded_credits_total", by=amount)
