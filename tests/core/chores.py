"""A mechanism for tests: agents promise to do something in time, and it remembers when the deadline passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from exchange.mechanisms.base import AgentRecord, CommandRule, Context, Mechanism
from exchange.messages.base import Command, Outcome, TimestampUs
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["Chores", "Keep", "Promise"]


class Promise(Command, tag="chores.promise", kw_only=True):
    """Promise an act until ``deadline_us`` in a scope; ``is_act=False``: something that just ends then."""

    deadline_us: TimestampUs
    scope: str = "venue"
    is_act: bool = True


class Keep(Command, tag="chores.keep", kw_only=True):
    """Keep a promise, if its deadline has not passed."""

    number: int


class Chores(Mechanism):
    """Keep promises by the ids of their deadlines."""

    family: ClassVar[str] = "chores"
    summary: ClassVar[str] = "promises with deadlines"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.promised: list[int] = []
        self.passed: dict[int, int] = {}
        """When each deadline passed."""
        self.resumed = 0

    def commands(self) -> Mapping[type[Command], CommandRule]:
        return {
            Promise: CommandRule(self.promise, None, opens=True),
            Keep: CommandRule(self.keep, None, opens=False),
        }

    def deadlines(self) -> Mapping[str, Callable[..., None]]:
        return {"chores.lapse": self.lapse}

    def promise(self, agent: AgentRecord, command: Promise) -> Outcome:
        del agent
        deadlines, place = self.context.deadlines, len(self.promised)
        if command.is_act:
            self.promised.append(deadlines.schedule_act(command.deadline_us, "chores.lapse", command.scope, place))
        else:
            self.promised.append(deadlines.schedule(command.deadline_us, "chores.lapse", place))
        return self.context.accept(command)

    def keep(self, agent: AgentRecord, command: Keep) -> Outcome:
        del agent
        deadlines, number = self.context.deadlines, self.promised[command.number]
        if deadlines.due_us(number) is None:
            return self.context.reject(command, Reason.NO_CHANGE, "it is too late")
        deadlines.cancel(number)
        return self.context.accept(command)

    def lapse(self, place: int) -> None:
        self.passed[place] = self.context.time_us

    def on_resume(self) -> None:
        self.resumed += 1

    def dump(self) -> object:
        return [self.promised, list(self.passed.items()), self.resumed]

    def load(self, state: Any) -> None:
        self.promised, passed, self.resumed = list(state[0]), state[1], state[2]
        self.passed = dict(passed)
