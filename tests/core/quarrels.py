"""A mechanism for tests: what a family lets be disputed is disputed without a deposit, and decided by decree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from exchange.mechanisms import REGISTRY
from exchange.mechanisms.base import AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.facts import DisputeDecided, DisputeOpened, DisputeTerms
from exchange.messages.base import Command, Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WITH_QUARRELS", "Quarrel", "Quarrels", "Rule"]


class Quarrel(Command, tag="quarrels.quarrel", kw_only=True):
    """Dispute something."""

    family: str
    number: int


class Rule(Command, tag="quarrels.rule", kw_only=True):
    """Decide a dispute."""

    family: str
    number: int
    upheld: bool


class Quarrels(Mechanism):
    """Open and decide disputes; ``terms`` are what the last one was about."""

    family: ClassVar[str] = "quarrels"
    summary: ClassVar[str] = "disputes for tests"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.opened = 0
        self.terms: DisputeTerms | None = None
        self._mechanisms: Mapping[str, Mechanism] = {}

    def connect(self, mechanisms: Mapping[str, Mechanism]) -> None:
        self._mechanisms = mechanisms

    def commands(self) -> Mapping[type[Command], CommandRule]:
        return {
            Quarrel: CommandRule(self.quarrel, None, opens=False),
            Rule: CommandRule(self.rule, None, opens=False),
        }

    def quarrel(self, agent: AgentRecord, command: Quarrel) -> Outcome:
        disputable: Any = self._mechanisms[command.family]
        terms = disputable.dispute_terms(command.number, agent)
        if not isinstance(terms, DisputeTerms):
            return self.context.reject(command, *terms)
        self.terms = terms
        self.opened += 1
        self.context.announce(DisputeOpened(command.family, command.number, self.opened, agent.agent_id))
        return self.context.accept(command)

    def rule(self, agent: AgentRecord, command: Rule) -> Outcome:
        del agent
        self.context.announce(DisputeDecided(command.family, command.number, self.opened, upheld=command.upheld))
        return self.context.accept(command)

    def dump(self) -> object:
        return [self.opened]

    def load(self, state: Any) -> None:
        (self.opened,) = state


WITH_QUARRELS: Final[tuple[type[Mechanism], ...]] = (*REGISTRY, Quarrels)
"""Every mechanism of the venue, and this one."""
