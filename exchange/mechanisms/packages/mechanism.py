"""Auction several things at once: family ``packages``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from exchange.mechanisms.base import VENUE_SCOPE, AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.cashier import escrow_of, whole_credits
from exchange.mechanisms.facts import AgentEnded, SettlementAgreed, SettlementTerms, SwitchLapsed
from exchange.mechanisms.packages.auction import Auction, Award, Bid, Terms, choices_of
from exchange.mechanisms.packages.choosing import Pick, Problem, check, greedy, surplus_of
from exchange.mechanisms.packages.invariants import broken_invariants
from exchange.mechanisms.packages.queries import Queries, winners_of
from exchange.mechanisms.tally import Figure, Tally
from exchange.messages.base import CREDIT, MAX_AMOUNT, VENUE_AGENT, Command, Outcome, Query, Result
from exchange.messages.packages import (
    BidOnPackages,
    CancelPackages,
    DeterminePackages,
    OpenPackages,
    PackageBidDropped,
    PackageBidOutcome,
    PackagesClosed,
    PackagesEnded,
    PackagesOpened,
    PackagesOutcome,
    SignatureRequested,
    SignPackageBid,
    WithdrawPackageBid,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row
    from exchange.messages.packages import DropReason, EndReason, Pricing, WinnerView

__all__ = ["Packages"]

_SECOND_US: Final = 1_000_000
_LATEST_US: Final = 366 * 86_400 * _SECOND_US
_REMEMBERED: Final = 1_000
"""So many ended auctions can still be asked for."""

Violation = tuple[Reason, str]


class Packages(Mechanism):
    """Keep package auctions and their sealed bids."""

    family: ClassVar[str] = "packages"
    summary: ClassVar[str] = "combinatorial auctions: sealed package bids of agents and teams, exact winners, VCG"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.auctions: dict[int, Auction] = {}
        """Those that have not ended."""
        self.ended: dict[int, Auction] = {}
        self.determining: dict[int, None] = {}
        self.posted: dict[str, dict[int, None]] = {}
        self.posted_by_owner: dict[str, int] = {}
        self.bids_of: dict[str, dict[int, int]] = {}
        """The auction of every bid of which an agent is a member, signed or not."""
        self.last_auction = 0
        self.last_bid = 0
        self.tally = Tally(
            Figure("opened_total", "Package auctions opened.", ("direction",)),
            Figure("ended_total", "Package auctions that ended.", ("outcome",)),
            Figure(
                "determined_total",
                "How winners were found.",
                ("by", "pricing"),
                (("solver", "vcg"), ("solver", "pay_as_bid"), ("greedy", "pay_as_bid")),
            ),
            Figure("bids_total", "Bids in auctions that ended with an award."),
            Figure("paid_credits_total", "Payments of all awards, in whole credits."),
            Figure("refused_total", "Answers of a solver that broke a rule."),
        )
        self._queries = Queries(self)
        context.cashier.on_debit(self)
        context.react(AgentEnded, self._wind_up)
        context.react(SwitchLapsed, self._withdraw_all)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        return {
            OpenPackages: CommandRule(self.open, "trader", opens=True),
            CancelPackages: CommandRule(self.cancel, None, opens=False),
            BidOnPackages: CommandRule(self.bid, "trader", opens=True),
            SignPackageBid: CommandRule(self.sign, "trader", opens=True),
            WithdrawPackageBid: CommandRule(self.withdraw_bid, None, opens=False),
            DeterminePackages: CommandRule(self.determine, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return self._queries.readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {"packages.close": self._close, "packages.give_up": self._give_up}

    # ── opening ─────────────────────────────────────────────────────────────────────────────────

    def open(self, agent: AgentRecord, command: OpenPackages) -> Outcome:
        """Open an auction; in a procurement the sum of the reserves goes into escrow."""
        context = self.context
        problem = self._check_terms(command)
        if problem is not None:
            return context.reject(command, *problem)
        cap = context.settings.max_package_auctions
        if self.posted_by_owner.get(agent.owner, 0) >= cap:
            return context.reject(command, Reason.TOO_MANY_AUCTIONS, f"an owner has at most {cap} that have not ended")
        terms = Terms(
            agent.agent_id,
            command.title,
            command.detail,
            command.direction,
            command.pricing,
            tuple(item.name for item in command.items),
            tuple(item.reserve for item in command.items),
            command.closes_at_us,
            command.deliver_by_us,
            command.attester,
        )
        problem = context.cashier.check(agent, terms.budget)
        if problem is not None:
            return context.reject(command, *problem)
        self.last_auction = number = self.last_auction + 1
        auction = self.auctions[number] = Auction(number, terms)
        posting = context.cashier.posting(auction.cause)
        posting.fund(agent.agent_id, escrow_of(auction.cause), terms.budget)
        posting.post()
        kind = "packages.close"
        auction.deadline_id = context.deadlines.schedule_act(terms.closes_at_us, kind, VENUE_SCOPE, number)
        self._index(auction)
        self.tally.count("opened_total", terms.direction)
        context.emit(agent, PackagesOpened(auction=number, closes_at_us=terms.closes_at_us))
        return PackagesOutcome(command.id, "accepted", context.stamp, auction=number, escrow=terms.budget)

    def _check_terms(self, command: OpenPackages) -> Violation | None:
        context = self.context
        seconds = context.settings.min_auction_seconds
        if command.closes_at_us < context.time_us + seconds * _SECOND_US:
            detail = f"the auction closes at least {seconds} s after venue time {context.time_us}"
            return Reason.INVALID_PACKAGE_TERMS, detail
        latest_us = command.closes_at_us + context.settings.determine_seconds * _SECOND_US
        if command.deliver_by_us <= latest_us:
            return Reason.INVALID_PACKAGE_TERMS, f"deliver_by_us is after {latest_us}, when the winners are known"
        if command.deliver_by_us > context.time_us + _LATEST_US:
            return Reason.INVALID_PACKAGE_TERMS, "deliver_by_us is at most 366 days ahead"
        if len(dict.fromkeys([item.name for item in command.items])) != len(command.items):
            return Reason.INVALID_PACKAGE_TERMS, "every item has a name of its own"
        total = sum([item.reserve for item in command.items])
        if total > MAX_AMOUNT:
            return Reason.INVALID_PACKAGE_TERMS, "the reserves add up to too much"
        if command.direction == "procurement" and not all(item.reserve for item in command.items):
            return Reason.INVALID_PACKAGE_TERMS, "in a procurement every item has a reserve: what it may cost at most"
        if command.attester is not None:
            attester = context.agents.get(command.attester)
            if attester is None or attester.state == "revoked" or "attester" not in attester.roles:
                return Reason.UNKNOWN_AGENT, f"{command.attester} is no attester"
        return None

    def cancel(self, agent: AgentRecord, command: CancelPackages) -> Outcome:
        """Take an auction back while it is open."""
        auction = self.auctions.get(command.auction)
        if auction is None:
            return self._reject_unknown(command, command.auction)
        if agent.agent_id != auction.terms.poster:
            return self.context.reject(command, Reason.NOT_PERMITTED, f"{auction.terms.poster} posted it")
        if auction.state != "open":
            return self._reject_closed(command, auction)
        self._call_off(auction, "canceled")
        return self.context.accept(command)

    # ── bidding ─────────────────────────────────────────────────────────────────────────────────

    def bid(self, agent: AgentRecord, command: BidOnPackages) -> Outcome:
        """Take a sealed bid in the place of the bidder's earlier one."""
        context = self.context
        auction = self.auctions.get(command.auction)
        if auction is None or auction.state != "open":
            return self._reject_unknown(command, command.auction)
        weights = {share.agent: share.weight for share in command.team} or {agent.agent_id: 1}
        problem = self._check_team(auction, agent, command, weights)
        if problem is not None:
            return context.reject(command, *problem)
        choices = choices_of(auction, command.alternatives)
        if isinstance(choices, str):
            return context.reject(command, Reason.INVALID_PACKAGE_BID, choices)
        owners = tuple(dict.fromkeys([context.agents[name].owner for name in weights]))
        version = auction.versions.get(agent.agent_id, 0) + 1
        bid = Bid(self.last_bid + 1, agent.agent_id, version, weights, owners, choices)
        problem = self._check_prices(auction, bid)
        if problem is not None:
            return context.reject(command, *problem)
        before = auction.bids.get(auction.by_bidder.get(agent.agent_id, 0))
        if before is None and len(auction.bids) >= context.settings.max_package_bids:
            return context.reject(command, Reason.TOO_MANY_BIDS, "the auction takes no more bids")
        hold = bid.hold_of(agent.agent_id) if auction.terms.direction == "sale" else 0
        freed = 0 if before is None else before.held.get(agent.agent_id, 0)
        problem = context.cashier.check(agent, hold - freed)
        if problem is not None:
            return context.reject(command, *problem)
        self._seal(auction, bid, before, hold)
        return PackageBidOutcome(command.id, "accepted", context.stamp, version=bid.version, held=hold)

    def _seal(self, auction: Auction, bid: Bid, before: Bid | None, hold: int) -> None:
        """Put a bid, which its bidder has signed, in the place of the one before; ask the others to sign."""
        context, bidder = self.context, bid.bidder
        self.last_bid = bid.number
        posting = context.cashier.posting(auction.cause)
        if before is not None:
            for name, held in before.held.items():
                posting.release(name, held)
        posting.hold(bidder, hold)
        posting.post()
        if before is not None:
            self._forget_bid(auction, before)
            self._tell_dropped(auction, before, "withdrawn", bidder)
        bid.held[bidder] = hold
        auction.bids[bid.number] = bid
        auction.by_bidder[bidder] = bid.number
        auction.versions[bidder] = bid.version
        self._index_bid(auction, bid)
        for name in bid.weights:
            if name != bidder:
                closes_at_us = auction.terms.closes_at_us
                event = SignatureRequested(
                    auction=auction.number, bidder=bidder, version=bid.version, closes_at_us=closes_at_us
                )
                context.emit(context.agents[name], event)

    def _check_team(
        self, auction: Auction, agent: AgentRecord, command: BidOnPackages, weights: dict[str, int]
    ) -> Violation | None:
        agents = self.context.agents
        if command.team and len(weights) != len(command.team):
            return Reason.INVALID_PACKAGE_BID, "a team names every member once"
        if agent.agent_id not in weights:
            return Reason.INVALID_PACKAGE_BID, f"the team has its bidder {agent.agent_id} in it, too"
        poster_owner = agents[auction.terms.poster].owner
        for name in weights:
            member = agents.get(name)
            if member is None or member.state == "revoked" or "trader" not in member.roles:
                return Reason.UNKNOWN_AGENT, f"{name} is no trader"
            if member.owner == poster_owner:
                return Reason.SAME_OWNER, f"the auction was opened by the owner of {name}"
        return None

    def _check_prices(self, auction: Auction, bid: Bid) -> Violation | None:
        for choice in bid.choices:
            surplus = auction.surplus_of(choice)
            if surplus < 0 and auction.terms.direction == "procurement":
                return Reason.BID_ABOVE_RESERVE, f"at most {whole_credits(choice.price + surplus)} is paid for these"
            if surplus < 0:
                return Reason.BID_BELOW_RESERVE, f"at least {whole_credits(choice.price - surplus)} is asked for these"
        return None

    def sign(self, agent: AgentRecord, command: SignPackageBid) -> Outcome:
        """Agree to a share of a team's bid."""
        context = self.context
        auction = self.auctions.get(command.auction)
        if auction is None:
            return self._reject_unknown(command, command.auction)
        if auction.state != "open":
            return self._reject_closed(command, auction)
        bid = auction.bids.get(auction.by_bidder.get(command.bidder, 0))
        if bid is None or agent.agent_id not in bid.weights or bid.version != command.version:
            return self._reject_unknown_bid(command, f"version {command.version} of a bid of {command.bidder}")
        if agent.agent_id in bid.held:
            return context.reject(command, Reason.NO_CHANGE, f"{agent.agent_id} has signed it")
        hold = bid.hold_of(agent.agent_id) if auction.terms.direction == "sale" else 0
        problem = context.cashier.check(agent, hold)
        if problem is not None:
            return context.reject(command, *problem)
        posting = context.cashier.posting(auction.cause)
        posting.hold(agent.agent_id, hold)
        posting.post()
        bid.held[agent.agent_id] = hold
        return PackageBidOutcome(command.id, "accepted", context.stamp, version=bid.version, held=hold)

    def withdraw_bid(self, agent: AgentRecord, command: WithdrawPackageBid) -> Outcome:
        """Take a bid back before the close."""
        auction = self.auctions.get(command.auction)
        if auction is None:
            return self._reject_unknown(command, command.auction)
        if auction.state != "open":
            return self._reject_closed(command, auction)
        bidder = command.bidder or agent.agent_id
        bid = auction.bids.get(auction.by_bidder.get(bidder, 0))
        if bid is None or agent.agent_id not in bid.weights:
            return self._reject_unknown_bid(command, f"a bid of {bidder}")
        self._drop_bid(auction, bid, "withdrawn")
        return self.context.accept(command)

    def _drop_bid(self, auction: Auction, bid: Bid, reason: DropReason) -> None:
        """Take a bid out, release what is held for it, and tell its members."""
        posting = self.context.cashier.posting(auction.cause)
        for name, held in bid.held.items():
            posting.release(name, held)
        posting.post()
        self._forget_bid(auction, bid)
        self._tell_dropped(auction, bid, reason)

    def _forget_bid(self, auction: Auction, bid: Bid) -> None:
        """Take a bid whose holds are gone out of its auction and every index."""
        del auction.bids[bid.number]
        del auction.by_bidder[bid.bidder]
        for name in bid.weights:
            found = self.bids_of[name]
            del found[bid.number]
            if not found:
                del self.bids_of[name]

    def _tell_dropped(self, auction: Auction, bid: Bid, reason: DropReason, but: str = "") -> None:
        for name in bid.weights:
            if name != but:
                event = PackageBidDropped(auction=auction.number, bidder=bid.bidder, version=bid.version, reason=reason)
                self.context.emit(self.context.agents[name], event)

    def release_for(self, agent_id: str, amount: int) -> None:
        """Withdraw a debtor's sealed bids, the newest first, until ``amount`` is available or none is left."""
        balance = self.context.ledger.balance(agent_id, CREDIT)
        for auction, bid in self._sealed_bids(agent_id):
            if balance.available >= amount:
                return
            if bid.held.get(agent_id):
                self._drop_bid(auction, bid, "forced_debit")

    def _sealed_bids(self, agent_id: str) -> list[tuple[Auction, Bid]]:
        """Return the bids in open auctions of which an agent is a member, the newest first."""
        found = self.bids_of.get(agent_id, {})
        auctions = [(self.auctions[found[number]], number) for number in sorted(found, reverse=True)]
        return [(auction, auction.bids[number]) for auction, number in auctions if auction.state == "open"]

    # ── closing ─────────────────────────────────────────────────────────────────────────────────

    def _close(self, number: int) -> None:
        """Take no more bids; what was not signed is void, and the winners are to be determined."""
        context, auction = self.context, self.auctions[number]
        auction.deadline_id = 0
        for bid in list(auction.bids.values()):
            if not bid.is_signed:
                self._drop_bid(auction, bid, "unsigned")
        if not auction.bids:
            self._end(auction, "no_bids", [])
            return
        auction.state = "determining"
        auction.revision = 1
        self.determining[number] = None
        until_us = context.time_us + context.settings.determine_seconds * _SECOND_US
        auction.deadline_id = context.deadlines.schedule_act(until_us, "packages.give_up", VENUE_SCOPE, number)
        for name in self._listeners(auction):
            context.emit(context.agents[name], PackagesClosed(auction=number, until_us=until_us))

    def open_problems(self) -> list[Problem]:
        """Return what is to be solved, as plain data for a solver."""
        found: list[Problem] = []
        for number in self.determining:
            auction = self.auctions[number]
            bids: list[tuple[int, list[str], list[tuple[list[int], int, int]]]] = []
            for bid in auction.bids.values():
                choices = [(list(each.items), auction.surplus_of(each), each.price) for each in bid.choices]
                bids.append((bid.number, list(bid.owners), choices))
            terms = auction.terms
            found.append((number, auction.revision, terms.direction == "sale", terms.pricing == "vcg", bids))
        return found

    def determine(self, agent: AgentRecord, command: DeterminePackages) -> Outcome:
        """Take the answer of the venue's solver, unless it breaks a rule."""
        context = self.context
        if agent.agent_id != VENUE_AGENT:
            return context.reject(command, Reason.NOT_PERMITTED, "only the venue itself determines winners")
        auction = self.auctions.get(command.auction)
        if auction is None:
            return self._reject_unknown(command, command.auction)
        if auction.state != "determining" or command.revision != auction.revision:
            detail = f"auction {auction.number} is {auction.state}, at revision {auction.revision}"
            return context.reject(command, Reason.WRONG_STATE, detail)
        least = surplus_of(auction, greedy(auction))
        broken = check(auction, command.winners, command.pricing, least)
        if broken is not None:
            self.tally.count("refused_total")
            return context.reject(command, Reason.INVALID_DETERMINATION, broken)
        picks = [Pick(winner.bid, winner.alternative, winner.payment) for winner in command.winners]
        context.deadlines.cancel(auction.deadline_id)
        self._award(auction, picks, command.pricing, least, is_optimal=command.optimal, by="solver")
        return context.accept(command)

    def _give_up(self, number: int) -> None:
        """Let the greedy choice win, since no solver has answered in time; everybody pays as bid."""
        auction = self.auctions[number]
        picks = greedy(auction)
        self._award(auction, picks, "pay_as_bid", surplus_of(auction, picks), is_optimal=False, by="greedy")

    # ── the award and the end ───────────────────────────────────────────────────────────────────

    def _award(
        self, auction: Auction, picks: list[Pick], priced: Pricing, least: int, *, is_optimal: bool, by: str
    ) -> None:
        """Give the packages to their winners, and the money to settlements; ``least`` is what the simple rule finds."""
        auction.deadline_id = 0
        auction.count = len(auction.bids)
        auction.priced, auction.optimal = priced, is_optimal
        auction.surplus = surplus_of(auction, picks)
        auction.greedy_surplus = least
        for pick in picks:
            bid = auction.bids[pick.bid]
            choice = bid.choices[pick.alternative]
            parts = tuple(bid.parts(pick.payment))
            auction.awards.append(Award(bid.bidder, pick.alternative, choice.items, choice.price, pick.payment, parts))
        self.tally.count("determined_total", by, priced)
        self.tally.count("bids_total", by=len(auction.bids))
        self.tally.count("paid_credits_total", by=sum([pick.payment for pick in picks]))
        self._end(auction, "awarded" if picks else "no_bids", auction.awards)

    def _end(self, auction: Auction, outcome: EndReason, awards: list[Award]) -> None:
        """Move all money to where it belongs, tell everybody, and remember the auction for a while."""
        context, terms = self.context, auction.terms
        is_sale = terms.direction == "sale"
        source = escrow_of(auction.cause)
        posting = context.cashier.posting(auction.cause)
        won = {award.bidder: award for award in awards}
        for bid in auction.bids.values():
            award = won.get(bid.bidder)
            due = {} if award is None or not is_sale else dict(award.parts)
            for name, held in bid.held.items():
                part = due.get(name, 0)
                posting.release(name, held - part)
                posting.fund_held(name, auction.escrow_of_part(bid.bidder, name), part)
        if not is_sale:
            for award in awards:
                for name, part in award.parts:
                    posting.move(source, auction.escrow_of_part(award.bidder, name), part)
            posting.give_back(source, terms.poster, terms.budget - sum([award.payment for award in awards]))
        posting.post()
        listeners = self._listeners(auction)
        for bid in list(auction.bids.values()):
            self._forget_bid(auction, bid)
        self._retire(auction, outcome)
        self._tell_ended(auction, outcome, listeners)
        for award in awards:
            for name, part in award.parts:
                self._agree(auction, award, name, part)

    def _tell_ended(self, auction: Auction, outcome: EndReason, listeners: list[str]) -> None:
        """Tell the poster all awards, and everybody else its own: a thousand copies of all would hold up orders."""
        views = winners_of(auction)
        told: dict[str, list[WinnerView]] = {auction.terms.poster: views}
        for award, view in zip(auction.awards, views, strict=True):
            for name, _ in award.parts:
                told.setdefault(name, []).append(view)
        for name in listeners:
            event = PackagesEnded(
                auction=auction.number, outcome=outcome, pricing=auction.priced, winners=told.get(name, [])
            )
            self.context.emit(self.context.agents[name], event)

    def _agree(self, auction: Auction, award: Award, name: str, part: int) -> None:
        """Let one member's part be settled: who is paid delivers."""
        terms = auction.terms
        is_sale = terms.direction == "sale"
        agreed = SettlementTerms(
            payer=name if is_sale else terms.poster,
            provider=terms.poster if is_sale else name,
            price=part,
            bond=0,
            deliver_by_us=max(terms.deliver_by_us, self.context.time_us + 1),
            confirm_seconds=self.context.settings.confirm_seconds,
            attester=terms.attester,
            title=terms.title,
        )
        escrow = auction.escrow_of_part(award.bidder, name)
        self.context.announce(SettlementAgreed(auction.cause, escrow, agreed))

    def _retire(self, auction: Auction, outcome: EndReason) -> None:
        number, poster = auction.number, auction.terms.poster
        auction.outcome = outcome
        if outcome == "awarded":
            auction.state = "awarded"
        else:
            auction.state = "unawarded" if outcome == "no_bids" else "canceled"
        self.determining.pop(number, None)
        del self.auctions[number]
        numbers = self.posted[poster]
        del numbers[number]
        if not numbers:
            del self.posted[poster]
        owner = self.context.agents[poster].owner
        self.posted_by_owner[owner] -= 1
        if not self.posted_by_owner[owner]:
            del self.posted_by_owner[owner]
        self.ended[number] = auction
        if len(self.ended) > _REMEMBERED:
            del self.ended[next(iter(self.ended))]
        self.tally.count("ended_total", outcome)

    def _call_off(self, auction: Auction, outcome: EndReason) -> None:
        """End an open auction without an award."""
        self.context.deadlines.cancel(auction.deadline_id)
        auction.deadline_id = 0
        self._end(auction, outcome, [])

    def _listeners(self, auction: Auction) -> list[str]:
        names = [auction.terms.poster]
        for bid in auction.bids.values():
            names.extend(bid.weights)
        return list(dict.fromkeys(names))

    def _reject_unknown(self, command: Command, number: int) -> Outcome:
        known = self.auctions.get(number) or self.ended.get(number)
        if known is not None:
            return self._reject_closed(command, known)
        return self.context.reject(command, Reason.UNKNOWN_AUCTION, f"no package auction {number}")

    def _reject_closed(self, command: Command, auction: Auction) -> Outcome:
        detail = f"auction {auction.number} is {auction.state}, not open"
        return self.context.reject(command, Reason.WRONG_STATE, detail)

    def _reject_unknown_bid(self, command: Command, bid: str) -> Outcome:
        return self.context.reject(command, Reason.UNKNOWN_BID, f"this agent is no member of {bid} there")

    # ── ends of agents ──────────────────────────────────────────────────────────────────────────

    def _withdraw_all(self, fact: SwitchLapsed) -> None:
        """Withdraw what an agent that does not answer is not bound by."""
        for auction, bid in self._sealed_bids(fact.agent):
            self._drop_bid(auction, bid, "dead_man")

    def _wind_up(self, fact: AgentEnded) -> None:
        """Drop every bid of which a revoked agent is a member, and call off its open auctions."""
        found = self.bids_of.get(fact.agent, {})
        for number in sorted(found, reverse=True):
            auction = self.auctions[found[number]]
            self._drop_bid(auction, auction.bids[number], "revoked")
            if auction.state == "determining":
                auction.revision += 1
        for number in list(self.posted.get(fact.agent, ())):
            auction = self.auctions[number]
            if auction.state == "open":
                self._call_off(auction, "revoked")

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch; of bids nothing before their auction ends."""
        waiting = len(self.determining)
        return [
            ("live", "Package auctions that have not ended.", {"state": "open"}, len(self.auctions) - waiting),
            ("live", "Package auctions that have not ended.", {"state": "determining"}, waiting),
            *self.tally.rows(),
        ]

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of auctions, bids and their money."""
        return broken_invariants(self)

    def escrows(self) -> Iterable[str]:
        """Return the escrows of all auctions that have not ended."""
        return [escrow_of(auction.cause) for auction in self.auctions.values()]

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self.last_auction,
            self.last_bid,
            [auction.dump() for auction in self.auctions.values()],
            [auction.dump() for auction in self.ended.values()],
            list(self.determining),
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; the indexes follow from it."""
        self.last_auction, self.last_bid, auctions, ended, determining = state
        for fields in ended:
            auction = Auction.load(fields)
            self.ended[auction.number] = auction
        for fields in auctions:
            auction = Auction.load(fields)
            self.auctions[auction.number] = auction
            self._index(auction)
            for bid in auction.bids.values():
                self._index_bid(auction, bid)
        self.determining = dict.fromkeys(determining)

    def _index(self, auction: Auction) -> None:
        poster = auction.terms.poster
        owner = self.context.agents[poster].owner
        self.posted.setdefault(poster, {})[auction.number] = None
        self.posted_by_owner[owner] = self.posted_by_owner.get(owner, 0) + 1

    def _index_bid(self, auction: Auction, bid: Bid) -> None:
        for name in bid.weights:
            self.bids_of.setdefault(name, {})[bid.number] = auction.number
