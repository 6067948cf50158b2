"""Auction work: family ``tasks``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from exchange.mechanisms.base import AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.cashier import escrow_of, whole_credits
from exchange.mechanisms.facts import (
    AgentEnded,
    SettlementFinal,
    SettlementOpened,
    SwitchLapsed,
    TaskOpened,
    TaskOrdered,
)
from exchange.mechanisms.tally import Figure, Tally, words
from exchange.mechanisms.tasks.closing import Closing
from exchange.mechanisms.tasks.invariants import broken_invariants
from exchange.mechanisms.tasks.posting import check_terms, ordered_terms
from exchange.mechanisms.tasks.queries import Queries
from exchange.mechanisms.tasks.standing import StandingBids
from exchange.mechanisms.tasks.task import Bid, StandingBid, Task, Terms
from exchange.messages.base import CREDIT, Command, Outcome, Query, Result
from exchange.messages.reasons import Reason
from exchange.messages.tasks import (
    AcceptOffer,
    BidOnTask,
    CancelTask,
    ClearStandingBid,
    DeclineOffer,
    Direction,
    EndReason,
    PostTask,
    Pricing,
    SetStandingBid,
    StandingBidEnded,
    TaskBidOutcome,
    TaskCanceled,
    TaskOutcome,
    WithdrawTaskBid,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row

__all__ = ["Tasks"]

_PPM_PER_POINT: Final = 10_000
"""Scores are in millionths, and points of 100 on the wire."""

_NEWCOMER: Final = (500_000, 0)

_KINDS_OF_AWARD: Final = tuple([(*of, *by) for of in words(Direction) for by in words(Pricing)])

Violation = tuple[Reason, str]


class Reputations(Protocol):
    """Say what this mechanism needs to know about reputation."""

    def score_of(self, agent_id: str, domain: str) -> tuple[int, int]:
        """Return score and evidence in millionths."""


class Panels(Protocol):
    """Say what this mechanism needs to know about disputes."""

    def has_seat(self, agent_id: str, family: str, number: int) -> bool:
        """Return whether an agent rules about something that is disputed."""


class Tasks(Mechanism):
    """Keep tasks, their sealed bids, and the standing bids."""

    family: ClassVar[str] = "tasks"
    summary: ClassVar[str] = "task auctions: sealed bids, second or first price, standing bids, urgency, bonuses"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.tasks: dict[int, Task] = {}
        """Those that have not ended."""
        self.ended: dict[int, Task] = {}
        self.open: dict[int, None] = {}
        self.open_by_skill: dict[str, dict[int, None]] = {}
        self.posted: dict[str, dict[int, None]] = {}
        """The tasks of each poster that have not ended."""
        self.posted_by_owner: dict[str, int] = {}
        """How many of them each owner pays for."""
        self.bids_of: dict[str, dict[int, None]] = {}
        """The tasks of which an agent has a sealed bid."""
        self.offers_of: dict[str, dict[int, None]] = {}
        """The tasks that are offered to an agent."""
        self.awards_of: dict[str, int] = {}
        """How many offers and awards an agent has that have not ended."""
        self.unsecured: dict[str, int] = {}
        """The task of the one bid or award that an owner has without a bond."""
        self.standing = StandingBids()
        self.last_task = 0
        self.last_bid = 0
        self.tally = Tally(
            Figure("posted_total", "Tasks posted.", ("direction",), words(Direction)),
            Figure("rounds_total", "Rounds of auctions that ended.", ("result",), (("awarded",), ("unawarded",))),
            Figure("bids_total", "Bids in rounds that ended with an award."),
            Figure("awards_total", "Awards.", ("direction", "pricing"), _KINDS_OF_AWARD),
            Figure(
                "awarded_credits_total", "Prices of all awards, in whole credits.", ("direction",), words(Direction)
            ),
            Figure(
                "reserve_credits_total",
                "Reserves of all awarded rounds, in whole credits.",
                ("direction",),
                words(Direction),
            ),
            Figure("ended_total", "Tasks that ended for good.", ("outcome",), words(EndReason)),
            Figure("bonus_credits_total", "Bonuses paid, in whole credits."),
            Figure("declined_total", "Offers to standing bids that were declined."),
        )
        self._reputations: Reputations | None = None
        self.panels: Panels | None = None
        self._closing = Closing(self)
        self._queries = Queries(self)
        context.cashier.on_debit(self)
        context.react(AgentEnded, self._wind_up)
        context.react(SwitchLapsed, self._withdraw_all)
        context.react(SettlementOpened, self._closing.note_settlement)
        context.react(SettlementFinal, self._closing.finish)
        context.react(TaskOrdered, self._open_ordered)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        """Find the reputations and the panels of disputes, if the venue has any."""
        self._reputations = mechanisms.get("expertise")  # type: ignore[assignment]  # by its shape
        self.panels = mechanisms.get("disputes")  # type: ignore[assignment]  # by its shape

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        return {
            PostTask: CommandRule(self.post, "trader", opens=True),
            CancelTask: CommandRule(self.cancel, None, opens=False),
            BidOnTask: CommandRule(self.bid, "trader", opens=True),
            WithdrawTaskBid: CommandRule(self.withdraw_bid, None, opens=False),
            SetStandingBid: CommandRule(self.set_standing_bid, "trader", opens=True),
            ClearStandingBid: CommandRule(self.clear_standing_bid, None, opens=False),
            AcceptOffer: CommandRule(self.accept, "trader", opens=True),
            DeclineOffer: CommandRule(self.decline, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return self._queries.readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {
            "tasks.close": self._closing.close,
            "tasks.accept_by_silence": self._closing.accept_by_silence,
            "tasks.expire_standing_bid": self._expire_standing_bid,
        }

    # ── posting ─────────────────────────────────────────────────────────────────────────────────

    def post(self, agent: AgentRecord, command: PostTask) -> Outcome:
        """Open an auction; what it may cost goes into escrow."""
        context = self.context
        terms = check_terms(context, agent, command)
        if not isinstance(terms, Terms):
            return context.reject(command, *terms)
        cap = context.settings.max_open_tasks
        if self.posted_by_owner.get(agent.owner, 0) >= cap:
            return context.reject(command, Reason.TOO_MANY_TASKS, f"an owner has at most {cap} that have not ended")
        problem = context.cashier.check(agent, terms.budget)
        if problem is not None:
            return context.reject(command, *problem)
        self.last_task = number = self.last_task + 1
        task = self.tasks[number] = Task(number, terms)
        posting = context.cashier.posting(task.cause)
        posting.fund(agent.agent_id, escrow_of(task.cause), terms.budget)
        posting.post()
        self._list_posted(task)
        self.tally.count("posted_total", terms.direction)
        self._closing.open_round(task)
        return TaskOutcome(command.id, "accepted", context.stamp, task=number, reserve=task.reserve)

    def _open_ordered(self, fact: TaskOrdered) -> None:
        """Open the auction of what a mechanism has done with the money of its escrow."""
        cashier = self.context.cashier
        budget = cashier.in_escrow(fact.escrow)
        self.last_task = number = self.last_task + 1
        task = self.tasks[number] = Task(number, ordered_terms(self.context, fact, budget))
        posting = cashier.posting(task.cause)
        posting.move(fact.escrow, escrow_of(task.cause), budget)
        posting.post()
        self._list_posted(task)
        self.tally.count("posted_total", "procurement")
        self.context.announce(TaskOpened(fact.origin, number))
        self._closing.open_round(task)

    def cancel(self, agent: AgentRecord, command: CancelTask) -> Outcome:
        """Take a task back while its auction is open."""
        task = self.tasks.get(command.task)
        if task is None:
            return self._reject_unknown(command, command.task)
        if agent.agent_id != task.terms.poster:
            return self.context.reject(command, Reason.NOT_PERMITTED, f"{task.terms.poster} posted it")
        if task.terms.origin:
            return self.context.reject(command, Reason.NOT_PERMITTED, f"{task.terms.origin} has it done")
        if task.state != "open":
            return self.context.reject(command, Reason.WRONG_STATE, f"the auction of task {task.number} is closed")
        self._closing.call_off(task, "canceled")
        return self.context.accept(command)

    # ── bidding ─────────────────────────────────────────────────────────────────────────────────

    def bid(self, agent: AgentRecord, command: BidOnTask) -> Outcome:
        """Take a sealed bid in the place of the owner's earlier one."""
        context = self.context
        task = self.tasks.get(command.task)
        if task is None:
            return self._reject_unknown(command, command.task)
        problem = self.check_bidder(task, agent) or self._check_price(task, command.price)
        if problem is not None:
            return context.reject(command, *problem)
        before = task.bids.get(agent.owner)
        if before is None and len(task.bids) >= context.settings.max_bids_per_task:
            return context.reject(command, Reason.TOO_MANY_BIDS, "the auction takes no more bids")
        hold = command.price if task.terms.direction == "sale" else task.terms.bond
        freed = before.held if before is not None and before.agent == agent.agent_id else 0
        problem = context.cashier.check(agent, hold - freed)
        unsecured = problem is not None and self._may_owe(task, agent, hold, 0 if before is None else before.held)
        if problem is not None and not unsecured:
            return context.reject(command, *problem)
        held = 0 if unsecured else hold
        self.last_bid = number = self.last_bid + 1
        bid = Bid(number, agent.agent_id, agent.owner, command.price, held, unsecured=unsecured)
        posting = context.cashier.posting(task.cause)
        if before is not None:
            posting.release(before.agent, before.held)
            self.forget_bid(task, before)
        posting.hold(agent.agent_id, held)
        posting.post()
        task.bids[agent.owner] = bid
        self.bids_of.setdefault(agent.agent_id, {})[task.number] = None
        if unsecured:
            self.unsecured[agent.owner] = task.number
        return TaskBidOutcome(command.id, "accepted", context.stamp, held=held)

    def check_bidder(self, task: Task, agent: AgentRecord) -> Violation | None:
        """Return why an agent may not bid on a task."""
        terms = task.terms
        if task.state != "open":
            return Reason.WRONG_STATE, f"the auction of task {task.number} is closed"
        if agent.owner == self.owner_of(terms.poster):
            return Reason.SAME_OWNER, "it was posted by the same owner"
        if terms.attester is not None and agent.owner == self.owner_of(terms.attester):
            return Reason.SAME_OWNER, "its attester is of the same owner"
        if agent.owner in terms.excluded_owners:
            return Reason.NOT_PERMITTED, f"{terms.origin} lets no agent of this owner do it"
        missing = [skill for skill in terms.skills if skill not in agent.skills]
        if missing:
            return Reason.MISSING_SKILL, f"it asks for {', '.join(missing)}"
        if agent.owner in task.banned:
            return Reason.NOT_PERMITTED, "an agent of this owner has failed at it"
        if self.score_of(agent.agent_id, "work") < terms.min_reputation * _PPM_PER_POINT:
            return Reason.REPUTATION_TOO_LOW, f"it asks for a reputation of {terms.min_reputation} for work"
        return None

    def _check_price(self, task: Task, price: int) -> Violation | None:
        if task.terms.direction == "procurement" and price > task.reserve:
            return Reason.BID_ABOVE_RESERVE, f"at most {whole_credits(task.reserve)} is paid"
        if task.terms.direction == "sale" and price < task.reserve:
            return Reason.BID_BELOW_RESERVE, f"at least {whole_credits(task.reserve)} is asked"
        return None

    def _may_owe(self, task: Task, agent: AgentRecord, bond: int, freed: int) -> bool:
        """Return whether an owner that has nothing may have this one award without a bond.

        What its earlier bid frees counts as available: else a fleet would free itself of a bond it can pay.
        """
        if task.terms.direction == "sale" or self.unsecured.get(agent.owner, task.number) != task.number:
            return False
        ledger = self.context.ledger
        fleet = self.context.fleets[agent.owner]
        return sum(ledger.balance(name, CREDIT).available for name in fleet) + freed < bond

    def withdraw_bid(self, agent: AgentRecord, command: WithdrawTaskBid) -> Outcome:
        """Take a bid back before the close."""
        task = self.tasks.get(command.task)
        if task is None:
            return self._reject_unknown(command, command.task)
        if task.state != "open":
            return self.context.reject(command, Reason.WRONG_STATE, f"the auction of task {task.number} is closed")
        bid = task.bids.get(agent.owner)
        if bid is None:
            return self.context.reject(command, Reason.UNKNOWN_BID, f"this owner has no bid on task {task.number}")
        self._drop_bid(task, bid)
        return self.context.accept(command)

    def _drop_bid(self, task: Task, bid: Bid) -> None:
        posting = self.context.cashier.posting(task.cause)
        posting.release(bid.agent, bid.held)
        posting.post()
        self.forget_bid(task, bid)

    def forget_bid(self, task: Task, bid: Bid) -> None:
        """Take a bid whose hold is gone out of its task and every index."""
        del task.bids[bid.owner]
        numbers = self.bids_of.get(bid.agent)
        if numbers is not None and not bid.is_standing:
            numbers.pop(task.number, None)
            if not numbers:
                del self.bids_of[bid.agent]
        if bid.unsecured:
            self.unsecured.pop(bid.owner, None)

    def release_for(self, agent_id: str, amount: int) -> None:
        """Withdraw a debtor's sealed bids, the newest first, until ``amount`` is available or none is left."""
        balance = self.context.ledger.balance(agent_id, CREDIT)
        for task, bid in self._sealed_bids(agent_id):
            if balance.available >= amount:
                return
            if bid.held:
                self._drop_bid(task, bid)
                self._tell_dropped(agent_id, task, "forced_debit")

    def _sealed_bids(self, agent_id: str) -> list[tuple[Task, Bid]]:
        """Return an agent's bids in open auctions, the newest first."""
        found: list[tuple[int, Task, Bid]] = []
        for number in self.bids_of.get(agent_id, ()):
            task = self.tasks[number]
            bid = task.bids.get(self.owner_of(agent_id))
            if task.state == "open" and bid is not None and bid.agent == agent_id:
                found.append((-bid.bid, task, bid))
        found.sort(key=_by_first)
        return [(task, bid) for _, task, bid in found]

    def _tell_dropped(self, agent_id: str, task: Task, reason: Any) -> None:
        self.context.emit(self.context.agents[agent_id], TaskCanceled(task=task.number, reason=reason))

    # ── standing bids ───────────────────────────────────────────────────────────────────────────

    def set_standing_bid(self, agent: AgentRecord, command: SetStandingBid) -> Outcome:
        """Let an agent bid by itself, on these terms instead of any before."""
        context = self.context
        if not command.price_per_hour and not command.fixed_price:
            return context.reject(command, Reason.MISSING_FIELD, "give price_per_hour, fixed_price or both")
        missing = [skill for skill in command.skills if skill not in agent.skills]
        if missing:
            return context.reject(command, Reason.MISSING_SKILL, f"{agent.agent_id} has no skill {', '.join(missing)}")
        if command.until_us is not None and command.until_us <= context.time_us:
            return context.reject(command, Reason.INVALID_EXPIRY, f"until_us is after venue time {context.time_us}")
        self._remove_standing_bid(agent.agent_id)
        self.standing.last_number += 1
        deadline_id = 0
        if command.until_us is not None:
            kind = "tasks.expire_standing_bid"
            deadline_id = context.deadlines.schedule(command.until_us, kind, agent.agent_id)
        self.standing.add(
            StandingBid(
                self.standing.last_number,
                agent.agent_id,
                agent.owner,
                tuple(dict.fromkeys(command.skills)),
                command.price_per_hour,
                command.fixed_price,
                command.load_markup_bp,
                command.max_effort_minutes,
                command.max_bond,
                command.min_payer_reputation,
                command.capacity,
                command.until_us,
                deadline_id,
            )
        )
        return context.accept(command)

    def clear_standing_bid(self, agent: AgentRecord, command: ClearStandingBid) -> Outcome:
        """End a standing bid."""
        if not self._remove_standing_bid(agent.agent_id):
            return self.context.reject(command, Reason.UNKNOWN_BID, f"{agent.agent_id} has no standing bid")
        return self.context.accept(command)

    def _remove_standing_bid(self, agent_id: str) -> bool:
        bid = self.standing.remove(agent_id)
        if bid is not None and bid.deadline_id:
            self.context.deadlines.cancel(bid.deadline_id)
        return bid is not None

    def _expire_standing_bid(self, agent_id: str) -> None:
        self.standing.remove(agent_id)
        self.context.emit(self.context.agents[agent_id], StandingBidEnded(reason="expired"))

    def accept(self, agent: AgentRecord, command: AcceptOffer) -> Outcome:
        """Take what a standing bid won."""
        return self._answer_offer(agent, command, command.task, self._closing.accept_offer)

    def decline(self, agent: AgentRecord, command: DeclineOffer) -> Outcome:
        """Leave what a standing bid won to the next bid."""
        return self._answer_offer(agent, command, command.task, self._closing.decline_offer)

    def _answer_offer(
        self, agent: AgentRecord, command: Command, number: int, answer: Callable[[Task], None]
    ) -> Outcome:
        task = self.tasks.get(number)
        if task is None:
            return self._reject_unknown(command, number)
        bid = task.bids.get(agent.owner) if task.offered == agent.owner else None
        if bid is None or bid.agent != agent.agent_id:
            return self.context.reject(command, Reason.WRONG_STATE, f"task {number} is not offered to this agent")
        answer(task)
        return self.context.accept(command)

    # ── what all parts need ─────────────────────────────────────────────────────────────────────

    def has_live_task(self, number: int) -> bool:
        """Return whether a task exists that has not ended."""
        return number in self.tasks

    def outline_of(self, number: int) -> tuple[str, str | None, int, str | None] | None:
        """Return poster, attester, deadline and, once awarded, winner of a task that has not ended; None for others."""
        task = self.tasks.get(number)
        if task is None:
            return None
        terms = task.terms
        return terms.poster, terms.attester, terms.deadline_us, None if task.award is None else task.award.winner

    def owner_of(self, agent_id: str) -> str:
        """Return the owner of a registered agent."""
        return self.context.agents[agent_id].owner

    def score_of(self, agent_id: str, domain: str) -> int:
        """Return a reputation in millionths; without reputations everybody is a newcomer."""
        reputations = self._reputations
        return (_NEWCOMER if reputations is None else reputations.score_of(agent_id, domain))[0]

    def _reject_unknown(self, command: Command, number: int) -> Outcome:
        ended = self.ended.get(number)
        if ended is not None:
            return self.context.reject(command, Reason.WRONG_STATE, f"task {number} is {ended.state}, for good")
        return self.context.reject(command, Reason.UNKNOWN_TASK, f"no task {number}")

    # ── ends of agents ──────────────────────────────────────────────────────────────────────────

    def _withdraw_all(self, fact: SwitchLapsed) -> None:
        """Withdraw what an agent that does not answer is not bound by."""
        self._withdraw(fact.agent, "dead_man")

    def _withdraw(self, agent_id: str, reason: Any) -> None:
        for task, bid in self._sealed_bids(agent_id):
            self._drop_bid(task, bid)
            self._tell_dropped(agent_id, task, reason)
        if self._remove_standing_bid(agent_id):
            self.context.emit(self.context.agents[agent_id], StandingBidEnded(reason=reason))
        for number in sorted(self.offers_of.get(agent_id, ())):
            task = self.tasks[number]
            self._tell_dropped(agent_id, task, reason)
            self._closing.decline_offer(task)

    def _wind_up(self, fact: AgentEnded) -> None:
        """Withdraw a revoked agent's bids, call off its open auctions; what is awarded runs to its end."""
        self._withdraw(fact.agent, "revoked")
        for number in list(self.posted.get(fact.agent, ())):
            task = self.tasks[number]
            if task.state in ("open", "offered") and not task.terms.origin:
                self._closing.call_off(task, "revoked")
        for number in sorted(self.bids_of.get(fact.agent, ())):
            # Its bid waits for the answer to somebody else's offer.
            task = self.tasks[number]
            self._drop_bid(task, task.bids[self.owner_of(fact.agent)])

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch; of bids nothing before their round ends."""
        states = {"open": 0, "awarded": 0}
        for task in list(self.tasks.values()):
            # Whether a closed round is offered to a standing bid is not to be seen before there is an award.
            states["awarded" if task.state == "awarded" else "open"] += 1
        rows: list[Row] = [
            ("live", "Tasks that have not ended.", {"state": key}, count) for key, count in states.items()
        ]
        return [*rows, *self.tally.rows()]

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of tasks, bids and their money."""
        return broken_invariants(self)

    def escrows(self) -> Iterable[str]:
        """Return the escrows of all tasks that have not ended."""
        return [escrow_of(task.cause) for task in self.tasks.values()]

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self.last_task,
            self.last_bid,
            [task.dump() for task in self.tasks.values()],
            [task.dump() for task in self.ended.values()],
            list(self.unsecured.items()),
            self.standing.dump(),
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; the indexes follow from it."""
        self.last_task, self.last_bid, tasks, ended, unsecured, standing = state
        self.unsecured = dict(unsecured)
        self.standing.load(standing)
        for fields in ended:
            task = Task.load(fields)
            self.ended[task.number] = task
        for fields in tasks:
            task = Task.load(fields)
            self.tasks[task.number] = task
            self._load_indexes(task)

    def _load_indexes(self, task: Task) -> None:
        self._list_posted(task)
        for bid in task.bids.values():
            if not bid.is_standing:
                self.bids_of.setdefault(bid.agent, {})[task.number] = None
        busy = task.award.winner if task.award is not None and task.state == "awarded" else None
        if task.offered is not None:
            busy = task.bids[task.offered].agent
            self.offers_of.setdefault(busy, {})[task.number] = None
        if busy is not None:
            self.awards_of[busy] = self.awards_of.get(busy, 0) + 1
        if task.state == "open":
            self.list_open(task)

    def _list_posted(self, task: Task) -> None:
        """Let a task be found by its poster, and count for the owner that pays for it."""
        terms = task.terms
        self.posted.setdefault(terms.poster, {})[task.number] = None
        if not terms.origin:
            owner = self.owner_of(terms.poster)
            self.posted_by_owner[owner] = self.posted_by_owner.get(owner, 0) + 1

    def unlist_posted(self, task: Task) -> None:
        """Let a task that has ended count for nobody."""
        terms = task.terms
        posted = self.posted[terms.poster]
        del posted[task.number]
        if not posted:
            del self.posted[terms.poster]
        if terms.origin:
            return
        owner = self.owner_of(terms.poster)
        self.posted_by_owner[owner] -= 1
        if not self.posted_by_owner[owner]:
            del self.posted_by_owner[owner]

    def list_open(self, task: Task) -> None:
        """Let everybody find an auction that is open."""
        self.open[task.number] = None
        for skill in task.terms.skills:
            self.open_by_skill.setdefault(skill, {})[task.number] = None

    def unlist(self, task: Task) -> None:
        """Let nobody find an auction that is closed."""
        self.open.pop(task.number, None)
        for skill in task.terms.skills:
            found = self.open_by_skill.get(skill)
            if found is not None:
                found.pop(task.number, None)
                if not found:
                    del self.open_by_skill[skill]


def _by_first(row: tuple[int, Task, Bid]) -> int:
    return row[0]
