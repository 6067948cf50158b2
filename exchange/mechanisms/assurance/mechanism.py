"""Let many pledge for a public good: family ``assurance``."""

from __future__ import annotations

from collections import deque
from heapq import nsmallest
from typing import TYPE_CHECKING, Any, ClassVar, Final, Protocol

from exchange.mechanisms.assurance.closing import Closing
from exchange.mechanisms.assurance.good import Good, Pledge, bond_for
from exchange.mechanisms.assurance.invariants import broken_invariants
from exchange.mechanisms.assurance.proposing import check_pledge, check_proposal, default_hour_bond, least_pledge
from exchange.mechanisms.assurance.queries import Queries
from exchange.mechanisms.assurance.sharing import PUBLIC_FUND
from exchange.mechanisms.base import VENUE_SCOPE, AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import (
    AgentEnded,
    GoodSubsidised,
    PayersTerms,
    SettlementAccepted,
    SettlementDelivered,
    SettlementFinal,
    SettlementOpened,
    SwitchLapsed,
)
from exchange.mechanisms.tally import Figure, Tally, words
from exchange.messages.assurance import (
    ConfirmGood,
    GoodConfirmed,
    GoodEnd,
    GoodOutcome,
    GoodProposed,
    PledgeOutcome,
    PledgePlaced,
    PledgeVoided,
    ProposeGood,
    WithdrawGood,
)
from exchange.messages.assurance import GoodSubsidised as SubsidyTold
from exchange.messages.assurance import Pledge as PledgeCommand
from exchange.messages.base import Command, Outcome, Query, Result
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row
    from exchange.messages.base import Event

__all__ = ["Assurance", "SettlementDirectory"]

_REMEMBERED: Final = 1_000
"""So many ended goods can still be asked for."""

_REMEMBERED_PLEDGES: Final = 10_000
"""So many pledges of ended goods can still be asked for: those of the latest."""

_PAGE: Final = 500
"""About so many goods and pledges of an agent that is gone are looked after in one batch: orders come in between."""

_MINUTE_US: Final = 60_000_000


class SettlementDirectory(Protocol):
    """Say what this mechanism needs to know about settlements."""

    def state_of(self, number: int) -> str | None:
        """Return the state of a settlement that is not final; None of any other."""


class Assurance(Mechanism):
    """Keep every good from its proposal until its money has moved."""

    family: ClassVar[str] = "assurance"
    summary: ClassVar[str] = "public goods: enough pledge by a deadline and all give their share, else all is refunded"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.live: dict[int, Good] = {}
        self.ended: dict[int, Good] = {}
        self.by_agent: dict[str, dict[int, None]] = {}
        """The goods that have not ended in which an agent has a part."""
        self.proposed: dict[str, int] = {}
        """How many of them each owner has proposed."""
        self.page = _PAGE
        """How many goods and pledges of an agent that is gone are looked after in one batch, about."""
        self.most_pledges = _REMEMBERED_PLEDGES
        """How many pledges of ended goods can still be asked for."""
        self._remembered = 0
        """How many there are."""
        self._told: deque[int] = deque()
        """The ended goods of which they are, by when they ended."""
        self._last_number = 0
        self._settlements: SettlementDirectory | None = None
        self.closing = Closing(self)
        self._queries = Queries(self)
        self.tally = Tally(
            Figure("proposed_total", "Goods proposed."),
            Figure("pledges_total", "Pledges, those that add to an earlier one included."),
            Figure("pledged_credits_total", "Whole credits pledged."),
            Figure("pledged_seconds_total", "Work pledged."),
            Figure("subsidised_credits_total", "Whole credits of public money that goods were given."),
            Figure("reached_total", "Goods for which enough was pledged."),
            Figure("ended_total", "Goods that ended.", ("outcome",), words(GoodEnd)),
            Figure("paid_credits_total", "Whole credits paid to providers."),
            Figure("bonus_credits_total", "Whole credits of bonus paid with refunds."),
        )
        context.react(SettlementOpened, self.closing.note_opened)
        context.react(SettlementDelivered, self.closing.note_delivered)
        context.react(SettlementFinal, self.closing.note_final)
        context.react(GoodSubsidised, self._take_subsidy)
        context.react(AgentEnded, self._wind_up)
        context.react(SwitchLapsed, self._withdraw_unpledged)

    # ── what the engine asks ────────────────────────────────────────────────────────────────────

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        """Find the settlements by which goods are delivered."""
        self._settlements = mechanisms.get("settlements")  # type: ignore[assignment]  # by its shape

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        return {
            ProposeGood: CommandRule(self.propose, "trader", opens=True),
            PledgeCommand: CommandRule(self.pledge, "trader", opens=True),
            ConfirmGood: CommandRule(self.confirm, None, opens=False),
            WithdrawGood: CommandRule(self.withdraw, None, opens=False),
        }

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return self._queries.readers()

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {"assurance.close": self.closing.close, "assurance.wind_up": self._wind_up_page}

    # ── commands ────────────────────────────────────────────────────────────────────────────────

    def propose(self, agent: AgentRecord, command: ProposeGood) -> Outcome:
        """Put the most that the bonus can come to into escrow, and wait for pledges."""
        context = self.context
        problem = check_proposal(context, agent, command)
        if problem is not None:
            return context.reject(command, *problem)
        most = context.settings.max_open_goods
        if self.proposed.get(agent.owner, 0) >= most:
            return context.reject(command, Reason.TOO_MANY_GOODS, f"an owner proposes at most {most} at a time")
        good = self._good_of(agent, command)
        problem = context.cashier.check(agent, good.bonus_max)
        if problem is not None:
            return context.reject(command, *problem)
        self._last_number = good.number
        good.bonus_fund = good.bonus_max
        posting = context.cashier.posting(good.cause)
        posting.fund(agent.agent_id, escrow_of(good.cause), good.bonus_fund)
        posting.post()
        kind = "assurance.close"
        good.deadline_id = context.deadlines.schedule_act(good.deadline_us, kind, VENUE_SCOPE, good.number)
        self._list(good)
        self.tally.count("proposed_total")
        self._tell(
            good.parties(),
            lambda: GoodProposed(
                good=good.number,
                title=good.title,
                proposer=good.proposer,
                unit=good.unit,
                threshold=good.threshold,
                cap=good.cap,
                deadline_us=good.deadline_us,
                deliver_by_us=good.deliver_by_us,
                provider=good.provider,
                attester=good.attester,
            ),
        )
        return GoodOutcome(command.id, "accepted", context.stamp, good=good.number, escrow=good.bonus_fund)

    def _good_of(self, agent: AgentRecord, command: ProposeGood) -> Good:
        """Return a good with its terms frozen: what they leave open is as the venue has it now."""
        settings = self.context.settings
        good = Good(self._last_number + 1, agent.agent_id, command.title, command.detail, command.unit)
        good.threshold = command.threshold
        good.cap = command.threshold if command.cap is None else command.cap
        good.deadline_us, good.deliver_by_us = command.deadline_us, command.deliver_by_us
        good.provider, good.attester = command.provider, command.attester
        good.max_pledges, good.confirm_seconds = settings.max_pledges, settings.confirm_seconds
        good.min_credits, good.min_minutes = command.min_credits or 0, command.min_minutes or 0
        least = least_pledge(good.cap, good.max_pledges)
        if good.unit == "credits":
            good.min_credits = good.min_credits or least
        elif good.unit == "minutes":
            good.min_minutes = good.min_minutes or least
        good.bonus_bp = command.refund_bonus_bp
        if good.takes_minutes:
            default = default_hour_bond(settings.debt_hour_rate)
            good.hour_bond = default if command.hour_bond is None else command.hour_bond
        return good

    def pledge(self, agent: AgentRecord, command: PledgeCommand) -> Outcome:
        """Take a pledge, for good: nothing gives it back but the end of the good."""
        context = self.context
        good = self.live.get(command.good)
        if good is None:
            return self._reject_unknown(command, command.good)
        if good.state != "open":
            return context.reject(command, Reason.WRONG_STATE, f"good {good.number} is {good.state}")
        counts = agent.owner not in self._interested(good)
        problem = check_pledge(good, agent, command, counts=counts)
        if problem is not None:
            return context.reject(command, *problem)
        me = agent.agent_id
        earlier = good.pledges.get(me)
        minutes, bonded = (0, 0) if earlier is None else (earlier.minutes, earlier.bond)
        bond = bond_for(minutes + command.minutes, good.hour_bond) - bonded
        problem = context.cashier.check(agent, command.credits + bond)
        if problem is not None:
            return context.reject(command, *problem)
        posting = context.cashier.posting(good.cause)
        posting.fund(me, escrow_of(good.cause), command.credits + bond)
        posting.post()
        good.add(me, agent.owner, command.credits, command.minutes, counts=counts)
        self.by_agent.setdefault(me, {})[good.number] = None
        self.tally.count("pledges_total")
        self.tally.count("pledged_credits_total", by=command.credits)
        self.tally.count("pledged_seconds_total", by=command.minutes * _MINUTE_US)
        self._tell(
            list(dict.fromkeys((me, good.proposer))),
            lambda: PledgePlaced(
                good=good.number,
                agent=me,
                raised=good.raised,
                credits=command.credits,
                minutes=command.minutes,
                bond=bond,
            ),
        )
        return PledgeOutcome(command.id, "accepted", context.stamp, bond=bond)

    def _interested(self, good: Good) -> list[str]:
        """Return the owners that propose and provide: they count as none, have no voice and get no bonus."""
        agents = self.context.agents
        owners = [agents[good.proposer].owner]
        if good.provider is not None:
            owners.append(agents[good.provider].owner)
        return owners

    def confirm(self, agent: AgentRecord, command: ConfirmGood) -> Outcome:
        """Take an owner's voice for what was delivered; more than half of the credits accept it."""
        context = self.context
        good = self.live.get(command.good)
        if good is None:
            return self._reject_unknown(command, command.good)
        owner = agent.owner
        if not good.weights.get(owner):
            detail = (
                f"{agent.agent_id} has no voice: its owner pledged no credits, proposes good {good.number}, or is paid"
            )
            return context.reject(command, Reason.NOT_PERMITTED, detail)
        state = None if self._settlements is None else self._settlements.state_of(good.settlement)
        if state != "delivered":
            detail = (
                f"good {good.number} does not wait to be confirmed: its settlement is {state or 'not opened or final'}"
            )
            return context.reject(command, Reason.WRONG_STATE, detail)
        if owner in good.confirmed:
            return context.reject(command, Reason.NO_CHANGE, f"owner {owner} has confirmed good {good.number}")
        good.confirmed[owner] = None
        good.confirmed_weight += good.weights[owner]
        names = [agent.agent_id, *good.parties()]
        self._tell(
            list(dict.fromkeys(names)),
            lambda: GoodConfirmed(
                good=good.number, agent=agent.agent_id, weight=good.confirmed_weight, voting=good.voting
            ),
        )
        if 2 * good.confirmed_weight > good.voting:
            context.announce(SettlementAccepted(good.settlement))
        return context.accept(command)

    def withdraw(self, agent: AgentRecord, command: WithdrawGood) -> Outcome:
        """End a good for which nothing was pledged."""
        context = self.context
        good = self.live.get(command.good)
        if good is None:
            return self._reject_unknown(command, command.good)
        if agent.agent_id != good.proposer:
            return context.reject(command, Reason.NOT_PERMITTED, f"good {good.number} is {good.proposer}'s")
        if not self._is_unpledged(good):
            return context.reject(command, Reason.WRONG_STATE, f"good {good.number} has pledges: it binds its proposer")
        self.closing.give_back(good, "withdrawn")
        return context.accept(command)

    @staticmethod
    def _is_unpledged(good: Good) -> bool:
        return good.state == "open" and not good.pledges and not good.subsidy

    # ── facts ───────────────────────────────────────────────────────────────────────────────────

    def _take_subsidy(self, fact: GoodSubsidised) -> None:
        """Let public money count, up to the cap; what cannot count goes back to the public fund."""
        good = self.live.get(fact.good)
        taken = 0
        if good is not None and good.state == "open" and good.unit == "credits":
            taken = min(fact.amount, good.cap - good.raised)
        posting = self.context.cashier.posting(f"assurance:{fact.good}")
        posting.move(fact.escrow, PUBLIC_FUND, fact.amount - taken)
        if good is None or not taken:
            posting.post()
            return
        posting.move(fact.escrow, escrow_of(good.cause), taken)
        posting.post()
        good.subsidy += taken
        self.tally.count("subsidised_credits_total", by=taken)
        self._tell([good.proposer], lambda: SubsidyTold(good=good.number, amount=taken, raised=good.raised))

    def _wind_up(self, fact: AgentEnded) -> None:
        """End the open goods of a revoked proposer, provider or attester; credits stay pledged, work needs somebody."""
        self._wind_up_page(fact.agent)

    def _wind_up_page(self, agent_id: str) -> None:
        """Look after the next goods; also fires as a deadline, in a batch of its own each time.

        Others name whom they like as provider or attester, so there may be any number of them.
        """
        context = self.context
        owner, left = context.agents[agent_id].owner, self.page
        names, fleet = [agent_id], context.fleets[owner]
        is_gone = all(context.agents[name].state == "revoked" for name in fleet)
        for name in fleet if is_gone else names:
            page = nsmallest(
                left,
                [
                    number
                    for number in self.by_agent.get(name, ())
                    if self._needs(self.live[number], name, is_gone=is_gone)
                ],
            )
            for number in page:
                good = self.live[number]
                left -= 1 + good.pledge_count
                if name in good.parties():
                    self.closing.give_back(good, "revoked")
                else:
                    self._void_work(good, owner)
                if left <= 0:
                    context.deadlines.schedule(context.time_us + 1, "assurance.wind_up", agent_id)
                    return

    @staticmethod
    def _needs(good: Good, name: str, *, is_gone: bool) -> bool:
        """Return whether an open good needs an agent that was revoked, or work of its owner, which ``is_gone``."""
        if good.state != "open":
            return False
        return name in good.parties() or (is_gone and good.takes_minutes and name in good.pledges)

    def _void_work(self, good: Good, owner: str) -> None:
        """Take out the work that an owner pledged of which no agent is left."""
        removed = good.remove_owner(owner)
        posting = self.context.cashier.posting(good.cause)
        for pledge in removed:
            posting.give_back(escrow_of(good.cause), pledge.agent, pledge.credits + pledge.bond)
            self._forget(pledge.agent, good)
        posting.post()
        for pledge in removed:
            self._tell_voided(good, pledge)

    def _tell_voided(self, good: Good, pledge: Pledge) -> None:
        event = PledgeVoided(
            good=good.number, agent=pledge.agent, raised=good.raised, credits=pledge.credits, minutes=pledge.minutes
        )
        self.context.emit(self.context.agents[good.proposer], event)

    def _withdraw_unpledged(self, fact: SwitchLapsed) -> None:
        """Withdraw what an agent that cannot be reached proposed, and nobody pledged for; pledges bind."""
        for number in sorted(self.by_agent.get(fact.agent, ())):
            good = self.live[number]
            if good.proposer == fact.agent and self._is_unpledged(good):
                self.closing.give_back(good, "dead_man")

    # ── what other mechanisms ask ───────────────────────────────────────────────────────────────

    def payers_of(self, origin: str) -> PayersTerms | None:
        """Return who pays for a settlement of this origin, in which the proposer stands for them all."""
        found = self.find(origin)
        if found is None:
            return None
        good, pledge = found
        agents = self.context.agents
        provider = good.provider if pledge is None else pledge.agent
        worker = None if provider is None else agents[provider].owner
        names = [good.proposer, *good.pledges]
        owners = tuple([owner for owner in dict.fromkeys(agents[name].owner for name in names) if owner != worker])
        if pledge is None:
            return PayersTerms(owners, good.credits_due, confirm_together=True)
        return PayersTerms(owners, pledge.bond, confirm_together=False)

    def takes_subsidy(self, number: int) -> bool:
        """Return whether public money may count for a good now: it counts credits, and waits for pledges."""
        good = self.live.get(number)
        return good is not None and good.state == "open" and good.unit == "credits" and good.raised < good.cap

    def find(self, origin: str) -> tuple[Good, Pledge | None] | None:
        """Return the good of a settlement's origin, and the pledge of work if it is about one: none has number 0."""
        family, _, rest = origin.partition(":")
        if family != self.family:
            return None
        number, _, place = rest.partition(":")
        good = self.live.get(int(number))
        if good is None:
            return None
        return good, good.by_number.get(int(place))

    # ── indexes, telling ────────────────────────────────────────────────────────────────────────

    def _list(self, good: Good) -> None:
        self.live[good.number] = good
        for name in good.listeners():
            self.by_agent.setdefault(name, {})[good.number] = None
        owner = self.context.agents[good.proposer].owner
        self.proposed[owner] = self.proposed.get(owner, 0) + 1

    def _forget(self, name: str, good: Good) -> None:
        numbers = self.by_agent[name]
        del numbers[good.number]
        if not numbers:
            del self.by_agent[name]

    def retire(self, good: Good) -> None:
        """Take a good out of every index but that of ended ones."""
        del self.live[good.number]
        for name in good.listeners():
            self._forget(name, good)
        owner = self.context.agents[good.proposer].owner
        self.proposed[owner] -= 1
        if not self.proposed[owner]:
            del self.proposed[owner]
        self._remember(good)
        if len(self.ended) > _REMEMBERED:
            self._forget_pledges(self.ended.pop(next(iter(self.ended))))
        while self._remembered > self.most_pledges:
            self._forget_pledges(self.ended[self._told[0]])

    def _remember(self, good: Good) -> None:
        """Let a good that has ended be asked for, and what came of its pledges."""
        good.weights, good.confirmed = {}, {}
        self.ended[good.number] = good
        if good.pledges:
            self._told.append(good.number)
            self._remembered += len(good.pledges)

    def _forget_pledges(self, good: Good) -> None:
        """Forget the pledges of the good that ended first of those whose pledges are remembered, if it is this one."""
        if good.pledges:
            self._told.popleft()
            self._remembered -= len(good.pledges)
            good.forget_pledges()

    def _reject_unknown(self, command: Command, number: int) -> Outcome:
        """Reject what names a good that has ended or never was."""
        ended = self.ended.get(number)
        if ended is not None:
            return self.context.reject(command, Reason.WRONG_STATE, f"good {number} has ended: {ended.state}")
        return self.context.reject(command, Reason.UNKNOWN_GOOD, f"no good {number}; list them with assurance.list")

    def _tell(self, names: list[str], make: Callable[[], Event]) -> None:
        """Send agents an event each of their own."""
        for name in names:
            self.context.emit(self.context.agents[name], make())

    def metrics(self) -> Iterable[Row]:
        """Return what operators may want to watch."""
        states = {"open": 0, "reached": 0}
        credits_ = minutes = 0
        for good in list(self.live.values()):
            states[good.state] = states.get(good.state, 0) + 1
            if good.state == "open":
                credits_ += good.credits
                minutes += good.minutes
        text = "Goods that have not ended: open to pledges, or reached and being provided."
        rows: list[Row] = [("live", text, {"state": state}, count) for state, count in states.items()]
        rows.append(("open_pledges_credits", "Whole credits that are pledged for open goods.", {}, credits_))
        rows.append(("open_pledges_seconds", "Work that is pledged for open goods.", {}, minutes * _MINUTE_US))
        return [*rows, *self.tally.rows()]

    # ── proving ─────────────────────────────────────────────────────────────────────────────────

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of goods and their escrows."""
        broken = broken_invariants(self)
        if len(self.ended) > _REMEMBERED:
            broken.append("few_ended_goods_are_remembered")
        remembered = sum(len(good.pledges) for good in self.ended.values())
        if remembered != self._remembered or remembered > self.most_pledges:
            broken.append("few_pledges_of_ended_goods_are_remembered")
        return broken

    def escrows(self) -> Iterable[str]:
        """Return the escrows of all goods that have not ended."""
        return [escrow_of(good.cause) for good in self.live.values()]

    def dump(self) -> object:
        """Return the state as plain data."""
        return [
            self._last_number,
            [good.dump() for good in self.live.values()],
            [good.dump() for good in self.ended.values()],
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; the indexes follow from it."""
        self._last_number, live, ended = state
        for fields in live:
            self._list(Good.load(fields))
        for fields in ended:
            self._remember(Good.load(fields))
