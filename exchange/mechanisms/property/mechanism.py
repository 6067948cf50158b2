"""Keep modules and their owners: family ``property``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from exchange.mechanisms.base import AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import (
    AgentEnded,
    DisputeDecided,
    DisputeOpened,
    DisputeTerms,
    ParameterChanged,
    SwitchLapsed,
)
from exchange.mechanisms.property.access import HANDOVER, Access
from exchange.mechanisms.property.attesting import FINALIZE, Attesting
from exchange.mechanisms.property.auctioning import CLOSE_AUCTION, Auctions
from exchange.mechanisms.property.homesteading import LAPSE_CLAIM, LAPSE_HOMESTEAD, Homesteads
from exchange.mechanisms.property.invariants import broken_invariants
from exchange.mechanisms.property.module import Module
from exchange.mechanisms.property.queries import Queries
from exchange.mechanisms.property.regime import COLLECT, EXHAUST, GRACE, WARN, Regime
from exchange.mechanisms.property.registering import Registry
from exchange.mechanisms.property.renting import END_RENTAL, Rental, Renting
from exchange.mechanisms.property.selling import EXPIRE_OFFER, Selling
from exchange.mechanisms.tally import Figure, Tally, words
from exchange.messages.base import Command, Outcome, Query, Result
from exchange.messages.property import (
    AbandonClaim,
    AcceptCheck,
    AllocateModule,
    AttestCheck,
    AttestWork,
    AuctionModule,
    BidOnModule,
    BuyModule,
    CancelModuleAuction,
    ClaimModule,
    CollectModuleRent,
    EndRental,
    GrantAccess,
    HowMoved,
    ModuleForeclosed,
    OfferModule,
    OfferRental,
    OwnershipMoved,
    RegisterModule,
    ReleaseModule,
    RentalEnd,
    RentModule,
    RevokeGrant,
    SetDependencies,
    SetRegime,
    StateValue,
    TopUpDeposit,
    WhyForeclosed,
    WithdrawDeposit,
    WithdrawModuleBid,
    WithdrawModuleOffer,
    WithdrawRentalOffer,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row

__all__ = ["Property"]

_ATTESTATIONS: Final = (("use", "final"), *[(of, to) for of in ("work", "check") for to in ("final", "overturned")])

Violation = tuple[Reason, str]


class Property(Mechanism):
    """Keep every module: who owns it since when, who may write, and what is under way with it."""

    family: ClassVar[str] = "property"
    summary: ClassVar[str] = (
        "modules with owners: sold, rented, homesteaded, or held at a taxed value at which anybody may buy"
    )

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.modules: dict[str, Module] = {}
        self.by_number: dict[int, Module] = {}
        self.by_owner: dict[str, dict[str, None]] = {}
        """The modules of each agent."""
        self.owned: dict[str, int] = {}
        """How many modules each owner has."""
        self.granted: dict[str, dict[str, None]] = {}
        """The modules to which an agent was granted access."""
        self.offering: dict[str, dict[str, None]] = {}
        """The modules that an agent offers, or access to them."""
        self._last_offer = 0
        self.tally = Tally(
            Figure("registered_total", "Modules registered."),
            Figure("moved_total", "Modules that changed hands, by how.", ("how",), words(HowMoved)),
            Figure("foreclosed_total", "Modules foreclosed, by why.", ("why",), words(WhyForeclosed)),
            Figure("auctions_total", "Auctions that closed.", ("result",), (("awarded",), ("unawarded",))),
            Figure("rentals_total", "Rentals that began.", ("kind",), (("additional",), ("exclusive",))),
            Figure("claims_total", "Claims to modules that belonged to nobody."),
            Figure("attestations_total", "Attestations that ended.", ("kind", "outcome"), _ATTESTATIONS),
            Figure("sale_credits_total", "Prices of modules that were bought or won, in whole credits."),
            Figure("rent_credits_total", "Whole credits of rent paid to owners."),
            Figure("tax_credits_total", "Whole credits of tax on stated values that went to the public fund."),
        )
        self.access = Access(self)
        self.registry = Registry(self)
        self.selling = Selling(self)
        self.auctions = Auctions(self)
        self.homesteads = Homesteads(self)
        self.attesting = Attesting(self)
        self.renting = Renting(self)
        self.regime = Regime(self)
        self._queries = Queries(self)
        context.cashier.on_debit(self.auctions)
        context.react(AgentEnded, self._wind_up)
        context.react(SwitchLapsed, self._withdraw)
        context.react(DisputeOpened, self.attesting.freeze)
        context.react(DisputeDecided, self.attesting.decide)
        context.react(ParameterChanged, self.regime.change_rate)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        registry = self.registry
        return {
            RegisterModule: CommandRule(registry.register, None, opens=True),
            SetDependencies: CommandRule(registry.set_dependencies, None, opens=False),
            AllocateModule: CommandRule(registry.allocate, "operator", opens=True),
            SetRegime: CommandRule(registry.set_regime, "operator", opens=True),
            ReleaseModule: CommandRule(self.release, None, opens=False),
            GrantAccess: CommandRule(self.grant, "trader", opens=True),
            RevokeGrant: CommandRule(self.revoke_grant, None, opens=False),
            **self._market_rules(),
            **self._commons_rules(),
        }

    def _market_rules(self) -> dict[type[Command], CommandRule]:
        """Return the rules of what agents do with each other."""
        selling, auctions, renting = self.selling, self.auctions, self.renting
        return {
            OfferModule: CommandRule(selling.offer, "trader", opens=True),
            WithdrawModuleOffer: CommandRule(selling.withdraw, None, opens=False),
            BuyModule: CommandRule(selling.buy, "trader", opens=True),
            AuctionModule: CommandRule(auctions.auction, "trader", opens=True),
            CancelModuleAuction: CommandRule(auctions.cancel, None, opens=False),
            BidOnModule: CommandRule(auctions.bid, "trader", opens=True),
            WithdrawModuleBid: CommandRule(auctions.withdraw, None, opens=False),
            OfferRental: CommandRule(renting.offer, "trader", opens=True),
            WithdrawRentalOffer: CommandRule(renting.withdraw, None, opens=False),
            RentModule: CommandRule(renting.rent, "trader", opens=True),
            EndRental: CommandRule(renting.end, None, opens=False),
            CollectModuleRent: CommandRule(renting.collect, None, opens=False),
        }

    def _commons_rules(self) -> dict[type[Command], CommandRule]:
        """Return the rules of homesteads, attestations and stated values."""
        homesteads, attesting, regime = self.homesteads, self.attesting, self.regime
        return {
            ClaimModule: CommandRule(homesteads.claim, "trader", opens=True),
            AbandonClaim: CommandRule(homesteads.abandon, None, opens=False),
            AttestWork: CommandRule(attesting.attest_work, "attester", opens=False),
            AttestCheck: CommandRule(attesting.attest_check, "attester", opens=False),
            AcceptCheck: CommandRule(attesting.accept, None, opens=False),
            StateValue: CommandRule(regime.state_value, "trader", opens=True),
            TopUpDeposit: CommandRule(regime.top_up, None, opens=False),
            WithdrawDeposit: CommandRule(regime.withdraw, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return self._queries.readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {
            HANDOVER: self.access.hand_over,
            EXPIRE_OFFER: self.selling.expire,
            CLOSE_AUCTION: self.auctions.close,
            LAPSE_CLAIM: self.homesteads.lapse_claim,
            LAPSE_HOMESTEAD: self.homesteads.lapse_homestead,
            FINALIZE: self.attesting.finalize,
            END_RENTAL: self.renting.expire,
            EXHAUST: self.regime.exhaust,
            WARN: self.regime.warn,
            COLLECT: self.regime.collect,
            GRACE: self.regime.miss_value,
        }

    # ── what other mechanisms ask ───────────────────────────────────────────────────────────────

    def has_module(self, module: str) -> bool:
        """Return whether a module is registered."""
        return module in self.modules

    def owner_of(self, module: str) -> str | None:
        """Return the agent that owns a module; None if nobody does, or there is no such module."""
        found = self.modules.get(module)
        return None if found is None else found.owner or None

    def owner_since(self, module: str) -> int:
        """Return since when a module has its owner, in microseconds; 0 if it has none."""
        found = self.modules.get(module)
        return 0 if found is None or not found.owner else found.owner_since_us

    def owner_at(self, module: str, time_us: int) -> str | None:
        """Return the agent that owned a module at a time; None if nobody did.

        The last 16 owners are remembered; whoever asks for an earlier time hears of the first of these.
        """
        found = self.modules.get(module)
        return None if found is None else found.owner_at(time_us) or None

    def depends_on(self, module: str, dependency: str, registered_by_us: int) -> bool:
        """Return whether it was registered by then that a module depends on another."""
        since_us = self.registry.depends_since(module, dependency)
        return since_us is not None and since_us <= registered_by_us

    def dispute_terms(self, number: int, agent: AgentRecord) -> DisputeTerms | Violation:
        """Return what a dispute over an attestation would be about, if this agent may begin one now."""
        return self.attesting.dispute_terms(number, agent)

    # ── ownership ───────────────────────────────────────────────────────────────────────────────

    def check_partner(self, agent: AgentRecord, name: str) -> Violation | None:
        """Return why an agent cannot offer something to another."""
        partner = self.context.agents.get(name)
        if partner is None or partner.state == "revoked":
            return Reason.UNKNOWN_AGENT, f"{name} is not registered, or was revoked"
        if partner is agent:
            return Reason.INVALID_MODULE_TERMS, "offer it to somebody else, or to anybody"
        return None

    @staticmethod
    def check_private(module: Module) -> Violation | None:
        """Return why a module cannot be offered or auctioned by its owner."""
        if module.regime != "private":
            detail = f"{module.name} is under the harberger regime: anybody may buy it at its stated value"
            return Reason.WRONG_REGIME, detail
        if module.auction:
            return Reason.WRONG_STATE, f"{module.name} is being auctioned"
        return None

    def check_newcomer(self, agent_id: str) -> Violation | None:
        """Return why an agent cannot become the owner of one more module."""
        agent = self.context.agents.get(agent_id)
        if agent is None:
            return Reason.UNKNOWN_AGENT, f"{agent_id} is not registered"
        if agent.state == "revoked":
            return Reason.AGENT_REVOKED, f"{agent_id} was revoked, for good"
        cap = self.context.settings.max_modules_per_owner
        if self.owned.get(agent.owner, 0) >= cap:
            return Reason.TOO_MANY_MODULES, f"the owner {agent.owner} has {cap} modules, which is the limit"
        return None

    def move(
        self,
        module: Module,
        owner: str,
        how: HowMoved,
        price: int,
        *,
        before: list[str] | None = None,
        hands_over: bool = False,
    ) -> None:
        """Give a module to an agent, or to nobody; all money has moved already.

        ``before`` is who had the write access before that; ``hands_over``: the former owner keeps it for a while.
        """
        context, previous = self.context, module.owner
        writers = self.access.writers(module) if before is None else before
        self._clear(module, owner, how)
        self._unindex_owner(module)
        module.note_former(context.time_us)
        module.owner = owner
        module.owner_since_us = context.time_us if owner else 0
        if hands_over:
            self.access.begin_handover(module, previous)
        self.index_owner(module)
        self.access.settle(module, writers)
        self.tally.count("moved_total", how)
        value_due_us: int | None = None
        if how in ("bought", "won"):
            if not self._is_within_owner(previous, owner):
                module.last_price = price
            self.tally.count("sale_credits_total", by=price)
        if how == "homesteaded":
            self.homesteads.use(module)
        if owner and module.regime == "harberger" and how != "bought":
            value_due_us = self.regime.begin_grace(module)
        for name in dict.fromkeys((previous, owner)):
            if name:
                event = OwnershipMoved(
                    module=module.name,
                    how=how,
                    owner=owner or None,
                    previous=previous or None,
                    price=price,
                    value_due_us=value_due_us,
                )
                context.emit(context.agents[name], event)

    def _is_within_owner(self, seller: str, buyer: str) -> bool:
        """Return whether a module stays with its owner: what that pays itself is no price."""
        agents = self.context.agents
        return bool(seller) and agents[seller].owner == agents[buyer].owner

    def _clear(self, module: Module, owner: str, how: HowMoved) -> None:
        """End what was of the owner before, or of those who wanted to be it."""
        for name in list(module.grants):
            self._forget_grant(module, name)
        self.selling.drop(module)
        self.renting.drop_offers(module)
        if how != "bought" or module.regime == "private":
            self.access.cancel_handover(module)
        self.context.deadlines.cancel(module.lapse_id)
        module.lapse_id = 0
        self.context.deadlines.cancel(module.grace_id)
        module.grace_id = 0
        if owner:
            self.homesteads.end_all(module, owner if how == "homesteaded" else "")
        module.title = how if how in ("allocated", "bought", "won", "homesteaded") else None

    def dispossess(self, module: Module, how: HowMoved, rental_end: RentalEnd, until_us: int | None = None) -> int:
        """Take a module from its owner: rentals end, the deposit less the tax goes back; return how much that is."""
        before = self.access.writers(module)
        posting = self.context.cashier.posting(module.cause)
        refunded = self.regime.refund_legs(module, posting)
        closed = self.renting.close_all(module, posting, until_us)
        posting.post()
        self.renting.forget_all(closed, rental_end)
        self.regime.drop(module)
        self.move(module, "", how, 0, before=before)
        return refunded

    def foreclose(self, module: Module, why: WhyForeclosed, at_us: int | None = None) -> None:
        """Take a module from its owner, as of a time, and auction it for ``public_fund``."""
        context, owner = self.context, module.owner
        if module.auction:
            self.auctions.call_off(self.auctions.open[module.auction])
        refunded = self.dispossess(module, "foreclosed", "foreclosed", at_us)
        self.tally.count("foreclosed_total", why)
        moment_us = context.time_us if at_us is None else at_us
        event = ModuleForeclosed(module=module.name, why=why, at_us=moment_us, refunded=refunded)
        context.emit(context.agents[owner], event)
        self.auctions.foreclose(module, owner)

    def index_owner(self, module: Module) -> None:
        """Note whose a module is."""
        if module.owner:
            self.by_owner.setdefault(module.owner, {})[module.name] = None
            fleet = self.context.agents[module.owner].owner
            self.owned[fleet] = self.owned.get(fleet, 0) + 1

    def _unindex_owner(self, module: Module) -> None:
        if not module.owner:
            return
        names = self.by_owner[module.owner]
        del names[module.name]
        if not names:
            del self.by_owner[module.owner]
        fleet = self.context.agents[module.owner].owner
        self.owned[fleet] -= 1
        if not self.owned[fleet]:
            del self.owned[fleet]

    def find_own(self, agent: AgentRecord, name: str) -> Module | Violation:
        """Return a module of an agent's own, or why it may not act as its owner."""
        module = self.modules.get(name)
        if module is None:
            return Reason.UNKNOWN_MODULE, f"no module {name} is registered"
        if module.owner != agent.agent_id:
            return Reason.NOT_PERMITTED, f"{name} belongs to {module.owner or 'nobody'}"
        return module

    def release(self, agent: AgentRecord, command: ReleaseModule) -> Outcome:
        """Give a module up."""
        found = self.find_own(agent, command.module)
        if not isinstance(found, Module):
            return self.context.reject(command, *found)
        if found.auction or found.rentals or self.regime.is_exhausted(found):
            detail = f"{found.name} is being auctioned, others rent it, or its deposit is exhausted"
            return self.context.reject(command, Reason.WRONG_STATE, detail)
        self.dispossess(found, "released", "given_up")
        return self.registry.outcome(command, found)

    def next_offer(self) -> int:
        """Return the number of a new offer."""
        self._last_offer += 1
        return self._last_offer

    def note_offers(self, module: Module) -> None:
        """Know whether the owner of a module offers it, or access to it."""
        names = self.offering.setdefault(module.owner, {})
        if module.offer is not None or module.rental_offers:
            names[module.name] = None
        else:
            names.pop(module.name, None)
        if not names:
            del self.offering[module.owner]

    def _wind_up(self, fact: AgentEnded) -> None:
        """Withdraw and end what a revoked agent has under way, and foreclose what it owns.

        By name and number: the order in which the indexes came about is in no snapshot.
        """
        self._withdraw(fact)
        self.homesteads.end_of(fact.agent)
        self.renting.end_of(fact.agent)
        self.access.hand_over_all(fact.agent)
        for name in sorted(self.granted.get(fact.agent, ())):
            self._end_grant(self.modules[name], fact.agent)
        for name in sorted(self.by_owner.get(fact.agent, ())):
            self.foreclose(self.modules[name], "revoked")

    def _withdraw(self, fact: AgentEnded | SwitchLapsed) -> None:
        """Withdraw what binds an agent to nothing yet: its sealed bids, its offers."""
        self.auctions.withdraw_all(fact.agent)
        for name in sorted(self.offering.get(fact.agent, ())):
            self.selling.drop(self.modules[name])
            self.renting.drop_offers(self.modules[name])

    # ── grants ──────────────────────────────────────────────────────────────────────────────────

    def grant(self, agent: AgentRecord, command: GrantAccess) -> Outcome:
        """Let another agent write, too."""
        context = self.context
        found = self.find_own(agent, command.module)
        if not isinstance(found, Module):
            return context.reject(command, *found)
        target = context.agents.get(command.agent)
        if target is None or target.state == "revoked":
            return context.reject(command, Reason.UNKNOWN_AGENT, f"{command.agent} is not registered, or was revoked")
        if command.agent in found.grants or command.agent == found.owner:
            return context.reject(command, Reason.NO_CHANGE, f"{command.agent} has access already")
        cap = context.settings.max_module_grants
        if len(found.grants) >= cap:
            return context.reject(command, Reason.TOO_MANY_GRANTS, f"a module has at most {cap} grants; revoke one")
        before = self.access.writers(found)
        self.index_grant(found, command.agent)
        self.access.settle(found, before)
        return self.registry.outcome(command, found)

    def index_grant(self, module: Module, agent_id: str) -> None:
        """Note that an agent was granted access."""
        module.grants[agent_id] = None
        self.granted.setdefault(agent_id, {})[module.name] = None

    def revoke_grant(self, agent: AgentRecord, command: RevokeGrant) -> Outcome:
        """Take a grant back; the fencing token rises."""
        found = self.find_own(agent, command.module)
        if not isinstance(found, Module):
            return self.context.reject(command, *found)
        if command.agent not in found.grants:
            return self.context.reject(command, Reason.NO_CHANGE, f"{command.agent} has no grant")
        self._end_grant(found, command.agent)
        return self.registry.outcome(command, found)

    def _end_grant(self, module: Module, agent_id: str) -> None:
        before = self.access.writers(module)
        self._forget_grant(module, agent_id)
        self.access.settle(module, before)

    def _forget_grant(self, module: Module, agent_id: str) -> None:
        del module.grants[agent_id]
        names = self.granted[agent_id]
        del names[module.name]
        if not names:
            del self.granted[agent_id]

    def reject_unknown(self, command: Command, name: str) -> Outcome:
        """Reject what names a module that is not registered."""
        return self.context.reject(command, Reason.UNKNOWN_MODULE, f"no module {name} is registered")

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch; nothing of bids, which are sealed."""
        owned = sum(self.owned.copy().values())
        text = "Modules registered."
        rows: list[Row] = [
            ("modules", text, {"state": "owned"}, owned),
            ("modules", text, {"state": "unowned"}, len(self.modules) - owned),
            ("taxed_modules", "Modules of which a value is stated.", {}, len(self.regime.due)),
            ("open_auctions", "Auctions of modules that have not closed.", {}, len(self.auctions.open)),
            ("open_claims", "Claims to modules that are open.", {}, len(self.homesteads.claims)),
            ("running_rentals", "Rentals that run.", {}, len(self.renting.rentals)),
            ("waiting_attestations", "Attestations that are not final.", {}, len(self.attesting.waiting)),
        ]
        return [*rows, *self.tally.rows()]

    def escrows(self) -> Iterable[str]:
        """Return the escrows of deposits and rentals."""
        deposits = [escrow_of(self.by_number[number].cause) for number in self.regime.due]
        return [*deposits, *[rental.escrow for rental in self.renting.rentals.values()]]

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of modules and what is under way with them."""
        return broken_invariants(self)

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self.registry.last_number,
            self._last_offer,
            [module.dump() for module in self.modules.values()],
            self.auctions.dump(),
            self.homesteads.dump(),
            self.attesting.dump(),
            [self.renting.last_rental, [rental.dump() for rental in self.renting.rentals.values()]],
            self.regime.dump(),
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; the indexes follow from it."""
        self.registry.last_number, self._last_offer, modules, auctions, homesteads, attesting, renting, regime = state
        for fields in modules:
            module = Module.load(fields)
            self.registry.add(module)
            self.index_owner(module)
            self.access.index(module)
            for name in list(module.grants):
                self.index_grant(module, name)
            if module.offer is not None or module.rental_offers:
                self.note_offers(module)
            for number in module.rental_offers:
                self.renting.offers[number] = module.name
        self.auctions.load(auctions)
        self.homesteads.load(homesteads)
        self.attesting.load(attesting)
        self.renting.last_rental, rentals = renting
        for fields in rentals:
            self.renting.index(Rental.load(fields))
        self.regime.load(regime)
