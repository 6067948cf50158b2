"""Close auctions: enter standing bids, decide, offer, award, reopen, and end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from exchange.mechanisms.base import VENUE_SCOPE
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import SettlementAgreed, SettlementTerms, TaskFinal, UrgentAuctionClosed
from exchange.mechanisms.tasks import pricing
from exchange.mechanisms.tasks.standing import matches
from exchange.mechanisms.tasks.task import Award, Bid, Task
from exchange.messages.tasks import TaskAwarded, TaskCanceled, TaskClosed, TaskEnded, TaskOffered, TaskRoundOpened

if TYPE_CHECKING:
    from exchange.mechanisms.facts import SettlementFinal, SettlementOpened
    from exchange.mechanisms.tasks.mechanism import Tasks
    from exchange.mechanisms.tasks.task import StandingBid
    from exchange.messages.tasks import EndReason, TaskState

__all__ = ["Closing"]

_SECOND_US: Final = 1_000_000
_REMEMBERED: Final = 1_000
"""So many ended tasks can still be asked for."""

_PPM_PER_POINT: Final = 10_000
_LATE_PERCENT: Final = 5

_STATES: Final[dict[EndReason, TaskState]] = {
    "completed": "completed",
    "failed": "failed",
    "no_bids": "unawarded",
    "unfunded": "failed",
    "canceled": "canceled",
    "revoked": "canceled",
}


class Closing:
    """Lead a task from its first round to its end."""

    def __init__(self, tasks: Tasks) -> None:
        self._tasks = tasks
        self._context = tasks.context

    # ── rounds ──────────────────────────────────────────────────────────────────────────────────

    def open_round(self, task: Task) -> None:
        """Take bids for a round; its premium is fixed now."""
        context, terms = self._context, task.terms
        task.round += 1
        task.state = "open"
        task.award = None
        task.decided = {}
        task.closes_at_us = context.time_us + terms.round_us
        left_us = terms.deadline_us - context.time_us
        premium = pricing.urgency_ppm(terms.effort_minutes, left_us, context.settings.urgency_premium_ppm)
        task.reserve = pricing.urgent_reserve(terms.reserve, premium, terms.direction, terms.max_price)
        task.deadline_id = context.deadlines.schedule_act(task.closes_at_us, "tasks.close", VENUE_SCOPE, task.number)
        self._tasks.list_open(task)
        event = TaskRoundOpened(
            task=task.number, round=task.round, closes_at_us=task.closes_at_us, reserve=task.reserve
        )
        context.emit(context.agents[terms.poster], event)

    def _has_another_round(self, task: Task) -> bool:
        terms = task.terms
        return task.round < terms.max_rounds and self._context.time_us + terms.round_us < terms.deadline_us

    def close(self, number: int) -> None:
        """End a round: standing bids enter, and the best bid wins."""
        task = self._tasks.tasks[number]
        task.deadline_id = 0
        self._tasks.unlist(task)
        if task.terms.direction == "procurement":
            self._enter_standing_bids(task)
        self._decide(task)

    # ── standing bids ───────────────────────────────────────────────────────────────────────────

    def _enter_standing_bids(self, task: Task) -> None:
        """Let the best standing bid of each owner in that has no sealed one."""
        entered: dict[str, Bid] = {}
        for standing in self._tasks.standing.matching(task.terms):
            if standing.owner in task.bids:
                continue
            price = self._standing_price(task, standing)
            if price is None:
                continue
            best = entered.get(standing.owner)
            if best is None or price < best.price:
                self._tasks.last_bid += 1
                number = self._tasks.last_bid
                entered[standing.owner] = Bid(number, standing.agent, standing.owner, price, 0, is_standing=True)
        task.bids.update(entered)

    def _standing_price(self, task: Task, standing: StandingBid) -> int | None:
        """Return what a standing bid asks for a task; None if it cannot have it."""
        tasks, context, terms = self._tasks, self._context, task.terms
        agent = context.agents[standing.agent]
        awards = tasks.awards_of.get(standing.agent, 0)
        if agent.state != "active" or awards >= standing.capacity or tasks.check_bidder(task, agent) is not None:
            return None
        if tasks.score_of(terms.poster, "payment") < standing.min_payer_reputation * _PPM_PER_POINT:
            return None
        if context.cashier.check(agent, terms.bond) is not None:
            return None
        price = _asks(standing, task, awards)
        return price if price <= task.reserve else None

    # ── deciding ────────────────────────────────────────────────────────────────────────────────

    def _decide(self, task: Task) -> None:
        """Award a closed round, or offer it to a standing bid that may decline, or end it without either."""
        while task.bids and self._context.time_us < task.terms.deadline_us:
            best, price = self._winner(task)
            if not best.is_standing:
                self._award(task, best, price)
                return
            if self._may_be_offered(task, best):
                self._offer(task, best, price)
                return
            self._tasks.forget_bid(task, best)
        self._end_round(task)

    def _may_be_offered(self, task: Task, best: Bid) -> bool:
        """Return whether a standing bid still stands: others may have had their minute before it.

        It may have changed meanwhile: what takes the task no more, or would ask more by now, is not offered it.
        """
        standing, agent = self._tasks.standing.by_agent.get(best.agent), self._context.agents[best.agent]
        if standing is None or agent.state != "active" or not matches(standing, task.terms):
            return False
        awards = self._tasks.awards_of.get(best.agent, 0)
        return (
            awards < standing.capacity
            and self._context.cashier.check(agent, task.terms.bond) is None
            and _asks(standing, task, awards) <= best.price
        )

    def _winner(self, task: Task) -> tuple[Bid, int]:
        terms = task.terms
        ranked = pricing.rank([bid.ranked for bid in task.bids.values()], terms.direction)
        price = pricing.price_of(ranked, terms.direction, terms.pricing, task.reserve)
        if terms.direction == "procurement":
            price = max(price, terms.floor)
        best = next(bid for bid in task.bids.values() if bid.bid == ranked[0].bid)
        return best, price

    def _end_round(self, task: Task) -> None:
        """Give every hold back; begin another round where there is one."""
        context = self._context
        posting = context.cashier.posting(task.cause)
        for bid in task.bids.values():
            posting.release(bid.agent, bid.held)
        posting.post()
        listeners = [task.terms.poster, *(bid.agent for bid in task.bids.values())]
        for bid in list(task.bids.values()):
            self._tasks.forget_bid(task, bid)
        for name in dict.fromkeys(listeners):
            context.emit(context.agents[name], TaskClosed(task=task.number, round=task.round))
        self._tasks.tally.count("rounds_total", "unawarded")
        self._tell_if_urgent(task, is_awarded=False)
        if self._has_another_round(task):
            self.open_round(task)
        else:
            self._end(task, "no_bids")

    # ── offers ──────────────────────────────────────────────────────────────────────────────────

    def _offer(self, task: Task, best: Bid, price: int) -> None:
        """Let a standing bid's agent decline for a while; its bond is held meanwhile."""
        context, bond = self._context, task.terms.bond
        posting = context.cashier.posting(task.cause)
        posting.hold(best.agent, bond)
        posting.post()
        task.bids[best.owner] = best._replace(held=bond)
        task.state, task.offered = "offered", best.owner
        self._begin_award(best.agent)
        self._tasks.offers_of.setdefault(best.agent, {})[task.number] = None
        until_us = context.time_us + context.settings.decline_seconds * _SECOND_US
        kind = "tasks.accept_by_silence"
        task.deadline_id = context.deadlines.schedule_act(until_us, kind, VENUE_SCOPE, task.number)
        event = TaskOffered(task=task.number, title=task.terms.title, price=price, until_us=until_us)
        context.emit(context.agents[best.agent], event)

    def accept_by_silence(self, number: int) -> None:
        """Award what was not declined, unless its agent may take on nothing new by now."""
        task = self._tasks.tasks[number]
        task.deadline_id = 0
        if task.offered is not None and self._context.agents[task.bids[task.offered].agent].state != "active":
            self.decline_offer(task)
        else:
            self.accept_offer(task)

    def accept_offer(self, task: Task) -> None:
        """Award the task to whom it is offered."""
        best, price = self._withdraw_offer(task)
        if self._context.time_us >= task.terms.deadline_us:
            self._end_round(task)
        else:
            self._award(task, best, price)

    def decline_offer(self, task: Task) -> None:
        """Let the next bid win; the price is computed anew, without the one that declined."""
        best, _ = self._withdraw_offer(task)
        self._tasks.tally.count("declined_total")
        posting = self._context.cashier.posting(task.cause)
        posting.release(best.agent, best.held)
        posting.post()
        self._tasks.forget_bid(task, best)
        self._decide(task)

    def _withdraw_offer(self, task: Task) -> tuple[Bid, int]:
        self._context.deadlines.cancel(task.deadline_id)
        task.deadline_id = 0
        task.offered = None
        best, price = self._winner(task)
        self._end_award(best.agent)
        offers = self._tasks.offers_of[best.agent]
        del offers[task.number]
        if not offers:
            del self._tasks.offers_of[best.agent]
        return best, price

    # ── awards ──────────────────────────────────────────────────────────────────────────────────

    def _award(self, task: Task, best: Bid, price: int) -> None:
        """Give the work to a bid, and its money to a settlement."""
        context, tasks, terms = self._context, self._tasks, task.terms
        bids = list(task.bids.values())
        task.state = "awarded"
        task.award = Award(best.agent, best.owner, price, len(bids), context.time_us, 0, best.unsecured)
        escrow = f"{escrow_of(task.cause)}:{task.round}"
        is_sale = terms.direction == "sale"
        self._post_award(task, best, price, escrow)
        task.decided = dict(task.bids)
        for bid in bids:
            tasks.forget_bid(task, bid)
        if best.unsecured:
            tasks.unsecured[best.owner] = task.number
        self._begin_award(best.agent)
        tasks.tally.count("rounds_total", "awarded")
        tasks.tally.count("awards_total", terms.direction, terms.pricing)
        tasks.tally.count("bids_total", by=len(bids))
        tasks.tally.count("awarded_credits_total", terms.direction, by=price)
        tasks.tally.count("reserve_credits_total", terms.direction, by=task.reserve)
        for name in dict.fromkeys([terms.poster, *(bid.agent for bid in bids)]):
            event = TaskAwarded(
                task=task.number,
                round=task.round,
                title=terms.title,
                winner=best.agent,
                price=price,
                bids=len(bids),
                direction=terms.direction,
                pricing=terms.pricing,
            )
            context.emit(context.agents[name], event)
        pay = terms.reward if is_sale else price
        late_per_hour = pay * _LATE_PERCENT // 100 if terms.late_per_hour is None else terms.late_per_hour
        agreed = SettlementTerms(
            payer=terms.poster,
            provider=best.agent,
            price=pay,
            bond=0 if is_sale or best.unsecured else terms.bond,
            deliver_by_us=terms.deadline_us,
            confirm_seconds=terms.confirm_seconds,
            late_hours=terms.late_hours,
            late_per_hour=late_per_hour,
            attester=terms.attester,
            lease_seconds=context.settings.work_lease_seconds,
            title=terms.title,
            unsecured_bond=terms.bond if best.unsecured else 0,
            payer_account=terms.refund,
        )
        context.announce(SettlementAgreed(task.cause, escrow, agreed))
        self._tell_if_urgent(task, is_awarded=True)

    def _tell_if_urgent(self, task: Task, *, is_awarded: bool) -> None:
        """Tell how a round ended that was urgent when it opened, whatever the premium was then."""
        terms = task.terms
        left_us = terms.deadline_us - (task.closes_at_us - terms.round_us)
        if pricing.is_urgent(terms.effort_minutes, left_us):
            self._context.announce(UrgentAuctionClosed(task.number, is_awarded, terms.poster))

    def _post_award(self, task: Task, best: Bid, price: int, escrow: str) -> None:
        """Release the losers; move price and bond into the award's escrow, or pay the poster of a sale."""
        terms, source = task.terms, escrow_of(task.cause)
        posting = self._context.cashier.posting(task.cause)
        for bid in task.bids.values():
            if bid is not best:
                posting.release(bid.agent, bid.held)
        if terms.direction == "sale":
            posting.release(best.agent, best.held - price)
            posting.fund_held(best.agent, escrow, price)
            posting.pay(escrow, terms.poster, price)
            posting.move(source, escrow, terms.reward)
        else:
            posting.fund_held(best.agent, escrow, best.held)
            posting.move(source, escrow, price)
            posting.give_back(source, terms.refund_account, terms.max_price - price - task.spare)
        posting.post()

    def _begin_award(self, agent_id: str) -> None:
        awards = self._tasks.awards_of
        awards[agent_id] = awards.get(agent_id, 0) + 1

    def _end_award(self, agent_id: str) -> None:
        awards = self._tasks.awards_of
        awards[agent_id] -= 1
        if not awards[agent_id]:
            del awards[agent_id]

    # ── the end ─────────────────────────────────────────────────────────────────────────────────

    def _of_origin(self, origin: str) -> Task | None:
        family, _, number = origin.partition(":")
        return self._tasks.tasks.get(int(number)) if family == "tasks" else None

    def note_settlement(self, fact: SettlementOpened) -> None:
        """Remember the settlement of an award."""
        task = self._of_origin(fact.origin)
        if task is not None and task.award is not None:
            task.award = task.award._replace(settlement=fact.settlement)

    def finish(self, fact: SettlementFinal) -> None:
        """End a task with its settlement, or auction it again if that failed."""
        task = self._of_origin(fact.origin)
        if task is None or task.award is None:
            return
        award = task.award
        self._end_award(award.winner)
        if award.unsecured:
            self._tasks.unsecured.pop(award.owner, None)
        if fact.outcome == "completed":
            took_us = None if fact.delivered_us is None else fact.delivered_us - award.awarded_us
            # Who does not wait for its attester's score gives up that it may be a low one.
            is_waived = fact.score is None and fact.is_accepted and task.terms.attester is not None
            self._pay_bonuses(task, award, pricing.SCORE_MAX if is_waived else fact.score, took_us)
            return
        task.banned[award.owner] = None
        if task.terms.reopens and self._has_another_round(task):
            if self._fund_again(task):
                self.open_round(task)
            else:
                self._end(task, "unfunded")
            return
        self._end(task, "failed")

    def _fund_again(self, task: Task) -> bool:
        """Put back into escrow what the failed award took out; the poster has just been refunded."""
        terms = task.terms
        missing = terms.budget - self._context.cashier.in_escrow(escrow_of(task.cause))
        poster = self._context.agents[terms.poster]
        if poster.state != "active" or self._context.cashier.check(poster, missing) is not None:
            return False
        posting = self._context.cashier.posting(task.cause)
        posting.fund(terms.poster, escrow_of(task.cause), missing)
        posting.post()
        return True

    def _pay_bonuses(self, task: Task, award: Award, score: int | None, took_us: int | None) -> None:
        terms, escrow = task.terms, escrow_of(task.cause)
        quality = pricing.quality_bonus(terms.quality_bonus, score)
        efficiency = 0
        if took_us is not None:
            efficiency = pricing.efficiency_bonus(terms.efficiency_bonus, score, terms.effort_minutes, took_us)
        posting = self._context.cashier.posting(task.cause)
        posting.pay(escrow, award.winner, quality + efficiency)
        left = self._context.cashier.in_escrow(escrow) - quality - efficiency
        posting.give_back(escrow, terms.refund_account, left)
        posting.post()
        self._tasks.tally.count("bonus_credits_total", by=quality + efficiency)
        self._finish(task, "completed", quality, efficiency)

    def call_off(self, task: Task, reason: Literal["canceled", "revoked"]) -> None:
        """End a task that was not awarded, and give everything back."""
        context = self._context
        offered = task.offered
        if offered is not None:
            self._withdraw_offer(task)
        context.deadlines.cancel(task.deadline_id)
        task.deadline_id = 0
        self._tasks.unlist(task)
        bids = [bid for bid in task.bids.values() if not bid.is_standing or bid.owner == offered]
        posting = context.cashier.posting(task.cause)
        for bid in bids:
            posting.release(bid.agent, bid.held)
        posting.post()
        for bid in list(task.bids.values()):
            self._tasks.forget_bid(task, bid)
        for bid in bids:
            context.emit(context.agents[bid.agent], TaskCanceled(task=task.number, reason=reason))
        self._end(task, reason)

    def _end(self, task: Task, outcome: EndReason) -> None:
        """Give back what is left in escrow."""
        escrow = escrow_of(task.cause)
        posting = self._context.cashier.posting(task.cause)
        posting.give_back(escrow, task.terms.refund_account, self._context.cashier.in_escrow(escrow))
        posting.post()
        self._finish(task, outcome, 0, 0)

    def _finish(self, task: Task, outcome: EndReason, quality: int, efficiency: int) -> None:
        context, tasks, poster = self._context, self._tasks, task.terms.poster
        task.state, task.outcome = _STATES[outcome], outcome
        del tasks.tasks[task.number]
        tasks.unlist_posted(task)
        tasks.ended[task.number] = task
        if len(tasks.ended) > _REMEMBERED:
            del tasks.ended[next(iter(tasks.ended))]
        tasks.tally.count("ended_total", outcome)
        is_called_off = outcome in ("canceled", "revoked")
        is_completed = outcome == "completed"
        context.announce(TaskFinal(task.number, is_completed, poster, task.terms.critical, is_called_off))
        listeners = [poster] if task.award is None else [poster, task.award.winner]
        for name in dict.fromkeys(listeners):
            event = TaskEnded(task=task.number, outcome=outcome, quality_bonus=quality, efficiency_bonus=efficiency)
            context.emit(context.agents[name], event)


def _asks(standing: StandingBid, task: Task, awards: int) -> int:
    """Return what a standing bid asks for a task while its agent has so many awards."""
    effort = task.terms.effort_minutes
    return pricing.standing_price(
        standing.price_per_hour, standing.fixed_price, effort, standing.load_markup_bp, awards
    )
