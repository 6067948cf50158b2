"""Resolve markets: reports, disputes, void, and what shares pay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.mechanisms.base import VENUE_SCOPE
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import DisputeTerms, EvidenceGiven, PredictionFinal
from exchange.mechanisms.predictions.market import VOID, Market
from exchange.mechanisms.predictions.opening import NO, YES
from exchange.messages.predictions import PredictionEnded, PredictionReported
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.facts import DisputeDecided, DisputeOpened, TaskFinal
    from exchange.mechanisms.predictions.mechanism import Predictions
    from exchange.messages.base import Outcome
    from exchange.messages.predictions import AcceptResolution, ClaimOutcome, EndReason, ResolvePrediction

__all__ = ["Resolving"]

_SECOND_US: Final = 1_000_000
_TWO: Final = 2
_DOMAIN: Final = "forecast"

Violation = tuple[Reason, str]


class Resolving:
    """Lead a market from the end of its trading to the end of its money."""

    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions
        self._context = predictions.context

    # ── reports ─────────────────────────────────────────────────────────────────────────────────

    def resolve(self, agent: AgentRecord, command: ResolvePrediction) -> Outcome:
        """Take a report; it is final when nobody disputes it in time."""
        context = self._context
        market = self._predictions.find(command, command.market)
        if not isinstance(market, Market):
            return market
        if agent.agent_id != market.resolver:
            who = market.resolver or f"what comes of task {market.task}"
            return context.reject(command, Reason.NOT_PERMITTED, f"{who} resolves market {market.number}")
        if market.state not in ("open", "closed"):
            return context.reject(command, Reason.WRONG_STATE, f"market {market.number} is {market.state}")
        place = self._said(market, command)
        if not isinstance(place, int):
            return place
        if market.state == "open":
            self._predictions.stop(market, "reported")
        context.deadlines.cancel(market.deadline_id)
        market.resolution, market.state = place, "reported"
        market.objectors = market.opponents(place)
        # Who resolves a market has been able to since it was opened: that was when trading began.
        window_us = context.setting_at("dispute_window_seconds", market.began_us) * _SECOND_US
        final_at_us = context.time_us + window_us
        market.final_at_us = final_at_us if market.objectors else context.time_us
        self._predictions.tell(
            market,
            lambda: PredictionReported(
                market=market.number, outcome=market.name_of(place), final_at_us=market.final_at_us
            ),
        )
        if market.objectors:
            kind = "predictions.finalize"
            market.deadline_id = context.deadlines.schedule_act(final_at_us, kind, VENUE_SCOPE, market.number)
        else:
            market.deadline_id = 0
            self.finalize(market.number)
        return context.accept(command)

    def _said(self, market: Market, command: ResolvePrediction | ClaimOutcome) -> int | Outcome:
        """Return what is said to have happened, or the rejection of a command that says nothing, or two things."""
        if (command.outcome is None) != command.void:
            return self._context.reject(
                command, Reason.MISSING_FIELD, "give either outcome or void, which is true then"
            )
        if command.outcome is None:
            return VOID
        place = market.place_of(command.outcome)
        return self._predictions.trading.reject_outcome(command, market, command.outcome) if place is None else place

    def accept(self, agent: AgentRecord, command: AcceptResolution) -> Outcome:
        """Take that somebody accepts a report that goes against it; with the last it is final."""
        context = self._context
        market = self._predictions.find(command, command.market)
        if not isinstance(market, Market):
            return market
        problem = self._check_objector(market, agent)
        if problem is not None:
            return context.reject(command, *problem)
        if agent.agent_id in market.accepted:
            return context.reject(command, Reason.NO_CHANGE, f"{agent.agent_id} has accepted it")
        market.accepted[agent.agent_id] = None
        if len(market.accepted) == len(market.objectors):
            context.deadlines.cancel(market.deadline_id)
            self.finalize(market.number)
        return context.accept(command)

    def claim(self, agent: AgentRecord, command: ClaimOutcome) -> Outcome:
        """Note what a dispute that this agent may open is to come to."""
        context = self._context
        market = self._predictions.find(command, command.market)
        if not isinstance(market, Market):
            return market
        problem = self._check_objector(market, agent)
        if problem is not None:
            return context.reject(command, *problem)
        place = self._said(market, command)
        if not isinstance(place, int):
            return place
        if place == market.resolution or market.claims.get(agent.agent_id) == place:
            return context.reject(command, Reason.NO_CHANGE, "it was reported, or claimed by this agent, like that")
        market.claims[agent.agent_id] = place
        return context.accept(command)

    def _check_objector(self, market: Market, agent: AgentRecord) -> Violation | None:
        if market.state != "reported":
            return Reason.WRONG_STATE, f"market {market.number} is {market.state}: nothing waits to be final"
        if agent.agent_id not in market.objectors:
            return Reason.NOT_PERMITTED, f"the report does not go against {agent.agent_id}"
        return None

    def finalize(self, number: int) -> None:
        """Let a report count; also fires as a deadline."""
        market = self._predictions.live[number]
        market.deadline_id = 0
        self._end(market, "void" if market.resolution == VOID else "resolved")

    def give_up(self, number: int) -> None:
        """Let a market be void that nobody has resolved in time."""
        market = self._predictions.live[number]
        market.deadline_id = 0
        if market.state == "open":
            self._predictions.stop(market, "closes_at")
        market.resolution = VOID
        self._end(market, "unresolved")

    # ── disputes ────────────────────────────────────────────────────────────────────────────────

    def dispute_terms(self, number: int, agent: AgentRecord) -> DisputeTerms | Violation:
        """Return what a dispute over a report would be about, if this agent may begin one now.

        The resolver answers for what it said.
        """
        market = self._predictions.live.get(number)
        if market is None:
            return Reason.UNKNOWN_PREDICTION, f"no market {number} that has not ended"
        if market.dispute is not None:
            return Reason.ALREADY_DISPUTED, f"dispute {market.dispute} was the one there may be"
        problem = self._check_objector(market, agent)
        if problem is not None:
            return problem
        owners = (self._predictions.owner_of(market.creator),)
        at_stake = self._at_stake(market, agent.agent_id)
        return DisputeTerms(agent.agent_id, market.resolver or "", at_stake, owners, market.cause)

    @staticmethod
    def _at_stake(market: Market, agent_id: str) -> int:
        """Return what an agent would get more, at most, if something else had happened."""
        place = market.resolution
        trader = market.traders.get(agent_id)
        if place is None or place == VOID:
            return 0 if trader is None else max(trader.shares)
        gain = 0 if trader is None else max(trader.shares) - trader.shares[place]
        if agent_id == market.creator and market.subsidy:
            gain = max(gain, market.sold[place] - min(market.sold))
        return gain

    def freeze(self, fact: DisputeOpened) -> None:
        """Let a report wait for its dispute, and keep what the disputer claims."""
        if fact.family != self._predictions.family:
            return
        market = self._predictions.live[fact.number]
        self._context.deadlines.cancel(market.deadline_id)
        market.deadline_id, market.dispute, market.state = 0, fact.dispute, "disputed"
        is_binary = len(market.outcomes) == _TWO and market.resolution != VOID
        other = 1 - (market.resolution or 0) if is_binary else VOID
        market.claims = {fact.disputer: market.claims.get(fact.disputer, other)}
        self._predictions.tally.count("disputed_total")

    def decide(self, fact: DisputeDecided) -> None:
        """End a market whose dispute is decided: by the claim if it was upheld, else by the report."""
        if fact.family != self._predictions.family:
            return
        market = self._predictions.live[fact.number]
        if fact.upheld:
            market.resolution = next(iter(market.claims.values()))
        self.finalize(market.number)

    # ── tasks ───────────────────────────────────────────────────────────────────────────────────

    def settle_award(self, market: Market, *, is_completed: bool) -> None:
        """Resolve a market by what came of the award, for good."""
        if market.state == "open":
            self._predictions.stop(market, "delivered" if is_completed else "failed")
        market.resolution = YES if is_completed else NO
        self._end(market, "resolved")

    def note_task(self, fact: TaskFinal) -> None:
        """Give the subsidy back of a market about a task that ends without an award."""
        market = self._predictions.live.get(self._predictions.by_task.get(fact.task, 0))
        if market is not None:
            self._end(market, "unawarded")

    # ── the end ─────────────────────────────────────────────────────────────────────────────────

    def _end(self, market: Market, reason: EndReason) -> None:
        """Pay every share and give the creator the rest, in one step; score the forecasters."""
        predictions, context = self._predictions, self._context
        escrow, rest = escrow_of(market.cause), market.pot
        paid = dict(market.due())
        posting = context.cashier.posting(market.cause)
        for name, amount in paid.items():
            posting.pay(escrow, name, amount)
            rest -= amount
        posting.give_back(escrow, market.creator, rest)
        posting.post()
        market.ended = reason
        market.pot = 0
        market.state = "resolved" if reason == "resolved" else "lapsed" if reason == "unawarded" else "void"
        tally = predictions.tally
        tally.count("ended_total", reason)
        tally.count("subsidy_credits_total", by=market.subsidy)
        # What traders paid in beyond that is the creator's gain; a counter does not fall.
        tally.count("subsidy_lost_credits_total", by=max(market.subsidy - rest, 0))
        tally.count("payout_credits_total", by=sum(paid.values()))
        paid[market.creator] = paid.get(market.creator, 0) + rest
        names = [market.creator, *market.traders]
        if market.resolver is not None:
            names.append(market.resolver)
        for name in dict.fromkeys(names):
            event = PredictionEnded(
                market=market.number, reason=reason, outcome=market.name_of(market.resolution), paid=paid.get(name, 0)
            )
            self._score(market, name, event)
            context.emit(context.agents[name], event)
        predictions.finish(market)
        context.announce(PredictionFinal(market.number, market.name_of(market.resolution)))

    def _score(self, market: Market, name: str, event: PredictionEnded) -> None:
        """Let what an agent's forecasts were worth count for its reputation; the creator is on the other side."""
        place, trader = market.resolution, market.traders.get(name)
        if place is None or place == VOID or trader is None or not trader.stake:
            return
        event.scored = True
        event.brier, event.log = trader.brier_points(place), trader.log_points(place)
        self._predictions.tally.count("forecasters_total")
        self._context.announce(EvidenceGiven(name, _DOMAIN, event.brier, trader.stake, market.creator))
