"""Open markets: check what they are opened with, put the subsidy into escrow, and let trading begin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from exchange.mechanisms.base import VENUE_SCOPE
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.predictions import lmsr
from exchange.mechanisms.predictions.market import Market
from exchange.messages.base import MAX_AMOUNT
from exchange.messages.predictions import PredictionBegan, PredictionOpened, PredictionOutcome
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.facts import SettlementOpened
    from exchange.mechanisms.predictions.mechanism import Predictions
    from exchange.messages.base import Outcome
    from exchange.messages.predictions import OpenPrediction

__all__ = ["NO", "YES", "Opening", "TaskDirectory"]

_LATEST_US: Final = 366 * 86_400_000_000

YES: Final = 0
"""The place of the outcome that a task's award is completed."""

NO: Final = 1
"""The place of the outcome that it is not."""

_ABOUT_A_TASK: Final = ["yes", "no"]

Violation = tuple[Reason, str]


class TaskDirectory(Protocol):
    """Say what this mechanism needs to know about tasks."""

    def outline_of(self, number: int) -> tuple[str, str | None, int, str | None] | None:
        """Return poster, attester, deadline and, once awarded, winner of a task that has not ended."""


class Opening:
    """Lead a market to its first trade."""

    def __init__(self, predictions: Predictions) -> None:
        self._predictions = predictions
        self._context = predictions.context

    def open(self, agent: AgentRecord, command: OpenPrediction) -> Outcome:
        """Open a market; what its maker can lose goes into escrow."""
        predictions, context = self._predictions, self._context
        problem = self._check_kind(command) or (
            self._check_question(agent, command) if command.task is None else self._check_task(agent, command)
        )
        if problem is not None:
            return context.reject(command, *problem)
        cap = context.settings.max_open_predictions
        if predictions.opened_by.get(agent.owner, 0) >= cap:
            detail = f"an owner has at most {cap} markets that have not ended"
            return context.reject(command, Reason.TOO_MANY_PREDICTIONS, detail)
        liquidity = subsidy = 0
        if command.kind == "lmsr":
            liquidity = context.settings.prediction_liquidity if command.liquidity is None else command.liquidity
            subsidy = lmsr.subsidy_of(liquidity, len(command.outcomes))
        if subsidy > MAX_AMOUNT:
            return context.reject(command, Reason.NOTIONAL_TOO_LARGE, f"the subsidy comes to more than {MAX_AMOUNT}")
        problem = context.cashier.check(agent, subsidy)
        if problem is not None:
            return context.reject(command, *problem)
        market = self._create(agent, command, liquidity, subsidy)
        return PredictionOutcome(command.id, "accepted", context.stamp, market=market.number, subsidy=subsidy)

    def _create(self, agent: AgentRecord, command: OpenPrediction, liquidity: int, subsidy: int) -> Market:
        predictions, context = self._predictions, self._context
        predictions.last_market = number = predictions.last_market + 1
        attester, deadline_us = command.resolver, 0
        if command.task is not None:
            _, attester, deadline_us, _ = self._outline(command.task) or ("", None, 0, None)
        market = Market(
            number,
            command.kind,
            agent.agent_id,
            command.question,
            command.detail,
            tuple(command.outcomes),
            liquidity,
            subsidy,
            command.closes_at_us or deadline_us,
            command.resolve_by_us or 0,
            command.resolver,
            command.task,
        )
        # Who decides what happens, or says so, does not bet on it.
        insiders = [attester] if command.task is None else [agent.agent_id, attester]
        market.barred = dict.fromkeys([predictions.owner_of(name) for name in insiders if name is not None])
        posting = context.cashier.posting(market.cause)
        posting.fund(agent.agent_id, escrow_of(market.cause), subsidy)
        posting.post()
        deadlines = context.deadlines
        # Nobody has to do anything by then, and what is asked may be known after: no halt moves it.
        market.closes_id = deadlines.schedule(market.closes_at_us, "predictions.close", number)
        if market.task is None:
            market.begin(context.time_us)
            kind = "predictions.give_up"
            market.deadline_id = deadlines.schedule_act(market.resolve_by_us, kind, VENUE_SCOPE, number)
        predictions.index(market)
        predictions.tally.count("opened_total", market.kind)
        predictions.tell(
            market,
            lambda: PredictionOpened(
                market=number,
                question=market.question,
                outcomes=list(market.outcomes),
                kind=market.kind,
                creator=market.creator,
                closes_at_us=market.closes_at_us,
                subsidy=subsidy,
                pending=market.task is not None,
                task=market.task,
            ),
        )
        return market

    # ── guards ──────────────────────────────────────────────────────────────────────────────────

    def _check_kind(self, command: OpenPrediction) -> Violation | None:
        if len(dict.fromkeys(command.outcomes)) != len(command.outcomes):
            return Reason.INVALID_PREDICTION_TERMS, "two outcomes have the same name"
        if command.kind == "book" and command.liquidity is not None:
            return Reason.FIELD_NOT_ALLOWED, "a market of kind book has no maker, and so no liquidity"
        return None

    def _check_question(self, agent: AgentRecord, command: OpenPrediction) -> Violation | None:
        context, closes_at_us, resolve_by_us = self._context, command.closes_at_us, command.resolve_by_us
        if closes_at_us is None or resolve_by_us is None or command.resolver is None:
            detail = "closes_at_us, resolve_by_us and resolver are needed where the market is not about a task"
            return Reason.MISSING_FIELD, detail
        if closes_at_us <= context.time_us:
            return Reason.INVALID_PREDICTION_TERMS, f"closes_at_us is after venue time {context.time_us}"
        if resolve_by_us <= closes_at_us:
            return Reason.INVALID_PREDICTION_TERMS, "resolve_by_us is after closes_at_us"
        if resolve_by_us > context.time_us + _LATEST_US:
            return Reason.INVALID_PREDICTION_TERMS, "resolve_by_us is at most 366 days ahead"
        resolver = context.agents.get(command.resolver)
        if resolver is None or resolver.state == "revoked" or "attester" not in resolver.roles:
            return Reason.UNKNOWN_AGENT, f"{command.resolver} is no attester"
        if resolver.owner == agent.owner:
            return (
                Reason.SAME_OWNER,
                f"{command.resolver} is of the creator's owner, whose subsidy hangs on what it says",
            )
        return None

    def _check_task(self, agent: AgentRecord, command: OpenPrediction) -> Violation | None:
        number, closes_at_us = command.task or 0, command.closes_at_us
        if command.resolver is not None or command.resolve_by_us is not None:
            return Reason.FIELD_NOT_ALLOWED, "what comes of the award resolves a market about a task"
        if list(command.outcomes) != _ABOUT_A_TASK:
            return Reason.INVALID_PREDICTION_TERMS, "the outcomes of a market about a task are yes and no"
        outline = self._outline(number)
        if outline is None:
            return Reason.UNKNOWN_TASK, f"no task {number} that has not ended"
        poster, _, deadline_us, winner = outline
        if poster != agent.agent_id:
            return Reason.NOT_PERMITTED, f"{poster} posted task {number}"
        if winner is not None:
            return Reason.WRONG_STATE, f"task {number} is awarded already"
        if number in self._predictions.by_task:
            return Reason.NO_CHANGE, f"market {self._predictions.by_task[number]} is about task {number}"
        if closes_at_us is not None and not self._context.time_us < closes_at_us <= deadline_us:
            detail = f"closes_at_us is after venue time {self._context.time_us}, and at most the deadline {deadline_us}"
            return Reason.INVALID_PREDICTION_TERMS, detail
        return None

    def _outline(self, task: int) -> tuple[str, str | None, int, str | None] | None:
        tasks = self._predictions.tasks
        return None if tasks is None else tasks.outline_of(task)

    # ── awards ──────────────────────────────────────────────────────────────────────────────────

    def begin(self, fact: SettlementOpened) -> None:
        """Let trading begin with the award of the task that a market is about."""
        family, _, task = fact.origin.partition(":")
        number = self._predictions.by_task.get(int(task), 0) if family == "tasks" else 0
        market = self._predictions.live.get(number)
        outline = self._outline(int(task)) if market is not None else None
        if market is None or outline is None or market.settlement:
            return
        winner = outline[3]
        if winner is None:
            return
        market.settlement = fact.settlement
        market.performer, market.performer_owner = winner, self._predictions.owner_of(winner)
        if market.state != "pending":
            # Its time to trade was over before the award: it only waits for what comes of it.
            return
        market.begin(self._context.time_us)
        creator = self._context.agents[market.creator]
        self._context.emit(creator, PredictionBegan(market=market.number, task=int(task)))
