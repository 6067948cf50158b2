"""A mechanism for tests: an operator sets a parameter of the venue at once, where a vote would take days."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec

from exchange.mechanisms.base import AgentRecord, CommandRule, Mechanism
from exchange.mechanisms.facts import ParameterChanged
from exchange.messages.base import Command, Outcome
from tests.core.quarrels import WITH_QUARRELS

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["WITH_RATES", "SetParameter"]


class SetParameter(Command, tag="rates.set", kw_only=True):
    """Let a parameter have another value."""

    name: str
    value: int


class Rates(Mechanism):
    """Change settings, and announce it."""

    family: ClassVar[str] = "rates"
    summary: ClassVar[str] = "parameters for tests"

    def commands(self) -> Mapping[type[Command], CommandRule]:
        return {SetParameter: CommandRule(self.set_parameter, "operator", opens=False)}

    def set_parameter(self, agent: AgentRecord, command: SetParameter) -> Outcome:
        del agent
        before = getattr(self.context.settings, command.name)
        self.context.settings = msgspec.structs.replace(self.context.settings, **{command.name: command.value})
        self.context.announce(ParameterChanged(command.name, before, command.value))
        return self.context.accept(command)

    def dump(self) -> object:
        return None

    def load(self, state: Any) -> None:
        del state


WITH_RATES: Final[tuple[type[Mechanism], ...]] = (*WITH_QUARRELS, Rates)
"""Every mechanism of the venue, this one, and that which decides disputes by decree."""
