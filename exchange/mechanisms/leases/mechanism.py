"""Let capacity for a term: family ``leases``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from exchange.mechanisms.base import AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import (
    AgentEnded,
    DisputeDecided,
    DisputeOpened,
    DisputeTerms,
    SwitchLapsed,
    UnitsLeased,
)
from exchange.mechanisms.leases.lease import Lease, Period
from exchange.mechanisms.leases.queries import Queries
from exchange.mechanisms.leases.turns import Turns
from exchange.mechanisms.tally import Figure, Tally
from exchange.messages.base import Command, Outcome, Query, Result
from exchange.messages.leases import (
    AcquiredLeg,
    AcquireLeases,
    AcquireOutcome,
    BidTurn,
    CollectOutcome,
    CollectRent,
    LeaseDecided,
    LeaseDisputed,
    LeaseEnded,
    LeaseOpened,
    LeaseOutcome,
    LeaseRenewed,
    OfferRenewal,
    ReleaseLease,
    RenewLease,
    RentPaid,
    RevokeLease,
    TurnEnded,
    WithdrawRenewal,
    WithdrawTurn,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from exchange.mechanisms.leases.turns import Turn
    from exchange.mechanisms.tally import Row
    from exchange.messages.leases import LeaseEnd

__all__ = ["LeaseBooks", "Leases"]

_SECOND_US: Final = 1_000_000
_MARKETS_SHOWN: Final = 200
"""So many markets have rows of their own in the metrics."""


class LeaseBooks(Protocol):
    """Say what this mechanism asks of the books of lease markets."""

    def tick(self, market_id: str) -> int | None:
        """Return the tick of a lease market, None if there is no such."""

    def offered(self, market_id: str) -> int:
        """Return what the sell orders of a market offer."""

    def check_take(
        self, agent: AgentRecord, market_id: str, quantity: int, price: int, share: int
    ) -> int | tuple[Reason, str]:
        """Return what taking so much at once can cost, or why it cannot be."""

    def take(
        self, agent: AgentRecord, command_id: str, market_id: str, quantity: int, price: int
    ) -> tuple[int, int, int]:
        """Trade what was checked; return the order's id, its value and its fee."""


class Leases(Mechanism):
    """Keep every lease from its trade until its money has moved."""

    family: ClassVar[str] = "leases"
    summary: ClassVar[str] = "capacity for a term: rent as it accrues, fencing tokens, renewals, whose turn is next"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.leases: dict[int, Lease] = {}
        self.by_agent: dict[str, dict[int, None]] = {}
        """The leases in which an agent is lessee or lessor."""
        self.by_token: dict[int, int] = {}
        """The lease of each fencing token that is good."""
        self.whole: dict[str, int] = {}
        """The lease of each asset of which the only whole unit is leased."""
        self.leased: dict[str, int] = {}
        """By market, the units that are on lease."""
        self.offers: dict[str, dict[str, int]] = {}
        """By agent and market, the prices at which a lessor lets again."""
        self.turns = Turns(context)
        self.books: LeaseBooks | None = None
        self._last_number = 0
        self._last_token = 0
        self._queries = Queries(self)
        self._tally = Tally(
            Figure("opened_total", "Leases opened."),
            Figure("ended_total", "Leases that are over, by how they ended.", ("how",)),
            Figure("renewed_total", "Terms added to running leases."),
            Figure("turns_total", "Turns of exclusive resources that were given to a bidder."),
            Figure("disputed_total", "Leases that were disputed."),
            Figure("rent_credits_total", "Whole credits of rent paid to lessors."),
        )
        context.react(UnitsLeased, self._open)
        context.react(AgentEnded, self._withdraw)
        context.react(SwitchLapsed, self._withdraw)
        context.react(DisputeOpened, self._freeze)
        context.react(DisputeDecided, self._decide)
        context.cashier.on_debit(self.turns)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        return {
            AcquireLeases: CommandRule(self.acquire, "trader", opens=True),
            ReleaseLease: CommandRule(self.release, None, opens=False),
            RenewLease: CommandRule(self.renew, None, opens=False),
            RevokeLease: CommandRule(self.revoke, None, opens=False),
            CollectRent: CommandRule(self.collect, None, opens=False),
            OfferRenewal: CommandRule(self.offer_renewal, "trader", opens=True),
            WithdrawRenewal: CommandRule(self.withdraw_renewal, None, opens=False),
            BidTurn: CommandRule(self.bid_turn, "trader", opens=True),
            WithdrawTurn: CommandRule(self.withdraw_turn, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return self._queries.readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {"leases.end": self._end}

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        """Find the books of lease markets."""
        orders: Any = mechanisms.get("orders")
        if orders is not None:
            self.books = orders.leasing

    # ── opening ─────────────────────────────────────────────────────────────────────────────────

    def _open(self, fact: UnitsLeased) -> None:
        """Let a lease run from its trade on."""
        now_us, term_us = self.context.time_us, fact.term_seconds * _SECOND_US
        self._last_number += 1
        lease = Lease(
            self._last_number, fact.market, fact.trade_id, fact.escrow, fact.lessee, fact.lessor, fact.asset,
            fact.quantity, fact.price, fact.compensation, term_us, self._next_token(),
            Period(now_us, now_us + term_us, fact.value),
        )  # fmt: skip
        self._begin(lease)

    def _next_token(self) -> int:
        self._last_token += 1
        return self._last_token

    def _begin(self, lease: Lease) -> None:
        self._index(lease)
        lease.end_id = self.context.deadlines.schedule(lease.ends_us, "leases.end", lease.number)
        self._tally.count("opened_total")
        for agent in self._sides(lease):
            self.context.emit(
                agent,
                LeaseOpened(
                    lease=lease.number,
                    market=lease.market,
                    trade_id=lease.trade_id,
                    asset=lease.asset,
                    quantity=lease.quantity,
                    lessee=lease.lessee,
                    lessor=lease.lessor,
                    price=lease.price,
                    rent=lease.rent,
                    compensation=lease.compensation,
                    ends_us=lease.ends_us,
                    fencing_token=lease.fencing_token,
                ),
            )

    def _index(self, lease: Lease) -> None:
        self.leases[lease.number] = lease
        for name in (lease.lessee, lease.lessor):
            self.by_agent.setdefault(name, {})[lease.number] = None
        if lease.units_returned:
            return
        self.by_token[lease.fencing_token] = lease.number
        self.leased[lease.market] = self.leased.get(lease.market, 0) + lease.quantity
        if self.is_exclusive(lease.asset) and lease.quantity == self.context.ledger.assets[lease.asset].scale:
            self.whole[lease.asset] = lease.number

    def is_exclusive(self, asset: str) -> bool:
        """Return whether exactly one whole unit of an asset exists."""
        found = self.context.ledger.assets[asset]
        return found.issued == found.scale

    def _sides(self, lease: Lease) -> Iterator[AgentRecord]:
        agents = self.context.agents
        for name in dict.fromkeys((lease.lessee, lease.lessor)):
            yield agents[name]

    def _owner(self, agent_id: str) -> str:
        return self.context.agents[agent_id].owner

    # ── taking ──────────────────────────────────────────────────────────────────────────────────

    def acquire(self, agent: AgentRecord, command: AcquireLeases) -> Outcome:
        """Lease from several markets at once, or not at all."""
        context, books = self.context, self.books
        legs = command.legs
        if len(dict.fromkeys(leg.market for leg in legs)) < len(legs):
            return context.reject(command, Reason.FIELD_NOT_ALLOWED, "name each market once")
        if books is None:
            return context.reject(command, Reason.UNKNOWN_MARKET, "this venue has no markets")
        cost = 0
        for leg in legs:
            found = books.check_take(agent, leg.market, leg.quantity, leg.max_price, len(legs))
            if not isinstance(found, int):
                return context.reject(command, *found)
            cost += found
        problem = context.cashier.check(agent, cost)
        if problem is not None:
            return context.reject(command, *problem)
        acquired = [
            AcquiredLeg(leg.market, order_id, leg.quantity, rent, fee)
            for leg in legs
            for order_id, rent, fee in (books.take(agent, command.id, leg.market, leg.quantity, leg.max_price),)
        ]
        return AcquireOutcome(command.id, "accepted", context.stamp, legs=acquired)

    # ── ending ──────────────────────────────────────────────────────────────────────────────────

    def release(self, agent: AgentRecord, command: ReleaseLease) -> Outcome:
        """End a lease early; the rent up to the end of the notice is due."""
        lease = self.leases.get(command.lease)
        if lease is None:
            return self._reject_unknown(command, command.lease)
        problem = self._check_side(agent, lease.lessee, "lessee") or self._check_holding(lease, command.fencing_token)
        if problem is not None:
            return self.context.reject(command, *problem)
        notice_us = self.context.settings.lease_notice_seconds * _SECOND_US
        paid, refunded = self._finish(lease, "released", self.context.time_us + notice_us, is_forfeit=False)
        return LeaseOutcome(
            command.id, "accepted", self.context.stamp,
            lease=lease.number, paid=paid, refunded=refunded, ends_us=self.context.time_us,
        )  # fmt: skip

    def revoke(self, agent: AgentRecord, command: RevokeLease) -> Outcome:
        """End a lease at once, by the lessor, which pays the compensation."""
        lease = self.leases.get(command.lease)
        if lease is None:
            return self._reject_unknown(command, command.lease)
        problem = self._check_side(agent, lease.lessor, "lessor") or self._check_undisputed(lease)
        if problem is not None:
            return self.context.reject(command, *problem)
        paid, refunded = self._finish(lease, "revoked", self.context.time_us, is_forfeit=True)
        return LeaseOutcome(
            command.id, "accepted", self.context.stamp,
            lease=lease.number, paid=paid, refunded=refunded, ends_us=self.context.time_us,
        )  # fmt: skip

    def _end(self, number: int) -> None:
        """End a lease whose last term is over; if it is in dispute, only the units return."""
        lease = self.leases[number]
        lease.end_id = 0
        if lease.frozen_us is None:
            self._finish(lease, "ended", lease.ends_us, is_forfeit=False)
            return
        posting = self.context.cashier.posting(f"leases:{number}")
        posting.give_back(lease.escrow, lease.lessor, lease.quantity, lease.asset)
        posting.post()
        self._return_units(lease)
        self._close_turns(lease, None, "")

    def _finish(self, lease: Lease, how: LeaseEnd, rent_until_us: int, *, is_forfeit: bool) -> tuple[int, int]:
        """Pay the rent up to a time, give back the rest, and end a lease; return what was paid and what refunded.

        ``is_forfeit``: the compensation goes to the lessee, else back to the lessor.
        """
        context = self.context
        turn = self._next_turn(lease) if how in ("ended", "released") else None
        successor = self._last_number + 1
        escrow = escrow_of(f"leases:{successor}")
        due = lease.accrued(rent_until_us) - lease.paid
        refunded = lease.rent - lease.paid - due
        posting = context.cashier.posting(f"leases:{lease.number}")
        posting.pay(lease.escrow, lease.lessor, due)
        posting.give_back(lease.escrow, lease.lessee, refunded)
        if turn is not None:
            # The units stay where the next holder has them, and so does what the lessor pledged.
            posting.move(lease.escrow, escrow, lease.compensation)
            posting.move(lease.escrow, escrow, lease.quantity, lease.asset)
        else:
            posting.give_back(lease.escrow, lease.lessee if is_forfeit else lease.lessor, lease.compensation)
            if not lease.units_returned:
                posting.give_back(lease.escrow, lease.lessor, lease.quantity, lease.asset)
        posting.post()
        lease.paid += due
        self._forget(lease)
        self._tally.count("ended_total", how)
        self._tally.count("rent_credits_total", by=due)
        for agent in self._sides(lease):
            context.emit(
                agent,
                LeaseEnded(
                    lease=lease.number,
                    how=how,
                    fencing_token=lease.fencing_token,
                    paid=lease.paid,
                    refunded=refunded,
                    compensation=lease.compensation if is_forfeit else 0,
                ),
            )
        self._close_turns(lease, turn, escrow)
        return due, refunded

    def _forget(self, lease: Lease) -> None:
        if lease.end_id:
            self.context.deadlines.cancel(lease.end_id)
            lease.end_id = 0
        if not lease.units_returned:
            self._return_units(lease)
        del self.leases[lease.number]
        for name in (lease.lessee, lease.lessor):
            del self.by_agent[name][lease.number]
            if not self.by_agent[name]:
                del self.by_agent[name]

    def _return_units(self, lease: Lease) -> None:
        """Note that a lessee holds nothing any more."""
        lease.units_returned = True
        del self.by_token[lease.fencing_token]
        self.leased[lease.market] -= lease.quantity
        if not self.leased[lease.market]:
            del self.leased[lease.market]

    # ── turns ───────────────────────────────────────────────────────────────────────────────────

    def bid_turn(self, agent: AgentRecord, command: BidTurn) -> Outcome:
        """Take a sealed bid for the next turn of a resource that is busy."""
        context, turns, resource = self.context, self.turns, command.resource
        if resource not in context.ledger.assets:
            return context.reject(command, Reason.UNKNOWN_ASSET, f"no asset {resource}")
        lease = self.leases.get(self.whole.get(resource, 0))
        if lease is None or not self.is_exclusive(resource):
            detail = f"nobody has the only unit of {resource} on lease: take it in its market"
            return context.reject(command, Reason.RESOURCE_NOT_BUSY, detail)
        if self._owner(lease.lessor) == agent.owner:
            return context.reject(command, Reason.NOT_PERMITTED, f"{resource} is your owner's")
        before = turns.find(resource, agent.owner)
        if before is not None and before.agent != agent.agent_id:
            detail = f"{before.agent} of your owner has a bid for {resource}: one bid per owner"
            return context.reject(command, Reason.TOO_MANY_TURN_BIDS, detail)
        limit = context.settings.max_turn_bids_per_owner
        if before is None and turns.count(agent.owner) >= limit:
            detail = f"the owner {agent.owner} bids for {limit} turns; withdraw one"
            return context.reject(command, Reason.TOO_MANY_TURN_BIDS, detail)
        problem = context.cashier.check(agent, command.amount - (0 if before is None else before.amount))
        if problem is not None:
            return context.reject(command, *problem)
        turns.place(resource, agent.agent_id, agent.owner, command.amount)
        return context.accept(command)

    def withdraw_turn(self, agent: AgentRecord, command: WithdrawTurn) -> Outcome:
        """Take the agent's bid for a resource back."""
        bid = self.turns.find(command.resource, agent.owner)
        if bid is None or bid.agent != agent.agent_id:
            return self.context.reject(command, Reason.NO_CHANGE, f"you have no bid for the turn of {command.resource}")
        self.turns.withdraw(bid)
        return self.context.accept(command)

    def _next_turn(self, lease: Lease) -> Turn | None:
        """Return who has the resource of a lease next; nobody unless the lessor lets again."""
        if self.whole.get(lease.asset) != lease.number or lease.units_returned:
            return None
        return self.turns.decide(lease.asset, self.renewal_price(lease))

    def _close_turns(self, lease: Lease, turn: Turn | None, escrow: str) -> None:
        """End the bids for what a lease held; who won begins a lease of its own."""
        if self.whole.get(lease.asset) != lease.number:
            return
        del self.whole[lease.asset]
        bids = self.turns.close(lease.asset, turn, escrow)
        number = None if turn is None else self._last_number + 1
        for bid in bids:
            won = turn is not None and bid == turn.winner
            event = TurnEnded(
                resource=lease.asset,
                won=won,
                lease=number if won else None,
                price=turn.price if won and turn is not None else None,
            )
            self.context.emit(self.context.agents[bid.agent], event)
        if turn is not None:
            self._begin_turn(lease, turn, escrow)

    def _begin_turn(self, lease: Lease, turn: Turn, escrow: str) -> None:
        now_us = self.context.time_us
        self._last_number += 1
        self._tally.count("turns_total")
        self._begin(
            Lease(
                self._last_number, lease.market, 0, escrow, turn.winner.agent, lease.lessor, lease.asset,
                lease.quantity, turn.price, lease.compensation, lease.term_us, self._next_token(),
                Period(now_us, now_us + lease.term_us, turn.price),
            )
        )  # fmt: skip

    # ── renewals ────────────────────────────────────────────────────────────────────────────────

    def renewal_price(self, lease: Lease) -> int | None:
        """Return the price at which a lessor lets again, by its offer for the lease or else for the market."""
        if lease.renewal_price is not None:
            return lease.renewal_price
        return self.offers.get(lease.lessor, {}).get(lease.market)

    def renew(self, agent: AgentRecord, command: RenewLease) -> Outcome:
        """Extend a lease by one term, at the lessor's standing offer."""
        context, lease = self.context, self.leases.get(command.lease)
        if lease is None:
            return self._reject_unknown(command, command.lease)
        if agent.agent_id != lease.lessee:
            return context.reject(command, Reason.NOT_PERMITTED, f"only its lessee, {lease.lessee}, renews it")
        problem = self._check_holding(lease, command.fencing_token)
        if problem is not None:
            return context.reject(command, *problem)
        price = self.renewal_price(lease)
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
        self._tally.count("renewed_total")
        for side in self._sides(lease):
            context.emit(side, LeaseRenewed(lease=lease.number, price=price, rent=rent, ends_us=lease.ends_us))
        return LeaseOutcome(command.id, "accepted", context.stamp, lease=lease.number, ends_us=lease.ends_us)

    def offer_renewal(self, agent: AgentRecord, command: OfferRenewal) -> Outcome:
        """Let an offer stand, for one lease or for all in a market."""
        context, me = self.context, agent.agent_id
        problem = self._check_offer(agent, command)
        if problem is not None:
            return context.reject(command, *problem)
        if command.lease is not None:
            self.leases[command.lease].renewal_price = command.price
        elif command.market is not None:
            self.offers.setdefault(me, {})[command.market] = command.price
        return context.accept(command)

    def _check_offer(self, agent: AgentRecord, command: OfferRenewal) -> tuple[Reason, str] | None:
        market = command.market
        if (command.lease is None) == (market is None):
            return Reason.MISSING_FIELD, "give lease or market, not both"
        if command.lease is not None:
            lease = self.leases.get(command.lease)
            if lease is None:
                return Reason.UNKNOWN_LEASE, f"no lease {command.lease} runs"
            if lease.lessor != agent.agent_id:
                return Reason.NOT_PERMITTED, f"only its lessor, {lease.lessor}, offers to let it again"
            market = lease.market
        tick = None if self.books is None else self.books.tick(market or "")
        if tick is None:
            return Reason.UNKNOWN_MARKET, f"no lease market {market}"
        if command.price % tick:
            return Reason.INVALID_PRICE, f"price {command.price} is not a multiple of the tick {tick}"
        return None

    def withdraw_renewal(self, agent: AgentRecord, command: WithdrawRenewal) -> Outcome:
        """Withdraw a standing offer."""
        context, me = self.context, agent.agent_id
        if (command.lease is None) == (command.market is None):
            return context.reject(command, Reason.MISSING_FIELD, "give lease or market, not both")
        if command.lease is not None:
            lease = self.leases.get(command.lease)
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

    def _withdraw(self, fact: AgentEnded | SwitchLapsed) -> None:
        """Withdraw what binds an agent to nothing yet: its bids for turns, its standing offers."""
        self.turns.withdraw_all(fact.agent)
        self.offers.pop(fact.agent, None)
        for number in self.by_agent.get(fact.agent, ()):
            lease = self.leases[number]
            if lease.lessor == fact.agent:
                lease.renewal_price = None

    # ── rent ────────────────────────────────────────────────────────────────────────────────────

    def collect(self, agent: AgentRecord, command: CollectRent) -> Outcome:
        """Pay the rent that has accrued up to now."""
        context, lease = self.context, self.leases.get(command.lease)
        if lease is None:
            return self._reject_unknown(command, command.lease)
        problem = self._check_side(agent, lease.lessor, "lessor")
        if problem is not None:
            return context.reject(command, *problem)
        due = lease.accrued(context.time_us) - lease.paid
        if not due:
            return context.reject(command, Reason.NO_CHANGE, "all rent that has accrued is paid")
        posting = context.cashier.posting(f"leases:{lease.number}")
        posting.pay(lease.escrow, lease.lessor, due)
        posting.post()
        lease.paid += due
        self._tally.count("rent_credits_total", by=due)
        for side in self._sides(lease):
            context.emit(side, RentPaid(lease=lease.number, amount=due, paid=lease.paid))
        return CollectOutcome(
            command.id, "accepted", context.stamp, lease=lease.number, paid=due, left=lease.rent - lease.paid
        )

    # ── guards ──────────────────────────────────────────────────────────────────────────────────

    def _reject_unknown(self, command: Command, number: int) -> Outcome:
        detail = f"no lease {number} runs: it is over, or never was"
        return self.context.reject(command, Reason.UNKNOWN_LEASE, detail)

    def _check_side(self, agent: AgentRecord, party: str, role: str) -> tuple[Reason, str] | None:
        if self._owner(party) == agent.owner:
            return None
        return Reason.NOT_PERMITTED, f"only the {role}, {party}, or another agent of its owner may"

    @staticmethod
    def _check_undisputed(lease: Lease) -> tuple[Reason, str] | None:
        if lease.frozen_us is None:
            return None
        return Reason.WRONG_STATE, f"lease {lease.number} is in dispute {lease.dispute}"

    def _check_holding(self, lease: Lease, token: int) -> tuple[Reason, str] | None:
        if token != lease.fencing_token:
            detail = f"fencing token {token} is not that of lease {lease.number}"
            return Reason.STALE_FENCING_TOKEN, detail
        return self._check_undisputed(lease)

    # ── disputes ────────────────────────────────────────────────────────────────────────────────

    def dispute_terms(self, number: int, agent: AgentRecord) -> DisputeTerms | tuple[Reason, str]:
        """Say of a running lease what a dispute over it is about: the rent that is left, and the compensation."""
        lease = self.leases.get(number)
        if lease is None:
            return Reason.UNKNOWN_LEASE, f"no lease {number} runs: it is over, or never was"
        owner = agent.owner
        if owner not in (self._owner(lease.lessee), self._owner(lease.lessor)):
            return Reason.NOT_PERMITTED, "only lessee and lessor dispute a lease"
        if lease.was_disputed:
            return Reason.ALREADY_DISPUTED, f"lease {number} was disputed, and may be only once"
        left = lease.rent - lease.accrued(self.context.time_us) + lease.compensation
        if owner == self._owner(lease.lessee):
            return DisputeTerms(lease.lessee, lease.lessor, left)
        return DisputeTerms(lease.lessor, lease.lessee, left)

    def _freeze(self, fact: DisputeOpened) -> None:
        lease = self.leases.get(fact.number) if fact.family == self.family else None
        if lease is None:
            return
        lease.frozen_us, lease.dispute, lease.disputer = self.context.time_us, fact.dispute, fact.disputer
        lease.was_disputed = True
        self._tally.count("disputed_total")
        event = {"lease": lease.number, "dispute": fact.dispute}
        for side in self._sides(lease):
            self.context.emit(side, LeaseDisputed(**event, disputer=fact.disputer))

    def _decide(self, fact: DisputeDecided) -> None:
        """End a lease as of its dispute, if that is upheld; else let all be as if it had never been."""
        lease = self.leases.get(fact.number) if fact.family == self.family else None
        if lease is None or lease.frozen_us is None:
            return
        for side in self._sides(lease):
            self.context.emit(side, LeaseDecided(lease=lease.number, dispute=fact.dispute, upheld=fact.upheld))
        since_us, lease.frozen_us, lease.dispute = lease.frozen_us, None, None
        if fact.upheld:
            by_lessee = self._owner(lease.disputer) == self._owner(lease.lessee)
            notice_us = 0 if by_lessee else self.context.settings.lease_notice_seconds * _SECOND_US
            self._finish(lease, "disputed", since_us + notice_us, is_forfeit=by_lessee)
        elif lease.units_returned:
            self._finish(lease, "ended", lease.ends_us, is_forfeit=False)

    # ── looking ─────────────────────────────────────────────────────────────────────────────────

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch; nothing about bids, which are sealed."""
        rows = [*self._tally.rows(), ("running", "Leases that are not over.", {}, len(self.leases))]
        books = self.books
        for market, leased in list(self.leased.items())[:_MARKETS_SHOWN]:
            offered = 0 if books is None else books.offered(market)
            labels = {"market": market}
            rows.append(("leased_units", "Units on lease, in the asset's smallest unit.", labels, leased))
            rows.append(("offered_units", "Units on lease or offered for one.", labels, leased + offered))
        return rows

    def escrows(self) -> Iterable[str]:
        """Return the escrows of all leases that are not over."""
        return [lease.escrow for lease in self.leases.values()]

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of leases and bids."""
        broken: list[str] = []
        leased: dict[str, int] = {}
        tokens: dict[int, int] = {}
        cashier = self.context.cashier
        for number, lease in self.leases.items():
            rent_left = lease.rent - lease.paid
            now_us = self.context.time_us
            if not 0 <= lease.paid <= lease.past_rent + sum(period.accrued(now_us) for period in lease.periods):
                broken.append(f"rent_is_paid_as_it_accrues: {number}")
            if cashier.in_escrow(lease.escrow) != rent_left + lease.compensation:
                broken.append(f"escrow_equals_rent_and_compensation: {number}")
            units = 0 if lease.units_returned else lease.quantity
            if cashier.in_escrow(lease.escrow, lease.asset) != units:
                broken.append(f"escrow_has_the_units: {number}")
            if lease.frozen_us is None and lease.units_returned:
                broken.append(f"only_disputes_outlast_the_units: {number}")
            if not lease.units_returned:
                tokens[lease.fencing_token] = number
                leased[lease.market] = leased.get(lease.market, 0) + lease.quantity
        if tokens != self.by_token or leased != self.leased:
            broken.append("what_is_held_is_indexed")
        broken.extend(self.turns.problems(self.whole))
        return broken

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self._last_number,
            self._last_token,
            [lease.dump() for lease in self.leases.values()],
            [[agent, [list(offer) for offer in offers.items()]] for agent, offers in self.offers.items()],
            self.turns.dump(),
            list(self.whole.items()),
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self._last_number, self._last_token, leases, offers, turns, whole = state
        for lease_state in leases:
            self._index(Lease.load(lease_state))
        self.offers = {agent: dict(rows) for agent, rows in offers}
        self.turns.load(turns)
        self.whole = dict(whole)
