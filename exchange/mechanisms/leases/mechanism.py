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
from exchange.mechanisms.leases.bidding import Bidding
from exchange.mechanisms.leases.invariants import broken_invariants
from exchange.mechanisms.leases.lease import Lease, Period
from exchange.mechanisms.leases.queries import Queries
from exchange.mechanisms.leases.renewing import Renewing
from exchange.mechanisms.leases.turns import Turns
from exchange.mechanisms.tally import Figure, Tally, words
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
    LeaseEnd,
    LeaseEnded,
    LeaseOpened,
    LeaseOutcome,
    OfferRenewal,
    ReleaseLease,
    RenewLease,
    RentPaid,
    RevokeLease,
    WithdrawRenewal,
    WithdrawTurn,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from exchange.mechanisms.leases.turns import Turn
    from exchange.mechanisms.tally import Row

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
        self.turns = Turns(context)
        self.renewing = Renewing(self)
        self.books: LeaseBooks | None = None
        self._last_number = 0
        self._last_token = 0
        self._bidding = Bidding(self)
        self._queries = Queries(self)
        self.tally = Tally(
            Figure("opened_total", "Leases opened."),
            Figure("ended_total", "Leases that are over, by how they ended.", ("how",), words(LeaseEnd)),
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
            RenewLease: CommandRule(self.renewing.renew, None, opens=False),
            RevokeLease: CommandRule(self.revoke, None, opens=False),
            CollectRent: CommandRule(self.collect, None, opens=False),
            OfferRenewal: CommandRule(self.renewing.offer, "trader", opens=True),
            WithdrawRenewal: CommandRule(self.renewing.withdraw, None, opens=False),
            BidTurn: CommandRule(self._bidding.bid, "trader", opens=True),
            WithdrawTurn: CommandRule(self._bidding.withdraw, None, opens=False),
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
        self.tally.count("opened_total")
        for agent in self.sides(lease):
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

    def sides(self, lease: Lease) -> Iterator[AgentRecord]:
        """Yield lessee and lessor; one agent, if it is both, once."""
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
            return self.reject_unknown(command, command.lease)
        problem = self._check_side(agent, lease.lessee, "lessee") or self.check_holding(lease, command.fencing_token)
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
            return self.reject_unknown(command, command.lease)
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
        self._bidding.close(lease, None, "", 0)

    def _finish(self, lease: Lease, how: LeaseEnd, rent_until_us: int, *, is_forfeit: bool) -> tuple[int, int]:
        """Pay the rent up to a time, give back the rest, and end a lease; return what was paid and what refunded.

        ``is_forfeit``: the compensation goes to the lessee, else back to the lessor.
        """
        context = self.context
        turn = self._bidding.next_turn(lease) if how in ("ended", "released") else None
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
            if is_forfeit:
                posting.pay(lease.escrow, lease.lessee, lease.compensation)
            else:
                posting.give_back(lease.escrow, lease.lessor, lease.compensation)
            if not lease.units_returned:
                posting.give_back(lease.escrow, lease.lessor, lease.quantity, lease.asset)
        posting.post()
        lease.paid += due
        self._forget(lease)
        self.tally.count("ended_total", how)
        self.tally.count("rent_credits_total", by=due)
        for agent in self.sides(lease):
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
        self._bidding.close(lease, turn, escrow, successor)
        if turn is not None:
            self._begin_turn(lease, turn, escrow)
        return due, refunded

    def _begin_turn(self, lease: Lease, turn: Turn, escrow: str) -> None:
        """Let who won the next turn have a lease of its own."""
        now_us = self.context.time_us
        self._last_number += 1
        self.tally.count("turns_total")
        self._begin(
            Lease(
                self._last_number, lease.market, 0, escrow, turn.winner.agent, lease.lessor, lease.asset,
                lease.quantity, turn.price, lease.compensation, lease.term_us, self._next_token(),
                Period(now_us, now_us + lease.term_us, turn.price),
            )
        )  # fmt: skip

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

    # ── withdrawing ─────────────────────────────────────────────────────────────────────────────

    def _withdraw(self, fact: AgentEnded | SwitchLapsed) -> None:
        """Withdraw what binds an agent to nothing yet: its bids for turns, its standing offers."""
        self.turns.withdraw_all(fact.agent)
        self.renewing.withdraw_all(fact.agent)

    # ── rent ────────────────────────────────────────────────────────────────────────────────────

    def collect(self, agent: AgentRecord, command: CollectRent) -> Outcome:
        """Pay the rent that has accrued up to now."""
        context, lease = self.context, self.leases.get(command.lease)
        if lease is None:
            return self.reject_unknown(command, command.lease)
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
        self.tally.count("rent_credits_total", by=due)
        for side in self.sides(lease):
            context.emit(side, RentPaid(lease=lease.number, amount=due, paid=lease.paid))
        return CollectOutcome(
            command.id, "accepted", context.stamp, lease=lease.number, paid=due, left=lease.rent - lease.paid
        )

    # ── guards ──────────────────────────────────────────────────────────────────────────────────

    def reject_unknown(self, command: Command, number: int) -> Outcome:
        """Reject what names a lease that does not run."""
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

    def check_holding(self, lease: Lease, token: int) -> tuple[Reason, str] | None:
        """Say what keeps a lessee from doing something with what it holds: an old token, a dispute."""
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
        self.tally.count("disputed_total")
        event = {"lease": lease.number, "dispute": fact.dispute}
        for side in self.sides(lease):
            self.context.emit(side, LeaseDisputed(**event, disputer=fact.disputer))

    def _decide(self, fact: DisputeDecided) -> None:
        """End a lease as of its dispute, if that is upheld; else let all be as if it had never been."""
        lease = self.leases.get(fact.number) if fact.family == self.family else None
        if lease is None or lease.frozen_us is None:
            return
        for side in self.sides(lease):
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
        rows = [*self.tally.rows(), ("running", "Leases that are not over.", {}, len(self.leases))]
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
        return broken_invariants(self)

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self._last_number,
            self._last_token,
            [lease.dump() for lease in self.leases.values()],
            [[agent, [list(offer) for offer in offers.items()]] for agent, offers in self.renewing.offers.items()],
            self.turns.dump(),
            list(self.whole.items()),
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self._last_number, self._last_token, leases, offers, turns, whole = state
        for lease_state in leases:
            self._index(Lease.load(lease_state))
        self.renewing.offers = {agent: dict(rows) for agent, rows in offers}
        self.turns.load(turns)
        self.whole = dict(whole)
