"""The harberger regime: an owner states what a module is worth, pays a tax on that, and sells at that to anybody."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from exchange.mechanisms.base import VENUE_SCOPE
from exchange.mechanisms.cashier import escrow_of, whole_credits
from exchange.mechanisms.property.module import Holding, Module
from exchange.mechanisms.property.tax import Exhaustions, RateIndex, accrued, exhausts_at, least_deposit, restated
from exchange.messages.property import DepositOutcome, ModuleDepositLow, ModuleTaxCollected, ModuleValueStated
from exchange.messages.reasons import Reason

if TYPE_CHECKING:
    from exchange.mechanisms.base import AgentRecord
    from exchange.mechanisms.cashier import Posting
    from exchange.mechanisms.facts import ParameterChanged
    from exchange.mechanisms.property.mechanism import Property
    from exchange.messages.base import Command, Outcome
    from exchange.messages.property import BuyModule, StateValue, TopUpDeposit, WithdrawDeposit

__all__ = ["COLLECT", "EXHAUST", "GRACE", "WARN", "Regime"]

EXHAUST: Final = "property.exhaust"
COLLECT: Final = "property.collect"
GRACE: Final = "property.miss_value"
WARN: Final = "property.warn"

_SECOND_US: Final = 1_000_000
_DAY_S: Final = 86_400
_COLLECT_US: Final = _DAY_S * _SECOND_US
"""Tax goes to ``public_fund`` a day after it last did, if nothing has sent it there before."""

_AT_ONCE: Final = 100
"""So many modules are looked at by one deadline; the next follows at once."""

_RATE: Final = "harberger_rate_bp"

Violation = tuple[Reason, str]


class Regime:
    """Know the rate over time, and whose deposit is exhausted next.

    One deadline stands for all deposits, one for all warnings, and one for all collections, so that neither a vote
    about the rate nor the passing of time looks at more modules than something happens to.
    """

    def __init__(self, ownership: Property) -> None:
        self._property = ownership
        self._context = ownership.context
        self.index: RateIndex | None = None
        """None before the first value is stated."""
        self.exhaustions = Exhaustions()
        self.exhaust_id = 0
        self.warnings = Exhaustions()
        """Of what is to be exhausted, what its owner was not warned of yet: in the same order, by the same index."""
        self.warn_id = 0
        self.due: dict[int, int] = {}
        """When the tax of each module is collected next, the earliest first; by the module's number."""
        self.collect_id = 0

    # ── asking ──────────────────────────────────────────────────────────────────────────────────

    def now(self) -> int:
        """Return the index at this moment; it begins at 0 when the first value is stated."""
        return 0 if self.index is None else self.index.at(self._context.time_us)

    def is_exhausted(self, module: Module) -> bool:
        """Return whether the tax has come to the whole deposit, foreclosed already or not."""
        if module.holding is None:
            return False
        index = exhausts_at(module.holding)
        return index is not None and self.now() >= index

    def exhausted_at_us(self, module: Module) -> int | None:
        """Return when a deposit is exhausted at the present rate; None if it never is."""
        index = None if module.holding is None else exhausts_at(module.holding)
        return None if index is None or self.index is None else self.index.reaches_us(index)

    def left(self, module: Module) -> int:
        """Return what is left of a deposit now."""
        holding = module.holding
        return 0 if holding is None else holding.deposit - accrued(holding, self.now())

    def _least(self, value: int) -> int:
        settings = self._context.settings
        return least_deposit(value, settings.harberger_rate_bp, settings.harberger_deposit_seconds)

    def _check_deposit(self, value: int, deposit: int) -> Violation | None:
        least = self._least(value)
        if deposit >= least:
            return None
        seconds = self._context.settings.harberger_deposit_seconds
        time = f"{seconds} s" if seconds % _DAY_S else f"{seconds // _DAY_S} days"
        needed = f"a value of {whole_credits(value)} needs a deposit of {whole_credits(least)}, the tax of {time}"
        return Reason.DEPOSIT_TOO_SMALL, f"{needed}; this would be {whole_credits(deposit)}"

    # ── stating a value ─────────────────────────────────────────────────────────────────────────

    def _find(self, agent: AgentRecord, name: str) -> Module | Violation:
        """Return a module under the regime for which an agent of its owner may act, or why it may not."""
        module = self._property.modules.get(name)
        if module is None:
            return Reason.UNKNOWN_MODULE, f"no module {name} is registered"
        if not module.owner or self._context.agents[module.owner].owner != agent.owner:
            return Reason.NOT_PERMITTED, f"{name} belongs to {module.owner or 'nobody'}"
        if module.regime != "harberger":
            return Reason.WRONG_REGIME, f"{name} is private: it has no stated value, and no tax"
        if self.is_exhausted(module):
            return Reason.WRONG_STATE, f"the deposit of {name} is exhausted"
        return module

    def state_value(self, agent: AgentRecord, command: StateValue) -> Outcome:
        """State a value; the tax so far is settled by the old one, to the last part of a unit."""
        context = self._context
        module = self._find(agent, command.module)
        if not isinstance(module, Module):
            return context.reject(command, *module)
        holding, index = module.holding, self.now()
        if holding is not None and holding.value == command.value and not command.deposit:
            return context.reject(command, Reason.NO_CHANGE, f"that is the value of {module.name}")
        left, carry = (0, 0) if holding is None else restated(holding, index)
        problem = self._check_deposit(command.value, left + command.deposit)
        problem = problem or context.cashier.check(agent, command.deposit)
        if problem is not None:
            return context.reject(command, *problem)
        posting = context.cashier.posting(module.cause)
        self._collect_legs(module, posting)
        posting.fund(agent.agent_id, escrow_of(module.cause), command.deposit)
        posting.post()
        self._hold(module, Holding(command.value, left + command.deposit, index, carry))
        self._tell(module, agent)
        return self._outcome(command, module)

    def top_up(self, agent: AgentRecord, command: TopUpDeposit) -> Outcome:
        """Add to a deposit."""
        context = self._context
        module = self._find(agent, command.module)
        if not isinstance(module, Module):
            return context.reject(command, *module)
        holding = module.holding
        if holding is None:
            return context.reject(command, Reason.WRONG_STATE, f"state a value for {module.name} first")
        problem = context.cashier.check(agent, command.amount)
        if problem is not None:
            return context.reject(command, *problem)
        posting = context.cashier.posting(module.cause)
        posting.fund(agent.agent_id, escrow_of(module.cause), command.amount)
        posting.post()
        holding.deposit += command.amount
        holding.is_warned = False
        self._order(module)
        self._tell(module, agent)
        return self._outcome(command, module)

    def withdraw(self, agent: AgentRecord, command: WithdrawDeposit) -> Outcome:
        """Give back what a deposit has above the least one for its value."""
        context = self._context
        module = self._find(agent, command.module)
        if not isinstance(module, Module):
            return context.reject(command, *module)
        if module.owner != agent.agent_id:
            return context.reject(command, Reason.NOT_PERMITTED, f"{module.name} belongs to {module.owner}")
        holding = module.holding
        if holding is None:
            return context.reject(command, Reason.WRONG_STATE, f"{module.name} has no deposit")
        index = self.now()
        left, carry = restated(holding, index)
        problem = self._check_deposit(holding.value, left - command.amount)
        if problem is not None:
            return context.reject(command, *problem)
        posting = context.cashier.posting(module.cause)
        self._collect_legs(module, posting)
        posting.give_back(escrow_of(module.cause), module.owner, command.amount)
        posting.post()
        self._hold(module, Holding(holding.value, left - command.amount, index, carry))
        self._tell(module, agent)
        return self._outcome(command, module)

    def _hold(self, module: Module, holding: Holding) -> None:
        """Let a holding count from now on."""
        context = self._context
        if self.index is None:
            self.index = RateIndex(context.settings.harberger_rate_bp, context.time_us)
        context.deadlines.cancel(module.grace_id)
        module.grace_id = 0
        module.holding = holding
        self._order(module)
        self.due.pop(module.number, None)
        self.due[module.number] = context.time_us + _COLLECT_US
        self._schedule_collection()

    def drop(self, module: Module) -> None:
        """Forget a holding whose money has moved, or the time in which one was to be stated."""
        self._context.deadlines.cancel(module.grace_id)
        module.grace_id = 0
        if module.holding is None:
            return
        module.holding = None
        self.exhaustions.drop(module.number)
        self.warnings.drop(module.number)
        self._schedule()
        del self.due[module.number]

    def _outcome(self, command: Command, module: Module) -> Outcome:
        holding = module.holding
        return DepositOutcome(
            command.id,
            "accepted",
            self._context.stamp,
            module=module.name,
            value=0 if holding is None else holding.value,
            deposit=self.left(module),
            exhausted_at_us=self.exhausted_at_us(module),
            fencing_token=module.token,
        )

    def _tell(self, module: Module, agent: AgentRecord) -> None:
        value = 0 if module.holding is None else module.holding.value
        for name in dict.fromkeys((module.owner, agent.agent_id)):
            event = ModuleValueStated(
                module=module.name,
                value=value,
                deposit=self.left(module),
                exhausted_at_us=self.exhausted_at_us(module),
            )
            self._context.emit(self._context.agents[name], event)

    # ── buying ──────────────────────────────────────────────────────────────────────────────────

    def check_purchase(self, command: BuyModule, module: Module) -> Violation | None:
        """Return why a module under the regime cannot be bought with these terms, whatever it costs."""
        if module.holding is None:
            return Reason.NOT_FOR_SALE, f"{module.owner} has not stated a value for {module.name} yet"
        if self.is_exhausted(module):
            return Reason.NOT_FOR_SALE, f"the deposit of {module.name} is exhausted: bid in its auction"
        if command.new_value is None:
            return Reason.MISSING_FIELD, "give new_value: what you hold it at, and sell it at"
        return self._check_deposit(command.new_value, command.deposit)

    def buy(self, agent: AgentRecord, command: BuyModule, module: Module) -> Outcome:
        """Sell a module at its stated value to whoever asked; ``check_purchase`` has passed."""
        context, ownership = self._context, self._property
        holding = module.holding
        if holding is None or command.new_value is None:
            raise AssertionError(module.name)
        price, index = holding.value, self.now()
        problem = context.cashier.check(agent, price + command.deposit)
        if problem is not None:
            return context.reject(command, *problem)
        seller, before = module.owner, ownership.access.writers(module)
        escrow, deposits = escrow_of(f"property:sale:{module.number}"), escrow_of(module.cause)
        posting = context.cashier.posting(module.cause)
        self.refund_legs(module, posting)
        closed = ownership.renting.close_all(module, posting)
        posting.fund(agent.agent_id, escrow, price)
        posting.pay(escrow, seller, price)
        posting.fund(agent.agent_id, deposits, command.deposit)
        posting.post()
        ownership.renting.forget_all(closed, "bought")
        self.drop(module)
        ownership.move(module, agent.agent_id, "bought", price, before=before, hands_over=True)
        self._hold(module, Holding(command.new_value, command.deposit, index, 0))
        self._tell(module, agent)
        return self._outcome(command, module)

    # ── collecting ──────────────────────────────────────────────────────────────────────────────

    def _collect_legs(self, module: Module, posting: Posting) -> int:
        """Add to a posting the tax that has accrued and is not collected; return how much that is."""
        holding = module.holding
        if holding is None:
            return 0
        due = accrued(holding, self.now()) - holding.collected
        posting.move(escrow_of(module.cause), "public_fund", due)
        holding.collected += due
        self._property.tally.count("tax_credits_total", by=due)
        return due

    def refund_legs(self, module: Module, posting: Posting) -> int:
        """Add to a posting all tax so far, and what is left of the deposit to the owner; return how much is left."""
        holding = module.holding
        if holding is None:
            return 0
        self._collect_legs(module, posting)
        left = holding.deposit - holding.collected
        posting.give_back(escrow_of(module.cause), module.owner, left)
        return left

    def collect(self) -> None:
        """Collect from the modules whose day has passed, a bounded number at once."""
        context = self._context
        self.collect_id = 0
        for _ in range(min(_AT_ONCE, len(self.due))):
            number = next(iter(self.due))
            if self.due[number] > context.time_us:
                break
            module = self._property.by_number[number]
            posting = context.cashier.posting(module.cause)
            amount = self._collect_legs(module, posting)
            posting.post()
            del self.due[number]
            self.due[number] = context.time_us + _COLLECT_US
            if amount:
                event = ModuleTaxCollected(
                    module=module.name,
                    amount=amount,
                    deposit=self.left(module),
                    exhausted_at_us=self.exhausted_at_us(module),
                )
                context.emit(context.agents[module.owner], event)
        self._schedule_collection()

    def _schedule_collection(self) -> None:
        """Let a deadline stand for the module that is next; one that comes too early finds nothing to do."""
        if not self.collect_id and self.due:
            next_us = self.due[next(iter(self.due))]
            self.collect_id = self._context.deadlines.schedule(next_us, COLLECT)

    # ── exhaustion ──────────────────────────────────────────────────────────────────────────────

    def _order(self, module: Module) -> None:
        """Put a module where its deposit is exhausted."""
        index = None if module.holding is None else exhausts_at(module.holding)
        if index is None:
            self.exhaustions.drop(module.number)
            self.warnings.drop(module.number)
        else:
            self.exhaustions.put(module.number, index)
            self.warnings.put(module.number, index)
        self._schedule()

    def next_exhaustion_us(self) -> int | None:
        """Return when the first deposit is exhausted at the present rate."""
        first = self.exhaustions.first()
        return None if first is None or self.index is None else self.index.reaches_us(first[0])

    def next_warning_us(self) -> int | None:
        """Return when the next owner is warned at the present rate; past, if less is left than a warning is ahead."""
        first = self.warnings.first()
        exhausted_us = None if first is None or self.index is None else self.index.reaches_us(first[0])
        if exhausted_us is None:
            return None
        return max(exhausted_us - self._context.settings.harberger_warning_seconds * _SECOND_US, 0)

    def _schedule(self) -> None:
        """Let one deadline stand for the deposit that is exhausted first, and one for the next warning."""
        self.exhaust_id = self._stand_for(self.exhaust_id, EXHAUST, self.next_exhaustion_us())
        self.warn_id = self._stand_for(self.warn_id, WARN, self.next_warning_us())

    def _stand_for(self, deadline_id: int, kind: str, due_us: int | None) -> int:
        """Return the deadline of a kind that is due at a time: this one if it is, else another in its place."""
        deadlines = self._context.deadlines
        if due_us == (deadlines.due_us(deadline_id) if deadline_id else None):
            return deadline_id
        deadlines.cancel(deadline_id)
        return 0 if due_us is None else deadlines.schedule(due_us, kind)

    def exhaust(self) -> None:
        """Foreclose the module whose deposit is exhausted; it is no act of a party's, so no halt moves it."""
        self.exhaust_id = 0
        first = self.exhaustions.first()
        if first is not None and self.index is not None and self.now() >= first[0]:
            module = self._property.by_number[first[1]]
            self._property.foreclose(module, "deposit_exhausted", self.index.reaches_us(first[0]))
        self._schedule()

    def warn(self) -> None:
        """Tell owners that their deposits will be exhausted, a bounded number at once: each once, unless it changes."""
        context = self._context
        self.warn_id = 0
        for _ in range(_AT_ONCE):
            first, due_us = self.warnings.first(), self.next_warning_us()
            if first is None or due_us is None or due_us > context.time_us:
                break
            module = self._property.by_number[first[1]]
            self.warnings.drop(module.number)
            holding, exhausted_us = module.holding, self.exhausted_at_us(module)
            if holding is None or exhausted_us is None:
                raise AssertionError(module.name)
            holding.is_warned = True
            event = ModuleDepositLow(
                module=module.name, value=holding.value, deposit=self.left(module), exhausted_at_us=exhausted_us
            )
            context.emit(context.agents[module.owner], event)
        self._schedule()

    def change_rate(self, fact: ParameterChanged) -> None:
        """Let the index go on at the new rate; the order in which deposits are exhausted stays."""
        if fact.name != _RATE or self.index is None:
            return
        self.index.change(fact.after, self._context.time_us)
        self._schedule()

    # ── the time to state a value ───────────────────────────────────────────────────────────────

    def begin_grace(self, module: Module) -> int:
        """Give a new owner time to state a value; return until when."""
        context = self._context
        due_us = context.time_us + context.settings.harberger_grace_seconds * _SECOND_US
        module.grace_id = context.deadlines.schedule_act(due_us, GRACE, VENUE_SCOPE, module.name)
        return due_us

    def miss_value(self, name: str) -> None:
        """Foreclose a module for which its owner has stated no value in time."""
        module = self._property.modules[name]
        module.grace_id = 0
        self._property.foreclose(module, "no_value_stated", self._context.time_us)

    # ── state ───────────────────────────────────────────────────────────────────────────────────

    def dump(self) -> list[object]:
        """Return the state as plain data: what can outgrow 64 bits is text."""
        index = self.index
        rate: list[object] | None = None
        if index is not None:
            rate = [index.rate_bp, index.since_us, str(index.at_since), index.before_bp, index.before_us]
        return [rate, self.exhaust_id, [list(row) for row in self.due.items()], self.collect_id, self.warn_id]

    def load(self, state: Any) -> None:
        """Take over what ``dump`` gave; the modules are loaded already."""
        rate, self.exhaust_id, due, self.collect_id, self.warn_id = state
        if rate is not None:
            rate_bp, since_us, at_since, before_bp, before_us = rate
            self.index = RateIndex(rate_bp, since_us, int(at_since))
            self.index.before_bp, self.index.before_us = before_bp, before_us
        self.due = dict(due)
        entries: list[tuple[int, int]] = []
        unwarned: list[tuple[int, int]] = []
        for module in self._property.modules.values():
            index = None if module.holding is None else exhausts_at(module.holding)
            if module.holding is not None and index is not None:
                entries.append((module.number, index))
                if not module.holding.is_warned:
                    unwarned.append((module.number, index))
        self.exhaustions.fill(entries)
        self.warnings.fill(unwarned)
