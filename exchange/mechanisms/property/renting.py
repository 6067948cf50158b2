"""Let write access for a term: rent in escrow, which accrues to the owner as time passes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.property.module import Module, RentalOffer
from exchange.messages.property import (
    ModuleRentPaid,
    OfferOutcome,
    RentalBegun,
    RentalEnded,
    RentalOffered,
    RentalOutcome,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.cashier import Posting
    from exchange.mechanisms.property.mechanism import Property
    from exchange.messages.base import Outcome
    from exchange.messages.property import (
        CollectModuleRent,
        EndRental,
        OfferRental,
        RentalEnd,
        RentModule,
        WithdrawRentalOffer,
    )

__all__ = ["END_RENTAL", "Rental", "Renting"]

END_RENTAL: Final = "property.end_rental"
_SECOND_US: Final = 1_000_000

Violation = tuple[Reason, str]


class Rental:
    """Be write access that somebody pays for, until it is over."""

    __slots__ = ("deadline_id", "ends_us", "is_exclusive", "module", "number", "paid", "rent", "renter", "started_us")

    def __init__(
        self, number: int, module: str, renter: str, rent: int, started_us: int, ends_us: int, is_exclusive: int
    ) -> None:
        self.number = number
        self.module = module
        self.renter = renter
        self.rent = rent
        self.started_us = started_us
        self.ends_us = ends_us
        self.is_exclusive = bool(is_exclusive)
        self.paid = 0
        """How much of the rent has gone to the owner, whoever that was."""
        self.deadline_id = 0

    @property
    def escrow(self) -> str:
        """Return the account that has the rent that is not paid yet."""
        return escrow_of(self.cause)

    @property
    def cause(self) -> str:
        """Return the cause under which its rent moves; names of modules have no colon."""
        return f"property:rental:{self.number}"

    def accrued(self, at_us: int) -> int:
        """Return the rent for the time up to then, rounded down: a function of the time alone."""
        term_us = self.ends_us - self.started_us
        return self.rent * min(max(at_us - self.started_us, 0), term_us) // term_us

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            self.number, self.module, self.renter, self.rent, self.started_us, self.ends_us, self.is_exclusive,
            self.paid, self.deadline_id,
        ]  # fmt: skip

    @staticmethod
    def load(state: Any) -> Rental:
        """Return the rental of which ``dump`` gave the state."""
        rental = Rental(*state[:7])
        rental.paid, rental.deadline_id = state[7:]
        return rental


class Renting:
    """Keep the offers of rentals, and the rentals that run."""

    def __init__(self, ownership: Property) -> None:
        self._property = ownership
        self._context = ownership.context
        self.offers: dict[int, str] = {}
        """The module of each offer."""
        self.rentals: dict[int, Rental] = {}
        self.by_renter: dict[str, dict[int, None]] = {}
        self.last_rental = 0

    # ── offering ────────────────────────────────────────────────────────────────────────────────

    def offer(self, agent: AgentRecord, command: OfferRental) -> Outcome:
        """Offer write access for a term."""
        context, ownership = self._context, self._property
        found = ownership.find_own(agent, command.module)
        if not isinstance(found, Module):
            return context.reject(command, *found)
        problem = self._check_letting(found)
        cap = context.settings.max_module_rentals
        if problem is None and len(found.rental_offers) >= cap:
            problem = Reason.TOO_MANY_RENTALS, f"{found.name} has {cap} offers of rentals; withdraw one"
        if problem is None and command.renter is not None:
            problem = ownership.check_partner(agent, command.renter)
        if problem is not None:
            return context.reject(command, *problem)
        number = ownership.next_offer()
        offer = RentalOffer(number, command.price, command.term_seconds, command.exclusive, command.renter)
        found.rental_offers[number] = offer
        self.offers[number] = found.name
        ownership.note_offers(found)
        for name in filter(None, (agent.agent_id, command.renter)):
            event = RentalOffered(
                module=found.name,
                offer=number,
                owner=agent.agent_id,
                price=command.price,
                term_seconds=command.term_seconds,
                exclusive=command.exclusive,
                renter=command.renter,
            )
            context.emit(context.agents[name], event)
        return OfferOutcome(command.id, "accepted", context.stamp, offer=number)

    def _check_letting(self, module: Module) -> Violation | None:
        if module.auction:
            return Reason.WRONG_STATE, f"{module.name} is being auctioned, as it is"
        if module.writer:
            return Reason.WRONG_STATE, f"{module.writer} still has the write access to {module.name}"
        if self._property.regime.is_exhausted(module):
            return Reason.WRONG_STATE, f"the deposit of {module.name} is exhausted"
        return None

    def withdraw(self, agent: AgentRecord, command: WithdrawRentalOffer) -> Outcome:
        """Take an offer back; rentals that run go on."""
        module = self._property.modules.get(self.offers.get(command.offer, ""))
        if module is None:
            return self._context.reject(command, Reason.UNKNOWN_MODULE_OFFER, f"no offer {command.offer} of a rental")
        if module.owner != agent.agent_id:
            return self._context.reject(command, Reason.NOT_PERMITTED, f"{module.name} belongs to {module.owner}")
        self._forget_offer(module, command.offer)
        return self._context.accept(command)

    def _forget_offer(self, module: Module, number: int) -> None:
        del module.rental_offers[number]
        del self.offers[number]
        self._property.note_offers(module)

    def drop_offers(self, module: Module) -> None:
        """Take back all offers of rentals of a module."""
        for number in list(module.rental_offers):
            self._forget_offer(module, number)

    # ── renting ─────────────────────────────────────────────────────────────────────────────────

    def rent(self, agent: AgentRecord, command: RentModule) -> Outcome:
        """Take an offer; the rent for the term goes into escrow."""
        context = self._context
        module = self._property.modules.get(self.offers.get(command.offer, ""))
        if module is None:
            return context.reject(command, Reason.UNKNOWN_MODULE_OFFER, f"no offer {command.offer} of a rental")
        offer = module.rental_offers[command.offer]
        problem = self._check_renter(agent, module, offer) or context.cashier.check(agent, offer.price)
        if problem is not None:
            return context.reject(command, *problem)
        self.last_rental = number = self.last_rental + 1
        now_us = context.time_us
        ends_us = now_us + offer.term_seconds * _SECOND_US
        rental = Rental(number, module.name, agent.agent_id, offer.price, now_us, ends_us, offer.is_exclusive)
        posting = context.cashier.posting(rental.cause)
        posting.fund(agent.agent_id, rental.escrow, offer.price)
        posting.post()
        before = self._property.access.writers(module)
        self.index(rental)
        module.rentals[number] = None
        if offer.is_exclusive:
            module.exclusive = number
        rental.deadline_id = context.deadlines.schedule(ends_us, END_RENTAL, number)
        if offer.is_exclusive or offer.renter is not None:
            self._forget_offer(module, offer.number)
        # Whoever buys is not to find it let since it was offered.
        self._property.selling.drop(module)
        self._property.access.settle(module, before)
        self._property.tally.count("rentals_total", "exclusive" if offer.is_exclusive else "additional")
        for name in (module.owner, agent.agent_id):
            event = RentalBegun(
                module=module.name,
                rental=number,
                owner=module.owner,
                renter=agent.agent_id,
                rent=offer.price,
                ends_us=ends_us,
                exclusive=offer.is_exclusive,
            )
            context.emit(context.agents[name], event)
        return RentalOutcome(
            command.id, "accepted", context.stamp, rental=number, ends_us=ends_us, fencing_token=module.token
        )

    def _check_renter(self, agent: AgentRecord, module: Module, offer: RentalOffer) -> Violation | None:
        if offer.renter not in (None, agent.agent_id):
            return Reason.NOT_PERMITTED, f"it is offered to {offer.renter}"
        if self._context.agents[module.owner].owner == agent.owner:
            return Reason.SAME_OWNER, f"{module.name} belongs to your owner: {module.owner} can grant you access"
        problem = self._check_letting(module)
        if problem is not None:
            return problem
        if module.exclusive or (offer.is_exclusive and module.rentals):
            return Reason.WRONG_STATE, f"others rent {module.name} until {self._free_us(module)}"
        if any(self.rentals[number].renter == agent.agent_id for number in module.rentals):
            return Reason.NO_CHANGE, f"you rent {module.name} already"
        cap = self._context.settings.max_module_rentals
        if len(module.rentals) >= cap:
            return Reason.TOO_MANY_RENTALS, f"{module.name} has {cap} rentals, which is the limit"
        return None

    def _free_us(self, module: Module) -> int:
        return max(self.rentals[number].ends_us for number in module.rentals)

    def index(self, rental: Rental) -> None:
        """Know a rental."""
        self.rentals[rental.number] = rental
        self.by_renter.setdefault(rental.renter, {})[rental.number] = None

    # ── paying and ending ───────────────────────────────────────────────────────────────────────

    def collect(self, agent: AgentRecord, command: CollectModuleRent) -> Outcome:
        """Pay the owner the rent that has accrued up to now."""
        context = self._context
        rental = self.rentals.get(command.rental)
        if rental is None:
            return context.reject(command, Reason.UNKNOWN_RENTAL, f"no rental {command.rental} runs")
        module = self._property.modules[rental.module]
        if module.owner != agent.agent_id:
            return context.reject(command, Reason.NOT_PERMITTED, f"{module.name} belongs to {module.owner}")
        if rental.accrued(context.time_us) == rental.paid:
            return context.reject(command, Reason.NO_CHANGE, "all rent that has accrued is paid")
        posting = context.cashier.posting(rental.cause)
        due = self.pay_owner(rental, posting)
        posting.post()
        self.tell_paid(rental, due)
        return RentalOutcome(
            command.id, "accepted", context.stamp, rental=rental.number, ends_us=rental.ends_us, paid=due
        )

    def pay_owner(self, rental: Rental, posting: Posting, until_us: int | None = None) -> int:
        """Add to a posting what has accrued to the present owner; return how much that is."""
        accrued = rental.accrued(self._context.time_us if until_us is None else until_us)
        # What was paid after ``until_us``, before anybody knew of it, stays paid.
        due = max(accrued - rental.paid, 0)
        posting.pay(rental.escrow, self._property.modules[rental.module].owner, due)
        rental.paid += due
        self._property.tally.count("rent_credits_total", by=due)
        return due

    def pay_all(self, module: Module, posting: Posting) -> list[tuple[Rental, int]]:
        """Add to a posting what has accrued of all rentals of a module that is about to have another owner."""
        rentals = [self.rentals[number] for number in module.rentals]
        return [(rental, self.pay_owner(rental, posting)) for rental in rentals]

    def tell_all(self, rents: list[tuple[Rental, int]]) -> None:
        """Tell owner and renters of rents that were paid."""
        for rental, due in rents:
            self.tell_paid(rental, due)

    def close_all(self, module: Module, posting: Posting, until_us: int | None = None) -> list[tuple[Rental, int]]:
        """Add to a posting what ends all rentals of a module; return what goes back of each."""
        rentals = [self.rentals[number] for number in module.rentals]
        return [(rental, self.close(rental, posting, until_us)[1]) for rental in rentals]

    def forget_all(self, closed: list[tuple[Rental, int]], how: RentalEnd) -> None:
        """Know rentals no more whose money has moved."""
        for rental, refunded in closed:
            self.forget(rental, how, refunded)

    def tell_paid(self, rental: Rental, due: int) -> None:
        """Tell owner and renter of rent that was paid."""
        if not due:
            return
        # Who rents a module may have bought it meanwhile.
        for name in dict.fromkeys((self._property.modules[rental.module].owner, rental.renter)):
            event = ModuleRentPaid(module=rental.module, rental=rental.number, amount=due, paid=rental.paid)
            self._context.emit(self._context.agents[name], event)

    def end(self, agent: AgentRecord, command: EndRental) -> Outcome:
        """End a rental early, by its renter."""
        context = self._context
        rental = self.rentals.get(command.rental)
        if rental is None:
            return context.reject(command, Reason.UNKNOWN_RENTAL, f"no rental {command.rental} runs")
        if rental.renter != agent.agent_id:
            return context.reject(command, Reason.NOT_PERMITTED, f"{rental.renter} rents it, and may end it")
        paid, refunded = self._finish(rental, "released")
        module = self._property.modules[rental.module]
        return RentalOutcome(
            command.id, "accepted", context.stamp,
            rental=rental.number, ends_us=context.time_us, fencing_token=module.token, paid=paid, refunded=refunded,
        )  # fmt: skip

    def expire(self, number: int) -> None:
        """End a rental whose term is over."""
        rental = self.rentals[number]
        rental.deadline_id = 0
        self._finish(rental, "ended")

    def end_of(self, agent_id: str) -> None:
        """End all that a revoked agent rents."""
        for number in sorted(self.by_renter.get(agent_id, ())):
            self._finish(self.rentals[number], "revoked")

    def _finish(self, rental: Rental, how: RentalEnd) -> tuple[int, int]:
        """End a rental by itself; return what the owner was paid now, and what went back."""
        module = self._property.modules[rental.module]
        before = self._property.access.writers(module)
        posting = self._context.cashier.posting(rental.cause)
        paid, refunded = self.close(rental, posting)
        posting.post()
        self.forget(rental, how, refunded)
        self._property.access.settle(module, before)
        return paid, refunded

    def close(self, rental: Rental, posting: Posting, until_us: int | None = None) -> tuple[int, int]:
        """Add to a posting what ends a rental: the rent up to then to the owner, the rest back."""
        paid = self.pay_owner(rental, posting, until_us)
        refunded = rental.rent - rental.paid
        posting.give_back(rental.escrow, rental.renter, refunded)
        return paid, refunded

    def forget(self, rental: Rental, how: RentalEnd, refunded: int) -> None:
        """Know a rental no more whose money has moved, and tell both sides."""
        context, module = self._context, self._property.modules[rental.module]
        context.deadlines.cancel(rental.deadline_id)
        del self.rentals[rental.number]
        mine = self.by_renter[rental.renter]
        del mine[rental.number]
        if not mine:
            del self.by_renter[rental.renter]
        del module.rentals[rental.number]
        if module.exclusive == rental.number:
            module.exclusive = 0
        for name in dict.fromkeys((module.owner, rental.renter)):
            event = RentalEnded(
                module=rental.module, rental=rental.number, how=how, paid=rental.paid, refunded=refunded
            )
            context.emit(context.agents[name], event)
