"""Auction modules by sealed bids: the highest wins, and pays the second or the reserve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from exchange.mechanisms.base import VENUE_SCOPE
from exchange.mechanisms.cashier import escrow_of, whole_credits
from exchange.mechanisms.property.module import Module
from exchange.messages.base import CREDIT
from exchange.messages.property import ModuleAuctionClosed, ModuleAuctionOpened
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.property.mechanism import Property
    from exchange.messages.base import Outcome
    from exchange.messages.property import AuctionModule, BidOnModule, CancelModuleAuction, WithdrawModuleBid

__all__ = ["CLOSE_AUCTION", "Auction", "Auctions", "Bid"]

CLOSE_AUCTION: Final = "property.close_auction"
_SECOND_US: Final = 1_000_000
_LONGEST_US: Final = 30 * 86_400 * _SECOND_US

Violation = tuple[Reason, str]


class Bid(NamedTuple):
    """Hold one sealed bid; ``number`` says which came first."""

    number: int
    agent: str
    owner: str
    price: int


class Auction:
    """Be an auction that has not closed; without ``seller``, of what was foreclosed."""

    __slots__ = ("bids", "closes_at_us", "deadline_id", "module", "number", "reserve", "seller")

    def __init__(self, number: int, module: str, seller: str, reserve: int, closes_at_us: int) -> None:
        self.number = number
        self.module = module
        self.seller = seller
        self.reserve = reserve
        self.closes_at_us = closes_at_us
        self.bids: dict[str, Bid] = {}
        """By owner."""
        self.deadline_id = 0

    @property
    def cause(self) -> str:
        """Return the cause of which bids are held; names of modules have no colon."""
        return f"property:auction:{self.number}"

    def decide(self) -> tuple[Bid | None, int]:
        """Return the highest bid, of equal ones the earliest, and what it pays."""
        ranked = sorted(self.bids.values(), key=_rank)
        if not ranked:
            return None, 0
        return ranked[0], max(self.reserve, ranked[1].price if len(ranked) > 1 else 0)

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        bids = [list(bid) for bid in self.bids.values()]
        return [self.number, self.module, self.seller, self.reserve, self.closes_at_us, bids, self.deadline_id]

    @staticmethod
    def load(state: Any) -> Auction:
        """Return the auction of which ``dump`` gave the state."""
        auction = Auction(*state[:5])
        for fields in state[5]:
            bid = Bid(*fields)
            auction.bids[bid.owner] = bid
        auction.deadline_id = state[6]
        return auction


def _rank(bid: Bid) -> tuple[int, int]:
    return -bid.price, bid.number


class Auctions:
    """Keep the auctions that are open; nothing of a bid shows before the close."""

    def __init__(self, ownership: Property) -> None:
        self._property = ownership
        self._context = ownership.context
        self.open: dict[int, Auction] = {}
        self.bids_of: dict[str, dict[int, int]] = {}
        """By agent, the number of its bid in each auction, the oldest bid first."""
        self.last_number = 0
        self.last_bid = 0

    # ── opening ─────────────────────────────────────────────────────────────────────────────────

    def auction(self, agent: AgentRecord, command: AuctionModule) -> Outcome:
        """Open an auction of an agent's own module."""
        context = self._context
        found = self._property.find_own(agent, command.module)
        if not isinstance(found, Module):
            return context.reject(command, *found)
        problem = self._property.check_private(found)
        least_us = context.settings.min_auction_seconds * _SECOND_US
        left_us = command.closes_at_us - context.time_us
        if problem is None and not least_us <= left_us <= _LONGEST_US:
            detail = f"closes_at_us must be {least_us // _SECOND_US} s to 30 days ahead of {context.time_us}"
            problem = Reason.INVALID_MODULE_TERMS, detail
        if problem is not None:
            return context.reject(command, *problem)
        self._property.selling.drop(found)
        self._property.renting.drop_offers(found)
        self._open(found, agent.agent_id, command.reserve, command.closes_at_us, agent.agent_id)
        return self._property.registry.outcome(command, found)

    def foreclose(self, module: Module, former: str) -> None:
        """Open the auction of a module that its owner has lost."""
        context = self._context
        closes_at_us = context.time_us + context.settings.foreclosure_auction_seconds * _SECOND_US
        self._open(module, "", 0, closes_at_us, former)

    def _open(self, module: Module, seller: str, reserve: int, closes_at_us: int, listener: str) -> None:
        context = self._context
        self.last_number = number = self.last_number + 1
        auction = self.open[number] = Auction(number, module.name, seller, reserve, closes_at_us)
        module.auction = number
        auction.deadline_id = context.deadlines.schedule_act(closes_at_us, CLOSE_AUCTION, VENUE_SCOPE, number)
        event = ModuleAuctionOpened(
            module=module.name,
            auction=number,
            reserve=reserve,
            closes_at_us=closes_at_us,
            is_foreclosure=not seller,
        )
        context.emit(context.agents[listener], event)

    def cancel(self, agent: AgentRecord, command: CancelModuleAuction) -> Outcome:
        """Take an auction back: all holds are released, the module stays where it is."""
        found = self._property.find_own(agent, command.module)
        if not isinstance(found, Module):
            return self._context.reject(command, *found)
        if not found.auction:
            return self._context.reject(command, Reason.WRONG_STATE, f"{found.name} is not being auctioned")
        self.call_off(self.open[found.auction])
        return self._context.accept(command)

    def call_off(self, auction: Auction) -> None:
        """Close an auction without an award."""
        posting = self._context.cashier.posting(auction.cause)
        for bid in auction.bids.values():
            posting.release(bid.agent, bid.price)
        posting.post()
        self._forget(auction)
        self._tell(auction, None, 0)

    # ── bidding ─────────────────────────────────────────────────────────────────────────────────

    def _find(self, name: str) -> Auction | Violation:
        module = self._property.modules.get(name)
        if module is None:
            return Reason.UNKNOWN_MODULE, f"no module {name} is registered"
        if not module.auction:
            return Reason.WRONG_STATE, f"{name} is not being auctioned"
        return self.open[module.auction]

    def bid(self, agent: AgentRecord, command: BidOnModule) -> Outcome:
        """Take a sealed bid in the place of the owner's earlier one; its price is held."""
        context = self._context
        auction = self._find(command.module)
        if not isinstance(auction, Auction):
            return context.reject(command, *auction)
        before = auction.bids.get(agent.owner)
        problem = self._check_bid(agent, auction, command.price)
        if problem is None and before is None and len(auction.bids) >= context.settings.max_module_bids:
            problem = Reason.TOO_MANY_BIDS, "the auction takes no more bids"
        freed = before.price if before is not None and before.agent == agent.agent_id else 0
        problem = problem or context.cashier.check(agent, command.price - freed)
        if problem is not None:
            return context.reject(command, *problem)
        posting = context.cashier.posting(auction.cause)
        if before is not None:
            posting.release(before.agent, before.price)
        posting.hold(agent.agent_id, command.price)
        posting.post()
        if before is not None:
            self._forget_bid(auction, before)
        self.last_bid += 1
        self._put(auction, Bid(self.last_bid, agent.agent_id, agent.owner, command.price))
        return context.accept(command)

    def _check_bid(self, agent: AgentRecord, auction: Auction, price: int) -> Violation | None:
        if auction.seller and self._context.agents[auction.seller].owner == agent.owner:
            return Reason.SAME_OWNER, f"{auction.seller} sells it, which is of your owner"
        if price < auction.reserve:
            return Reason.BID_BELOW_RESERVE, f"at least {whole_credits(auction.reserve)} is asked"
        return self._property.check_newcomer(agent.agent_id)

    def withdraw(self, agent: AgentRecord, command: WithdrawModuleBid) -> Outcome:
        """Take a bid back."""
        auction = self._find(command.module)
        if not isinstance(auction, Auction):
            return self._context.reject(command, *auction)
        bid = auction.bids.get(agent.owner)
        if bid is None:
            return self._context.reject(command, Reason.UNKNOWN_BID, f"your owner has no bid for {command.module}")
        self._drop(auction, bid)
        return self._context.accept(command)

    def withdraw_all(self, agent_id: str) -> None:
        """Take all bids of an agent back."""
        for number in list(self.bids_of.get(agent_id, ())):
            auction = self.open[number]
            self._drop(auction, auction.bids[self._context.agents[agent_id].owner])

    def release_for(self, agent_id: str, amount: int) -> None:
        """Withdraw a debtor's newest bids until ``amount`` is available or none is left."""
        balance = self._context.ledger.balance(agent_id, CREDIT)
        for number in reversed(list(self.bids_of.get(agent_id, ()))):
            if balance.available >= amount:
                return
            auction = self.open[number]
            bid = auction.bids[self._context.agents[agent_id].owner]
            if bid.price:
                self._drop(auction, bid)

    def _drop(self, auction: Auction, bid: Bid) -> None:
        posting = self._context.cashier.posting(auction.cause)
        posting.release(bid.agent, bid.price)
        posting.post()
        self._forget_bid(auction, bid)

    def _put(self, auction: Auction, bid: Bid) -> None:
        auction.bids[bid.owner] = bid
        self.bids_of.setdefault(bid.agent, {})[auction.number] = bid.number

    def _forget_bid(self, auction: Auction, bid: Bid) -> None:
        del auction.bids[bid.owner]
        mine = self.bids_of[bid.agent]
        del mine[auction.number]
        if not mine:
            del self.bids_of[bid.agent]

    # ── closing ─────────────────────────────────────────────────────────────────────────────────

    def close(self, number: int) -> None:
        """Give the module to the highest bid; without one nothing changes, but that it is not auctioned any more."""
        auction = self.open[number]
        auction.deadline_id = 0
        winner, price = auction.decide()
        if winner is None:
            self.call_off(auction)
            self._property.tally.count("auctions_total", "unawarded")
            return
        module = self._property.modules[auction.module]
        escrow = escrow_of(auction.cause)
        posting = self._context.cashier.posting(auction.cause)
        for bid in auction.bids.values():
            paid = price if bid is winner else 0
            posting.fund_held(bid.agent, escrow, paid)
            posting.release(bid.agent, bid.price - paid)
        if auction.seller:
            posting.pay(escrow, auction.seller, price)
        else:
            posting.move(escrow, "public_fund", price)
        rents = self._property.renting.pay_all(module, posting)
        posting.post()
        self._property.renting.tell_all(rents)
        before = self._property.access.writers(module)
        self._forget(auction)
        self._property.tally.count("auctions_total", "awarded")
        self._property.move(module, winner.agent, "won", price, before=before)
        self._tell(auction, winner, price)

    def _forget(self, auction: Auction) -> None:
        self._context.deadlines.cancel(auction.deadline_id)
        self._property.modules[auction.module].auction = 0
        del self.open[auction.number]
        for bid in auction.bids.values():
            mine = self.bids_of[bid.agent]
            del mine[auction.number]
            if not mine:
                del self.bids_of[bid.agent]

    def _tell(self, auction: Auction, winner: Bid | None, price: int) -> None:
        """Tell seller and bidders how it ended; without an award nobody learns of the bids."""
        listeners = [bid.agent for bid in auction.bids.values()]
        if auction.seller:
            listeners.insert(0, auction.seller)
        for name in dict.fromkeys(listeners):
            event = ModuleAuctionClosed(
                module=auction.module,
                auction=auction.number,
                awarded=winner is not None,
                winner=None if winner is None else winner.agent,
                price=price,
                bids=0 if winner is None else len(auction.bids),
            )
            self._context.emit(self._context.agents[name], event)

    # ── state ───────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> list[object]:
        """Return the state as plain data; who has bid comes in the order of the bids."""
        auctions = [auction.dump() for auction in self.open.values()]
        return [self.last_number, self.last_bid, auctions]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self.last_number, self.last_bid, auctions = state
        bids: list[tuple[int, Auction, Bid]] = []
        for fields in auctions:
            auction = Auction.load(fields)
            self.open[auction.number] = auction
            bids += [(bid.number, auction, bid) for bid in auction.bids.values()]
        for _, auction, bid in sorted(bids, key=_by_number):
            self.bids_of.setdefault(bid.agent, {})[auction.number] = bid.number


def _by_number(row: tuple[int, Auction, Bid]) -> int:
    return row[0]
