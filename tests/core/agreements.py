"""A mechanism for tests: agents agree by a command on something to be delivered, and disputes are decided by decree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from exchange.mechanisms import REGISTRY
from exchange.mechanisms.base import AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import (
    DisputeDecided,
    DisputeOpened,
    SettlementAgreed,
    SettlementDelivered,
    SettlementFailed,
    SettlementFinal,
    SettlementOpened,
    SettlementTerms,
)
from exchange.messages.base import Command, Outcome
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WITH_AGREEMENTS", "Agree", "Agreements", "Decide", "Dispute"]


class Agree(Command, tag="agreements.agree", kw_only=True):
    """Agree, as the payer, with a provider, who need not be asked here."""

    provider: str
    price: int
    bond: int = 0
    deliver_by_us: int
    confirm_seconds: int = 86_400
    late_hours: int = 0
    late_per_hour: int = 0
    attester: str | None = None
    lease_seconds: int = 0
    asset: str = ""
    quantity: int = 0
    unsecured_bond: int = 0
    origin: str = "agreements"


class Dispute(Command, tag="agreements.dispute", kw_only=True):
    """Dispute a settlement, without a deposit."""

    settlement: int


class Decide(Command, tag="agreements.decide", kw_only=True):
    """Decide a dispute."""

    settlement: int
    upheld: bool


class Agreements(Mechanism):
    """Open settlements, and note what is heard of them."""

    family: ClassVar[str] = "agreements"
    summary: ClassVar[str] = "settlements for tests"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.agreed = 0
        self.disputes = 0
        self.facts: list[Any] = []
        self._settlements: Any = None
        for kind in (SettlementOpened, SettlementDelivered, SettlementFailed, SettlementFinal):
            context.react(kind, self._hear)

    def _hear(self, fact: Any) -> None:
        self.facts.append(fact)

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        self._settlements = mechanisms["settlements"]

    def commands(self) -> Mapping[type[Command], CommandRule]:
        return {
            Agree: CommandRule(self.agree, None, opens=True),
            Dispute: CommandRule(self.dispute, None, opens=False),
            Decide: CommandRule(self.decide, None, opens=False),
        }

    def agree(self, agent: AgentRecord, command: Agree) -> Outcome:
        cashier = self.context.cashier
        provider = self.context.agents.get(command.provider)
        if provider is None:
            return self.context.reject(command, Reason.UNKNOWN_AGENT, command.provider)
        problem = cashier.check(agent, command.price) or cashier.check(provider, command.bond)
        if command.quantity:
            problem = problem or cashier.check(provider, command.quantity, command.asset)
        if problem is not None:
            return self.context.reject(command, *problem)
        self.agreed += 1
        origin = f"{command.origin}:{self.agreed}"
        escrow = escrow_of(f"agreements:{self.agreed}")
        posting = cashier.posting(origin)
        posting.fund(agent.agent_id, escrow, command.price)
        posting.fund(command.provider, escrow, command.bond)
        if command.quantity:
            posting.fund(command.provider, escrow, command.quantity, command.asset)
        posting.post()
        terms = SettlementTerms(
            agent.agent_id,
            command.provider,
            command.price,
            command.bond,
            command.deliver_by_us,
            command.confirm_seconds,
            command.late_hours,
            command.late_per_hour,
            command.attester,
            command.lease_seconds,
            command.asset,
            command.quantity,
            "agreed",
            command.unsecured_bond,
        )
        self.context.announce(SettlementAgreed(origin, escrow, terms))
        return self.context.accept(command)

    def dispute(self, agent: AgentRecord, command: Dispute) -> Outcome:
        terms = self._settlements.dispute_terms(command.settlement, agent)
        if isinstance(terms[0], Reason):
            return self.context.reject(command, *terms)
        self.disputes += 1
        self.context.announce(DisputeOpened("settlements", command.settlement, self.disputes, agent.agent_id))
        return self.context.accept(command)

    def decide(self, agent: AgentRecord, command: Decide) -> Outcome:
        del agent
        settlement = self._settlements.live.get(command.settlement)
        if settlement is None or settlement.state != "disputed":
            return self.context.reject(command, Reason.NO_CHANGE, "it is not disputed")
        self.context.announce(
            DisputeDecided("settlements", command.settlement, settlement.dispute, upheld=command.upheld)
        )
        return self.context.accept(command)

    def dump(self) -> object:
        return [self.agreed, self.disputes]

    def load(self, state: Any) -> None:
        self.agreed, self.disputes = state


WITH_AGREEMENTS: Final[tuple[type[Mechanism], ...]] = (*REGISTRY, Agreements)
"""Every mechanism of the venue, and this one."""
