"""Answer for the cashier's books, and let debtors pay: family ``payments``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from exchange.mechanisms.base import AgentRecord, CommandRule, Context, Mechanism, NotFound
from exchange.mechanisms.cashier import BIND_OWNER
from exchange.mechanisms.facts import AgentAdmitted
from exchange.messages.base import Command, Outcome, Query, Result
from exchange.messages.payments import (
    GetHolds,
    GetLiens,
    HoldsResult,
    HoldView,
    LiensResult,
    LienView,
    PayLiens,
    PayLiensOutcome,
)
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from exchange.mechanisms.tally import Row

__all__ = ["Payments"]


class Payments(Mechanism):
    """Hold no money itself: the cashier of the context does, whose state this is."""

    family: ClassVar[str] = "payments"
    summary: ClassVar[str] = "why each amount is held or in escrow; forced debits and the liens they leave"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._cashier = context.cashier
        self._mechanisms: Mapping[str, Mechanism] = {}
        context.react(AgentAdmitted, self._admit)

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        """Find those who answer for escrows."""
        self._mechanisms = mechanisms

    def commands(self) -> Mapping[type[Command], CommandRule]:
        """Return the rule of every command of the family."""
        return {PayLiens: CommandRule(self.pay_liens, None, opens=False)}

    def queries(self) -> Mapping[type[Query], Callable[[AgentRecord, Any], Result]]:
        """Return the reader for every query of the family."""
        return {GetHolds: self._get_holds, GetLiens: self._get_liens}

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        """Return what each kind of deadline fires."""
        return {BIND_OWNER: self._cashier.bind_owner}

    def _admit(self, fact: AgentAdmitted) -> None:
        self._cashier.bind_newcomer(fact.agent)

    def pay_liens(self, agent: AgentRecord, command: PayLiens) -> Outcome:
        """Pay liens from what is available, the oldest first."""
        cashier, context = self._cashier, self.context
        owed = cashier.owed(agent.agent_id)
        if not owed:
            return context.reject(command, Reason.NO_CHANGE, "no lien binds this agent")
        amount = min(command.amount, owed)
        available = context.ledger.balance(agent.agent_id, "credit").available
        if amount > available:
            problem = cashier.check(agent, amount) or (Reason.INSUFFICIENT_CREDITS, "not available")
            return context.reject(command, *problem)
        paid = cashier.pay_liens(agent.agent_id, amount)
        return PayLiensOutcome(command.id, "accepted", context.stamp, paid=paid, owed=owed - paid)

    def _get_holds(self, agent: AgentRecord, query: GetHolds) -> HoldsResult:
        asked = query.agent or agent.agent_id
        target = self.context.agents.get(asked)
        if target is None or not (target.owner == agent.owner or "operator" in agent.roles):
            message = f"no agent {asked} of the owner {agent.owner}"
            raise NotFound(message)
        holds = self._cashier.holds.get(asked, {})
        return HoldsResult(agent=asked, holds=[HoldView(*key, amount) for key, amount in holds.items()])

    def _get_liens(self, agent: AgentRecord, query: GetLiens) -> LiensResult:
        cashier, me = self._cashier, agent.agent_id
        found: Iterable[int] = cashier.liens
        if "operator" not in agent.roles:
            found = sorted(dict.fromkeys((*cashier.liens_of.get(me, ()), *cashier.owed_to.get(me, ()))))
        numbers = [number for number in found if number > query.after][: query.limit + 1]
        page = [cashier.liens[number] for number in numbers[: query.limit]]
        views = [
            LienView(
                lien=lien.number,
                debtor=lien.debtor,
                creditor=lien.creditor,
                amount=lien.amount,
                cause=lien.cause,
                since_us=lien.since_us,
            )
            for lien in page
        ]
        return LiensResult(liens=views, next=page[-1].number if len(numbers) > query.limit else None)

    def metrics(self) -> Iterable[Row]:
        """Return what the venue's operators may want to watch."""
        cashier = self._cashier
        owed = sum(lien.amount for lien in list(cashier.liens.values()))
        return [
            ("escrows", "Open escrow accounts.", {}, len(cashier.escrows)),
            ("liens", "Debts that could not be paid yet.", {}, len(cashier.liens)),
            ("lien_credits", "What all liens come to, in whole credits.", {}, owed),
            *cashier.tally.rows(),
        ]

    def invariants(self) -> Sequence[str]:
        """Return the broken invariants of holds, escrows and liens."""
        return [*self._cashier.problems(), *self._unclaimed()]

    def _unclaimed(self) -> Iterable[str]:
        """Find money in escrow that no mechanism, or more than one, answers for."""
        claims: dict[str, int] = {}
        for mechanism in self._mechanisms.values():
            for name in mechanism.escrows():
                claims[name] = claims.get(name, 0) + 1
        for name in self._cashier.escrows:
            if claims.get(name, 0) != 1:
                yield f"one_mechanism_answers_for_an_escrow: {name} ({claims.get(name, 0)})"

    def dump(self) -> object:
        """Return the state as plain data."""
        return self._cashier.dump()

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        self._cashier.load(state)
