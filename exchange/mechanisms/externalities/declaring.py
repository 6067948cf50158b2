"""Take declarations of changes, keep their bonds for a week, and find the one that a report is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.cashier import whole_credits
from exchange.mechanisms.externalities.levy import Change
from exchange.messages.externalities import ChangeEnded, ChangeOutcome
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.cashier import Posting
    from exchange.mechanisms.externalities.levy import Levy, Suffering
    from exchange.mechanisms.externalities.mechanism import Externalities
    from exchange.messages.base import Outcome
    from exchange.messages.externalities import DeclareChange

__all__ = ["FORGET", "RETURN_BOND", "Declaring"]

RETURN_BOND: Final = "externalities.return_bond"
FORGET: Final = "externalities.forget_change"

_SECOND_US: Final = 1_000_000

Violation = tuple[Reason, str]


def _discard(index: dict[str, dict[int, None]], key: str, number: int) -> None:
    numbers = index[key]
    del numbers[number]
    if not numbers:
        del index[key]


class Declaring:
    """Know every change that was declared, until nobody can report any more what it broke."""

    def __init__(self, externalities: Externalities) -> None:
        self._externalities = externalities
        self._context = externalities.context
        self.changes: dict[int, Change] = {}
        self.by_owner: dict[str, dict[int, None]] = {}
        self.by_module: dict[str, dict[int, None]] = {}
        self.last_number = 0

    def declare(self, agent: AgentRecord, command: DeclareChange) -> Outcome:
        """Put the bond of a change into escrow."""
        context, settings = self._context, self._context.settings
        modules = self._externalities.modules
        if modules is None or not modules.has_module(command.module):
            return context.reject(command, Reason.UNKNOWN_MODULE, f"no module {command.module!r} is registered")
        if command.bond < settings.change_bond_min:
            detail = f"a bond is at least {whole_credits(settings.change_bond_min)} credits"
            return context.reject(command, Reason.INVALID_EXTERNALITY_TERMS, detail)
        if len(self.by_owner.get(agent.owner, ())) >= settings.max_declared_changes:
            detail = f"{settings.max_declared_changes} changes of this owner are remembered, and there may be no more"
            return context.reject(command, Reason.TOO_MANY_CHANGES, detail)
        problem = context.cashier.check(agent, command.bond)
        if problem is not None:
            return context.reject(command, *problem)
        self.last_number = number = self.last_number + 1
        returns_us = context.time_us + settings.change_bond_seconds * _SECOND_US
        change = Change(number, agent.agent_id, command.module, command.bond, context.time_us, returns_us)
        posting = context.cashier.posting(change.cause)
        posting.fund(agent.agent_id, change.escrow, command.bond)
        posting.post()
        change.deadline_id = context.deadlines.schedule(returns_us, RETURN_BOND, number)
        self._index(change)
        return ChangeOutcome(command.id, "accepted", context.stamp, change=number, returns_us=returns_us)

    def return_bond(self, number: int) -> None:
        """Give back what is left of a bond; the change is remembered as long as it may be reported."""
        context, change = self._context, self.changes[number]
        returned, change.left, change.is_open = change.left, 0, False
        posting = context.cashier.posting(change.cause)
        posting.give_back(change.escrow, change.agent, returned)
        posting.post()
        forget_us = change.returns_us + context.settings.externality_report_seconds * _SECOND_US
        change.deadline_id = context.deadlines.schedule(forget_us, FORGET, number)
        context.emit(
            context.agents[change.agent],
            ChangeEnded(change=number, module=change.module, bond=change.bond, returned=returned),
        )

    def forget(self, number: int) -> None:
        """Forget a change of which nothing can be reported any more."""
        change = self.changes.pop(number)
        _discard(self.by_owner, self._context.agents[change.agent].owner, number)
        _discard(self.by_module, change.module, number)

    # ── what reports ask ────────────────────────────────────────────────────────────────────────

    def find(self, found: Suffering, number: int | None) -> Change | Violation | None:
        """Return the declared change that a report is about: the one it names, else the oldest that fits, if any."""
        owner = self._context.agents[found.source].owner
        if number is not None:
            return self._named(found, owner, number)
        mine, of_module = self.by_owner.get(owner, {}), self.by_module.get(found.module, {})
        smaller, larger = (mine, of_module) if len(mine) < len(of_module) else (of_module, mine)
        for each in smaller:
            change = self.changes[each]
            if each in larger and not change.levy and change.covers(found.changed_us):
                return change
        return None

    def _named(self, found: Suffering, owner: str, number: int) -> Change | Violation:
        change = self.changes.get(number)
        if change is None or self._context.agents[change.agent].owner != owner or change.module != found.module:
            return Reason.UNKNOWN_CHANGE, f"the owner of {found.source} declared no change {number} of {found.module!r}"
        if change.levy:
            detail = f"change {number} answers for externality {change.levy} already, and for one only"
            return Reason.WRONG_STATE, detail
        if not change.covers(found.changed_us):
            detail = f"change {number} was declared for times from {change.declared_us} to before {change.returns_us}"
            return Reason.WRONG_STATE, detail
        return change

    def use(self, change: Change, levy: Levy, posting: Posting) -> None:
        """Let the bond of a change pay first for what it broke."""
        levy.change, change.levy = change.number, levy.number
        levy.from_bond = min(change.left, levy.suffering.amount)
        change.left -= levy.from_bond
        posting.move(change.escrow, levy.escrow, levy.from_bond)

    def give_back(self, levy: Levy, posting: Posting) -> None:
        """Undo what a levy took of a bond: it goes into its escrow as long as that is open, else to who had it."""
        change = self.changes.get(levy.change)
        if change is not None:
            change.levy = 0
        if change is not None and change.is_open:
            change.left += levy.from_bond
            posting.move(levy.escrow, change.escrow, levy.from_bond)
        else:
            # A dispute can take longer than a change is remembered; the source is of the same owner.
            posting.give_back(levy.escrow, levy.suffering.source if change is None else change.agent, levy.from_bond)

    # ── state ───────────────────────────────────────────────────────────────────────────────────

    def _index(self, change: Change) -> None:
        self.changes[change.number] = change
        owner = self._context.agents[change.agent].owner
        self.by_owner.setdefault(owner, {})[change.number] = None
        self.by_module.setdefault(change.module, {})[change.number] = None

    def dump(self) -> list[object]:
        """Return the state as plain data."""
        return [self.last_number, [change.dump() for change in self.changes.values()]]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; the indexes follow from it."""
        self.last_number, changes = state
        for fields in changes:
            self._index(Change.load(fields))
