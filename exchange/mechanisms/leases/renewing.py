"""Let lessors offer to let again, and lessees renew at what is offered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from exchange.messages.leases import LeaseOutcome, LeaseRenewed
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.leases.lease import Lease
    from exchange.mechanisms.leases.mechanism import Leases
    from exchange.messages.base import Outcome
    from exchange.messages.leases import OfferRenewal, RenewLease, WithdrawRenewal

__all__ = ["Renewing"]


class Renewing:
    """Keep the standing offers of lessors, for a market; those for one lease stand with the lease."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases
        self._context = leases.context
        self.offers: dict[str, dict[str, int]] = {}
        """By agent and market, the prices at which a lessor lets again."""

    def price_of(self, lease: Lease) -> int | None:
        """Return the price at which a lessor lets again, by its offer for the lease or else for the market."""
        if lease.renewal_price is not None:
            return lease.renewal_price
        return self.offers.get(lease.lessor, {}).get(lease.market)

    def renew(self, agent: AgentRecord, command: RenewLease) -> Outcome:
        """Extend a lease by one term, at the lessor's standing offer."""
        context, lease = self._context, self._leases.leases.get(command.lease)
        if lease is None:
            return self._leases.reject_unknown(command, command.lease)
        if agent.agent_id != lease.lessee:
            return context.reject(command, Reason.NOT_PERMITTED, f"only its lessee, {lease.lessee}, renews it")
        problem = self._leases.check_holding(lease, command.fencing_token)
        if problem is not None:
            return context.reject(command, *problem)
        price = self.price_of(lease)
        if price is None or price > command.max_price:
            detail = f"{lease.lessor} " + ("offers no renewal" if price is None else f"asks {price}")
            return context.reject(command, Reason.NO_RENEWAL_OFFER, detail)
        if len(lease.periods) >= context.settings.max_lease_terms:
            detail = f"it runs {len(lease.periods)} terms, to {lease.ends_us}; renew later"
            return context.reject(command, Reason.RENEWED_TOO_FAR, detail)
        rent = price * lease.quantity // context.ledger.assets[lease.asset].scale
        problem = context.cashier.check(agent, rent)
        if problem is not None:
            return context.reject(command, *problem)
        posting = context.cashier.posting(f"leases:{lease.number}")
        posting.fund(lease.lessee, lease.escrow, rent)
        posting.post()
        lease.extend(rent, context.time_us)
        context.deadlines.cancel(lease.end_id)
        lease.end_id = context.deadlines.schedule(lease.ends_us, "leases.end", lease.number)
        self._leases.tally.count("renewed_total")
        for side in self._leases.sides(lease):
            context.emit(side, LeaseRenewed(lease=lease.number, price=price, rent=rent, ends_us=lease.ends_us))
        return LeaseOutcome(command.id, "accepted", context.stamp, lease=lease.number, ends_us=lease.ends_us)

    def offer(self, agent: AgentRecord, command: OfferRenewal) -> Outcome:
        """Let an offer stand, for one lease or for all in a market."""
        problem = self._check_offer(agent, command)
        if problem is not None:
            return self._context.reject(command, *problem)
        if command.lease is not None:
            self._leases.leases[command.lease].renewal_price = command.price
        elif command.market is not None:
            self.offers.setdefault(agent.agent_id, {})[command.market] = command.price
        return self._context.accept(command)

    def _check_offer(self, agent: AgentRecord, command: OfferRenewal) -> tuple[Reason, str] | None:
        market = command.market
        if (command.lease is None) == (market is None):
            return Reason.MISSING_FIELD, "give lease or market, not both"
        if command.lease is not None:
            lease = self._leases.leases.get(command.lease)
            if lease is None:
                return Reason.UNKNOWN_LEASE, f"no lease {command.lease} runs"
            if lease.lessor != agent.agent_id:
                return Reason.NOT_PERMITTED, f"only its lessor, {lease.lessor}, offers to let it again"
            market = lease.market
        books = self._leases.books
        tick = None if books is None else books.tick(market or "")
        if tick is None:
            return Reason.UNKNOWN_MARKET, f"no lease market {market}"
        if command.price % tick:
            return Reason.INVALID_PRICE, f"price {command.price} is not a multiple of the tick {tick}"
        return None

    def withdraw(self, agent: AgentRecord, command: WithdrawRenewal) -> Outcome:
        """Withdraw a standing offer."""
        context, me = self._context, agent.agent_id
        if (command.lease is None) == (command.market is None):
            return context.reject(command, Reason.MISSING_FIELD, "give lease or market, not both")
        if command.lease is not None:
            lease = self._leases.leases.get(command.lease)
            if lease is None or lease.lessor != me or lease.renewal_price is None:
                return context.reject(command, Reason.NO_CHANGE, f"no offer of yours stands for lease {command.lease}")
            lease.renewal_price = None
        else:
            mine = self.offers.get(me, {})
            if mine.pop(command.market or "", None) is None:
                return context.reject(command, Reason.NO_CHANGE, f"no offer of yours stands in {command.market}")
            if not mine:
                del self.offers[me]
        return context.accept(command)

    def withdraw_all(self, agent_id: str) -> None:
        """Withdraw all offers of a lessor."""
        self.offers.pop(agent_id, None)
        for number in self._leases.by_agent.get(agent_id, ()):
            lease = self._leases.leases[number]
            if lease.lessor == agent_id:
                lease.renewal_price = None
