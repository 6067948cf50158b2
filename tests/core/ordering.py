"""A mechanism for tests: an agent lets it have work done, with money that the agent pays in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from exchange.mechanisms import REGISTRY
from exchange.mechanisms.base import AgentRecord, CommandRule, Context, Mechanism
from exchange.mechanisms.cashier import escrow_of
from exchange.mechanisms.facts import TaskFinal, TaskOpened, TaskOrdered
from exchange.messages.base import Command, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["KEPT", "WITH_ORDERING", "Have", "Ordering"]

KEPT: Final = escrow_of("ordering:kept")
"""The escrow that may take what is not spent."""


class Have(Command, tag="ordering.have", kw_only=True):
    """Have an hour of work done for ``paid``; somebody else confirms it."""

    poster: str
    paid: int
    reserve: int
    refund: str
    excluded: tuple[str, ...] = ()
    closes_in_us: int = 60_000_000


class Ordering(Mechanism):
    """Have work done, and note what is heard of it."""

    family: ClassVar[str] = "ordering"
    summary: ClassVar[str] = "work that a mechanism has done, for tests"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.facts: list[Any] = []
        context.react(TaskOpened, self.facts.append)
        context.react(TaskFinal, self.facts.append)

    def commands(self) -> Mapping[type[Command], CommandRule]:
        return {Have: CommandRule(self.have, None, opens=True)}

    def have(self, agent: AgentRecord, command: Have) -> Outcome:
        context, escrow = self.context, escrow_of("ordering:1")
        posting = context.cashier.posting("ordering:1")
        posting.fund(agent.agent_id, escrow, command.paid)
        posting.post()
        order = TaskOrdered(
            origin="ordering:1",
            escrow=escrow,
            poster=command.poster,
            refund=command.refund,
            title="mend it",
            detail="",
            skills=("python",),
            effort_minutes=60,
            reserve=command.reserve,
            closes_at_us=context.time_us + command.closes_in_us,
            deadline_us=context.time_us + 86_400_000_000,
            excluded_owners=command.excluded,
        )
        context.announce(order)
        return context.accept(command)

    def escrows(self) -> Iterable[str]:
        return [KEPT]

    def dump(self) -> object:
        return []

    def load(self, state: Any) -> None:
        del state


WITH_ORDERING: Final[tuple[type[Mechanism], ...]] = (*REGISTRY, Ordering)
"""Every mechanism of the venue, and this one."""
