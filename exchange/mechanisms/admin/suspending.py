"""Keep what broke the engine away from it: quarantined commands, suspended mechanisms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.base import NotFound
from exchange.mechanisms.facts import MechanismStateOrdered
from exchange.mechanisms.quarantine import STRIKES_MAX, Quarantined
from exchange.messages.admin import QuarantinedView, QuarantineResult, SuspendedView
from exchange.messages.base import VENUE_AGENT
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from exchange.mechanisms.base import AgentRecord, Context, SuspensionState
    from exchange.messages.admin import (
        GetQuarantine,
        QuarantineCommand,
        ReleaseCommand,
        ResumeMechanism,
        SuspendMechanism,
    )
    from exchange.messages.base import Outcome

__all__ = ["Suspending"]

_ADMIN: Final = "admin"
_ENGINE: Final = "engine"
"""The engine has deadlines of its own, and no commands."""


class Suspending:
    """Suspend mechanisms, quarantine commands, and undo both."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._families: tuple[str, ...] = (_ENGINE,)
        self.since: dict[str, tuple[int, str]] = {}
        """When each suspended mechanism was suspended, and why."""

    def connect(self, families: Iterable[str]) -> None:
        """Learn which mechanisms there are."""
        self._families = (*families, _ENGINE)

    def suspend_mechanism(self, agent: AgentRecord, command: SuspendMechanism) -> Outcome:
        """Stop the deadlines of a mechanism, and what would take on something new, or all of its commands."""
        del agent
        context = self._context
        family = command.family
        if family not in self._families:
            return context.reject(command, Reason.UNKNOWN_MECHANISM, f"no mechanism {family}")
        if family in self.since and context.suspended.get(family) == command.state:
            return context.reject(command, Reason.NO_CHANGE, f"{family} is suspended, {command.state}")
        detail = ": ".join(part for part in (command.deadline, command.error) if part)
        self._suspend(family, command.state, detail)
        return context.accept(command)

    def _suspend(self, family: str, state: SuspensionState, detail: str) -> None:
        self.since[family] = (self._context.time_us, detail)
        self._context.announce(MechanismStateOrdered(family, state))

    def resume_mechanism(self, agent: AgentRecord, command: ResumeMechanism) -> Outcome:
        """Let a mechanism work again; its deadlines that waited fire next, in order."""
        del agent
        context = self._context
        if command.family not in self._families:
            return context.reject(command, Reason.UNKNOWN_MECHANISM, f"no mechanism {command.family}")
        if self.since.pop(command.family, None) is None:
            return context.reject(command, Reason.NO_CHANGE, f"{command.family} is not suspended")
        context.announce(MechanismStateOrdered(command.family, "open"))
        return context.accept(command)

    def quarantine_command(self, agent: AgentRecord, command: QuarantineCommand) -> Outcome:
        """Refuse a command from now on; only the venue itself may say so.

        Where the commands of several owners broke one mechanism it is the mechanism that is at fault: it is
        suspended, and closed altogether when even that does not help.
        """
        context = self._context
        if agent.agent_id != VENUE_AGENT:
            return context.reject(command, Reason.NOT_PERMITTED, "only the venue itself finds out what is poisonous")
        if command.digest in context.quarantine.entries:
            return context.reject(command, Reason.NO_CHANGE, f"{command.digest} is quarantined")
        sender = context.agents.get(command.agent)
        entry = Quarantined(
            command.digest, command.agent, command.agent if sender is None else sender.owner, command.command,
            command.tag, command.error, context.time_us, command.is_certain,
        )  # fmt: skip
        context.quarantine.add(entry)
        family = entry.family
        if entry.is_certain and family != _ADMIN:
            state = context.suspended.get(family)
            if state == "cancel_only":
                self._suspend(family, "halted", f"{entry.tag} of {entry.agent}: {entry.error}")
            elif state is None and context.quarantine.owners(family) >= STRIKES_MAX:
                self._suspend(family, "cancel_only", f"commands of {STRIKES_MAX} owners broke it")
        return context.accept(command)

    def release_command(self, agent: AgentRecord, command: ReleaseCommand) -> Outcome:
        """Take a command out of quarantine."""
        del agent
        if not self._context.quarantine.release(command.digest):
            return self._context.reject(command, Reason.UNKNOWN_QUARANTINE, f"no command {command.digest}")
        return self._context.accept(command)

    def get_quarantine(self, agent: AgentRecord, query: GetQuarantine) -> QuarantineResult:
        """Return what is quarantined and suspended, to operators."""
        del query
        if "operator" not in agent.roles:
            message = "only operators see the quarantine"
            raise NotFound(message)
        context = self._context
        return QuarantineResult(
            commands=[
                QuarantinedView(
                    digest=entry.digest, agent=entry.agent, owner=entry.owner, command=entry.command_id, tag=entry.tag,
                    error=entry.error, since_us=entry.time_us, is_certain=entry.is_certain,
                )
                for entry in context.quarantine.entries.values()
            ],
            mechanisms=[
                SuspendedView(family=family, state=context.suspended[family], since_us=since_us, detail=detail)
                for family, (since_us, detail) in self.since.items()
            ],
        )  # fmt: skip

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [
            [[family, self._context.suspended[family], *since] for family, since in self.since.items()],
            self._context.quarantine.dump(),
        ]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave."""
        suspended, quarantined = state
        for family, mechanism_state, since_us, detail in suspended:
            self._context.suspended[family] = mechanism_state
            self.since[family] = (since_us, detail)
        self._context.quarantine.load(quarantined)
