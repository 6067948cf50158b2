"""Let debts be taken over, by offers and by auctions: who takes one is paid for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.mechanisms.base import VENUE_SCOPE
from exchange.mechanisms.cashier import whole_credits
from exchange.mechanisms.debts.token import DebtBid, Sale
from exchange.messages.debts import (
    DebtAuctionClosed,
    DebtAuctioned,
    DebtOffered,
    DebtSaleEnded,
    DebtTransferred,
    OfferOutcome,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.debts.mechanism import Debts
    from exchange.mechanisms.debts.token import Token
    from exchange.messages.base import Command, Outcome
    from exchange.messages.debts import (
        AuctionDebt,
        BidOnDebt,
        OfferDebt,
        SaleEnd,
        TakeDebt,
        TransferReason,
        WithdrawDebtBid,
        WithdrawSale,
    )

__all__ = ["Trading"]

_SECOND_US: Final = 1_000_000
_LATEST_US: Final = 366 * 86_400 * _SECOND_US

Violation = tuple[Reason, str]


class Trading:
    """Know what is for sale; the sales stand with their debts."""

    def __init__(self, debts: Debts) -> None:
        self._debts = debts
        self._context = debts.context
        self.for_sale: dict[int, None] = {}
        self.bids_of: dict[str, dict[int, None]] = {}
        """The debts for which an agent has a sealed bid, the oldest first."""
        self.last_offer = 0
        self.last_bid = 0

    # ── selling ─────────────────────────────────────────────────────────────────────────────────

    def offer(self, agent: AgentRecord, command: OfferDebt) -> Outcome:
        """Offer pay to whoever takes a debt over; it goes into escrow."""
        context = self._context
        token = self._debts.live.get(command.token)
        if token is None:
            return self._debts.reject_unknown(command, command.token)
        problem = self._check_seller(token, agent) or self._check_taker(agent, command.taker)
        until_us = self._latest_us(token) if command.until_us is None else command.until_us
        problem = problem or self._check_expiry(token, until_us) or context.cashier.check(agent, command.pay)
        if problem is not None:
            return context.reject(command, *problem)
        self.last_offer = number = self.last_offer + 1
        sale = Sale(number, agent.agent_id, command.pay, command.taker, None)
        self._put_up(token, sale)
        # Like that of an order, it binds nobody for longer than it says, whatever stands still meanwhile.
        sale.deadline_id = context.deadlines.schedule(until_us, "debts.expire_offer", token.number)
        listeners = [agent.agent_id] if command.taker is None else [agent.agent_id, command.taker]
        for name in listeners:
            event = DebtOffered(
                token=token.number, offer=number, pay=command.pay, owed_hours_milli=token.owed, until_us=until_us
            )
            context.emit(context.agents[name], event)
        return OfferOutcome(command.id, "accepted", context.stamp, offer=number)

    def _latest_us(self, token: Token) -> int:
        """Return how long an offer may stand: a debt that matures is no more what was offered."""
        now_us = self._context.time_us
        return token.maturity_us if now_us < token.maturity_us else now_us + _LATEST_US

    def _check_expiry(self, token: Token, until_us: int) -> Violation | None:
        now_us, latest_us = self._context.time_us, self._latest_us(token)
        if not now_us < until_us <= latest_us:
            return Reason.INVALID_EXPIRY, f"until_us is after venue time {now_us}, and at most {latest_us}"
        return None

    def expire(self, number: int) -> None:
        """End an offer whose time is over."""
        token = self._debts.live[number]
        if token.sale is not None:
            token.sale.deadline_id = 0
        self.call_off(token, "expired")

    def _check_taker(self, agent: AgentRecord, name: str | None) -> Violation | None:
        if name is None:
            return None
        taker = self._context.agents.get(name)
        if taker is None or taker.state == "revoked":
            return Reason.UNKNOWN_AGENT, f"{name} is no registered agent"
        if taker.owner == agent.owner:
            return Reason.SAME_OWNER, f"{name} is of the holder's owner"
        return None

    def auction(self, agent: AgentRecord, command: AuctionDebt) -> Outcome:
        """Let sealed bids decide who takes a debt over; the most that may cost goes into escrow."""
        context = self._context
        token = self._debts.live.get(command.token)
        if token is None:
            return self._debts.reject_unknown(command, command.token)
        problem = self._check_seller(token, agent) or self._check_close(command.closes_at_us)
        problem = problem or context.cashier.check(agent, command.max_pay)
        if problem is not None:
            return context.reject(command, *problem)
        sale = Sale(0, agent.agent_id, command.max_pay, None, command.closes_at_us)
        self._put_up(token, sale)
        deadlines = context.deadlines
        sale.deadline_id = deadlines.schedule_act(command.closes_at_us, "debts.close", VENUE_SCOPE, token.number)
        self._debts.tell(
            token,
            lambda: DebtAuctioned(
                token=token.number,
                max_pay=sale.pay,
                closes_at_us=command.closes_at_us,
                owed_hours_milli=token.owed,
            ),
        )
        return context.accept(command)

    def _check_seller(self, token: Token, agent: AgentRecord) -> Violation | None:
        number = token.number
        if agent.agent_id != token.holder:
            return Reason.NOT_PERMITTED, f"{token.holder} holds debt {number}"
        problem = self._debts.check_holder(token, agent)
        if problem is not None:
            return problem
        if token.sale is not None:
            return Reason.WRONG_STATE, f"debt {number} is for sale already; withdraw that first"
        if token.claim is not None:
            return Reason.WRONG_STATE, f"claim {token.claim.number} of a repayment of debt {number} is not final"
        return None

    def _check_close(self, closes_at_us: int) -> Violation | None:
        now_us, seconds = self._context.time_us, self._context.settings.min_auction_seconds
        if closes_at_us < now_us + seconds * _SECOND_US:
            return Reason.INVALID_DEBT_TERMS, f"the auction closes at least {seconds} s after venue time {now_us}"
        if closes_at_us > now_us + _LATEST_US:
            return Reason.INVALID_DEBT_TERMS, "the auction closes at most 366 days ahead"
        return None

    def _put_up(self, token: Token, sale: Sale) -> None:
        posting = self._context.cashier.posting(token.cause)
        posting.fund(sale.seller, token.sale_escrow, sale.pay)
        posting.post()
        token.sale = sale
        self.for_sale[token.number] = None

    def withdraw(self, agent: AgentRecord, command: WithdrawSale) -> Outcome:
        """Take back what is for sale."""
        token = self._debts.live.get(command.token)
        if token is None:
            return self._debts.reject_unknown(command, command.token)
        if not self._debts.acts_for(agent, token.holder):
            detail = f"{token.holder} holds debt {token.number}"
            return self._context.reject(command, Reason.NOT_PERMITTED, detail)
        if token.sale is None:
            return self._context.reject(command, Reason.WRONG_STATE, f"debt {token.number} is not for sale")
        self.call_off(token, "withdrawn")
        return self._context.accept(command)

    def call_off(self, token: Token, reason: SaleEnd) -> None:
        """End a sale, if there is one, without anybody taking the debt over: what was offered goes back."""
        sale = token.sale
        if sale is None:
            return
        context = self._context
        posting = context.cashier.posting(token.cause)
        posting.give_back(token.sale_escrow, sale.seller, sale.pay)
        posting.post()
        listeners = self._forget(token, sale)
        for name in listeners:
            context.emit(context.agents[name], DebtSaleEnded(token=token.number, reason=reason))

    def _forget(self, token: Token, sale: Sale) -> list[str]:
        """Take a sale whose money has moved out of its debt and every index; return who heard of it."""
        self._context.deadlines.cancel(sale.deadline_id)
        listeners = [sale.seller, *[bid.agent for bid in sale.bids.values()]]
        if sale.taker is not None:
            listeners.append(sale.taker)
        for bid in list(sale.bids.values()):
            self._forget_bid(token, sale, bid)
        token.sale = None
        del self.for_sale[token.number]
        return list(dict.fromkeys(listeners))

    # ── taking over ─────────────────────────────────────────────────────────────────────────────

    def take(self, agent: AgentRecord, command: TakeDebt) -> Outcome:
        """Take a debt over on its offer."""
        context = self._context
        token = self._debts.live.get(command.token)
        if token is None:
            return self._debts.reject_unknown(command, command.token)
        sale = token.sale
        if sale is None or sale.offer != command.offer:
            detail = f"offer {command.offer} of debt {token.number} does not stand"
            return context.reject(command, Reason.WRONG_STATE, detail)
        if sale.taker is not None and sale.taker != agent.agent_id:
            return context.reject(command, Reason.NOT_PERMITTED, f"it is offered to {sale.taker}")
        if agent.owner == self._debts.owner_of(token.holder):
            return context.reject(command, Reason.SAME_OWNER, "its holder is of the same owner")
        posting = context.cashier.posting(token.cause)
        posting.move(token.sale_escrow, token.escrow, sale.pay)
        posting.post()
        self._forget(token, sale)
        self.hand_over(token, agent.agent_id, "offer", sale.pay)
        return context.accept(command)

    def hand_over(self, token: Token, holder: str, reason: TransferReason, pay: int) -> None:
        """Let another agent hold a debt, and tell everybody who has or had to do with it."""
        context, before = self._context, token.holder
        listeners = token.listeners()
        self._debts.transfer(token, holder)
        self._debts.tally.count("transfers_total", reason)
        self._debts.tally.count("transfer_pay_credits_total", by=pay)
        for name in dict.fromkeys([*listeners, holder]):
            event = DebtTransferred(token=token.number, holder=holder, by=before, reason=reason, pay=pay)
            context.emit(context.agents[name], event)

    # ── bidding ─────────────────────────────────────────────────────────────────────────────────

    def bid(self, agent: AgentRecord, command: BidOnDebt) -> Outcome:
        """Take a sealed bid in the place of the owner's earlier one."""
        context = self._context
        found = self._find_auction(command, command.token)
        if not isinstance(found, tuple):
            return found
        token, sale = found
        if agent.owner == self._debts.owner_of(token.holder):
            return context.reject(command, Reason.SAME_OWNER, "its holder is of the same owner")
        if command.pay > sale.pay:
            detail = f"at most {whole_credits(sale.pay)} is paid"
            return context.reject(command, Reason.BID_ABOVE_RESERVE, detail)
        before = sale.bids.get(agent.owner)
        if before is None and len(sale.bids) >= context.settings.max_bids_per_task:
            return context.reject(command, Reason.TOO_MANY_BIDS, "the auction takes no more bids")
        if before is not None:
            self._forget_bid(token, sale, before)
        self.last_bid = number = self.last_bid + 1
        sale.bids[agent.owner] = DebtBid(number, agent.agent_id, agent.owner, command.pay)
        self.bids_of.setdefault(agent.agent_id, {})[token.number] = None
        return context.accept(command)

    def withdraw_bid(self, agent: AgentRecord, command: WithdrawDebtBid) -> Outcome:
        """Take a bid back before the close."""
        found = self._find_auction(command, command.token)
        if not isinstance(found, tuple):
            return found
        token, sale = found
        bid = sale.bids.get(agent.owner)
        if bid is None:
            detail = f"this owner has no bid on debt {token.number}"
            return self._context.reject(command, Reason.UNKNOWN_BID, detail)
        self._forget_bid(token, sale, bid)
        return self._context.accept(command)

    def _find_auction(self, command: Command, number: int) -> tuple[Token, Sale] | Outcome:
        token = self._debts.live.get(number)
        if token is None:
            return self._debts.reject_unknown(command, number)
        if token.sale is None or token.sale.closes_at_us is None:
            return self._context.reject(command, Reason.WRONG_STATE, f"debt {number} is not in an auction")
        return token, token.sale

    def _forget_bid(self, token: Token, sale: Sale, bid: DebtBid) -> None:
        del sale.bids[bid.owner]
        numbers = self.bids_of[bid.agent]
        del numbers[token.number]
        if not numbers:
            del self.bids_of[bid.agent]

    def withdraw_bids(self, agent_id: str) -> None:
        """Withdraw all bids of an agent that does not answer any more."""
        for number in sorted(self.bids_of.get(agent_id, ())):
            token = self._debts.live[number]
            if token.sale is not None:
                self._forget_bid(token, token.sale, token.sale.bids[self._debts.owner_of(agent_id)])

    def close(self, number: int) -> None:
        """Let the lowest bid of an auction take the debt over, at the pay of the next one.

        Without another bid it gets the most that the auction pays, so that the truth is the best bid (Vickrey 1961,
        "Counterspeculation, auctions, and competitive sealed tenders").
        """
        context, token = self._context, self._debts.live[number]
        sale = token.sale
        if sale is None:
            return
        ranked = sorted([(bid.pay, bid.number, bid.agent) for bid in sale.bids.values()])
        if not ranked:
            self.call_off(token, "no_bids")
            return
        winner, pay = ranked[0][2], ranked[1][0] if len(ranked) > 1 else sale.pay
        posting = context.cashier.posting(token.cause)
        posting.move(token.sale_escrow, token.escrow, pay)
        posting.give_back(token.sale_escrow, sale.seller, sale.pay - pay)
        posting.post()
        listeners = self._forget(token, sale)
        for name in listeners:
            event = DebtAuctionClosed(token=number, winner=winner, pay=pay, bids=len(ranked))
            context.emit(context.agents[name], event)
        self.hand_over(token, winner, "auction", pay)

    def restore(self, token: Token) -> None:
        """Know again what of a debt that was loaded is for sale."""
        if token.sale is None:
            return
        self.for_sale[token.number] = None
        for bid in token.sale.bids.values():
            self.bids_of.setdefault(bid.agent, {})[token.number] = None
