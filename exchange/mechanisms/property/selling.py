"""Sell modules: at what they are offered for, or at the value that their owner has stated."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from exchange.mechanisms.cashier import escrow_of, whole_credits
from exchange.mechanisms.property.module import Module, SaleOffer
from exchange.messages.property import OfferOutcome, SaleOffered
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.property.mechanism import Property
    from exchange.messages.base import Outcome
    from exchange.messages.property import BuyModule, OfferModule, WithdrawModuleOffer

__all__ = ["EXPIRE_OFFER", "Selling"]

EXPIRE_OFFER: Final = "property.expire_offer"

Violation = tuple[Reason, str]


class Selling:
    """Keep the offers to sell, which stand with their modules, and move what is bought."""

    def __init__(self, ownership: Property) -> None:
        self._property = ownership
        self._context = ownership.context

    # ── offering ────────────────────────────────────────────────────────────────────────────────

    def offer(self, agent: AgentRecord, command: OfferModule) -> Outcome:
        """Offer a module, in the place of an earlier offer."""
        context, ownership = self._context, self._property
        found = ownership.find_own(agent, command.module)
        if not isinstance(found, Module):
            return context.reject(command, *found)
        problem = ownership.check_private(found)
        if problem is None and command.buyer is not None:
            problem = ownership.check_partner(agent, command.buyer)
        if problem is None and command.until_us is not None and command.until_us <= context.time_us:
            problem = Reason.INVALID_MODULE_TERMS, f"until_us is past: it is {context.time_us}"
        if problem is not None:
            return context.reject(command, *problem)
        self.drop(found)
        number = ownership.next_offer()
        deadline_id = 0
        if command.until_us is not None:
            deadline_id = context.deadlines.schedule(command.until_us, EXPIRE_OFFER, found.name)
        found.offer = SaleOffer(number, command.price, command.buyer, command.until_us, deadline_id)
        ownership.note_offers(found)
        for name in filter(None, (agent.agent_id, command.buyer)):
            event = SaleOffered(
                module=found.name,
                offer=number,
                seller=agent.agent_id,
                price=command.price,
                buyer=command.buyer,
                until_us=command.until_us,
            )
            context.emit(context.agents[name], event)
        return OfferOutcome(command.id, "accepted", context.stamp, offer=number)

    def withdraw(self, agent: AgentRecord, command: WithdrawModuleOffer) -> Outcome:
        """Take an offer back."""
        found = self._property.find_own(agent, command.module)
        if not isinstance(found, Module):
            return self._context.reject(command, *found)
        if found.offer is None:
            return self._context.reject(command, Reason.NO_CHANGE, f"{found.name} is not offered")
        self.drop(found)
        return self._context.accept(command)

    def expire(self, name: str) -> None:
        """Let an offer end whose time is over."""
        self.drop(self._property.modules[name])

    def drop(self, module: Module) -> None:
        """Forget the offer of a module, if there is one."""
        if module.offer is not None:
            self._context.deadlines.cancel(module.offer.deadline_id)
            module.offer = None
            self._property.note_offers(module)

    # ── buying ──────────────────────────────────────────────────────────────────────────────────

    def buy(self, agent: AgentRecord, command: BuyModule) -> Outcome:
        """Buy a module: price and ownership move in one step."""
        context = self._context
        module = self._property.modules.get(command.module)
        if module is None:
            return self._property.reject_unknown(command, command.module)
        if module.owner == agent.agent_id:
            return context.reject(command, Reason.NO_CHANGE, f"{module.name} is yours")
        problem = self._check_price(agent, command, module) or self._property.check_newcomer(agent.agent_id)
        if problem is not None:
            return context.reject(command, *problem)
        if module.regime == "harberger":
            return self._property.regime.buy(agent, command, module)
        price = 0 if module.offer is None else module.offer.price
        problem = context.cashier.check(agent, price)
        if problem is not None:
            return context.reject(command, *problem)
        posting = context.cashier.posting(module.cause)
        escrow = escrow_of(f"property:sale:{module.number}")
        posting.fund(agent.agent_id, escrow, price)
        posting.pay(escrow, module.owner, price)
        rents = self._property.renting.pay_all(module, posting)
        posting.post()
        self._property.renting.tell_all(rents)
        self._property.move(module, agent.agent_id, "bought", price)
        return self._property.registry.outcome(command, module)

    def _check_price(self, agent: AgentRecord, command: BuyModule, module: Module) -> Violation | None:
        """Return why an agent cannot buy a module at what it costs."""
        name = module.name
        if not module.owner:
            return Reason.NOT_FOR_SALE, f"{name} belongs to nobody"
        if module.regime == "harberger":
            problem = self._property.regime.check_purchase(command, module)
            price = 0 if module.holding is None else module.holding.value
        elif module.offer is None or module.offer.buyer not in (None, agent.agent_id):
            problem = Reason.NOT_FOR_SALE, f"{name} is not offered to {agent.agent_id}"
            price = 0
        else:
            has_terms = command.new_value is not None or command.deposit
            problem = (Reason.FIELD_NOT_ALLOWED, f"{name} is private: it has no stated value") if has_terms else None
            price = module.offer.price
        if problem is None and price > command.max_price:
            detail = f"{name} costs {whole_credits(price)} now, max_price is {whole_credits(command.max_price)}"
            return Reason.PRICE_ABOVE_LIMIT, detail
        return problem
